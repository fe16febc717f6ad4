/* reply: see reply.h. */
#include "server/reply.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "store/entry.h"
#include "store/number.h"

#define HEADER_MAX 32
#define DEFER_KEEP (64 * 1024) /* a larger gathering buffer is not kept */

/* ------------------------------------------------------------------ memory sink and deferred lengths */

static bool grow_memory(struct reply *r, size_t n)
{
	size_t used = r->mem ? (size_t)(r->cur - r->mem) : 0, want;
	if (__builtin_add_overflow(used, n, &want) || r->failed) {
		r->failed = true;
		return false;
	}
	size_t cap = r->mem_cap ? r->mem_cap : 512;
	while (cap < want)
		cap += cap / 2 + 512;
	char *mem = realloc(r->mem, cap);
	if (!mem) {
		r->failed = true;
		return false;
	}
	r->mem = mem;
	r->mem_cap = cap;
	r->cur = mem + used;
	r->end = mem + cap;
	return true;
}

void reply_init_memory(struct reply *r, int resp)
{
	*r = (struct reply){ .resp = (uint8_t)resp, .grow = grow_memory };
}

const char *reply_bytes(const struct reply *r, size_t *len)
{
	*len = r->mem ? (size_t)(r->cur - r->mem) : 0;
	return r->mem ? r->mem : "";
}

void reply_reset(struct reply *r)
{
	r->cur = r->mem;
	r->end = r->mem ? r->mem + r->mem_cap : NULL;
	r->failed = r->errored = false;
	r->depth = 0;
}

void reply_clear(struct reply *r)
{
	free(r->mem);
	r->mem = r->cur = r->end = NULL;
	r->mem_cap = 0;
}

size_t reply_defer(struct reply *r)
{
	if (r->depth++ == 0 && r->grow != grow_memory) {
		r->saved_cur = r->cur;
		r->saved_end = r->end;
		r->saved_grow = r->grow;
		r->grow = grow_memory;
		r->cur = r->mem;
		r->end = r->mem + r->mem_cap;
	}
	return (size_t)(r->cur - r->mem);
}

static size_t put_header(char *out, char kind, uint64_t n)
{
	out[0] = kind;
	size_t len = 1 + number_print_uint(out + 1, n);
	out[len++] = '\r';
	out[len++] = '\n';
	return len;
}

static size_t aggregate_header(const struct reply *r, char *out, char kind, size_t n)
{
	if (r->resp == 2) {
		if (kind == '%')
			n *= 2;
		kind = '*';
	}
	return put_header(out, kind, n);
}

void reply_defer_end(struct reply *r, size_t mark, char kind, size_t n)
{
	char header[HEADER_MAX];
	size_t len = aggregate_header(r, header, kind, n);
	if (reply_room(r, len)) {
		memmove(r->mem + mark + len, r->mem + mark, (size_t)(r->cur - r->mem) - mark);
		memcpy(r->mem + mark, header, len);
		r->cur += len;
	}
	if (--r->depth == 0 && r->saved_grow) {
		size_t used = (size_t)(r->cur - r->mem);
		r->cur = r->saved_cur;
		r->end = r->saved_end;
		r->grow = r->saved_grow;
		r->saved_grow = NULL;
		reply_raw(r, r->mem, used);
		if (r->mem_cap > DEFER_KEEP) {
			free(r->mem);
			r->mem = NULL;
			r->mem_cap = 0;
		}
	}
}

/* ------------------------------------------------------------------ scalars */

void reply_raw(struct reply *r, const void *bytes, size_t len)
{
	if (!reply_room(r, len))
		return;
	memcpy(r->cur, bytes, len);
	r->cur += len;
}

void reply_status(struct reply *r, const char *text)
{
	size_t len = strlen(text);
	if (!reply_room(r, len + 3))
		return;
	*r->cur++ = '+';
	for (size_t i = 0; i < len; i++)
		*r->cur++ = text[i] == '\r' || text[i] == '\n' ? ' ' : text[i];
	*r->cur++ = '\r';
	*r->cur++ = '\n';
}

