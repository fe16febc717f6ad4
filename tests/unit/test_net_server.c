/* Servers: listeners, balancing, mailbox, timers, dialling, datagrams, stopping, and running out of descriptors. */
#include <arpa/inet.h>
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "tests/lib/net_fixture.h"
#include "tests/lib/suite.h"

static struct latch opened, closed, seen;

static void reset(void)
{
	opened = closed = seen = (struct latch)LATCH;
}

static enum net_action greet(struct net_conn *c)
{
	char text[32];
	int n = snprintf(text, sizeof text, "%d:%d\n", net_loop_index(net_conn_loop(c)), net_conn_tag(c));
	net_write(c, text, (size_t)n);
	latch_add(&opened, 1);
	return NET_NONE;
}

static enum net_action echo(struct net_conn *c)
{
	size_t len;
	const char *p = net_peek(c, &len);
	net_write(c, p, len);
	net_discard(c, len);
	return NET_NONE;
}

static void on_close(struct net_conn *c, int reason)
{
	(void)c;
	(void)reason;
	latch_add(&closed, 1);
}

static const struct net_events greeter = { .open = greet, .data = echo, .close = on_close };

/* The loop that greets a new client. */
static int greeted_by(int port, int *fd)
{
	char text[4];
	*fd = fix_connect(port);
	fix_recv(*fd, text, 4);
	return text[0] - '0';
}

/* ------------------------------------------------------------------ balancing */

START_TEST(round_robin_and_least_connections)
{
	struct net_options o;
	int port, fds[12], per_loop[4] = { 0 };
	for (int balance = NET_ROUND_ROBIN; balance <= NET_LEAST_CONNECTIONS; balance++) {
		reset();
		memset(per_loop, 0, sizeof per_loop);
		fix_options(&o, _i, 4);
		o.balance = (enum net_balance)balance;
		struct net_server *s = fix_start(&greeter, &o, "tcp4://127.0.0.1:0", &port);
		for (int i = 0; i < 12; i++)
			per_loop[greeted_by(port, &fds[i])]++;
		for (int i = 0; i < 4; i++)
			ck_assert_int_eq(per_loop[i], 3);
		for (int i = 0; i < 12; i++)
			close(fds[i]);
		latch_wait(&closed, 12);
		fix_stop(s, 1000);
	}
}
END_TEST

START_TEST(a_client_keeps_its_loop_by_address)
{
	struct net_options o;
	int port, fd, first = -1;
	reset();
	fix_options(&o, _i, 4);
	o.balance = NET_SOURCE_HASH;
	struct net_server *s = fix_start(&greeter, &o, "tcp4://127.0.0.1:0", &port);
	for (int i = 0; i < 8; i++) {
		int loop = greeted_by(port, &fd);
		first = i ? first : loop;
		ck_assert_int_eq(loop, first);
		close(fd);
	}
	fix_stop(s, 1000);
}
END_TEST

/* ------------------------------------------------------------------ listeners */

START_TEST(addresses_come_and_go_while_running)
{
	struct net_options o;
	char url[64], text[4];
	int err, fd, old;
	reset();
	fix_options(&o, _i, 2);
	struct net_server *s = fix_start(&greeter, &o, NULL, NULL);
	struct net_listener *a = net_listen(s, "tcp4://127.0.0.1:0?tag=1", &err);
	ck_assert_ptr_nonnull(a);
	struct net_listener *b = net_listen(s, "tcp4://127.0.0.1:0?tag=2&reuseport=true", &err);
	ck_assert_ptr_nonnull(b);
	int port = net_listener_port(a);
	old = fix_connect(port);
	fix_recv(old, text, 4);
	ck_assert_int_eq(text[2], '1');
	fd = fix_connect(net_listener_port(b));
	fix_recv(fd, text, 4);
	ck_assert_int_eq(text[2], '2');
	close(fd);
	ck_assert_int_eq(net_unlisten(a), 0);
	/* The port is free again, while the connection of the old listener lives on. */
	snprintf(url, sizeof url, "tcp4://127.0.0.1:%d?tag=3", port);
	struct net_listener *c;
	for (; !(c = net_listen(s, url, &err)); poll(NULL, 0, 1)) /* as soon as the loops have seen it */
		ck_assert_int_eq(err, -EADDRINUSE);
	fd = fix_connect(port);
	fix_recv(fd, text, 4);
	ck_assert_int_eq(text[2], '3');
	fix_send(old, "abcd", 4);
	fix_recv(old, text, 4);
	close(fd);
	close(old);
	fix_stop(s, 1000);
}
END_TEST

