/* zset_range: ranges of sorted sets by rank, score or member: read, counted, removed, stored. */
#include <math.h>
#include <stdlib.h>

#include "server/commands/groups.h"
#include "server/commands/zset.h"

#define BAD_SCORE "ERR min or max is not a float"
#define BAD_LEX "ERR min or max not valid string range item"

enum range_by { BY_AUTO, BY_RANK, BY_SCORE, BY_LEX };
enum range_way { WAY_AUTO, WAY_FORWARD, WAY_REVERSE };

struct range {
	enum range_by by;
	enum range_way way;
	int64_t start, stop;                /* by rank */
	double min, max;                    /* by score */
	bool min_exclusive, max_exclusive;
	struct zset_lex_bound low, high;    /* by member */
};

/* ------------------------------------------------------------------ parsing bounds */

/* A score as strtod() reads the beginning of a C string, all of it: also blanks in front, and nothing at all. */
static bool parse_loose_double(const char *ptr, size_t len, double *v)
{
	char few[64], *text = few, *end;
	if (number_parse_double(ptr, len, v))
		return true;
	if (len >= sizeof few && !(text = malloc(len + 1)))
		return false;
	if (len)
		memcpy(text, ptr, len);
	text[len] = '\0';
	*v = strtod(text, &end);
	bool whole = *end == '\0' && !isnan(*v);
	if (text != few)
		free(text);
	return whole;
}

static bool parse_score(const struct arg *a, double *v, bool *exclusive)
{
	*exclusive = a->len > 0 && a->ptr[0] == '(';
	return parse_loose_double(a->ptr + *exclusive, a->len - *exclusive, v);
}

static bool parse_lex(const struct arg *a, struct zset_lex_bound *b)
{
	char first = a->len ? a->ptr[0] : '\0';
	*b = (struct zset_lex_bound){ 0 };
	switch (first) {
	case '+':
	case '-':
		b->highest = first == '+';
		return a->len == 1 || a->ptr[1] == '\0';
	case '(':
	case '[':
		b->ptr = a->ptr + 1;
		b->len = a->len - 1;
		b->exclusive = first == '(';
		return true;
	}
	return false;
}

/* The bounds at argv[min] and argv[max]; the error is written if they are none. */
static bool parse_bounds(struct call *c, struct range *r, unsigned min, unsigned max)
{
	const struct arg *lo = &c->argv[min], *hi = &c->argv[max];
	switch (r->by) {
	case BY_SCORE:
		if (parse_score(lo, &r->min, &r->min_exclusive) && parse_score(hi, &r->max, &r->max_exclusive))
			return true;
		reply_error(c->reply, BAD_SCORE);
		return false;
	case BY_LEX:
		if (parse_lex(lo, &r->low) && parse_lex(hi, &r->high))
			return true;
		reply_error(c->reply, BAD_LEX);
		return false;
	default:
		return call_int(c, min, &r->start) && call_int(c, max, &r->stop);
	}
}

/* ------------------------------------------------------------------ resolving */

static size_t rank_range(const struct value *z, const struct range *r, size_t *from)
{
	int64_t n = (int64_t)zset_count(z), start = r->start, stop = r->stop;
	if (start < 0)
		start = start < -n ? 0 : start + n;
	if (stop < 0)
		stop = stop < -n ? -1 : stop + n;
	if (start > stop || start >= n)
		return 0;
	if (stop >= n)
		stop = n - 1;
	size_t count = (size_t)(stop - start + 1);
	*from = r->way == WAY_REVERSE ? (size_t)(n - 1 - stop) : (size_t)start;
	return count;
}

static size_t score_range(const struct value *z, const struct range *r, size_t *from)
{
	if (r->min > r->max || (r->min == r->max && (r->min_exclusive || r->max_exclusive)))
		return 0;
	size_t lo = zset_below(z, r->min, r->min_exclusive), hi = zset_below(z, r->max, !r->max_exclusive);
	*from = lo;
	return hi > lo ? hi - lo : 0;
}

