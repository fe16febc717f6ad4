/* push: tells every client the time, ten times a second. push URL */
#include <stdio.h>
#include <string.h>

#include "net/net.h"

static int64_t on_tick(struct net_loop *l)
{
	char text[64];
	int n = snprintf(text, sizeof text, "%lld\n", (long long)net_loop_now_ms(l));
	for (struct net_conn *c = net_conn_next(l, NULL); c; c = net_conn_next(l, c))
		net_write(c, text, (size_t)n);
	return 100;
}

static enum net_action on_data(struct net_conn *c)
{
	size_t len;
	net_peek(c, &len);
	net_discard(c, len);
	return NET_NONE;
}

int main(int argc, char **argv)
{
	const struct net_events events = { .data = on_data, .tick = on_tick };
	struct net_options o;
	int err;
	net_options_init(&o);
	o.output_limit = 64 << 10; /* who does not read is dropped */
	struct net_server *s = net_server_new(&events, &o, &err);
	struct net_listener *l = s ? net_listen(s, argc > 1 ? argv[1] : "tcp://:7001", &err) : NULL;
	if (!l) {
		fprintf(stderr, "push: %s\n", strerror(-err));
		return 1;
	}
	printf("%s\n", net_listener_addr(l));
	fflush(stdout);
	return net_server_start(s, true) ? 1 : 0;
}
