/* stream_pending: entries that consumers were given and have not acknowledged: XPENDING, XCLAIM, XAUTOCLAIM. */
#include <stdlib.h>

#include "server/commands/aggregate.h"
#include "server/commands/groups.h"
#include "server/commands/stream.h"

/* ------------------------------------------------------------------ XPENDING */

struct pending_request {
	int64_t min_idle_ms, count;
	struct stream_id from, to;
	const struct arg *consumer;
};

static bool parse_pending(struct call *c, struct pending_request *r)
{
	unsigned at = 3;
	*r = (struct pending_request){ 0 };
	if (c->argc != 3 && (c->argc < 6 || c->argc > 9)) {
		reply_syntax_error(c->reply);
		return false;
	}
	if (c->argc == 3)
		return true;
	if (arg_is(&c->argv[3], "IDLE")) {
		if (!call_int(c, 4, &r->min_idle_ms))
			return false;
		if (c->argc < 8) {
			reply_syntax_error(c->reply);
			return false;
		}
		at = 5;
	}
	if (!call_int(c, at + 2, &r->count) || !stream_parse_bound(c, at, false, &r->from) ||
	    !stream_parse_bound(c, at + 1, true, &r->to))
		return false;
	if (c->argc > at + 3)
		r->consumer = &c->argv[at + 3];
	return true;
}

static void reply_summary(struct call *c, const struct stream_group *g)
{
	struct idmap_pos pos;
	size_t total = idmap_count(g->pel), n = 0;
	reply_array(c->reply, 4);
	reply_int(c->reply, (int64_t)total);
	if (!total) {
		reply_null(c->reply);
		reply_null(c->reply);
		reply_null_array(c->reply);
		return;
	}
	idmap_first(g->pel, &pos);
	stream_reply_id(c->reply, idmap_id(&pos));
	idmap_last(g->pel, &pos);
	stream_reply_id(c->reply, idmap_id(&pos));
	size_t mark = reply_defer(c->reply);
	for (uint32_t i = 0; i < g->consumer_count; i++) {
		const struct stream_consumer *consumer = g->consumers[i];
		if (!stream_pel_count(consumer->pel))
			continue;
		reply_array(c->reply, 2);
		reply_bulk(c->reply, consumer->name, consumer->name_len);
		reply_bulk_int(c->reply, (int64_t)stream_pel_count(consumer->pel));
		n++;
	}
	reply_defer_end(c->reply, mark, '*', n);
}

/* Time since the delivery; clocks that went back give negative ones. */
static int64_t idle_ms(const struct call *c, const struct stream_nack *n)
{
	int64_t idle;
	return __builtin_sub_overflow(c->op.now_ms, n->delivered_ms, &idle) ? INT64_MAX : idle;
}

static void reply_pending(struct call *c, const struct pending_request *r, const struct idmap *pel)
{
	struct stream_pel_iter it;
	const struct stream_nack *nack;
	struct stream_id id;
	int64_t n = 0;
	size_t mark = reply_defer(c->reply);
	stream_pel_iter_init(&it, pel, r->from);
	while (n < r->count && (nack = stream_pel_iter_next(&it, &id)) && stream_id_compare(id, r->to) <= 0) {
		int64_t idle = idle_ms(c, nack);
		if (r->min_idle_ms && idle < r->min_idle_ms)
			continue;
		reply_array(c->reply, 4);
		stream_reply_id(c->reply, id);
		reply_bulk(c->reply, nack->consumer->name, nack->consumer->name_len);
		reply_int(c->reply, idle < 0 ? 0 : idle);
		reply_int(c->reply, (int64_t)nack->deliveries);
		n++;
	}
	reply_defer_end(c->reply, mark, '*', (size_t)n);
}

static void run_xpending(struct call *c)
{
	struct pending_request r;
	struct entry *e;
	if (!parse_pending(c, &r))
		return;
	const struct stream_group *g = stream_group_of(c, 1, &e);
	if (!g)
		return;
	if (c->argc == 3) {
		reply_summary(c, g);
		return;
	}
	const struct idmap *pel = g->pel;
	if (r.consumer) {
		const struct stream_consumer *consumer = stream_consumer_find(g, r.consumer->ptr, r.consumer->len);
		pel = consumer ? consumer->pel : NULL;
	}
	reply_pending(c, &r, pel);
}

