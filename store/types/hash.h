/*
 * hash: fields with values: one listpack while it is small, a table beyond; it never becomes small again.
 *
 * A listpack holds pairs (ENC_LISTPACK); or, where the fields are those of a shape (shape.h), the shape's id and then the
 * values alone, in the same order (ENC_SHAPED). Nobody but MEMORY USAGE can tell one from the other.
 *
 * Invariants: a hash that a key holds is not empty. In a table a field and its value are one allocation. A listpack of
 * values has at most HASH_SHAPED_MAX bytes.
 * Errors: 0 or more, -ENOMEM, -EFBIG (4 GiB and more in one field or value); on error nothing has changed but, perhaps,
 * the form.
 */
#ifndef STORE_TYPES_HASH_H
#define STORE_TYPES_HASH_H

#include "store/impl/hashtab.h"
#include "store/types.h"
#include "store/types/shape.h"

#define HASH_SHAPED_MAX (64 * 1024)

extern const struct store_type hash_type;

/* An empty one. */
int hash_new(struct value *v);
size_t hash_len(const struct value *v);
/* Get ready for so many pairs of so many bytes in all, none longer than `longest`. */
int hash_grow(struct value *v, const struct value_limits *limits, size_t pairs, size_t bytes, size_t longest);
/* 1 added, 0 changed. One that has a shape keeps one only if limits->share and there is a shape of all its fields. */
int hash_set(struct value *v, const struct value_limits *limits, const char *field, size_t field_len, const char *val,
             size_t val_len);
/* Where the field's value in a listpack takes as many bytes as the new one, that is written in its place, wherever it
 * stands; false: nothing was done. */
bool hash_replace_same(const struct value *v, const struct value_limits *limits, const char *field, size_t field_len,
                       const char *val, size_t val_len);
/* What is to be appended to a listpack for a pair that is new to it; after that hash_appended(). */
struct hash_append {
	struct value_item items[2];
	unsigned n, id;
};
/* false: the pair is not new, or takes more than that. */
bool hash_appends(const struct value *v, const struct value_limits *limits, struct value_item field,
                  struct value_item val, struct hash_append *how);
void hash_appended(const struct value *v, const struct hash_append *how);
bool hash_get(const struct value *v, const char *field, size_t len, struct value_item *val);
/* 1 deleted, 0 there was none. -ENOMEM only from a hash with a shape, which then has lost none. */
int hash_delete(struct value *v, const char *field, size_t len);

static inline bool hash_is_shaped(const struct value *v)
{
	return v->encoding == ENC_SHAPED;
}
/* Give a listpack of pairs the shape of its fields, if limits->share and there is one. What cannot be done is not. */
void hash_share(struct value *v, const struct value_limits *limits);
/* All pairs at once of a hash that is empty or has a shape, if their fields are those of a shape, its own if it has one, in that
 * order. lent: only if it takes as many bytes as before, where it stands. false: nothing was done. */
bool hash_set_record(struct value *v, const struct value_limits *limits, const struct value_item *pairs, size_t n, bool lent);
/* Make it a listpack of pairs again. */
int hash_unshare(struct value *v);
/* A hash's listpack as one of pairs, in memory of hash_pairs_bytes(). */
size_t hash_pairs_bytes(const struct value *v);
void hash_put_pairs(const struct value *v, uint8_t *to);

/* All pairs: for (hash_begin(&it, v); hash_next(&it, &field, &val);). A listpack's are in order. */
struct hash_iter {
	const uint8_t *lp, *p;
	const struct value_item *names; /* of a shape: the next one */
	struct hashtab_iter table;
};
void hash_begin(struct hash_iter *it, const struct value *v);
bool hash_next(struct hash_iter *it, struct value_item *field, struct value_item *val);

typedef void hash_visit(void *ctx, const struct value_item *field, const struct value_item *val);
/* As hashtab_scan(): a part of the pairs from the cursor on, about `count`; the next cursor. */
uint64_t hash_scan(const struct value *v, uint64_t cursor, size_t count, hash_visit *visit, void *ctx);
/* One at random; the hash is not empty. */
void hash_random(const struct value *v, struct value_item *field, struct value_item *val);
/* n different ones, at most all of them. 0, or -ENOMEM without a visit. */
int hash_sample(const struct value *v, size_t n, hash_visit *visit, void *ctx);

#endif
