#include <check.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "store/number.h"
#include "tests/lib/rng.h"
#include "tests/lib/suite.h"

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

/* Eight digits are read at once: whatever stands among them, in whatever place, counts. */
START_TEST(test_eight_digits)
{
	char text[] = "1234567812345678";
	uint64_t v;
	double d;
	for (size_t at = 0; at < 16; at++) {
		char was = text[at];
		for (int c = 0; c < 256; c++) {
			text[at] = (char)c;
			bool digit = c >= '0' && c <= '9', zero_first = at == 0 && c == '0';
			ck_assert_int_eq(number_parse_uint(text, 16, &v), digit && !zero_first);
			if (digit && !zero_first)
				ck_assert_uint_eq(v, strtoull(text, NULL, 10));
			if (at < 12 && digit) {
				ck_assert(number_parse_double(text, 12, &d));
				ck_assert_double_eq(d, (double)(strtoull(text, NULL, 10) / 10000));
			}
		}
		text[at] = was;
	}
}
END_TEST

START_TEST(test_uint_range)
{
	uint64_t v;
	char buf[NUMBER_MAX];
	ck_assert(number_parse_uint("18446744073709551615", 20, &v) && v == UINT64_MAX);
	ck_assert_uint_eq(number_print_uint(buf, UINT64_MAX), 20);
	ck_assert_mem_eq(buf, "18446744073709551615", 20);
	ck_assert(!number_parse_uint("18446744073709551616", 20, &v));
	ck_assert(!number_parse_uint("28446744073709551615", 20, &v));
	ck_assert(!number_parse_uint("-1", 2, &v));
}
END_TEST

START_TEST(test_double_parse)
{
	static const struct {
		const char *text;
		double value;
	} good[] = {
		{ "1", 1 },       { "-1.5", -1.5 },     { "0x10", 16 },        { "0x1p-3", 0.125 },   { "inf", INFINITY },
		{ ".5", 0.5 },    { "+5", 5 },          { "1.e5", 1e5 },       { "-Infinity", -INFINITY },
		{ "5e-324", 5e-324 }, { "3.0e3", 3000 }, { "0.1", 0.1 },       { "123456789.123456", 123456789.123456 },
		{ "0.30000000000000004", 0.1 + 0.2 },   { "1.7976931348623157e308", 1.7976931348623157e308 },
	};
	static const char *const bad[] = { "", " 1", "1 ", "1e", "nan", "-nan", "1e400", "-1e400", "1e-400",
		                               ".", "-", "1.2.3", "abc", "1,5", "\t1" };
	for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
		double v = 77;
		ck_assert_msg(number_parse_double(good[i].text, strlen(good[i].text), &v), "refused '%s'", good[i].text);
		ck_assert(v == good[i].value);
	}
	for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
		double v;
		long double ld;
		ck_assert_msg(!number_parse_double(bad[i], strlen(bad[i]), &v), "accepted '%s'", bad[i]);
		if (!strstr(bad[i], "400"))
			ck_assert_msg(!number_parse_long_double(bad[i], strlen(bad[i]), &ld), "accepted '%s'", bad[i]);
	}
	double v;
	ck_assert(number_parse_double("-0", 2, &v) && v == 0 && signbit(v));
	ck_assert(!number_parse_double("1\0", 2, &v));
	static char huge[20000];
	memset(huge, '1', sizeof huge);
	ck_assert(!number_parse_double(huge, sizeof huge, &v));
}
END_TEST

START_TEST(test_double_format)
{
	/* What a server of version 7.2 answers to ZSCORE. */
	static const struct {
		double value;
		const char *text;
	} rows[] = {
		{ 0, "0" },
		{ -0.0, "0" },
		{ 1.5, "1.5" },
		{ -1.5, "-1.5" },
		{ 0.1, "0.1" },
		{ 1e16, "10000000000000000" },
		{ 1e18, "1000000000000000000" },
		{ 4e18, "4000000000000000000" },
		{ 5e18, "5e+18" },
		{ 4611686018427387904.0, "4611686018427387904" },
		{ 4611686018427388928.0, "4611686018427389000" },
		{ -4611686018427388928.0, "-4611686018427389000" },
		{ 123456789012345678.0, "123456789012345680" },
		{ 1e19, "1e+19" },
		{ 1.5e25, "1.5e+25" },
		{ 1234567e20, "1.234567e+26" },
		{ 1e-5, "0.00001" },
		{ 1e-6, "0.000001" },
		{ 1e-7, "1e-7" },
		{ 1.234e-5, "1.234e-5" },
		{ 1.23456789e-7, "1.23456789e-7" },
		{ 1.2345678901234567e-3, "0.0012345678901234567" },
		{ 12345678.12345678, "1.234567812345678e+7" },
		{ 123456789.123456789, "1.2345678912345679e+8" },
		{ 100000.5, "100000.5" },
		{ 0.1 + 0.2, "0.30000000000000004" },
		{ 4503599627370497.5, "4503599627370498" },
		{ 9223372036854774784.0, "9223372036854775000" },
		{ 1e300, "1e+300" },
		{ 5e-324, "5e-324" },
		{ 1.7976931348623157e308, "1.7976931348623157e+308" },
		{ INFINITY, "inf" },
		{ -INFINITY, "-inf" },
	};
	for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
		char buf[NUMBER_DOUBLE_MAX];
		size_t n = number_print_double(buf, rows[i].value);
		ck_assert_msg(n == strlen(rows[i].text) && memcmp(buf, rows[i].text, n) == 0, "%.*s, not %s", (int)n, buf,
		              rows[i].text);
	}
}
END_TEST

