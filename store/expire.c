#include <time.h>

#include "store/memory.h"
#include "store/shard.h"

/* ------------------------------------------------------------------ the index */

bool due_reserve(struct table *t, uint32_t index)
{
	struct segment_pos p = segment_of(index);
	if (!t->due) {
		t->due = mem_calloc(t->dir_cap * sizeof *t->due);
		if (!t->due)
			return false;
	}
	struct due_segment *d = &t->due[p.seg];
	if (!d->at) {
		d->at = mem_alloc(p.size * sizeof *d->at);
		if (!d->at)
			return false;
		for (uint32_t i = 0; i < p.size; i++)
			d->at[i] = TABLE_DUE_NONE;
		d->min = TABLE_DUE_NONE;
	}
	return true;
}

int64_t due_get(const struct table *t, uint32_t index)
{
	if (!t->due)
		return TABLE_DUE_NONE;
	struct segment_pos p = segment_of(index);
	return t->due[p.seg].at ? t->due[p.seg].at[p.off] : TABLE_DUE_NONE;
}

static inline void due_lower(struct table *t, struct due_segment *d, int64_t when_ms)
{
	if (when_ms < d->min)
		d->min = when_ms;
	if (when_ms < t->next_due)
		t->next_due = when_ms;
}

void due_note(struct table *t, uint32_t index, int64_t when_ms)
{
	if (when_ms == TABLE_DUE_NONE)
		return;
	struct segment_pos p = segment_of(index);
	struct due_segment *d = &t->due[p.seg];
	if (when_ms < d->at[p.off])
		d->at[p.off] = when_ms;
	due_lower(t, d, when_ms);
}

void due_put(struct table *t, uint32_t index, int64_t when_ms)
{
	if (!t->due)
		return;
	struct segment_pos p = segment_of(index);
	struct due_segment *d = &t->due[p.seg];
	if (!d->at)
		return;
	d->at[p.off] = when_ms;
	due_lower(t, d, when_ms);
}

/* ------------------------------------------------------------------ sweeping */

/* One owner's sweep; shards are taken one after the other. */
struct sweep {
	struct store_op *op;
	struct shard *sh;
	int64_t end_us; /* when the budget ends */
	int64_t bucket_due;
	uint64_t expired, live;
	unsigned until_clock; /* buckets until the clock is looked at */
	bool over;
};

int64_t shard_clock_us(const struct store *s)
{
	if (s->hooks.monotonic_us)
		return s->hooks.monotonic_us(s->hooks_ctx);
	struct timespec ts;
	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (int64_t)ts.tv_sec * 1000000 + ts.tv_nsec / 1000;
}

static void sweep_entry(void *ctx, struct table *t, const struct slot *at, struct entry *e)
{
	struct sweep *sw = ctx;
	if (!entry_has_expiry(e))
		return;
	if (sw->op->now_ms > entry_expiry(e)) {
		struct store_key key = shard_key_of(sw->op->store, e);
		keyspace_expire(sw->op, sw->sh, t, at, e, &key);
		sw->expired++;
		return;
	}
	sw->live++;
	if (entry_expiry(e) < sw->bucket_due)
		sw->bucket_due = entry_expiry(e);
}

static void sweep_bucket(struct sweep *sw, struct table *t, uint32_t index)
{
	sw->bucket_due = TABLE_DUE_NONE;
	table_visit_bucket(t, index, sweep_entry, sw);
	due_put(t, index, sw->bucket_due);
	if (--sw->until_clock == 0) {
		sw->until_clock = 16;
		sw->over = shard_clock_us(sw->op->store) >= sw->end_us;
	}
}

/* Segment seg begins at this bucket. */
static uint32_t segment_start(unsigned seg)
{
	return ((4 + (seg & 3)) << (seg / 4)) - 4;
}

static void sweep_segment(struct sweep *sw, struct table *t, unsigned seg)
{
	struct due_segment *d = &t->due[seg];
	uint32_t start = segment_start(seg), size = 1u << (seg / 4);
	int64_t min = TABLE_DUE_NONE;
	for (uint32_t i = 0; i < size; i++) {
		if (d->at[i] < sw->op->now_ms) {
			if (sw->over)
				return; /* the minima stay in the past, so the next sweep comes back here */
			sweep_bucket(sw, t, start + i);
		}
		if (d->at[i] < min)
			min = d->at[i];
	}
	d->min = min;
}

static void sweep_table(struct sweep *sw, struct table *t)
{
	uint64_t before = sw->expired;
	int64_t min = TABLE_DUE_NONE;
	t->pinned++;
	for (unsigned seg = 0; seg < t->dir_cap && t->due; seg++) {
		struct due_segment *d = &t->due[seg];
		if (!d->at)
			continue;
		if (d->min < sw->op->now_ms && !sw->over)
			sweep_segment(sw, t, seg);
		if (d->min < min)
			min = d->min;
	}
	t->pinned--;
	t->next_due = min;
	for (uint64_t n = (sw->expired - before) * 2; n && t->keys < (uint64_t)t->nbuckets * TABLE_LOAD / 2; n--) {
		if (!table_shrink(t))
			break;
	}
}

/* All databases of one shard; its lock is held. */
static void sweep_shard(struct sweep *sw, struct store *s)
{
	int64_t min = TABLE_DUE_NONE;
	unsigned db = sw->op->db, dbs = sw->sh->more ? s->dbs : 1;
	for (unsigned i = 0; i < dbs; i++) {
		struct table *t = shard_table(sw->sh, i);
		if (!t || !t->dir || t->volatile_keys == 0)
			continue;
		sw->op->db = i;
		if (t->next_due < sw->op->now_ms && !sw->over)
			sweep_table(sw, t);
		if (t->volatile_keys && t->next_due < min)
			min = t->next_due;
	}
	sw->op->db = db;
	TABLE_PUBLISH(s->due[sw->sh - s->shard], min);
}

struct store_tick_result store_tick(struct store_op *op, unsigned loop, int64_t budget_us, bool expire)
{
	struct store *s = op->store;
	struct store_tick_result r = { .next_due_ms = INT64_MAX };
	if (loop >= s->loops)
		return r;
	struct sweep sw = { .op = op, .end_us = shard_clock_us(s) + budget_us, .until_clock = 16 };
	unsigned own = (s->shards - loop + s->loops - 1) / s->loops, from = s->tick_from[loop], k;
	if (!expire || op->keep_expired || op->show_expired)
		own = 0;
	for (k = 0; k < own; k++) {
		unsigned i = loop + (from + k) % own * s->loops;
		if (TABLE_READ(s->due[i]) < op->now_ms) {
			sw.sh = &s->shard[i];
			if (sw.over)
				break;
			if (op->exclusive || shard_trylock(s, sw.sh)) {
				sweep_shard(&sw, s);
				op_unlock(op, sw.sh);
			}
		}
		int64_t due = TABLE_READ(s->due[i]);
		if (due < r.next_due_ms)
			r.next_due_ms = due;
	}
	if (own)
		s->tick_from[loop] = (from + k) % own;
	if (k < own)
		r.next_due_ms = op->now_ms;
	r.expired = sw.expired;
	r.more = r.next_due_ms < op->now_ms || sw.over;
	uint64_t seen = sw.expired + sw.live;
	TABLE_PUBLISH(s->stale_x100, r.more && seen ? sw.expired * 10000 / seen : 0);
	if (snapshot_tidy(s, loop, sw.end_us))
		r.more = true;
	return r;
}
