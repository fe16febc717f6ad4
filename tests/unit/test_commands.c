/*
 * What handlers do besides replying: which events they tell, in which order, and what the journal gets. They run here
 * without loops and connections, on a store of their own with a clock of the test's.
 */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "server/client.h"
#include "server/config.h"
#include "server/effects.h"
#include "server/stats.h"
#include "server/touch.h"
#include "tests/lib/resp_client.h"
#include "tests/lib/suite.h"

#define NOW 1000000

static struct store *store;
static struct client *client;
static struct effects effects;
static char events[2048], journal[4096];
static bool replaying;
static int64_t now_ms;
static unsigned db;

static void append(char *to, size_t size, const char *text, size_t len)
{
	size_t n = strlen(to);
	ck_assert_uint_lt(n + len, size - 1);
	memcpy(to + n, text, len);
	to[n + len] = 0;
}

static void on_touch(struct call *c, const struct store_key *key, unsigned kinds, unsigned class, const char *event)
{
	if (events[0])
		append(events, sizeof events, " ", 1);
	if (c->op.db)
		append(events, sizeof events, (char[]){ (char)('0' + c->op.db), '/' }, 2);
	append(events, sizeof events, event ? event : "*", event ? strlen(event) : 1);
	if (key) {
		append(events, sizeof events, ":", 1);
		append(events, sizeof events, key->ptr, key->len);
	}
	if (!(kinds & TOUCH_CHANGE))
		append(events, sizeof events, "?", 1);
	ck_assert(!event || class != 0);
}

/* RESP commands as text: arguments with blanks between, commands with "; ". */
static void print_journal(const char *bytes, size_t len)
{
	const char *end = bytes + len;
	journal[0] = 0;
	while (bytes < end) {
		char *rest;
		unsigned long n = strtoul(bytes + 1, &rest, 10);
		if (journal[0])
			append(journal, sizeof journal, "; ", 2);
		bytes = rest + 2;
		for (unsigned long i = 0; i < n; i++) {
			size_t size = strtoul(bytes + 1, &rest, 10);
			if (i)
				append(journal, sizeof journal, " ", 1);
			append(journal, sizeof journal, rest + 2, size);
			bytes = rest + 2 + size + 2;
		}
	}
}

static void on_removed(void *ctx, struct store_op *op, enum store_removal why, const struct store_key *key,
                       const struct entry *e)
{
	(void)ctx;
	(void)op;
	(void)why;
	(void)e;
	if (events[0])
		append(events, sizeof events, " ", 1);
	append(events, sizeof events, "expired:", 8);
	append(events, sizeof events, key->ptr, key->len);
}

/* Run a line; events and journal hold what it did. Returns the reply's bytes. */
static const char *run(const char *line)
{
	static struct reply reply;
	struct resp_bytes words[32];
	struct arg argv[32];
	struct command *container;
	size_t len;
	int n = resp_split(line, words, 32);
	ck_assert_int_gt(n, 0);
	for (int i = 0; i < n; i++)
		argv[i] = (struct arg){ words[i].ptr, words[i].len };
	events[0] = journal[0] = 0;
	effects_reset(&effects);
	reply_clear(&reply);
	reply_init_memory(&reply, 2);
	struct call c = { .argv = argv, .argc = (unsigned)n, .cmd = command_lookup(argv, (unsigned)n, &container),
		              .client = client, .reply = &reply, .effects = &effects, .replaying = replaying, .alone = true };
	ck_assert_ptr_nonnull(c.cmd);
	ck_assert(command_arity_ok(c.cmd, c.argc));
	c.op = (struct store_op){ .store = store, .db = db, .now_ms = now_ms, .exclusive = true,
		                      .show_expired = replaying,
		                      .access_clock = store_access_clock(STORE_ACCESS_LRU, now_ms) };
	c.cmd->run(&c);
	ck_assert_uint_eq(c.op.db, db);
	if (c.dirty && !effects.replaced && !c.no_journal)
		effects_add(&effects, c.argc, c.argv);
	if (effects_count(&effects)) {
		const char *bytes = effects_bytes(&effects, &len);
		print_journal(bytes, len);
	}
	for (int i = 0; i < n; i++)
		free((char *)(uintptr_t)words[i].ptr);
	reply_raw(&reply, "", 1);
	return reply_bytes(&reply, &len);
}

