/* counter: strings as numbers. */
#include <math.h>

#include "server/call.h"
#include "server/commands/groups.h"
#include "store/number.h"

/* An integer that is stored as one changes in place; anything else becomes one. */
static void add(struct call *c, int64_t by)
{
	struct store_key key = call_key(c, 1);
	int64_t value = 0;
	bool wrong;
	struct entry *e = call_find_write_type(c, &key, STORE_STRING, &wrong);
	if (wrong)
		return;
	if (e && !entry_string_int(e, &value)) {
		reply_not_integer(c->reply);
		return;
	}
	if (__builtin_add_overflow(value, by, &value)) {
		reply_error(c->reply, "ERR increment or decrement would overflow");
		return;
	}
	if (e && entry_encoding(e) == STRING_INT) {
		entry_set_int(e, value);
	} else if (!store_set_int(&c->op, &key, value, STORE_KEEP_EXPIRY)) {
		reply_oom(c->reply);
		return;
	}
	if (!e)
		call_event(c, &key, NOTIFY_NEW, "new");
	call_touch(c, &key, NOTIFY_STRING, "incrby");
	reply_int(c->reply, value);
}

static void run_incr(struct call *c)
{
	add(c, 1);
}

static void run_decr(struct call *c)
{
	add(c, -1);
}

static void run_incrby(struct call *c)
{
	int64_t by;
	if (call_int(c, 2, &by))
		add(c, by);
}

static void run_decrby(struct call *c)
{
	int64_t by;
	if (!call_int(c, 2, &by))
		return;
	if (by == INT64_MIN)
		reply_error(c->reply, "ERR decrement would overflow");
	else
		add(c, -by);
}

/* A sum stays text, as OBJECT ENCODING tells, though a SET of the same digits would make an integer of it. */
static bool store_sum(struct call *c, const struct store_key *key, struct entry *e, const char *text, size_t len)
{
	int64_t integer;
	char *bytes;
	if (!number_parse(text, len, &integer))
		return store_set_string(&c->op, key, text, len, STORE_KEEP_EXPIRY) != NULL;
	e = store_string_grow(&c->op, key, e, len, &bytes);
	if (!e)
		return false;
	memcpy(bytes, text, len);
	entry_set_embstr(e);
	return true;
}

/* The sum is journaled, not the addend: another machine's floating point may round differently. */
static void run_incrbyfloat(struct call *c)
{
	struct store_key key = call_key(c, 1);
	char text[NUMBER_LONG_DOUBLE_MAX], buf[24];
	long double value = 0, by;
	size_t len;
	bool wrong;
	struct entry *e = call_find_write_type(c, &key, STORE_STRING, &wrong);
	if (wrong)
		return;
	if (e) {
		const char *bytes = entry_string(e, buf, &len);
		if (!number_parse_long_double(bytes, len, &value)) {
			reply_not_float(c->reply);
			return;
		}
	}
	if (!call_long_double(c, 2, &by))
		return;
	value += by;
	if (isnan(value) || isinf(value)) {
		reply_error(c->reply, "ERR increment would produce NaN or Infinity");
		return;
	}
	len = number_print_long_double(text, value);
	bool fresh = !e;
	if (!store_sum(c, &key, e, text, len)) {
		reply_oom(c->reply);
		return;
	}
	if (fresh)
		call_event(c, &key, NOTIFY_NEW, "new");
	call_touch(c, &key, NOTIFY_STRING, "incrbyfloat");
	call_journalf(c, "sabs", "SET", &c->argv[1], text, len, "KEEPTTL");
	reply_bulk(c->reply, text, len);
}

/* ------------------------------------------------------------------ rows */

struct command counter_commands[] = {
	{
		.name = "decr", .run = run_decr, .class = EXEC_KEYED, .arity = 2,
		.flags = CMD_WRITE | CMD_DENYOOM | CMD_FAST, .acl = ACL_STRING,
		.keys = { KEY_ONE(KEY_RW | KEY_ACCESS | KEY_UPDATE) },
		.group = "string", .since = "1.0.0",
		.summary = "Takes one from an integer. A missing key counts as 0.",
		.complexity = "O(1)",
		.args = "key:key#0",
	},
	{
		.name = "decrby", .run = run_decrby, .class = EXEC_KEYED, .arity = 3,
		.flags = CMD_WRITE | CMD_DENYOOM | CMD_FAST, .acl = ACL_STRING,
		.keys = { KEY_ONE(KEY_RW | KEY_ACCESS | KEY_UPDATE) },
		.group = "string", .since = "1.0.0",
		.summary = "Takes a number from an integer. A missing key counts as 0.",
		.complexity = "O(1)",
		.args = "key:key#0 decrement:integer",
	},
	{
		.name = "incr", .run = run_incr, .class = EXEC_KEYED, .arity = 2,
		.flags = CMD_WRITE | CMD_DENYOOM | CMD_FAST, .acl = ACL_STRING,
		.keys = { KEY_ONE(KEY_RW | KEY_ACCESS | KEY_UPDATE) },
		.group = "string", .since = "1.0.0",
		.summary = "Adds one to an integer. A missing key counts as 0.",
		.complexity = "O(1)",
		.args = "key:key#0",
	},
	{
		.name = "incrby", .run = run_incrby, .class = EXEC_KEYED, .arity = 3,
		.flags = CMD_WRITE | CMD_DENYOOM | CMD_FAST, .acl = ACL_STRING,
		.keys = { KEY_ONE(KEY_RW | KEY_ACCESS | KEY_UPDATE) },
		.group = "string", .since = "1.0.0",
		.summary = "Adds a number to an integer. A missing key counts as 0.",
		.complexity = "O(1)",
		.args = "key:key#0 increment:integer",
	},
	{
		.name = "incrbyfloat", .run = run_incrbyfloat, .class = EXEC_KEYED, .arity = 3,
		.flags = CMD_WRITE | CMD_DENYOOM | CMD_FAST, .acl = ACL_STRING,
		.keys = { KEY_ONE(KEY_RW | KEY_ACCESS | KEY_UPDATE) },
		.group = "string", .since = "2.6.0",
		.summary = "Adds a floating-point number to a number. A missing key counts as 0.",
		.complexity = "O(1)",
		.args = "key:key#0 increment:double",
	},
	{ .name = NULL },
};
