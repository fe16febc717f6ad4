/*
 * rdb_value: one entry as a record of an RDB file, and a record's value as an entry. Threads: the holder of the shard's
 * lock, or the reader of a frozen value.
 */
#ifndef SERVER_JOURNAL_RDB_VALUE_H
#define SERVER_JOURNAL_RDB_VALUE_H

#include "server/journal/rdb.h"
#include "server/journal/rdb_scan.h"
#include "server/journal/snapshot.h"
#include "store/memory.h"
#include "store/types/hash.h"
#include "store/types/list.h"
#include "store/types/set.h"
#include "store/types/zset.h"

enum { RDB_NODE_PLAIN = 1, RDB_NODE_PACKED = 2 }; /* nodes of a list */

/* Append type, key and value, strings not compressed, in a form that version 10 knows. b->failed: out of memory. */
void rdb_value_put(struct snapshot_buf *b, const struct entry *e);

/* Make the value at s and add it under the key, in place of what may be there; s stands behind it then. The bytes may be
 * anything: damaged ones are refused whole. s is within bytes that hold the whole value. */
enum rdb_value_result { RDB_VALUE_ADDED, RDB_VALUE_EMPTY, RDB_VALUE_DAMAGED, RDB_VALUE_NO_MEMORY };
enum rdb_value_result rdb_value_load(struct store_op *op, const struct store_key *key, unsigned type,
                                     const struct rdb_limits *limits, struct rdb_scan *s, int64_t expire_ms,
                                     struct entry **e);

#endif
