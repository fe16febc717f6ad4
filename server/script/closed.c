/* closed: see closed.h. Lexical structure: Lua 5.1 Reference Manual, section 2.1. */
#include "server/script/closed.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "server/command.h"

#define TOKENS_MAX 8192 /* longer scripts are not looked at */
#define ALIASES_MAX 16

enum kind { NAME, NUMBER, STRING, MARK, END };

struct token {
	const char *p;
	uint32_t len;   /* of a string: without its quotes */
	uint8_t kind;   /* enum kind */
	bool plain;     /* a string without escapes */
	bool in_call;   /* between the parentheses of redis.call() */
	bool is_alias;  /* where a local variable gets its key */
	bool is_param;  /* where a function of a library gets its keys */
};

struct text {
	const char *p, *end;
	struct token *v;
	unsigned n;
	const struct token *aliases[ALIASES_MAX];
	unsigned aliases_n;
	const struct token *keys; /* what the keys are called in a library; NULL: KEYS */
};

/* ------------------------------------------------------------------ tokens */

static bool is_name(char c, bool first)
{
	return c == '_' || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (!first && c >= '0' && c <= '9');
}

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

/* The number of signs between the brackets of [==[ at p; -1: it is none. */
static int long_level(const char *p, const char *end)
{
	const char *q = p + 1;
	while (q < end && *q == '=')
		q++;
	return p < end && *p == '[' && q < end && *q == '[' ? (int)(q - p - 1) : -1;
}

/* Behind the closing bracket of that level; NULL: it does not end. `inner` gets what is between. */
static const char *skip_long(const char *p, const char *end, int level, struct token *inner)
{
	const char *from = p + level + 2;
	for (p = from; p < end; p++) {
		const char *q = p + 1;
		if (*p != ']')
			continue;
		while (q < end && *q == '=')
			q++;
		if (q < end && *q == ']' && q - p - 1 == level) {
			if (inner)
				*inner = (struct token){ .p = from, .len = (uint32_t)(p - from), .kind = STRING };
			return q + 1;
		}
	}
	return NULL;
}

/* Blanks and comments; false: a comment does not end. */
static bool skip_space(struct text *t)
{
	for (;;) {
		while (t->p < t->end && strchr(" \t\r\n\v\f", *t->p) && *t->p)
			t->p++;
		if (t->end - t->p < 2 || t->p[0] != '-' || t->p[1] != '-')
			return true;
		int level = long_level(t->p + 2, t->end);
		if (level >= 0) {
			t->p = skip_long(t->p + 2, t->end, level, NULL);
			if (!t->p)
				return false;
		} else {
			while (t->p < t->end && *t->p != '\n')
				t->p++;
		}
	}
}

static bool take_string(struct text *t, struct token *k)
{
	char quote = *t->p++;
	*k = (struct token){ .p = t->p, .kind = STRING, .plain = true };
	for (; t->p < t->end && *t->p != quote; t->p++) {
		if (*t->p == '\n')
			return false;
		if (*t->p == '\\') {
			k->plain = false;
			if (++t->p == t->end)
				return false;
		}
	}
	k->len = (uint32_t)(t->p - k->p);
	return t->p++ < t->end;
}

/* The next token; false: this is not Lua. */
static bool take(struct text *t, struct token *k)
{
	if (!skip_space(t))
		return false;
	const char *from = t->p;
	*k = (struct token){ .p = from, .kind = END };
	if (from == t->end)
		return true;
	int level = long_level(from, t->end);
	if (*from == '"' || *from == '\'')
		return take_string(t, k);
	if (level >= 0)
		return (t->p = skip_long(from, t->end, level, k)) != NULL;
	if (is_name(*from, true)) {
		k->kind = NAME;
		while (t->p < t->end && is_name(*t->p, false))
			t->p++;
	} else if (is_digit(*from)) {
		k->kind = NUMBER;
		while (t->p < t->end && (is_name(*t->p, false) || *t->p == '.'))
			t->p++;
	} else {
		static const char *const longer[] = { "...", "..", "==", "~=", "<=", ">=" };
		k->kind = MARK;
		t->p++;
		for (unsigned i = 0; i < sizeof longer / sizeof *longer; i++) {
			size_t n = strlen(longer[i]);
			if ((size_t)(t->end - from) >= n && !memcmp(from, longer[i], n)) {
				t->p = from + n;
				break;
			}
		}
	}
	k->len = (uint32_t)(t->p - from);
	return true;
}

static bool is(const struct token *k, const char *word)
{
	return k->kind != STRING && k->len == strlen(word) && !memcmp(k->p, word, k->len);
}

static bool is_any(const struct token *k, const char *const *words)
{
	for (; *words; words++) {
		if (is(k, *words))
			return true;
	}
	return false;
}

static bool same(const struct token *a, const struct token *b)
{
	return a->kind == NAME && b->kind == NAME && a->len == b->len && !memcmp(a->p, b->p, a->len);
}

static bool is_keys(const struct text *t, const struct token *k)
{
	return t->keys ? same(t->keys, k) : is(k, "KEYS");
}

