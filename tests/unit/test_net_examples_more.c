/* More programs of net/examples: HTTP, a limit of connections, idle timeouts, a protocol of one's own, a client. */
#include <arpa/inet.h>
#include <check.h>
#include <openssl/ssl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "net/codec.h"
#include "net/tls.h"
#include "tests/lib/certificate.h"
#include "tests/lib/example.h"
#include "tests/lib/net_fixture.h"
#include "tests/lib/suite.h"

#define ANY "tcp4://127.0.0.1:0"

static const char *argv0;

static void expect(int fd, const char *text)
{
	char buf[512];
	size_t len = strlen(text);
	fix_recv(fd, buf, len);
	buf[len] = 0;
	ck_assert_str_eq(buf, text);
}

static void say(int fd, const char *text)
{
	fix_send(fd, text, strlen(text));
}

/* ------------------------------------------------------------------ http */

#define OK_HELLO "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 6\r\n\r\nhello\n"
#define CLOSED_HELLO "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 6\r\nConnection: close\r\n\r\nhello\n"
#define EMPTY(status) "HTTP/1.1 " status "\r\nContent-Type: text/plain\r\nContent-Length: 0\r\n\r\n"
#define REFUSED(status) "HTTP/1.1 " status "\r\nContent-Type: text/plain\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"

