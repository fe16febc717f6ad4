/*
 * rdb_value: what the RDB files of this server use of store/dump.h: one entry as a record, and a record's value as an
 * entry. Threads: the holder of the shard's lock.
 */
#ifndef SERVER_JOURNAL_RDB_VALUE_H
#define SERVER_JOURNAL_RDB_VALUE_H

#include "server/journal/snapshot.h"

/* Append type, key and value, strings not compressed, in a form that version 10 knows. b->failed: out of memory. */
void rdb_value_put(struct snapshot_buf *b, const struct entry *e);

#endif