START_TEST(addresses_that_cannot_be)
{
	static const struct {
		const char *url;
		int err;
	} rows[] = {
		{ "http://x:1", -EINVAL }, { "tcp://nocolon", -EINVAL }, { "tcp://127.0.0.1:99999", -EINVAL },
		{ "tcp://127.0.0.1:x", -EINVAL }, { "tcp4://no.such.name.invalid:1", -EADDRNOTAVAIL },
		{ "tcp4://127.0.0.1:0?colour=red", -EINVAL }, { "unix://", -ENAMETOOLONG }, { "tcp4://192.0.2.1:0", -EADDRNOTAVAIL },
		{ "unix:///no/such/folder/x.sock", -ENOENT }, { "tcp://[::1:0", -EINVAL },
	};
	struct net_options o;
	int err, port;
	char url[64];
	fix_options(&o, 0, 1);
	struct net_server *s = fix_start(&greeter, &o, "tcp4://127.0.0.1:0", &port);
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		ck_assert_ptr_null(net_listen(s, rows[i].url, &err));
		ck_assert_msg(err == rows[i].err, "%s: %s", rows[i].url, strerror(-err));
	}
	snprintf(url, sizeof url, "tcp4://127.0.0.1:%d", port);
	ck_assert_ptr_null(net_listen(s, url, &err));
	ck_assert_int_eq(err, -EADDRINUSE);
	fix_stop(s, 0);
}
END_TEST

/* SAFETY: unix socket race (CVE-2023-45145): while the socket does not have its permissions yet, nobody can connect. */
static atomic_int early; /* 0: not tried, 1: refused, 2: let in */

int chmod(const char *path, mode_t mode)
{
	struct sockaddr_un un = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);
	snprintf(un.sun_path, sizeof un.sun_path, "%s", path);
	atomic_store(&early, connect(fd, (struct sockaddr *)&un, sizeof un) == 0 ? 2 : 1);
	close(fd);
	return fchmodat(AT_FDCWD, path, mode, 0);
}

START_TEST(unix_sockets_have_their_mode_and_replace_leftovers)
{
	struct net_options o;
	char path[48], url[80], abstract[80];
	struct stat st;
	int err;
	snprintf(path, sizeof path, "/tmp/net_server_%u.sock", (unsigned)getpid());
	snprintf(url, sizeof url, "unix://%s?mode=0700", path);
	fix_options(&o, 0, 1);
	struct sockaddr_un un = { .sun_family = AF_UNIX };
	memcpy(un.sun_path, path, strlen(path));
	int leftover = socket(AF_UNIX, SOCK_STREAM, 0);
	ck_assert_int_eq(bind(leftover, (struct sockaddr *)&un, sizeof un), 0);
	close(leftover);
	struct net_server *s = fix_start(&greeter, &o, url, NULL);
	ck_assert_int_eq(stat(path, &st), 0);
	ck_assert_int_eq(st.st_mode & 0777, 0700);
	ck_assert_int_eq(atomic_load(&early), 1);
	ck_assert_ptr_null(net_listen(s, url, &err)); /* somebody answers there */
	ck_assert_int_eq(err, -EADDRINUSE);
	snprintf(abstract, sizeof abstract, "unix://@net_server_%u", (unsigned)getpid());
	ck_assert_ptr_nonnull(net_listen(s, abstract, &err));
	fix_stop(s, 0);
	ck_assert_int_ne(stat(path, &st), 0);
}
END_TEST

