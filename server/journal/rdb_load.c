/*
 * rdb_load: RDB files into the store: see rdb.h.
 *
 * The calling thread reads the file block by block, checksums it, and finds where records end (rdb_scan.h). Whole records
 * go in batches to builders, threads that make values of them and add them under the locks of their shards. What belongs
 * to the file as a whole (sizes, AUX, functions) the calling thread sees to itself.
 */
#include <endian.h>
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "server/clock.h"
#include "server/config.h"
#include "server/journal/io.h"
#include "server/journal/rdb.h"
#include "server/journal/rdb_functions.h"
#include "server/journal/rdb_scan.h"
#include "server/journal/rdb_value.h"
#include "store/crc64.h"

#define BLOCK (1024 * 1024)
#define BATCH (128 * 1024)
#define QUEUE_MAX 16
#define OWN_LOCKS 64
#define THREADS_MAX 16
#define CHECKSUM_FROM 5 /* version */

/* Whole records, in a block of their own. */
struct batch {
	struct batch *next;
	unsigned db;
	uint64_t at; /* offset of the first byte */
	size_t len;
	uint8_t bytes[];
};

struct loader {
	struct rdb_load *l;
	int fd; /* -1: from memory */
	const char *path;
	uint64_t offset; /* of the beginning of the RDB data in the file */
	/* the bytes at hand */
	uint8_t *buf;
	const uint8_t *window; /* buf, or the memory given */
	size_t start, end, cap;
	uint64_t base; /* offset of window[0] behind the beginning */
	bool eof;
	uint64_t crc;
	uint64_t crc_to; /* summed so far */
	unsigned db;
	/* builders */
	pthread_t threads[THREADS_MAX];
	unsigned running;
	pthread_mutex_t mutex;
	pthread_cond_t filled, drained;
	pthread_mutex_t own[OWN_LOCKS]; /* of shards, among the builders, if the loader is alone */
	struct batch *first, **last;
	unsigned queued;
	bool closed;
	atomic_int err;
	_Atomic uint64_t keys, expired, empty;
};

/* ------------------------------------------------------------------ errors */

/* The first one counts. */
static int fail(struct loader *d, int err, uint64_t at, const char *text)
{
	pthread_mutex_lock(&d->mutex);
	if (!atomic_load(&d->err)) {
		atomic_store(&d->err, err);
		d->l->at = d->offset + at;
		snprintf(d->l->error, sizeof d->l->error, "%s", text);
	}
	pthread_mutex_unlock(&d->mutex);
	return atomic_load(&d->err);
}

/* ------------------------------------------------------------------ builders */

/* What stands before a key and belongs to it. */
struct prefix {
	int64_t expire_ms, idle_s;
	int freq;
};

static void no_prefix(struct prefix *p)
{
	*p = (struct prefix){ .expire_ms = STORE_NO_EXPIRY, .idle_s = -1, .freq = -1 };
}

/* true: the opcode was one of those. */
static bool read_prefix(struct rdb_scan *s, unsigned opcode, struct prefix *p)
{
	const uint8_t *at;
	switch (opcode) {
	case RDB_OP_EXPIRE_MS:
	case RDB_OP_EXPIRE_S: {
		uint64_t v = 0;
		unsigned n = opcode == RDB_OP_EXPIRE_MS ? 8 : 4;
		at = rdb_scan_raw(s, n);
		if (at)
			memcpy(&v, at, n);
		p->expire_ms = n == 8 ? (int64_t)le64toh(v) : (int64_t)(int32_t)le32toh((uint32_t)v) * 1000;
		return true;
	}
	case RDB_OP_IDLE:
		p->idle_s = (int64_t)rdb_scan_len(s);
		return true;
	case RDB_OP_FREQ:
		at = rdb_scan_raw(s, 1);
		p->freq = at ? *at : -1;
		return true;
	default:
		return false;
	}
}

