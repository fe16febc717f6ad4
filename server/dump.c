/* dump: see dump.h. */
#include "server/dump.h"

#include <stdlib.h>

#include "server/config.h"
#include "server/journal/rdb_functions.h"
#include "server/journal/rdb_value.h"
#include "store/crc64.h"

#define VERSION_WRITTEN 10
#define VERSION_MAX 11
#define FOOTER 10

bool dump_skip_checksum;

struct output {
	struct snapshot_buf out;
};

static int append(void *ctx, const void *bytes, size_t len)
{
	struct output *o = ctx;
	char *to = snapshot_buf_room(&o->out, len);
	if (!to)
		return -ENOMEM;
	memcpy(to, bytes, len);
	o->out.len += len;
	return 0;
}

/* The record without its key. Long strings are compressed if rdbcompression says so. */
static bool strip_key(struct snapshot_buf *record, struct output *o)
{
	struct rdb_copy copy;
	if (record->failed || !rdb_copy_init(&copy, record->len))
		return false;
	copy.write = append;
	copy.ctx = o;
	copy.compress = config()->rdbcompression;
	struct rdb_scan s = { .p = (const uint8_t *)record->p + 1, .end = (const uint8_t *)record->p + record->len };
	rdb_copy_bytes(&copy, record->p, 1);
	rdb_scan_string(&s);
	s.copy = &copy;
	rdb_scan_value(&s, (uint8_t)record->p[0]);
	bool ok = rdb_scan_ok(&s) && rdb_copy_flush(&copy) == 0;
	rdb_copy_clear(&copy);
	return ok;
}

/* Version and checksum behind what there is. */
static bool finish(struct output *o)
{
	uint8_t footer[FOOTER] = { VERSION_WRITTEN, 0 };
	if (append(o, footer, 2))
		return false;
	uint64_t crc = crc64_update(0, o->out.p, o->out.len);
	for (int i = 0; i < 8; i++)
		footer[i] = (uint8_t)(crc >> 8 * i);
	return append(o, footer, 8) == 0;
}

void dump_reply(struct reply *r, const struct entry *e)
{
	struct snapshot_buf record = { .db = SNAPSHOT_NO_DB, .small = true };
	struct output o = { .out = { .db = SNAPSHOT_NO_DB, .small = true } };
	rdb_value_put(&record, e);
	if (strip_key(&record, &o) && finish(&o))
		reply_bulk(r, o.out.p, o.out.len);
	else
		reply_oom(r);
	snapshot_buf_clear(&record);
	snapshot_buf_clear(&o.out);
}

static void put_function(void *ctx, const void *code, size_t len)
{
	uint8_t op = RDB_OP_FUNCTION2;
	rdb_copy_bytes(ctx, &op, 1);
	rdb_copy_string(ctx, code, len);
}

bool dump_functions(struct reply *r, const struct rdb_functions_cut *cut)
{
	struct output o = { .out = { .db = SNAPSHOT_NO_DB, .small = true } };
	struct rdb_copy copy;
	if (!rdb_copy_init(&copy, SIZE_MAX))
		return false;
	copy.write = append;
	copy.ctx = &o;
	copy.compress = config()->rdbcompression;
	rdb_functions_each(cut, put_function, &copy);
	bool ok = rdb_copy_flush(&copy) == 0 && finish(&o);
	if (ok)
		reply_bulk(r, o.out.p, o.out.len);
	rdb_copy_clear(&copy);
	snapshot_buf_clear(&o.out);
	return ok;
}

bool dump_each_function(const void *payload, size_t len, bool (*fn)(void *ctx, const char *code, size_t len), void *ctx,
                        char **error)
{
	const uint8_t *p = payload;
	struct rdb_scan s = { .p = p, .end = p + (len < FOOTER ? 0 : len - FOOTER) };
	const char *bad = dump_verify(payload, len) ? NULL : "DUMP payload version or checksum are wrong";
	bool ok = !bad;
	while (ok && s.p < s.end) {
		const char *code;
		size_t n;
		char *heap = NULL;
		unsigned op = *s.p++;
		if (op == RDB_OP_FUNCTION_PRE_GA)
			bad = "Pre-GA function format not supported";
		else if (op != RDB_OP_FUNCTION2)
			bad = "given type is not a function";
		else if (!rdb_scan_text(&s, &code, &n, &heap))
			bad = "Failed loading library code";
		ok = !bad && fn(ctx, code, n);
		free(heap);
	}
	if (bad)
		*error = strdup(bad);
	return ok;
}

bool dump_verify(const void *payload, size_t len)
{
	const uint8_t *p = payload;
	if (len < FOOTER)
		return false;
	const uint8_t *footer = p + len - FOOTER;
	if ((footer[0] | footer[1] << 8) > VERSION_MAX)
		return false;
	uint64_t crc = 0;
	for (int i = 0; i < 8; i++)
		crc |= (uint64_t)footer[2 + i] << 8 * i;
	return dump_skip_checksum || crc == crc64_update(0, p, len - 8);
}

/* The bytes are exactly one value. */
static bool whole(const uint8_t *p, size_t len)
{
	struct rdb_scan s = { .p = p + 1, .end = p + len };
	if (len < 2 || !rdb_type_name(p[0]))
		return false;
	rdb_scan_value(&s, p[0]);
	return rdb_scan_ok(&s) && s.p == s.end;
}

int dump_restore(struct call *c, const struct store_key *key, const void *payload, size_t len, int64_t expire_ms,
                 struct entry **e)
{
	const uint8_t *p = payload;
	struct rdb_load load;
	len -= FOOTER;
	if (!whole(p, len))
		return -EINVAL;
	struct rdb_scan s = { .p = p + 1, .end = p + len };
	rdb_load_init(&load, config(), c->op.store);
	switch (rdb_value_load(&c->op, key, p[0], &load.limits, &s, expire_ms, e)) {
	case RDB_VALUE_ADDED:
		return 0;
	case RDB_VALUE_EMPTY:
		return -ENODATA;
	case RDB_VALUE_NO_MEMORY:
		return -ENOMEM;
	case RDB_VALUE_DAMAGED:
		break;
	}
	return -EINVAL;
}
