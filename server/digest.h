/*
 * digest: a fingerprint of values and of the whole data set, equal to the one that redis-server's DEBUG DIGEST gives for
 * the same data. Order does not matter where the data has none. A type adds itself with digest_register().
 */
#ifndef SERVER_DIGEST_H
#define SERVER_DIGEST_H

#include "store/entry.h"
#include "store/store.h"

#define DIGEST_LEN 20

struct digest {
	unsigned char b[DIGEST_LEN];
};

/* Add bytes whose place matters (mix) or does not (xor). */
void digest_mix(struct digest *d, const void *bytes, size_t len);
void digest_xor(struct digest *d, const void *bytes, size_t len);

/* Adds the elements of a value; its type and expiry are added by digest_entry(). Before the loops start. */
typedef void digest_value(struct digest *d, const struct entry *e);
void digest_register(enum store_type_id type, digest_value *fn);

/* A key's value, type and whether it expires, without its name. The shard is locked, or the caller is alone. */
void digest_entry(struct digest *d, const struct entry *e);
/* Every key of every database. Alone. op may be changed. */
void digest_dataset(struct store_op *op, struct digest *d);
void digest_hex(const struct digest *d, char out[static 2 * DIGEST_LEN + 1]);

#endif
