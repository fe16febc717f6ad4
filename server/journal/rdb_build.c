/* rdb_build: the values of RDB files of all versions (streams: rdb_stream.c): see rdb_value.h. Every byte is checked before it is
 * believed; what was built before damage was found is freed. */
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "server/journal/rdb_compact.h"
#include "server/journal/rdb_stream.h"
#include "server/journal/rdb_value.h"
#include "store/number.h"
#include "store/types/stream.h"

/* One value in the making. */
struct build {
	struct rdb_scan *s;
	struct rdb_limits limits;
	struct value v;
	struct zset_builder zset;
	int err; /* -ENOMEM, -EINVAL */
};

static void damaged(struct build *b, const char *what)
{
	if (!b->s->bad)
		b->s->bad = what;
	b->err = b->err ? b->err : -EINVAL;
}

static void check(struct build *b, int result, const char *if_not_added)
{
	if (result < 0)
		b->err = result == -ENOMEM ? -ENOMEM : -EINVAL;
	else if (result == 0 && if_not_added)
		damaged(b, if_not_added);
}

/* A string as text; freed by text_clear(). */
struct text {
	const char *ptr;
	size_t len;
	char *heap;
};

static bool read_text(struct build *b, struct text *t)
{
	if (!b->err && rdb_scan_text(b->s, &t->ptr, &t->len, &t->heap))
		return true;
	t->heap = NULL;
	damaged(b, "a value is cut short");
	return false;
}

static uint64_t read_len(struct build *b)
{
	uint64_t n = b->err ? 0 : rdb_scan_len(b->s);
	if (!rdb_scan_ok(b->s))
		damaged(b, "a value is cut short");
	return b->err ? 0 : n;
}

/* As many as are claimed, but no more than the bytes that are left could hold. */
static size_t believable(const struct build *b, uint64_t n)
{
	uint64_t room = (uint64_t)(b->s->end - b->s->p);
	return (size_t)(n < room ? n : room);
}

/* ------------------------------------------------------------------ one element more */

static void add_to_list(struct build *b, const char *str, size_t len)
{
	const struct list_limits limits = b->limits.list;
	check(b, list_grow(&b->v, &limits, 1, listpack_cost(str, len)), NULL);
	if (!b->err)
		check(b, list_push(&b->v, true, str, len), NULL);
}

static void add_to_set(struct build *b, const char *str, size_t len)
{
	check(b, set_add(&b->v, &b->limits.set, str, len), "a member of a set is there twice");
}

static void add_to_hash(struct build *b, const struct text *field, const struct text *val)
{
	check(b, hash_set(&b->v, &b->limits.hash, field->ptr, field->len, val->ptr, val->len),
	      "a field of a hash is there twice");
}

static void add_to_zset(struct build *b, const char *str, size_t len, double score)
{
	bool fresh = true;
	if (isnan(score)) {
		damaged(b, "a score is not a number");
		return;
	}
	void *item = zset_builder_merge(&b->zset, str, len, score, &fresh);
	if (!item)
		b->err = -ENOMEM;
	else if (!fresh)
		damaged(b, "a member of a sorted set is there twice");
}

static void finish_zset(struct build *b)
{
	if (b->err || !b->zset.n)
		return;
	zset_builder_sort(&b->zset);
	check(b, zset_builder_finish(&b->zset, &b->limits.zset, &b->v), NULL);
}

/* ------------------------------------------------------------------ forms of one element after the other */

static void read_list(struct build *b)
{
	struct text t;
	check(b, list_new(&b->v), NULL);
	for (uint64_t n = read_len(b); n > 0 && read_text(b, &t); n--) {
		add_to_list(b, t.ptr, t.len);
		free(t.heap);
	}
}

static void read_set(struct build *b)
{
	struct text t;
	uint64_t n = read_len(b);
	for (uint64_t i = 0; i < n && read_text(b, &t); i++) {
		if (i == 0)
			check(b, set_new(&b->v, &b->limits.set, t.ptr, t.len, believable(b, n)), NULL);
		if (!b->err)
			add_to_set(b, t.ptr, t.len);
		free(t.heap);
	}
}

static void read_hash(struct build *b)
{
	struct text field, val;
	uint64_t n = read_len(b);
	check(b, hash_new(&b->v), NULL);
	if (!b->err && believable(b, n) > (size_t)b->limits.hash.entries)
		check(b, hash_grow(&b->v, &b->limits.hash, believable(b, n), 0, 0), NULL);
	for (; n > 0 && read_text(b, &field); n--) {
		if (read_text(b, &val)) {
			add_to_hash(b, &field, &val);
			free(val.heap);
		}
		free(field.heap);
	}
}

