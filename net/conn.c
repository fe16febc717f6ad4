/* conn: the life of a connection, closing, and what may be asked of it. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>
#include <unistd.h>

#include "net/internal.h"

#define SLAB_CONNS 64
#define ID_SLOT_SHIFT 32
#define ID_SLOT_MASK 0xfffff

/* Connections come from slabs of the loop: small, and freed structs are used again while warm. */
struct slab {
	struct slab *next;
	struct net_conn conns[SLAB_CONNS];
};

bool conn_completes(const struct net_conn *c)
{
	return c->loop->backend->completes && !(c->extra && c->extra->transport);
}

/* The poller is told at the end of a turn, and only of what changed: pausing and resuming within one costs nothing. */
void conn_watch(struct net_conn *c)
{
	struct net_loop *l = c->loop;
	uint32_t want = c->pend && !(c->flags & CONN_HELD) ? CONN_ARM_WRITE : 0;
	if (c->flags & (CONN_DIALLING | CONN_HANDSHAKE | CONN_LEAVING))
		return; /* dial.c, conn_handshake() and detach() say what to wait for */
	if (!(c->flags & (CONN_PAUSED | CONN_HIGH_PAUSE | CONN_CLOSING)))
		want |= CONN_ARM_READ;
	if (l->server->o.edge_triggered)
		want = CONN_ARM_READ | CONN_ARM_WRITE;
	bool known = c->flags & CONN_WATCHED;
	if (known && want == (c->flags & (CONN_ARM_READ | CONN_ARM_WRITE)))
		return;
	unsigned read = conn_completes(c) ? POLL_RECEIVE : POLL_READ;
	unsigned events = (want & CONN_ARM_READ ? read : 0) | (want & CONN_ARM_WRITE ? POLL_WRITE : 0) |
	                  (l->server->o.edge_triggered ? POLL_EDGE : 0);
	c->flags = (c->flags & ~(uint32_t)(CONN_ARM_READ | CONN_ARM_WRITE)) | want | CONN_WATCHED;
	int err = (known ? l->backend->change : l->backend->add)(l->poller, c->fd, c, events);
	if (err)
		net_close_now(c, -err);
}

void conn_touch(struct net_conn *c)
{
	if (!(c->flags & (CONN_TOUCHED | CONN_DEAD)) && conns_add(&c->loop->touched, c))
		c->flags |= CONN_TOUCHED;
}

static struct net_conn *take_struct(struct net_loop *l)
{
	if (!l->spare) {
		struct slab *s = l->server->o.realloc(NULL, sizeof *s);
		if (!s)
			return NULL;
		s->next = l->slabs;
		l->slabs = s;
		for (int i = 0; i < SLAB_CONNS; i++) {
			s->conns[i].next = l->spare;
			l->spare = &s->conns[i];
		}
	}
	struct net_conn *c = l->spare;
	l->spare = c->next;
	return c;
}

void conn_free_all(struct net_loop *l)
{
	while (l->slabs) {
		struct slab *s = l->slabs;
		l->slabs = s->next;
		l->server->o.realloc(s, 0);
	}
}

/* Slots give connections their ids; a free slot holds twice the index of the next free one, plus one. */
static bool grow_slots(struct net_loop *l)
{
	mem_fn *mem = l->server->o.realloc;
	uint32_t n = l->nslots ? l->nslots + l->nslots / 4 : 256;
	struct conns *lists[] = { &l->touched, &l->writes, &l->wakes, &l->dead, &l->more, &l->sending };
	if (n > ID_SLOT_MASK + 1u)
		return false;
	/* A connection can always be closed: its place in each list is there before it is; two, as lists are added to while
	 * they are walked. */
	for (size_t i = 0; i < sizeof lists / sizeof *lists; i++) {
		if (!conns_reserve(lists[i], 2 * n))
			return false;
	}
	struct net_conn **slots = mem(l->slots, n * sizeof *slots);
	if (!slots)
		return false;
	l->slots = slots;
	uint32_t *generations = mem(l->generations, n * sizeof *generations);
	if (!generations)
		return false;
	l->generations = generations;
	for (uint32_t i = l->nslots; i < n; i++) {
		slots[i] = (struct net_conn *)((uintptr_t)(i + 1) * 2 + 1);
		generations[i] = 0;
	}
	l->nslots = n;
	return true;
}

