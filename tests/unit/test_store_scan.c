/* Cursors, visits and random keys. */
#include <math.h>
#include <stdlib.h>

#include "store/table.h"
#include "tests/lib/rng.h"
#include "tests/lib/store_fixture.h"
#include "tests/lib/suite.h"

#define KEYS 60000

struct seen {
	uint16_t times[KEYS];
	uint64_t visits;
	struct rng *rng;
	bool delete_some;
};

static void see(void *ctx, struct store_op *op, const struct store_key *key, struct entry *e)
{
	struct seen *seen = ctx;
	uint64_t i = fixture_number(key->ptr, key->len);
	(void)op;
	ck_assert_uint_lt(i, KEYS);
	ck_assert_uint_eq(entry_key_len(e), key->len);
	seen->times[i]++;
	seen->visits++;
}

/* Keys below `stable` stay; the others come and go, so that the table grows and shrinks during the iteration. */
static void churn(struct store_op *op, struct rng *rng, unsigned stable, bool grow, unsigned steps)
{
	for (unsigned i = 0; i < steps; i++) {
		uint64_t k = stable + rng_below(rng, KEYS - stable);
		if (grow)
			fixture_set(op, k, 1, STORE_NO_EXPIRY);
		else
			fixture_delete(op, k);
	}
}

START_TEST(test_scan_misses_nothing)
{
	static const unsigned shards[] = { 1, 1, 4, 1024 };
	struct rng rng;
	rng_init(&rng, "scan");
	for (int round = 0; round < 12; round++) {
		struct store_options o = fixture_options(shards[_i], rng_next(&rng));
		struct store *s = fixture_open(&o);
		struct store_op op = fixture_op(s);
		struct seen *seen = calloc(1, sizeof *seen);
		unsigned stable = 1 + (unsigned)rng_below(&rng, 300);
		for (unsigned i = 0; i < stable; i++)
			fixture_set(&op, i, i, STORE_NO_EXPIRY);
		/* Grow, shrink, grow then shrink, shrink then grow. */
		bool grow = round & 1;
		if (!grow)
			churn(&op, &rng, stable, true, KEYS);
		uint64_t cursor = 0, calls = 0;
		do {
			cursor = store_scan(&op, cursor, 1 + (unsigned)rng_below(&rng, 40), see, seen);
			ck_assert_uint_lt(cursor, (uint64_t)1 << 53);
			if (round & 2 && rng_below(&rng, 100) == 0)
				grow = !grow;
			churn(&op, &rng, stable, grow, (unsigned)rng_below(&rng, 400));
			ck_assert_uint_lt(++calls, 10000000);
		} while (cursor);
		for (unsigned i = 0; i < stable; i++)
			ck_assert_msg(seen->times[i] > 0, "key %u of %u was missed", i, stable);
		free(seen);
		store_close(s);
	}
}
END_TEST

START_TEST(test_scan_once_when_still)
{
	struct store_options o = fixture_options(64, 3);
	struct store *s = fixture_open(&o);
	struct store_op op = fixture_op(s);
	struct seen *seen = calloc(1, sizeof *seen);
	for (unsigned i = 0; i < 10000; i++)
		fixture_set(&op, i, i, STORE_NO_EXPIRY);
	uint64_t cursor = 0, calls = 0, most = 0;
	do {
		uint64_t before = seen->visits;
		cursor = store_scan(&op, cursor, 10, see, seen);
		most = seen->visits - before > most ? seen->visits - before : most;
		calls++;
	} while (cursor);
	for (unsigned i = 0; i < 10000; i++)
		ck_assert_uint_eq(seen->times[i], 1);
	ck_assert_uint_ge(calls, 10000 / 40);
	ck_assert_uint_le(most, 10 + 40); /* no more than a chain above COUNT */
	/* Cursors that nobody gave out do no harm. */
	static const uint64_t odd[] = { 63, 64, 1ull << 52, (1ull << 53) - 1, UINT64_MAX, 1ull << 38 };
	for (size_t i = 0; i < sizeof odd / sizeof *odd; i++)
		store_scan(&op, odd[i], 10, see, seen);
	op.db = 3;
	ck_assert_uint_eq(store_scan(&op, 0, 10, see, seen), 0);
	free(seen);
	store_close(s);
}
END_TEST

/* A call looks at 10 * COUNT buckets at most, and skips shards without keys at no cost. */
START_TEST(test_scan_sparse)
{
	struct store_options o = fixture_options(1024, 3);
	struct store *s = fixture_open(&o);
	struct store_op op = fixture_op(s);
	struct seen *seen = calloc(1, sizeof *seen);
	ck_assert_uint_eq(store_scan(&op, 0, 10, see, seen), 0);
	fixture_set(&op, 7, 7, STORE_NO_EXPIRY);
	ck_assert_uint_eq(store_scan(&op, 0, 10, see, seen), 0);
	ck_assert_uint_eq(seen->times[7], 1);
	store_expect(s, 0, 10000000);
	uint64_t calls = 1, cursor = store_scan(&op, 0, 10, see, seen);
	for (; cursor; calls++)
		cursor = store_scan(&op, cursor, 10, see, seen);
	ck_assert_uint_eq(seen->times[7], 2);
	ck_assert_uint_ge(calls, 10000000 / 7 / 1024 / 100);
	free(seen);
	store_close(s);
}
END_TEST

static void delete_odd(void *ctx, struct store_op *op, const struct store_key *key, struct entry *e)
{
	see(ctx, op, key, e);
	if (fixture_number(key->ptr, key->len) & 1)
		ck_assert(store_delete(op, key, false));
	else
		ck_assert_ptr_nonnull(store_set_expiry(op, key, e, op->now_ms + 10));
}

