/* number: text to numbers and back; see number.h. */
#include "store/number.h"

#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "store/impl/grisu.h"

/* Eight digits at once, as times and padded numbers are long: pairs become numbers below 100, then below 10,000, then one. */
static inline bool eight_digits(const char *s, uint64_t *n)
{
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
	const uint64_t zeros = 0x3030303030303030u, high = 0xf0f0f0f0f0f0f0f0u;
	uint64_t v;
	memcpy(&v, s, 8);
	if (((v & high) | (((v + 0x0606060606060606u) & high) >> 4)) != (zeros | zeros >> 4))
		return false;
	v -= zeros;
	v = v * 10 + (v >> 8);
	v = (v & 0x00ff00ff00ff00ffu) * 100 + (v >> 16 & 0x00ff00ff00ff00ffu);
	v = (v & 0x0000ffff0000ffffu) * 10000 + (v >> 32 & 0x0000ffffu);
	*n = *n * 100000000 + (v & 0xffffffffu);
	return true;
#else
	(void)s, (void)n;
	return false;
#endif
}

bool number_parse_uint(const void *bytes, size_t len, uint64_t *v)
{
	const char *s = bytes;
	uint64_t n;
	if (len == 0 || len > 20)
		return false;
	if (s[0] == '0') {
		*v = 0;
		return len == 1;
	}
	n = 0;
	/* 19 digits cannot overflow 64 bits; only a twentieth needs the check. */
	size_t safe = len < 20 ? len : 19;
	size_t i = 0;
	while (safe - i >= 8 && eight_digits(s + i, &n))
		i += 8;
	for (; i < safe; i++) {
		unsigned d = (unsigned char)s[i] - '0';
		if (d > 9)
			return false;
		n = n * 10 + d;
	}
	if (len == 20) {
		unsigned d = (unsigned char)s[19] - '0';
		if (d > 9 || __builtin_mul_overflow(n, (uint64_t)10, &n) || __builtin_add_overflow(n, (uint64_t)d, &n))
			return false;
	}
	*v = n;
	return true;
}

bool number_parse(const void *bytes, size_t len, int64_t *v)
{
	const char *s = bytes;
	bool negative = len > 0 && s[0] == '-';
	uint64_t n;
	if (!number_parse_uint(s + negative, len - negative, &n))
		return false;
	if (!negative) {
		if (n > INT64_MAX)
			return false;
		*v = (int64_t)n;
		return true;
	}
	if (n == 0 || n > (uint64_t)INT64_MAX + 1)
		return false;
	*v = (int64_t)(0 - n);
	return true;
}

/* So many bits have the guessed number of digits, or one more: 1233 / 4096 is the decimal logarithm of 2. */
static size_t uint_len(uint64_t v)
{
	static const uint64_t ten_to_n[] = {
		1u, 10u, 100u, 1000u, 10000u, 100000u, 1000000u, 10000000u, 100000000u, 1000000000u, 10000000000u,
		100000000000u, 1000000000000u, 10000000000000u, 100000000000000u, 1000000000000000u, 10000000000000000u,
		100000000000000000u, 1000000000000000000u, 10000000000000000000u,
	};
	unsigned guess = (unsigned)(64 - __builtin_clzll(v | 1)) * 1233 >> 12;
	return guess + (v >= ten_to_n[guess] || guess == 0);
}

size_t number_len(int64_t v)
{
	return v < 0 ? 1 + uint_len(0 - (uint64_t)v) : uint_len((uint64_t)v);
}

static const char two_digits[201] =
	"0001020304050607080910111213141516171819202122232425262728293031323334353637383940414243444546474849"
	"5051525354555657585960616263646566676869707172737475767778798081828384858687888990919293949596979899";

/* `buf` has room for exactly `len` digits. */
static void print_digits(char *buf, size_t len, uint64_t v)
{
	char *p = buf + len;
	for (; v >= 100; v /= 100)
		memcpy(p -= 2, two_digits + v % 100 * 2, 2);
	if (v >= 10)
		memcpy(p - 2, two_digits + v * 2, 2);
	else
		p[-1] = (char)('0' + v);
}

