/*
 * command_docs: see command_docs.h. The notation of a row's `args`:
 *
 *   args    := item { " " item }
 *   item    := "[" core "]" | core                 in brackets: optional
 *   core    := [ TOKEN " " ] name ":" what { suffix } [ "..." [ "+" ] ]
 *   what    := type [ "#" index ] | PURE-TOKEN
 *            | "<" item { "|" item } ">"           one of
 *            | "{" item { " " item } "}"           a block: all of them
 *   type    := key | string | integer | double | pattern | unix-time
 *   suffix  := "(" display text ")" | "@" since | "^" deprecated since
 *
 * TOKEN is a word that stands before the argument, a pure token one that stands alone; "" is the empty one. "key#0" is a
 * key found by the row's first key specification ("key" alone: by none). "..." says that the argument may be repeated,
 * "+" that its token is repeated with it. Example, SET without its times to live:
 *
 *   key:key#0 value:string [condition:<nx:NX|xx:XX>] [get:GET@6.2.0]
 */
#include "server/command_docs.h"

#include <errno.h>
#include <string.h>

const char *const command_flag_names[] = {
	"write", "readonly", "denyoom", "admin", "pubsub", "noscript", "blocking", "loading", "stale", "skip_monitor",
	"skip_slowlog", "asking", "fast", "no_auth", "", "no_mandatory_keys", "", "no_async_loading",
	"no_multi", "movablekeys", "allow_busy", NULL,
};
const char *const command_key_flag_names[] = {
	"RO", "RW", "OW", "RM", "access", "update", "insert", "delete", "not_key", "incomplete", "variable_flags", NULL,
};
const char *const command_category_names[] = {
	"keyspace", "read", "write", "set", "sortedset", "list", "hash", "string", "bitmap", "hyperloglog", "geo", "stream",
	"pubsub", "admin", "fast", "slow", "blocking", "dangerous", "connection", "transaction", "scripting", NULL,
};

struct slice {
	const char *p;
	size_t len;
};

struct item {
	struct slice token, name, what, text, since, deprecated;
	bool optional, multiple, multiple_token;
	char kind;    /* '<' '{' 't' pure token, 's' a type */
	int key_spec; /* -1: none */
};

static struct slice slice(const char *from, const char *to)
{
	return (struct slice){ from, (size_t)(to - from) };
}

static bool slice_is(struct slice s, const char *word)
{
	return s.len == strlen(word) && memcmp(s.p, word, s.len) == 0;
}

/* Behind the bracket that closes the one at p; NULL: there is none. Tokens are never brackets. */
static const char *skip_brackets(const char *p)
{
	unsigned depth = 0;
	do {
		if (!*p)
			return NULL;
		if (*p == '<' || *p == '{')
			depth++;
		else if (*p == '>' || *p == '}')
			depth--;
		p++;
	} while (depth);
	return p;
}

static bool is_type(struct slice s)
{
	static const char *const types[] = { "key", "string", "integer", "double", "pattern", "unix-time" };
	for (size_t i = 0; i < sizeof types / sizeof *types; i++)
		if (slice_is(s, types[i]))
			return true;
	return false;
}

static const char *parse_what(const char *p, struct item *it)
{
	const char *end;
	it->kind = *p;
	if (*p == '<' || *p == '{') {
		end = skip_brackets(p);
		if (!end)
			return NULL;
		it->what = slice(p + 1, end - 1);
		return end;
	}
	/* a token may be any sign, so its first character is never taken for a suffix */
	end = *p ? p + 1 : p;
	while (*end && !strchr(" ]>|}(@^", *end) && strncmp(end, "...", 3) != 0)
		end++;
	it->what = slice(p, end);
	if (it->what.len > 2 && end[-2] == '#' && is_type(slice(p, end - 2))) {
		it->what.len -= 2;
		it->key_spec = end[-1] - '0';
		if (it->key_spec < 0 || it->key_spec >= COMMAND_SPECS)
			return NULL;
	}
	it->kind = is_type(it->what) ? 's' : 't';
	/* tokens are never in lower case: a type misspelt is not taken for one */
	for (const char *q = p; it->kind == 't' && q < end; q++)
		if (*q >= 'a' && *q <= 'z')
			return NULL;
	if (slice_is(it->what, "\"\""))
		it->what.len = 0;
	return end > p ? end : NULL;
}

