/* HyperLogLogs: bytes as Redis writes them, both kinds against an array of registers, damage. */
#include <check.h>
#include <errno.h>
#include <string.h>

#include "store/types/hll.h"
#include "tests/lib/rng.h"
#include "tests/lib/suite.h"

#define CAP (HLL_DENSE_BYTES + 32768)

static uint8_t memory[2][CAP];

static struct hll empty(unsigned i)
{
	struct hll h = { memory[i], 0, CAP };
	hll_create(&h);
	hll_forget(h.p);
	return h;
}

/* What redis-server 7.0.15 stores after PFADD of the letters a to h. */
START_TEST(test_same_bytes_as_redis)
{
	static const char want[] = "HYLL\x01\0\0\0\0\0\0\0\0\0\0\x80"
				   "Fm\x80V\x0c\x80"
				   "D<\x84"
				   "8\x80M\xc2\x80"
				   "B\xed\x84I\x8c\x80"
				   "Bm\x80"
				   "BZ";
	struct hll h = empty(0);
	for (char ch = 'a'; ch <= 'h'; ch++)
		ck_assert_int_eq(hll_add(&h, &ch, 1, 3000), 1);
	ck_assert_int_eq(hll_add(&h, "a", 1, 3000), 0);
	ck_assert_uint_eq(h.len, sizeof want - 1);
	ck_assert_mem_eq(h.p, want, h.len);
}
END_TEST

START_TEST(test_kinds_agree)
{
	struct rng r = { (uint64_t)_i + 1 };
	uint8_t model[HLL_REGISTERS] = { 0 }, a[HLL_REGISTERS] = { 0 }, b[HLL_REGISTERS] = { 0 };
	struct hll sparse = empty(0), dense = empty(1);
	size_t max_bytes = _i == 0 ? 0 : _i == 1 ? 300 : _i == 2 ? 3000 : CAP;
	ck_assert_int_eq(hll_make_dense(&dense), 0);
	for (unsigned n = 0; n < 6000; n++) {
		/* few registers make runs that split and join */
		unsigned index = (unsigned)rng_below(&r, n % 2 ? 200 : HLL_REGISTERS);
		uint8_t v = (uint8_t)(1 + rng_below(&r, n == 5000 ? 51 : 4));
		int changed = v > model[index];
		model[index] = changed ? v : model[index];
		ck_assert_int_eq(hll_raise(&sparse, index, v, max_bytes), changed);
		ck_assert_int_eq(hll_raise(&dense, index, v, max_bytes), changed);
		ck_assert(hll_is_dense(sparse.p) || sparse.len <= max_bytes || max_bytes == CAP);
	}
	ck_assert_int_eq(hll_merge(sparse.p, sparse.len, a), 0);
	ck_assert_int_eq(hll_merge(dense.p, dense.len, b), 0);
	ck_assert_mem_eq(a, model, sizeof model);
	ck_assert_mem_eq(b, model, sizeof model);
	ck_assert_int_eq(hll_make_dense(&sparse), 0);
	ck_assert_uint_eq(sparse.len, dense.len);
	ck_assert_mem_eq(sparse.p + HLL_HEADER, dense.p + HLL_HEADER, HLL_DENSE_BYTES - HLL_HEADER);
}
END_TEST

/* Registers from 0 to 63, all at once and one by one. */
START_TEST(test_dense_registers)
{
	struct rng r = { 9 };
	uint8_t want[HLL_REGISTERS], got[HLL_REGISTERS] = { 0 };
	struct hll put = empty(0), raised = empty(1);
	for (unsigned i = 0; i < HLL_REGISTERS; i++)
		want[i] = (uint8_t)rng_below(&r, 64);
	ck_assert(!hll_make_dense(&put) && !hll_make_dense(&raised));
	hll_dense_put(put.p, want);
	for (unsigned i = 0; i < HLL_REGISTERS; i++)
		ck_assert_int_eq(hll_dense_raise(raised.p, i, want[i]), want[i] > 0);
	ck_assert_mem_eq(put.p, raised.p, HLL_DENSE_BYTES);
	ck_assert_int_eq(hll_merge(put.p, put.len, got), 0);
	ck_assert_mem_eq(got, want, sizeof want);
}
END_TEST

START_TEST(test_estimate)
{
	struct hll h = empty(0);
	uint64_t next = 1;
	for (uint64_t n = 1; n <= 200000; n++) {
		ck_assert_int_ge(hll_add(&h, &n, sizeof n, 3000), 0);
		if (n != next)
			continue;
		next *= 7;
		uint8_t max[HLL_REGISTERS] = { 0 };
		ck_assert_int_eq(hll_merge(h.p, h.len, max), 0);
		double count = (double)hll_estimate(max), error = count > (double)n ? count - (double)n : (double)n - count;
		ck_assert_double_le(error, 0.03 * (double)n + 0.5);
	}
}
END_TEST

/* Runs that are cut off, too short or too long together, in any bytes: never read or written beyond the end. */
START_TEST(test_damage)
{
	struct rng r = { 11 };
	for (unsigned round = 0; round < 30000; round++) {
		uint8_t max[HLL_REGISTERS] = { 0 };
		size_t n = rng_below(&r, 40);
		struct hll h = empty(0);
		h.len = HLL_HEADER + n;
		for (size_t i = 0; i < n; i++)
			h.p[HLL_HEADER + i] = (uint8_t)rng_next(&r);
		h.cap = h.len + HLL_GROWTH > HLL_DENSE_BYTES ? h.len + HLL_GROWTH : HLL_DENSE_BYTES;
		int sound = hll_merge(h.p, h.len, max);
		ck_assert(sound == 0 || sound == -EINVAL);
		unsigned index = (unsigned)rng_below(&r, HLL_REGISTERS);
		int raised = hll_raise(&h, index, (uint8_t)(1 + rng_below(&r, 40)), 3000);
		ck_assert(raised >= 0 || raised == -EINVAL);
		ck_assert(sound != 0 || raised >= 0);
		ck_assert_uint_le(h.len, h.cap);
	}
	ck_assert(!hll_valid((const uint8_t *)"HYLL\x01", 5));
	ck_assert(!hll_valid((const uint8_t *)"HYLL\x02\0\0\0\0\0\0\0\0\0\0\0", 16));
	ck_assert(!hll_valid((const uint8_t *)"HYLL\0\0\0\0\0\0\0\0\0\0\0\0", 16));
}
END_TEST

START_TEST(test_cache)
{
	struct hll h = empty(0);
	uint64_t count;
	ck_assert(!hll_cached(h.p, &count));
	hll_cache(h.p, 123456789012345u);
	ck_assert(hll_cached(h.p, &count) && count == 123456789012345u);
	hll_forget(h.p);
	ck_assert(!hll_cached(h.p, &count));
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("hll");
	TCase *tc = tcase_create("hll");
	tcase_set_timeout(tc, 60);
	tcase_add_test(tc, test_same_bytes_as_redis);
	tcase_add_loop_test(tc, test_kinds_agree, 0, 4);
	tcase_add_test(tc, test_dense_registers);
	tcase_add_test(tc, test_estimate);
	tcase_add_test(tc, test_damage);
	tcase_add_test(tc, test_cache);
	suite_add_tcase(suite, tc);
	return suite_run(suite);
}
