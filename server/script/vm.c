/* vm: see vm.h. */
#include "server/script/vm.h"

#include <lua5.1/lua-cjson.h>
#include <lua5.1/lualib.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "server/client.h"
#include "server/clock.h"
#include "server/script/script.h"

#define PATTERN_MAX 10000
#define JSON_MAX 1000000000

size_t vm_memory_max = (size_t)1 << 32;

_Thread_local struct run *run_current;

/* ------------------------------------------------------------------ memory */

static void *vm_alloc(void *ctx, void *p, size_t old, size_t size)
{
	struct vm *vm = ctx;
	if (size == 0) {
		vm->memory -= p ? old : 0;
		free(p);
		return NULL;
	}
	if (size > old && !vm->unlimited && vm->memory + (size - old) > vm_memory_max)
		return NULL;
	void *fresh = realloc(p, size);
	if (fresh)
		vm->memory += size - (p ? old : 0);
	return fresh;
}

/* ------------------------------------------------------------------ read-only tables */

/* The real table behind the proxy at index, on the stack; false: it is no proxy, nothing is pushed. */
static bool push_real(lua_State *L, int index)
{
	if (lua_type(L, index) != LUA_TTABLE || !lua_getmetatable(L, index))
		return false;
	lua_pushliteral(L, "__shoal");
	lua_rawget(L, -2);
	lua_remove(L, -2);
	if (lua_istable(L, -1))
		return true;
	lua_pop(L, 1);
	return false;
}

static int refuse_write(lua_State *L)
{
	return luaL_error(L, "Attempt to modify a readonly table");
}

static bool is_proxy(lua_State *L, int index)
{
	bool yes = push_real(L, index);
	if (yes)
		lua_pop(L, 1);
	return yes;
}

/* Replace the table on the top of the stack by a proxy. */
void vm_protect(lua_State *L)
{
	lua_newtable(L); /* the proxy */
	lua_newtable(L); /* its metatable */
	lua_pushvalue(L, -3);
	lua_setfield(L, -2, "__index");
	lua_pushvalue(L, -3);
	lua_setfield(L, -2, "__shoal");
	lua_pushcfunction(L, refuse_write);
	lua_setfield(L, -2, "__newindex");
	lua_pushboolean(L, 0);
	lua_setfield(L, -2, "__metatable");
	lua_setmetatable(L, -2);
	lua_remove(L, -2);
}

/* A function was asked to write: its error has no place of its own, unlike an assignment's. */
static int refuse_call(lua_State *L)
{
	lua_pushliteral(L, "Attempt to modify a readonly table");
	return lua_error(L);
}

static int safe_rawset(lua_State *L)
{
	luaL_checktype(L, 1, LUA_TTABLE);
	luaL_checkany(L, 2);
	luaL_checkany(L, 3);
	if (is_proxy(L, 1))
		return refuse_call(L);
	lua_settop(L, 3);
	lua_rawset(L, 1);
	return 1;
}

/* The original of a wrapped function, upvalue 1, in the wrapper's place, whose name its errors then tell. */
static int call_original(lua_State *L)
{
	return lua_tocfunction(L, lua_upvalueindex(1))(L);
}

/* A function that must not see a proxy as its first argument. */
static int refuse_proxy(lua_State *L)
{
	return is_proxy(L, 1) ? refuse_call(L) : call_original(L);
}

/* A function that only reads gets the real table. */
static int use_real(lua_State *L)
{
	if (push_real(L, 1))
		lua_replace(L, 1);
	return call_original(L);
}

/* Upvalue 1 is next(). A loop over a proxy must never hold the real table. */
static int safe_pairs(lua_State *L)
{
	luaL_checktype(L, 1, LUA_TTABLE);
	lua_pushvalue(L, lua_upvalueindex(1));
	lua_pushvalue(L, 1);
	lua_pushnil(L);
	return 3;
}

