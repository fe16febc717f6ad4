/*
 * types: what the store must know of a data type, one row per type. A new type is one file in types/ and its row.
 *
 * A value is an opaque pointer owned by exactly one entry. Functions run with the shard's lock held, except free() and
 * free_cost(), which may run on the background thread for a value that no entry refers to any more.
 */
#ifndef STORE_TYPES_H
#define STORE_TYPES_H

#include "store/entry.h"

struct hashtab;
/* Feeds bytes in a canonical order into a digest (DEBUG DIGEST): see digest.h. */
struct store_digest;

struct store_type {
	const char *name; /* as TYPE answers */
	void (*free)(unsigned encoding, void *value);
	/* About how many allocations free() releases; above 64 it is done in the background. */
	size_t (*free_cost)(unsigned encoding, const void *value);
	/* A deep copy, NULL: out of memory. */
	void *(*dup)(unsigned encoding, const void *value);
	/* Bytes held, looking at `samples` elements (0: all). */
	size_t (*memory)(unsigned encoding, const void *value, unsigned samples);
	const char *(*encoding_name)(unsigned encoding, const void *value);
	/* Prefetch what lies behind the value's first lines, which are there; NULL: nothing is worth it. */
	void (*prefetch)(unsigned encoding, const void *value);
	/* The same for the one table in which members of this encoding are looked up; NULL: they are not in a table. */
	const struct hashtab *(*table)(unsigned encoding, const void *value);
};

/* Row of a type id; rows of types that are not linked in have free == NULL. */
extern const struct store_type *const store_types[STORE_TYPES];

#endif
