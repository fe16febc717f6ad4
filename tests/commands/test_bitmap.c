/* Bits of strings: limits, ranges, fields. */
#include <stdio.h>

#include "tests/lib/expect.h"

#define OFFSET "-ERR bit offset is not an integer or out of range\r\n"

START_TEST(test_single_bits)
{
	expect(c, "SETBIT k 7 1", ":0\r\n");
	expect(c, "SETBIT k 7 0", ":1\r\n");
	expect(c, "SETBIT k 100 1", ":0\r\n");
	expect(c, "STRLEN k", ":13\r\n");
	expect(c, "GETBIT k 100", ":1\r\n");
	expect(c, "GETBIT k 1000", ":0\r\n");
	expect(c, "SET n 1", "+OK\r\n");
	expect(c, "GETBIT n 2", ":1\r\n"); /* an integer is its digits */
	expect(c, "SETBIT n 7 0", ":1\r\n");
	expect_bulk(c, "GET n", "0");
	expect(c, "SETBIT k 0 2", "-ERR bit is not an integer or out of range\r\n");
}
END_TEST

/* BITFIELD/SETBIT 32-bit offsets. */
START_TEST(test_offsets_are_bounded)
{
	static const char *const bad[] = { "4294967296", "-1", "9223372036854775807", "9223372036854775808", "x", "#1" };
	char line[128];
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
		snprintf(line, sizeof line, "SETBIT k %s 1", bad[i]);
		expect(c, line, OFFSET);
		snprintf(line, sizeof line, "GETBIT k %s", bad[i]);
		expect(c, line, OFFSET);
	}
	expect(c, "BITFIELD k SET u8 4294967296 1", OFFSET);
	expect(c, "BITFIELD k SET u8 #536870912 1", OFFSET);
	expect(c, "BITFIELD k SET u8 #9223372036854775807 1", OFFSET);
	expect(c, "EXISTS k", ":0\r\n");
	expect(c, "SETBIT k 4294967295 1", ":0\r\n");
	expect(c, "STRLEN k", ":536870912\r\n");
	expect(c, "BITCOUNT k", ":1\r\n");
	expect(c, "BITPOS k 1", ":4294967295\r\n");
}
END_TEST

START_TEST(test_ranges)
{
	expect(c, "SET k \"\\xff\\xf0\\x00\"", "+OK\r\n");
	expect(c, "BITCOUNT k", ":12\r\n");
	expect(c, "BITCOUNT k 1 1", ":4\r\n");
	expect(c, "BITCOUNT k 5 30 BIT", ":7\r\n");
	expect(c, "BITCOUNT k -2 -1", ":4\r\n");
	expect(c, "BITCOUNT k 2 1", ":0\r\n");
	expect(c, "BITCOUNT k 1", "-ERR syntax error\r\n");
	expect(c, "BITPOS k 0", ":12\r\n");
	expect(c, "BITPOS k 1 2", ":-1\r\n");
	expect(c, "BITPOS k 0 0 0", ":-1\r\n");
	expect(c, "BITPOS k 0 9 -1 BIT", ":12\r\n");
	expect(c, "BITPOS k 2", "-ERR The bit argument must be 1 or 0.\r\n");
	expect(c, "BITPOS none 0", ":0\r\n");
	expect(c, "BITPOS none 1", ":-1\r\n");
	expect(c, "SET full \"\\xff\"", "+OK\r\n");
	expect(c, "BITPOS full 0", ":8\r\n");
	expect(c, "BITPOS full 0 0 -1", ":-1\r\n");
}
END_TEST

/* Both ends before the first byte, and crossed. */
START_TEST(test_crossed_ranges)
{
	expect(c, "SET k \"\\xff\\xf0\"", "+OK\r\n");
	expect(c, "BITCOUNT k -13 -24", ":0\r\n");
	expect(c, "BITPOS k 1 -13 -24", ":0\r\n");
	expect(c, "BITPOS k 0 -13 -24", ":-1\r\n");
	expect(c, "BITPOS k 1 -1 -2", ":-1\r\n");
	/* a string without a byte; the next in memory is not looked at */
	expect(c, "SET e abc", "+OK\r\n");
	expect(c, "SET e \"\"", "+OK\r\n");
	expect(c, "BITCOUNT e", ":0\r\n");
	expect(c, "BITCOUNT e 0 -1 BIT", ":0\r\n");
	expect(c, "BITPOS e 1", ":-1\r\n");
	expect(c, "BITPOS e 0", ":-1\r\n");
}
END_TEST

