/* Strings. */
#include "tests/diff/gen.h"

static void make_key_only(struct gen *g, const struct gen_row *row)
{
	gen_begin(g, row);
	gen_key(g);
	gen_end(g, row);
}

static void make_key_value(struct gen *g, const struct gen_row *row)
{
	gen_begin(g, row);
	gen_key(g);
	gen_value(g);
	gen_end(g, row);
}

static void make_key_int(struct gen *g, const struct gen_row *row)
{
	gen_begin(g, row);
	gen_key(g);
	gen_any_int(g);
	gen_end(g, row);
}

static void make_key_float(struct gen *g, const struct gen_row *row)
{
	gen_begin(g, row);
	gen_key(g);
	gen_float(g);
	gen_end(g, row);
}

static void make_key_range(struct gen *g, const struct gen_row *row)
{
	gen_begin(g, row);
	gen_key(g);
	gen_small_int(g);
	gen_small_int(g);
	gen_end(g, row);
}

/* past: absolute times may be over, which is left out where the key would stay until somebody looks at it. */
static void expiry_option(struct gen *g, bool past)
{
	if (!past && gen_chance(g, 30)) {
		bool ms = gen_chance(g, 50);
		gen_word(g, ms ? "PXAT" : "EXAT");
		gen_int(g, (4102444800 + (int64_t)gen_below(g, 1000)) * (ms ? 1000 : 1));
		return;
	}
	switch (gen_below(g, past ? 4 : 2)) {
	case 0:
		gen_word(g, "EX");
		gen_ttl(g, 1);
		break;
	case 1:
		gen_word(g, "PX");
		gen_ttl(g, 1000);
		break;
	case 2:
		gen_word(g, "EXAT");
		gen_time(g, 1);
		break;
	default:
		gen_word(g, "PXAT");
		gen_time(g, 1000);
	}
}

static void make_set(struct gen *g, const struct gen_row *row)
{
	gen_begin(g, row);
	gen_key(g);
	gen_value(g);
	/* Any options in any order, also those that exclude one another. */
	for (uint32_t n = gen_chance(g, 50) ? gen_below(g, 4) : 0; n; n--) {
		switch (gen_below(g, 6)) {
		case 0: gen_word(g, "NX"); break;
		case 1: gen_word(g, "XX"); break;
		case 2: gen_word(g, "GET"); break;
		case 3: gen_word(g, "KEEPTTL"); break;
		default: expiry_option(g, false);
		}
	}
	gen_end(g, row);
	if (gen_below(g, 40) == 0) {
		gen_line(g, gen_chance(g, 50) ? "SET k3 v EXAT 1000" : "SET k3 v GET PXAT 1", CMP_EXACT, 1);
		gen_line(g, "EXISTS k3", CMP_EXACT, 1);
	}
}

static void make_getex(struct gen *g, const struct gen_row *row)
{
	gen_begin(g, row);
	gen_key(g);
	for (uint32_t n = gen_below(g, 10) == 0 ? 2 : gen_below(g, 2); n; n--) {
		if (gen_chance(g, 25))
			gen_word(g, gen_chance(g, 90) ? "PERSIST" : "KEEPTTL");
		else
			expiry_option(g, true);
	}
	gen_end(g, row);
}

static void make_setex(struct gen *g, const struct gen_row *row)
{
	gen_begin(g, row);
	gen_key(g);
	gen_ttl(g, row->name[0] == 'p' ? 1000 : 1);
	gen_value(g);
	gen_end(g, row);
}

static void make_setrange(struct gen *g, const struct gen_row *row)
{
	/* Nothing between what is cheap and what is refused: half a gigabyte of zeros helps nobody. */
	static const char *const offsets[] = {
		"0", "1", "2", "10", "43", "44", "45", "100", "1000", "32767", "32768", "-1", "-0", "536870912", "536870913",
		"4294967296", "9223372036854775807", "-9223372036854775808", "9223372036854775808", "abc", "", NULL,
	};
	gen_begin(g, row);
	gen_key(g);
	gen_text(g, gen_pick(g, offsets));
	if (gen_chance(g, 10))
		gen_text(g, "");
	else
		gen_small_value(g);
	gen_end(g, row);
}

