/*
 * entry_build: making, measuring and freeing entries. Internal to the store.
 *
 * An entry's allocation is exactly slab_class(entry_size()) bytes, unless ENTRY_RAW says that it was grown for a string
 * and may have more room. ENTRY_SLAB says where it came from. Threads: the holder of the shard's lock, or the owner of a
 * detached entry.
 */
#ifndef STORE_ENTRY_BUILD_H
#define STORE_ENTRY_BUILD_H

#include "store/slab.h"
#include "store/types.h"

#define LFU_INIT 5

struct blob {
	uint32_t refs; /* atomic */
	size_t len, cap;
	char bytes[];
};

/* What to build. */
struct entry_plan {
	struct slab_arena *arena;
	const char *key;
	size_t key_len;
	int64_t expire_ms;   /* STORE_NO_EXPIRY: none */
	uint8_t kind, flags; /* flags: ENTRY_EMBEDDED, ENTRY_RAW, ENTRY_BLOB; ENTRY_EXPIRY is set as told above */
	size_t val_len;      /* of an embedded value */
	size_t room;         /* allocate at least that much; 0: as needed */
};

static inline size_t entry_plan_size(const struct entry_plan *p)
{
	return sizeof(struct entry) + (p->expire_ms != STORE_NO_EXPIRY ? 8 : 0) + (p->key_len >= 255 ? 8 : 0) +
	       p->key_len + (p->flags & ENTRY_EMBEDDED ? p->val_len : 8);
}

/* Header, expiry and key are filled in; access clock 0, value to be written by the caller. NULL: out of memory. */
struct entry *entry_new(const struct entry_plan *p);
/* Bytes in use, the value apart not counted. */
size_t entry_size(const struct entry *e);
size_t entry_room(const struct entry *e);
/* The entry alone, or with its value, at once. */
void entry_free_shell(struct entry *e);
void entry_free(struct entry *e);

static inline char *entry_bytes(const struct entry *e)
{
	return (char *)(uintptr_t)entry_key(e) + entry_key_len(e);
}

/* Whether it is an aggregate whose listpack stands in the entry. */
static inline bool entry_inlined(const struct entry *e)
{
	return e->flags & ENTRY_EMBEDDED && entry_type(e) != STORE_STRING;
}

static inline struct blob *entry_blob(const struct entry *e)
{
	return e->flags & ENTRY_BLOB ? entry_value(e) : NULL;
}

static inline void entry_put_payload(struct entry *e, const void *p)
{
	memcpy(entry_payload_(e), &p, sizeof p);
}

static inline uint32_t entry_access(const struct entry *e)
{
	return (uint32_t)e->access[0] | (uint32_t)e->access[1] << 8 | (uint32_t)e->access[2] << 16;
}

static inline void entry_put_access(struct entry *e, uint32_t v)
{
	e->access[0] = (uint8_t)v;
	e->access[1] = (uint8_t)(v >> 8);
	e->access[2] = (uint8_t)(v >> 16);
}

/* A read or write of the key; the line is written only where something changes. */
void entry_touch_lfu(const struct store_op *op, struct entry *e);
static inline void entry_touch(const struct store_op *op, struct entry *e)
{
	if (op->no_touch)
		return;
	if (op->access == STORE_ACCESS_LFU)
		entry_touch_lfu(op, e);
	else if (entry_access(e) != op->access_clock)
		entry_put_access(e, op->access_clock);
}
void entry_init_access(const struct store_op *op, struct entry *e);

/* A blob with its bytes unset and one reference. NULL: out of memory. */
struct blob *blob_new(size_t len, size_t cap);
/* The same with its bytes zero, which costs nothing where the memory comes fresh from the system. */
struct blob *blob_new_zeroed(size_t len, size_t cap);
static inline void blob_ref(struct blob *b)
{
	__atomic_fetch_add(&b->refs, 1, __ATOMIC_RELAXED);
}
static inline bool blob_shared(const struct blob *b)
{
	return __atomic_load_n(&b->refs, __ATOMIC_ACQUIRE) != 1;
}

/* A thread's own source of numbers that need not be secret. */
uint64_t store_rng_next(void);

#endif
