#include <check.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "store/impl/listpack.h"
#include "store/memory.h"
#include "tests/lib/list_model.h"
#include "tests/lib/rng.h"
#include "tests/lib/suite.h"

/* What redis-server 7.0.15 wrote for the texts below (DUMP of a list, its listpack). */
static const uint8_t redis_bytes[] = {
	0xb7, 0x02, 0x00, 0x00, 0x41, 0x00, 0xdf, 0xff, 0x02, 0xdf, 0xfd, 0x02, 0x00, 0x01, 0xdf, 0xfe, 0x02, 0x01, 0x01, 0x02,
	0x01, 0x7e, 0x01, 0xdf, 0x7e, 0x02, 0x7f, 0x01, 0xdf, 0x7f, 0x02, 0xc0, 0x80, 0x02, 0xdf, 0x80, 0x02, 0xc0, 0x81, 0x02,
	0xdf, 0x81, 0x02, 0xcf, 0xfe, 0x02, 0xf1, 0xfe, 0xef, 0x03, 0xcf, 0xff, 0x02, 0xf1, 0xff, 0xef, 0x03, 0xf1, 0x00, 0x10,
	0x03, 0xd0, 0x00, 0x02, 0xf1, 0x01, 0x10, 0x03, 0xd0, 0x01, 0x02, 0xf1, 0xfe, 0x7f, 0x03, 0xf2, 0xfe, 0x7f, 0xff, 0x04,
	0xf1, 0xff, 0x7f, 0x03, 0xf2, 0xff, 0x7f, 0xff, 0x04, 0xf2, 0x00, 0x80, 0x00, 0x04, 0xf1, 0x00, 0x80, 0x03, 0xf2, 0x01,
	0x80, 0x00, 0x04, 0xf1, 0x01, 0x80, 0x03, 0xf2, 0xfe, 0xff, 0x7f, 0x04, 0xf3, 0xfe, 0xff, 0x7f, 0xff, 0x05, 0xf2, 0xff,
	0xff, 0x7f, 0x04, 0xf3, 0xff, 0xff, 0x7f, 0xff, 0x05, 0xf3, 0x00, 0x00, 0x80, 0x00, 0x05, 0xf2, 0x00, 0x00, 0x80, 0x04,
	0xf3, 0x01, 0x00, 0x80, 0x00, 0x05, 0xf2, 0x01, 0x00, 0x80, 0x04, 0xf3, 0xfe, 0xff, 0xff, 0x7f, 0x05, 0xf4, 0xfe, 0xff,
	0xff, 0x7f, 0xff, 0xff, 0xff, 0xff, 0x09, 0xf3, 0xff, 0xff, 0xff, 0x7f, 0x05, 0xf4, 0xff, 0xff, 0xff, 0x7f, 0xff, 0xff,
	0xff, 0xff, 0x09, 0xf4, 0x00, 0x00, 0x00, 0x80, 0x00, 0x00, 0x00, 0x00, 0x09, 0xf3, 0x00, 0x00, 0x00, 0x80, 0x05, 0xf4,
	0x01, 0x00, 0x00, 0x80, 0x00, 0x00, 0x00, 0x00, 0x09, 0xf3, 0x01, 0x00, 0x00, 0x80, 0x05, 0xf4, 0xfe, 0xff, 0xff, 0xff,
	0xff, 0xff, 0xff, 0x7f, 0x09, 0xf4, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f, 0x09, 0xf4, 0x00, 0x00, 0x00, 0x00,
	0x00, 0x00, 0x00, 0x80, 0x09, 0xf4, 0x01, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x80, 0x09, 0x80, 0x01, 0x81, 0x61, 0x02,
	0x81, 0x2d, 0x02, 0x82, 0x2d, 0x30, 0x03, 0x82, 0x30, 0x31, 0x03, 0x82, 0x2b, 0x31, 0x03, 0x82, 0x31, 0x20, 0x03, 0x93,
	0x39, 0x32, 0x32, 0x33, 0x33, 0x37, 0x32, 0x30, 0x33, 0x36, 0x38, 0x35, 0x34, 0x37, 0x37, 0x35, 0x38, 0x30, 0x38, 0x14,
	0x94, 0x2d, 0x39, 0x32, 0x32, 0x33, 0x33, 0x37, 0x32, 0x30, 0x33, 0x36, 0x38, 0x35, 0x34, 0x37, 0x37, 0x35, 0x38, 0x30,
	0x39, 0x15, 0x94, 0x31, 0x38, 0x34, 0x34, 0x36, 0x37, 0x34, 0x34, 0x30, 0x37, 0x33, 0x37, 0x30, 0x39, 0x35, 0x35, 0x31,
	0x36, 0x31, 0x36, 0x15, 0xbe, 0x78, 0x78, 0x78, 0x78, 0x78, 0x78, 0x78, 0x78, 0x78, 0x78, 0x78, 0x78, 0x78, 0x78, 0x78,
	0x78, 0x78, 0x78, 0x78, 0x78, 0x78, 0x78, 0x78, 0x78, 0x78, 0x78, 0x78, 0x78, 0x78, 0x78, 0x78, 0x78, 0x78, 0x78, 0x78,
	0x78, 0x78, 0x78, 0x78, 0x78, 0x78, 0x78, 0x78, 0x78, 0x78, 0x78, 0x78, 0x78, 0x78, 0x78, 0x78, 0x78, 0x78, 0x78, 0x78,
	0x78, 0x78, 0x78, 0x78, 0x78, 0x78, 0x78, 0x3f, 0xbf, 0x79, 0x79, 0x79, 0x79, 0x79, 0x79, 0x79, 0x79, 0x79, 0x79, 0x79,
	0x79, 0x79, 0x79, 0x79, 0x79, 0x79, 0x79, 0x79, 0x79, 0x79, 0x79, 0x79, 0x79, 0x79, 0x79, 0x79, 0x79, 0x79, 0x79, 0x79,
	0x79, 0x79, 0x79, 0x79, 0x79, 0x79, 0x79, 0x79, 0x79, 0x79, 0x79, 0x79, 0x79, 0x79, 0x79, 0x79, 0x79, 0x79, 0x79, 0x79,
	0x79, 0x79, 0x79, 0x79, 0x79, 0x79, 0x79, 0x79, 0x79, 0x79, 0x79, 0x79, 0x40, 0xe0, 0x40, 0x7a, 0x7a, 0x7a, 0x7a, 0x7a,
	0x7a, 0x7a, 0x7a, 0x7a, 0x7a, 0x7a, 0x7a, 0x7a, 0x7a, 0x7a, 0x7a, 0x7a, 0x7a, 0x7a, 0x7a, 0x7a, 0x7a, 0x7a, 0x7a, 0x7a,
	0x7a, 0x7a, 0x7a, 0x7a, 0x7a, 0x7a, 0x7a, 0x7a, 0x7a, 0x7a, 0x7a, 0x7a, 0x7a, 0x7a, 0x7a, 0x7a, 0x7a, 0x7a, 0x7a, 0x7a,
	0x7a, 0x7a, 0x7a, 0x7a, 0x7a, 0x7a, 0x7a, 0x7a, 0x7a, 0x7a, 0x7a, 0x7a, 0x7a, 0x7a, 0x7a, 0x7a, 0x7a, 0x7a, 0x7a, 0x42,
	0xe0, 0x7f, 0x77, 0x77, 0x77, 0x77, 0x77, 0x77, 0x77, 0x77, 0x77, 0x77, 0x77, 0x77, 0x77, 0x77, 0x77, 0x77, 0x77, 0x77,
	0x77, 0x77, 0x77, 0x77, 0x77, 0x77, 0x77, 0x77, 0x77, 0x77, 0x77, 0x77, 0x77, 0x77, 0x77, 0x77, 0x77, 0x77, 0x77, 0x77,
	0x77, 0x77, 0x77, 0x77, 0x77, 0x77, 0x77, 0x77, 0x77, 0x77, 0x77, 0x77, 0x77, 0x77, 0x77, 0x77, 0x77, 0x77, 0x77, 0x77,
	0x77, 0x77, 0x77, 0x77, 0x77, 0x77, 0x77, 0x77, 0x77, 0x77, 0x77, 0x77, 0x77, 0x77, 0x77, 0x77, 0x77, 0x77, 0x77, 0x77,
	0x77, 0x77, 0x77, 0x77, 0x77, 0x77, 0x77, 0x77, 0x77, 0x77, 0x77, 0x77, 0x77, 0x77, 0x77, 0x77, 0x77, 0x77, 0x77, 0x77,
	0x77, 0x77, 0x77, 0x77, 0x77, 0x77, 0x77, 0x77, 0x77, 0x77, 0x77, 0x77, 0x77, 0x77, 0x77, 0x77, 0x77, 0x77, 0x77, 0x77,
	0x77, 0x77, 0x77, 0x77, 0x77, 0x77, 0x77, 0x77, 0x77, 0x01, 0x81, 0x95, 0x31, 0x32, 0x33, 0x34, 0x35, 0x36, 0x37, 0x38,
	0x39, 0x30, 0x31, 0x32, 0x33, 0x34, 0x35, 0x36, 0x37, 0x38, 0x39, 0x30, 0x31, 0x16, 0xff,
};

