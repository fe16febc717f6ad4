/*
 * hashtab: the table within a value: the elements of a set, the fields of a hash, the members of a sorted set.
 *
 * Elements are allocations of the caller's, each with its key at a fixed offset in the form of lenbytes.h; the table holds
 * only pointers to them, at about 10.5 bytes each. Keys are unique because the caller looks before inserting.
 *
 * Linear hashing: 64-byte buckets of nine 1-byte tags and 6-byte pointers with small overflow nodes; an insertion splits
 * at most one bucket, a removal merges at most one, so no step is O(n). Buckets live in segments of a sixteenth of the
 * table, which never move.
 *
 * Invariants: as long as nothing is inserted or removed, iterators and the order of elements are stable.
 * Ownership: elements stay the caller's; hashtab_free() frees them by the function given.
 * Errors: 0 or -ENOMEM, then nothing has changed.
 * Threads: no locks; one writer or many readers. The hash key is one for the process.
 */
#ifndef STORE_IMPL_HASHTAB_H
#define STORE_IMPL_HASHTAB_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "store/impl/lenbytes.h"

struct hashtab;

/* The keyed hash of a key; every function below that takes `hash` wants this. */
uint64_t hashtab_hash(const void *key, size_t len);
/* This thread need not hash it again while it stays as it is; NULL, SIZE_MAX, 0: nothing any more. */
void hashtab_hashed(const void *key, size_t len, uint64_t hash);
/* Fix the hash key, which else is random: for tests, before the first table. */
void hashtab_set_secret(const uint64_t secret[2]);

/* key_offset: where in an element its key's lenbytes begin. NULL: out of memory. */
struct hashtab *hashtab_new(unsigned key_offset);
/* free_elem may be NULL. */
void hashtab_free(struct hashtab *t, void (*free_elem)(void *elem));
/* Make an empty table ready for n elements; best effort. */
void hashtab_expect(struct hashtab *t, size_t n);
size_t hashtab_count(const struct hashtab *t);
/* Bytes of memory without the elements. */
size_t hashtab_bytes(const struct hashtab *t);

/* Start loading what a lookup will touch. */
void hashtab_prefetch(const struct hashtab *t, uint64_t hash);
/* The element that it probably is, once that is there. */
void hashtab_prefetch_likely(const struct hashtab *t, uint64_t hash);
/* The element with this key, or NULL. */
void *hashtab_find(const struct hashtab *t, uint64_t hash, const void *key, size_t len);
/* As many lookups at once, which wait for memory together: found[i] is the element with keys[i] or NULL, hashes[i] its hash. */
#define HASHTAB_BATCH 32
struct hashtab_key {
	const char *ptr;
	size_t len;
};
void hashtab_find_batch(const struct hashtab *t, size_t n, const struct hashtab_key keys[HASHTAB_BATCH],
                        uint64_t hashes[HASHTAB_BATCH], void *found[HASHTAB_BATCH]);
/* Add an element whose key is not there. */
int hashtab_insert(struct hashtab *t, uint64_t hash, void *elem);
/* Put another allocation with the same key in the place of an element that is there. */
void hashtab_replace(struct hashtab *t, uint64_t hash, const void *elem, void *other);
/* Take out and return the element with this key, NULL: none. */
void *hashtab_remove(struct hashtab *t, uint64_t hash, const void *key, size_t len);

/*
 * One element, all with the same probability; NULL: empty. *rng is the state of a generator, any number to begin with.
 */
void *hashtab_random(const struct hashtab *t, uint64_t *rng);

/* All elements: for (hashtab_begin(&it, t); (e = hashtab_next(&it));). Elements may be changed or freed if they are not
 * looked at again, the table may not. */
struct hashtab_iter {
	const struct hashtab *t;
	const uint8_t *node;
	size_t bucket;
	unsigned slot, small;
};
void hashtab_begin(struct hashtab_iter *it, const struct hashtab *t);
void *hashtab_next(struct hashtab_iter *it);

/*
 * Visit one bucket (two if it is being split) and return the next cursor; 0 starts and ends. Elements that are there from
 * start to end are visited at least once, however the table grows and shrinks between calls. The visitor may not change
 * the table.
 */
uint64_t hashtab_scan(const struct hashtab *t, uint64_t cursor, void (*visit)(void *ctx, void *elem), void *ctx);

#endif