static int safe_getmetatable(lua_State *L)
{
	luaL_checkany(L, 1);
	if (!luaL_getmetafield(L, 1, "__metatable")) {
		if (!lua_getmetatable(L, 1))
			lua_pushnil(L);
	} else if (is_proxy(L, 1) && lua_isboolean(L, -1)) {
		lua_pushnil(L);
	}
	return 1;
}

/* ------------------------------------------------------------------ functions that differ from Lua's */

static int safe_unpack(lua_State *L)
{
	luaL_checktype(L, 1, LUA_TTABLE);
	int i = luaL_optint(L, 2, 1), last = luaL_opt(L, luaL_checkint, 3, (int)lua_objlen(L, 1));
	int64_t n = (int64_t)last - i + 1;
	if (n <= 0)
		return 0;
	if (n > 8000 || !lua_checkstack(L, (int)n))
		return luaL_error(L, "too many results to unpack");
	for (int64_t k = i; k <= last; k++)
		lua_rawgeti(L, 1, (int)k);
	return (int)n;
}

/* What redis.call() raised is caught as its text, not as a table. */
static int catch_errors(lua_State *L)
{
	int n = lua_gettop(L);
	if (n == 0) {
		lua_pushboolean(L, 0);
		lua_pushliteral(L, "attempt to call a boolean value"); /* what it says in Redis */
		return 2;
	}
	int failed = lua_pcall(L, n - 1, LUA_MULTRET, 0);
	if (failed && lua_istable(L, -1)) {
		lua_getfield(L, -1, "err");
		lua_isstring(L, -1) ? lua_replace(L, -2) : lua_pop(L, 1);
	}
	lua_pushboolean(L, !failed);
	lua_insert(L, 1);
	return lua_gettop(L);
}

/* find, match, gmatch, gsub: matching calls itself once for each item of a pattern, and a long one would overflow the stack. */
static int limit_pattern(lua_State *L)
{
	size_t len;
	const char *pattern = lua_tolstring(L, 2, &len);
	if (pattern && len > PATTERN_MAX && !lua_toboolean(L, 4) && strcspn(pattern, "^$*+?.([%-") < len)
		return luaL_error(L, "pattern is too long");
	return call_original(L);
}

/* Digits alone, which arguments mostly are, without the library's way around. */
static int quick_tonumber(lua_State *L)
{
	size_t len, i = 0;
	uint64_t n = 0;
	if (lua_gettop(L) != 1 || lua_type(L, 1) != LUA_TSTRING)
		return call_original(L);
	const char *s = lua_tolstring(L, 1, &len);
	if (len == 0 || len > 15)
		return call_original(L);
	for (; i < len && s[i] >= '0' && s[i] <= '9'; i++)
		n = n * 10 + (uint64_t)(s[i] - '0');
	if (i < len)
		return call_original(L);
	lua_pushnumber(L, (lua_Number)n);
	return 1;
}

/* Text only: bytecode could do anything. */
static int safe_loadstring(lua_State *L)
{
	size_t len;
	const char *text = luaL_checklstring(L, 1, &len), *name = luaL_optstring(L, 2, text);
	if (len && text[0] == LUA_SIGNATURE[0]) {
		lua_pushnil(L);
		lua_pushliteral(L, "bytecode is not loaded");
		return 2;
	}
	if (luaL_loadbuffer(L, text, len, name) == 0) {
		lua_getfield(L, LUA_REGISTRYINDEX, "shoal.env");
		lua_setfenv(L, -2);
		return 1;
	}
	lua_pushnil(L);
	lua_insert(L, -2);
	return 2;
}