static double read_text_score(struct build *b)
{
	double v = NAN;
	const uint8_t *len = rdb_scan_raw(b->s, 1);
	if (len && *len == 254)
		return INFINITY;
	if (len && *len == 255)
		return -INFINITY;
	const uint8_t *at = len && *len < 253 ? rdb_scan_raw(b->s, *len) : NULL;
	if (at && !number_parse_double((const char *)at, *len, &v))
		v = NAN;
	return v;
}

static double read_binary_score(struct build *b)
{
	double v = NAN;
	const uint8_t *at = rdb_scan_raw(b->s, 8);
	if (at)
		memcpy(&v, at, 8);
	return v;
}

static void read_zset(struct build *b, bool binary)
{
	struct text t;
	for (uint64_t n = read_len(b); n > 0 && read_text(b, &t); n--) {
		add_to_zset(b, t.ptr, t.len, binary ? read_binary_score(b) : read_text_score(b));
		free(t.heap);
	}
	finish_zset(b);
}

/* ------------------------------------------------------------------ forms in one block */

/* What the elements of a block become, one or two at a time. */
static void take_list(void *ctx, const char *str, size_t len)
{
	add_to_list(ctx, str, len);
}

struct pairs {
	struct build *b;
	char *first; /* a copy: the next element may use the same buffer */
	size_t len;
	bool half, zset;
};

static void take_pair(void *ctx, const char *str, size_t len)
{
	struct pairs *p = ctx;
	struct build *b = p->b;
	if (b->err)
		return;
	if (!p->half) {
		p->first = malloc(len + 1);
		if (!p->first) {
			b->err = -ENOMEM;
			return;
		}
		memcpy(p->first, str, len);
		p->len = len;
		p->half = true;
		return;
	}
	double score;
	if (!p->zset)
		add_to_hash(b, &(struct text){ p->first, p->len, NULL }, &(struct text){ str, len, NULL });
	else if (number_parse_double(str, len, &score))
		add_to_zset(b, p->first, p->len, score);
	else
		damaged(b, "a score is not a number");
	free(p->first);
	p->first = NULL;
	p->half = false;
}

static void take_set(void *ctx, const char *str, size_t len)
{
	struct build *b = ctx;
	if (!b->err && !b->v.ptr)
		check(b, set_new(&b->v, &b->limits.set, str, len, 1), NULL);
	if (!b->err)
		add_to_set(b, str, len);
}

static void visit_block(struct build *b, rdb_compact_walk *walk, const struct text *t, rdb_compact_visit *visit, void *ctx)
{
	if (walk(t->ptr, t->len, visit, ctx))
		damaged(b, "a packed value is damaged");
}

static void read_pairs(struct build *b, rdb_compact_walk *walk, bool zset)
{
	struct text t;
	struct pairs p = { .b = b, .zset = zset };
	if (!zset)
		check(b, hash_new(&b->v), NULL);
	if (!read_text(b, &t))
		return;
	visit_block(b, walk, &t, take_pair, &p);
	if (p.half)
		damaged(b, "a packed value ends between the two of a pair");
	free(p.first);
	free(t.heap);
	if (zset)
		finish_zset(b);
}

/* Whether a field stands twice in a hash of an even number of elements. */
static bool has_field_twice(const uint8_t *lp)
{
	char number[NUMBER_MAX];
	for (const uint8_t *p = listpack_first(lp), *next; p; p = next) {
		size_t len;
		const char *str = listpack_text(p, number, &len);
		next = listpack_next(lp, listpack_next(lp, p));
		if (next && listpack_find(lp, next, str, len, 1))
			return true;
	}
	return false;
}

/* A hash in one listpack that is short enough: taken as it is. */
static void read_hash_listpack(struct build *b)
{
	struct text t;
	const uint8_t *at = b->s->p;
	if (!read_text(b, &t))
		return;
	bool sound = listpack_validate(t.ptr, t.len, true);
	size_t count = sound ? listpack_count((const uint8_t *)t.ptr) : 0;
	bool small = sound && count / 2 <= (size_t)b->limits.hash.entries;
	if (!sound || count % 2) {
		damaged(b, "a hash in a listpack is damaged");
	} else if (small && has_field_twice((const uint8_t *)t.ptr)) {
		damaged(b, "a field of a hash is there twice");
	} else if (small) {
		b->v = (struct value){ ENC_LISTPACK, listpack_from_bytes(t.ptr, t.len) };
		b->err = b->v.ptr ? 0 : -ENOMEM;
	} else {
		b->s->p = at;
		read_pairs(b, rdb_walk_listpack, false);
	}
	free(t.heap);
}

