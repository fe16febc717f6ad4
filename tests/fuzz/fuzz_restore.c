/*
 * Payloads of RESTORE: type and value of any bytes, the footer mended. What is refused leaves the key as it was; what is
 * accepted can be read, copied, dumped and restored, changed in every way, and dumped and restored again, and is the same.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "server/config.h"
#include "server/digest.h"
#include "server/dump.h"
#include "server/journal/rdb_value.h"
#include "server/reply.h"
#include "store/crc64.h"
#include "tests/fuzz/walk.h"

#define FOOTER 10

static struct rdb_limits limits;
static struct call call;

static struct store_key key_of(const char *name)
{
	return store_key(call.op.store, name, strlen(name));
}

static struct entry *find(const char *name, unsigned flags)
{
	struct store_key key = key_of(name);
	return store_find(&call.op, &key, flags);
}

static struct digest digest_of(const char *name)
{
	struct digest d = { { 0 } };
	digest_entry(&d, find(name, STORE_PEEK));
	return d;
}

static bool same(const char *a, const char *b)
{
	struct digest x = digest_of(a), y = digest_of(b);
	return !memcmp(&x, &y, sizeof x);
}

static int restore(const char *name, const void *payload, size_t len)
{
	struct store_key key = key_of(name);
	struct entry *e;
	return dump_restore(&call, &key, payload, len, STORE_NO_EXPIRY, &e);
}

/* DUMP of one key, RESTORE as another. */
static void dump_again(const char *from, const char *to)
{
	struct reply r;
	size_t len;
	reply_init_memory(&r, 2);
	dump_reply(&r, find(from, STORE_PEEK));
	const char *bytes = reply_bytes(&r, &len), *payload = memchr(bytes, '\n', len);
	check(*bytes == '$' && payload, "a payload");
	payload++;
	len -= (size_t)(payload - bytes) + 2;
	check(dump_verify(payload, len), "a payload that is dumped has a good footer");
	check(restore(to, payload, len) == 0, "and is restored");
	check(same(from, to) || has_negative_zero(find(from, STORE_PEEK)), "as what it was");
	reply_clear(&r);
}

/* ------------------------------------------------------------------ traffic: true if something is left of the value */

static bool use_string(const char *name)
{
	char buf[24], *bytes;
	struct store_key key = key_of(name);
	struct entry *e = find(name, STORE_WRITE);
	size_t len;
	int64_t n;
	entry_string(e, buf, &len);
	check(entry_string_len(e) == len, "the length of a string");
	entry_string_int(e, &n);
	check(store_string_grow(&call.op, &key, e, len + 3, &bytes) != NULL, "memory");
	memcpy(bytes + len, "end", 3);
	return true;
}

static bool use_list(struct value *v)
{
	struct list_iter it;
	struct value_item item;
	size_t len = list_len(v);
	walk_list(v, false);
	walk_list(v, true);
	check(list_grow(v, &limits.list, 2, 8) == 0 && !list_push(v, true, "last", 4) && !list_push(v, false, "-7", 2), "push");
	check(list_rotate(v, true) >= 0, "rotate");
	check(list_iter_init(&it, v, (int64_t)(len / 2), false) == 1 && list_iter_next(&it, &item) == 1, "an index");
	check(list_iter_insert(&it, true, "between", 7) == 0, "insert");
	list_iter_clear(&it);
	check(list_iter_init(&it, v, -1, true) == 1 && list_iter_next(&it, &item) == 1, "the end");
	check(list_iter_replace(&it, "another", 7) == 0, "replace");
	list_iter_clear(&it);
	check(list_delete_range(v, 1, len / 2) == (int64_t)(len / 2), "delete");
	check(list_peek(v, false, &item) == 1, "peek");
	list_drop(v, false);
	list_shrink(v, &limits.list);
	check(list_len(v) == len + 2 - len / 2, "the length of a list");
	return list_len(v) > 0;
}

static bool use_set(struct value *v)
{
	struct set_iter it;
	struct value_item item;
	size_t n = 0, len = set_len(v);
	char buf[NUMBER_MAX], first[64];
	size_t first_len = 0;
	for (set_begin(&it, v); set_next(&it, &item); n++) {
		size_t l;
		const char *text = value_text(&item, buf, &l);
		check(set_has(v, text, l), "a member is found");
		if (n == 0 && l <= sizeof first)
			memcpy(first, text, first_len = l);
	}
	check(n == len, "the members of a set");
	set_random(v, &item);
	if (first_len) {
		check(set_remove(v, first, first_len) && !set_has(v, first, first_len), "remove");
		check(set_add(v, &limits.set, first, first_len) == 1, "add");
	}
	check(set_add(v, &limits.set, "9223372036854775807", 19) >= 0 && set_add(v, &limits.set, "new", 3) >= 0, "add");
	check(set_has(v, "new", 3) && set_len(v) <= len + 2, "the number of members");
	return true;
}