size_t number_print_uint(char buf[static NUMBER_MAX], uint64_t v)
{
	size_t len = uint_len(v);
	print_digits(buf, len, v);
	return len;
}

size_t number_print(char buf[static NUMBER_MAX], int64_t v)
{
	bool negative = v < 0;
	uint64_t u = negative ? 0 - (uint64_t)v : (uint64_t)v;
	size_t len = uint_len(u);
	buf[0] = '-';
	print_digits(buf + negative, len, u);
	return len + negative;
}

/* ------------------------------------------------------------------ doubles */

static const double ten_to[] = { 1e0,  1e1,  1e2,  1e3,  1e4,  1e5,  1e6,  1e7,  1e8,  1e9,  1e10, 1e11,
	                             1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22 };

static inline const char *take_digits(const char *p, const char *end, uint64_t *n)
{
	while (end - p >= 8 && eight_digits(p, n))
		p += 8;
	for (unsigned d; p < end && (d = (unsigned char)*p - '0') <= 9; p++)
		*n = *n * 10 + d;
	return p;
}

/* "-12.345" with at most 15 digits: digits and power of ten are both exact doubles, so one division rounds correctly. */
static bool parse_short_decimal(const char *s, size_t len, double *v)
{
	bool negative = len > 0 && s[0] == '-';
	const char *from = s + negative, *end = s + len;
	uint64_t n = 0;
	if (end - from > 16)
		return false;
	const char *p = take_digits(from, end, &n);
	size_t digits = (size_t)(p - from), decimals = 0;
	if (p < end && *p == '.') {
		const char *point = p;
		p = take_digits(point + 1, end, &n);
		decimals = (size_t)(p - point - 1);
	}
	if (p < end || digits + decimals == 0 || digits + decimals > 15)
		return false;
	double m = decimals ? (double)n / ten_to[decimals] : (double)n;
	*v = negative ? -m : m;
	return true;
}

/* Where the C library has to read it: a copy that ends with NUL. */
static bool copy_number(char *buf, size_t size, const char *s, size_t len)
{
	if (len == 0 || len >= size || isspace((unsigned char)s[0]))
		return false;
	memcpy(buf, s, len);
	buf[len] = '\0';
	return true;
}

static __attribute__((noinline)) bool parse_long_decimal(const char *s, size_t len, double *v)
{
	char buf[NUMBER_LONG_DOUBLE_MAX], *end;
	if (!copy_number(buf, sizeof buf, s, len))
		return false;
	errno = 0;
	double d = strtod(buf, &end);
	if (end != buf + len || isnan(d))
		return false;
	if (errno == ERANGE && (isinf(d) || d == 0))
		return false;
	*v = d;
	return true;
}

bool number_parse_double(const char *s, size_t len, double *v)
{
	return parse_short_decimal(s, len, v) || parse_long_decimal(s, len, v);
}

bool number_parse_long_double(const char *s, size_t len, long double *v)
{
	char buf[NUMBER_LONG_DOUBLE_MAX], *end;
	if (!copy_number(buf, sizeof buf, s, len))
		return false;
	errno = 0;
	long double d = strtold(buf, &end);
	if (end != buf + len || isnan(d))
		return false;
	if (errno == ERANGE && (isinf(d) || d == 0))
		return false;
	*v = d;
	return true;
}

