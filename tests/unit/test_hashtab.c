#include <check.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "store/impl/hashtab.h"
#include "store/impl/siphash.h"
#include "store/memory.h"
#include "tests/lib/rng.h"
#include "tests/lib/suite.h"

#define OFFSET 3

/* Key number i as text; some are long enough for the long form of lenbytes. */
static size_t key_text(unsigned i, char buf[400])
{
	size_t n = (size_t)snprintf(buf, 400, "key:%u", i);
	if (i % 50 == 7) {
		memset(buf + n, 'x', 300 - n);
		n = 300;
	}
	return n;
}

static void *elem_new(unsigned i)
{
	char key[400];
	size_t n = key_text(i, key);
	char *e = malloc(OFFSET + lenbytes_size(n));
	memset(e, 0xee, OFFSET);
	lenbytes_put(e + OFFSET, key, n);
	return e;
}

static void *find(struct hashtab *t, unsigned i)
{
	char key[400];
	size_t n = key_text(i, key);
	return hashtab_find(t, hashtab_hash(key, n), key, n);
}

static int insert(struct hashtab *t, unsigned i, void *e)
{
	char key[400];
	size_t n = key_text(i, key);
	return hashtab_insert(t, hashtab_hash(key, n), e);
}

static void *take_out(struct hashtab *t, unsigned i)
{
	char key[400];
	size_t n = key_text(i, key);
	return hashtab_remove(t, hashtab_hash(key, n), key, n);
}

#define KEYS 6000
static void *present[KEYS];
static size_t present_n;

static unsigned elem_id(void *e)
{
	size_t n;
	const char *key = lenbytes_get((char *)e + OFFSET, &n);
	unsigned id = 0;
	for (size_t i = 4; i < n && key[i] != 'x'; i++)
		id = id * 10 + (unsigned)(key[i] - '0');
	return id;
}

static void check_same(struct hashtab *t)
{
	static bool seen[KEYS];
	struct hashtab_iter it;
	size_t n = 0;
	void *e;
	memset(seen, 0, sizeof seen);
	for (hashtab_begin(&it, t); (e = hashtab_next(&it)); n++) {
		unsigned id = elem_id(e);
		if (id >= KEYS || present[id] != e || seen[id])
			ck_abort_msg("element %u", id);
		seen[id] = true;
	}
	ck_assert_uint_eq(n, present_n);
	ck_assert_uint_eq(hashtab_count(t), present_n);
	for (unsigned i = 0; i < KEYS; i++)
		if (find(t, i) != present[i])
			ck_abort_msg("find %u", i);
}


static void step(struct rng *r, struct hashtab *t, unsigned i, bool adding, bool fail)
{
	if (!present[i] && adding) {
		void *e = elem_new(i);
		mem_fail_after(fail ? 1 + rng_below(r, 2) : 0);
		int err = insert(t, i, e);
		mem_fail_after(0);
		ck_assert(!err || (fail && err == -ENOMEM));
		if (err) {
			free(e);
			return;
		}
		present[i] = e;
		present_n++;
	} else if (present[i] && !adding) {
		mem_fail_after(fail ? 1 + rng_below(r, 2) : 0);
		void *e = take_out(t, i);
		mem_fail_after(0);
		ck_assert_ptr_eq(e, present[i]);
		free(e);
		present[i] = NULL;
		present_n--;
	} else if (present[i]) {
		char key[400];
		size_t n = key_text(i, key);
		void *e = elem_new(i);
		hashtab_replace(t, hashtab_hash(key, n), present[i], e);
		free(present[i]);
		present[i] = e;
		ck_assert_ptr_eq(find(t, i), e);
	} else {
		ck_assert_ptr_null(take_out(t, i));
		ck_assert_ptr_null(find(t, i));
	}
}

/* Loop 0: all allocations succeed. 1: half of the steps meet a failing one. */
START_TEST(test_random_ops)
{
	struct rng r;
	rng_init(&r, "hashtab random");
	struct hashtab *t = hashtab_new(OFFSET);
	for (int phase = 0; phase < 12; phase++) {
		unsigned range = 1 + (unsigned)rng_below(&r, phase % 3 ? KEYS : 60), bias = phase % 2 ? 3 : 7;
		for (int i = 0; i < 12000; i++)
			step(&r, t, (unsigned)rng_below(&r, range), rng_below(&r, 10) < bias, _i && rng_below(&r, 2));
		check_same(t);
	}
	for (unsigned i = 0; i < KEYS; i++) {
		if (present[i])
			step(&r, t, i, false, _i && rng_below(&r, 2));
		if (i % 500 == 0)
			check_same(t);
	}
	ck_assert_uint_eq(hashtab_count(t), 0);
	if (!_i)
		ck_assert_uint_lt(hashtab_bytes(t), 6000);
	hashtab_free(t, free);
}
END_TEST

