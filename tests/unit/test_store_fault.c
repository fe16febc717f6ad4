/* Memory runs out at every allocation in turn: the call says so, nothing has changed, and nothing is lost later. */
#include <errno.h>
#include <stdlib.h>

#include "store/memory.h"
#include "tests/lib/rng.h"
#include "tests/lib/store_fixture.h"
#include "tests/lib/suite.h"

#define KEYS 3000

/* What may fail: one write with a key; false: out of memory. */
typedef bool write_call(struct store_op *op, const struct store_key *key, unsigned n);

static bool write_short(struct store_op *op, const struct store_key *key, unsigned n)
{
	(void)n;
	return store_set_string(op, key, "a value", 7, STORE_NO_EXPIRY) != NULL;
}

static bool write_volatile(struct store_op *op, const struct store_key *key, unsigned n)
{
	return store_set_int(op, key, n, op->now_ms + n) != NULL;
}

static bool write_blob(struct store_op *op, const struct store_key *key, unsigned n)
{
	static char big[STORE_BLOB_MIN + 10];
	return store_set_string(op, key, big, STORE_BLOB_MIN + n % 10, STORE_NO_EXPIRY) != NULL;
}

static bool write_grow(struct store_op *op, const struct store_key *key, unsigned n)
{
	char *bytes;
	return store_string_grow(op, key, store_find(op, key, STORE_WRITE), n % 3 ? 50 + n % 300 : 40000, &bytes) != NULL;
}

/* The value's length is such that the expiry finds room in some allocations only. */
static bool write_expiry(struct store_op *op, const struct store_key *key, unsigned n)
{
	struct entry *e = store_find(op, key, STORE_WRITE);
	if (e && entry_string_len(e) < 8) {
		mem_fail_after(0);
		e = store_set_string(op, key, "0123456789abcdefghijkl", 8 + n % 14, STORE_NO_EXPIRY);
		return e != NULL;
	}
	return !e || store_set_expiry(op, key, e, op->now_ms + n) != NULL;
}

static bool write_copy(struct store_op *op, const struct store_key *key, unsigned n)
{
	struct fixture_key from;
	fixture_key(op->store, &from, n % 100 + KEYS);
	struct entry *e = store_find(op, &from.key, STORE_WRITE);
	if (!e || store_exists(op, key))
		return true;
	int err = n & 1 ? store_copy(op, &from.key, e, op->db, key) : store_move(op, &from.key, e, op->db, key);
	ck_assert(err == 0 || err == -ENOMEM);
	return err == 0;
}

static bool write_other_db(struct store_op *op, const struct store_key *key, unsigned n)
{
	op->db = 1 + n % 15;
	bool ok = store_set_int(op, key, n, op->now_ms) != NULL;
	op->db = 0;
	return ok;
}

static write_call *const calls[] = { write_short, write_volatile, write_blob,    write_grow,
	                             write_expiry, write_copy,    write_other_db };

static uint64_t fingerprint(struct store_op *op, const struct store_key *key)
{
	const struct entry *e = store_find(op, key, STORE_PEEK);
	char buf[24];
	size_t len;
	if (!e)
		return 0;
	const char *s = entry_string(e, buf, &len);
	uint64_t h = len * 31 + (uint64_t)entry_expiry(e);
	for (size_t i = 0; i < len; i++)
		h = h * 131 + (unsigned char)s[i];
	return h | 1;
}

START_TEST(test_nth_allocation)
{
	struct store_options o = fixture_options(_i % 2 ? 1 : 64, 12);
	struct store *s = fixture_open(&o);
	struct store_op op = fixture_op(s);
	write_call *call = calls[_i / 2];
	uint64_t failures = 0;
	for (unsigned i = 0; i < 100; i++)
		fixture_set(&op, KEYS + i, i, i % 2 ? op.now_ms + 9 : STORE_NO_EXPIRY);
	for (unsigned i = 0; i < KEYS; i++) {
		struct fixture_key k;
		fixture_key(s, &k, i);
		if (i % 2 && call != write_copy)
			fixture_set(&op, i, i, STORE_NO_EXPIRY);
		uint64_t before, count = store_count(s, 0);
		if (call == write_expiry)
			write_expiry(&op, &k.key, i);
		before = fingerprint(&op, &k.key);
		for (unsigned n = 1;; n++) {
			mem_fail_after(n);
			bool ok = call(&op, &k.key, i);
			mem_fail_after(0);
			if (ok)
				break;
			ck_assert_uint_eq(fingerprint(&op, &k.key), before);
			ck_assert_uint_eq(store_count(s, 0), count);
			failures++;
		}
	}
	ck_assert_uint_ge(failures, (uint64_t)(call == write_copy ? 30 : KEYS / 6));
	/* All of it can still be found, and goes. */
	for (op.db = 0; op.db < 16; op.db++) {
		uint64_t found = 0;
		for (unsigned i = 0; i < KEYS + 100; i++) {
			struct fixture_key k;
			fixture_key(s, &k, i);
			found += store_delete(&op, &k.key, false);
		}
		ck_assert_uint_eq(store_count(s, op.db), 0);
		ck_assert(op.db || found >= 100);
	}
	store_close(s);
}
END_TEST

START_TEST(test_open)
{
	struct store_options o = fixture_options(64, 12);
	size_t used = mem_used();
	unsigned n = 0;
	for (;;) {
		int err;
		mem_fail_after(++n);
		struct store *s = store_open(&o, &err);
		mem_fail_after(0);
		if (s) {
			store_close(s);
			break;
		}
		ck_assert_int_eq(err, -ENOMEM);
		ck_assert_uint_eq(mem_used(), used);
	}
	ck_assert_uint_ge(n, 5);
	ck_assert_uint_eq(mem_used(), used);
}
END_TEST

/* A table that cannot grow for a while is slower, not wrong; nor is one that cannot shrink. */
START_TEST(test_growth_fails_for_long)
{
	struct store_options o = fixture_options(1, 12);
	struct store *s = fixture_open(&o);
	struct store_op op = fixture_op(s);
	struct rng rng;
	struct store_stats st;
	rng_init(&rng, "fault");
	static bool there[KEYS];
	for (unsigned n = 0; n < 60000; n++) {
		struct fixture_key k;
		unsigned i = (unsigned)rng_below(&rng, KEYS);
		fixture_key(s, &k, i);
		bool set = rng_below(&rng, 100) < (n / 5000 % 2 ? 25u : 80u);
		mem_fail_after(rng_below(&rng, 4));
		if (set) {
			there[i] = store_set_int(&op, &k.key, i, rng_below(&rng, 2) ? op.now_ms : STORE_NO_EXPIRY) || there[i];
		} else {
			ck_assert_int_eq(store_delete(&op, &k.key, true), there[i]);
			there[i] = false;
		}
		mem_fail_after(0);
	}
	uint64_t want = 0;
	for (unsigned i = 0; i < KEYS; i++) {
		struct fixture_key k;
		fixture_key(s, &k, i);
		ck_assert_int_eq(store_exists(&op, &k.key), there[i]);
		want += there[i];
	}
	ck_assert_uint_eq(store_count(s, 0), want);
	store_get_stats(s, &st);
	ck_assert_uint_gt(st.buckets, 1);
	store_close(s);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("store_fault");
	TCase *tc = tcase_create("fault");
	tcase_set_timeout(tc, 240);
	tcase_add_loop_test(tc, test_nth_allocation, 0, 2 * sizeof calls / sizeof *calls);
	tcase_add_test(tc, test_open);
	tcase_add_test(tc, test_growth_fails_for_long);
	suite_add_tcase(s, tc);
	return suite_run(s);
}
