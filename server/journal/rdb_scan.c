/* rdb_scan: see rdb_scan.h. */
#include "server/journal/rdb_scan.h"

#include <endian.h>
#include <errno.h>
#include <liblzf/lzf.h>
#include <stdio.h>
#include <stdlib.h>

#include "store/number.h"

#define LEN_14 1
#define LEN_MORE 2 /* 0x80: 32 bits follow, 0x81: 64 bits */
#define LEN_ENCODED 3
enum { ENCODED_INT8, ENCODED_INT16, ENCODED_INT32, ENCODED_LZF };

#define COPY_BUFFER (256 * 1024)
#define COMPRESS_FROM 21 /* bytes; shorter strings do not get shorter */
#define COMPRESS_MAX (512u * 1024 * 1024)

/* ------------------------------------------------------------------ lengths and strings */

/* Forward without copying. */
static inline const uint8_t *skip(struct rdb_scan *s, size_t n)
{
	if (__builtin_expect((size_t)(s->end - s->p) < n || s->more || s->bad, 0)) {
		s->more = s->more || !s->bad;
		return NULL;
	}
	const uint8_t *at = s->p;
	s->p += n;
	return at;
}

const uint8_t *rdb_scan_raw(struct rdb_scan *s, size_t n)
{
	const uint8_t *at = skip(s, n);
	if (at && s->copy)
		rdb_copy_bytes(s->copy, at, n);
	return at;
}

static uint64_t big(const uint8_t *p, unsigned n)
{
	uint64_t v = 0;
	for (unsigned i = 0; i < n; i++)
		v = v << 8 | p[i];
	return v;
}

/* encoded: the low bits name an encoding instead. */
static uint64_t length(struct rdb_scan *s, bool *encoded)
{
	const uint8_t *b = skip(s, 1);
	*encoded = false;
	if (!b)
		return 0;
	switch (*b >> 6) {
	case 0:
		return *b & 63;
	case LEN_14: {
		const uint8_t *low = skip(s, 1);
		return low ? (uint64_t)(*b & 63) << 8 | *low : 0;
	}
	case LEN_MORE: {
		unsigned n = *b == 0x80 ? 4 : *b == 0x81 ? 8 : 0;
		if (!n)
			s->bad = "unknown encoding of a length";
		const uint8_t *at = n ? skip(s, n) : NULL;
		return at ? big(at, n) : 0;
	}
	default:
		*encoded = true;
		return *b & 63;
	}
}

uint64_t rdb_scan_len(struct rdb_scan *s)
{
	bool encoded;
	const uint8_t *at = s->p;
	uint64_t v = length(s, &encoded);
	if (encoded)
		s->bad = "a length is expected, not an encoded string";
	if (s->copy && rdb_scan_ok(s))
		rdb_copy_bytes(s->copy, at, (size_t)(s->p - at));
	return v;
}

/* What a string is made of. */
struct string {
	enum { PLAIN, INTEGER, PACKED } kind;
	const uint8_t *bytes; /* plain or packed */
	size_t n, len;        /* bytes here, and unpacked */
	int64_t integer;
};

static bool read_string(struct rdb_scan *s, struct string *out)
{
	bool encoded;
	uint64_t n = length(s, &encoded);
	*out = (struct string){ .kind = PLAIN };
	if (!encoded) {
		out->bytes = skip(s, n);
		out->n = out->len = n;
	} else if (n == ENCODED_LZF) {
		out->kind = PACKED;
		out->n = length(s, &encoded);
		out->len = encoded ? 0 : length(s, &encoded);
		if (rdb_scan_ok(s) && (encoded || !out->n || !out->len))
			s->bad = "bad lengths of a compressed string";
		out->bytes = rdb_scan_ok(s) ? skip(s, out->n) : NULL;
	} else if (n <= ENCODED_INT32) {
		out->kind = INTEGER;
		out->n = (size_t)1 << n;
		const uint8_t *at = out->bytes = skip(s, out->n);
		uint32_t v = 0;
		for (unsigned i = 0; at && i < out->n; i++)
			v |= (uint32_t)at[i] << 8 * i;
		out->integer = n == ENCODED_INT8 ? (int8_t)v : n == ENCODED_INT16 ? (int16_t)v : (int32_t)v;
	} else {
		s->bad = "unknown encoding of a string";
	}
	return rdb_scan_ok(s);
}

