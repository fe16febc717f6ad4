/* TLS: its port, client certificates, protocols, and new certificates without dropping connections. */
#include <arpa/inet.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/lib/certificate.h"
#include "tests/lib/expect.h"

#define OK "+OK\r\n"

static char dir[64], cert[80], key[80], cert2[80], key2[80];

struct tls_client {
	SSL_CTX *ctx;
	SSL *ssl;
	int fd;
};

static void make_files(void)
{
	snprintf(dir, sizeof dir, "/tmp/shoal_tls_XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(dir));
	snprintf(cert, sizeof cert, "%s/1.crt", dir);
	snprintf(key, sizeof key, "%s/1.key", dir);
	snprintf(cert2, sizeof cert2, "%s/2.crt", dir);
	snprintf(key2, sizeof key2, "%s/2.key", dir);
	ck_assert(certificate_make(cert, key, "first") && certificate_make(cert2, key2, "second"));
}

static void remove_files(void)
{
	const char *const files[] = { cert, key, cert2, key2 };
	for (size_t i = 0; i < 4; i++)
		unlink(files[i]);
	rmdir(dir);
}

/* A server that speaks TLS on the port returned, with further lines of configuration. */
static int start(struct proc *p, const char *more)
{
	char config[1024];
	int lock, port = proc_free_port(&lock);
	snprintf(config, sizeof config, "tls-port %d\ntls-cert-file %s\ntls-key-file %s\ntls-ca-cert-file %s\n%s", port, cert,
	         key, cert, more);
	own_server(p, config);
	close(lock);
	return port;
}

/* cert_file NULL: without a certificate. false: the handshake failed, on our side. */
static bool dial(struct tls_client *t, int port, const char *cert_file, const char *key_file, int max_version)
{
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_port = htons((uint16_t)port) };
	a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	signal(SIGPIPE, SIG_IGN); /* who was refused may write to a connection that is closed */
	t->fd = socket(AF_INET, SOCK_STREAM, 0);
	ck_assert_int_eq(connect(t->fd, (struct sockaddr *)&a, sizeof a), 0);
	t->ctx = SSL_CTX_new(TLS_client_method());
	if (max_version)
		SSL_CTX_set_max_proto_version(t->ctx, max_version);
	if (cert_file) {
		ck_assert_int_eq(SSL_CTX_use_certificate_chain_file(t->ctx, cert_file), 1);
		ck_assert_int_eq(SSL_CTX_use_PrivateKey_file(t->ctx, key_file, SSL_FILETYPE_PEM), 1);
	}
	t->ssl = SSL_new(t->ctx);
	SSL_set_fd(t->ssl, t->fd);
	return SSL_connect(t->ssl) == 1;
}

static void hang_up(struct tls_client *t)
{
	SSL_free(t->ssl);
	SSL_CTX_free(t->ctx);
	close(t->fd);
}

/* Whether the server answers PING; with TLS 1.3 a client learns only by reading that its certificate was refused. */
static bool answers(struct tls_client *t)
{
	char buf[16];
	return SSL_write(t->ssl, "PING\r\n", 6) == 6 && SSL_read(t->ssl, buf, sizeof buf) == 7 && !memcmp(buf, "+PONG\r\n", 7);
}

static void peer_name(const struct tls_client *t, char *buf, int size)
{
	X509 *x = SSL_get_peer_certificate(t->ssl);
	ck_assert_ptr_nonnull(x);
	X509_NAME_get_text_by_NID(X509_get_subject_name(x), NID_commonName, buf, size);
	X509_free(x);
}

START_TEST(test_clients_must_show_a_certificate)
{
	struct proc p;
	struct tls_client t;
	make_files();
	int port = start(&p, "");
	ck_assert(dial(&t, port, cert, key, 0) && answers(&t));
	hang_up(&t);
	ck_assert(!dial(&t, port, NULL, NULL, 0) || !answers(&t));
	hang_up(&t);
	ck_assert(!dial(&t, port, cert2, key2, 0) || !answers(&t)); /* signed by somebody else */
	hang_up(&t);
	struct resp_client *plain = connect_to(&p); /* the plain port goes on */
	expect(plain, "PING", "+PONG\r\n");
	expect(plain, "CONFIG SET tls-auth-clients optional", OK);
	ck_assert(dial(&t, port, NULL, NULL, 0) && answers(&t));
	hang_up(&t);
	resp_close(plain);
	ck_assert_int_eq(proc_stop(&p), 0);
	remove_files();
}
END_TEST

