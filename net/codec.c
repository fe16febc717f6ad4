/* codec: drives a connection's codec: bytes to message(), messages to bytes. */
#include <assert.h>
#include <errno.h>
#include <string.h>

#include "net/internal.h"

#define CONN_STILL (CONN_PAUSED | CONN_HIGH_PAUSE | CONN_LEAVING) /* message() is not called */

/* ------------------------------------------------------------------ putting it on */

void codec_free(struct extra *x)
{
	if (x->codec && x->codec->free_state)
		x->codec->free_state(x->codec_state);
	x->codec = NULL;
	x->codec_state = NULL;
	x->codec_seen = 0;
}

static void reply(struct net_conn *c, const struct net_step *s)
{
	int err = s->reply_len ? net_write(c, s->reply, s->reply_len) : 0;
	if (err && err != -EPIPE)
		net_close_now(c, -err);
}

int codec_start(struct net_conn *c)
{
	struct extra *x = c->extra;
	struct net_step s = { 0 };
	if (!x || !x->codec || !x->codec->start)
		return 0;
	int err = x->codec->start(x->codec_state, &s);
	reply(c, &s);
	return err;
}

void codec_finish(struct net_conn *c)
{
	struct extra *x = c->extra;
	struct net_step s = { 0 };
	if (!x || !x->codec || !x->codec->finish || !(c->flags & CONN_OPEN))
		return;
	x->codec->finish(x->codec_state, c->loop->stopping, &s);
	reply(c, &s);
}

int net_set_codec(struct net_conn *c, const struct net_codec *codec, const void *settings)
{
	void *state = (void *)(uintptr_t)settings;
	if (!codec && !c->extra)
		return 0;
	if (!conn_extra(c) || (codec && codec->new_state && !(state = codec->new_state(settings))))
		return -ENOMEM;
	codec_free(c->extra);
	c->extra->codec = codec;
	c->extra->codec_state = codec ? state : NULL;
	if (!(c->flags & CONN_OPEN))
		return 0;
	int err = codec_start(c);
	if (err)
		codec_free(c->extra);
	else
		net_wake(c); /* what is unread is for the new one */
	return err;
}

void net_listener_set_codec(struct net_listener *l, const struct net_codec *codec, const void *settings)
{
	l->codec = codec;
	l->codec_settings = settings;
}

void *net_conn_codec(const struct net_conn *c)
{
	return c->extra ? c->extra->codec_state : NULL;
}

/* ------------------------------------------------------------------ bytes to messages */

static void refuse(struct net_conn *c, int err, const char *text)
{
	const struct net_server *s = c->loop->server;
	if (s->ev.refuse)
		s->ev.refuse(c, err, text ? text : strerror(err));
	conn_close(c, err);
}

/* A message outside of the input is copied, so that it lives as long as one within. */
static bool settle(struct net_conn *c, struct net_message *m, const char *p, size_t len)
{
	if (!m->len || (m->bytes >= p && m->bytes < p + len))
		return true;
	void *copy = net_turn_alloc(c->loop, m->len);
	if (!copy)
		return false;
	memcpy(copy, m->bytes, m->len);
	m->bytes = copy;
	return true;
}

static void give(struct net_conn *c, const struct net_message *m)
{
	const struct net_events *e = &c->loop->server->ev;
	if (e->message)
		conn_action(c, e->message(c, m));
}

/* One step over p..p+len; whether another one may find something. */
static bool step(struct net_conn *c, const char *p, size_t len)
{
	struct extra *x = c->extra;
	struct net_step s = { .seen = x->codec_seen < len ? x->codec_seen : 0 };
	ssize_t n = x->codec->decode(x->codec_state, (char *)(uintptr_t)p, len, &s);
	assert(n <= (ssize_t)len);
	x->codec_seen = n ? 0 : s.seen;
	if (n > 0)
		net_discard(c, (size_t)n);
	bool inside = !s.whole || (s.message.bytes >= p && s.message.bytes <= p + len);
	bool settled = !s.whole || settle(c, &s.message, p, len);
	reply(c, &s);
	if (n < 0) {
		refuse(c, (int)-n, s.error);
	} else if (!settled) {
		net_close_now(c, ENOMEM);
	} else {
		if (s.whole)
			give(c, &s.message);
		if (s.last)
			conn_close(c, s.ours ? NET_BY_US : NET_BY_PEER);
		if (!n && s.missing)
			net_expect(c, s.missing);
	}
	return n > 0 && (len > (size_t)n || !inside);
}

void codec_run(struct net_conn *c)
{
	bool more = true;
	while (more && !(c->flags & (CONN_STILL | CONN_CLOSING | CONN_DEAD))) {
		size_t len;
		const char *p = net_peek(c, &len);
		if (!c->extra->codec) { /* message() took it away */
			if (len)
				conn_data(c);
			return;
		}
		more = step(c, p ? p : "", len);
	}
}

void codec_resume(struct net_conn *c)
{
	if (c->extra && c->extra->codec)
		net_wake(c);
}

/* ------------------------------------------------------------------ messages to bytes */

int net_write_message(struct net_conn *c, const void *buf, size_t len, int type)
{
	const struct extra *x = c->extra;
	const struct net_message m = { .bytes = buf, .len = len, .type = type };
	char *cur, *end;
	if (!x || !x->codec)
		return -ENOTSUP;
	size_t most = x->codec->bound(x->codec_state, &m);
	if (most < len)
		return -EMSGSIZE;
	int err = net_out_begin(c, most, &cur, &end);
	if (err)
		return err;
	ssize_t n = x->codec->encode(x->codec_state, &m, cur);
	net_out_end(c, n > 0 ? cur + n : cur);
	return n < 0 ? (int)n : 0;
}

int net_send_message(struct net_server *s, net_conn_id id, const void *buf, size_t len, int type,
                     void (*done)(void *ctx, int err), void *ctx)
{
	return mailbox_send(s, id, net_write_message, buf, len, type, done, ctx);
}
