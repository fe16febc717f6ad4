/* keys: commands on keys by name, whatever their type. */
#include "server/commands/expiry.h"
#include "server/commands/groups.h"
#include "server/config.h"
#include "server/effects.h"

#define SAME_OBJECT "ERR source and destination objects are the same"
#define BAD_DB "ERR DB index is out of range"

/* ------------------------------------------------------------------ counting */

static void delete_all(struct call *c, bool lazy)
{
	int64_t n = 0;
	for (unsigned i = 1; i < c->argc; i++) {
		struct store_key key = call_key(c, i);
		if (!store_delete(&c->op, &key, lazy))
			continue;
		call_touch(c, &key, NOTIFY_GENERIC, "del");
		n++;
	}
	reply_int(c->reply, n);
}

static void run_del(struct call *c)
{
	delete_all(c, config()->lazyfree_lazy_user_del);
}

static void run_unlink(struct call *c)
{
	delete_all(c, true);
}

static void run_exists(struct call *c)
{
	int64_t n = 0;
	for (unsigned i = 1; i < c->argc; i++) {
		struct store_key key = call_key(c, i);
		n += call_peek(c, &key) != NULL;
	}
	reply_int(c->reply, n);
}

/* Touching is what the client asks for here, also one that said CLIENT NO-TOUCH. */
static void run_touch(struct call *c)
{
	int64_t n = 0;
	c->op.no_touch = false;
	for (unsigned i = 1; i < c->argc; i++) {
		struct store_key key = call_key(c, i);
		n += call_find_read(c, &key) != NULL;
	}
	reply_int(c->reply, n);
}

static void run_type(struct call *c)
{
	struct store_key key = call_key(c, 1);
	const struct entry *e = call_peek(c, &key);
	reply_status(c->reply, e ? entry_type_name(e) : "none");
}

/* ------------------------------------------------------------------ RENAME, MOVE, COPY */

/* Tell of a key of another database than the selected one. */
static void touch_in(struct call *c, unsigned db, const struct store_key *key, const char *event)
{
	unsigned current = c->op.db;
	c->op.db = db;
	call_touch(c, key, NOTIFY_GENERIC, event);
	c->op.db = current;
}

static void event_in(struct call *c, unsigned db, const struct store_key *key, unsigned class, const char *event)
{
	unsigned current = c->op.db;
	c->op.db = db;
	call_event(c, key, class, event);
	c->op.db = current;
}

static struct entry *find_in(struct call *c, unsigned db, const struct store_key *key)
{
	struct store_op op = c->op;
	op.db = db;
	return store_find(&op, key, STORE_WRITE);
}

static void delete_in(struct call *c, unsigned db, const struct store_key *key)
{
	struct store_op op = c->op;
	op.db = db;
	store_delete(&op, key, config()->lazyfree_lazy_server_del);
}

/* Memory ran out. If the destination is gone already, that is what happened. */
static void transfer_failed(struct call *c, unsigned db, const struct store_key *to, bool deleted)
{
	reply_oom(c->reply);
	if (!deleted)
		return;
	unsigned current = c->op.db;
	c->op.db = db;
	call_touch(c, to, NOTIFY_GENERIC, "del");
	if (c->effects)
		effects_use_db(c->effects, db);
	call_journalf(c, "sb", "DEL", to->ptr, to->len);
	c->op.db = current;
}

static void rename_key(struct call *c, bool only_new)
{
	struct store_key from = call_key(c, 1), to = call_key(c, 2);
	struct entry *e = call_find_write(c, &from);
	if (!e) {
		reply_no_key(c->reply);
		return;
	}
	if (arg_equal(&c->argv[1], &c->argv[2])) {
		if (only_new)
			reply_int(c->reply, 0);
		else
			reply_ok(c->reply);
		return;
	}
	bool exists = call_find_write(c, &to) != NULL;
	if (exists && only_new) {
		reply_int(c->reply, 0);
		return;
	}
	if (exists)
		store_delete(&c->op, &to, config()->lazyfree_lazy_server_del);
	if (store_move(&c->op, &from, e, c->op.db, &to)) {
		transfer_failed(c, c->op.db, &to, exists);
		return;
	}
	call_event(c, &to, NOTIFY_NEW, "new");
	call_touch(c, &from, NOTIFY_GENERIC, "rename_from");
	call_touch(c, &to, NOTIFY_GENERIC, "rename_to");
	c->dirty--; /* two keys, one change */
	if (only_new)
		reply_int(c->reply, 1);
	else
		reply_ok(c->reply);
}

