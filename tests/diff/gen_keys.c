/* Keys of any type, their expiry, and iteration. */
#include "tests/diff/gen.h"

static void make_keys(struct gen *g, const struct gen_row *row)
{
	gen_begin(g, row);
	for (uint32_t n = 1 + gen_below(g, gen_chance(g, 5) ? 40 : 3); n; n--)
		gen_key(g);
	gen_end(g, row);
}

static void make_two_keys(struct gen *g, const struct gen_row *row)
{
	gen_begin(g, row);
	gen_key(g);
	gen_key(g);
	gen_end(g, row);
}

static void make_copy(struct gen *g, const struct gen_row *row)
{
	gen_begin(g, row);
	gen_key(g);
	gen_key(g);
	for (uint32_t n = gen_below(g, 3); n; n--) {
		if (gen_chance(g, 50)) {
			gen_word(g, "DB");
			gen_db(g);
		} else {
			gen_word(g, "REPLACE");
		}
	}
	gen_end(g, row);
}

static void make_move(struct gen *g, const struct gen_row *row)
{
	gen_begin(g, row);
	gen_key(g);
	gen_db(g);
	gen_end(g, row);
}

static void make_pattern(struct gen *g, const struct gen_row *row)
{
	gen_begin(g, row);
	gen_pattern(g);
	gen_end(g, row);
}

/* Something of each other type, for commands to stumble over. */
static void make_type(struct gen *g, const struct gen_row *row)
{
	static const char *const makers[] = {
		"RPUSH a-list a b c", "SADD a-set a b 1", "HSET a-hash f v g w", "ZADD a-zset 1 a 2 b", "XADD a-stream 1-1 f v", NULL,
	};
	if (g->types)
		gen_line(g, gen_pick(g, makers), CMP_EXACT, 1);
	gen_one_key(g, row);
}

static const struct gen_row key_rows[] = {
	{ "copy", make_copy, 5, 0, CMP_EXACT },
	{ "del", make_keys, 6, 0, CMP_EXACT },
	{ "exists", make_keys, 4, 0, CMP_EXACT },
	{ "keys", make_pattern, 2, 0, CMP_UNORDERED },
	{ "move", make_move, 3, 0, CMP_EXACT },
	{ "object|encoding", gen_one_key, 6, 0, CMP_EXACT },
	{ "object|freq", gen_one_key, 1, 0, CMP_EXACT },
	{ "object|idletime", gen_one_key, 1, 0, CMP_KIND },
	{ "object|refcount", gen_one_key, 1, 0, CMP_KIND },
	{ "randomkey", gen_alone, 1, 0, CMP_KIND },
	{ "rename", make_two_keys, 3, 0, CMP_EXACT },
	{ "renamenx", make_two_keys, 3, 0, CMP_EXACT },
	{ "touch", make_keys, 2, 0, CMP_EXACT },
	{ "type", make_type, 3, 0, CMP_EXACT },
	{ "unlink", make_keys, 3, 0, CMP_EXACT },
	{ 0 },
};
const struct gen_group gen_group_keys = { "keys", key_rows };

static void condition(struct gen *g)
{
	static const char *const words[] = { "NX", "XX", "GT", "LT", NULL };
	for (uint32_t n = gen_chance(g, 50) ? gen_below(g, 3) : 0; n; n--)
		gen_word(g, gen_pick(g, words));
}

static void make_expire(struct gen *g, const struct gen_row *row)
{
	gen_begin(g, row);
	gen_key(g);
	gen_ttl(g, row->name[0] == 'p' ? 1000 : 1);
	condition(g);
	gen_end(g, row);
}

static void make_expireat(struct gen *g, const struct gen_row *row)
{
	gen_begin(g, row);
	gen_key(g);
	gen_time(g, row->name[0] == 'p' ? 1000 : 1);
	condition(g);
	gen_end(g, row);
}

static const struct gen_row expire_rows[] = {
	{ "expire", make_expire, 6, GEN_TIMED, CMP_EXACT },
	{ "expireat", make_expireat, 4, GEN_TIMED, CMP_EXACT },
	{ "expiretime", gen_one_key, 3, 0, CMP_TIME_S },
	{ "persist", gen_one_key, 4, 0, CMP_EXACT },
	{ "pexpire", make_expire, 4, GEN_TIMED, CMP_EXACT },
	{ "pexpireat", make_expireat, 4, GEN_TIMED, CMP_EXACT },
	{ "pexpiretime", gen_one_key, 3, 0, CMP_TIME_MS },
	{ "pttl", gen_one_key, 3, 0, CMP_TIME_MS },
	{ "ttl", gen_one_key, 3, 0, CMP_TIME_S },
	{ 0 },
};
const struct gen_group gen_group_expire = { "expire", expire_rows };

static void scan_options(struct gen *g, bool good)
{
	static const char *const types[] = { "string", "list", "set", "zset", "hash", "stream", "STRING", "nothing", NULL };
	static const char *const counts[] = { "1", "2", "5", "10", "100", "1000000", "9223372036854775807", NULL };
	for (uint32_t n = gen_below(g, 4); n; n--) {
		switch (gen_below(g, 3)) {
		case 0:
			gen_word(g, "MATCH");
			gen_pattern(g);
			break;
		case 1:
			gen_word(g, "COUNT");
			if (good)
				gen_text(g, gen_pick(g, counts));
			else
				gen_any_int(g);
			break;
		default:
			gen_word(g, "TYPE");
			gen_text(g, gen_pick(g, types));
		}
	}
}

/* A whole iteration: see compare_scan(). */
static void make_scan(struct gen *g, const struct gen_row *row)
{
	gen_begin_line(g, "SCAN 0", CMP_SCAN);
	scan_options(g, true);
	g->emit(g->ctx, &g->cmd);
	(void)row;
}

/* One call that is refused, or whose cursor is odd. */
static void make_bad_scan(struct gen *g, const struct gen_row *row)
{
	static const char *const cursors[] = { "abc", "", "-1", "18446744073709551616", "1.5", " 0", "0 ", NULL };
	static const char *const tails[] = { "COUNT 0", "COUNT -1", "COUNT abc", "COUNT", "MATCH", "TYPE", "NOTHING 1", NULL };
	gen_begin(g, row);
	if (gen_chance(g, 50)) {
		gen_text(g, gen_pick(g, cursors));
		scan_options(g, false);
	} else {
		char line[64];
		const char *tail = gen_pick(g, tails);
		size_t n = 0;
		for (const char *s = "SCAN 0 "; *s; s++)
			line[n++] = *s;
		while (*tail && n < sizeof line - 1)
			line[n++] = *tail++;
		line[n] = 0;
		gen_begin_line(g, line, CMP_EXACT);
	}
	g->emit(g->ctx, &g->cmd);
}

static const struct gen_row scan_rows[] = {
	{ "scan", make_scan, 1, GEN_FIXED, CMP_SCAN },
	{ "scan", make_bad_scan, 1, GEN_FIXED, CMP_KIND },
	{ 0 },
};
const struct gen_group gen_group_scan = { "scan", scan_rows };
