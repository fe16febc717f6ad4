/* Active expiry: everything that is due goes, nothing else, quickly, within its budget. */
#include <stdlib.h>

#include "store/memory.h"
#include "tests/lib/rng.h"
#include "tests/lib/store_fixture.h"
#include "tests/lib/suite.h"

struct clock {
	int64_t now_us, step_us;
	uint64_t removed;
	unsigned last_db;
};

/* A clock that moves on by a step whenever it is looked at. */
static int64_t fake_us(void *ctx)
{
	struct clock *c = ctx;
	return c->now_us += c->step_us;
}

static void count_removed(void *ctx, struct store_op *op, enum store_removal why, const struct store_key *key,
                          const struct entry *e)
{
	struct clock *c = ctx;
	ck_assert_int_eq(why, STORE_EXPIRED);
	ck_assert_int_lt(entry_expiry(e), op->now_ms);
	ck_assert_uint_eq(store_key(op->store, key->ptr, key->len).hash, key->hash);
	c->removed++;
	c->last_db = op->db;
}

static struct store *open_with(struct clock *c, unsigned shards, unsigned loops)
{
	struct store_options o = fixture_options(shards, 9);
	o.loops = loops;
	o.hooks = (struct store_hooks){ .removed = count_removed, .monotonic_us = fake_us };
	o.hooks_ctx = c;
	return fixture_open(&o);
}

START_TEST(test_only_what_is_due)
{
	static const unsigned shards[] = { 1, 16, 1024 };
	struct clock c = { 0 };
	struct store *s = open_with(&c, shards[_i], 1);
	struct store_op op = fixture_op(s);
	struct rng rng;
	rng_init(&rng, "expire");
	static int64_t due[20000];
	for (unsigned i = 0; i < 20000; i++) {
		due[i] = i % 3 == 0 ? STORE_NO_EXPIRY : op.now_ms + (int64_t)rng_below(&rng, 1000);
		fixture_set(&op, i, i, due[i]);
	}
	uint64_t removed = 0;
	for (int step = 0; step < 120; step++) {
		op.now_ms += 10;
		struct store_tick_result r = store_tick(&op, 0, 1000000, true);
		removed += r.expired;
		uint64_t left = 0, left_volatile = 0;
		int64_t next = INT64_MAX;
		for (unsigned i = 0; i < 20000; i++) {
			left += !(op.now_ms > due[i]);
			left_volatile += due[i] != STORE_NO_EXPIRY && !(op.now_ms > due[i]);
			if (!(op.now_ms > due[i]) && due[i] < next)
				next = due[i];
		}
		ck_assert(!r.more);
		ck_assert_uint_eq(store_count(s, 0), left);
		ck_assert_uint_eq(store_count_volatile(s, 0), left_volatile);
		ck_assert_int_le(r.next_due_ms, next);
		/* Keys are set again with other times while others expire. */
		for (int n = 0; step < 100 && n < 50; n++) {
			unsigned i = (unsigned)rng_below(&rng, 20000);
			due[i] = rng_below(&rng, 4) ? op.now_ms + 1 + (int64_t)rng_below(&rng, 300) : STORE_NO_EXPIRY;
			fixture_set(&op, i, i, due[i]);
		}
	}
	ck_assert_uint_eq(c.removed, removed);
	op.now_ms += 10000;
	store_tick(&op, 0, 1000000, true);
	ck_assert_int_eq(store_tick(&op, 0, 1000000, true).next_due_ms, INT64_MAX);
	store_close(s);
}
END_TEST

START_TEST(test_off)
{
	struct clock c = { 0 };
	struct store *s = open_with(&c, 16, 1);
	struct store_op op = fixture_op(s);
	for (unsigned i = 0; i < 100; i++)
		fixture_set(&op, i, i, op.now_ms - 1);
	ck_assert_uint_eq(store_tick(&op, 0, 1000, false).expired, 0);
	op.keep_expired = true;
	ck_assert_uint_eq(store_tick(&op, 0, 1000, true).expired, 0);
	/* Hidden, not gone; setting one again replaces it without a report. */
	struct fixture_key k;
	fixture_key(s, &k, 3);
	ck_assert_ptr_null(store_find(&op, &k.key, STORE_READ));
	ck_assert(!store_exists(&op, &k.key));
	ck_assert(!store_delete(&op, &k.key, false));
	fixture_set(&op, 3, 33, STORE_NO_EXPIRY);
	ck_assert(store_exists(&op, &k.key));
	ck_assert_uint_eq(store_count(s, 0), 100);
	ck_assert_uint_eq(store_count_volatile(s, 0), 99);
	ck_assert_uint_eq(c.removed, 0);
	op.keep_expired = false;
	op.show_expired = true;
	fixture_key(s, &k, 4);
	ck_assert(store_exists(&op, &k.key));
	op.show_expired = false;
	ck_assert(!store_exists(&op, &k.key));
	ck_assert_uint_eq(c.removed, 1);
	ck_assert_uint_eq(store_tick(&op, 0, 1000, true).expired, 98);
	store_close(s);
}
END_TEST

START_TEST(test_databases_and_owners)
{
	struct clock c = { 0 };
	struct store *s = open_with(&c, 64, 4);
	struct store_op op = fixture_op(s);
	for (unsigned i = 0; i < 6400; i++) {
		op.db = i % 16;
		fixture_set(&op, i, i, op.now_ms);
	}
	op.db = 5;
	op.now_ms++;
	uint64_t expired = 0;
	for (unsigned loop = 0; loop < 4; loop++) {
		struct store_tick_result r = store_tick(&op, loop, 1000000, true);
		ck_assert_uint_gt(r.expired, 1000);
		expired += r.expired;
		ck_assert_uint_eq(op.db, 5);
	}
	ck_assert_uint_eq(expired, 6400);
	for (unsigned db = 0; db < 16; db++)
		ck_assert_uint_eq(store_count(s, db), 0);
	store_close(s);
}
END_TEST

