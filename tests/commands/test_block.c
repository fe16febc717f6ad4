/* Commands that wait for keys: when they wait, who is served, with what and in which order, and how waits end. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/lib/expect.h"

#define OK "+OK\r\n"
#define QUEUED "+QUEUED\r\n"
#define NONE "*-1\r\n"
#define WRONG "-WRONGTYPE Operation against a key holding the wrong kind of value\r\n"

static void wait_blocked(int64_t n)
{
	while (info_int(c, "clients", "blocked_clients") != n)
		;
}

/* A client that waits now. */
static struct resp_client *waits(const char *line)
{
	struct resp_client *k = connect_to(&server);
	int64_t before = info_int(c, "clients", "blocked_clients");
	ck_assert(resp_send(k, line));
	wait_blocked(before + 1);
	return k;
}

/* The next reply, and that is all. */
#define expect_last(k, reply) \
	do { \
		expect_reply(k, reply); \
		expect(k, "PING", "+PONG\r\n"); \
		resp_close(k); \
	} while (0)

START_TEST(test_without_waiting)
{
	expect(c, "RPUSH b 1 2 3", ":3\r\n");
	expect(c, "BLPOP a b 0", "*2\r\n$1\r\nb\r\n$1\r\n1\r\n");
	expect(c, "BRPOP a b 0", "*2\r\n$1\r\nb\r\n$1\r\n3\r\n");
	expect(c, "BLMOVE b d LEFT RIGHT 0", "$1\r\n2\r\n");
	expect(c, "BRPOPLPUSH d b 0", "$1\r\n2\r\n");
	expect(c, "BLMPOP 0 2 a b LEFT COUNT 5", "*2\r\n$1\r\nb\r\n*1\r\n$1\r\n2\r\n");
	expect(c, "ZADD z 1 a 2 b 3 c 4 d", ":4\r\n");
	expect(c, "BZPOPMIN y z 0", "*3\r\n$1\r\nz\r\n$1\r\na\r\n$1\r\n1\r\n");
	expect(c, "BZPOPMAX y z 0", "*3\r\n$1\r\nz\r\n$1\r\nd\r\n$1\r\n4\r\n");
	expect(c, "BZMPOP 0 2 y z MAX COUNT 9", "*2\r\n$1\r\nz\r\n*2\r\n*2\r\n$1\r\nc\r\n$1\r\n3\r\n*2\r\n$1\r\nb\r\n$1\r\n2\r\n");
	expect(c, "DBSIZE", ":0\r\n");
	expect(c, "SET s x", OK);
	expect(c, "BLPOP s 0", WRONG);
	expect(c, "BZPOPMIN s 0", WRONG);
	expect(c, "BLMOVE s d LEFT LEFT 0", WRONG);
}
END_TEST

START_TEST(test_arguments)
{
	static const char *const bad[][2] = {
		{ "BLPOP k -1", "-ERR timeout is negative\r\n" },
		{ "BLPOP k x", "-ERR timeout is not a float or out of range\r\n" },
		{ "BLPOP k 1e300", "-ERR timeout is out of range\r\n" },
		{ "BLPOP k 9223372036854775", "-ERR timeout is out of range\r\n" },
		{ "BLPOP k nan", "-ERR timeout is not a float or out of range\r\n" },
		{ "BLPOP k inf", "-ERR timeout is out of range\r\n" },
		{ "BLMPOP x 0 k LEFT", "-ERR numkeys should be greater than 0\r\n" },
		{ "BLMPOP x 1 k LEFT", "-ERR timeout is not a float or out of range\r\n" },
		{ "BLMPOP 1 1 k LEFT COUNT 0", "-ERR count should be greater than 0\r\n" },
		{ "BLMOVE a b X LEFT -1", "-ERR syntax error\r\n" },
		{ "BLMOVE a b LEFT LEFT -1", "-ERR timeout is negative\r\n" },
		{ "BZMPOP x 1 k FOO", "-ERR syntax error\r\n" },
		{ "XREAD BLOCK -1 STREAMS s 0", "-ERR timeout is negative\r\n" },
		{ "WAIT x 1", "-ERR value is not an integer or out of range\r\n" },
		{ "WAIT 1 x", "-ERR timeout is not an integer or out of range\r\n" },
		{ "WAIT 1 9223372036854775807", "-ERR timeout is out of range\r\n" },
		{ "WAITAOF 2 0 0", "-ERR value is out of range, value must between 0 and 1\r\n" },
		{ "WAITAOF 0 -1 0", "-ERR value is out of range, must be positive\r\n" },
		{ "WAITAOF 1 0 0", "-ERR WAITAOF cannot be used when numlocal is set but appendonly is disabled.\r\n" },
		{ "CLIENT UNBLOCK x", "-ERR value is not an integer or out of range\r\n" },
		{ "CLIENT UNBLOCK 1 FOO", "-ERR CLIENT UNBLOCK reason should be TIMEOUT or ERROR\r\n" },
	};
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
		expect_prefix(c, bad[i][0], bad[i][1]);
	expect(c, "WAIT 0 0", ":0\r\n");
	expect(c, "WAITAOF 0 0 0", "*2\r\n:0\r\n:0\r\n");
	expect(c, "CLIENT UNBLOCK 123456", ":0\r\n");
}
END_TEST

