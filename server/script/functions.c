/* functions: see functions.h. */
#include "server/script/functions.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "server/client.h"
#include "server/dispatch.h"
#include "server/dump.h"
#include "server/exec.h"
#include "server/journal/rdb_functions.h"
#include "server/log.h"
#include "server/script/closed.h"
#include "server/script/function_api.h"
#include "server/server.h"
#include "server/worker.h"

#define CHAINS 1024

/* The libraries of the server, and those of a replayed journal. */
struct registry {
	struct library *first, **last;
	unsigned libraries, functions; /* read by INFO while the data set is being loaded: relaxed */
	uint64_t bytes;
	struct function *chain[CHAINS]; /* by name, without case: the first one that was added is found */
};

static struct {
	struct registry live, replay;
	struct vm **vms; /* by loop; the last one is the loader's */
	unsigned loops;
	unsigned char *ids; /* in use */
	unsigned ids_cap;
} functions;

static char *textf(const char *format, ...) __attribute__((format(printf, 1, 2)));
static char *textf(const char *format, ...)
{
	char *text = NULL;
	va_list ap;
	va_start(ap, format);
	if (vasprintf(&text, format, ap) < 0)
		text = NULL;
	va_end(ap);
	return text;
}

static struct vm *my_vm(void)
{
	struct vm **vm = &functions.vms[worker_current ? worker_current->index : functions.loops - 1];
	if (!*vm)
		__atomic_store_n(vm, vm_new(VM_FUNCTIONS), __ATOMIC_RELEASE); /* INFO looks at them */
	return *vm;
}

/* ------------------------------------------------------------------ names */

static struct function **chain_of(struct registry *r, const char *name, size_t len)
{
	uint32_t h = 2166136261u;
	for (size_t i = 0; i < len; i++)
		h = (h ^ (unsigned char)(name[i] | 32)) * 16777619u;
	return &r->chain[(h ^ h >> 16) % CHAINS];
}

static struct function *find_function(struct registry *r, const char *name, size_t len)
{
	struct function *f = *chain_of(r, name, len);
	while (f && (strlen(f->name) != len || strncasecmp(f->name, name, len)))
		f = f->chain;
	return f;
}

static struct library *find_library(const struct registry *r, const char *name, size_t len)
{
	struct library *l = r->first;
	while (l && (strlen(l->name) != len || memcmp(l->name, name, len)))
		l = l->next;
	return l;
}

/* A number for the interpreters' tables; false: out of memory. */
static bool take_id(struct library *l)
{
	unsigned i = 0;
	while (i < functions.ids_cap && functions.ids[i])
		i++;
	if (i == functions.ids_cap) {
		unsigned cap = i ? i * 2 : 64;
		unsigned char *ids = realloc(functions.ids, cap);
		if (!ids)
			return false;
		memset(ids + i, 0, cap - i);
		functions.ids = ids;
		functions.ids_cap = cap;
	}
	functions.ids[i] = 1;
	l->id = i;
	return true;
}

/* ------------------------------------------------------------------ one library */

static void free_functions(struct library *l)
{
	for (struct function *f = l->functions, *next; f; f = next) {
		next = f->next;
		free(f->name);
		free(f->description);
		free(f);
	}
}

/* It is in no registry (any more). Alone, or not in any interpreter but this thread's. */
static void free_library(struct library *l)
{
	for (unsigned i = 0; i < functions.loops && functions.vms; i++)
		function_api_drop(functions.vms[i], l->id);
	functions.ids[l->id] = 0;
	free_functions(l);
	rdb_library_free(l->source);
	free(l->name);
	free(l);
}

static uint64_t size_of(const struct library *l)
{
	uint64_t n = sizeof *l + l->source->len + strlen(l->name) + 1;
	for (const struct function *f = l->functions; f; f = f->next)
		n += sizeof *f + strlen(f->name) + 1 + f->description_len;
	return n;
}

struct metadata {
	struct arg engine, name;
	size_t skip;
	struct resp_args words;
	void *scratch;
};

static int shown(const struct arg *a)
{
	return a->len < 512 ? (int)a->len : 512;
}

static char *read_words(struct metadata *m)
{
	const struct arg *v = m->words.v;
	m->engine = v[0].len >= 2 ? (struct arg){ v[0].ptr + 2, v[0].len - 2 } : v[0];
	for (size_t i = 1; i < m->words.n; i++) {
		if (v[i].len < 5 || strncasecmp(v[i].ptr, "name=", 5))
			return textf("Invalid metadata value given: %.*s", shown(&v[i]), v[i].ptr);
		if (m->name.ptr)
			return strdup("Invalid metadata value, name argument was given multiple times");
		m->name = (struct arg){ v[i].ptr + 5, v[i].len - 5 };
	}
	return m->name.ptr ? NULL : strdup("Library name was not given");
}

