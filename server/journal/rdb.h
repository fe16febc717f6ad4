/*
 * rdb: snapshot files in Redis's RDB format: written as version 10, which redis-server 7.0 loads; read from 1 to 11.
 *
 * A file is written under a temporary name and appears under its own only when it is whole and on the disk (file and
 * directory). A file is loaded by one thread that reads, checks and cuts, and by helpers that build the values.
 */
#ifndef SERVER_JOURNAL_RDB_H
#define SERVER_JOURNAL_RDB_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "store/store.h"
#include "store/types/list.h"
#include "store/types/value.h"

#define RDB_WRITE_VERSION 10
#define RDB_MAX_VERSION 11

/* ------------------------------------------------------------------ saving */

struct rdb_save_result {
	uint64_t bytes;       /* of the file */
	uint64_t keys;
	int64_t duration_ms;
	bool was_open;        /* -errno came from opening, not from writing */
};

struct rdb_save {
	const char *path;     /* of the finished file; copied */
	struct store *store;  /* NULL: the server's */
	unsigned loops;       /* with a store: its loops */
	bool compress, checksum;
	bool aof_base;        /* the file is the base of an AOF: AUX aof-base 1 */
	/* Once: on a loop that is running, or within the call of the synchronous form. 0: the file is durable under its name.
	 * -ECANCELED: aborted. */
	void (*done)(void *ctx, int err, const struct rdb_save_result *r);
	void *ctx;
};

/* In the background. The caller runs alone, so that whatever it does in the same breath (a marker in the journal, a
 * subscription) belongs to the moment of the cut. 0: done() will be called. -EBUSY: a snapshot runs; -ENOMEM, -EAGAIN.
 * [alone] */
int rdb_save_start(const struct rdb_save *q);
/* The whole save on this thread. 0 or -errno; done() (may be NULL) runs within. [alone, or no loop runs] */
int rdb_save_now(const struct rdb_save *q);

/* ------------------------------------------------------------------ loading */

/* What the file said about itself; strings as they stood there, cut to fit. */
struct rdb_info {
	int version;
	char redis_ver[32], repl_id[48];
	int64_t repl_offset, ctime, used_mem;
	int repl_stream_db; /* -1: not said */
	bool aof_base;
};

/* Where values stop being compact: the configuration's. */
struct rdb_limits {
	struct value_limits hash, set, zset;
	struct list_limits list;
};

struct rdb_load {
	struct store *store;
	struct rdb_limits limits; /* rdb_limits_now() */
	struct store_op op;  /* access clock and its settings (worker_op()); db and time are set here */
	int64_t now_ms;
	bool checksum;       /* verify (rdbchecksum) */
	bool keep_expired;   /* load keys that are expired: a replica, and the base of an AOF */
	bool replace;        /* keys that exist already are replaced; otherwise they fail the load */
	unsigned delay_us;   /* after each key */
	bool alone;          /* every loop is parked, perhaps with locks: they are not waited for */
	bool no_functions;   /* function libraries are checked but not kept */
	unsigned threads;    /* builders; 0: as many as there are processors; 1: the calling thread alone */
	/* Optional, on the calling thread, from time to time: bytes read so far; false stops the load with -ECANCELED. */
	bool (*progress)(void *ctx, uint64_t bytes, uint64_t keys);
	void *ctx;
	/* Results. */
	struct rdb_info info;
	uint64_t keys, expired, empty; /* loaded, dropped as expired, dropped as empty */
	uint64_t records;    /* keys seen */
	uint64_t bytes;      /* used, from the magic to the checksum: what follows (the tail of an AOF) begins there */
	uint64_t at;         /* after an error: the offset of the record that is damaged */
	char error[256];     /* after an error: what is wrong, in words */
	uint64_t size_hint;  /* the loader's own */
};

/* Fills store, op, limits, now_ms and checksum as the configuration says. */
struct config;
void rdb_load_init(struct rdb_load *l, const struct config *cfg, struct store *store);
/* Load from an open file, from an offset on. The store takes locks meanwhile (store_set_single() off); nobody else changes
 * it. 0; -EINVAL: damaged or refused (error, at); -EIO and its like; -ENOMEM; -ECANCELED. What was loaded before an error
 * stays in the store: the caller drops it. [any one thread] */
int rdb_load_fd(struct rdb_load *l, int fd, const char *path, uint64_t offset);
/* The same from memory. */
int rdb_load_bytes(struct rdb_load *l, const void *bytes, size_t len);

/* Look through a file without a store: what is damaged and where; the report goes to stdout. An exit status. */
int rdb_check_file(const char *path);
/* As part of another check (the base of an AOF), from an offset on; results as after a load. */
int rdb_check_fd(struct rdb_load *l, int fd, const char *path, uint64_t offset);

#endif
