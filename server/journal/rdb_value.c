/* rdb_value: see rdb_value.h. */
#include "server/journal/rdb_value.h"

#include "server/journal/rdb_put.h"
#include "server/journal/rdb_stream.h"
#include "store/memory.h"
#include "store/number.h"

/* ------------------------------------------------------------------ parts */

static void put_string(struct snapshot_buf *b, const char *bytes, size_t len)
{
	int64_t v;
	if (len > 11 || !number_parse(bytes, len, &v) || !rdb_put_small_int(b, v))
		rdb_put_plain(b, bytes, len);
}

static void put_item(struct snapshot_buf *b, const struct value_item *item)
{
	char buf[NUMBER_MAX];
	size_t len;
	if (!item->str && rdb_put_small_int(b, item->num))
		return;
	const char *text = value_text(item, buf, &len);
	put_string(b, text, len);
}

static void put_type(struct snapshot_buf *b, unsigned type, const struct entry *e)
{
	uint8_t byte = (uint8_t)type;
	rdb_put_raw(b, &byte, 1);
	put_string(b, entry_key(e), entry_key_len(e));
}

/* ------------------------------------------------------------------ types */

static void put_string_value(struct snapshot_buf *b, const struct entry *e)
{
	char buf[24];
	size_t len;
	put_type(b, RDB_STRING, e);
	const char *bytes = entry_string(e, buf, &len);
	put_string(b, bytes, len);
}

static int put_node(void *ctx, bool plain, const uint8_t *bytes, size_t len)
{
	struct snapshot_buf *b = ctx;
	rdb_put_length(b, plain ? RDB_NODE_PLAIN : RDB_NODE_PACKED);
	rdb_put_plain(b, bytes, len);
	return b->failed;
}

static void put_list(struct snapshot_buf *b, const struct entry *e)
{
	const struct value v = value_of(e);
	put_type(b, RDB_LIST_QUICKLIST_2, e);
	if (v.encoding == ENC_LISTPACK) {
		rdb_put_length(b, 1);
		put_node(b, false, v.ptr, listpack_bytes(v.ptr));
	} else {
		rdb_put_length(b, quicklist_nodes(v.ptr));
		quicklist_visit_nodes(v.ptr, put_node, b);
	}
}

static unsigned int_width(int64_t v)
{
	return v >= INT16_MIN && v <= INT16_MAX ? 2 : v >= INT32_MIN && v <= INT32_MAX ? 4 : 8;
}

/* Width, number, integers in ascending order. */
static void put_intset(struct snapshot_buf *b, const struct value *v)
{
	struct set_iter it;
	struct value_item item;
	uint32_t head[2] = { 2, (uint32_t)set_len(v) };
	for (set_begin(&it, v); set_next(&it, &item);)
		head[0] = int_width(item.num) > head[0] ? int_width(item.num) : head[0];
	rdb_put_length(b, sizeof head + (size_t)head[0] * head[1]);
	rdb_put_raw(b, head, sizeof head);
	for (set_begin(&it, v); set_next(&it, &item) && !b->failed;)
		rdb_put_raw(b, &item.num, head[0]); /* the machine is little-endian: table.h */
}

static void put_set(struct snapshot_buf *b, const struct entry *e)
{
	const struct value v = value_of(e);
	struct set_iter it;
	struct value_item item;
	if (v.encoding == ENC_INTSET) {
		put_type(b, RDB_SET_INTSET, e);
		put_intset(b, &v);
		return;
	}
	put_type(b, RDB_SET, e);
	rdb_put_length(b, set_len(&v));
	for (set_begin(&it, &v); set_next(&it, &item) && !b->failed;)
		put_item(b, &item);
}

/* A hash in a listpack: whether its fields are shared is nobody else's business. */
static void put_pairs(struct snapshot_buf *b, const struct value *v)
{
	uint8_t here[1024], *pairs = here;
	size_t len = hash_pairs_bytes(v);
	if (!hash_is_shaped(v)) {
		rdb_put_plain(b, v->ptr, len);
		return;
	}
	if (len > sizeof here && !(pairs = mem_alloc(len))) {
		b->failed = true;
		return;
	}
	hash_put_pairs(v, pairs);
	rdb_put_plain(b, pairs, len);
	if (pairs != here)
		mem_free(pairs);
}

static void put_hash(struct snapshot_buf *b, const struct entry *e)
{
	const struct value v = value_of(e);
	struct hash_iter it;
	struct value_item field, val;
	if (encoding_is_listpack(v.encoding)) {
		put_type(b, RDB_HASH_LISTPACK, e);
		put_pairs(b, &v);
		return;
	}
	put_type(b, RDB_HASH, e);
	rdb_put_length(b, hash_len(&v));
	for (hash_begin(&it, &v); hash_next(&it, &field, &val) && !b->failed;) {
		put_item(b, &field);
		put_item(b, &val);
	}
}

/* From the highest down: whoever builds a list by inserting at its head is fastest so. */
static void put_zset(struct snapshot_buf *b, const struct entry *e)
{
	const struct value v = value_of(e);
	struct zset_iter it;
	struct zset_item item;
	if (v.encoding == ENC_LISTPACK) {
		put_type(b, RDB_ZSET_LISTPACK, e);
		rdb_put_plain(b, v.ptr, listpack_bytes(v.ptr));
		return;
	}
	put_type(b, RDB_ZSET_2, e);
	size_t n = zset_count(&v);
	rdb_put_length(b, n);
	for (zset_iter_init(&it, &v, n - 1, true); zset_iter_next(&it, &item) && !b->failed;) {
		put_string(b, item.ptr, item.len);
		rdb_put_raw(b, &item.score, 8);
	}
}

void rdb_value_put(struct snapshot_buf *b, const struct entry *e)
{
	switch (entry_type(e)) {
	case STORE_STRING:
		put_string_value(b, e);
		break;
	case STORE_LIST:
		put_list(b, e);
		break;
	case STORE_SET:
		put_set(b, e);
		break;
	case STORE_HASH:
		put_hash(b, e);
		break;
	case STORE_ZSET:
		put_zset(b, e);
		break;
	case STORE_STREAM:
		put_type(b, RDB_STREAM_2, e);
		rdb_stream_put(b, entry_value(e));
		break;
	default:
		b->failed = true;
	}
}
