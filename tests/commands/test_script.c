/* Scripts: results, errors, the sandbox (the rows of "Scripts" among the known mistakes), atomicity over loops. */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/lib/expect.h"

#define OK "+OK\r\n"
#define READONLY "ERR user_script:1: Attempt to modify a readonly table"

/* EVAL "source" 0 */
static void eval(const char *source, const char *reply, const char *file, int at)
{
	struct resp_bytes argv[3] = { { "EVAL", 4 }, { source, strlen(source) }, { "0", 1 } }, r;
	ck_assert(resp_send_argv(c, 3, argv) && resp_read(c, &r));
	char *got = resp_printable(r.ptr, r.len), *want = resp_printable(reply, strlen(reply));
	bool same = !strncmp(got, want, strlen(want));
	ck_assert_msg(same, "%s:%d: %s\n   want %s\n    got %s", file, at, source, want, got);
	free(got);
	free(want);
}
#define expect_eval(source, reply) eval(source, reply, __FILE__, __LINE__)

START_TEST(test_results)
{
	expect_eval("return 3.99", ":3\r\n");
	expect_eval("return 'x'", "$1\r\nx\r\n");
	expect_eval("return true", ":1\r\n");
	expect_eval("return false", "$-1\r\n");
	expect_eval("return nil", "$-1\r\n");
	expect_eval("return {1, 'two', {3}, nil, 4}", "*3\r\n:1\r\n$3\r\ntwo\r\n*1\r\n:3\r\n");
	expect_eval("return {ok='fine'}", "+fine\r\n");
	expect_eval("return {err='MY error'}", "-MY error\r\n");
	expect_eval("return redis.error_reply('x')", "-ERR x\r\n");
	expect_eval("return redis.error_reply('-CODE x')", "-CODE x\r\n");
	expect_eval("return redis.error_reply('\\r\\nX\\n').err", "$5\r\nERR X\r\n");
	expect_eval("return redis.error_reply('-A\\n B\\r\\n').err", "$4\r\nA\n B\r\n");
	expect_eval("return redis.status_reply('S')", "+S\r\n");
	expect_eval("return {double=0.5}", "$3\r\n0.5\r\n");
	expect_eval("return redis.sha1hex('')", "$40\r\nda39a3ee5e6b4b0d3255bfef95601890afd80709\r\n");
	expect_eval("return {err='-x'}", "--x\r\n");
	expect_eval("return {big_number='1\\r\\n+OK'}", "$6\r\n1  +OK\r\n");
	expect_eval("return {verbatim_string={format='x', string='y'}}", "$1\r\ny\r\n");
	expect_eval("return {err='line\\r\\nSET a b'}", "-line  SET a b\r\n");
	expect_eval("return {ok='line\\r\\n+OK'}", "+line  +OK\r\n");
	expect(c, "EVAL \"return {KEYS[1], KEYS[2], ARGV[1], #ARGV}\" 2 a b c d",
	       "*4\r\n$1\r\na\r\n$1\r\nb\r\n$1\r\nc\r\n:2\r\n");
	expect_any(c, "HELLO 3");
	expect_eval("redis.setresp(3) return {map={a=1}}", "%1\r\n$1\r\na\r\n:1\r\n");
	expect_eval("redis.setresp(3) return redis.call('hgetall', 'none')", "%0\r\n");
	expect_eval("redis.setresp(3) return true", "#t\r\n");
	expect_eval("return {big_number='1\\r\\n+OK'}", "(1  +OK\r\n");
	expect_eval("return {verbatim_string={format='x', string='y'}}", "=5\r\nx  :y\r\n");
	expect_eval("return false", "_\r\n");
}
END_TEST

