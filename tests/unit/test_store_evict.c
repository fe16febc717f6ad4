/* Who is evicted, and how many at a time. */
#include <stdlib.h>

#include "store/memory.h"
#include "tests/lib/store_fixture.h"
#include "tests/lib/suite.h"

#define BEGIN_MS 1000000000
#define LATER_MS 100000

static unsigned reported;

static void removed(void *ctx, struct store_op *op, enum store_removal why, const struct store_key *key,
                    const struct entry *e)
{
	(void)ctx;
	ck_assert_int_eq(why, STORE_EVICTED);
	ck_assert(key->len == entry_key_len(e) && !memcmp(key->ptr, entry_key(e), key->len));
	ck_assert_uint_eq(key->hash, store_key(op->store, key->ptr, key->len).hash);
	reported++;
}

static struct store *s;
static struct store_op op;
static struct store_evict_pool *pool;

static void at(int64_t now_ms)
{
	op.now_ms = now_ms;
	op.access_clock = store_access_clock(STORE_ACCESS_LRU, now_ms);
}

static void setup(void)
{
	struct store_options o = fixture_options(64, 1);
	o.hooks.removed = removed;
	s = fixture_open(&o);
	op = fixture_op(s);
	at(BEGIN_MS);
	pool = store_evict_pool_new();
	ck_assert_ptr_nonnull(pool);
	reported = 0;
}

static void teardown(void)
{
	store_evict_pool_free(pool);
	store_close(s);
}

static void add(uint64_t from, uint64_t to, int64_t expire_ms)
{
	for (uint64_t i = from; i < to; i++)
		fixture_set(&op, i, i, expire_ms);
}

/* How many of the keys are there; used: and are so looked at. */
static unsigned present(uint64_t from, uint64_t to, bool used)
{
	unsigned n = 0;
	for (uint64_t i = from; i < to; i++) {
		struct fixture_key k;
		fixture_key(s, &k, i);
		store_lock(s, k.key.hash);
		n += store_find(&op, &k.key, used ? STORE_READ : STORE_PEEK) != NULL;
		store_unlock(s, k.key.hash);
	}
	return n;
}

static unsigned evict(const struct store_evict *how, unsigned keys)
{
	unsigned n = 0, gone = 1;
	while (n < keys && gone) {
		gone = store_evict(&op, how, pool, 1);
		n += gone;
	}
	return n;
}

START_TEST(test_the_longest_unused_go_first)
{
	const struct store_evict how = { .order = STORE_EVICT_LRU, .samples = 5 };
	add(0, 4000, STORE_NO_EXPIRY);
	at(BEGIN_MS + LATER_MS);
	ck_assert_uint_eq(present(0, 2000, true), 2000);
	unsigned n = 0;
	while (n < 2000) {
		unsigned gone = store_evict(&op, &how, pool, 512); /* several keys at a time */
		ck_assert_uint_gt(gone, 0);
		n += gone;
	}
	ck_assert_uint_eq(reported, n);
	ck_assert_uint_eq(store_count(s, 0), 4000 - n);
	ck_assert_uint_gt(present(0, 2000, false), 1600);
	ck_assert_uint_lt(present(2000, 4000, false), 400);
}
END_TEST

/* More keys stand in a bucket than are looked at for one eviction: wherever the oldest stands, it is found. */
START_TEST(test_no_place_in_a_bucket_is_exempt)
{
	const struct store_evict how = { .order = STORE_EVICT_LRU, .samples = 5 };
	struct store_options o = fixture_options(1, 1);
	store_close(s);
	s = fixture_open(&o);
	op.store = s;
	for (uint64_t oldest = 0; oldest < 7; oldest++) {
		store_flush(s, -1, false);
		store_evict_pool_clear(pool);
		for (uint64_t i = 0; i < 7; i++) {
			at(BEGIN_MS + (i == oldest ? 0 : LATER_MS));
			add(i, i + 1, STORE_NO_EXPIRY);
		}
		at(BEGIN_MS + LATER_MS);
		ck_assert_uint_eq(evict(&how, 1), 1);
		ck_assert_uint_eq(present(oldest, oldest + 1, false), 0);
	}
}
END_TEST

