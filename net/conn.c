/* conn: reading, writing and closing of one connection. */
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/un.h>
#include <unistd.h>

#include "net/internal.h"

#define KEEP_SMALL (16 * 1024)

void *arena_alloc(struct net_loop *l, struct arena *a, size_t n)
{
	(void)l;
	n = (n + 15) & ~(size_t)15;
	if ((size_t)(a->end - a->pos) < n || !a->current) {
		struct block *b = a->current ? a->current->next : a->first;
		if (!b || b->size < n) {
			size_t size = n > NET_BLOCK ? n : NET_BLOCK;
			struct block *fresh = malloc(sizeof *fresh + size);
			if (!fresh)
				return NULL;
			fresh->size = size;
			fresh->next = b;
			if (a->current)
				a->current->next = fresh;
			else
				a->first = fresh;
			b = fresh;
		}
		a->current = b;
		a->pos = b->bytes;
		a->end = b->bytes + b->size;
	}
	void *p = a->pos;
	a->pos += n;
	return p;
}

/* Keep the first block, give back what a busy turn added beyond a few. */
void arena_reset(struct arena *a)
{
	struct block *b = a->first;
	for (int i = 0; b && i < 16; i++, b = b->next) {
		if (b->next && (b->next->size > NET_BLOCK || i == 15)) {
			struct block *x = b->next;
			b->next = x->next;
			free(x);
		}
	}
	if (a->first && a->first->size > NET_BLOCK) {
		b = a->first;
		a->first = b->next;
		free(b);
	}
	a->current = a->first;
	a->pos = a->current ? a->current->bytes : NULL;
	a->end = a->current ? a->pos + a->current->size : NULL;
}

void arena_free(struct arena *a)
{
	while (a->first) {
		struct block *b = a->first;
		a->first = b->next;
		free(b);
	}
	a->current = NULL;
}

bool list_add(struct list *l, struct net_conn *c)
{
	if (l->n == l->cap) {
		unsigned cap = l->cap ? l->cap * 2 : 64;
		struct net_conn **v = realloc(l->v, cap * sizeof *v);
		if (!v)
			return false;
		l->v = v;
		l->cap = cap;
	}
	l->v[l->n++] = c;
	return true;
}

void conn_arm(struct net_conn *c, bool add)
{
	struct epoll_event ev = { .data.ptr = c };
	if (!(c->flags & (CONN_PAUSED | CONN_CLOSING)))
		ev.events |= EPOLLIN;
	if (c->flags & CONN_WANT_OUT)
		ev.events |= EPOLLOUT;
	epoll_ctl(c->loop->epfd, add ? EPOLL_CTL_ADD : EPOLL_CTL_MOD, c->fd, &ev);
}

static bool take_slot(struct net_conn *c)
{
	struct net_loop *l = c->loop;
	if (l->free_slot == l->nslots) {
		uint32_t n = l->nslots ? l->nslots * 2 : 256;
		struct net_conn **slots = realloc(l->slots, n * sizeof *slots);
		if (!slots)
			return false;
		l->slots = slots;
		uint32_t *gens = realloc(l->generations, n * sizeof *gens);
		if (!gens)
			return false;
		l->generations = gens;
		for (uint32_t i = l->nslots; i < n; i++) {
			slots[i] = (struct net_conn *)(uintptr_t)((i + 1) * 2ull + 1); /* odd: index of the next free slot */
			gens[i] = 0;
		}
		l->nslots = n;
	}
	c->slot = l->free_slot;
	l->free_slot = (uint32_t)((uintptr_t)l->slots[c->slot] >> 1);
	l->slots[c->slot] = c;
	c->generation = ++l->generations[c->slot];
	return true;
}

struct net_conn *conn_new(struct net_loop *l, int fd, int tag)
{
	struct net_conn *c = calloc(1, sizeof *c);
	if (!c)
		return NULL;
	c->fd = fd;
	c->loop = l;
	c->tag = tag;
	c->flags = CONN_OPEN;
	c->idle_ms = l->server->o.idle_timeout_ms;
	c->active_ms = l->now_ms;
	if (!take_slot(c)) {
		free(c);
		return NULL;
	}
	c->next = l->conns;
	c->prev = &l->conns;
	if (c->next)
		c->next->prev = &c->next;
	l->conns = c;
	atomic_fetch_add_explicit(&l->conn_count, 1, memory_order_relaxed);
	conn_arm(c, true);
	return c;
}

