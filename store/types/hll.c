/* hll: see hll.h. */
#include "store/types/hll.h"

#include <errno.h>
#include <math.h>
#include <string.h>

#define INDEX_BITS 14
#define RANKS (64 - INDEX_BITS) /* largest value of a register is one more */
#define SPARSE_VALUE_MAX 32
#define ZERO_MAX 64

enum { DENSE = 0, SPARSE = 1 };

bool hll_valid(const uint8_t *p, size_t len)
{
	return len >= HLL_HEADER && !memcmp(p, "HYLL", 4) && p[4] <= SPARSE && (p[4] == SPARSE || len == HLL_DENSE_BYTES);
}

bool hll_is_dense(const uint8_t *p)
{
	return p[4] == DENSE;
}

void hll_create(struct hll *h)
{
	memset(h->p, 0, HLL_HEADER);
	memcpy(h->p, "HYLL", 4);
	h->p[4] = SPARSE;
	h->p[HLL_HEADER] = 0x7f; /* all registers are zero */
	h->p[HLL_HEADER + 1] = 0xff;
	h->len = HLL_HEADER + 2;
}

/* ------------------------------------------------------------------ the remembered count */

bool hll_cached(const uint8_t *p, uint64_t *count)
{
	*count = 0;
	for (int i = 0; i < 8; i++)
		*count |= (uint64_t)p[8 + i] << 8 * i;
	return !(p[15] & 0x80);
}

void hll_cache(uint8_t *p, uint64_t count)
{
	for (int i = 0; i < 8; i++)
		p[8 + i] = (uint8_t)(count >> 8 * i);
}

void hll_forget(uint8_t *p)
{
	p[15] |= 0x80;
}

/* ------------------------------------------------------------------ hashing */

static uint64_t murmur64a(const uint8_t *p, size_t len, uint64_t seed)
{
	const uint64_t m = 0xc6a4a7935bd1e995u;
	uint64_t h = seed ^ len * m, k;
	for (; len >= 8; p += 8, len -= 8) {
		k = 0;
		for (int i = 0; i < 8; i++)
			k |= (uint64_t)p[i] << 8 * i;
		k *= m;
		k ^= k >> 47;
		k *= m;
		h = (h ^ k) * m;
	}
	if (len) {
		for (k = 0; len > 0; len--)
			k = k << 8 | p[len - 1];
		h = (h ^ k) * m;
	}
	h ^= h >> 47;
	h *= m;
	return h ^ h >> 47;
}

uint8_t hll_hash(const void *element, size_t len, unsigned *index)
{
	uint64_t h = murmur64a(element, len, 0xadc83b19u);
	*index = (unsigned)(h & (HLL_REGISTERS - 1));
	h = h >> INDEX_BITS | (uint64_t)1 << RANKS;
	return (uint8_t)(__builtin_ctzll(h) + 1);
}

/* ------------------------------------------------------------------ dense */

static uint8_t dense_get(const uint8_t *p, unsigned index)
{
	unsigned bit = index * 6, byte = bit >> 3, shift = bit & 7;
	const uint8_t *r = p + HLL_HEADER;
	unsigned v = r[byte] >> shift;
	if (shift > 2)
		v |= (unsigned)r[byte + 1] << (8 - shift);
	return v & 63;
}

static void dense_set(uint8_t *p, unsigned index, uint8_t v)
{
	unsigned bit = index * 6, byte = bit >> 3, shift = bit & 7;
	uint8_t *r = p + HLL_HEADER;
	r[byte] = (uint8_t)((r[byte] & ~(63u << shift)) | (unsigned)v << shift);
	if (shift > 2)
		r[byte + 1] = (uint8_t)((r[byte + 1] & ~(63u >> (8 - shift))) | v >> (8 - shift));
}

bool hll_dense_raise(uint8_t *p, unsigned index, uint8_t v)
{
	if (v <= dense_get(p, index))
		return false;
	dense_set(p, index, v);
	return true;
}

/* ------------------------------------------------------------------ sparse */