static void setup(void)
{
	static bool once;
	struct store_options o;
	char *error = NULL;
	int err;
	if (!once) {
		ck_assert_int_eq(config_load(NULL, 0, NULL, &error), 0);
		ck_assert_int_eq(config_override("save", ""), 0); /* FLUSHALL saves where there are save points */
		ck_assert_int_eq(command_init(), 0);
		ck_assert_int_eq(stats_init(1, command_count()), 0);
		touch_switch(touch_register(on_touch), true);
		once = true;
	}
	store_options_init(&o);
	o.shards = 4;
	o.hooks.removed = on_removed;
	store = store_open(&o, &err);
	ck_assert_ptr_nonnull(store);
	client = client_new_internal();
	ck_assert_ptr_nonnull(client);
	effects_init(&effects);
	replaying = false;
	now_ms = NOW;
	db = 0;
}

static void teardown(void)
{
	effects_clear(&effects);
	client_free(client);
	store_close(store);
}

struct step {
	const char *line, *events, *journal;
};

static void walk(const struct step *steps, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		const char *reply = run(steps[i].line);
		ck_assert_msg(strcmp(events, steps[i].events) == 0, "%s\nevents %s\n  want %s\n reply %s", steps[i].line, events,
		              steps[i].events, reply);
		const char *want = steps[i].journal && strcmp(steps[i].journal, "=") == 0 ? steps[i].line : steps[i].journal;
		ck_assert_msg(strcmp(journal, want) == 0, "%s\njournal %s\n   want %s", steps[i].line, journal, want);
	}
}
#define WALK(...) \
	walk((const struct step[]){ __VA_ARGS__ }, sizeof((const struct step[]){ __VA_ARGS__ }) / sizeof(struct step))

START_TEST(test_strings)
{
	WALK({ "GET k", "keymiss:k?", "" },
	     { "SET k v", "new:k? set:k", "=" },
	     { "SET k v", "set:k", "=" },
	     { "GET k", "", "" },
	     { "SET k v NX", "", "" },
	     { "SET k v XX", "set:k", "=" },
	     { "SET k v XX GET", "set:k", "SET k v XX" },
	     { "SET k v GET KEEPTTL", "set:k", "SET k v KEEPTTL" },
	     { "SET k v EX 5", "set:k expire:k?", "SET k v PXAT 1005000" },
	     { "SET k v PX 5 GET", "set:k expire:k?", "SET k v PXAT 1000005" },
	     { "SET k v EXAT 2000 XX", "set:k expire:k?", "SET k v PXAT 2000000" },
	     { "SET k v EX x", "", "" },
	     { "SETEX k 5 v", "set:k expire:k?", "SET k v PXAT 1005000" },
	     { "PSETEX k 5 v", "set:k expire:k?", "SET k v PXAT 1000005" },
	     { "SETNX k v", "", "" },
	     { "SETNX n v", "new:n? set:n", "=" },
	     { "GETSET n w", "set:n", "SET n w" },
	     { "GETDEL n", "del:n", "DEL n" },
	     { "GETDEL n", "keymiss:n?", "" },
	     { "GETEX k", "", "" },
	     { "GETEX k EX 5", "expire:k", "PEXPIREAT k 1005000" },
	     { "GETEX k PERSIST", "persist:k", "PERSIST k" },
	     { "GETEX k PERSIST", "", "" },
	     { "GETEX k PXAT 1", "del:k", "DEL k" },
	     { "MSET a 1 b 2 a 3", "new:a? set:a new:b? set:b set:a", "=" },
	     { "MSETNX a 1 c 2", "", "" },
	     { "MSETNX c 1 c 2", "new:c? set:c set:c", "=" });
}
END_TEST

