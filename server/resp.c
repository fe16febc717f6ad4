/* resp: see resp.h. The parser reads each byte of a complete request once; a request that arrives in pieces is scanned
 * piece by piece through struct resp_progress and parsed when it is whole. */
#include "server/resp.h"

#include <ctype.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define COUNT_LINE_MAX (64 * 1024) /* a length line longer than this is an attack, not a number */
#define UNAUTH_ARGS 10
#define UNAUTH_BULK 16384

enum line { LINE_OK = 1, LINE_MORE = 0, LINE_BAD = -1, LINE_LONG = -2 };

/* Lengths of one to three digits, the hot case: what is longer, odd or not there whole goes the long way. */
#define SHORT_MAX 999

static inline bool crlf(const char *s)
{
	return memcmp(s, "\r\n", 2) == 0;
}

/* Behind the header at s and its CRLF, or NULL. At least 6 bytes must be there. */
static inline const char *take_short(const char *s, char kind, uint32_t *n)
{
	uint32_t d1 = (uint32_t)(unsigned char)s[1] - '0', d2 = (uint32_t)(unsigned char)s[2] - '0';
	if (s[0] != kind || d1 > 9)
		return NULL;
	*n = d1;
	if (crlf(s + 2))
		return s + 4;
	if (d1 == 0 || d2 > 9)
		return NULL;
	*n = d1 * 10 + d2;
	if (crlf(s + 3))
		return s + 5;
	uint32_t d3 = (uint32_t)(unsigned char)s[3] - '0';
	*n = *n * 10 + d3;
	return d3 <= 9 && crlf(s + 4) ? s + 6 : NULL;
}

/* Behind the argument at s, or NULL. */
static inline const char *short_bulk(const char *s, const char *end, struct arg *arg)
{
	uint32_t n;
	if (end - s < 6 || !(s = take_short(s, '$', &n)) || end - s < (ptrdiff_t)n + 2 || !crlf(s + n))
		return NULL;
	*arg = (struct arg){ s, n };
	return s + n + 2;
}

/* The integer of a line that ends with CRLF; *p moves behind it. */
static enum line take_number(const char **p, const char *end, int64_t *v)
{
	const char *s = *p;
	const char *cr = memchr(s, '\r', (size_t)(end - s));
	if (!cr)
		return end - s > COUNT_LINE_MAX ? LINE_LONG : LINE_MORE;
	if (cr + 1 == end)
		return LINE_MORE;
	bool negative = s < cr && *s == '-';
	const char *d = s + negative;
	if (cr[1] != '\n' || d == cr || cr - d > 19 || (*d == '0' && (cr - d > 1 || negative)))
		return LINE_BAD;
	uint64_t n = 0;
	for (; d < cr; d++) {
		if (*d < '0' || *d > '9' || __builtin_mul_overflow(n, 10, &n) || __builtin_add_overflow(n, *d - '0', &n))
			return LINE_BAD;
	}
	if (n > INT64_MAX)
		return LINE_BAD;
	*v = negative ? -(int64_t)n : (int64_t)n;
	*p = cr + 2;
	return LINE_OK;
}

static bool args_grow(struct resp_args *a)
{
	size_t cap = a->cap ? a->cap * 2 : 256;
	struct arg *v = realloc(a->v, cap * sizeof *v);
	if (!v)
		return false;
	a->v = v;
	a->cap = cap;
	return true;
}

static inline bool args_push(struct resp_args *a, const char *ptr, size_t len)
{
	if (__builtin_expect(a->n == a->cap, 0) && !args_grow(a))
		return false;
	a->v[a->n++] = (struct arg){ ptr, len };
	return true;
}

/* The header of an array: > 0 ok, 0 more, < 0 error. */
static int array_header(const char **p, const char *end, const struct resp_limits *limits, uint32_t *count)
{
	int64_t n;
	switch (take_number(p, end, &n)) {
	case LINE_MORE:
		return 0;
	case LINE_LONG:
		return -RESP_BIG_COUNT;
	case LINE_BAD:
		return -RESP_BAD_ARRAY_LEN;
	case LINE_OK:
		break;
	}
	if (n > limits->max_args)
		return -RESP_BAD_ARRAY_LEN;
	if (n > UNAUTH_ARGS && !limits->authenticated)
		return -RESP_UNAUTH_ARRAY;
	*count = n > 0 ? (uint32_t)n : 0;
	return 1;
}

