/* MULTI, EXEC, DISCARD, WATCH: one unit, over keys of many shards, from many clients at once. */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include "tests/lib/expect.h"

#define OK "+OK\r\n"
#define QUEUED "+QUEUED\r\n"
#define ABORTED "*-1\r\n"

START_TEST(test_queue_and_run)
{
	expect(c, "MULTI", OK);
	expect(c, "SET a 1", QUEUED);
	expect(c, "INCR a", QUEUED);
	expect(c, "LPUSH a x", QUEUED);
	expect(c, "GET a", QUEUED);
	expect(c, "EXEC", "*4\r\n+OK\r\n:2\r\n-WRONGTYPE Operation against a key holding the wrong kind of value\r\n$1\r\n2\r\n");
	expect(c, "EXEC", "-ERR EXEC without MULTI\r\n");
	expect(c, "MULTI", OK);
	expect(c, "EXEC", "*0\r\n");
}
END_TEST

START_TEST(test_discard_and_nesting)
{
	expect(c, "DISCARD", "-ERR DISCARD without MULTI\r\n");
	expect(c, "MULTI", OK);
	expect(c, "MULTI", "-ERR MULTI calls can not be nested\r\n");
	expect(c, "WATCH k", "-ERR WATCH inside MULTI is not allowed\r\n");
	expect(c, "SET k 1", QUEUED);
	expect(c, "DISCARD", OK);
	expect(c, "GET k", "$-1\r\n");
	expect(c, "MULTI", OK);
	expect(c, "SET k 1", QUEUED);
	expect(c, "RESET", "+RESET\r\n");
	expect(c, "EXEC", "-ERR EXEC without MULTI\r\n");
}
END_TEST

START_TEST(test_spoilt)
{
	static const char *const bad[] = { "NOSUCH", "GET", "SET k", "CONFIG NOSUCH" };
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
		expect(c, "MULTI", OK);
		expect(c, "SET k 1", QUEUED);
		expect_prefix(c, bad[i], "-ERR ");
		expect(c, "EXEC", "-EXECABORT Transaction discarded because of previous errors.\r\n");
		expect(c, "GET k", "$-1\r\n");
	}
}
END_TEST

START_TEST(test_databases)
{
	expect(c, "MULTI", OK);
	expect(c, "SET k 0", QUEUED);
	expect(c, "SELECT 3", QUEUED);
	expect(c, "SET k 3", QUEUED);
	expect(c, "EXEC", "*3\r\n+OK\r\n+OK\r\n+OK\r\n");
	expect(c, "GET k", "$1\r\n3\r\n");
	expect(c, "SELECT 0", OK);
	expect(c, "GET k", "$1\r\n0\r\n");
}
END_TEST

/* Commands that need the whole server run in a transaction too. */
START_TEST(test_alone_within)
{
	expect(c, "MSET a 1 b 2 c 3", OK);
	expect(c, "MULTI", OK);
	expect(c, "DBSIZE", QUEUED);
	expect(c, "FLUSHALL", QUEUED);
	expect(c, "SET d 4", QUEUED);
	expect(c, "KEYS *", QUEUED);
	expect(c, "EXEC", "*4\r\n:3\r\n+OK\r\n+OK\r\n*1\r\n$1\r\nd\r\n");
}
END_TEST

static void expect_watch(struct resp_client *other, const char *before, const char *change, bool aborts)
{
	expect(c, "FLUSHALL", OK);
	expect_any(c, before);
	expect(c, "WATCH k k2", OK);
	if (other)
		expect_any(other, change);
	else
		expect_any(c, change);
	expect(c, "MULTI", OK);
	expect(c, "PING", QUEUED);
	if (aborts)
		expect(c, "EXEC", ABORTED);
	else
		expect(c, "EXEC", "*1\r\n+PONG\r\n");
	/* The watch is gone either way. */
	expect_any(c, "SET k again");
	expect(c, "MULTI", OK);
	expect(c, "EXEC", "*0\r\n");
}

