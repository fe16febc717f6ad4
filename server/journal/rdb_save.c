/* rdb_save: RDB files out of snapshots: see rdb.h. Loops append records with plain strings; the writer thread compresses,
 * checksums and writes. */
#include <endian.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "server/clock.h"
#include "server/config.h"
#include "server/journal/io.h"
#include "server/journal/rdb.h"
#include "server/journal/rdb_functions.h"
#include "server/journal/rdb_put.h"
#include "server/journal/rdb_value.h"
#include "server/journal/snapshot.h"
#include "server/server.h"
#include "store/crc64.h"
#include "store/memory.h"

#define WRITEBACK_EVERY (8 * 1024 * 1024)

struct save {
	struct rdb_save q;
	char path[PATH_MAX], temp[PATH_MAX];
	struct io_file file;
	struct rdb_copy out;
	uint64_t crc, written_back;
	bool incremental;
	unsigned delay_us;
	uint32_t db; /* selected in the file */
	struct rdb_functions_cut *functions;
	struct store_op op; /* what access clocks are measured by */
	int policy;         /* maxmemory_policy */
	int64_t start_ms, used_mem;
	struct rdb_save_result result;
	unsigned dbs;
	struct {
		uint64_t keys, volatile_keys;
	} count[];
};

/* ------------------------------------------------------------------ on the loops */

static void put_op_len(struct snapshot_buf *b, unsigned opcode, uint64_t len)
{
	uint8_t head[10] = { (uint8_t)opcode };
	rdb_put_raw(b, head, 1 + rdb_put_len(head + 1, len));
}

static void put_access(const struct save *s, struct snapshot_buf *b, const struct entry *e)
{
	if (s->policy & CONFIG_POLICY_LFU) {
		uint8_t freq[2] = { RDB_OP_FREQ, (uint8_t)entry_freq(&s->op, e) };
		rdb_put_raw(b, freq, sizeof freq);
	} else if (s->policy & CONFIG_POLICY_LRU) {
		put_op_len(b, RDB_OP_IDLE, (uint64_t)(entry_idle_ms(&s->op, e) / 1000));
	}
}

static void put_entry(void *ctx, struct snapshot_buf *b, unsigned db, const struct entry *e)
{
	const struct save *s = ctx;
	size_t before = b->len;
	if (b->db != db)
		put_op_len(b, RDB_OP_SELECTDB, db);
	if (entry_has_expiry(e)) {
		uint8_t when[9] = { RDB_OP_EXPIRE_MS };
		uint64_t ms = htole64((uint64_t)entry_expiry(e));
		memcpy(when + 1, &ms, sizeof ms);
		rdb_put_raw(b, when, sizeof when);
	}
	put_access(s, b, e);
	rdb_value_put(b, e);
	if (b->failed)
		b->len = before; /* nothing is half there */
	else
		b->db = db;
}

/* ------------------------------------------------------------------ on the writer thread */

static int write_file(void *ctx, const void *bytes, size_t len)
{
	struct save *s = ctx;
	if (s->q.checksum)
		s->crc = crc64_update(s->crc, bytes, len);
	int err = io_write(&s->file, bytes, len);
	if (!err && s->incremental && s->file.written - s->written_back >= WRITEBACK_EVERY) {
		io_start_writeback(&s->file, s->written_back, s->file.written - s->written_back);
		s->written_back = s->file.written;
	}
	return err;
}

static void put_aux(struct save *s, const char *name, const char *value)
{
	uint8_t op = RDB_OP_AUX;
	rdb_copy_bytes(&s->out, &op, 1);
	rdb_copy_string(&s->out, name, strlen(name));
	rdb_copy_string(&s->out, value, strlen(value));
}

static void put_aux_int(struct save *s, const char *name, int64_t value)
{
	struct snapshot_buf b = { .direct = &s->out };
	char text[24];
	uint8_t op = RDB_OP_AUX;
	rdb_put_raw(&b, &op, 1);
	rdb_put_plain(&b, name, strlen(name));
	if (!rdb_put_small_int(&b, value))
		rdb_put_plain(&b, text, (size_t)snprintf(text, sizeof text, "%lld", (long long)value));
}