START_TEST(test_calls)
{
	expect_eval("return redis.call('set', 'k', 1.5)", OK);
	expect_eval("return redis.call('get', 'k')", "$3\r\n1.5\r\n");
	expect_eval("return redis.call('incr', 'n') + redis.call('incr', 'n')", ":3\r\n");
	expect_eval("local t = {} for i, v in ipairs({0.1, 1e17, 4e18, 5e18, 1e20, 1e-7, 2 ^ 53, 1 / 3, 0 / 0}) do redis.call('set', 'x', v) "
	            "t[i] = redis.call('get', 'x') end return table.concat(t, ' ')",
	            "$100\r\n0.1 100000000000000000 4000000000000000000 5e+18 1e+20 1e-7 9007199254740992 0.3333333333333333 -nan\r\n");
	expect_eval("return redis.call('get', 'none')", "$-1\r\n");
	expect_eval("return redis.call('get', 'none') == false", ":1\r\n");
	expect_eval("return redis.call('ping').ok", "$4\r\nPONG\r\n");
	expect_eval("return redis.call('lpush', 'k', 1)", "-WRONGTYPE Operation against a key holding the wrong kind of value script: ");
	expect_eval("return redis.pcall('lpush', 'k', 1).err", "$65\r\nWRONGTYPE ");
	expect_eval("return {pcall(redis.call, 'lpush', 'k', 1)}", "*2\r\n$-1\r\n$65\r\nWRONGTYPE ");
	expect_eval("return redis.call('nosuch')", "-ERR Unknown Redis command called from script script: ");
	expect_eval("return redis.call('get')", "-ERR Wrong number of args calling Redis command from script script: ");
	expect_eval("return redis.call()", "-ERR Please specify at least one argument for this redis lib call script: ");
	expect_eval("return redis.call({})", "-ERR Lua redis lib command arguments must be strings or integers script: ");
	expect_eval("return redis.call('eval', 'return 1', 0)", "-ERR This Redis command is not allowed from script script: ");
	expect_eval("redis.call('select', 3) return redis.call('set', 'there', 1)", OK);
	expect(c, "EXISTS there", ":0\r\n");
	expect(c, "SELECT 3", OK);
	expect(c, "DEL there", ":1\r\n");
	expect_eval("return #redis.call('keys', '*')", ":0\r\n");
	expect_eval("local t = {'mset'} for i = 1, 200 do t[#t+1] = 'k'..i t[#t+1] = i end return redis.call(unpack(t))", OK);
	expect(c, "DBSIZE", ":200\r\n");
}
END_TEST

START_TEST(test_errors_tell_where)
{
	expect_eval("return x", "-ERR user_script:1: Script attempted to access nonexistent global variable 'x' script: "
	                        "03c387736bb5cc009ff35151572cee04677aa374, on @user_script:1.\r\n");
	expect_eval("\nerror('boo')", "-ERR user_script:2: boo script: ");
	expect_eval("error({err='ABC foo'})", "-ABC foo script: 45035c6205d0a4b5f016334453888d94e2a45dbc, on @user_script:1.\r\n");
	expect_eval("error({x=1})", "-ERR unknown error script: ");
	expect_eval("error()", "-ERR nil script: ");
	expect_eval("error(true)", "-ERR true script: ");
	expect_eval("error({})", "-ERR unknown error script: "); /* ends Redis 7 */
	expect_eval("error(setmetatable({}, {__index = function() error('again') end}))", "-ERR unknown error script: ");
	expect_eval("return {pcall(error, {err = 'A b'})}", "*2\r\n$-1\r\n$3\r\nA b\r\n");
	expect_eval("return redis.pcall()", "-ERR Please specify at least one argument for this redis lib call\r\n");
	expect_eval("if then", "-ERR Error compiling script (new function): user_script:1: unexpected symbol near 'then'\r\n");
	expect(c, "EVAL \"return 1\" 1", "-ERR Number of keys can't be greater than number of args\r\n");
	expect(c, "EVAL \"return 1\" -1", "-ERR Number of keys can't be negative\r\n");
	expect(c, "EVAL \"return 1\" x", "-ERR value is not an integer or out of range\r\n");
	expect(c, "EVALSHA nosuch 0", "-NOSCRIPT No matching script. Please use EVAL.\r\n");
}
END_TEST