START_TEST(test_changes)
{
	WALK({ "APPEND k ab", "new:k? append:k", "=" },
	     { "APPEND k c", "append:k", "=" },
	     { "SETRANGE k 1 x", "setrange:k", "=" },
	     { "SETRANGE k 1 \"\"", "", "" },
	     { "SETRANGE r 1 x", "new:r? setrange:r", "=" },
	     { "STRLEN k", "", "" },
	     { "INCR n", "new:n? incrby:n", "=" },
	     { "INCRBY n 5", "incrby:n", "=" },
	     { "DECR n", "incrby:n", "=" },
	     { "DECRBY n 5", "incrby:n", "=" },
	     { "INCR k", "", "" },
	     { "INCRBYFLOAT n 0.5", "incrbyfloat:n", "SET n 0.5 KEEPTTL" },
	     { "INCRBYFLOAT f 3", "new:f? incrbyfloat:f", "SET f 3 KEEPTTL" },
	     { "INCRBYFLOAT f x", "", "" },
	     { "LCS k r", "", "" });
}
END_TEST

START_TEST(test_expiry)
{
	WALK({ "EXPIRE k 5", "", "" },
	     { "SET k v", "new:k? set:k", "=" },
	     { "EXPIRE k 5", "expire:k", "PEXPIREAT k 1005000" },
	     { "PEXPIRE k 5", "expire:k", "PEXPIREAT k 1000005" },
	     { "EXPIREAT k 2000", "expire:k", "PEXPIREAT k 2000000" },
	     { "PEXPIREAT k 2000", "del:k", "DEL k" },
	     { "SET k v", "new:k? set:k", "=" },
	     { "PEXPIREAT k 2000000", "expire:k", "=" },
	     { "EXPIRE k 5 NX", "", "" },
	     { "EXPIRE k 5 xx LT", "expire:k", "PEXPIREAT k 1005000 XX LT" },
	     { "EXPIRE k 6 GT", "expire:k", "PEXPIREAT k 1006000 GT" },
	     { "TTL k", "", "" },
	     { "PERSIST k", "persist:k", "=" },
	     { "PERSIST k", "", "" },
	     { "EXPIRE k -1", "del:k", "DEL k" },
	     { "TTL k", "keymiss:k?", "" },
	     { "TYPE k", "keymiss:k?", "" });
}
END_TEST

START_TEST(test_keys)
{
	WALK({ "MSET a 1 b 2 c 3", "new:a? set:a new:b? set:b new:c? set:c", "=" },
	     { "DEL a x a", "del:a", "=" },
	     { "UNLINK b c", "del:b del:c", "=" },
	     { "DEL a", "", "" },
	     { "SET a 1", "new:a? set:a", "=" },
	     { "EXISTS a x", "keymiss:x?", "" },
	     { "TOUCH a x", "keymiss:x?", "" },
	     { "OBJECT ENCODING x", "", "" },
	     { "RENAME a b", "new:b? rename_from:a rename_to:b", "=" },
	     { "RENAME b b", "", "" },
	     { "RENAMENX b c", "new:c? rename_from:b rename_to:c", "=" },
	     { "COPY c d", "new:d? copy_to:d", "=" },
	     { "COPY c d", "", "" },
	     { "COPY c d REPLACE", "new:d? copy_to:d", "=" },
	     { "COPY c e DB 2", "2/new:e? 2/copy_to:e", "=" },
	     { "MOVE c 3", "3/new:c? move_from:c 3/move_to:c", "=" },
	     { "MOVE c 3", "", "" },
	     { "SWAPDB 0 2", "* 2/*", "=" },
	     { "EXISTS e", "", "" });
	db = 9;
	WALK({ "FLUSHDB", "9/*", "=" }, { "FLUSHDB ASYNC", "9/*", "=" });
	run("FLUSHALL");
	ck_assert_str_eq(journal, "FLUSHALL");
	db = 2;
	ck_assert_str_eq(run("DBSIZE"), ":0\r\n");
}
END_TEST

