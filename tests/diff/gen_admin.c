/* The server itself: configuration, the command table, whole databases, debugging. */
#include <stdio.h>

#include "tests/diff/gen.h"

static void line_of(struct gen *g, const char *const *lines, enum compare compare)
{
	gen_line(g, gen_pick(g, lines), compare, 1);
}

/* Names of commands whose rows are compared in full. */
static const char *const names[] = {
	"append", "decr", "decrby", "get", "getdel", "getex", "getrange", "getset", "incr", "incrby", "incrbyfloat", "lcs", "mget",
	"mset", "msetnx", "psetex", "set", "setex", "setnx", "setrange", "strlen", "substr", "copy", "del", "exists", "expire",
	"expireat", "expiretime", "keys", "move", "object", "persist", "pexpire", "pexpireat", "pexpiretime", "pttl", "randomkey",
	"rename", "renamenx", "scan", "touch", "ttl", "type", "unlink", "auth", "echo", "hello", "ping", "quit", "reset", "select",
	"dbsize", "lastsave", "save", "bgsave", "flushall", "flushdb", "info", "lolwut", "shutdown", "swapdb", "time", "debug",
	"config|get", "client|list",
	"object|encoding", "nothing", "get|nothing", "", NULL,
};

static void make_command_info(struct gen *g, const struct gen_row *row)
{
	gen_begin(g, row);
	gen_word(g, gen_pick(g, names));
	g->emit(g->ctx, &g->cmd);
}

static void make_command_list(struct gen *g, const struct gen_row *row)
{
	static const char *const lines[] = {
		"COMMAND LIST FILTERBY PATTERN getr*", "COMMAND LIST FILTERBY PATTERN *nothing*", "COMMAND LIST FILTERBY ACLCAT nothing",
		"COMMAND LIST FILTERBY MODULE nothing", "COMMAND LIST FILTERBY PATTERN INCR*", "COMMAND LIST FILTERBY",
		"COMMAND LIST FILTERBY NOTHING a", "COMMAND LIST nothing", "COMMAND LIST FILTERBY PATTERN swapd?", NULL,
	};
	line_of(g, lines, row->compare);
}

static void make_getkeys(struct gen *g, const struct gen_row *row)
{
	static const char *const lines[] = {
		"GET a", "SET a b", "MSET a 1 b 2 c 3", "MSET a 1 b", "DEL a b c", "PING", "COPY a b", "RENAME a b", "OBJECT ENCODING a",
		"LCS a b", "EXPIRE a 1", "SET a b GET", "SET a b EX 1 NX", "GETEX a EX 1", "NOTHING a", "GET", "MSETNX a 1", "KEYS *",
		"SCAN 0", "CONFIG GET a", "TOUCH a a", "GETRANGE a 0 1", "MOVE a 1", "CLIENT KILL a", "set a", "EXISTS a b", NULL,
	};
	char line[128];
	snprintf(line, sizeof line, "COMMAND %s %s", row->name + sizeof "command|" - 1, gen_pick(g, lines));
	gen_line(g, line, row->compare, 1);
}

static void make_docs(struct gen *g, const struct gen_row *row)
{
	static const char *const lines[] = { "COMMAND DOCS get", "COMMAND DOCS nothing", "COMMAND DOCS set client", NULL };
	line_of(g, lines, row->compare);
}