#define SHORT_BULK 99 /* two digits of length */

/* Most elements are so short that the calls would cost more than the bytes. */
static inline char *put_short(char *p, const char *bytes, size_t len)
{
	*p++ = '$';
	if (len >= 10)
		*p++ = (char)('0' + len / 10);
	*p++ = (char)('0' + len % 10);
	memcpy(p, "\r\n", 2);
	p += 2;
	if (len > 32) {
		memcpy(p, bytes, len);
	} else if (len >= 16) { /* twice the same size, which overlap */
		memcpy(p, bytes, 16);
		memcpy(p + len - 16, bytes + len - 16, 16);
	} else if (len >= 8) {
		memcpy(p, bytes, 8);
		memcpy(p + len - 8, bytes + len - 8, 8);
	} else if (len >= 4) {
		memcpy(p, bytes, 4);
		memcpy(p + len - 4, bytes + len - 4, 4);
	} else {
		for (size_t i = 0; i < len; i++)
			p[i] = bytes[i];
	}
	return p + len;
}

void reply_bulk(struct reply *r, const void *bytes, size_t len)
{
	if (!reply_room(r, len + HEADER_MAX + 2))
		return;
	char *p = r->cur;
	if (__builtin_expect(len <= SHORT_BULK, 1)) {
		p = put_short(p, bytes, len);
	} else {
		p += put_header(p, '$', len);
		memcpy(p, bytes, len);
		p += len;
	}
	memcpy(p, "\r\n", 2);
	r->cur = p + 2;
}

void reply_cstr(struct reply *r, const char *text)
{
	reply_bulk(r, text, strlen(text));
}

void reply_bulkf(struct reply *r, const char *format, ...)
{
	char small[512], *big = NULL;
	va_list ap;
	va_start(ap, format);
	int n = vsnprintf(small, sizeof small, format, ap);
	va_end(ap);
	if (n >= (int)sizeof small && (big = malloc((size_t)n + 1))) {
		va_start(ap, format);
		vsnprintf(big, (size_t)n + 1, format, ap);
		va_end(ap);
	}
	if (n < 0 || (n >= (int)sizeof small && !big))
		r->failed = true;
	else
		reply_bulk(r, big ? big : small, (size_t)n);
	free(big);
}

static void release_blob(void *ctx, const void *bytes)
{
	(void)bytes;
	blob_unref(ctx);
}

void reply_entry(struct reply *r, const struct entry *e)
{
	char buf[24];
	size_t len;
	if (__builtin_expect((e->flags & ENTRY_BLOB) && r->ref && r->depth == 0, 0)) {
		const char *bytes;
		struct blob *b = entry_blob_ref(e, &bytes, &len);
		if (b) {
			char header[HEADER_MAX];
			reply_raw(r, header, put_header(header, '$', len));
			r->ref(r, bytes, len, release_blob, b);
			reply_lit(r, "\r\n");
			return;
		}
	}
	const char *bytes = entry_string(e, buf, &len);
	reply_bulk(r, bytes, len);
}

void reply_int(struct reply *r, int64_t v)
{
	if (!reply_room(r, HEADER_MAX))
		return;
	char *p = r->cur;
	*p++ = ':';
	p += number_print(p, v);
	*p++ = '\r';
	*p++ = '\n';
	r->cur = p;
}

void reply_bulk_int(struct reply *r, int64_t v)
{
	char buf[24];
	reply_bulk(r, buf, number_print(buf, v));
}

void reply_null(struct reply *r)
{
	if (r->resp == 2)
		reply_lit(r, "$-1\r\n");
	else
		reply_lit(r, "_\r\n");
}

void reply_null_array(struct reply *r)
{
	if (r->resp == 2)
		reply_lit(r, "*-1\r\n");
	else
		reply_lit(r, "_\r\n");
}

void reply_bool(struct reply *r, bool v)
{
	if (r->resp == 2)
		reply_raw(r, v ? ":1\r\n" : ":0\r\n", 4);
	else
		reply_raw(r, v ? "#t\r\n" : "#f\r\n", 4);
}

