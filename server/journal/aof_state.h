/* aof_state: what aof_log.c and aof_switch.c share; private to them. Fields belong to the log's thread unless atomic. */
#ifndef SERVER_JOURNAL_AOF_STATE_H
#define SERVER_JOURNAL_AOF_STATE_H

#include <pthread.h>
#include <stdatomic.h>

#include "server/journal/aof_format.h"
#include "server/journal/aof_log.h"
#include "server/journal/aof_wal.h"
#include "server/journal/io.h"

struct aof_log {
	struct journal *journal;
	struct journal_reader *reader;
	pthread_t thread;
	void (*advanced)(void);
	atomic_bool running, stop, flush;
	char dir[3072], name[AOF_NAME_MAX];
	/* policy */
	atomic_int fsync;
	atomic_bool timestamps, no_sync_on_rewrite, keep_history, use_wal;
	/* the current increment */
	struct aof_manifest manifest;
	atomic_bool detached; /* the manifest on the disk does not know of it yet */
	struct io_file file;
	uint64_t incr_seq;
	struct aof_out out;
	uint64_t size, synced_size, synced_chain;
	/* as of the last fsync of the increment itself; durable in the wal; told to the kernel to be written soon */
	uint64_t own_size, wal_size, written_back;
	struct aof_wal wal;
	int64_t lap_ms; /* monotonic: since when the increment lacks something on the disk */
	bool wal_failed; /* it could not be made or written: not again before the next increment */
	/* the journal's sequences */
	uint64_t gathered, written, unsynced_records;
	_Atomic uint64_t durable;
	int64_t first_unsynced_ms, looked_ms; /* monotonic */
	struct {
		uint64_t records; /* of the last fsync, until the next group is awaited */
		int64_t sync_us;  /* how long one takes, smoothed */
		unsigned skip, backoff;
	} group;
	bool at_marker;
	/* failure */
	bool sync_failed;
	atomic_int error;
	atomic_bool lost; /* the journal is not whole: only a new beginning helps */
	atomic_uint failures;
	/* figures */
	_Atomic uint64_t total, base_size, pending, slow_syncs;
	pthread_mutex_t stats_mutex; /* of what follows; marker, base and incr_seq change only while no rewrite runs */
	struct {
		bool running, ended, switched, rdb;
		_Atomic uint64_t marker;
		bool passed; /* the thread has seen the marker */
		char base[AOF_NAME_MAX];
		uint64_t base_seq, incr_seq;
		int err;
		int64_t started_ms, last_s;
		int last_err;
		uint64_t count, failed_in_row;
	} rewrite;
};
extern struct aof_log aof_log;

/* The path of a file of the log; empty if it is too long. */
void aof_log_path(const char *name, char *out, size_t size);
void aof_log_manifest_path(char *out, size_t size);
/* Find out how large the files are. */
void aof_log_count_files(void);
/* Make durable what is written, and publish it. whole: in the increment itself, the wal is not needed. 0 or -errno. */
int aof_log_sync(bool whole);

/* aof_switch.c: on the log's thread, or before it starts. */
/* Make the next increment the current one; with write_manifest it is named on the disk. 0 or -errno, nothing changed. */
int aof_switch_open_next(bool write_manifest);
/* After a failed fsync: the current increment ends where it was durable. */
int aof_switch_new_segment(void);
/* The marker was reached and everything before it is durable. */
void aof_switch_at_marker(void);
/* Take a base in, if one is there. */
void aof_switch_finish(void);

#endif
