/*
 * snapshot: a consistent cut of the whole data set, handed to one consumer, while the server goes on.
 *
 * At the cut (a safepoint) nothing is copied. From then on each loop's ticker walks its own shards in small steps, and a
 * writer that reaches an entry before the walk gives it away first (store/snapshot.c). What the loops give is appended to
 * chunks by the format; chunks go to one writer thread, which alone does what is slow: compression, checksums, files.
 * Values of SNAPSHOT_LARGE bytes and more are not copied on a loop: the writer thread reads them in place.
 *
 * Memory is bounded: the walk rests while SNAPSHOT_QUEUE_MAX bytes wait for the writer; only pre-images of small values
 * that clients change meanwhile go on top.
 *
 * One at a time. Threads: as the functions say. Formats: RDB file (rdb_save.c), AOF base in AOF form, full resync.
 */
#ifndef SERVER_JOURNAL_SNAPSHOT_H
#define SERVER_JOURNAL_SNAPSHOT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "store/entry.h"
#include "store/store.h"

#define SNAPSHOT_LARGE (64 * 1024)
#define SNAPSHOT_CHUNK (128 * 1024)
#define SNAPSHOT_QUEUE_MAX (16 * 1024 * 1024)
#define SNAPSHOT_NO_DB UINT32_MAX

/* Bytes in the making. */
struct snapshot_buf {
	char *p;
	size_t len, cap;
	uint32_t db; /* of the last entry; SNAPSHOT_NO_DB at the beginning of a chunk: the format says SELECT and notes it */
	bool small;  /* begins with room for a small value, not for a chunk */
	bool failed; /* out of memory: the snapshot fails */
	struct rdb_copy *direct; /* of the format: see rdb_put.h */
};
/* Room for n more bytes behind p + len, or NULL (then failed is set). */
char *snapshot_buf_room(struct snapshot_buf *b, size_t n);
void snapshot_buf_clear(struct snapshot_buf *b);

struct snapshot_format {
	/* Append a whole entry, its database first where it differs from b->db. A loop, with the shard's lock held. */
	void (*entry)(void *ctx, struct snapshot_buf *b, unsigned db, const struct entry *e);
	/* The following run on the writer thread, in this order; a negative errno fails the snapshot and only drop() follows. */
	int (*begin)(void *ctx);
	/* As entry() made it; last_db: of its last entry. */
	int (*chunk)(void *ctx, const char *bytes, size_t len, unsigned last_db);
	int (*large)(void *ctx, unsigned db, const struct entry *e); /* a value that stands still meanwhile */
	int (*end)(void *ctx);   /* all entries came: footer, fsync, rename */
	void (*drop)(void *ctx); /* the snapshot failed or was aborted: remove what was begun */
};

struct snapshot_request {
	const struct snapshot_format *format;
	void *ctx; /* of the format and of done() */
	/* Once, on a loop that is running (or, after snapshot_run(), the caller): 0 or -errno, -ECANCELED: aborted. Then ctx is
	 * the requester's again. */
	void (*done)(void *ctx, int err);
};

/* Begin: what is in the store now belongs to it. 0, -EBUSY, -ENOMEM, -EAGAIN (no thread); done() is called only after 0.
 * [alone] */
int snapshot_start(struct store *s, unsigned loops, const struct snapshot_request *r);
/* From begin to end on this thread; done() runs within. [alone, or no loop runs] */
int snapshot_run(struct store *s, unsigned loops, const struct snapshot_request *r);
/* Give up a running one; waits for the writer thread; done(-ECANCELED) runs within. Nothing if none runs. [alone] */
void snapshot_abort(void);
bool snapshot_running(void); /* any thread */
/* For end(): nobody wants the result any more. */
bool snapshot_aborting(void);
/* Keys in the cut, and taken so far. [any] */
void snapshot_progress(uint64_t *total, uint64_t *done);

/* A step of the walk for a loop; true: call again in a millisecond. Loop 0 also ends snapshots. [owner, running, no locks] */
bool snapshot_tick(unsigned loop);

#endif
