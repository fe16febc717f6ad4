/* What other libraries get wrong and this one promises: nothing is lost by a wake-up, dialling does not block, closing,
 * sending and stopping are allowed in every callback, deadlines work, a client keeps its loop. */
#include <arpa/inet.h>
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/lib/net_fixture.h"
#include "tests/lib/suite.h"

#define ANY "tcp4://127.0.0.1:0"
#define STREAM (16 << 20)

static struct latch opened, closed, seen, released;
static atomic_int last_reason;
static struct net_conn *the_conn;

static void reset(void)
{
	opened = closed = seen = released = (struct latch)LATCH;
	atomic_store(&last_reason, 12345);
}

static enum net_action on_open(struct net_conn *c)
{
	fix_narrow(net_conn_fd(c));
	the_conn = c;
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
	atomic_store(&last_reason, reason);
	latch_add(&closed, 1);
}

static char *stream_of(size_t n)
{
	char *buf = malloc(n);
	for (size_t i = 0; i < n; i++)
		buf[i] = (char)fix_byte(i);
	return buf;
}

/* ------------------------------------------------------------------ wake-ups while output is pending */

#define WAKES 300

/* The first call fills the socket, each later one was woken and adds a number. */
static enum net_action woken(struct net_conn *c)
{
	size_t len;
	char number[24];
	net_peek(c, &len);
	net_discard(c, len);
	if (len) {
		char *buf = stream_of(STREAM);
		ck_assert_int_eq(net_write(c, buf, STREAM), 0);
		free(buf);
	} else {
		snprintf(number, sizeof number, "%07ld", latch_get(&seen) - 1);
		ck_assert_int_eq(net_write(c, number, 7), 0);
	}
	latch_add(&seen, 1);
	return NET_NONE;
}

static void wake_it(struct net_loop *l, void *arg)
{
	(void)l;
	(void)arg;
	ck_assert_uint_gt(net_out_pending(the_conn), 0);
	net_wake(the_conn);
}

START_TEST(a_wake_during_a_pending_write_loses_nothing)
{
	const struct net_events e = { .open = on_open, .data = woken, .close = on_close };
	struct net_options o;
	char want[8], number[7], *stream = stream_of(STREAM), *got = malloc(STREAM);
	int port;
	reset();
	fix_options(&o, _i, 1);
	struct net_server *s = fix_start(&e, &o, ANY, &port);
	int fd = fix_connect(port);
	fix_narrow(fd);
	fix_send(fd, "x", 1);
	latch_wait(&seen, 1);
	for (int i = 0; i < WAKES; i++) {
		fix_run(net_server_loop(s, 0), wake_it, NULL);
		net_loop_wake(net_server_loop(s, 0));
		latch_wait(&seen, i + 2);
	}
	for (size_t at = 0, n = 1; at < STREAM; at += n, n = n < 5000 ? n + 1 : n) { /* it reads little by little */
		n = n < STREAM - at ? n : STREAM - at;
		fix_recv(fd, got + at, n);
	}
	ck_assert_int_eq(memcmp(got, stream, STREAM), 0);
	for (int i = 0; i < WAKES; i++) {
		snprintf(want, sizeof want, "%07d", i);
		fix_recv(fd, number, 7);
		ck_assert_mem_eq(number, want, 7);
	}
	close(fd);
	latch_wait(&closed, 1);
	fix_stop(s, 1000);
	free(stream);
	free(got);
}
END_TEST

/* ------------------------------------------------------------------ dialling, deadlines */

static atomic_int dial_error;
static int patience_ms;

static void on_dialled(void *ctx, struct net_conn *c, int err)
{
	(void)ctx;
	ck_assert_ptr_null(c);
	atomic_store(&dial_error, err);
	latch_add(&seen, 1);
}

static void dial_it(struct net_loop *l, void *arg)
{
	struct net_dial d = { .url = arg, .timeout_ms = patience_ms, .done = on_dialled };
	ck_assert_int_eq(net_dial(l, &d), 0);
}

/* A listening socket that answers nobody any more: its queue is full. Its clients are put into fds. */
static int deaf_socket(int *fds, int n, char *url, size_t size)
{
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t len = sizeof a;
	int s = socket(AF_INET, SOCK_STREAM, 0);
	ck_assert_int_eq(bind(s, (struct sockaddr *)&a, sizeof a) || listen(s, 0), 0);
	getsockname(s, (struct sockaddr *)&a, &len);
	snprintf(url, size, "tcp4://127.0.0.1:%d", ntohs(a.sin_port));
	for (int i = 0; i < n; i++) {
		fds[i] = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
		connect(fds[i], (struct sockaddr *)&a, sizeof a);
	}
	return s;
}

