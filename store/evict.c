/*
 * Eviction: which key goes when memory is short. Candidates come from samples: some buckets of a shard chosen at random.
 * The best ones seen so far wait in the caller's pool, so that over many evictions the choice comes close to the true order
 * (the idea of Redis's eviction pool). A candidate is looked up again under its shard's lock before it goes, and is spared
 * if it was used meanwhile.
 */
#include <stdlib.h>

#include "store/entry_build.h"
#include "store/memory.h"
#include "store/shard.h"

#define BUCKETS_MAX 64  /* looked at for one sample */
#define SHARDS_MAX 8    /* tried until one has candidates */

struct candidate {
	uint64_t score; /* the higher, the sooner it goes */
	uint64_t hash;
	unsigned db;
	size_t len;
	char *key;
};

/* Where to sample later. */
struct aim {
	unsigned shard;
	uint32_t random; /* of which the bucket follows */
};

struct store_evict_pool {
	unsigned n;
	struct aim now, next, later;
	struct candidate v[STORE_EVICT_POOL]; /* by score, the best last */
};

struct store_evict_pool *store_evict_pool_new(void)
{
	return mem_calloc(sizeof(struct store_evict_pool));
}

void store_evict_pool_clear(struct store_evict_pool *p)
{
	while (p->n)
		mem_free(p->v[--p->n].key);
}

void store_evict_pool_free(struct store_evict_pool *p)
{
	if (!p)
		return;
	store_evict_pool_clear(p);
	mem_free(p);
}

static uint64_t score_of(const struct store_op *op, const struct store_evict *how, const struct entry *e)
{
	switch (how->order) {
	case STORE_EVICT_LRU:
		return (uint64_t)entry_idle_ms(op, e);
	case STORE_EVICT_LFU:
		return 255 - entry_freq(op, e);
	case STORE_EVICT_TTL:
		return (uint64_t)(INT64_MAX - entry_expiry(e));
	case STORE_EVICT_RANDOM:
		break;
	}
	return store_rng_next() >> 1;
}

/* ------------------------------------------------------------------ sampling */

struct sample {
	struct store_op *op;
	const struct store_evict *how;
	struct store_evict_pool *pool;
	unsigned seen;
};

static void offer(struct sample *s, const struct entry *e)
{
	struct store_evict_pool *p = s->pool;
	uint64_t score = score_of(s->op, s->how, e);
	unsigned at = 0;
	if (p->n == STORE_EVICT_POOL && score <= p->v[0].score)
		return;
	struct store_key key = shard_key_of(s->op->store, e);
	for (unsigned i = 0; i < p->n; i++) {
		if (p->v[i].hash == key.hash && p->v[i].db == s->op->db)
			return; /* it waits there already */
	}
	char *copy = mem_alloc(key.len ? key.len : 1);
	if (!copy)
		return;
	memcpy(copy, key.ptr, key.len);
	if (p->n == STORE_EVICT_POOL) {
		mem_free(p->v[0].key);
		memmove(&p->v[0], &p->v[1], --p->n * sizeof p->v[0]);
	}
	while (at < p->n && p->v[at].score < score)
		at++;
	memmove(&p->v[at + 1], &p->v[at], (p->n++ - at) * sizeof p->v[0]);
	p->v[at] = (struct candidate){ score, key.hash, s->op->db, key.len, copy };
}

static void sample_entry(void *ctx, struct table *t, const struct slot *at, struct entry *e)
{
	(void)t, (void)at;
	struct sample *s = ctx;
	if (s->how->volatile_only && !entry_has_expiry(e))
		return;
	if (s->seen < s->how->samples)
		offer(s, e);
	s->seen++;
}

static void sample_table(struct sample *s, struct table *t)
{
	uint32_t i = (uint32_t)(s->pool->now.random % t->nbuckets);
	unsigned looked = 0;
	for (uint32_t n = 0; n < t->nbuckets && looked < BUCKETS_MAX && s->seen < s->how->samples; n++) {
		if (!s->how->volatile_only || due_get(t, i) != TABLE_DUE_NONE) {
			table_visit_bucket(t, i, sample_entry, s);
			looked++;
		}
		i = i + 1 < t->nbuckets ? i + 1 : 0;
	}
}

