/*
 * aof_wal: what `appendfsync always` acknowledges, a second time, in a file of fixed size that is written in place.
 *
 * An fsync behind an append also commits the file's new length and blocks to the file system's journal; one behind bytes
 * written over blocks that have long been there writes only these: it takes half as long. So a group of records goes to
 * the increment by write(), as ever, and counts as durable once it is on the disk here. When this file is full, or the log's
 * thread finds it time, the increment itself is synced, and the next lap begins: at any time a lap holds what the increment
 * has had since its own last fsync, without a gap.
 *
 * If the process dies the increment is whole, for the kernel has it. If the machine dies aof_wal_recover() puts in what is
 * missing, before the log is loaded.
 *
 * Format: a block of 4096 bytes with magic, version and the boot's id as the kernel gives it; then the entries of a lap,
 * each at a multiple of 8: lap, segment (number of the increment), offset in it, length, hash (XXH3 of the payload, seeded
 * with that of the fields before), all 64-bit little-endian, and the payload. A lap ends before the first entry that has
 * another number, a gap, or the wrong hash.
 *
 * Threads: the log's, or [alone] before it runs.
 */
#ifndef SERVER_JOURNAL_AOF_WAL_H
#define SERVER_JOURNAL_AOF_WAL_H

#include <stdbool.h>
#include <stdint.h>

#include "server/journal/aof_manifest.h"
#include "server/journal/io.h"

#define AOF_WAL_BYTES ((uint64_t)16 << 20)

struct aof_wal {
	struct io_file file; /* fd -1: none */
	uint64_t lap, segment;
	uint64_t end; /* of the increment, as far as the lap reaches */
	uint64_t at;  /* of the next entry; 0: no lap */
};

/* Where the file of a log is: beside its manifest, under the same name but for the ending. false: no manifest's path, or
 * too long. */
bool aof_wal_path(const char *manifest, char *out, size_t size);

/* Make the file anew, all of it on the disk, in place of one that may stand there. 0 or -errno. */
int aof_wal_create(struct aof_wal *w, const char *path);
/* A lap begins: the segment is on the disk up to `end`. */
void aof_wal_begin(struct aof_wal *w, uint64_t segment, uint64_t end);
/* Bytes that the segment has at the offset. What does not fit, leaves a gap, or cannot be written ends the lap. */
void aof_wal_append(struct aof_wal *w, uint64_t segment, uint64_t offset, const void *bytes, size_t len);
/* Whether the lap reaches so far: then a sync makes the segment durable up to there. */
bool aof_wal_reaches(const struct aof_wal *w, uint64_t segment, uint64_t end);
/* 0 or -errno, then the lap has ended. */
int aof_wal_sync(struct aof_wal *w);
/* remove: everything is on the disk in the increment. */
void aof_wal_close(struct aof_wal *w, bool remove);

/* Write what the file's lap holds into its increment, up to `end`, and sync that: after a failed fsync. 0 or -errno. */
int aof_wal_restore(const char *path, const char *dir, const struct aof_manifest *m, uint64_t end);
/* No lap is found in the file any more: its last entries, which nobody acknowledged, are to be written anew elsewhere. If
 * need be the file goes. 0 or -errno. */
int aof_wal_clear(struct aof_wal *w);
/*
 * Before loading: bring the increment to what was acknowledged, and remove the file. Not so where the machine has been up
 * since: then the increment is whole, and if it is not somebody wanted it so. An increment that says something else than
 * the lap was continued by others: it is left alone, and the file kept under the ending ".unused". 0 or -errno, logged.
 */
int aof_wal_recover(const char *path, const char *dir, const struct aof_manifest *m);

#endif
