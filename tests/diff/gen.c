#include "tests/diff/gen.h"

#include <ctype.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ARENA (64u << 20)

extern const struct gen_group gen_group_string, gen_group_keys, gen_group_expire, gen_group_scan, gen_group_connection,
	gen_group_admin, gen_group_list, gen_group_hash, gen_group_set, gen_group_zset, gen_group_geo, gen_group_txn,
	gen_group_acl, gen_group_stream, gen_group_bits, gen_group_sort, gen_group_block, gen_group_dump,
	gen_group_service, gen_group_script, gen_group_function, gen_group_evict;

const struct gen_group *const gen_groups[] = {
	&gen_group_string, &gen_group_keys, &gen_group_expire, &gen_group_scan, &gen_group_connection, &gen_group_admin,
	&gen_group_list, &gen_group_hash, &gen_group_set, &gen_group_zset, &gen_group_geo, &gen_group_txn, &gen_group_acl,
	&gen_group_stream, &gen_group_bits, &gen_group_sort, &gen_group_block, &gen_group_dump, &gen_group_service,
	&gen_group_script, &gen_group_function, &gen_group_evict, NULL,
};

static uint64_t next(struct gen *g)
{
	/* xorshift128+: small, and the same everywhere. */
	uint64_t a = g->rng[0], b = g->rng[1];
	g->rng[0] = b;
	a ^= a << 23;
	a ^= a >> 17 ^ b ^ b >> 26;
	g->rng[1] = a;
	return a + b;
}

uint32_t gen_below(struct gen *g, uint32_t n)
{
	return (uint32_t)((next(g) >> 32) * n >> 32);
}

void gen_init(struct gen *g, uint64_t seed, int resp)
{
	char *arena = g->arena ? g->arena : malloc(ARENA);
	void (*emit)(void *, const struct gen_command *) = g->emit;
	void *ctx = g->ctx;
	bool types = g->types;
	if (!arena)
		abort();
	memset(g, 0, sizeof *g);
	g->arena = arena;
	g->emit = emit;
	g->ctx = ctx;
	g->types = types;
	g->resp = resp;
	g->rng[0] = seed * 0x9E3779B97F4A7C15u + 1;
	g->rng[1] = seed ^ 0xD1B54A32D192ED03u;
	for (int i = 0; i < 16; i++)
		next(g);
}

void gen_free(struct gen *g)
{
	free(g->arena);
	g->arena = NULL;
}

static bool listed(const char *groups, const struct gen_group *group)
{
	const char *name = group->name;
	size_t n = strlen(name);
	if (!groups)
		return group != &gen_group_evict; /* see there */
	for (const char *at = groups; (at = strstr(at, name)); at += n)
		if ((at == groups || at[-1] == ',') && (at[n] == ',' || !at[n]))
			return true;
	return false;
}

void gen_next(struct gen *g, const char *groups)
{
	uint32_t sum = 0;
	for (size_t i = 0; gen_groups[i]; i++)
		for (const struct gen_row *r = gen_groups[i]->rows; listed(groups, gen_groups[i]) && r->name; r++)
			sum += r->weight;
	uint32_t at = gen_below(g, sum);
	for (size_t i = 0; gen_groups[i]; i++) {
		for (const struct gen_row *r = gen_groups[i]->rows; listed(groups, gen_groups[i]) && r->name; r++) {
			if (at < r->weight) {
				r->make(g, r);
				return;
			}
			at -= r->weight;
		}
	}
}

void gen_bytes(struct gen *g, const void *bytes, size_t len)
{
	if (g->cmd.argc == GEN_MAX_ARGS || len > ARENA - g->used)
		abort();
	if (len)
		memcpy(g->arena + g->used, bytes, len);
	g->cmd.argv[g->cmd.argc++] = (struct resp_bytes){ g->arena + g->used, len };
	g->used += len;
}

void gen_text(struct gen *g, const char *text)
{
	gen_bytes(g, text, strlen(text));
}

void gen_word(struct gen *g, const char *word)
{
	char buf[64];
	size_t n = strlen(word);
	unsigned how = gen_below(g, 8);
	for (size_t i = 0; i < n && i < sizeof buf; i++) {
		bool upper = how == 0 ? gen_chance(g, 50) : how < 5;
		buf[i] = (char)(upper ? toupper((unsigned char)word[i]) : tolower((unsigned char)word[i]));
	}
	gen_bytes(g, buf, n < sizeof buf ? n : sizeof buf);
}

void gen_int(struct gen *g, int64_t v)
{
	char buf[32];
	gen_bytes(g, buf, (size_t)snprintf(buf, sizeof buf, "%" PRId64, v));
}

static void start(struct gen *g, enum compare compare)
{
	g->cmd.argc = 0;
	g->cmd.replies = 1;
	g->cmd.unpipelined = g->cmd.idle = false;
	g->cmd.compare = compare;
	g->used = 0;
}