START_TEST(sockets_from_systemd)
{
	struct net_options o;
	char text[16];
	int err, fd;
	reset();
	fix_options(&o, 0, 1);
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t len = sizeof a;
	int ls = socket(AF_INET, SOCK_STREAM, 0);
	ck_assert_int_eq(bind(ls, (struct sockaddr *)&a, sizeof a) || listen(ls, 10), 0);
	getsockname(ls, (struct sockaddr *)&a, &len);
	pid_t child = fork();
	ck_assert_int_ge(child, 0);
	if (child == 0) { /* descriptor 3 is Check's here: no assertions in the child */
		struct net_server *s = net_server_new(&greeter, &o, &err);
		snprintf(text, sizeof text, "%d", (int)getpid());
		if (!s || dup2(ls, 3) != 3 || net_listen_systemd(s, "1", "1", 7) != 0 || net_listen_systemd(s, NULL, NULL, 7) != 0 ||
		    net_listen_systemd(s, text, "1", 7) != 1)
			_exit(1);
		net_server_start(s, true);
		_exit(0);
	}
	fd = fix_connect(ntohs(a.sin_port));
	close(ls);
	fix_recv(fd, text, 4);
	ck_assert_mem_eq(text, "0:7\n", 4);
	close(fd);
	kill(child, SIGKILL);
	waitpid(child, NULL, 0);
}
END_TEST

/* ------------------------------------------------------------------ out of descriptors, resets before accept */

static uint64_t now_ms(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

START_TEST(out_of_descriptors_it_serves_on_and_sleeps)
{
	struct net_options o;
	struct rlimit lim, few;
	int port, fds[100], filling[400], n = 0, full = 0;
	char text[4];
	reset();
	fix_options(&o, _i, 1);
	getrlimit(RLIMIT_NOFILE, &lim); /* before the start: io_uring looks at the limit when accepting begins */
	few = lim;
	few.rlim_cur = 400;
	ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &few), 0);
	struct net_server *s = fix_start(&greeter, &o, "tcp4://127.0.0.1:0", &port);
	int served = fix_connect(port);
	fix_recv(served, text, 4);
	for (; n < 100; n++) { /* sockets of the clients, before none are left */
		fds[n] = socket(AF_INET, SOCK_STREAM, 0);
		ck_assert_int_ge(fds[n], 0);
	}
	while ((filling[full] = dup(served)) >= 0)
		full++;
	ck_assert_int_eq(errno, EMFILE);
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_port = htons((uint16_t)port),
		                 .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	for (int i = 0; i < n; i++)
		ck_assert_int_eq(connect(fds[i], (struct sockaddr *)&a, sizeof a), 0);
	fix_send(served, "ping", 4);
	fix_recv(served, text, 4);
	struct net_loop_stats before, after;
	uint64_t begin = now_ms();
	net_loop_get_stats(net_server_loop(s, 0), &before);
	poll(NULL, 0, 500);
	net_loop_get_stats(net_server_loop(s, 0), &after);
	ck_assert_uint_le(after.turns - before.turns, 20 + (now_ms() - begin) / 10); /* it tries again ten times a second */
	ck_assert_int_eq(latch_get(&opened), 1);
	while (full)
		close(filling[--full]);
	latch_wait(&opened, n + 1); /* all are served once there are descriptors again */
	for (int i = 0; i < n; i++)
		close(fds[i]);
	close(served);
	ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &lim), 0);
	fix_stop(s, 1000);
}
END_TEST

START_TEST(resets_before_accept_do_no_harm)
{
	struct net_options o;
	struct linger lg = { .l_onoff = 1 };
	int port, fd;
	reset();
	fix_options(&o, _i, 1);
	struct net_server *s = fix_start(&greeter, &o, "tcp4://127.0.0.1:0", &port);
	for (int i = 0; i < 200; i++) {
		fd = fix_connect(port);
		setsockopt(fd, SOL_SOCKET, SO_LINGER, &lg, sizeof lg);
		close(fd);
	}
	ck_assert_int_eq(greeted_by(port, &fd), 0);
	close(fd);
	fix_stop(s, 1000);
}
END_TEST

