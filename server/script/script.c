/* script: see script.h. */
#include "server/script/script.h"

#include <errno.h>
#include <openssl/evp.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "server/busy.h"
#include "server/client.h"
#include "server/clock.h"
#include "server/config.h"
#include "server/dispatch.h"
#include "server/effects.h"
#include "server/evict.h"
#include "server/exec.h"
#include "server/log.h"
#include "server/script/closed.h"
#include "server/resp.h"
#include "server/script/vm.h"
#include "server/server.h"
#include "server/worker.h"
#include "store/number.h"

#define CHAINS 4096
#define SERVE_EVERY_US 2000
#define GC_EVERY 50       /* runs between two steps of the collector */

static struct {
	pthread_mutex_t adding;
	struct script *_Atomic chain[CHAINS];
	unsigned n;
	uint64_t bytes;
	struct vm **vms; /* by loop */
	unsigned loops;
	pthread_mutex_t right; /* to run a script beside other commands: one at a time */
	_Atomic(struct run *) slow; /* the script that runs longer than busy-reply-threshold */
	pthread_mutex_t looking; /* at what is slow: it does not end meanwhile */
	atomic_bool kill;
	atomic_bool abort; /* the server ends, and nothing of what runs is kept */
} cache = { .adding = PTHREAD_MUTEX_INITIALIZER, .right = PTHREAD_MUTEX_INITIALIZER, .looking = PTHREAD_MUTEX_INITIALIZER };

int script_look_every = 100000;

static _Thread_local bool has_right;

int script_init(unsigned loops)
{
	cache.loops = loops;
	cache.vms = calloc(loops, sizeof *cache.vms);
	return cache.vms ? 0 : -ENOMEM;
}

void script_flush(void)
{
	for (unsigned i = 0; i < cache.loops; i++) {
		vm_free(cache.vms[i]);
		cache.vms[i] = NULL;
	}
	for (unsigned i = 0; i < CHAINS; i++) {
		for (struct script *s = cache.chain[i], *next; s; s = next) {
			next = s->next;
			free(s);
		}
		cache.chain[i] = NULL;
	}
	cache.n = 0;
	cache.bytes = 0;
}

void script_free(void)
{
	script_flush();
	free(cache.vms);
	cache.vms = NULL;
	cache.loops = 0;
}

/* ------------------------------------------------------------------ sources */

void script_sha(const void *text, size_t len, char sha[static SCRIPT_SHA + 1])
{
	unsigned char digest[20];
	EVP_Digest(text, len, digest, NULL, EVP_sha1(), NULL);
	for (int i = 0; i < 20; i++) {
		sha[2 * i] = "0123456789abcdef"[digest[i] >> 4];
		sha[2 * i + 1] = "0123456789abcdef"[digest[i] & 15];
	}
	sha[SCRIPT_SHA] = 0;
}

static int digit(char c)
{
	return c >= '0' && c <= '9' ? c - '0' : (c | 32) >= 'a' && (c | 32) <= 'f' ? (c | 32) - 'a' + 10 : 0;
}

static struct script *_Atomic *chain_of(const char *sha)
{
	return &cache.chain[digit(sha[0]) << 8 | digit(sha[1]) << 4 | digit(sha[2])];
}

struct script *script_find(const char *sha, size_t len)
{
	if (len != SCRIPT_SHA)
		return NULL;
	struct script *s = atomic_load_explicit(chain_of(sha), memory_order_acquire);
	while (s && strncasecmp(s->sha, sha, SCRIPT_SHA))
		s = s->next;
	return s;
}

static char *error_text(const char *format, const char *what, size_t len)
{
	char *text = NULL;
	return asprintf(&text, format, (int)len, what) < 0 ? NULL : text;
}

static char *read_flags(struct script *s, const char *p, const char *end)
{
	static const char *const names[] = { "no-writes", "allow-oom", "allow-stale", "no-cluster", "allow-cross-slot-keys" };
	for (bool more = p < end; more;) {
		const char *comma = memchr(p, ',', (size_t)(end - p));
		size_t n = (size_t)((comma ? comma : end) - p), i = 0;
		while (i < 5 && (strlen(names[i]) != n || memcmp(names[i], p, n)))
			i++;
		if (i == 5)
			return error_text("ERR Unexpected flag in script shebang: %.*s", p, n);
		s->flags |= 1u << i;
		p += n + 1;
		more = comma != NULL;
	}
	return NULL;
}