void reply_double(struct reply *r, double v)
{
	char text[NUMBER_DOUBLE_MAX + 4];
	size_t len = number_print_double(text + 1, v);
	if (__builtin_expect(v == 0 && signbit(v), 0)) { /* here, unlike elsewhere, zero has a sign */
		memcpy(text + 1, "-0", 2);
		len = 2;
	}
	if (r->resp == 2) {
		reply_bulk(r, text + 1, len);
		return;
	}
	text[0] = ',';
	text[len + 1] = '\r';
	text[len + 2] = '\n';
	reply_raw(r, text, len + 3);
}

void reply_verbatim(struct reply *r, const char *format3, const void *bytes, size_t len)
{
	if (r->resp == 2) {
		reply_bulk(r, bytes, len);
		return;
	}
	if (!reply_room(r, len + HEADER_MAX + 6))
		return;
	r->cur += put_header(r->cur, '=', len + 4);
	memcpy(r->cur, format3, 3);
	r->cur[3] = ':';
	r->cur += 4;
	reply_raw(r, bytes, len);
	reply_lit(r, "\r\n");
}

void reply_bignum(struct reply *r, const char *digits)
{
	if (r->resp == 2) {
		reply_cstr(r, digits);
		return;
	}
	reply_lit(r, "(");
	reply_raw(r, digits, strlen(digits));
	reply_lit(r, "\r\n");
}

/* ------------------------------------------------------------------ aggregates */

static void aggregate(struct reply *r, char kind, size_t n)
{
	if (reply_room(r, HEADER_MAX))
		r->cur += aggregate_header(r, r->cur, kind, n);
}

void reply_array(struct reply *r, size_t n)
{
	aggregate(r, '*', n);
}

void reply_map(struct reply *r, size_t n)
{
	aggregate(r, '%', n);
}

void reply_set(struct reply *r, size_t n)
{
	aggregate(r, '~', n);
}

void reply_push(struct reply *r, size_t n)
{
	aggregate(r, '>', n);
}

void reply_attribute(struct reply *r, size_t n)
{
	if (r->resp == 3)
		aggregate(r, '|', n);
}

/* ------------------------------------------------------------------ errors */

static void note_error(struct reply *r, const char *text)
{
	size_t n = strcspn(text, " \r\n");
	if (n >= sizeof r->error_code)
		n = sizeof r->error_code - 1;
	memcpy(r->error_code, text, n);
	r->error_code[n] = 0;
	r->errored = true;
}

void reply_error(struct reply *r, const char *text)
{
	note_error(r, text);
	size_t len = strlen(text);
	while (len && (text[len - 1] == '\r' || text[len - 1] == '\n'))
		len--;
	if (!reply_room(r, len + 3))
		return;
	*r->cur++ = '-';
	for (size_t i = 0; i < len; i++)
		*r->cur++ = text[i] == '\r' || text[i] == '\n' ? ' ' : text[i];
	*r->cur++ = '\r';
	*r->cur++ = '\n';
}

void reply_errorf(struct reply *r, const char *format, ...)
{
	char text[1024];
	va_list ap;
	va_start(ap, format);
	vsnprintf(text, sizeof text, format, ap);
	va_end(ap);
	reply_error(r, text);
}

void reply_wrong_type(struct reply *r)
{
	reply_error(r, "WRONGTYPE Operation against a key holding the wrong kind of value");
}

void reply_syntax_error(struct reply *r)
{
	reply_error(r, "ERR syntax error");
}

void reply_not_integer(struct reply *r)
{
	reply_error(r, "ERR value is not an integer or out of range");
}

void reply_not_float(struct reply *r)
{
	reply_error(r, "ERR value is not a valid float");
}

void reply_out_of_range(struct reply *r)
{
	reply_error(r, "ERR index out of range");
}

void reply_no_key(struct reply *r)
{
	reply_error(r, "ERR no such key");
}

void reply_oom(struct reply *r)
{
	reply_error(r, "OOM out of memory");
}
