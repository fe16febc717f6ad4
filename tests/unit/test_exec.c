/* The safepoint: nobody else runs while one is alone, alone requests share and end, nobody starves. */
#include <check.h>
#include <pthread.h>
#include <stdlib.h>

#include "server/exec.h"
#include "tests/lib/suite.h"

#define LOOPS 4
#define ROUNDS 20000

/* Plain, unsynchronised memory: only the safepoint orders its accesses, which TSan checks. */
static uint64_t shared[8];
static uint64_t batches[LOOPS];
static atomic_int inside;

static void run_alone(unsigned loop)
{
	exec_alone_begin(loop);
	ck_assert_int_eq(atomic_fetch_add(&inside, 1), 0);
	for (int i = 0; i < 8; i++)
		shared[i]++;
	atomic_fetch_sub(&inside, 1);
	exec_alone_end(loop);
}

static void run_command(unsigned loop)
{
	exec_checkpoint(loop);
	for (int i = 1; i < 8; i++)
		ck_assert_uint_eq(shared[i], shared[0]);
	batches[loop]++;
}

static void *loop_main(void *arg)
{
	unsigned loop = (unsigned)(uintptr_t)arg, seed = loop + 1;
	exec_in(loop);
	for (int i = 0; i < ROUNDS; i++) {
		run_command(loop);
		if (rand_r(&seed) % 64 == 0)
			run_alone(loop);
		exec_end_batch(loop);
		if (rand_r(&seed) % 16 == 0) {
			exec_out(loop);
			exec_in(loop);
		}
	}
	exec_out(loop);
	return NULL;
}

START_TEST(alone_excludes_all)
{
	pthread_t threads[LOOPS];
	ck_assert_int_eq(exec_init(LOOPS), 0);
	for (uintptr_t i = 0; i < LOOPS; i++)
		ck_assert_int_eq(pthread_create(&threads[i], NULL, loop_main, (void *)i), 0);
	for (int i = 0; i < LOOPS; i++)
		pthread_join(threads[i], NULL);
	for (int i = 1; i < 8; i++)
		ck_assert_uint_eq(shared[i], shared[0]);
	ck_assert_uint_eq(exec_safepoints(), shared[0]);
	exec_free();
}
END_TEST

static atomic_bool done;

static void *alone_forever(void *arg)
{
	unsigned loop = (unsigned)(uintptr_t)arg;
	exec_in(loop);
	while (!atomic_load(&done))
		run_alone(loop);
	exec_out(loop);
	return NULL;
}

/* Two loops that only ever run alone must not starve a third. */
START_TEST(alone_requests_do_not_starve_others)
{
	pthread_t threads[2];
	atomic_store(&done, false);
	ck_assert_int_eq(exec_init(3), 0);
	for (uintptr_t i = 0; i < 2; i++)
		ck_assert_int_eq(pthread_create(&threads[i], NULL, alone_forever, (void *)i), 0);
	exec_in(2);
	for (int i = 0; i < 1000; i++) {
		run_command(2);
		exec_end_batch(2);
	}
	exec_out(2);
	atomic_store(&done, true);
	for (int i = 0; i < 2; i++)
		pthread_join(threads[i], NULL);
	exec_free();
}
END_TEST

int main(void)
{
	Suite *s = suite_create("exec");
	TCase *t = tcase_create("safepoint");
	tcase_set_timeout(t, 60);
	tcase_add_test(t, alone_excludes_all);
	tcase_add_test(t, alone_requests_do_not_starve_others);
	suite_add_tcase(s, t);
	return suite_run(s);
}
