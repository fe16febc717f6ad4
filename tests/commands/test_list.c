/* Commands on lists: replies, error texts and side effects as servers of version 7.2 give them. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/lib/expect.h"

#define WRONG "-WRONGTYPE Operation against a key holding the wrong kind of value\r\n"
#define NOT_INT "-ERR value is not an integer or out of range\r\n"
#define POSITIVE "-ERR value is out of range, must be positive\r\n"
#define SYNTAX "-ERR syntax error\r\n"
#define NIL "$-1\r\n"
#define OK "+OK\r\n"

START_TEST(test_push_pop)
{
	expect(c, "LPUSHX k a", ":0\r\n");
	expect(c, "RPUSHX k a", ":0\r\n");
	expect(c, "LPUSH k a b c", ":3\r\n");
	expect(c, "RPUSH k 1 \"\" x", ":6\r\n");
	expect(c, "LRANGE k 0 -1", "*6\r\n$1\r\nc\r\n$1\r\nb\r\n$1\r\na\r\n$1\r\n1\r\n$0\r\n\r\n$1\r\nx\r\n");
	expect(c, "LPUSHX k d", ":7\r\n");
	expect(c, "RPUSHX k y z", ":9\r\n");
	expect_bulk(c, "LPOP k", "d");
	expect_bulk(c, "RPOP k", "z");
	expect(c, "LPOP k 0", "*0\r\n");
	expect(c, "LPOP k 2", "*2\r\n$1\r\nc\r\n$1\r\nb\r\n");
	expect(c, "RPOP k 3", "*3\r\n$1\r\ny\r\n$1\r\nx\r\n$0\r\n\r\n");
	expect(c, "LPOP k -1", POSITIVE);
	expect(c, "LPOP k x", POSITIVE);
	expect(c, "LPOP k 1 2", "-ERR wrong number of arguments for 'lpop' command\r\n");
	expect(c, "LPOP k 100", "*2\r\n$1\r\na\r\n$1\r\n1\r\n");
	expect(c, "EXISTS k", ":0\r\n");
	expect(c, "LPOP k", NIL);
	expect(c, "LPOP k 1", "*-1\r\n");
	expect(c, "LPUSH k", "-ERR wrong number of arguments for 'lpush' command\r\n");
}
END_TEST

START_TEST(test_wrong_type)
{
	static const char *const lines[] = {
		"LPUSH s a", "RPUSHX s a", "LPOP s", "RPOP s 1", "LLEN s", "LINDEX s 0", "LRANGE s 0 -1", "LSET s 0 a", "LREM s 0 a",
		"LTRIM s 0 1", "LINSERT s BEFORE a b", "LPOS s a", "RPOPLPUSH s l", "LMOVE s l LEFT LEFT", "LMOVE l s LEFT LEFT",
		"LMPOP 1 s LEFT", "LMPOP 2 none s LEFT",
	};
	expect(c, "SET s v", OK);
	expect_int(c, "RPUSH l a", 1);
	for (size_t i = 0; i < sizeof lines / sizeof *lines; i++)
		expect(c, lines[i], WRONG);
	expect(c, "GET l", WRONG);
	expect_int(c, "LLEN l", 1);
	/* arguments are looked at first */
	expect(c, "LRANGE s x 1", NOT_INT);
	expect(c, "LREM s x a", NOT_INT);
	expect(c, "LINSERT s NEAR a b", SYNTAX);
	expect(c, "LINDEX s x", WRONG);
	expect(c, "LINDEX none x", NIL);
	expect(c, "LSET none x a", "-ERR no such key\r\n");
	expect(c, "LINDEX l x", NOT_INT);
}
END_TEST

