/* Hashes that share the names of their fields: less memory, and nothing else that anybody could see. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/lib/expect.h"

#define DEBUG_ON "enable-debug-command yes\n"
#define OK "+OK\r\n"

static int64_t ask_int_f(struct resp_client *of, const char *format, const char *kind, int i)
{
	char line[256];
	snprintf(line, sizeof line, format, kind, i, i, i);
	return ask_int(of, line);
}

static void expect_int_f(struct resp_client *of, const char *format, const char *kind, int i, int64_t want)
{
	ck_assert_int_eq(ask_int_f(of, format, kind, i), want);
}

static int64_t memory(const char *kind, int i)
{
	return ask_int_f(c, "MEMORY USAGE %s:%d", kind, i);
}

/* Malloc'ed: the reply as printable text. */
static char *ask_text(struct resp_client *of, const char *format, const char *kind, int i)
{
	char line[256];
	struct resp_bytes r;
	snprintf(line, sizeof line, format, kind, i, i);
	ck_assert(resp_send(of, line) && resp_read(of, &r));
	return resp_printable(r.ptr, r.len);
}

/* Five fields, one command each; the last name is the kind's own. */
static void one_by_one(struct resp_client *to, const char *kind, int from, int end)
{
	char line[256];
	for (int i = from; i < end; i++) {
		const struct {
			const char *name, *value;
		} fields[] = { { "customer-id", "7%d" }, { "first-name", "first%d" }, { "12", "%d" }, { "empty", "" },
			       { "postal-address", "address of %d" } };
		for (int f = 0; f < 5; f++) {
			char value[32];
			snprintf(value, sizeof value, fields[f].value, i);
			snprintf(line, sizeof line, "HSET %s:%d %s \"%s\"", kind, i, fields[f].name, value);
			expect_int(to, line, 1);
		}
	}
}

static void at_once(struct resp_client *to, const char *kind, int from, int end)
{
	char line[256];
	for (int i = from; i < end; i++) {
		snprintf(line, sizeof line,
		         "HSET %s:%d customer-id 7%d first-name first%d 12 %d empty \"\" postal-address \"address of %d\"", kind, i, i,
		         i, i, i);
		expect_int(to, line, 5);
	}
}

enum { MANY = 100, LAST = MANY - 1 };

static void make_all(void)
{
	expect(c, "CONFIG SET hash-share-fields no", OK);
	at_once(c, "off", 0, MANY);
	expect(c, "CONFIG SET hash-share-fields yes", OK);
	one_by_one(c, "one", 0, MANY);
	at_once(c, "all", 0, MANY);
	ck_assert_int_le(memory("one", LAST), memory("off", LAST) - 30);
	ck_assert_int_eq(memory("all", LAST), memory("one", LAST));
}

static const char *const questions[] = {
	"DUMP %s:%d", "OBJECT ENCODING %s:%d", "HGETALL %s:%d", "HKEYS %s:%d", "HVALS %s:%d", "HLEN %s:%d", "HSCAN %s:%d 0",
	"HGET %s:%d 12", "HGET %s:%d none", "HMGET %s:%d empty postal-address none 12", "HSTRLEN %s:%d first-name",
	"HEXISTS %s:%d customer-id", "HEXISTS %s:%d 13", "HRANDFIELD %s:%d 50 WITHVALUES", "DEBUG DIGEST-VALUE %s:%d",
	"TYPE %s:%d",
};

static void expect_same(const char *kind, const char *as, int i)
{
	for (size_t q = 0; q < sizeof questions / sizeof *questions; q++) {
		char *got = ask_text(c, questions[q], kind, i), *want = ask_text(c, questions[q], as, i);
		ck_assert_str_eq(got, want);
		free(got);
		free(want);
	}
}

START_TEST(nothing_else_is_seen)
{
	char line[256];
	make_all();
	ck_assert_int_ge(info_int(c, "memory", "hash_shapes"), 3);
	for (int i = 0; i < MANY; i += 9) {
		expect_same("one", "off", i);
		expect_same("all", "off", i);
	}
	snprintf(line, sizeof line, "COPY one:%d copied:%d", LAST, LAST);
	expect_int(c, line, 1);
	expect_same("copied", "off", LAST);
	ck_assert_int_le(memory("copied", LAST), memory("off", LAST) - 30);
	expect(c, "RPUSH ids 99 5", ":2\r\n");
	expect(c, "SORT ids BY one:*->12 GET one:*->postal-address GET one:*->none",
	       "*4\r\n$12\r\naddress of 5\r\n$-1\r\n$13\r\naddress of 99\r\n$-1\r\n");
	expect(c, "DEBUG LISTPACK one:99", "+Listpack structure printed on stdout\r\n");
	ck_assert(proc_wait_log(&server, "10 elements", 10000));
}
END_TEST