/* Values that change no behaviour of other commands, and are set back at each chunk's begin: see restore in run.c. */
static const char *const config_sets[] = {
	"maxmemory-samples 7", "maxmemory-samples 0", "maxmemory-samples abc", "timeout 0", "timeout 1000", "timeout -1",
	"slowlog-max-len 100", "slowlog-max-len -1", "slowlog-log-slower-than -1", "slowlog-log-slower-than 1000000",
	"hash-max-listpack-entries 64", "hash-max-listpack-entries abc", "hash-max-ziplist-entries 128", "lfu-decay-time 2",
	"lazyfree-lazy-expire yes", "lazyfree-lazy-expire no", "lazyfree-lazy-expire maybe", "list-max-listpack-size -3",
	"hz 20", "tcp-keepalive 100", "tcp-keepalive -1", "appendonly maybe", "port abc", "databases 3", "nothing 1", "maxmemory 1x",
	"maxmemory-policy nothing", "loglevel nonsense", "loglevel warning", "notify-keyspace-events KEA", "notify-keyspace-events \\",
	"notify-keyspace-events AK", "client-output-buffer-limit nothing", "client-output-buffer-limit normal", "unixsocket /x",
	"timeout 5000 slowlog-max-len 50", "timeout 5000 timeout 6000", "timeout 5000 nothing 6", "timeout", "proto-max-bulk-len 1",
	"proto-max-bulk-len 512mb", "latency-tracking no", "latency-tracking yes", "save 900,1", "repl-backlog-size 1mb", NULL,
};
static const char *const config_names[] = {
	"maxmemory", "maxmemory-policy", "maxmemory-samples", "timeout", "slowlog-max-len", "slowlog-log-slower-than",
	"hash-max-listpack-entries", "hash-max-ziplist-entries", "hash-max-ziplist*", "lazyfree-lazy-expire", "databases", "save",
	"appendonly", "list-max-listpack-size", "list-max-ziplist-size", "tcp-keepalive", "hz", "proto-max-bulk-len",
	"client-output-buffer-limit", "notify-keyspace-events", "nothing", "TIMEOUT", "timeou?", "maxmemory-*", "appendfsync",
	"zset-max-listpack-*", "repl-backlog-size", "loglevel", "lfu-*", "set-max-intset-entries", "supervised", "requirepass", NULL,
};

static void make_config_set(struct gen *g, const struct gen_row *row)
{
	char line[128];
	snprintf(line, sizeof line, "CONFIG SET %s", gen_pick(g, config_sets));
	gen_line(g, line, row->compare, 1);
}

static void make_config_get(struct gen *g, const struct gen_row *row)
{
	gen_begin(g, row);
	for (uint32_t n = 1 + (gen_below(g, 5) == 0); n; n--)
		gen_text(g, gen_pick(g, config_names));
	gen_end(g, row);
}

static void make_flush(struct gen *g, const struct gen_row *row)
{
	/* Seldom, so that there is something to flush. */
	if (gen_chance(g, 80)) {
		gen_line(g, "DBSIZE", CMP_EXACT, 1);
		return;
	}
	gen_begin(g, row);
	switch (gen_below(g, 4)) {
	case 0: gen_word(g, "SYNC"); break;
	case 1: gen_word(g, "ASYNC"); break;
	case 2: gen_text(g, "nonsense"); break;
	default: break;
	}
	gen_end(g, row);
}

static void make_swapdb(struct gen *g, const struct gen_row *row)
{
	gen_begin(g, row);
	gen_db(g);
	gen_db(g);
	gen_end(g, row);
}

static void make_info(struct gen *g, const struct gen_row *row)
{
	static const char *const sections[] = {
		"server", "clients", "memory", "persistence", "stats", "replication", "cpu", "commandstats", "latencystats", "cluster",
		"keyspace", "errorstats", "modules", "all", "default", "everything", "nothing", NULL,
	};
	gen_begin(g, row);
	for (uint32_t n = gen_below(g, 3); n; n--)
		gen_word(g, gen_pick(g, sections));
	gen_end(g, row);
}

static void make_lolwut(struct gen *g, const struct gen_row *row)
{
	gen_begin(g, row);
	if (gen_chance(g, 50)) {
		gen_word(g, "VERSION");
		gen_int(g, 5 + gen_below(g, 3));
	}
	g->emit(g->ctx, &g->cmd);
}

/* When a save in the background ends is chance: only what is refused at once is compared. */
static void make_save(struct gen *g, const struct gen_row *row)
{
	static const char *const refused[] = { "SAVE now", "BGSAVE nonsense", "BGSAVE SCHEDULE now", "LASTSAVE now",
		                               "BGREWRITEAOF now", NULL };
	static const char *const done[] = { "SAVE", "BGSAVE", "bgsave schedule", "BGREWRITEAOF", NULL };
	if (gen_chance(g, 70))
		line_of(g, refused, row->compare);
	else
		line_of(g, done, CMP_ANY);
}

static void make_memory_usage(struct gen *g, const struct gen_row *row)
{
	gen_begin(g, row);
	gen_key(g);
	if (gen_chance(g, 30)) {
		gen_word(g, "SAMPLES");
		gen_small_int(g);
	}
	gen_end(g, row);
}

static void make_shutdown(struct gen *g, const struct gen_row *row)
{
	static const char *const lines[] = {
		"SHUTDOWN nonsense", "SHUTDOWN ABORT", "SHUTDOWN SAVE NOSAVE", "SHUTDOWN ABORT NOW", "SHUTDOWN NOW ABORT FORCE", NULL,
	};
	line_of(g, lines, row->compare);
}

