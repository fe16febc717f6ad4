/* set_algebra: intersection, union and difference of sets. */
#include <stdlib.h>

#include "server/commands/groups.h"
#include "server/commands/set.h"

#define FEW 16

/* The sets of some keys. A missing one counts as empty and is not in v. */
struct operands {
	struct value *v, few[FEW];
	size_t n, missing;
	bool first_missing, first_again; /* the first key has no set; its set comes a second time */
};

static void operands_clear(struct operands *o)
{
	if (o->v != o->few)
		free(o->v);
}

/* The sets of n keys from argv[first] on. false: a wrong type or no memory, the reply is written, nothing to clear. */
static bool operands_init(struct call *c, struct operands *o, unsigned first, unsigned n)
{
	*o = (struct operands){ .v = o->few };
	if (n > FEW && !(o->v = malloc(n * sizeof *o->v))) {
		reply_oom(c->reply);
		return false;
	}
	for (unsigned i = 0; i < n; i++) {
		struct store_key key = call_key(c, first + i);
		bool wrong;
		const struct entry *e = call_find_read_type(c, &key, STORE_SET, &wrong);
		if (wrong) {
			operands_clear(o);
			return false;
		}
		if (e) {
			o->v[o->n++] = value_of(e);
			o->first_again |= i && !o->first_missing && o->v[0].ptr == entry_value(e);
		} else {
			o->missing++;
			o->first_missing |= !i;
		}
	}
	return true;
}

static int smaller_first(const void *a, const void *b)
{
	size_t x = set_len(a), y = set_len(b);
	return (x > y) - (x < y);
}

static int larger_first(const void *a, const void *b)
{
	return smaller_first(b, a);
}

/* ------------------------------------------------------------------ where results go */

struct result {
	struct reply *out;   /* a reply, or */
	struct value v;      /* a set in the making */
	struct value_limits limits;
	size_t n;
	int err;
};

static bool to_reply(void *ctx, const struct value_item *item)
{
	struct result *r = ctx;
	reply_item(r->out, item);
	r->n++;
	return true;
}

static bool to_set(void *ctx, const struct value_item *item)
{
	struct result *r = ctx;
	int added = set_add_item(&r->v, &r->limits, item);
	r->err = added < 0 ? added : 0;
	return !r->err;
}

static bool add_all(struct result *r, const struct value *from)
{
	struct set_iter it;
	struct value_item item;
	for (set_begin(&it, from); set_next(&it, &item);)
		if (!to_set(r, &item))
			return false;
	return true;
}

/* An empty set to be filled, with members of `like` if that is given; false: no memory, the reply is written. */
static bool result_init(struct call *c, struct result *r, const struct value *like)
{
	*r = (struct result){ .limits = set_limits() };
	if ((like ? set_new_like(&r->v, like) : set_new_any(&r->v)) == 0)
		return true;
	reply_oom(c->reply);
	return false;
}

/* The set as a reply, or under argv[1] with the event (NULL: reply). It is used up. */
static void result_end(struct call *c, struct result *r, const char *event)
{
	struct set_iter it;
	struct value_item item;
	if (r->err) {
		set_free(&r->v);
		reply_oom(c->reply);
		return;
	}
	if (event) {
		struct store_key to = call_key(c, 1);
		store_result(c, &to, STORE_SET, &r->v, set_len(&r->v), NOTIFY_SET, event);
		return;
	}
	reply_set(c->reply, set_len(&r->v));
	for (set_begin(&it, &r->v); set_next(&it, &item);)
		reply_item(c->reply, &item);
	set_free(&r->v);
}

/* ------------------------------------------------------------------ intersection */

static void run_sinter(struct call *c)
{
	struct operands o;
	struct result r = { .out = c->reply };
	if (!operands_init(c, &o, 1, c->argc - 1))
		return;
	size_t mark = reply_defer(c->reply);
	if (!o.missing) {
		qsort(o.v, o.n, sizeof *o.v, smaller_first);
		set_intersect(o.v, o.n, 0, to_reply, &r);
	}
	reply_defer_end(c->reply, mark, '~', r.n);
	operands_clear(&o);
}

