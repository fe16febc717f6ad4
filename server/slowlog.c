/* slowlog: see slowlog.h. */
#include "server/slowlog.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include "server/call.h"
#include "server/client.h"
#include "server/config.h"
#include "server/redact.h"

#define ARGS_MAX 32
#define ARG_BYTES 128

struct slow {
	struct slow *next;
	uint64_t id;
	int64_t at_s, took_us;
	char peer[64], name[64];
	unsigned argc;
	struct arg argv[]; /* their bytes follow */
};

static struct {
	pthread_mutex_t lock;
	struct slow *newest;
	uint64_t n, next_id;
} slowlog = { .lock = PTHREAD_MUTEX_INITIALIZER };

/* The i-th of `shown` arguments, shortened into buf where it is long. */
static struct arg shorten(const struct call *c, unsigned i, unsigned shown, char buf[static ARG_BYTES + 64])
{
	struct arg a = redact_arg(c->cmd, c->argv, i);
	if (shown < c->argc && i == shown - 1) {
		a.ptr = buf;
		a.len = (size_t)snprintf(buf, ARG_BYTES + 64, "... (%u more arguments)", c->argc - shown + 1);
	} else if (a.len > ARG_BYTES) {
		memcpy(buf, a.ptr, ARG_BYTES);
		a.len = ARG_BYTES + (size_t)snprintf(buf + ARG_BYTES, 64, "... (%zu more bytes)", a.len - ARG_BYTES);
		a.ptr = buf;
	}
	return a;
}

static struct slow *slow_new(const struct call *c)
{
	unsigned shown = c->argc > ARGS_MAX ? ARGS_MAX : c->argc;
	char buf[ARG_BYTES + 64];
	size_t bytes = 0;
	for (unsigned i = 0; i < shown; i++)
		bytes += shorten(c, i, shown, buf).len;
	struct slow *s = malloc(sizeof *s + shown * sizeof *s->argv + bytes);
	if (!s)
		return NULL;
	*s = (struct slow){ .argc = shown };
	char *to = (char *)&s->argv[shown];
	for (unsigned i = 0; i < shown; i++) {
		struct arg a = shorten(c, i, shown, buf);
		s->argv[i] = (struct arg){ memcpy(to, a.ptr, a.len), a.len };
		to += a.len;
	}
	if (c->client->conn)
		client_peer(c->client, s->peer, sizeof s->peer);
	if (c->client->extra && c->client->extra->name)
		snprintf(s->name, sizeof s->name, "%s", c->client->extra->name);
	return s;
}

/* Keep the newest `keep`. */
static void trim(uint64_t keep)
{
	struct slow **link = &slowlog.newest;
	for (uint64_t i = 0; i < keep && *link; i++)
		link = &(*link)->next;
	while (*link) {
		struct slow *s = *link;
		*link = s->next;
		free(s);
		slowlog.n--;
	}
}

void slowlog_add(struct call *c, int64_t took_us)
{
	struct slow *s = slow_new(c);
	if (!s)
		return;
	s->at_s = c->op.now_ms / 1000;
	s->took_us = took_us;
	pthread_mutex_lock(&slowlog.lock);
	s->id = slowlog.next_id++;
	s->next = slowlog.newest;
	slowlog.newest = s;
	slowlog.n++;
	trim((uint64_t)config()->slowlog_max_len);
	pthread_mutex_unlock(&slowlog.lock);
}

void slowlog_reply(struct reply *r, int64_t n)
{
	pthread_mutex_lock(&slowlog.lock);
	uint64_t count = n < 0 || (uint64_t)n > slowlog.n ? slowlog.n : (uint64_t)n;
	reply_array(r, count);
	const struct slow *s = slowlog.newest;
	for (uint64_t i = 0; i < count; i++, s = s->next) {
		reply_array(r, 6);
		reply_int(r, (int64_t)s->id);
		reply_int(r, s->at_s);
		reply_int(r, s->took_us);
		reply_array(r, s->argc);
		for (unsigned k = 0; k < s->argc; k++)
			reply_bulk(r, s->argv[k].ptr, s->argv[k].len);
		reply_cstr(r, s->peer);
		reply_cstr(r, s->name);
	}
	pthread_mutex_unlock(&slowlog.lock);
}

uint64_t slowlog_len(void)
{
	pthread_mutex_lock(&slowlog.lock);
	uint64_t n = slowlog.n;
	pthread_mutex_unlock(&slowlog.lock);
	return n;
}

void slowlog_clear(void)
{
	pthread_mutex_lock(&slowlog.lock);
	trim(0);
	pthread_mutex_unlock(&slowlog.lock);
}
