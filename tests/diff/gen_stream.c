/*
 * Streams. Ids are given, because the servers' clocks differ; "*" is tried on a key of its own that goes at once. Ages are
 * either none or days, so that filters by age do not depend on the moment.
 */
#include <stdio.h>
#include <string.h>

#include "tests/diff/gen.h"

#define DAYS "200000000"

static void stream_key(struct gen *g)
{
	static const char *const keys[] = { "x0", "x1", "x2", "{x}3", "x4", NULL };
	if (gen_chance(g, 94))
		gen_text(g, gen_pick(g, keys));
	else if (gen_chance(g, 60))
		gen_text(g, gen_chance(g, 50) ? "x-none" : "x-text");
	else
		gen_key(g);
}

static void group_name(struct gen *g)
{
	static const char *const names[] = { "g1", "g1", "g1", "g2", "g2", "none", "", NULL };
	gen_text(g, gen_pick(g, names));
}

static void consumer_name(struct gen *g)
{
	static const char *const names[] = { "c1", "c1", "c1", "c2", "c2", "c10", "streams", NULL };
	gen_text(g, gen_pick(g, names));
}

static const char *const odd_ids[] = {
	"0", "0-0", "-", "+", "1-", "-1", "abc", "", "1-abc", "18446744073709551615", "18446744073709551615-18446744073709551615",
	"18446744073709551616", "1--1", "1-*", "*", "007-1", "+5-1", " 6", "9223372036854775808-1", "1-18446744073709551616", NULL,
};

/* An id that is likely to be there. */
static void entry_id(struct gen *g)
{
	char text[40];
	uint32_t r = gen_below(g, 100);
	if (r < 80)
		gen_bytes(g, text, (size_t)snprintf(text, sizeof text, "%u-%u", 1 + gen_below(g, 60), gen_below(g, 3)));
	else if (r < 94)
		gen_int(g, gen_below(g, 70));
	else
		gen_text(g, gen_pick(g, odd_ids));
}

static void bound(struct gen *g, bool low)
{
	char text[40];
	uint32_t r = gen_below(g, 100);
	if (r < 50)
		gen_text(g, low ? "-" : "+");
	else if (r < 60)
		gen_text(g, gen_chance(g, 80) ? "(5-1" : "(-");
	else if (r < 85)
		gen_bytes(g, text, (size_t)snprintf(text, sizeof text, "%s%u", gen_chance(g, 30) ? "(" : "", gen_below(g, 70)));
	else
		entry_id(g);
}

static void count_option(struct gen *g, uint32_t percent)
{
	if (!gen_chance(g, percent))
		return;
	gen_word(g, "COUNT");
	if (gen_chance(g, 85))
		gen_int(g, gen_below(g, 8));
	else
		gen_any_int(g);
}

static void trim_option(struct gen *g)
{
	bool length = gen_chance(g, 60);
	gen_word(g, length ? "MAXLEN" : "MINID");
	if (gen_chance(g, 50))
		gen_text(g, gen_chance(g, 60) ? "~" : "=");
	if (length && gen_chance(g, 95))
		gen_int(g, gen_below(g, gen_chance(g, 60) ? 300 : 20));
	else
		entry_id(g);
	if (gen_chance(g, 12)) {
		gen_word(g, "LIMIT");
		if (gen_chance(g, 70))
			gen_int(g, gen_below(g, 300));
		else
			gen_any_int(g);
	}
}

static void pairs(struct gen *g)
{
	static const char *const fields[] = { "a", "b", "temp", "7", "", NULL };
	uint32_t shape = gen_below(g, 10);
	if (shape < 6) {
		/* the fields of the entry before */
		gen_text(g, "a");
		gen_small_value(g);
		gen_text(g, "b");
		gen_small_int(g);
		return;
	}
	for (uint32_t n = 1 + gen_below(g, 4); n; n--) {
		gen_text(g, gen_pick(g, fields));
		gen_small_value(g);
	}
}

