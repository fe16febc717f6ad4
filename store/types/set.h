/*
 * set: different strings: an intset while all are integers and few, one listpack while they are few and short, a table
 * beyond. A set goes up these steps and never down; what a STORE command leaves is built anew.
 *
 * Invariants: a set that a key holds is not empty.
 * Errors: 0 or more, -ENOMEM, -EFBIG (a member of 4 GiB and more); on error nothing has changed but, perhaps, the form.
 */
#ifndef STORE_TYPES_SET_H
#define STORE_TYPES_SET_H

#include "store/impl/hashtab.h"
#include "store/types.h"
#include "store/types/value.h"

extern const struct store_type set_type;

/* An empty set in the form that suits a first member and about `expected` in all. */
int set_new(struct value *v, const struct value_limits *limits, const char *first, size_t len, size_t expected);
/* An empty intset, to be filled with whatever comes. */
int set_new_any(struct value *v);
/* An empty listpack, or an intset if the other one is, to be filled with members of the other. */
int set_new_like(struct value *v, const struct value *other);
/* A set of integers alone that is small enough becomes an intset. Without memory it stays what it is. */
void set_settle(struct value *v, const struct value_limits *limits);
void set_free(struct value *v);
size_t set_len(const struct value *v);
/* Get ready for so many members that may be new. */
int set_grow(struct value *v, const struct value_limits *limits, size_t expected);

/* 1 added, 0 was there. The bytes may not lie within the set. */
int set_add(struct value *v, const struct value_limits *limits, const char *str, size_t len);
/* Whether a member that is not there is to be appended to a listpack. */
bool set_appends(const struct value *v, const struct value_limits *limits, size_t len);
int set_add_item(struct value *v, const struct value_limits *limits, const struct value_item *item);
bool set_has(const struct value *v, const char *str, size_t len);
/* The bytes may lie within the set: they are read before it changes. */
bool set_remove(struct value *v, const char *str, size_t len);

/* All members: for (set_begin(&it, v); set_next(&it, &item);). */
struct set_iter {
	const struct value *v;
	const uint8_t *p;
	size_t index;
	struct hashtab_iter table;
};
void set_begin(struct set_iter *it, const struct value *v);
bool set_next(struct set_iter *it, struct value_item *item);

/* false ends the walk. */
typedef bool set_visit(void *ctx, const struct value_item *item);
/* As hashtab_scan(): a part of the members from the cursor on, about `count`; the next cursor. */
uint64_t set_scan(const struct value *v, uint64_t cursor, size_t count, set_visit *visit, void *ctx);
/* One at random; the set is not empty. */
void set_random(const struct value *v, struct value_item *item);

/*
 * n different members at random, fewer than there are: init (0 or -ENOMEM), read them with next, then commit() takes them
 * out, which cannot fail. clear() always. The set may not change in between.
 */
struct set_choice {
	struct value *v;
	struct value rest;    /* of an intset or listpack: what stays, if `take` was said */
	const void **chosen;  /* elements; of an intset and a listpack positions, ascending */
	size_t n, read;
};
int set_choice_init(struct set_choice *c, struct value *v, size_t n, bool take);
bool set_choice_next(struct set_choice *c, struct value_item *item);
void set_choice_commit(struct set_choice *c);
void set_choice_clear(struct set_choice *c);

/* Members of all sets, n >= 1, the smallest first; at most `limit` (0: all). Their number. */
size_t set_intersect(const struct value *sets, size_t n, size_t limit, set_visit *visit, void *ctx);
/* Members of the first set that none of the others holds, by looking up each in all of them. */
size_t set_subtract(const struct value *sets, size_t n, set_visit *visit, void *ctx);

#endif
