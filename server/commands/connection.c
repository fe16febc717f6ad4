/* connection: the session of one client: who it is, which protocol and database it uses; PING and ECHO. */
#include <limits.h>
#include <stdlib.h>

#include "server/acl.h"
#include "server/call.h"
#include "server/client.h"
#include "server/commands/groups.h"
#include "server/commands/session.h"
#include "server/config.h"
#include "server/server.h"

static void ping(struct call *c)
{
	if (c->argc > 2) {
		call_wrong_arity(c);
	} else if ((c->client->flags & CLIENT_PUBSUB) && c->client->resp == 2) {
		reply_array(c->reply, 2); /* among messages, an answer looks like one */
		reply_cstr(c->reply, "pong");
		reply_bulk(c->reply, c->argc == 2 ? c->argv[1].ptr : "", c->argc == 2 ? c->argv[1].len : 0);
	} else if (c->argc == 2)
		reply_bulk(c->reply, c->argv[1].ptr, c->argv[1].len);
	else
		reply_status(c->reply, "PONG");
}

static void echo(struct call *c)
{
	reply_bulk(c->reply, c->argv[1].ptr, c->argv[1].len);
}

static void select_db(struct call *c)
{
	int64_t id;
	if (!call_int_range(c, 1, INT64_MIN, INT64_MAX, &id, NULL))
		return;
	if (id < INT_MIN || id > INT_MAX) {
		reply_errorf(c->reply, "ERR value is out of range, value must between %d and %d", INT_MIN, INT_MAX);
		return;
	}
	if (id < 0 || id >= config()->databases) {
		reply_error(c->reply, "ERR DB index is out of range");
		return;
	}
	c->client->db = (uint16_t)id;
	c->op.db = (unsigned)id;
	reply_ok(c->reply);
}

/* ------------------------------------------------------------------ who it is */

static const char wrong_password[] = "WRONGPASS invalid username-password pair or user is disabled.";

static void auth(struct call *c)
{
	static const struct arg default_user = { "default", 7 };
	if (c->argc > 3) {
		reply_syntax_error(c->reply);
		return;
	}
	if (c->argc == 2 && acl_default()->flags & ACL_USER_NOPASS) {
		reply_error(c->reply, "ERR AUTH <password> called without any password configured for the default user. "
		                      "Are you sure your configuration is correct?");
		return;
	}
	if (acl_login(c->client, c->argc == 3 ? &c->argv[1] : &default_user, &c->argv[c->argc - 1], &c->argv[0]))
		reply_ok(c->reply);
	else
		reply_error(c->reply, wrong_password);
}

bool session_word_ok(const struct arg *a)
{
	for (size_t i = 0; i < a->len; i++)
		if (a->ptr[i] < '!' || a->ptr[i] > '~')
			return false;
	return true;
}

bool session_set_text(char **field, const struct arg *a)
{
	char *copy = NULL;
	if (a->len > 0) {
		copy = malloc(a->len + 1);
		if (!copy)
			return false;
		memcpy(copy, a->ptr, a->len);
		copy[a->len] = 0;
	}
	free(*field);
	*field = copy;
	return true;
}

/* A name that may be set, or the reason why not is written. */
static bool name_ok(struct call *c, const struct arg *name)
{
	if (session_word_ok(name))
		return true;
	reply_error(c->reply, "ERR Client names cannot contain spaces, newlines or special characters.");
	return false;
}

bool session_set_name(struct call *c, const struct arg *name)
{
	if (!name_ok(c, name))
		return false;
	if (name->len == 0 && !c->client->extra)
		return true;
	struct client_extra *x = client_extra(c->client);
	if (x && session_set_text(&x->name, name))
		return true;
	reply_oom(c->reply);
	return false;
}

struct hello {
	int64_t version; /* 0: unchanged */
	const struct arg *user, *password, *name;
};

static bool parse_hello(struct call *c, struct hello *h)
{
	*h = (struct hello){ 0 };
	if (c->argc > 1) {
		if (!call_int_range(c, 1, INT64_MIN, INT64_MAX, &h->version,
		                    "ERR Protocol version is not an integer or out of range"))
			return false;
		if (h->version < 2 || h->version > 3) {
			reply_error(c->reply, "NOPROTO unsupported protocol version");
			return false;
		}
	}
	for (unsigned i = 2; i < c->argc; i++) {
		const struct arg *a = &c->argv[i];
		if (arg_is(a, "auth") && i + 2 < c->argc) {
			h->user = &c->argv[++i];
			h->password = &c->argv[++i];
		} else if (arg_is(a, "setname") && i + 1 < c->argc) {
			h->name = &c->argv[++i];
			if (!name_ok(c, h->name))
				return false;
		} else {
			int shown = (int)(a->len < 128 ? a->len : 128);
			reply_errorf(c->reply, "ERR Syntax error in HELLO option '%.*s'", shown, a->ptr);
			return false;
		}
	}
	return true;
}

