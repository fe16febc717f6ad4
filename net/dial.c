/*
 * dial: connections that this side opens. Literal addresses connect at once; names are resolved on a thread of their own,
 * as the system's resolver blocks. The addresses of a name are tried in order.
 */
#include <errno.h>
#include <netdb.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "net/internal.h"

#define MAX_ADDRS 8
#define DIAL_MS 10000

struct dial {
	struct net_msg msg;
	struct net_loop *loop;
	struct net_dial d;
	struct addr addr;
	struct sockaddr_storage to[MAX_ADDRS];
	socklen_t to_len[MAX_ADDRS];
	int n, next, err;
	int64_t due_ms;
};

static void finish(struct dial *d, int err)
{
	if (d->d.done)
		d->d.done(d->d.ctx, NULL, err);
	d->loop->server->o.realloc(d, 0);
}

static int open_socket(struct dial *d, const struct sockaddr_storage *to, socklen_t len)
{
	int fd = socket(to->ss_family, (d->addr.udp ? SOCK_DGRAM : SOCK_STREAM) | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	if (to->ss_family != AF_UNIX && !d->addr.udp)
		accept_set_options(d->loop->server, fd);
	if (connect(fd, (const struct sockaddr *)to, len) == 0 || errno == EINPROGRESS)
		return fd;
	int err = -errno;
	close(fd);
	return err;
}

static void on_dialled(void *ctx, struct net_conn *c, int err);

/* Try the next address; the connection that waits for it, or an error when there are no more. */
static void try_next(struct dial *d)
{
	struct net_loop *l = d->loop;
	if (l->stopping)
		d->err = -ECANCELED;
	while (d->next < d->n && !l->stopping) {
		const struct sockaddr_storage *to = &d->to[d->next];
		int fd = open_socket(d, to, d->to_len[d->next++]);
		struct net_conn *c = fd < 0 ? NULL : conn_new(l, fd, d->d.tag);
		if (c)
			atomic_fetch_add_explicit(&l->conn_count, 1, memory_order_relaxed);
		if (!c || !conn_extra(c)) {
			d->err = fd < 0 ? fd : -ENOMEM;
			if (c)
				net_close_now(c, ENOMEM); /* closes fd */
			else if (fd >= 0)
				close(fd);
			continue;
		}
		conn_set_peer(c, to);
		c->flags |= CONN_DIALLING | CONN_WATCHED;
		c->extra->dialled = on_dialled;
		c->extra->dial_ctx = d;
		c->extra->close_due = d->due_ms > l->now_ms ? d->due_ms : l->now_ms + 1;
		deadline_set(c);
		int err = l->backend->add(l->poller, fd, c, POLL_WRITE);
		if (err) {
			c->flags &= ~(uint32_t)CONN_WATCHED;
			net_close_now(c, -err);
		}
		return;
	}
	finish(d, d->err ? d->err : -EADDRNOTAVAIL);
}

static void on_dialled(void *ctx, struct net_conn *c, int err)
{
	struct dial *d = ctx;
	if (c) {
		if (d->d.done)
			d->d.done(d->d.ctx, c, 0);
		d->loop->server->o.realloc(d, 0);
		return;
	}
	d->err = err;
	if (err == -ETIMEDOUT || err == -ECANCELED)
		d->next = d->n;
	try_next(d);
}

/* The socket of a dialled connection is writable: connected, or failed. */
void dial_ready(struct net_conn *c)
{
	struct dial *d = c->extra->dial_ctx;
	int err = 0;
	socklen_t len = sizeof err;
	if (getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &err, &len))
		err = errno;
	if (!err && d->d.transport)
		err = -conn_set_transport(c, d->d.transport, d->d.transport_ctx, d->addr.host);
	if (err) {
		net_close_now(c, err);
		return;
	}
	c->flags &= ~(uint32_t)(CONN_DIALLING | CONN_ARM_READ | CONN_ARM_WRITE);
	if (d->addr.udp)
		c->flags |= CONN_DATAGRAM;
	if (c->flags & CONN_HANDSHAKE) {
		conn_handshake(c);
		return;
	}
	c->extra->close_due = 0;
	deadline_set(c);
	conn_open(c);
}

static void run_dial(struct net_loop *l, struct net_msg *m)
{
	(void)l;
	struct dial *d = (struct dial *)m;
	if (d->n)
		try_next(d);
	else
		finish(d, d->err ? d->err : -EADDRNOTAVAIL);
}

static void *resolve(void *arg)
{
	struct dial *d = arg;
	struct net_server *s = d->loop->server;
	struct addrinfo *ai = NULL;
	d->err = addr_resolve(&d->addr, false, &ai);
	for (struct addrinfo *a = ai; a && d->n < MAX_ADDRS; a = a->ai_next) {
		memcpy(&d->to[d->n], a->ai_addr, a->ai_addrlen);
		d->to_len[d->n++] = a->ai_addrlen;
	}
	if (ai)
		freeaddrinfo(ai);
	net_post(d->loop, &d->msg);
	atomic_fetch_sub(&s->dials, 1);
	return NULL;
}

static int resolve_aside(struct dial *d)
{
	struct net_server *s = d->loop->server;
	pthread_attr_t attr;
	pthread_t thread;
	pthread_attr_init(&attr);
	pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
	atomic_fetch_add(&s->dials, 1);
	int err = pthread_create(&thread, &attr, resolve, d);
	if (err)
		atomic_fetch_sub(&s->dials, 1);
	pthread_attr_destroy(&attr);
	return -err;
}

static bool is_literal(const struct addr *a)
{
	struct addrinfo hints = { .ai_flags = AI_NUMERICHOST | AI_NUMERICSERV }, *ai = NULL;
	if (getaddrinfo(*a->host ? a->host : NULL, a->port, &hints, &ai))
		return false;
	freeaddrinfo(ai);
	return true;
}

int net_dial(struct net_loop *l, const struct net_dial *wanted)
{
	struct dial *d = l->server->o.realloc(NULL, sizeof *d);
	if (!d)
		return -ENOMEM;
	*d = (struct dial){ .msg.run = run_dial, .loop = l, .d = *wanted };
	d->due_ms = loop_clock_ms() + (wanted->timeout_ms > 0 ? wanted->timeout_ms : DIAL_MS);
	int err = addr_parse(wanted->url, &d->addr);
	d->d.url = NULL;
	if (!err && d->addr.udp) {
		err = d->d.transport ? -EOPNOTSUPP : 0;
		d->d.transport = &udp_transport;
		d->d.transport_ctx = l->server;
	}
	if (!err && d->addr.unix_socket) {
		d->to_len[d->n++] = addr_unix(&d->addr, d->to);
	} else if (!err && is_literal(&d->addr)) {
		struct addrinfo *ai = NULL;
		err = addr_resolve(&d->addr, false, &ai);
		if (!err) {
			memcpy(d->to, ai->ai_addr, ai->ai_addrlen);
			d->to_len[d->n++] = ai->ai_addrlen;
			freeaddrinfo(ai);
		}
	}
	if (!err && !d->n)
		err = resolve_aside(d);
	else if (!err)
		net_post(l, &d->msg);
	if (err)
		l->server->o.realloc(d, 0);
	return err;
}
