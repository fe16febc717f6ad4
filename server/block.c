/* block: see block.h. Who waits is kept here; serving them is in block_serve.c. */
#include "server/block.h"

#include <math.h>
#include <stdlib.h>

#include "server/acl.h"
#include "server/aof.h"
#include "server/block_queue.h"
#include "server/client.h"
#include "server/config.h"
#include "server/hold.h"
#include "server/server.h"
#include "server/touch.h"
#include "server/worker.h"
#include "store/number.h"

#define MAP_HEADS 64

/* The queues of one shard's keys; made when somebody first waits for one. */
struct block_map {
	struct block_queue *head[MAP_HEADS];
};

atomic_uint block_links;

static struct {
	struct block_map **maps; /* by shard */
	unsigned shards, feed;
	atomic_uint clients, timeouts, keys, keys_if_gone;
} all;

static void count(atomic_uint *counter, int by)
{
	atomic_fetch_add_explicit(counter, (unsigned)by, memory_order_relaxed);
}

int block_init(const struct store *s)
{
	all.shards = store_shards(s);
	all.maps = calloc(all.shards, sizeof *all.maps);
	all.feed = touch_register(block_touched);
	return all.maps ? 0 : -ENOMEM;
}

void block_free(void)
{
	for (unsigned i = 0; all.maps && i < all.shards; i++)
		free(all.maps[i]);
	free(all.maps);
	all.maps = NULL;
}

void block_get_stats(struct block_stats *out)
{
	*out = (struct block_stats){ .clients = atomic_load(&all.clients), .timeouts = atomic_load(&all.timeouts),
		                         .keys = atomic_load(&all.keys), .keys_if_gone = atomic_load(&all.keys_if_gone) };
}

/* ------------------------------------------------------------------ queues */

struct block_queue *block_queues(const struct store *s, uint64_t hash)
{
	struct block_map *m = all.maps[store_shard_of(s, hash)];
	return m ? m->head[hash & (MAP_HEADS - 1)] : NULL;
}

struct block_queue *block_queue_find(const struct store *s, unsigned db, const struct store_key *key)
{
	struct block_queue *q = block_queues(s, key->hash);
	while (q && !(q->hash == key->hash && q->db == db && q->len == key->len && !memcmp(q->key, key->ptr, key->len)))
		q = q->next;
	return q;
}

static struct block_queue *queue_new(const struct store *s, unsigned db, const struct store_key *key)
{
	struct block_map **m = &all.maps[store_shard_of(s, key->hash)];
	if (!*m && !(*m = calloc(1, sizeof **m)))
		return NULL;
	struct block_queue *q = malloc(sizeof *q + key->len);
	if (!q)
		return NULL;
	struct block_queue **head = &(*m)->head[key->hash & (MAP_HEADS - 1)];
	*q = (struct block_queue){ .next = *head, .prev = head, .hash = key->hash, .db = db, .len = key->len };
	memcpy(q->key, key->ptr, key->len);
	if (q->next)
		q->next->prev = &q->next;
	*head = q;
	count(&all.keys, 1);
	return q;
}

void block_queue_release(struct block_queue *q)
{
	if (q->n || q->ready || q->late)
		return;
	*q->prev = q->next;
	if (q->next)
		q->next->prev = q->prev;
	count(&all.keys, -1);
	free(q);
}

void block_link_remove(struct block_link *l)
{
	struct block_queue *q = l->queue;
	*l->prev = l->next;
	if (l->next)
		l->next->prev = l->prev;
	else
		q->tail = l->prev;
	q->n--;
	q->further -= l->waiter->further;
	if (l->waiter->if_gone && --q->if_gone == 0)
		count(&all.keys_if_gone, -1);
	count(&block_links, -1);
	atomic_store_explicit(&l->linked, false, memory_order_release);
	block_queue_release(q);
}

void block_each_queue(unsigned db, void (*fn)(void *ctx, struct block_queue *q), void *ctx)
{
	for (unsigned i = 0; i < all.shards; i++) {
		for (unsigned h = 0; all.maps[i] && h < MAP_HEADS; h++) {
			for (struct block_queue *q = all.maps[i]->head[h]; q; q = q->next) {
				if (q->db == db)
					fn(ctx, q);
			}
		}
	}
}