static void *scratch_for(void *ctx, size_t n)
{
	return *(void **)ctx = malloc(n);
}

bool script_split(const char *text, size_t len, struct resp_args *words, void **scratch)
{
	static const struct resp_limits limits = { .max_bulk = INT64_MAX, .max_args = INT32_MAX, .max_inline = SIZE_MAX,
		                                   .authenticated = true };
	struct resp_progress progress = { 0 };
	char bad;
	*words = (struct resp_args){ 0 };
	*scratch = NULL;
	return resp_parse(text, len, &limits, &progress, words, &bad, scratch_for, scratch) > 0;
}

static char *read_words(struct script *s, const struct arg *v, size_t n)
{
	if (n == 0)
		return error_text("ERR Invalid engine in script shebang%.*s", "", 0);
	if (v[0].len != 5 || memcmp(v[0].ptr, "#!lua", 5))
		return error_text("ERR Unexpected engine in script shebang: %.*s", v[0].ptr, v[0].len);
	for (size_t i = 1; i < n; i++) {
		if (v[i].len < 6 || memcmp(v[i].ptr, "flags=", 6))
			return error_text("ERR Unknown lua shebang option: %.*s", v[i].ptr, v[i].len);
		char *error = read_flags(s, v[i].ptr + 6, v[i].ptr + v[i].len);
		if (error)
			return error;
	}
	return NULL;
}

/* "#!lua flags=a,b", split as an inline command is: NULL, or what is wrong with it. */
static char *read_shebang(struct script *s, const char *text, size_t len)
{
	struct resp_args args;
	void *scratch;
	if (len < 2 || text[0] != '#' || text[1] != '!')
		return NULL;
	const char *eol = memchr(text, '\n', len);
	if (!eol)
		return error_text("ERR Invalid script shebang%.*s", "", 0);
	s->skip = (size_t)(eol - text);
	s->declares = true;
	bool whole = script_split(text, s->skip + 1, &args, &scratch);
	char *error = read_words(s, args.v, whole ? args.n : 0);
	free(args.v);
	free(scratch);
	return error;
}

struct vm *script_vm(unsigned loop)
{
	return loop < cache.loops ? cache.vms[loop] : NULL;
}

static struct vm *my_vm(void)
{
	struct vm **vm = &cache.vms[worker_current->index];
	if (!*vm)
		*vm = vm_new(VM_EVAL);
	return *vm;
}

/* NULL, or the reply that says why it cannot be compiled. */
static char *try_compile(struct vm *vm, struct script *s)
{
	char *error = NULL;
	if (vm_load(vm, s)) {
		lua_pop(vm->L, 1);
		return NULL;
	}
	const char *text = lua_tostring(vm->L, -1);
	if (asprintf(&error, "ERR Error compiling script (new function): %s", text ? text : "?") < 0)
		error = NULL;
	lua_pop(vm->L, 1);
	return error;
}

struct script *script_add(const char *text, size_t len, char **error)
{
	char sha[SCRIPT_SHA + 1];
	struct vm *vm = my_vm();
	*error = NULL;
	script_sha(text, len, sha);
	struct script *s = script_find(sha, SCRIPT_SHA);
	if (s || !vm)
		return s;
	if (!(s = calloc(1, sizeof *s + len + 1)))
		return NULL;
	memcpy(s->text, text, len);
	memcpy(s->sha, sha, sizeof sha);
	s->len = len;
	s->closed = closed_check(text, len);
	*error = read_shebang(s, s->text, len);
	if (*error) {
		free(s);
		return NULL;
	}
	pthread_mutex_lock(&cache.adding);
	struct script *known = script_find(sha, SCRIPT_SHA); /* another loop may have been faster */
	s->id = cache.n;
	if (!known && !(*error = try_compile(vm, s))) {
		struct script *_Atomic *chain = chain_of(sha);
		s->next = atomic_load_explicit(chain, memory_order_relaxed);
		atomic_store_explicit(chain, s, memory_order_release);
		cache.n++;
		cache.bytes += sizeof *s + len;
		pthread_mutex_unlock(&cache.adding);
		return s;
	}
	pthread_mutex_unlock(&cache.adding);
	free(s);
	return known;
}

