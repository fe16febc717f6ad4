/* client: CLIENT: what connections are told about themselves and each other, and what can be done to them. */
#include <stdio.h>
#include <stdlib.h>

#include "server/acl.h"
#include "server/block.h"
#include "server/call.h"
#include "server/client.h"
#include "server/commands/groups.h"
#include "server/commands/session.h"

static int shown(const struct arg *a)
{
	return (int)(a->len < 128 ? a->len : 128);
}

/* ------------------------------------------------------------------ the calling client */

static void client_getname(struct call *c)
{
	if (c->client->extra && c->client->extra->name)
		reply_cstr(c->reply, c->client->extra->name);
	else
		reply_null(c->reply);
}

static void client_setname(struct call *c)
{
	if (session_set_name(c, &c->argv[2]))
		reply_ok(c->reply);
}

static void client_setinfo(struct call *c)
{
	const struct arg *attr = &c->argv[2], *value = &c->argv[3];
	bool name = arg_is(attr, "lib-name");
	if (!name && !arg_is(attr, "lib-ver")) {
		reply_errorf(c->reply, "ERR Unrecognized option '%.*s'", shown(attr), attr->ptr);
		return;
	}
	if (!session_word_ok(value)) {
		reply_errorf(c->reply, "ERR %.*s cannot contain spaces, newlines or special characters.", shown(attr), attr->ptr);
		return;
	}
	struct client_extra *x = client_extra(c->client);
	if (x && session_set_text(name ? &x->lib_name : &x->lib_ver, value))
		reply_ok(c->reply);
	else
		reply_oom(c->reply);
}

static void client_id(struct call *c)
{
	reply_int(c->reply, (int64_t)c->client->id);
}

/* ON or OFF in argv[2]; anything else is a syntax error. */
static bool on_or_off(struct call *c, bool *on)
{
	*on = arg_is(&c->argv[2], "on");
	if (*on || arg_is(&c->argv[2], "off"))
		return true;
	reply_syntax_error(c->reply);
	return false;
}

static void set_flag(struct call *c, uint32_t flag)
{
	bool on;
	if (!on_or_off(c, &on))
		return;
	c->client->flags = on ? c->client->flags | flag : c->client->flags & ~flag;
	reply_ok(c->reply);
}

static void client_no_evict(struct call *c)
{
	set_flag(c, CLIENT_NO_EVICT);
}

static void client_no_touch(struct call *c)
{
	set_flag(c, CLIENT_NO_TOUCH);
}

static void client_reply(struct call *c)
{
	const struct arg *mode = &c->argv[2];
	uint32_t *flags = &c->client->flags;
	if (arg_is(mode, "on")) {
		*flags &= ~(uint32_t)(CLIENT_REPLY_OFF | CLIENT_REPLY_SKIP);
		reply_ok(c->reply);
	} else if (arg_is(mode, "off")) {
		*flags |= CLIENT_REPLY_OFF;
	} else if (arg_is(mode, "skip")) {
		if (!(*flags & CLIENT_REPLY_OFF))
			*flags |= CLIENT_REPLY_SKIP_NEXT;
	} else {
		reply_syntax_error(c->reply);
	}
}

/* ------------------------------------------------------------------ INFO and LIST */

struct lines {
	char *buf;
	size_t len, cap;
};

static bool add_line(struct lines *l, const struct client *cl, int64_t now_ms)
{
	for (;;) {
		size_t room = l->cap - l->len;
		int n = client_describe(cl, now_ms, l->buf ? l->buf + l->len : NULL, room);
		if ((size_t)n + 1 < room) {
			l->len += (size_t)n;
			l->buf[l->len++] = '\n';
			return true;
		}
		size_t cap = l->cap * 2 + (size_t)n + 4096;
		char *buf = realloc(l->buf, cap);
		if (!buf)
			return false;
		l->buf = buf;
		l->cap = cap;
	}
}

static void reply_lines(struct call *c, struct lines *l, bool complete)
{
	if (complete)
		reply_verbatim(c->reply, "txt", l->buf ? l->buf : "", l->len);
	else
		reply_oom(c->reply);
	free(l->buf);
}