static bool link_add(struct call *c, struct waiter *w, const struct store_key *key)
{
	struct block_queue *q = block_queue_find(c->op.store, c->op.db, key);
	if (!q)
		q = queue_new(c->op.store, c->op.db, key);
	if (!q)
		return false;
	for (unsigned i = 0; i < w->n; i++) {
		if (w->links[i].queue == q)
			return true; /* a key that was named twice */
	}
	struct block_link *l = &w->links[w->n++];
	*l = (struct block_link){ .queue = q, .waiter = w, .hash = key->hash, .prev = q->n ? q->tail : &q->first };
	*l->prev = l;
	q->tail = &l->next;
	q->n++;
	q->further += w->further;
	if (w->if_gone && q->if_gone++ == 0)
		count(&all.keys_if_gone, 1);
	count(&block_links, 1);
	atomic_store_explicit(&l->linked, true, memory_order_release);
	return true;
}

/* locked: the caller holds the shards of all of them. */
static void unlink_all(struct waiter *w, bool locked)
{
	for (unsigned i = 0; i < w->n; i++) {
		struct block_link *l = &w->links[i];
		if (!atomic_load_explicit(&l->linked, memory_order_acquire))
			continue;
		if (!locked)
			store_lock(server_store(), l->hash);
		if (atomic_load_explicit(&l->linked, memory_order_relaxed))
			block_link_remove(l);
		if (!locked)
			store_unlock(server_store(), l->hash);
	}
}

/* ------------------------------------------------------------------ the end of a wait */

static void waiter_free(struct waiter *w)
{
	acl_become(&w->shadow, NULL);
	reply_clear(&w->reply);
	free(w->links);
	free(w);
}

/* What counts for a command that was not served. */
static void account_end(struct waiter *w)
{
	struct worker *me = worker_current;
	stats_add(&me->stats->command[w->cmd->id].calls, 1);
	stats_add(&me->stats->counter[STAT_COMMANDS], 1);
	if (!w->reply.errored)
		return;
	stats_add(&me->stats->command[w->cmd->id].failed, 1);
	stats_add(&me->stats->counter[STAT_ERRORS], 1);
	stats_error(w->reply.error_code);
}

static void write_end(struct waiter *w)
{
	if (w->end == BLOCK_ERROR)
		reply_error(&w->reply, "UNBLOCKED client unblocked via CLIENT UNBLOCK");
	else if (w->timed_out)
		w->timed_out(&w->reply, w->sequence);
	else
		reply_null_array(&w->reply);
	account_end(w);
}

/* This loop's clients that wait for the log. */
static _Thread_local struct waiter *for_log;

static void leave_log(struct waiter *w)
{
	if (w->kind != BLOCK_LOG)
		return;
	for (struct waiter **at = &for_log; *at; at = &(*at)->next_logged) {
		if (*at == w) {
			*at = w->next_logged;
			return;
		}
	}
}

/* The wait is over, and nobody else will touch the record: the client goes on. Its loop. */
static void finish(struct net_loop *l, struct waiter *w)
{
	struct client *cl = w->client;
	net_timer_clear(l, &w->timer);
	unlink_all(w, false);
	leave_log(w);
	if (cl) {
		size_t len;
		cl->journaled = w->shadow.journaled > cl->journaled ? w->shadow.journaled : cl->journaled;
		if (!w->served)
			write_end(w);
		const char *bytes = reply_bytes(&w->reply, &len);
		cl->block = NULL;
		cl->flags &= ~(uint32_t)CLIENT_BLOCKED;
		net_set_idle_timeout(cl->conn, config()->timeout_s * 1000);
		if (w->reply.failed) {
			cl->flags |= CLIENT_CLOSE_ASAP;
			net_close_now(cl->conn, ENOMEM);
		} else {
			if (len && !w->quiet)
				net_write(cl->conn, bytes, len);
			turn_resume(cl);
		}
	}
	waiter_free(w);
}

