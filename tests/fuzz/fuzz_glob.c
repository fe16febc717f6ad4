/*
 * Patterns: no read beyond pattern or text, no endless loop, and laws that any pattern obeys. The first byte says where
 * the pattern ends.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "store/glob.h"
#include "tests/fuzz/target.h"

static char *copy(const void *p, size_t n)
{
	char *c = malloc(n ? n : 1);
	if (!c)
		abort();
	if (n)
		memcpy(c, p, n);
	return c;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (!size)
		return 0;
	size_t plen = data[0] % size, slen = size - 1 - plen;
	/* Blocks of their own, so that the sanitizer sees each end. */
	char *pattern = copy(data + 1, plen), *text = copy(data + 1 + plen, slen);
	bool yes = glob_match(pattern, plen, text, slen, false);
	bool folded = glob_match(pattern, plen, text, slen, true);
	check(yes == glob_match(pattern, plen, text, slen, false), "the same question, another answer");
	if (glob_is_all(pattern, plen))
		check(yes && folded, "* matches everything");
	if (glob_is_literal(pattern, plen)) {
		check(yes == (plen == slen && !memcmp(pattern, text, plen)), "a literal pattern matches itself alone");
		check(!yes || folded, "folding only adds matches of a literal");
	}
	if (plen && !memchr(pattern, '*', plen) && !memchr(pattern, '[', plen) && !memchr(pattern, '\\', plen))
		check(!yes || plen == slen, "without stars and classes lengths agree");
	if (!plen)
		check(yes == !slen, "the empty pattern matches the empty text alone");
	free(pattern);
	free(text);
	return 0;
}
