/*
 * tls: TLS 1.2 and later as a transport (see transport.h), on OpenSSL; the kernel does the encryption where it can.
 *
 *     struct net_tls *tls = net_tls_server("cert.pem", "key.pem", &err);
 *     net_listener_set_transport(listener, net_tls_transport(), tls);
 *
 * Ownership: a struct net_tls is freed by the caller, after the server whose connections use it.
 * Threads: one struct may serve all loops.
 */
#ifndef NET_TLS_H
#define NET_TLS_H

#include "net/transport.h"

#ifdef __cplusplus
extern "C" {
#endif

struct net_tls;

/* For listeners: certificate chain and key in PEM files. NULL with *err = -EINVAL (files) or -ENOMEM. */
struct net_tls *net_tls_server(const char *cert_file, const char *key_file, int *err);
/* For net_dial(): the server's certificate must be signed by one in ca_file and name the host; NULL ca_file: the system's
 * authorities; verify false: anything goes. */
struct net_tls *net_tls_client(const char *ca_file, bool verify, int *err);
/* Around an SSL_CTX of the program's own, which is taken. NULL: out of memory, the context is still the caller's. */
struct net_tls *net_tls_from_context(void *take_ssl_ctx);
/* Connections from the next one on use the context of `take`, which is taken; those that are open keep theirs. [any] */
void net_tls_replace(struct net_tls *t, struct net_tls *take);
/* NULL is fine. */
void net_tls_free(struct net_tls *t);
/* For net_listener_set_transport() or net_dial(), with the struct net_tls as its context. */
const struct net_transport *net_tls_transport(void);
/* The SSL_CTX, for settings that are not offered here. */
void *net_tls_context(struct net_tls *t);
/* The SSL of a connection, to look at (the peer's certificate, the protocol); NULL without TLS. [loop] */
void *net_tls_ssl(const struct net_conn *c);

#ifdef __cplusplus
}
#endif
#endif
