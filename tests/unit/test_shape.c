/* Shapes: which lists of names become one, that there is a limit to them, and hashes with and without them as one model. */
#include <check.h>
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "store/memory.h"
#include "store/types/hash.h"
#include "tests/lib/rng.h"
#include "tests/lib/suite.h"

static const struct value_limits sharing = { .entries = 20, .bytes = 64, .share = true };
static const struct value_limits plain = { .entries = 20, .bytes = 64 };

struct list {
	char text[SHAPE_NAMES_MAX][24];
	struct value_item names[SHAPE_NAMES_MAX];
	size_t n;
};

/* Names of a kind, every third of them an integer. */
static void list_make(struct list *l, unsigned kind, size_t n)
{
	l->n = n;
	for (size_t i = 0; i < n; i++) {
		int len = snprintf(l->text[i], sizeof l->text[i], i % 3 == 2 ? "%u%zu" : "name%u.%zu", kind + 1, i);
		l->names[i] = value_item_of(l->text[i], (size_t)len);
		ck_assert(shape_name(&l->names[i]));
		ck_assert_int_eq(l->names[i].str == NULL, i % 3 == 2);
	}
}

static const struct shape *see(const struct list *l)
{
	return shape_find(shape_fingerprint(NULL, l->names, l->n), NULL, l->names, l->n);
}

static const struct shape *see_often(const struct list *l)
{
	const struct shape *s = NULL;
	for (int i = 0; i < SHAPE_SIGHTINGS && !s; i++)
		s = see(l);
	return s;
}

static void check_shape(const struct shape *s, const struct list *l)
{
	size_t cost = 0;
	ck_assert_uint_eq(s->count, l->n);
	ck_assert(s->id >= SHAPE_ID_MIN && s->id <= SHAPE_ID_MAX);
	ck_assert_uint_eq(listpack_cost_int(s->id), SHAPE_ID_COST);
	ck_assert_ptr_eq(shape_of(s->id), s);
	for (size_t i = 0; i < l->n; i++) {
		ck_assert_int_eq(shape_index(s, l->text[i], strlen(l->text[i])), (int)i);
		ck_assert_int_eq(s->names[i].num, l->names[i].num);
		ck_assert(!s->names[i].str == !l->names[i].str && s->names[i].str != l->text[i] + (l->names[i].str == NULL));
		cost += listpack_cost(l->text[i], strlen(l->text[i]));
	}
	ck_assert_uint_eq(s->cost, cost);
	ck_assert_int_eq(shape_index(s, "none", 4), -1);
	ck_assert_int_eq(shape_index(s, "", 0), -1);
	ck_assert_int_eq(shape_index(s, "0", 1), -1);
}

START_TEST(test_admission)
{
	struct list l, other;
	shape_clear();
	list_make(&l, 1, 5);
	for (int i = 1; i < SHAPE_SIGHTINGS; i++)
		ck_assert_ptr_null(see(&l));
	ck_assert_uint_eq(shape_count(), 0);
	const struct shape *s = see(&l);
	ck_assert_ptr_nonnull(s);
	check_shape(s, &l);
	ck_assert_ptr_eq(see(&l), s);
	ck_assert_uint_eq(shape_count(), 1);
	/* The same names in another order, or fewer of them, are others. */
	other = l;
	other.names[0] = l.names[1];
	other.names[1] = l.names[0];
	ck_assert_ptr_null(see(&other));
	other = l;
	other.n = 4;
	ck_assert_ptr_null(see(&other));
	shape_clear();
}
END_TEST

/* A list that is seen once, or among too many others, does not come in. */
START_TEST(test_made_up_names)
{
	struct list l, rare;
	shape_clear();
	list_make(&rare, 0, 4);
	for (unsigned i = 1; i < 40000; i++) {
		list_make(&l, i, 4);
		ck_assert_ptr_null(see(&l));
		if (i % 5000 == 0)
			ck_assert_ptr_null(see(&rare));
	}
	ck_assert_uint_eq(shape_count(), 0);
	ck_assert_uint_eq(shape_bytes(), 0);
}
END_TEST

