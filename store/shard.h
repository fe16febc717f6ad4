/*
 * shard: what the store is made of. Internal to the store.
 *
 * A shard's lock word and the table header of database 0 share the first cache line; the tables of the other databases
 * hang off it, made when first needed. Table headers are moved by value (swap, flush), so database 0 always has the
 * embedded one.
 *
 * Lock order: shards ascending; nothing is locked while a shard's lock is held but the reaper's queue.
 */
#ifndef STORE_SHARD_H
#define STORE_SHARD_H

#include "store/hash.h"
#include "store/lock.h"
#include "store/slab.h"
#include "store/table.h"

struct reaper;

struct shard {
	uint32_t lock;       /* see lock.h */
	struct table **more; /* databases 1 and up, or NULL */
	struct table first;  /* database 0 */
	uint64_t expired;    /* keys removed by expiry */
} __attribute__((aligned(64)));

struct store {
	bool single; /* locks are skipped */
	bool cluster;
	uint8_t shard_shift; /* shard = hash >> 52 >> shard_shift */
	unsigned shards, dbs, loops;
	uint64_t secret[2];
	struct shard *shard;
	int64_t *due;     /* per shard: lower bound of next_due of its tables; relaxed atomics */
	uint64_t *filled; /* per database, a bit per shard that has keys; relaxed atomics */
	unsigned filled_words;
	struct store_snapshot *snapshot;
	struct reaper *reaper;
	uint8_t *spare; /* see keyspace.c; atomic */
	struct slab_arena *arenas;
	unsigned arena_mask;
	struct store_hooks hooks;
	void *hooks_ctx;
	/* Written by every tick; a line of their own. */
	_Alignas(64) uint64_t stale_x100; /* share of volatile keys that the last tick saw overdue, in 1/100 percent */
	uint32_t *tick_from; /* per loop: where the last tick's budget ended */
};

static inline struct shard *shard_of(const struct store *s, uint64_t hash)
{
	return &s->shard[hash >> 52 >> s->shard_shift];
}

/* Where the entries of a key's shard are allocated. */
static inline struct slab_arena *arena_of(const struct store *s, uint64_t hash)
{
	return slab_arena_at(s->arenas, (unsigned)(hash >> 52 >> s->shard_shift) & s->arena_mask);
}

/* The table of a database, or NULL if it was never used. */
static inline struct table *shard_table(struct shard *sh, unsigned db)
{
	if (__builtin_expect(db == 0, 1))
		return &sh->first;
	struct table **more = __atomic_load_n(&sh->more, __ATOMIC_ACQUIRE);
	return more ? __atomic_load_n(&more[db - 1], __ATOMIC_ACQUIRE) : NULL;
}

/* The same, made if missing and ready for keys. NULL: out of memory. */
struct table *shard_table_make(struct store *s, struct shard *sh, unsigned db);

int64_t shard_clock_us(const struct store *s);

/* Locks of a shard. shard_trylock() never sleeps. */
void shard_lock_slow(struct store *s, struct shard *sh);

static inline bool shard_trylock(struct store *s, struct shard *sh)
{
	return s->single || lock_try(&sh->lock);
}

static inline void shard_lock(struct store *s, struct shard *sh)
{
	if (__builtin_expect(!shard_trylock(s, sh), 0))
		shard_lock_slow(s, sh);
}

static inline void shard_unlock(struct store *s, struct shard *sh)
{
	if (!s->single)
		lock_drop(&sh->lock);
}

/* Locking for one operation, skipped where it runs alone. */
static inline void op_lock(const struct store_op *op, struct shard *sh)
{
	if (!op->exclusive)
		shard_lock(op->store, sh);
}

static inline void op_unlock(const struct store_op *op, struct shard *sh)
{
	if (!op->exclusive)
		shard_unlock(op->store, sh);
}

/* The key of an entry that was reached by other ways than its key. Bytes as long as the entry. */
static inline struct store_key shard_key_of(const struct store *s, const struct entry *e)
{
	return store_key(s, entry_key(e), entry_key_len(e));
}

/* ------------------------------------------------------------------ keys within a table (keyspace.c) */

static inline bool entry_expired(const struct store_op *op, const struct entry *e)
{
	return entry_has_expiry(e) && op->now_ms > entry_expiry(e) && !op->show_expired;
}

