/* limit: an echo server that takes so many connections and no more. limit URL COUNT, for instance: limit tcp://:7004 100
 *
 * Who comes too late is told so and closed. To leave them waiting unaccepted instead, net_unlisten() at the limit. */
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "net/net.h"

static atomic_long open_now; /* on all loops */
static long limit;

static enum net_action on_open(struct net_conn *c)
{
	if (atomic_fetch_add(&open_now, 1) < limit) {
		net_conn_set_ctx(c, &open_now); /* it counts */
		return NET_NONE;
	}
	atomic_fetch_sub(&open_now, 1);
	net_write(c, "too many connections\n", 21);
	return NET_CLOSE; /* what was written goes out first */
}

static void on_close(struct net_conn *c, int reason)
{
	(void)reason;
	if (net_conn_ctx(c))
		atomic_fetch_sub(&open_now, 1);
}

static enum net_action on_data(struct net_conn *c)
{
	size_t len;
	const char *p = net_peek(c, &len);
	net_write_view(c, p, len);
	net_discard(c, len);
	return NET_NONE;
}

int main(int argc, char **argv)
{
	const struct net_events events = { .open = on_open, .data = on_data, .close = on_close };
	struct net_options o;
	int err;
	limit = argc > 2 ? strtol(argv[2], NULL, 10) : 100;
	net_options_init(&o);
	o.pause_on_high = true;
	struct net_server *s = net_server_new(&events, &o, &err);
	struct net_listener *l = s ? net_listen(s, argc > 1 ? argv[1] : "tcp://:7004", &err) : NULL;
	if (!l) {
		fprintf(stderr, "limit: %s\n", strerror(-err));
		return 1;
	}
	printf("%s\n", net_listener_addr(l));
	fflush(stdout);
	return net_server_start(s, true) ? 1 : 0;
}