/* Two that a thread counts in one place, and that come in turns. */
START_TEST(test_in_turns)
{
	struct list l[2];
	shape_clear();
	for (unsigned k = 0; k < 2; k++)
		list_make(&l[k], k, 4);
	for (int i = 0; i < 3 * SHAPE_SIGHTINGS; i++)
		for (unsigned k = 0; k < 2; k++)
			shape_find(4096 * (k + 1), NULL, l[k].names, l[k].n);
	ck_assert_uint_eq(shape_count(), 2);
	shape_clear();
}
END_TEST

START_TEST(test_bounds)
{
	struct list l, first;
	unsigned made = 0;
	shape_clear();
	list_make(&first, 0, 3);
	for (unsigned kind = 0; kind < SHAPE_MAX + 50; kind++) {
		list_make(&l, kind, 3);
		const struct shape *s = see_often(&l);
		made += s != NULL;
		if (s)
			check_shape(s, &l);
	}
	/* Whichever limit comes first. */
	ck_assert_uint_eq(made, shape_count());
	ck_assert(made == SHAPE_MAX || shape_bytes() > SHAPE_BYTES_MAX - 1000);
	ck_assert_uint_gt(made, 1000);
	ck_assert_uint_le(made, SHAPE_MAX);
	ck_assert_uint_le(shape_bytes(), SHAPE_BYTES_MAX);
	ck_assert_ptr_nonnull(see(&first));
	shape_clear();
	for (unsigned kind = 0; kind < 1000; kind++) {
		list_make(&l, kind, SHAPE_NAMES_MAX);
		see_often(&l);
	}
	ck_assert_uint_le(shape_bytes(), SHAPE_BYTES_MAX);
	ck_assert_uint_gt(shape_count(), 100);
	ck_assert_uint_lt(shape_count(), 1000);
	shape_clear();
	/* Long names. */
	char text[SHAPE_NAME_MAX + 1] = { 0 };
	struct value_item name = value_item_of(text, SHAPE_NAME_MAX);
	ck_assert(shape_name(&name));
	name = value_item_of(text, SHAPE_NAME_MAX + 1);
	ck_assert(!shape_name(&name));
}
END_TEST

/* One field after the other: each shape is the one before and one more, and all together take little more than the last. */
START_TEST(test_chain)
{
	struct list l;
	const struct shape *s = NULL;
	shape_clear();
	list_make(&l, 7, SHAPE_NAMES_MAX);
	for (size_t n = 3; n <= SHAPE_NAMES_MAX; n++) {
		struct list part = l;
		const struct shape *longer = NULL;
		size_t more = s ? 1 : 3;
		part.n = n;
		uint64_t fp = shape_fingerprint(s, &l.names[n - more], more);
		ck_assert_uint_eq(fp, shape_fingerprint(NULL, l.names, n));
		for (int i = 0; i < SHAPE_SIGHTINGS; i++)
			longer = shape_find(fp, s, &l.names[n - more], more);
		ck_assert_ptr_nonnull(longer);
		check_shape(longer, &part);
		ck_assert_ptr_eq(see(&part), longer);
		s = longer;
	}
	ck_assert_uint_eq(shape_count(), SHAPE_NAMES_MAX - 2);
	ck_assert_uint_lt(shape_bytes(), 10000);
	/* Two that go on from the same one. */
	struct list fork = l;
	fork.n = 10;
	fork.names[9] = value_item_of("fork", 4);
	memcpy(fork.text[9], "fork", 5);
	const struct shape *ten = see_often(&fork);
	check_shape(ten, &fork);
	fork.n = 9;
	const struct shape *nine = see(&fork);
	struct value_item last = value_item_of("other", 5);
	for (int i = 0; i < SHAPE_SIGHTINGS; i++)
		ten = shape_find(shape_fingerprint(nine, &last, 1), nine, &last, 1);
	memcpy(fork.text[9], "other", 6);
	fork.n = 10;
	fork.names[9] = last;
	check_shape(ten, &fork);
	fork = l;
	fork.n = 10;
	check_shape(see(&fork), &fork);
	shape_clear();
}
END_TEST

