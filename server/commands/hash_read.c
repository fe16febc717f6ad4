/* hash_read: commands that read hashes. */
#include "server/commands/aggregate.h"
#include "server/commands/groups.h"
#include "store/types/hash.h"

/* The hash of argv[1], or false: *missing tells whether there is none, else WRONGTYPE was written. */
static bool read_hash(struct call *c, struct value *v, bool *missing)
{
	struct store_key key = call_key(c, 1);
	bool wrong;
	const struct entry *e = call_find_read_type(c, &key, STORE_HASH, &wrong);
	*missing = !e && !wrong;
	if (e)
		*v = value_of(e);
	return e;
}

/* ------------------------------------------------------------------ fields by name */

static bool get(struct call *c, const struct value *v, unsigned i, struct value_item *val)
{
	return hash_get(v, c->argv[i].ptr, c->argv[i].len, val);
}

static void run_hget(struct call *c)
{
	struct value v;
	struct value_item val;
	bool missing, found = read_hash(c, &v, &missing);
	if (found && get(c, &v, 2, &val))
		reply_item(c->reply, &val);
	else if (found || missing)
		reply_null(c->reply);
}

static void run_hmget(struct call *c)
{
	struct value v;
	struct value_item val;
	bool missing, found = read_hash(c, &v, &missing);
	if (!found && !missing)
		return;
	reply_array(c->reply, c->argc - 2);
	for (unsigned i = 2; i < c->argc; i++) {
		if (found && get(c, &v, i, &val))
			reply_item(c->reply, &val);
		else
			reply_null(c->reply);
	}
}

static void run_hexists(struct call *c)
{
	struct value v;
	struct value_item val;
	bool missing, found = read_hash(c, &v, &missing);
	if (found || missing)
		reply_int(c->reply, found && get(c, &v, 2, &val));
}

static void run_hstrlen(struct call *c)
{
	struct value v;
	struct value_item val;
	bool missing, found = read_hash(c, &v, &missing);
	int64_t len = 0;
	if (found && get(c, &v, 2, &val))
		len = val.str ? (int64_t)val.len : (int64_t)number_len(val.num);
	if (found || missing)
		reply_int(c->reply, len);
}

static void run_hlen(struct call *c)
{
	struct value v;
	bool missing, found = read_hash(c, &v, &missing);
	if (found || missing)
		reply_int(c->reply, found ? (int64_t)hash_len(&v) : 0);
}

/* ------------------------------------------------------------------ all fields */

static void get_all(struct call *c, bool fields, bool values)
{
	struct value v;
	struct hash_iter it;
	struct value_item field, val;
	bool missing, found = read_hash(c, &v, &missing);
	if (!found && !missing)
		return;
	size_t n = found ? hash_len(&v) : 0;
	if (fields && values)
		reply_map(c->reply, n);
	else
		reply_array(c->reply, n);
	if (!found)
		return;
	for (hash_begin(&it, &v); hash_next(&it, &field, &val);) {
		if (fields)
			reply_item(c->reply, &field);
		if (values)
			reply_item(c->reply, &val);
	}
}

static void run_hgetall(struct call *c)
{
	get_all(c, true, true);
}

static void run_hkeys(struct call *c)
{
	get_all(c, true, false);
}

static void run_hvals(struct call *c)
{
	get_all(c, false, true);
}

static void see_pair(void *ctx, const struct value_item *field, const struct value_item *val)
{
	aggregate_scan_see(ctx, field, val);
}

static uint64_t walk(const struct value *v, uint64_t cursor, size_t count, struct aggregate_scan *s)
{
	return hash_scan(v, cursor, count, see_pair, s);
}

static void run_hscan(struct call *c)
{
	aggregate_scan(c, STORE_HASH, walk);
}

/* ------------------------------------------------------------------ fields at random */

struct pairs {
	struct reply *out;
	bool values;
};

static void reply_pair(void *ctx, const struct value_item *field, const struct value_item *val)
{
	const struct pairs *p = ctx;
	if (p->values && p->out->resp > 2)
		reply_array(p->out, 2);
	reply_item(p->out, field);
	if (p->values)
		reply_item(p->out, val);
}

static void random_repeat(struct call *c, const struct value *v, uint64_t n, struct pairs *p)
{
	struct value_item field, val;
	uint64_t spent = 0;
	if (!random_fits(c, p->values ? 2 * n : n))
		return;
	reply_array(c->reply, (size_t)(p->values && c->reply->resp == 2 ? 2 * n : n));
	while (n--) {
		hash_random(v, &field, &val);
		if (!random_goes_on(c, &spent, &field) || (p->values && !random_goes_on(c, &spent, &val)))
			return;
		reply_pair(p, &field, &val);
	}
}

static void random_different(struct call *c, const struct value *v, uint64_t n, struct pairs *p)
{
	size_t len = hash_len(v);
	if (n > len)
		n = len;
	size_t mark = reply_defer(c->reply);
	bool failed = hash_sample(v, (size_t)n, reply_pair, p) != 0;
	if (failed)
		c->reply->failed = true;
	reply_defer_end(c->reply, mark, '*', (size_t)(p->values && c->reply->resp == 2 ? 2 * n : n));
}

