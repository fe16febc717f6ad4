/*
 * config: redis.conf's directives. One row per directive of Redis 7.2, plus ours (loops, shards).
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

/* Read-only outside config.c. Units stand last in the names. Strings are never NULL. */
struct config {
	/* threads and keyspace */
	int loops, shards, databases;
	/* network */
	int port, tcp_backlog, tcp_keepalive_s, timeout_s, maxclients;
	char **bind;
	int bind_count;
	const char *unixsocket;
	int unixsocketperm;
	bool protected_mode;
	const char *requirepass;
	/* process */
	bool daemonize, always_show_logo, set_proc_title, crash_log_enabled, crash_memcheck_enabled, syslog_enabled;
	const char *pidfile, *logfile, *dir, *syslog_ident, *proc_title_template;
	int supervised, loglevel, syslog_facility, oom_score_adj;
	int shutdown_timeout_s, hz;
	bool dynamic_hz;
	/* limits */
	int64_t proto_max_bulk_len, client_query_buffer_limit;
	struct config_output_limit output_limit[OUTPUT_CLASSES];
	uint64_t maxmemory;
	int maxmemory_policy, maxmemory_samples;
	int lfu_log_factor, lfu_decay_time;
	bool lazyfree_lazy_expire, lazyfree_lazy_eviction, lazyfree_lazy_server_del, lazyfree_lazy_user_del,
		lazyfree_lazy_user_flush;
	/* introspection */
	int64_t slowlog_log_slower_than_us;
	int slowlog_max_len, latency_monitor_threshold_ms;
	int notify_keyspace_events;
	bool latency_tracking;
	int enable_debug_command, enable_protected_configs, enable_module_command; /* 0 no, 1 local, 2 yes */
	/* encodings */
	int64_t hash_max_listpack_entries, hash_max_listpack_value, set_max_intset_entries, set_max_listpack_entries,
		set_max_listpack_value, zset_max_listpack_entries, zset_max_listpack_value, hll_sparse_max_bytes,
		stream_node_max_bytes, stream_node_max_entries;
	int list_max_listpack_size, list_compress_depth;
	/* persistence */
	bool appendonly, rdbcompression, rdbchecksum, replica_read_only;
	const char *dbfilename, *appendfilename, *appenddirname, *aclfile;
	int appendfsync;
	/* ... every other directive lives in config.c's rows and is read with config_get(). */
};

/* The values in force. Loops: valid until their next safepoint. */
const struct config *config(void);
const struct config *config_ref(void);
void config_unref(const struct config *c);

/* Parse a file ("-" standard input, NULL none) and then the command line's directives. 0, or -1 with *error set to a
 * text that says what, where and how to mend it (malloc'ed). Before the loops start. */
int config_load(const char *file, int argc, char **argv, char **error);
/* The parser alone, for tests and fuzzing: the text of a file. */
int config_parse_text(const char *text, size_t len, const char *name, char **error);
/* Absolute path of the file in use, or "". */
const char *config_file(void);

/* The value as CONFIG GET answers, into buf; the length needed, or -ENOENT. */
int config_get(const char *name, char *buf, size_t size);
/* Log the directives that are set but wait for something. */
void config_log_waiting(void);

/* Called alone, after a new value of the directive was published; may refuse with a text (malloc'ed), then the old
 * value comes back. Registered before the loops start by whoever must act on a change. */
typedef bool config_changed(const struct config *now, char **error);
void config_on_change(const char *name, config_changed *fn);

#endif