START_TEST(test_timeouts)
{
	expect(c, "BLPOP a b 0.01", NONE);
	expect(c, "BRPOP a 0.001", NONE);
	expect(c, "BLMOVE a b LEFT LEFT 0.01", NONE);
	expect(c, "BRPOPLPUSH a b 0.01", NONE);
	expect(c, "BLMPOP 0.01 1 a LEFT", NONE);
	expect(c, "BZPOPMIN a 0.01", NONE);
	expect(c, "BZPOPMAX a 0.01", NONE);
	expect(c, "BZMPOP 0.01 1 a MIN", NONE);
	expect(c, "XREAD BLOCK 10 STREAMS s $", NONE);
	expect(c, "WAIT 1 10", ":0\r\n");
	expect(c, "WAITAOF 0 1 10", "*2\r\n:0\r\n:0\r\n");
	ck_assert_int_eq(info_int(c, "clients", "total_blocking_keys"), 0);
	ck_assert_int_eq(info_int(c, "clients", "clients_in_timeout_table"), 0);
	struct resp_client *k = connect_to(&server);
	expect_prefix(k, "HELLO 3", "%");
	expect(k, "BLPOP a 0.01", "_\r\n");
	expect(k, "BLMOVE a b LEFT LEFT 0.01", "_\r\n");
	resp_close(k);
}
END_TEST

START_TEST(test_served)
{
	struct resp_client *k = waits("BLPOP a b 0");
	ck_assert_int_eq(info_int(c, "clients", "total_blocking_keys"), 2);
	expect(c, "RPUSH b 1", ":1\r\n");
	expect(c, "EXISTS b", ":0\r\n"); /* served before anything else */
	expect_last(k, "*2\r\n$1\r\nb\r\n$1\r\n1\r\n");
	k = waits("BRPOP a 0");
	expect(c, "RPUSH a 1 2 3", ":3\r\n");
	expect(c, "LRANGE a 0 -1", "*2\r\n$1\r\n1\r\n$1\r\n2\r\n");
	expect_last(k, "*2\r\n$1\r\na\r\n$1\r\n3\r\n");
	k = waits("BLMPOP 0 2 x y RIGHT COUNT 2");
	expect(c, "RPUSH y 1 2 3", ":3\r\n");
	expect_last(k, "*2\r\n$1\r\ny\r\n*2\r\n$1\r\n3\r\n$1\r\n2\r\n");
	k = waits("BZPOPMAX z 0");
	expect(c, "ZADD z 1 a 2 b", ":2\r\n");
	expect_last(k, "*3\r\n$1\r\nz\r\n$1\r\nb\r\n$1\r\n2\r\n");
	k = waits("BZMPOP 0 1 zz MIN COUNT 5");
	expect(c, "ZINCRBY zz 3 m", "$1\r\n3\r\n");
	expect_last(k, "*2\r\n$2\r\nzz\r\n*1\r\n*2\r\n$1\r\nm\r\n$1\r\n3\r\n");
	k = waits("BZPOPMIN g 0");
	expect(c, "GEOADD g 1 1 m", ":1\r\n");
	expect_prefix(k, NULL, "*3\r\n$1\r\ng\r\n$1\r\nm\r\n");
	resp_close(k);
	wait_blocked(0);
	ck_assert_int_eq(info_int(c, "clients", "total_blocking_keys"), 0);
}
END_TEST

START_TEST(test_moves)
{
	struct resp_client *k = waits("BLMOVE a b LEFT RIGHT 0");
	expect(c, "RPUSH a 1", ":1\r\n");
	expect_last(k, "$1\r\n1\r\n");
	expect(c, "LRANGE b 0 -1", "*1\r\n$1\r\n1\r\n");
	k = waits("BRPOPLPUSH a a 0");
	expect(c, "RPUSH a 1 2", ":2\r\n");
	expect_last(k, "$1\r\n2\r\n");
	expect(c, "LRANGE a 0 -1", "*2\r\n$1\r\n2\r\n$1\r\n1\r\n");
	/* a destination of another type: an error, and nothing is taken */
	k = waits("BLMOVE src dst LEFT RIGHT 0");
	expect(c, "SET dst x", OK);
	expect(c, "RPUSH src 1", ":1\r\n");
	expect_last(k, WRONG);
	expect(c, "LLEN src", ":1\r\n");
}
END_TEST

