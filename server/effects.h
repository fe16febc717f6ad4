/*
 * effects: what one command, EXEC or script gives to the journal, gathered as RESP arrays before it is appended once.
 *
 * A loop has one and uses it again for every unit: after the first few no allocation happens. Lazy expiry and eviction
 * inside a command add theirs as they happen, so the order within the unit is the order of the changes. A unit that
 * touches several databases holds SELECTs: it starts in the database of its record and always ends there.
 *
 * Failure: an effect that finds no memory makes the whole unit failed: effects_count() is not 0 and effects_bytes() is
 * NULL, which journal_append() records as a loss. Nothing half gathered is ever handed out.
 *
 * Threads: one loop's own. Argument bytes are copied.
 */
#ifndef SERVER_EFFECTS_H
#define SERVER_EFFECTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "server/resp.h"

struct effects {
	char *buf;
	size_t len, cap;
	unsigned commands;
	bool replaced; /* call_journal() was used: argv is not to be journaled; reset per call by effects_begin_call() */
	bool failed;
	bool db_known;
	unsigned db, current_db;
};

void effects_init(struct effects *e);
void effects_clear(struct effects *e);
/* Empty, for the next unit. Buffers grown beyond 1 MiB are given back. */
void effects_reset(struct effects *e);
/* The next call of a unit of several (EXEC, script) begins. */
static inline void effects_begin_call(struct effects *e)
{
	e->replaced = false;
}
/* What follows happens in db: the first use names the unit's database, later ones add a SELECT where it differs. */
void effects_use_db(struct effects *e, unsigned db);
/* The database named first, or otherwise if none was. */
static inline unsigned effects_db(const struct effects *e, unsigned otherwise)
{
	return e->db_known ? e->db : otherwise;
}

/* Add one command. */
void effects_add(struct effects *e, unsigned argc, const struct arg *argv);

/* Commands gathered, SELECTs included. */
static inline unsigned effects_count(const struct effects *e)
{
	return e->commands;
}
/* The payload, valid until the next use of e; NULL if it could not be gathered. */
const char *effects_bytes(struct effects *e, size_t *len);

#endif
