/*
 * rdb_compact: walks over the packed blocks of RDB files: listpack, intset, and what older versions had, ziplist and
 * zipmap. Foreign bytes: every step is checked against the end. Threads: any.
 */
#ifndef SERVER_JOURNAL_RDB_COMPACT_H
#define SERVER_JOURNAL_RDB_COMPACT_H

#include <stddef.h>

/* The element's bytes, valid during the call. */
typedef void rdb_compact_visit(void *ctx, const char *str, size_t len);
/* Every element in order; 0, or -EINVAL (some may have been visited by then). */
typedef int rdb_compact_walk(const void *bytes, size_t len, rdb_compact_visit *visit, void *ctx);

rdb_compact_walk rdb_walk_listpack, rdb_walk_intset, rdb_walk_ziplist;
/* Fields and values in turn. */
rdb_compact_walk rdb_walk_zipmap;

#endif
