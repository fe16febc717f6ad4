/* expire: expiry times: setting, removing, asking. */
#include "server/commands/expiry.h"
#include "server/commands/groups.h"
#include "server/config.h"

/* ------------------------------------------------------------------ times as arguments */

enum expiry_unit expiry_unit_of(const struct arg *a)
{
	static const struct {
		const char *word;
		enum expiry_unit unit;
	} units[] = {
		{ "EX", EXPIRY_EX },     { "PX", EXPIRY_PX },        { "EXAT", EXPIRY_EXAT },
		{ "PXAT", EXPIRY_PXAT }, { "KEEPTTL", EXPIRY_KEEP }, { "PERSIST", EXPIRY_PERSIST },
	};
	for (size_t i = 0; i < sizeof units / sizeof *units; i++) {
		if (arg_is(a, units[i].word))
			return units[i].unit;
	}
	return EXPIRY_NONE;
}

bool expiry_to_ms(const struct call *c, enum expiry_unit unit, int64_t n, int64_t *when_ms)
{
	int64_t base = expiry_is_relative(unit) ? c->op.now_ms : 0;
	if (expiry_in_seconds(unit) && __builtin_mul_overflow(n, (int64_t)1000, &n))
		return false;
	if (__builtin_add_overflow(n, base, when_ms))
		return false;
	if (*when_ms == STORE_NO_EXPIRY) /* the last millisecond of all stands for "never" */
		--*when_ms;
	return true;
}

void expiry_reply_invalid(struct call *c)
{
	reply_errorf(c->reply, "ERR invalid expire time in '%s' command", c->cmd->full_name);
}

bool expiry_parse(struct call *c, unsigned i, enum expiry_unit unit, int64_t *when_ms)
{
	int64_t n;
	if (!call_int(c, i, &n))
		return false;
	if (n > 0 && expiry_to_ms(c, unit, n, when_ms))
		return true;
	expiry_reply_invalid(c);
	return false;
}

/* ------------------------------------------------------------------ EXPIRE and its kin */

enum { IF_NX = 1, IF_XX = 2, IF_GT = 4, IF_LT = 8 };

static bool parse_conditions(struct call *c, unsigned *flags)
{
	*flags = 0;
	for (unsigned i = 3; i < c->argc; i++) {
		const struct arg *a = &c->argv[i];
		if (arg_is(a, "NX")) {
			*flags |= IF_NX;
		} else if (arg_is(a, "XX")) {
			*flags |= IF_XX;
		} else if (arg_is(a, "GT")) {
			*flags |= IF_GT;
		} else if (arg_is(a, "LT")) {
			*flags |= IF_LT;
		} else {
			reply_errorf(c->reply, "ERR Unsupported option %.*s", (int)(a->len < 128 ? a->len : 128), a->ptr);
			return false;
		}
	}
	const char *error = NULL;
	if ((*flags & IF_NX) && (*flags & ~(unsigned)IF_NX))
		error = "ERR NX and XX, GT or LT options at the same time are not compatible";
	else if ((*flags & IF_GT) && (*flags & IF_LT))
		error = "ERR GT and LT options at the same time are not compatible";
	if (error)
		reply_error(c->reply, error);
	return !error;
}

/* A key without expiry counts as one that lives forever. */
static bool conditions_hold(unsigned flags, const struct entry *e, int64_t when_ms)
{
	int64_t now = entry_expiry(e); /* STORE_NO_EXPIRY is later than anything */
	if ((flags & IF_NX) && now != STORE_NO_EXPIRY)
		return false;
	if ((flags & IF_XX) && now == STORE_NO_EXPIRY)
		return false;
	if ((flags & IF_GT) && when_ms <= now)
		return false;
	return !(flags & IF_LT) || when_ms < now;
}

static void journal_expiry(struct call *c, unsigned flags, int64_t when_ms)
{
	static const char *const words[] = { "NX", "XX", "GT", "LT" };
	const char *said[2];
	unsigned n = 0;
	for (unsigned i = 0; i < 4; i++) {
		if (flags & (1u << i))
			said[n++] = words[i];
	}
	if (n == 0)
		call_journalf(c, "sai", "PEXPIREAT", &c->argv[1], when_ms);
	else if (n == 1)
		call_journalf(c, "sais", "PEXPIREAT", &c->argv[1], when_ms, said[0]);
	else
		call_journalf(c, "saiss", "PEXPIREAT", &c->argv[1], when_ms, said[0], said[1]);
}

