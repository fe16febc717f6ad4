/*
 * deadline: timeouts of one connection. They share one timer, which is not moved when bytes arrive: when it fires it
 * looks whether the connection was silent long enough, so that traffic costs nothing.
 */
#include <errno.h>

#include "net/internal.h"

static int64_t earlier(int64_t a, int64_t b)
{
	return b && b < a ? b : a;
}

static int64_t next_due(const struct net_conn *c)
{
	const struct extra *x = c->extra;
	int64_t due = INT64_MAX, now = c->loop->now_ms;
	if (x->idle_ms > 0)
		due = now - (uint32_t)((uint32_t)now - c->active_ms) + x->idle_ms;
	due = earlier(due, x->close_due);
	due = earlier(due, x->read_due);
	return earlier(due, x->write_due);
}

static void fire(struct net_loop *l, struct net_timer *t)
{
	struct extra *x = (struct extra *)((char *)t - offsetof(struct extra, timer));
	if (x->write_due && l->now_ms >= x->write_due && !net_out_pending(x->conn))
		x->write_due = 0;
	int64_t due = next_due(x->conn);
	if (due <= l->now_ms)
		net_close_now(x->conn, NET_BY_TIMEOUT);
	else if (due != INT64_MAX)
		net_timer_set(l, t, due - l->now_ms);
}

void deadline_set(struct net_conn *c)
{
	struct extra *x = c->extra;
	int64_t due = next_due(c);
	x->timer.fire = fire;
	if (due == INT64_MAX)
		net_timer_clear(c->loop, &x->timer);
	else
		net_timer_set(c->loop, &x->timer, due - c->loop->now_ms);
}

void deadline_clear(struct net_conn *c)
{
	net_timer_clear(c->loop, &c->extra->timer);
}

void net_set_idle_timeout(struct net_conn *c, int ms)
{
	if (ms <= 0 && !c->extra)
		return;
	if (!conn_extra(c)) {
		net_close_now(c, ENOMEM);
		return;
	}
	c->extra->idle_ms = ms > 0 ? ms : 0;
	deadline_set(c);
}

int net_set_read_deadline(struct net_conn *c, int64_t delay_ms)
{
	if (delay_ms < 0 && !c->extra)
		return 0;
	if (!conn_extra(c))
		return -ENOMEM;
	c->extra->read_due = delay_ms < 0 ? 0 : c->loop->now_ms + delay_ms;
	deadline_set(c);
	return 0;
}

int net_set_write_deadline(struct net_conn *c, int64_t delay_ms)
{
	if (delay_ms < 0 && !c->extra)
		return 0;
	if (!conn_extra(c))
		return -ENOMEM;
	c->extra->write_due = delay_ms < 0 ? 0 : c->loop->now_ms + delay_ms;
	deadline_set(c);
	return 0;
}
