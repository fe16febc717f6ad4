/*
 * zset: a sorted set: members with a score each, in the order (score, member bytes). A listpack of members and scores while
 * it is small; beyond, a table by member and a B+ tree by score over the same items.
 *
 * Limits are zset-max-listpack-entries and zset-max-listpack-value.
 *
 * Invariants: members are unique, scores never NaN. A sorted set that a key holds is not empty. Ranks count from 0.
 * A value once beyond the limits stays a tree.
 * Ownership: a value belongs to its entry, or to whoever made it. Bytes passed are copied and may not lie within the value.
 * What is read out (struct zset_item, zset_hit) is void after any change.
 * Errors: 0 or -ENOMEM; then nothing has changed.
 * Threads: holder of the shard's lock, or the owner of a value without a key.
 */
#ifndef STORE_TYPES_ZSET_H
#define STORE_TYPES_ZSET_H

#include "store/impl/bptree.h"
#include "store/impl/hashtab.h"
#include "store/number.h"
#include "store/types.h"
#include "store/types/value.h"

extern const struct store_type zset_type;

/* ------------------------------------------------------------------ life cycle */

/* An empty one that will hold about n members of at most max_len bytes. */
int zset_new(struct value *z, const struct value_limits *limits, size_t n, size_t max_len);
void zset_free(struct value *z);
size_t zset_count(const struct value *z);
/* Make it a tree if n more members in one go, or the length of one, are beyond the limits. */
int zset_prepare(struct value *z, const struct value_limits *limits, size_t n, size_t max_len);

/* ------------------------------------------------------------------ one member */

/* Where a member is, or (of one that is not there) what insertion wants to know. */
struct zset_hit {
	double score;
	uint64_t hash; /* of a tree */
	void *at;      /* item of the tree, or the member's element in the listpack */
};
bool zset_find(const struct value *z, const void *member, size_t len, struct zset_hit *hit);
/* Add a member that zset_find() did not find. */
int zset_insert(struct value *z, const struct value_limits *limits, const struct zset_hit *hit, const void *member,
                size_t len, double score);
/* Where a member that is not there is to be inserted into a listpack, and what; buf keeps its text. false: it is not. */
bool zset_inserts(const struct value *z, const struct value_limits *limits, const void *member, size_t len, double score,
                  size_t *at, struct value_item pair[static 2], char buf[static NUMBER_DOUBLE_MAX]);
/* Give the member that was found another score. */
int zset_rescore(struct value *z, const struct zset_hit *hit, const void *member, size_t len, double score);
/* The same where no byte more or less is needed, so that a listpack may stand in its entry; false: it was not done. */
bool zset_rescore_same(const struct value *z, const struct zset_hit *hit, const void *member, size_t len, double score);
void zset_remove(struct value *z, const struct zset_hit *hit, const void *member, size_t len);
size_t zset_rank(const struct value *z, const struct zset_hit *hit);

/* ------------------------------------------------------------------ ranges */

/* The number of members whose score is below (or_equal: at most) the score. */
size_t zset_below(const struct value *z, double score, bool or_equal);

/* A bound of a range by member: bytes, or (ptr == NULL) an end of the world. */
struct zset_lex_bound {
	const char *ptr;
	size_t len;
	bool exclusive, highest; /* highest: with ptr == NULL: "+", else "-" */
};
/* The members between two bounds, as rank and number. Sets whose scores differ have no order by member: there the answer
 * of a listpack is what a walk from the front (reverse: from the end) finds, that of a tree anything. */
size_t zset_lex_range(const struct value *z, const struct zset_lex_bound *min, const struct zset_lex_bound *max, bool reverse,
                      size_t *from);
void zset_remove_range(struct value *z, size_t from, size_t n);

/* ------------------------------------------------------------------ reading */

struct zset_item {
	const char *ptr;
	size_t len;
	double score;
	char buf[NUMBER_MAX]; /* where ptr points if the listpack holds an integer: do not copy the struct */
};

#define ZSET_AHEAD 16

struct zset_iter {
	const uint8_t *lp;
	uint8_t *p;
	struct bptree_pos pos; /* behind what was taken already */
	bool reverse;
	unsigned at, taken, want;
	void *items[ZSET_AHEAD];
};
/* Start at a rank. */
void zset_iter_init(struct zset_iter *it, const struct value *z, size_t rank, bool reverse);
bool zset_iter_more(struct zset_iter *it, struct zset_item *item);
/* The next one; false: the end. The sorted set must not change meanwhile. */
static inline bool zset_iter_next(struct zset_iter *it, struct zset_item *item)
{
	if (it->at == it->taken)
		return zset_iter_more(it, item);
	const void *from = it->items[it->at++];
	item->ptr = bptree_item_member(from, &item->len);
	item->score = bptree_item_score(from);
	return true;
}

/* As hashtab_scan(); a listpack is visited whole. */
typedef void zset_visit(void *ctx, const struct zset_item *item);
uint64_t zset_scan(const struct value *z, uint64_t cursor, zset_visit *visit, void *ctx);

/* ------------------------------------------------------------------ building */

/* Members gathered in any order, to be read in order or made a sorted set at once. */
struct zset_builder {
	void **items; /* as bptree.h has them */
	size_t n, cap, max_len;
	uint64_t bytes;
	struct hashtab *seen; /* where members may come again */
};
static inline void zset_builder_init(struct zset_builder *b)
{
	*b = (struct zset_builder){ 0 };
}
void zset_builder_clear(struct zset_builder *b);
/* A member that has not come before. */
int zset_builder_add(struct zset_builder *b, const void *member, size_t len, double score);
/* The item of the member, which is added with the score if it has not come before (then *fresh). NULL: out of memory. */
void *zset_builder_merge(struct zset_builder *b, const void *member, size_t len, double score, bool *fresh);
/* Take out a member that zset_builder_merge() added; true if that leaves none. zset_builder_settle() before anything
 * but further removals. */
bool zset_builder_drop(struct zset_builder *b, const void *member, size_t len);
void zset_builder_settle(struct zset_builder *b);
/* Into the order of a sorted set; scores may have been changed till now. */
void zset_builder_sort(struct zset_builder *b);
/* Make it a value; the builder is empty then. On error it is as before. Sorted. */
int zset_builder_finish(struct zset_builder *b, const struct value_limits *limits, struct value *z);

#endif