/* The only command whose arguments anybody can see is the one that looks. */
static void note_arguments(struct call *c)
{
	size_t sum = 0;
	for (unsigned i = 0; i < c->argc; i++)
		sum += c->argv[i].len;
	c->client->argv_bytes = (uint32_t)sum;
}

static void client_info(struct call *c)
{
	struct lines l = { 0 };
	note_arguments(c);
	reply_lines(c, &l, add_line(&l, c->client, c->op.now_ms));
	c->client->argv_bytes = 0;
}

enum client_type { TYPE_ANY, TYPE_NORMAL, TYPE_PRIMARY, TYPE_REPLICA, TYPE_PUBSUB };

/* TYPE_ANY: unknown, and said so. */
static enum client_type parse_type(struct call *c, const struct arg *a)
{
	if (arg_is(a, "normal"))
		return TYPE_NORMAL;
	if (arg_is(a, "master"))
		return TYPE_PRIMARY;
	if (arg_is(a, "replica") || arg_is(a, "slave"))
		return TYPE_REPLICA;
	if (arg_is(a, "pubsub"))
		return TYPE_PUBSUB;
	reply_errorf(c->reply, "ERR Unknown client type '%.*s'", shown(a), a->ptr);
	return TYPE_ANY;
}

static enum client_type type_of(const struct client *cl)
{
	if (cl->flags & CLIENT_PRIMARY)
		return TYPE_PRIMARY;
	if (cl->flags & CLIENT_REPLICA && !(cl->flags & CLIENT_MONITOR))
		return TYPE_REPLICA;
	return cl->flags & CLIENT_PUBSUB ? TYPE_PUBSUB : TYPE_NORMAL;
}

static void list_ids(struct call *c)
{
	struct lines l = { 0 };
	int64_t id;
	for (unsigned i = 3; i < c->argc; i++)
		if (!call_int_range(c, i, INT64_MIN, INT64_MAX, &id, "ERR Invalid client ID"))
			return;
	bool ok = true;
	for (unsigned i = 3; ok && i < c->argc; i++) {
		call_int(c, i, &id);
		struct client *cl = client_by_id((uint64_t)id);
		ok = !cl || add_line(&l, cl, c->op.now_ms);
	}
	reply_lines(c, &l, ok);
}

static void client_list(struct call *c)
{
	enum client_type type = TYPE_ANY;
	if (c->argc > 3 && arg_is(&c->argv[2], "id")) {
		list_ids(c);
		return;
	}
	if (c->argc == 4 && arg_is(&c->argv[2], "type")) {
		type = parse_type(c, &c->argv[3]);
		if (type == TYPE_ANY)
			return;
	} else if (c->argc > 2) {
		reply_syntax_error(c->reply);
		return;
	}
	struct lines l = { 0 };
	bool ok = true;
	note_arguments(c);
	for (struct client *cl = client_next(NULL); ok && cl; cl = client_next(cl))
		if (type == TYPE_ANY || type_of(cl) == type)
			ok = add_line(&l, cl, c->op.now_ms);
	c->client->argv_bytes = 0;
	reply_lines(c, &l, ok);
}

/* ------------------------------------------------------------------ KILL */

struct kill_filter {
	int64_t id; /* 0: any */
	enum client_type type;
	const struct arg *addr, *laddr;
	const struct acl_user *user;
	bool skip_me;
};

static bool text_is(const char *text, const struct arg *a)
{
	return strlen(text) == a->len && memcmp(text, a->ptr, a->len) == 0;
}

static bool address_is(const struct client *cl, const struct arg *want, int (*get)(const struct client *, char *, size_t))
{
	char buf[160];
	get(cl, buf, sizeof buf);
	return text_is(buf, want);
}

static bool filter_fits(const struct call *c, const struct kill_filter *f, const struct client *cl)
{
	if (f->skip_me && cl == c->client)
		return false;
	if (f->id && cl->id != (uint64_t)f->id)
		return false;
	if (f->type != TYPE_ANY && type_of(cl) != f->type)
		return false;
	if (f->user && cl->user != f->user)
		return false;
	return (!f->addr || address_is(cl, f->addr, client_peer)) && (!f->laddr || address_is(cl, f->laddr, client_local));
}

