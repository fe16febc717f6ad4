#include <stdio.h>
#include <string.h>
#include <time.h>

#include "tests/lib/expect.h"

#define ZEROS "+0000000000000000000000000000000000000000\r\n"

START_TEST(digests_as_redis)
{
	expect(c, "DEBUG DIGEST", ZEROS);
	expect(c, "MSET a 12345 b hello", "+OK\r\n");
	expect(c, "DEBUG DIGEST", "+fecd69ddcfcd155b83e563ece6513972eb0fa163\r\n");
	expect(c, "DEBUG DIGEST-VALUE a nosuch b",
	       "*3\r\n+e1cf90774e995ae03de66e8109dc5cb9d9c2dc83\r\n" ZEROS "+36b23a1456b2dce2c3ed252c456761301dba8060\r\n");
	expect(c, "DEBUG DIGEST-VALUE", "*0\r\n");
	expect(c, "SET a 100 EX 1000", "+OK\r\n");
	expect(c, "DEBUG DIGEST-VALUE a", "*1\r\n+dbc42a36926905188c4fb4121156a5ac5410906a\r\n");
	expect(c, "FLUSHALL", "+OK\r\n");
	expect(c, "DEBUG DIGEST", ZEROS);
}
END_TEST

/* Scores in the fewest digits, as from 7.2 on. */
START_TEST(digest_of_scores)
{
	expect_int(c, "ZADD z 0.1 a 1e15 b 1e-10 c -1.7976931348623157e308 d 4503599627370497.5 e", 5);
	expect(c, "DEBUG DIGEST-VALUE z", "*1\r\n+39140793270fd76b2a0648487053e1048204ba10\r\n");
}
END_TEST

/* The same keys, times to live and databases here and there: the same digest. */
START_TEST(digest_beside_the_oracle)
{
	struct proc oracle;
	if (proc_start(&oracle, &(struct proc_spec){ .oracle = true }))
		ck_abort_msg("the server to compare with does not start");
	struct resp_client *o = connect_to(&oracle);
	struct resp_client *both[] = { c, o };
	for (int k = 0; k < 2; k++) {
		char line[128];
		for (int i = 0; i < 3000; i++) {
			snprintf(line, sizeof line, "SELECT %d", i % 5);
			expect(both[k], line, "+OK\r\n");
			snprintf(line, sizeof line, "SET key:%d %.*s%d%s", i, i % 100,
			         "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx", i,
			         i % 3 ? "" : " EX 1000");
			expect(both[k], line, "+OK\r\n");
		}
		expect_prefix(both[k], "APPEND key:3 more", ":");
		expect_prefix(both[k], "SETRANGE new 70000 x", ":70001\r\n");
		expect_prefix(both[k], "INCRBYFLOAT float 10.5", "$4\r\n10.5\r\n");
	}
	struct resp_value *want = resp_ask(o, "DEBUG DIGEST"), *got = resp_ask(c, "DEBUG DIGEST");
	ck_assert(want && got && want->type == '+');
	ck_assert_str_eq(got->text, want->text);
	resp_value_free(want);
	resp_value_free(got);
	resp_close(o);
	ck_assert_int_eq(proc_stop(&oracle), 0);
}
END_TEST

START_TEST(object)
{
	expect(c, "MSET int 12 small hello i16 1000 i32 100000 i64 10000000000", "+OK\r\n");
	static const char *const want[][2] = {
		{ "int", " encoding:int serializedlength:2 lru:" },     { "small", " encoding:embstr serializedlength:6 lru:" },
		{ "i16", " encoding:int serializedlength:3 lru:" },     { "i32", " encoding:int serializedlength:5 lru:" },
		{ "i64", " encoding:int serializedlength:12 lru:" },    { "big", " encoding:raw serializedlength:13 lru:" },
	};
	expect(c, "SET big xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx", "+OK\r\n");
	for (size_t i = 0; i < sizeof want / sizeof *want; i++) {
		char line[64];
		snprintf(line, sizeof line, "DEBUG OBJECT %s", want[i][0]);
		struct resp_value *v = resp_ask(c, line);
		ck_assert(v && v->type == '+' && !strncmp(v->text, "Value at:0x", 11));
		ck_assert_msg(strstr(v->text, want[i][1]) != NULL, "%s: %s", want[i][0], v->text);
		resp_value_free(v);
	}
	expect(c, "DEBUG OBJECT nosuch", "-ERR no such key\r\n");
}
END_TEST

