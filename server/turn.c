/*
 * turn: the stages of a loop's turn above net: parse what arrived into a queue, prefetch, execute in order, check output.
 *
 *   data()          one connection's bytes become items of the queue (nothing is executed)
 *   before_write()  the queue runs in batches of 64: hash and prefetch all, then execute each
 *
 * A client's unexecuted bytes stay in its connection's buffer: bytes are dropped only after their command ran.
 */
#include <stdio.h>
#include <stdlib.h>

#include "net/net.h"
#include "server/clock.h"
#include "server/config.h"
#include "server/dispatch.h"
#include "server/exec.h"
#include "server/hold.h"
#include "server/journal/journal.h"
#include "server/log.h"
#include "server/monitor.h"
#include "server/pubsub.h"
#include "server/push.h"
#include "server/server.h"
#include "server/tracking.h"
#include "server/worker.h"

#define BATCH 64
#define FURTHER_MAX 256 /* keys of a batch that are prefetched beside the first of each command */
#define PARSE_AHEAD (256 * 1024)      /* parsed beyond the first command per client and turn */
#define OUTPUT_FULL (1024 * 1024)     /* pending output at which a client yields its remaining commands */
#define UNAUTH_OUTPUT 1024            /* pending output at which an unauthenticated client is closed */
#define LONG_TURN_MS 1
#define OUT_REGION 256                /* least room to begin a client's output with */

/* ------------------------------------------------------------------ output region */

void worker_end_output(struct worker *w)
{
	if (!w->writing)
		return;
	net_out_end(w->writing->conn, w->reply.cur);
	w->writing = NULL;
	w->reply.cur = w->reply.end = NULL;
}

static bool grow_output(struct reply *r, size_t n)
{
	struct worker *w = r->sink;
	struct client *c = w->writing;
	w->output_grew = true;
	if (!c || r->failed)
		return false;
	net_out_end(c->conn, r->cur);
	if (net_out_begin(c->conn, n, &r->cur, &r->end) == 0)
		return true;
	w->writing = NULL;
	r->cur = r->end = NULL;
	r->failed = true;
	return false;
}

static void ref_output(struct reply *r, const char *bytes, size_t len, void (*release)(void *, const void *), void *ctx)
{
	struct worker *w = r->sink;
	struct client *c = w->writing;
	w->output_grew = true;
	if (!c) {
		release(ctx, bytes);
		return;
	}
	net_out_end(c->conn, r->cur);
	int err = net_write_ref(c->conn, bytes, len, release, ctx);
	if (err || net_out_begin(c->conn, OUT_REGION, &r->cur, &r->end)) {
		w->writing = NULL;
		r->cur = r->end = NULL;
		r->failed = true;
	}
}

static bool begin_output(struct worker *w, struct client *c)
{
	if (__builtin_expect(w->writing == c, 1))
		return true;
	worker_end_output(w);
	if (net_out_begin(c->conn, OUT_REGION, &w->reply.cur, &w->reply.end))
		return false;
	w->reply.failed = false;
	w->writing = c;
	return true;
}

void turn_reopen_output(struct worker *w, struct client *c)
{
	if (!begin_output(w, c))
		w->reply.failed = true;
}

void turn_start(struct worker *w)
{
	w->reply.grow = grow_output;
	w->reply.ref = ref_output;
	w->reply.sink = w;
}

/* ------------------------------------------------------------------ parse */

static void *inline_scratch(void *ctx, size_t n)
{
	return net_turn_alloc(((struct worker *)ctx)->net, n);
}

static struct turn_item *push_item(struct worker *w, struct client *c)
{
	if (w->n == w->cap) {
		unsigned cap = w->cap ? w->cap * 2 : 256;
		struct turn_item *items = realloc(w->items, cap * sizeof *items);
		if (!items)
			return NULL;
		w->items = items;
		w->cap = cap;
	}
	struct turn_item *it = &w->items[w->n++];
	it->client = c;
	it->cmd = NULL;
	it->used = 0;
	it->error = 0;
	it->ahead.hash = it->ahead.member_hash = 0;
	c->queued++;
	return it;
}