/* Lists that have one fingerprint stay apart. */
START_TEST(test_collision)
{
	struct list l[4];
	const struct shape *s[4];
	shape_clear();
	for (unsigned k = 0; k < 4; k++) {
		list_make(&l[k], k, k == 3 ? 5 : 4);
		for (int i = 0; i < SHAPE_SIGHTINGS; i++)
			s[k] = shape_find(8191, NULL, l[k].names, l[k].n);
		check_shape(s[k], &l[k]);
	}
	for (unsigned k = 0; k < 4; k++)
		ck_assert_ptr_eq(shape_find(8191, NULL, l[k].names, l[k].n), s[k]);
	ck_assert_uint_eq(shape_count(), 4);
	shape_clear();
}
END_TEST

START_TEST(test_out_of_memory)
{
	struct list l;
	shape_clear();
	list_make(&l, 1, 5);
	for (unsigned fail = 1; fail < 3; fail++) {
		for (int i = 1; i < SHAPE_SIGHTINGS; i++)
			ck_assert_ptr_null(see(&l));
		mem_fail_after(fail);
		ck_assert_ptr_null(see(&l));
		mem_fail_after(0);
	}
	ck_assert_uint_eq(shape_bytes(), 0);
	check_shape(see_often(&l), &l);
	shape_clear();
}
END_TEST

/* ------------------------------------------------------------------ threads */

enum { KINDS = 64, THREADS = 4 };
static struct list kinds[KINDS];
static _Atomic(const struct shape *) found[KINDS];

static void *race(void *arg)
{
	struct rng r = { (uint64_t)(uintptr_t)arg };
	for (int i = 0; i < 20000; i++) {
		unsigned k = (unsigned)rng_below(&r, KINDS);
		const struct shape *s = see(&kinds[k]), *none = NULL;
		/* All see the same one. */
		if (s && !atomic_compare_exchange_strong(&found[k], &none, s))
			ck_assert_ptr_eq(none, s);
		if (s)
			ck_assert_int_eq(shape_index(s, kinds[k].text[1], strlen(kinds[k].text[1])), 1);
	}
	return NULL;
}

START_TEST(test_threads)
{
	pthread_t t[THREADS];
	shape_clear();
	for (unsigned k = 0; k < KINDS; k++)
		list_make(&kinds[k], k / 8, 3 + k % 8);
	for (uintptr_t i = 0; i < THREADS; i++)
		ck_assert_int_eq(pthread_create(&t[i], NULL, race, (void *)(i + 1)), 0);
	for (int i = 0; i < THREADS; i++)
		pthread_join(t[i], NULL);
	ck_assert_uint_eq(shape_count(), KINDS);
	for (unsigned k = 0; k < KINDS; k++)
		check_shape(found[k], &kinds[k]);
	shape_clear();
}
END_TEST

/* ------------------------------------------------------------------ hashes */

static size_t field_name(char buf[16], unsigned i)
{
	return (size_t)snprintf(buf, 16, i % 4 == 3 ? "%u" : "field%u", i);
}

static struct value hash_of(unsigned first, unsigned n, const struct value_limits *limits)
{
	struct value v;
	char name[16], val[16];
	ck_assert_int_eq(hash_new(&v), 0);
	for (unsigned i = first; i < first + n; i++) {
		size_t len = field_name(name, i), val_len = (size_t)snprintf(val, sizeof val, i % 2 ? "value %u" : "%u", i);
		ck_assert_int_eq(hash_set(&v, limits, name, len, val, val_len), 1);
	}
	return v;
}

static void hash_free(struct value *v)
{
	hash_type.free(v->encoding, v->ptr);
}

static bool same_item(const struct value_item *a, const struct value_item *b)
{
	if (!a->str || !b->str)
		return !a->str && !b->str && a->num == b->num;
	return a->len == b->len && !memcmp(a->str, b->str, a->len);
}

