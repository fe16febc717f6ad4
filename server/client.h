/*
 * client: one user of the server: its session state and its place in the parse queue of its loop.
 *
 * Ownership: a client belongs to its loop, lives from open() to close() of its connection and is freed there alone; any
 * thread may mark it (client_kill) by id. Replayed journals and scripts use clients without a connection.
 * Threads: fields are read and written by the owning loop, or by anyone who runs alone.
 */
#ifndef SERVER_CLIENT_H
#define SERVER_CLIENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "server/resp.h"

struct net_conn;
struct command;
struct acl_user;

enum client_flag {
	CLIENT_AUTHENTICATED = 1 << 0,
	CLIENT_UNIX = 1 << 1,
	CLIENT_CLOSE_ASAP = 1 << 2,       /* no further command; close at once */
	CLIENT_CLOSE_AFTER_REPLY = 1 << 3,
	CLIENT_REPLY_OFF = 1 << 4,
	CLIENT_REPLY_SKIP_NEXT = 1 << 5,
	CLIENT_REPLY_SKIP = 1 << 6,
	CLIENT_NO_EVICT = 1 << 7,
	CLIENT_NO_TOUCH = 1 << 8,
	CLIENT_BLOCKED = 1 << 9,          /* executes nothing until unblocked */
	CLIENT_PAUSED = 1 << 10,          /* waits for CLIENT UNPAUSE */
	CLIENT_MULTI = 1 << 11,
	CLIENT_DIRTY_CAS = 1 << 12,
	CLIENT_DIRTY_EXEC = 1 << 13,
	CLIENT_PUBSUB = 1 << 14,
	CLIENT_MONITOR = 1 << 15,
	CLIENT_TRACKING = 1 << 16,
	CLIENT_REPLICA = 1 << 17,
	CLIENT_PRIMARY = 1 << 18,
	CLIENT_INTERNAL = 1 << 19,        /* has no connection: journal replay, scripts */
	CLIENT_LOCAL = 1 << 20,           /* connected over loopback or a Unix socket */
	CLIENT_YIELDED = 1 << 21,         /* output is full: goes on when it has drained */
	CLIENT_RESTRICTED = 1 << 30,      /* its user may not do everything */
	CLIENT_UNPARSED = 1 << 22,        /* parsing stopped early this turn: more requests may be buffered */
	CLIENT_SYNCING = 1 << 23,         /* its replies wait for the log: hold.h */
	CLIENT_PARKED = 1 << 24,          /* its write waits for room in the journal */
};
/* A client with any of these executes nothing. */
#define CLIENT_HELD                                                                                                   \
	(CLIENT_CLOSE_ASAP | CLIENT_CLOSE_AFTER_REPLY | CLIENT_BLOCKED | CLIENT_PAUSED | CLIENT_YIELDED |             \
	 CLIENT_SYNCING | CLIENT_PARKED)

/* Rare parts, allocated when first needed. */
struct client_extra {
	char *name, *lib_name, *lib_ver;
};

struct client {
	struct net_conn *conn;        /* NULL: CLIENT_INTERNAL */
	uint64_t id;
	uint32_t flags;
	uint8_t resp;
	uint8_t loop;
	uint16_t db;
	const struct command *last_command;
	int64_t created_ms, last_active_ms; /* wall clock */
	struct resp_progress progress;
	uint32_t queued;              /* commands parsed and not yet executed this turn */
	uint32_t argv_bytes;          /* of the command in execution */
	uint64_t commands;
	struct client_extra *extra;
	const struct acl_user *user;  /* a reference; NULL: everything is allowed (replay) */
	struct txn *txn;
	struct waiter *block;
	struct pubsub *pubsub;
	struct tracking *tracking;
	uint64_t journaled;           /* the sequence of its last write */
	uint64_t held_until;          /* CLIENT_SYNCING: the sequence that must be durable */
	int64_t soft_limit_since_ms;  /* 0: below the soft output limit */
};

/* [owning loop] NULL: out of memory. */
struct client *client_new(struct net_conn *conn, unsigned loop, int64_t now_ms);
struct client *client_new_internal(void);
void client_free(struct client *c);
/* Rare part, made if missing; NULL: out of memory. */
struct client_extra *client_extra(struct client *c);
void client_reset(struct client *c); /* RESET: back to a fresh session */

/* Clients of all loops, any order; only alone. NULL starts. */
struct client *client_next(struct client *after);
struct client *client_by_id(uint64_t id); /* alone */
unsigned client_count(void);              /* any thread */
uint64_t client_max_id(void);

/* Mark for closing; takes effect before its next command. Its own loop, or alone. */
void client_kill(struct client *c);

/* CLIENT PAUSE: until is a wall clock in ms; writes: only writes. Alone. */
void client_pause_all(int64_t until_ms, bool writes_only);
void client_unpause_all(void);
/* 0 if not paused. */
int64_t client_paused_until_ms(bool *writes_only);

/* Addresses as CLIENT LIST prints them. */
int client_peer(const struct client *c, char *buf, size_t size);
int client_local(const struct client *c, char *buf, size_t size);
/* The line of CLIENT LIST and INFO (without LF); the length that was needed. Alone, or for the own client. */
int client_describe(const struct client *c, int64_t now_ms, char *buf, size_t size);
/* Memory: input, output, sum as CLIENT LIST's tot-mem. */
size_t client_in_memory(const struct client *c);
size_t client_out_memory(const struct client *c);
size_t client_memory(const struct client *c);

#endif
