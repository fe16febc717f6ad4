/* monitor: see monitor.h. */
#include "server/monitor.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "net/net.h"
#include "server/call.h"
#include "server/client.h"
#include "server/clock.h"
#include "server/config.h"
#include "server/push.h"
#include "server/redact.h"
#include "server/server.h"
#include "server/worker.h"

/* The monitoring clients of one loop; n is read by the others too. */
struct watchers {
	_Alignas(64) unsigned n;
	unsigned cap;
	struct client **v;
};

struct line {
	struct net_msg msg;
	size_t len;
	char bytes[];
};

unsigned monitors_on;
static struct watchers *watchers;
static unsigned loops;

int monitor_init(unsigned n)
{
	loops = n;
	watchers = aligned_alloc(64, n * sizeof *watchers);
	if (watchers)
		memset(watchers, 0, n * sizeof *watchers);
	return watchers ? 0 : -ENOMEM;
}

void monitor_free(void)
{
	for (unsigned i = 0; watchers && i < loops; i++)
		free(watchers[i].v);
	free(watchers);
	watchers = NULL;
}

bool monitor_join(struct client *c)
{
	struct watchers *w = &watchers[c->loop];
	if (c->flags & CLIENT_MONITOR)
		return true;
	if (w->n == w->cap) {
		unsigned cap = w->cap ? w->cap * 2 : 4;
		struct client **v = realloc(w->v, cap * sizeof *v);
		if (!v)
			return false;
		w->v = v;
		w->cap = cap;
	}
	w->v[w->n] = c;
	__atomic_store_n(&w->n, w->n + 1, __ATOMIC_RELAXED);
	__atomic_fetch_add(&monitors_on, 1, __ATOMIC_RELAXED);
	c->flags |= CLIENT_MONITOR;
	return true;
}

void monitor_leave(struct client *c)
{
	if (!(c->flags & CLIENT_MONITOR))
		return;
	struct watchers *w = &watchers[c->loop];
	for (unsigned i = 0; i < w->n; i++) {
		if (w->v[i] != c)
			continue;
		w->v[i] = w->v[w->n - 1];
		__atomic_store_n(&w->n, w->n - 1, __ATOMIC_RELAXED);
		__atomic_fetch_sub(&monitors_on, 1, __ATOMIC_RELAXED);
		break;
	}
	c->flags &= ~(uint32_t)CLIENT_MONITOR;
}

/* ------------------------------------------------------------------ feeding */

/* The letter that stands for the byte behind a backslash, or 0. */
static char escape(unsigned char ch)
{
	switch (ch) {
	case '\n':
		return 'n';
	case '\r':
		return 'r';
	case '\t':
		return 't';
	case '\a':
		return 'a';
	case '\b':
		return 'b';
	case '\\':
	case '"':
		return (char)ch;
	}
	return 0;
}

/* Bytes in quotes, what cannot be printed escaped: at most 4 for each, and the quotes. */
static char *quote(char *to, const struct arg *a)
{
	static const char hex[] = "0123456789abcdef";
	*to++ = '"';
	for (size_t i = 0; i < a->len; i++) {
		unsigned char ch = (unsigned char)a->ptr[i];
		char letter = escape(ch);
		if (letter || ch < ' ' || ch > 126)
			*to++ = '\\';
		if (letter || (ch >= ' ' && ch <= 126)) {
			*to++ = letter ? letter : (char)ch;
		} else {
			*to++ = 'x';
			*to++ = hex[ch >> 4];
			*to++ = hex[ch & 15];
		}
	}
	*to++ = '"';
	return to;
}

static void source(const struct client *c, char *buf, size_t size)
{
	if (c->flags & CLIENT_INTERNAL)
		snprintf(buf, size, "lua");
	else if (c->flags & CLIENT_UNIX)
		snprintf(buf, size, "unix:%s", config()->unixsocket);
	else
		client_peer(c, buf, size);
}

static struct line *line_new(const struct call *c)
{
	size_t room = 256;
	char from[160];
	for (unsigned i = 0; i < c->argc; i++)
		room += 4 * c->argv[i].len + 16;
	struct line *l = malloc(sizeof *l + room);
	if (!l)
		return NULL;
	source(c->client, from, sizeof from);
	int64_t us = clock_wall_us();
	char *p = l->bytes + snprintf(l->bytes, 240, "+%lld.%06lld [%u %s]", (long long)(us / 1000000),
	                              (long long)(us % 1000000), c->client->db, from);
	for (unsigned i = 0; i < c->argc; i++) {
		struct arg a = redact_arg(c->cmd, c->argv, i);
		*p++ = ' ';
		p = quote(p, &a);
	}
	*p++ = '\r';
	*p++ = '\n';
	l->len = (size_t)(p - l->bytes);
	l->msg = (struct net_msg){ 0 };
	return l;
}

static void deliver(struct net_loop *loop, struct net_msg *m)
{
	struct line *l = (struct line *)m;
	const struct watchers *w = &watchers[net_loop_index(loop)];
	for (unsigned i = 0; i < w->n; i++) {
		if (!(w->v[i]->flags & (CLIENT_CLOSE_ASAP | CLIENT_CLOSE_AFTER_REPLY | CLIENT_REPLY_OFF)))
			push_to(w->v[i], l->bytes, l->len);
	}
	free(l);
}

/* For the client whose command is under way, too. */
static _Thread_local bool own_posted;

void monitor_after_command(void)
{
	struct worker *w = worker_current;
	if (!own_posted || w->restricted)
		return;
	own_posted = false;
	net_loop_run_posted(w->net, deliver);
}

static void expect_own(void)
{
	struct worker *w = worker_current;
	if (!w || !w->executing || !(w->executing->flags & CLIENT_MONITOR))
		return;
	own_posted = true;
	w->output_grew = true; /* monitor_after_command() is called */
}

void monitor_feed(struct call *c)
{
	if (!c->cmd || (c->cmd->flags & (CMD_SKIP_MONITOR | CMD_ADMIN)))
		return;
	struct line *made = line_new(c);
	if (!made)
		return;
	net_post_hold();
	for (unsigned i = 0; i < loops; i++) {
		if (!__atomic_load_n(&watchers[i].n, __ATOMIC_RELAXED))
			continue;
		struct line *l = malloc(sizeof *l + made->len);
		if (!l)
			continue;
		memcpy(l, made, sizeof *l + made->len);
		l->msg = (struct net_msg){ .run = deliver, .bytes = l->len };
		net_post(net_server_loop(server_net(), (int)i), &l->msg);
	}
	net_post_release();
	free(made);
	expect_own();
}
