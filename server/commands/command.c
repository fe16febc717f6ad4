/* command: COMMAND and its subcommands: what the table knows, told to clients. */
#include <stdio.h>

#include "server/call.h"
#include "server/command_docs.h"
#include "server/commands/groups.h"
#include "store/glob.h"

/* "get" or "config|get"; NULL: unknown. */
static struct command *named(const struct arg *name)
{
	const char *bar = memchr(name->ptr, '|', name->len);
	if (!bar)
		return command_find(name->ptr, name->len);
	struct arg parts[2] = { { name->ptr, (size_t)(bar - name->ptr) }, { bar + 1, 0 } };
	parts[1].len = name->len - parts[0].len - 1;
	struct command *cmd = command_lookup(parts, 2, NULL);
	return cmd && cmd->parent ? cmd : NULL;
}

/* A set of the names of the bits that are on. */
static void reply_names(struct reply *r, uint32_t bits, const char *const *names, const char *prefix)
{
	size_t mark = reply_defer(r), n = 0;
	for (unsigned i = 0; names[i]; i++) {
		char text[40];
		if (!(bits & 1u << i) || !*names[i])
			continue;
		snprintf(text, sizeof text, "%s%s", prefix, names[i]);
		reply_status(r, text);
		n++;
	}
	reply_defer_end(r, mark, '~', n);
}

/* ------------------------------------------------------------------ COMMAND INFO */

/* First key, last key, step, as they were told before there were key specifications: the ranges that join, if any. */
static void reply_legacy_range(struct reply *r, const struct command *cmd)
{
	const struct key_spec *k = cmd->keys;
	int first = 0, last = 0, step = 0, end = 0;
	bool only = k[0].flags && !k[1].flags && !k[0].keyword && !k[0].keynum && k[0].begin;
	for (int i = 0; i < COMMAND_SPECS && k[i].flags; i++) {
		if (k[i].keyword || k[i].keynum || k[i].begin == 0 || (k[i].step != 1 && !only) || (end && k[i].begin != end + 1))
			continue;
		if (first == 0 || k[i].begin < first)
			first = k[i].begin;
		int to = k[i].last >= 0 ? k[i].begin + k[i].last : k[i].last;
		if (last >= 0 && (to < 0 || to > last))
			last = to;
		end = last;
		step = only ? k[i].step : 1;
	}
	reply_int(r, first);
	reply_int(r, last);
	reply_int(r, step);
}

static void reply_pair_int(struct reply *r, const char *key, int v)
{
	reply_cstr(r, key);
	reply_int(r, v);
}

static void reply_search(struct reply *r, const struct key_spec *k)
{
	bool known = k->keyword || k->begin;
	reply_map(r, 2);
	reply_cstr(r, "type");
	reply_cstr(r, k->keyword ? "keyword" : known ? "index" : "unknown");
	reply_cstr(r, "spec");
	reply_map(r, k->keyword ? 2 : known);
	if (k->keyword) {
		reply_cstr(r, "keyword");
		reply_cstr(r, k->keyword);
		reply_pair_int(r, "startfrom", k->begin);
	} else if (known) {
		reply_pair_int(r, "index", k->begin);
	}
}

static void reply_find(struct reply *r, const struct key_spec *k)
{
	bool known = k->keyword || k->begin;
	reply_map(r, 2);
	reply_cstr(r, "type");
	reply_cstr(r, k->keynum ? "keynum" : known ? "range" : "unknown");
	reply_cstr(r, "spec");
	reply_map(r, known ? 3 : 0);
	if (!known)
		return;
	reply_pair_int(r, k->keynum ? "keynumidx" : "lastkey", k->keynum ? k->keynum_index : k->last);
	if (k->keynum)
		reply_pair_int(r, "firstkey", k->first_key);
	reply_pair_int(r, "keystep", k->step);
	if (!k->keynum)
		reply_pair_int(r, "limit", k->limit);
}

