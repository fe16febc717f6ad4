/* Commands on keys whatever their type, and on databases as a whole. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/lib/expect.h"

#define NOT_INT "-ERR value is not an integer or out of range\r\n"
#define SYNTAX "-ERR syntax error\r\n"
#define SAME "-ERR source and destination objects are the same\r\n"
#define BAD_DB "-ERR DB index is out of range\r\n"
#define NIL "$-1\r\n"
#define OK "+OK\r\n"

START_TEST(test_del_exists_touch)
{
	expect(c, "MSET a 1 b 2 d 3", OK);
	expect_int(c, "EXISTS a b none a", 3);
	expect_int(c, "TOUCH a b none", 2);
	expect_int(c, "DEL a a none", 1);
	expect_int(c, "UNLINK b b d", 2);
	expect_int(c, "DBSIZE", 0);
	expect(c, "TYPE a", "+none\r\n");
	expect(c, "SET a 1", OK);
	expect(c, "TYPE a", "+string\r\n");
	expect(c, "DEL", "-ERR wrong number of arguments for 'del' command\r\n");
	expect(c, "EXISTS", "-ERR wrong number of arguments for 'exists' command\r\n");
}
END_TEST

START_TEST(test_many_keys)
{
	/* More keys than a lock set or a key list holds in place; keys named twice. */
	struct resp_bytes *argv = calloc(601, sizeof *argv);
	char names[300][16];
	argv[0] = (struct resp_bytes){ "MSET", 4 };
	for (int i = 0; i < 300; i++) {
		int n = snprintf(names[i], sizeof names[i], "key:%d", i % 290);
		argv[1 + 2 * i] = argv[2 + 2 * i] = (struct resp_bytes){ names[i], (size_t)n };
	}
	ck_assert(resp_send_argv(c, 601, argv));
	expect_reply(c, OK);
	expect_int(c, "DBSIZE", 290);
	argv[0] = (struct resp_bytes){ "UNLINK", 6 };
	ck_assert(resp_send_argv(c, 601, argv));
	expect_reply(c, ":290\r\n");
	expect_int(c, "DBSIZE", 0);
	free(argv);
}
END_TEST

START_TEST(test_rename)
{
	expect(c, "RENAME none x", "-ERR no such key\r\n");
	expect(c, "RENAME none none", "-ERR no such key\r\n");
	expect(c, "RENAMENX none x", "-ERR no such key\r\n");
	expect(c, "MSET a 1 b 2", OK);
	expect(c, "RENAME a a", OK);
	expect_int(c, "RENAMENX a a", 0);
	expect_int(c, "RENAMENX a b", 0);
	expect_int(c, "EXPIRE a 100", 1);
	expect(c, "RENAME a b", OK);
	expect(c, "GET b", "$1\r\n1\r\n");
	expect_ttl(c, "b", 100);
	expect_int(c, "EXISTS a", 0);
	expect(c, "SET a 3", OK);
	expect(c, "RENAME a b", OK);
	expect_int(c, "TTL b", -1);
	expect_int(c, "RENAMENX b fresh", 1);
	expect(c, "GET fresh", "$1\r\n3\r\n");
	expect_int(c, "DBSIZE", 1);
}
END_TEST

START_TEST(test_copy)
{
	expect_int(c, "COPY none x", 0);
	expect(c, "COPY none none", SAME);
	expect(c, "MSET a 1 b 2", OK);
	expect_int(c, "EXPIRE a 100", 1);
	expect_int(c, "COPY a b", 0);
	expect(c, "GET b", "$1\r\n2\r\n");
	expect_int(c, "COPY a b REPLACE", 1);
	expect(c, "GET b", "$1\r\n1\r\n");
	expect_ttl(c, "b", 100);
	expect_int(c, "COPY a a DB 1", 1);
	expect_int(c, "COPY a a DB 1", 0);
	expect_int(c, "COPY a a REPLACE DB 1", 1);
	expect(c, "COPY a a DB 0", SAME);
	expect(c, "COPY a b DB x", NOT_INT);
	expect(c, "COPY a b DB 16", BAD_DB);
	expect(c, "COPY a b DB -1", BAD_DB);
	expect(c, "COPY a b DB 2147483648",
	       "-ERR value is out of range, value must between -2147483648 and 2147483647\r\n");
	expect(c, "COPY a b FOO", SYNTAX);
	expect(c, "COPY a b DB", SYNTAX);
	/* A copy is a value of its own. */
	expect_int(c, "APPEND b x", 2);
	expect(c, "GET a", "$1\r\n1\r\n");
	expect(c, "SELECT 1", OK);
	expect(c, "GET a", "$1\r\n1\r\n");
	expect_ttl(c, "a", 100);
}
END_TEST

