/* The store against a plain array: random operations, growth and shrinking, expiry, reopening of counts. */
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "store/entry.h"
#include "store/memory.h"
#include "tests/lib/rng.h"
#include "tests/lib/suite.h"

#define MODEL_KEYS 4000
#define VALUE_MAX 80

struct model_key {
	bool there;
	int64_t expire_ms;
	size_t len;
	char val[VALUE_MAX];
};

struct model {
	struct store *store;
	struct store_op op;
	struct rng rng;
	struct model_key keys[MODEL_KEYS];
	uint64_t removed; /* reports of the hook */
};

static void on_removed(void *ctx, struct store_op *op, enum store_removal why, const struct store_key *key,
                       const struct entry *e)
{
	struct model *m = ctx;
	(void)op;
	ck_assert_int_eq(why, STORE_EXPIRED);
	ck_assert_uint_eq(entry_key_len(e), key->len);
	ck_assert_mem_eq(entry_key(e), key->ptr, key->len);
	m->removed++;
}

static struct model *model_new(unsigned shards, const char *what)
{
	struct model *m = calloc(1, sizeof *m);
	struct store_options o;
	int err;
	rng_init(&m->rng, what);
	store_options_init(&o);
	o.shards = shards;
	o.hooks.removed = on_removed;
	o.hooks_ctx = m;
	for (int i = 0; i < 16; i++)
		o.hash_secret[i] = (uint8_t)rng_next(&m->rng);
	m->store = store_open(&o, &err);
	ck_assert_ptr_nonnull(m->store);
	m->op = (struct store_op){ .store = m->store, .now_ms = 1000000 };
	for (int i = 0; i < MODEL_KEYS; i++)
		m->keys[i].expire_ms = STORE_NO_EXPIRY;
	return m;
}

static void model_free(struct model *m)
{
	store_close(m->store);
	free(m);
}

static struct store_key key_of(struct model *m, unsigned i, char buf[300])
{
	/* Lengths around all limits: short, eight bytes and more, 254, 255 and longer. */
	static const unsigned pads[] = { 0, 0, 0, 4, 12, 28, 249, 250, 251, 280 };
	int n = snprintf(buf, 300, "%u:", i);
	unsigned pad = pads[i % 10];
	memset(buf + n, 'p', pad);
	return store_key(m->store, buf, (size_t)n + pad);
}

static bool model_live(const struct model *m, unsigned i)
{
	return m->keys[i].there && !(m->op.now_ms > m->keys[i].expire_ms);
}

static void check_key(struct model *m, unsigned i)
{
	char kb[300], vb[24];
	size_t len;
	struct store_key key = key_of(m, i, kb);
	const struct model_key *k = &m->keys[i];
	const struct entry *e = store_find(&m->op, &key, STORE_READ);
	if (!model_live(m, i)) {
		ck_assert_ptr_null(e);
		return;
	}
	ck_assert_ptr_nonnull(e);
	ck_assert_int_eq(entry_expiry(e), k->expire_ms);
	const char *val = entry_string(e, vb, &len);
	ck_assert_uint_eq(len, k->len);
	ck_assert_mem_eq(val, k->val, len);
	ck_assert_uint_eq(entry_string_len(e), len);
	ck_assert_uint_eq(entry_key_len(e), key.len);
	ck_assert_mem_eq(entry_key(e), kb, key.len);
}

static int64_t some_expiry(struct model *m)
{
	return m->op.now_ms + (int64_t)rng_below(&m->rng, 5000);
}

static void step_set(struct model *m, unsigned i)
{
	char kb[300];
	struct store_key key = key_of(m, i, kb);
	struct model_key *k = &m->keys[i];
	int64_t expire = STORE_NO_EXPIRY;
	uint64_t how = rng_below(&m->rng, 4);
	if (how == 0)
		expire = some_expiry(m);
	else if (how == 1)
		expire = STORE_KEEP_EXPIRY;
	k->expire_ms = expire != STORE_KEEP_EXPIRY ? expire : model_live(m, i) ? k->expire_ms : STORE_NO_EXPIRY;
	k->there = true;
	if (rng_below(&m->rng, 3) == 0)
		k->len = (size_t)snprintf(k->val, sizeof k->val, "%lld", (long long)rng_next(&m->rng) >> rng_below(&m->rng, 60));
	else
		for (k->len = rng_below(&m->rng, VALUE_MAX), how = 0; how < k->len; how++)
			k->val[how] = (char)rng_next(&m->rng);
	ck_assert_ptr_nonnull(store_set_string(&m->op, &key, k->val, k->len, expire));
}

