/* store_fixture: a store with a chosen secret and small helpers, for the unit tests of store/. */
#ifndef TESTS_LIB_STORE_FIXTURE_H
#define TESTS_LIB_STORE_FIXTURE_H

#include <check.h>
#include <stdio.h>
#include <string.h>

#include "store/entry.h"

static inline struct store *fixture_open(struct store_options *o)
{
	int err;
	struct store *s = store_open(o, &err);
	ck_assert_ptr_nonnull(s);
	ck_assert_int_eq(err, 0);
	return s;
}

/* Options with a secret that depends on the seed alone. */
static inline struct store_options fixture_options(unsigned shards, uint64_t seed)
{
	struct store_options o;
	store_options_init(&o);
	o.shards = shards;
	memcpy(o.hash_secret, &seed, sizeof seed);
	memset(o.hash_secret + 8, 7, 8);
	return o;
}

static inline struct store_op fixture_op(struct store *s)
{
	return (struct store_op){ .store = s, .now_ms = 1000000 };
}

struct fixture_key {
	char buf[32];
	struct store_key key;
};

static inline struct store_key fixture_key(const struct store *s, struct fixture_key *k, uint64_t i)
{
	int n = snprintf(k->buf, sizeof k->buf, "key:%llu", (unsigned long long)i);
	return k->key = store_key(s, k->buf, (size_t)n);
}

/* The number of a key made by fixture_key(). */
static inline uint64_t fixture_number(const char *ptr, size_t len)
{
	uint64_t n = 0;
	for (size_t i = 4; i < len; i++)
		n = n * 10 + (uint64_t)(ptr[i] - '0');
	return n;
}

static inline void fixture_set(struct store_op *op, uint64_t i, uint64_t val, int64_t expire_ms)
{
	struct fixture_key k;
	fixture_key(op->store, &k, i);
	store_lock(op->store, k.key.hash);
	ck_assert_ptr_nonnull(store_set_int(op, &k.key, (int64_t)val, expire_ms));
	store_unlock(op->store, k.key.hash);
}

static inline bool fixture_delete(struct store_op *op, uint64_t i)
{
	struct fixture_key k;
	fixture_key(op->store, &k, i);
	store_lock(op->store, k.key.hash);
	bool was = store_delete(op, &k.key, true);
	store_unlock(op->store, k.key.hash);
	return was;
}

#endif
