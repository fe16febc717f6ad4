#include "store/types/list.h"

#include <errno.h>

#include "store/memory.h"

#define PREFETCH_MAX 1024
#define SAFETY_BYTES 8192 /* of a listpack where the limit counts elements */

static inline bool is_packed(const struct value *v)
{
	return v->encoding == ENC_LISTPACK;
}

/* ------------------------------------------------------------------ life cycle */

void list_set_plain_threshold(size_t bytes)
{
	quicklist_set_plain_threshold(bytes);
}

int list_new(struct value *v)
{
	*v = (struct value){ ENC_LISTPACK, listpack_new(0) };
	return v->ptr ? 0 : -ENOMEM;
}

static void free_value(unsigned encoding, void *ptr)
{
	if (encoding == ENC_LISTPACK)
		listpack_free(ptr);
	else
		quicklist_free(ptr);
}

void list_free(struct value *v)
{
	free_value(v->encoding, v->ptr);
	v->ptr = NULL;
}

static size_t free_cost(unsigned encoding, const void *ptr)
{
	return encoding == ENC_LISTPACK ? 1 : 2 * quicklist_nodes(ptr);
}

static void *dup_value(unsigned encoding, const void *ptr)
{
	return encoding == ENC_LISTPACK ? (void *)listpack_dup(ptr) : (void *)quicklist_dup(ptr);
}

static size_t memory(unsigned encoding, const void *ptr, unsigned samples)
{
	(void)samples; /* the blocks are few */
	return encoding == ENC_LISTPACK ? mem_size(ptr) : quicklist_bytes(ptr);
}

static void prefetch(unsigned encoding, const void *ptr)
{
	if (encoding == ENC_QUICKLIST) {
		quicklist_prefetch(ptr);
		return;
	}
	/* What is pushed in front moves all of it. */
	size_t bytes = listpack_bytes(ptr);
	for (size_t at = 192; at < bytes + 64 && at < PREFETCH_MAX; at += 64)
		__builtin_prefetch((const char *)ptr + at, 1);
}

const struct store_type list_type = {
	.name = "list", .free = free_value, .free_cost = free_cost, .dup = dup_value, .memory = memory,
	.prefetch = prefetch,
};

size_t list_len(const struct value *v)
{
	return is_packed(v) ? listpack_count(v->ptr) : quicklist_count(v->ptr);
}

/* ------------------------------------------------------------------ one form and the other */

/* Whether a listpack of so many bytes and elements is within the limit divided by `part`. */
static bool within(const struct list_limits *limits, size_t bytes, size_t count, unsigned part)
{
	static const uint32_t by_fill[] = { 4096, 8192, 16384, 32768, 65536 };
	int fill = limits->fill;
	if (fill < 0)
		return bytes <= by_fill[fill < -5 ? 4 : -fill - 1] / part;
	return bytes <= SAFETY_BYTES && count <= (fill ? (unsigned)fill : 1) / part;
}

int list_grow(struct value *v, const struct list_limits *limits, size_t n, size_t bytes)
{
	if (!is_packed(v))
		return 0;
	size_t total, count = listpack_count(v->ptr) + n;
	if (!__builtin_add_overflow(listpack_bytes(v->ptr), bytes, &total) && within(limits, total, count, 1))
		return 0;
	struct quicklist *ql = quicklist_new(limits->fill, limits->depth);
	if (!ql)
		return -ENOMEM;
	if (count == n)
		listpack_free(v->ptr);
	else if (quicklist_append_listpack(ql, v->ptr)) {
		quicklist_free(ql);
		return -ENOMEM;
	}
	*v = (struct value){ ENC_QUICKLIST, ql };
	return 0;
}

struct only_node {
	size_t bytes;
	bool plain;
};

static int see_node(void *ctx, bool plain, const uint8_t *bytes, size_t len)
{
	struct only_node *only = ctx;
	(void)bytes;
	*only = (struct only_node){ len, plain };
	return 0;
}

/* Only half of the limit makes a listpack again, so that a list at the limit does not change at every step. */
void list_shrink(struct value *v, const struct list_limits *limits)
{
	struct only_node only = { 0, true };
	if (is_packed(v) || quicklist_nodes(v->ptr) != 1 || quicklist_visit_nodes(v->ptr, see_node, &only) || only.plain ||
	    !within(limits, only.bytes, quicklist_count(v->ptr), 2))
		return;
	uint8_t *lp = quicklist_take_listpack(v->ptr);
	if (!lp)
		return;
	quicklist_free(v->ptr);
	*v = (struct value){ ENC_LISTPACK, lp };
}

/* ------------------------------------------------------------------ ends */

