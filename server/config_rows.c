/*
 * config_rows: every directive of Redis 7.2 and ours, with bounds and defaults as redis-server 7 has them, except that
 * normal clients have an output limit (a client that never reads must not take all memory).
 */
#include "server/config_rows.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <syslog.h>

#include "server/config_check.h"
#include "server/log.h"
#include "server/server.h"

/* What directives wait for. */
#define W_REPLICATION "replication"
#define W_CLUSTER "cluster mode"
/* What has nothing to do here. */
#define N_LOOPS "=every loop reads, executes and writes; their number is set with `loops`"
#define N_TABLE "=tables grow and shrink one bucket at a time, there is nothing to rehash"
#define N_LOADING "=files are loaded by threads of their own while the loops answer"
#define N_BASE "=a log's base file is written as rdb-save-incremental-fsync says"
#define N_FORK "=nothing forks"
#define N_DEFRAG "=memory is not defragmented while the server runs"
#define N_MODULES "=modules cannot be loaded"
#define N_HZ "=the cost of the background work does not depend on the number of clients"
#define N_ALLOCATOR "=values are freed by a thread of their own"
#define N_CPUS "=bind the process with taskset or the unit file's CPUAffinity"
#define N_LOCALE "=strings are compared byte by byte"
#define N_ACCEPT "=the reactor bounds the work of one turn"
#define N_MARKS "=sockets are not marked; a network namespace or the unit file can do it"
#define N_EXPIRE "=an index says what has expired, there is nothing to search for"
#define N_OLD "=it has no effect in Redis either"
#define N_UPSTREAM "=meant for tests of Redis itself"

#define OFF(field) offsetof(struct config, field)
#define BOOL(n, a, field, def, f, w)                                                                             \
	{ .name = n, .alias = a, .type = CONFIG_BOOL, .flags = f, .offset = OFF(field), .initial = def, .waits = w }
#define NUMBER(t, n, a, field, def, lo, hi, f, w)                                                                        \
	{ .name = n, .alias = a, .type = t, .flags = f, .offset = OFF(field), .initial = def, .min = lo, .max = hi, .waits = w }
#define INT(...) NUMBER(CONFIG_INT, __VA_ARGS__)
#define INT64(...) NUMBER(CONFIG_INT64, __VA_ARGS__)
#define UINT64(...) NUMBER(CONFIG_UINT64, __VA_ARGS__)
#define STRING(n, a, field, def, f, w)                                                                                   \
	{ .name = n, .alias = a, .type = CONFIG_STRING, .flags = f, .offset = OFF(field), .initial = def, .waits = w }
#define STRING_CHECK(n, a, field, def, f, c, w)                                                                          \
	{ .name = n, .alias = a, .type = CONFIG_STRING, .flags = f, .offset = OFF(field), .initial = def, .check = c,    \
	  .waits = w }
#define ENUM(n, a, field, def, ch, f, w)                                                                                 \
	{ .name = n, .alias = a, .type = CONFIG_ENUM, .flags = f, .offset = OFF(field), .initial = def, .choices = ch,   \
	  .waits = w }
#define SPECIAL(n, a, s, def, f, w)                                                                              \
	{ .name = n, .alias = a, .type = CONFIG_SPECIAL, .flags = f, .initial = def, .special = s, .waits = w }
#define IMM CONFIG_IMMUTABLE
#define MEM CONFIG_MEMORY
#define HID CONFIG_HIDDEN
#define INF INT64_MAX

