/* What net/README.md shows one by one, as it stands there. */
#include <arpa/inet.h>
#include <check.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "net/tls.h"
#include "tests/lib/certificate.h"
#include "tests/lib/net_fixture.h"

#include "gen/net_one_by_one.c"
#include "tests/lib/suite.h"

#define ANY "tcp4://127.0.0.1:0"

static struct latch opened, closed;
static struct net_conn *the_conn;

static enum net_action keep(struct net_conn *c)
{
	the_conn = c;
	latch_add(&opened, 1);
	return NET_NONE;
}

static void count_close(struct net_conn *c, int reason)
{
	(void)c;
	(void)reason;
	latch_add(&closed, 1);
}

static struct net_server *start(const struct net_events *e, int *port)
{
	struct net_options o;
	opened = closed = (struct latch)LATCH;
	fix_options(&o, 0, 1);
	return fix_start(e, &o, ANY, port);
}

static void expect(int fd, const char *text)
{
	char buf[256];
	size_t len = strlen(text);
	fix_recv(fd, buf, len);
	buf[len] = 0;
	ck_assert_str_eq(buf, text);
}

START_TEST(a_server_and_its_addresses)
{
	const struct net_events e = { .open = on_open, .close = on_close, .packet = on_packet };
	struct sockaddr_un un = { .sun_family = AF_UNIX };
	char hello[7];
	int err = 0;
	struct net_server *s;
	while (!(s = new_server(&e, &err)) && err == -EADDRINUSE)
		poll(NULL, 0, 10); /* another run of this test has the name */
	ck_assert_msg(s != NULL, "%s", strerror(-err));
	ck_assert_int_eq(net_server_loops(s), 2);
	ck_assert_int_eq(net_server_start(s, false), 0);
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);
	memcpy(un.sun_path + 1, "shoalnet.readme", 15);
	ck_assert_int_eq(connect(fd, (struct sockaddr *)&un, offsetof(struct sockaddr_un, sun_path) + 16), 0);
	fix_recv(fd, hello, 6);
	ck_assert_mem_eq(hello, "hello ", 6);
	close(fd);
	fix_stop(s, 1000);
}
END_TEST

START_TEST(records_and_sessions)
{
	const struct net_events e = { .open = on_open, .data = on_records, .close = on_close };
	struct sockaddr_in me;
	socklen_t len = sizeof me;
	char want[64];
	int port;
	struct net_server *s = start(&e, &port);
	int fd = fix_connect(port);
	getsockname(fd, (struct sockaddr *)&me, &len);
	snprintf(want, sizeof want, "hello 127.0.0.1:%d\n", ntohs(me.sin_port));
	expect(fd, want);
	fix_send(fd, "\3abc\0\2d", 7);
	expect(fd, "abc");
	fix_send(fd, "e\1f", 3);
	expect(fd, "def");
	close(fd);
	fix_stop(s, 1000);
}
END_TEST

static enum net_action write_all(struct net_conn *c)
{
	size_t len;
	net_peek(c, &len);
	net_discard(c, len);
	int fd = open("net/README.md", O_RDONLY);
	ck_assert_int_eq(write_number(c, -5), 0);
	ck_assert_int_eq(write_file(c, fd), 0);
	ck_assert_int_eq(write_number(c, 123456789012), 0);
	close(fd);
	return NET_CLOSE;
}

START_TEST(files_and_numbers)
{
	const struct net_events e = { .data = write_all };
	struct stat st;
	int port;
	struct net_server *s = start(&e, &port);
	int fd = fix_connect(port), file = open("net/README.md", O_RDONLY);
	ck_assert_int_eq(fstat(file, &st), 0);
	char *want = malloc((size_t)st.st_size), *got = malloc((size_t)st.st_size);
	ck_assert_int_eq(read(file, want, (size_t)st.st_size), st.st_size);
	fix_send(fd, "x", 1);
	expect(fd, "-5\n");
	fix_recv(fd, got, (size_t)st.st_size);
	ck_assert_mem_eq(got, want, (size_t)st.st_size);
	expect(fd, "123456789012\n");
	ck_assert(!fix_ended(fd));
	close(fd);
	close(file);
	free(want);
	free(got);
	fix_stop(s, 1000);
}
END_TEST

