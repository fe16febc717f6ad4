/* The proactor's examples, and the README's code about it as it stands there. */
#include <arpa/inet.h>
#include <check.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "net/proactor.h"
#include "tests/lib/example.h"
#include "tests/lib/net_fixture.h"

#include "gen/net_proactor.c"
#include "tests/lib/suite.h"

static const char *argv0;

START_TEST(echo_echoes)
{
	enum { CLIENTS = 50, BIG = 4 << 20 };
	static char big[BIG], back[BIG];
	int port, fds[CLIENTS];
	char buf[5];
	pid_t pid = example_start(argv0, "proactor_echo", "tcp4://127.0.0.1:0", NULL, NULL, &port);
	for (int i = 0; i < CLIENTS; i++) {
		fds[i] = fix_connect(port);
		fix_send(fds[i], "hello", 5);
	}
	for (int i = 0; i < CLIENTS; i++) {
		fix_recv(fds[i], buf, 5);
		ck_assert_mem_eq(buf, "hello", 5);
		if (i)
			close(fds[i]);
	}
	for (size_t i = 0; i < BIG; i++)
		big[i] = (char)fix_byte(i);
	size_t sent = 0, got = 0;
	while (got < BIG) {
		struct pollfd p = { .fd = fds[0], .events = (short)(POLLIN | (sent < BIG ? POLLOUT : 0)) };
		ck_assert_int_eq(poll(&p, 1, 20000), 1);
		ssize_t n = p.revents & POLLOUT ? send(fds[0], big + sent, BIG - sent, MSG_DONTWAIT | MSG_NOSIGNAL) : 0;
		sent += n > 0 ? (size_t)n : 0;
		n = p.revents & POLLIN ? recv(fds[0], back + got, BIG - got, 0) : 1;
		ck_assert_int_gt(n, 0);
		got += p.revents & POLLIN ? (size_t)n : 0;
	}
	ck_assert_mem_eq(big, back, BIG);
	shutdown(fds[0], SHUT_WR);
	ck_assert(!fix_ended(fds[0]));
	close(fds[0]);
	example_stop(pid);
}
END_TEST

START_TEST(echo_bounds_its_memory)
{
	int port;
	pid_t pid = example_start(argv0, "proactor_echo", "tcp4://127.0.0.1:0", NULL, NULL, &port);
	int fd = fix_connect(port);
	const size_t most = 2 * fix_kernel_keeps() + (16 << 20);
	fix_flood_echo(fd, most); /* the kernel's buffers, and a read's bytes */
	close(fd);
	example_stop(pid);
}
END_TEST

START_TEST(push_pushes)
{
	int port;
	char line[64] = { 0 };
	pid_t pid = example_start(argv0, "proactor_push", "tcp4://127.0.0.1:0", NULL, NULL, &port);
	int a = fix_connect(port), b = fix_connect(port), idle = fix_connect(port);
	for (int i = 0; i < 3; i++)
		fix_send(a, "whatever", 8); /* is read and dropped */
	fix_recv(a, line, 20);
	ck_assert_ptr_nonnull(memchr(line, '\n', 20));
	fix_recv(b, line, 20);
	close(b);
	for (int i = 0; i < 3; i++) /* goes on without b */
		fix_recv(a, line, 10);
	close(a);
	fix_recv(idle, line, 40);
	close(idle);
	example_stop(pid);
}
END_TEST

/* ------------------------------------------------------------------ the README */

static void *run_serve(void *arg)
{
	net_proactor_conn *both = arg;
	serve((struct net_proactor *)(uintptr_t)both[0], both[1]);
	return NULL;
}

START_TEST(the_readmes_echo)
{
	net_proactor_conn both[2];
	pthread_t t;
	int port, err;
	char buf[5];
	struct net_proactor *p = net_proactor_new(NULL, &err);
	both[0] = (uintptr_t)p;
	ck_assert_int_eq(net_proactor_listen(p, "tcp4://127.0.0.1:0", &both[1], &port), 0);
	pthread_create(&t, NULL, run_serve, both);
	int fd = fix_connect(port);
	for (int i = 0; i < 3; i++) {
		fix_send(fd, "hello", 5);
		fix_recv(fd, buf, 5);
		ck_assert_mem_eq(buf, "hello", 5);
	}
	close(fd);
	FILE *f = fopen("net/examples/proactor_echo.c", "r"), *g = fopen("net/README.md", "r");
	static char code[1 << 16], readme[1 << 18];
	ck_assert(f && g && fread(code, 1, sizeof code - 1, f) > 0 && fread(readme, 1, sizeof readme - 1, g) > 0);
	fclose(f);
	fclose(g);
	char *from = strstr(code, "/* Until net_proactor_wake()"), *to = strstr(code, "\nint main");
	ck_assert(from && to);
	*to = 0;
	ck_assert_ptr_nonnull(strstr(readme, from));
	net_proactor_wake(p);
	pthread_join(t, NULL);
	net_proactor_free(p);
}
END_TEST

static char heard[64];
static int messages;

static void hear(struct session *s, const char *bytes, size_t len)
{
	(void)s;
	ck_assert_uint_lt(len, sizeof heard);
	memcpy(heard, bytes, len);
	heard[len] = 0;
	messages++;
}

START_TEST(the_readmes_session)
{
	struct session s = { 0 };
	net_proactor_conn l, c;
	struct net_result r;
	int port, err;
	uint32_t n = htonl(5), none = 0, huge = htonl(2 << 20);
	struct net_proactor *p = net_proactor_new(NULL, &err);
	ck_assert_int_eq(net_proactor_listen(p, "tcp4://127.0.0.1:0", &l, &port), 0);
	for (int way = 0; way < 2; way++) {
		s = (struct session){ 0 };
		messages = 0;
		net_proactor_accept(p, l, -1, NULL);
		int fd = fix_connect(port);
		ck_assert_int_eq(net_proactor_wait(p, &r, 1, 20000), 1);
		c = r.accepted;
		ck_assert_int_eq(net_proactor_read_full(p, c, &s.length, sizeof s.length, -1, &s), 0);
		fix_send(fd, &n, 4);
		fix_send(fd, "first", 5);
		fix_send(fd, &none, 4);
		fix_send(fd, &n, 4);
		fix_send(fd, "other", 5);
		while (messages < 2) {
			ck_assert_int_eq(net_proactor_wait(p, &r, 1, 20000), 1);
			ck_assert(session_step(p, &s, &r, hear));
		}
		ck_assert_str_eq(heard, "other");
		if (way) /* too long */
			fix_send(fd, &huge, 4);
		else /* ends in the middle */
			fix_send(fd, &huge, 2);
		shutdown(fd, SHUT_WR);
		ck_assert_int_eq(net_proactor_wait(p, &r, 1, 20000), 1);
		ck_assert(!session_step(p, &s, &r, hear));
		ck_assert_int_eq(net_proactor_wait(p, &r, 1, 0), 0);
		ck_assert(!fix_ended(fd));
		close(fd);
	}
	net_proactor_free(p);
}
END_TEST

int main(int argc, char **argv)
{
	(void)argc;
	argv0 = argv[0];
	Suite *s = suite_create("net_examples_proactor");
	TCase *t = tcase_create("net_examples_proactor");
	tcase_set_timeout(t, 60);
	tcase_add_test(t, echo_echoes);
	tcase_add_test(t, echo_bounds_its_memory);
	tcase_add_test(t, push_pushes);
	tcase_add_test(t, the_readmes_echo);
	tcase_add_test(t, the_readmes_session);
	suite_add_tcase(s, t);
	return suite_run(s);
}
