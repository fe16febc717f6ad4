/*
 * string: commands on whole strings and their parts. Counters are in counter.c, LCS in lcs.c.
 *
 * GET and SET without options are what a server does most: nothing here may stand in their way.
 */
#include "server/commands/expiry.h"
#include "server/commands/groups.h"
#include "server/config.h"

#define TOO_LONG "ERR string exceeds maximum allowed size (proto-max-bulk-len)"

/* ------------------------------------------------------------------ GET and SET */

static void run_get(struct call *c)
{
	struct store_key key = call_key(c, 1);
	bool wrong;
	const struct entry *e = call_find_read_type(c, &key, STORE_STRING, &wrong);
	if (__builtin_expect(e != NULL, 1))
		reply_entry(c->reply, e);
	else if (!wrong)
		reply_null(c->reply);
}

enum set_condition { SET_ALWAYS, SET_NX, SET_XX };

struct set_options {
	enum set_condition condition;
	bool get;
	enum expiry_unit unit;
	unsigned time_arg; /* where the time stands, 0: none */
};

/* The options from argv[i] on, of SET or GETEX. false: syntax error. */
static bool set_parse(struct call *c, unsigned i, bool getex, struct set_options *o)
{
	*o = (struct set_options){ .condition = SET_ALWAYS };
	for (; i < c->argc; i++) {
		const struct arg *a = &c->argv[i];
		enum expiry_unit unit = expiry_unit_of(a);
		if (unit != EXPIRY_NONE) {
			bool timed = unit != EXPIRY_KEEP && unit != EXPIRY_PERSIST;
			bool fits = o->unit == EXPIRY_NONE || o->unit == unit;
			if (!fits || unit == (getex ? EXPIRY_KEEP : EXPIRY_PERSIST) || (timed && i + 1 >= c->argc))
				return false;
			o->unit = unit;
			if (timed)
				o->time_arg = ++i;
		} else if (!getex && arg_is(a, "NX") && o->condition != SET_XX) {
			o->condition = SET_NX;
		} else if (!getex && arg_is(a, "XX") && o->condition != SET_NX) {
			o->condition = SET_XX;
		} else if (!getex && arg_is(a, "GET")) {
			o->get = true;
		} else {
			return false;
		}
	}
	return true;
}

/* Where the old value is the reply: false if it is no string (the error is written). */
static bool reply_old(struct call *c, const struct entry *e)
{
	if (!e) {
		reply_null(c->reply);
	} else if (entry_type(e) != STORE_STRING) {
		reply_wrong_type(c->reply);
		return false;
	} else {
		reply_entry(c->reply, e);
	}
	return true;
}

/* Out of memory. A reply that has been written already cannot be taken back: then the connection ends. */
static void set_failed(struct call *c, bool replied)
{
	if (replied)
		c->reply->failed = true;
	else
		reply_oom(c->reply);
}

/* The key stands in the way: that counts as a use of it. */
static bool is_taken(struct call *c, const struct store_key *key)
{
	return store_find(&c->op, key, STORE_READ) != NULL;
}

/* Whether an event "new" is due after the key is set. */
static inline bool is_fresh(struct call *c, const struct store_key *key)
{
	return call_observed() && !store_exists(&c->op, key);
}

/* Store argv[val] under key until `when_ms`, tell it, and journal what does not depend on the clock. */
static bool set_value(struct call *c, const struct store_key *key, unsigned val, int64_t when_ms, bool replied)
{
	const struct arg *v = &c->argv[val];
	bool fresh = is_fresh(c, key);
	if (!store_set_string(&c->op, key, v->ptr, v->len, when_ms)) {
		set_failed(c, replied);
		return false;
	}
	if (fresh)
		call_event(c, key, NOTIFY_NEW, "new");
	call_touch(c, key, NOTIFY_STRING, "set");
	if (when_ms != STORE_NO_EXPIRY && when_ms != STORE_KEEP_EXPIRY) {
		call_event(c, key, NOTIFY_GENERIC, "expire");
		call_journalf(c, "saasi", "SET", &c->argv[1], v, "PXAT", when_ms);
	}
	return true;
}

/* SET with GET is journaled without it: nobody reads that reply. */
static void journal_without_get(struct call *c)
{
	struct arg argv[16];
	unsigned n = 0;
	for (unsigned i = 0; i < c->argc; i++) {
		if (i >= 3 && arg_is(&c->argv[i], "GET"))
			continue;
		if (n == sizeof argv / sizeof *argv)
			return; /* repeated options: argv itself says the same */
		argv[n++] = c->argv[i];
	}
	call_journal(c, n, argv);
}

