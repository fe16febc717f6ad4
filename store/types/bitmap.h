/*
 * bitmap: strings as arrays of bits: bit 0 is the highest bit of the first byte. Pure functions over bytes. [any]
 */
#ifndef STORE_TYPES_BITMAP_H
#define STORE_TYPES_BITMAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Bits that are set. */
uint64_t bitmap_count(const void *bytes, size_t len);
/* The first bit that is `bit`; len * 8 if there is none. */
uint64_t bitmap_find(const void *bytes, size_t len, bool bit);

enum bitmap_op { BITMAP_AND, BITMAP_OR, BITMAP_XOR, BITMAP_NOT };
struct bitmap_source {
	const void *bytes;
	size_t len;
};
/* Combine n >= 1 sources (NOT: one) into out, which has `len` bytes and lies in none of them; sources end in zeros. */
void bitmap_combine(enum bitmap_op op, void *out, size_t len, const struct bitmap_source *sources, size_t n);

/* An integer of 1 to 64 bits at any bit; what lies behind len counts as zero. */
uint64_t bitmap_get(const uint8_t *bytes, size_t len, uint64_t offset, unsigned bits);
/* The field must lie within the bytes. */
void bitmap_set(uint8_t *bytes, uint64_t offset, unsigned bits, uint64_t v);

/* What becomes of a result that does not fit. */
enum bitmap_overflow { BITMAP_WRAP, BITMAP_SATURATE, BITMAP_FAIL };
/* v + add as an integer of so many bits. false: it does not fit and how is BITMAP_FAIL. */
bool bitmap_add(bool is_signed, unsigned bits, int64_t v, int64_t add, enum bitmap_overflow how, int64_t *out);

#endif