START_TEST(dial_does_not_block)
{
	const struct net_events e = { .open = on_open, .data = echo, .close = on_close };
	struct net_options o;
	char url[64], buf[5];
	int port, fds[4];
	reset();
	int deaf = deaf_socket(fds, 4, url, sizeof url);
	fix_options(&o, _i, 1);
	struct net_server *s = fix_start(&e, &o, ANY, &port);
	int fd = fix_connect(port);
	patience_ms = 600000;
	fix_run(net_server_loop(s, 0), dial_it, url);
	for (int i = 0; i < 100; i++) {
		fix_send(fd, "hello", 5);
		fix_recv(fd, buf, 5);
	}
	ck_assert_int_eq(latch_get(&seen), 0); /* it is still trying */
	patience_ms = 100;
	fix_run(net_server_loop(s, 0), dial_it, url);
	latch_wait(&seen, 1);
	ck_assert_int_eq(atomic_load(&dial_error), -ETIMEDOUT);
	close(fd);
	close(deaf);
	for (int i = 0; i < 4; i++)
		close(fds[i]);
	fix_stop(s, 1000);
}
END_TEST

static enum net_action write_by(struct net_conn *c)
{
	size_t len;
	const char *p = net_peek(c, &len);
	bool much = *p == 'M';
	net_discard(c, len);
	char *buf = calloc(1, 32 << 20);
	net_write(c, buf, much ? 32 << 20 : 10);
	free(buf);
	ck_assert_int_eq(net_set_write_deadline(c, 100), 0);
	return NET_NONE;
}

START_TEST(write_deadlines_close_those_that_do_not_read)
{
	const struct net_events e = { .open = on_open, .data = write_by, .close = on_close };
	struct net_options o;
	char buf[10];
	int port;
	reset();
	fix_options(&o, _i, 1);
	struct net_server *s = fix_start(&e, &o, ANY, &port);
	int slow = fix_connect(port), good = fix_connect(port);
	fix_narrow(slow);
	fix_send(good, "l", 1);
	fix_recv(good, buf, 10);
	fix_send(slow, "M", 1);
	latch_wait(&closed, 1);
	ck_assert_int_eq(atomic_load(&last_reason), NET_BY_TIMEOUT);
	fix_send(good, "l", 1); /* its time is over too, but nothing was pending */
	fix_recv(good, buf, 10);
	ck_assert_int_eq(latch_get(&closed), 1);
	close(slow);
	close(good);
	fix_stop(s, 1000);
}
END_TEST

/* ------------------------------------------------------------------ by address */

static enum net_action tell_loop(struct net_conn *c)
{
	char digit = (char)('0' + net_loop_index(net_conn_loop(c)));
	net_write(c, &digit, 1);
	return NET_NONE;
}

static char loop_of(int port, int host)
{
	struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = htons((uint16_t)port),
		                      .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	struct sockaddr_in from = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK + (uint32_t)host) };
	char digit;
	int fd = socket(AF_INET, SOCK_STREAM, 0);
	ck_assert_int_eq(bind(fd, (struct sockaddr *)&from, sizeof from), 0);
	ck_assert_int_eq(connect(fd, (struct sockaddr *)&to, sizeof to), 0);
	fix_recv(fd, &digit, 1);
	close(fd);
	return digit;
}

START_TEST(clients_are_spread_by_address_and_keep_their_loop)
{
	const struct net_events e = { .open = tell_loop };
	struct net_options o;
	char loops[32];
	bool used[4] = { false };
	int port;
	fix_options(&o, _i, 4);
	o.balance = NET_SOURCE_HASH;
	struct net_server *s = fix_start(&e, &o, "tcp4://0.0.0.0:0", &port);
	for (int round = 0; round < 3; round++) {
		for (int i = 0; i < 32; i++) { /* each time from another port */
			char l = loop_of(port, i);
			ck_assert(l >= '0' && l < '4' && (!round || l == loops[i]));
			loops[i] = l;
			used[l - '0'] = true;
		}
	}
	ck_assert(used[0] && used[1] && used[2] && used[3]);
	fix_stop(s, 1000);
}
END_TEST

/* ------------------------------------------------------------------ closing, sending and stopping anywhere */

enum { IN_OPEN, IN_DATA, IN_FLUSH, IN_BEFORE_WRITE, IN_AFTER_WAIT, IN_WATERMARK, IN_TIMER, IN_POSTED, IN_TICK, IN_RELEASE,
       IN_CLOSE, PLACES };