/* ------------------------------------------------------------------ messages */

#define PRODUCERS 4
#define MESSAGES 50000

static long next_of[PRODUCERS];

struct numbered {
	struct net_msg msg;
	int producer;
	long n;
};

static void count_message(struct net_loop *l, struct net_msg *m)
{
	struct numbered *x = (struct numbered *)m;
	(void)l;
	ck_assert_int_eq(next_of[x->producer], x->n);
	if (++next_of[x->producer] == MESSAGES)
		latch_add(&seen, 1);
	free(x);
}

struct producer {
	struct net_loop *loop;
	int index;
};

static void *produce(void *arg)
{
	struct producer *p = arg;
	for (long i = 0; i < MESSAGES; i++) {
		struct numbered *x = malloc(sizeof *x);
		*x = (struct numbered){ .msg = { .run = count_message, .bytes = 1 }, .producer = p->index, .n = i };
		net_post(p->loop, &x->msg);
		if (i % 5000 == 0)
			poll(NULL, 0, 1); /* let the loop fall asleep now and then */
	}
	return NULL;
}

START_TEST(messages_arrive_once_and_in_order)
{
	struct net_options o;
	pthread_t threads[PRODUCERS];
	struct producer p[PRODUCERS];
	reset();
	memset(next_of, 0, sizeof next_of);
	fix_options(&o, _i, 2);
	struct net_server *s = fix_start(&greeter, &o, NULL, NULL);
	for (int i = 0; i < PRODUCERS; i++) {
		p[i] = (struct producer){ net_server_loop(s, 1), i };
		pthread_create(&threads[i], NULL, produce, &p[i]);
	}
	latch_wait(&seen, PRODUCERS);
	for (int i = 0; i < PRODUCERS; i++)
		pthread_join(threads[i], NULL);
	ck_assert_uint_eq(net_loop_posted_bytes(net_server_loop(s, 1)), 0);
	fix_stop(s, 1000);
}
END_TEST

static atomic_ullong the_id;
static struct latch sent_ok, sent_bad;

static enum net_action tell_id(struct net_conn *c)
{
	atomic_store(&the_id, net_conn_id_of(c));
	latch_add(&opened, 1);
	return NET_NONE;
}

static void on_sent(void *ctx, int err)
{
	(void)ctx;
	latch_add(err ? &sent_bad : &sent_ok, 1);
}

START_TEST(sending_from_other_threads)
{
	struct net_options o;
	const struct net_events e = { .open = tell_id, .data = echo, .close = on_close };
	char text[6];
	int port;
	reset();
	sent_ok = sent_bad = (struct latch)LATCH;
	fix_options(&o, _i, 2);
	struct net_server *s = fix_start(&e, &o, "tcp4://127.0.0.1:0", &port);
	int fd = fix_connect(port);
	latch_wait(&opened, 1);
	net_conn_id id = atomic_load(&the_id);
	for (int i = 0; i < 1000; i++) {
		snprintf(text, sizeof text, "%05d", i);
		ck_assert_int_eq(net_send(s, id, text, 5, on_sent, NULL), 0);
	}
	for (int i = 0; i < 1000; i++) {
		char want[6];
		snprintf(want, sizeof want, "%05d", i);
		fix_recv(fd, text, 5);
		ck_assert_mem_eq(text, want, 5);
	}
	latch_wait(&sent_ok, 1000);
	ck_assert_int_eq(net_close_id(s, id), 0);
	ck_assert(!fix_ended(fd));
	latch_wait(&closed, 1);
	ck_assert_int_eq(net_send(s, id, "late", 4, on_sent, NULL), 0);
	latch_wait(&sent_bad, 1);
	ck_assert_int_eq(net_send(s, ~0ull, "x", 1, NULL, NULL), -EINVAL);
	close(fd);
	fix_stop(s, 1000);
}
END_TEST