static const struct config_choice policies[] = {
	{ "volatile-lru", CONFIG_POLICY_VOLATILE | CONFIG_POLICY_LRU },
	{ "volatile-lfu", CONFIG_POLICY_VOLATILE | CONFIG_POLICY_LFU },
	{ "volatile-random", CONFIG_POLICY_VOLATILE | CONFIG_POLICY_RANDOM },
	{ "volatile-ttl", CONFIG_POLICY_VOLATILE | CONFIG_POLICY_TTL },
	{ "allkeys-lru", CONFIG_POLICY_ALLKEYS | CONFIG_POLICY_LRU },
	{ "allkeys-lfu", CONFIG_POLICY_ALLKEYS | CONFIG_POLICY_LFU },
	{ "allkeys-random", CONFIG_POLICY_ALLKEYS | CONFIG_POLICY_RANDOM },
	{ "noeviction", 0 },
	{ 0 },
};
static const struct config_choice facilities[] = {
	{ "user", LOG_USER },     { "local0", LOG_LOCAL0 }, { "local1", LOG_LOCAL1 }, { "local2", LOG_LOCAL2 },
	{ "local3", LOG_LOCAL3 }, { "local4", LOG_LOCAL4 }, { "local5", LOG_LOCAL5 }, { "local6", LOG_LOCAL6 },
	{ "local7", LOG_LOCAL7 }, { 0 },
};
static const struct config_choice levels[] = {
	{ "debug", LOG_LEVEL_DEBUG },     { "verbose", LOG_LEVEL_VERBOSE }, { "notice", LOG_LEVEL_NOTICE },
	{ "warning", LOG_LEVEL_WARNING }, { "nothing", LOG_LEVEL_NOTHING }, { 0 },
};
static const struct config_choice supervisors[] = {
	{ "upstart", SUPERVISED_UPSTART }, { "systemd", SUPERVISED_SYSTEMD }, { "auto", SUPERVISED_AUTO },
	{ "no", SUPERVISED_NO },           { 0 },
};
static const struct config_choice fsyncs[] = {
	{ "everysec", APPENDFSYNC_EVERYSEC }, { "always", APPENDFSYNC_ALWAYS }, { "no", APPENDFSYNC_NO }, { 0 },
};
static const struct config_choice allows[] = { { "no", ALLOW_NO }, { "yes", ALLOW_YES }, { "local", ALLOW_LOCAL }, { 0 } };
static const struct config_choice oom_scores[] = {
	{ "no", OOM_SCORE_NO }, { "yes", OOM_SCORE_RELATIVE }, { "relative", OOM_SCORE_RELATIVE },
	{ "absolute", OOM_SCORE_ABSOLUTE }, { 0 },
};
static const struct config_choice tls_auths[] = {
	{ "no", TLS_AUTH_NO }, { "yes", TLS_AUTH_YES }, { "optional", TLS_AUTH_OPTIONAL }, { 0 },
};
static const struct config_choice sanitizes[] = {
	{ "no", SANITIZE_NO }, { "yes", SANITIZE_YES }, { "clients", SANITIZE_CLIENTS }, { 0 },
};
static const struct config_choice diskless[] = {
	{ "disabled", DISKLESS_LOAD_DISABLED }, { "on-empty-db", DISKLESS_LOAD_ON_EMPTY_DB },
	{ "swapdb", DISKLESS_LOAD_SWAPDB },     { 0 },
};
static const struct config_choice endpoints[] = {
	{ "ip", ENDPOINT_IP }, { "hostname", ENDPOINT_HOSTNAME }, { "unknown-endpoint", ENDPOINT_UNKNOWN }, { 0 },
};
static const struct config_choice propagations[] = {
	{ "ignore", PROPAGATION_IGNORE }, { "panic", PROPAGATION_PANIC },
	{ "panic-on-replicas", PROPAGATION_PANIC_ON_REPLICAS }, { 0 },
};
static const struct config_choice channels[] = { { "allchannels", 1 }, { "resetchannels", 0 }, { 0 } };
static const struct config_choice shutdowns[] = {
	{ "default", 0 },        { "save", SHUTDOWN_SAVE },   { "nosave", SHUTDOWN_NOSAVE },
	{ "now", SHUTDOWN_NOW }, { "force", SHUTDOWN_FORCE }, { 0 },
};

