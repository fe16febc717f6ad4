/*
 * digest: see digest.h. All is built from two steps: xor puts SHA1(bytes) on top of the digest, so that order does not
 * matter; mix then replaces the digest by its own SHA1, so that it does.
 */
#include "server/digest.h"

#include <arpa/inet.h>
#include <openssl/evp.h>
#include <pthread.h>

#include "server/digest_values.h"

/* What SHA1() would look up each time. */
static const EVP_MD *method;
static pthread_once_t once = PTHREAD_ONCE_INIT;

static void fetch(void)
{
	method = EVP_MD_fetch(NULL, "SHA1", NULL);
	if (!method)
		method = EVP_sha1();
}

static void sha1(const void *bytes, size_t len, unsigned char out[DIGEST_LEN])
{
	pthread_once(&once, fetch);
	EVP_Digest(bytes, len, out, NULL, method, NULL);
}

void digest_xor(struct digest *d, const void *bytes, size_t len)
{
	unsigned char sha[DIGEST_LEN];
	sha1(bytes, len, sha);
	for (int i = 0; i < DIGEST_LEN; i++)
		d->b[i] ^= sha[i];
}

void digest_mix(struct digest *d, const void *bytes, size_t len)
{
	unsigned char sha[DIGEST_LEN];
	digest_xor(d, bytes, len);
	sha1(d->b, DIGEST_LEN, sha);
	memcpy(d->b, sha, DIGEST_LEN);
}

static void mix_string(struct digest *d, const struct entry *e)
{
	char buf[24];
	size_t len;
	const char *bytes = entry_string(e, buf, &len);
	digest_mix(d, bytes, len);
}

static digest_value *values[STORE_TYPES] = {
	[STORE_STRING] = mix_string,
	[STORE_LIST] = digest_list,
	[STORE_HASH] = digest_hash,
	[STORE_ZSET] = digest_zset,
	[STORE_SET] = digest_set,
	[STORE_STREAM] = digest_stream,
};

void digest_register(enum store_type_id type, digest_value *fn)
{
	values[type] = fn;
}

void digest_entry(struct digest *d, const struct entry *e)
{
	/* type numbers as redis-server has them: 5 is a module's */
	static const uint32_t numbers[STORE_TYPES] = {
		[STORE_STRING] = 0, [STORE_LIST] = 1, [STORE_SET] = 2, [STORE_ZSET] = 3, [STORE_HASH] = 4, [STORE_STREAM] = 6,
	};
	uint32_t type = htonl(numbers[entry_type(e)]);
	digest_mix(d, &type, sizeof type);
	if (values[entry_type(e)])
		values[entry_type(e)](d, e);
	if (entry_has_expiry(e))
		digest_xor(d, "!!expire!!", 10);
}

static void add_key(void *ctx, struct store_op *op, const struct store_key *key, struct entry *e)
{
	struct digest one = { { 0 } };
	(void)op;
	digest_mix(&one, key->ptr, key->len);
	digest_entry(&one, e);
	digest_xor(ctx, one.b, DIGEST_LEN);
}

void digest_dataset(struct store_op *op, struct digest *d)
{
	*d = (struct digest){ { 0 } };
	for (unsigned db = 0; db < store_dbs(op->store); db++) {
		if (store_count(op->store, db) == 0)
			continue;
		uint32_t number = htonl(db);
		digest_mix(d, &number, sizeof number);
		op->db = db;
		store_each(op, add_key, d);
	}
}

void digest_hex(const struct digest *d, char out[static 2 * DIGEST_LEN + 1])
{
	for (int i = 0; i < DIGEST_LEN; i++) {
		out[2 * i] = "0123456789abcdef"[d->b[i] >> 4];
		out[2 * i + 1] = "0123456789abcdef"[d->b[i] & 15];
	}
	out[2 * DIGEST_LEN] = 0;
}
