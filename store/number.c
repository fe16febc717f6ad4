#include "store/number.h"

#include <string.h>

bool number_parse(const void *bytes, size_t n, int64_t *val)
{
	const unsigned char *s = bytes;
	if (!n || n > NUMBER_MAX)
		return false;
	bool neg = *s == '-';
	if (neg) {
		s++;
		n--;
	}
	if (!n || (unsigned)*s - '0' > 9 || (*s == '0' && (n > 1 || neg)))
		return false;
	uint64_t v = 0;
	size_t i = 0;
	/* 18 digits cannot overflow. */
	for (; i < n && i < 18; i++) {
		unsigned digit = (unsigned)s[i] - '0';
		if (digit > 9)
			return false;
		v = v * 10 + digit;
	}
	for (; i < n; i++) {
		unsigned digit = (unsigned)s[i] - '0';
		if (digit > 9 || __builtin_mul_overflow(v, 10, &v) || __builtin_add_overflow(v, digit, &v))
			return false;
	}
	if (v > (uint64_t)INT64_MAX + neg)
		return false;
	*val = (int64_t)(neg ? 0 - v : v);
	return true;
}

size_t number_len(int64_t val)
{
	uint64_t v = val < 0 ? 0 - (uint64_t)val : (uint64_t)val;
	size_t n = 1 + (val < 0);
	for (; v >= 10000; v /= 10000)
		n += 4;
	return n + (v >= 10) + (v >= 100) + (v >= 1000);
}

size_t number_print(char buf[static NUMBER_MAX], int64_t val)
{
	static const char pairs[] = "00010203040506070809101112131415161718192021222324252627282930313233343536373839"
	                            "40414243444546474849505152535455565758596061626364656667686970717273747576777879"
	                            "8081828384858687888990919293949596979899";
	uint64_t v = val < 0 ? 0 - (uint64_t)val : (uint64_t)val;
	size_t len = number_len(val);
	char *p = buf + len;
	for (; v >= 100; v /= 100)
		memcpy(p -= 2, pairs + v % 100 * 2, 2);
	if (v >= 10)
		memcpy(p -= 2, pairs + v * 2, 2);
	else
		*--p = (char)('0' + v);
	if (val < 0)
		*--p = '-';
	return len;
}
