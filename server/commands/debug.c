/* debug: DEBUG: switches and probes for tests. Runs alone, so that what it shows and changes stands still. */
#include <errno.h>
#include <liblzf/lzf.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "server/aof.h"
#include "server/call.h"
#include "server/commands/groups.h"
#include "server/config.h"
#include "server/cron.h"
#include "server/digest.h"
#include "server/dump.h"
#include "server/log.h"
#include "server/persist.h"
#include "server/repl_id.h"
#include "server/replay.h"
#include "server/script/script.h"
#include "store/glob.h"
#include "store/memory.h"
#include "store/number.h"
#include "store/types/hash.h"
#include "store/types/list.h"

/* The number at the beginning of the text, 0 if there is none: some switches take anything. */
static double loose_number(const struct arg *a)
{
	char text[64];
	snprintf(text, sizeof text, "%.*s", (int)(a->len < sizeof text ? a->len : sizeof text - 1), a->ptr);
	return strtod(text, NULL);
}

/* ------------------------------------------------------------------ keys and values */

/* Without its time to live coming into it: expired keys are looked at like any other. */
static struct entry *peek(struct call *c, unsigned i)
{
	struct store_key key = store_key(c->op.store, c->argv[i].ptr, c->argv[i].len);
	struct store_op op = c->op;
	op.show_expired = true;
	return store_find(&op, &key, STORE_PEEK);
}

static size_t rdb_length_size(size_t n)
{
	return n < 64 ? 1 : n < 16384 ? 2 : n <= UINT32_MAX ? 5 : 9;
}

/* Bytes of a string in an RDB file. */
static size_t string_rdb_size(const struct entry *e)
{
	char buf[24];
	size_t len, best;
	int64_t v;
	const char *bytes = entry_string(e, buf, &len);
	if (len <= 11 && number_parse(bytes, len, &v) && v >= INT32_MIN && v <= INT32_MAX)
		return v >= INT8_MIN && v <= INT8_MAX ? 2 : v >= INT16_MIN && v <= INT16_MAX ? 3 : 5;
	best = rdb_length_size(len) + len;
	if (len <= 20 || len > UINT32_MAX || !config()->rdbcompression)
		return best;
	char *out = malloc(len);
	unsigned packed = out ? lzf_compress(bytes, (unsigned)len, out, (unsigned)len - 4) : 0;
	free(out);
	return packed ? 1 + rdb_length_size(packed) + rdb_length_size(len) + packed : best;
}

static void debug_object(struct call *c)
{
	char text[256];
	struct entry *e = peek(c, 2);
	if (!e) {
		reply_no_key(c->reply);
		return;
	}
	size_t size = entry_type(e) == STORE_STRING ? string_rdb_size(e) : entry_memory(e, 0);
	unsigned lru = e->access[0] | (unsigned)e->access[1] << 8 | (unsigned)e->access[2] << 16;
	snprintf(text, sizeof text, "Value at:%p refcount:1 encoding:%s serializedlength:%zu lru:%u lru_seconds_idle:%lld",
	         (void *)e, entry_encoding_name(e), size, lru, (long long)(entry_idle_ms(&c->op, e) / 1000));
	reply_status(c->reply, text);
}

static void debug_digest(struct call *c)
{
	struct digest d;
	struct store_op op = c->op;
	char hex[2 * DIGEST_LEN + 1];
	digest_dataset(&op, &d);
	digest_hex(&d, hex);
	reply_status(c->reply, hex);
}

static void debug_digest_value(struct call *c)
{
	char hex[2 * DIGEST_LEN + 1];
	reply_array(c->reply, c->argc - 2);
	for (unsigned i = 2; i < c->argc; i++) {
		struct digest d = { { 0 } };
		struct entry *e = peek(c, i);
		if (e)
			digest_entry(&d, e);
		digest_hex(&d, hex);
		reply_status(c->reply, hex);
	}
}

