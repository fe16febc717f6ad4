/* DUMP and RESTORE: payloads of every type in forms that all servers know, their options, and broken footers. */
#include <string.h>

#include "tests/diff/gen.h"

static void make_dump(struct gen *g, const struct gen_row *row)
{
	gen_begin(g, row);
	gen_key(g);
	gen_end(g, row);
}

#define VALUE(literal) { literal, sizeof(literal) - 1 }
static const struct resp_bytes values[] = {
	VALUE("\x00\x05hello"), VALUE("\x00\xc0\x0c"), VALUE("\x00\xc2\xff\xff\xff\x7f"), VALUE("\x00\x00"),
	VALUE("\x01\x03\x01" "a\x01" "b\xc0\x07"), VALUE("\x02\x02\x01" "x\xc1\x10\x27"), VALUE("\x02\x02\xc0\x01\xc0\x05"),
	VALUE("\x03\x03\x01" "a\x03" "1.5\x01" "b\xfe\x01" "c\xff"), VALUE("\x04\x02\x01" "f\x01v\x01g\xc0\x09"),
	VALUE("\x05\x01\x01m\x00\x00\x00\x00\x00\x00\xf8\x3f"), VALUE("\x09\x0c\x02\x01" "a\x01\x00" "1\x01" "b\x01\x00" "2\xff"),
	VALUE("\x0a\x18\x18\x00\x00\x00\x15\x00\x00\x00\x04\x00\x00\x02" "ab\x04\xc0\x10\x27\x04\xfe\x9c\x03\xf2\xff"),
	VALUE("\x0b\x0e\x02\x00\x00\x00\x03\x00\x00\x00\xff\xff\x01\x00\x05\x00"),
	VALUE("\x0c\x11\x11\x00\x00\x00\x0d\x00\x00\x00\x02\x00\x00\x01" "m\x03\x01" "7\xff"),
	VALUE("\x0d\x11\x11\x00\x00\x00\x0d\x00\x00\x00\x02\x00\x00\x01" "f\x03\x01" "v\xff"),
	VALUE("\x0e\x01\x0e\x0e\x00\x00\x00\x0a\x00\x00\x00\x01\x00\x00\x01" "a\xff"),
	VALUE("\x10\x0d\x0d\x00\x00\x00\x02\x00\x81" "b\x02\x81" "c\x02\xff"),
	VALUE("\x11\x0c\x0c\x00\x00\x00\x02\x00\x81" "b\x02\x07\x01\xff"),
	VALUE("\x12\x01\x02\x0d\x0d\x00\x00\x00\x02\x00\x81" "a\x02\x81" "b\x02\xff"),
	/* A type that there is not, an empty list, a string cut short, no value at all. */
	VALUE("\x19\x01"), VALUE("\x01\x00"), VALUE("\x00\x3fhel"), VALUE(""),
};

/* CRC-64 of Jones's polynomial, reflected: bit by bit, and not the server's own. */
static uint64_t checksum(const uint8_t *bytes, size_t len)
{
	uint64_t crc = 0;
	for (size_t i = 0; i < len * 8; i++) {
		if (i % 8 == 0)
			crc ^= bytes[i / 8];
		crc = crc & 1 ? crc >> 1 ^ 0x95ac9329ac4bc9b5u : crc >> 1;
	}
	return crc;
}

static void payload(struct gen *g)
{
	const struct resp_bytes *v = &values[gen_below(g, sizeof values / sizeof *values)];
	uint8_t bytes[64];
	memcpy(bytes, v->ptr, v->len);
	bytes[v->len] = (uint8_t)(6 + gen_below(g, 5));
	bytes[v->len + 1] = gen_chance(g, 97) ? 0 : 1; /* a version far away */
	uint64_t crc = checksum(bytes, v->len + 2);
	memcpy(bytes + v->len + 2, &crc, sizeof crc);
	size_t len = v->len + 10;
	if (gen_chance(g, 4))
		bytes[gen_below(g, (uint32_t)len)] ^= 0x10;
	if (gen_chance(g, 3))
		len = gen_below(g, (uint32_t)len);
	gen_bytes(g, bytes, len);
}

static void make_restore(struct gen *g, const struct gen_row *row)
{
	/* None whose sum with the time of day is beyond 2^63: there the key is gone at once, here it stays. */
	static const char *const ttls[] = { "100000000", "4000000000", "9000000000000000000", "-1", "x", "9223372036854775808", NULL };
	static const char *const ages[] = { "0", "10", "255", "256", "-1", "x", "1000000", NULL };
	bool absolute = gen_chance(g, 15);
	gen_begin(g, row);
	gen_key(g);
	if (absolute)
		gen_time(g, 1000);
	else if (gen_chance(g, 70))
		gen_int(g, 0);
	else
		gen_text(g, gen_pick(g, ttls));
	payload(g);
	if (absolute)
		gen_word(g, "ABSTTL");
	if (gen_chance(g, 70))
		gen_word(g, "REPLACE");
	if (gen_chance(g, 15)) {
		gen_word(g, gen_chance(g, 50) ? "IDLETIME" : "FREQ");
		if (gen_chance(g, 95))
			gen_text(g, gen_pick(g, ages));
	}
	if (gen_chance(g, 3)) {
		gen_word(g, gen_chance(g, 50) ? "FREQ" : "other");
		gen_text(g, "1");
	}
	gen_end(g, row);
}

static const struct gen_row rows[] = {
	{ "dump", make_dump, 3, 0, CMP_KIND },
	{ "restore", make_restore, 8, GEN_FIXED, CMP_EXACT },
	{ "restore-asking", make_restore, 1, GEN_FIXED, CMP_EXACT },
	{ 0 },
};

const struct gen_group gen_group_dump = { "dump", rows };
