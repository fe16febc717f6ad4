/*
 * reply: the writer of RESP2 and RESP3 replies, straight into a connection's output or into memory.
 *
 * Invariants: what is written between two commands is whole replies; simple strings and errors never contain CR or LF.
 * Ownership: bytes passed are copied, blobs are referenced. A reply belongs to one call on one thread.
 */
#ifndef SERVER_REPLY_H
#define SERVER_REPLY_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct entry;

/* Where bytes go: the sink gives room and may be switched by deferred lengths. */
struct reply {
	char *cur, *end;      /* room in the current region */
	uint8_t resp;         /* 2 or 3 */
	bool errored;         /* an error was written since reply_reset_error() */
	bool failed;          /* out of memory: the connection is to be closed */
	char error_code[32];  /* first word of the last error, for errorstats */
	uint32_t depth;       /* open deferred lengths */
	/* Make room for n bytes at cur, handing over what is written. false: out of memory; cur/end point to scrap. */
	bool (*grow)(struct reply *r, size_t n);
	/* Queue by reference; NULL: bytes are copied. */
	void (*ref)(struct reply *r, const char *bytes, size_t len, void (*release)(void *, const void *), void *ctx);
	void *sink;
	/* Memory sink, and where deferred replies gather. */
	char *mem;
	size_t mem_cap;
	char *saved_cur, *saved_end; /* of the sink while a deferred reply is open */
	bool (*saved_grow)(struct reply *r, size_t n);
};

static inline bool reply_room(struct reply *r, size_t n)
{
	if (__builtin_expect((size_t)(r->end - r->cur) >= n, 1))
		return true;
	return r->grow(r, n);
}

/* A reply that gathers in memory: blocked clients, nested calls, tests. reply_bytes() is valid until the next write. */
void reply_init_memory(struct reply *r, int resp);
const char *reply_bytes(const struct reply *r, size_t *len);
void reply_reset(struct reply *r); /* drop what a memory reply gathered */
void reply_clear(struct reply *r); /* free */

/* Bytes that are RESP already. */
void reply_raw(struct reply *r, const void *bytes, size_t len);
#define reply_lit(r, lit) reply_raw(r, "" lit, sizeof(lit) - 1)

static inline void reply_ok(struct reply *r)
{
	reply_lit(r, "+OK\r\n");
}

void reply_status(struct reply *r, const char *text);
void reply_bulk(struct reply *r, const void *bytes, size_t len);
void reply_cstr(struct reply *r, const char *text); /* as bulk */
void reply_bulkf(struct reply *r, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* A string entry's value: embedded bytes are copied, blobs go by reference. */
void reply_entry(struct reply *r, const struct entry *e);
void reply_int(struct reply *r, int64_t v);
void reply_bulk_int(struct reply *r, int64_t v); /* integer as bulk string */
void reply_null(struct reply *r);                /* $-1 or _ */
void reply_null_array(struct reply *r);          /* *-1 or _ */
void reply_bool(struct reply *r, bool v);        /* :1 :0, or #t #f */
void reply_double(struct reply *r, double v);    /* bulk or ,v as Redis 7.2 prints it */
void reply_verbatim(struct reply *r, const char *format3, const void *bytes, size_t len);
void reply_bignum(struct reply *r, const char *digits);
/* Aggregates of known length. A map of n pairs is 2n elements in RESP2. */
void reply_array(struct reply *r, size_t n);
void reply_map(struct reply *r, size_t n);
void reply_set(struct reply *r, size_t n);
void reply_push(struct reply *r, size_t n); /* array in RESP2 */
void reply_attribute(struct reply *r, size_t n); /* RESP3 only */
/* Aggregates whose length is known at the end. kind: '*' '%' '~' '>'; n counts pairs for '%'. Nest freely. */
size_t reply_defer(struct reply *r);
void reply_defer_end(struct reply *r, size_t mark, char kind, size_t n);

/* "-CODE text": text begins with its code ("ERR ...", "WRONGTYPE ..."); CR and LF become spaces. */
void reply_error(struct reply *r, const char *text);
void reply_errorf(struct reply *r, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Frequent errors, with Redis's words. */
void reply_wrong_type(struct reply *r);
void reply_syntax_error(struct reply *r);
void reply_not_integer(struct reply *r);  /* value is not an integer or out of range */
void reply_not_float(struct reply *r);    /* value is not a valid float */
void reply_out_of_range(struct reply *r); /* index out of range */
void reply_no_key(struct reply *r);       /* no such key */
void reply_oom(struct reply *r);

#endif
