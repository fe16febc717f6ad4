/* call: redis.call(): one command from within a script: what it may do, its locks, its reply as a Lua value. */
#include <assert.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "server/acl.h"
#include "server/client.h"
#include "server/config_rows.h"
#include "server/exec.h"
#include "server/pubsub.h"
#include "server/script/script.h"
#include "server/script/vm.h"
#include "server/server.h"
#include "server/worker.h"
#include "store/number.h"

#define ARGS_INLINE 32
#define NUMBER_TEXT (NUMBER_DOUBLE_MAX + 1)

/* Raised, or returned as a table. */
static int fail(lua_State *L, bool raise, const char *text)
{
	lua_createtable(L, 0, 1);
	lua_pushstring(L, text);
	lua_setfield(L, -2, "err");
	return raise ? lua_error(L) : 1;
}

/* ------------------------------------------------------------------ arguments */

/* Strings as they are, numbers printed: whole ones without a point. false: something else. */
static bool read_args(lua_State *L, struct arg *argv, unsigned argc, char (*numbers)[NUMBER_TEXT])
{
	for (unsigned i = 0; i < argc; i++) {
		int at = (int)i + 1;
		int type = lua_type(L, at);
		if (type == LUA_TNUMBER) {
			lua_Number v = lua_tonumber(L, at);
			char *text = numbers[i];
			*text = '-'; /* NaN has a sign here */
			size_t sign = isnan(v) && signbit(v);
			argv[i] = (struct arg){ text, sign + number_print_double(text + sign, v) };
		} else if (type == LUA_TSTRING) {
			argv[i].ptr = lua_tolstring(L, at, &argv[i].len);
		} else {
			return false;
		}
	}
	return true;
}

/* ------------------------------------------------------------------ permission */

static bool denied_allowed;

void script_allow_denied(bool on)
{
	denied_allowed = on;
}

/* What a command means only for a connection, or for an interpreter that is not in use. */
static bool of_session(const struct command *cmd)
{
	static const char *const groups[] = { "scripting", "transactions", "pubsub", "connection" };
	static const char *const names[] = { "debug", "monitor", "shutdown", "quit", "reset" };
	const struct command *top = cmd->parent ? cmd->parent : cmd;
	for (size_t i = 0; i < sizeof groups / sizeof *groups; i++) {
		if (!cmd->group || !strcmp(cmd->group, groups[i]))
			return true;
	}
	for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
		if (!strcmp(top->name, names[i]))
			return true;
	}
	return false;
}

static const char *refusal(const struct run *run, const struct command *cmd, unsigned argc)
{
	if (!cmd)
		return "ERR Unknown Redis command called from script";
	if (!command_arity_ok(cmd, argc))
		return "ERR Wrong number of args calling Redis command from script";
	if (cmd->flags & CMD_NOSCRIPT && (!denied_allowed || of_session(cmd)))
		return "ERR This Redis command is not allowed from script";
	if ((cmd->flags & (CMD_WRITE | CMD_MAY_REPLICATE)) && run->read_only)
		return "ERR Write commands are not allowed from read-only scripts.";
	if ((cmd->flags & CMD_DENYOOM) && run->oom && !run->wrote && !(run->job->flags & SCRIPT_ALLOW_OOM))
		return "OOM command not allowed when used memory > 'maxmemory'.";
	return NULL;
}

/* What the caller's user forbids; the text is on the stack of L. */
static const char *denial(lua_State *L, const struct run *run, const struct command *cmd, const struct arg *argv,
                          unsigned argc)
{
	const struct acl_user *u = run->vm->client->user;
	struct config_text text = { 0 };
	unsigned at = 0;
	if (!(run->call->client->flags & CLIENT_RESTRICTED))
		return NULL;
	enum acl_denied why = acl_check(u, cmd, argv, argc, &at);
	if (why == ACL_ALLOWED)
		return NULL;
	acl_note(run->call->client, true, cmd, argv, why, at);
	config_text_addf(&text, "NOPERM ACL failure in script: ");
	acl_explain(u, cmd, argv, why, at, &text);
	lua_pushlstring(L, text.ptr ? text.ptr : "NOPERM", text.ptr ? text.len : 6);
	config_text_clear(&text);
	return lua_tostring(L, -1);
}

/* ------------------------------------------------------------------ locks */