/* Pipelines repeat commands: the row of the last one is tried before the table. */
static inline struct command *lookup(const struct worker *w, const struct turn_item *it)
{
	const struct arg *argv = w->args.v + it->first_arg;
	if (it > w->items && it[-1].cmd && !it[-1].cmd->parent && !it[-1].cmd->subs) {
		const struct arg *last = w->args.v + it[-1].first_arg;
		if (arg_equal(last, argv))
			return it[-1].cmd;
	}
	return command_lookup(argv, it->argc, NULL);
}

static void close_overfull_query(struct client *c, size_t len)
{
	char peer[128];
	client_peer(c, peer, sizeof peer);
	log_warning("Closing client that reached max query buffer length: addr=%s id=%llu qbuf=%zu", peer,
	            (unsigned long long)c->id, len);
	stats_add(&worker_current->stats->counter[STAT_QUERY_LIMIT_CLOSES], 1);
	c->flags |= CLIENT_CLOSE_ASAP;
	net_close_now(c->conn, NET_BY_OVERFLOW);
}

/* Requests of one client, as far as they are complete. */
static void parse_client(struct worker *w, struct client *c, const char *buf, size_t len)
{
	const struct config *cfg = config();
	struct resp_limits limits = { .max_bulk = cfg->proto_max_bulk_len, .max_args = INT32_MAX,
		                      .max_inline = 64 * 1024, .authenticated = c->flags & CLIENT_AUTHENTICATED };
	size_t pos = 0;
	c->flags &= ~(uint32_t)CLIENT_UNPARSED;
	while (pos < len) {
		if (pos > PARSE_AHEAD) {
			c->flags |= CLIENT_UNPARSED;
			return;
		}
		size_t first = w->args.n;
		char bad = 0;
		ssize_t used = resp_parse(buf + pos, len - pos, &limits, &c->progress, &w->args, &bad, inline_scratch, w);
		if (used == 0) {
			if (c->progress.need > len - pos)
				net_expect(c->conn, c->progress.need - (len - pos));
			return;
		}
		if (used > 0 && w->args.n == first && c->queued == 0) {
			net_discard(c->conn, (size_t)used); /* an empty request before any other */
			pos += (size_t)used;
			continue;
		}
		struct turn_item *it = push_item(w, c);
		if (!it) {
			net_close_now(c->conn, ENOMEM);
			return;
		}
		it->first_arg = (uint32_t)first;
		it->argc = (uint32_t)(w->args.n - first);
		if (used < 0) {
			it->error = (uint8_t)-used;
			it->bad = bad;
			return;
		}
		it->used = (size_t)used;
		pos += (size_t)used;
		if (it->argc)
			it->cmd = lookup(w, it);
		if (it->cmd && (it->cmd->flags & CMD_STOPS_PARSING)) {
			c->flags |= pos < len ? CLIENT_UNPARSED : 0;
			return;
		}
	}
}

enum net_action turn_data(struct net_conn *conn)
{
	struct client *c = net_conn_ctx(conn);
	struct worker *w = worker_current;
	if (!c)
		return NET_NONE;
	size_t len;
	const char *buf = net_peek(conn, &len);
	if (__builtin_expect(len > (size_t)config()->client_query_buffer_limit, 0)) {
		close_overfull_query(c, len);
		return NET_NONE;
	}
	if ((c->flags & CLIENT_YIELDED) && net_out_pending(conn) <= OUTPUT_FULL) {
		c->flags &= ~(uint32_t)CLIENT_YIELDED;
		net_resume_read(conn);
	}
	if ((c->flags & CLIENT_HELD) || c->queued || c == w->executing)
		return NET_NONE;
	if (len)
		parse_client(w, c, buf, len);
	return NET_NONE;
}

/* ------------------------------------------------------------------ execute */

static bool has_key(const struct turn_item *it)
{
	return it->cmd && it->cmd->first_key && it->argc > it->cmd->first_key;
}

/* What a batch looks ahead for: the first key of each command, and those behind it. */
struct ahead_list {
	unsigned n, further_n;
	struct store_ahead *v[BATCH + FURTHER_MAX];
	struct store_ahead further[FURTHER_MAX];
};

