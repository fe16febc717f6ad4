/*
 * tracking: client-side caching: which keys clients have read, and who is told when they change.
 *
 * Each shard has a map from key to the clients that read it, changed under the shard's lock: a client is noted before its
 * read's lock is released, so no change can slip between. A change takes the key out of the map and posts one note for
 * each client to the client's loop. Broadcasting clients are not in the map: a table of prefixes says which loops want to
 * hear of a key, and the loop finds its clients.
 *
 * Keys are known by name alone, whatever their database. Clients are named by ids, looked up on their own loops.
 * Lock order: shards, then the table of prefixes.
 */
#ifndef SERVER_TRACKING_H
#define SERVER_TRACKING_H

#include "server/call.h"

struct client;

enum tracking_flag {
	TRACKING_BCAST = 1,
	TRACKING_OPTIN = 2,
	TRACKING_OPTOUT = 4,
	TRACKING_NOLOOP = 8,
	TRACKING_CACHING = 16, /* CLIENT CACHING was said: it counts for the next command */
	TRACKING_BROKEN = 32,  /* the client that messages went to has gone */
};

int tracking_init(const struct store *s, unsigned loops);
void tracking_free(void);

/* Switch on, or change. Prefixes (for TRACKING_BCAST) are added to those it has. redirect: a client or NULL. Alone.
 * false: out of memory. */
bool tracking_on(struct client *c, unsigned flags, struct client *redirect, const struct arg *prefixes, size_t n);
/* Switch off; also at the end of a client. Its own loop, or alone. */
void tracking_off(struct client *c);

/* A command of a tracking client ran; its locks are still held. nested: within EXEC or a script. */
void tracking_after(struct call *c, bool nested);

/* What a client changed itself it is told behind the reply of its command, or of its whole EXEC, and what it changed before
 * it switched tracking off or to another mode in the middle of that. */
void tracking_settle(void);

/* What CLIENT TRACKINGINFO tells; 0 if it is off. */
unsigned tracking_flags(const struct client *c);
void tracking_set_caching(struct client *c);
/* -1 off, 0 nobody. */
int64_t tracking_redirect(const struct client *c);
size_t tracking_prefixes(const struct client *c, const struct arg **out);
size_t tracking_memory(const struct client *c);

/* INFO. Any thread. */
struct tracking_stats {
	uint64_t clients, keys, items, prefixes;
};
void tracking_get_stats(struct tracking_stats *out);

#endif
