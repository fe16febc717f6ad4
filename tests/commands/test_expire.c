/* Expiry: setting, conditions, asking, and that keys really go. */
#include <stdio.h>
#include <time.h>

#include "tests/lib/expect.h"

#define NOT_INT "-ERR value is not an integer or out of range\r\n"
#define NIL "$-1\r\n"
#define OK "+OK\r\n"

static int64_t wall_ms(void)
{
	struct timespec t;
	clock_gettime(CLOCK_REALTIME, &t);
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

START_TEST(test_set_and_ask)
{
	expect_int(c, "EXPIRE none 10", 0);
	expect_int(c, "TTL none", -2);
	expect_int(c, "PTTL none", -2);
	expect_int(c, "EXPIRETIME none", -2);
	expect_int(c, "PEXPIRETIME none", -2);
	expect_int(c, "PERSIST none", 0);
	expect(c, "SET k v", OK);
	expect_int(c, "TTL k", -1);
	expect_int(c, "PTTL k", -1);
	expect_int(c, "EXPIRETIME k", -1);
	expect_int(c, "PEXPIRETIME k", -1);
	expect_int(c, "PERSIST k", 0);
	expect_int(c, "EXPIRE k 100", 1);
	expect_ttl(c, "k", 100);
	int64_t left = ask_int(c, "PTTL k"), at = ask_int(c, "PEXPIRETIME k");
	ck_assert_int_le(left, 100000);
	ck_assert_int_ge(left, 100000 - elapsed_ms() - 100);
	ck_assert_int_le(at, wall_ms() + 100000);
	ck_assert_int_ge(at, wall_ms() + 100000 - elapsed_ms() - 100);
	expect_int(c, "PERSIST k", 1);
	expect_int(c, "TTL k", -1);
	expect_int(c, "PEXPIRE k 100000", 1);
	expect_ttl(c, "k", 100);
	expect_int(c, "EXPIREAT k 33177117420", 1);
	expect_int(c, "EXPIRETIME k", 33177117420);
	expect_int(c, "PEXPIREAT k 33177117420500", 1);
	expect_int(c, "EXPIRETIME k", 33177117421);
	expect_int(c, "PEXPIREAT k 33177117420499", 1);
	expect_int(c, "EXPIRETIME k", 33177117420);
	expect_int(c, "PEXPIRETIME k", 33177117420499);
	expect(c, "GET k", "$1\r\nv\r\n");
}
END_TEST

START_TEST(test_past)
{
	static const char *const lines[] = { "EXPIRE k 0",  "EXPIRE k -1",    "PEXPIRE k -100",           "EXPIREAT k 1",
		                                 "PEXPIREAT k 1", "EXPIREAT k -1", "EXPIRE k -9223372036854775" };
	for (size_t i = 0; i < sizeof lines / sizeof *lines; i++) {
		expect(c, "SET k v", OK);
		expect_int(c, lines[i], 1);
		expect_int(c, "EXISTS k", 0);
		expect_int(c, "DBSIZE", 0);
	}
}
END_TEST

START_TEST(test_conditions)
{
	static const char both[] = "-ERR NX and XX, GT or LT options at the same time are not compatible\r\n";
	expect(c, "SET k v", OK);
	expect_int(c, "EXPIRE k 100 XX", 0);
	expect_int(c, "EXPIRE k 100 GT", 0);
	expect_int(c, "EXPIRE k 100 XX LT", 0);
	expect_int(c, "EXPIRE k 100 NX", 1);
	expect_int(c, "EXPIRE k 200 nx", 0);
	expect_int(c, "EXPIRE k 50 GT", 0);
	expect_int(c, "EXPIRE k 200 GT", 1);
	expect_int(c, "EXPIRE k 300 LT", 0);
	expect_int(c, "EXPIRE k 150 XX LT", 1);
	expect_ttl(c, "k", 150);
	expect_int(c, "PERSIST k", 1);
	expect_int(c, "EXPIRE k 100 LT", 1);
	expect_int(c, "EXPIREAT k 33177117420", 1);
	expect_int(c, "EXPIREAT k 33177117420 GT", 0);
	expect_int(c, "EXPIREAT k 33177117420 LT", 0);
	expect_int(c, "EXPIREAT k 33177117419 LT XX XX", 1);
	expect_(c, "EXPIRE k 1 NX XX", both, sizeof both - 1, __FILE__, __LINE__);
	expect_(c, "EXPIRE k 1 NX GT", both, sizeof both - 1, __FILE__, __LINE__);
	expect(c, "EXPIRE k 1 GT LT", "-ERR GT and LT options at the same time are not compatible\r\n");
	expect(c, "EXPIRE k 1 FOO", "-ERR Unsupported option FOO\r\n");
	expect(c, "EXPIRE k x FOO", "-ERR Unsupported option FOO\r\n");
	/* A time in the past is subject to the condition, too. */
	expect_int(c, "EXPIRE k -1 GT", 0);
	expect_int(c, "EXISTS k", 1);
	expect_int(c, "EXPIRE k -1 LT", 1);
	expect_int(c, "EXISTS k", 0);
}
END_TEST

START_TEST(test_limits)
{
	expect(c, "SET k v", OK);
	expect(c, "EXPIRE k x", NOT_INT);
	expect(c, "EXPIRE k 9223372036854775808", NOT_INT);
	expect(c, "EXPIRE k 9223372036854775807", "-ERR invalid expire time in 'expire' command\r\n");
	expect(c, "EXPIRE k -9223372036854775807", "-ERR invalid expire time in 'expire' command\r\n");
	expect(c, "EXPIRE k 9223372036854775", "-ERR invalid expire time in 'expire' command\r\n");
	expect(c, "PEXPIRE k 9223372036854775807", "-ERR invalid expire time in 'pexpire' command\r\n");
	expect(c, "EXPIREAT k 9223372036854776", "-ERR invalid expire time in 'expireat' command\r\n");
	expect_int(c, "TTL k", -1);
	expect_int(c, "EXPIREAT k 9223372036854775", 1);
	expect_int(c, "EXPIRETIME k", 9223372036854775);
	expect_int(c, "PEXPIREAT k 9223372036854775807", 1);
	expect_int(c, "EXPIRETIME k", 9223372036854776);
	expect(c, "GET k", "$1\r\nv\r\n");
}
END_TEST

/* Reads until the key is gone: a wait for an event, limited by the test's own time limit. */
START_TEST(test_keys_go)
{
	int64_t set = wall_ms();
	expect(c, "SET k v PX 30", OK);
	int64_t due = wall_ms() + 30, asked;
	while (asked = wall_ms(), ask_int(c, "EXISTS k"))
		ck_assert_int_le(asked, due); /* not seen once it is due */
	ck_assert_int_ge(wall_ms() - set, 28);
	expect(c, "GET k", NIL);
	expect_int(c, "TTL k", -2);
	/* every way to see an expired key */
	static const char *const lines[] = { "STRLEN k", "EXISTS k", "TOUCH k", "PERSIST k", "DEL k", "RENAMENX k k" };
	for (size_t i = 0; i < sizeof lines / sizeof *lines; i++) {
		expect(c, "SET k v PXAT 1", OK);
		if (i < 5)
			expect_int(c, lines[i], 0);
		else
			expect(c, lines[i], "-ERR no such key\r\n");
	}
	expect(c, "SET k v PXAT 1", OK);
	expect(c, "SET k w NX", OK);
	expect(c, "SET k v PXAT 1", OK);
	expect(c, "KEYS *", "*0\r\n");
	expect(c, "SET k v PXAT 1", OK);
	expect_int(c, "INCR k", 1);
	expect_int(c, "TTL k", -1);
}
END_TEST

/* Nobody asks for them, and they go all the same. */
START_TEST(test_active)
{
	char line[64];
	for (int i = 0; i < 2000; i++) {
		snprintf(line, sizeof line, "SET key:%d v PX %d", i, 10 + i % 50);
		expect(c, line, OK);
	}
	expect(c, "SET stays v", OK);
	while (ask_int(c, "DBSIZE") > 1)
		; /* limited by the test's own time limit, as above */
	expect_int(c, "EXISTS stays", 1);
}
END_TEST

COMMAND_TESTS("expire", test_set_and_ask, test_past, test_conditions, test_limits, test_keys_go, test_active)
