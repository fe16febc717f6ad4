/* info: see info.h. Fields and their order are those of redis-server 7.2; what is Shoal's own stands at a section's end. */
#include "server/info.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/resource.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "net/net.h"
#include "server/aof.h"
#include "server/block.h"
#include "server/client.h"
#include "server/clock.h"
#include "server/command.h"
#include "server/config.h"
#include "server/exec.h"
#include "server/evict.h"
#include "server/info_text.h"
#include "server/persist.h"
#include "server/latency.h"
#include "server/repl_id.h"
#include "server/server.h"
#include "server/stats.h"
#include "server/tracking.h"
#include "server/txn.h"

/* ------------------------------------------------------------------ text */

void info_add(struct info_text *t, const char *format, ...)
{
	va_list ap;
	for (int pass = 0; pass < 2 && !t->failed; pass++) {
		size_t room = t->cap - t->len;
		va_start(ap, format);
		int n = vsnprintf(t->p ? t->p + t->len : NULL, room, format, ap);
		va_end(ap);
		if ((size_t)n < room) {
			t->len += (size_t)n;
			return;
		}
		size_t cap = t->cap * 2 + (size_t)n + 4096;
		char *p = realloc(t->p, cap);
		if (!p) {
			t->failed = true;
			return;
		}
		t->p = p;
		t->cap = cap;
	}
}

void info_human(struct info_text *t, const char *name, uint64_t v)
{
	static const char units[] = "BKMGTP";
	double d = (double)v;
	int u = 0;
	while (d >= 1024 && u < 5)
		d /= 1024, u++;
	if (u == 0)
		info_add(t, "%s_human:%lluB\r\n", name, (unsigned long long)v);
	else
		info_add(t, "%s_human:%.2f%c\r\n", name, d, units[u]);
}

void info_bytes(struct info_text *t, const char *name, uint64_t v)
{
	info_num(t, name, (int64_t)v);
	info_human(t, name, v);
}

/* ------------------------------------------------------------------ what the network library counts */

static struct net_loop_stats net_sums(void)
{
	struct net_loop_stats sum = { 0 }, s;
	struct net_server *net = server_net();
	for (int i = 0; net && i < net_server_loops(net); i++) {
		net_loop_get_stats(net_server_loop(net, i), &s);
		sum.bytes_in += s.bytes_in;
		sum.bytes_out += s.bytes_out;
		sum.reads += s.reads;
		sum.writes += s.writes;
		sum.turns += s.turns;
		sum.busy_ns += s.busy_ns;
	}
	return sum;
}

static uint64_t bytes_in(void)
{
	return net_sums().bytes_in;
}

static uint64_t bytes_out(void)
{
	return net_sums().bytes_out;
}

static uint64_t turns(void)
{
	return net_sums().turns;
}

static uint64_t busy_us(void)
{
	return net_sums().busy_ns / 1000;
}

void info_init(void)
{
	stats_source(STAT_NET_IN, bytes_in);
	stats_source(STAT_NET_OUT, bytes_out);
	stats_source(STAT_TURNS, turns);
	stats_source(STAT_BUSY_US, busy_us);
}

/* ------------------------------------------------------------------ sections */

static void add_listeners(struct info_text *t, const struct config *cfg)
{
	int n = 0;
	if (cfg->port) {
		info_add(t, "listener%d:name=tcp", n++);
		for (int i = 0; i < cfg->bind_count; i++)
			info_add(t, ",bind=%s", cfg->bind[i]);
		info_add(t, ",port=%d\r\n", server_port());
	}
	if (cfg->tls_port) {
		info_add(t, "listener%d:name=tls", n++);
		for (int i = 0; i < cfg->bind_count; i++)
			info_add(t, ",bind=%s", cfg->bind[i]);
		info_add(t, ",port=%d\r\n", cfg->tls_port);
	}
	if (*cfg->unixsocket)
		info_add(t, "listener%d:name=unix,bind=%s\r\n", n, cfg->unixsocket);
}

/* "auto" shows what it found. */
static const char *supervision(void)
{
	char mode[16] = "no";
	config_get("supervised", mode, sizeof mode);
	bool found = !strcmp(mode, "auto");
	if (!strcmp(mode, "systemd") || (found && getenv("NOTIFY_SOCKET")))
		return "systemd";
	return !strcmp(mode, "upstart") || (found && getenv("UPSTART_JOB")) ? "upstart" : "no";
}

