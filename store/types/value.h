/*
 * value: an aggregate apart from its key, as the functions of list.h, hash.h and set.h take it: a new one that no key has
 * yet, or the one of an entry. A function may change encoding and pointer: value_put() brings them back into the entry.
 *
 * Ownership: a value belongs to its entry, or to whoever made it. Threads: holder of the shard's lock, or the owner.
 */
#ifndef STORE_TYPES_VALUE_H
#define STORE_TYPES_VALUE_H

#include "store/entry.h"
#include "store/impl/listpack.h"

struct value {
	unsigned encoding; /* enum aggregate_encoding */
	void *ptr;
};

/* An element that was read: bytes, or an integer if str is NULL. Valid until the value changes. */
#define value_item listpack_item

/* Where aggregates of the type stop being compact. */
struct value_limits {
	int64_t entries, bytes; /* of the listpack */
	int64_t intset;         /* sets: integers */
	bool share;             /* hashes: the names of fields */
};

static inline struct value value_of(const struct entry *e)
{
	return (struct value){ entry_encoding(e), entry_value(e) };
}

static inline void value_put(struct entry *e, const struct value *v)
{
	if (v->ptr != entry_value(e) || v->encoding != entry_encoding(e))
		entry_set_value(e, v->encoding, v->ptr);
}

/* The element's bytes; an integer is printed into buf. */
static inline const char *value_text(const struct value_item *item, char buf[static NUMBER_MAX], size_t *len)
{
	if (item->str) {
		*len = item->len;
		return item->str;
	}
	*len = number_print(buf, item->num);
	return buf;
}

/* A number at random below n, from the thread's own source. Not for secrets. */
uint64_t value_random_below(uint64_t n);

/* A set of pointers, to choose different elements: add() says whether it was not there yet. Room for n. */
struct value_chosen {
	const void **slots;
	size_t mask;
};
bool value_chosen_init(struct value_chosen *c, size_t n); /* false: out of memory */
bool value_chosen_add(struct value_chosen *c, const void *p);
void value_chosen_clear(struct value_chosen *c);

static inline struct value_item value_item_of(const char *bytes, size_t len)
{
	return (struct value_item){ bytes, (uint32_t)len, 0 };
}

#endif
