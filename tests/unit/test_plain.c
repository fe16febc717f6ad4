/* plain: what the bytecode of a script says about its globals. */
#include <check.h>
#include <lua5.1/lauxlib.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "server/script/plain.h"
#include "tests/lib/suite.h"

static bool plain(const char *text)
{
	lua_State *L = luaL_newstate();
	ck_assert_msg(luaL_loadbuffer(L, text, strlen(text), "@user_script") == 0, "%s", lua_tostring(L, -1));
	bool is = plain_check(L);
	lua_close(L);
	return is;
}

static const char *const are_plain[] = {
	"",
	"return 1",
	"return redis.call('get', KEYS[1])",
	"local n = redis.call('INCR', KEYS[1])\nif n == 1 then\n  redis.call('EXPIRE', KEYS[1], ARGV[1])\nend\n"
	"return n <= tonumber(ARGV[2]) and 1 or 0",
	"local t = {} for i = 1, #KEYS do t[i] = KEYS[i] end return t",
	"local call, key = redis.call, KEYS[1] return call('set', key, ARGV[1] .. #ARGV, 1.5, nil, true)",
	"local f = function(x) return math.floor(x) end return {f(ARGV[1]), string.rep('x', 3), cjson.encode({a=1})}",
	"return KEYS.x == nil and nosuch",
	"local KEYS = {} KEYS[1] = 2 return KEYS",
	NULL,
};

static const char *const are_not[] = {
	"x = 1",
	"KEYS = {}",
	"local function f() x = 1 end",
	"local function f() return function() return KEYS end end",
	"KEYS[1] = 'x'",
	"KEYS[1], KEYS[2] = 1, 2",
	"local k = KEYS",
	"local k = KEYS return k[1]",
	"local t = {KEYS}",
	"return KEYS",
	"return (ARGV or KEYS)[1]",
	"return {unpack(ARGV)}",
	"for i, k in ipairs(KEYS) do redis.call('get', k) end",
	"table.insert(ARGV, 1)",
	"setmetatable(KEYS, {})",
	"KEYS.x()[1] = redis",
	"local r = redis return r.call('ping')",
	"redis.call = nil",
	"redis.x.y, math = 1",
	"string.format = nil",
	"function redis.mine() end",
	"return redis",
	"return #redis",
	"return getmetatable(string)",
	"return _G.KEYS",
	"return _G",
	"load(f)",
	"return loadstring('KEYS = 1')",
	"local f = loadstring",
	NULL,
};

START_TEST(plain_ones)
{
	for (const char *const *t = are_plain; *t; t++)
		ck_assert_msg(plain(*t), "not plain: %s", *t);
}
END_TEST

START_TEST(others)
{
	for (const char *const *t = are_not; *t; t++)
		ck_assert_msg(!plain(*t), "plain: %s", *t);
}
END_TEST

/* Enough for every kind of instruction and for several kinds of constants within each function. */
START_TEST(long_ones)
{
	static const char part[] = "do local a, b = {1, 2, 'x', [3] = true, y = 0.5}, KEYS[1] for i = 1, 2 do a[i] = (b or '') .. i end "
				   "local f = function(...) local c = a return c, b, ... end f(a) end ";
	static const char last[] = "local f = function() return function() X = 1 end end";
	const size_t n = sizeof part - 1;
	char *text = calloc(1, 200 * n + sizeof last);
	for (size_t i = 0; i < 200; i++)
		memcpy(text + i * n, part, n);
	ck_assert(plain(text));
	memcpy(text + 200 * n, last, sizeof last);
	ck_assert(!plain(text));
	free(text);
}
END_TEST

START_TEST(tables_are_filled)
{
	lua_State *L = luaL_newstate();
	struct plain_table keys = { 0 }, args = { 0 };
	static const unsigned lengths[] = { 0, 3, 3, 1, 0, PLAIN_KEPT, 2, PLAIN_KEPT + 1, PLAIN_KEPT, 100, 101, 5, 0 };
	lua_newtable(L);
	plain_open(L, &keys, &args);
	int globals = luaL_ref(L, LUA_REGISTRYINDEX);
	for (unsigned round = 0; round < sizeof lengths / sizeof *lengths; round++) {
		char text[128][8];
		struct arg v[128];
		for (unsigned i = 0; i < lengths[round]; i++)
			v[i] = (struct arg){ text[i], (size_t)snprintf(text[i], sizeof *text, "%u", i % 2 ? i : i * 1000 + round) };
		plain_fill(L, globals, "ARGV", &args, v, lengths[round]);
		lua_gc(L, LUA_GCCOLLECT, 0);
		lua_rawgeti(L, LUA_REGISTRYINDEX, globals);
		lua_getfield(L, -1, "KEYS");
		ck_assert_uint_eq(lua_objlen(L, -1), 0);
		lua_getfield(L, -2, "ARGV");
		ck_assert_uint_eq(lua_objlen(L, -1), lengths[round]);
		unsigned n = 0;
		for (lua_pushnil(L); lua_next(L, -2); lua_pop(L, 1), n++)
			ck_assert_str_eq(lua_tostring(L, -1), text[lua_tointeger(L, -2) - 1]);
		ck_assert_uint_eq(n, lengths[round]);
		lua_settop(L, 0);
	}
	lua_close(L);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("plain");
	TCase *tc = tcase_create("plain");
	tcase_add_test(tc, plain_ones);
	tcase_add_test(tc, others);
	tcase_add_test(tc, long_ones);
	tcase_add_test(tc, tables_are_filled);
	suite_add_tcase(s, tc);
	return suite_run(s);
}
