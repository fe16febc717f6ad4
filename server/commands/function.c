/* function: FUNCTION, FCALL and FCALL_RO. The work is in script/. */
#include "server/script/functions.h"

#include <stdlib.h>

#include "server/commands/groups.h"
#include "store/glob.h"

static void run_fcall(struct call *c)
{
	functions_call(c, false);
}

static void run_fcall_ro(struct call *c)
{
	functions_call(c, true);
}

/* ------------------------------------------------------------------ FUNCTION */

static void wrong_form(struct call *c)
{
	reply_errorf(c->reply, "ERR unknown subcommand or wrong number of arguments for '%.*s'. Try FUNCTION HELP.",
	             (int)c->argv[1].len, c->argv[1].ptr);
}

/* What was wrong, as a reply; frees it. */
static void reply_failure(struct call *c, char *error)
{
	if (error)
		reply_errorf(c->reply, "ERR %s", error);
	else
		reply_oom(c->reply);
	free(error);
}

static void run_delete(struct call *c)
{
	if (!functions_delete(c, &c->argv[2])) {
		reply_error(c->reply, "ERR Library not found");
		return;
	}
	c->dirty++;
	reply_ok(c->reply);
}

static void run_dump(struct call *c)
{
	functions_dump(c->reply);
}

static void run_flush(struct call *c)
{
	if (c->argc > 3) {
		wrong_form(c);
	} else if (c->argc == 3 && !arg_is(&c->argv[2], "sync") && !arg_is(&c->argv[2], "async")) {
		reply_error(c->reply, "ERR FUNCTION FLUSH only supports SYNC|ASYNC option");
	} else {
		functions_flush(c);
		c->dirty++;
		reply_ok(c->reply);
	}
}

static void run_kill(struct call *c)
{
	const char *why = script_kill(true);
	if (*why)
		reply_error(c->reply, why);
	else
		reply_ok(c->reply);
}

static void reply_flags(struct reply *r, unsigned flags)
{
	static const char *const names[] = { "no-writes", "allow-oom", "allow-stale", "no-cluster", "allow-cross-slot-keys" };
	reply_set(r, (size_t)__builtin_popcount(flags));
	for (unsigned i = 0; i < sizeof names / sizeof *names; i++) {
		if (flags & 1u << i)
			reply_status(r, names[i]);
	}
}

static void reply_library(struct reply *r, const struct library *l, bool with_code)
{
	reply_map(r, with_code ? 4 : 3);
	reply_cstr(r, "library_name");
	reply_cstr(r, l->name);
	reply_cstr(r, "engine");
	reply_cstr(r, "LUA");
	reply_cstr(r, "functions");
	reply_array(r, l->count);
	for (const struct function *f = l->functions; f; f = f->next) {
		reply_map(r, 3);
		reply_cstr(r, "name");
		reply_cstr(r, f->name);
		reply_cstr(r, "description");
		if (f->description)
			reply_bulk(r, f->description, f->description_len);
		else
			reply_null(r);
		reply_cstr(r, "flags");
		reply_flags(r, f->flags);
	}
	if (with_code) {
		reply_cstr(r, "library_code");
		size_t len;
		const char *code = functions_code(l, &len);
		reply_bulk(r, code, len);
	}
}

static bool is_asked_for(const struct library *l, const struct arg *pattern)
{
	return !pattern || glob_match(pattern->ptr, pattern->len, l->name, strlen(l->name), true);
}

static void run_list(struct call *c)
{
	const struct arg *pattern = NULL;
	bool with_code = false;
	for (unsigned i = 2; i < c->argc; i++) {
		const struct arg *a = &c->argv[i];
		if (!with_code && arg_is(a, "withcode")) {
			with_code = true;
		} else if (!pattern && arg_is(a, "libraryname")) {
			if (++i == c->argc) {
				reply_error(c->reply, "ERR library name argument was not given");
				return;
			}
			pattern = &c->argv[i];
		} else {
			reply_errorf(c->reply, "ERR Unknown argument %.*s", (int)(a->len < 512 ? a->len : 512), a->ptr);
			return;
		}
	}
	size_t n = 0;
	for (const struct library *l = functions_first(); l; l = l->next)
		n += is_asked_for(l, pattern);
	reply_array(c->reply, n);
	for (const struct library *l = functions_first(); l; l = l->next) {
		if (is_asked_for(l, pattern))
			reply_library(c->reply, l, with_code);
	}
}