void gen_begin(struct gen *g, const struct gen_row *row)
{
	char name[64];
	start(g, row->compare);
	snprintf(name, sizeof name, "%s", row->name);
	char *sub = strchr(name, '|');
	if (sub)
		*sub++ = 0;
	gen_word(g, name);
	if (sub)
		gen_word(g, sub);
}

void gen_begin_line(struct gen *g, const char *line, enum compare compare)
{
	start(g, compare);
	while (*line) {
		size_t n = strcspn(line, " ");
		gen_bytes(g, line, n);
		line += n + (line[n] == ' ');
	}
}

void gen_line(struct gen *g, const char *line, enum compare compare, unsigned replies)
{
	gen_begin_line(g, line, compare);
	g->cmd.replies = replies;
	g->emit(g->ctx, &g->cmd);
}

static void mutate(struct gen *g, const struct gen_row *row)
{
	size_t first = strchr(row->name, '|') ? 2 : 1, n = g->cmd.argc;
	switch (gen_below(g, row->flags & GEN_TIMED ? 2 : 6)) {
	case 0: /* too few */
		if (n > 1)
			g->cmd.argc--;
		return;
	case 1: /* too many */
		gen_text(g, gen_chance(g, 50) ? "nonsense" : "");
		return;
	case 2: /* a word where something else belongs */
		if (n > first)
			g->cmd.argv[first + gen_below(g, (uint32_t)(n - first))] = (struct resp_bytes){ "nonsense", 8 };
		return;
	case 3: /* a number where something else belongs */
		if (n > first) {
			gen_any_int(g);
			g->cmd.argv[first + gen_below(g, (uint32_t)(n - first))] = g->cmd.argv[--g->cmd.argc];
		}
		return;
	case 4: /* another order */
		if (n > first + 1) {
			size_t a = first + gen_below(g, (uint32_t)(n - first)), b = first + gen_below(g, (uint32_t)(n - first));
			struct resp_bytes t = g->cmd.argv[a];
			g->cmd.argv[a] = g->cmd.argv[b];
			g->cmd.argv[b] = t;
		}
		return;
	default: /* twice the same */
		if (n > first)
			g->cmd.argv[g->cmd.argc++] = g->cmd.argv[first + gen_below(g, (uint32_t)(n - first))];
		return;
	}
}

void gen_end(struct gen *g, const struct gen_row *row)
{
	if (!(row->flags & GEN_FIXED) && gen_below(g, 40) == 0)
		mutate(g, row);
	g->emit(g->ctx, &g->cmd);
}

const char *gen_pick(struct gen *g, const char *const *list)
{
	uint32_t n = 0;
	while (list[n])
		n++;
	return list[gen_below(g, n)];
}

void gen_key(struct gen *g)
{
	static const struct resp_bytes odd[] = {
		{ "", 0 }, { "a\r\nb", 4 }, { "\0", 1 }, { "\0\1\2\xff", 4 }, { "{tag}1", 6 }, { "{tag}2", 6 },
		{ "key with blanks", 15 }, { "*", 1 }, { "[a]", 3 }, { "\\", 1 }, { "\xc3\xa4", 2 }, { "7", 1 }, { "-1", 2 },
	};
	char buf[400];
	uint32_t r = gen_below(g, 20);
	if (r < 16) {
		gen_bytes(g, buf, (size_t)snprintf(buf, sizeof buf, "k%u", gen_below(g, 12)));
	} else if (r < 18) {
		const struct resp_bytes *o = &odd[gen_below(g, sizeof odd / sizeof *odd)];
		gen_bytes(g, o->ptr, o->len);
	} else if (r < 19 && g->types) {
		static const char *const typed[] = { "a-list", "a-set", "a-hash", "a-zset", "a-stream", NULL };
		gen_text(g, gen_pick(g, typed));
	} else {
		/* Around the limits of a key's length in an entry. */
		static const unsigned lens[] = { 15, 16, 31, 32, 63, 64, 127, 128, 253, 254, 255, 256, 257, 300 };
		size_t len = lens[gen_below(g, sizeof lens / sizeof *lens)];
		memset(buf, 'x', len);
		gen_bytes(g, buf, len);
	}
}

static const char *const odd_numbers[] = {
	"0", "1", "-1", "-0", "+1", "01", " 1", "1 ", "", "9223372036854775807", "-9223372036854775808",
	"9223372036854775808", "-9223372036854775809", "18446744073709551615", "18446744073709551616", "2147483647",
	"2147483648", "-2147483648", "-2147483649", "4294967295", "4294967296", "99999999999999999999999999", "1e3", "0x10",
	"1.5", "nan", "abc", "--1", "9223372036854775806", "-9223372036854775807", "127", "128", "255", "256", "32767",
	"32768", "65535", "65536", "10", "100", "1000", NULL,
};

void gen_any_int(struct gen *g)
{
	if (gen_chance(g, 40))
		gen_int(g, (int64_t)gen_below(g, 200) - 100);
	else
		gen_text(g, gen_pick(g, odd_numbers));
}

