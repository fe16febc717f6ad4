/* Commands on sorted sets: replies, error texts, encodings and bounds of what a few bytes can ask for. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/lib/expect.h"
#include "tests/lib/rng.h"

#define SYNTAX "-ERR syntax error\r\n"
#define NIL "$-1\r\n"

START_TEST(test_add)
{
	expect_int(c, "ZADD z 1 a 2 b 3 c", 3);
	expect_int(c, "ZADD z 1 a 2.5 b", 0);
	expect_int(c, "ZADD z CH 1 a 3 b 0.1 d", 2);
	expect_int(c, "ZADD z XX 9 new", 0);
	expect_int(c, "ZADD z NX 9 a 9 e", 1);
	expect_int(c, "ZADD z GT CH 0 a 2 a", 1);
	expect_int(c, "ZADD z LT CH 5 a 1 a", 1);
	expect_bulk(c, "ZADD z INCR 1.5 a", "2.5");
	expect(c, "ZADD z NX INCR 1 a", NIL);
	expect_bulk(c, "ZINCRBY z -3 a", "-0.5");
	expect_bulk(c, "ZSCORE z d", "0.1");
	expect(c, "ZMSCORE z a none d", "*3\r\n$4\r\n-0.5\r\n$-1\r\n$3\r\n0.1\r\n");
	expect(c, "ZADD z NX XX 1 a", "-ERR XX and NX options at the same time are not compatible\r\n");
	expect(c, "ZADD z GT LT 1 a", "-ERR GT, LT, and/or NX options at the same time are not compatible\r\n");
	expect(c, "ZADD z INCR 1 a 2 b", "-ERR INCR option supports a single increment-element pair\r\n");
	expect(c, "ZADD z 1 a 2", SYNTAX);
	expect(c, "ZADD z 1 a x b", "-ERR value is not a valid float\r\n");
	expect_int(c, "ZCARD z", 5);
	expect(c, "SET s x", "+OK\r\n");
	expect_prefix(c, "ZADD s 1 a", "-WRONGTYPE");
	expect_prefix(c, "ZRANGE s 0 -1", "-WRONGTYPE");
}
END_TEST

/* SAFETY: a score that is no number is refused, and the old one stays. */
START_TEST(test_scores_are_numbers)
{
	expect(c, "ZADD z nan a", "-ERR value is not a valid float\r\n");
	expect_int(c, "EXISTS z", 0);
	expect_int(c, "ZADD z inf a -inf b", 2);
	expect(c, "ZINCRBY z -inf a", "-ERR resulting score is not a number (NaN)\r\n");
	expect(c, "ZADD z INCR inf b", "-ERR resulting score is not a number (NaN)\r\n");
	expect_bulk(c, "ZSCORE z a", "inf");
	expect_int(c, "ZADD y -inf a inf b", 2);
	expect(c, "ZUNION 2 z y WITHSCORES", "*4\r\n$1\r\na\r\n$1\r\n0\r\n$1\r\nb\r\n$1\r\n0\r\n");
	expect(c, "ZUNION 1 z WEIGHTS 0 WITHSCORES", "*4\r\n$1\r\na\r\n$1\r\n0\r\n$1\r\nb\r\n$1\r\n0\r\n");
	expect(c, "ZRANGEBYSCORE z nan 1", "-ERR min or max is not a float\r\n");
	expect(c, "ZUNION 1 z WEIGHTS nan", "-ERR weight value is not a float\r\n");
}
END_TEST

