/* zset: members of sorted sets, one or some at a time. Ranges are in zset_range.c, unions and the like in zset_algebra.c,
 * popping, random members and ZSCAN in zset_pop.c. */
#include "server/commands/zset.h"

#include <math.h>
#include <stdlib.h>

#include "server/commands/groups.h"

#define NOT_A_NUMBER "ERR resulting score is not a number (NaN)"

/* ------------------------------------------------------------------ shared */

void zset_removed(struct call *c, const struct store_key *key, struct entry *e, const struct value *z, size_t n,
                  const char *event)
{
	bool empty = zset_count(z) == 0;
	value_put(e, z);
	if (empty)
		store_delete(&c->op, key, false);
	call_touch(c, key, NOTIFY_ZSET, event);
	count_more(c, n);
	if (empty)
		call_event(c, key, NOTIFY_GENERIC, "del");
}

void zset_store(struct call *c, const struct store_key *key, struct zset_builder *b, const char *event, size_t count)
{
	struct value z;
	struct value_limits limits = zset_limits_now();
	size_t n = b->n;
	if (n == 0) {
		zset_builder_clear(b);
		if (store_delete(&c->op, key, config()->lazyfree_lazy_server_del))
			call_touch(c, key, NOTIFY_GENERIC, "del");
		reply_int(c->reply, 0);
		return;
	}
	zset_builder_sort(b);
	if (zset_builder_finish(b, &limits, &z)) {
		zset_builder_clear(b);
		reply_oom(c->reply);
		return;
	}
	bool over = call_observed() && store_exists(&c->op, key);
	if (!store_replace(&c->op, key, STORE_ZSET, z.encoding, z.ptr, STORE_NO_EXPIRY)) {
		zset_free(&z);
		reply_oom(c->reply);
		return;
	}
	if (over) {
		call_touch_over(c, key, NOTIFY_ZSET, event);
	} else {
		call_event(c, key, NOTIFY_NEW, "new");
		call_touch(c, key, NOTIFY_ZSET, event);
	}
	count_more(c, count);
	reply_int(c->reply, (int64_t)n);
}

/* ------------------------------------------------------------------ ZADD */

/* What has been done so far. */
struct zadd {
	unsigned flags;
	struct target t;
	struct value_limits limits;
	size_t added, updated;
	bool applied; /* the last pair was, even if it changed nothing */
	bool lent;    /* the listpack still stands in its entry */
	double score; /* of the last pair, afterwards */
};

enum zadd_result { ZADD_OK, ZADD_NAN, ZADD_NOMEM };

/* From here on the value may grow. */
static void zadd_borrow(struct call *c, struct zadd *a)
{
	if (a->lent)
		target_borrow(c, &a->t);
	a->lent = false;
}

static int zadd_insert(struct call *c, struct zadd *a, const struct zset_hit *hit, double score, const char *member,
                       size_t len)
{
	struct value_item pair[2];
	char buf[NUMBER_DOUBLE_MAX];
	size_t at;
	if (a->lent && zset_inserts(&a->t.v, &a->limits, member, len, score, &at, pair, buf) &&
	    target_insert(c, &a->t, at, pair, 2))
		return 0;
	zadd_borrow(c, a);
	return zset_insert(&a->t.v, &a->limits, hit, member, len, score);
}

static int zadd_rescore(struct call *c, struct zadd *a, struct zset_hit *hit, double score, const char *member, size_t len)
{
	if (a->lent) {
		if (zset_rescore_same(&a->t.v, hit, member, len, score))
			return 0;
		zadd_borrow(c, a);
		zset_find(&a->t.v, member, len, hit);
	}
	return zset_rescore(&a->t.v, hit, member, len, score);
}

static enum zadd_result zadd_one(struct call *c, struct zadd *a, double score, const char *member, size_t len)
{
	struct zset_hit hit;
	a->applied = false;
	a->score = score;
	if (!zset_find(&a->t.v, member, len, &hit)) {
		if (a->flags & ZADD_XX)
			return ZADD_OK;
		if (zadd_insert(c, a, &hit, score, member, len))
			return ZADD_NOMEM;
		a->added++;
		a->applied = true;
		return ZADD_OK;
	}
	if (a->flags & ZADD_NX)
		return ZADD_OK;
	if (a->flags & ZADD_INCR) {
		score += hit.score;
		if (isnan(score))
			return ZADD_NAN;
	}
	if (((a->flags & ZADD_LT) && score >= hit.score) || ((a->flags & ZADD_GT) && score <= hit.score))
		return ZADD_OK;
	a->score = score;
	a->applied = true;
	if (score != hit.score) {
		if (zadd_rescore(c, a, &hit, score, member, len))
			return ZADD_NOMEM;
		a->updated++;
	}
	return ZADD_OK;
}

