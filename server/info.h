/*
 * info: the text of INFO. Read from published counters, configuration and the operating system; nothing here waits for
 * a loop. A service that comes with its own figures adds its lines in its section.
 */
#ifndef SERVER_INFO_H
#define SERVER_INFO_H

#include "server/resp.h"
#include "store/store.h"

/* Before the loops start, after stats_init(): registers the figures that others keep. */
void info_init(void);
/* The sections named ("all", "default", ... too; none: the default ones) as malloc'ed text of *len bytes; NULL: out of
 * memory. op: a context that may be changed, for the keyspace's figures. */
char *info_text(struct store_op *op, const struct arg *names, unsigned n, size_t *len);

#endif