START_TEST(test_combining)
{
	expect(c, "MSET a \"\\x0f\\xff\" b \"\\x3c\"", "+OK\r\n");
	expect(c, "BITOP AND d a b", ":2\r\n");
	expect(c, "GET d", "$2\r\n\x0c\x00\r\n");
	expect(c, "BITOP OR d a b", ":2\r\n");
	expect(c, "GET d", "$2\r\n\x3f\xff\r\n");
	expect(c, "BITOP XOR d a b none", ":2\r\n");
	expect(c, "GET d", "$2\r\n\x33\xff\r\n");
	expect(c, "BITOP NOT d a", ":2\r\n");
	expect(c, "GET d", "$2\r\n\xf0\x00\r\n");
	expect(c, "BITOP NOT d a b", "-ERR BITOP NOT must be called with a single source key.\r\n");
	expect(c, "BITOP OR d none none", ":0\r\n");
	expect(c, "EXISTS d", ":0\r\n");
	expect(c, "LPUSH l x", ":1\r\n");
	expect_prefix(c, "BITOP OR d a l", "-WRONGTYPE ");
}
END_TEST

START_TEST(test_fields)
{
	expect(c, "BITFIELD k SET i8 0 -1 GET u8 0 INCRBY u4 4 2", "*3\r\n:0\r\n:255\r\n:1\r\n");
	expect(c, "BITFIELD k OVERFLOW SAT INCRBY u4 4 100", "*1\r\n:15\r\n");
	expect(c, "BITFIELD k OVERFLOW FAIL INCRBY u4 4 1 GET u4 4", "*2\r\n$-1\r\n:15\r\n");
	expect(c, "BITFIELD s SET i64 0 9223372036854775807 INCRBY i64 0 1", "*2\r\n:0\r\n:-9223372036854775808\r\n");
	expect(c, "BITFIELD s OVERFLOW SAT INCRBY i64 0 -1", "*1\r\n:-9223372036854775808\r\n");
	expect(c, "BITFIELD k GET u8 #1", "*1\r\n:0\r\n");
	expect(c, "BITFIELD k", "*0\r\n");
	expect(c, "BITFIELD k GET u64 0",
	       "-ERR Invalid bitfield type. Use something like i16 u8. Note that u64 is not supported but i64 is.\r\n");
	expect(c, "BITFIELD k OVERFLOW NO SET u8 0 1", "-ERR Invalid OVERFLOW type specified\r\n");
	expect(c, "BITFIELD_RO k GET u8 0", "*1\r\n:255\r\n");
	expect(c, "BITFIELD_RO k SET u8 0 1", "-ERR BITFIELD_RO only supports the GET subcommand\r\n");
}
END_TEST

/* A string that grew though no field fitted: changed for the journal, but without an event. */
START_TEST(test_fields_that_fail)
{
	struct resp_client *s = connect_to(&server);
	expect(c, "CONFIG SET notify-keyspace-events KA", "+OK\r\n");
	expect_prefix(s, "SUBSCRIBE __keyspace@0__:k", "*3\r\n");
	expect(c, "BITFIELD k OVERFLOW FAIL INCRBY u2 100 7", "*1\r\n$-1\r\n");
	expect_int(c, "STRLEN k", 13);
	expect_int(c, "DEL k", 1);
	expect_reply(s, "*3\r\n$7\r\nmessage\r\n$16\r\n__keyspace@0__:k\r\n$3\r\ndel\r\n");
	expect(c, "CONFIG SET notify-keyspace-events \"\"", "+OK\r\n");
	resp_close(s);
}
END_TEST

COMMAND_TESTS("bitmap", test_single_bits, test_offsets_are_bounded, test_ranges, test_crossed_ranges, test_combining, test_fields,
              test_fields_that_fail)