void rdb_scan_string(struct rdb_scan *s)
{
	const uint8_t *at = s->p;
	struct string str;
	if (!read_string(s, &str) || !s->copy)
		return;
	if (str.kind == PLAIN && str.len >= COMPRESS_FROM && s->copy->compress)
		rdb_copy_string(s->copy, str.bytes, str.len);
	else
		rdb_copy_bytes(s->copy, at, (size_t)(s->p - at));
}

bool rdb_scan_text(struct rdb_scan *s, const char **text, size_t *len, char **heap)
{
	struct string str;
	*heap = NULL;
	if (!read_string(s, &str))
		return false;
	*text = (const char *)str.bytes;
	*len = str.len;
	if (str.kind == PLAIN)
		return true;
	/* What a compressed string claims to be is not believed: LZF makes at most 264 bytes of 3. */
	if (str.kind == PACKED && str.len / 100 > str.n) {
		s->bad = "a compressed string claims more than it can hold";
		return false;
	}
	*text = *heap = malloc(str.kind == PACKED ? str.len : NUMBER_MAX);
	if (!*heap) {
		s->bad = "out of memory";
	} else if (str.kind == INTEGER) {
		*len = number_print(*heap, str.integer);
	} else if (str.n > UINT32_MAX || str.len > UINT32_MAX ||
	           lzf_decompress(str.bytes, (unsigned)str.n, *heap, (unsigned)str.len) != str.len) {
		s->bad = "a compressed string is damaged";
		free(*heap);
		*heap = NULL;
	}
	return rdb_scan_ok(s);
}

/* ------------------------------------------------------------------ values */

static void strings(struct rdb_scan *s, uint64_t n)
{
	while (n-- > 0 && rdb_scan_ok(s))
		rdb_scan_string(s);
}

static void raws(struct rdb_scan *s, uint64_t n, size_t each)
{
	while (n-- > 0 && rdb_scan_raw(s, each))
		;
}

static void lens(struct rdb_scan *s, unsigned n)
{
	while (n-- > 0 && rdb_scan_ok(s))
		rdb_scan_len(s);
}

static uint64_t doubled(struct rdb_scan *s, uint64_t n)
{
	if (n > UINT64_MAX / 2)
		s->bad = "too many elements";
	return s->bad ? 0 : 2 * n;
}

/* A score as text: a byte of length, or 253 to 255 for what is no number. */
static void text_scores(struct rdb_scan *s, uint64_t n)
{
	while (n-- > 0 && rdb_scan_ok(s)) {
		rdb_scan_string(s);
		const uint8_t *len = rdb_scan_raw(s, 1);
		if (len && *len < 253)
			rdb_scan_raw(s, *len);
	}
}

static void scores(struct rdb_scan *s, uint64_t n)
{
	while (n-- > 0 && rdb_scan_ok(s)) {
		rdb_scan_string(s);
		rdb_scan_raw(s, 8);
	}
}

static void nodes(struct rdb_scan *s, uint64_t n)
{
	while (n-- > 0 && rdb_scan_ok(s)) {
		rdb_scan_len(s);
		rdb_scan_string(s);
	}
}

static void consumers(struct rdb_scan *s, unsigned type)
{
	for (uint64_t n = rdb_scan_len(s); n > 0 && rdb_scan_ok(s); n--) {
		rdb_scan_string(s);
		rdb_scan_raw(s, type == RDB_STREAM_3 ? 16 : 8); /* seen, and active since version 11 */
		raws(s, rdb_scan_len(s), 16);
	}
}

