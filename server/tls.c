/* tls: see tls.h. */
#include "server/tls.h"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <string.h>
#include <strings.h>

#include "net/tls.h"
#include "server/log.h"

static struct net_tls *current;

/* What OpenSSL has to say, behind what we were doing. */
static bool fail(const char *what, const char *of)
{
	char text[256] = "unknown reason";
	unsigned long e = ERR_peek_last_error();
	if (e)
		ERR_error_string_n(e, text, sizeof text);
	ERR_clear_error();
	log_warning("%s%s%s: %s", what, *of ? ": " : "", of, text);
	return false;
}

/* ------------------------------------------------------------------ protocols */

static bool set_protocols(SSL_CTX *ctx, const char *list)
{
	static const struct {
		const char *name;
		unsigned long off;
	} known[] = { { "TLSv1", SSL_OP_NO_TLSv1 }, { "TLSv1.1", SSL_OP_NO_TLSv1_1 }, { "TLSv1.2", SSL_OP_NO_TLSv1_2 },
		      { "TLSv1.3", SSL_OP_NO_TLSv1_3 } };
	enum { KNOWN = sizeof known / sizeof *known };
	unsigned long off = SSL_OP_NO_TLSv1 | SSL_OP_NO_TLSv1_1 | SSL_OP_NO_TLSv1_2 | SSL_OP_NO_TLSv1_3;
	if (!*list)
		return SSL_CTX_set_min_proto_version(ctx, TLS1_2_VERSION) == 1;
	while (*list) {
		size_t n = strcspn(list, " "), i = 0;
		while (i < KNOWN && (strlen(known[i].name) != n || strncasecmp(known[i].name, list, n)))
			i++;
		if (n && i == KNOWN) {
			log_warning("Invalid tls-protocols specified. "
			            "Use a combination of 'TLSv1', 'TLSv1.1', 'TLSv1.2' and 'TLSv1.3'.");
			return false;
		}
		off &= n ? ~known[i].off : off;
		list += n;
		list += strspn(list, " ");
	}
	SSL_CTX_set_min_proto_version(ctx, 0);
	SSL_CTX_set_options(ctx, off);
	return true;
}

/* ------------------------------------------------------------------ keys and authorities */

static int give_password(char *buf, int size, int writing, void *ctx)
{
	(void)writing;
	size_t n = strlen(ctx);
	if (size < 0 || n > (size_t)size)
		return -1;
	memcpy(buf, ctx, n);
	return (int)n;
}

static bool load_keys(SSL_CTX *ctx, const struct config *cfg)
{
	if (!*cfg->tls_cert_file || !*cfg->tls_key_file) {
		log_warning("No %s configured! TLS needs both tls-cert-file and tls-key-file.",
		            *cfg->tls_cert_file ? "tls-key-file" : "tls-cert-file");
		return false;
	}
	if (*cfg->tls_key_file_pass) {
		SSL_CTX_set_default_passwd_cb(ctx, give_password);
		SSL_CTX_set_default_passwd_cb_userdata(ctx, (void *)(uintptr_t)cfg->tls_key_file_pass);
	}
	bool ok = (SSL_CTX_use_certificate_chain_file(ctx, cfg->tls_cert_file) == 1 ||
	           fail("Failed to load certificate", cfg->tls_cert_file)) &&
	          (SSL_CTX_use_PrivateKey_file(ctx, cfg->tls_key_file, SSL_FILETYPE_PEM) == 1 ||
	           fail("Failed to load private key", cfg->tls_key_file)) &&
	          (SSL_CTX_check_private_key(ctx) == 1 || fail("Private key and certificate do not fit together", ""));
	SSL_CTX_set_default_passwd_cb_userdata(ctx, NULL); /* the configuration may go */
	return ok;
}