/* What was dumped is restored with a shape. */
START_TEST(restored)
{
	make_all();
	struct resp_value *v = resp_ask(c, "DUMP off:99");
	ck_assert_ptr_nonnull(v);
	for (int i = 0; i < MANY; i++) {
		char key[32];
		int len = snprintf(key, sizeof key, "new:%d", i);
		struct resp_bytes argv[] = { { "RESTORE", 7 }, { key, (size_t)len }, { "0", 1 }, { v->text, v->len } };
		ck_assert(resp_send_argv(c, 4, argv));
		expect_reply(c, OK);
	}
	resp_value_free(v);
	expect_same("new", "off", LAST);
	ck_assert_int_eq(memory("new", LAST), memory("one", LAST));
	ck_assert_int_le(memory("new", LAST), memory("off", LAST) - 30);
}
END_TEST

/* Each change to one with a shape and to one without. */
START_TEST(changes)
{
	static const char *const lines[] = {
		"HDEL %s:%d none", "HSET %s:%d 12 5", "HSET %s:%d 12 \"a longer value\"", "HINCRBY %s:%d 12 1", "HSET %s:%d 12 77",
		"HINCRBY %s:%d 12 -100", "HINCRBYFLOAT %s:%d 12 0.5", "HSETNX %s:%d 12 1", "HSETNX %s:%d other 1",
		"HSET %s:%d new 1 12 2 newer 3", "HDEL %s:%d none 12", "HMSET %s:%d first-name x customer-id y", "HSET %s:%d empty x",
		"HDEL %s:%d customer-id first-name", "HSET %s:%d customer-id 799 first-name x 12 99 empty \"\" postal-address \"address of 99\"",
		"HMSET %s:%d customer-id 1 first-name 2 12 3 empty 4 postal-address 5", "HSET %s:%d customer-id 1 customer-id 2 12 3",
		"HSET %s:%d customer-id 1 first-name 2 12 3 empty 4 postal-address 6", "HSET %s:%d a 1", "HDEL %s:%d empty postal-address other new newer a customer-id first-name 12",
	};
	make_all();
	for (size_t i = 0; i < sizeof lines / sizeof *lines; i++) {
		/* One after the other on one hash; and each alone. */
		int alone = (int)i + 50;
		for (int k = LAST; k >= 0; k = k == LAST ? alone : -1) {
			char *got = ask_text(c, lines[i], "one", k), *want = ask_text(c, lines[i], "off", k);
			char *exists = ask_text(c, "EXISTS %s:%d", "one", k);
			ck_assert_str_eq(got, want);
			if (!strncmp(exists, ":1", 2))
				expect_same("one", "off", k);
			free(exists);
			free(got);
			free(want);
		}
	}
	expect_int(c, "EXISTS one:99 off:99", 0);
}
END_TEST

/* Another field takes all to the next shape, in place, and beyond the limits to a table. */
START_TEST(growing)
{
	char line[300], value[80];
	make_all();
	for (int i = 0; i < MANY; i++) {
		expect_int_f(c, "HSET %s:%d street s%d", "one", i, 1);
		expect_int_f(c, "HSET %s:%d street s%d", "off", i, 1);
	}
	ck_assert_int_le(memory("one", LAST), memory("off", LAST) - 36);
	expect_same("one", "off", LAST);
	expect_same("one", "off", 0);
	memset(value, 'v', 65);
	value[65] = 0;
	snprintf(line, sizeof line, "HSET one:99 street %s", value);
	expect_int(c, line, 0);
	expect_bulk(c, "OBJECT ENCODING one:99", "hashtable");
	expect_bulk(c, "HGET one:99 street", value);
	expect_bulk(c, "HGET one:99 12", "99");
	expect_int(c, "HLEN one:99", 6);
	expect(c, "CONFIG SET hash-max-listpack-entries 6", OK);
	expect_int(c, "HSET one:98 more 1", 1);
	expect_bulk(c, "OBJECT ENCODING one:98", "hashtable");
	expect_int(c, "HLEN one:98", 7);
	expect(c, "CONFIG SET hash-max-listpack-entries 512", OK);
	/* Off: what has a shape keeps it until it gets another field. */
	expect(c, "CONFIG SET hash-share-fields no", OK);
	expect_int(c, "HSET one:97 12 1", 0);
	expect_int(c, "HSET off:97 12 1", 0);
	ck_assert_int_le(memory("one", 97), memory("off", 97) - 36);
	expect_int(c, "HSET one:97 more 1", 1);
	expect_int(c, "HSET off:97 more 1", 1);
	ck_assert_int_eq(memory("one", 97), memory("off", 97));
	expect(c, "CONFIG SET hash-share-fields yes", OK);
}
END_TEST

static char *digest(struct resp_client *of)
{
	struct resp_value *v = resp_ask(of, "DEBUG DIGEST");
	char *text = strdup(v->text);
	resp_value_free(v);
	return text;
}

