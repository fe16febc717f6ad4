/* Lists. */
#include "tests/diff/gen.h"

static void list_key(struct gen *g)
{
	static const char *const keys[] = { "l0", "l1", "l2", "l3", "l4", "{l}5", NULL };
	if (gen_chance(g, 92))
		gen_text(g, gen_pick(g, keys));
	else
		gen_key(g);
}

/* Few different ones, so that there is something to be found. */
static void element(struct gen *g)
{
	static const char *const words[] = { "a", "b", "c", "0", "1", "-1", "127", "128", "4096", "70000", "", "abc", NULL };
	if (gen_chance(g, 80))
		gen_text(g, gen_pick(g, words));
	else
		gen_value(g);
}

/* Within int: Valkey cuts off the index into a listpack. */
static void list_index(struct gen *g)
{
	static const char *const odd[] = {
		"2147483647", "-2147483648", "-0", "", "abc", "1.5", "9223372036854775808", "01", " 1", "100", "-100", NULL,
	};
	if (gen_chance(g, 90))
		gen_int(g, (int64_t)gen_below(g, 60) - 30);
	else
		gen_text(g, gen_pick(g, odd));
}

static void side(struct gen *g)
{
	gen_word(g, gen_chance(g, 2) ? "MIDDLE" : gen_chance(g, 50) ? "LEFT" : "RIGHT");
}

static void make_push(struct gen *g, const struct gen_row *row)
{
	gen_begin(g, row);
	list_key(g);
	uint32_t n = 1 + gen_below(g, gen_chance(g, 4) ? 150 : 4);
	for (uint32_t i = 0; i < n; i++)
		element(g);
	gen_end(g, row);
}

static void make_pop(struct gen *g, const struct gen_row *row)
{
	gen_begin(g, row);
	list_key(g);
	if (gen_chance(g, 30)) {
		if (gen_chance(g, 90))
			gen_int(g, gen_below(g, 8));
		else
			gen_any_int(g);
	}
	gen_end(g, row);
}

static void make_key(struct gen *g, const struct gen_row *row)
{
	gen_begin(g, row);
	list_key(g);
	gen_end(g, row);
}

static void make_lindex(struct gen *g, const struct gen_row *row)
{
	gen_begin(g, row);
	list_key(g);
	list_index(g);
	gen_end(g, row);
}

static void make_range(struct gen *g, const struct gen_row *row)
{
	gen_begin(g, row);
	list_key(g);
	if (row->name[1] == 't' && gen_chance(g, 60)) {
		/* Trimmed by little, or lists would stay short. */
		gen_int(g, gen_below(g, 4));
		gen_int(g, -(int64_t)gen_below(g, 4));
	} else {
		list_index(g);
		list_index(g);
	}
	gen_end(g, row);
}

static void make_linsert(struct gen *g, const struct gen_row *row)
{
	gen_begin(g, row);
	list_key(g);
	gen_word(g, gen_chance(g, 3) ? "BETWEEN" : gen_chance(g, 50) ? "BEFORE" : "AFTER");
	element(g);
	element(g);
	gen_end(g, row);
}

static void make_lset(struct gen *g, const struct gen_row *row)
{
	gen_begin(g, row);
	list_key(g);
	list_index(g);
	element(g);
	gen_end(g, row);
}

static void make_lrem(struct gen *g, const struct gen_row *row)
{
	gen_begin(g, row);
	list_key(g);
	if (gen_chance(g, 90))
		gen_int(g, (int64_t)gen_below(g, 7) - 3);
	else
		list_index(g);
	element(g);
	gen_end(g, row);
}

static void make_lpos(struct gen *g, const struct gen_row *row)
{
	static const char *const options[] = { "RANK", "COUNT", "MAXLEN", "RANK", "COUNT", "OTHER", NULL };
	gen_begin(g, row);
	list_key(g);
	element(g);
	for (uint32_t n = gen_below(g, 4); n; n--) {
		const char *option = gen_pick(g, gen_chance(g, 97) ? options : options + 3);
		gen_word(g, option);
		if (gen_chance(g, 85))
			gen_int(g, (int64_t)gen_below(g, 8) - (*option == 'R' ? 4 : 0));
		else
			gen_any_int(g);
	}
	gen_end(g, row);
}

static void make_lmove(struct gen *g, const struct gen_row *row)
{
	gen_begin(g, row);
	list_key(g);
	list_key(g);
	side(g);
	side(g);
	gen_end(g, row);
}

static void make_rpoplpush(struct gen *g, const struct gen_row *row)
{
	gen_begin(g, row);
	list_key(g);
	list_key(g);
	gen_end(g, row);
}

static void make_lmpop(struct gen *g, const struct gen_row *row)
{
	uint32_t n = 1 + gen_below(g, 4);
	gen_begin(g, row);
	if (gen_chance(g, 95))
		gen_int(g, n);
	else
		gen_any_int(g);
	while (n--)
		list_key(g);
	side(g);
	if (gen_chance(g, 40)) {
		gen_word(g, "COUNT");
		if (gen_chance(g, 90))
			gen_int(g, 1 + gen_below(g, 5));
		else
			gen_any_int(g);
	}
	gen_end(g, row);
}

/* Another limit or depth, for what comes then. */
static void make_limits(struct gen *g, const struct gen_row *row)
{
	static const char *const lines[] = {
		"CONFIG SET list-max-listpack-size -2", "CONFIG SET list-max-listpack-size 4", "CONFIG SET list-max-listpack-size 16",
		"CONFIG SET list-max-listpack-size -1", "CONFIG SET list-max-listpack-size 1", "CONFIG SET list-max-listpack-size 0",
		"CONFIG SET list-compress-depth 0", "CONFIG SET list-compress-depth 1", "CONFIG SET list-compress-depth 2",
		"DEL l0", "DEL l1 l2", NULL,
	};
	(void)row;
	gen_line(g, gen_pick(g, lines), CMP_EXACT, 1);
}

static const struct gen_row rows[] = {
	{ "config|set", make_limits, 2, 0, CMP_EXACT },
	{ "lindex", make_lindex, 5, GEN_TIMED, CMP_EXACT },
	{ "linsert", make_linsert, 6, 0, CMP_EXACT },
	{ "llen", make_key, 3, 0, CMP_EXACT },
	{ "lmove", make_lmove, 6, 0, CMP_EXACT },
	{ "lmpop", make_lmpop, 4, 0, CMP_EXACT },
	{ "lpop", make_pop, 4, 0, CMP_EXACT },
	{ "lpos", make_lpos, 5, 0, CMP_EXACT },
	{ "lpush", make_push, 8, 0, CMP_EXACT },
	{ "lpushx", make_push, 4, 0, CMP_EXACT },
	{ "lrange", make_range, 8, 0, CMP_EXACT },
	{ "lrem", make_lrem, 5, GEN_TIMED, CMP_EXACT },
	{ "lset", make_lset, 6, GEN_TIMED, CMP_EXACT },
	{ "ltrim", make_range, 2, 0, CMP_EXACT },
	{ "object|encoding", make_key, 4, 0, CMP_EXACT },
	{ "rpop", make_pop, 4, 0, CMP_EXACT },
	{ "rpoplpush", make_rpoplpush, 4, 0, CMP_EXACT },
	{ "rpush", make_push, 8, 0, CMP_EXACT },
	{ "rpushx", make_push, 4, 0, CMP_EXACT },
	{ 0 },
};
const struct gen_group gen_group_list = { "list", rows };