net_conn_id net_conn_id_of(const struct net_conn *c)
{
	return (uint64_t)c->loop->index << 52 | (uint64_t)(c->slot & 0xfffff) << 32 | c->generation;
}

struct net_conn *net_conn_find(struct net_loop *l, net_conn_id id)
{
	uint32_t slot = (uint32_t)(id >> 32) & 0xfffff;
	if (slot >= l->nslots || ((uintptr_t)l->slots[slot] & 1))
		return NULL;
	struct net_conn *c = l->slots[slot];
	return c->generation == (uint32_t)id ? c : NULL;
}

/* ------------------------------------------------------------------ input */

static void touch(struct net_conn *c)
{
	if (!(c->flags & CONN_TOUCHED)) {
		c->flags |= CONN_TOUCHED;
		list_add(&c->loop->touched, c);
	}
}

/* Where the next bytes go: behind what is kept. */
static char *read_room(struct net_conn *c, size_t room)
{
	struct net_loop *l = c->loop;
	size_t kept = c->in_len - c->in_off;
	if (kept > KEEP_SMALL || c->expect > room) {
		size_t want = kept + room;
		if (c->in_off) {
			memmove(c->in, c->in + c->in_off, kept);
			c->in_off = 0;
			c->in_len = (uint32_t)kept;
		}
		if (c->in_cap < want) {
			size_t cap = want + kept;
			char *in = realloc(c->in, cap);
			if (!in)
				return NULL;
			c->in = in;
			c->in_cap = (uint32_t)cap;
		}
		c->view = c->in;
		c->flags |= CONN_OWN_VIEW;
		return c->in + kept;
	}
	char *p = arena_alloc(l, &l->in, kept + room);
	if (!p)
		return NULL;
	if (kept) {
		memcpy(p, c->in + c->in_off, kept);
		c->in_len = c->in_off = 0;
	}
	c->view = p;
	c->flags &= ~(uint32_t)CONN_OWN_VIEW;
	return p + kept;
}

void conn_read(struct net_conn *c)
{
	struct net_loop *l = c->loop;
	size_t room = l->server->o.read_cap, kept = c->in_len - c->in_off;
	if (c->flags & (CONN_CLOSING | CONN_DEAD | CONN_PAUSED))
		return;
	char *p = read_room(c, room);
	if (!p) {
		net_close_now(c, ENOMEM);
		return;
	}
	ssize_t n = recv(c->fd, p, room, 0);
	if (!(c->flags & CONN_OWN_VIEW))
		l->in.pos = (char *)(((uintptr_t)p + (n > 0 ? (size_t)n : 0) + 15) & ~(uintptr_t)15);
	c->view_len = kept + (n > 0 ? (size_t)n : 0);
	c->flags |= CONN_VIEW;
	touch(c);
	if (c->flags & CONN_OWN_VIEW)
		c->in_len = (uint32_t)c->view_len;
	if (n > 0) {
		l->stats.bytes_in += (uint64_t)n;
		l->turn_read += (size_t)n;
		c->expect = c->expect > (size_t)n ? c->expect - (uint32_t)n : 0;
		c->active_ms = l->now_ms;
		l->stats.reads++;
		if (l->server->ev.data)
			conn_action(c, l->server->ev.data(c));
	} else if (n == 0) {
		net_close_now(c, NET_BY_PEER);
	} else if (errno != EAGAIN && errno != EINTR) {
		net_close_now(c, errno);
	}
}

