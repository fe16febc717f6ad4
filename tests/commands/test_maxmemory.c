/* maxmemory: who is evicted, who is refused; maxmemory-clients; MEMORY. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/lib/expect.h"

#define OK "+OK\r\n"
#define OOM "OOM command not allowed when used memory > 'maxmemory'.\r\n"

static void limit_to_more(int64_t bytes)
{
	char line[64];
	snprintf(line, sizeof line, "CONFIG SET maxmemory %lld", (long long)(info_int(c, "memory", "used_memory") + bytes));
	expect(c, line, OK);
}

static void no_limit(void)
{
	expect(c, "CONFIG SET maxmemory 0 maxmemory-policy noeviction", OK);
}

/* SET of n keys with 1 KiB each; returns how many were refused. */
static int fill(const char *prefix, int n, const char *options)
{
	int refused = 0;
	for (int i = 0; i < n; i++) {
		char line[1200];
		struct resp_bytes r;
		snprintf(line, sizeof line, "SET %s%d %01000d %s", prefix, i, i, options);
		ck_assert(resp_send(c, line) && resp_read(c, &r));
		refused += r.ptr[0] == '-';
	}
	return refused;
}

START_TEST(test_noeviction_refuses_what_takes_memory)
{
	expect(c, "SET k v", OK);
	expect(c, "CONFIG SET maxmemory 1", OK);
	expect(c, "SET k w", "-" OOM);
	expect(c, "LPUSH l a", "-" OOM);
	expect_bulk(c, "GET k", "v");
	expect(c, "MULTI", OK);
	expect(c, "GET k", "-" OOM);
	expect(c, "EXEC", "-EXECABORT Transaction discarded because of previous errors.\r\n");
	expect_int(c, "DEL k", 1);
	no_limit();
	expect(c, "MULTI", OK);
	expect(c, "SET k v", "+QUEUED\r\n");
	struct resp_client *other = connect_to(&server);
	expect(other, "CONFIG SET maxmemory 1", OK);
	expect(c, "EXEC", "-EXECABORT Transaction discarded because of: " OOM);
	expect(c, "EXEC", "-ERR EXEC without MULTI\r\n");
	no_limit();
	expect(c, "GET k", "$-1\r\n");
	resp_close(other);
}
END_TEST

static const char *const policies[] = { "allkeys-lru", "allkeys-lfu", "allkeys-random" };

static void any_key_goes(const char *policy)
{
	char line[64];
	expect(c, "FLUSHALL", OK);
	snprintf(line, sizeof line, "CONFIG SET maxmemory-policy %s", policy);
	expect(c, line, OK);
	int64_t evicted = info_int(c, "stats", "evicted_keys");
	limit_to_more(1 << 20);
	ck_assert_int_eq(fill("a", 4000, ""), 0);
	int64_t left = ask_int(c, "DBSIZE");
	ck_assert_int_gt(left, 300);
	ck_assert_int_lt(left, 1500);
	ck_assert_int_eq(info_int(c, "stats", "evicted_keys") - evicted, 4000 - left);
	no_limit();
}

START_TEST(test_any_key_goes)
{
	for (size_t i = 0; i < sizeof policies / sizeof *policies; i++)
		any_key_goes(policies[i]);
}
END_TEST

static const char *const volatile_policies[] = { "volatile-lru", "volatile-lfu", "volatile-random", "volatile-ttl" };

static void only_volatile_keys_go(const char *policy)
{
	char line[64];
	expect(c, "FLUSHALL", OK);
	snprintf(line, sizeof line, "CONFIG SET maxmemory-policy %s", policy);
	expect(c, line, OK);
	ck_assert_int_eq(fill("keep", 200, ""), 0);
	limit_to_more(512 << 10);
	ck_assert_int_eq(fill("v", 2000, "EX 1000"), 0);
	ck_assert_int_lt(ask_int(c, "DBSIZE"), 1200);
	for (int i = 0; i < 200; i++) {
		snprintf(line, sizeof line, "EXISTS keep%d", i);
		expect_int(c, line, 1);
	}
	ck_assert_int_gt(fill("more", 2000, ""), 0); /* at last nothing is left that may go */
	no_limit();
}

START_TEST(test_only_volatile_keys_go)
{
	for (size_t i = 0; i < sizeof volatile_policies / sizeof *volatile_policies; i++)
		only_volatile_keys_go(volatile_policies[i]);
}
END_TEST

