/* Commands that wait, where one client is enough: they find something, are refused, or their time is over soon. What many
 * clients do to each other is schedule.c. */
#include "tests/diff/gen.h"

static void list_key(struct gen *g)
{
	static const char *const keys[] = { "l0", "l1", "l2", "l3", "l4", "z0", "nothing", NULL };
	gen_text(g, gen_pick(g, keys));
}

static void zset_key(struct gen *g)
{
	static const char *const keys[] = { "z0", "z1", "z2", "l0", "nothing", NULL };
	gen_text(g, gen_pick(g, keys));
}

/* Never long. */
static void timeout(struct gen *g)
{
	static const char *const some[] = { "0.001", "1e-3", ".001", "-1", "x", "", "nan", "inf", "1e300", "-0.5", NULL };
	gen_text(g, gen_chance(g, 80) ? "0.001" : gen_pick(g, some));
}

static void side(struct gen *g)
{
	gen_word(g, gen_chance(g, 3) ? "MIDDLE" : gen_chance(g, 50) ? "LEFT" : "RIGHT");
}

static void make_fill(struct gen *g, const struct gen_row *row)
{
	gen_begin_line(g, gen_chance(g, 60) ? "RPUSH" : "ZADD", row->compare);
	if (g->cmd.argv[0].ptr[0] == 'R') {
		list_key(g);
		for (uint32_t n = 1 + gen_below(g, 3); n; n--)
			gen_int(g, gen_below(g, 100));
	} else {
		zset_key(g);
		for (uint32_t n = 1 + gen_below(g, 3); n; n--) {
			gen_int(g, gen_below(g, 10));
			gen_int(g, gen_below(g, 100));
		}
	}
	gen_end(g, row);
}

static void make_pop(struct gen *g, const struct gen_row *row)
{
	gen_begin(g, row);
	for (uint32_t n = 1 + gen_below(g, 3); n; n--)
		(row->name[1] == 'z' ? zset_key : list_key)(g);
	timeout(g);
	gen_end(g, row);
}

static void make_move(struct gen *g, const struct gen_row *row)
{
	gen_begin(g, row);
	list_key(g);
	list_key(g);
	if (row->name[1] == 'l') {
		side(g);
		side(g);
	}
	timeout(g);
	gen_end(g, row);
}

static void make_pop_of_many(struct gen *g, const struct gen_row *row)
{
	bool zset = row->name[1] == 'z';
	uint32_t n = 1 + gen_below(g, 3);
	gen_begin(g, row);
	timeout(g);
	gen_int(g, gen_chance(g, 95) ? n : gen_below(g, 6));
	for (; n; n--)
		(zset ? zset_key : list_key)(g);
	if (zset)
		gen_word(g, gen_chance(g, 50) ? "MIN" : "MAX");
	else
		side(g);
	if (gen_chance(g, 40)) {
		gen_word(g, "COUNT");
		gen_int(g, gen_below(g, 5));
	}
	gen_end(g, row);
}

static void make_line(struct gen *g, const struct gen_row *row)
{
	static const char *const lines[] = {
		"WAIT 0 0", "WAIT 1 1", "WAIT x 1", "WAIT 1 x", "WAIT 1 -1", "WAIT -1 1", "WAITAOF 0 0 0", "CLIENT UNBLOCK 99999999",
		"CLIENT UNBLOCK x", "CLIENT UNBLOCK 99999999 FOO", "CLIENT UNBLOCK 99999999 ERROR",
		"CLIENT UNBLOCK 99999999 timeout", NULL,
	};
	gen_line(g, gen_pick(g, lines), row->compare, 1);
}

static void make_stream(struct gen *g, const struct gen_row *row)
{
	static const char *const lines[] = {
		"XREAD BLOCK 1 STREAMS bs $", "XREAD BLOCK 1 COUNT 2 STREAMS bs 5-0", "XREAD BLOCK 1 STREAMS bs nothing 9-0 0",
		"XREADGROUP GROUP bg c BLOCK 1 STREAMS bs >", "XREADGROUP GROUP bg d COUNT 1 BLOCK 1 STREAMS bs >",
		"XREADGROUP GROUP bg d BLOCK 1 STREAMS bs 0", "XGROUP CREATE bs bg 0 MKSTREAM", "XREAD BLOCK -1 STREAMS bs 0",
		"XREAD BLOCK x STREAMS bs 0", NULL,
	};
	if (gen_chance(g, 20))
		gen_line(g, "DEL bs", row->compare, 1);
	gen_begin_line(g, "XADD bs", row->compare);
	gen_int(g, 1 + gen_below(g, 12));
	gen_text(g, "f");
	gen_text(g, "v");
	gen_end(g, row);
	gen_line(g, gen_pick(g, lines), row->compare, 1);
}

/* Inside a transaction nobody waits. */
static void make_transaction(struct gen *g, const struct gen_row *row)
{
	static const char *const lines[] = {
		"BLPOP l0 nothing 0", "BRPOP l1 0", "BLMOVE l2 l3 LEFT RIGHT 0", "BRPOPLPUSH l3 l4 0", "BLMPOP 0 1 l0 LEFT",
		"BZPOPMIN z0 0", "BZPOPMAX z1 0", "BZMPOP 0 2 z1 z2 MIN", "WAIT 1 0", "RPUSH l0 x", "ZADD z0 1 y", NULL,
	};
	gen_line(g, "MULTI", row->compare, 1);
	for (uint32_t n = 1 + gen_below(g, 5); n; n--)
		gen_line(g, gen_pick(g, lines), row->compare, 1);
	gen_line(g, "EXEC", row->compare, 1);
}

static const struct gen_row rows[] = {
	{ "rpush", make_fill, 5, GEN_FIXED, CMP_EXACT },
	{ "blpop", make_pop, 1, GEN_FIXED, CMP_EXACT },
	{ "brpop", make_pop, 1, GEN_FIXED, CMP_EXACT },
	{ "bzpopmin", make_pop, 1, GEN_FIXED, CMP_EXACT },
	{ "bzpopmax", make_pop, 1, GEN_FIXED, CMP_EXACT },
	{ "blmove", make_move, 1, GEN_FIXED, CMP_EXACT },
	{ "brpoplpush", make_move, 1, GEN_FIXED, CMP_EXACT },
	{ "blmpop", make_pop_of_many, 1, GEN_FIXED, CMP_EXACT },
	{ "bzmpop", make_pop_of_many, 1, GEN_FIXED, CMP_EXACT },
	{ "wait", make_line, 1, GEN_FIXED, CMP_EXACT },
	{ "xread", make_stream, 1, GEN_FIXED, CMP_EXACT },
	{ "multi", make_transaction, 1, GEN_FIXED, CMP_EXACT },
	{ 0 },
};
const struct gen_group gen_group_block = { "block", rows };