/* How many digits the shortest form has that reads back. */
static int shortest(double v)
{
	char text[40];
	int p = 1;
	for (; p < 17; p++) {
		snprintf(text, sizeof text, "%.*e", p - 1, v);
		if (strtod(text, NULL) == v)
			break;
	}
	return p;
}

static int significant(const char *text)
{
	int digits = 0, zeros = 0;
	for (; *text && *text != 'e'; text++) {
		if (*text < '0' || *text > '9' || (digits == 0 && *text == '0'))
			continue;
		digits++;
		zeros = *text == '0' ? zeros + 1 : 0;
	}
	return digits - zeros;
}

START_TEST(test_double_round_trip)
{
	struct rng r;
	int longer = 0;
	rng_init(&r, "number");
	for (int i = 0; i < 20000; i++) {
		uint64_t x = rng_next(&r);
		double v, back;
		char buf[NUMBER_DOUBLE_MAX + 1];
		if (i & 1)
			v = (double)(int64_t)(x % 2000000000) / (i % 3 ? 1000.0 : 7.0);
		else
			memcpy(&v, &x, sizeof v);
		if (isnan(v) || isinf(v))
			continue;
		size_t n = number_print_double(buf, v);
		ck_assert_uint_lt(n, sizeof buf);
		buf[n] = '\0';
		ck_assert(number_parse_double(buf, n, &back));
		ck_assert_msg(back == v, "%a became %s", v, buf);
		longer += significant(buf) > shortest(v);
	}
	ck_assert_int_lt(longer, 150); /* about 34 */
}
END_TEST

START_TEST(test_long_double)
{
	static const struct {
		const char *text, *out;
	} rows[] = {
		{ "10.5", "10.5" },   { "3.0e3", "3000" },        { "-0", "0" }, { "0.1", "0.1" }, { "-5.0", "-5" },
		{ "1e-4940", "0" },   { "-1e-19", "0" },          { "0x10", "16" },
		{ "1.1", "1.1" },     { "10000000016", "10000000016" },
	};
	static char buf[NUMBER_LONG_DOUBLE_MAX];
	for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
		long double v;
		ck_assert(number_parse_long_double(rows[i].text, strlen(rows[i].text), &v));
		size_t n = number_print_long_double(buf, v);
		ck_assert_msg(n == strlen(rows[i].out) && memcmp(buf, rows[i].out, n) == 0, "%.*s, not %s", (int)n, buf,
		              rows[i].out);
	}
	long double v;
	ck_assert(number_parse_long_double("1e4930", 6, &v));
	ck_assert_uint_eq(number_print_long_double(buf, v), 4931);
	ck_assert(number_parse_long_double("inf", 3, &v) && isinf(v));
}
END_TEST

START_TEST(test_memory_units)
{
	uint64_t v;
	ck_assert(number_parse_memory("100", 3, &v) && v == 100);
	ck_assert(number_parse_memory("1k", 2, &v) && v == 1000);
	ck_assert(number_parse_memory("1Kb", 3, &v) && v == 1024);
	ck_assert(number_parse_memory("2mb", 3, &v) && v == 2 << 20);
	ck_assert(number_parse_memory("3G", 2, &v) && v == 3000000000u);
	ck_assert(number_parse_memory("1gb", 3, &v) && v == 1 << 30);
	ck_assert(number_parse_memory("7B", 2, &v) && v == 7);
	ck_assert(!number_parse_memory("", 0, &v));
	ck_assert(!number_parse_memory("mb", 2, &v));
	ck_assert(!number_parse_memory("-1", 2, &v));
	ck_assert(!number_parse_memory("1tb", 3, &v));
	ck_assert(!number_parse_memory("1 mb", 4, &v));
	ck_assert(!number_parse_memory("18446744073709551615gb", 22, &v));
	ck_assert(!number_parse_memory("99999999999999999999", 20, &v));
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("number");
	TCase *tc = tcase_create("number");
	tcase_set_timeout(tc, 60);
	tcase_add_test(tc, test_parse);
	tcase_add_test(tc, test_round_trip);
	tcase_add_test(tc, test_eight_digits);
	tcase_add_test(tc, test_uint_range);
	tcase_add_test(tc, test_double_parse);
	tcase_add_test(tc, test_double_format);
	tcase_add_test(tc, test_double_round_trip);
	tcase_add_test(tc, test_long_double);
	tcase_add_test(tc, test_memory_units);
	suite_add_tcase(suite, tc);
	return suite_run(suite);
}
