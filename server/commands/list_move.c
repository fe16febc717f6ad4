/* list_move: elements from list to list, and from the first of several lists that has some. */
#include <stdlib.h>

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
		target_drop(to, STORE_LIST);
		reply_oom(c->reply);
		return false;
	}
	return true;
}

static void move(struct call *c, bool from_tail, bool to_tail)
{
	struct target from, to;
	struct value_item item;
	char buf[NUMBER_MAX];
	size_t len;
	if (!target_find(c, 1, STORE_LIST, &from))
		return;
	if (!from.e) {
		reply_null(c->reply);
		return;
	}
	if (arg_equal(&c->argv[1], &c->argv[2])) {
		rotate(c, &from, from_tail, to_tail);
		return;
	}
	/* An entry may move when another key expires, but only its own: the source stays where it is. */
	if (!target_find(c, 2, STORE_LIST, &to))
		return;
	if (list_peek(&from.v, from_tail, &item) <= 0) {
		reply_oom(c->reply);
		return;
	}
	const char *str = value_text(&item, buf, &len);
	if (!prepare(c, &to, len))
		return;
	if (list_push(&to.v, to_tail, str, len)) {
		target_drop(&to, STORE_LIST);
		reply_oom(c->reply);
		return;
	}
	if (!target_keep(c, &to, STORE_LIST))
		return;
	reply_item(c->reply, &item);
	call_touch(c, &to.key, NOTIFY_LIST, to_tail ? "rpush" : "lpush");
	list_drop(&from.v, from_tail);
	list_removed(c, &from, 1, from_tail ? "rpop" : "lpop");
	c->dirty--; /* one element, one change */
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
	if (side_arg(c, 3, &from_tail) && side_arg(c, 4, &to_tail))
		move(c, from_tail, to_tail);
}

static void run_rpoplpush(struct call *c)
{
	move(c, true, false);
}

static void run_lmpop(struct call *c)
{
	int64_t keys, count = 1;
	bool tail;
	if (!call_int_range(c, 1, 1, INT64_MAX, &keys, "ERR numkeys should be greater than 0"))
		return;
	if (keys >= (int64_t)c->argc - 2) {
		reply_syntax_error(c->reply);
		return;
	}
	unsigned where = 2 + (unsigned)keys;
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
	for (unsigned i = 2; i < where; i++) {
		struct target t;
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
	reply_null_array(c->reply);
}

/* ------------------------------------------------------------------ rows */

struct command list_move_commands[] = {
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