static size_t fixture_texts(char out[][160])
{
	static const int bits[] = {0, 7, 12, 15, 23, 31, 63};
	static const char *const texts[] = {"", "a", "-", "-0", "01", "+1", "1 ", "9223372036854775808",
	                                    "-9223372036854775809", "18446744073709551616"};
	static const char fill[] = "xyzw";
	static const int lens[] = {62, 63, 64, 127};
	int64_t seen[64];
	size_t n = 0;
	for (size_t b = 0; b < 7; b++)
		for (int d = -2; d <= 1; d++)
			for (int sign = 1; sign >= -1; sign -= 2) {
				__int128 wide = (__int128)sign * ((__int128)1 << bits[b]) + d;
				bool dup = wide < INT64_MIN || wide > INT64_MAX;
				for (size_t i = 0; i < n; i++)
					dup |= seen[i] == wide;
				if (dup)
					continue;
				seen[n] = (int64_t)wide;
				out[n][number_print(out[n], seen[n])] = 0;
				n++;
			}
	for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
		snprintf(out[n++], 160, "%s", texts[i]);
	for (int i = 0; i < 4; i++) {
		memset(out[n], fill[i], (size_t)lens[i]);
		out[n++][lens[i]] = 0;
	}
	snprintf(out[n++], 160, "123456789012345678901");
	return n;
}

