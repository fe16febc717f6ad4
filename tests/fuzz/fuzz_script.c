/*
 * Scripts from any source text, with keys of every type beside them, real commands and small limits of memory and time.
 * Whatever a script does, its answer is one whole reply, the shared tables are as before, and the next script finds none of
 * what it set. The first byte chooses protocol, EVAL or EVAL_RO, and a collection at every allocation.
 */
#include <lua5.1/lualib.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "server/block.h"
#include "server/call.h"
#include "server/client.h"
#include "server/config.h"
#include "server/effects.h"
#include "server/evict.h"
#include "server/latency.h"
#include "server/monitor.h"
#include "server/pubsub.h"
#include "server/script/functions.h"
#include "server/script/script.h"
#include "server/script/vm.h"
#include "server/stats.h"
#include "server/tracking.h"
#include "server/txn.h"
#include "server/worker.h"
#include "tests/fuzz/walk.h"

const char *__asan_default_options(void);

/* Interpreters are made and unmade all the time: short stacks, a small quarantine. */
const char *__asan_default_options(void)
{
	return "quarantine_size_mb=2:thread_local_quarantine_size_kb=256:malloc_context_size=6";
}

#define MEMORY (1024 * 1024)
#define TEXT_MAX 200 /* of what is matched, and PATTERN_MAX of what with: matching has no limit of its own */
#define PATTERN_MAX 24
#define LIVES 8 /* inputs of one interpreter; the first of a run, which may be the only one, is looked at */

static struct client *client;
static struct reply reply;
static const char *const setup[] = {
	"SET s text", "SET n 10", "RPUSH l a b 3", "HSET h f 1 g 2", "SADD i 1 2 3", "SADD e x y", "ZADD z 1 a 2.5 b", "XADD x 5-1 f v",
};

/* Upvalue: the original. */
static int match_little(lua_State *L)
{
	size_t text = 0, pattern = 0;
	lua_tolstring(L, 1, &text);
	lua_tolstring(L, 2, &pattern);
	if (text > TEXT_MAX || pattern > PATTERN_MAX)
		return luaL_error(L, "too long for this test");
	lua_pushvalue(L, lua_upvalueindex(1));
	lua_insert(L, 1);
	lua_call(L, lua_gettop(L) - 1, LUA_MULTRET);
	return lua_gettop(L);
}

/* The real table behind string's functions, from the inside, once for each interpreter. */
static void tame(struct vm *vm)
{
	static const char *const names[] = { "find", "match", "gmatch", "gfind", "gsub" };
	lua_State *L = vm->L;
	lua_getfield(L, LUA_REGISTRYINDEX, "tamed");
	bool tamed = lua_toboolean(L, -1);
	lua_settop(L, 0);
	if (tamed)
		return;
	lua_pushboolean(L, true);
	lua_setfield(L, LUA_REGISTRYINDEX, "tamed");
	lua_getfield(L, LUA_REGISTRYINDEX, "shoal.globals");
	lua_getfield(L, -1, "string");
	lua_getmetatable(L, -1);
	lua_getfield(L, -1, "__index");
	for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
		lua_getfield(L, -1, names[i]);
		lua_pushcclosure(L, match_little, 1);
		lua_setfield(L, -2, names[i]);
	}
	lua_settop(L, 0);
}

static struct call *call_of(unsigned argc, const struct arg *argv)
{
	struct call *c = &worker_current->call;
	*c = (struct call){ .op = { .store = c->op.store, .now_ms = 1700000000000, .exclusive = true, .ctx = c }, .alone = true,
		            .held = CALL_HOLDS_ALL, .argv = argv, .argc = argc, .client = client, .reply = &reply,
		            .effects = &worker_current->effects };
	c->cmd = command_lookup(argv, argc, NULL);
	reply_reset(&reply);
	reply.resp = client->resp;
	reply.errored = false;
	return c;
}

static void run(unsigned argc, const struct arg *argv)
{
	struct call *c = call_of(argc, argv);
	c->cmd->run(c);
	effects_reset(&worker_current->effects);
}

/* Behind one reply; NULL: it is none. */
static const char *one_reply(const char *p, const char *end)
{
	const char *cr = p < end ? memchr(p, '\r', (size_t)(end - p)) : NULL;
	if (!cr || end - cr < 2 || cr[1] != '\n')
		return NULL;
	char type = *p;
	long n = strtol(p + 1, NULL, 10);
	p = cr + 2;
	if (strchr("+-:_#,(", type))
		return p;
	if (strchr("$=", type)) {
		if (n < 0)
			return p;
		return end - p >= n + 2 && p[n] == '\r' && p[n + 1] == '\n' ? p + n + 2 : NULL;
	}
	if (!strchr("*~%>", type))
		return NULL;
	for (n *= type == '%' ? 2 : 1; n > 0 && p; n--)
		p = one_reply(p, end);
	return p;
}