/* One option with its value at argv[i]; false: the error was replied. */
static bool parse_option(struct call *c, unsigned i, struct kill_filter *f)
{
	const struct arg *option = &c->argv[i], *value = &c->argv[i + 1];
	if (i + 1 >= c->argc) {
		reply_syntax_error(c->reply);
		return false;
	}
	if (arg_is(option, "id"))
		return call_int_range(c, i + 1, 1, INT64_MAX, &f->id, "ERR client-id should be greater than 0");
	if (arg_is(option, "type")) {
		f->type = parse_type(c, value);
		return f->type != TYPE_ANY;
	}
	if (arg_is(option, "addr")) {
		f->addr = value;
	} else if (arg_is(option, "laddr")) {
		f->laddr = value;
	} else if (arg_is(option, "user")) {
		f->user = acl_find(value->ptr, value->len);
		if (!f->user) {
			reply_errorf(c->reply, "ERR No such user '%.*s'", shown(value), value->ptr);
			return false;
		}
	} else if (arg_is(option, "skipme") && (arg_is(value, "yes") || arg_is(value, "no"))) {
		f->skip_me = arg_is(value, "yes");
	} else {
		reply_syntax_error(c->reply);
		return false;
	}
	return true;
}

static void client_kill_command(struct call *c)
{
	struct kill_filter f = { .skip_me = true };
	if (c->argc == 3) {
		f.skip_me = false;
		f.addr = &c->argv[2];
	}
	for (unsigned i = 2; c->argc > 3 && i < c->argc; i += 2)
		if (!parse_option(c, i, &f))
			return;
	int64_t killed = 0;
	for (struct client *cl = client_next(NULL), *next; cl; cl = next) {
		next = client_next(cl);
		if (cl->flags & CLIENT_CLOSE_ASAP || !filter_fits(c, &f, cl))
			continue;
		if (cl == c->client)
			cl->flags |= CLIENT_CLOSE_AFTER_REPLY; /* it is to see the answer */
		else
			client_kill(cl);
		killed++;
	}
	if (c->argc > 3)
		reply_int(c->reply, killed);
	else if (killed)
		reply_ok(c->reply);
	else
		reply_error(c->reply, "ERR No such client");
}

/* ------------------------------------------------------------------ PAUSE, HELP */

static void client_pause(struct call *c)
{
	int64_t ms, until;
	bool writes = false;
	if (c->argc > 3) {
		writes = arg_is(&c->argv[3], "write");
		if (!writes && !arg_is(&c->argv[3], "all")) {
			reply_error(c->reply, "ERR CLIENT PAUSE mode must be WRITE or ALL");
			return;
		}
	}
	if (!call_int_range(c, 2, INT64_MIN, INT64_MAX, &ms, "ERR timeout is not an integer or out of range"))
		return;
	if (ms < 0) {
		reply_error(c->reply, "ERR timeout is negative");
	} else if (__builtin_add_overflow(c->op.now_ms, ms, &until)) {
		reply_error(c->reply, "ERR timeout is out of range");
	} else {
		client_pause_all(until, writes);
		reply_ok(c->reply);
	}
}

static void client_unpause(struct call *c)
{
	client_unpause_all();
	reply_ok(c->reply);
}

static void client_unblock(struct call *c)
{
	int64_t id;
	bool error = c->argc == 4 && arg_is(&c->argv[3], "error");
	if (c->argc > 4) {
		reply_syntax_error(c->reply);
		return;
	}
	if (c->argc == 4 && !error && !arg_is(&c->argv[3], "timeout")) {
		reply_error(c->reply, "ERR CLIENT UNBLOCK reason should be TIMEOUT or ERROR");
		return;
	}
	if (!call_int(c, 2, &id))
		return;
	struct client *cl = client_by_id((uint64_t)id);
	reply_int(c->reply, cl && block_end(cl, error));
}

