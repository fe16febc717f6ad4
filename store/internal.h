/* internal: what the files of store/ share. */
#ifndef STORE_INTERNAL_H
#define STORE_INTERNAL_H

#include <stdatomic.h>

#include "store/memory.h"
#include "store/table.h"
#include "store/types.h"

struct shard {
	_Alignas(64) atomic_uint lock; /* 0 free, 1 taken, 2 taken with waiters */
	uint8_t parity;                /* of the snapshot in course or the last one */
	struct table *first;           /* db[0] */
	struct table **db;
};

struct store {
	struct store_options o;
	uint64_t secret[2];
	struct shard *shards;
	unsigned mask, shift;
	bool single;
	struct store_snapshot *snapshot;
	atomic_ullong expired, lazyfreed, lazy_pending;
};

static inline struct shard *shard_at(struct store *s, uint64_t hash)
{
	return &s->shards[store_shard_of(s, hash)];
}

/* The table of a database in a shard, or NULL. */
static inline struct table *shard_table(const struct shard *sh, unsigned db)
{
	return db ? sh->db[db] : sh->first;
}

struct table *shard_make_table(struct shard *sh, unsigned db);
void lock_shard(struct store *s, struct shard *sh);
void unlock_shard(struct store *s, struct shard *sh);
uint64_t hash_bytes(const struct store *s, const void *p, size_t n);

/* entry.c */
struct entry *entry_new(const struct store_key *key, enum store_type_id type, unsigned encoding, unsigned flags,
                        int64_t expiry, const void *val, size_t len); /* val: embedded bytes or 8 bytes of payload */
size_t entry_size(const struct entry *e);
void entry_free(struct entry *e);
void entry_dispose(struct store *s, struct entry *e, bool lazy); /* large values in the background */
void entry_touch(const struct store_op *op, struct entry *e);
void entry_touch_new(const struct store_op *op, struct entry *e);
struct blob *blob_new(size_t len, char **bytes);

/* A change is about to happen to an entry that a running snapshot has not seen. */
void snapshot_preimage(struct store_op *op, struct table *t, struct entry *e);
static inline void before_change(struct store_op *op, struct table *t, struct entry *e)
{
	if (__builtin_expect(!(e->flags & ENTRY_PARITY) != !t->parity, 0))
		snapshot_preimage(op, t, e);
}

/* find with its place */
struct entry *find_pos(struct store_op *op, const struct store_key *key, unsigned flags, struct table **t,
                       struct table_pos *pos);
void remove_pos(struct store_op *op, struct table *t, struct table_pos *pos, struct entry *e, bool lazy);

/* reaper.c */
void reaper_give(struct store *s, void (*fn)(void *), void *arg);

#endif
