/* Large values in a snapshot: they are read by another thread while they are written, moved and deleted, and what is read
 * is what they were at the cut. */
#include <pthread.h>
#include <sched.h>
#include <stdlib.h>

#include "store/memory.h"
#include "store/types/set.h"
#include "tests/lib/rng.h"
#include "tests/lib/store_fixture.h"
#include "tests/lib/suite.h"

#define KEYS 80
#define DBS 3

static const struct value_limits limits = { 8, 20, 8, true };

/* What a key holds: type, number and sum of its elements; 0: nothing. */
struct cut {
	uint64_t want[DBS][KEYS], got[DBS][KEYS];
	unsigned frozen, whole; /* atomic */
};

struct handed {
	struct store_frozen *f;
	unsigned db;
	struct handed *next;
};

static struct {
	pthread_mutex_t mutex;
	pthread_cond_t filled;
	struct handed *first;
	bool closed;
	struct cut *cut;
} queue = { .mutex = PTHREAD_MUTEX_INITIALIZER, .filled = PTHREAD_COND_INITIALIZER };

static uint64_t sum_bytes(const char *p, size_t len)
{
	uint64_t h = 1469598103934665603u;
	for (size_t i = 0; i < len; i++)
		h = (h ^ (unsigned char)p[i]) * 1099511628211u;
	return h;
}

static uint64_t sum_of(const struct entry *e)
{
	char buf[24];
	size_t len;
	if (entry_type(e) == STORE_STRING) {
		const char *s = entry_string(e, buf, &len);
		return sum_bytes(s, len) | 1;
	}
	struct value v = value_of(e);
	struct set_iter it;
	struct value_item item;
	uint64_t sum = 0, n = 0;
	for (set_begin(&it, &v); set_next(&it, &item); n++) {
		const char *text = value_text(&item, buf, &len);
		sum += sum_bytes(text, len);
	}
	ck_assert_uint_eq(n, set_len(&v));
	return (sum + n) | 1;
}

static void note(struct cut *cut, unsigned db, const struct entry *e)
{
	uint64_t i = fixture_number(entry_key(e), entry_key_len(e));
	ck_assert_uint_lt(i, KEYS);
	ck_assert_uint_eq(__atomic_exchange_n(&cut->got[db][i], sum_of(e), __ATOMIC_RELAXED), 0);
}

static void take(void *ctx, unsigned db, const struct store_key *key, const struct entry *e)
{
	struct cut *cut = ctx;
	(void)key;
	note(cut, db, e);
	__atomic_fetch_add(&cut->whole, 1, __ATOMIC_RELAXED);
}

static void take_frozen(void *ctx, unsigned db, struct store_frozen *f)
{
	struct cut *cut = ctx;
	struct handed *h = malloc(sizeof *h);
	__atomic_fetch_add(&cut->frozen, 1, __ATOMIC_RELAXED);
	*h = (struct handed){ f, db, NULL };
	pthread_mutex_lock(&queue.mutex);
	h->next = queue.first;
	queue.first = h;
	pthread_cond_signal(&queue.filled);
	pthread_mutex_unlock(&queue.mutex);
}

static void *read_all(void *arg)
{
	(void)arg;
	for (unsigned n = 0;; n++) {
		pthread_mutex_lock(&queue.mutex);
		while (!queue.first && !queue.closed)
			pthread_cond_wait(&queue.filled, &queue.mutex);
		struct handed *h = queue.first;
		if (h)
			queue.first = h->next;
		pthread_mutex_unlock(&queue.mutex);
		if (!h)
			return NULL;
		for (unsigned i = n * 7 % 50; i > 0; i--)
			sched_yield(); /* let writers come first now and then */
		note(queue.cut, h->db, store_frozen_entry(h->f));
		store_frozen_release(h->f);
		free(h);
	}
}

/* ------------------------------------------------------------------ the data and its writers */

static struct value random_set(struct rng *rng, unsigned n)
{
	struct value v;
	char text[32];
	ck_assert_int_eq(set_new(&v, &limits, "m", 1, n), 0);
	for (unsigned i = 0; i < n; i++) {
		size_t len = (size_t)snprintf(text, sizeof text, "member:%llu", (unsigned long long)rng_below(rng, 100000));
		ck_assert_int_ge(set_add(&v, &limits, text, len), 0);
	}
	return v;
}