struct net_conn *conn_new(struct net_loop *l, int fd, int tag)
{
	if (l->free_slot == l->nslots && !grow_slots(l))
		return NULL;
	struct net_conn *c = take_struct(l);
	if (!c)
		return NULL;
	*c = (struct net_conn){ .fd = fd, .loop = l, .tag = tag, };
	c->active_ms = (uint32_t)l->now_ms;
	c->slot = l->free_slot;
	l->free_slot = (uint32_t)((uintptr_t)l->slots[c->slot] >> 1);
	l->slots[c->slot] = c;
	c->generation = ++l->generations[c->slot];
	c->next = l->conns;
	c->prev = &l->conns;
	if (c->next)
		c->next->prev = &c->next;
	l->conns = c;
	return c;
}

/* The connection can be used: tell the user. */
void conn_open(struct net_conn *c)
{
	const struct net_server *s = c->loop->server;
	int idle_ms = __atomic_load_n(&s->o.idle_timeout_ms, __ATOMIC_RELAXED);
	c->flags |= CONN_OPEN;
	conn_touch(c); /* watched when the turn ends */
	int err = codec_start(c);
	if (err) {
		net_close_now(c, -err);
		return;
	}
	if (idle_ms)
		net_set_idle_timeout(c, idle_ms);
	if (c->extra && c->extra->dialled) {
		void (*dialled)(void *, struct net_conn *, int) = c->extra->dialled;
		c->extra->dialled = NULL;
		dialled(c->extra->dial_ctx, c, 0);
	}
	if (s->ev.open && !(c->flags & CONN_DEAD))
		conn_action(c, s->ev.open(c));
}

struct extra *conn_extra(struct net_conn *c)
{
	if (!c->extra) {
		c->extra = c->loop->server->o.realloc(NULL, sizeof *c->extra);
		if (c->extra)
			*c->extra = (struct extra){ .conn = c };
	}
	return c->extra;
}

net_conn_id net_conn_id_of(const struct net_conn *c)
{
	return (uint64_t)c->loop->index << ID_LOOP_SHIFT | (uint64_t)c->slot << ID_SLOT_SHIFT | c->generation;
}

struct net_conn *net_conn_find(struct net_loop *l, net_conn_id id)
{
	uint32_t slot = (uint32_t)(id >> ID_SLOT_SHIFT) & ID_SLOT_MASK;
	if (slot >= l->nslots || ((uintptr_t)l->slots[slot] & 1))
		return NULL;
	struct net_conn *c = l->slots[slot];
	return c->generation == (uint32_t)id ? c : NULL;
}

/* What is queued goes out as far as the socket takes it; the receiver of the descriptor gets the unread bytes. */
void conn_detach(struct net_conn *c)
{
	struct net_loop *l = c->loop;
	size_t len;
	conn_flush_now(c);
	const char *unread = net_peek(c, &len);
	if (c->flags & CONN_DEAD)
		return;
	if (c->flags & CONN_WATCHED)
		l->backend->remove(l->poller, c->fd);
	int fd = c->fd;
	c->fd = -1;
	net_close_now(c, NET_BY_US);
	if (l->server->ev.detach)
		l->server->ev.detach(c, fd, unread, len);
	else
		close(fd);
}

/* A poller that receives by itself must have stopped before the descriptor is given away: no byte may get lost. */
static void detach(struct net_conn *c)
{
	struct net_loop *l = c->loop;
	if (c->extra && c->extra->transport) { /* its state cannot be handed over */
		net_close_now(c, EOPNOTSUPP);
	} else if (!conn_completes(c) || !(c->flags & CONN_WATCHED)) {
		conn_detach(c);
	} else if (!(c->flags & CONN_LEAVING)) {
		c->flags |= CONN_LEAVING;
		l->backend->change(l->poller, c->fd, c, POLL_QUIET);
	}
}

void conn_action(struct net_conn *c, enum net_action a)
{
	if (__builtin_expect(a == NET_NONE, 1))
		return;
	if (a == NET_CLOSE)
		net_close(c);
	else if (a == NET_DETACH && !(c->flags & CONN_DEAD))
		detach(c);
	else if (a == NET_SHUTDOWN)
		net_server_stop(c->loop->server, c->loop->server->o.close_timeout_ms);
}

static void free_extra(struct net_conn *c)
{
	struct extra *x = c->extra;
	if (!x)
		return;
	deadline_clear(c);
	if (x->dialled)
		x->dialled(x->dial_ctx, NULL, c->reason > 0 ? -c->reason : c->reason == NET_BY_TIMEOUT ? -ETIMEDOUT : -ECANCELED);
	if (x->transport && x->state)
		x->transport->free_state(x->state);
	codec_free(x);
	c->extra = NULL;
	c->loop->server->o.realloc(x, 0);
}

