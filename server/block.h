/*
 * block: clients that wait for a key (BLPOP, XREAD BLOCK, ...) or for a time (WAIT).
 *
 * A handler that finds nothing calls block_on_keys(). Its client then waits, and the command is run again, from a record
 * of its own and by the writer's loop, when one of its keys is touched: after the writer's command (a whole EXEC), still
 * under its locks, the waiters of each touched key strictly in the order in which they came. The finished reply goes to
 * the waiter's loop by its mailbox.
 *
 * Each shard has a map from key to the waiters of the key, changed only under the shard's lock. Whoever serves a waiter
 * claims it first by compare-and-swap (waiting -> claimed); its end by timeout, CLIENT UNBLOCK or close is
 * waiting -> cancelled. As a waiter is served as soon as a key of its has something, the keys that a server holds no lock
 * of are known to have nothing for it: block_holds() tells a handler to leave them out. A key that a waiter writes to
 * (BLMOVE) must be locked: dispatch asks block_look() before a command's first effect which further keys that takes.
 *
 * Ownership: a record belongs to its client's loop, which frees it; others reach it through the maps.
 */
#ifndef SERVER_BLOCK_H
#define SERVER_BLOCK_H

#include <stdatomic.h>

#include "server/call.h"

struct acl_user;
struct client;
struct waiter;
struct worker;

enum block_kind { BLOCK_LIST, BLOCK_ZSET, BLOCK_STREAM, BLOCK_TIME, BLOCK_LOG };

struct block_spec {
	enum block_kind kind;
	unsigned first, n;  /* keys waited for: argv[first] ... */
	unsigned target;    /* index of the key that the command then writes to; 0: none */
	bool if_gone;       /* to be run again also when a key goes or gets another type */
	int64_t timeout_ms; /* 0: none */
	/* The command as it is to be run again ("$" of XREAD made an id), as many arguments as before; NULL: as it came. */
	const struct arg *argv;
	/* The reply when the time is over, for a client whose last write is this one of the journal; NULL: a null array. */
	void (*timed_out)(struct reply *r, uint64_t journaled);
};

/* Before the loops start. 0 or -ENOMEM. */
int block_init(const struct store *s);
void block_free(void);

/* ---- handlers */

/* The client waits: nothing is to be replied. false: it may not (EXEC, script, replay): the handler replies. */
bool block_on_keys(struct call *c, const struct block_spec *spec);
/* Whether the key at argv[i] may be looked at: always, but when a waiter is served by who does not hold all its keys. */
bool block_holds(const struct call *c, unsigned i);
/* A timeout in seconds, of a blocking command. false: the error was written. */
bool block_timeout(struct call *c, unsigned i, int64_t *timeout_ms);
/* A timeout in milliseconds. */
bool block_timeout_ms(struct call *c, unsigned i, int64_t *timeout_ms);

/* Wait until the append-only log has what the client wrote. As block_on_keys(), for BLOCK_LOG; the
 * reply is timed_out()'s. */
bool block_on_log(struct call *c, const struct block_spec *spec);
/* After each wake: whose writes are in the log now. */
void block_after_wait(struct worker *w);

/* ---- dispatch */

/* Keys waited for, over all shards. */
extern atomic_uint block_links;
static inline bool block_waiting(void)
{
	return __builtin_expect(atomic_load_explicit(&block_links, memory_order_relaxed) != 0, 0);
}
/* Serve the waiters of the keys that this command touched. Its locks are held. */
void block_serve(struct call *c);
/* Serve, alone, those who could not be served under a command's locks. Holding no lock. */
void block_serve_late(struct worker *w);

/* Keys to be locked besides those of a command. */
#define BLOCK_MORE 8
struct block_more {
	unsigned n;
	bool alone; /* too many: the command is to run alone */
	uint64_t hash[BLOCK_MORE];
};
bool block_locked(const struct store *s, const struct store_lockset *ls, uint64_t hash);
/* Whether waiters of this key have further keys. Its shard is locked. */
bool block_has_further(const struct store *s, uint64_t hash);
/* Add the keys that the first `limit` waiters of this key need and that are not in ls, whose shards are locked. */
void block_look(const struct store *s, const struct store_lockset *ls, uint64_t hash, unsigned limit,
                struct block_more *more);

/* ---- clients */

/* The client goes. Its own loop. */
void block_leave(struct client *cl);
/* CLIENT UNBLOCK: false: it does not wait. Alone. */
bool block_end(struct client *cl, bool error);
/* Its user has another value now. Alone. */
void block_become(struct client *cl, const struct acl_user *u);
size_t block_memory(const struct client *cl);

struct block_stats {
	unsigned clients, timeouts, keys, keys_if_gone;
};
void block_get_stats(struct block_stats *out); /* any thread */

#endif