START_TEST(a_poke_is_never_lost)
{
	struct net_options o;
	struct net_loop_stats st;
	fix_options(&o, _i, 1);
	struct net_server *s = fix_start(&greeter, &o, NULL, NULL);
	struct net_loop *l = net_server_loop(s, 0);
	for (int i = 0; i < 3000; i++) {
		net_loop_get_stats(l, &st);
		uint64_t turns = st.turns;
		net_loop_wake(l);
		for (int k = 0; st.turns <= turns; k++) { /* were one lost, for ever */
			if (k > 100)
				poll(NULL, 0, 1);
			net_loop_get_stats(l, &st);
		}
	}
	fix_stop(s, 1000);
}
END_TEST

/* ------------------------------------------------------------------ timers */

#define TIMERS 20000

static struct net_timer *timers;
static int64_t *due;
static int fired;

static void on_fire(struct net_loop *l, struct net_timer *t)
{
	int64_t now = net_loop_now_ms(l);
	long i = t - timers;
	ck_assert_msg(now >= due[i], "timer %ld is early by %ld ms", i, (long)(due[i] - now));
	due[i] = INT64_MAX; /* once only */
	if (++fired == TIMERS - TIMERS / 4)
		latch_add(&seen, 1);
}

static void set_timers(struct net_loop *l, void *arg)
{
	unsigned seed = 5;
	(void)arg;
	for (int i = 0; i < TIMERS; i++) {
		int64_t delay = rand_r(&seed) % 900;
		net_timer_init(&timers[i], on_fire);
		net_timer_set(l, &timers[i], 1000000000000ll); /* replaced at once */
		net_timer_set(l, &timers[i], delay);
		due[i] = net_loop_now_ms(l) + delay;
		ck_assert(net_timer_pending(&timers[i]));
	}
	for (int i = 0; i < TIMERS; i += 4) {
		net_timer_clear(l, &timers[i]);
		due[i] = INT64_MAX;
		ck_assert(!net_timer_pending(&timers[i]));
	}
}

START_TEST(timers_fire_once_and_not_early)
{
	struct net_options o;
	reset();
	fired = 0;
	timers = calloc(TIMERS, sizeof *timers);
	due = calloc(TIMERS, sizeof *due);
	fix_options(&o, _i, 1);
	struct net_server *s = fix_start(&greeter, &o, NULL, NULL);
	fix_run(net_server_loop(s, 0), set_timers, NULL);
	latch_wait(&seen, 1);
	fix_stop(s, 0);
	ck_assert_int_eq(fired, TIMERS - TIMERS / 4);
	free(timers);
	free(due);
}
END_TEST

static int64_t tick(struct net_loop *l)
{
	(void)l;
	latch_add(&seen, 1);
	return latch_get(&seen) < 5 ? 5 : -1;
}

START_TEST(ticks_begin_at_once_and_end_on_request)
{
	struct net_options o;
	const struct net_events e = { .tick = tick };
	reset();
	fix_options(&o, _i, 1);
	struct net_server *s = fix_start(&e, &o, NULL, NULL);
	latch_wait(&seen, 5);
	poll(NULL, 0, 30);
	ck_assert_int_eq(latch_get(&seen), 5);
	fix_stop(s, 0);
}
END_TEST

/* ------------------------------------------------------------------ dialling */

static struct latch dialled, failed;
static atomic_int dial_error;

static void on_dialled(void *ctx, struct net_conn *c, int err)
{
	ck_assert_ptr_eq(ctx, &dialled);
	atomic_store(&dial_error, err);
	if (c)
		net_write(c, "hello", 5);
	latch_add(c ? &dialled : &failed, 1);
}

static enum net_action count_input(struct net_conn *c)
{
	size_t len;
	net_peek(c, &len);
	net_discard(c, len);
	latch_add(&seen, (long)len);
	return NET_NONE;
}