START_TEST(test_move)
{
	expect_int(c, "MOVE none 1", 0);
	expect(c, "SET a 1 EX 100", OK);
	expect(c, "MOVE a 0", SAME);
	expect(c, "MOVE a 16", BAD_DB);
	expect(c, "MOVE a -1", BAD_DB);
	expect(c, "MOVE a x", NOT_INT);
	expect_int(c, "MOVE a 1", 1);
	expect_int(c, "EXISTS a", 0);
	expect(c, "SET a 2", OK);
	expect_int(c, "MOVE a 1", 0);
	expect(c, "SELECT 1", OK);
	expect(c, "GET a", "$1\r\n1\r\n");
	expect_ttl(c, "a", 100);
}
END_TEST

START_TEST(test_flush)
{
	expect(c, "MSET a 1 b 2", OK);
	expect(c, "SELECT 3", OK);
	expect(c, "SET x 1", OK);
	expect(c, "FLUSHDB FOO", SYNTAX);
	expect(c, "FLUSHDB SYNC ASYNC", SYNTAX);
	expect(c, "FLUSHALL FOO", SYNTAX);
	expect(c, "FLUSHDB ASYNC", OK);
	expect_int(c, "DBSIZE", 0);
	expect(c, "SELECT 0", OK);
	expect_int(c, "DBSIZE", 2);
	expect(c, "FLUSHDB SYNC", OK);
	expect_int(c, "DBSIZE", 0);
	expect(c, "SET a 1", OK);
	expect(c, "SELECT 3", OK);
	expect(c, "SET x 1", OK);
	expect(c, "FLUSHALL", OK);
	expect_int(c, "DBSIZE", 0);
	expect(c, "SELECT 0", OK);
	expect_int(c, "DBSIZE", 0);
	expect(c, "GET a", NIL);
	expect(c, "SET a 2", OK);
	expect(c, "GET a", "$1\r\n2\r\n");
}
END_TEST

START_TEST(test_swapdb)
{
	expect(c, "SET a zero", OK);
	expect(c, "SELECT 1", OK);
	expect(c, "SET a one EX 100", OK);
	expect(c, "SWAPDB 0 1", OK);
	expect(c, "GET a", "$4\r\nzero\r\n");
	expect_int(c, "TTL a", -1);
	expect(c, "SELECT 0", OK);
	expect(c, "GET a", "$3\r\none\r\n");
	expect_ttl(c, "a", 100);
	expect(c, "SWAPDB 5 5", OK);
	expect(c, "SWAPDB 0 9", OK);
	expect(c, "GET a", NIL);
	expect_int(c, "DBSIZE", 0);
	expect(c, "SWAPDB x 1", "-ERR invalid first DB index\r\n");
	expect(c, "SWAPDB 0 x", "-ERR invalid second DB index\r\n");
	expect(c, "SWAPDB 99999999999 0", "-ERR invalid first DB index\r\n");
	expect(c, "SWAPDB 0 16", BAD_DB);
	expect(c, "SWAPDB -1 0", BAD_DB);
}
END_TEST

