/* Small listpacks that stand in their key's entry: put there whole, taken out by who writes, also when memory is out. */
#include "store/impl/hashtab.h"
#include "store/memory.h"
#include "store/types/hash.h"
#include "store/entry_build.h"
#include "tests/lib/rng.h"
#include "tests/lib/store_fixture.h"
#include "tests/lib/suite.h"

static const struct value_limits limits = { .entries = 512, .bytes = 64, .share = true };

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

/* How far prefetching comes: nowhere without a table, to a string's and a small hash's entry, to a field's place in a table. What
 * is the same key as another's goes on from where that one came. */
START_TEST(test_prefetch)
{
	struct store_options o = fixture_options(1, 1);
	struct store *s = fixture_open(&o);
	struct store_op op = fixture_op(s);
	struct fixture_key k, small, large;
	fixture_key(s, &k, 1);
	fixture_key(s, &small, 2);
	fixture_key(s, &large, 3);
	fixture_set(&op, 1, 1, STORE_NO_EXPIRY);
	op.db = 1;
	const struct entry *e1 = add(&op, &small.key, 2);
	op.db = 2;
	const struct entry *e2 = add(&op, &large.key, 600);
	op.db = 0;
	const struct entry *found[] = { store_find(&op, &k.key, STORE_PEEK), e1, e2, NULL };
	store_set_single(s, _i);
	const struct store_key *keys[] = { &k.key, &small.key, &large.key, &large.key, &large.key };
	struct store_ahead a[5], *v[5];
	for (unsigned i = 0; i < 5; i++) {
		v[i] = &a[i];
		a[i] = (struct store_ahead){ .hash = keys[i]->hash, .db = i, .last = 5, .member = "field7", .member_len = 6 };
	}
	a[4].db = 2;
	a[4].same = &a[2];
	a[4].member = "field8";
	store_prefetch(s, v, 5);
	for (unsigned i = 0; i < 4; i++) {
		ck_assert_ptr_eq(a[i].seen, found[i]);
		ck_assert_uint_eq(a[i].member_hash, i == 2 ? hashtab_hash("field7", 6) : 0);
	}
	ck_assert_uint_eq(a[4].member_hash, hashtab_hash("field8", 6));
	store_close(s);
}
END_TEST

/* A hash that was said is used for these very bytes, until it is taken back. */
START_TEST(test_member_hashed)
{
	char field[] = "field7";
	uint64_t hash = hashtab_hash(field, 6);
	store_member_hashed(field, 6, hash + 1);
	ck_assert_uint_eq(hashtab_hash(field, 6), hash + 1);
	ck_assert_uint_ne(hashtab_hash(field, 5), hash + 1);
	ck_assert_uint_eq(hashtab_hash("field7\0", 6), hash);
	store_member_hashed(NULL, SIZE_MAX, 0);
	ck_assert_uint_eq(hashtab_hash(field, 6), hash);
}
END_TEST

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
		if (fields <= 24 || fields >= 32)
			ck_assert_int_eq(inlined(e), fields <= 24);
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

/* What a command does that borrows: the copy is changed and goes back. */
static struct entry *change(struct store_op *op, const struct store_key *key, uint64_t fail_after, unsigned field,
                            unsigned val_len)
{
	char name[16], val[64];
	size_t n = (size_t)snprintf(name, sizeof name, "field%u", field);
	struct entry *e = store_find(op, key, STORE_WRITE | STORE_LEND);
	struct value v = value_of(e);
	bool lent = inlined(e);
	if (lent)
		ck_assert_ptr_nonnull(v.ptr = listpack_from_bytes(v.ptr, e->val_len));
	memset(val, 'v', sizeof val);
	if (val_len)
		ck_assert_int_ge(hash_set(&v, &limits, name, n, val, val_len), 0);
	else
		hash_delete(&v, name, n);
	mem_fail_after(fail_after);
	if (lent)
		e = store_settle(op, key, e, v.encoding, v.ptr);
	else
		value_put(e, &v);
	mem_fail_after(0);
	ck_assert_ptr_eq(e, store_find(op, key, STORE_READ));
	return e;
}