START_TEST(test_memory)
{
	expect(c, "SCRIPT FLUSH", OK);
	ck_assert_int_eq(info_int(c, "memory", "number_of_cached_scripts"), 0);
	ck_assert_int_eq(info_int(c, "memory", "used_memory_scripts_eval"), 0);
	struct resp_value *v = resp_ask(c, "MEMORY STATS");
	int64_t before = -1, after = -1;
	for (size_t i = 0; i + 1 < v->n; i += 2)
		before = !strcmp(v->elements[i].text, "lua.caches") ? v->elements[i + 1].integer : before;
	resp_value_free(v);
	ck_assert_int_eq(before, 0);
	for (int i = 0; i < 20; i++) {
		char source[64];
		snprintf(source, sizeof source, "return %d -- %030d", i, i);
		char reply[8];
		snprintf(reply, sizeof reply, ":%d\r\n", i);
		expect_eval(source, reply);
	}
	ck_assert_int_eq(info_int(c, "memory", "number_of_cached_scripts"), 20);
	int64_t sources = info_int(c, "memory", "used_memory_scripts_eval"), vm = info_int(c, "memory", "used_memory_vm_eval");
	ck_assert_int_gt(sources, 20 * 30);
	ck_assert_int_gt(vm, 10000);
	ck_assert_int_eq(info_int(c, "memory", "used_memory_lua"), vm);
	ck_assert_int_ge(info_int(c, "memory", "used_memory_vm_total"), vm);
	ck_assert_int_ge(info_int(c, "memory", "used_memory_scripts"), sources);
	v = resp_ask(c, "MEMORY STATS");
	for (size_t i = 0; i + 1 < v->n; i += 2)
		after = !strcmp(v->elements[i].text, "lua.caches") ? v->elements[i + 1].integer : after;
	resp_value_free(v);
	ck_assert_int_eq(after, sources);
}
END_TEST

START_TEST(test_denied_commands)
{
	expect_eval("return redis.call('config', 'get', 'port')[1]", "-ERR This Redis command is not allowed from script script: ");
	expect(c, "DEBUG SET-DISABLE-DENY-SCRIPTS 1", OK);
	expect_eval("return redis.call('config', 'get', 'port')[1]", "$4\r\nport\r\n");
	expect_eval("return redis.call('eval', 'return 1', 0)", "-ERR This Redis command is not allowed from script script: ");
	expect_eval("return redis.call('multi')", "-ERR This Redis command is not allowed from script script: ");
	expect_eval("return redis.call('subscribe', 'c')", "-ERR This Redis command is not allowed from script script: ");
	expect(c, "DEBUG SET-DISABLE-DENY-SCRIPTS 0", OK);
	expect_eval("return redis.call('config', 'get', 'port')[1]", "-ERR This Redis command is not allowed from script script: ");
}
END_TEST

START_TEST(test_script_cache)
{
	expect(c, "SCRIPT FLUSH", OK);
	expect_bulk(c, "SCRIPT LOAD \"return 1\"", "e0e1f9fabfc9d4800c877a703b823ac0578ff8db");
	expect(c, "SCRIPT EXISTS e0e1f9fabfc9d4800c877a703b823ac0578ff8db nosuch E0E1F9FABFC9D4800C877A703B823AC0578FF8DB",
	       "*3\r\n:1\r\n:0\r\n:1\r\n");
	expect(c, "EVALSHA E0E1F9FABFC9D4800C877A703B823AC0578FF8DB 0", ":1\r\n");
	ck_assert_int_eq(info_int(c, "memory", "number_of_cached_scripts"), 1);
	expect(c, "SCRIPT LOAD if", "-ERR Error compiling script (new function): user_script:1: unexpected symbol near '<eof>'\r\n");
	expect(c, "SCRIPT FLUSH ASYNC", OK);
	expect(c, "EVALSHA e0e1f9fabfc9d4800c877a703b823ac0578ff8db 0", "-NOSCRIPT No matching script. Please use EVAL.\r\n");
	expect(c, "SCRIPT FLUSH NOW", "-ERR SCRIPT FLUSH only support SYNC|ASYNC option\r\n");
	expect(c, "SCRIPT KILL", "-NOTBUSY No scripts in execution right now.\r\n");
	expect_prefix(c, "SCRIPT DEBUG YES", "-ERR ");
}
END_TEST