static void reply_specs(struct reply *r, const struct command *cmd)
{
	size_t mark = reply_defer(r), n = 0;
	for (; n < COMMAND_SPECS && cmd->keys[n].flags; n++) {
		const struct key_spec *k = &cmd->keys[n];
		reply_map(r, k->notes ? 4 : 3);
		if (k->notes) {
			reply_cstr(r, "notes");
			reply_cstr(r, k->notes);
		}
		reply_cstr(r, "flags");
		reply_names(r, k->flags, command_key_flag_names, "");
		reply_cstr(r, "begin_search");
		reply_search(r, k);
		reply_cstr(r, "find_keys");
		reply_find(r, k);
	}
	reply_defer_end(r, mark, '~', n);
}

static void reply_tips(struct reply *r, const char *tips)
{
	size_t mark = reply_defer(r), n = 0;
	while (tips && *tips) {
		size_t len = strcspn(tips, " ");
		reply_bulk(r, tips, len);
		n++;
		tips += len + (tips[len] != 0);
	}
	reply_defer_end(r, mark, '~', n);
}

static void reply_info(struct reply *r, const struct command *cmd)
{
	size_t subs = 0;
	while (cmd->subs && cmd->subs[subs].name)
		subs++;
	reply_array(r, 10);
	reply_cstr(r, cmd->full_name);
	reply_int(r, cmd->arity);
	reply_names(r, cmd->flags, command_flag_names, "");
	reply_legacy_range(r, cmd);
	reply_names(r, cmd->acl_all, command_category_names, "@");
	reply_tips(r, cmd->tips);
	reply_specs(r, cmd);
	/* Redis answers a set where there are none and an array where there are some */
	if (subs)
		reply_array(r, subs);
	else
		reply_set(r, 0);
	for (size_t i = 0; i < subs; i++)
		reply_info(r, &cmd->subs[i]);
}

static void command_all(struct call *c)
{
	reply_array(c->reply, command_top_count());
	for (unsigned i = 0; i < command_top_count(); i++)
		reply_info(c->reply, command_at(i));
}

static void command_info(struct call *c)
{
	if (c->argc == 2) {
		command_all(c);
		return;
	}
	reply_array(c->reply, c->argc - 2);
	for (unsigned i = 2; i < c->argc; i++) {
		const struct command *cmd = named(&c->argv[i]);
		if (cmd)
			reply_info(c->reply, cmd);
		else
			reply_null(c->reply);
	}
}

/* ------------------------------------------------------------------ the others */

static void command_docs(struct call *c)
{
	if (c->argc == 2) {
		reply_map(c->reply, command_top_count());
		for (unsigned i = 0; i < command_top_count(); i++) {
			reply_cstr(c->reply, command_at(i)->full_name);
			command_docs_reply(c->reply, command_at(i));
		}
		return;
	}
	size_t mark = reply_defer(c->reply), n = 0;
	for (unsigned i = 2; i < c->argc; i++) {
		const struct command *cmd = named(&c->argv[i]);
		if (!cmd)
			continue;
		reply_cstr(c->reply, cmd->full_name);
		command_docs_reply(c->reply, cmd);
		n++;
	}
	reply_defer_end(c->reply, mark, '%', n);
}

static void command_number(struct call *c)
{
	reply_int(c->reply, command_top_count());
}

static bool has_keys(const struct command *cmd)
{
	bool any = cmd->find_keys != NULL;
	for (int i = 0; i < COMMAND_SPECS && cmd->keys[i].flags; i++)
		any = any || !(cmd->keys[i].flags & KEY_NOT_KEY);
	return any;
}

