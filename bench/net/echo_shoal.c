/* echo_shoal: the echo server on libshoalnet. echo_shoal PORT [LOOPS] [epoll|edge|poll|uring] [GATHER_US] */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "net/net.h"

static enum net_action on_data(struct net_conn *c)
{
	size_t len;
	const char *p = net_peek(c, &len);
	net_discard(c, len);
	net_write_view(c, p, len);
	return NET_NONE;
}

int main(int argc, char **argv)
{
	const struct net_events events = { .data = on_data };
	struct net_options o;
	char url[64];
	int err = 0;
	const char *how = argc > 3 ? argv[3] : "epoll";
	net_options_init(&o);
	o.loops = argc > 2 ? (int)strtol(argv[2], NULL, 10) : 1;
	o.edge_triggered = !strcmp(how, "edge");
	o.backlog = 4096;
	o.gather_us = argc > 4 ? (int)strtol(argv[4], NULL, 10) : 0;
	o.backend = !strcmp(how, "poll") ? NET_BACKEND_POLL : !strcmp(how, "uring") ? NET_BACKEND_URING : NET_BACKEND_EPOLL;
	struct net_server *s = net_server_new(&events, &o, &err);
	snprintf(url, sizeof url, "tcp4://0.0.0.0:%s", argc > 1 ? argv[1] : "0");
	if (!s || !net_listen(s, url, &err)) {
		fprintf(stderr, "echo_shoal: %s\n", strerror(-err));
		return 1;
	}
	err = net_server_start(s, true);
	net_server_wait(s);
	net_server_free(s);
	return err != 0;
}
