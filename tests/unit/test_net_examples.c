/* The programs of net/examples do what they say. */
#include <arpa/inet.h>
#include <check.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "tests/lib/example.h"
#include "tests/lib/net_fixture.h"
#include "tests/lib/suite.h"

static const char *argv0;

static pid_t start(const char *name, const char *a, const char *b, int *port)
{
	return example_start(argv0, name, a, b, NULL, port);
}

START_TEST(echo_echoes)
{
	int port;
	char back[5], name[64], url[80];
	struct sockaddr_un un = { .sun_family = AF_UNIX };
	snprintf(name, sizeof name, "net_examples:%d", (int)getpid());
	snprintf(url, sizeof url, "unix://@%s", name);
	memcpy(un.sun_path + 1, name, strlen(name));
	pid_t pid = example_start(argv0, "echo", "tcp4://127.0.0.1:0", url, NULL, &port);
	int fds[2] = { fix_connect(port), socket(AF_UNIX, SOCK_STREAM, 0) };
	socklen_t len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + strlen(name));
	ck_assert_int_eq(connect(fds[1], (struct sockaddr *)&un, len), 0);
	for (int i = 0; i < 2; i++) {
		fix_send(fds[i], "hello", 5);
		fix_recv(fds[i], back, 5);
		ck_assert_mem_eq(back, "hello", 5);
		close(fds[i]);
	}
	example_stop(pid);
}
END_TEST

START_TEST(echo_echoes_datagrams)
{
	int port;
	char back[8];
	pid_t pid = start("echo", "udp4://127.0.0.1:0", NULL, &port);
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_port = htons((uint16_t)port),
		                 .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	int fd = socket(AF_INET, SOCK_DGRAM, 0);
	ck_assert_int_eq(sendto(fd, "hello", 5, 0, (struct sockaddr *)&a, sizeof a), 5);
	struct pollfd p = { .fd = fd, .events = POLLIN };
	ck_assert_int_eq(poll(&p, 1, 20000), 1);
	ck_assert_int_eq(recv(fd, back, sizeof back, 0), 5);
	ck_assert_mem_eq(back, "hello", 5);
	close(fd);
	example_stop(pid);
}
END_TEST

START_TEST(push_pushes)
{
	int port;
	char line[64];
	pid_t pid = start("push", "tcp4://127.0.0.1:0", NULL, &port);
	int a = fix_connect(port), b = fix_connect(port);
	fix_recv(a, line, 20);
	fix_recv(b, line, 20);
	ck_assert_ptr_nonnull(memchr(line, '\n', 20));
	close(a);
	close(b);
	example_stop(pid);
}
END_TEST

START_TEST(the_proxy_passes_on_and_bounds_its_memory)
{
	int port, through;
	char url[64], buf[5];
	pid_t echo = start("echo", "tcp4://127.0.0.1:0", NULL, &port);
	snprintf(url, sizeof url, "tcp4://127.0.0.1:%d", port);
	pid_t proxy = start("proxy", "tcp4://127.0.0.1:0", url, &through);
	int fd = fix_connect(through);
	const size_t most = 4 * fix_kernel_keeps() + (16 << 20); /* there and back, on both sides of the proxy */
	fix_send(fd, "hello", 5);
	fix_recv(fd, buf, 5);
	ck_assert_mem_eq(buf, "hello", 5);
	fix_flood_echo(fd, most); /* the kernel's buffers and the watermarks, no more */
	example_stop(echo);
	fix_ended(fd); /* the end comes through, as FIN or reset */
	close(fd);
	example_stop(proxy);
}
END_TEST

int main(int argc, char **argv)
{
	(void)argc;
	argv0 = argv[0];
	Suite *s = suite_create("net_examples");
	TCase *t = tcase_create("net_examples");
	tcase_set_timeout(t, 120);
	tcase_add_test(t, echo_echoes);
	tcase_add_test(t, echo_echoes_datagrams);
	tcase_add_test(t, push_pushes);
	tcase_add_test(t, the_proxy_passes_on_and_bounds_its_memory);
	suite_add_tcase(s, t);
	return suite_run(s);
}
