/* zset_pop: ends of sorted sets taken off, random members, ZSCAN. */
#include <stdio.h>

#include "server/block.h"
#include "server/commands/groups.h"
#include "server/commands/zset.h"

/* ------------------------------------------------------------------ popping */

enum pop_reply {
	POP_FLAT,  /* member, score, ... */
	POP_PAIRS, /* an array for each */
	POP_KEYED, /* the key, and an array of arrays */
	POP_FIRST, /* the key, member, score: only one */
};

static const char *const pop_events[2] = { "zpopmin", "zpopmax" };

/* The members taken off as a reply; then they go. */
static void pop(struct call *c, unsigned key_arg, const struct store_key *key, struct entry *e, bool max, size_t n,
                enum pop_reply shape)
{
	struct value z = value_of(e);
	struct zset_iter it;
	struct zset_item item;
	size_t count = zset_count(&z);
	n = n < count ? n : count;
	if (shape == POP_KEYED) {
		reply_array(c->reply, 2);
		reply_bulk(c->reply, c->argv[key_arg].ptr, c->argv[key_arg].len);
	}
	if (shape == POP_FIRST) {
		reply_array(c->reply, 3);
		reply_bulk(c->reply, c->argv[key_arg].ptr, c->argv[key_arg].len);
	} else {
		reply_array(c->reply, shape == POP_FLAT ? 2 * n : n);
	}
	zset_iter_init(&it, &z, max ? count - 1 : 0, max);
	for (size_t i = 0; i < n && zset_iter_next(&it, &item); i++) {
		if (shape == POP_PAIRS || shape == POP_KEYED)
			reply_array(c->reply, 2);
		reply_bulk(c->reply, item.ptr, item.len);
		reply_double(c->reply, item.score);
	}
	if (n == count) {
		store_delete(&c->op, key, true);
		call_touch(c, key, NOTIFY_ZSET, pop_events[max]);
		count_more(c, n);
		call_event(c, key, NOTIFY_GENERIC, "del");
	} else {
		zset_remove_range(&z, max ? count - n : 0, n);
		zset_removed(c, key, e, &z, n, pop_events[max]);
	}
	if (shape == POP_KEYED)
		call_journalf(c, "sai", max ? "ZPOPMAX" : "ZPOPMIN", &c->argv[key_arg], (int64_t)n);
	else if (shape == POP_FIRST)
		call_journalf(c, "sa", max ? "ZPOPMAX" : "ZPOPMIN", &c->argv[key_arg]);
}

static void pop_end(struct call *c, bool max)
{
	struct store_key key = call_key(c, 1);
	int64_t n = 1;
	bool wrong;
	if (c->argc > 3) {
		reply_syntax_error(c->reply);
		return;
	}
	if (c->argc == 3 && !call_int_range(c, 2, 0, INT64_MAX, &n, "ERR value is out of range, must be positive"))
		return;
	struct entry *e = call_find_write_type(c, &key, STORE_ZSET, &wrong);
	if (wrong)
		return;
	if (!e || n == 0)
		reply_array(c->reply, 0);
	else
		pop(c, 1, &key, e, max, (size_t)n, c->argc == 3 && c->reply->resp == 3 ? POP_PAIRS : POP_FLAT);
}

static void run_zpopmin(struct call *c)
{
	pop_end(c, false);
}

static void run_zpopmax(struct call *c)
{
	pop_end(c, true);
}

/* Of the first of several that exists; false: there is none, and no reply. */
static bool pop_first(struct call *c, unsigned from, unsigned end, bool max, size_t n, enum pop_reply shape)
{
	for (unsigned i = from; i < end; i++) {
		struct store_key key = call_key(c, i);
		bool wrong;
		if (!block_holds(c, i))
			continue;
		struct entry *e = call_find_write_type(c, &key, STORE_ZSET, &wrong);
		if (e)
			pop(c, i, &key, e, max, n, shape);
		if (e || wrong)
			return true;
	}
	return false;
}

static void wait_for_zsets(struct call *c, unsigned first, unsigned n, int64_t timeout_ms)
{
	struct block_spec spec = { .kind = BLOCK_ZSET, .first = first, .n = n, .timeout_ms = timeout_ms };
	if (!block_on_keys(c, &spec))
		reply_null_array(c->reply);
}