/* "#!lua name=x": NULL, or what is wrong. */
static char *read_metadata(struct metadata *m, const char *code, size_t len)
{
	if (len < 2 || memcmp(code, "#!", 2))
		return strdup("Missing library metadata");
	const char *eol = memchr(code, '\n', len);
	if (!eol)
		return strdup("Invalid library metadata");
	m->skip = (size_t)(eol - code);
	if (!script_split(code, m->skip + 1, &m->words, &m->scratch) || !m->words.n)
		return strdup("Invalid library metadata");
	char *error = read_words(m);
	if (error)
		return error;
	if (!function_api_name_ok(m->name.ptr, m->name.len))
		return strdup(FUNCTION_API_BAD_NAME);
	if (!arg_is(&m->engine, "lua"))
		return textf("Engine '%.*s' not found", shown(&m->engine), m->engine.ptr);
	return NULL;
}

static struct library *new_library(const struct metadata *m, const char *code, size_t len)
{
	struct library *l = calloc(1, sizeof *l);
	if (!l)
		return NULL;
	l->name = strndup(m->name.ptr, m->name.len);
	l->source = rdb_library_new(code, len);
	if (!l->name || !l->source || !take_id(l)) {
		free(l->name);
		rdb_library_free(l->source);
		free(l);
		return NULL;
	}
	l->last = &l->functions;
	l->skip = m->skip;
	l->closed = closed_check_library(code + m->skip, len - m->skip);
	return l;
}

/* Compiled, its functions known, in no registry. known: where its name must not be. */
static struct library *compile(const struct registry *known, const char *code, size_t len, bool limit_time, char **error)
{
	struct metadata m = { 0 };
	struct vm *vm = my_vm();
	struct library *l = NULL;
	*error = read_metadata(&m, code, len);
	if (!*error && known && find_library(known, m.name.ptr, m.name.len))
		*error = textf("Library '%.*s' already exists", (int)m.name.len, m.name.ptr);
	else if (!*error && m.name.ptr && vm)
		l = new_library(&m, code, len);
	free(m.words.v);
	free(m.scratch);
	if (!l)
		return NULL;
	bool ok = function_api_load(vm, l, limit_time, error);
	if (ok && !l->count) {
		*error = strdup("No functions registered");
		ok = false;
	}
	if (ok)
		return l;
	free_library(l);
	return NULL;
}

/* ------------------------------------------------------------------ the registry */

static void set_count(unsigned *v, unsigned n)
{
	__atomic_store_n(v, n, __ATOMIC_RELAXED);
}

static void enter(struct registry *r, struct library *l)
{
	if (r == &functions.live)
		rdb_functions_add(l->source);
	l->next = NULL;
	*r->last = l;
	r->last = &l->next;
	for (struct function *f = l->functions; f; f = f->next) {
		struct function **at = chain_of(r, f->name, strlen(f->name));
		while (*at)
			at = &(*at)->chain;
		f->chain = NULL;
		*at = f;
	}
	__atomic_store_n(&r->bytes, r->bytes + size_of(l), __ATOMIC_RELAXED);
	set_count(&r->libraries, r->libraries + 1);
	set_count(&r->functions, r->functions + l->count);
}

static void leave(struct registry *r, struct library *l)
{
	struct library **at = &r->first;
	while (*at != l)
		at = &(*at)->next;
	*at = l->next;
	if (r->last == &l->next)
		r->last = at;
	for (struct function *f = l->functions; f; f = f->next) {
		struct function **link = chain_of(r, f->name, strlen(f->name));
		while (*link != f)
			link = &(*link)->chain;
		*link = f->chain;
	}
	__atomic_store_n(&r->bytes, r->bytes - size_of(l), __ATOMIC_RELAXED);
	set_count(&r->libraries, r->libraries - 1);
	set_count(&r->functions, r->functions - l->count);
	if (r == &functions.live)
		rdb_functions_remove(l->source);
	free_library(l);
}

static void clear(struct registry *r)
{
	while (r->first)
		leave(r, r->first);
}

static struct registry *registry_of(const struct call *c)
{
	return !c || c->op.store == server_store() ? &functions.live : &functions.replay;
}

static bool in_list(const struct library *list, const char *name)
{
	while (list && strcmp(list->name, name))
		list = list->next;
	return list != NULL;
}

/* The first function of the list that stands in r already, in a library that is not replaced by one of the list. */
static const struct function *collision(struct registry *r, const struct library *list)
{
	for (const struct library *l = list; l; l = l->next) {
		for (const struct function *f = l->functions; f; f = f->next) {
			const struct function *other = find_function(r, f->name, strlen(f->name));
			if (other && !in_list(list, other->library->name))
				return f;
		}
	}
	return NULL;
}