START_TEST(test_lazy_expiry)
{
	WALK({ "SET k v PX 5", "new:k? set:k expire:k?", "SET k v PXAT 1000005" });
	WALK({ "GET k", "", "" });
	now_ms += 5;
	WALK({ "GET k", "", "" }); /* the last millisecond is still its own */
	now_ms++;
	WALK({ "GET k", "expired:k keymiss:k?", "" }, { "GET k", "keymiss:k?", "" },
	     { "SET k v PXAT 1", "new:k? set:k expire:k?", "=" }, { "SET k v NX", "expired:k new:k? set:k", "=" },
	     { "SET k v PXAT 1", "set:k expire:k?", "=" }, { "MOVE k 1", "expired:k", "" });
}
END_TEST

/* While a journal is replayed, times that have passed since decide nothing. */
START_TEST(test_replaying)
{
	replaying = true;
	WALK({ "SET k v", "new:k? set:k", "=" }, { "PEXPIREAT k 5", "expire:k", "=" });
	ck_assert_str_eq(run("GET k"), "$1\r\nv\r\n");
	WALK({ "PERSIST k", "persist:k", "=" });
	ck_assert_str_eq(run("EXISTS k"), ":1\r\n");
}
END_TEST

START_TEST(test_lists)
{
	WALK({ "LPUSH k a b c", "new:k? lpush:k", "=" },
	     { "LPUSHX n a", "", "" },
	     { "RPUSHX k d", "rpush:k", "=" },
	     { "LINSERT k BEFORE a x", "linsert:k", "=" },
	     { "LINSERT k BEFORE none x", "", "" },
	     { "LSET k 0 y", "lset:k", "=" },
	     { "LSET k 99 y", "", "" },
	     { "LREM k 0 x", "lrem:k", "=" },
	     { "LREM k 0 none", "", "" },
	     { "LPOP k", "lpop:k", "=" },
	     { "RPOP k 2", "rpop:k", "=" },
	     { "LPOP k 0", "", "" },
	     { "LTRIM k 0 -1", "ltrim:k", "" },
	     { "LTRIM k 5 6", "ltrim:k del:k?", "=" },
	     { "RPUSH a 1 2 3", "new:a? rpush:a", "=" },
	     { "RPOPLPUSH a b", "new:b? lpush:b rpop:a", "=" },
	     { "LMOVE a b LEFT LEFT", "lpush:b lpop:a", "=" },
	     { "LMOVE a b LEFT RIGHT", "rpush:b lpop:a del:a?", "=" },
	     { "LMOVE b b LEFT RIGHT", "rpush:b lpop:b", "=" },
	     { "LMPOP 2 x b LEFT COUNT 2", "lpop:b", "LPOP b 2" },
	     { "LMPOP 2 x b RIGHT COUNT 9", "rpop:b del:b?", "RPOP b 1" },
	     { "LMPOP 1 x LEFT", "", "" },
	     { "RPUSH z 1 1", "new:z? rpush:z", "=" },
	     { "LREM z -1 1", "lrem:z", "=" },
	     { "LREM z 0 1", "lrem:z del:z?", "=" },
	     { "LRANGE z 0 -1", "keymiss:z?", "" });
}
END_TEST

START_TEST(test_hashes)
{
	WALK({ "HSET k a 1 b 2", "new:k? hset:k", "=" },
	     { "HMSET k c x", "hset:k", "=" },
	     { "HSETNX k a 1", "", "" },
	     { "HSETNX k d 1", "hset:k", "=" },
	     { "HINCRBY k a 5", "hincrby:k", "=" },
	     { "HINCRBY k c 1", "", "" },
	     { "HINCRBY n a 5", "new:n? hincrby:n", "=" },
	     { "HINCRBYFLOAT k a 0.5", "hincrbyfloat:k", "HSET k a 6.5" },
	     { "HINCRBYFLOAT m a 3", "new:m? hincrbyfloat:m", "HSET m a 3" },
	     { "HINCRBYFLOAT m a inf", "", "" },
	     { "HDEL k a none b", "hdel:k", "=" },
	     { "HDEL k none", "", "" },
	     { "HDEL k c d", "hdel:k del:k?", "=" },
	     { "HDEL k c d", "", "" },
	     { "HGETALL k", "keymiss:k?", "" },
	     { "HSCAN k 0", "keymiss:k?", "" });
}
END_TEST