void conn_destroy(struct net_conn *c)
{
	struct net_loop *l = c->loop;
	if (l->server->ev.close && (c->flags & CONN_OPEN))
		l->server->ev.close(c, c->reason);
	conn_drop_output(c);
	free_extra(c);
	if (c->fd >= 0) {
		if ((c->flags & CONN_WATCHED) && ((c->flags & CONN_SHARED) || !l->backend->forgets_closed))
			l->backend->remove(l->poller, c->fd);
		close(c->fd);
	}
	if (c->in) { /* others may send bytes of this view until the turn ends */
		l->stats.memory -= c->in->cap;
		c->in->garbage = l->garbage;
		l->garbage = c->in;
	}
	if (l->next_event < l->nevents)
		loop_forget(l, c);
	*c->prev = c->next;
	if (c->next)
		c->next->prev = c->prev;
	l->slots[c->slot] = (struct net_conn *)((uintptr_t)l->free_slot * 2 + 1);
	l->free_slot = c->slot;
	c->next = l->spare;
	l->spare = c;
	atomic_fetch_sub_explicit(&l->conn_count, 1, memory_order_relaxed);
	l->stats.closed++;
}

/* ------------------------------------------------------------------ closing */

void conn_close(struct net_conn *c, int reason)
{
	struct net_loop *l = c->loop;
	if (c->flags & (CONN_CLOSING | CONN_DEAD))
		return;
	codec_finish(c);
	if (c->flags & CONN_DEAD)
		return;
	c->flags |= CONN_CLOSING;
	c->reason = reason;
	if (!c->out && !c->pend) {
		net_close_now(c, reason);
		return;
	}
	struct extra *x = conn_extra(c);
	if (!x) {
		net_close_now(c, ENOMEM);
		return;
	}
	x->close_due = l->now_ms + l->server->o.close_timeout_ms;
	deadline_set(c);
	conn_wants_write(c);
	conn_touch(c);
}

void net_close(struct net_conn *c)
{
	conn_close(c, NET_BY_US);
}

void net_close_now(struct net_conn *c, int reason)
{
	if (c->flags & CONN_DEAD)
		return;
	c->flags |= CONN_DEAD | CONN_CLOSING;
	c->reason = reason;
	conns_add(&c->loop->dead, c);
}

bool net_is_closing(const struct net_conn *c)
{
	return c->flags & (CONN_CLOSING | CONN_DEAD);
}

/* ------------------------------------------------------------------ questions and settings */

struct net_loop *net_conn_loop(const struct net_conn *c)
{
	return c->loop;
}

void net_conn_set_ctx(struct net_conn *c, void *ctx)
{
	c->ctx = ctx;
}

void *net_conn_ctx(const struct net_conn *c)
{
	return c->ctx;
}

int net_conn_fd(const struct net_conn *c)
{
	return c->fd;
}

int net_conn_tag(const struct net_conn *c)
{
	return c->tag;
}

struct net_conn *net_conn_next(struct net_loop *l, struct net_conn *after)
{
	return after ? after->next : l->conns;
}

int net_set_keepalive(struct net_conn *c, int idle_s, int interval_s, int count)
{
	int on = idle_s > 0;
	if (setsockopt(c->fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on))
		return -errno;
	if (!on)
		return 0;
	if (setsockopt(c->fd, IPPROTO_TCP, TCP_KEEPIDLE, &idle_s, sizeof idle_s) ||
	    setsockopt(c->fd, IPPROTO_TCP, TCP_KEEPINTVL, &interval_s, sizeof interval_s) ||
	    setsockopt(c->fd, IPPROTO_TCP, TCP_KEEPCNT, &count, sizeof count))
		return -errno;
	return 0;
}

/* Both ends of a Unix connection are named by the socket's path, as there is nothing else to say. */
static int format_unix(const struct net_conn *c, char *buf, size_t size)
{
	struct sockaddr_un un = { 0 };
	socklen_t len = sizeof un;
	if (getsockname(c->fd, (struct sockaddr *)&un, &len))
		un.sun_path[0] = 0;
	if (!un.sun_path[0] && len > sizeof un.sun_family + 1)
		return snprintf(buf, size, "@%.*s:0", (int)(len - sizeof un.sun_family - 1), un.sun_path + 1);
	return snprintf(buf, size, "%s:0", un.sun_path);
}