START_TEST(test_flags)
{
	expect_eval("#!lua flags=no-writes\nreturn redis.call('set', 'a', 1)",
	            "-ERR Write commands are not allowed from read-only scripts. script: ");
	expect_prefix(c, "EVAL_RO \"return redis.call('set', 'a', 1)\" 0",
	              "-ERR Write commands are not allowed from read-only scripts. script: ");
	expect_eval("#!lua flags=foo\nreturn 1", "-ERR Unexpected flag in script shebang: foo\r\n");
	expect_eval("#!lua flags=no-writes,\nreturn 1", "-ERR Unexpected flag in script shebang: \r\n");
	expect_eval("#!lua \"flags=no-writes\"\nreturn 1", ":1\r\n");
	expect_eval("#!lua 'x\nreturn 1", "-ERR Invalid engine in script shebang\r\n");
	expect_prefix(c, "EVAL_RO \"#!lua\nreturn 1\" 0", "-ERR Can not execute a script with write flag using *_ro command.\r\n");
	expect_prefix(c, "EVAL_RO \"return redis.call('publish', 'c', 1)\" 0", "-ERR Write commands are not allowed from read-only scripts.");
	expect_eval("#!lux\nreturn 1", "-ERR Unexpected engine in script shebang: #!lux\r\n");
	expect_eval("#!lua x=1\nreturn 1", "-ERR Unknown lua shebang option: x=1\r\n");
	expect_eval("#!lua", "-ERR Invalid script shebang\r\n");
	expect(c, "SET a 1", OK);
	expect(c, "CONFIG SET maxmemory 1", OK);
	expect_eval("return redis.call('set', 'a', 2)", "-OOM command not allowed when used memory > 'maxmemory'. script: ");
	expect_eval("return redis.call('get', 'a')", "$1\r\n1\r\n");
	expect_eval("#!lua\nreturn 1", "-OOM command not allowed when used memory > 'maxmemory'.\r\n");
	expect_eval("#!lua flags=allow-oom\nreturn redis.call('set', 'a', 3)", OK);
	expect(c, "CONFIG SET maxmemory 0", OK);
}
END_TEST

/* Sandbox escape; shared tables changed; bytecode. */
START_TEST(test_sandbox)
{
	static const char *const absent[] = { "package", "require", "dofile", "loadfile", "io", "debug", "print", "module",
		                              "getfenv", "setfenv", "newproxy" };
	char source[128], reply[160];
	for (size_t i = 0; i < sizeof absent / sizeof *absent; i++) {
		snprintf(source, sizeof source, "return %s", absent[i]);
		snprintf(reply, sizeof reply, "-ERR user_script:1: Script attempted to access nonexistent global variable '%s'",
		         absent[i]);
		expect_eval(source, reply);
	}
	expect_eval("return type(os.clock) .. type(os.execute)", "$11\r\nfunctionnil\r\n");
	expect_eval("x = 1", "-" READONLY);
	expect_eval("KEYS = {}", "-" READONLY);
	expect_eval("string.rep = nil", "-" READONLY);
	expect_eval("redis.call = nil", "-" READONLY);
	expect_eval("_G.tostring = nil", "-" READONLY);
	expect_eval("rawset(_G, 'x', 1)", "-ERR Attempt to modify a readonly table");
	expect_eval("rawset(string, 'x', 1)", "-ERR Attempt to modify a readonly table");
	expect_eval("table.insert(_G, 1)", "-ERR Attempt to modify a readonly table");
	expect_eval("setmetatable(_G, {})", "-ERR Attempt to modify a readonly table");
	expect_eval("setmetatable(string, {})", "-ERR Attempt to modify a readonly table");
	expect_eval("getmetatable('').__index = {}", "-" READONLY);
	expect_eval("getmetatable(_G).__index = {}", "-" READONLY);
	expect_eval("getmetatable('').__index.rep = {}", "-" READONLY);
	expect_eval("return {type(getmetatable(_G)), type(getmetatable(redis))}", "*2\r\n$5\r\ntable\r\n$3\r\nnil\r\n");
	/* Loops over shared tables never hold the tables themselves. */
	expect_eval("local f, t = pairs(string) t.rep = nil", "-" READONLY);
	expect_eval("local f, t = ipairs(string) t.rep = nil", "-" READONLY);
	expect_eval("table.foreach(string, function() string.x = 1 end)", "-" READONLY);
	expect_eval("local s = string.dump(function() return 1 end) return tostring(loadstring(s))", "$3\r\nnil\r\n");
	expect_eval("local s, done = string.dump(function() return 1 end) return tostring(load(function() if not done then done = true "
	            "return s end end))", "$3\r\nnil\r\n");
	expect_eval("loadstring('x = 1')()", "-ERR [string \"x = 1\"]:1: Attempt to modify a readonly table");
	expect_eval("local n = 0 for k in pairs(string) do n = n + 1 end return n > 10", ":1\r\n");
}
END_TEST