static void section_server(struct info_text *t, struct store_op *op)
{
	const struct config *cfg = config();
	struct utsname u;
	char exe[4096];
	ssize_t n = readlink("/proc/self/exe", exe, sizeof exe - 1);
	exe[n > 0 ? n : 0] = 0;
	uname(&u);
	int64_t now_us = clock_wall_us(), up_s = (now_us / 1000 - server_start_ms()) / 1000;
	info_add(t, "# Server\r\nredis_version:%s\r\n", SERVER_REDIS_VERSION);
	info_add(t, "redis_git_sha1:00000000\r\nredis_git_dirty:0\r\nredis_build_id:%s\r\n", SHOAL_VERSION);
	info_add(t, "redis_mode:standalone\r\nos:%s %s %s\r\narch_bits:%zu\r\n", u.sysname, u.release, u.machine,
	         sizeof(void *) * 8);
	info_add(t, "monotonic_clock:POSIX clock_gettime\r\nmultiplexing_api:epoll\r\natomicvar_api:c11-builtin\r\n");
	info_add(t, "gcc_version:%d.%d.%d\r\n", __GNUC__, __GNUC_MINOR__, __GNUC_PATCHLEVEL__);
	info_num(t, "process_id", getpid());
	info_add(t, "process_supervised:%s\r\nrun_id:%s\r\n", supervision(), server_run_id());
	info_num(t, "tcp_port", server_port());
	info_num(t, "server_time_usec", now_us);
	info_num(t, "uptime_in_seconds", up_s);
	info_num(t, "uptime_in_days", up_s / 86400);
	info_num(t, "hz", cfg->hz);
	info_num(t, "configured_hz", cfg->hz);
	info_num(t, "lru_clock", store_access_clock(STORE_ACCESS_LRU, op->now_ms));
	info_add(t, "executable:%s\r\nconfig_file:%s\r\n", exe, config_file());
	info_num(t, "io_threads_active", 0);
	add_listeners(t, cfg);
	info_add(t, "shoal_version:%s\r\n", SHOAL_VERSION);
	info_num(t, "loops", server_loops());
	info_num(t, "shards", store_shards(op->store));
}

static void section_clients(struct info_text *t, struct store_op *op)
{
	(void)op;
	info_add(t, "# Clients\r\n");
	info_num(t, "connected_clients", client_count());
	info_num(t, "cluster_connections", 0);
	info_num(t, "maxclients", config()->maxclients);
	info_num(t, "client_recent_max_input_buffer", 0);
	info_num(t, "client_recent_max_output_buffer", 0);
	struct block_stats blocked;
	block_get_stats(&blocked);
	info_num(t, "blocked_clients", blocked.clients);
	struct tracking_stats tracked;
	tracking_get_stats(&tracked);
	info_num(t, "tracking_clients", (int64_t)tracked.clients);
	info_num(t, "clients_in_timeout_table", blocked.timeouts);
	info_num(t, "total_blocking_keys", blocked.keys);
	info_num(t, "total_blocking_keys_on_nokey", blocked.keys_if_gone);
}

static void section_memory(struct info_text *t, struct store_op *op)
{
	(void)op;
	info_memory(t);
}

static void section_persistence(struct info_text *t, struct store_op *op)
{
	(void)op;
	info_add(t, "# Persistence\r\n");
	persist_info_loading(t);
	persist_info_rdb(t);
	aof_info_status(t);
	info_add(t, "module_fork_in_progress:0\r\nmodule_fork_last_cow_size:0\r\n");
	aof_info_sizes(t);
	persist_info_progress(t);
}

static void stats_traffic(struct info_text *t)
{
	info_num(t, "total_connections_received", (int64_t)stats_sum(STAT_CONNECTIONS));
	info_num(t, "total_commands_processed", (int64_t)stats_sum(STAT_COMMANDS));
	info_num(t, "instantaneous_ops_per_sec", (int64_t)stats_rate(RATE_COMMANDS));
	info_num(t, "total_net_input_bytes", (int64_t)stats_sum(STAT_NET_IN));
	info_num(t, "total_net_output_bytes", (int64_t)stats_sum(STAT_NET_OUT));
	info_num(t, "total_net_repl_input_bytes", 0);
	info_num(t, "total_net_repl_output_bytes", 0);
	info_add(t, "instantaneous_input_kbps:%.2f\r\ninstantaneous_output_kbps:%.2f\r\n", stats_rate(RATE_NET_IN) / 1024,
	         stats_rate(RATE_NET_OUT) / 1024);
	info_add(t, "instantaneous_input_repl_kbps:0.00\r\ninstantaneous_output_repl_kbps:0.00\r\n");
	info_num(t, "rejected_connections", (int64_t)stats_sum(STAT_REJECTED_CONNECTIONS));
	info_add(t, "sync_full:0\r\nsync_partial_ok:0\r\nsync_partial_err:0\r\n");
}

