/* Functions: loading and its errors, calls, FUNCTION's subcommands, saving and the log, exchange with redis-server. */
#include <poll.h>
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

#define LIST_F \
	"*6\r\n$12\r\nlibrary_name\r\n$1\r\na\r\n$6\r\nengine\r\n$3\r\nLUA\r\n$9\r\nfunctions\r\n*2\r\n" \
	"*6\r\n$4\r\nname\r\n$1\r\nf\r\n$11\r\ndescription\r\n$4\r\nsays\r\n$5\r\nflags\r\n*2\r\n+no-writes\r\n+allow-oom\r\n" \
	"*6\r\n$4\r\nname\r\n$1\r\ng\r\n$11\r\ndescription\r\n$-1\r\n$5\r\nflags\r\n*0\r\n"
#define CODE_F \
	"redis.register_function{function_name='f', callback=function() return 1 end, description='says', " \
	"flags={'allow-oom', 'no-writes'}} redis.register_function('g', function() return 2 end)"

START_TEST(test_listing)
{
	expect(c, "FUNCTION FLUSH", OK);
	expect(c, "FUNCTION LIST", "*0\r\n");
	expect_bulk(c, "FUNCTION LOAD \"#!lua name=a\\n" CODE_F "\"", "a");
	expect(c, "FUNCTION LIST", "*1\r\n" LIST_F);
	expect(c, "FUNCTION LIST LIBRARYNAME A*", "*1\r\n" LIST_F);
	expect(c, "FUNCTION LIST LIBRARYNAME b*", "*0\r\n");
	load(c, "b", "h", "return 3");
	expect(c, "FUNCTION LIST LIBRARYNAME b WITHCODE",
	       "*1\r\n*8\r\n$12\r\nlibrary_name\r\n$1\r\nb\r\n$6\r\nengine\r\n$3\r\nLUA\r\n$9\r\nfunctions\r\n*1\r\n*6\r\n"
	       "$4\r\nname\r\n$1\r\nh\r\n$11\r\ndescription\r\n$-1\r\n$5\r\nflags\r\n*0\r\n$12\r\nlibrary_code\r\n"
	       "$76\r\n#!lua name=b\nredis.register_function('h', function(KEYS, ARGV) return 3 end)\r\n");
	expect_any(c, "HELLO 3");
	expect(c, "FUNCTION LIST LIBRARYNAME b",
	       "*1\r\n%3\r\n$12\r\nlibrary_name\r\n$1\r\nb\r\n$6\r\nengine\r\n$3\r\nLUA\r\n$9\r\nfunctions\r\n*1\r\n%3\r\n"
	       "$4\r\nname\r\n$1\r\nh\r\n$11\r\ndescription\r\n_\r\n$5\r\nflags\r\n~0\r\n");
	expect(c, "FUNCTION STATS", "%2\r\n$14\r\nrunning_script\r\n_\r\n$7\r\nengines\r\n%1\r\n$3\r\nLUA\r\n%2\r\n"
	                            "$15\r\nlibraries_count\r\n:2\r\n$15\r\nfunctions_count\r\n:3\r\n");
	expect_any(c, "HELLO 2");
	expect(c, "FUNCTION LIST WITHCODE WITHCODE", "-ERR Unknown argument WITHCODE\r\n");
	expect(c, "FUNCTION LIST LIBRARYNAME", "-ERR library name argument was not given\r\n");
	ck_assert_int_eq(info_int(c, "memory", "number_of_libraries"), 2);
	ck_assert_int_eq(info_int(c, "memory", "number_of_functions"), 3);
	ck_assert_int_gt(info_int(c, "memory", "used_memory_functions"), 200);
	expect_bulk(c, LOAD "redis.register_function('x', function() return 4 end)\"", "lib");
	ck_assert_int_gt(info_int(c, "memory", "used_memory_vm_functions"), 10000);
	expect(c, "FUNCTION DELETE lib", OK);
	expect(c, "FUNCTION DELETE lib", "-ERR Library not found\r\n");
	expect(c, "FCALL x 0", "-ERR Function not found\r\n");
}
END_TEST