static unsigned visits[KEYS];

static void visit(void *ctx, void *elem)
{
	++*(size_t *)ctx;
	visits[elem_id(elem)]++;
}

START_TEST(test_scan_guarantee)
{
	struct rng r;
	rng_init(&r, "hashtab scan");
	for (int round = 0; round < 200; round++) {
		struct hashtab *t = hashtab_new(OFFSET);
		static bool always[KEYS];
		memset(present, 0, sizeof present);
		memset(always, 0, sizeof always);
		memset(visits, 0, sizeof visits);
		present_n = 0;
		unsigned start = (unsigned)rng_below(&r, KEYS / (1 + rng_below(&r, 50)) + 1);
		for (unsigned i = 0; i < start; i++)
			step(&r, t, i, true, false);
		for (unsigned i = 0; i < start; i++)
			always[i] = rng_below(&r, 10) == 0;
		uint64_t cursor = 0;
		size_t total = 0, calls = 0;
		unsigned churn = (unsigned)rng_below(&r, 100);
		bool growing = rng_below(&r, 2);
		do {
			cursor = hashtab_scan(t, cursor, visit, &total);
			ck_assert_uint_lt(cursor, 1u << 20);
			for (unsigned i = 0; i < churn; i++) {
				unsigned k = (unsigned)rng_below(&r, KEYS);
				if (!always[k])
					step(&r, t, k, rng_below(&r, 10) < (growing ? 8 : 2), false);
			}
			if (rng_below(&r, 100) == 0)
				growing = !growing;
		} while (cursor && ++calls < 100000);
		ck_assert_uint_eq(cursor, 0);
		for (unsigned i = 0; i < KEYS; i++)
			if (always[i])
				ck_assert_uint_ge(visits[i], 1);
		if (!churn) {
			ck_assert_uint_eq(total, start);
			for (unsigned i = 0; i < start; i++)
				ck_assert_uint_eq(visits[i], 1);
		}
		hashtab_free(t, free);
	}
}
END_TEST

/* Chi-square at a few sizes of the table: chance alone gets beyond the limit less than once in 10^9 times. */
START_TEST(test_random_unbiased)
{
	struct rng r;
	rng_init(&r, "hashtab unbiased");
	static const unsigned sizes[] = {1, 2, 9, 10, 11, 37, 100, 500};
	for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++) {
		struct hashtab *t = hashtab_new(OFFSET);
		unsigned n = sizes[s], draws = n * 2000;
		uint64_t state = rng_next(&r);
		ck_assert_ptr_null(hashtab_random(t, &state));
		memset(visits, 0, sizeof visits);
		for (unsigned i = 0; i < n; i++)
			insert(t, i, elem_new(i));
		for (unsigned i = 0; i < draws; i++)
			visits[elem_id(hashtab_random(t, &state))]++;
		double chi = 0;
		for (unsigned i = 0; i < n; i++)
			chi += (visits[i] - 2000.0) * (visits[i] - 2000.0) / 2000.0;
		double df = n - 1;
		double beyond = chi > df ? chi - df - 40 : df - chi - 40;
		ck_assert_msg(beyond <= 0 || beyond * beyond <= 64 * 2 * df, "n %u chi %f", n, chi);
		hashtab_free(t, free);
	}
}
END_TEST

