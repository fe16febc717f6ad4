/* Connections: reading, views, writing, back-pressure, closing in every way; on every backend, edge-triggered too. */
#include <arpa/inet.h>
#include <check.h>
#include <errno.h>
#include <poll.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/lib/net_fixture.h"
#include "tests/lib/suite.h"

static struct latch opened, closed, seen;
static atomic_int last_reason;

static void reset(void)
{
	opened = closed = seen = (struct latch)LATCH;
	atomic_store(&last_reason, 12345);
}

static enum net_action on_open(struct net_conn *c)
{
	(void)c;
	latch_add(&opened, 1);
	return NET_NONE;
}

static void on_close(struct net_conn *c, int reason)
{
	(void)c;
	atomic_store(&last_reason, reason);
	latch_add(&closed, 1);
}

static enum net_action echo(struct net_conn *c)
{
	size_t len;
	const char *p = net_peek(c, &len);
	net_write(c, p, len);
	net_discard(c, len);
	return NET_NONE;
}

static enum net_action echo_view(struct net_conn *c)
{
	size_t len;
	const char *p = net_peek(c, &len);
	net_discard(c, len);
	net_write_view(c, p, len);
	return NET_NONE;
}

#define STREAM (3 << 20)

struct pump {
	int fd;
	pthread_t thread;
};

static void *send_stream(void *arg)
{
	struct pump *p = arg;
	unsigned char *buf = malloc(STREAM);
	for (size_t i = 0; i < STREAM; i++)
		buf[i] = fix_byte(i);
	fix_send(p->fd, buf, STREAM);
	free(buf);
	return NULL;
}

static void expect_stream(int fd, size_t n)
{
	unsigned char *buf = malloc(n);
	fix_recv(fd, buf, n);
	for (size_t i = 0; i < n; i++) {
		if (buf[i] != fix_byte(i))
			ck_abort_msg("byte %zu is wrong", i);
	}
	free(buf);
}

static void echo_three(const struct net_events *e, int way, size_t turn_cap)
{
	struct net_options o;
	struct pump pumps[3];
	int port;
	fix_options(&o, way, 1);
	o.turn_cap = turn_cap;
	struct net_server *s = fix_start(e, &o, "tcp4://127.0.0.1:0", &port);
	for (int i = 0; i < 3; i++) {
		pumps[i].fd = fix_connect(port);
		pthread_create(&pumps[i].thread, NULL, send_stream, &pumps[i]);
	}
	for (int i = 0; i < 3; i++) {
		expect_stream(pumps[i].fd, STREAM);
		pthread_join(pumps[i].thread, NULL);
		close(pumps[i].fd);
	}
	latch_wait(&closed, 3);
	ck_assert_int_eq(atomic_load(&last_reason), NET_BY_PEER);
	struct net_loop_stats st;
	fix_stop(s, 1000);
	(void)st;
}

START_TEST(bulk_echo_is_exact)
{
	reset();
	const struct net_events e = { .open = on_open, .data = echo, .close = on_close };
	echo_three(&e, _i, 4 << 20);
}
END_TEST

START_TEST(bulk_echo_by_view_with_a_small_turn)
{
	reset();
	const struct net_events e = { .open = on_open, .data = echo_view, .close = on_close };
	echo_three(&e, _i, 64 << 10); /* one connection fills a turn: the others must not starve */
}
END_TEST

/* ------------------------------------------------------------------ views */

static size_t message_len;

/* Messages of message_len bytes; answers each with its number of bytes that were wrong. */
static enum net_action whole_messages(struct net_conn *c)
{
	size_t len;
	const char *p = net_peek(c, &len);
	while (len >= message_len) {
		char bad = 0;
		for (size_t i = 0; i < message_len; i++)
			bad |= (unsigned char)p[i] != fix_byte(i);
		net_discard(c, message_len);
		net_write(c, bad ? "!" : ".", 1);
		p = net_peek(c, &len);
	}
	if (len)
		net_expect(c, message_len - len);
	return NET_NONE;
}

