/* Commands on sets: replies, error texts and side effects as servers of version 7.2 give them. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/lib/expect.h"

#define WRONG "-WRONGTYPE Operation against a key holding the wrong kind of value\r\n"
#define NOT_INT "-ERR value is not an integer or out of range\r\n"
#define POSITIVE "-ERR value is out of range, must be positive\r\n"
#define SYNTAX "-ERR syntax error\r\n"
#define NIL "$-1\r\n"
#define OK "+OK\r\n"

START_TEST(test_add_remove)
{
	expect_int(c, "SADD k a b a", 2);
	expect_int(c, "SADD k a 1 01", 2);
	expect_int(c, "SCARD k", 4);
	expect_int(c, "SCARD none", 0);
	expect(c, "SMEMBERS k", "*4\r\n$1\r\na\r\n$1\r\nb\r\n$1\r\n1\r\n$2\r\n01\r\n");
	expect(c, "SMEMBERS none", "*0\r\n");
	expect_int(c, "SISMEMBER k 01", 1);
	expect_int(c, "SISMEMBER k x", 0);
	expect_int(c, "SISMEMBER none x", 0);
	expect(c, "SMISMEMBER k a x 1", "*3\r\n:1\r\n:0\r\n:1\r\n");
	expect(c, "SMISMEMBER none a x", "*2\r\n:0\r\n:0\r\n");
	expect_int(c, "SREM k a x a", 1);
	expect_int(c, "SREM k b 1 01", 3);
	expect_int(c, "EXISTS k", 0);
	expect_int(c, "SREM k a", 0);
	expect(c, "SADD k", "-ERR wrong number of arguments for 'sadd' command\r\n");
}
END_TEST

START_TEST(test_wrong_type)
{
	static const char *const lines[] = {
		"SADD s a", "SREM s a", "SCARD s", "SISMEMBER s a", "SMISMEMBER s a", "SMEMBERS s", "SPOP s", "SPOP s 1",
		"SRANDMEMBER s", "SRANDMEMBER s 1", "SSCAN s 0", "SINTER k s", "SINTER none s", "SUNION k s", "SDIFF k s", "SDIFF s",
		"SINTERSTORE d k s", "SUNIONSTORE d s k", "SDIFFSTORE d none s", "SINTERCARD 2 k s", "SMOVE s k a", "SMOVE k s a",
	};
	expect(c, "SET s v", OK);
	expect_int(c, "SADD k a", 1);
	for (size_t i = 0; i < sizeof lines / sizeof *lines; i++)
		expect(c, lines[i], WRONG);
	expect_int(c, "SMOVE none s a", 0);
	expect_int(c, "EXISTS d", 0);
	expect(c, "GET k", WRONG);
}
END_TEST

START_TEST(test_move)
{
	expect_int(c, "SADD a 1 x", 2);
	expect_int(c, "SMOVE a b x", 1);
	expect_int(c, "SMOVE a b x", 0);
	expect_int(c, "SMOVE a a 1", 1);
	expect_int(c, "SMOVE a a 2", 0);
	expect_int(c, "SMOVE a c 1", 1);
	expect_int(c, "EXISTS a", 0);
	expect_bulk(c, "OBJECT ENCODING b", "listpack");
	expect_bulk(c, "OBJECT ENCODING c", "intset");
	expect_int(c, "SADD b 1", 1);
	expect_int(c, "SMOVE c b 1", 1);
	expect_int(c, "EXISTS c", 0);
	expect_int(c, "SCARD b", 2);
}
END_TEST

START_TEST(test_algebra)
{
	expect_int(c, "SADD a 1 2 3 4", 4);
	expect_int(c, "SADD b 3 4 5", 3);
	expect_int(c, "SADD c 4 x", 2);
	expect(c, "SINTER a b", "*2\r\n$1\r\n3\r\n$1\r\n4\r\n");
	expect(c, "SINTER a b c", "*1\r\n$1\r\n4\r\n");
	expect(c, "SINTER a none", "*0\r\n");
	expect(c, "SINTER a", "*4\r\n$1\r\n1\r\n$1\r\n2\r\n$1\r\n3\r\n$1\r\n4\r\n");
	expect(c, "SDIFF a b", "*2\r\n$1\r\n1\r\n$1\r\n2\r\n");
	expect(c, "SDIFF a b none c", "*2\r\n$1\r\n1\r\n$1\r\n2\r\n");
	expect(c, "SDIFF a b a", "*0\r\n");
	expect(c, "SDIFF none a", "*0\r\n");
	expect(c, "SUNION a b", "*5\r\n$1\r\n1\r\n$1\r\n2\r\n$1\r\n3\r\n$1\r\n4\r\n$1\r\n5\r\n");
	expect(c, "SUNION none", "*0\r\n");
	expect_int(c, "SINTERSTORE d a b", 2);
	expect(c, "SMEMBERS d", "*2\r\n$1\r\n3\r\n$1\r\n4\r\n");
	expect_int(c, "SUNIONSTORE d d c", 3);
	expect_int(c, "SDIFFSTORE d d a", 1);
	expect(c, "SMEMBERS d", "*1\r\n$1\r\nx\r\n");
	expect_int(c, "EXPIRE d 100", 1);
	expect_int(c, "SINTERSTORE d a a", 4);
	expect_int(c, "TTL d", -1);
	expect_int(c, "SDIFFSTORE d a a", 0);
	expect_int(c, "EXISTS d", 0);
	expect(c, "SET d text", OK);
	expect_int(c, "SINTERSTORE d a none", 0);
	expect_int(c, "EXISTS d", 0);
	expect(c, "SET d text", OK);
	expect_int(c, "SUNIONSTORE d a", 4);
	expect_int(c, "SUNIONSTORE a none", 0);
	expect_int(c, "EXISTS a", 0);
}
END_TEST

START_TEST(test_sintercard)
{
	expect_int(c, "SADD a 1 2 3 4", 4);
	expect_int(c, "SADD b 2 3 4 5", 4);
	expect_int(c, "SINTERCARD 2 a b", 3);
	expect_int(c, "SINTERCARD 2 a b LIMIT 2", 2);
	expect_int(c, "SINTERCARD 2 a b LIMIT 0", 3);
	expect_int(c, "SINTERCARD 2 a none", 0);
	expect(c, "SINTERCARD 0 a", "-ERR numkeys should be greater than 0\r\n");
	expect(c, "SINTERCARD x a", "-ERR numkeys should be greater than 0\r\n");
	expect(c, "SINTERCARD 3 a b", "-ERR Number of keys can't be greater than number of args\r\n");
	expect(c, "SINTERCARD 9223372036854775807 a b", "-ERR Number of keys can't be greater than number of args\r\n");
	expect(c, "SINTERCARD 1 a LIMIT", SYNTAX);
	expect(c, "SINTERCARD 1 a b", SYNTAX);
	expect(c, "SINTERCARD 1 a LIMIT -1", "-ERR LIMIT can't be negative\r\n");
}
END_TEST

static void fill(const char *key, const char *prefix, int from, int to)
{
	char line[64];
	for (int i = from; i < to; i++) {
		snprintf(line, sizeof line, "SADD %s %s%d", key, prefix, i);
		expect_int(c, line, 1);
	}
}

/* Against each other: every form of the two sets, sizes that make either way of the difference the cheaper one. */
START_TEST(test_algebra_forms)
{
	static const struct {
		const char *prefix;
		int n;
	} forms[] = { { "", 100 }, { "m", 100 }, { "", 1500 }, { "m", 1500 } };
	char line[64];
	for (int i = 0; i < 4; i++) {
		for (int j = 0; j < 4; j++) {
			expect_any(c, "FLUSHALL");
			fill("a", forms[i].prefix, 0, forms[i].n);
			fill("b", forms[j].prefix, forms[j].n / 2, forms[j].n / 2 + forms[j].n);
			int low = forms[j].n / 2, common = forms[i].n - low < forms[j].n ? forms[i].n - low : forms[j].n;
			if (strcmp(forms[i].prefix, forms[j].prefix) || common < 0)
				common = 0;
			expect_int(c, "SINTERCARD 2 a b", common);
			expect_int(c, "SINTERSTORE d a b", common);
			expect_int(c, "SUNIONSTORE u a b", forms[i].n + forms[j].n - common);
			expect_int(c, "SDIFFSTORE x a b", forms[i].n - common);
			expect_int(c, "SDIFFSTORE y u a b", 0);
			/* the parts make the whole again */
			expect_int(c, "SUNIONSTORE z d x", forms[i].n);
			expect(c, "SDIFF z a", "*0\r\n");
			snprintf(line, sizeof line, "*%d\r\n", forms[i].n - common);
			expect_prefix(c, "SDIFF a b", line);
		}
	}
}
END_TEST