static void read_list_ziplist(struct build *b)
{
	struct text t;
	check(b, list_new(&b->v), NULL);
	if (!read_text(b, &t))
		return;
	visit_block(b, rdb_walk_ziplist, &t, take_list, b);
	free(t.heap);
}

static void read_set_block(struct build *b, rdb_compact_walk *walk)
{
	struct text t;
	if (!read_text(b, &t))
		return;
	visit_block(b, walk, &t, take_set, b);
	free(t.heap);
}

static void append_node(struct build *b, const struct text *t, bool plain)
{
	uint8_t *node = NULL;
	if (!plain && !listpack_validate(t->ptr, t->len, true)) {
		damaged(b, "a node of a list is damaged");
	} else if (!plain && listpack_count((const uint8_t *)t->ptr) == 0) {
		return; /* of no use to anybody */
	} else if (plain) {
		if (t->len > UINT32_MAX) {
			damaged(b, "an element of a list is too large");
			return;
		}
		node = mem_alloc(t->len ? t->len : 1);
		if (node)
			memcpy(node, t->ptr, t->len);
		check(b, node ? quicklist_append_plain(b->v.ptr, node, t->len) : -ENOMEM, NULL);
	} else {
		node = listpack_from_bytes(t->ptr, t->len);
		check(b, node ? quicklist_append_listpack(b->v.ptr, node) : -ENOMEM, NULL);
	}
	if (b->err)
		mem_free(node);
}

/* One node that is small is a list in a listpack. */
static bool read_small_list(struct build *b, const struct text *t)
{
	if (!listpack_validate(t->ptr, t->len, true) || listpack_count((const uint8_t *)t->ptr) == 0)
		return false;
	const struct list_limits limits = b->limits.list;
	b->v = (struct value){ ENC_LISTPACK, listpack_from_bytes(t->ptr, t->len) };
	check(b, b->v.ptr ? list_grow(&b->v, &limits, 0, 0) : -ENOMEM, NULL);
	return true;
}

static struct value new_quicklist(const struct list_limits *limits)
{
	return (struct value){ ENC_QUICKLIST, quicklist_new(limits->fill, limits->depth) };
}

static void read_quicklist(struct build *b, bool ziplists)
{
	struct text t;
	uint64_t n = read_len(b);
	bool single = n == 1 && !ziplists;
	if (ziplists)
		check(b, list_new(&b->v), NULL);
	for (; n > 0; n--) {
		uint64_t container = ziplists ? RDB_NODE_PACKED : read_len(b);
		if (container != RDB_NODE_PACKED && container != RDB_NODE_PLAIN)
			damaged(b, "a node of a list is of no known kind");
		if (!read_text(b, &t))
			return;
		if (ziplists)
			visit_block(b, rdb_walk_ziplist, &t, take_list, b);
		else if (!(single && container == RDB_NODE_PACKED && read_small_list(b, &t))) {
			if (!b->v.ptr)
				b->v = new_quicklist(&b->limits.list);
			if (b->v.ptr)
				append_node(b, &t, container == RDB_NODE_PLAIN);
			else
				b->err = -ENOMEM;
		}
		free(t.heap);
	}
}

/* ------------------------------------------------------------------ the whole value */

static bool comes_packed(unsigned type)
{
	return type == RDB_SET_LISTPACK || type == RDB_HASH_ZIPLIST || type == RDB_HASH_LISTPACK ||
	       type == RDB_ZSET_ZIPLIST || type == RDB_ZSET_LISTPACK;
}

/* What comes in one block stays one whatever the length of its elements, as in Redis: only their number counts. */
static struct rdb_limits limits_for(unsigned type, const struct rdb_limits *given)
{
	struct rdb_limits limits = *given;
	if (comes_packed(type))
		limits.set.bytes = limits.hash.bytes = limits.zset.bytes = INT64_MAX;
	return limits;
}