static void send_in_pieces(int fd, const unsigned char *m, size_t len, size_t piece)
{
	for (size_t at = 0; at < len; at += piece)
		fix_send(fd, m + at, len - at < piece ? len - at : piece);
}

START_TEST(a_message_is_one_view_however_it_arrives)
{
	static const size_t lens[] = { 1, 7, 100, 16000, 40000, 300000, 2000000 };
	struct net_options o;
	const struct net_events e = { .data = whole_messages };
	int port;
	fix_options(&o, _i, 1);
	for (size_t k = 0; k < sizeof lens / sizeof *lens; k++) {
		message_len = lens[k];
		struct net_server *s = fix_start(&e, &o, "tcp4://127.0.0.1:0", &port);
		unsigned char *m = malloc(message_len);
		for (size_t i = 0; i < message_len; i++)
			m[i] = fix_byte(i);
		int fd = fix_connect(port);
		char answer[3];
		send_in_pieces(fd, m, message_len, message_len / 50 + 1);
		send_in_pieces(fd, m, message_len, message_len);
		send_in_pieces(fd, m, message_len, 30011);
		fix_recv(fd, answer, 3);
		ck_assert_mem_eq(answer, "...", 3);
		close(fd);
		free(m);
		fix_stop(s, 1000);
	}
}
END_TEST

static struct net_conn *the_conn;

static enum net_action keep_conn(struct net_conn *c)
{
	the_conn = c;
	latch_add(&opened, 1);
	return NET_NONE;
}

static enum net_action count_bytes(struct net_conn *c)
{
	size_t len;
	net_peek(c, &len);
	net_discard(c, len);
	latch_add(&seen, (long)len);
	return NET_NONE;
}

static void check_idle(struct net_loop *l, void *arg)
{
	struct net_loop_stats st;
	(void)arg;
	ck_assert_uint_eq(net_in_capacity(the_conn), 0);
	ck_assert_uint_eq(net_out_memory(the_conn), 0);
	net_loop_get_stats(l, &st);
	ck_assert_uint_eq(st.memory, 0);
}

START_TEST(an_idle_connection_holds_no_buffers)
{
	reset();
	struct net_options o;
	const struct net_events e = { .open = keep_conn, .data = count_bytes };
	static char buf[500000];
	int port;
	fix_options(&o, _i, 1);
	struct net_server *s = fix_start(&e, &o, "tcp4://127.0.0.1:0", &port);
	int fd = fix_connect(port);
	fix_send(fd, buf, sizeof buf);
	latch_wait(&seen, sizeof buf);
	fix_run(net_server_loop(s, 0), check_idle, NULL); /* the turn of the last bytes */
	fix_run(net_server_loop(s, 0), check_idle, NULL);
	close(fd);
	fix_stop(s, 1000);
}
END_TEST

/* ------------------------------------------------------------------ pausing */

static void pause_it(struct net_loop *l, void *arg)
{
	(void)l;
	(void)arg;
	net_pause_read(the_conn);
}

static void resume_it(struct net_loop *l, void *arg)
{
	(void)l;
	(void)arg;
	net_resume_read(the_conn);
}

START_TEST(a_paused_connection_loses_nothing)
{
	reset();
	struct net_options o;
	const struct net_events e = { .open = keep_conn, .data = count_bytes, .close = on_close };
	char path[64], url[80], buf[1000] = { 0 };
	snprintf(path, sizeof path, "/tmp/net_conn_%d.sock", (int)getpid());
	snprintf(url, sizeof url, "unix://%s", path);
	fix_options(&o, _i, 1);
	struct net_server *s = fix_start(&e, &o, url, NULL);
	struct net_loop *l = net_server_loop(s, 0);
	struct sockaddr_storage un = { .ss_family = AF_UNIX };
	memcpy((char *)&un + sizeof un.ss_family, path, strlen(path) + 1);
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);
	ck_assert_int_eq(connect(fd, (struct sockaddr *)&un, (socklen_t)(sizeof un.ss_family + strlen(path) + 1)), 0);
	latch_wait(&opened, 1);
	fix_run(l, pause_it, NULL);
	fix_send(fd, buf, sizeof buf);
	close(fd); /* the poller now reports a hangup without being asked */
	fix_run(l, resume_it, NULL);
	fix_run(l, pause_it, NULL);
	struct net_loop_stats before, after;
	net_loop_get_stats(l, &before);
	poll(NULL, 0, 50);
	net_loop_get_stats(l, &after);
	ck_assert_uint_le(after.turns, before.turns + 10); /* it does not spin on the hangup */
	fix_run(l, resume_it, NULL);
	latch_wait(&seen, sizeof buf);
	latch_wait(&closed, 1);
	ck_assert_int_eq(atomic_load(&last_reason), NET_BY_PEER);
	fix_stop(s, 1000);
	ck_assert_int_ne(access(path, F_OK), 0);
}
END_TEST