START_TEST(test_object)
{
	expect(c, "MSET n 9999 m 10000 t text", OK);
	expect_bulk(c, "OBJECT ENCODING n", "int");
	expect_int(c, "OBJECT REFCOUNT n", 2147483647);
	expect_int(c, "OBJECT REFCOUNT m", 1);
	expect_int(c, "OBJECT REFCOUNT t", 1);
	int64_t idle = ask_int(c, "OBJECT IDLETIME t");
	ck_assert(idle >= 0 && idle <= elapsed_ms() / 1000 + 1); /* in whole seconds of a clock */
	expect_prefix(c, "OBJECT FREQ t", "-ERR An LFU maxmemory policy is not selected, access frequency not tracked.");
	expect(c, "OBJECT ENCODING none", NIL);
	expect(c, "OBJECT FREQ none", NIL);
	expect(c, "OBJECT IDLETIME none", NIL);
	expect(c, "OBJECT REFCOUNT none", NIL);
	expect(c, "OBJECT FOO t", "-ERR unknown subcommand 'FOO'. Try OBJECT HELP.\r\n");
	expect(c, "OBJECT ENCODING", "-ERR wrong number of arguments for 'object|encoding' command\r\n");
	expect_prefix(c, "OBJECT HELP", "*11\r\n+OBJECT <subcommand> [<arg> [value] [opt] ...]. Subcommands are:\r\n");
}
END_TEST

START_TEST(test_memory_usage)
{
	expect(c, "SET small x", OK);
	int64_t small = ask_int(c, "MEMORY USAGE small");
	ck_assert_int_ge(small, 14);
	ck_assert_int_le(small, 64);
	expect_int(c, "SETRANGE big 99999 x", 100000);
	int64_t big = ask_int(c, "MEMORY USAGE big SAMPLES 0");
	ck_assert_int_ge(big, 100000);
	ck_assert_int_le(big, 250000);
	expect(c, "MEMORY USAGE none", NIL);
	expect(c, "MEMORY USAGE small SAMPLES -1", SYNTAX);
	expect(c, "MEMORY USAGE small SAMPLES x", NOT_INT);
	expect(c, "MEMORY USAGE small SAMPLES", SYNTAX);
	expect(c, "MEMORY USAGE small FOO 1", SYNTAX);
	expect_int(c, "MEMORY USAGE small SAMPLES 99999999999", small);
}
END_TEST

START_TEST(test_long_keys)
{
	static const size_t lengths[] = { 1, 254, 255, 256, 1000, 70000 };
	for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++) {
		char *name = malloc(lengths[i] + 1);
		memset(name, 'k', lengths[i]);
		name[lengths[i]] = 0;
		struct resp_bytes key = { name, lengths[i] };
		/* A point in time, a thousand years ahead, and not a span: the answer does not depend on when it is asked. */
		struct resp_bytes set[] = { { "SET", 3 }, key, { "v", 1 }, { "EXAT", 4 }, { "33177117420", 11 } };
		struct resp_bytes rename[] = { { "RENAME", 6 }, key, { "short", 5 } };
		struct resp_bytes back[] = { { "RENAME", 6 }, { "short", 5 }, key };
		struct resp_bytes ttl[] = { { "EXPIRETIME", 10 }, key };
		struct resp_bytes get[] = { { "GET", 3 }, key };
		ck_assert(resp_send_argv(c, 5, set));
		expect_reply(c, OK);
		ck_assert(resp_send_argv(c, 3, rename));
		expect_reply(c, OK);
		expect(c, "GET short", "$1\r\nv\r\n");
		ck_assert(resp_send_argv(c, 3, back));
		expect_reply(c, OK);
		ck_assert(resp_send_argv(c, 2, ttl));
		expect_reply(c, ":33177117420\r\n");
		ck_assert(resp_send_argv(c, 2, get));
		expect_reply(c, "$1\r\nv\r\n");
		free(name);
	}
	expect_int(c, "DBSIZE", 6);
}
END_TEST

COMMAND_TESTS("keys", test_del_exists_touch, test_many_keys, test_rename, test_copy, test_move, test_flush, test_swapdb,
              test_object, test_memory_usage, test_long_keys)
