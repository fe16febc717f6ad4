/* Small listpacks that stand in their key's entry: put there whole, taken out by who writes, also when memory is out. */
#include "store/memory.h"
#include "store/types/hash.h"
#include "tests/lib/store_fixture.h"

static const struct value_limits limits = { .entries = 512, .bytes = 64 };

static void fill(struct value *v, unsigned fields)
{
	ck_assert_int_eq(hash_new(v), 0);
	for (unsigned i = 0; i < fields; i++) {
		char field[16], val[16];
		size_t f = (size_t)snprintf(field, sizeof field, "field%u", i), n = (size_t)snprintf(val, sizeof val, "value%u", i);
		ck_assert_int_eq(hash_set(v, &limits, field, f, val, n), 1);
	}
}

static void check_fields(const struct entry *e, unsigned fields)
{
	struct value v = value_of(e);
	ck_assert_int_eq(entry_type(e), STORE_HASH);
	ck_assert_uint_eq(hash_len(&v), fields);
	for (unsigned i = 0; i < fields; i++) {
		char field[16], want[16];
		struct value_item got;
		size_t f = (size_t)snprintf(field, sizeof field, "field%u", i), n = (size_t)snprintf(want, sizeof want, "value%u", i);
		ck_assert(hash_get(&v, field, f, &got));
		ck_assert(got.str && got.len == n && !memcmp(got.str, want, n));
	}
}

static bool inlined(const struct entry *e)
{
	return e->flags & ENTRY_EMBEDDED;
}

static struct entry *add(struct store_op *op, const struct store_key *key, unsigned fields)
{
	struct value v;
	fill(&v, fields);
	struct entry *e = store_add(op, key, STORE_HASH, v.encoding, v.ptr);
	ck_assert_ptr_nonnull(e);
	return e;
}

START_TEST(test_in_and_out)
{
	struct store_options o = fixture_options(16, 1);
	struct store *s = fixture_open(&o);
	struct store_op op = fixture_op(s);
	size_t empty = mem_used();
	for (unsigned fields = 1; fields < 40; fields++) {
		struct fixture_key k, to;
		fixture_key(s, &k, fields);
		fixture_key(s, &to, 1000 + fields);
		struct entry *e = add(&op, &k.key, fields);
		if (fields <= 10 || fields >= 20)
			ck_assert_int_eq(inlined(e), fields >= 3 && fields <= 10);
		check_fields(e, fields);
		e = store_set_expiry(&op, &k.key, e, op.now_ms + 1000);
		check_fields(e, fields);
		ck_assert_int_eq(store_copy(&op, &k.key, e, 1, &to.key), 0);
		ck_assert_int_eq(store_move(&op, &k.key, e, 2, &to.key), 0);
		ck_assert_ptr_null(store_find(&op, &k.key, STORE_READ));
		for (op.db = 1; op.db < 3; op.db++) {
			e = store_find(&op, &to.key, STORE_READ);
			check_fields(e, fields);
			ck_assert_int_eq(entry_expiry(e), op.now_ms + 1000);
			e = store_find(&op, &to.key, STORE_WRITE);
			ck_assert(!inlined(e));
			ck_assert_ptr_eq(e, store_find(&op, &to.key, STORE_WRITE));
			ck_assert_int_eq(entry_expiry(e), op.now_ms + 1000);
			check_fields(e, fields);
			struct value v = value_of(e);
			ck_assert_int_eq(hash_set(&v, &limits, "more", 4, "x", 1), 1);
			value_put(e, &v);
			ck_assert(hash_delete(&v, "more", 4));
			value_put(e, &v);
			check_fields(store_find(&op, &to.key, STORE_READ), fields);
			ck_assert(store_delete(&op, &to.key, true));
		}
		op.db = 0;
	}
	ck_assert_uint_le(mem_used(), empty + 64 * 1024);
	store_close(s);
}
END_TEST

/* Each allocation on the way of the lookup fails once; it finds the key all the same. */
START_TEST(test_out_of_memory)
{
	struct store_options o = fixture_options(16, 1);
	struct store *s = fixture_open(&o);
	struct store_op op = fixture_op(s);
	for (uint64_t n = 1; n <= 4; n++) {
		struct fixture_key k;
		fixture_key(s, &k, (unsigned)n);
		struct entry *e = add(&op, &k.key, 10);
		store_set_expiry(&op, &k.key, e, op.now_ms + 1000);
		mem_fail_after(n);
		e = store_find(&op, &k.key, STORE_WRITE);
		mem_fail_after(0);
		ck_assert_ptr_nonnull(e);
		ck_assert(!inlined(e));
		check_fields(e, 10);
		struct value v = value_of(e);
		ck_assert_int_eq(hash_set(&v, &limits, "more", 4, "x", 1), 1);
		value_put(e, &v);
		ck_assert_uint_eq(hash_len(&v), 11);
		ck_assert_ptr_eq(store_find(&op, &k.key, STORE_WRITE), e);
		ck_assert_int_eq(entry_expiry(e), op.now_ms + 1000);
		ck_assert_ptr_nonnull(store_set_expiry(&op, &k.key, e, STORE_NO_EXPIRY));
	}
	store_close(s);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("store_inline");
	TCase *tc = tcase_create("inline");
	tcase_add_test(tc, test_in_and_out);
	tcase_add_test(tc, test_out_of_memory);
	suite_add_tcase(s, tc);
	return fixture_main(s);
}