/* From list to list to list, in one go. */
START_TEST(test_chains)
{
	struct resp_client *end = waits("BLPOP c3 0"), *third = waits("BLMOVE c2 c3 LEFT LEFT 0");
	struct resp_client *second = waits("BRPOPLPUSH c1 c2 0"), *first = waits("BLMOVE c0 c1 RIGHT RIGHT 0");
	expect(c, "RPUSH c0 x", ":1\r\n");
	expect(c, "DBSIZE", ":0\r\n");
	expect_last(first, "$1\r\nx\r\n");
	expect_last(second, "$1\r\nx\r\n");
	expect_last(third, "$1\r\nx\r\n");
	expect_last(end, "*2\r\n$2\r\nc3\r\n$1\r\nx\r\n");
	/* round in a circle, until nobody waits any more */
	first = waits("BLMOVE a b LEFT LEFT 0");
	second = waits("BLMOVE b a LEFT LEFT 0");
	expect(c, "RPUSH a x", ":1\r\n");
	expect_last(first, "$1\r\nx\r\n");
	expect_last(second, "$1\r\nx\r\n");
	expect(c, "LLEN a", ":1\r\n");
}
END_TEST

#define MANY 24

/* More keys than are locked together. */
START_TEST(test_many_destinations)
{
	struct resp_client *k[MANY];
	char line[128], reply[64];
	for (int i = 0; i < MANY; i++) {
		snprintf(line, sizeof line, "BLMOVE from to:%d LEFT LEFT 0", i);
		k[i] = waits(line);
	}
	expect(c, "MULTI", OK);
	for (int i = 0; i < MANY; i++) {
		snprintf(line, sizeof line, "RPUSH from %d", i);
		expect(c, line, QUEUED);
	}
	expect_prefix(c, "EXEC", "*24\r\n");
	expect(c, "EXISTS from", ":0\r\n");
	for (int i = 0; i < MANY; i++) {
		snprintf(reply, sizeof reply, "$%d\r\n%d\r\n", i < 10 ? 1 : 2, i);
		expect_prefix(k[i], NULL, reply);
		resp_close(k[i]);
		snprintf(line, sizeof line, "LRANGE to:%d 0 -1", i);
		snprintf(reply, sizeof reply, "*1\r\n$%d\r\n%d\r\n", i < 10 ? 1 : 2, i);
		expect_prefix(c, line, reply);
	}
}
END_TEST

/* First come, first served, whatever loop they are on. */
START_TEST(test_order)
{
	struct resp_client *k[MANY];
	char reply[64], line[64];
	for (int i = 0; i < MANY; i++)
		k[i] = waits(i % 3 ? "BLPOP q 0" : i % 2 ? "BLPOP other q 0" : "BRPOP q 0");
	ck_assert_int_eq(info_int(c, "clients", "blocked_clients"), MANY);
	for (int i = 0; i < MANY; i++) {
		snprintf(line, sizeof line, "LPUSH q %d", i);
		expect(c, line, ":1\r\n");
	}
	for (int i = 0; i < MANY; i++) {
		snprintf(reply, sizeof reply, "*2\r\n$1\r\nq\r\n$%d\r\n%d\r\n", i < 10 ? 1 : 2, i);
		expect_prefix(k[i], NULL, reply);
	}
	/* several at once, and what is left stays */
	for (int i = 0; i < 3; i++) {
		ck_assert(resp_send(k[i], "BLPOP q 0"));
		wait_blocked(i + 1);
	}
	expect(c, "RPUSH q a b c d", ":4\r\n");
	expect_reply(k[0], "*2\r\n$1\r\nq\r\n$1\r\na\r\n");
	expect_reply(k[1], "*2\r\n$1\r\nq\r\n$1\r\nb\r\n");
	expect_reply(k[2], "*2\r\n$1\r\nq\r\n$1\r\nc\r\n");
	expect(c, "LRANGE q 0 -1", "*1\r\n$1\r\nd\r\n");
	for (int i = 0; i < MANY; i++)
		resp_close(k[i]);
}
END_TEST

static void transaction(const char *const *lines, size_t n)
{
	expect(c, "MULTI", OK);
	for (size_t i = 0; i < n; i++)
		expect(c, lines[i], QUEUED);
	expect_prefix(c, "EXEC", "*");
}
#define TRANSACTION(...) \
	transaction((const char *const[]){ __VA_ARGS__ }, sizeof((const char *const[]){ __VA_ARGS__ }) / sizeof(char *))

