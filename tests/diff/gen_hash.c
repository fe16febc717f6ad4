/* Hashes. */
#include <stdio.h>

#include "tests/diff/gen.h"

/* The fields of records, which are set in this order. */
static const char *const record[] = { "id", "name", "7", "postal address", "mail", "age", "phone", "fax", NULL };
enum { RECORD = sizeof record / sizeof *record - 1, RECORDS = 30 };

static void hash_key(struct gen *g)
{
	static const char *const keys[] = { "h0", "h1", "h2", "h3", "{h}4", NULL };
	char name[16];
	if (gen_chance(g, 30))
		gen_bytes(g, name, (size_t)snprintf(name, sizeof name, "record%u", gen_below(g, RECORDS)));
	else if (gen_chance(g, 92))
		gen_text(g, gen_pick(g, keys));
	else
		gen_key(g);
}

static void field(struct gen *g)
{
	char name[24];
	if (gen_chance(g, 20)) {
		gen_text(g, gen_pick(g, record));
		return;
	}
	if (gen_chance(g, 80))
		gen_bytes(g, name, (size_t)snprintf(name, sizeof name, gen_chance(g, 50) ? "f%u" : "%u", gen_below(g, 12)));
	else if (gen_chance(g, 70))
		gen_bytes(g, name, (size_t)snprintf(name, sizeof name, "f%u", gen_below(g, 1000)));
	else
		gen_value(g);
}

static void number(struct gen *g)
{
	if (gen_chance(g, 70))
		gen_int(g, gen_below(g, 1000));
	else
		gen_any_int(g);
}

static void make_set(struct gen *g, const struct gen_row *row)
{
	gen_begin(g, row);
	hash_key(g);
	uint32_t n = 1 + gen_below(g, gen_chance(g, 5) ? 100 : 4);
	for (uint32_t i = 0; i < n; i++) {
		field(g);
		if (gen_chance(g, 40))
			number(g);
		else
			gen_value(g);
	}
	gen_end(g, row);
}

/* A record is made, at once or one field after the other, from the first on: many have the same fields. */
static void make_record(struct gen *g, const struct gen_row *row)
{
	char key[16], line[64];
	uint32_t n = 1 + gen_below(g, RECORD), i = gen_below(g, RECORDS);
	bool at_once = gen_chance(g, 50);
	size_t key_len = (size_t)snprintf(key, sizeof key, "record%u", i);
	snprintf(line, sizeof line, "DEL %s", key);
	if (gen_chance(g, 70))
		gen_line(g, line, CMP_EXACT, 1);
	for (i = 0; i < n; i++) {
		if (!i || !at_once) {
			gen_begin(g, row);
			gen_bytes(g, key, key_len);
		}
		gen_text(g, record[i]);
		if (gen_chance(g, 40))
			number(g);
		else
			gen_small_value(g);
		if (!at_once || i == n - 1)
			gen_end(g, row);
	}
}

static void make_setnx(struct gen *g, const struct gen_row *row)
{
	gen_begin(g, row);
	hash_key(g);
	field(g);
	gen_value(g);
	gen_end(g, row);
}

static void make_field(struct gen *g, const struct gen_row *row)
{
	gen_begin(g, row);
	hash_key(g);
	field(g);
	gen_end(g, row);
}

static void make_fields(struct gen *g, const struct gen_row *row)
{
	gen_begin(g, row);
	hash_key(g);
	for (uint32_t n = 1 + gen_below(g, 6); n; n--)
		field(g);
	gen_end(g, row);
}

static void make_key(struct gen *g, const struct gen_row *row)
{
	gen_begin(g, row);
	hash_key(g);
	gen_end(g, row);
}

static void make_incrby(struct gen *g, const struct gen_row *row)
{
	gen_begin(g, row);
	hash_key(g);
	field(g);
	number(g);
	gen_end(g, row);
}

static void make_incrbyfloat(struct gen *g, const struct gen_row *row)
{
	gen_begin(g, row);
	hash_key(g);
	field(g);
	gen_float(g);
	gen_end(g, row);
}

/* Only how many there are can be compared, or all of them. Counts never ask for more than a server can answer. */
static void make_random(struct gen *g, const struct gen_row *row)
{
	static const char *const counts[] = { "0", "-0", "1", "-1", "-7", "x", "", "-9223372036854775808", "9223372036854775807",
		                              "9223372036854775808", NULL };
	static const char *const bad[] = { "WITHVALUE", "WITHVALUES nonsense", NULL };
	gen_begin(g, row);
	hash_key(g);
	if (gen_chance(g, 80))
		gen_text(g, gen_pick(g, counts));
	if (gen_chance(g, 40))
		gen_word(g, gen_chance(g, 90) ? "WITHVALUES" : gen_pick(g, bad));
	gen_end(g, row);
}

static void make_random_all(struct gen *g, const struct gen_row *row)
{
	gen_begin(g, row);
	hash_key(g);
	gen_text(g, "1000000");
	if (gen_chance(g, 50))
		gen_word(g, "WITHVALUES");
	gen_end(g, row);
}

static void make_scan(struct gen *g, const struct gen_row *row)
{
	static const char *const patterns[] = { "*", "f*", "f[0-4]", "?", "none", "*1*", "[", NULL };
	gen_begin(g, row);
	hash_key(g);
	gen_scan_all(g, patterns);
	gen_end(g, row);
}

static void make_limits(struct gen *g, const struct gen_row *row)
{
	static const char *const lines[] = {
		"CONFIG SET hash-max-listpack-entries 8", "CONFIG SET hash-max-listpack-entries 512",
		"CONFIG SET hash-max-listpack-entries 0", "CONFIG SET hash-max-listpack-value 10",
		"CONFIG SET hash-max-listpack-value 64", "CONFIG SET hash-max-listpack-value 1000000", "DEL h0", "DEL h1 h2", "DEL h3", NULL,
	};
	(void)row;
	gen_line(g, gen_pick(g, lines), CMP_EXACT, 1);
}

static const struct gen_row rows[] = {
	{ "config|set", make_limits, 2, 0, CMP_EXACT },
	{ "hdel", make_fields, 6, 0, CMP_EXACT },
	{ "hexists", make_field, 3, 0, CMP_EXACT },
	{ "hget", make_field, 6, 0, CMP_EXACT },
	{ "hgetall", make_key, 5, 0, CMP_PAIRS },
	{ "hincrby", make_incrby, 8, 0, CMP_EXACT },
	{ "hincrbyfloat", make_incrbyfloat, 8, 0, CMP_EXACT },
	{ "hkeys", make_key, 3, 0, CMP_UNORDERED },
	{ "hlen", make_key, 3, 0, CMP_EXACT },
	{ "hmget", make_fields, 5, 0, CMP_EXACT },
	{ "hmset", make_set, 4, 0, CMP_EXACT },
	{ "hrandfield", make_random, 3, GEN_TIMED, CMP_KIND },
	{ "hrandfield", make_random_all, 3, GEN_FIXED, CMP_UNORDERED },
	{ "hscan", make_scan, 4, GEN_TIMED, CMP_UNORDERED },
	{ "hset", make_set, 12, 0, CMP_EXACT },
	{ "hset", make_record, 12, GEN_FIXED, CMP_EXACT },
	{ "hsetnx", make_setnx, 4, 0, CMP_EXACT },
	{ "hstrlen", make_field, 3, 0, CMP_EXACT },
	{ "hvals", make_key, 3, 0, CMP_UNORDERED },
	{ "object|encoding", make_key, 4, 0, CMP_EXACT },
	{ 0 },
};
const struct gen_group gen_group_hash = { "hash", rows };