/* ------------------------------------------------------------------ back-pressure */

static struct latch marks;

static enum net_action keep_narrow(struct net_conn *c)
{
	fix_narrow(net_conn_fd(c));
	return keep_conn(c);
}

static void on_watermark(struct net_conn *c, bool above)
{
	if (above)
		ck_assert_uint_gt(net_out_pending(c), 1 << 20);
	latch_add(&marks, 1);
}

START_TEST(a_client_that_never_reads_is_paused)
{
	reset();
	marks = (struct latch)LATCH;
	struct net_options o;
	const struct net_events e = { .open = keep_narrow, .data = echo, .close = on_close, .watermark = on_watermark };
	int port;
	fix_options(&o, _i, 1);
	o.pause_on_high = true;
	struct net_server *s = fix_start(&e, &o, "tcp4://127.0.0.1:0", &port);
	struct pump p = { .fd = fix_connect(port) };
	static char buf[1 << 20];
	size_t sent = 0;
	ssize_t n;
	fix_narrow(p.fd);
	for (;;) { /* the kernel's buffers and the high watermark, not 16 MiB */
		struct pollfd pfd = { .fd = p.fd, .events = POLLOUT };
		if (poll(&pfd, 1, 300) == 0) {
			if (latch_get(&marks)) /* else the server is slow */
				break;
			continue;
		}
		n = send(p.fd, buf, sizeof buf, MSG_DONTWAIT);
		ck_assert_int_gt(n, 0);
		sent += (size_t)n;
		ck_assert_uint_lt(sent, 16u << 20);
	}
	struct net_loop_stats a, b;
	net_loop_get_stats(net_server_loop(s, 0), &a);
	poll(NULL, 0, 50);
	net_loop_get_stats(net_server_loop(s, 0), &b);
	ck_assert_uint_lt(b.memory, (1 << 20) + ((_i == FIX_URING ? 768u : 256u) << 10)); /* io_uring: what was under way, too */
	ck_assert_uint_le(b.turns, a.turns + 50); /* the loop sleeps */
	for (size_t got = 0; got < sent; got += (size_t)n) {
		n = recv(p.fd, buf, sizeof buf, 0);
		ck_assert_int_gt(n, 0);
	}
	latch_wait(&marks, 2);
	close(p.fd);
	latch_wait(&closed, 1);
	fix_stop(s, 1000);
}
END_TEST

static enum net_action flood(struct net_conn *c)
{
	static char buf[1 << 20];
	size_t len;
	net_peek(c, &len);
	net_discard(c, len);
	for (int i = 0; i < 64; i++)
		net_write(c, buf, sizeof buf);
	return NET_NONE;
}

START_TEST(the_output_limit_closes)
{
	reset();
	struct net_options o;
	const struct net_events e = { .open = keep_narrow, .data = flood, .close = on_close };
	int port;
	fix_options(&o, _i, 1);
	o.output_limit = 4 << 20;
	struct net_server *s = fix_start(&e, &o, "tcp4://127.0.0.1:0", &port);
	int fd = fix_connect(port);
	fix_narrow(fd);
	fix_send(fd, "x", 1);
	latch_wait(&closed, 1);
	ck_assert_int_eq(atomic_load(&last_reason), NET_BY_OVERFLOW);
	close(fd);
	fix_stop(s, 1000);
}
END_TEST