static void make_xadd(struct gen *g, const struct gen_row *row)
{
	char text[40];
	uint32_t r = gen_below(g, 100);
	gen_begin(g, row);
	stream_key(g);
	if (gen_chance(g, 8))
		gen_word(g, "NOMKSTREAM");
	if (gen_chance(g, 12))
		trim_option(g);
	if (r < 80)
		gen_bytes(g, text, (size_t)snprintf(text, sizeof text, "%u-*", 1 + gen_below(g, 60)));
	else if (r < 90)
		gen_bytes(g, text, (size_t)snprintf(text, sizeof text, "%u-%u", 1 + gen_below(g, 60), gen_below(g, 3)));
	else if (r < 97)
		gen_int(g, gen_below(g, 60));
	else
		gen_text(g, gen_pick(g, odd_ids + (gen_chance(g, 90) ? 0 : 3)));
	if (g->cmd.argv[g->cmd.argc - 1].len == 1 && *g->cmd.argv[g->cmd.argc - 1].ptr == '*')
		g->cmd.argc--;
	pairs(g);
	g->emit(g->ctx, &g->cmd);
}

/* Several nodes at once. */
static void make_many(struct gen *g, const struct gen_row *row)
{
	(void)row;
	const char *key = gen_chance(g, 50) ? "x0" : "{x}3";
	uint32_t ms = 1 + gen_below(g, 60);
	for (uint32_t n = 30 + gen_below(g, 120); n; n--) {
		char line[80];
		snprintf(line, sizeof line, "XADD %s %u-* a %u b text", key, ms, gen_below(g, 1000));
		gen_line(g, line, CMP_EXACT, 1);
	}
}

static void make_auto_id(struct gen *g, const struct gen_row *row)
{
	(void)row;
	gen_line(g, "DEL x-auto", CMP_EXACT, 1);
	gen_line(g, "XADD x-auto * a b", CMP_KIND, 1);
	gen_line(g, gen_chance(g, 50) ? "XADD x-auto MAXLEN ~ 0 * a c" : "XADD x-auto NOMKSTREAM * a c", CMP_KIND, 1);
	gen_line(g, "XLEN x-auto", CMP_EXACT, 1);
	gen_line(g, "DEL x-auto", CMP_EXACT, 1);
}

static void make_key(struct gen *g, const struct gen_row *row)
{
	gen_begin(g, row);
	stream_key(g);
	gen_end(g, row);
}

static void make_ids(struct gen *g, const struct gen_row *row)
{
	gen_begin(g, row);
	stream_key(g);
	if (!strcmp(row->name, "xack"))
		group_name(g);
	for (uint32_t n = 1 + gen_below(g, 4); n; n--)
		entry_id(g);
	gen_end(g, row);
}

static void make_xtrim(struct gen *g, const struct gen_row *row)
{
	gen_begin(g, row);
	stream_key(g);
	trim_option(g);
	gen_end(g, row);
}

static void make_range(struct gen *g, const struct gen_row *row)
{
	bool reverse = !strcmp(row->name, "xrevrange");
	gen_begin(g, row);
	stream_key(g);
	bound(g, !reverse);
	bound(g, reverse);
	count_option(g, 50);
	gen_end(g, row);
}

/* On a key of its own, whose last entry is never deleted: 7.0 lets an empty stream go back behind a deleted one. */
static void make_xsetid(struct gen *g, const struct gen_row *row)
{
	char line[40];
	uint32_t ms = 0, n = gen_below(g, 5);
	if (!n)
		gen_line(g, "XGROUP CREATE x-set g 0 MKSTREAM", CMP_EXACT, 1);
	for (uint32_t i = 0; i < n; i++) {
		ms += 1 + gen_below(g, 20);
		snprintf(line, sizeof line, "XADD x-set %u-1 a b", ms);
		gen_line(g, line, CMP_EXACT, 1);
		if (gen_chance(g, 30) && i + 1 < n) {
			snprintf(line, sizeof line, "XDEL x-set %u-1", ms);
			gen_line(g, line, CMP_EXACT, 1);
		}
	}
	gen_begin(g, row);
	gen_text(g, gen_chance(g, 95) ? "x-set" : gen_chance(g, 50) ? "x-none" : "x-text");
	entry_id(g);
	if (gen_chance(g, 40)) {
		gen_word(g, "ENTRIESADDED");
		gen_int(g, (int64_t)gen_below(g, 12) - 1);
	}
	if (gen_chance(g, 30)) {
		gen_word(g, "MAXDELETEDID");
		entry_id(g);
	}
	g->emit(g->ctx, &g->cmd);
	gen_line(g, "XINFO STREAM x-set", CMP_EXACT, 1);
	gen_line(g, "XADD x-set 40-* c d", CMP_EXACT, 1);
	gen_line(g, "XINFO STREAM x-set", CMP_EXACT, 1);
	gen_line(g, "DEL x-set", CMP_EXACT, 1);
}

