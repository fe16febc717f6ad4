/* poll_epoll: Linux's epoll behind the poller interface. */
#include <errno.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "net/impl/poll.h"

#define EVENTS_PER_WAIT 512

struct poller {
	int fd;
	struct epoll_event events[EVENTS_PER_WAIT];
};

static struct poller *open_epoll(int *err)
{
	struct poller *p = malloc(sizeof *p);
	*err = -ENOMEM;
	if (!p)
		return NULL;
	p->fd = epoll_create1(EPOLL_CLOEXEC);
	if (p->fd >= 0)
		return p;
	*err = -errno;
	free(p);
	return NULL;
}

static void close_epoll(struct poller *p)
{
	close(p->fd);
	free(p);
}

static int control(struct poller *p, int what, int fd, void *tag, unsigned events)
{
	struct epoll_event ev = { .data.ptr = tag };
	ev.events = (events & POLL_READ ? EPOLLIN : 0) | (events & POLL_WRITE ? EPOLLOUT : 0) |
	            (events & POLL_EDGE ? EPOLLET | EPOLLRDHUP : 0);
	return epoll_ctl(p->fd, what, fd, &ev) ? -errno : 0;
}

static int add(struct poller *p, int fd, void *tag, unsigned events)
{
	return control(p, EPOLL_CTL_ADD, fd, tag, events);
}

static int change(struct poller *p, int fd, void *tag, unsigned events)
{
	return control(p, EPOLL_CTL_MOD, fd, tag, events);
}

static void remove_fd(struct poller *p, int fd)
{
	epoll_ctl(p->fd, EPOLL_CTL_DEL, fd, NULL);
}

static int wait_events(struct poller *p, struct poll_event *out, int max, int timeout_ms)
{
	int n = epoll_wait(p->fd, p->events, max < EVENTS_PER_WAIT ? max : EVENTS_PER_WAIT, timeout_ms);
	for (int i = 0; i < n; i++) {
		unsigned e = p->events[i].events;
		out[i].tag = p->events[i].data.ptr;
		out[i].events = (e & EPOLLIN ? POLL_READ : 0) | (e & EPOLLOUT ? POLL_WRITE : 0) |
		                (e & EPOLLHUP ? POLL_HANGUP : 0) | (e & EPOLLERR ? POLL_ERROR : 0) |
		                (e & EPOLLRDHUP ? POLL_EOF : 0);
	}
	return n < 0 ? 0 : n;
}

const struct poll_backend poll_epoll = {
	.name = "epoll", .forgets_closed = true, .edge = true,
	.open = open_epoll, .close = close_epoll,
	.add = add, .change = change, .remove = remove_fd, .wait = wait_events,
};