/* The members in the range: the lowest rank and how many. */
static size_t resolve(const struct value *z, const struct range *r, size_t *from)
{
	*from = 0;
	switch (r->by) {
	case BY_SCORE:
		return score_range(z, r, from);
	case BY_LEX:
		return zset_lex_range(z, &r->low, &r->high, r->way == WAY_REVERSE, from);
	default:
		return rank_range(z, r, from);
	}
}

/* ------------------------------------------------------------------ ZRANGE and its kin */

struct range_options {
	bool scores;
	int64_t offset, limit;
};

/* The options from argv[at] on. The error is written. */
static bool parse_options(struct call *c, unsigned at, bool store, struct range *r, struct range_options *o)
{
	*o = (struct range_options){ .limit = -1 };
	for (unsigned i = at; i < c->argc; i++) {
		const struct arg *a = &c->argv[i];
		if (!store && arg_is(a, "WITHSCORES")) {
			o->scores = true;
		} else if (i + 2 < c->argc && arg_is(a, "LIMIT")) {
			if (!call_int(c, i + 1, &o->offset) || !call_int(c, i + 2, &o->limit))
				return false;
			i += 2;
		} else if (r->way == WAY_AUTO && arg_is(a, "REV")) {
			r->way = WAY_REVERSE;
		} else if (r->by == BY_AUTO && arg_is(a, "BYLEX")) {
			r->by = BY_LEX;
		} else if (r->by == BY_AUTO && arg_is(a, "BYSCORE")) {
			r->by = BY_SCORE;
		} else {
			reply_syntax_error(c->reply);
			return false;
		}
	}
	if (r->way == WAY_AUTO)
		r->way = WAY_FORWARD;
	if (r->by == BY_AUTO)
		r->by = BY_RANK;
	if (o->limit != -1 && r->by == BY_RANK) {
		reply_error(c->reply, "ERR syntax error, LIMIT is only supported in combination with either BYSCORE or BYLEX");
		return false;
	}
	if (o->scores && r->by == BY_LEX) {
		reply_error(c->reply, "ERR syntax error, WITHSCORES not supported in combination with BYLEX");
		return false;
	}
	return true;
}

/* The part of n members that LIMIT leaves; *offset: how many to skip. By rank only LIMIT x -1 is let through, and ignored. */
static size_t apply_limit(size_t n, enum range_by by, const struct range_options *o, size_t *offset)
{
	*offset = 0;
	if (by == BY_RANK)
		return n;
	if (o->offset < 0 || (uint64_t)o->offset >= n)
		return 0;
	*offset = (size_t)o->offset;
	n -= *offset;
	return o->limit >= 0 && (uint64_t)o->limit < n ? (size_t)o->limit : n;
}

static void reply_members(struct call *c, struct zset_iter *it, size_t n, bool scores)
{
	struct zset_item item;
	zset_reply_head(c->reply, n, scores);
	while (n-- && zset_iter_next(it, &item)) {
		if (scores)
			zset_reply_pair(c->reply, item.ptr, item.len, item.score);
		else
			reply_bulk(c->reply, item.ptr, item.len);
	}
}

/* A listpack holds no minus zero, so that whatever passes through one on its way loses the sign. */
static void store_members(struct call *c, struct zset_iter *it, size_t n, bool by_rank)
{
	struct store_key to = call_key(c, 1);
	struct value_limits limits = zset_limits_now();
	struct zset_builder b;
	struct zset_item item;
	bool compact = !by_rank || (int64_t)n <= limits.entries;
	zset_builder_init(&b);
	while (n-- && zset_iter_next(it, &item)) {
		compact = compact && (int64_t)b.n < limits.entries && (int64_t)item.len <= limits.bytes;
		if (compact && item.score == 0)
			item.score = 0;
		if (zset_builder_add(&b, item.ptr, item.len, item.score)) {
			zset_builder_clear(&b);
			reply_oom(c->reply);
			return;
		}
	}
	zset_store(c, &to, &b, "zrangestore", 1);
}

