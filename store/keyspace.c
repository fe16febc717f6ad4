/* keyspace: counting, scanning, random keys, flushing, upkeep. */
#include <errno.h>
#include <stdlib.h>
#include <time.h>

#include "store/internal.h"

static inline uint64_t relaxed(const uint64_t *p)
{
	return __atomic_load_n(p, __ATOMIC_RELAXED);
}

static struct table *published(struct shard *sh, unsigned db)
{
	return db ? __atomic_load_n(&sh->db[db], __ATOMIC_ACQUIRE) : __atomic_load_n(&sh->first, __ATOMIC_ACQUIRE);
}

uint64_t store_count(struct store *s, unsigned db)
{
	uint64_t n = 0;
	for (unsigned i = 0; i <= s->mask; i++) {
		struct table *t = published(&s->shards[i], db);
		n += t ? relaxed(&t->count) : 0;
	}
	return n;
}

uint64_t store_count_volatile(struct store *s, unsigned db)
{
	uint64_t n = 0;
	for (unsigned i = 0; i <= s->mask; i++) {
		struct table *t = published(&s->shards[i], db);
		n += t ? relaxed(&t->volatiles) : 0;
	}
	return n;
}

static void visit_bucket(struct store_op *op, struct table *t, uint64_t index, store_visit *visit, void *ctx, unsigned *keys)
{
	for (struct bucket *b = table_bucket(t, index); b; b = bucket_next(b)) {
		for (unsigned i = 0; i < bucket_count(b); i++) {
			struct entry *e = bucket_entry(b, i);
			if (entry_expiry(e) <= op->now_ms && !op->show_expired)
				continue;
			struct store_key key = store_key(op->store, entry_key(e), entry_key_len(e));
			visit(ctx, op, &key, e);
			(*keys)++;
		}
	}
}

static void step_lock(struct store_op *op, struct shard *sh)
{
	if (!op->exclusive)
		lock_shard(op->store, sh);
}

static void step_unlock(struct store_op *op, struct shard *sh)
{
	if (!op->exclusive)
		unlock_shard(op->store, sh);
}

uint64_t store_scan(struct store_op *op, uint64_t cursor, unsigned count, store_visit *visit, void *ctx)
{
	struct store *s = op->store;
	unsigned shard = (unsigned)(cursor & s->mask);
	uint64_t v = cursor >> __builtin_ctz(s->o.shards);
	unsigned keys = 0;
	uint64_t buckets = 0;
	while (shard <= s->mask) {
		struct shard *sh = &s->shards[shard];
		step_lock(op, sh);
		struct table *t = shard_table(sh, op->db);
		do {
			if (!t || t->count == 0) {
				v = 0;
				break;
			}
			visit_bucket(op, t, table_index(t, v), visit, ctx, &keys);
			v = table_scan_next(t, v);
			buckets++;
		} while (v && keys < count && buckets < 10ull * count);
		step_unlock(op, sh);
		if (v == 0)
			shard++;
		if (keys >= count || buckets >= 10ull * count)
			break;
	}
	return shard > s->mask ? 0 : v << __builtin_ctz(s->o.shards) | shard;
}

void store_each(struct store_op *op, store_visit *visit, void *ctx)
{
	struct store *s = op->store;
	unsigned keys = 0;
	for (unsigned i = 0; i <= s->mask; i++) {
		step_lock(op, &s->shards[i]);
		struct table *t = shard_table(&s->shards[i], op->db);
		for (uint64_t b = 0; t && b < t->buckets; b++)
			visit_bucket(op, t, b, visit, ctx, &keys);
		step_unlock(op, &s->shards[i]);
	}
}

static uint64_t random64(void)
{
	static _Thread_local uint64_t x;
	if (!x)
		x = (uint64_t)time(NULL) * 2654435761u ^ (uintptr_t)&x;
	x ^= x << 13;
	x ^= x >> 7;
	x ^= x << 17;
	return x;
}

bool store_random_key(struct store_op *op, char **buf, size_t *len)
{
	struct store *s = op->store;
	for (int tries = 0; tries < 1000; tries++) {
		uint64_t total = store_count(s, op->db);
		if (!total)
			return false;
		uint64_t at = random64() % total;
		for (unsigned i = 0; i <= s->mask; i++) {
			struct shard *sh = &s->shards[i];
			struct table *t = published(sh, op->db);
			uint64_t n = t ? relaxed(&t->count) : 0;
			if (at >= n) {
				at -= n;
				continue;
			}
			step_lock(op, sh);
			t = shard_table(sh, op->db);
			bool found = false;
			while (t && t->count && !found) {
				struct bucket *b = table_bucket(t, random64() % t->buckets);
				unsigned slot = (unsigned)(random64() % (2 * BUCKET_SLOTS)), k;
				for (k = bucket_count(b); slot >= k && (b = bucket_next(b)); k = bucket_count(b))
					slot -= k;
				if (!b || slot >= bucket_count(b))
					continue;
				struct entry *e = bucket_entry(b, slot);
				if (entry_expiry(e) <= op->now_ms)
					break;
				*len = entry_key_len(e);
				*buf = malloc(*len + 1);
				if (*buf)
					memcpy(*buf, entry_key(e), *len);
				found = *buf;
			}
			step_unlock(op, sh);
			if (found)
				return true;
			break;
		}
	}
	return false;
}