START_TEST(test_new_certificates_leave_connections_alone)
{
	struct proc p;
	struct tls_client old, fresh;
	char line[256], name[32];
	make_files();
	int port = start(&p, "tls-auth-clients no\n");
	struct resp_client *plain = connect_to(&p);
	ck_assert(dial(&old, port, NULL, NULL, 0) && answers(&old));
	peer_name(&old, name, sizeof name);
	ck_assert_str_eq(name, "first");
	snprintf(line, sizeof line, "CONFIG SET tls-cert-file %s tls-key-file %s", cert2, key2);
	expect(plain, line, OK);
	ck_assert(answers(&old));
	ck_assert(dial(&fresh, port, NULL, NULL, 0) && answers(&fresh));
	peer_name(&fresh, name, sizeof name);
	ck_assert_str_eq(name, "second");
	hang_up(&fresh);
	/* What cannot work is refused, and what was in force stays. */
	snprintf(line, sizeof line, "CONFIG SET tls-cert-file %s", cert);
	expect_prefix(plain, line, "-ERR CONFIG SET failed (possibly related to argument 'tls-cert-file') - Unable to update TLS");
	ck_assert(dial(&fresh, port, NULL, NULL, 0) && answers(&fresh));
	hang_up(&fresh);
	hang_up(&old);
	resp_close(plain);
	ck_assert_int_eq(proc_stop(&p), 0);
	remove_files();
}
END_TEST

START_TEST(test_protocols)
{
	struct proc p;
	struct tls_client t;
	make_files();
	int port = start(&p, "tls-auth-clients no\ntls-protocols TLSv1.3\n");
	ck_assert(!dial(&t, port, NULL, NULL, TLS1_2_VERSION));
	hang_up(&t);
	ck_assert(dial(&t, port, NULL, NULL, 0) && answers(&t));
	ck_assert_str_eq(SSL_get_version(t.ssl), "TLSv1.3");
	struct resp_client *plain = connect_to(&p);
	expect(plain, "CONFIG SET tls-protocols TLSv1.2", OK);
	hang_up(&t);
	ck_assert(dial(&t, port, NULL, NULL, 0) && answers(&t));
	ck_assert_str_eq(SSL_get_version(t.ssl), "TLSv1.2");
	expect_prefix(plain, "CONFIG SET tls-protocols SSLv9", "-ERR CONFIG SET failed");
	resp_close(plain);
	hang_up(&t);
	ck_assert_int_eq(proc_stop(&p), 0);
	remove_files();
}
END_TEST

/* Bytes that are no handshake, and one that never ends, harm nobody else. */
START_TEST(test_strangers)
{
	struct proc p;
	struct tls_client t;
	struct sockaddr_in a = { .sin_family = AF_INET };
	char buf[64];
	make_files();
	int port = start(&p, "tls-auth-clients no\n"), fd = socket(AF_INET, SOCK_STREAM, 0),
	    mute = socket(AF_INET, SOCK_STREAM, 0);
	a.sin_port = htons((uint16_t)port);
	a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	ck_assert_int_eq(connect(fd, (struct sockaddr *)&a, sizeof a), 0);
	ck_assert_int_eq(connect(mute, (struct sockaddr *)&a, sizeof a), 0);
	ck_assert_int_eq(send(fd, "PING\r\n", 6, 0), 6);
	while (recv(fd, buf, sizeof buf, 0) > 0) /* perhaps an alert, then the end */
		;
	ck_assert(dial(&t, port, NULL, NULL, 0) && answers(&t));
	hang_up(&t);
	close(fd);
	close(mute);
	ck_assert_int_eq(proc_stop(&p), 0);
	remove_files();
}
END_TEST

START_TEST(test_a_port_without_a_certificate_is_a_clear_error)
{
	struct proc p;
	struct proc_spec spec = { .config = "tls-port 1\n" };
	ck_assert_int_eq(proc_start(&p, &spec), -1);
	char *log = proc_output(&p, false);
	ck_assert_ptr_nonnull(strstr(log, "No tls-cert-file configured!"));
	ck_assert_ptr_nonnull(strstr(log, "Failed to configure TLS."));
	free(log);
	proc_clean(&p);
}
END_TEST

COMMAND_TESTS("tls", test_clients_must_show_a_certificate, test_new_certificates_leave_connections_alone, test_protocols,
              test_strangers, test_a_port_without_a_certificate_is_a_clear_error)
