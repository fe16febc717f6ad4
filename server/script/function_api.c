/* function_api: see function_api.h. */
#include "server/script/function_api.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "server/clock.h"
#include "server/journal/rdb_functions.h"

#define LOAD_LIMIT_MS 500
#define LOOK_EVERY 10000 /* instructions between two looks at the clock */
#define REGISTERED "shoal.registered" /* registry: the functions of the library being loaded, by name */

/* What is being loaded by this thread. */
struct loading {
	struct vm *vm;
	struct library *lib;
	bool copy;         /* lib is known, only this interpreter does not have it */
	bool compiled;
	bool no_memory;
	int64_t until_us;  /* 0: no limit */
};
static _Thread_local struct loading *loading;

bool function_api_name_ok(const char *name, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		char c = name[i], lower = (char)(c | 32);
		if (!(lower >= 'a' && lower <= 'z') && !(c >= '0' && c <= '9') && c != '_')
			return false;
	}
	return len > 0;
}

/* ------------------------------------------------------------------ redis.register_function() */

/* What one call registers; strings are on the stack of L, or fields of a table there. */
struct registration {
	const char *name, *description;
	size_t name_len, description_len;
	int callback; /* stack index; 0: none */
	unsigned flags;
};

static bool add_flag(struct registration *r, const char *name)
{
	static const char *const names[] = { "no-writes", "allow-oom", "allow-stale", "no-cluster", "allow-cross-slot-keys" };
	for (unsigned i = 0; i < sizeof names / sizeof *names; i++) {
		if (!strcasecmp(name, names[i])) {
			r->flags |= 1u << i;
			return true;
		}
	}
	return false;
}

static void read_flags(lua_State *L, int table, struct registration *r)
{
	for (int i = 1;; i++) {
		lua_rawgeti(L, table, i);
		if (lua_isnil(L, -1))
			break;
		if (!lua_isstring(L, -1) || !add_flag(r, lua_tostring(L, -1)))
			api_raise(L, "ERR unknown flag given");
		lua_pop(L, 1);
	}
	lua_pop(L, 1);
}

/* One field of the table of named arguments: its value is on the top of the stack and stays there. */
static void read_named(lua_State *L, const char *key, struct registration *r)
{
	int at = lua_gettop(L);
	if (!strcasecmp(key, "function_name")) {
		if (!lua_isstring(L, at))
			api_raise(L, "ERR function_name argument given to redis.register_function must be a string");
		r->name = lua_tolstring(L, at, &r->name_len);
	} else if (!strcasecmp(key, "description")) {
		if (!lua_isstring(L, at))
			api_raise(L, "ERR description argument given to redis.register_function must be a string");
		r->description = lua_tolstring(L, at, &r->description_len);
	} else if (!strcasecmp(key, "callback")) {
		if (!lua_isfunction(L, at))
			api_raise(L, "ERR callback argument given to redis.register_function must be a function");
		r->callback = at;
	} else if (!strcasecmp(key, "flags")) {
		if (!lua_istable(L, at))
			api_raise(L, "ERR flags argument to redis.register_function must be a table representing function flags");
		read_flags(L, at, r);
	} else {
		api_raise(L, "ERR unknown argument given to redis.register_function");
	}
}

static void read_table(lua_State *L, struct registration *r)
{
	if (!lua_istable(L, 1))
		api_raise(L, "ERR calling redis.register_function with a single argument is only applicable to Lua table "
		             "(representing named arguments).");
	lua_pushnil(L);
	while (lua_next(L, 1)) {
		if (lua_type(L, -2) == LUA_TNUMBER)
			api_raise(L, "ERR unknown argument given to redis.register_function");
		if (lua_type(L, -2) != LUA_TSTRING)
			api_raise(L, "ERR named argument key given to redis.register_function is not a string");
		luaL_checkstack(L, 4, "named arguments");
		read_named(L, lua_tostring(L, -2), r);
		lua_pushvalue(L, -2); /* the value stays below, as what was read of it lives in it */
	}
	if (!r->name)
		api_raise(L, "ERR redis.register_function must get a function name argument");
	if (!r->callback)
		api_raise(L, "ERR redis.register_function must get a callback argument");
}

