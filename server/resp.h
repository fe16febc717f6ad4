/*
 * resp: the request parser. Stateless: bytes in; used, need more, or malformed out. Allocates nothing but the vector of
 * argument slices, which the caller owns and reuses. RESP requests (arrays of bulk strings) and inline commands.
 *
 * Source: the RESP protocol description at redis.io; limits and error texts as redis-server 7 answers.
 */
#ifndef SERVER_RESP_H
#define SERVER_RESP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* A slice of somebody else's bytes. */
struct arg {
	const char *ptr;
	size_t len;
};

struct resp_limits {
	int64_t max_bulk;   /* proto-max-bulk-len */
	int64_t max_args;   /* 1024 * 1024 */
	size_t max_inline;  /* 64 KiB */
	bool authenticated; /* else at most 10 arguments of 16 KiB */
};

/* A growing vector of slices, shared by the requests of one turn. */
struct resp_args {
	struct arg *v;
	size_t n, cap;
};

/* How far an incomplete request has been scanned, so that what arrived is never scanned again; zero it at a request's
 * start. Offsets count from the request's first byte. */
struct resp_progress {
	size_t pos;       /* scanned so far */
	size_t need;      /* do not come back before this many bytes are there */
	uint32_t args;    /* arguments still to come */
	bool in_array;
};

enum resp_error {
	RESP_OK,
	RESP_BAD_ARRAY_LEN, /* "invalid multibulk length" */
	RESP_BAD_BULK_LEN,  /* "invalid bulk length" */
	RESP_NO_DOLLAR,     /* "expected '$', got '%c'" */
	RESP_BIG_COUNT,     /* "too big mbulk count string" */
	RESP_BIG_BULK,      /* "too big bulk count string" */
	RESP_BIG_INLINE,    /* "too big inline request" */
	RESP_UNBALANCED,    /* "unbalanced quotes in request" */
	RESP_UNAUTH_ARRAY,  /* "unauthenticated multibulk length" */
	RESP_UNAUTH_BULK,   /* "unauthenticated bulk length" */
	RESP_BAD_CRLF,      /* bulk not followed by CRLF */
	RESP_NO_MEMORY,
};

/*
 * Parse one request at buf. > 0: bytes used; arguments appended to args (none for an empty request: skip it). 0: more
 * bytes are needed, progress updated. < 0: -enum resp_error; *bad is the offending byte for RESP_NO_DOLLAR.
 * Inline arguments that need unescaping are rewritten within `scratch`, obtained by alloc(ctx, n), which lives as long
 * as the slices.
 */
ssize_t resp_parse(const char *buf, size_t len, const struct resp_limits *limits, struct resp_progress *progress,
                   struct resp_args *args, char *bad, void *(*alloc)(void *ctx, size_t n), void *ctx);

/* The text behind "ERR Protocol error: ", written to out. */
void resp_error_text(enum resp_error e, char bad, char *out, size_t size);

#endif