/* ------------------------------------------------------------------ claiming */

/* What XCLAIM and XAUTOCLAIM have in common. */
struct claim {
	struct stream *s;
	struct stream_group *g;
	struct stream_consumer *consumer;
	int64_t min_idle_ms, delivered_ms, deliveries; /* deliveries -1: one more, unless just_id */
	bool just_id, force;
};

enum claimed { CLAIM_DONE, CLAIM_NOT, CLAIM_GONE, CLAIM_NOMEM };

/* The consumer gets the entry, which is written to r; an entry that was deleted is no longer pending. */
static enum claimed claim_entry(struct call *c, const struct claim *k, struct stream_id id, struct reply *r)
{
	struct stream_nack *nack = stream_pel_find(k->g->pel, id);
	if (!nack && !k->force)
		return CLAIM_NOT;
	if (!stream_has(k->s, id)) {
		if (!nack)
			return CLAIM_NOT;
		stream_journal_claim(c, &c->argv[1], k->g, id, nack);
		stream_pel_ack(k->g, id);
		c->dirty++;
		return CLAIM_GONE;
	}
	bool fresh = !nack;
	if (nack && k->min_idle_ms && idle_ms(c, nack) < k->min_idle_ms)
		return CLAIM_NOT;
	nack = stream_pel_give(k->g, k->consumer, id);
	if (!nack)
		return CLAIM_NOMEM;
	if (fresh)
		nack->deliveries = 1;
	nack->delivered_ms = k->delivered_ms;
	if (k->deliveries >= 0)
		nack->deliveries = (uint64_t)k->deliveries;
	else if (!k->just_id)
		nack->deliveries++;
	if (k->just_id)
		stream_reply_id(r, id);
	else
		stream_reply_one(r, k->s, id);
	k->consumer->active_ms = c->op.now_ms;
	stream_journal_claim(c, &c->argv[1], k->g, id, nack);
	c->dirty++;
	return CLAIM_DONE;
}

/* ------------------------------------------------------------------ XCLAIM */

static bool parse_int_or(struct call *c, unsigned i, int64_t *v, const char *error)
{
	return call_int_range(c, i, INT64_MIN, INT64_MAX, v, error);
}

/* The options behind the ids. *last_id grows. */
static bool parse_claim(struct call *c, struct claim *k, unsigned i, struct stream_id *last_id)
{
	int64_t now = c->op.now_ms, when = -1;
	for (; i < c->argc; i++) {
		const struct arg *a = &c->argv[i];
		bool more = i + 1 < c->argc;
		if (arg_is(a, "FORCE")) {
			k->force = true;
		} else if (arg_is(a, "JUSTID")) {
			k->just_id = true;
		} else if (more && arg_is(a, "IDLE")) {
			if (!parse_int_or(c, ++i, &when, "ERR Invalid IDLE option argument for XCLAIM"))
				return false;
			if (__builtin_sub_overflow(now, when, &when))
				when = now;
		} else if (more && arg_is(a, "TIME")) {
			if (!parse_int_or(c, ++i, &when, "ERR Invalid TIME option argument for XCLAIM"))
				return false;
		} else if (more && arg_is(a, "RETRYCOUNT")) {
			if (!parse_int_or(c, ++i, &k->deliveries, "ERR Invalid RETRYCOUNT option argument for XCLAIM"))
				return false;
		} else if (more && arg_is(a, "LASTID")) {
			if (!stream_parse_id(c, &c->argv[++i], last_id, 0, true, NULL))
				return false;
		} else {
			reply_errorf(c->reply, "ERR Unrecognized XCLAIM option '%.*s'", (int)a->len, a->ptr);
			return false;
		}
	}
	/* a time that makes no sense is now; -1 is that of nobody who gave one */
	k->delivered_ms = when < 0 || when > now ? now : when;
	return true;
}

