#include <check.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "store/number.h"
#include "tests/lib/rng.h"

START_TEST(test_parse)
{
	static const char *const bad[] = {"", "-", "-0", "00", "01", "+1", " 1", "1 ", "1.", "0x1", "9223372036854775808",
	                                  "-9223372036854775809", "18446744073709551617", "99999999999999999999",
	                                  "-99999999999999999999", "1a", "--1", "/", ":"};
	int64_t v = 42;
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
		ck_assert_msg(!number_parse(bad[i], strlen(bad[i]), &v) && v == 42, "%s", bad[i]);
	ck_assert(number_parse("0", 1, &v) && v == 0);
	ck_assert(number_parse("9223372036854775807", 19, &v) && v == INT64_MAX);
	ck_assert(number_parse("-9223372036854775808", 20, &v) && v == INT64_MIN);
	ck_assert(!number_parse("1\0", 2, &v));
}
END_TEST

START_TEST(test_round_trip)
{
	struct rng r;
	rng_init(&r, "number");
	for (int i = 0; i < 200000; i++) {
		int64_t v = (int64_t)(rng_next(&r) >> rng_below(&r, 64)), back = 0;
		if (i & 1)
			v = (int64_t)(0 - (uint64_t)v);
		if (i < 40)
			v = i % 2 ? INT64_MIN + i / 2 : INT64_MAX - i / 2;
		char want[32], got[NUMBER_MAX];
		int n = snprintf(want, sizeof want, "%" PRId64, v);
		ck_assert_uint_eq(number_print(got, v), (size_t)n);
		ck_assert_uint_eq(number_len(v), (size_t)n);
		ck_assert_mem_eq(got, want, (size_t)n);
		ck_assert(number_parse(got, (size_t)n, &back) && back == v);
	}
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("number");
	TCase *tc = tcase_create("number");
	tcase_set_timeout(tc, 60);
	tcase_add_test(tc, test_parse);
	tcase_add_test(tc, test_round_trip);
	suite_add_tcase(suite, tc);
	SRunner *runner = srunner_create(suite);
	srunner_run_all(runner, CK_NORMAL);
	int failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? 1 : 0;
}
