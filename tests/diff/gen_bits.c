/* Strings as bits: GETBIT to BITFIELD, and HyperLogLog. */
#include <stdio.h>

#include "tests/diff/gen.h"

static void bits_key(struct gen *g)
{
	static const char *const keys[] = { "bits0", "bits1", "bits2", "{b}3", NULL };
	if (gen_chance(g, 92))
		gen_text(g, gen_pick(g, keys));
	else
		gen_key(g);
}

static void offset(struct gen *g)
{
	static const char *const odd[] = { "-1", "4294967296", "9223372036854775807", "9223372036854775808", "x",
		                           "#1", "01", "", NULL };
	if (gen_chance(g, 95))
		gen_int(g, gen_below(g, gen_chance(g, 90) ? 200 : 20000));
	else
		gen_text(g, gen_pick(g, odd));
}

static void position(struct gen *g)
{
	if (gen_chance(g, 95))
		gen_int(g, (int64_t)gen_below(g, 60) - 30);
	else
		gen_any_int(g);
}

static void make_setbit(struct gen *g, const struct gen_row *row)
{
	gen_begin(g, row);
	bits_key(g);
	offset(g);
	gen_int(g, gen_below(g, gen_chance(g, 97) ? 2 : 4));
	gen_end(g, row);
}

static void make_getbit(struct gen *g, const struct gen_row *row)
{
	gen_begin(g, row);
	bits_key(g);
	offset(g);
	gen_end(g, row);
}

static void unit(struct gen *g)
{
	static const char *const units[] = { "BYTE", "bit", "BIT", "bits", NULL };
	if (gen_chance(g, 40))
		gen_text(g, gen_pick(g, units));
}

static void make_bitcount(struct gen *g, const struct gen_row *row)
{
	gen_begin(g, row);
	bits_key(g);
	if (gen_chance(g, 80)) {
		position(g);
		position(g);
		unit(g);
	}
	gen_end(g, row);
}

static void make_bitpos(struct gen *g, const struct gen_row *row)
{
	gen_begin(g, row);
	bits_key(g);
	gen_int(g, gen_below(g, gen_chance(g, 97) ? 2 : 3));
	if (gen_chance(g, 70))
		position(g);
	if (gen_chance(g, 60)) {
		position(g);
		unit(g);
	}
	gen_end(g, row);
}

static void make_bitop(struct gen *g, const struct gen_row *row)
{
	static const char *const ops[] = { "AND", "or", "XOR", "NOT", "and", "nand", NULL };
	gen_begin(g, row);
	gen_text(g, gen_pick(g, ops));
	uint32_t n = 2 + gen_below(g, 3);
	for (uint32_t i = 0; i < n; i++)
		bits_key(g);
	gen_end(g, row);
}

static void field_type(struct gen *g)
{
	static const char *const odd[] = { "u64", "i65", "i0", "u", "x8", "i-1", "u63", "i64", NULL };
	char text[8];
	if (gen_chance(g, 92))
		gen_bytes(g, text, (size_t)snprintf(text, sizeof text, "%c%u", gen_chance(g, 50) ? 'i' : 'u', 1 + gen_below(g, 40)));
	else
		gen_text(g, gen_pick(g, odd));
}

static void field_offset(struct gen *g)
{
	char text[16];
	if (gen_chance(g, 30))
		gen_bytes(g, text, (size_t)snprintf(text, sizeof text, "#%u", gen_below(g, 12)));
	else
		offset(g);
}

static void operations(struct gen *g, bool writes)
{
	static const char *const how[] = { "WRAP", "sat", "FAIL", "fail", "no", NULL };
	uint32_t n = gen_below(g, 5);
	for (uint32_t i = 0; i < n; i++) {
		uint32_t kind = writes ? gen_below(g, 3) : gen_chance(g, 97) ? 0 : 1;
		if (writes && gen_chance(g, 40)) {
			gen_text(g, "OVERFLOW");
			gen_text(g, gen_chance(g, 97) ? gen_pick(g, how) : "x");
		}
		gen_text(g, kind == 0 ? "GET" : kind == 1 ? "SET" : "INCRBY");
		field_type(g);
		field_offset(g);
		if (kind && gen_chance(g, 60))
			gen_int(g, (int64_t)gen_below(g, 600) - 300);
		else if (kind)
			gen_any_int(g);
	}
}

static void make_bitfield(struct gen *g, const struct gen_row *row)
{
	gen_begin(g, row);
	bits_key(g);
	operations(g, true);
	gen_end(g, row);
}

static void make_bitfield_ro(struct gen *g, const struct gen_row *row)
{
	gen_begin(g, row);
	bits_key(g);
	operations(g, false);
	gen_end(g, row);
}

/* ------------------------------------------------------------------ HyperLogLog */

static void hll_key(struct gen *g)
{
	static const char *const keys[] = { "hll0", "hll1", "hll2", "hll3", "hll-none", NULL };
	gen_text(g, gen_pick(g, keys));
}

static void make_pfadd(struct gen *g, const struct gen_row *row)
{
	gen_begin(g, row);
	hll_key(g);
	uint32_t n = gen_below(g, gen_chance(g, 5) ? 300 : 6), range = gen_chance(g, 50) ? 100 : 1000000;
	for (uint32_t i = 0; i < n; i++)
		gen_int(g, gen_below(g, range));
	gen_end(g, row);
}

static void make_pfcount(struct gen *g, const struct gen_row *row)
{
	gen_begin(g, row);
	do
		hll_key(g);
	while (gen_chance(g, 40));
	gen_end(g, row);
}

static void make_pfdebug(struct gen *g, const struct gen_row *row)
{
	static const char *const words[] = { "DECODE", "encoding", "ENCODING", "TODENSE", "what", NULL };
	gen_begin(g, row);
	gen_text(g, gen_pick(g, words));
	hll_key(g);
	gen_end(g, row);
}

static void make_hll_line(struct gen *g, const struct gen_row *row)
{
	/* Damage is left to the command tests: there a PFADD that fails in its middle has changed the value already. */
	static const char *const lines[] = { "DEL hll0 hll1", "DEL hll2", "SET hll3 HYLL", "GET hll0", "GET hll1", "STRLEN hll2",
		                             "DEL hll3", NULL };
	(void)row;
	gen_line(g, gen_pick(g, lines), CMP_EXACT, 1);
}

/* GEN_TIMED: an offset that is changed to 2^31 makes a string of 256 MB, which each server then handles for seconds. */
static const struct gen_row rows[] = {
	{ "pfadd", make_pfadd, 14, 0, CMP_EXACT }, { "pfcount", make_pfcount, 8, 0, CMP_EXACT },
	{ "pfmerge", make_pfcount, 5, 0, CMP_EXACT }, { "pfdebug", make_pfdebug, 4, 0, CMP_EXACT },
	{ "del", make_hll_line, 4, 0, CMP_EXACT },
	{ "setbit", make_setbit, 20, GEN_TIMED, CMP_EXACT },
	{ "getbit", make_getbit, 8, 0, CMP_EXACT },
	{ "bitcount", make_bitcount, 12, 0, CMP_EXACT },
	{ "bitpos", make_bitpos, 12, 0, CMP_EXACT },
	{ "bitop", make_bitop, 10, 0, CMP_EXACT },
	{ "bitfield", make_bitfield, 16, GEN_TIMED, CMP_EXACT },
	{ "bitfield_ro", make_bitfield_ro, 6, 0, CMP_EXACT },
	{ 0 },
};

const struct gen_group gen_group_bits = { "bits", rows };
