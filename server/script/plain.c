/* plain: see plain.h. What lua_dump() writes: header, then functions within functions, in this machine's own types. */
#include "server/script/plain.h"

#include <lua5.1/lauxlib.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define HEADER 12
#define DEPTH_MAX 200

/* Instructions of Lua 5.1: six bits say which, eight bits are register A, nine bits each C and B (or both together). */
enum { OP_GETGLOBAL = 5, OP_GETTABLE = 6, OP_SETGLOBAL = 7, OP_LEN = 20 };
enum { CONSTANT_NIL, CONSTANT_BOOLEAN, CONSTANT_NUMBER = 3, CONSTANT_STRING };

struct dump {
	char *bytes;
	size_t len, cap;
};

struct reader {
	const char *p, *end;
	bool bad;
};

/* ------------------------------------------------------------------ bytecode */

static int gather(lua_State *L, const void *bytes, size_t len, void *ctx)
{
	struct dump *d = ctx;
	(void)L;
	if (len > d->cap - d->len) {
		size_t cap = (d->len + len) * 2;
		char *fresh = realloc(d->bytes, cap);
		if (!fresh)
			return 1;
		d->bytes = fresh;
		d->cap = cap;
	}
	memcpy(d->bytes + d->len, bytes, len);
	d->len += len;
	return 0;
}

static const char *skip(struct reader *r, size_t n)
{
	const char *p = r->p;
	if (n > (size_t)(r->end - p)) {
		r->bad = true;
		r->p = r->end;
		return NULL;
	}
	r->p += n;
	return p;
}

static size_t take_count(struct reader *r)
{
	int n = 0;
	const char *p = skip(r, sizeof n);
	if (p)
		memcpy(&n, p, sizeof n);
	r->bad |= n < 0;
	return r->bad ? 0 : (size_t)n;
}

/* Its length counts the zero at its end; 0: there is none. */
static struct arg take_string(struct reader *r)
{
	size_t n = 0;
	const char *p = skip(r, sizeof n);
	if (p)
		memcpy(&n, p, sizeof n);
	p = skip(r, n);
	return (struct arg){ p, p && n ? n - 1 : 0 };
}

static bool is_word(const struct arg *a, const char *word)
{
	return a->len == strlen(word) && !memcmp(a->ptr, word, a->len);
}

static bool is_any(const struct arg *a, const char *const *words)
{
	for (; *words; words++) {
		if (is_word(a, *words))
			return true;
	}
	return false;
}

static const char *const arrays[] = { "KEYS", "ARGV", NULL };
static const char *const libraries[] = { "redis", "string", "math", "table", "cjson", "cmsgpack", "struct", "bit", "os",
	                                 "coroutine", NULL };

static uint32_t instruction(const char *code, size_t i)
{
	uint32_t v;
	memcpy(&v, code + i * sizeof v, sizeof v);
	return v;
}

/* The global's value goes no further than the next instruction, which takes a field of it or its length in its place. */
static bool is_read_at_once(uint32_t get, uint32_t next, bool array)
{
	unsigned op = next & 63, a = get >> 6 & 255;
	return (op == OP_GETTABLE || (op == OP_LEN && array)) && (next >> 6 & 255) == a && next >> 23 == a;
}

static bool code_is_plain(const char *code, size_t n, const struct arg *names, size_t names_n)
{
	static const char *const ways_around[] = { "_G", "load", "loadstring", NULL };
	for (size_t i = 0; i < n; i++) {
		uint32_t v = instruction(code, i);
		if ((v & 63) == OP_SETGLOBAL)
			return false;
		if ((v & 63) != OP_GETGLOBAL)
			continue;
		if (v >> 14 >= names_n || !names[v >> 14].ptr || i + 1 == n)
			return false;
		const struct arg *name = &names[v >> 14];
		bool array = is_any(name, arrays);
		if (is_any(name, ways_around))
			return false;
		if ((array || is_any(name, libraries)) && !is_read_at_once(v, instruction(code, i + 1), array))
			return false;
	}
	return true;
}

/* The constants: of strings what they are, of others nothing. */
static void read_constants(struct reader *r, struct arg *v, size_t n)
{
	for (size_t i = 0; i < n && !r->bad; i++) {
		const char *type = skip(r, 1);
		v[i] = (struct arg){ 0 };
		if (!type)
			return;
		if (*type == CONSTANT_BOOLEAN)
			skip(r, 1);
		else if (*type == CONSTANT_NUMBER)
			skip(r, sizeof(lua_Number));
		else if (*type == CONSTANT_STRING)
			v[i] = take_string(r);
		else
			r->bad |= *type != CONSTANT_NIL;
	}
}

static void skip_debug(struct reader *r)
{
	skip(r, take_count(r) * sizeof(int)); /* lines */
	for (size_t n = take_count(r); n && !r->bad; n--) {
		take_string(r); /* local variables */
		skip(r, 2 * sizeof(int));
	}
	for (size_t n = take_count(r); n && !r->bad; n--)
		take_string(r); /* upvalues */
}