/* ------------------------------------------------------------------ closing */

static enum net_action flood_and_close(struct net_conn *c)
{
	unsigned char *buf = malloc(STREAM);
	size_t len;
	net_peek(c, &len);
	net_discard(c, len);
	for (size_t i = 0; i < STREAM; i++)
		buf[i] = fix_byte(i);
	ck_assert_int_eq(net_write(c, buf, STREAM), 0);
	free(buf);
	net_close(c);
	net_close(c);
	ck_assert(net_is_closing(c));
	ck_assert_int_eq(net_write(c, "x", 1), -EPIPE);
	return NET_CLOSE;
}

START_TEST(close_sends_what_is_queued)
{
	reset();
	struct net_options o;
	const struct net_events e = { .data = flood_and_close, .close = on_close };
	int port;
	fix_options(&o, _i, 1);
	struct net_server *s = fix_start(&e, &o, "tcp4://127.0.0.1:0", &port);
	int fd = fix_connect(port);
	fix_send(fd, "x", 1);
	expect_stream(fd, STREAM);
	ck_assert(!fix_ended(fd));
	latch_wait(&closed, 1);
	ck_assert_int_eq(atomic_load(&last_reason), NET_BY_US);
	close(fd);
	fix_stop(s, 1000);
}
END_TEST

static enum net_action much_and_close(struct net_conn *c)
{
	flood(c);
	return NET_CLOSE;
}

START_TEST(close_waits_only_so_long)
{
	reset();
	struct net_options o;
	const struct net_events e = { .open = keep_narrow, .data = much_and_close, .close = on_close };
	int port;
	fix_options(&o, _i, 1);
	o.close_timeout_ms = 50;
	struct net_server *s = fix_start(&e, &o, "tcp4://127.0.0.1:0", &port);
	int fd = fix_connect(port);
	fix_narrow(fd);
	fix_send(fd, "x", 1);
	latch_wait(&closed, 1);
	ck_assert_int_eq(atomic_load(&last_reason), NET_BY_TIMEOUT);
	close(fd);
	fix_stop(s, 1000);
}
END_TEST

/* What close() writes to others goes out whole, though the memory of the turn ends. */
static struct net_conn *members[8];
static int nmembers;

static enum net_action join(struct net_conn *c)
{
	members[nmembers++] = c;
	latch_add(&opened, 1);
	return NET_NONE;
}

static void say_goodbye(struct net_conn *c, int reason)
{
	(void)reason;
	for (int i = 0; i < nmembers; i++) {
		if (members[i] == c)
			members[i--] = members[--nmembers];
		else
			net_write(members[i], "somebody left\n", 14);
	}
	latch_add(&closed, 1);
}

START_TEST(close_callbacks_may_write_to_others)
{
	reset();
	nmembers = 0;
	struct net_options o;
	const struct net_events e = { .open = join, .data = echo, .close = say_goodbye };
	int port, fds[4];
	char text[14];
	fix_options(&o, _i, 1);
	struct net_server *s = fix_start(&e, &o, "tcp4://127.0.0.1:0", &port);
	for (int i = 0; i < 4; i++)
		fds[i] = fix_connect(port);
	latch_wait(&opened, 4);
	for (int i = 0; i < 3; i++) {
		close(fds[i]);
		for (int k = i + 1; k < 4; k++) {
			fix_recv(fds[k], text, 14);
			ck_assert_mem_eq(text, "somebody left\n", 14);
		}
	}
	close(fds[3]);
	latch_wait(&closed, 4);
	fix_stop(s, 1000);
}
END_TEST

/* Members get pieces of every length in turn, by every way of writing: what one gets stays whole and in order. */
#define PIECES 600

static size_t piece_len(int i)
{
	return i % 97 == 0 ? 5000 : (size_t)(i * 7 % 300);
}

