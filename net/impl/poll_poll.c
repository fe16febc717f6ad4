/* poll_poll: poll(2) behind the poller interface, for systems that have nothing better; and the choice of a backend. */
#include <errno.h>
#include <poll.h>
#include <stdlib.h>

#include "net/impl/poll.h"
#include "net/net.h"

struct poller {
	struct pollfd *fds;
	void **tags;
	int *places; /* by descriptor: index into fds + 1; 0 unknown */
	int n, cap, nplaces;
	int start; /* where the next report begins: nobody starves when more are ready than fit */
};

static struct poller *open_poll(int *err)
{
	struct poller *p = calloc(1, sizeof *p);
	*err = p ? 0 : -ENOMEM;
	return p;
}

static void close_poll(struct poller *p)
{
	free(p->fds);
	free(p->tags);
	free(p->places);
	free(p);
}

static bool grow(struct poller *p, int fd)
{
	if (p->n == p->cap) {
		int cap = p->cap ? p->cap * 2 : 64;
		struct pollfd *fds = realloc(p->fds, (size_t)cap * sizeof *fds);
		p->fds = fds ? fds : p->fds;
		void **tags = fds ? realloc(p->tags, (size_t)cap * sizeof *tags) : NULL;
		if (!tags)
			return false;
		p->tags = tags;
		p->cap = cap;
	}
	if (fd >= p->nplaces) {
		int n = fd + 1 > p->nplaces * 2 ? fd + 64 : p->nplaces * 2;
		int *places = realloc(p->places, (size_t)n * sizeof *places);
		if (!places)
			return false;
		for (int i = p->nplaces; i < n; i++)
			places[i] = 0;
		p->places = places;
		p->nplaces = n;
	}
	return true;
}

static short bits(unsigned events)
{
	return (short)((events & POLL_READ ? POLLIN : 0) | (events & POLL_WRITE ? POLLOUT : 0));
}

static int add(struct poller *p, int fd, void *tag, unsigned events)
{
	if (fd < p->nplaces && p->places[fd])
		return -EEXIST;
	if (!grow(p, fd))
		return -ENOMEM;
	p->fds[p->n] = (struct pollfd){ .fd = fd, .events = bits(events) };
	p->tags[p->n] = tag;
	p->places[fd] = ++p->n;
	return 0;
}

static int change(struct poller *p, int fd, void *tag, unsigned events)
{
	if (fd >= p->nplaces || !p->places[fd])
		return -ENOENT;
	p->fds[p->places[fd] - 1].events = bits(events);
	p->tags[p->places[fd] - 1] = tag;
	return 0;
}

static void remove_fd(struct poller *p, int fd)
{
	if (fd >= p->nplaces || !p->places[fd])
		return;
	int i = p->places[fd] - 1, last = --p->n;
	p->places[fd] = 0;
	if (i != last) {
		p->fds[i] = p->fds[last];
		p->tags[i] = p->tags[last];
		p->places[p->fds[i].fd] = i + 1;
	}
}

static int wait_events(struct poller *p, struct poll_event *out, int max, int timeout_ms)
{
	int ready = poll(p->fds, (nfds_t)p->n, timeout_ms), n = 0;
	if (ready <= 0)
		return 0;
	int start = p->start < p->n ? p->start : 0;
	for (int k = 0; k < p->n && n < max && ready; k++) {
		int i = start + k < p->n ? start + k : start + k - p->n;
		short e = p->fds[i].revents;
		if (!e)
			continue;
		ready--;
		out[n].tag = p->tags[i];
		out[n++].events = (e & POLLIN ? POLL_READ : 0) | (e & POLLOUT ? POLL_WRITE : 0) |
		                  (e & POLLHUP ? POLL_HANGUP : 0) | (e & (POLLERR | POLLNVAL) ? POLL_ERROR : 0);
		p->start = i + 1;
	}
	return n;
}

const struct poll_backend poll_poll = {
	.name = "poll", .open = open_poll, .close = close_poll, .add = add, .change = change, .remove = remove_fd,
	.wait = wait_events,
};

const struct poll_backend *poll_choose(int backend)
{
	switch (backend) {
	case NET_BACKEND_POLL:
		return &poll_poll;
#ifdef NET_HAVE_KQUEUE
	case NET_BACKEND_KQUEUE:
		return &poll_kqueue;
#endif
#ifdef __linux__
	case NET_BACKEND_AUTO:
	case NET_BACKEND_EPOLL:
		return &poll_epoll;
	case NET_BACKEND_URING:
		return &poll_uring;
#elif defined(NET_HAVE_KQUEUE)
	case NET_BACKEND_AUTO:
		return &poll_kqueue;
#else
	case NET_BACKEND_AUTO:
		return &poll_poll;
#endif
	default:
		return NULL;
	}
}
