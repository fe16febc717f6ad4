/* Sends to many descriptors with one system call: whole ones, short ones, dead ones, more than the ring holds. */
#include <check.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "net/impl/send_ring.h"
#include "tests/lib/suite.h"

#define PAIRS 300 /* more than a ring's entries */
#define MUCH (8 << 20)

static struct send_ring *ring;
static int pair[PAIRS][2];
static int results[PAIRS], told;

static void setup(void)
{
	ring = send_ring_open();
	for (int i = 0; i < PAIRS; i++) {
		ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair[i]), 0);
		results[i] = 12345;
	}
	int little = 64 << 10; /* far less than MUCH, whatever this system gives a socket */
	ck_assert_int_eq(setsockopt(pair[1][0], SOL_SOCKET, SO_SNDBUF, &little, sizeof little), 0);
	told = 0;
}

static void teardown(void)
{
	send_ring_close(ring);
	for (int i = 0; i < PAIRS; i++) {
		close(pair[i][0]);
		close(pair[i][1]);
	}
}

static void unsent(void *tag, int result)
{
	*(int *)tag = result;
	told++;
}

static bool queue(int i, const void *bytes, size_t len)
{
	struct iovec v = { (void *)(uintptr_t)bytes, len };
	return send_ring_queue(ring, pair[i][0], &results[i], &v, 1);
}

static size_t drain(int i, char *buf, size_t size)
{
	size_t n = 0;
	ssize_t r;
	while (n < size && (r = recv(pair[i][1], buf + n, size - n, 0)) > 0)
		n += (size_t)r;
	return n;
}

START_TEST(all_of_many)
{
	char buf[64];
	int queued = 0;
	for (int round = 0; round < 3; round++) {
		for (int i = 0; i < PAIRS; i++) {
			if (!queue(i, "hello", 5)) {
				ck_assert_int_gt(queued, 0);
				send_ring_submit(ring, unsent);
				queued = 0;
				ck_assert(queue(i, "hello", 5));
			}
			queued++;
		}
		ck_assert_int_lt(queued, PAIRS);
		send_ring_submit(ring, unsent);
		queued = 0;
	}
	ck_assert_int_eq(told, 0);
	for (int i = 0; i < PAIRS; i++) {
		ck_assert_uint_eq(drain(i, buf, sizeof buf), 15);
		ck_assert_mem_eq(buf, "hellohellohello", 15);
	}
}
END_TEST

START_TEST(pieces)
{
	char buf[64];
	struct iovec v[3] = { { "one ", 4 }, { "two ", 4 }, { "three", 5 } }, w[2] = { { "a", 1 }, { "b", 1 } };
	ck_assert(send_ring_queue(ring, pair[0][0], &results[0], v, 3));
	ck_assert(send_ring_queue(ring, pair[1][0], &results[1], w, 2));
	send_ring_submit(ring, unsent);
	ck_assert_int_eq(told, 0);
	ck_assert_uint_eq(drain(0, buf, sizeof buf), 13);
	ck_assert_mem_eq(buf, "one two three", 13);
	ck_assert_uint_eq(drain(1, buf, sizeof buf), 2);
	ck_assert_mem_eq(buf, "ab", 2);
}
END_TEST

/* One that is full, one whose peer is gone, one that is none: each is told, and the others go out. */
START_TEST(some_fall_short)
{
	char *much = malloc(MUCH), *got = malloc(MUCH), buf[8];
	struct iovec v = { "x", 1 };
	int bad = 12345;
	ck_assert(much && got);
	for (int i = 0; i < MUCH; i++)
		much[i] = (char)(i * 7 + i / 1000);
	close(pair[2][1]);
	ck_assert(queue(0, "first", 5) && queue(1, much, MUCH) && queue(2, "lost", 4));
	ck_assert(send_ring_queue(ring, -1, &bad, &v, 1) && queue(3, "last", 4));
	send_ring_submit(ring, unsent);
	ck_assert_int_eq(told, 3);
	ck_assert_int_eq(results[2], -EPIPE);
	ck_assert_int_eq(bad, -EBADF);
	ck_assert(results[1] > 0 && results[1] < MUCH);
	ck_assert_uint_eq(drain(1, got, MUCH), (size_t)results[1]);
	ck_assert_mem_eq(got, much, (size_t)results[1]);
	ck_assert_uint_eq(drain(0, buf, sizeof buf), 5);
	ck_assert_uint_eq(drain(3, buf, sizeof buf), 4);
	/* A full one takes nothing more. */
	ck_assert(queue(1, much, MUCH) && queue(4, "more", 4));
	while (send(pair[1][0], much, MUCH, 0) > 0)
		;
	send_ring_submit(ring, unsent);
	ck_assert_int_eq(told, 4);
	ck_assert_int_eq(results[1], -EAGAIN);
	ck_assert_uint_eq(drain(4, buf, sizeof buf), 4);
	pair[2][1] = dup(pair[0][0]);
	free(much);
	free(got);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("net_send_ring");
	TCase *t = tcase_create("send_ring");
	struct send_ring *any = send_ring_open();
	tcase_add_checked_fixture(t, setup, teardown);
	if (any) { /* else this system has none, and every send is made by itself */
		tcase_add_test(t, all_of_many);
		tcase_add_test(t, pieces);
		tcase_add_test(t, some_fall_short);
	}
	send_ring_close(any);
	suite_add_tcase(s, t);
	return suite_run(s);
}
