/* bitmap: see bitmap.h. Every vector path has a portable twin; which one runs is decided by the processor. */
#include "store/types/bitmap.h"

#include <string.h>

#if defined(__x86_64__)
#include <immintrin.h>
#define BITMAP_X86 1
#endif

static inline uint64_t word_at(const uint8_t *p)
{
	uint64_t w;
	memcpy(&w, p, sizeof w);
	return w;
}

/* ------------------------------------------------------------------ counting */

/* Counts in every byte at once, then sums the bytes by a multiplication. */
static inline uint64_t count_word(uint64_t w)
{
	w -= w >> 1 & 0x5555555555555555u;
	w = (w & 0x3333333333333333u) + (w >> 2 & 0x3333333333333333u);
	return ((w + (w >> 4)) & 0x0f0f0f0f0f0f0f0fu) * 0x0101010101010101u >> 56;
}

static uint64_t count_portable(const uint8_t *p, size_t n)
{
	uint64_t sum = 0;
	for (; n >= 8; p += 8, n -= 8)
		sum += count_word(word_at(p));
	uint64_t w = 0;
	memcpy(&w, p, n);
	return sum + count_word(w);
}

#ifdef BITMAP_X86
/* The number of bits in each half of every byte comes from a table within a register. */
__attribute__((target("avx2"))) static inline __m256i count_bytes(__m256i v)
{
	const __m256i table = _mm256_setr_epi8(0, 1, 1, 2, 1, 2, 2, 3, 1, 2, 2, 3, 2, 3, 3, 4,
	                                       0, 1, 1, 2, 1, 2, 2, 3, 1, 2, 2, 3, 2, 3, 3, 4);
	const __m256i low = _mm256_set1_epi8(15);
	__m256i a = _mm256_shuffle_epi8(table, _mm256_and_si256(v, low));
	__m256i b = _mm256_shuffle_epi8(table, _mm256_and_si256(_mm256_srli_epi16(v, 4), low));
	return _mm256_sad_epu8(_mm256_add_epi8(a, b), _mm256_setzero_si256());
}

/* Adds three bits in every place: *high and the result are the two digits of the sum. */
__attribute__((target("avx2"))) static inline __m256i add_bits(__m256i *high, __m256i a, __m256i b, __m256i c)
{
	__m256i half = _mm256_xor_si256(a, b);
	*high = _mm256_or_si256(_mm256_and_si256(a, b), _mm256_and_si256(half, c));
	return _mm256_xor_si256(half, c);
}

/*
 * Eight vectors at a time are added as binary numbers, one digit a register; only the digit of eight is counted in the
 * loop, the lower ones once at the end.
 */
__attribute__((target("avx2,popcnt"))) static uint64_t count_avx2(const uint8_t *p, size_t n)
{
	__m256i total = _mm256_setzero_si256(), ones = total, twos = total, fours = total;
	for (; n >= 256; p += 256, n -= 256) {
		const __m256i *v = (const __m256i *)(const void *)p;
		__m256i t0, t1, t2, t3, f0, f1, eights;
		ones = add_bits(&t0, ones, _mm256_loadu_si256(v), _mm256_loadu_si256(v + 1));
		ones = add_bits(&t1, ones, _mm256_loadu_si256(v + 2), _mm256_loadu_si256(v + 3));
		ones = add_bits(&t2, ones, _mm256_loadu_si256(v + 4), _mm256_loadu_si256(v + 5));
		ones = add_bits(&t3, ones, _mm256_loadu_si256(v + 6), _mm256_loadu_si256(v + 7));
		twos = add_bits(&f0, twos, t0, t1);
		twos = add_bits(&f1, twos, t2, t3);
		fours = add_bits(&eights, fours, f0, f1);
		total = _mm256_add_epi64(total, count_bytes(eights));
	}
	total = _mm256_slli_epi64(total, 3);
	total = _mm256_add_epi64(total, _mm256_slli_epi64(count_bytes(fours), 2));
	total = _mm256_add_epi64(total, _mm256_slli_epi64(count_bytes(twos), 1));
	total = _mm256_add_epi64(total, count_bytes(ones));
	uint64_t part[4], w = 0;
	_mm256_storeu_si256((__m256i *)(void *)part, total);
	uint64_t sum = part[0] + part[1] + part[2] + part[3];
	for (; n >= 8; p += 8, n -= 8)
		sum += (uint64_t)__builtin_popcountll(word_at(p));
	memcpy(&w, p, n);
	return sum + (uint64_t)__builtin_popcountll(w);
}
#endif

