/*
 * Memory: what counts as a use of a key (OBJECT FREQ, OBJECT IDLETIME), and commands above maxmemory.
 *
 * With a logarithm factor of 0 the counter of LFU is no matter of chance: every use counts one. Above a limit of one byte
 * a policy evicts all that it may, whatever the order, so that both servers are left with the same keys. While a child
 * saves, Redis counts no use: these streams are apart from those that begin a save.
 */
#include <stdio.h>

#include "tests/diff/gen.h"

static const char *const uses[] = {
	"GET # a", "STRLEN #", "EXISTS #", "EXISTS # #", "TYPE #", "TTL #", "PTTL #", "OBJECT ENCODING #", "OBJECT REFCOUNT #",
	"APPEND # x", "SETRANGE # 0 y", "GETRANGE # 0 1", "GETEX #", "GETEX # EX 10000", "TOUCH #", "TOUCH # #", "EXPIRE # 10000",
	"PERSIST #", "SET # w", "SET # w KEEPTTL", "SET # w XX", "SET # w NX", "SET # w GET", "GETSET # z", "MGET # #", "MSET # mm",
	"SETNX # q", "RENAME # #", "COPY # #", "COPY # evict:b REPLACE", "EXPIRETIME #", "SCAN 0", "DBSIZE", "LLEN #", "RPUSH # x",
	"BITCOUNT #", "DUMP none", "MSETNX # mm", "SETBIT # 1 1", "GETBIT # 1", "BITOP NOT evict:b #", "INCR #", "PFCOUNT #", "SORT # BY nosort",
	"DEBUG OBJECT none", "LCS # #", "GET #", "GET #", "MEMORY USAGE none", NULL,
};

/* One of the uses, of the key evict:a. */
static void use(struct gen *g)
{
	char line[128];
	size_t n = 0;
	for (const char *p = gen_pick(g, uses); *p && n + 16 < sizeof line; p++) {
		if (*p == '#')
			n += (size_t)snprintf(line + n, sizeof line - n, "evict:a");
		else
			line[n++] = *p;
	}
	line[n] = 0;
	gen_line(g, line, line[0] == 'S' && line[1] == 'C' ? CMP_ANY : CMP_EXACT, 1);
}

/* A key with the value v, idle since, or used as often as, n. */
static void restore_key(struct gen *g, const char *option, uint32_t n)
{
	static const char value[] = "\x00\x01v\x0a\x00\x91\x08\xce\xb2\x19" "8\x8a\xce";
	gen_begin_line(g, "RESTORE evict:a 0", CMP_EXACT);
	gen_bytes(g, value, sizeof value - 1);
	gen_text(g, "REPLACE");
	gen_text(g, option);
	gen_int(g, n);
	g->emit(g->ctx, &g->cmd);
}

static void reset(struct gen *g)
{
	gen_line(g, "CONFIG SET maxmemory-policy noeviction lfu-log-factor 10 lfu-decay-time 1", CMP_EXACT, 1);
	gen_line(g, "DEL evict:a evict:b", CMP_EXACT, 1);
}

static void make_freq(struct gen *g, const struct gen_row *row)
{
	static const char *const policies[] = { "allkeys-lfu", "volatile-lfu", "allkeys-lru", NULL };
	char line[128];
	snprintf(line, sizeof line, "CONFIG SET maxmemory-policy %s lfu-log-factor 0 lfu-decay-time 0", gen_pick(g, policies));
	gen_line(g, line, CMP_EXACT, 1);
	gen_line(g, "DEL evict:a evict:b", CMP_EXACT, 1);
	if (gen_chance(g, 50))
		restore_key(g, "FREQ", gen_below(g, 256));
	else
		gen_line(g, "SET evict:a v", CMP_EXACT, 1);
	for (uint32_t n = 1 + gen_below(g, 4); n; n--) {
		use(g);
		gen_line(g, "OBJECT FREQ evict:a", row->compare, 1);
	}
	gen_line(g, "OBJECT FREQ evict:b", row->compare, 1);
	reset(g);
}

static void make_idle(struct gen *g, const struct gen_row *row)
{
	static const char *const policies[] = { "allkeys-lru", "volatile-lru", "noeviction", "volatile-ttl", "allkeys-lfu", NULL };
	char line[128];
	snprintf(line, sizeof line, "CONFIG SET maxmemory-policy %s", gen_pick(g, policies));
	gen_line(g, line, CMP_EXACT, 1);
	gen_line(g, "DEL evict:a evict:b", CMP_EXACT, 1);
	restore_key(g, "IDLETIME", 100 * gen_below(g, 100));
	for (uint32_t n = gen_below(g, 4); n; n--) {
		use(g);
		gen_line(g, "OBJECT IDLETIME evict:a", row->compare, 1);
	}
	gen_line(g, "OBJECT IDLETIME evict:b", row->compare, 1);
	reset(g);
}

/* Commands above the limit. Not transactions: Valkey 8.1 queues above the limit what Redis 7 refuses to queue. */
static void make_full(struct gen *g, const struct gen_row *row)
{
	static bool within;
	static const char *const policies[] = {
		"noeviction", "noeviction", "noeviction", "volatile-lru", "volatile-lfu", "volatile-random", "volatile-ttl",
		"allkeys-lru", "allkeys-lfu", "allkeys-random", NULL,
	};
	char line[128];
	if (within)
		return;
	within = true;
	snprintf(line, sizeof line, "CONFIG SET maxmemory-eviction-tenacity 100 maxmemory-policy %s maxmemory 1",
	         gen_pick(g, policies));
	gen_line(g, line, row->compare, 1);
	for (uint32_t n = 1 + gen_below(g, 12); n; n--)
		gen_next(g, "string,keys,expire,list,hash,set,zset,geo,stream,bits,sort,dump");
	gen_line(g, "CONFIG SET maxmemory 0 maxmemory-policy noeviction maxmemory-eviction-tenacity 10", row->compare, 1);
	within = false;
}

static const struct gen_row rows[] = {
	{ "object|freq", make_freq, 2, GEN_FIXED, CMP_EXACT },
	{ "object|idletime", make_idle, 2, GEN_FIXED, CMP_TIME_S },
	{ "config|set", make_full, 2, GEN_FIXED, CMP_EXACT },
	{ 0 },
};
const struct gen_group gen_group_evict = { "evict", rows };
