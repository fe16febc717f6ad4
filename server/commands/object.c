/* object: what a value is made of and what it costs. */
#include "server/call.h"
#include "server/commands/groups.h"
#include "server/stats.h"

#define SWITCHING \
	"Please note that when switching between policies at runtime LRU and LFU data will take some time to adjust."

/* Asking leaves no trace but the count of hits and misses. NULL is answered. */
static const struct entry *find_object(struct call *c)
{
	struct store_key key = call_key(c, 2);
	const struct entry *e = store_find(&c->op, &key, STORE_PEEK);
	stats_add(&stats_of(c->loop)->counter[e ? STAT_KEY_HITS : STAT_KEY_MISSES], 1);
	if (!e)
		reply_null(c->reply);
	return e;
}

static void run_object_encoding(struct call *c)
{
	const struct entry *e = find_object(c);
	if (e)
		reply_cstr(c->reply, entry_encoding_name(e));
}

/* Every value has one owner. Small integers answer what clients know from servers that share them. */
static void run_object_refcount(struct call *c)
{
	const struct entry *e = find_object(c);
	int64_t v;
	if (!e)
		return;
	bool shared = entry_type(e) == STORE_STRING && entry_encoding(e) == STRING_INT && entry_string_int(e, &v) &&
	              v >= 0 && v < 10000;
	reply_int(c->reply, shared ? INT32_MAX : 1);
}

static void run_object_idletime(struct call *c)
{
	const struct entry *e = find_object(c);
	if (!e)
		return;
	if (c->op.access == STORE_ACCESS_LFU)
		reply_error(c->reply, "ERR An LFU maxmemory policy is selected, idle time not tracked. " SWITCHING);
	else
		reply_int(c->reply, entry_idle_ms(&c->op, e) / 1000);
}

static void run_object_freq(struct call *c)
{
	const struct entry *e = find_object(c);
	if (!e)
		return;
	if (c->op.access != STORE_ACCESS_LFU)
		reply_error(c->reply,
		            "ERR An LFU maxmemory policy is not selected, access frequency not tracked. " SWITCHING);
	else
		reply_int(c->reply, entry_freq(&c->op, e));
}

static void run_object_help(struct call *c)
{
	static const char *const lines[] = {
		"ENCODING <key>",
		"    How the value is held in memory.",
		"FREQ <key>",
		"    How often the key is used, on a logarithmic scale (under an LFU policy).",
		"IDLETIME <key>",
		"    Seconds since the key was last used (under any other policy).",
		"REFCOUNT <key>",
		"    How many owners the value has.",
		NULL,
	};
	call_help(c, lines);
}

/* ------------------------------------------------------------------ rows */

static struct command object_subs[] = {
	{
		.name = "encoding", .run = run_object_encoding, .class = EXEC_KEYED, .arity = 3,
		.flags = CMD_READONLY, .acl = ACL_KEYSPACE,
		.keys = { KEY_RANGE(KEY_RO, 2, 0, 1) },
		.group = "generic", .since = "2.2.3",
		.summary = "Answers the name of a value's representation in memory.",
		.complexity = "O(1)",
		.args = "key:key#0",
		.tips = "nondeterministic_output",
	},
	{
		.name = "freq", .run = run_object_freq, .class = EXEC_KEYED, .arity = 3,
		.flags = CMD_READONLY, .acl = ACL_KEYSPACE,
		.keys = { KEY_RANGE(KEY_RO, 2, 0, 1) },
		.group = "generic", .since = "4.0.0",
		.summary = "Answers how often a key is used, on a logarithmic scale.",
		.complexity = "O(1)",
		.args = "key:key#0",
		.tips = "nondeterministic_output",
	},
	{
		.name = "help", .run = run_object_help, .class = EXEC_LOCAL, .arity = 2,
		.flags = CMD_LOADING | CMD_STALE, .acl = ACL_KEYSPACE,
		.group = "generic", .since = "6.2.0",
		.summary = "Lists the subcommands.",
		.complexity = "O(1)",
	},
	{
		.name = "idletime", .run = run_object_idletime, .class = EXEC_KEYED, .arity = 3,
		.flags = CMD_READONLY, .acl = ACL_KEYSPACE,
		.keys = { KEY_RANGE(KEY_RO, 2, 0, 1) },
		.group = "generic", .since = "2.2.3",
		.summary = "Answers how long a key has not been used.",
		.complexity = "O(1)",
		.args = "key:key#0",
		.tips = "nondeterministic_output",
	},
	{
		.name = "refcount", .run = run_object_refcount, .class = EXEC_KEYED, .arity = 3,
		.flags = CMD_READONLY, .acl = ACL_KEYSPACE,
		.keys = { KEY_RANGE(KEY_RO, 2, 0, 1) },
		.group = "generic", .since = "2.2.3",
		.summary = "Answers how many owners a value has.",
		.complexity = "O(1)",
		.args = "key:key#0",
		.tips = "nondeterministic_output",
	},
	{ .name = NULL },
};

struct command object_commands[] = {
	{
		.name = "object", .class = EXEC_LOCAL, .arity = -2,
		.flags = CMD_CONTAINER,
		.group = "generic", .since = "2.2.3",
		.summary = "Asks how a value is held. Its subcommands do the work.",
		.complexity = "That of the subcommand",
		.subs = object_subs,
	},
	{ .name = NULL },
};
