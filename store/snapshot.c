/*
 * snapshot: a consistent cut without fork. Beginning one flips each table's parity, so that every entry of the cut is
 * told by its own parity bit, which differs from the table's until the entry was given to the sink: by the walk, or before
 * a write. Entries made later carry the new parity and do not belong to the cut.
 *
 * Tables that are flushed during the cut are taken over by their item and walked there, by nobody but the shard's owner.
 * After an abort the bits of what was not walked are put right by the ticker, or at once by the next beginning.
 *
 * Large values are not copied under a lock: they are frozen. The sink gets a stand-in entry that shares the value and
 * reads it on a thread of its own (reading a value changes nothing in it). Meanwhile the live entry carries ENTRY_FROZEN:
 * a write to it leaves the value to the stand-in and goes on with a copy; an entry that goes away leaves its value, too.
 * Strings of that size are counted blobs that are copied when written while shared, so their stand-in is one reference.
 * A stand-in that was given back is freed by the owner of its shard in a step, under the shard's lock.
 */
#include <assert.h>
#include <errno.h>
#include <sched.h>
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

struct store_frozen {
	struct store_snapshot *snapshot;
	struct entry *twin;
	struct store_frozen *next;     /* of the shard; the shard's lock */
	struct store_frozen *returned; /* of those given back */
	uint64_t hash;                 /* where the live entry is now, with db; the shard's lock */
	uint32_t shard, db;            /* the shard may be read without lock */
	size_t bytes;
	bool orphan; /* the live entry is gone: the value is ours */
};

/* One loop's part. */
struct cut_loop {
	size_t next; /* first item that may be unfinished */
	struct store_frozen *returned;
};

struct store_snapshot {
	struct store *store;
	struct store_snapshot_sink sink;
	bool aborted;
	size_t n;
	struct cut_item *items; /* by shard */
	struct cut_loop *loop;
	struct store_frozen **frozen; /* per shard */
	uint64_t out;                 /* frozen values not yet freed; atomic */
};

/* ------------------------------------------------------------------ frozen values */

const struct entry *store_frozen_entry(const struct store_frozen *f)
{
	return f->twin;
}

size_t store_frozen_bytes(const struct store_frozen *f)
{
	return f->bytes;
}

/* 0: small. Looking costs no more than a few elements. */
static size_t large_bytes(const struct entry *e, size_t limit)
{
	const struct store_type *type = store_types[entry_type(e)];
	if (entry_type(e) == STORE_STRING) {
		size_t len = entry_string_len(e);
		return e->flags & ENTRY_BLOB && len >= limit ? len : 0;
	}
	if (entry_inlined(e))
		return 0;
	size_t bytes = type->memory(entry_encoding(e), entry_value(e), 5);
	return bytes >= limit ? bytes : 0;
}

static struct store_frozen **frozen_find(struct store_snapshot *sn, unsigned shard, const void *value)
{
	struct store_frozen **f = &sn->frozen[shard];
	while (*f && ((*f)->orphan || entry_value((*f)->twin) != value))
		f = &(*f)->next;
	return f;
}

/* The database whose table this is now. */
static uint32_t db_of(const struct store *s, struct shard *sh, const struct table *t)
{
	unsigned dbs = sh->more ? s->dbs : 1, db = 0;
	while (db < dbs && shard_table(sh, db) != t)
		db++;
	return db < dbs ? db : DETACHED;
}

/* The value is the snapshot's from now on: what is left is an entry that may be freed. */
static void strip(struct entry *e)
{
	e->kind = STORE_STRING | STRING_INT << 4;
	e->flags &= (uint8_t)~ENTRY_FROZEN;
}

static bool freeze(struct store_snapshot *sn, struct table *t, const struct store_key *key, struct entry *e, size_t bytes)
{
	struct store *s = sn->store;
	struct shard *sh = shard_of(s, key->hash);
	struct store_frozen *f = mem_calloc(sizeof *f);
	struct entry *twin = f ? keyspace_twin(arena_of(s, key->hash), e, key->ptr, key->len, entry_expiry(e)) : NULL;
	if (!twin) {
		mem_free(f);
		return false;
	}
	unsigned shard = (unsigned)(sh - s->shard);
	*f = (struct store_frozen){ .snapshot = sn, .twin = twin, .next = sn->frozen[shard], .hash = key->hash,
		                    .shard = shard, .db = db_of(s, sh, t), .bytes = bytes };
	f->orphan = f->db == DETACHED || twin->flags & ENTRY_BLOB;
	if (twin->flags & ENTRY_BLOB)
		blob_ref(entry_blob(twin)); /* a reference of our own */
	else if (f->orphan)
		strip(e);
	else
		e->flags |= ENTRY_FROZEN;
	sn->frozen[shard] = f;
	__atomic_fetch_add(&sn->out, 1, __ATOMIC_RELAXED);
	sn->sink.frozen(sn->sink.ctx, t->cut_db, f);
	return true;
}