static void stream(struct rdb_scan *s, unsigned type)
{
	strings(s, doubled(s, rdb_scan_len(s)));
	lens(s, type >= RDB_STREAM_2 ? 8 : 3); /* count, last id, and since version 10 first id, deleted id, added */
	for (uint64_t n = rdb_scan_len(s); n > 0 && rdb_scan_ok(s); n--) {
		rdb_scan_string(s);
		lens(s, type >= RDB_STREAM_2 ? 3 : 2);
		for (uint64_t pending = rdb_scan_len(s); pending > 0 && rdb_scan_ok(s); pending--) {
			rdb_scan_raw(s, 24);
			rdb_scan_len(s);
		}
		consumers(s, type);
	}
}

void rdb_scan_value(struct rdb_scan *s, unsigned type)
{
	switch (type) {
	case RDB_STRING:
	case RDB_HASH_ZIPMAP:
	case RDB_LIST_ZIPLIST:
	case RDB_SET_INTSET:
	case RDB_ZSET_ZIPLIST:
	case RDB_HASH_ZIPLIST:
	case RDB_HASH_LISTPACK:
	case RDB_ZSET_LISTPACK:
	case RDB_SET_LISTPACK:
		rdb_scan_string(s);
		break;
	case RDB_LIST:
	case RDB_SET:
	case RDB_LIST_QUICKLIST:
		strings(s, rdb_scan_len(s));
		break;
	case RDB_HASH:
		strings(s, doubled(s, rdb_scan_len(s)));
		break;
	case RDB_ZSET:
		text_scores(s, rdb_scan_len(s));
		break;
	case RDB_ZSET_2:
		scores(s, rdb_scan_len(s));
		break;
	case RDB_LIST_QUICKLIST_2:
		nodes(s, rdb_scan_len(s));
		break;
	case RDB_STREAM:
	case RDB_STREAM_2:
	case RDB_STREAM_3:
		stream(s, type);
		break;
	case RDB_MODULE:
	case RDB_MODULE_2:
		s->bad = "a value of a module, and there are no modules here";
		break;
	default:
		s->bad = "unknown type of value";
	}
}

void rdb_scan_record(struct rdb_scan *s, unsigned opcode)
{
	switch (opcode) {
	case RDB_OP_EOF:
		break;
	case RDB_OP_SELECTDB:
	case RDB_OP_IDLE:
		rdb_scan_len(s);
		break;
	case RDB_OP_RESIZEDB:
		lens(s, 2);
		break;
	case RDB_OP_EXPIRE_MS:
		rdb_scan_raw(s, 8);
		break;
	case RDB_OP_EXPIRE_S:
		rdb_scan_raw(s, 4);
		break;
	case RDB_OP_FREQ:
		rdb_scan_raw(s, 1);
		break;
	case RDB_OP_AUX:
		strings(s, 2);
		break;
	case RDB_OP_FUNCTION2:
		rdb_scan_string(s);
		break;
	case RDB_OP_FUNCTION_PRE_GA:
		s->bad = "functions in the format of a release candidate of 7.0";
		break;
	case RDB_OP_MODULE_AUX:
		s->bad = "data of a module, and there are no modules here";
		break;
	default:
		if (opcode >= RDB_TYPES) {
			s->bad = "unknown opcode";
			break;
		}
		rdb_scan_string(s);
		rdb_scan_value(s, opcode);
	}
}

const char *rdb_type_name(unsigned type)
{
	static const char *const names[RDB_TYPES] = {
		"string", "list-linked", "set-hashtable", "zset-v1", "hash-hashtable", "zset-v2", "module-value",
		"module-value-2", NULL, "hash-zipmap", "list-ziplist", "set-intset", "zset-ziplist", "hash-ziplist",
		"quicklist", "stream", "hash-listpack", "zset-listpack", "quicklist-v2", "stream-v2", "set-listpack",
		"stream-v3",
	};
	return type < RDB_TYPES ? names[type] : NULL;
}