static enum net_action scatter(struct net_conn *c)
{
	static unsigned char buf[5000];
	size_t len, at = 0;
	net_peek(c, &len);
	net_discard(c, len);
	for (int i = 0; i < PIECES; i++) {
		len = piece_len(i);
		for (size_t k = 0; k < len; k++)
			buf[k] = fix_byte(at + k);
		at += len;
		for (int m = 0; m < nmembers; m++) {
			char *cur, *end;
			if (i % 11 == 5 && !net_out_begin(members[m], len, &cur, &end)) {
				memcpy(cur, buf, len);
				net_out_end(members[m], cur + len);
			} else {
				ck_assert_int_eq(net_write(members[m], buf, len), 0);
			}
		}
	}
	return NET_NONE;
}

START_TEST(writes_to_many_in_turn)
{
	reset();
	nmembers = 0;
	struct net_options o;
	const struct net_events e = { .open = join, .data = scatter, .close = on_close };
	int port, fds[3];
	size_t total = 0;
	fix_options(&o, _i, 1);
	struct net_server *s = fix_start(&e, &o, "tcp4://127.0.0.1:0", &port);
	for (int i = 0; i < 3; i++)
		fds[i] = fix_connect(port);
	latch_wait(&opened, 3);
	for (int i = 0; i < PIECES; i++)
		total += piece_len(i);
	fix_send(fds[0], "x", 1);
	for (int i = 0; i < 3; i++)
		expect_stream(fds[i], total);
	for (int i = 0; i < 3; i++)
		close(fds[i]);
	latch_wait(&closed, 3);
	fix_stop(s, 1000);
}
END_TEST

/* Every way to close, in every callback. */
static int close_where, close_how;
enum { IN_OPEN, IN_DATA, IN_FLUSH, IN_WAKE, IN_WHERE_END };
enum { BY_ACTION, BY_CLOSE, BY_CLOSE_NOW, BY_DETACH, BY_SHUTDOWN, BY_HOW_END };

static enum net_action close_somehow(struct net_conn *c, int where)
{
	static const enum net_action actions[] = { [BY_ACTION] = NET_CLOSE, [BY_DETACH] = NET_DETACH,
		                                   [BY_SHUTDOWN] = NET_SHUTDOWN };
	if (where != close_where)
		return NET_NONE;
	if (close_how == BY_CLOSE)
		net_close(c);
	if (close_how == BY_CLOSE_NOW)
		net_close_now(c, NET_BY_US);
	return close_how == BY_CLOSE || close_how == BY_CLOSE_NOW ? NET_NONE : actions[close_how];
}

static enum net_action open_any(struct net_conn *c)
{
	return close_somehow(c, IN_OPEN);
}

static enum net_action data_any(struct net_conn *c)
{
	size_t len;
	const char *p = net_peek(c, &len);
	if (len) {
		net_write(c, p, len);
		net_discard(c, len);
		net_wake(c);
		return close_somehow(c, IN_DATA);
	}
	return close_somehow(c, IN_WAKE);
}

static enum net_action flush_any(struct net_conn *c)
{
	return close_somehow(c, IN_FLUSH);
}

static void take_fd(struct net_conn *c, int fd, const void *unread, size_t len)
{
	(void)c;
	(void)unread;
	(void)len;
	close(fd);
}

START_TEST(close_inside_every_callback)
{
	const struct net_events e = { .open = open_any, .data = data_any, .flush = flush_any, .close = on_close,
		                      .detach = take_fd };
	for (close_where = 0; close_where < IN_WHERE_END; close_where++) {
		for (close_how = 0; close_how < BY_HOW_END; close_how++) {
			struct net_options o;
			int port;
			reset();
			fix_options(&o, _i, 1);
			struct net_server *s = fix_start(&e, &o, "tcp4://127.0.0.1:0", &port);
			int fd = fix_connect(port);
			send(fd, "hello", 5, MSG_NOSIGNAL);
			latch_wait(&closed, 1);
			close(fd);
			fix_stop(s, 1000);
			ck_assert_int_eq(latch_get(&closed), 1);
		}
	}
}
END_TEST

/* ------------------------------------------------------------------ references, half-close, detach */

static struct latch released;

static void release(void *ctx, const void *buf)
{
	ck_assert_ptr_eq(ctx, buf);
	free((void *)(uintptr_t)buf);
	latch_add(&released, 1);
}

