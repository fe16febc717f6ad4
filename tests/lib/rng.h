/* rng: a small generator for randomised tests. The seed is printed and taken from SEED if that is set. */
#ifndef TESTS_LIB_RNG_H
#define TESTS_LIB_RNG_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

struct rng {
	uint64_t s;
};

static inline void rng_init(struct rng *r, const char *what)
{
	struct timespec t;
	const char *env = getenv("SEED");
	clock_gettime(CLOCK_REALTIME, &t);
	r->s = env ? strtoull(env, NULL, 10) : (uint64_t)t.tv_sec * 1000003 + (uint64_t)t.tv_nsec;
	printf("%s: SEED=%llu\n", what, (unsigned long long)r->s);
	fflush(stdout);
}

static inline uint64_t rng_next(struct rng *r)
{
	uint64_t z = r->s += 0x9e3779b97f4a7c15u;
	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
	z = (z ^ z >> 27) * 0x94d049bb133111ebu;
	return z ^ z >> 31;
}

/* Below n, which is not 0. */
static inline uint64_t rng_below(struct rng *r, uint64_t n)
{
	return rng_next(r) % n;
}

#endif
