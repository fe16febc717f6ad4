/* Places. Whatever a search finds far away from the edge of its shape is compared byte by byte, coordinates included. */
#include <stdio.h>
#include <string.h>

#include "tests/diff/gen.h"

static void geo_key(struct gen *g)
{
	static const char *const keys[] = { "g0", "g1", "g2", "{g}3", NULL };
	if (gen_chance(g, 95))
		gen_text(g, gen_pick(g, keys));
	else
		gen_text(g, gen_chance(g, 50) ? "z0" : "k1");
}

static void place(struct gen *g)
{
	char name[24];
	gen_bytes(g, name, (size_t)snprintf(name, sizeof name, gen_chance(g, 80) ? "p%u" : "%u", gen_below(g, 60)));
}

/* Mostly within one region, so that searches find some and miss some. */
static void point(struct gen *g)
{
	static const char *const odd[] = { "179.999999", "-180", "85.05112878", "-85.05112878", "86", "181", "nan", "abc", "", "0", NULL };
	char text[32];
	bool wide = gen_chance(g, 30);
	for (int i = 0; i < 2; i++) {
		double spread = wide ? (i ? 170.0 : 360.0) : 4.0, centre = wide ? 0 : (i ? 38.0 : 14.0);
		double v = centre + ((double)gen_below(g, 1000000) / 1000000 - 0.5) * spread;
		if (gen_below(g, 60) == 0)
			gen_text(g, gen_pick(g, odd));
		else
			gen_bytes(g, text, (size_t)snprintf(text, sizeof text, "%.6f", v));
	}
}

static void unit(struct gen *g)
{
	static const char *const units[] = { "m", "km", "ft", "mi", "km", "KM", "parsec", NULL };
	gen_word(g, gen_chance(g, 95) ? units[gen_below(g, 6)] : gen_pick(g, units));
}

static void length(struct gen *g)
{
	static const char *const odd[] = { "0", "-1", "abc", "nan", "", NULL };
	static const unsigned sizes[] = { 10, 100, 1000, 5000, 20000, 300, 50 };
	if (gen_chance(g, 3))
		gen_text(g, gen_pick(g, odd));
	else
		gen_int(g, 1 + gen_below(g, sizes[gen_below(g, 7)]));
}

static void make_geoadd(struct gen *g, const struct gen_row *row)
{
	static const char *const words[] = { "NX", "XX", "CH", "CH", "GT", NULL };
	gen_begin(g, row);
	geo_key(g);
	for (uint32_t n = gen_chance(g, 20) ? 1 + gen_below(g, 2) : 0; n; n--)
		gen_word(g, gen_pick(g, words));
	for (uint32_t n = 1 + gen_below(g, gen_chance(g, 10) ? 50 : 6); n; n--) {
		point(g);
		place(g);
	}
	gen_end(g, row);
}

static void make_geodist(struct gen *g, const struct gen_row *row)
{
	gen_begin(g, row);
	geo_key(g);
	place(g);
	place(g);
	if (gen_chance(g, 60))
		unit(g);
	gen_end(g, row);
}

static void make_members(struct gen *g, const struct gen_row *row)
{
	gen_begin(g, row);
	geo_key(g);
	for (uint32_t n = gen_below(g, 6); n; n--)
		place(g);
	gen_end(g, row);
}

static void options(struct gen *g, bool store, bool with)
{
	static const char *const extras[] = { "WITHCOORD", "WITHDIST", "WITHHASH", NULL };
	if (gen_chance(g, 60))
		gen_word(g, gen_chance(g, 50) ? "ASC" : "DESC");
	if (gen_chance(g, 30)) {
		gen_word(g, "COUNT");
		gen_small_int(g);
		if (gen_chance(g, 40))
			gen_word(g, "ANY");
	}
	for (uint32_t n = gen_chance(g, with ? 50 : 4) ? 1 + gen_below(g, 3) : 0; n; n--)
		gen_word(g, gen_pick(g, extras));
	if (store) {
		gen_word(g, gen_chance(g, 70) ? "STORE" : "STOREDIST");
		gen_text(g, gen_chance(g, 50) ? "g4" : "g5");
	}
	if (gen_below(g, 60) == 0)
		gen_word(g, "ANY");
}

static void make_radius(struct gen *g, const struct gen_row *row)
{
	bool member = strstr(row->name, "bymember"), ro = strstr(row->name, "_ro");
	gen_begin(g, row);
	geo_key(g);
	if (member)
		place(g);
	else
		point(g);
	length(g);
	unit(g);
	bool store = gen_chance(g, ro ? 3 : 25);
	options(g, store, !store);
	/* Where a distance is stored its last digit is the mathematical library's. */
	gen_end(g, row);
}

static void make_search(struct gen *g, const struct gen_row *row)
{
	bool store = strstr(row->name, "store");
	gen_begin(g, row);
	if (store)
		gen_text(g, gen_chance(g, 50) ? "g4" : "g5");
	geo_key(g);
	if (gen_chance(g, 50)) {
		gen_word(g, "FROMMEMBER");
		place(g);
	} else {
		gen_word(g, "FROMLONLAT");
		point(g);
	}
	if (gen_chance(g, 50)) {
		gen_word(g, "BYRADIUS");
		length(g);
	} else {
		gen_word(g, "BYBOX");
		length(g);
		length(g);
	}
	unit(g);
	options(g, false, !store);
	if (store && gen_chance(g, 20))
		gen_word(g, "STOREDIST");
	gen_end(g, row);
}

static void make_range(struct gen *g, const struct gen_row *row)
{
	gen_begin(g, row);
	gen_text(g, gen_chance(g, 50) ? "g0" : "g1");
	gen_text(g, "0");
	gen_text(g, "-1");
	gen_word(g, "WITHSCORES");
	gen_end(g, row);
}

static void make_stored(struct gen *g, const struct gen_row *row)
{
	/* Those that hold distances go before anything compares their scores digit by digit. */
	gen_begin(g, row);
	gen_text(g, gen_chance(g, 50) ? "g4" : "g5");
	gen_text(g, "0");
	gen_text(g, "-1");
	g->emit(g->ctx, &g->cmd);
	gen_line(g, "DEL g4 g5", CMP_EXACT, 1);
}

static const struct gen_row rows[] = {
	{ "geoadd", make_geoadd, 20, 0, CMP_EXACT },
	{ "geodist", make_geodist, 5, 0, CMP_EXACT },
	{ "geohash", make_members, 4, 0, CMP_EXACT },
	{ "geopos", make_members, 5, 0, CMP_EXACT },
	{ "georadius", make_radius, 5, 0, CMP_EXACT },
	{ "georadius_ro", make_radius, 5, 0, CMP_EXACT },
	{ "georadiusbymember", make_radius, 5, 0, CMP_EXACT },
	{ "georadiusbymember_ro", make_radius, 5, 0, CMP_EXACT },
	{ "geosearch", make_search, 15, 0, CMP_EXACT },
	{ "geosearchstore", make_search, 6, 0, CMP_EXACT },
	{ "zrange", make_range, 3, GEN_FIXED, CMP_EXACT },
	{ "zrange", make_stored, 4, GEN_FIXED, CMP_EXACT },
	{ 0 },
};
const struct gen_group gen_group_geo = { "geo", rows };