static void blocking_pop(struct call *c, bool max)
{
	int64_t timeout_ms;
	if (block_timeout(c, c->argc - 1, &timeout_ms) && !pop_first(c, 1, c->argc - 1, max, 1, POP_FIRST))
		wait_for_zsets(c, 1, c->argc - 2, timeout_ms);
}

static void run_bzpopmin(struct call *c)
{
	blocking_pop(c, false);
}

static void run_bzpopmax(struct call *c)
{
	blocking_pop(c, true);
}

/* From argv[at] on: how many keys, the keys, MIN or MAX, COUNT; in front of them, where it waits, a timeout. */
static void pop_of_many(struct call *c, unsigned at, bool waits)
{
	int64_t timeout_ms;
	int64_t keys, n = 0;
	if (!call_int_range(c, at, 1, INT64_MAX, &keys, "ERR numkeys should be greater than 0"))
		return;
	if (keys >= (int64_t)c->argc - at - 1) {
		reply_syntax_error(c->reply);
		return;
	}
	unsigned where = (unsigned)keys + at + 1;
	bool max = arg_is(&c->argv[where], "MAX");
	if (!max && !arg_is(&c->argv[where], "MIN")) {
		reply_syntax_error(c->reply);
		return;
	}
	for (unsigned i = where + 1; i < c->argc; i += 2) {
		if (n || i + 1 >= c->argc || !arg_is(&c->argv[i], "COUNT")) {
			reply_syntax_error(c->reply);
			return;
		}
		if (!call_int_range(c, i + 1, 1, INT64_MAX, &n, "ERR count should be greater than 0"))
			return;
	}
	if (waits && !block_timeout(c, at - 1, &timeout_ms))
		return;
	if (pop_first(c, at + 1, where, max, n ? (size_t)n : 1, POP_KEYED))
		return;
	if (!waits)
		reply_null_array(c->reply);
	else
		wait_for_zsets(c, at + 1, (unsigned)keys, timeout_ms);
}

static void run_zmpop(struct call *c)
{
	pop_of_many(c, 1, false);
}

static void run_bzmpop(struct call *c)
{
	pop_of_many(c, 2, true);
}

/* ------------------------------------------------------------------ ZRANDMEMBER */

static void random_reply(struct call *c, const struct zset_item *item, bool scores)
{
	if (scores)
		zset_reply_pair(c->reply, item->ptr, item->len, item->score);
	else
		reply_bulk(c->reply, item->ptr, item->len);
}

static void read_at(const struct value *z, size_t rank, struct zset_item *item)
{
	struct zset_iter it;
	zset_iter_init(&it, z, rank, false);
	zset_iter_next(&it, item);
}

static void random_repeat(struct call *c, const struct value *z, uint64_t n, bool scores)
{
	size_t count = zset_count(z);
	uint64_t spent = 0;
	if (!random_fits(c, scores ? 2 * n : n))
		return;
	zset_reply_head(c->reply, n, scores);
	while (n--) {
		struct zset_item item;
		read_at(z, value_random_below(count), &item);
		struct value_item v = value_item_of(item.ptr, item.len);
		if (!random_goes_on(c, &spent, &v))
			return;
		random_reply(c, &item, scores);
	}
}

/* n of `count` in one walk: each is taken with the chance that is left for it. */
static void random_walk(struct call *c, const struct value *z, size_t n, bool scores)
{
	size_t left = zset_count(z);
	struct zset_iter it;
	struct zset_item item;
	zset_iter_init(&it, z, left - 1, true);
	for (; n && zset_iter_next(&it, &item); left--) {
		if (n < left && value_random_below(left) >= n)
			continue;
		random_reply(c, &item, scores);
		n--;
	}
}

/* A few of many: ranks drawn until they are enough. */
static bool random_draw(struct call *c, const struct value *z, size_t n, bool scores)
{
	struct value_chosen chosen;
	size_t count = zset_count(z);
	if (!value_chosen_init(&chosen, n))
		return false;
	zset_reply_head(c->reply, n, scores);
	while (n) {
		struct zset_item item;
		size_t rank = value_random_below(count);
		if (!value_chosen_add(&chosen, (const void *)(uintptr_t)(rank + 1)))
			continue;
		read_at(z, rank, &item);
		random_reply(c, &item, scores);
		n--;
	}
	value_chosen_clear(&chosen);
	return true;
}