static void make_xread(struct gen *g, const struct gen_row *row)
{
	bool group = !strcmp(row->name, "xreadgroup");
	uint32_t n = gen_chance(g, 70) ? 1 : 1 + gen_below(g, 4);
	gen_begin(g, row);
	if (group || gen_chance(g, 2)) {
		gen_word(g, "GROUP");
		group_name(g);
		consumer_name(g);
	}
	count_option(g, 60);
	if (gen_chance(g, group ? 20 : 2))
		gen_word(g, "NOACK");
	gen_word(g, "STREAMS");
	for (uint32_t i = 0; i < n; i++)
		stream_key(g);
	for (uint32_t i = 0; i < n; i++) {
		if (gen_chance(g, group ? 60 : 5))
			gen_text(g, group == gen_chance(g, 97) ? ">" : "$");
		else if (gen_chance(g, 40))
			gen_text(g, "0");
		else
			entry_id(g);
	}
	if (gen_below(g, 40) == 0)
		g->cmd.argc--;
	g->emit(g->ctx, &g->cmd);
}

static void make_xgroup(struct gen *g, const struct gen_row *row)
{
	const char *sub = strchr(row->name, '|') + 1;
	bool create = !strcmp(sub, "create"), set = !strcmp(sub, "setid");
	gen_begin(g, row);
	stream_key(g);
	group_name(g);
	if (create || set) {
		if (gen_chance(g, 40))
			gen_text(g, gen_chance(g, 50) ? "$" : "0");
		else
			entry_id(g);
		if (gen_chance(g, create ? 50 : 3))
			gen_word(g, "MKSTREAM");
		if (gen_chance(g, 20)) {
			gen_word(g, "ENTRIESREAD");
			if (gen_chance(g, 80))
				gen_int(g, (int64_t)gen_below(g, 200) - 1);
			else
				gen_text(g, gen_chance(g, 50) ? "-2" : "abc");
		}
	} else if (strcmp(sub, "destroy") != 0) {
		consumer_name(g);
	}
	gen_end(g, row);
}

static void make_xpending(struct gen *g, const struct gen_row *row)
{
	gen_begin(g, row);
	stream_key(g);
	group_name(g);
	if (gen_chance(g, 70)) {
		if (gen_chance(g, 30)) {
			gen_word(g, "IDLE");
			gen_text(g, gen_chance(g, 70) ? "100000000" : "0");
		}
		bound(g, true);
		bound(g, false);
		if (gen_chance(g, 90))
			gen_int(g, gen_below(g, 20));
		else
			gen_any_int(g);
		if (gen_chance(g, 30))
			consumer_name(g);
	}
	g->emit(g->ctx, &g->cmd);
}

static void min_idle(struct gen *g)
{
	static const char *const odd[] = { "abc", "-5", "", "1.5", "9223372036854775808", NULL };
	if (gen_chance(g, 95))
		gen_text(g, gen_chance(g, 70) ? "0" : "100000000");
	else
		gen_text(g, gen_pick(g, odd));
}

static void make_xclaim(struct gen *g, const struct gen_row *row)
{
	gen_begin(g, row);
	stream_key(g);
	group_name(g);
	consumer_name(g);
	min_idle(g);
	for (uint32_t n = 1 + gen_below(g, 4); n; n--)
		entry_id(g);
	if (gen_chance(g, 40)) {
		gen_word(g, "IDLE");
		gen_text(g, gen_chance(g, 80) ? DAYS : "0");
	} else if (gen_chance(g, 10)) {
		gen_word(g, "TIME");
		gen_text(g, gen_chance(g, 80) ? "1500000000000" : "9223372036854775807");
	}
	if (gen_chance(g, 20)) {
		gen_word(g, "RETRYCOUNT");
		gen_int(g, (int64_t)gen_below(g, 10) - 1);
	}
	if (gen_chance(g, 40))
		gen_word(g, "FORCE");
	if (gen_chance(g, 40))
		gen_word(g, "JUSTID");
	if (gen_chance(g, 15)) {
		gen_word(g, "LASTID");
		entry_id(g);
	}
	if (gen_below(g, 40) == 0)
		gen_text(g, "nonsense");
	g->emit(g->ctx, &g->cmd);
}