/* The ids from argv[5] on: how many there are before the options. */
static unsigned parse_ids(struct call *c, struct stream_id *ids)
{
	struct reply ignored;
	struct call probe = *c;
	unsigned n = 0;
	reply_init_memory(&ignored, 2);
	probe.reply = &ignored;
	while (5 + n < c->argc && stream_parse_id(&probe, &c->argv[5 + n], &ids[n], 0, true, NULL))
		n++;
	reply_clear(&ignored);
	return n;
}

static void claim_ids(struct call *c, struct claim *k, struct stream_id *ids)
{
	unsigned n = parse_ids(c, ids);
	struct stream_id last_id = STREAM_ID_MIN;
	size_t done = 0;
	if (!parse_claim(c, k, 5 + n, &last_id))
		return;
	bool advanced = stream_id_compare(last_id, k->g->last_id) > 0;
	if (advanced)
		k->g->last_id = last_id;
	k->consumer = stream_consumer_get(c, 1, k->g, &c->argv[3]);
	if (!k->consumer) {
		reply_oom(c->reply);
		return;
	}
	call_no_journal(c);
	size_t mark = reply_defer(c->reply);
	for (unsigned i = 0; i < n; i++) {
		enum claimed how = claim_entry(c, k, ids[i], c->reply);
		if (how == CLAIM_NOMEM)
			break;
		done += how == CLAIM_DONE;
	}
	reply_defer_end(c->reply, mark, '*', done);
	if (advanced && !done) {
		stream_journal_group(c, &c->argv[1], k->g);
		c->dirty++;
	}
}

static void run_xclaim(struct call *c)
{
	struct claim k = { .deliveries = -1 };
	struct stream_id few[32], *ids = few;
	struct entry *e;
	k.g = stream_group_of(c, 1, &e);
	if (!k.g)
		return;
	k.s = stream_of(e);
	if (!parse_int_or(c, 4, &k.min_idle_ms, "ERR Invalid min-idle-time argument for XCLAIM"))
		return;
	k.min_idle_ms = k.min_idle_ms < 0 ? 0 : k.min_idle_ms;
	if (c->argc - 5 > sizeof few / sizeof *few && !(ids = malloc((c->argc - 5) * sizeof *ids))) {
		reply_oom(c->reply);
		return;
	}
	claim_ids(c, &k, ids);
	if (ids != few)
		free(ids);
}

/* ------------------------------------------------------------------ XAUTOCLAIM */

#define ATTEMPTS 10 /* entries looked at for each that is asked for */

struct auto_claim {
	struct claim claim;
	struct stream_id start;
	int64_t count;
	struct reply claimed, gone; /* elements of the reply, gathered apart */
	size_t claimed_n, gone_n;
};

static bool parse_xautoclaim(struct call *c, struct auto_claim *a)
{
	if (!parse_int_or(c, 4, &a->claim.min_idle_ms, "ERR Invalid min-idle-time argument for XAUTOCLAIM"))
		return false;
	a->claim.min_idle_ms = a->claim.min_idle_ms < 0 ? 0 : a->claim.min_idle_ms;
	if (!stream_parse_bound(c, 5, false, &a->start))
		return false;
	for (unsigned i = 6; i < c->argc; i++) {
		if (i + 1 < c->argc && arg_is(&c->argv[i], "COUNT")) {
			if (!call_int_range(c, ++i, 1, INT64_MAX / 16, &a->count, "ERR COUNT must be > 0"))
				return false;
		} else if (arg_is(&c->argv[i], "JUSTID")) {
			a->claim.just_id = true;
		} else {
			reply_syntax_error(c->reply);
			return false;
		}
	}
	return true;
}

/* XAUTOCLAIM, XCLAIM (CVE-2022-31144, -35951): COUNT bounds the work, and memory follows what is found, never COUNT. The
 * id where the next call goes on, 0-0 at the end. */
static struct stream_id claim_from(struct call *c, struct auto_claim *a)
{
	struct stream_pel_iter it;
	struct stream_id id;
	int64_t left = a->count, attempts = a->count * ATTEMPTS;
	stream_pel_iter_init(&it, a->claim.g->pel, a->start);
	while (attempts-- > 0 && left > 0 && stream_pel_iter_next(&it, &id)) {
		enum claimed how = claim_entry(c, &a->claim, id, &a->claimed);
		if (how == CLAIM_NOMEM)
			break;
		if (how == CLAIM_NOT)
			continue;
		left--;
		if (how == CLAIM_DONE) {
			a->claimed_n++;
		} else {
			stream_reply_id(&a->gone, id);
			a->gone_n++;
		}
	}
	return stream_pel_iter_next(&it, &id) ? id : STREAM_ID_MIN;
}