/* All of the list enter; those of the same names leave before. */
static void join(struct registry *r, struct library *list)
{
	for (const struct library *l = list; l; l = l->next) {
		struct library *old = find_library(r, l->name, strlen(l->name));
		if (old)
			leave(r, old);
	}
	for (struct library *next; list; list = next) {
		next = list->next;
		enter(r, list);
	}
}

static void free_list(struct library *list)
{
	for (struct library *next; list; list = next) {
		next = list->next;
		free_library(list);
	}
}

/* ------------------------------------------------------------------ commands */

static const struct library *load(struct registry *r, const char *code, size_t len, bool replace, bool limit_time,
                                  char **error)
{
	struct library *l = compile(replace ? NULL : r, code, len, limit_time, error);
	const struct function *f = l ? collision(r, l) : NULL;
	if (f)
		*error = textf("Function %s already exists", f->name);
	if (l && f)
		free_library(l);
	if (!l || f)
		return NULL;
	join(r, l);
	return l;
}

const struct library *functions_load(struct call *c, const struct arg *code, bool replace, char **error)
{
	return load(registry_of(c), code->ptr, code->len, replace, !c->replaying, error);
}

bool functions_delete(struct call *c, const struct arg *name)
{
	struct registry *r = registry_of(c);
	struct library *l = find_library(r, name->ptr, name->len);
	if (l)
		leave(r, l);
	return l != NULL;
}

static void free_vms(void)
{
	for (unsigned i = 0; i < functions.loops && functions.vms; i++) {
		vm_free(functions.vms[i]);
		functions.vms[i] = NULL;
	}
}

void functions_flush(struct call *c)
{
	clear(registry_of(c));
	if (registry_of(c) == &functions.live)
		free_vms();
}

void functions_clear(void)
{
	clear(&functions.live);
	free_vms();
}

void functions_dump(struct reply *r)
{
	struct rdb_functions_cut *cut = rdb_functions_cut();
	if (!cut || !dump_functions(r, cut))
		reply_oom(r);
	rdb_functions_free(cut);
}

/* What a payload's libraries are gathered in. */
struct gathering {
	struct library *first, **last;
	bool limit_time;
	char **error;
};

static bool has_function(const struct library *list, const char *name)
{
	for (; list; list = list->next) {
		for (const struct function *f = list->functions; f; f = f->next) {
			if (!strcasecmp(f->name, name))
				return true;
		}
	}
	return false;
}

static bool gather(void *ctx, const char *code, size_t len)
{
	struct gathering *g = ctx;
	const struct registry so_far = { .first = g->first };
	struct library *l = compile(&so_far, code, len, g->limit_time, g->error);
	if (!l)
		return false;
	for (const struct function *f = l->functions; f && !*g->error; f = f->next) {
		if (has_function(g->first, f->name))
			*g->error = textf("Function %s already exists", f->name);
	}
	if (*g->error) {
		free_library(l);
		return false;
	}
	*g->last = l;
	g->last = &l->next;
	return true;
}

static char *obstacle(struct registry *r, const struct library *list, enum functions_policy policy)
{
	for (const struct library *l = list; l && policy == FUNCTIONS_APPEND; l = l->next) {
		if (find_library(r, l->name, strlen(l->name)))
			return textf("Library %s already exists", l->name);
	}
	const struct function *f = collision(r, list);
	return f ? textf("Function %s already exists", f->name) : NULL;
}

bool functions_restore(struct call *c, const struct arg *payload, enum functions_policy policy, char **error)
{
	struct registry *r = registry_of(c);
	struct gathering g = { .limit_time = !c->replaying, .error = error };
	g.last = &g.first;
	*error = NULL;
	bool ok = dump_each_function(payload->ptr, payload->len, gather, &g, error);
	if (ok && policy != FUNCTIONS_FLUSH)
		ok = !(*error = obstacle(r, g.first, policy));
	if (!ok) {
		free_list(g.first);
		return false;
	}
	if (policy == FUNCTIONS_FLUSH)
		clear(r);
	join(r, g.first);
	return true;
}

/* ------------------------------------------------------------------ calls */

/* Keys and arguments as two tables behind the function. */
static int push_function(lua_State *L, const struct script_job *job)
{
	function_api_push(L, job->vm, job->what);
	const struct arg *v[2] = { job->keys, job->args };
	const unsigned n[2] = { job->nkeys, job->nargs };
	for (int t = 0; t < 2; t++) {
		lua_createtable(L, (int)n[t], 0);
		for (unsigned i = 0; i < n[t]; i++) {
			lua_pushlstring(L, v[t][i].ptr, v[t][i].len);
			lua_rawseti(L, -2, (int)i + 1);
		}
	}
	return 2;
}

