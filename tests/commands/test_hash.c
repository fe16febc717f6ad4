/* Commands on hashes: replies, error texts and side effects as servers of version 7.2 give them. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/lib/expect.h"

#define WRONG "-WRONGTYPE Operation against a key holding the wrong kind of value\r\n"
#define NOT_INT "-ERR value is not an integer or out of range\r\n"
#define NOT_FLOAT "-ERR value is not a valid float\r\n"
#define RANGE "-ERR value is out of range\r\n"
#define SYNTAX "-ERR syntax error\r\n"
#define NIL "$-1\r\n"
#define OK "+OK\r\n"

START_TEST(test_set_get)
{
	expect(c, "HSET k a 1 b two", ":2\r\n");
	expect(c, "HSET k a x c 3", ":1\r\n");
	expect(c, "HSET k a", "-ERR wrong number of arguments for 'hset' command\r\n");
	expect(c, "HSET k a 1 b", "-ERR wrong number of arguments for 'hset' command\r\n");
	expect(c, "HMSET k a 1 b", "-ERR wrong number of arguments for 'hmset' command\r\n");
	expect(c, "HMSET k d 4", OK);
	expect(c, "HSETNX k d 5", ":0\r\n");
	expect(c, "HSETNX k e \"\"", ":1\r\n");
	expect_bulk(c, "HGET k a", "x");
	expect_bulk(c, "HGET k e", "");
	expect(c, "HGET k none", NIL);
	expect(c, "HGET none a", NIL);
	expect(c, "HMGET k a none d", "*3\r\n$1\r\nx\r\n$-1\r\n$1\r\n4\r\n");
	expect(c, "HMGET none a b", "*2\r\n$-1\r\n$-1\r\n");
	expect(c, "HGETALL k", "*10\r\n$1\r\na\r\n$1\r\nx\r\n$1\r\nb\r\n$3\r\ntwo\r\n$1\r\nc\r\n$1\r\n3\r\n$1\r\nd\r\n$1\r\n4\r\n"
	                       "$1\r\ne\r\n$0\r\n\r\n");
	expect(c, "HKEYS k", "*5\r\n$1\r\na\r\n$1\r\nb\r\n$1\r\nc\r\n$1\r\nd\r\n$1\r\ne\r\n");
	expect(c, "HVALS k", "*5\r\n$1\r\nx\r\n$3\r\ntwo\r\n$1\r\n3\r\n$1\r\n4\r\n$0\r\n\r\n");
	expect(c, "HGETALL none", "*0\r\n");
	expect_int(c, "HLEN k", 5);
	expect_int(c, "HLEN none", 0);
	expect_int(c, "HEXISTS k b", 1);
	expect_int(c, "HEXISTS k x", 0);
	expect_int(c, "HSTRLEN k b", 3);
	expect_int(c, "HSTRLEN k c", 1);
	expect_int(c, "HSTRLEN k none", 0);
	expect_int(c, "HDEL k a none b", 2);
	expect_int(c, "HDEL k c d e e", 3);
	expect_int(c, "EXISTS k", 0);
	expect_int(c, "HDEL k a", 0);
}
END_TEST

START_TEST(test_wrong_type)
{
	static const char *const lines[] = {
		"HSET s f v", "HMSET s f v", "HSETNX s f v", "HGET s f", "HMGET s f", "HGETALL s", "HKEYS s", "HVALS s", "HLEN s",
		"HEXISTS s f", "HSTRLEN s f", "HDEL s f", "HINCRBY s f 1", "HINCRBYFLOAT s f 1", "HRANDFIELD s", "HRANDFIELD s 1",
		"HSCAN s 0",
	};
	expect(c, "SET s v", OK);
	for (size_t i = 0; i < sizeof lines / sizeof *lines; i++)
		expect(c, lines[i], WRONG);
	expect_int(c, "HSET h f v", 1);
	expect(c, "GET h", WRONG);
	expect(c, "HINCRBY s f x", NOT_INT);
	expect(c, "HSCAN s x", "-ERR invalid cursor\r\n");
}
END_TEST

START_TEST(test_counting)
{
	expect_int(c, "HINCRBY k n 5", 5);
	expect_int(c, "HINCRBY k n -7", -2);
	expect(c, "HSET k big 9223372036854775807 text abc float 1.5", ":3\r\n");
	expect(c, "HINCRBY k big 1", "-ERR increment or decrement would overflow\r\n");
	expect(c, "HINCRBY k text 1", "-ERR hash value is not an integer\r\n");
	expect(c, "HINCRBY k float 1", "-ERR hash value is not an integer\r\n");
	expect(c, "HINCRBY k n 1.5", NOT_INT);
	expect_bulk(c, "HINCRBYFLOAT k float 0.1", "1.6");
	expect_bulk(c, "HINCRBYFLOAT k n 1.2e2", "118");
	expect(c, "HINCRBYFLOAT k text 1", "-ERR hash value is not a float\r\n");
	expect(c, "HINCRBYFLOAT k n x", NOT_FLOAT);
	expect_int(c, "HINCRBY none x 0", 0);
	expect_int(c, "HLEN none", 1);
}
END_TEST

/* HINCRBYFLOAT (CVE-2023-28856) */
START_TEST(test_incrbyfloat_not_a_number)
{
	expect_bulk(c, "HINCRBYFLOAT k f 1", "1");
	expect(c, "HINCRBYFLOAT k f inf", "-ERR value is NaN or Infinity\r\n");
	expect(c, "HINCRBYFLOAT k f -inf", "-ERR value is NaN or Infinity\r\n");
	expect(c, "HINCRBYFLOAT k f nan", NOT_FLOAT);
	expect_bulk(c, "HGET k f", "1");
	expect(c, "HSET k g inf", ":1\r\n");
	expect(c, "HINCRBYFLOAT k g 1", "-ERR increment would produce NaN or Infinity\r\n");
	expect_bulk(c, "HGET k g", "inf");
	expect(c, "HINCRBYFLOAT none f inf", "-ERR value is NaN or Infinity\r\n");
	expect_int(c, "EXISTS none", 0);
}
END_TEST

