/* acl: ACL: users and what they may do. */
#include <stdlib.h>
#include <sys/random.h>

#include "server/acl.h"
#include "server/acl_log.h"
#include "server/call.h"
#include "server/client.h"
#include "server/command_docs.h"
#include "server/commands/groups.h"
#include "server/config.h"
#include "server/config_rows.h"

static int shown(const struct arg *a)
{
	return (int)(a->len < 128 ? a->len : 128);
}

/* ------------------------------------------------------------------ about commands */

static void list_category(struct call *c, uint32_t category)
{
	size_t mark = reply_defer(c->reply), n = 0;
	for (unsigned id = 0; id < command_count(); id++) {
		const struct command *cmd = command_by_id(id);
		if (!(cmd->acl_all & category))
			continue;
		reply_cstr(c->reply, cmd->full_name);
		n++;
	}
	reply_defer_end(c->reply, mark, '*', n);
}

static void acl_cat(struct call *c)
{
	if (c->argc > 3) {
		call_unknown_subcommand(c);
		return;
	}
	if (c->argc == 3) {
		uint32_t category = acl_category(c->argv[2].ptr, c->argv[2].len);
		if (category)
			list_category(c, category);
		else
			reply_errorf(c->reply, "ERR Unknown category '%.*s'", shown(&c->argv[2]), c->argv[2].ptr);
		return;
	}
	size_t n = 0;
	while (command_category_names[n])
		n++;
	reply_array(c->reply, n);
	for (size_t i = 0; i < n; i++)
		reply_cstr(c->reply, command_category_names[i]);
}

static void acl_dryrun(struct call *c)
{
	const struct arg *argv = c->argv + 3;
	unsigned argc = c->argc - 3, at;
	const struct acl_user *u = acl_find(c->argv[2].ptr, c->argv[2].len);
	if (!u) {
		reply_errorf(c->reply, "ERR User '%.*s' not found", shown(&c->argv[2]), c->argv[2].ptr);
		return;
	}
	const struct command *cmd = command_lookup(argv, argc, NULL);
	if (!cmd) {
		reply_errorf(c->reply, "ERR Command '%.*s' not found", shown(argv), argv->ptr);
		return;
	}
	if (!command_arity_ok(cmd, argc)) {
		reply_errorf(c->reply, "ERR wrong number of arguments for '%s' command", cmd->full_name);
		return;
	}
	enum acl_denied why = acl_check(u, cmd, argv, argc, &at);
	if (!why) {
		reply_ok(c->reply);
		return;
	}
	struct config_text text = { 0 };
	acl_explain(u, cmd, argv, why, at, &text);
	if (text.failed)
		reply_oom(c->reply);
	else
		reply_bulk(c->reply, text.ptr, text.len);
	config_text_clear(&text);
}

static void acl_genpass(struct call *c)
{
	static const char digits[] = "0123456789abcdef";
	unsigned char random[512];
	char text[1024];
	int64_t bits = 256;
	if (c->argc > 3) {
		call_unknown_subcommand(c);
		return;
	}
	if (c->argc == 3 && !call_int(c, 2, &bits))
		return;
	if (bits <= 0 || bits > 4096) {
		reply_error(c->reply, "ERR ACL GENPASS argument must be the number of bits for the output password, a positive "
		                      "number up to 4096");
		return;
	}
	size_t n = (size_t)(bits + 3) / 4, have = 0;
	while (have < (n + 1) / 2) {
		ssize_t got = getrandom(random + have, (n + 1) / 2 - have, 0);
		if (got > 0)
			have += (size_t)got;
	}
	for (size_t i = 0; i < n; i++)
		text[i] = digits[random[i / 2] >> (i % 2 ? 0 : 4) & 15];
	reply_bulk(c->reply, text, n);
}

/* ------------------------------------------------------------------ users */

static void acl_whoami(struct call *c)
{
	if (c->client->user)
		reply_cstr(c->reply, c->client->user->name);
	else
		reply_null(c->reply);
}

static void acl_users(struct call *c)
{
	const struct acl_user *u;
	unsigned n = 0;
	while (acl_at(n))
		n++;
	reply_array(c->reply, n);
	for (unsigned i = 0; (u = acl_at(i)); i++)
		reply_cstr(c->reply, u->name);
}

static void acl_list(struct call *c)
{
	const struct acl_user *u;
	size_t mark = reply_defer(c->reply), n = 0;
	for (; (u = acl_at((unsigned)n)); n++) {
		struct config_text text = { 0 };
		config_text_addf(&text, "user %s ", u->name);
		acl_user_describe(u, &text);
		reply_bulk(c->reply, text.ptr ? text.ptr : "", text.len);
		config_text_clear(&text);
	}
	reply_defer_end(c->reply, mark, '*', n);
}

static void reply_part(struct call *c, const char *name, const struct acl_selector *s,
                       void (*describe)(const struct acl_selector *, struct config_text *))
{
	struct config_text text = { 0 };
	describe(s, &text);
	reply_cstr(c->reply, name);
	reply_bulk(c->reply, text.ptr ? text.ptr : "", text.len);
	config_text_clear(&text);
}

