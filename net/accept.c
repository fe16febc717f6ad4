/*
 * accept: new connections: from a listening socket to the loop that will own them.
 *
 * When descriptors run out, accepting pauses for a moment instead of spinning on a listener that stays readable; clients
 * that have connections go on being served.
 */
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <unistd.h>

#include "net/internal.h"

#define ACCEPTS_PER_TURN 256
#define RETRY_MS 100
#define HANDSHAKE_MS 10000

struct handover {
	struct net_msg msg;
	int fd;
	struct net_listener *from; /* NULL: attached */
	struct sockaddr_storage peer;
	void *ctx;
	int tag;
};

static void open_conn(struct net_loop *l, const struct handover *h)
{
	struct net_conn *c = l->stopping ? NULL : conn_new(l, h->fd, h->tag);
	if (!c) {
		atomic_fetch_sub_explicit(&l->conn_count, 1, memory_order_relaxed);
		close(h->fd);
		return;
	}
	c->ctx = h->ctx;
	conn_set_peer(c, &h->peer);
	l->stats.accepted++;
	if (h->from && h->from->codec) {
		int err = net_set_codec(c, h->from->codec, h->from->codec_settings);
		if (err)
			net_close_now(c, -err);
	}
	if (h->from && h->from->transport && !(c->flags & CONN_DEAD)) {
		int err = conn_set_transport(c, h->from->transport, h->from->transport_ctx, NULL);
		if (err) {
			net_close_now(c, -err);
		} else if (c->flags & CONN_HANDSHAKE) {
			net_set_read_deadline(c, -1);
			c->extra->close_due = l->now_ms + HANDSHAKE_MS;
			deadline_set(c);
			conn_handshake(c);
			return;
		}
	}
	if (!(c->flags & CONN_DEAD))
		conn_open(c);
}

void accept_take(struct net_loop *l, struct net_msg *m)
{
	struct handover *h = (struct handover *)m;
	open_conn(l, h);
	l->server->o.realloc(h, 0);
}

/* The connection is counted when its loop is chosen. */
static int give(struct net_loop *to, const struct handover *what)
{
	mem_fn *mem = to->server->o.realloc;
	if (to == net_loop_current() && what->from) {
		atomic_fetch_add_explicit(&to->conn_count, 1, memory_order_relaxed);
		open_conn(to, what);
		return 0;
	}
	struct handover *h = mem(NULL, sizeof *h);
	if (!h)
		return -ENOMEM;
	*h = *what;
	h->msg.run = accept_take;
	atomic_fetch_add_explicit(&to->conn_count, 1, memory_order_relaxed);
	net_post(to, &h->msg);
	return 0;
}

int net_attach(struct net_loop *l, int take_fd, int tag, void *ctx)
{
	struct handover h = { .fd = take_fd, .tag = tag, .ctx = ctx };
	socklen_t len = sizeof h.peer;
	if (getpeername(take_fd, (struct sockaddr *)&h.peer, &len))
		return -errno;
	if (fcntl(take_fd, F_SETFL, fcntl(take_fd, F_GETFL) | O_NONBLOCK))
		return -errno;
	return give(l, &h);
}

void accept_set_options(const struct net_server *s, int fd)
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

static unsigned listener_events(const struct net_loop *l, const struct net_listener *li)
{
	return l->backend->completes && !li->udp ? POLL_ACCEPT : POLL_READ;
}

int accept_fd(const struct net_loop *l, const struct net_listener *li)
{
	return li->nfds > 1 ? li->fds[l->index] : l->index == 0 ? li->fds[0] : -1;
}

void accept_watch(struct net_loop *l, struct net_listener *li)
{
	int fd = accept_fd(l, li);
	int err = fd >= 0 ? l->backend->add(l->poller, fd, listener_tag(li), listener_events(l, li)) : 0;
	if (err && l->server->ev.log)
		l->server->ev.log(l->server, 2, "a listening socket cannot be watched: nobody will connect to it");
}

/* Close the loop's socket of this address. */
void accept_unwatch(struct net_loop *l, struct net_listener *li)
{
	int fd = accept_fd(l, li);
	if (fd < 0)
		return;
	l->backend->remove(l->poller, fd);
	loop_forget(l, listener_tag(li));
	close(fd);
	li->fds[li->nfds > 1 ? l->index : 0] = -1;
}

static void pause_accepting(struct net_loop *l, struct net_listener *li, int err)
{
	l->stats.accept_errors++;
	l->backend->change(l->poller, accept_fd(l, li), listener_tag(li), 0);
	if (!l->accept_retry && l->server->ev.log)
		l->server->ev.log(l->server, 2, err == EMFILE || err == ENFILE
		                                        ? "out of file descriptors: new connections wait"
		                                        : "out of memory: new connections wait");
	l->accept_retry = l->now_ms + RETRY_MS;
}

static void take_socket(struct net_loop *l, struct net_listener *li, int fd, const struct sockaddr_storage *peer)
{
	struct handover h = { .fd = fd, .from = li, .tag = li->tag, .peer = *peer };
	if (!li->unix_socket)
		accept_set_options(l->server, fd);
	if (give(li->nfds > 1 ? l : balance_choose(l->server, peer), &h))
		close(fd);
}

/* Whether to go on accepting. */
static bool refused(struct net_loop *l, struct net_listener *li, int err)
{
	if (err == EAGAIN)
		return false;
	if (err == EMFILE || err == ENFILE || err == ENOBUFS || err == ENOMEM) {
		pause_accepting(l, li, err);
		return false;
	}
	l->stats.accept_errors++;
	if (err != EBADF && err != EINVAL && err != ENOTSOCK)
		return true; /* reset before it was accepted, and the like: the next may be well */
	/* Not a listening socket any more: asking again would spin. It is closed in net_unlisten()'s own time. */
	l->backend->remove(l->poller, accept_fd(l, li));
	return false;
}

void accept_ready(struct net_loop *l, struct net_listener *li)
{
	for (int i = 0; i < ACCEPTS_PER_TURN && accept_fd(l, li) >= 0; i++) {
		struct sockaddr_storage peer;
		socklen_t len = sizeof peer;
		int fd = accept4(accept_fd(l, li), (struct sockaddr *)&peer, &len, SOCK_NONBLOCK | SOCK_CLOEXEC);
		if (fd >= 0)
			take_socket(l, li, fd, &peer);
		else if (!refused(l, li, errno))
			return;
	}
}

/* The poller has accepted, or failed to. */
void accept_done(struct net_loop *l, struct net_listener *li, int fd)
{
	struct sockaddr_storage peer = { 0 };
	socklen_t len = sizeof peer;
	if (fd < 0)
		refused(l, li, -fd);
	else if (li->unix_socket || getpeername(fd, (struct sockaddr *)&peer, &len) == 0)
		take_socket(l, li, fd, &peer);
	else { /* reset in the meantime */
		l->stats.accept_errors++;
		close(fd);
	}
}

void accept_retry(struct net_loop *l)
{
	if (!l->accept_retry || l->now_ms < l->accept_retry)
		return;
	l->accept_retry = 0;
	pthread_mutex_lock(&l->server->listeners_lock);
	for (struct net_listener *li = l->server->listeners; li; li = li->next) {
		if (accept_fd(l, li) >= 0)
			l->backend->change(l->poller, accept_fd(l, li), listener_tag(li), listener_events(l, li));
	}
	pthread_mutex_unlock(&l->server->listeners_lock);
}
