/*
 * Sorted sets. Scores are numbers that 17 digits and the fewest digits print alike, because Redis 7.0 does the one and 7.2
 * the other. Sets for ranges by member (l0 ...) have equal scores: where scores differ such ranges are undefined.
 */
#include <stdio.h>
#include <string.h>

#include "tests/diff/gen.h"

static void zset_key(struct gen *g)
{
	static const char *const keys[] = { "z0", "z1", "z2", "z3", "z4", "{z}5", "big", NULL };
	if (gen_chance(g, 93))
		gen_text(g, gen_pick(g, keys));
	else if (gen_chance(g, 50))
		gen_text(g, gen_chance(g, 50) ? "zs0" : "zs1");
	else
		gen_key(g);
}

static void lex_key(struct gen *g)
{
	static const char *const keys[] = { "lex0", "lex1", "lexbig", NULL };
	gen_text(g, gen_chance(g, 97) ? gen_pick(g, keys) : "lstr");
}

static void member(struct gen *g)
{
	char name[80];
	static const char *const odd[] = { "", "-1", "0", "007", "9223372036854775807", "-9223372036854775808", "inf", "a b", NULL };
	uint32_t r = gen_below(g, 100);
	if (r < 60)
		gen_bytes(g, name, (size_t)snprintf(name, sizeof name, "m%u", gen_below(g, 15)));
	else if (r < 80)
		gen_bytes(g, name, (size_t)snprintf(name, sizeof name, "%u", gen_below(g, 40)));
	else if (r < 95)
		gen_text(g, gen_pick(g, odd));
	else {
		memset(name, 'y', sizeof name);
		gen_bytes(g, name, 60 + gen_below(g, 10));
	}
}

static void score(struct gen *g)
{
	static const char *const odd[] = {
		"inf", "-inf", "+inf", "123456789012", "-1234567", "nan", "abc", "", "(1", " 1", "0x10", "1e400", "Infinity",
		NULL,
	};
	char text[32];
	uint32_t r = gen_below(g, 100);
	if (r < 70)
		gen_int(g, (int64_t)gen_below(g, 24) - 8);
	else if (r < 88)
		gen_bytes(g, text, (size_t)snprintf(text, sizeof text, "%.2f", ((double)gen_below(g, 80) - 20) / 4));
	else
		gen_text(g, gen_pick(g, odd));
}

/* Few and small, so that sums stay short. */
static void weight(struct gen *g)
{
	static const char *const odd[] = { "inf", "-inf", "0", "nan", "abc", "0.5", NULL };
	if (gen_chance(g, 75))
		gen_int(g, (int64_t)gen_below(g, 5) - 1);
	else
		gen_text(g, gen_pick(g, odd));
}

static void score_bound(struct gen *g)
{
	static const char *const odd[] = { "-inf", "+inf", "inf", "(inf", "(-inf", "", "(", "nan", "(x", " 2", "1e400", NULL };
	char text[32];
	uint32_t r = gen_below(g, 100);
	if (r < 50)
		gen_int(g, (int64_t)gen_below(g, 24) - 8);
	else if (r < 70)
		gen_bytes(g, text, (size_t)snprintf(text, sizeof text, "(%.1f", ((double)gen_below(g, 40) - 10) / 2));
	else
		gen_text(g, gen_pick(g, odd + (r < 85 ? 0 : 2)));
}

static void lex_bound(struct gen *g)
{
	static const char *const odd[] = { "-", "+", "-", "+", "[", "(", "", "m", "+x", "--", NULL };
	char text[32];
	if (gen_chance(g, 30))
		gen_text(g, gen_pick(g, odd));
	else
		gen_bytes(g, text, (size_t)snprintf(text, sizeof text, "%c%s%u", gen_chance(g, 50) ? '[' : '(',
		                                   gen_chance(g, 70) ? "m" : "", gen_below(g, 30)));
}

static void zadd_options(struct gen *g)
{
	static const char *const words[] = { "NX", "XX", "GT", "LT", "CH", "CH", "INCR", "nonsense", NULL };
	for (uint32_t n = gen_chance(g, 35) ? 1 + gen_below(g, 3) : 0; n; n--)
		gen_word(g, gen_pick(g, words));
}