static void run_rename(struct call *c)
{
	rename_key(c, false);
}

static void run_renamenx(struct call *c)
{
	rename_key(c, true);
}

/* argv[i] as a database's number; the error is written if it is none. */
static bool db_arg(struct call *c, unsigned i, unsigned *db)
{
	int64_t n;
	if (!call_int_range(c, i, INT32_MIN, INT32_MAX, &n, NULL))
		return false;
	if (n < 0 || n >= store_dbs(c->op.store)) {
		reply_error(c->reply, BAD_DB);
		return false;
	}
	*db = (unsigned)n;
	return true;
}

static void run_move(struct call *c)
{
	struct store_key key = call_key(c, 1);
	unsigned db;
	if (!db_arg(c, 2, &db))
		return;
	if (db == c->op.db) {
		reply_error(c->reply, SAME_OBJECT);
		return;
	}
	struct entry *e = call_find_write(c, &key);
	if (!e || find_in(c, db, &key)) {
		reply_int(c->reply, 0);
		return;
	}
	if (store_move(&c->op, &key, e, db, &key)) {
		reply_oom(c->reply);
		return;
	}
	event_in(c, db, &key, NOTIFY_NEW, "new");
	call_touch(c, &key, NOTIFY_GENERIC, "move_from");
	touch_in(c, db, &key, "move_to");
	c->dirty--; /* one key, one change */
	reply_int(c->reply, 1);
}

static void run_copy(struct call *c)
{
	struct store_key from = call_key(c, 1), to = call_key(c, 2);
	unsigned db = c->op.db;
	bool replace = false;
	for (unsigned i = 3; i < c->argc; i++) {
		if (arg_is(&c->argv[i], "REPLACE")) {
			replace = true;
		} else if (arg_is(&c->argv[i], "DB") && i + 1 < c->argc) {
			if (!db_arg(c, ++i, &db))
				return;
		} else {
			reply_syntax_error(c->reply);
			return;
		}
	}
	if (db == c->op.db && arg_equal(&c->argv[1], &c->argv[2])) {
		reply_error(c->reply, SAME_OBJECT);
		return;
	}
	struct entry *e = call_find_read(c, &from);
	bool exists = e && find_in(c, db, &to);
	if (!e || (exists && !replace)) {
		reply_int(c->reply, 0);
		return;
	}
	if (exists)
		delete_in(c, db, &to);
	if (store_copy(&c->op, &from, e, db, &to)) {
		transfer_failed(c, db, &to, exists);
		return;
	}
	event_in(c, db, &to, NOTIFY_NEW, "new");
	touch_in(c, db, &to, "copy_to");
	reply_int(c->reply, 1);
}

/* ------------------------------------------------------------------ rows */