void snapshot_save(struct store *s, struct table *t, const struct store_key *key, struct entry *e)
{
	struct store_snapshot *sn = s->snapshot;
	e->flags ^= ENTRY_PARITY;
	if (sn->aborted)
		return;
	size_t bytes = sn->sink.frozen ? large_bytes(e, sn->sink.large_bytes) : 0;
	if (!bytes || !freeze(sn, t, key, e, bytes))
		sn->sink.entry(sn->sink.ctx, t->cut_db, key, e);
}

/* The record of a frozen entry, or NULL if it was given back already: then the flag is all that is left. */
static struct store_frozen *frozen_of(struct store *s, uint64_t hash, const struct entry *e)
{
	struct store_snapshot *sn = s->snapshot;
	return sn ? *frozen_find(sn, (unsigned)(shard_of(s, hash) - s->shard), entry_value(e)) : NULL;
}

void snapshot_thaw(struct store *s, const struct store_key *key, struct entry *e)
{
	struct store_frozen *f = frozen_of(s, key->hash, e);
	e->flags &= (uint8_t)~ENTRY_FROZEN;
	if (!f)
		return;
	const struct store_type *type = store_types[entry_type(e)];
	void *copy;
	/* Whoever reads the value needs no lock of ours and gives memory back when it is done. */
	while (!(copy = type->dup(entry_encoding(e), entry_value(e))))
		sched_yield();
	entry_put_payload(e, copy);
	f->orphan = true;
}

bool store_frozen(struct store_op *op, const struct store_key *key)
{
	struct store *s = op->store;
	const struct store_snapshot *sn = s->snapshot;
	if (!sn || sn->aborted || !sn->sink.frozen)
		return false;
	struct table *t = shard_table(shard_of(s, key->hash), op->db);
	struct slot at;
	struct entry *e = t ? table_find(t, key, &at) : NULL;
	if (!e || entry_type(e) == STORE_STRING)
		return false;
	if ((e->flags ^ t->parity) & ENTRY_PARITY && large_bytes(e, sn->sink.large_bytes))
		snapshot_save(s, t, key, e);
	return e->flags & ENTRY_FROZEN && frozen_of(s, key->hash, e);
}

bool snapshot_orphan(struct store *s, struct entry *e)
{
	struct store_key key = shard_key_of(s, e);
	struct store_frozen *f = frozen_of(s, key.hash, e);
	e->flags &= (uint8_t)~ENTRY_FROZEN;
	if (f)
		f->orphan = true;
	return f != NULL;
}

void snapshot_moved(struct store *s, uint64_t from_hash, const struct entry *e, unsigned db, uint64_t hash)
{
	struct store_snapshot *sn = s->snapshot;
	if (!sn)
		return;
	unsigned from = (unsigned)(shard_of(s, from_hash) - s->shard), to = (unsigned)(shard_of(s, hash) - s->shard);
	struct store_frozen **at = frozen_find(sn, from, entry_value(e)), *f = *at;
	if (!f)
		return;
	*at = f->next;
	f->next = sn->frozen[to];
	sn->frozen[to] = f;
	f->hash = hash;
	f->db = db;
	__atomic_store_n(&f->shard, to, __ATOMIC_RELAXED);
}

/* All frozen values of a table that is about to be freed. */
static void orphan_table(struct store_snapshot *sn, unsigned shard, unsigned db, const struct table *t)
{
	for (struct store_frozen *f = sn->frozen[shard]; f; f = f->next) {
		struct slot at;
		if (f->orphan || f->db != db)
			continue;
		uint32_t index = table_index(t, f->hash);
		for (unsigned n = table_chain_len(t, index); n-- > 0 && !f->orphan;) {
			struct entry *e = table_chain_at(t, index, n, &at);
			if (!(e->flags & ENTRY_FROZEN) || entry_value(e) != entry_value(f->twin))
				continue;
			strip(e);
			f->orphan = true;
		}
	}
}

static void free_frozen(struct store_snapshot *sn, struct store_frozen *f, bool lock)
{
	struct store *s = sn->store;
	uint32_t shard;
	for (;;) {
		shard = __atomic_load_n(&f->shard, __ATOMIC_RELAXED);
		if (lock)
			shard_lock(s, &s->shard[shard]);
		if (shard == f->shard)
			break;
		if (lock)
			shard_unlock(s, &s->shard[shard]); /* it was renamed just now */
	}
	struct store_frozen **at = &sn->frozen[shard];
	while (*at != f)
		at = &(*at)->next;
	*at = f->next;
	if (lock)
		shard_unlock(s, &s->shard[shard]);
	if (f->orphan)
		keyspace_drop(s, f->twin, true);
	else
		entry_free_shell(f->twin);
	mem_free(f);
	__atomic_fetch_sub(&sn->out, 1, __ATOMIC_RELEASE);
}

