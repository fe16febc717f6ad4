/* String values: encodings, growing in place, blobs, access clocks. */
#include <stdlib.h>

#include "store/memory.h"
#include "tests/lib/rng.h"
#include "tests/lib/store_fixture.h"
#include "tests/lib/suite.h"

static struct store *s;
static struct store_op op;
static struct fixture_key k;

static void setup(void)
{
	struct store_options o = fixture_options(16, 8);
	s = fixture_open(&o);
	op = fixture_op(s);
	fixture_key(s, &k, 1);
}

static void teardown(void)
{
	store_close(s);
}

static void check_value(const char *want, size_t len, const char *encoding)
{
	char buf[24];
	size_t n;
	const struct entry *e = store_find(&op, &k.key, STORE_READ);
	ck_assert_ptr_nonnull(e);
	const char *got = entry_string(e, buf, &n);
	ck_assert_uint_eq(n, len);
	ck_assert_mem_eq(got, want, len);
	ck_assert_uint_eq(entry_string_len(e), len);
	ck_assert_str_eq(entry_encoding_name(e), encoding);
	ck_assert_str_eq(entry_type_name(e), "string");
	ck_assert_uint_ge(entry_memory(e, 0), len == 0 || *encoding == 'i' ? 24 : len + 16);
}

START_TEST(test_encodings)
{
	static const struct {
		const char *text;
		bool is_int;
	} cases[] = { { "0", true },    { "-1", true },   { "9223372036854775807", true }, { "-9223372036854775808", true },
		      { "", false },    { "01", false },  { "+1", false }, { "9223372036854775808", false },
		      { "-0", false },  { " 1", false },  { "1 ", false }, { "12345678901234567890", false },
		      { "abc", false }, { "1.5", false } };
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		int64_t v;
		size_t len = strlen(cases[i].text);
		const struct entry *e = store_set_string(&op, &k.key, cases[i].text, len, STORE_NO_EXPIRY);
		check_value(cases[i].text, len, cases[i].is_int ? "int" : "embstr");
		ck_assert_int_eq(entry_string_int(e, &v), cases[i].is_int);
		if (cases[i].is_int)
			ck_assert_int_eq(v, strtoll(cases[i].text, NULL, 10));
	}
	char val[100];
	memset(val, 'v', sizeof val);
	for (size_t len = 40; len < 50; len++) {
		store_set_string(&op, &k.key, val, len, STORE_NO_EXPIRY);
		check_value(val, len, len <= 44 ? "embstr" : "raw");
	}
}
END_TEST

/* A value of the same class is written where it stands. */
START_TEST(test_overwrite_in_place)
{
	char val[64];
	memset(val, 'v', sizeof val);
	const struct entry *e = store_set_string(&op, &k.key, val, 40, STORE_NO_EXPIRY);
	size_t used = mem_used();
	mem_fail_after(1); /* would show */
	for (int i = 0; i < 100; i++) {
		val[3] = (char)i;
		ck_assert_ptr_eq(store_set_string(&op, &k.key, val, 40, STORE_NO_EXPIRY), e);
		check_value(val, 40, "embstr");
	}
	mem_fail_after(0);
	ck_assert_uint_eq(mem_used(), used);
	/* Its own bytes as the new value. */
	char buf[24];
	size_t len;
	const char *own = entry_string(e, buf, &len);
	memcpy(val, own, len);
	ck_assert_ptr_nonnull(store_set_string(&op, &k.key, own + 3, 30, op.now_ms + 9));
	check_value(val + 3, 30, "embstr");
	e = store_find(&op, &k.key, STORE_READ);
	ck_assert_int_eq(entry_expiry(e), op.now_ms + 9);
	ck_assert_ptr_nonnull(store_set_int(&op, &k.key, 5, STORE_KEEP_EXPIRY));
	e = store_find(&op, &k.key, STORE_READ);
	ck_assert_int_eq(entry_expiry(e), op.now_ms + 9);
	ck_assert_ptr_nonnull(store_set_int(&op, &k.key, 5, STORE_NO_EXPIRY));
	ck_assert_uint_eq(store_count_volatile(s, 0), 0);
}
END_TEST

