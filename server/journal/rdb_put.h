/*
 * rdb_put: the small pieces that records are made of. They are appended to a chunk, with plain strings; or, where the
 * buffer has a `direct` target (the writer thread, with a large value), go there at once with strings compressed, so that
 * a value of any size needs no second copy in memory.
 */
#ifndef SERVER_JOURNAL_RDB_PUT_H
#define SERVER_JOURNAL_RDB_PUT_H

#include <string.h>

#include "server/journal/rdb_scan.h"
#include "server/journal/snapshot.h"

static inline void rdb_put_raw(struct snapshot_buf *b, const void *bytes, size_t len)
{
	if (__builtin_expect(b->direct != NULL, 0)) {
		rdb_copy_bytes(b->direct, bytes, len);
		return;
	}
	char *to = snapshot_buf_room(b, len);
	if (!to)
		return;
	memcpy(to, bytes, len);
	b->len += len;
}

static inline void rdb_put_length(struct snapshot_buf *b, uint64_t len)
{
	uint8_t head[9];
	rdb_put_raw(b, head, rdb_put_len(head, len));
}

/* Length and bytes. */
static inline void rdb_put_plain(struct snapshot_buf *b, const void *bytes, size_t len)
{
	if (__builtin_expect(b->direct != NULL, 0)) {
		rdb_copy_string(b->direct, bytes, len);
		return;
	}
	char *to = snapshot_buf_room(b, len + 9);
	if (!to)
		return;
	size_t n = rdb_put_len((uint8_t *)to, len);
	memcpy(to + n, bytes, len);
	b->len += n + len;
}

/* An integer as a string in its short form; false: it has none. */
static inline bool rdb_put_small_int(struct snapshot_buf *b, int64_t v)
{
	if (v < INT32_MIN || v > INT32_MAX)
		return false;
	unsigned power = v >= INT8_MIN && v <= INT8_MAX ? 0 : v >= INT16_MIN && v <= INT16_MAX ? 1 : 2;
	uint8_t out[5] = { (uint8_t)(0xc0 | power) };
	for (unsigned i = 0; i < 1u << power; i++)
		out[1 + i] = (uint8_t)((uint64_t)v >> 8 * i);
	rdb_put_raw(b, out, 1 + ((size_t)1 << power));
	return true;
}

#endif