static void set_access(const struct store_op *op, struct entry *e, const struct prefix *p)
{
	if (p->freq >= 0 && op->access == STORE_ACCESS_LFU)
		entry_set_freq(op, e, (unsigned)p->freq);
	else if (p->idle_s >= 0 && op->access == STORE_ACCESS_LRU)
		entry_set_idle(op, e, p->idle_s < INT64_MAX / 1000 ? p->idle_s * 1000 : INT64_MAX);
}

/* Under the lock of the key's shard. */
static const char *add_key(struct loader *d, struct store_op *op, const struct store_key *key, unsigned type,
                           struct rdb_scan *s, const struct prefix *p)
{
	if (!d->l->replace && store_find(op, key, STORE_PEEK))
		return "a key is there twice";
	struct entry *e = NULL;
	switch (rdb_value_load(op, key, type, &d->l->limits, s, p->expire_ms, &e)) {
	case RDB_VALUE_ADDED:
		set_access(op, e, p);
		atomic_fetch_add_explicit(&d->keys, 1, memory_order_relaxed);
		return NULL;
	case RDB_VALUE_EMPTY:
		atomic_fetch_add_explicit(&d->empty, 1, memory_order_relaxed);
		return NULL;
	case RDB_VALUE_NO_MEMORY:
		return "out of memory";
	default:
		return s->bad ? s->bad : "a value is damaged";
	}
}

/* Who is alone does not take the store's locks: a parked loop may keep one. */
static void lock_shard(struct loader *d, uint64_t hash)
{
	if (d->l->alone)
		pthread_mutex_lock(&d->own[store_shard_of(d->l->store, hash) % OWN_LOCKS]);
	else
		store_lock(d->l->store, hash);
}

static void unlock_shard(struct loader *d, uint64_t hash)
{
	if (d->l->alone)
		pthread_mutex_unlock(&d->own[store_shard_of(d->l->store, hash) % OWN_LOCKS]);
	else
		store_unlock(d->l->store, hash);
}

static const char *load_key(struct loader *d, struct store_op *op, unsigned type, struct rdb_scan *s, const struct prefix *p)
{
	const char *name, *error = NULL;
	char *heap;
	size_t len;
	if (!rdb_scan_text(s, &name, &len, &heap))
		return s->bad ? s->bad : "a key is cut short";
	if (p->expire_ms != STORE_NO_EXPIRY && p->expire_ms < d->l->now_ms && !d->l->keep_expired) {
		rdb_scan_value(s, type);
		atomic_fetch_add_explicit(&d->expired, 1, memory_order_relaxed);
	} else {
		struct store_key key = store_key(op->store, name, len);
		lock_shard(d, key.hash);
		error = add_key(d, op, &key, type, s, p);
		unlock_shard(d, key.hash);
	}
	free(heap);
	return error ? error : s->bad;
}

static void build(struct loader *d, struct store_op *op, const uint8_t *bytes, size_t len, uint64_t from)
{
	struct rdb_scan s = { .p = bytes, .end = bytes + len };
	struct prefix p;
	no_prefix(&p);
	while (s.p < s.end) {
		uint64_t at = from + (uint64_t)(s.p - bytes);
		unsigned opcode = *s.p++;
		if (read_prefix(&s, opcode, &p))
			continue;
		const char *error = load_key(d, op, opcode, &s, &p);
		if (error || !rdb_scan_ok(&s)) {
			bool memory = error && !strcmp(error, "out of memory");
			fail(d, memory ? -ENOMEM : -EINVAL, at, error ? error : "a value is cut short");
			return;
		}
		no_prefix(&p);
	}
}

static struct batch *pull(struct loader *d)
{
	pthread_mutex_lock(&d->mutex);
	while (!d->first && !d->closed)
		pthread_cond_wait(&d->filled, &d->mutex);
	struct batch *b = d->first;
	if (b) {
		d->queued--;
		if (!(d->first = b->next))
			d->last = &d->first;
		pthread_cond_signal(&d->drained);
	}
	pthread_mutex_unlock(&d->mutex);
	return b;
}

