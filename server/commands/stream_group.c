/* stream_group: consumer groups: XGROUP, XACK; and what their commands share. */
#include <stdlib.h>

#include "server/commands/aggregate.h"
#include "server/commands/groups.h"
#include "server/commands/stream.h"

/* ------------------------------------------------------------------ shared */

void stream_journal_claim(struct call *c, const struct arg *key, const struct stream_group *g, struct stream_id id,
                          const struct stream_nack *n)
{
	char id_text[STREAM_ID_TEXT], last_text[STREAM_ID_TEXT];
	if (!c->effects)
		return;
	const struct arg group = { g->name, g->name_len }, consumer = { n->consumer->name, n->consumer->name_len };
	const struct arg at = { id_text, stream_print_id(id_text, id) };
	const struct arg last = { last_text, stream_print_id(last_text, g->last_id) };
	call_journalf(c, "saaasasisisssa", "XCLAIM", key, &group, &consumer, "0", &at, "TIME", n->delivered_ms,
	              "RETRYCOUNT", (int64_t)n->deliveries, "FORCE", "JUSTID", "LASTID", &last);
}

void stream_journal_group(struct call *c, const struct arg *key, const struct stream_group *g)
{
	char text[STREAM_ID_TEXT];
	if (!c->effects)
		return;
	const struct arg group = { g->name, g->name_len }, last = { text, stream_print_id(text, g->last_id) };
	call_journalf(c, "ssaaasi", "XGROUP", "SETID", key, &group, &last, "ENTRIESREAD", g->entries_read);
}

struct stream_consumer *stream_consumer_get(struct call *c, unsigned key_at, struct stream_group *g, const struct arg *name)
{
	const struct arg group = { g->name, g->name_len };
	struct stream_consumer *consumer = stream_consumer_find(g, name->ptr, name->len);
	if (!consumer) {
		struct store_key key = call_key(c, key_at);
		if (stream_consumer_add(g, name->ptr, name->len, c->op.now_ms, &consumer))
			return NULL;
		c->dirty++;
		call_event(c, &key, NOTIFY_STREAM, "xgroup-createconsumer");
		call_journalf(c, "ssaaa", "XGROUP", "CREATECONSUMER", &c->argv[key_at], &group, name);
	}
	consumer->seen_ms = c->op.now_ms;
	return consumer;
}

void stream_group_advance(const struct stream *s, struct stream_group *g, struct stream_id id)
{
	if (stream_id_compare(id, g->last_id) <= 0)
		return;
	if (g->entries_read != STREAM_READ_UNKNOWN && stream_id_compare(g->last_id, s->first_id) >= 0 &&
	    !stream_has_gap(s, g->last_id))
		g->entries_read++;
	else if (s->entries_added)
		g->entries_read = stream_entries_until(s, id);
	g->last_id = id;
}

struct stream_group *stream_group_of(struct call *c, unsigned at, struct entry **e)
{
	struct store_key key = call_key(c, at);
	const struct arg *name = &c->argv[at + 1];
	struct stream_group *g;
	bool wrong;
	*e = c->cmd->flags & CMD_WRITE ? call_find_write_type(c, &key, STORE_STREAM, &wrong)
	                               : call_find_read_type(c, &key, STORE_STREAM, &wrong);
	if (wrong)
		return NULL;
	g = *e ? stream_group_find(stream_of(*e), name->ptr, name->len) : NULL;
	if (!g)
		reply_errorf(c->reply, "NOGROUP No such key '%.*s' or consumer group '%.*s'", (int)c->argv[at].len,
		             c->argv[at].ptr, (int)name->len, name->ptr);
	return g;
}

/* ------------------------------------------------------------------ XGROUP */

/* What the subcommands begin with: the options, the key, and the group argv[3]. */
struct xgroup {
	struct store_key key;
	struct entry *e;
	struct stream_group *group; /* NULL: there is none */
	bool mkstream;
	int64_t entries_read;
};

