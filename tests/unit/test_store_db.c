/* Databases: flush, swap, counts, laziness; aggregates as opaque values; allocation. */
#include <errno.h>
#include <stdlib.h>

#include "store/memory.h"
#include "store/types.h"
#include "store/types/stream.h"
#include "tests/lib/rng.h"
#include "tests/lib/store_fixture.h"
#include "tests/lib/suite.h"
#ifndef SHOAL_NO_JEMALLOC
#include <jemalloc/jemalloc.h>
#endif

START_TEST(test_flush)
{
	struct store_options o = fixture_options(64, 1);
	struct store *s = fixture_open(&o);
	struct store_op op = fixture_op(s);
	struct store_stats st;
	size_t empty = mem_used();
	for (int round = 0; round < 4; round++) {
		bool background = round & 1;
		for (unsigned i = 0; i < 30000; i++) {
			op.db = i % 3;
			fixture_set(&op, i, i, i % 2 ? op.now_ms + 9 : STORE_NO_EXPIRY);
		}
		ck_assert_uint_eq(store_flush(s, 1, background), 10000);
		ck_assert_uint_eq(store_flush(s, 1, background), 0);
		ck_assert_uint_eq(store_flush(s, 9, background), 0);
		ck_assert_uint_eq(store_count(s, 0), 10000);
		ck_assert_uint_eq(store_count(s, 1), 0);
		ck_assert_uint_eq(store_count_volatile(s, 1), 0);
		op.db = 1;
		fixture_set(&op, 1, 1, STORE_NO_EXPIRY);
		ck_assert_uint_eq(store_count(s, 1), 1);
		ck_assert_uint_eq(store_flush(s, -1, background), 20001);
		for (unsigned db = 0; db < 16; db++)
			ck_assert_uint_eq(store_count(s, db), 0);
		store_reaper_drain(s);
		store_get_stats(s, &st);
		ck_assert_uint_eq(st.lazyfree_pending, 0);
		ck_assert_uint_eq(st.lazyfreed, (uint64_t)(round + 1) / 2 * 30001);
		ck_assert_uint_eq(st.keys, 0);
		op.db = 0;
		ck_assert_int_eq(store_tick(&op, 0, 1000, true).expired, 0);
	}
	/* The reaper's thread publishes in steps. */
	ck_assert_uint_le(mem_used(), empty + 64 * 2 * 200 + 2 * 64 * 1024);
	store_close(s);
}
END_TEST

static uint64_t sum_of(struct store *s, unsigned db, unsigned keys)
{
	struct store_op op = fixture_op(s);
	uint64_t sum = 0;
	op.db = db;
	for (unsigned i = 0; i < keys; i++) {
		struct fixture_key k;
		int64_t v;
		fixture_key(s, &k, i);
		const struct entry *e = store_find(&op, &k.key, STORE_READ);
		if (e && entry_string_int(e, &v))
			sum += (uint64_t)v;
	}
	return sum;
}

START_TEST(test_swap)
{
	struct store_options o = fixture_options(64, 1);
	struct store *s = fixture_open(&o);
	struct store_op op = fixture_op(s);
	ck_assert_int_eq(store_swap(s, 0, 16), -EINVAL);
	ck_assert_int_eq(store_swap(s, 16, 0), -EINVAL);
	ck_assert_int_eq(store_swap(s, 3, 4), 0);
	for (unsigned i = 0; i < 2000; i++) {
		op.db = 0;
		fixture_set(&op, i, 1, op.now_ms + 5);
		op.db = 2;
		if (i < 10)
			fixture_set(&op, i, 100, STORE_NO_EXPIRY);
	}
	ck_assert_int_eq(store_swap(s, 0, 2), 0);
	ck_assert_uint_eq(store_count(s, 0), 10);
	ck_assert_uint_eq(store_count(s, 2), 2000);
	ck_assert_uint_eq(sum_of(s, 0, 2000), 1000);
	ck_assert_uint_eq(sum_of(s, 2, 2000), 2000);
	ck_assert_int_eq(store_swap(s, 2, 2), 0);
	ck_assert_int_eq(store_swap(s, 0, 7), 0); /* a database that was never used */
	ck_assert_uint_eq(store_count(s, 0), 0);
	ck_assert_uint_eq(sum_of(s, 7, 2000), 1000);
	op.db = 0;
	fixture_set(&op, 5, 5, STORE_NO_EXPIRY);
	ck_assert_uint_eq(sum_of(s, 0, 2000), 5);
	ck_assert_uint_eq(sum_of(s, 7, 2000), 1000);
	/* Memory that runs out half way has swapped nothing. */
	for (unsigned n = 1; n < 20; n++) {
		mem_fail_after(n);
		int err = store_swap(s, 7, 12);
		mem_fail_after(0);
		ck_assert(err == 0 || err == -ENOMEM);
		ck_assert_uint_eq(sum_of(s, err ? 7 : 12, 2000), 1000);
		ck_assert_uint_eq(sum_of(s, err ? 12 : 7, 2000), 0);
		if (!err)
			ck_assert_int_eq(store_swap(s, 7, 12), 0);
	}
	op.now_ms += 10;
	ck_assert_uint_eq(store_tick(&op, 0, 100000, true).expired, 2000);
	ck_assert_uint_eq(store_count(s, 2), 0);
	store_close(s);
}
END_TEST

