/*
 * aof_base: the base of an append-only log as commands (aof-use-rdb-preamble no), out of a snapshot: SET, RPUSH, SADD,
 * ZADD, HSET with at most 64 elements each, PEXPIREAT for keys that expire. Every chunk is a record with its checksum.
 */
#ifndef SERVER_JOURNAL_AOF_BASE_H
#define SERVER_JOURNAL_AOF_BASE_H

#include "server/journal/aof_format.h"
#include "server/journal/io.h"
#include "server/journal/snapshot.h"

struct aof_base {
	char path[4096], temp[4096];
	struct io_file file;
	struct aof_out out;
	struct rdb_functions_cut *functions;
	void (*done)(void *ctx, int err);
};

/* In the background; done() on a loop: 0, the file is durable under its name, or -errno. b lives until then. 0, or -errno:
 * done() will not be called. [alone] */
int aof_base_start(struct aof_base *b, const char *path, void (*done)(void *ctx, int err));

#endif
