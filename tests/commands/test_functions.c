/* Functions: loading and its errors, calls, FUNCTION's subcommands, saving and the log, exchange with redis-server. */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "store/crc64.h"
#include "tests/lib/expect.h"

#define OK "+OK\r\n"
#define BY "Error registering functions: ERR "
#define LOAD "FUNCTION LOAD \"#!lua name=lib\\n"
#define BAD_NAME "Library names can only contain letters, numbers, or underscores(_) and must be at least one character long"

/* One library with one function whose body this is. */
static void load(struct resp_client *to, const char *library, const char *function, const char *body)
{
	char code[2048];
	int n = snprintf(code, sizeof code, "#!lua name=%s\nredis.register_function('%s', function(KEYS, ARGV) %s end)", library,
	                 function, body);
	struct resp_bytes r, argv[4] = { { "FUNCTION", 8 }, { "LOAD", 4 }, { "REPLACE", 7 }, { code, (size_t)n } };
	ck_assert(resp_send_argv(to, 4, argv) && resp_read(to, &r));
	ck_assert_msg(r.ptr[0] == '$', "%.*s", (int)r.len, r.ptr);
}

START_TEST(test_first_line)
{
	expect(c, "FUNCTION FLUSH", OK);
	static const char *const wrong[][2] = {
		{ "return 1", "Missing library metadata" },
		{ "#!lua name=lib", "Invalid library metadata" },
		{ "#!lua 'name\\nreturn 1", "Invalid library metadata" },
		{ "#!lua\\nreturn 1", "Library name was not given" },
		{ "#!lua name=lib other=1\\nreturn 1", "Invalid metadata value given: other=1" },
		{ "#!lua name=lib name=lib\\nreturn 1", "Invalid metadata value, name argument was given multiple times" },
		{ "#!lua name=a-b\\nreturn 1", BAD_NAME },
		{ "#!lua name=\\nreturn 1", BAD_NAME },
		{ "#!ruby name=lib\\nreturn 1", "Engine 'ruby' not found" },
		{ "#!lua name=lib\\nreturn 1", "No functions registered" },
		{ "#!lua name=lib\\nreturn 1 +", "Error compiling function: user_function:2: unexpected symbol near '<eof>'" },
		{ "#!lua name=lib\\n\\x1bLua", "Error compiling function: user_function:2: unexpected symbol near 'char(27)'" },
	};
	char line[256], reply[256];
	for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
		snprintf(line, sizeof line, "FUNCTION LOAD \"%s\"", wrong[i][0]);
		int n = snprintf(reply, sizeof reply, "-ERR %s\r\n", wrong[i][1]);
		expect_(c, line, reply, (size_t)n, __FILE__, __LINE__);
	}
	expect_bulk(c, "FUNCTION LOAD \"#!LUA\\t 'name=lib'  \\r\\nredis.register_function('f', function() return 1 end)\"", "lib");
	expect(c, "FCALL f 0", ":1\r\n");
}
END_TEST

/* What the code of a library says, and the error that follows. */
static void refused(const char *code, const char *error, int at)
{
	char line[1024], reply[512];
	snprintf(line, sizeof line, LOAD "%s\"", code);
	int n = snprintf(reply, sizeof reply, "-ERR %s\r\n", error);
	expect_(c, line, reply, (size_t)n, __FILE__, at);
}
#define expect_refused(code, error) refused(code, BY error, __LINE__)

START_TEST(test_registering)
{
	expect(c, "FUNCTION FLUSH", OK);
	expect_refused("redis.register_function()", "wrong number of arguments to redis.register_function");
	expect_refused("redis.register_function('f', 1, 2)", "wrong number of arguments to redis.register_function");
	expect_refused("redis.register_function('f')",
	               "calling redis.register_function with a single argument is only applicable to Lua table (representing "
	               "named arguments).");
	expect_refused("redis.register_function({}, 1)", "first argument to redis.register_function must be a string");
	expect_refused("redis.register_function('f', 1)", "second argument to redis.register_function must be a function");
	expect_refused("redis.register_function{}", "redis.register_function must get a function name argument");
	expect_refused("redis.register_function{function_name='f'}", "redis.register_function must get a callback argument");
	expect_refused("redis.register_function{function_name={}}",
	               "function_name argument given to redis.register_function must be a string");
	expect_refused("redis.register_function{callback=1}",
	               "callback argument given to redis.register_function must be a function");
	expect_refused("redis.register_function{description={}}",
	               "description argument given to redis.register_function must be a string");
	expect_refused("redis.register_function{flags=1}",
	               "flags argument to redis.register_function must be a table representing function flags");
	expect_refused("redis.register_function{flags={'no-writes','x'}}", "unknown flag given");
	expect_refused("redis.register_function{other=1}", "unknown argument given to redis.register_function");
	expect_refused("redis.register_function{1}", "unknown argument given to redis.register_function");
	expect_refused("redis.register_function('a b', function() end)", BAD_NAME);
	expect_refused("redis.register_function('f', function() end) redis.register_function('f', function() end)",
	               "Function already exists in the library");
	expect(c, "FCALL f 0", "-ERR Function not found\r\n"); /* nothing of a library that was refused stays */
	expect_bulk(c, LOAD "redis.register_function(1, function() return 7 end)\"", "lib");
	expect(c, "FCALL 1 0", ":7\r\n");
}
END_TEST