static void expire(struct call *c, enum expiry_unit unit)
{
	struct store_key key = call_key(c, 1);
	unsigned flags;
	int64_t n, when_ms;
	if (!parse_conditions(c, &flags) || !call_int(c, 2, &n))
		return;
	if (!expiry_to_ms(c, unit, n, &when_ms)) {
		expiry_reply_invalid(c);
		return;
	}
	struct entry *e = call_find_write(c, &key);
	if (!e || !conditions_hold(flags, e, when_ms)) {
		reply_int(c->reply, 0);
		return;
	}
	if (expiry_passed(c, when_ms)) {
		bool lazy = config()->lazyfree_lazy_expire;
		store_delete(&c->op, &key, lazy);
		call_touch(c, &key, NOTIFY_GENERIC, "del");
		call_journalf(c, "sa", lazy ? "UNLINK" : "DEL", &c->argv[1]);
	} else if (store_set_expiry(&c->op, &key, e, when_ms)) {
		call_touch(c, &key, NOTIFY_GENERIC, "expire");
		journal_expiry(c, flags, when_ms);
	} else {
		reply_oom(c->reply);
		return;
	}
	reply_int(c->reply, 1);
}

static void run_expire(struct call *c)
{
	expire(c, EXPIRY_EX);
}

static void run_pexpire(struct call *c)
{
	expire(c, EXPIRY_PX);
}

static void run_expireat(struct call *c)
{
	expire(c, EXPIRY_EXAT);
}

static void run_pexpireat(struct call *c)
{
	expire(c, EXPIRY_PXAT);
}

static void run_persist(struct call *c)
{
	struct store_key key = call_key(c, 1);
	struct entry *e = call_find_write(c, &key);
	if (!e || !entry_has_expiry(e)) {
		reply_int(c->reply, 0);
		return;
	}
	if (!store_set_expiry(&c->op, &key, e, STORE_NO_EXPIRY)) {
		reply_oom(c->reply);
		return;
	}
	call_touch(c, &key, NOTIFY_GENERIC, "persist");
	reply_int(c->reply, 1);
}

/* ------------------------------------------------------------------ asking */

static void ttl(struct call *c, enum expiry_unit unit)
{
	struct store_key key = call_key(c, 1);
	const struct entry *e = call_peek(c, &key);
	if (!e || !entry_has_expiry(e)) {
		reply_int(c->reply, e ? -1 : -2);
		return;
	}
	int64_t ms = entry_expiry(e);
	if (expiry_is_relative(unit))
		ms = ms > c->op.now_ms ? ms - c->op.now_ms : 0;
	reply_int(c->reply, expiry_in_seconds(unit) ? ms / 1000 + (ms % 1000 >= 500) : ms);
}

static void run_ttl(struct call *c)
{
	ttl(c, EXPIRY_EX);
}

static void run_pttl(struct call *c)
{
	ttl(c, EXPIRY_PX);
}

static void run_expiretime(struct call *c)
{
	ttl(c, EXPIRY_EXAT);
}

static void run_pexpiretime(struct call *c)
{
	ttl(c, EXPIRY_PXAT);
}

/* ------------------------------------------------------------------ rows */

