/* Walks over the whole keyspace: cursors, visits, random keys. */
#include <stdlib.h>

#include "store/entry_build.h"
#include "store/shard.h"

struct visiting {
	struct store_op *op;
	struct shard *sh;
	store_visit *visit;
	void *ctx;
	uint64_t seen;
};

static void visit_entry(void *ctx, struct table *t, const struct slot *at, struct entry *e)
{
	struct visiting *v = ctx;
	struct store_key key = shard_key_of(v->op->store, e);
	v->seen++;
	if (!entry_expired(v->op, e))
		v->visit(v->ctx, v->op, &key, e);
	else if (!v->op->keep_expired)
		keyspace_expire(v->op, v->sh, t, at, e, &key);
}

/* The first shard from `from` on that has keys; s->shards: none. */
static unsigned next_filled(const struct store *s, unsigned db, unsigned from)
{
	const uint64_t *words = &s->filled[(size_t)db * s->filled_words];
	for (unsigned w = from / 64; w < s->filled_words; w++) {
		uint64_t bits = TABLE_READ(words[w]);
		if (w == from / 64)
			bits &= ~(uint64_t)0 << from % 64;
		if (bits)
			return w * 64 + (unsigned)__builtin_ctzl(bits);
	}
	return s->shards;
}

uint64_t store_scan(struct store_op *op, uint64_t cursor, unsigned count, store_visit *visit, void *ctx)
{
	struct store *s = op->store;
	struct visiting v = { .op = op, .visit = visit, .ctx = ctx };
	unsigned shard = (unsigned)(cursor % s->shards);
	uint64_t position = cursor / s->shards, buckets = 0, max_buckets = (uint64_t)count * 10;
	if (position >= TABLE_POSITIONS || op->db >= s->dbs)
		return 0;
	for (;;) {
		unsigned next = next_filled(s, op->db, shard);
		if (next >= s->shards)
			return 0;
		if (next != shard)
			position = 0;
		shard = next;
		if (v.seen >= count || buckets >= max_buckets)
			break;
		v.sh = &s->shard[shard];
		op_lock(op, v.sh);
		struct table *t = shard_table(v.sh, op->db);
		while (position < TABLE_POSITIONS && v.seen < count && buckets < max_buckets && t->keys) {
			/* Where the interval ends is asked first: the visitor may remove keys, and the table shrink. */
			uint64_t end = table_position_next(t, position);
			table_visit_bucket(t, table_position_index(t, position), visit_entry, &v);
			position = end;
			buckets++;
		}
		if (position >= TABLE_POSITIONS || !t->keys) {
			position = 0;
			shard++;
		}
		op_unlock(op, v.sh);
	}
	return position * s->shards + shard;
}

void store_each(struct store_op *op, store_visit *visit, void *ctx)
{
	struct store *s = op->store;
	struct visiting v = { .op = op, .visit = visit, .ctx = ctx };
	for (unsigned i = next_filled(s, op->db, 0); i < s->shards; i = next_filled(s, op->db, i + 1)) {
		v.sh = &s->shard[i];
		op_lock(op, v.sh);
		struct table *t = shard_table(v.sh, op->db);
		if (t && t->dir) {
			t->pinned++;
			for (uint32_t b = 0; b < t->nbuckets; b++)
				table_visit_bucket(t, b, visit_entry, &v);
			t->pinned--;
		}
		op_unlock(op, v.sh);
		if (i + 1 == s->shards)
			break;
	}
}

/* ------------------------------------------------------------------ random keys */

static uint64_t random_below(uint64_t n)
{
	return (uint64_t)((unsigned __int128)store_rng_next() * n >> 64);
}

/* A shard chosen by its size; NULL: no keys. */
static struct shard *random_shard(struct store *s, unsigned db)
{
	uint64_t total = store_count(s, db);
	if (total == 0)
		return NULL;
	uint64_t n = random_below(total);
	unsigned last = s->shards;
	for (unsigned i = next_filled(s, db, 0); i < s->shards; i = next_filled(s, db, i + 1)) {
		const struct table *t = shard_table(&s->shard[i], db);
		uint64_t keys = t ? TABLE_READ(t->keys) : 0;
		last = keys ? i : last;
		if (n < keys)
			break;
		n -= keys;
		if (i + 1 == s->shards)
			break;
	}
	return last < s->shards ? &s->shard[last] : NULL;
}

/* An entry of the table, each with the same chance: a bucket, then one of as many places as the longest chain has, until
 * the place is taken. */
static struct entry *random_entry(const struct table *t, struct slot *at)
{
	for (;;) {
		uint32_t index = (uint32_t)random_below(t->nbuckets);
		unsigned n = (unsigned)random_below(t->max_chain);
		if (n < table_chain_len(t, index))
			return table_chain_at(t, index, n, at);
	}
}

static bool copy_key(const struct entry *e, char **buf, size_t *len)
{
	size_t n = entry_key_len(e);
	char *p = realloc(*buf, n ? n : 1);
	if (!p)
		return false;
	memcpy(p, entry_key(e), n);
	*buf = p;
	*len = n;
	return true;
}

bool store_random_key(struct store_op *op, char **buf, size_t *len)
{
	struct store *s = op->store;
	/* Where expired keys are kept, all may be expired: then give up at last. */
	for (int tries = 0; tries < 1000 || !op->keep_expired; tries++) {
		struct shard *sh = random_shard(s, op->db);
		if (!sh)
			return false;
		op_lock(op, sh);
		struct table *t = shard_table(sh, op->db);
		bool found = false, retry = true;
		if (t && t->keys) {
			struct slot at;
			struct entry *e = random_entry(t, &at);
			if (!entry_expired(op, e)) {
				found = copy_key(e, buf, len);
				retry = false;
			} else if (!op->keep_expired) {
				struct store_key key = shard_key_of(s, e);
				keyspace_expire(op, sh, t, &at, e, &key);
			}
		}
		op_unlock(op, sh);
		if (!retry)
			return found;
	}
	return false;
}

/* ------------------------------------------------------------------ figures */

struct ttl_sample {
	int64_t now_ms, n;
	__int128 sum_ms;
};

static void sample_ttl(void *ctx, struct table *t, const struct slot *at, struct entry *e)
{
	(void)t;
	(void)at;
	struct ttl_sample *ts = ctx;
	if (!entry_has_expiry(e) || entry_expiry(e) < ts->now_ms)
		return;
	ts->sum_ms += entry_expiry(e) - ts->now_ms;
	ts->n++;
}

int64_t store_average_ttl_ms(struct store_op *op)
{
	struct store *s = op->store;
	struct ttl_sample ts = { .now_ms = op->now_ms };
	if (store_count_volatile(s, op->db) == 0)
		return 0;
	for (unsigned tries = 0; tries < 256 && ts.n < 128; tries++) {
		struct shard *sh = random_shard(s, op->db);
		if (!sh)
			break;
		op_lock(op, sh);
		struct table *t = shard_table(sh, op->db);
		if (t && t->dir && t->volatile_keys)
			table_visit_bucket(t, (uint32_t)random_below(t->nbuckets), sample_ttl, &ts);
		op_unlock(op, sh);
	}
	return ts.n ? (int64_t)(ts.sum_ms / ts.n) : 0;
}