static void __attribute__((noinline)) set_with_options(struct call *c)
{
	struct set_options o;
	struct store_key key = call_key(c, 1);
	int64_t when_ms = STORE_NO_EXPIRY;
	if (!set_parse(c, 3, false, &o)) {
		reply_syntax_error(c->reply);
		return;
	}
	if (o.time_arg && !expiry_parse(c, o.time_arg, o.unit, &when_ms))
		return;
	if (o.unit == EXPIRY_KEEP)
		when_ms = STORE_KEEP_EXPIRY;
	if (o.get && !reply_old(c, call_find_read(c, &key)))
		return;
	if (o.condition == SET_NX ? is_taken(c, &key) : o.condition == SET_XX && !store_exists(&c->op, &key)) {
		if (!o.get)
			reply_null(c->reply);
		return;
	}
	if (!set_value(c, &key, 2, when_ms, o.get))
		return;
	if (o.get && !o.time_arg)
		journal_without_get(c);
	if (!o.get)
		reply_ok(c->reply);
}

/* The key is read only where GET asks for the old value. */
static int set_keys(const struct command *cmd, const struct arg *argv, unsigned argc, struct key_refs *out)
{
	uint32_t flags = KEY_OW | KEY_UPDATE;
	(void)cmd;
	for (unsigned i = 3; i < argc; i++)
		if (arg_is(&argv[i], "GET"))
			flags = KEY_RW | KEY_ACCESS | KEY_UPDATE;
	return argc > 1 && key_refs_add(out, 1, flags) ? 0 : -EINVAL;
}

static void run_set(struct call *c)
{
	if (__builtin_expect(c->argc > 3, 0)) {
		set_with_options(c);
		return;
	}
	struct store_key key = call_key(c, 1);
	bool fresh = is_fresh(c, &key);
	if (__builtin_expect(!store_set_string(&c->op, &key, c->argv[2].ptr, c->argv[2].len, STORE_NO_EXPIRY), 0)) {
		reply_oom(c->reply);
		return;
	}
	if (fresh)
		call_event(c, &key, NOTIFY_NEW, "new");
	call_touch(c, &key, NOTIFY_STRING, "set");
	reply_ok(c->reply);
}

static void run_setnx(struct call *c)
{
	struct store_key key = call_key(c, 1);
	if (is_taken(c, &key))
		reply_int(c->reply, 0);
	else if (set_value(c, &key, 2, STORE_NO_EXPIRY, false))
		reply_int(c->reply, 1);
}

static void set_until(struct call *c, enum expiry_unit unit)
{
	struct store_key key = call_key(c, 1);
	int64_t when_ms;
	if (expiry_parse(c, 2, unit, &when_ms) && set_value(c, &key, 3, when_ms, false))
		reply_ok(c->reply);
}

static void run_setex(struct call *c)
{
	set_until(c, EXPIRY_EX);
}

static void run_psetex(struct call *c)
{
	set_until(c, EXPIRY_PX);
}

/* ------------------------------------------------------------------ GET that changes */

static void run_getset(struct call *c)
{
	struct store_key key = call_key(c, 1);
	if (!reply_old(c, call_find_read(c, &key)))
		return;
	if (set_value(c, &key, 2, STORE_NO_EXPIRY, true))
		call_journalf(c, "saa", "SET", &c->argv[1], &c->argv[2]);
}

static void run_getdel(struct call *c)
{
	struct store_key key = call_key(c, 1);
	const struct entry *e = call_find_read(c, &key);
	if (!reply_old(c, e) || !e)
		return;
	store_delete(&c->op, &key, false);
	call_touch(c, &key, NOTIFY_GENERIC, "del");
	call_journalf(c, "sa", "DEL", &c->argv[1]);
}

