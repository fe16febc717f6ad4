/* Arguments at the limits of every integer, unknown commands and subcommands, wrong numbers of arguments. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/lib/expect.h"

START_TEST(counters_at_their_limits)
{
	expect(c, "SET n 9223372036854775807", "+OK\r\n");
	expect(c, "INCR n", "-ERR increment or decrement would overflow\r\n");
	expect(c, "DECRBY n -9223372036854775808", "-ERR decrement would overflow\r\n");
	expect(c, "INCRBY n -9223372036854775808", ":-1\r\n");
	expect(c, "DECRBY n 9223372036854775807", ":-9223372036854775808\r\n");
	expect(c, "DECR n", "-ERR increment or decrement would overflow\r\n");
	expect(c, "INCRBY n 9223372036854775808", "-ERR value is not an integer or out of range\r\n");
	expect(c, "INCRBY n -9223372036854775809", "-ERR value is not an integer or out of range\r\n");
	expect(c, "SET n 9223372036854775808", "+OK\r\n");
	expect(c, "INCR n", "-ERR value is not an integer or out of range\r\n");
	expect(c, "INCRBYFLOAT n nan", "-ERR value is not a valid float\r\n");
	expect(c, "SET f 1e4932", "+OK\r\n");
	expect(c, "INCRBYFLOAT f inf", "-ERR increment would produce NaN or Infinity\r\n");
}
END_TEST

START_TEST(ranges_at_their_limits)
{
	expect(c, "SET s hello", "+OK\r\n");
	expect_bulk(c, "GETRANGE s -9223372036854775808 9223372036854775807", "hello");
	expect_bulk(c, "GETRANGE s 9223372036854775807 -9223372036854775808", "");
	expect_bulk(c, "GETRANGE s -1 -1", "o");
	expect(c, "GETRANGE s 0 9223372036854775808", "-ERR value is not an integer or out of range\r\n");
	expect(c, "SETRANGE s -1 x", "-ERR offset is out of range\r\n");
	expect(c, "SETRANGE s 536870912 x", "-ERR string exceeds maximum allowed size (proto-max-bulk-len)\r\n");
	expect(c, "SETRANGE s 9223372036854775807 x", "-ERR string exceeds maximum allowed size (proto-max-bulk-len)\r\n");
	expect(c, "SETRANGE s 9223372036854775807 \"\"", ":5\r\n");
	expect(c, "SETRANGE s 4294967296 x", "-ERR string exceeds maximum allowed size (proto-max-bulk-len)\r\n");
	expect_bulk(c, "GET s", "hello");
}
END_TEST

START_TEST(expiries_at_their_limits)
{
	expect(c, "SET k v", "+OK\r\n");
	expect(c, "EXPIRE k 9223372036854775807", "-ERR invalid expire time in 'expire' command\r\n");
	expect(c, "EXPIRE k -9223372036854775808", "-ERR invalid expire time in 'expire' command\r\n");
	expect(c, "PEXPIRE k 9223372036854775807", "-ERR invalid expire time in 'pexpire' command\r\n");
	expect(c, "EXPIREAT k 9223372036854775", ":1\r\n");
	expect(c, "PEXPIREAT k 9223372036854775807", ":1\r\n");
	/* The last millisecond of all stands for no expiry. */
	expect_prefix(c, "PEXPIRETIME k", ":922337203685477580");
	expect(c, "SET k v EX 0", "-ERR invalid expire time in 'set' command\r\n");
	expect(c, "SET k v PX -1", "-ERR invalid expire time in 'set' command\r\n");
	expect(c, "SET k v EX 9223372036854775807", "-ERR invalid expire time in 'set' command\r\n");
	expect(c, "SETEX k 0 v", "-ERR invalid expire time in 'setex' command\r\n");
	expect(c, "PSETEX k 9223372036854775808 v", "-ERR value is not an integer or out of range\r\n");
	expect(c, "GETEX k EX 9223372036854775807", "-ERR invalid expire time in 'getex' command\r\n");
	expect(c, "PEXPIREAT k -9223372036854775808", ":1\r\n");
	expect(c, "EXISTS k", ":0\r\n");
}
END_TEST

START_TEST(databases_and_cursors)
{
	expect(c, "SELECT 16", "-ERR DB index is out of range\r\n");
	expect(c, "SELECT -1", "-ERR DB index is out of range\r\n");
	expect(c, "SELECT 9223372036854775808", "-ERR value is not an integer or out of range\r\n");
	expect(c, "MOVE k 99999999999", "-ERR value is out of range, value must between -2147483648 and 2147483647\r\n");
	expect(c, "SCAN abc", "-ERR invalid cursor\r\n");
	expect(c, "SCAN 18446744073709551616", "-ERR invalid cursor\r\n");
	expect(c, "SCAN 0 COUNT 0", "-ERR syntax error\r\n");
	expect(c, "SCAN 0 COUNT 9223372036854775808", "-ERR value is not an integer or out of range\r\n");
	expect_prefix(c, "SCAN 18446744073709551615", "*2\r\n");
	expect_prefix(c, "SCAN 9007199254740993 COUNT 9223372036854775807", "*2\r\n");
}
END_TEST

