/*
 * quicklist: a list of strings in a chain of listpacks, as the list type keeps long lists.
 *
 * Nodes hold up to a limit of bytes or elements (`fill`, as list-max-listpack-size: -1 to -5 for 4 to 64 KiB, n > 0 for n
 * elements and 8 KiB). An element beyond the limit has a node of its own, a plain one. With a compress depth d all but d
 * nodes at each end are kept compressed by LZF. Pushing and popping at either end is O(1): the first node has its free
 * room in front.
 *
 * Invariants: no node is empty. Elements are at most QUICKLIST_ELEMENT_MAX bytes.
 * Ownership: bytes to store are copied and may not lie within the list; items that point into it are void after any change.
 * Errors: 0 or more, -ENOMEM, -EFBIG; on error no element has changed. Reading can fail only where nodes are compressed.
 * Threads: no locks; one user at a time (readers may be many if nothing is compressed).
 */
#ifndef STORE_IMPL_QUICKLIST_H
#define STORE_IMPL_QUICKLIST_H

#include "store/impl/listpack.h"

#define QUICKLIST_ELEMENT_MAX (3u << 30)

struct quicklist;
struct quicklist_node;

/* ------------------------------------------------------------------ life cycle */

/* NULL: out of memory. fill 0 means 1. */
struct quicklist *quicklist_new(int fill, unsigned compress_depth);
struct quicklist *quicklist_dup(const struct quicklist *ql);
void quicklist_free(struct quicklist *ql);
/* Elements of so many bytes and more get plain nodes, 0: those beyond the fill limit. For the process (DEBUG). */
void quicklist_set_plain_threshold(size_t bytes);

size_t quicklist_count(const struct quicklist *ql);
size_t quicklist_nodes(const struct quicklist *ql);
size_t quicklist_bytes(const struct quicklist *ql); /* memory; walks the nodes */
/* Prefetch the nodes at both ends. */
void quicklist_prefetch(const struct quicklist *ql);

/* ------------------------------------------------------------------ ends */

int quicklist_push(struct quicklist *ql, bool tail, const void *str, size_t len);
/* 1 and the element at the end, valid until the next change; 0: the list is empty. */
int quicklist_peek(struct quicklist *ql, bool tail, struct listpack_item *item);
/* Remove the element at the end; to be called after quicklist_peek(), then it cannot fail. */
void quicklist_drop(struct quicklist *ql, bool tail);
/* Move the last element to the front, or (to_tail) the first to the end. */
int quicklist_rotate(struct quicklist *ql, bool to_tail);

/* ------------------------------------------------------------------ walking */

/*
 * for (err = quicklist_iter_init(&it, ql, 0, false); (err = quicklist_iter_next(&it, &item)) > 0;) ...
 * quicklist_iter_clear(&it) always.
 */
struct quicklist_iter {
	struct quicklist *ql;
	struct quicklist_node *node;
	uint8_t *lp, *p; /* listpack being read and element in it; of a plain node p are its bytes */
	uint8_t *raw;    /* decompressed copy, not yet the node's */
	size_t index;    /* of the current element, counted from the head */
	bool backward, fresh, changed;
};

/* Start at the element with this index (negative: from the end). Before the first next() it stands in front of it. 1, or 0
 * if there is no such element (then next() gives none). */
int quicklist_iter_init(struct quicklist_iter *it, struct quicklist *ql, int64_t index, bool backward);
void quicklist_iter_clear(struct quicklist_iter *it);
/* Go to the next element and read it: 1, or 0 at the end. */
int quicklist_iter_next(struct quicklist_iter *it, struct listpack_item *item);
/* Whether the current element equals the bytes. */
bool quicklist_iter_equal(const struct quicklist_iter *it, const void *str, size_t len);
/* Delete the current element; next() goes on behind it. */
void quicklist_iter_delete(struct quicklist_iter *it);
/* Change the current element; insert one next to it. Then the iterator may only be cleared. */
int quicklist_iter_replace(struct quicklist_iter *it, const void *str, size_t len);
int quicklist_iter_insert(struct quicklist_iter *it, bool after, const void *str, size_t len);

/* Delete n elements from index on (negative: from the end), fewer if there are fewer; returns how many. */
int64_t quicklist_delete_range(struct quicklist *ql, int64_t index, size_t n);

/* ------------------------------------------------------------------ whole nodes: loading, saving, converting */

/* Append a node, which is taken: a listpack that is not empty, or the bytes of one element; both from mem_alloc(). */
int quicklist_append_listpack(struct quicklist *ql, uint8_t *take_lp);
int quicklist_append_plain(struct quicklist *ql, uint8_t *take_bytes, size_t len);
/* If the list is one listpack, or empty: take it out, the list is empty then. NULL: it is not, or out of memory. */
uint8_t *quicklist_take_listpack(struct quicklist *ql);
/* Visit the nodes in order: the bytes of a listpack, or of one plain element. Ends early if visit() returns other than 0,
 * and returns that. */
int quicklist_visit_nodes(const struct quicklist *ql, int (*visit)(void *ctx, bool plain, const uint8_t *bytes, size_t len),
                          void *ctx);

#endif