START_TEST(test_same_bytes_as_redis)
{
	static char texts[128][160];
	size_t n = fixture_texts(texts);
	uint8_t *lp = listpack_new(0), *rev = listpack_new(0);
	for (size_t i = 0; i < n; i++)
		ck_assert_int_eq(listpack_append(&lp, texts[i], strlen(texts[i])), 0);
	for (size_t i = n; i-- > 0;)
		ck_assert_int_eq(listpack_prepend(&rev, texts[i], strlen(texts[i])), 0);
	ck_assert_uint_eq(listpack_bytes(lp), sizeof redis_bytes);
	ck_assert_mem_eq(lp, redis_bytes, sizeof redis_bytes);
	ck_assert_mem_eq(rev, redis_bytes, sizeof redis_bytes);
	ck_assert(listpack_validate(redis_bytes, sizeof redis_bytes, true));
	uint8_t *p = listpack_first(lp);
	for (size_t i = 0; i < n; i++, p = listpack_next(lp, p)) {
		char buf[NUMBER_MAX];
		size_t len;
		const char *s = listpack_text(p, buf, &len);
		ck_assert(len == strlen(texts[i]) && !memcmp(s, texts[i], len));
		ck_assert_ptr_eq(listpack_find(lp, listpack_first(lp), texts[i], len, 0), p);
	}
	ck_assert_ptr_null(p);
	listpack_free(lp);
	listpack_free(rev);
}
END_TEST