static void make_debug(struct gen *g, const struct gen_row *row)
{
	static const char *const lines[] = {
		"DEBUG SLEEP 0", "DEBUG SET-ACTIVE-EXPIRE 1", "DEBUG PROTOCOL STRING", "DEBUG PROTOCOL INTEGER", "DEBUG PROTOCOL DOUBLE",
		"DEBUG PROTOCOL NULL", "DEBUG PROTOCOL ARRAY", "DEBUG PROTOCOL SET", "DEBUG PROTOCOL MAP", "DEBUG PROTOCOL ATTRIB",
		"DEBUG PROTOCOL VERBATIM", "DEBUG PROTOCOL TRUE", "DEBUG PROTOCOL FALSE", "DEBUG PROTOCOL BIGNUM",
		"DEBUG PROTOCOL NOTHING", "DEBUG LOG hello", "DEBUG NOTHING", "DEBUG SLEEP",
		"DEBUG PAUSE-CRON 0", "DEBUG REPLYBUFFER peak-reset-time 1000",
		"DEBUG RELOAD NOTHING", "DEBUG POPULATE abc", "DEBUG OBJECT", "debug digest", NULL,
	};
	if (!gen_chance(g, 4)) {
		line_of(g, lines, row->compare);
		return;
	}
	/* Redis loads what a save in the background puts in the place of the file that it has just written. */
	gen_begin_line(g, "DEBUG RELOAD", row->compare);
	g->cmd.unpipelined = g->cmd.idle = true;
	g->emit(g->ctx, &g->cmd);
}

static void make_digest_value(struct gen *g, const struct gen_row *row)
{
	gen_begin_line(g, "DEBUG DIGEST-VALUE", row->compare);
	for (uint32_t n = 1 + gen_below(g, 3); n; n--)
		gen_key(g);
	g->emit(g->ctx, &g->cmd);
}

static const struct gen_row rows[] = {
	{ "command", gen_alone, 1, GEN_FIXED, CMP_KIND },
	{ "command|count", gen_alone, 1, 0, CMP_KIND },
	{ "command|docs", make_docs, 1, GEN_FIXED, CMP_KIND },
	{ "command|getkeys", make_getkeys, 2, GEN_FIXED, CMP_EXACT },
	{ "command|getkeysandflags", make_getkeys, 1, GEN_FIXED, CMP_UNORDERED },
	{ "command|info", make_command_info, 2, GEN_FIXED, CMP_UNORDERED },
	{ "command|list", make_command_list, 1, GEN_FIXED, CMP_UNORDERED },
	{ "config|get", make_config_get, 2, 0, CMP_PAIRS },
	{ "config|resetstat", gen_alone, 1, 0, CMP_EXACT },
	{ "config|rewrite", gen_alone, 1, 0, CMP_EXACT },
	{ "config|set", make_config_set, 2, GEN_FIXED, CMP_EXACT },
	{ "dbsize", gen_alone, 4, 0, CMP_EXACT },
	{ "debug", make_debug, 2, GEN_FIXED, CMP_EXACT },
	{ "debug", make_digest_value, 2, GEN_FIXED, CMP_EXACT },
	{ "flushall", make_flush, 1, 0, CMP_EXACT },
	{ "flushdb", make_flush, 1, 0, CMP_EXACT },
	{ "info", make_info, 1, 0, CMP_KIND },
	{ "lolwut", make_lolwut, 1, GEN_FIXED, CMP_KIND },
	{ "lastsave", gen_alone, 1, 0, CMP_KIND },
	{ "save", make_save, 1, GEN_FIXED, CMP_EXACT },
	{ "bgsave", make_save, 1, GEN_FIXED, CMP_EXACT },
	{ "bgrewriteaof", make_save, 1, GEN_FIXED, CMP_EXACT },
	{ "memory|usage", make_memory_usage, 1, 0, CMP_KIND },
	{ "shutdown", make_shutdown, 1, GEN_FIXED, CMP_EXACT },
	{ "swapdb", make_swapdb, 2, 0, CMP_EXACT },
	{ "time", gen_alone, 1, 0, CMP_KIND },
	{ "object|encoding", gen_one_key, 1, 0, CMP_EXACT },
	{ 0 },
};
const struct gen_group gen_group_admin = { "admin", rows };
