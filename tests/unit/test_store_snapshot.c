/* Snapshots: the cut holds exactly what was there at its beginning, whatever happens meanwhile. */
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>

#include "store/memory.h"
#include "tests/lib/rng.h"
#include "tests/lib/store_fixture.h"
#include "tests/lib/suite.h"

#define KEYS 20000
#define DBS 3

/* What the cut must hold and what it brought: value + 1, 0: not there. */
struct cut {
	int64_t want[DBS][KEYS], got[DBS][KEYS];
	int64_t want_due[DBS][KEYS];
	uint64_t times;
};

static int64_t value_of(const struct entry *e)
{
	int64_t v = 0;
	char buf[24];
	size_t len;
	if (entry_string_int(e, &v))
		return v;
	const char *s = entry_string(e, buf, &len);
	for (size_t i = 0; i < len && s[i] >= '0' && s[i] <= '9'; i++)
		v = v * 10 + s[i] - '0';
	return v;
}

static void take(void *ctx, unsigned db, const struct store_key *key, const struct entry *e)
{
	struct cut *cut = ctx;
	uint64_t i = fixture_number(key->ptr, key->len);
	ck_assert_uint_lt(i, KEYS);
	ck_assert_int_eq(__atomic_exchange_n(&cut->got[db][i], value_of(e) + 1, __ATOMIC_RELAXED), 0);
	if (__atomic_load_n(&cut->want_due[db][i], __ATOMIC_RELAXED))
		ck_assert_int_eq(entry_expiry(e), __atomic_load_n(&cut->want_due[db][i], __ATOMIC_RELAXED));
	__atomic_fetch_add(&cut->times, 1, __ATOMIC_RELAXED);
}

static void check_cut(const struct cut *cut)
{
	for (unsigned db = 0; db < DBS; db++) {
		for (unsigned i = 0; i < KEYS; i++)
			ck_assert_msg(cut->got[db][i] == cut->want[db][i], "db %u key %u: want %lld, got %lld", db, i,
			              (long long)cut->want[db][i], (long long)cut->got[db][i]);
	}
}

/* Any write there is, to a random key. */
static void random_write(struct store_op *op, struct rng *rng, unsigned keys)
{
	struct fixture_key k, to;
	char *bytes;
	char text[200];
	uint64_t i = rng_below(rng, keys);
	fixture_key(op->store, &k, i);
	fixture_key(op->store, &to, rng_below(rng, keys));
	struct store_lockset ls;
	store_lockset_init(&ls);
	ck_assert(store_lockset_add(op->store, &ls, k.key.hash));
	ck_assert(store_lockset_add(op->store, &ls, to.key.hash));
	store_lockset_lock(op->store, &ls);
	struct entry *e;
	switch (rng_below(rng, 9)) {
	case 0:
		store_set_int(op, &k.key, (int64_t)rng_below(rng, 1000), STORE_NO_EXPIRY);
		break;
	case 1:
		memset(text, 'x', sizeof text);
		snprintf(text, sizeof text, "%llu ", (unsigned long long)rng_below(rng, 1000));
		store_set_string(op, &k.key, text, rng_below(rng, sizeof text), STORE_KEEP_EXPIRY);
		break;
	case 2:
	case 3:
		store_delete(op, &k.key, true);
		break;
	case 4:
		e = store_find(op, &k.key, STORE_WRITE);
		store_string_grow(op, &k.key, e, 1 + rng_below(rng, 100), &bytes);
		memset(bytes, '7', 1);
		break;
	case 5:
		e = store_find(op, &k.key, STORE_PEEK);
		if (e)
			store_set_expiry(op, &k.key, e, rng_below(rng, 2) ? op->now_ms + 1000000 : op->now_ms - 1);
		break;
	case 6:
		e = store_find(op, &k.key, STORE_PEEK);
		if (e && k.key.hash != to.key.hash) {
			store_delete(op, &to.key, true);
			store_move(op, &k.key, e, op->db, &to.key);
		}
		break;
	case 7:
		e = store_find(op, &k.key, STORE_READ);
		if (e && k.key.hash != to.key.hash)
			store_copy(op, &k.key, e, op->db, &to.key);
		break;
	default:
		store_find(op, &k.key, STORE_READ);
	}
	store_lockset_unlock(op->store, &ls);
	store_lockset_clear(&ls);
}

static void note_key(void *ctx, struct store_op *op, const struct store_key *key, struct entry *e)
{
	struct cut *cut = ctx;
	uint64_t i = fixture_number(key->ptr, key->len);
	cut->want[op->db][i] = value_of(e) + 1;
	cut->want_due[op->db][i] = entry_has_expiry(e) ? entry_expiry(e) : 0;
}

