/*
 * input: bytes from the socket to the view that net_peek() gives. A connection that keeps little is read into the turn's
 * arena, behind a copy of what it kept; one that waits for a large message reads into its own growing buffer.
 */
#include <errno.h>
#include <string.h>

#include "net/internal.h"

#define KEEP_SMALL (16 * 1024)
#define CONN_STILL (CONN_PAUSED | CONN_HIGH_PAUSE | CONN_LEAVING) /* data() is not called */

static size_t kept_bytes(const struct net_conn *c)
{
	return c->in ? c->in->len - c->in->off : 0;
}

static void free_in(struct net_conn *c)
{
	if (c->in) {
		c->loop->stats.memory -= c->in->cap;
		c->loop->server->o.realloc(c->in, 0);
		c->in = NULL;
	}
}

static bool resize_in(struct net_conn *c, size_t cap)
{
	struct inbuf *b = c->in;
	size_t old = b ? b->cap : 0;
	if (cap > SIZE_MAX / 2)
		return false;
	b = c->loop->server->o.realloc(b, sizeof *b + cap);
	if (!b)
		return false;
	if (!old)
		b->off = b->len = 0;
	b->cap = cap;
	c->in = b;
	c->loop->stats.memory += cap - old;
	return true;
}

/* Room in the connection's own buffer. It grows with what has arrived: by half as much again and, when the user said
 * how much is to come, not beyond that. */
static char *own_room(struct net_conn *c, size_t room)
{
	size_t kept = kept_bytes(c), expect = (size_t)c->expect_kb << 10;
	if (c->in && c->in->cap - c->in->len < room && c->in->off) {
		memmove(c->in->bytes, c->in->bytes + c->in->off, kept);
		c->in->off = 0;
		c->in->len = kept;
	}
	if (!c->in || c->in->cap - c->in->len < room) {
		size_t least = kept + room, more = kept + kept / 2 + room;
		if (expect && kept + expect + room < more)
			more = kept + expect + room;
		if (!resize_in(c, more > least ? more : least))
			return NULL;
	}
	c->view = c->in->bytes + c->in->off;
	c->flags |= CONN_OWN_VIEW;
	return c->in->bytes + c->in->len;
}

/* Where the next bytes go: behind what is kept. */
static char *read_room(struct net_conn *c, size_t room)
{
	size_t kept = kept_bytes(c);
	if (kept > KEEP_SMALL || ((size_t)c->expect_kb << 10) > room)
		return own_room(c, room);
	char *p = arena_alloc(&c->loop->in, kept + room);
	if (!p)
		return NULL;
	if (kept) {
		memcpy(p, c->in->bytes + c->in->off, kept);
		c->in->len = c->in->off = 0;
	}
	c->view = p;
	c->flags &= ~(uint32_t)CONN_OWN_VIEW;
	return p + kept;
}

/* Read c in the next turn (or later in this one) without being told by the poller. */
void conn_more(struct net_conn *c)
{
	if (!(c->flags & (CONN_MORE | CONN_DEAD)) && conns_add(&c->loop->more, c))
		c->flags |= CONN_MORE;
}

static ssize_t receive(struct net_conn *c, char *p, size_t room)
{
	if (__builtin_expect(c->extra && c->extra->transport, 0))
		return c->extra->transport->read(c->extra->state, c->fd, p, room);
	ssize_t n = recv(c->fd, p, room, 0);
	return n < 0 ? -errno : n;
}

/* Whether the poller may stay silent although there is more to read. */
static bool silent_rest(const struct net_conn *c, ssize_t n, size_t room)
{
	const struct extra *x = c->extra;
	if (x && x->transport && x->transport->pending && x->transport->pending(x->state))
		return true;
	return c->loop->server->o.edge_triggered && (n == (ssize_t)room || (c->flags & CONN_EOF_SEEN));
}

static void count(struct net_conn *c, size_t n)
{
	struct net_loop *l = c->loop;
	uint32_t kb = (uint32_t)(n >> 10);
	l->stats.bytes_in += n;
	l->stats.reads++;
	l->gather.conns += c->gather_window != l->gather.window;
	c->gather_window = l->gather.window;
	l->turn_read += n;
	c->expect_kb = c->expect_kb > kb ? c->expect_kb - kb : 0;
	c->active_ms = (uint32_t)l->now_ms;
}

static void received(struct net_conn *c, ssize_t n, size_t room)
{
	if (n > 0) {
		count(c, (size_t)n);
		if (silent_rest(c, n, room))
			conn_more(c);
		conn_data(c);
	} else if (n == 0) {
		net_close_now(c, NET_BY_PEER);
	} else if (n != -EAGAIN && n != -EINTR) {
		net_close_now(c, (int)-n);
	}
}

/* What came while the connection was paused. */
static void show_unseen(struct net_conn *c)
{
	if (!(c->flags & CONN_UNSEEN) || (c->flags & CONN_STILL))
		return;
	c->flags &= ~(uint32_t)CONN_UNSEEN;
	conn_data(c);
}