/* Lengths up and down across embedded, raw and blob, against a plain buffer. */
START_TEST(test_grow_model)
{
	struct rng rng;
	const size_t max = 3 * STORE_BLOB_MIN;
	char *model = calloc(1, max);
	size_t len = 0;
	rng_init(&rng, "grow");
	for (int n = 0; n < 4000; n++) {
		char *bytes;
		struct entry *e = store_find(&op, &k.key, STORE_WRITE);
		uint64_t what = rng_below(&rng, 20);
		if (what == 0) {
			store_delete(&op, &k.key, true);
			len = 0;
			continue;
		}
		if (what == 1) {
			len = rng_below(&rng, max);
			memset(model, (int)('a' + n % 26), len);
			ck_assert_ptr_nonnull(store_set_string(&op, &k.key, model, len, op.now_ms + 5));
		} else if (what == 2) {
			len = (size_t)snprintf(model, max, "%d", n);
			ck_assert_ptr_nonnull(store_set_string(&op, &k.key, model, len, op.now_ms + 5));
		} else {
			size_t to = rng_below(&rng, 3) ? len + rng_below(&rng, 200) : rng_below(&rng, max);
			to = to < max ? to : max - 1;
			if (to > len)
				memset(model + len, 0, to - len);
			ck_assert_ptr_nonnull(store_string_grow(&op, &k.key, e, to, &bytes));
			ck_assert_mem_eq(bytes, model, to);
			if (to)
				bytes[to - 1] = model[to - 1] = (char)n;
			len = to;
		}
		const struct entry *now = store_find(&op, &k.key, STORE_READ);
		char buf[24];
		size_t got;
		ck_assert_mem_eq(entry_string(now, buf, &got), model, len);
		ck_assert_uint_eq(got, len);
		if (what > 2)
			ck_assert_str_eq(entry_encoding_name(now), "raw");
	}
	free(model);
}
END_TEST

/* Appending one byte at a time does not copy each time, and costs no more than double the length. */
START_TEST(test_grow_is_amortised)
{
	char *bytes, *last = NULL;
	unsigned moves = 0;
	size_t empty = mem_used();
	for (size_t len = 1; len <= 3000000; len += len < 70000 ? 1 : 1000) {
		struct entry *e = store_find(&op, &k.key, STORE_WRITE);
		ck_assert_ptr_nonnull(store_string_grow(&op, &k.key, e, len, &bytes));
		bytes[len - 1] = 'x';
		moves += bytes != last;
		last = bytes;
	}
	ck_assert_uint_le(moves, 40);
	ck_assert_uint_le(mem_used() - empty, 3000000 + 1024 * 1024 + 300000);
}
END_TEST

START_TEST(test_blobs_survive)
{
	size_t len = 2 * STORE_BLOB_MIN, n;
	char *val = malloc(len), *bytes;
	const char *ref_bytes;
	memset(val, 'b', len);
	struct entry *e = store_set_string(&op, &k.key, val, STORE_BLOB_MIN - 1, STORE_NO_EXPIRY);
	ck_assert_ptr_null(entry_blob_ref(e, &ref_bytes, &n));
	check_value(val, STORE_BLOB_MIN - 1, "raw");
	e = store_set_string(&op, &k.key, val, len, STORE_NO_EXPIRY);
	check_value(val, len, "raw");
	struct blob *b = entry_blob_ref(e, &ref_bytes, &n);
	ck_assert_ptr_nonnull(b);
	ck_assert_uint_eq(n, len);
	/* A shared blob is not changed: the writer gets a copy. */
	e = store_string_grow(&op, &k.key, e, len, &bytes);
	ck_assert_ptr_ne(bytes, ref_bytes);
	bytes[0] = 'c';
	ck_assert_int_eq(ref_bytes[0], 'b');
	blob_unref(b);
	/* A copy of the key shares it until one of them is changed. */
	struct fixture_key to;
	fixture_key(s, &to, 2);
	ck_assert_int_eq(store_copy(&op, &k.key, e, 0, &to.key), 0);
	size_t before = mem_used();
	e = store_find(&op, &to.key, STORE_WRITE);
	e = store_string_grow(&op, &to.key, e, len, &bytes);
	ck_assert_uint_ge(mem_used(), before + len);
	bytes[1] = 'd';
	val[0] = 'c';
	check_value(val, len, "raw");
	e = store_find(&op, &k.key, STORE_READ);
	b = entry_blob_ref(e, &ref_bytes, &n);
	ck_assert(store_delete(&op, &k.key, true));
	store_flush(s, -1, true);
	store_reaper_drain(s);
	ck_assert_mem_eq(ref_bytes, val, len);
	blob_unref(b);
	blob_unref(NULL);
	free(val);
}
END_TEST

