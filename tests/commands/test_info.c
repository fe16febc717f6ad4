#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/lib/expect.h"

static char *info(const char *sections)
{
	char line[128];
	snprintf(line, sizeof line, "INFO %s", sections);
	struct resp_value *v = resp_ask(c, line);
	ck_assert(v && (v->type == '$' || v->type == '='));
	char *text = v->text;
	v->text = NULL;
	resp_value_free(v);
	return text;
}

/* The headers in their order, "Server Clients ...". */
static void expect_sections(const char *sections, const char *want)
{
	char *text = info(sections), got[512] = "";
	for (char *p = text; p && (p = strstr(p, "# ")); p++)
		snprintf(got + strlen(got), sizeof got - strlen(got), "%s%.*s", *got ? " " : "", (int)strcspn(p + 2, "\r"), p + 2);
	ck_assert_str_eq(got, want);
	free(text);
}

START_TEST(sections)
{
	static const char all[] = "Server Clients Memory Persistence Stats Replication CPU Modules Commandstats Errorstats "
				  "Latencystats Cluster Keyspace Loops";
	static const char usual[] = "Server Clients Memory Persistence Stats Replication CPU Modules Errorstats Cluster Keyspace";
	expect_sections("", usual);
	expect_sections("default", usual);
	expect_sections("ALL", all);
	expect_sections("everything", all);
	expect_sections("keyspace CPU keyspace", "CPU Keyspace");
	expect_sections("default commandstats", "Server Clients Memory Persistence Stats Replication CPU Modules Commandstats "
						"Errorstats Cluster Keyspace");
	expect_sections("modules", "Modules");
	expect_sections("nosuch", "");
	expect_sections("nosuch cpu", "CPU");
	expect_any(c, "HELLO 3");
	expect_prefix(c, "INFO cluster", "=34\r\ntxt:# Cluster\r\ncluster_enabled:0\r\n");
}
END_TEST

/* What exporters and harnesses read is there. */
START_TEST(fields)
{
	static const char *const names[] = {
		"redis_version:7.2.4", "redis_mode:standalone", "os:", "arch_bits:64", "process_id:", "run_id:", "tcp_port:",
		"uptime_in_seconds:", "hz:", "lru_clock:", "executable:/", "config_file:/", "connected_clients:1", "maxclients:",
		"blocked_clients:0", "used_memory:", "used_memory_human:", "used_memory_rss:", "used_memory_peak:",
		"used_memory_dataset_perc:", "total_system_memory:", "maxmemory:0", "maxmemory_policy:noeviction",
		"mem_fragmentation_ratio:", "mem_allocator:", "loading:0", "rdb_changes_since_last_save:",
		"rdb_bgsave_in_progress:0", "rdb_last_save_time:", "rdb_last_bgsave_status:ok", "aof_enabled:0",
		"aof_last_write_status:ok", "total_connections_received:", "total_commands_processed:",
		"instantaneous_ops_per_sec:", "total_net_input_bytes:", "rejected_connections:0", "expired_keys:",
		"evicted_keys:0", "keyspace_hits:", "keyspace_misses:", "pubsub_channels:0", "latest_fork_usec:0",
		"total_error_replies:", "role:master", "connected_slaves:0", "master_failover_state:no-failover",
		"master_replid:", "master_repl_offset:0", "repl_backlog_active:0", "used_cpu_sys:", "used_cpu_user_children:",
		"cluster_enabled:0", "shoal_version:", "loops:", "listener0:name=tcp,bind=",
	};
	char *text = info("everything"), key[80];
	for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
		snprintf(key, sizeof key, "\r\n%s", names[i]);
		ck_assert_msg(strstr(text, key) != NULL, "%s is missing", names[i]);
	}
	ck_assert_ptr_null(strstr(text, "\n\n"));
	for (const char *p = text; (p = strchr(p, '\n')); p++)
		ck_assert(p[-1] == '\r');
	free(text);
	ck_assert_int_eq(info_int(c, "server", "tcp_port"), server.port);
	ck_assert_int_eq(info_int(c, "server", "process_id"), server.pid);
	ck_assert_int_eq(info_int(c, "server", "loops"), proc_loops());
}
END_TEST

START_TEST(counters)
{
	expect(c, "CONFIG RESETSTAT", "+OK\r\n");
	expect(c, "SET a 1", "+OK\r\n");
	expect_bulk(c, "GET a", "1");
	expect_bulk(c, "GET a", "1");
	expect(c, "GET b", "$-1\r\n");
	expect_prefix(c, "GET", "-ERR wrong number");
	expect_prefix(c, "INCRBY a x", "-ERR value is not an integer");
	expect_prefix(c, "HELLO 9", "-NOPROTO");
	ck_assert_int_eq(info_int(c, "stats", "keyspace_hits"), 2);
	ck_assert_int_eq(info_int(c, "stats", "keyspace_misses"), 1);
	ck_assert_int_eq(info_int(c, "stats", "total_error_replies"), 3);
	char *text = info("commandstats errorstats");
	ck_assert_ptr_nonnull(strstr(text, "\r\ncmdstat_get:calls=3,usec="));
	ck_assert_ptr_nonnull(strstr(text, ",rejected_calls=1,failed_calls=0\r\n"));
	ck_assert_ptr_nonnull(strstr(text, "\r\ncmdstat_incrby:calls=1,"));
	ck_assert_ptr_nonnull(strstr(text, "rejected_calls=0,failed_calls=1\r\n"));
	ck_assert_ptr_nonnull(strstr(text, "\r\ncmdstat_config|resetstat:calls=1,"));
	ck_assert_ptr_nonnull(strstr(text, "\r\nerrorstat_ERR:count=2\r\n"));
	ck_assert_ptr_nonnull(strstr(text, "\r\nerrorstat_NOPROTO:count=1\r\n"));
	free(text);
	expect(c, "CONFIG RESETSTAT", "+OK\r\n");
	ck_assert_int_eq(info_int(c, "stats", "keyspace_hits"), 0);
	ck_assert_int_eq(info_int(c, "stats", "total_error_replies"), 0);
}
END_TEST