START_TEST(test_overhead_and_expect)
{
	enum { N = 200000 };
	struct hashtab *t = hashtab_new(0), *u = hashtab_new(0);
	char *keys = malloc((size_t)N * 16), text[16];
	size_t used = mem_used(), n;
	hashtab_expect(u, N);
	size_t expected = hashtab_bytes(u);
	for (unsigned i = 0; i < N; i++) {
		n = (size_t)snprintf(text, sizeof text, "m%u", i);
		lenbytes_put(keys + 16 * i, text, n);
		uint64_t h = hashtab_hash(text, n);
		ck_assert_int_eq(hashtab_insert(t, h, keys + 16 * i), 0);
		ck_assert_int_eq(hashtab_insert(u, h, keys + 16 * i), 0);
		if (i > 1000)
			ck_assert_msg(hashtab_bytes(t) <= 11.5 * i + 600, "%u: %zu", i, hashtab_bytes(t));
	}
	ck_assert_uint_le(hashtab_bytes(u) - expected, N * 3);
	ck_assert_uint_ge(mem_used() - used, (size_t)N * 14);
	ck_assert_ptr_eq(hashtab_find(u, hashtab_hash("m77", 3), "m77", 3), keys + 16 * 77);
	hashtab_prefetch(u, 12345);
	hashtab_free(t, NULL);
	hashtab_free(u, NULL);
	free(keys);
}
END_TEST

START_TEST(test_alloc_failure)
{
	for (unsigned i = 1; i <= 2; i++) {
		mem_fail_after(i);
		ck_assert_ptr_null(hashtab_new(0));
	}
	mem_fail_after(0);
	/* No memory for anything but what is there: nine entries fit, the tenth does not, and later all is well. */
	struct hashtab *t = hashtab_new(OFFSET);
	for (unsigned i = 0; i < 300; i++) {
		void *e = elem_new(i);
		mem_fail_after(1);
		if (insert(t, i, e)) {
			mem_fail_after(0);
			ck_assert_ptr_null(find(t, i));
			ck_assert_int_eq(insert(t, i, e), 0);
		}
		mem_fail_after(0);
		ck_assert_ptr_eq(find(t, i), e);
	}
	ck_assert_uint_eq(hashtab_count(t), 300);
	hashtab_free(t, free);
}
END_TEST

/* The first vectors of SipHash-1-3's reference with key 00..0f and input 00, 00 01, ... */
START_TEST(test_siphash)
{
	uint8_t bytes[64];
	uint64_t key[2], seen[64];
	for (unsigned i = 0; i < 64; i++)
		bytes[i] = (uint8_t)i;
	memcpy(key, bytes, 16);
	ck_assert_uint_eq(siphash(key, bytes, 0), 0xabac0158050fc4dcu);
	ck_assert_uint_eq(siphash(key, bytes, 1), 0xc9f49bf37d57ca93u);
	for (unsigned i = 0; i < 64; i++) {
		seen[i] = siphash(key, bytes, i);
		for (unsigned j = 0; j < i; j++)
			ck_assert_uint_ne(seen[i], seen[j]);
	}
	uint64_t other[2] = {key[0] ^ 1, key[1]};
	ck_assert_uint_ne(siphash(other, "abc", 3), siphash(key, "abc", 3));
}
END_TEST

START_TEST(test_lenbytes)
{
	static char at[70000], src[70000];
	static const size_t lens[] = {0, 1, 254, 255, 256, 65536};
	memset(src, 'q', sizeof src);
	for (size_t i = 0; i < 6; i++) {
		size_t n, len = lens[i];
		lenbytes_put(at, src, len);
		const char *p = lenbytes_get(at, &n);
		ck_assert(n == len && (size_t)(p - at) + len == lenbytes_size(len));
		ck_assert(lenbytes_equal(at, src, len) && !lenbytes_equal(at, src, len + 1));
		ck_assert_int_eq(lenbytes_compare(at, src, len), 0);
		ck_assert_int_lt(lenbytes_compare(at, src, len + 1), 0);
		ck_assert_int_lt(lenbytes_compare(at, "r", 1), 0);
		ck_assert_int_gt(lenbytes_compare(at, "p", len ? 1 : 0), len ? 0 : -1);
	}
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("hashtab");
	TCase *tc = tcase_create("hashtab");
	tcase_set_timeout(tc, 120);
	tcase_add_loop_test(tc, test_random_ops, 0, 2);
	tcase_add_test(tc, test_scan_guarantee);
	tcase_add_test(tc, test_random_unbiased);
	tcase_add_test(tc, test_overhead_and_expect);
	tcase_add_test(tc, test_alloc_failure);
	tcase_add_test(tc, test_siphash);
	tcase_add_test(tc, test_lenbytes);
	suite_add_tcase(suite, tc);
	return suite_run(suite);
}