static void reply_gathered(struct reply *r, struct reply *elements, size_t n)
{
	size_t len;
	const char *bytes = reply_bytes(elements, &len);
	reply_array(r, n);
	reply_raw(r, bytes, len);
}

static void run_xautoclaim(struct call *c)
{
	struct auto_claim a = { .claim = { .deliveries = -1, .delivered_ms = c->op.now_ms }, .count = 100 };
	struct entry *e;
	if (!parse_xautoclaim(c, &a) || !(a.claim.g = stream_group_of(c, 1, &e)))
		return;
	a.claim.s = stream_of(e);
	a.claim.consumer = stream_consumer_get(c, 1, a.claim.g, &c->argv[3]);
	if (!a.claim.consumer) {
		reply_oom(c->reply);
		return;
	}
	call_no_journal(c);
	reply_init_memory(&a.claimed, c->reply->resp);
	reply_init_memory(&a.gone, c->reply->resp);
	struct stream_id next = claim_from(c, &a);
	if (a.claimed.failed || a.gone.failed) {
		reply_oom(c->reply);
	} else {
		reply_array(c->reply, 3);
		stream_reply_id(c->reply, next);
		reply_gathered(c->reply, &a.claimed, a.claimed_n);
		reply_gathered(c->reply, &a.gone, a.gone_n);
	}
	reply_clear(&a.claimed);
	reply_clear(&a.gone);
}

/* ------------------------------------------------------------------ rows */

#define CLAIM_ARGS "key:key#0 group:string consumer:string min-idle-time:string "

struct command stream_pending_commands[] = {
	{
		.name = "xautoclaim", .run = run_xautoclaim, .class = EXEC_KEYED, .arity = -6,
		.flags = CMD_WRITE | CMD_FAST, .acl = ACL_STREAM,
		.keys = { KEY_ONE(KEY_RW | KEY_DELETE) },
		.group = "stream", .since = "6.2.0",
		.summary = "Gives a consumer entries that have been pending for long, some at each call.",
		.complexity = "O(1) if COUNT is small",
		.args = CLAIM_ARGS "start:string [COUNT count:integer] [justid:JUSTID]",
		.history = "7.0.0 The reply has a third element: ids of deleted entries that are no longer pending.",
		.tips = "nondeterministic_output",
	},
	{
		.name = "xclaim", .run = run_xclaim, .class = EXEC_KEYED, .arity = -6,
		.flags = CMD_WRITE | CMD_FAST, .acl = ACL_STREAM,
		.keys = { KEY_ONE(KEY_RW | KEY_UPDATE) },
		.group = "stream", .since = "5.0.0",
		.summary = "Gives a consumer pending entries of others.",
		.complexity = "O(log N) for each id, N being pending",
		.args = CLAIM_ARGS "id:string... [IDLE ms:integer] [TIME unix-time-milliseconds:unix-time] "
		        "[RETRYCOUNT count:integer] [force:FORCE] [justid:JUSTID] [LASTID lastid:string]",
		.tips = "nondeterministic_output",
	},
	{
		.name = "xpending", .run = run_xpending, .class = EXEC_KEYED, .arity = -3,
		.flags = CMD_READONLY, .acl = ACL_STREAM,
		.keys = { KEY_ONE(KEY_RO | KEY_ACCESS) },
		.group = "stream", .since = "5.0.0",
		.summary = "Counts or lists the entries that are not acknowledged.",
		.complexity = "O(N) in the entries looked at; O(1) for few consumers without a range",
		.args = "key:key#0 group:string [filters:{[IDLE min-idle-time:integer@6.2.0] start:string end:string "
		        "count:integer [consumer:string]}]",
		.history = "6.2.0 Option `IDLE`; ids may be excluded.",
		.tips = "nondeterministic_output",
	},
	{ .name = NULL },
};