static void client_help(struct call *c)
{
	static const char *const lines[] = {
		"GETNAME",
		"    The name of this connection.",
		"ID",
		"    The number of this connection.",
		"INFO",
		"    What is known about this connection.",
		"KILL <ip:port>",
		"    Close the connection from this address.",
		"KILL <option> <value> [<option> <value> ...]",
		"    Close the connections that fit all of: ADDR <ip:port>, LADDR <ip:port>, ID <client-id>,",
		"    TYPE <NORMAL|MASTER|REPLICA|PUBSUB>, USER <name>; this one is spared unless SKIPME NO.",
		"LIST [TYPE <NORMAL|MASTER|REPLICA|PUBSUB>|ID <client-id> ...]",
		"    What is known about all connections, or some.",
		"NO-EVICT <ON|OFF>",
		"    Whether this connection is spared when clients take too much memory.",
		"NO-TOUCH <ON|OFF>",
		"    Whether this connection's reads leave idle times and frequencies as they are.",
		"PAUSE <timeout> [WRITE|ALL]",
		"    Hold back commands, or only writes, for so many milliseconds.",
		"REPLY <ON|OFF|SKIP>",
		"    Whether this connection gets replies; SKIP drops the next one.",
		"SETINFO <LIB-NAME|LIB-VER> <text>",
		"    Say which client library is in use.",
		"SETNAME <name>",
		"    Name this connection.",
		"UNBLOCK <client-id> [TIMEOUT|ERROR]",
		"    Let a connection that waits go on, as if its time were over, or with an error.",
		"UNPAUSE",
		"    End a PAUSE early.",
		NULL,
	};
	call_help(c, lines);
}

#define SESSION_FLAGS (CMD_NOSCRIPT | CMD_LOADING | CMD_STALE)
#define ADMIN_FLAGS (CMD_ADMIN | CMD_NOSCRIPT | CMD_LOADING | CMD_STALE)
#define CLIENT_ROW(n, fn, cls, ar, fl, ...) \
	{ .name = n, .run = fn, .class = cls, .arity = ar, .flags = fl, .acl = ACL_CONNECTION, .group = "connection", \
	  __VA_ARGS__ }