/* load(): the pieces of the function are put together first. */
static int safe_load(lua_State *L)
{
	luaL_Buffer b;
	luaL_checktype(L, 1, LUA_TFUNCTION);
	const char *name = luaL_optstring(L, 2, "=(load)");
	lua_settop(L, 2);
	lua_pushcfunction(L, api_error_handler);
	lua_newtable(L);
	int n = 0;
	for (;;) {
		lua_pushvalue(L, 1);
		if (lua_pcall(L, 0, 1, 3)) {
			lua_pushnil(L);
			lua_insert(L, -2);
			return 2;
		}
		size_t len = lua_isstring(L, -1) ? lua_objlen(L, -1) : 0;
		if (!lua_isnil(L, -1) && !lua_isstring(L, -1)) {
			lua_pushnil(L);
			lua_pushliteral(L, "reader function must return a string");
			return 2;
		}
		if (len == 0)
			break;
		lua_rawseti(L, 4, ++n);
	}
	luaL_buffinit(L, &b);
	for (int i = 1; i <= n; i++) {
		lua_rawgeti(L, 4, i);
		luaL_addvalue(&b);
	}
	luaL_pushresult(&b);
	lua_pushcfunction(L, safe_loadstring);
	lua_insert(L, -2);
	lua_pushstring(L, name);
	int before = lua_gettop(L) - 3;
	lua_call(L, 2, LUA_MULTRET);
	return lua_gettop(L) - before;
}

/* The generator of drand48(), one for all loops: what one script drew another does not draw again. 48 bits. */
static _Atomic uint64_t random_state = 0x1234ABCD330E;

static uint32_t next_random(void)
{
	uint64_t was = atomic_load_explicit(&random_state, memory_order_relaxed), next;
	do
		next = (was * 0x5DEECE66Du + 0xB) & 0xffffffffffffu;
	while (!atomic_compare_exchange_weak_explicit(&random_state, &was, next, memory_order_relaxed, memory_order_relaxed));
	return (uint32_t)(next >> 17);
}

static struct vm *vm_of(lua_State *L)
{
	lua_getfield(L, LUA_REGISTRYINDEX, "shoal.vm");
	struct vm *vm = lua_touserdata(L, -1);
	lua_pop(L, 1);
	return vm;
}

static int math_random(lua_State *L)
{
	lua_Number r = (lua_Number)(next_random() % INT32_MAX) / (lua_Number)INT32_MAX;
	int n = lua_gettop(L);
	if (n == 0) {
		lua_pushnumber(L, r);
		return 1;
	}
	lua_Number low = n == 1 ? 1 : luaL_checknumber(L, 1), high = luaL_checknumber(L, n == 1 ? 1 : 2);
	if (n > 2)
		return luaL_error(L, "wrong number of arguments");
	luaL_argcheck(L, low <= high, n, "interval is empty");
	lua_Number v = r * (high - low + 1);
	lua_pushnumber(L, (lua_Number)(int64_t)v + (lua_Number)(int64_t)low);
	return 1;
}

static int math_randomseed(lua_State *L)
{
	atomic_store_explicit(&random_state, (uint64_t)(uint32_t)luaL_checkint(L, 1) << 16 | 0x330E, memory_order_relaxed);
	return 0;
}

static int os_clock(lua_State *L)
{
	lua_pushnumber(L, (lua_Number)clock_mono_us() / 1e6);
	return 1;
}

static int no_such_global(lua_State *L)
{
	return luaL_error(L, "Script attempted to access nonexistent global variable '%s'",
	                  lua_isstring(L, 2) ? lua_tostring(L, 2) : "?");
}

/* ------------------------------------------------------------------ the sandbox */

static void wrap(lua_State *L, const char *name, lua_CFunction with)
{
	lua_getfield(L, -1, name);
	lua_pushcclosure(L, with, 1);
	lua_setfield(L, -2, name);
}

static void set_function(lua_State *L, const char *name, lua_CFunction f)
{
	lua_pushcfunction(L, f);
	lua_setfield(L, -2, name);
}

/* Open a library the usual way and leave its table on the stack. */
static void open_library(lua_State *L, const char *name, lua_CFunction open)
{
	lua_pushcfunction(L, open);
	lua_pushstring(L, name);
	lua_call(L, 1, 1);
	if (!lua_istable(L, -1)) {
		lua_pop(L, 1);
		lua_getglobal(L, name);
	}
}

