/* Functions: generated libraries, calls of what they register, payloads, and all that a library can do wrong. Names within
 * one library differ by more than their case: redis-server goes down when one is replaced that does not (7.0, 8.0, Valkey). */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "tests/diff/gen.h"

#define CODE_MAX 4000

struct code {
	struct gen *g;
	char s[CODE_MAX];
	size_t n;
};

static __attribute__((format(printf, 2, 3))) void add(struct code *t, const char *format, ...)
{
	va_list ap;
	va_start(ap, format);
	int n = vsnprintf(t->s + t->n, CODE_MAX - t->n, format, ap);
	va_end(ap);
	if (n > 0 && t->n + (size_t)n < CODE_MAX)
		t->n += (size_t)n;
	t->s[t->n] = 0;
}

static const char *const functions[] = { "fa", "fb", "fc", "fd", "fe", "ff", "fg", "fh", NULL };
static const char *const libraries[] = { "one", "two", "three", "One", "four", NULL };

/* ------------------------------------------------------------------ libraries */

/* Bodies: k are the keys, a the arguments. */
static const char *const bodies[] = {
	"return 1", "return k", "return a", "return {k, a, #k, #a}", "return k[1]", "return {err='MY error'}", "return {ok='fine'}",
	"return redis.call('set', k[1], a[1])", "return redis.call('get', k[1])", "return redis.pcall('incr', k[1])",
	"return redis.call('incr', k[1])", "return redis.call('rpush', k[1], a[1], a[2])", "return redis.call('lrange', k[1], 0, -1)",
	"redis.call('set', k[1], a[1])\nreturn redis.call('append', k[1], 'x')", "return redis.call('del', k[1], k[2])",
	"return redis.call('sadd', k[1], unpack(a))", "return redis.call('type', k[1])", "return redis.call('set', 'k1', #a)",
	"return redis.call('zadd', k[1], 1, 'm', 2, 'n')", "return redis.call('zrange', k[1], 0, -1, 'withscores')",
	"redis.setresp(3)\nreturn redis.call('zrange', k[1], 0, -1, 'withscores')", "redis.setresp(3)\nreturn {map={x=1}}",
	"redis.setresp(3)\nreturn {double=2.5}", "return redis.call('nosuch')", "return redis.call('get')", "return redis.pcall('get')",
	"return redis.call('fcall', 'fa', 0)", "return redis.call('function', 'flush')", "return redis.call('eval', 'return 1', 0)",
	"error('boo')", "error({err='MY boo'})", "\n\nerror('boo')", "return nosuch", "x = 1", "return KEYS", "return ARGV", "return a.x.y",
	"return redis.register_function", "redis.register_function('fa', function() end)", "return redis.x", "redis.x = 1", "return helper(k)",
	"return tostring(k == nil)", "local n = 0 for i, v in ipairs(a) do n = n + #v end return n", "return cjson.encode(a)",
	"return cmsgpack.unpack(cmsgpack.pack(a))", "return bit.tohex(#a)", "return redis.sha1hex(a[1] or '')", "return pcall(error, 'x')",
	"local ok, e = pcall(redis.call, 'get')\nreturn {tostring(ok), e.err}", "return redis.status_reply('S')",
	"return redis.error_reply('E')", "return {redis.call('ping'), redis.call('echo', 'x')}", "redis.set_repl(redis.REPL_ALL) return 2",
	"return redis.acl_check_cmd('get', 'x')", "redis.log(redis.LOG_DEBUG, 'x')", "return math.random(1000)", "return type(redis.call)",
	"return select('#', k, a)", "return {1, nil, 3}", "return 3.99", "return true", "return false", "return _G.k", "return string.rep(a[1] or '', 3)",
	"return setmetatable({}, {__index = function() return 1 end})[1]", "redis.call('expire', k[1], 10000) return redis.call('exists', k[1])",
	NULL,
};

static void name_of_function(struct code *t, unsigned which)
{
	static const char *const odd[] = { "''", "'a-b'", "'a b'", "'\\0'", "nil", "{}", "true", "1", "7.5", "'fa\\0b'", NULL };
	if (gen_chance(t->g, 3))
		add(t, "%s", gen_pick(t->g, odd));
	else
		add(t, "'%s'", functions[which]);
}