static void free_returned(struct store_snapshot *sn, unsigned loop, bool lock)
{
	struct store_frozen *f = __atomic_exchange_n(&sn->loop[loop].returned, NULL, __ATOMIC_ACQUIRE), *next;
	for (; f; f = next) {
		next = f->returned;
		free_frozen(sn, f, lock);
	}
}

void store_frozen_release(struct store_frozen *f)
{
	struct store_snapshot *sn = f->snapshot;
	struct store_frozen **head = &sn->loop[__atomic_load_n(&f->shard, __ATOMIC_RELAXED) % sn->store->loops].returned;
	f->returned = __atomic_load_n(head, __ATOMIC_RELAXED);
	while (!__atomic_compare_exchange_n(head, &f->returned, f, true, __ATOMIC_RELEASE, __ATOMIC_RELAXED))
		;
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
		if (n % 8 == 7 && (shard_clock_us(s) >= end_us || (sn->sink.full && !sn->aborted && sn->sink.full(sn->sink.ctx))))
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

static bool step(struct store_snapshot *sn, unsigned loop, bool lock, int64_t budget_us)
{
	struct store *s = sn->store;
	int64_t end_us = shard_clock_us(s) + budget_us;
	free_returned(sn, loop, lock);
	for (size_t i = sn->loop[loop].next; i < sn->n; i++) {
		struct cut_item *it = &sn->items[i];
		if (it->shard % s->loops == loop && !it->done && !walk_item(sn, it, lock, end_us)) {
			sn->loop[loop].next = i;
			return false;
		}
	}
	sn->loop[loop].next = sn->n;
	return __atomic_load_n(&sn->out, __ATOMIC_ACQUIRE) == 0;
}

bool store_snapshot_step(struct store_snapshot *sn, unsigned loop, int64_t budget_us)
{
	return step(sn, loop, true, budget_us);
}

/* A parked loop may have been given a lock just before: it keeps it, and would be waited for in vain. */
bool store_snapshot_step_alone(struct store_snapshot *sn, unsigned loop, int64_t budget_us)
{
	return step(sn, loop, false, budget_us);
}

bool store_snapshot_walked(const struct store_snapshot *sn, unsigned loop)
{
	return sn->loop[loop].next == sn->n;
}

bool snapshot_tidy(struct store *s, unsigned loop, int64_t end_us)
{
	struct store_snapshot *sn = s->snapshot;
	if (!sn || !sn->aborted)
		return false;
	int64_t left_us = end_us - shard_clock_us(s);
	return left_us > 0 ? !store_snapshot_step(sn, loop, left_us) : sn->loop[loop].next < sn->n;
}

static void snapshot_release(struct store_snapshot *sn)
{
	for (size_t i = 0; i < sn->n; i++)
		free_detached(sn->store, &sn->items[i]);
	sn->store->snapshot = NULL;
	mem_free(sn->items);
	mem_free(sn->loop);
	mem_free(sn->frozen);
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
	struct cut_loop *loop = mem_calloc(s->loops * sizeof *loop);
	struct store_frozen **frozen = mem_calloc(s->shards * sizeof(struct store_frozen *));
	if (!sn || !items || !loop || !frozen) {
		mem_free(sn);
		mem_free(items);
		mem_free(loop);
		mem_free(frozen);
		*err = -ENOMEM;
		return NULL;
	}
	*sn = (struct store_snapshot){ .store = s, .sink = *sink, .n = n, .items = items, .loop = loop,
		                        .frozen = frozen };
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
	for (unsigned i = 0; i < sn->store->loops; i++) {
		free_returned(sn, i, false);
		sn->loop[i].next = 0;
	}
	assert(sn->out == 0);
	for (size_t i = 0; i < sn->n; i++) {
		struct cut_item *it = &sn->items[i];
		free_detached(sn->store, it);
		if (it->db == DETACHED)
			it->done = true;
		done = done && it->done;
	}
	if (done)
		snapshot_release(sn);
}

bool snapshot_take_table(struct store *s, struct shard *sh, unsigned db, struct table *t)
{
	struct store_snapshot *sn = s->snapshot;
	if (sn && sn->out)
		orphan_table(sn, (unsigned)(sh - s->shard), db, t);
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
	for (unsigned i = 0; sn && i < s->shards; i++)
		for (struct store_frozen *f = sn->frozen[i]; f; f = f->next)
			f->db = f->db == a ? b : f->db == b ? a : f->db;
}