#ifdef BITMAP_X86
/* Eight words at once where the processor counts bits in vectors. */
__attribute__((target("avx512f,avx512vpopcntdq"))) static uint64_t count_avx512(const uint8_t *p, size_t n)
{
	__m512i sum[2] = { _mm512_setzero_si512(), _mm512_setzero_si512() };
	for (; n >= 128; p += 128, n -= 128) {
		sum[0] = _mm512_add_epi64(sum[0], _mm512_popcnt_epi64(_mm512_loadu_si512(p)));
		sum[1] = _mm512_add_epi64(sum[1], _mm512_popcnt_epi64(_mm512_loadu_si512(p + 64)));
	}
	return (uint64_t)_mm512_reduce_add_epi64(_mm512_add_epi64(sum[0], sum[1])) + count_portable(p, n);
}
#endif

static inline bool have_avx2(void)
{
#ifdef BITMAP_X86
	return __builtin_cpu_supports("avx2");
#else
	return false;
#endif
}

uint64_t bitmap_count(const void *bytes, size_t n)
{
#ifdef BITMAP_X86
	if (__builtin_cpu_supports("avx512vpopcntdq") && __builtin_cpu_supports("avx512f"))
		return count_avx512(bytes, n);
	if (have_avx2())
		return count_avx2(bytes, n);
#endif
	return count_portable(bytes, n);
}

/* ------------------------------------------------------------------ searching */

#define FIND_STEP 256

/* Bytes, in whole steps, that are all like `skip`. */
static size_t skip_portable(const uint8_t *p, size_t len, uint64_t skip)
{
	size_t i = 0;
	for (; i + FIND_STEP <= len; i += FIND_STEP) {
		uint64_t a = 0, b = 0;
		for (size_t k = 0; k < FIND_STEP; k += 16) {
			a |= word_at(p + i + k) ^ skip;
			b |= word_at(p + i + k + 8) ^ skip;
		}
		if (a | b)
			break;
	}
	return i;
}

#ifdef BITMAP_X86
__attribute__((target("avx2"))) static size_t skip_avx2(const uint8_t *p, size_t len, uint64_t skip)
{
	const __m256i same = _mm256_set1_epi64x((int64_t)skip);
	size_t i = 0;
	for (; i + FIND_STEP <= len; i += FIND_STEP) {
		const __m256i *v = (const __m256i *)(const void *)(p + i);
		__m256i other[2] = { _mm256_setzero_si256(), _mm256_setzero_si256() };
		for (int k = 0; k < FIND_STEP / 32; k += 2) {
			other[0] = _mm256_or_si256(other[0], _mm256_xor_si256(_mm256_loadu_si256(v + k), same));
			other[1] = _mm256_or_si256(other[1], _mm256_xor_si256(_mm256_loadu_si256(v + k + 1), same));
		}
		__m256i any = _mm256_or_si256(other[0], other[1]);
		if (!_mm256_testz_si256(any, any))
			break;
	}
	return i;
}
#endif

uint64_t bitmap_find(const void *bytes, size_t len, bool bit)
{
	const uint8_t *p = bytes;
	uint64_t skip = bit ? 0 : UINT64_MAX, v;
	size_t i = 0;
	/* Most often it is near. */
	if (len >= 2 * FIND_STEP && word_at(p) == skip) {
#ifdef BITMAP_X86
		i = have_avx2() ? skip_avx2(p, len, skip) : skip_portable(p, len, skip);
#else
		i = skip_portable(p, len, skip);
#endif
	}
	for (; i + 8 <= len; i += 8) {
		memcpy(&v, p + i, 8);
		if (v != skip)
			break;
	}
	for (; i < len; i++) {
		uint8_t found = bit ? p[i] : (uint8_t)~p[i];
		if (found)
			return i * 8 + (uint64_t)(__builtin_clz(found) - 24);
	}
	return len * 8;
}

/* ------------------------------------------------------------------ combining */

/* Loads and stores of any alignment. */
typedef uint64_t lanes __attribute__((vector_size(32), aligned(1), may_alias));

