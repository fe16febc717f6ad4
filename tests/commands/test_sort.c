/* SORT: orders, patterns, limits, STORE. */
#include <stdio.h>

#include "tests/lib/expect.h"

#define OK "+OK\r\n"

START_TEST(test_orders)
{
	expect_any(c, "RPUSH l 10 9 2 33 1");
	expect(c, "SORT l", "*5\r\n$1\r\n1\r\n$1\r\n2\r\n$1\r\n9\r\n$2\r\n10\r\n$2\r\n33\r\n");
	expect(c, "SORT l DESC LIMIT 1 2", "*2\r\n$2\r\n10\r\n$1\r\n9\r\n");
	expect(c, "SORT l ALPHA", "*5\r\n$1\r\n1\r\n$2\r\n10\r\n$1\r\n2\r\n$2\r\n33\r\n$1\r\n9\r\n");
	expect(c, "SORT l BY nosort", "*5\r\n$2\r\n10\r\n$1\r\n9\r\n$1\r\n2\r\n$2\r\n33\r\n$1\r\n1\r\n");
	expect(c, "SORT l BY nosort DESC LIMIT 1 2", "*2\r\n$2\r\n33\r\n$1\r\n2\r\n");
	expect_any(c, "RPUSH words b a c");
	expect(c, "SORT words", "-ERR One or more scores can't be converted into double\r\n");
	expect(c, "SORT words ALPHA DESC", "*3\r\n$1\r\nc\r\n$1\r\nb\r\n$1\r\na\r\n");
	expect_any(c, "ZADD z 3 x 1 y 2 w");
	expect(c, "SORT z BY nosort DESC", "*3\r\n$1\r\nx\r\n$1\r\nw\r\n$1\r\ny\r\n");
	expect(c, "SORT none", "*0\r\n");
	expect(c, "SET s v", OK);
	expect_prefix(c, "SORT s", "-WRONGTYPE ");
}
END_TEST

START_TEST(test_patterns)
{
	expect_any(c, "RPUSH l 1 2 3");
	expect_any(c, "MSET weight1 30 weight2 10 weight3 20 name1 one name3 three");
	expect_any(c, "HSET h1 n 5");
	expect(c, "SORT l BY weight*", "*3\r\n$1\r\n2\r\n$1\r\n3\r\n$1\r\n1\r\n");
	expect(c, "SORT l BY weight* GET name* GET #", "*6\r\n$-1\r\n$1\r\n2\r\n$5\r\nthree\r\n$1\r\n3\r\n$3\r\none\r\n$1\r\n1\r\n");
	expect(c, "SORT l GET h*->n", "*3\r\n$1\r\n5\r\n$-1\r\n$-1\r\n");
	expect(c, "SORT l BY h*->n DESC", "*3\r\n$1\r\n1\r\n$1\r\n3\r\n$1\r\n2\r\n");
	expect(c, "SORT l BY weight* GET name* STORE d", ":3\r\n");
	expect(c, "LRANGE d 0 -1", "*3\r\n$0\r\n\r\n$5\r\nthree\r\n$3\r\none\r\n");
	expect(c, "SORT_RO l STORE d", "-ERR syntax error\r\n");
	expect(c, "SORT none STORE d", ":0\r\n");
	expect(c, "EXISTS d", ":0\r\n");
}
END_TEST

/* SORT LIMIT: offset near LLONG_MAX. */
START_TEST(test_limits)
{
	expect_any(c, "RPUSH l 1 2 3");
	expect(c, "SORT l LIMIT 9223372036854775807 9223372036854775807", "*0\r\n");
	expect(c, "SORT l LIMIT 1 9223372036854775807", "*2\r\n$1\r\n2\r\n$1\r\n3\r\n");
	expect(c, "SORT l LIMIT -5 2", "*2\r\n$1\r\n1\r\n$1\r\n2\r\n");
	expect(c, "SORT l LIMIT 0 -1", "*3\r\n$1\r\n1\r\n$1\r\n2\r\n$1\r\n3\r\n");
	expect(c, "SORT l LIMIT x 1", "-ERR value is not an integer or out of range\r\n");
	expect(c, "SORT l LIMIT 1", "-ERR syntax error\r\n");
}
END_TEST

START_TEST(test_numbers)
{
	expect_any(c, "RPUSH l 3 1000000000000000000000000000000000000000000000000000000000000000000000000000001 \" 2\" 0x1");
	expect(c, "SORT l LIMIT 0 3", "*3\r\n$3\r\n0x1\r\n$2\r\n 2\r\n$1\r\n3\r\n");
	static const char *const bad[] = { "1e400", "1e-400", "nan", "1x", "1 " };
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
		char line[64];
		expect_any(c, "DEL b");
		snprintf(line, sizeof line, "RPUSH b 1 \"%s\"", bad[i]);
		expect_any(c, line);
		expect(c, "SORT b", "-ERR One or more scores can't be converted into double\r\n");
	}
}
END_TEST

/* STORE replaces a value of any type and its expiry, and says so. */
START_TEST(test_store_events)
{
	struct resp_client *listener = connect_to(&server);
	expect(c, "CONFIG SET notify-keyspace-events EAn", OK);
	expect_any(listener, "PSUBSCRIBE __keyevent@0__:*");
	expect(c, "SADD s 2 1", ":2\r\n");
	expect(c, "SORT s STORE d", ":2\r\n");
	expect(c, "EXPIRE d 100", ":1\r\n");
	expect(c, "SORT s STORE d", ":2\r\n");
	expect(c, "TTL d", ":-1\r\n");
	expect(c, "SORT none STORE d", ":0\r\n");
#define EVENT(name, key, len, keylen) "*4\r\n$8\r\npmessage\r\n$16\r\n__keyevent@0__:*\r\n" \
	"$" len "\r\n__keyevent@0__:" name "\r\n$" keylen "\r\n" key "\r\n"
	expect_reply(listener, EVENT("new", "s", "18", "1"));
	expect_reply(listener, EVENT("sadd", "s", "19", "1"));
	expect_reply(listener, EVENT("new", "d", "18", "1"));
	expect_reply(listener, EVENT("sortstore", "d", "24", "1"));
	expect_reply(listener, EVENT("expire", "d", "21", "1"));
	expect_reply(listener, EVENT("sortstore", "d", "24", "1"));
	expect_reply(listener, EVENT("del", "d", "18", "1"));
	expect(c, "CONFIG SET notify-keyspace-events \"\"", OK);
	resp_close(listener);
}
END_TEST

START_TEST(test_keys)
{
	expect(c, "COMMAND GETKEYS SORT a BY b* GET c* STORE d STORE e", "*2\r\n$1\r\na\r\n$1\r\ne\r\n");
	expect(c, "COMMAND GETKEYS SORT a LIMIT 0 store STORE d", "*2\r\n$1\r\na\r\n$1\r\nd\r\n");
}
END_TEST

COMMAND_TESTS("sort", test_orders, test_patterns, test_limits, test_numbers, test_store_events, test_keys)
