/* listen: see listen.h. */
#include "server/listen.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "net/net.h"
#include "server/log.h"

#define MAX_LISTENERS 16 /* `bind` has no more addresses */

static struct net_server *server;
static const struct config *open_for; /* what the listeners were opened from */
static struct net_listener *tcp[MAX_LISTENERS];
static int tcp_count;

int listen_port(void)
{
	return tcp_count ? net_listener_port(tcp[0]) : 0;
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
static int open_tcp(const struct config *cfg, struct net_listener **v)
{
	char url[300];
	int n = 0;

	for (int i = 0; i < cfg->bind_count && cfg->port; i++) {
		const char *host = cfg->bind[i] + (*cfg->bind[i] == '-');
		int err = 0;
		make_url(host, cfg->port, url, sizeof url);
		v[n] = net_listen(server, url, &err);
		if (v[n]) {
			n++;
		} else if (!may_be_missing(cfg->bind[i], err)) {
			log_warning("Warning: Could not create server TCP listening socket %s:%d: bind: %s", host, cfg->port,
			            strerror(-err));
			close_all(v, n);
			return err;
		}
	}
	return n == 0 && cfg->bind_count && cfg->port ? -EADDRNOTAVAIL : n;
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

static void use(struct net_listener *const *v, int n)
{
	memcpy(tcp, v, sizeof tcp);
	tcp_count = n;
	if (open_for)
		config_unref(open_for);
	open_for = config_ref();
}

/* On another port the new listeners come first, so that clients always find one. On the same port the addresses may
 * overlap, so the old ones go first, and come back if the new ones fail. */
static bool change(const struct config *now, char **error)
{
	struct net_listener *fresh[MAX_LISTENERS] = { 0 };
	bool same_port = now->port == open_for->port;

	if (same_port)
		close_all(tcp, tcp_count);
	int n = open_tcp(now, fresh);
	if (n >= 0) {
		if (!same_port)
			close_all(tcp, tcp_count);
		use(fresh, n);
		return true;
	}
	if (same_port) {
		tcp_count = open_tcp(open_for, tcp);
		if (tcp_count < 0)
			tcp_count = 0;
	}
	*error = strdup(same_port ? "Failed to bind to specified addresses."
	                          : "Unable to listen on this port. Check server logs.");
	return false;
}

int listen_open(struct net_server *net, const struct config *cfg)
{
	struct net_listener *v[MAX_LISTENERS] = { 0 };

	server = net;
	int n = open_tcp(cfg, v);
	if (n < 0) {
		log_warning("Failed listening on port %d (tcp), aborting. Another server may use it: stop that one, or choose "
		            "another port or bind address.",
		            cfg->port);
		return n;
	}
	use(v, n);
	int err = *cfg->unixsocket ? open_unix(cfg) : 0;
	if (err)
		return err;
	if (!n && !*cfg->unixsocket) {
		log_warning("Configured to not listen anywhere, exiting. Set `port` and `bind`, or `unixsocket`.");
		return -EADDRNOTAVAIL;
	}
	config_on_change("port", change);
	config_on_change("bind", change);
	return 0;
}