/* Both hold the same, in the same order, and look the same from outside. */
static void check_same(const struct value *a, const struct value *b)
{
	struct hash_iter i, k;
	struct value_item f, g, v, w;
	bool same = true;
	ck_assert_uint_eq(hash_len(a), hash_len(b));
	if (b->encoding == ENC_LISTPACK) {
		size_t n = hash_pairs_bytes(a);
		uint8_t pairs[4096];
		ck_assert_uint_eq(n, listpack_bytes(b->ptr));
		ck_assert_uint_le(n, sizeof pairs);
		hash_put_pairs(a, pairs);
		ck_assert_mem_eq(pairs, b->ptr, n);
		ck_assert(listpack_validate(a->ptr, listpack_bytes(a->ptr), true));
		hash_begin(&k, b);
		for (hash_begin(&i, a); hash_next(&i, &f, &v);)
			same = same && hash_next(&k, &g, &w) && same_item(&f, &g) && same_item(&v, &w);
		ck_assert(same && !hash_next(&k, &g, &w));
	}
	for (unsigned n = 0; n < 30; n++) {
		char name[16];
		size_t len = field_name(name, n);
		bool has = hash_get(a, name, len, &v);
		same = same && has == hash_get(b, name, len, &w) && (!has || same_item(&v, &w));
	}
	ck_assert(same);
}

struct seen {
	size_t n;
	uint32_t fields;
};

static void see_pair(void *ctx, const struct value_item *field, const struct value_item *val)
{
	struct seen *s = ctx;
	int64_t i = field->num;
	ck_assert(!field->str || number_parse(field->str + 5, field->len - 5, &i));
	ck_assert(val->str || val->num == i);
	ck_assert(!(s->fields & 1u << i));
	s->fields |= 1u << i;
	s->n++;
}

START_TEST(test_share)
{
	struct value v, same = hash_of(0, 6, &plain), copy;
	struct value_item field, val;
	shape_clear();
	for (int i = 0; i <= SHAPE_SIGHTINGS; i++) {
		v = hash_of(0, 6, &sharing);
		hash_share(&v, &plain);
		ck_assert_uint_eq(v.encoding, ENC_LISTPACK);
		hash_share(&v, &sharing);
		ck_assert_int_eq(hash_is_shaped(&v), i >= SHAPE_SIGHTINGS - 1);
		check_same(&v, &same);
		if (i < SHAPE_SIGHTINGS)
			hash_free(&v);
	}
	ck_assert_uint_lt(listpack_bytes(v.ptr), listpack_bytes(same.ptr) - 30);
	struct seen s = { 0 };
	ck_assert_uint_eq(hash_scan(&v, 0, 1, see_pair, &s), 0);
	ck_assert_uint_eq(s.fields, 0x3f);
	s = (struct seen){ 0 };
	ck_assert_int_eq(hash_sample(&v, 4, see_pair, &s), 0);
	ck_assert_uint_eq(s.n, 4);
	unsigned times[6] = { 0 };
	for (int i = 0; i < 6000; i++) {
		s = (struct seen){ 0 };
		hash_random(&v, &field, &val);
		see_pair(&s, &field, &val);
		times[__builtin_ctz(s.fields)]++;
	}
	for (int i = 0; i < 6; i++)
		ck_assert(times[i] > 800 && times[i] < 1200);
	copy = (struct value){ v.encoding, hash_type.dup(v.encoding, v.ptr) };
	check_same(&copy, &same);
	/* What deletes nothing changes nothing; memory that is out, neither. */
	ck_assert_int_eq(hash_delete(&copy, "none", 4), 0);
	ck_assert(hash_is_shaped(&copy));
	mem_fail_after(1);
	ck_assert_int_eq(hash_delete(&copy, "field0", 6), -ENOMEM);
	mem_fail_after(0);
	check_same(&copy, &same);
	ck_assert_int_eq(hash_delete(&copy, "field0", 6), 1);
	ck_assert_int_eq(hash_delete(&same, "field0", 6), 1);
	ck_assert(!hash_is_shaped(&copy));
	check_same(&copy, &same);
	hash_free(&copy);
	hash_free(&same);
	hash_free(&v);
	shape_clear();
}
END_TEST