static void put_functions(void *ctx, const void *bytes, size_t len)
{
	struct save *s = ctx;
	uint8_t op = RDB_OP_FUNCTION2;
	rdb_copy_bytes(&s->out, &op, 1);
	rdb_copy_string(&s->out, bytes, len);
}

/* Every database's size comes first, so that a reader makes room before the first key. */
static void put_sizes(struct save *s)
{
	for (unsigned db = 0; db < s->dbs; db++) {
		uint8_t head[32];
		size_t n = 0;
		if (!s->count[db].keys)
			continue;
		head[n++] = RDB_OP_SELECTDB;
		n += rdb_put_len(head + n, db);
		head[n++] = RDB_OP_RESIZEDB;
		n += rdb_put_len(head + n, s->count[db].keys);
		n += rdb_put_len(head + n, s->count[db].volatile_keys);
		rdb_copy_bytes(&s->out, head, n);
		s->db = db;
	}
}

static int begin(void *ctx)
{
	struct save *s = ctx;
	char magic[16];
	int err = io_open(&s->file, s->temp, IO_NEW);
	if (err) {
		s->result.was_open = true;
		return err;
	}
	snprintf(magic, sizeof magic, "REDIS%04d", RDB_WRITE_VERSION);
	rdb_copy_bytes(&s->out, magic, 9);
	put_aux(s, "redis-ver", SERVER_REDIS_VERSION);
	put_aux_int(s, "redis-bits", sizeof(void *) * 8);
	put_aux_int(s, "ctime", s->start_ms / 1000);
	put_aux_int(s, "used-mem", s->used_mem);
	put_aux_int(s, "aof-base", s->q.aof_base);
	rdb_functions_each(s->functions, put_functions, s);
	put_sizes(s);
	return s->out.err;
}

/* Tests let saving last (rdb-key-save-delay); an abort ends the wait. */
static void dawdle(const struct save *s, const char *bytes, size_t len)
{
	struct rdb_scan scan = { .p = (const uint8_t *)bytes, .end = (const uint8_t *)bytes + len };
	while (scan.p < scan.end && rdb_scan_ok(&scan) && !snapshot_aborting()) {
		unsigned opcode = *scan.p++;
		rdb_scan_record(&scan, opcode);
		if (opcode < RDB_TYPES)
			usleep(s->delay_us);
	}
}

/* Chunks come from all loops in any order, each with its SELECTDB first: said again only where it is another. */
static size_t known_select(const struct save *s, const char *bytes, size_t len)
{
	struct rdb_scan scan = { .p = (const uint8_t *)bytes, .end = (const uint8_t *)bytes + len };
	if (!len || *scan.p++ != RDB_OP_SELECTDB)
		return 0;
	uint64_t db = rdb_scan_len(&scan);
	return db == s->db ? (size_t)(scan.p - (const uint8_t *)bytes) : 0;
}

static int chunk(void *ctx, const char *bytes, size_t len, unsigned last_db)
{
	struct save *s = ctx;
	size_t skip = known_select(s, bytes, len);
	bytes += skip;
	len -= skip;
	s->db = last_db;
	if (__builtin_expect(s->delay_us, 0))
		dawdle(s, bytes, len);
	return rdb_copy_records(&s->out, bytes, len);
}

static int large(void *ctx, unsigned db, const struct entry *e)
{
	struct save *s = ctx;
	struct snapshot_buf b = { .db = s->db, .direct = &s->out };
	put_entry(s, &b, db, e);
	s->db = db;
	return b.failed ? -ENOMEM : s->out.err;
}

static int end(void *ctx)
{
	struct save *s = ctx;
	uint8_t op = RDB_OP_EOF;
	rdb_copy_bytes(&s->out, &op, 1);
	int err = rdb_copy_flush(&s->out);
	uint64_t crc = htole64(s->q.checksum ? s->crc : 0);
	err = err ? err : io_write(&s->file, &crc, sizeof crc);
	err = err ? err : io_sync(&s->file);
	if (!err && snapshot_aborting())
		err = -ECANCELED;
	err = err ? err : io_rename(s->temp, s->path);
	err = err ? err : io_sync_dir(s->path);
	s->result.bytes = s->file.written;
	io_close(&s->file);
	return err;
}

static void drop(void *ctx)
{
	struct save *s = ctx;
	io_close(&s->file);
	if (!s->result.was_open)
		io_unlink(s->temp);
}