/* A hash grows and shrinks; it stands in its entry while it is small, which has the class that it needs. */
/* One pair after the other is appended where the listpack stands, until it fits no more; without memory nothing changes. */
START_TEST(test_extend)
{
	struct store_options o = fixture_options(16, 1);
	struct store *s = fixture_open(&o);
	struct store_op op = fixture_op(s);
	struct fixture_key k;
	fixture_key(s, &k, 1);
	add(&op, &k.key, 1);
	struct entry *e = store_find(&op, &k.key, STORE_WRITE | STORE_LEND);
	unsigned fields = 1;
	for (;; fields++) {
		char field[16], val[16];
		size_t f = (size_t)snprintf(field, sizeof field, "field%u", fields);
		size_t n = (size_t)snprintf(val, sizeof val, "value%u", fields);
		struct value_item items[2] = { value_item_of(field, f), value_item_of(val, n) };
		size_t cost = listpack_items_cost(items, 2), room = entry_room(e), used = e->val_len;
		mem_fail_after(1);
		struct entry *poor = store_extend(&op, &k.key, e, cost);
		mem_fail_after(0);
		ck_assert(poor ? poor == e && e->val_len == used + cost && entry_room(e) == room : e->val_len == used);
		if (!poor)
			check_fields(e, fields);
		struct entry *n2 = poor ? poor : store_extend(&op, &k.key, e, cost);
		if (!n2)
			break;
		e = n2;
		listpack_insert_within(entry_value(e), listpack_bytes(entry_value(e)) - 1, items, 2);
		ck_assert_uint_eq(e->val_len, listpack_bytes(entry_value(e)));
		ck_assert(listpack_validate(entry_value(e), e->val_len, true));
		ck_assert_ptr_eq(store_find(&op, &k.key, STORE_PEEK), e);
		check_fields(e, fields + 1);
	}
	ck_assert_uint_ge(fields, 24);
	check_fields(e, fields);
	ck_assert_ptr_null(store_extend(&op, &k.key, e, SIZE_MAX));
	ck_assert(store_delete(&op, &k.key, false));
	store_close(s);
}
END_TEST

START_TEST(test_lent)
{
	struct store_options o = fixture_options(16, 1);
	struct store *s = fixture_open(&o);
	struct store_op op = fixture_op(s);
	struct rng rng;
	rng_init(&rng, "lent");
	unsigned lens[41] = { 0 }, live = 0;
	struct fixture_key k;
	struct value v;
	fixture_key(s, &k, 1);
	fill(&v, 1);
	struct entry *e = store_add(&op, &k.key, STORE_HASH, v.encoding, v.ptr);
	e = store_set_expiry(&op, &k.key, e, op.now_ms + 1000);
	lens[0] = 6, live = 1;
	for (unsigned round = 0; round < 4000; round++) {
		unsigned field = (unsigned)rng_below(&rng, round / 1000 % 2 ? 40 : 15);
		unsigned len = rng_below(&rng, 3) ? 1 + (unsigned)rng_below(&rng, 30) : 0;
		if (!len && live == (lens[field] != 0))
			continue;
		live += (len != 0) - (lens[field] != 0);
		lens[field] = len;
		uint64_t fail = rng_below(&rng, 50) ? 0 : 1 + rng_below(&rng, 2);
		bool was = inlined(e);
		e = change(&op, &k.key, fail, field, len);
		if (inlined(e))
			ck_assert_uint_eq(entry_room(e), slab_class(entry_size(e)));
		else if (was && !fail)
			ck_assert_uint_gt(listpack_bytes(entry_value(e)), SLAB_MAX - 64);
		ck_assert_int_eq(entry_expiry(e), op.now_ms + 1000);
		v = value_of(e);
		ck_assert_uint_eq(hash_len(&v), live);
		for (unsigned i = 0; i < 40; i++) {
			char name[16];
			struct value_item got;
			size_t n = (size_t)snprintf(name, sizeof name, "field%u", i);
			ck_assert_int_eq(hash_get(&v, name, n, &got), lens[i] != 0);
			ck_assert(!lens[i] || got.len == lens[i]);
		}
		if (!inlined(e) && round % 100 == 0) { /* into an entry again, as a copy */
			e = store_replace(&op, &k.key, STORE_HASH, v.encoding, hash_type.dup(v.encoding, v.ptr), STORE_KEEP_EXPIRY);
			ck_assert_ptr_nonnull(e);
		}
	}
	/* A value too long for a listpack. */
	fixture_key(s, &k, 2);
	add(&op, &k.key, 3);
	e = store_find(&op, &k.key, STORE_WRITE | STORE_LEND);
	ck_assert(inlined(e));
	v = (struct value){ ENC_LISTPACK, listpack_from_bytes(entry_value(e), e->val_len) };
	char big[100] = { 0 };
	ck_assert_int_eq(hash_set(&v, &limits, "big", 3, big, sizeof big), 1);
	ck_assert_uint_eq(v.encoding, ENC_HASHTABLE);
	e = store_settle(&op, &k.key, e, v.encoding, v.ptr);
	ck_assert_uint_eq(entry_encoding(e), ENC_HASHTABLE);
	ck_assert(!inlined(e));
	v = value_of(e);
	ck_assert_uint_eq(hash_len(&v), 4);
	store_close(s);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("store_inline");
	TCase *tc = tcase_create("inline");
	tcase_add_loop_test(tc, test_prefetch, 0, 2);
	tcase_add_test(tc, test_member_hashed);
	tcase_add_test(tc, test_in_and_out);
	tcase_add_test(tc, test_out_of_memory);
	tcase_add_test(tc, test_lent);
	tcase_add_test(tc, test_extend);
	suite_add_tcase(s, tc);
	return suite_run(s);
}
