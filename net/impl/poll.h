/*
 * poll: what a loop needs of the system's readiness interface. One backend is one small file; the loop knows only this.
 * Level-triggered unless asked otherwise. One thread, but for add() of listeners, which any thread may call.
 */
#ifndef NET_IMPL_POLL_H
#define NET_IMPL_POLL_H

#include <stdbool.h>

enum poll_events {
	POLL_READ = 1,
	POLL_WRITE = 2,
	POLL_HANGUP = 4, /* both directions have ended; reported even if not asked for */
	POLL_ERROR = 8,  /* the same for a pending error */
	POLL_EOF = 16,   /* the peer sends no more; reported by edge-triggered backends */
	POLL_EDGE = 32,  /* asked for: report changes only */
};

struct poll_event {
	void *tag;
	unsigned events;
};

struct poller;

struct poll_backend {
	const char *name;
	bool forgets_closed; /* closing a descriptor takes it out of the poller */
	bool edge;           /* knows POLL_EDGE */
	struct poller *(*open)(int *err); /* NULL: *err = -errno */
	void (*close)(struct poller *p);
	/* Watch fd for events, or change what it is watched for. 0 or -errno. */
	int (*add)(struct poller *p, int fd, void *tag, unsigned events);
	int (*change)(struct poller *p, int fd, void *tag, unsigned events);
	void (*remove)(struct poller *p, int fd);
	/* Wait at most timeout_ms (-1: for ever); the number of events, 0 also when interrupted. */
	int (*wait)(struct poller *p, struct poll_event *out, int max, int timeout_ms);
};

extern const struct poll_backend poll_epoll, poll_poll;

/* The backend of an enum net_backend; NULL: this system does not have it. */
const struct poll_backend *poll_choose(int backend);

#endif