static bool parse_xgroup(struct call *c, struct xgroup *x, bool create)
{
	for (unsigned i = 5; i < c->argc; i++) {
		if (create && arg_is(&c->argv[i], "MKSTREAM")) {
			x->mkstream = true;
		} else if (i + 1 < c->argc && arg_is(&c->argv[i], "ENTRIESREAD")) {
			if (!call_int(c, ++i, &x->entries_read))
				return false;
			if (x->entries_read < -1) {
				reply_error(c->reply, "ERR value for ENTRIESREAD must be positive or -1");
				return false;
			}
		} else {
			call_unknown_subcommand(c);
			return false;
		}
	}
	return true;
}

/* XGROUP on a wrong type (CVE-2018-12453). need_group: there must be one. false: the error is written. */
static bool find_xgroup(struct call *c, struct xgroup *x, bool need_group)
{
	const struct arg *name = &c->argv[3];
	bool wrong;
	x->key = call_key(c, 2);
	x->group = NULL;
	x->e = call_find_write_type(c, &x->key, STORE_STREAM, &wrong);
	if (wrong)
		return false;
	if (!x->e && !x->mkstream) {
		reply_error(c->reply, "ERR The XGROUP subcommand requires the key to exist. Note that for CREATE you may want to "
		                      "use the MKSTREAM option to create an empty stream automatically.");
		return false;
	}
	if (x->e)
		x->group = stream_group_find(stream_of(x->e), name->ptr, name->len);
	if (x->group || !need_group)
		return true;
	reply_errorf(c->reply, "NOGROUP No such consumer group '%.*s' for key name '%.*s'", (int)name->len, name->ptr,
	             (int)c->argv[2].len, c->argv[2].ptr);
	return false;
}

/* The key of MKSTREAM. false: out of memory, which is answered. */
static bool make_stream(struct call *c, struct xgroup *x)
{
	struct stream *s = stream_new();
	x->e = s ? store_add(&c->op, &x->key, STORE_STREAM, ENC_STREAM, s) : NULL;
	if (x->e) {
		call_event(c, &x->key, NOTIFY_NEW, "new");
		return true;
	}
	stream_free(s);
	reply_oom(c->reply);
	return false;
}

static void run_create(struct call *c)
{
	struct xgroup x = { .entries_read = STREAM_READ_UNKNOWN };
	struct stream_id id = STREAM_ID_MIN;
	if (!parse_xgroup(c, &x, true) || !find_xgroup(c, &x, false))
		return;
	if (c->argc > 8) {
		call_unknown_subcommand(c);
		return;
	}
	if (!arg_is(&c->argv[4], "$")) {
		if (!stream_parse_id(c, &c->argv[4], &id, 0, true, NULL))
			return;
	} else if (x.e) {
		id = stream_of(x.e)->last_id;
	}
	bool fresh = !x.e;
	if (fresh && !make_stream(c, &x))
		return;
	int err = stream_group_add(stream_of(x.e), c->argv[3].ptr, c->argv[3].len, id, x.entries_read, &x.group);
	if (err == -EEXIST) {
		reply_error(c->reply, "BUSYGROUP Consumer Group name already exists");
		return;
	}
	if (err) {
		if (fresh)
			store_delete(&c->op, &x.key, false);
		reply_oom(c->reply);
		return;
	}
	reply_ok(c->reply);
	call_touch(c, &x.key, NOTIFY_STREAM, "xgroup-create");
}

static void run_setid(struct call *c)
{
	struct xgroup x = { .entries_read = STREAM_READ_UNKNOWN };
	struct stream_id id;
	if (!parse_xgroup(c, &x, false) || !find_xgroup(c, &x, true))
		return;
	if (c->argc > 7) {
		call_unknown_subcommand(c);
		return;
	}
	if (arg_is(&c->argv[4], "$"))
		id = stream_of(x.e)->last_id;
	else if (!stream_parse_id(c, &c->argv[4], &id, 0, false, NULL))
		return;
	x.group->last_id = id;
	x.group->entries_read = x.entries_read;
	reply_ok(c->reply);
	call_touch(c, &x.key, NOTIFY_STREAM, "xgroup-setid");
}