const struct config_row config_rows[] = {
	/* threads and keyspace */
	{ .name = "loops", .type = CONFIG_INT, .flags = IMM, .offset = OFF(loops), .initial = "0", .max = CONFIG_MAX_LOOPS,
	  .check = config_check_loops },
	{ .name = "shards", .type = CONFIG_INT, .flags = IMM, .offset = OFF(shards), .initial = "1024", .min = 1, .max = 65536,
	  .check = config_check_shards },
	INT("gather-usec", NULL, gather_us, "100", 0, 1000, IMM, NULL),
	INT("batch-sends", NULL, batch_sends, "16", 0, 1000000, IMM, NULL),
	INT("databases", NULL, databases, "16", 1, INT_MAX, IMM, NULL),
	/* network */
	SPECIAL("bind", NULL, &config_bind, "* -::*", CONFIG_MULTI, NULL),
	INT("port", NULL, port, "6379", 0, 65535, 0, NULL),
	INT("tcp-backlog", NULL, tcp_backlog, "511", 0, INT_MAX, IMM, NULL),
	INT("tcp-keepalive", NULL, tcp_keepalive_s, "300", 0, INT_MAX, 0, NULL),
	INT("timeout", NULL, timeout_s, "0", 0, INT_MAX, 0, NULL),
	INT("maxclients", NULL, maxclients, "10000", 1, UINT32_MAX, 0, NULL),
	STRING("unixsocket", NULL, unixsocket, "", IMM, NULL),
	INT("unixsocketperm", NULL, unixsocketperm, "0", 0, 0777, IMM | CONFIG_OCTAL, NULL),
	BOOL("protected-mode", NULL, protected_mode, "yes", 0, NULL),
	STRING("requirepass", NULL, requirepass, "", 0, NULL),
	STRING("bind-source-addr", NULL, bind_source_addr, "", 0, W_REPLICATION),
	INT("socket-mark-id", NULL, socket_mark_id, "0", 0, UINT32_MAX, IMM, N_MARKS),
	INT("max-new-connections-per-cycle", NULL, max_new_connections_per_cycle, "10", 1, 1000, 0, N_ACCEPT),
	INT("max-new-tls-connections-per-cycle", NULL, max_new_tls_connections_per_cycle, "1", 1, 1000, 0, N_ACCEPT),
	SPECIAL("rename-command", NULL, &config_rename, NULL, IMM | CONFIG_FILE_ONLY | CONFIG_MULTI, NULL),
	/* TLS */
	INT("tls-port", NULL, tls_port, "0", 0, 65535, 0, NULL),
	BOOL("tls-cluster", NULL, tls_cluster, "no", 0, W_REPLICATION),
	BOOL("tls-replication", NULL, tls_replication, "no", 0, W_REPLICATION),
	ENUM("tls-auth-clients", NULL, tls_auth_clients, "yes", tls_auths, 0, NULL),
	BOOL("tls-prefer-server-ciphers", NULL, tls_prefer_server_ciphers, "no", 0, NULL),
	BOOL("tls-session-caching", NULL, tls_session_caching, "yes", 0, NULL),
	INT("tls-session-cache-size", NULL, tls_session_cache_size, "20480", 0, INT_MAX, 0, NULL),
	INT("tls-session-cache-timeout", NULL, tls_session_cache_timeout_s, "300", 0, INT_MAX, 0, NULL),
	STRING("tls-cert-file", NULL, tls_cert_file, "", 0, NULL),
	STRING("tls-key-file", NULL, tls_key_file, "", 0, NULL),
	STRING("tls-key-file-pass", NULL, tls_key_file_pass, "", 0, NULL),
	STRING("tls-client-cert-file", NULL, tls_client_cert_file, "", 0, W_REPLICATION),
	STRING("tls-client-key-file", NULL, tls_client_key_file, "", 0, W_REPLICATION),
	STRING("tls-client-key-file-pass", NULL, tls_client_key_file_pass, "", 0, W_REPLICATION),
	STRING("tls-dh-params-file", NULL, tls_dh_params_file, "", 0, NULL),
	STRING("tls-ca-cert-file", NULL, tls_ca_cert_file, "", 0, NULL),
	STRING("tls-ca-cert-dir", NULL, tls_ca_cert_dir, "", 0, NULL),
	STRING("tls-protocols", NULL, tls_protocols, "", 0, NULL),
	STRING("tls-ciphers", NULL, tls_ciphers, "", 0, NULL),
	STRING("tls-ciphersuites", NULL, tls_ciphersuites, "", 0, NULL),
	/* process */
	BOOL("daemonize", NULL, daemonize, "no", IMM, NULL),
	ENUM("supervised", NULL, supervised, "no", supervisors, IMM, NULL),
	STRING("pidfile", NULL, pidfile, "", IMM, NULL),
	ENUM("loglevel", NULL, loglevel, "notice", levels, 0, NULL),
	STRING("logfile", NULL, logfile, "", IMM, NULL),
	BOOL("syslog-enabled", NULL, syslog_enabled, "no", IMM, NULL),
	STRING("syslog-ident", NULL, syslog_ident, "redis", IMM, NULL),
	ENUM("syslog-facility", NULL, syslog_facility, "local0", facilities, IMM, NULL),
	BOOL("crash-log-enabled", NULL, crash_log_enabled, "yes", 0, NULL),
	BOOL("crash-memcheck-enabled", NULL, crash_memcheck_enabled, "yes", 0, "=a crash report does not test the memory"),
	BOOL("use-exit-on-panic", NULL, use_exit_on_panic, "no", HID, N_UPSTREAM),
	BOOL("always-show-logo", NULL, always_show_logo, "no", IMM, "=there is no logo"),
	BOOL("set-proc-title", NULL, set_proc_title, "yes", IMM, NULL),
	STRING_CHECK("proc-title-template", NULL, proc_title_template, "{title} {listen-addr} {server-mode}", 0,
	             config_check_proc_title, NULL),
	SPECIAL("dir", NULL, &config_dir, ".", CONFIG_PROTECTED | CONFIG_FORCED, NULL),
	STRING("locale-collate", NULL, locale_collate, "", 0, N_LOCALE),
	STRING("ignore-warnings", NULL, ignore_warnings, "", 0, "=it silences a warning that is not given here"),
	ENUM("oom-score-adj", NULL, oom_score_adj, "no", oom_scores, 0, NULL),
	SPECIAL("oom-score-adj-values", NULL, &config_oom_values, "0 200 800", CONFIG_MULTI, NULL),
	BOOL("disable-thp", NULL, disable_thp, "yes", IMM, NULL),
	{ .name = "hz", .type = CONFIG_INT, .offset = OFF(hz), .initial = "10", .max = INT_MAX, .check = config_check_hz },
	BOOL("dynamic-hz", NULL, dynamic_hz, "yes", 0, N_HZ),
	INT("active-expire-effort", NULL, active_expire_effort, "1", 1, 10, 0, N_EXPIRE),
	BOOL("activerehashing", NULL, activerehashing, "yes", 0, N_TABLE),
	BOOL("jemalloc-bg-thread", NULL, jemalloc_bg_thread, "yes", 0, N_ALLOCATOR),
	INT("io-threads", NULL, io_threads, "1", 1, 128, IMM, N_LOOPS),
	BOOL("io-threads-do-reads", NULL, io_threads_do_reads, "no", IMM, N_LOOPS),
	STRING("server-cpulist", "server_cpulist", server_cpulist, "", IMM, N_CPUS),
	STRING("bio-cpulist", "bio_cpulist", bio_cpulist, "", IMM, N_CPUS),
	STRING("aof-rewrite-cpulist", "aof_rewrite_cpulist", aof_rewrite_cpulist, "", IMM, N_CPUS),
	STRING("bgsave-cpulist", "bgsave_cpulist", bgsave_cpulist, "", IMM, N_CPUS),
	INT("shutdown-timeout", NULL, shutdown_timeout_s, "10", 0, INT_MAX, 0, W_REPLICATION),
	{ .name = "shutdown-on-sigint", .type = CONFIG_FLAGS, .flags = CONFIG_MULTI, .offset = OFF(shutdown_on_sigint),
	  .initial = "default", .choices = shutdowns, .check = config_check_shutdown },
	{ .name = "shutdown-on-sigterm", .type = CONFIG_FLAGS, .flags = CONFIG_MULTI, .offset = OFF(shutdown_on_sigterm),
	  .initial = "default", .choices = shutdowns, .check = config_check_shutdown },
	INT("watchdog-period", NULL, watchdog_period_ms, "0", 0, INT_MAX, HID, N_UPSTREAM),
	SPECIAL("loadmodule", NULL, &config_loadmodule, NULL, IMM | CONFIG_FILE_ONLY | CONFIG_MULTI, N_MODULES),
	/* limits */
	INT64("proto-max-bulk-len", NULL, proto_max_bulk_len, "512mb", 1024 * 1024, INF, MEM, NULL),
	INT64("client-query-buffer-limit", NULL, client_query_buffer_limit, "1gb", 1024 * 1024, INF, MEM, NULL),
	SPECIAL("client-output-buffer-limit", NULL, &config_output_limits,
	        "normal 1gb 256mb 60 slave 256mb 64mb 60 pubsub 32mb 8mb 60", CONFIG_MULTI, NULL),
	INT64("maxmemory-clients", NULL, maxmemory_clients, "0", 0, INF, MEM | CONFIG_PERCENT, NULL),
	UINT64("maxmemory", NULL, maxmemory, "0", 0, UINT64_MAX, MEM, NULL),
	ENUM("maxmemory-policy", NULL, maxmemory_policy, "noeviction", policies, 0, NULL),
	INT("maxmemory-samples", NULL, maxmemory_samples, "5", 1, INT_MAX, 0, NULL),
	INT("maxmemory-eviction-tenacity", NULL, maxmemory_eviction_tenacity, "10", 0, 100, 0, NULL),
	INT("lfu-log-factor", NULL, lfu_log_factor, "10", 0, INT_MAX, 0, NULL),
	INT("lfu-decay-time", NULL, lfu_decay_time, "1", 0, INT_MAX, 0, NULL),
	BOOL("lazyfree-lazy-eviction", NULL, lazyfree_lazy_eviction, "no", 0, NULL),
	BOOL("lazyfree-lazy-expire", NULL, lazyfree_lazy_expire, "no", 0, NULL),
	BOOL("lazyfree-lazy-server-del", NULL, lazyfree_lazy_server_del, "no", 0, NULL),
	BOOL("lazyfree-lazy-user-del", NULL, lazyfree_lazy_user_del, "no", 0, NULL),
	BOOL("lazyfree-lazy-user-flush", NULL, lazyfree_lazy_user_flush, "no", 0, NULL),
	/* active defragmentation */
	{ .name = "activedefrag", .type = CONFIG_BOOL, .offset = OFF(activedefrag), .initial = "no",
	  .check = config_check_defrag },
	INT("active-defrag-cycle-min", NULL, active_defrag_cycle_min, "1", 1, 99, 0, N_DEFRAG),
	INT("active-defrag-cycle-max", NULL, active_defrag_cycle_max, "25", 1, 99, 0, N_DEFRAG),
	INT("active-defrag-threshold-lower", NULL, active_defrag_threshold_lower, "10", 0, 1000, 0, N_DEFRAG),
	INT("active-defrag-threshold-upper", NULL, active_defrag_threshold_upper, "100", 0, 1000, 0, N_DEFRAG),
	UINT64("active-defrag-ignore-bytes", NULL, active_defrag_ignore_bytes, "100mb", 1, INF, MEM, N_DEFRAG),
	UINT64("active-defrag-max-scan-fields", NULL, active_defrag_max_scan_fields, "1000", 1, INF, 0, N_DEFRAG),
	/* introspection */
	INT64("slowlog-log-slower-than", NULL, slowlog_log_slower_than_us, "10000", -1, INF, 0, NULL),
	INT64("slowlog-max-len", NULL, slowlog_max_len, "128", 0, INF, 0, NULL),
	INT64("latency-monitor-threshold", NULL, latency_monitor_threshold_ms, "0", 0, INF, 0, NULL),
	BOOL("latency-tracking", NULL, latency_tracking, "yes", 0, NULL),
	SPECIAL("latency-tracking-info-percentiles", NULL, &config_percentiles, "50 99 99.9", CONFIG_MULTI, NULL),
	SPECIAL("notify-keyspace-events", NULL, &config_notify, "", 0, NULL),
	ENUM("enable-debug-command", NULL, enable_debug_command, "no", allows, IMM, NULL),
	ENUM("enable-protected-configs", NULL, enable_protected_configs, "no", allows, IMM, NULL),
	ENUM("enable-module-command", NULL, enable_module_command, "no", allows, IMM, NULL),
	INT64("tracking-table-max-keys", NULL, tracking_table_max_keys, "1000000", 0, INF, 0, NULL),
	/* encodings */
	INT64("hash-max-listpack-entries", "hash-max-ziplist-entries", hash_max_listpack_entries, "512", 0, INF, 0, NULL),
	INT64("hash-max-listpack-value", "hash-max-ziplist-value", hash_max_listpack_value, "64", 0, INF, MEM, NULL),
	BOOL("hash-share-fields", NULL, hash_share_fields, "yes", 0, NULL),
	INT("list-max-listpack-size", "list-max-ziplist-size", list_max_listpack_size, "-2", INT_MIN, INT_MAX, 0, NULL),
	INT("list-compress-depth", NULL, list_compress_depth, "0", 0, INT_MAX, 0, NULL),
	INT64("set-max-intset-entries", NULL, set_max_intset_entries, "512", 0, INF, 0, NULL),
	INT64("set-max-listpack-entries", NULL, set_max_listpack_entries, "128", 0, INF, 0, NULL),
	INT64("set-max-listpack-value", NULL, set_max_listpack_value, "64", 0, INF, 0, NULL),
	INT64("zset-max-listpack-entries", "zset-max-ziplist-entries", zset_max_listpack_entries, "128", 0, INF, 0, NULL),
	INT64("zset-max-listpack-value", "zset-max-ziplist-value", zset_max_listpack_value, "64", 0, INF, MEM, NULL),
	INT64("hll-sparse-max-bytes", NULL, hll_sparse_max_bytes, "3000", 0, INF, MEM, NULL),
	INT64("stream-node-max-bytes", NULL, stream_node_max_bytes, "4096", 0, INF, MEM, NULL),
	INT64("stream-node-max-entries", NULL, stream_node_max_entries, "100", 0, INF, 0, NULL),
	ENUM("sanitize-dump-payload", NULL, sanitize_dump_payload, "no", sanitizes, 0, "=every payload is checked in full"),
	/* persistence */
	SPECIAL("save", NULL, &config_save, "3600 1 300 100 60 10000", CONFIG_MULTI, NULL),
	STRING_CHECK("dbfilename", NULL, dbfilename, "dump.rdb", CONFIG_PROTECTED, config_check_dbfilename, NULL),
	BOOL("rdbcompression", NULL, rdbcompression, "yes", 0, NULL),
	BOOL("rdbchecksum", NULL, rdbchecksum, "yes", IMM, NULL),
	BOOL("rdb-del-sync-files", NULL, rdb_del_sync_files, "no", 0, W_REPLICATION),
	BOOL("rdb-save-incremental-fsync", NULL, rdb_save_incremental_fsync, "yes", 0, NULL),
	INT("rdb-key-save-delay", NULL, rdb_key_save_delay_us, "0", INT_MIN, INT_MAX, HID, NULL),
	INT("key-load-delay", NULL, key_load_delay_us, "0", INT_MIN, INT_MAX, HID, NULL),
	INT64("loading-process-events-interval-bytes", NULL, loading_process_events_interval_bytes, "2mb", 1024, INT_MAX,
	      HID | MEM, N_LOADING),
	BOOL("stop-writes-on-bgsave-error", NULL, stop_writes_on_bgsave_error, "yes", 0, NULL),
	BOOL("appendonly", NULL, appendonly, "no", 0, NULL),
	STRING_CHECK("appendfilename", NULL, appendfilename, "appendonly.aof", IMM, config_check_appendfilename, NULL),
	STRING_CHECK("appenddirname", NULL, appenddirname, "appendonlydir", IMM, config_check_appenddirname, NULL),
	ENUM("appendfsync", NULL, appendfsync, "everysec", fsyncs, 0, NULL),
	BOOL("no-appendfsync-on-rewrite", NULL, no_appendfsync_on_rewrite, "no", 0, NULL),
	INT("auto-aof-rewrite-percentage", NULL, auto_aof_rewrite_percentage, "100", 0, INT_MAX, 0, NULL),
	INT64("auto-aof-rewrite-min-size", NULL, auto_aof_rewrite_min_size, "64mb", 0, INF, MEM, NULL),
	BOOL("aof-load-truncated", NULL, aof_load_truncated, "yes", 0, NULL),
	BOOL("aof-use-rdb-preamble", NULL, aof_use_rdb_preamble, "yes", 0, NULL),
	BOOL("aof-rewrite-incremental-fsync", NULL, aof_rewrite_incremental_fsync, "yes", 0, N_BASE),
	BOOL("aof-timestamp-enabled", NULL, aof_timestamp_enabled, "no", 0, NULL),
	BOOL("aof-wal", NULL, aof_wal, "yes", 0, NULL),
	BOOL("aof-disable-auto-gc", NULL, aof_disable_auto_gc, "no", HID, NULL),
	/* replication */
	SPECIAL("replicaof", "slaveof", &config_replicaof, "", IMM | CONFIG_MULTI, W_REPLICATION),
	STRING("masterauth", NULL, masterauth, "", 0, W_REPLICATION),
	STRING("masteruser", NULL, masteruser, "", 0, W_REPLICATION),
	BOOL("replica-read-only", "slave-read-only", replica_read_only, "yes", 0, W_REPLICATION),
	BOOL("replica-serve-stale-data", "slave-serve-stale-data", replica_serve_stale_data, "yes", 0, W_REPLICATION),
	BOOL("replica-lazy-flush", "slave-lazy-flush", replica_lazy_flush, "no", 0, W_REPLICATION),
	BOOL("replica-ignore-maxmemory", "slave-ignore-maxmemory", replica_ignore_maxmemory, "yes", 0, W_REPLICATION),
	BOOL("replica-ignore-disk-write-errors", NULL, replica_ignore_disk_write_errors, "no", 0, W_REPLICATION),
	BOOL("replica-announced", NULL, replica_announced, "yes", 0, W_REPLICATION),
	STRING("replica-announce-ip", "slave-announce-ip", replica_announce_ip, "", 0, W_REPLICATION),
	INT("replica-announce-port", "slave-announce-port", replica_announce_port, "0", 0, 65535, 0, W_REPLICATION),
	INT("replica-priority", "slave-priority", replica_priority, "100", 0, INT_MAX, 0, W_REPLICATION),
	BOOL("repl-diskless-sync", NULL, repl_diskless_sync, "yes", 0, W_REPLICATION),
	INT("repl-diskless-sync-delay", NULL, repl_diskless_sync_delay_s, "5", 0, INT_MAX, 0, W_REPLICATION),
	INT("repl-diskless-sync-max-replicas", NULL, repl_diskless_sync_max_replicas, "0", 0, INT_MAX, 0, W_REPLICATION),
	ENUM("repl-diskless-load", NULL, repl_diskless_load, "disabled", diskless, 0, W_REPLICATION),
	INT("repl-ping-replica-period", "repl-ping-slave-period", repl_ping_replica_period_s, "10", 1, INT_MAX, 0, W_REPLICATION),
	INT("repl-timeout", NULL, repl_timeout_s, "60", 1, INT_MAX, 0, W_REPLICATION),
	BOOL("repl-disable-tcp-nodelay", NULL, repl_disable_tcp_nodelay, "no", 0, W_REPLICATION),
	{ .name = "repl-backlog-size", .type = CONFIG_INT64, .flags = MEM, .offset = OFF(repl_backlog_size), .initial = "1mb",
	  .min = 1, .max = INF, .check = config_check_backlog, .waits = W_REPLICATION },
	INT64("repl-backlog-ttl", NULL, repl_backlog_ttl_s, "3600", 0, INF, 0, W_REPLICATION),
	INT("min-replicas-to-write", "min-slaves-to-write", min_replicas_to_write, "0", 0, INT_MAX, 0, W_REPLICATION),
	INT("min-replicas-max-lag", "min-slaves-max-lag", min_replicas_max_lag_s, "10", 0, INT_MAX, 0, W_REPLICATION),
	ENUM("propagation-error-behavior", NULL, propagation_error_behavior, "ignore", propagations, 0, W_REPLICATION),
	/* cluster */
	BOOL("cluster-enabled", NULL, cluster_enabled, "no", IMM, W_CLUSTER),
	STRING("cluster-config-file", NULL, cluster_config_file, "nodes.conf", IMM, W_CLUSTER),
	INT64("cluster-node-timeout", NULL, cluster_node_timeout_ms, "15000", 0, INF, 0, W_CLUSTER),
	INT("cluster-ping-interval", NULL, cluster_ping_interval_ms, "1000", 0, INT_MAX, HID, W_CLUSTER),
	INT("cluster-port", NULL, cluster_port, "0", 0, 65535, IMM, W_CLUSTER),
	INT("cluster-announce-port", NULL, cluster_announce_port, "0", 0, 65535, 0, W_CLUSTER),
	INT("cluster-announce-tls-port", NULL, cluster_announce_tls_port, "0", 0, 65535, 0, W_CLUSTER),
	INT("cluster-announce-bus-port", NULL, cluster_announce_bus_port, "0", 0, 65535, 0, W_CLUSTER),
	STRING("cluster-announce-ip", NULL, cluster_announce_ip, "", 0, W_CLUSTER),
	STRING_CHECK("cluster-announce-hostname", NULL, cluster_announce_hostname, "", 0, config_check_hostname, W_CLUSTER),
	STRING("cluster-announce-human-nodename", NULL, cluster_announce_human_nodename, "", 0, W_CLUSTER),
	ENUM("cluster-preferred-endpoint-type", NULL, cluster_preferred_endpoint_type, "ip", endpoints, 0, W_CLUSTER),
	BOOL("cluster-require-full-coverage", NULL, cluster_require_full_coverage, "yes", 0, W_CLUSTER),
	BOOL("cluster-replica-no-failover", "cluster-slave-no-failover", cluster_replica_no_failover, "no", 0, W_CLUSTER),
	INT("cluster-replica-validity-factor", "cluster-slave-validity-factor", cluster_replica_validity_factor, "10", 0, INT_MAX,
	    0, W_CLUSTER),
	INT("cluster-migration-barrier", NULL, cluster_migration_barrier, "1", 0, INT_MAX, 0, W_CLUSTER),
	BOOL("cluster-allow-replica-migration", NULL, cluster_allow_replica_migration, "yes", 0, W_CLUSTER),
	BOOL("cluster-allow-reads-when-down", NULL, cluster_allow_reads_when_down, "no", 0, W_CLUSTER),
	BOOL("cluster-allow-pubsubshard-when-down", NULL, cluster_allow_pubsubshard_when_down, "yes", 0, W_CLUSTER),
	UINT64("cluster-link-sendbuf-limit", NULL, cluster_link_sendbuf_limit, "0", 0, UINT64_MAX, MEM, W_CLUSTER),
	/* access control, scripts */
	STRING("aclfile", NULL, aclfile, "", IMM, NULL),
	ENUM("acl-pubsub-default", NULL, acl_pubsub_default, "resetchannels", channels, 0, NULL),
	INT64("acllog-max-len", NULL, acllog_max_len, "128", 0, INF, 0, NULL),
	SPECIAL("user", NULL, &config_user, NULL, IMM | CONFIG_FILE_ONLY | CONFIG_MULTI, NULL),
	INT64("busy-reply-threshold", "lua-time-limit", busy_reply_threshold_ms, "5000", 0, INF, 0, NULL),
	/* Left over from older versions. */
	SPECIAL("list-max-ziplist-entries", NULL, &config_ignored, NULL, IMM | CONFIG_FILE_ONLY, N_OLD),
	SPECIAL("list-max-ziplist-value", NULL, &config_ignored, NULL, IMM | CONFIG_FILE_ONLY, N_OLD),
	SPECIAL("lua-replicate-commands", NULL, &config_ignored, NULL, IMM | CONFIG_FILE_ONLY, N_OLD),
	{ .name = NULL },
};