static void get_keys(struct call *c, bool with_flags)
{
	const struct arg *argv = c->argv + 2;
	unsigned argc = c->argc - 2;
	struct key_refs keys;
	const struct command *cmd = command_lookup(argv, argc, NULL);
	if (!cmd) {
		reply_error(c->reply, "ERR Invalid command specified");
		return;
	}
	if (!has_keys(cmd)) {
		reply_error(c->reply, "ERR The command has no key arguments");
		return;
	}
	if (!command_arity_ok(cmd, argc)) {
		reply_error(c->reply, "ERR Invalid number of arguments specified for command");
		return;
	}
	int err = command_keys(cmd, argv, argc, &keys);
	if (err == -ENOMEM) {
		reply_oom(c->reply);
	} else if (err < 0 && !(cmd->flags & CMD_NO_MANDATORY_KEYS)) {
		reply_error(c->reply, "ERR Invalid arguments specified for command");
	} else {
		reply_array(c->reply, keys.n);
		for (unsigned i = 0; i < keys.n; i++) {
			const struct arg *key = &argv[keys.v[i].arg];
			if (with_flags)
				reply_array(c->reply, 2);
			reply_bulk(c->reply, key->ptr, key->len);
			if (with_flags)
				reply_names(c->reply, keys.v[i].flags, command_key_flag_names, "");
		}
	}
	key_refs_clear(&keys);
}

static void command_getkeys(struct call *c)
{
	get_keys(c, false);
}

static void command_getkeysandflags(struct call *c)
{
	get_keys(c, true);
}

enum list_filter { LIST_MODULE, LIST_CATEGORY, LIST_PATTERN };

static bool passes(const struct command *cmd, enum list_filter filter, uint32_t category, const struct arg *pattern)
{
	switch (filter) {
	case LIST_CATEGORY:
		return cmd->acl_all & category;
	case LIST_PATTERN:
		return glob_match(pattern->ptr, pattern->len, cmd->full_name, strlen(cmd->full_name), true);
	case LIST_MODULE:
		break; /* there are none */
	}
	return false;
}

static void list_filtered(struct call *c, enum list_filter filter, const struct arg *value)
{
	uint32_t category = 0;
	for (unsigned i = 0; filter == LIST_CATEGORY && command_category_names[i]; i++)
		if (arg_is(value, command_category_names[i]))
			category = 1u << i;
	size_t mark = reply_defer(c->reply), n = 0;
	for (unsigned i = 0; i < command_top_count(); i++) {
		const struct command *cmd = command_at(i);
		if (passes(cmd, filter, category, value)) {
			reply_cstr(c->reply, cmd->full_name);
			n++;
		}
		for (const struct command *sub = cmd->subs; sub && sub->name; sub++)
			if (passes(sub, filter, category, value)) {
				reply_cstr(c->reply, sub->full_name);
				n++;
			}
	}
	reply_defer_end(c->reply, mark, '*', n);
}

static void command_list(struct call *c)
{
	if (c->argc == 2) {
		reply_set(c->reply, command_top_count());
		for (unsigned i = 0; i < command_top_count(); i++)
			reply_cstr(c->reply, command_at(i)->full_name);
	} else if (c->argc == 5 && arg_is(&c->argv[2], "filterby") && arg_is(&c->argv[3], "module")) {
		list_filtered(c, LIST_MODULE, &c->argv[4]);
	} else if (c->argc == 5 && arg_is(&c->argv[2], "filterby") && arg_is(&c->argv[3], "aclcat")) {
		list_filtered(c, LIST_CATEGORY, &c->argv[4]);
	} else if (c->argc == 5 && arg_is(&c->argv[2], "filterby") && arg_is(&c->argv[3], "pattern")) {
		list_filtered(c, LIST_PATTERN, &c->argv[4]);
	} else {
		reply_syntax_error(c->reply);
	}
}