/* unpack; enormous brackets; many arguments, huge sizes, INT_MIN; deep tables. */
START_TEST(test_limits)
{
	expect_eval("return unpack({1, 2, 3}, -2, 2147483647)", "-ERR user_script:1: too many results to unpack");
	expect_eval("return {unpack({1, 2, 3}, 2)}", "*2\r\n:2\r\n:3\r\n");
	expect_eval("local t = {} for i = 1, 1500 do t = {t} end return cjson.encode(t)",
	            "-ERR user_script:1: Cannot serialise, excessive nesting");
	expect_eval("return cjson.decode(string.rep('[', 100000))", "-ERR user_script:1: Found too many nested data structures");
	expect_eval("local t = {} t[1] = t return t", "*1\r\n*1\r\n*1\r\n");
	expect_eval("local s = '[' .. string.rep('=', 3000000) .. '[' return loadstring(s) == nil", ":1\r\n");
	expect_eval("return struct.pack('i2147483648', 1)", "-ERR user_script:1: integral size overflow");
	expect_eval("return struct.pack('i33', 1)", "-ERR user_script:1: integral size 33 is larger than limit of 32");
	expect_eval("return struct.pack('s')", "-ERR user_script:1: bad argument #2 to 'pack' (string expected, got nil)");
	expect_eval("return struct.unpack('c0', '')", "-ERR user_script:1: format 'c0' needs a previous size");
	expect_eval("return struct.unpack('Ic0', '\\255\\255\\255\\255x')", "-ERR user_script:1: bad argument #2");
	expect_eval("return struct.unpack('I4', 'abc', 2^60)", "-ERR user_script:1: bad argument #2");
	expect_eval("return bit.tohex(65535, -2147483648)", "$8\r\n0000FFFF\r\n");
	expect_eval("return cmsgpack.unpack('\\221')", "-ERR user_script:1: Missing bytes in input.");
	expect_eval("return cmsgpack.unpack('\\193')", "-ERR user_script:1: Bad data format in input.");
	expect_eval("return cmsgpack.unpack(string.rep('\\145', 100000))", "-ERR user_script:1: ");
	expect_eval("return cmsgpack.unpack_limit('\\1', -1)", "-ERR user_script:1: Invalid request to unpack");
	expect_eval("local t = {} t.a = t return #cmsgpack.pack(t) > 10", ":1\r\n");
	expect_eval("local function f() return f() + 1 end return f()", "-ERR user_script:1: stack overflow");
	/* Texts beyond an int; many arguments. */
	expect_eval("return cjson.encode(string.rep('a', 170 * 1024 * 1024))", "-ERR user_script:1: too much for one text");
	expect_eval("local t = {string.rep('a', 100000)} for i = 1, 40 do t = {t, t} end return cjson.encode(t)",
	            "-ERR user_script:1: too much for one text");
	expect_eval("local t = {} for i = 1, 3000 do t[i] = i end return {#cmsgpack.pack(unpack(t)), bit.band(unpack(t)), "
	            "#struct.pack(string.rep('b', 3000), unpack(t))}", "*3\r\n:8618\r\n:0\r\n:3000\r\n");
	/* Patterns: ends Redis */
	expect_eval("return string.find(string.rep('a', 300000), string.rep('a?', 300000) .. 'b')", "-ERR user_script:1: pattern is too long");
	expect_eval("return ('a'):gsub(string.rep('(', 300000), '')", "-ERR user_script:1: pattern is too long");
	expect_eval("return string.find(string.rep('a', 4900), string.rep('a?', 4900))", ":1\r\n");
	expect_eval("return string.find('x' .. string.rep('.', 300000), string.rep('.', 300000), 1, true)", ":2\r\n");
	expect_eval("return loadstring('return ' .. string.rep('(', 300000)) == nil", ":1\r\n");
	expect_eval("return loadstring('return ' .. string.rep('a..', 300000) .. '1') == nil", ":1\r\n");
	expect_eval("local t = {} for i = 1, 300 do t = setmetatable({}, {__index = t}) end return t.x", "-ERR user_script:1: loop in gettable");
	expect_eval("local t = setmetatable({}, {__tostring = function(t) return tostring(t) end}) return tostring(t)", "-ERR ");
	expect(c, "PING", "+PONG\r\n");
}
END_TEST