/* One run. */
struct run {
	unsigned bytes, registers;
	uint8_t value; /* 0: zeros */
};

/* false: the bytes end within it. */
static bool run_at(const uint8_t *p, const uint8_t *end, struct run *r)
{
	if (p >= end)
		return false;
	if (*p & 0x80)
		*r = (struct run){ 1, (*p & 3u) + 1, (uint8_t)((*p >> 2 & 31) + 1) };
	else if (!(*p & 0x40))
		*r = (struct run){ 1, (*p & 63u) + 1, 0 };
	else if (p + 1 < end)
		*r = (struct run){ 2, ((*p & 63u) << 8 | p[1]) + 1, 0 };
	else
		return false;
	return true;
}

static uint8_t *put_value(uint8_t *p, uint8_t v, unsigned n)
{
	*p = (uint8_t)(0x80 | (v - 1) << 2 | (n - 1));
	return p + 1;
}

static uint8_t *put_zeros(uint8_t *p, unsigned n)
{
	if (n <= ZERO_MAX) {
		*p = (uint8_t)(n - 1);
		return p + 1;
	}
	p[0] = (uint8_t)(0x40 | (n - 1) >> 8);
	p[1] = (uint8_t)(n - 1);
	return p + 2;
}

static inline uint8_t greater(uint8_t a, uint32_t b)
{
	return a > b ? a : (uint8_t)b;
}

/* Four registers are three bytes. */
static void merge_dense(const uint8_t *p, uint8_t *max)
{
	for (unsigned i = 0; i < HLL_REGISTERS; i += 4, p += 3) {
		uint32_t w = p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16;
		max[i] = greater(max[i], w & 63);
		max[i + 1] = greater(max[i + 1], w >> 6 & 63);
		max[i + 2] = greater(max[i + 2], w >> 12 & 63);
		max[i + 3] = greater(max[i + 3], w >> 18);
	}
}

void hll_dense_put(uint8_t *p, const uint8_t max[static HLL_REGISTERS])
{
	p += HLL_HEADER;
	for (unsigned i = 0; i < HLL_REGISTERS; i += 4, p += 3) {
		uint32_t w = max[i] | (uint32_t)max[i + 1] << 6 | (uint32_t)max[i + 2] << 12 | (uint32_t)max[i + 3] << 18;
		p[0] = (uint8_t)w;
		p[1] = (uint8_t)(w >> 8);
		p[2] = (uint8_t)(w >> 16);
	}
}

int hll_merge(const uint8_t *p, size_t len, uint8_t max[static HLL_REGISTERS])
{
	if (hll_is_dense(p)) {
		merge_dense(p + HLL_HEADER, max);
		return 0;
	}
	const uint8_t *end = p + len;
	unsigned i = 0;
	struct run r;
	for (p += HLL_HEADER; p < end; p += r.bytes) {
		if (!run_at(p, end, &r) || r.registers > HLL_REGISTERS - i)
			return -EINVAL;
		for (unsigned k = 0; k < r.registers; k++, i++)
			max[i] = r.value > max[i] ? r.value : max[i];
	}
	return i == HLL_REGISTERS ? 0 : -EINVAL;
}

int hll_make_dense(struct hll *h)
{
	uint8_t registers[HLL_REGISTERS] = { 0 };
	if (hll_is_dense(h->p))
		return 0;
	if (hll_merge(h->p, h->len, registers))
		return -EINVAL;
	h->p[4] = DENSE;
	hll_dense_put(h->p, registers);
	h->len = HLL_DENSE_BYTES;
	return 0;
}

static int raise_dense(struct hll *h, unsigned index, uint8_t v)
{
	int err = hll_make_dense(h);
	return err ? err : hll_dense_raise(h->p, index, v);
}