START_TEST(test_index_range)
{
	expect_int(c, "RPUSH k 0 1 2 3 4", 5);
	expect_bulk(c, "LINDEX k 0", "0");
	expect_bulk(c, "LINDEX k -1", "4");
	expect(c, "LINDEX k 5", NIL);
	expect(c, "LINDEX k -6", NIL);
	expect(c, "LRANGE k 1 2", "*2\r\n$1\r\n1\r\n$1\r\n2\r\n");
	expect(c, "LRANGE k -2 100", "*2\r\n$1\r\n3\r\n$1\r\n4\r\n");
	expect(c, "LRANGE k -100 0", "*1\r\n$1\r\n0\r\n");
	expect(c, "LRANGE k 3 1", "*0\r\n");
	expect(c, "LRANGE k 5 9", "*0\r\n");
	expect(c, "LRANGE k -9223372036854775808 9223372036854775807",
	       "*5\r\n$1\r\n0\r\n$1\r\n1\r\n$1\r\n2\r\n$1\r\n3\r\n$1\r\n4\r\n");
	expect(c, "LRANGE none 0 -1", "*0\r\n");
	expect(c, "LSET k 0 zero", OK);
	expect(c, "LSET k -1 four", OK);
	expect(c, "LSET k 5 x", "-ERR index out of range\r\n");
	expect(c, "LSET k x x", NOT_INT);
	expect(c, "LTRIM k 1 -2", OK);
	expect(c, "LRANGE k 0 -1", "*3\r\n$1\r\n1\r\n$1\r\n2\r\n$1\r\n3\r\n");
	expect(c, "LTRIM k 2 1", OK);
	expect(c, "EXISTS k", ":0\r\n");
	expect(c, "LTRIM k 0 0", OK);
}
END_TEST

START_TEST(test_insert_remove)
{
	expect(c, "LINSERT k BEFORE a b", ":0\r\n");
	expect_int(c, "RPUSH k a b a c a", 5);
	expect_int(c, "LINSERT k before b x", 6);
	expect_int(c, "LINSERT k AFTER c y", 7);
	expect_int(c, "LINSERT k AFTER none y", -1);
	expect_int(c, "LREM k 1 a", 1);
	expect_int(c, "LREM k -1 a", 1);
	expect(c, "LRANGE k 0 -1", "*5\r\n$1\r\nx\r\n$1\r\nb\r\n$1\r\na\r\n$1\r\nc\r\n$1\r\ny\r\n");
	expect_int(c, "LREM k 0 none", 0);
	expect_int(c, "RPUSH n 1 01 1", 3);
	expect_int(c, "LREM n 0 1", 2);
	expect_int(c, "LREM n 0 01", 1);
	expect_int(c, "EXISTS n", 0);
	expect(c, "LREM k -9223372036854775808 a",
	       "-ERR value is out of range, value must between -9223372036854775807 and 9223372036854775807\r\n");
}
END_TEST

START_TEST(test_lpos)
{
	expect_int(c, "RPUSH k a b c d 1 2 3 4 3 3 3", 11);
	expect_int(c, "LPOS k 3", 6);
	expect_int(c, "LPOS k 3 RANK 2", 8);
	expect_int(c, "LPOS k 3 RANK -1", 10);
	expect(c, "LPOS k 3 COUNT 2", "*2\r\n:6\r\n:8\r\n");
	expect(c, "LPOS k 3 COUNT 0", "*4\r\n:6\r\n:8\r\n:9\r\n:10\r\n");
	expect(c, "LPOS k 3 RANK -2 COUNT 2", "*2\r\n:9\r\n:8\r\n");
	expect(c, "LPOS k 3 COUNT 0 MAXLEN 7", "*1\r\n:6\r\n");
	expect(c, "LPOS k 3 MAXLEN 3", NIL);
	expect(c, "LPOS k x", NIL);
	expect(c, "LPOS k x COUNT 1", "*0\r\n");
	expect(c, "LPOS none x", NIL);
	expect(c, "LPOS none x COUNT 1", "*0\r\n");
	expect(c, "LPOS k 3 RANK 0", "-ERR RANK can't be zero: use 1 to start from the first match, 2 from the second ... or "
	                             "use negative to start from the end of the list\r\n");
	expect(c, "LPOS k 3 COUNT -1", "-ERR COUNT can't be negative\r\n");
	expect(c, "LPOS k 3 MAXLEN -1", "-ERR MAXLEN can't be negative\r\n");
	expect(c, "LPOS k 3 RANK", SYNTAX);
	expect(c, "LPOS k 3 FOO 1", SYNTAX);
}
END_TEST