static void reload(const char *config, const char *save)
{
	struct proc p;
	char dir[sizeof p.dir], command[200];
	own_server(&p, config);
	struct resp_client *a = connect_to(&p);
	at_once(a, "all", 0, 500);
	one_by_one(a, "one", 0, 100);
	char *want = digest(a);
	int64_t shared = ask_int(a, "MEMORY USAGE all:499");
	expect_any(a, save);
	if (!strncmp(save, "BG", 2)) {
		while (info_int(a, "persistence", "aof_rewrites") < 1 || info_int(a, "persistence", "aof_rewrite_in_progress"))
			usleep(1000);
		at_once(a, "later", 0, 20);
		free(want);
		want = digest(a);
	}
	snprintf(dir, sizeof dir, "%s", p.dir);
	p.keep_dir = true;
	expect(a, "CONFIG SET hash-share-fields no", OK);
	expect_int(a, "DEL off:499", 0);
	at_once(a, "off", 499, 500);
	int64_t alone = ask_int(a, "MEMORY USAGE off:499");
	expect_int(a, "DEL off:499", 1);
	resp_close(a);
	ck_assert_int_eq(proc_stop(&p), 0);
	ck_assert_int_eq(proc_start(&p, &(struct proc_spec){ .config = config, .dir = dir }), 0);
	ck_assert(proc_wait_log(&p, "Ready to accept connections", 20000));
	a = connect_to(&p);
	char *got = digest(a);
	ck_assert_str_eq(got, want);
	/* Whichever thread has loaded it: most have their shape again. */
	int64_t sum = 0;
	for (int i = 0; i < 500; i++)
		sum += ask_int_f(a, "MEMORY USAGE %s:%d", "all", i);
	ck_assert_int_lt(shared + 20, alone);
	ck_assert_int_lt(sum, 500 * (shared + alone) / 2);
	free(want);
	free(got);
	resp_close(a);
	ck_assert_int_eq(proc_stop(&p), 0);
	snprintf(command, sizeof command, "rm -r %s", dir);
	ck_assert_int_eq(system(command), 0);
}

START_TEST(restart_with_rdb)
{
	reload(DEBUG_ON, "SAVE");
}
END_TEST

START_TEST(restart_with_log)
{
	reload(DEBUG_ON "appendonly yes\naof-use-rdb-preamble yes\n", "BGREWRITEAOF");
}
END_TEST

START_TEST(restart_with_log_of_commands)
{
	reload(DEBUG_ON "appendonly yes\naof-use-rdb-preamble no\n", "BGREWRITEAOF");
}
END_TEST

/* Every hash is as it was when the save began: changes meanwhile go to copies, or come after it was written. */
START_TEST(writes_while_saving)
{
	struct proc p;
	own_server(&p, DEBUG_ON "rdb-key-save-delay 100\n");
	struct resp_client *a = connect_to(&p);
	at_once(a, "all", 0, 3000);
	char *want = digest(a);
	expect_prefix(a, "BGSAVE", "+Background saving started");
	for (int i = 2999; i >= 0; i--) {
		if (i % 3 == 0)
			expect_int_f(a, "HSET %s:%d 12 changed%d", "all", i, 0);
		else if (i % 3 == 1)
			expect_int_f(a, "HSET %s:%d extra changed%d", "all", i, 1);
		else
			expect_int_f(a, "HDEL %s:%d 12", "all", i, 1);
	}
	ck_assert(proc_wait_log(&p, "Background saving terminated with success", 60000));
	expect(a, "CONFIG SET rdb-key-save-delay 0", OK);
	char *changed = digest(a);
	ck_assert_str_ne(changed, want);
	expect(a, "DEBUG RELOAD NOSAVE", OK);
	char *got = digest(a);
	ck_assert_str_eq(got, want);
	free(changed);
	free(want);
	free(got);
	resp_close(a);
	ck_assert_int_eq(proc_stop(&p), 0);
	proc_clean(&p);
}
END_TEST

START_TEST(directive)
{
	struct proc p;
	own_server(&p, "hash-share-fields no\n");
	struct resp_client *a = connect_to(&p);
	expect(a, "CONFIG GET hash-share-fields", "*2\r\n$17\r\nhash-share-fields\r\n$2\r\nno\r\n");
	at_once(a, "all", 0, 50);
	ck_assert_int_eq(info_int(a, "memory", "hash_shapes"), 0);
	resp_close(a);
	ck_assert_int_eq(proc_stop(&p), 0);
	proc_clean(&p);
	expect(c, "CONFIG SET hash-share-fields maybe",
	       "-ERR CONFIG SET failed (possibly related to argument 'hash-share-fields') - argument must be 'yes' or 'no'\r\n");
}
END_TEST

COMMAND_TESTS_WITH("hash_shape", DEBUG_ON, nothing_else_is_seen, restored, changes, growing, restart_with_rdb, restart_with_log,
                   restart_with_log_of_commands, writes_while_saving, directive)
