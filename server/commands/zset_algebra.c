/* zset_algebra: unions, intersections and differences of sorted sets, answered, counted or stored. */
#include <math.h>
#include <stdlib.h>

#include "server/commands/groups.h"
#include "server/commands/zset.h"
#include "store/types/set.h"

enum operation { OP_UNION, OP_INTER, OP_DIFF };
enum aggregate { AGGREGATE_SUM, AGGREGATE_MIN, AGGREGATE_MAX };

/* One input: a sorted set, or a set, whose members all have the score 1. That of a missing key is empty. */
struct source {
	struct value v;
	bool set;
	size_t count; /* 0: v is not set */
	double weight;
	unsigned place; /* among the arguments: keeps sorting stable */
};

struct algebra {
	enum operation op;
	bool store, count_only;
	unsigned n;
	struct source *sources, few[16];
	enum aggregate aggregate;
	bool scores;
	int64_t limit;
	struct zset_builder out;
};

/* ------------------------------------------------------------------ inputs */

static bool source_find(const struct source *s, const char *member, size_t len, double *score)
{
	struct zset_hit hit;
	*score = 1;
	if (s->set)
		return set_has(&s->v, member, len);
	if (s->count == 0 || !zset_find(&s->v, member, len, &hit))
		return false;
	*score = hit.score;
	return true;
}

struct source_iter {
	struct zset_iter zset;
	struct set_iter set;
	bool empty, is_set;
};

static void source_begin(struct source_iter *it, const struct source *s)
{
	it->empty = s->count == 0;
	it->is_set = s->set;
	if (s->set)
		set_begin(&it->set, &s->v);
	else if (!it->empty)
		zset_iter_init(&it->zset, &s->v, 0, false);
}

static bool source_next(struct source_iter *it, struct zset_item *item)
{
	struct value_item member;
	if (!it->is_set)
		return !it->empty && zset_iter_next(&it->zset, item);
	if (!set_next(&it->set, &member))
		return false;
	item->ptr = value_text(&member, item->buf, &item->len);
	item->score = 1;
	return true;
}

/* The key at argv[i]; false: WRONGTYPE was written. */
static bool source_read(struct call *c, unsigned i, struct source *s)
{
	struct store_key key = call_key(c, i);
	const struct entry *e = call_find_read(c, &key);
	if (e && entry_type(e) != STORE_ZSET && entry_type(e) != STORE_SET) {
		reply_wrong_type(c->reply);
		return false;
	}
	*s = (struct source){ .weight = 1 };
	if (e) {
		s->v = value_of(e);
		s->set = entry_type(e) == STORE_SET;
		s->count = s->set ? set_len(&s->v) : zset_count(&s->v);
	}
	return true;
}

/* ------------------------------------------------------------------ arguments */

static bool parse_weights(struct call *c, struct algebra *a, unsigned at)
{
	for (unsigned i = 0; i < a->n; i++) {
		const struct arg *w = &c->argv[at + i];
		if (!number_parse_double(w->ptr, w->len, &a->sources[i].weight)) {
			reply_error(c->reply, "ERR weight value is not a float");
			return false;
		}
	}
	return true;
}

static bool parse_aggregate(struct call *c, struct algebra *a, const struct arg *word)
{
	if (arg_is(word, "SUM")) {
		a->aggregate = AGGREGATE_SUM;
	} else if (arg_is(word, "MIN")) {
		a->aggregate = AGGREGATE_MIN;
	} else if (arg_is(word, "MAX")) {
		a->aggregate = AGGREGATE_MAX;
	} else {
		reply_syntax_error(c->reply);
		return false;
	}
	return true;
}

static bool parse_options(struct call *c, struct algebra *a, unsigned at)
{
	bool combines = a->op != OP_DIFF && !a->count_only;
	for (unsigned i = at; i < c->argc; i++) {
		const struct arg *word = &c->argv[i];
		unsigned behind = c->argc - i - 1;
		if (combines && behind >= a->n && arg_is(word, "WEIGHTS")) {
			if (!parse_weights(c, a, i + 1))
				return false;
			i += a->n;
		} else if (combines && behind >= 1 && arg_is(word, "AGGREGATE")) {
			if (!parse_aggregate(c, a, &c->argv[++i]))
				return false;
		} else if (!a->store && !a->count_only && arg_is(word, "WITHSCORES")) {
			a->scores = true;
		} else if (a->count_only && behind >= 1 && arg_is(word, "LIMIT")) {
			if (!call_int_range(c, ++i, 0, INT64_MAX, &a->limit, "ERR LIMIT can't be negative"))
				return false;
		} else {
			reply_syntax_error(c->reply);
			return false;
		}
	}
	return true;
}

