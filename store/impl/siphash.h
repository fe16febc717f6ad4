/* siphash: SipHash-1-3, a keyed hash of short strings that cannot be flooded with collisions by who does not know the key. */
#ifndef STORE_IMPL_SIPHASH_H
#define STORE_IMPL_SIPHASH_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define SIPHASH_ROTL(x, b) ((x) << (b) | (x) >> (64 - (b)))
#define SIPHASH_ROUND(a, b, c, d) \
	do { \
		a += b; \
		c += d; \
		b = SIPHASH_ROTL(b, 13) ^ a; \
		d = SIPHASH_ROTL(d, 16) ^ c; \
		a = SIPHASH_ROTL(a, 32); \
		c += b; \
		a += d; \
		b = SIPHASH_ROTL(b, 17) ^ c; \
		d = SIPHASH_ROTL(d, 21) ^ a; \
		c = SIPHASH_ROTL(c, 32); \
	} while (0)

static inline uint64_t siphash_tail(const unsigned char *p, size_t n)
{
	uint64_t v = 0;
	uint32_t lo, hi;
	if (n >= 4) {
		memcpy(&lo, p, 4);
		memcpy(&hi, p + n - 4, 4);
		return lo | (uint64_t)hi << 8 * (n - 4);
	}
	for (size_t i = 0; i < n; i++)
		v |= (uint64_t)p[i] << 8 * i;
	return v;
}

static inline uint64_t siphash(const uint64_t key[2], const void *bytes, size_t len)
{
	const unsigned char *p = bytes, *end = p + (len & ~(size_t)7);
	uint64_t a = key[0] ^ 0x736f6d6570736575u, b = key[1] ^ 0x646f72616e646f6du;
	uint64_t c = key[0] ^ 0x6c7967656e657261u, d = key[1] ^ 0x7465646279746573u, m;
	for (; p < end; p += 8) {
		memcpy(&m, p, 8);
		d ^= m;
		SIPHASH_ROUND(a, b, c, d);
		a ^= m;
	}
	m = siphash_tail(p, len & 7) | (uint64_t)len << 56;
	d ^= m;
	SIPHASH_ROUND(a, b, c, d);
	a ^= m;
	c ^= 0xff;
	for (int i = 0; i < 3; i++)
		SIPHASH_ROUND(a, b, c, d);
	return a ^ b ^ c ^ d;
}

#endif