/* The value to work on: the key's, or a new one. */
static int zadd_begin(struct call *c, struct zadd *a, const struct zadd_pair *pairs, size_t n)
{
	size_t max_len = 0;
	for (size_t i = 0; i < n; i++)
		max_len = pairs[i].member->len > max_len ? pairs[i].member->len : max_len;
	if (!a->t.e)
		return zset_new(&a->t.v, &a->limits, n, max_len);
	a->lent = a->t.e->flags & ENTRY_EMBEDDED;
	if (n > 1 || (int64_t)max_len > a->limits.bytes || a->limits.entries < 1)
		zadd_borrow(c, a);
	return a->lent ? 0 : zset_prepare(&a->t.v, &a->limits, n, max_len);
}

/* Bring the value home, and tell. false: a new key found no memory, and the reply is written. */
static bool zadd_end(struct call *c, struct zadd *a)
{
	size_t changes = a->added + a->updated;
	if (!a->t.e && !changes)
		target_drop(c, &a->t, STORE_ZSET);
	else if (!target_keep(c, &a->t, STORE_ZSET))
		return false;
	if (changes) {
		call_touch(c, &a->t.key, NOTIFY_ZSET, a->flags & ZADD_INCR ? "zincr" : "zadd");
		count_more(c, changes);
	}
	return true;
}

void zadd_pairs(struct call *c, unsigned flags, const struct zadd_pair *pairs, size_t n)
{
	struct zadd a = { .flags = flags, .limits = zset_limits_now() };
	enum zadd_result result = ZADD_OK;
	if (!target_lend(c, 1, STORE_ZSET, &a.t))
		return;
	if (a.t.e || !(flags & ZADD_XX)) {
		if (zadd_begin(c, &a, pairs, n)) {
			if (a.t.e)
				target_drop(c, &a.t, STORE_ZSET);
			reply_oom(c->reply);
			return;
		}
		for (size_t i = 0; i < n && result == ZADD_OK; i++)
			result = zadd_one(c, &a, pairs[i].score, pairs[i].member->ptr, pairs[i].member->len);
		if (!zadd_end(c, &a))
			return;
	}
	if (__builtin_expect(result == ZADD_NOMEM, 0))
		reply_oom(c->reply);
	else if (result == ZADD_NAN)
		reply_error(c->reply, NOT_A_NUMBER);
	else if (!(flags & ZADD_INCR))
		reply_int(c->reply, (int64_t)(flags & ZADD_CH ? a.added + a.updated : a.added));
	else if (a.applied)
		reply_double(c->reply, a.score);
	else
		reply_null(c->reply);
}

static unsigned zadd_option(const struct arg *a)
{
	static const struct {
		const char *word;
		unsigned flag;
	} options[] = { { "NX", ZADD_NX }, { "XX", ZADD_XX }, { "CH", ZADD_CH },
		            { "INCR", ZADD_INCR }, { "GT", ZADD_GT }, { "LT", ZADD_LT } };
	if (a->len < 2 || (unsigned char)*a->ptr < 'A') /* most scores */
		return 0;
	for (size_t i = 0; i < sizeof options / sizeof *options; i++)
		if (arg_is(a, options[i].word))
			return options[i].flag;
	return 0;
}

/* Whether the options go together with each other and so many pairs; else the error is written. */
static bool zadd_options_fit(struct call *c, unsigned flags, unsigned args)
{
	const char *error = NULL;
	bool nx = flags & ZADD_NX, gt = flags & ZADD_GT, lt = flags & ZADD_LT;
	if (args % 2 || args == 0) {
		reply_syntax_error(c->reply);
		return false;
	}
	if (nx && flags & ZADD_XX)
		error = "ERR XX and NX options at the same time are not compatible";
	else if ((gt && nx) || (lt && nx) || (gt && lt))
		error = "ERR GT, LT, and/or NX options at the same time are not compatible";
	else if (flags & ZADD_INCR && args > 2)
		error = "ERR INCR option supports a single increment-element pair";
	if (error)
		reply_error(c->reply, error);
	return !error;
}