uint64_t script_count(void)
{
	return cache.n;
}

uint64_t script_memory(void)
{
	return cache.bytes;
}

uint64_t script_vm_memory(void)
{
	uint64_t sum = 0;
	for (unsigned i = 0; i < cache.loops; i++)
		sum += cache.vms[i] ? __atomic_load_n(&cache.vms[i]->memory, __ATOMIC_RELAXED) : 0;
	return sum;
}

/* ------------------------------------------------------------------ where it runs */

static void wait_for_right(void)
{
	struct timespec until;
	int ms = 50;
	do {
		clock_gettime(CLOCK_REALTIME, &until);
		until.tv_nsec += ms * 1000000L;
		until.tv_sec += until.tv_nsec / 1000000000;
		until.tv_nsec %= 1000000000;
	} while (pthread_mutex_timedlock(&cache.right, &until) == ETIMEDOUT && (ms = busy_idle()));
}

/* Wait for the right to run a script; nothing of the command is done yet. */
static void take_right(struct worker *w)
{
	if (pthread_mutex_trylock(&cache.right)) {
		exec_out(w->index);
		wait_for_right();
		exec_in(w->index);
		worker_refresh_clock(w);
	}
	has_right = true;
}

static bool is_by_sha(const struct command *cmd)
{
	return cmd->name[4] == 's';
}

uint32_t script_command_flags(uint32_t command, unsigned flags)
{
	command &= ~(uint32_t)(CMD_STALE | CMD_DENYOOM | CMD_WRITE | CMD_MAY_REPLICATE);
	if (flags & SCRIPT_ALLOW_STALE)
		command |= CMD_STALE;
	if (flags & SCRIPT_NO_WRITES)
		return command;
	return command | CMD_WRITE | (flags & SCRIPT_ALLOW_OOM ? 0 : CMD_DENYOOM);
}

uint32_t script_flags_for(const struct command *cmd, const struct arg *argv, unsigned argc)
{
	struct script text = { 0 };
	const struct script *s = &text;
	if (argc < 2)
		return cmd->flags;
	if (is_by_sha(cmd))
		s = script_find(argv[1].ptr, argv[1].len);
	else
		free(read_shebang(&text, argv[1].ptr, argv[1].len));
	return s && s->declares ? script_command_flags(cmd->flags, s->flags) : cmd->flags;
}

enum exec_class script_plan(struct call *c, struct store_lockset *locks)
{
	if (server_loops() == 1)
		return EXEC_KEYED;
	char sha[SCRIPT_SHA + 1];
	bool by_sha = is_by_sha(c->cmd);
	if (!by_sha)
		script_sha(c->argv[1].ptr, c->argv[1].len, sha);
	const struct script *s =
		by_sha ? script_find(c->argv[1].ptr, c->argv[1].len) : script_find(sha, SCRIPT_SHA);
	return script_plan_job(c, locks, s ? &s->runs_alone : NULL, s && s->closed);
}

enum exec_class script_plan_job(struct call *c, struct store_lockset *locks, const bool *runs_alone, bool closed)
{
	int64_t n;
	if (server_loops() == 1)
		return EXEC_KEYED;
	if (!number_parse(c->argv[2].ptr, c->argv[2].len, &n) || n < 0 || n > (int64_t)c->argc - 3)
		return EXEC_KEYED; /* the handler says what is wrong */
	if (runs_alone && __atomic_load_n(runs_alone, __ATOMIC_RELAXED))
		return EXEC_ALONE;
	for (unsigned i = 0; i < (unsigned)n; i++) {
		const struct arg *a = &c->argv[3 + i];
		if (!store_lockset_add(c->op.store, locks, store_key(c->op.store, a->ptr, a->len).hash))
			return EXEC_ALONE;
	}
	if (!closed)
		take_right(worker_current);
	return EXEC_KEYED;
}