START_TEST(test_encodings)
{
	expect_int(c, "SADD k 1 2", 2);
	expect_bulk(c, "OBJECT ENCODING k", "intset");
	expect_int(c, "SADD k x", 1);
	expect_bulk(c, "OBJECT ENCODING k", "listpack");
	expect_int(c, "SADD k 01234567890123456789012345678901234567890123456789012345678901234", 1);
	expect_bulk(c, "OBJECT ENCODING k", "hashtable");
	fill("n", "", 0, 512);
	expect_bulk(c, "OBJECT ENCODING n", "intset");
	fill("n", "", 512, 513);
	expect_bulk(c, "OBJECT ENCODING n", "hashtable");
	fill("m", "m", 0, 128);
	expect_bulk(c, "OBJECT ENCODING m", "listpack");
	fill("m", "m", 128, 129);
	expect_bulk(c, "OBJECT ENCODING m", "hashtable");
	expect_int(c, "SREM m m1 m2 m3 m4", 4);
	expect_bulk(c, "OBJECT ENCODING m", "hashtable");
	fill("i", "", 0, 128);
	expect_int(c, "SADD i x", 1);
	expect_bulk(c, "OBJECT ENCODING i", "hashtable");
	expect_int(c, "SINTERSTORE d n i", 128);
	expect_bulk(c, "OBJECT ENCODING d", "intset");
	expect_int(c, "SINTERSTORE d i m n", 0);
	expect(c, "CONFIG SET set-max-intset-entries 2 set-max-listpack-entries 2 set-max-listpack-value 3", OK);
	expect_int(c, "SADD p 1 2 3", 3);
	expect_bulk(c, "OBJECT ENCODING p", "hashtable");
	expect_int(c, "SADD q 1000", 1);
	expect_int(c, "SADD q x", 1);
	expect_bulk(c, "OBJECT ENCODING q", "hashtable");
	expect(c, "CONFIG SET set-max-intset-entries 512 set-max-listpack-entries 128 set-max-listpack-value 64", OK);
}
END_TEST