/* KEYS[number]: four tokens. */
static bool is_key(const struct text *t, const struct token *k)
{
	if (!is_keys(t, k) || !is(k + 1, "[") || k[2].kind != NUMBER || !is(k + 3, "]"))
		return false;
	for (uint32_t i = 0; i < k[2].len; i++) {
		if (!is_digit(k[2].p[i]))
			return false;
	}
	return true;
}

static const struct token *alias_of(const struct text *t, const struct token *k)
{
	for (unsigned i = 0; i < t->aliases_n; i++) {
		if (same(t->aliases[i], k))
			return t->aliases[i];
	}
	return NULL;
}

/* ------------------------------------------------------------------ calls */

/* The keys of these commands stand at places which the number of arguments tells; `open`: which do not depend on it. */
static bool has_fixed_keys(const struct command *cmd, bool open)
{
	if (cmd->plan || cmd->classify || (cmd->find_keys && !cmd->single_key) ||
	    (cmd->flags & (CMD_CONTAINER | CMD_NOSCRIPT | CMD_MOVABLE_KEYS)))
		return false;
	if (cmd->class == EXEC_SERVICE)
		return !strcmp(cmd->name, "publish") || !strcmp(cmd->name, "spublish");
	for (const struct key_spec *s = cmd->keys; s < cmd->keys + COMMAND_SPECS && s->flags; s++) {
		if (s->keyword || s->keynum || s->begin <= 0 || (s->flags & KEY_INCOMPLETE) || (open && s->last < 0))
			return false;
	}
	return cmd->class == EXEC_KEYED || cmd->class == EXEC_LOCAL;
}

struct args {
	const struct token *from[64];
	unsigned len[64], n;
	bool open; /* the last one may become any number */
};

/* The arguments between the parenthesis at k and its end, which is returned; NULL: not understood. */
static struct token *read_args(struct token *k, struct args *a)
{
	unsigned depth = 0;
	a->n = 0;
	a->from[0] = ++k;
	for (;; k++) {
		k->in_call = true;
		if (k->kind == END || is(k, "function"))
			return NULL;
		bool closes = is(k, ")") || is(k, "]") || is(k, "}");
		if (depth == 0 && (closes || is(k, ","))) {
			a->len[a->n] = (unsigned)(k - a->from[a->n]);
			if (++a->n == 64)
				return NULL;
			if (closes)
				break;
			a->from[a->n] = k + 1;
		}
		depth += is(k, "(") || is(k, "[") || is(k, "{");
		depth -= closes;
	}
	/* f(), f"" and f{} may return many values */
	a->open = is(k - 1, "...") || (a->len[a->n - 1] > 1 && (is(k - 1, ")") || is(k - 1, "}") || k[-1].kind == STRING));
	return k;
}

static bool arg_is_key(const struct text *t, const struct args *a, unsigned i)
{
	const struct token *k = a->from[i];
	return (a->len[i] == 4 && is_key(t, k)) || (a->len[i] == 1 && alias_of(t, k));
}

/* Whether all keys of the call whose parenthesis is at k are declared ones. */
static bool call_is_closed(const struct text *t, struct token *k)
{
	struct args a;
	struct arg argv[64];
	struct key_refs keys;
	if (!read_args(k, &a) || a.len[0] != 1 || a.from[0]->kind != STRING || !a.from[0]->plain)
		return false;
	const struct command *cmd = command_find(a.from[0]->p, a.from[0]->len);
	if (!cmd || !has_fixed_keys(cmd, a.open))
		return false;
	for (unsigned i = 0; i < a.n; i++)
		argv[i] = (struct arg){ .ptr = "?", .len = 1 };
	argv[0] = (struct arg){ .ptr = cmd->name, .len = strlen(cmd->name) };
	if ((!a.open && !command_arity_ok(cmd, a.n)) || command_keys(cmd, argv, a.n, &keys))
		return false;
	bool closed = true;
	for (unsigned i = 0; i < keys.n; i++)
		closed &= arg_is_key(t, &a, keys.v[i].arg);
	key_refs_clear(&keys);
	return closed;
}

/* ------------------------------------------------------------------ the text */

static bool read_tokens(struct text *t)
{
	do {
		if (t->n + 8 >= TOKENS_MAX || !take(t, &t->v[t->n]))
			return false;
	} while (t->v[t->n++].kind != END);
	for (unsigned i = 0; i < 4; i++) /* looking ahead stays within */
		t->v[t->n + i] = (struct token){ .p = t->end, .kind = END };
	return true;
}

/* local name = KEYS[number], and then the next statement. */
static bool read_alias(struct text *t, struct token *k)
{
	static const char *const goes_on[] = { "and", "or", NULL };
	if (!is(k, "local") || k[1].kind != NAME || !is(k + 2, "=") || !is_key(t, k + 3))
		return true;
	const struct token *next = k + 7;
	if ((next->kind != NAME && next->kind != END && !is(next, ";")) || is_any(next, goes_on))
		return true;
	k[1].is_alias = true;
	if (alias_of(t, k + 1)) /* a key wherever it is known */
		return true;
	if (t->aliases_n == ALIASES_MAX)
		return false;
	t->aliases[t->aliases_n++] = k + 1;
	return true;
}

