/*
 * tls: the tls-* directives become a context of OpenSSL, and new ones when they change; open connections keep theirs.
 *
 * Threads: alone, or before the loops start.
 */
#ifndef SERVER_TLS_H
#define SERVER_TLS_H

#include "server/config.h"

struct net_tls;

/* The context that listeners use, made from these directives at the first call. NULL: the reason was logged. */
struct net_tls *tls_context(const struct config *cfg);
/* Watch the directives. Before the loops start. */
void tls_init(void);
void tls_free(void);

#endif