static void read_two(lua_State *L, struct registration *r)
{
	if (!lua_isstring(L, 1))
		api_raise(L, "ERR first argument to redis.register_function must be a string");
	if (!lua_isfunction(L, 2))
		api_raise(L, "ERR second argument to redis.register_function must be a function");
	r->name = lua_tolstring(L, 1, &r->name_len);
	r->callback = 2;
}

static bool enter(struct library *lib, const struct registration *r)
{
	struct function *f = calloc(1, sizeof *f);
	if (!f)
		return false;
	f->name = strdup(r->name);
	f->description = r->description ? malloc(r->description_len + 1) : NULL;
	if (!f->name || (r->description && !f->description)) {
		free(f->name);
		free(f->description);
		free(f);
		return false;
	}
	if (f->description)
		memcpy(f->description, r->description, r->description_len);
	f->description_len = r->description_len;
	f->flags = r->flags;
	f->library = lib;
	*lib->last = f;
	lib->last = &f->next;
	lib->count++;
	return true;
}

static int register_function(lua_State *L)
{
	struct registration r = { 0 };
	int n = lua_gettop(L);
	if (n < 1 || n > 2)
		return api_raise(L, "ERR wrong number of arguments to redis.register_function");
	if (!loading)
		return api_raise(L, "ERR redis.register_function can only be called on FUNCTION LOAD command");
	if (n == 1)
		read_table(L, &r);
	else
		read_two(L, &r);
	if (!function_api_name_ok(r.name, r.name_len))
		return api_raise(L, "ERR " FUNCTION_API_BAD_NAME);
	luaL_checkstack(L, 4, "registering");
	lua_getfield(L, LUA_REGISTRYINDEX, REGISTERED);
	lua_getfield(L, -1, r.name);
	if (!lua_isnil(L, -1))
		return api_raise(L, "ERR Function already exists in the library");
	lua_pop(L, 1);
	lua_pushvalue(L, r.callback);
	lua_setfield(L, -2, r.name);
	if (!loading->copy && !enter(loading->lib, &r)) {
		loading->no_memory = true;
		return api_raise(L, "OOM not enough memory");
	}
	return 0;
}

void function_api_open(lua_State *L)
{
	lua_newtable(L);
	api_open_loading(L);
	lua_pushcfunction(L, register_function);
	lua_setfield(L, -2, "register_function");
	vm_strict(L);
	vm_protect(L);
	lua_setfield(L, -2, "redis");
	vm_strict(L);
	lua_setfield(L, LUA_REGISTRYINDEX, "shoal.loading");
	lua_newtable(L);
	luaL_unref(L, LUA_REGISTRYINDEX, luaL_ref(L, LUA_REGISTRYINDEX)); /* later ones need no memory */
}

/* ------------------------------------------------------------------ loading */

static void look_at_clock(lua_State *L, lua_Debug *ar)
{
	(void)ar;
	if (loading && loading->until_us && clock_mono_us() > loading->until_us)
		api_raise(L, "ERR FUNCTION LOAD timeout");
}

/* What globals are: registry's table of that name. */
static void set_globals(lua_State *L, const char *name)
{
	lua_getfield(L, LUA_REGISTRYINDEX, "shoal.env");
	lua_getmetatable(L, -1);
	lua_getfield(L, LUA_REGISTRYINDEX, name);
	lua_setfield(L, -2, "__index");
	lua_pop(L, 2);
}

