#include <check.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "store/impl/idmap.h"
#include "store/memory.h"
#include "tests/lib/rng.h"
#include "tests/lib/suite.h"

/* The model: a sorted array of ids; the value of an id is a number kept with it. */
struct pair {
	struct idmap_id id;
	void *value;
};

static struct pair *model;
static size_t model_n, model_cap;

static size_t model_find(struct idmap_id id)
{
	size_t lo = 0, hi = model_n;
	while (lo < hi) {
		size_t mid = (lo + hi) / 2;
		if (idmap_compare(model[mid].id, id) < 0)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

static void model_put(size_t at, struct pair p)
{
	if (model_n == model_cap)
		model = realloc(model, (model_cap = model_cap ? model_cap * 2 : 64) * sizeof *model);
	memmove(model + at + 1, model + at, (model_n++ - at) * sizeof *model);
	model[at] = p;
}

static bool pos_is(const struct idmap_pos *pos, size_t i)
{
	return !idmap_compare(idmap_id(pos), model[i].id) && idmap_value(pos) == model[i].value;
}

static void check_same(const struct idmap *m)
{
	struct idmap_pos pos;
	size_t i = 0;
	ck_assert(idmap_check(m));
	ck_assert_uint_eq(idmap_count(m), model_n);
	for (bool more = idmap_first(m, &pos); more; more = idmap_next(&pos), i++)
		if (i >= model_n || !pos_is(&pos, i))
			ck_abort_msg("entry %zu", i);
	ck_assert_uint_eq(i, model_n);
	for (bool more = idmap_last(m, &pos); more; more = idmap_prev(&pos))
		if (!i-- || !pos_is(&pos, i))
			ck_abort_msg("entry %zu backwards", i);
	ck_assert_uint_eq(i, 0);
}

static struct idmap_id random_id(struct rng *r, int kind)
{
	static uint64_t clock;
	switch (kind) {
	case 0: /* nearly ascending, as streams go */
		clock += rng_below(r, 3);
		return (struct idmap_id){clock - (clock > 5 ? rng_below(r, 5) : 0), rng_below(r, 3)};
	case 1:
		return (struct idmap_id){rng_next(r), rng_next(r)};
	}
	return (struct idmap_id){rng_below(r, 4) ? rng_below(r, 10) : UINT64_MAX, rng_below(r, 400)};
}

static void check_seek(const struct idmap *m, struct idmap_id id)
{
	struct idmap_pos pos;
	size_t i = model_find(id);
	bool there = i < model_n && !idmap_compare(model[i].id, id);
	ck_assert(idmap_seek_ge(m, id, &pos) == (i < model_n));
	if (i < model_n)
		ck_assert(pos_is(&pos, i));
	ck_assert(idmap_seek_le(m, id, &pos) == (there || i > 0));
	if (there || i > 0)
		ck_assert(pos_is(&pos, there ? i : i - 1));
	ck_assert_ptr_eq(idmap_find(m, id), there ? model[i].value : NULL);
}

/* Loops: three kinds of ids, without and with failing allocations. */
START_TEST(test_random_ops)
{
	struct rng r;
	rng_init(&r, "idmap random");
	struct idmap *m = idmap_new();
	uintptr_t serial = 0;
	for (int i = 0; i < 12000; i++) {
		struct idmap_id id = random_id(&r, _i % 3);
		bool growing = i / 2000 % 2 == 0, there;
		unsigned op = (unsigned)rng_below(&r, 10);
		if (op >= (growing ? 7u : 3u) && model_n && rng_below(&r, 2))
			id = model[_i % 3 == 0 && rng_below(&r, 4) ? 0 : rng_below(&r, model_n)].id;
		size_t at = model_find(id);
		there = at < model_n && !idmap_compare(model[at].id, id);
		if (op < (growing ? 7u : 3u)) {
			void *value = (void *)++serial;
			mem_fail_after(_i >= 3 && rng_below(&r, 2) ? 1 + rng_below(&r, 3) : 0);
			int err = idmap_insert(m, id, value);
			mem_fail_after(0);
			ck_assert(err == (there ? -EEXIST : 0) || (_i >= 3 && err == -ENOMEM));
			if (!err)
				model_put(at, (struct pair){id, value});
		} else if (op == 9 && there) {
			void *value = (void *)++serial;
			ck_assert_ptr_eq(idmap_replace(m, id, value), model[at].value);
			model[at].value = value;
		} else {
			ck_assert_ptr_eq(idmap_remove(m, id), there ? model[at].value : NULL);
			ck_assert_ptr_null(idmap_replace(m, id, m));
			if (there)
				memmove(model + at, model + at + 1, (--model_n - at) * sizeof *model);
		}
		check_seek(m, random_id(&r, _i % 3));
		check_seek(m, id);
		if (i % 500 == 0 || model_n < 3)
			check_same(m);
	}
	while (model_n) {
		ck_assert_ptr_eq(idmap_remove(m, model[0].id), model[0].value);
		memmove(model, model + 1, --model_n * sizeof *model);
		ck_assert(model_n % 64 || idmap_check(m));
	}
	check_same(m);
	idmap_free(m, NULL);
	free(model);
}
END_TEST

START_TEST(test_memory)
{
	struct idmap *m = idmap_new();
	struct idmap_pos pos;
	ck_assert(!idmap_first(m, &pos) && !idmap_last(m, &pos));
	ck_assert(!idmap_seek_ge(m, (struct idmap_id){0, 0}, &pos) && !idmap_seek_le(m, (struct idmap_id){0, 0}, &pos));
	size_t used = mem_used();
	for (uintptr_t i = 1; i <= 100000; i++) {
		ck_assert_int_eq(idmap_insert(m, (struct idmap_id){1700000000000 + i / 3, i % 3}, (void *)i), 0);
		if (i == 1)
			ck_assert_uint_le(idmap_bytes(m), 64 + 48);
	}
	ck_assert_uint_le(idmap_bytes(m), 100000 * 26);
	ck_assert_uint_le(mem_used() - used, 100000 * 26);
	ck_assert(idmap_check(m));
	idmap_free(m, NULL);
	idmap_free(NULL, NULL);
}
END_TEST

START_TEST(test_values_freed)
{
	struct idmap *m = idmap_new();
	for (uint64_t i = 0; i < 1000; i++)
		ck_assert_int_eq(idmap_insert(m, (struct idmap_id){i * 7919 % 1000, 1}, malloc(8)), 0);
	idmap_free(m, free); /* the leak checker watches */
}
END_TEST

START_TEST(test_bytes)
{
	uint8_t b[16];
	struct idmap_id id = {0x0102030405060708u, 0x090a0b0c0d0e0f10u};
	idmap_id_encode(id, b);
	for (int i = 0; i < 16; i++)
		ck_assert_int_eq(b[i], i + 1);
	ck_assert_int_eq(idmap_compare(idmap_id_decode(b), id), 0);
}
END_TEST

START_TEST(test_alloc_failure)
{
	mem_fail_after(1);
	ck_assert_ptr_null(idmap_new());
	struct idmap *m = idmap_new();
	for (uint64_t i = 0; i < 5000; i++) {
		struct idmap_id id = {i * 31 % 5000, 0};
		for (unsigned n = 1;; n++) {
			mem_fail_after(n);
			int err = idmap_insert(m, id, m);
			mem_fail_after(0);
			if (!err)
				break;
			ck_assert_int_eq(err, -ENOMEM);
			ck_assert_ptr_null(idmap_find(m, id));
		}
	}
	ck_assert(idmap_check(m) && idmap_count(m) == 5000);
	idmap_free(m, NULL);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("idmap");
	TCase *tc = tcase_create("idmap");
	tcase_set_timeout(tc, 240);
	tcase_add_loop_test(tc, test_random_ops, 0, 6);
	tcase_add_test(tc, test_memory);
	tcase_add_test(tc, test_values_freed);
	tcase_add_test(tc, test_bytes);
	tcase_add_test(tc, test_alloc_failure);
	suite_add_tcase(suite, tc);
	return suite_run(suite);
}