START_TEST(http_keeps_connections_alive)
{
	static const char requests[] = "GET / HTTP/1.1\r\nHost: x\r\n\r\n"
	                               "POST /echo HTTP/1.1\r\nhOST:x\r\nContent-Length:\t4 \r\n\r\n\r\n\r\n"
	                               "HEAD / HTTP/1.1\r\nHost: x\r\n\r\n"
	                               "GET /nowhere HTTP/1.1\r\nHost: x\r\n\r\n"
	                               "PUT / HTTP/1.1\r\nHost: x\r\n\r\n";
	static const char answers[] = OK_HELLO
	    "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 4\r\n\r\n\r\n\r\n"
	    "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 6\r\n\r\n"
	    EMPTY("404 Not Found") EMPTY("405 Method Not Allowed");
	int port;
	pid_t pid = example_start(argv0, "http", ANY, NULL, NULL, &port);
	int fd = fix_connect(port), on = 1;
	setsockopt(fd, IPPROTO_TCP, 1 /* TCP_NODELAY */, &on, sizeof on);
	say(fd, requests); /* one behind the other */
	expect(fd, answers);
	for (size_t i = 0; i < sizeof requests - 1; i++) /* and byte by byte, on the same connection */
		fix_send(fd, requests + i, 1);
	expect(fd, answers);
	say(fd, "GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
	expect(fd, CLOSED_HELLO);
	ck_assert(!fix_ended(fd));
	close(fd);
	fd = fix_connect(port);
	say(fd, "GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\nGET / HTTP/1.0\r\n\r\n");
	expect(fd, OK_HELLO CLOSED_HELLO);
	ck_assert(!fix_ended(fd));
	close(fd);
	example_stop(pid);
}
END_TEST

START_TEST(http_takes_a_large_body)
{
	static char body[1 << 20], back[1 << 20];
	int port;
	pid_t pid = example_start(argv0, "http", ANY, NULL, NULL, &port);
	int fd = fix_connect(port);
	for (size_t i = 0; i < sizeof body; i++)
		body[i] = (char)fix_byte(i);
	say(fd, "POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 1048576\r\n\r\n");
	fix_send(fd, body, sizeof body);
	expect(fd, "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 1048576\r\n\r\n");
	fix_recv(fd, back, sizeof back);
	ck_assert_mem_eq(body, back, sizeof body);
	close(fd);
	example_stop(pid);
}
END_TEST

START_TEST(http_refuses)
{
	static const struct {
		const char *request, *answer;
	} rows[] = {
		{ "nonsense\r\n\r\n", REFUSED("400 Bad Request") },
		{ "GET / HTTP/2.0\r\nHost: x\r\n\r\n", REFUSED("400 Bad Request") },
		{ "GET / HTTP/1.1\r\n\r\n", REFUSED("400 Bad Request") }, /* no host */
		{ "GET / HTTP/1.1\r\nHost: x\r\nno colon\r\n\r\n", REFUSED("400 Bad Request") },
		{ "GET / HTTP/1.1\r\nHost: x\r\n folded: x\r\n\r\n", REFUSED("400 Bad Request") },
		{ "POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n", REFUSED("400 Bad Request") },
		{ "POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\nContent-Length: 1\r\n\r\n", REFUSED("400 Bad Request") },
		{ "POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 1048577\r\n\r\n", REFUSED("413 Content Too Large") },
		{ "POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999999999999999\r\n\r\n", REFUSED("413 Content Too Large") },
		{ "POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n", REFUSED("501 Not Implemented") },
	};
	int port;
	char *big = malloc(8193);
	memset(big, 'a', 8192);
	big[8192] = 0;
	pid_t pid = example_start(argv0, "http", ANY, NULL, NULL, &port);
	for (size_t i = 0; i <= sizeof rows / sizeof *rows; i++) {
		bool last = i == sizeof rows / sizeof *rows;
		int fd = fix_connect(port);
		say(fd, last ? big : rows[i].request);
		expect(fd, last ? REFUSED("431 Request Header Fields Too Large") : rows[i].answer);
		fix_ended(fd);
		close(fd);
	}
	free(big);
	example_stop(pid);
}
END_TEST

static char cert[64], key[64];

static void make_certificate(void)
{
	snprintf(cert, sizeof cert, "/tmp/net_examples_%d.crt", (int)getpid());
	snprintf(key, sizeof key, "/tmp/net_examples_%d.key", (int)getpid());
	ck_assert(certificate_make(cert, key, "test"));
}

static void remove_certificate(void)
{
	unlink(cert);
	unlink(key);
}

START_TEST(http_speaks_tls)
{
	char buf[sizeof OK_HELLO] = "";
	int port;
	make_certificate();
	pid_t pid = example_start(argv0, "http", ANY, cert, key, &port);
	int fd = fix_connect(port);
	SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
	ck_assert_int_eq(SSL_CTX_load_verify_locations(ctx, cert, NULL), 1);
	SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER, NULL);
	SSL *ssl = SSL_new(ctx);
	ck_assert_int_eq(SSL_set_fd(ssl, fd), 1);
	ck_assert_int_eq(SSL_connect(ssl), 1);
	for (int i = 0; i < 2; i++) { /* kept alive */
		ck_assert_int_gt(SSL_write(ssl, "GET / HTTP/1.1\r\nHost: x\r\n\r\n", 27), 0);
		for (int got = 0, n; got < (int)sizeof OK_HELLO - 1; got += n) {
			n = SSL_read(ssl, buf + got, (int)sizeof OK_HELLO - 1 - got);
			ck_assert_int_gt(n, 0);
		}
		ck_assert_str_eq(buf, OK_HELLO);
	}
	SSL_free(ssl);
	SSL_CTX_free(ctx);
	close(fd);
	example_stop(pid);
	remove_certificate();
}
END_TEST

/* ------------------------------------------------------------------ limit, idle */

/* Whether the server serves the new connection. */
static bool served(int fd)
{
	char buf[21];
	ssize_t n = send(fd, "x", 1, MSG_NOSIGNAL) == 1 ? recv(fd, buf, 1, 0) : 0;
	if (n == 1 && *buf == 'x')
		return true;
	if (n == 1) { /* a reset may have overtaken the rest, as there was something unread */
		ck_assert_int_eq(*buf, 't');
		while (recv(fd, buf, sizeof buf, 0) > 0)
			;
	}
	return false;
}