static void put(struct store_op *op, struct rng *rng, const struct store_key *key)
{
	int64_t expire_ms = rng_below(rng, 4) ? STORE_NO_EXPIRY : op->now_ms + (int64_t)rng_below(rng, 50);
	if (rng_below(rng, 4)) {
		struct value v = random_set(rng, 1 + (unsigned)rng_below(rng, 1200));
		ck_assert_ptr_nonnull(store_replace(op, key, STORE_SET, v.encoding, v.ptr, expire_ms));
	} else {
		size_t len = rng_below(rng, 60000);
		char *bytes = malloc(len + 1);
		memset(bytes, 'a' + (int)rng_below(rng, 20), len + 1);
		ck_assert_ptr_nonnull(store_set_string(op, key, bytes, len, expire_ms));
		free(bytes);
	}
}

static void change(struct store_op *op, struct rng *rng, const struct store_key *key)
{
	struct entry *e = store_find(op, key, STORE_WRITE);
	char text[32];
	if (!e)
		return;
	if (entry_type(e) == STORE_STRING) {
		char *bytes;
		ck_assert_ptr_nonnull(store_string_grow(op, key, e, entry_string_len(e) + 1, &bytes));
		bytes[0] = 'Z';
		return;
	}
	struct value v = value_of(e);
	size_t len = (size_t)snprintf(text, sizeof text, "member:%llu", (unsigned long long)rng_below(rng, 100000));
	if (rng_below(rng, 2))
		ck_assert_int_ge(set_add(&v, &limits, text, len), 0);
	else
		set_remove(&v, text, len);
	value_put(e, &v);
	if (set_len(&v) == 0)
		store_delete(op, key, true);
}

static void random_write(struct store_op *op, struct rng *rng)
{
	struct fixture_key k, to;
	fixture_key(op->store, &k, rng_below(rng, KEYS));
	fixture_key(op->store, &to, rng_below(rng, KEYS));
	struct store_lockset ls;
	store_lockset_init(&ls);
	ck_assert(store_lockset_add(op->store, &ls, k.key.hash) && store_lockset_add(op->store, &ls, to.key.hash));
	store_lockset_lock(op->store, &ls);
	struct entry *e;
	unsigned to_db = (unsigned)rng_below(rng, DBS);
	switch (rng_below(rng, 10)) {
	case 0:
		put(op, rng, &k.key);
		break;
	case 1:
		store_delete(op, &k.key, rng_below(rng, 2));
		break;
	case 2:
		e = store_find(op, &k.key, STORE_PEEK);
		if (e)
			store_set_expiry(op, &k.key, e, rng_below(rng, 2) ? op->now_ms + 10 : STORE_NO_EXPIRY);
		break;
	case 3:
	case 4:
		e = store_find(op, &k.key, STORE_PEEK);
		if (e && k.key.hash != to.key.hash) {
			struct store_op there = *op;
			there.db = to_db;
			store_delete(&there, &to.key, true);
			ck_assert_int_eq(store_move(op, &k.key, e, to_db, &to.key), 0);
		}
		break;
	case 5:
		e = store_find(op, &k.key, STORE_READ);
		if (e && k.key.hash != to.key.hash)
			store_copy(op, &k.key, e, to_db, &to.key);
		break;
	default:
		change(op, rng, &k.key);
	}
	store_lockset_unlock(op->store, &ls);
	store_lockset_clear(&ls);
}

static void note_key(void *ctx, struct store_op *op, const struct store_key *key, struct entry *e)
{
	struct cut *cut = ctx;
	cut->want[op->db][fixture_number(key->ptr, key->len)] = sum_of(e);
}

static void begin_cut(struct store *s, struct cut *cut)
{
	struct store_op op = fixture_op(s);
	op.exclusive = op.show_expired = true;
	memset(cut, 0, sizeof *cut);
	for (op.db = 0; op.db < DBS; op.db++)
		store_each(&op, note_key, cut);
}

static void check_cut(const struct cut *cut)
{
	for (unsigned db = 0; db < DBS; db++)
		for (unsigned i = 0; i < KEYS; i++)
			ck_assert_msg(cut->got[db][i] == cut->want[db][i], "db %u key %u", db, i);
}

