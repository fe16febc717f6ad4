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

static const struct gen_row rows[] = {
	{ "setbit", make_setbit, 20, 0, CMP_EXACT }, { "getbit", make_getbit, 8, 0, CMP_EXACT }, { "bitcount", make_bitcount, 12, 0, CMP_EXACT },
	{ "bitpos", make_bitpos, 12, 0, CMP_EXACT }, { "bitop", make_bitop, 10, 0, CMP_EXACT }, { "bitfield", make_bitfield, 16, 0, CMP_EXACT },
	{ "bitfield_ro", make_bitfield_ro, 6, 0, CMP_EXACT }, { 0 },
};

const struct gen_group gen_group_bits = { "bits", rows };
