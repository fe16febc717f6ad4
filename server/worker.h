/*
 * worker: one loop's part of the server: what its turn needs, in one place. Only the loop's own thread uses it, except
 * where a field says otherwise.
 *
 * Bytes flow: turn.c parses and queues, prefetches and runs the queue; dispatch.c checks one command, takes its locks,
 * runs it and journals it.
 */
#ifndef SERVER_WORKER_H
#define SERVER_WORKER_H

#include <stdatomic.h>

#include "net/net.h"
#include "server/call.h"
#include "server/client.h"
#include "server/effects.h"
#include "server/stats.h"


/* One parsed command in the queue of a turn. */
struct turn_item {
	struct client *client;
	struct command *cmd;      /* NULL: unknown, or a protocol error */
	uint32_t first_arg, argc; /* in worker.args */
	size_t used;              /* bytes of input */
	uint8_t error;            /* enum resp_error: delivered in its order */
	char bad;
	struct store_ahead ahead; /* of the word at cmd->first_key, if any */
};

/* Connections that wait for the log, in the order in which they began to: hold.c. */
struct hold_item {
	net_conn_id id;
	uint64_t sequence;
};
struct hold_queue {
	struct hold_item *v; /* a ring, cap a power of two */
	unsigned first, n, cap;
};

struct worker {
	struct net_loop *net;
	unsigned index;
	bool single;             /* there is no other loop */
	int64_t now_ms, mono_ms; /* frozen clocks: worker_refresh_clock() */
	uint64_t ticks;          /* clock_ticks() when the last command ended */
	int64_t sampled_ms;      /* mono_ms of the last slow part of the tick */
	int64_t upkept_ms;       /* and of the upkeep of the shards */
	struct stats_loop *stats;
	struct call call;
	struct reply reply;      /* of the client in execution */
	struct client *writing;  /* whose output region `reply` has open, or NULL */
	bool output_grew;        /* the region was left: look at the output limits after the command */
	struct effects effects;
	bool block_ready, block_late, block_posts; /* block_serve.c: waiters to be served; wake-ups held back */
	/* the queue of this turn */
	struct resp_args args;
	struct turn_item *items;
	unsigned n, cap, at;        /* at: the first that has not begun */
	struct client *running;     /* whose items are being run */
	size_t used;                /* bytes of them that ran and are not dropped yet */
	struct client *executing;   /* whose command is under way */
	char *kept;                 /* bytes of that command's arguments, once inner turns were made: busy.c */
	bool restricted;            /* in an inner turn */
	struct {
		struct resp_args args;
		struct turn_item *items;
		unsigned cap;
	} inner;
	struct {
		atomic_bool waiting; /* others read and clear it */
		struct hold_queue replies, parked;
		unsigned failures;   /* of the log, seen so far */
	} hold;
};

/* The worker of this thread; NULL on other threads. */
extern _Thread_local struct worker *worker_current;
struct worker *worker_of(unsigned loop); /* alone, or its own */
int worker_init(unsigned loops);
void worker_free(void);
void worker_refresh_clock(struct worker *w);
/* Fill a store_op as this worker's commands use it. */
void worker_op(const struct worker *w, unsigned db, struct store_op *op);

/* Keys do not expire while clients are paused: written alone. */
extern bool worker_expiry_paused;

/* Close the output region, so that other output functions of net may be used. */
void worker_end_output(struct worker *w);

/* ---- turn.c: the callbacks of net */
void turn_start(struct worker *w);
enum net_action turn_data(struct net_conn *conn);
void turn_before_write(struct net_loop *loop);
/* busy.c: run the queue of an inner turn; open a client's output region again. */
void turn_restricted(struct net_loop *loop);
void turn_reopen_output(struct worker *w, struct client *c);
/* Let a client whose commands were held back go on: on its own loop, or by anyone who is alone. */
void turn_resume(struct client *c);

/* ---- accept.c: the beginning and end of a client */
enum net_action accept_open(struct net_conn *conn);
void accept_close(struct net_conn *conn, int reason);
void accept_watermark(struct net_conn *conn, bool above);

/* ---- cron.c: what a loop does from time to time; the delay in ms until the next time */
int64_t cron_tick(struct net_loop *loop);

/* ---- dispatch.c */
/* Check and run one command of a client; the reply goes to w->reply. */
enum dispatch_result {
	DISPATCH_DONE, /* its bytes may be dropped */
	DISPATCH_HOLD, /* not executed: the client is paused or blocked now, keep its bytes */
};
enum dispatch_result dispatch_client(struct worker *w, struct client *c, struct turn_item *item);
/* The inner half: run a checked command whose keys are locked (or alone), gather effects. */
void dispatch_run(struct call *c);
/* Run a command within another whose locks cover it (EXEC, scripts): its reply follows the outer one's, its effects join
 * the same unit. */
void dispatch_nested(struct call *outer, const struct command *cmd, const struct arg *argv, unsigned argc);
/* The same on behalf of another client (a script's), with a reply of its own. */
void dispatch_nested_as(struct call *outer, struct client *as, struct reply *reply, const struct command *cmd,
                        const struct arg *argv, unsigned argc);
/* Run c->argv as it was journaled, against c->op.store: with its locks, or as it stands if c->alone. 0; -EINVAL: no such
 * command; -EBADMSG: it answered an error (both in error). */
int dispatch_replay_one(struct call *c, char *error, size_t error_size);
/* Run the command of a client that waited, within another whose locks cover it: its effects are a unit of their own. */
bool dispatch_waiter(struct call *c);
/* Run the commands of a journal record's payload against c->op.store. 0, or -EINVAL with what failed in error. */
int dispatch_replay(struct call *c, const char *payload, size_t len, char *error, size_t error_size);

#endif
