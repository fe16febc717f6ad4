/* TLS as a transport: both sides on the library, strangers, wrong names, close in the middle. */
#include <check.h>
#include <errno.h>
#ifdef __linux__
#include <linux/tls.h>
#endif
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/ssl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "net/tls.h"
#include "tests/lib/certificate.h"
#include "tests/lib/net_fixture.h"
#include "tests/lib/suite.h"

#define STREAM (3 << 20)

static char cert[64], key[64];
static struct latch opened, closed, done, failed;
static size_t got;
static atomic_int dial_error;

static void make_certificate(void)
{
	snprintf(cert, sizeof cert, "/tmp/net_tls_%d.crt", (int)getpid());
	snprintf(key, sizeof key, "/tmp/net_tls_%d.key", (int)getpid());
	ck_assert(certificate_make(cert, key, "test"));
	opened = closed = done = failed = (struct latch)LATCH;
	got = 0;
}

static void remove_certificate(void)
{
	unlink(cert);
	unlink(key);
}

static enum net_action echo(struct net_conn *c)
{
	size_t len;
	const char *p = net_peek(c, &len);
	net_discard(c, len);
	net_write_view(c, p, len);
	return NET_NONE;
}

static enum net_action count_open(struct net_conn *c)
{
	(void)c;
	latch_add(&opened, 1);
	return NET_NONE;
}

static void on_close(struct net_conn *c, int reason)
{
	(void)c;
	(void)reason;
	latch_add(&closed, 1);
}

static enum net_action send_all(struct net_conn *c)
{
	char *cur, *end;
	ck_assert_int_eq(net_out_begin(c, STREAM, &cur, &end), 0);
	for (size_t i = 0; i < STREAM; i++)
		cur[i] = (char)fix_byte(i);
	net_out_end(c, cur + STREAM);
	return NET_NONE;
}

static enum net_action check_all(struct net_conn *c)
{
	size_t len;
	const char *p = net_peek(c, &len);
	for (size_t i = 0; i < len; i++) {
		if ((unsigned char)p[i] != fix_byte(got + i))
			ck_abort_msg("byte %zu is wrong", got + i);
	}
	net_discard(c, len);
	got += len;
	if (got < STREAM)
		return NET_NONE;
	latch_add(&done, 1);
	return NET_CLOSE;
}

static void on_dialled(void *ctx, struct net_conn *c, int err)
{
	(void)ctx;
	atomic_store(&dial_error, err);
	if (!c)
		latch_add(&failed, 1);
}

static const struct net_events server_events = { .open = count_open, .data = echo, .close = on_close };
static const struct net_events client_events = { .open = send_all, .data = check_all };

static struct net_server *start_tls(int way, struct net_tls *tls, int *port)
{
	struct net_options o;
	int err;
	fix_options(&o, way, 1);
	struct net_server *s = net_server_new(&server_events, &o, &err);
	struct net_listener *l = net_listen(s, "tcp4://127.0.0.1:0", &err);
	ck_assert_ptr_nonnull(l);
	net_listener_set_transport(l, net_tls_transport(), tls);
	*port = net_listener_port(l);
	ck_assert_int_eq(net_server_start(s, false), 0);
	return s;
}

START_TEST(a_stream_goes_there_and_back)
{
	struct net_options o;
	char url[64];
	int port, err;
	make_certificate();
	struct net_tls *st = net_tls_server(cert, key, &err), *ct = net_tls_client(cert, true, &err);
	ck_assert(st && ct);
	struct net_server *s = start_tls(_i, st, &port);
	fix_options(&o, _i, 1);
	struct net_server *c = fix_start(&client_events, &o, NULL, NULL);
	snprintf(url, sizeof url, "tcp4://127.0.0.1:%d", port);
	struct net_dial d = { .url = url, .done = on_dialled, .transport = net_tls_transport(), .transport_ctx = ct };
	ck_assert_int_eq(net_dial(net_server_loop(c, 0), &d), 0);
	latch_wait(&done, 1);
	latch_wait(&closed, 1);
	fix_stop(c, 1000);
	fix_stop(s, 1000);
	net_tls_free(st);
	net_tls_free(ct);
	remove_certificate();
}
END_TEST

