/* stream_info: XINFO. */
#include "server/commands/aggregate.h"
#include "server/commands/groups.h"
#include "server/commands/stream.h"

/* The stream argv[2]; NULL: the error is written. */
static struct stream *find_stream(struct call *c)
{
	struct store_key key = call_key(c, 2);
	bool wrong;
	const struct entry *e = call_find_read_type(c, &key, STORE_STREAM, &wrong);
	if (!e && !wrong)
		reply_no_key(c->reply);
	return e ? stream_of(e) : NULL;
}

static void pair_int(struct reply *r, const char *name, int64_t v)
{
	reply_cstr(r, name);
	reply_int(r, v);
}

static void pair_id(struct reply *r, const char *name, struct stream_id id)
{
	reply_cstr(r, name);
	stream_reply_id(r, id);
}

static void pair_bulk(struct reply *r, const char *name, const void *bytes, size_t len)
{
	reply_cstr(r, name);
	reply_bulk(r, bytes, len);
}

static void reply_progress(struct reply *r, const struct stream *s, const struct stream_group *g)
{
	int64_t lag;
	reply_cstr(r, "entries-read");
	if (g->entries_read == STREAM_READ_UNKNOWN)
		reply_null(r);
	else
		reply_int(r, g->entries_read);
	reply_cstr(r, "lag");
	if (stream_group_lag(s, g, &lag))
		reply_int(r, lag);
	else
		reply_null(r);
}

/* ------------------------------------------------------------------ the shape of a radix tree */

/*
 * Clients know streams as radix trees of their nodes' ids, and their number of nodes is told: one for each place where ids
 * part, one for the end of each id, and one for each run of bytes between two of these.
 */
struct radix {
	int open[17]; /* lengths where ids part, on the way to the last id */
	unsigned depth;
	int64_t nodes;
};

static void radix_run(struct radix *t, int from, int to)
{
	t->nodes += 1 + (to - from - 1 > 0);
}

/* What parts behind `common` bytes is complete. */
static void radix_close(struct radix *t, int common)
{
	while (t->depth && t->open[t->depth - 1] > common) {
		int at = t->open[--t->depth], above = t->depth ? t->open[t->depth - 1] : -1;
		radix_run(t, above > common ? above : common, at);
	}
}

static int common_bytes(struct stream_id a, struct stream_id b)
{
	if (a.ms != b.ms)
		return __builtin_clzll(a.ms ^ b.ms) / 8;
	return 8 + __builtin_clzll(a.seq ^ b.seq) / 8;
}

static int64_t radix_nodes(const struct stream *s)
{
	struct stream_node_iter it;
	struct radix t = { .nodes = 0 };
	struct stream_id id, before = { 0, 0 };
	const uint8_t *bytes;
	size_t len, n = 0;
	int last = -1;
	stream_node_iter_init(&it, s);
	for (; stream_node_iter_next(&it, &id, &bytes, &len); before = id) {
		if (!n++)
			continue;
		int common = common_bytes(before, id);
		radix_run(&t, last > common ? last : common, 16);
		radix_close(&t, common);
		if (!t.depth || t.open[t.depth - 1] < common)
			t.open[t.depth++] = common;
		last = common;
	}
	if (!n)
		return 1;
	radix_run(&t, last, 16);
	radix_close(&t, -1);
	return t.nodes;
}

/* ------------------------------------------------------------------ XINFO STREAM */

static void reply_head(struct reply *r, struct stream *s)
{
	pair_int(r, "length", (int64_t)s->length);
	pair_int(r, "radix-tree-keys", (int64_t)stream_node_count(s));
	pair_int(r, "radix-tree-nodes", radix_nodes(s));
	pair_id(r, "last-generated-id", s->last_id);
	pair_id(r, "max-deleted-entry-id", s->max_deleted_id);
	pair_int(r, "entries-added", (int64_t)s->entries_added);
	pair_id(r, "recorded-first-entry-id", s->first_id);
}

static void reply_end(struct reply *r, struct stream *s, const char *name, bool last)
{
	reply_cstr(r, name);
	if (!s->length || !stream_reply_one(r, s, stream_edge(s, last)))
		reply_null(r);
}

static size_t at_most(size_t n, int64_t limit)
{
	return limit && n > (uint64_t)limit ? (size_t)limit : n;
}