static void getex_expire(struct call *c, const struct store_key *key, struct entry *e, int64_t when_ms)
{
	if (expiry_passed(c, when_ms)) {
		reply_entry(c->reply, e);
		store_delete(&c->op, key, config()->lazyfree_lazy_expire);
		call_touch(c, key, NOTIFY_GENERIC, "del");
		call_journalf(c, "sa", config()->lazyfree_lazy_expire ? "UNLINK" : "DEL", &c->argv[1]);
		return;
	}
	e = store_set_expiry(&c->op, key, e, when_ms);
	if (!e) {
		reply_oom(c->reply);
		return;
	}
	reply_entry(c->reply, e);
	call_touch(c, key, NOTIFY_GENERIC, "expire");
	call_journalf(c, "sai", "PEXPIREAT", &c->argv[1], when_ms);
}

/* It was found for reading, which is the one use of the key that counts. */
static struct entry *again_to_write(struct call *c, const struct store_key *key)
{
	return store_find(&c->op, key, STORE_WRITE | STORE_PEEK);
}

static void run_getex(struct call *c)
{
	struct set_options o;
	struct store_key key = call_key(c, 1);
	int64_t when_ms;
	bool wrong;
	if (!set_parse(c, 2, true, &o)) {
		reply_syntax_error(c->reply);
		return;
	}
	struct entry *e = call_find_read_type(c, &key, STORE_STRING, &wrong);
	if (!e) {
		if (!wrong)
			reply_null(c->reply);
		return;
	}
	if (o.time_arg) {
		if (expiry_parse(c, o.time_arg, o.unit, &when_ms))
			getex_expire(c, &key, again_to_write(c, &key), when_ms);
		return;
	}
	bool persist = o.unit == EXPIRY_PERSIST && entry_has_expiry(e);
	if (persist && !(e = store_set_expiry(&c->op, &key, again_to_write(c, &key), STORE_NO_EXPIRY))) {
		reply_oom(c->reply);
		return;
	}
	reply_entry(c->reply, e);
	if (persist) {
		call_touch(c, &key, NOTIFY_GENERIC, "persist");
		call_journalf(c, "sa", "PERSIST", &c->argv[1]);
	}
}

/* ------------------------------------------------------------------ many keys */

static void run_mget(struct call *c)
{
	reply_array(c->reply, c->argc - 1);
	for (unsigned i = 1; i < c->argc; i++) {
		struct store_key key = call_key(c, i);
		const struct entry *e = call_find_read(c, &key);
		if (e && entry_type(e) == STORE_STRING)
			reply_entry(c->reply, e);
		else
			reply_null(c->reply);
	}
}

/* All pairs from argv[1] on. Memory may run out between two: what was set stays, and the journal gets just that. */
static bool set_pairs(struct call *c)
{
	for (unsigned i = 1; i < c->argc; i += 2) {
		struct store_key key = call_key(c, i);
		const struct arg *v = &c->argv[i + 1];
		bool fresh = is_fresh(c, &key);
		if (!store_set_string(&c->op, &key, v->ptr, v->len, STORE_NO_EXPIRY)) {
			for (unsigned j = 1; j < i; j += 2)
				call_journalf(c, "saa", "SET", &c->argv[j], &c->argv[j + 1]);
			reply_oom(c->reply);
			return false;
		}
		if (fresh)
			call_event(c, &key, NOTIFY_NEW, "new");
		call_touch(c, &key, NOTIFY_STRING, "set");
	}
	return true;
}

static void run_mset(struct call *c)
{
	if (c->argc % 2 == 0)
		call_wrong_arity(c);
	else if (set_pairs(c))
		reply_ok(c->reply);
}

static void run_msetnx(struct call *c)
{
	if (c->argc % 2 == 0) {
		call_wrong_arity(c);
		return;
	}
	for (unsigned i = 1; i < c->argc; i += 2) {
		struct store_key key = call_key(c, i);
		if (is_taken(c, &key)) {
			reply_int(c->reply, 0);
			return;
		}
	}
	if (set_pairs(c))
		reply_int(c->reply, 1);
}

/* ------------------------------------------------------------------ parts of a string */

/* Whether a string of `at` bytes may grow by `more`; the error is written if not. */
static bool length_ok(struct call *c, uint64_t at, size_t more)
{
	uint64_t total;
	if (__builtin_add_overflow(at, (uint64_t)more, &total) || total > SIZE_MAX / 2 ||
	    (!c->replaying && total > (uint64_t)config()->proto_max_bulk_len)) {
		reply_error(c->reply, TOO_LONG);
		return false;
	}
	return true;
}

