/* tls: OpenSSL behind the transport interface. Its sockets raise SIGPIPE, which loops keep blocked (see loop.c). */
#include "net/tls.h"

#include <errno.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "net/internal.h"

#define RECORD 16384 /* what fits into one record */

struct net_tls {
	pthread_mutex_t lock; /* of ctx: it may be replaced */
	SSL_CTX *ctx;
	bool verify;
};

struct tls_conn {
	SSL *ssl;
	size_t retry; /* a write of this length must be repeated; 0 none */
	bool failed;
	bool more; /* there may be bytes that the poller does not know of */
};

struct net_tls *net_tls_from_context(void *take_ssl_ctx)
{
	struct net_tls *t = calloc(1, sizeof *t);
	if (!t)
		return NULL;
	pthread_mutex_init(&t->lock, NULL);
	t->ctx = take_ssl_ctx;
	SSL_CTX_set_mode(t->ctx, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER | SSL_MODE_RELEASE_BUFFERS);
#ifdef SSL_OP_ENABLE_KTLS
	SSL_CTX_set_options(t->ctx, SSL_OP_ENABLE_KTLS);
#endif
	return t;
}

static struct net_tls *tls_new(const SSL_METHOD *method, int *err)
{
	SSL_CTX *ctx = SSL_CTX_new(method);
	struct net_tls *t = ctx ? net_tls_from_context(ctx) : NULL;
	*err = t ? 0 : -ENOMEM;
	if (t)
		SSL_CTX_set_min_proto_version(t->ctx, TLS1_2_VERSION);
	else
		SSL_CTX_free(ctx);
	return t;
}

void net_tls_replace(struct net_tls *t, struct net_tls *take)
{
	pthread_mutex_lock(&t->lock);
	SSL_CTX *old = t->ctx;
	t->ctx = take->ctx;
	t->verify = take->verify;
	pthread_mutex_unlock(&t->lock);
	take->ctx = old; /* its connections hold references of their own */
	net_tls_free(take);
}

struct net_tls *net_tls_server(const char *cert_file, const char *key_file, int *err)
{
	struct net_tls *t = tls_new(TLS_server_method(), err);
	if (t && (SSL_CTX_use_certificate_chain_file(t->ctx, cert_file) != 1 ||
	          SSL_CTX_use_PrivateKey_file(t->ctx, key_file, SSL_FILETYPE_PEM) != 1 ||
	          SSL_CTX_check_private_key(t->ctx) != 1)) {
		ERR_clear_error();
		net_tls_free(t);
		*err = -EINVAL;
		return NULL;
	}
	return t;
}

struct net_tls *net_tls_client(const char *ca_file, bool verify, int *err)
{
	struct net_tls *t = tls_new(TLS_client_method(), err);
	if (!t)
		return NULL;
	t->verify = verify;
	SSL_CTX_set_verify(t->ctx, verify ? SSL_VERIFY_PEER : SSL_VERIFY_NONE, NULL);
	if (ca_file ? SSL_CTX_load_verify_locations(t->ctx, ca_file, NULL) != 1 : SSL_CTX_set_default_verify_paths(t->ctx) != 1) {
		ERR_clear_error();
		net_tls_free(t);
		*err = -EINVAL;
		return NULL;
	}
	return t;
}

void net_tls_free(struct net_tls *t)
{
	if (!t)
		return;
	SSL_CTX_free(t->ctx);
	pthread_mutex_destroy(&t->lock);
	free(t);
}

void *net_tls_context(struct net_tls *t)
{
	return t->ctx;
}

static void *new_state(void *ctx, int fd, bool client, const char *host)
{
	struct net_tls *t = ctx;
	struct tls_conn *c = calloc(1, sizeof *c);
	if (!c)
		return NULL;
	pthread_mutex_lock(&t->lock);
	c->ssl = SSL_new(t->ctx);
	bool verify = t->verify;
	pthread_mutex_unlock(&t->lock);
	if (!c->ssl || SSL_set_fd(c->ssl, fd) != 1) {
		SSL_free(c->ssl);
		free(c);
		return NULL;
	}
	SSL_set_read_ahead(c->ssl, 1);
	if (!client) {
		SSL_set_accept_state(c->ssl);
		return c;
	}
	SSL_set_connect_state(c->ssl);
	if (host && *host) {
		SSL_set_tlsext_host_name(c->ssl, host);
		X509_VERIFY_PARAM *p = SSL_get0_param(c->ssl);
		if (verify && X509_VERIFY_PARAM_set1_ip_asc(p, host) != 1)
			SSL_set1_host(c->ssl, host);
	}
	return c;
}

