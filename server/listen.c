/* listen: see listen.h. */
#include "server/listen.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "net/tls.h"
#include "server/log.h"
#include "server/tls.h"

#define MAX_LISTENERS 16 /* `bind` has no more addresses */

/* The listeners of one port: plain TCP or TLS. */
struct service {
	const char *name; /* as in the log and in INFO */
	bool tls;
	struct net_listener *v[MAX_LISTENERS];
	int n;
	const struct config *open_for; /* what they were opened from */
};

static struct net_server *server;
static struct service plain = { .name = "TCP" }, secure = { .name = "TLS", .tls = true };

int listen_port(void)
{
	return plain.n ? net_listener_port(plain.v[0]) : 0;
}

static int port_of(const struct service *s, const struct config *cfg)
{
	return s->tls ? cfg->tls_port : cfg->port;
}

/* The address as net wants it. */
static void make_url(const char *host, int port, char *url, size_t size)
{
	if (!strcmp(host, "*"))
		snprintf(url, size, "tcp4://0.0.0.0:%d", port);
	else if (!strcmp(host, "::*"))
		snprintf(url, size, "tcp6://[::]:%d", port);
	else
		snprintf(url, size, strchr(host, ':') ? "tcp6://[%s]:%d" : "tcp4://%s:%d", host, port);
}

static void close_all(struct net_listener **v, int n)
{
	for (int i = 0; i < n; i++)
		net_unlisten(v[i]);
}

/* An address that this machine does not have is passed over if it begins with a dash. */
static bool may_be_missing(const char *bind, int err)
{
	return *bind == '-' && (err == -EADDRNOTAVAIL || err == -EAFNOSUPPORT || err == -EPROTONOSUPPORT || err == -ENOENT);
}

/* All addresses of `bind`, or none. The number opened, or -errno. */
static int open_all(const struct service *s, const struct config *cfg, struct net_listener **v)
{
	char url[300];
	int n = 0, port = port_of(s, cfg);
	struct net_tls *tls = s->tls && port ? tls_context(cfg) : NULL;

	if (s->tls && port && !tls) {
		log_warning("Failed to configure TLS. Check logs for more info.");
		return -EINVAL;
	}
	for (int i = 0; i < cfg->bind_count && port; i++) {
		const char *host = cfg->bind[i] + (*cfg->bind[i] == '-');
		int err = 0;
		make_url(host, port, url, sizeof url);
		v[n] = net_listen_transport(server, url, tls ? net_tls_transport() : NULL, tls, &err);
		if (v[n]) {
			n++;
		} else if (!may_be_missing(cfg->bind[i], err)) {
			log_warning("Warning: Could not create server %s listening socket %s:%d: bind: %s", s->name, host, port,
			            strerror(-err));
			close_all(v, n);
			return err;
		}
	}
	return n == 0 && cfg->bind_count && port ? -EADDRNOTAVAIL : n;
}

static int open_unix(const struct config *cfg)
{
	char url[300];
	int err = 0;

	/* Without a mode, whoever may reach the path may connect, as in Redis. */
	int n = snprintf(url, sizeof url, "unix://%s?mode=%04o", cfg->unixsocket,
	                 (unsigned)(cfg->unixsocketperm ? cfg->unixsocketperm : 0777));
	if (n < 0 || (size_t)n >= sizeof url)
		err = -ENAMETOOLONG;
	else if (net_listen(server, url, &err))
		return 0;
	log_warning("Failed opening Unix socket: bind: %s: %s. Check that its directory exists and may be written.",
	            cfg->unixsocket, strerror(-err));
	return err;
}

static void use(struct service *s, struct net_listener *const *v, int n)
{
	memcpy(s->v, v, sizeof s->v);
	s->n = n;
	if (s->open_for)
		config_unref(s->open_for);
	s->open_for = config_ref();
}

/* On another port the new listeners come first, so that clients always find one. On the same port the addresses may
 * overlap, so the old ones go first, and come back if the new ones fail. */
static bool move(struct service *s, const struct config *now, char **error)
{
	struct net_listener *fresh[MAX_LISTENERS] = { 0 };
	bool same_port = port_of(s, now) == port_of(s, s->open_for);

	if (same_port)
		close_all(s->v, s->n);
	int n = open_all(s, now, fresh);
	if (n >= 0) {
		if (!same_port)
			close_all(s->v, s->n);
		use(s, fresh, n);
		return true;
	}
	if (same_port) {
		s->n = open_all(s, s->open_for, s->v);
		if (s->n < 0)
			s->n = 0;
	}
	*error = strdup(same_port ? "Failed to bind to specified addresses."
	                          : "Unable to listen on this port. Check server logs.");
	return false;
}

static bool change_port(const struct config *now, char **error)
{
	return move(&plain, now, error);
}

static bool change_tls_port(const struct config *now, char **error)
{
	return move(&secure, now, error);
}

static bool change_bind(const struct config *now, char **error)
{
	return move(&plain, now, error) && move(&secure, now, error);
}

static int open_service(struct service *s, const struct config *cfg)
{
	struct net_listener *v[MAX_LISTENERS] = { 0 };
	int n = open_all(s, cfg, v);
	if (n < 0 && n != -EINVAL)
		log_warning("Failed listening on port %d (%s), aborting. Another server may use it: stop that one, or choose "
		            "another port or bind address.",
		            port_of(s, cfg), s->tls ? "tls" : "tcp");
	if (n >= 0)
		use(s, v, n);
	return n < 0 ? n : 0;
}

int listen_open(struct net_server *net, const struct config *cfg)
{
	server = net;
	int err = open_service(&plain, cfg);
	err = err ? err : open_service(&secure, cfg);
	err = err || !*cfg->unixsocket ? err : open_unix(cfg);
	if (err)
		return err;
	if (!plain.n && !secure.n && !*cfg->unixsocket) {
		log_warning("Configured to not listen anywhere, exiting. Set `port` and `bind`, or `unixsocket`.");
		return -EADDRNOTAVAIL;
	}
	config_on_change("port", change_port);
	config_on_change("tls-port", change_tls_port);
	config_on_change("bind", change_bind);
	tls_init();
	return 0;
}
