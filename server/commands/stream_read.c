/* stream_read: entries of streams by their ids: XRANGE, XREVRANGE, XREAD, XREADGROUP. */
#include <stdlib.h>

#include "server/block.h"
#include "server/commands/aggregate.h"
#include "server/commands/groups.h"
#include "server/commands/stream.h"

/* ------------------------------------------------------------------ XRANGE */

static void reply_range(struct call *c, struct stream *s, struct stream_id from, struct stream_id to, int64_t count,
                        bool reverse)
{
	struct stream_iter it;
	struct stream_id id;
	uint64_t fields, n = 0;
	size_t mark = reply_defer(c->reply);
	stream_iter_init(&it, s, from, to, reverse);
	while ((!count || n < (uint64_t)count) && stream_iter_next(&it, &id, &fields)) {
		stream_reply_entry(c->reply, &it, id, fields);
		n++;
	}
	reply_defer_end(c->reply, mark, '*', n);
}

static void range(struct call *c, bool reverse)
{
	struct store_key key = call_key(c, 1);
	struct stream_id from, to;
	int64_t count = -1;
	bool wrong;
	if (!stream_parse_bound(c, reverse ? 3 : 2, false, &from) || !stream_parse_bound(c, reverse ? 2 : 3, true, &to))
		return;
	for (unsigned i = 4; i < c->argc; i += 2) {
		if (i + 1 >= c->argc || !arg_is(&c->argv[i], "COUNT")) {
			reply_syntax_error(c->reply);
			return;
		}
		if (!call_int(c, i + 1, &count))
			return;
		count = count < 0 ? 0 : count;
	}
	const struct entry *e = call_find_read_type(c, &key, STORE_STREAM, &wrong);
	if (wrong)
		return;
	if (!e)
		reply_array(c->reply, 0);
	else if (count == 0)
		reply_null_array(c->reply);
	else
		reply_range(c, stream_of(e), from, to, count < 0 ? 0 : count, reverse);
}

static void run_xrange(struct call *c)
{
	range(c, false);
}

static void run_xrevrange(struct call *c)
{
	range(c, true);
}

/* ------------------------------------------------------------------ XREAD: arguments */

/* One stream to be read. */
struct source {
	struct store_key key;
	struct stream_id after; /* entries behind it; of a group: those of the consumer's own history */
	bool left_out;          /* known to have nothing: block_holds() */
	bool fresh;             /* ">": what the group has not given to anyone */
};

struct read_request {
	bool by_group, no_ack;
	int64_t block_ms; /* -1: do not wait; 0: for ever */
	int64_t count;    /* 0: all */
	unsigned group_at, consumer_at; /* places in argv; 0: not given */
	unsigned first, n;              /* of the keys; their ids follow */
	struct source *sources;
};

#define FEW_SOURCES 16

/* The one way to find STREAMS, which may also be the name of a group or a consumer: for locks, ACL and execution. */
static unsigned find_streams(const struct arg *argv, unsigned argc)
{
	for (unsigned i = 1; i < argc; i++) {
		if (arg_is(&argv[i], "STREAMS"))
			return i;
		if (arg_is(&argv[i], "BLOCK") || arg_is(&argv[i], "COUNT"))
			i++;
		else if (arg_is(&argv[i], "GROUP"))
			i += 2;
		else if (!arg_is(&argv[i], "NOACK"))
			return 0;
	}
	return 0;
}

static int read_keys(const struct command *cmd, const struct arg *argv, unsigned argc, struct key_refs *out)
{
	unsigned at = find_streams(argv, argc), n = at ? argc - at - 1 : 0;
	if (n == 0 || n % 2)
		return -EINVAL;
	for (unsigned i = 0; i < n / 2; i++)
		if (!key_refs_add(out, at + 1 + i, cmd->keys[0].flags))
			return -ENOMEM;
	return 0;
}

static bool parse_block(struct call *c, unsigned i, int64_t *block_ms)
{
	int64_t now_ms = c->op.now_ms;
	const char *error = "ERR timeout is not an integer or out of range";
	if (!call_int_range(c, i, INT64_MIN, INT64_MAX, block_ms, error))
		return false;
	if (*block_ms >= 0 && *block_ms <= INT64_MAX - now_ms)
		return true;
	reply_error(c->reply, *block_ms < 0 ? "ERR timeout is negative" : "ERR timeout is out of range");
	return false;
}

