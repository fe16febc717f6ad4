/* hold: see hold.h. */
#include "server/hold.h"

#include <stdatomic.h>
#include <stdlib.h>

#include "server/dispatch.h"
#include "server/journal/aof_log.h"
#include "server/journal/journal.h"
#include "server/server.h"
#include "server/worker.h"

static atomic_bool on;
static _Atomic uint64_t parked;

void hold_set(bool v)
{
	atomic_store(&on, v);
}

bool hold_on(void)
{
	return atomic_load_explicit(&on, memory_order_relaxed);
}

void hold_wake(void)
{
	for (unsigned i = 0; i < server_loops(); i++) {
		struct worker *w = worker_of(i);
		if (w && atomic_load(&w->hold.waiting) && atomic_exchange(&w->hold.waiting, false) && w->net)
			net_loop_wake(w->net);
	}
}

void hold_want_wake(struct worker *w)
{
	atomic_store(&w->hold.waiting, true);
}

uint64_t hold_parked(void)
{
	return atomic_load_explicit(&parked, memory_order_relaxed);
}

/* ------------------------------------------------------------------ a queue of waiting connections */

static bool push(struct hold_queue *q, net_conn_id id, uint64_t sequence)
{
	if (q->n == q->cap) {
		unsigned cap = q->cap ? q->cap * 2 : 64;
		struct hold_item *v = malloc(cap * sizeof *v);
		if (!v)
			return false;
		for (unsigned i = 0; i < q->n; i++)
			v[i] = q->v[(q->first + i) & (q->cap - 1)];
		free(q->v);
		q->v = v;
		q->first = 0;
		q->cap = cap;
	}
	q->v[(q->first + q->n++) & (q->cap - 1)] = (struct hold_item){ id, sequence };
	return true;
}

static struct hold_item pop(struct hold_queue *q)
{
	struct hold_item it = q->v[q->first];
	q->first = (q->first + 1) & (q->cap - 1);
	q->n--;
	return it;
}

void hold_free(struct worker *w)
{
	free(w->hold.replies.v);
	free(w->hold.parked.v);
	w->hold.replies = w->hold.parked = (struct hold_queue){ 0 };
}

/* ------------------------------------------------------------------ replies */

/* The log cannot be written. Errors and what others wrote may be told; that a write of its own is safe may not. */
static enum net_action while_failing(struct client *c)
{
	if (c->journaled > aof_log_durable()) {
		c->flags |= CLIENT_CLOSE_ASAP;
		net_close_now(c->conn, NET_BY_US);
	}
	return NET_NONE;
}

enum net_action hold_flush(struct net_conn *conn)
{
	if (__builtin_expect(!atomic_load_explicit(&on, memory_order_relaxed), 1))
		return NET_NONE;
	struct client *c = net_conn_ctx(conn);
	struct worker *w = worker_current;
	if (!c || net_out_pending(conn) == 0)
		return NET_NONE;
	uint64_t tail = journal_tail(dispatch_journal());
	if (aof_log_durable() >= tail)
		return NET_NONE;
	/* The flag first, then another look: either the log's thread sees the flag or its step is seen here. */
	atomic_store(&w->hold.waiting, true);
	if (aof_log_durable() >= tail)
		return NET_NONE;
	if (aof_log_error())
		return while_failing(c);
	if ((c->flags & CLIENT_SYNCING) && c->held_until == tail)
		return NET_NONE;
	if (!push(&w->hold.replies, net_conn_id_of(conn), tail)) {
		net_close_now(conn, ENOMEM);
		return NET_NONE;
	}
	c->held_until = tail;
	if (!(c->flags & CLIENT_SYNCING)) {
		c->flags |= CLIENT_SYNCING;
		net_hold_output(conn, true);
	}
	return NET_NONE;
}

static void release(struct worker *w, uint64_t durable, bool failed)
{
	struct hold_queue *q = &w->hold.replies;
	while (q->n && (failed || q->v[q->first].sequence <= durable)) {
		struct hold_item it = pop(q);
		struct net_conn *conn = net_conn_find(w->net, it.id);
		struct client *c = conn ? net_conn_ctx(conn) : NULL;
		if (!c || !(c->flags & CLIENT_SYNCING) || (c->held_until > durable && !failed))
			continue; /* gone, or more came behind that waits longer */
		c->flags &= ~(uint32_t)CLIENT_SYNCING;
		if (c->journaled > durable) {
			/* Nobody knows whether it will be on the disk: no answer is the only true one. */
			c->flags |= CLIENT_CLOSE_ASAP;
			net_close_now(conn, NET_BY_US);
			continue;
		}
		net_hold_output(conn, false);
		net_flush(conn); /* at once: at the end of the turn it would be held for what others wrote since */
		net_wake(conn);
	}
}

static void unpark(struct worker *w)
{
	for (unsigned n = w->hold.parked.n; n && journal_admit(dispatch_journal()); n--) {
		struct hold_item it = pop(&w->hold.parked);
		struct net_conn *conn = net_conn_find(w->net, it.id);
		struct client *c = conn ? net_conn_ctx(conn) : NULL;
		if (!c || !(c->flags & CLIENT_PARKED))
			continue;
		c->flags &= ~(uint32_t)CLIENT_PARKED;
		net_wake(conn);
	}
	if (w->hold.parked.n) {
		hold_want_wake(w);
		if (journal_admit(dispatch_journal())) /* room was made before anybody knew that we wait */
			net_loop_wake(w->net);
	}
}

void hold_after_wait(struct worker *w)
{
	if (__builtin_expect(w->hold.parked.n, 0))
		unpark(w);
	if (__builtin_expect(!w->hold.replies.n, 1)) {
		w->hold.failures = aof_log_failures();
		return;
	}
	unsigned failures = aof_log_failures();
	bool failed = failures != w->hold.failures;
	w->hold.failures = failures;
	release(w, aof_log_durable(), failed);
	if (w->hold.replies.n) {
		hold_want_wake(w);
		if (aof_log_durable() >= w->hold.replies.v[w->hold.replies.first].sequence ||
		    aof_log_failures() != w->hold.failures)
			net_loop_wake(w->net);
	}
}

bool hold_park(struct worker *w, struct client *c)
{
	if (!push(&w->hold.parked, net_conn_id_of(c->conn), 0))
		return false;
	hold_want_wake(w);
	if (journal_admit(dispatch_journal())) {
		/* Room came in between. The entry finds a client that is not parked. */
		return false;
	}
	c->flags |= CLIENT_PARKED;
	atomic_fetch_add_explicit(&parked, 1, memory_order_relaxed);
	return true;
}

bool hold_park_frozen(struct worker *w, struct client *c)
{
	if (!push(&w->hold.parked, net_conn_id_of(c->conn), 0))
		return false;
	c->flags |= CLIENT_PARKED;
	return true;
}