START_TEST(test_move)
{
	expect_int(c, "RPUSH a 1 2 3", 3);
	expect_bulk(c, "RPOPLPUSH a b", "3");
	expect_bulk(c, "LMOVE a b LEFT RIGHT", "1");
	expect(c, "LRANGE b 0 -1", "*2\r\n$1\r\n3\r\n$1\r\n1\r\n");
	expect_bulk(c, "LMOVE b b LEFT RIGHT", "3");
	expect(c, "LRANGE b 0 -1", "*2\r\n$1\r\n1\r\n$1\r\n3\r\n");
	expect_bulk(c, "LMOVE b b RIGHT RIGHT", "3");
	expect_bulk(c, "RPOPLPUSH a a", "2");
	expect_bulk(c, "RPOPLPUSH a b", "2");
	expect(c, "EXISTS a", ":0\r\n");
	expect(c, "RPOPLPUSH a b", NIL);
	expect(c, "LMOVE b a UP LEFT", SYNTAX);
	expect(c, "LMPOP 2 a b LEFT", "*2\r\n$1\r\nb\r\n*1\r\n$1\r\n2\r\n");
	expect(c, "LMPOP 2 a b RIGHT COUNT 5", "*2\r\n$1\r\nb\r\n*2\r\n$1\r\n3\r\n$1\r\n1\r\n");
	expect(c, "LMPOP 2 a b RIGHT", "*-1\r\n");
	expect(c, "LMPOP 0 a LEFT", "-ERR numkeys should be greater than 0\r\n");
	expect(c, "LMPOP x a LEFT", "-ERR numkeys should be greater than 0\r\n");
	expect(c, "LMPOP 2 a LEFT", SYNTAX);
	expect(c, "LMPOP 9223372036854775807 a LEFT", SYNTAX);
	expect(c, "LMPOP 1 a LEFT COUNT 0", "-ERR count should be greater than 0\r\n");
	expect(c, "LMPOP 1 a LEFT COUNT 1 COUNT 1", SYNTAX);
	expect(c, "LMPOP 1 a LEFT COUNT", SYNTAX);
}
END_TEST

static void push_many(int from, int to)
{
	char line[64];
	for (int i = from; i < to; i++) {
		snprintf(line, sizeof line, "RPUSH k element-%d", i);
		expect_int(c, line, i + 1);
	}
}

static void expect_element(int i)
{
	char line[64], text[64];
	snprintf(line, sizeof line, "LINDEX k %d", i);
	snprintf(text, sizeof text, "element-%d", i);
	expect_bulk(c, line, text);
}

START_TEST(test_encodings)
{
	expect(c, "CONFIG SET list-max-listpack-size 4", OK);
	expect_int(c, "RPUSH k a b c d", 4);
	expect_bulk(c, "OBJECT ENCODING k", "listpack");
	expect_int(c, "RPUSH k e", 5);
	expect_bulk(c, "OBJECT ENCODING k", "quicklist");
	expect(c, "LTRIM k 0 2", OK);
	expect_bulk(c, "OBJECT ENCODING k", "quicklist");
	expect(c, "LTRIM k 0 1", OK);
	expect_bulk(c, "OBJECT ENCODING k", "listpack");
	expect(c, "CONFIG SET list-max-listpack-size -1", OK);
	expect_int(c, "DEL k", 1);
	push_many(0, 200);
	expect_bulk(c, "OBJECT ENCODING k", "listpack");
	push_many(200, 400);
	expect_bulk(c, "OBJECT ENCODING k", "quicklist");
	expect(c, "CONFIG SET list-max-listpack-size -2", OK);
}
END_TEST

/* Long lists, also with their middle compressed: what is found anywhere, and what is left after changes. */
START_TEST(test_long)
{
	for (int depth = 0; depth < 2; depth++) {
		expect(c, depth ? "CONFIG SET list-compress-depth 1" : "CONFIG SET list-compress-depth 0", OK);
		push_many(0, 5000);
		for (int i = 0; i < 5000; i += 487)
			expect_element(i);
		expect_int(c, "LPOS k element-3000", 3000);
		expect(c, "LSET k 2500 changed", OK);
		expect_int(c, "LINSERT k AFTER changed new", 5001);
		expect_bulk(c, "LINDEX k 2501", "new");
		expect_int(c, "LREM k 0 new", 1);
		expect(c, "LSET k 2500 element-2500", OK);
		expect(c, "LRANGE k 2499 2500", "*2\r\n$12\r\nelement-2499\r\n$12\r\nelement-2500\r\n");
		expect_int(c, "COPY k copy", 1);
		expect(c, "LTRIM k 100 -101", OK);
		expect_int(c, "LLEN k", 4800);
		expect_bulk(c, "LINDEX k 0", "element-100");
		expect_int(c, "LLEN copy", 5000);
		expect_bulk(c, "LINDEX copy 4999", "element-4999");
		expect_int(c, "DEL k copy", 2);
	}
	expect(c, "CONFIG SET list-compress-depth 0", OK);
}
END_TEST