/*
 * One bulk argument at *p. > 0: *arg is set and *p moved; 0: more needed, *need says how many bytes from *p at least;
 * < 0: error.
 */
static int bulk_slow(const char **p, const char *end, const struct resp_limits *limits, struct arg *arg, size_t *need,
                     char *bad)
{
	const char *s = *p;
	*need = 1;
	if (s == end)
		return 0;
	const char *q = s + 1;
	int64_t n = 0;
	enum line line = take_number(&q, end, &n);
	if (line == LINE_MORE)
		return 0;
	if (line == LINE_LONG)
		return -RESP_BIG_BULK;
	if (*s != '$') {
		*bad = *s;
		return -RESP_NO_DOLLAR;
	}
	if (line == LINE_BAD || n < 0 || n > limits->max_bulk)
		return -RESP_BAD_BULK_LEN;
	if (n > UNAUTH_BULK && !limits->authenticated)
		return -RESP_UNAUTH_BULK;
	if (end - q < 2 || end - q - 2 < n) {
		*need = (size_t)(q - s) + (size_t)n + 2;
		return 0;
	}
	if (q[n] != '\r' || q[n + 1] != '\n')
		return -RESP_BAD_CRLF;
	arg->ptr = q;
	arg->len = (size_t)n;
	*p = q + n + 2;
	return 1;
}

/* A short one that is there whole, or else the long way. */
static inline int bulk(const char **p, const char *end, const struct resp_limits *limits, struct arg *arg, size_t *need,
                       char *bad)
{
	const char *behind = short_bulk(*p, end, arg);
	if (__builtin_expect(!behind || limits->max_bulk < SHORT_MAX, 0))
		return bulk_slow(p, end, limits, arg, need, bad);
	*p = behind;
	return 1;
}

/* Scan on from where an incomplete request stopped. 1: it is whole now. */
static int resume(const char *buf, size_t len, const struct resp_limits *limits, struct resp_progress *g, char *bad)
{
	const char *p = buf + g->pos, *end = buf + len;
	struct arg ignored;
	while (g->args) {
		size_t need;
		int r = bulk(&p, end, limits, &ignored, &need, bad);
		if (r < 0)
			return r;
		if (r == 0) {
			g->pos = (size_t)(p - buf);
			g->need = g->pos + need;
			return 0;
		}
		g->args--;
	}
	return 1;
}

/* A request of few and short arguments, one at least, that is there whole. 0: it is not one, nothing was done. */
static inline size_t parse_short(const char *buf, size_t len, struct resp_args *args)
{
	const char *p = buf, *end = buf + len;
	uint32_t count;
	if (len < 6 || !(p = take_short(p, '*', &count)) || count - 1 >= UNAUTH_ARGS || args->cap - args->n < count)
		return 0;
	struct arg *arg = args->v + args->n, *last = arg + count;
	for (; arg < last; arg++) {
		if (!(p = short_bulk(p, end, arg)))
			return 0;
	}
	args->n += count;
	return (size_t)(p - buf);
}

static __attribute__((noinline)) ssize_t parse_array(const char *buf, size_t len, const struct resp_limits *limits,
                                                     struct resp_progress *g, struct resp_args *args, char *bad)
{
	if (g->in_array) {
		if (len < g->need)
			return 0;
		int r = resume(buf, len, limits, g, bad);
		if (r <= 0)
			return r;
	}
	const char *p = buf + 1, *end = buf + len;
	uint32_t count = 0;
	int r = array_header(&p, end, limits, &count);
	if (r <= 0)
		return r;
	size_t first = args->n;
	for (uint32_t left = count; left; left--) {
		struct arg a = { NULL, 0 };
		size_t need;
		r = bulk(&p, end, limits, &a, &need, bad);
		if (__builtin_expect(r <= 0, 0)) {
			args->n = first;
			if (r == 0) {
				g->in_array = true;
				g->args = left;
				g->pos = (size_t)(p - buf);
				g->need = g->pos + need;
			}
			return r;
		}
		if (!args_push(args, a.ptr, a.len)) {
			args->n = first;
			return -RESP_NO_MEMORY;
		}
	}
	*g = (struct resp_progress){ 0 };
	return p - buf;
}