static void hello(struct call *c)
{
	struct hello h;
	if (!parse_hello(c, &h))
		return;
	if (h.user && !acl_login(c->client, h.user, h.password, &c->argv[0])) {
		reply_error(c->reply, wrong_password);
		return;
	}
	if (!(c->client->flags & CLIENT_AUTHENTICATED)) {
		reply_error(c->reply, "NOAUTH HELLO must be called with the client already authenticated, otherwise the HELLO "
		                      "<proto> AUTH <user> <pass> option can be used to authenticate the client and select the "
		                      "RESP protocol version at the same time");
		return;
	}
	if (h.name && !session_set_name(c, h.name))
		return;
	if (h.version)
		c->client->resp = c->reply->resp = (uint8_t)h.version;
	reply_map(c->reply, 7);
	reply_cstr(c->reply, "server");
	reply_cstr(c->reply, "redis");
	reply_cstr(c->reply, "version");
	reply_cstr(c->reply, SERVER_REDIS_VERSION);
	reply_cstr(c->reply, "proto");
	reply_int(c->reply, c->client->resp);
	reply_cstr(c->reply, "id");
	reply_int(c->reply, (int64_t)c->client->id);
	reply_cstr(c->reply, "mode");
	reply_cstr(c->reply, "standalone");
	reply_cstr(c->reply, "role");
	reply_cstr(c->reply, "master");
	reply_cstr(c->reply, "modules");
	reply_array(c->reply, 0);
}

static void quit(struct call *c)
{
	reply_ok(c->reply);
	c->client->flags |= CLIENT_CLOSE_AFTER_REPLY;
}

static void reset(struct call *c)
{
	client_reset(c->client);
	c->reply->resp = c->client->resp;
	c->op.db = c->client->db;
	reply_status(c->reply, "RESET");
}

struct command connection_commands[] = {
	{ .name = "auth", .run = auth, .class = EXEC_LOCAL, .arity = -2,
	  .flags = CMD_NOSCRIPT | CMD_LOADING | CMD_STALE | CMD_FAST | CMD_NO_AUTH | CMD_ALLOW_BUSY | CMD_STOPS_PARSING,
	  .acl = ACL_CONNECTION, .group = "connection", .since = "1.0.0", .summary = "Tells the server who the client is.",
	  .complexity = "O(N) in the passwords of the user",
	  .args = "[username:string@6.0.0] password:string", .history = "6.0.0 A user may be named: ACL." },
	{ .name = "echo", .run = echo, .class = EXEC_LOCAL, .arity = 2,
	  .flags = CMD_LOADING | CMD_STALE | CMD_FAST, .acl = ACL_CONNECTION,
	  .group = "connection", .since = "1.0.0", .summary = "Answers its argument.", .complexity = "O(1)",
	  .args = "message:string" },
	{ .name = "hello", .run = hello, .class = EXEC_LOCAL, .arity = -1,
	  .flags = CMD_NOSCRIPT | CMD_LOADING | CMD_STALE | CMD_FAST | CMD_NO_AUTH | CMD_ALLOW_BUSY | CMD_STOPS_PARSING,
	  .acl = ACL_CONNECTION, .group = "connection", .since = "6.0.0",
	  .summary = "Chooses the protocol, and may authenticate and name the connection at once.", .complexity = "O(1)",
	  .args = "[arguments:{protover:integer [AUTH auth:{username:string password:string}] "
	          "[SETNAME clientname:string]}]",
	  .history = "6.2.0 Without arguments it answers about the connection as it is." },
	{ .name = "ping", .run = ping, .class = EXEC_LOCAL, .arity = -1, .flags = CMD_FAST, .acl = ACL_CONNECTION,
	  .group = "connection", .since = "1.0.0", .summary = "Tells that the server answers.", .complexity = "O(1)",
	  .args = "[message:string]", .tips = "request_policy:all_shards response_policy:all_succeeded" },
	{ .name = "quit", .run = quit, .class = EXEC_LOCAL, .arity = -1,
	  .flags = CMD_NOSCRIPT | CMD_LOADING | CMD_STALE | CMD_FAST | CMD_NO_AUTH | CMD_ALLOW_BUSY | CMD_STOPS_PARSING |
	           CMD_RUNS_IN_MULTI,
	  .acl = ACL_CONNECTION, .group = "connection", .since = "1.0.0", .summary = "Ends the connection.",
	  .complexity = "O(1)", .deprecated = "7.2.0 just closing the connection" },
	{ .name = "reset", .run = reset, .class = EXEC_LOCAL, .arity = 1,
	  .flags = CMD_NOSCRIPT | CMD_LOADING | CMD_STALE | CMD_FAST | CMD_NO_AUTH | CMD_ALLOW_BUSY | CMD_STOPS_PARSING |
	           CMD_RUNS_IN_MULTI,
	  .acl = ACL_CONNECTION, .group = "connection", .since = "6.2.0",
	  .summary = "Puts the connection back into the state it began with.", .complexity = "O(1)" },
	{ .name = "select", .run = select_db, .class = EXEC_LOCAL, .arity = 2, .flags = CMD_LOADING | CMD_STALE | CMD_FAST,
	  .acl = ACL_CONNECTION, .group = "connection", .since = "1.0.0", .summary = "Chooses the connection's database.",
	  .complexity = "O(1)", .args = "index:integer" },
	{ 0 },
};
