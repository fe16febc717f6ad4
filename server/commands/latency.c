/* latency: LATENCY: how long commands and events took. */
#include <stdio.h>
#include <stdlib.h>

#include "server/call.h"
#include "server/commands/groups.h"
#include "server/latency.h"

#define EVENTS_MAX 32
#define GRAPH_ROWS 4
#define GRAPH_COLUMNS 80
#define LEVEL_NS 1024 /* the first step of a histogram's reply; each further one is twice as long */

/* A name that can be one of ours: shorter than 32 bytes. */
static bool event_name(const struct arg *a, char buf[static 32])
{
	if (a->len >= 32)
		return false;
	memcpy(buf, a->ptr, a->len);
	buf[a->len] = 0;
	return true;
}

/* The i-th oldest of the samples; false behind the last. */
static bool sample_at(const struct latency_event *e, unsigned i, struct latency_sample *out)
{
	for (unsigned k = 0; k < LATENCY_SAMPLES; k++) {
		*out = e->v[(e->next + k) % LATENCY_SAMPLES];
		if (out->ms && i-- == 0)
			return true;
	}
	return false;
}

static void run_latest(struct call *c)
{
	struct latency_event *v = malloc(EVENTS_MAX * sizeof *v);
	if (!v) {
		reply_oom(c->reply);
		return;
	}
	unsigned n = latency_events(v, EVENTS_MAX);
	reply_array(c->reply, n);
	for (unsigned i = 0; i < n; i++) {
		const struct latency_sample *last = &v[i].v[(v[i].next + LATENCY_SAMPLES - 1) % LATENCY_SAMPLES];
		reply_array(c->reply, 4);
		reply_cstr(c->reply, v[i].name);
		reply_int(c->reply, last->at_s);
		reply_int(c->reply, last->ms);
		reply_int(c->reply, v[i].max_ms);
	}
	free(v);
}

static void run_history(struct call *c)
{
	struct latency_event e;
	struct latency_sample s;
	char name[32];
	if (!event_name(&c->argv[2], name) || !latency_event(name, &e)) {
		reply_array(c->reply, 0);
		return;
	}
	size_t mark = reply_defer(c->reply), n = 0;
	for (; sample_at(&e, (unsigned)n, &s); n++) {
		reply_array(c->reply, 2);
		reply_int(c->reply, s.at_s);
		reply_int(c->reply, s.ms);
	}
	reply_defer_end(c->reply, mark, '*', n);
}

static void run_reset(struct call *c)
{
	unsigned n = 0;
	char name[32];
	if (c->argc == 2)
		n = latency_reset(NULL);
	for (unsigned i = 2; i < c->argc; i++)
		n += event_name(&c->argv[i], name) ? latency_reset(name) : 0;
	reply_int(c->reply, n);
}

/* ------------------------------------------------------------------ graph */

/* "5s", "12m", "3h", "2d" */
static void age_text(int64_t seconds, char buf[static 24])
{
	static const struct {
		int64_t seconds;
		char unit;
	} units[] = { { 86400, 'd' }, { 3600, 'h' }, { 60, 'm' }, { 1, 's' } };
	size_t i = 0;
	while (i < 3 && seconds < units[i].seconds)
		i++;
	snprintf(buf, 24, "%lld%c", (long long)(seconds / units[i].seconds), units[i].unit);
}

struct graph {
	unsigned columns;
	uint32_t low, high;
	struct latency_sample v[GRAPH_COLUMNS];
};

/* The newest samples that fit side by side. */
static void graph_collect(struct graph *g, const struct latency_event *e)
{
	struct latency_sample s;
	unsigned total = 0, i;
	while (sample_at(e, total, &s))
		total++;
	*g = (struct graph){ .columns = total < GRAPH_COLUMNS ? total : GRAPH_COLUMNS, .low = UINT32_MAX };
	for (i = 0; i < g->columns; i++) {
		sample_at(e, total - g->columns + i, &g->v[i]);
		g->low = g->v[i].ms < g->low ? g->v[i].ms : g->low;
		g->high = g->v[i].ms > g->high ? g->v[i].ms : g->high;
	}
}

/* A row's mark for a height of 0 to 1: an underscore at the foot, '_' 'o' '#' by how far the bar reaches into the row. */
static char mark(double height, unsigned row)
{
	double within = height * GRAPH_ROWS - row;
	if (within >= 1)
		return '|';
	if (within > 0.66)
		return '#';
	if (within > 0.33)
		return 'o';
	return within > 0 || row == 0 ? '_' : ' ';
}