START_TEST(populate)
{
	expect(c, "SET key:3 mine", "+OK\r\n");
	expect(c, "DEBUG POPULATE 5", "+OK\r\n");
	expect(c, "DBSIZE", ":5\r\n");
	expect_bulk(c, "GET key:0", "value:0");
	expect_bulk(c, "GET key:3", "mine");
	expect(c, "DEBUG POPULATE 2 p 10", "+OK\r\n");
	expect(c, "GET p:1", "$10\r\nvalue:1\0\0\0\r\n");
	expect(c, "DEBUG POPULATE 1 q 2", "+OK\r\n");
	expect_bulk(c, "GET q:0", "va");
	expect(c, "DEBUG POPULATE 0", "+OK\r\n");
	expect(c, "DEBUG POPULATE x", "-ERR value is out of range, must be positive\r\n");
	expect(c, "DEBUG POPULATE -1", "-ERR value is out of range, must be positive\r\n");
	expect(c, "DEBUG POPULATE 1 r -5", "-ERR value is out of range, must be positive\r\n");
	expect(c, "DEBUG POPULATE 1 r 9223372036854775807", "-ERR prefix or size is too large\r\n");
	expect(c, "DEBUG POPULATE", "-ERR unknown subcommand or wrong number of arguments for 'POPULATE'. Try DEBUG HELP.\r\n");
	expect(c, "DBSIZE", ":8\r\n");
}
END_TEST

START_TEST(protocol_2)
{
	expect_bulk(c, "DEBUG PROTOCOL string", "Hello World");
	expect_int(c, "DEBUG PROTOCOL integer", 12345);
	expect_bulk(c, "DEBUG PROTOCOL double", "3.141");
	expect(c, "DEBUG PROTOCOL null", "$-1\r\n");
	expect(c, "DEBUG PROTOCOL array", "*3\r\n:0\r\n:1\r\n:2\r\n");
	expect(c, "DEBUG PROTOCOL set", "*3\r\n:0\r\n:1\r\n:2\r\n");
	expect(c, "DEBUG PROTOCOL map", "*6\r\n:0\r\n:0\r\n:1\r\n:1\r\n:2\r\n:0\r\n");
	expect_bulk(c, "DEBUG PROTOCOL attrib", "Some real reply following the attribute");
	expect(c, "DEBUG PROTOCOL push", "-ERR RESP2 is not supported by this command\r\n");
	expect_bulk(c, "DEBUG PROTOCOL verbatim", "This is a verbatim\nstring");
	expect(c, "DEBUG PROTOCOL true", ":1\r\n");
	expect(c, "DEBUG PROTOCOL false", ":0\r\n");
	expect_bulk(c, "DEBUG PROTOCOL bignum", "1234567999999999999999999999999999999");
	expect(c, "DEBUG PROTOCOL foo", "-ERR Wrong protocol type name. Please use one of the following: string|integer|double|"
	                                "bignum|null|array|set|map|attrib|push|verbatim|true|false\r\n");
}
END_TEST

START_TEST(protocol_3)
{
	expect_any(c, "HELLO 3");
	expect(c, "DEBUG PROTOCOL double", ",3.141\r\n");
	expect(c, "DEBUG PROTOCOL null", "_\r\n");
	expect(c, "DEBUG PROTOCOL set", "~3\r\n:0\r\n:1\r\n:2\r\n");
	expect(c, "DEBUG PROTOCOL map", "%3\r\n:0\r\n#f\r\n:1\r\n#t\r\n:2\r\n#f\r\n");
	expect(c, "DEBUG PROTOCOL attrib", "|1\r\n$14\r\nkey-popularity\r\n*2\r\n$7\r\nkey:123\r\n:90\r\n"
	                                   "$39\r\nSome real reply following the attribute\r\n");
	expect_bulk(c, "DEBUG PROTOCOL push", "Some real reply following the push reply");
	expect_reply(c, ">2\r\n$16\r\nserver-cpu-usage\r\n:42\r\n");
	expect(c, "DEBUG PROTOCOL verbatim", "=29\r\ntxt:This is a verbatim\nstring\r\n");
	expect(c, "DEBUG PROTOCOL true", "#t\r\n");
	expect(c, "DEBUG PROTOCOL bignum", "(1234567999999999999999999999999999999\r\n");
}
END_TEST

