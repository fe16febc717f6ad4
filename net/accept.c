/*
 * accept: new connections: from a listening socket to the loop that will own them.
 *
 * When descriptors run out, accepting pauses for a moment instead of spinning on a listener that stays readable; clients
 * that have connections go on being served.
 */
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <unistd.h>

#include "net/internal.h"

#define ACCEPTS_PER_TURN 256
#define RETRY_MS 100

struct handover {
	struct net_msg msg;
	int fd, tag;
};

/* The connection was counted when its loop was chosen. */
static void open_conn(struct net_loop *l, int fd, int tag)
{
	struct net_conn *c = l->stopping ? NULL : conn_new(l, fd, tag);
	if (!c) {
		atomic_fetch_sub_explicit(&l->conn_count, 1, memory_order_relaxed);
		close(fd);
		return;
	}
	l->stats.accepted++;
	if (l->server->ev.open && !(c->flags & CONN_DEAD))
		conn_action(c, l->server->ev.open(c));
}

static void take_handover(struct net_loop *l, struct net_msg *m)
{
	struct handover *h = (struct handover *)m;
	open_conn(l, h->fd, h->tag);
	free(h);
}

static void give(struct net_loop *from, struct net_loop *to, int fd, int tag)
{
	atomic_fetch_add_explicit(&to->conn_count, 1, memory_order_relaxed);
	if (to == from) {
		open_conn(to, fd, tag);
		return;
	}
	struct handover *h = malloc(sizeof *h);
	if (!h) {
		atomic_fetch_sub_explicit(&to->conn_count, 1, memory_order_relaxed);
		close(fd);
		return;
	}
	*h = (struct handover){ .msg = { .run = take_handover }, .fd = fd, .tag = tag };
	net_post(to, &h->msg);
}

static void set_options(const struct net_server *s, int fd)
{
	int one = 1, idle = __atomic_load_n(&s->o.tcp_keepalive_s, __ATOMIC_RELAXED);
	if (s->o.tcp_nodelay)
		setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
	if (idle <= 0)
		return;
	int every = idle / 3 ? idle / 3 : 1, count = 3;
	setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &one, sizeof one);
	setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &idle, sizeof idle);
	setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &every, sizeof every);
	setsockopt(fd, IPPROTO_TCP, TCP_KEEPCNT, &count, sizeof count);
}

/* The tag of a listener among the poller's events is its address plus one: see loop.c. */
static void *listener_tag(struct net_listener *li)
{
	return (char *)li + 1;
}

static int fd_of(const struct net_loop *l, const struct net_listener *li)
{
	return li->nfds > 1 ? li->fds[l->index] : l->index == 0 ? li->fds[0] : -1;
}

void accept_watch(struct net_loop *l, struct net_listener *li)
{
	int fd = fd_of(l, li);
	if (fd >= 0)
		l->backend->add(l->poller, fd, listener_tag(li), POLL_READ);
}

void accept_unwatch(struct net_loop *l, struct net_listener *li)
{
	int fd = fd_of(l, li);
	if (fd >= 0)
		l->backend->remove(l->poller, fd);
}

static void pause_accepting(struct net_loop *l, struct net_listener *li, int err)
{
	l->stats.accept_errors++;
	l->backend->change(l->poller, fd_of(l, li), listener_tag(li), 0);
	if (!l->accept_retry && l->server->ev.log)
		l->server->ev.log(l->server, 2, err == EMFILE || err == ENFILE
		                                        ? "out of file descriptors: new connections wait"
		                                        : "out of memory: new connections wait");
	l->accept_retry = l->now_ms + RETRY_MS;
}

void accept_ready(struct net_loop *l, struct net_listener *li)
{
	struct net_server *s = l->server;
	for (int i = 0; i < ACCEPTS_PER_TURN && !li->removed; i++) {
		struct sockaddr_storage peer;
		socklen_t len = sizeof peer;
		int fd = accept4(fd_of(l, li), (struct sockaddr *)&peer, &len, SOCK_NONBLOCK | SOCK_CLOEXEC);
		if (fd >= 0) {
			if (!li->unix_socket)
				set_options(s, fd);
			give(l, li->nfds > 1 ? l : balance_choose(s, &peer), fd, li->tag);
		} else if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
			pause_accepting(l, li, errno);
			return;
		} else if (errno == EAGAIN) {
			return;
		} else {
			l->stats.accept_errors++; /* reset before it was accepted, and the like: the next may be well */
		}
	}
}

void accept_retry(struct net_loop *l)
{
	if (!l->accept_retry || l->now_ms < l->accept_retry)
		return;
	l->accept_retry = 0;
	pthread_mutex_lock(&l->server->listeners_lock);
	for (struct net_listener *li = l->server->listeners; li; li = li->next) {
		if (fd_of(l, li) >= 0 && !li->removed)
			l->backend->change(l->poller, fd_of(l, li), listener_tag(li), POLL_READ);
	}
	pthread_mutex_unlock(&l->server->listeners_lock);
}
