/*
 * RDB files: any bytes are loaded or refused, with a reason; what was loaded is written and loaded again, and is the same.
 * Checksums are not looked at, so that changed bytes come as far as they can. Input without the magic gets one.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "server/config.h"
#include "server/digest.h"
#include "server/journal/rdb.h"
#include "server/journal/rdb_functions.h"
#include "server/journal/rdb_value.h"
#include "tests/fuzz/target.h"

static struct store *open_store(void)
{
	struct store_options o;
	int err;
	store_options_init(&o);
	o.shards = 1;
	o.dbs = 4;
	memset(o.hash_secret, 1, sizeof o.hash_secret);
	struct store *s = store_open(&o, &err);
	check(s != NULL, "memory");
	return s;
}

static int load(struct store *s, const void *bytes, size_t len)
{
	struct rdb_load l;
	rdb_load_init(&l, config(), s);
	l.now_ms = 1000000;
	l.checksum = false;
	l.threads = 1;
	int err = rdb_load_bytes(&l, bytes, len);
	check(!err || *l.error, "refused without a reason");
	check(l.at <= len && l.bytes <= len, "an offset beyond the end");
	return err;
}

static int append(void *ctx, const void *bytes, size_t len)
{
	struct snapshot_buf *b = ctx;
	char *to = snapshot_buf_room(b, len);
	check(to != NULL, "memory");
	memcpy(to, bytes, len);
	b->len += len;
	return 0;
}

static void put_key(void *ctx, struct store_op *op, const struct store_key *key, struct entry *e)
{
	struct snapshot_buf *b = ctx;
	(void)key;
	uint8_t head[16] = { RDB_OP_SELECTDB, (uint8_t)op->db, RDB_OP_EXPIRE_MS };
	int64_t when = entry_expiry(e);
	memcpy(head + 3, &when, 8);
	append(b, head, entry_has_expiry(e) ? 11 : 2);
	rdb_value_put(b, e);
	check(!b->failed, "memory");
}

/* Everything as a file, its strings compressed. */
static void save(struct store *s, struct snapshot_buf *out)
{
	struct snapshot_buf plain = { 0 };
	struct store_op op = { .store = s, .now_ms = 1000000, .exclusive = true, .show_expired = true };
	for (op.db = 0; op.db < 4; op.db++)
		store_each(&op, put_key, &plain);
	struct rdb_copy copy = { .write = append, .ctx = out, .compress = true };
	check(rdb_copy_init(&copy, SIZE_MAX), "memory");
	rdb_copy_bytes(&copy, "REDIS0010", 9);
	check(rdb_copy_records(&copy, plain.p, plain.len) == 0, "what was written cannot be read");
	rdb_copy_bytes(&copy, "\xff\0\0\0\0\0\0\0\0", 9);
	check(rdb_copy_flush(&copy) == 0, "writing");
	rdb_copy_clear(&copy);
	snapshot_buf_clear(&plain);
}

static struct digest digest_of(struct store *s)
{
	struct digest d;
	struct store_op op = { .store = s, .now_ms = 1000000, .exclusive = true, .show_expired = true };
	digest_dataset(&op, &d);
	return d;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *bytes = malloc(size + 9);
	check(bytes != NULL, "memory");
	size_t head = size >= 5 && !memcmp(data, "REDIS", 5) ? 0 : 9;
	memcpy(bytes, "REDIS0011", head);
	if (size)
		memcpy(bytes + head, data, size);
	struct store *a = open_store(), *b = open_store();
	if (load(a, bytes, head + size) == 0) {
		struct snapshot_buf file = { 0 };
		save(a, &file);
		check(load(b, file.p, file.len) == 0, "what was written is refused");
		struct digest da = digest_of(a), db = digest_of(b);
		check(memcmp(&da, &db, sizeof da) == 0, "what was written is something else");
		snapshot_buf_clear(&file);
	}
	rdb_functions_clear();
	store_close(a);
	store_close(b);
	free(bytes);
	return 0;
}