/* What is there now, expired keys too: they belong to the cut until somebody finds them. */
static void note_all(struct store *s, struct cut *cut)
{
	struct store_op op = fixture_op(s);
	op.exclusive = true;
	op.show_expired = true;
	memset(cut, 0, sizeof *cut);
	for (op.db = 0; op.db < DBS; op.db++)
		store_each(&op, note_key, cut);
}

static void fill(struct store *s, struct rng *rng, unsigned keys)
{
	struct store_op op = fixture_op(s);
	for (op.db = 0; op.db < DBS; op.db++) {
		for (unsigned i = 0; i < keys; i++) {
			if (rng_below(rng, 4))
				fixture_set(&op, i, rng_below(rng, 1000), rng_below(rng, 5) ? STORE_NO_EXPIRY : op.now_ms + 1);
		}
	}
}

START_TEST(test_cut_with_writes)
{
	struct rng rng;
	struct cut *cut = malloc(sizeof *cut);
	int err;
	rng_init(&rng, "snapshot");
	struct store_options o = fixture_options(_i == 0 ? 1 : 16, rng_next(&rng));
	struct store *s = fixture_open(&o);
	struct store_op op = fixture_op(s);
	struct store_snapshot_sink sink = { .entry = take, .ctx = cut };
	fill(s, &rng, 3000);
	for (int round = 0; round < 20; round++) {
		note_all(s, cut);
		struct store_snapshot *sn = store_snapshot_begin(s, &sink, &err);
		ck_assert_ptr_nonnull(sn);
		ck_assert_ptr_null(store_snapshot_begin(s, &sink, &err));
		ck_assert_int_eq(err, -EBUSY);
		/* Budgets of nothing: steps of a few buckets. */
		bool abort = round % 4 == 3;
		unsigned steps = 0;
		while (!store_snapshot_step(sn, 0, 0) && !(abort && steps > 20)) {
			for (uint64_t n = rng_below(&rng, 60); n; n--) {
				op.db = (unsigned)rng_below(&rng, DBS);
				random_write(&op, &rng, 3000);
			}
			if (rng_below(&rng, 10) == 0) {
				op.now_ms++;
				store_tick(&op, 0, 100, true);
			}
			if (rng_below(&rng, 40) == 0)
				ck_assert_int_eq(store_swap(s, (unsigned)rng_below(&rng, DBS), (unsigned)rng_below(&rng, DBS)), 0);
			if (rng_below(&rng, 60) == 0)
				store_flush(s, (int)rng_below(&rng, DBS), rng_below(&rng, 2));
			steps++;
		}
		ck_assert_uint_gt(steps, 5);
		store_snapshot_end(sn);
		if (!abort)
			check_cut(cut);
		if (rng_below(&rng, 2))
			store_tick(&op, 0, rng_below(&rng, 2) ? 100 : 100000, true);
		fill(s, &rng, 1000);
	}
	store_close(s);
	free(cut);
}
END_TEST

START_TEST(test_flush_of_everything)
{
	struct rng rng;
	struct cut *cut = malloc(sizeof *cut);
	int err;
	rng_init(&rng, "flush");
	struct store_options o = fixture_options(64, 5);
	struct store *s = fixture_open(&o);
	struct store_snapshot_sink sink = { .entry = take, .ctx = cut };
	struct store_op op = fixture_op(s);
	for (int round = 0; round < 4; round++) {
		fill(s, &rng, KEYS);
		note_all(s, cut);
		struct store_snapshot *sn = store_snapshot_begin(s, &sink, &err);
		store_snapshot_step(sn, 0, 0);
		uint64_t before = store_count(s, 0) + store_count(s, 1) + store_count(s, 2);
		ck_assert_uint_eq(store_flush(s, -1, round & 1), before);
		ck_assert_uint_eq(store_count(s, 0), 0);
		for (unsigned i = 0; i < 100; i++)
			fixture_set(&op, i, 5000, STORE_NO_EXPIRY); /* not of the cut */
		if (round < 2) {
			while (!store_snapshot_step(sn, 0, 100))
				;
			store_snapshot_end(sn);
			check_cut(cut);
		} else {
			store_snapshot_end(sn); /* an abort frees what was detached */
		}
		ck_assert_uint_eq(store_flush(s, -1, false), 100);
	}
	store_close(s);
	free(cut);
}
END_TEST

/* ------------------------------------------------------------------ threads */

#define LOOPS 3

struct world {
	struct store *store;
	struct store_snapshot *sn;
	pthread_barrier_t barrier;
	uint64_t seed;
	int stop, done; /* atomic */
};

struct member {
	struct world *w;
	unsigned loop;
	pthread_t thread;
};