/* Lengths where encodings and back lengths change; the back length grows one byte early at 16383. */
START_TEST(test_boundaries)
{
	static const struct {
		size_t len, cost;
	} cases[] = {{0, 2}, {63, 65}, {64, 67}, {125, 128}, {126, 130}, {4095, 4099}, {4096, 4103}, {16377, 16384},
	             {16378, 16386}, {16379, 16387}, {2097145, 2097153}, {2097146, 2097155}, {2097147, 2097156}};
	char *s = malloc(3 << 20);
	memset(s, 'q', 3 << 20);
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		uint8_t *lp = listpack_new(0), *p;
		ck_assert_uint_eq(listpack_cost(s, cases[i].len), cases[i].cost);
		ck_assert_int_eq(listpack_append(&lp, "a", 1), 0);
		ck_assert_int_eq(listpack_append(&lp, s, cases[i].len), 0);
		ck_assert_int_eq(listpack_append(&lp, "b", 1), 0);
		ck_assert_uint_eq(listpack_bytes(lp), LISTPACK_EMPTY_BYTES + 6 + cases[i].cost);
		ck_assert(listpack_validate(lp, listpack_bytes(lp), true));
		p = listpack_prev(lp, listpack_last(lp));
		ck_assert_uint_eq(listpack_element_bytes(p), cases[i].cost);
		struct listpack_item item;
		listpack_get(p, &item);
		ck_assert_uint_eq(item.len, cases[i].len);
		struct listpack_item read;
		ck_assert_ptr_eq(listpack_read(p, &read), p + cases[i].cost);
		ck_assert(read.str == item.str && read.len == item.len && read.num == item.num);
		ck_assert_ptr_eq(listpack_skip(p), p + cases[i].cost);
		ck_assert(listpack_equal(listpack_prev(lp, p), "a", 1));
		listpack_free(lp);
	}
	free(s);
}
END_TEST

/* ------------------------------------------------------------------ against the model */

static void check_same(const uint8_t *lp, const struct model *m)
{
	char buf[NUMBER_MAX];
	size_t len, i = 0;
	ck_assert(listpack_validate(lp, listpack_bytes(lp), true));
	ck_assert_uint_eq(listpack_count(lp), m->n);
	for (uint8_t *p = listpack_first(lp); p; p = listpack_next(lp, p), i++) {
		const char *s = listpack_text(p, buf, &len);
		ck_assert(i < m->n && len == m->t[i].len && !memcmp(s, m->t[i].s, len));
	}
	ck_assert_uint_eq(i, m->n);
	for (uint8_t *p = listpack_last(lp); p; p = listpack_prev(lp, p)) {
		ck_assert_uint_gt(i--, 0);
		ck_assert(listpack_equal(p, m->t[i].s, m->t[i].len));
	}
	ck_assert_uint_eq(i, 0);
}

static size_t random_text(struct rng *r, char *buf)
{
	static const size_t lens[] = {0, 1, 5, 20, 62, 63, 64, 65, 126, 127, 128, 300, 4094, 4095, 4096, 5000};
	if (rng_below(r, 2)) {
		int64_t v = (int64_t)(rng_next(r) >> rng_below(r, 64));
		return number_print(buf, rng_below(r, 2) ? v : -v);
	}
	size_t len = lens[rng_below(r, rng_below(r, 20) ? 8 : 16)];
	for (size_t i = 0; i < len; i++)
		buf[i] = "0123456789-ab"[rng_below(r, 13)];
	return len;
}

static void random_op(struct rng *r, uint8_t **lp, struct model *m, uint64_t fail)
{
	char s[8192];
	size_t len = random_text(r, s), at = m->n ? rng_below(r, m->n) : 0;
	int64_t v = 0;
	bool num = number_parse(s, len, &v) && rng_below(r, 2), after = rng_below(r, 2);
	uint8_t *p = listpack_at(*lp, rng_below(r, 2) ? (int64_t)at : (int64_t)at - (int64_t)m->n);
	unsigned op = (unsigned)rng_below(r, m->n > 60 ? 9 : m->n ? 7 : 2);
	int err = 0;
	mem_fail_after(fail);
	switch (op) {
	case 0:
		err = num ? listpack_append_int(lp, v) : listpack_append(lp, s, len);
		at = m->n;
		break;
	case 1:
		err = num ? listpack_prepend_int(lp, v) : listpack_prepend(lp, s, len);
		at = 0;
		break;
	case 2:
	case 3:
	case 4:
		err = num ? listpack_insert_int(lp, &p, after, v) : listpack_insert(lp, &p, after, s, len);
		at += after;
		break;
	case 5:
		err = num ? listpack_replace_int(lp, &p, v) : listpack_replace(lp, &p, s, len);
		break;
	case 6:
		listpack_delete(lp, &p, 1);
		model_delete(m, at, 1);
		if (at == m->n)
			ck_assert_ptr_null(p);
		else
			ck_assert(listpack_equal(p, m->t[at].s, m->t[at].len));
		break;
	default:;
		size_t n = rng_below(r, 2) ? m->n : rng_below(r, 20), gone = n < m->n - at ? n : m->n - at;
		ck_assert_uint_eq(listpack_delete_range(lp, (int64_t)at, n), gone);
		model_delete(m, at, gone);
	}
	mem_fail_after(0);
	ck_assert(err == 0 || (err == -ENOMEM && fail));
	if (op < 6 && !err) {
		if (op == 5)
			model_delete(m, at, 1);
		model_insert(m, at, s, len);
		ck_assert(op < 2 || listpack_equal(p, s, len));
	}
}