/* *RANDMEMBER, HRANDFIELD (CVE-2023-22458, -25155): counts without an absolute value, or that no reply can have */
START_TEST(test_random_counts)
{
	static const char between[] = "-ERR value is out of range, value must between -9223372036854775807 and "
	                              "9223372036854775807\r\n";
	expect_int(c, "HSET k a 1 b 2", 2);
	expect_(c, "HRANDFIELD k -9223372036854775808", between, sizeof between - 1, __FILE__, __LINE__);
	expect(c, "HRANDFIELD k -9223372036854775808 WITHVALUES",
	       "-ERR value is out of range, value must between -9223372036854775807 and 9223372036854775807\r\n");
	expect(c, "HRANDFIELD k -9223372036854775807 WITHVALUES", RANGE);
	expect(c, "HRANDFIELD k -9223372036854775807", RANGE);
	expect(c, "HRANDFIELD k -4611686018427387903 WITHVALUES", RANGE);
	expect(c, "HRANDFIELD k 9223372036854775807 WITHVALUES", RANGE);
	expect(c, "HRANDFIELD k 9223372036854775808", NOT_INT);
	expect(c, "HRANDFIELD k 9223372036854775807", "*2\r\n$1\r\na\r\n$1\r\nb\r\n");
	expect(c, "HRANDFIELD none -9223372036854775807", "*0\r\n");
	expect_int(c, "HLEN k", 2);
}
END_TEST