static void reply_selector(struct call *c, const struct acl_selector *s)
{
	reply_part(c, "commands", s, acl_selector_commands);
	reply_part(c, "keys", s, acl_selector_keys);
	reply_part(c, "channels", s, acl_selector_channels);
}

static void acl_getuser(struct call *c)
{
	const struct acl_user *u = acl_find(c->argv[2].ptr, c->argv[2].len);
	if (!u) {
		reply_null(c->reply);
		return;
	}
	bool nopass = u->flags & ACL_USER_NOPASS;
	reply_map(c->reply, 6);
	reply_cstr(c->reply, "flags");
	reply_set(c->reply, nopass ? 3 : 2);
	reply_cstr(c->reply, u->flags & ACL_USER_ON ? "on" : "off");
	if (nopass)
		reply_cstr(c->reply, "nopass");
	reply_cstr(c->reply, u->flags & ACL_USER_SANITIZE ? "sanitize-payload" : "skip-sanitize-payload");
	reply_cstr(c->reply, "passwords");
	reply_array(c->reply, u->passwords.n);
	for (unsigned i = 0; i < u->passwords.n; i++)
		reply_cstr(c->reply, u->passwords.v[i]);
	reply_selector(c, u->selectors[0]);
	reply_cstr(c->reply, "selectors");
	reply_array(c->reply, u->n_selectors - 1);
	for (unsigned i = 1; i < u->n_selectors; i++) {
		reply_map(c->reply, 3);
		reply_selector(c, u->selectors[i]);
	}
}

static void acl_setuser(struct call *c)
{
	const struct arg *name = &c->argv[2], *rules = c->argv + 3;
	unsigned n = c->argc - 3;
	char *bad = NULL;
	if (!acl_name_ok(name->ptr, name->len)) {
		reply_error(c->reply, "ERR Usernames can't contain spaces or null characters");
		return;
	}
	long unclosed = acl_rules_unclosed(rules, n);
	if (unclosed >= 0) {
		reply_errorf(c->reply, "ERR Unmatched parenthesis in acl selector starting at '%.*s'.",
		             shown(&rules[unclosed]), rules[unclosed].ptr);
		return;
	}
	const struct acl_user *now = acl_find(name->ptr, name->len);
	struct acl_user *u = now ? acl_user_copy(now) : acl_user_new(name->ptr, name->len);
	enum acl_error e = u ? acl_user_apply_all(u, rules, n, &bad) : ACL_NO_MEMORY;
	if (e)
		acl_user_unref(u);
	else if (acl_publish(u, c->client))
		e = ACL_NO_MEMORY;
	if (!e)
		reply_ok(c->reply);
	else if (e == ACL_NO_MEMORY)
		reply_oom(c->reply);
	else
		reply_errorf(c->reply, "ERR Error in ACL SETUSER modifier '%.128s': %s", bad ? bad : "", acl_error_text(e));
	free(bad);
}

static void acl_deluser(struct call *c)
{
	int64_t removed = 0;
	for (unsigned i = 2; i < c->argc; i++) {
		if (arg_equal(&c->argv[i], &(struct arg){ "default", 7 })) {
			reply_error(c->reply, "ERR The 'default' user cannot be removed");
			return;
		}
	}
	for (unsigned i = 2; i < c->argc; i++)
		removed += acl_remove(c->argv[i].ptr, c->argv[i].len, c->client);
	reply_int(c->reply, removed);
}

/* ------------------------------------------------------------------ files and log */

static bool has_file(struct call *c)
{
	if (*config()->aclfile)
		return true;
	reply_error(c->reply, "ERR This Redis instance is not configured to use an ACL file. You may want to specify users "
	                      "via the ACL SETUSER command and then issue a CONFIG REWRITE (assuming you have a Redis "
	                      "configuration file set) in order to store users in the Redis configuration.");
	return false;
}

static void acl_load_file(struct call *c)
{
	struct config_text errors = { 0 };
	if (!has_file(c))
		return;
	if (acl_load(config()->aclfile, c->client, &errors) == 0)
		reply_ok(c->reply);
	else if (errors.failed)
		reply_oom(c->reply);
	else
		reply_errorf(c->reply, "ERR %s", errors.ptr);
	config_text_clear(&errors);
}

static void acl_save_file(struct call *c)
{
	if (!has_file(c))
		return;
	if (acl_save(config()->aclfile) == 0)
		reply_ok(c->reply);
	else
		reply_error(c->reply, "ERR There was an error trying to save the ACLs. Please check the server logs for more "
		                      "information");
}

static void acl_log(struct call *c)
{
	int64_t count = 10;
	if (c->argc > 3) {
		call_unknown_subcommand(c);
		return;
	}
	if (c->argc == 3 && arg_is(&c->argv[2], "reset")) {
		acl_log_reset();
		reply_ok(c->reply);
		return;
	}
	if (c->argc == 3 && !call_int(c, 2, &count))
		return;
	acl_log_reply(c->reply, count > 0 ? (uint64_t)count : 0, c->op.now_ms);
}