static struct command client_subs[] = {
	CLIENT_ROW("caching", client_caching, EXEC_LOCAL, 3, SESSION_FLAGS, .since = "6.0.0",
	           .summary = "Says whether the keys of the next command are to be tracked.", .complexity = "O(1)",
	           .args = "mode:<yes:YES|no:NO>"),
	CLIENT_ROW("getname", client_getname, EXEC_LOCAL, 2, SESSION_FLAGS, .since = "2.6.9",
	           .summary = "Answers the connection's name.", .complexity = "O(1)"),
	CLIENT_ROW("getredir", client_getredir, EXEC_LOCAL, 2, SESSION_FLAGS, .since = "6.0.0",
	           .summary = "Answers which client gets the connection's invalidation messages.", .complexity = "O(1)"),
	CLIENT_ROW("help", client_help, EXEC_LOCAL, 2, CMD_LOADING | CMD_STALE, .since = "5.0.0",
	           .summary = "Lists the subcommands.", .complexity = "O(1)"),
	CLIENT_ROW("id", client_id, EXEC_LOCAL, 2, SESSION_FLAGS, .since = "5.0.0",
	           .summary = "Answers the connection's number, which is never used again.", .complexity = "O(1)"),
	CLIENT_ROW("info", client_info, EXEC_LOCAL, 2, SESSION_FLAGS, .since = "6.2.0",
	           .summary = "Tells what is known about the connection.", .complexity = "O(1)",
	           .tips = "nondeterministic_output"),
	CLIENT_ROW("kill", client_kill_command, EXEC_ALONE, -3, ADMIN_FLAGS, .since = "2.4.0",
	           .summary = "Closes connections.", .complexity = "O(N) in the number of client connections",
	           .args = "filter:<old-format:string(ip:port)^2.8.12|new-format:<[ID client-id:integer@2.8.12]|"
	                   "[TYPE client-type:<normal:NORMAL|master:MASTER@3.2.0|slave:SLAVE|replica:REPLICA@5.0.0|"
	                   "pubsub:PUBSUB>@2.8.12]|[USER username:string]|[ADDR addr:string(ip:port)]|"
	                   "[LADDR laddr:string(ip:port)@6.2.0]|[SKIPME skipme:<yes:YES|no:NO>]>...>",
	           .history = "2.8.12 Filters by option.\n2.8.12 Option ID.\n3.2.0 TYPE master.\n"
	                      "5.0.0 TYPE replica; slave goes on working.\n6.2.0 Option LADDR."),
	CLIENT_ROW("list", client_list, EXEC_ALONE, -2, ADMIN_FLAGS, .since = "2.4.0", .summary = "Lists the connections.",
	           .complexity = "O(N) in the number of client connections",
	           .args = "[TYPE client-type:<normal:NORMAL|master:MASTER|replica:REPLICA|pubsub:PUBSUB>@5.0.0] "
	                   "[ID client-id:integer@6.2.0...]",
	           .history = "2.8.12 Field id.\n5.0.0 Filter TYPE.\n6.0.0 Field user.\n"
	                      "6.2.0 Fields argv-mem, tot-mem, laddr, redir; filter ID.\n"
	                      "7.0.0 Fields resp, multi-mem, rbs, rbp.\n7.0.3 Field ssub.",
	           .tips = "nondeterministic_output"),
	CLIENT_ROW("no-evict", client_no_evict, EXEC_LOCAL, 3, ADMIN_FLAGS, .since = "7.0.0",
	           .summary = "Spares the connection when clients take too much memory.", .complexity = "O(1)",
	           .args = "enabled:<on:ON|off:OFF>"),
	CLIENT_ROW("no-touch", client_no_touch, EXEC_LOCAL, 3, SESSION_FLAGS, .since = "7.2.0",
	           .summary = "Lets the connection read without changing idle times and frequencies.", .complexity = "O(1)",
	           .args = "enabled:<on:ON|off:OFF>"),
	CLIENT_ROW("pause", client_pause, EXEC_ALONE, -3, ADMIN_FLAGS, .since = "3.0.0",
	           .summary = "Holds back the commands of all clients for a while.", .complexity = "O(1)",
	           .args = "timeout:integer [mode:<write:WRITE|all:ALL>@6.2.0]", .history = "6.2.0 Modes WRITE and ALL."),
	CLIENT_ROW("reply", client_reply, EXEC_LOCAL, 3, SESSION_FLAGS, .since = "3.2.0",
	           .summary = "Switches the replies of the connection off and on.", .complexity = "O(1)",
	           .args = "action:<on:ON|off:OFF|skip:SKIP>"),
	CLIENT_ROW("setinfo", client_setinfo, EXEC_LOCAL, 4, SESSION_FLAGS, .since = "7.2.0",
	           .summary = "Says which client library is in use.", .complexity = "O(1)",
	           .args = "attr:<LIB-NAME libname:string|LIB-VER libver:string>",
	           .tips = "request_policy:all_nodes response_policy:all_succeeded"),
	CLIENT_ROW("setname", client_setname, EXEC_LOCAL, 3, SESSION_FLAGS, .since = "2.6.9",
	           .summary = "Names the connection.", .complexity = "O(1)", .args = "connection-name:string",
	           .tips = "request_policy:all_nodes response_policy:all_succeeded"),
	CLIENT_ROW("tracking", client_tracking, EXEC_ALONE, -3, SESSION_FLAGS, .since = "6.0.0",
	           .summary = "Switches messages about changes of the keys that the connection has read on or off.",
	           .complexity = "O(1)",
	           .args = "status:<on:ON|off:OFF> [REDIRECT client-id:integer] [PREFIX prefix:string...+] [bcast:BCAST] "
	                   "[optin:OPTIN] [optout:OPTOUT] [noloop:NOLOOP]"),
	CLIENT_ROW("trackinginfo", client_trackinginfo, EXEC_LOCAL, 2, SESSION_FLAGS, .since = "6.2.0",
	           .summary = "Tells how the connection tracks keys.", .complexity = "O(1)"),
	CLIENT_ROW("unblock", client_unblock, EXEC_ALONE, -3, ADMIN_FLAGS, .since = "5.0.0",
	           .summary = "Lets a connection that waits go on, with nothing or with an error.",
	           .complexity = "O(N) in the connections",
	           .args = "client-id:integer [unblock-type:<timeout:TIMEOUT|error:ERROR>]"),
	CLIENT_ROW("unpause", client_unpause, EXEC_ALONE, 2, ADMIN_FLAGS, .since = "6.2.0",
	           .summary = "Lets held back commands go on.", .complexity = "O(N) Where N is the number of paused clients"),
	{ 0 },
};

struct command client_commands[] = {
	{ .name = "client", .arity = -2, .flags = CMD_CONTAINER, .subs = client_subs, .group = "connection", .since = "2.4.0",
	  .summary = "Commands about connections.", .complexity = "Depends on subcommand." },
	{ 0 },
};
