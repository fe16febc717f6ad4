/*
 * floor: what a request costs before anybody looks at it. A loop of libshoalnet that answers +OK to every request it
 * counts; a request is known by its '*' and what follows: the load's arguments hold none, but XADD's whole one. Who sent
 * SUBSCRIBE gets a message of 64 bytes for each PUBLISH of anybody, by a bare send() (with one loop only): what no server
 * can do without.
 *
 *   floor PORT [LOOPS]
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "net/net.h"

#define SUBSCRIBERS 4096
#define AT_ONCE 64
#define HEAD "*3\r\n$7\r\nmessage\r\n$7\r\nchannel\r\n$64\r\n"
#define MESSAGE_LEN (sizeof HEAD - 1 + 64 + 2)

static int subscribers[SUBSCRIBERS];
static unsigned subscriber_count;
static char messages[AT_ONCE * MESSAGE_LEN];

static void make_messages(void)
{
	memset(messages, 'x', sizeof messages);
	for (char *p = messages; p < messages + sizeof messages; p += MESSAGE_LEN) {
		memcpy(p, HEAD, sizeof HEAD - 1);
		memcpy(p + MESSAGE_LEN - 2, "\r\n", 2);
	}
}

/* The same n messages to all. What a socket does not take is missing, and the load waits for it for ever. */
static void fan_out(size_t n)
{
	for (unsigned i = 0; i < subscriber_count; i++)
		send(subscribers[i], messages, (n < AT_ONCE ? n : AT_ONCE) * MESSAGE_LEN, MSG_NOSIGNAL);
}

/* Each run of the load has subscribers of its own. */
static void on_close(struct net_conn *c, int reason)
{
	(void)reason;
	for (unsigned i = 0; i < subscriber_count; i++) {
		if (subscribers[i] == net_conn_fd(c)) {
			subscribers[i] = subscribers[--subscriber_count];
			return;
		}
	}
}

static enum net_action on_data(struct net_conn *c)
{
	size_t len, n = 0;
	const char *p = net_peek(c, &len);
	char *cur, *end;

	for (size_t i = 0; i + 1 < len; i++)
		n += p[i] == '*' && p[i + 1] != '\r';
	if (len > 13 && !memcmp(p + 8, "SUBSC", 5) && subscriber_count < SUBSCRIBERS)
		subscribers[subscriber_count++] = net_conn_fd(c);
	else if (len > 13 && !memcmp(p + 8, "PUBLI", 5))
		fan_out(n);
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
	const struct net_events events = { .data = on_data, .close = on_close };
	struct net_options o;
	struct net_server *s;
	char url[64];
	int err = 0;

	if (argc < 2)
		return 2;
	make_messages();
	net_options_init(&o);
	o.gather_us = 100; /* as shoal-server */
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