/* The inputs and options, with the number of keys at argv[at]. */
static bool algebra_parse(struct call *c, struct algebra *a, unsigned at)
{
	int64_t n;
	if (!call_int(c, at, &n))
		return false;
	if (n < 1) {
		reply_errorf(c->reply, "ERR at least 1 input key is needed for '%s' command", c->cmd->full_name);
		return false;
	}
	if (n > (int64_t)c->argc - at - 1) {
		reply_syntax_error(c->reply);
		return false;
	}
	a->n = (unsigned)n;
	if (a->n > sizeof a->few / sizeof *a->few && !(a->sources = malloc(a->n * sizeof *a->sources))) {
		reply_oom(c->reply);
		return false;
	}
	for (unsigned i = 0; i < a->n; i++) {
		if (!source_read(c, at + 1 + i, &a->sources[i]))
			return false;
		a->sources[i].place = i;
	}
	return parse_options(c, a, at + 1 + a->n);
}

/* ------------------------------------------------------------------ the three operations */

static int by_count(const void *a, const void *b)
{
	const struct source *x = a, *y = b;
	if (x->count != y->count)
		return x->count < y->count ? -1 : 1;
	return (x->place > y->place) - (x->place < y->place);
}

static double weighted(const struct source *s, double score)
{
	double v = s->weight * score;
	return isnan(v) ? 0 : v;
}

/* Infinities of both signs make 0. */
static double combine(enum aggregate how, double a, double b)
{
	switch (how) {
	case AGGREGATE_MIN:
		return b < a ? b : a;
	case AGGREGATE_MAX:
		return b > a ? b : a;
	default:
		return isnan(a + b) ? 0 : a + b;
	}
}

static int unite(struct algebra *a)
{
	for (unsigned i = 0; i < a->n; i++) {
		struct source_iter it;
		struct zset_item item;
		source_begin(&it, &a->sources[i]);
		while (source_next(&it, &item)) {
			bool fresh;
			double score = weighted(&a->sources[i], item.score);
			void *at = zset_builder_merge(&a->out, item.ptr, item.len, score, &fresh);
			if (!at)
				return -ENOMEM;
			if (fresh)
				continue;
			score = combine(a->aggregate, bptree_item_score(at), score);
			memcpy(at, &score, sizeof score);
		}
	}
	return 0;
}

/* Whether all further inputs hold the member; their scores are combined. */
static bool in_all(const struct algebra *a, const struct zset_item *item, double *score)
{
	for (unsigned i = 1; i < a->n; i++) {
		double s;
		if (!source_find(&a->sources[i], item->ptr, item->len, &s))
			return false;
		*score = combine(a->aggregate, *score, a->sources[i].weight * s);
	}
	return true;
}

/* Members of the smallest input that are in all. *n: how many, if that is all that is asked for. */
static int intersect(struct algebra *a, size_t *n)
{
	struct source_iter it;
	struct zset_item item;
	source_begin(&it, &a->sources[0]);
	while (source_next(&it, &item)) {
		double score = weighted(&a->sources[0], item.score);
		if (!in_all(a, &item, &score))
			continue;
		++*n;
		if (a->count_only && a->limit && *n == (size_t)a->limit)
			return 0;
		if (!a->count_only && zset_builder_add(&a->out, item.ptr, item.len, score))
			return -ENOMEM;
	}
	return 0;
}

static bool in_any_other(const struct algebra *a, const struct zset_item *item)
{
	double score;
	for (unsigned i = 1; i < a->n; i++)
		if (source_find(&a->sources[i], item->ptr, item->len, &score))
			return true;
	return false;
}

/* Whether looking up each member of the first input in the others costs less than taking the others' members out of a
 * copy. The former may end early at each member. */