static void run_sinterstore(struct call *c)
{
	struct operands o;
	struct result r;
	if (!operands_init(c, &o, 2, c->argc - 2))
		return;
	qsort(o.v, o.n, sizeof *o.v, smaller_first);
	if (result_init(c, &r, o.n ? &o.v[0] : NULL)) {
		if (!o.missing)
			set_intersect(o.v, o.n, 0, to_set, &r);
		if (!r.err)
			set_settle(&r.v, &r.limits);
		result_end(c, &r, "sinterstore");
	}
	operands_clear(&o);
}

static void run_sintercard(struct call *c)
{
	struct operands o;
	int64_t keys, limit = 0;
	if (!call_int_range(c, 1, 1, INT64_MAX, &keys, "ERR numkeys should be greater than 0"))
		return;
	if (keys > (int64_t)c->argc - 2) {
		reply_error(c->reply, "ERR Number of keys can't be greater than number of args");
		return;
	}
	for (unsigned i = 2 + (unsigned)keys; i < c->argc; i += 2) {
		if (i + 1 >= c->argc || !arg_is(&c->argv[i], "LIMIT")) {
			reply_syntax_error(c->reply);
			return;
		}
		if (!call_int_range(c, i + 1, 0, INT64_MAX, &limit, "ERR LIMIT can't be negative"))
			return;
	}
	if (!operands_init(c, &o, 2, (unsigned)keys))
		return;
	size_t n = 0;
	if (!o.missing) {
		qsort(o.v, o.n, sizeof *o.v, smaller_first);
		n = set_intersect(o.v, o.n, (size_t)limit, NULL, NULL);
	}
	reply_int(c->reply, (int64_t)n);
	operands_clear(&o);
}

/* ------------------------------------------------------------------ union */

static void unite(struct call *c, unsigned first, const char *event)
{
	struct operands o;
	struct result r;
	if (!operands_init(c, &o, first, c->argc - first))
		return;
	if (result_init(c, &r, NULL)) {
		for (size_t i = 0; i < o.n && add_all(&r, &o.v[i]); i++)
			;
		result_end(c, &r, event);
	}
	operands_clear(&o);
}

static void run_sunion(struct call *c)
{
	unite(c, 1, NULL);
}

static void run_sunionstore(struct call *c)
{
	unite(c, 2, "sunionstore");
}

/* ------------------------------------------------------------------ difference */

/* Whether looking up each member of the first set in the others costs less than taking the others' members out of a copy.
 * The former may end early at each member. */
static bool lookups_are_cheaper(const struct operands *o)
{
	uint64_t lookups = 0, removals = 0;
	for (size_t i = 0; i < o->n; i++) {
		lookups += set_len(&o->v[0]);
		removals += set_len(&o->v[i]);
	}
	return lookups / 2 <= removals;
}

static void take_out(struct result *r, const struct value *from)
{
	struct set_iter it;
	struct value_item item;
	char buf[NUMBER_MAX];
	size_t len;
	for (set_begin(&it, from); set_len(&r->v) && set_next(&it, &item);) {
		const char *str = value_text(&item, buf, &len);
		set_remove(&r->v, str, len);
	}
}

/* What is left of the first set: into the reply that is open, or into the set. */
static void subtract(struct operands *o, struct result *r)
{
	if (o->first_missing || o->first_again)
		return;
	if (r->out || lookups_are_cheaper(o)) {
		qsort(o->v + 1, o->n - 1, sizeof *o->v, larger_first);
		set_subtract(o->v, o->n, r->out ? to_reply : to_set, r);
	} else if (add_all(r, &o->v[0])) {
		for (size_t i = 1; i < o->n; i++)
			take_out(r, &o->v[i]);
	}
}

static void run_sdiff(struct call *c)
{
	struct operands o;
	struct result r = { .out = c->reply };
	if (!operands_init(c, &o, 1, c->argc - 1))
		return;
	if (!o.n || o.first_missing || o.first_again || lookups_are_cheaper(&o)) {
		size_t mark = reply_defer(c->reply);
		subtract(&o, &r);
		reply_defer_end(c->reply, mark, '~', r.n);
	} else if (result_init(c, &r, NULL)) {
		subtract(&o, &r);
		result_end(c, &r, NULL);
	}
	operands_clear(&o);
}

static void run_sdiffstore(struct call *c)
{
	struct operands o;
	struct result r;
	if (!operands_init(c, &o, 2, c->argc - 2))
		return;
	if (result_init(c, &r, NULL)) {
		subtract(&o, &r);
		result_end(c, &r, "sdiffstore");
	}
	operands_clear(&o);
}