static struct store_op op_of(const struct loader *d)
{
	struct store_op op = d->l->op;
	op.store = d->l->store;
	op.now_ms = d->l->now_ms;
	op.show_expired = true;
	return op;
}

static void *run_builder(void *arg)
{
	struct loader *d = arg;
	struct store_op op = op_of(d);
	for (struct batch *b; (b = pull(d)); free(b)) {
		op.db = b->db;
		if (!atomic_load(&d->err))
			build(d, &op, b->bytes, b->len, b->at);
	}
	return NULL;
}

static void push(struct loader *d, struct batch *b)
{
	pthread_mutex_lock(&d->mutex);
	while (d->queued >= QUEUE_MAX)
		pthread_cond_wait(&d->drained, &d->mutex);
	b->next = NULL;
	*d->last = b;
	d->last = &b->next;
	d->queued++;
	pthread_cond_signal(&d->filled);
	pthread_mutex_unlock(&d->mutex);
}

static int start_builders(struct loader *d)
{
	unsigned n = d->l->threads;
	long cpus = sysconf(_SC_NPROCESSORS_ONLN);
	n = n ? n : cpus > 0 ? (unsigned)cpus : 1;
	n = n < THREADS_MAX ? n : THREADS_MAX;
	if (n == 1)
		return 0;
	while (d->running < n && !pthread_create(&d->threads[d->running], NULL, run_builder, d))
		d->running++;
	return d->running ? 0 : fail(d, -EAGAIN, 0, "no thread could be started");
}

static void end_builders(struct loader *d)
{
	pthread_mutex_lock(&d->mutex);
	d->closed = true;
	pthread_cond_broadcast(&d->filled);
	pthread_mutex_unlock(&d->mutex);
	while (d->running)
		pthread_join(d->threads[--d->running], NULL);
}

/* ------------------------------------------------------------------ reading */

/* Checksum up to an offset; the bytes are still at hand. */
static void sum_to(struct loader *d, uint64_t to)
{
	if (d->l->checksum && to > d->crc_to)
		d->crc = crc64_update(d->crc, d->window + (d->crc_to - d->base), (size_t)(to - d->crc_to));
	d->crc_to = to;
}

static inline uint64_t position(const struct loader *d)
{
	return d->base + d->start;
}

/* More bytes behind those at hand. false: there are none, or an error. */
static bool read_more(struct loader *d)
{
	if (d->eof || d->fd < 0)
		return false;
	if (d->start >= BLOCK / 2 || d->start == d->end) {
		sum_to(d, position(d));
		memmove(d->buf, d->buf + d->start, d->end - d->start);
		d->base += d->start;
		d->end -= d->start;
		d->start = 0;
	}
	if (d->cap - d->end < BLOCK / 2) {
		uint8_t *p = realloc(d->buf, d->cap * 2);
		if (!p) {
			fail(d, -ENOMEM, position(d), "out of memory");
			return false;
		}
		d->buf = p;
		d->window = p;
		d->cap *= 2;
	}
	ssize_t n = io_read_at(d->fd, d->path, d->buf + d->end, d->cap - d->end, d->offset + d->base + d->end);
	if (n < 0) {
		char text[128];
		snprintf(text, sizeof text, "read error: %s", strerror((int)-n));
		fail(d, (int)n, d->base + d->end, text);
		return false;
	}
	d->eof = n == 0;
	d->end += (size_t)n;
	return n > 0;
}

/* A scan over what is at hand; after it failed for want of bytes, read more and try again. */
static struct rdb_scan scan_here(const struct loader *d)
{
	return (struct rdb_scan){ .p = d->window + d->start, .end = d->window + d->end };
}

static int truncated(struct loader *d, uint64_t at)
{
	int err = atomic_load(&d->err);
	return err ? err : fail(d, -EINVAL, at, "Short read or OOM loading DB. Unrecoverable error, aborting now: the file ends");
}

/* ------------------------------------------------------------------ what is not a key */