static bool function_is_plain(struct reader *r, unsigned depth)
{
	take_string(r);              /* source */
	skip(r, 2 * sizeof(int) + 4); /* lines, parameters and the like */
	size_t n = take_count(r);
	const char *code = skip(r, n * sizeof(uint32_t));
	size_t names_n = take_count(r);
	if (r->bad || depth > DEPTH_MAX || names_n > (size_t)(r->end - r->p))
		return false;
	struct arg *names = malloc((names_n + 1) * sizeof *names);
	if (!names)
		return false;
	read_constants(r, names, names_n);
	bool plain = !r->bad && code_is_plain(code, n, names, names_n);
	free(names);
	for (n = plain ? take_count(r) : 0; n && plain; n--)
		plain = function_is_plain(r, depth + 1);
	if (plain)
		skip_debug(r);
	return plain && !r->bad;
}

bool plain_check(lua_State *L)
{
	struct dump d = { 0 };
	bool plain = false;
	if (lua_dump(L, gather, &d) == 0 && d.len > HEADER) {
		struct reader r = { .p = d.bytes + HEADER, .end = d.bytes + d.len };
		plain = function_is_plain(&r, 0) && r.p == r.end;
	}
	free(d.bytes);
	return plain;
}

/* ------------------------------------------------------------------ globals */

static void new_table(lua_State *L, const char *name, struct plain_table *t)
{
	lua_createtable(L, PLAIN_KEPT, 0);
	lua_pushvalue(L, -1);
	t->ref = luaL_ref(L, LUA_REGISTRYINDEX);
	lua_setfield(L, -2, name);
}

void plain_open(lua_State *L, struct plain_table *keys, struct plain_table *args)
{
	int from = lua_gettop(L);
	lua_newtable(L);
	lua_pushnil(L);
	while (lua_next(L, from)) {
		lua_pushvalue(L, -2);
		lua_insert(L, -2);
		lua_rawset(L, from + 1);
	}
	for (const char *const *name = libraries; *name; name++) {
		lua_pushstring(L, *name);
		lua_rawget(L, from + 1);
		if (luaL_getmetafield(L, -1, "__index"))
			lua_setfield(L, from + 1, *name);
		lua_settop(L, from + 1);
	}
	new_table(L, "KEYS", keys);
	new_table(L, "ARGV", args);
}

/* Too long to be kept, or what was there before is: nothing of it serves again. */
static void replace(lua_State *L, int globals, const char *name, struct plain_table *t, const struct arg *v, unsigned n)
{
	lua_createtable(L, (int)n, 0);
	for (unsigned i = 0; i < n; i++) {
		lua_pushlstring(L, v[i].ptr, v[i].len);
		lua_rawseti(L, -2, (int)i + 1);
	}
	lua_rawgeti(L, LUA_REGISTRYINDEX, globals);
	lua_pushvalue(L, -2);
	lua_setfield(L, -2, name);
	lua_pop(L, 1);
	t->n = PLAIN_KEPT + 1; /* whatever may come: not this one again */
	lua_rawseti(L, LUA_REGISTRYINDEX, t->ref);
}

static void set(lua_State *L, struct plain_table *t, unsigned i, const struct arg *a)
{
	lua_pushlstring(L, a->ptr, a->len);
	t->strings[i].ptr = lua_tolstring(L, -1, &t->strings[i].len);
	t->n = i < t->n ? t->n : i + 1;
	lua_rawseti(L, -2, (int)i + 1); /* there is room */
}

void plain_fill(lua_State *L, int globals, const char *name, struct plain_table *t, const struct arg *v, unsigned n)
{
	unsigned i = 0;
	if (n > PLAIN_KEPT) {
		replace(L, globals, name, t, v, n);
		return;
	}
	if (t->n > PLAIN_KEPT) {
		lua_createtable(L, PLAIN_KEPT, 0);
		lua_rawgeti(L, LUA_REGISTRYINDEX, globals);
		lua_pushvalue(L, -2);
		lua_setfield(L, -2, name);
		lua_pop(L, 1);
		lua_rawseti(L, LUA_REGISTRYINDEX, t->ref);
		t->n = 0;
	}
	while (i < n && i < t->n && arg_equal(&v[i], &t->strings[i]))
		i++;
	if (i == n && n == t->n)
		return;
	lua_rawgeti(L, LUA_REGISTRYINDEX, t->ref);
	for (; i < n; i++) {
		if (i >= t->n || !arg_equal(&v[i], &t->strings[i]))
			set(L, t, i, &v[i]);
	}
	for (; t->n > n; t->n--) {
		lua_pushnil(L);
		lua_rawseti(L, -2, (int)t->n);
	}
	lua_pop(L, 1);
}