/* key: where the key stands in argv, the bounds behind it. */
static void range(struct call *c, unsigned key, bool store, enum range_by by, enum range_way way)
{
	struct range r = { .by = by, .way = way };
	struct range_options o;
	struct value z;
	struct zset_iter it;
	size_t from, n = 0, offset = 0;
	bool wrong;
	if (!parse_options(c, key + 3, store, &r, &o))
		return;
	bool swap = r.way == WAY_REVERSE && r.by != BY_RANK;
	if (!parse_bounds(c, &r, key + (swap ? 2 : 1), key + (swap ? 1 : 2)))
		return;
	struct store_key source = call_key(c, key);
	bool there = zset_read(c, &source, &z, &wrong);
	if (wrong)
		return;
	if (there) {
		size_t all = resolve(&z, &r, &from);
		n = apply_limit(all, r.by, &o, &offset);
		if (n)
			zset_iter_init(&it, &z, r.way == WAY_REVERSE ? from + all - 1 - offset : from + offset,
			               r.way == WAY_REVERSE);
	}
	if (store)
		store_members(c, &it, n, r.by == BY_RANK);
	else
		reply_members(c, &it, n, o.scores);
}

static void run_zrange(struct call *c)
{
	range(c, 1, false, BY_AUTO, WAY_AUTO);
}

static void run_zrangestore(struct call *c)
{
	range(c, 2, true, BY_AUTO, WAY_AUTO);
}

static void run_zrevrange(struct call *c)
{
	range(c, 1, false, BY_RANK, WAY_REVERSE);
}

static void run_zrangebyscore(struct call *c)
{
	range(c, 1, false, BY_SCORE, WAY_FORWARD);
}

static void run_zrevrangebyscore(struct call *c)
{
	range(c, 1, false, BY_SCORE, WAY_REVERSE);
}

static void run_zrangebylex(struct call *c)
{
	range(c, 1, false, BY_LEX, WAY_FORWARD);
}

static void run_zrevrangebylex(struct call *c)
{
	range(c, 1, false, BY_LEX, WAY_REVERSE);
}

/* ------------------------------------------------------------------ counting and removing */

static void count(struct call *c, enum range_by by)
{
	struct range r = { .by = by, .way = WAY_FORWARD };
	struct store_key key = call_key(c, 1);
	struct value z;
	size_t from;
	bool wrong;
	if (!parse_bounds(c, &r, 2, 3))
		return;
	if (zset_read(c, &key, &z, &wrong))
		reply_int(c->reply, (int64_t)resolve(&z, &r, &from));
	else if (!wrong)
		reply_int(c->reply, 0);
}

static void run_zcount(struct call *c)
{
	count(c, BY_SCORE);
}

static void run_zlexcount(struct call *c)
{
	count(c, BY_LEX);
}

static void remove_range(struct call *c, enum range_by by, const char *event)
{
	struct range r = { .by = by, .way = WAY_FORWARD };
	struct store_key key = call_key(c, 1);
	size_t from, n = 0;
	bool wrong;
	if (!parse_bounds(c, &r, 2, 3))
		return;
	struct entry *e = call_find_write_type(c, &key, STORE_ZSET, &wrong);
	if (wrong)
		return;
	if (e) {
		struct value z = value_of(e);
		n = resolve(&z, &r, &from);
		if (n && n == zset_count(&z)) {
			/* Nothing would be left: the value goes whole, in the background if it is large. */
			store_delete(&c->op, &key, true);
			call_touch(c, &key, NOTIFY_ZSET, event);
			count_more(c, n);
			call_event(c, &key, NOTIFY_GENERIC, "del");
		} else if (n) {
			zset_remove_range(&z, from, n);
			zset_removed(c, &key, e, &z, n, event);
		}
	}
	reply_int(c->reply, (int64_t)n);
}

static void run_zremrangebyrank(struct call *c)
{
	remove_range(c, BY_RANK, "zremrangebyrank");
}

static void run_zremrangebyscore(struct call *c)
{
	remove_range(c, BY_SCORE, "zremrangebyscore");
}

