#include "store/glob.h"

#include <string.h>

/*
 * Every part of a pattern other than a star eats exactly one byte, so the pattern falls into segments between stars: the
 * first is anchored at the start, the last at the end, and each one between may take its leftmost place, because a star
 * follows it. Nothing is ever tried twice on behalf of an earlier star.
 */

struct glob_segment {
	const char *start, *end;
	size_t tokens; /* bytes it eats */
	bool plain;    /* no special bytes: tokens are the bytes */
};

static inline int fold(char c)
{
	return c >= 'A' && c <= 'Z' ? c + ('a' - 'A') : c;
}

/* The end of the class whose '[' is at p. */
static const char *class_end(const char *p, const char *end)
{
	p++;
	if (p < end && *p == '^')
		p++;
	while (p < end) {
		if (end - p >= 2 && *p == '\\')
			p += 2;
		else if (*p == ']')
			return p + 1;
		else if (end - p >= 3 && p[1] == '-')
			p += 3;
		else
			p++;
	}
	return end;
}

static const char *token_end(const char *p, const char *end)
{
	if (*p == '[')
		return class_end(p, end);
	return *p == '\\' && end - p >= 2 ? p + 2 : p + 1;
}

static bool range_match(char from, char to, char c, bool nocase)
{
	int lo = from <= to ? from : to, hi = from <= to ? to : from;
	if (!nocase)
		return c >= lo && c <= hi;
	return fold(c) >= fold((char)lo) && fold(c) <= fold((char)hi);
}

/* Match the class at *pp and step over it; all of it is read even after a hit, to find its end. */
static bool class_match(const char **pp, const char *end, char c, bool nocase, size_t *steps)
{
	const char *p = *pp + 1;
	bool hit = false, negate = p < end && *p == '^';
	if (negate)
		p++;
	while (p < end) {
		++*steps;
		if (end - p >= 2 && *p == '\\') {
			hit |= p[1] == c;
			p += 2;
		} else if (*p == ']') {
			p++;
			break;
		} else if (end - p >= 3 && p[1] == '-') {
			hit |= range_match(p[0], p[2], c, nocase);
			p += 3;
		} else {
			hit |= nocase ? fold(*p) == fold(c) : *p == c;
			p++;
		}
	}
	*pp = p;
	return hit != negate;
}

static bool token_match(const char **pp, const char *end, char c, bool nocase, size_t *steps)
{
	const char *p = *pp;
	++*steps;
	switch (*p) {
	case '[':
		return class_match(pp, end, c, nocase, steps);
	case '?':
		*pp = p + 1;
		return true;
	case '\\':
		if (end - p >= 2)
			p++;
		break;
	}
	*pp = p + 1;
	return nocase ? fold(*p) == fold(c) : *p == c;
}

static bool segment_match(const struct glob_segment *seg, const char *s, bool nocase, size_t *steps)
{
	const char *p = seg->start;
	while (p < seg->end)
		if (!token_match(&p, seg->end, *s++, nocase, steps))
			return false;
	return true;
}

/* The leftmost place of a segment within s, NULL if none or the steps are used up. */
static const char *segment_search(const struct glob_segment *seg, const char *s, const char *send, bool nocase,
                                  size_t *steps)
{
	if (seg->plain && !nocase)
		return memmem(s, (size_t)(send - s), seg->start, seg->tokens);
	for (; (size_t)(send - s) >= seg->tokens; s++) {
		if (segment_match(seg, s, nocase, steps))
			return s;
		if (*steps > GLOB_MAX_STEPS)
			return NULL;
	}
	return NULL;
}

static struct glob_segment segment_read(const char *p, const char *end)
{
	struct glob_segment seg = {.start = p, .plain = true};
	while (p < end && *p != '*') {
		const char *q = token_end(p, end);
		if (*p == '?' || *p == '[' || q - p != 1)
			seg.plain = false;
		p = q;
		seg.tokens++;
	}
	seg.end = p;
	return seg;
}

bool glob_match(const char *pattern, size_t plen, const char *str, size_t slen, bool nocase)
{
	const char *p = pattern, *pend = pattern + plen, *s = str, *send = str + slen;
	size_t steps = 0;
	/* What Redis answers: of the patterns made of stars only a single one matches the empty string. */
	if (!slen)
		return !plen || glob_is_all(pattern, plen);
	/* The first segment, without looking ahead: most keys fail here. */
	while (p < pend && *p != '*') {
		if (s == send || !token_match(&p, pend, *s++, nocase, &steps))
			return false;
	}
	if (p == pend)
		return s == send;
	for (;;) {
		while (p < pend && *p == '*')
			p++;
		if (p == pend)
			return true;
		struct glob_segment seg = segment_read(p, pend);
		if ((size_t)(send - s) < seg.tokens)
			return false;
		if (seg.end == pend)
			return segment_match(&seg, send - seg.tokens, nocase, &steps);
		s = segment_search(&seg, s, send, nocase, &steps);
		if (!s)
			return false;
		s += seg.tokens;
		p = seg.end;
	}
}

bool glob_is_literal(const char *pattern, size_t plen)
{
	for (size_t i = 0; i < plen; i++)
		if (pattern[i] == '*' || pattern[i] == '?' || pattern[i] == '[' || pattern[i] == '\\')
			return false;
	return true;
}