struct command keys_commands[] = {
	{
		.name = "copy", .run = run_copy, .class = EXEC_KEYED, .arity = -3,
		.flags = CMD_WRITE | CMD_DENYOOM, .acl = ACL_KEYSPACE,
		.keys = { KEY_ONE(KEY_RO | KEY_ACCESS), KEY_RANGE(KEY_OW | KEY_UPDATE, 2, 0, 1) },
		.group = "generic", .since = "6.2.0",
		.summary = "Copies a value, with its expiry, to another key.",
		.complexity = "O(1) for strings, O(N) in the number of elements otherwise",
		.args = "source:key#0 destination:key#1 [DB destination-db:integer] [replace:REPLACE]",
	},
	{
		.name = "del", .run = run_del, .class = EXEC_KEYED, .arity = -2,
		.flags = CMD_WRITE, .acl = ACL_KEYSPACE,
		.keys = { KEY_RANGE(KEY_RM | KEY_DELETE, 1, -1, 1) },
		.group = "generic", .since = "1.0.0",
		.summary = "Deletes keys.",
		.complexity = "O(N) in the number of keys; a key with M elements costs O(M)",
		.args = "key:key#0...",
		.tips = "request_policy:multi_shard response_policy:agg_sum",
	},
	{
		.name = "exists", .run = run_exists, .class = EXEC_KEYED, .arity = -2,
		.flags = CMD_READONLY | CMD_FAST, .acl = ACL_KEYSPACE,
		.keys = { KEY_RANGE(KEY_RO, 1, -1, 1) },
		.group = "generic", .since = "1.0.0",
		.summary = "Counts how many of the named keys exist.",
		.complexity = "O(N) in the number of keys",
		.args = "key:key#0...",
		.history = "3.0.3 More than one `key`.",
		.tips = "request_policy:multi_shard response_policy:agg_sum",
	},
	{
		.name = "move", .run = run_move, .class = EXEC_KEYED, .arity = 3,
		.flags = CMD_WRITE | CMD_FAST, .acl = ACL_KEYSPACE,
		.keys = { KEY_ONE(KEY_RW | KEY_ACCESS | KEY_UPDATE) },
		.group = "generic", .since = "1.0.0",
		.summary = "Moves a key to another database.",
		.complexity = "O(1)",
		.args = "key:key#0 db:integer",
	},
	{
		.name = "rename", .run = run_rename, .class = EXEC_KEYED, .arity = 3,
		.flags = CMD_WRITE, .acl = ACL_KEYSPACE,
		.keys = { KEY_ONE(KEY_RW | KEY_ACCESS | KEY_DELETE), KEY_RANGE(KEY_OW | KEY_UPDATE, 2, 0, 1) },
		.group = "generic", .since = "1.0.0",
		.summary = "Gives a key another name, replacing a key that has that name.",
		.complexity = "O(1)",
		.args = "key:key#0 newkey:key#1",
	},
	{
		.name = "renamenx", .run = run_renamenx, .class = EXEC_KEYED, .arity = 3,
		.flags = CMD_WRITE | CMD_FAST, .acl = ACL_KEYSPACE,
		.keys = { KEY_ONE(KEY_RW | KEY_ACCESS | KEY_DELETE), KEY_RANGE(KEY_OW | KEY_INSERT, 2, 0, 1) },
		.group = "generic", .since = "1.0.0",
		.summary = "Gives a key another name, but only if no key has it.",
		.complexity = "O(1)",
		.args = "key:key#0 newkey:key#1",
		.history = "3.2.0 The same name twice is no error any more.",
	},
	{
		.name = "touch", .run = run_touch, .class = EXEC_KEYED, .arity = -2,
		.flags = CMD_READONLY | CMD_FAST, .acl = ACL_KEYSPACE,
		.keys = { KEY_RANGE(KEY_RO, 1, -1, 1) },
		.group = "generic", .since = "3.2.1",
		.summary = "Marks keys as used now and counts those that exist.",
		.complexity = "O(N) in the number of keys",
		.args = "key:key#0...",
		.tips = "request_policy:multi_shard response_policy:agg_sum",
	},
	{
		.name = "type", .run = run_type, .class = EXEC_KEYED, .arity = 2,
		.flags = CMD_READONLY | CMD_FAST, .acl = ACL_KEYSPACE,
		.keys = { KEY_ONE(KEY_RO) },
		.group = "generic", .since = "1.0.0",
		.summary = "Answers the type of a value.",
		.complexity = "O(1)",
		.args = "key:key#0",
	},
	{
		.name = "unlink", .run = run_unlink, .class = EXEC_KEYED, .arity = -2,
		.flags = CMD_WRITE | CMD_FAST, .acl = ACL_KEYSPACE,
		.keys = { KEY_RANGE(KEY_RM | KEY_DELETE, 1, -1, 1) },
		.group = "generic", .since = "4.0.0",
		.summary = "Deletes keys and frees their memory in the background.",
		.complexity = "O(1) a key; the memory is freed elsewhere, O(N) in its allocations",
		.args = "key:key#0...",
		.tips = "request_policy:multi_shard response_policy:agg_sum",
	},
	{ .name = NULL },
};