/* The keys behind the first one, of commands with a range of them (MGET, MSET, DEL). */
static void add_further(const struct worker *w, const struct turn_item *it, struct ahead_list *list)
{
	const struct key_spec *k = &it->cmd->keys[0];
	int last = k->last < 0 ? (int)it->argc + k->last : k->begin + k->last;
	if (k->keynum || last >= (int)it->argc)
		return;
	for (int at = k->begin + k->step; at <= last && list->further_n < FURTHER_MAX; at += k->step) {
		const struct arg *key = &w->args.v[it->first_arg + (unsigned)at];
		struct store_ahead *a = &list->further[list->further_n++];
		*a = (struct store_ahead){ .db = it->client->db, .last = 2 };
		a->hash = store_key(server_store(), key->ptr, key->len).hash;
		list->v[list->n++] = a;
	}
}

static inline const struct arg *key_of(const struct worker *w, const struct turn_item *it)
{
	return &w->args.v[it->first_arg + it->cmd->first_key];
}

/* Numbers at the ends of keys tell them apart. */
static inline bool same_word(const struct arg *a, const struct arg *b)
{
	return a->len == b->len && a->len && a->ptr[a->len - 1] == b->ptr[a->len - 1] && arg_equal(a, b);
}

/* Pipelines often repeat the key: that of the command before is compared first. */
static inline void look_ahead(const struct worker *w, struct turn_item *it, struct turn_item *before)
{
	struct store_ahead *a = &it->ahead;
	const struct arg *key = key_of(w, it);
	a->db = it->client->db;
	a->last = it->cmd->prefetch;
	a->same = NULL;
	a->member = NULL;
	a->member_hash = 0;
	if (it->cmd->member && it->argc > it->cmd->member) {
		const struct arg *member = &w->args.v[it->first_arg + it->cmd->member];
		a->member = member->ptr;
		a->member_len = member->len;
	}
	if (before && before->ahead.db == a->db && same_word(key_of(w, before), key)) {
		a->hash = before->ahead.hash;
		a->same = before->ahead.same ? before->ahead.same : &before->ahead;
	} else {
		a->hash = store_key(server_store(), key->ptr, key->len).hash;
	}
}

static void prefetch(struct worker *w, struct turn_item *items, unsigned n)
{
	struct ahead_list list;
	struct turn_item *before = NULL;
	list.n = list.further_n = 0;
	for (unsigned i = 0; i < n; i++) {
		struct turn_item *it = &items[i];
		if (!has_key(it))
			continue;
		look_ahead(w, it, before);
		before = it;
		if (!it->ahead.same || it->ahead.member)
			list.v[list.n++] = &it->ahead;
		if (!it->cmd->single_key && it->cmd->keys[0].step > 0)
			add_further(w, it, &list);
	}
	if (list.n > 1)
		store_prefetch(server_store(), list.v, list.n);
}

static void close_overfull_output(struct worker *w, struct client *c, size_t pending, const char *why)
{
	char peer[128];
	client_peer(c, peer, sizeof peer);
	log_warning("Client addr=%s id=%llu scheduled to be closed ASAP for overcoming of output buffer limits (%s, %zu bytes).",
	            peer, (unsigned long long)c->id, why, pending);
	stats_add(&w->stats->counter[STAT_OUTPUT_LIMIT_CLOSES], 1);
	c->flags |= CLIENT_CLOSE_ASAP;
	net_close_now(c->conn, NET_BY_OVERFLOW);
}

/* Hard and soft limits, and the one at which a client yields. */
static void check_output(struct worker *w, struct client *c)
{
	worker_end_output(w);
	w->output_grew = false;
	size_t pending = net_out_pending(c->conn);
	const struct config_output_limit *limit =
		&config()->output_limit[c->flags & CLIENT_PUBSUB ? OUTPUT_PUBSUB : OUTPUT_NORMAL];
	if (limit->hard_bytes && pending > limit->hard_bytes) {
		close_overfull_output(w, c, pending, "hard limit");
	} else if (!(c->flags & CLIENT_AUTHENTICATED) && pending > UNAUTH_OUTPUT) {
		close_overfull_output(w, c, pending, "unauthenticated");
	} else if (limit->soft_bytes && pending > limit->soft_bytes) {
		if (!c->soft_limit_since_ms)
			c->soft_limit_since_ms = w->mono_ms;
		else if (w->mono_ms - c->soft_limit_since_ms > limit->soft_seconds * 1000)
			close_overfull_output(w, c, pending, "soft limit");
	} else {
		c->soft_limit_since_ms = 0;
	}
	if (pending > OUTPUT_FULL && !(c->flags & CLIENT_CLOSE_ASAP)) {
		c->flags |= CLIENT_YIELDED;
		net_pause_read(c->conn);
		net_wake(c->conn);
	}
}