START_TEST(test_ranges)
{
	expect_int(c, "ZADD z 1 a 2 b 3 c 4 d", 4);
	expect(c, "ZRANGE z 1 2", "*2\r\n$1\r\nb\r\n$1\r\nc\r\n");
	expect(c, "ZRANGE z 0 0 REV WITHSCORES", "*2\r\n$1\r\nd\r\n$1\r\n4\r\n");
	expect(c, "ZRANGE z (1 3 BYSCORE LIMIT 1 5", "*1\r\n$1\r\nc\r\n");
	expect(c, "ZRANGE z +inf (2 BYSCORE REV", "*2\r\n$1\r\nd\r\n$1\r\nc\r\n");
	expect(c, "ZRANGE z 0 -1 LIMIT 0 1",
	       "-ERR syntax error, LIMIT is only supported in combination with either BYSCORE or BYLEX\r\n");
	expect(c, "ZRANGE z - + BYLEX WITHSCORES",
	       "-ERR syntax error, WITHSCORES not supported in combination with BYLEX\r\n");
	expect(c, "ZRANGEBYLEX z a b", "-ERR min or max not valid string range item\r\n");
	expect_int(c, "ZCOUNT z 2 (4", 2);
	expect_int(c, "ZRANGESTORE y z 0 1", 2);
	expect_int(c, "ZRANGESTORE y none 0 1", 0);
	expect_int(c, "EXISTS y", 0);
	expect_int(c, "ZADD l 0 a 0 b 0 c 0 d", 4);
	expect(c, "ZREVRANGEBYLEX l [c (a", "*2\r\n$1\r\nc\r\n$1\r\nb\r\n");
	expect_int(c, "ZLEXCOUNT l - [c", 3);
	expect_int(c, "ZREMRANGEBYLEX l (a [c", 2);
	expect_int(c, "ZREMRANGEBYRANK z 0 0", 1);
	expect_int(c, "ZREMRANGEBYSCORE z -inf +inf", 3);
	expect_int(c, "EXISTS z", 0);
}
END_TEST

START_TEST(test_resp3)
{
	expect_any(c, "HELLO 3");
	expect_int(c, "ZADD z 1 a 0.1 b", 2);
	expect(c, "ZRANGE z 0 -1 WITHSCORES", "*2\r\n*2\r\n$1\r\nb\r\n,0.1\r\n*2\r\n$1\r\na\r\n,1\r\n");
	expect(c, "ZSCORE z none", "_\r\n");
	expect(c, "ZRANK z a WITHSCORE", "*2\r\n:1\r\n,1\r\n");
	expect(c, "ZPOPMIN z", "*2\r\n$1\r\nb\r\n,0.1\r\n");
	expect(c, "ZPOPMIN z 1", "*1\r\n*2\r\n$1\r\na\r\n,1\r\n");
	expect(c, "ZPOPMIN z", "*0\r\n");
	expect(c, "ZMPOP 1 z MIN", "_\r\n");
}
END_TEST

START_TEST(test_encodings)
{
	char line[4096];
	expect_int(c, "ZADD z 1 a", 1);
	expect_bulk(c, "OBJECT ENCODING z", "listpack");
	for (int i = 0; i < 128; i++) {
		snprintf(line, sizeof line, "ZADD z %d m%d", i % 7, i);
		expect_int(c, line, 1);
	}
	expect_bulk(c, "OBJECT ENCODING z", "skiplist");
	expect_int(c, "ZCARD z", 129);
	expect_int(c, "ZRANK z m127", 24);
	expect_int(c, "COPY z copy", 1);
	expect_int(c, "ZCARD copy", 129);
	expect_int(c, "ZREMRANGEBYRANK z 1 -1", 128);
	expect_bulk(c, "OBJECT ENCODING z", "skiplist");
	expect_int(c, "ZUNIONSTORE small 1 z", 1);
	expect_bulk(c, "OBJECT ENCODING small", "listpack");
	memset(line, 'x', 100);
	memcpy(line, "ZADD long 1 ", 12);
	line[100] = 0;
	expect_int(c, line, 1);
	expect_bulk(c, "OBJECT ENCODING long", "skiplist");
}
END_TEST

