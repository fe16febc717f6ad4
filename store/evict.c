/*
 * Eviction: which keys go when memory is short. Candidates come from samples: buckets of shards chosen at random. The best
 * ones seen so far wait in the caller's pool, so that over many evictions the choice comes close to the true order (the
 * idea of Redis's eviction pool). A candidate is looked up again under its shard's lock before it goes, and is spared if it
 * was used meanwhile.
 *
 * Keys chosen at random are in no cache, and eviction one by one would mostly wait for memory. So several keys go at once:
 * all buckets of a round are fetched, then all their entries, then what the chosen ones need to be freed.
 *
 * A candidate is remembered by its address and place, not by its name: an address is never followed, only compared with
 * what stands in the bucket. If another key has come to stand at the same address, it may go instead if it scores as high.
 */
#include <stdlib.h>

#include "store/entry_build.h"
#include "store/memory.h"
#include "store/shard.h"

#define BATCH 8        /* keys that go in one round */
#define POOL 24        /* what a full round leaves waits for the next */
#define AIMS 16        /* buckets fetched together */
#define GROUPS 4       /* of so many, at most, for one round */
#define TRIES 64       /* shards looked at for one group */
#define BUCKETS_MAX 64 /* looked at for one sample where keys are rare */
#define SHARDS_MAX 8   /* tried until one has candidates, there */

struct candidate {
	uint64_t score; /* the higher, the sooner it goes */
	const struct entry *e;
	uint32_t shard, db, index;
};

struct store_evict_pool {
	unsigned n;
	unsigned credit;  /* keys looked at and not yet used up by an eviction */
	unsigned yield;   /* candidates per bucket, in 1/16; a moving average */
	size_t key_bytes; /* freed per key; likewise */
	struct candidate v[POOL]; /* by score, the best last */
};

/* Where to look. */
struct aim {
	struct shard *sh;
	unsigned db;
	uint32_t random; /* of which the bucket follows */
};

struct sample {
	struct store_op *op;
	const struct store_evict *how;
	struct store_evict_pool *pool;
	unsigned samples; /* for each eviction */
	unsigned seen;
};

struct store_evict_pool *store_evict_pool_new(void)
{
	struct store_evict_pool *p = mem_calloc(sizeof *p);
	if (p)
		store_evict_pool_clear(p);
	return p;
}

void store_evict_pool_clear(struct store_evict_pool *p)
{
	p->n = p->credit = 0;
	p->yield = TABLE_LOAD * 16;
	p->key_bytes = 1 << 20; /* one at a time until it is known */
}

void store_evict_pool_free(struct store_evict_pool *p)
{
	mem_free(p);
}

