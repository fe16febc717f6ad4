/*
 * aof_format: the bytes of an append-only file: how a record is framed, and a scanner that cuts a file into units.
 *
 * A record is preceded by a comment line that redis-server and redis-check-aof skip:
 *
 *     #CRC:<16 hex digits>,<length>,<length>\n      lengths in hex
 *
 * The digits are the XXH3-64 of the record's bytes, seeded with the digits of the record before it (0 at the beginning of
 * a file), so that a missing, repeated or moved record breaks the chain. The length stands twice, so that a damaged one
 * is never taken for a torn tail. Once a file has such lines every record must have one, with one exception: what another
 * server appended behind them, which begins with a SELECT and goes on to the end.
 *
 * A unit is what is applied or dropped as a whole: a record, or in files without such lines one command, or all from
 * MULTI to EXEC. Nothing here allocates but the scanner's buffer and argument vector. Threads: one per scanner.
 */
#ifndef SERVER_JOURNAL_AOF_FORMAT_H
#define SERVER_JOURNAL_AOF_FORMAT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "server/resp.h"

/* ------------------------------------------------------------------ writing */

struct aof_out {
	char *buf;
	size_t len, cap;
	uint64_t chain;
	uint32_t db; /* selected; AOF_NO_DB: none yet */
	int64_t stamped_s; /* last #TS line */
};
#define AOF_NO_DB UINT32_MAX

/* Append one framed record: #TS where now_s is not 0 and differs from the last, SELECT where the database differs, MULTI
 * and EXEC around several commands. false: out of memory, nothing changed. */
bool aof_out_record(struct aof_out *o, unsigned db, unsigned commands, const char *payload, size_t len, int64_t now_s);
/* The same for bytes that bring their own SELECT: the database is unknown afterwards. */
bool aof_out_raw(struct aof_out *o, const char *bytes, size_t len);
/* A new file begins. */
void aof_out_restart(struct aof_out *o);
void aof_out_clear(struct aof_out *o);

/* ------------------------------------------------------------------ reading */

struct aof_unit {
	const char *bytes; /* valid until the next call */
	size_t len;
	uint64_t offset, end; /* in the file, frame included */
	bool checked;
};

struct aof_scan {
	int fd; /* -1: memory */
	const char *path;
	char *buf;
	size_t start, end, cap;
	uint64_t offset; /* in the file, of buf[start] */
	bool eof;
	uint64_t chain;
	bool chain_unknown; /* the first checksum is taken as it stands: for looking behind damage */
	bool has_checked, has_plain; /* kinds of records seen */
	uint64_t units;
	struct resp_args args;
	/* After an error: where the damaged unit begins and what is wrong; where it ends if that is known, else 0. */
	uint64_t at, bad_end;
	char error[160];
};

/* From an offset of an open file, which stays the caller's. */
void aof_scan_init(struct aof_scan *s, int fd, const char *path, uint64_t offset);
/* Bytes that stay the caller's until the end. */
void aof_scan_init_bytes(struct aof_scan *s, const char *bytes, size_t len);
void aof_scan_clear(struct aof_scan *s);
/* 1: a unit; 0: the file ended behind a whole unit; -ENODATA: it ended within the unit at s->at; -EINVAL: the unit at s->at
 * is damaged; other errors of reading, or -ENOMEM. */
int aof_scan_next(struct aof_scan *s, struct aof_unit *u);

/* The next command of a unit, comments skipped: bytes used, args->n arguments (0: only comments were left), or -1. */
ssize_t aof_unit_command(const char *bytes, size_t len, struct resp_args *args);

#endif
