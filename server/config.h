/*
 * config: redis.conf's directives. One row per directive of Redis 7.2, plus ours (loops, shards, gather-usec, batch-sends,
 * aof-wal, hash-share-fields).
 *
 * The effective values are one immutable counted struct; a change publishes a new one. CONFIG SET runs alone, so that
 * loops may read config() as a plain pointer while they run; other threads take a reference.
 * A directive that nothing reads yet is accepted, kept for CONFIG GET and REWRITE, and logged once with what it waits for.
 */
#ifndef SERVER_CONFIG_H
#define SERVER_CONFIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "server/resp.h"

struct config_output_limit {
	uint64_t hard_bytes, soft_bytes;
	int64_t soft_seconds;
};
enum config_output_class { OUTPUT_NORMAL, OUTPUT_REPLICA, OUTPUT_PUBSUB, OUTPUT_CLASSES };

/* maxmemory_policy: who is chosen, and among which keys; 0 is noeviction. */
enum config_policy {
	CONFIG_POLICY_LRU = 1, CONFIG_POLICY_LFU = 2, CONFIG_POLICY_TTL = 4, CONFIG_POLICY_RANDOM = 8,
	CONFIG_POLICY_ALLKEYS = 16, CONFIG_POLICY_VOLATILE = 32,
};

/* A list of words; ends with NULL as well. */
struct config_list {
	char **v;
	size_t n;
};

/* One rule of `save`. */
struct config_save {
	int64_t seconds, changes;
};

enum config_supervised { SUPERVISED_NO, SUPERVISED_AUTO, SUPERVISED_SYSTEMD, SUPERVISED_UPSTART };
enum config_appendfsync { APPENDFSYNC_NO, APPENDFSYNC_ALWAYS, APPENDFSYNC_EVERYSEC };
enum config_allow { ALLOW_NO, ALLOW_LOCAL, ALLOW_YES };       /* enable-debug-command and its like */
enum config_oom_score { OOM_SCORE_NO, OOM_SCORE_RELATIVE, OOM_SCORE_ABSOLUTE };
enum config_tls_auth { TLS_AUTH_NO, TLS_AUTH_YES, TLS_AUTH_OPTIONAL };
enum config_sanitize { SANITIZE_NO, SANITIZE_YES, SANITIZE_CLIENTS };
enum config_diskless_load { DISKLESS_LOAD_DISABLED, DISKLESS_LOAD_ON_EMPTY_DB, DISKLESS_LOAD_SWAPDB };
enum config_endpoint { ENDPOINT_IP, ENDPOINT_HOSTNAME, ENDPOINT_UNKNOWN };
enum config_propagation_error { PROPAGATION_IGNORE, PROPAGATION_PANIC, PROPAGATION_PANIC_ON_REPLICAS };
/* shutdown_on_sig*: the bits of enum shutdown_flags in server.h; 0: default */