START_TEST(test_names_collide)
{
	expect(c, "FUNCTION FLUSH ASYNC", OK);
	load(c, "a", "f", "return 1");
	expect(c, LOAD "redis.register_function('f', function() end)\"", "-ERR Function f already exists\r\n");
	expect(c, LOAD "redis.register_function('F', function() end)\"", "-ERR Function F already exists\r\n");
	expect(c, "FUNCTION LOAD \"#!lua name=a\\nredis.register_function('g', function() end)\"",
	       "-ERR Library 'a' already exists\r\n");
	expect_bulk(c, "FUNCTION LOAD REPLACE \"#!lua name=a\\nredis.register_function('g', function() return 5 end)\"", "a");
	expect(c, "FCALL f 0", "-ERR Function not found\r\n");
	expect(c, "FCALL g 0", ":5\r\n");
	/* What replaces a library and is refused leaves it as it was. */
	load(c, "b", "h", "return 6");
	expect(c, "FUNCTION LOAD REPLACE \"#!lua name=a\\nredis.register_function('h', function() end)\"",
	       "-ERR Function h already exists\r\n");
	expect(c, "FUNCTION LOAD REPLACE \"#!lua name=a\\nredis.register_function('g', 1)\"",
	       "-ERR " BY "second argument to redis.register_function must be a function\r\n");
	expect(c, "FCALL g 0", ":5\r\n");
	expect(c, "FCALL h 0", ":6\r\n");
	/* Both cases in one library: the first one is found. */
	expect_bulk(c, LOAD "redis.register_function('Q', function() return 1 end) redis.register_function('q', "
	            "function() return 2 end)\"", "lib");
	expect(c, "FCALL q 0", ":1\r\n");
	expect(c, "FUNCTION DELETE lib", OK);
	expect(c, "FUNCTION LOAD", "-ERR wrong number of arguments for 'function|load' command\r\n");
	expect(c, "FUNCTION LOAD again x", "-ERR Unknown option given: again\r\n");
	expect(c, "FUNCTION FLUSH now", "-ERR FUNCTION FLUSH only supports SYNC|ASYNC option\r\n");
	expect(c, "FUNCTION FLUSH sync sync",
	       "-ERR unknown subcommand or wrong number of arguments for 'FLUSH'. Try FUNCTION HELP.\r\n");
}
END_TEST

/* The payload, malloc'ed. */
static char *dump(struct resp_client *from, size_t *len)
{
	struct resp_value *v = resp_ask(from, "FUNCTION DUMP");
	ck_assert(v && v->type == '$' && !v->null);
	char *bytes = malloc(v->len);
	memcpy(bytes, v->text, v->len);
	*len = v->len;
	resp_value_free(v);
	return bytes;
}

static void restore(struct resp_client *to, const void *payload, size_t len, const char *policy, const char *reply, int at)
{
	struct resp_bytes r, argv[4] = { { "FUNCTION", 8 }, { "RESTORE", 7 }, { payload, len }, { policy, strlen(policy) } };
	ck_assert(resp_send_argv(to, *policy ? 4 : 3, argv) && resp_read(to, &r));
	ck_assert_msg(r.len == strlen(reply) && !memcmp(r.ptr, reply, r.len), "line %d: %.*s", at, (int)r.len, r.ptr);
}
#define expect_restore(payload, len, policy, reply) restore(c, payload, len, policy, reply, __LINE__)