static enum net_action answer_by_reference(struct net_conn *c)
{
	size_t len;
	net_peek(c, &len);
	net_discard(c, len);
	unsigned char *buf = malloc(STREAM);
	for (size_t i = 0; i < STREAM; i++)
		buf[i] = fix_byte(i);
	net_write(c, "<", 1);
	net_write_ref(c, buf, STREAM, release, buf);
	net_write(c, ">", 1);
	return NET_NONE;
}

START_TEST(references_are_released_once)
{
	reset();
	released = (struct latch)LATCH;
	struct net_options o;
	const struct net_events e = { .data = answer_by_reference, .close = on_close };
	int port;
	char mark;
	fix_options(&o, _i, 1);
	struct net_server *s = fix_start(&e, &o, "tcp4://127.0.0.1:0", &port);
	int fd = fix_connect(port), quitter = fix_connect(port);
	fix_send(fd, "x", 1);
	fix_send(quitter, "x", 1);
	fix_recv(quitter, &mark, 1);
	close(quitter); /* with nearly all of it queued */
	fix_recv(fd, &mark, 1);
	ck_assert_int_eq(mark, '<');
	expect_stream(fd, STREAM);
	fix_recv(fd, &mark, 1);
	ck_assert_int_eq(mark, '>');
	close(fd);
	latch_wait(&closed, 2);
	latch_wait(&released, 2);
	fix_stop(s, 1000);
	ck_assert_int_eq(latch_get(&released), 2);
}
END_TEST

static enum net_action half_close(struct net_conn *c)
{
	size_t len;
	const char *p = net_peek(c, &len);
	if (memchr(p, 'q', len)) {
		net_write(c, "bye", 3);
		ck_assert_int_eq(net_shutdown_write(c), 0);
		ck_assert_int_eq(net_write(c, "more", 4), -EPIPE);
	}
	latch_add(&seen, (long)len);
	net_discard(c, len);
	return NET_NONE;
}

START_TEST(half_close_goes_on_reading)
{
	reset();
	struct net_options o;
	const struct net_events e = { .data = half_close, .close = on_close };
	int port;
	char text[3];
	fix_options(&o, _i, 1);
	struct net_server *s = fix_start(&e, &o, "tcp4://127.0.0.1:0", &port);
	int fd = fix_connect(port);
	fix_send(fd, "q", 1);
	fix_recv(fd, text, 3);
	ck_assert(!fix_ended(fd));
	fix_send(fd, "still here", 10);
	latch_wait(&seen, 11);
	ck_assert_int_eq(latch_get(&closed), 0);
	shutdown(fd, SHUT_WR);
	latch_wait(&closed, 1);
	ck_assert_int_eq(atomic_load(&last_reason), NET_BY_PEER);
	close(fd);
	fix_stop(s, 1000);
}
END_TEST

static int detached_fd;
static char detached_text[16];

static enum net_action detach_on_data(struct net_conn *c)
{
	size_t len;
	net_peek(c, &len);
	net_discard(c, 1);
	net_write(c, "bye", 3);
	return NET_DETACH;
}

static void keep_fd(struct net_conn *c, int fd, const void *unread, size_t len)
{
	(void)c;
	detached_fd = fd;
	memcpy(detached_text, unread, len);
	latch_add(&seen, (long)len);
}

START_TEST(detach_and_attach)
{
	reset();
	struct net_options o;
	const struct net_events giver = { .data = detach_on_data, .detach = keep_fd, .close = on_close };
	const struct net_events taker = { .open = keep_conn, .data = echo, .close = on_close };
	int port;
	char text[8];
	fix_options(&o, _i, 1);
	struct net_server *s = fix_start(&giver, &o, "tcp4://127.0.0.1:0", &port);
	struct net_server *t = fix_start(&taker, &o, NULL, NULL);
	int fd = fix_connect(port);
	fix_send(fd, "-unread", 7);
	latch_wait(&seen, 6);
	latch_wait(&closed, 1);
	ck_assert_mem_eq(detached_text, "unread", 6);
	fix_recv(fd, text, 3);
	ck_assert_mem_eq(text, "bye", 3);
	ck_assert_int_eq(net_attach(net_server_loop(t, 0), detached_fd, 5, &o), 0);
	fix_send(fd, "again", 5);
	fix_recv(fd, text, 5);
	ck_assert_mem_eq(text, "again", 5);
	latch_wait(&opened, 1);
	ck_assert_int_eq(net_conn_tag(the_conn), 5);
	ck_assert_ptr_eq(net_conn_ctx(the_conn), &o);
	close(fd);
	latch_wait(&closed, 2);
	fix_stop(s, 1000);
	fix_stop(t, 1000);
}
END_TEST

