/* keyspace: commands on a database as a whole. */
#include <stdlib.h>

#include "server/call.h"
#include "server/commands/aggregate.h"
#include "server/commands/groups.h"
#include "server/config.h"
#include "server/persist.h"
#include "store/glob.h"
#include "store/number.h"

/* ------------------------------------------------------------------ KEYS and SCAN */

struct filter {
	struct reply *out;
	const struct arg *pattern; /* NULL: all */
	const struct arg *type;    /* NULL: all */
	size_t n;
};

static bool is_expired(const struct store_op *op, const struct entry *e)
{
	return !op->show_expired && entry_expiry(e) < op->now_ms;
}

static void visit(void *ctx, struct store_op *op, const struct store_key *key, struct entry *e)
{
	struct filter *f = ctx;
	if (f->pattern && !glob_match(f->pattern->ptr, f->pattern->len, key->ptr, key->len, false))
		return;
	if ((f->type && !arg_is(f->type, entry_type_name(e))) || is_expired(op, e))
		return;
	reply_bulk(f->out, key->ptr, key->len);
	f->n++;
}

static void set_pattern(struct filter *f, const struct arg *pattern)
{
	f->pattern = glob_is_all(pattern->ptr, pattern->len) ? NULL : pattern;
}

static void run_keys(struct call *c)
{
	struct filter f = { .out = c->reply };
	set_pattern(&f, &c->argv[1]);
	size_t mark = reply_defer(c->reply);
	store_each(&c->op, visit, &f);
	reply_defer_end(c->reply, mark, '*', f.n);
}

static bool parse_scan(struct call *c, struct filter *f, int64_t *count)
{
	for (unsigned i = 2; i < c->argc; i += 2) {
		const struct arg *a = &c->argv[i];
		bool valued = i + 1 < c->argc;
		if (valued && arg_is(a, "COUNT")) {
			if (!call_int(c, i + 1, count))
				return false;
			if (*count < 1) {
				reply_syntax_error(c->reply);
				return false;
			}
		} else if (valued && arg_is(a, "MATCH")) {
			set_pattern(f, a + 1);
		} else if (valued && arg_is(a, "TYPE")) {
			f->type = a + 1;
		} else {
			reply_syntax_error(c->reply);
			return false;
		}
	}
	return true;
}

/* The cursor stands before the keys and is known after them: they are gathered apart. */
static void run_scan(struct call *c)
{
	struct reply found;
	struct filter f = { .out = &found };
	uint64_t cursor;
	int64_t count = 10;
	char text[NUMBER_MAX];
	if (!parse_cursor(&c->argv[1], &cursor)) {
		reply_error(c->reply, "ERR invalid cursor");
		return;
	}
	if (!parse_scan(c, &f, &count))
		return;
	reply_init_memory(&found, c->reply->resp);
	cursor = store_scan(&c->op, cursor, count < 1 << 28 ? (unsigned)count : 1 << 28, visit, &f);
	size_t len;
	const char *bytes = reply_bytes(&found, &len);
	if (found.failed) {
		reply_oom(c->reply);
	} else {
		reply_array(c->reply, 2);
		reply_bulk(c->reply, text, number_print_uint(text, cursor));
		reply_array(c->reply, f.n);
		reply_raw(c->reply, bytes, len);
	}
	reply_clear(&found);
}

/* ------------------------------------------------------------------ RANDOMKEY, DBSIZE */

static void run_randomkey(struct call *c)
{
	char *key = NULL;
	size_t len;
	if (store_random_key(&c->op, &key, &len))
		reply_bulk(c->reply, key, len);
	else
		reply_null(c->reply);
	free(key);
}

static void run_dbsize(struct call *c)
{
	reply_int(c->reply, (int64_t)store_count(c->op.store, c->op.db));
}

/* ------------------------------------------------------------------ FLUSHALL, FLUSHDB, SWAPDB */

static void flush(struct call *c, int db)
{
	bool background = config()->lazyfree_lazy_user_flush;
	if (c->argc == 2 && arg_is(&c->argv[1], "ASYNC")) {
		background = true;
	} else if (c->argc == 2 && arg_is(&c->argv[1], "SYNC")) {
		background = false;
	} else if (c->argc > 1) {
		reply_syntax_error(c->reply);
		return;
	}
	unsigned first = db < 0 ? 0 : (unsigned)db, last = db < 0 ? store_dbs(c->op.store) : first + 1;
	for (unsigned i = first; i < last; i++)
		call_touch_db(c, i);
	uint64_t n = store_flush(c->op.store, db, background);
	c->dirty += n < UINT32_MAX - c->dirty ? (uint32_t)n : UINT32_MAX - c->dirty;
	/* Also from an empty database: whoever follows may hold keys that expired here. */
	call_journal(c, c->argc, c->argv);
	if (db < 0 && !c->replaying)
		persist_flushed(c->op.store);
	reply_ok(c->reply);
}

