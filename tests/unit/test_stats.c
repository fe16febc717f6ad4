#include <check.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "server/stats.h"
#include "tests/lib/suite.h"

static uint64_t elsewhere;

static uint64_t read_elsewhere(void)
{
	return elsewhere;
}

START_TEST(test_sums)
{
	ck_assert_int_eq(stats_init(3, 10), 0);
	for (unsigned i = 0; i <= 3; i++) {
		stats_add(&stats_of(i)->counter[STAT_COMMANDS], 10 + i);
		stats_add(&stats_of(i)->command[7].calls, 1);
		stats_add(&stats_of(i)->command[7].ticks, 100);
		stats_add(&stats_of(i)->command[9].failed, i);
	}
	ck_assert_ptr_eq(stats_of(3), stats_of(99));
	for (unsigned i = 0; i < 3; i++)
		ck_assert_uint_eq((uintptr_t)stats_of(i) % 64, 0);
	ck_assert_uint_eq(stats_sum(STAT_COMMANDS), 46);
	ck_assert_uint_eq(stats_sum(STAT_EXPIRED), 0);
	struct stats_command s = stats_command_sum(7);
	ck_assert(s.calls == 4 && s.ticks == 400 && s.rejected == 0 && s.failed == 0);
	ck_assert_uint_eq(stats_command_sum(9).failed, 6);

	elsewhere = 1000;
	stats_source(STAT_NET_IN, read_elsewhere);
	stats_add(&stats_of(0)->counter[STAT_NET_IN], 5);
	ck_assert_uint_eq(stats_sum(STAT_NET_IN), 1005);
	stats_reset();
	ck_assert_uint_eq(stats_sum(STAT_NET_IN), 0);
	elsewhere = 1007;
	ck_assert_uint_eq(stats_sum(STAT_NET_IN), 7);
	ck_assert_uint_eq(stats_sum(STAT_COMMANDS), 0);
	ck_assert_uint_eq(stats_command_sum(7).calls, 0);
	ck_assert_uint_eq(stats_command_sum(9).failed, 0);
}
END_TEST

struct seen {
	unsigned n;
	uint64_t total, err;
};

static void see(void *ctx, const char *code, uint64_t count)
{
	struct seen *s = ctx;
	s->n++;
	s->total += count;
	if (!strcmp(code, "ERR"))
		s->err = count;
}

static void *count_errors(void *arg)
{
	(void)arg;
	char code[16];
	for (unsigned i = 0; i < 1000; i++) {
		snprintf(code, sizeof code, "CODE%u", i % 50);
		stats_error(code);
		stats_error("ERR");
	}
	return NULL;
}

START_TEST(test_errors)
{
	pthread_t t[4];
	struct seen s = { 0 };
	ck_assert_int_eq(stats_init(1, 1), 0);
	for (int i = 0; i < 4; i++)
		pthread_create(&t[i], NULL, count_errors, NULL);
	for (int i = 0; i < 4; i++)
		pthread_join(t[i], NULL);
	stats_each_error(see, &s);
	ck_assert(s.n == 51 && s.total == 8000 && s.err == 4000);

	/* at most 128 codes, whatever comes */
	char code[16];
	for (unsigned i = 0; i < 1000; i++) {
		snprintf(code, sizeof code, "MORE%u", i);
		stats_error(code);
	}
	s = (struct seen){ 0 };
	stats_each_error(see, &s);
	ck_assert_uint_eq(s.n, 128);
	stats_error("A_CODE_THAT_IS_MUCH_LONGER_THAN_ANY_CODE_EVER_WAS");
	stats_reset();
	s = (struct seen){ 0 };
	stats_each_error(see, &s);
	ck_assert_uint_eq(s.n, 0);
	stats_error("ERR");
	stats_each_error(see, &s);
	ck_assert(s.n == 1 && s.err == 1);
}
END_TEST

START_TEST(test_rates)
{
	ck_assert_int_eq(stats_init(1, 1), 0);
	int64_t now = 5000;
	stats_add(&stats_of(0)->counter[STAT_COMMANDS], 1000000); /* before the first sample: no rate */
	stats_sample(now);
	ck_assert_double_eq(stats_rate(RATE_COMMANDS), 0);
	for (int i = 0; i < 16; i++) {
		stats_add(&stats_of(0)->counter[STAT_COMMANDS], 50);
		stats_sample(now += 100);
	}
	ck_assert_double_eq_tol(stats_rate(RATE_COMMANDS), 500, 0.001);
	ck_assert_double_eq(stats_rate(RATE_NET_OUT), 0);
	stats_sample(now); /* no time has passed */
	for (int i = 0; i < 8; i++)
		stats_sample(now += 100);
	ck_assert_double_eq_tol(stats_rate(RATE_COMMANDS), 250, 0.001);
	stats_reset();
	ck_assert_double_eq(stats_rate(RATE_COMMANDS), 0);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("stats");
	TCase *tc = tcase_create("stats");
	tcase_add_test(tc, test_sums);
	tcase_add_test(tc, test_errors);
	tcase_add_test(tc, test_rates);
	suite_add_tcase(s, tc);
	return suite_run(s);
}
