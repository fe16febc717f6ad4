/* aof_base: see aof_base.h. */
#include "server/journal/aof_base.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "server/journal/rdb_functions.h"
#include "server/server.h"
#include "store/number.h"
#include "store/types/hash.h"
#include "store/types/list.h"
#include "store/types/set.h"
#include "store/types/stream.h"
#include "store/types/zset.h"

#define PER_COMMAND 64 /* elements */

/* ------------------------------------------------------------------ commands into a buffer */

static void put(struct snapshot_buf *b, const void *bytes, size_t len)
{
	char *to = b->failed ? NULL : snapshot_buf_room(b, len);
	if (!to)
		return;
	if (len)
		memcpy(to, bytes, len);
	b->len += len;
}

static void put_head(struct snapshot_buf *b, char mark, uint64_t n)
{
	char head[32];
	put(b, head, (size_t)snprintf(head, sizeof head, "%c%llu\r\n", mark, (unsigned long long)n));
}

static void put_bulk(struct snapshot_buf *b, const void *bytes, size_t len)
{
	put_head(b, '$', len);
	put(b, bytes, len);
	put(b, "\r\n", 2);
}

static void put_word(struct snapshot_buf *b, const char *word)
{
	put_bulk(b, word, strlen(word));
}

static void put_int(struct snapshot_buf *b, int64_t v)
{
	char text[24];
	put_bulk(b, text, (size_t)snprintf(text, sizeof text, "%lld", (long long)v));
}

static void put_item(struct snapshot_buf *b, const struct value_item *item)
{
	char buf[NUMBER_MAX];
	size_t len;
	const char *text = value_text(item, buf, &len);
	put_bulk(b, text, len);
}

/* "COMMAND key" with room for the next elements, `each` arguments per element; left: elements to come. */
static void put_start(struct snapshot_buf *b, const char *name, const struct entry *e, size_t left, unsigned each)
{
	size_t n = left < PER_COMMAND ? left : PER_COMMAND;
	put_head(b, '*', 2 + n * each);
	put_word(b, name);
	put_bulk(b, entry_key(e), entry_key_len(e));
}

static void put_string(struct snapshot_buf *b, const struct entry *e)
{
	char buf[24];
	size_t len;
	const char *bytes = entry_string(e, buf, &len);
	put_head(b, '*', 3);
	put_word(b, "SET");
	put_bulk(b, entry_key(e), entry_key_len(e));
	put_bulk(b, bytes, len);
}

static void put_list(struct snapshot_buf *b, const struct entry *e)
{
	struct value v = value_of(e);
	struct list_iter it;
	struct value_item item;
	size_t left = list_len(&v), i = 0;
	for (list_iter_init(&it, &v, 0, false); list_iter_next(&it, &item) > 0; left--) {
		if (i++ % PER_COMMAND == 0)
			put_start(b, "RPUSH", e, left, 1);
		put_item(b, &item);
	}
	list_iter_clear(&it);
}

static void put_set(struct snapshot_buf *b, const struct entry *e)
{
	struct value v = value_of(e);
	struct set_iter it;
	struct value_item item;
	size_t left = set_len(&v), i = 0;
	for (set_begin(&it, &v); set_next(&it, &item); left--) {
		if (i++ % PER_COMMAND == 0)
			put_start(b, "SADD", e, left, 1);
		put_item(b, &item);
	}
}

static void put_hash(struct snapshot_buf *b, const struct entry *e)
{
	struct value v = value_of(e);
	struct hash_iter it;
	struct value_item field, val;
	size_t left = hash_len(&v), i = 0;
	for (hash_begin(&it, &v); hash_next(&it, &field, &val); left--) {
		if (i++ % PER_COMMAND == 0)
			put_start(b, "HMSET", e, left, 2);
		put_item(b, &field);
		put_item(b, &val);
	}
}

static void put_id(struct snapshot_buf *b, struct stream_id id)
{
	char text[48];
	int n = snprintf(text, sizeof text, "%llu-%llu", (unsigned long long)id.ms, (unsigned long long)id.seq);
	put_bulk(b, text, (size_t)n);
}