/* One key of DEBUG POPULATE; false: out of memory. */
static bool populate_one(struct call *c, const struct arg *prefix, int64_t i, int64_t size)
{
	char name[512], text[32];
	size_t plen = prefix->len < 256 ? prefix->len : 256;
	int n = snprintf(name, sizeof name, "%.*s:%lld", (int)plen, prefix->ptr, (long long)i);
	int len = snprintf(text, sizeof text, "value:%lld", (long long)i);
	struct store_key key = store_key(c->op.store, name, (size_t)n);
	if (store_exists(&c->op, &key))
		return true;
	if (size > 0) {
		char *bytes;
		if (!store_string_grow(&c->op, &key, NULL, (size_t)size, &bytes))
			return false;
		memcpy(bytes, text, size < len ? (size_t)size : (size_t)len);
	} else if (!store_set_string(&c->op, &key, text, (size_t)len, STORE_NO_EXPIRY)) {
		return false;
	}
	call_touch(c, &key, 0, NULL);
	return true;
}

/* As in Redis, not journaled: the keys are for tests of this server alone. */
static void debug_populate(struct call *c)
{
	struct arg prefix = { "key", 3 };
	int64_t count, size = 0;
	if (!call_int_range(c, 2, 0, INT64_MAX, &count, "ERR value is out of range, must be positive"))
		return;
	if (c->argc > 3)
		prefix = c->argv[3];
	if (c->argc > 4 && !call_int_range(c, 4, 0, INT64_MAX, &size, "ERR value is out of range, must be positive"))
		return;
	if (prefix.len > 256 || size > config()->proto_max_bulk_len) {
		reply_error(c->reply, "ERR prefix or size is too large");
		return;
	}
	call_no_journal(c);
	store_expect(c->op.store, c->op.db, (uint64_t)(count < 1 << 28 ? count : 1 << 28));
	for (int64_t i = 0; i < count; i++)
		if (!populate_one(c, &prefix, i, size)) {
			reply_oom(c->reply);
			return;
		}
	reply_ok(c->reply);
}

/* ------------------------------------------------------------------ PROTOCOL */

static void three_ints(struct reply *r)
{
	for (int i = 0; i < 3; i++)
		reply_int(r, i);
}

static void protocol_map(struct reply *r)
{
	reply_map(r, 3);
	for (int i = 0; i < 3; i++) {
		reply_int(r, i);
		reply_bool(r, i == 1);
	}
}

static void protocol_attribute(struct reply *r)
{
	if (r->resp > 2) {
		reply_attribute(r, 1);
		reply_cstr(r, "key-popularity");
		reply_array(r, 2);
		reply_cstr(r, "key:123");
		reply_int(r, 90);
	}
	reply_cstr(r, "Some real reply following the attribute");
}

static void protocol_push(struct reply *r)
{
	if (r->resp < 3) {
		reply_error(r, "ERR RESP2 is not supported by this command");
		return;
	}
	reply_cstr(r, "Some real reply following the push reply");
	reply_push(r, 2);
	reply_cstr(r, "server-cpu-usage");
	reply_int(r, 42);
}

static void debug_protocol(struct call *c)
{
	struct reply *r = c->reply;
	const struct arg *a = &c->argv[2];
	if (arg_is(a, "string"))
		reply_cstr(r, "Hello World");
	else if (arg_is(a, "integer"))
		reply_int(r, 12345);
	else if (arg_is(a, "double"))
		reply_double(r, 3.141);
	else if (arg_is(a, "null"))
		reply_null(r);
	else if (arg_is(a, "array"))
		reply_array(r, 3), three_ints(r);
	else if (arg_is(a, "set"))
		reply_set(r, 3), three_ints(r);
	else if (arg_is(a, "map"))
		protocol_map(r);
	else if (arg_is(a, "attrib"))
		protocol_attribute(r);
	else if (arg_is(a, "push"))
		protocol_push(r);
	else if (arg_is(a, "true") || arg_is(a, "false"))
		reply_bool(r, arg_is(a, "true"));
	else if (arg_is(a, "verbatim"))
		reply_verbatim(r, "txt", "This is a verbatim\nstring", 25);
	else if (arg_is(a, "bignum"))
		reply_bignum(r, "1234567999999999999999999999999999999");
	else
		reply_error(r, "ERR Wrong protocol type name. Please use one of the following: string|integer|double|bignum|"
		               "null|array|set|map|attrib|push|verbatim|true|false");
}

