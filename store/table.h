/*
 * table: one database's keys within one shard: linear hashing over cache-line buckets. Internal to the store.
 *
 * A bucket holds nine entries: a byte of hash (tag) and a 6-byte pointer each. More are chained: then eight entries stay
 * and the ninth pointer leads to an overflow bucket. All buckets of a chain but the last hold exactly eight entries, so
 * that an overflow bucket exists only while the chain has more than nine.
 *
 * The table grows by one bucket at a time: bucket n takes its half of bucket n - 2^floor(log2 n). The keys per bucket stay
 * constant, so memory does not swing, and no insertion does more than split one chain. Shrinking undoes the last split.
 *
 * Buckets live in segments, four per doubling; a growing table never moves a bucket, only the directory of segments.
 * The due index (expire.c) is an array parallel to a segment: the earliest expiry in each bucket, a lower bound.
 *
 * Threads: the holder of the shard's lock; keys, volatile_keys, nbuckets, overflow may be read by any with TABLE_READ().
 */
#ifndef STORE_TABLE_H
#define STORE_TABLE_H

#include <string.h>
#ifdef __SSE2__
#include <emmintrin.h>
#endif

#include "store/entry.h"

#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__ || __SIZEOF_POINTER__ != 8
#error "packed pointers need a little-endian machine of 64 bits"
#endif

#define BUCKET_SLOTS 9
#define BUCKET_OVERFLOW 0x80
/* Keys per bucket: 7 costs 11 bytes of buckets per key and 0.12 steps along a chain (computed and measured). */
#define TABLE_LOAD 7
#define TABLE_DUE_NONE STORE_NO_EXPIRY

struct bucket {
	uint8_t tag[BUCKET_SLOTS];
	uint8_t meta; /* count of entries, BUCKET_OVERFLOW */
	uint8_t ptr[6 * BUCKET_SLOTS];
} __attribute__((aligned(64)));

/* The expiry index of one segment; at == NULL: nothing there expires. */
struct due_segment {
	int64_t *at;
	int64_t min;
};

struct table {
	struct bucket **dir; /* segments; NULL: the table does not exist yet */
	uint32_t nbuckets;
	uint8_t parity; /* ENTRY_PARITY or 0: what the entries outside a running cut carry */
	bool in_cut;    /* entries of the other parity belong to the snapshot and are not walked yet */
	uint8_t pinned; /* being visited: neither grows nor shrinks */
	uint8_t dir_cap;
	uint64_t keys, volatile_keys;
	struct due_segment *due; /* parallel to dir, or NULL */
	int64_t next_due;        /* lower bound of all due times */
	/* rarely needed */
	uint32_t overflow;  /* overflow buckets */
	uint32_t max_chain; /* no chain has ever had more entries */
	uint32_t cut_db;    /* the database it was when the snapshot began */
};

#define TABLE_READ(field) __atomic_load_n(&(field), __ATOMIC_RELAXED)
#define TABLE_PUBLISH(field, value) __atomic_store_n(&(field), (value), __ATOMIC_RELAXED)

/* Where an entry stands. Valid until the table changes. */
struct slot {
	struct bucket *b;
	unsigned i;
	uint32_t index; /* of the chain's first bucket */
};

struct segment_pos {
	unsigned seg;
	uint32_t off, size;
};

static inline uint8_t hash_tag(uint64_t hash)
{
	return (uint8_t)(hash >> 44);
}

/* Bucket i's segment: sizes 1 1 1 1 2 2 2 2 4 4 4 4 ... */
static inline struct segment_pos segment_of(uint32_t i)
{
	uint64_t j = (uint64_t)i + 4;
	unsigned g = 63 - (unsigned)__builtin_clzl(j) - 2;
	struct segment_pos p = { g * 4 + (unsigned)(j >> g & 3), (uint32_t)(j & ((1ul << g) - 1)), 1u << g };
	return p;
}

static inline uint32_t table_index(const struct table *t, uint64_t hash)
{
	uint32_t mask = ~0u >> __builtin_clz((t->nbuckets - 1) | 1);
	uint32_t i = (uint32_t)hash & mask;
	return i >= t->nbuckets ? i & mask >> 1 : i;
}

static inline struct bucket *table_bucket(const struct table *t, uint32_t index)
{
	struct segment_pos p = segment_of(index);
	return t->dir[p.seg] + p.off;
}

static inline void *bucket_ptr(const struct bucket *b, unsigned i)
{
	/* The 8 bytes that end with the pointer, so that no read leaves the bucket. */
	uint64_t v;
	memcpy(&v, (const char *)b + 8 + 6 * i, sizeof v);
	return (void *)(uintptr_t)(v >> 16);
}

static inline void bucket_set_ptr(struct bucket *b, unsigned i, const void *p)
{
	uint64_t v = (uintptr_t)p;
	memcpy(b->ptr + 6 * i, &v, 6);
}

static inline unsigned bucket_count(const struct bucket *b)
{
	return b->meta & 15;
}

