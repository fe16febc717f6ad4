/* SCAN's guarantees, KEYS and RANDOMKEY. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/lib/expect.h"

#define SYNTAX "-ERR syntax error\r\n"
#define OK "+OK\r\n"

static void fill(int from, int to)
{
	char line[64];
	for (int i = from; i < to; i++) {
		snprintf(line, sizeof line, "SET key:%d %d", i, i);
		expect(c, line, OK);
	}
}

/* One call of SCAN: counts the keys named "key:N" into seen. Returns the next cursor. */
static uint64_t scan_once(uint64_t cursor, const char *options, unsigned *seen, unsigned limit, unsigned *others)
{
	char line[128];
	snprintf(line, sizeof line, "SCAN %llu %s", (unsigned long long)cursor, options);
	struct resp_value *v = resp_ask(c, line);
	ck_assert_msg(v && v->type == '*' && v->n == 2, "%s", line);
	cursor = strtoull(v->elements[0].text, NULL, 10);
	ck_assert_uint_lt(cursor, UINT64_C(1) << 53);
	for (size_t i = 0; i < v->elements[1].n; i++) {
		const char *name = v->elements[1].elements[i].text;
		unsigned n = strncmp(name, "key:", 4) ? limit : (unsigned)strtoul(name + 4, NULL, 10);
		if (n < limit)
			seen[n]++;
		else
			++*others;
	}
	resp_value_free(v);
	return cursor;
}

static unsigned scan_all(const char *options, unsigned *seen, unsigned limit)
{
	uint64_t cursor = 0;
	unsigned others = 0, calls = 0;
	do {
		cursor = scan_once(cursor, options, seen, limit, &others);
		ck_assert_uint_lt(++calls, 100000);
	} while (cursor);
	return others;
}

START_TEST(test_whole)
{
	unsigned seen[1000] = { 0 };
	fill(0, 1000);
	ck_assert_uint_eq(scan_all("", seen, 1000), 0);
	for (int i = 0; i < 1000; i++)
		ck_assert_msg(seen[i] >= 1, "key:%d was not seen", i);
	memset(seen, 0, sizeof seen);
	scan_all("COUNT 1", seen, 1000);
	for (int i = 0; i < 1000; i++)
		ck_assert_msg(seen[i] >= 1, "key:%d was not seen", i);
	/* All in one call: then nothing can happen in between, and each is there once. */
	memset(seen, 0, sizeof seen);
	scan_all("COUNT 100000000", seen, 1000);
	for (int i = 0; i < 1000; i++)
		ck_assert_msg(seen[i] == 1, "key:%d was seen %u times", i, seen[i]);
	unsigned others = 0;
	ck_assert_uint_eq(scan_once(0, "COUNT 1000000", seen, 1000, &others), 0);
}
END_TEST

START_TEST(test_options)
{
	unsigned seen[100] = { 0 };
	fill(0, 100);
	ck_assert_uint_eq(scan_all("MATCH key:1?", seen, 100), 0);
	for (unsigned i = 0; i < 100; i++)
		ck_assert_uint_eq(seen[i], i >= 10 && i < 20);
	ck_assert_uint_eq(scan_all("TYPE string MATCH key:2?", seen, 100), 0);
	ck_assert_uint_eq(scan_all("TYPE list", seen, 100), 0);
	ck_assert_uint_eq(scan_all("type STRING match key:3* count 3", seen, 100), 0);
	for (unsigned i = 0; i < 100; i++)
		ck_assert_uint_eq(seen[i], i == 3 || (i >= 10 && i < 40));
	expect(c, "SCAN 0 COUNT 0", SYNTAX);
	expect(c, "SCAN 0 COUNT -5", SYNTAX);
	expect(c, "SCAN 0 COUNT x", "-ERR value is not an integer or out of range\r\n");
	expect(c, "SCAN 0 MATCH", SYNTAX);
	expect(c, "SCAN 0 FOO bar", SYNTAX);
	expect(c, "SCAN x", "-ERR invalid cursor\r\n");
	expect(c, "SCAN \" 0\"", "-ERR invalid cursor\r\n");
	expect(c, "SCAN 0x", "-ERR invalid cursor\r\n");
	expect_prefix(c, "SCAN -1", "*2\r\n");
	expect_prefix(c, "SCAN \"\"", "*2\r\n");
	expect(c, "SCAN 18446744073709551616", "-ERR invalid cursor\r\n");
	/* Any number is a cursor, and the walk ends. */
	uint64_t cursor = UINT64_MAX;
	unsigned others = 0, calls = 0;
	do {
		cursor = scan_once(cursor, "", seen, 100, &others);
		ck_assert_uint_lt(++calls, 100000);
	} while (cursor);
}
END_TEST