static void deliver(struct net_loop *l, struct net_msg *m)
{
	finish(l, (struct waiter *)m);
}

void block_uncount(const struct waiter *w)
{
	count(&all.clients, -1);
	count(&all.timeouts, w->timeout_ms ? -1 : 0);
}

void block_post(struct waiter *w)
{
	net_post(net_server_loop(server_net(), w->loop), &w->msg);
}

/* true: nobody else will end it. Otherwise its message is on the way or will be. */
static bool cancel(struct waiter *w, enum block_end end)
{
	int state = BLOCK_WAITING;
	while (state == BLOCK_WAITING || state == BLOCK_CLAIMED) {
		w->end = end;
		if (!atomic_compare_exchange_weak(&w->state, &state, state == BLOCK_WAITING ? BLOCK_CANCELLED : BLOCK_UNWANTED))
			continue;
		if (state == BLOCK_CLAIMED)
			return false;
		block_uncount(w);
		return true;
	}
	return false;
}

static void time_over(struct net_loop *l, struct net_timer *t)
{
	struct waiter *w = (struct waiter *)((char *)t - offsetof(struct waiter, timer));
	if (cancel(w, BLOCK_TIMEOUT))
		finish(l, w);
}

void block_leave(struct client *cl)
{
	struct waiter *w = cl->block;
	if (!w)
		return;
	cl->block = NULL;
	cl->flags &= ~(uint32_t)CLIENT_BLOCKED;
	net_timer_clear(net_conn_loop(cl->conn), &w->timer);
	w->client = NULL;
	leave_log(w);
	if (cancel(w, BLOCK_CLOSED)) {
		unlink_all(w, false);
		waiter_free(w);
	}
}

bool block_end(struct client *cl, bool error)
{
	struct waiter *w = cl->block;
	if (!w || !cancel(w, error ? BLOCK_ERROR : BLOCK_TIMEOUT))
		return false;
	block_post(w);
	return true;
}

void block_become(struct client *cl, const struct acl_user *u)
{
	if (cl->block)
		acl_become(&cl->block->shadow, u);
}

size_t block_memory(const struct client *cl)
{
	const struct waiter *w = cl->block;
	return w ? sizeof *w + w->bytes : 0;
}

/* ------------------------------------------------------------------ the beginning of a wait */

/* The record, with its arguments behind it. */
static struct waiter *waiter_new(const struct call *c, const struct block_spec *spec)
{
	const struct arg *argv = spec->argv ? spec->argv : c->argv;
	size_t bytes = c->argc * sizeof(struct arg);
	for (unsigned i = 0; i < c->argc; i++)
		bytes += argv[i].len;
	struct waiter *w = malloc(sizeof *w + bytes);
	struct block_link *links = malloc((spec->n ? spec->n : 1) * sizeof *links);
	if (!w || !links) {
		free(w);
		free(links);
		return NULL;
	}
	const struct client *cl = c->client;
	*w = (struct waiter){ .msg = { .run = deliver }, .client = c->client, .loop = c->loop, .kind = spec->kind,
		                  .if_gone = spec->if_gone, .quiet = cl->flags & (CLIENT_REPLY_OFF | CLIENT_REPLY_SKIP),
		                  .further = spec->n > 1 || spec->target, .timeout_ms = spec->timeout_ms,
		                  .timed_out = spec->timed_out, .sequence = cl->journaled, .cmd = c->cmd,
		                  .argc = c->argc, .links = links };
	w->shadow = (struct client){ .id = cl->id, .resp = cl->resp, .loop = cl->loop, .db = (uint16_t)c->op.db,
		                         .created_ms = cl->created_ms, .last_active_ms = cl->last_active_ms,
		                         .flags = CLIENT_INTERNAL | CLIENT_AUTHENTICATED | (cl->flags & CLIENT_NO_TOUCH) };
	acl_become(&w->shadow, cl->user);
	w->bytes = bytes + spec->n * sizeof *links;
	w->argv = (struct arg *)(w + 1);
	char *p = (char *)(w->argv + c->argc);
	for (unsigned i = 0; i < c->argc; i++) {
		w->argv[i] = (struct arg){ p, argv[i].len };
		memcpy(p, argv[i].ptr, argv[i].len);
		p += argv[i].len;
	}
	if (spec->target) {
		w->has_target = true;
		w->target_hash = store_key(c->op.store, argv[spec->target].ptr, argv[spec->target].len).hash;
	}
	atomic_init(&w->state, BLOCK_WAITING);
	reply_init_memory(&w->reply, cl->resp);
	net_timer_init(&w->timer, time_over);
	return w;
}