START_TEST(test_loading_is_fenced)
{
	expect(c, "FUNCTION FLUSH", OK);
	static const char *const absent[] = { "error", "pcall", "pairs", "setmetatable", "loadstring", "_G", "KEYS", "os", "x" };
	static const char *const no_field[] = { "call", "pcall", "sha1hex", "setresp", "set_repl", "acl_check_cmd", "x" };
	char code[128], error[128];
	for (size_t i = 0; i < sizeof absent / sizeof *absent; i++) {
		snprintf(code, sizeof code, "local a = %s", absent[i]);
		snprintf(error, sizeof error, BY "user_function:2: Script attempted to access nonexistent global variable '%s'",
		         absent[i]);
		refused(code, error, __LINE__);
	}
	for (size_t i = 0; i < sizeof no_field / sizeof *no_field; i++) {
		snprintf(code, sizeof code, "local a = redis.%s", no_field[i]);
		snprintf(error, sizeof error, BY "user_function:2: Script attempted to access nonexistent global variable '%s'",
		         no_field[i]);
		refused(code, error, __LINE__);
	}
	expect_refused("x = 1", "user_function:2: Attempt to modify a readonly table");
	expect_refused("redis.x = 1", "user_function:2: Attempt to modify a readonly table");
	expect_refused("while true do end", "FUNCTION LOAD timeout");
	expect_bulk(c, LOAD "local log, reg = redis.log, redis.register_function\\nlog(redis.LOG_DEBUG, redis.REDIS_VERSION)\\n"
	            "reg('f', function() return reg('g', function() end) end)\"", "lib");
	expect(c, "FCALL f 0", "-ERR redis.register_function can only be called on FUNCTION LOAD command script: f, on "
	                       "@user_function:4.\r\n");
	expect(c, "EVAL \"return redis.register_function\" 0", "$-1\r\n");
}
END_TEST

START_TEST(test_calls)
{
	load(c, "lib", "f", "return {KEYS[1], ARGV[1], #KEYS, #ARGV}");
	expect(c, "FCALL f 1 a b c", "*4\r\n$1\r\na\r\n$1\r\nb\r\n:1\r\n:2\r\n");
	expect(c, "FCALL F 0 x y", "*0\r\n"); /* by name in any case; nil ends a table */
	expect(c, "FCALL f 2 a", "-ERR Number of keys can't be greater than number of args\r\n");
	expect(c, "FCALL f -1 a", "-ERR Number of keys can't be negative\r\n");
	expect(c, "FCALL f x a", "-ERR Bad number of keys provided\r\n");
	expect(c, "FCALL g x a", "-ERR Function not found\r\n");
	expect(c, "FCALL_RO f 0", "-ERR Can not execute a script with write flag using *_ro command.\r\n");
	load(c, "lib", "f", "redis.call('set', KEYS[1], ARGV[1]) return redis.call('incr', KEYS[1])");
	expect(c, "FCALL f 1 k 41", ":42\r\n");
	expect(c, "FCALL f 1 k x", "-ERR value is not an integer or out of range script: f, on @user_function:2.\r\n");
	expect(c, "GET k", "$1\r\nx\r\n");
	load(c, "lib", "f", "error('boo')");
	expect(c, "FCALL f 0", "-ERR user_function:2: boo script: f, on @user_function:2.\r\n");
	load(c, "lib", "f", "return KEYS.x.y");
	expect(c, "FCALL f 0", "-ERR user_function:2: attempt to index field 'x' (a nil value) script: f, on "
	                       "@user_function:2.\r\n");
	load(c, "lib", "f", "x = 1");
	expect(c, "FCALL f 0", "-ERR user_function:2: Attempt to modify a readonly table script: f, on @user_function:2.\r\n");
	load(c, "lib", "f", "return redis.setresp(3) or {map={a=1}}");
	expect_any(c, "HELLO 3");
	expect(c, "FCALL f 0", "%1\r\n$1\r\na\r\n:1\r\n");
	expect_prefix(c, "EVAL \"return redis.call('fcall', 'f', 0)\" 0",
	              "-ERR This Redis command is not allowed from script script: ");
}
END_TEST

COMMAND_TESTS("functions", test_first_line, test_registering, test_loading_is_fenced, test_calls)
