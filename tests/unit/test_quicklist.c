#include <check.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "store/impl/quicklist.h"
#include "store/memory.h"
#include "tests/lib/list_model.h"
#include "tests/lib/rng.h"
#include "tests/lib/suite.h"

static bool same_item(const struct listpack_item *item, const struct text *t)
{
	char buf[NUMBER_MAX];
	if (item->str)
		return item->len == t->len && !memcmp(item->str, t->s, t->len);
	return number_print(buf, item->num) == t->len && !memcmp(buf, t->s, t->len);
}

struct visited {
	size_t nodes, count;
	bool ok;
};

static int visit_node(void *ctx, bool plain, const uint8_t *bytes, size_t len)
{
	struct visited *v = ctx;
	v->nodes++;
	v->count += plain ? 1 : listpack_count(bytes);
	v->ok &= plain || (listpack_validate(bytes, len, true) && listpack_count(bytes) > 0);
	return 0;
}

static void check_same(struct quicklist *ql, const struct model *m)
{
	struct quicklist_iter it;
	struct listpack_item item;
	size_t i = 0;
	struct visited v = {.ok = true};
	ck_assert_uint_eq(quicklist_count(ql), m->n);
	ck_assert_int_eq(quicklist_visit_nodes(ql, visit_node, &v), 0);
	ck_assert(v.ok && v.count == m->n && v.nodes == quicklist_nodes(ql));
	ck_assert_int_eq(quicklist_iter_init(&it, ql, 0, false), m->n > 0);
	for (; quicklist_iter_next(&it, &item) > 0; i++)
		if (i >= m->n || it.index != i || !same_item(&item, &m->t[i]))
			ck_abort_msg("element %zu", i);
	quicklist_iter_clear(&it);
	ck_assert_uint_eq(i, m->n);
	quicklist_iter_init(&it, ql, -1, true);
	for (; quicklist_iter_next(&it, &item) > 0;)
		if (!i-- || it.index != i || !same_item(&item, &m->t[i]))
			ck_abort_msg("element %zu backwards", i);
	quicklist_iter_clear(&it);
	ck_assert_uint_eq(i, 0);
	for (int end = 0; end < 2; end++)
		if (quicklist_peek(ql, end, &item) > 0)
			ck_assert(same_item(&item, &m->t[end ? m->n - 1 : 0]));
}

static size_t random_text(struct rng *r, char *buf)
{
	static const size_t lens[] = {0, 3, 20, 63, 64, 200, 1000, 4000, 4090, 4096, 4100, 8180, 8190, 8193, 9000};
	if (!rng_below(r, 3))
		return number_print(buf, (int64_t)(rng_next(r) >> rng_below(r, 64)));
	size_t len = lens[rng_below(r, rng_below(r, 12) ? 6 : 15)];
	bool noisy = rng_below(r, 2);
	for (size_t i = 0; i < len; i++)
		buf[i] = noisy ? (char)rng_next(r) : (char)('a' + i % 3);
	return len;
}

struct run {
	struct rng r;
	struct quicklist *ql;
	struct model m;
	bool fail;
};

static void arm(struct run *x)
{
	mem_fail_after(x->fail && rng_below(&x->r, 2) ? 1 + rng_below(&x->r, 4) : 0);
}

static void end_op(struct run *x)
{
	char s[10000];
	size_t len = random_text(&x->r, s);
	bool tail = rng_below(&x->r, 2);
	if (rng_below(&x->r, 5) < 3 || !x->m.n) {
		arm(x);
		int err = quicklist_push(x->ql, tail, s, len);
		mem_fail_after(0);
		ck_assert(!err || (x->fail && err == -ENOMEM));
		if (!err)
			model_insert(&x->m, tail ? x->m.n : 0, s, len);
		return;
	}
	if (rng_below(&x->r, 3)) {
		struct listpack_item item;
		ck_assert_int_eq(quicklist_peek(x->ql, tail, &item), 1);
		ck_assert(same_item(&item, &x->m.t[tail ? x->m.n - 1 : 0]));
		arm(x);
		quicklist_drop(x->ql, tail);
		mem_fail_after(0);
		model_delete(&x->m, tail ? x->m.n - 1 : 0, 1);
		return;
	}
	arm(x);
	int err = quicklist_rotate(x->ql, tail);
	mem_fail_after(0);
	ck_assert(!err || (x->fail && err == -ENOMEM));
	if (!err) {
		struct text t = x->m.t[tail ? 0 : x->m.n - 1];
		model_insert(&x->m, tail ? x->m.n : 0, t.s, t.len);
		model_delete(&x->m, tail ? 0 : x->m.n - 1, 1);
	}
}

