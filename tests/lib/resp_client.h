/*
 * resp_client: a client of the tests' own, for RESP2 and RESP3: it sends commands or any bytes, and reads replies both as
 * the bytes that came and as a tree.
 *
 * Every wait ends after a time limit, and then the calling test fails. Ownership: a reply's bytes live until the next
 * read, a tree until resp_value_free(). One thread per client.
 */
#ifndef TESTS_LIB_RESP_CLIENT_H
#define TESTS_LIB_RESP_CLIENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct resp_client {
	int fd;
	char *buf;
	size_t start, end, cap;
	bool closed; /* the server closed, or nothing came in time */
};

struct resp_bytes {
	const char *ptr;
	size_t len;
};

/* type is the first byte of the reply. Aggregates have elements (2n of a map), others text; null: $-1, *-1, _ */
struct resp_value {
	char type;
	bool null;
	int64_t integer;
	char *text; /* terminated */
	size_t len;
	struct resp_value *elements;
	size_t n;
};

/* NULL when nobody accepts. */
struct resp_client *resp_connect(int port);
struct resp_client *resp_connect_unix(const char *path);
void resp_close(struct resp_client *c);

/* false: the connection is gone. */
bool resp_send_bytes(struct resp_client *c, const void *bytes, size_t len);
bool resp_send_argv(struct resp_client *c, size_t argc, const struct resp_bytes *argv);
/* A command line: words separated by blanks; "..." quotes, with \xHH \n \r \t \\ \" inside. */
bool resp_send(struct resp_client *c, const char *line);

/* One reply, as bytes, behind an attribute if one stands before it. false: the connection was closed. */
bool resp_read(struct resp_client *c, struct resp_bytes *out);
/* As a tree; NULL: closed. */
struct resp_value *resp_read_value(struct resp_client *c);
/* The tree of one whole reply. */
struct resp_value *resp_parse_value(const char *buf, size_t len);
/* resp_send() and resp_read_value(). */
struct resp_value *resp_ask(struct resp_client *c, const char *line);
void resp_value_free(struct resp_value *v);
/* Wait for the server to close; what comes before it is dropped. false: it did not in time. */
bool resp_read_eof(struct resp_client *c);

/* Length of the first whole reply in the bytes, 0: incomplete, negative: not RESP. */
ssize_t resp_reply_len(const char *buf, size_t len);
/* Printable form: malloc'ed. */
char *resp_printable(const char *buf, size_t len);
/* Split a command line: fills argv (malloc'ed strings); the number, or -1. */
int resp_split(const char *line, struct resp_bytes *argv, int max);

#endif
