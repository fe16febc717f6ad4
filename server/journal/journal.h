/*
 * journal: every effect in one total order. A record is all effects of one command, EXEC or script: its sequence number,
 * database and a payload of RESP commands. Appended once, while the shard locks are held, so that the order agrees with
 * every key's order.
 *
 * Many producers claim a slot of a ring of descriptors and publish it; payloads live in counted segments until every
 * subscriber has let them go. Append never waits: room is made sure of before the command takes its locks
 * (journal_admit). Subscribers are threads of their own, or read on demand (the memory subscriber). Without a subscriber
 * an append costs one branch.
 */
#ifndef SERVER_JOURNAL_JOURNAL_H
#define SERVER_JOURNAL_JOURNAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct journal;

struct journal_record {
	uint64_t sequence; /* from 1, without gaps */
	unsigned db;
	unsigned commands; /* more than one: to be applied as one unit */
	const char *payload; /* RESP arrays, one after the other */
	size_t len;
};

/* NULL: out of memory. capacity: descriptors, a power of two. */
struct journal *journal_new(size_t capacity);
void journal_free(struct journal *j);

/* Whether anybody subscribes: the one branch. Relaxed read, changes only alone. */
bool journal_active(const struct journal *j);
/* true if there is room below the high watermark; else the caller is to park its command before taking locks. */
bool journal_admit(struct journal *j);
/* Reserve len payload bytes and a place in the order, fill, publish. journal_append does all of it. Returns the sequence.
 * Never waits, never fails below the watermark's reserve; payload is copied. [shard locks held] */
uint64_t journal_append(struct journal *j, unsigned db, unsigned commands, const void *payload, size_t len);
uint64_t journal_tail(const struct journal *j); /* last sequence published */

/* A subscriber reads every record from its beginning on, in order. [alone] for add and remove. */
struct journal_reader;
struct journal_reader *journal_subscribe(struct journal *j);
void journal_unsubscribe(struct journal_reader *r);
/* The next published record, or false. Payload stays valid until the reader's next call of journal_release(). One thread. */
bool journal_next(struct journal_reader *r, struct journal_record *out);
/* Everything up to and including sequence may be freed. */
void journal_release(struct journal_reader *r, uint64_t sequence);
/* Wait until a record is there, or journal_wake(). */
void journal_wait(struct journal_reader *r);
void journal_wake(struct journal_reader *r);

#endif
