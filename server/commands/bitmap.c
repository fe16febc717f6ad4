/* bitmap: GETBIT, SETBIT, BITCOUNT, BITPOS, BITOP: strings as arrays of bits. BITFIELD is in bitfield.c. */
#include <stdlib.h>

#include "server/call.h"
#include "server/commands/bitmap.h"
#include "server/commands/groups.h"
#include "server/config.h"
#include "store/types/bitmap.h"

bool bitmap_read_offset(struct call *c, unsigned i, unsigned bits, uint64_t *offset)
{
	static const char error[] = "ERR bit offset is not an integer or out of range";
	const struct arg *a = &c->argv[i];
	bool by_size = bits && a->len && a->ptr[0] == '#';
	int64_t v;
	if (!number_parse(a->ptr + by_size, a->len - by_size, &v) || v < 0 ||
	    (by_size && __builtin_mul_overflow(v, (int64_t)bits, &v)) ||
	    (!c->replaying && v >> 3 >= config()->proto_max_bulk_len)) {
		reply_error(c->reply, error);
		return false;
	}
	*offset = (uint64_t)v;
	return true;
}

/* ------------------------------------------------------------------ single bits */

static void run_getbit(struct call *c)
{
	struct store_key key = call_key(c, 1);
	char buf[24];
	uint64_t offset;
	size_t len = 0;
	bool wrong;
	if (!bitmap_read_offset(c, 2, 0, &offset))
		return;
	const struct entry *e = call_find_read_type(c, &key, STORE_STRING, &wrong);
	if (wrong)
		return;
	const char *bytes = e ? entry_string(e, buf, &len) : NULL;
	reply_int(c->reply, bytes ? (int64_t)bitmap_get((const uint8_t *)bytes, len, offset, 1) : 0);
}

static void run_setbit(struct call *c)
{
	struct store_key key = call_key(c, 1);
	uint64_t offset;
	int64_t bit;
	bool wrong;
	char *bytes;
	if (!bitmap_read_offset(c, 2, 0, &offset) ||
	    !call_int_range(c, 3, 0, 1, &bit, "ERR bit is not an integer or out of range"))
		return;
	struct entry *e = call_find_write_type(c, &key, STORE_STRING, &wrong);
	if (wrong)
		return;
	size_t had = e ? entry_string_len(e) : 0, need = (offset >> 3) + 1;
	if (!store_string_grow(&c->op, &key, e, need > had ? need : had, &bytes)) {
		reply_oom(c->reply);
		return;
	}
	if (!e)
		call_event(c, &key, NOTIFY_NEW, "new");
	uint64_t old = bitmap_get((uint8_t *)bytes, need > had ? need : had, offset, 1);
	if (need > had || old != (uint64_t)bit) {
		bitmap_set((uint8_t *)bytes, offset, 1, (uint64_t)bit);
		call_touch(c, &key, NOTIFY_STRING, "setbit");
	}
	reply_int(c->reply, (int64_t)old);
}

/* ------------------------------------------------------------------ ranges */

/* Bits from..to (both within) of BITCOUNT and BITPOS; false: nothing is between them. */
struct range {
	int64_t start, end;
	bool by_bit, has_end;
};

static bool read_unit(struct call *c, unsigned i, struct range *r)
{
	if (arg_is(&c->argv[i], "bit"))
		r->by_bit = true;
	else if (!arg_is(&c->argv[i], "byte")) {
		reply_syntax_error(c->reply);
		return false;
	}
	return true;
}

/* Positions from the end become positions from the start; then both are counted in bits. */
static bool settle(struct range *r, size_t len)
{
	int64_t total = (int64_t)len * (r->by_bit ? 8 : 1);
	r->start += r->start < 0 ? total : 0;
	r->end += r->end < 0 ? total : 0;
	r->start = r->start < 0 ? 0 : r->start;
	r->end = r->end < 0 ? 0 : r->end;
	r->end = r->end >= total ? total - 1 : r->end; /* of no bytes: before the start */
	if (r->start > r->end)
		return false;
	if (!r->by_bit) {
		r->start *= 8;
		r->end = r->end * 8 + 7;
	}
	return true;
}

/* The byte with the bits outside of the range cleared (or set). */
static uint8_t edge(const uint8_t *bytes, const struct range *r, int64_t byte, bool fill)
{
	uint8_t mask = 255;
	if (byte == r->start >> 3)
		mask &= (uint8_t)(255 >> (r->start & 7));
	if (byte == r->end >> 3)
		mask &= (uint8_t)(255 << (7 - (r->end & 7)));
	return fill ? (uint8_t)(bytes[byte] | ~mask) : bytes[byte] & mask;
}

