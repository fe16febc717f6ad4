/* Calls of the library that no other test makes: each does what its header says. */
#include <arpa/inet.h>
#include <check.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <openssl/ssl.h>
#include <poll.h>
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

#define ANY "tcp4://127.0.0.1:0"

static struct latch opened, closed, seen;
static struct net_conn *the_conn;
static atomic_int last_reason;

static void reset(void)
{
	opened = closed = seen = (struct latch)LATCH;
}

static enum net_action on_open(struct net_conn *c)
{
	the_conn = c;
	latch_add(&opened, 1);
	return NET_NONE;
}

static void on_close(struct net_conn *c, int reason)
{
	(void)c;
	atomic_store(&last_reason, reason);
	latch_add(&closed, 1);
}

static void expect(int fd, const char *text)
{
	char buf[64];
	size_t len = strlen(text);
	fix_recv(fd, buf, len);
	buf[len] = 0;
	ck_assert_str_eq(buf, text);
}

static bool silent(int fd)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };
	return poll(&p, 1, 30) == 0;
}

/* ------------------------------------------------------------------ reading and writing */

static enum net_action read_and_gather(struct net_conn *c)
{
	char three[3], *four = net_turn_alloc(net_conn_loop(c), 4);
	size_t len, n;
	net_peek(c, &len);
	if (len < 7)
		return NET_NONE;
	ck_assert_uint_eq(net_read(c, three, 3), 3);
	n = net_read(c, four, 4);
	ck_assert_uint_eq(n, 4);
	ck_assert_uint_eq(net_read(c, three, 0), 0);
	struct iovec v[3] = { { four, 4 }, { NULL, 0 }, { three, 3 } };
	ck_assert_int_eq(net_writev(c, v, 3), 0);
	net_peek(c, &len);
	ck_assert_uint_eq(len, 0);
	ck_assert_uint_eq(net_read(c, four, 4), 0);
	return NET_NONE;
}

START_TEST(read_and_writev)
{
	const struct net_events e = { .data = read_and_gather };
	struct net_options o;
	int port;
	fix_options(&o, _i, 1);
	struct net_server *s = fix_start(&e, &o, ANY, &port);
	int fd = fix_connect(port);
	fix_send(fd, "abcdefg", 7);
	expect(fd, "defgabc");
	close(fd);
	fix_stop(s, 1000);
}
END_TEST

static void hold(struct net_loop *l, void *arg)
{
	(void)l;
	(void)arg;
	net_hold_output(the_conn, true);
	ck_assert_int_eq(net_write(the_conn, "held", 4), 0);
	ck_assert_uint_eq(net_out_pending(the_conn), 4);
}

static void release(struct net_loop *l, void *arg)
{
	(void)l;
	(void)arg;
	ck_assert_uint_eq(net_out_pending(the_conn), 4);
	net_hold_output(the_conn, false);
}

START_TEST(output_is_held_back)
{
	const struct net_events e = { .open = on_open };
	struct net_options o;
	int port;
	reset();
	fix_options(&o, _i, 1);
	struct net_server *s = fix_start(&e, &o, ANY, &port);
	int fd = fix_connect(port);
	latch_wait(&opened, 1);
	fix_run(net_server_loop(s, 0), hold, NULL);
	ck_assert(silent(fd));
	fix_run(net_server_loop(s, 0), release, NULL);
	expect(fd, "held");
	close(fd);
	fix_stop(s, 1000);
}
END_TEST

static int clients[2];

/* Both are written to in the middle of the turn: what was flushed is there before the turn ends. */
static void flush_in_between(struct net_loop *l, void *arg)
{
	struct net_conn *c = NULL;
	(void)arg;
	while ((c = net_conn_next(l, c)))
		net_write(c, "now", 3);
	net_loop_flush(l);
	expect(clients[0], "now");
	expect(clients[1], "now");
	net_write(the_conn, "and now", 7);
	ck_assert_int_eq(net_flush(the_conn), 0);
	struct pollfd both[2] = { { .fd = clients[0], .events = POLLIN }, { .fd = clients[1], .events = POLLIN } };
	ck_assert_int_eq(poll(both, 2, 60000), 1);
}

START_TEST(flushing_in_the_middle_of_a_turn)
{
	const struct net_events e = { .open = on_open };
	struct net_options o;
	int port;
	reset();
	fix_options(&o, _i, 1);
	struct net_server *s = fix_start(&e, &o, ANY, &port);
	clients[0] = fix_connect(port);
	clients[1] = fix_connect(port);
	latch_wait(&opened, 2);
	fix_run(net_server_loop(s, 0), flush_in_between, NULL);
	close(clients[0]);
	close(clients[1]);
	fix_stop(s, 1000);
}
END_TEST

/* ------------------------------------------------------------------ loops */

static int turns_left;

static void turn(struct net_loop *l)
{
	if (turns_left > 0 && turns_left-- > 1)
		net_loop_again(l);
	else if (turns_left == 0 && latch_get(&seen) == 0)
		latch_add(&seen, 1);
}