START_TEST(limit_counts)
{
	int port, fds[3];
	pid_t pid = example_start(argv0, "limit", ANY, "3", NULL, &port);
	for (int i = 0; i < 3; i++) {
		fds[i] = fix_connect(port);
		ck_assert(served(fds[i]));
	}
	for (int i = 0; i < 5; i++) { /* who is refused does not count */
		int fd = fix_connect(port);
		expect(fd, "too many connections\n");
		ck_assert(!fix_ended(fd));
		close(fd);
	}
	ck_assert(served(fds[1]));
	close(fds[1]);
	for (fds[1] = fix_connect(port); !served(fds[1]); fds[1] = fix_connect(port)) /* as soon as the server has seen it */
		close(fds[1]);
	for (int i = 0; i < 3; i++) {
		ck_assert(served(fds[i]));
		close(fds[i]);
	}
	example_stop(pid);
}
END_TEST

static int64_t now_ms(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* Says a line and hears it again. false: the connection has ended, which it may from a time on, or when it was silent for
 * the idle time, as the machine stopped; `last` is when it was not. */
static bool heard(int fd, const char *line, int64_t *last, int64_t may_end_ms)
{
	char back[16];
	size_t len = strlen(line);
	int64_t begin = now_ms();
	bool ok = send(fd, line, len, MSG_NOSIGNAL) == (ssize_t)len && recv(fd, back, len, MSG_WAITALL) == (ssize_t)len;
	ck_assert(ok ? !memcmp(back, line, len) : now_ms() >= may_end_ms || now_ms() - *last >= 290);
	*last = begin;
	return ok;
}

/* false: the machine stopped, so that all were idle. */
static bool idle_and_others(int port)
{
	int64_t begin = now_ms(), last = begin, still_last = begin;
	int busy = fix_connect(port), still = fix_connect(port), quiet = fix_connect(port);
	struct pollfd p = { .fd = quiet, .events = POLLIN };
	bool ok = heard(still, "stay\n", &still_last, INT64_MAX);
	while (ok && poll(&p, 1, 5) == 0)
		ok = heard(busy, "hello\n", &last, INT64_MAX);
	if (ok) {
		ck_assert(!fix_ended(quiet));
		ck_assert_int_ge(now_ms() - begin, 250);
	}
	begin = last = now_ms();
	p.fd = fix_connect(port);
	ok = ok && heard(p.fd, "leave\n", &last, INT64_MAX);
	for (bool on = ok; on && poll(&p, 1, 5) == 0;)
		on = heard(p.fd, "more\n", &last, begin + 900);
	if (ok && now_ms() - begin < 900) { /* not idle, and its time not over */
		ck_assert_int_ge(now_ms() - last, 290);
		ok = false;
	}
	if (ok) {
		say(still, "still here\n");
		expect(still, "still here\n");
	}
	close(p.fd);
	close(busy);
	close(still);
	close(quiet);
	return ok;
}

START_TEST(idle_closes_the_idle_alone)
{
	int port;
	pid_t pid = example_start(argv0, "idle", ANY, "300", NULL, &port);
	while (!idle_and_others(port))
		;
	example_stop(pid);
}
END_TEST

/* ------------------------------------------------------------------ protocol */

START_TEST(protocol_speaks_packets)
{
	int port;
	pid_t pid = example_start(argv0, "protocol", ANY, NULL, NULL, &port);
	int fd = fix_connect(port);
	char got[64];
	static const char hello[] = "She\0\5hello\x14" "Shu\0\5hello\x14" "Shz\0\0\0";
	static const char back[] = "She\0\5hello\x14" "Shu\0\5HELLO\x74" "Shx\0\14unknown kind\xd6";
	for (size_t i = 0; i < sizeof hello - 1; i++)
		fix_send(fd, hello + i, 1);
	fix_recv(fd, got, sizeof back - 1);
	ck_assert_mem_eq(got, back, sizeof back - 1);
	fix_send(fd, "She\0\1a\0", 7);
	fix_recv(fd, got, 15);
	ck_assert_mem_eq(got, "Shx\0\11wrong sum", 14);
	fix_ended(fd);
	close(fd);
	fd = fix_connect(port);
	say(fd, "SX");
	fix_recv(fd, got, 18);
	ck_assert_mem_eq(got, "Shx\0\14not a packet", 17);
	fix_ended(fd);
	close(fd);
	example_stop(pid);
}
END_TEST

/* ------------------------------------------------------------------ client */

static int accept_soon(int listener)
{
	struct pollfd p = { .fd = listener, .events = POLLIN };
	struct timeval limit = { .tv_sec = 20 };
	ck_assert_int_eq(poll(&p, 1, 20000), 1);
	int fd = accept(listener, NULL, NULL);
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
	return fd;
}

START_TEST(client_comes_back)
{
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t len = sizeof a;
	char url[64];
	int port;
	int listener = socket(AF_INET, SOCK_STREAM, 0);
	ck_assert_int_eq(bind(listener, (struct sockaddr *)&a, sizeof a) || listen(listener, 5), 0);
	getsockname(listener, (struct sockaddr *)&a, &len);
	snprintf(url, sizeof url, "tcp4://localhost:%d", ntohs(a.sin_port));
	pid_t pid = example_start(argv0, "client", url, NULL, NULL, &port);
	ck_assert_int_eq(port, ntohs(a.sin_port));
	int fd = accept_soon(listener);
	expect(fd, "line 1\n");
	say(fd, "answer\r\n");
	expect(fd, "line 2\n");
	close(fd);
	fd = accept_soon(listener);
	expect(fd, "line 3\n");
	close(fd);
	fd = accept_soon(listener);
	expect(fd, "line 4\n");
	say(fd, "and\nagain\n");
	expect(fd, "line 5\nline 6\n");
	close(fd);
	close(listener);
	example_stop(pid);
}
END_TEST

static struct latch lines;

static enum net_action answer_line(struct net_conn *c, const struct net_message *m)
{
	ck_assert_int_eq(net_write_message(c, m->bytes, m->len, 0), 0);
	latch_add(&lines, 1);
	return latch_get(&lines) > 10 ? NET_CLOSE : NET_NONE;
}

START_TEST(client_speaks_tls)
{
	const struct net_events e = { .message = answer_line };
	struct net_options o;
	char url[64];
	int err, port;
	make_certificate();
	struct net_tls *tls = net_tls_server(cert, key, &err);
	fix_options(&o, 0, 1);
	struct net_server *s = net_server_new(&e, &o, &err);
	struct net_listener *l = net_listen(s, ANY, &err);
	net_listener_set_transport(l, net_tls_transport(), tls);
	net_listener_set_codec(l, net_line_codec(), NULL);
	ck_assert_int_eq(net_server_start(s, false), 0);
	snprintf(url, sizeof url, "tcp4://127.0.0.1:%d", net_listener_port(l));
	pid_t pid = example_start(argv0, "client", url, cert, NULL, &port);
	latch_wait(&lines, 12); /* one of them after it came back */
	example_stop(pid);
	fix_stop(s, 1000);
	net_tls_free(tls);
	remove_certificate();
}
END_TEST

int main(int argc, char **argv)
{
	(void)argc;
	argv0 = argv[0];
	Suite *s = suite_create("net_examples_more");
	TCase *t = tcase_create("net_examples_more");
	tcase_set_timeout(t, 120);
	tcase_add_test(t, http_keeps_connections_alive);
	tcase_add_test(t, http_takes_a_large_body);
	tcase_add_test(t, http_refuses);
	tcase_add_test(t, http_speaks_tls);
	tcase_add_test(t, limit_counts);
	tcase_add_test(t, idle_closes_the_idle_alone);
	tcase_add_test(t, protocol_speaks_packets);
	tcase_add_test(t, client_comes_back);
	tcase_add_test(t, client_speaks_tls);
	suite_add_tcase(s, t);
	return suite_run(s);
}