START_TEST(test_each_may_delete)
{
	struct store_options o = fixture_options(4, 3);
	struct store *s = fixture_open(&o);
	struct store_op op = fixture_op(s);
	struct seen *seen = calloc(1, sizeof *seen);
	op.exclusive = true;
	for (unsigned i = 0; i < 20000; i++)
		fixture_set(&op, i, i, i % 4 == 2 ? op.now_ms - 1 : STORE_NO_EXPIRY);
	store_each(&op, delete_odd, seen);
	for (unsigned i = 0; i < 20000; i++)
		ck_assert_uint_eq(seen->times[i], i % 4 == 2 ? 0 : 1);
	ck_assert_uint_eq(store_count(s, 0), 5000);
	ck_assert_uint_eq(store_count_volatile(s, 0), 5000);
	op.now_ms += 11;
	store_each(&op, see, seen);
	ck_assert_uint_eq(store_count(s, 0), 0);
	free(seen);
	store_close(s);
}
END_TEST

/* Chi-square with a fixed seed: 1000 keys, 400 draws each on average; the 99.99 % quantile of 999 degrees is 1171. */
START_TEST(test_random_key_has_no_bias)
{
	static const unsigned shards[] = { 1, 8, 1024 };
	struct store_options o = fixture_options(shards[_i], 77 + (unsigned)_i);
	struct store *s = fixture_open(&o);
	struct store_op op = fixture_op(s);
	static unsigned drawn[1000];
	memset(drawn, 0, sizeof drawn);
	for (unsigned i = 0; i < 1000; i++)
		fixture_set(&op, i, i, STORE_NO_EXPIRY);
	char *key = NULL;
	size_t len;
	for (unsigned i = 0; i < 400000; i++) {
		ck_assert(store_random_key(&op, &key, &len));
		drawn[fixture_number(key, len)]++;
	}
	double chi = 0;
	for (unsigned i = 0; i < 1000; i++)
		chi += (drawn[i] - 400.0) * (drawn[i] - 400.0) / 400.0;
	ck_assert_msg(chi < 1250 && chi > 780, "chi-square %.1f", chi);
	free(key);
	store_close(s);
}
END_TEST

START_TEST(test_random_key_skips_expired)
{
	struct store_options o = fixture_options(8, 1);
	struct store *s = fixture_open(&o);
	struct store_op op = fixture_op(s);
	char *key = NULL;
	size_t len;
	ck_assert(!store_random_key(&op, &key, &len));
	for (unsigned i = 0; i < 1000; i++)
		fixture_set(&op, i, i, i == 500 ? STORE_NO_EXPIRY : op.now_ms);
	ck_assert_int_eq(store_average_ttl_ms(&op), 0);
	op.now_ms -= 500;
	ck_assert_int_eq(store_average_ttl_ms(&op), 500);
	op.now_ms += 501;
	op.keep_expired = true;
	for (int i = 0; i < 20; i++) {
		if (store_random_key(&op, &key, &len))
			ck_assert_uint_eq(fixture_number(key, len), 500);
	}
	ck_assert_uint_eq(store_count(s, 0), 1000);
	op.keep_expired = false;
	ck_assert(store_random_key(&op, &key, &len));
	ck_assert_uint_eq(fixture_number(key, len), 500);
	fixture_delete(&op, 500);
	ck_assert(!store_random_key(&op, &key, &len));
	ck_assert_uint_eq(store_count(s, 0), 0);
	free(key);
	store_close(s);
}
END_TEST

/* Every bucket's interval of positions, at every size of the table: they tile the space, and hold the bucket's hashes. */
START_TEST(test_positions)
{
	struct table t = { .nbuckets = 1 };
	struct rng rng;
	rng_init(&rng, "positions");
	for (t.nbuckets = 1; t.nbuckets < 300; t.nbuckets++) {
		unsigned n = 0;
		for (uint64_t p = 0; p < TABLE_POSITIONS; n++) {
			uint64_t end = table_position_next(&t, p);
			uint32_t index = table_position_index(&t, p);
			ck_assert_uint_gt(end, p);
			ck_assert_uint_lt(index, t.nbuckets);
			ck_assert_uint_eq(table_position_index(&t, end - 1), index);
			ck_assert_uint_eq(table_position_index(&t, p + rng_below(&rng, end - p)), index);
			p = end;
		}
		ck_assert_uint_eq(n, t.nbuckets);
	}
	/* Segments tile the buckets. */
	struct segment_pos last = segment_of(0);
	ck_assert_uint_eq(last.seg, 0);
	for (uint32_t i = 1; i < 100000; i++) {
		struct segment_pos p = segment_of(i);
		bool same = p.seg == last.seg;
		ck_assert_uint_eq(p.off, same ? last.off + 1 : 0);
		ck_assert(same || (p.seg == last.seg + 1 && last.off + 1 == last.size));
		last = p;
	}
}
END_TEST

int main(void)
{
	Suite *s = suite_create("store_scan");
	TCase *tc = tcase_create("scan");
	tcase_set_timeout(tc, 240);
	tcase_add_loop_test(tc, test_scan_misses_nothing, 0, 4);
	tcase_add_test(tc, test_scan_once_when_still);
	tcase_add_test(tc, test_scan_sparse);
	tcase_add_test(tc, test_each_may_delete);
	tcase_add_loop_test(tc, test_random_key_has_no_bias, 0, 3);
	tcase_add_test(tc, test_random_key_skips_expired);
	tcase_add_test(tc, test_positions);
	suite_add_tcase(s, tc);
	return suite_run(s);
}
