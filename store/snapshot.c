/*
 * snapshot: a consistent cut without fork. Beginning one flips each table's parity, so that every entry of the cut is
 * told by its own parity bit, which differs from the table's until the entry was given to the sink: by the walk, or before
 * a write. Entries made later carry the new parity and do not belong to the cut.
 *
 * Tables that are flushed during the cut are taken over by their item and walked there, by nobody but the shard's owner.
 * After an abort the bits of what was not walked are put right by the ticker, or at once by the next beginning.
 *
 * Large values: here is where a value too large to be copied by a writer gets frozen instead.
 */
#include <errno.h>
#include <stdlib.h>

#include "store/entry_build.h"
#include "store/memory.h"
#include "store/shard.h"

#define DETACHED UINT32_MAX

struct cut_item {
	unsigned shard;
	uint32_t db; /* where the table is now, or DETACHED */
	bool done;
	uint64_t position;
	struct table detached;
};

struct store_snapshot {
	struct store *store;
	struct store_snapshot_sink sink;
	bool aborted;
	size_t n;
	struct cut_item *items; /* by shard */
	size_t *next;           /* per loop: first item that may be unfinished */
};

void snapshot_save(struct store *s, struct table *t, const struct store_key *key, struct entry *e)
{
	const struct store_snapshot *sn = s->snapshot;
	if (!sn->aborted)
		sn->sink.entry(sn->sink.ctx, t->cut_db, key, e);
	e->flags ^= ENTRY_PARITY;
}

static void walk_entry(void *ctx, struct table *t, const struct slot *at, struct entry *e)
{
	struct store *s = ctx;
	(void)at;
	if (!((e->flags ^ t->parity) & ENTRY_PARITY))
		return;
	struct store_key key = shard_key_of(s, e);
	snapshot_save(s, t, &key, e);
}

static void free_detached(struct store *s, struct cut_item *it)
{
	if (it->db != DETACHED || !it->detached.dir)
		return;
	if (!reaper_push_table(s->reaper, &it->detached))
		table_free_all(&it->detached);
	memset(&it->detached, 0, sizeof it->detached);
}

/* true: the item is done. */
static bool walk_item(struct store_snapshot *sn, struct cut_item *it, bool lock, int64_t end_us)
{
	struct store *s = sn->store;
	struct shard *sh = &s->shard[it->shard];
	bool detached = it->db == DETACHED;
	if (!detached && lock && !shard_trylock(s, sh))
		return false;
	struct table *t = detached ? &it->detached : shard_table(sh, it->db);
	for (unsigned n = 0; it->position < TABLE_POSITIONS; n++) {
		if (n % 8 == 7 && shard_clock_us(s) >= end_us)
			break;
		uint64_t end = table_position_next(t, it->position);
		table_visit_bucket(t, table_position_index(t, it->position), walk_entry, s);
		it->position = end;
	}
	it->done = it->position >= TABLE_POSITIONS;
	if (it->done)
		t->in_cut = false;
	if (!detached && lock)
		shard_unlock(s, sh);
	if (it->done)
		free_detached(s, it);
	return it->done;
}

bool store_snapshot_step(struct store_snapshot *sn, unsigned loop, int64_t budget_us)
{
	struct store *s = sn->store;
	int64_t end_us = shard_clock_us(s) + budget_us;
	for (size_t i = sn->next[loop]; i < sn->n; i++) {
		struct cut_item *it = &sn->items[i];
		if (it->shard % s->loops == loop && !it->done && !walk_item(sn, it, true, end_us)) {
			sn->next[loop] = i;
			return false;
		}
	}
	sn->next[loop] = sn->n;
	return true;
}

bool snapshot_tidy(struct store *s, unsigned loop, int64_t end_us)
{
	struct store_snapshot *sn = s->snapshot;
	if (!sn || !sn->aborted)
		return false;
	int64_t left_us = end_us - shard_clock_us(s);
	return left_us > 0 ? !store_snapshot_step(sn, loop, left_us) : sn->next[loop] < sn->n;
}