START_TEST(test_libraries)
{
	expect_eval("return cjson.encode({1, 2, {a = 'b'}})", "$15\r\n[1,2,{\"a\":\"b\"}]\r\n");
	expect_eval("return cjson.decode('{\"a\":[1,2]}').a[2]", ":2\r\n");
	expect_eval("local a, b, s = struct.unpack('>Hs', struct.pack('>Hs', 258, 'abc')) return {a, b, s}",
	            "*3\r\n:258\r\n$3\r\nabc\r\n:7\r\n");
	expect_eval("return struct.pack('<i2', -2)", "$2\r\n\xfe\xff\r\n");
	expect_eval("return struct.size('!4bi4')", ":8\r\n");
	expect_eval("local t = cmsgpack.unpack(cmsgpack.pack({1, 'x', {k = 1.5}, true})) return {t[1], t[2], tostring(t[3].k), t[4]}",
	            "*4\r\n:1\r\n$1\r\nx\r\n$3\r\n1.5\r\n:1\r\n");
	expect_eval("return cmsgpack.pack({1, 2, 3})", "$4\r\n\x93\x01\x02\x03\r\n");
	expect_eval("local n, v = cmsgpack.unpack_one(cmsgpack.pack(7, 8)) return {n, v}", "*2\r\n:1\r\n:7\r\n");
	expect_eval("return bit.band(0xff, 0x0f) + bit.lshift(1, 4)", ":31\r\n");
	expect_eval("math.randomseed(7) local a = math.random() math.randomseed(7) return a == math.random()", ":1\r\n");
	expect_eval("math.randomseed(7) return math.random(1, 1000000)", ":266445\r\n");
	expect_eval("return math.random(1, 1000000)", ":682036\r\n"); /* the sequence goes on, on every loop */
	/* What a script sets of cjson is for itself. */
	expect_eval("cjson.encode_number_precision(3) return cjson.encode(1 / 3)", "$5\r\n0.333\r\n");
	expect_eval("return cjson.encode(1 / 3)", "$16\r\n0.33333333333333\r\n");
	expect_eval("return cjson.encode_max_depth(0)", "-ERR user_script:1: bad argument #1 to 'encode_max_depth' ");
}
END_TEST

#define ACCOUNTS 8
#define TRANSFERS 300

/* Moves one unit between two accounts; with an odd seed both keys are declared (and many such scripts run at once), else
 * only the first. */
