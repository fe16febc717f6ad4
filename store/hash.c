#include "store/hash.h"

#include <string.h>

#include "store/impl/siphash.h"

uint64_t hash_bytes(const uint64_t secret[2], const void *ptr, size_t len)
{
	return siphash(secret, ptr, len);
}

/* Four bits at a time: a table of 16 keeps out of the caches' way. */
static uint16_t crc16(const unsigned char *p, size_t len)
{
	static const uint16_t nibble[16] = {
		0x0000, 0x1021, 0x2042, 0x3063, 0x4084, 0x50a5, 0x60c6, 0x70e7,
		0x8108, 0x9129, 0xa14a, 0xb16b, 0xc18c, 0xd1ad, 0xe1ce, 0xf1ef,
	};
	uint16_t crc = 0;
	for (size_t i = 0; i < len; i++) {
		crc = (uint16_t)(crc << 4 ^ nibble[(crc >> 12 ^ p[i] >> 4) & 15]);
		crc = (uint16_t)(crc << 4 ^ nibble[(crc >> 12 ^ p[i]) & 15]);
	}
	return crc;
}

unsigned hash_slot(const void *ptr, size_t len)
{
	const unsigned char *p = ptr;
	const unsigned char *open = len ? memchr(p, '{', len) : NULL;
	if (open) {
		const unsigned char *from = open + 1;
		const unsigned char *close = memchr(from, '}', len - (size_t)(from - p));
		if (close && close > from)
			return crc16(from, (size_t)(close - from)) & 16383;
	}
	return crc16(p, len) & 16383;
}