START_TEST(test_the_earliest_to_expire_goes_first)
{
	expect(c, "CONFIG SET maxmemory-policy volatile-ttl maxmemory-samples 64", OK);
	ck_assert_int_eq(fill("late", 300, "EX 100000"), 0);
	ck_assert_int_eq(fill("soon", 300, "EX 100"), 0);
	limit_to_more(0);
	ck_assert_int_eq(fill("late2", 150, "EX 100000"), 0);
	char line[64];
	int64_t late = 0;
	for (int i = 0; i < 300; i++) {
		snprintf(line, sizeof line, "EXISTS late%d", i);
		late += ask_int(c, line);
	}
	ck_assert_int_gt(late, 290);
	no_limit();
	expect(c, "CONFIG SET maxmemory-samples 5", OK);
}
END_TEST

START_TEST(test_what_is_used_stays)
{
	expect(c, "CONFIG SET maxmemory-policy allkeys-lfu maxmemory-samples 10", OK);
	ck_assert_int_eq(fill("hot", 50, ""), 0);
	char line[64];
	for (int round = 0; round < 40; round++) {
		for (int i = 0; i < 50; i++) {
			snprintf(line, sizeof line, "GET hot%d", i);
			expect_any(c, line);
		}
	}
	limit_to_more(1 << 20);
	ck_assert_int_eq(fill("cold", 4000, ""), 0);
	int64_t hot = 0;
	for (int i = 0; i < 50; i++) {
		snprintf(line, sizeof line, "EXISTS hot%d", i);
		hot += ask_int(c, line);
	}
	ck_assert_int_gt(hot, 45);
	no_limit();
	expect(c, "CONFIG SET maxmemory-samples 5", OK);
}
END_TEST

START_TEST(test_evictions_are_told)
{
	struct resp_client *s = connect_to(&server);
	struct resp_bytes r;
	expect(c, "CONFIG SET notify-keyspace-events Ee maxmemory-policy allkeys-random", OK);
	expect(s, "SUBSCRIBE __keyevent@0__:evicted", "*3\r\n$9\r\nsubscribe\r\n$22\r\n__keyevent@0__:evicted\r\n:1\r\n");
	expect(c, "SET k v", OK);
	expect(c, "CONFIG SET maxmemory 1", OK);
	ck_assert(resp_read(s, &r) && memmem(r.ptr, r.len, "evicted", 7) && memmem(r.ptr, r.len, "$1\r\nk\r\n", 7));
	no_limit();
	expect(c, "CONFIG SET notify-keyspace-events \"\"", OK);
	resp_close(s);
}
END_TEST

START_TEST(test_the_largest_client_goes)
{
	static const char begin[] = "*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$8000000\r\n";
	struct proc p;
	own_server(&p, "maxmemory-clients 2mb\n");
	struct resp_client *big = connect_to(&p), *kept = connect_to(&p), *small = connect_to(&p);
	expect(kept, "CLIENT NO-EVICT ON", OK);
	expect(small, "PING", "+PONG\r\n");
	char *part = malloc(3 << 20);
	memset(part, 'x', 3 << 20);
	ck_assert(resp_send_bytes(kept, begin, sizeof begin - 1));
	ck_assert(resp_send_bytes(kept, part, 3 << 20));
	ck_assert(resp_send_bytes(big, begin, sizeof begin - 1));
	resp_send_bytes(big, part, 3 << 20);
	ck_assert(resp_read_eof(big));
	expect(small, "PING", "+PONG\r\n");
	ck_assert_int_eq(info_int(small, "stats", "evicted_clients"), 1);
	free(part);
	resp_close(big);
	resp_close(kept);
	resp_close(small);
	proc_stop(&p);
}
END_TEST

START_TEST(test_memory_command)
{
	expect(c, "MEMORY PURGE", OK);
	expect_any(c, "MEMORY DOCTOR");
	expect_any(c, "MEMORY MALLOC-STATS");
	expect(c, "SET k v", OK);
	struct resp_value *v = resp_ask(c, "MEMORY STATS");
	ck_assert(v && v->type == '*' && v->n % 2 == 0);
	bool keys = false;
	for (size_t i = 0; i < v->n; i += 2) {
		if (!strcmp(v->elements[i].text, "keys.count"))
			keys = v->elements[i + 1].integer == 1;
	}
	ck_assert(keys);
	resp_value_free(v);
}
END_TEST

COMMAND_TESTS("maxmemory", test_noeviction_refuses_what_takes_memory, test_any_key_goes, test_only_volatile_keys_go,
              test_the_earliest_to_expire_goes_first, test_what_is_used_stays, test_evictions_are_told,
              test_the_largest_client_goes, test_memory_command)
