/* memory: MEMORY: where memory goes. */
#include <stdio.h>
#include <stdlib.h>

#include "server/call.h"
#include "server/commands/groups.h"
#include "server/memstats.h"
#include "server/script/functions.h"
#include "server/script/script.h"

#define SMALL (5 * 1024 * 1024) /* below that ratios say nothing */

static void run_usage(struct call *c)
{
	struct store_key key = call_key(c, 2);
	int64_t samples = 5;
	for (unsigned i = 3; i < c->argc; i++) {
		if (!arg_is(&c->argv[i], "SAMPLES") || i + 1 >= c->argc) {
			reply_syntax_error(c->reply);
			return;
		}
		if (!call_int(c, ++i, &samples))
			return;
		if (samples < 0) {
			reply_syntax_error(c->reply);
			return;
		}
	}
	const struct entry *e = store_find(&c->op, &key, STORE_PEEK);
	if (e)
		reply_int(c->reply, (int64_t)entry_memory(e, samples < UINT32_MAX ? (unsigned)samples : UINT32_MAX));
	else
		reply_null(c->reply);
}

static double ratio(uint64_t a, uint64_t b)
{
	return b ? (double)a / (double)b : 0;
}

static void add_bytes(struct reply *r, const char *name, uint64_t v, size_t *n)
{
	reply_cstr(r, name);
	reply_int(r, (int64_t)v);
	++*n;
}

static void add_ratio(struct reply *r, const char *name, double v, size_t *n)
{
	reply_cstr(r, name);
	reply_double(r, v);
	++*n;
}

/* The tables of each database that has keys; returns their bytes. */
static uint64_t add_databases(struct call *c, uint64_t *keys, size_t *n)
{
	uint64_t sum = 0;
	for (unsigned db = 0; db < store_dbs(c->op.store); db++) {
		uint64_t count = store_count(c->op.store, db), expiring = store_count_volatile(c->op.store, db);
		if (!count)
			continue;
		/* Measured in bench/README.md: eleven bytes of buckets for a key, one more to note when it expires. */
		uint64_t main = count * 11, expires = expiring;
		char name[24];
		snprintf(name, sizeof name, "db.%u", db);
		reply_cstr(c->reply, name);
		reply_map(c->reply, 2);
		size_t fields = 0;
		add_bytes(c->reply, "overhead.hashtable.main", main, &fields);
		add_bytes(c->reply, "overhead.hashtable.expires", expires, &fields);
		*keys += count;
		sum += main + expires;
		++*n;
	}
	return sum;
}

static void add_allocator(struct reply *r, const struct memstats *m, size_t *n)
{
	add_bytes(r, "allocator.allocated", m->allocated, n);
	add_bytes(r, "allocator.active", m->active, n);
	add_bytes(r, "allocator.resident", m->resident, n);
	add_ratio(r, "allocator-fragmentation.ratio", ratio(m->active, m->allocated), n);
	add_bytes(r, "allocator-fragmentation.bytes", m->active - m->allocated, n);
	add_ratio(r, "allocator-rss.ratio", ratio(m->resident, m->active), n);
	add_bytes(r, "allocator-rss.bytes", m->resident - m->active, n);
	add_ratio(r, "rss-overhead.ratio", ratio(m->rss, m->resident), n);
	add_bytes(r, "rss-overhead.bytes", m->rss - m->resident, n);
	add_ratio(r, "fragmentation", ratio(m->rss, m->used), n);
	add_bytes(r, "fragmentation.bytes", m->rss - m->used, n);
}

static void run_stats(struct call *c)
{
	struct memstats m;
	memstats_get(&m);
	struct reply *r = c->reply;
	uint64_t keys = 0, more = m.used > m.startup ? m.used - m.startup : 0;
	size_t n = 0, mark = reply_defer(r);
	add_bytes(r, "peak.allocated", m.peak, &n);
	add_bytes(r, "total.allocated", m.used, &n);
	add_bytes(r, "startup.allocated", m.startup, &n);
	add_bytes(r, "replication.backlog", 0, &n);
	add_bytes(r, "clients.slaves", 0, &n);
	add_bytes(r, "clients.normal", m.clients, &n);
	add_bytes(r, "cluster.links", 0, &n);
	add_bytes(r, "aof.buffer", 0, &n);
	add_bytes(r, "lua.caches", script_memory(), &n);
	add_bytes(r, "functions.caches", functions_memory(), &n);
	uint64_t overhead = m.overhead + add_databases(c, &keys, &n);
	uint64_t dataset = m.used > overhead ? m.used - overhead : 0;
	add_bytes(r, "overhead.total", overhead, &n);
	add_bytes(r, "keys.count", keys, &n);
	add_bytes(r, "keys.bytes-per-key", keys ? more / keys : 0, &n);
	add_bytes(r, "dataset.bytes", dataset, &n);
	add_ratio(r, "dataset.percentage", ratio(dataset, more) * 100, &n);
	add_ratio(r, "peak.percentage", ratio(m.used, m.peak) * 100, &n);
	add_allocator(r, &m, &n);
	reply_defer_end(r, mark, '%', n);
}

