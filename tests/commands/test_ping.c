#include <stdio.h>
#include <string.h>

#include "tests/lib/expect.h"

START_TEST(ping_answers)
{
	expect(c, "PING", "+PONG\r\n");
	expect(c, "ping \"a b\\r\\n\"", "$5\r\na b\r\n\r\n");
	expect(c, "PING a b", "-ERR wrong number of arguments for 'ping' command\r\n");
	expect_bulk(c, "ECHO hello", "hello");
}
END_TEST

START_TEST(ping_over_resp3)
{
	expect_prefix(c, "HELLO 3", "%7\r\n");
	expect(c, "PING", "+PONG\r\n");
	expect(c, "GET nothing", "_\r\n");
	expect_prefix(c, "HELLO 2", "*14\r\n");
	expect(c, "GET nothing", "$-1\r\n");
}
END_TEST

START_TEST(pipeline_keeps_order)
{
	char want[16];
	for (int i = 0; i < 1000; i++) {
		char line[32];
		snprintf(line, sizeof line, "INCR counter%d", i % 7);
		ck_assert(resp_send(c, line));
	}
	for (int i = 0; i < 1000; i++) {
		struct resp_bytes got;
		int n = snprintf(want, sizeof want, ":%d\r\n", i / 7 + 1);
		ck_assert(resp_read(c, &got));
		ck_assert_msg(got.len == (size_t)n && !memcmp(got.ptr, want, got.len), "reply %d", i);
	}
}
END_TEST

COMMAND_TESTS("ping", ping_answers, ping_over_resp3, pipeline_keeps_order)