/* Waiters see what a transaction left, not what it did on the way. */
START_TEST(test_transactions)
{
	struct resp_client *k = waits("BLPOP a b 0");
	TRANSACTION("RPUSH a 1", "DEL a");
	wait_blocked(1);
	TRANSACTION("SET a x", "DEL a", "RPUSH a 1", "LPUSH a 0");
	expect_reply(k, "*2\r\n$1\r\na\r\n$1\r\n0\r\n");
	expect(c, "DEL a", ":1\r\n");
	ck_assert(resp_send(k, "BLPOP a b 0"));
	wait_blocked(1);
	TRANSACTION("RPUSH b 2", "RPUSH a 1");
	expect_last(k, "*2\r\n$1\r\na\r\n$1\r\n1\r\n"); /* by the order of its own keys */
	expect(c, "FLUSHALL", OK);
	k = waits("BLPOP a b 0");
	TRANSACTION("SET a x", "RPUSH b 2");
	expect_last(k, WRONG);
	/* inside one nobody waits */
	expect(c, "MULTI", OK);
	expect(c, "BLPOP k 0", QUEUED);
	expect(c, "BLMOVE k d LEFT LEFT 0", QUEUED);
	expect(c, "BLMPOP 0 1 k LEFT", QUEUED);
	expect(c, "BZPOPMIN k 0", QUEUED);
	expect(c, "XREAD BLOCK 0 STREAMS s 0", QUEUED);
	expect(c, "WAIT 1 0", QUEUED);
	expect(c, "EXEC", "*6\r\n*-1\r\n$-1\r\n*-1\r\n*-1\r\n*-1\r\n:0\r\n");
}
END_TEST

START_TEST(test_other_types)
{
	struct resp_client *k = waits("BLPOP a 0"), *z = waits("BZPOPMIN a 0");
	expect(c, "SET a x", OK);
	expect(c, "DEL a", ":1\r\n");
	expect(c, "SADD a x", ":1\r\n");
	expect(c, "DEL a", ":1\r\n");
	ck_assert_int_eq(info_int(c, "clients", "blocked_clients"), 2);
	expect(c, "ZADD a 1 m", ":1\r\n");
	expect_last(z, "*3\r\n$1\r\na\r\n$1\r\nm\r\n$1\r\n1\r\n");
	expect(c, "RPUSH a x", ":1\r\n");
	expect_last(k, "*2\r\n$1\r\na\r\n$1\r\nx\r\n");
}
END_TEST

static void expect_woken(const char *before, const char *by)
{
	struct resp_client *k = waits("BLPOP k 0");
	expect_any(c, before);
	expect_any(c, by);
	expect_last(k, "*2\r\n$1\r\nk\r\n$1\r\nx\r\n");
	expect(c, "FLUSHALL", OK);
}

START_TEST(test_other_ways_to_make_a_key)
{
	struct resp_client *other = connect_to(&server);
	expect_woken("RPUSH l x", "RENAME l k");
	expect_woken("RPUSH l x", "RENAMENX l k");
	expect_woken("RPUSH l x", "COPY l k");
	expect_woken("RPUSH l x", "LMOVE l k LEFT LEFT");
	expect_woken("RPUSH l x", "RPOPLPUSH l k");
	expect_woken("SADD s x", "SORT s ALPHA STORE k");
	expect(c, "RPUSH l x", ":1\r\n");
	struct resp_value *dump = resp_ask(c, "DUMP l");
	struct resp_client *k = waits("BLPOP k 0");
	const struct resp_bytes restore[] = { { "RESTORE", 7 }, { "k", 1 }, { "0", 1 }, { dump->text, dump->len } };
	ck_assert(resp_send_argv(c, 4, restore));
	expect_reply(c, OK);
	resp_value_free(dump);
	expect_last(k, "*2\r\n$1\r\nk\r\n$1\r\nx\r\n");
	expect(other, "SELECT 1", OK);
	expect(other, "RPUSH k x", ":1\r\n");
	k = waits("BLPOP k 0");
	expect(other, "MOVE k 0", ":1\r\n");
	expect_last(k, "*2\r\n$1\r\nk\r\n$1\r\nx\r\n");
	expect(other, "RPUSH k x", ":1\r\n");
	k = waits("BLPOP k 0");
	expect(other, "SWAPDB 0 1", OK);
	expect_last(k, "*2\r\n$1\r\nk\r\n$1\r\nx\r\n");
	expect(c, "ZADD z1 1 x", ":1\r\n");
	k = waits("BZPOPMIN k 0");
	expect(c, "ZUNIONSTORE k 1 z1", ":1\r\n");
	expect_last(k, "*3\r\n$1\r\nk\r\n$1\r\nx\r\n$1\r\n1\r\n");
	resp_close(other);
}
END_TEST