static void zadd(struct call *c, unsigned flags)
{
	struct zadd_pair few[32], *pairs = few;
	unsigned at = 2, flag;
	while (at < c->argc && (flag = zadd_option(&c->argv[at]))) {
		flags |= flag;
		at++;
	}
	if (!zadd_options_fit(c, flags, c->argc - at))
		return;
	size_t n = (c->argc - at) / 2;
	if (n > sizeof few / sizeof *few && !(pairs = malloc(n * sizeof *pairs))) {
		reply_oom(c->reply);
		return;
	}
	bool ok = true;
	for (size_t i = 0; ok && i < n; i++) {
		pairs[i].member = &c->argv[at + 2 * i + 1];
		ok = call_double(c, (unsigned)(at + 2 * i), &pairs[i].score);
	}
	if (ok)
		zadd_pairs(c, flags, pairs, n);
	if (pairs != few)
		free(pairs);
}

static void run_zadd(struct call *c)
{
	zadd(c, 0);
}

static void run_zincrby(struct call *c)
{
	zadd(c, ZADD_INCR);
}

/* ------------------------------------------------------------------ ZREM */

static void run_zrem(struct call *c)
{
	struct store_key key = call_key(c, 1);
	bool wrong;
	struct entry *e = call_find_write_type(c, &key, STORE_ZSET, &wrong);
	if (!e) {
		if (!wrong)
			reply_int(c->reply, 0);
		return;
	}
	struct value z = value_of(e);
	struct zset_hit hit;
	size_t gone = 0;
	for (unsigned i = 2; i < c->argc && zset_count(&z); i++) {
		const struct arg *a = &c->argv[i];
		if (zset_find(&z, a->ptr, a->len, &hit)) {
			zset_remove(&z, &hit, a->ptr, a->len);
			gone++;
		}
	}
	if (gone)
		zset_removed(c, &key, e, &z, gone, "zrem");
	reply_int(c->reply, (int64_t)gone);
}

/* ------------------------------------------------------------------ questions */

static void run_zcard(struct call *c)
{
	struct store_key key = call_key(c, 1);
	struct value z;
	bool wrong;
	if (zset_read(c, &key, &z, &wrong))
		reply_int(c->reply, (int64_t)zset_count(&z));
	else if (!wrong)
		reply_int(c->reply, 0);
}

static void reply_score(struct call *c, const struct value *z, const struct arg *member)
{
	struct zset_hit hit;
	if (z && zset_find(z, member->ptr, member->len, &hit))
		reply_double(c->reply, hit.score);
	else
		reply_null(c->reply);
}

static void run_zscore(struct call *c)
{
	struct store_key key = call_key(c, 1);
	struct value z;
	bool wrong, there = zset_read(c, &key, &z, &wrong);
	if (!wrong)
		reply_score(c, there ? &z : NULL, &c->argv[2]);
}

static void run_zmscore(struct call *c)
{
	struct store_key key = call_key(c, 1);
	struct value z;
	bool wrong, there = zset_read(c, &key, &z, &wrong);
	if (wrong)
		return;
	reply_array(c->reply, c->argc - 2);
	for (unsigned i = 2; i < c->argc; i++)
		reply_score(c, there ? &z : NULL, &c->argv[i]);
}

static void rank(struct call *c, bool reverse)
{
	struct store_key key = call_key(c, 1);
	struct value z;
	struct zset_hit hit;
	bool wrong, score = c->argc == 4;
	const struct arg *member = &c->argv[2];
	if (c->argc > 4) {
		call_wrong_arity(c);
		return;
	}
	if (score && !arg_is(&c->argv[3], "WITHSCORE")) {
		reply_syntax_error(c->reply);
		return;
	}
	bool there = zset_read(c, &key, &z, &wrong);
	if (wrong)
		return;
	if (!there || !zset_find(&z, member->ptr, member->len, &hit)) {
		if (score)
			reply_null_array(c->reply);
		else
			reply_null(c->reply);
		return;
	}
	size_t n = zset_rank(&z, &hit);
	if (reverse)
		n = zset_count(&z) - 1 - n;
	if (score)
		reply_array(c->reply, 2);
	reply_int(c->reply, (int64_t)n);
	if (score)
		reply_double(c->reply, hit.score);
}

static void run_zrank(struct call *c)
{
	rank(c, false);
}

static void run_zrevrank(struct call *c)
{
	rank(c, true);
}

/* ------------------------------------------------------------------ rows */

