/*
 * list: a list of strings: one listpack while it is small, a quicklist beyond.
 *
 * Invariants: a list that a key holds is not empty. Where it changes between its forms is Redis's: before elements are
 * added (list_grow) and after elements have gone (list_shrink).
 * Errors: 0 or more, -ENOMEM, -EFBIG (an element beyond what the form can hold); on error no element has changed.
 */
#ifndef STORE_TYPES_LIST_H
#define STORE_TYPES_LIST_H

#include "store/impl/quicklist.h"
#include "store/types.h"
#include "store/types/value.h"

extern const struct store_type list_type;

/* list-max-listpack-size and list-compress-depth. */
struct list_limits {
	int fill;
	unsigned depth;
};

/* From how many bytes on an element has a node of its own; 0: where the limit says. For the process (DEBUG). */
void list_set_plain_threshold(size_t bytes);
/* An empty one. */
int list_new(struct value *v);
void list_free(struct value *v);
size_t list_len(const struct value *v);
/* Get ready for n more elements of so many bytes in all. */
int list_grow(struct value *v, const struct list_limits *limits, size_t n, size_t bytes);
/* Elements have gone, or grown smaller. */
void list_shrink(struct value *v, const struct list_limits *limits);

int list_push(struct value *v, bool tail, const void *str, size_t len);
/* 1 and the element at an end, 0: empty. */
int list_peek(struct value *v, bool tail, struct value_item *item);
/* Remove the element at the end; only after list_peek(), which is all that can fail. */
void list_drop(struct value *v, bool tail);
/* Move the element from one end to the other. */
int list_rotate(struct value *v, bool to_tail);
/* Delete n elements from index >= 0 on; the number, or an error. */
int64_t list_delete_range(struct value *v, int64_t index, size_t n);

/* Walking, as quicklist_iter: init, next ..., clear always. */
struct list_iter {
	struct value *v;
	uint8_t *p;
	bool backward, fresh, ended;
	struct quicklist_iter quick;
};
int list_iter_init(struct list_iter *it, struct value *v, int64_t index, bool backward);
int list_iter_next(struct list_iter *it, struct value_item *item);
bool list_iter_equal(const struct list_iter *it, const void *str, size_t len);
/* Next() goes on behind it. */
void list_iter_delete(struct list_iter *it);
/* After these the iterator may only be cleared. */
int list_iter_replace(struct list_iter *it, const void *str, size_t len);
int list_iter_insert(struct list_iter *it, bool after, const void *str, size_t len);
void list_iter_clear(struct list_iter *it);

#endif