START_TEST(test_random)
{
	expect(c, "HRANDFIELD none", NIL);
	expect(c, "HRANDFIELD none 5", "*0\r\n");
	expect_int(c, "HSET k a 1", 1);
	expect_bulk(c, "HRANDFIELD k", "a");
	expect(c, "HRANDFIELD k 0", "*0\r\n");
	expect(c, "HRANDFIELD k 3", "*1\r\n$1\r\na\r\n");
	expect(c, "HRANDFIELD k -3", "*3\r\n$1\r\na\r\n$1\r\na\r\n$1\r\na\r\n");
	expect(c, "HRANDFIELD k -2 WITHVALUES", "*4\r\n$1\r\na\r\n$1\r\n1\r\n$1\r\na\r\n$1\r\n1\r\n");
	expect(c, "HRANDFIELD k 1 WITHVALUES 1", SYNTAX);
	expect(c, "HRANDFIELD k 1 VALUES", SYNTAX);
	expect(c, "HRANDFIELD k x", NOT_INT);
}
END_TEST

static void fill(int n)
{
	char line[64];
	for (int i = 0; i < n; i++) {
		snprintf(line, sizeof line, "HSET k field-%d %d", i, i);
		expect_int(c, line, 1);
	}
}

/* Each field comes, none twice: in a listpack and in a table, for few and for many of the fields. */
START_TEST(test_random_different)
{
	static const int sizes[] = { 100, 2000 }, wanted[] = { 5, 90, 1500 };
	for (int s = 0; s < 2; s++) {
		expect_any(c, "FLUSHALL");
		fill(sizes[s]);
		bool ever[2000] = { false };
		int met = 0;
		for (int round = 0; round < 2000 && met < sizes[s]; round++) {
			char line[64];
			bool seen[2000] = { false };
			int n = wanted[round % (s + 2)];
			snprintf(line, sizeof line, "HRANDFIELD k %d WITHVALUES", n);
			struct resp_value *v = resp_ask(c, line);
			ck_assert_uint_eq(v->n, 2 * (size_t)n);
			for (size_t i = 0; i < v->n; i += 2) {
				long at = strtol(v->elements[i].text + 6, NULL, 10);
				ck_assert(at >= 0 && at < sizes[s] && !seen[at]);
				ck_assert_int_eq(strtol(v->elements[i + 1].text, NULL, 10), at);
				seen[at] = true;
				met += !ever[at];
				ever[at] = true;
			}
			resp_value_free(v);
		}
		ck_assert_int_eq(met, sizes[s]);
	}
}
END_TEST

START_TEST(test_scan)
{
	expect(c, "HSCAN none 0", "*2\r\n$1\r\n0\r\n*0\r\n");
	expect_int(c, "HSET k a 1 b 2", 2);
	expect(c, "HSCAN k 0", "*2\r\n$1\r\n0\r\n*4\r\n$1\r\na\r\n$1\r\n1\r\n$1\r\nb\r\n$1\r\n2\r\n");
	expect(c, "HSCAN k 0 MATCH b COUNT 1", "*2\r\n$1\r\n0\r\n*2\r\n$1\r\nb\r\n$1\r\n2\r\n");
	expect(c, "HSCAN k 0 COUNT 0", SYNTAX);
	expect(c, "HSCAN k 0 COUNT x", NOT_INT);
	expect(c, "HSCAN k 0 TYPE hash", SYNTAX);
	expect(c, "HSCAN k 0 MATCH", SYNTAX);
	expect(c, "HSCAN k 1x", "-ERR invalid cursor\r\n");
	expect_any(c, "FLUSHALL");
	fill(3000);
	/* a whole walk, while the table grows and shrinks */
	bool seen[3000] = { false };
	char cursor[32] = "0", line[96];
	int calls = 0;
	do {
		snprintf(line, sizeof line, "HSCAN k %s COUNT 100", cursor);
		struct resp_value *v = resp_ask(c, line);
		snprintf(cursor, sizeof cursor, "%s", v->elements[0].text);
		for (size_t i = 0; i < v->elements[1].n; i += 2) {
			long at = strtol(v->elements[1].elements[i].text + 6, NULL, 10);
			if (at < 3000)
				seen[at] = true;
		}
		resp_value_free(v);
		snprintf(line, sizeof line, "HSET k field-%d x field-%d x", 10000 + calls, 20000 + calls);
		expect_int(c, line, 2);
		calls++;
	} while (strcmp(cursor, "0") && calls < 1000);
	ck_assert_int_lt(calls, 200);
	for (int i = 0; i < 3000; i++)
		ck_assert_msg(seen[i], "field-%d was not visited", i);
}
END_TEST

