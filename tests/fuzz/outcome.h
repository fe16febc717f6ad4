/*
 * outcome: all that a parser found in an input, as one text: whole or in pieces, the input must lead to the same.
 */
#ifndef TESTS_FUZZ_OUTCOME_H
#define TESTS_FUZZ_OUTCOME_H

#include "tests/fuzz/target.h"

struct outcome {
	char *text;
	size_t len, cap;
};

static inline void put(struct outcome *o, const void *p, size_t n)
{
	if (o->cap - o->len < n) {
		o->cap = (o->cap + n) * 2;
		o->text = realloc(o->text, o->cap);
		if (!o->text)
			abort();
	}
	if (n)
		memcpy(o->text + o->len, p, n);
	o->len += n;
}

/* How an input is cut is said by one of its bytes: where the second piece begins, and how long the further ones are. */
struct cuts {
	size_t first, step;
};
static inline struct cuts cuts_of(uint8_t how, size_t size)
{
	return how & 1 ? (struct cuts){ how >> 1, size } : (struct cuts){ how >> 4, 1 + (how >> 1 & 7) };
}

/* Frees both. */
static inline void check_same(struct outcome *whole, struct outcome *cut)
{
	check(whole->len == cut->len && (!whole->len || !memcmp(whole->text, cut->text, whole->len)), "cutting changes the outcome");
	free(whole->text);
	free(cut->text);
}

#endif
