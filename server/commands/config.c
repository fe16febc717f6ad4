/* config: CONFIG: the configuration of the running server. */
#include "server/config.h"

#include <stdlib.h>

#include "server/call.h"
#include "server/client.h"
#include "server/commands/groups.h"
#include "server/latency.h"
#include "server/stats.h"

struct get_reply {
	struct reply *r;
	size_t n;
};

static void reply_pair(void *ctx, const char *name, size_t name_len, const char *value, size_t value_len)
{
	struct get_reply *g = ctx;

	reply_bulk(g->r, name, name_len);
	reply_bulk(g->r, value, value_len);
	g->n++;
}

static void get(struct call *c)
{
	struct get_reply g = { .r = c->reply };
	size_t mark = reply_defer(c->reply);

	config_match(c->argv + 2, c->argc - 2, reply_pair, &g);
	reply_defer_end(c->reply, mark, '%', g.n);
}

/* The text of a refusal, freed. */
static void refuse(struct call *c, char *error)
{
	reply_errorf(c->reply, "ERR %s", error ? error : "out of memory");
	free(error);
}

static void set(struct call *c)
{
	char *error = NULL;
	bool local = c->client->flags & CLIENT_LOCAL;

	if (config_set(c->argv + 2, c->argc - 2, local, &error))
		refuse(c, error);
	else
		reply_ok(c->reply);
}

static void rewrite(struct call *c)
{
	char *error = NULL;

	if (config_rewrite(&error))
		refuse(c, error);
	else
		reply_ok(c->reply);
}

static void resetstat(struct call *c)
{
	stats_reset();
	latency_clear_histograms();
	reply_ok(c->reply);
}

static void help(struct call *c)
{
	static const char *const lines[] = {
		"GET <pattern> [<pattern> ...]",
		"    Answer the directives whose names fit the patterns, with their values.",
		"SET <directive> <value> [<directive> <value> ...]",
		"    Give directives new values: all of them, or none.",
		"RESETSTAT",
		"    Set the counters that INFO shows back to zero.",
		"REWRITE",
		"    Bring the configuration file in line with the values in force.",
		NULL,
	};

	call_help(c, lines);
}

#define FLAGS (CMD_ADMIN | CMD_NOSCRIPT | CMD_LOADING | CMD_STALE)
#define TIPS "request_policy:all_nodes response_policy:all_succeeded"

static struct command config_subs[] = {
	{ .name = "get", .run = get, .class = EXEC_SERVICE, .arity = -3, .flags = FLAGS, .group = "server", .since = "2.0.0",
	  .summary = "Answers directives of the configuration with their values.",
	  .complexity = "O(N) in the number of patterns", .args = "parameter:string...",
	  .history = "7.0.0 Several patterns may be given." },
	{ .name = "help", .run = help, .class = EXEC_SERVICE, .arity = 2, .flags = CMD_LOADING | CMD_STALE, .group = "server",
	  .since = "5.0.0", .summary = "Lists the subcommands of CONFIG.", .complexity = "O(1)" },
	{ .name = "resetstat", .run = resetstat, .class = EXEC_ALONE, .arity = 2, .flags = FLAGS, .group = "server",
	  .since = "2.0.0", .summary = "Sets the statistics back to zero.", .complexity = "O(1)", .tips = TIPS },
	{ .name = "rewrite", .run = rewrite, .class = EXEC_ALONE, .arity = 2, .flags = FLAGS, .group = "server",
	  .since = "2.8.0", .summary = "Writes the configuration in force to its file.", .complexity = "O(1)", .tips = TIPS },
	{ .name = "set", .run = set, .class = EXEC_ALONE, .arity = -4, .flags = FLAGS | CMD_STOPS_PARSING, .group = "server",
	  .since = "2.0.0", .summary = "Gives directives of the configuration new values.",
	  .complexity = "O(N) in the number of directives", .args = "data:{parameter:string value:string}...",
	  .history = "7.0.0 Several directives may be set at once.", .tips = TIPS },
	{ 0 },
};

struct command config_commands[] = {
	{ .name = "config", .class = EXEC_LOCAL, .arity = -2, .flags = CMD_CONTAINER, .subs = config_subs, .group = "server",
	  .since = "2.0.0", .summary = "Holds the commands for the server's configuration.",
	  .complexity = "Depends on the subcommand." },
	{ 0 },
};