/* Neighbouring runs of one value become one, from the run before the change on, a few runs far. */
static void join_values(struct hll *h, uint8_t *p)
{
	uint8_t *end = h->p + h->len;
	struct run a, b;
	for (int n = 5; n > 0 && run_at(p, end, &a); n--) {
		if (a.value && run_at(p + 1, end, &b) && b.value == a.value && a.registers + b.registers <= 4) {
			put_value(p + 1, a.value, a.registers + b.registers);
			memmove(p, p + 1, (size_t)(end - p - 1));
			end--;
			h->len--;
			continue; /* perhaps it can be joined with the next, too */
		}
		p += a.bytes;
	}
}

/* What takes the place of the run when its register at `at` becomes v: at most 5 bytes. */
static size_t split_run(const struct run *r, unsigned at, uint8_t v, uint8_t out[static 5])
{
	uint8_t *p = out;
	unsigned after = r->registers - at - 1;
	if (at)
		p = r->value ? put_value(p, r->value, at) : put_zeros(p, at);
	p = put_value(p, v, 1);
	if (after)
		p = r->value ? put_value(p, r->value, after) : put_zeros(p, after);
	return (size_t)(p - out);
}

static int raise_sparse(struct hll *h, unsigned index, uint8_t v, size_t max_bytes)
{
	uint8_t *p = h->p + HLL_HEADER, *end = h->p + h->len, *before = NULL, seq[5];
	unsigned first = 0;
	struct run r;
	if (v > SPARSE_VALUE_MAX)
		return raise_dense(h, index, v);
	for (;; first += r.registers) {
		if (!run_at(p, end, &r))
			return -EINVAL;
		if (index < first + r.registers)
			break;
		before = p;
		p += r.bytes;
	}
	if (r.value >= v)
		return 0;
	size_t n = split_run(&r, index - first, v, seq);
	if (n > r.bytes && h->len + (n - r.bytes) > max_bytes)
		return raise_dense(h, index, v);
	if (h->len + n - r.bytes > h->cap)
		return -EINVAL;
	memmove(p + n, p + r.bytes, (size_t)(end - p) - r.bytes);
	memcpy(p, seq, n);
	h->len = h->len + n - r.bytes;
	join_values(h, before ? before : h->p + HLL_HEADER);
	return 1;
}

int hll_raise(struct hll *h, unsigned index, uint8_t v, size_t max_bytes)
{
	return hll_is_dense(h->p) ? hll_dense_raise(h->p, index, v) : raise_sparse(h, index, v, max_bytes);
}

int hll_add(struct hll *h, const void *element, size_t len, size_t max_bytes)
{
	unsigned index;
	uint8_t v = hll_hash(element, len, &index);
	return hll_raise(h, index, v, max_bytes);
}

/* ------------------------------------------------------------------ the estimate */

static double tau(double x)
{
	double y = 1, z = 1 - x, last;
	if (x == 0 || x == 1)
		return 0;
	do {
		x = sqrt(x);
		last = z;
		y *= 0.5;
		z -= (1 - x) * (1 - x) * y;
	} while (last != z);
	return z / 3;
}

static double sigma(double x)
{
	double y = 1, z = x, last;
	if (x == 1)
		return INFINITY;
	do {
		x *= x;
		last = z;
		z += x * y;
		y += y;
	} while (last != z);
	return z;
}

uint64_t hll_estimate(const uint8_t max[static HLL_REGISTERS])
{
	unsigned part[4][64] = { { 0 } }, n[64];
	const double m = HLL_REGISTERS;
	/* Registers that follow each other are often equal: four tables in turn do not wait for each other. */
	for (unsigned i = 0; i < HLL_REGISTERS; i += 4) {
		part[0][max[i] & 63]++;
		part[1][max[i + 1] & 63]++;
		part[2][max[i + 2] & 63]++;
		part[3][max[i + 3] & 63]++;
	}
	for (unsigned i = 0; i < 64; i++)
		n[i] = part[0][i] + part[1][i] + part[2][i] + part[3][i];
	double z = m * tau((m - n[RANKS + 1]) / m);
	for (int k = RANKS; k >= 1; k--)
		z = (z + n[k]) * 0.5;
	z += m * sigma(n[0] / m);
	return (uint64_t)llroundl(0.721347520444481703680 * m * m / z);
}