static void acl_help(struct call *c)
{
	static const char *const lines[] = {
		"CAT [<category>]",
		"    The categories of commands, or the commands of one.",
		"DELUSER <username> [<username> ...]",
		"    Remove users and close their connections.",
		"DRYRUN <username> <command> [<arg> ...]",
		"    Whether the user might run this command, which is not run.",
		"GENPASS [<bits>]",
		"    A random password of 256 bits, or of so many.",
		"GETUSER <username>",
		"    What the user may do.",
		"LIST",
		"    All users as lines of a configuration.",
		"LOAD",
		"    Read the users from the ACL file again: all lines, or none if one is wrong.",
		"LOG [<count>|RESET]",
		"    The latest refusals, or forget them.",
		"SAVE",
		"    Write the users to the ACL file.",
		"SETUSER <username> [<rule> ...]",
		"    Make a user, or change one.",
		"USERS",
		"    The names of all users.",
		"WHOAMI",
		"    The user of this connection.",
		NULL,
	};
	call_help(c, lines);
}

#define ADMIN (CMD_ADMIN | CMD_NOSCRIPT | CMD_LOADING | CMD_STALE)
#define ANYONE (CMD_NOSCRIPT | CMD_LOADING | CMD_STALE)
#define ALL_NODES "request_policy:all_nodes response_policy:all_succeeded"
#define ACL_ROW(n, fn, cls, ar, fl, ...) \
	{ .name = n, .run = fn, .class = cls, .arity = ar, .flags = fl, .group = "server", .since = "6.0.0", __VA_ARGS__ }

static struct command acl_subs[] = {
	ACL_ROW("cat", acl_cat, EXEC_LOCAL, -2, ANYONE, .summary = "Lists the categories, or the commands of one.",
	        .complexity = "O(N) in the number of commands", .args = "[category:string]"),
	ACL_ROW("deluser", acl_deluser, EXEC_ALONE, -3, ADMIN, .summary = "Removes users and closes their connections.",
	        .complexity = "O(N) in the number of client connections", .args = "username:string...", .tips = ALL_NODES),
	{ .name = "dryrun", .run = acl_dryrun, .class = EXEC_LOCAL, .arity = -4, .flags = ADMIN, .group = "server",
	  .since = "7.0.0", .summary = "Tells whether a user might run a command.", .complexity = "O(1)",
	  .args = "username:string command:string [arg:string...]" },
	ACL_ROW("genpass", acl_genpass, EXEC_LOCAL, -2, ANYONE, .summary = "Makes a password that nobody guesses.",
	        .complexity = "O(1)", .args = "[bits:integer]"),
	ACL_ROW("getuser", acl_getuser, EXEC_LOCAL, 3, ADMIN, .summary = "Tells what a user may do.",
	        .complexity = "O(N) in the passwords, commands and patterns of the user", .args = "username:string",
	        .history = "6.2.0 Channel patterns.\n7.0.0 Selectors; patterns as the rules that make them."),
	ACL_ROW("help", acl_help, EXEC_LOCAL, 2, CMD_LOADING | CMD_STALE, .summary = "Lists the subcommands.",
	        .complexity = "O(1)"),
	ACL_ROW("list", acl_list, EXEC_LOCAL, 2, ADMIN, .summary = "Lists the users as lines of a configuration.",
	        .complexity = "O(N) in the number of users"),
	ACL_ROW("load", acl_load_file, EXEC_ALONE, 2, ADMIN, .summary = "Reads the users from the ACL file again.",
	        .complexity = "O(N) in the number of users and client connections"),
	ACL_ROW("log", acl_log, EXEC_SERVICE, -2, ADMIN, .summary = "Lists the latest refusals.",
	        .complexity = "O(N) in the entries shown", .args = "[operation:<count:integer|reset:RESET>]",
	        .history = "7.2.0 Number and times of an entry."),
	ACL_ROW("save", acl_save_file, EXEC_SERVICE, 2, ADMIN, .summary = "Writes the users to the ACL file.",
	        .complexity = "O(N) in the number of users", .tips = ALL_NODES),
	ACL_ROW("setuser", acl_setuser, EXEC_ALONE, -3, ADMIN, .summary = "Makes a user or changes one.",
	        .complexity = "O(N) in the rules and in the client connections",
	        .args = "username:string [rule:string...]", .tips = ALL_NODES,
	        .history = "6.2.0 Channel patterns.\n7.0.0 Selectors, and patterns for reading or writing."),
	ACL_ROW("users", acl_users, EXEC_LOCAL, 2, ADMIN, .summary = "Lists the names of the users.",
	        .complexity = "O(N) in the number of users"),
	ACL_ROW("whoami", acl_whoami, EXEC_LOCAL, 2, ANYONE, .summary = "Answers the name of the connection's user.",
	        .complexity = "O(1)"),
	{ 0 },
};

struct command acl_commands[] = {
	{ .name = "acl", .arity = -2, .flags = CMD_CONTAINER, .subs = acl_subs, .group = "server", .since = "6.0.0",
	  .summary = "Users and what they may do.", .complexity = "Depends on subcommand." },
	{ 0 },
};