START_TEST(strangers_and_wrong_certificates_do_not_get_in)
{
	struct net_options o;
	char url[64];
	int port, err;
	make_certificate();
	struct net_tls *st = net_tls_server(cert, key, &err), *ct = net_tls_client(NULL, true, &err);
	ck_assert(st && ct);
	struct net_server *s = start_tls(_i, st, &port);
	int fd = fix_connect(port); /* not TLS */
	char alert[64];
	fix_send(fd, "GET / HTTP/1.0\r\n\r\n", 18);
	while (recv(fd, alert, sizeof alert, 0) > 0)
		;
	close(fd);
	fix_options(&o, _i, 1);
	struct net_server *c = fix_start(&client_events, &o, NULL, NULL);
	snprintf(url, sizeof url, "tcp4://127.0.0.1:%d", port);
	struct net_dial d = { .url = url, .done = on_dialled, .transport = net_tls_transport(), .transport_ctx = ct };
	ck_assert_int_eq(net_dial(net_server_loop(c, 0), &d), 0);
	latch_wait(&failed, 1);
	ck_assert_int_eq(atomic_load(&dial_error), -EPROTO);
	fix_stop(c, 1000);
	fix_stop(s, 1000);
	ck_assert_int_eq(latch_get(&closed), latch_get(&opened));
	net_tls_free(st);
	net_tls_free(ct);
	ck_assert_ptr_null(net_tls_server("/no/such/file", key, &err));
	ck_assert_int_eq(err, -EINVAL);
	remove_certificate();
}
END_TEST

static struct latch looked;

/* Whether the kernel does TLS: this connection's socket would let it. */
#ifdef OPENSSL_NO_KTLS
#define KTLS_BUILT false
#else
#define KTLS_BUILT true
#endif
static bool kernel_has_tls(void)
{
	bool has = false;
#ifdef __linux__
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	struct tls12_crypto_info_aes_gcm_256 info = { .info = { TLS_1_3_VERSION, TLS_CIPHER_AES_GCM_256 } };
	socklen_t len = sizeof a;
	int l = socket(AF_INET, SOCK_STREAM, 0), fd = socket(AF_INET, SOCK_STREAM, 0);
	ck_assert_int_eq(bind(l, (struct sockaddr *)&a, sizeof a) || listen(l, 1), 0);
	ck_assert_int_eq(getsockname(l, (struct sockaddr *)&a, &len) || connect(fd, (struct sockaddr *)&a, sizeof a), 0);
	has = setsockopt(fd, IPPROTO_TCP, TCP_ULP, "tls", 4) == 0 && setsockopt(fd, SOL_TLS, TLS_TX, &info, sizeof info) == 0;
	close(fd);
	close(l);
#endif
	return has && KTLS_BUILT;
}

static bool ktls; /* asked before */

static enum net_action look(struct net_conn *c)
{
	SSL *ssl = net_tls_ssl(c);
	ck_assert_ptr_nonnull(ssl);
	ck_assert_str_eq(SSL_get_version(ssl), "TLSv1.3");
	ck_assert_int_ne(SSL_get_options(ssl) & SSL_OP_ENABLE_KTLS, 0);
	ck_assert_str_eq(SSL_get_cipher_name(ssl), "TLS_AES_256_GCM_SHA384");
	if (BIO_get_ktls_send(SSL_get_wbio(ssl)) != ktls)
		ck_abort_msg("the kernel %s TLS", ktls ? "has, but does not do" : "has no");
	net_write(c, "seen", 4);
	latch_add(&looked, 1);
	return NET_CLOSE;
}

/* Encryption is the kernel's job where it has that. */
START_TEST(the_kernel_encrypts_if_it_can)
{
	const struct net_events e = { .open = look };
	struct net_options o;
	char text[4];
	int err;
	make_certificate();
	looked = (struct latch)LATCH;
	ktls = kernel_has_tls();
	fix_options(&o, _i, 1);
	struct net_tls *tls = net_tls_server(cert, key, &err);
	struct net_server *s = net_server_new(&e, &o, &err);
	struct net_listener *l = net_listen_transport(s, "tcp4://127.0.0.1:0", net_tls_transport(), tls, &err);
	ck_assert_ptr_nonnull(l);
	ck_assert_int_eq(net_server_start(s, false), 0);
	int fd = fix_connect(net_listener_port(l));
	SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
	SSL *ssl = SSL_new(ctx);
	ck_assert_int_eq(SSL_set_fd(ssl, fd), 1);
	ck_assert_int_eq(SSL_connect(ssl), 1);
	ck_assert_int_eq(SSL_read(ssl, text, 4), 4);
	ck_assert_mem_eq(text, "seen", 4);
	latch_wait(&looked, 1);
	SSL_free(ssl);
	SSL_CTX_free(ctx);
	close(fd);
	fix_stop(s, 1000);
	net_tls_free(tls);
	remove_certificate();
}
END_TEST

int main(void)
{
	Suite *s = suite_create("net_tls");
	TCase *t = tcase_create("net_tls");
	tcase_set_timeout(t, 120);
	tcase_add_loop_test(t, a_stream_goes_there_and_back, 0, FIX_WAYS);
	tcase_add_loop_test(t, the_kernel_encrypts_if_it_can, 0, FIX_WAYS);
	tcase_add_loop_test(t, strangers_and_wrong_certificates_do_not_get_in, 0, FIX_WAYS);
	suite_add_tcase(s, t);
	return suite_run(s);
}