START_TEST(dial_connects_or_says_why_not)
{
	struct net_options o;
	const struct net_events server = { .data = echo }, client = { .open = tell_id, .data = count_input, .close = on_close };
	char url[64];
	int port;
	reset();
	dialled = failed = (struct latch)LATCH;
	fix_options(&o, _i, 1);
	struct net_server *s = fix_start(&server, &o, "tcp4://127.0.0.1:0", &port);
	struct net_server *c = fix_start(&client, &o, NULL, NULL);
	struct net_dial d = { .url = url, .done = on_dialled, .ctx = &dialled, .tag = 9 };
	snprintf(url, sizeof url, "tcp4://127.0.0.1:%d", port);
	ck_assert_int_eq(net_dial(net_server_loop(c, 0), &d), 0);
	latch_wait(&seen, 5);
	ck_assert_int_eq(latch_get(&opened), 1);
	snprintf(url, sizeof url, "tcp4://localhost:%d", port);
	ck_assert_int_eq(net_dial(net_server_loop(c, 0), &d), 0);
	latch_wait(&seen, 10);
	snprintf(url, sizeof url, "unix:///no/such/socket");
	ck_assert_int_eq(net_dial(net_server_loop(c, 0), &d), 0);
	latch_wait(&failed, 1);
	ck_assert_int_eq(atomic_load(&dial_error), -ENOENT);
	int unused = socket(AF_INET, SOCK_STREAM, 0); /* bound, but nobody listens */
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t len = sizeof a;
	ck_assert_int_eq(bind(unused, (struct sockaddr *)&a, sizeof a), 0);
	getsockname(unused, (struct sockaddr *)&a, &len);
	snprintf(url, sizeof url, "tcp4://127.0.0.1:%d", ntohs(a.sin_port));
	ck_assert_int_eq(net_dial(net_server_loop(c, 0), &d), 0);
	latch_wait(&failed, 2);
	ck_assert_int_eq(atomic_load(&dial_error), -ECONNREFUSED);
	snprintf(url, sizeof url, "tcp4://no.such.name.invalid:1");
	ck_assert_int_eq(net_dial(net_server_loop(c, 0), &d), 0);
	latch_wait(&failed, 3);
	snprintf(url, sizeof url, "nonsense");
	ck_assert_int_eq(net_dial(net_server_loop(c, 0), &d), -EINVAL);
	close(unused);
	fix_stop(c, 1000);
	fix_stop(s, 1000);
	ck_assert_int_eq(latch_get(&closed), 2);
	ck_assert_int_eq(latch_get(&dialled), 2);
	ck_assert_int_eq(latch_get(&failed), 3);
}
END_TEST

/* ------------------------------------------------------------------ datagrams */

static void answer_packet(struct net_loop *l, const struct net_packet *p)
{
	ck_assert_int_eq(net_send_to(l, p->listener, p->bytes, p->len, p->peer, p->peer_len), 0);
}

START_TEST(datagrams_are_answered)
{
	struct net_options o;
	const struct net_events e = { .packet = answer_packet };
	static char big[60000], back[65536];
	int port;
	fix_options(&o, _i, 1);
	struct net_server *s = fix_start(&e, &o, "udp4://127.0.0.1:0", &port);
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_port = htons((uint16_t)port),
		                 .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	struct timeval limit = { .tv_sec = 20 };
	int fd = socket(AF_INET, SOCK_DGRAM, 0);
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
	ck_assert_int_eq(connect(fd, (struct sockaddr *)&a, sizeof a), 0);
	for (int i = 0; i < 50; i++)
		ck_assert_int_eq(send(fd, &i, sizeof i, 0), sizeof i);
	for (int i = 0; i < 50; i++) {
		int got;
		ck_assert_int_eq(recv(fd, &got, sizeof got, 0), sizeof got);
		ck_assert_int_eq(got, i);
	}
	memset(big, 'x', sizeof big);
	ck_assert_int_eq(send(fd, big, sizeof big, 0), sizeof big);
	ck_assert_int_eq(recv(fd, back, sizeof back, 0), sizeof big);
	ck_assert_mem_eq(big, back, sizeof big);
	ck_assert_int_eq(send(fd, "", 0, 0), 0);
	ck_assert_int_eq(recv(fd, back, sizeof back, 0), 0);
	close(fd);
	fix_stop(s, 0);
}
END_TEST

