/* bitmap: see bitmap.h. */
#include "store/types/bitmap.h"

#include <string.h>

/* ------------------------------------------------------------------ counting */

#define COUNT_BODY \
	const uint8_t *p = bytes; \
	uint64_t n[4] = { 0 }, v[4]; \
	for (; len >= sizeof v; p += sizeof v, len -= sizeof v) { \
		memcpy(v, p, sizeof v); \
		for (int i = 0; i < 4; i++) \
			n[i] += (uint64_t)__builtin_popcountll(v[i]); \
	} \
	for (; len; p++, len--) \
		n[0] += (uint64_t)__builtin_popcountll(*p); \
	return n[0] + n[1] + n[2] + n[3];

static uint64_t count_portable(const void *bytes, size_t len)
{
	COUNT_BODY
}

#if defined __x86_64__
__attribute__((target("popcnt"))) static uint64_t count_popcnt(const void *bytes, size_t len)
{
	COUNT_BODY
}

/* Eight words at once where the processor counts bits in vectors. */
__attribute__((target("avx512f,avx512vpopcntdq"))) static uint64_t count_vector(const void *bytes, size_t len)
{
	typedef uint64_t words __attribute__((vector_size(64)));
	const uint8_t *p = bytes;
	words sum[2] = { { 0 }, { 0 } };
	uint64_t n = 0;
	for (; len >= 128; p += 128, len -= 128) {
		words v[2];
		memcpy(v, p, sizeof v);
		sum[0] += (words)__builtin_ia32_vpopcountq_v8di((__attribute__((vector_size(64))) long long)v[0]);
		sum[1] += (words)__builtin_ia32_vpopcountq_v8di((__attribute__((vector_size(64))) long long)v[1]);
	}
	sum[0] += sum[1];
	for (int i = 0; i < 8; i++)
		n += sum[0][i];
	return n + count_portable(p, len);
}
#endif

uint64_t bitmap_count(const void *bytes, size_t len)
{
#if defined __x86_64__
	if (__builtin_cpu_supports("avx512vpopcntdq") && __builtin_cpu_supports("avx512f"))
		return count_vector(bytes, len);
	if (__builtin_cpu_supports("popcnt"))
		return count_popcnt(bytes, len);
#endif
	return count_portable(bytes, len);
}

/* ------------------------------------------------------------------ searching, combining */

uint64_t bitmap_find(const void *bytes, size_t len, bool bit)
{
	const uint8_t *p = bytes;
	uint64_t skip = bit ? 0 : UINT64_MAX, v;
	size_t i = 0;
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

void bitmap_combine(enum bitmap_op op, uint8_t *to, const uint8_t *from, size_t len)
{
	/* The compiler makes vectors of these. */
	switch (op) {
	case BITMAP_AND:
		for (size_t i = 0; i < len; i++)
			to[i] &= from[i];
		break;
	case BITMAP_OR:
		for (size_t i = 0; i < len; i++)
			to[i] |= from[i];
		break;
	case BITMAP_XOR:
		for (size_t i = 0; i < len; i++)
			to[i] ^= from[i];
		break;
	case BITMAP_NOT:
		for (size_t i = 0; i < len; i++)
			to[i] = (uint8_t)~to[i];
		break;
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
		*out = (int64_t)(sum < low ? low : high);
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