/* The peer's address is kept: after a reset the system has forgotten it. */
void conn_set_peer(struct net_conn *c, const struct sockaddr_storage *a)
{
	const struct sockaddr_in *in = (const void *)a;
	const struct sockaddr_in6 *in6 = (const void *)a;
	c->peer.family = (uint8_t)a->ss_family;
	if (a->ss_family == AF_INET) {
		memcpy(c->peer.addr, &in->sin_addr, 4);
		c->peer.port = ntohs(in->sin_port);
	} else if (a->ss_family == AF_INET6) {
		memcpy(c->peer.addr, &in6->sin6_addr, 16);
		c->peer.port = ntohs(in6->sin6_port);
	}
}

int net_conn_peer(const struct net_conn *c, char *buf, size_t size)
{
	char host[INET6_ADDRSTRLEN];
	if (c->peer.family != AF_INET && c->peer.family != AF_INET6)
		return format_unix(c, buf, size);
	inet_ntop(c->peer.family, c->peer.addr, host, sizeof host);
	return snprintf(buf, size, c->peer.family == AF_INET ? "%s:%u" : "[%s]:%u", host, c->peer.port);
}

int net_conn_local(const struct net_conn *c, char *buf, size_t size)
{
	struct sockaddr_storage a;
	socklen_t len = sizeof a;
	if (getsockname(c->fd, (struct sockaddr *)&a, &len) == 0 && a.ss_family != AF_UNIX)
		return addr_format(&a, buf, size);
	return format_unix(c, buf, size);
}

int net_conn_dup(struct net_conn *c)
{
	int fd = fcntl(c->fd, F_DUPFD_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	c->flags |= CONN_SHARED;
	return fd;
}

/* ------------------------------------------------------------------ transports */

void *net_conn_transport(const struct net_conn *c)
{
	return c->extra ? c->extra->state : NULL;
}

int conn_set_transport(struct net_conn *c, const struct net_transport *t, void *ctx, const char *host)
{
	struct extra *x = conn_extra(c);
	if (!x)
		return -ENOMEM;
	x->transport = t;
	x->state = t->new_state(ctx, c->fd, host != NULL, host);
	if (!x->state)
		return -ENOMEM;
	if (t->handshake)
		c->flags |= CONN_HANDSHAKE;
	return 0;
}

/* One step of the transport's handshake; when it is done the connection opens. */
void conn_handshake(struct net_conn *c)
{
	struct net_loop *l = c->loop;
	struct extra *x = c->extra;
	enum net_want want = NET_WANT_READ;
	int err = x->transport->handshake(x->state, &want);
	if (err == -EAGAIN) {
		bool known = c->flags & CONN_WATCHED;
		c->flags |= CONN_WATCHED;
		c->flags &= ~(uint32_t)(CONN_ARM_READ | CONN_ARM_WRITE);
		err = (known ? l->backend->change : l->backend->add)(l->poller, c->fd, c,
		                                                     want == NET_WANT_WRITE ? POLL_WRITE : POLL_READ);
	} else if (err == 0) {
		c->flags &= ~(uint32_t)CONN_HANDSHAKE;
		x->close_due = 0;
		conn_open(c);
		if (!(c->flags & CONN_DEAD))
			conn_more(c); /* the transport may hold bytes already */
		return;
	}
	if (err)
		net_close_now(c, -err);
}

/* ------------------------------------------------------------------ socket options */

static int set_int(const struct net_conn *c, int level, int name, int value)
{
	return setsockopt(c->fd, level, name, &value, sizeof value) ? -errno : 0;
}

int net_set_linger(struct net_conn *c, int seconds)
{
	struct linger lg = { .l_onoff = seconds >= 0, .l_linger = seconds >= 0 ? seconds : 0 };
	return setsockopt(c->fd, SOL_SOCKET, SO_LINGER, &lg, sizeof lg) ? -errno : 0;
}

int net_set_nodelay(struct net_conn *c, bool on)
{
	return set_int(c, IPPROTO_TCP, TCP_NODELAY, on);
}

int net_set_buffers(struct net_conn *c, int receive, int send)
{
	int err = receive > 0 ? set_int(c, SOL_SOCKET, SO_RCVBUF, receive) : 0;
	return err || send <= 0 ? err : set_int(c, SOL_SOCKET, SO_SNDBUF, send);
}

int net_bind_device(struct net_conn *c, const char *interface)
{
	return setsockopt(c->fd, SOL_SOCKET, SO_BINDTODEVICE, interface, (socklen_t)strlen(interface)) ? -errno : 0;
}