START_TEST(test_random)
{
	struct rng r;
	rng_init(&r, "listpack random");
	uint8_t *lp = listpack_new(rng_below(&r, 100));
	struct model m = {0};
	for (int i = 0; i < 8000; i++) {
		random_op(&r, &lp, &m, _i && rng_below(&r, 2) ? 1 : 0);
		check_same(lp, &m);
	}
	listpack_free(lp);
	model_clear(&m);
}
END_TEST

START_TEST(test_find_split_merge)
{
	struct rng r;
	rng_init(&r, "listpack find");
	char s[8192];
	for (int round = 0; round < 1000; round++) {
		uint8_t *lp = listpack_new(0), *tail;
		struct model m = {0};
		size_t n = rng_below(&r, 40);
		for (size_t i = 0; i < n; i++) {
			size_t len = rng_below(&r, 5) ? rng_below(&r, 3) : random_text(&r, s);
			listpack_append(&lp, s, len);
			model_insert(&m, i, s, len);
		}
		size_t from = n ? rng_below(&r, n) : 0, len = n ? m.t[rng_below(&r, n)].len : 1;
		memcpy(s, n ? m.t[rng_below(&r, n)].s : "x", n ? 0 : 1);
		unsigned skip = (unsigned)rng_below(&r, 3);
		size_t i = from;
		while (i < n && (m.t[i].len != len || memcmp(m.t[i].s, s, len)))
			i += 1 + skip;
		uint8_t *p = listpack_find(lp, listpack_at(lp, (int64_t)from), s, len, skip);
		ck_assert_ptr_eq(p, i < n ? listpack_at(lp, (int64_t)i) : NULL);
		uint8_t *old = listpack_dup(lp);
		int64_t cut = (int64_t)rng_below(&r, n + 2);
		mem_fail_after(1);
		ck_assert_int_eq(listpack_split(&lp, cut, &tail), -ENOMEM);
		mem_fail_after(0);
		check_same(lp, &m);
		ck_assert_int_eq(listpack_split(&lp, cut, &tail), 0);
		ck_assert_uint_eq(listpack_count(lp), (size_t)cut < n ? (size_t)cut : n);
		ck_assert(listpack_validate(tail, listpack_bytes(tail), true));
		ck_assert_int_eq(listpack_merge(&lp, tail), 0);
		check_same(lp, &m);
		ck_assert_mem_eq(lp, old, listpack_bytes(old));
		listpack_free(old);
		listpack_free(tail);
		listpack_free(lp);
		model_clear(&m);
	}
}
END_TEST

START_TEST(test_items)
{
	struct listpack_item items[] = {{"abc", 3, 0}, {NULL, 0, 77}, {"123", 3, 0}, {NULL, 0, INT64_MIN}};
	uint8_t *a = listpack_new(0), *b = listpack_new(0);
	listpack_append(&a, "x", 1);
	listpack_append(&b, "x", 1);
	mem_fail_after(1);
	ck_assert_int_eq(listpack_append_items(&a, items, 4), -ENOMEM);
	mem_fail_after(0);
	ck_assert_uint_eq(listpack_count(a), 1);
	ck_assert_int_eq(listpack_append_items(&a, items, 4), 0);
	listpack_append(&b, "abc", 3);
	listpack_append_int(&b, 77);
	listpack_append_int(&b, 123);
	listpack_append_int(&b, INT64_MIN);
	ck_assert_mem_eq(a, b, listpack_bytes(b));
	ck_assert_int_eq(listpack_append_items(&a, items, 0), 0);
	ck_assert_uint_eq(listpack_count(a), 5);
	listpack_free(a);
	listpack_free(b);
}
END_TEST

