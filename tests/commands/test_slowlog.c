/* SLOWLOG, LATENCY, MONITOR: what the server tells about the commands it runs. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/lib/expect.h"

#define OK "+OK\r\n"

static char *reply_of(struct resp_client *client, const char *line)
{
	struct resp_bytes r;
	ck_assert(resp_send(client, line) && resp_read(client, &r));
	return strndup(r.ptr, r.len);
}

static void expect_has(struct resp_client *client, const char *line, const char *part)
{
	char *r = reply_of(client, line);
	ck_assert_msg(strstr(r, part) != NULL, "%s: no %s in %s", line, part, r);
	free(r);
}

START_TEST(test_slow_commands_are_kept_newest_first)
{
	expect(c, "CONFIG SET slowlog-log-slower-than 0 slowlog-max-len 3", OK);
	expect(c, "SLOWLOG RESET", OK);
	expect(c, "CLIENT SETNAME me", OK);
	expect(c, "SET k v", OK);
	expect_any(c, "GET k");
	expect(c, "SLOWLOG LEN", ":3\r\n");
	char *r = reply_of(c, "SLOWLOG GET 2");
	ck_assert_int_eq(strncmp(r, "*2\r\n*6\r\n:", 9), 0);
	ck_assert_ptr_nonnull(strstr(r, "*2\r\n$7\r\nSLOWLOG\r\n$3\r\nLEN\r\n"));
	ck_assert_ptr_nonnull(strstr(r, "*2\r\n$3\r\nGET\r\n$1\r\nk\r\n"));
	ck_assert_ptr_nonnull(strstr(r, "$2\r\nme\r\n"));
	ck_assert_ptr_null(strstr(r, "SET\r\n$1\r\nk\r\n$1\r\nv"));
	free(r);
	expect(c, "CONFIG SET slowlog-log-slower-than -1", OK);
	expect(c, "SLOWLOG RESET", OK);
	expect_any(c, "GET k");
	expect(c, "SLOWLOG GET -1", "*0\r\n");
	expect(c, "SLOWLOG GET -2", "-ERR count should be greater than or equal to -1\r\n");
	expect(c, "SLOWLOG GET x", "-ERR count should be greater than or equal to -1\r\n");
	expect(c, "CONFIG SET slowlog-max-len 128 slowlog-log-slower-than 10000", OK);
}
END_TEST

START_TEST(test_slow_log_shortens_and_hides)
{
	expect(c, "CONFIG SET slowlog-log-slower-than 0", OK);
	expect(c, "SLOWLOG RESET", OK);
	char line[700] = "";
	snprintf(line, sizeof line, "SET k %0200d", 0);
	expect(c, line, OK);
	expect_has(c, "SLOWLOG GET 1", "... (72 more bytes)");
	int n = snprintf(line, sizeof line, "MGET");
	for (int i = 0; i < 40; i++)
		n += snprintf(line + n, sizeof line - (size_t)n, " key");
	expect_any(c, line);
	expect_has(c, "SLOWLOG GET 1", "*32\r\n");
	expect_any(c, line);
	expect_has(c, "SLOWLOG GET 1", "... (10 more arguments)");
	expect(c, "CONFIG SET masterauth hush", OK);
	char *r = reply_of(c, "SLOWLOG GET 1");
	ck_assert_ptr_nonnull(strstr(r, "(redacted)"));
	ck_assert_ptr_null(strstr(r, "hush"));
	free(r);
	expect(c, "CONFIG SET masterauth \"\" slowlog-log-slower-than 10000", OK);
	expect(c, "SLOWLOG RESET", OK);
}
END_TEST

START_TEST(test_spikes)
{
	expect(c, "LATENCY RESET", ":0\r\n");
	expect(c, "LATENCY LATEST", "*0\r\n");
	expect(c, "LATENCY HISTORY command", "*0\r\n");
	expect(c, "LATENCY GRAPH command", "-ERR No samples available for event 'command'\r\n");
	expect(c, "CONFIG SET latency-monitor-threshold 300", OK);
	expect(c, "DEBUG SLEEP 0.4", OK);
	expect(c, "CONFIG SET latency-monitor-threshold 1000000", OK); /* what comes now is no spike, however slow the machine */
	expect_prefix(c, "LATENCY LATEST", "*1\r\n*4\r\n$7\r\ncommand\r\n:");
	expect_prefix(c, "LATENCY HISTORY command", "*1\r\n*2\r\n:");
	expect_has(c, "LATENCY GRAPH command", "command - high ");
	expect_has(c, "LATENCY DOCTOR", "command: 1 spikes");
	expect(c, "LATENCY RESET nosuch command", ":1\r\n");
	expect(c, "CONFIG SET latency-monitor-threshold 0", OK);
}
END_TEST

