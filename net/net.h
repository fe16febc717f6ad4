/*
 * net: event loops, listeners and connections.
 *
 * A server owns a fixed number of loops; each loop is one thread with its own poller and owns the connections given to
 * it for their whole life. Bytes flow one way through a turn of a loop:
 *
 *     before_wait -> wait -> after_wait -> mailbox, timers
 *       -> read every ready connection, data() for each      (stage 1)
 *       -> before_write() once                               (stage 2: where a server may do the work it gathered)
 *       -> flush() for each connection with output, write    (stage 3)
 *       -> close() for each connection marked for closing    (stage 4)
 *
 * Invariants
 *   - A callback about a connection runs on its loop's thread, and never inside another callback of that connection.
 *   - A connection is freed only in stage 4; until close() has returned its pointer is valid on its loop. From other
 *     threads only net_conn_id values may be used; a value comes again after 2^32 connections of its slot at the earliest.
 *   - An idle connection holds no buffers.
 *   - The library never logs, exits or reads configuration; errors are 0 or -errno, events go to callbacks.
 *
 * Ownership: the caller keeps what it passes unless a function says `take`. Strings and option structs are copied.
 * Threads: each function names who may call: [any] any thread, [loop] only the thread of the loop concerned,
 * [owner] the thread that created the server.
 */
#ifndef NET_NET_H
#define NET_NET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/types.h>
#include <sys/uio.h>