static void callback(struct code *t)
{
	static const char *const odd[] = { "nil", "1", "'x'", "{}", "redis.log", "redis.register_function", "helper", NULL };
	if (gen_chance(t->g, 4)) {
		add(t, "%s", gen_pick(t->g, odd));
		return;
	}
	add(t, gen_chance(t->g, 90) ? "function(k, a) " : gen_chance(t->g, 50) ? "function(...) local k, a = ... " : "function(k) local a = {} ");
	add(t, "%s end", gen_pick(t->g, bodies));
}

static void flags(struct code *t)
{
	static const char *const names[] = { "'no-writes'", "'no-writes'", "'allow-oom'", "'allow-stale'", "'no-cluster'",
		                             "'allow-cross-slot-keys'", "'NO-WRITES'", "'nosuch'", "1", "{}", "nil, 'x'", "a='b'", NULL };
	static const char *const odd[] = { "1", "'no-writes'", "nil", "true", NULL };
	if (gen_chance(t->g, 5)) {
		add(t, "%s", gen_pick(t->g, odd));
		return;
	}
	add(t, "{");
	for (uint32_t n = gen_below(t->g, 3); n; n--)
		add(t, "%s%s", gen_chance(t->g, 85) ? names[gen_below(t->g, 6)] : gen_pick(t->g, names), n > 1 ? ", " : "");
	add(t, "}");
}

static void named_arguments(struct code *t, unsigned which)
{
	static const char *const descriptions[] = { "'what it does'", "''", "1", "nil", "{}", "'\\r\\n'", NULL };
	static const char *const odd[] = { ", x=1", ", 1", ", [true]=1", ", ['']=1", ", Function_Name='fh'", NULL };
	bool with_name = gen_chance(t->g, 97), with_callback = gen_chance(t->g, 97);
	add(t, "redis.register_function{");
	if (with_name) {
		add(t, "function_name=");
		name_of_function(t, which);
	}
	if (with_callback) {
		add(t, "%scallback=", with_name ? ", " : "");
		callback(t);
	}
	if (gen_chance(t->g, 40) && (with_name || with_callback))
		add(t, ", description=%s", gen_pick(t->g, descriptions));
	if (gen_chance(t->g, 60) && (with_name || with_callback)) {
		add(t, ", flags=");
		flags(t);
	} else if (gen_chance(t->g, 3) && with_name && with_callback) {
		add(t, "%s", gen_pick(t->g, odd));
	}
	add(t, "}\n");
}

static void registration(struct code *t, unsigned which)
{
	static const char *const odd[] = {
		"redis.register_function()", "redis.register_function('fa')", "redis.register_function('fa', 1, 2)", "redis.register_function(1)",
		"redis.register_function('fa', function() end)", "redis.register_function({}, {})", "redis.register_function(nil)", NULL,
	};
	if (gen_chance(t->g, 3)) {
		add(t, "%s\n", gen_pick(t->g, odd));
	} else if (gen_chance(t->g, 50)) {
		add(t, "redis.register_function(");
		name_of_function(t, which);
		add(t, ", ");
		callback(t);
		add(t, ")\n");
	} else {
		named_arguments(t, which);
	}
}

/* What else may stand in a library. */
static void statement(struct code *t)
{
	static const char *const good[] = {
		"local x = 1\n", "local function helper(k) return #k end\n", "-- nothing\n", "\n\n", "local v = redis.REDIS_VERSION_NUM > 0\n",
		"redis.log(redis.LOG_DEBUG, 'loading')\n", "local t = {1, 2, x = 3}\n", "for i = 1, 10 do local y = i end\n",
		"local s = ('x'):rep(3)\n", "local log = redis.log\n", NULL,
	};
	static const char *const bad[] = {
		"x = 1\n", "local y = nosuch\n", "redis.call('get', 'x')\n", "redis.pcall('get', 'x')\n", "redis.x = 1\n", "local y = redis.sha1hex('')\n",
		"error('no')\n", "local t = {} t.x.y = 1\n", "local t = nil t()\n", "redis.setresp(3)\n", "local p = pcall\n", "local y = _G\n",
		"local y = KEYS\n", "redis.log(9, 'x')\n", "redis.log()\n", "return 1 +\n", "end\n", "x x\n", "local y = ('x'):nosuch()\n",
		"local y = redis.REPL_ALL\n", "goto x\n", "break\n", "'\n", NULL,
	};
	add(t, "%s", gen_pick(t->g, gen_chance(t->g, 93) ? good : bad));
}

