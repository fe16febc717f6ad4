/* grisu: see grisu.h. */
#include "store/impl/grisu.h"

#include <stdint.h>
#include <string.h>

#define HIDDEN_BIT (UINT64_C(1) << 52)
#define FIRST_POWER (-348)
#define POWER_STEP 8

/* A floating-point number of 64 bits: f * 2^e. */
struct wide {
	uint64_t f;
	int e;
};

/* Significands of 10^k, k from FIRST_POWER in steps of POWER_STEP, rounded to 64 bits with the highest one set. */
static const uint64_t powers[] = {
	0xfa8fd5a0081c0288, 0xbaaee17fa23ebf76, 0x8b16fb203055ac76, 0xcf42894a5dce35ea, 0x9a6bb0aa55653b2d,
	0xe61acf033d1a45df, 0xab70fe17c79ac6ca, 0xff77b1fcbebcdc4f, 0xbe5691ef416bd60c, 0x8dd01fad907ffc3c,
	0xd3515c2831559a83, 0x9d71ac8fada6c9b5, 0xea9c227723ee8bcb, 0xaecc49914078536d, 0x823c12795db6ce57,
	0xc21094364dfb5637, 0x9096ea6f3848984f, 0xd77485cb25823ac7, 0xa086cfcd97bf97f4, 0xef340a98172aace5,
	0xb23867fb2a35b28e, 0x84c8d4dfd2c63f3b, 0xc5dd44271ad3cdba, 0x936b9fcebb25c996, 0xdbac6c247d62a584,
	0xa3ab66580d5fdaf6, 0xf3e2f893dec3f126, 0xb5b5ada8aaff80b8, 0x87625f056c7c4a8b, 0xc9bcff6034c13053,
	0x964e858c91ba2655, 0xdff9772470297ebd, 0xa6dfbd9fb8e5b88f, 0xf8a95fcf88747d94, 0xb94470938fa89bcf,
	0x8a08f0f8bf0f156b, 0xcdb02555653131b6, 0x993fe2c6d07b7fac, 0xe45c10c42a2b3b06, 0xaa242499697392d3,
	0xfd87b5f28300ca0e, 0xbce5086492111aeb, 0x8cbccc096f5088cc, 0xd1b71758e219652c, 0x9c40000000000000,
	0xe8d4a51000000000, 0xad78ebc5ac620000, 0x813f3978f8940984, 0xc097ce7bc90715b3, 0x8f7e32ce7bea5c70,
	0xd5d238a4abe98068, 0x9f4f2726179a2245, 0xed63a231d4c4fb27, 0xb0de65388cc8ada8, 0x83c7088e1aab65db,
	0xc45d1df942711d9a, 0x924d692ca61be758, 0xda01ee641a708dea, 0xa26da3999aef774a, 0xf209787bb47d6b85,
	0xb454e4a179dd1877, 0x865b86925b9bc5c2, 0xc83553c5c8965d3d, 0x952ab45cfa97a0b3, 0xde469fbd99a05fe3,
	0xa59bc234db398c25, 0xf6c69a72a3989f5c, 0xb7dcbf5354e9bece, 0x88fcf317f22241e2, 0xcc20ce9bd35c78a5,
	0x98165af37b2153df, 0xe2a0b5dc971f303a, 0xa8d9d1535ce3b396, 0xfb9b7cd9a4a7443c, 0xbb764c4ca7a44410,
	0x8bab8eefb6409c1a, 0xd01fef10a657842c, 0x9b10a4e5e9913129, 0xe7109bfba19c0c9d, 0xac2820d9623bf429,
	0x80444b5e7aa7cf85, 0xbf21e44003acdd2d, 0x8e679c2f5e44ff8f, 0xd433179d9c8cb841, 0x9e19db92b4e31ba9,
	0xeb96bf6ebadf77d9, 0xaf87023b9bf0ee6b,
};

static const uint64_t tens[] = { 1, 10, 100, 1000, 10000, 100000, 1000000, 10000000, 100000000, 1000000000 };

static struct wide multiply(struct wide a, struct wide b)
{
	unsigned __int128 p = (unsigned __int128)a.f * b.f + (UINT64_C(1) << 63);
	return (struct wide){ (uint64_t)(p >> 64), a.e + b.e + 64 };
}

static struct wide normalize(struct wide w)
{
	int shift = __builtin_clzll(w.f);
	return (struct wide){ w.f << shift, w.e - shift };
}

/* The power that brings a number with exponent e to an exponent from -60 to -32, and which one it is. */
static struct wide power_for(int e, int *k)
{
	int i = ((int)(-(e + 87) * 0.30102999566398114) - FIRST_POWER) / POWER_STEP;
	for (;;) {
		*k = FIRST_POWER + i * POWER_STEP;
		struct wide p = { powers[i], (*k * 1741647 >> 19) - 63 };
		int sum = e + p.e + 64;
		if (sum < -60)
			i++;
		else if (sum > -32)
			i--;
		else
			return p;
	}
}

/* Lower the last digit while that brings the result nearer to the value and stays within the interval. */
static void come_nearer(char *last, uint64_t delta, uint64_t rest, uint64_t unit, uint64_t distance)
{
	while (rest < distance && delta - rest >= unit &&
	       (rest + unit < distance || distance - rest > rest + unit - distance)) {
		--*last;
		rest += unit;
	}
}

/* Digits of `high` until what is left is within the interval. */
static int generate(struct wide w, struct wide high, uint64_t delta, char *digits, int *exp)
{
	int n = 0, shift = -high.e;
	uint64_t one = UINT64_C(1) << shift, whole = high.f >> shift, part = high.f & (one - 1);
	uint64_t distance = high.f - w.f;
	for (int kappa = 10; kappa > 0;) {
		uint64_t ten = tens[--kappa], digit = whole / ten;
		if (digit || n)
			digits[n++] = (char)('0' + digit);
		whole -= digit * ten;
		uint64_t rest = (whole << shift) + part;
		if (rest <= delta) {
			*exp += kappa;
			come_nearer(&digits[n - 1], delta, rest, ten << shift, distance);
			return n;
		}
	}
	for (;;) {
		part *= 10;
		delta *= 10;
		distance *= 10;
		--*exp;
		uint64_t digit = part >> shift;
		if (digit || n)
			digits[n++] = (char)('0' + digit);
		part &= one - 1;
		if (part < delta) {
			come_nearer(&digits[n - 1], delta, part, one, distance);
			return n;
		}
	}
}

int grisu_digits(double v, char digits[static GRISU_DIGITS], int *exp)
{
	uint64_t bits;
	int k;
	memcpy(&bits, &v, sizeof bits);
	struct wide w = { bits & (HIDDEN_BIT - 1), (int)(bits >> 52) - 1075 };
	if (bits >> 52)
		w.f |= HIDDEN_BIT;
	else
		w.e = -1074;
	/* The interval in which everything reads back as v; below a power of two it is half as wide on the lower side. */
	struct wide high = normalize((struct wide){ (w.f << 1) + 1, w.e - 1 });
	int narrow = w.f == HIDDEN_BIT ? 2 : 1;
	struct wide low = { (w.f << narrow) - 1, w.e - narrow };
	low.f <<= low.e - high.e;
	low.e = high.e;
	struct wide power = power_for(high.e, &k);
	w = multiply(normalize(w), power);
	high = multiply(high, power);
	low = multiply(low, power);
	*exp = -k;
	/* One unit in on both sides, for what the products lost. */
	high.f--;
	low.f++;
	return generate(w, high, high.f - low.f, digits, exp);
}