static size_t graph_draw(const struct graph *g, int64_t now_s, char *out, size_t size)
{
	size_t n = 0;
	char age[GRAPH_COLUMNS][24];
	for (unsigned i = 0; i < g->columns; i++)
		age_text(now_s - g->v[i].at_s, age[i]);
	for (unsigned row = GRAPH_ROWS; row-- > 0 && n < size;) {
		for (unsigned i = 0; i < g->columns; i++) {
			double span = g->high > g->low ? (double)(g->v[i].ms - g->low) / (g->high - g->low) : 0;
			out[n++] = mark(span, row);
		}
		out[n++] = '\n';
	}
	out[n++] = '\n';
	/* Ages stand upright below their columns. */
	for (unsigned row = 0; row < 4; row++) {
		for (unsigned i = 0; i < g->columns; i++)
			out[n++] = row < strlen(age[i]) ? age[i][row] : ' ';
		out[n++] = '\n';
	}
	return n;
}

static void run_graph(struct call *c)
{
	struct latency_event e;
	struct graph g;
	char name[32], text[(GRAPH_COLUMNS + 1) * (GRAPH_ROWS + 8) + 256];
	if (!event_name(&c->argv[2], name) || !latency_event(name, &e)) {
		reply_errorf(c->reply, "ERR No samples available for event '%.*s'",
		             (int)(c->argv[2].len < 128 ? c->argv[2].len : 128), c->argv[2].ptr);
		return;
	}
	graph_collect(&g, &e);
	int n = snprintf(text, 200, "%s - high %u ms, low %u ms (all time high %u ms)\n", e.name, g.high, g.low, e.max_ms);
	memset(text + n, '-', GRAPH_COLUMNS);
	n += GRAPH_COLUMNS;
	text[n++] = '\n';
	size_t len = (size_t)n + graph_draw(&g, c->op.now_ms / 1000, text + n, sizeof text - (size_t)n);
	reply_verbatim(c->reply, "txt", text, len);
}

/* ------------------------------------------------------------------ doctor */

static const char *advice(const char *event)
{
	static const struct {
		const char *event, *text;
	} rows[] = {
		{ "command", "SLOWLOG GET names the commands; split work on large keys (UNLINK, SCAN, smaller ranges)." },
		{ "fast-command", "Commands of constant time were late: the machine has too few free cores, or swaps." },
		{ "expire-cycle", "Many keys expire at once: spread their times to live." },
		{ "eviction-cycle", "Memory is at maxmemory: raise it, or lower maxmemory-eviction-tenacity." },
		{ "aof-fsync-always", "The disk is slow at fsync: consider appendfsync everysec." },
		{ "rdb-unlink-temp-file", "The file system is slow at removing files." },
	};
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		if (!strcmp(rows[i].event, event))
			return rows[i].text;
	}
	return "Look at the disk and at what else runs on this machine.";
}

static size_t report(const struct latency_event *e, char *out, size_t size)
{
	struct latency_sample s;
	uint64_t n = 0, sum = 0;
	for (; sample_at(e, (unsigned)n, &s); n++)
		sum += s.ms;
	int len = snprintf(out, size, "%s: %llu spikes, %llu ms on average, %u ms at most. %s\n", e->name,
	                   (unsigned long long)n, (unsigned long long)(n ? sum / n : 0), e->max_ms, advice(e->name));
	return len < 0 ? 0 : (size_t)len < size ? (size_t)len : size - 1;
}

static void run_doctor(struct call *c)
{
	static const char none[] = "No spike was seen. Is latency-monitor-threshold set?\n";
	enum { LINE = 512 };
	struct latency_event *v = malloc(EVENTS_MAX * sizeof *v);
	char *text = malloc(EVENTS_MAX * LINE);
	unsigned n = v && text ? latency_events(v, EVENTS_MAX) : 0;
	size_t len = 0;
	for (unsigned i = 0; i < n; i++)
		len += report(&v[i], text + len, LINE);
	if (!v || !text)
		reply_oom(c->reply);
	else
		reply_verbatim(c->reply, "txt", n ? text : none, n ? len : sizeof none - 1);
	free(text);
	free(v);
}

/* ------------------------------------------------------------------ histogram */

/* One command's calls by powers of two, as far as there are calls. false: it was never called. */
static bool add_histogram(struct reply *r, const struct command *cmd)
{
	uint64_t counts[LATENCY_BUCKETS], total = latency_histogram(cmd->id, counts), seen = 0, shown = 0;
	if (!total)
		return false;
	reply_cstr(r, cmd->full_name);
	reply_map(r, 2);
	reply_cstr(r, "calls");
	reply_int(r, (int64_t)total);
	reply_cstr(r, "histogram_usec");
	size_t mark = reply_defer(r), n = 0;
	unsigned i = 0;
	for (uint64_t level = LEVEL_NS; shown < total; level *= 2) {
		for (; i < LATENCY_BUCKETS && i <= latency_bucket(level); i++)
			seen += counts[i];
		if (seen == shown)
			continue;
		shown = seen;
		reply_int(r, (int64_t)(latency_highest_equivalent(level) / 1000));
		reply_int(r, (int64_t)shown);
		n++;
	}
	reply_defer_end(r, mark, '%', n);
	return true;
}