static void *transfer(void *seed)
{
	struct resp_client *t = connect_to(&server);
	unsigned s = (unsigned)(uintptr_t)seed;
	for (int i = 0; i < TRANSFERS; i++) {
		char line[256];
		int from = rand_r(&s) % ACCOUNTS, to = rand_r(&s) % ACCOUNTS;
		const char *form =
			(uintptr_t)seed % 2
				? "EVAL \"redis.call('decr', KEYS[1]) redis.call('incr', KEYS[2]) return 1\" 2 account%d account%d"
				: "EVAL \"redis.call('decr', KEYS[1]) redis.call('incr', 'account' .. ARGV[1]) return 1\" 1 account%d %d";
		snprintf(line, sizeof line, form, from, to);
		expect(t, line, ":1\r\n");
	}
	resp_close(t);
	return NULL;
}

START_TEST(test_undeclared_keys_are_atomic_too)
{
	pthread_t threads[4];
	for (uintptr_t i = 0; i < 4; i++)
		pthread_create(&threads[i], NULL, transfer, (void *)(i + 1));
	for (int i = 0; i < 100; i++) {
		struct resp_value *v = resp_ask(c, "MGET account0 account1 account2 account3 account4 account5 account6 account7");
		int sum = 0;
		for (size_t k = 0; k < v->n; k++)
			sum += v->elements[k].null ? 0 : (int)strtol(v->elements[k].text, NULL, 10);
		ck_assert_int_eq(sum, 0);
		resp_value_free(v);
		/* Commands that stop everybody, and scripts that do so in their middle, at the same time. */
		expect_any(c, i % 2 ? "CLIENT LIST" : "EVAL \"redis.call('incr', KEYS[1]) redis.call('decr', KEYS[1]) return "
		                                      "redis.call('dbsize')\" 1 account0");
	}
	for (int i = 0; i < 4; i++)
		pthread_join(threads[i], NULL);
}
END_TEST

START_TEST(test_within_transactions)
{
	expect(c, "MULTI", OK);
	expect(c, "SET k 1", "+QUEUED\r\n");
	expect(c, "EVAL \"return redis.call('incrby', KEYS[1], ARGV[1])\" 1 k 5", "+QUEUED\r\n");
	expect(c, "EVAL \"return redis.call('get', 'k')\" 0", "+QUEUED\r\n");
	expect(c, "EXEC", "*3\r\n+OK\r\n:6\r\n$1\r\n6\r\n");
}
END_TEST

/* KEYS, ARGV and the libraries are shared by scripts that only read them: none of those sees what others were given, or
 * can change anything by a way that looks like reading. */
START_TEST(test_scripts_that_only_read)
{
#define COUNT                                                                                             \
	"local t = {#KEYS, #ARGV} for i = 1, 20 do t[#t + 1] = (KEYS[i] or '') .. (ARGV[i] or '') end " \
	"return t[1] .. ' ' .. t[2] .. ' ' .. table.concat(t, ',', 3)"
#define COMMAS ",,,,,,,,,,,,,,,,,,"
	for (int round = 0; round < 3; round++) {
		expect(c, "EVAL \"" COUNT "\" 2 a b c", "$26\r\n2 1 ac,b" COMMAS "\r\n");
		expect(c, "EVAL \"" COUNT "\" 0 z", "$24\r\n0 1 z," COMMAS "\r\n");
		expect(c, "EVAL \"" COUNT "\" 0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18",
		       "$51\r\n0 18 1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,,\r\n");
		expect(c, "EVAL \"" COUNT "\" 1 k", "$24\r\n1 0 k," COMMAS "\r\n");
		expect(c, "EVAL \"KEYS[1] = 'mine' KEYS[3] = 'x' ARGV.y = 1 return KEYS[1] .. #ARGV\" 1 k", "$5\r\nmine0\r\n");
		expect(c, "EVAL \"setmetatable(KEYS, {__index = function() return 'm' end}) return KEYS[2]\" 1 k", "$1\r\nm\r\n");
		expect_eval("return loadstring('return KEYS[1]')()", "$-1\r\n");
		expect_eval("return KEYS.y or ARGV.y", "$-1\r\n");
	}
	expect_eval("redis.call = 1", "-" READONLY);
	expect_eval("redis.call('ping') x = 1", "-" READONLY);
	expect_eval("return redis.nothing", "$-1\r\n");
	expect_eval("return nothing", "-ERR user_script:1: Script attempted to access nonexistent global variable 'nothing'");
	expect_eval("return redis.nothing()", "-ERR user_script:1: attempt to call field 'nothing' (a nil value)");
	expect_eval("return KEYS[1].x", "-ERR user_script:1: attempt to index field '?' (a nil value)");
}
END_TEST