static void check_reply(void)
{
	size_t len;
	const char *bytes = reply_bytes(&reply, &len);
	check(!reply.failed && len && one_reply(bytes, bytes + len) == bytes + len, "the answer is one whole reply");
}

static void run_script(const char *name, const char *text, size_t len)
{
	const struct arg argv[] = { { name, strlen(name) }, { text, len }, { "2", 1 }, { "s", 1 }, { "l", 1 }, { "5", 1 }, { "two", 3 } };
	run(7, argv);
	check_reply();
}

/* What no script may change. */
static void same_as_ever(void)
{
	static const char probe[] =
		"local n = 0 for k, v in pairs(_G) do n = n + 1 end for k, v in pairs(string) do n = n + 1 end for k, v in pairs(redis) do "
		"n = n + 1 end for k, v in pairs(cjson) do n = n + 1 end for k, v in pairs(math) do n = n + 1 end for k, v in pairs(table) do "
		"n = n + 1 end return {n, type(tostring), cjson.encode(1 / 3), #KEYS, ARGV[1], tostring(rawget(_G, 'x')), ('x'):rep(2)}";
	static char before[400];
	size_t len;
	client->resp = 2;
	run_script("EVAL", probe, sizeof probe - 1);
	const char *bytes = reply_bytes(&reply, &len);
	check(len < sizeof before && *bytes == '*', "shared tables are there");
	check(!*before || !memcmp(before, bytes, len), "shared tables are as before");
	memcpy(before, bytes, len);
}

static struct store *open_store(void)
{
	struct store_options o;
	int err;
	store_options_init(&o);
	o.shards = 1;
	o.dbs = 2;
	memset(o.hash_secret, 1, sizeof o.hash_secret);
	struct store *s = store_open(&o, &err);
	check(s != NULL, "memory");
	store_set_single(s, true);
	return s;
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	(void)argc, (void)argv;
	check(!config_override("busy-reply-threshold", "1") && !config_override("loglevel", "nothing"), "a directive");
	struct store *s = open_store();
	check(!command_init() && !stats_init(1, command_count()) && !worker_init(1) && !txn_init(s) && !block_init(s) &&
	      !tracking_init(s, 1) && !latency_init(1, command_count()) && !monitor_init(1) && !script_init(1) &&
	      !functions_init(1) && !evict_init(1) && !pubsub_init(1), "memory");
	worker_current = worker_of(0);
	store_close(s);
	client = client_new_internal();
	check(client != NULL, "memory");
	vm_memory_max = MEMORY;
	script_look_every = 2000;
	script_abort(); /* what takes longer than that ends */
	return 0;
}

static void fill(void)
{
	for (size_t i = 0; i < sizeof setup / sizeof *setup; i++) {
		struct arg argv[16];
		unsigned n = 0;
		for (const char *p = setup[i]; *p && n < 16; p += *p == ' ') {
			size_t word = strcspn(p, " ");
			argv[n++] = (struct arg){ p, word };
			p += word;
		}
		run(n, argv);
	}
}

/* A whole cycle wherever the collector looks whether it is time: at every allocation. */
static void collect(lua_State *L, bool always)
{
	lua_gc(L, LUA_GCSETPAUSE, always ? 0 : 200);
	lua_gc(L, LUA_GCSETSTEPMUL, always ? 0 : 200);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (!size)
		return -1;
	struct store *s = worker_current->call.op.store = open_store();
	client->db = 0;
	client->resp = 2;
	reply_init_memory(&reply, 2);
	effects_init(&worker_current->effects);
	fill();
	static unsigned inputs;
	bool first = inputs % LIVES == 0, last = ++inputs % LIVES == 0;
	run_script("EVAL", "return 1", 8); /* makes the interpreter */
	if (first)
		same_as_ever();
	tame(script_vm(0));
	client->resp = *data & 1 ? 3 : 2;
	collect(script_vm(0)->L, *data & 4);
	run_script(*data & 2 ? "EVAL_RO" : "EVAL", (const char *)data + 1, size - 1);
	collect(script_vm(0)->L, false);
	if (first || last)
		same_as_ever();
	if (last)
		script_flush(); /* what is left behind is a leak */
	effects_clear(&worker_current->effects);
	reply_clear(&reply);
	store_close(s);
	return 0;
}