/* A key of another type that is written over is no new one, in Redis either; one that is made again, or comes by RENAME, is. */
START_TEST(test_written_over)
{
	struct resp_client *k = waits("BLPOP k 0"), *z = waits("BZPOPMIN k 0");
	expect_any(c, "RPUSH l 1");
	expect_any(c, "GEOADD z 1 1 m");
	expect(c, "SET k x", OK);
	expect(c, "SORT l STORE k", ":1\r\n");
	expect(c, "ZUNIONSTORE k 1 z", ":1\r\n");
	expect(c, "GEORADIUS z 1 1 1 km STORE k", ":1\r\n");
	expect(c, "SORT l STORE k", ":1\r\n");
	ck_assert_int_eq(info_int(c, "clients", "blocked_clients"), 2);
	expect(c, "ZRANGESTORE z2 z 0 -1", ":1\r\n");
	expect(c, "RENAME z2 k", OK);
	expect_last(z, "*3\r\n$1\r\nk\r\n$1\r\nm\r\n$16\r\n3377822707026402\r\n");
	expect(c, "SORT l STORE k", ":1\r\n");
	expect_last(k, "*2\r\n$1\r\nk\r\n$1\r\n1\r\n");
	/* Who waits for news of a group is told that it is gone. */
	expect(c, "XGROUP CREATE k g $ MKSTREAM", OK);
	k = waits("XREADGROUP GROUP g c BLOCK 0 STREAMS k >");
	expect(c, "SORT l STORE k", ":1\r\n");
	expect_last(k, WRONG);
}
END_TEST

/* Waiters see what a script left, whether it named its keys or not. */
START_TEST(test_scripts)
{
	static const char *const pushes[] = {
		"EVAL \"redis.call('rpush','k','y') redis.call('lpush','k','x') redis.call('rpop','k') return 1\" 1 k",
		"EVAL \"redis.call('rpush','k','y') redis.call('lpush','k','x') redis.call('rpop','k') return 1\" 0",
		"EVAL \"redis.call('rpush','l1','x') redis.call('lmove','l1','k','left','left') return 1\" 1 other",
	};
	for (size_t i = 0; i < sizeof pushes / sizeof *pushes; i++) {
		struct resp_client *k = waits("BLPOP k 0"), *m = waits("BLMOVE k d LEFT LEFT 0");
		expect(c, pushes[i], ":1\r\n");
		expect(c, "RPUSH k z", ":1\r\n");
		expect_last(k, "*2\r\n$1\r\nk\r\n$1\r\nx\r\n");
		expect_last(m, "$1\r\nz\r\n");
		expect(c, "DBSIZE", ":1\r\n");
		expect(c, "DEL d", ":1\r\n");
	}
	expect(c, "EVAL \"return redis.call('blpop','k',0)\" 1 k", "$-1\r\n");
	expect(c, "EVAL \"return redis.call('bzpopmin','k',0)\" 1 k", "$-1\r\n");
}
END_TEST

/* What a user may no longer do is refused when it is served. */
START_TEST(test_users)
{
	expect(c, "ACL SETUSER bob on nopass ~* +@all", OK);
	struct resp_client *k = connect_to(&server);
	expect(k, "AUTH bob x", OK);
	ck_assert(resp_send(k, "BLPOP k 0"));
	wait_blocked(1);
	expect(c, "ACL SETUSER bob resetkeys ~other", OK);
	expect(c, "RPUSH k x", ":1\r\n");
	expect_prefix(k, NULL, "-NOPERM ");
	expect(c, "LLEN k", ":1\r\n");
	ck_assert(resp_send(k, "BLPOP other 0"));
	wait_blocked(1);
	expect(c, "ACL DELUSER bob", ":1\r\n");
	ck_assert(resp_read_eof(k));
	resp_close(k);
	wait_blocked(0);
}
END_TEST

START_TEST(test_waitaof)
{
	struct proc p;
	own_server(&p, "appendonly yes\nappendfsync everysec\n");
	struct resp_client *k = connect_to(&p);
	expect(k, "SET a 1", OK);
	expect(k, "WAITAOF 1 0 0", "*2\r\n:1\r\n:0\r\n");
	expect(k, "SET a 2", OK);
	expect(k, "WAITAOF 1 0 100000", "*2\r\n:1\r\n:0\r\n");
	expect(k, "WAITAOF 1 0 0", "*2\r\n:1\r\n:0\r\n");
	expect(k, "WAITAOF 1 1 10", "*2\r\n:1\r\n:0\r\n");
	resp_close(k);
	ck_assert_int_eq(proc_stop(&p), 0);
}
END_TEST