/* Elements that stand in blocks of their own. */
START_TEST(test_large_elements)
{
	static const size_t lengths[] = { 8180, 8192, 8193, 70000, 1 << 20 };
	for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++) {
		char *bytes = malloc(lengths[i] + 1);
		memset(bytes, 'a' + (int)i, lengths[i]);
		bytes[lengths[i]] = 0;
		struct resp_bytes push[] = { { "RPUSH", 5 }, { "k", 1 }, { bytes, lengths[i] } };
		ck_assert(resp_send_argv(c, 3, push));
		expect_reply(c, ":1\r\n");
		expect_int(c, "LPUSH k x", 2);
		expect_bulk(c, "RPOPLPUSH k k2", bytes);
		expect_bulk(c, "LPOP k2", bytes);
		free(bytes);
		expect_int(c, "DEL k k2", 1);
	}
}
END_TEST

/* Elements from a threshold on get blocks of their own: the same list all the same. */
START_TEST(test_packed_threshold)
{
	static const char *const bad[] = { "x", "-1", "4gb", "" };
	char line[80];
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
		snprintf(line, sizeof line, "DEBUG QUICKLIST-PACKED-THRESHOLD \"%s\"", bad[i]);
		expect(c, line, "-ERR argument must be a memory value bigger than 1 and smaller than 4gb\r\n");
	}
	expect(c, "DEBUG QUICKLIST-PACKED-THRESHOLD 5b", OK);
	expect(c, "CONFIG SET list-max-listpack-size 4", OK);
	expect_int(c, "RPUSH k a bbbbbb c dddddd eeeeee f g hhhhhh", 8);
	expect_int(c, "LINSERT k BEFORE eeeeee iiiiii", 9);
	expect(c, "LSET k 0 jjjjjj", OK);
	expect(c, "LSET k 1 b", OK);
	expect_int(c, "LREM k 0 dddddd", 1);
	expect_bulk(c, "LMOVE k k LEFT RIGHT", "jjjjjj");
	expect(c, "LRANGE k 0 -1", "*8\r\n$1\r\nb\r\n$1\r\nc\r\n$6\r\niiiiii\r\n$6\r\neeeeee\r\n$1\r\nf\r\n$1\r\ng\r\n"
	                           "$6\r\nhhhhhh\r\n$6\r\njjjjjj\r\n");
	expect(c, "DEBUG QUICKLIST-PACKED-THRESHOLD 0", OK);
	expect(c, "CONFIG SET list-max-listpack-size -2", OK);
	expect_int(c, "RPUSH small a 1", 2);
	expect(c, "DEBUG LISTPACK small", "+Listpack structure printed on stdout\r\n");
	expect(c, "DEBUG LISTPACK k", "-ERR Not a listpack encoded object.\r\n");
	expect(c, "DEBUG LISTPACK none", "-ERR no such key\r\n");
}
END_TEST

START_TEST(test_resp3)
{
	struct resp_client *three = connect_to(&server);
	expect_any(three, "HELLO 3");
	expect(three, "LPOP none", "_\r\n");
	expect(three, "LPOP none 1", "_\r\n");
	expect(three, "LMPOP 1 none LEFT", "_\r\n");
	expect(three, "LINDEX none 0", "_\r\n");
	expect(three, "LPOS none 0", "_\r\n");
	expect(three, "LMOVE none none LEFT LEFT", "_\r\n");
	expect(three, "RPUSH k 1", ":1\r\n");
	expect(three, "LRANGE k 0 -1", "*1\r\n$1\r\n1\r\n");
	resp_close(three);
}
END_TEST

COMMAND_TESTS("list", test_push_pop, test_wrong_type, test_index_range, test_insert_remove, test_lpos, test_move,
              test_encodings, test_long, test_large_elements, test_packed_threshold,
              test_resp3)