static inline struct bucket *bucket_next(const struct bucket *b)
{
	return b->meta & BUCKET_OVERFLOW ? bucket_ptr(b, BUCKET_SLOTS - 1) : NULL;
}

/* A bit per entry whose tag is the one looked for. */
static inline unsigned bucket_match(const struct bucket *b, uint8_t tag)
{
#ifdef __SSE2__
	__m128i v = _mm_load_si128((const __m128i *)(const void *)b);
	unsigned hits = (unsigned)_mm_movemask_epi8(_mm_cmpeq_epi8(v, _mm_set1_epi8((char)tag)));
#else
	unsigned hits = 0;
	for (unsigned i = 0; i < BUCKET_SLOTS; i++)
		hits |= (unsigned)(b->tag[i] == tag) << i;
#endif
	return hits & ((1u << bucket_count(b)) - 1);
}

static inline bool key_equal(const struct entry *e, const char *ptr, size_t len)
{
	if (e->key_len != (len < 255 ? len : 255))
		return false;
	const char *k = entry_key(e);
	if (len >= 8 && len <= 32) {
		uint64_t a, b, diff = 0;
		for (size_t i = 0; i + 8 < len; i += 8) {
			memcpy(&a, k + i, 8);
			memcpy(&b, ptr + i, 8);
			diff |= a ^ b;
		}
		memcpy(&a, k + len - 8, 8);
		memcpy(&b, ptr + len - 8, 8);
		return (diff | (a ^ b)) == 0;
	}
	return (len < 255 || entry_key_len(e) == len) && memcmp(k, ptr, len) == 0;
}

/* The entry of a key, expired or not. */
static inline struct entry *table_find(const struct table *t, const struct store_key *key, struct slot *at)
{
	if (!t->dir)
		return NULL;
	uint8_t tag = hash_tag(key->hash);
	at->index = table_index(t, key->hash);
	for (struct bucket *b = table_bucket(t, at->index); b; b = bucket_next(b)) {
		for (unsigned hits = bucket_match(b, tag); hits; hits &= hits - 1) {
			unsigned i = (unsigned)__builtin_ctz(hits);
			struct entry *e = bucket_ptr(b, i);
			if (__builtin_expect(key_equal(e, key->ptr, key->len), 1)) {
				at->b = b;
				at->i = i;
				return e;
			}
		}
	}
	return NULL;
}

static inline void table_set(const struct slot *at, const struct entry *e)
{
	bucket_set_ptr(at->b, at->i, e);
}

/* The first bucket and the directory. false: out of memory. */
bool table_init(struct table *t);
/* Frees buckets and index; the entries must be gone, see entry.h's entry_free() and table_free_entries(). */
void table_clear(struct table *t);
/* Frees the entries and then clears. Takes long. */
void table_free_all(struct table *t);

/* Where an entry known by its address stands. It must be there. */
void table_locate(const struct table *t, uint64_t hash, const struct entry *e, struct slot *at);
/* Put an entry in; the key must not be there. The caller has made room for its expiry (due_reserve). false: out of memory.
 * Grows by at most one bucket if `s` is given. */
bool table_insert(struct table *t, const struct store *s, uint64_t hash, struct entry *e, struct slot *at);
/* Take the entry out; it is not freed. */
void table_remove(struct table *t, const struct slot *at);
/* Split or merge one bucket. false: out of memory, or there is nothing to do. */
bool table_grow(struct table *t, const struct store *s);
bool table_shrink(struct table *t);

/* Visit the entries of one chain. The visitor may remove or replace the entry at the slot, nothing else. */
typedef void table_visit(void *ctx, struct table *t, const struct slot *at, struct entry *e);
void table_visit_bucket(struct table *t, uint32_t index, table_visit *visit, void *ctx);
unsigned table_chain_len(const struct table *t, uint32_t index);
/* The n-th entry of a chain. */
struct entry *table_chain_at(const struct table *t, uint32_t index, unsigned n, struct slot *at);

/*
 * Positions: the 32 low hash bits reversed. A bucket is an interval of positions at any size of the table, and a split
 * halves it; so a walk in this order that goes on at an interval's end misses nothing however the table changes.
 */
#define TABLE_POSITIONS ((uint64_t)1 << 32)
uint32_t table_position_index(const struct table *t, uint64_t position);
/* Where the interval of that bucket ends; TABLE_POSITIONS after the last. */
uint64_t table_position_next(const struct table *t, uint64_t position);

/* ------------------------------------------------------------------ due index, expire.c */

/* Make sure that the bucket can note an expiry. false: out of memory. */
bool due_reserve(struct table *t, uint32_t index);
void due_note(struct table *t, uint32_t index, int64_t when_ms);
int64_t due_get(const struct table *t, uint32_t index);
/* Exact value after a visit; the segment's minimum stays a lower bound. */
void due_put(struct table *t, uint32_t index, int64_t when_ms);

#endif