START_TEST(keyspace)
{
	char *text = info("keyspace");
	ck_assert_str_eq(text, "# Keyspace\r\n");
	free(text);
	expect(c, "MSET a 1 b 2 c 3", "+OK\r\n");
	expect(c, "EXPIRE a 100", ":1\r\n");
	expect(c, "SELECT 9", "+OK\r\n");
	expect(c, "SET x 1", "+OK\r\n");
	text = info("keyspace");
	ck_assert_ptr_nonnull(strstr(text, "\r\ndb0:keys=3,expires=1,avg_ttl="));
	ck_assert_ptr_nonnull(strstr(text, "\r\ndb9:keys=1,expires=0,avg_ttl=0"));
	free(text);
}
END_TEST

START_TEST(memory_grows)
{
	int64_t before = info_int(c, "memory", "used_memory");
	expect(c, "DEBUG POPULATE 100000 key 100", "+OK\r\n");
	int64_t after = info_int(c, "memory", "used_memory");
	ck_assert_int_gt(after, before + 10 * 1000 * 1000);
	ck_assert_int_ge(info_int(c, "memory", "used_memory_peak"), after);
	ck_assert_int_ge(info_int(c, "memory", "used_memory_dataset"), 10 * 1000 * 1000);
	expect(c, "FLUSHALL", "+OK\r\n");
	ck_assert_int_lt(info_int(c, "memory", "used_memory"), after - 10 * 1000 * 1000);
}
END_TEST

START_TEST(clients_are_counted)
{
	struct resp_client *a = connect_to(&server);
	expect(a, "PING", "+PONG\r\n");
	ck_assert_int_eq(info_int(c, "clients", "connected_clients"), 2);
	expect_prefix(c, "CLIENT KILL TYPE normal", ":1\r\n");
	ck_assert(resp_read_eof(a));
	resp_close(a);
}
END_TEST

START_TEST(time_and_lolwut)
{
	struct resp_value *v = resp_ask(c, "TIME");
	ck_assert(v && v->n == 2 && v->elements[0].len == 10 && strtol(v->elements[1].text, NULL, 10) < 1000000);
	resp_value_free(v);
	v = resp_ask(c, "LOLWUT VERSION 5 40 8");
	ck_assert(v && strstr(v->text, "\nShoal ver. ") && strchr(v->text, '\n') == v->text + 40);
	resp_value_free(v);
	expect(c, "LOLWUT VERSION x", "-ERR value is not an integer or out of range\r\n");
	expect(c, "LOLWUT VERSION 5 9999999999999999999", "-ERR value is not an integer or out of range\r\n");
	expect_prefix(c, "LOLWUT VERSION 5 9223372036854775807 9223372036854775807", "$");
	expect_prefix(c, "LOLWUT VERSION 5 -1 0", "$");
	expect_prefix(c, "LOLWUT x y", "$");
}
END_TEST

START_TEST(shutdown_ends)
{
	struct proc p;
	own_server(&p, NULL);
	struct resp_client *a = connect_to(&p);
	expect(a, "SHUTDOWN foo", "-ERR syntax error\r\n");
	expect(a, "SHUTDOWN SAVE NOSAVE", "-ERR syntax error\r\n");
	expect(a, "SHUTDOWN ABORT NOW", "-ERR syntax error\r\n");
	expect(a, "SHUTDOWN ABORT", "-ERR No shutdown in progress.\r\n");
	expect(a, "PING", "+PONG\r\n");
	ck_assert(resp_send(a, "SHUTDOWN NOSAVE NOW"));
	ck_assert(resp_read_eof(a));
	ck_assert(proc_wait_exit(&p, 10000));
	ck_assert_int_eq(p.status, 0);
	resp_close(a);
	proc_clean(&p);
}
END_TEST

START_TEST(loops)
{
	static struct resp_client *more[8];
	unsigned long long connections = 0, commands = 0, n[4];
	for (int i = 0; i < 8; i++) {
		more[i] = connect_to(&server);
		expect_any(more[i], "PING");
	}
	struct resp_value *v = resp_ask(c, "INFO loops"), *usual = resp_ask(c, "INFO");
	const char *at = strchr(v->text, '\n') + 1;
	ck_assert(!strncmp(v->text, "# Loops\r\n", 9));
	ck_assert_ptr_null(strstr(usual->text, "# Loops"));
	for (int i = 0; i < proc_loops(); i++, at = strchr(at, '\n') + 1) {
		int loop = -1;
		ck_assert_int_eq(sscanf(at, "loop%d:connections=%llu,turns=%llu,commands=%llu,busy_us=%llu", &loop, &n[0], &n[1],
		                        &n[2], &n[3]), 5);
		ck_assert_int_eq(loop, i);
		connections += n[0];
		commands += n[2];
	}
	ck_assert_str_eq(at, "");
	ck_assert_uint_ge(connections, 9);
	ck_assert_uint_ge(commands, 8);
	for (int i = 0; i < 8; i++)
		resp_close(more[i]);
	resp_value_free(v);
	resp_value_free(usual);
}
END_TEST

COMMAND_TESTS("info", sections, fields, counters, keyspace, memory_grows, clients_are_counted, time_and_lolwut,
              loops, shutdown_ends)
