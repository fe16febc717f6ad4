/* proxy: passes connections on to another address; a slow reader slows its writer down. proxy LISTEN-URL TARGET-URL */
#include <stdio.h>
#include <string.h>

#include "net/net.h"

static const char *target;

/* Each side's context is the other side. Both live on the same loop. */
static void on_dialled(void *ctx, struct net_conn *c, int err)
{
	struct net_loop *l = net_loop_current();
	struct net_conn *client = net_conn_find(l, (net_conn_id)(uintptr_t)ctx);
	if (!client) { /* it has left meanwhile */
		if (c)
			net_close(c);
		return;
	}
	if (err) {
		net_close(client);
		return;
	}
	net_conn_set_ctx(c, client);
	net_conn_set_ctx(client, c);
	net_resume_read(client);
}

static enum net_action on_open(struct net_conn *c)
{
	if (net_conn_tag(c) == 1) /* the side that was dialled */
		return NET_NONE;
	struct net_dial d = { .url = target, .tag = 1, .done = on_dialled, .ctx = (void *)(uintptr_t)net_conn_id_of(c) };
	net_pause_read(c); /* until there is somewhere to send it */
	return net_dial(net_conn_loop(c), &d) ? NET_CLOSE : NET_NONE;
}

static enum net_action on_data(struct net_conn *c)
{
	size_t len;
	const char *p = net_peek(c, &len);
	struct net_conn *other = net_conn_ctx(c);
	if (!other)
		return NET_CLOSE;
	net_write_view(other, p, len);
	net_discard(c, len);
	return NET_NONE;
}

static void on_watermark(struct net_conn *c, bool above)
{
	struct net_conn *other = net_conn_ctx(c);
	if (other)
		(above ? net_pause_read : net_resume_read)(other);
}

static void on_close(struct net_conn *c, int reason)
{
	struct net_conn *other = net_conn_ctx(c);
	(void)reason;
	if (other) {
		net_conn_set_ctx(other, NULL);
		net_close(other);
	}
}

int main(int argc, char **argv)
{
	const struct net_events events = { .open = on_open, .data = on_data, .watermark = on_watermark, .close = on_close };
	struct net_options o;
	int err;
	if (argc < 3)
		return 2;
	target = argv[2];
	net_options_init(&o);
	struct net_server *s = net_server_new(&events, &o, &err);
	struct net_listener *l = s ? net_listen(s, argv[1], &err) : NULL;
	if (!l) {
		fprintf(stderr, "proxy: %s\n", strerror(-err));
		return 1;
	}
	printf("%s\n", net_listener_addr(l));
	fflush(stdout);
	return net_server_start(s, true) ? 1 : 0;
}
