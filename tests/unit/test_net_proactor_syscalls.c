/* Every system call that the proactor makes fails in turn: submissions and results say so, each operation has one, and
 * nothing leaks. And how many calls an echo costs. */
#include <check.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <unistd.h>

#include "net/proactor.h"
#include "tests/lib/failing_calls.h"
#include "tests/lib/net_fixture.h"
#include "tests/lib/suite.h"

#define BIG (1 << 20)
#define NTH_MAX 12

/* With one argument that the library gives it always, or does not look at. */
int fcntl(int fd, int what, ...)
{
	va_list args;
	va_start(args, what);
	long arg = va_arg(args, long);
	va_end(args);
	return fails("fcntl") ? -1 : REAL("fcntl", int (*)(int, int, ...))(fd, what, arg);
}

static const struct {
	const char *name;
	int error;
} calls[] = {
	{ "socket", EMFILE }, { "bind", EADDRINUSE }, { "listen", EADDRINUSE }, { "getsockname", ENOBUFS },
	{ "getsockopt", ENOBUFS }, { "fcntl", EBADF }, { "setsockopt", ENOBUFS }, { "accept4", EMFILE },
	{ "accept4", ECONNABORTED }, { "accept4", EBADF }, { "recv", ECONNRESET }, { "recv", EINTR }, { "send", EPIPE },
	{ "send", EAGAIN }, { "send", EINTR }, { "send", ENOBUFS }, { "sendmsg", EPIPE }, { "sendmsg", EAGAIN },
	{ "sendmsg", EINTR }, { "shutdown", ENOTCONN }, { "epoll_create1", EMFILE }, { "epoll_ctl", ENOMEM },
	{ "epoll_wait", EINTR }, { "poll", EINTR }, { "poll", ENOMEM }, { "eventfd", EMFILE }, { "read", EINTR },
	{ "write", EINTR },
};
#define CALLS ((int)(sizeof calls / sizeof *calls))

static const enum net_backend backends[] = { NET_BACKEND_EPOLL, NET_BACKEND_POLL };
static int64_t patience_ms = 400; /* of operations */

/* ------------------------------------------------------------------ one short life */

struct life {
	struct net_proactor *p;
	net_proactor_conn listener, conn;
	int asked, answered;
};

static void take(struct life *l, const struct net_result *r)
{
	static const char zeros[BIG];
	int64_t ms = patience_ms;
	l->answered++;
	ck_assert_int_le(r->err, 0);
	if (r->what == NET_OP_ACCEPT && !r->err) {
		l->conn = r->accepted;
		l->asked += net_proactor_read(l->p, l->conn, NULL, 0, ms, NULL) == 0;
	} else if (r->what == NET_OP_READ && r->n) { /* more than a socket takes, in pieces */
		l->asked += net_proactor_write(l->p, l->conn, r->buf, r->n, ms, NULL) == 0;
		l->asked += net_proactor_write(l->p, l->conn, zeros, BIG, ms, NULL) == 0;
		l->asked += net_proactor_write(l->p, l->conn, zeros, BIG, ms, NULL) == 0;
		l->asked += net_proactor_finish(l->p, l->conn, ms, NULL) == 0;
		l->asked += net_proactor_read_full(l->p, l->conn, NULL, 4, ms, NULL) == 0;
	}
}

static void pump(struct life *l, int client)
{
	static char sink[BIG];
	struct net_result r[4];
	size_t got = 0;
	for (int i = 0; l->answered < l->asked; i++) {
		inside = true;
		if (i == 3)
			net_proactor_wake(l->p);
		int n = net_proactor_wait(l->p, r, 4, 10);
		ck_assert_int_ge(n, 0);
		for (int k = 0; k < n; k++)
			take(l, &r[k]);
		inside = false;
		ssize_t k = recv(client, sink, sizeof sink, MSG_DONTWAIT);
		if (k > 0 && got < BIG && got + (size_t)k >= BIG)
			send(client, "pong", 4, MSG_NOSIGNAL);
		got += k > 0 ? (size_t)k : 0;
	}
}