static void protocol_error(struct worker *w, struct client *c, const struct turn_item *it)
{
	char text[128], peer[128];
	resp_error_text(it->error, it->bad, text, sizeof text);
	client_peer(c, peer, sizeof peer);
	log_verbose("Protocol error (%s) from client addr=%s id=%llu", text, peer, (unsigned long long)c->id);
	reply_errorf(&w->reply, "ERR Protocol error: %s", text);
	stats_add(&w->stats->counter[STAT_PROTOCOL_ERRORS], 1);
	stats_error(w->reply.error_code);
	w->reply.errored = false;
	c->flags |= CLIENT_CLOSE_AFTER_REPLY;
}

/* CLIENT REPLY OFF and SKIP: the reply gathers in memory and is dropped, unless the command switched replies on. (What is
 * pushed is no reply: push_reply().) */
static enum dispatch_result run_quiet(struct worker *w, struct client *c, struct turn_item *it)
{
	struct reply quiet;
	reply_init_memory(&quiet, c->resp);
	w->call.reply = &quiet;
	enum dispatch_result r = dispatch_client(w, c, it);
	w->call.reply = &w->reply;
	if (!(c->flags & (CLIENT_REPLY_OFF | CLIENT_REPLY_SKIP))) {
		size_t len;
		const char *bytes = reply_bytes(&quiet, &len);
		reply_raw(&w->reply, bytes, len);
	}
	reply_clear(&quiet);
	return r;
}

/* What the prefetch found out is used, for as long as the arguments stand where they do. */
static inline enum dispatch_result run_prepared(struct worker *w, struct client *c, struct turn_item *it)
{
	if (!it->ahead.member_hash)
		return dispatch_client(w, c, it);
	store_member_hashed(it->ahead.member, it->ahead.member_len, it->ahead.member_hash);
	enum dispatch_result r = dispatch_client(w, c, it);
	store_member_hashed(NULL, SIZE_MAX, 0);
	return r;
}

static inline void after_skip(struct client *c)
{
	if (__builtin_expect(c->flags & (CLIENT_REPLY_SKIP | CLIENT_REPLY_SKIP_NEXT), 0)) {
		bool next = c->flags & CLIENT_REPLY_SKIP_NEXT;
		c->flags &= ~(uint32_t)(CLIENT_REPLY_SKIP | CLIENT_REPLY_SKIP_NEXT);
		c->flags |= next ? CLIENT_REPLY_SKIP : 0;
	}
}

/* true: the item's bytes may be dropped. */
static bool run_item(struct worker *w, struct client *c, struct turn_item *it)
{
	if (!begin_output(w, c)) {
		c->flags |= CLIENT_CLOSE_ASAP;
		return false;
	}
	enum dispatch_result r = DISPATCH_DONE;
	if (__builtin_expect(it->error, 0))
		protocol_error(w, c, it);
	else if (__builtin_expect(it->argc == 0, 0))
		return true;
	else if (__builtin_expect(c->flags & (CLIENT_REPLY_OFF | CLIENT_REPLY_SKIP), 0))
		r = run_quiet(w, c, it);
	else
		r = run_prepared(w, c, it);
	if (r == DISPATCH_HOLD) {
		c->flags |= c->flags & CLIENT_PARKED ? 0 : CLIENT_PAUSED;
		return false;
	}
	after_skip(c);
	if (__builtin_expect(w->reply.failed, 0)) {
		worker_end_output(w);
		c->flags |= CLIENT_CLOSE_ASAP;
		net_close_now(c->conn, ENOMEM);
	} else if (__builtin_expect(w->output_grew, 0)) {
		worker_end_output(w);
		push_after_command(c);
		pubsub_after_command(c);
		tracking_settle();
		monitor_after_command();
		check_output(w, c);
	}
	return true;
}

