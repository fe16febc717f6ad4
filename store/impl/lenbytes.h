/*
 * lenbytes: bytes with their length in front, as elements of a set, fields of a hash, members of a sorted set keep them.
 *
 *   len < 255: one byte of length; else 255 and four bytes of length; then the bytes
 */
#ifndef STORE_IMPL_LENBYTES_H
#define STORE_IMPL_LENBYTES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* Bytes taken in all; len is at most UINT32_MAX. */
static inline size_t lenbytes_size(size_t len)
{
	return len + (len < 255 ? 1 : 5);
}

/* Write; returns where the bytes begin. bytes == NULL: they are written by the caller. */
static inline char *lenbytes_put(void *at, const void *bytes, size_t len)
{
	unsigned char *p = at;
	if (len < 255) {
		*p++ = (unsigned char)len;
	} else {
		uint32_t n = (uint32_t)len;
		*p++ = 255;
		memcpy(p, &n, sizeof n);
		p += sizeof n;
	}
	if (bytes && len)
		memcpy(p, bytes, len);
	return (char *)p;
}

static inline const char *lenbytes_get(const void *at, size_t *len)
{
	const unsigned char *p = at;
	if (*p < 255) {
		*len = *p;
		return (const char *)p + 1;
	}
	uint32_t n;
	memcpy(&n, p + 1, sizeof n);
	*len = n;
	return (const char *)p + 5;
}

static inline bool lenbytes_equal(const void *at, const void *bytes, size_t len)
{
	size_t n;
	const char *p = lenbytes_get(at, &n);
	return n == len && !memcmp(p, bytes, len);
}

/* As memcmp; of two where one begins with the other the shorter is less. */
static inline int lenbytes_compare(const void *at, const void *bytes, size_t len)
{
	size_t n;
	const char *p = lenbytes_get(at, &n);
	int c = memcmp(p, bytes, n < len ? n : len);
	return c ? c : (n > len) - (n < len);
}

#endif