START_TEST(test_restoring)
{
	size_t len;
	expect(c, "FUNCTION FLUSH", OK);
	load(c, "a", "f", "return 1");
	load(c, "b", "g", "return 2");
	char *both = dump(c, &len);
	expect_restore(both, len, "", "-ERR Library a already exists\r\n");
	expect_restore(both, len, "APPEND", "-ERR Library a already exists\r\n");
	expect_restore(both, len, "other", "-ERR Wrong restore policy given, value should be either FLUSH, APPEND or REPLACE.\r\n");
	load(c, "a", "f", "return 3");
	load(c, "z", "z", "return 4");
	expect_restore(both, len, "REPLACE", OK);
	expect(c, "FCALL f 0", ":1\r\n");
	expect(c, "FCALL z 0", ":4\r\n");
	expect_restore(both, len, "FLUSH", OK);
	expect(c, "FCALL z 0", "-ERR Function not found\r\n");
	expect(c, "FUNCTION DELETE b", OK);
	load(c, "y", "G", "return 5");
	expect_restore(both, len, "REPLACE", "-ERR Function g already exists\r\n");
	expect(c, "FCALL g 0", ":5\r\n");
	expect(c, "FUNCTION FLUSH", OK);
	expect_restore(both, len, "", OK);
	expect(c, "FCALL g 0", ":2\r\n");
	/* Any damage is noticed, and nothing of the payload comes in. */
	expect(c, "FUNCTION FLUSH", OK);
	for (size_t i = 0; i < len; i++) {
		both[i] ^= 4;
		expect_restore(both, len, "FLUSH", "-ERR DUMP payload version or checksum are wrong\r\n");
		both[i] ^= 4;
	}
	expect_restore(both, 9, "", "-ERR DUMP payload version or checksum are wrong\r\n");
	expect(c, "FUNCTION LIST", "*0\r\n");
	free(both);
}
END_TEST

/* A payload of these bytes, with version and checksum behind them. */
static void expect_payload(const char *bytes, size_t n, const char *reply, int at)
{
	char payload[256];
	memcpy(payload, bytes, n);
	payload[n++] = 10;
	payload[n++] = 0;
	uint64_t crc = crc64_update(0, payload, n);
	for (int i = 0; i < 8; i++)
		payload[n++] = (char)(crc >> 8 * i);
	restore(c, payload, n, "FLUSH", reply, at);
}
#define PAYLOAD(bytes, reply) expect_payload(bytes, sizeof(bytes) - 1, reply, __LINE__)

START_TEST(test_payloads)
{
	expect(c, "FUNCTION FLUSH", OK);
	load(c, "kept", "f", "return 1");
	PAYLOAD("\xf6\x01" "a", "-ERR Pre-GA function format not supported\r\n");
	PAYLOAD("\x00\x01" "a", "-ERR given type is not a function\r\n");
	PAYLOAD("\xf5\x01" "a", "-ERR Missing library metadata\r\n");
	PAYLOAD("\xf5\xc0\x05", "-ERR Missing library metadata\r\n");
	PAYLOAD("\xf5\x05" "a", "-ERR Failed loading library code\r\n");
	PAYLOAD("\xf5", "-ERR Failed loading library code\r\n");
	PAYLOAD("\xf5\x0c#!lua name=q", "-ERR Invalid library metadata\r\n");
	PAYLOAD("\xf5\x0f#!lua name=q\n 1", "-ERR Error compiling function: user_function:2: unexpected symbol near '1'\r\n");
	PAYLOAD("\xf5\x0d#!lua name=q\n", "-ERR No functions registered\r\n");
	PAYLOAD("\xf5\x35#!lua name=q\nredis.register_function('x',redis.log)..",
	        "-ERR Error compiling function: user_function:2: unexpected symbol near '..'\r\n");
	PAYLOAD("\xf5\x33#!lua name=q\nredis.register_function('x',redis.log)\xf5\x33#!lua name=q\nredis.register_function('x',"
	        "redis.log)",
	        "-ERR Library 'q' already exists\r\n");
	PAYLOAD("\xf5\x33#!lua name=q\nredis.register_function('x',redis.log)\xf5\x33#!lua name=r\nredis.register_function('X',"
	        "redis.log)",
	        "-ERR Function X already exists\r\n");
	expect(c, "FCALL f 0", ":1\r\n"); /* FLUSH comes after everything was found good */
	PAYLOAD("", OK);
	expect(c, "FCALL f 0", "-ERR Function not found\r\n");
}
END_TEST