static void drop_table(void *t)
{
	table_unref(t);
}

uint64_t store_flush(struct store *s, int db, bool background)
{
	uint64_t n = 0;
	for (unsigned i = 0; i <= s->mask; i++) {
		for (unsigned d = db < 0 ? 0 : (unsigned)db; d < (db < 0 ? s->o.dbs : (unsigned)db + 1); d++) {
			struct table *t = shard_table(&s->shards[i], d);
			if (!t)
				continue;
			n += t->count;
			if (d)
				s->shards[i].db[d] = NULL;
			else
				s->shards[i].first = NULL;
			if (background)
				reaper_give(s, drop_table, t);
			else
				table_unref(t);
		}
	}
	return n;
}

int store_swap(struct store *s, unsigned a, unsigned b)
{
	if (a >= s->o.dbs || b >= s->o.dbs)
		return -EINVAL;
	for (unsigned i = 0; i <= s->mask; i++) {
		struct shard *sh = &s->shards[i];
		struct table *ta = shard_table(sh, a), *tb = shard_table(sh, b);
		if (a)
			sh->db[a] = tb;
		else
			sh->first = tb;
		if (b)
			sh->db[b] = ta;
		else
			sh->first = ta;
	}
	return 0;
}

void store_expect(struct store *s, unsigned db, uint64_t n)
{
	(void)s, (void)db, (void)n;
}

void reaper_give(struct store *s, void (*fn)(void *), void *arg)
{
	fn(arg);
	atomic_fetch_add(&s->lazyfreed, 1);
}

void store_reaper_drain(struct store *s)
{
	(void)s;
}

int64_t store_average_ttl_ms(struct store_op *op)
{
	(void)op;
	return 0;
}

static int64_t mono_us(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

/* Remove what is due in one bucket and find its next expiry. */
static int64_t expire_bucket(struct store_op *op, struct table *t, uint64_t index, uint64_t *removed)
{
	int64_t next = INT64_MAX;
	struct table_pos pos = { .index = index, .head = table_bucket(t, index) };
restart:
	next = INT64_MAX;
	for (struct bucket *b = pos.head; b; b = bucket_next(b)) {
		for (unsigned i = 0; i < bucket_count(b); i++) {
			struct entry *e = bucket_entry(b, i);
			int64_t when = entry_expiry(e);
			if (when > op->now_ms) {
				next = when < next ? when : next;
				continue;
			}
			struct store_key key = store_key(op->store, entry_key(e), entry_key_len(e));
			if (op->store->o.hooks.removed)
				op->store->o.hooks.removed(op->store->o.hooks_ctx, op, STORE_EXPIRED, &key, e);
			pos.bucket = b;
			pos.slot = i;
			remove_pos(op, t, &pos, e, true);
			(*removed)++;
			goto restart;
		}
	}
	return next;
}

static bool expire_table(struct store_op *op, struct table *t, uint64_t *removed, int64_t deadline)
{
	int64_t next = INT64_MAX;
	for (uint64_t i = 0; i < t->buckets; i++) {
		unsigned k = segment_of(i);
		if (!t->due[k])
			continue;
		int64_t *d = &t->due[k][i - segment_base(k)];
		if (*d <= op->now_ms) {
			*d = expire_bucket(op, t, i, removed);
			if (mono_us() > deadline)
				return true;
		}
		next = *d < next ? *d : next;
	}
	t->next_due = next;
	return false;
}

struct store_tick_result store_tick(struct store_op *op, unsigned loop, int64_t budget_us, bool expire)
{
	struct store *s = op->store;
	struct store_tick_result r = { .next_due_ms = INT64_MAX };
	int64_t deadline = mono_us() + budget_us;
	unsigned db = op->db;
	for (unsigned i = loop; i <= s->mask && !r.more; i += s->o.loops) {
		struct shard *sh = &s->shards[i];
		step_lock(op, sh);
		for (unsigned d = 0; d < s->o.dbs && !r.more; d++) {
			struct table *t = shard_table(sh, d);
			if (!t)
				continue;
			op->db = d;
			if (expire && t->next_due <= op->now_ms)
				r.more = expire_table(op, t, &r.expired, deadline);
			for (int k = 0; k < 16 && table_shrink(t, s); k++)
				;
			r.next_due_ms = t->next_due < r.next_due_ms ? t->next_due : r.next_due_ms;
		}
		step_unlock(op, sh);
	}
	op->db = db;
	atomic_fetch_add(&s->expired, r.expired);
	return r;
}

void store_get_stats(struct store *s, struct store_stats *out)
{
	*out = (struct store_stats){ .expired = atomic_load(&s->expired), .lazyfreed = atomic_load(&s->lazyfreed) };
	for (unsigned d = 0; d < s->o.dbs; d++) {
		out->keys += store_count(s, d);
		out->volatile_keys += store_count_volatile(s, d);
	}
}

void snapshot_preimage(struct store_op *op, struct table *t, struct entry *e)
{
	(void)op;
	e->flags = (uint8_t)((e->flags & ~ENTRY_PARITY) | (t->parity ? ENTRY_PARITY : 0));
}

const struct store_type *const store_types[STORE_TYPES];