/* ------------------------------------------------------------------ writing */

size_t rdb_put_len(uint8_t *out, uint64_t len)
{
	if (len < 64) {
		out[0] = (uint8_t)len;
		return 1;
	}
	if (len < 16384) {
		out[0] = (uint8_t)(0x40 | len >> 8);
		out[1] = (uint8_t)len;
		return 2;
	}
	if (len <= UINT32_MAX) {
		uint32_t v = htobe32((uint32_t)len);
		out[0] = 0x80;
		memcpy(out + 1, &v, 4);
		return 5;
	}
	uint64_t v = htobe64(len);
	out[0] = 0x81;
	memcpy(out + 1, &v, 8);
	return 9;
}

bool rdb_copy_init(struct rdb_copy *c, size_t expected)
{
	c->err = 0;
	c->len = 0;
	c->cap = expected < COPY_BUFFER ? expected + 64 : COPY_BUFFER;
	c->buf = malloc(c->cap);
	return c->buf != NULL;
}

void rdb_copy_clear(struct rdb_copy *c)
{
	free(c->buf);
	c->buf = NULL;
}

int rdb_copy_flush(struct rdb_copy *c)
{
	if (!c->err && c->len)
		c->err = c->write(c->ctx, c->buf, c->len);
	c->len = 0;
	return c->err;
}

void rdb_copy_bytes(struct rdb_copy *c, const void *bytes, size_t len)
{
	if (__builtin_expect(len > c->cap - c->len, 0)) {
		rdb_copy_flush(c);
		if (len > c->cap / 2) {
			if (!c->err)
				c->err = c->write(c->ctx, bytes, len);
			return;
		}
	}
	memcpy(c->buf + c->len, bytes, len);
	c->len += len;
}

/* true: it was written compressed. */
static bool put_packed(struct rdb_copy *c, const void *bytes, size_t len)
{
	uint8_t head[20] = { 0xc0 | ENCODED_LZF }, *out = c->buf + c->len + sizeof head, *heap = NULL;
	if (len > COMPRESS_MAX)
		return false;
	if (len + sizeof head > c->cap - c->len)
		rdb_copy_flush(c);
	if (len + sizeof head > c->cap - c->len) {
		out = heap = malloc(len);
		if (!heap)
			return false;
	} else {
		out = c->buf + c->len + sizeof head;
	}
	unsigned packed = lzf_compress(bytes, (unsigned)len, out, (unsigned)len - 4);
	if (packed) {
		size_t n = 1;
		n += rdb_put_len(head + n, packed);
		n += rdb_put_len(head + n, len);
		if (heap) {
			rdb_copy_bytes(c, head, n);
			rdb_copy_bytes(c, out, packed);
		} else {
			memcpy(c->buf + c->len, head, n);
			memmove(c->buf + c->len + n, out, packed);
			c->len += n + packed;
		}
	}
	free(heap);
	return packed != 0;
}

void rdb_copy_string(struct rdb_copy *c, const void *bytes, size_t len)
{
	uint8_t head[9];
	if (c->compress && len >= COMPRESS_FROM && put_packed(c, bytes, len))
		return;
	rdb_copy_bytes(c, head, rdb_put_len(head, len));
	rdb_copy_bytes(c, bytes, len);
}

int rdb_copy_records(struct rdb_copy *c, const void *bytes, size_t len)
{
	if (!len)
		return c->err;
	if (!c->compress) {
		rdb_copy_bytes(c, bytes, len);
		return c->err;
	}
	struct rdb_scan s = { .p = bytes, .end = (const uint8_t *)bytes + len, .copy = c };
	while (s.p < s.end && rdb_scan_ok(&s) && !c->err) {
		const uint8_t *opcode = rdb_scan_raw(&s, 1);
		rdb_scan_record(&s, *opcode);
	}
	return c->err ? c->err : rdb_scan_ok(&s) ? 0 : -EINVAL;
}