START_TEST(test_sets)
{
	WALK({ "SADD k a b c", "new:k? sadd:k", "=" },
	     { "SADD k a", "", "" },
	     { "SADD k d a", "sadd:k", "=" },
	     { "SREM k a none", "srem:k", "=" },
	     { "SREM k none", "", "" },
	     { "SMOVE k o b", "srem:k new:o? sadd:o", "=" },
	     { "SMOVE k o none", "", "" },
	     { "SMOVE k k c", "", "" },
	     { "SADD o c", "sadd:o", "=" },
	     { "SMOVE k o c", "srem:k", "=" },
	     { "SPOP k", "spop:k del:k?", "SREM k d" },
	     { "SPOP k", "", "" },
	     { "SPOP o 0", "", "" },
	     { "SPOP o 9", "spop:o del:o?", "DEL o" },
	     { "SPOP o 9", "", "" },
	     { "SADD a 1 2 3", "new:a? sadd:a", "=" },
	     { "SADD b 2 3 4", "new:b? sadd:b", "=" },
	     { "SINTERSTORE d a b", "new:d? sinterstore:d", "=" },
	     { "SUNIONSTORE d a b", "sunionstore:d", "=" },
	     { "SDIFFSTORE d a b", "sdiffstore:d", "=" },
	     { "SDIFFSTORE d a a", "del:d", "=" },
	     { "SDIFFSTORE d a a", "", "" },
	     { "SINTERSTORE d a none", "keymiss:none?", "" },
	     { "SET d x", "new:d? set:d", "=" },
	     { "SUNIONSTORE d a none", "keymiss:none? sunionstore:d", "=" },
	     { "SINTERCARD 2 none a", "keymiss:none?", "" },
	     { "SADD e 1", "new:e? sadd:e", "=" },
	     { "SMOVE e f 1", "srem:e del:e? new:f? sadd:f", "=" });
}
END_TEST

/* SPOP is journaled as what went, in parts; who replays that is left with the same members. */
START_TEST(test_spop_journal)
{
	char line[64];
	for (int set = 0; set < 3; set++) {
		run("DEL k copy");
		for (int i = 0; i < (set == 2 ? 1000 : 100); i++) {
			snprintf(line, sizeof line, set == 0 ? "SADD k %d" : "SADD k m%d", i);
			run(line);
		}
		run("SUNIONSTORE copy k");
		run(set == 2 ? "SPOP k 25" : "SPOP k 20");
		ck_assert_str_eq(events, "spop:k");
		ck_assert_int_eq(strncmp(journal, "SREM k ", 7), 0);
		char replay[sizeof journal + 16];
		snprintf(replay, sizeof replay, "SREM copy %s", journal + 7);
		ck_assert_str_eq(run(replay), set == 2 ? ":25\r\n" : ":20\r\n");
		ck_assert_str_eq(run("SDIFF copy k"), "*0\r\n");
		ck_assert_str_eq(run("SDIFF k copy"), "*0\r\n");
	}
}
END_TEST

int main(void)
{
	Suite *s = suite_create("commands");
	TCase *tc = tcase_create("commands");
	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, test_strings);
	tcase_add_test(tc, test_changes);
	tcase_add_test(tc, test_expiry);
	tcase_add_test(tc, test_keys);
	tcase_add_test(tc, test_lazy_expiry);
	tcase_add_test(tc, test_replaying);
	tcase_add_test(tc, test_lists);
	tcase_add_test(tc, test_hashes);
	tcase_add_test(tc, test_sets);
	tcase_add_test(tc, test_spop_journal);
	suite_add_tcase(s, tc);
	return suite_run(s);
}