/* A key that is there from the beginning to the end of a walk is seen, while the table grows and shrinks below it. */
START_TEST(test_while_growing)
{
	unsigned seen[500] = { 0 }, others = 0;
	int next = 500;
	uint64_t cursor = 0;
	fill(0, 500);
	do {
		cursor = scan_once(cursor, "COUNT 5", seen, 500, &others);
		if (next < 10000) {
			fill(next, next + 100);
			next += 100;
		}
	} while (cursor);
	for (int i = 0; i < 500; i++)
		ck_assert_msg(seen[i] >= 1, "key:%d was not seen", i);
}
END_TEST

START_TEST(test_while_shrinking)
{
	unsigned seen[500] = { 0 }, others = 0;
	int next = 10000;
	uint64_t cursor = 0;
	char line[64];
	fill(0, 10000);
	do {
		cursor = scan_once(cursor, "COUNT 5", seen, 500, &others);
		for (int i = 0; i < 100 && next > 500; i++) {
			snprintf(line, sizeof line, "DEL key:%d", --next);
			expect_int(c, line, 1);
		}
	} while (cursor);
	for (int i = 0; i < 500; i++)
		ck_assert_msg(seen[i] >= 1, "key:%d was not seen", i);
}
END_TEST

START_TEST(test_expired_are_hidden)
{
	unsigned seen[10] = { 0 };
	fill(0, 5);
	for (int i = 5; i < 10; i++) {
		char line[64];
		snprintf(line, sizeof line, "SET key:%d v PXAT 1", i);
		expect(c, line, OK);
	}
	scan_all("", seen, 10);
	for (int i = 0; i < 10; i++)
		ck_assert_uint_eq(seen[i], i < 5);
}
END_TEST

START_TEST(test_keys)
{
	expect(c, "KEYS *", "*0\r\n");
	expect(c, "MSET one 1 two 2 three 3 four 4", OK);
	expect(c, "KEYS t?o", "*1\r\n$3\r\ntwo\r\n");
	expect(c, "KEYS none*", "*0\r\n");
	expect(c, "KEYS [a-f]*", "*1\r\n$4\r\nfour\r\n");
	expect_prefix(c, "KEYS *", "*4\r\n");
	expect(c, "SELECT 1", OK);
	expect(c, "KEYS *", "*0\r\n");
}
END_TEST

/* glob (CVE-2022-36021, 2024-31228) */
START_TEST(test_glob_bomb)
{
	char line[256], name[200];
	memset(name, 'a', sizeof name - 1);
	name[sizeof name - 1] = 0;
	snprintf(line, sizeof line, "SET %s v", name);
	expect(c, line, OK);
	expect(c, "KEYS a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*b", "*0\r\n");
	expect(c, "PING", "+PONG\r\n");
}
END_TEST

START_TEST(test_randomkey)
{
	unsigned seen[20] = { 0 };
	expect(c, "RANDOMKEY", "$-1\r\n");
	fill(0, 20);
	expect(c, "RANDOMKEY x", "-ERR wrong number of arguments for 'randomkey' command\r\n");
	for (int i = 0; i < 4000; i++) {
		struct resp_value *v = resp_ask(c, "RANDOMKEY");
		ck_assert(v && v->type == '$' && !v->null && strncmp(v->text, "key:", 4) == 0);
		seen[strtoul(v->text + 4, NULL, 10)]++;
		resp_value_free(v);
	}
	/* 200 are expected of each, with a standard deviation of 14. */
	for (int i = 0; i < 20; i++)
		ck_assert_msg(seen[i] > 100 && seen[i] < 300, "key:%d was chosen %u times", i, seen[i]);
	expect(c, "FLUSHALL", OK);
	expect(c, "SET gone v PXAT 1", OK);
	expect(c, "RANDOMKEY", "$-1\r\n");
}
END_TEST

COMMAND_TESTS("scan", test_whole, test_options, test_while_growing, test_while_shrinking, test_expired_are_hidden,
              test_keys, test_glob_bomb, test_randomkey)