/* ------------------------------------------------------------------ a run */

/* The first of several slow ones is what SCRIPT KILL ends; then it is the next one's turn. */
static void become_slow(struct run *run)
{
	if (!busy_keep(worker_current))
		return; /* out of memory; the next time perhaps */
	pthread_mutex_lock(&cache.looking);
	if (!atomic_load(&cache.slow)) {
		run->argv = run->call->argv;
		run->argc = run->call->argc;
		atomic_store(&cache.slow, run);
		dispatch_set_gate(GATE_BUSY, true);
		log_warning("Slow script detected: still in execution after %lld milliseconds. You can try killing the script "
		            "using the %s KILL command. Script name is: %s.",
		            (long long)(clock_mono_us() - run->start_us) / 1000, run->job->function ? "FUNCTION" : "SCRIPT",
		            run->job->name);
	}
	pthread_mutex_unlock(&cache.looking);
}

/* From time to time within a script: whether it is slow, or to be killed. While it is slow, this loop's clients are
 * answered from here. */
static void look_at_clock(lua_State *L, lua_Debug *ar)
{
	struct run *run = run_current;
	int64_t now_us = clock_mono_us(), threshold_us = config()->busy_reply_threshold_ms * 1000;
	(void)ar;
	if (!run || threshold_us <= 0)
		return;
	if (!run->start_us)
		run->start_us = now_us - (int64_t)((double)(clock_ticks() - run->start_ticks) / clock_ticks_per_us());
	if (now_us - run->start_us < threshold_us)
		return;
	if (!atomic_load(&cache.slow))
		become_slow(run);
	if (now_us - run->served_us >= SERVE_EVERY_US) {
		busy_turn(worker_current);
		run->served_us = clock_mono_us();
	}
	bool abort = atomic_load(&cache.abort);
	if (!abort && (atomic_load(&cache.slow) != run || !atomic_load(&cache.kill) || run->wrote))
		return;
	run->aborted |= abort;
	lua_sethook(L, look_at_clock, LUA_MASKLINE, 0); /* again after whatever pcall() may catch this */
	const char *how = abort ? "SHUTDOWN NOSAVE" : run->job->function ? "FUNCTION KILL" : "SCRIPT KILL";
	luaL_error(L, "Script killed by user with %s.", how);
}

void script_abort(void)
{
	atomic_store(&cache.abort, true);
}

/* What is slow and may be looked at until let_go(); NULL: nothing. */
static struct run *look_at_slow(void)
{
	pthread_mutex_lock(&cache.looking);
	return atomic_load(&cache.slow);
}

static void let_go(void)
{
	pthread_mutex_unlock(&cache.looking);
}

static const char *busy(const struct run *run)
{
	return run && run->job->function
	               ? "BUSY Redis is busy running a script. You can only call FUNCTION KILL or SHUTDOWN NOSAVE."
	               : "BUSY Redis is busy running a script. You can only call SCRIPT KILL or SHUTDOWN NOSAVE.";
}

const char *script_busy_text(void)
{
	const struct run *run = look_at_slow();
	const char *text = busy(run);
	let_go();
	return text;
}

const char *script_kill(bool function)
{
	const char *why = "";
	const struct run *run = look_at_slow();
	if (!run)
		why = "NOTBUSY No scripts in execution right now.";
	else if (run->job->function != function)
		why = busy(run);
	else if (__atomic_load_n(&run->wrote, __ATOMIC_RELAXED))
		why = "UNKILLABLE Sorry the script already executed write commands against the dataset. You can either wait the "
		      "script termination or kill the server in a hard way using the SHUTDOWN NOSAVE command.";
	else
		atomic_store(&cache.kill, true);
	let_go();
	return why;
}