/* Lay out `digits` (n of them, no trailing zero) times 10^exp, exp counting from the last digit. */
static size_t lay_out(char *out, const char *digits, int n, int exp)
{
	char *p = out;
	int sci = exp + n - 1, magnitude = abs(sci);
	if (exp >= 0 && magnitude < n + 7) {
		memcpy(p, digits, (size_t)n);
		memset(p + n, '0', (size_t)exp);
		p += n + exp;
	} else if (exp < 0 && (exp > -7 || magnitude < 4)) {
		int whole = n + exp;
		if (whole <= 0) {
			*p++ = '0';
			*p++ = '.';
			memset(p, '0', (size_t)-whole);
			p += -whole;
			memcpy(p, digits, (size_t)n);
			p += n;
		} else {
			memcpy(p, digits, (size_t)whole);
			p += whole;
			*p++ = '.';
			memcpy(p, digits + whole, (size_t)(n - whole));
			p += n - whole;
		}
	} else {
		*p++ = digits[0];
		if (n > 1) {
			*p++ = '.';
			memcpy(p, digits + 1, (size_t)n - 1);
			p += n - 1;
		}
		*p++ = 'e';
		*p++ = sci < 0 ? '-' : '+';
		size_t len = uint_len((uint64_t)magnitude);
		print_digits(p, len, (uint64_t)magnitude);
		p += len;
	}
	return (size_t)(p - out);
}

size_t number_print_shortest(char buf[static NUMBER_DOUBLE_MAX], double v)
{
	if (isnan(v)) {
		memcpy(buf, "nan", 3);
		return 3;
	}
	size_t neg = signbit(v) != 0;
	if (neg)
		buf[0] = '-';
	if (isinf(v)) {
		memcpy(buf + neg, "inf", 3);
		return neg + 3;
	}
	if (v == 0) {
		buf[neg] = '0';
		return neg + 1;
	}
	char digits[GRISU_DIGITS];
	int exp, n = grisu_digits(fabs(v), digits, &exp);
	return neg + lay_out(buf + neg, digits, n, exp);
}

size_t number_print_double(char buf[static NUMBER_DOUBLE_MAX], double v)
{
	double a = fabs(v);
	if (!(a <= 4611686018427387904.0 && a == (double)(uint64_t)a))
		return number_print_shortest(buf, v);
	size_t neg = v < 0; /* minus zero is "0" */
	if (neg)
		buf[0] = '-';
	return neg + number_print_uint(buf + neg, (uint64_t)a);
}

size_t number_print_long_double(char buf[static NUMBER_LONG_DOUBLE_MAX], long double v)
{
	if (isnan(v) || isinf(v)) {
		const char *text = isnan(v) ? "nan" : v > 0 ? "inf" : "-inf";
		size_t n = strlen(text);
		memcpy(buf, text, n);
		return n;
	}
	size_t len = (size_t)snprintf(buf, NUMBER_LONG_DOUBLE_MAX, "%.17Lf", v);
	while (buf[len - 1] == '0')
		len--;
	if (buf[len - 1] == '.')
		len--;
	if (len == 2 && buf[0] == '-' && buf[1] == '0') {
		buf[0] = '0';
		len = 1;
	}
	return len;
}

/* ------------------------------------------------------------------ memory */

bool number_parse_memory(const char *s, size_t len, uint64_t *v)
{
	static const struct {
		const char *name;
		uint64_t factor;
	} units[] = {
		{ "", 1 },        { "b", 1 },        { "k", 1000 },       { "kb", 1024 },
		{ "m", 1000000 }, { "mb", 1 << 20 }, { "g", 1000000000 }, { "gb", 1 << 30 },
	};
	size_t digits = 0;
	uint64_t n = 0;
	for (; digits < len && s[digits] >= '0' && s[digits] <= '9'; digits++)
		if (__builtin_mul_overflow(n, (uint64_t)10, &n) ||
		    __builtin_add_overflow(n, (uint64_t)(s[digits] - '0'), &n))
			return false;
	if (digits == 0)
		return false;
	for (size_t i = 0; i < sizeof units / sizeof units[0]; i++) {
		if (strlen(units[i].name) != len - digits || strncasecmp(units[i].name, s + digits, len - digits) != 0)
			continue;
		return !__builtin_mul_overflow(n, units[i].factor, v);
	}
	return false;
}
