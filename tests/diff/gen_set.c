/* Sets. */
#include <stdio.h>
#include <string.h>

#include "tests/diff/gen.h"

static void set_key(struct gen *g)
{
	static const char *const keys[] = { "s0", "s1", "s2", "s3", "{s}4", "s5", NULL };
	if (gen_chance(g, 94))
		gen_text(g, gen_pick(g, keys));
	else
		gen_key(g);
}

static void member(struct gen *g, uint32_t kind)
{
	char name[24];
	uint32_t r = gen_below(g, 100);
	if (kind == 0 || r < 40)
		gen_int(g, (int64_t)gen_below(g, r < 80 ? 40 : 2000) - 20);
	else if (r < 85)
		gen_bytes(g, name, (size_t)snprintf(name, sizeof name, "m%u", gen_below(g, 30)));
	else if (r < 94)
		gen_any_int(g);
	else
		gen_value(g);
}

static void make_add(struct gen *g, const struct gen_row *row)
{
	uint32_t kind = gen_below(g, 3), n = 1 + gen_below(g, gen_chance(g, 6) ? 300 : 5);
	gen_begin(g, row);
	set_key(g);
	while (n--)
		member(g, kind);
	gen_end(g, row);
}

static void make_members(struct gen *g, const struct gen_row *row)
{
	gen_begin(g, row);
	set_key(g);
	for (uint32_t n = 1 + gen_below(g, 6); n; n--)
		member(g, 1);
	gen_end(g, row);
}

static void make_member(struct gen *g, const struct gen_row *row)
{
	gen_begin(g, row);
	set_key(g);
	member(g, 1);
	gen_end(g, row);
}

static void make_key(struct gen *g, const struct gen_row *row)
{
	gen_begin(g, row);
	set_key(g);
	gen_end(g, row);
}

static void make_move(struct gen *g, const struct gen_row *row)
{
	gen_begin(g, row);
	set_key(g);
	set_key(g);
	member(g, 1);
	gen_end(g, row);
}

static void make_algebra(struct gen *g, const struct gen_row *row)
{
	gen_begin(g, row);
	if (strstr(row->name, "store"))
		set_key(g);
	for (uint32_t n = 1 + gen_below(g, gen_chance(g, 5) ? 20 : 3); n; n--)
		set_key(g);
	gen_end(g, row);
}

static void make_card(struct gen *g, const struct gen_row *row)
{
	uint32_t n = 1 + gen_below(g, 3);
	gen_begin(g, row);
	if (gen_chance(g, 95))
		gen_int(g, n);
	else
		gen_any_int(g);
	while (n--)
		set_key(g);
	if (gen_chance(g, 40)) {
		gen_word(g, gen_chance(g, 95) ? "LIMIT" : "LIMITS");
		if (gen_chance(g, 90))
			gen_int(g, gen_below(g, 10));
		else
			gen_any_int(g);
	}
	gen_end(g, row);
}

/* What is popped differs, so what is left goes too, when it has been counted. */
static void make_pop(struct gen *g, const struct gen_row *row)
{
	static const char *const counts[] = { "0", "1", "2", "7", "100", "-1", "x", "", "9223372036854775807",
		                              "9223372036854775808", NULL };
	static const char *const keys[] = { "s0", "s1", "s2", "s3", "{s}4", "s5", NULL };
	const char *key = gen_pick(g, keys);
	gen_begin(g, row);
	gen_text(g, key);
	if (gen_chance(g, 60))
		gen_text(g, gen_pick(g, counts));
	if (gen_chance(g, 3))
		gen_text(g, "1");
	g->emit(g->ctx, &g->cmd);
	gen_begin_line(g, "SCARD", CMP_EXACT);
	gen_text(g, key);
	g->emit(g->ctx, &g->cmd);
	gen_begin_line(g, "DEL", CMP_EXACT);
	gen_text(g, key);
	g->emit(g->ctx, &g->cmd);
}

