/*
 * aof_load: from the files of an append-only log to the data set.
 *
 * The commands of a unit are run one after the other; MULTI and EXEC are only frames. What is damaged is refused with
 * its place; a torn tail of the last file is dropped if the configuration allows it, and the file is cut there.
 */
#ifndef SERVER_JOURNAL_AOF_LOAD_H
#define SERVER_JOURNAL_AOF_LOAD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "server/journal/aof_manifest.h"

struct call;
struct config;

struct aof_load {
	const struct config *cfg;
	const char *dir;
	const struct aof_manifest *manifest;
	struct call *call; /* where commands run: its reply gathers in memory */
	bool (*progress)(uint64_t bytes, uint64_t total);
	/* results */
	uint64_t bytes, total, commands, errors;
	bool append;       /* the last increment can be continued: every record has its checksum */
	uint64_t chain;
};

/* 0; -ECANCELED; -EINVAL and others, logged. */
int aof_load_files(struct aof_load *l);

#endif