static void first_line(struct code *t)
{
	static const char *const odd[] = {
		"", "\n", "#!lua\n", "#!lua name=\n", "#!lua name=a-b\n", "#!lua name=a name=b\n", "#!lua name=a x=y\n", "#!js name=a\n", "#! name=a\n", "#!\n",
		"#!lua name='one'\n", "#!lua  name=\"two\"  \n", "#!lua 'name=one\n", "#!lua \"name=one\"x\n", "#!lua flags=no-writes\n", "#!lua name=one", "#lua name=a\n",
		"#!lua\tname=three\r\n", "#!lua name=\"\\x6fne\"\n", "#!lua name=one,two\n", "#!Lua NAME=four\n", "lua name=a\n", " #!lua name=a\n",
		"\"#!lua\" name=one\n", "#!lua name=one #\n", NULL,
	};
	if (gen_chance(t->g, 6))
		add(t, "%s", gen_pick(t->g, odd));
	else
		add(t, "#!lua name=%s\n", gen_pick(t->g, libraries));
}

static void library(struct code *t, struct gen *g)
{
	t->g = g;
	t->n = 0;
	t->s[0] = 0;
	first_line(t);
	unsigned first = gen_below(g, 8), n = gen_chance(g, 97) ? 1 + gen_below(g, 3) : 0;
	for (unsigned i = 0; i < n; i++) {
		if (gen_chance(g, 25))
			statement(t);
		registration(t, (first + i) % 8);
	}
	if (gen_chance(g, 10))
		statement(t);
	if (gen_chance(g, 2)) { /* cut off somewhere */
		t->n = gen_below(g, (uint32_t)t->n + 1);
		t->s[t->n] = 0;
	}
}

/* ------------------------------------------------------------------ commands */

static void make_load(struct gen *g, const struct gen_row *row)
{
	static struct code t;
	library(&t, g);
	gen_begin(g, row);
	if (gen_chance(g, 75))
		gen_word(g, "REPLACE");
	if (gen_chance(g, 2))
		gen_text(g, gen_chance(g, 50) ? "REPLACE" : "other");
	gen_bytes(g, t.s, t.n);
	gen_end(g, row);
}

static void make_fcall(struct gen *g, const struct gen_row *row)
{
	static const char *const odd[] = { "-1", "x", "1.5", "", "100", "9223372036854775808", " 1", "+1", NULL };
	static const char *const names[] = { "nosuch", "", "FA", "Fb", "a-b", "1", "7.5", NULL };
	uint32_t n = gen_below(g, 3);
	gen_begin(g, row);
	gen_text(g, gen_pick(g, gen_chance(g, 92) ? functions : names));
	if (gen_chance(g, 3))
		gen_text(g, gen_pick(g, odd));
	else
		gen_int(g, n);
	for (; n; n--)
		gen_key(g);
	for (n = gen_below(g, 4); n; n--)
		gen_small_value(g);
	gen_end(g, row);
}

/* Without faults, as those within EXEC's reply are not told apart. */
static void plain_library(struct code *t, struct gen *g)
{
	t->n = 0;
	add(t, "#!lua name=%s\n", gen_pick(g, libraries));
	add(t, "redis.register_function('%s', function(k, a) ", gen_pick(g, functions));
	add(t, "%s end)", gen_pick(g, bodies));
}

static void make_in_transaction(struct gen *g, const struct gen_row *row)
{
	gen_line(g, "MULTI", row->compare, 1);
	for (uint32_t n = 1 + gen_below(g, 3); n; n--) {
		static struct code t;
		if (gen_chance(g, 25)) {
			plain_library(&t, g);
			gen_begin_line(g, "FUNCTION LOAD REPLACE", CMP_EXACT);
			gen_bytes(g, t.s, t.n);
		} else {
			gen_begin_line(g, gen_chance(g, 80) ? "FCALL" : "FCALL_RO", CMP_EXACT);
			gen_text(g, gen_pick(g, functions));
			gen_int(g, 1);
			gen_key(g);
			gen_small_value(g);
		}
		g->emit(g->ctx, &g->cmd);
	}
	gen_line(g, "EXEC", row->compare, 1);
}

