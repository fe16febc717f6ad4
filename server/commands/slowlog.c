/* slowlog: SLOWLOG and MONITOR: what others are doing. */
#include "server/call.h"
#include "server/client.h"
#include "server/commands/groups.h"
#include "server/monitor.h"
#include "server/slowlog.h"

#define SHOWN 10 /* entries of SLOWLOG GET without a count */

static void run_get(struct call *c)
{
	int64_t n = SHOWN;
	if (c->argc > 3) {
		call_unknown_subcommand(c);
		return;
	}
	if (c->argc == 3 &&
	    !call_int_range(c, 2, -1, INT64_MAX, &n, "ERR count should be greater than or equal to -1"))
		return;
	slowlog_reply(c->reply, n);
}

static void run_len(struct call *c)
{
	reply_int(c->reply, (int64_t)slowlog_len());
}

static void run_reset(struct call *c)
{
	slowlog_clear();
	reply_ok(c->reply);
}

static void run_help(struct call *c)
{
	static const char *const lines[] = {
		"GET [<count>]",
		"    The last <count> slow commands (10; -1: all): id, time, microseconds, arguments, client, its name.",
		"LEN",
		"    How many slow commands are kept.",
		"RESET",
		"    Forget them.",
		NULL,
	};
	call_help(c, lines);
}

static void run_monitor(struct call *c)
{
	if (c->nested || c->client->flags & CLIENT_INTERNAL)
		reply_error(c->reply, "ERR MONITOR isn't allowed for DENY BLOCKING client");
	else if (c->client->flags & CLIENT_MONITOR)
		return; /* said again it has no answer */
	else if (!monitor_join(c->client))
		reply_oom(c->reply);
	else
		reply_ok(c->reply);
}

#define SLOWLOG_FLAGS (CMD_ADMIN | CMD_LOADING | CMD_STALE)

static struct command slowlog_subs[] = {
	{ .name = "get", .run = run_get, .class = EXEC_SERVICE, .arity = -2, .flags = SLOWLOG_FLAGS, .group = "server",
	  .since = "2.2.12", .summary = "Lists the last slow commands.", .complexity = "O(N) in the entries that are shown",
	  .args = "[count:integer]", .history = "4.0.0 The reply names the client and its address.",
	  .tips = "request_policy:all_nodes nondeterministic_output" },
	{ .name = "help", .run = run_help, .class = EXEC_LOCAL, .arity = 2, .flags = CMD_LOADING | CMD_STALE,
	  .group = "server", .since = "6.2.0", .summary = "Lists the subcommands.", .complexity = "O(1)" },
	{ .name = "len", .run = run_len, .class = EXEC_SERVICE, .arity = 2, .flags = SLOWLOG_FLAGS, .group = "server",
	  .since = "2.2.12", .summary = "Counts the slow commands that are kept.", .complexity = "O(1)",
	  .tips = "request_policy:all_nodes response_policy:agg_sum nondeterministic_output" },
	{ .name = "reset", .run = run_reset, .class = EXEC_SERVICE, .arity = 2, .flags = SLOWLOG_FLAGS, .group = "server",
	  .since = "2.2.12", .summary = "Forgets the slow commands.", .complexity = "O(N) in the entries",
	  .tips = "request_policy:all_nodes response_policy:all_succeeded" },
	{ .name = NULL },
};

struct command slowlog_commands[] = {
	{ .name = "slowlog", .class = EXEC_LOCAL, .arity = -2, .flags = CMD_CONTAINER, .group = "server", .since = "2.2.12",
	  .summary = "Asks which commands were slow. Its subcommands do the work.",
	  .complexity = "That of the subcommand", .subs = slowlog_subs },
	{ .name = "monitor", .run = run_monitor, .class = EXEC_LOCAL, .arity = 1,
	  .flags = CMD_ADMIN | CMD_NOSCRIPT | CMD_LOADING | CMD_STALE, .group = "server", .since = "1.0.0",
	  .summary = "Shows every command that the server runs, from now on." },
	{ .name = NULL },
};