static uint64_t score_of(const struct store_op *op, const struct store_evict *how, const struct entry *e)
{
	switch (how->order) {
	case STORE_EVICT_LRU: /* not the idle time, which would grow for those that wait */
		return INT64_MAX - (uint64_t)(op->now_ms / 1000 * 1000) + (uint64_t)entry_idle_ms(op, e);
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

static void offer(struct sample *s, struct shard *sh, unsigned db, uint32_t index, const struct entry *e)
{
	struct store_evict_pool *p = s->pool;
	if (s->how->volatile_only && !entry_has_expiry(e))
		return;
	uint64_t score = score_of(s->op, s->how, e);
	if (p->n == POOL && score <= p->v[0].score) {
		s->seen++;
		return;
	}
	for (unsigned i = 0; i < p->n; i++) {
		if (p->v[i].e == e)
			return; /* it waits there already */
	}
	s->seen++;
	unsigned at = p->n;
	if (p->n < POOL) {
		/* Among equals the last goes first: it is still in the cache. */
		for (; at > 0 && p->v[at - 1].score > score; at--)
			p->v[at] = p->v[at - 1];
		p->n++;
	} else {
		for (at = 0; at + 1 < POOL && p->v[at + 1].score <= score; at++)
			p->v[at] = p->v[at + 1];
	}
	p->v[at] = (struct candidate){ score, e, (uint32_t)(sh - s->op->store->shard), db, index };
}

static void offer_bucket(struct sample *s, struct shard *sh, unsigned db, const struct table *t, uint32_t index)
{
	for (const struct bucket *b = table_bucket(t, index); b; b = bucket_next(b)) {
		for (unsigned i = 0; i < bucket_count(b); i++)
			offer(s, sh, db, index, bucket_ptr(b, i));
	}
}

static bool has_candidates(const struct sample *s, struct shard *sh, unsigned db)
{
	const struct table *t = shard_table(sh, db);
	return t && (s->how->volatile_only ? TABLE_READ(t->volatile_keys) : TABLE_READ(t->keys));
}

static unsigned dbs_of(const struct store *st, struct shard *sh)
{
	return __atomic_load_n(&sh->more, __ATOMIC_RELAXED) ? st->dbs : 1;
}

static unsigned choose(const struct sample *s, struct aim *aims, unsigned want)
{
	const struct store *st = s->op->store;
	unsigned n = 0;
	for (unsigned tries = 0; n < want && tries < TRIES; tries++) {
		uint64_t random = store_rng_next();
		struct shard *sh = &st->shard[(random >> 32) & (st->shards - 1)];
		unsigned dbs = dbs_of(st, sh);
		for (unsigned db = 0; db < dbs && n < AIMS; db++) {
			if (has_candidates(s, sh, db))
				aims[n++] = (struct aim){ sh, db, (uint32_t)random };
		}
	}
	return n;
}

/* Nobody waits for a hint. */
static bool hint_lock(const struct store_op *op, struct shard *sh)
{
	return op->exclusive || shard_trylock(op->store, sh);
}

enum step { FETCH_BUCKET, FETCH_ENTRIES, OFFER };

static void fetch_entries(const struct table *t, uint32_t index)
{
	for (const struct bucket *b = table_bucket(t, index); b; b = bucket_next(b)) {
		for (unsigned i = 0; i < bucket_count(b); i++)
			__builtin_prefetch(bucket_ptr(b, i));
	}
}

static void step(struct sample *s, const struct aim *a, enum step what)
{
	if (what == OFFER)
		op_lock(s->op, a->sh);
	else if (!hint_lock(s->op, a->sh))
		return;
	const struct table *t = shard_table(a->sh, a->db);
	if (t && t->dir && t->keys) {
		uint32_t index = (uint32_t)((uint64_t)a->random * t->nbuckets >> 32);
		if (what == FETCH_BUCKET)
			__builtin_prefetch(table_bucket(t, index));
		else if (what == FETCH_ENTRIES)
			fetch_entries(t, index);
		else
			offer_bucket(s, a->sh, a->db, t, index);
	}
	op_unlock(s->op, a->sh);
}

/* Look at about so many keys, in as many buckets as that takes. Returns whether there was any to aim at. */
static bool sample_group(struct sample *s, unsigned keys)
{
	struct store_evict_pool *p = s->pool;
	struct aim aims[AIMS];
	uint64_t buckets = (uint64_t)keys * 16 / (p->yield + 1) + 1;
	unsigned n = choose(s, aims, buckets < AIMS ? (unsigned)buckets : AIMS), before = s->seen;
	for (enum step what = FETCH_BUCKET; what <= OFFER; what++) {
		for (unsigned i = 0; i < n; i++)
			step(s, &aims[i], what);
	}
	if (n)
		p->yield = (p->yield * 7 + (s->seen - before) * 16 / n) / 8;
	return n > 0;
}

/* ------------------------------------------------------------------ sampling where keys are rare */

static void sample_table(struct sample *s, struct shard *sh, unsigned db, const struct table *t)
{
	uint32_t i = (uint32_t)(store_rng_next() % t->nbuckets);
	unsigned looked = 0, enough = s->seen + s->samples;
	for (uint32_t n = 0; n < t->nbuckets && looked < BUCKETS_MAX && s->seen < enough; n++) {
		if (!s->how->volatile_only || due_get(t, i) != TABLE_DUE_NONE) {
			offer_bucket(s, sh, db, t, i);
			looked++;
		}
		i = i + 1 < t->nbuckets ? i + 1 : 0;
	}
}

/* Candidates of every database in one shard. Returns whether it had any. */
static bool sample_shard(struct sample *s, struct shard *sh)
{
	bool any = false;
	for (unsigned db = 0; db < dbs_of(s->op->store, sh); db++) {
		if (!has_candidates(s, sh, db))
			continue;
		op_lock(s->op, sh);
		const struct table *t = shard_table(sh, db);
		if (t && t->dir && t->keys)
			sample_table(s, sh, db, t);
		op_unlock(s->op, sh);
		any = true;
	}
	return any;
}

/* From a shard chosen at random and, if it has too few keys, those behind it. */
static void sample_around(struct sample *s)
{
	const struct store *st = s->op->store;
	unsigned from = (unsigned)(store_rng_next() % st->shards), tried = 0, enough = s->seen + s->samples;
	for (unsigned k = 0; k < st->shards && tried < SHARDS_MAX && s->seen < enough; k++)
		tried += sample_shard(s, &st->shard[(from + k) % st->shards]);
}

/* Look at enough keys for so many evictions. Returns for how many it is enough, at least 1; 0: there is no candidate. Nothing
 * here looks at all shards while some have keys: this runs for every few keys that go. */
static unsigned fill_pool(struct sample *s, unsigned evictions)
{
	struct store_evict_pool *p = s->pool;
	unsigned want = evictions * s->samples;
	for (unsigned i = 0; i < GROUPS && p->credit < want; i++) {
		s->seen = 0;
		if (!sample_group(s, want - p->credit))
			break;
		p->credit += s->seen;
	}
	if (p->n < POOL && p->n < s->samples)
		sample_around(s);
	unsigned paid = p->credit / s->samples;
	paid = paid > evictions ? evictions : paid ? paid : 1;
	return paid < p->n ? paid : p->n;
}

/* ------------------------------------------------------------------ evicting */

/* Where the candidate stands, if it still does. */
static struct entry *find(const struct table *t, const struct candidate *c, struct slot *at)
{
	if (!t || !t->dir || c->index >= t->nbuckets)
		return NULL;
	at->index = c->index;
	for (at->b = table_bucket(t, c->index); at->b; at->b = bucket_next(at->b)) {
		for (at->i = 0; at->i < bucket_count(at->b); at->i++) {
			struct entry *e = bucket_ptr(at->b, at->i);
			if (e == c->e)
				return e;
		}
	}
	return NULL;
}

/* Remove the candidate unless it has gone or was used since it was seen. */
static bool evict(struct store_op *op, const struct store_evict *how, const struct candidate *c)
{
	struct shard *sh = &op->store->shard[c->shard];
	struct slot at;
	bool gone = false;
	op->db = c->db;
	op_lock(op, sh);
	struct table *t = shard_table(sh, c->db);
	struct entry *e = find(t, c, &at);
	if (e && (!how->volatile_only || entry_has_expiry(e)) &&
	    (how->order == STORE_EVICT_RANDOM || score_of(op, how, e) >= c->score)) {
		struct store_key key = shard_key_of(op->store, e);
		keyspace_remove(op, sh, t, &at, e, &key, STORE_EVICTED, how->lazy);
		gone = true;
	}
	op_unlock(op, sh);
	return gone;
}

static void fetch_candidate(const struct store_op *op, const struct candidate *c)
{
	struct shard *sh = &op->store->shard[c->shard];
	__builtin_prefetch(c->e, 1);
	slab_prefetch(c->e);
	if (!hint_lock(op, sh))
		return;
	const struct table *t = shard_table(sh, c->db);
	if (t && t->dir && c->index < t->nbuckets)
		__builtin_prefetch(table_bucket(t, c->index), 1);
	op_unlock(op, sh);
}

/* One round: the best n candidates, until so many bytes are free. Returns how many have gone. Whoever waits for a lock may
 * find the pool cleared. */
static unsigned evict_best(struct sample *s, unsigned n, int64_t bytes)
{
	struct store_evict_pool *p = s->pool;
	int64_t before = (int64_t)mem_used(), freed = 0;
	unsigned gone = 0;
	for (unsigned i = 1; i <= n; i++)
		fetch_candidate(s->op, &p->v[p->n - i]);
	for (; n > 0 && p->n > 0 && freed < bytes; n--) {
		if (!evict(s->op, s->how, &p->v[--p->n]))
			continue;
		gone++;
		p->credit -= p->credit < s->samples ? p->credit : s->samples;
		freed = before - (int64_t)mem_used();
	}
	if (gone)
		p->key_bytes = (p->key_bytes * 3 + (size_t)(freed > 0 ? freed : 0) / gone) / 4;
	return gone;
}

unsigned store_evict(struct store_op *op, const struct store_evict *how, struct store_evict_pool *pool, size_t bytes)
{
	unsigned db = op->db, gone = 0, n = BATCH;
	struct sample s = { .op = op, .how = how, .pool = pool, .samples = how->samples };
	if (how->order == STORE_EVICT_RANDOM)
		s.samples = 1;
	if (s.samples > AIMS * TABLE_LOAD)
		s.samples = AIMS * TABLE_LOAD;
	/* What the background frees is not seen at once: many would go for the one that was enough. */
	if (how->lazy || bytes / BATCH < pool->key_bytes)
		n = how->lazy || !pool->key_bytes ? 1 : (unsigned)(bytes / pool->key_bytes) + 1;
	for (unsigned ready; !gone && (ready = fill_pool(&s, n)) > 0;)
		gone = evict_best(&s, ready, (int64_t)(bytes < INT64_MAX ? bytes : INT64_MAX));
	op->db = db;
	return gone;
}
