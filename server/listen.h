/*
 * listen: the server's listeners, as `bind`, `port` and `unixsocket` say; CONFIG SET may change the first two.
 *
 * Threads: before the loops start, or alone.
 */
#ifndef SERVER_LISTEN_H
#define SERVER_LISTEN_H

#include "server/config.h"

struct net_server;

/* Open all of them. 0; or -errno after the reason was logged (-EADDRNOTAVAIL also when nothing is to be opened). */
int listen_open(struct net_server *net, const struct config *cfg);
/* The TCP port as bound; 0: none. */
int listen_port(void);

#endif