START_TEST(test_exchange_with_another_server)
{
	struct proc p;
	size_t ours, theirs;
	if (proc_start(&p, &(struct proc_spec){ .oracle = true })) {
		fprintf(stderr, "no server to compare with: not run\n");
		return;
	}
	struct resp_client *oracle = resp_connect(p.port);
	expect(c, "FUNCTION FLUSH", OK);
	load(c, "lib", "f", "return 'a body that is long enough to be compressed: a body that is long enough'");
	load(oracle, "lib", "f", "return 'a body that is long enough to be compressed: a body that is long enough'");
	char *a = dump(c, &ours), *b = dump(oracle, &theirs);
	if (b[theirs - 10] == a[ours - 10]) { /* the same version: the same bytes */
		ck_assert_uint_eq(ours, theirs);
		ck_assert(!memcmp(a, b, ours));
	}
	expect(c, "FUNCTION FLUSH", OK);
	expect(oracle, "FUNCTION FLUSH", OK);
	restore(oracle, a, ours, "", OK, __LINE__);
	restore(c, b, theirs, "", OK, __LINE__);
	expect_prefix(c, "FCALL f 0", "$71\r\na body");
	expect_prefix(oracle, "FCALL f 0", "$71\r\na body");
	free(a);
	free(b);
	resp_close(oracle);
	proc_stop(&p);
}
END_TEST

static void *call_it(void *arg)
{
	struct resp_client *mine = connect_to(&server);
	char line[64];
	for (int i = 0; i < 500; i++) {
		expect_any(mine, i % 2 ? "FCALL add 1 counter:{x} 1" : "FCALL sneaky 0");
		snprintf(line, sizeof line, i % 3 ? "APPEND last %s%d," : "FCALL put 0 %s%d,", (const char *)arg, i);
		expect_any(mine, line);
	}
	resp_close(mine);
	return NULL;
}

/* Every loop runs functions, while libraries come and go; the journal has it all in the same order. */
START_TEST(test_all_loops_call)
{
	pthread_t threads[4];
	expect(c, "FUNCTION FLUSH", OK);
	load(c, "a", "add", "return redis.call('incrby', KEYS[1], ARGV[1])");
	load(c, "b", "sneaky", "redis.call('incr', 'one') redis.call('incr', 'two') return redis.call('dbsize')");
	load(c, "p", "put", "return redis.call('append', 'la' .. 'st', ARGV[1])");
	expect(c, "DEBUG JOURNAL START", OK);
	for (int i = 0; i < 4; i++)
		pthread_create(&threads[i], NULL, call_it, (void *)(uintptr_t)&"a\0b\0c\0d"[2 * i]);
	for (int i = 0; i < 100; i++) {
		/* In turns one that can be seen to stay with its keys, and one that cannot. */
		load(c, "a", "add", i % 2 ? "return redis.call('incrby', KEYS[1], ARGV[1])"
		                          : "local k = 'counter:' .. '{x}' redis.call('get', 'one') return redis.call('incrby', k, 1)");
		load(c, "other", "other", "return 1");
		expect(c, "FCALL other 0", ":1\r\n");
		expect(c, "FUNCTION DELETE other", OK);
	}
	for (int i = 0; i < 4; i++)
		pthread_join(threads[i], NULL);
	expect_bulk(c, "GET counter:{x}", "1000");
	expect_bulk(c, "GET one", "1000");
	expect_bulk(c, "GET two", "1000");
	expect(c, "DEBUG JOURNAL CHECK", OK);
	expect(c, "DEBUG JOURNAL STOP", OK);
}
END_TEST