/* Before an entry is changed or goes away: a snapshot that has not walked it yet takes it now. */
void snapshot_save(struct store *s, struct table *t, const struct store_key *key, struct entry *e);
static inline void keyspace_before_drop(struct store *s, struct table *t, const struct store_key *key, struct entry *e)
{
	if (__builtin_expect((e->flags ^ t->parity) & ENTRY_PARITY, 0))
		snapshot_save(s, t, key, e);
}
/* The same where the value itself is about to change: a frozen one is left to the snapshot, the entry gets a copy. */
void snapshot_thaw(struct store *s, const struct store_key *key, struct entry *e);
static inline void keyspace_before_write(struct store *s, struct table *t, const struct store_key *key, struct entry *e)
{
	/* The table's parity has no other bit than ENTRY_PARITY. */
	if (__builtin_expect((e->flags ^ t->parity) & (ENTRY_PARITY | ENTRY_FROZEN), 0)) {
		keyspace_before_drop(s, t, key, e);
		if (e->flags & ENTRY_FROZEN)
			snapshot_thaw(s, key, e);
	}
}
/* The value of a frozen entry that goes away becomes the snapshot's; the entry's shell is the caller's. false: it was
 * given back already. */
bool snapshot_orphan(struct store *s, struct entry *e);
/* A frozen value moved into another entry. Both shards are locked. */
void snapshot_moved(struct store *s, uint64_t from_hash, const struct entry *e, unsigned db, uint64_t hash);
/* A second entry for the same value: string bytes are copied, a blob or an aggregate is shared until one of them goes. */
struct entry *keyspace_twin(struct slab_arena *arena, const struct entry *e, const char *key, size_t key_len,
                            int64_t expire_ms);

/* The live entry and its place; an expired one is removed and reported, or hidden (op->keep_expired). */
struct entry *keyspace_live(struct store_op *op, struct shard *sh, struct table *t, const struct store_key *key,
                            struct slot *at);
/* Put a new entry where the key has none, or in place of the hidden or live one; the old one is freed. false: out of memory,
 * nothing changed, e still the caller's. */
bool keyspace_put(struct store_op *op, const struct store_key *key, struct entry *e, bool lazy);
/* The same where the key is known to be absent from the table. */
bool keyspace_insert(struct store_op *op, struct shard *sh, struct table *t, uint64_t hash, struct entry *e);
/* Put an entry in the place of another in the same slot; the old one is the caller's. false: out of memory. */
bool keyspace_swap_entry(struct store *s, struct shard *sh, struct table *t, const struct slot *at,
                         const struct entry *old, struct entry *e);
/* Take an entry out, with a report of why; it is freed. */
void keyspace_remove(struct store_op *op, struct shard *sh, struct table *t, const struct slot *at, struct entry *e,
                     const struct store_key *key, enum store_removal why, bool lazy);
static inline void keyspace_expire(struct store_op *op, struct shard *sh, struct table *t, const struct slot *at,
                                   struct entry *e, const struct store_key *key)
{
	keyspace_remove(op, sh, t, at, e, key, STORE_EXPIRED, true);
}
/* Free an entry with its value, large values in the background where lazy. */
void keyspace_drop(struct store *s, struct entry *e, bool lazy);
/* Tell the store that a shard has something due. */
void shard_note_due(struct store *s, struct shard *sh, int64_t when_ms);
/* Keep the map of filled shards right after keys came or went. */
void shard_note_filled(struct store *s, struct shard *sh, unsigned db, const struct table *t);

/* ------------------------------------------------------------------ snapshots */

/* A table is about to be detached; true: the snapshot has taken its contents and frees them when walked. */
bool snapshot_take_table(struct store *s, struct shard *sh, unsigned db, struct table *t);
/* Put parities right after an abort; true: there is more to do. */
bool snapshot_tidy(struct store *s, unsigned loop, int64_t end_us);
void snapshot_close(struct store *s);
void snapshot_swapped(struct store *s, unsigned a, unsigned b);

/* ------------------------------------------------------------------ reaper */

struct reaper *reaper_new(void);
void reaper_free(struct reaper *r);
/* false: it could not be queued, the caller frees. */
bool reaper_push_value(struct reaper *r, enum store_type_id type, unsigned encoding, void *value);
bool reaper_push_blob(struct reaper *r, struct blob *b);
/* The contents of the header are taken. */
bool reaper_push_table(struct reaper *r, const struct table *t);
void reaper_stats(struct reaper *r, uint64_t *pending, uint64_t *freed);
void reaper_drain(struct reaper *r);

#endif