void conn_end_turn(struct net_conn *c)
{
	c->flags &= ~(uint32_t)CONN_TOUCHED;
	if (!(c->flags & CONN_VIEW))
		return;
	c->flags &= ~(uint32_t)CONN_VIEW;
	if (c->flags & CONN_OWN_VIEW) {
		c->in_off = (uint32_t)(c->view - c->in);
		c->in_len = (uint32_t)(c->in_off + c->view_len);
	} else if (c->view_len) {
		if (c->in_cap < c->view_len) {
			char *in = realloc(c->in, c->view_len);
			if (!in) {
				net_close_now(c, ENOMEM);
				return;
			}
			c->in = in;
			c->in_cap = (uint32_t)c->view_len;
		}
		memcpy(c->in, c->view, c->view_len);
		c->in_off = 0;
		c->in_len = (uint32_t)c->view_len;
	}
	if (c->view_len == 0 && c->in) {
		free(c->in);
		c->in = NULL;
		c->in_cap = c->in_len = c->in_off = 0;
	}
	c->view = NULL;
	c->view_len = 0;
}

const char *net_peek(struct net_conn *c, size_t *len)
{
	if (!(c->flags & CONN_VIEW)) {
		c->view = c->in ? c->in + c->in_off : NULL;
		c->view_len = c->in_len - c->in_off;
		c->flags |= CONN_VIEW | CONN_OWN_VIEW;
		touch(c);
	}
	*len = c->view_len;
	return c->view;
}

void net_discard(struct net_conn *c, size_t n)
{
	c->view += n;
	c->view_len -= n;
}

void net_expect(struct net_conn *c, size_t n)
{
	c->expect = n > UINT32_MAX ? UINT32_MAX : (uint32_t)n;
}

void net_pause_read(struct net_conn *c)
{
	if (!(c->flags & CONN_PAUSED)) {
		c->flags |= CONN_PAUSED;
		conn_arm(c, false);
	}
}

void net_resume_read(struct net_conn *c)
{
	if (c->flags & CONN_PAUSED) {
		c->flags &= ~(uint32_t)CONN_PAUSED;
		conn_arm(c, false);
	}
}

void net_wake(struct net_conn *c)
{
	if (c->flags & (CONN_WAKE | CONN_DEAD))
		return;
	c->flags |= CONN_WAKE;
	list_add(&c->loop->wakes, c);
}

size_t net_in_capacity(const struct net_conn *c)
{
	return c->in_cap;
}

/* ------------------------------------------------------------------ output */

static void wants_write(struct net_conn *c)
{
	if (!(c->flags & CONN_WRITES)) {
		c->flags |= CONN_WRITES;
		list_add(&c->loop->writes, c);
	}
}

static struct seg *new_seg(struct net_conn *c, const char *p)
{
	struct seg *s = arena_alloc(c->loop, &c->loop->misc, sizeof *s);
	if (!s)
		return NULL;
	*s = (struct seg){ .base = p, .p = p };
	if (c->out)
		c->out_tail->next = s;
	else
		c->out = s;
	c->out_tail = s;
	return s;
}

int net_out_begin(struct net_conn *c, size_t least, char **cur, char **end)
{
	struct arena *a = &c->loop->out;
	if (__builtin_expect(c->flags & (CONN_CLOSING | CONN_DEAD), 0))
		return -EPIPE;
	if (__builtin_expect((size_t)(a->end - a->pos) < least || !a->current, 0)) {
		char *p = arena_alloc(c->loop, a, least);
		if (!p)
			return -ENOMEM;
		a->pos = p;
	}
	struct seg *t = c->out_tail;
	if (!c->out || t->release || t->p + t->len != a->pos) {
		if (!new_seg(c, a->pos))
			return -ENOMEM;
	}
	*cur = a->pos;
	*end = a->end;
	return 0;
}

void net_out_end(struct net_conn *c, char *cur)
{
	struct seg *t = c->out_tail;
	size_t n = (size_t)(cur - c->loop->out.pos);
	t->len += n;
	c->out_bytes += n;
	c->loop->out.pos = cur;
	wants_write(c);
}

int net_write(struct net_conn *c, const void *buf, size_t len)
{
	char *cur, *end;
	int err = net_out_begin(c, len, &cur, &end);
	if (err)
		return err;
	memcpy(cur, buf, len);
	net_out_end(c, cur + len);
	return 0;
}

