/* Commands on strings: replies, error texts and side effects as servers of version 7.2 give them. */
#include <stdlib.h>
#include <string.h>

#include "tests/lib/expect.h"

#define WRONG "-WRONGTYPE Operation against a key holding the wrong kind of value\r\n"
#define NOT_INT "-ERR value is not an integer or out of range\r\n"
#define SYNTAX "-ERR syntax error\r\n"
#define NIL "$-1\r\n"
#define OK "+OK\r\n"

START_TEST(test_get_set)
{
	expect(c, "GET k", NIL);
	expect(c, "SET k v", OK);
	expect(c, "GET k", "$1\r\nv\r\n");
	expect(c, "SET k \"\"", OK);
	expect(c, "GET k", "$0\r\n\r\n");
	expect(c, "SET \"\" empty", OK);
	expect(c, "GET \"\"", "$5\r\nempty\r\n");
	expect(c, "SET k \"a\\x00b\\r\\n\"", OK);
	expect(c, "GET k", "$5\r\na\0b\r\n\r\n");
	expect(c, "SET k", "-ERR wrong number of arguments for 'set' command\r\n");
	expect(c, "GET", "-ERR wrong number of arguments for 'get' command\r\n");
	expect(c, "SET k 9223372036854775807", OK);
	expect(c, "GET k", "$19\r\n9223372036854775807\r\n");
	expect(c, "SET k 0123", OK);
	expect(c, "GET k", "$4\r\n0123\r\n");
}
END_TEST

START_TEST(test_every_length)
{
	/* Around every border between ways to hold a string. */
	static const size_t lengths[] = { 0, 1, 19, 20, 21, 43, 44, 45, 63, 64, 65, 255, 256, 16383, 16384, 32767, 32768, 32769,
		                              65535, 65536, 100000, 1 << 20 };
	for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++) {
		char *bytes = malloc(lengths[i] + 1);
		for (size_t j = 0; j < lengths[i]; j++)
			bytes[j] = (char)('a' + (j * 7 + i) % 26);
		struct resp_bytes set[] = { { "SET", 3 }, { "key", 3 }, { bytes, lengths[i] } };
		ck_assert(resp_send_argv(c, 3, set));
		expect_reply(c, OK);
		struct resp_value *v = resp_ask(c, "GET key");
		ck_assert(v && v->type == '$');
		ck_assert_uint_eq(v->len, lengths[i]);
		ck_assert(memcmp(v->text, bytes, lengths[i]) == 0);
		resp_value_free(v);
		expect_int(c, "STRLEN key", (int64_t)lengths[i]);
		expect_int(c, "APPEND key xyz", (int64_t)lengths[i] + 3);
		expect_bulk(c, "GETRANGE key -3 -1", "xyz");
		expect(c, "OBJECT ENCODING key", "$3\r\nraw\r\n");
		expect_int(c, "COPY key copy REPLACE", 1);
		expect_int(c, "STRLEN copy", (int64_t)lengths[i] + 3);
		free(bytes);
	}
}
END_TEST

START_TEST(test_set_conditions)
{
	expect(c, "SET k 1 XX", NIL);
	expect(c, "SET k 1 NX", OK);
	expect(c, "SET k 2 NX", NIL);
	expect(c, "SET k 2 XX", OK);
	expect(c, "SET k 3 NX GET", "$1\r\n2\r\n");
	expect(c, "GET k", "$1\r\n2\r\n");
	expect(c, "SET k 3 XX GET", "$1\r\n2\r\n");
	expect(c, "SET k 4 get get", "$1\r\n3\r\n");
	expect(c, "SET nk 1 GET NX", NIL);
	expect(c, "GET nk", "$1\r\n1\r\n");
	expect(c, "SET other 1 GET XX", NIL);
	expect(c, "EXISTS other", ":0\r\n");
	expect(c, "SET k 1 NX XX", SYNTAX);
	expect(c, "SET k 1 nx nx", NIL);
	expect(c, "SET k 1 FOO", SYNTAX);
	expect(c, "SET k 1 PERSIST", SYNTAX);
	expect(c, "SETNX k 9", ":0\r\n");
	expect(c, "SETNX fresh 9", ":1\r\n");
	expect(c, "GETSET k 5", "$1\r\n4\r\n");
	expect(c, "GETSET none 5", NIL);
}
END_TEST

