/*
 * idmap: an ordered map from 128-bit ids (milliseconds, sequence) to pointers: the blocks of a stream and the pending
 * entries of its groups and consumers. A B+ tree; ids that come in ascending order fill its leaves. A map of a few ids is
 * one small block.
 *
 * Ownership: values are the caller's and never NULL; idmap_free() frees them by the function given.
 * Positions are void after any insertion or removal.
 * Errors: 0 or -errno, then nothing has changed.
 * Threads: no locks; one writer or many readers.
 */
#ifndef STORE_IMPL_IDMAP_H
#define STORE_IMPL_IDMAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct idmap;
struct idmap_leaf;

struct idmap_id {
	uint64_t ms, seq;
};

static inline int idmap_compare(struct idmap_id a, struct idmap_id b)
{
	if (a.ms != b.ms)
		return a.ms < b.ms ? -1 : 1;
	return (a.seq > b.seq) - (a.seq < b.seq);
}
/* The 16 bytes, most significant first, that RDB files have. */
void idmap_id_encode(struct idmap_id id, uint8_t out[static 16]);
struct idmap_id idmap_id_decode(const uint8_t in[static 16]);

struct idmap *idmap_new(void); /* NULL: out of memory */
/* free_value may be NULL. */
void idmap_free(struct idmap *m, void (*free_value)(void *value));
size_t idmap_count(const struct idmap *m);
/* Bytes of memory without the values. */
size_t idmap_bytes(const struct idmap *m);

/* 0, -EEXIST or -ENOMEM. */
int idmap_insert(struct idmap *m, struct idmap_id id, void *value);
/* The value, or NULL. */
void *idmap_find(const struct idmap *m, struct idmap_id id);
/* Put another value in the place of one that is there; returns the old one, or NULL (and does nothing). */
void *idmap_replace(struct idmap *m, struct idmap_id id, void *value);
/* Take out; the value or NULL. Cannot fail. */
void *idmap_remove(struct idmap *m, struct idmap_id id);

struct idmap_pos {
	struct idmap_leaf *leaf;
	unsigned index;
};
/* Positions: false where there is none. */
bool idmap_first(const struct idmap *m, struct idmap_pos *pos);
bool idmap_last(const struct idmap *m, struct idmap_pos *pos);
bool idmap_seek_ge(const struct idmap *m, struct idmap_id id, struct idmap_pos *pos); /* the first not less than id */
bool idmap_seek_le(const struct idmap *m, struct idmap_id id, struct idmap_pos *pos); /* the last not greater */
bool idmap_next(struct idmap_pos *pos);
bool idmap_prev(struct idmap_pos *pos);
struct idmap_id idmap_id(const struct idmap_pos *pos);
void *idmap_value(const struct idmap_pos *pos);

/* For tests: whether all invariants hold. */
bool idmap_check(const struct idmap *m);

#endif