const struct config_row *config_row_find(const char *name, bool *alias)
{
	char first = *name >= 'A' && *name <= 'Z' ? (char)(*name + 32) : *name;

	for (const struct config_row *row = config_rows; row->name; row++) {
		bool by_alias = row->alias && *row->alias == first && !strcasecmp(row->alias, name);
		if (!by_alias && (*row->name != first || strcasecmp(row->name, name)))
			continue;
		if (alias)
			*alias = by_alias;
		return row;
	}
	return NULL;
}

/* ------------------------------------------------------------------ the nearest name */

#define NAME_MAX_LEN 64

static unsigned min3(unsigned a, unsigned b, unsigned c)
{
	unsigned m = a < b ? a : b;

	return m < c ? m : c;
}

/* Letters to insert, delete or replace; `limit` if there are so many or more. a and b have at most NAME_MAX_LEN. */
static unsigned distance(const char *a, const char *b, unsigned limit)
{
	unsigned row[NAME_MAX_LEN + 1];
	size_t n = strlen(b);

	for (unsigned j = 0; j <= n; j++)
		row[j] = j;
	for (unsigned i = 1; a[i - 1]; i++) {
		unsigned diagonal = row[0], least = i;
		char x = a[i - 1] >= 'A' && a[i - 1] <= 'Z' ? (char)(a[i - 1] + 32) : a[i - 1];
		row[0] = i;
		for (unsigned j = 1; j <= n; j++) {
			unsigned above = row[j];
			row[j] = min3(above + 1, row[j - 1] + 1, diagonal + (x != b[j - 1]));
			least = row[j] < least ? row[j] : least;
			diagonal = above;
		}
		if (least >= limit)
			return limit;
	}
	return row[n];
}

const char *config_row_nearest(const char *name)
{
	const char *best = NULL;
	size_t len = strlen(name);
	unsigned limit = len < 4 ? 1 : len > 12 ? 5 : (unsigned)len / 3 + 1, least = limit + 1;

	if (len > NAME_MAX_LEN)
		return NULL;
	for (const struct config_row *row = config_rows; row->name; row++) {
		const char *names[] = { row->name, row->alias };
		for (int i = 0; i < 2 && names[i]; i++) {
			size_t n = strlen(names[i]);
			if ((n > len ? n - len : len - n) >= least)
				continue;
			unsigned d = distance(name, names[i], least);
			if (d < least) {
				least = d;
				best = names[i];
			}
		}
	}
	return least <= limit ? best : NULL;
}
