/* set_read: commands that read one set. */
#include "server/commands/groups.h"
#include "server/commands/set.h"

/* The set of argv[1], or false: *missing tells whether there is none, else WRONGTYPE was written. */
static bool read_set(struct call *c, struct value *v, bool *missing)
{
	struct store_key key = call_key(c, 1);
	bool wrong;
	const struct entry *e = call_find_read_type(c, &key, STORE_SET, &wrong);
	*missing = !e && !wrong;
	if (e)
		*v = value_of(e);
	return e;
}

static void run_scard(struct call *c)
{
	struct value v;
	bool missing, found = read_set(c, &v, &missing);
	if (found || missing)
		reply_int(c->reply, found ? (int64_t)set_len(&v) : 0);
}

static void run_sismember(struct call *c)
{
	struct value v;
	bool missing, found = read_set(c, &v, &missing);
	if (found || missing)
		reply_int(c->reply, found && set_has(&v, c->argv[2].ptr, c->argv[2].len));
}

static void run_smismember(struct call *c)
{
	struct value v;
	bool missing, found = read_set(c, &v, &missing);
	if (!found && !missing)
		return;
	reply_array(c->reply, c->argc - 2);
	for (unsigned i = 2; i < c->argc; i++)
		reply_int(c->reply, found && set_has(&v, c->argv[i].ptr, c->argv[i].len));
}

static void run_smembers(struct call *c)
{
	struct value v;
	struct set_iter it;
	struct value_item item;
	bool missing, found = read_set(c, &v, &missing);
	if (!found && !missing)
		return;
	reply_set(c->reply, found ? set_len(&v) : 0);
	if (!found)
		return;
	for (set_begin(&it, &v); set_next(&it, &item);)
		reply_item(c->reply, &item);
}

static bool see_member(void *ctx, const struct value_item *item)
{
	aggregate_scan_see(ctx, item, NULL);
	return true;
}

static uint64_t walk(const struct value *v, uint64_t cursor, size_t count, struct aggregate_scan *s)
{
	return set_scan(v, cursor, count, see_member, s);
}

static void run_sscan(struct call *c)
{
	aggregate_scan(c, STORE_SET, walk);
}

/* ------------------------------------------------------------------ at random */

static void random_repeat(struct call *c, const struct value *v, uint64_t n)
{
	struct value_item item;
	uint64_t spent = 0;
	if (!random_fits(c, n))
		return;
	reply_array(c->reply, (size_t)n);
	while (n--) {
		set_random(v, &item);
		if (!random_goes_on(c, &spent, &item))
			return;
		reply_item(c->reply, &item);
	}
}

static void random_different(struct call *c, struct value *v, uint64_t n)
{
	struct set_choice choice;
	struct value_item item;
	size_t len = set_len(v);
	int err = set_choice_init(&choice, v, n < len ? (size_t)n : len, false);
	if (err)
		reply_oom(c->reply);
	else
		reply_array(c->reply, choice.n);
	while (!err && set_choice_next(&choice, &item))
		reply_item(c->reply, &item);
	set_choice_clear(&choice);
}

static void run_srandmember(struct call *c)
{
	struct value v;
	struct value_item item;
	uint64_t n = 0;
	bool repeat, missing;
	if (c->argc > 3) {
		reply_syntax_error(c->reply);
		return;
	}
	if (c->argc == 3 && !random_count(c, 2, &n, &repeat))
		return;
	bool found = read_set(c, &v, &missing);
	if (!found && !missing)
		return;
	if (c->argc == 2 && found) {
		set_random(&v, &item);
		reply_item(c->reply, &item);
	} else if (c->argc == 2) {
		reply_null(c->reply);
	} else if (!found || !n) {
		reply_array(c->reply, 0);
	} else if (repeat) {
		random_repeat(c, &v, n);
	} else {
		random_different(c, &v, n);
	}
}

/* ------------------------------------------------------------------ rows */

struct command set_read_commands[] = {
	{
		.name = "scard", .run = run_scard, .class = EXEC_KEYED, .arity = 2,
		.flags = CMD_READONLY | CMD_FAST, .acl = ACL_SET,
		.keys = { KEY_ONE(KEY_RO) },
		.group = "set", .since = "1.0.0",
		.summary = "Counts the members of a set.",
		.complexity = "O(1)",
		.args = "key:key#0",
	},
	{
		.name = "sismember", .run = run_sismember, .class = EXEC_KEYED, .arity = 3,
		.flags = CMD_READONLY | CMD_FAST, .acl = ACL_SET,
		.keys = { KEY_ONE(KEY_RO) },
		.group = "set", .since = "1.0.0",
		.summary = "Tells whether a member is in a set.",
		.complexity = "O(1)",
		.args = "key:key#0 member:string",
	},
	{
		.name = "smembers", .run = run_smembers, .class = EXEC_KEYED, .arity = 2,
		.flags = CMD_READONLY, .acl = ACL_SET,
		.keys = { KEY_ONE(KEY_RO | KEY_ACCESS) },
		.group = "set", .since = "1.0.0",
		.summary = "Answers all members of a set.",
		.complexity = "O(N) in the members of the set",
		.args = "key:key#0",
		.tips = "nondeterministic_output_order",
	},
	{
		.name = "smismember", .run = run_smismember, .class = EXEC_KEYED, .arity = -3,
		.flags = CMD_READONLY | CMD_FAST, .acl = ACL_SET,
		.keys = { KEY_ONE(KEY_RO | KEY_ACCESS) },
		.group = "set", .since = "6.2.0",
		.summary = "Tells for each of several members whether it is in a set.",
		.complexity = "O(N) in the members named",
		.args = "key:key#0 member:string...",
	},
	{
		.name = "srandmember", .run = run_srandmember, .class = EXEC_KEYED, .arity = -2,
		.flags = CMD_READONLY, .acl = ACL_SET,
		.keys = { KEY_ONE(KEY_RO | KEY_ACCESS) },
		.group = "set", .since = "1.0.0",
		.summary = "Answers members of a set chosen at random.",
		.complexity = "O(N) in the members answered",
		.args = "key:key#0 [count:integer@2.6.0]",
		.history = "2.6.0 Optional argument `count`.",
		.tips = "nondeterministic_output",
	},
	{
		.name = "sscan", .run = run_sscan, .class = EXEC_KEYED, .arity = -3,
		.flags = CMD_READONLY, .acl = ACL_SET,
		.keys = { KEY_ONE(KEY_RO | KEY_ACCESS) },
		.group = "set", .since = "2.8.0",
		.summary = "Walks over the members of a set, some at each call.",
		.complexity = "O(1) a call, O(N) a whole walk over N members",
		.args = "key:key#0 cursor:integer [MATCH pattern:pattern] [COUNT count:integer]",
		.tips = "nondeterministic_output",
	},
	{ .name = NULL },
};