static void middle_op(struct run *x)
{
	char s[10000];
	size_t len = random_text(&x->r, s), at = rng_below(&x->r, x->m.n);
	struct quicklist_iter it;
	struct listpack_item item;
	bool after = rng_below(&x->r, 2), replace = rng_below(&x->r, 3) == 0;
	int64_t index = rng_below(&x->r, 2) ? (int64_t)at : (int64_t)at - (int64_t)x->m.n;
	arm(x);
	int err = quicklist_iter_init(&it, x->ql, index, rng_below(&x->r, 2));
	if (err > 0)
		err = quicklist_iter_next(&it, &item);
	if (err > 0) {
		ck_assert(it.index == at && same_item(&item, &x->m.t[at]));
		ck_assert(quicklist_iter_equal(&it, x->m.t[at].s, x->m.t[at].len));
		err = replace ? quicklist_iter_replace(&it, s, len) : quicklist_iter_insert(&it, after, s, len);
		if (!err) {
			if (replace)
				model_delete(&x->m, at, 1);
			model_insert(&x->m, at + (!replace && after), s, len);
		}
	}
	mem_fail_after(0);
	ck_assert(!err || (x->fail && err == -ENOMEM));
	quicklist_iter_clear(&it);
}

/* Walk from somewhere and delete some of what is met, as LREM does. */
static void delete_walk(struct run *x)
{
	struct quicklist_iter it;
	struct listpack_item item;
	bool backward = rng_below(&x->r, 2);
	size_t at = rng_below(&x->r, x->m.n), steps = rng_below(&x->r, 200), rate = 1 + rng_below(&x->r, 5);
	quicklist_iter_init(&it, x->ql, (int64_t)at, backward);
	while (steps--) {
		arm(x);
		int res = quicklist_iter_next(&it, &item);
		mem_fail_after(0);
		if (res < 0) {
			ck_assert(x->fail && res == -ENOMEM);
			res = quicklist_iter_next(&it, &item);
		}
		if (!res) {
			ck_assert(backward ? at == SIZE_MAX : at == x->m.n);
			break;
		}
		ck_assert_int_eq(res, 1);
		ck_assert(it.index == at && same_item(&item, &x->m.t[at]));
		if (rng_below(&x->r, rate) == 0) {
			arm(x);
			quicklist_iter_delete(&it);
			mem_fail_after(0);
			model_delete(&x->m, at, 1);
			at -= backward;
		} else {
			at += backward ? (size_t)-1 : 1;
		}
	}
	quicklist_iter_clear(&it);
}

static void range_op(struct run *x)
{
	size_t at = rng_below(&x->r, x->m.n + 1), n = rng_below(&x->r, rng_below(&x->r, 4) ? 30 : x->m.n + 5);
	int64_t index = at < x->m.n && rng_below(&x->r, 2) ? (int64_t)at - (int64_t)x->m.n : (int64_t)at;
	size_t want = n < x->m.n - at ? n : x->m.n - at;
	arm(x);
	int64_t got = quicklist_delete_range(x->ql, index, n);
	mem_fail_after(0);
	ck_assert(got == (int64_t)want || (x->fail && got == -ENOMEM));
	if (got > 0)
		model_delete(&x->m, at, want);
}

static const struct {
	int fill;
	unsigned depth;
	size_t threshold;
} configs[] = {{-2, 0, 0}, {-1, 1, 0}, {3, 0, 0}, {5, 2, 0}, {128, 1, 0}, {-5, 3, 0}, {1, 1, 0}, {-2, 0, 100}, {-2, 1, 1}, {0, 0, 0}};
enum { CONFIGS = sizeof configs / sizeof *configs };

START_TEST(test_random_ops)
{
	int c = _i % CONFIGS;
	struct run x = {.fail = _i >= CONFIGS};
	rng_init(&x.r, "quicklist random");
	x.ql = quicklist_new(configs[c].fill, configs[c].depth);
	quicklist_set_plain_threshold(configs[c].threshold);
	for (int i = 0; i < 6000; i++) {
		unsigned op = (unsigned)rng_below(&x.r, 100);
		if (op < 70 || !x.m.n)
			end_op(&x);
		else if (op < 94)
			middle_op(&x);
		else if (op < 98)
			delete_walk(&x);
		else
			range_op(&x);
		if (i % 20 == 0 || x.m.n < 4)
			check_same(x.ql, &x.m);
		if (i % 1000 == 0) {
			struct quicklist *copy = quicklist_dup(x.ql);
			check_same(copy, &x.m);
			quicklist_free(x.ql);
			x.ql = copy;
		}
	}
	check_same(x.ql, &x.m);
	ck_assert_int_eq(quicklist_delete_range(x.ql, 0, SIZE_MAX), (int64_t)x.m.n);
	ck_assert_uint_eq(quicklist_nodes(x.ql), 0);
	quicklist_free(x.ql);
	model_clear(&x.m);
}
END_TEST

