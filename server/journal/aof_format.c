/* aof_format: see aof_format.h. */
#include "server/journal/aof_format.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <xxhash.h>

#include "server/journal/io.h"

#define MARK "#CRC:"
#define MARK_LEN 5
#define DIGITS 16
#define HEADER_MAX (MARK_LEN + 3 * DIGITS + 3)
#define PREFIX_MAX 128 /* #TS, SELECT, MULTI */
#define READ_STEP ((size_t)64 * 1024)
#define COMMENT_MAX 4096

static const char exec_command[] = "*1\r\n$4\r\nEXEC\r\n";
static const char multi_command[] = "*1\r\n$5\r\nMULTI\r\n";

/* ------------------------------------------------------------------ writing */

static uint64_t chained(uint64_t before, const char *bytes, size_t len)
{
	return XXH3_64bits_withSeed(bytes, len, before);
}

static char *room(struct aof_out *o, size_t n)
{
	size_t need, cap = o->cap ? o->cap : 64 * 1024;
	if (__builtin_expect(!__builtin_add_overflow(o->len, n, &need) && need <= o->cap, 1))
		return o->buf + o->len;
	while (cap < need && cap <= SIZE_MAX / 2)
		cap *= 2;
	char *p = cap < need || need < n ? NULL : realloc(o->buf, cap);
	if (!p)
		return NULL;
	o->buf = p;
	o->cap = cap;
	return p + o->len;
}

static char *put_hex(char *p, uint64_t v, int digits)
{
	while (digits--)
		*p++ = "0123456789abcdef"[v >> (4 * digits) & 15];
	return p;
}

static int hex_digits(uint64_t v)
{
	int n = 1;
	while (v >>= 4)
		n++;
	return n;
}

/* prefix + bytes + suffix as one framed record. */
static bool put(struct aof_out *o, const char *prefix, size_t prefix_len, const char *bytes, size_t len, bool exec)
{
	size_t total, need, suffix_len = exec ? sizeof exec_command - 1 : 0;
	if (__builtin_add_overflow(len, prefix_len + suffix_len, &total) ||
	    __builtin_add_overflow(total, HEADER_MAX, &need))
		return false;
	char *p = room(o, need);
	if (!p)
		return false;
	int digits = hex_digits(total);
	memcpy(p, MARK, MARK_LEN);
	char *hash = p + MARK_LEN;
	p = hash + DIGITS;
	*p++ = ',';
	p = put_hex(p, total, digits);
	*p++ = ',';
	p = put_hex(p, total, digits);
	*p++ = '\n';
	char *body = p;
	if (prefix_len)
		memcpy(p, prefix, prefix_len);
	p += prefix_len;
	memcpy(p, bytes, len);
	memcpy(p + len, exec_command, suffix_len);
	o->chain = chained(o->chain, body, total);
	put_hex(hash, o->chain, DIGITS);
	o->len = (size_t)(body + total - o->buf);
	return true;
}

bool aof_out_record(struct aof_out *o, unsigned db, unsigned commands, const char *payload, size_t len, int64_t now_s)
{
	char prefix[PREFIX_MAX];
	int n = 0;
	if (now_s && now_s != o->stamped_s)
		n = snprintf(prefix, sizeof prefix, "#TS:%lld\r\n", (long long)now_s);
	if (db != o->db) {
		char digits[12];
		int d = snprintf(digits, sizeof digits, "%u", db);
		n += snprintf(prefix + n, sizeof prefix - (size_t)n, "*2\r\n$6\r\nSELECT\r\n$%d\r\n%s\r\n", d, digits);
	}
	if (commands > 1) {
		memcpy(prefix + n, multi_command, sizeof multi_command - 1);
		n += (int)sizeof multi_command - 1;
	}
	if (!put(o, prefix, (size_t)n, payload, len, commands > 1))
		return false;
	o->db = db;
	o->stamped_s = now_s ? now_s : o->stamped_s;
	return true;
}

bool aof_out_raw(struct aof_out *o, const char *bytes, size_t len)
{
	o->db = AOF_NO_DB;
	return put(o, "", 0, bytes, len, false);
}

void aof_out_restart(struct aof_out *o)
{
	o->chain = 0;
	o->db = AOF_NO_DB;
	o->stamped_s = 0;
}

void aof_out_clear(struct aof_out *o)
{
	free(o->buf);
	*o = (struct aof_out){ .db = AOF_NO_DB };
}

/* ------------------------------------------------------------------ reading */

void aof_scan_init(struct aof_scan *s, int fd, const char *path, uint64_t offset)
{
	*s = (struct aof_scan){ .fd = fd, .path = path, .offset = offset };
}

void aof_scan_init_bytes(struct aof_scan *s, const char *bytes, size_t len)
{
	*s = (struct aof_scan){ .fd = -1, .path = "", .buf = (char *)(uintptr_t)bytes, .end = len, .eof = true };
}

void aof_scan_clear(struct aof_scan *s)
{
	if (s->fd >= 0)
		free(s->buf);
	free(s->args.v);
	s->buf = NULL;
	s->args = (struct resp_args){ 0 };
}

