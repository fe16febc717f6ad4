/*
 * rdb_scan: the shape of an RDB file: lengths, strings, and where a value ends, without building anything. The loader cuts
 * files with it, the checker looks through them, and the writer compresses strings on their way.
 *
 * Nothing here allocates by what a length says. Threads: any.
 */
#ifndef SERVER_JOURNAL_RDB_SCAN_H
#define SERVER_JOURNAL_RDB_SCAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

enum rdb_type {
	RDB_STRING = 0, RDB_LIST = 1, RDB_SET = 2, RDB_ZSET = 3, RDB_HASH = 4, RDB_ZSET_2 = 5, RDB_MODULE = 6,
	RDB_MODULE_2 = 7, RDB_HASH_ZIPMAP = 9, RDB_LIST_ZIPLIST = 10, RDB_SET_INTSET = 11, RDB_ZSET_ZIPLIST = 12,
	RDB_HASH_ZIPLIST = 13, RDB_LIST_QUICKLIST = 14, RDB_STREAM = 15, RDB_HASH_LISTPACK = 16, RDB_ZSET_LISTPACK = 17,
	RDB_LIST_QUICKLIST_2 = 18, RDB_STREAM_2 = 19, RDB_SET_LISTPACK = 20, RDB_STREAM_3 = 21, RDB_TYPES,
};

enum rdb_opcode {
	RDB_OP_FUNCTION2 = 245, RDB_OP_FUNCTION_PRE_GA = 246, RDB_OP_MODULE_AUX = 247, RDB_OP_IDLE = 248, RDB_OP_FREQ = 249,
	RDB_OP_AUX = 250, RDB_OP_RESIZEDB = 251, RDB_OP_EXPIRE_MS = 252, RDB_OP_EXPIRE_S = 253, RDB_OP_SELECTDB = 254,
	RDB_OP_EOF = 255,
};

/* Bytes being looked through. */
struct rdb_scan {
	const uint8_t *p, *end;
	bool more;       /* the bytes ended too early */
	const char *bad; /* or this is wrong */
	/* Optional: everything looked at is also copied, with long strings compressed. */
	struct rdb_copy *copy;
};

static inline bool rdb_scan_ok(const struct rdb_scan *s)
{
	return !s->more && !s->bad;
}

/* n bytes as they stand; NULL: not there. */
const uint8_t *rdb_scan_raw(struct rdb_scan *s, size_t n);
uint64_t rdb_scan_len(struct rdb_scan *s);
void rdb_scan_string(struct rdb_scan *s);
/* The value of a type, behind its key. */
void rdb_scan_value(struct rdb_scan *s, unsigned type);
/* The opcode's or type's operands (a type: key and value); RDB_OP_EOF has none. */
void rdb_scan_record(struct rdb_scan *s, unsigned opcode);
/* NULL: no such type. */
const char *rdb_type_name(unsigned type);

/* A string as text: pointer and length; compressed ones are decompressed and integers printed into *heap, which the caller
 * frees. false: see more and bad, or out of memory (bad says so). */
bool rdb_scan_text(struct rdb_scan *s, const char **text, size_t *len, char **heap);

/* ------------------------------------------------------------------ writing */

/* Encoded into out; the bytes used, at most 9. */
size_t rdb_put_len(uint8_t *out, uint64_t len);

/* Where copies go: write() gets up to some hundred KiB at once. */
struct rdb_copy {
	int (*write)(void *ctx, const void *bytes, size_t len);
	void *ctx;
	bool compress;
	int err; /* the first one of write() */
	uint8_t *buf;
	size_t len, cap;
};
/* false: out of memory. */
bool rdb_copy_init(struct rdb_copy *c, size_t expected); /* bytes, about */
void rdb_copy_clear(struct rdb_copy *c);
void rdb_copy_bytes(struct rdb_copy *c, const void *bytes, size_t len);
/* Length and bytes; compressed or as an integer where that is shorter. */
void rdb_copy_string(struct rdb_copy *c, const void *bytes, size_t len);
int rdb_copy_flush(struct rdb_copy *c);
/* Records that are whole, each with its opcode, as they stand but for strings. 0, -EINVAL, or the error of write(). */
int rdb_copy_records(struct rdb_copy *c, const void *bytes, size_t len);

#endif
