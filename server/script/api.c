/* api: the table `redis` that scripts see, but for the calls themselves (call.c). */
#include <stdio.h>
#include <string.h>

#include "server/acl.h"
#include "server/client.h"
#include "server/log.h"
#include "server/script/script.h"
#include "server/script/vm.h"

#define SHOWN_VERSION "7.2.4" /* the version whose commands these are */
#define SHOWN_VERSION_NUM 0x00070204

enum { REPL_NONE = 0, REPL_AOF = 1, REPL_REPLICA = 2, REPL_ALL = 3 };

void api_push_error(lua_State *L, const char *text, size_t len)
{
	lua_createtable(L, 0, 2);
	lua_pushlstring(L, text, len);
	lua_setfield(L, -2, "err");
	lua_pushboolean(L, 1);
	lua_setfield(L, -2, "ignore_error_stats_update"); /* scripts see it in Redis, too */
}

int api_raise(lua_State *L, const char *text)
{
	lua_createtable(L, 0, 3);
	lua_pushstring(L, text);
	lua_setfield(L, -2, "err");
	return lua_error(L);
}

int api_error_handler(lua_State *L)
{
	lua_Debug ar;
	bool where = lua_getstack(L, 1, &ar) && lua_getinfo(L, "Sl", &ar);
	if (where && *ar.what == 'C')
		where = lua_getstack(L, 2, &ar) && lua_getinfo(L, "Sl", &ar) && *ar.what != 'C';
	if (!lua_istable(L, 1)) {
		const char *text = lua_isnil(L, 1)       ? "nil"
		                   : lua_isboolean(L, 1) ? (lua_toboolean(L, 1) ? "true" : "false")
		                                         : lua_tostring(L, 1);
		lua_createtable(L, 0, 3);
		lua_pushfstring(L, "ERR %s", text ? text : "error object of another type");
		lua_setfield(L, -2, "err");
		lua_replace(L, 1);
	}
	lua_settop(L, 1);
	if (where) {
		lua_pushstring(L, ar.source);
		lua_setfield(L, 1, "source");
		lua_pushinteger(L, ar.currentline);
		lua_setfield(L, 1, "line");
	}
	return 1;
}

static int redis_call(lua_State *L)
{
	return call_command(L, true);
}

static int redis_pcall(lua_State *L)
{
	return call_command(L, false);
}

/* One string becomes a table with one field; anything else an error (a value, not raised). */
static int single_field(lua_State *L, const char *name)
{
	lua_createtable(L, 0, 1);
	if (lua_gettop(L) != 2 || lua_type(L, 1) != LUA_TSTRING) {
		lua_pushliteral(L, "ERR wrong number or type of arguments");
		lua_setfield(L, -2, "err");
		return 1;
	}
	lua_pushvalue(L, 1);
	lua_setfield(L, -2, name);
	return 1;
}

static int redis_status_reply(lua_State *L)
{
	return single_field(L, "ok");
}

/* Code and message, the message without line ends around it. */
static void push_error_text(lua_State *L, const char *text)
{
	const char *space = strchr(text, ' '), *from = space ? space + 1 : text, *end = text + strlen(text);
	while (end > from && strchr("\r\n", end[-1]))
		end--;
	while (from < end && strchr("\r\n", *from))
		from++;
	if (space)
		lua_pushlstring(L, text, (size_t)(space - text));
	else
		lua_pushliteral(L, "ERR"); /* a text without a code */
	lua_pushliteral(L, " ");
	lua_pushlstring(L, from, (size_t)(end - from));
	lua_concat(L, 3);
}

static int redis_error_reply(lua_State *L)
{
	if (lua_gettop(L) == 1 && lua_type(L, 1) == LUA_TSTRING) {
		const char *text = lua_tostring(L, 1);
		push_error_text(L, text + (*text == '-'));
		lua_replace(L, 1);
	}
	return single_field(L, "err");
}

static int redis_sha1hex(lua_State *L)
{
	char sha[SCRIPT_SHA + 1];
	size_t len;
	if (lua_gettop(L) != 1)
		return api_raise(L, "ERR wrong number of arguments");
	const char *text = lua_tolstring(L, 1, &len);
	script_sha(text ? text : "", text ? len : 0, sha);
	lua_pushstring(L, sha);
	return 1;
}

static int redis_log(lua_State *L)
{
	int n = lua_gettop(L);
	if (n < 2)
		return api_raise(L, "ERR redis.log() requires two arguments or more.");
	if (!lua_isnumber(L, 1))
		return api_raise(L, "ERR First argument must be a number (log level).");
	int level = (int)lua_tointeger(L, 1);
	if (level < LOG_LEVEL_DEBUG || level > LOG_LEVEL_WARNING)
		return api_raise(L, "ERR Invalid debug level.");
	luaL_Buffer b;
	luaL_buffinit(L, &b);
	for (int i = 2; i <= n; i++) {
		size_t len;
		const char *s = lua_tolstring(L, i, &len);
		if (i > 2)
			luaL_addchar(&b, ' ');
		if (s)
			luaL_addlstring(&b, s, len);
	}
	luaL_pushresult(&b);
	log_write((enum log_level)level, "%s", lua_tostring(L, -1));
	return 0;
}