static void run_flushall(struct call *c)
{
	flush(c, -1);
}

static void run_flushdb(struct call *c)
{
	flush(c, (int)c->op.db);
}

static void run_swapdb(struct call *c)
{
	int64_t a, b;
	if (!call_int_range(c, 1, INT32_MIN, INT32_MAX, &a, "ERR invalid first DB index") ||
	    !call_int_range(c, 2, INT32_MIN, INT32_MAX, &b, "ERR invalid second DB index"))
		return;
	if (a < 0 || b < 0 || a >= store_dbs(c->op.store) || b >= store_dbs(c->op.store) ||
	    store_swap(c->op.store, (unsigned)a, (unsigned)b)) {
		reply_error(c->reply, "ERR DB index is out of range");
		return;
	}
	if (a != b) {
		call_touch_db(c, (unsigned)a);
		call_touch_db(c, (unsigned)b);
	}
	c->dirty++;
	reply_ok(c->reply);
}

/* ------------------------------------------------------------------ rows */

struct command keyspace_commands[] = {
	{
		.name = "dbsize", .run = run_dbsize, .class = EXEC_SERVICE, .arity = 1,
		.flags = CMD_READONLY | CMD_FAST, .acl = ACL_KEYSPACE,
		.group = "server", .since = "1.0.0",
		.summary = "Counts the keys of the database.",
		.complexity = "O(1)",
		.tips = "request_policy:all_shards response_policy:agg_sum",
	},
	{
		.name = "flushall", .run = run_flushall, .class = EXEC_ALONE, .arity = -1,
		.flags = CMD_WRITE, .acl = ACL_KEYSPACE | ACL_DANGEROUS,
		.group = "server", .since = "1.0.0",
		.summary = "Deletes all keys of all databases.",
		.complexity = "O(N) in the number of keys of all databases",
		.args = "[flush-type:<async:ASYNC@4.0.0|sync:SYNC@6.2.0>]",
		.history = "4.0.0 Mode `ASYNC`.\n"
		           "6.2.0 Mode `SYNC`.",
		.tips = "request_policy:all_shards response_policy:all_succeeded",
	},
	{
		.name = "flushdb", .run = run_flushdb, .class = EXEC_ALONE, .arity = -1,
		.flags = CMD_WRITE, .acl = ACL_KEYSPACE | ACL_DANGEROUS,
		.group = "server", .since = "1.0.0",
		.summary = "Deletes all keys of the database.",
		.complexity = "O(N) in the number of keys of the database",
		.args = "[flush-type:<async:ASYNC@4.0.0|sync:SYNC@6.2.0>]",
		.history = "4.0.0 Mode `ASYNC`.\n"
		           "6.2.0 Mode `SYNC`.",
		.tips = "request_policy:all_shards response_policy:all_succeeded",
	},
	{
		.name = "keys", .run = run_keys, .class = EXEC_ALONE, .arity = 2,
		.flags = CMD_READONLY, .acl = ACL_KEYSPACE | ACL_DANGEROUS,
		.group = "generic", .since = "1.0.0",
		.summary = "Lists all keys whose names match a pattern.",
		.complexity = "O(N) in the number of keys of the database",
		.args = "pattern:pattern",
		.tips = "request_policy:all_shards nondeterministic_output_order",
	},
	{
		.name = "randomkey", .run = run_randomkey, .class = EXEC_SERVICE, .arity = 1,
		.flags = CMD_READONLY, .acl = ACL_KEYSPACE,
		.group = "generic", .since = "1.0.0",
		.summary = "Answers the name of a key chosen at random.",
		.complexity = "O(1)",
		.tips = "request_policy:all_shards response_policy:special nondeterministic_output",
	},
	{
		.name = "scan", .run = run_scan, .class = EXEC_SERVICE, .arity = -2,
		.flags = CMD_READONLY, .acl = ACL_KEYSPACE,
		.group = "generic", .since = "2.8.0",
		.summary = "Walks over the key names of the database, some at each call.",
		.complexity = "O(1) a call, O(N) a whole walk over N keys",
		.args = "cursor:integer [MATCH pattern:pattern] [COUNT count:integer] [TYPE type:string@6.0.0]",
		.history = "6.0.0 Option `TYPE`.",
		.tips = "nondeterministic_output request_policy:special response_policy:special",
	},
	{
		.name = "swapdb", .run = run_swapdb, .class = EXEC_ALONE, .arity = 3,
		.flags = CMD_WRITE | CMD_FAST, .acl = ACL_KEYSPACE | ACL_DANGEROUS,
		.group = "server", .since = "4.0.0",
		.summary = "Exchanges two databases.",
		.complexity = "O(N) in the number of clients that watch or wait for keys of the two",
		.args = "index1:integer index2:integer",
	},
	{ .name = NULL },
};