/* ------------------------------------------------------------------ switches */

static void debug_sleep(struct call *c)
{
	double s = loose_number(&c->argv[2]);
	if (s > 0 && isfinite(s)) {
		struct timespec left = { (time_t)s, (long)((s - floor(s)) * 1e9) };
		while (nanosleep(&left, &left) < 0 && errno == EINTR)
			;
	}
	reply_ok(c->reply);
}

static void debug_set_active_expire(struct call *c)
{
	cron_expiry_off = (long)loose_number(&c->argv[2]) == 0;
	reply_ok(c->reply);
}

static void debug_deny_scripts(struct call *c)
{
	script_allow_denied((long)loose_number(&c->argv[2]) != 0);
	reply_ok(c->reply);
}

static void debug_skip_checksum(struct call *c)
{
	dump_skip_checksum = (long)loose_number(&c->argv[2]) != 0;
	reply_ok(c->reply);
}

static void debug_pause_cron(struct call *c)
{
	cron_paused = (long)loose_number(&c->argv[2]) != 0;
	reply_ok(c->reply);
}

/* Output buffers are given back when they are empty: there is no resizing to switch, so any setting holds already. */
static void debug_replybuffer(struct call *c)
{
	int64_t ms;
	if (arg_is(&c->argv[2], "peak-reset-time")) {
		if (arg_is(&c->argv[3], "never") || arg_is(&c->argv[3], "reset") || call_int(c, 3, &ms))
			reply_ok(c->reply);
	} else if (arg_is(&c->argv[2], "resizing")) {
		reply_ok(c->reply);
	} else {
		call_unknown_subcommand(c);
	}
}

static void debug_log(struct call *c)
{
	log_warning("DEBUG LOG: %.*s", (int)(c->argv[2].len < 4096 ? c->argv[2].len : 4096), c->argv[2].ptr);
	reply_ok(c->reply);
}

static void debug_error(struct call *c)
{
	reply_errorf(c->reply, "%.*s", (int)(c->argv[2].len < 4096 ? c->argv[2].len : 4096), c->argv[2].ptr);
}

/* The parts of a listpack go to the log, which is the standard output unless told otherwise. */
static void debug_listpack(struct call *c)
{
	struct store_key key = call_key(c, 2);
	const struct entry *e = store_find(&c->op, &key, STORE_PEEK);
	if (!e) {
		reply_no_key(c->reply);
		return;
	}
	if (entry_type(e) == STORE_STRING || strcmp(entry_encoding_name(e), "listpack") != 0) {
		reply_error(c->reply, "ERR Not a listpack encoded object.");
		return;
	}
	const struct value v = value_of(e);
	uint8_t *pairs = NULL;
	if (entry_type(e) == STORE_HASH && !(pairs = mem_alloc(hash_pairs_bytes(&v)))) {
		reply_oom(c->reply);
		return;
	}
	if (pairs)
		hash_put_pairs(&v, pairs);
	const uint8_t *lp = pairs ? pairs : v.ptr;
	log_notice("listpack of %zu bytes, %zu elements", listpack_bytes(lp), listpack_count(lp));
	for (const uint8_t *p = listpack_first(lp); p; p = listpack_next(lp, p)) {
		char buf[NUMBER_MAX];
		size_t len;
		const char *text = listpack_text(p, buf, &len);
		log_notice("  at %zu, %zu bytes: %.*s", (size_t)(p - lp), listpack_element_bytes(p),
		           (int)(len < 40 ? len : 40), text);
	}
	mem_free(pairs);
	reply_status(c->reply, "Listpack structure printed on stdout");
}