START_TEST(test_a_candidate_that_was_used_is_spared)
{
	const struct store_evict how = { .order = STORE_EVICT_LRU, .samples = 64 };
	add(0, 100, STORE_NO_EXPIRY);
	at(BEGIN_MS + LATER_MS);
	unsigned first = evict(&how, 1); /* others wait in the pool now */
	at(BEGIN_MS + 2 * LATER_MS);
	unsigned used = present(0, 50, true);
	unsigned gone = evict(&how, 10);
	ck_assert_uint_eq(present(0, 50, false), used);
	ck_assert_uint_eq(store_count(s, 0), 100 - first - gone);
}
END_TEST

START_TEST(test_all_databases_until_nothing_is_left)
{
	const struct store_evict some = { .order = STORE_EVICT_TTL, .volatile_only = true, .samples = 5 };
	const struct store_evict all = { .order = STORE_EVICT_RANDOM, .samples = 5 };
	for (op.db = 0; op.db < 16; op.db += 5) {
		add(0, 20, STORE_NO_EXPIRY);
		add(20, 30, BEGIN_MS + LATER_MS);
	}
	op.db = 3;
	ck_assert_uint_eq(evict(&some, 1000), 40);
	ck_assert_uint_eq(op.db, 3);
	for (unsigned db = 0; db < 16; db += 5)
		ck_assert_uint_eq(store_count(s, db), 20);
	store_evict_pool_clear(pool);
	ck_assert_uint_eq(evict(&all, 1000), 80);
	ck_assert_uint_eq(reported, 120);
	ck_assert_uint_eq(store_evict(&op, &all, pool, 1), 0);
}
END_TEST

START_TEST(test_candidates_that_are_gone)
{
	const struct store_evict how = { .order = STORE_EVICT_LRU, .samples = 64 };
	add(0, 100, STORE_NO_EXPIRY);
	unsigned gone = evict(&how, 1);
	ck_assert_uint_eq(store_flush(s, -1, false), 100 - gone);
	ck_assert_uint_eq(store_evict(&op, &how, pool, 1), 0);
	/* The same addresses, other keys, and tables of another size. */
	add(1000, 3000, STORE_NO_EXPIRY);
	ck_assert_uint_eq(evict(&how, 3000), 2000);
	ck_assert_uint_eq(reported, 2000 + gone);
}
END_TEST

START_TEST(test_one_large_value_is_enough)
{
	const struct store_evict how = { .order = STORE_EVICT_LRU, .samples = 5 };
	size_t len = 100000;
	char *val = calloc(1, len);
	add(0, 4000, STORE_NO_EXPIRY);
	for (int i = 0; i < 100; i++)
		store_evict(&op, &how, pool, 4096); /* keys are small, as it seems */
	store_flush(s, -1, false);
	for (uint64_t i = 0; i < 50; i++) {
		struct fixture_key k;
		fixture_key(s, &k, i);
		store_lock(s, k.key.hash);
		ck_assert_ptr_nonnull(store_set_string(&op, &k.key, val, len, STORE_NO_EXPIRY));
		store_unlock(s, k.key.hash);
	}
	for (unsigned left = 50; left > 0; left--) {
		size_t before = mem_used();
		ck_assert_uint_eq(store_evict(&op, &how, pool, 4096), 1);
		ck_assert_uint_ge(before - mem_used(), len);
		ck_assert_uint_eq(store_count(s, 0), left - 1);
	}
	free(val);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("store_evict");
	TCase *tc = tcase_create("evict");
	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, test_the_longest_unused_go_first);
	tcase_add_test(tc, test_no_place_in_a_bucket_is_exempt);
	tcase_add_test(tc, test_a_candidate_that_was_used_is_spared);
	tcase_add_test(tc, test_all_databases_until_nothing_is_left);
	tcase_add_test(tc, test_candidates_that_are_gone);
	tcase_add_test(tc, test_one_large_value_is_enough);
	suite_add_tcase(suite, tc);
	return suite_run(suite);
}