static void command_help(struct call *c)
{
	static const char *const lines[] = {
		"(no subcommand)",
		"    Details of every command.",
		"COUNT",
		"    How many commands there are.",
		"LIST [FILTERBY <MODULE <name>|ACLCAT <category>|PATTERN <glob>>]",
		"    Names of all commands, or of those that pass the filter.",
		"INFO [<command-name> ...]",
		"    Details of the commands named, or of all.",
		"DOCS [<command-name> ...]",
		"    Documentation of the commands named, or of all.",
		"GETKEYS <full-command>",
		"    The keys among the arguments of a command.",
		"GETKEYSANDFLAGS <full-command>",
		"    The same, with what the command does to each key.",
		NULL,
	};
	call_help(c, lines);
}

static struct command command_subs[] = {
	{ .name = "count", .run = command_number, .class = EXEC_SERVICE, .arity = 2,
	  .flags = CMD_LOADING | CMD_STALE, .acl = ACL_CONNECTION,
	  .group = "server", .since = "2.8.13", .summary = "Counts the commands of this server.", .complexity = "O(1)" },
	{ .name = "docs", .run = command_docs, .class = EXEC_SERVICE, .arity = -2,
	  .flags = CMD_LOADING | CMD_STALE, .acl = ACL_CONNECTION,
	  .group = "server", .since = "7.0.0", .summary = "Answers documentation for all or for the given commands.",
	  .complexity = "O(N) in the number of commands to look up",
	  .args = "[command-name:string...]", .tips = "nondeterministic_output_order" },
	{ .name = "getkeys", .run = command_getkeys, .class = EXEC_SERVICE, .arity = -3,
	  .flags = CMD_LOADING | CMD_STALE, .acl = ACL_CONNECTION,
	  .group = "server", .since = "2.8.13", .summary = "Finds the keys among the arguments of a full command.",
	  .complexity = "O(N) in the arguments",
	  .args = "command:string [arg:string...]" },
	{ .name = "getkeysandflags", .run = command_getkeysandflags, .class = EXEC_SERVICE, .arity = -3,
	  .flags = CMD_LOADING | CMD_STALE, .acl = ACL_CONNECTION,
	  .group = "server", .since = "7.0.0",
	  .summary = "Finds the keys of a full command and what it does to each.",
	  .complexity = "O(N) in the arguments",
	  .args = "command:string [arg:string...]" },
	{ .name = "help", .run = command_help, .class = EXEC_LOCAL, .arity = 2,
	  .flags = CMD_LOADING | CMD_STALE, .acl = ACL_CONNECTION,
	  .group = "server", .since = "5.0.0", .summary = "Lists the subcommands.", .complexity = "O(1)" },
	{ .name = "info", .run = command_info, .class = EXEC_SERVICE, .arity = -2,
	  .flags = CMD_LOADING | CMD_STALE, .acl = ACL_CONNECTION,
	  .group = "server", .since = "2.8.13", .summary = "Answers the table rows of all or of the given commands.",
	  .complexity = "O(N) in the number of commands to look up", .args = "[command-name:string...]",
	  .history = "7.0.0 Without names it answers all commands.", .tips = "nondeterministic_output_order" },
	{ .name = "list", .run = command_list, .class = EXEC_SERVICE, .arity = -2,
	  .flags = CMD_LOADING | CMD_STALE, .acl = ACL_CONNECTION,
	  .group = "server", .since = "7.0.0", .summary = "Lists command names, all or filtered.",
	  .complexity = "O(N) in the number of commands",
	  .args = "[FILTERBY filterby:<MODULE module-name:string|ACLCAT category:string|PATTERN pattern:pattern>]",
	  .tips = "nondeterministic_output_order" },
	{ 0 },
};

struct command command_commands[] = {
	{ .name = "command", .run = command_all, .class = EXEC_SERVICE, .arity = -1,
	  .flags = CMD_LOADING | CMD_STALE, .acl = ACL_CONNECTION, .subs = command_subs,
	  .group = "server", .since = "2.8.13", .summary = "Answers the table rows of all commands.",
	  .complexity = "O(N) in the number of commands", .tips = "nondeterministic_output_order" },
	{ 0 },
};