static void run_destroy(struct call *c)
{
	struct xgroup x = { 0 };
	if (!find_xgroup(c, &x, false))
		return;
	if (!x.group) {
		reply_int(c->reply, 0);
		return;
	}
	stream_group_remove(stream_of(x.e), x.group);
	reply_int(c->reply, 1);
	call_touch(c, &x.key, NOTIFY_STREAM, "xgroup-destroy");
}

static void run_createconsumer(struct call *c)
{
	struct xgroup x = { 0 };
	struct stream_consumer *consumer;
	if (!find_xgroup(c, &x, true))
		return;
	int err = stream_consumer_add(x.group, c->argv[4].ptr, c->argv[4].len, c->op.now_ms, &consumer);
	if (err == -ENOMEM) {
		reply_oom(c->reply);
		return;
	}
	reply_int(c->reply, err ? 0 : 1);
	if (!err)
		call_touch(c, &x.key, NOTIFY_STREAM, "xgroup-createconsumer");
}

static void run_delconsumer(struct call *c)
{
	struct xgroup x = { 0 };
	if (!find_xgroup(c, &x, true))
		return;
	struct stream_consumer *consumer = stream_consumer_find(x.group, c->argv[4].ptr, c->argv[4].len);
	if (!consumer) {
		reply_int(c->reply, 0);
		return;
	}
	reply_int(c->reply, (int64_t)stream_consumer_remove(x.group, consumer));
	call_touch(c, &x.key, NOTIFY_STREAM, "xgroup-delconsumer");
}

static void run_help(struct call *c)
{
	static const char *const lines[] = {
		"CREATE <key> <group> <id|$> [MKSTREAM] [ENTRIESREAD <n>]",
		"    Make a group that is given the entries behind <id>. MKSTREAM makes the key if",
		"    there is none. ENTRIESREAD says how many entries there were up to <id>.",
		"CREATECONSUMER <key> <group> <consumer>",
		"    Make a consumer of the group.",
		"DELCONSUMER <key> <group> <consumer>",
		"    Remove a consumer with all that is pending for it.",
		"DESTROY <key> <group>",
		"    Remove a group.",
		"SETID <key> <group> <id|$> [ENTRIESREAD <n>]",
		"    Set the id behind which the group is given entries.",
		NULL,
	};
	call_help(c, lines);
}

/* ------------------------------------------------------------------ XACK */

static void run_xack(struct call *c)
{
	struct store_key key = call_key(c, 1);
	struct stream_id id;
	int64_t n = 0;
	bool wrong;
	struct entry *e = call_find_write_type(c, &key, STORE_STREAM, &wrong);
	if (wrong)
		return;
	struct stream_group *g = e ? stream_group_find(stream_of(e), c->argv[2].ptr, c->argv[2].len) : NULL;
	if (!g) {
		reply_int(c->reply, 0);
		return;
	}
	struct stream_id few[32], *ids = few;
	unsigned count = c->argc - 3;
	if (count > sizeof few / sizeof *few && !(ids = malloc(count * sizeof *ids))) {
		reply_oom(c->reply);
		return;
	}
	bool ok = true;
	for (unsigned i = 0; ok && i < count; i++) {
		ok = stream_parse_id(c, &c->argv[3 + i], &id, 0, true, NULL);
		ids[i] = id;
	}
	for (unsigned i = 0; ok && i < count; i++)
		n += stream_pel_ack(g, ids[i]);
	c->dirty += (uint32_t)n; /* of the group, not of the key */
	if (ok)
		reply_int(c->reply, n);
	if (ids != few)
		free(ids);
}

/* ------------------------------------------------------------------ rows */

#define GROUP_ARGS "key:key#0 group:string"
#define NEW_ID "id-selector:<id:string|new-id:$>"