/* ------------------------------------------------------------------ inline commands */

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c = (char)(c | 32);
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* The character of an escape in double quotes; *p stands behind the backslash and moves behind the escape. */
static char unescape(const char **p, const char *end)
{
	const char *s = *p;
	if (*s == 'x' && end - s >= 3 && hex_digit(s[1]) >= 0 && hex_digit(s[2]) >= 0) {
		*p = s + 3;
		return (char)(hex_digit(s[1]) * 16 + hex_digit(s[2]));
	}
	*p = s + 1;
	switch (*s) {
	case 'n':
		return '\n';
	case 'r':
		return '\r';
	case 't':
		return '\t';
	case 'b':
		return '\b';
	case 'a':
		return '\a';
	default:
		return *s;
	}
}

/* One quoted part, *p behind the opening quote. false: unbalanced, or text directly behind the closing quote. */
static bool quoted(const char **p, const char *end, char quote, char **out)
{
	const char *s = *p;
	while (s < end && *s != quote) {
		if (*s == '\\' && s + 1 < end && quote == '"') {
			s++;
			*(*out)++ = unescape(&s, end);
		} else if (*s == '\\' && s + 1 < end && s[1] == '\'') {
			*(*out)++ = '\'';
			s += 2;
		} else {
			*(*out)++ = *s++;
		}
	}
	if (s == end || (s + 1 < end && !isspace((unsigned char)s[1])))
		return false;
	*p = s + 1;
	return true;
}

/* Split a line at blanks; quoted parts may hold blanks and escapes. 0 or -error. out has room for the whole line. */
static int split_inline(const char *p, const char *end, struct resp_args *args, char *out)
{
	for (;;) {
		while (p < end && isspace((unsigned char)*p))
			p++;
		if (p == end)
			return 0;
		char *start = out;
		while (p < end && !isspace((unsigned char)*p)) {
			char c = *p++;
			if (c == '"' || c == '\'') {
				if (!quoted(&p, end, c, &out))
					return -RESP_UNBALANCED;
				break;
			}
			*out++ = c;
		}
		if (!args_push(args, start, (size_t)(out - start)))
			return -RESP_NO_MEMORY;
	}
}

static ssize_t parse_inline(const char *buf, size_t len, const struct resp_limits *limits, struct resp_args *args,
                            void *(*alloc)(void *ctx, size_t n), void *ctx)
{
	const char *nl = memchr(buf, '\n', len);
	if (!nl)
		return len > limits->max_inline ? -RESP_BIG_INLINE : 0;
	if ((size_t)(nl - buf) > limits->max_inline)
		return -RESP_BIG_INLINE;
	const char *end = nl > buf && nl[-1] == '\r' ? nl - 1 : nl;
	char *scratch = alloc(ctx, (size_t)(end - buf) + 1);
	if (!scratch)
		return -RESP_NO_MEMORY;
	size_t first = args->n;
	int r = split_inline(buf, end, args, scratch);
	if (r < 0) {
		args->n = first;
		return r;
	}
	return nl + 1 - buf;
}

ssize_t resp_parse(const char *buf, size_t len, const struct resp_limits *limits, struct resp_progress *progress,
                   struct resp_args *args, char *bad, void *(*alloc)(void *ctx, size_t n), void *ctx)
{
	if (len == 0)
		return 0;
	if (__builtin_expect(*buf == '*', 1)) {
		size_t used = progress->in_array || limits->max_bulk < SHORT_MAX ? 0 : parse_short(buf, len, args);
		return used ? (ssize_t)used : parse_array(buf, len, limits, progress, args, bad);
	}
	return parse_inline(buf, len, limits, args, alloc, ctx);
}

void resp_error_text(enum resp_error e, char bad, char *out, size_t size)
{
	static const char *const text[] = {
		[RESP_OK] = "none",
		[RESP_BAD_ARRAY_LEN] = "invalid multibulk length",
		[RESP_BAD_BULK_LEN] = "invalid bulk length",
		[RESP_BIG_COUNT] = "too big mbulk count string",
		[RESP_BIG_BULK] = "too big bulk count string",
		[RESP_BIG_INLINE] = "too big inline request",
		[RESP_UNBALANCED] = "unbalanced quotes in request",
		[RESP_UNAUTH_ARRAY] = "unauthenticated multibulk length",
		[RESP_UNAUTH_BULK] = "unauthenticated bulk length",
		[RESP_BAD_CRLF] = "bulk string is not followed by CRLF",
		[RESP_NO_MEMORY] = "out of memory",
	};
	if (e == RESP_NO_DOLLAR)
		snprintf(out, size, "expected '$', got '%c'", bad);
	else
		snprintf(out, size, "%s", text[e]);
}
