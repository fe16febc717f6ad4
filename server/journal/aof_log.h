/*
 * aof_log: the thread that writes the append-only log: a subscriber of the journal, with the files, the manifest and the
 * group commit that belong to it.
 *
 * What is durable is a sequence number of the journal: everything up to it is on the disk as far as appendfsync promises.
 * Records stay in the journal until then, so that after a failure the tail is written again: to the same file, cut back
 * to what was durable, or, after a failed fsync, to a new increment. No loop ever waits for this thread.
 *
 * A rewrite begins with a marker, a record without commands: at it the thread ends the current increment, makes the next
 * one and the manifest that names it durable, and only then goes on. When the new base is there a second manifest
 * takes it in and retires what it replaces.
 *
 * Threads: [alone] or as the function says; the callbacks run on the log's thread.
 */
#ifndef SERVER_JOURNAL_AOF_LOG_H
#define SERVER_JOURNAL_AOF_LOG_H

#include <stdbool.h>
#include <stdint.h>

#include "server/journal/aof_manifest.h"
#include "server/journal/journal.h"

/* Where the log continues. */
struct aof_log_start {
	const char *dir;         /* of the files, without / at the end */
	const char *name;        /* appendfilename */
	const struct aof_manifest *manifest;
	bool append;             /* to the last increment, whose checksums are whole up to its end; else a new one */
	uint64_t chain;          /* of that increment */
	bool detached;           /* the manifest is not written before the first base: the log has been off */
	void (*advanced)(void);  /* something became durable, or failed */
};

/* Open or make the increment, subscribe, start the thread. 0 or -errno. [alone] */
int aof_log_start(struct journal *j, const struct aof_log_start *s);
/* Write and sync everything appended so far, end the thread, unsubscribe. [alone] */
void aof_log_stop(void);
bool aof_log_running(void);                 /* [any] */

/* The last durable sequence; UINT64_MAX while no log runs. [any] */
uint64_t aof_log_durable(void);
/* 0, or why the log cannot be written (positive errno): writes are to be refused. [any] */
int aof_log_error(void);
/* Counts failures: whoever waits since before it changed waits in vain. [any] */
unsigned aof_log_failures(void);

/* The files on the disk are a whole log: not so between a start with `detached` and the first base. [any] */
bool aof_log_complete(void);
/* Records were lost for want of memory, or the files have vanished: the log is to be stopped and begun anew with a base. [any] */
bool aof_log_lost(void);

/* enum config_appendfsync; the rest as the directives. [alone] */
struct aof_log_policy {
	int fsync;
	bool timestamps, no_sync_on_rewrite, keep_history, wal;
};
void aof_log_set_policy(const struct aof_log_policy *p);

/* Have everything synced that is in the journal now. 0 or -errno. [alone; waits for the disk] */
int aof_log_flush(void);

/* A rewrite. begin: append the marker, name the base that is to come (a name without directory, AOF_NAME_MAX). 0, -EBUSY.
 * [alone] end: the base is there and durable, or err says why not. [any] */
int aof_log_rewrite_begin(bool rdb, char *base_name);
void aof_log_rewrite_end(int err);

struct aof_log_stats {
	uint64_t size, base_size;    /* all files; at the last rewrite or start */
	uint64_t buffered;           /* written, not durable: bytes */
	bool rewriting;
	int64_t rewrite_started_ms;  /* monotonic; of the running one */
	int64_t last_rewrite_s;      /* -1: none */
	int last_rewrite_err;
	uint64_t rewrites, failed_in_row;
	uint64_t slow_syncs; /* that took longer than a second */
};
void aof_log_get_stats(struct aof_log_stats *out); /* [any] */

#endif