START_TEST(test_set_expiry)
{
	expect(c, "SET k v EX 100", OK);
	expect_ttl(c, "k", 100);
	expect(c, "SET k v PX 100000", OK);
	expect_ttl(c, "k", 100);
	expect(c, "SET k w KEEPTTL", OK);
	expect_ttl(c, "k", 100);
	expect(c, "SET k w", OK);
	expect_int(c, "TTL k", -1);
	expect(c, "SET k v EXAT 33177117420", OK);
	expect_int(c, "EXPIRETIME k", 33177117420);
	expect(c, "SET k v PXAT 33177117420123", OK);
	expect_int(c, "PEXPIRETIME k", 33177117420123);
	expect(c, "GETSET k x", "$1\r\nv\r\n");
	expect_int(c, "TTL k", -1);
	expect(c, "SET k v EXAT 1", OK);
	expect(c, "GET k", NIL);
	expect(c, "SETEX k 50 v", OK);
	expect_ttl(c, "k", 50);
	expect(c, "PSETEX k 50000 v", OK);
	expect_ttl(c, "k", 50);
}
END_TEST

START_TEST(test_set_bad_expiry)
{
	static const char *const invalid[] = {
		"SET k v EX 0", "SET k v EX -1", "SET k v PX 0", "SET k v EXAT 0", "SET k v PXAT -5",
		"SET k v EX 9223372036854775807", "SET k v PX 9223372036854775807", "SET k v EXAT 9223372036854775807",
		"SET k v EX 9223372036854776",
	};
	for (size_t i = 0; i < sizeof invalid / sizeof *invalid; i++)
		expect(c, invalid[i], "-ERR invalid expire time in 'set' command\r\n");
	expect(c, "SET k v EX x", NOT_INT);
	expect(c, "SET k v EX", SYNTAX);
	expect(c, "SET k v EX 1 PX 1", SYNTAX);
	expect(c, "SET k v EX 1 KEEPTTL", SYNTAX);
	expect(c, "SET k v KEEPTTL EX 1", SYNTAX);
	expect(c, "SET k v EX 1 EX 20", OK);
	expect_ttl(c, "k", 20);
	expect(c, "SETEX k 0 v", "-ERR invalid expire time in 'setex' command\r\n");
	expect(c, "SETEX k x v", NOT_INT);
	expect(c, "PSETEX k -1 v", "-ERR invalid expire time in 'psetex' command\r\n");
	expect(c, "PSETEX k 9223372036854775807 v", "-ERR invalid expire time in 'psetex' command\r\n");
}
END_TEST

START_TEST(test_getex_getdel)
{
	expect(c, "GETEX k", NIL);
	expect(c, "GETEX k EX 0", NIL);
	expect(c, "SET k v", OK);
	expect(c, "GETEX k EX 100", "$1\r\nv\r\n");
	expect_ttl(c, "k", 100);
	expect(c, "GETEX k", "$1\r\nv\r\n");
	expect_ttl(c, "k", 100);
	expect(c, "GETEX k PERSIST", "$1\r\nv\r\n");
	expect_int(c, "TTL k", -1);
	expect(c, "GETEX k PX 100000", "$1\r\nv\r\n");
	expect_ttl(c, "k", 100);
	expect(c, "GETEX k EXAT 33177117420", "$1\r\nv\r\n");
	expect_int(c, "EXPIRETIME k", 33177117420);
	expect(c, "GETEX k EX 0", "-ERR invalid expire time in 'getex' command\r\n");
	expect(c, "GETEX k PERSIST EX 1", SYNTAX);
	expect(c, "GETEX k KEEPTTL", SYNTAX);
	expect(c, "GETEX k NX", SYNTAX);
	expect(c, "GETEX k PXAT 1", "$1\r\nv\r\n");
	expect(c, "EXISTS k", ":0\r\n");
	expect(c, "SET k v", OK);
	expect(c, "GETDEL k", "$1\r\nv\r\n");
	expect(c, "GETDEL k", NIL);
	expect(c, "EXISTS k", ":0\r\n");
}
END_TEST