void conn_read(struct net_conn *c)
{
	struct net_loop *l = c->loop;
	size_t room = l->server->o.read_cap, kept = kept_bytes(c);
	if (c->flags & (CONN_CLOSING | CONN_DEAD))
		return;
	if (conn_completes(c)) {
		show_unseen(c);
		return;
	}
	if ((c->flags & (CONN_PAUSED | CONN_HIGH_PAUSE | CONN_VIEW)) || l->turn_read >= l->server->o.turn_cap) {
		c->flags |= CONN_UNREAD; /* level-triggered pollers report it again; for others conn_end_turn() asks */
		conn_touch(c);
		return;
	}
	char *p = read_room(c, room);
	if (!p) {
		net_close_now(c, ENOMEM);
		return;
	}
	c->flags &= ~(uint32_t)CONN_UNREAD;
	ssize_t n = receive(c, p, room);
	size_t got = n > 0 ? (size_t)n : 0;
	if (!(c->flags & CONN_OWN_VIEW))
		l->in.pos = (char *)(((uintptr_t)p + got + 15) & ~(uintptr_t)15);
	else
		c->in->len += got;
	c->view_len = kept + got;
	c->flags |= CONN_VIEW;
	conn_touch(c);
	received(c, n, room);
}

static bool keep_view(struct net_conn *c)
{
	if (c->flags & CONN_OWN_VIEW) {
		c->in->off = c->in->len - c->view_len;
		return true;
	}
	if ((!c->in || c->in->cap < c->view_len) && !resize_in(c, c->view_len))
		return false;
	memcpy(c->in->bytes, c->view, c->view_len);
	c->in->off = 0;
	c->in->len = c->view_len;
	return true;
}

/* The view of a turn is valid until its end, so it can be replaced, but not added to. Much output is written first: it
 * may turn out that the peer does not take it. */
bool conn_takes(const struct net_conn *c)
{
	return !(c->flags & CONN_VIEW) || (!c->view_len && c->out_bytes < c->loop->server->o.read_cap);
}

/* Bytes that the poller holds until its next wait become the view, behind a copy of what was kept. */
static bool show(struct net_conn *c, char *p, size_t n)
{
	size_t kept = c->flags & CONN_VIEW ? 0 : kept_bytes(c);
	if (kept) {
		char *to = read_room(c, n);
		if (!to)
			return false;
		memcpy(to, p, n);
		if (c->flags & CONN_OWN_VIEW)
			c->in->len += n;
		else
			c->loop->in.pos = (char *)(((uintptr_t)to + n + 15) & ~(uintptr_t)15);
	} else {
		c->view = p;
		c->flags &= ~(uint32_t)CONN_OWN_VIEW;
	}
	c->view_len = kept + n;
	c->flags |= CONN_VIEW;
	conn_touch(c);
	return true;
}

void conn_received(struct net_conn *c, char *bytes, int n)
{
	if (c->flags & (CONN_CLOSING | CONN_DEAD))
		return;
	if (n < 0) {
		net_close_now(c, -n);
	} else if (n == 0) {
		if (!(c->flags & CONN_STILL)) /* else it is told again */
			net_close_now(c, NET_BY_PEER);
	} else if (!show(c, bytes, (size_t)n)) {
		net_close_now(c, ENOMEM);
	} else {
		count(c, (size_t)n);
		c->flags |= CONN_UNSEEN;
		show_unseen(c);
	}
}

/* Save what was not discarded and tell the poller what changed. */
void conn_end_turn(struct net_conn *c)
{
	c->flags &= ~(uint32_t)CONN_TOUCHED;
	if (c->flags & CONN_VIEW) {
		c->flags &= ~(uint32_t)CONN_VIEW;
		if (!c->view_len)
			free_in(c);
		else if (!keep_view(c))
			net_close_now(c, ENOMEM);
		c->view = NULL;
		c->view_len = 0;
	}
	if (c->flags & CONN_DEAD)
		return;
	conn_watch(c);
	if ((c->flags & CONN_UNREAD) && c->loop->server->o.edge_triggered &&
	    !(c->flags & (CONN_PAUSED | CONN_HIGH_PAUSE)))
		conn_more(c);
}

const char *net_peek(struct net_conn *c, size_t *len)
{
	if (!(c->flags & CONN_VIEW)) {
		*len = kept_bytes(c);
		if (!*len)
			return NULL;
		c->view = c->in->bytes + c->in->off;
		c->view_len = *len;
		c->flags |= CONN_VIEW | CONN_OWN_VIEW;
		conn_touch(c);
	}
	*len = c->view_len;
	return c->view;
}

void net_discard(struct net_conn *c, size_t n)
{
	if (!(c->flags & CONN_VIEW)) {
		size_t len;
		net_peek(c, &len);
	}
	if (n > c->view_len)
		n = c->view_len;
	c->view += n;
	c->view_len -= n;
}

size_t net_read(struct net_conn *c, void *buf, size_t size)
{
	size_t len;
	const char *p = net_peek(c, &len);
	size = size < len ? size : len;
	if (size) {
		memcpy(buf, p, size);
		net_discard(c, size);
	}
	return size;
}

void net_expect(struct net_conn *c, size_t n)
{
	size_t kb = (n >> 10) + 1;
	c->expect_kb = kb > UINT32_MAX ? UINT32_MAX : (uint32_t)kb;
}

void net_pause_read(struct net_conn *c)
{
	c->flags |= CONN_PAUSED;
	conn_touch(c);
}

void net_resume_read(struct net_conn *c)
{
	c->flags &= ~(uint32_t)CONN_PAUSED;
	conn_touch(c);
	if ((c->extra && c->extra->transport) || (c->flags & CONN_UNSEEN))
		conn_more(c);
	codec_resume(c);
}

void net_wake(struct net_conn *c)
{
	if (!(c->flags & (CONN_WAKE | CONN_DEAD)) && conns_add(&c->loop->wakes, c))
		c->flags |= CONN_WAKE;
}

size_t net_in_capacity(const struct net_conn *c)
{
	return c->in ? c->in->cap : 0;
}