/* Protect the library on the top of the stack and name it in the table below. */
static void add_library(lua_State *L, const char *name)
{
	vm_protect(L);
	lua_setfield(L, -2, name);
}

/* Upvalues: what the original has, and the original. */
static int change_cjson(lua_State *L)
{
	if (run_current)
		run_current->vm->cjson_changed = true;
	return lua_tocfunction(L, lua_upvalueindex(2))(L);
}

/* Whether the text of the value on the top of the stack stays below *left bytes; what has none raises an error later. The
 * library's buffer has an int for its size, and overflows it. */
static bool json_fits(lua_State *L, size_t *left, unsigned depth)
{
	size_t n = lua_type(L, -1) == LUA_TSTRING ? lua_objlen(L, -1) * 6 + 16 : 40;
	if (n > *left)
		return false;
	*left -= n;
	if (!lua_istable(L, -1) || depth > 1000)
		return true;
	luaL_checkstack(L, 4, "too deep");
	lua_pushnil(L);
	while (lua_next(L, -2)) {
		bool fits = json_fits(L, left, depth + 1);
		lua_pop(L, 1);
		if (!fits || !json_fits(L, left, depth + 1)) { /* the key */
			lua_pop(L, 1);
			return false;
		}
	}
	return true;
}

/* Upvalues as above. */
static int bounded_encode(lua_State *L)
{
	size_t left = JSON_MAX;
	if (lua_gettop(L) == 1 && !json_fits(L, &left, 0))
		return luaL_error(L, "too much for one text");
	return lua_tocfunction(L, lua_upvalueindex(2))(L);
}

static int bounded_decode(lua_State *L)
{
	if (lua_type(L, 1) == LUA_TSTRING && lua_objlen(L, 1) > JSON_MAX)
		return luaL_error(L, "too much for one text");
	return lua_tocfunction(L, lua_upvalueindex(2))(L);
}

static void wrap_cjson(lua_State *L, const char *name, lua_CFunction with)
{
	lua_getfield(L, -1, name);
	if (lua_getupvalue(L, -1, 1)) {
		lua_insert(L, -2);
		lua_pushcclosure(L, with, 2);
		lua_setfield(L, -2, name);
	} else {
		lua_pop(L, 1);
	}
}

/* A new instance, on the stack, whose settings are as it begins. */
static void open_cjson(lua_State *L)
{
	static const char *const settings[] = { "encode_sparse_array", "encode_max_depth", "decode_max_depth",
		                                "encode_number_precision", "encode_keep_buffer", "encode_invalid_numbers",
		                                "decode_invalid_numbers" };
	open_library(L, "cjson", luaopen_cjson);
	for (size_t i = 0; i < sizeof settings / sizeof *settings; i++)
		wrap_cjson(L, settings[i], change_cjson);
	wrap_cjson(L, "encode", bounded_encode);
	wrap_cjson(L, "decode", bounded_decode);
}

static int reset_cjson(lua_State *L)
{
	lua_getfield(L, LUA_REGISTRYINDEX, "shoal.cjson");
	open_cjson(L);
	lua_pushnil(L);
	while (lua_next(L, -2)) {
		lua_pushvalue(L, -2);
		lua_insert(L, -2);
		lua_rawset(L, 1);
	}
	return 0;
}

void vm_tidy(struct vm *vm)
{
	if (!vm->cjson_changed)
		return;
	vm->cjson_changed = false;
	lua_pushcfunction(vm->L, reset_cjson);
	if (lua_pcall(vm->L, 0, 0, 0))
		lua_pop(vm->L, 1); /* out of memory: the settings stay */
}