/*
 * Keys chosen at random are in no cache, and eviction would mostly wait for memory: the bucket to be sampled the time after
 * next is fetched now, and the entries of the next one.
 */
static void fetch(struct store *st, const struct aim *at, bool entries)
{
	struct shard *sh = &st->shard[at->shard];
	if (!shard_trylock(st, sh))
		return;
	const struct table *t = shard_table(sh, 0);
	if (t->nbuckets) {
		uint32_t i = at->random % t->nbuckets;
		struct slot slot;
		for (unsigned n = entries ? table_chain_len(t, i) : 0; n-- > 0;)
			__builtin_prefetch(table_chain_at(t, i, n, &slot));
		if (!entries)
			__builtin_prefetch(table_bucket(t, i));
	}
	shard_unlock(st, sh);
}

static void aim(struct store *st, struct store_evict_pool *p)
{
	p->now = p->next;
	p->next = p->later;
	p->later = (struct aim){ (unsigned)(store_rng_next() % st->shards), (uint32_t)store_rng_next() };
	fetch(st, &p->next, true);
	fetch(st, &p->later, false);
}

static bool has_candidates(const struct sample *s, struct shard *sh, unsigned db)
{
	const struct table *t = shard_table(sh, db);
	return t && (s->how->volatile_only ? TABLE_READ(t->volatile_keys) : TABLE_READ(t->keys));
}

/* Candidates of every database in one shard. Returns whether it had any. */
static bool sample_shard(struct sample *s, struct shard *sh)
{
	bool any = false;
	for (unsigned db = 0; db < s->op->store->dbs; db++) {
		if (!has_candidates(s, sh, db))
			continue;
		s->op->db = db;
		s->seen = 0;
		op_lock(s->op, sh);
		struct table *t = shard_table(sh, db);
		if (t && t->dir && t->keys)
			sample_table(s, t);
		op_unlock(s->op, sh);
		any = true;
	}
	return any;
}

/*
 * From a shard chosen at random and, if it has too few keys, those behind it. Nothing here looks at all shards while some
 * have keys: this runs for every key that goes.
 */
static bool fill_pool(struct store_op *op, const struct store_evict *how, struct store_evict_pool *pool)
{
	struct store *st = op->store;
	struct sample s = { .op = op, .how = how, .pool = pool };
	unsigned tried = 0, most = 0;
	aim(st, pool);
	for (unsigned k = 0; k < st->shards && tried < SHARDS_MAX && most < how->samples; k++) {
		tried += sample_shard(&s, &st->shard[(pool->now.shard + k) % st->shards]);
		most += s.seen;
	}
	return pool->n > 0;
}

/* ------------------------------------------------------------------ evicting */

/* Remove the candidate unless it has gone or was used since it was seen. */
static bool evict(struct store_op *op, const struct store_evict *how, const struct candidate *c)
{
	struct store *st = op->store;
	struct store_key key = { c->key, c->len, c->hash };
	struct shard *sh = shard_of(st, c->hash);
	struct slot at;
	bool gone = false;
	op->db = c->db;
	op_lock(op, sh);
	struct table *t = shard_table(sh, c->db);
	struct entry *e = t ? table_find(t, &key, &at) : NULL;
	if (e && (!how->volatile_only || entry_has_expiry(e)) &&
	    (how->order == STORE_EVICT_RANDOM || score_of(op, how, e) >= c->score)) {
		keyspace_remove(op, sh, t, &at, e, &key, STORE_EVICTED, how->lazy);
		gone = true;
	}
	op_unlock(op, sh);
	return gone;
}

bool store_evict_one(struct store_op *op, const struct store_evict *how, struct store_evict_pool *pool)
{
	unsigned db = op->db;
	bool gone = false, any = true;
	while (!gone && any) {
		any = fill_pool(op, how, pool);
		while (!gone && pool->n) {
			struct candidate *c = &pool->v[--pool->n];
			gone = evict(op, how, c);
			mem_free(c->key);
		}
	}
	op->db = db;
	return gone;
}