START_TEST(test_many)
{
	uint8_t *lp = listpack_new(0), *p;
	for (int i = 0; i < 70000; i++)
		ck_assert_int_eq(listpack_append_int(&lp, i), 0);
	ck_assert_uint_eq(lp[4] | lp[5] << 8, 65535);
	ck_assert_uint_eq(listpack_count(lp), 70000);
	int64_t v;
	ck_assert(listpack_integer(listpack_at(lp, 69999), &v) && v == 69999);
	ck_assert(listpack_integer(listpack_at(lp, -70000), &v) && v == 0);
	ck_assert_ptr_null(listpack_at(lp, 70000));
	ck_assert_ptr_null(listpack_at(lp, -70001));
	ck_assert_uint_eq(listpack_delete_range(&lp, 10, 69000), 69000);
	ck_assert_uint_eq(listpack_count(lp), 1000);
	ck_assert(listpack_validate(lp, listpack_bytes(lp), true));
	ck_assert_uint_le(mem_size(lp), 2 * listpack_bytes(lp) + 64);
	p = listpack_at(lp, 5);
	listpack_delete(&lp, &p, SIZE_MAX);
	ck_assert_ptr_null(p);
	ck_assert_uint_eq(listpack_count(lp), 5);
	listpack_free(lp);
}
END_TEST

/* SAFETY: intset/listpack/ziplist size: entries past the cap are refused. */
START_TEST(test_safety_size_cap)
{
	static uint8_t lp[64];
	uint8_t *p = lp;
	memcpy(lp, (uint8_t[]){7, 0, 0, 0, 0, 0, 0xff}, 7);
	ck_assert(listpack_fits(lp, LISTPACK_MAX - 7));
	ck_assert(!listpack_fits(lp, LISTPACK_MAX - 6));
	ck_assert(!listpack_fits(lp, SIZE_MAX));
	ck_assert_int_eq(listpack_append(&p, "x", (size_t)LISTPACK_MAX + 1), -EFBIG);
	ck_assert_int_eq(listpack_append(&p, "x", LISTPACK_MAX - 8), -EFBIG);
	ck_assert_int_eq(listpack_append(&p, "x", SIZE_MAX), -EFBIG);
	struct listpack_item items[] = {{"x", UINT32_MAX, 0}, {"x", UINT32_MAX, 0}};
	ck_assert_int_eq(listpack_append_items(&p, items, 2), -EFBIG);
	ck_assert_uint_eq(listpack_count(lp), 0);
}
END_TEST

/* Walk all of it as a reader would; ASan watches. */
static void exercise(const uint8_t *bytes, size_t len)
{
	char buf[NUMBER_MAX];
	size_t n = 0, sum = 0;
	int64_t v;
	for (uint8_t *p = listpack_first(bytes); p; p = listpack_next(bytes, p), n++) {
		size_t l;
		const char *s = listpack_text(p, buf, &l);
		for (size_t i = 0; i < l; i++)
			sum += (unsigned char)s[i];
		sum += listpack_integer(p, &v);
	}
	ck_assert(listpack_count(bytes) == n);
	for (uint8_t *p = listpack_last(bytes); p; p = listpack_prev(bytes, p))
		n--;
	ck_assert_uint_eq(n, 0);
	uint8_t *lp = listpack_from_bytes(bytes, len);
	ck_assert_int_eq(listpack_append(&lp, "hello", 5), 0);
	ck_assert(sum != SIZE_MAX && listpack_validate(lp, listpack_bytes(lp), true));
	listpack_free(lp);
}