/* Protected: the argument is the struct loading. Leaves the table of functions. */
static int load_code(lua_State *L)
{
	struct loading *l = lua_touserdata(L, 1);
	const struct library *lib = l->lib;
	lua_settop(L, 0);
	lua_newtable(L);
	lua_pushvalue(L, 1);
	lua_setfield(L, LUA_REGISTRYINDEX, REGISTERED);
	lua_pushcfunction(L, api_error_handler);
	if (luaL_loadbuffer(L, lib->source->code + lib->skip, lib->source->len - lib->skip, "@user_function"))
		return lua_error(L);
	l->compiled = true;
	lua_getfield(L, LUA_REGISTRYINDEX, "shoal.env");
	lua_setfenv(L, -2);
	set_globals(L, "shoal.loading");
	int err = lua_pcall(L, 0, 0, 2);
	set_globals(L, "shoal.globals");
	if (err)
		return lua_error(L);
	lua_settop(L, 1);
	return 1;
}

/* What was raised, on the top of the stack, as a text. */
static char *error_text(lua_State *L, const struct loading *l)
{
	char *text = NULL;
	const char *what = NULL;
	if (l->no_memory)
		return NULL;
	if (lua_istable(L, -1)) {
		lua_getfield(L, -1, "err");
		lua_replace(L, -2);
	}
	what = lua_isstring(L, -1) ? lua_tostring(L, -1) : "unknown error";
	const char *doing = l->compiled ? "Error registering functions" : "Error compiling function";
	return asprintf(&text, "%s: %s", doing, what) < 0 ? NULL : text;
}

/* Leaves the table of functions, or what was raised. */
static bool run_load(struct loading *l)
{
	lua_State *L = l->vm->L;
	struct loading *outer = loading;
	lua_Hook hook = lua_gethook(L);
	int mask = lua_gethookmask(L), count = lua_gethookcount(L);
	loading = l;
	if (l->until_us)
		lua_sethook(L, look_at_clock, LUA_MASKCOUNT, LOOK_EVERY);
	lua_pushcfunction(L, load_code);
	lua_pushlightuserdata(L, l);
	bool ok = lua_pcall(L, 1, 1, 0) == 0;
	lua_sethook(L, hook, mask, count);
	loading = outer;
	return ok;
}

/* Protected: keep the table of functions, the argument, under the library's id. */
static int keep(lua_State *L)
{
	struct loading *l = lua_touserdata(L, 2);
	lua_settop(L, 1);
	l->vm->refs[l->lib->id] = luaL_ref(L, LUA_REGISTRYINDEX);
	return 0;
}

bool function_api_load(struct vm *vm, struct library *lib, bool limit_time, char **error)
{
	struct loading l = { .vm = vm, .lib = lib };
	l.until_us = limit_time ? clock_mono_us() + LOAD_LIMIT_MS * 1000 : 0;
	*error = NULL;
	if (!lua_checkstack(vm->L, 8) || !vm_room_for(vm, lib->id))
		return false;
	bool ok = run_load(&l);
	if (!ok) {
		*error = error_text(vm->L, &l);
	} else {
		lua_pushcfunction(vm->L, keep);
		lua_insert(vm->L, -2);
		lua_pushlightuserdata(vm->L, &l);
		ok = lua_pcall(vm->L, 2, 0, 0) == 0;
	}
	lua_settop(vm->L, 0);
	return ok;
}

void function_api_push(lua_State *L, struct vm *vm, const struct function *f)
{
	struct library *lib = f->library;
	if (!vm_room_for(vm, lib->id))
		api_raise(L, "OOM not enough memory");
	luaL_checkstack(L, 10, "functions");
	if (!vm->refs[lib->id]) {
		struct loading l = { .vm = vm, .lib = lib, .copy = true };
		if (!run_load(&l))
			lua_error(L);
		vm->refs[lib->id] = luaL_ref(L, LUA_REGISTRYINDEX);
	}
	lua_rawgeti(L, LUA_REGISTRYINDEX, vm->refs[lib->id]);
	lua_getfield(L, -1, f->name);
	lua_remove(L, -2);
	if (!lua_isfunction(L, -1))
		api_raise(L, "ERR Function not found");
}

void function_api_drop(struct vm *vm, unsigned id)
{
	if (!vm || id >= vm->nrefs || !vm->refs[id])
		return;
	luaL_unref(vm->L, LUA_REGISTRYINDEX, vm->refs[id]);
	vm->refs[id] = 0;
}
