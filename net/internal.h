/* internal: the structs of loops and connections; only files of net/ include it. */
#ifndef NET_INTERNAL_H
#define NET_INTERNAL_H

#include <pthread.h>
#include <stdatomic.h>

#include "net/impl/poll.h"
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
	int fd; /* -1: detached */
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

/* A listening address. With reuseport it has one socket per loop, otherwise one, on loop 0. */
struct net_listener {
	struct net_server *server;
	struct net_listener *next;
	int port, tag, nfds;
	bool unix_socket, removed;
	char addr[140];
	char path[108]; /* of a Unix socket, to be removed with the listener; "" none */
	int fds[];
};

struct slab;

struct net_loop {
	struct net_server *server;
	int index, wakefd;
	const struct poll_backend *backend;
	struct poller *poller;
	void *ctx;
	pthread_t thread;
	int64_t now_ms, tick_due;
	struct arena in, out, misc;
	struct net_conn *conns;
	struct slab *slabs;
	struct net_conn *spare; /* free structs of the slabs */
	struct net_conn **slots;
	uint32_t nslots, free_slot, *generations;
	struct list touched, writes, wakes, dead;
	int64_t woke_ns;
	bool again, stopping;
	int64_t stop_deadline;
	size_t turn_read;
	_Alignas(64) _Atomic(struct net_msg *) inbox;
	atomic_int awake;
	atomic_size_t posted;
	_Alignas(64) struct net_loop_stats stats;
	atomic_uint conn_count;
	int64_t accept_retry; /* when to accept again after descriptors ran out; 0: accepting */
	int64_t idle_check;
	struct wheel *wheel;
	struct net_loop_stats published; /* a copy of stats that other threads may read */
};

struct net_server {
	struct net_events ev;
	struct net_options o;
	struct net_loop **loops;
	struct net_listener *listeners;
	pthread_mutex_t listeners_lock;
	atomic_int stop_ms; /* -1: running; else the deadline of the stop */
	atomic_uint next_loop;
	atomic_ullong random;
	bool here, running;
};

/* arena.c: memory of one turn */
void *arena_alloc(struct arena *a, size_t n);
void arena_reset(struct arena *a);
void arena_free(struct arena *a);
bool list_add(struct list *l, struct net_conn *c);

/* conn.c: life of a connection */
struct net_conn *conn_new(struct net_loop *l, int fd, int tag);
void conn_action(struct net_conn *c, enum net_action a);
void conn_destroy(struct net_conn *c);
void conn_arm(struct net_conn *c, bool add);
void conn_free_all(struct net_loop *l);

/* input.c, output.c */
void conn_read(struct net_conn *c);
void conn_end_turn(struct net_conn *c);
void conn_write(struct net_conn *c);
void conn_drop_output(struct net_conn *c);

/* accept.c, balance.c */
void accept_watch(struct net_loop *l, struct net_listener *li);
void accept_unwatch(struct net_loop *l, struct net_listener *li);
void accept_ready(struct net_loop *l, struct net_listener *li);
void accept_retry(struct net_loop *l);
struct net_loop *balance_choose(struct net_server *s, const struct sockaddr_storage *peer);

/* addr.c */
int addr_listen(const char *url, struct net_server *s, struct net_listener **out);
int addr_adopt(int take_fd, int tag, struct net_server *s, struct net_listener **out);
int addr_format(const struct sockaddr_storage *a, char *buf, size_t size);

/* mailbox.c */
void mailbox_run(struct net_loop *l);

/* timer.c */
struct wheel *wheel_new(int64_t now_ms);
void wheel_free(struct wheel *w);
void wheel_run(struct net_loop *l);
int64_t wheel_next(const struct wheel *w); /* a lower bound of the next due time; INT64_MAX none */

/* loop.c */
void *loop_main(void *arg);
int loop_init(struct net_loop *l, struct net_server *s, int index);
void loop_clear(struct net_loop *l);
int64_t net_clock_ms(void);

#endif