START_TEST(test_pop)
{
	expect(c, "SPOP none", NIL);
	expect(c, "SPOP none 3", "*0\r\n");
	expect_int(c, "SADD k a", 1);
	expect(c, "SPOP k 0", "*0\r\n");
	expect(c, "SPOP k -1", POSITIVE);
	expect(c, "SPOP k x", POSITIVE);
	expect(c, "SPOP k 1 1", SYNTAX);
	expect_bulk(c, "SPOP k", "a");
	expect_int(c, "EXISTS k", 0);
	expect_int(c, "SADD k a b", 2);
	expect(c, "SPOP k 9223372036854775807", "*2\r\n$1\r\na\r\n$1\r\nb\r\n");
	expect_int(c, "EXISTS k", 0);
}
END_TEST

/* What is popped was there, once, and is gone: few and many of a set of each form. */
START_TEST(test_pop_many)
{
	static const struct {
		const char *prefix;
		int n, pop;
	} cases[] = { { "", 400, 30 }, { "", 400, 390 }, { "m", 120, 7 }, { "m", 120, 100 }, { "m", 3000, 10 }, { "m", 3000, 2500 } };
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		char line[64];
		size_t skip = strlen(cases[i].prefix);
		bool gone[3000] = { false };
		fill("k", cases[i].prefix, 0, cases[i].n);
		snprintf(line, sizeof line, "SPOP k %d", cases[i].pop);
		struct resp_value *v = resp_ask(c, line);
		ck_assert_uint_eq(v->n, (size_t)cases[i].pop);
		for (size_t m = 0; m < v->n; m++) {
			long at = strtol(v->elements[m].text + skip, NULL, 10);
			ck_assert(at >= 0 && at < cases[i].n && !gone[at]);
			gone[at] = true;
		}
		resp_value_free(v);
		expect_int(c, "SCARD k", cases[i].n - cases[i].pop);
		for (int m = 0; m < cases[i].n; m++) {
			snprintf(line, sizeof line, "SISMEMBER k %s%d", cases[i].prefix, m);
			expect_int(c, line, !gone[m]);
		}
		expect_int(c, "DEL k", 1);
	}
}
END_TEST

