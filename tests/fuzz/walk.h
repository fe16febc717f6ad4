/*
 * walk: every element of a value, read in every way in which it can be read: what fuzz targets ask of any value that was
 * accepted or made.
 */
#ifndef TESTS_FUZZ_WALK_H
#define TESTS_FUZZ_WALK_H

#include <math.h>

#include "store/entry.h"
#include "store/types/hash.h"
#include "store/types/list.h"
#include "store/types/set.h"
#include "store/types/stream.h"
#include "store/types/zset.h"
#include "tests/fuzz/target.h"

static inline void walk_list(struct value *v, bool backward)
{
	struct list_iter it;
	struct value_item item;
	size_t n = 0;
	int err = list_iter_init(&it, v, backward ? -1 : 0, backward);
	for (; err >= 0 && (err = list_iter_next(&it, &item)) > 0; n++)
		;
	list_iter_clear(&it);
	check(err == 0 && n == list_len(v), "the elements of a list");
}

static inline void walk_set(const struct value *v)
{
	struct set_iter it;
	struct value_item item;
	size_t n = 0;
	char buf[NUMBER_MAX];
	for (set_begin(&it, v); set_next(&it, &item); n++) {
		size_t l;
		const char *text = value_text(&item, buf, &l);
		check(set_has(v, text, l), "a member is found");
	}
	check(n == set_len(v), "the members of a set");
}

static inline void walk_hash(const struct value *v)
{
	struct hash_iter it;
	struct value_item field, val, got;
	size_t n = 0;
	char buf[NUMBER_MAX];
	for (hash_begin(&it, v); hash_next(&it, &field, &val); n++) {
		size_t l;
		const char *text = value_text(&field, buf, &l);
		check(hash_get(v, text, l, &got) && got.str == val.str && (got.str || got.num == val.num), "a field is found");
	}
	check(n == hash_len(v), "the fields of a hash");
}

static inline void walk_zset(const struct value *v, bool reverse)
{
	struct zset_iter it;
	struct zset_item item;
	size_t n = 0, len = zset_count(v);
	double before = 0;
	zset_iter_init(&it, v, reverse ? len - 1 : 0, reverse);
	for (; zset_iter_next(&it, &item); n++) {
		struct zset_hit hit;
		check(n == 0 || (reverse ? item.score <= before : item.score >= before), "scores are in order");
		before = item.score;
		check(zset_find(v, item.ptr, item.len, &hit) && hit.score == item.score, "a member is found");
		check(zset_rank(v, &hit) == (reverse ? len - 1 - n : n), "and its rank");
	}
	check(n == len, "the members of a sorted set");
}

/* A score of -0 that comes into a listpack is 0 there, in Redis too: such a value may come back with another digest. */
static inline bool has_negative_zero(const struct entry *e)
{
	struct zset_iter it;
	struct zset_item item;
	if (entry_type(e) != STORE_ZSET)
		return false;
	struct value v = value_of(e);
	for (zset_iter_init(&it, &v, 0, false); zset_iter_next(&it, &item);) {
		if (item.score == 0 && signbit(item.score))
			return true;
	}
	return false;
}

static inline void walk_stream(struct stream *s)
{
	struct stream_iter it;
	struct stream_id id;
	struct value_item field, value;
	uint64_t fields, n = 0;
	stream_iter_init(&it, s, STREAM_ID_MIN, STREAM_ID_MAX, false);
	for (; stream_iter_next(&it, &id, &fields); n++)
		while (fields--)
			stream_iter_field(&it, &field, &value);
	check(n == s->length, "the entries of a stream");
}

/* Any value; but for streams, none is empty. */
static inline void walk_entry(struct entry *e)
{
	struct value v;
	switch (entry_type(e)) {
	case STORE_STRING:
		return;
	case STORE_LIST:
		v = value_of(e);
		walk_list(&v, false);
		walk_list(&v, true);
		check(list_len(&v) > 0, "a list has elements");
		return;
	case STORE_SET:
		v = value_of(e);
		walk_set(&v);
		check(set_len(&v) > 0, "a set has members");
		return;
	case STORE_HASH:
		v = value_of(e);
		walk_hash(&v);
		check(hash_len(&v) > 0, "a hash has fields");
		return;
	case STORE_ZSET:
		v = value_of(e);
		walk_zset(&v, false);
		walk_zset(&v, true);
		check(zset_count(&v) > 0, "a sorted set has members");
		return;
	default:
		v = value_of(e);
		check(stream_check(v.ptr), "a stream is sound");
		walk_stream(v.ptr);
	}
}

#endif