static void run_load(struct call *c)
{
	bool replace = false;
	char *error = NULL;
	for (unsigned i = 2; i + 1 < c->argc; i++) {
		const struct arg *a = &c->argv[i];
		if (!arg_is(a, "replace")) {
			reply_errorf(c->reply, "ERR Unknown option given: %.*s", (int)(a->len < 512 ? a->len : 512), a->ptr);
			return;
		}
		replace = true;
	}
	const struct library *l = functions_load(c, &c->argv[c->argc - 1], replace, &error);
	if (!l) {
		reply_failure(c, error);
		return;
	}
	c->dirty++;
	reply_cstr(c->reply, l->name);
}

static void run_restore(struct call *c)
{
	enum functions_policy policy = FUNCTIONS_APPEND;
	char *error = NULL;
	if (c->argc > 4) {
		wrong_form(c);
		return;
	}
	if (c->argc == 4) {
		const struct arg *a = &c->argv[3];
		if (arg_is(a, "replace")) {
			policy = FUNCTIONS_REPLACE;
		} else if (arg_is(a, "flush")) {
			policy = FUNCTIONS_FLUSH;
		} else if (!arg_is(a, "append")) {
			reply_error(c->reply, "ERR Wrong restore policy given, value should be either FLUSH, APPEND or REPLACE.");
			return;
		}
	}
	if (!functions_restore(c, &c->argv[2], policy, &error)) {
		reply_failure(c, error);
		return;
	}
	c->dirty++;
	reply_ok(c->reply);
}

static void run_stats(struct call *c)
{
	const char *why = script_reply_stats(c->reply);
	if (*why) {
		reply_error(c->reply, why);
		return;
	}
	reply_cstr(c->reply, "engines");
	reply_map(c->reply, 1);
	reply_cstr(c->reply, "LUA");
	reply_map(c->reply, 2);
	reply_cstr(c->reply, "libraries_count");
	reply_int(c->reply, functions_libraries());
	reply_cstr(c->reply, "functions_count");
	reply_int(c->reply, functions_count());
}

static void run_help(struct call *c)
{
	static const char *const lines[] = {
		"DELETE <library-name>",
		"    Remove a library and its functions.",
		"DUMP",
		"    All libraries as one payload for FUNCTION RESTORE.",
		"FLUSH [ASYNC|SYNC]",
		"    Remove all libraries.",
		"KILL",
		"    End the function that runs for too long, if it has not written anything.",
		"LIST [LIBRARYNAME <pattern>] [WITHCODE]",
		"    Libraries and their functions, those whose names match; with their source.",
		"LOAD [REPLACE] <code>",
		"    Add a library, or put it in the place of the one with its name.",
		"RESTORE <payload> [FLUSH|APPEND|REPLACE]",
		"    Add the libraries of a payload: after all others are removed (FLUSH), if none of them is there",
		"    yet (APPEND, which is the default), or in the place of those with their names (REPLACE).",
		"STATS",
		"    The function that runs for too long, and how many libraries and functions there are.",
		NULL,
	};
	call_help(c, lines);
}

#define FCALL_FLAGS (CMD_NOSCRIPT | CMD_STALE | CMD_SKIP_MONITOR | CMD_NO_MANDATORY_KEYS | CMD_MOVABLE_KEYS)
#define FCALL_KEYS(f, ...) { { .flags = (f), .begin = 2, .keynum = true, .first_key = 1, .step = 1, __VA_ARGS__ } }
#define FCALL_ARGS "function:string numkeys:integer [key:key#0...] [arg:string...]"
#define EVERYWHERE "request_policy:all_shards response_policy:all_succeeded"
#define FUNCTION_ROW(n, r, c, a, f) \
	.name = (n), .run = (r), .class = (c), .arity = (a), .flags = (f), .acl = ACL_SCRIPTING, .group = "scripting", \
	.since = "7.0.0"

