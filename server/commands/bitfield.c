/* bitfield: BITFIELD, BITFIELD_RO: integers of any width at any bit of a string. */
#include <stdlib.h>

#include "server/call.h"
#include "server/commands/bitmap.h"
#include "server/commands/groups.h"
#include "store/types/bitmap.h"

enum action { FIELD_GET, FIELD_SET, FIELD_INCRBY };

struct field {
	enum action action;
	enum bitmap_overflow overflow;
	bool is_signed;
	unsigned bits;
	uint64_t offset;
	int64_t value;
};

struct fields {
	struct field *v;
	unsigned n;
	bool writes;
	uint64_t end; /* the bit behind the last that is written */
};

/* "u8", "i64": unsigned up to 63 bits, signed up to 64. */
static bool read_type(struct call *c, unsigned i, struct field *f)
{
	const struct arg *a = &c->argv[i];
	int64_t bits = 0;
	f->is_signed = a->len && a->ptr[0] == 'i';
	if (a->len < 2 || (!f->is_signed && a->ptr[0] != 'u') || !number_parse(a->ptr + 1, a->len - 1, &bits) || bits < 1 ||
	    bits > (f->is_signed ? 64 : 63)) {
		reply_error(c->reply, "ERR Invalid bitfield type. Use something like i16 u8. Note that u64 is not supported "
		                      "but i64 is.");
		return false;
	}
	f->bits = (unsigned)bits;
	return true;
}

static bool read_overflow(struct call *c, unsigned i, enum bitmap_overflow *how)
{
	static const char *const names[] = { "wrap", "sat", "fail" };
	for (unsigned k = 0; k < 3; k++) {
		if (arg_is(&c->argv[i], names[k])) {
			*how = (enum bitmap_overflow)k;
			return true;
		}
	}
	reply_error(c->reply, "ERR Invalid OVERFLOW type specified");
	return false;
}

/* out->v has room for all arguments. */
static bool read_fields(struct call *c, struct fields *out, bool read_only)
{
	static const struct {
		const char *word;
		unsigned args;
	} words[] = { { "get", 2 }, { "set", 3 }, { "incrby", 3 } };
	enum bitmap_overflow overflow = BITMAP_WRAP;
	for (unsigned i = 2; i < c->argc;) {
		unsigned left = c->argc - i - 1, k = 0;
		if (arg_is(&c->argv[i], "overflow") && left >= 1) {
			if (!read_overflow(c, i + 1, &overflow))
				return false;
			i += 2;
			continue;
		}
		while (k < 3 && !(arg_is(&c->argv[i], words[k].word) && left >= words[k].args))
			k++;
		if (k == 3) {
			reply_syntax_error(c->reply);
			return false;
		}
		struct field *f = &out->v[out->n];
		*f = (struct field){ .action = (enum action)k, .overflow = overflow };
		if (!read_type(c, i + 1, f) || !bitmap_read_offset(c, i + 2, f->bits, &f->offset))
			return false;
		if (k != FIELD_GET) {
			if (!call_int(c, i + 3, &f->value))
				return false;
			out->writes = true;
			out->end = f->offset + f->bits > out->end ? f->offset + f->bits : out->end;
		}
		out->n++;
		i += 1 + words[k].args;
	}
	if (read_only && out->writes)
		reply_error(c->reply, "ERR BITFIELD_RO only supports the GET subcommand");
	return !read_only || !out->writes;
}

static int64_t read_field(const struct field *f, const uint8_t *bytes, size_t len)
{
	uint64_t v = bitmap_get(bytes, len, f->offset, f->bits);
	if (f->is_signed && f->bits < 64 && v >> (f->bits - 1))
		v |= UINT64_MAX << f->bits;
	return (int64_t)v;
}

/* Whether the field fits is the only question of SET: its value counts as added to nothing. true: it was changed. */
static bool write_field(struct reply *r, const struct field *f, uint8_t *bytes, size_t len)
{
	int64_t old = read_field(f, bytes, len), fresh;
	bool set = f->action == FIELD_SET;
	/* An unsigned field takes a negative value as the large number that its bits are. */
	bool ok = set && !f->is_signed && f->value < 0
	                  ? bitmap_add(false, f->bits, -1, 0, f->overflow, &fresh)
	                  : bitmap_add(f->is_signed, f->bits, set ? f->value : old, set ? 0 : f->value, f->overflow, &fresh);
	if (ok && set && !f->is_signed && f->value < 0 && f->overflow == BITMAP_WRAP)
		fresh = f->bits < 64 ? f->value & (int64_t)(((uint64_t)1 << f->bits) - 1) : f->value;
	if (!ok) {
		reply_null(r);
		return false;
	}
	bitmap_set(bytes, f->offset, f->bits, (uint64_t)fresh);
	reply_int(r, set ? old : fresh);
	return fresh != old;
}