static bool lookups_are_cheaper(const struct algebra *a)
{
	uint64_t removals = 0;
	for (unsigned i = 0; i < a->n; i++)
		removals += a->sources[i].count;
	return (uint64_t)a->sources[0].count * a->n / 2 <= removals;
}

static int take_out(struct algebra *a)
{
	struct source_iter it;
	struct zset_item item;
	bool fresh, none = false;
	source_begin(&it, &a->sources[0]);
	while (source_next(&it, &item))
		if (!zset_builder_merge(&a->out, item.ptr, item.len, item.score, &fresh))
			return -ENOMEM;
	for (unsigned i = 1; i < a->n && !none; i++) {
		source_begin(&it, &a->sources[i]);
		while (!none && source_next(&it, &item))
			none = zset_builder_drop(&a->out, item.ptr, item.len);
	}
	zset_builder_settle(&a->out);
	return 0;
}

static int subtract(struct algebra *a)
{
	struct source_iter it;
	struct zset_item item;
	for (unsigned i = 1; i < a->n; i++) {
		if (a->sources[i].count && a->sources[i].v.ptr == a->sources[0].v.ptr)
			return 0; /* the same key again */
	}
	if (!a->sources[0].count)
		return 0;
	if (!lookups_are_cheaper(a))
		return take_out(a);
	source_begin(&it, &a->sources[0]);
	/* The largest of the others holds a member most probably. */
	if (a->n > 2)
		qsort(a->sources + 1, a->n - 1, sizeof *a->sources, by_count);
	for (unsigned i = 1, j = a->n - 1; i < j; i++, j--) {
		struct source other = a->sources[i];
		a->sources[i] = a->sources[j];
		a->sources[j] = other;
	}
	while (source_next(&it, &item))
		if (!in_any_other(a, &item) && zset_builder_add(&a->out, item.ptr, item.len, item.score))
			return -ENOMEM;
	return 0;
}

static int compute(struct algebra *a, size_t *n)
{
	if (a->op == OP_DIFF)
		return subtract(a);
	qsort(a->sources, a->n, sizeof *a->sources, by_count);
	return a->op == OP_UNION ? unite(a) : intersect(a, n);
}

/* ------------------------------------------------------------------ commands */

static void reply_result(struct call *c, struct algebra *a)
{
	zset_builder_sort(&a->out);
	zset_reply_head(c->reply, a->out.n, a->scores);
	for (size_t i = 0; i < a->out.n; i++) {
		size_t len;
		const char *member = bptree_item_member(a->out.items[i], &len);
		if (a->scores)
			zset_reply_pair(c->reply, member, len, bptree_item_score(a->out.items[i]));
		else
			reply_bulk(c->reply, member, len);
	}
}

static void algebra(struct call *c, enum operation op, bool store, bool count_only)
{
	static const char *const events[] = { "zunionstore", "zinterstore", "zdiffstore" };
	struct algebra a = { .op = op, .store = store, .count_only = count_only };
	size_t n = 0;
	a.sources = a.few;
	zset_builder_init(&a.out);
	if (algebra_parse(c, &a, store ? 2 : 1)) {
		if (compute(&a, &n)) {
			reply_oom(c->reply);
		} else if (store) {
			struct store_key to = call_key(c, 1);
			zset_store(c, &to, &a.out, events[op], 1);
		} else if (count_only) {
			reply_int(c->reply, (int64_t)n);
		} else {
			reply_result(c, &a);
		}
	}
	zset_builder_clear(&a.out);
	if (a.sources != a.few)
		free(a.sources);
}

static void run_zunion(struct call *c)
{
	algebra(c, OP_UNION, false, false);
}

static void run_zinter(struct call *c)
{
	algebra(c, OP_INTER, false, false);
}

static void run_zintercard(struct call *c)
{
	algebra(c, OP_INTER, false, true);
}

static void run_zdiff(struct call *c)
{
	algebra(c, OP_DIFF, false, false);
}

static void run_zunionstore(struct call *c)
{
	algebra(c, OP_UNION, true, false);
}

static void run_zinterstore(struct call *c)
{
	algebra(c, OP_INTER, true, false);
}

static void run_zdiffstore(struct call *c)
{
	algebra(c, OP_DIFF, true, false);
}

/* ------------------------------------------------------------------ rows */

