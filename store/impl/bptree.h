/*
 * bptree: items in the order (score, member bytes) with ranks, for sorted sets. A B+ tree: leaves hold score and pointer of
 * up to 71 items and are linked; inner nodes count what is below them.
 *
 * An item is one allocation of the caller's: the score, then the member as lenbytes. A hashtab with key offset
 * BPTREE_MEMBER finds it by member; the two share it. Members are unique because the caller looks before inserting.
 *
 * Invariants: a score within the tree changes only by bptree_move(); it is never NaN. 0 and -0 are equal.
 * Ownership: items stay the caller's; bptree_free() frees them by the function given.
 * Positions are void after any change. Ranks count from 0.
 * Errors: 0, -ENOMEM or -EFBIG (2^32 - 1 items), then nothing has changed.
 * Threads: no locks; one writer or many readers.
 */
#ifndef STORE_IMPL_BPTREE_H
#define STORE_IMPL_BPTREE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "store/impl/lenbytes.h"

#define BPTREE_MEMBER 8 /* offset of the member's lenbytes in an item */
#define BPTREE_LEAF 71

struct bptree;

/* ------------------------------------------------------------------ items */

static inline size_t bptree_item_size(size_t member_len)
{
	return BPTREE_MEMBER + lenbytes_size(member_len);
}
/* Fill memory of bptree_item_size() bytes. */
static inline void bptree_item_init(void *item, double score, const void *member, size_t len)
{
	memcpy(item, &score, sizeof score);
	lenbytes_put((char *)item + BPTREE_MEMBER, member, len);
}
static inline double bptree_item_score(const void *item)
{
	double score;
	memcpy(&score, item, sizeof score);
	return score;
}
static inline const char *bptree_item_member(const void *item, size_t *len)
{
	return lenbytes_get((const char *)item + BPTREE_MEMBER, len);
}

/* ------------------------------------------------------------------ life cycle */

struct bptree *bptree_new(void); /* NULL: out of memory */
/* free_item may be NULL. */
void bptree_free(struct bptree *t, void (*free_item)(void *item));
size_t bptree_count(const struct bptree *t);
/* Bytes of memory without the items. */
size_t bptree_bytes(const struct bptree *t);

/* ------------------------------------------------------------------ changing */

/* Cheapest in ascending order, and then leaves are filled up. */
int bptree_insert(struct bptree *t, void *item);
/* Insert n items in ascending order; on error some are in. */
int bptree_build(struct bptree *t, void *const *items, size_t n);
/* Give the item another score. */
int bptree_move(struct bptree *t, void *item, double score);
/* Take an item out; false: it is not there. */
bool bptree_remove(struct bptree *t, const void *item);
/* Take out n items from rank `from` on (fewer if there are fewer), calling gone() for each when it is out, in order.
 * Returns how many. */
size_t bptree_remove_range(struct bptree *t, size_t from, size_t n, void (*gone)(void *ctx, void *item), void *ctx);

/* ------------------------------------------------------------------ looking */

struct bptree_leaf;
struct bptree_pos {
	const struct bptree_leaf *leaf;
	unsigned index;
};

/* Rank of an item that is there. */
size_t bptree_rank(const struct bptree *t, const void *item);

/* Where to seek: by score alone, by member alone (for sets whose scores are all equal), or by both. */
enum bptree_by { BPTREE_BY_SCORE, BPTREE_BY_MEMBER, BPTREE_BY_BOTH };
struct bptree_key {
	enum bptree_by by;
	double score;
	const char *member;
	size_t len;
};
/*
 * The first item not less than the key, or with `after` the first greater than it. Returns its rank, bptree_count() if
 * there is none; the number of items in a range is the difference of two ranks. pos may be NULL; if there is no such
 * item pos->leaf is NULL.
 */
size_t bptree_seek(const struct bptree *t, const struct bptree_key *key, bool after, struct bptree_pos *pos);

/* Positions: false where there is none. */
bool bptree_first(const struct bptree *t, struct bptree_pos *pos);
bool bptree_last(const struct bptree *t, struct bptree_pos *pos);
bool bptree_at(const struct bptree *t, size_t rank, struct bptree_pos *pos);
bool bptree_next(struct bptree_pos *pos);
bool bptree_prev(struct bptree_pos *pos);
void *bptree_item(const struct bptree_pos *pos);
/* Up to max (not 0) items from the position on or, in reverse, down; at least one. The position is then behind them: leaf is
 * NULL where there are no more. */
unsigned bptree_take(struct bptree_pos *pos, void **items, unsigned max, bool reverse);
double bptree_score(const struct bptree_pos *pos); /* without touching the item */

/* For tests: whether all invariants hold. */
bool bptree_check(const struct bptree *t);

#endif
