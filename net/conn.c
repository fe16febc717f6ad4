/* conn: the life of a connection, closing, and what may be asked of it. */
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>
#include <unistd.h>

#include "net/internal.h"

#define SLAB_CONNS 64
#define ID_LOOP_SHIFT 52
#define ID_SLOT_SHIFT 32
#define ID_SLOT_MASK 0xfffff

/* Connections come from slabs of the loop: small, and freed structs are used again while warm. */
struct slab {
	struct slab *next;
	struct net_conn conns[SLAB_CONNS];
};

static unsigned wanted_events(const struct net_conn *c)
{
	unsigned e = c->flags & CONN_WANT_OUT ? POLL_WRITE : 0;
	return c->flags & (CONN_PAUSED | CONN_CLOSING) ? e : e | POLL_READ;
}

void conn_arm(struct net_conn *c, bool add)
{
	struct net_loop *l = c->loop;
	int err = (add ? l->backend->add : l->backend->change)(l->poller, c->fd, c, wanted_events(c));
	if (err)
		net_close_now(c, -err);
}

static struct net_conn *take_struct(struct net_loop *l)
{
	if (!l->spare) {
		struct slab *s = malloc(sizeof *s);
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
		free(s);
	}
}

/* Slots give connections their ids; a free slot holds twice the index of the next free one, plus one. */
static bool grow_slots(struct net_loop *l)
{
	uint32_t n = l->nslots ? l->nslots * 2 : 256;
	if (n > ID_SLOT_MASK + 1u)
		return false;
	struct net_conn **slots = realloc(l->slots, n * sizeof *slots);
	if (!slots)
		return false;
	l->slots = slots;
	uint32_t *generations = realloc(l->generations, n * sizeof *generations);
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
	*c = (struct net_conn){ .fd = fd, .loop = l, .tag = tag, .flags = CONN_OPEN };
	c->idle_ms = __atomic_load_n(&l->server->o.idle_timeout_ms, __ATOMIC_RELAXED);
	c->active_ms = l->now_ms;
	c->slot = l->free_slot;
	l->free_slot = (uint32_t)((uintptr_t)l->slots[c->slot] >> 1);
	l->slots[c->slot] = c;
	c->generation = ++l->generations[c->slot];
	c->next = l->conns;
	c->prev = &l->conns;
	if (c->next)
		c->next->prev = &c->next;
	l->conns = c;
	conn_arm(c, true);
	return c;
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

static void detach(struct net_conn *c)
{
	const struct net_events *e = &c->loop->server->ev;
	size_t len;
	const char *unread = net_peek(c, &len);
	c->loop->backend->remove(c->loop->poller, c->fd);
	int fd = c->fd;
	c->fd = -1;
	net_close_now(c, NET_BY_US);
	if (e->detach)
		e->detach(c, fd, unread, len);
	else
		close(fd);
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

void conn_destroy(struct net_conn *c)
{
	struct net_loop *l = c->loop;
	if (l->server->ev.close)
		l->server->ev.close(c, c->reason);
	conn_drop_output(c);
	if (c->fd >= 0)
		close(c->fd);
	free(c->in);
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

void net_close(struct net_conn *c)
{
	if (c->flags & (CONN_CLOSING | CONN_DEAD))
		return;
	c->flags |= CONN_CLOSING;
	c->deadline_ms = c->loop->now_ms + c->loop->server->o.close_timeout_ms;
	if (!c->out && !c->pend) {
		net_close_now(c, NET_BY_US);
		return;
	}
	conn_arm(c, false);
	if (!(c->flags & CONN_WRITES)) {
		c->flags |= CONN_WRITES;
		list_add(&c->loop->writes, c);
	}
}

void net_close_now(struct net_conn *c, int reason)
{
	if (c->flags & CONN_DEAD)
		return;
	c->flags |= CONN_DEAD | CONN_CLOSING;
	c->reason = reason;
	list_add(&c->loop->dead, c);
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

void net_set_idle_timeout(struct net_conn *c, int ms)
{
	c->idle_ms = ms;
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

int net_conn_peer(const struct net_conn *c, char *buf, size_t size)
{
	struct sockaddr_storage a;
	socklen_t len = sizeof a;
	if (getpeername(c->fd, (struct sockaddr *)&a, &len) == 0 && a.ss_family != AF_UNIX)
		return addr_format(&a, buf, size);
	return format_unix(c, buf, size);
}

int net_conn_local(const struct net_conn *c, char *buf, size_t size)
{
	struct sockaddr_storage a;
	socklen_t len = sizeof a;
	if (getsockname(c->fd, (struct sockaddr *)&a, &len) == 0 && a.ss_family != AF_UNIX)
		return addr_format(&a, buf, size);
	return format_unix(c, buf, size);
}