START_TEST(test_watch)
{
	struct resp_client *other = connect_to(&server);
	expect_watch(other, "SET k 1", "SET k 1", true);
	expect_watch(other, "SET x 1", "SET k 1", true);
	expect_watch(other, "SET k 1", "DEL k", true);
	expect_watch(other, "SET k 1", "EXPIRE k 100", true);
	expect_watch(other, "SET k 1", "GET k", false);
	expect_watch(other, "SET k 1", "SET other 1", false);
	expect_watch(other, "SET k 1", "SETNX k 2", false);
	expect_watch(other, "SET k2 1", "APPEND k2 x", true);
	expect_watch(other, "SET k 1", "FLUSHALL", true);
	expect_watch(other, "SET x 1", "FLUSHALL", false);
	expect_watch(other, "SET k 1", "SWAPDB 0 1", true);
	expect_watch(other, "SET x 1", "SWAPDB 0 1", false);
	expect_watch(other, "SET x 1", "RENAME x k", true);
	expect_watch(NULL, "SET k 1", "SET k 2", true);
	expect_watch(NULL, "SET k 1", "UNWATCH", false);
	resp_close(other);
}
END_TEST

/* A key that expires between WATCH and EXEC has changed; one that had expired before has not. */
START_TEST(test_watch_expiry)
{
	expect(c, "DEBUG SET-ACTIVE-EXPIRE 0", OK);
	expect(c, "SET k 1 PX 1", OK);
	while (ask_int(c, "PTTL k") != -2)
		;
	do { /* until it was still there when it was watched */
		expect(c, "UNWATCH", OK);
		expect(c, "SET k 1 PX 1000", OK);
		expect(c, "WATCH k", OK);
	} while (!ask_int(c, "EXISTS k"));
	while (ask_int(c, "EXISTS k"))
		;
	expect(c, "MULTI", OK);
	expect(c, "EXEC", ABORTED);
	expect(c, "WATCH k", OK);
	expect(c, "MULTI", OK);
	expect(c, "EXEC", "*0\r\n");
	expect(c, "DEBUG SET-ACTIVE-EXPIRE 1", OK);
}
END_TEST

#define WORKERS 8
#define TRANSFERS 400
#define ACCOUNTS 16

/* Optimistic transfers between accounts of different shards: WATCH, read, MULTI, two SETs, EXEC; tried again if aborted. */
static void *transfer(void *arg)
{
	unsigned seed = (unsigned)(uintptr_t)arg;
	struct resp_client *k = connect_to(&server);
	char line[128];
	for (int done = 0; done < TRANSFERS;) {
		unsigned from = (unsigned)rand_r(&seed) % ACCOUNTS, to = (from + 1 + (unsigned)rand_r(&seed) % (ACCOUNTS - 1)) % ACCOUNTS;
		snprintf(line, sizeof line, "WATCH account:%u account:%u", from, to);
		expect(k, line, OK);
		snprintf(line, sizeof line, "GET account:%u", from);
		struct resp_value *a = resp_ask(k, line);
		snprintf(line, sizeof line, "GET account:%u", to);
		struct resp_value *b = resp_ask(k, line);
		long have = strtol(a->text, NULL, 10), other = strtol(b->text, NULL, 10);
		resp_value_free(a);
		resp_value_free(b);
		expect(k, "MULTI", OK);
		snprintf(line, sizeof line, "SET account:%u %ld", from, have - 1);
		expect(k, line, QUEUED);
		snprintf(line, sizeof line, "SET account:%u %ld", to, other + 1);
		expect(k, line, QUEUED);
		struct resp_value *v = resp_ask(k, "EXEC");
		done += v->type == '*' && v->n == 2;
		resp_value_free(v);
	}
	resp_close(k);
	return NULL;
}

START_TEST(test_transfers_keep_the_sum)
{
	pthread_t threads[WORKERS];
	char line[64];
	long sum = 0;
	for (int i = 0; i < ACCOUNTS; i++) {
		snprintf(line, sizeof line, "SET account:%d 1000", i);
		expect(c, line, OK);
	}
	for (uintptr_t i = 0; i < WORKERS; i++)
		ck_assert_int_eq(pthread_create(&threads[i], NULL, transfer, (void *)(i + 1)), 0);
	for (int i = 0; i < WORKERS; i++)
		pthread_join(threads[i], NULL);
	for (int i = 0; i < ACCOUNTS; i++) {
		snprintf(line, sizeof line, "GET account:%d", i);
		struct resp_value *v = resp_ask(c, line);
		sum += strtol(v->text, NULL, 10);
		resp_value_free(v);
	}
	ck_assert_int_eq(sum, ACCOUNTS * 1000);
}
END_TEST

/* One unit in the journal, replayed it gives the same data. */
START_TEST(test_journal)
{
	expect(c, "DEBUG JOURNAL START", OK);
	expect(c, "MULTI", OK);
	expect(c, "SET a 1 EX 1000", QUEUED);
	expect(c, "SELECT 2", QUEUED);
	expect(c, "INCRBYFLOAT f 1.5", QUEUED);
	expect(c, "SELECT 0", QUEUED);
	expect(c, "APPEND a x", QUEUED);
	expect_prefix(c, "EXEC", "*5\r\n");
	expect(c, "DEBUG JOURNAL CHECK", OK);
	expect(c, "DEBUG JOURNAL STOP", OK);
}
END_TEST