#ifdef __cplusplus
extern "C" {
#endif

struct net_server;
struct net_loop;
struct net_conn;
struct net_listener;
struct net_message;

/* Names one connection for ever: loop index in the upper 12 bits, slot and generation below. 0 names none. */
typedef uint64_t net_conn_id;

/* What a callback asks for when it returns. */
enum net_action {
	NET_NONE,     /* go on */
	NET_CLOSE,    /* flush what is queued, then close */
	NET_SHUTDOWN, /* stop the whole server gracefully */
	NET_DETACH,   /* give the descriptor to detach(), without closing it */
};

/* Why close() is called. Positive values are errno of the failing call. */
enum net_reason {
	NET_BY_PEER = 0,      /* orderly end of stream */
	NET_BY_US = -1,       /* net_close() or NET_CLOSE */
	NET_BY_STOP = -2,     /* the server stops */
	NET_BY_TIMEOUT = -3,  /* idle timeout or deadline */
	NET_BY_OVERFLOW = -4, /* hard output limit */
};

/* A datagram; valid during the callback. `truncated`: it was longer than 64 KiB less its headers. */
struct net_packet {
	struct net_listener *listener;
	const struct sockaddr *peer;
	socklen_t peer_len;
	const char *bytes;
	size_t len;
	int tag;
};

/*
 * Callbacks; any may be NULL. `user` is net_options.user, read with net_server_user().
 */
struct net_events {
	/* Server is about to start its loops [owner]; and after its last connection closed and all loops ended [owner]. */
	enum net_action (*boot)(struct net_server *s);
	void (*shutdown)(struct net_server *s);
	/* First and last thing on a loop's thread. */
	void (*loop_start)(struct net_loop *l);
	void (*loop_stop)(struct net_loop *l);
	/* A connection was accepted or dialled; it may be written to (a greeting) or closed. */
	enum net_action (*open)(struct net_conn *c);
	/* Bytes are there: see net_peek(). Also called after net_wake() without new bytes. */
	enum net_action (*data)(struct net_conn *c);
	/* Once per turn in which anything happened, after all data() of the turn. */
	void (*before_write)(struct net_loop *l);
	/* Once per turn and connection that has output, just before it is written. */
	enum net_action (*flush)(struct net_conn *c);
	/* Buffered output crossed the high (above true) or low watermark. */
	void (*watermark)(struct net_conn *c, bool above);
	/* The last callback of a connection; reason as enum net_reason or errno. */
	void (*close)(struct net_conn *c, int reason);
	/* NET_DETACH: fd and unread bytes go to the receiver (fd is taken, bytes are borrowed). */
	void (*detach)(struct net_conn *c, int fd, const void *unread, size_t len);
	/* A datagram came in on a udp:// address. Answer with net_send_to(). */
	void (*packet)(struct net_loop *l, const struct net_packet *p);
	/* Runs at once on every loop when it starts, then after the delay it returned (ms; < 0 never again). */
	int64_t (*tick)(struct net_loop *l);
	/* Around the poller's wait. before_wait gets the planned timeout in ms (-1 none) and may shorten it. */
	int (*before_wait)(struct net_loop *l, int timeout_ms);
	void (*after_wait)(struct net_loop *l);
	/* A library event worth a log line (level: 0 debug, 1 notice, 2 warning). Any thread. */
	void (*log)(struct net_server *s, int level, const char *text);
	/* A message came on a connection that carries a codec (codec.h); such a connection has no data() calls. */
	enum net_action (*message)(struct net_conn *c, const struct net_message *m);
	/* What came is malformed or too long. The connection closes with reason err; an answer that is written here still goes
	 * out. */
	void (*refuse)(struct net_conn *c, int err, const char *text);
};

enum net_balance {
	NET_ROUND_ROBIN,
	NET_LEAST_CONNECTIONS,
	NET_RANDOM,
	NET_SOURCE_HASH, /* by peer address without the port */
};

enum net_backend {
	NET_BACKEND_AUTO, /* the best that works here */
	NET_BACKEND_EPOLL,
	NET_BACKEND_URING,
	NET_BACKEND_KQUEUE,
	NET_BACKEND_POLL,
};

struct net_options {
	size_t size;          /* sizeof(struct net_options); set by net_options_init() */
	void *user;
	int loops;            /* 0: number of cores */
	bool pin;             /* pin loop i to the i-th allowed core */
	enum net_backend backend;
	enum net_balance balance;
	bool reuseport;       /* one listening socket per loop and address; else one acceptor hands out connections */
	int backlog;          /* 511 */
	size_t read_cap;      /* bytes read from one connection per turn; 64 KiB */
	size_t turn_cap;      /* bytes read by one loop per turn; 256 KiB: what is read is still cached when it is written */
	size_t high_water;    /* buffered output at which watermark(true) fires and reading may pause; 1 MiB */
	size_t low_water;     /* 256 KiB */
	bool pause_on_high;   /* stop reading above high_water until low_water; false */
	size_t output_limit;  /* hard limit of buffered output, 0 none: close with NET_BY_OVERFLOW */
	bool tcp_nodelay;     /* true */
	int tcp_keepalive_s;  /* 0 off; else seconds until the first probe */
	int idle_timeout_ms;  /* 0 none */
	bool edge_triggered;  /* false */
	int close_timeout_ms; /* how long a close may wait for queued output; 5000 */
	int gather_us;        /* longest sleep of a busy loop with many active connections to gather events; 0 never */
	int batch_sends;      /* a turn that writes to so many connections or more sends with one system call (Linux: io_uring,
	                       * where it can be had); 16; 0 never. Not with transports. */
	const char *thread_name; /* loops are named "<name>-<i>"; "loop" */
	/* Allocator seam; NULL: malloc family. */
	void *(*realloc)(void *p, size_t size); /* size 0 frees */
};

/* ---------------------------------------------------------------- server [owner unless said otherwise] */

/* Set every option to what its comment names. */
void net_options_init(struct net_options *o);

/* A server that is not running yet. NULL with *err = -errno. Freed by net_server_free() after net_server_wait(). */
struct net_server *net_server_new(const struct net_events *events, const struct net_options *o, int *err);
/* Close what is open and free the server. */
void net_server_free(struct net_server *s);

/*
 * Add an address: "tcp://host:port", "tcp4://", "tcp6://", "unix:///path", "unix://@abstract", "udp://host:port", with options
 * "?reuseport=true&mode=0700&tag=7". Permissions of a Unix socket are set before it listens. Port 0 binds any free port.
 * tag is handed to connections (net_conn_tag). Before or after start [any]. NULL with *err = -errno.
 */
struct net_listener *net_listen(struct net_server *s, const char *url, int *err);
/* Take an already listening socket. */
struct net_listener *net_listen_fd(struct net_server *s, int take_fd, int tag, int *err);
/* The sockets that systemd passed to this process. pid and fds are the values of LISTEN_PID and LISTEN_FDS in the
 * environment (NULL: not there); unset both afterwards, as children must not take the sockets for theirs. The number of
 * sockets, or -errno; the i-th gets tag first_tag + i. */
int net_listen_systemd(struct net_server *s, const char *pid, const char *fds, int first_tag);
/* Stop accepting on l and free it; its connections live on. [any] */
int net_unlisten(struct net_listener *l);
/* The bound address as "host:port" or path, valid as long as the listener; the port in host order or 0. */
const char *net_listener_addr(const struct net_listener *l);
int net_listener_port(const struct net_listener *l);

/* Start the loops' threads. With `here`, loop 0 runs on the calling thread and the call returns after the stop. */
int net_server_start(struct net_server *s, bool here);
/* Stop accepting, close connections after their queued output, at most deadline_ms; returns at once. [any, signal-safe] */
void net_server_stop(struct net_server *s, int deadline_ms);
/* Wait for all loops to end. */
void net_server_wait(struct net_server *s);

/* The program's own pointer from the options; the number of loops, and the i-th of them, from 0. [any] */
void *net_server_user(const struct net_server *s);
int net_server_loops(const struct net_server *s);
struct net_loop *net_server_loop(struct net_server *s, int i);

/* Replace the keepalive and idle settings for new connections. [any] */
void net_server_set_keepalive(struct net_server *s, int seconds);
void net_server_set_idle_timeout(struct net_server *s, int ms);

/*
 * Connect to an address (as for net_listen(), without options) without blocking: names are resolved on a thread of their
 * own. The connection belongs to the loop l. done() runs on that loop exactly once: with the connection, just before its
 * open(), or with NULL and -errno. transport may be NULL. 0 or -errno [any]; after an error done() is not called.
 *
 * A udp:// address makes a connection with one peer (without transport, nor may it be detached): data() is called for
 * each datagram that is not empty, behind what was not discarded of those before, and each net_write(), net_writev() or
 * the like makes one. What the socket does not take at once is dropped. ECONNREFUSED closes it: nobody is there.
 */
struct net_transport;
struct net_dial {
	const char *url;
	int timeout_ms; /* 0: 10 seconds */
	int tag;
	const struct net_transport *transport;
	void *transport_ctx;
	void (*done)(void *ctx, struct net_conn *c, int err);
	void *ctx;
};

/* Begin to connect. d and its url are copied. */
int net_dial(struct net_loop *l, const struct net_dial *d);
/* Make a connected stream socket a connection of the loop, with open() and ctx. fd is taken on success. 0 or -errno [any] */
int net_attach(struct net_loop *l, int take_fd, int tag, void *ctx);

/* ---------------------------------------------------------------- loops */

/* The server of a loop, and its number there. [any] */
struct net_server *net_loop_server(const struct net_loop *l);
int net_loop_index(const struct net_loop *l);

/* A pointer of the program's own: set it in loop_start(). */
void net_loop_set_ctx(struct net_loop *l, void *ctx); /* [loop] */
void *net_loop_ctx(const struct net_loop *l);         /* [any] */

/* The loop whose thread this is, or NULL. [any] */
struct net_loop *net_loop_current(void);
/* Monotonic milliseconds, refreshed once per turn after the wait. [loop] */
int64_t net_loop_now_ms(const struct net_loop *l);

/*
 * A message to a loop: an intrusive node that the sender provides and the receiver's run() may free. Messages of one
 * sender arrive in order. The wake-up is skipped while the loop is awake. Never blocks, never fails. [any]
 */
struct net_msg {
	struct net_msg *next; /* owned by the library while queued; in run(): what runs right after it, or NULL */
	void (*run)(struct net_loop *l, struct net_msg *m);
	size_t bytes; /* counted in net_loop_posted_bytes() while queued */
};
/* Queue m; it belongs to the library until run() is called, on l's thread. [any] */
void net_post(struct net_loop *l, struct net_msg *m);
/* Bytes of messages queued and not yet run: for back-pressure. [any] */
size_t net_loop_posted_bytes(const struct net_loop *l);
/* Hold back the wake-up system calls of this thread's posts until net_post_release(), in short sections, which nest;
 * net_post_flush() makes those held back so far. [loop] */
void net_post_hold(void);
void net_post_release(void);
void net_post_flush(void);
/* Run now, and not in their turn, those posted messages that have this run(); the others wait on, in their order. [loop] */
void net_loop_run_posted(struct net_loop *l, void (*run)(struct net_loop *l, struct net_msg *m));
/* Wake the loop so that it makes a turn. [any] */
void net_loop_wake(struct net_loop *l);
/* Ask for another turn without waiting in the poller. [loop] */
void net_loop_again(struct net_loop *l);
/* From within a callback that takes long: a turn that accepts, reads and calls data(), calls run() in the place of
 * before_write(), and writes. Messages, timers, ticks and the ends of connections wait for the real turn. All that
 * net_peek() and net_turn_alloc() gave before is void afterwards, and output regions must be closed. 0; -ENOTSUP with a
 * poller that reads by itself. [loop] */
int net_loop_inner_turn(struct net_loop *l, void (*run)(struct net_loop *l));
/* Whether the loop may sleep to gather events (gather_us) from now on, as it does at first: not while its clients wait for
 * something else than the loop. [loop] */
void net_loop_gather(struct net_loop *l, bool on);

/* A timer embedded in the caller's struct (a timing wheel; O(1) to set and clear). [loop] */
struct net_timer {
	struct net_timer *next, **prev; /* library's */
	int64_t due_ms;
	void (*fire)(struct net_loop *l, struct net_timer *t);
};

/* Say what to call once, set or replace (fires after delay_ms at the earliest, once), clear, ask. A timer that is set must
 * not move in memory. */
void net_timer_init(struct net_timer *t, void (*fire)(struct net_loop *, struct net_timer *));
void net_timer_set(struct net_loop *l, struct net_timer *t, int64_t delay_ms);
void net_timer_clear(struct net_loop *l, struct net_timer *t);
bool net_timer_pending(const struct net_timer *t);

/* Memory that lives until the end of the turn. Never NULL for n <= 64 KiB short of exhaustion. [loop] */
void *net_turn_alloc(struct net_loop *l, size_t n);

/* Counters of a loop, published once per turn; a consistent enough copy. [any] */
struct net_loop_stats {
	uint64_t turns, events, wakeups, bytes_in, bytes_out, reads, writes, accepted, closed, accept_errors, messages;
	uint64_t busy_ns; /* outside the wait */
	uint64_t connections;
	uint64_t memory; /* bytes held for connections' buffers */
};
void net_loop_get_stats(const struct net_loop *l, struct net_loop_stats *out);

/* ---------------------------------------------------------------- connections [loop unless said otherwise] */

/* The name by which other threads know the connection. */
net_conn_id net_conn_id_of(const struct net_conn *c);
/* The connection on this loop, or NULL when it is gone. */
struct net_conn *net_conn_find(struct net_loop *l, net_conn_id id);
/* The loop that owns the connection, for its whole life. */
struct net_loop *net_conn_loop(const struct net_conn *c);

/* A pointer of the program's own, NULL at first; free what it leads to in close(). */
void net_conn_set_ctx(struct net_conn *c, void *ctx);
void *net_conn_ctx(const struct net_conn *c);

/* The socket, to look at and not to close; and the tag of the listener, of net_dial() or of net_attach(). */
int net_conn_fd(const struct net_conn *c);
int net_conn_tag(const struct net_conn *c);
/* "host:port", "[v6]:port" or "path:0"; written to buf, returns the length. */
int net_conn_peer(const struct net_conn *c, char *buf, size_t size);
int net_conn_local(const struct net_conn *c, char *buf, size_t size);
/* Connections of one loop, newest first: NULL starts. */
struct net_conn *net_conn_next(struct net_loop *l, struct net_conn *after);

/* Reading. All unread bytes as one contiguous view, valid until the end of the turn, whatever is discarded. What is not
 * discarded is kept for the next turn. */
const char *net_peek(struct net_conn *c, size_t *len);
/* The first n unread bytes are dealt with. */
void net_discard(struct net_conn *c, size_t n);
/* Copy at most size unread bytes out and discard them; how many. */
size_t net_read(struct net_conn *c, void *buf, size_t size);
/* Tell that at least n more unread bytes are expected, to size the buffer as they arrive. A hint. */
void net_expect(struct net_conn *c, size_t n);
/* Leave what comes in to the kernel, so that the peer has to wait; and go on. data() is called at once for what was read
 * before. */
void net_pause_read(struct net_conn *c);
void net_resume_read(struct net_conn *c);
/* Have data() called in this or the next turn even if nothing arrives. */
void net_wake(struct net_conn *c);
/* Bytes of memory the connection holds for unread input. */
size_t net_in_capacity(const struct net_conn *c);

/*
 * Writing. Output is gathered and written in stage 3. The fast way: net_out_begin() gives room for at least `least`
 * bytes in *cur..*end; write there; net_out_end() says how far. Between the two no other output function of any
 * connection of the loop may be called. net_out_begin() returns -ENOMEM, or -EPIPE once the connection is closing.
 */
int net_out_begin(struct net_conn *c, size_t least, char **cur, char **end);
void net_out_end(struct net_conn *c, char *cur);
/* Queue a copy of the bytes. 0, -ENOMEM, or -EPIPE once the connection is closing. */
int net_write(struct net_conn *c, const void *buf, size_t len);
int net_writev(struct net_conn *c, const struct iovec *iov, int n);
/* Queue bytes by reference; release(ctx, buf) is called exactly once when they are sent or dropped, also on error. */
int net_write_ref(struct net_conn *c, const void *buf, size_t len, void (*release)(void *ctx, const void *buf), void *ctx);
/* Queue bytes that stay unchanged until the end of this turn without copying them: what net_peek() (of any connection) or
 * net_turn_alloc() gave. */
int net_write_view(struct net_conn *c, const void *buf, size_t len);
/* Write what is queued now instead of in stage 3. 0, or -errno. */
int net_flush(struct net_conn *c);
/* The same for every connection of the loop that has output: in the middle of a long turn. Not between net_out_begin()
 * and net_out_end(). */
void net_loop_flush(struct net_loop *l);
/* Queued, unsent bytes, and the bytes of memory that holds them. */
size_t net_out_pending(const struct net_conn *c);
size_t net_out_memory(const struct net_conn *c);
/* Hold output back (nothing is written) until released; counts as pending. */
void net_hold_output(struct net_conn *c, bool hold);

/* Close after queued output is sent (at most close_timeout_ms); reading stops at once. Idempotent. */
void net_close(struct net_conn *c);
/* Close in stage 4 of this turn, dropping queued output. */
void net_close_now(struct net_conn *c, int reason);
/* Whether one of the two was called, or the peer's end or an error was met. */
bool net_is_closing(const struct net_conn *c);
/* Send FIN after the queued output; reading goes on. */
int net_shutdown_write(struct net_conn *c);
/* Close with NET_BY_TIMEOUT when nothing came or went for so long; 0 never. In place of net_options.idle_timeout_ms. */
void net_set_idle_timeout(struct net_conn *c, int ms);
/* Close with NET_BY_TIMEOUT when the time is over: the read deadline whatever arrived, the write deadline if output is
 * still pending then. A negative delay clears it. 0 or -ENOMEM. */
int net_set_read_deadline(struct net_conn *c, int64_t delay_ms);
int net_set_write_deadline(struct net_conn *c, int64_t delay_ms);
/* A second descriptor of the connection's socket, close-on-exec; the caller owns it. Or -errno. */
int net_conn_dup(struct net_conn *c);
/* Socket options: SO_LINGER (seconds, < 0 off), TCP_NODELAY, buffer sizes (0: unchanged), SO_BINDTODEVICE, and keepalive
 * probes: after how many seconds (0 off), how far apart, how many. 0 or -errno. */
int net_set_linger(struct net_conn *c, int seconds);
int net_set_nodelay(struct net_conn *c, bool on);
int net_set_buffers(struct net_conn *c, int receive, int send);
int net_bind_device(struct net_conn *c, const char *interface);
int net_set_keepalive(struct net_conn *c, int idle_s, int interval_s, int count);

/* From other threads: copied, sent if the connection still lives, in order per sender. 0 or -ENOMEM. [any] */
int net_send(struct net_server *s, net_conn_id id, const void *buf, size_t len,
             void (*done)(void *ctx, int err), void *ctx);
/* As net_close(), from other threads. 0 or -ENOMEM. [any] */
int net_close_id(struct net_server *s, net_conn_id id);

/* ---------------------------------------------------------------- datagrams [loop] */

/* Queue a datagram on the listener's socket; sent at the end of the turn, many with one system call. Copied. */
int net_send_to(struct net_loop *l, struct net_listener *li, const void *buf, size_t len, const struct sockaddr *to,
                socklen_t to_len);
/* Join or leave a multicast group ("239.1.2.3", "ff02::1") on an interface ("" any). [any] */
int net_multicast(struct net_listener *li, const char *group, const char *interface, bool join);

#ifdef __cplusplus
}
#endif
#endif
