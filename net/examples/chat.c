/* chat: lines of text to everybody. chat URL..., for instance: chat tcp://:7002 unix:///tmp/chat.sock; then: nc host 7002
 *
 * The first line is one's name, /who lists those on the same loop, /quit leaves. A connection belongs to one loop, so what
 * somebody says is posted to every loop, and each passes it on to its own. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "net/codec.h"

#define NAME_MAX_LEN 20

static const struct net_line lines = { .max = 400, .crlf = true };

struct news {
	struct net_msg msg; /* first: the library hands it back */
	net_conn_id from;
	int len;
	char text[500];
};

static void pass_on(struct net_loop *l, struct net_msg *m)
{
	struct news *n = (struct news *)m;
	for (struct net_conn *c = net_conn_next(l, NULL); c; c = net_conn_next(l, c)) {
		if (net_conn_ctx(c) && net_conn_id_of(c) != n->from)
			net_write_message(c, n->text, (size_t)n->len, 0);
	}
	free(n);
}

/* Tell everybody but c. */
static void tell_all(struct net_conn *c, const char *between, const char *text, size_t len)
{
	struct net_server *s = net_loop_server(net_conn_loop(c));
	for (int i = 0; i < net_server_loops(s); i++) {
		struct news *n = calloc(1, sizeof *n);
		if (!n)
			return;
		n->msg.run = pass_on;
		n->from = net_conn_id_of(c);
		n->len = snprintf(n->text, sizeof n->text, "%s%s%.*s", (char *)net_conn_ctx(c), between, (int)len, text);
		net_post(net_server_loop(s, i), &n->msg);
	}
}

static void say(struct net_conn *c, const char *text)
{
	net_write_message(c, text, strlen(text), 0);
}

static void enter(struct net_conn *c, const struct net_message *m)
{
	char *name = m->len && m->len <= NAME_MAX_LEN ? strndup(m->bytes, m->len) : NULL;
	if (!name) {
		say(c, "* a name has 1 to 20 bytes");
		return;
	}
	net_conn_set_ctx(c, name);
	say(c, "* welcome");
	tell_all(c, " came in", "", 0);
}

static bool is(const struct net_message *m, const char *command)
{
	return m->len == strlen(command) && !memcmp(m->bytes, command, m->len);
}

static enum net_action on_open(struct net_conn *c)
{
	say(c, "* your name?");
	return NET_NONE;
}

static enum net_action on_message(struct net_conn *c, const struct net_message *m)
{
	struct net_loop *l = net_conn_loop(c);
	if (is(m, "/quit"))
		return NET_CLOSE;
	if (!net_conn_ctx(c)) {
		enter(c, m);
	} else if (is(m, "/who")) {
		for (struct net_conn *o = net_conn_next(l, NULL); o; o = net_conn_next(l, o)) {
			if (net_conn_ctx(o))
				say(c, net_conn_ctx(o));
		}
	} else {
		tell_all(c, ": ", m->bytes, m->len);
	}
	return NET_NONE;
}

static void on_refuse(struct net_conn *c, int err, const char *text)
{
	(void)err;
	say(c, text); /* "line too long"; then the connection closes */
}

static void on_close(struct net_conn *c, int reason)
{
	(void)reason;
	if (net_conn_ctx(c))
		tell_all(c, " went away", "", 0);
	free(net_conn_ctx(c));
	net_conn_set_ctx(c, NULL);
}

int main(int argc, char **argv)
{
	const struct net_events events = { .open = on_open, .message = on_message, .refuse = on_refuse, .close = on_close };
	struct net_options o;
	int err;
	net_options_init(&o);
	o.output_limit = 256 << 10; /* who does not read is dropped */
	struct net_server *s = net_server_new(&events, &o, &err);
	for (int i = 1; s && i < argc; i++) {
		struct net_listener *l = net_listen(s, argv[i], &err);
		if (!l) {
			fprintf(stderr, "%s: %s\n", argv[i], strerror(-err));
			return 1;
		}
		net_listener_set_codec(l, net_line_codec(), &lines);
		printf("%s\n", net_listener_addr(l));
	}
	fflush(stdout);
	return !s || net_server_start(s, true) ? 1 : 0;
}