/* The option at argv[*i], which then is its last argument. */
static bool parse_option(struct call *c, struct read_request *r, unsigned *i)
{
	const struct arg *a = &c->argv[*i];
	unsigned more = c->argc - 1 - *i;
	const char *error = NULL;
	if (more && arg_is(a, "BLOCK"))
		return parse_block(c, ++*i, &r->block_ms);
	if (more && arg_is(a, "COUNT")) {
		if (!call_int(c, ++*i, &r->count))
			return false;
		r->count = r->count < 0 ? 0 : r->count;
		return true;
	}
	if (more >= 2 && arg_is(a, "GROUP")) {
		if (!r->by_group)
			error = "ERR The GROUP option is only supported by XREADGROUP. You called XREAD instead.";
		r->group_at = ++*i;
		r->consumer_at = ++*i;
	} else if (arg_is(a, "NOACK")) {
		if (!r->by_group)
			error = "ERR The NOACK option is only supported by XREADGROUP. You called XREAD instead.";
		r->no_ack = true;
	} else {
		error = "ERR syntax error";
	}
	if (error)
		reply_error(c->reply, error);
	return !error;
}

static bool parse_request(struct call *c, struct read_request *r)
{
	*r = (struct read_request){ .by_group = c->cmd->flags & CMD_WRITE, .block_ms = -1 };
	for (unsigned i = 1; i < c->argc && !r->first; i++) {
		if (i + 1 < c->argc && arg_is(&c->argv[i], "STREAMS"))
			r->first = i + 1;
		else if (!parse_option(c, r, &i))
			return false;
	}
	if (!r->first) {
		reply_syntax_error(c->reply);
		return false;
	}
	if ((c->argc - r->first) % 2) {
		reply_errorf(c->reply, "ERR Unbalanced '%s' list of streams: for each stream key an ID or '%c' must be "
		                       "specified.", c->cmd->full_name, r->by_group ? '>' : '$');
		return false;
	}
	r->n = (c->argc - r->first) / 2;
	if (!r->by_group || r->group_at)
		return true;
	reply_error(c->reply, "ERR Missing GROUP option for XREADGROUP");
	return false;
}

/* Where reading begins. */
static bool parse_after(struct call *c, const struct read_request *r, unsigned i, const struct entry *e)
{
	struct source *src = &r->sources[i];
	const struct arg *a = &c->argv[r->first + r->n + i];
	const char *error = NULL;
	src->fresh = false;
	if (arg_is(a, "$")) {
		if (r->by_group)
			error = "ERR The $ ID is meaningless in the context of XREADGROUP: you want to read the history of this "
			        "consumer by specifying a proper ID, or use the > ID to get new messages. The $ ID would just "
			        "return an empty result set.";
		src->after = e ? stream_of(e)->last_id : STREAM_ID_MIN;
	} else if (arg_is(a, ">")) {
		if (!r->by_group)
			error = "ERR The > ID can be specified only when calling XREADGROUP using the GROUP <group> <consumer> "
			        "option.";
		src->fresh = true;
		src->after = STREAM_ID_MAX;
	} else {
		if (!stream_parse_id(c, a, &src->after, 0, true, NULL))
			return false;
		src->fresh = r->by_group && !stream_id_compare(src->after, STREAM_ID_MAX);
	}
	if (error)
		reply_error(c->reply, error);
	return !error;
}

/* All that must hold before anything is done: types, groups, ids. */
static bool find_sources(struct call *c, const struct read_request *r)
{
	for (unsigned i = 0; i < r->n; i++) {
		struct source *src = &r->sources[i];
		bool wrong;
		*src = (struct source){ .key = call_key(c, r->first + i), .left_out = !block_holds(c, r->first + i) };
		if (src->left_out)
			continue;
		const struct entry *e = call_find_read_type(c, &src->key, STORE_STREAM, &wrong);
		if (wrong)
			return false;
		if (r->by_group) {
			const struct arg *name = &c->argv[r->group_at], *key = &c->argv[r->first + i];
			if (!e || !stream_group_find(stream_of(e), name->ptr, name->len)) {
				reply_errorf(c->reply, "NOGROUP No such key '%.*s' or consumer group '%.*s' in XREADGROUP with "
				                       "GROUP option", (int)key->len, key->ptr, (int)name->len, name->ptr);
				return false;
			}
		}
		if (!parse_after(c, r, i, e))
			return false;
	}
	return true;
}

/* ------------------------------------------------------------------ XREADGROUP: one stream */

