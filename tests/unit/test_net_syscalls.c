/* Every system call that the library makes, and every call of a transport, fails in turn: what it was made for reports the
 * error, nothing leaks, nothing hangs, and the server stops as it should. */
#include <arpa/inet.h>
#include <check.h>
#include <dlfcn.h>
#include <errno.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "net/transport.h"
#include "tests/lib/failing_calls.h"
#include "tests/lib/net_fixture.h"
#include "tests/lib/suite.h"

#define BIG (1 << 20)
#define NTH_MAX 12

/* ------------------------------------------------------------------ the calls that fail */

/* These return their errors. */
#undef FAILING
#define FAILING(name, error, params, args) \
	int name params; \
	int name params \
	{ \
		static int(*_Atomic known) params; \
		int(*real) params = atomic_load(&known); \
		if (!real) \
			atomic_store(&known, real = REAL(#name, int(*) params)); \
		return fails(#name) ? (error) : real args; \
	}
struct io_uring;
struct io_uring_cqe;
FAILING(pthread_create, target_error, (pthread_t * t, const pthread_attr_t *a, void *(*f)(void *), void *x), (t, a, f, x))
FAILING(io_uring_queue_init_params, -target_error, (unsigned n, struct io_uring *r, void *p), (n, r, p))
FAILING(io_uring_register_buf_ring, -target_error, (struct io_uring *r, void *b, unsigned f), (r, b, f))
FAILING(io_uring_register, -target_error, (unsigned fd, unsigned o, const void *p, unsigned n), (fd, o, p, n))
FAILING(io_uring_submit, -target_error, (struct io_uring *r), (r))
FAILING(io_uring_submit_and_get_events, -target_error, (struct io_uring *r), (r))
FAILING(io_uring_submit_and_wait_timeout, -target_error,
        (struct io_uring *r, struct io_uring_cqe **c, unsigned n, void *t, void *m), (r, c, n, t, m))

static const struct {
	const char *name;
	int error;
} calls[] = {
	{ "socket", EMFILE }, { "bind", EADDRINUSE }, { "listen", EADDRINUSE }, { "accept4", EMFILE }, { "accept4", ECONNABORTED },
	{ "connect", ECONNREFUSED }, { "setsockopt", ENOBUFS }, { "getsockopt", ENOBUFS }, { "getsockname", ENOBUFS },
	{ "getpeername", ENOTCONN }, { "recv", ECONNRESET }, { "recv", EINTR }, { "send", EPIPE }, { "send", EAGAIN },
	{ "send", EINTR }, { "sendmsg", ENOBUFS }, { "sendmsg", EAGAIN }, { "sendmmsg", ENOBUFS }, { "recvmmsg", EINTR },
	{ "shutdown", ENOTCONN }, { "epoll_create1", EMFILE }, { "epoll_ctl", ENOMEM }, { "epoll_wait", EINTR },
	{ "poll", EINTR }, { "poll", ENOMEM }, { "eventfd", EMFILE }, { "read", EINTR }, { "write", EINTR },
	{ "pthread_create", EAGAIN }, { "io_uring_queue_init_params", EPERM }, { "io_uring_register_buf_ring", EINVAL },
	{ "io_uring_register", EBADF }, { "io_uring_submit", ENOMEM }, { "io_uring_submit", EINTR },
	{ "io_uring_submit_and_get_events", EAGAIN }, { "io_uring_submit_and_wait_timeout", EINTR },
	{ "transport new_state", ENOMEM }, { "transport handshake", EPROTO }, { "transport handshake", EAGAIN },
	{ "transport read", EIO }, { "transport read", EAGAIN }, { "transport writev", EIO }, { "transport writev", EAGAIN },
};
#define CALLS ((int)(sizeof calls / sizeof *calls))

/* ------------------------------------------------------------------ a transport that fails */

static atomic_long states;

static void *new_state(void *ctx, int fd, bool client, const char *host)
{
	(void)ctx;
	(void)client;
	(void)host;
	int *state = fails("transport new_state") ? NULL : malloc(sizeof *state);
	if (state) {
		*state = fd;
		atomic_fetch_add(&states, 1);
	}
	return state;
}

static int handshake(void *state, enum net_want *want)
{
	(void)state;
	*want = NET_WANT_WRITE;
	return fails("transport handshake") ? -errno : 0;
}

static ssize_t t_read(void *state, int fd, void *buf, size_t len)
{
	(void)state;
	ssize_t n = fails("transport read") ? -1 : recv(fd, buf, len, 0);
	return n < 0 ? -errno : n;
}

static ssize_t t_writev(void *state, int fd, const struct iovec *iov, int n)
{
	(void)state;
	struct msghdr m = { .msg_iov = (struct iovec *)(uintptr_t)iov, .msg_iovlen = (size_t)n };
	ssize_t r = fails("transport writev") ? -1 : sendmsg(fd, &m, MSG_NOSIGNAL);
	return r < 0 ? -errno : r;
}

static void free_state(void *state)
{
	atomic_fetch_sub(&states, 1);
	free(state);
}

static const struct net_transport transport = {
	.name = "failing", .new_state = new_state, .handshake = handshake, .read = t_read, .writev = t_writev,
	.free_state = free_state,
};

/* ------------------------------------------------------------------ one short life of a server */

static atomic_long opened, closed, log_lines;
static struct latch dialled; /* a connection, and one of datagrams */
static _Atomic net_conn_id last_conn;

static enum net_action on_open(struct net_conn *c)
{
	atomic_fetch_add(&opened, 1);
	atomic_store(&last_conn, net_conn_id_of(c));
	return NET_NONE;
}

static void on_close(struct net_conn *c, int reason)
{
	(void)c;
	(void)reason;
	atomic_fetch_add(&closed, 1);
}

/* Echoes; 'B' is answered with a megabyte in two pieces. */
static enum net_action on_data(struct net_conn *c)
{
	static const char zeros[BIG];
	size_t len;
	const char *p = net_peek(c, &len);
	net_discard(c, len);
	if (net_conn_tag(c) == 9)
		return NET_NONE;
	if (len && *p == 'B') {
		net_write_view(c, zeros, BIG / 2);
		net_write_view(c, zeros, BIG / 2);
		net_shutdown_write(c);
		return NET_NONE;
	}
	net_write(c, p, len);
	return NET_NONE;
}

static void on_packet(struct net_loop *l, const struct net_packet *p)
{
	net_send_to(l, p->listener, p->bytes, p->len, p->peer, p->peer_len);
}

static void on_log(struct net_server *s, int level, const char *text)
{
	(void)s;
	(void)level;
	atomic_fetch_add(&log_lines, strstr(text, "io_uring cannot be used") != NULL);
}

static void on_dialled(void *ctx, struct net_conn *c, int err)
{
	(void)ctx;
	ck_assert((c != NULL) == (err == 0));
	if (c)
		net_write(c, "hello", 5);
	latch_add(&dialled, 1);
}

/* A client that gives up soon, as the call that fails may be one that it needed. */
static void ask(const char *unix_path, int port)
{
	struct timeval limit = { .tv_usec = 400000 };
	struct sockaddr_in in = { .sin_family = AF_INET, .sin_port = htons((uint16_t)port),
		                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	struct sockaddr_un un = { .sun_family = AF_UNIX };
	static char buf[BIG];
	if (unix_path)
		memcpy(un.sun_path + 1, unix_path, strlen(unix_path));
	int fd = socket(unix_path ? AF_UNIX : AF_INET, SOCK_STREAM, 0);
	socklen_t un_len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + (unix_path ? strlen(unix_path) : 0));
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
	if (connect(fd, unix_path ? (struct sockaddr *)&un : (struct sockaddr *)&in, unix_path ? un_len : sizeof in) == 0 &&
	    send(fd, "ping", 4, MSG_NOSIGNAL) == 4 && recv(fd, buf, 4, MSG_WAITALL) == 4) {
		ck_assert_mem_eq(buf, "ping", 4);
		if (send(fd, "B", 1, MSG_NOSIGNAL) == 1)
			ck_assert_int_le(recv(fd, buf, BIG, MSG_WAITALL), BIG);
	}
	close(fd);
}

static void ask_datagram(int port)
{
	struct timeval limit = { .tv_usec = 200000 };
	struct sockaddr_in in = { .sin_family = AF_INET, .sin_port = htons((uint16_t)port),
		                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	char buf[8];
	int fd = socket(AF_INET, SOCK_DGRAM, 0);
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
	ck_assert_int_eq(sendto(fd, "datagram", 8, 0, (struct sockaddr *)&in, sizeof in), 8);
	ssize_t n = recv(fd, buf, sizeof buf, 0);
	ck_assert(n == 8 || (n < 0 && errno != ECONNREFUSED));
	close(fd);
}

static void use(struct net_server *s, struct net_listener **l, const char *unix_path)
{
	char url[64];
	struct net_dial d = { .url = url, .timeout_ms = 300, .tag = 9, .done = on_dialled };
	dialled = (struct latch)LATCH;
	ask(NULL, net_listener_port(l[0]));
	ask(unix_path, 0);
	ask(NULL, net_listener_port(l[2]));
	ask_datagram(net_listener_port(l[3]));
	snprintf(url, sizeof url, "tcp4://127.0.0.1:%d", net_listener_port(l[0]));
	inside = true;
	int err = net_dial(net_server_loop(s, 0), &d), other;
	ck_assert(err == 0 || err == -target_error);
	snprintf(url, sizeof url, "udp4://127.0.0.1:%d", net_listener_port(l[3]));
	other = net_dial(net_server_loop(s, 1), &d);
	ck_assert(other == 0 || other == -target_error);
	net_send(s, atomic_load(&last_conn), "late", 4, NULL, NULL);
	inside = false;
	latch_wait(&dialled, !err + !other);
	inside = true;
	net_unlisten(l[1]);
	inside = false;
}

/* Whether the call to fail was reached. */
static bool live(int way, int nth)
{
	static int serial;
	const struct net_events e = { .open = on_open, .data = on_data, .close = on_close, .packet = on_packet, .log = on_log };
	struct net_listener *l[4] = { NULL };
	struct net_options o;
	char path[64], urls[4][96] = { "tcp4://127.0.0.1:0", "", "tcp4://127.0.0.1:0", "udp://127.0.0.1:0" };
	int err = 0, before = fix_open_fds();
	bool started = false;
	snprintf(path, sizeof path, "shoalnet-%d-%d", (int)getpid(), ++serial);
	snprintf(urls[1], sizeof urls[1], "unix://@%s", path);
	atomic_store(&fix_blocks, 0);
	atomic_store(&opened, 0);
	atomic_store(&closed, 0);
	fix_options(&o, way, 2);
	o.realloc = fix_realloc;
	o.tcp_keepalive_s = 60;
	atomic_store(&countdown, nth);
	inside = true;
	struct net_server *s = net_server_new(&e, &o, &err);
	for (int i = 0; s && i < 4 && (i == 0 || l[i - 1]); i++) {
		l[i] = net_listen(s, urls[i], &err);
		if (i == 2 && l[i])
			net_listener_set_transport(l[i], &transport, NULL);
	}
	ck_assert_msg(l[3] || err == -target_error, "%s: %d instead of %d", target, -err, target_error);
	if (l[3]) {
		err = net_server_start(s, false);
		started = err == 0;
		ck_assert(started || err == -target_error);
	}
	inside = false;
	if (started) {
		use(s, l, path);
		inside = true;
		net_server_stop(s, 100);
		net_server_wait(s);
		inside = false;
	}
	inside = true;
	if (s)
		net_server_free(s);
	inside = false;
	ck_assert_int_eq(atomic_load(&fix_blocks), 0);
	ck_assert_int_eq(atomic_load(&states), 0);
	ck_assert_int_eq(atomic_load(&opened), atomic_load(&closed));
	ck_assert_int_eq(fix_open_fds(), before);
	return atomic_load(&countdown) <= 0;
}

START_TEST(every_call_fails_once)
{
	int way = _i / CALLS;
	target = calls[_i % CALLS].name;
	target_error = calls[_i % CALLS].error;
	for (int nth = 1; nth <= NTH_MAX && live(way, nth); nth++)
		;
}
END_TEST

/* Containers often forbid it. */
static bool has_io_uring(void)
{
	target = "none";
	atomic_store(&log_lines, 0);
	live(FIX_URING, 1);
	return atomic_load(&log_lines) == 0;
}

/* The list above is of calls that are really made: each on some backend. */
START_TEST(every_call_is_reached)
{
	bool uring = has_io_uring();
	for (int i = 0; i < CALLS; i++) {
		bool reached = !uring && !strncmp(calls[i].name, "io_uring_", 9);
		target = calls[i].name;
		target_error = calls[i].error;
		for (int way = 0; way < FIX_WAYS && !reached; way++)
			reached = live(way, 1);
		ck_assert_msg(reached, "%s is never called", target);
	}
}
END_TEST

START_TEST(without_io_uring_there_is_epoll_and_a_word_about_it)
{
	target = "io_uring_queue_init_params";
	target_error = EPERM;
	ck_assert(live(FIX_URING, 1));
	ck_assert_int_eq(atomic_load(&log_lines), 1);
	ck_assert_int_gt(atomic_load(&opened), 0); /* it was served */
}
END_TEST

#define ECHOES 500

START_TEST(an_echo_costs_three_system_calls)
{
	const struct net_events e = { .data = on_data };
	struct net_options o;
	char buf[64];
	int port;
	fix_options(&o, _i, 1);
	struct net_server *s = fix_start(&e, &o, "tcp4://127.0.0.1:0", &port);
	int fd = fix_connect(port);
	fix_send(fd, "first", 5);
	fix_recv(fd, buf, 5);
	long before = atomic_load(&made);
	for (int i = 0; i < ECHOES; i++) {
		memset(buf, 'x', sizeof buf);
		fix_send(fd, buf, sizeof buf);
		fix_recv(fd, buf, sizeof buf);
	}
	long n = atomic_load(&made) - before;
	ck_assert_int_ge(n, 2 * ECHOES - 2);
	ck_assert_int_le(n, 3 * ECHOES + 2); /* wait, receive, send */
	close(fd);
	fix_stop(s, 1000);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("net_syscalls");
	TCase *t = tcase_create("net_syscalls");
	tcase_set_timeout(t, 60);
	tcase_add_loop_test(t, every_call_fails_once, 0, FIX_WAYS * CALLS);
	tcase_add_test(t, every_call_is_reached);
	tcase_add_loop_test(t, an_echo_costs_three_system_calls, 0, FIX_WAYS);
	tcase_add_test(t, without_io_uring_there_is_epoll_and_a_word_about_it);
	suite_add_tcase(s, t);
	return suite_run(s);
}