START_TEST(a_source_without_end)
{
	const struct net_events e = { .data = produce, .watermark = on_watermark, .close = count_close };
	static char buf[64 << 20];
	struct net_loop_stats st;
	int port;
	struct net_server *s = start(&e, &port);
	int fd = fix_connect(port);
	fix_send(fd, "x", 1);
	fix_recv(fd, buf, sizeof buf);
	net_loop_get_stats(net_server_loop(s, 0), &st);
	ck_assert_uint_lt(st.memory, 3 << 20);
	close(fd);
	latch_wait(&closed, 1);
	fix_stop(s, 1000);
}
END_TEST

/* 'w' has something computed, 'c' counts connections. */
static enum net_action have_it_done(struct net_conn *c)
{
	struct job *j = calloc(1, sizeof *j);
	pthread_t t;
	size_t len;
	const char *p = net_peek(c, &len);
	*j = (struct job){ .msg.run = count_connections, .server = net_loop_server(net_conn_loop(c)),
		               .from = net_conn_id_of(c), .n = 12 };
	if (*p == 'w') {
		pthread_create(&t, NULL, work, j);
		pthread_detach(t);
	} else {
		net_post(net_conn_loop(c), &j->msg);
	}
	net_discard(c, len);
	return NET_NONE;
}

START_TEST(work_elsewhere)
{
	const struct net_events e = { .open = keep, .data = have_it_done };
	int port;
	struct net_server *s = start(&e, &port);
	int fd = fix_connect(port), other = fix_connect(port);
	latch_wait(&opened, 2);
	fix_send(fd, "w", 1);
	expect(fd, "144\n");
	fix_send(fd, "c", 1);
	expect(fd, "2\n");
	close(fd);
	close(other);
	fix_stop(s, 1000);
}
END_TEST

static enum net_action remind_thrice(struct net_conn *c)
{
	ck_assert_int_eq(remind_of_it(c, 3), 0);
	return NET_NONE;
}

START_TEST(reminders)
{
	const struct net_events e = { .open = remind_thrice, .close = forget };
	int port;
	struct net_server *s = start(&e, &port);
	int fd = fix_connect(port);
	expect(fd, "remember\nremember\nremember\n");
	close(fd);
	fd = fix_connect(port); /* and it ends before the time has come */
	expect(fd, "r");
	close(fd);
	fix_stop(s, 1000);
}
END_TEST

START_TEST(dialling_and_stopping_by_a_signal)
{
	const struct net_events client = { .open = keep, .close = count_close }, server = { .data = on_records };
	char url[64];
	int port;
	struct net_server *s = start(&server, &port), *c = start(&client, NULL);
	snprintf(url, sizeof url, "tcp4://127.0.0.1:%d", port);
	ck_assert_int_eq(dial(net_server_loop(c, 0), url), 0);
	latch_wait(&opened, 1);
	ck_assert_int_eq(net_conn_tag(the_conn), 42);
	ck_assert_int_eq(dial(net_server_loop(c, 0), "tcp4"), -EINVAL);
	running = c;
	signal(SIGUSR1, on_signal);
	raise(SIGUSR1);
	net_server_wait(c);
	ck_assert_int_eq(latch_get(&closed), 1);
	net_server_free(c);
	fix_stop(s, 1000);
}
END_TEST

START_TEST(groups_of_datagrams)
{
	const struct net_events e = { .packet = on_packet, .log = on_log };
	int err = 0, port;
	struct timespec begin, now;
	clock_gettime(CLOCK_MONOTONIC, &begin);
	struct net_server *s = start(&e, &port);
	ck_assert_ptr_null(listen_to_group(s, "239.255.77.2", "no-such-one", &err));
	ck_assert_int_eq(err, -ENODEV);
	struct net_listener *l = listen_to_group(s, "239.255.77.2", "lo", &err);
	ck_assert_ptr_nonnull(l);
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_port = htons((uint16_t)net_listener_port(l)),
		                     .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	struct timeval limit = { .tv_sec = 20 };
	int fd = socket(AF_INET, SOCK_DGRAM, 0);
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
	ck_assert_int_eq(sendto(fd, "hello", 5, 0, (struct sockaddr *)&a, sizeof a), 5);
	expect(fd, "hello");
	close(fd);
	struct net_loop_stats st;
	net_loop_get_stats(net_server_loop(s, 0), &st);
	ck_assert(load(net_server_loop(s, 0), 1) >= (double)st.busy_ns / 1e9 && st.busy_ns > 0);
	clock_gettime(CLOCK_MONOTONIC, &now);
	ck_assert(load(net_server_loop(s, 0), (double)(now.tv_sec - begin.tv_sec + 1)) <= 1);
	fix_stop(s, 1000);
}
END_TEST