const char *script_reply_stats(struct reply *r)
{
	const char *why = "";
	const struct run *run = look_at_slow();
	if (run && !run->job->function) {
		why = busy(run);
	} else {
		reply_map(r, 2);
		reply_cstr(r, "running_script");
	}
	if (!run) {
		reply_null(r);
	} else if (run->job->function) {
		reply_map(r, 3);
		reply_cstr(r, "name");
		reply_cstr(r, run->job->name);
		reply_cstr(r, "command");
		reply_array(r, run->argc);
		for (unsigned i = 0; i < run->argc; i++)
			reply_bulk(r, run->argv[i].ptr, run->argv[i].len);
		reply_cstr(r, "duration_ms");
		reply_int(r, (clock_mono_us() - run->start_us) / 1000);
	}
	let_go();
	return why;
}

static void set_table(lua_State *L, const char *name, const struct arg *v, unsigned n)
{
	lua_createtable(L, (int)n, 0);
	for (unsigned i = 0; i < n; i++) {
		lua_pushlstring(L, v[i].ptr, v[i].len);
		lua_rawseti(L, -2, (int)i + 1);
	}
	lua_setfield(L, -2, name);
}

static int push_script(lua_State *L, const struct script_job *job)
{
	struct vm *vm = job->vm;
	struct script *s = job->what;
	if (!vm_load(vm, s))
		api_raise(L, lua_tostring(L, -1));
	if (s->plain) {
		plain_fill(L, vm->plain_globals, "KEYS", &vm->keys, job->keys, job->nkeys);
		plain_fill(L, vm->plain_globals, "ARGV", &vm->args, job->args, job->nargs);
	} else {
		lua_rawgeti(L, LUA_REGISTRYINDEX, vm->globals);
		set_table(L, "KEYS", job->keys, job->nkeys);
		set_table(L, "ARGV", job->args, job->nargs);
		lua_pop(L, 1);
	}
	return 0;
}

/* It may run out of memory. */
int script_start(lua_State *L)
{
	const struct script_job *job = lua_touserdata(L, 1);
	lua_settop(L, 0);
	int n = job->push(L, job);
	run_current->began = true;
	lua_call(L, n, 1);
	return 1;
}

int script_error_handler(lua_State *L)
{
	return run_current->began ? api_error_handler(L) : 1;
}

static void raw_field(lua_State *L, int index, const char *name)
{
	lua_pushstring(L, name);
	lua_rawget(L, index - 1);
}

/* What was raised, with where. Outside of any protected call: fields are read raw. */
static void reply_raised(lua_State *L, struct reply *r, const char *name)
{
	char *text = NULL;
	int n;
	if (!lua_istable(L, -1)) {
		n = asprintf(&text, "ERR %s script: %s", lua_isstring(L, -1) ? lua_tostring(L, -1) : "unknown error", name);
	} else {
		raw_field(L, -1, "err");
		raw_field(L, -2, "source");
		raw_field(L, -3, "line");
		const char *err = lua_isstring(L, -3) ? lua_tostring(L, -3) : "ERR unknown error";
		if (lua_isstring(L, -2) && lua_isnumber(L, -1))
			n = asprintf(&text, "%s script: %s, on %s:%d.", err, name, lua_tostring(L, -2),
			             (int)lua_tointeger(L, -1));
		else
			n = asprintf(&text, "%s", err);
		lua_pop(L, 3);
	}
	lua_pop(L, 1);
	reply_error(r, n < 0 ? "ERR out of memory" : text);
	if (n >= 0)
		free(text);
}

/* Locks and safepoint go back to what the caller expects. */
static void end_run(struct run *run)
{
	struct call *c = run->call;
	if (atomic_load_explicit(&cache.slow, memory_order_relaxed) == run) { /* only the run itself makes it so */
		pthread_mutex_lock(&cache.looking);
		atomic_store(&cache.slow, NULL);
		atomic_store(&cache.kill, false);
		dispatch_set_gate(GATE_BUSY, false);
		pthread_mutex_unlock(&cache.looking);
	}
	if (run->aborted && c->effects)
		effects_reset(c->effects);
	run_current = NULL;
}

/* Lua collects as scripts allocate; what one of them left behind, and would stay for long if those that follow allocate
 * little, is collected from here. */
