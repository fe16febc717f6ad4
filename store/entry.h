/*
 * entry: one key with its value in place, in one allocation.
 *
 *   byte 0     type (low 4 bits), encoding (high 4 bits)
 *   byte 1     flags
 *   bytes 2-4  access clock: LRU seconds, or LFU minutes (16 bits) and counter (8 bits)
 *   byte 5     key length, 255: a 4-byte length follows the optional expiry (and 4 bytes of padding)
 *   bytes 6-7  length of an embedded value
 *   [8]        expiry in wall-clock ms, if ENTRY_EXPIRY
 *   [8]        key length, if byte 5 is 255
 *   [8]        payload: pointer (blob, raw string or aggregate) or int64, unless the value is embedded
 *   key bytes, then embedded value bytes: a string's, or a listpack's
 *
 * The layout is fixed; only entry.c and table.c build or resize entries. Readers use the inline functions below while they
 * hold the shard's lock.
 */
#ifndef STORE_ENTRY_H
#define STORE_ENTRY_H

#include <string.h>

#include "store/store.h"

enum entry_flags {
	ENTRY_EXPIRY = 1,   /* has an expiry */
	ENTRY_EMBEDDED = 2, /* the value stands behind the key: the bytes of a string, or the listpack of an aggregate, which
	                     * is to be read only: store_find() with STORE_WRITE takes it out, or lends it */
	ENTRY_RAW = 4,      /* string answers `raw` though it may be short (APPEND, SETRANGE, ...) */
	ENTRY_PARITY = 8,   /* snapshot: equal to the table's parity when walked or new */
	ENTRY_BLOB = 16,    /* payload is a counted blob */
	ENTRY_SLAB = 32,    /* allocated from a slab */
	ENTRY_FROZEN = 64,  /* a snapshot reads the value without a lock: see snapshot.c */
};

/* String encodings; aggregates define theirs in types/. Names as OBJECT ENCODING answers: entry_encoding_name(). */
enum string_encoding { STRING_RAW, STRING_EMBSTR, STRING_INT };
/* Encodings of aggregates (stored in the entry's 4 bits). */
enum aggregate_encoding {
	ENC_LISTPACK = 0,
	ENC_QUICKLIST = 1,
	ENC_HASHTABLE = 2,
	ENC_INTSET = 3,
	ENC_SKIPLIST = 4, /* the name Redis answers; a B+ tree here */
	ENC_STREAM = 5,
	ENC_SHAPED = 6, /* a hash in a listpack, which holds only its values: see types/hash.h */
};

/* Whether an aggregate of that encoding is one listpack. */
static inline bool encoding_is_listpack(unsigned encoding)
{
	return encoding == ENC_LISTPACK || encoding == ENC_SHAPED;
}

struct entry {
	uint8_t kind;
	uint8_t flags;
	uint8_t access[3];
	uint8_t key_len;
	uint16_t val_len;
	/* variable part */
};

static inline enum store_type_id entry_type(const struct entry *e)
{
	return (enum store_type_id)(e->kind & 15);
}

static inline unsigned entry_encoding(const struct entry *e)
{
	return e->kind >> 4;
}

static inline bool entry_has_expiry(const struct entry *e)
{
	return e->flags & ENTRY_EXPIRY;
}

static inline char *entry_var_(const struct entry *e)
{
	return (char *)(uintptr_t)(e + 1);
}

/* Wall-clock ms, or STORE_NO_EXPIRY. */
static inline int64_t entry_expiry(const struct entry *e)
{
	int64_t t = STORE_NO_EXPIRY;
	if (entry_has_expiry(e))
		memcpy(&t, entry_var_(e), sizeof t);
	return t;
}

static inline char *entry_payload_(const struct entry *e)
{
	return entry_var_(e) + (entry_has_expiry(e) ? 8 : 0) + (e->key_len == 255 ? 8 : 0);
}

static inline size_t entry_key_len(const struct entry *e)
{
	if (e->key_len != 255)
		return e->key_len;
	uint32_t n;
	memcpy(&n, entry_var_(e) + (entry_has_expiry(e) ? 8 : 0), sizeof n);
	return n;
}

static inline const char *entry_key(const struct entry *e)
{
	return entry_payload_(e) + (e->flags & ENTRY_EMBEDDED ? 0 : 8);
}

/* The aggregate of a list, set, ... Valid until the entry is changed, resized or unlocked. */
static inline void *entry_value(const struct entry *e)
{
	void *p;
	if (e->flags & ENTRY_EMBEDDED)
		return (char *)(uintptr_t)entry_key(e) + entry_key_len(e);
	memcpy(&p, entry_payload_(e), sizeof p);
	return p;
}

/* Put another aggregate (a conversion of encoding, or a block that realloc moved) in the same key. */
static inline void entry_set_value(struct entry *e, unsigned encoding, void *value)
{
	e->kind = (uint8_t)((e->kind & 15) | encoding << 4);
	memcpy(entry_payload_(e), &value, sizeof value);
}

/* Another integer in place of a string that is encoded as one (STRING_INT): nothing moves. */
static inline void entry_set_int(struct entry *e, int64_t val)
{
	memcpy(entry_payload_(e), &val, sizeof val);
}

/* A short string that was written in place answers `embstr`, as one that was set, even if it looks like an integer. */
static inline void entry_set_embstr(struct entry *e)
{
	e->kind = STORE_STRING | STRING_EMBSTR << 4;
}

/* A string's bytes. An integer is printed into buf (21 bytes at least); *len is always set. Valid until the unlock. */
const char *entry_string(const struct entry *e, char buf[static 24], size_t *len);
size_t entry_string_len(const struct entry *e);
/* true and *val if the string is a canonical int64 (whatever its encoding). */
bool entry_string_int(const struct entry *e, int64_t *val);
/* A reference to the string's blob with its bytes, or NULL if it is no blob. Released by blob_unref() on any thread. */
struct blob *entry_blob_ref(const struct entry *e, const char **bytes, size_t *len);
void blob_unref(struct blob *b);

/* As OBJECT ENCODING answers. */
const char *entry_encoding_name(const struct entry *e);
const char *entry_type_name(const struct entry *e); /* as TYPE answers */

/* Idle time in ms, or LFU counter after decay, as OBJECT answers. */
int64_t entry_idle_ms(const struct store_op *op, const struct entry *e);
unsigned entry_freq(const struct store_op *op, const struct entry *e);
void entry_set_idle(const struct store_op *op, struct entry *e, int64_t idle_ms);
void entry_set_freq(const struct store_op *op, struct entry *e, unsigned freq);

/* Bytes of memory of key and value with the table's share; samples: elements of an aggregate looked at, 0 all. */
size_t entry_memory(const struct entry *e, unsigned samples);

#endif
