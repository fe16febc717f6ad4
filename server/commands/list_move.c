/* list_move: elements from list to list, and from the first of several lists that has some. */
#include <stdlib.h>

#include "server/block.h"
#include "server/commands/groups.h"
#include "server/commands/list.h"

/* Both ends of one list: no element is added or removed. */
static void rotate(struct call *c, struct target *t, bool from_tail, bool to_tail)
{
	struct value_item item;
	int err = 0;
	if (from_tail != to_tail)
		err = list_rotate(&t->v, to_tail);
	value_put(t->e, &t->v);
	if (err < 0 || list_peek(&t->v, to_tail, &item) <= 0) {
		reply_oom(c->reply);
		return;
	}
	reply_item(c->reply, &item);
	call_touch(c, &t->key, NOTIFY_LIST, to_tail ? "rpush" : "lpush");
	list_removed(c, t, 1, from_tail ? "rpop" : "lpop");
	c->dirty--; /* one change */
}

/* Make or get ready the destination for an element of so many bytes. */
static bool prepare(struct call *c, struct target *to, size_t bytes)
{
	struct list_limits limits = list_limits();
	if (!to->e && list_new(&to->v)) {
		reply_oom(c->reply);
		return false;
	}
	if (list_grow(&to->v, &limits, 1, bytes)) {
		target_drop(c, to, STORE_LIST);
		reply_oom(c->reply);
		return false;
	}
	return true;
}

/* false: there is nothing at the source, and no reply. */
static bool move(struct call *c, bool from_tail, bool to_tail)
{
	struct target from, to;
	struct value_item item;
	char buf[NUMBER_MAX];
	size_t len;
	if (!target_find(c, 1, STORE_LIST, &from))
		return true;
	if (!from.e)
		return false;
	if (arg_equal(&c->argv[1], &c->argv[2])) {
		rotate(c, &from, from_tail, to_tail);
		return true;
	}
	/* An entry may move when another key expires, but only its own: the source stays where it is. */
	if (!target_find(c, 2, STORE_LIST, &to))
		return true;
	if (list_peek(&from.v, from_tail, &item) <= 0) {
		reply_oom(c->reply);
		return true;
	}
	const char *str = value_text(&item, buf, &len);
	if (!prepare(c, &to, len))
		return true;
	if (list_push(&to.v, to_tail, str, len)) {
		target_drop(c, &to, STORE_LIST);
		reply_oom(c->reply);
		return true;
	}
	if (!target_keep(c, &to, STORE_LIST))
		return true;
	reply_item(c->reply, &item);
	call_touch(c, &to.key, NOTIFY_LIST, to_tail ? "rpush" : "lpush");
	list_drop(&from.v, from_tail);
	list_removed(c, &from, 1, from_tail ? "rpop" : "lpop");
	c->dirty--; /* one element, one change */
	return true;
}

/* LEFT or RIGHT at argv[i]. */
static bool side_arg(struct call *c, unsigned i, bool *tail)
{
	*tail = arg_is(&c->argv[i], "RIGHT");
	if (*tail || arg_is(&c->argv[i], "LEFT"))
		return true;
	reply_syntax_error(c->reply);
	return false;
}

static void run_lmove(struct call *c)
{
	bool from_tail, to_tail;
	if (side_arg(c, 3, &from_tail) && side_arg(c, 4, &to_tail) && !move(c, from_tail, to_tail))
		reply_null(c->reply);
}

static void run_rpoplpush(struct call *c)
{
	if (!move(c, true, false))
		reply_null(c->reply);
}

static void wait_to_move(struct call *c, int64_t timeout_ms)
{
	struct block_spec spec = { .kind = BLOCK_LIST, .first = 1, .n = 1, .target = 2, .timeout_ms = timeout_ms };
	if (!block_on_keys(c, &spec))
		reply_null(c->reply);
}

static void run_blmove(struct call *c)
{
	bool from_tail, to_tail;
	int64_t timeout_ms;
	if (!side_arg(c, 3, &from_tail) || !side_arg(c, 4, &to_tail) || !block_timeout(c, 5, &timeout_ms))
		return;
	if (!move(c, from_tail, to_tail))
		wait_to_move(c, timeout_ms);
	else if (c->dirty)
		call_journalf(c, "saaaa", "LMOVE", &c->argv[1], &c->argv[2], &c->argv[3], &c->argv[4]);
}

static void run_brpoplpush(struct call *c)
{
	int64_t timeout_ms;
	if (!block_timeout(c, 3, &timeout_ms))
		return;
	if (!move(c, true, false))
		wait_to_move(c, timeout_ms);
	else if (c->dirty)
		call_journalf(c, "saa", "RPOPLPUSH", &c->argv[1], &c->argv[2]);
}