START_TEST(test_counters)
{
	expect_int(c, "INCR n", 1);
	expect_int(c, "INCRBY n 41", 42);
	expect_int(c, "DECR n", 41);
	expect_int(c, "DECRBY n 50", -9);
	expect_int(c, "DECRBY n -9", 0);
	expect(c, "OBJECT ENCODING n", "$3\r\nint\r\n");
	expect(c, "EXPIRE n 100", ":1\r\n");
	expect_int(c, "INCR n", 1);
	expect_ttl(c, "n", 100);
	expect(c, "SET n 9223372036854775807", OK);
	expect(c, "INCR n", "-ERR increment or decrement would overflow\r\n");
	expect(c, "DECRBY n -9223372036854775808", "-ERR decrement would overflow\r\n");
	expect(c, "INCRBY n 9223372036854775808", NOT_INT);
	expect_int(c, "INCRBY n -9223372036854775807", 0);
	expect(c, "SET n -9223372036854775808", OK);
	expect(c, "DECR n", "-ERR increment or decrement would overflow\r\n");
	expect(c, "SET n \" 1\"", OK);
	expect(c, "INCR n", NOT_INT);
	expect(c, "SET n 01", OK);
	expect(c, "INCR n", NOT_INT);
	expect(c, "SET n 1", OK);
	expect(c, "INCRBY n 1.5", NOT_INT);
	/* Raw digits count as a number, too, and become one. */
	expect(c, "SET n 1", OK);
	expect_int(c, "APPEND n 0", 2);
	expect(c, "OBJECT ENCODING n", "$3\r\nraw\r\n");
	expect_int(c, "INCR n", 11);
	expect(c, "OBJECT ENCODING n", "$3\r\nint\r\n");
}
END_TEST

START_TEST(test_incrbyfloat)
{
	expect_bulk(c, "INCRBYFLOAT f 10.50", "10.5");
	expect_bulk(c, "INCRBYFLOAT f 0.1", "10.6");
	expect_bulk(c, "INCRBYFLOAT f -5", "5.6");
	expect(c, "SET f 5.0e3", OK);
	expect_bulk(c, "INCRBYFLOAT f 2.0e2", "5200");
	expect(c, "EXPIRE f 100", ":1\r\n");
	expect_bulk(c, "INCRBYFLOAT f 0x10", "5216");
	expect_ttl(c, "f", 100);
	expect(c, "INCRBYFLOAT f abc", "-ERR value is not a valid float\r\n");
	expect(c, "INCRBYFLOAT f nan", "-ERR value is not a valid float\r\n");
	expect(c, "INCRBYFLOAT f inf", "-ERR increment would produce NaN or Infinity\r\n");
	expect(c, "SET f \" 1\"", OK);
	expect(c, "INCRBYFLOAT f 1", "-ERR value is not a valid float\r\n");
	expect(c, "SET f -0", OK);
	expect_bulk(c, "INCRBYFLOAT f 0", "0");
}
END_TEST

START_TEST(test_many)
{
	expect(c, "MSET a 1 b 2 a 3", OK);
	expect(c, "MGET a b none", "*3\r\n$1\r\n3\r\n$1\r\n2\r\n$-1\r\n");
	expect(c, "MSET a", "-ERR wrong number of arguments for 'mset' command\r\n");
	expect(c, "MSET a 1 b", "-ERR wrong number of arguments for 'mset' command\r\n");
	expect(c, "MSETNX a 1 b", "-ERR wrong number of arguments for 'msetnx' command\r\n");
	expect(c, "MSETNX x 1 a 1", ":0\r\n");
	expect(c, "EXISTS x", ":0\r\n");
	/* the same key twice: the last value, and no crash */
	expect(c, "MSETNX k 1 k 2", ":1\r\n");
	expect(c, "GET k", "$1\r\n2\r\n");
	expect(c, "EXPIRE a 100", ":1\r\n");
	expect(c, "MSET a 9", OK);
	expect_int(c, "TTL a", -1);
}
END_TEST

