/* script: EVAL and its like, SCRIPT. The work is in script/. */
#include "server/script/script.h"

#include <stdlib.h>

#include "server/commands/groups.h"

static void eval(struct call *c, bool read_only)
{
	char *error = NULL;
	struct script *s = script_keys_ok(c, NULL) ? script_add(c->argv[1].ptr, c->argv[1].len, &error) : NULL;
	if (s) {
		script_run(c, s, read_only);
		return;
	}
	if (error)
		reply_error(c->reply, error);
	else if (!c->reply->errored)
		reply_oom(c->reply);
	free(error);
	script_give_up(c);
}

static void evalsha(struct call *c, bool read_only)
{
	struct script *s = NULL;
	bool is_sha = c->argv[1].len == SCRIPT_SHA;
	if (!is_sha || script_keys_ok(c, NULL))
		s = script_find(c->argv[1].ptr, c->argv[1].len);
	if (s) {
		script_run(c, s, read_only);
		return;
	}
	if (!c->reply->errored)
		reply_error(c->reply, "NOSCRIPT No matching script. Please use EVAL.");
	script_give_up(c);
}

static void run_eval(struct call *c)
{
	eval(c, false);
}

static void run_eval_ro(struct call *c)
{
	eval(c, true);
}

static void run_evalsha(struct call *c)
{
	evalsha(c, false);
}

static void run_evalsha_ro(struct call *c)
{
	evalsha(c, true);
}

/* ------------------------------------------------------------------ SCRIPT */

static void run_debug(struct call *c)
{
	if (arg_is(&c->argv[2], "no"))
		reply_ok(c->reply);
	else
		reply_error(c->reply, "ERR the script debugger is not available in this server");
}

static void run_exists(struct call *c)
{
	reply_array(c->reply, c->argc - 2);
	for (unsigned i = 2; i < c->argc; i++)
		reply_int(c->reply, script_find(c->argv[i].ptr, c->argv[i].len) != NULL);
}

static void run_flush(struct call *c)
{
	if (c->argc > 3 || (c->argc == 3 && !arg_is(&c->argv[2], "sync") && !arg_is(&c->argv[2], "async"))) {
		reply_error(c->reply, "ERR SCRIPT FLUSH only support SYNC|ASYNC option");
		return;
	}
	script_flush();
	reply_ok(c->reply);
}

static void run_kill(struct call *c)
{
	const char *why = script_kill(false);
	if (*why)
		reply_error(c->reply, why);
	else
		reply_ok(c->reply);
}

static void run_load(struct call *c)
{
	char *error = NULL;
	const struct script *s = script_add(c->argv[2].ptr, c->argv[2].len, &error);
	if (s)
		reply_bulk(c->reply, s->sha, SCRIPT_SHA);
	else if (error)
		reply_error(c->reply, error);
	else
		reply_oom(c->reply);
	free(error);
}

static void run_help(struct call *c)
{
	static const char *const lines[] = {
		"DEBUG (YES|SYNC|NO)",
		"    There is no debugger.",
		"EXISTS <sha1> [<sha1> ...]",
		"    Which of these scripts are known.",
		"FLUSH [ASYNC|SYNC]",
		"    Forget all scripts.",
		"KILL",
		"    End the script that runs for too long, if it has not written anything.",
		"LOAD <script>",
		"    Remember a script without running it.",
		NULL,
	};
	call_help(c, lines);
}

#define EVAL_FLAGS (CMD_NOSCRIPT | CMD_STALE | CMD_SKIP_MONITOR | CMD_NO_MANDATORY_KEYS | CMD_MOVABLE_KEYS)
#define EVAL_KEYS(f, ...) { { .flags = (f), .begin = 2, .keynum = true, .first_key = 1, .step = 1, __VA_ARGS__ } }
#define RW (KEY_RW | KEY_ACCESS | KEY_UPDATE)
#define RO (KEY_RO | KEY_ACCESS)
#define EVAL_ARGS "numkeys:integer [key:key#0...] [arg:string...]"

