/*
 * block_serve: the writer's side of block.h: which keys were touched, and running the commands of who waits for them.
 *
 * A command's touches gather in its loop's list of ready queues and are served at its end, while its locks are held. What
 * was touched without a lock that lasts (the ticker's expiry, SCAN), or what needs a lock that the writer does not have,
 * goes to the list of late ones and is served alone.
 */
#include <assert.h>
#include <stdlib.h>

#include "server/account.h"
#include "server/block_queue.h"
#include "server/clock.h"
#include "server/dispatch.h"
#include "server/exec.h"
#include "server/server.h"
#include "server/touch.h"
#include "server/worker.h"

#define LOOK_MOST 256 /* waiters of one key that are looked at before a command */

/* This loop's lists. A queue is in at most one list of each kind, whoever's it is. */
static _Thread_local struct {
	struct block_queue *ready, **ready_tail;
	struct block_queue *late, **late_tail;
} mine;

/* ------------------------------------------------------------------ locks */

bool block_locked(const struct store *s, const struct store_lockset *ls, uint64_t hash)
{
	unsigned shard = store_shard_of(s, hash);
	for (unsigned i = 0; i < ls->n; i++) {
		if (ls->shards[i] == shard)
			return true;
	}
	return false;
}

static bool held(const struct call *c, uint64_t hash)
{
	switch (c->held) {
	case CALL_HOLDS_ONE:
		return store_shard_of(c->op.store, hash) == store_shard_of(c->op.store, c->held_hash);
	case CALL_HOLDS_SET:
		return server_loops() == 1 || block_locked(c->op.store, c->locks, hash);
	case CALL_HOLDS_ALL:
		return true;
	}
	return false;
}

bool block_holds(const struct call *c, unsigned i)
{
	return !c->waiter || held(c, store_key(c->op.store, c->argv[i].ptr, c->argv[i].len).hash);
}

/* ------------------------------------------------------------------ touched keys */

static void add_ready(struct worker *w, struct block_queue *q)
{
	if (q->ready)
		return;
	q->ready = true;
	q->next_ready = NULL;
	if (!mine.ready)
		mine.ready_tail = &mine.ready;
	*mine.ready_tail = q;
	mine.ready_tail = &q->next_ready;
	w->block_ready = true;
}

static void add_late(struct worker *w, struct block_queue *q)
{
	if (q->late)
		return;
	q->late = true;
	q->next_late = NULL;
	if (!mine.late)
		mine.late_tail = &mine.late;
	*mine.late_tail = q;
	mine.late_tail = &q->next_late;
	w->block_late = true;
}

/* Whether the key has now what somebody may wait for. One that is about to go is not looked at: that would remove it. */
static bool may_serve(struct call *c, const struct store_key *key, unsigned notify_class, const char *event)
{
	if (notify_class == NOTIFY_STREAM && event && strcmp(event, "xadd"))
		return false; /* about groups, or what has gone */
	struct entry *e = notify_class & (NOTIFY_EXPIRED | NOTIFY_EVICTED) ? NULL : store_find(&c->op, key, STORE_PEEK);
	enum store_type_id type = e ? entry_type(e) : STORE_STRING;
	return type == STORE_LIST || type == STORE_ZSET || type == STORE_STREAM;
}

static void queue_ready(void *ctx, struct block_queue *q)
{
	add_ready(ctx, q);
}

void block_touched(struct call *c, const struct store_key *key, unsigned kinds, unsigned notify_class, const char *event)
{
	struct worker *w = worker_current;
	if (!(kinds & TOUCH_CHANGE) || !block_waiting() || !w)
		return;
	if (!key) {
		block_each_queue(c->op.db, queue_ready, w);
		return;
	}
	struct block_queue *q = block_queue_find(c->op.store, c->op.db, key);
	if (!q)
		return;
	if (!q->if_gone && ((kinds & TOUCH_OVER) || !may_serve(c, key, notify_class, event)))
		return;
	/* Without a lock that lasts there is only expiry and eviction. */
	bool lasting = c->client && c->held != CALL_HOLDS_NONE;
	if (lasting && held(c, key->hash))
		add_ready(w, q);
	else if (lasting || q->if_gone)
		add_late(w, q);
}

/* ------------------------------------------------------------------ serving */

/* Run its command as if it came now. */
static void run_waiter(struct call *outer, struct waiter *wt)
{
	struct worker *w = worker_current;
	uint64_t began = w->ticks, start = clock_ticks();
	struct call in = { .argv = wt->argv, .argc = wt->argc, .cmd = wt->cmd, .client = &wt->shadow, .reply = &wt->reply,
		               .op = outer->op, .loop = outer->loop, .alone = outer->alone, .held = outer->held,
		               .held_hash = outer->held_hash, .locks = outer->locks, .waiter = wt };
	in.op.db = wt->shadow.db;
	in.op.no_touch = wt->shadow.flags & CLIENT_NO_TOUCH;
	in.op.ctx = &in;
	wt->again = false;
	w->ticks = start;
	bool ran = dispatch_waiter(&in);
	if (!wt->again)
		account(w, &in, ran);
	w->ticks = began + (clock_ticks() - start); /* not the writer's time */
}

