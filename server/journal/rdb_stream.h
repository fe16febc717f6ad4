/* rdb_stream: the value of a stream, within the records that rdb_value.c writes and rdb_build.c reads. */
#ifndef SERVER_JOURNAL_RDB_STREAM_H
#define SERVER_JOURNAL_RDB_STREAM_H

#include "server/journal/rdb_scan.h"
#include "server/journal/snapshot.h"

struct stream;

/* As RDB_STREAM_2. */
void rdb_stream_put(struct snapshot_buf *b, const struct stream *s);
/* 0, -EINVAL (s->bad says what is wrong) or -ENOMEM. */
int rdb_stream_load(struct rdb_scan *s, unsigned type, struct stream **out);

#endif