START_TEST(test_numbers_from_text)
{
	static const char *const numbers[][2] = {
		{ "0", "0" }, { "007", "7" }, { "123456789012345", "1.2345678901234e+14" }, { "1234567890123456789", "1.2345678901235e+18" },
		{ " 12 ", "12" }, { "-3", "-3" }, { "1e3", "1000" }, { "0x10", "16" }, { "1.5", "1.5" }, { "", "nil" }, { "1 2", "nil" },
		{ "x", "nil" }, { "12x", "nil" },
	};
	for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
		char source[128], reply[64];
		snprintf(source, sizeof source, "return tostring(tonumber('%s'))", numbers[i][0]);
		snprintf(reply, sizeof reply, "$%zu\r\n%s\r\n", strlen(numbers[i][1]), numbers[i][1]);
		expect_eval(source, reply);
	}
	expect_eval("return tonumber('11', 2)", ":3\r\n");
	expect_eval("return tonumber(7)", ":7\r\n");
	expect_eval("return tostring(tonumber({}))", "$3\r\nnil\r\n");
	expect_eval("return tostring(tonumber('1\\0'))", "$1\r\n1\r\n"); /* as a C string */
	expect_eval("return tonumber()", "-ERR user_script:1: bad argument #1 to 'tonumber' (value expected)");
}
END_TEST

START_TEST(test_a_slow_script_is_killed)
{
	struct resp_client *slow = connect_to(&server), *killer = connect_to(&server);
	expect(c, "CONFIG SET busy-reply-threshold 50", OK);
	/* The two are on different loops: connections are spread over them. */
	ck_assert(resp_send(slow, "EVAL \"while true do end\" 1 k"));
	for (;;) {
		struct resp_bytes r;
		ck_assert(resp_send(killer, "SCRIPT KILL") && resp_read(killer, &r));
		if (r.ptr[0] == '+')
			break;
		ck_assert_int_eq(strncmp(r.ptr, "-NOTBUSY", 8), 0);
	}
	expect_reply(slow, "-ERR Script killed by user with SCRIPT KILL. script: "
	                   "694a5fe1ddb97a4c6a1bf299d9537c7d3d0f84e7, on @user_script:1.\r\n");
	expect(c, "CONFIG SET busy-reply-threshold 5000", OK);
	resp_close(slow);
	resp_close(killer);
}
END_TEST

START_TEST(test_effects_are_journaled_as_one)
{
	expect(c, "DEBUG JOURNAL START", OK);
	expect_eval("redis.call('set', 'a', 1) redis.call('incr', 'a') redis.call('select', 2) redis.call('sadd', 's', 'x', 'y') "
	            "return redis.call('spop', 's')", "$1\r\n");
	expect_eval("redis.set_repl(redis.REPL_NONE) redis.call('set', 'tmp', 1) redis.set_repl(redis.REPL_ALL) "
	            "return redis.call('del', 'tmp')", ":1\r\n");
	expect(c, "DEBUG JOURNAL CHECK", OK);
	expect(c, "DEBUG JOURNAL STOP", OK);
}
END_TEST

COMMAND_TESTS("script", test_results, test_calls, test_errors_tell_where, test_script_cache, test_memory, test_denied_commands, test_flags, test_sandbox,
              test_limits, test_libraries, test_undeclared_keys_are_atomic_too, test_within_transactions,
              test_scripts_that_only_read, test_numbers_from_text, test_a_slow_script_is_killed, test_effects_are_journaled_as_one)