static struct command xgroup_subs[] = {
	{
		.name = "create", .run = run_create, .class = EXEC_KEYED, .arity = -5,
		.flags = CMD_WRITE | CMD_DENYOOM, .acl = ACL_STREAM,
		.keys = { KEY_RANGE(KEY_RW | KEY_INSERT, 2, 0, 1) },
		.group = "stream", .since = "5.0.0",
		.summary = "Makes a consumer group.",
		.complexity = "O(1)",
		.args = GROUP_ARGS " " NEW_ID " [mkstream:MKSTREAM] [ENTRIESREAD entriesread:integer(entries-read)]",
		.history = "7.0.0 Option `ENTRIESREAD`.",
	},
	{
		.name = "createconsumer", .run = run_createconsumer, .class = EXEC_KEYED, .arity = 5,
		.flags = CMD_WRITE | CMD_DENYOOM, .acl = ACL_STREAM,
		.keys = { KEY_RANGE(KEY_RW | KEY_INSERT, 2, 0, 1) },
		.group = "stream", .since = "6.2.0",
		.summary = "Makes a consumer of a group.",
		.complexity = "O(1)",
		.args = GROUP_ARGS " consumer:string",
	},
	{
		.name = "delconsumer", .run = run_delconsumer, .class = EXEC_KEYED, .arity = 5,
		.flags = CMD_WRITE, .acl = ACL_STREAM,
		.keys = { KEY_RANGE(KEY_RW | KEY_DELETE, 2, 0, 1) },
		.group = "stream", .since = "5.0.0",
		.summary = "Removes a consumer, and answers how many entries were pending for it.",
		.complexity = "O(N) in the consumer's pending entries",
		.args = GROUP_ARGS " consumer:string",
	},
	{
		.name = "destroy", .run = run_destroy, .class = EXEC_KEYED, .arity = 4,
		.flags = CMD_WRITE, .acl = ACL_STREAM,
		.keys = { KEY_RANGE(KEY_RW | KEY_DELETE, 2, 0, 1) },
		.group = "stream", .since = "5.0.0",
		.summary = "Removes a consumer group.",
		.complexity = "O(N) in the group's pending entries",
		.args = GROUP_ARGS,
	},
	{
		.name = "help", .run = run_help, .class = EXEC_LOCAL, .arity = 2,
		.flags = CMD_LOADING | CMD_STALE, .acl = ACL_STREAM,
		.group = "stream", .since = "5.0.0",
		.summary = "Lists the subcommands.",
		.complexity = "O(1)",
	},
	{
		.name = "setid", .run = run_setid, .class = EXEC_KEYED, .arity = -5,
		.flags = CMD_WRITE, .acl = ACL_STREAM,
		.keys = { KEY_RANGE(KEY_RW | KEY_UPDATE, 2, 0, 1) },
		.group = "stream", .since = "5.0.0",
		.summary = "Sets the id behind which a group is given entries.",
		.complexity = "O(1)",
		.args = GROUP_ARGS " " NEW_ID " [ENTRIESREAD entriesread:integer(entries-read)]",
		.history = "7.0.0 Option `ENTRIESREAD`.",
	},
	{ .name = NULL },
};

struct command stream_group_commands[] = {
	{
		.name = "xack", .run = run_xack, .class = EXEC_KEYED, .arity = -4,
		.flags = CMD_WRITE | CMD_FAST, .acl = ACL_STREAM,
		.keys = { KEY_ONE(KEY_RW | KEY_UPDATE) },
		.group = "stream", .since = "5.0.0",
		.summary = "Acknowledges entries, and answers how many were pending.",
		.complexity = "O(1) for each id",
		.args = GROUP_ARGS " id:string...",
	},
	{
		.name = "xgroup", .class = EXEC_LOCAL, .arity = -2,
		.flags = CMD_CONTAINER,
		.group = "stream", .since = "5.0.0",
		.summary = "Makes, changes and removes consumer groups. Its subcommands do the work.",
		.complexity = "That of the subcommand",
		.subs = xgroup_subs,
	},
	{ .name = NULL },
};
