/*
 * proactor: reads and writes are submitted, and their results come in batches: for programs that say what shall happen
 * next instead of being called when something can. The program waits in a loop of its own:
 *
 *     submit reads -> net_proactor_wait() -> look at the results, submit what follows -> net_proactor_wait() ...
 *
 * Nothing is done for a connection that nothing was submitted for: who does not submit a read is not read from, and the
 * kernel slows the peer down. There are no threads behind it: the system calls are made by the thread that waits.
 *
 * Invariants
 *   - Each operation that was accepted (a submission that returned 0) has exactly one result, also when it fails, expires
 *     or its connection is released; only net_proactor_free() ends operations without one.
 *   - Reads of a connection are carried out in the order of their submission, and so are its writes; results of what
 *     carried bytes come in that order too. A write's bytes are never mixed with another's.
 *   - Buffers belong to the library from the submission to the result.
 *   - Waiting needs no memory, except for what the caller lends nothing for (a NULL buffer of net_proactor_read_full(),
 *     the rest of a write from the library's own buffer); accepted connections need some too.
 *
 * Threads: any thread may submit, add, release and wake. One thread at a time may wait: another gets -EBUSY.
 */
#ifndef NET_PROACTOR_H
#define NET_PROACTOR_H

#include "net/net.h"

#ifdef __cplusplus
extern "C" {
#endif

struct net_proactor;

/* Names a connection (or a listening socket) of one proactor. 0 names none; the name of what was released names nothing
 * (it comes again after 2^32 connections of its slot at the earliest). */
typedef uint64_t net_proactor_conn;

enum net_operation {
	NET_OP_READ,      /* what there is, at least a byte */
	NET_OP_READ_FULL, /* the whole buffer */
	NET_OP_WRITE,     /* the whole buffer */
	NET_OP_FINISH,    /* FIN after the writes before it */
	NET_OP_ACCEPT,    /* one connection */
};

struct net_result {
	net_proactor_conn conn;
	enum net_operation what;
	/* 0, or -errno: -ETIMEDOUT the time was over, -ECANCELED the connection was released. */
	int err;
	/* Reads: the peer sends no more; `n` bytes came before that. */
	bool ended;
	void *ctx; /* of the submission */
	/* As submitted. A NULL one of a read is the library's own now, valid until the next wait begins. */
	void *buf;
	size_t size;
	size_t n; /* bytes read or written, also with an error */
	net_proactor_conn accepted;
};

struct net_proactor_options {
	size_t size;              /* sizeof(struct net_proactor_options); set by net_proactor_options_init() */
	enum net_backend backend; /* AUTO, EPOLL, POLL, KQUEUE; URING (whose rings belong to one thread) is taken as AUTO */
	size_t buffer;            /* the library's own, shared by all reads of a batch; at least 64 KiB; 256 KiB */
	bool tcp_nodelay;         /* of accepted connections; true */
	/* Allocator seam; NULL: malloc family. */
	void *(*realloc)(void *p, size_t size); /* size 0 frees; any thread */
};

/* Fill in the defaults. */
void net_proactor_options_init(struct net_proactor_options *o);
/* A proactor; o may be NULL. NULL with *err = -errno. */
struct net_proactor *net_proactor_new(const struct net_proactor_options *o, int *err);
/* Closes everything; operations that are under way have no results. Nobody may be in another call. */
void net_proactor_free(struct net_proactor *p);

/* Take a stream socket, connected or listening; it is made non-blocking. 0, or -errno: then it is still the caller's. */
int net_proactor_add(struct net_proactor *p, int take_fd, net_proactor_conn *conn);
/* Listen on an address (as for net_listen(), without options but `mode`; not udp://). *port, unless NULL, is the bound port
 * or 0. The file of a Unix socket stays when it is released. 0 or -errno. */
int net_proactor_listen(struct net_proactor *p, const char *url, net_proactor_conn *conn, int *port);
/* Its descriptor, for socket options and addresses; -1 when it was released. */
int net_proactor_fd(struct net_proactor *p, net_proactor_conn conn);
/* Close it. What was submitted before and cannot be done at once ends with -ECANCELED. 0, or -EBADF. */
int net_proactor_release(struct net_proactor *p, net_proactor_conn conn);

/*
 * Submissions: 0, -EBADF (released), -EINVAL (size 0, a listening socket or none) or -ENOMEM. timeout_ms < 0: no deadline.
 */

/* Read what there is, at least a byte. A NULL buffer is one of the library's: it costs no memory while nothing comes; a
 * size of 0 then means: as much as is there, at most 64 KiB. */
int net_proactor_read(struct net_proactor *p, net_proactor_conn conn, void *buf, size_t size, int64_t timeout_ms, void *ctx);
/* Read the whole buffer full; NULL as above, but with a size. */
int net_proactor_read_full(struct net_proactor *p, net_proactor_conn conn, void *buf, size_t size, int64_t timeout_ms,
                           void *ctx);
/* Write the whole buffer. The library's own buffer of a read may be written as well, from where it lies: submitted before
 * the next wait begins, it stays valid for the write. If a write expires when a part of it went out, later ones fail with
 * -EPIPE: the peer could not tell where they begin. */
int net_proactor_write(struct net_proactor *p, net_proactor_conn conn, const void *buf, size_t size, int64_t timeout_ms,
                       void *ctx);
/* Send FIN after the writes before it; reading goes on. */
int net_proactor_finish(struct net_proactor *p, net_proactor_conn conn, int64_t timeout_ms, void *ctx);
/* Accept one connection: net_result.accepted. While descriptors are short it stays under way, and others are served. */
int net_proactor_accept(struct net_proactor *p, net_proactor_conn listener, int64_t timeout_ms, void *ctx);

/* Wait for results, at most timeout_ms (< 0: for ever); how many (at most max), 0 when the time is over or
 * net_proactor_wake() was called, or -EBUSY, -EINVAL (max < 1). */
int net_proactor_wait(struct net_proactor *p, struct net_result *out, int max, int64_t timeout_ms);
/* The wait under way, or the next one that finds no result, returns 0. [signal-safe] */
void net_proactor_wake(struct net_proactor *p);

#ifdef __cplusplus
}
#endif
#endif