static void begin_turns(struct net_loop *l, void *arg)
{
	(void)arg;
	turns_left = 100;
	net_loop_again(l);
}

START_TEST(turns_without_waiting)
{
	const struct net_events e = { .before_write = turn };
	struct net_options o;
	reset();
	turns_left = -1;
	fix_options(&o, _i, 1);
	struct net_server *s = fix_start(&e, &o, NULL, NULL);
	fix_run(net_server_loop(s, 0), begin_turns, NULL);
	latch_wait(&seen, 1);
	fix_stop(s, 1000);
}
END_TEST

static char user[] = "user";

static void set_loop_ctx(struct net_loop *l)
{
	ck_assert_str_eq(net_server_user(net_loop_server(l)), user);
	ck_assert_ptr_null(net_loop_ctx(l));
	net_loop_set_ctx(l, user + net_loop_index(l));
	latch_add(&seen, 1);
}

static void say_done(struct net_loop *l, struct net_msg *m)
{
	ck_assert_ptr_eq(net_loop_ctx(l), user + net_loop_index(l));
	free(m);
	latch_add(&closed, 1);
}

static void post_one(struct net_loop *l)
{
	struct net_msg *m = calloc(1, sizeof *m);
	m->run = say_done;
	net_post(net_server_loop(net_loop_server(l), 1), m);
}

/* On loop 0: messages to loop 1, whose wake-up is held back till the end, but for the first, which is asked for. */
static void post_many(struct net_loop *l, void *arg)
{
	(void)arg;
	net_post_hold();
	post_one(l);
	net_post_flush();
	latch_wait(&closed, 1);
	for (int i = 1; i < 100; i++)
		post_one(l);
	net_post_release();
}

START_TEST(contexts_and_posts_that_are_held)
{
	const struct net_events e = { .loop_start = set_loop_ctx };
	struct net_options o;
	reset();
	fix_options(&o, _i, 2);
	o.user = user;
	struct net_server *s = fix_start(&e, &o, NULL, NULL);
	latch_wait(&seen, 2);
	fix_run(net_server_loop(s, 0), post_many, NULL);
	latch_wait(&closed, 100);
	fix_stop(s, 1000);
}
END_TEST

static char order[16];
static unsigned ran;

static void say_a(struct net_loop *l, struct net_msg *m)
{
	(void)l;
	order[ran++] = 'a';
	order[ran++] = m->next && m->next->run == say_a ? '+' : '.';
	free(m);
}

static void say_b(struct net_loop *l, struct net_msg *m)
{
	(void)l;
	order[ran++] = 'b';
	free(m);
	latch_add(&closed, 1);
}

static void post(struct net_loop *l, void (*run)(struct net_loop *, struct net_msg *))
{
	struct net_msg *m = calloc(1, sizeof *m);
	m->run = run;
	net_post(l, m);
}

static void nothing(struct net_loop *l)
{
	(void)l;
}

static void post_and_run(struct net_loop *l, void *arg)
{
	(void)arg;
	net_loop_run_posted(l, say_a); /* there is none */
	post(l, say_b);
	post(l, say_a);
	bool later = net_loop_inner_turn(l, nothing) == 0; /* which leaves them for later */
	post(l, say_a);
	post(l, say_b);
	post(l, say_a);
	net_loop_run_posted(l, say_a);
	ck_assert_str_eq(order, later ? "a.a+a." : "a+a+a.");
	post(l, say_b);
}

START_TEST(posts_that_are_run_before_their_turn)
{
	const struct net_events e = { 0 };
	struct net_options o;
	reset();
	ran = 0;
	memset(order, 0, sizeof order);
	fix_options(&o, _i, 1);
	struct net_server *s = fix_start(&e, &o, NULL, NULL);
	fix_run(net_server_loop(s, 0), post_and_run, NULL);
	latch_wait(&closed, 3);
	ck_assert_str_eq(order + 6, "bbb");
	fix_stop(s, 1000);
}
END_TEST

/* ------------------------------------------------------------------ servers */

static void look_at_keepalive(struct net_loop *l, void *arg)
{
	int on = 0, idle = 0;
	socklen_t len = sizeof on;
	(void)l;
	(void)arg;
	getsockopt(net_conn_fd(the_conn), SOL_SOCKET, SO_KEEPALIVE, &on, &len);
	getsockopt(net_conn_fd(the_conn), IPPROTO_TCP, TCP_KEEPIDLE, &idle, &len);
	ck_assert_int_eq(on, 1);
	ck_assert_int_eq(idle, 77);
}