static bool read_value(struct build *b, unsigned type, enum store_type_id *id)
{
	switch (type) {
	case RDB_LIST: *id = STORE_LIST; read_list(b); break;
	case RDB_LIST_ZIPLIST: *id = STORE_LIST; read_list_ziplist(b); break;
	case RDB_LIST_QUICKLIST: *id = STORE_LIST; read_quicklist(b, true); break;
	case RDB_LIST_QUICKLIST_2: *id = STORE_LIST; read_quicklist(b, false); break;
	case RDB_SET: *id = STORE_SET; read_set(b); break;
	case RDB_SET_INTSET: *id = STORE_SET; read_set_block(b, rdb_walk_intset); break;
	case RDB_SET_LISTPACK: *id = STORE_SET; read_set_block(b, rdb_walk_listpack); break;
	case RDB_HASH: *id = STORE_HASH; read_hash(b); break;
	case RDB_HASH_ZIPMAP: *id = STORE_HASH; read_pairs(b, rdb_walk_zipmap, false); break;
	case RDB_HASH_ZIPLIST: *id = STORE_HASH; read_pairs(b, rdb_walk_ziplist, false); break;
	case RDB_HASH_LISTPACK: *id = STORE_HASH; read_hash_listpack(b); break;
	case RDB_ZSET: *id = STORE_ZSET; read_zset(b, false); break;
	case RDB_ZSET_2: *id = STORE_ZSET; read_zset(b, true); break;
	case RDB_ZSET_ZIPLIST: *id = STORE_ZSET; read_pairs(b, rdb_walk_ziplist, true); break;
	case RDB_ZSET_LISTPACK: *id = STORE_ZSET; read_pairs(b, rdb_walk_listpack, true); break;
	default: return false;
	}
	return true;
}

static size_t length_of(enum store_type_id id, const struct value *v)
{
	if (!v->ptr)
		return 0;
	switch (id) {
	case STORE_LIST: return list_len(v);
	case STORE_SET: return set_len(v);
	case STORE_HASH: return hash_len(v);
	default: return zset_count(v);
	}
}

static enum rdb_value_result load_string(struct store_op *op, const struct store_key *key, struct rdb_scan *s,
                                         int64_t expire_ms, struct entry **e)
{
	const char *text;
	char *heap;
	size_t len;
	if (!rdb_scan_text(s, &text, &len, &heap))
		return RDB_VALUE_DAMAGED;
	*e = store_set_string(op, key, text, len, expire_ms);
	free(heap);
	return *e ? RDB_VALUE_ADDED : RDB_VALUE_NO_MEMORY;
}

/* A stream may be empty. */
static enum rdb_value_result load_stream(struct store_op *op, const struct store_key *key, unsigned type,
                                         struct rdb_scan *s, int64_t expire_ms, struct entry **e)
{
	struct stream *stream;
	int err = rdb_stream_load(s, type, &stream);
	if (err)
		return err == -ENOMEM ? RDB_VALUE_NO_MEMORY : RDB_VALUE_DAMAGED;
	*e = store_replace(op, key, STORE_STREAM, ENC_STREAM, stream, expire_ms);
	if (*e)
		return RDB_VALUE_ADDED;
	stream_free(stream);
	return RDB_VALUE_NO_MEMORY;
}

enum rdb_value_result rdb_value_load(struct store_op *op, const struct store_key *key, unsigned type,
                                     const struct rdb_limits *limits, struct rdb_scan *s, int64_t expire_ms,
                                     struct entry **e)
{
	enum store_type_id id;
	if (type == RDB_STRING)
		return load_string(op, key, s, expire_ms, e);
	if (type == RDB_STREAM || type == RDB_STREAM_2 || type == RDB_STREAM_3)
		return load_stream(op, key, type, s, expire_ms, e);
	struct build b = { .s = s, .limits = limits_for(type, limits) };
	if (!read_value(&b, type, &id)) {
		s->bad = "a type of value that is not supported";
		return RDB_VALUE_DAMAGED;
	}
	zset_builder_clear(&b.zset);
	if (!b.err && id == STORE_HASH)
		hash_share(&b.v, &b.limits.hash);
	bool empty = !b.err && length_of(id, &b.v) == 0;
	*e = b.err || empty ? NULL : store_replace(op, key, id, b.v.encoding, b.v.ptr, expire_ms);
	if (!*e && b.v.ptr)
		store_types[id]->free(b.v.encoding, b.v.ptr);
	if (b.err)
		return b.err == -ENOMEM ? RDB_VALUE_NO_MEMORY : RDB_VALUE_DAMAGED;
	return empty ? RDB_VALUE_EMPTY : *e ? RDB_VALUE_ADDED : RDB_VALUE_NO_MEMORY;
}
