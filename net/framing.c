/* framing: the plain codecs: lines, delimiters, length prefixes, fixed sizes. They keep no state: their settings are it. */
#include <errno.h>
#include <stdint.h>
#include <string.h>

#include "net/codec.h"

static size_t limit(size_t max)
{
	return !max ? NET_MESSAGE_MAX : max < SIZE_MAX / 4 ? max : SIZE_MAX / 4;
}

static ssize_t refuse(struct net_step *s, int err, const char *text)
{
	s->error = text;
	return -err;
}

static ssize_t found(struct net_step *s, const char *p, size_t len, size_t used)
{
	s->whole = true;
	s->message = (struct net_message){ .bytes = p, .len = len };
	return (ssize_t)used;
}

/* ------------------------------------------------------------------ lines */

static const struct net_line plain_lines = { 0 };

static const struct net_line *line_settings(const void *state)
{
	return state ? state : &plain_lines;
}

static ssize_t line_decode(void *state, char *p, size_t len, struct net_step *s)
{
	size_t max = limit(line_settings(state)->max);
	const char *lf = len > s->seen ? memchr(p + s->seen, '\n', len - s->seen) : NULL;
	size_t n = lf ? (size_t)(lf - p) : len;
	size_t cr = n && p[n - 1] == '\r'; /* at the end of what is there, it may belong to the end of the line */
	if (n - cr > max)
		return refuse(s, EMSGSIZE, "line too long");
	s->seen = len;
	return lf ? found(s, p, n - cr, n + 1) : 0;
}

static size_t line_bound(void *state, const struct net_message *m)
{
	(void)state;
	return m->len + 2;
}

static ssize_t line_encode(void *state, const struct net_message *m, char *out)
{
	const struct net_line *o = line_settings(state);
	char *end = out + m->len;
	if (m->len > limit(o->max))
		return -EMSGSIZE;
	if (m->len) {
		if (memchr(m->bytes, '\n', m->len) || m->bytes[m->len - 1] == '\r')
			return -EINVAL;
		memcpy(out, m->bytes, m->len);
	}
	if (o->crlf)
		*end++ = '\r';
	*end++ = '\n';
	return end - out;
}

const struct net_codec *net_line_codec(void)
{
	static const struct net_codec codec = {
		.name = "line", .decode = line_decode, .bound = line_bound, .encode = line_encode,
	};
	return &codec;
}

/* ------------------------------------------------------------------ delimiters */

static ssize_t delimiter_decode(void *state, char *p, size_t len, struct net_step *s)
{
	const struct net_delimiter *o = state;
	size_t max = limit(o->max);
	size_t from = s->seen >= o->len ? s->seen - o->len + 1 : 0; /* it may have begun in what was looked at */
	if (!o->len)
		return refuse(s, EINVAL, "empty delimiter");
	const char *at = len > from ? memmem(p + from, len - from, o->bytes, o->len) : NULL;
	size_t n = at ? (size_t)(at - p) : len < o->len ? 0 : len - o->len + 1;
	if (n > max)
		return refuse(s, EMSGSIZE, "message too long");
	s->seen = len;
	return at ? found(s, p, n, n + o->len) : 0;
}

static size_t delimiter_bound(void *state, const struct net_message *m)
{
	return m->len + ((const struct net_delimiter *)state)->len;
}

static ssize_t delimiter_encode(void *state, const struct net_message *m, char *out)
{
	const struct net_delimiter *o = state;
	if (m->len > limit(o->max))
		return -EMSGSIZE;
	if (m->len)
		memcpy(out, m->bytes, m->len);
	memcpy(out + m->len, o->bytes, o->len);
	/* The first one must be the last, also where the message's end and the delimiter's beginning form one. */
	if (!o->len || memmem(out, m->len + o->len, o->bytes, o->len) != out + m->len)
		return -EINVAL;
	return (ssize_t)(m->len + o->len);
}

const struct net_codec *net_delimiter_codec(void)
{
	static const struct net_codec codec = {
		.name = "delimiter", .decode = delimiter_decode, .bound = delimiter_bound, .encode = delimiter_encode,
	};
	return &codec;
}

/* ------------------------------------------------------------------ length prefixes */

#define VARINT_MAX 10

static const struct net_length four_bytes = { .width = 4 };

static const struct net_length *length_settings(const void *state)
{
	return state ? state : &four_bytes;
}

static bool width_known(unsigned width)
{
	return width == NET_VARINT || width == 1 || width == 2 || width == 4 || width == 8;
}

