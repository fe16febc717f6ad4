/*
 * poll_kqueue: kqueue of the BSDs and macOS behind the poller interface. A descriptor has up to two filters; what is not
 * wanted is deleted, so a connection that waits for nothing learns of its end when it is read or written again.
 */
#include "net/impl/poll.h"

#ifdef NET_HAVE_KQUEUE
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/types.h>
#include <sys/event.h>
#include <sys/time.h>
#include <unistd.h>

#define EVENTS_PER_WAIT 512

struct poller {
	int fd;
	struct kevent events[EVENTS_PER_WAIT];
};

static struct poller *open_kqueue(int *err)
{
	struct poller *p = malloc(sizeof *p);
	*err = -ENOMEM;
	if (!p)
		return NULL;
	p->fd = kqueue();
	if (p->fd >= 0) {
		fcntl(p->fd, F_SETFD, FD_CLOEXEC);
		return p;
	}
	*err = -errno;
	free(p);
	return NULL;
}

static void close_kqueue(struct poller *p)
{
	close(p->fd);
	free(p);
}

/* Both filters with one call; EV_RECEIPT has the result of each come back in its place. */
static int change(struct poller *p, int fd, void *tag, unsigned events)
{
	struct kevent k[2];
	unsigned how = EV_ADD | (events & POLL_EDGE ? EV_CLEAR : 0);
	EV_SET(&k[0], fd, EVFILT_READ, (events & POLL_READ ? how : EV_DELETE) | EV_RECEIPT, 0, 0, tag);
	EV_SET(&k[1], fd, EVFILT_WRITE, (events & POLL_WRITE ? how : EV_DELETE) | EV_RECEIPT, 0, 0, tag);
	int n = kevent(p->fd, k, 2, k, 2, NULL);
	if (n < 0)
		return -errno;
	for (int i = 0; i < n; i++) {
		bool wanted = events & (k[i].filter == EVFILT_READ ? POLL_READ : POLL_WRITE);
		if (k[i].data && (wanted || k[i].data != ENOENT))
			return -(int)k[i].data;
	}
	return 0;
}

static void remove_fd(struct poller *p, int fd)
{
	change(p, fd, NULL, 0);
}

static unsigned events_of(const struct kevent *k)
{
	if (k->filter == EVFILT_WRITE)
		return POLL_WRITE | (k->flags & EV_EOF ? POLL_ERROR : 0u);
	return POLL_READ | (k->flags & EV_EOF ? POLL_EOF : 0u);
}

static int wait_events(struct poller *p, struct poll_event *out, int max, int timeout_ms)
{
	struct timespec t = { .tv_sec = timeout_ms / 1000, .tv_nsec = (long)(timeout_ms % 1000) * 1000000 };
	int n = kevent(p->fd, NULL, 0, p->events, max < EVENTS_PER_WAIT ? max : EVENTS_PER_WAIT, timeout_ms < 0 ? NULL : &t);
	for (int i = 0; i < n; i++)
		out[i] = (struct poll_event){ .tag = (void *)p->events[i].udata, .events = events_of(&p->events[i]) };
	return n < 0 ? 0 : n;
}

const struct poll_backend poll_kqueue = {
	.name = "kqueue", .forgets_closed = true, .edge = true,
	.open = open_kqueue, .close = close_kqueue,
	.add = change, .change = change, .remove = remove_fd, .wait = wait_events,
};
#endif