uint32_t functions_flags_for(const struct command *cmd, const struct arg *argv, unsigned argc)
{
	const struct function *f = argc > 1 ? find_function(&functions.live, argv[1].ptr, argv[1].len) : NULL;
	return f ? script_command_flags(cmd->flags, f->flags) : cmd->flags;
}

enum exec_class functions_plan(struct call *c, struct store_lockset *locks)
{
	const struct function *f = find_function(&functions.live, c->argv[1].ptr, c->argv[1].len);
	return script_plan_job(c, locks, f ? &f->runs_alone : NULL, f && f->library->closed);
}

static void run(struct call *c, struct function *f, bool read_only)
{
	if (!f)
		reply_error(c->reply, "ERR Function not found");
	if (!f || !script_keys_ok(c, "ERR Bad number of keys provided")) {
		script_give_up(c);
		return;
	}
	struct script_job job = { .name = f->name, .flags = f->flags, .declares = true, .closed = f->library->closed,
		                  .function = true, .runs_alone = &f->runs_alone, .vm = my_vm(), .push = push_function,
		                  .what = f };
	script_run_job(c, &job, read_only);
}

static struct function *called(const struct call *c)
{
	return find_function(&functions.live, c->argv[1].ptr, c->argv[1].len);
}

/* The library was replaced while this command waited for its locks: the function that was planned was closed, the one that
 * is called has no right to be run. Nothing was read or written yet, so it can still run alone. */
static void run_alone(struct call *c, bool read_only)
{
	exec_alone_begin(c->loop);
	worker_refresh_clock(worker_current);
	c->op.now_ms = worker_current->now_ms;
	c->op.exclusive = true;
	c->alone = true;
	c->stopped = CALL_TOOK_ALONE;
	c->turned_away = dispatch_too_late(c);
	if (!c->turned_away)
		run(c, called(c), read_only);
}

void functions_call(struct call *c, bool read_only)
{
	struct function *f = called(c);
	if (f && !f->library->closed && !c->alone && server_loops() > 1 && !script_has_right())
		run_alone(c, read_only);
	else
		run(c, f, read_only);
}

/* ------------------------------------------------------------------ what others know */

const struct library *functions_first(void)
{
	return functions.live.first;
}

const char *functions_code(const struct library *l, size_t *len)
{
	*len = l->source->len;
	return l->source->code;
}

unsigned functions_libraries(void)
{
	return __atomic_load_n(&functions.live.libraries, __ATOMIC_RELAXED);
}

unsigned functions_count(void)
{
	return __atomic_load_n(&functions.live.functions, __ATOMIC_RELAXED);
}

uint64_t functions_memory(void)
{
	return __atomic_load_n(&functions.live.bytes, __ATOMIC_RELAXED);
}

uint64_t functions_vm_memory(void)
{
	uint64_t sum = 0;
	for (unsigned i = 0; i < functions.loops; i++) {
		const struct vm *vm = __atomic_load_n(&functions.vms[i], __ATOMIC_ACQUIRE);
		sum += vm ? __atomic_load_n(&vm->memory, __ATOMIC_RELAXED) : 0;
	}
	return sum;
}

void functions_replay_begin(void)
{
	char *error = NULL;
	clear(&functions.replay);
	for (const struct library *l = functions.live.first; l; l = l->next) {
		load(&functions.replay, l->source->code, l->source->len, false, false, &error);
		free(error);
	}
}

bool functions_replay_same(void)
{
	const struct library *l = functions.live.first;
	for (; l; l = l->next) {
		const struct library *other = find_library(&functions.replay, l->name, strlen(l->name));
		const struct rdb_library *a = l->source, *b = other ? other->source : NULL;
		if (!b || b->len != a->len || memcmp(b->code, a->code, a->len))
			return false;
	}
	return functions.live.libraries == functions.replay.libraries;
}

/* A library of a file that is loaded: by the thread that loads it, or alone. */
static const char *load_from_file(const void *code, size_t len, bool replace)
{
	char *error = NULL;
	bool ok = load(&functions.live, code, len, replace, false, &error) != NULL;
	if (!ok)
		log_warning("A library of functions cannot be loaded: %s", error ? error : "out of memory");
	free(error);
	return ok ? NULL : "a library of functions that cannot be loaded";
}

int functions_init(unsigned loops)
{
	functions.live.last = &functions.live.first;
	functions.replay.last = &functions.replay.first;
	functions.vms = calloc(loops, sizeof *functions.vms);
	if (!functions.vms)
		return -ENOMEM;
	functions.loops = loops;
	rdb_functions_on_load(load_from_file);
	return 0;
}

void functions_free(void)
{
	clear(&functions.replay);
	functions_clear();
	free(functions.vms);
	free(functions.ids);
	functions.vms = NULL;
	functions.ids = NULL;
	functions.loops = functions.ids_cap = 0;
}