/* Names and integers in a form that is not ours stay what they are. */
START_TEST(test_foreign_forms)
{
	static const uint8_t text_number[] = { 26, 0, 0, 0, 6, 0, 0x81, '7', 2, 1, 1, 0x81, 'b', 2, 1, 1, 0x81, 'c', 2, 1, 1,
		                               0xff };
	static const uint8_t wide_number[] = { 26, 0, 0, 0, 6, 0, 0xf1, 7, 0, 3, 1, 1, 0x81, 'b', 2, 1, 1, 0x81, 'c', 2, 1,
		                               1, 0xff };
	static const uint8_t wide_length[] = { 26, 0, 0, 0, 6, 0, 0xe0, 1, 'a', 3, 1, 1, 0x81, 'b', 2, 1, 1, 0x81, 'c', 2, 1,
		                               1, 0xff };
	static const struct {
		const uint8_t *bytes;
		size_t len;
	} forms[] = { { text_number, sizeof text_number }, { wide_number, sizeof wide_number },
		      { wide_length, sizeof wide_length } };
	shape_clear();
	for (size_t i = 0; i < 3; i++) {
		uint8_t *lp = listpack_from_bytes(forms[i].bytes, forms[i].len);
		lp[0] = (uint8_t)forms[i].len;
		ck_assert(listpack_validate(lp, forms[i].len, true));
		struct value v = { ENC_LISTPACK, lp };
		for (int k = 0; k <= SHAPE_SIGHTINGS; k++)
			hash_share(&v, &sharing);
		ck_assert_uint_eq(v.encoding, ENC_LISTPACK);
		hash_free(&v);
	}
	ck_assert_uint_eq(shape_count(), 0);
}
END_TEST

/* What the commands do with one pair where the hash stands in its entry: see append_pair() of commands/hash.c. */
static bool append(struct value *v, const char *name, size_t len, const char *val, size_t val_len)
{
	struct hash_append how;
	if (!hash_appends(v, &sharing, value_item_of(name, len), value_item_of(val, val_len), &how))
		return false;
	uint8_t *lp = v->ptr;
	ck_assert_int_eq(listpack_append_items(&lp, how.items, how.n), 0);
	v->ptr = lp;
	hash_appended(v, &how);
	return true;
}

static void set_one(struct value *v, const char *name, size_t len, const char *val, size_t val_len)
{
	if (hash_replace_same(v, &sharing, name, len, val, val_len) || append(v, name, len, val, val_len))
		return;
	bool shares = !hash_is_shaped(v) && hash_len(v) < SHAPE_NAMES_MIN;
	ck_assert_int_ge(hash_set(v, &sharing, name, len, val, val_len), 0);
	if (shares)
		hash_share(v, &sharing);
}

/* Fields 0 to n - 1 get other values at once; *records counts where that went in one piece. */
static void set_all(struct value *v, struct value *twin, unsigned n, struct rng *r, size_t *records)
{
	char names[8][16], vals[8][16];
	struct value_item pairs[16];
	size_t bytes = encoding_is_listpack(v->encoding) ? listpack_bytes(v->ptr) : 0;
	bool lent = rng_below(r, 2);
	for (unsigned i = 0; i < n; i++) {
		pairs[2 * i] = value_item_of(names[i], field_name(names[i], i));
		size_t len = (size_t)snprintf(vals[i], sizeof vals[i], rng_below(r, 2) ? "%u" : "v%u", (unsigned)rng_below(r, 1000));
		pairs[2 * i + 1] = value_item_of(vals[i], len);
		ck_assert_int_ge(hash_set(twin, &plain, names[i], pairs[2 * i].len, vals[i], len), 0);
	}
	if (hash_set_record(v, &sharing, pairs, n, lent)) {
		ck_assert(hash_is_shaped(v) && (!lent || listpack_bytes(v->ptr) == bytes));
		++*records;
		return;
	}
	for (unsigned i = 0; i < n; i++)
		ck_assert_int_ge(hash_set(v, &sharing, pairs[2 * i].str, pairs[2 * i].len, pairs[2 * i + 1].str, pairs[2 * i + 1].len), 0);
}