enum { CLOSES, CLOSES_NOW, STOPS, WAYS_TO_ACT };

static int place, act;
static struct latch done = LATCH; /* acts there were */
static _Thread_local bool acted; /* of one loop */
static struct net_timer timer;

static void act_at(int here)
{
	if (here != place || !the_conn || acted)
		return;
	acted = true;
	if (act == CLOSES)
		net_close(the_conn);
	else if (act == CLOSES_NOW)
		net_close_now(the_conn, NET_BY_US);
	else
		net_server_stop(net_loop_server(net_loop_current()), 100);
	latch_add(&done, 1);
}

static void fire(struct net_loop *l, struct net_timer *t)
{
	(void)l;
	(void)t;
	act_at(IN_TIMER);
}

static void run_posted(struct net_loop *l, struct net_msg *m)
{
	(void)l;
	free(m);
	act_at(IN_POSTED);
}

static void count_release(void *ctx, const void *buf)
{
	(void)ctx;
	(void)buf;
	latch_add(&released, 1);
	act_at(IN_RELEASE);
}

static enum net_action any_open(struct net_conn *c)
{
	fix_narrow(net_conn_fd(c));
	the_conn = c;
	net_timer_init(&timer, fire);
	net_timer_set(net_conn_loop(c), &timer, 1);
	act_at(IN_OPEN);
	return NET_NONE;
}

static enum net_action any_data(struct net_conn *c)
{
	static const char much[STREAM];
	struct net_msg *m = calloc(1, sizeof *m);
	size_t len;
	net_peek(c, &len);
	net_discard(c, len);
	m->run = run_posted;
	net_post(net_conn_loop(c), m);
	net_write(c, much, sizeof much);
	net_write_ref(c, much, sizeof much, count_release, NULL);
	act_at(IN_DATA);
	return NET_NONE;
}

static enum net_action any_flush(struct net_conn *c)
{
	(void)c;
	act_at(IN_FLUSH);
	return NET_NONE;
}

static void any_before_write(struct net_loop *l)
{
	(void)l;
	act_at(IN_BEFORE_WRITE);
}

static void any_after_wait(struct net_loop *l)
{
	(void)l;
	act_at(IN_AFTER_WAIT);
}

static void any_watermark(struct net_conn *c, bool above)
{
	(void)c;
	(void)above;
	act_at(IN_WATERMARK);
}

static int64_t any_tick(struct net_loop *l)
{
	(void)l;
	act_at(IN_TICK);
	return 1;
}

static void any_close(struct net_conn *c, int reason)
{
	(void)reason;
	act_at(IN_CLOSE);
	ck_assert_int_eq(net_write(c, "late", 4), -EPIPE);
	net_timer_clear(net_conn_loop(c), &timer);
	the_conn = NULL;
	latch_add(&closed, 1);
}

/* A client asks for much and reads what it gets, where output is to pile up only after it has. */
static void live_and_act(int way)
{
	const struct net_events e = { .open = any_open, .data = any_data, .flush = any_flush, .close = any_close,
		                          .before_write = any_before_write, .after_wait = any_after_wait, .tick = any_tick,
		                          .watermark = any_watermark };
	struct net_options o;
	static char buf[1 << 16];
	size_t got = 0;
	int port;
	ssize_t n;
	reset();
	done = (struct latch)LATCH;
	the_conn = NULL;
	fix_options(&o, way, 1);
	struct net_server *s = fix_start(&e, &o, ANY, &port);
	int fd = fix_connect(port);
	fix_narrow(fd);
	bool asked = send(fd, "x", 1, MSG_NOSIGNAL) == 1;
	if (place == IN_WATERMARK)
		latch_wait(&done, 1);
	while ((n = recv(fd, buf, sizeof buf, 0)) > 0) {
		got += (size_t)n;
		if (place == IN_CLOSE && got == 2 * STREAM)
			break;
	}
	close(fd);
	if (act == STOPS)
		net_server_wait(s);
	else
		latch_wait(&closed, 1);
	fix_stop(s, 1000);
	ck_assert_int_eq(latch_get(&closed), 1);
	ck_assert_int_le(latch_get(&released), 1);
	ck_assert(asked || latch_get(&released) == 0);
}

START_TEST(closing_and_stopping_are_allowed_anywhere)
{
	for (place = 0; place < PLACES; place++) {
		for (act = 0; act < WAYS_TO_ACT; act++)
			live_and_act(_i);
	}
}
END_TEST