#define KEYS_COUNTED(at) { .flags = KEY_RO | KEY_ACCESS, .begin = at, .keynum = true, .first_key = 1, .step = 1 }
#define ARGS_COMBINE "[WEIGHTS weight:integer...] [AGGREGATE aggregate:<sum:SUM|min:MIN|max:MAX>]"
#define COST_DIFF "O(K N + M log M) for N members of the first of K sets, with M in the result"
#define COST_INTER "O(K N + M log M) for N members of the smallest of K sets, with M in the result"
#define COST_UNION "O(N + M log M) for N members of all sets, with M in the result"

struct command zset_algebra_commands[] = {
	{
		.name = "zdiff", .run = run_zdiff, .class = EXEC_KEYED, .arity = -3,
		.flags = CMD_READONLY, .acl = ACL_SORTEDSET,
		.keys = { KEYS_COUNTED(1) },
		.group = "sorted-set", .since = "6.2.0",
		.summary = "Answers the members of the first set that no other holds.",
		.complexity = COST_DIFF,
		.args = "numkeys:integer key:key#0... [withscores:WITHSCORES]",
	},
	{
		.name = "zdiffstore", .run = run_zdiffstore, .class = EXEC_KEYED, .arity = -4,
		.flags = CMD_WRITE | CMD_DENYOOM, .acl = ACL_SORTEDSET,
		.keys = { KEY_ONE(KEY_OW | KEY_UPDATE), KEYS_COUNTED(2) },
		.group = "sorted-set", .since = "6.2.0",
		.summary = "Stores the members of the first set that no other holds.",
		.complexity = COST_DIFF,
		.args = "destination:key#0 numkeys:integer key:key#1...",
	},
	{
		.name = "zinter", .run = run_zinter, .class = EXEC_KEYED, .arity = -3,
		.flags = CMD_READONLY, .acl = ACL_SORTEDSET,
		.keys = { KEYS_COUNTED(1) },
		.group = "sorted-set", .since = "6.2.0",
		.summary = "Answers the members that all sets hold.",
		.complexity = COST_INTER,
		.args = "numkeys:integer key:key#0... " ARGS_COMBINE " [withscores:WITHSCORES]",
	},
	{
		.name = "zintercard", .run = run_zintercard, .class = EXEC_KEYED, .arity = -3,
		.flags = CMD_READONLY, .acl = ACL_SORTEDSET,
		.keys = { KEYS_COUNTED(1) },
		.group = "sorted-set", .since = "7.0.0",
		.summary = "Counts the members that all sets hold.",
		.complexity = "O(K N) for N members of the smallest of K sets",
		.args = "numkeys:integer key:key#0... [LIMIT limit:integer]",
	},
	{
		.name = "zinterstore", .run = run_zinterstore, .class = EXEC_KEYED, .arity = -4,
		.flags = CMD_WRITE | CMD_DENYOOM, .acl = ACL_SORTEDSET,
		.keys = { KEY_ONE(KEY_OW | KEY_UPDATE), KEYS_COUNTED(2) },
		.group = "sorted-set", .since = "2.0.0",
		.summary = "Stores the members that all sets hold.",
		.complexity = COST_INTER,
		.args = "destination:key#0 numkeys:integer key:key#1... " ARGS_COMBINE,
	},
	{
		.name = "zunion", .run = run_zunion, .class = EXEC_KEYED, .arity = -3,
		.flags = CMD_READONLY, .acl = ACL_SORTEDSET,
		.keys = { KEYS_COUNTED(1) },
		.group = "sorted-set", .since = "6.2.0",
		.summary = "Answers the members of all sets together.",
		.complexity = COST_UNION,
		.args = "numkeys:integer key:key#0... " ARGS_COMBINE " [withscores:WITHSCORES]",
	},
	{
		.name = "zunionstore", .run = run_zunionstore, .class = EXEC_KEYED, .arity = -4,
		.flags = CMD_WRITE | CMD_DENYOOM, .acl = ACL_SORTEDSET,
		.keys = { KEY_ONE(KEY_OW | KEY_UPDATE), KEYS_COUNTED(2) },
		.group = "sorted-set", .since = "2.0.0",
		.summary = "Stores the members of all sets together.",
		.complexity = COST_UNION,
		.args = "destination:key#0 numkeys:integer key:key#1... " ARGS_COMBINE,
	},
	{ .name = NULL },
};