/* The server ends while clients wait, with and without a time limit. */
START_TEST(test_stop)
{
	static const char *const lines[] = { "BLPOP a b 0", "BLMOVE a b LEFT LEFT 100", "XREAD BLOCK 0 STREAMS s 0", "WAIT 1 0" };
	struct proc p;
	own_server(&p, NULL);
	struct resp_client *k[4], *ask = connect_to(&p);
	for (int i = 0; i < 4; i++) {
		k[i] = connect_to(&p);
		ck_assert(resp_send(k[i], lines[i]));
	}
	while (info_int(ask, "clients", "blocked_clients") != 4)
		;
	ck_assert_int_eq(proc_stop(&p), 0);
	for (int i = 0; i < 4; i++) {
		ck_assert(resp_read_eof(k[i]));
		resp_close(k[i]);
	}
	resp_close(ask);
}
END_TEST

/* A blocked client is not idle; one that was, is again. */
START_TEST(test_idle_timeout)
{
	struct proc p;
	own_server(&p, NULL);
	struct resp_client *k = connect_to(&p), *ask = connect_to(&p);
	ck_assert(resp_send(k, "BLPOP k 2.5"));
	while (info_int(ask, "clients", "blocked_clients") != 1)
		;
	expect(ask, "CONFIG SET timeout 1", OK); /* from now on: it waits already */
	expect_reply(k, NONE);
	ck_assert(resp_read_eof(k));
	resp_close(k);
	resp_close(ask);
	ck_assert_int_eq(proc_stop(&p), 0);
}
END_TEST

/* A waiter's own database, and only that. */
START_TEST(test_databases)
{
	struct resp_client *k = connect_to(&server), *second = waits("BLPOP k 0");
	expect(k, "SELECT 5", OK);
	ck_assert(resp_send(k, "BLPOP k 0"));
	wait_blocked(2);
	struct resp_client *other = connect_to(&server);
	expect(other, "SELECT 5", OK);
	expect(other, "RPUSH k five", ":1\r\n");
	expect(c, "RPUSH k zero", ":1\r\n");
	expect_last(k, "*2\r\n$1\r\nk\r\n$4\r\nfive\r\n");
	expect_last(second, "*2\r\n$1\r\nk\r\n$4\r\nzero\r\n");
	resp_close(other);
}
END_TEST

START_TEST(test_streams)
{
	expect(c, "XADD s 1-1 f v", "$3\r\n1-1\r\n");
	struct resp_client *k = waits("XREAD BLOCK 0 STREAMS t s 0 $"), *all = waits("XREAD COUNT 1 BLOCK 0 STREAMS s 1-2");
	expect(c, "XADD s 1-2 f w", "$3\r\n1-2\r\n");
	expect_last(k, "*1\r\n*2\r\n$1\r\ns\r\n*1\r\n*2\r\n$3\r\n1-2\r\n*2\r\n$1\r\nf\r\n$1\r\nw\r\n");
	ck_assert_int_eq(info_int(c, "clients", "blocked_clients"), 1);
	expect(c, "XADD s 1-3 f x", "$3\r\n1-3\r\n");
	expect_last(all, "*1\r\n*2\r\n$1\r\ns\r\n*1\r\n*2\r\n$3\r\n1-3\r\n*2\r\n$1\r\nf\r\n$1\r\nx\r\n");
}
END_TEST

