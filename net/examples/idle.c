/* idle: an echo server that closes connections on which nothing happens. idle URL MS, for instance: idle tcp://:7005 5000
 *
 * Each connection has its own time: the line "stay" lifts the limit for one, "leave" gives it a second in all, whatever it
 * sends meanwhile. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "net/codec.h"

static const struct net_line lines = { .max = 1000 };

static enum net_action on_message(struct net_conn *c, const struct net_message *m)
{
	if (m->len == 4 && !memcmp(m->bytes, "stay", 4))
		net_set_idle_timeout(c, 0);
	if (m->len == 5 && !memcmp(m->bytes, "leave", 5))
		net_set_read_deadline(c, 1000);
	net_write_message(c, m->bytes, m->len, 0);
	return NET_NONE;
}

static void on_close(struct net_conn *c, int reason)
{
	char peer[64];
	net_conn_peer(c, peer, sizeof peer);
	if (reason == NET_BY_TIMEOUT)
		fprintf(stderr, "%s: timeout\n", peer);
}

int main(int argc, char **argv)
{
	const struct net_events events = { .message = on_message, .close = on_close };
	struct net_options o;
	int err;
	net_options_init(&o);
	o.idle_timeout_ms = argc > 2 ? (int)strtol(argv[2], NULL, 10) : 5000;
	struct net_server *s = net_server_new(&events, &o, &err);
	struct net_listener *l = s ? net_listen(s, argc > 1 ? argv[1] : "tcp://:7005", &err) : NULL;
	if (!l) {
		fprintf(stderr, "idle: %s\n", strerror(-err));
		return 1;
	}
	net_listener_set_codec(l, net_line_codec(), &lines);
	printf("%s\n", net_listener_addr(l));
	fflush(stdout);
	return net_server_start(s, true) ? 1 : 0;
}
