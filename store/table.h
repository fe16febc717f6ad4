/*
 * table: the keys of one shard and database: linear hashing over cache-line buckets. Internal to store/.
 *
 * A bucket is 64 bytes: 9 one-byte tags, 9 packed 6-byte pointers, one byte of state. One bucket is split per insert at
 * constant load, one merged back at a time, so nothing stalls and memory does not swing. Buckets live in a fixed
 * directory of segments that double in size; a bucket never moves.
 *
 * With keys that expire, a parallel array per segment holds the earliest expiry of each bucket: a lower bound that is
 * repaired when the bucket is visited.
 */
#ifndef STORE_TABLE_H
#define STORE_TABLE_H

#include "store/entry.h"

#define BUCKET_SLOTS 9
#define BUCKET_LOAD 7 /* mean entries per bucket at which the table grows; see store/README.md for the choice */
#define TABLE_SEGMENTS 34

struct bucket {
	uint8_t tag[BUCKET_SLOTS];
	uint8_t ptr[BUCKET_SLOTS][6];
	uint8_t state; /* low 4 bits: entries; BUCKET_CHAINED: the last slot points to an overflow bucket */
};
#define BUCKET_CHAINED 0x80

struct table {
	uint32_t refs;
	uint32_t level;     /* 2^level <= buckets < 2^(level + 1) */
	uint64_t buckets;
	uint64_t count;     /* published: relaxed atomics */
	uint64_t volatiles; /* published */
	int64_t next_due;   /* lower bound of all expiries */
	uint64_t overflow;  /* overflow buckets */
	uint8_t parity;
	struct bucket *segment[TABLE_SEGMENTS];
	int64_t *due[TABLE_SEGMENTS];
};

/* A place in a table: valid until the table changes. */
struct table_pos {
	struct bucket *bucket; /* in its chain */
	struct bucket *head;
	uint64_t index;
	unsigned slot;
};

static inline struct entry *bucket_entry(const struct bucket *b, unsigned i)
{
	uint64_t v;
	memcpy(&v, (const char *)b + 7 + 6 * i, sizeof v);
	return (struct entry *)(uintptr_t)(v >> 16);
}

static inline void bucket_set(struct bucket *b, unsigned i, const void *p)
{
	uint64_t v = (uintptr_t)p;
	memcpy(b->ptr[i], &v, 6);
}

static inline unsigned bucket_count(const struct bucket *b)
{
	return b->state & 15;
}

static inline struct bucket *bucket_next(const struct bucket *b)
{
	return b->state & BUCKET_CHAINED ? (struct bucket *)(void *)bucket_entry(b, BUCKET_SLOTS - 1) : NULL;
}

static inline uint8_t hash_tag(uint64_t hash)
{
	return (uint8_t)(hash >> 44);
}

static inline uint64_t table_index(const struct table *t, uint64_t hash)
{
	uint64_t i = hash & ((2ull << t->level) - 1);
	return i < t->buckets ? i : i & ((1ull << t->level) - 1);
}

/* Segment k > 0 holds buckets 2^(k-1) to 2^k - 1. */
static inline unsigned segment_of(uint64_t index)
{
	return index ? 64u - (unsigned)__builtin_clzll(index) : 0;
}

static inline uint64_t segment_base(unsigned k)
{
	return k ? 1ull << (k - 1) : 0;
}

static inline struct bucket *table_bucket(const struct table *t, uint64_t index)
{
	unsigned k = segment_of(index);
	return &t->segment[k][index - segment_base(k)];
}

struct table *table_new(void);
void table_unref(struct table *t); /* frees entries with the last reference */
bool table_find(const struct table *t, uint64_t hash, const void *key, size_t len, struct table_pos *pos);
/* The key must not exist. false: out of memory. hash_of rehashes entries that a split moves. */
bool table_insert(struct table *t, const struct store *s, uint64_t hash, struct entry *e);
void table_remove(struct table *t, const struct table_pos *pos);
/* The entry at pos was reallocated. */
static inline void table_replace(const struct table_pos *pos, struct entry *e)
{
	bucket_set(pos->bucket, pos->slot, e);
}
/* One bucket fewer, if the load allows; true if it did something. */
bool table_shrink(struct table *t, const struct store *s);
/* An entry of the bucket expires at `when`. false: out of memory. */
bool table_note_expiry(struct table *t, uint64_t index, int64_t when);
void table_volatile_add(struct table *t, int n);
size_t table_memory(const struct table *t);
/* Reverse-binary scan: the position behind the bucket that holds position v. 0: the end. */
uint64_t table_scan_next(const struct table *t, uint64_t v);

#endif
