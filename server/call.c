/* call: see call.h. The parts of a handler's interface that are not inline; touch.c and effects.c have the others. */
#include "server/call.h"

#include <stdio.h>
#include <strings.h>

#include "server/stats.h"
#include "store/number.h"

struct entry *call_find_read(struct call *c, const struct store_key *key)
{
	struct entry *e = store_find(&c->op, key, STORE_READ);
	stats_add(&stats_of(c->loop)->counter[e ? STAT_KEY_HITS : STAT_KEY_MISSES], 1);
	if (__builtin_expect(!e, 0))
		call_event(c, key, NOTIFY_KEY_MISS, "keymiss");
	return e;
}

static struct entry *typed(struct call *c, struct entry *e, enum store_type_id type, bool *wrong)
{
	*wrong = e && entry_type(e) != type;
	if (__builtin_expect(*wrong, 0)) {
		reply_wrong_type(c->reply);
		return NULL;
	}
	return e;
}

struct entry *call_find_read_type(struct call *c, const struct store_key *key, enum store_type_id type, bool *wrong)
{
	return typed(c, call_find_read(c, key), type, wrong);
}

struct entry *call_find_write_type(struct call *c, const struct store_key *key, enum store_type_id type, bool *wrong)
{
	return typed(c, call_find_write(c, key), type, wrong);
}

struct entry *call_find_lent_type(struct call *c, const struct store_key *key, enum store_type_id type, bool *wrong)
{
	return typed(c, store_find(&c->op, key, STORE_WRITE | STORE_LEND), type, wrong);
}

bool call_int(struct call *c, unsigned i, int64_t *v)
{
	if (number_parse(c->argv[i].ptr, c->argv[i].len, v))
		return true;
	reply_not_integer(c->reply);
	return false;
}

bool call_int_range(struct call *c, unsigned i, int64_t min, int64_t max, int64_t *v, const char *error)
{
	if (!error && min == 0 && max == INT64_MAX)
		error = "ERR value is out of range, must be positive";
	bool parsed = number_parse(c->argv[i].ptr, c->argv[i].len, v);
	if (parsed && *v >= min && *v <= max)
		return true;
	if (error)
		reply_error(c->reply, error);
	else if (!parsed)
		reply_not_integer(c->reply);
	else
		reply_errorf(c->reply, "ERR value is out of range, value must between %lld and %lld", (long long)min,
		             (long long)max);
	return false;
}

bool call_double(struct call *c, unsigned i, double *v)
{
	if (number_parse_double(c->argv[i].ptr, c->argv[i].len, v))
		return true;
	reply_not_float(c->reply);
	return false;
}

bool call_long_double(struct call *c, unsigned i, long double *v)
{
	if (number_parse_long_double(c->argv[i].ptr, c->argv[i].len, v))
		return true;
	reply_not_float(c->reply);
	return false;
}

void call_wrong_arity(struct call *c)
{
	reply_errorf(c->reply, "ERR wrong number of arguments for '%s' command", c->cmd->full_name);
}

static void upper_name(const struct command *cmd, char *out, size_t size)
{
	const char *p = cmd->parent ? cmd->parent->name : cmd->name;
	size_t n = 0;
	for (; *p && n + 1 < size; p++)
		out[n++] = (char)(*p >= 'a' && *p <= 'z' ? *p - 32 : *p);
	out[n] = 0;
}

void call_unknown_subcommand(struct call *c)
{
	char name[40];
	upper_name(c->cmd, name, sizeof name);
	const struct arg *a = &c->argv[1];
	reply_errorf(c->reply, "ERR unknown subcommand or wrong number of arguments for '%.*s'. Try %s HELP.",
	             (int)(a->len < 128 ? a->len : 128), a->ptr, name);
}

void call_help(struct call *c, const char *const *lines)
{
	char text[200], name[40];
	size_t n = 0;
	upper_name(c->cmd, name, sizeof name);
	while (lines[n])
		n++;
	reply_array(c->reply, n + 3);
	snprintf(text, sizeof text, "%s <subcommand> [<arg> [value] [opt] ...]. Subcommands are:", name);
	reply_status(c->reply, text);
	for (size_t i = 0; i < n; i++)
		reply_status(c->reply, lines[i]);
	reply_status(c->reply, "HELP");
	reply_status(c->reply, "    Print this help.");
}