/* The budget ends a tick; the next one goes on, and every shard has its turn. */
START_TEST(test_budget)
{
	static const unsigned shards[] = { 1, 1024 };
	struct clock c = { .step_us = 10 };
	struct store *s = open_with(&c, shards[_i], 1);
	struct store_op op = fixture_op(s);
	for (unsigned i = 0; i < 50000; i++)
		fixture_set(&op, i, i, op.now_ms);
	op.now_ms++;
	uint64_t ticks = 0, left = 50000;
	struct store_tick_result r;
	do {
		r = store_tick(&op, 0, 100, true);
		ck_assert_uint_gt(r.expired, 0);
		ck_assert_uint_le(r.expired, 11 * 16 * 30); /* ten looks at the clock, 16 buckets between two */
		left -= r.expired;
		ticks++;
		/* What comes in meanwhile with a later time must not be lost. */
		if (ticks % 5 == 0) {
			fixture_set(&op, 100000 + ticks, 1, op.now_ms + 5);
		}
	} while (r.more);
	ck_assert_uint_eq(left, 0);
	ck_assert_uint_gt(ticks, 20);
	ck_assert_uint_eq(store_count(s, 0), ticks / 5);
	op.now_ms += 6;
	while (store_tick(&op, 0, 100, true).more)
		;
	ck_assert_uint_eq(store_count(s, 0), 0);
	store_close(s);
}
END_TEST

/* Generous: the ticks are what is tested, not the speed of the machine. */
#define BUDGET_US 50000

/* Keys that expire at 100,000 a second, a tick every 10 ms: never more than a second behind, and the
 * memory comes back. */
START_TEST(test_hundred_thousand_per_second)
{
	struct store_options o = fixture_options(1024, 9);
	struct store *s = fixture_open(&o);
	struct store_op op = fixture_op(s);
	const unsigned keys = 300000;
	size_t empty = mem_used();
	for (unsigned i = 0; i < keys; i++)
		fixture_set(&op, i, i, op.now_ms + 1000 + i / 100);
	size_t full = mem_used() - empty;
	int64_t start = op.now_ms + 1000;
	for (op.now_ms = start; op.now_ms < start + keys / 100 + 1000; op.now_ms += 10) {
		store_tick(&op, 0, BUDGET_US, true);
		int64_t second_ago = op.now_ms - start - 1000;
		uint64_t due = second_ago > 0 ? (uint64_t)second_ago * 100 : 0;
		if (due > keys)
			due = keys;
		ck_assert_uint_le(store_count(s, 0), keys - due);
	}
	store_tick(&op, 0, 1000000, true);
	ck_assert_uint_eq(store_count(s, 0), 0);
	ck_assert_uint_le(mem_used(), empty + full / 10);
	store_close(s);
}
END_TEST

START_TEST(test_set_expiry)
{
	struct clock c = { 0 };
	struct store *s = open_with(&c, 1, 1);
	struct store_op op = fixture_op(s);
	char kb[300], val[128];
	memset(kb, 'k', sizeof kb);
	memset(val, 'v', sizeof val);
	/* All sizes around the allocator's classes, and long keys: the value survives each change of the expiry. */
	for (size_t klen = 0; klen < 300; klen += klen < 240 ? 7 : 1) {
		for (size_t vlen = 0; vlen < sizeof val; vlen++) {
			struct store_key key = store_key(s, kb, klen);
			struct entry *e = store_set_string(&op, &key, val, vlen, STORE_NO_EXPIRY);
			static const int64_t times[] = { 5000, 6000, STORE_NO_EXPIRY, STORE_NO_EXPIRY, 1, 7000 };
			for (size_t i = 0; i < 6; i++) {
				char buf[24];
				size_t len;
				int64_t when = times[i] == STORE_NO_EXPIRY ? times[i] : op.now_ms + times[i];
				e = store_set_expiry(&op, &key, e, when);
				ck_assert_ptr_eq(e, store_find(&op, &key, STORE_READ));
				ck_assert_int_eq(entry_expiry(e), when);
				ck_assert_mem_eq(entry_string(e, buf, &len), val, vlen);
				ck_assert_uint_eq(len, vlen);
				ck_assert_uint_eq(store_count_volatile(s, 0), when != STORE_NO_EXPIRY);
			}
			ck_assert(store_delete(&op, &key, false));
		}
	}
	/* The time of expiry itself is still alive. */
	fixture_set(&op, 1, 1, op.now_ms);
	struct fixture_key k;
	fixture_key(s, &k, 1);
	ck_assert(store_exists(&op, &k.key));
	op.now_ms++;
	ck_assert(!store_exists(&op, &k.key));
	store_close(s);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("store_expire");
	TCase *tc = tcase_create("expire");
	tcase_set_timeout(tc, 240);
	tcase_add_loop_test(tc, test_only_what_is_due, 0, 3);
	tcase_add_test(tc, test_off);
	tcase_add_test(tc, test_databases_and_owners);
	tcase_add_loop_test(tc, test_budget, 0, 2);
	tcase_add_test(tc, test_hundred_thousand_per_second);
	tcase_add_test(tc, test_set_expiry);
	suite_add_tcase(s, tc);
	return suite_run(s);
}