static int fail(struct aof_scan *s, int err, const char *format, ...) __attribute__((format(printf, 3, 4)));
static int fail(struct aof_scan *s, int err, const char *format, ...)
{
	va_list ap;
	va_start(ap, format);
	vsnprintf(s->error, sizeof s->error, format, ap);
	va_end(ap);
	s->at = s->offset;
	return err;
}

static int torn(struct aof_scan *s)
{
	return fail(s, -ENODATA, "the file ends in the middle of a record");
}

/* At least n bytes from start on: 1, 0 if the file has not so many, or -errno. */
static int want(struct aof_scan *s, size_t n)
{
	while (s->end - s->start < n && !s->eof) {
		size_t have = s->end - s->start, step = n - have > READ_STEP ? n - have : READ_STEP;
		if (step > 16 * 1024 * 1024)
			step = 16 * 1024 * 1024; /* what a length promises is asked for as it comes */
		if (s->start && s->cap - s->end < step) {
			memmove(s->buf, s->buf + s->start, have);
			s->start = 0;
			s->end = have;
		}
		if (s->cap - s->end < step) {
			size_t cap = s->end + step > 2 * s->cap ? s->end + step : 2 * s->cap;
			char *p = realloc(s->buf, cap);
			if (!p)
				return fail(s, -ENOMEM, "out of memory");
			s->buf = p;
			s->cap = cap;
		}
		ssize_t got = io_read_at(s->fd, s->path, s->buf + s->end, step, s->offset + have);
		if (got < 0)
			return fail(s, (int)got, "cannot read: %s", strerror((int)-got));
		s->end += (size_t)got;
		s->eof = (size_t)got < step;
	}
	return s->end - s->start >= n;
}

/* The length of the line at pos, LF included: 0 torn, -EINVAL without one where it must be. */
static ssize_t line_length(struct aof_scan *s, size_t pos, size_t max)
{
	for (size_t n = 1;; n++) {
		int r = want(s, pos + n);
		if (r <= 0)
			return r;
		if (s->buf[s->start + pos + n - 1] == '\n')
			return (ssize_t)n;
		if (n >= max)
			return fail(s, -EINVAL, "a comment line without end");
	}
}

static bool read_hex(const char **p, const char *end, uint64_t *v)
{
	const char *from = *p;
	*v = 0;
	for (; *p < end && *p - from < DIGITS; (*p)++) {
		char c = **p;
		int d = c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
		if (d < 0)
			break;
		*v = *v << 4 | (unsigned)d;
	}
	return *p > from;
}

static int read_header(struct aof_scan *s, size_t line, uint64_t *hash, uint64_t *len)
{
	const char *p = s->buf + s->start + MARK_LEN, *end = s->buf + s->start + line;
	uint64_t again;
	if (line > HEADER_MAX || !read_hex(&p, end, hash) || p != s->buf + s->start + MARK_LEN + DIGITS || *p++ != ',' ||
	    !read_hex(&p, end, len) || *p++ != ',' || !read_hex(&p, end, &again) || *p++ != '\n' || p != end ||
	    *len != again || *len > INT64_MAX / 2)
		return fail(s, -EINVAL, "the checksum line of the record is damaged");
	return 0;
}

static void take(struct aof_scan *s, struct aof_unit *u, size_t head, size_t len, bool checked)
{
	*u = (struct aof_unit){ .bytes = s->buf + s->start + head, .len = len, .offset = s->offset,
		                .end = s->offset + head + len, .checked = checked };
	s->start += head + len;
	s->offset += head + len;
	s->units++;
	s->has_checked |= checked;
	s->has_plain |= !checked;
}

static int checked_unit(struct aof_scan *s, struct aof_unit *u)
{
	uint64_t hash, len;
	ssize_t line = line_length(s, 0, HEADER_MAX + 1);
	if (line <= 0)
		return line == 0 ? torn(s) : (int)line;
	int r = read_header(s, (size_t)line, &hash, &len);
	if (r)
		return r;
	if (s->has_plain)
		return fail(s, -EINVAL, "a record with a checksum behind one without");
	r = want(s, (size_t)line + (size_t)len);
	if (r <= 0)
		return r == 0 ? torn(s) : r;
	if (!s->chain_unknown && chained(s->chain, s->buf + s->start + line, (size_t)len) != hash) {
		s->bad_end = s->offset + (uint64_t)line + len;
		return fail(s, -EINVAL, "the checksum of the record (%llu bytes) is wrong", (unsigned long long)len);
	}
	s->chain = hash;
	s->chain_unknown = false;
	take(s, u, (size_t)line, (size_t)len, true);
	return 1;
}

static void *no_inline(void *ctx, size_t n)
{
	(void)ctx, (void)n;
	return NULL;
}

static const struct resp_limits limits = { .max_bulk = INT64_MAX / 4, .max_args = INT32_MAX, .authenticated = true };

