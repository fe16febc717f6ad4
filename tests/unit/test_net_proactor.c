/* The proactor: every operation in every state of a connection has its one result, on each backend. */
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "net/proactor.h"
#include "tests/lib/failing_calls.h"
#include "tests/lib/net_fixture.h"
#include "tests/lib/suite.h"

#define LIMIT_MS 20000

static const enum net_backend backends[] = {
	NET_BACKEND_EPOLL, NET_BACKEND_POLL,
#ifdef NET_HAVE_KQUEUE
	NET_BACKEND_KQUEUE,
#endif
};
#define WAYS ((int)(sizeof backends / sizeof *backends))

static atomic_long living, until_failure;

static void *counting_realloc(void *p, size_t size)
{
	if (size == 0) {
		if (p)
			atomic_fetch_sub(&living, 1);
		free(p);
		return NULL;
	}
	if (atomic_fetch_sub(&until_failure, 1) == 1)
		return NULL;
	void *fresh = realloc(p, size);
	if (!p && fresh)
		atomic_fetch_add(&living, 1);
	return fresh;
}

static struct net_proactor *start(int way)
{
	struct net_proactor_options o;
	int err;
	net_proactor_options_init(&o);
	o.backend = backends[way];
	o.realloc = counting_realloc;
	atomic_store(&until_failure, -1);
	struct net_proactor *p = net_proactor_new(&o, &err);
	ck_assert_msg(p != NULL, "%s", strerror(-err));
	return p;
}

static void stop(struct net_proactor *p)
{
	net_proactor_free(p);
	ck_assert_int_eq(atomic_load(&living), 0);
}

