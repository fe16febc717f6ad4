/* Locks of shards: exclusion, sets of locks, sleeping with hooks, prefetching and counting beside writers. */
#include <pthread.h>
#include <stdlib.h>
#include <unistd.h>

#include "store/memory.h"
#include "tests/lib/rng.h"
#include "tests/lib/store_fixture.h"
#include "tests/lib/suite.h"

#define THREADS 4
#define ACCOUNTS 64
#define TRANSFERS 15000

struct bank {
	struct store *store;
	uint64_t seed;
	unsigned number; /* atomic: the next thread's */
	int stop;
};

static int64_t balance(struct store_op *op, const struct store_key *key)
{
	int64_t v = 0;
	const struct entry *e = store_find(op, key, STORE_READ);
	ck_assert_ptr_nonnull(e);
	ck_assert(entry_string_int(e, &v));
	return v;
}

/* Moves amounts between several accounts at a time, all locked together. */
static void *transfer(void *arg)
{
	struct bank *b = arg;
	struct rng rng = { b->seed + __atomic_fetch_add(&b->number, 1, __ATOMIC_RELAXED) };
	struct store_op op = fixture_op(b->store);
	for (int n = 0; n < TRANSFERS; n++) {
		struct fixture_key k[40];
		struct store_lockset ls;
		unsigned count = 2 + (unsigned)rng_below(&rng, n % 50 == 0 ? 38 : 3);
		store_lockset_init(&ls);
		for (unsigned i = 0; i < count; i++) {
			fixture_key(b->store, &k[i], rng_below(&rng, ACCOUNTS));
			ck_assert(store_lockset_add(b->store, &ls, k[i].key.hash));
		}
		store_lockset_lock(b->store, &ls);
		ck_assert(ls.locked);
		for (unsigned i = 0; i + 1 < count; i++) {
			int64_t amount = (int64_t)rng_below(&rng, 100);
			store_set_int(&op, &k[i].key, balance(&op, &k[i].key) - amount, STORE_NO_EXPIRY);
			store_set_int(&op, &k[i + 1].key, balance(&op, &k[i + 1].key) + amount, STORE_NO_EXPIRY);
		}
		store_lockset_unlock(b->store, &ls);
		store_lockset_clear(&ls);
	}
	return NULL;
}

/* Everything that may run beside writers. */
static void *look(void *arg)
{
	struct bank *b = arg;
	struct store_op op = fixture_op(b->store);
	struct rng rng = { b->seed };
	char *key = NULL;
	size_t len;
	struct store_stats st;
	while (!__atomic_load_n(&b->stop, __ATOMIC_RELAXED)) {
		struct fixture_key k;
		fixture_key(b->store, &k, rng_below(&rng, ACCOUNTS));
		struct store_ahead ahead = { .hash = k.key.hash, .last = STORE_PREFETCH_STAGES - 1 }, *v = &ahead;
		store_prefetch(b->store, &v, 1);
		op.db = (unsigned)rng_below(&rng, 3);
		fixture_set(&op, 1000 + rng_below(&rng, 2000), 1, op.now_ms + 5);
		fixture_delete(&op, 1000 + rng_below(&rng, 2000));
		ck_assert_uint_ge(store_count(b->store, 0), ACCOUNTS);
		store_get_stats(b->store, &st);
		ck_assert(store_random_key(&op, &key, &len) || op.db); /* the other databases may be empty */
		store_average_ttl_ms(&op);
		store_tick(&op, 0, 100, true);
		ck_assert_uint_gt(mem_used(), 0);
		op.now_ms += op.now_ms < 1000100;
	}
	free(key);
	return NULL;
}

START_TEST(test_transfers)
{
	static const unsigned shards[] = { 1, 8, 1024 };
	struct rng rng;
	rng_init(&rng, "locks");
	struct store_options o = fixture_options(shards[_i], 4);
	struct bank b = { .store = fixture_open(&o), .seed = rng_next(&rng) };
	struct store_op op = fixture_op(b.store);
	pthread_t t[THREADS], looker;
	for (unsigned i = 0; i < ACCOUNTS; i++)
		fixture_set(&op, i, 1000, STORE_NO_EXPIRY);
	pthread_create(&looker, NULL, look, &b);
	for (int i = 0; i < THREADS; i++)
		pthread_create(&t[i], NULL, transfer, &b);
	for (int i = 0; i < THREADS; i++)
		pthread_join(t[i], NULL);
	__atomic_store_n(&b.stop, 1, __ATOMIC_RELAXED);
	pthread_join(looker, NULL);
	int64_t sum = 0;
	for (unsigned i = 0; i < ACCOUNTS; i++) {
		struct fixture_key k;
		fixture_key(b.store, &k, i);
		sum += balance(&op, &k.key);
	}
	ck_assert_int_eq(sum, 1000 * ACCOUNTS);
	store_close(b.store);
}
END_TEST