static void add_base(lua_State *L)
{
	static const char *const allowed[] = {
		"xpcall", "tostring", "setmetatable", "next", "assert", "tonumber", "rawequal", "rawget",
		"collectgarbage", "ipairs", "select", "type", "error", "gcinfo", "_VERSION",
	};
	for (size_t i = 0; i < sizeof allowed / sizeof *allowed; i++) {
		lua_getglobal(L, allowed[i]);
		lua_setfield(L, -2, allowed[i]);
	}
	wrap(L, "tonumber", quick_tonumber);
	wrap(L, "setmetatable", refuse_proxy);
	wrap(L, "next", use_real);
	wrap(L, "rawget", use_real);
	lua_getfield(L, -1, "next");
	lua_pushcclosure(L, safe_pairs, 1);
	lua_setfield(L, -2, "pairs");
	set_function(L, "getmetatable", safe_getmetatable);
	set_function(L, "pcall", catch_errors);
	set_function(L, "rawset", safe_rawset);
	set_function(L, "unpack", safe_unpack);
	set_function(L, "loadstring", safe_loadstring);
	set_function(L, "load", safe_load);
}

static void add_libraries(lua_State *L)
{
	static const char *const matching[] = { "find", "match", "gmatch", "gfind", "gsub" };
	open_library(L, LUA_COLIBNAME, luaopen_base); /* again: its globals are not seen by scripts */
	lua_pop(L, 1);
	lua_getglobal(L, LUA_COLIBNAME);
	add_library(L, "coroutine");
	open_library(L, LUA_TABLIBNAME, luaopen_table);
	wrap(L, "insert", refuse_proxy);
	wrap(L, "remove", refuse_proxy);
	wrap(L, "sort", refuse_proxy);
	wrap(L, "setn", refuse_proxy);
	wrap(L, "foreach", use_real);
	add_library(L, "table");
	open_library(L, LUA_MATHLIBNAME, luaopen_math);
	set_function(L, "random", math_random);
	set_function(L, "randomseed", math_randomseed);
	add_library(L, "math");
	open_library(L, LUA_STRLIBNAME, luaopen_string);
	for (size_t i = 0; i < sizeof matching / sizeof *matching; i++)
		wrap(L, matching[i], limit_pattern);
	vm_protect(L);
	lua_pushliteral(L, "");
	lua_getmetatable(L, -1);
	lua_pushvalue(L, -3);
	lua_setfield(L, -2, "__index");
	lua_newtable(L); /* what scripts see of it */
	lua_pushvalue(L, -4);
	lua_setfield(L, -2, "__index");
	vm_protect(L);
	lua_setfield(L, -2, "__metatable");
	lua_pop(L, 2);
	lua_setfield(L, -2, "string");
	open_cjson(L);
	lua_pushvalue(L, -1);
	lua_setfield(L, LUA_REGISTRYINDEX, "shoal.cjson");
	add_library(L, "cjson");
	open_library(L, "struct", luaopen_struct);
	add_library(L, "struct");
	open_library(L, "cmsgpack", luaopen_cmsgpack);
	add_library(L, "cmsgpack");
	open_library(L, "bit", luaopen_bit);
	add_library(L, "bit");
	lua_newtable(L);
	set_function(L, "clock", os_clock);
	add_library(L, "os");
	api_open(L, vm_of(L)->kind);
	add_library(L, "redis");
}

void vm_strict(lua_State *L)
{
	lua_newtable(L);
	set_function(L, "__index", no_such_global);
	lua_setmetatable(L, -2);
}

static int ref_function(lua_State *L, lua_CFunction f)
{
	lua_pushcfunction(L, f);
	return luaL_ref(L, LUA_REGISTRYINDEX);
}

/* The environment of all scripts: registry "shoal.globals" is the real table, "shoal.env" the proxy. Plain scripts have
 * one without proxies. */
