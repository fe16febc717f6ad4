/*
 * aof_manifest: the file that says which files an append-only log is made of, in Redis 7's format: one line per file,
 *
 *     file <name> seq <n> type <b|h|i>
 *
 * at most one base (b), increments (i) with rising numbers, and files that only wait to be removed (h). Names that hold
 * blanks, quotes or control characters stand in quotes with escapes. Lines that begin with # are comments.
 *
 * A manifest is replaced whole: temporary file, fsync, rename, fsync of the directory.
 * Ownership: names are in place. Threads: one per manifest.
 */
#ifndef SERVER_JOURNAL_AOF_MANIFEST_H
#define SERVER_JOURNAL_AOF_MANIFEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define AOF_NAME_MAX 256
#define AOF_LINE_MAX 1024 /* with its end */

enum aof_type { AOF_BASE = 'b', AOF_INCR = 'i', AOF_HISTORY = 'h' };

struct aof_file {
	char name[AOF_NAME_MAX];
	uint64_t seq;
	char type; /* enum aof_type */
};

struct aof_manifest {
	struct aof_file *v; /* base, history, increments */
	size_t n, cap;
};

void aof_manifest_clear(struct aof_manifest *m);
/* 0; -EINVAL with the reason in error; -ENOMEM. The manifest must be empty before; it is empty after an error. */
int aof_manifest_parse(struct aof_manifest *m, const char *text, size_t len, char *error, size_t error_size);
/* 0; -ENOENT; -EINVAL; other errors of reading. */
int aof_manifest_read(struct aof_manifest *m, const char *path, char *error, size_t error_size);
/* malloc'ed; NULL: out of memory. */
char *aof_manifest_text(const struct aof_manifest *m, size_t *len);
/* Replace the file. 0 or -errno, then the old one is still in force (or, if only the directory's fsync failed, either). */
int aof_manifest_write(const struct aof_manifest *m, const char *path);

/* Add behind the last of its type. 0; -ENOMEM; -ENAMETOOLONG: the name, or its line with every escape, is. */
int aof_manifest_add(struct aof_manifest *m, const char *name, uint64_t seq, enum aof_type type);
int aof_manifest_copy(struct aof_manifest *to, const struct aof_manifest *from);
const struct aof_file *aof_manifest_base(const struct aof_manifest *m);      /* NULL: none */
const struct aof_file *aof_manifest_last_incr(const struct aof_manifest *m); /* NULL: none */
/* The highest number of the type, history of either kind included for bases. 0: none */
uint64_t aof_manifest_top(const struct aof_manifest *m, enum aof_type type);
/* Base and increments below incr_seq become history. */
void aof_manifest_retire(struct aof_manifest *m, uint64_t incr_seq);
void aof_manifest_drop_history(struct aof_manifest *m);

#endif
