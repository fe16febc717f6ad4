/*
 * transport: what carries a connection's bytes. Plain sockets need none; TLS is one (net_tls_*), and a program may bring
 * its own: fill in a struct net_transport and give it to a listener, to net_dial() or to net_attach().
 *
 * Ownership: the library calls new() once per connection and free() once for each state that new() made.
 * Threads: all functions of one connection run on its loop's thread.
 */
#ifndef NET_TRANSPORT_H
#define NET_TRANSPORT_H

#include "net/net.h"

#ifdef __cplusplus
extern "C" {
#endif

enum net_want { NET_WANT_READ = 1, NET_WANT_WRITE = 2 };

struct net_transport {
	const char *name;
	/* State of a new connection; client: it was dialled, to host. NULL: the connection fails with ENOMEM. */
	void *(*new_state)(void *ctx, int fd, bool client, const char *host);
	/* 0 done; -EAGAIN with *want; other negative: failed. Before any byte is read or written. May be NULL. */
	int (*handshake)(void *state, enum net_want *want);
	/* Bytes (> 0), 0 end of stream, -EAGAIN, or -errno. Must not raise SIGPIPE nor block. */
	ssize_t (*read)(void *state, int fd, void *buf, size_t len);
	ssize_t (*writev)(void *state, int fd, const struct iovec *iov, int n);
	/* Whether bytes can be read that the socket does not announce any more. May be NULL. */
	bool (*pending)(const void *state);
	/* The output ends (the library then shuts the socket's sending half). May be NULL. */
	void (*finish)(void *state);
	void (*free_state)(void *state);
};

/* As net_listen(): connections of this listener use the transport. */
struct net_listener *net_listen_transport(struct net_server *s, const char *url, const struct net_transport *t, void *ctx,
                                          int *err);
/* Connections of this listener use the transport, from the next one on. Before the server starts [owner]. */
void net_listener_set_transport(struct net_listener *l, const struct net_transport *t, void *ctx);
/* The connection's transport state, or NULL. [loop] */
void *net_conn_transport(const struct net_conn *c);

#ifdef __cplusplus
}
#endif
#endif