static void fill(struct store *s, struct rng *rng)
{
	struct store_op op = fixture_op(s);
	for (op.db = 0; op.db < DBS; op.db++) {
		for (unsigned i = 0; i < KEYS; i++) {
			struct fixture_key k;
			fixture_key(s, &k, i);
			store_lock(s, k.key.hash);
			if (rng_below(rng, 3))
				put(&op, rng, &k.key);
			store_unlock(s, k.key.hash);
		}
	}
}

/* ------------------------------------------------------------------ tests */

static void whole_keyspace_write(struct store_op *op, struct rng *rng)
{
	if (rng_below(rng, 30) == 0)
		ck_assert_int_eq(store_swap(op->store, (unsigned)rng_below(rng, DBS), (unsigned)rng_below(rng, DBS)), 0);
	if (rng_below(rng, 60) == 0)
		store_flush(op->store, rng_below(rng, 4) ? (int)rng_below(rng, DBS) : -1, rng_below(rng, 2));
}

START_TEST(test_read_while_written)
{
	struct rng rng;
	struct cut *cut = malloc(sizeof *cut);
	unsigned frozen = 0, whole = 0;
	pthread_t reader;
	int err;
	rng_init(&rng, "frozen");
	struct store_options o = fixture_options(_i == 0 ? 1 : 16, rng_next(&rng));
	struct store *s = fixture_open(&o);
	struct store_op op = fixture_op(s);
	queue.cut = cut;
	queue.closed = false;
	pthread_create(&reader, NULL, read_all, NULL);
	for (int round = 0; round < 12; round++) {
		fill(s, &rng);
		begin_cut(s, cut);
		struct store_snapshot_sink sink = { .entry = take, .ctx = cut, .frozen = take_frozen, .large_bytes = 16384 };
		struct store_snapshot *sn = store_snapshot_begin(s, &sink, &err);
		ck_assert_ptr_nonnull(sn);
		while (!store_snapshot_step(sn, 0, 0)) {
			for (uint64_t n = rng_below(&rng, 30); n; n--) {
				op.db = (unsigned)rng_below(&rng, DBS);
				random_write(&op, &rng);
			}
			op.now_ms++;
			store_tick(&op, 0, 100, true);
			whole_keyspace_write(&op, &rng);
		}
		store_snapshot_end(sn);
		check_cut(cut);
		frozen += cut->frozen;
		whole += cut->whole;
	}
	ck_assert_uint_gt(frozen, 100);
	ck_assert_uint_gt(whole, 100);
	pthread_mutex_lock(&queue.mutex);
	queue.closed = true;
	pthread_cond_signal(&queue.filled);
	pthread_mutex_unlock(&queue.mutex);
	pthread_join(reader, NULL);
	store_close(s);
	free(cut);
}
END_TEST

/* Memory is out when a value is to be frozen: it goes the way of small ones. */
START_TEST(test_memory_fails)
{
	struct rng rng;
	struct cut *cut = calloc(1, sizeof *cut);
	int err;
	rng_init(&rng, "frozen memory");
	struct store_options o = fixture_options(1, 3);
	struct store *s = fixture_open(&o);
	struct store_op op = fixture_op(s);
	struct fixture_key k;
	fixture_key(s, &k, 1);
	for (unsigned n = 1; n <= 2; n++) {
		struct value v = random_set(&rng, 2000);
		ck_assert_ptr_nonnull(store_replace(&op, &k.key, STORE_SET, v.encoding, v.ptr, STORE_NO_EXPIRY));
		begin_cut(s, cut);
		struct store_snapshot_sink sink = { .entry = take, .ctx = cut, .frozen = take_frozen, .large_bytes = 16384 };
		struct store_snapshot *sn = store_snapshot_begin(s, &sink, &err);
		mem_fail_after(n);
		ck_assert(store_snapshot_step(sn, 0, 1000000));
		mem_fail_after(0);
		store_snapshot_end(sn);
		ck_assert_uint_eq(cut->whole, 1);
		ck_assert_uint_eq(cut->frozen, 0);
		check_cut(cut);
	}
	store_close(s);
	free(cut);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("store_frozen");
	TCase *tc = tcase_create("frozen");
	tcase_set_timeout(tc, 240);
	tcase_add_loop_test(tc, test_read_while_written, 0, 2);
	tcase_add_test(tc, test_memory_fails);
	suite_add_tcase(s, tc);
	return suite_run(s);
}