static enum net_action send_after_close(struct net_conn *c)
{
	struct iovec v = { (char[1]){ 'x' }, 1 };
	char *cur, *end;
	size_t len;
	const char *p = net_peek(c, &len);
	bool now = *p == 'n';
	net_discard(c, len);
	net_write(c, "last", 4);
	if (now)
		net_close_now(c, NET_BY_US);
	else
		net_close(c);
	ck_assert(net_is_closing(c));
	ck_assert_int_eq(net_write(c, "x", 1), -EPIPE);
	ck_assert_int_eq(net_writev(c, &v, 1), -EPIPE);
	ck_assert_int_eq(net_write_view(c, p, 1), -EPIPE);
	ck_assert_int_eq(net_out_begin(c, 1, &cur, &end), -EPIPE);
	ck_assert_int_eq(net_write_ref(c, "x", 1, count_release, NULL), -EPIPE);
	net_wake(c);
	net_resume_read(c);
	net_set_idle_timeout(c, 1000);
	return NET_NONE;
}

START_TEST(sending_after_close_is_refused)
{
	const struct net_events e = { .open = on_open, .data = send_after_close, .close = on_close };
	struct net_options o;
	char text[4];
	int port;
	reset();
	place = PLACES;
	fix_options(&o, _i, 1);
	struct net_server *s = fix_start(&e, &o, ANY, &port);
	int fd = fix_connect(port);
	fix_send(fd, "close", 5);
	fix_recv(fd, text, 4);
	ck_assert_mem_eq(text, "last", 4);
	fix_ended(fd);
	close(fd);
	fd = fix_connect(port);
	fix_send(fd, "now", 3);
	fix_ended(fd);
	close(fd);
	latch_wait(&closed, 2);
	ck_assert_int_eq(latch_get(&released), 2); /* references are released, though nothing was sent */
	fix_stop(s, 1000);
}
END_TEST

/* ------------------------------------------------------------------ multicast */

static void answer_packet(struct net_loop *l, const struct net_packet *p)
{
	net_send_to(l, p->listener, p->bytes, p->len, p->peer, p->peer_len);
}

START_TEST(multicast_on_one_interface)
{
	const struct net_events e = { .packet = answer_packet };
	struct net_options o;
	int err, on = 1, pid = (int)getpid();
	char got[16], group[32];
	/* Its own: Linux gives a socket what comes for a group that any socket of the machine has joined. */
	snprintf(group, sizeof group, "239.254.%d.%d", pid >> 8 & 255, pid & 255);
	fix_options(&o, _i, 1);
	struct net_server *s = fix_start(&e, &o, NULL, NULL);
	struct net_listener *l = net_listen(s, "udp4://0.0.0.0:0", &err);
	ck_assert_ptr_nonnull(l);
	ck_assert_int_eq(net_multicast(l, group, "no-such-one", true), -ENODEV);
	ck_assert_int_eq(net_multicast(l, "nonsense", "lo", true), -EINVAL);
	ck_assert_int_eq(net_multicast(l, "127.0.0.1", "lo", true), -EINVAL);
	ck_assert_int_eq(net_multicast(l, group, "lo", true), 0);
	struct ip_mreqn by = { .imr_ifindex = (int)if_nametoindex("lo") };
	struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = htons((uint16_t)net_listener_port(l)) };
	inet_pton(AF_INET, group, &to.sin_addr);
	int fd = socket(AF_INET, SOCK_DGRAM, 0);
	ck_assert_int_eq(setsockopt(fd, IPPROTO_IP, IP_MULTICAST_IF, &by, sizeof by), 0);
	setsockopt(fd, IPPROTO_IP, IP_MULTICAST_LOOP, &on, sizeof on);
	ck_assert_int_eq(sendto(fd, "to many", 7, 0, (struct sockaddr *)&to, sizeof to), 7);
	struct pollfd p = { .fd = fd, .events = POLLIN };
	ck_assert_int_eq(poll(&p, 1, 20000), 1);
	ck_assert_int_eq(recv(fd, got, sizeof got, 0), 7);
	ck_assert_mem_eq(got, "to many", 7);
	ck_assert_int_eq(net_multicast(l, group, "lo", false), 0);
	sendto(fd, "nobody", 6, 0, (struct sockaddr *)&to, sizeof to);
	to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	ck_assert_int_eq(sendto(fd, "you", 3, 0, (struct sockaddr *)&to, sizeof to), 3);
	ck_assert_int_eq(poll(&p, 1, 20000), 1);
	ck_assert_int_eq(recv(fd, got, sizeof got, 0), 3); /* it has left the group */
	close(fd);
	fix_stop(s, 0);
}
END_TEST

