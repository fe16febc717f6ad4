/*
 * journal: every effect in one total order. A record is all effects of one command, EXEC or script: its sequence number,
 * database and a payload of RESP commands. Appended once, while the shard locks are held, so that the order agrees with
 * every key's order.
 *
 * Many producers claim a sequence number and publish its descriptor; descriptors live in blocks that are added while
 * readers are behind, payloads in counted segments until every subscriber has let them go. Append never waits and makes
 * no system call: room is made sure of before the command takes its locks (journal_admit), sleeping readers are woken
 * once the locks are free (journal_commit). Subscribers are threads of their own, or read on demand (the memory
 * subscriber). Without a subscriber an append costs one branch.
 *
 * When memory is out: a reserve of blocks and segments, refilled by journal_admit(), is used first. A record that still
 * finds no room is lost: readers get everything before it and nothing after it, and journal_lost() names it. What is on
 * disk or on a replica is then a true prefix, and the subscriber must begin anew from a snapshot (unsubscribe all,
 * subscribe). Nothing aborts, no producer waits.
 *
 * Threads: append, admit, commit, active, tail, lost: any. Subscribe and unsubscribe: alone (no other thread is within a
 * journal call). A reader's functions: its one thread; journal_wake(): any.
 */
#ifndef SERVER_JOURNAL_JOURNAL_H
#define SERVER_JOURNAL_JOURNAL_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct journal;

struct journal_record {
	uint64_t sequence; /* from 1, without gaps */
	unsigned db;
	unsigned commands; /* more than one: to be applied as one unit; 0: a marker of the log without payload, to be skipped */
	const char *payload; /* RESP arrays, one after the other */
	size_t len;
};

/* NULL: out of memory. capacity: descriptors at which admission ends, a power of two. */
struct journal *journal_new(size_t capacity);
/* All readers must have been unsubscribed. */
void journal_free(struct journal *j);
/* Bytes held in segments at which admission ends; 256 MiB, at least 64 MiB. */
void journal_set_high_bytes(struct journal *j, size_t bytes);
/* room(ctx) runs, on the thread of a reader, when there is room again after journal_admit() said no. Set it alone. */
void journal_set_room(struct journal *j, void (*room)(void *ctx), void *ctx);
/* Tests: where segments and blocks come from (aligned_alloc and free); both NULL: the default. */
void journal_set_allocator(void *(*alloc)(size_t align, size_t n), void (*release)(void *p));

/* Whether anybody subscribes: the one branch. Relaxed read, changes only alone. */
struct journal_front { /* what every command looks at: the journal's first field */
	_Atomic int state; /* enum journal_state */
};
enum journal_state { JOURNAL_IDLE, JOURNAL_ACTIVE, JOURNAL_BROKEN };
static inline int journal_state(const struct journal *j)
{
	return atomic_load_explicit(&((const struct journal_front *)(const void *)j)->state, memory_order_relaxed);
}
static inline bool journal_active(const struct journal *j)
{
	return journal_state(j) != JOURNAL_IDLE;
}
/* true if there is room below the high watermark; else the caller is to park its command before taking locks. */
bool journal_admit_active(struct journal *j);
static inline bool journal_admit(struct journal *j)
{
	return __builtin_expect(journal_state(j) != JOURNAL_ACTIVE, 1) || journal_admit_active(j);
}
/* Claim a place in the order, copy the payload, publish. Returns the sequence; 0 when nobody subscribes. payload NULL:
 * the effects could not be gathered for want of memory; the record counts as lost. [shard locks held] */
uint64_t journal_append(struct journal *j, unsigned db, unsigned commands, const void *payload, size_t len);
/* Wake readers that sleep. Once per turn, after its appends, without locks. A forgotten call delays readers by 100 ms. */
void journal_commit(struct journal *j);
/* The last sequence claimed: at or after every effect that the caller can have seen. */
uint64_t journal_tail(const struct journal *j);
/* The first sequence that was lost, 0 if none. */
uint64_t journal_lost(const struct journal *j);
/* Bytes of memory held by blocks and segments. */
size_t journal_memory(const struct journal *j);

/* A subscriber reads every record appended after its subscription, in order. NULL: out of memory. [alone] */
struct journal_reader;
struct journal_reader *journal_subscribe(struct journal *j);
void journal_unsubscribe(struct journal_reader *r);
/* The next published record, or false. Payload stays valid until it is released. */
bool journal_next(struct journal_reader *r, struct journal_record *out);
/* Read again what was read and not released. */
void journal_rewind(struct journal_reader *r);
/* Everything up to and including sequence, which must have been read, may be freed. */
void journal_release(struct journal_reader *r, uint64_t sequence);
/* Wait until a record is there, or journal_wake(), or a while: go back to journal_next() in any case. */
void journal_wait(struct journal_reader *r);
/* Wait until sequence has been claimed, or journal_wake(), or so long: whoever gathers is woken once, not for each turn. For
 * one reader at a time. */
void journal_wait_for(struct journal_reader *r, uint64_t sequence, int64_t limit_us);
void journal_wake(struct journal_reader *r);

#endif