static void snapshot_release(struct store_snapshot *sn)
{
	for (size_t i = 0; i < sn->n; i++)
		free_detached(sn->store, &sn->items[i]);
	sn->store->snapshot = NULL;
	mem_free(sn->items);
	mem_free(sn->next);
	mem_free(sn);
}

void snapshot_close(struct store *s)
{
	if (s->snapshot)
		snapshot_release(s->snapshot);
}

/* What an aborted cut left behind is finished on the spot. */
static void finish_aborted(struct store_snapshot *sn)
{
	for (size_t i = 0; i < sn->n; i++) {
		if (!sn->items[i].done && sn->items[i].db != DETACHED)
			walk_item(sn, &sn->items[i], false, INT64_MAX);
	}
	snapshot_release(sn);
}

static size_t collect_tables(struct store *s, struct cut_item *items)
{
	size_t n = 0;
	for (unsigned i = 0; i < s->shards; i++) {
		unsigned dbs = s->shard[i].more ? s->dbs : 1;
		for (unsigned db = 0; db < dbs; db++) {
			const struct table *t = shard_table(&s->shard[i], db);
			if (!t || !t->dir || t->keys == 0)
				continue;
			if (items)
				items[n] = (struct cut_item){ .shard = i, .db = db };
			n++;
		}
	}
	return n;
}

struct store_snapshot *store_snapshot_begin(struct store *s, const struct store_snapshot_sink *sink, int *err)
{
	if (s->snapshot && !s->snapshot->aborted) {
		*err = -EBUSY;
		return NULL;
	}
	if (s->snapshot)
		finish_aborted(s->snapshot);
	size_t n = collect_tables(s, NULL);
	struct store_snapshot *sn = mem_calloc(sizeof *sn);
	struct cut_item *items = mem_calloc((n ? n : 1) * sizeof *items);
	size_t *next = mem_calloc(s->loops * sizeof *next);
	if (!sn || !items || !next) {
		mem_free(sn);
		mem_free(items);
		mem_free(next);
		*err = -ENOMEM;
		return NULL;
	}
	*sn = (struct store_snapshot){ .store = s, .sink = *sink, .n = n, .items = items, .next = next };
	collect_tables(s, items);
	for (size_t i = 0; i < n; i++) {
		struct table *t = shard_table(&s->shard[items[i].shard], items[i].db);
		t->parity ^= ENTRY_PARITY;
		t->in_cut = true;
		t->cut_db = items[i].db;
	}
	s->snapshot = sn;
	*err = 0;
	return sn;
}

void store_snapshot_end(struct store_snapshot *sn)
{
	bool done = true;
	sn->aborted = true;
	for (size_t i = 0; i < sn->n; i++) {
		struct cut_item *it = &sn->items[i];
		free_detached(sn->store, it);
		if (it->db == DETACHED)
			it->done = true;
		done = done && it->done;
	}
	if (done)
		snapshot_release(sn);
	else
		memset(sn->next, 0, sn->store->loops * sizeof *sn->next);
}

bool snapshot_take_table(struct store *s, struct shard *sh, unsigned db, struct table *t)
{
	struct store_snapshot *sn = s->snapshot;
	if (!sn || !t->in_cut)
		return false;
	for (size_t i = 0; i < sn->n; i++) {
		struct cut_item *it = &sn->items[i];
		if (it->done || it->db != db || &s->shard[it->shard] != sh)
			continue;
		if (sn->aborted) {
			it->done = true;
			return false;
		}
		it->db = DETACHED;
		it->detached = *t;
		return true;
	}
	return false;
}

void snapshot_swapped(struct store *s, unsigned a, unsigned b)
{
	struct store_snapshot *sn = s->snapshot;
	for (size_t i = 0; sn && i < sn->n; i++) {
		struct cut_item *it = &sn->items[i];
		if (it->db == a)
			it->db = b;
		else if (it->db == b)
			it->db = a;
	}
}