static void run_doctor(struct call *c)
{
	static const char too_little[] = "Too little memory is in use to say anything about it.";
	struct memstats m;
	char text[1024];
	size_t n = 0;
	memstats_get(&m);
	if (m.used < SMALL) {
		reply_verbatim(c->reply, "txt", too_little, sizeof too_little - 1);
		return;
	}
	if (ratio(m.peak, m.used) > 1.5)
		n += (size_t)snprintf(text + n, sizeof text - n,
		                      "Peak: there once was more than 1.5 times as much in use. What was freed may not have gone "
		                      "back to the system yet; MEMORY PURGE asks for it.\n");
	if (ratio(m.rss, m.used) > 1.4 && m.rss - m.used > 10u << 20)
		n += (size_t)snprintf(text + n, sizeof text - n,
		                      "Fragmentation: the process has more than 1.4 times the memory that is in use. A restart "
		                      "packs the data; after many deletions it falls by itself as keys come in.\n");
	if (m.clients > m.used / 5)
		n += (size_t)snprintf(text + n, sizeof text - n,
		                      "Clients: more than a fifth of the memory is in clients' buffers. See CLIENT LIST and "
		                      "client-output-buffer-limit.\n");
	if (n == 0)
		n = (size_t)snprintf(text, sizeof text, "Nothing is wrong with the memory.\n");
	reply_verbatim(c->reply, "txt", text, n);
}

static void run_malloc_stats(struct call *c)
{
	size_t len;
	char *text = memstats_allocator_text(&len);
	if (text)
		reply_verbatim(c->reply, "txt", text, len);
	else
		reply_oom(c->reply);
	free(text);
}

static void run_purge(struct call *c)
{
	memstats_purge();
	reply_ok(c->reply);
}

static void run_help(struct call *c)
{
	static const char *const lines[] = {
		"DOCTOR",
		"    What may be wrong with the memory.",
		"MALLOC-STATS",
		"    The allocator's own report.",
		"PURGE",
		"    Give what is free back to the system.",
		"STATS",
		"    Where memory goes, in figures.",
		"USAGE <key> [SAMPLES <count>]",
		"    Bytes that the key and its value take. Of a value with elements, <count> are",
		"    looked at (5; 0 means all).",
		NULL,
	};
	call_help(c, lines);
}

#define ALL_SHARDS "nondeterministic_output request_policy:all_shards response_policy:special"

static struct command memory_subs[] = {
	{ .name = "doctor", .run = run_doctor, .class = EXEC_SERVICE, .arity = 2, .group = "server", .since = "4.0.0",
	  .summary = "Says in words what may be wrong with the memory.", .complexity = "O(1)", .tips = ALL_SHARDS },
	{ .name = "help", .run = run_help, .class = EXEC_LOCAL, .arity = 2, .flags = CMD_LOADING | CMD_STALE,
	  .group = "server", .since = "4.0.0", .summary = "Lists the subcommands.", .complexity = "O(1)" },
	{ .name = "malloc-stats", .run = run_malloc_stats, .class = EXEC_SERVICE, .arity = 2, .flags = CMD_LOADING,
	  .group = "server", .since = "4.0.0", .summary = "Shows the allocator's own report.",
	  .complexity = "Depends on how much memory is allocated", .tips = ALL_SHARDS },
	{ .name = "purge", .run = run_purge, .class = EXEC_SERVICE, .arity = 2, .flags = CMD_LOADING, .group = "server",
	  .since = "4.0.0", .summary = "Gives memory that is free back to the system.",
	  .complexity = "Depends on how much memory is allocated",
	  .tips = "request_policy:all_shards response_policy:all_succeeded" },
	{ .name = "stats", .run = run_stats, .class = EXEC_SERVICE, .arity = 2, .group = "server", .since = "4.0.0",
	  .summary = "Shows in figures where memory goes.", .complexity = "O(1)", .tips = ALL_SHARDS },
	{ .name = "usage", .run = run_usage, .class = EXEC_KEYED, .arity = -3, .flags = CMD_READONLY,
	  .keys = { KEY_RANGE(KEY_RO, 2, 0, 1) }, .group = "server", .since = "4.0.0",
	  .summary = "Estimates how many bytes a key and its value take.", .complexity = "O(N) in the number of samples",
	  .args = "key:key#0 [SAMPLES count:integer]" },
	{ .name = NULL },
};

struct command memory_commands[] = {
	{ .name = "memory", .class = EXEC_LOCAL, .arity = -2, .flags = CMD_CONTAINER, .group = "server", .since = "4.0.0",
	  .summary = "Asks about memory. Its subcommands do the work.", .complexity = "That of the subcommand",
	  .subs = memory_subs },
	{ .name = NULL },
};