static bool use_hash(struct value *v)
{
	struct hash_iter it;
	struct value_item field, val, got;
	size_t n = 0, len = hash_len(v), first_len = 0;
	char buf[NUMBER_MAX], first[64];
	for (hash_begin(&it, v); hash_next(&it, &field, &val); n++) {
		size_t l;
		const char *text = value_text(&field, buf, &l);
		check(hash_get(v, text, l, &got) && got.str == val.str && (got.str || got.num == val.num), "a field is found");
		if (n == 0 && l <= sizeof first)
			memcpy(first, text, first_len = l);
	}
	check(n == len, "the fields of a hash");
	hash_random(v, &field, &val);
	if (first_len) {
		check(hash_set(v, &limits.hash, first, first_len, "changed", 7) == 0, "change");
		check(hash_delete(v, first, first_len) && !hash_get(v, first, first_len, &got), "delete");
	}
	check(hash_set(v, &limits.hash, "new", 3, "1", 1) >= 0 && hash_get(v, "new", 3, &got), "add");
	return true;
}

static bool use_zset(struct value *v)
{
	struct zset_hit hit;
	walk_zset(v, false);
	walk_zset(v, true);
	size_t below = zset_below(v, 1.5, true);
	check(below <= zset_count(v), "a count");
	if (!zset_find(v, "new", 3, &hit))
		check(zset_insert(v, &limits.zset, &hit, "new", 3, 1.5) == 0, "insert");
	check(zset_find(v, "new", 3, &hit) && zset_rescore(v, &hit, "new", 3, -8) == 0, "another score");
	walk_zset(v, false);
	if (zset_count(v) > 2)
		zset_remove_range(v, 1, zset_count(v) / 2);
	walk_zset(v, true);
	return true;
}

static bool use_stream(struct stream *s)
{
	static const struct stream_limits small = { 200, 5 };
	static const struct stream_bytes pair[] = { { "f", 1 }, { "1", 1 } };
	struct stream_id id = s->last_id;
	struct stream_group *g;
	struct stream_consumer *c;
	check(stream_check(s), "a stream is sound");
	walk_stream(s);
	for (int i = 0; i < 3 && stream_id_next(&id); i++)
		check(stream_append(s, &small, id, pair, 1) == 0, "append");
	stream_delete(s, stream_edge(s, false));
	if (stream_group_add(s, "own group", 9, s->last_id, STREAM_READ_UNKNOWN, &g) == 0) {
		check(stream_consumer_add(g, "me", 2, 1, &c) == 0 && stream_pel_give(g, c, s->last_id) != NULL, "a consumer");
		stream_pel_find(g->pel, s->last_id)->delivered_ms = 1;
	}
	struct stream_trim_by by = { .how = STREAM_TRIM_LENGTH, .length = s->length / 2 };
	stream_trim(s, &by);
	check(stream_check(s), "and stays so");
	walk_stream(s);
	return true;
}

static bool use(const char *name)
{
	struct entry *e = find(name, STORE_WRITE);
	struct value v;
	bool left = true;
	entry_memory(e, 0);
	entry_encoding_name(e);
	if (entry_type(e) == STORE_STRING)
		return use_string(name);
	v = value_of(e);
	switch (entry_type(e)) {
	case STORE_LIST: left = use_list(&v); break;
	case STORE_SET: left = use_set(&v); break;
	case STORE_HASH: left = use_hash(&v); break;
	case STORE_ZSET: left = use_zset(&v); break;
	default: left = use_stream(v.ptr);
	}
	value_put(e, &v);
	return left;
}

/* ------------------------------------------------------------------ */

static struct store *open_store(void)
{
	struct store_options o;
	struct rdb_load l;
	int err;
	store_options_init(&o);
	o.shards = 1;
	o.dbs = 1;
	memset(o.hash_secret, 1, sizeof o.hash_secret);
	struct store *s = store_open(&o, &err);
	check(s != NULL, "memory");
	rdb_load_init(&l, config(), s);
	limits = l.limits;
	call = (struct call){ .op = { .store = s, .now_ms = 1000000, .exclusive = true } };
	return s;
}

static void accepted(void)
{
	struct store_key from = key_of("value"), to = key_of("copy");
	struct digest was = digest_of("value");
	dump_again("value", "again");
	check(store_copy(&call.op, &from, find("value", STORE_PEEK), 0, &to) == 0, "copy");
	check(same("value", "copy"), "a copy is the same");
	for (int i = 0; i < 3; i++)
		if (use("value"))
			dump_again("value", "again");
	struct digest is = digest_of("copy");
	check(!memcmp(&was, &is, sizeof is), "a copy is a value of its own");
	use("copy");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint8_t *payload = malloc(size + FOOTER);
	check(payload != NULL, "memory");
	if (size)
		memcpy(payload, data, size);
	payload[size] = 11;
	payload[size + 1] = 0;
	uint64_t crc = crc64_update(0, payload, size + 2);
	memcpy(payload + size + 2, &crc, sizeof crc);
	struct store *s = open_store();
	struct store_key key = key_of("value");
	check(store_set_string(&call.op, &key, "kept", 4, STORE_NO_EXPIRY) != NULL, "memory");
	struct digest was = digest_of("value");
	check(dump_verify(payload, size + FOOTER), "the footer");
	if (restore("value", payload, size + FOOTER) == 0) {
		accepted();
	} else {
		struct digest is = digest_of("value");
		check(!memcmp(&was, &is, sizeof is), "what is refused changes nothing");
	}
	store_close(s);
	free(payload);
	return 0;
}