static void debug_packed_threshold(struct call *c)
{
	uint64_t bytes;
	if (number_parse_memory(c->argv[2].ptr, c->argv[2].len, &bytes) && bytes < (uint64_t)1 << 32) {
		list_set_plain_threshold((size_t)bytes);
		reply_ok(c->reply);
	} else {
		reply_error(c->reply, "ERR argument must be a memory value bigger than 1 and smaller than 4gb");
	}
}

static void debug_change_repl_id(struct call *c)
{
	log_notice("Changing replication IDs after receiving change-repl-id");
	repl_id_change();
	reply_ok(c->reply);
}

/* Pattern and text: whether they match, to time the matcher from outside. */
static void debug_stringmatch(struct call *c)
{
	reply_int(c->reply, glob_match(c->argv[2].ptr, c->argv[2].len, c->argv[3].ptr, c->argv[3].len, false));
}

static void debug_journal(struct call *c)
{
	char text[200] = "";
	int err;
	if (arg_is(&c->argv[2], "start")) {
		err = replay_start(c);
	} else if (arg_is(&c->argv[2], "check")) {
		err = replay_check(c, text, sizeof text);
	} else if (arg_is(&c->argv[2], "stop")) {
		replay_stop();
		err = 0;
	} else {
		call_unknown_subcommand(c);
		return;
	}
	if (err)
		reply_errorf(c->reply, "ERR journal: %s", *text ? text : strerror(-err));
	else
		reply_ok(c->reply);
}

/* ------------------------------------------------------------------ files */

static void debug_reload(struct call *c)
{
	unsigned flags = 0;
	for (unsigned i = 2; i < c->argc; i++) {
		if (arg_is(&c->argv[i], "nosave")) {
			flags |= RELOAD_NOSAVE;
		} else if (arg_is(&c->argv[i], "noflush")) {
			flags |= RELOAD_NOFLUSH;
		} else if (arg_is(&c->argv[i], "merge")) {
			flags |= RELOAD_MERGE;
		} else {
			reply_error(c->reply, "ERR DEBUG RELOAD only supports the MERGE, NOFLUSH and NOSAVE options.");
			return;
		}
	}
	int err = persist_reload(flags);
	if (err == -EIO)
		reply_error(c->reply, "ERR");
	else if (err)
		reply_error(c->reply, "ERR Error trying to load the RDB dump, check server logs.");
	else
		reply_ok(c->reply);
}

static void debug_loadaof(struct call *c)
{
	if (aof_reload(c))
		reply_error(c->reply, "ERR Error trying to load the AOF files, check server logs.");
	else
		reply_ok(c->reply);
}

static void debug_io_fault(struct call *c)
{
	int64_t v[3];
	for (unsigned i = 0; i < 3; i++)
		if (!call_int_range(c, 3 + i, 0, INT32_MAX, &v[i], NULL))
			return;
	if (persist_io_fault(c->argv[2].ptr, c->argv[2].len, (unsigned)v[0], (unsigned)v[1], -(int)v[2]))
		reply_ok(c->reply);
	else
		reply_error(c->reply, "ERR no such file operation");
}