static void stats_keys(struct info_text *t, struct store_op *op)
{
	struct store_stats st;
	store_get_stats(op->store, &st);
	info_num(t, "expired_keys", (int64_t)stats_sum(STAT_EXPIRED));
	info_add(t, "expired_stale_perc:%.2f\r\n", (double)st.stale_percent_x100 / 100);
	info_add(t, "expired_time_cap_reached_count:0\r\n");
	info_num(t, "expire_cycle_cpu_milliseconds", (int64_t)stats_sum(STAT_EXPIRE_US) / 1000);
	info_num(t, "evicted_keys", (int64_t)stats_sum(STAT_EVICTED));
	uint64_t exceeded_us, all_us = evict_exceeded_us(&exceeded_us);
	info_num(t, "evicted_clients", (int64_t)stats_sum(STAT_EVICTED_CLIENTS));
	info_num(t, "total_eviction_exceeded_time", (int64_t)(all_us / 1000));
	info_num(t, "current_eviction_exceeded_time", (int64_t)(exceeded_us / 1000));
	info_num(t, "keyspace_hits", (int64_t)stats_sum(STAT_KEY_HITS));
	info_num(t, "keyspace_misses", (int64_t)stats_sum(STAT_KEY_MISSES));
	info_add(t, "pubsub_channels:0\r\npubsub_patterns:0\r\npubsubshard_channels:0\r\nlatest_fork_usec:0\r\n"
	            "total_forks:0\r\nmigrate_cached_sockets:0\r\nslave_expires_tracked_keys:0\r\nactive_defrag_hits:0\r\n"
	            "active_defrag_misses:0\r\nactive_defrag_key_hits:0\r\nactive_defrag_key_misses:0\r\n"
	            "total_active_defrag_time:0\r\ncurrent_active_defrag_time:0\r\n");
	struct tracking_stats tracked;
	tracking_get_stats(&tracked);
	info_num(t, "tracking_total_keys", (int64_t)tracked.keys);
	info_num(t, "tracking_total_items", (int64_t)tracked.items);
	info_num(t, "tracking_total_prefixes", (int64_t)tracked.prefixes);
	info_add(t, "unexpected_error_replies:0\r\n");
}

static void section_stats(struct info_text *t, struct store_op *op)
{
	struct net_loop_stats net = net_sums();
	uint64_t ticks = 0;
	for (unsigned i = 0; i < command_count(); i++) {
		const struct command *cmd = command_by_id(i);
		/* The time of EXEC and of scripts is that of the commands within as well. */
		if (!txn_is_exec(cmd) && !(cmd->group && !strcmp(cmd->group, "scripting")))
			ticks += stats_command_sum(i).ticks;
	}
	double cycles = stats_rate(RATE_TURNS);
	info_add(t, "# Stats\r\n");
	stats_traffic(t);
	stats_keys(t, op);
	info_num(t, "total_error_replies", (int64_t)stats_sum(STAT_ERRORS));
	info_num(t, "dump_payload_sanitizations", 0);
	info_num(t, "total_reads_processed", (int64_t)net.reads);
	info_num(t, "total_writes_processed", (int64_t)net.writes);
	info_add(t, "io_threaded_reads_processed:0\r\nio_threaded_writes_processed:0\r\n");
	info_num(t, "client_query_buffer_limit_disconnections", (int64_t)stats_sum(STAT_QUERY_LIMIT_CLOSES));
	info_num(t, "client_output_buffer_limit_disconnections", (int64_t)stats_sum(STAT_OUTPUT_LIMIT_CLOSES));
	info_add(t, "reply_buffer_shrinks:0\r\nreply_buffer_expands:0\r\n");
	info_num(t, "eventloop_cycles", (int64_t)stats_sum(STAT_TURNS));
	info_num(t, "eventloop_duration_sum", (int64_t)stats_sum(STAT_BUSY_US));
	info_num(t, "eventloop_duration_cmd_sum", (int64_t)((double)ticks / clock_ticks_per_us()));
	info_num(t, "instantaneous_eventloop_cycles_per_sec", (int64_t)cycles);
	info_num(t, "instantaneous_eventloop_duration_usec", cycles > 0 ? (int64_t)(stats_rate(RATE_BUSY_US) / cycles) : 0);
	info_num(t, "acl_access_denied_auth", (int64_t)stats_sum(STAT_AUTH_FAILURES));
	info_num(t, "acl_access_denied_cmd", (int64_t)stats_sum(STAT_DENIED_COMMAND));
	info_num(t, "acl_access_denied_key", (int64_t)stats_sum(STAT_DENIED_KEY));
	info_num(t, "acl_access_denied_channel", (int64_t)stats_sum(STAT_DENIED_CHANNEL));
	info_num(t, "protocol_errors", (int64_t)stats_sum(STAT_PROTOCOL_ERRORS));
	info_num(t, "safepoints", (int64_t)exec_safepoints());
	info_num(t, "lock_waits", (int64_t)stats_sum(STAT_LOCK_WAITS));
}