/* ------------------------------------------------------------------ socket options */

static int option(int fd, int level, int name)
{
	int v[2] = { -1, -1 }; /* struct linger has two */
	socklen_t len = sizeof v;
	ck_assert_int_eq(getsockopt(fd, level, name, v, &len), 0);
	return name == SO_LINGER ? (v[0] ? v[1] : -1) : v[0];
}

static void set_options(struct net_loop *l, void *arg)
{
	struct net_conn *c = the_conn;
	int fd = net_conn_fd(c), *dup = arg;
	char text[64], want[64];
	struct sockaddr_in a;
	socklen_t len = sizeof a;
	(void)l;
	ck_assert_int_eq(net_set_nodelay(c, false) || option(fd, IPPROTO_TCP, TCP_NODELAY), 0);
	ck_assert_int_eq(net_set_nodelay(c, true), 0);
	ck_assert_int_ne(option(fd, IPPROTO_TCP, TCP_NODELAY), 0);
	ck_assert_int_eq(net_set_linger(c, 7), 0);
	ck_assert_int_eq(option(fd, SOL_SOCKET, SO_LINGER), 7);
	ck_assert_int_eq(net_set_linger(c, -1), 0);
	ck_assert_int_eq(option(fd, SOL_SOCKET, SO_LINGER), -1);
	ck_assert_int_eq(net_set_buffers(c, 20000, 30000), 0);
	ck_assert_int_eq(option(fd, SOL_SOCKET, SO_RCVBUF), 40000); /* the kernel doubles them */
	ck_assert_int_eq(option(fd, SOL_SOCKET, SO_SNDBUF), 60000);
	ck_assert_int_eq(net_set_keepalive(c, 61, 11, 5), 0);
	ck_assert_int_eq(option(fd, SOL_SOCKET, SO_KEEPALIVE), 1);
	ck_assert_int_eq(option(fd, IPPROTO_TCP, TCP_KEEPIDLE), 61);
	ck_assert_int_eq(option(fd, IPPROTO_TCP, TCP_KEEPINTVL), 11);
	ck_assert_int_eq(option(fd, IPPROTO_TCP, TCP_KEEPCNT), 5);
	ck_assert_int_eq(net_set_keepalive(c, 0, 0, 0), 0);
	ck_assert_int_eq(option(fd, SOL_SOCKET, SO_KEEPALIVE), 0);
	int err = net_bind_device(c, "no-such-one");
	ck_assert(err == -ENODEV || err == -EPERM);
	err = net_bind_device(c, "lo");
	ck_assert(err == 0 || err == -EPERM);
	getsockname(fd, (struct sockaddr *)&a, &len);
	snprintf(want, sizeof want, "127.0.0.1:%d", ntohs(a.sin_port));
	ck_assert_int_eq(net_conn_local(c, text, sizeof text), strlen(want));
	ck_assert_str_eq(text, want);
	*dup = net_conn_dup(c);
	ck_assert_int_ge(*dup, 0);
	ck_assert_int_ne(fcntl(*dup, F_GETFD) & FD_CLOEXEC, 0);
	net_close(c);
}

START_TEST(socket_options)
{
	const struct net_events e = { .open = on_open, .data = echo, .close = on_close };
	struct net_options o;
	char text[3];
	int port, dup = -1;
	reset();
	fix_options(&o, _i, 1);
	struct net_server *s = fix_start(&e, &o, ANY, &port);
	int fd = fix_connect(port);
	latch_wait(&opened, 1);
	fix_run(net_server_loop(s, 0), set_options, &dup);
	latch_wait(&closed, 1);
	fix_send(dup, "dup", 3); /* it outlives the connection */
	fix_recv(fd, text, 3);
	ck_assert_mem_eq(text, "dup", 3);
	close(dup);
	close(fd);
	fix_stop(s, 1000);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("net_promises");
	TCase *t = tcase_create("net_promises");
	tcase_set_timeout(t, 120);
	const TTest *tests[] = {
		a_wake_during_a_pending_write_loses_nothing, dial_does_not_block, write_deadlines_close_those_that_do_not_read,
		clients_are_spread_by_address_and_keep_their_loop, closing_and_stopping_are_allowed_anywhere,
		sending_after_close_is_refused, multicast_on_one_interface, socket_options,
	};
	for (size_t i = 0; i < sizeof tests / sizeof *tests; i++)
		tcase_add_loop_test(t, tests[i], 0, FIX_WAYS);
	suite_add_tcase(s, t);
	return suite_run(s);
}