START_TEST(test_algebra)
{
	expect_int(c, "ZADD a 1 x 2 y", 2);
	expect_int(c, "ZADD b 3 y 4 z", 2);
	expect_int(c, "SADD s y q", 2);
	expect(c, "ZINTER 2 a b WITHSCORES", "*2\r\n$1\r\ny\r\n$1\r\n5\r\n");
	expect(c, "ZINTER 2 a s WEIGHTS 2 3 WITHSCORES", "*2\r\n$1\r\ny\r\n$1\r\n7\r\n");
	expect(c, "ZDIFF 2 a s", "*1\r\n$1\r\nx\r\n");
	expect(c, "ZUNION 2 a b AGGREGATE MAX", "*3\r\n$1\r\nx\r\n$1\r\ny\r\n$1\r\nz\r\n");
	expect_int(c, "ZINTERCARD 2 a b", 1);
	expect_int(c, "ZUNIONSTORE a 2 a b", 3);
	expect_int(c, "ZDIFFSTORE a 2 a a", 0);
	expect_int(c, "EXISTS a", 0);
	expect(c, "ZUNION 0 a", "-ERR at least 1 input key is needed for 'zunion' command\r\n");
	expect(c, "ZUNION 9 a", SYNTAX);
	expect(c, "ZINTERCARD 1 a LIMIT -1", "-ERR LIMIT can't be negative\r\n");
}
END_TEST

/* Few members taken out of a copy of many. */
START_TEST(test_difference_by_removal)
{
	for (int i = 0; i < 300; i++) {
		char line[64];
		snprintf(line, sizeof line, "ZADD big %d m%d", i, i);
		expect_int(c, line, 1);
	}
	expect_int(c, "ZADD few 1 m0 2 m1 3 m299 4 nobody", 4);
	expect_int(c, "SADD more m2 m1 5", 3);
	expect_int(c, "ZDIFFSTORE d 4 big few few more", 296);
	expect(c, "ZRANGE d 0 1 WITHSCORES", "*4\r\n$2\r\nm3\r\n$1\r\n3\r\n$2\r\nm4\r\n$1\r\n4\r\n");
	expect(c, "ZRANGE d -1 -1", "*1\r\n$4\r\nm298\r\n");
	expect_int(c, "ZDIFFSTORE d 3 big few big", 0);
	expect_int(c, "EXISTS d", 0);
	expect_int(c, "ZREMRANGEBYRANK big 6 -1", 294);
	expect_int(c, "SADD most m0 m1 m2 m3 m5", 5);
	expect(c, "ZDIFF 4 big few none none WITHSCORES",
	       "*8\r\n$2\r\nm2\r\n$1\r\n2\r\n$2\r\nm3\r\n$1\r\n3\r\n$2\r\nm4\r\n$1\r\n4\r\n$2\r\nm5\r\n$1\r\n5\r\n");
	expect(c, "ZDIFF 4 big most none none", "*1\r\n$2\r\nm4\r\n");
}
END_TEST

START_TEST(test_pop)
{
	expect_int(c, "ZADD z 1 a 2 b 3 c", 3);
	expect(c, "ZPOPMAX z 0", "*0\r\n");
	expect(c, "ZPOPMAX z 2", "*4\r\n$1\r\nc\r\n$1\r\n3\r\n$1\r\nb\r\n$1\r\n2\r\n");
	expect(c, "ZPOPMIN z -1", "-ERR value is out of range, must be positive\r\n");
	expect(c, "ZMPOP 2 none z MIN COUNT 9", "*2\r\n$1\r\nz\r\n*1\r\n*2\r\n$1\r\na\r\n$1\r\n1\r\n");
	expect_int(c, "EXISTS z", 0);
	expect(c, "ZMPOP 1 z MIN", "*-1\r\n");
	expect(c, "ZMPOP 0 z MIN", "-ERR numkeys should be greater than 0\r\n");
	expect(c, "ZMPOP 1 z MIN COUNT 0", "-ERR count should be greater than 0\r\n");
}
END_TEST