START_TEST(test_a_slow_function_is_killed)
{
	struct resp_client *slow = connect_to(&server), *killer = connect_to(&server);
	struct resp_bytes r;
	const char *nothing = "*4\r\n$14\r\nrunning_script\r\n$-1\r\n";
	expect(c, "FUNCTION KILL", "-NOTBUSY No scripts in execution right now.\r\n");
	expect(c, "FUNCTION FLUSH", OK);
	load(c, "lib", "spin", "while true do end");
	expect(c, "CONFIG SET busy-reply-threshold 50", OK);
	ck_assert(resp_send(slow, "FCALL spin 1 k arg"));
	do {
		ck_assert(resp_send(killer, "FUNCTION STATS") && resp_read(killer, &r));
	} while (!strncmp(r.ptr, nothing, strlen(nothing)));
	const char *want = "*4\r\n$14\r\nrunning_script\r\n*6\r\n$4\r\nname\r\n$4\r\nspin\r\n$7\r\ncommand\r\n*5\r\n$5\r\nFCALL\r\n"
	                    "$4\r\nspin\r\n$1\r\n1\r\n$1\r\nk\r\n$3\r\narg\r\n$11\r\nduration_ms\r\n:";
	ck_assert_msg(!strncmp(r.ptr, want, strlen(want)), "%.*s", (int)r.len, r.ptr);
	expect_prefix(killer, "SCRIPT KILL", "-BUSY ");
	expect(killer, "FUNCTION KILL", OK);
	expect_reply(slow, "-ERR Script killed by user with FUNCTION KILL. script: spin, on @user_function:2.\r\n");
	ck_assert(resp_send(slow, "EVAL \"while true do end\" 0"));
	do {
		ck_assert(resp_send(killer, "FUNCTION KILL") && resp_read(killer, &r));
	} while (!strncmp(r.ptr, "-NOTBUSY", 8));
	ck_assert_msg(!strncmp(r.ptr, "-BUSY Redis is busy running a script. You can only call SCRIPT KILL", 67), "%.*s", (int)r.len,
	              r.ptr);
	expect_prefix(killer, "FUNCTION STATS", "-BUSY ");
	expect_prefix(killer, "FUNCTION LIST", "-BUSY ");
	expect(killer, "SCRIPT KILL", OK);
	expect_prefix(slow, NULL, "-ERR Script killed by user with SCRIPT KILL. script: ");
	expect(c, "CONFIG SET busy-reply-threshold 5000", OK);
	resp_close(slow);
	resp_close(killer);
}
END_TEST

START_TEST(test_a_function_that_wrote_is_not_killed)
{
	struct proc p;
	own_server(&p, "save \"\"\nbusy-reply-threshold 50\n");
	struct resp_client *slow = connect_to(&p), *killer = connect_to(&p);
	struct resp_bytes r;
	struct pollfd over = { slow->fd, POLLIN, 0 };
	char line[64];
	bool busy = false;
	load(slow, "lib", "spin", "redis.call('set', KEYS[1], 1) local n, m = 0, tonumber(ARGV[1]) while n < m do n = n + 1 end return n");
	for (long long turns = 30000000; !busy; turns *= 2) { /* longer, if it was over before anybody was told that it is busy */
		ck_assert_int_lt(turns, 20000000000);
		snprintf(line, sizeof line, "FCALL spin 1 k %lld", turns);
		ck_assert(resp_send(slow, line));
		while (!busy && poll(&over, 1, 0) == 0) {
			ck_assert(resp_send(killer, "FUNCTION KILL") && resp_read(killer, &r));
			busy = strncmp(r.ptr, "-NOTBUSY", 8) != 0;
		}
		ck_assert_msg(!busy || !strncmp(r.ptr, "-UNKILLABLE ", 12), "%.*s", (int)r.len, r.ptr);
		snprintf(line, sizeof line, ":%lld\r\n", turns);
		expect_(slow, NULL, line, strlen(line), __FILE__, __LINE__);
	}
	expect(killer, "FUNCTION KILL", "-NOTBUSY No scripts in execution right now.\r\n");
	resp_close(slow);
	resp_close(killer);
	ck_assert_int_eq(proc_stop(&p), 0);
}
END_TEST

START_TEST(test_journal_and_transactions)
{
	expect(c, "FUNCTION FLUSH", OK);
	load(c, "before", "b", "return 1");
	expect(c, "DEBUG JOURNAL START", OK);
	load(c, "lib", "f", "redis.call('set', KEYS[1], 1) return redis.call('incr', KEYS[1])");
	expect(c, "FCALL f 1 k", ":2\r\n");
	load(c, "lib2", "g", "return 1");
	expect(c, "FUNCTION DELETE before", OK);
	expect(c, "MULTI", OK);
	expect(c, "FCALL f 1 k", "+QUEUED\r\n");
	expect(c, "FUNCTION DELETE lib", "+QUEUED\r\n");
	expect(c, "FCALL f 1 k", "+QUEUED\r\n");
	expect(c, "EXEC", "*3\r\n:2\r\n+OK\r\n-ERR Function not found\r\n");
	expect(c, "DEBUG JOURNAL CHECK", OK);
	expect(c, "FUNCTION FLUSH", OK);
	expect(c, "FLUSHALL", OK);
	load(c, "lib", "f", "return 1");
	expect(c, "DEBUG JOURNAL CHECK", OK);
	expect(c, "DEBUG JOURNAL STOP", OK);
}
END_TEST