static const char *parse_suffixes(const char *p, struct item *it)
{
	while (*p == '(' || *p == '@' || *p == '^') {
		char kind = *p++;
		const char *end = p + strcspn(p, kind == '(' ? ")" : " ]>|}(@^");
		if (kind != '(')
			for (end = p; (*end >= '0' && *end <= '9') || (*end == '.' && end[1] != '.'); end++)
				;
		if (end == p || (kind == '(' && !*end))
			return NULL;
		*(kind == '(' ? &it->text : kind == '@' ? &it->since : &it->deprecated) = slice(p, end);
		p = kind == '(' ? end + 1 : end;
	}
	if (strncmp(p, "...", 3) == 0) {
		it->multiple = true;
		p += 3;
		if (*p == '+')
			it->multiple_token = *p++ != 0;
	}
	return p;
}

/* One item at p; returns what is behind it, or NULL. */
static const char *parse_item(const char *p, struct item *it)
{
	memset(it, 0, sizeof *it);
	it->key_spec = -1;
	if (*p == '[') {
		it->optional = true;
		p++;
	}
	const char *end = p + strcspn(p, " :");
	if (*end == ' ' && end > p) {
		it->token = slice(p, end);
		if (slice_is(it->token, "\"\""))
			it->token.len = 0;
		p = end + 1;
		end = p + strcspn(p, " :[]<>{}|");
	}
	if (*end != ':' || end == p)
		return NULL;
	it->name = slice(p, end);
	p = parse_what(end + 1, it);
	if (!p || !(p = parse_suffixes(p, it)))
		return NULL;
	if (it->optional && *p++ != ']')
		return NULL;
	return p;
}

/* Items between p and end, separated by `by`: their number, or -1 with *at at the mistake. Nested ones are checked. */
static int count_items(const char *p, const char *end, char by, const char **at)
{
	int n = 0, unused;
	for (;; p++) {
		struct item it;
		const char *next = parse_item(p, &it);
		*at = p;
		if (!next || next > end || (next < end && *next != by))
			return -1;
		if (it.kind == '<' || it.kind == '{') {
			unused = count_items(it.what.p, it.what.p + it.what.len, it.kind == '<' ? '|' : ' ', at);
			if (unused < 0)
				return -1;
		}
		n++;
		if (next == end)
			return n;
		p = next;
	}
}

int command_docs_check(const char *args, const char **at)
{
	return !args || count_items(args, args + strlen(args), ' ', at) > 0 ? 0 : -EINVAL;
}

/* ------------------------------------------------------------------ replies */

static void put_pair(struct reply *r, const char *key, struct slice v, size_t *n)
{
	reply_cstr(r, key);
	reply_bulk(r, v.p, v.len);
	++*n;
}

static void reply_items(struct reply *r, struct slice s, char by);