static size_t add_with_subs(struct reply *r, const struct command *cmd)
{
	size_t n = add_histogram(r, cmd);
	for (const struct command *sub = cmd->subs; sub && sub->name; sub++)
		n += add_histogram(r, sub);
	return n;
}

static void run_histogram(struct call *c)
{
	size_t mark = reply_defer(c->reply), n = 0;
	for (unsigned i = 0; c->argc == 2 && i < command_top_count(); i++)
		n += add_with_subs(c->reply, command_at(i));
	for (unsigned i = 2; i < c->argc; i++) {
		const struct command *cmd = command_find(c->argv[i].ptr, c->argv[i].len);
		n += cmd ? add_with_subs(c->reply, cmd) : 0;
	}
	reply_defer_end(c->reply, mark, '%', n);
}

static void run_help(struct call *c)
{
	static const char *const lines[] = {
		"DOCTOR",
		"    What was slow, and what may help.",
		"GRAPH <event>",
		"    Draw the spikes of an event.",
		"HISTORY <event>",
		"    The spikes of an event: time and milliseconds.",
		"LATEST",
		"    The last spike of every event.",
		"RESET [<event> ...]",
		"    Forget the spikes of these events, or of all.",
		"HISTOGRAM [<command> ...]",
		"    How often these commands (all, if none is named) took up to so many microseconds.",
		NULL,
	};
	call_help(c, lines);
}

#define LATENCY_FLAGS (CMD_ADMIN | CMD_NOSCRIPT | CMD_LOADING | CMD_STALE)
#define EVERYWHERE "nondeterministic_output request_policy:all_nodes response_policy:special"

static struct command latency_subs[] = {
	{ .name = "doctor", .run = run_doctor, .class = EXEC_SERVICE, .arity = 2, .flags = LATENCY_FLAGS, .group = "server",
	  .since = "2.8.13", .summary = "Says in words what was slow, and what may help.", .complexity = "O(1)",
	  .tips = EVERYWHERE },
	{ .name = "graph", .run = run_graph, .class = EXEC_SERVICE, .arity = 3, .flags = LATENCY_FLAGS, .group = "server",
	  .since = "2.8.13", .summary = "Draws the spikes of an event.", .complexity = "O(1)", .args = "event:string",
	  .tips = EVERYWHERE },
	{ .name = "help", .run = run_help, .class = EXEC_LOCAL, .arity = 2, .flags = CMD_LOADING | CMD_STALE,
	  .group = "server", .since = "2.8.13", .summary = "Lists the subcommands.", .complexity = "O(1)" },
	{ .name = "histogram", .run = run_histogram, .class = EXEC_SERVICE, .arity = -2, .flags = LATENCY_FLAGS,
	  .group = "server", .since = "7.0.0", .summary = "Counts calls of commands by how long they took.",
	  .complexity = "O(N) in the commands that are shown", .args = "[command:string...]", .tips = EVERYWHERE },
	{ .name = "history", .run = run_history, .class = EXEC_SERVICE, .arity = 3, .flags = LATENCY_FLAGS, .group = "server",
	  .since = "2.8.13", .summary = "Lists the spikes of an event.", .complexity = "O(1)", .args = "event:string",
	  .tips = EVERYWHERE },
	{ .name = "latest", .run = run_latest, .class = EXEC_SERVICE, .arity = 2, .flags = LATENCY_FLAGS, .group = "server",
	  .since = "2.8.13", .summary = "Lists the last spike of every event.", .complexity = "O(1)", .tips = EVERYWHERE },
	{ .name = "reset", .run = run_reset, .class = EXEC_SERVICE, .arity = -2, .flags = LATENCY_FLAGS, .group = "server",
	  .since = "2.8.13", .summary = "Forgets the spikes of some or all events.", .complexity = "O(1)",
	  .args = "[event:string...]", .tips = "request_policy:all_nodes response_policy:agg_sum" },
	{ .name = NULL },
};

struct command latency_commands[] = {
	{ .name = "latency", .class = EXEC_LOCAL, .arity = -2, .flags = CMD_CONTAINER, .group = "server", .since = "2.8.13",
	  .summary = "Asks how long commands and events took. Its subcommands do the work.",
	  .complexity = "That of the subcommand", .subs = latency_subs },
	{ .name = NULL },
};