/* SAFETY: *RANDMEMBER, HRANDFIELD (CVE-2023-22458, -25155): the least count has no absolute value. */
START_TEST(test_random_counts)
{
	expect_int(c, "ZADD z 1 a 2 b", 2);
	expect_prefix(c, "ZRANDMEMBER z -9223372036854775808", "-ERR value is out of range");
	expect_prefix(c, "ZRANDMEMBER z -9223372036854775807", "-ERR value is out of range");
	expect(c, "ZRANDMEMBER z -4611686018427387904 WITHSCORES", "-ERR value is out of range\r\n");
	expect_prefix(c, "ZRANDMEMBER z -9223372036854775808 WITHSCORES", "-ERR value is out of range");
	expect(c, "ZRANDMEMBER z 9223372036854775807", "*2\r\n$1\r\nb\r\n$1\r\na\r\n");
	expect_prefix(c, "ZRANDMEMBER z -5", "*5\r\n");
	expect(c, "ZRANDMEMBER none", NIL);
	expect(c, "ZRANDMEMBER z 0", "*0\r\n");
	expect(c, "ZRANDMEMBER none 3", "*0\r\n");
}
END_TEST

START_TEST(test_scan)
{
	expect_int(c, "ZADD z 1 a 0.5 b 3 ab", 3);
	expect(c, "ZSCAN z 0", "*2\r\n$1\r\n0\r\n*6\r\n$1\r\nb\r\n$3\r\n0.5\r\n$1\r\na\r\n$1\r\n1\r\n$2\r\nab\r\n$1\r\n3\r\n");
	expect(c, "ZSCAN z 0 MATCH a? COUNT 5", "*2\r\n$1\r\n0\r\n*2\r\n$2\r\nab\r\n$1\r\n3\r\n");
	expect(c, "ZSCAN z x", "-ERR invalid cursor\r\n");
	expect(c, "ZSCAN z 0 COUNT 0", SYNTAX);
}
END_TEST

/* One member after the other gets a score of any length: the small set is in order after each. */
START_TEST(test_rescore)
{
	static const char *const scores[] = { "0", "5", "127", "128", "4095", "4096", "-1", "-70000", "1.5", "3000000000", "inf" };
	enum { MEMBERS = 9, SCORES = sizeof scores / sizeof *scores };
	unsigned of[MEMBERS] = { 0 };
	struct rng rng;
	rng_init(&rng, "zset rescore");
	for (int round = 0; round < 600; round++) {
		char command[64], want[1024];
		unsigned m = round < MEMBERS ? (unsigned)round : (unsigned)rng_below(&rng, MEMBERS);
		of[m] = (unsigned)rng_below(&rng, SCORES);
		snprintf(command, sizeof command, "ZADD z %s m%u", scores[of[m]], m);
		expect_int(c, command, round < MEMBERS);
		if (round < MEMBERS - 1)
			continue;
		size_t n = (size_t)snprintf(want, sizeof want, "*%d\r\n", 2 * MEMBERS);
		bool done[MEMBERS] = { false };
		for (unsigned k = 0; k < MEMBERS; k++) {
			unsigned least = MEMBERS;
			for (unsigned i = 0; i < MEMBERS; i++)
				if (!done[i] && (least == MEMBERS || strtod(scores[of[i]], NULL) < strtod(scores[of[least]], NULL)))
					least = i;
			done[least] = true;
			const char *score = scores[of[least]];
			n += (size_t)snprintf(want + n, sizeof want - n, "$2\r\nm%u\r\n$%zu\r\n%s\r\n", least, strlen(score), score);
		}
		expect_(c, "ZRANGE z 0 -1 WITHSCORES", want, n, __FILE__, __LINE__);
	}
	expect(c, "OBJECT ENCODING z", "$8\r\nlistpack\r\n");
}
END_TEST

COMMAND_TESTS("zset", test_add, test_scores_are_numbers, test_ranges, test_resp3, test_encodings, test_algebra, test_difference_by_removal, test_pop,
              test_random_counts, test_scan, test_rescore)
