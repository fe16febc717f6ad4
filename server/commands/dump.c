/* dump: DUMP, RESTORE: values as bytes. */
#include <errno.h>

#include "server/call.h"
#include "server/commands/expiry.h"
#include "server/commands/groups.h"
#include "server/dump.h"
#include "store/number.h"

static void run_dump(struct call *c)
{
	struct store_key key = call_key(c, 1);
	const struct entry *e = call_find_read(c, &key);
	if (e)
		dump_reply(c->reply, e);
	else
		reply_null(c->reply);
}

struct options {
	bool replace, absolute;
	int64_t idle_s, freq; /* -1: not given */
};

static bool read_age(struct call *c, unsigned i, int64_t max, int64_t *v, const char *error)
{
	if (!call_int(c, i, v))
		return false;
	if (*v >= 0 && *v <= max)
		return true;
	reply_error(c->reply, error);
	return false;
}

static bool read_options(struct call *c, struct options *o)
{
	*o = (struct options){ .idle_s = -1, .freq = -1 };
	for (unsigned i = 4; i < c->argc; i++) {
		bool more = i + 1 < c->argc;
		if (arg_is(&c->argv[i], "replace")) {
			o->replace = true;
		} else if (arg_is(&c->argv[i], "absttl")) {
			o->absolute = true;
		} else if (arg_is(&c->argv[i], "idletime") && more && o->freq == -1) {
			if (!read_age(c, ++i, INT64_MAX, &o->idle_s, "ERR Invalid IDLETIME value, must be >= 0"))
				return false;
		} else if (arg_is(&c->argv[i], "freq") && more && o->idle_s == -1) {
			if (!read_age(c, ++i, 255, &o->freq, "ERR Invalid FREQ value, must be >= 0 and <= 255"))
				return false;
		} else {
			reply_syntax_error(c->reply);
			return false;
		}
	}
	return true;
}

/* When the key is to expire, from argv[2]. */
static bool read_expiry(struct call *c, const struct options *o, int64_t *expire_ms)
{
	int64_t ttl;
	if (!call_int(c, 2, &ttl))
		return false;
	if (ttl < 0) {
		reply_error(c->reply, "ERR Invalid TTL value, must be >= 0");
		return false;
	}
	*expire_ms = ttl;
	if (!o->absolute && __builtin_add_overflow(ttl, c->op.now_ms, expire_ms))
		*expire_ms = STORE_NO_EXPIRY;
	if (ttl == 0)
		*expire_ms = STORE_NO_EXPIRY;
	else if (*expire_ms == STORE_NO_EXPIRY)
		--*expire_ms;
	return true;
}

/* A replay must not count the time to live anew; options that repeat themselves are written once. */
static void journal_absolute(struct call *c, const struct options *o, int64_t expire_ms)
{
	char text[24], age[24];
	struct arg argv[9] = { c->argv[0], c->argv[1], { text, number_print(text, expire_ms) }, c->argv[3], { "ABSTTL", 6 } };
	unsigned argc = 5;
	if (o->replace)
		argv[argc++] = (struct arg){ "REPLACE", 7 };
	if (o->idle_s >= 0 || o->freq >= 0) {
		argv[argc++] = o->idle_s >= 0 ? (struct arg){ "IDLETIME", 8 } : (struct arg){ "FREQ", 4 };
		argv[argc++] = (struct arg){ age, number_print(age, o->idle_s >= 0 ? o->idle_s : o->freq) };
	}
	call_journal(c, argc, argv);
}

static void reply_failure(struct call *c, int err)
{
	if (err == -ENOMEM)
		reply_oom(c->reply);
	else
		reply_error(c->reply, "ERR Bad data format");
}

/* The time has passed already: what was there goes, if the payload is sound, and nothing comes. */
static void restore_expired(struct call *c, const struct store_key *key, bool existed)
{
	struct entry *e;
	int err = dump_restore(c, key, c->argv[3].ptr, c->argv[3].len, STORE_NO_EXPIRY, &e);
	if (err) {
		reply_failure(c, err);
		return;
	}
	store_delete(&c->op, key, true);
	if (existed) {
		call_journalf(c, "sa", "DEL", &c->argv[1]);
		call_touch(c, key, NOTIFY_GENERIC, "del");
	}
	reply_ok(c->reply);
}