/* ------------------------------------------------------------------ the first of several lists */

static void wait_for_lists(struct call *c, unsigned first, unsigned n, int64_t timeout_ms)
{
	struct block_spec spec = { .kind = BLOCK_LIST, .first = first, .n = n, .timeout_ms = timeout_ms };
	if (!block_on_keys(c, &spec))
		reply_null_array(c->reply);
}

static void blocking_pop(struct call *c, bool tail)
{
	int64_t timeout_ms;
	if (!block_timeout(c, c->argc - 1, &timeout_ms))
		return;
	for (unsigned i = 1; i + 1 < c->argc; i++) {
		struct target t;
		if (!block_holds(c, i))
			continue;
		if (!target_find(c, i, STORE_LIST, &t))
			return;
		if (!t.e)
			continue;
		reply_array(c->reply, 2);
		reply_bulk(c->reply, c->argv[i].ptr, c->argv[i].len);
		list_pop_one(c, &t, tail);
		if (c->dirty)
			call_journalf(c, "sa", tail ? "RPOP" : "LPOP", &c->argv[i]);
		return;
	}
	wait_for_lists(c, 1, c->argc - 2, timeout_ms);
}

static void run_blpop(struct call *c)
{
	blocking_pop(c, false);
}

static void run_brpop(struct call *c)
{
	blocking_pop(c, true);
}

/* From argv[at] on: how many keys, the keys, a side, COUNT; in front of them, where it waits, a timeout. */
static void pop_of_many(struct call *c, unsigned at, bool waits)
{
	int64_t timeout_ms;
	int64_t keys, count = 1;
	bool tail;
	if (!call_int_range(c, at, 1, INT64_MAX, &keys, "ERR numkeys should be greater than 0"))
		return;
	if (keys >= (int64_t)c->argc - at - 1) {
		reply_syntax_error(c->reply);
		return;
	}
	unsigned where = at + 1 + (unsigned)keys;
	if (!side_arg(c, where, &tail))
		return;
	for (unsigned i = where + 1; i < c->argc; i += 2) {
		if (i > where + 1 || i + 1 >= c->argc || !arg_is(&c->argv[i], "COUNT")) {
			reply_syntax_error(c->reply);
			return;
		}
		if (!call_int_range(c, i + 1, 1, INT64_MAX, &count, "ERR count should be greater than 0"))
			return;
	}
	if (waits && !block_timeout(c, at - 1, &timeout_ms))
		return;
	for (unsigned i = at + 1; i < where; i++) {
		struct target t;
		if (!block_holds(c, i))
			continue;
		if (!target_find(c, i, STORE_LIST, &t))
			return;
		if (!t.e)
			continue;
		size_t len = list_len(&t.v), n = (uint64_t)count < len ? (size_t)count : len;
		reply_array(c->reply, 2);
		reply_bulk(c->reply, c->argv[i].ptr, c->argv[i].len);
		if (list_pop_many(c, &t, tail, n))
			call_journalf(c, "sai", tail ? "RPOP" : "LPOP", &c->argv[i], (int64_t)n);
		return;
	}
	if (!waits)
		reply_null_array(c->reply);
	else
		wait_for_lists(c, at + 1, (unsigned)keys, timeout_ms);
}

static void run_lmpop(struct call *c)
{
	pop_of_many(c, 1, false);
}

static void run_blmpop(struct call *c)
{
	pop_of_many(c, 2, true);
}

/* ------------------------------------------------------------------ rows */

#define TIMEOUT_HISTORY "6.0.0 The timeout may have a fraction."