static void make_zadd(struct gen *g, const struct gen_row *row)
{
	gen_begin(g, row);
	if (gen_below(g, 25) == 0) {
		/* Beyond a listpack at once, or bit by bit. */
		gen_text(g, "big");
		uint32_t from = gen_below(g, 200);
		for (uint32_t n = 20 + gen_below(g, 140), i = 0; i < n; i++) {
			char name[16];
			gen_int(g, gen_below(g, 50));
			gen_bytes(g, name, (size_t)snprintf(name, sizeof name, "m%u", from + i));
		}
		gen_end(g, row);
		return;
	}
	zset_key(g);
	zadd_options(g);
	for (uint32_t n = 1 + gen_below(g, 4); n; n--) {
		score(g);
		member(g);
	}
	gen_end(g, row);
}

static void make_zadd_lex(struct gen *g, const struct gen_row *row)
{
	gen_begin(g, row);
	lex_key(g);
	uint32_t from = gen_below(g, 200), n = gen_below(g, 25) ? 1 + gen_below(g, 5) : 140;
	for (uint32_t i = 0; i < n; i++) {
		char name[16];
		gen_text(g, "0");
		gen_bytes(g, name, (size_t)snprintf(name, sizeof name, gen_chance(g, 80) ? "m%u" : "%u", from + i));
	}
	gen_end(g, row);
}

static void make_key(struct gen *g, const struct gen_row *row)
{
	gen_begin(g, row);
	zset_key(g);
	gen_end(g, row);
}

static void make_members(struct gen *g, const struct gen_row *row)
{
	bool one = !strcmp(row->name, "zscore"), rank = strstr(row->name, "rank") != NULL;
	gen_begin(g, row);
	zset_key(g);
	member(g);
	for (uint32_t n = one || rank ? 0 : gen_below(g, 4); n; n--)
		member(g);
	gen_end(g, row);
}

static void make_zincrby(struct gen *g, const struct gen_row *row)
{
	gen_begin(g, row);
	zset_key(g);
	score(g);
	member(g);
	gen_end(g, row);
}

/* A negative offset of what is stored would make the data differ from that of later servers. */
static void limit(struct gen *g, uint32_t percent, bool store)
{
	if (!gen_chance(g, percent))
		return;
	gen_word(g, "LIMIT");
	if (store)
		gen_int(g, gen_below(g, 10));
	else
		gen_small_int(g);
	gen_small_int(g);
}

static void make_rank_range(struct gen *g, const struct gen_row *row)
{
	gen_begin(g, row);
	zset_key(g);
	gen_small_int(g);
	gen_small_int(g);
	if (!strcmp(row->name, "zrevrange") && gen_chance(g, 40))
		gen_word(g, "WITHSCORES");
	gen_end(g, row);
}

static void make_score_range(struct gen *g, const struct gen_row *row)
{
	bool reads = strstr(row->name, "rangeby") != NULL && strncmp(row->name, "zrem", 4) != 0;
	gen_begin(g, row);
	zset_key(g);
	score_bound(g);
	score_bound(g);
	if (reads && gen_chance(g, 40))
		gen_word(g, "WITHSCORES");
	if (reads)
		limit(g, 30, false);
	gen_end(g, row);
}

static void make_lex_range(struct gen *g, const struct gen_row *row)
{
	bool reads = strstr(row->name, "rangeby") != NULL && strncmp(row->name, "zrem", 4) != 0;
	gen_begin(g, row);
	lex_key(g);
	lex_bound(g);
	lex_bound(g);
	if (reads)
		limit(g, 30, false);
	if (gen_below(g, 40) == 0)
		gen_word(g, "WITHSCORES");
	g->emit(g->ctx, &g->cmd);
}