static void use(struct life *l, int port)
{
	struct sockaddr_in in = { .sin_family = AF_INET, .sin_port = htons((uint16_t)port),
		                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	int client = socket(AF_INET, SOCK_STREAM, 0);
	ck_assert_int_eq(connect(client, (struct sockaddr *)&in, sizeof in), 0);
	ck_assert_int_eq(send(client, "ping", 4, MSG_NOSIGNAL), 4);
	l->asked += net_proactor_accept(l->p, l->listener, patience_ms, NULL) == 0;
	pump(l, client);
	inside = true;
	/* What is under way when it is released ends too. */
	l->asked += net_proactor_read(l->p, l->conn, NULL, 0, -1, NULL) == 0;
	l->asked += net_proactor_accept(l->p, l->listener, -1, NULL) == 0;
	net_proactor_release(l->p, l->conn);
	ck_assert_int_eq(net_proactor_release(l->p, l->listener), 0);
	inside = false;
	pump(l, client);
	close(client);
}

/* Whether the call to fail was reached. */
static bool live(int way, int nth)
{
	struct net_proactor_options o;
	struct life l = { 0 };
	int err = 0, port = 0, before = fix_open_fds();
	net_proactor_options_init(&o);
	o.backend = backends[way];
	o.realloc = fix_realloc;
	atomic_store(&countdown, nth);
	inside = true;
	l.p = net_proactor_new(&o, &err);
	if (l.p)
		err = net_proactor_listen(l.p, "tcp4://127.0.0.1:0", &l.listener, &port);
	inside = false;
	ck_assert_msg(!err || err == -target_error, "%s: %d instead of %d", target, -err, target_error);
	if (l.p && !err)
		use(&l, port);
	inside = true;
	if (l.p)
		net_proactor_free(l.p);
	inside = false;
	ck_assert_int_eq(l.asked, l.answered);
	ck_assert_int_eq(atomic_load(&fix_blocks), 0);
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

START_TEST(every_call_is_reached)
{
	for (int i = 0; i < CALLS; i++) {
		target = calls[i].name;
		target_error = calls[i].error;
		bool reached = false; /* on a slow machine an operation may expire before the call it would make */
		for (patience_ms = 400; !reached && patience_ms < 60000; patience_ms *= 2)
			reached = live(0, 1) || live(1, 1);
		ck_assert_msg(reached, "%s is never called", target);
	}
}
END_TEST

#define ECHOES 500

/* On epoll: wait, receive, send. */
START_TEST(an_echo_costs_three_system_calls)
{
	struct net_result r;
	net_proactor_conn c;
	int fds[2], err;
	char buf[64] = "x";
	struct net_proactor *p = net_proactor_new(NULL, &err);
	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
	ck_assert_int_eq(net_proactor_add(p, fds[0], &c), 0);
	ck_assert_int_eq(net_proactor_read(p, c, NULL, 0, -1, NULL), 0);
	ck_assert_int_eq(net_proactor_wait(p, &r, 1, 0), 0);
	target = "none";
	long n = 0;
	for (int i = 0; i < ECHOES; i++) {
		fix_send(fds[1], buf, sizeof buf);
		long before = atomic_load(&made);
		inside = true;
		ck_assert_int_eq(net_proactor_wait(p, &r, 1, -1), 1);
		ck_assert_int_eq(net_proactor_write(p, c, r.buf, r.n, -1, NULL), 0);
		ck_assert_int_eq(net_proactor_wait(p, &r, 1, -1), 1);
		ck_assert_int_eq(r.what, NET_OP_WRITE);
		ck_assert_int_eq(net_proactor_read(p, c, NULL, 0, -1, NULL), 0);
		inside = false;
		n += atomic_load(&made) - before;
		fix_recv(fds[1], buf, sizeof buf);
	}
	ck_assert_int_ge(n, 3 * ECHOES - 2);
	ck_assert_int_le(n, 3 * ECHOES + 2);
	close(fds[1]);
	net_proactor_free(p);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("net_proactor_syscalls");
	TCase *t = tcase_create("net_proactor_syscalls");
	tcase_set_timeout(t, 60);
	tcase_add_loop_test(t, every_call_fails_once, 0, 2 * CALLS);
	tcase_add_test(t, every_call_is_reached);
	tcase_add_test(t, an_echo_costs_three_system_calls);
	suite_add_tcase(s, t);
	return suite_run(s);
}