START_TEST(test_encodings)
{
	expect(c, "CONFIG SET hash-max-listpack-entries 3 hash-max-listpack-value 5", OK);
	expect_int(c, "HSET k a 1 b 2 c 3", 3);
	expect_bulk(c, "OBJECT ENCODING k", "listpack");
	expect_int(c, "HSET k d 4", 1);
	expect_bulk(c, "OBJECT ENCODING k", "hashtable");
	expect_int(c, "HDEL k b c d", 3);
	expect_bulk(c, "OBJECT ENCODING k", "hashtable");
	expect_int(c, "HSET v a 12345", 1);
	expect_bulk(c, "OBJECT ENCODING v", "listpack");
	expect_int(c, "HSETNX v a 123456", 0);
	expect_bulk(c, "OBJECT ENCODING v", "listpack");
	expect_int(c, "HSET v a 123456", 0);
	expect_bulk(c, "OBJECT ENCODING v", "hashtable");
	expect_int(c, "HSET w abcdef 1", 1);
	expect_bulk(c, "OBJECT ENCODING w", "hashtable");
	expect_int(c, "HINCRBY x a 123456", 123456);
	expect_bulk(c, "OBJECT ENCODING x", "hashtable");
	expect(c, "CONFIG SET hash-max-listpack-entries 512 hash-max-listpack-value 64", OK);
}
END_TEST

START_TEST(test_table)
{
	fill(3000);
	expect_bulk(c, "OBJECT ENCODING k", "hashtable");
	expect_int(c, "COPY k copy", 1);
	for (int i = 0; i < 3000; i += 7) {
		char line[64], text[16];
		snprintf(line, sizeof line, "HGET k field-%d", i);
		snprintf(text, sizeof text, "%d", i);
		expect_bulk(c, line, text);
		snprintf(line, sizeof line, "HSET k field-%d longer-than-it-was-before-%d", i, i);
		expect_int(c, line, 0);
		snprintf(line, sizeof line, "HSTRLEN k field-%d", i);
		ck_assert_int_gt(ask_int(c, line), 25);
		snprintf(line, sizeof line, "HDEL k field-%d", i);
		expect_int(c, line, 1);
	}
	expect_int(c, "HLEN k", 3000 - 429);
	expect_int(c, "HLEN copy", 3000);
	expect_bulk(c, "HGET copy field-7", "7");
	ck_assert_int_gt(ask_int(c, "MEMORY USAGE copy SAMPLES 0"), 3000 * 20);
	expect_int(c, "DEL k copy", 2);
}
END_TEST

START_TEST(test_resp3)
{
	struct resp_client *three = connect_to(&server);
	expect_any(three, "HELLO 3");
	expect(three, "HSET k a 1", ":1\r\n");
	expect(three, "HGETALL k", "%1\r\n$1\r\na\r\n$1\r\n1\r\n");
	expect(three, "HGETALL none", "%0\r\n");
	expect(three, "HKEYS k", "*1\r\n$1\r\na\r\n");
	expect(three, "HGET k none", "_\r\n");
	expect(three, "HRANDFIELD k 1 WITHVALUES", "*1\r\n*2\r\n$1\r\na\r\n$1\r\n1\r\n");
	expect(three, "HRANDFIELD k -2 WITHVALUES", "*2\r\n*2\r\n$1\r\na\r\n$1\r\n1\r\n*2\r\n$1\r\na\r\n$1\r\n1\r\n");
	expect(three, "HINCRBYFLOAT k f 1.5", "$3\r\n1.5\r\n");
	resp_close(three);
}
END_TEST

COMMAND_TESTS("hash", test_set_get, test_wrong_type, test_counting, test_incrbyfloat_not_a_number, test_random_counts,
              test_random, test_random_different, test_scan, test_encodings, test_table, test_resp3)
