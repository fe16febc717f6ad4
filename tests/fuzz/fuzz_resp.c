/*
 * The request parser: any bytes, cut at any place, give the same requests and the same error as in one piece; slices lie
 * within the input or the scratch memory; what is used never exceeds what is there.
 *
 * The first byte chooses the limits, the second the places of the cuts.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "server/resp.h"
#include "tests/fuzz/outcome.h"

enum { SCRATCH = 32 * 1024 };

struct scratch {
	char *mem;
	size_t used;
};

static void *take(void *ctx, size_t n)
{
	struct scratch *s = ctx;
	if (n > SCRATCH - s->used)
		return NULL;
	void *p = s->mem + s->used;
	s->used += n;
	return p;
}

static void note(struct outcome *o, const struct resp_args *args, const char *buf, size_t len, const struct scratch *s)
{
	put(o, &args->n, sizeof args->n);
	for (size_t i = 0; i < args->n; i++) {
		const struct arg *a = &args->v[i];
		bool inside = a->ptr >= buf && a->ptr + a->len <= buf + len;
		bool scratch = a->ptr >= s->mem && a->ptr + a->len <= s->mem + SCRATCH;
		check(a->len == 0 || inside || scratch, "an argument lies outside of the input");
		put(o, &a->len, sizeof a->len);
		put(o, a->ptr, a->len);
	}
}

/* Feed the input so that `step(k)` further bytes become visible each time; 0: all at once. */
static void parse(const uint8_t *data, size_t size, const struct resp_limits *limits, size_t first, size_t step,
                  struct outcome *o)
{
	static char memory[SCRATCH]; /* not from malloc(): the sanitizer would spend most of the time on it */
	struct scratch s = { memory, 0 };
	struct resp_args args = { 0 };
	struct resp_progress progress = { 0 };
	size_t start = 0, seen = first < size ? first : size;
	for (;;) {
		char bad = 0;
		/* A copy of exactly what is visible, so that reading beyond it is seen by the sanitizer. */
		size_t len = seen - start;
		char *view = malloc(len ? len : 1);
		memcpy(view, data + start, len);
		args.n = 0;
		s.used = 0;
		ssize_t n = len ? resp_parse(view, len, limits, &progress, &args, &bad, take, &s) : 0;
		check(n <= (ssize_t)len, "more bytes used than there are");
		if (n > 0) {
			note(o, &args, view, len, &s);
			memset(&progress, 0, sizeof progress);
			start += (size_t)n;
		} else if (n < 0) {
			char text[128] = "";
			resp_error_text((enum resp_error)-n, bad, text, sizeof text);
			check(*text && strlen(text) < sizeof text, "an error without a text");
			put(o, text, strlen(text));
		} else {
			check(args.n == 0 || progress.pos <= len, "progress beyond the input");
		}
		free(view);
		if (n < 0)
			break;
		if (n == 0) {
			if (seen == size)
				break;
			seen = size - seen < step ? size : seen + step;
		}
	}
	free(args.v);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size < 2)
		return 0;
	struct resp_limits limits = {
		.max_bulk = data[0] & 1 ? 1024 : data[0] & 16 ? INT64_MAX : 512 << 20,
		.max_args = data[0] & 2 ? 16 : 1024 * 1024,
		.max_inline = data[0] & 4 ? 64 : 64 * 1024,
		.authenticated = !(data[0] & 8),
	};
	struct outcome whole = { 0 }, cut = { 0 };
	uint8_t how = data[1];
	data += 2;
	size -= 2;
	struct cuts cuts = cuts_of(how, size);
	parse(data, size, &limits, size, size, &whole);
	parse(data, size, &limits, cuts.first, cuts.step, &cut);
	check_same(&whole, &cut);
	return 0;
}