#define COMBINE(expr_lanes, expr_byte) \
	do { \
		size_t i = 0; \
		for (; i + 32 <= n; i += 32) { \
			lanes a = *(const lanes *)(const void *)(out + i), b = *(const lanes *)(const void *)(p + i); \
			*(lanes *)(void *)(out + i) = expr_lanes; \
		} \
		for (; i < n; i++) { \
			uint8_t a = out[i], b = p[i]; \
			out[i] = (uint8_t)(expr_byte); \
		} \
	} while (0)

static inline __attribute__((always_inline)) void combine_body(enum bitmap_op op, uint8_t *out, const uint8_t *p, size_t n)
{
	switch (op) {
	case BITMAP_AND: COMBINE(a & b, a & b); break;
	case BITMAP_OR: COMBINE(a | b, a | b); break;
	case BITMAP_XOR: COMBINE(a ^ b, a ^ b); break;
	case BITMAP_NOT: COMBINE(((void)a, ~b), ((void)a, ~b)); break;
	}
}

#ifdef BITMAP_X86
__attribute__((target("avx2"))) static void combine_avx2(enum bitmap_op op, uint8_t *out, const uint8_t *p, size_t n)
{
	combine_body(op, out, p, n);
}
#endif

static void combine_portable(enum bitmap_op op, uint8_t *out, const uint8_t *p, size_t n)
{
	combine_body(op, out, p, n);
}

/* A block stays in the first cache while all sources go by. */
#define BLOCK 16384

void bitmap_combine(enum bitmap_op op, void *out, size_t len, const struct bitmap_source *sources, size_t n)
{
	void (*combine)(enum bitmap_op, uint8_t *, const uint8_t *, size_t) = combine_portable;
#ifdef BITMAP_X86
	if (have_avx2())
		combine = combine_avx2;
#endif
	for (size_t at = 0, size; at < len; at += size) {
		uint8_t *to = (uint8_t *)out + at;
		size = len - at < BLOCK ? len - at : BLOCK;
		for (size_t i = 0; i < n; i++) {
			size_t have = sources[i].len <= at ? 0 : sources[i].len - at < size ? sources[i].len - at : size;
			const uint8_t *from = (const uint8_t *)sources[i].bytes + (have ? at : 0);
			if (i > 0 || op == BITMAP_NOT)
				combine(op, to, from, have);
			else if (have)
				memcpy(to, from, have);
			if (i == 0 || op == BITMAP_AND)
				memset(to + have, op == BITMAP_NOT ? 0xff : 0, size - have);
		}
	}
}

/* ------------------------------------------------------------------ fields */

uint64_t bitmap_get(const uint8_t *bytes, size_t len, uint64_t offset, unsigned bits)
{
	uint64_t v = 0;
	for (unsigned i = 0; i < bits; i++) {
		uint64_t at = (offset + i) >> 3;
		unsigned bit = at < len ? bytes[at] >> (7 - ((offset + i) & 7)) & 1 : 0;
		v = v << 1 | bit;
	}
	return v;
}

void bitmap_set(uint8_t *bytes, uint64_t offset, unsigned bits, uint64_t v)
{
	for (unsigned i = 0; i < bits; i++) {
		uint8_t *at = &bytes[(offset + i) >> 3], mask = (uint8_t)(128 >> ((offset + i) & 7));
		*at = (uint8_t)(v >> (bits - 1 - i) & 1 ? *at | mask : *at & ~mask);
	}
}

bool bitmap_add(bool is_signed, unsigned bits, int64_t v, int64_t add, enum bitmap_overflow how, int64_t *out)
{
	__int128 low = is_signed ? -((__int128)1 << (bits - 1)) : 0;
	__int128 high = is_signed ? ((__int128)1 << (bits - 1)) - 1 : ((__int128)1 << bits) - 1;
	__int128 sum = (is_signed ? (__int128)v : (__int128)(uint64_t)v) + add;
	if (sum >= low && sum <= high) {
		*out = (int64_t)sum;
		return true;
	}
	if (how == BITMAP_FAIL)
		return false;
	if (how == BITMAP_SATURATE) {
		/* Redis takes a value so low that its distance to the highest is no int64 for one that is too high. */
		bool far = is_signed && bits < 64 && high - v > INT64_MAX;
		*out = (int64_t)(sum < low && !far ? low : high);
		return true;
	}
	uint64_t wrapped = (uint64_t)sum;
	if (bits < 64) {
		wrapped &= ((uint64_t)1 << bits) - 1;
		if (is_signed && wrapped >> (bits - 1))
			wrapped |= UINT64_MAX << bits;
	}
	*out = (int64_t)wrapped;
	return true;
}
