/* echo: sends back what comes in. echo URL..., for instance: echo tcp://:7000 unix:///tmp/echo.sock udp://:7000 */
#include <stdio.h>
#include <string.h>

#include "net/net.h"

static enum net_action on_data(struct net_conn *c)
{
	size_t len;
	const char *p = net_peek(c, &len);
	net_write_view(c, p, len);
	net_discard(c, len);
	return NET_NONE;
}

static void on_packet(struct net_loop *l, const struct net_packet *p)
{
	net_send_to(l, p->listener, p->bytes, p->len, p->peer, p->peer_len);
}

int main(int argc, char **argv)
{
	const struct net_events events = { .data = on_data, .packet = on_packet };
	struct net_options o;
	int err;
	net_options_init(&o);
	o.pause_on_high = true; /* a client that does not read is not read from */
	struct net_server *s = net_server_new(&events, &o, &err);
	for (int i = 1; s && i < argc; i++) {
		struct net_listener *l = net_listen(s, argv[i], &err);
		if (!l) {
			fprintf(stderr, "%s: %s\n", argv[i], strerror(-err));
			return 1;
		}
		printf("%s\n", net_listener_addr(l));
	}
	fflush(stdout);
	return !s || net_server_start(s, true) ? 1 : 0;
}