static void note_text(char *out, size_t size, const char *text, size_t len)
{
	snprintf(out, size, "%.*s", (int)(len < size ? len : size - 1), text);
}

static int64_t as_int(const char *text, size_t len)
{
	char buf[24];
	note_text(buf, sizeof buf, text, len);
	return strtoll(buf, NULL, 10);
}

static void note_aux(struct rdb_info *info, const char *name, size_t name_len, const char *value, size_t len)
{
	char field[32];
	note_text(field, sizeof field, name, name_len);
	if (!strcmp(field, "redis-ver"))
		note_text(info->redis_ver, sizeof info->redis_ver, value, len);
	else if (!strcmp(field, "repl-id"))
		note_text(info->repl_id, sizeof info->repl_id, value, len);
	else if (!strcmp(field, "repl-offset"))
		info->repl_offset = as_int(value, len);
	else if (!strcmp(field, "repl-stream-db"))
		info->repl_stream_db = (int)as_int(value, len);
	else if (!strcmp(field, "ctime"))
		info->ctime = as_int(value, len);
	else if (!strcmp(field, "used-mem"))
		info->used_mem = as_int(value, len);
	else if (!strcmp(field, "aof-base"))
		info->aof_base = as_int(value, len) != 0;
}

static void read_aux(struct loader *d, struct rdb_scan *s)
{
	const char *name, *value;
	char *heap[2] = { NULL, NULL };
	size_t name_len, len;
	if (rdb_scan_text(s, &name, &name_len, &heap[0]) && rdb_scan_text(s, &value, &len, &heap[1]))
		note_aux(&d->l->info, name, name_len, value, len);
	free(heap[0]);
	free(heap[1]);
}

static void read_functions(struct loader *d, struct rdb_scan *s)
{
	const char *code;
	char *heap;
	size_t len;
	if (!rdb_scan_text(s, &code, &len, &heap))
		return;
	if (!d->l->no_functions)
		s->bad = rdb_functions_load(code, len, d->l->replace);
	free(heap);
}

/* Sizes are hints, and not believed beyond what a file of this kind could hold. */
static void expect(struct loader *d, uint64_t keys)
{
	if (keys <= UINT32_MAX && keys < d->l->size_hint)
		store_expect(d->l->store, d->db, keys);
}

/* Opcodes that are neither keys nor belong to one. */
static void read_global(struct loader *d, struct rdb_scan *s, unsigned opcode)
{
	uint64_t v;
	switch (opcode) {
	case RDB_OP_SELECTDB:
		v = rdb_scan_len(s);
		if (rdb_scan_ok(s) && v >= store_dbs(d->l->store))
			s->bad = "a database number beyond `databases`";
		else if (rdb_scan_ok(s))
			d->db = (unsigned)v;
		break;
	case RDB_OP_RESIZEDB:
		v = rdb_scan_len(s);
		rdb_scan_len(s);
		if (rdb_scan_ok(s))
			expect(d, v);
		break;
	case RDB_OP_AUX:
		read_aux(d, s);
		break;
	case RDB_OP_FUNCTION2:
		read_functions(d, s);
		break;
	default:
		rdb_scan_record(s, opcode);
	}
}

static bool is_global(unsigned opcode)
{
	return opcode == RDB_OP_SELECTDB || opcode == RDB_OP_RESIZEDB || opcode == RDB_OP_AUX || opcode == RDB_OP_FUNCTION2;
}

/* ------------------------------------------------------------------ cutting */

/* One record: prefixes, key and value; or one global one. 1 whole, 0 more bytes are needed, -1 damaged. */
static int scan_record(struct loader *d, struct rdb_scan *s, unsigned *opcode)
{
	do {
		const uint8_t *at = rdb_scan_raw(s, 1);
		if (!at)
			return 0;
		*opcode = *at;
		if (is_global(*opcode))
			read_global(d, s, *opcode);
		else
			rdb_scan_record(s, *opcode);
	} while (rdb_scan_ok(s) && *opcode >= RDB_OP_IDLE && *opcode <= RDB_OP_FREQ + 4 && !is_global(*opcode));
	return rdb_scan_ok(s) ? 1 : s->more ? 0 : -1;
}