/* A connection of the proactor and the other end of it. */
static net_proactor_conn pair(struct net_proactor *p, int *peer)
{
	net_proactor_conn c = 0;
	struct timeval limit = { .tv_sec = LIMIT_MS / 1000 };
	int fds[2];
	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
	setsockopt(fds[1], SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
	setsockopt(fds[1], SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
	ck_assert_int_eq(net_proactor_add(p, fds[0], &c), 0);
	*peer = fds[1];
	return c;
}

/* A TCP connection on which the kernel keeps little. */
static net_proactor_conn tcp_pair(struct net_proactor *p, int *peer)
{
	net_proactor_conn l, c;
	struct net_result r;
	int port;
	ck_assert_int_eq(net_proactor_listen(p, "tcp4://127.0.0.1:0", &l, &port), 0);
	ck_assert_int_eq(net_proactor_accept(p, l, -1, NULL), 0);
	*peer = fix_connect(port);
	ck_assert_int_eq(net_proactor_wait(p, &r, 1, LIMIT_MS), 1);
	ck_assert_int_eq(r.err, 0);
	ck_assert_int_eq(r.what, NET_OP_ACCEPT);
	ck_assert_uint_eq(r.conn, l);
	c = r.accepted;
	fix_narrow(*peer);
	fix_narrow(net_proactor_fd(p, c));
	ck_assert_int_eq(net_proactor_release(p, l), 0);
	return c;
}

/* The one next result. */
static struct net_result next(struct net_proactor *p)
{
	struct net_result r;
	ck_assert_int_eq(net_proactor_wait(p, &r, 1, LIMIT_MS), 1);
	return r;
}

static void expect_none(struct net_proactor *p)
{
	struct net_result r;
	ck_assert_int_eq(net_proactor_wait(p, &r, 1, 0), 0);
}

START_TEST(reads_and_writes)
{
	struct net_proactor *p = start(_i);
	int peer, tag;
	char buf[16], back[16];
	net_proactor_conn c = pair(p, &peer);
	ck_assert_int_eq(net_proactor_read(p, c, buf, sizeof buf, -1, &tag), 0);
	expect_none(p);
	fix_send(peer, "hello", 5);
	struct net_result r = next(p);
	ck_assert(r.conn == c && r.what == NET_OP_READ && !r.err && !r.ended && r.ctx == &tag && r.buf == buf);
	ck_assert_uint_eq(r.size, sizeof buf);
	ck_assert_uint_eq(r.n, 5);
	ck_assert_mem_eq(buf, "hello", 5);
	ck_assert_int_eq(net_proactor_write(p, c, "world", 5, -1, &tag), 0);
	r = next(p);
	ck_assert(r.what == NET_OP_WRITE && !r.err && r.n == 5 && r.ctx == &tag);
	fix_recv(peer, back, 5);
	ck_assert_mem_eq(back, "world", 5);
	ck_assert_int_eq(net_proactor_read(p, c, buf, 0, -1, NULL), -EINVAL);
	ck_assert_int_eq(net_proactor_read_full(p, c, NULL, 0, -1, NULL), -EINVAL);
	ck_assert_int_eq(net_proactor_write(p, c, buf, 0, -1, NULL), -EINVAL);
	ck_assert_int_eq(net_proactor_wait(p, &r, 0, 0), -EINVAL);
	expect_none(p);
	close(peer);
	stop(p);
}
END_TEST

/* Bytes that came before the read was submitted, in parts smaller and larger than what is asked for. */
START_TEST(reads_take_what_is_there)
{
	struct net_proactor *p = start(_i);
	int peer;
	char buf[8];
	net_proactor_conn c = pair(p, &peer);
	fix_send(peer, "0123456789", 10);
	for (int i = 0; i < 3; i++)
		ck_assert_int_eq(net_proactor_read(p, c, buf + i, i < 2 ? 4 : 2, -1, NULL), 0);
	struct net_result r = next(p);
	ck_assert(r.n == 4 && memcmp(r.buf, "0123", 4) == 0);
	r = next(p);
	ck_assert(r.n == 4 && memcmp(r.buf, "4567", 4) == 0);
	r = next(p);
	ck_assert(r.n == 2 && memcmp(r.buf, "89", 2) == 0);
	ck_assert_int_eq(net_proactor_read(p, c, buf, 8, -1, NULL), 0);
	expect_none(p);
	fix_send(peer, "ab", 2);
	r = next(p);
	ck_assert(r.n == 2 && memcmp(r.buf, "ab", 2) == 0);
	close(peer);
	stop(p);
}
END_TEST

START_TEST(read_full_waits_for_all_of_it)
{
	struct net_proactor *p = start(_i);
	int peer;
	static char big[300000], back[300000];
	net_proactor_conn c = pair(p, &peer);
	for (size_t i = 0; i < sizeof big; i++)
		big[i] = (char)fix_byte(i);
	for (int own = 0; own < 2; own++) {
		ck_assert_int_eq(net_proactor_read_full(p, c, own ? NULL : back, sizeof back, -1, NULL), 0);
		size_t sent = 0;
		struct net_result r;
		int n = 0;
		while (sent < sizeof big) { /* a part at a time, and nothing before the last */
			size_t part = sizeof big - sent < 50000 ? sizeof big - sent : 50000;
			fix_send(peer, big + sent, part);
			sent += part;
			n = net_proactor_wait(p, &r, 1, sent < sizeof big ? 0 : LIMIT_MS);
			ck_assert_int_eq(n, sent == sizeof big);
		}
		ck_assert(!r.err && !r.ended && r.n == sizeof big);
		ck_assert_mem_eq(r.buf, big, sizeof big);
	}
	fix_send(peer, "abc", 3);
	close(peer);
	ck_assert_int_eq(net_proactor_read_full(p, c, NULL, 5, -1, NULL), 0);
	struct net_result r = next(p);
	ck_assert(!r.err && r.ended && r.n == 3 && memcmp(r.buf, "abc", 3) == 0);
	expect_none(p);
	stop(p);
}
END_TEST

/* The library's buffer: written back from where it lies, also what the socket does not take at once. */
START_TEST(own_buffers_echo)
{
	enum { CONNS = 20, ROUND = 60000 };
	struct net_proactor *p = start(_i);
	int peers[CONNS], small = 4096;
	static char out[ROUND], back[ROUND];
	net_proactor_conn c[CONNS];
	for (int i = 0; i < CONNS; i++) {
		c[i] = pair(p, &peers[i]);
		setsockopt(net_proactor_fd(p, c[i]), SOL_SOCKET, SO_SNDBUF, &small, sizeof small);
		ck_assert_int_eq(net_proactor_read(p, c[i], NULL, 0, -1, NULL), 0);
		for (int j = 0; j < ROUND; j++)
			out[j] = (char)fix_byte((uint64_t)j + (uint64_t)i * ROUND);
		fix_send(peers[i], out, ROUND);
	}
	size_t echoed = 0, handed = 0;
	while (handed < CONNS * ROUND) { /* nobody reads yet: all of it is kept */
		struct net_result r[7];
		int n = net_proactor_wait(p, r, 7, LIMIT_MS);
		ck_assert_int_gt(n, 0);
		for (int i = 0; i < n; i++) {
			ck_assert_int_eq(r[i].err, 0);
			if (r[i].what == NET_OP_WRITE) {
				echoed += r[i].n;
				continue;
			}
			handed += r[i].n;
			ck_assert_int_eq(net_proactor_write(p, r[i].conn, r[i].buf, r[i].n, -1, NULL), 0);
			ck_assert_int_eq(net_proactor_read(p, r[i].conn, NULL, 0, -1, NULL), 0);
		}
	}
	struct net_result r[7];
	expect_none(p); /* the last of it goes out or is kept */
	for (int i = 0; i < CONNS; i++) {
		for (size_t have = 0; have < ROUND;) {
			ssize_t n = recv(peers[i], back + have, ROUND - have, MSG_DONTWAIT);
			if (n > 0) {
				have += (size_t)n;
				continue;
			}
			int results = net_proactor_wait(p, r, 7, 0);
			for (int k = 0; k < results; k++)
				echoed += r[k].n;
		}
		for (int j = 0; j < ROUND; j++)
			out[j] = (char)fix_byte((uint64_t)j + (uint64_t)i * ROUND);
		ck_assert_mem_eq(back, out, ROUND);
	}
	while (echoed < CONNS * ROUND)
		echoed += next(p).n;
	for (int i = 0; i < CONNS; i++)
		close(peers[i]);
	stop(p);
}
END_TEST

/* Many writes at once leave in order, whatever the socket takes at a time. */
START_TEST(writes_stay_in_order)
{
	enum { WRITES = 3000, MAX = 2000 };
	struct net_proactor *p = start(_i);
	int peer;
	static char all[WRITES * MAX];
	char back[5000];
	net_proactor_conn c = tcp_pair(p, &peer);
	size_t total = 0, got = 0;
	for (uintptr_t i = 0; i < WRITES; i++) {
		size_t len = 1 + i * 7919 % MAX;
		for (size_t j = 0; j < len; j++)
			all[total + j] = (char)fix_byte(total + j);
		ck_assert_int_eq(net_proactor_write(p, c, all + total, len, -1, (void *)i), 0);
		total += len;
	}
	uintptr_t done = 0;
	while (got < total || done < WRITES) {
		struct net_result r[100];
		int n = net_proactor_wait(p, r, 100, 0);
		for (int i = 0; i < n; i++)
			ck_assert(r[i].what == NET_OP_WRITE && !r[i].err && r[i].n == r[i].size && (uintptr_t)r[i].ctx == done++);
		ssize_t k = recv(peer, back, sizeof back, n ? MSG_DONTWAIT : 0);
		if (k > 0) {
			ck_assert_mem_eq(back, all + got, (size_t)k);
			got += (size_t)k;
		}
	}
	ck_assert_uint_eq(got, total);
	close(peer);
	stop(p);
}
END_TEST

START_TEST(halves_close_by_themselves)
{
	struct net_proactor *p = start(_i);
	int peer;
	char buf[8];
	net_proactor_conn c = tcp_pair(p, &peer);
	fix_send(peer, "last", 4);
	shutdown(peer, SHUT_WR);
	ck_assert_int_eq(net_proactor_read(p, c, buf, 8, -1, NULL), 0);
	struct net_result r = next(p);
	ck_assert(!r.err && r.n == 4);
	for (int i = 0; i < 2; i++) { /* the end stays */
		ck_assert_int_eq(net_proactor_read(p, c, buf, 8, -1, NULL), 0);
		r = next(p);
		ck_assert(!r.err && r.n == 0 && r.ended);
	}
	/* The other half goes on, until it is finished too. */
	ck_assert_int_eq(net_proactor_write(p, c, "answer", 6, -1, NULL), 0);
	ck_assert_int_eq(net_proactor_finish(p, c, -1, &r), 0);
	ck_assert_int_eq(net_proactor_write(p, c, "late", 4, -1, NULL), 0);
	r = next(p);
	ck_assert(r.what == NET_OP_WRITE && !r.err);
	r = next(p);
	ck_assert(r.what == NET_OP_FINISH && !r.err && r.ctx);
	ck_assert_int_eq(next(p).err, -EPIPE);
	fix_recv(peer, buf, 6);
	ck_assert_mem_eq(buf, "answer", 6);
	ck_assert(!fix_ended(peer));
	close(peer);
	stop(p);
}
END_TEST

START_TEST(a_reset_ends_what_is_under_way)
{
	struct net_proactor *p = start(_i);
	int peer;
	char buf[8];
	static char big[32 << 20];
	struct linger hard = { .l_onoff = 1 };
	net_proactor_conn c = tcp_pair(p, &peer);
	ck_assert_int_eq(net_proactor_read(p, c, buf, 8, -1, NULL), 0);
	ck_assert_int_eq(net_proactor_read_full(p, c, NULL, 8, -1, NULL), 0);
	ck_assert_int_eq(net_proactor_write(p, c, big, sizeof big, -1, NULL), 0);
	ck_assert_int_eq(net_proactor_write(p, c, big, sizeof big, -1, NULL), 0);
	expect_none(p);
	setsockopt(peer, SOL_SOCKET, SO_LINGER, &hard, sizeof hard);
	close(peer);
	int reads = 0, writes = 0;
	for (int i = 0; i < 4; i++) {
		struct net_result r = next(p);
		reads += r.what == NET_OP_READ || r.what == NET_OP_READ_FULL;
		writes += r.what == NET_OP_WRITE;
		ck_assert_msg(r.err == -ECONNRESET || r.err == -EPIPE || r.ended, "%s", strerror(-r.err));
	}
	ck_assert(reads == 2 && writes == 2);
	/* And what comes later. */
	ck_assert_int_eq(net_proactor_write(p, c, big, 1, -1, NULL), 0);
	ck_assert_int_lt(next(p).err, 0);
	ck_assert_int_eq(net_proactor_read(p, c, buf, 1, -1, NULL), 0);
	struct net_result r = next(p);
	ck_assert(r.err < 0 || r.ended);
	expect_none(p);
	stop(p);
}
END_TEST

static int64_t now_ms(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

START_TEST(deadlines_expire)
{
	struct net_proactor *p = start(_i);
	int peer;
	char buf[8];
	static char big[32 << 20];
	net_proactor_conn c = tcp_pair(p, &peer), l;
	int64_t begin = now_ms();
	void *first = NULL;
	struct net_result r;
	ck_assert_int_eq(net_proactor_read(p, c, buf, 8, 60, &begin), 0);
	ck_assert_int_eq(net_proactor_read_full(p, c, buf, 8, 20, &peer), 0);
	ck_assert_int_eq(net_proactor_read(p, c, buf, 8, 600000, NULL), 0);
	for (int i = 0; i < 2; i++) { /* the shorter one first, unless the machine stopped in between */
		r = next(p);
		ck_assert(r.err == -ETIMEDOUT && r.n == 0 && r.ctx && r.ctx != first);
		ck_assert_int_ge(now_ms() - begin, r.ctx == &peer ? 19 : 59);
		first = r.ctx;
	}
	fix_send(peer, "abc", 3); /* the third takes what comes */
	r = next(p);
	ck_assert(!r.err && r.n == 3);
	fix_send(peer, "abc", 3);
	do { /* again if it expired before anybody looked whether something was there */
		ck_assert_int_eq(net_proactor_read_full(p, c, buf, 8, 30, NULL), 0);
		r = next(p);
		ck_assert(r.err == -ETIMEDOUT && (r.n == 3 || r.n == 0));
	} while (r.n == 0);
	/* A write that went out in part leaves nothing that could follow. */
	ck_assert_int_eq(net_proactor_write(p, c, big, sizeof big, 30, NULL), 0);
	ck_assert_int_eq(net_proactor_write(p, c, "x", 1, -1, NULL), 0);
	r = next(p);
	ck_assert(r.err == -ETIMEDOUT && r.n > 0 && r.n < sizeof big);
	r = next(p);
	ck_assert(r.err == -EPIPE && r.n == 0);
	ck_assert_int_eq(net_proactor_listen(p, "tcp4://127.0.0.1:0", &l, NULL), 0);
	ck_assert_int_eq(net_proactor_accept(p, l, 10, NULL), 0);
	r = next(p);
	ck_assert(r.what == NET_OP_ACCEPT && r.err == -ETIMEDOUT && !r.accepted);
	close(peer);
	stop(p);
}
END_TEST

/* What expired with some bytes is not overtaken by the read behind it, however few results are taken at a time. */
START_TEST(expired_reads_keep_their_place)
{
	struct net_proactor *p = start(_i);
	int peer;
	char head[8], rest[8];
	net_proactor_conn fillers = pair(p, &(int){ 0 });
	for (int round = 0; round < 3; round++) {
		net_proactor_conn c = pair(p, &peer);
		ck_assert_int_eq(net_proactor_read_full(p, c, head, 8, 5, head), 0);
		ck_assert_int_eq(net_proactor_read(p, c, rest, 8, -1, rest), 0);
		fix_send(peer, "abc", 3);
		struct net_result r[12];
		int n = net_proactor_wait(p, r, 1, 0); /* none, or on a slow machine the first already */
		poll(NULL, 0, 10); /* the time passes, and more comes, before anybody looks */
		fix_send(peer, "def", 3);
		for (int i = 0; i < 10; i++)
			ck_assert_int_eq(net_proactor_read(p, fillers, NULL, 0, 0, NULL), 0);
		size_t have = 0;
		int seen = 0;
		for (int i = 0; i < 12; i++) {
			if (i >= n)
				r[i] = next(p);
			if (r[i].conn != c)
				continue;
			ck_assert_ptr_eq(r[i].ctx, seen ? rest : head);
			ck_assert_int_eq(r[i].err, seen ? 0 : -ETIMEDOUT);
			ck_assert_mem_eq(r[i].buf, &"abcdefghi"[have], r[i].n); /* each goes on where the other ended */
			have += r[i].n;
			if (!seen++ && have == 6)
				fix_send(peer, "ghi", 3); /* the machine was slow: it took both */
		}
		ck_assert_int_eq(seen, 2);
		close(peer);
	}
	stop(p);
}
END_TEST

/* One that did not begin may expire without harm. */
START_TEST(a_write_that_waited_in_vain_harms_none)
{
	struct net_proactor *p = start(_i);
	int peer;
	static char big[32 << 20], back[32 << 20];
	net_proactor_conn c = tcp_pair(p, &peer);
	ck_assert_int_eq(net_proactor_write(p, c, big, sizeof big, -1, (void *)1), 0);
	ck_assert_int_eq(net_proactor_write(p, c, "no", 2, 20, (void *)2), 0);
	ck_assert_int_eq(net_proactor_write(p, c, "yes", 3, -1, (void *)3), 0);
	struct net_result r = next(p);
	ck_assert(r.err == -ETIMEDOUT && r.ctx == (void *)2 && r.n == 0);
	for (size_t have = 0; have < sizeof big;) {
		net_proactor_wait(p, &r, 1, 0);
		ssize_t n = recv(peer, back, sizeof big - have, MSG_DONTWAIT);
		have += n > 0 ? (size_t)n : 0;
	}
	while (r.ctx != (void *)3)
		r = next(p);
	ck_assert_int_eq(r.err, 0);
	fix_recv(peer, back, 3);
	ck_assert_mem_eq(back, "yes", 3);
	close(peer);
	stop(p);
}
END_TEST

START_TEST(release_ends_everything_once)
{
	enum { READS = 40, WRITES = 30 };
	struct net_proactor *p = start(_i);
	int peer;
	static char big[1 << 20];
	char buf[8];
	net_proactor_conn c = tcp_pair(p, &peer), other;
	for (uintptr_t i = 0; i < READS; i++)
		ck_assert_int_eq(net_proactor_read(p, c, buf, 8, i % 2 ? 60000 : -1, (void *)i), 0);
	for (uintptr_t i = 0; i < WRITES; i++)
		ck_assert_int_eq(net_proactor_write(p, c, big, sizeof big, i % 2 ? 60000 : -1, (void *)(READS + i)), 0);
	struct net_result r[10];
	uint64_t seen[READS + WRITES] = { 0 };
	int done = net_proactor_wait(p, r, 10, 0), canceled = 0;
	for (int i = 0; i < done; i++)
		seen[(uintptr_t)r[i].ctx]++;
	ck_assert_int_eq(net_proactor_release(p, c), 0);
	ck_assert_int_eq(net_proactor_release(p, c), -EBADF);
	ck_assert_int_eq(net_proactor_read(p, c, buf, 8, -1, NULL), -EBADF);
	ck_assert_int_eq(net_proactor_fd(p, c), -1);
	net_proactor_wait(p, r, 1, 0); /* the name of the next one differs, and results keep theirs */
	seen[(uintptr_t)r->ctx]++;
	done++;
	other = pair(p, &(int){ 0 });
	ck_assert_uint_ne(other, c);
	while (done < READS + WRITES) {
		int n = net_proactor_wait(p, r, 10, LIMIT_MS);
		ck_assert_int_gt(n, 0);
		for (int i = 0; i < n; i++) {
			ck_assert_uint_eq(r[i].conn, c);
			seen[(uintptr_t)r[i].ctx]++;
			canceled += r[i].err == -ECANCELED;
		}
		done += n;
	}
	for (int i = 0; i < READS + WRITES; i++)
		ck_assert_uint_eq(seen[i], 1);
	ck_assert_int_gt(canceled, READS);
	expect_none(p);
	close(peer);
	stop(p);
}
END_TEST

/* What was written before the release goes out, if there is room for it. */
START_TEST(a_last_word)
{
	struct net_proactor *p = start(_i);
	int peer;
	char buf[8];
	net_proactor_conn c = tcp_pair(p, &peer);
	ck_assert_int_eq(net_proactor_write(p, c, "bye", 3, -1, NULL), 0);
	ck_assert_int_eq(net_proactor_release(p, c), 0);
	struct net_result r = next(p);
	ck_assert(!r.err && r.n == 3);
	fix_recv(peer, buf, 3);
	ck_assert(!fix_ended(peer));
	close(peer);
	stop(p);
}
END_TEST

/* ------------------------------------------------------------------ threads */

struct waiter {
	struct net_proactor *p;
	struct net_result r;
	int n;
	struct latch begun;
};

static void *wait_long(void *arg)
{
	struct waiter *w = arg;
	latch_add(&w->begun, 1);
	do
		w->n = net_proactor_wait(w->p, &w->r, 1, LIMIT_MS * 5);
	while (w->n == -EBUSY); /* the test looks whether we are in it */
	return NULL;
}

START_TEST(a_wait_is_woken)
{
	struct net_proactor *p = start(_i);
	pthread_t t;
	int peer;
	char buf[8];
	net_proactor_conn c = pair(p, &peer);
	struct waiter w = { .p = p, .begun = LATCH };
	pthread_create(&t, NULL, wait_long, &w);
	latch_wait(&w.begun, 1);
	struct net_result r;
	while (net_proactor_wait(p, &r, 1, 0) != -EBUSY)
		; /* until the other is in it */
	net_proactor_wake(p);
	pthread_join(t, NULL);
	ck_assert_int_eq(w.n, 0);
	net_proactor_wake(p); /* before the wait */
	ck_assert_int_eq(net_proactor_wait(p, &r, 1, LIMIT_MS * 5), 0);
	/* By a submission. */
	pthread_create(&t, NULL, wait_long, &w);
	latch_wait(&w.begun, 2);
	ck_assert_int_eq(net_proactor_read(p, c, buf, 8, -1, NULL), 0);
	fix_send(peer, "x", 1);
	pthread_join(t, NULL);
	ck_assert(w.n == 1 && w.r.n == 1);
	pthread_create(&t, NULL, wait_long, &w);
	latch_wait(&w.begun, 3);
	ck_assert_int_eq(net_proactor_write(p, c, "x", 1, -1, NULL), 0);
	pthread_join(t, NULL);
	ck_assert(w.n == 1 && w.r.what == NET_OP_WRITE);
	/* By a deadline that is nearer than the wait's. */
	pthread_create(&t, NULL, wait_long, &w);
	latch_wait(&w.begun, 4);
	ck_assert_int_eq(net_proactor_read(p, c, buf, 8, 10, NULL), 0);
	pthread_join(t, NULL);
	ck_assert(w.n == 1 && w.r.err == -ETIMEDOUT);
	close(peer);
	stop(p);
}
END_TEST

#define PRODUCERS 4
#define EACH 5000

struct producer {
	struct net_proactor *p;
	net_proactor_conn c;
	uint32_t who;
	uint32_t words[EACH][2];
};

static void *produce(void *arg)
{
	struct producer *me = arg;
	for (uint32_t i = 0; i < EACH; i++) {
		me->words[i][0] = me->who;
		me->words[i][1] = i;
		if (net_proactor_write(me->p, me->c, me->words[i], sizeof me->words[i], i % 3 ? -1 : 60000, me))
			abort();
	}
	return NULL;
}

static void *consume(void *arg)
{
	int fd = *(int *)arg;
	uint32_t next_of[PRODUCERS] = { 0 };
	for (int i = 0; i < PRODUCERS * EACH; i++) {
		uint32_t word[2];
		for (size_t have = 0; have < sizeof word;) {
			ssize_t n = recv(fd, (char *)word + have, sizeof word - have, 0);
			if (n <= 0)
				return "ended";
			have += (size_t)n;
		}
		if (word[0] >= PRODUCERS || word[1] != next_of[word[0]]++)
			return "out of order";
	}
	return NULL;
}

START_TEST(threads_submit)
{
	static struct producer producers[PRODUCERS];
	struct net_proactor *p = start(_i);
	pthread_t threads[PRODUCERS], reader;
	int peer;
	void *bad;
	net_proactor_conn c = pair(p, &peer);
	pthread_create(&reader, NULL, consume, &peer);
	for (uint32_t i = 0; i < PRODUCERS; i++) {
		producers[i] = (struct producer){ .p = p, .c = c, .who = i };
		pthread_create(&threads[i], NULL, produce, &producers[i]);
	}
	struct net_result r[64];
	for (int done = 0; done < PRODUCERS * EACH;) {
		int n = net_proactor_wait(p, r, 64, LIMIT_MS);
		ck_assert_int_gt(n, 0);
		for (int i = 0; i < n; i++)
			ck_assert(!r[i].err && r[i].n == 8);
		done += n;
	}
	for (int i = 0; i < PRODUCERS; i++)
		pthread_join(threads[i], NULL);
	pthread_join(reader, &bad);
	ck_assert_msg(!bad, "%s", bad ? (char *)bad : "");
	close(peer);
	stop(p);
}
END_TEST

static atomic_bool storm_over;

/* Connections come and go on other threads while one waits. */
static void *storm(void *arg)
{
	struct net_proactor *p = arg;
	for (int i = 0; i < 300; i++) {
		int fds[2];
		net_proactor_conn c;
		if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) || net_proactor_add(p, fds[0], &c))
			abort();
		net_proactor_read(p, c, NULL, 0, i % 3 ? -1 : 1, &storm_over);
		net_proactor_write(p, c, "hello", 5, -1, &storm_over);
		if (i % 4 == 0)
			close(fds[1]);
		else if (send(fds[1], "abc", 3, MSG_NOSIGNAL) != 3)
			abort();
		net_proactor_read(p, c, NULL, 0, -1, &storm_over);
		net_proactor_release(p, c);
		if (net_proactor_read(p, c, NULL, 0, -1, NULL) != -EBADF)
			abort();
		if (i % 4)
			close(fds[1]);
	}
	return NULL;
}

START_TEST(connections_come_and_go_on_threads)
{
	struct net_proactor *p = start(_i);
	pthread_t threads[3];
	struct net_result r[16];
	long results = 0;
	for (int i = 0; i < 3; i++)
		pthread_create(&threads[i], NULL, storm, p);
	while (results < 3 * 300 * 3) {
		int n = net_proactor_wait(p, r, 16, LIMIT_MS);
		ck_assert_int_gt(n, 0);
		for (int i = 0; i < n; i++)
			ck_assert_ptr_eq(r[i].ctx, &storm_over);
		results += n;
	}
	for (int i = 0; i < 3; i++)
		pthread_join(threads[i], NULL);
	expect_none(p);
	stop(p);
}
END_TEST

/* ------------------------------------------------------------------ the rest */

/* Who does not submit is not read from. */
START_TEST(back_pressure)
{
	struct net_proactor *p = start(_i);
	int peer;
	static char big[1 << 20];
	net_proactor_conn c = tcp_pair(p, &peer);
	(void)c;
	size_t sent = 0;
	for (;;) {
		struct pollfd w = { .fd = peer, .events = POLLOUT };
		expect_none(p);
		if (poll(&w, 1, 300) == 0)
			break;
		ssize_t n = send(peer, big, sizeof big, MSG_DONTWAIT | MSG_NOSIGNAL);
		ck_assert_int_gt(n, 0);
		sent += (size_t)n;
		ck_assert_uint_lt(sent, 64u << 20);
	}
	for (size_t got = 0; got < sent;) {
		ck_assert_int_eq(net_proactor_read(p, c, NULL, 0, -1, NULL), 0);
		got += next(p).n;
	}
	close(peer);
	stop(p);
}
END_TEST

/* Results of one connection that never ends having some do not keep the others from being heard. */
START_TEST(nobody_starves)
{
	struct net_proactor *p = start(_i);
	int busy_peer, peer;
	char buf[8], sink[4096];
	net_proactor_conn busy = pair(p, &busy_peer), c = pair(p, &peer);
	ck_assert_int_eq(net_proactor_read(p, c, buf, 8, -1, &peer), 0);
	expect_none(p);
	fix_send(peer, "x", 1);
	for (int i = 0; i < 100; i++) {
		ck_assert_int_eq(net_proactor_write(p, busy, "x", 1, -1, NULL), 0);
		struct net_result r = next(p);
		if (r.ctx == &peer) {
			close(peer);
			close(busy_peer);
			stop(p);
			return;
		}
		ck_assert_int_eq(recv(busy_peer, sink, sizeof sink, 0), 1);
	}
	ck_abort_msg("never heard");
}
END_TEST

/* connect() under way: the write waits for it. */
START_TEST(a_connection_being_made)
{
	struct net_proactor *p = start(_i);
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	net_proactor_conn l, c;
	struct net_result r;
	int port, fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	ck_assert_int_eq(net_proactor_listen(p, "tcp4://127.0.0.1:0", &l, &port), 0);
	a.sin_port = htons((uint16_t)port);
	ck_assert(connect(fd, (struct sockaddr *)&a, sizeof a) == 0 || errno == EINPROGRESS);
	ck_assert_int_eq(net_proactor_add(p, fd, &c), 0);
	ck_assert_int_eq(net_proactor_write(p, c, "hi", 2, 10000, NULL), 0);
	r = next(p);
	ck_assert(!r.err && r.n == 2);
	int one = 0;
	socklen_t len = sizeof one;
	ck_assert_int_eq(net_proactor_accept(p, l, -1, NULL), 0);
	r = next(p);
	ck_assert_int_eq(r.err, 0);
	ck_assert_int_eq(getsockopt(net_proactor_fd(p, r.accepted), IPPROTO_TCP, TCP_NODELAY, &one, &len), 0);
	ck_assert_int_ne(one, 0);
	ck_assert_int_eq(net_proactor_release(p, l), 0);
	expect_none(p);
	fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (connect(fd, (struct sockaddr *)&a, sizeof a) == 0 || errno == EINPROGRESS) {
		ck_assert_int_eq(net_proactor_add(p, fd, &c), 0);
		ck_assert_int_eq(net_proactor_write(p, c, "hi", 2, 10000, NULL), 0);
		ck_assert_int_lt(next(p).err, 0);
	} else {
		close(fd);
	}
	stop(p);
}
END_TEST

/* Out of descriptors: who waits is accepted when there are some again, and nothing spins in between. */
START_TEST(accepting_pauses_without_descriptors)
{
	struct net_proactor *p = start(_i);
	struct rlimit old, low;
	struct net_result r;
	net_proactor_conn l;
	int port, fds[4096], n = 0;
	ck_assert_int_eq(net_proactor_listen(p, "tcp4://127.0.0.1:0", &l, &port), 0);
	ck_assert_int_eq(net_proactor_accept(p, l, -1, NULL), 0);
	expect_none(p);
	int client = fix_connect(port);
	getrlimit(RLIMIT_NOFILE, &old);
	low = (struct rlimit){ .rlim_cur = 256, .rlim_max = old.rlim_max };
	setrlimit(RLIMIT_NOFILE, &low);
	while (n < 4096 && (fds[n] = dup(client)) >= 0)
		n++;
	int64_t begin = now_ms();
	long before = atomic_load(&made);
	inside = true;
	ck_assert_int_eq(net_proactor_wait(p, &r, 1, 400), 0);
	inside = false;
	ck_assert_int_le(atomic_load(&made) - before, 20 + (now_ms() - begin) / 10); /* calls: ten attempts a second */
	while (n)
		close(fds[--n]);
	setrlimit(RLIMIT_NOFILE, &old);
	r = next(p);
	ck_assert(!r.err && r.accepted);
	ck_assert_int_eq(net_proactor_accept(p, r.accepted, -1, NULL), -EINVAL); /* not a listening socket */
	ck_assert_int_eq(net_proactor_read(p, l, NULL, 0, -1, NULL), -EINVAL);
	close(client);
	stop(p);
}
END_TEST

START_TEST(what_cannot_be_taken)
{
	struct net_proactor *p = start(_i);
	net_proactor_conn c;
	int fds[2], udp = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	ck_assert_int_eq(pipe(fds), 0);
	ck_assert_int_eq(net_proactor_add(p, fds[0], &c), -ENOTSOCK);
	ck_assert_int_eq(net_proactor_add(p, udp, &c), -EOPNOTSUPP);
	ck_assert_int_eq(net_proactor_add(p, -1, &c), -EBADF);
	ck_assert_int_eq(net_proactor_listen(p, "udp://127.0.0.1:0", &c, NULL), -EOPNOTSUPP);
	ck_assert_int_eq(net_proactor_listen(p, "nonsense", &c, NULL), -EINVAL);
	ck_assert_int_eq(net_proactor_read(p, 0, NULL, 0, -1, NULL), -EBADF);
	ck_assert_int_eq(net_proactor_release(p, 12345), -EBADF);
	close(fds[0]);
	close(fds[1]);
	close(udp);
	stop(p);
}
END_TEST

/* Every allocation fails in turn: a submission or a result says so, and nothing leaks. */
static bool live(int way, long nth)
{
	struct net_proactor_options o;
	struct net_result r[4];
	static char big[1 << 20];
	net_proactor_conn c = 0;
	int err, fds[2], asked = 0, answered = 0;
	net_proactor_options_init(&o);
	o.backend = backends[way];
	o.realloc = counting_realloc;
	atomic_store(&until_failure, nth);
	struct net_proactor *p = net_proactor_new(&o, &err);
	if (!p) {
		ck_assert_int_eq(err, -ENOMEM);
		return atomic_load(&living) == 0;
	}
	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
	err = net_proactor_add(p, fds[0], &c);
	fix_send(fds[1], "hello world", 11);
	if (err)
		close(fds[0]);
	asked += net_proactor_read_full(p, c, NULL, 5, -1, NULL) == 0;
	asked += net_proactor_read(p, c, NULL, 0, -1, NULL) == 0;
	asked += net_proactor_write(p, c, big, sizeof big, -1, NULL) == 0;
	for (int n; (n = net_proactor_wait(p, r, 4, 0)) > 0;) {
		for (int i = 0; i < n; i++) {
			ck_assert(!r[i].err || r[i].err == -ENOMEM || r[i].err == -EPIPE);
			if (r[i].what == NET_OP_READ && r[i].n) /* behind a write that does not fit: to be kept */
				asked += net_proactor_write(p, c, r[i].buf, r[i].n, -1, NULL) == 0;
		}
		answered += n;
	}
	net_proactor_release(p, c);
	for (int n; (n = net_proactor_wait(p, r, 4, 0)) > 0;)
		answered += n;
	ck_assert_int_eq(asked, answered);
	close(fds[1]);
	stop(p);
	return atomic_load(&until_failure) <= 0;
}

START_TEST(every_allocation_fails_once)
{
	long n = 1;
	while (live(_i, n))
		ck_assert_int_lt(n++, 100);
	ck_assert_int_gt(n, 7);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("net_proactor");
	TCase *t = tcase_create("net_proactor");
	const TTest *tests[] = {
		reads_and_writes, reads_take_what_is_there, read_full_waits_for_all_of_it, own_buffers_echo, writes_stay_in_order,
		halves_close_by_themselves, a_reset_ends_what_is_under_way, deadlines_expire, expired_reads_keep_their_place,
		a_write_that_waited_in_vain_harms_none, release_ends_everything_once, a_last_word, a_wait_is_woken, threads_submit,
		connections_come_and_go_on_threads, back_pressure, nobody_starves, a_connection_being_made,
		accepting_pauses_without_descriptors, what_cannot_be_taken, every_allocation_fails_once,
	};
	tcase_set_timeout(t, 60);
	for (size_t i = 0; i < sizeof tests / sizeof *tests; i++)
		tcase_add_loop_test(t, tests[i], 0, WAYS);
	suite_add_tcase(s, t);
	return suite_run(s);
}
