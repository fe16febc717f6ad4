/* ws_echo: sends WebSocket messages back. ws_echo URL [CERT KEY], for instance: ws_echo tcp://:7003; then, in a browser's
 * console: s = new WebSocket("ws://localhost:7003/"); s.onmessage = e => console.log(e.data); s.send("hello")
 *
 * With a certificate and its key it is wss. The target /time?s=5 makes it send a ping every 5 seconds of its own. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "net/tls.h"
#include "net/websocket.h"

struct pinger {
	struct net_timer timer; /* first */
	net_conn_id id;
	int64_t every_ms;
};

static void ping(struct net_loop *l, struct net_timer *t)
{
	struct pinger *p = (struct pinger *)t;
	struct net_conn *c = net_conn_find(l, p->id);
	if (c && !net_write_message(c, "still there?", 12, NET_WS_PING))
		net_timer_set(l, t, p->every_ms);
}

static void opened(struct net_conn *c, const struct net_message *m)
{
	char target[32];
	struct pinger *p;
	snprintf(target, sizeof target, "%.*s", (int)m->len, m->bytes);
	if (strncmp(target, "/time?s=", 8) || !(p = calloc(1, sizeof *p)))
		return;
	p->id = net_conn_id_of(c);
	p->every_ms = 1000 * (strtol(target + 8, NULL, 10) % 3600);
	p->every_ms = p->every_ms > 0 ? p->every_ms : 1000;
	net_conn_set_ctx(c, p);
	net_timer_init(&p->timer, ping);
	net_timer_set(net_conn_loop(c), &p->timer, p->every_ms);
}

static enum net_action on_message(struct net_conn *c, const struct net_message *m)
{
	if (m->type == NET_WS_OPEN)
		opened(c, m);
	else if (m->type == NET_WS_TEXT || m->type == NET_WS_BINARY)
		net_write_message(c, m->bytes, m->len, m->type);
	return NET_NONE;
}

static void on_close(struct net_conn *c, int reason)
{
	struct pinger *p = net_conn_ctx(c);
	(void)reason;
	if (p)
		net_timer_clear(net_conn_loop(c), &p->timer);
	free(p);
}

/* Only this target is known, and the one below it. */
static int on_request(void *user, const struct net_ws_request *r)
{
	(void)user;
	bool known = (r->target_len == 1 && *r->target == '/') || (r->target_len >= 5 && !memcmp(r->target, "/time", 5));
	return known ? 0 : 404;
}

int main(int argc, char **argv)
{
	static const struct net_ws settings = { .max_message = 16 << 20, .accept = on_request, .protocols = "echo" };
	const struct net_events events = { .message = on_message, .close = on_close };
	struct net_options o;
	int err = 0;
	net_options_init(&o);
	o.pause_on_high = true;
	o.idle_timeout_ms = 3600 * 1000;
	struct net_tls *tls = argc > 3 ? net_tls_server(argv[2], argv[3], &err) : NULL;
	struct net_server *s = err ? NULL : net_server_new(&events, &o, &err);
	struct net_listener *l = s ? net_listen(s, argc > 1 ? argv[1] : "tcp://:7003", &err) : NULL;
	if (!l) {
		fprintf(stderr, "ws_echo: %s\n", strerror(-err));
		return 1;
	}
	if (tls)
		net_listener_set_transport(l, net_tls_transport(), tls);
	net_listener_set_codec(l, net_ws_server_codec(), &settings);
	printf("%s\n", net_listener_addr(l));
	fflush(stdout);
	return net_server_start(s, true) ? 1 : 0;
}