/* Many hashes whose fields come mostly in the same order, each beside one that shares nothing. */
START_TEST(test_model)
{
	enum { HASHES = 40 };
	struct value v[HASHES], twin[HASHES];
	struct rng r;
	size_t shaped = 0, records = 0;
	rng_init(&r, "shape model");
	shape_clear();
	for (int i = 0; i < HASHES; i++) {
		v[i] = hash_of(0, 1, &sharing);
		twin[i] = hash_of(0, 1, &plain);
	}
	for (int round = 0; round < 40000; round++) {
		unsigned i = (unsigned)rng_below(&r, HASHES), what = (unsigned)rng_below(&r, 100);
		char name[16], val[80];
		unsigned next = (unsigned)hash_len(&v[i]);
		size_t len = field_name(name, what < 60 ? next : (unsigned)rng_below(&r, 24)), val_len = rng_below(&r, 20);
		memset(val, 'v', sizeof val);
		if (rng_below(&r, 3) == 0)
			val_len = (size_t)snprintf(val, sizeof val, "%d", (int)rng_below(&r, 100000));
		if (what < 10) {
			size_t n = hash_len(&v[i]);
			set_all(&v[i], &twin[i], n && n <= 8 ? (unsigned)n : 8, &r, &records);
		} else if (what < 80) {
			set_one(&v[i], name, len, val, val_len);
			ck_assert_int_ge(hash_set(&twin[i], &plain, name, len, val, val_len), 0);
		} else if (what < 83) {
			ck_assert_int_eq(hash_delete(&v[i], name, len), hash_delete(&twin[i], name, len));
		} else if (what < 86) { /* a table now and then */
			size_t big = rng_below(&r, 4) ? 40 : 70;
			ck_assert_int_ge(hash_set(&v[i], &sharing, name, len, val, big), 0);
			ck_assert_int_ge(hash_set(&twin[i], &plain, name, len, val, big), 0);
		} else if (what < 90) {
			unsigned to = (unsigned)rng_below(&r, HASHES);
			if (to != i) {
				hash_free(&v[to]);
				hash_free(&twin[to]);
				v[to] = (struct value){ v[i].encoding, hash_type.dup(v[i].encoding, v[i].ptr) };
				twin[to] = (struct value){ twin[i].encoding, hash_type.dup(twin[i].encoding, twin[i].ptr) };
			}
		} else {
			unsigned n = 1 + (unsigned)rng_below(&r, 8);
			hash_free(&v[i]);
			hash_free(&twin[i]);
			v[i] = hash_of(0, what < 95 ? n : 0, &sharing);
			twin[i] = hash_of(0, what < 95 ? n : 0, &plain);
			if (what >= 95)
				set_all(&v[i], &twin[i], n, &r, &records);
			hash_share(&v[i], &sharing);
		}
		ck_assert(encoding_is_listpack(v[i].encoding) == encoding_is_listpack(twin[i].encoding));
		check_same(&v[i], &twin[i]);
		shaped += hash_is_shaped(&v[i]);
	}
	ck_assert_uint_gt(shaped, 10000);
	ck_assert_uint_gt(shape_count(), 10);
	ck_assert_uint_gt(records, 500);
	for (int i = 0; i < HASHES; i++) {
		hash_free(&v[i]);
		hash_free(&twin[i]);
	}
	shape_clear();
}
END_TEST

int main(void)
{
	Suite *s = suite_create("shape");
	TCase *tc = tcase_create("shapes");
	tcase_add_test(tc, test_admission);
	tcase_add_test(tc, test_made_up_names);
	tcase_add_test(tc, test_in_turns);
	tcase_add_test(tc, test_bounds);
	tcase_add_test(tc, test_chain);
	tcase_add_test(tc, test_collision);
	tcase_add_test(tc, test_out_of_memory);
	tcase_add_test(tc, test_threads);
	tcase_add_test(tc, test_share);
	tcase_add_test(tc, test_foreign_forms);
	tcase_add_test(tc, test_model);
	suite_add_tcase(s, tc);
	return suite_run(s);
}
