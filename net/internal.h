/* internal: the structs of loops and connections; only files of net/ include it. */
#ifndef NET_INTERNAL_H
#define NET_INTERNAL_H

#include <pthread.h>
#include <stdatomic.h>

#include "net/codec.h"
#include "net/impl/poll.h"
#include "net/impl/send_ring.h"
#include "net/net.h"
#include "net/transport.h"

#define NET_BLOCK (256 * 1024) /* turn memory comes in blocks of this size */
#define ID_LOOP_SHIFT 52 /* of a connection's id */
/* Per turn. More make the sends of a turn, which go together, cheaper, up to about this number; what a turn reads is bounded
 * by turn_cap anyway. */
#define NET_EVENTS 256

enum conn_flag {
	CONN_OPEN = 1 << 0,       /* open() was called; close() will be */
	CONN_CLOSING = 1 << 1,    /* no more input and output; what is queued goes out */
	CONN_DEAD = 1 << 2,       /* in the list of stage 4 */
	CONN_PAUSED = 1 << 3,     /* by the user */
	CONN_WAKE = 1 << 4,       /* in loop.wakes */
	CONN_TOUCHED = 1 << 5,    /* in loop.touched: looked at when the turn ends */
	CONN_WRITES = 1 << 6,     /* in loop.writes */
	CONN_ABOVE = 1 << 7,      /* above the high watermark */
	CONN_HELD = 1 << 8,
	CONN_OWN_VIEW = 1 << 9,   /* the view lies in the connection's own buffer, not in the turn's arena */
	CONN_VIEW = 1 << 10,      /* the view of this turn exists */
	CONN_MORE = 1 << 11,      /* in loop.more: to be read without asking the poller */
	CONN_FIN = 1 << 12,       /* FIN after the output */
	CONN_SHUT = 1 << 13,      /* FIN was sent */
	CONN_HIGH_PAUSE = 1 << 14, /* paused by the high watermark */
	CONN_ARM_READ = 1 << 15,  /* what the poller watches */
	CONN_ARM_WRITE = 1 << 16,
	CONN_WATCHED = 1 << 17,   /* known to the poller */
	CONN_SHARED = 1 << 18,    /* the descriptor was duplicated: closing it does not take it from the poller */
	CONN_DIALLING = 1 << 19,  /* waits for connect() or the transport's handshake */
	CONN_HANDSHAKE = 1 << 20,
	CONN_UNREAD = 1 << 21,    /* edge-triggered: something may be unread although the poller stays silent */
	CONN_EOF_SEEN = 1 << 22,  /* edge-triggered: the end of the stream was announced */
	CONN_SENDING = 1 << 23,   /* in loop.sending */
	CONN_LEAVING = 1 << 24,   /* to be detached as soon as nothing of it is under way */
	CONN_UNSEEN = 1 << 25,    /* bytes came that data() was not called for: it was paused */
	CONN_DATAGRAM = 1 << 26,  /* each piece of output is a datagram */
};

/* A piece of output of this turn, or (copied) one that waits for the socket. */
struct seg {
	struct seg *next;
	const char *base, *p;
	size_t len;
	void (*release)(void *ctx, const void *buf);
	union {
		void *ctx;
		size_t cap; /* heap segments without release: bytes behind the struct */
	};
};

/* Output that waits for the socket: on the heap, only while there is some. */
struct backlog {
	struct seg *head, *tail;
	size_t bytes, memory;
};

/* Input kept between turns: on the heap, only while there is some. */
struct inbuf {
	size_t cap, off, len;
	struct inbuf *garbage;
	char bytes[];
};

/* What few connections have: timeouts, a transport, a codec. */
struct extra {
	struct net_timer timer;
	struct net_conn *conn;
	int idle_ms;
	int64_t close_due, read_due, write_due; /* 0: none */
	const struct net_transport *transport;
	void *state;
	void (*dialled)(void *ctx, struct net_conn *c, int err);
	void *dial_ctx;
	const struct net_codec *codec;
	void *codec_state;
	size_t codec_seen; /* see net_step.seen */
};

struct peer {
	uint8_t family; /* 0: unknown, ask the socket */
	uint8_t addr[16];
	uint16_t port; /* host order */
};

struct net_conn {
	int fd; /* -1: detached */
	uint32_t flags;
	struct net_loop *loop;
	void *ctx;
	struct inbuf *in;
	char *view; /* input of this turn */
	size_t view_len;
	struct seg *out, *out_tail; /* of this turn */
	size_t out_bytes;
	struct backlog *pend;
	struct extra *extra;
	struct net_conn *next, **prev; /* all of the loop */
	uint32_t slot, generation;
	int32_t reason, tag;
	uint32_t active_ms; /* when bytes last came or went: the low bits of the clock */
	uint32_t expect_kb;
	uint32_t gather_window; /* in which it was read last */
	struct peer peer;
};