static uint64_t count_range(const uint8_t *bytes, const struct range *r)
{
	int64_t first = r->start >> 3, last = r->end >> 3;
	uint64_t n = (uint64_t)__builtin_popcount(edge(bytes, r, first, false));
	if (last > first)
		n += (uint64_t)__builtin_popcount(edge(bytes, r, last, false)) +
		     bitmap_count(bytes + first + 1, (size_t)(last - first - 1));
	return n;
}

static void run_bitcount(struct call *c)
{
	struct store_key key = call_key(c, 1);
	struct range r = { .end = -1 };
	char buf[24];
	size_t len;
	bool wrong;
	if (c->argc == 3 || c->argc > 5) {
		reply_syntax_error(c->reply);
		return;
	}
	if (c->argc > 3 && (!call_int(c, 2, &r.start) || !call_int(c, 3, &r.end) || (c->argc == 5 && !read_unit(c, 4, &r))))
		return;
	const struct entry *e = call_find_read_type(c, &key, STORE_STRING, &wrong);
	if (wrong)
		return;
	const char *bytes = e ? entry_string(e, buf, &len) : NULL;
	if (r.start < 0 && r.end < 0 && r.start > r.end) /* BITPOS takes them for the first byte */
		bytes = NULL;
	reply_int(c->reply, bytes && settle(&r, len) ? (int64_t)count_range((const uint8_t *)bytes, &r) : 0);
}

/* The first such bit in the range, or -1. */
static int64_t find_range(const uint8_t *bytes, const struct range *r, bool bit)
{
	int64_t first = r->start >> 3, last = r->end >> 3;
	uint8_t one = edge(bytes, r, first, !bit);
	uint64_t at = bitmap_find(&one, 1, bit);
	if (at < 8)
		return first * 8 + (int64_t)at;
	if (last == first)
		return -1;
	size_t middle = (size_t)(last - first - 1);
	at = bitmap_find(bytes + first + 1, middle, bit);
	if (at < middle * 8)
		return (first + 1) * 8 + (int64_t)at;
	one = edge(bytes, r, last, !bit);
	at = bitmap_find(&one, 1, bit);
	return at < 8 ? last * 8 + (int64_t)at : -1;
}

static void run_bitpos(struct call *c)
{
	struct store_key key = call_key(c, 1);
	struct range r = { .end = -1, .has_end = c->argc > 4 };
	int64_t bit;
	char buf[24];
	size_t len;
	bool wrong;
	if (!call_int(c, 2, &bit))
		return;
	if (bit != 0 && bit != 1) {
		reply_error(c->reply, "ERR The bit argument must be 1 or 0.");
		return;
	}
	if (c->argc > 6) {
		reply_syntax_error(c->reply);
		return;
	}
	if ((c->argc > 3 && !call_int(c, 3, &r.start)) || (c->argc > 5 && !read_unit(c, 5, &r)) ||
	    (c->argc > 4 && !call_int(c, 4, &r.end)))
		return;
	const struct entry *e = call_find_read_type(c, &key, STORE_STRING, &wrong);
	if (wrong)
		return;
	if (!e) { /* an endless row of zeros */
		reply_int(c->reply, bit ? -1 : 0);
		return;
	}
	const char *bytes = entry_string(e, buf, &len);
	int64_t at = settle(&r, len) ? find_range((const uint8_t *)bytes, &r, bit) : -2;
	/* Zeros are thought behind the end, if no end was given. */
	if (at == -1 && !bit && !r.has_end)
		at = (int64_t)len * 8;
	reply_int(c->reply, at < 0 ? -1 : at);
}

/* ------------------------------------------------------------------ BITOP */

/* The result in place of whatever the key held. It answers `raw`, however short. */
static void bitop_store(struct call *c, const struct store_key *key, const char *bytes, size_t len)
{
	bool fresh = call_observed() && !store_exists(&c->op, key);
	struct entry *e = store_set_string(&c->op, key, bytes, len, STORE_NO_EXPIRY);
	char *at;
	if (!e) {
		reply_oom(c->reply);
		return;
	}
	if (entry_encoding(e) != STRING_RAW)
		store_string_grow(&c->op, key, e, len, &at); /* if memory is short, the value is right all the same */
	if (fresh)
		call_event(c, key, NOTIFY_NEW, "new");
	call_touch(c, key, NOTIFY_STRING, "set");
	reply_int(c->reply, (int64_t)len);
}

/* The sources from argv[3] on; the length of the longest. false: the error is written. */
static bool bitop_sources(struct call *c, struct bitmap_source *s, char (*bufs)[24], size_t *longest)
{
	*longest = 0;
	for (unsigned i = 3; i < c->argc; i++, s++, bufs++) {
		struct store_key key = call_key(c, i);
		bool wrong;
		const struct entry *e = call_find_read_type(c, &key, STORE_STRING, &wrong);
		if (wrong)
			return false;
		*s = (struct bitmap_source){ "", 0 };
		if (e)
			s->bytes = entry_string(e, *bufs, &s->len);
		if (s->len > *longest)
			*longest = s->len;
	}
	return true;
}