static void put_name(struct snapshot_buf *b, unsigned words, const char *name, const char *sub, const struct entry *e)
{
	put_head(b, '*', words);
	put_word(b, name);
	if (sub)
		put_word(b, sub);
	put_bulk(b, entry_key(e), entry_key_len(e));
}

static void put_pending(struct snapshot_buf *b, const struct entry *e, const struct stream_group *g)
{
	for (uint32_t i = 0; i < g->consumer_count; i++) {
		const struct stream_consumer *c = g->consumers[i];
		struct stream_pel_iter it;
		struct stream_nack *nack;
		struct stream_id id;
		put_name(b, 5, "XGROUP", "CREATECONSUMER", e);
		put_bulk(b, g->name, g->name_len);
		put_bulk(b, c->name, c->name_len);
		stream_pel_iter_init(&it, c->pel, STREAM_ID_MIN);
		while (c->pel && (nack = stream_pel_iter_next(&it, &id))) {
			put_name(b, 12, "XCLAIM", NULL, e);
			put_bulk(b, g->name, g->name_len);
			put_bulk(b, c->name, c->name_len);
			put_word(b, "0");
			put_id(b, id);
			put_word(b, "TIME");
			put_int(b, nack->delivered_ms);
			put_word(b, "RETRYCOUNT");
			put_int(b, (int64_t)nack->deliveries);
			put_word(b, "JUSTID");
			put_word(b, "FORCE");
		}
	}
}

static void put_stream_end(struct snapshot_buf *b, const struct entry *e, const struct stream *s)
{
	put_name(b, 7, "XSETID", NULL, e);
	put_id(b, s->last_id);
	put_word(b, "ENTRIESADDED");
	put_int(b, (int64_t)s->entries_added);
	put_word(b, "MAXDELETEDID");
	put_id(b, s->max_deleted_id);
	for (uint32_t i = 0; i < s->group_count; i++) {
		const struct stream_group *g = s->groups[i];
		put_name(b, 7, "XGROUP", "CREATE", e);
		put_bulk(b, g->name, g->name_len);
		put_id(b, g->last_id);
		put_word(b, "ENTRIESREAD");
		put_int(b, g->entries_read);
		put_pending(b, e, g);
	}
}

static void put_stream(struct snapshot_buf *b, const struct entry *e)
{
	struct stream *s = entry_value(e);
	struct stream_iter it;
	struct stream_id id;
	uint64_t fields;
	if (!s->length) { /* an empty one comes into being by an entry that is trimmed away at once */
		put_name(b, 7, "XADD", NULL, e);
		put_word(b, "MAXLEN");
		put_word(b, "0");
		put_id(b, stream_id_compare(s->last_id, STREAM_ID_MIN) ? s->last_id : (struct stream_id){ 0, 1 });
		put_word(b, "x");
		put_word(b, "y");
	}
	stream_iter_init(&it, s, STREAM_ID_MIN, STREAM_ID_MAX, false);
	while (stream_iter_next(&it, &id, &fields)) {
		put_name(b, (unsigned)(3 + 2 * fields), "XADD", NULL, e);
		put_id(b, id);
		while (fields--) {
			struct value_item field, value;
			stream_iter_field(&it, &field, &value);
			put_item(b, &field);
			put_item(b, &value);
		}
	}
	put_stream_end(b, e, s);
}

static void put_zset(struct snapshot_buf *b, const struct entry *e)
{
	struct value v = value_of(e);
	struct zset_iter it;
	struct zset_item item;
	size_t left = zset_count(&v), i = 0;
	zset_iter_init(&it, &v, 0, false);
	for (; zset_iter_next(&it, &item); left--) {
		char text[64];
		if (i++ % PER_COMMAND == 0)
			put_start(b, "ZADD", e, left, 2);
		put_bulk(b, text, (size_t)snprintf(text, sizeof text, "%.17g", item.score));
		put_bulk(b, item.ptr, item.len);
	}
}

