/* proactor_push: tells every client the time, ten times a second; who is slow misses some. proactor_push [URL] */
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "net/proactor.h"

#define EVERY_MS 100
#define PATIENCE_MS 5000 /* for a client that takes nothing */

struct client {
	struct client *next, **prev;
	net_proactor_conn conn;
	int under_way; /* operations: when it is none, the client may be freed */
	bool writing, gone;
	char text[32]; /* belongs to the write while there is one */
};

static struct net_proactor *p;
static struct client *clients;

static int64_t now_ms(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static void leave(struct client *c)
{
	if (!c->gone)
		net_proactor_release(p, c->conn); /* what is under way ends now, with a result each */
	c->gone = true;
	if (c->under_way)
		return;
	*c->prev = c->next;
	if (c->next)
		c->next->prev = c->prev;
	free(c);
}

static void enter(net_proactor_conn conn)
{
	struct client *c = calloc(1, sizeof *c);
	if (!c) {
		net_proactor_release(p, conn);
		return;
	}
	c->conn = conn;
	c->next = clients;
	c->prev = &clients;
	if (c->next)
		c->next->prev = &c->next;
	clients = c;
	c->under_way += net_proactor_read(p, conn, NULL, 0, -1, c) == 0; /* to hear of its end */
	if (!c->under_way)
		leave(c);
}

static void push(int64_t now)
{
	for (struct client *c = clients; c; c = c->next) {
		if (c->writing || c->gone)
			continue;
		int n = snprintf(c->text, sizeof c->text, "%lld\n", (long long)now);
		c->writing = net_proactor_write(p, c->conn, c->text, (size_t)n, PATIENCE_MS, c) == 0;
		c->under_way += c->writing;
	}
}

static void take(const struct net_result *r)
{
	struct client *c = r->ctx;
	if (r->what == NET_OP_ACCEPT) {
		if (!r->err)
			enter(r->accepted);
		net_proactor_accept(p, r->conn, -1, NULL);
		return;
	}
	c->under_way--;
	if (r->what == NET_OP_WRITE)
		c->writing = false;
	else if (!r->err && !r->ended)
		c->under_way += net_proactor_read(p, c->conn, NULL, 0, -1, c) == 0;
	if (r->err || r->ended || c->gone)
		leave(c);
}

int main(int argc, char **argv)
{
	struct net_result r[64];
	net_proactor_conn listener;
	int port = 0, err = 0;
	p = net_proactor_new(NULL, &err);
	if (p)
		err = net_proactor_listen(p, argc > 1 ? argv[1] : "tcp://:7001", &listener, &port);
	if (err || net_proactor_accept(p, listener, -1, NULL)) {
		fprintf(stderr, "proactor_push: %s\n", strerror(-err));
		return 1;
	}
	printf("port:%d\n", port);
	fflush(stdout);
	for (int64_t due = now_ms();;) {
		int64_t now = now_ms();
		if (now >= due) {
			push(now);
			due = now + EVERY_MS;
		}
		int n = net_proactor_wait(p, r, 64, due - now);
		for (int i = 0; i < n; i++)
			take(&r[i]);
	}
}
