/*
 * floor: what a request costs before anybody looks at it. A loop of libshoalnet that answers +OK to every request it
 * counts; a request is known by its '*', which the load's keys and values do not hold.
 *
 *   floor PORT [LOOPS]
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "net/net.h"

static enum net_action on_data(struct net_conn *c)
{
	size_t len, n = 0;
	const char *p = net_peek(c, &len);
	char *cur, *end;

	for (size_t i = 0; i < len; i++)
		n += p[i] == '*';
	net_discard(c, len);
	if (n && net_out_begin(c, n * 5, &cur, &end) == 0) {
		for (; n; n--, cur += 5)
			memcpy(cur, "+OK\r\n", 5);
		net_out_end(c, cur);
	}
	return NET_NONE;
}

int main(int argc, char **argv)
{
	const struct net_events events = { .data = on_data };
	struct net_options o;
	struct net_server *s;
	char url[64];
	int err = 0;

	if (argc < 2)
		return 2;
	net_options_init(&o);
	o.gather_us = 25; /* as shoal-server */
	o.loops = argc > 2 ? (int)strtol(argv[2], NULL, 10) : 1;
	s = net_server_new(&events, &o, &err);
	snprintf(url, sizeof(url), "tcp4://127.0.0.1:%s", argv[1]);
	if (!s || !net_listen(s, url, &err)) {
		fprintf(stderr, "floor: %s\n", strerror(-err));
		return 1;
	}
	err = net_server_start(s, true);
	net_server_wait(s);
	net_server_free(s);
	return err != 0;
}