static void stop_everybody(struct run *run)
{
	struct call *c = run->call;
	if (c->alone)
		return;
	assert(!run->job->closed); /* it has no right to: closed.c let a call pass that it does not understand */
	exec_upgrade(c->loop);
	c->op.exclusive = true;
	c->alone = true;
	c->stopped = CALL_UPGRADED;
}

static bool has_shard(const struct store_lockset *locks, unsigned shard)
{
	for (unsigned i = 0; i < locks->n; i++) {
		if (locks->shards[i] == shard)
			return true;
	}
	return false;
}

/* Make sure of one key: locked already, locked now without waiting, or everybody is stopped. */
static void lock_key(struct run *run, const struct arg *a)
{
	struct call *c = run->call;
	uint64_t hash = store_key(c->op.store, a->ptr, a->len).hash;
	unsigned n = c->locks->n;
	if (has_shard(c->locks, store_shard_of(c->op.store, hash)))
		return;
	if (store_trylock(c->op.store, hash)) {
		if (n < c->locks->cap && store_lockset_add(c->op.store, c->locks, hash))
			return;
		store_unlock(c->op.store, hash);
	}
	stop_everybody(run);
}

/* Publishing has locks of its own, which come behind those of the shards. */
static bool may_run_beside(const struct command *cmd)
{
	return !strcmp(cmd->name, "publish") || !strcmp(cmd->name, "spublish");
}

static void lock_keys(struct run *run, const struct command *cmd, const struct arg *argv, unsigned argc)
{
	struct call *c = run->call;
	struct key_refs keys;
	if (server_loops() == 1 || c->alone)
		return;
	enum exec_class class = cmd->classify ? cmd->classify(argv, argc) : cmd->class;
	if (class == EXEC_LOCAL || (class == EXEC_SERVICE && may_run_beside(cmd)))
		return;
	if (class != EXEC_KEYED || cmd->plan || !c->locks || command_keys(cmd, argv, argc, &keys)) {
		__atomic_store_n(run->job->runs_alone, true, __ATOMIC_RELAXED); /* next time from its start */
		stop_everybody(run);
		return;
	}
	for (unsigned i = 0; i < keys.n && !c->alone; i++)
		lock_key(run, &argv[keys.v[i].arg]);
	key_refs_clear(&keys);
}

/* ------------------------------------------------------------------ the call */

static void run_command(struct run *run, const struct command *cmd, const struct arg *argv, unsigned argc)
{
	struct call *c = run->call;
	struct effects *effects = c->effects;
	lock_keys(run, cmd, argv, argc);
	run->wrote |= (cmd->flags & CMD_WRITE) != 0;
	if (run->no_effects)
		c->effects = NULL;
	dispatch_nested_as(c, run->vm->client, &run->vm->reply, cmd, argv, argc);
	c->effects = effects;
}

int call_command(lua_State *L, bool raise)
{
	struct run *run = run_current;
	struct arg inline_[ARGS_INLINE], *argv = inline_;
	char numbers_[ARGS_INLINE][NUMBER_TEXT], (*numbers)[NUMBER_TEXT] = numbers_;
	unsigned argc = (unsigned)lua_gettop(L);
	if (argc == 0)
		return fail(L, raise, "ERR Please specify at least one argument for this redis lib call");
	if (!run)
		return fail(L, raise, "ERR redis.call/pcall can only be called inside a script invocation");
	if (argc > ARGS_INLINE) {
		argv = lua_newuserdata(L, argc * (sizeof *argv + NUMBER_TEXT));
		numbers = (char (*)[NUMBER_TEXT])(argv + argc);
	}
	if (!read_args(L, argv, argc, numbers))
		return fail(L, raise, "ERR Lua redis lib command arguments must be strings or integers");
	const struct command *cmd = command_lookup(argv, argc, NULL);
	const char *why = refusal(run, cmd, argc);
	if (!why)
		why = denial(L, run, cmd, argv, argc);
	if (why) {
		api_push_error(L, why, strlen(why));
		return raise ? lua_error(L) : 1;
	}
	size_t len;
	run_command(run, cmd, argv, argc);
	const char *bytes = reply_bytes(&run->vm->reply, &len);
	if (run->vm->reply.failed || !len) {
		reply_clear(&run->vm->reply);
		reply_init_memory(&run->vm->reply, 2);
		return fail(L, raise, "OOM the reply does not fit into memory");
	}
	bool failed = *bytes == '-';
	convert_to_lua(L, bytes, bytes + len);
	reply_reset(&run->vm->reply);
	return failed && raise ? lua_error(L) : 1;
}