START_TEST(test_append_setrange)
{
	expect_int(c, "APPEND k abc", 3);
	expect_int(c, "APPEND k \"\"", 3);
	expect_int(c, "APPEND k def", 6);
	expect(c, "GET k", "$6\r\nabcdef\r\n");
	expect_int(c, "SETRANGE k 2 XY", 6);
	expect(c, "GET k", "$6\r\nabXYef\r\n");
	expect_int(c, "SETRANGE k 8 z", 9);
	expect(c, "GET k", "$9\r\nabXYef\0\0z\r\n");
	expect_int(c, "SETRANGE none 5 \"\"", 0);
	expect(c, "EXISTS none", ":0\r\n");
	expect_int(c, "SETRANGE none 5 x", 6);
	expect(c, "GET none", "$6\r\n\0\0\0\0\0x\r\n");
	expect_int(c, "SETRANGE k 0 \"\"", 9);
	expect(c, "SET n 1234", OK);
	expect_int(c, "SETRANGE n 1 x", 4);
	expect(c, "GET n", "$4\r\n1x34\r\n");
	expect(c, "SETRANGE k -1 x", "-ERR offset is out of range\r\n");
	expect(c, "SETRANGE k x x", NOT_INT);
	expect(c, "EXPIRE k 100", ":1\r\n");
	expect_int(c, "APPEND k 1", 10);
	expect_ttl(c, "k", 100);
}
END_TEST

/* SETRANGE, SORT LIMIT (CVE-2022-35977); string growth (CVE-2021-21309) */
START_TEST(test_growth_limits)
{
	static const char too_long[] = "-ERR string exceeds maximum allowed size (proto-max-bulk-len)\r\n";
	expect_(c, "SETRANGE k 9223372036854775807 x", too_long, sizeof too_long - 1, __FILE__, __LINE__);
	expect_(c, "SETRANGE k 9223372036854775800 12345678", too_long, sizeof too_long - 1, __FILE__, __LINE__);
	expect_(c, "SETRANGE k 536870912 x", too_long, sizeof too_long - 1, __FILE__, __LINE__);
	expect(c, "SETRANGE k 9223372036854775808 x", NOT_INT);
	expect(c, "EXISTS k", ":0\r\n");
	expect_int(c, "SETRANGE k 536870911 x", 536870912);
	expect_(c, "APPEND k y", too_long, sizeof too_long - 1, __FILE__, __LINE__);
	expect_int(c, "STRLEN k", 536870912);
	expect_int(c, "DEL k", 1);
}
END_TEST

START_TEST(test_getrange)
{
	expect(c, "SET k \"This is a string\"", OK);
	expect_bulk(c, "GETRANGE k 0 3", "This");
	expect_bulk(c, "GETRANGE k -3 -1", "ing");
	expect_bulk(c, "GETRANGE k 0 -1", "This is a string");
	expect_bulk(c, "GETRANGE k 10 100", "string");
	expect_bulk(c, "GETRANGE k 5 3", "");
	expect_bulk(c, "GETRANGE k -1 -5", "");
	expect_bulk(c, "GETRANGE k -100 -50", "T");
	expect_bulk(c, "GETRANGE k -50 -100", "");
	expect_bulk(c, "GETRANGE k 100 200", "");
	expect_bulk(c, "GETRANGE k -9223372036854775808 9223372036854775807", "This is a string");
	expect_bulk(c, "SUBSTR k 5 6", "is");
	expect_bulk(c, "GETRANGE none 0 -1", "");
	expect(c, "SET n 12345", OK);
	expect_bulk(c, "GETRANGE n 1 2", "23");
	expect(c, "GETRANGE k x 1", NOT_INT);
	expect(c, "GETRANGE k 1 x", NOT_INT);
}
END_TEST