static void run_append(struct call *c)
{
	struct store_key key = call_key(c, 1);
	const struct arg *v = &c->argv[2];
	size_t old = 0;
	bool wrong;
	struct entry *e = call_find_write_type(c, &key, STORE_STRING, &wrong);
	if (wrong)
		return;
	bool fresh = !e;
	if (e) {
		char *bytes;
		old = entry_string_len(e);
		if (!length_ok(c, old, v->len))
			return;
		e = store_string_grow(&c->op, &key, e, old + v->len, &bytes);
		if (e && v->len)
			memcpy(bytes + old, v->ptr, v->len);
	} else {
		e = store_set_string(&c->op, &key, v->ptr, v->len, STORE_NO_EXPIRY);
	}
	if (!e) {
		reply_oom(c->reply);
		return;
	}
	if (fresh)
		call_event(c, &key, NOTIFY_NEW, "new");
	call_touch(c, &key, NOTIFY_STRING, "append");
	reply_int(c->reply, (int64_t)(old + v->len));
}

static void run_setrange(struct call *c)
{
	struct store_key key = call_key(c, 1);
	const struct arg *v = &c->argv[3];
	int64_t offset;
	bool wrong;
	if (!call_int(c, 2, &offset))
		return;
	if (offset < 0) {
		reply_error(c->reply, "ERR offset is out of range");
		return;
	}
	struct entry *e = call_find_write_type(c, &key, STORE_STRING, &wrong);
	if (wrong)
		return;
	size_t len = e ? entry_string_len(e) : 0;
	if (v->len == 0) {
		reply_int(c->reply, (int64_t)len);
		return;
	}
	if (!length_ok(c, (uint64_t)offset, v->len))
		return;
	if ((size_t)offset + v->len > len)
		len = (size_t)offset + v->len;
	char *bytes;
	if (!store_string_grow(&c->op, &key, e, len, &bytes)) {
		reply_oom(c->reply);
		return;
	}
	memcpy(bytes + offset, v->ptr, v->len);
	if (!e)
		call_event(c, &key, NOTIFY_NEW, "new");
	call_touch(c, &key, NOTIFY_STRING, "setrange");
	reply_int(c->reply, (int64_t)len);
}

/* Bytes from start to end, both counted from the end where negative; *len is 0 where nothing is between them. */
static size_t range_of(int64_t start, int64_t end, size_t size, size_t *len)
{
	int64_t n = (int64_t)size;
	*len = 0;
	if (start < 0)
		start = start + n < 0 ? 0 : start + n;
	if (end < 0)
		end = end + n < 0 ? 0 : end + n;
	if (end >= n)
		end = n - 1;
	if (n == 0 || start > end)
		return 0;
	*len = (size_t)(end - start + 1);
	return (size_t)start;
}

static void run_getrange(struct call *c)
{
	struct store_key key = call_key(c, 1);
	int64_t start, end;
	char buf[24];
	size_t size = 0, len, from;
	bool wrong;
	if (!call_int(c, 2, &start) || !call_int(c, 3, &end))
		return;
	const struct entry *e = call_find_read_type(c, &key, STORE_STRING, &wrong);
	if (wrong)
		return;
	const char *bytes = e ? entry_string(e, buf, &size) : "";
	bool crossed = start < 0 && end < 0 && start > end;
	from = range_of(start, end, size, &len);
	reply_bulk(c->reply, bytes + from, crossed ? 0 : len);
}

static void run_strlen(struct call *c)
{
	struct store_key key = call_key(c, 1);
	bool wrong;
	const struct entry *e = call_find_read_type(c, &key, STORE_STRING, &wrong);
	if (!wrong)
		reply_int(c->reply, e ? (int64_t)entry_string_len(e) : 0);
}

/* ------------------------------------------------------------------ rows */