START_TEST(test_memory_limit)
{
	struct proc p;
	own_server(&p, "save \"\"\n");
	struct resp_client *o = connect_to(&p);
	load(o, "a", "plain", "return 1");
	expect_bulk(o, LOAD "redis.register_function{function_name='oom', callback=function(k) return redis.call('set', k[1], 'v') end, "
	            "flags={'allow-oom'}} redis.register_function{function_name='ro', callback=function() return "
	            "redis.call('set', 'a', 'v') end, flags={'no-writes'}}\"", "lib");
	expect(o, "CONFIG SET maxmemory 1", OK);
	expect(o, "FCALL plain 0", "-OOM command not allowed when used memory > 'maxmemory'.\r\n");
	expect(o, "FCALL_RO plain 0", "-OOM command not allowed when used memory > 'maxmemory'.\r\n");
	expect(o, "EVAL \"#!lua\\nreturn 1\" 0", "-OOM command not allowed when used memory > 'maxmemory'.\r\n");
	expect(o, "FCALL oom 1 k", OK);
	expect(o, "FCALL ro 0", "-ERR Write commands are not allowed from read-only scripts. script: ro, on @user_function:2.\r\n");
	expect(o, "FCALL_RO ro 0",
	       "-ERR Write commands are not allowed from read-only scripts. script: ro, on @user_function:2.\r\n");
	expect_prefix(o, "FUNCTION LOAD x", "-OOM ");
	expect(o, "FUNCTION DELETE a", OK);
	resp_close(o);
	ck_assert_int_eq(proc_stop(&p), 0);
}
END_TEST

/* ------------------------------------------------------------------ files */

static struct resp_client *start_in(struct proc *p, const char *dir, const char *config)
{
	char keep[sizeof p->dir] = "";
	if (dir)
		snprintf(keep, sizeof keep, "%s", dir);
	if (proc_start(p, &(struct proc_spec){ .config = config, .dir = dir ? keep : NULL })) {
		char *log = proc_output(p, false);
		ck_abort_msg("the server did not start:\n%s", log);
	}
	p->keep_dir = true;
	return connect_to(p);
}

static void stop(struct proc *p, struct resp_client *o, bool keep)
{
	resp_close(o);
	p->keep_dir = keep;
	ck_assert_int_eq(proc_stop(p), 0);
}

START_TEST(test_saving)
{
	struct proc p;
	struct resp_client *o = start_in(&p, NULL, "save \"\"\nenable-debug-command yes\n");
	load(o, "a", "f", "return 1");
	load(o, "b", "g", "return 2");
	expect(o, "SET k v", OK);
	expect(o, "DEBUG RELOAD", OK);
	expect(o, "FCALL f 0", ":1\r\n");
	expect(o, "FUNCTION DELETE b", OK);
	expect(o, "FLUSHALL", OK); /* keeps them */
	expect(o, "FCALL f 0", ":1\r\n");
	expect(o, "SAVE", OK);
	/* In the file as in memory: an error without MERGE, replaced with it. */
	expect_prefix(o, "DEBUG RELOAD NOFLUSH NOSAVE", "-ERR ");
	expect(o, "DEBUG RELOAD NOFLUSH NOSAVE MERGE", OK);
	expect(o, "FCALL f 0", ":1\r\n");
	expect(o, "SAVE", OK);
	stop(&p, o, true);
	o = start_in(&p, p.dir, "save \"\"\n");
	expect(o, "FCALL f 0", ":1\r\n");
	expect(o, "FCALL g 0", "-ERR Function not found\r\n");
	ck_assert_int_eq(info_int(o, "memory", "number_of_libraries"), 1);
	stop(&p, o, false);
}
END_TEST