static int build(lua_State *L)
{
	struct vm *vm = vm_of(L);
	luaopen_base(L);
	lua_settop(L, 0);
	lua_newtable(L);
	add_base(L);
	add_libraries(L);
	vm_strict(L);
	lua_pushvalue(L, -1);
	lua_setfield(L, LUA_REGISTRYINDEX, "shoal.globals");
	lua_pushvalue(L, -1);
	vm->globals = luaL_ref(L, LUA_REGISTRYINDEX);
	plain_open(L, &vm->keys, &vm->args);
	vm_strict(L);
	vm->plain_globals = luaL_ref(L, LUA_REGISTRYINDEX);
	vm->start = ref_function(L, script_start);
	vm->handler = ref_function(L, script_error_handler);
	lua_pushvalue(L, -1);
	vm_protect(L);
	lua_getmetatable(L, -1);
	lua_newtable(L);
	set_function(L, "__index", no_such_global);
	vm_protect(L);
	lua_setfield(L, -2, "__metatable");
	lua_pop(L, 1);
	lua_pushvalue(L, -1);
	lua_setfield(L, -3, "_G");
	lua_setfield(L, LUA_REGISTRYINDEX, "shoal.env");
	if (vm->kind == VM_FUNCTIONS)
		function_api_open(L);
	return 0;
}

struct vm *vm_new(enum vm_kind kind)
{
	struct vm *vm = calloc(1, sizeof *vm);
	if (!vm)
		return NULL;
	vm->kind = kind;
	vm->client = client_new_internal();
	vm->L = vm->client ? lua_newstate(vm_alloc, vm) : NULL;
	reply_init_memory(&vm->reply, 2);
	if (!vm->L) {
		vm_free(vm);
		return NULL;
	}
	lua_pushlightuserdata(vm->L, vm);
	lua_setfield(vm->L, LUA_REGISTRYINDEX, "shoal.vm");
#ifdef SHOAL_SCRIPT_GC /* tests: a whole collection wherever the collector looks whether it is time */
	lua_gc(vm->L, LUA_GCSETPAUSE, 0);
	lua_gc(vm->L, LUA_GCSETSTEPMUL, 0);
#endif
	lua_pushcfunction(vm->L, build);
	if (lua_pcall(vm->L, 0, 0, 0)) {
		vm_free(vm);
		return NULL;
	}
	vm->settled = vm->memory;
	return vm;
}

void vm_free(struct vm *vm)
{
	if (!vm)
		return;
	if (vm->L)
		lua_close(vm->L);
	client_free(vm->client);
	reply_clear(&vm->reply);
	free(vm->refs);
	free(vm);
}

bool vm_room_for(struct vm *vm, unsigned id)
{
	if (id < vm->nrefs)
		return true;
	unsigned n = (id + 64) * 2;
	int *refs = realloc(vm->refs, n * sizeof *refs);
	if (!refs)
		return false;
	memset(refs + vm->nrefs, 0, (n - vm->nrefs) * sizeof *refs);
	vm->refs = refs;
	vm->nrefs = n;
	return true;
}

bool vm_load(struct vm *vm, struct script *s)
{
	lua_State *L = vm->L;
	if (s->id < vm->nrefs && vm->refs[s->id]) {
		lua_rawgeti(L, LUA_REGISTRYINDEX, vm->refs[s->id]);
		return true;
	}
	if (!vm_room_for(vm, s->id)) {
		lua_pushliteral(L, "not enough memory");
		return false;
	}
	const char *text = s->text + s->skip;
	size_t len = s->len - s->skip;
	if (len && text[0] == LUA_SIGNATURE[0]) {
		lua_pushliteral(L, "user_script: bytecode is not loaded");
		return false;
	}
	if (luaL_loadbuffer(L, text, len, "@user_script"))
		return false;
	if (!s->checked) { /* by whoever adds it: nobody else knows it yet */
		s->plain = plain_check(L);
		s->checked = true;
	}
	if (s->plain)
		lua_rawgeti(L, LUA_REGISTRYINDEX, vm->plain_globals);
	else
		lua_getfield(L, LUA_REGISTRYINDEX, "shoal.env");
	lua_setfenv(L, -2);
	lua_pushvalue(L, -1);
	vm->refs[s->id] = luaL_ref(L, LUA_REGISTRYINDEX);
	return true;
}