static bool is_word(const struct arg *a, const char *word)
{
	return a->len == strlen(word) && strncasecmp(a->ptr, word, a->len) == 0;
}

/* The command at *pos, comments before it skipped; *pos moves behind it and s->args holds it. 1, 0 torn, or -errno. */
static int plain_command(struct aof_scan *s, size_t *pos)
{
	struct resp_progress progress = { 0 };
	char bad;
	for (;;) {
		int r = want(s, *pos + 1);
		if (r <= 0)
			return r;
		if (s->buf[s->start + *pos] != '#')
			break;
		ssize_t line = line_length(s, *pos, COMMENT_MAX);
		if (line <= 0)
			return (int)line;
		if (line >= MARK_LEN && memcmp(s->buf + s->start + *pos, MARK, MARK_LEN) == 0)
			return fail(s, -EINVAL, "a record with a checksum within a transaction without");
		*pos += (size_t)line;
	}
	if (s->buf[s->start + *pos] != '*')
		return fail(s, -EINVAL, "a command must begin with '*', not with byte 0x%02x",
		            (unsigned char)s->buf[s->start + *pos]);
	for (size_t need = 1;; need = progress.need > need ? progress.need : need + 1) {
		int r = want(s, *pos + need);
		if (r <= 0)
			return r;
		size_t have = s->end - s->start - *pos;
		s->args.n = 0;
		if (!need || have < need)
			continue;
		struct resp_progress fresh = { 0 };
		ssize_t used = resp_parse(s->buf + s->start + *pos, have, &limits, &fresh, &s->args, &bad, no_inline, NULL);
		if (used < 0)
			return fail(s, used == -RESP_NO_MEMORY ? -ENOMEM : -EINVAL, "the command is malformed");
		if (used > 0) {
			if (s->args.n == 0)
				return fail(s, -EINVAL, "an empty command");
			*pos += (size_t)used;
			return 1;
		}
		progress = fresh;
		need = have;
	}
}

static int plain_unit(struct aof_scan *s, struct aof_unit *u)
{
	size_t pos = 0;
	int r = plain_command(s, &pos);
	if (r <= 0)
		return r == 0 ? torn(s) : r;
	if (s->has_checked && !s->has_plain && !is_word(&s->args.v[0], "SELECT"))
		return fail(s, -EINVAL, "a record without a checksum behind one with");
	if (is_word(&s->args.v[0], "MULTI")) {
		do {
			r = plain_command(s, &pos);
			if (r <= 0)
				return r == 0 ? fail(s, -ENODATA, "the file ends within a transaction") : r;
		} while (!is_word(&s->args.v[0], "EXEC"));
	}
	take(s, u, 0, pos, false);
	return 1;
}

/* Whether a comment may stand there. Behind checksums there are none but time stamps, and what ends like a checksum line
 * was one: without this a damaged line would take its record out of the chain. */
static bool comment_ok(const struct aof_scan *s, const char *line, size_t len)
{
	if (len > 4 && memcmp(line, "#TS:", 4) == 0)
		return strspn(line + 4, "0123456789\r") >= len - 5;
	if (s->has_checked || memmem(line, len, &MARK[1], MARK_LEN - 1))
		return false;
	const char *first = memchr(line, ',', len), *end = line + len;
	uint64_t a, b;
	if (!first)
		return true;
	first++;
	return !read_hex(&first, end, &a) || *first++ != ',' || !read_hex(&first, end, &b) || a != b;
}

int aof_scan_next(struct aof_scan *s, struct aof_unit *u)
{
	s->bad_end = 0;
	for (;;) {
		int r = want(s, MARK_LEN);
		if (r < 0)
			return r;
		size_t have = s->end - s->start;
		if (!have)
			return 0;
		const char *p = s->buf + s->start;
		if (have >= MARK_LEN && memcmp(p, MARK, MARK_LEN) == 0)
			return checked_unit(s, u);
		if (*p != '#')
			return plain_unit(s, u);
		ssize_t line = line_length(s, 0, COMMENT_MAX);
		if (line <= 0)
			return line == 0 ? torn(s) : (int)line;
		if (!comment_ok(s, s->buf + s->start, (size_t)line))
			return fail(s, -EINVAL, "a comment line that may be a damaged checksum line");
		s->start += (size_t)line;
		s->offset += (uint64_t)line;
	}
}

ssize_t aof_unit_command(const char *bytes, size_t len, struct resp_args *args)
{
	struct resp_progress progress = { 0 };
	size_t pos = 0;
	char bad;
	args->n = 0;
	while (pos < len && bytes[pos] == '#') {
		const char *lf = memchr(bytes + pos, '\n', len - pos);
		if (!lf)
			return -1;
		pos = (size_t)(lf - bytes) + 1;
	}
	if (pos == len)
		return (ssize_t)pos;
	if (bytes[pos] != '*')
		return -1;
	ssize_t used = resp_parse(bytes + pos, len - pos, &limits, &progress, args, &bad, no_inline, NULL);
	return used <= 0 || args->n == 0 ? -1 : (ssize_t)pos + used;
}
