/* Hashing of keys: vectors, the parts of the hash, hash slots. */
#include "store/hash.h"
#include "store/impl/siphash.h"
#include "tests/lib/rng.h"
#include "tests/lib/store_fixture.h"
#include "tests/lib/suite.h"

/* SipHash-c-d written down from its definition, a byte at a time; checked against the published vectors of 2-4. */
static uint64_t reference(unsigned c, unsigned d, const uint64_t key[2], const unsigned char *p, size_t len)
{
	uint64_t v[4] = { key[0] ^ 0x736f6d6570736575u, key[1] ^ 0x646f72616e646f6du, key[0] ^ 0x6c7967656e657261u,
		          key[1] ^ 0x7465646279746573u };
	size_t blocks = len / 8 + 1;
	for (size_t b = 0; b < blocks + 1; b++) {
		uint64_t m = 0;
		for (size_t i = 0; i < 8 && b * 8 + i < len && b < blocks; i++)
			m |= (uint64_t)p[b * 8 + i] << 8 * i;
		if (b == blocks - 1)
			m |= (uint64_t)(len & 255) << 56;
		if (b < blocks)
			v[3] ^= m;
		else
			v[2] ^= 0xff;
		for (unsigned r = 0; r < (b < blocks ? c : d); r++) {
			v[0] += v[1], v[2] += v[3];
			v[1] = v[1] << 13 | v[1] >> 51, v[3] = v[3] << 16 | v[3] >> 48;
			v[1] ^= v[0], v[3] ^= v[2];
			v[0] = v[0] << 32 | v[0] >> 32;
			v[2] += v[1], v[0] += v[3];
			v[1] = v[1] << 17 | v[1] >> 47, v[3] = v[3] << 21 | v[3] >> 43;
			v[1] ^= v[2], v[3] ^= v[0];
			v[2] = v[2] << 32 | v[2] >> 32;
		}
		if (b < blocks)
			v[0] ^= m;
	}
	return v[0] ^ v[1] ^ v[2] ^ v[3];
}

static const uint64_t vector_key[2] = { 0x0706050403020100u, 0x0f0e0d0c0b0a0908u };

START_TEST(test_vectors)
{
	unsigned char in[64];
	for (int i = 0; i < 64; i++)
		in[i] = (unsigned char)i;
	/* From the paper and the authors' list, SipHash-2-4. */
	ck_assert_uint_eq(reference(2, 4, vector_key, in, 15), 0xa129ca6149be45e5u);
	ck_assert_uint_eq(reference(2, 4, vector_key, in, 0), 0x726fdb47dd0e0e31u);
	ck_assert_uint_eq(reference(2, 4, vector_key, in, 8), 0x93f5f5799a932462u);
	/* SipHash-1-3 of no bytes and of one. */
	ck_assert_uint_eq(hash_bytes(vector_key, in, 0), 0xabac0158050fc4dcu);
	ck_assert_uint_eq(hash_bytes(vector_key, in, 1), 0xc9f49bf37d57ca93u);
	for (size_t len = 0; len <= 64; len++)
		ck_assert_uint_eq(hash_bytes(vector_key, in, len), reference(1, 3, vector_key, in, len));
}
END_TEST

START_TEST(test_random_lengths)
{
	struct rng rng;
	unsigned char in[300];
	rng_init(&rng, "hash");
	for (int n = 0; n < 20000; n++) {
		uint64_t key[2] = { rng_next(&rng), rng_next(&rng) };
		size_t off = rng_below(&rng, 9), len = rng_below(&rng, 280);
		for (size_t i = 0; i < len; i++)
			in[off + i] = (unsigned char)rng_next(&rng);
		ck_assert_uint_eq(hash_bytes(key, in + off, len), reference(1, 3, key, in + off, len));
	}
}
END_TEST

START_TEST(test_parts)
{
	struct store_options o = fixture_options(1024, 5);
	struct store *s = fixture_open(&o);
	struct fixture_key k;
	unsigned seen[1024] = { 0 };
	for (unsigned i = 0; i < 100000; i++) {
		fixture_key(s, &k, i);
		ck_assert_uint_eq(store_shard_of(s, k.key.hash), k.key.hash >> 54);
		seen[store_shard_of(s, k.key.hash)]++;
	}
	for (unsigned i = 0; i < 1024; i++)
		ck_assert_uint_ge(seen[i], 40); /* about 98 each */
	store_close(s);
	/* Another secret, other hashes. */
	o = fixture_options(1024, 6);
	struct store *t = fixture_open(&o);
	ck_assert_uint_ne(store_key(t, k.buf, k.key.len).hash, k.key.hash);
	store_close(t);
}
END_TEST

START_TEST(test_slots)
{
	ck_assert_uint_eq(hash_slot("123456789", 9), 0x31c3 & 16383);
	ck_assert_uint_eq(hash_slot("", 0), 0);
	ck_assert_uint_eq(hash_slot("foo", 3), 12182);
	ck_assert_uint_eq(hash_slot("{user1000}.following", 20), hash_slot("user1000", 8));
	ck_assert_uint_eq(hash_slot("foo{{bar}}zap", 13), hash_slot("{bar", 4));
	ck_assert_uint_eq(hash_slot("foo{bar}{zap}", 13), hash_slot("bar", 3));
	/* Nothing between the braces, or no closing one: the whole key. */
	ck_assert_uint_eq(hash_slot("foo{}{bar}", 10), 8363);
	ck_assert_uint_eq(hash_slot("foo{bar", 7), 15278);
	struct store_options o = fixture_options(1024, 5);
	o.cluster = true;
	struct store *s = fixture_open(&o);
	for (unsigned i = 0; i < 1000; i++) {
		struct fixture_key k;
		fixture_key(s, &k, i);
		ck_assert_uint_eq(store_shard_of(s, k.key.hash), hash_slot(k.key.ptr, k.key.len) >> 4);
	}
	store_close(s);
}
END_TEST

START_TEST(test_options)
{
	static const struct {
		unsigned shards, dbs, loops;
		bool ok;
	} cases[] = { { 1, 1, 1, true },  { 4096, 16, 4, true }, { 8192, 16, 1, false }, { 0, 16, 1, false },
		      { 3, 16, 1, false }, { 16, 0, 1, false },   { 16, 1, 0, false },    { 16, 1, 99, true } };
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct store_options o = fixture_options(cases[i].shards, 1);
		o.dbs = cases[i].dbs;
		o.loops = cases[i].loops;
		int err;
		struct store *s = store_open(&o, &err);
		ck_assert_int_eq(s != NULL, cases[i].ok);
		ck_assert_int_eq(err, cases[i].ok ? 0 : -22);
		store_close(s);
	}
	struct store_options o = fixture_options(16, 1);
	int err;
	o.size--;
	ck_assert_ptr_null(store_open(&o, &err));
	struct store_options a, b;
	store_options_init(&a);
	store_options_init(&b);
	ck_assert_mem_ne(a.hash_secret, b.hash_secret, 16);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("store_hash");
	TCase *tc = tcase_create("hash");
	tcase_add_test(tc, test_vectors);
	tcase_add_test(tc, test_random_lengths);
	tcase_add_test(tc, test_parts);
	tcase_add_test(tc, test_slots);
	tcase_add_test(tc, test_options);
	suite_add_tcase(s, tc);
	return suite_run(s);
}
