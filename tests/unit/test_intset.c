#include <check.h>
#include <errno.h>
#include <string.h>

#include "store/impl/intset.h"
#include "store/memory.h"
#include "tests/lib/rng.h"
#include "tests/lib/suite.h"

/* Bytes that redis-server 7.0.15 wrote (DUMP of a set). */
static const struct {
	int64_t add[5];
	size_t n, len;
	uint8_t bytes[40];
} fixtures[] = {
	{{5, -3, 32767, 0, -32768}, 5, 18, {2, 0, 0, 0, 5, 0, 0, 0, 0, 128, 253, 255, 0, 0, 5, 0, 255, 127}},
	{{5, -3, 32768, -70000}, 4, 24,
	 {4, 0, 0, 0, 4, 0, 0, 0, 144, 238, 254, 255, 253, 255, 255, 255, 5, 0, 0, 0, 0, 128, 0, 0}},
	{{INT64_MAX, INT64_MIN, 7, 1ll << 31}, 4, 40,
	 {8, 0, 0, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 128, 7, 0, 0, 0,
	  0, 0, 0, 0, 0, 0, 0, 128, 0, 0, 0, 0, 255, 255, 255, 255, 255, 255, 255, 127}},
};

START_TEST(test_same_bytes_as_redis)
{
	for (size_t i = 0; i < 3; i++) {
		struct intset *is = intset_new();
		for (size_t j = 0; j < fixtures[i].n; j++)
			ck_assert_int_eq(intset_add(&is, fixtures[i].add[j]), 1);
		ck_assert_uint_eq(intset_bytes(is), fixtures[i].len);
		ck_assert_mem_eq(is, fixtures[i].bytes, fixtures[i].len);
		struct intset *copy = intset_from_bytes(fixtures[i].bytes, fixtures[i].len);
		for (size_t j = 0; j < fixtures[i].n; j++)
			ck_assert(intset_find(copy, fixtures[i].add[j], NULL));
		intset_free(copy);
		intset_free(is);
	}
}
END_TEST

/* A sorted array of values is the model. */
static int64_t model[4096];
static size_t model_n;

static size_t model_at(int64_t v)
{
	size_t i = 0;
	while (i < model_n && model[i] < v)
		i++;
	return i;
}

static void check_same(const struct intset *is)
{
	ck_assert(intset_validate(is, intset_bytes(is), true));
	ck_assert_uint_eq(intset_len(is), model_n);
	for (size_t i = 0; i < model_n; i++)
		if (intset_at(is, i) != model[i])
			ck_abort_msg("differs at %zu", i);
}

START_TEST(test_random)
{
	struct rng r;
	rng_init(&r, "intset random");
	for (int round = 0; round < 60; round++) {
		struct intset *is = intset_new();
		unsigned bits = 4 + (unsigned)rng_below(&r, 61), adds = 1 + (unsigned)rng_below(&r, 4);
		model_n = 0;
		for (int i = 0; i < 1000; i++) {
			int64_t v = (int64_t)(rng_next(&r) >> (64 - bits + rng_below(&r, bits)));
			if (rng_below(&r, 2))
				v = (int64_t)(0 - (uint64_t)v);
			size_t at = model_at(v), got;
			bool there = at < model_n && model[at] == v, fail = _i && rng_below(&r, 2);
			ck_assert(intset_find(is, v, &got) == there);
			ck_assert_uint_eq(got, at);
			mem_fail_after(fail);
			if (rng_below(&r, 5) < adds) {
				int res = intset_add(&is, v);
				ck_assert(res == !there || (fail && res == -ENOMEM));
				if (res == 1) {
					memmove(model + at + 1, model + at, (model_n++ - at) * sizeof *model);
					model[at] = v;
				}
			} else {
				ck_assert(intset_remove(&is, v) == there);
				if (there)
					memmove(model + at, model + at + 1, (--model_n - at) * sizeof *model);
			}
			mem_fail_after(0);
			check_same(is);
		}
		ck_assert_uint_le(mem_size(is), 2 * intset_bytes(is) + 64);
		size_t from = rng_below(&r, model_n + 1), n = rng_below(&r, model_n - from + 1);
		intset_remove_at(&is, from, n);
		memmove(model + from, model + from + n, (model_n - from - n) * sizeof *model);
		model_n -= n;
		check_same(is);
		struct intset *copy = intset_dup(is);
		ck_assert_mem_eq(copy, is, intset_bytes(is));
		intset_free(copy);
		intset_free(is);
	}
}
END_TEST

START_TEST(test_validate)
{
	static const struct {
		uint32_t w[6];
		size_t len;
		bool deep, frame;
	} cases[] = {
		{{2, 0}, 8, true, true}, {{4, 0}, 8, true, true}, {{8, 0}, 8, true, true}, {{3, 0}, 8, false, false},
		{{0, 0}, 8, false, false}, {{2, 0}, 7, false, false}, {{2, 0}, 4, false, false}, {{2, 0}, 0, false, false},
		{{4, 1, 7}, 12, true, true}, {{4, 1, 7}, 11, false, false}, {{4, 1, 7, 9}, 16, false, false},
		{{4, 2, 7, 9}, 16, true, true}, {{4, 2, 9, 7}, 16, false, true}, {{4, 2, 7, 7}, 16, false, true},
		{{4, 2, 1, (uint32_t)-1}, 16, false, true}, {{4, 2, (uint32_t)-1, 1}, 16, true, true},
		{{2, 2, 7 << 16}, 12, true, true}, {{2, 2, 7}, 12, false, true},
		{{8, 2, 0, 1u << 31, 0, 0}, 24, true, true}, {{8, 2, 0, 0, 0, 1u << 31}, 24, false, true},
		/* SAFETY: lengths that wrap 32 bits. */
		{{8, 0x20000000}, 8, false, false}, {{8, 0x20000001}, 16, false, false}, {{4, 0x40000002}, 16, false, false},
		{{2, 0x80000004}, 16, false, false}, {{8, UINT32_MAX}, 24, false, false},
	};
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		uint8_t *exact = malloc(cases[i].len + !cases[i].len);
		memcpy(exact, cases[i].w, cases[i].len);
		ck_assert_msg(intset_validate(exact, cases[i].len, true) == cases[i].deep, "case %zu", i);
		ck_assert_msg(intset_validate(exact, cases[i].len, false) == cases[i].frame, "case %zu", i);
		free(exact);
	}
}
END_TEST

START_TEST(test_alloc_failure)
{
	mem_fail_after(1);
	ck_assert_ptr_null(intset_new());
	struct intset *is = intset_new();
	mem_fail_after(1);
	ck_assert_ptr_null(intset_dup(is));
	ck_assert_int_eq(intset_add(&is, 5), 1);
	mem_fail_after(1);
	ck_assert_int_eq(intset_add(&is, INT64_MIN), -ENOMEM);
	mem_fail_after(0);
	ck_assert(intset_len(is) == 1 && intset_at(is, 0) == 5);
	intset_free(is);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("intset");
	TCase *tc = tcase_create("intset");
	tcase_set_timeout(tc, 120);
	tcase_add_test(tc, test_same_bytes_as_redis);
	tcase_add_loop_test(tc, test_random, 0, 2);
	tcase_add_test(tc, test_validate);
	tcase_add_test(tc, test_alloc_failure);
	suite_add_tcase(suite, tc);
	return suite_run(suite);
}
