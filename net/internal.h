/* internal: the structs of loops and connections; only files of net/ include it. */
#ifndef NET_INTERNAL_H
#define NET_INTERNAL_H

#include <pthread.h>
#include <stdatomic.h>

#include "net/net.h"

#define NET_BLOCK (256 * 1024) /* turn memory comes in blocks of this size */

enum conn_flag {
	CONN_OPEN = 1, CONN_CLOSING = 2, CONN_DEAD = 4, CONN_PAUSED = 8, CONN_WAKE = 16, CONN_TOUCHED = 32, CONN_WRITES = 64,
	CONN_WANT_OUT = 128, CONN_ABOVE = 256, CONN_HELD = 512, CONN_OWN_VIEW = 1024, CONN_VIEW = 2048, CONN_READY = 4096,
	CONN_FIN = 8192, CONN_MORE = 16384, CONN_SHUT = 32768,
};

/* A piece of output of this turn, or (copied) one that waits for the socket. */
struct seg {
	struct seg *next;
	const char *base, *p;
	size_t len;
	void (*release)(void *ctx, const void *buf);
	void *ctx;
};

struct net_conn {
	int fd;
	uint32_t flags;
	struct net_loop *loop;
	void *ctx;
	char *in; /* kept input: own buffer */
	uint32_t in_len, in_off;
	uint32_t in_cap, expect;
	char *view; /* input of this turn */
	size_t view_len;
	struct seg *out, *out_tail;   /* of this turn */
	struct seg *pend, *pend_tail; /* waits for the socket */
	size_t out_bytes, pend_bytes;
	struct net_conn *next, **prev; /* all of the loop */
	uint32_t slot, generation;
	int32_t reason;
	int32_t idle_ms;
	int64_t active_ms, deadline_ms;
	int tag;
};

struct block {
	struct block *next;
	size_t size;
	char bytes[];
};

struct arena {
	struct block *first, *current;
	char *pos, *end;
};

struct list {
	struct net_conn **v;
	unsigned n, cap;
};

struct net_listener {
	struct net_server *server;
	struct net_listener *next;
	int fd, port, tag;
	bool unix_socket;
	char addr[128];
};

struct net_loop {
	struct net_server *server;
	int index, epfd, wakefd;
	void *ctx;
	pthread_t thread;
	int64_t now_ms, tick_due;
	struct arena in, out, misc;
	struct net_conn *conns;
	struct net_conn **slots;
	uint32_t nslots, free_slot, *generations;
	struct list ready, touched, writes, wakes, dead;
	bool again, stopping;
	int64_t stop_deadline;
	size_t turn_read;
	_Alignas(64) _Atomic(struct net_msg *) inbox;
	atomic_int awake;
	atomic_size_t posted;
	_Alignas(64) struct net_loop_stats stats;
	atomic_uint conn_count;
	int64_t accept_retry;
};

struct net_server {
	struct net_events ev;
	struct net_options o;
	struct net_loop **loops;
	struct net_listener *listeners;
	atomic_int stop_ms;
	atomic_uint rr;
	bool here;
};

void *arena_alloc(struct net_loop *l, struct arena *a, size_t n);
void arena_reset(struct arena *a);
void arena_free(struct arena *a);
bool list_add(struct list *l, struct net_conn *c);

struct net_conn *conn_new(struct net_loop *l, int fd, int tag);
void conn_read(struct net_conn *c);
void conn_write(struct net_conn *c);
void conn_end_turn(struct net_conn *c);
void conn_destroy(struct net_conn *c);
void conn_action(struct net_conn *c, enum net_action a);
void conn_arm(struct net_conn *c, bool add);
void loop_accept(struct net_loop *l, struct net_listener *li);
void *loop_main(void *arg);
int64_t net_clock_ms(void);

#endif