/* Read-only outside config.c. Units stand last in the names. Strings are never NULL. */
struct config {
	unsigned refs;
	/* threads and keyspace */
	int loops, shards, gather_us, batch_sends, databases;
	/* network */
	int port, tcp_backlog, tcp_keepalive_s, timeout_s, maxclients;
	char **bind; /* as written: a leading '-' means that the address may be missing */
	int bind_count;
	const char *bind_source_addr, *unixsocket;
	int unixsocketperm; /* as the octal digits say; 0: not set */
	bool protected_mode;
	const char *requirepass;
	int socket_mark_id, max_new_connections_per_cycle, max_new_tls_connections_per_cycle;
	struct config_list rename_command; /* old name, new name, ... */
	/* TLS */
	int tls_port, tls_session_cache_size, tls_session_cache_timeout_s, tls_auth_clients;
	bool tls_cluster, tls_replication, tls_session_caching, tls_prefer_server_ciphers;
	const char *tls_cert_file, *tls_key_file, *tls_key_file_pass, *tls_client_cert_file, *tls_client_key_file,
		*tls_client_key_file_pass, *tls_dh_params_file, *tls_ca_cert_file, *tls_ca_cert_dir, *tls_protocols, *tls_ciphers,
		*tls_ciphersuites;
	/* process */
	bool daemonize, always_show_logo, set_proc_title, crash_log_enabled, crash_memcheck_enabled, syslog_enabled,
		disable_thp, use_exit_on_panic;
	const char *pidfile, *logfile, *dir, *syslog_ident, *proc_title_template, *ignore_warnings, *locale_collate;
	int supervised, loglevel, syslog_facility, oom_score_adj; /* loglevel: enum log_level */
	int oom_score_adj_values[3];
	int shutdown_timeout_s, shutdown_on_sigint, shutdown_on_sigterm, hz, watchdog_period_ms;
	bool dynamic_hz, activerehashing, jemalloc_bg_thread;
	int active_expire_effort;
	const char *server_cpulist, *bio_cpulist, *aof_rewrite_cpulist, *bgsave_cpulist;
	int io_threads;
	bool io_threads_do_reads;
	struct config_list loadmodule; /* a line each */
	/* limits */
	int64_t proto_max_bulk_len, client_query_buffer_limit;
	int64_t maxmemory_clients; /* negative: percent of maxmemory */
	struct config_output_limit output_limit[OUTPUT_CLASSES];
	uint64_t maxmemory;
	int maxmemory_policy, maxmemory_samples, maxmemory_eviction_tenacity;
	int lfu_log_factor, lfu_decay_time;
	bool lazyfree_lazy_expire, lazyfree_lazy_eviction, lazyfree_lazy_server_del, lazyfree_lazy_user_del,
		lazyfree_lazy_user_flush;
	/* active defragmentation */
	bool activedefrag;
	int active_defrag_cycle_min, active_defrag_cycle_max, active_defrag_threshold_lower, active_defrag_threshold_upper;
	uint64_t active_defrag_ignore_bytes, active_defrag_max_scan_fields;
	/* introspection */
	int64_t slowlog_log_slower_than_us;
	int64_t slowlog_max_len, latency_monitor_threshold_ms;
	int notify_keyspace_events; /* enum notify_class, with NOTIFY_KEYSPACE and NOTIFY_KEYEVENT */
	bool latency_tracking;
	struct {
		double *v;
		size_t n;
	} latency_percentiles;
	int enable_debug_command, enable_protected_configs, enable_module_command; /* enum config_allow */
	int64_t tracking_table_max_keys;
	/* encodings */
	int64_t hash_max_listpack_entries, hash_max_listpack_value, set_max_intset_entries, set_max_listpack_entries,
		set_max_listpack_value, zset_max_listpack_entries, zset_max_listpack_value, hll_sparse_max_bytes,
		stream_node_max_bytes, stream_node_max_entries;
	bool hash_share_fields;
	int list_max_listpack_size, list_compress_depth;
	int sanitize_dump_payload;
	/* persistence */
	bool appendonly, rdbcompression, rdbchecksum, rdb_del_sync_files, stop_writes_on_bgsave_error,
		rdb_save_incremental_fsync, no_appendfsync_on_rewrite, aof_load_truncated, aof_use_rdb_preamble,
		aof_rewrite_incremental_fsync, aof_timestamp_enabled, aof_disable_auto_gc, aof_wal;
	const char *dbfilename, *appendfilename, *appenddirname;
	int appendfsync, auto_aof_rewrite_percentage, rdb_key_save_delay_us, key_load_delay_us;
	int64_t auto_aof_rewrite_min_size, loading_process_events_interval_bytes;
	struct {
		struct config_save *v;
		size_t n;
	} save;
	/* replication */
	const char *replicaof_host; /* "": a primary */
	int replicaof_port;
	const char *masteruser, *masterauth, *replica_announce_ip;
	int replica_announce_port, replica_priority, repl_ping_replica_period_s, repl_timeout_s, repl_diskless_sync_delay_s,
		repl_diskless_sync_max_replicas, repl_diskless_load, min_replicas_to_write, min_replicas_max_lag_s,
		propagation_error_behavior;
	int64_t repl_backlog_size, repl_backlog_ttl_s;
	bool replica_read_only, replica_serve_stale_data, replica_lazy_flush, replica_ignore_maxmemory,
		replica_ignore_disk_write_errors, replica_announced, repl_diskless_sync, repl_disable_tcp_nodelay;
	/* cluster */
	bool cluster_enabled, cluster_require_full_coverage, cluster_replica_no_failover, cluster_allow_replica_migration,
		cluster_allow_reads_when_down, cluster_allow_pubsubshard_when_down;
	const char *cluster_config_file, *cluster_announce_ip, *cluster_announce_hostname, *cluster_announce_human_nodename;
	int cluster_port, cluster_announce_port, cluster_announce_tls_port, cluster_announce_bus_port,
		cluster_migration_barrier, cluster_replica_validity_factor, cluster_preferred_endpoint_type,
		cluster_ping_interval_ms;
	int64_t cluster_node_timeout_ms;
	uint64_t cluster_link_sendbuf_limit;
	/* access control, scripts */
	const char *aclfile;
	int acl_pubsub_default; /* 1: allchannels */
	int64_t acllog_max_len, busy_reply_threshold_ms;
	struct config_list user; /* a line each, without the word `user` */
};