/* What the consumer was given before and has not acknowledged. */
static void reply_history(struct call *c, const struct read_request *r, struct stream *s,
                          const struct stream_consumer *consumer, struct stream_id after)
{
	struct stream_pel_iter it;
	struct stream_nack *nack;
	struct stream_id id = after;
	uint64_t n = 0;
	size_t mark = reply_defer(c->reply);
	stream_pel_iter_init(&it, stream_id_next(&id) ? consumer->pel : NULL, id);
	while ((!r->count || n < (uint64_t)r->count) && (nack = stream_pel_iter_next(&it, &id))) {
		if (stream_reply_one(c->reply, s, id)) {
			nack->delivered_ms = c->op.now_ms;
			nack->deliveries++;
		} else {
			/* deleted meanwhile */
			reply_array(c->reply, 2);
			stream_reply_id(c->reply, id);
			reply_null_array(c->reply);
		}
		n++;
	}
	reply_defer_end(c->reply, mark, '*', n);
}

/* What the group has not given to anyone yet. */
static void reply_fresh(struct call *c, const struct read_request *r, const struct arg *key, struct stream *s,
                        struct stream_group *g, struct stream_consumer *consumer)
{
	struct stream_iter it;
	struct stream_id id, from = g->last_id;
	uint64_t fields, n = 0;
	size_t mark = reply_defer(c->reply);
	stream_id_next(&from);
	stream_iter_init(&it, s, from, STREAM_ID_MAX, false);
	while ((!r->count || n < (uint64_t)r->count) && stream_iter_next(&it, &id, &fields)) {
		struct stream_nack *nack = NULL;
		if (!r->no_ack && !(nack = stream_pel_give(g, consumer, id)))
			break; /* no memory: the rest stays for another time */
		stream_group_advance(s, g, id);
		stream_reply_entry(c->reply, &it, id, fields);
		if (nack) {
			nack->delivered_ms = c->op.now_ms;
			nack->deliveries = 1;
			consumer->active_ms = c->op.now_ms;
			stream_journal_claim(c, key, g, id, nack);
		}
		n++;
	}
	reply_defer_end(c->reply, mark, '*', n);
	if (n)
		stream_journal_group(c, key, g);
}

static bool has_fresh(struct stream *s, struct stream_id after)
{
	return s->length && stream_id_compare(stream_edge(s, true), after) > 0;
}

/* ------------------------------------------------------------------ XREAD: the reply */

/* The stream's name, as the first of the reply's elements if there was none before. */
static void begin_source(struct call *c, const struct arg *key, unsigned *n, size_t *mark)
{
	if (!(*n)++)
		*mark = reply_defer(c->reply);
	if (c->reply->resp == 2)
		reply_array(c->reply, 2);
	reply_bulk(c->reply, key->ptr, key->len);
}

static void read_source(struct call *c, const struct read_request *r, unsigned i, unsigned *n, size_t *mark)
{
	struct source *src = &r->sources[i];
	const struct arg *key = &c->argv[r->first + i];
	struct stream_id from = src->after;
	struct entry *e = store_find(&c->op, &src->key, r->by_group ? STORE_WRITE : STORE_READ);
	struct stream *s = e ? stream_of(e) : NULL;
	if (!s)
		return;
	if (!r->by_group) {
		if (!has_fresh(s, src->after))
			return;
		begin_source(c, key, n, mark);
		stream_id_next(&from);
		reply_range(c, s, from, STREAM_ID_MAX, r->count, false);
		return;
	}
	/* a snapshot may have left us a copy of the stream: what was found before is not ours to change */
	const struct arg *name = &c->argv[r->group_at];
	struct stream_group *g = stream_group_find(s, name->ptr, name->len);
	struct stream_consumer *consumer = stream_consumer_get(c, r->first + i, g, &c->argv[r->consumer_at]);
	if (!consumer) {
		c->reply->failed = true; /* out of memory, in the middle of a reply */
		return;
	}
	if (src->fresh && !has_fresh(s, g->last_id))
		return;
	begin_source(c, key, n, mark);
	if (src->fresh)
		reply_fresh(c, r, key, s, g, consumer);
	else
		reply_history(c, r, s, consumer, src->after);
	c->dirty++; /* of the group, not of the key: who watches the key is not told */
}

/* Wait until one of the streams has more, or, for a group, has gone. What "$" meant is said by an id from now on. */
static bool wait_for_streams(struct call *c, const struct read_request *r)
{
	struct block_spec spec = { .kind = BLOCK_STREAM, .first = r->first, .n = r->n, .if_gone = r->by_group,
		                       .timeout_ms = r->block_ms };
	struct arg *argv = NULL;
	if (!r->by_group) {
		argv = malloc(c->argc * sizeof *argv + r->n * STREAM_ID_TEXT);
		if (!argv) {
			reply_oom(c->reply);
			return true;
		}
		memcpy(argv, c->argv, c->argc * sizeof *argv);
		char *text = (char *)(argv + c->argc);
		for (unsigned i = 0; i < r->n; i++, text += STREAM_ID_TEXT)
			argv[r->first + r->n + i] = (struct arg){ text, stream_print_id(text, r->sources[i].after) };
		spec.argv = argv;
	}
	bool waits = block_on_keys(c, &spec);
	free(argv);
	return waits;
}