/* Hand over the records from `from` (behind the beginning) to the current position. */
static int hand_over(struct loader *d, uint64_t from)
{
	size_t len = (size_t)(position(d) - from);
	if (!len)
		return 0;
	if (!d->running) {
		struct store_op op = op_of(d);
		op.db = d->db;
		build(d, &op, d->window + (from - d->base), len, from);
		return atomic_load(&d->err);
	}
	struct batch *b = malloc(sizeof *b + len);
	if (!b)
		return fail(d, -ENOMEM, from, "out of memory");
	b->db = d->db;
	b->at = from;
	b->len = len;
	memcpy(b->bytes, d->window + (from - d->base), len);
	push(d, b);
	return 0;
}

static int report_progress(struct loader *d)
{
	struct rdb_load *l = d->l;
	if (l->progress && !l->progress(l->ctx, position(d), atomic_load_explicit(&d->keys, memory_order_relaxed)))
		return fail(d, -ECANCELED, position(d), "stopped");
	return atomic_load(&d->err);
}

/* Tests let loading last (key-load-delay). */
static int dawdle(struct loader *d)
{
	usleep(d->l->delay_us);
	return report_progress(d);
}

/* Records until the bytes at hand end, or EOF was read (*done). */
static int cut(struct loader *d, bool *done)
{
	uint64_t from = position(d);
	for (;;) {
		struct rdb_scan s = scan_here(d);
		unsigned opcode = 0, db = d->db;
		int got = scan_record(d, &s, &opcode);
		if (got < 0)
			return fail(d, -EINVAL, position(d), s.bad);
		if (got == 0)
			return hand_over(d, from);
		bool key = opcode < RDB_TYPES, end = opcode == RDB_OP_EOF;
		if (!key) {
			unsigned now = d->db;
			d->db = db;
			int err = hand_over(d, from);
			d->db = now;
			if (err)
				return err;
		}
		d->l->records += key;
		d->start = (size_t)(s.p - d->window);
		if (!key || position(d) - from >= BATCH) {
			int err = key ? hand_over(d, from) : 0;
			if (err || end) {
				*done = end;
				return err;
			}
			from = position(d);
		}
		if (__builtin_expect(key && d->l->delay_us, 0)) {
			int err = dawdle(d);
			if (err)
				return err;
		}
	}
}

static int check_sum(struct loader *d)
{
	uint64_t want, end = position(d);
	if (d->l->info.version < CHECKSUM_FROM) {
		sum_to(d, end);
		return 0;
	}
	while (d->end - d->start < sizeof want)
		if (!read_more(d))
			return truncated(d, end);
	sum_to(d, end);
	memcpy(&want, d->window + d->start, sizeof want);
	want = le64toh(want);
	d->start += sizeof want;
	if (!d->l->checksum || want == 0 || want == d->crc)
		return 0;
	char text[128];
	snprintf(text, sizeof text, "Wrong RDB checksum expected: (%llx) but got (%llx). Aborting now.",
	         (unsigned long long)want, (unsigned long long)d->crc);
	return fail(d, -EINVAL, end, text);
}

static int read_magic(struct loader *d)
{
	while (d->end - d->start < 9)
		if (!read_more(d))
			return truncated(d, 0);
	const uint8_t *p = d->window;
	int version = 0;
	if (memcmp(p, "REDIS", 5) != 0)
		return fail(d, -EINVAL, 0, "Wrong signature trying to load DB from file");
	for (unsigned i = 5; i < 9; i++) {
		if (p[i] < '0' || p[i] > '9')
			return fail(d, -EINVAL, 5, "the version is no number");
		version = version * 10 + p[i] - '0';
	}
	d->l->info.version = version;
	d->start = 9;
	if (version >= 1 && version <= RDB_MAX_VERSION)
		return 0;
	char text[64];
	snprintf(text, sizeof text, "Can't handle RDB format version %d", version);
	return fail(d, -EINVAL, 5, text);
}