START_TEST(transports)
{
	const struct net_events server = { .data = on_records }, client = { .open = keep };
	char cert[64], key[64], url[64], text[4], hidden_text[] = { 3 ^ 42, 'a' ^ 42, 'b' ^ 42, 'c' ^ 42 };
	static char secret = 42;
	int err = 0, port;
	snprintf(cert, sizeof cert, "/tmp/net_readme_%d.crt", (int)getpid());
	snprintf(key, sizeof key, "/tmp/net_readme_%d.key", (int)getpid());
	ck_assert(certificate_make(cert, key, "test"));
	struct net_tls *tls = net_tls_server(cert, key, &err), *trust = net_tls_client(cert, true, &err);
	struct net_server *s = start(&server, &port), *c = start(&client, NULL);
	struct net_listener *l = listen_tls(s, ANY, tls, &err), *h = net_listen_transport(s, ANY, &hidden, &secret, &err);
	ck_assert(l && h && tls && trust);
	int fd = fix_connect(net_listener_port(h));
	fix_send(fd, hidden_text, 4);
	fix_recv(fd, text, 3);
	ck_assert_mem_eq(text, hidden_text + 1, 3);
	close(fd);
	snprintf(url, sizeof url, "tcp4://127.0.0.1:%d", net_listener_port(l));
	struct net_dial d = { .url = url, .done = on_dialled, .ctx = url, .transport = net_tls_transport(),
		                  .transport_ctx = trust };
	ck_assert_int_eq(net_dial(net_server_loop(c, 0), &d), 0);
	latch_wait(&opened, 1); /* its certificate was good */
	ck_assert_ptr_nonnull(net_conn_transport(the_conn));
	fix_stop(c, 1000);
	fix_stop(s, 1000);
	net_tls_free(tls);
	net_tls_free(trust);
	unlink(cert);
	unlink(key);
}
END_TEST

START_TEST(handing_over)
{
	const struct net_events giver = { .data = on_hand_over, .detach = on_detach }, taker = { .data = on_records };
	int port;
	struct net_server *s = start(&giver, &port), *t = start(&taker, NULL);
	other_loop = net_server_loop(t, 0);
	int fd = fix_connect(port);
	fix_send(fd, "now!", 4);
	struct net_loop_stats st = { 0 };
	while (st.connections == 0)
		net_loop_get_stats(other_loop, &st);
	fix_send(fd, "\2ok", 3);
	expect(fd, "ok");
	close(fd);
	fix_stop(s, 1000);
	fix_stop(t, 1000);
}
END_TEST

START_TEST(every_example_is_short_and_named)
{
	char path[300], link[300], *readme = calloc(1, 1 << 20);
	FILE *f = fopen("net/README.md", "r");
	ck_assert(f && fread(readme, 1, (1 << 20) - 1, f) > 0);
	fclose(f);
	DIR *d = opendir("net/examples");
	int n = 0;
	for (struct dirent *e; (e = readdir(d));) {
		if (*e->d_name == '.')
			continue;
		snprintf(path, sizeof path, "net/examples/%s", e->d_name);
		snprintf(link, sizeof link, "](examples/%s)", e->d_name);
		ck_assert_msg(strstr(readme, link) != NULL, "README.md does not speak of %s", path);
		int lines = 0, ch;
		f = fopen(path, "r");
		while ((ch = fgetc(f)) != EOF)
			lines += ch == '\n';
		fclose(f);
		ck_assert_msg(lines > 10 && lines < 150, "%s has %d lines", path, lines);
		n++;
	}
	ck_assert_int_ge(n, 12);
	closedir(d);
	free(readme);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("net_readme");
	TCase *t = tcase_create("net_readme");
	tcase_set_timeout(t, 120);
	const TTest *tests[] = {
		a_server_and_its_addresses, records_and_sessions, files_and_numbers, a_source_without_end, work_elsewhere, reminders,
		dialling_and_stopping_by_a_signal, groups_of_datagrams, transports, handing_over, every_example_is_short_and_named,
	};
	for (size_t i = 0; i < sizeof tests / sizeof *tests; i++)
		tcase_add_test(t, tests[i]);
	suite_add_tcase(s, t);
	return suite_run(s);
}
