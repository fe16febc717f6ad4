/* Bitmaps against a model that looks at one bit at a time. */
#include <check.h>
#include <string.h>

#include "store/types/bitmap.h"
#include "tests/lib/rng.h"
#include "tests/lib/suite.h"

#define SIZE 3000

static uint8_t bytes[SIZE];

static void fill(struct rng *r, unsigned kind)
{
	for (size_t i = 0; i < SIZE; i++)
		bytes[i] = kind == 0 ? 0 : kind == 1 ? 0xff : (uint8_t)rng_next(r);
}

static uint64_t model_count(uint64_t first, uint64_t last)
{
	uint64_t n = 0;
	for (uint64_t i = first; i <= last; i++)
		n += bitmap_get(bytes, SIZE, i, 1);
	return n;
}

static uint64_t model_find(uint64_t first, uint64_t n, bool value)
{
	uint64_t i = 0;
	while (i < n && bitmap_get(bytes, SIZE, first + i, 1) != value)
		i++;
	return i;
}

START_TEST(test_count)
{
	struct rng r = { 1 };
	for (unsigned kind = 0; kind < 3; kind++) {
		fill(&r, kind);
		/* every length and alignment around the steps of the vector path */
		for (size_t n = 0; n < 600; n++) {
			for (size_t at = 0; at < 3; at++) {
				uint64_t want = n ? model_count(at * 8, (at + n) * 8 - 1) : 0;
				ck_assert_uint_eq(bitmap_count(bytes + at, n), want);
			}
		}
	}
}
END_TEST

START_TEST(test_find)
{
	struct rng r = { 2 };
	for (unsigned round = 0; round < 4000; round++) {
		bool value = rng_below(&r, 2);
		size_t len = rng_below(&r, SIZE + 1), from = rng_below(&r, 9);
		memset(bytes, value ? 0 : 0xff, SIZE);
		bitmap_set(bytes, rng_below(&r, SIZE * 8), 1, value);
		len -= len < from ? len : from;
		ck_assert_uint_eq(bitmap_find(bytes + from, len, value), model_find(from * 8, len * 8, value));
		ck_assert_uint_eq(bitmap_find(bytes + from, len, !value), model_find(from * 8, len * 8, !value));
	}
}
END_TEST

START_TEST(test_combine)
{
	static uint8_t in[3][40000], out[40000];
	struct rng r = { 3 };
	for (unsigned round = 0; round < 60; round++) {
		enum bitmap_op op = (enum bitmap_op)(round % 4);
		size_t n = op == BITMAP_NOT ? 1 : 1 + rng_below(&r, 3), len = 0;
		struct bitmap_source s[3];
		for (size_t i = 0; i < n; i++) {
			s[i] = (struct bitmap_source){ in[i], rng_below(&r, round % 2 ? 100 : sizeof in[i]) };
			len = s[i].len > len ? s[i].len : len;
			for (size_t j = 0; j < s[i].len; j++)
				in[i][j] = (uint8_t)rng_next(&r);
		}
		memset(out, 0xa5, sizeof out);
		bitmap_combine(op, out, len, s, n);
		for (size_t j = 0; j < len; j++) {
			uint8_t want = j < s[0].len ? in[0][j] : 0;
			for (size_t i = 1; i < n; i++) {
				uint8_t b = j < s[i].len ? in[i][j] : 0;
				want = op == BITMAP_AND ? want & b : op == BITMAP_OR ? want | b : want ^ b;
			}
			ck_assert_uint_eq(out[j], op == BITMAP_NOT ? (uint8_t)~want : want);
		}
		ck_assert_uint_eq(out[len], 0xa5);
	}
}
END_TEST

START_TEST(test_fields)
{
	struct rng r = { 4 };
	fill(&r, 2);
	for (int i = 0; i < 20000; i++) {
		unsigned bits = 1 + (unsigned)rng_below(&r, 64);
		uint64_t at = rng_below(&r, SIZE * 8 - 64), v = rng_next(&r) >> (64 - bits);
		uint64_t before = bitmap_get(bytes, SIZE, at + bits, bits);
		bitmap_set(bytes, at, bits, v);
		ck_assert_uint_eq(bitmap_get(bytes, SIZE, at, bits), v);
		ck_assert_uint_eq(bitmap_get(bytes, SIZE, at + bits, bits), before);
	}
	/* nothing is read behind the end */
	memset(bytes, 0xff, 16);
	ck_assert_uint_eq(bitmap_get(bytes, 2, 12, 8), 0xf0);
	ck_assert_uint_eq(bitmap_get(bytes, 2, 1000, 64), 0);
}
END_TEST

START_TEST(test_overflow)
{
	static const struct {
		bool is_signed;
		unsigned bits;
		int64_t base, more, wrapped, saturated;
	} rows[] = {
		{ false, 8, 255, 1, 0, 255 }, { false, 8, 0, -1, 255, 0 }, { false, 8, -1, 0, 255, 255 },
		{ false, 63, INT64_MAX, 1, 0, INT64_MAX }, { false, 63, 0, INT64_MIN, 0, 0 },
		{ true, 8, 127, 1, -128, 127 }, { true, 8, -128, -1, 127, -128 }, { true, 8, 0, 300, 44, 127 },
		{ true, 64, INT64_MAX, 1, INT64_MIN, INT64_MAX }, { true, 64, INT64_MIN, -1, INT64_MAX, INT64_MIN },
		{ true, 64, INT64_MIN, INT64_MIN, 0, INT64_MIN }, { true, 1, 0, 1, -1, 0 },
		{ true, 36, INT64_MIN, 0, 0, (1ll << 35) - 1 }, { true, 36, INT64_MIN + (1ll << 36), 0, 0, -(1ll << 35) },
	};
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		bool is_signed = rows[i].is_signed;
		unsigned bits = rows[i].bits;
		int64_t v = 77;
		ck_assert(!bitmap_add(is_signed, bits, rows[i].base, rows[i].more, BITMAP_FAIL, &v));
		ck_assert(bitmap_add(is_signed, bits, rows[i].base, rows[i].more, BITMAP_WRAP, &v));
		ck_assert_int_eq(v, rows[i].wrapped);
		ck_assert(bitmap_add(is_signed, bits, rows[i].base, rows[i].more, BITMAP_SATURATE, &v));
		ck_assert_int_eq(v, rows[i].saturated);
	}
}
END_TEST

int main(void)
{
	Suite *s = suite_create("bitmap");
	TCase *t = tcase_create("bitmap");
	tcase_add_test(t, test_count);
	tcase_add_test(t, test_find);
	tcase_add_test(t, test_combine);
	tcase_add_test(t, test_fields);
	tcase_add_test(t, test_overflow);
	suite_add_tcase(s, t);
	return suite_run(s);
}