struct block {
	struct block *next;
	size_t size;
	_Alignas(16) char bytes[];
};

typedef void *mem_fn(void *p, size_t size);

struct arena {
	struct block *first, *current;
	char *pos, *end;
	unsigned used, peak, turns; /* blocks: in this turn, most lately, turns since that was looked at */
	mem_fn *mem;
};

struct conns {
	struct net_conn **v;
	unsigned n, cap;
	mem_fn *mem;
};

/* A listening address. With reuseport it has one socket per loop, otherwise one, on loop 0. */
struct net_listener {
	struct net_server *server;
	struct net_listener *next;
	int port, tag, nfds;
	bool unix_socket, udp;
	bool adopted; /* the descriptor came from outside, where others may hold it too */
	atomic_uint refs; /* loops that have yet to let go, in net_unlisten() */
	const struct net_transport *transport;
	void *transport_ctx;
	const struct net_codec *codec;
	const void *codec_settings;
	char addr[140];
	char path[108]; /* of a Unix socket, to be removed with the listener; "" none */
	int fds[];
};

struct slab;
struct udp_batch;

/* gather.c: what this window of time has seen, and whether the last one said that gathering pays. */
struct gather {
	bool off; /* the user's word */
	int last_events;
	uint32_t active;        /* connections that make it worth while, at most CONNS_FULL; 0: it does not pay */
	uint32_t window, conns; /* its number, and the connections that were read in it */
	int64_t begin_ns;
	uint64_t busy_ns;
};

void gather_start(struct net_loop *l);
void gather_wait(struct net_loop *l);             /* just before the poller is asked */
void gather_turn(struct net_loop *l, int events); /* just after */

struct net_loop {
	struct net_server *server;
	int index, wakefd, wakefd_write;
	const struct poll_backend *backend;
	struct poller *poller;
	void *ctx;
	pthread_t thread;
	int64_t now_ms, tick_due;
	struct arena in, out, misc;
	struct inbuf *garbage; /* freed when the turn ends */
	struct net_conn *conns;
	struct slab *slabs;
	struct net_conn *spare; /* free structs of the slabs */
	struct net_conn **slots;
	uint32_t nslots, free_slot, *generations;
	struct conns touched, writes, wakes, dead, more, sending;
	struct send_ring *ring, *batch; /* made when first needed; where the sends of now go, NULL: they are made at once */
	bool no_ring;
	struct poll_event events[NET_EVENTS]; /* what the poller said last */
	unsigned nevents, next_event;
	int64_t woke_ns;
	struct gather gather;
	bool again, stopping;
	int64_t stop_deadline;
	size_t turn_read;
	struct net_msg *later, **later_end; /* messages that an inner turn left */
	_Alignas(64) _Atomic(struct net_msg *) inbox;
	atomic_int awake; /* enum awake */
	atomic_size_t posted;
	_Alignas(64) struct net_loop_stats stats;
	atomic_uint conn_count;
	int64_t accept_retry; /* when to accept again after descriptors ran out; 0: accepting */
	struct wheel *wheel;
	struct udp_batch *udp;
	struct net_loop_stats published; /* a copy of stats that other threads may read */
};

enum awake {
	ASLEEP, /* in the poller's wait, or about to look whether it may wait */
	AWAKE,
	POKED, /* awake, and asked for one more turn */
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
	atomic_bool running;
	atomic_uint dials; /* resolver threads under way */
	bool here;
};

/* arena.c: memory of one turn */
void *arena_alloc(struct arena *a, size_t n);
void arena_reset(struct arena *a);
void arena_free(struct arena *a);
bool conns_add(struct conns *l, struct net_conn *c);
bool conns_reserve(struct conns *l, unsigned cap);
void conns_drop(struct conns *l, unsigned n);
void conns_remove(struct conns *l, const struct net_conn *c);

/* conn.c: life of a connection */
struct net_conn *conn_new(struct net_loop *l, int fd, int tag);
void conn_open(struct net_conn *c);
void conn_action(struct net_conn *c, enum net_action a);
void conn_destroy(struct net_conn *c);
void conn_touch(struct net_conn *c);
void conn_detach(struct net_conn *c);
bool conn_completes(const struct net_conn *c); /* the poller receives for it */
void conn_watch(struct net_conn *c); /* tell the poller what is wanted now, if that changed */
void conn_free_all(struct net_loop *l);
void conn_set_peer(struct net_conn *c, const struct sockaddr_storage *peer);
struct extra *conn_extra(struct net_conn *c); /* NULL: no memory */
void conn_handshake(struct net_conn *c);
void conn_close(struct net_conn *c, int reason); /* as net_close(), for another reason */
int conn_set_transport(struct net_conn *c, const struct net_transport *t, void *ctx, const char *host);