/* Bytes used, 0 more, -EBADMSG more than 64 bits. */
static ssize_t get_varint(const unsigned char *p, size_t len, uint64_t *value)
{
	*value = 0;
	for (size_t i = 0; i < len; i++) {
		if (i == VARINT_MAX || (i == VARINT_MAX - 1 && p[i] > 1))
			return -EBADMSG;
		*value |= (uint64_t)(p[i] & 0x7f) << (7 * i);
		if (!(p[i] & 0x80))
			return (ssize_t)i + 1;
	}
	return 0;
}

static size_t put_varint(char *out, uint64_t value)
{
	size_t n = 0;
	for (; value > 0x7f; value >>= 7)
		out[n++] = (char)(value | 0x80);
	out[n++] = (char)value;
	return n;
}

static ssize_t get_length(const struct net_length *o, const unsigned char *p, size_t len, uint64_t *value)
{
	uint64_t v = 0;
	if (o->width == NET_VARINT)
		return get_varint(p, len, value);
	if (len < o->width)
		return 0;
	for (unsigned i = 0; i < o->width; i++)
		v |= (uint64_t)p[i] << 8 * (o->little ? i : o->width - 1 - i);
	*value = v;
	return (ssize_t)o->width;
}

static ssize_t length_decode(void *state, char *p, size_t len, struct net_step *s)
{
	const struct net_length *o = length_settings(state);
	uint64_t n;
	if (!width_known(o->width))
		return refuse(s, EINVAL, "unknown width of lengths");
	ssize_t head = get_length(o, (const unsigned char *)p, len, &n);
	if (head < 0)
		return refuse(s, EBADMSG, "length of more than 64 bits");
	if (!head)
		return 0;
	if (o->with_header && n < (uint64_t)head)
		return refuse(s, EBADMSG, "length shorter than its own bytes");
	n -= o->with_header ? (uint64_t)head : 0;
	if (n > limit(o->max))
		return refuse(s, EMSGSIZE, "message too long");
	size_t total = (size_t)head + (size_t)n;
	if (len < total) {
		s->missing = total - len;
		return 0;
	}
	return found(s, p + head, (size_t)n, total);
}

static size_t length_bound(void *state, const struct net_message *m)
{
	(void)state;
	return m->len + VARINT_MAX;
}

/* A varint that counts itself: it may become longer by that, once. */
static size_t put_own_varint(char *out, uint64_t len)
{
	size_t head = put_varint(out, len + 1);
	if (put_varint(out, len + head) != head)
		head = put_varint(out, len + head + 1);
	return head;
}

static ssize_t length_encode(void *state, const struct net_message *m, char *out)
{
	const struct net_length *o = length_settings(state);
	uint64_t n = m->len + (o->with_header ? o->width : 0);
	size_t head = o->width;
	if (!width_known(o->width))
		return -EINVAL;
	if (m->len > limit(o->max) || (o->width && o->width < 8 && n >> 8 * o->width))
		return -EMSGSIZE;
	if (o->width == NET_VARINT)
		head = o->with_header ? put_own_varint(out, n) : put_varint(out, n);
	for (unsigned i = 0; i < o->width; i++)
		out[i] = (char)(n >> 8 * (o->little ? i : o->width - 1 - i));
	if (m->len)
		memcpy(out + head, m->bytes, m->len);
	return (ssize_t)(head + m->len);
}

const struct net_codec *net_length_codec(void)
{
	static const struct net_codec codec = {
		.name = "length", .decode = length_decode, .bound = length_bound, .encode = length_encode,
	};
	return &codec;
}

/* ------------------------------------------------------------------ fixed sizes */

static ssize_t fixed_decode(void *state, char *p, size_t len, struct net_step *s)
{
	const struct net_fixed *o = state;
	if (!o->len || o->len > SIZE_MAX / 4)
		return refuse(s, EINVAL, "message size out of range");
	if (len < o->len) {
		s->missing = o->len - len;
		return 0;
	}
	return found(s, p, o->len, o->len);
}

static size_t fixed_bound(void *state, const struct net_message *m)
{
	(void)state;
	return m->len;
}

static ssize_t fixed_encode(void *state, const struct net_message *m, char *out)
{
	if (!m->len || m->len != ((const struct net_fixed *)state)->len)
		return -EINVAL;
	memcpy(out, m->bytes, m->len);
	return (ssize_t)m->len;
}

const struct net_codec *net_fixed_codec(void)
{
	static const struct net_codec codec = {
		.name = "fixed", .decode = fixed_decode, .bound = fixed_bound, .encode = fixed_encode,
	};
	return &codec;
}