/* It is claimed. true: it is done with; otherwise it goes on waiting where it is. */
static bool serve(struct call *c, struct waiter *w)
{
	int state = BLOCK_CLAIMED;
	run_waiter(c, w);
	if (w->again) {
		reply_reset(&w->reply);
		if (atomic_compare_exchange_strong(&w->state, &state, BLOCK_WAITING))
			return false;
	}
	w->served = !w->again;
	for (unsigned i = 0; i < w->n; i++) {
		struct block_link *l = &w->links[i];
		if (held(c, l->hash) && atomic_load_explicit(&l->linked, memory_order_relaxed))
			block_link_remove(l);
	}
	block_uncount(w);
	atomic_store(&w->state, BLOCK_DONE);
	block_post(w); /* from here on it is its loop's */
	return true;
}

static bool fits(const struct waiter *w, const struct entry *e)
{
	static const enum store_type_id types[] = { [BLOCK_LIST] = STORE_LIST, [BLOCK_ZSET] = STORE_ZSET,
		                                        [BLOCK_STREAM] = STORE_STREAM,
		                                        [BLOCK_TIME] = STORE_TYPES, [BLOCK_LOG] = STORE_TYPES };
	return w->if_gone || (e && entry_type(e) == types[w->kind]);
}

/* false: its next waiter needs a key that is not locked. */
static bool serve_queue(struct call *c, struct block_queue *q)
{
	struct store_key key = { q->key, q->len, q->hash };
	struct store_op op = c->op;
	struct block_link *next;
	op.db = q->db;
	for (struct block_link *l = q->first; l; l = next) {
		struct waiter *w = l->waiter;
		int state = atomic_load(&w->state);
		next = l->next;
		if (state != BLOCK_WAITING) {
			block_link_remove(l);
			continue;
		}
		const struct entry *e = store_find(&op, &key, STORE_PEEK);
		if (!e && !q->if_gone)
			break;
		if (!fits(w, e))
			continue;
		if (w->has_target && !held(c, w->target_hash))
			return false;
		if (!atomic_compare_exchange_strong(&w->state, &state, BLOCK_CLAIMED))
			block_link_remove(l);
		else
			serve(c, w);
	}
	return true;
}

/* The rest is served alone, in the same order. */
static void postpone(struct worker *w)
{
	while (mine.ready) {
		struct block_queue *q = mine.ready;
		mine.ready = q->next_ready;
		q->ready = false;
		add_late(w, q);
	}
}

void block_serve(struct call *c)
{
	struct worker *w = worker_current;
	if (!w->block_posts) {
		w->block_posts = true;
		net_post_hold(); /* wake-ups wait until the locks are free */
	}
	while (mine.ready) {
		struct block_queue *q = mine.ready;
		if (!serve_queue(c, q)) {
			postpone(w);
			break;
		}
		mine.ready = q->next_ready; /* what was touched meanwhile is behind it */
		q->ready = false;
		block_queue_release(q);
	}
	w->block_ready = false;
}

static void serve_alone(struct worker *w)
{
	struct call c = { .client = NULL, .reply = &w->reply, .loop = w->index, .alone = true, .held = CALL_HOLDS_ALL };
	worker_op(w, 0, &c.op);
	c.op.exclusive = true;
	c.op.ctx = &c;
	while (mine.late) {
		struct block_queue *q = mine.late;
		mine.late = q->next_late;
		q->late = false;
		add_ready(w, q);
	}
	w->block_late = false;
	block_serve(&c);
}

void block_serve_late(struct worker *w)
{
	if (w->block_late) {
		exec_alone_begin(w->index);
		worker_refresh_clock(w);
		/* Once the data was saved for the last time, those who wait get nothing of it any more. */
		while (w->block_late && !(dispatch_gates_now() & GATE_CLOSED))
			serve_alone(w);
		exec_alone_end(w->index);
	}
	if (w->block_posts) {
		w->block_posts = false;
		net_post_release();
	}
}

/* ------------------------------------------------------------------ what is to be locked */

bool block_has_further(const struct store *s, uint64_t hash)
{
	for (const struct block_queue *q = block_queues(s, hash); q; q = q->next) {
		if (q->hash == hash && q->further)
			return true;
	}
	return false;
}

static void want(const struct store *s, const struct store_lockset *ls, uint64_t hash, bool must,
                 struct block_more *more)
{
	if (block_locked(s, ls, hash) && !must)
		return;
	for (unsigned i = 0; i < more->n; i++) {
		if (more->hash[i] == hash)
			return;
	}
	if (more->n < BLOCK_MORE)
		more->hash[more->n++] = hash;
	else if (must)
		more->alone = true;
}

static void look_at_queue(const struct store *s, const struct store_lockset *ls, const struct block_queue *q,
                          unsigned limit, struct block_more *more)
{
	unsigned seen = 0;
	for (const struct block_link *l = q->first; l && seen < limit && !more->alone; l = l->next) {
		const struct waiter *w = l->waiter;
		if (atomic_load_explicit(&w->state, memory_order_relaxed) != BLOCK_WAITING)
			continue;
		if (w->has_target && w->target_hash == q->hash)
			continue; /* takes nothing away, and is locked */
		if (seen++ == LOOK_MOST) {
			more->alone = true;
			return;
		}
		if (w->has_target)
			want(s, ls, w->target_hash, true, more);
		for (unsigned i = 0; i < w->n; i++)
			want(s, ls, w->links[i].hash, false, more);
	}
}

void block_look(const struct store *s, const struct store_lockset *ls, uint64_t hash, unsigned limit,
                struct block_more *more)
{
	for (const struct block_queue *q = block_queues(s, hash); q; q = q->next) {
		if (q->hash == hash && q->further)
			look_at_queue(s, ls, q, limit, more);
	}
}