/* ------------------------------------------------------------------ from begin to end */

static const struct snapshot_format format = {
	.entry = put_entry, .begin = begin, .chunk = chunk, .large = large, .end = end, .drop = drop,
};

/* From the root: CONFIG SET dir may come before the end. */
static bool set_paths(struct save *s, const char *path)
{
	char cwd[PATH_MAX];
	bool whole = *path == '/' || !getcwd(cwd, sizeof cwd);
	int n = snprintf(s->path, sizeof s->path, "%s%s%s", whole ? "" : cwd, whole ? "" : "/", path);
	return n > 0 && (size_t)n < sizeof s->path && io_temp_name(s->path, s->temp, sizeof s->temp);
}

static void free_save(struct save *s)
{
	rdb_copy_clear(&s->out);
	rdb_functions_free(s->functions);
	free(s);
}

static void done(void *ctx, int err)
{
	struct save *s = ctx;
	struct rdb_save q = s->q;
	struct rdb_save_result r = s->result;
	r.duration_ms = clock_mono_ms() - r.duration_ms;
	free_save(s);
	if (q.done)
		q.done(q.ctx, err, &r);
}

static struct save *new_save(const struct rdb_save *q, int *err)
{
	struct store *store = q->store ? q->store : server_store();
	unsigned dbs = store_dbs(store);
	struct save *s = calloc(1, sizeof *s + dbs * sizeof s->count[0]);
	*err = -ENOMEM;
	if (!s)
		return NULL;
	const struct config *cfg = config();
	s->q = *q;
	s->file.fd = -1;
	s->dbs = dbs;
	s->db = SNAPSHOT_NO_DB;
	s->start_ms = clock_wall_ms();
	s->result.duration_ms = clock_mono_ms();
	s->used_mem = (int64_t)mem_used();
	s->incremental = cfg->rdb_save_incremental_fsync;
	s->delay_us = cfg->rdb_key_save_delay_us > 0 ? (unsigned)cfg->rdb_key_save_delay_us : 0;
	s->policy = cfg->maxmemory_policy;
	s->op = (struct store_op){ .store = store, .now_ms = s->start_ms,
		                   .lfu_decay_min = (unsigned)cfg->lfu_decay_time,
		                   .lfu_log_factor = (unsigned)cfg->lfu_log_factor };
	s->op.access = s->policy & CONFIG_POLICY_LFU ? STORE_ACCESS_LFU : STORE_ACCESS_LRU;
	s->op.access_clock = store_access_clock(s->op.access, s->op.now_ms);
	s->out = (struct rdb_copy){ .write = write_file, .ctx = s, .compress = q->compress };
	for (unsigned db = 0; db < dbs; db++) {
		s->count[db].keys = store_count(store, db);
		s->count[db].volatile_keys = store_count_volatile(store, db);
		s->result.keys += s->count[db].keys;
	}
	s->functions = rdb_functions_cut();
	if (!s->functions)
		*err = -ENOMEM;
	else if (!set_paths(s, q->path))
		*err = -ENAMETOOLONG;
	else if (rdb_copy_init(&s->out, SIZE_MAX))
		*err = 0;
	if (*err) {
		free_save(s);
		return NULL;
	}
	return s;
}

static int save(const struct rdb_save *q, int (*run)(struct store *, unsigned, const struct snapshot_request *))
{
	int err;
	struct save *s = new_save(q, &err);
	if (!s)
		return err;
	const struct snapshot_request r = { .format = &format, .ctx = s, .done = done };
	err = run(s->op.store, q->store ? q->loops : server_loops(), &r);
	if (err)
		free_save(s);
	return err;
}

int rdb_save_start(const struct rdb_save *q)
{
	return save(q, snapshot_start);
}

/* The result of the one synchronous save. */
struct waiting {
	const struct rdb_save *q;
	int err;
};

static void note_result(void *ctx, int err, const struct rdb_save_result *r)
{
	struct waiting *w = ctx;
	w->err = err;
	if (w->q->done)
		w->q->done(w->q->ctx, err, r);
}

int rdb_save_now(const struct rdb_save *q)
{
	struct waiting w = { q, 0 };
	struct rdb_save mine = *q;
	mine.done = note_result;
	mine.ctx = &w;
	int err = save(&mine, snapshot_run);
	return err ? err : w.err;
}
