/*
 * txn: MULTI's queue and WATCH.
 *
 * A client's queue holds copies of its commands until EXEC runs them as one unit: all their keys and the watched ones
 * are locked together, or, where one of them needs it, everything runs alone. A watch is linked into a map of its key's
 * shard, changed only under that shard's lock, and refers to a record of its client's, never to the client: whoever
 * changes the key marks the record.
 *
 * Ownership: queue, watches and record belong to the client and are used by its loop, but for the maps' links and the
 * record's mark, see above.
 */
#ifndef SERVER_TXN_H
#define SERVER_TXN_H

#include "server/call.h"
#include "server/client.h"

/* Before the loops start: the maps, and WATCH as a feed of touch.h. 0 or -ENOMEM. */
int txn_init(const struct store *s);
void txn_free(void);

/* MULTI was sent: whether this command is to be queued instead of run. */
static inline bool txn_queues(const struct client *cl, const struct command *cmd)
{
	return (cl->flags & CLIENT_MULTI) && !(cmd->flags & CMD_RUNS_IN_MULTI);
}
/* Queue a copy and answer QUEUED; -ENOMEM: the transaction is spoilt. */
void txn_queue(struct call *c);
/* A command was refused while MULTI is on: EXEC will abort. */
void txn_spoil(struct client *cl);
/* Flags of all queued commands together. */
uint32_t txn_flags(const struct client *cl);
/* Commands queued, -1 without MULTI; bytes they take; keys watched. */
int txn_queued(const struct client *cl);
size_t txn_memory(const struct client *cl);
unsigned txn_watches(const struct client *cl);

/* Drop queue and watches: DISCARD, RESET, end of the client. Its loop, holding no shard lock, or alone. Within a restricted
 * turn watches stay. */
void txn_discard(struct client *cl);

/* The handlers' parts: see commands/transaction.c. */
void txn_begin(struct call *c);
void txn_watch(struct call *c);
void txn_unwatch(struct client *cl);
enum exec_class txn_plan(struct call *c, struct store_lockset *locks);
void txn_exec(struct call *c);
/* Whether the command is EXEC, which does what its queue does. */
static inline bool txn_is_exec(const struct command *cmd)
{
	return cmd->run == txn_exec;
}
/* The keys of all queued commands. */
void txn_each_key(const struct call *c, void (*fn)(void *ctx, uint64_t hash), void *ctx);

#endif