static void run_bitop(struct call *c)
{
	static const char *const names[] = { "AND", "OR", "XOR", "NOT" };
	struct store_key to = call_key(c, 2);
	unsigned op = 0, n = c->argc - 3;
	size_t len;
	while (op <= BITMAP_NOT && !arg_is(&c->argv[1], names[op]))
		op++;
	if (op > BITMAP_NOT) {
		reply_syntax_error(c->reply);
		return;
	}
	if (op == BITMAP_NOT && n != 1) {
		reply_error(c->reply, "ERR BITOP NOT must be called with a single source key.");
		return;
	}
	struct bitmap_source *sources = malloc(n * sizeof *sources);
	char(*bufs)[24] = malloc(n * sizeof *bufs), *out = NULL;
	if (!sources || !bufs) {
		reply_oom(c->reply);
	} else if (!bitop_sources(c, sources, bufs, &len)) {
		/* the error is written */
	} else if (len == 0) {
		if (store_delete(&c->op, &to, true))
			call_touch(c, &to, NOTIFY_GENERIC, "del");
		reply_int(c->reply, 0);
	} else if (!(out = malloc(len))) {
		reply_oom(c->reply);
	} else {
		bitmap_combine((enum bitmap_op)op, out, len, sources, n);
		bitop_store(c, &to, out, len);
	}
	free(out);
	free(bufs);
	free(sources);
}

#define UNIT "[unit:<byte:BYTE|bit:BIT>@7.0.0]"

struct command bitmap_commands[] = {
	{ .name = "setbit", .run = run_setbit, .class = EXEC_KEYED, .arity = 4, .flags = CMD_WRITE | CMD_DENYOOM,
	  .acl = ACL_BITMAP, .keys = { KEY_ONE(KEY_RW | KEY_ACCESS | KEY_UPDATE) }, .group = "bitmap", .since = "2.2.0",
	  .summary = "Sets a bit of a string and answers what it was.", .complexity = "O(1)",
	  .args = "key:key#0 offset:integer value:integer" },
	{ .name = "getbit", .run = run_getbit, .class = EXEC_KEYED, .arity = 3, .flags = CMD_READONLY | CMD_FAST,
	  .acl = ACL_BITMAP, .keys = { KEY_ONE(KEY_RO | KEY_ACCESS) }, .group = "bitmap", .since = "2.2.0",
	  .summary = "Answers a bit of a string.", .complexity = "O(1)", .args = "key:key#0 offset:integer" },
	{ .name = "bitcount", .run = run_bitcount, .class = EXEC_KEYED, .arity = -2, .flags = CMD_READONLY, .acl = ACL_BITMAP,
	  .keys = { KEY_ONE(KEY_RO | KEY_ACCESS) }, .group = "bitmap", .since = "2.6.0",
	  .summary = "Counts the bits that are set in a string or a part of it.", .complexity = "O(N) in the bytes",
	  .args = "key:key#0 [range:{start:integer end:integer " UNIT "}]", .history = "7.0.0 Units BYTE and BIT." },
	{ .name = "bitpos", .run = run_bitpos, .class = EXEC_KEYED, .arity = -3, .flags = CMD_READONLY, .acl = ACL_BITMAP,
	  .keys = { KEY_ONE(KEY_RO | KEY_ACCESS) }, .group = "bitmap", .since = "2.8.7",
	  .summary = "Finds the first bit of a string that is set, or that is not.", .complexity = "O(N) in the bytes",
	  .args = "key:key#0 bit:integer [range:{start:integer [end-unit-block:{end:integer " UNIT "}]}]",
	  .history = "7.0.0 Units BYTE and BIT." },
	{ .name = "bitop", .run = run_bitop, .class = EXEC_KEYED, .arity = -4, .flags = CMD_WRITE | CMD_DENYOOM,
	  .acl = ACL_BITMAP,
	  .keys = { KEY_RANGE(KEY_OW | KEY_UPDATE, 2, 0, 1), KEY_RANGE(KEY_RO | KEY_ACCESS, 3, -1, 1) }, .group = "bitmap",
	  .since = "2.6.0", .summary = "Combines strings bit by bit and stores the result.",
	  .complexity = "O(N) in the bytes of the longest string",
	  .args = "operation:<and:AND|or:OR|xor:XOR|not:NOT> destkey:key#0 key:key#1..." },
	{ .name = NULL },
};