/* A loop: writes anywhere, walks its own shards. */
static void *run_loop(void *arg)
{
	struct member *m = arg;
	struct world *w = m->w;
	struct store_op op = fixture_op(w->store);
	struct rng rng = { w->seed + m->loop };
	for (;;) {
		pthread_barrier_wait(&w->barrier); /* alone before this */
		if (__atomic_load_n(&w->stop, __ATOMIC_RELAXED))
			return NULL;
		bool mine_done = false;
		while (__atomic_load_n(&w->done, __ATOMIC_RELAXED) < LOOPS) {
			for (uint64_t n = rng_below(&rng, 50); n; n--) {
				op.db = (unsigned)rng_below(&rng, DBS);
				random_write(&op, &rng, 4000);
			}
			store_tick(&op, m->loop, 50, true);
			if (!mine_done && store_snapshot_step(w->sn, m->loop, 20)) {
				mine_done = true;
				__atomic_fetch_add(&w->done, 1, __ATOMIC_RELAXED);
			}
		}
		pthread_barrier_wait(&w->barrier); /* alone after this */
	}
}

START_TEST(test_cut_with_threads)
{
	struct rng rng;
	struct cut *cut = malloc(sizeof *cut);
	int err;
	rng_init(&rng, "threads");
	struct store_options o = fixture_options(32, rng_next(&rng));
	o.loops = LOOPS;
	struct world w = { .store = fixture_open(&o), .seed = rng_next(&rng) };
	struct store_snapshot_sink sink = { .entry = take, .ctx = cut };
	struct member members[LOOPS];
	pthread_barrier_init(&w.barrier, NULL, LOOPS + 1);
	fill(w.store, &rng, 4000);
	for (unsigned i = 0; i < LOOPS; i++) {
		members[i] = (struct member){ .w = &w, .loop = i };
		pthread_create(&members[i].thread, NULL, run_loop, &members[i]);
	}
	for (int round = 0; round < 8; round++) {
		note_all(w.store, cut);
		w.sn = store_snapshot_begin(w.store, &sink, &err);
		ck_assert_ptr_nonnull(w.sn);
		w.done = 0;
		pthread_barrier_wait(&w.barrier);
		pthread_barrier_wait(&w.barrier);
		store_snapshot_end(w.sn);
		check_cut(cut);
		fill(w.store, &rng, 2000);
	}
	w.stop = 1;
	pthread_barrier_wait(&w.barrier);
	for (unsigned i = 0; i < LOOPS; i++)
		pthread_join(members[i].thread, NULL);
	pthread_barrier_destroy(&w.barrier);
	store_close(w.store);
	free(cut);
}
END_TEST

/* A parked loop keeps a lock that it was given just before. */
START_TEST(test_alone_beside_a_held_lock)
{
	struct store_options o = fixture_options(16, 5);
	struct store *s = fixture_open(&o);
	struct store_op op = fixture_op(s);
	struct cut *cut = calloc(1, sizeof *cut);
	struct store_snapshot_sink sink = { .entry = take, .ctx = cut };
	struct fixture_key k;
	int err;
	fixture_set(&op, 1, 1, STORE_NO_EXPIRY);
	fixture_key(s, &k, 1);
	struct store_snapshot *sn = store_snapshot_begin(s, &sink, &err);
	store_lock(s, k.key.hash);
	ck_assert(!store_snapshot_step(sn, 0, 1000000));
	ck_assert(store_snapshot_step_alone(sn, 0, 1000000));
	store_unlock(s, k.key.hash);
	store_snapshot_end(sn);
	ck_assert_uint_eq(cut->times, 1);
	store_close(s);
	free(cut);
}
END_TEST

START_TEST(test_memory_fails)
{
	struct store_options o = fixture_options(16, 5);
	struct store *s = fixture_open(&o);
	struct store_op op = fixture_op(s);
	struct cut *cut = calloc(1, sizeof *cut);
	struct store_snapshot_sink sink = { .entry = take, .ctx = cut };
	fixture_set(&op, 1, 1, STORE_NO_EXPIRY);
	for (unsigned n = 1; n <= 4; n++) {
		int err = 0;
		mem_fail_after(n);
		ck_assert_ptr_null(store_snapshot_begin(s, &sink, &err));
		mem_fail_after(0);
		ck_assert_int_eq(err, -ENOMEM);
	}
	int err;
	struct store_snapshot *sn = store_snapshot_begin(s, &sink, &err);
	ck_assert(store_snapshot_step(sn, 0, 1000));
	store_snapshot_end(sn);
	ck_assert_uint_eq(cut->times, 1);
	store_close(s);
	free(cut);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("store_snapshot");
	TCase *tc = tcase_create("snapshot");
	tcase_set_timeout(tc, 240);
	tcase_add_loop_test(tc, test_cut_with_writes, 0, 2);
	tcase_add_test(tc, test_flush_of_everything);
	tcase_add_test(tc, test_cut_with_threads);
	tcase_add_test(tc, test_alone_beside_a_held_lock);
	tcase_add_test(tc, test_memory_fails);
	suite_add_tcase(s, tc);
	return suite_run(s);
}