static struct command script_subs[] = {
	{ .name = "debug", .run = run_debug, .class = EXEC_LOCAL, .arity = 3, .flags = CMD_NOSCRIPT, .acl = ACL_SCRIPTING,
	  .group = "scripting", .since = "3.2.0", .summary = "Refused: there is no debugger.", .complexity = "O(1)",
	  .args = "mode:<yes:YES|sync:SYNC|no:NO>" },
	{ .name = "exists", .run = run_exists, .class = EXEC_SERVICE, .arity = -3, .flags = CMD_NOSCRIPT, .acl = ACL_SCRIPTING,
	  .group = "scripting", .since = "2.6.0", .summary = "Says which scripts are known.",
	  .complexity = "O(N) in the scripts asked for", .args = "sha1:string...",
	  .tips = "request_policy:all_shards response_policy:agg_logical_and" },
	{ .name = "flush", .run = run_flush, .class = EXEC_ALONE, .arity = -2, .flags = CMD_NOSCRIPT, .acl = ACL_SCRIPTING,
	  .group = "scripting", .since = "2.6.0", .summary = "Forgets all scripts.", .complexity = "O(N) in the known scripts",
	  .args = "[flush-type:<async:ASYNC|sync:SYNC>@6.2.0]", .history = "6.2.0 Modes ASYNC and SYNC.",
	  .tips = "request_policy:all_nodes response_policy:all_succeeded" },
	{ .name = "help", .run = run_help, .class = EXEC_LOCAL, .arity = 2, .flags = CMD_LOADING | CMD_STALE,
	  .acl = ACL_SCRIPTING, .group = "scripting", .since = "5.0.0", .summary = "Lists the subcommands.",
	  .complexity = "O(1)" },
	{ .name = "kill", .run = run_kill, .class = EXEC_LOCAL, .arity = 2, .flags = CMD_NOSCRIPT | CMD_ALLOW_BUSY,
	  .acl = ACL_SCRIPTING, .group = "scripting", .since = "2.6.0",
	  .summary = "Ends a script that runs for too long.", .complexity = "O(1)",
	  .tips = "request_policy:all_shards response_policy:one_succeeded" },
	{ .name = "load", .run = run_load, .class = EXEC_SERVICE, .arity = 3, .flags = CMD_NOSCRIPT | CMD_STALE,
	  .acl = ACL_SCRIPTING, .group = "scripting", .since = "2.6.0", .summary = "Remembers a script without running it.",
	  .complexity = "O(N) in the length of the script", .args = "script:string",
	  .tips = "request_policy:all_nodes response_policy:all_succeeded" },
	{ .name = NULL },
};

struct command script_commands[] = {
	{ .name = "eval", .run = run_eval, .plan = script_plan, .class = EXEC_KEYED, .arity = -3,
	  .flags_for = script_flags_for, .flags = EVAL_FLAGS | CMD_MAY_REPLICATE,
	  .acl = ACL_SCRIPTING, .group = "scripting", .since = "2.6.0",
	  .keys = EVAL_KEYS(RW, .notes = "What a script does with them cannot be told: reading and writing is assumed."),
	  .summary = "Runs a script.", .complexity = "Depends on the script", .args = "script:string " EVAL_ARGS },
	{ .name = "evalsha", .run = run_evalsha, .plan = script_plan, .class = EXEC_KEYED, .arity = -3,
	  .flags_for = script_flags_for, .flags = EVAL_FLAGS | CMD_MAY_REPLICATE,
	  .acl = ACL_SCRIPTING, .group = "scripting", .since = "2.6.0", .keys = EVAL_KEYS(RW),
	  .summary = "Runs a script that is known by its SHA-1.", .complexity = "Depends on the script",
	  .args = "sha1:string " EVAL_ARGS },
	{ .name = "eval_ro", .run = run_eval_ro, .plan = script_plan, .class = EXEC_KEYED, .arity = -3,
	  .flags_for = script_flags_for, .flags = EVAL_FLAGS | CMD_READONLY,
	  .acl = ACL_SCRIPTING, .group = "scripting", .since = "7.0.0",
	  .keys = EVAL_KEYS(RO, .notes = "What a script does with its keys cannot be told: reading is assumed."),
	  .summary = "Runs a script that only reads.", .complexity = "Depends on the script",
	  .args = "script:string " EVAL_ARGS },
	{ .name = "evalsha_ro", .run = run_evalsha_ro, .plan = script_plan, .class = EXEC_KEYED, .arity = -3,
	  .flags_for = script_flags_for, .flags = EVAL_FLAGS | CMD_READONLY,
	  .acl = ACL_SCRIPTING, .group = "scripting", .since = "7.0.0",
	  .keys = EVAL_KEYS(RO), .summary = "Runs a script that only reads, known by its SHA-1.",
	  .complexity = "Depends on the script", .args = "sha1:string " EVAL_ARGS },
	{ .name = "script", .class = EXEC_LOCAL, .arity = -2, .flags = CMD_CONTAINER, .group = "scripting", .since = "2.6.0",
	  .summary = "Manages scripts. Its subcommands do the work.", .complexity = "That of the subcommand",
	  .subs = script_subs },
	{ .name = NULL },
};