/* With BLOCK a client that may wait does; all others are answered as after a timeout. */
static void nothing_to_read(struct call *c, const struct read_request *r)
{
	if (r->block_ms < 0 || !wait_for_streams(c, r))
		reply_null_array(c->reply);
}

static void read_streams(struct call *c, const struct read_request *r)
{
	unsigned n = 0;
	size_t mark = 0;
	if (!find_sources(c, r))
		return;
	for (unsigned i = 0; i < r->n && !c->reply->failed; i++) {
		if (!r->sources[i].left_out)
			read_source(c, r, i, &n, &mark);
	}
	/* what a group gave is journaled as what it did to the group, never as the reading */
	if (r->by_group)
		call_no_journal(c);
	if (n)
		reply_defer_end(c->reply, mark, c->reply->resp == 2 ? '*' : '%', n);
	else if (!c->reply->failed)
		nothing_to_read(c, r);
}

static void run_xread(struct call *c)
{
	struct source few[FEW_SOURCES];
	struct read_request r;
	if (!parse_request(c, &r))
		return;
	r.sources = r.n > FEW_SOURCES ? malloc(r.n * sizeof *r.sources) : few;
	if (!r.sources) {
		reply_oom(c->reply);
		return;
	}
	read_streams(c, &r);
	if (r.sources != few)
		free(r.sources);
}

/* ------------------------------------------------------------------ rows */

#define STREAMS "STREAMS streams:{key:key#0... id:string...}"

struct command stream_read_commands[] = {
	{
		.name = "xrange", .run = run_xrange, .class = EXEC_KEYED, .arity = -4,
		.flags = CMD_READONLY, .acl = ACL_STREAM,
		.keys = { KEY_ONE(KEY_RO | KEY_ACCESS) },
		.group = "stream", .since = "5.0.0",
		.summary = "Answers the entries between two ids.",
		.complexity = "O(N) in the entries answered",
		.args = "key:key#0 start:string end:string [COUNT count:integer]",
		.history = "6.2.0 Ids may be excluded.",
	},
	{
		.name = "xread", .run = run_xread, .class = EXEC_KEYED, .arity = -4,
		.flags = CMD_READONLY | CMD_BLOCKING, .acl = ACL_STREAM,
		.keys = { { .flags = KEY_RO | KEY_ACCESS, .keyword = "STREAMS", .begin = 1, .last = -1, .step = 1, .limit = 2 } },
		.find_keys = read_keys,
		.group = "stream", .since = "5.0.0",
		.summary = "Answers the entries of one or more streams behind given ids; waits for some if told.",
		.args = "[COUNT count:integer] [BLOCK milliseconds:integer] " STREAMS,
	},
	{
		.name = "xreadgroup", .run = run_xread, .class = EXEC_KEYED, .arity = -7,
		.flags = CMD_WRITE | CMD_BLOCKING, .acl = ACL_STREAM,
		.keys = { { .flags = KEY_RO | KEY_ACCESS, .keyword = "STREAMS", .begin = 4, .last = -1, .step = 1, .limit = 2 } },
		.find_keys = read_keys,
		.group = "stream", .since = "5.0.0",
		.summary = "Gives a consumer of a group entries that nobody of it was given, or its own unacknowledged ones.",
		.complexity = "O(N) in the entries answered",
		.args = "GROUP group-block:{group:string consumer:string} [COUNT count:integer] [BLOCK milliseconds:integer] "
		        "[noack:NOACK] " STREAMS,
	},
	{
		.name = "xrevrange", .run = run_xrevrange, .class = EXEC_KEYED, .arity = -4,
		.flags = CMD_READONLY, .acl = ACL_STREAM,
		.keys = { KEY_ONE(KEY_RO | KEY_ACCESS) },
		.group = "stream", .since = "5.0.0",
		.summary = "Answers the entries between two ids, the last first.",
		.complexity = "O(N) in the entries answered",
		.args = "key:key#0 end:string start:string [COUNT count:integer]",
		.history = "6.2.0 Ids may be excluded.",
	},
	{ .name = NULL },
};