static void make_zrange(struct gen *g, const struct gen_row *row)
{
	uint32_t by = gen_below(g, 3);
	bool store = !strcmp(row->name, "zrangestore");
	gen_begin(g, row);
	if (store)
		zset_key(g);
	if (by == 0) {
		zset_key(g);
		gen_small_int(g);
		gen_small_int(g);
	} else if (by == 1) {
		zset_key(g);
		score_bound(g);
		score_bound(g);
		gen_word(g, "BYSCORE");
	} else {
		lex_key(g);
		lex_bound(g);
		lex_bound(g);
		gen_word(g, "BYLEX");
	}
	if (gen_chance(g, 30))
		gen_word(g, "REV");
	limit(g, by ? 30 : 3, store);
	if (gen_chance(g, store ? 3 : 30))
		gen_word(g, "WITHSCORES");
	if (by < 2 && !store)
		gen_end(g, row);
	else
		g->emit(g->ctx, &g->cmd); /* with another source it would be undefined */
}

static void keys_counted(struct gen *g)
{
	static const char *const odd[] = { "0", "-1", "abc", "100", "9223372036854775807", "", NULL };
	uint32_t n = 1 + gen_below(g, gen_chance(g, 80) ? 3 : 6);
	if (gen_chance(g, 95))
		gen_int(g, n);
	else
		gen_text(g, gen_pick(g, odd));
	for (uint32_t i = 0; i < n; i++)
		zset_key(g);
	g->cmd.replies = 1;
}

static void make_algebra(struct gen *g, const struct gen_row *row)
{
	static const char *const how[] = { "SUM", "MIN", "MAX", "avg", NULL };
	bool store = strstr(row->name, "store"), diff = strstr(row->name, "diff"), card = strstr(row->name, "card");
	gen_begin(g, row);
	if (store)
		zset_key(g);
	size_t before = g->cmd.argc;
	keys_counted(g);
	uint32_t keys = (uint32_t)(g->cmd.argc - before - 1);
	if (gen_chance(g, diff || card ? 3 : 30)) {
		gen_word(g, "WEIGHTS");
		for (uint32_t i = 0; i < keys; i++)
			weight(g);
	}
	if (gen_chance(g, diff || card ? 3 : 40)) {
		gen_word(g, "AGGREGATE");
		gen_word(g, gen_pick(g, how));
	}
	if (gen_chance(g, card ? 40 : 1)) {
		gen_word(g, "LIMIT");
		gen_small_int(g);
	}
	if (gen_chance(g, store || card ? 3 : 50))
		gen_word(g, "WITHSCORES");
	gen_end(g, row);
}

static void make_pop(struct gen *g, const struct gen_row *row)
{
	gen_begin(g, row);
	zset_key(g);
	if (gen_chance(g, 50))
		gen_small_int(g);
	gen_end(g, row);
}

static void make_zmpop(struct gen *g, const struct gen_row *row)
{
	gen_begin(g, row);
	keys_counted(g);
	gen_word(g, gen_chance(g, 5) ? "LEFT" : gen_chance(g, 50) ? "MIN" : "MAX");
	if (gen_chance(g, 40)) {
		gen_word(g, "COUNT");
		gen_small_int(g);
	}
	gen_end(g, row);
}

static void make_random(struct gen *g, const struct gen_row *row)
{
	static const char *const refused[] = { "-9223372036854775808", "9223372036854775808", "abc", "", "1.5", NULL };
	gen_begin(g, row);
	zset_key(g);
	if (gen_chance(g, 40)) {
		gen_text(g, "100000");
		g->cmd.compare = CMP_UNORDERED;
	} else if (gen_chance(g, 20)) {
		gen_text(g, gen_pick(g, refused));
	} else if (gen_chance(g, 70)) {
		gen_int(g, (int64_t)gen_below(g, 20) - 10);
	}
	if (g->cmd.argc == 3 && gen_chance(g, 40))
		gen_word(g, "WITHSCORES");
	g->emit(g->ctx, &g->cmd);
}

static void make_zscan(struct gen *g, const struct gen_row *row)
{
	gen_begin(g, row);
	zset_key(g);
	gen_text(g, gen_chance(g, 95) ? "0" : "x");
	gen_word(g, "COUNT");
	gen_text(g, gen_chance(g, 95) ? "100000" : "0");
	if (gen_chance(g, 30)) {
		gen_word(g, "MATCH");
		gen_text(g, gen_chance(g, 50) ? "m*" : "*1*");
	}
	g->emit(g->ctx, &g->cmd);
}