START_TEST(test_lru)
{
	op.access_clock = store_access_clock(STORE_ACCESS_LRU, op.now_ms);
	struct entry *e = store_set_int(&op, &k.key, 1, STORE_NO_EXPIRY);
	ck_assert_int_eq(entry_idle_ms(&op, e), 0);
	op.now_ms += 10000;
	op.access_clock = store_access_clock(STORE_ACCESS_LRU, op.now_ms);
	ck_assert_int_eq(entry_idle_ms(&op, store_find(&op, &k.key, STORE_PEEK)), 10000);
	op.no_touch = true;
	ck_assert_int_eq(entry_idle_ms(&op, store_find(&op, &k.key, STORE_READ)), 10000);
	op.no_touch = false;
	ck_assert_int_eq(entry_idle_ms(&op, store_find(&op, &k.key, STORE_READ)), 0);
	entry_set_idle(&op, e, 500000);
	ck_assert_int_eq(entry_idle_ms(&op, e), 500000);
	/* The clock's 24 bits wrap after 194 days. */
	op.now_ms = ((int64_t)1 << 24) * 1000 * 90 - 5000;
	op.access_clock = store_access_clock(STORE_ACCESS_LRU, op.now_ms);
	store_find(&op, &k.key, STORE_READ);
	op.now_ms += 10000;
	ck_assert_int_eq(entry_idle_ms(&op, e), 10000);
}
END_TEST

START_TEST(test_lfu)
{
	op.access = STORE_ACCESS_LFU;
	op.lfu_log_factor = 10;
	op.lfu_decay_min = 1;
	op.now_ms = 60000 * 1000;
	struct entry *e = store_set_int(&op, &k.key, 1, STORE_NO_EXPIRY);
	ck_assert_uint_eq(entry_freq(&op, e), 5);
	for (int i = 0; i < 1000; i++)
		store_find(&op, &k.key, STORE_READ);
	unsigned thousand = entry_freq(&op, e);
	ck_assert_uint_ge(thousand, 9); /* about 18 */
	ck_assert_uint_le(thousand, 40);
	for (int i = 0; i < 100000; i++)
		store_find(&op, &k.key, STORE_READ);
	ck_assert_uint_ge(entry_freq(&op, e), 100); /* about 142 */
	ck_assert_uint_le(entry_freq(&op, e), 190);
	unsigned top = entry_freq(&op, e);
	ck_assert_ptr_nonnull(store_set_string(&op, &k.key, "longer than an integer", 22, STORE_NO_EXPIRY));
	e = store_find(&op, &k.key, STORE_PEEK);
	ck_assert_uint_ge(entry_freq(&op, e), top); /* overwriting keeps it */
	top = entry_freq(&op, e);
	op.now_ms += 60000 * 7;
	ck_assert_uint_eq(entry_freq(&op, e), top - 7);
	op.now_ms += 60000 * 300;
	ck_assert_uint_eq(entry_freq(&op, e), 0);
	entry_set_freq(&op, e, 300);
	ck_assert_uint_eq(entry_freq(&op, e), 255);
	store_find(&op, &k.key, STORE_READ);
	ck_assert_uint_eq(entry_freq(&op, e), 255);
	op.lfu_decay_min = 0;
	op.now_ms += 60000 * 300;
	ck_assert_uint_eq(entry_freq(&op, e), 255);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("store_string");
	TCase *tc = tcase_create("string");
	tcase_set_timeout(tc, 120);
	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, test_encodings);
	tcase_add_test(tc, test_overwrite_in_place);
	tcase_add_test(tc, test_grow_model);
	tcase_add_test(tc, test_grow_is_amortised);
	tcase_add_test(tc, test_blobs_survive);
	tcase_add_test(tc, test_lru);
	tcase_add_test(tc, test_lfu);
	suite_add_tcase(suite, tc);
	return suite_run(suite);
}
