/* Gathering: when it begins and ends, and after which turns a loop sleeps for it. */
#include <check.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "net/internal.h"
#include "tests/lib/suite.h"

static struct net_server server;
static struct net_loop loop;
static int64_t slept_ns; /* what the loop's thread wants */
static int sleeps_made;

/* In the place of the C library's. */
int nanosleep(const struct timespec *wanted, struct timespec *left)
{
	(void)left;
	slept_ns = (int64_t)wanted->tv_sec * 1000000000 + wanted->tv_nsec;
	sleeps_made++;
	return 0;
}

static void setup(void)
{
	memset(&server, 0, sizeof(server));
	memset(&loop, 0, sizeof(loop));
	server.o.gather_us = 1000;
	loop.server = &server;
	loop.woke_ns = 1000000000;
	gather_start(&loop);
}

/* A window of so many connections in which the loop was busy for a share of the time. */
static void window(unsigned conns, double busy, int events)
{
	loop.gather.conns = conns;
	loop.stats.busy_ns += 3000000;
	loop.woke_ns += (int64_t)(3000000 / busy);
	gather_turn(&loop, events);
}

static bool sleeps(void)
{
	int before = sleeps_made;

	gather_wait(&loop);
	if (sleeps_made == before)
		return false;
	ck_assert_int_eq(slept_ns, 1000000 * (int)loop.gather.active / 48);
	return true;
}

START_TEST(test_begins_and_ends)
{
	ck_assert(!loop.gather.active);
	window(50, 0.5, 2);
	ck_assert(!loop.gather.active); /* not busy enough */
	window(15, 0.85, 2);
	ck_assert(!loop.gather.active); /* too few connections */
	window(16, 0.85, 2);
	ck_assert(loop.gather.active);
	window(50, 0.5, 2);
	ck_assert(loop.gather.active); /* less busy because it gathers */
	window(50, 0.3, 2);
	ck_assert(!loop.gather.active);
	window(50, 0.9, 2);
	ck_assert(loop.gather.active);
	window(3, 0.9, 2);
	ck_assert(!loop.gather.active);
	window(50, 0.9, 2);
	ck_assert(loop.gather.active);
	window(50, 0.1, 2); /* also a lull: a window far longer than usual */
	ck_assert(!loop.gather.active);
}
END_TEST

START_TEST(test_sleeps)
{
	ck_assert(!sleeps());
	window(50, 0.85, 2);
	ck_assert(sleeps());
	window(50, 0.85, 1);
	ck_assert(sleeps());
	window(50, 0.85, 15);
	ck_assert(sleeps());
	window(50, 0.85, 16);
	ck_assert(!sleeps()); /* the turn was large enough */
	window(24, 0.85, 7);
	ck_assert(sleeps());
	window(24, 0.85, 8);
	ck_assert(!sleeps());
	window(50, 0.85, 0);
	ck_assert(!sleeps()); /* nothing came: a timer, or the end of the load */
	window(50, 0.85, 2);
	ck_assert(sleeps());
	window(2, 0.85, 2);
	ck_assert(!sleeps());
}
END_TEST

START_TEST(test_off)
{
	window(50, 0.85, 2);
	ck_assert(sleeps());
	net_loop_gather(&loop, false);
	ck_assert(!sleeps());
	window(50, 0.85, 2);
	ck_assert(!sleeps());
	net_loop_gather(&loop, true);
	ck_assert(sleeps());
}
END_TEST

/* Within a window only the last turn counts. */
START_TEST(test_within_a_window)
{
	window(50, 0.85, 2);
	loop.woke_ns += 1000;
	gather_turn(&loop, 30);
	ck_assert(loop.gather.active);
	ck_assert(!sleeps());
	loop.woke_ns += 1000;
	gather_turn(&loop, 3);
	ck_assert(sleeps());
}
END_TEST

int main(void)
{
	Suite *s = suite_create("net_gather");
	TCase *t = tcase_create("gather");

	tcase_add_checked_fixture(t, setup, NULL);
	tcase_add_test(t, test_begins_and_ends);
	tcase_add_test(t, test_sleeps);
	tcase_add_test(t, test_off);
	tcase_add_test(t, test_within_a_window);
	suite_add_tcase(s, t);
	return suite_run(s);
}