/* The first thing in a turn for a client: its old output may forbid more. */
static bool may_run(struct worker *w, struct client *c)
{
	size_t pending = net_out_pending(c->conn);
	c->last_active_ms = w->now_ms;
	if (__builtin_expect(pending > UNAUTH_OUTPUT, 0))
		check_output(w, c);
	return !(c->flags & CLIENT_HELD);
}

/* Drop what ran, and see to what was not parsed or not run. */
static void end_run(struct worker *w, struct client *c, size_t used)
{
	if (used)
		net_discard(c->conn, used);
	if (__builtin_expect(c->flags & (CLIENT_HELD | CLIENT_UNPARSED), 0)) {
		worker_end_output(w);
		if (c->flags & CLIENT_HELD)
			c->progress = (struct resp_progress){ 0 };
		if (c->flags & CLIENT_CLOSE_AFTER_REPLY)
			net_close(c->conn);
		else if (c->flags & CLIENT_CLOSE_ASAP)
			net_close_now(c->conn, NET_BY_US);
		else if (!(c->flags & CLIENT_HELD) && c->queued == 0)
			net_wake(c->conn);
	}
}

/* Between two commands; in a restricted turn the loop is out already. */
static inline void checkpoint(struct worker *w)
{
	if (__builtin_expect(!w->restricted && exec_checkpoint(w->index), 0))
		worker_refresh_clock(w);
}

/* The items from i on that belong to one client; returns the index behind them or `end`. */
static unsigned run_client(struct worker *w, unsigned i, unsigned end)
{
	struct client *c = w->items[i].client;
	if (__builtin_expect(!c, 0))
		return i + 1; /* given back: busy.c */
	bool go = may_run(w, c);
	w->running = c;
	w->used = 0;
	for (; i < end && w->items[i].client == c; i++) {
		w->at = i;
		if (go)
			checkpoint(w);
		if (__builtin_expect(w->items[i].client != c, 0))
			break;
		c->queued--;
		w->at = i + 1;
		if (!go)
			continue;
		w->executing = c;
		bool ran = run_item(w, c, &w->items[i]);
		w->executing = NULL;
		if (ran)
			w->used += w->items[i].used;
		go = !(c->flags & CLIENT_HELD);
	}
	size_t used = w->used;
	w->running = NULL;
	if (__builtin_expect(w->kept != NULL, 0)) {
		free(w->kept);
		w->kept = NULL;
	}
	end_run(w, c, used);
	return i;
}

void turn_restricted(struct net_loop *loop)
{
	struct worker *w = net_loop_ctx(loop);
	for (unsigned i = 0; i < w->n;)
		i = run_client(w, i, w->n);
	worker_end_output(w);
	w->n = 0;
	w->at = 0;
	w->args.n = 0;
}

/* Replies of a turn that takes long go out on the way, not only at its end. */
static void flush_long_turn(struct worker *w, int64_t *flushed_ms)
{
	if (w->mono_ms - *flushed_ms <= LONG_TURN_MS || hold_on())
		return;
	worker_end_output(w);
	net_loop_flush(w->net);
	*flushed_ms = w->mono_ms;
}

void turn_before_write(struct net_loop *loop)
{
	struct worker *w = net_loop_ctx(loop);
	if (!w->n) {
		journal_commit(dispatch_journal()); /* of what messages and the ticker did */
		return;
	}
	worker_refresh_clock(w);
	w->ticks = clock_ticks();
	int64_t flushed_ms = w->mono_ms;
	for (unsigned i = 0; i < w->n;) {
		unsigned end = w->n - i > BATCH ? i + BATCH : w->n;
		prefetch(w, &w->items[i], end - i);
		net_post_hold(); /* other loops wake once for what a batch tells them, and then find all of it */
		while (i < end)
			i = run_client(w, i, end);
		exec_end_batch(w->index);
		net_post_release();
		if (i < w->n) {
			worker_refresh_clock(w);
			flush_long_turn(w, &flushed_ms);
		}
	}
	worker_end_output(w);
	w->n = 0;
	w->at = 0;
	w->args.n = 0;
	journal_commit(dispatch_journal());
}

void turn_resume(struct client *c)
{
	struct net_loop *loop = net_conn_loop(c->conn);
	net_wake(c->conn);
	if (loop != net_loop_current())
		net_loop_wake(loop);
}