START_TEST(a_given_socket_and_settings_at_run_time)
{
	const struct net_events e = { .open = on_open, .close = on_close };
	struct net_options o;
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t len = sizeof a;
	int err;
	reset();
	fix_options(&o, _i, 1);
	struct net_server *s = fix_start(&e, &o, NULL, NULL);
	int ls = socket(AF_INET, SOCK_STREAM, 0);
	ck_assert_int_eq(bind(ls, (struct sockaddr *)&a, sizeof a) || listen(ls, 5), 0);
	getsockname(ls, (struct sockaddr *)&a, &len);
	struct net_listener *l = net_listen_fd(s, ls, 31, &err);
	ck_assert_ptr_nonnull(l);
	ck_assert_int_eq(net_listener_port(l), ntohs(a.sin_port));
	net_server_set_keepalive(s, 77);
	int fd = fix_connect(net_listener_port(l));
	latch_wait(&opened, 1);
	ck_assert_int_eq(net_conn_tag(the_conn), 31);
	fix_run(net_server_loop(s, 0), look_at_keepalive, NULL);
	net_server_set_idle_timeout(s, 50);
	int idler = fix_connect(net_listener_port(l));
	ck_assert(!fix_ended(idler));
	latch_wait(&closed, 1);
	ck_assert_int_eq(atomic_load(&last_reason), NET_BY_TIMEOUT);
	ck_assert(silent(fd)); /* it is older than the setting */
	close(idler);
	close(fd);
	fix_stop(s, 1000);
}
END_TEST

/* ------------------------------------------------------------------ certificates */

static void make(char *cert, char *key, size_t size, int n)
{
	snprintf(cert, size, "/tmp/net_calls_%d_%d.crt", (int)getpid(), n);
	snprintf(key, size, "/tmp/net_calls_%d_%d.key", (int)getpid(), n);
	ck_assert(certificate_make(cert, key, n ? "second" : "first"));
}

static enum net_action greet(struct net_conn *c)
{
	net_write(c, "hi", 2);
	return NET_NONE;
}

/* A connection whose server has the name. */
static SSL *connect_to(SSL_CTX *ctx, int port, const char *name)
{
	char text[128], two[2];
	SSL *ssl = SSL_new(ctx);
	SSL_set_fd(ssl, fix_connect(port));
	ck_assert_int_eq(SSL_connect(ssl), 1);
	ck_assert_int_eq(SSL_read(ssl, two, 2), 2);
	X509 *x = SSL_get1_peer_certificate(ssl);
	X509_NAME_oneline(X509_get_subject_name(x), text, sizeof text);
	ck_assert_msg(strstr(text, name) != NULL, "%s is not %s", text, name);
	X509_free(x);
	return ssl;
}

static void end(SSL *ssl)
{
	close(SSL_get_fd(ssl));
	SSL_free(ssl);
}

static enum net_action echo(struct net_conn *c)
{
	size_t len;
	const char *p = net_peek(c, &len);
	net_write_view(c, p, len);
	net_discard(c, len);
	return NET_NONE;
}

START_TEST(a_certificate_is_replaced)
{
	const struct net_events e = { .open = greet, .data = echo };
	struct net_options o;
	char certs[2][64], keys[2][64], text[5];
	int err;
	make(certs[0], keys[0], sizeof *certs, 0);
	make(certs[1], keys[1], sizeof *certs, 1);
	struct net_tls *tls = net_tls_server(certs[0], keys[0], &err);
	fix_options(&o, _i, 1);
	struct net_server *s = net_server_new(&e, &o, &err);
	struct net_listener *l = net_listen_transport(s, ANY, net_tls_transport(), tls, &err);
	ck_assert_int_eq(net_server_start(s, false), 0);
	SSL_CTX *client = SSL_CTX_new(TLS_client_method());
	SSL *old = connect_to(client, net_listener_port(l), "first");
	SSL_CTX *own = SSL_CTX_new(TLS_server_method());
	ck_assert_int_eq(SSL_CTX_use_certificate_chain_file(own, certs[1]), 1);
	ck_assert_int_eq(SSL_CTX_use_PrivateKey_file(own, keys[1], SSL_FILETYPE_PEM), 1);
	struct net_tls *second = net_tls_from_context(own);
	ck_assert_ptr_eq(net_tls_context(second), own);
	net_tls_replace(tls, second);
	SSL *fresh = connect_to(client, net_listener_port(l), "second");
	SSL *both[2] = { old, fresh }; /* that were connected before go on */
	for (int i = 0; i < 2; i++) {
		ck_assert_int_eq(SSL_write(both[i], "hello", 5), 5);
		ck_assert_int_eq(SSL_read(both[i], text, 5), 5);
		ck_assert_mem_eq(text, "hello", 5);
		end(both[i]);
	}
	SSL_CTX_free(client);
	fix_stop(s, 1000);
	net_tls_free(tls);
	for (int i = 0; i < 2; i++) {
		unlink(certs[i]);
		unlink(keys[i]);
	}
}
END_TEST

int main(void)
{
	Suite *s = suite_create("net_calls");
	TCase *t = tcase_create("net_calls");
	tcase_set_timeout(t, 120);
	const TTest *tests[] = {
		read_and_writev, output_is_held_back, flushing_in_the_middle_of_a_turn, turns_without_waiting,
		contexts_and_posts_that_are_held, posts_that_are_run_before_their_turn,
		a_given_socket_and_settings_at_run_time, a_certificate_is_replaced,
	};
	for (size_t i = 0; i < sizeof tests / sizeof *tests; i++)
		tcase_add_loop_test(t, tests[i], 0, FIX_WAYS);
	suite_add_tcase(s, t);
	return suite_run(s);
}