struct command zset_commands[] = {
	{
		.name = "zadd", .run = run_zadd, .class = EXEC_KEYED, .arity = -4,
		.flags = CMD_WRITE | CMD_DENYOOM | CMD_FAST, .acl = ACL_SORTEDSET,
		.keys = { KEY_ONE(KEY_RW | KEY_UPDATE) },
		.group = "sorted-set", .since = "1.2.0",
		.summary = "Adds members with their scores, or gives them other scores.",
		.complexity = "O(log N) for each member, in a set of N",
		.args = "key:key#0 [condition:<nx:NX|xx:XX>@3.0.2] [comparison:<gt:GT|lt:LT>@6.2.0] [change:CH@3.0.2] "
		        "[increment:INCR@3.0.2] data:{score:double member:string}...",
		.history = "2.4.0 More than one member.\n"
		           "3.0.2 Options `XX`, `NX`, `CH` and `INCR`.\n"
		           "6.2.0 Options `GT` and `LT`.",
	},
	{
		.name = "zcard", .run = run_zcard, .class = EXEC_KEYED, .arity = 2,
		.flags = CMD_READONLY | CMD_FAST, .acl = ACL_SORTEDSET,
		.keys = { KEY_ONE(KEY_RO) },
		.group = "sorted-set", .since = "1.2.0",
		.summary = "Counts the members.",
		.complexity = "O(1)",
		.args = "key:key#0",
	},
	{
		.name = "zincrby", .run = run_zincrby, .class = EXEC_KEYED, .arity = 4,
		.flags = CMD_WRITE | CMD_DENYOOM | CMD_FAST, .acl = ACL_SORTEDSET,
		.keys = { KEY_ONE(KEY_RW | KEY_ACCESS | KEY_UPDATE) },
		.group = "sorted-set", .since = "1.2.0",
		.summary = "Adds to a member's score; one that is missing begins with 0.",
		.complexity = "O(log N) in a set of N",
		.args = "key:key#0 increment:integer member:string",
	},
	{
		.name = "zmscore", .run = run_zmscore, .class = EXEC_KEYED, .arity = -3,
		.flags = CMD_READONLY | CMD_FAST, .acl = ACL_SORTEDSET,
		.keys = { KEY_ONE(KEY_RO | KEY_ACCESS) },
		.group = "sorted-set", .since = "6.2.0",
		.summary = "Answers the scores of some members.",
		.complexity = "O(N) in the members asked for",
		.args = "key:key#0 member:string...",
	},
	{
		.name = "zrank", .run = run_zrank, .class = EXEC_KEYED, .arity = -3,
		.flags = CMD_READONLY | CMD_FAST, .acl = ACL_SORTEDSET,
		.keys = { KEY_ONE(KEY_RO | KEY_ACCESS) },
		.group = "sorted-set", .since = "2.0.0",
		.summary = "Answers a member's place in ascending order, from 0.",
		.complexity = "O(log N) in a set of N",
		.args = "key:key#0 member:string [withscore:WITHSCORE]",
		.history = "7.2.0 Option `WITHSCORE`.",
	},
	{
		.name = "zrem", .run = run_zrem, .class = EXEC_KEYED, .arity = -3,
		.flags = CMD_WRITE | CMD_FAST, .acl = ACL_SORTEDSET,
		.keys = { KEY_ONE(KEY_RW | KEY_DELETE) },
		.group = "sorted-set", .since = "1.2.0",
		.summary = "Removes members, and the key with the last one.",
		.complexity = "O(M log N) for M members of a set of N",
		.args = "key:key#0 member:string...",
		.history = "2.4.0 More than one member.",
	},
	{
		.name = "zrevrank", .run = run_zrevrank, .class = EXEC_KEYED, .arity = -3,
		.flags = CMD_READONLY | CMD_FAST, .acl = ACL_SORTEDSET,
		.keys = { KEY_ONE(KEY_RO | KEY_ACCESS) },
		.group = "sorted-set", .since = "2.0.0",
		.summary = "Answers a member's place in descending order, from 0.",
		.complexity = "O(log N) in a set of N",
		.args = "key:key#0 member:string [withscore:WITHSCORE]",
		.history = "7.2.0 Option `WITHSCORE`.",
	},
	{
		.name = "zscore", .run = run_zscore, .class = EXEC_KEYED, .arity = 3,
		.flags = CMD_READONLY | CMD_FAST, .acl = ACL_SORTEDSET,
		.keys = { KEY_ONE(KEY_RO | KEY_ACCESS) },
		.group = "sorted-set", .since = "1.2.0",
		.summary = "Answers a member's score.",
		.complexity = "O(1)",
		.args = "key:key#0 member:string",
	},
	{ .name = NULL },
};