struct command string_commands[] = {
	{
		.name = "append", .run = run_append, .class = EXEC_KEYED, .arity = 3,
		.flags = CMD_WRITE | CMD_DENYOOM | CMD_FAST, .acl = ACL_STRING,
		.keys = { KEY_ONE(KEY_RW | KEY_INSERT) },
		.group = "string", .since = "2.0.0",
		.summary = "Adds bytes at the end of a string, which is created where it is missing.",
		.complexity = "O(1) amortised, for a short addition; memory grows by doubling",
		.args = "key:key#0 value:string",
	},
	{
		.name = "get", .run = run_get, .class = EXEC_KEYED, .arity = 2,
		.flags = CMD_READONLY | CMD_FAST, .acl = ACL_STRING,
		.keys = { KEY_ONE(KEY_RO | KEY_ACCESS) },
		.group = "string", .since = "1.0.0",
		.summary = "Answers the string under a key.",
		.complexity = "O(1)",
		.args = "key:key#0",
	},
	{
		.name = "getdel", .run = run_getdel, .class = EXEC_KEYED, .arity = 2,
		.flags = CMD_WRITE | CMD_FAST, .acl = ACL_STRING,
		.keys = { KEY_ONE(KEY_RW | KEY_ACCESS | KEY_DELETE) },
		.group = "string", .since = "6.2.0",
		.summary = "Answers the string under a key and deletes the key.",
		.complexity = "O(1)",
		.args = "key:key#0",
	},
	{
		.name = "getex", .run = run_getex, .class = EXEC_KEYED, .arity = -2,
		.flags = CMD_WRITE | CMD_FAST, .acl = ACL_STRING,
		.keys = { { .flags = KEY_RW | KEY_ACCESS | KEY_UPDATE, .begin = 1, .last = 0, .step = 1,
		            .notes = "RW and UPDATE because it changes the TTL" } },
		.group = "string", .since = "6.2.0",
		.summary = "Answers the string under a key and changes when it expires.",
		.complexity = "O(1)",
		.args = "key:key#0 [expiration:<EX seconds:integer|PX milliseconds:integer|"
		        "EXAT unix-time-seconds:unix-time|PXAT unix-time-milliseconds:unix-time|persist:PERSIST>]",
	},
	{
		.name = "getrange", .run = run_getrange, .class = EXEC_KEYED, .arity = 4,
		.flags = CMD_READONLY, .acl = ACL_STRING,
		.keys = { KEY_ONE(KEY_RO | KEY_ACCESS) },
		.group = "string", .since = "2.4.0",
		.summary = "Answers a part of a string.",
		.complexity = "O(N) in the length of the part",
		.args = "key:key#0 start:integer end:integer",
	},
	{
		.name = "getset", .run = run_getset, .class = EXEC_KEYED, .arity = 3,
		.flags = CMD_WRITE | CMD_DENYOOM | CMD_FAST, .acl = ACL_STRING,
		.keys = { KEY_ONE(KEY_RW | KEY_ACCESS | KEY_UPDATE) },
		.group = "string", .since = "1.0.0",
		.summary = "Replaces a string and answers what it was.",
		.complexity = "O(1)",
		.args = "key:key#0 value:string",
		.deprecated = "6.2.0 `SET` with the `!GET` argument",
	},
	{
		.name = "mget", .run = run_mget, .class = EXEC_KEYED, .arity = -2,
		.flags = CMD_READONLY | CMD_FAST, .acl = ACL_STRING,
		.keys = { KEY_RANGE(KEY_RO | KEY_ACCESS, 1, -1, 1) },
		.group = "string", .since = "1.0.0",
		.summary = "Answers the strings under several keys, in one step.",
		.complexity = "O(N) in the number of keys",
		.args = "key:key#0...",
		.tips = "request_policy:multi_shard",
	},
	{
		.name = "mset", .run = run_mset, .class = EXEC_KEYED, .arity = -3,
		.flags = CMD_WRITE | CMD_DENYOOM, .acl = ACL_STRING,
		.keys = { KEY_RANGE(KEY_OW | KEY_UPDATE, 1, -1, 2) },
		.group = "string", .since = "1.0.1",
		.summary = "Sets several keys in one step.",
		.complexity = "O(N) in the number of keys",
		.args = "data:{key:key#0 value:string}...",
		.tips = "request_policy:multi_shard response_policy:all_succeeded",
	},
	{
		.name = "msetnx", .run = run_msetnx, .class = EXEC_KEYED, .arity = -3,
		.flags = CMD_WRITE | CMD_DENYOOM, .acl = ACL_STRING,
		.keys = { KEY_RANGE(KEY_OW | KEY_INSERT, 1, -1, 2) },
		.group = "string", .since = "1.0.1",
		.summary = "Sets several keys in one step, but only if none of them exists.",
		.complexity = "O(N) in the number of keys",
		.args = "data:{key:key#0 value:string}...",
	},
	{
		.name = "psetex", .run = run_psetex, .class = EXEC_KEYED, .arity = 4,
		.flags = CMD_WRITE | CMD_DENYOOM, .acl = ACL_STRING,
		.keys = { KEY_ONE(KEY_OW | KEY_UPDATE) },
		.group = "string", .since = "2.6.0",
		.summary = "Sets a string and its time to live in milliseconds.",
		.complexity = "O(1)",
		.args = "key:key#0 milliseconds:integer value:string",
		.deprecated = "2.6.12 `SET` with the `PX` argument",
	},
	{
		.name = "set", .run = run_set, .class = EXEC_KEYED, .arity = -3,
		.flags = CMD_WRITE | CMD_DENYOOM, .acl = ACL_STRING,
		.find_keys = set_keys,
		.keys = { { .flags = KEY_RW | KEY_ACCESS | KEY_UPDATE | KEY_VARIABLE_FLAGS, .begin = 1, .last = 0, .step = 1,
		            .notes = "RW and ACCESS due to the optional `GET` argument" } },
		.group = "string", .since = "1.0.0",
		.summary = "Sets a string, replacing a value of any type; optionally on a condition and with an expiry.",
		.complexity = "O(1)",
		.args = "key:key#0 value:string [condition:<nx:NX@2.6.12|xx:XX@2.6.12>] [get:GET@6.2.0] "
		        "[expiration:<EX seconds:integer@2.6.12|PX milliseconds:integer@2.6.12|"
		        "EXAT unix-time-seconds:unix-time@6.2.0|PXAT unix-time-milliseconds:unix-time@6.2.0|"
		        "keepttl:KEEPTTL@6.0.0>]",
		.history = "2.6.12 Options `EX`, `PX`, `NX`, `XX`.\n"
		           "6.0.0 Option `KEEPTTL`.\n"
		           "6.2.0 Options `GET`, `EXAT`, `PXAT`.\n"
		           "7.0.0 `NX` and `GET` go together.",
	},
	{
		.name = "setex", .run = run_setex, .class = EXEC_KEYED, .arity = 4,
		.flags = CMD_WRITE | CMD_DENYOOM, .acl = ACL_STRING,
		.keys = { KEY_ONE(KEY_OW | KEY_UPDATE) },
		.group = "string", .since = "2.0.0",
		.summary = "Sets a string and its time to live in seconds.",
		.complexity = "O(1)",
		.args = "key:key#0 seconds:integer value:string",
		.deprecated = "2.6.12 `SET` with the `EX` argument",
	},
	{
		.name = "setnx", .run = run_setnx, .class = EXEC_KEYED, .arity = 3,
		.flags = CMD_WRITE | CMD_DENYOOM | CMD_FAST, .acl = ACL_STRING,
		.keys = { KEY_ONE(KEY_OW | KEY_INSERT) },
		.group = "string", .since = "1.0.0",
		.summary = "Sets a string, but only if the key does not exist.",
		.complexity = "O(1)",
		.args = "key:key#0 value:string",
		.deprecated = "2.6.12 `SET` with the `NX` argument",
	},
	{
		.name = "setrange", .run = run_setrange, .class = EXEC_KEYED, .arity = 4,
		.flags = CMD_WRITE | CMD_DENYOOM, .acl = ACL_STRING,
		.keys = { KEY_ONE(KEY_RW | KEY_UPDATE) },
		.group = "string", .since = "2.2.0",
		.summary = "Writes over a part of a string, extending it with zero bytes where it is too short.",
		.complexity = "O(1) for a short value in a string that exists; otherwise O(M) in the length written",
		.args = "key:key#0 offset:integer value:string",
	},
	{
		.name = "strlen", .run = run_strlen, .class = EXEC_KEYED, .arity = 2,
		.flags = CMD_READONLY | CMD_FAST, .acl = ACL_STRING,
		.keys = { KEY_ONE(KEY_RO) },
		.group = "string", .since = "2.2.0",
		.summary = "Answers the length of a string.",
		.complexity = "O(1)",
		.args = "key:key#0",
	},
	{
		.name = "substr", .run = run_getrange, .class = EXEC_KEYED, .arity = 4,
		.flags = CMD_READONLY, .acl = ACL_STRING,
		.keys = { KEY_ONE(KEY_RO | KEY_ACCESS) },
		.group = "string", .since = "1.0.0",
		.summary = "Answers a part of a string.",
		.complexity = "O(N) in the length of the part",
		.args = "key:key#0 start:integer end:integer",
		.deprecated = "2.0.0 `GETRANGE`",
	},
	{ .name = NULL },
};