START_TEST(test_queue_memory)
{
	struct quicklist *ql = quicklist_new(-2, 0);
	for (int way = 0; way < 4; way++) {
		char s[32];
		for (int i = 0; i < 100000; i++) {
			size_t n = (size_t)snprintf(s, sizeof s, "element:%08d", i);
			ck_assert_int_eq(quicklist_push(ql, way & 1, s, n), 0);
		}
		/* 16 bytes of text, 2 of listpack, a little for nodes. */
		ck_assert_uint_lt(quicklist_bytes(ql), 100000 * 18 * 107 / 100);
		struct listpack_item item;
		for (int i = 0; i < 100000; i++) {
			ck_assert_int_eq(quicklist_peek(ql, way & 2, &item), 1);
			bool queue = !(way & 1) == !!(way & 2);
			snprintf(s, sizeof s, "element:%08d", queue ? i : 99999 - i);
			ck_assert(item.len == 16 && !memcmp(item.str, s, 16));
			quicklist_drop(ql, way & 2);
		}
		ck_assert_int_eq(quicklist_peek(ql, false, &item), 0);
		ck_assert_uint_lt(quicklist_bytes(ql), 100);
	}
	quicklist_free(ql);
}
END_TEST

START_TEST(test_compression_saves)
{
	struct quicklist *plain = quicklist_new(-2, 0), *packed = quicklist_new(-2, 1);
	char s[64];
	for (int i = 0; i < 20000; i++) {
		size_t n = (size_t)snprintf(s, sizeof s, "some text that repeats itself %d", i);
		quicklist_push(plain, true, s, n);
		quicklist_push(packed, true, s, n);
	}
	ck_assert_uint_lt(quicklist_bytes(packed) * 2, quicklist_bytes(plain));
	quicklist_free(plain);
	quicklist_free(packed);
}
END_TEST

START_TEST(test_whole_nodes)
{
	struct quicklist *ql = quicklist_new(-2, 0);
	struct model m = {0};
	uint8_t *lp = quicklist_take_listpack(ql);
	ck_assert_uint_eq(listpack_count(lp), 0);
	listpack_append(&lp, "a", 1);
	listpack_append(&lp, "22", 2);
	uint8_t *copy = listpack_dup(lp);
	mem_fail_after(1);
	ck_assert_int_eq(quicklist_append_listpack(ql, lp), -ENOMEM);
	mem_fail_after(0);
	ck_assert_int_eq(quicklist_append_listpack(ql, lp), 0);
	model_insert(&m, 0, "a", 1);
	model_insert(&m, 1, "22", 2);
	check_same(ql, &m);
	uint8_t *out = quicklist_take_listpack(ql);
	ck_assert_mem_eq(out, copy, listpack_bytes(copy));
	ck_assert_uint_eq(quicklist_count(ql), 0);
	listpack_free(copy);
	ck_assert_int_eq(quicklist_append_listpack(ql, out), 0);
	uint8_t *bytes = mem_alloc(3);
	memcpy(bytes, "xyz", 3);
	mem_fail_after(1);
	ck_assert_int_eq(quicklist_append_plain(ql, bytes, 3), -ENOMEM);
	mem_fail_after(0);
	ck_assert_int_eq(quicklist_append_plain(ql, bytes, 3), 0);
	model_insert(&m, 2, "xyz", 3);
	check_same(ql, &m);
	ck_assert_ptr_null(quicklist_take_listpack(ql));
	struct quicklist_iter it;
	struct listpack_item item;
	ck_assert_int_eq(quicklist_iter_init(&it, ql, 3, false), 0);
	ck_assert_int_eq(quicklist_iter_next(&it, &item), 0);
	quicklist_iter_clear(&it);
	ck_assert_int_eq(quicklist_iter_init(&it, ql, -4, false), 0);
	quicklist_iter_clear(&it);
	ck_assert_int_eq(quicklist_delete_range(ql, 3, 1), 0);
	quicklist_free(ql);
	quicklist_free(NULL);
	model_clear(&m);
}
END_TEST

START_TEST(test_alloc_failure)
{
	mem_fail_after(1);
	ck_assert_ptr_null(quicklist_new(-2, 0));
	struct quicklist *ql = quicklist_new(-2, 0);
	for (unsigned i = 1; i <= 2; i++) {
		mem_fail_after(i);
		ck_assert_int_eq(quicklist_push(ql, true, "x", 1), -ENOMEM);
	}
	mem_fail_after(0);
	ck_assert_uint_eq(quicklist_nodes(ql), 0);
	quicklist_push(ql, true, "x", 1);
	for (unsigned i = 1; i <= 3; i++) {
		mem_fail_after(i);
		ck_assert_ptr_null(quicklist_dup(ql));
	}
	mem_fail_after(0);
	ck_assert_int_eq(quicklist_push(ql, true, "x", SIZE_MAX), -EFBIG);
	quicklist_free(ql);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("quicklist");
	TCase *tc = tcase_create("quicklist");
	tcase_set_timeout(tc, 240);
	tcase_add_loop_test(tc, test_random_ops, 0, 2 * CONFIGS);
	tcase_add_test(tc, test_queue_memory);
	tcase_add_test(tc, test_compression_saves);
	tcase_add_test(tc, test_whole_nodes);
	tcase_add_test(tc, test_alloc_failure);
	suite_add_tcase(suite, tc);
	return suite_run(suite);
}
