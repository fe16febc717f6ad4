/*
 * input: bytes from the socket to the view that net_peek() gives. A connection that keeps little is read into the turn's
 * arena, behind a copy of what it kept; one that waits for a large message reads into its own growing buffer.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "net/internal.h"

#define KEEP_SMALL (16 * 1024)

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
	char *p = arena_alloc(&l->in, kept + room);
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

