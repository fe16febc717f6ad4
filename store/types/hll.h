/*
 * hll: HyperLogLogs within strings, byte for byte as Redis has them: 16384 registers of 6 bits behind a header of 16 bytes,
 * dense, or sparse: runs of zeros (ZERO 00xxxxxx: 1 to 64, XZERO 01xxxxxx xxxxxxxx: 1 to 16384) and of equal values (VAL
 * 1vvvvvxx: the value 1 to 32, 1 to 4 registers).
 *
 * Format and hash (MurmurHash64A) after Redis's description; the estimate is Otmar Ertl's ("New cardinality estimation
 * algorithms for HyperLogLog sketches", 2017). Bytes may come from anybody: every function that reads runs checks them.
 * Threads: any; the bytes are the caller's.
 */
#ifndef STORE_TYPES_HLL_H
#define STORE_TYPES_HLL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define HLL_REGISTERS 16384
#define HLL_HEADER 16
#define HLL_DENSE_BYTES (HLL_HEADER + HLL_REGISTERS * 6 / 8)
#define HLL_GROWTH 3 /* bytes by which one element can lengthen a sparse one */

/* A HyperLogLog in memory of the caller's: cap bytes, at least HLL_DENSE_BYTES, of which len are used. */
struct hll {
	uint8_t *p;
	size_t len, cap;
};

/* Whether the bytes look like one: header, and the length of a dense one. */
bool hll_valid(const uint8_t *p, size_t len);
bool hll_is_dense(const uint8_t *p);
/* An empty, sparse one. */
void hll_create(struct hll *h);
/* 1: a register changed; 0; -EINVAL: damaged. A sparse one beyond max_bytes becomes dense. */
int hll_add(struct hll *h, const void *element, size_t len, size_t max_bytes);
/* The register of a dense one becomes at least v; whether it changed. */
bool hll_dense_raise(uint8_t *p, unsigned index, uint8_t v);
/* All registers of a dense one, from 0 to 63 each. */
void hll_dense_put(uint8_t *p, const uint8_t max[static HLL_REGISTERS]);
/* The same as hll_dense_raise() for either kind: as hll_add(). */
int hll_raise(struct hll *h, unsigned index, uint8_t v, size_t max_bytes);
/* The register and value of an element. */
uint8_t hll_hash(const void *element, size_t len, unsigned *index);
/* 0 or -EINVAL. */
int hll_make_dense(struct hll *h);

/* max[i] becomes at least the i-th register. 0 or -EINVAL. */
int hll_merge(const uint8_t *p, size_t len, uint8_t max[static HLL_REGISTERS]);
uint64_t hll_estimate(const uint8_t max[static HLL_REGISTERS]);

/* The count that the header remembers. */
bool hll_cached(const uint8_t *p, uint64_t *count);
void hll_cache(uint8_t *p, uint64_t count);
void hll_forget(uint8_t *p);

#endif