static int load_all(struct loader *d)
{
	bool done = false;
	int err = read_magic(d);
	while (!err && !done) {
		err = cut(d, &done);
		err = err ? err : report_progress(d);
		if (!err && !done && !read_more(d))
			err = truncated(d, position(d));
	}
	return err ? err : check_sum(d);
}

static int run(struct loader *d)
{
	struct rdb_load *l = d->l;
	l->info = (struct rdb_info){ .repl_stream_db = -1 };
	l->keys = l->expired = l->empty = l->bytes = l->at = l->records = 0;
	*l->error = 0;
	pthread_mutex_init(&d->mutex, NULL);
	for (size_t i = 0; i < OWN_LOCKS; i++)
		pthread_mutex_init(&d->own[i], NULL);
	pthread_cond_init(&d->filled, NULL);
	pthread_cond_init(&d->drained, NULL);
	d->last = &d->first;
	if (d->fd >= 0) {
		d->cap = 2 * BLOCK;
		d->window = d->buf = malloc(d->cap);
	}
	int err = d->window ? 0 : fail(d, -ENOMEM, 0, "out of memory");
	err = err ? err : start_builders(d);
	err = err ? err : load_all(d);
	end_builders(d);
	err = atomic_load(&d->err);
	l->bytes = position(d);
	l->keys = atomic_load(&d->keys);
	l->expired = atomic_load(&d->expired);
	l->empty = atomic_load(&d->empty);
	free(d->buf);
	pthread_mutex_destroy(&d->mutex);
	for (size_t i = 0; i < OWN_LOCKS; i++)
		pthread_mutex_destroy(&d->own[i]);
	pthread_cond_destroy(&d->filled);
	pthread_cond_destroy(&d->drained);
	return err;
}

int rdb_load_fd(struct rdb_load *l, int fd, const char *path, uint64_t offset)
{
	off_t size = lseek(fd, 0, SEEK_END);
	struct loader d = { .l = l, .fd = fd, .path = path, .offset = offset };
	l->size_hint = size > 0 ? (uint64_t)size : 0;
	return run(&d);
}

int rdb_load_bytes(struct rdb_load *l, const void *bytes, size_t len)
{
	struct loader d = { .l = l, .fd = -1, .path = "memory", .window = bytes, .end = len, .eof = true };
	l->size_hint = len;
	return run(&d);
}

void rdb_load_init(struct rdb_load *l, const struct config *cfg, struct store *store)
{
	*l = (struct rdb_load){ .store = store, .now_ms = clock_wall_ms(), .checksum = cfg->rdbchecksum };
	l->delay_us = cfg->key_load_delay_us > 0 ? (unsigned)cfg->key_load_delay_us : 0;
	l->limits.hash = (struct value_limits){ .entries = cfg->hash_max_listpack_entries,
		                                .bytes = cfg->hash_max_listpack_value, .share = cfg->hash_share_fields };
	l->limits.zset = (struct value_limits){ .entries = cfg->zset_max_listpack_entries,
		                                .bytes = cfg->zset_max_listpack_value };
	l->limits.set = (struct value_limits){ .entries = cfg->set_max_listpack_entries,
		                               .bytes = cfg->set_max_listpack_value,
		                               .intset = cfg->set_max_intset_entries };
	l->limits.list = (struct list_limits){ cfg->list_max_listpack_size, (unsigned)cfg->list_compress_depth };
	l->op = (struct store_op){ .store = store, .lfu_decay_min = (unsigned)cfg->lfu_decay_time,
		                   .lfu_log_factor = (unsigned)cfg->lfu_log_factor };
	l->op.access = cfg->maxmemory_policy & CONFIG_POLICY_LFU ? STORE_ACCESS_LFU : STORE_ACCESS_LRU;
	l->op.access_clock = store_access_clock(l->op.access, l->now_ms);
}