static void put_restored(struct call *c, const struct store_key *key, const struct options *o, int64_t expire_ms)
{
	struct entry *e;
	int err = dump_restore(c, key, c->argv[3].ptr, c->argv[3].len, expire_ms, &e);
	if (err) {
		reply_failure(c, err);
		return;
	}
	if (o->idle_s >= 0 && c->op.access == STORE_ACCESS_LRU)
		entry_set_idle(&c->op, e, o->idle_s > INT64_MAX / 1000 ? INT64_MAX : o->idle_s * 1000);
	else if (o->freq >= 0 && c->op.access == STORE_ACCESS_LFU)
		entry_set_freq(&c->op, e, (unsigned)o->freq);
	if (expire_ms != STORE_NO_EXPIRY && !o->absolute)
		journal_absolute(c, o, expire_ms);
	call_touch(c, key, NOTIFY_GENERIC, "restore");
	reply_ok(c->reply);
}

static void run_restore(struct call *c)
{
	struct store_key key = call_key(c, 1);
	struct options o;
	int64_t expire_ms;
	if (!read_options(c, &o))
		return;
	bool existed = store_exists(&c->op, &key);
	if (existed && !o.replace) {
		reply_error(c->reply, "BUSYKEY Target key name already exists.");
		return;
	}
	if (!read_expiry(c, &o, &expire_ms))
		return;
	if (!dump_verify(c->argv[3].ptr, c->argv[3].len))
		reply_error(c->reply, "ERR DUMP payload version or checksum are wrong");
	else if (expire_ms != STORE_NO_EXPIRY && expiry_passed(c, expire_ms))
		restore_expired(c, &key, existed);
	else
		put_restored(c, &key, &o, expire_ms);
}

#define RESTORE_DOC \
	.complexity = "O(N) in the elements of the value, O(N*log(N)) for sorted sets", \
	.args = "key:key#0 ttl:integer serialized-value:string [replace:REPLACE@3.0.0] [absttl:ABSTTL@5.0.0] " \
	        "[IDLETIME seconds:integer@5.0.0] [FREQ frequency:integer@5.0.0]", \
	.history = "3.0.0 Option REPLACE.\n5.0.0 Option ABSTTL.\n5.0.0 Options IDLETIME and FREQ."

struct command dump_commands[] = {
	{ .name = "dump", .run = run_dump, .class = EXEC_KEYED, .arity = 2, .flags = CMD_READONLY, .acl = ACL_KEYSPACE,
	  .keys = { KEY_ONE(KEY_RO | KEY_ACCESS) }, .group = "generic", .since = "2.6.0",
	  .summary = "Answers a key's value as bytes that RESTORE takes.", .complexity = "O(N) in the elements of the value",
	  .args = "key:key#0", .tips = "nondeterministic_output" },
	{ .name = "restore", .run = run_restore, .class = EXEC_KEYED, .arity = -4, .flags = CMD_WRITE | CMD_DENYOOM,
	  .acl = ACL_KEYSPACE | ACL_DANGEROUS, .keys = { KEY_ONE(KEY_OW | KEY_UPDATE) }, .group = "generic", .since = "2.6.0",
	  .summary = "Makes a key from the bytes of DUMP.", RESTORE_DOC },
	{ .name = "restore-asking", .run = run_restore, .class = EXEC_KEYED, .arity = -4,
	  .flags = CMD_WRITE | CMD_DENYOOM | CMD_ASKING | CMD_SYSCMD, .acl = ACL_KEYSPACE | ACL_DANGEROUS,
	  .keys = { KEY_ONE(KEY_OW | KEY_UPDATE) }, .group = "server", .since = "3.0.0",
	  .summary = "RESTORE as the nodes of a cluster use it among themselves.", RESTORE_DOC },
	{ .name = NULL },
};