void gen_small_int(struct gen *g)
{
	if (gen_chance(g, 85))
		gen_int(g, (int64_t)gen_below(g, 41) - 20);
	else
		gen_any_int(g);
}

void gen_float(struct gen *g)
{
	static const char *const floats[] = {
		"0", "0.1", "-0.1", "1.5", "3.0e3", "-5.0e-4", "1e308", "-1e308", "1e-308", "inf", "-inf", "+inf", "infinity",
		"nan", "-nan", "0x1p4", "1e400", "1e4000", "1e5000", "  1", "1 ", "", "abc", "1.", ".5", "5e", "-0", "-0.0", "1e17",
		"123456789012345678901234567890", "3.141592653589793238462643383279", "9007199254740993", "0.30000000000000004",
		"1e18", "1e19", "1e21", "100000000000000000000", "0.00000000000000001", "0.000000000000000001", NULL,
	};
	char buf[64];
	if (gen_chance(g, 50))
		gen_text(g, gen_pick(g, floats));
	else
		gen_bytes(g, buf, (size_t)snprintf(buf, sizeof buf, "%.*f", (int)gen_below(g, 8),
		                                   (double)gen_below(g, 2000000) / 1000 - 1000));
}

static void random_bytes(struct gen *g, size_t len, bool text)
{
	char *at = g->arena + g->used;
	if (len > ARENA - g->used)
		abort();
	for (size_t i = 0; i < len; i++)
		at[i] = (char)(text ? 'a' + gen_below(g, 4) : gen_below(g, 256));
	gen_bytes(g, at, len);
}

void gen_small_value(struct gen *g)
{
	uint32_t r = gen_below(g, 10);
	if (r < 3)
		gen_any_int(g);
	else if (r < 4)
		gen_float(g);
	else if (r < 6)
		random_bytes(g, 40 + gen_below(g, 10), true); /* around the limit of embstr */
	else
		random_bytes(g, gen_below(g, 30), r < 8);
}

void gen_value(struct gen *g)
{
	static const unsigned lens[] = { 200, 1000, 4000, 32760, 32767, 32768, 32769, 40000, 65535, 65536 };
	if (gen_below(g, 60))
		gen_small_value(g);
	else
		random_bytes(g, lens[gen_below(g, gen_chance(g, 70) ? 3 : sizeof lens / sizeof *lens)], true);
}

void gen_pattern(struct gen *g)
{
	static const char *const patterns[] = {
		"*", "k*", "k?", "k1?", "k[0-5]", "k[^0-5]", "k[5-0]", "*1", "*\\**", "{tag}*", "[", "[a", "k\\1", "", "k1", "x*",
		"a*b", "\\", "**", "*?*", "??*", "k[", "[^k]*", "lcs*", NULL,
	};
	if (gen_chance(g, 90))
		gen_text(g, gen_pick(g, patterns));
	else
		gen_key(g);
}

void gen_ttl(struct gen *g, int unit)
{
	static const char *const refused[] = {
		"0", "-1", "-100000", "9223372036854775807", "-9223372036854775808", "9223372036854775808", "abc", "", "1.5",
		"9223372036854775", "9223372036854776", "92233720368547758070", "-9223372036854775", NULL,
	};
	if (gen_chance(g, 70))
		gen_int(g, (10000 + (int64_t)gen_below(g, 1000) * 1000) * unit);
	else
		gen_text(g, gen_pick(g, refused));
}

void gen_time(struct gen *g, int unit)
{
	static const char *const odd[] = {
		"0", "-1", "1", "1000", "1000000000", "9223372036854775807", "-9223372036854775808", "9223372036854775808", "abc",
		"9223372036854775", "9223372036854776", "", NULL,
	};
	if (gen_chance(g, 70))
		gen_int(g, (4102444800 + (int64_t)gen_below(g, 1000)) * unit + (unit > 1 ? gen_below(g, 1000) : 0));
	else
		gen_text(g, gen_pick(g, odd));
}

void gen_db(struct gen *g)
{
	static const char *const odd[] = { "-1", "16", "15", "100000000000", "abc", "", "2147483648", "1.0", " 1", NULL };
	if (gen_chance(g, 85))
		gen_int(g, gen_below(g, 3));
	else
		gen_text(g, gen_pick(g, odd));
}

void gen_scan_all(struct gen *g, const char *const *patterns)
{
	gen_text(g, gen_chance(g, 95) ? "0" : gen_chance(g, 50) ? "x" : "1.5");
	if (gen_chance(g, 40)) {
		gen_word(g, "MATCH");
		gen_text(g, gen_pick(g, patterns));
	}
	gen_word(g, gen_chance(g, 97) ? "COUNT" : "NOTHING");
	gen_text(g, gen_chance(g, 95) ? "1000000" : gen_chance(g, 50) ? "0" : "x");
}

void gen_alone(struct gen *g, const struct gen_row *row)
{
	gen_begin(g, row);
	gen_end(g, row);
}

void gen_one_key(struct gen *g, const struct gen_row *row)
{
	gen_begin(g, row);
	gen_key(g);
	gen_end(g, row);
}
