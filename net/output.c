/*
 * output: replies gather in the turn's arena as segments and leave with one system call per connection; what the socket
 * does not take is copied to the heap and waits for it.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "net/internal.h"

#define IOV_PER_SEND 64

static void wants_write(struct net_conn *c)
{
	if (!(c->flags & CONN_WRITES)) {
		c->flags |= CONN_WRITES;
		list_add(&c->loop->writes, c);
	}
}

static struct seg *new_seg(struct net_conn *c, const char *p)
{
	struct seg *s = arena_alloc(&c->loop->misc, sizeof *s);
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
		char *p = arena_alloc(a, least);
		if (!p)
			return -ENOMEM;
		a->pos = p;
	}
	struct seg *t = c->out_tail;
	if (!c->out || t->release || t->p + t->len != a->pos) { /* somebody else wrote in between */
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
		struct iovec iov[IOV_PER_SEND];
		int n = 0;
		size_t want = 0;
		for (struct seg *s = *list; s && n < IOV_PER_SEND; s = s->next) {
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

static void drop_list(struct seg *s, bool heap)
{
	while (s) {
		struct seg *next = s->next;
		if (s->release)
			s->release(s->ctx, s->base);
		if (heap)
			free(s);
		s = next;
	}
}

/* Tell the user when the unsent output crosses a watermark. */
static void check_watermarks(struct net_conn *c)
{
	const struct net_server *s = c->loop->server;
	bool above = c->flags & CONN_ABOVE;
	if (above ? c->pend_bytes > s->o.low_water : c->pend_bytes <= s->o.high_water)
		return;
	c->flags ^= CONN_ABOVE;
	if (s->o.pause_on_high) {
		if (above)
			net_resume_read(c);
		else
			net_pause_read(c);
	}
	if (s->ev.watermark)
		s->ev.watermark(c, !above);
}

static void write_now(struct net_conn *c)
{
	c->flags &= ~(uint32_t)CONN_WRITES;
	bool all = !(c->flags & CONN_HELD);
	if (all && c->pend)
		all = send_list(c, &c->pend, &c->pend_bytes, true);
	if (all && c->out)
		all = send_list(c, &c->out, &c->out_bytes, false);
	if (c->out)
		keep_unsent(c);
	if (c->flags & CONN_DEAD)
		return;
	bool want = c->pend && !(c->flags & CONN_HELD);
	if (want != !!(c->flags & CONN_WANT_OUT)) {
		c->flags ^= CONN_WANT_OUT;
		conn_arm(c, false);
	}
}

void conn_write(struct net_conn *c)
{
	const struct net_server *s = c->loop->server;
	if (s->ev.flush && !(c->flags & CONN_DEAD))
		conn_action(c, s->ev.flush(c));
	if (c->flags & CONN_DEAD)
		return;
	write_now(c);
	if (c->flags & CONN_DEAD)
		return;
	check_watermarks(c);
	if (s->o.output_limit && c->pend_bytes > s->o.output_limit)
		net_close_now(c, NET_BY_OVERFLOW);
	else if (!c->pend && (c->flags & CONN_CLOSING))
		net_close_now(c, NET_BY_US);
	else if (!c->pend && (c->flags & (CONN_FIN | CONN_SHUT)) == CONN_FIN) {
		c->flags |= CONN_SHUT;
		shutdown(c->fd, SHUT_WR);
	}
}

int net_writev(struct net_conn *c, const struct iovec *iov, int n)
{
	int err = 0;
	for (int i = 0; i < n && !err; i++)
		err = net_write(c, iov[i].iov_base, iov[i].iov_len);
	return err;
}

int net_flush(struct net_conn *c)
{
	if (c->flags & CONN_DEAD)
		return -EPIPE;
	bool listed = c->flags & CONN_WRITES;
	write_now(c);
	if (listed)
		c->flags |= CONN_WRITES; /* it stays in the list of this turn */
	return c->flags & CONN_DEAD ? -EPIPE : 0;
}

void net_loop_flush(struct net_loop *l)
{
	for (unsigned i = 0; i < l->writes.n; i++) {
		if (!(l->writes.v[i]->flags & CONN_DEAD))
			net_flush(l->writes.v[i]);
	}
}

int net_shutdown_write(struct net_conn *c)
{
	if (c->flags & (CONN_CLOSING | CONN_DEAD))
		return -EPIPE;
	c->flags |= CONN_FIN;
	wants_write(c);
	return 0;
}

void conn_drop_output(struct net_conn *c)
{
	drop_list(c->out, false);
	drop_list(c->pend, true);
	c->out = c->pend = NULL;
	c->out_bytes = c->pend_bytes = 0;
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

