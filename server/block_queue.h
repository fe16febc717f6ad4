/* block_queue: the records behind block.h, for block.c and block_serve.c alone. */
#ifndef SERVER_BLOCK_QUEUE_H
#define SERVER_BLOCK_QUEUE_H

#include "net/net.h"
#include "server/block.h"
#include "server/client.h"

/* A waiter in the queue of one key; changed under the shard's lock. */
struct block_link {
	struct block_link *next, **prev;
	struct block_queue *queue;
	struct waiter *waiter;
	atomic_bool linked; /* read by the waiter's loop without the lock: once false, it stays */
	uint64_t hash;
};

/* Who waits for one key, first come first; all under the shard's lock. */
struct block_queue {
	struct block_queue *next, **prev; /* in the shard's map */
	struct block_link *first, **tail;
	unsigned n, further, if_gone;     /* waiters: all, with further keys, that want to know when the key goes */
	bool ready, late;                 /* in a list of those to be served: not to be freed */
	struct block_queue *next_ready, *next_late;
	unsigned db;
	uint64_t hash;
	size_t len;
	char key[];
};

enum block_state {
	BLOCK_WAITING,
	BLOCK_CLAIMED,   /* its command is being run */
	BLOCK_UNWANTED,  /* the same, and its loop wants it to end */
	BLOCK_DONE,      /* its message is on the way */
	BLOCK_CANCELLED, /* ended by its own loop, or by CLIENT UNBLOCK */
};

enum block_end { BLOCK_TIMEOUT, BLOCK_ERROR, BLOCK_CLOSED };

struct waiter {
	struct net_msg msg; /* first */
	struct net_timer timer;
	atomic_int state;
	enum block_kind kind;
	enum block_end end;
	bool if_gone, quiet, further, has_target;
	bool again;            /* who runs it: it found nothing */
	bool served;           /* reply is its command's */
	struct client *client; /* its loop's; NULL: gone */
	unsigned loop;
	int64_t timeout_ms;
	void (*timed_out)(struct reply *r, uint64_t journaled);
	struct waiter *next_logged; /* of its loop's BLOCK_LOG */
	uint64_t sequence;          /* of the client's last write */
	struct client shadow;  /* stands for the client while the command runs elsewhere */
	const struct command *cmd;
	unsigned argc, n;
	struct arg *argv;
	struct block_link *links;
	uint64_t target_hash;
	size_t bytes;
	struct reply reply;
};

/* The first of the queues among which those of this hash are. */
struct block_queue *block_queues(const struct store *s, uint64_t hash);
struct block_queue *block_queue_find(const struct store *s, unsigned db, const struct store_key *key);
/* Free it if nobody needs it. */
void block_queue_release(struct block_queue *q);
void block_link_remove(struct block_link *l);
/* Calls fn for each queue of a database. Alone. */
void block_each_queue(unsigned db, void (*fn)(void *ctx, struct block_queue *q), void *ctx);
/* It waits no more. */
void block_uncount(const struct waiter *w);
/* Send it home. */
void block_post(struct waiter *w);
/* The feed of touch.h. */
void block_touched(struct call *c, const struct store_key *key, unsigned kinds, unsigned notify_class, const char *event);

#endif