struct command list_move_commands[] = {
	{
		.name = "blmove", .run = run_blmove, .class = EXEC_KEYED, .arity = 6,
		.flags = CMD_WRITE | CMD_DENYOOM | CMD_BLOCKING, .acl = ACL_LIST,
		.keys = { KEY_ONE(KEY_RW | KEY_ACCESS | KEY_DELETE), KEY_RANGE(KEY_RW | KEY_INSERT, 2, 0, 1) },
		.group = "list", .since = "6.2.0",
		.summary = "Moves an element from an end of a list to an end of another; waits until there is one.",
		.complexity = "O(1)",
		.args = "source:key#0 destination:key#1 wherefrom:<left:LEFT|right:RIGHT> "
		        "whereto:<left:LEFT|right:RIGHT> timeout:double",
	},
	{
		.name = "blmpop", .run = run_blmpop, .class = EXEC_KEYED, .arity = -5,
		.flags = CMD_WRITE | CMD_BLOCKING, .acl = ACL_LIST,
		.keys = { { .flags = KEY_RW | KEY_ACCESS | KEY_DELETE, .begin = 2, .keynum = true, .keynum_index = 0,
		            .first_key = 1, .step = 1 } },
		.group = "list", .since = "7.0.0",
		.summary = "Removes elements from the first of several lists that is not empty; waits until there is one.",
		.complexity = "O(N+M) in the keys named and the elements removed",
		.args = "timeout:double numkeys:integer key:key#0... where:<left:LEFT|right:RIGHT> [COUNT count:integer]",
	},
	{
		.name = "blpop", .run = run_blpop, .class = EXEC_KEYED, .arity = -3,
		.flags = CMD_WRITE | CMD_BLOCKING, .acl = ACL_LIST,
		.keys = { KEY_RANGE(KEY_RW | KEY_ACCESS | KEY_DELETE, 1, -2, 1) },
		.group = "list", .since = "2.0.0",
		.summary = "Removes the first element of the first list that is not empty; waits until there is one.",
		.complexity = "O(N) in the keys named",
		.args = "key:key#0... timeout:double",
		.history = TIMEOUT_HISTORY,
	},
	{
		.name = "brpop", .run = run_brpop, .class = EXEC_KEYED, .arity = -3,
		.flags = CMD_WRITE | CMD_BLOCKING, .acl = ACL_LIST,
		.keys = { KEY_RANGE(KEY_RW | KEY_ACCESS | KEY_DELETE, 1, -2, 1) },
		.group = "list", .since = "2.0.0",
		.summary = "Removes the last element of the first list that is not empty; waits until there is one.",
		.complexity = "O(N) in the keys named",
		.args = "key:key#0... timeout:double",
		.history = TIMEOUT_HISTORY,
	},
	{
		.name = "brpoplpush", .run = run_brpoplpush, .class = EXEC_KEYED, .arity = 4,
		.flags = CMD_WRITE | CMD_DENYOOM | CMD_BLOCKING, .acl = ACL_LIST,
		.keys = { KEY_ONE(KEY_RW | KEY_ACCESS | KEY_DELETE), KEY_RANGE(KEY_RW | KEY_INSERT, 2, 0, 1) },
		.group = "list", .since = "2.2.0",
		.summary = "Moves the last element of a list to the front of another; waits until there is one.",
		.complexity = "O(1)",
		.args = "source:key#0 destination:key#1 timeout:double",
		.history = TIMEOUT_HISTORY,
		.deprecated = "6.2.0 `BLMOVE` with the `RIGHT` and `LEFT` arguments",
	},
	{
		.name = "lmove", .run = run_lmove, .class = EXEC_KEYED, .arity = 5,
		.flags = CMD_WRITE | CMD_DENYOOM, .acl = ACL_LIST,
		.keys = { KEY_ONE(KEY_RW | KEY_ACCESS | KEY_DELETE), KEY_RANGE(KEY_RW | KEY_INSERT, 2, 0, 1) },
		.group = "list", .since = "6.2.0",
		.summary = "Takes an element from one end of a list and pushes it to an end of another (or the same) list.",
		.complexity = "O(1)",
		.args = "source:key#0 destination:key#1 wherefrom:<left:LEFT|right:RIGHT> "
		        "whereto:<left:LEFT|right:RIGHT>",
	},
	{
		.name = "lmpop", .run = run_lmpop, .class = EXEC_KEYED, .arity = -4,
		.flags = CMD_WRITE, .acl = ACL_LIST,
		.keys = { { .flags = KEY_RW | KEY_ACCESS | KEY_DELETE, .begin = 1, .keynum = true, .keynum_index = 0,
		            .first_key = 1, .step = 1 } },
		.group = "list", .since = "7.0.0",
		.summary = "Removes elements from the first of several lists that is not empty.",
		.complexity = "O(N+M) in the keys named and the elements removed",
		.args = "numkeys:integer key:key#0... where:<left:LEFT|right:RIGHT> [COUNT count:integer]",
	},
	{
		.name = "rpoplpush", .run = run_rpoplpush, .class = EXEC_KEYED, .arity = 3,
		.flags = CMD_WRITE | CMD_DENYOOM, .acl = ACL_LIST,
		.keys = { KEY_ONE(KEY_RW | KEY_ACCESS | KEY_DELETE), KEY_RANGE(KEY_RW | KEY_INSERT, 2, 0, 1) },
		.group = "list", .since = "1.2.0",
		.summary = "Moves the last element of a list to the front of another (or the same) list.",
		.complexity = "O(1)",
		.args = "source:key#0 destination:key#1",
		.deprecated = "6.2.0 `LMOVE` with the `RIGHT` and `LEFT` arguments",
	},
	{ .name = NULL },
};