START_TEST(test_groups)
{
	char end[] = "-NOGROUP No such key 's' or consumer group 'g' in XREADGROUP with GROUP option\r\n";
	expect(c, "XGROUP CREATE s g $ MKSTREAM", OK);
	struct resp_client *a = waits("XREADGROUP GROUP g a BLOCK 0 STREAMS s >");
	struct resp_client *b = waits("XREADGROUP GROUP g b BLOCK 0 STREAMS s >");
	ck_assert_int_eq(info_int(c, "clients", "total_blocking_keys_on_nokey"), 1);
	expect(c, "XADD s 1-1 f v", "$3\r\n1-1\r\n");
	expect_reply(a, "*1\r\n*2\r\n$1\r\ns\r\n*1\r\n*2\r\n$3\r\n1-1\r\n*2\r\n$1\r\nf\r\n$1\r\nv\r\n");
	ck_assert_int_eq(info_int(c, "clients", "blocked_clients"), 1);
	expect(c, "DEL s", ":1\r\n");
	expect_prefix(b, NULL, end);
	/* the key goes by itself */
	expect(c, "XGROUP CREATE s g $ MKSTREAM", OK);
	ck_assert(resp_send(b, "XREADGROUP GROUP g b BLOCK 0 STREAMS s >"));
	wait_blocked(1);
	expect(c, "PEXPIRE s 20", ":1\r\n");
	expect_prefix(b, NULL, end);
	expect(c, "XGROUP CREATE s g $ MKSTREAM", OK);
	ck_assert(resp_send(b, "XREADGROUP GROUP g b BLOCK 0 STREAMS s >"));
	wait_blocked(1);
	expect(c, "XGROUP DESTROY s g", ":1\r\n");
	expect_prefix(b, NULL, end);
	expect(c, "XGROUP CREATE s g $ MKSTREAM", OK);
	ck_assert(resp_send(b, "XREADGROUP GROUP g b BLOCK 0 STREAMS s >"));
	wait_blocked(1);
	expect(c, "SET s x", OK);
	expect_prefix(b, NULL, WRONG);
	resp_close(a);
	resp_close(b);
}
END_TEST

START_TEST(test_unblock)
{
	char line[64];
	struct resp_client *k = connect_to(&server);
	int64_t id = ask_int(k, "CLIENT ID");
	ck_assert(resp_send(k, "BLPOP k 0"));
	wait_blocked(1);
	snprintf(line, sizeof line, "CLIENT LIST ID %lld", (long long)id);
	struct resp_value *v = resp_ask(c, line);
	ck_assert_msg(strstr(v->text, " flags=b ") && strstr(v->text, " cmd=blpop "), "%s", v->text);
	resp_value_free(v);
	snprintf(line, sizeof line, "CLIENT UNBLOCK %lld", (long long)id);
	expect(c, line, ":1\r\n");
	expect_reply(k, NONE);
	expect(c, line, ":0\r\n");
	ck_assert(resp_send(k, "BLMOVE k d LEFT LEFT 0"));
	wait_blocked(1);
	snprintf(line, sizeof line, "CLIENT UNBLOCK %lld ERROR", (long long)id);
	expect(c, line, ":1\r\n");
	expect_reply(k, "-UNBLOCKED client unblocked via CLIENT UNBLOCK\r\n");
	ck_assert(resp_send(k, "WAIT 1 0"));
	wait_blocked(1);
	snprintf(line, sizeof line, "CLIENT UNBLOCK %lld TIMEOUT", (long long)id);
	expect(c, line, ":1\r\n");
	expect_last(k, ":0\r\n");
	expect(c, "RPUSH k x", ":1\r\n");
	expect(c, "LLEN k", ":1\r\n"); /* nobody waits any more */
}
END_TEST

/* What was sent behind a waiting command runs after it. */
START_TEST(test_pipelines)
{
	struct resp_client *k = waits("BLPOP k 0");
	ck_assert(resp_send(k, "SET after 1"));
	ck_assert(resp_send(k, "BLPOP k2 0"));
	ck_assert(resp_send(k, "RESET"));
	expect(c, "EXISTS after", ":0\r\n");
	expect(c, "RPUSH k x", ":1\r\n");
	expect_reply(k, "*2\r\n$1\r\nk\r\n$1\r\nx\r\n");
	expect_reply(k, OK);
	wait_blocked(1);
	expect(c, "RPUSH k2 y", ":1\r\n");
	expect_reply(k, "*2\r\n$2\r\nk2\r\n$1\r\ny\r\n");
	expect_reply(k, "+RESET\r\n");
	/* all in one packet, and without replies */
	static const char quiet[] = "CLIENT REPLY OFF\r\nBLPOP k 0\r\nCLIENT REPLY ON\r\n";
	ck_assert(resp_send_bytes(k, quiet, sizeof quiet - 1));
	wait_blocked(1);
	expect(c, "RPUSH k x", ":1\r\n");
	expect_last(k, OK);
}
END_TEST

START_TEST(test_clients_that_go)
{
	char line[64];
	struct resp_client *k = waits("BLPOP k j 0");
	resp_close(k);
	wait_blocked(0);
	k = connect_to(&server);
	int64_t id = ask_int(k, "CLIENT ID");
	ck_assert(resp_send(k, "BLMOVE k j LEFT LEFT 0"));
	wait_blocked(1);
	snprintf(line, sizeof line, "CLIENT KILL ID %lld", (long long)id);
	expect(c, line, ":1\r\n");
	ck_assert(resp_read_eof(k));
	resp_close(k);
	expect_alone(c);
	ck_assert_int_eq(info_int(c, "clients", "blocked_clients"), 0);
	ck_assert_int_eq(info_int(c, "clients", "total_blocking_keys"), 0);
	expect(c, "RPUSH k x", ":1\r\n");
	expect(c, "LLEN k", ":1\r\n");
}
END_TEST