/* An empty store is small, and so is one with a key in each database. */
START_TEST(test_lazy_tables)
{
	struct store_options o = fixture_options(1024, 1);
	size_t before = mem_used();
	struct store *s = fixture_open(&o);
	struct store_op op = fixture_op(s);
	ck_assert_uint_le(mem_used() - before, 200 * 1024);
	size_t open = mem_used();
	for (op.db = 0; op.db < 16; op.db++)
		fixture_set(&op, 1, 1, STORE_NO_EXPIRY);
	ck_assert_uint_le(mem_used() - open, 16 * 600);
	ck_assert_uint_eq(store_dbs(s), 16);
	ck_assert_uint_eq(store_shards(s), 1024);
	store_close(s);
	ck_assert_uint_eq(mem_used(), before);
}
END_TEST

START_TEST(test_expect)
{
	struct store_options o = fixture_options(64, 1);
	struct store *s = fixture_open(&o);
	struct store_op op = fixture_op(s);
	struct store_stats st, st2;
	store_expect(s, 0, 100000);
	store_get_stats(s, &st);
	ck_assert_uint_ge(st.buckets, 100000 / 8);
	for (unsigned i = 0; i < 80000; i++)
		fixture_set(&op, i, 1, STORE_NO_EXPIRY);
	store_get_stats(s, &st2);
	ck_assert_uint_eq(st.buckets, st2.buckets);
	for (unsigned i = 0; i < 80000; i++)
		ck_assert(fixture_delete(&op, i));
	store_close(s);
}
END_TEST

/* A value of another type is an opaque pointer here, freed by its row. */
START_TEST(test_aggregates)
{
	struct store_options o = fixture_options(64, 1);
	struct store *s = fixture_open(&o);
	struct store_op op = fixture_op(s);
	struct stream *a = stream_new(), *b = stream_new(), *third = stream_new();
	struct fixture_key k, to;
	fixture_key(s, &k, 1);
	fixture_key(s, &to, 2);
	struct entry *e = store_add(&op, &k.key, STORE_STREAM, ENC_STREAM, a);
	ck_assert_ptr_eq(entry_value(e), a);
	ck_assert_str_eq(entry_type_name(e), "stream");
	ck_assert_str_eq(entry_encoding_name(e), "stream");
	e = store_set_expiry(&op, &k.key, e, op.now_ms + 5);
	ck_assert_ptr_eq(entry_value(e), a);
	e = store_replace(&op, &k.key, STORE_STREAM, ENC_STREAM, b, STORE_KEEP_EXPIRY);
	ck_assert_ptr_eq(entry_value(e), b);
	ck_assert_int_eq(entry_expiry(e), op.now_ms + 5);
	ck_assert_int_eq(store_move(&op, &k.key, e, 3, &to.key), 0);
	ck_assert(!store_exists(&op, &k.key));
	op.db = 3;
	e = store_find(&op, &to.key, STORE_WRITE);
	ck_assert_ptr_eq(entry_value(e), b);
	ck_assert_int_eq(entry_expiry(e), op.now_ms + 5);
	e = store_set_string(&op, &to.key, "text", 4, STORE_KEEP_EXPIRY);
	ck_assert_int_eq(entry_type(e), STORE_STRING);
	ck_assert_int_eq(entry_expiry(e), op.now_ms + 5);
	/* store_add() where an expired key is only hidden. */
	op.now_ms += 10;
	op.keep_expired = true;
	e = store_add(&op, &to.key, STORE_STREAM, ENC_STREAM, third);
	ck_assert_int_eq(entry_expiry(e), STORE_NO_EXPIRY);
	ck_assert_uint_eq(store_count(s, 3), 1);
	ck_assert_uint_eq(store_count_volatile(s, 3), 0);
	store_close(s);
}
END_TEST

START_TEST(test_memory)
{
	struct rng rng;
	rng_init(&rng, "memory");
	size_t before = mem_used();
	for (size_t n = 1; n < 100000; n += 1 + n / 50) {
		void *p = mem_alloc(n);
#ifndef SHOAL_NO_JEMALLOC
		ck_assert_uint_eq(mem_class(n), nallocx(n, 0));
		ck_assert_uint_eq(mem_size(p), mem_class(n));
		ck_assert_uint_eq(mem_used(), before + mem_class(n));
#endif
		ck_assert_uint_ge(mem_used(), before + n);
		p = mem_realloc(p, n / 2 + 1);
		ck_assert_uint_ge(mem_size(p), n / 2 + 1);
		mem_free(p);
		unsigned char *z = mem_calloc(n);
		for (size_t i = 0; i < n; i++)
			ck_assert_uint_eq(z[i], 0);
		mem_free_sized(z, n);
		void *line = mem_alloc_aligned(n);
		ck_assert_uint_eq((uintptr_t)line % 64, 0);
		mem_free(line);
		ck_assert_uint_eq(mem_used(), before);
	}
	mem_free(NULL);
	mem_free_sized(NULL, 5);
	ck_assert_uint_ge(mem_peak(), before + 90000);
	for (uint64_t n = 1; n < 5; n++) {
		mem_fail_after(n);
		void *p[5];
		for (uint64_t i = 1; i < 5; i++) {
			p[i] = i & 1 ? mem_alloc(8) : mem_calloc(8);
			ck_assert_int_eq(p[i] == NULL, i == n);
		}
		for (uint64_t i = 1; i < 5; i++)
			mem_free(p[i]);
	}
	ck_assert_uint_eq(mem_used(), before);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("store_db");
	TCase *tc = tcase_create("db");
	tcase_set_timeout(tc, 120);
	tcase_add_test(tc, test_flush);
	tcase_add_test(tc, test_swap);
	tcase_add_test(tc, test_lazy_tables);
	tcase_add_test(tc, test_expect);
	tcase_add_test(tc, test_aggregates);
	tcase_add_test(tc, test_memory);
	suite_add_tcase(s, tc);
	return suite_run(s);
}