static void make_list(struct gen *g, const struct gen_row *row)
{
	static const char *const patterns[] = { "*", "one", "O*", "t*", "nosuch", "", "[of]*", "*e", NULL };
	gen_begin(g, row);
	bool code = gen_chance(g, 50), named = gen_chance(g, 50);
	if (code)
		gen_word(g, "WITHCODE");
	if (named) {
		gen_word(g, "LIBRARYNAME");
		if (gen_chance(g, 96))
			gen_text(g, gen_pick(g, patterns));
	}
	if (gen_chance(g, 4))
		gen_word(g, gen_chance(g, 50) ? "WITHCODE" : "other");
	gen_end(g, row);
}

static void make_delete(struct gen *g, const struct gen_row *row)
{
	gen_begin(g, row);
	gen_text(g, gen_chance(g, 95) ? gen_pick(g, libraries) : "nosuch");
	gen_end(g, row);
}

static void make_flush(struct gen *g, const struct gen_row *row)
{
	gen_begin(g, row);
	if (gen_chance(g, 50))
		gen_word(g, gen_chance(g, 45) ? "SYNC" : gen_chance(g, 90) ? "ASYNC" : "other");
	if (gen_chance(g, 5))
		gen_word(g, "SYNC");
	gen_end(g, row);
}

/* CRC-64 of Jones's polynomial, reflected: bit by bit, and not the server's own. */
static uint64_t checksum(const uint8_t *bytes, size_t len)
{
	uint64_t crc = 0;
	for (size_t i = 0; i < len * 8; i++) {
		if (i % 8 == 0)
			crc ^= bytes[i / 8];
		crc = crc & 1 ? crc >> 1 ^ 0x95ac9329ac4bc9b5u : crc >> 1;
	}
	return crc;
}

/* Of several libraries that stand there already, each server names another one: a payload has one, or what is there goes. */
static void make_restore(struct gen *g, const struct gen_row *row)
{
	static const char *const policies[] = { "APPEND", "REPLACE", "REPLACE", "FLUSH", "other", NULL };
	static uint8_t payload[3 * CODE_MAX];
	static struct code t;
	const char *policy = gen_chance(g, 15) ? NULL : gen_pick(g, policies);
	size_t n = 0;
	for (unsigned i = policy && !strcmp(policy, "FLUSH") ? gen_below(g, 3) : 1; i; i--) {
		library(&t, g);
		payload[n++] = gen_chance(g, 97) ? 0xf5 : 0;
		payload[n++] = (uint8_t)(0x40 | t.n >> 8);
		payload[n++] = (uint8_t)t.n;
		memcpy(payload + n, t.s, t.n);
		n += t.n;
	}
	payload[n++] = 10;
	payload[n++] = gen_chance(g, 98) ? 0 : 1;
	uint64_t crc = checksum(payload, n);
	memcpy(payload + n, &crc, sizeof crc);
	n += sizeof crc;
	if (gen_chance(g, 3))
		payload[gen_below(g, (uint32_t)n)] ^= 0x10;
	gen_begin(g, row);
	gen_bytes(g, payload, n);
	if (policy)
		gen_word(g, policy);
	if (gen_chance(g, 2))
		gen_word(g, "other");
	gen_end(g, row);
}

static void make_simple(struct gen *g, const struct gen_row *row)
{
	gen_begin(g, row);
	gen_end(g, row);
}

static const struct gen_row rows[] = {
	{ "function|load", make_load, 12, GEN_FIXED, CMP_EXACT },
	{ "fcall", make_fcall, 30, 0, CMP_EXACT },
	{ "fcall_ro", make_fcall, 8, 0, CMP_EXACT },
	{ "exec", make_in_transaction, 2, GEN_FIXED, CMP_EXACT },
	{ "function|list", make_list, 3, 0, CMP_UNORDERED },
	{ "function|delete", make_delete, 2, 0, CMP_EXACT },
	{ "function|flush", make_flush, 1, 0, CMP_EXACT },
	{ "function|restore", make_restore, 5, GEN_FIXED, CMP_EXACT },
	{ "function|dump", make_simple, 1, 0, CMP_KIND },
	{ "function|stats", make_simple, 2, 0, CMP_EXACT },
	{ "function|kill", make_simple, 1, 0, CMP_EXACT },
	{ "function|help", make_simple, 1, 0, CMP_KIND },
	{ 0 },
};

const struct gen_group gen_group_function = { "function", rows };