static void random_members(struct call *c, const struct value *z, uint64_t n, bool repeat, bool scores)
{
	size_t count = zset_count(z);
	if (repeat) {
		random_repeat(c, z, n, scores);
	} else if (n < count / 3 && z->encoding != ENC_LISTPACK) {
		if (!random_draw(c, z, n, scores))
			reply_oom(c->reply);
	} else {
		n = n < count ? n : count;
		zset_reply_head(c->reply, n, scores);
		random_walk(c, z, n, scores);
	}
}

static void run_zrandmember(struct call *c)
{
	struct store_key key = call_key(c, 1);
	struct value z;
	struct zset_item item;
	uint64_t n = 0;
	bool repeat = false, wrong, scores = c->argc == 4;
	if (c->argc > 2) {
		if (!random_count(c, 2, &n, &repeat))
			return;
		if (c->argc > 4 || (scores && !arg_is(&c->argv[3], "WITHSCORES"))) {
			reply_syntax_error(c->reply);
			return;
		}
		if (scores && n > INT64_MAX / 2) {
			reply_error(c->reply, "ERR value is out of range");
			return;
		}
	}
	bool there = zset_read(c, &key, &z, &wrong);
	if (wrong)
		return;
	if (c->argc == 2 && there) {
		read_at(&z, value_random_below(zset_count(&z)), &item);
		reply_bulk(c->reply, item.ptr, item.len);
	} else if (c->argc == 2) {
		reply_null(c->reply);
	} else if (!there || n == 0) {
		reply_array(c->reply, 0);
	} else {
		random_members(c, &z, n, repeat, scores);
	}
}

/* ------------------------------------------------------------------ ZSCAN */

struct scan {
	struct aggregate_scan *to;
	bool listpack;
};

/* Scores are text here, with RESP3 too: in few digits those of a listpack, in 17 those of a table. */
static void see(void *ctx, const struct zset_item *item)
{
	struct scan *s = ctx;
	char text[64];
	size_t len;
	if (s->listpack)
		len = number_print_double(text, item->score);
	else
		len = (size_t)snprintf(text, sizeof text, "%.17Lg", (long double)item->score);
	struct value_item member = value_item_of(item->ptr, item->len), score = value_item_of(text, len);
	aggregate_scan_see(s->to, &member, &score);
}

static uint64_t walk(const struct value *z, uint64_t cursor, size_t count, struct aggregate_scan *to)
{
	struct scan s = { to, z->encoding == ENC_LISTPACK };
	size_t steps = count < SIZE_MAX / 10 ? 10 * count : SIZE_MAX;
	do
		cursor = zset_scan(z, cursor, see, &s);
	while (cursor && steps-- && to->seen < count);
	return cursor;
}

static void run_zscan(struct call *c)
{
	aggregate_scan(c, STORE_ZSET, walk);
}

/* ------------------------------------------------------------------ rows */

#define TIMEOUT_HISTORY "6.0.0 The timeout may have a fraction."