static struct command function_subs[] = {
	{ FUNCTION_ROW("delete", run_delete, EXEC_ALONE, 3, CMD_NOSCRIPT | CMD_WRITE),
	  .summary = "Removes a library and its functions.", .complexity = "O(1)", .args = "library-name:string",
	  .tips = EVERYWHERE },
	{ FUNCTION_ROW("dump", run_dump, EXEC_SERVICE, 2, CMD_NOSCRIPT), .summary = "Gives all libraries as one payload.",
	  .complexity = "O(N) in the functions" },
	{ FUNCTION_ROW("flush", run_flush, EXEC_ALONE, -2, CMD_NOSCRIPT | CMD_WRITE), .summary = "Removes all libraries.",
	  .complexity = "O(N) in the functions removed", .args = "[flush-type:<async:ASYNC|sync:SYNC>]", .tips = EVERYWHERE },
	{ FUNCTION_ROW("help", run_help, EXEC_LOCAL, 2, CMD_LOADING | CMD_STALE), .summary = "Lists the subcommands.",
	  .complexity = "O(1)" },
	{ FUNCTION_ROW("kill", run_kill, EXEC_LOCAL, 2, CMD_NOSCRIPT | CMD_ALLOW_BUSY),
	  .summary = "Ends a function that runs for too long.", .complexity = "O(1)",
	  .tips = "request_policy:all_shards response_policy:one_succeeded" },
	{ FUNCTION_ROW("list", run_list, EXEC_SERVICE, -2, CMD_NOSCRIPT), .summary = "Lists libraries and their functions.",
	  .complexity = "O(N) in the functions",
	  .args = "[LIBRARYNAME library-name-pattern:string] [withcode:WITHCODE]", .tips = "nondeterministic_output_order" },
	{ FUNCTION_ROW("load", run_load, EXEC_ALONE, -3, CMD_NOSCRIPT | CMD_WRITE | CMD_DENYOOM),
	  .summary = "Adds a library of functions.", .complexity = "O(1) but for compiling the code",
	  .args = "[replace:REPLACE] function-code:string", .tips = EVERYWHERE },
	{ FUNCTION_ROW("restore", run_restore, EXEC_ALONE, -3, CMD_NOSCRIPT | CMD_WRITE | CMD_DENYOOM),
	  .summary = "Adds the libraries of a payload.", .complexity = "O(N) in the functions of the payload",
	  .args = "serialized-value:string [policy:<flush:FLUSH|append:APPEND|replace:REPLACE>]", .tips = EVERYWHERE },
	{ FUNCTION_ROW("stats", run_stats, EXEC_SERVICE, 2, CMD_NOSCRIPT | CMD_ALLOW_BUSY),
	  .summary = "Tells which function runs for too long, and counts libraries and functions.", .complexity = "O(1)",
	  .tips = "nondeterministic_output request_policy:all_shards response_policy:special" },
	{ .name = NULL },
};

struct command function_commands[] = {
	{ FUNCTION_ROW("fcall", run_fcall, EXEC_KEYED, -3, FCALL_FLAGS | CMD_MAY_REPLICATE),
	  .plan = functions_plan, .flags_for = functions_flags_for,
	  .keys = FCALL_KEYS(KEY_RW | KEY_ACCESS | KEY_UPDATE,
	                     .notes = "What a function does with them cannot be told: reading and writing is assumed."),
	  .summary = "Calls a function.", .complexity = "Depends on the function", .args = FCALL_ARGS },
	{ FUNCTION_ROW("fcall_ro", run_fcall_ro, EXEC_KEYED, -3, FCALL_FLAGS | CMD_READONLY),
	  .plan = functions_plan, .flags_for = functions_flags_for,
	  .keys = FCALL_KEYS(KEY_RO | KEY_ACCESS,
	                     .notes = "What a function does with its keys cannot be told: reading is assumed."),
	  .summary = "Calls a function that only reads.", .complexity = "Depends on the function", .args = FCALL_ARGS },
	{ .name = "function", .class = EXEC_LOCAL, .arity = -2, .flags = CMD_CONTAINER, .group = "scripting", .since = "7.0.0",
	  .summary = "Manages libraries of functions. Its subcommands do the work.", .complexity = "That of the subcommand",
	  .subs = function_subs },
	{ .name = NULL },
};