static bool load_authorities(SSL_CTX *ctx, const struct config *cfg)
{
	const char *file = *cfg->tls_ca_cert_file ? cfg->tls_ca_cert_file : NULL,
	           *dir = *cfg->tls_ca_cert_dir ? cfg->tls_ca_cert_dir : NULL;
	if (!file && !dir) {
		if (cfg->tls_auth_clients == TLS_AUTH_NO)
			return true;
		log_warning("Either tls-ca-cert-file or tls-ca-cert-dir must be specified when tls-auth-clients is on!");
		return false;
	}
	if (SSL_CTX_load_verify_locations(ctx, file, dir) != 1)
		return fail("Failed to configure CA certificate(s) file/directory", file ? file : dir);
	int must = cfg->tls_auth_clients == TLS_AUTH_YES ? SSL_VERIFY_FAIL_IF_NO_PEER_CERT : 0;
	if (cfg->tls_auth_clients != TLS_AUTH_NO)
		SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER | must, NULL);
	return true;
}

static bool load_dh_params(SSL_CTX *ctx, const char *path)
{
	if (!*path) {
		SSL_CTX_set_dh_auto(ctx, 1);
		return true;
	}
	BIO *f = BIO_new_file(path, "r");
	EVP_PKEY *params = f ? PEM_read_bio_Parameters(f, NULL) : NULL;
	BIO_free(f);
	if (params && SSL_CTX_set0_tmp_dh_pkey(ctx, params) == 1)
		return true;
	EVP_PKEY_free(params);
	return fail("Failed to load DH params", path);
}

/* ------------------------------------------------------------------ the context */

static void set_sessions(SSL_CTX *ctx, const struct config *cfg)
{
	if (!cfg->tls_session_caching) {
		SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
		SSL_CTX_set_options(ctx, SSL_OP_NO_TICKET);
		return;
	}
	SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_SERVER);
	SSL_CTX_sess_set_cache_size(ctx, cfg->tls_session_cache_size);
	SSL_CTX_set_timeout(ctx, cfg->tls_session_cache_timeout_s);
	SSL_CTX_set_session_id_context(ctx, (const unsigned char *)"shoal", 5);
}

static bool configure(SSL_CTX *ctx, const struct config *cfg)
{
	SSL_CTX_set_options(ctx, SSL_OP_NO_COMPRESSION | SSL_OP_NO_RENEGOTIATION | SSL_OP_SINGLE_DH_USE |
	                                 (cfg->tls_prefer_server_ciphers ? SSL_OP_CIPHER_SERVER_PREFERENCE : 0));
	set_sessions(ctx, cfg);
	return set_protocols(ctx, cfg->tls_protocols) && load_keys(ctx, cfg) && load_authorities(ctx, cfg) &&
	       load_dh_params(ctx, cfg->tls_dh_params_file) &&
	       (!*cfg->tls_ciphers || SSL_CTX_set_cipher_list(ctx, cfg->tls_ciphers) == 1 ||
	        fail("Failed to configure ciphers", cfg->tls_ciphers)) &&
	       (!*cfg->tls_ciphersuites || SSL_CTX_set_ciphersuites(ctx, cfg->tls_ciphersuites) == 1 ||
	        fail("Failed to configure ciphersuites", cfg->tls_ciphersuites));
}

static struct net_tls *build(const struct config *cfg)
{
	SSL_CTX *ctx = SSL_CTX_new(TLS_server_method());
	struct net_tls *t = ctx && configure(ctx, cfg) ? net_tls_from_context(ctx) : NULL;
	if (!t)
		SSL_CTX_free(ctx);
	return t;
}

struct net_tls *tls_context(const struct config *cfg)
{
	if (!current)
		current = build(cfg);
	return current;
}

static bool changed(const struct config *now, char **error)
{
	if (!current)
		return true; /* nobody uses TLS yet */
	struct net_tls *fresh = build(now);
	if (!fresh) {
		*error = strdup("Unable to update TLS configuration. Check server logs.");
		return false;
	}
	net_tls_replace(current, fresh);
	return true;
}

void tls_init(void)
{
	static const char *const names[] = {
		"tls-auth-clients", "tls-prefer-server-ciphers", "tls-session-caching", "tls-session-cache-size",
		"tls-session-cache-timeout", "tls-cert-file", "tls-key-file", "tls-key-file-pass", "tls-dh-params-file",
		"tls-ca-cert-file", "tls-ca-cert-dir", "tls-protocols", "tls-ciphers", "tls-ciphersuites",
	};
	for (size_t i = 0; i < sizeof names / sizeof *names; i++)
		config_on_change(names[i], changed);
}

void tls_free(void)
{
	net_tls_free(current);
	current = NULL;
}
