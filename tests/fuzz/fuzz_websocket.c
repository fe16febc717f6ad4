/*
 * WebSocket, either end, before or after the upgrade: any bytes, cut at any place, give the same messages, replies and
 * error as in one piece; text is UTF-8; messages keep to the limit and can be sent on.
 *
 * The first byte chooses the end and its settings, the second the places of the cuts.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "net/impl/ws.h"
#include "tests/fuzz/outcome.h"

static int choose(void *user, const struct net_ws_request *r)
{
	size_t len;
	(void)user;
	return net_ws_header(r, "x-refuse", &len) ? 403 : 0;
}

static struct ws *new_end(uint8_t how, const struct net_codec *codec, const struct net_ws *o)
{
	static const char accept[] = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";
	struct ws *w = codec->new_state(o);
	struct net_step s = { 0 };
	check(w && (!codec->start || codec->start(w, &s) == 0), "no start");
	if (w->client)
		memcpy(w->accept, accept, sizeof accept); /* the one of the RFC's example, that seeds can know */
	if (how & 2)
		w->phase = WS_OPEN;
	return w;
}

/* Replies of a client are masked by chance. */
static void note_reply(const struct ws *w, const struct net_step *s, struct outcome *o)
{
	put(o, &s->reply_len, sizeof s->reply_len);
	for (size_t i = 0; i < s->reply_len; i++) {
		char c = s->reply[i];
		if (w->client && i > 1)
			c = (char)(i < 6 ? 0 : c ^ s->reply[2 + (i - 6) % 4]);
		put(o, &c, 1);
	}
}

static void note_message(const struct net_codec *codec, struct ws *w, const struct net_message *m, struct outcome *o)
{
	struct utf8 u = { 0 };
	put(o, &m->type, sizeof m->type);
	put(o, &m->len, sizeof m->len);
	put(o, m->bytes, m->len);
	if (m->type == NET_WS_TEXT || m->type == NET_WS_CLOSE)
		check(!m->len || (utf8_check(&u, m->bytes, m->len) && !u.need), "text that is not UTF-8");
	check(m->type == NET_WS_OPEN || m->type >= NET_WS_CLOSE || m->len <= w->o->max_message, "a message above the limit");
	size_t most = codec->bound(w, m);
	char *out = malloc(most);
	ssize_t n = codec->encode(w, m, out);
	check(n <= (ssize_t)most, "more bytes than bound() said");
	check(n > 0 || (m->type != NET_WS_TEXT && m->type != NET_WS_BINARY), "a message that cannot be sent on");
	free(out);
}

static void decode(uint8_t kind, const uint8_t *data, size_t size, size_t first, size_t step, struct outcome *o)
{
	const struct net_ws settings = { .host = "a", .max_message = kind & 4 ? 20 : 100000, .max_head = kind & 8 ? 200 : 0,
		                         .protocols = "a,b", .accept = choose };
	const struct net_codec *codec = kind & 1 ? net_ws_client_codec() : net_ws_server_codec();
	struct ws *w = new_end(kind, codec, &settings);
	size_t start = 0, seen = first < size ? first : size, looked = 0;
	bool again = false;
	for (;;) {
		size_t len = seen - start;
		char *view = malloc(len ? len : 1);
		memcpy(view, data + start, len);
		struct net_step s = { .seen = looked };
		ssize_t n = len || again ? codec->decode(w, view, len, &s) : 0;
		check(n <= (ssize_t)len && s.seen <= len, "more bytes used than there are");
		check(!s.whole || n > 0, "a message without bytes");
		looked = n ? 0 : s.seen;
		if (s.reply_len)
			note_reply(w, &s, o);
		if (s.whole)
			note_message(codec, w, &s.message, o);
		again = s.whole && s.message.len && (s.message.bytes < view || s.message.bytes >= view + len);
		if (n > 0)
			start += (size_t)n;
		else if (n < 0) {
			check(s.error && *s.error, "an error without a text");
			put(o, s.error, strlen(s.error));
		}
		free(view);
		if (n < 0 || s.last || (n == 0 && seen == size))
			break;
		if (n == 0)
			seen = size - seen < step ? size : seen + step;
	}
	codec->free_state(w);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct outcome whole = { 0 }, cut = { 0 };
	if (size < 2)
		return 0;
	uint8_t kind = data[0], how = data[1];
	data += 2;
	size -= 2;
	struct cuts cuts = cuts_of(how, size);
	decode(kind, data, size, size, size, &whole);
	decode(kind, data, size, cuts.first, cuts.step, &cut);
	check_same(&whole, &cut);
	return 0;
}