struct command expire_commands[] = {
	{
		.name = "expire", .run = run_expire, .class = EXEC_KEYED, .arity = -3,
		.flags = CMD_WRITE | CMD_FAST, .acl = ACL_KEYSPACE,
		.keys = { KEY_ONE(KEY_RW | KEY_UPDATE) },
		.group = "generic", .since = "1.0.0",
		.summary = "Lets a key expire in so many seconds.",
		.complexity = "O(1)",
		.args = "key:key#0 seconds:integer [condition:<nx:NX|xx:XX|gt:GT|lt:LT>@7.0.0]",
		.history = "7.0.0 Options `NX`, `XX`, `GT`, `LT`.",
	},
	{
		.name = "expireat", .run = run_expireat, .class = EXEC_KEYED, .arity = -3,
		.flags = CMD_WRITE | CMD_FAST, .acl = ACL_KEYSPACE,
		.keys = { KEY_ONE(KEY_RW | KEY_UPDATE) },
		.group = "generic", .since = "1.2.0",
		.summary = "Lets a key expire at a Unix time in seconds.",
		.complexity = "O(1)",
		.args = "key:key#0 unix-time-seconds:unix-time [condition:<nx:NX|xx:XX|gt:GT|lt:LT>@7.0.0]",
		.history = "7.0.0 Options `NX`, `XX`, `GT`, `LT`.",
	},
	{
		.name = "expiretime", .run = run_expiretime, .class = EXEC_KEYED, .arity = 2,
		.flags = CMD_READONLY | CMD_FAST, .acl = ACL_KEYSPACE,
		.keys = { KEY_ONE(KEY_RO | KEY_ACCESS) },
		.group = "generic", .since = "7.0.0",
		.summary = "Answers at which Unix time in seconds a key expires.",
		.complexity = "O(1)",
		.args = "key:key#0",
	},
	{
		.name = "persist", .run = run_persist, .class = EXEC_KEYED, .arity = 2,
		.flags = CMD_WRITE | CMD_FAST, .acl = ACL_KEYSPACE,
		.keys = { KEY_ONE(KEY_RW | KEY_UPDATE) },
		.group = "generic", .since = "2.2.0",
		.summary = "Takes the expiry off a key.",
		.complexity = "O(1)",
		.args = "key:key#0",
	},
	{
		.name = "pexpire", .run = run_pexpire, .class = EXEC_KEYED, .arity = -3,
		.flags = CMD_WRITE | CMD_FAST, .acl = ACL_KEYSPACE,
		.keys = { KEY_ONE(KEY_RW | KEY_UPDATE) },
		.group = "generic", .since = "2.6.0",
		.summary = "Lets a key expire in so many milliseconds.",
		.complexity = "O(1)",
		.args = "key:key#0 milliseconds:integer [condition:<nx:NX|xx:XX|gt:GT|lt:LT>@7.0.0]",
		.history = "7.0.0 Options `NX`, `XX`, `GT`, `LT`.",
	},
	{
		.name = "pexpireat", .run = run_pexpireat, .class = EXEC_KEYED, .arity = -3,
		.flags = CMD_WRITE | CMD_FAST, .acl = ACL_KEYSPACE,
		.keys = { KEY_ONE(KEY_RW | KEY_UPDATE) },
		.group = "generic", .since = "2.6.0",
		.summary = "Lets a key expire at a Unix time in milliseconds.",
		.complexity = "O(1)",
		.args = "key:key#0 unix-time-milliseconds:unix-time [condition:<nx:NX|xx:XX|gt:GT|lt:LT>@7.0.0]",
		.history = "7.0.0 Options `NX`, `XX`, `GT`, `LT`.",
	},
	{
		.name = "pexpiretime", .run = run_pexpiretime, .class = EXEC_KEYED, .arity = 2,
		.flags = CMD_READONLY | CMD_FAST, .acl = ACL_KEYSPACE,
		.keys = { KEY_ONE(KEY_RO | KEY_ACCESS) },
		.group = "generic", .since = "7.0.0",
		.summary = "Answers at which Unix time in milliseconds a key expires.",
		.complexity = "O(1)",
		.args = "key:key#0",
	},
	{
		.name = "pttl", .run = run_pttl, .class = EXEC_KEYED, .arity = 2,
		.flags = CMD_READONLY | CMD_FAST, .acl = ACL_KEYSPACE,
		.keys = { KEY_ONE(KEY_RO | KEY_ACCESS) },
		.group = "generic", .since = "2.6.0",
		.summary = "Answers how many milliseconds a key has left.",
		.complexity = "O(1)",
		.args = "key:key#0",
		.history = "2.8.0 Reply -2.",
		.tips = "nondeterministic_output",
	},
	{
		.name = "ttl", .run = run_ttl, .class = EXEC_KEYED, .arity = 2,
		.flags = CMD_READONLY | CMD_FAST, .acl = ACL_KEYSPACE,
		.keys = { KEY_ONE(KEY_RO | KEY_ACCESS) },
		.group = "generic", .since = "1.0.0",
		.summary = "Answers how many seconds a key has left.",
		.complexity = "O(1)",
		.args = "key:key#0",
		.history = "2.8.0 Reply -2.",
		.tips = "nondeterministic_output",
	},
	{ .name = NULL },
};