/* Whether what the token at k does leaves KEYS, `redis` and the variables for keys what they are. */
static bool keeps_order(const struct text *t, struct token *k)
{
	static const char *const ways_around[] = {
		"_G", "getfenv", "setfenv", "load", "loadstring", "loadfile", "dofile", "require", "module", "debug", "rawset",
		"rawget", "setmetatable", "getmetatable", "coroutine", NULL,
	};
	static const char *const harmless[] = {
		"sha1hex", "log", "error_reply", "status_reply", "setresp", "LOG_DEBUG", "LOG_VERBOSE", "LOG_NOTICE",
		"LOG_WARNING", NULL,
	};
	const struct token *prev = k == t->v ? &t->v[t->n] : k - 1;
	if (k->kind != NAME)
		return true;
	if (is_any(k, ways_around))
		return false;
	if (is(k, "redis")) {
		bool calls = is(k + 2, "call") || is(k + 2, "pcall");
		if (t->keys && is(k + 1, ".") && is(k + 2, "register_function"))
			return is(k + 3, "(") || is(k + 3, "{");
		return is(k + 1, ".") && (calls ? is(k + 3, "(") : is_any(k + 2, harmless) && !is(k + 3, "="));
	}
	if (is_keys(t, k))
		return k->is_param || is(prev, "#") ||
		       (is_key(t, k) && (k->in_call || (!is(k + 4, "=") && !is(k + 4, ",") && !is(k + 4, "["))));
	if (alias_of(t, k))
		return k->is_alias || k->in_call || is(prev, "..") || is(k + 1, "..");
	return true;
}

/* ------------------------------------------------------------------ libraries */

/* Whether the token at i stands where redis.register_function() takes its callback: behind the name, or named. */
static bool is_callback_at(const struct text *t, unsigned i)
{
	const struct token *k = &t->v[i];
	unsigned depth = 0;
	if (i >= 6 && is(k - 1, ",") && k[-2].kind == STRING && is(k - 3, "(") && is(k - 4, "register_function") &&
	    is(k - 5, ".") && is(k - 6, "redis"))
		return true;
	if (i < 6 || !is(k - 1, "=") || !is(k - 2, "callback"))
		return false;
	for (k -= 3; k > t->v + 3; k--) {
		depth += is(k, "}") || is(k, ")") || is(k, "]");
		bool opens = is(k, "{") || is(k, "(") || is(k, "[");
		if (opens && depth == 0)
			return is(k, "{") && is(k - (is(k - 1, "(") ? 2 : 1), "register_function");
		depth -= opens;
	}
	return false;
}

/* Whether the local function at i is used for nothing but being registered. */
static bool only_registered(const struct text *t, unsigned i)
{
	static const char *const ends[] = { ")", ",", "}", ";", NULL };
	for (unsigned k = 0; k < t->n; k++) {
		if (k != i && same(&t->v[k], &t->v[i]) && !(is_callback_at(t, k) && is_any(&t->v[k + 1], ends)))
			return false;
	}
	return true;
}

/* The first parameter of every function that is registered: one name for all of them, and no other use of a function that
 * has such a parameter; what else bears the name is found by keeps_order(). */
static bool find_keys(struct text *t)
{
	t->keys = &t->v[t->n]; /* nothing is called so */
	for (unsigned i = 0; i < t->n; i++) {
		struct token *k = &t->v[i];
		if (!is(k, "function"))
			continue;
		bool named = k[1].kind == NAME;
		if (named && (i == 0 || !is(k - 1, "local")))
			return false;
		struct token *first = k + (named ? 3 : 2);
		if (!is(first - 1, "("))
			return false;
		if (first->kind != NAME || !(named ? only_registered(t, i + 1) : is_callback_at(t, i)))
			continue;
		if (t->keys->kind == NAME && !same(t->keys, first))
			return false;
		t->keys = first;
		first->is_param = true;
	}
	return true;
}

static bool look(struct text *t, bool library)
{
	if (!read_tokens(t) || (library && !find_keys(t)))
		return false;
	for (unsigned i = 0; i < t->n; i++) {
		if (!read_alias(t, &t->v[i]))
			return false;
	}
	for (unsigned i = 0; i + 3 < t->n; i++) {
		struct token *k = &t->v[i];
		if (is(k, "redis") && (is(k + 2, "call") || is(k + 2, "pcall")) && !(is(k + 3, "(") && call_is_closed(t, k + 3)))
			return false;
	}
	for (unsigned i = 0; i < t->n; i++) {
		if (!keeps_order(t, &t->v[i]))
			return false;
	}
	return true;
}

static bool check(const char *text, size_t len, bool library)
{
	struct text t = { .p = text, .end = text + len };
	if (len > UINT32_MAX || !(t.v = calloc(TOKENS_MAX, sizeof *t.v)))
		return false;
	bool closed = look(&t, library);
	free(t.v);
	return closed;
}

bool closed_check(const char *text, size_t len)
{
	return check(text, len, false);
}

bool closed_check_library(const char *text, size_t len)
{
	return check(text, len, true);
}
