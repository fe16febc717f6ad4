#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "server/command.h"
#include "server/script/closed.h"
#include "tests/lib/suite.h"

static bool closed(const char *text)
{
	return closed_check(text, strlen(text));
}

static const char *const are_closed[] = {
	"return 1",
	"return redis.call('get', KEYS[1])",
	"return redis.call(\"GET\", KEYS[1]) -- comment with redis.call(x)",
	"local key = KEYS[1]\nlocal n = redis.call('incr', key)\nif n == 1 then redis.call('expire', key, ARGV[1]) end\nreturn n",
	"local key = KEYS[1]; return redis.call('hset', key, unpack(ARGV))",
	"redis.call('set', KEYS[1], redis.call('get', KEYS[2]))",
	"return redis.pcall('mget', KEYS[1], KEYS[2])",
	"return redis.call('del', KEYS[1], KEYS[2], KEYS[3])",
	"redis.call('publish', KEYS[1], 'm') return #KEYS",
	"if #KEYS < 2 then return redis.error_reply('no ' .. KEYS[1] .. '!') end",
	"local t = redis.call('time') return t[1]",
	"for i = 1, 3 do redis.call('rpush', KEYS[1], i) end",
	"return redis.call('set', KEYS[1], [[long ] string]])",
	"return cjson.encode(redis.call('hgetall', KEYS[1]))",
	"local ok = pcall(function() return redis.call('incr', KEYS[2]) end)",
	"#!lua flags=no-writes\nreturn redis.call('get', KEYS[1])",
	"if #ARGV > 0 then local k = KEYS[1] redis.call('get', k) else local k = KEYS[2] redis.call('get', k) end",
	NULL,
};

static const char *const are_not[] = {
	"return redis.call('get', 'key')",
	"return redis.call('get', ARGV[1])",
	"return redis.call('get', KEYS[1] .. ':x')",
	"return redis.call('get', KEYS[ARGV[1]])",
	"return redis.call('get', key)",
	"return redis.call('get')",
	"return redis.call(ARGV[1], KEYS[1])",
	"return redis.call('g' .. 'et', KEYS[1])",
	"return redis.call('\\103et', KEYS[1])",
	"return redis.call('nosuch', KEYS[1])",
	"return redis.call('mget', unpack(KEYS))",
	"return redis.call('mget', KEYS[1], unpack(ARGV))",
	"return redis.call('mset', KEYS[1], 1, ARGV[1], 2)",
	"return redis.call('keys', '*')",
	"return redis.call('eval', 'x', 1, KEYS[1])",
	"return redis.call('sort', KEYS[1])",
	"return redis.call('flushall')",
	"return redis.call('rename', KEYS[1], 'x')",
	"local call = redis.call return call('get', 'x')",
	"local r = redis return r.call('get', 'x')",
	"return redis['call']('get', 'x')",
	"return redis.call 'dbsize'",
	"return pcall(redis.call, 'get', 'x')",
	"KEYS[1] = 'x' return redis.call('get', KEYS[1])",
	"KEYS[1], KEYS[2] = 'x', 'y' return redis.call('get', KEYS[1])",
	"a, KEYS[1] = 'x', 'y' return redis.call('get', KEYS[1])",
	"local k = KEYS k[1] = 'x' return redis.call('get', KEYS[1])",
	"table.insert(KEYS, 1, 'x') return redis.call('get', KEYS[1])",
	"local key = KEYS[1] key = 'x' return redis.call('get', key)",
	"local key = KEYS[1] key, b = 'x', 1 return redis.call('get', key)",
	"local key = KEYS[1] local key = 'x' return redis.call('get', key)",
	"local key = KEYS[1] for key in pairs(ARGV) do redis.call('get', key) end",
	"local key = KEYS[1] local f = function(key) return redis.call('get', key) end return f('x')",
	"local key = KEYS[1] or 'x' return redis.call('get', key)",
	"local key = KEYS[1] .. 'x' return redis.call('get', key)",
	"local key = KEYS[1]:upper() return redis.call('get', key)",
	"local key, b = KEYS[1], 'x' return redis.call('get', key)",
	"return redis.call('set', KEYS[1], (function() KEYS[1] = 'x' end)())",
	"getfenv().KEYS[1] = 'x'",
	"loadstring('redis.call(\"get\", \"x\")')()",
	"redis.call = nil return redis.call('get', KEYS[1])",
	"return redis.call('object', 'encoding', KEYS[1])",
	"return redis.call('get', KEYS[1]",
	"return 'no end",
	"--[[ no end",
	NULL,
};

START_TEST(closed_ones)
{
	ck_assert_int_eq(command_init(), 0);
	for (const char *const *t = are_closed; *t; t++)
		ck_assert_msg(closed(*t), "not closed: %s", *t);
}
END_TEST

START_TEST(others)
{
	ck_assert_int_eq(command_init(), 0);
	for (const char *const *t = are_not; *t; t++)
		ck_assert_msg(!closed(*t), "closed: %s", *t);
}
END_TEST

#define REG "redis.register_function('f', f)"

