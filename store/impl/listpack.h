/*
 * listpack: a sequence of strings and integers in one block, byte for byte as Redis's listpack, so that it goes into and
 * out of RDB files by copying.
 *
 *   u32 total bytes, u16 count (65535: unknown), elements, 0xff
 *   element: encoding and data, then the length of both, readable from the right
 *
 * Invariants: a listpack is well-formed (listpack_validate(deep) holds), at most LISTPACK_MAX bytes. A string that is a
 * canonical int64 is stored as an integer.
 * Ownership: the block is the caller's, made by mem_alloc(); functions that take `uint8_t **lp` may move it and then
 * every element pointer is void, except the one they hand back. Bytes to store are copied and may not lie within lp.
 * Errors: 0, -ENOMEM, or -EFBIG beyond LISTPACK_MAX; on error nothing has changed.
 * Threads: no locks; one user at a time, readers may be many.
 */
#ifndef STORE_IMPL_LISTPACK_H
#define STORE_IMPL_LISTPACK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "store/number.h"

#define LISTPACK_EMPTY_BYTES 7
#define LISTPACK_MAX (1u << 30)

/* An element: bytes, or an integer if str is NULL. */
struct listpack_item {
	const char *str;
	uint32_t len;
	int64_t num;
};

/* An empty listpack with room for `capacity` bytes in all (0: none). NULL: out of memory. */
uint8_t *listpack_new(size_t capacity);
/* A copy of `len` validated bytes, NULL: out of memory. */
uint8_t *listpack_from_bytes(const void *bytes, size_t len);
uint8_t *listpack_dup(const uint8_t *lp);
void listpack_free(uint8_t *lp);
/*
 * Whether foreign bytes are a listpack of exactly len bytes: only the frame, or (deep) every element too, which is needed
 * before any other function may see it. Believes no length.
 */
bool listpack_validate(const void *bytes, size_t len, bool deep);

/* Total bytes: what an RDB file holds. */
static inline size_t listpack_bytes(const uint8_t *lp)
{
	return (size_t)lp[0] | (size_t)lp[1] << 8 | (size_t)lp[2] << 16 | (size_t)lp[3] << 24;
}
/* Elements; walks the list if there are 65535 or more. */
size_t listpack_count(const uint8_t *lp);

/* Positions: NULL where there is none. index < 0 counts from the end, -1 is the last. */
uint8_t *listpack_first(const uint8_t *lp);
uint8_t *listpack_last(const uint8_t *lp);
uint8_t *listpack_next(const uint8_t *lp, const uint8_t *p);
uint8_t *listpack_prev(const uint8_t *lp, const uint8_t *p);
uint8_t *listpack_at(const uint8_t *lp, int64_t index);

/* Read the element; str points into the listpack. */
void listpack_get(const uint8_t *p, struct listpack_item *item);
/* What ends a listpack, where the next element would begin. */
#define LISTPACK_END 0xff
/* Where the element behind begins, or LISTPACK_END stands. */
const uint8_t *listpack_skip(const uint8_t *p);
/* Read the element, and skip it: for walks over many, of which most are short. */
static inline const uint8_t *listpack_read(const uint8_t *p, struct listpack_item *item)
{
	if ((*p & 0xc0) == 0x80) { /* less than 64 bytes, so that the back length is one */
		*item = (struct listpack_item){ (const char *)p + 1, *p & 63u, 0 };
		return p + 2 + item->len;
	}
	if (*p < 0x80) {
		*item = (struct listpack_item){ NULL, 0, *p };
		return p + 2;
	}
	listpack_get(p, item);
	return listpack_skip(p);
}
/* The element as bytes: an integer is printed into buf. */
const char *listpack_text(const uint8_t *p, char buf[static NUMBER_MAX], size_t *len);
/* Bytes that the element takes, with its back length. */
size_t listpack_element_bytes(const uint8_t *p);
/* true and *val if the element is a canonical integer, however stored. */
bool listpack_integer(const uint8_t *p, int64_t *val);
bool listpack_equal(const uint8_t *p, const void *str, size_t len);
/* The first element equal to the bytes, from p on (NULL: none), looking at one and then skipping `skip` (1: at the keys of
 * pairs). */
uint8_t *listpack_find(const uint8_t *lp, const uint8_t *p, const void *str, size_t len, unsigned skip);

/* Bytes that the element would take. */
size_t listpack_cost(const void *str, size_t len);
size_t listpack_cost_int(int64_t val);
/* Write one element to memory of listpack_cost() bytes, for those who keep listpacks in blocks of their own; returns the
 * bytes written. */
size_t listpack_write_element(uint8_t *to, const void *str, size_t len);
size_t listpack_write_int(uint8_t *to, int64_t val);
/* Write the head of a listpack of so many bytes and elements. */
void listpack_write_head(uint8_t *lp, size_t bytes, size_t count);
/* Whether `add` more bytes of elements fit below LISTPACK_MAX. */
bool listpack_fits(const uint8_t *lp, size_t add);

int listpack_append(uint8_t **lp, const void *str, size_t len);
int listpack_append_int(uint8_t **lp, int64_t val);
int listpack_prepend(uint8_t **lp, const void *str, size_t len);
int listpack_prepend_int(uint8_t **lp, int64_t val);
/* Append all items with one growth. */
int listpack_append_items(uint8_t **lp, const struct listpack_item *items, size_t n);
/* Bytes that the items would take, LISTPACK_MAX if that is too much. */
size_t listpack_items_cost(const struct listpack_item *items, size_t n);
/* Insert them at the offset, where behind the listpack is room for them. */
void listpack_insert_within(uint8_t *lp, size_t at, const struct listpack_item *items, size_t n);
/* Insert all items before pos, which may be where LISTPACK_END stands. */
int listpack_insert_items(uint8_t **lp, const uint8_t *pos, const struct listpack_item *items, size_t n);
/* The elements that take `bytes` from pos on go, and as many others, ready to be copied, come where now the element at `to`
 * begins, or LISTPACK_END stands: before pos, or not before the end of those that go. */
int listpack_move(uint8_t **lp, const uint8_t *pos, size_t bytes, const uint8_t *to, const uint8_t *fresh, size_t fresh_bytes);
/* Insert before or after *pos, which then is the new element. */
int listpack_insert(uint8_t **lp, uint8_t **pos, bool after, const void *str, size_t len);
int listpack_insert_int(uint8_t **lp, uint8_t **pos, bool after, int64_t val);
/* *pos stays the element. */
int listpack_replace(uint8_t **lp, uint8_t **pos, const void *str, size_t len);
int listpack_replace_int(uint8_t **lp, uint8_t **pos, int64_t val);
/* Delete n elements from *pos on (fewer if there are fewer); *pos becomes the one behind them, or NULL. Cannot fail. */
void listpack_delete(uint8_t **lp, uint8_t **pos, size_t n);
/* Delete n elements from index on; returns how many there were. */
size_t listpack_delete_range(uint8_t **lp, int64_t index, size_t n);
/* Append all elements of other, which stays as it is. */
int listpack_merge(uint8_t **lp, const uint8_t *other);
/* Move the elements from index on into a new listpack *tail. */
int listpack_split(uint8_t **lp, int64_t index, uint8_t **tail);

#endif