/* *RANDMEMBER, HRANDFIELD (CVE-2023-22458, -25155): counts without an absolute value, or that no reply can have */
START_TEST(test_random_counts)
{
	expect_int(c, "SADD k a b", 2);
	expect(c, "SRANDMEMBER k -9223372036854775808",
	       "-ERR value is out of range, value must between -9223372036854775807 and 9223372036854775807\r\n");
	expect(c, "SRANDMEMBER k -9223372036854775807", "-ERR value is out of range\r\n");
	expect(c, "SRANDMEMBER k 9223372036854775808", NOT_INT);
	expect(c, "SRANDMEMBER k 9223372036854775807", "*2\r\n$1\r\na\r\n$1\r\nb\r\n");
	expect(c, "SRANDMEMBER none -9223372036854775807", "*0\r\n");
	expect_int(c, "SCARD k", 2);
}
END_TEST

/* A count that the limit of replies lets pass, of members that together go beyond it: the client is closed, nobody else is. */
START_TEST(test_random_reply_limit)
{
	struct resp_client *greedy = connect_to(&server);
	char *bytes = malloc(100001);
	memset(bytes, 'x', 100000);
	struct resp_bytes add[] = { { "SADD", 4 }, { "k", 1 }, { bytes, 100000 } };
	ck_assert(resp_send_argv(c, 3, add));
	expect_reply(c, ":1\r\n");
	expect(c, "CONFIG SET client-output-buffer-limit \"normal 64mb 0 0\"", OK);
	ck_assert(resp_send(greedy, "SRANDMEMBER k -10000000"));
	ck_assert(resp_read_eof(greedy));
	expect(c, "PING", "+PONG\r\n");
	expect_int(c, "SCARD k", 1);
	expect(c, "CONFIG SET client-output-buffer-limit \"normal 1gb 256mb 60\"", OK);
	resp_close(greedy);
	free(bytes);
}
END_TEST

START_TEST(test_random)
{
	expect(c, "SRANDMEMBER none", NIL);
	expect(c, "SRANDMEMBER none 2", "*0\r\n");
	expect_int(c, "SADD k a", 1);
	expect_bulk(c, "SRANDMEMBER k", "a");
	expect(c, "SRANDMEMBER k 0", "*0\r\n");
	expect(c, "SRANDMEMBER k 3", "*1\r\n$1\r\na\r\n");
	expect(c, "SRANDMEMBER k -3", "*3\r\n$1\r\na\r\n$1\r\na\r\n$1\r\na\r\n");
	expect(c, "SRANDMEMBER k 1 1", SYNTAX);
	expect(c, "SRANDMEMBER k x", NOT_INT);
	/* each member has its chance */
	for (int form = 0; form < 2; form++) {
		int n = form ? 1000 : 100, met = 0;
		bool ever[1000] = { false };
		expect_any(c, "FLUSHALL");
		fill("k", "m", 0, n);
		for (int round = 0; round < 20000 && met < n; round++) {
			struct resp_value *v = resp_ask(c, round % 2 ? "SRANDMEMBER k 10" : "SRANDMEMBER k -10");
			ck_assert_uint_eq(v->n, 10);
			for (size_t i = 0; i < v->n; i++) {
				long at = strtol(v->elements[i].text + 1, NULL, 10);
				met += !ever[at];
				ever[at] = true;
			}
			resp_value_free(v);
		}
		ck_assert_int_eq(met, n);
	}
}
END_TEST