START_TEST(test_lcs)
{
	expect(c, "MSET a ohmytext b mynewtext", OK);
	expect_bulk(c, "LCS a b", "mytext");
	expect_int(c, "LCS a b LEN", 6);
	expect(c, "LCS a b IDX", "*4\r\n$7\r\nmatches\r\n*2\r\n*2\r\n*2\r\n:4\r\n:7\r\n*2\r\n:5\r\n:8\r\n*2\r\n*2\r\n:2\r\n:3\r\n"
	                         "*2\r\n:0\r\n:1\r\n$3\r\nlen\r\n:6\r\n");
	expect(c, "LCS a b IDX MINMATCHLEN 4 WITHMATCHLEN",
	       "*4\r\n$7\r\nmatches\r\n*1\r\n*3\r\n*2\r\n:4\r\n:7\r\n*2\r\n:5\r\n:8\r\n:4\r\n$3\r\nlen\r\n:6\r\n");
	expect(c, "LCS a none", "$0\r\n\r\n");
	expect(c, "LCS a none IDX", "*4\r\n$7\r\nmatches\r\n*0\r\n$3\r\nlen\r\n:0\r\n");
	expect(c, "LCS a b IDX LEN", "-ERR If you want both the length and indexes, please just use IDX.\r\n");
	expect(c, "LCS a b MINMATCHLEN", SYNTAX);
	expect(c, "LCS a b MINMATCHLEN x", NOT_INT);
	expect(c, "LCS a b FOO", SYNTAX);
	/* LCS (CVE-2021-29477, -32625): the product of the lengths wraps, or is just too much */
	expect_int(c, "SETRANGE a 20000 x", 20001);
	expect(c, "LCS a a LEN", "-ERR Insufficient memory, transient memory for LCS exceeds proto-max-bulk-len\r\n");
	expect_int(c, "SETRANGE a 100000000 x", 100000001);
	expect(c, "LCS a a", "-ERR Insufficient memory, transient memory for LCS exceeds proto-max-bulk-len\r\n");
}
END_TEST

START_TEST(test_resp3)
{
	struct resp_client *three = connect_to(&server);
	expect_any(three, "HELLO 3");
	expect(three, "GET none", "_\r\n");
	expect(three, "MGET none", "*1\r\n_\r\n");
	expect(three, "SET k v GET", "_\r\n");
	expect(three, "LCS k k IDX", "%2\r\n$7\r\nmatches\r\n*1\r\n*2\r\n*2\r\n:0\r\n:0\r\n*2\r\n:0\r\n:0\r\n$3\r\nlen\r\n:1\r\n");
	expect(three, "INCRBYFLOAT f 1.5", "$3\r\n1.5\r\n");
	resp_close(three);
}
END_TEST

START_TEST(test_encodings)
{
	expect(c, "SET k 12345", OK);
	expect_bulk(c, "OBJECT ENCODING k", "int");
	expect(c, "SET k hello", OK);
	expect_bulk(c, "OBJECT ENCODING k", "embstr");
	expect(c, "SET k 01234567890123456789012345678901234567890123", OK);
	expect_bulk(c, "OBJECT ENCODING k", "embstr");
	expect(c, "SET k 012345678901234567890123456789012345678901234", OK);
	expect_bulk(c, "OBJECT ENCODING k", "raw");
	expect_int(c, "APPEND fresh 12", 2);
	expect_bulk(c, "OBJECT ENCODING fresh", "int");
	expect_int(c, "SETRANGE part 0 12", 2);
	expect_bulk(c, "OBJECT ENCODING part", "raw");
}
END_TEST

COMMAND_TESTS("string", test_get_set, test_every_length, test_set_conditions, test_set_expiry, test_set_bad_expiry,
              test_getex_getdel, test_counters, test_incrbyfloat, test_many, test_append_setrange, test_growth_limits,
              test_getrange, test_lcs, test_resp3, test_encodings)