static void make_xautoclaim(struct gen *g, const struct gen_row *row)
{
	gen_begin(g, row);
	stream_key(g);
	group_name(g);
	consumer_name(g);
	min_idle(g);
	if (gen_chance(g, 60))
		gen_text(g, gen_chance(g, 50) ? "0" : "-");
	else
		bound(g, true);
	if (gen_chance(g, 60)) {
		static const char *const odd[] = { "0", "-1", "abc", "9223372036854775807", "1000000000000000000", NULL };
		gen_word(g, "COUNT");
		if (gen_chance(g, 95))
			gen_int(g, 1 + gen_below(g, 5));
		else
			gen_text(g, gen_pick(g, odd));
	}
	if (gen_chance(g, 40))
		gen_word(g, "JUSTID");
	if (gen_below(g, 40) == 0)
		gen_text(g, "nonsense");
	g->emit(g->ctx, &g->cmd);
}

static void make_xinfo(struct gen *g, const struct gen_row *row)
{
	gen_begin(g, row);
	stream_key(g);
	if (!strcmp(row->name, "xinfo|consumers"))
		group_name(g);
	if (!strcmp(row->name, "xinfo|stream") && gen_chance(g, 50)) {
		gen_word(g, "FULL");
		count_option(g, 50);
	}
	gen_end(g, row);
}

/* Other types in the place of streams, limits of nodes, copies. */
static void make_other(struct gen *g, const struct gen_row *row)
{
	(void)row;
	switch (gen_below(g, 6)) {
	case 0:
		gen_line(g, "SET x-text text", CMP_EXACT, 1);
		break;
	case 1:
		gen_line(g, "OBJECT ENCODING x0", CMP_EXACT, 1);
		break;
	case 2:
		gen_line(g, "COPY x0 x4 REPLACE", CMP_EXACT, 1);
		break;
	case 3:
		gen_line(g, gen_chance(g, 50) ? "DEL x1" : "DEL x0", CMP_EXACT, 1);
		break;
	case 4:
		gen_line(g, "TYPE x2", CMP_EXACT, 1);
		break;
	default:
		gen_line(g, "RENAME x2 x1", CMP_EXACT, 1);
	}
}

/* GEN_TIMED: a changed number could be an age or a time. */
static const struct gen_row rows[] = {
	{ "xadd", make_xadd, 40, 0, CMP_EXACT },
	{ "xadd", make_many, 1, GEN_FIXED, CMP_EXACT },
	{ "xadd", make_auto_id, 1, GEN_FIXED, CMP_EXACT },
	{ "xack", make_ids, 6, 0, CMP_EXACT },
	{ "xautoclaim", make_xautoclaim, 6, GEN_TIMED, CMP_EXACT },
	{ "xclaim", make_xclaim, 8, GEN_TIMED, CMP_EXACT },
	{ "xdel", make_ids, 6, 0, CMP_EXACT },
	{ "xgroup|create", make_xgroup, 6, 0, CMP_EXACT },
	{ "xgroup|createconsumer", make_xgroup, 3, 0, CMP_EXACT },
	{ "xgroup|delconsumer", make_xgroup, 2, 0, CMP_EXACT },
	{ "xgroup|destroy", make_xgroup, 1, 0, CMP_EXACT },
	{ "xgroup|setid", make_xgroup, 3, 0, CMP_EXACT },
	{ "xinfo|consumers", make_xinfo, 4, 0, CMP_AGES },
	{ "xinfo|groups", make_xinfo, 5, 0, CMP_EXACT },
	{ "xinfo|stream", make_xinfo, 8, 0, CMP_AGES },
	{ "xlen", make_key, 3, 0, CMP_EXACT },
	{ "xpending", make_xpending, 8, 0, CMP_AGES },
	{ "xrange", make_range, 10, 0, CMP_EXACT },
	{ "xread", make_xread, 8, 0, CMP_EXACT },
	{ "xreadgroup", make_xread, 14, 0, CMP_EXACT },
	{ "xrevrange", make_range, 8, 0, CMP_EXACT },
	{ "xsetid", make_xsetid, 2, GEN_FIXED, CMP_EXACT },
	{ "xtrim", make_xtrim, 4, 0, CMP_EXACT },
	{ "other", make_other, 3, GEN_FIXED, CMP_EXACT },
	{ .name = NULL },
};

const struct gen_group gen_group_stream = { "stream", rows };
