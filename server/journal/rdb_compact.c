/* rdb_compact: see rdb_compact.h. */
#include "server/journal/rdb_compact.h"

#include <errno.h>
#include <stdint.h>
#include <string.h>

#include "store/number.h"
#include "store/types/value.h"

static uint64_t little(const uint8_t *p, unsigned n)
{
	uint64_t v = 0;
	memcpy(&v, p, n);
	return v;
}

static int64_t little_signed(const uint8_t *p, unsigned n)
{
	uint64_t v = little(p, n);
	unsigned unused = 64 - 8 * n;
	return (int64_t)(v << unused) >> unused;
}

static void visit_number(int64_t v, rdb_compact_visit *visit, void *ctx)
{
	char text[NUMBER_MAX];
	visit(ctx, text, number_print(text, v));
}

int rdb_walk_listpack(const void *bytes, size_t len, rdb_compact_visit *visit, void *ctx)
{
	if (!listpack_validate(bytes, len, true))
		return -EINVAL;
	for (const uint8_t *p = listpack_first(bytes); p; p = listpack_next(bytes, p)) {
		char buf[NUMBER_MAX];
		size_t n;
		const char *text = listpack_text(p, buf, &n);
		visit(ctx, text, n);
	}
	return 0;
}

/* Width, number, integers; both of four bytes, all little-endian. */
int rdb_walk_intset(const void *bytes, size_t len, rdb_compact_visit *visit, void *ctx)
{
	const uint8_t *p = bytes;
	if (len < 8)
		return -EINVAL;
	uint64_t width = little(p, 4), n = little(p + 4, 4);
	if ((width != 2 && width != 4 && width != 8) || len - 8 != width * n)
		return -EINVAL;
	int64_t last = INT64_MIN;
	p += 8;
	for (uint64_t i = 0; i < n; i++, p += width) {
		int64_t v = little_signed(p, (unsigned)width);
		if (i > 0 && v <= last)
			return -EINVAL;
		last = v;
		visit_number(v, visit, ctx);
	}
	return 0;
}

/* ------------------------------------------------------------------ ziplist */

/*
 * u32 bytes, u32 offset of the last entry, u16 number, entries, 0xff. An entry is the length of the one before it (a byte,
 * or 0xfe and four), its own encoding and length, and its bytes.
 */
#define ZIPLIST_HEAD 10
#define ZIPLIST_END 0xff

/* An integer of the encoding byte: its width in bytes, 0: in the byte itself; -1: no integer. */
static int ziplist_int_width(uint8_t encoding)
{
	switch (encoding) {
	case 0xc0: return 2;
	case 0xd0: return 4;
	case 0xe0: return 8;
	case 0xf0: return 3;
	case 0xfe: return 1;
	default: return encoding >= 0xf1 && encoding <= 0xfd ? 0 : -1;
	}
}

/* The bytes used by one entry without its back length, or 0: damaged. */
static size_t ziplist_entry(const uint8_t *p, size_t room, rdb_compact_visit *visit, void *ctx)
{
	size_t head, len;
	if (room < 5)
		return 0; /* every head fits: the end mark and what is checked below take no less */
	switch (p[0] >> 6) {
	case 0:
		head = 1;
		len = p[0] & 63;
		break;
	case 1:
		head = 2;
		len = (size_t)(p[0] & 63) << 8 | p[1];
		break;
	case 2:
		head = 5;
		len = (size_t)p[1] << 24 | (size_t)p[2] << 16 | (size_t)p[3] << 8 | p[4];
		break;
	default: {
		int width = ziplist_int_width(p[0]);
		if (width < 0 || room - 1 < (size_t)width)
			return 0;
		visit_number(width ? little_signed(p + 1, (unsigned)width) : (p[0] & 15) - 1, visit, ctx);
		return 1 + (size_t)width;
	}
	}
	if (len > room - head)
		return 0;
	visit(ctx, (const char *)p + head, len);
	return head + len;
}

int rdb_walk_ziplist(const void *bytes, size_t len, rdb_compact_visit *visit, void *ctx)
{
	const uint8_t *p = bytes, *end = p + len;
	uint8_t tail[16];
	size_t n = 0, claimed, before = 0;
	if (len < ZIPLIST_HEAD + 1 || little(p, 4) != len || end[-1] != ZIPLIST_END)
		return -EINVAL;
	claimed = (size_t)little(p + 8, 2);
	for (p += ZIPLIST_HEAD; p < end - 1; n++) {
		const uint8_t *start = p;
		size_t back = *p == 0xfe ? 5 : 1, room = (size_t)(end - 1 - p);
		if (*p == 0xff || room <= back || (back == 1 ? p[0] : little(p + 1, 4)) != before)
			return -EINVAL;
		p += back;
		room -= back;
		/* The last entries may be shorter than a head can be: look at them with room behind. */
		bool near_end = room < sizeof tail;
		if (near_end) {
			memset(tail, 0, sizeof tail);
			memcpy(tail, p, room);
		}
		size_t used = ziplist_entry(near_end ? tail : p, near_end ? sizeof tail : room, visit, ctx);
		if (!used || used > room)
			return -EINVAL;
		p += used;
		before = (size_t)(p - start);
	}
	return p == end - 1 && (claimed == UINT16_MAX || claimed == n) ? 0 : -EINVAL;
}

/* ------------------------------------------------------------------ zipmap */

/* A length: a byte below 254, or 254 and four bytes; 255 is the end. */
static bool zipmap_len(const uint8_t **p, const uint8_t *end, size_t *len)
{
	if (*p >= end || **p == 255)
		return false;
	if (**p < 254) {
		*len = *(*p)++;
		return true;
	}
	if (end - *p < 5)
		return false;
	*len = (size_t)little(*p + 1, 4);
	*p += 5;
	return true;
}

/* A byte of number, then field length, field, value length, a byte of unused space, value, that space; 0xff. */
int rdb_walk_zipmap(const void *bytes, size_t len, rdb_compact_visit *visit, void *ctx)
{
	const uint8_t *p = bytes, *end = p + len;
	if (len < 2 || end[-1] != 0xff)
		return -EINVAL;
	for (p++, end--; p < end;) {
		size_t field_len, val_len;
		if (!zipmap_len(&p, end, &field_len) || field_len > (size_t)(end - p))
			return -EINVAL;
		const uint8_t *field = p;
		p += field_len;
		if (!zipmap_len(&p, end, &val_len) || p >= end)
			return -EINVAL;
		size_t unused = *p++;
		if (val_len > (size_t)(end - p) || unused > (size_t)(end - p) - val_len)
			return -EINVAL;
		visit(ctx, (const char *)field, field_len);
		visit(ctx, (const char *)p, val_len);
		p += val_len + unused;
	}
	return 0;
}
