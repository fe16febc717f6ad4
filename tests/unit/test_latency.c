/* Histograms of times: buckets, percentiles, loops. */
#include <check.h>
#include <stdlib.h>

#include "server/latency.h"
#include "tests/lib/suite.h"

START_TEST(test_buckets_are_monotone_and_two_digits_fine)
{
	unsigned last = 0;
	for (uint64_t v = 0; v < 100000; v++) {
		unsigned b = latency_bucket(v);
		ck_assert(b == last || b == last + 1);
		last = b;
		uint64_t high = latency_highest_equivalent(v);
		ck_assert_uint_ge(high, v);
		ck_assert_uint_le(high - v, v / 100);
		ck_assert_uint_eq(latency_bucket(high), b);
		ck_assert_uint_eq(latency_bucket(high + 1), b + 1);
	}
	ck_assert_uint_lt(latency_bucket(1000000000), LATENCY_BUCKETS);
}
END_TEST

START_TEST(test_percentiles_over_loops)
{
	static uint64_t counts[LATENCY_BUCKETS];
	ck_assert_int_eq(latency_init(2, 4), 0);
	ck_assert_uint_eq(latency_histogram(3, counts), 0);
	for (unsigned i = 1; i <= 100; i++)
		latency_record(i % 2, 3, i);
	latency_record(0, 2, 7);
	ck_assert_uint_eq(latency_histogram(3, counts), 100);
	ck_assert_uint_eq(latency_percentile(counts, 100, 50), 50);
	ck_assert_uint_eq(latency_percentile(counts, 100, 99), 99);
	ck_assert_uint_eq(latency_percentile(counts, 100, 100), 100);
	ck_assert_uint_eq(latency_percentile(counts, 100, 0), 1);
	latency_record(9, 1, UINT64_MAX); /* no loop: the slot of everybody else; cut off at a second */
	ck_assert_uint_eq(latency_histogram(1, counts), 1);
	ck_assert_uint_eq(latency_percentile(counts, 1, 50), latency_highest_equivalent(1000000000));
	latency_clear_histograms();
	ck_assert_uint_eq(latency_histogram(3, counts), 0);
	latency_free();
}
END_TEST

int main(void)
{
	Suite *s = suite_create("latency");
	TCase *t = tcase_create("latency");
	tcase_add_test(t, test_buckets_are_monotone_and_two_digits_fine);
	tcase_add_test(t, test_percentiles_over_loops);
	suite_add_tcase(s, t);
	return suite_run(s);
}