static const char *const closed_libraries[] = {
	"redis.register_function('f', function(keys, args) return redis.call('incrby', keys[1], args[1]) end)",
	"redis.register_function('f', function(KEYS) return redis.call('get', KEYS[1]) end)",
	"redis.register_function('f', function() return 1 end)",
	"redis.register_function('f', function(...) return select('#', ...) end)",
	"local function f(keys, args) local k = keys[1] return redis.call('get', k) end " REG,
	"local function f(keys, args) return redis.call('get', keys[1]) end\n"
	"local function g(keys, args) return redis.call('del', keys[1], keys[2]) end\n"
	"redis.register_function('f', f) redis.register_function('g', g)",
	"local function f(k) return redis.call('get', k[1]) end redis.register_function{function_name='f', callback=f, flags={'no-writes'}}",
	"redis.register_function({function_name='f', flags={'no-writes'}, callback=function(k) return redis.call('get', k[1]) end})",
	"local function double(x) return 2 * x end redis.register_function('f', function(k, a) return redis.call('incrby', k[1], "
	"double(a[1])) end)",
	"redis.log(redis.LOG_DEBUG, 'x') local limit = 5 redis.register_function('f', function(k) local n = redis.call('incr', k[1]) "
	"return n > limit end)",
	"local function f(k) local key = k[1] return redis.call('get', key) end local function g(k) local key = k[2] return "
	"redis.call('get', key) end " REG " redis.register_function('g', g)",
	NULL,
};

static const char *const other_libraries[] = {
	"redis.register_function('f', function(keys, args) return redis.call('get', args[1]) end)",
	"redis.register_function('f', function(keys) return redis.call('get', 'x') end)",
	"redis.register_function('f', function(keys) return redis.call('get', KEYS[1]) end)",
	"redis.register_function('f', function(...) local keys = ... return redis.call('get', keys[1]) end)",
	"redis.register_function('f', function(keys) keys[1] = 'x' return redis.call('get', keys[1]) end)",
	"redis.register_function('f', function(keys) keys = {'x'} return redis.call('get', keys[1]) end)",
	"redis.register_function('f', function(keys) table.insert(keys, 1, 'x') return redis.call('get', keys[1]) end)",
	"redis.register_function('f', function(keys, args) local keys = args return redis.call('get', keys[1]) end)",
	"redis.register_function('f', function(a, keys) return redis.call('get', keys[1]) end)",
	"redis.register_function('f', function(keys) return redis.call('get', keys[1]) end) "
	"redis.register_function('g', function(args, keys) return redis.call('get', keys[1]) end)",
	"redis.register_function('f', function(keys) return redis.call('get', keys[1]) end) "
	"redis.register_function('g', function(k, keys) return 1 end)",
	"local function f(keys) return redis.call('get', keys[1]) end " REG " redis.register_function('g', function() return f({'x'}) end)",
	"local function f(keys) return redis.call('get', keys[1]) end local g = f " REG,
	"local function h(keys) return redis.call('get', keys[1]) end redis.register_function('f', function(keys) return h({'x'}) end)",
	"local function h(keys) return redis.call('get', keys[1]) end redis.register_function('f', function(k) return h({'x'}) end)",
	"local h = function(keys) return redis.call('get', keys[1]) end redis.register_function('f', function(keys) return h(keys) end)",
	"local t = {callback=function(keys) return redis.call('get', keys[1]) end} redis.register_function('f', function(keys) return "
	"t.callback({'x'}) end)",
	"redis.register_function{function_name='f', callback=function(keys) return ({callback=function(keys) return redis.call('get', "
	"keys[1]) end}).callback({'x'}) end}",
	"local function f(keys) return redis.call('get', keys[1]) end redis.register_function('g', function(k) "
	"redis.register_function('h', f({'x'})) end) " REG,
	"local function f(keys) return redis.call('get', keys[1]) end redis.register_function('g', function(k) "
	"redis.register_function{callback=f{'x'}} end) " REG,
	"local t = {} function t.f(keys) return redis.call('get', keys[1]) end redis.register_function('f', t.f)",
	"local r = redis.register_function r('f', function(keys) return redis.call('get', keys[1]) end)",
	"redis.register_function('f', function(keys) for _, keys in pairs({{'x'}}) do redis.call('get', keys[1]) end end)",
	"local function f(keys) return redis.call('get', keys[1]) end local function f(keys) return redis.call('get', keys[1]) end " REG
	" redis.register_function('g', function(keys) return redis.call('get', keys[1]) end)",
	"local key = 'x' redis.register_function('f', function(keys) local key = keys[1] return redis.call('get', key) end) "
	"redis.register_function('g', function(keys) return redis.call('get', key) end)",
	NULL,
};

START_TEST(libraries)
{
	ck_assert_int_eq(command_init(), 0);
	for (const char *const *t = closed_libraries; *t; t++)
		ck_assert_msg(closed_check_library(*t, strlen(*t)), "not closed: %s", *t);
	for (const char *const *t = other_libraries; *t; t++)
		ck_assert_msg(!closed_check_library(*t, strlen(*t)), "closed: %s", *t);
	for (const char *const *t = closed_libraries; *t; t++) {
		for (size_t len = 0; len <= strlen(*t); len++) {
			char *copy = malloc(len ? len : 1);
			memcpy(copy, *t, len);
			closed_check_library(copy, len);
			free(copy);
		}
	}
}
END_TEST

/* Any beginning of any text is looked at without reading behind its end (AddressSanitizer sees that). */
START_TEST(every_beginning)
{
	ck_assert_int_eq(command_init(), 0);
	for (const char *const *t = are_not; *t; t++) {
		for (size_t len = 0; len <= strlen(*t); len++) {
			char *copy = malloc(len ? len : 1);
			memcpy(copy, *t, len);
			closed_check(copy, len);
			free(copy);
		}
	}
}
END_TEST

int main(void)
{
	Suite *s = suite_create("closed");
	TCase *c = tcase_create("closed");
	tcase_add_test(c, closed_ones);
	tcase_add_test(c, others);
	tcase_add_test(c, libraries);
	tcase_add_test(c, every_beginning);
	suite_add_tcase(s, c);
	return suite_run(s);
}