/* ------------------------------------------------------------------ timeouts, addresses */

static enum net_action with_deadline(struct net_conn *c)
{
	net_set_read_deadline(c, 60);
	return NET_NONE;
}

START_TEST(idle_and_read_deadlines_close)
{
	struct net_options o;
	const struct net_events idle = { .data = echo, .close = on_close };
	const struct net_events deadline = { .open = with_deadline, .data = echo, .close = on_close };
	char byte;
	int port;
	for (int k = 0; k < 2; k++) {
		reset();
		fix_options(&o, _i, 1);
		o.idle_timeout_ms = k ? 0 : 60;
		struct net_server *s = fix_start(k ? &deadline : &idle, &o, "tcp4://127.0.0.1:0", &port);
		int fd = fix_connect(port);
		send(fd, "x", 1, MSG_NOSIGNAL);
		while (recv(fd, &byte, 1, 0) > 0)
			; /* the echo, if the machine is quick enough for it */
		latch_wait(&closed, 1);
		ck_assert_int_eq(atomic_load(&last_reason), NET_BY_TIMEOUT);
		close(fd);
		fix_stop(s, 1000);
	}
}
END_TEST

static char peer_text[64];

static void peer_on_close(struct net_conn *c, int reason)
{
	net_conn_peer(c, peer_text, sizeof peer_text);
	on_close(c, reason);
}

START_TEST(a_reset_is_reported_with_the_peer)
{
	reset();
	struct net_options o;
	const struct net_events e = { .open = on_open, .data = echo, .close = peer_on_close };
	struct linger lg = { .l_onoff = 1 };
	struct sockaddr_in me;
	socklen_t len = sizeof me;
	char want[64];
	int port;
	fix_options(&o, _i, 1);
	struct net_server *s = fix_start(&e, &o, "tcp4://127.0.0.1:0", &port);
	int fd = fix_connect(port);
	latch_wait(&opened, 1);
	getsockname(fd, (struct sockaddr *)&me, &len);
	snprintf(want, sizeof want, "127.0.0.1:%d", ntohs(me.sin_port));
	setsockopt(fd, SOL_SOCKET, SO_LINGER, &lg, sizeof lg);
	close(fd);
	latch_wait(&closed, 1);
	ck_assert_int_eq(atomic_load(&last_reason), ECONNRESET);
	ck_assert_str_eq(peer_text, want);
	fix_stop(s, 1000);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("net_conn");
	TCase *t = tcase_create("net_conn");
	tcase_set_timeout(t, 120);
	const TTest *tests[] = {
		bulk_echo_is_exact, bulk_echo_by_view_with_a_small_turn, a_message_is_one_view_however_it_arrives,
		an_idle_connection_holds_no_buffers, a_paused_connection_loses_nothing, a_client_that_never_reads_is_paused,
		the_output_limit_closes, close_sends_what_is_queued, close_waits_only_so_long,
		close_callbacks_may_write_to_others, writes_to_many_in_turn, close_inside_every_callback,
		references_are_released_once,
		half_close_goes_on_reading, detach_and_attach, idle_and_read_deadlines_close, a_reset_is_reported_with_the_peer,
	};
	for (size_t i = 0; i < sizeof tests / sizeof *tests; i++)
		tcase_add_loop_test(t, tests[i], 0, FIX_WAYS);
	suite_add_tcase(s, t);
	return suite_run(s);
}