/* What was popped for a waiter is journaled, as what it is now, behind what fed it. */
START_TEST(test_journal)
{
	expect(c, "DEBUG JOURNAL START", OK);
	struct resp_client *k = waits("BLPOP a 0"), *m = waits("BLMOVE b d LEFT LEFT 0"), *z = waits("BZMPOP 0 1 z MIN");
	TRANSACTION("RPUSH a 1 2", "RPUSH b 1 2", "ZADD z 1 x 2 y");
	expect_last(k, "*2\r\n$1\r\na\r\n$1\r\n1\r\n");
	expect_last(m, "$1\r\n1\r\n");
	expect_last(z, "*2\r\n$1\r\nz\r\n*1\r\n*2\r\n$1\r\nx\r\n$1\r\n1\r\n");
	expect(c, "XGROUP CREATE s g $ MKSTREAM", OK);
	k = waits("XREADGROUP GROUP g a BLOCK 0 STREAMS s >");
	expect(c, "XADD s 1-1 f v", "$3\r\n1-1\r\n");
	expect_prefix(k, NULL, "*1\r\n*2\r\n$1\r\ns\r\n");
	resp_close(k);
	expect(c, "BLMOVE b d RIGHT RIGHT 0", "$1\r\n2\r\n");
	expect(c, "BRPOPLPUSH d e 0", "$1\r\n2\r\n");
	expect(c, "BLMPOP 0 1 e LEFT", "*2\r\n$1\r\ne\r\n*1\r\n$1\r\n2\r\n");
	expect(c, "DEBUG JOURNAL CHECK", OK);
	expect(c, "DEBUG JOURNAL STOP", OK);
}
END_TEST

/* Calls are counted once, when they end. */
/* A command that takes memory is asked again whether it may when it is served. */
START_TEST(test_memory)
{
	struct resp_client *other = connect_to(&server);
	expect(c, "RPUSH big a b", ":2\r\n");
	expect(c, "CONFIG RESETSTAT", "+OK\r\n");
	resp_send(other, "BLMOVE src dst LEFT RIGHT 0");
	while (info_int(c, "clients", "blocked_clients") != 1)
		;
	expect(c, "CONFIG SET maxmemory 1", "+OK\r\n");
	expect(c, "RENAME big src", "+OK\r\n");
	expect_reply(other, "-OOM command not allowed when used memory > 'maxmemory'.\r\n");
	expect(c, "LLEN src", ":2\r\n");
	struct resp_value *v = resp_ask(c, "INFO commandstats");
	ck_assert_msg(strstr(v->text, "cmdstat_blmove:calls=0,"), "%s", v->text);
	ck_assert(strstr(strstr(v->text, "cmdstat_blmove:"), "rejected_calls=1,failed_calls=0"));
	resp_value_free(v);
	resp_send(other, "BLPOP none 0"); /* takes nothing */
	while (info_int(c, "clients", "blocked_clients") != 1)
		;
	expect(c, "RENAME src none", "+OK\r\n");
	expect_reply(other, "*2\r\n$4\r\nnone\r\n$1\r\na\r\n");
	expect(c, "CONFIG SET maxmemory 0", "+OK\r\n");
	resp_close(other);
}
END_TEST

START_TEST(test_statistics)
{
	expect(c, "CONFIG RESETSTAT", OK);
	struct resp_client *k = waits("BLPOP k 0");
	expect(c, "RPUSH k x", ":1\r\n");
	expect_last(k, "*2\r\n$1\r\nk\r\n$1\r\nx\r\n");
	expect(c, "BLPOP k 0.01", NONE);
	struct resp_value *v = resp_ask(c, "INFO commandstats");
	ck_assert_msg(strstr(v->text, "cmdstat_blpop:calls=2,"), "%s", v->text);
	resp_value_free(v);
}
END_TEST

COMMAND_TESTS_WITH("block", "enable-debug-command yes\n", test_without_waiting, test_arguments, test_timeouts, test_served,
                   test_moves, test_chains, test_many_destinations, test_order, test_transactions, test_other_types,
                   test_written_over, test_other_ways_to_make_a_key, test_scripts, test_users, test_waitaof,
                   test_idle_timeout, test_stop, test_databases, test_streams, test_groups, test_unblock,
                   test_pipelines, test_clients_that_go, test_journal, test_memory, test_statistics)