/* deadline.c */
void deadline_set(struct net_conn *c);
void deadline_clear(struct net_conn *c);

/* codec.c */
int codec_start(struct net_conn *c);
void codec_finish(struct net_conn *c);
void codec_run(struct net_conn *c);
void codec_resume(struct net_conn *c); /* reading goes on: what is there already may hold messages */
void codec_free(struct extra *x);

/* Bytes are there, or may be: data(), or message() for each. */
static inline void conn_data(struct net_conn *c)
{
	const struct net_events *e = &c->loop->server->ev;
	if (__builtin_expect(c->extra && c->extra->codec, 0))
		codec_run(c);
	else if (e->data)
		conn_action(c, e->data(c));
}

/* input.c, output.c */
void conn_read(struct net_conn *c);
bool conn_takes(const struct net_conn *c); /* whether this turn has room for conn_received() */
void conn_received(struct net_conn *c, char *bytes, int n);
void conn_more(struct net_conn *c);
void conn_end_turn(struct net_conn *c);
void conn_write(struct net_conn *c);
void conn_drop_output(struct net_conn *c);
void conn_flush_now(struct net_conn *c);
void conn_wants_write(struct net_conn *c);
void conn_submit(struct net_loop *l);

/* accept.c, balance.c */
void accept_watch(struct net_loop *l, struct net_listener *li);
void accept_unwatch(struct net_loop *l, struct net_listener *li);
void accept_ready(struct net_loop *l, struct net_listener *li);
void accept_done(struct net_loop *l, struct net_listener *li, int fd);
void accept_retry(struct net_loop *l);
void accept_take(struct net_loop *l, struct net_msg *m); /* the message that hands a connection over */
int accept_fd(const struct net_loop *l, const struct net_listener *li);
void accept_set_options(const struct net_server *s, int fd);
struct net_loop *balance_choose(struct net_server *s, const struct sockaddr_storage *peer);

/* addr.c */
struct addr {
	int family; /* AF_UNSPEC: either */
	char host[256];
	char port[16];
	char path[108]; /* Unix; abstract names begin with '@' */
	bool unix_socket, reuseport, udp;
	long mode; /* -1: as umask says */
	int tag;
};
struct addrinfo;
int addr_parse(const char *url, struct addr *a);
int addr_resolve(const struct addr *a, bool passive, struct addrinfo **out);
socklen_t addr_unix(const struct addr *a, struct sockaddr_storage *out);
int addr_listen(const char *url, struct net_server *s, struct net_listener **out);
int addr_adopt(int take_fd, int tag, struct net_server *s, struct net_listener **out);
/* Open a listening socket: the descriptor, or -errno. */
int addr_open(const struct addr *a, int backlog);
int addr_port(int fd); /* the bound port in host order, 0 if it has none, or -errno */
int addr_format(const struct sockaddr_storage *a, char *buf, size_t size);

/* dial.c */
void dial_ready(struct net_conn *c);

/* udp.c */
void udp_ready(struct net_loop *l, struct net_listener *li);
void udp_flush(struct net_loop *l);
void udp_free(struct net_loop *l);
extern const struct net_transport udp_transport; /* of dialled sockets; its context is the server */

/* mailbox.c */
void mailbox_run(struct net_loop *l);
/* Only messages with this function; the others keep their order until mailbox_run(). */
void mailbox_run_only(struct net_loop *l, void (*run)(struct net_loop *l, struct net_msg *m));
/* A copy of the bytes goes to a connection's loop, which gives it to write(); type is for that. As net_send(). */
typedef int mailbox_write(struct net_conn *c, const void *buf, size_t len, int type);
int mailbox_send(struct net_server *s, net_conn_id id, mailbox_write *write, const void *buf, size_t len, int type,
                 void (*done)(void *ctx, int err), void *ctx);

/* timer.c */
struct wheel *wheel_new(int64_t now_ms);
void wheel_free(struct wheel *w);
void wheel_set(struct wheel *w, struct net_timer *t, int64_t now_ms, int64_t delay_ms);
void wheel_clear(struct wheel *w, struct net_timer *t);
void wheel_run(struct wheel *w, struct net_loop *l, int64_t now_ms); /* l is handed to what fires */
int64_t wheel_next(const struct wheel *w); /* a lower bound of the next due time; INT64_MAX none */

/* loop.c */
void *loop_main(void *arg);
int loop_init(struct net_loop *l, struct net_server *s, int index);
void loop_clear(struct net_loop *l);
int64_t loop_clock_ms(void);
int wakefd_open(int *read_end, int *write_end); /* the same descriptor twice, where the system can */
void wakefd_ring(int write_end);
void wakefd_close(int read_end, int write_end); /* -1: not open */
void loop_forget(struct net_loop *l, const void *tag);

#endif