/* What OpenSSL's result r means for us. */
static int error_of(struct tls_conn *c, int r)
{
	int saved = errno, e = SSL_get_error(c->ssl, r);
	if (e == SSL_ERROR_WANT_READ || e == SSL_ERROR_WANT_WRITE)
		return -EAGAIN;
	if (e == SSL_ERROR_ZERO_RETURN)
		return 0;
	c->failed = true;
	ERR_clear_error();
	return e == SSL_ERROR_SYSCALL ? (saved ? -saved : -ECONNRESET) : -EPROTO;
}

static int handshake(void *state, enum net_want *want)
{
	struct tls_conn *c = state;
	ERR_clear_error();
	errno = 0;
	int r = SSL_do_handshake(c->ssl);
	if (r == 1)
		return 0;
	*want = SSL_want_write(c->ssl) ? NET_WANT_WRITE : NET_WANT_READ;
	int err = error_of(c, r);
	return err ? err : -ECONNRESET;
}

/*
 * Records are read until the socket is empty or the room is full. The library reads ahead, as much as its buffer holds: if
 * it began with nothing, holds nothing afterwards and took less than that in between, then the socket was empty, and the
 * call that would only say so is spared.
 */
static ssize_t tls_read(void *state, int fd, void *buf, size_t len)
{
	struct tls_conn *c = state;
	BIO *from = SSL_get_rbio(c->ssl);
	uint64_t begin = 0;
	size_t got = 0;
	(void)fd;
	bool drained = false, fresh = false;
	c->more = false;
	while (got < len && !drained) {
		int want = len - got > 1 << 20 ? 1 << 20 : (int)(len - got);
		if (!SSL_has_pending(c->ssl)) {
			begin = BIO_number_read(from);
			fresh = true;
		}
		ERR_clear_error();
		errno = 0;
		int r = SSL_read(c->ssl, (char *)buf + got, want);
		if (r <= 0)
			return got ? (ssize_t)got : error_of(c, r);
		got += (size_t)r;
		drained = fresh && !SSL_has_pending(c->ssl) && BIO_number_read(from) - begin < SSL3_RT_MAX_PLAIN_LENGTH;
	}
	c->more = !drained && SSL_has_pending(c->ssl);
	return (ssize_t)got;
}

static size_t gather(char *to, size_t size, const struct iovec *iov, int n, size_t skip)
{
	size_t have = 0;
	for (int i = 0; i < n && have < size; i++) {
		if (skip >= iov[i].iov_len) {
			skip -= iov[i].iov_len;
			continue;
		}
		size_t part = iov[i].iov_len - skip;
		part = part < size - have ? part : size - have;
		memcpy(to + have, (const char *)iov[i].iov_base + skip, part);
		have += part;
		skip = 0;
	}
	return have;
}

/* Whole records, however the bytes are scattered. A write that has to wait is repeated with the same length: the library
 * offers the same bytes again. */
static ssize_t tls_writev(void *state, int fd, const struct iovec *iov, int n)
{
	struct tls_conn *c = state;
	char record[RECORD];
	size_t sent = 0, len;
	(void)fd;
	while ((len = gather(record, c->retry ? c->retry : sizeof record, iov, n, sent))) {
		ERR_clear_error();
		errno = 0;
		int r = SSL_write(c->ssl, record, (int)len);
		if (r <= 0) {
			int err = error_of(c, r);
			c->retry = err == -EAGAIN ? len : 0;
			return sent ? (ssize_t)sent : err ? err : -EPIPE;
		}
		c->retry = 0;
		sent += (size_t)r;
	}
	return (ssize_t)sent;
}

void *net_tls_ssl(const struct net_conn *c)
{
	const struct tls_conn *t = c->extra && c->extra->transport == net_tls_transport() ? c->extra->state : NULL;
	return t ? t->ssl : NULL;
}

static bool pending(const void *state)
{
	return ((const struct tls_conn *)state)->more;
}

static void finish(void *state)
{
	struct tls_conn *c = state;
	if (!c->failed && SSL_is_init_finished(c->ssl)) {
		ERR_clear_error();
		SSL_shutdown(c->ssl);
	}
}

static void free_state(void *state)
{
	struct tls_conn *c = state;
	finish(c);
	SSL_free(c->ssl);
	ERR_clear_error();
	free(c);
}

const struct net_transport *net_tls_transport(void)
{
	static const struct net_transport tls = {
		.name = "tls", .new_state = new_state, .handshake = handshake, .read = tls_read, .writev = tls_writev,
		.pending = pending, .finish = finish, .free_state = free_state,
	};
	return &tls;
}
