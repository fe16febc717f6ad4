#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "store/crc64.h"
#include "tests/lib/rng.h"
#include "tests/lib/suite.h"

START_TEST(test_known)
{
	/* The check value of the algorithm's catalogue entry, and the payload of DUMP of "hello" by redis-server 7.0.15. */
	static const uint8_t dump[17] = {0x00, 0x05, 0x68, 0x65, 0x6c, 0x6c, 0x6f, 0x0a, 0x00,
	                                 0x63, 0x72, 0xdf, 0x76, 0x65, 0x34, 0x20, 0x0a};
	uint64_t want;
	ck_assert_uint_eq(crc64_update(0, "123456789", 9), 0xe9c6d914c4b8d9cau);
	memcpy(&want, dump + 9, 8);
	ck_assert_uint_eq(crc64_update(0, dump, 9), want);
	ck_assert_uint_eq(crc64_update(77, "", 0), 77);
}
END_TEST

/* Bit by bit, by the definition. */
static uint64_t slow(uint64_t crc, const uint8_t *p, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		crc ^= p[i];
		for (int b = 0; b < 8; b++)
			crc = crc & 1 ? crc >> 1 ^ 0x95ac9329ac4bc9b5u : crc >> 1;
	}
	return crc;
}

START_TEST(test_random)
{
	struct rng r;
	rng_init(&r, "crc64");
	static uint8_t buf[3000];
	for (int i = 0; i < 2000; i++) {
		size_t at = rng_below(&r, 16), n = rng_below(&r, i % 10 ? 100 : sizeof buf - 16), cut = rng_below(&r, n + 1);
		for (size_t j = 0; j < n; j++)
			buf[at + j] = (uint8_t)rng_next(&r);
		uint64_t start = rng_next(&r), want = slow(start, buf + at, n);
		ck_assert_uint_eq(crc64_update(start, buf + at, n), want);
		ck_assert_uint_eq(crc64_update(crc64_update(start, buf + at, cut), buf + at + cut, n - cut), want);
	}
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("crc64");
	TCase *tc = tcase_create("crc64");
	tcase_set_timeout(tc, 60);
	tcase_add_test(tc, test_known);
	tcase_add_test(tc, test_random);
	suite_add_tcase(suite, tc);
	return suite_run(suite);
}
