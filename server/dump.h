/*
 * dump: the payloads of DUMP and RESTORE: a value as an RDB file has it, the format's version (2 bytes) and CRC-64 (8
 * bytes) behind it. Written so that servers from 7.0 on restore them.
 *
 * Threads: the holder of the key's lock.
 */
#ifndef SERVER_DUMP_H
#define SERVER_DUMP_H

#include "server/call.h"

/* The payload as a bulk reply. */
void dump_reply(struct reply *r, const struct entry *e);

struct rdb_functions_cut;
/* The payload of FUNCTION DUMP as a bulk reply. false: out of memory, nothing was replied. */
bool dump_functions(struct reply *r, const struct rdb_functions_cut *cut);
/* Give each library of such a payload to fn, which says whether to go on. false: fn said no, or *error is a malloc'ed
 * text. */
bool dump_each_function(const void *payload, size_t len, bool (*fn)(void *ctx, const char *code, size_t len), void *ctx,
                        char **error);

/* Whether version and checksum are right. */
bool dump_verify(const void *payload, size_t len);
/* Add the value of a payload, which was verified, under a key that does not exist. Damage is refused whole. 0; -EINVAL; -ENOMEM;
 * -ENODATA: it holds an empty aggregate. */
int dump_restore(struct call *c, const struct store_key *key, const void *payload, size_t len, int64_t expire_ms,
                 struct entry **e);
/* DEBUG SET-SKIP-CHECKSUM-VALIDATION. Alone. */
extern bool dump_skip_checksum;

#endif
