#include "server/effects.h"

#include <assert.h>
#include <stdarg.h>
#include <string.h>

#include "server/call.h"
#include "store/memory.h"

#define FIRST_CAP 1024
#define KEEP_CAP ((size_t)1 << 20)
#define HEADER_MAX 24 /* '*' or '$', 20 digits, CRLF */

void effects_init(struct effects *e)
{
	*e = (struct effects){ 0 };
}

void effects_clear(struct effects *e)
{
	mem_free(e->buf);
	effects_init(e);
}

void effects_reset(struct effects *e)
{
	if (__builtin_expect(e->cap > KEEP_CAP, 0)) {
		effects_clear(e);
		return;
	}
	e->len = 0;
	e->commands = 0;
	e->replaced = e->failed = e->db_known = false;
}

/* Room for n more bytes; NULL marks the unit as failed. */
static inline char *room(struct effects *e, size_t n)
{
	size_t need, cap = e->cap ? e->cap : FIRST_CAP;
	char *p;

	if (__builtin_expect(n <= e->cap - e->len, 1))
		return e->buf + e->len;
	if (__builtin_add_overflow(e->len, n, &need))
		goto fail;
	while (cap < need)
		if (__builtin_mul_overflow(cap, 2, &cap))
			goto fail;
	p = mem_realloc(e->buf, cap);
	if (!p)
		goto fail;
	e->buf = p;
	e->cap = cap;
	return p + e->len;
fail:
	e->failed = true;
	return NULL;
}

static inline char *put_number(char *p, uint64_t v)
{
	char digits[20];
	int n = 0;

	if (__builtin_expect(v < 10, 1)) {
		*p++ = (char)('0' + v);
		return p;
	}
	do
		digits[n++] = (char)('0' + v % 10);
	while (v /= 10);
	while (n)
		*p++ = digits[--n];
	return p;
}

static inline char *put_header(char *p, char mark, uint64_t v)
{
	*p++ = mark;
	p = put_number(p, v);
	*p++ = '\r';
	*p++ = '\n';
	return p;
}

static inline char *put_bulk(char *p, const void *bytes, size_t len)
{
	p = put_header(p, '$', len);
	if (len)
		memcpy(p, bytes, len);
	p += len;
	*p++ = '\r';
	*p++ = '\n';
	return p;
}

static bool begin(struct effects *e, unsigned argc)
{
	char *p = room(e, HEADER_MAX);

	e->commands++;
	if (!p)
		return false;
	e->len = (size_t)(put_header(p, '*', argc) - e->buf);
	return true;
}

static bool add_bulk(struct effects *e, const void *bytes, size_t len)
{
	size_t need;
	char *p;

	if (__builtin_add_overflow(len, HEADER_MAX + 2, &need)) {
		e->failed = true;
		return false;
	}
	p = room(e, need);
	if (!p)
		return false;
	e->len = (size_t)(put_bulk(p, bytes, len) - e->buf);
	return true;
}

void effects_add(struct effects *e, unsigned argc, const struct arg *argv)
{
	if (!begin(e, argc))
		return;
	for (unsigned i = 0; i < argc; i++)
		if (!add_bulk(e, argv[i].ptr, argv[i].len))
			return;
}

static size_t format_int(char out[21], int64_t v)
{
	char *p = out;
	uint64_t u = (uint64_t)v;

	if (v < 0) {
		*p++ = '-';
		u = 0 - u;
	}
	return (size_t)(put_number(p, u) - out);
}

static void add_select(struct effects *e, unsigned db)
{
	char digits[21];
	struct arg argv[2] = { { "SELECT", 6 }, { digits, format_int(digits, db) } };

	effects_add(e, 2, argv);
	e->current_db = db;
}

void effects_use_db(struct effects *e, unsigned db)
{
	if (!e->db_known) {
		e->db_known = true;
		e->db = e->current_db = db;
	} else if (e->current_db != db) {
		add_select(e, db);
	}
}

const char *effects_bytes(struct effects *e, size_t *len)
{
	if (e->db_known && e->current_db != e->db)
		add_select(e, e->db);
	*len = e->failed ? 0 : e->len;
	return e->failed ? NULL : e->buf;
}

/* ---------------------------------------------------------------- what handlers call */

void call_journal(struct call *c, unsigned argc, const struct arg *argv)
{
	if (!c->effects)
		return;
	c->effects->replaced = true;
	effects_use_db(c->effects, c->op.db);
	effects_add(c->effects, argc, argv);
}

void call_journalf(struct call *c, const char *format, ...)
{
	struct effects *e = c->effects;
	va_list ap;
	bool ok;

	if (!e)
		return;
	e->replaced = true;
	effects_use_db(e, c->op.db);
	ok = begin(e, (unsigned)strlen(format));
	va_start(ap, format);
	for (; *format && ok; format++) {
		char digits[21];
		const struct arg *a;
		const char *s;

		switch (*format) {
		case 's':
			s = va_arg(ap, const char *);
			ok = add_bulk(e, s, strlen(s));
			break;
		case 'a':
			a = va_arg(ap, const struct arg *);
			ok = add_bulk(e, a->ptr, a->len);
			break;
		case 'b':
			s = va_arg(ap, const void *);
			ok = add_bulk(e, s, va_arg(ap, size_t));
			break;
		case 'i':
			ok = add_bulk(e, digits, format_int(digits, va_arg(ap, int64_t)));
			break;
		default:
			assert(!"format of call_journalf()");
			ok = false;
		}
	}
	va_end(ap);
}