/* The values in force; a plain read. Loops: valid until their next safepoint. Other threads take a reference. */
extern const struct config *config_current;
static inline const struct config *config(void)
{
	return config_current;
}
const struct config *config_ref(void);
void config_unref(const struct config *c);

/* Parse a file (NULL: none) and then the command line's directives as redis-server does; "-" as first or last argument
 * reads standard input in between. 0, or -1 with *error set to a text that says what, where and how to mend it
 * (malloc'ed). Before the loops start. */
int config_load(const char *file, int argc, char **argv, char **error);
/* The parser alone, for tests and fuzzing: the text of a file on top of the defaults; the result is in force. */
int config_parse_text(const char *text, size_t len, const char *name, char **error);
/* Where users are known: checks a `user` line when it is parsed (false: *error, malloc'ed) and writes all of them for
 * CONFIG REWRITE. NULL: lines are taken and kept as they are. Before config_load(). */
struct config_text;
extern bool (*config_check_user)(int argc, char **argv, char **error);
extern void (*config_rewrite_users)(struct config_text *out);
/* Absolute path of the file in use, or "". */
const char *config_file(void);

/* The value as CONFIG GET answers, into buf; the length needed, or -ENOENT. */
int config_get(const char *name, char *buf, size_t size);
/* CONFIG GET: each directive that fits one of the patterns, once. Loops, or with a reference held. */
typedef void config_each_fn(void *ctx, const char *name, size_t name_len, const char *value, size_t value_len);
void config_match(const struct arg *patterns, size_t n, config_each_fn *fn, void *ctx);
/* CONFIG SET: n arguments, names and values in turn: all or none. 0, or -1 with the text of the reply behind "ERR "
 * (malloc'ed). local: the client is on this machine. Alone. */
int config_set(const struct arg *pairs, size_t n, bool local, char **error);
/* Set one directive from within, immutable or not; who acts on changes is not told. 0 or -EINVAL. Alone, or before the
 * loops start. */
int config_override(const char *name, const char *value);
/* CONFIG REWRITE. 0, or -1 with the text of the reply behind "ERR " (malloc'ed). Alone. */
int config_rewrite(char **error);
/* What an earlier server that died left half written beside the configuration and the users' file. At start. */
void config_remove_stale_files(void);
/* Log the directives that are set but wait for something. */
void config_log_waiting(void);
/* Back to the defaults: tests. */
void config_reset(void);

/* Called alone, after a new value of the directive was published; may refuse with a text (malloc'ed), then the old
 * value comes back (and those already told are told again). Registered before the loops start by whoever must act on a
 * change. */
typedef bool config_changed(const struct config *now, char **error);
void config_on_change(const char *name, config_changed *fn);

#endif