static void reply_entries(struct reply *r, struct stream *s, int64_t count)
{
	struct stream_iter it;
	struct stream_id id;
	uint64_t fields, n = 0;
	size_t mark = reply_defer(r);
	stream_iter_init(&it, s, STREAM_ID_MIN, STREAM_ID_MAX, false);
	while ((!count || n < (uint64_t)count) && stream_iter_next(&it, &id, &fields)) {
		stream_reply_entry(r, &it, id, fields);
		n++;
	}
	reply_defer_end(r, mark, '*', n);
}

/* Pending entries, with the consumer's name for a group. */
static void reply_pel(struct reply *r, const struct idmap *pel, int64_t count, bool of_group)
{
	struct stream_pel_iter it;
	const struct stream_nack *nack;
	struct stream_id id;
	size_t n = at_most(stream_pel_count(pel), count);
	pair_int(r, "pel-count", (int64_t)stream_pel_count(pel));
	reply_cstr(r, "pending");
	reply_array(r, n);
	stream_pel_iter_init(&it, pel, STREAM_ID_MIN);
	while (n-- && (nack = stream_pel_iter_next(&it, &id))) {
		reply_array(r, of_group ? 4 : 3);
		stream_reply_id(r, id);
		if (of_group)
			reply_bulk(r, nack->consumer->name, nack->consumer->name_len);
		reply_int(r, nack->delivered_ms);
		reply_int(r, (int64_t)nack->deliveries);
	}
}

static void reply_full_group(struct reply *r, const struct stream *s, const struct stream_group *g, int64_t count)
{
	reply_map(r, 7);
	pair_bulk(r, "name", g->name, g->name_len);
	pair_id(r, "last-delivered-id", g->last_id);
	reply_progress(r, s, g);
	reply_pel(r, g->pel, count, true);
	reply_cstr(r, "consumers");
	reply_array(r, g->consumer_count);
	for (uint32_t i = 0; i < g->consumer_count; i++) {
		const struct stream_consumer *consumer = g->consumers[i];
		reply_map(r, 5);
		pair_bulk(r, "name", consumer->name, consumer->name_len);
		pair_int(r, "seen-time", consumer->seen_ms);
		pair_int(r, "active-time", consumer->active_ms);
		reply_pel(r, consumer->pel, count, false);
	}
}

static void run_stream(struct call *c)
{
	struct reply *r = c->reply;
	int64_t count = 10;
	struct stream *s = find_stream(c);
	if (!s)
		return;
	if (c->argc == 3) {
		reply_map(r, 10);
		reply_head(r, s);
		pair_int(r, "groups", s->group_count);
		reply_end(r, s, "first-entry", false);
		reply_end(r, s, "last-entry", true);
		return;
	}
	if ((c->argc != 4 && c->argc != 6) || !arg_is(&c->argv[3], "FULL") || (c->argc == 6 && !arg_is(&c->argv[4], "COUNT"))) {
		call_unknown_subcommand(c);
		return;
	}
	if (c->argc == 6 && !call_int(c, 5, &count))
		return;
	count = count < 0 ? 10 : count;
	reply_map(r, 9);
	reply_head(r, s);
	reply_cstr(r, "entries");
	reply_entries(r, s, count);
	reply_cstr(r, "groups");
	reply_array(r, s->group_count);
	for (uint32_t i = 0; i < s->group_count; i++)
		reply_full_group(r, s, s->groups[i], count);
}

/* ------------------------------------------------------------------ XINFO GROUPS, CONSUMERS */

static void run_groups(struct call *c)
{
	struct reply *r = c->reply;
	const struct stream *s = find_stream(c);
	if (!s)
		return;
	reply_array(r, s->group_count);
	for (uint32_t i = 0; i < s->group_count; i++) {
		const struct stream_group *g = s->groups[i];
		reply_map(r, 6);
		pair_bulk(r, "name", g->name, g->name_len);
		pair_int(r, "consumers", g->consumer_count);
		pair_int(r, "pending", (int64_t)idmap_count(g->pel));
		pair_id(r, "last-delivered-id", g->last_id);
		reply_progress(r, s, g);
	}
}