/* ------------------------------------------------------------------ stopping */

static atomic_bool shut;
static struct net_server *the_server;

static void on_shutdown(struct net_server *s)
{
	(void)s;
	ck_assert_int_eq(latch_get(&closed), latch_get(&opened)); /* after the drain */
	atomic_store(&shut, true);
}

static enum net_action much(struct net_conn *c)
{
	static char buf[8 << 20];
	net_write(c, buf, sizeof buf);
	latch_add(&opened, 1);
	return NET_NONE;
}

START_TEST(stop_drains_first)
{
	struct net_options o;
	const struct net_events e = { .open = much, .close = on_close, .shutdown = on_shutdown };
	static char buf[8 << 20];
	int port;
	reset();
	atomic_store(&shut, false);
	fix_options(&o, _i, 2);
	struct net_server *s = fix_start(&e, &o, "tcp4://127.0.0.1:0", &port);
	int a = fix_connect(port), b = fix_connect(port);
	latch_wait(&opened, 2);
	net_server_stop(s, 100000);
	fix_recv(a, buf, sizeof buf);
	fix_recv(b, buf, sizeof buf);
	ck_assert(!fix_ended(a));
	net_server_wait(s);
	ck_assert(atomic_load(&shut));
	net_server_free(s);
	close(a);
	close(b);
}
END_TEST

START_TEST(stop_has_a_deadline_and_the_process_can_start_again)
{
	struct net_options o;
	const struct net_events e = { .open = much, .close = on_close };
	int port;
	for (int i = 0; i < 3; i++) {
		reset();
		fix_options(&o, _i, 2);
		struct net_server *s = fix_start(&e, &o, "tcp4://127.0.0.1:0", &port);
		int fd = fix_connect(port);
		latch_wait(&opened, 1);
		fix_stop(s, 30);
		ck_assert_int_eq(latch_get(&closed), 1);
		close(fd);
	}
}
END_TEST

static enum net_action stop_in_data(struct net_conn *c)
{
	net_server_stop(net_loop_server(net_conn_loop(c)), 100000);
	return echo(c);
}

START_TEST(stop_inside_a_callback)
{
	struct net_options o;
	const struct net_events e = { .data = stop_in_data, .close = on_close };
	int port;
	char text[4];
	reset();
	fix_options(&o, _i, 2);
	the_server = fix_start(&e, &o, "tcp4://127.0.0.1:0", &port);
	int fd = fix_connect(port);
	fix_send(fd, "last", 4);
	fix_recv(fd, text, 4);
	net_server_wait(the_server);
	net_server_free(the_server);
	ck_assert_int_eq(latch_get(&closed), 1);
	close(fd);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("net_server");
	TCase *t = tcase_create("net_server");
	tcase_set_timeout(t, 120);
	const TTest *ways[] = {
		round_robin_and_least_connections, a_client_keeps_its_loop_by_address, addresses_come_and_go_while_running,
		out_of_descriptors_it_serves_on_and_sleeps, resets_before_accept_do_no_harm, messages_arrive_once_and_in_order,
		sending_from_other_threads, a_poke_is_never_lost, timers_fire_once_and_not_early,
		ticks_begin_at_once_and_end_on_request, dial_connects_or_says_why_not, datagrams_are_answered, stop_drains_first,
		stop_has_a_deadline_and_the_process_can_start_again, stop_inside_a_callback,
	};
	for (size_t i = 0; i < sizeof ways / sizeof *ways; i++)
		tcase_add_loop_test(t, ways[i], 0, FIX_WAYS);
	tcase_add_test(t, addresses_that_cannot_be);
	tcase_add_test(t, unix_sockets_have_their_mode_and_replace_leftovers);
	tcase_add_test(t, sockets_from_systemd);
	suite_add_tcase(s, t);
	return suite_run(s);
}