/* Other types in the place of sorted sets, sets as inputs of unions, and expiry, which a STORE ends. */
static void make_other(struct gen *g, const struct gen_row *row)
{
	(void)row;
	switch (gen_below(g, 4)) {
	case 0:
		gen_line(g, gen_chance(g, 50) ? "SET z4 text" : "SET lstr text", CMP_EXACT, 1);
		break;
	case 1:
		gen_line(g, gen_chance(g, 50) ? "SADD zs0 m1 m2 3 x" : "SADD zs1 3 4 5", CMP_EXACT, 1);
		break;
	case 2:
		gen_line(g, "EXPIRE z1 100000", CMP_EXACT, 1);
		break;
	default:
		gen_line(g, "TTL z1", CMP_TIME_S, 1);
	}
}

/* GEN_TIMED: a large number in the wrong place would make scores that print differently. */
static const struct gen_row rows[] = {
	{ "zadd", make_zadd, 30, GEN_TIMED, CMP_EXACT },
	{ "zadd", make_zadd_lex, 8, GEN_FIXED, CMP_EXACT },
	{ "zcard", make_key, 3, 0, CMP_EXACT },
	{ "zcount", make_score_range, 5, 0, CMP_EXACT },
	{ "zdiff", make_algebra, 3, 0, CMP_EXACT },
	{ "zdiffstore", make_algebra, 2, GEN_TIMED, CMP_EXACT },
	{ "zincrby", make_zincrby, 5, GEN_TIMED, CMP_EXACT },
	{ "zinter", make_algebra, 4, GEN_TIMED, CMP_EXACT },
	{ "zintercard", make_algebra, 3, 0, CMP_EXACT },
	{ "zinterstore", make_algebra, 2, GEN_TIMED, CMP_EXACT },
	{ "zlexcount", make_lex_range, 4, 0, CMP_EXACT },
	{ "zmpop", make_zmpop, 3, 0, CMP_EXACT },
	{ "zmscore", make_members, 4, 0, CMP_EXACT },
	{ "zpopmax", make_pop, 3, 0, CMP_EXACT },
	{ "zpopmin", make_pop, 3, 0, CMP_EXACT },
	{ "zrandmember", make_random, 4, 0, CMP_KIND },
	{ "zrange", make_zrange, 12, 0, CMP_EXACT },
	{ "zrangebylex", make_lex_range, 4, 0, CMP_EXACT },
	{ "zrangebyscore", make_score_range, 6, 0, CMP_EXACT },
	{ "zrangestore", make_zrange, 4, 0, CMP_EXACT },
	{ "zrank", make_members, 5, 0, CMP_EXACT },
	{ "zrem", make_members, 5, 0, CMP_EXACT },
	{ "zremrangebylex", make_lex_range, 2, 0, CMP_EXACT },
	{ "zremrangebyrank", make_rank_range, 1, 0, CMP_EXACT },
	{ "zremrangebyscore", make_score_range, 1, 0, CMP_EXACT },
	{ "zrevrange", make_rank_range, 4, 0, CMP_EXACT },
	{ "zrevrangebylex", make_lex_range, 3, 0, CMP_EXACT },
	{ "zrevrangebyscore", make_score_range, 4, 0, CMP_EXACT },
	{ "zrevrank", make_members, 4, 0, CMP_EXACT },
	{ "zscan", make_zscan, 4, 0, CMP_UNORDERED },
	{ "zscore", make_members, 5, 0, CMP_EXACT },
	{ "zunion", make_algebra, 4, GEN_TIMED, CMP_EXACT },
	{ "zunionstore", make_algebra, 4, GEN_TIMED, CMP_EXACT },
	{ "object|encoding", make_key, 4, 0, CMP_EXACT },
	{ "debug|digest-value", make_key, 3, 0, CMP_EXACT },
	{ "other", make_other, 4, GEN_FIXED, CMP_EXACT },
	{ 0 },
};
const struct gen_group gen_group_zset = { "zset", rows };