START_TEST(test_validate_damaged)
{
	struct rng r;
	rng_init(&r, "listpack damaged");
	unsigned good = 0;
	for (int round = 0; round < 100000; round++) {
		size_t len = sizeof redis_bytes;
		uint8_t *b = malloc(len);
		memcpy(b, redis_bytes, len);
		unsigned changes = 1 + (unsigned)rng_below(&r, 3);
		for (unsigned i = 0; i < changes; i++) {
			size_t at = rng_below(&r, 4) ? rng_below(&r, len) : rng_below(&r, 8);
			b[at] = rng_below(&r, 2) ? (uint8_t)rng_next(&r) : (uint8_t)(b[at] ^ 1u << rng_below(&r, 8));
		}
		if (!rng_below(&r, 4)) {
			len = rng_below(&r, len + 1);
			uint8_t *cut = malloc(len ? len : 1);
			memcpy(cut, b, len);
			free(b);
			b = cut;
			if (len >= 7 && rng_below(&r, 2)) {
				memcpy(b, &(uint32_t){(uint32_t)len}, 4);
				memset(b + 4, 0xff, 2);
				b[len - 1] = 0xff;
			}
		}
		if (listpack_validate(b, len, true)) {
			good++;
			exercise(b, len);
		}
		free(b);
	}
	ck_assert_uint_gt(good, 300);
}
END_TEST

START_TEST(test_validate_by_hand)
{
	static const struct {
		uint8_t b[16];
		size_t len;
		bool deep, frame;
	} cases[] = {
		{{7, 0, 0, 0, 0, 0, 255}, 7, true, true},
		{{7, 0, 0, 0, 1, 0, 255}, 7, false, true},
		{{7, 0, 0, 0, 255, 255, 255}, 7, true, true},
		{{8, 0, 0, 0, 0, 0, 255, 255}, 8, false, true},
		{{9, 0, 0, 0, 1, 0, 5, 1, 255}, 9, true, true},
		{{9, 0, 0, 0, 1, 0, 5, 2, 255}, 9, false, true},
		{{9, 0, 0, 0, 1, 0, 5, 129, 255}, 9, false, true},
		{{9, 0, 0, 0, 2, 0, 5, 1, 255}, 9, false, true},
		{{9, 0, 0, 0, 1, 0, 5, 1, 254}, 9, false, false},
		{{8, 0, 0, 0, 1, 0, 5, 1, 255}, 9, false, false},
		{{10, 0, 0, 0, 1, 0, 5, 129, 0, 255}, 10, false, true},
		{{9, 0, 0, 0, 1, 0, 0x82, 1, 255}, 9, false, true},
		{{9, 0, 0, 0, 1, 0, 0xf4, 9, 255}, 9, false, true},
		{{9, 0, 0, 0, 1, 0, 0xf5, 1, 255}, 9, false, true},
		{{13, 0, 0, 0, 1, 0, 0xf0, 255, 255, 255, 255, 4, 255}, 13, false, true},
		{{14, 0, 0, 0, 1, 0, 0xf0, 1, 0, 0, 0, 'a', 6, 255}, 14, true, true},
		{{6, 0, 0, 0, 0, 255}, 6, false, false},
	};
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		ck_assert_msg(listpack_validate(cases[i].b, cases[i].len, true) == cases[i].deep, "case %zu", i);
		ck_assert_msg(listpack_validate(cases[i].b, cases[i].len, false) == cases[i].frame, "case %zu", i);
	}
}
END_TEST

START_TEST(test_alloc_failure)
{
	mem_fail_after(1);
	ck_assert_ptr_null(listpack_new(0));
	mem_fail_after(1);
	ck_assert_ptr_null(listpack_from_bytes(redis_bytes, sizeof redis_bytes));
	mem_fail_after(0);
}
END_TEST

/* Elements whose lengths and kinds vary, named by a number. */
static size_t some_text(uint64_t n, char out[static 120])
{
	if (n % 3 == 0)
		return (size_t)snprintf(out, 120, "%lld", (long long)(n * 37) - 500);
	size_t len = (size_t)snprintf(out, 120, "e%llu", (unsigned long long)n);
	size_t more = n % 7 == 0 ? 70 : n % 5;
	memset(out + len, 'x', more);
	return len + more;
}