/* ------------------------------------------------------------------ rows */

struct command set_algebra_commands[] = {
	{
		.name = "sdiff", .run = run_sdiff, .class = EXEC_KEYED, .arity = -2,
		.flags = CMD_READONLY, .acl = ACL_SET,
		.keys = { KEY_RANGE(KEY_RO | KEY_ACCESS, 1, -1, 1) },
		.group = "set", .since = "1.0.0",
		.summary = "Answers the members of a set that none of the other sets holds.",
		.complexity = "O(N) in the members of all sets",
		.args = "key:key#0...",
		.tips = "nondeterministic_output_order",
	},
	{
		.name = "sdiffstore", .run = run_sdiffstore, .class = EXEC_KEYED, .arity = -3,
		.flags = CMD_WRITE | CMD_DENYOOM, .acl = ACL_SET,
		.keys = { KEY_ONE(KEY_OW | KEY_UPDATE), KEY_RANGE(KEY_RO | KEY_ACCESS, 2, -1, 1) },
		.group = "set", .since = "1.0.0",
		.summary = "Stores the members of a set that none of the other sets holds.",
		.complexity = "O(N) in the members of all sets",
		.args = "destination:key#0 key:key#1...",
	},
	{
		.name = "sinter", .run = run_sinter, .class = EXEC_KEYED, .arity = -2,
		.flags = CMD_READONLY, .acl = ACL_SET,
		.keys = { KEY_RANGE(KEY_RO | KEY_ACCESS, 1, -1, 1) },
		.group = "set", .since = "1.0.0",
		.summary = "Answers the members that all sets hold.",
		.complexity = "O(N*M) at worst: N members of the smallest set, M sets",
		.args = "key:key#0...",
		.tips = "nondeterministic_output_order",
	},
	{
		.name = "sintercard", .run = run_sintercard, .class = EXEC_KEYED, .arity = -3,
		.flags = CMD_READONLY, .acl = ACL_SET,
		.keys = { { .flags = KEY_RO | KEY_ACCESS, .begin = 1, .keynum = true, .keynum_index = 0,
		            .first_key = 1, .step = 1 } },
		.group = "set", .since = "7.0.0",
		.summary = "Counts the members that all sets hold.",
		.complexity = "O(N*M) at worst: N members of the smallest set, M sets",
		.args = "numkeys:integer key:key#0... [LIMIT limit:integer]",
	},
	{
		.name = "sinterstore", .run = run_sinterstore, .class = EXEC_KEYED, .arity = -3,
		.flags = CMD_WRITE | CMD_DENYOOM, .acl = ACL_SET,
		.keys = { KEY_ONE(KEY_OW | KEY_UPDATE), KEY_RANGE(KEY_RO | KEY_ACCESS, 2, -1, 1) },
		.group = "set", .since = "1.0.0",
		.summary = "Stores the members that all sets hold.",
		.complexity = "O(N*M) at worst: N members of the smallest set, M sets",
		.args = "destination:key#0 key:key#1...",
	},
	{
		.name = "sunion", .run = run_sunion, .class = EXEC_KEYED, .arity = -2,
		.flags = CMD_READONLY, .acl = ACL_SET,
		.keys = { KEY_RANGE(KEY_RO | KEY_ACCESS, 1, -1, 1) },
		.group = "set", .since = "1.0.0",
		.summary = "Answers the members that at least one of the sets holds.",
		.complexity = "O(N) in the members of all sets",
		.args = "key:key#0...",
		.tips = "nondeterministic_output_order",
	},
	{
		.name = "sunionstore", .run = run_sunionstore, .class = EXEC_KEYED, .arity = -3,
		.flags = CMD_WRITE | CMD_DENYOOM, .acl = ACL_SET,
		.keys = { KEY_ONE(KEY_OW | KEY_UPDATE), KEY_RANGE(KEY_RO | KEY_ACCESS, 2, -1, 1) },
		.group = "set", .since = "1.0.0",
		.summary = "Stores the members that at least one of the sets holds.",
		.complexity = "O(N) in the members of all sets",
		.args = "destination:key#0 key:key#1...",
	},
	{ .name = NULL },
};