START_TEST(lcs_of_long_strings)
{
	/* The product of the lengths is what costs. */
	char *value = malloc(70001);
	memset(value, 'a', 70000);
	struct resp_bytes set[3] = { { "SET", 3 }, { "a", 1 }, { value, 70000 } }, got;
	for (int i = 0; i < 2; i++) {
		set[1].ptr = i ? "b" : "a";
		ck_assert(resp_send_argv(c, 3, set));
		expect_reply(c, "+OK\r\n");
	}
	ck_assert(resp_send(c, "LCS a b LEN") && resp_read(c, &got));
	ck_assert_msg(*got.ptr == '-' || !memcmp(got.ptr, ":70000", 6), "%.*s", (int)got.len, got.ptr);
	expect(c, "PING", "+PONG\r\n");
	free(value);
}
END_TEST

START_TEST(slow_patterns)
{
	char line[400];
	expect(c, "SET aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa 1", "+OK\r\n");
	expect(c, "KEYS a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*b", "*0\r\n");
	expect(c, "KEYS [a-z]*[a-z]*[a-z]*[a-z]*[a-z]*[a-z]*[a-z]*[a-z]*[a-z]*[a-z]*[a-z]*[a-z]*[a-z]*b", "*0\r\n");
	snprintf(line, sizeof line, "CONFIG GET %s", "*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*b*x");
	expect(c, line, "*0\r\n");
}
END_TEST

START_TEST(unknown_commands)
{
	expect(c, "FOO", "-ERR unknown command 'FOO', with args beginning with: \r\n");
	expect(c, "FOO a b", "-ERR unknown command 'FOO', with args beginning with: 'a' 'b' \r\n");
	expect(c, "CLIENT FOO", "-ERR unknown subcommand 'FOO'. Try CLIENT HELP.\r\n");
	expect(c, "CONFIG", "-ERR wrong number of arguments for 'config' command\r\n");
	expect(c, "OBJECT FOO k", "-ERR unknown subcommand 'FOO'. Try OBJECT HELP.\r\n");
	expect(c, "\"\"", "-ERR unknown command '', with args beginning with: \r\n");
	expect(c, "DEBUG FOO", "-ERR unknown subcommand or wrong number of arguments for 'FOO'. Try DEBUG HELP.\r\n");
}
END_TEST

/* Every command of the table, with one argument too few, and, where there is a most, with one too many. */
START_TEST(wrong_arity_of_every_command)
{
	struct resp_value *rows = resp_ask(c, "COMMAND");
	ck_assert(rows && rows->n > 60);
	for (size_t i = 0; i < rows->n; i++) {
		const char *name = rows->elements[i].elements[0].text;
		int64_t arity = rows->elements[i].elements[1].integer;
		int64_t min = arity < 0 ? -arity : arity;
		struct resp_bytes argv[64], got;
		char want[128];
		for (size_t k = 0; k < 64; k++)
			argv[k] = (struct resp_bytes){ "1", 1 };
		argv[0] = (struct resp_bytes){ name, strlen(name) };
		int n = snprintf(want, sizeof want, "-ERR wrong number of arguments for '%s' command\r\n", name);
		for (int too_many = 0; too_many < 2; too_many++) {
			size_t argc = too_many ? (size_t)min + 1 : (size_t)min - 1;
			if (argc < 1 || (too_many && arity < 0))
				continue;
			ck_assert(resp_send_argv(c, argc, argv) && resp_read(c, &got));
			if (!strncmp(got.ptr, "-EXECABORT", 10))
				continue;
			ck_assert_msg(got.len == (size_t)n && !memcmp(got.ptr, want, got.len), "%s: %.*s", name, (int)got.len, got.ptr);
		}
	}
	resp_value_free(rows);
}
END_TEST

START_TEST(getkeys_validates_first)
{
	expect(c, "COMMAND GETKEYS", "-ERR wrong number of arguments for 'command|getkeys' command\r\n");
	expect(c, "COMMAND GETKEYS FOO a", "-ERR Invalid command specified\r\n");
	expect(c, "COMMAND GETKEYS SET a", "-ERR Invalid number of arguments specified for command\r\n");
	expect(c, "COMMAND GETKEYS PING", "-ERR The command has no key arguments\r\n");
	expect(c, "COMMAND GETKEYS MSET a 1 b 2", "*2\r\n$1\r\na\r\n$1\r\nb\r\n");
}
END_TEST

START_TEST(same_key_twice)
{
	expect(c, "MSETNX k 1 k 2", ":1\r\n");
	expect_bulk(c, "GET k", "2");
	expect(c, "MSET k 3 k 4", "+OK\r\n");
	expect_bulk(c, "GET k", "4");
	expect(c, "RENAME k k", "+OK\r\n");
	expect(c, "EXISTS k k", ":2\r\n");
	expect(c, "DEL k k", ":1\r\n");
	expect(c, "COPY k k", "-ERR source and destination objects are the same\r\n");
}
END_TEST

COMMAND_TESTS("arguments", counters_at_their_limits, ranges_at_their_limits, expiries_at_their_limits, databases_and_cursors,
              lcs_of_long_strings, slow_patterns, unknown_commands, wrong_arity_of_every_command, getkeys_validates_first,
              same_key_twice)
