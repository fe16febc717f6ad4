/* accept: the beginning and the end of a client: limits, protected mode, the client struct. */
#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

#include "server/acl.h"
#include "server/config.h"
#include "server/log.h"
#include "server/server.h"
#include "server/worker.h"

static const char protected_text[] =
	"-DENIED Redis is running in protected mode because protected mode is enabled and no password is set for the "
	"default user. In this mode connections are only accepted from the loopback interface. If you want to connect "
	"from external computers to Redis you may adopt one of the following solutions: 1) Just disable protected mode "
	"sending the command 'CONFIG SET protected-mode no' from the loopback interface by connecting to Redis from the "
	"same host the server is running, however MAKE SURE Redis is not publicly accessible from internet if you do so. "
	"Use CONFIG REWRITE to make this change permanent. 2) Alternatively you can just disable the protected mode by "
	"editing the Redis configuration file, and setting the protected mode option to 'no', and then restarting the "
	"server. 3) If you started the server manually just for testing, restart it with the '--protected-mode no' "
	"option. 4) Set up an authentication password for the default user. NOTE: You only need to do one of the above "
	"things in order for the server to start accepting connections from the outside.\r\n";

/* Whether the peer is on this machine: a Unix socket or a loopback address. */
static bool is_local(const struct net_conn *conn, bool *unix_socket)
{
	char peer[128];
	net_conn_peer(conn, peer, sizeof peer);
	*unix_socket = peer[0] == '/' || peer[0] == '@';
	return *unix_socket || !strncmp(peer, "127.", 4) || !strncmp(peer, "[::1]", 5) ||
	       !strncmp(peer, "[::ffff:127.", 12);
}

static enum net_action refuse(struct worker *w, struct net_conn *conn, const char *text)
{
	stats_add(&w->stats->counter[STAT_REJECTED_CONNECTIONS], 1);
	net_write(conn, text, strlen(text));
	net_close(conn);
	return NET_NONE;
}

enum net_action accept_open(struct net_conn *conn)
{
	struct worker *w = worker_current;
	const struct config *cfg = config();
	bool unix_socket, local = is_local(conn, &unix_socket);
	if (client_count() >= (unsigned)cfg->maxclients)
		return refuse(w, conn, "-ERR max number of clients reached\r\n");
	if (cfg->protected_mode && acl_default()->flags & ACL_USER_NOPASS && !local)
		return refuse(w, conn, protected_text);
	worker_refresh_clock(w);
	struct client *c = client_new(conn, w->index, w->now_ms);
	if (!c)
		return NET_CLOSE;
	c->flags |= (local ? CLIENT_LOCAL : 0) | (unix_socket ? CLIENT_UNIX : 0);
	net_conn_set_ctx(conn, c);
	stats_add(&w->stats->counter[STAT_CONNECTIONS], 1);
	return NET_NONE;
}

void accept_close(struct net_conn *conn, int reason)
{
	struct client *c = net_conn_ctx(conn);
	(void)reason;
	net_conn_set_ctx(conn, NULL);
	client_free(c);
}

void accept_watermark(struct net_conn *conn, bool above)
{
	struct client *c = net_conn_ctx(conn);
	if (!above && c && (c->flags & CLIENT_YIELDED)) {
		c->flags &= ~(uint32_t)CLIENT_YIELDED;
		net_resume_read(conn);
		net_wake(conn);
	}
}