static void help_collector(struct vm *vm)
{
	if (vm->memory / 2 <= vm->settled || !lua_gc(vm->L, LUA_GCSTEP, GC_EVERY))
		return;
	/* The table of strings, for one, halves with each round. */
	if (vm->memory / 8 * 7 <= vm->last_round && vm->memory / 8 * 9 >= vm->last_round)
		vm->settled = vm->memory;
	vm->last_round = vm->memory;
}

static void execute(struct run *run, struct script_job *job)
{
	lua_State *L = job->vm->L;
	struct call *c = run->call;
	struct client *as = job->vm->client;
	as->resp = 2;
	as->db = c->client->db;
	as->user = c->client->user;
	as->id = c->client->id;
	lua_sethook(L, look_at_clock, LUA_MASKCOUNT, script_look_every);
	lua_rawgeti(L, LUA_REGISTRYINDEX, job->vm->handler);
	lua_rawgeti(L, LUA_REGISTRYINDEX, job->vm->start);
	lua_pushlightuserdata(L, job);
	int err = lua_pcall(L, 1, 1, 1);
	int resp = as->resp;
	job->vm->unlimited = true;
	if (err)
		reply_raised(L, c->reply, job->name);
	else
		convert_to_reply(L, c->reply, resp);
	job->vm->unlimited = false;
	as->user = NULL; /* it was the caller's */
	lua_settop(L, 0);
	lua_sethook(L, NULL, 0, 0);
	vm_tidy(job->vm);
	if (++job->vm->runs % GC_EVERY == 0)
		help_collector(job->vm);
}

bool script_has_right(void)
{
	return has_right;
}

void script_give_up(struct call *c)
{
	call_no_journal(c);
	if (has_right) {
		has_right = false;
		pthread_mutex_unlock(&cache.right);
	}
}

bool script_keys_ok(struct call *c, const char *error)
{
	int64_t n;
	if (!error && !call_int(c, 2, &n))
		return false;
	if (error && !number_parse(c->argv[2].ptr, c->argv[2].len, &n)) {
		reply_error(c->reply, error);
		return false;
	}
	if (n >= 0 && n <= (int64_t)c->argc - 3)
		return true;
	reply_error(c->reply, n < 0 ? "ERR Number of keys can't be negative"
	                            : "ERR Number of keys can't be greater than number of args");
	return false;
}

/* NULL: nothing is against it. */
static const char *refusal(const struct script_job *job, bool read_only, bool oom)
{
	if (!job->declares || job->flags & SCRIPT_NO_WRITES)
		return NULL;
	if (read_only)
		return "ERR Can not execute a script with write flag using *_ro command.";
	if (oom && !(job->flags & SCRIPT_ALLOW_OOM))
		return "OOM allow-oom flag is not set on the script, can not run it when used memory > 'maxmemory'";
	return NULL;
}

void script_run_job(struct call *c, struct script_job *job, bool read_only)
{
	int64_t n = 0;
	number_parse(c->argv[2].ptr, c->argv[2].len, &n);
	job->keys = c->argv + 3;
	job->nkeys = (unsigned)n;
	job->args = c->argv + 3 + n;
	job->nargs = c->argc - 3 - (unsigned)n;
	struct run run = { .vm = job->vm, .call = c, .job = job, .read_only = read_only || job->flags & SCRIPT_NO_WRITES,
		           .oom = evict_needed(), .start_ticks = clock_ticks() };
	const char *why = refusal(job, read_only, run.oom);
	if (!job->vm) {
		reply_oom(c->reply);
	} else if (why) {
		reply_error(c->reply, why);
	} else {
		run_current = &run;
		execute(&run, job);
		end_run(&run);
	}
	if (c->effects)
		c->effects->replaced = true;
	script_give_up(c);
}

void script_run(struct call *c, struct script *s, bool read_only)
{
	struct script_job job = { .name = s->sha, .flags = s->flags, .declares = s->declares, .closed = s->closed,
		                  .runs_alone = &s->runs_alone, .vm = my_vm(), .push = push_script, .what = s };
	script_run_job(c, &job, read_only);
}
