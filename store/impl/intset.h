/*
 * intset: a set of int64 in one sorted block, byte for byte as Redis's intset.
 *
 *   u32 width (2, 4 or 8), u32 length, then the integers ascending, all little-endian
 *
 * Invariants: strictly ascending; at most INTSET_MAX bytes. The width grows when a value needs it and never shrinks.
 * Ownership: the block is the caller's; functions that take `struct intset **` may move it.
 * Errors: 0 or more, -ENOMEM, or -EFBIG beyond INTSET_MAX; on error nothing has changed.
 * Threads: no locks; one writer or many readers.
 */
#ifndef STORE_IMPL_INTSET_H
#define STORE_IMPL_INTSET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define INTSET_MAX (1u << 30)

struct intset {
	uint32_t width, len;
	unsigned char data[];
};

struct intset *intset_new(void); /* NULL: out of memory */
struct intset *intset_from_bytes(const void *bytes, size_t len);
struct intset *intset_dup(const struct intset *is);
void intset_free(struct intset *is);
/* Whether foreign bytes are an intset of exactly len bytes (with `deep`: and in order). */
bool intset_validate(const void *bytes, size_t len, bool deep);

static inline size_t intset_len(const struct intset *is)
{
	return is->len;
}
static inline size_t intset_bytes(const struct intset *is)
{
	return sizeof *is + (size_t)is->len * is->width;
}

/* index < intset_len(). With the order: at(0) is the least, at(len - 1) the greatest; for a random one, a random index. */
int64_t intset_at(const struct intset *is, size_t index);
/* Whether val is there; *index (may be NULL): where it is or would go. */
bool intset_find(const struct intset *is, int64_t val, size_t *index);

/* 1 added, 0 was there. */
int intset_add(struct intset **is, int64_t val);
bool intset_remove(struct intset **is, int64_t val);
/* Remove n from index on, which must be there. */
void intset_remove_at(struct intset **is, size_t index, size_t n);

#endif