static void section_replication(struct info_text *t, struct store_op *op)
{
	char backlog[32] = "0", id[41];
	(void)op;
	config_get("repl-backlog-size", backlog, sizeof backlog);
	repl_id_get(id);
	info_add(t, "# Replication\r\nrole:master\r\nconnected_slaves:0\r\nmaster_failover_state:no-failover\r\n");
	info_add(t, "master_replid:%s\r\nmaster_replid2:%040d\r\n", id, 0);
	info_add(t, "master_repl_offset:0\r\nsecond_repl_offset:-1\r\nrepl_backlog_active:0\r\nrepl_backlog_size:%s\r\n"
	            "repl_backlog_first_byte_offset:0\r\nrepl_backlog_histlen:0\r\n", backlog);
}

static void add_cpu(struct info_text *t, const char *suffix, int who)
{
	struct rusage r;
	getrusage(who, &r);
	info_add(t, "used_cpu_sys%s:%lld.%06ld\r\nused_cpu_user%s:%lld.%06ld\r\n", suffix, (long long)r.ru_stime.tv_sec,
	         (long)r.ru_stime.tv_usec, suffix, (long long)r.ru_utime.tv_sec, (long)r.ru_utime.tv_usec);
}

static void section_cpu(struct info_text *t, struct store_op *op)
{
	(void)op;
	info_add(t, "# CPU\r\n");
	add_cpu(t, "", RUSAGE_SELF);
	add_cpu(t, "_children", RUSAGE_CHILDREN);
	add_cpu(t, "_main_thread", RUSAGE_THREAD);
}

static void section_modules(struct info_text *t, struct store_op *op)
{
	(void)op;
	info_add(t, "# Modules\r\n");
}

static void section_commandstats(struct info_text *t, struct store_op *op)
{
	(void)op;
	info_add(t, "# Commandstats\r\n");
	for (unsigned i = 0; i < command_count(); i++) {
		struct stats_command s = stats_command_sum(i);
		if (!s.calls && !s.rejected && !s.failed)
			continue;
		double us = (double)s.ticks / clock_ticks_per_us();
		info_add(t, "cmdstat_%s:calls=%llu,usec=%lld,usec_per_call=%.2f,rejected_calls=%llu,failed_calls=%llu\r\n",
		         command_by_id(i)->full_name, (unsigned long long)s.calls, (long long)us,
		         s.calls ? us / (double)s.calls : 0, (unsigned long long)s.rejected, (unsigned long long)s.failed);
	}
}

static void add_error(void *ctx, const char *code, uint64_t count)
{
	info_add(ctx, "errorstat_%s:count=%llu\r\n", code, (unsigned long long)count);
}

static void section_errorstats(struct info_text *t, struct store_op *op)
{
	(void)op;
	info_add(t, "# Errorstats\r\n");
	stats_each_error(add_error, t);
}