static void append_text(uint8_t **lp, uint64_t n)
{
	char text[120];
	size_t len = some_text(n, text);
	ck_assert_int_eq(listpack_append(lp, text, len), 0);
}

/* Any elements go, and any others come at any place that is not among them. */
START_TEST(test_move)
{
	struct rng rng;
	rng_init(&rng, "listpack move");
	for (int round = 0; round < 5000; round++) {
		unsigned n = 1 + (unsigned)rng_below(&rng, 12), from = (unsigned)rng_below(&rng, n);
		unsigned gone = 1 + (unsigned)rng_below(&rng, n - from), to = (unsigned)rng_below(&rng, n - gone + 1);
		uint8_t *lp = listpack_new(0), *fresh = listpack_new(0), *want = listpack_new(0);
		uint64_t base = rng_below(&rng, 1000);
		to += to > from ? gone : 0; /* from + gone and from are the same place */
		for (unsigned i = 0; i < n; i++)
			append_text(&lp, base + i);
		for (unsigned i = 0; i < gone; i++)
			append_text(&fresh, base + 500 + i);
		for (unsigned i = 0; i <= n; i++) {
			for (unsigned j = 0; i == to && j < gone; j++)
				append_text(&want, base + 500 + j);
			if (i < n && (i < from || i >= from + gone))
				append_text(&want, base + i);
		}
		const uint8_t *pos = listpack_at(lp, from), *end = pos, *at = listpack_first(lp);
		for (unsigned i = 0; i < gone; i++)
			end = listpack_skip(end);
		for (unsigned i = 0; i < to; i++)
			at = listpack_skip(at);
		size_t bytes = listpack_bytes(fresh) - LISTPACK_EMPTY_BYTES;
		ck_assert_int_eq(listpack_move(&lp, pos, (size_t)(end - pos), at, listpack_first(fresh), bytes), 0);
		ck_assert_uint_eq(listpack_bytes(lp), listpack_bytes(want));
		ck_assert_mem_eq(lp, want, listpack_bytes(want));
		ck_assert(listpack_validate(lp, listpack_bytes(lp), true));
		listpack_free(lp);
		listpack_free(fresh);
		listpack_free(want);
	}
}
END_TEST

START_TEST(test_insert_items)
{
	for (unsigned at = 0; at <= 3; at++) {
		struct listpack_item items[3] = { { .str = "one", .len = 3 }, { .num = -5 }, { .str = "77", .len = 2 } };
		uint8_t *lp = listpack_new(0), *want = listpack_new(0);
		for (unsigned i = 0; i <= 3; i++) {
			if (i == at) {
				ck_assert_int_eq(listpack_append(&want, "one", 3), 0);
				ck_assert_int_eq(listpack_append_int(&want, -5), 0);
				ck_assert_int_eq(listpack_append_int(&want, 77), 0);
			}
			if (i < 3) {
				append_text(&want, i);
				append_text(&lp, i);
			}
		}
		const uint8_t *pos = lp + LISTPACK_EMPTY_BYTES - 1;
		for (unsigned i = 0; i < at; i++)
			pos = listpack_skip(pos);
		ck_assert_int_eq(listpack_insert_items(&lp, pos, items, 3), 0);
		ck_assert_uint_eq(listpack_bytes(lp), listpack_bytes(want));
		ck_assert_mem_eq(lp, want, listpack_bytes(want));
		listpack_free(lp);
		listpack_free(want);
	}
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("listpack");
	TCase *tc = tcase_create("listpack");
	tcase_set_timeout(tc, 120);
	tcase_add_test(tc, test_move);
	tcase_add_test(tc, test_insert_items);
	tcase_add_test(tc, test_same_bytes_as_redis);
	tcase_add_test(tc, test_boundaries);
	tcase_add_loop_test(tc, test_random, 0, 2);
	tcase_add_test(tc, test_find_split_merge);
	tcase_add_test(tc, test_items);
	tcase_add_test(tc, test_many);
	tcase_add_test(tc, test_safety_size_cap);
	tcase_add_test(tc, test_validate_damaged);
	tcase_add_test(tc, test_validate_by_hand);
	tcase_add_test(tc, test_alloc_failure);
	suite_add_tcase(suite, tc);
	return suite_run(suite);
}