START_TEST(test_scan)
{
	expect(c, "SSCAN none 0", "*2\r\n$1\r\n0\r\n*0\r\n");
	expect_int(c, "SADD k 1 2 30", 3);
	expect(c, "SSCAN k 0", "*2\r\n$1\r\n0\r\n*3\r\n$1\r\n1\r\n$1\r\n2\r\n$2\r\n30\r\n");
	expect(c, "SSCAN k 0 MATCH 3* COUNT 1", "*2\r\n$1\r\n0\r\n*1\r\n$2\r\n30\r\n");
	expect(c, "SSCAN k 0 COUNT 0", SYNTAX);
	expect(c, "SSCAN k x", "-ERR invalid cursor\r\n");
	fill("t", "m", 0, 2000);
	size_t seen = 0;
	char cursor[32] = "0", line[64];
	do {
		snprintf(line, sizeof line, "SSCAN t %s COUNT 50", cursor);
		struct resp_value *v = resp_ask(c, line);
		snprintf(cursor, sizeof cursor, "%s", v->elements[0].text);
		seen += v->elements[1].n;
		ck_assert_uint_le(v->elements[1].n, 200);
		resp_value_free(v);
	} while (strcmp(cursor, "0"));
	ck_assert_uint_eq(seen, 2000);
}
END_TEST

/* A large set goes in the background. */
START_TEST(test_large_delete)
{
	expect_any(c, "FLUSHALL");
	for (int i = 0; i < 200; i++) {
		static char line[5000 * 10];
		size_t n = (size_t)snprintf(line, sizeof line, "*1002\r\n$4\r\nSADD\r\n$1\r\nk\r\n");
		for (int j = 0; j < 1000; j++)
			n += (size_t)snprintf(line + n, sizeof line - n, "$7\r\nm%06d\r\n", i * 1000 + j);
		ck_assert(resp_send_bytes(c, line, n));
		expect_reply(c, ":1000\r\n");
	}
	expect_int(c, "SCARD k", 200000);
	expect(c, "SET k gone", OK);
	while (info_int(c, "memory", "lazyfreed_objects") < 1)
		; /* until the time limit of the test */
}
END_TEST

START_TEST(test_resp3)
{
	struct resp_client *three = connect_to(&server);
	expect_any(three, "HELLO 3");
	expect(three, "SADD k 1 2", ":2\r\n");
	expect(three, "SMEMBERS k", "~2\r\n$1\r\n1\r\n$1\r\n2\r\n");
	expect(three, "SMEMBERS none", "~0\r\n");
	expect(three, "SINTER k k", "~2\r\n$1\r\n1\r\n$1\r\n2\r\n");
	expect(three, "SINTER k none", "~0\r\n");
	expect(three, "SUNION k", "~2\r\n$1\r\n1\r\n$1\r\n2\r\n");
	expect(three, "SDIFF k none", "~2\r\n$1\r\n1\r\n$1\r\n2\r\n");
	expect(three, "SMISMEMBER k 1 x", "*2\r\n:1\r\n:0\r\n");
	expect(three, "SRANDMEMBER k 5", "*2\r\n$1\r\n1\r\n$1\r\n2\r\n");
	expect(three, "SRANDMEMBER none", "_\r\n");
	expect(three, "SPOP none", "_\r\n");
	expect(three, "SPOP none 1", "~0\r\n");
	expect(three, "SPOP k 5", "~2\r\n$1\r\n1\r\n$1\r\n2\r\n");
	resp_close(three);
}
END_TEST

COMMAND_TESTS("set", test_add_remove, test_wrong_type, test_move, test_algebra, test_sintercard, test_algebra_forms,
              test_encodings, test_pop, test_pop_many, test_random_counts, test_random_reply_limit, test_random, test_scan,
              test_large_delete, test_resp3)