int net_write_ref(struct net_conn *c, const void *buf, size_t len, void (*release)(void *ctx, const void *buf), void *ctx)
{
	struct seg *s = c->flags & (CONN_CLOSING | CONN_DEAD) ? NULL : new_seg(c, buf);
	if (!s) {
		release(ctx, buf);
		return c->flags & (CONN_CLOSING | CONN_DEAD) ? -EPIPE : -ENOMEM;
	}
	s->len = len;
	s->release = release;
	s->ctx = ctx;
	c->out_bytes += len;
	wants_write(c);
	return 0;
}

/* Move what the socket did not take to the heap. */
static void keep_unsent(struct net_conn *c)
{
	for (struct seg *s = c->out, *next; s; s = next) {
		next = s->next;
		if (s->len == 0 && !s->release)
			continue;
		struct seg *k = malloc(sizeof *k + (s->release ? 0 : s->len));
		if (!k) {
			if (s->release)
				s->release(s->ctx, s->base);
			net_close_now(c, ENOMEM);
			continue;
		}
		*k = *s;
		k->next = NULL;
		if (!s->release) {
			memcpy(k + 1, s->p, s->len);
			k->base = k->p = (char *)(k + 1);
		}
		if (c->pend)
			c->pend_tail->next = k;
		else
			c->pend = k;
		c->pend_tail = k;
		c->pend_bytes += s->len;
	}
	c->out = c->out_tail = NULL;
	c->out_bytes = 0;
}

/* Send from a list; frees or releases what is sent. false: the socket is full or broken. */
static bool send_list(struct net_conn *c, struct seg **list, size_t *bytes, bool heap)
{
	while (*list) {
		struct iovec iov[64];
		int n = 0;
		size_t want = 0;
		for (struct seg *s = *list; s && n < 64; s = s->next) {
			if (!s->len)
				continue;
			iov[n].iov_base = (void *)(uintptr_t)s->p;
			iov[n++].iov_len = s->len;
			want += s->len;
		}
		struct msghdr m = { .msg_iov = iov, .msg_iovlen = (size_t)n };
		ssize_t r = n == 0 ? 0 : n == 1 ? send(c->fd, iov[0].iov_base, iov[0].iov_len, MSG_NOSIGNAL)
		                               : sendmsg(c->fd, &m, MSG_NOSIGNAL);
		if (r < 0) {
			if (errno != EAGAIN && errno != EINTR)
				net_close_now(c, errno);
			return false;
		}
		c->loop->stats.writes++;
		c->loop->stats.bytes_out += (uint64_t)r;
		*bytes -= (size_t)r;
		size_t sent = (size_t)r;
		while (*list && (*list)->len <= sent) {
			struct seg *s = *list;
			sent -= s->len;
			*list = s->next;
			if (s->release)
				s->release(s->ctx, s->base);
			if (heap)
				free(s);
			if (!*list)
				break;
		}
		if (*list) {
			(*list)->p += sent;
			(*list)->len -= sent;
		}
		if ((size_t)r < want)
			return false;
	}
	return true;
}

void conn_write(struct net_conn *c)
{
	const struct net_server *s = c->loop->server;
	c->flags &= ~(uint32_t)CONN_WRITES;
	if (c->flags & CONN_DEAD)
		return;
	bool all = !(c->flags & CONN_HELD);
	if (all && c->pend)
		all = send_list(c, &c->pend, &c->pend_bytes, true);
	if (all && c->out)
		all = send_list(c, &c->out, &c->out_bytes, false);
	if (c->out)
		keep_unsent(c);
	bool want = c->pend && !(c->flags & CONN_HELD);
	if (want != !!(c->flags & CONN_WANT_OUT)) {
		c->flags ^= CONN_WANT_OUT;
		conn_arm(c, false);
	}
	if (c->pend_bytes > s->o.high_water && !(c->flags & CONN_ABOVE)) {
		c->flags |= CONN_ABOVE;
		if (s->ev.watermark)
			s->ev.watermark(c, true);
	} else if (c->pend_bytes <= s->o.low_water && (c->flags & CONN_ABOVE)) {
		c->flags &= ~(uint32_t)CONN_ABOVE;
		if (s->ev.watermark)
			s->ev.watermark(c, false);
	}
	if (s->o.output_limit && c->pend_bytes > s->o.output_limit)
		net_close_now(c, NET_BY_OVERFLOW);
	if ((c->flags & CONN_CLOSING) && !c->pend && !c->out)
		net_close_now(c, NET_BY_US);
}