static void put_entry(void *ctx, struct snapshot_buf *b, unsigned db, const struct entry *e)
{
	size_t before = b->len;
	(void)ctx;
	if (b->db != db) {
		put_head(b, '*', 2);
		put_word(b, "SELECT");
		put_int(b, db);
	}
	switch (entry_type(e)) {
	case STORE_STRING:
		put_string(b, e);
		break;
	case STORE_LIST:
		put_list(b, e);
		break;
	case STORE_SET:
		put_set(b, e);
		break;
	case STORE_ZSET:
		put_zset(b, e);
		break;
	case STORE_HASH:
		put_hash(b, e);
		break;
	case STORE_STREAM:
		put_stream(b, e);
		break;
	default:
		b->failed = true; /* a type without commands fails the rewrite: nothing is left out */
		break;
	}
	if (entry_has_expiry(e)) {
		put_head(b, '*', 3);
		put_word(b, "PEXPIREAT");
		put_bulk(b, entry_key(e), entry_key_len(e));
		put_int(b, entry_expiry(e));
	}
	if (b->failed)
		b->len = before;
	else
		b->db = db;
}

/* ------------------------------------------------------------------ the writer thread */

static void put_library(void *ctx, const void *code, size_t len)
{
	struct snapshot_buf *b = ctx;
	put_head(b, '*', 3);
	put_word(b, "FUNCTION");
	put_word(b, "LOAD");
	put_bulk(b, code, len);
}

static int chunk(void *ctx, const char *bytes, size_t len, unsigned last_db);

static int write_functions(struct aof_base *b)
{
	struct snapshot_buf buf = { .db = SNAPSHOT_NO_DB };
	rdb_functions_each(b->functions, put_library, &buf);
	int err = buf.failed ? -ENOMEM : buf.len ? chunk(b, buf.p, buf.len, SNAPSHOT_NO_DB) : 0;
	snapshot_buf_clear(&buf);
	return err;
}

static int begin(void *ctx)
{
	struct aof_base *b = ctx;
	aof_out_restart(&b->out);
	if (!io_temp_name(b->path, b->temp, sizeof b->temp))
		return -ENAMETOOLONG;
	int err = io_open(&b->file, b->temp, IO_NEW);
	return err ? err : write_functions(b);
}

static int chunk(void *ctx, const char *bytes, size_t len, unsigned last_db)
{
	(void)last_db;
	struct aof_base *b = ctx;
	b->out.len = 0;
	if (!aof_out_raw(&b->out, bytes, len))
		return -ENOMEM;
	return io_write(&b->file, b->out.buf, b->out.len);
}

static int large(void *ctx, unsigned db, const struct entry *e)
{
	struct snapshot_buf buf = { .db = SNAPSHOT_NO_DB };
	put_entry(ctx, &buf, db, e);
	int err = buf.failed ? -ENOMEM : chunk(ctx, buf.p, buf.len, db);
	snapshot_buf_clear(&buf);
	return err;
}

static int end(void *ctx)
{
	struct aof_base *b = ctx;
	int err = io_sync(&b->file);
	io_close(&b->file);
	aof_out_clear(&b->out);
	err = err ? err : io_rename(b->temp, b->path);
	return err ? err : io_sync_dir(b->path);
}

static void drop(void *ctx)
{
	struct aof_base *b = ctx;
	io_close(&b->file);
	aof_out_clear(&b->out);
	io_unlink(b->temp);
}

static void ended(void *ctx, int err)
{
	struct aof_base *b = ctx;
	rdb_functions_free(b->functions);
	b->functions = NULL;
	b->done(ctx, err);
}

int aof_base_start(struct aof_base *b, const char *path, void (*done)(void *ctx, int err))
{
	static const struct snapshot_format format = { .entry = put_entry, .begin = begin, .chunk = chunk, .large = large,
		                                       .end = end, .drop = drop };
	memset(b, 0, sizeof *b);
	b->file.fd = -1;
	if (strlen(path) >= sizeof b->path)
		return -ENAMETOOLONG;
	memcpy(b->path, path, strlen(path) + 1);
	b->done = done;
	b->functions = rdb_functions_cut();
	struct snapshot_request r = { .format = &format, .ctx = b, .done = ended };
	int err = b->functions ? snapshot_start(server_store(), server_loops(), &r) : -ENOMEM;
	if (err) {
		rdb_functions_free(b->functions);
		b->functions = NULL;
	}
	return err;
}