static void run_fields(struct call *c, const struct fields *fields, struct entry *e)
{
	struct store_key key = call_key(c, 1);
	char buf[24], *writable = NULL;
	size_t len = 0, had = e ? entry_string_len(e) : 0;
	const uint8_t *bytes = NULL;
	unsigned changes = 0;
	if (fields->writes) {
		len = (fields->end + 7) >> 3;
		len = len > had ? len : had;
		if (!store_string_grow(&c->op, &key, e, len, &writable)) {
			reply_oom(c->reply);
			return;
		}
		if (!e)
			call_event(c, &key, NOTIFY_NEW, "new");
		bytes = (const uint8_t *)writable;
	} else if (e) {
		bytes = (const uint8_t *)entry_string(e, buf, &len);
	}
	reply_array(c->reply, fields->n);
	for (unsigned i = 0; i < fields->n; i++) {
		const struct field *f = &fields->v[i];
		if (f->action == FIELD_GET)
			reply_int(c->reply, bytes ? read_field(f, bytes, len) : 0);
		else
			changes += write_field(c->reply, f, (uint8_t *)writable, len);
	}
	if (changes || len > had) {
		if (fields->writes)
			/* Where no field fits, the string may have grown: that is journaled, but no event. */
			call_touch(c, &key, NOTIFY_STRING, changes ? "setbit" : NULL);
	}
}

static void bitfield(struct call *c, bool read_only)
{
	struct store_key key = call_key(c, 1);
	struct fields fields = { .v = malloc(c->argc * sizeof *fields.v) };
	bool wrong;
	if (!fields.v) {
		reply_oom(c->reply);
		return;
	}
	if (read_fields(c, &fields, read_only)) {
		struct entry *e = fields.writes ? call_find_write_type(c, &key, STORE_STRING, &wrong)
		                                : call_find_read_type(c, &key, STORE_STRING, &wrong);
		if (!wrong)
			run_fields(c, &fields, e);
	}
	free(fields.v);
}

static void run_bitfield(struct call *c)
{
	bitfield(c, false);
}

static void run_bitfield_ro(struct call *c)
{
	bitfield(c, true);
}

#define GET_ARGS "encoding:string offset:integer"

struct command bitfield_commands[] = {
	{ .name = "bitfield", .run = run_bitfield, .class = EXEC_KEYED, .arity = -2, .flags = CMD_WRITE | CMD_DENYOOM,
	  .acl = ACL_BITMAP,
	  .keys = { { .flags = KEY_RW | KEY_ACCESS | KEY_UPDATE | KEY_VARIABLE_FLAGS, .begin = 1, .step = 1,
	              .notes = "Reads the key, and with SET and INCRBY writes it." } },
	  .group = "bitmap", .since = "3.2.0", .summary = "Reads and writes integers of any width within a string.",
	  .complexity = "O(1) for each operation",
	  .args = "key:key#0 [operation:<GET get-block:{" GET_ARGS "}|write:{[OVERFLOW overflow-block:<wrap:WRAP|sat:SAT|"
	          "fail:FAIL>] write-operation:<SET set-block:{" GET_ARGS " value:integer}|INCRBY incrby-block:{" GET_ARGS
	          " increment:integer}>}>...]" },
	{ .name = "bitfield_ro", .run = run_bitfield_ro, .class = EXEC_KEYED, .arity = -2, .flags = CMD_READONLY | CMD_FAST,
	  .acl = ACL_BITMAP, .keys = { KEY_ONE(KEY_RO | KEY_ACCESS) }, .group = "bitmap", .since = "6.0.0",
	  .summary = "Reads integers of any width within a string.", .complexity = "O(1) for each operation",
	  .args = "key:key#0 [GET get-block:{" GET_ARGS "}...+]" },
	{ .name = NULL },
};