static void reply_item(struct reply *r, const struct item *it)
{
	size_t mark = reply_defer(r), n = 0;
	const char *type = it->kind == '<' ? "oneof" : it->kind == '{' ? "block" : "pure-token";
	put_pair(r, "name", it->name, &n);
	put_pair(r, "type", it->kind == 's' ? it->what : slice(type, type + strlen(type)), &n);
	if (it->kind != '<' && it->kind != '{')
		put_pair(r, "display_text", it->text.p ? it->text : it->name, &n);
	if (it->key_spec >= 0) {
		reply_cstr(r, "key_spec_index");
		reply_int(r, it->key_spec);
		n++;
	}
	if (it->token.p || it->kind == 't')
		put_pair(r, "token", it->token.p ? it->token : it->what, &n);
	if (it->since.p)
		put_pair(r, "since", it->since, &n);
	if (it->deprecated.p)
		put_pair(r, "deprecated_since", it->deprecated, &n);
	if (it->optional || it->multiple) {
		reply_cstr(r, "flags");
		reply_set(r, (size_t)it->optional + it->multiple + it->multiple_token);
		if (it->optional)
			reply_status(r, "optional");
		if (it->multiple)
			reply_status(r, "multiple");
		if (it->multiple_token)
			reply_status(r, "multiple_token");
		n++;
	}
	if (it->kind == '<' || it->kind == '{') {
		reply_cstr(r, "arguments");
		reply_items(r, it->what, it->kind == '<' ? '|' : ' ');
		n++;
	}
	reply_defer_end(r, mark, '%', n);
}

static void reply_items(struct reply *r, struct slice s, char by)
{
	const char *p = s.p, *end = s.p + s.len, *at;
	int n = count_items(p, end, by, &at);
	reply_array(r, n > 0 ? (size_t)n : 0);
	for (int i = 0; i < n; i++) {
		struct item it;
		p = parse_item(p, &it) + 1;
		reply_item(r, &it);
	}
}

void command_docs_args(struct reply *r, const char *args)
{
	reply_items(r, slice(args, args + strlen(args)), ' ');
}

/* Lines "VERSION text": pairs. */
static void reply_history(struct reply *r, const char *history)
{
	size_t n = 1;
	for (const char *p = history; (p = strchr(p, '\n')); p++)
		n++;
	reply_set(r, n);
	for (const char *p = history; n > 0; n--) {
		size_t line = strcspn(p, "\n"), version = strcspn(p, " ");
		reply_array(r, 2);
		reply_bulk(r, p, version);
		reply_bulk(r, p + version + 1, line - version - 1);
		p += line + 1;
	}
}

static void reply_deprecation(struct reply *r, const char *text, size_t *n)
{
	size_t version = strcspn(text, " ");
	put_pair(r, "deprecated_since", slice(text, text + version), n);
	if (text[version])
		put_pair(r, "replaced_by", slice(text + version + 1, text + strlen(text)), n);
}

static void reply_text(struct reply *r, const char *key, const char *text, size_t *n)
{
	if (text)
		put_pair(r, key, slice(text, text + strlen(text)), n);
}

void command_docs_reply(struct reply *r, const struct command *cmd)
{
	size_t mark = reply_defer(r), n = 0, subs = 0;
	reply_text(r, "summary", cmd->summary, &n);
	reply_text(r, "since", cmd->since, &n);
	reply_text(r, "group", cmd->group, &n);
	reply_text(r, "complexity", cmd->complexity, &n);
	if (cmd->deprecated || cmd->flags & CMD_SYSCMD) {
		reply_cstr(r, "doc_flags");
		reply_set(r, (size_t)!!cmd->deprecated + !!(cmd->flags & CMD_SYSCMD));
		if (cmd->deprecated)
			reply_status(r, "deprecated");
		if (cmd->flags & CMD_SYSCMD)
			reply_status(r, "syscmd");
		n++;
	}
	if (cmd->deprecated)
		reply_deprecation(r, cmd->deprecated, &n);
	if (cmd->history) {
		reply_cstr(r, "history");
		reply_history(r, cmd->history);
		n++;
	}
	if (cmd->args) {
		reply_cstr(r, "arguments");
		command_docs_args(r, cmd->args);
		n++;
	}
	while (cmd->subs && cmd->subs[subs].name)
		subs++;
	if (subs) {
		reply_cstr(r, "subcommands");
		reply_map(r, subs);
		for (size_t i = 0; i < subs; i++) {
			reply_cstr(r, cmd->subs[i].full_name);
			command_docs_reply(r, &cmd->subs[i]);
		}
		n++;
	}
	reply_defer_end(r, mark, '%', n);
}