static int redis_setresp(lua_State *L)
{
	if (lua_gettop(L) != 1)
		return api_raise(L, "ERR redis.setresp() requires one argument.");
	lua_Number v = lua_tonumber(L, 1);
	int resp = v >= 2 && v < 4 ? (int)v : 0;
	if (!resp)
		return api_raise(L, "ERR RESP version must be 2 or 3.");
	if (run_current)
		run_current->vm->client->resp = (uint8_t)resp;
	return 0;
}

static int redis_set_repl(lua_State *L)
{
	if (lua_gettop(L) != 1)
		return api_raise(L, "ERR redis.set_repl() requires one argument.");
	lua_Number flags = lua_tonumber(L, 1);
	if (flags < REPL_NONE || flags > REPL_ALL)
		return api_raise(L, "ERR Invalid replication flags. Use REPL_AOF, REPL_REPLICA, REPL_ALL or REPL_NONE.");
	if (run_current)
		run_current->no_effects = flags < 1;
	return 0;
}

static int redis_replicate_commands(lua_State *L)
{
	lua_pushboolean(L, 1);
	return 1;
}

/* There is no debugger: as in a server that does not debug. */
static int redis_breakpoint(lua_State *L)
{
	lua_pushboolean(L, 0);
	return 1;
}

static int redis_debug(lua_State *L)
{
	(void)L;
	return 0;
}

static int redis_acl_check_cmd(lua_State *L)
{
	unsigned argc = (unsigned)lua_gettop(L), at;
	if (argc == 0)
		return api_raise(L, "ERR Please specify at least one argument for this redis lib call");
	struct arg *argv = lua_newuserdata(L, argc * sizeof *argv);
	for (unsigned i = 0; i < argc; i++) {
		if (!lua_isstring(L, (int)i + 1))
			return api_raise(L, "ERR Lua redis lib command arguments must be strings or integers");
		argv[i].ptr = lua_tolstring(L, (int)i + 1, &argv[i].len);
	}
	const struct command *cmd = command_lookup(argv, argc, NULL);
	if (!cmd)
		return api_raise(L, "ERR Invalid command passed to redis.acl_check_cmd()");
	bool restricted = run_current && (run_current->call->client->flags & CLIENT_RESTRICTED);
	lua_pushboolean(L, !restricted || acl_check(run_current->vm->client->user, cmd, argv, argc, &at) == ACL_ALLOWED);
	return 1;
}

static void set_number(lua_State *L, const char *name, int v)
{
	lua_pushinteger(L, v);
	lua_setfield(L, -2, name);
}

static void add_logging(lua_State *L)
{
	lua_pushcfunction(L, redis_log);
	lua_setfield(L, -2, "log");
	set_number(L, "LOG_DEBUG", LOG_LEVEL_DEBUG);
	set_number(L, "LOG_VERBOSE", LOG_LEVEL_VERBOSE);
	set_number(L, "LOG_NOTICE", LOG_LEVEL_NOTICE);
	set_number(L, "LOG_WARNING", LOG_LEVEL_WARNING);
	set_number(L, "REDIS_VERSION_NUM", SHOWN_VERSION_NUM);
	lua_pushliteral(L, SHOWN_VERSION);
	lua_setfield(L, -2, "REDIS_VERSION");
}

void api_open_loading(lua_State *L)
{
	lua_newtable(L);
	add_logging(L);
}

static void add_functions(lua_State *L, const luaL_Reg *f)
{
	for (; f->name; f++) {
		lua_pushcfunction(L, f->func);
		lua_setfield(L, -2, f->name);
	}
}

void api_open(lua_State *L, enum vm_kind kind)
{
	static const luaL_Reg functions[] = {
		{ "call", redis_call }, { "pcall", redis_pcall }, { "status_reply", redis_status_reply },
		{ "error_reply", redis_error_reply }, { "sha1hex", redis_sha1hex },
		{ "setresp", redis_setresp }, { "set_repl", redis_set_repl },
		{ "acl_check_cmd", redis_acl_check_cmd }, { NULL, NULL },
	};
	static const luaL_Reg of_scripts[] = {
		{ "replicate_commands", redis_replicate_commands }, { "breakpoint", redis_breakpoint },
		{ "debug", redis_debug }, { NULL, NULL },
	};
	lua_newtable(L);
	add_functions(L, functions);
	if (kind == VM_EVAL)
		add_functions(L, of_scripts);
	set_number(L, "REPL_NONE", REPL_NONE);
	set_number(L, "REPL_AOF", REPL_AOF);
	set_number(L, "REPL_SLAVE", REPL_REPLICA);
	set_number(L, "REPL_REPLICA", REPL_REPLICA);
	set_number(L, "REPL_ALL", REPL_ALL);
	add_logging(L);
}
