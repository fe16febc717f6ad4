#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "server/command.h"
#include "server/script/closed.h"

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
	tcase_add_test(c, every_beginning);
	suite_add_tcase(s, c);
	SRunner *r = srunner_create(s);
	srunner_run_all(r, CK_ENV);
	int failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed ? 1 : 0;
}