static void run_hrandfield(struct call *c)
{
	struct value v;
	struct value_item field, val;
	struct pairs p = { c->reply, c->argc == 4 };
	uint64_t n = 0;
	bool repeat, missing;
	if (c->argc > 2) {
		if (!random_count(c, 2, &n, &repeat))
			return;
		if (c->argc > 4 || (p.values && !arg_is(&c->argv[3], "WITHVALUES"))) {
			reply_syntax_error(c->reply);
			return;
		}
		if (p.values && n > INT64_MAX / 2) {
			reply_error(c->reply, "ERR value is out of range");
			return;
		}
	}
	bool found = read_hash(c, &v, &missing);
	if (!found && !missing)
		return;
	if (c->argc == 2 && found) {
		hash_random(&v, &field, &val);
		reply_item(c->reply, &field);
	} else if (c->argc == 2) {
		reply_null(c->reply);
	} else if (!found || !n) {
		reply_array(c->reply, 0);
	} else if (repeat) {
		random_repeat(c, &v, n, &p);
	} else {
		random_different(c, &v, n, &p);
	}
}

/* ------------------------------------------------------------------ rows */

struct command hash_read_commands[] = {
	{
		.name = "hexists", .run = run_hexists, .class = EXEC_KEYED, .arity = 3,
		.flags = CMD_READONLY | CMD_FAST, .acl = ACL_HASH,
		.keys = { KEY_ONE(KEY_RO) },
		.group = "hash", .since = "2.0.0",
		.summary = "Tells whether a field is in a hash.",
		.complexity = "O(1)",
		.args = "key:key#0 field:string",
	},
	{
		.name = "hget", .run = run_hget, .class = EXEC_KEYED, .arity = 3,
		.flags = CMD_READONLY | CMD_FAST, .acl = ACL_HASH,
		.keys = { KEY_ONE(KEY_RO | KEY_ACCESS) },
		.group = "hash", .since = "2.0.0",
		.summary = "Answers the value of a field.",
		.complexity = "O(1)",
		.args = "key:key#0 field:string",
	},
	{
		.name = "hgetall", .run = run_hgetall, .class = EXEC_KEYED, .arity = 2,
		.flags = CMD_READONLY, .acl = ACL_HASH,
		.keys = { KEY_ONE(KEY_RO | KEY_ACCESS) },
		.group = "hash", .since = "2.0.0",
		.summary = "Answers all fields of a hash with their values.",
		.complexity = "O(N) in the fields of the hash",
		.args = "key:key#0",
		.tips = "nondeterministic_output_order",
	},
	{
		.name = "hkeys", .run = run_hkeys, .class = EXEC_KEYED, .arity = 2,
		.flags = CMD_READONLY, .acl = ACL_HASH,
		.keys = { KEY_ONE(KEY_RO | KEY_ACCESS) },
		.group = "hash", .since = "2.0.0",
		.summary = "Answers the names of all fields of a hash.",
		.complexity = "O(N) in the fields of the hash",
		.args = "key:key#0",
		.tips = "nondeterministic_output_order",
	},
	{
		.name = "hlen", .run = run_hlen, .class = EXEC_KEYED, .arity = 2,
		.flags = CMD_READONLY | CMD_FAST, .acl = ACL_HASH,
		.keys = { KEY_ONE(KEY_RO) },
		.group = "hash", .since = "2.0.0",
		.summary = "Counts the fields of a hash.",
		.complexity = "O(1)",
		.args = "key:key#0",
	},
	{
		.name = "hmget", .run = run_hmget, .class = EXEC_KEYED, .arity = -3,
		.flags = CMD_READONLY | CMD_FAST, .acl = ACL_HASH,
		.keys = { KEY_ONE(KEY_RO | KEY_ACCESS) },
		.group = "hash", .since = "2.0.0",
		.summary = "Answers the values of the fields named.",
		.complexity = "O(N) in the fields named",
		.args = "key:key#0 field:string...",
	},
	{
		.name = "hrandfield", .run = run_hrandfield, .class = EXEC_KEYED, .arity = -2,
		.flags = CMD_READONLY, .acl = ACL_HASH,
		.keys = { KEY_ONE(KEY_RO | KEY_ACCESS) },
		.group = "hash", .since = "6.2.0",
		.summary = "Answers fields of a hash chosen at random.",
		.complexity = "O(N) in the fields answered",
		.args = "key:key#0 [options:{count:integer [withvalues:WITHVALUES]}]",
		.tips = "nondeterministic_output",
	},
	{
		.name = "hscan", .run = run_hscan, .class = EXEC_KEYED, .arity = -3,
		.flags = CMD_READONLY, .acl = ACL_HASH,
		.keys = { KEY_ONE(KEY_RO | KEY_ACCESS) },
		.group = "hash", .since = "2.8.0",
		.summary = "Walks over the fields of a hash and their values, some at each call.",
		.complexity = "O(1) a call, O(N) a whole walk over N fields",
		.args = "key:key#0 cursor:integer [MATCH pattern:pattern] [COUNT count:integer]",
		.tips = "nondeterministic_output",
	},
	{
		.name = "hstrlen", .run = run_hstrlen, .class = EXEC_KEYED, .arity = 3,
		.flags = CMD_READONLY | CMD_FAST, .acl = ACL_HASH,
		.keys = { KEY_ONE(KEY_RO) },
		.group = "hash", .since = "3.2.0",
		.summary = "Answers the length of the value of a field.",
		.complexity = "O(1)",
		.args = "key:key#0 field:string",
	},
	{
		.name = "hvals", .run = run_hvals, .class = EXEC_KEYED, .arity = 2,
		.flags = CMD_READONLY, .acl = ACL_HASH,
		.keys = { KEY_ONE(KEY_RO | KEY_ACCESS) },
		.group = "hash", .since = "2.0.0",
		.summary = "Answers the values of all fields of a hash.",
		.complexity = "O(N) in the fields of the hash",
		.args = "key:key#0",
		.tips = "nondeterministic_output_order",
	},
	{ .name = NULL },
};
