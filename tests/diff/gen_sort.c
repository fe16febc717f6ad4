/* SORT and SORT_RO over lists, sets and sorted sets of numbers and words, with keys that patterns find. */
#include <stdio.h>

#include "tests/diff/gen.h"

static void sort_key(struct gen *g)
{
	static const char *const keys[] = { "sl0", "sl1", "ss0", "sz0", "sort-none", "sd", NULL };
	if (gen_chance(g, 95))
		gen_text(g, gen_pick(g, keys));
	else
		gen_key(g);
}

static void pattern(struct gen *g)
{
	static const char *const patterns[] = { "w*", "w*", "o*", "wh*->f", "wh*->none", "nosort", "#", "*", "w*->", "->*", "x*y*", "",
		                                NULL };
	gen_text(g, gen_pick(g, patterns));
}

/* Equal strings have no order among themselves, so ALPHA never meets BY. */
static void options(struct gen *g, bool store)
{
	static const char *const by[] = { "w*", "w*", "wh*->f", "nosort", "o*", NULL };
	bool alpha = gen_chance(g, 50);
	if (alpha && gen_chance(g, 80))
		gen_word(g, "ALPHA");
	while (gen_chance(g, 60)) {
		switch (gen_below(g, store ? 6 : 5)) {
		case 0:
			gen_word(g, gen_chance(g, 50) ? "DESC" : "ASC");
			break;
		case 1:
			gen_word(g, "LIMIT");
			gen_small_int(g);
			gen_small_int(g);
			break;
		case 2:
			if (!alpha) {
				gen_word(g, "BY");
				gen_text(g, gen_pick(g, by));
			}
			break;
		case 3:
		case 4:
			gen_word(g, "GET");
			pattern(g);
			break;
		default:
			gen_word(g, "STORE");
			gen_text(g, gen_chance(g, 90) ? "sd" : "sl1");
		}
	}
}

static void make_sort(struct gen *g, const struct gen_row *row)
{
	/* Redis takes an errno of an earlier command for one of this; what reads a float clears it. */
	gen_line(g, "INCRBYFLOAT errno 0", CMP_EXACT, 1);
	gen_begin(g, row);
	sort_key(g);
	options(g, row->name[4] == 0);
	gen_end(g, row);
}

static void make_fill(struct gen *g, const struct gen_row *row)
{
	static const char *const lines[] = {
		"RPUSH sl0 3 1 2 10 9", "RPUSH sl1 b a c 1", "SADD ss0 3 1 2", "SADD ss0 a b", "ZADD sz0 1 5 2 4 3 3 4 x",
		"MSET w1 30 w2 10 w3 20 wa 5 wb 1", "MSET o1 one o2 two o3 three", "HSET wh1 f 3", "HSET wh2 f 1 g x", "DEL sl0 sl1",
		"DEL ss0 sz0", "SET w2 word", "DEL w1 w2", "RPUSH sl0 1.5 -2 1e3 inf 0x10", "DEL wh1", NULL,
	};
	(void)row;
	gen_line(g, gen_pick(g, lines), CMP_EXACT, 1);
}

static const struct gen_row rows[] = {
	{ "del", make_fill, 12, 0, CMP_EXACT },
	{ "sort", make_sort, 12, GEN_FIXED, CMP_UNORDERED },
	{ "sort_ro", make_sort, 6, GEN_FIXED, CMP_UNORDERED },
	{ 0 },
};

const struct gen_group gen_group_sort = { "sort", rows };