/* Nobody saw it yet: all its shards are locked. */
static void give_up(struct call *c, struct waiter *w)
{
	if (w) {
		unlink_all(w, true);
		waiter_free(w);
	}
	reply_oom(c->reply);
}

bool block_on_keys(struct call *c, const struct block_spec *spec)
{
	if (c->waiter) {
		c->waiter->again = true;
		return true;
	}
	struct client *cl = c->client;
	if (c->nested || c->replaying || !cl->conn)
		return false;
	struct waiter *w = waiter_new(c, spec);
	/* Seen by every later writer of these keys, as it takes the lock that is held here. */
	touch_switch(all.feed, true);
	for (unsigned i = 0; w && i < spec->n; i++) {
		struct store_key key = call_key(c, spec->first + i);
		if (!link_add(c, w, &key)) {
			give_up(c, w);
			return true;
		}
	}
	if (!w) {
		give_up(c, w);
		return true;
	}
	cl->block = w;
	cl->flags |= CLIENT_BLOCKED;
	count(&all.clients, 1);
	net_set_idle_timeout(cl->conn, 0);
	if (spec->timeout_ms) {
		count(&all.timeouts, 1);
		net_timer_set(net_conn_loop(cl->conn), &w->timer, spec->timeout_ms);
	}
	return true;
}

bool block_on_log(struct call *c, const struct block_spec *spec)
{
	if (!block_on_keys(c, spec))
		return false;
	struct waiter *w = c->client->block;
	if (!w)
		return true; /* no memory: it was said */
	w->next_logged = for_log;
	for_log = w;
	hold_want_wake(worker_current);
	net_loop_again(net_conn_loop(c->client->conn)); /* it may have got there just now */
	return true;
}

void block_after_wait(struct worker *me)
{
	if (__builtin_expect(!for_log, 1))
		return;
	hold_want_wake(me);
	uint64_t durable = aof_durable();
	bool off = !aof_enabled();
	for (struct waiter *w = for_log, *next; w; w = next) {
		next = w->next_logged;
		if ((off || w->sequence <= durable) && cancel(w, BLOCK_TIMEOUT))
			finish(me->net, w);
	}
}

/* ------------------------------------------------------------------ arguments */

static bool timeout_fits(struct call *c, int64_t *timeout_ms)
{
	if (*timeout_ms >= 0 && *timeout_ms <= INT64_MAX - c->op.now_ms)
		return true;
	reply_error(c->reply, *timeout_ms < 0 ? "ERR timeout is negative" : "ERR timeout is out of range");
	return false;
}

bool block_timeout(struct call *c, unsigned i, int64_t *timeout_ms)
{
	long double seconds;
	if (!number_parse_long_double(c->argv[i].ptr, c->argv[i].len, &seconds)) {
		reply_error(c->reply, "ERR timeout is not a float or out of range");
		return false;
	}
	long double ms = ceill(seconds * 1000);
	if (ms > (long double)INT64_MAX) {
		reply_error(c->reply, "ERR timeout is out of range");
		return false;
	}
	*timeout_ms = ms < 0 ? -1 : ms >= 0x1p63L ? INT64_MAX : (int64_t)ms;
	return timeout_fits(c, timeout_ms);
}

bool block_timeout_ms(struct call *c, unsigned i, int64_t *timeout_ms)
{
	const char *error = "ERR timeout is not an integer or out of range";
	return call_int_range(c, i, INT64_MIN, INT64_MAX, timeout_ms, error) && timeout_fits(c, timeout_ms);
}