int list_push(struct value *v, bool tail, const void *str, size_t len)
{
	if (!is_packed(v))
		return quicklist_push(v->ptr, tail, str, len);
	uint8_t *lp = v->ptr;
	int err = tail ? listpack_append(&lp, str, len) : listpack_prepend(&lp, str, len);
	v->ptr = lp;
	return err;
}

int list_peek(struct value *v, bool tail, struct value_item *item)
{
	if (!is_packed(v))
		return quicklist_peek(v->ptr, tail, item);
	const uint8_t *p = tail ? listpack_last(v->ptr) : listpack_first(v->ptr);
	if (!p)
		return 0;
	listpack_get(p, item);
	return 1;
}

void list_drop(struct value *v, bool tail)
{
	if (!is_packed(v)) {
		quicklist_drop(v->ptr, tail);
		return;
	}
	uint8_t *lp = v->ptr, *p = tail ? listpack_last(lp) : listpack_first(lp);
	listpack_delete(&lp, &p, 1);
	v->ptr = lp;
}

int list_rotate(struct value *v, bool to_tail)
{
	if (!is_packed(v))
		return quicklist_rotate(v->ptr, to_tail);
	struct value_item item;
	char buf[NUMBER_MAX];
	if (listpack_count(v->ptr) < 2)
		return 0;
	list_peek(v, !to_tail, &item);
	size_t len;
	const char *str = value_text(&item, buf, &len);
	/* What goes into a block may not lie within it. */
	char *copy = mem_alloc(len ? len : 1);
	if (!copy)
		return -ENOMEM;
	memcpy(copy, str, len);
	int err = list_push(v, to_tail, copy, len);
	mem_free(copy);
	if (!err)
		list_drop(v, !to_tail);
	return err;
}

int64_t list_delete_range(struct value *v, int64_t index, size_t n)
{
	if (!is_packed(v))
		return quicklist_delete_range(v->ptr, index, n);
	uint8_t *lp = v->ptr;
	size_t gone = listpack_delete_range(&lp, index, n);
	v->ptr = lp;
	return (int64_t)gone;
}

/* ------------------------------------------------------------------ walking */

int list_iter_init(struct list_iter *it, struct value *v, int64_t index, bool backward)
{
	it->v = v;
	it->backward = backward;
	it->fresh = true;
	it->ended = false;
	it->p = NULL;
	if (!is_packed(v))
		return quicklist_iter_init(&it->quick, v->ptr, index, backward);
	it->p = listpack_at(v->ptr, index);
	it->ended = !it->p;
	return it->p != NULL;
}

int list_iter_next(struct list_iter *it, struct value_item *item)
{
	if (!is_packed(it->v))
		return quicklist_iter_next(&it->quick, item);
	if (it->ended)
		return 0;
	if (!it->fresh)
		it->p = it->backward ? listpack_prev(it->v->ptr, it->p) : listpack_next(it->v->ptr, it->p);
	it->fresh = false;
	it->ended = !it->p;
	if (it->ended)
		return 0;
	listpack_get(it->p, item);
	return 1;
}

bool list_iter_equal(const struct list_iter *it, const void *str, size_t len)
{
	return is_packed(it->v) ? listpack_equal(it->p, str, len) : quicklist_iter_equal(&it->quick, str, len);
}

void list_iter_delete(struct list_iter *it)
{
	if (!is_packed(it->v)) {
		quicklist_iter_delete(&it->quick);
		return;
	}
	uint8_t *lp = it->v->ptr, *p = it->p;
	const uint8_t *prev = it->backward ? listpack_prev(lp, p) : NULL;
	size_t at = prev ? (size_t)(prev - lp) : 0;
	listpack_delete(&lp, &p, 1);
	it->v->ptr = lp;
	it->p = !it->backward ? p : prev ? lp + at : NULL;
	it->ended = !it->p;
	it->fresh = true;
}

int list_iter_replace(struct list_iter *it, const void *str, size_t len)
{
	if (!is_packed(it->v))
		return quicklist_iter_replace(&it->quick, str, len);
	uint8_t *lp = it->v->ptr, *p = it->p;
	int err = listpack_replace(&lp, &p, str, len);
	it->v->ptr = lp;
	it->ended = true;
	return err;
}

int list_iter_insert(struct list_iter *it, bool after, const void *str, size_t len)
{
	if (!is_packed(it->v))
		return quicklist_iter_insert(&it->quick, after, str, len);
	uint8_t *lp = it->v->ptr, *p = it->p;
	int err = listpack_insert(&lp, &p, after, str, len);
	it->v->ptr = lp;
	it->ended = true;
	return err;
}

void list_iter_clear(struct list_iter *it)
{
	if (!is_packed(it->v))
		quicklist_iter_clear(&it->quick);
}
