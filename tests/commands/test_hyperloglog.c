/* HyperLogLog: bytes, counts, merging, damage. */
#include <stdio.h>
#include <stdlib.h>

#include "tests/lib/expect.h"

#define OK "+OK\r\n"
#define CORRUPT "-INVALIDOBJ Corrupted HLL object detected\r\n"
#define NOT_ONE "-WRONGTYPE Key is not a valid HyperLogLog string value.\r\n"

START_TEST(test_bytes_are_those_of_redis)
{
	expect(c, "PFADD h a b c", ":1\r\n");
	expect(c, "GET h", "$27\r\nHYLL\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x80`\xf3\x80P\xb1\x84K\xfb\x80"
	                   "BZ\r\n");
	expect(c, "PFADD h a", ":0\r\n");
	expect(c, "PFCOUNT h", ":3\r\n");
	expect(c, "GET h", "$27\r\nHYLL\x01\x00\x00\x00\x03\x00\x00\x00\x00\x00\x00\x00`\xf3\x80P\xb1\x84K\xfb\x80"
	                   "BZ\r\n");
	expect(c, "PFADD e", ":1\r\n");
	expect(c, "PFADD e", ":0\r\n");
	expect(c, "PFCOUNT e none", ":0\r\n");
	expect(c, "PFDEBUG ENCODING h", "+sparse\r\n");
	expect_bulk(c, "PFDEBUG DECODE h", "Z:8436 v:1,1 Z:4274 v:2,1 Z:3068 v:1,1 Z:603");
	expect(c, "PFDEBUG TODENSE h", ":1\r\n");
	expect(c, "STRLEN h", ":12304\r\n");
	expect(c, "PFCOUNT h", ":3\r\n");
	expect(c, "PFSELFTEST", OK);
}
END_TEST

START_TEST(test_counts_and_merges)
{
	char line[64];
	for (int i = 0; i < 5000; i++) {
		snprintf(line, sizeof line, "PFADD %s %d", i % 2 ? "odd" : "even", i);
		expect_any(c, line);
	}
	int64_t odd = ask_int(c, "PFCOUNT odd"), both = ask_int(c, "PFCOUNT odd even");
	ck_assert_int_lt(llabs(odd - 2500), 125);
	ck_assert_int_lt(llabs(both - 5000), 250);
	expect(c, "PFMERGE all odd even none", OK);
	expect_int(c, "PFCOUNT all", both);
	expect(c, "PFMERGE all", OK);
	expect_int(c, "PFCOUNT all", both);
}
END_TEST

/* SETRANGE corrupts an HLL, then PFCOUNT; run lengths sum past 16384. */
START_TEST(test_damaged_ones)
{
	expect(c, "SET s x", OK);
	expect(c, "PFADD s 1", NOT_ONE);
	expect(c, "SET s HYLLxxxxxxxxxxxxxxxx", OK);
	expect(c, "PFCOUNT s", NOT_ONE);
	expect(c, "PFADD d a b c", ":1\r\n");
	expect(c, "PFDEBUG TODENSE d", ":1\r\n");
	expect_any(c, "APPEND d x");
	expect(c, "PFCOUNT d", NOT_ONE);
	static const char *const tails[] = { "\\x7f\\xff\\x7f\\xff", "\\x7f\\xfe", "\\x7f", "\\xff\\xff\\xff", "" };
	for (size_t i = 0; i < sizeof tails / sizeof *tails; i++) {
		char line[160];
		snprintf(line, sizeof line, "SET h \"HYLL\\x01\\x00\\x00\\x00\\x00\\x00\\x00\\x00\\x00\\x00\\x00\\x80%s\"", tails[i]);
		expect(c, line, OK);
		expect(c, "PFCOUNT h", CORRUPT);
		expect(c, "PFMERGE m h", CORRUPT);
		expect(c, "PFCOUNT h none", CORRUPT);
		expect(c, "PFDEBUG GETREG h", CORRUPT);
		expect_any(c, "PFDEBUG DECODE h");
		struct resp_bytes r; /* may find its register before the damage */
		ck_assert(resp_send(c, "PFADD h a b c d e f") && resp_read(c, &r));
	}
	expect(c, "EXISTS m", ":0\r\n");
}
END_TEST

/* Loaded it is embstr, and raw once a command has looked at it that may change one. */
START_TEST(test_encodings_are_those_of_redis)
{
	static const char *const lookers[] = { "PFADD h a", "PFCOUNT h", "PFDEBUG ENCODING h", "PFDEBUG DECODE h", "PFMERGE h h" };
	expect(c, "PFADD h a b c", ":1\r\n");
	expect_bulk(c, "OBJECT ENCODING h", "raw");
	for (size_t i = 0; i < sizeof lookers / sizeof *lookers; i++) {
		for (int again = 0; again < 2; again++) { /* also where the count is remembered */
			expect(c, "DEBUG RELOAD", OK);
			expect(c, "PFCOUNT h none", ":3\r\n");
			expect_bulk(c, "OBJECT ENCODING h", "embstr");
			expect_any(c, lookers[i]);
			expect_bulk(c, "OBJECT ENCODING h", "raw");
		}
	}
	expect(c, "PFCOUNT h", ":3\r\n");
}
END_TEST

COMMAND_TESTS("hyperloglog", test_bytes_are_those_of_redis, test_encodings_are_those_of_redis, test_counts_and_merges,
              test_damaged_ones)