static void debug_help(struct call *c)
{
	static const char *const lines[] = {
		"CHANGE-REPL-ID",
		"    Take a new replication id.",
		"DIGEST",
		"    A fingerprint of the whole data set, equal to that of a redis-server with the same data.",
		"DIGEST-VALUE <key> [<key> ...]",
		"    Fingerprints of single values.",
		"ERROR <text>",
		"    Answer with this error.",
		"IO-FAULT <open|write|sync|rename|sync-dir|unlink|truncate|read> <skip> <times> <errno>",
		"    Let file operations of that kind fail with the error number: so many, after so many good ones.",
		"JOURNAL <START|CHECK|STOP>",
		"    Keep every journal record from an empty keyspace on; replay them into a second store and compare.",
		"LOADAOF",
		"    Write out the append-only log, empty the memory, load the log.",
		"LISTPACK <key>",
		"    Write the elements of a value that is one listpack to the log.",
		"LOG <message>",
		"    Write the message to the log.",
		"OBJECT <key>",
		"    How a key is stored.",
		"PAUSE-CRON <0|1>",
		"    Stop the periodic work of all loops, or let it go on.",
		"POPULATE <count> [<prefix>] [<size>]",
		"    Make strings <prefix>:0, <prefix>:1, ... where missing; they are not journaled.",
		"PROTOCOL <type>",
		"    Answer with a value of the type: string integer double bignum null array set map attrib push",
		"    verbatim true false.",
		"QUICKLIST-PACKED-THRESHOLD <size>",
		"    From how many bytes on an element of a list has a node of its own; 0: where list-max-listpack-size says.",
		"RELOAD [NOSAVE] [NOFLUSH] [MERGE]",
		"    Save the data set, empty the memory, load the file.",
		"REPLYBUFFER <PEAK-RESET-TIME <NEVER|RESET|ms>|RESIZING <0|1>>",
		"    Known to test suites; buffers are always given back here.",
		"SET-SKIP-CHECKSUM-VALIDATION <0|1>",
		"    Take payloads of RESTORE without looking at their checksums (1), or look (0).",
		"SET-ACTIVE-EXPIRE <0|1>",
		"    Whether expired keys are removed before somebody asks for them.",
		"SET-DISABLE-DENY-SCRIPTS <0|1>",
		"    Whether scripts may also call commands that are not meant for them, but for those of the session.",
		"SLEEP <seconds>",
		"    Stop all loops for so long.",
		"STRINGMATCH-LEN <pattern> <text>",
		"    Whether the glob pattern matches.",
		NULL,
	};
	call_help(c, lines);
}

static void debug(struct call *c)
{
	static const struct {
		const char *name;
		unsigned min, max; /* arguments */
		void (*run)(struct call *c);
	} subs[] = {
		{ "help", 2, 2, debug_help },
		{ "sleep", 3, 3, debug_sleep },
		{ "object", 3, 4, debug_object },
		{ "populate", 3, 5, debug_populate },
		{ "digest", 2, 2, debug_digest },
		{ "digest-value", 2, UINT32_MAX, debug_digest_value },
		{ "set-active-expire", 3, 3, debug_set_active_expire },
		{ "set-skip-checksum-validation", 3, 3, debug_skip_checksum },
		{ "set-disable-deny-scripts", 3, 3, debug_deny_scripts },
		{ "protocol", 3, 3, debug_protocol },
		{ "replybuffer", 4, 4, debug_replybuffer },
		{ "pause-cron", 3, 3, debug_pause_cron },
		{ "journal", 3, 3, debug_journal },
		{ "listpack", 3, 3, debug_listpack },
		{ "quicklist-packed-threshold", 3, 3, debug_packed_threshold },
		{ "log", 3, 3, debug_log },
		{ "error", 3, 3, debug_error },
		{ "reload", 2, 5, debug_reload },
		{ "loadaof", 2, 2, debug_loadaof },
		{ "io-fault", 6, 6, debug_io_fault },
		{ "stringmatch-len", 4, 4, debug_stringmatch },
		{ "change-repl-id", 2, 2, debug_change_repl_id },
	};
	for (size_t i = 0; i < sizeof subs / sizeof *subs; i++)
		if (arg_is(&c->argv[1], subs[i].name) && c->argc >= subs[i].min && c->argc <= subs[i].max) {
			subs[i].run(c);
			return;
		}
	call_unknown_subcommand(c);
}

struct command debug_commands[] = {
	{ .name = "debug", .run = debug, .class = EXEC_ALONE, .arity = -2,
	  .flags = CMD_ADMIN | CMD_NOSCRIPT | CMD_LOADING | CMD_STALE | CMD_PROTECTED | CMD_SYSCMD, .group = "server",
	  .since = "1.0.0", .summary = "Switches and probes for tests.", .complexity = "Depends on subcommand." },
	{ 0 },
};