static void make_pop_all(struct gen *g, const struct gen_row *row)
{
	gen_begin(g, row);
	set_key(g);
	gen_text(g, "1000000");
	g->emit(g->ctx, &g->cmd);
}

/* Only how many there are can be compared, or all of them. Counts never ask for more than a server can answer. */
static void make_random(struct gen *g, const struct gen_row *row)
{
	static const char *const counts[] = { "0", "-0", "1", "-1", "-7", "x", "", "-9223372036854775808",
		                              "9223372036854775808", NULL };
	gen_begin(g, row);
	set_key(g);
	if (gen_chance(g, 80))
		gen_text(g, gen_pick(g, counts));
	if (gen_chance(g, 4))
		gen_text(g, "1");
	gen_end(g, row);
}

static void make_random_all(struct gen *g, const struct gen_row *row)
{
	gen_begin(g, row);
	set_key(g);
	gen_text(g, gen_chance(g, 50) ? "1000000" : "9223372036854775807");
	gen_end(g, row);
}

static void make_scan(struct gen *g, const struct gen_row *row)
{
	static const char *const patterns[] = { "*", "m*", "m[0-4]", "?", "none", "*1*", "[", NULL };
	gen_begin(g, row);
	set_key(g);
	gen_scan_all(g, patterns);
	gen_end(g, row);
}

/* Never more strings than integers, or the order in which a table is walked would decide what a union becomes. */
static void make_limits(struct gen *g, const struct gen_row *row)
{
	static const char *const lines[] = {
		"CONFIG SET set-max-intset-entries 128", "CONFIG SET set-max-intset-entries 512",
		"CONFIG SET set-max-listpack-entries 8",
		"CONFIG SET set-max-listpack-entries 128", "CONFIG SET set-max-listpack-entries 0",
		"CONFIG SET set-max-listpack-value 4", "CONFIG SET set-max-listpack-value 64", "DEL s0", "DEL s1 s2", "DEL s3 s5", NULL,
	};
	(void)row;
	gen_line(g, gen_pick(g, lines), CMP_EXACT, 1);
}

static const struct gen_row rows[] = {
	{ "config|set", make_limits, 2, 0, CMP_EXACT },
	{ "object|encoding", make_key, 5, 0, CMP_EXACT },
	{ "sadd", make_add, 14, 0, CMP_EXACT },
	{ "scard", make_key, 3, 0, CMP_EXACT },
	{ "sdiff", make_algebra, 4, 0, CMP_UNORDERED },
	{ "sdiffstore", make_algebra, 4, 0, CMP_EXACT },
	{ "sinter", make_algebra, 4, 0, CMP_UNORDERED },
	{ "sintercard", make_card, 3, 0, CMP_EXACT },
	{ "sinterstore", make_algebra, 4, 0, CMP_EXACT },
	{ "sismember", make_member, 4, 0, CMP_EXACT },
	{ "smembers", make_key, 4, 0, CMP_UNORDERED },
	{ "smismember", make_members, 3, 0, CMP_EXACT },
	{ "smove", make_move, 5, 0, CMP_EXACT },
	{ "spop", make_pop, 2, GEN_FIXED, CMP_KIND },
	{ "spop", make_pop_all, 1, GEN_FIXED, CMP_UNORDERED },
	{ "srandmember", make_random, 3, GEN_TIMED, CMP_KIND },
	{ "srandmember", make_random_all, 3, GEN_FIXED, CMP_UNORDERED },
	{ "srem", make_members, 7, 0, CMP_EXACT },
	{ "sscan", make_scan, 4, GEN_TIMED, CMP_UNORDERED },
	{ "sunion", make_algebra, 4, 0, CMP_UNORDERED },
	{ "sunionstore", make_algebra, 4, 0, CMP_EXACT },
	{ 0 },
};
const struct gen_group gen_group_set = { "set", rows };
