/*
 * poll: what a loop needs of the system's readiness interface. One backend is one small file; the loop knows only this.
 * Level-triggered unless asked otherwise. One thread: the loop's; before that runs, the one that opened the poller.
 *
 * A backend that `completes` can also do the work itself: it takes POLL_RECEIVE and POLL_ACCEPT in place of POLL_READ, and
 * then reports bytes and accepted sockets.
 */
#ifndef NET_IMPL_POLL_H
#define NET_IMPL_POLL_H

#include <stdbool.h>

#if defined(__FreeBSD__) || defined(__NetBSD__) || defined(__OpenBSD__) || defined(__DragonFly__) || defined(__APPLE__)
#define NET_HAVE_KQUEUE
#endif

enum poll_events {
	POLL_READ = 1,
	POLL_WRITE = 2,
	POLL_HANGUP = 4, /* both directions have ended; reported even if not asked for, where the system can */
	POLL_ERROR = 8,  /* the same for a pending error */
	POLL_EOF = 16,   /* the peer sends no more; reported by edge-triggered backends */
	POLL_EDGE = 32,  /* asked for: report changes only */
	/* Backends that complete: */
	POLL_RECEIVE = 64,  /* asked for: receive bytes and report them */
	POLL_ACCEPT = 128,  /* asked for: accept connections and report them */
	POLL_BYTES = 256,   /* result bytes came (0: the end; negative: -errno); they stay until the next wait() */
	POLL_ACCEPTED = 512, /* result is the new socket, not blocking and close-on-exec; or -errno */
	POLL_QUIET = 1024,  /* asked for alone: report once, when nothing that was asked for is under way any more */
};

struct poll_event {
	void *tag;
	unsigned events;
	int result;
	char *bytes;
};

struct poller;

struct poll_backend {
	const char *name;
	bool forgets_closed; /* closing a descriptor takes it out of the poller */
	bool edge;           /* knows POLL_EDGE */
	bool completes;      /* knows POLL_RECEIVE and POLL_ACCEPT */
	struct poller *(*open)(int *err); /* NULL: *err = -errno */
	void (*close)(struct poller *p);
	/* Watch fd for events, or change what it is watched for. 0 or -errno. */
	int (*add)(struct poller *p, int fd, void *tag, unsigned events);
	int (*change)(struct poller *p, int fd, void *tag, unsigned events);
	void (*remove)(struct poller *p, int fd);
	/* Wait at most timeout_ms (-1: for ever); the number of events, 0 also when interrupted. */
	int (*wait)(struct poller *p, struct poll_event *out, int max, int timeout_ms);
	/* NULL where the backend does not complete. The last call on the loop's thread: nothing is under way any more when it
	 * returns. */
	void (*leave)(struct poller *p);
};

extern const struct poll_backend poll_epoll, poll_uring, poll_kqueue, poll_poll;

/* The backend of an enum net_backend; NULL: this system does not have it. */
const struct poll_backend *poll_choose(int backend);

#endif