static void run_consumers(struct call *c)
{
	struct reply *r = c->reply;
	const struct arg *name = &c->argv[3];
	const struct stream *s = find_stream(c);
	if (!s)
		return;
	const struct stream_group *g = stream_group_find(s, name->ptr, name->len);
	if (!g) {
		reply_errorf(r, "NOGROUP No such consumer group '%.*s' for key name '%.*s'", (int)name->len, name->ptr,
		             (int)c->argv[2].len, c->argv[2].ptr);
		return;
	}
	reply_array(r, g->consumer_count);
	for (uint32_t i = 0; i < g->consumer_count; i++) {
		const struct stream_consumer *consumer = g->consumers[i];
		int64_t idle = c->op.now_ms - consumer->seen_ms;
		reply_map(r, 4);
		pair_bulk(r, "name", consumer->name, consumer->name_len);
		pair_int(r, "pending", (int64_t)stream_pel_count(consumer->pel));
		pair_int(r, "idle", idle < 0 ? 0 : idle);
		pair_int(r, "inactive", consumer->active_ms == -1 ? -1 : c->op.now_ms - consumer->active_ms);
	}
}

static void run_help(struct call *c)
{
	static const char *const lines[] = {
		"CONSUMERS <key> <group>",
		"    The consumers of a group: what is pending, when they were last heard of.",
		"GROUPS <key>",
		"    The groups of a stream, and how far they have read.",
		"STREAM <key> [FULL [COUNT <count>]]",
		"    The stream itself. FULL adds entries, groups and consumers, <count> of each",
		"    (10; 0 means all).",
		NULL,
	};
	call_help(c, lines);
}

/* ------------------------------------------------------------------ rows */

static struct command xinfo_subs[] = {
	{
		.name = "consumers", .run = run_consumers, .class = EXEC_KEYED, .arity = 4,
		.flags = CMD_READONLY, .acl = ACL_STREAM,
		.keys = { KEY_RANGE(KEY_RO | KEY_ACCESS, 2, 0, 1) },
		.group = "stream", .since = "5.0.0",
		.summary = "Lists the consumers of a group.",
		.complexity = "O(N) in the consumers",
		.args = "key:key#0 group:string",
		.history = "7.2.0 `inactive` is new, `idle` is the time since the last attempt.",
		.tips = "nondeterministic_output",
	},
	{
		.name = "groups", .run = run_groups, .class = EXEC_KEYED, .arity = 3,
		.flags = CMD_READONLY, .acl = ACL_STREAM,
		.keys = { KEY_RANGE(KEY_RO | KEY_ACCESS, 2, 0, 1) },
		.group = "stream", .since = "5.0.0",
		.summary = "Lists the consumer groups of a stream.",
		.complexity = "O(N) in the groups",
		.args = "key:key#0",
		.history = "7.0.0 `entries-read` and `lag`.",
	},
	{
		.name = "help", .run = run_help, .class = EXEC_LOCAL, .arity = 2,
		.flags = CMD_LOADING | CMD_STALE, .acl = ACL_STREAM,
		.group = "stream", .since = "5.0.0",
		.summary = "Lists the subcommands.",
		.complexity = "O(1)",
	},
	{
		.name = "stream", .run = run_stream, .class = EXEC_KEYED, .arity = -3,
		.flags = CMD_READONLY, .acl = ACL_STREAM,
		.keys = { KEY_RANGE(KEY_RO | KEY_ACCESS, 2, 0, 1) },
		.group = "stream", .since = "5.0.0",
		.summary = "Describes a stream, with its groups and consumers if told.",
		.complexity = "O(1), and O(N) in what FULL answers",
		.args = "key:key#0 [full-block:{full:FULL [COUNT count:integer]}]",
		.history = "6.0.0 Option `FULL`.\n"
		           "7.0.0 `max-deleted-entry-id`, `entries-added`, `recorded-first-entry-id`, `entries-read` and `lag`.\n"
		           "7.2.0 `active-time` is new, `seen-time` is that of the last attempt.",
	},
	{ .name = NULL },
};

struct command stream_info_commands[] = {
	{
		.name = "xinfo", .class = EXEC_LOCAL, .arity = -2,
		.flags = CMD_CONTAINER,
		.group = "stream", .since = "5.0.0",
		.summary = "Describes streams. Its subcommands do the work.",
		.complexity = "That of the subcommand",
		.subs = xinfo_subs,
	},
	{ .name = NULL },
};