struct command zset_pop_commands[] = {
	{
		.name = "bzmpop", .run = run_bzmpop, .class = EXEC_KEYED, .arity = -5,
		.flags = CMD_WRITE | CMD_BLOCKING, .acl = ACL_SORTEDSET,
		.keys = { { .flags = KEY_RW | KEY_ACCESS | KEY_DELETE, .begin = 2, .keynum = true, .first_key = 1, .step = 1 } },
		.group = "sorted-set", .since = "7.0.0",
		.summary = "Takes members off an end of the first of several sorted sets that exists; waits until one does.",
		.complexity = "O(K + M log N) for K keys and M members taken off a set of N",
		.args = "timeout:double numkeys:integer key:key#0... where:<min:MIN|max:MAX> [COUNT count:integer]",
	},
	{
		.name = "bzpopmax", .run = run_bzpopmax, .class = EXEC_KEYED, .arity = -3,
		.flags = CMD_WRITE | CMD_FAST | CMD_BLOCKING, .acl = ACL_SORTEDSET,
		.keys = { KEY_RANGE(KEY_RW | KEY_ACCESS | KEY_DELETE, 1, -2, 1) },
		.group = "sorted-set", .since = "5.0.0",
		.summary = "Takes off the member with the highest score of the first set that exists; waits until one does.",
		.complexity = "O(log N) in the members of the set",
		.args = "key:key#0... timeout:double",
		.history = TIMEOUT_HISTORY,
	},
	{
		.name = "bzpopmin", .run = run_bzpopmin, .class = EXEC_KEYED, .arity = -3,
		.flags = CMD_WRITE | CMD_FAST | CMD_BLOCKING, .acl = ACL_SORTEDSET,
		.keys = { KEY_RANGE(KEY_RW | KEY_ACCESS | KEY_DELETE, 1, -2, 1) },
		.group = "sorted-set", .since = "5.0.0",
		.summary = "Takes off the member with the lowest score of the first set that exists; waits until one does.",
		.complexity = "O(log N) in the members of the set",
		.args = "key:key#0... timeout:double",
		.history = TIMEOUT_HISTORY,
	},
	{
		.name = "zmpop", .run = run_zmpop, .class = EXEC_KEYED, .arity = -4,
		.flags = CMD_WRITE, .acl = ACL_SORTEDSET,
		.keys = { { .flags = KEY_RW | KEY_ACCESS | KEY_DELETE, .begin = 1, .keynum = true, .first_key = 1, .step = 1 } },
		.group = "sorted-set", .since = "7.0.0",
		.summary = "Takes members off an end of the first of several sorted sets that exists.",
		.complexity = "O(K + M log N) for K keys and M members taken off a set of N",
		.args = "numkeys:integer key:key#0... where:<min:MIN|max:MAX> [COUNT count:integer]",
	},
	{
		.name = "zpopmax", .run = run_zpopmax, .class = EXEC_KEYED, .arity = -2,
		.flags = CMD_WRITE | CMD_FAST, .acl = ACL_SORTEDSET,
		.keys = { KEY_ONE(KEY_RW | KEY_ACCESS | KEY_DELETE) },
		.group = "sorted-set", .since = "5.0.0",
		.summary = "Takes off the members with the highest scores, and the key with the last one.",
		.complexity = "O(M log N) for M members of a set of N",
		.args = "key:key#0 [count:integer]",
	},
	{
		.name = "zpopmin", .run = run_zpopmin, .class = EXEC_KEYED, .arity = -2,
		.flags = CMD_WRITE | CMD_FAST, .acl = ACL_SORTEDSET,
		.keys = { KEY_ONE(KEY_RW | KEY_ACCESS | KEY_DELETE) },
		.group = "sorted-set", .since = "5.0.0",
		.summary = "Takes off the members with the lowest scores, and the key with the last one.",
		.complexity = "O(M log N) for M members of a set of N",
		.args = "key:key#0 [count:integer]",
	},
	{
		.name = "zrandmember", .run = run_zrandmember, .class = EXEC_KEYED, .arity = -2,
		.flags = CMD_READONLY, .acl = ACL_SORTEDSET,
		.keys = { KEY_ONE(KEY_RO | KEY_ACCESS) },
		.group = "sorted-set", .since = "6.2.0",
		.summary = "Answers members chosen at random.",
		.complexity = "O(N) in the members answered",
		.args = "key:key#0 [options:{count:integer [withscores:WITHSCORES]}]",
		.tips = "nondeterministic_output",
	},
	{
		.name = "zscan", .run = run_zscan, .class = EXEC_KEYED, .arity = -3,
		.flags = CMD_READONLY, .acl = ACL_SORTEDSET,
		.keys = { KEY_ONE(KEY_RO | KEY_ACCESS) },
		.group = "sorted-set", .since = "2.8.0",
		.summary = "Walks over the members of a sorted set and their scores, some at each call.",
		.complexity = "O(1) a call, O(N) a whole walk over N members",
		.args = "key:key#0 cursor:integer [MATCH pattern:pattern] [COUNT count:integer]",
		.tips = "nondeterministic_output",
	},
	{ .name = NULL },
};