static void add_latency(struct info_text *t, const struct command *cmd)
{
	uint64_t counts[LATENCY_BUCKETS], total = latency_histogram(cmd->id, counts);
	const struct config *cfg = config();
	if (!total)
		return;
	info_add(t, "latency_percentiles_usec_%s:", cmd->full_name);
	for (size_t i = 0; i < cfg->latency_percentiles.n; i++) {
		double p = cfg->latency_percentiles.v[i];
		info_add(t, "%sp%.10g=%.3f", i ? "," : "", p, (double)latency_percentile(counts, total, p) / 1000);
	}
	info_add(t, "\r\n");
}

static void section_latencystats(struct info_text *t, struct store_op *op)
{
	(void)op;
	info_add(t, "# Latencystats\r\n");
	for (unsigned id = 0; id < command_count(); id++)
		add_latency(t, command_by_id(id));
}

static void section_cluster(struct info_text *t, struct store_op *op)
{
	(void)op;
	info_add(t, "# Cluster\r\ncluster_enabled:0\r\n");
}

static void section_keyspace(struct info_text *t, struct store_op *op)
{
	info_add(t, "# Keyspace\r\n");
	for (unsigned db = 0; db < store_dbs(op->store); db++) {
		uint64_t keys = store_count(op->store, db);
		if (!keys)
			continue;
		op->db = db;
		info_add(t, "db%u:keys=%llu,expires=%llu,avg_ttl=%lld\r\n", db, (unsigned long long)keys,
		         (unsigned long long)store_count_volatile(op->store, db), (long long)store_average_ttl_ms(op));
	}
}

static void section_loops(struct info_text *t, struct store_op *op)
{
	struct net_server *net = server_net();
	(void)op;
	info_add(t, "# Loops\r\n");
	for (int i = 0; net && i < net_server_loops(net); i++) {
		struct net_loop_stats s;
		net_loop_get_stats(net_server_loop(net, i), &s);
		info_add(t, "loop%d:connections=%llu,turns=%llu,commands=%llu,busy_us=%llu\r\n", i,
		         (unsigned long long)s.connections, (unsigned long long)s.turns,
		         (unsigned long long)__atomic_load_n(&stats_of((unsigned)i)->counter[STAT_COMMANDS], __ATOMIC_RELAXED),
		         (unsigned long long)s.busy_ns / 1000);
	}
}

static const struct section {
	const char *name;
	void (*add)(struct info_text *t, struct store_op *op);
	bool by_default;
} sections[] = {
	{ "server", section_server, true },
	{ "clients", section_clients, true },
	{ "memory", section_memory, true },
	{ "persistence", section_persistence, true },
	{ "stats", section_stats, true },
	{ "replication", section_replication, true },
	{ "cpu", section_cpu, true },
	{ "modules", section_modules, true },
	{ "commandstats", section_commandstats, false },
	{ "errorstats", section_errorstats, true },
	{ "latencystats", section_latencystats, false },
	{ "cluster", section_cluster, true },
	{ "keyspace", section_keyspace, true },
	{ "loops", section_loops, false },
};
enum { SECTIONS = sizeof sections / sizeof *sections };

static bool name_is(const struct arg *a, const char *word)
{
	return strlen(word) == a->len && strncasecmp(a->ptr, word, a->len) == 0;
}

static uint32_t wanted(const struct arg *names, unsigned n)
{
	uint32_t bits = 0, usual = 0;
	for (unsigned i = 0; i < SECTIONS; i++)
		usual |= sections[i].by_default ? 1u << i : 0;
	if (n == 0)
		return usual;
	for (unsigned k = 0; k < n; k++) {
		if (name_is(&names[k], "all") || name_is(&names[k], "everything"))
			bits |= (1u << SECTIONS) - 1;
		else if (name_is(&names[k], "default"))
			bits |= usual;
		for (unsigned i = 0; i < SECTIONS; i++)
			if (name_is(&names[k], sections[i].name) ||
			    (sections[i].add == section_modules && name_is(&names[k], "module_list")))
				bits |= 1u << i;
	}
	return bits;
}

char *info_text(struct store_op *op, const struct arg *names, unsigned n, size_t *len)
{
	struct info_text t = { 0 };
	uint32_t bits = wanted(names, n);
	info_add(&t, "%s", "");
	for (unsigned i = 0; i < SECTIONS; i++) {
		if (!(bits & 1u << i))
			continue;
		if (t.len)
			info_add(&t, "\r\n");
		sections[i].add(&t, op);
	}
	if (t.failed) {
		free(t.p);
		return NULL;
	}
	*len = t.len;
	return t.p;
}
