/*
 * The plain codecs: any bytes, cut at any place, give the same messages and the same error as in one piece; messages lie
 * within the input and keep to the limit; what is decoded can be encoded, and decoded again to the same.
 *
 * The first byte chooses the codec and its settings, the second the places of the cuts.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "net/codec.h"
#include "tests/fuzz/outcome.h"

static const struct net_line lines[] = { { .max = 0 }, { .max = 9 }, { .max = 9, .crlf = true } };
static const struct net_delimiter delimiters[] = {
	{ .bytes = "|", .len = 1, .max = 9 }, { .bytes = "aba", .len = 3, .max = 9 }, { .bytes = "aa", .len = 2, .max = 40 },
};
static const struct net_fixed fixed[] = { { 1 }, { 3 }, { 200 } };

struct choice {
	const struct net_codec *codec;
	void *settings;
	size_t max;
	bool encodes; /* whatever was decoded */
};

static struct choice choose(uint8_t how, struct net_length *length)
{
	static const uint8_t widths[] = { 1, 2, 4, 8, NET_VARINT };
	unsigned which = how >> 2;
	const void *settings;
	switch (how & 3) {
	case 0:
		settings = &lines[which % 3];
		return (struct choice){ net_line_codec(), (void *)(uintptr_t)settings, which % 3 ? 9 : NET_MESSAGE_MAX, false };
	case 1:
		settings = &delimiters[which % 3];
		return (struct choice){ net_delimiter_codec(), (void *)(uintptr_t)settings, delimiters[which % 3].max, false };
	case 2:
		settings = &fixed[which % 3];
		return (struct choice){ net_fixed_codec(), (void *)(uintptr_t)settings, fixed[which % 3].len, true };
	default:
		*length = (struct net_length){ .width = widths[which % 5], .little = which & 8, .with_header = which & 16,
			                       .max = which & 32 ? 300 : 20 };
		return (struct choice){ net_length_codec(), length, length->max, true };
	}
}

static void round_trip(const struct choice *c, const struct net_message *m)
{
	size_t most = c->codec->bound(c->settings, m);
	char *out = malloc(most + 1);
	struct net_step s = { 0 };
	ssize_t n = c->codec->encode(c->settings, m, out);
	check(n <= (ssize_t)most, "more bytes than bound() said");
	check(n > 0 || !c->encodes, "a message that cannot be encoded again");
	if (n > 0) {
		check(c->codec->decode(c->settings, out, (size_t)n, &s) == n && s.whole, "what was encoded is not a message");
		check(s.message.len == m->len && (!m->len || !memcmp(s.message.bytes, m->bytes, m->len)), "another message came back");
	}
	free(out);
}

static void decode(const struct choice *c, const uint8_t *data, size_t size, size_t first, size_t step, struct outcome *o)
{
	size_t start = 0, seen = first < size ? first : size, looked = 0;
	for (;;) {
		size_t len = seen - start;
		char *view = malloc(len ? len : 1);
		memcpy(view, data + start, len);
		struct net_step s = { .seen = looked };
		ssize_t n = len ? c->codec->decode(c->settings, view, len, &s) : 0;
		check(n <= (ssize_t)len && s.seen <= len, "more bytes used than there are");
		check(s.whole == (n > 0), "a message without bytes, or bytes without a message");
		looked = n ? 0 : s.seen;
		if (n > 0) {
			const struct net_message *m = &s.message;
			check(m->bytes >= view && m->bytes + m->len <= view + n, "a message outside of the input");
			check(m->len <= c->max, "a message above the limit");
			put(o, &m->len, sizeof m->len);
			put(o, m->bytes, m->len);
			round_trip(c, m);
			start += (size_t)n;
		} else if (n < 0) {
			check(s.error && *s.error, "an error without a text");
			put(o, s.error, strlen(s.error));
		}
		free(view);
		if (n < 0 || (n == 0 && seen == size))
			break;
		if (n == 0)
			seen = size - seen < step ? size : seen + step;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct outcome whole = { 0 }, cut = { 0 };
	struct net_length length;
	if (size < 2)
		return 0;
	struct choice c = choose(data[0], &length);
	uint8_t how = data[1];
	data += 2;
	size -= 2;
	struct cuts cuts = cuts_of(how, size);
	decode(&c, data, size, size, size, &whole);
	decode(&c, data, size, cuts.first, cuts.step, &cut);
	check_same(&whole, &cut);
	return 0;
}