static void run_zremrangebylex(struct call *c)
{
	remove_range(c, BY_LEX, "zremrangebylex");
}

/* ------------------------------------------------------------------ rows */

#define COST_RANGE "O(log N + M) in a set of N, with M members answered"
#define COST_REMOVE "O(log N + M) in a set of N, with M members removed"

struct command zset_range_commands[] = {
	{
		.name = "zcount", .run = run_zcount, .class = EXEC_KEYED, .arity = 4,
		.flags = CMD_READONLY | CMD_FAST, .acl = ACL_SORTEDSET,
		.keys = { KEY_ONE(KEY_RO | KEY_ACCESS) },
		.group = "sorted-set", .since = "2.0.0",
		.summary = "Counts the members between two scores.",
		.complexity = "O(log N) in a set of N",
		.args = "key:key#0 min:double max:double",
	},
	{
		.name = "zlexcount", .run = run_zlexcount, .class = EXEC_KEYED, .arity = 4,
		.flags = CMD_READONLY | CMD_FAST, .acl = ACL_SORTEDSET,
		.keys = { KEY_ONE(KEY_RO | KEY_ACCESS) },
		.group = "sorted-set", .since = "2.8.9",
		.summary = "Counts the members between two strings, of a set with equal scores.",
		.complexity = "O(log N) in a set of N",
		.args = "key:key#0 min:string max:string",
	},
	{
		.name = "zrange", .run = run_zrange, .class = EXEC_KEYED, .arity = -4,
		.flags = CMD_READONLY, .acl = ACL_SORTEDSET,
		.keys = { KEY_ONE(KEY_RO | KEY_ACCESS) },
		.group = "sorted-set", .since = "1.2.0",
		.summary = "Answers the members in a range of places, scores or strings.",
		.complexity = COST_RANGE,
		.args = "key:key#0 start:string stop:string [sortby:<byscore:BYSCORE|bylex:BYLEX>@6.2.0] [rev:REV@6.2.0] "
		        "[LIMIT limit:{offset:integer count:integer}@6.2.0] [withscores:WITHSCORES]",
		.history = "6.2.0 Options `REV`, `BYSCORE`, `BYLEX` and `LIMIT`.",
	},
	{
		.name = "zrangebylex", .run = run_zrangebylex, .class = EXEC_KEYED, .arity = -4,
		.flags = CMD_READONLY, .acl = ACL_SORTEDSET,
		.keys = { KEY_ONE(KEY_RO | KEY_ACCESS) },
		.group = "sorted-set", .since = "2.8.9",
		.summary = "Answers the members between two strings, of a set with equal scores.",
		.complexity = COST_RANGE,
		.args = "key:key#0 min:string max:string [LIMIT limit:{offset:integer count:integer}]",
		.deprecated = "6.2.0 `ZRANGE` with the `BYLEX` argument",
	},
	{
		.name = "zrangebyscore", .run = run_zrangebyscore, .class = EXEC_KEYED, .arity = -4,
		.flags = CMD_READONLY, .acl = ACL_SORTEDSET,
		.keys = { KEY_ONE(KEY_RO | KEY_ACCESS) },
		.group = "sorted-set", .since = "1.0.5",
		.summary = "Answers the members between two scores.",
		.complexity = COST_RANGE,
		.args = "key:key#0 min:double max:double [withscores:WITHSCORES@2.0.0] "
		        "[LIMIT limit:{offset:integer count:integer}]",
		.history = "2.0.0 Option `WITHSCORES`.",
		.deprecated = "6.2.0 `ZRANGE` with the `BYSCORE` argument",
	},
	{
		.name = "zrangestore", .run = run_zrangestore, .class = EXEC_KEYED, .arity = -5,
		.flags = CMD_WRITE | CMD_DENYOOM, .acl = ACL_SORTEDSET,
		.keys = { KEY_ONE(KEY_OW | KEY_UPDATE), KEY_RANGE(KEY_RO | KEY_ACCESS, 2, 0, 1) },
		.group = "sorted-set", .since = "6.2.0",
		.summary = "Stores the members in a range under another key.",
		.complexity = "O(log N + M) in a set of N, with M members stored",
		.args = "dst:key#0 src:key#1 min:string max:string [sortby:<byscore:BYSCORE|bylex:BYLEX>] [rev:REV] "
		        "[LIMIT limit:{offset:integer count:integer}]",
	},
	{
		.name = "zremrangebylex", .run = run_zremrangebylex, .class = EXEC_KEYED, .arity = 4,
		.flags = CMD_WRITE, .acl = ACL_SORTEDSET,
		.keys = { KEY_ONE(KEY_RW | KEY_DELETE) },
		.group = "sorted-set", .since = "2.8.9",
		.summary = "Removes the members between two strings, of a set with equal scores.",
		.complexity = COST_REMOVE,
		.args = "key:key#0 min:string max:string",
	},
	{
		.name = "zremrangebyrank", .run = run_zremrangebyrank, .class = EXEC_KEYED, .arity = 4,
		.flags = CMD_WRITE, .acl = ACL_SORTEDSET,
		.keys = { KEY_ONE(KEY_RW | KEY_DELETE) },
		.group = "sorted-set", .since = "2.0.0",
		.summary = "Removes the members in a range of places.",
		.complexity = COST_REMOVE,
		.args = "key:key#0 start:integer stop:integer",
	},
	{
		.name = "zremrangebyscore", .run = run_zremrangebyscore, .class = EXEC_KEYED, .arity = 4,
		.flags = CMD_WRITE, .acl = ACL_SORTEDSET,
		.keys = { KEY_ONE(KEY_RW | KEY_DELETE) },
		.group = "sorted-set", .since = "1.2.0",
		.summary = "Removes the members between two scores.",
		.complexity = COST_REMOVE,
		.args = "key:key#0 min:double max:double",
	},
	{
		.name = "zrevrange", .run = run_zrevrange, .class = EXEC_KEYED, .arity = -4,
		.flags = CMD_READONLY, .acl = ACL_SORTEDSET,
		.keys = { KEY_ONE(KEY_RO | KEY_ACCESS) },
		.group = "sorted-set", .since = "1.2.0",
		.summary = "Answers the members in a range of places, from the highest score down.",
		.complexity = COST_RANGE,
		.args = "key:key#0 start:integer stop:integer [withscores:WITHSCORES]",
		.deprecated = "6.2.0 `ZRANGE` with the `REV` argument",
	},
	{
		.name = "zrevrangebylex", .run = run_zrevrangebylex, .class = EXEC_KEYED, .arity = -4,
		.flags = CMD_READONLY, .acl = ACL_SORTEDSET,
		.keys = { KEY_ONE(KEY_RO | KEY_ACCESS) },
		.group = "sorted-set", .since = "2.8.9",
		.summary = "Answers the members between two strings, the highest first, of a set with equal scores.",
		.complexity = COST_RANGE,
		.args = "key:key#0 max:string min:string [LIMIT limit:{offset:integer count:integer}]",
		.deprecated = "6.2.0 `ZRANGE` with the `REV` and `BYLEX` arguments",
	},
	{
		.name = "zrevrangebyscore", .run = run_zrevrangebyscore, .class = EXEC_KEYED, .arity = -4,
		.flags = CMD_READONLY, .acl = ACL_SORTEDSET,
		.keys = { KEY_ONE(KEY_RO | KEY_ACCESS) },
		.group = "sorted-set", .since = "2.2.0",
		.summary = "Answers the members between two scores, the highest first.",
		.complexity = COST_RANGE,
		.args = "key:key#0 max:double min:double [withscores:WITHSCORES] [LIMIT limit:{offset:integer count:integer}]",
		.history = "2.1.6 Bounds may be exclusive.",
		.deprecated = "6.2.0 `ZRANGE` with the `REV` and `BYSCORE` arguments",
	},
	{ .name = NULL },
};