size_t net_out_pending(const struct net_conn *c)
{
	return c->out_bytes + c->pend_bytes;
}

size_t net_out_memory(const struct net_conn *c)
{
	return c->pend_bytes;
}

void net_hold_output(struct net_conn *c, bool hold)
{
	c->flags = hold ? c->flags | CONN_HELD : c->flags & ~(uint32_t)CONN_HELD;
	wants_write(c);
}

/* ------------------------------------------------------------------ closing */

void net_close(struct net_conn *c)
{
	if (c->flags & (CONN_CLOSING | CONN_DEAD))
		return;
	c->flags |= CONN_CLOSING;
	c->deadline_ms = c->loop->now_ms + c->loop->server->o.close_timeout_ms;
	conn_arm(c, false);
	wants_write(c);
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

void conn_action(struct net_conn *c, enum net_action a)
{
	if (a == NET_CLOSE)
		net_close(c);
	else if (a == NET_SHUTDOWN)
		net_server_stop(c->loop->server, 5000);
}

void conn_destroy(struct net_conn *c)
{
	struct net_loop *l = c->loop;
	if (l->server->ev.close)
		l->server->ev.close(c, c->reason);
	keep_unsent(c);
	while (c->pend) {
		struct seg *s = c->pend;
		c->pend = s->next;
		if (s->release)
			s->release(s->ctx, s->base);
		free(s);
	}
	close(c->fd);
	free(c->in);
	*c->prev = c->next;
	if (c->next)
		c->next->prev = c->prev;
	l->slots[c->slot] = (struct net_conn *)((uintptr_t)l->free_slot * 2 + 1);
	l->free_slot = c->slot;
	atomic_fetch_sub_explicit(&l->conn_count, 1, memory_order_relaxed);
	l->stats.closed++;
	free(c);
}

/* ------------------------------------------------------------------ questions */

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

static int format_addr(const struct sockaddr_storage *a, char *buf, size_t size)
{
	char host[64] = "";
	if (a->ss_family == AF_INET) {
		const struct sockaddr_in *in = (const void *)a;
		inet_ntop(AF_INET, &in->sin_addr, host, sizeof host);
		return snprintf(buf, size, "%s:%d", host, ntohs(in->sin_port));
	}
	if (a->ss_family == AF_INET6) {
		const struct sockaddr_in6 *in = (const void *)a;
		inet_ntop(AF_INET6, &in->sin6_addr, host, sizeof host);
		return snprintf(buf, size, "[%s]:%d", host, ntohs(in->sin6_port));
	}
	return -1;
}

static int own_path(const struct net_conn *c, char *buf, size_t size)
{
	struct sockaddr_un un = { 0 };
	socklen_t len = sizeof un;
	if (getsockname(c->fd, (struct sockaddr *)&un, &len))
		un.sun_path[0] = 0;
	return snprintf(buf, size, "%s:0", un.sun_path);
}

int net_conn_peer(const struct net_conn *c, char *buf, size_t size)
{
	struct sockaddr_storage a;
	socklen_t len = sizeof a;
	if (getpeername(c->fd, (struct sockaddr *)&a, &len) == 0 && a.ss_family != AF_UNIX)
		return format_addr(&a, buf, size);
	return own_path(c, buf, size);
}

int net_conn_local(const struct net_conn *c, char *buf, size_t size)
{
	struct sockaddr_storage a;
	socklen_t len = sizeof a;
	if (getsockname(c->fd, (struct sockaddr *)&a, &len) == 0 && a.ss_family != AF_UNIX)
		return format_addr(&a, buf, size);
	return own_path(c, buf, size);
}