START_TEST(switches)
{
	expect(c, "DEBUG SET-ACTIVE-EXPIRE 0", "+OK\r\n");
	expect(c, "SET k v PX 1", "+OK\r\n");
	expect(c, "DEBUG SLEEP 0.4", "+OK\r\n");
	expect(c, "DBSIZE", ":1\r\n"); /* expired, and nobody has looked */
	expect(c, "DEBUG SET-ACTIVE-EXPIRE 1", "+OK\r\n");
	while (ask_int(c, "DBSIZE") != 0)
		; /* until the time limit of the test */
	expect(c, "DEBUG PAUSE-CRON 1", "+OK\r\n");
	expect(c, "DEBUG PAUSE-CRON 0", "+OK\r\n");
	expect(c, "DEBUG REPLYBUFFER RESIZING 0", "+OK\r\n");
	expect(c, "DEBUG REPLYBUFFER PEAK-RESET-TIME NEVER", "+OK\r\n");
	expect(c, "DEBUG REPLYBUFFER PEAK-RESET-TIME 100", "+OK\r\n");
	expect(c, "DEBUG REPLYBUFFER PEAK-RESET-TIME x", "-ERR value is not an integer or out of range\r\n");
	expect(c, "DEBUG STRINGMATCH-LEN a*c abbc", ":1\r\n");
	expect(c, "DEBUG STRINGMATCH-LEN a*c abbd", ":0\r\n");
	expect(c, "DEBUG ERROR \"MY error\\r\\n+OK\"", "-MY error  +OK\r\n");
	expect(c, "DEBUG LOG \"a line for the log\"", "+OK\r\n");
	ck_assert(proc_wait_log(&server, "DEBUG LOG: a line for the log", 5000));
	expect(c, "DEBUG FOO", "-ERR unknown subcommand or wrong number of arguments for 'FOO'. Try DEBUG HELP.\r\n");
	expect(c, "DEBUG", "-ERR wrong number of arguments for 'debug' command\r\n");
	expect_prefix(c, "DEBUG HELP", "*");
}
END_TEST

/* A sleep stops every loop, and nobody's command is lost. */
START_TEST(sleep_stops_all)
{
	struct timespec a, b;
	struct resp_client *others[8];
	for (int i = 0; i < 8; i++)
		others[i] = connect_to(&server);
	clock_gettime(CLOCK_MONOTONIC, &a);
	ck_assert(resp_send(c, "DEBUG SLEEP 0.3"));
	expect_reply(c, "+OK\r\n");
	clock_gettime(CLOCK_MONOTONIC, &b);
	ck_assert_int_ge((b.tv_sec - a.tv_sec) * 1000 + (b.tv_nsec - a.tv_nsec) / 1000000, 299);
	for (int i = 0; i < 8; i++) {
		expect(others[i], "PING", "+PONG\r\n");
		resp_close(others[i]);
	}
	expect(c, "DEBUG SLEEP -1", "+OK\r\n");
	expect(c, "DEBUG SLEEP nan", "+OK\r\n");
	expect(c, "DEBUG SLEEP x", "+OK\r\n");
}
END_TEST

START_TEST(replication_id)
{
	char before[64], *at;
	struct resp_value *v = resp_ask(c, "INFO replication");
	at = strstr(v->text, "master_replid:");
	ck_assert_ptr_nonnull(at);
	snprintf(before, sizeof before, "%.54s", at);
	ck_assert_uint_eq(strspn(before + 14, "0123456789abcdef"), 40);
	resp_value_free(v);
	expect(c, "DEBUG CHANGE-REPL-ID", "+OK\r\n");
	v = resp_ask(c, "INFO replication");
	ck_assert_ptr_null(strstr(v->text, before));
	resp_value_free(v);
}
END_TEST

START_TEST(forbidden_by_default)
{
	struct proc p;
	own_server(&p, "enable-debug-command no\n");
	struct resp_client *a = connect_to(&p);
	expect_prefix(a, "DEBUG SLEEP 0", "-ERR DEBUG command not allowed. If the enable-debug-command option is set to "
	                                  "\"local\", you can run it from a local connection");
	resp_close(a);
	ck_assert_int_eq(proc_stop(&p), 0);
}
END_TEST

COMMAND_TESTS("debug", digests_as_redis, digest_beside_the_oracle, digest_of_scores, object, populate, protocol_2, protocol_3, switches,
              sleep_stops_all, replication_id, forbidden_by_default)
