/* client: stays connected to a server, whatever happens. client URL [CA], for instance: client tcp://localhost:7000
 *
 * Sends a numbered line, waits for a line, sends the next; with CA, over TLS, with certificates that CA signed. When it
 * cannot connect, when the connection ends or no answer comes for 5 seconds, it tries again, at first at once, then after
 * longer and longer pauses. Nothing here ever blocks: names are resolved on a thread of their own. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "net/codec.h"
#include "net/tls.h"

#define LONGEST_PAUSE_MS 10000

static const char *url;
static struct net_tls *tls;
static struct net_timer again;
static int64_t pause_ms;
static unsigned long number;

static void dial(struct net_loop *l, struct net_timer *t);

static void dial_later(struct net_loop *l)
{
	net_timer_set(l, &again, pause_ms);
	pause_ms = pause_ms ? 2 * pause_ms : 10;
	pause_ms = pause_ms < LONGEST_PAUSE_MS ? pause_ms : LONGEST_PAUSE_MS;
}

static void ask(struct net_conn *c)
{
	char text[32];
	int n = snprintf(text, sizeof text, "line %lu", ++number);
	net_write_message(c, text, (size_t)n, 0);
	net_set_read_deadline(c, 5000);
}

/* Runs once for each attempt: with the connection, or without and with the reason. */
static void on_dialled(void *ctx, struct net_conn *c, int err)
{
	char peer[64];
	struct net_loop *l = ctx;
	if (!c) {
		fprintf(stderr, "%s: %s\n", url, strerror(-err));
		dial_later(l);
		return;
	}
	net_conn_peer(c, peer, sizeof peer);
	printf("%s\n", peer);
	fflush(stdout);
	net_set_codec(c, net_line_codec(), NULL);
	ask(c);
}

static void dial(struct net_loop *l, struct net_timer *t)
{
	(void)t;
	struct net_dial d = { .url = url, .timeout_ms = 3000, .done = on_dialled, .ctx = l };
	if (tls) {
		d.transport = net_tls_transport();
		d.transport_ctx = tls;
	}
	int err = net_dial(l, &d);
	if (err == -EINVAL)
		net_server_stop(net_loop_server(l), 0);
	else if (err)
		dial_later(l);
}

static enum net_action on_message(struct net_conn *c, const struct net_message *m)
{
	(void)m;
	pause_ms = 0; /* it works: after a failure the next attempt is made at once */
	ask(c);
	return NET_NONE;
}

static void on_close(struct net_conn *c, int reason)
{
	if (reason != NET_BY_STOP)
		dial_later(net_conn_loop(c));
}

static void on_start(struct net_loop *l)
{
	net_timer_init(&again, dial);
	dial(l, &again);
}

int main(int argc, char **argv)
{
	const struct net_events events = { .loop_start = on_start, .message = on_message, .close = on_close };
	struct net_options o;
	int err = 0;
	url = argc > 1 ? argv[1] : "tcp://localhost:7000";
	tls = argc > 2 ? net_tls_client(argv[2], true, &err) : NULL;
	net_options_init(&o);
	o.loops = 1;
	struct net_server *s = err ? NULL : net_server_new(&events, &o, &err);
	if (!s) {
		fprintf(stderr, "client: %s\n", strerror(-err));
		return 1;
	}
	return net_server_start(s, true) ? 1 : 0;
}