START_TEST(test_client_list)
{
	expect(c, "MULTI", OK);
	expect(c, "GET a", QUEUED);
	expect(c, "GET b", QUEUED);
	struct resp_client *other = connect_to(&server);
	struct resp_value *v = resp_ask(other, "CLIENT LIST");
	ck_assert_msg(strstr(v->text, " multi=2 ") && strstr(v->text, " multi=-1 "), "%s", v->text);
	resp_value_free(v);
	resp_close(other);
}
END_TEST

/* What EXEC is refused for ends the transaction. */
START_TEST(test_refused_exec)
{
	expect(c, "MULTI", OK);
	expect(c, "SET a 1", QUEUED);
	expect(c, "EXEC x", "-EXECABORT Transaction discarded because of: wrong number of arguments for 'exec' command\r\n");
	expect(c, "EXEC", "-ERR EXEC without MULTI\r\n");
	expect(c, "MULTI", OK);
	expect(c, "SET a 1", QUEUED);
	struct resp_client *other = connect_to(&server);
	expect(other, "CONFIG SET maxmemory 1", OK);
	expect(c, "EXEC", "-EXECABORT Transaction discarded because of: OOM command not allowed when used memory > "
	                  "'maxmemory'.\r\n");
	expect(other, "CONFIG SET maxmemory 0", OK);
	expect(c, "GET a", "$-1\r\n");
	resp_close(other);
}
END_TEST

/* What would turn the replies that follow into something else. */
START_TEST(test_not_within)
{
	expect(c, "MULTI", OK);
	expect(c, "MONITOR", QUEUED);
	expect(c, "SSUBSCRIBE ch", QUEUED);
	expect(c, "SUBSCRIBE ch", QUEUED);
	expect(c, "UNSUBSCRIBE ch", QUEUED);
	expect(c, "EXEC", "*4\r\n-ERR MONITOR isn't allowed for DENY BLOCKING client\r\n"
	                  "-ERR SSUBSCRIBE isn't allowed for a DENY BLOCKING client\r\n"
	                  "*3\r\n$9\r\nsubscribe\r\n$2\r\nch\r\n:1\r\n*3\r\n$11\r\nunsubscribe\r\n$2\r\nch\r\n:0\r\n");
	expect(c, "PING", "+PONG\r\n");
}
END_TEST

static int64_t command_usec(const char *name)
{
	char what[64];
	struct resp_value *v = resp_ask(c, "INFO commandstats");
	snprintf(what, sizeof what, "cmdstat_%s:calls=", name);
	const char *at = strstr(v->text, what), *usec = at ? strstr(at, "usec=") : NULL;
	int64_t n = usec ? strtoll(usec + 5, NULL, 10) : -1;
	resp_value_free(v);
	return n;
}

/* EXEC takes as long as what is within, and so does a script. */
START_TEST(test_duration)
{
	expect(c, "CONFIG RESETSTAT", OK);
	expect(c, "LATENCY RESET", ":0\r\n");
	expect(c, "CONFIG SET latency-monitor-threshold 20", OK);
	expect(c, "MULTI", OK);
	expect(c, "DEBUG SLEEP 0.3", QUEUED);
	expect(c, "PING", QUEUED);
	expect(c, "EXEC", "*2\r\n+OK\r\n+PONG\r\n");
	ck_assert_int_ge(command_usec("debug"), 300000);
	ck_assert_int_ge(command_usec("exec"), 300000);
	ck_assert_int_lt(command_usec("ping"), 250000);
	struct resp_value *v = resp_ask(c, "LATENCY HISTORY command");
	ck_assert_uint_ge(v->n, 1);
	resp_value_free(v);
	expect(c, "EVAL \"for i = 1, 20000 do redis.call('ping') end\" 0", "$-1\r\n");
	ck_assert_int_gt(command_usec("eval"), command_usec("ping"));
	expect(c, "CONFIG SET latency-monitor-threshold 0", OK);
}
END_TEST

COMMAND_TESTS_WITH("transaction", "enable-debug-command yes\n", test_queue_and_run, test_discard_and_nesting, test_spoilt,
                   test_databases, test_alone_within, test_watch, test_watch_expiry, test_transfers_keep_the_sum,
                   test_journal, test_client_list, test_refused_exec, test_not_within, test_duration)