/* ------------------------------------------------------------------ sleeping */

struct sleeper {
	struct store *store;
	uint64_t hash;
	int out, in; /* atomic */
};

static void on_out(void *ctx)
{
	struct sleeper *s = ctx;
	__atomic_fetch_add(&s->out, 1, __ATOMIC_RELEASE);
}

static void on_in(void *ctx)
{
	struct sleeper *s = ctx;
	ck_assert(!store_trylock(s->store, s->hash)); /* taken already, by us */
	__atomic_fetch_add(&s->in, 1, __ATOMIC_RELEASE);
}

static void *sleep_for_lock(void *arg)
{
	struct sleeper *s = arg;
	store_lock(s->store, s->hash);
	store_unlock(s->store, s->hash);
	return NULL;
}

START_TEST(test_hooks_around_a_sleep)
{
	struct sleeper sl = { 0 };
	struct store_options o = fixture_options(16, 4);
	o.hooks = (struct store_hooks){ .wait_out = on_out, .wait_in = on_in };
	o.hooks_ctx = &sl;
	sl.store = fixture_open(&o);
	struct fixture_key k;
	sl.hash = fixture_key(sl.store, &k, 1).hash;
	pthread_t t[3];
	store_lock(sl.store, sl.hash);
	ck_assert(!store_trylock(sl.store, sl.hash));
	for (int i = 0; i < 3; i++)
		pthread_create(&t[i], NULL, sleep_for_lock, &sl);
	while (__atomic_load_n(&sl.out, __ATOMIC_ACQUIRE) < 3)
		usleep(100);
	ck_assert_int_eq(__atomic_load_n(&sl.in, __ATOMIC_ACQUIRE), 0);
	store_unlock(sl.store, sl.hash);
	for (int i = 0; i < 3; i++)
		pthread_join(t[i], NULL);
	ck_assert_int_eq(sl.out, 3);
	ck_assert_int_eq(sl.in, 3);
	ck_assert(store_trylock(sl.store, sl.hash));
	store_unlock(sl.store, sl.hash);
	store_close(sl.store);
}
END_TEST

START_TEST(test_single)
{
	struct store_options o = fixture_options(16, 4);
	struct store *s = fixture_open(&o);
	struct fixture_key k;
	fixture_key(s, &k, 1);
	store_set_single(s, true);
	store_lock(s, k.key.hash);
	ck_assert(store_trylock(s, k.key.hash)); /* no lock at all */
	store_unlock(s, k.key.hash);
	store_set_single(s, false);
	ck_assert(store_trylock(s, k.key.hash));
	ck_assert(!store_trylock(s, k.key.hash));
	store_unlock(s, k.key.hash);
	store_close(s);
}
END_TEST

/* Big sets: sorted, without duplicates, whatever the order of adding. */
START_TEST(test_lockset)
{
	struct store_options o = fixture_options(4096, 4);
	struct store *s = fixture_open(&o);
	struct fixture_key k;
	struct store_lockset ls;
	static bool want[4096];
	store_lockset_init(&ls);
	for (unsigned i = 0; i < 3000; i++) {
		for (int twice = 0; twice < 2; twice++)
			ck_assert(store_lockset_add(s, &ls, fixture_key(s, &k, i).hash));
		want[store_shard_of(s, k.key.hash)] = true;
	}
	store_lockset_lock(s, &ls);
	for (unsigned i = 1; i < ls.n; i++)
		ck_assert_uint_lt(ls.shards[i - 1], ls.shards[i]);
	for (unsigned i = 0; i < 4096; i++) {
		bool got = !store_trylock(s, (uint64_t)i << 52);
		ck_assert_int_eq(got, want[i]);
		if (!got)
			store_unlock(s, (uint64_t)i << 52);
	}
	store_lockset_unlock(s, &ls);
	store_lockset_clear(&ls);
	ck_assert_uint_eq(ls.n, 0);
	/* Many duplicates need no memory; many shards do, and say so. */
	mem_fail_after(1);
	for (unsigned i = 0; i < 1000; i++)
		ck_assert(store_lockset_add(s, &ls, (uint64_t)(i % 8) << 52));
	bool ok = true;
	for (unsigned i = 0; i < 100 && ok; i++)
		ok = store_lockset_add(s, &ls, (uint64_t)i << 52);
	ck_assert(!ok);
	mem_fail_after(0);
	store_lockset_clear(&ls);
	store_close(s);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("store_lock");
	TCase *tc = tcase_create("lock");
	tcase_set_timeout(tc, 240);
	tcase_add_loop_test(tc, test_transfers, 0, 3);
	tcase_add_test(tc, test_hooks_around_a_sleep);
	tcase_add_test(tc, test_single);
	tcase_add_test(tc, test_lockset);
	suite_add_tcase(s, tc);
	return suite_run(s);
}