START_TEST(test_histograms)
{
	expect(c, "CONFIG RESETSTAT", OK);
	expect(c, "LATENCY HISTOGRAM get nosuch", "*0\r\n");
	expect_any(c, "GET k");
	expect_any(c, "GET k");
	expect_any(c, "CLIENT ID");
	expect_prefix(c, "LATENCY HISTOGRAM GET", "*2\r\n$3\r\nget\r\n*4\r\n$5\r\ncalls\r\n:2\r\n$14\r\nhistogram_usec\r\n*");
	expect_prefix(c, "LATENCY HISTOGRAM client", "*2\r\n$9\r\nclient|id\r\n");
	expect_has(c, "INFO latencystats", "latency_percentiles_usec_get:p50=");
	expect(c, "CONFIG SET latency-tracking no", OK);
	expect_any(c, "GET k");
	expect_prefix(c, "LATENCY HISTOGRAM get", "*2\r\n$3\r\nget\r\n*4\r\n$5\r\ncalls\r\n:2\r\n");
	expect(c, "CONFIG SET latency-tracking yes", OK);
}
END_TEST

static void expect_line(struct resp_client *m, const char *end)
{
	struct resp_bytes r;
	ck_assert(resp_read(m, &r));
	char *line = strndup(r.ptr, r.len), want[256];
	snprintf(want, sizeof want, "] %s\r\n", end);
	ck_assert_msg(line[0] == '+' && strstr(line, want), "no %s in %s", end, line);
	free(line);
}

START_TEST(test_monitor_sees_every_command)
{
	struct resp_client *m = connect_to(&server), *other = connect_to(&server);
	expect(m, "MONITOR", OK);
	expect(c, "SET \"a\\x01\\n\" 1", OK);
	expect_line(m, "\"SET\" \"a\\x01\\n\" \"1\"");
	expect(c, "MULTI", OK);
	expect(c, "INCR n", "+QUEUED\r\n");
	expect_any(c, "EXEC");
	expect_line(m, "\"MULTI\"");
	expect_line(m, "\"INCR\" \"n\"");
	expect_line(m, "\"EXEC\"");
	expect_prefix(c, "AUTH secret", "-ERR ");
	expect_line(m, "\"AUTH\" \"(redacted)\"");
	expect_any(c, "CONFIG GET port"); /* admin: not shown */
	expect(c, "NOSUCH", "-ERR unknown command 'NOSUCH', with args beginning with: \r\n");
	expect(other, "PING", "+PONG\r\n");
	expect_line(m, "\"PING\"");
	expect(m, "RESET", "+RESET\r\n");
	expect(c, "PING", "+PONG\r\n");
	expect(m, "PING", "+PONG\r\n");
	resp_close(m);
	resp_close(other);
}
END_TEST

/* Lines of its own commands stand behind their replies; a monitor has no keys. */
START_TEST(test_monitor_and_its_own_commands)
{
	static const char lines[] = "MONITOR\r\nPING a\r\nMONITOR\r\nSET k 1\r\nECHO b\r\nRESET\r\nPING c\r\nSET k 1\r\nMONITOR\r\nQUIT\r\n";
	struct resp_client *m = connect_to(&server);
	ck_assert(resp_send_bytes(m, lines, sizeof lines - 1));
	expect_reply(m, OK);
	expect_reply(m, "$1\r\na\r\n");
	expect_line(m, "\"PING\" \"a\"");
	expect_reply(m, "-ERR Replica can't interact with the keyspace\r\n");
	expect_reply(m, "$1\r\nb\r\n");
	expect_line(m, "\"ECHO\" \"b\"");
	expect_reply(m, "+RESET\r\n");
	expect_reply(m, "$1\r\nc\r\n");
	expect_reply(m, OK);
	expect_reply(m, OK);
	expect_reply(m, OK);
	struct resp_bytes none;
	ck_assert(!resp_read(m, &none));
	resp_close(m);
}
END_TEST

COMMAND_TESTS("slowlog", test_slow_commands_are_kept_newest_first, test_slow_log_shortens_and_hides, test_spikes,
              test_histograms, test_monitor_sees_every_command,
              test_monitor_and_its_own_commands)
