/* utf8: is it UTF-8? In pieces, for text comes in fragments; runs of ASCII are looked at eight bytes at a time. */
#include <string.h>

#include "net/impl/ws.h"

static size_t ascii_run(const char *p, size_t n)
{
	size_t i = 0;
	uint64_t word;
	for (; n - i >= sizeof word; i += sizeof word) {
		memcpy(&word, p + i, sizeof word);
		if (word & 0x8080808080808080u)
			break;
	}
	while (i < n && !(p[i] & 0x80))
		i++;
	return i;
}

/* The first byte of a character says how many follow; that none is overlong, a surrogate or above U+10FFFF, the second. */
static bool begin(struct utf8 *u, unsigned char b)
{
	if (b < 0xc2 || b > 0xf4)
		return false;
	u->need = b < 0xe0 ? 1 : b < 0xf0 ? 2 : 3;
	u->low = b == 0xe0 ? 0xa0 : b == 0xf0 ? 0x90 : 0x80;
	u->high = b == 0xed ? 0x9f : b == 0xf4 ? 0x8f : 0xbf;
	return true;
}

bool utf8_check(struct utf8 *u, const char *p, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		unsigned char b = (unsigned char)p[i];
		if (u->need) {
			if (b < u->low || b > u->high)
				return false;
			u->need--;
			u->low = 0x80;
			u->high = 0xbf;
			continue;
		}
		size_t run = ascii_run(p + i, n - i);
		i += run;
		if (i < n && !begin(u, (unsigned char)p[i]))
			return false;
	}
	return true;
}