static void make_mget(struct gen *g, const struct gen_row *row)
{
	gen_begin(g, row);
	for (uint32_t n = 1 + gen_below(g, gen_chance(g, 5) ? 60 : 5); n; n--)
		gen_key(g);
	gen_end(g, row);
}

static void make_mset(struct gen *g, const struct gen_row *row)
{
	gen_begin(g, row);
	for (uint32_t n = 1 + gen_below(g, gen_chance(g, 5) ? 60 : 4); n; n--) {
		gen_key(g);
		gen_small_value(g);
	}
	gen_end(g, row);
}

/* Keys of its own, whose values are short: the work grows with the product of the lengths. */
static void make_lcs(struct gen *g, const struct gen_row *row)
{
	static const char *const keys[] = { "lcs0", "lcs1", "lcs2", "lcs3", "lcs4", NULL };
	if (gen_chance(g, 50)) {
		char value[40];
		size_t n = gen_below(g, sizeof value);
		for (size_t i = 0; i < n; i++)
			value[i] = (char)('a' + gen_below(g, 3));
		gen_begin_line(g, "SET", CMP_EXACT);
		gen_text(g, gen_pick(g, keys));
		gen_bytes(g, value, n);
		g->emit(g->ctx, &g->cmd);
	}
	gen_begin(g, row);
	gen_text(g, gen_pick(g, keys));
	gen_text(g, gen_pick(g, keys));
	for (uint32_t n = gen_below(g, 4); n; n--) {
		switch (gen_below(g, 5)) {
		case 0: gen_word(g, "LEN"); break;
		case 1:
		case 2: gen_word(g, "IDX"); break;
		case 3: gen_word(g, "WITHMATCHLEN"); break;
		default:
			gen_word(g, "MINMATCHLEN");
			gen_small_int(g);
		}
	}
	gen_end(g, row);
}

static const struct gen_row rows[] = {
	{ "append", make_key_value, 6, 0, CMP_EXACT },
	{ "decr", make_key_only, 4, 0, CMP_EXACT },
	{ "decrby", make_key_int, 4, 0, CMP_EXACT },
	{ "get", make_key_only, 12, 0, CMP_EXACT },
	{ "getdel", make_key_only, 3, 0, CMP_EXACT },
	{ "getex", make_getex, 6, GEN_TIMED, CMP_EXACT },
	{ "getrange", make_key_range, 6, 0, CMP_EXACT },
	{ "getset", make_key_value, 4, 0, CMP_EXACT },
	{ "incr", make_key_only, 4, 0, CMP_EXACT },
	{ "incrby", make_key_int, 5, 0, CMP_EXACT },
	{ "incrbyfloat", make_key_float, 6, 0, CMP_EXACT },
	{ "lcs", make_lcs, 4, 0, CMP_EXACT },
	{ "mget", make_mget, 5, 0, CMP_EXACT },
	{ "mset", make_mset, 5, 0, CMP_EXACT },
	{ "msetnx", make_mset, 3, 0, CMP_EXACT },
	{ "psetex", make_setex, 3, GEN_TIMED, CMP_EXACT },
	{ "set", make_set, 20, GEN_TIMED, CMP_EXACT },
	{ "setex", make_setex, 3, GEN_TIMED, CMP_EXACT },
	{ "setnx", make_key_value, 4, 0, CMP_EXACT },
	{ "setrange", make_setrange, 5, GEN_TIMED, CMP_EXACT },
	{ "strlen", make_key_only, 4, 0, CMP_EXACT },
	{ "substr", make_key_range, 2, 0, CMP_EXACT },
	{ 0 },
};
const struct gen_group gen_group_string = { "string", rows };