/* Whose the file is makes no difference: theirs, then ours in their place, then theirs again. */
START_TEST(test_files_of_another_server)
{
	struct proc p;
	if (proc_start(&p, &(struct proc_spec){ .oracle = true, .config = "save \"\"\n" })) {
		fprintf(stderr, "no server to compare with: not run\n");
		return;
	}
	struct resp_client *o = connect_to(&p);
	load(o, "a", "f", "return 'theirs, in a string that is long enough to be compressed, compressed, compressed'");
	expect(o, "SAVE", OK);
	stop(&p, o, true);
	o = start_in(&p, p.dir, "save \"\"\n");
	expect_prefix(o, "FCALL f 0", "$80\r\ntheirs, ");
	load(o, "b", "g", "return 'ours, in a string that is long enough to be compressed, compressed, compressed'");
	expect(o, "SAVE", OK);
	stop(&p, o, true);
	char dir[sizeof p.dir];
	snprintf(dir, sizeof dir, "%s", p.dir);
	ck_assert_int_eq(proc_start(&p, &(struct proc_spec){ .oracle = true, .config = "save \"\"\n", .dir = dir }), 0);
	o = connect_to(&p);
	expect_prefix(o, "FCALL f 0", "$80\r\ntheirs, ");
	expect_prefix(o, "FCALL g 0", "$78\r\nours, ");
	stop(&p, o, false);
}
END_TEST

/* With a base of either form, and before there is one. */
static void log_keeps_functions(const char *config)
{
	struct proc p;
	struct resp_client *o = start_in(&p, NULL, config);
	load(o, "a", "f", "return redis.call('incr', KEYS[1])");
	load(o, "b", "g", "return 2");
	load(o, "gone", "h", "return 3");
	expect(o, "FCALL f 1 k", ":1\r\n");
	expect(o, "FUNCTION DELETE gone", OK);
	stop(&p, o, true);
	o = start_in(&p, p.dir, config);
	expect(o, "FCALL f 1 k", ":2\r\n");
	expect(o, "FCALL g 0", ":2\r\n");
	expect(o, "FCALL h 0", "-ERR Function not found\r\n");
	expect_prefix(o, "BGREWRITEAOF", "+");
	load(o, "a", "f", "return redis.call('incrby', KEYS[1], 10)"); /* replaced behind the cut */
	load(o, "c", "i", "return 4");
	while (info_int(o, "persistence", "aof_rewrite_in_progress") != 0)
		;
	expect(o, "FUNCTION DELETE b", OK);
	expect(o, "DEBUG LOADAOF", OK);
	expect(o, "FCALL g 0", "-ERR Function not found\r\n");
	expect(o, "FCALL i 0", ":4\r\n");
	ck_assert_int_eq(info_int(o, "memory", "number_of_libraries"), 2);
	stop(&p, o, true);
	o = start_in(&p, p.dir, config);
	expect(o, "FCALL f 1 k", ":12\r\n");
	expect(o, "FCALL i 0", ":4\r\n");
	expect(o, "FCALL g 0", "-ERR Function not found\r\n");
	size_t len;
	char *both = dump(o, &len);
	expect(o, "FUNCTION FLUSH", OK);
	restore(o, both, len, "REPLACE", OK, __LINE__);
	free(both);
	stop(&p, o, true);
	o = start_in(&p, p.dir, config);
	expect(o, "FCALL i 0", ":4\r\n");
	stop(&p, o, false);
}

START_TEST(test_log_rdb_base)
{
	log_keeps_functions("appendonly yes\nsave \"\"\nenable-debug-command yes\n");
}
END_TEST

START_TEST(test_log_commands_base)
{
	log_keeps_functions("appendonly yes\nsave \"\"\nenable-debug-command yes\naof-use-rdb-preamble no\n");
}
END_TEST

COMMAND_TESTS_WITH("functions", "enable-debug-command yes\n", test_first_line, test_registering, test_loading_is_fenced,
                   test_calls, test_listing, test_names_collide, test_restoring, test_payloads,
                   test_exchange_with_another_server, test_all_loops_call, test_a_slow_function_is_killed,
                   test_a_function_that_wrote_is_not_killed, test_journal_and_transactions, test_memory_limit,
                   test_saving, test_files_of_another_server, test_log_rdb_base, test_log_commands_base)