static void step_grow(struct model *m, unsigned i)
{
	char kb[300], *bytes;
	struct store_key key = key_of(m, i, kb);
	struct model_key *k = &m->keys[i];
	struct entry *e = store_find(&m->op, &key, STORE_WRITE);
	size_t len = rng_below(&m->rng, VALUE_MAX);
	if (!e)
		*k = (struct model_key){ .there = true, .expire_ms = STORE_NO_EXPIRY };
	if (len > k->len)
		memset(k->val + k->len, 0, len - k->len);
	e = store_string_grow(&m->op, &key, e, len, &bytes);
	ck_assert_ptr_nonnull(e);
	ck_assert_mem_eq(bytes, k->val, len);
	ck_assert_str_eq(entry_encoding_name(e), "raw");
	if (len)
		k->val[len - 1] = bytes[len - 1] = (char)rng_next(&m->rng);
	k->len = len;
}

static void step_expiry(struct model *m, unsigned i)
{
	char kb[300];
	struct store_key key = key_of(m, i, kb);
	struct entry *e = store_find(&m->op, &key, STORE_PEEK);
	if (!e)
		return;
	m->keys[i].expire_ms = rng_below(&m->rng, 3) ? some_expiry(m) : STORE_NO_EXPIRY;
	ck_assert_ptr_nonnull(store_set_expiry(&m->op, &key, e, m->keys[i].expire_ms));
}

static void step_move(struct model *m, unsigned i)
{
	unsigned j = (unsigned)rng_below(&m->rng, MODEL_KEYS);
	char ka[300], kb[300];
	struct store_key from = key_of(m, i, ka), to = key_of(m, j, kb);
	struct entry *e = store_find(&m->op, &from, STORE_WRITE);
	if (!e || i == j)
		return;
	store_delete(&m->op, &to, false);
	if (rng_below(&m->rng, 2)) {
		ck_assert_int_eq(store_move(&m->op, &from, e, 0, &to), 0);
		m->keys[j] = m->keys[i];
		m->keys[i].there = false;
	} else {
		ck_assert_int_eq(store_copy(&m->op, &from, e, 0, &to), 0);
		m->keys[j] = m->keys[i];
	}
}

static void check_all(struct model *m)
{
	uint64_t live = 0, live_volatile = 0;
	for (unsigned i = 0; i < MODEL_KEYS; i++) {
		check_key(m, i);
		live += model_live(m, i);
		live_volatile += model_live(m, i) && m->keys[i].expire_ms != STORE_NO_EXPIRY;
	}
	ck_assert_uint_eq(store_count(m->store, 0), live);
	ck_assert_uint_eq(store_count_volatile(m->store, 0), live_volatile);
}

static void run_model(struct model *m, unsigned steps)
{
	char kb[300];
	for (unsigned n = 0; n < steps; n++) {
		/* Phases of growing and of shrinking. */
		bool shrinking = n / 20000 % 2;
		unsigned i = (unsigned)rng_below(&m->rng, MODEL_KEYS);
		uint64_t what = rng_below(&m->rng, 100);
		struct store_key key = key_of(m, i, kb);
		if (what < (shrinking ? 10u : 50u)) {
			step_set(m, i);
		} else if (what < 65) {
			ck_assert_int_eq(store_delete(&m->op, &key, what & 1), model_live(m, i));
			m->keys[i].there = false;
		} else if (what < 72) {
			step_grow(m, i);
		} else if (what < 80) {
			step_expiry(m, i);
		} else if (what < 84) {
			step_move(m, i);
		} else if (what == 84) {
			m->op.now_ms += 20;
		} else if (what == 85) {
			store_tick(&m->op, 0, 1000, true);
		} else {
			check_key(m, i);
		}
		if (n % 10000 == 9999)
			check_all(m);
	}
}

START_TEST(test_model)
{
	static const unsigned shards[] = { 1, 16, 1024 };
	struct model *m = model_new(shards[_i], "model");
	size_t before = mem_used();
	run_model(m, 160000);
	/* Everything expires or goes, and the memory with it. */
	struct store_stats st;
	m->op.now_ms += 100000;
	for (unsigned i = 0; i < MODEL_KEYS; i++) {
		char kb[300];
		struct store_key key = key_of(m, i, kb);
		store_delete(&m->op, &key, true);
	}
	store_tick(&m->op, 0, 1000000, true);
	ck_assert_uint_eq(store_count(m->store, 0), 0);
	store_get_stats(m->store, &st);
	ck_assert_uint_eq(st.buckets, st.tables);
	ck_assert_uint_eq(st.overflow_buckets, 0);
	ck_assert_uint_eq(st.expired, m->removed);
	ck_assert_uint_gt(m->removed, 1000);
	ck_assert_uint_le(mem_used(), before + 1024 * 600);
	model_free(m);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("store_model");
	TCase *tc = tcase_create("model");
	tcase_set_timeout(tc, 240);
	tcase_add_loop_test(tc, test_model, 0, 3);
	suite_add_tcase(s, tc);
	return suite_run(s);
}
