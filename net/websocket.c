/* websocket: the frames of RFC 6455, the closing handshake, and the codec around them. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "net/impl/ws.h"
#include "net/internal.h"

#define CONTROL_MAX 125
#define HEAD_MAX 14
#define FIN 0x80

struct frame {
	unsigned opcode;
	bool fin;
	size_t head, len;
	unsigned char mask[4];
};

static bool is_control(unsigned opcode)
{
	return opcode & 8;
}

static size_t max_message(const struct ws *w)
{
	size_t max = w->o->max_message;
	return !max ? NET_MESSAGE_MAX : max < SIZE_MAX / 4 ? max : SIZE_MAX / 4;
}

int ws_random(unsigned char *to, size_t n)
{
	static _Thread_local unsigned char pool[256]; /* one system call for many masks */
	static _Thread_local size_t left;
	if (left < n) {
		if (getentropy(pool, sizeof pool))
			return -errno;
		left = sizeof pool;
	}
	left -= n;
	memcpy(to, pool + left, n);
	return 0;
}

char *ws_reply_room(struct ws *w, struct net_step *s, size_t n)
{
	free(w->reply);
	w->reply = malloc(n);
	s->reply = w->reply;
	s->reply_len = 0;
	return w->reply;
}

/* ------------------------------------------------------------------ frames that go out */

static void apply_mask(char *p, size_t n, const unsigned char mask[4])
{
	uint64_t word, wide;
	size_t i = 0;
	memcpy(&wide, mask, 4);
	memcpy((char *)&wide + 4, mask, 4);
	for (; n - i >= sizeof word; i += sizeof word) {
		memcpy(&word, p + i, sizeof word);
		word ^= wide;
		memcpy(p + i, &word, sizeof word);
	}
	for (; i < n; i++)
		p[i] = (char)(p[i] ^ mask[i & 3]);
}

/* Write one frame; bytes written, or -errno. */
static ssize_t put_frame(const struct ws *w, unsigned first, const char *payload, size_t len, char *out)
{
	unsigned char mask[4];
	unsigned marked = w->client ? 0x80 : 0, wide = len < 126 ? 0 : len < 65536 ? 2 : 8;
	char *p = out;
	*p++ = (char)first;
	*p++ = (char)(marked | (wide == 0 ? (unsigned)len : wide == 2 ? 126 : 127));
	for (unsigned i = wide; i-- > 0;)
		*p++ = (char)((uint64_t)len >> 8 * i);
	if (w->client) {
		int err = ws_random(mask, sizeof mask);
		if (err)
			return err;
		memcpy(p, mask, sizeof mask);
		p += sizeof mask;
	}
	if (len)
		memcpy(p, payload, len);
	if (w->client)
		apply_mask(p, len, mask);
	return p + len - out;
}

/* A control frame as the reply of this step. */
static int reply_frame(struct ws *w, struct net_step *s, unsigned opcode, const char *payload, size_t len)
{
	char *out = ws_reply_room(w, s, HEAD_MAX + len);
	ssize_t n = out ? put_frame(w, FIN | opcode, payload, len, out) : -ENOMEM;
	if (n < 0)
		return (int)n;
	s->reply_len = (size_t)n;
	return 0;
}

static int reply_close(struct ws *w, struct net_step *s, int code)
{
	const char payload[2] = { (char)(code >> 8), (char)code };
	if (w->sent_close)
		return 0;
	w->sent_close = true;
	return reply_frame(w, s, NET_WS_CLOSE, payload, code == NET_WS_NO_CODE ? 0 : sizeof payload);
}

static ssize_t fail(struct ws *w, struct net_step *s, int code, int err, const char *text)
{
	s->error = text;
	reply_close(w, s, code);
	w->phase = WS_OVER;
	return -err;
}

static ssize_t broken(struct ws *w, struct net_step *s, const char *text)
{
	return fail(w, s, NET_WS_PROTOCOL_ERROR, EBADMSG, text);
}

/* ------------------------------------------------------------------ frames that come in */

/* The first two bytes and what they promise. */
static const char *check_start(const struct ws *w, const struct frame *f, unsigned first, bool masked, unsigned len)
{
	if (first & 0x70)
		return "reserved bit set";
	if ((f->opcode & 7) > 2)
		return "unknown opcode";
	if (masked == w->client)
		return masked ? "masked frame from a server" : "frame from a client that is not masked";
	if (is_control(f->opcode))
		return !f->fin ? "control frame in fragments" : len > CONTROL_MAX ? "control frame too long" : NULL;
	if (w->sent_close) /* it is not looked at any more */
		return NULL;
	if (f->opcode == NET_WS_CONTINUE)
		return w->opcode ? NULL : "continuation of nothing";
	return w->opcode ? "message within a message" : NULL;
}

/* The head of a frame: 1, 0 more, or -errno. */
static ssize_t get_head(struct ws *w, const unsigned char *p, size_t len, struct frame *f, struct net_step *s)
{
	if (len < 2)
		return 0;
	bool masked = p[1] & 0x80;
	unsigned length = p[1] & 0x7f, wide = length < 126 ? 0 : length == 126 ? 2 : 8;
	*f = (struct frame){ .opcode = p[0] & 15, .fin = p[0] & FIN, .head = 2 + wide + (masked ? 4 : 0) };
	const char *text = check_start(w, f, p[0], masked, length);
	if (text)
		return broken(w, s, text);
	if (len < f->head)
		return 0;
	uint64_t n = length;
	if (wide) {
		n = 0;
		for (unsigned i = 0; i < wide; i++)
			n = n << 8 | p[2 + i];
		if (n >> 63 || n < (wide == 2 ? 126u : 65536u))
			return broken(w, s, "length in more bytes than it takes");
	}
	if (!is_control(f->opcode) && n > max_message(w) - w->part_len)
		return fail(w, s, NET_WS_TOO_BIG, EMSGSIZE, "message too long");
	f->len = (size_t)n;
	if (masked)
		memcpy(f->mask, p + f->head - 4, 4);
	return 1;
}

static bool append(struct ws *w, const char *p, size_t n)
{
	if (w->part_cap - w->part_len < n) {
		size_t cap = w->part_len + n + (w->part_len + n) / 2;
		char *part = realloc(w->part, cap);
		if (!part)
			return false;
		w->part = part;
		w->part_cap = cap;
	}
	if (n)
		memcpy(w->part + w->part_len, p, n);
	w->part_len += n;
	return true;
}

static void drop_part(struct ws *w)
{
	free(w->part);
	w->part = NULL;
	w->part_len = w->part_cap = 0;
	w->part_done = false;
}

/* One frame of a message; the error or 0. */
static ssize_t take_data(struct ws *w, const struct frame *f, const char *p, struct net_step *s)
{
	bool whole = !w->opcode && f->fin;
	if (w->sent_close)
		return 0;
	if (!w->opcode) {
		w->opcode = (uint8_t)f->opcode;
		w->utf8 = (struct utf8){ 0 };
	}
	unsigned type = w->opcode;
	if (type == NET_WS_TEXT && (!utf8_check(&w->utf8, p, f->len) || (f->fin && w->utf8.need)))
		return fail(w, s, NET_WS_BAD_TEXT, EILSEQ, "text that is not UTF-8");
	if (f->fin)
		w->opcode = 0;
	if (!whole && !append(w, p, f->len))
		return fail(w, s, NET_WS_FAULT, ENOMEM, "out of memory");
	if (f->fin) {
		s->whole = true;
		s->message.bytes = whole ? p : w->part;
		s->message.len = whole ? f->len : w->part_len;
		s->message.type = (int)type;
		w->part_done = !whole;
	}
	return 0;
}

/* Codes that may be in a frame. */
static bool code_known(int code)
{
	return (code >= 3000 && code <= 4999) ||
	       (code >= NET_WS_NORMAL && code <= 1014 && code != 1004 && code != NET_WS_NO_CODE && code != NET_WS_ABNORMAL);
}

static ssize_t take_close(struct ws *w, const struct frame *f, const char *p, struct net_step *s)
{
	struct utf8 u = { 0 };
	int code = NET_WS_NO_CODE;
	if (f->len == 1)
		return broken(w, s, "close frame with half a code");
	if (f->len)
		code = (unsigned char)p[0] << 8 | (unsigned char)p[1];
	if (f->len && !code_known(code))
		return broken(w, s, "close frame with an unknown code");
	if (f->len > 2 && (!utf8_check(&u, p + 2, f->len - 2) || u.need))
		return fail(w, s, NET_WS_BAD_TEXT, EILSEQ, "reason that is not UTF-8");
	w->code = (uint16_t)code;
	w->phase = WS_OVER;
	s->ours = w->sent_close;
	s->last = true;
	s->whole = true;
	s->message.bytes = f->len ? p + 2 : p;
	s->message.len = f->len ? f->len - 2 : 0;
	s->message.type = NET_WS_CLOSE;
	return reply_close(w, s, code);
}

static ssize_t take_frame(struct ws *w, const struct frame *f, const char *p, struct net_step *s)
{
	if (!is_control(f->opcode))
		return take_data(w, f, p, s);
	if (f->opcode == NET_WS_CLOSE)
		return take_close(w, f, p, s);
	if (f->opcode == NET_WS_PING)
		return w->sent_close ? 0 : reply_frame(w, s, NET_WS_PONG, p, f->len);
	s->whole = true;
	s->message = (struct net_message){ .bytes = p, .len = f->len, .type = NET_WS_PONG };
	return 0;
}

static ssize_t ws_decode(void *state, char *p, size_t len, struct net_step *s)
{
	struct ws *w = state;
	struct frame f;
	if (w->part_done)
		drop_part(w);
	if (w->phase == WS_OPENING)
		return (w->client ? ws_take_answer : ws_take_request)(w, p, len, s);
	if (w->phase == WS_OVER)
		return (ssize_t)len; /* what comes after the end is not looked at */
	ssize_t n = get_head(w, (const unsigned char *)p, len, &f, s);
	if (n <= 0)
		return n;
	if (len - f.head < f.len) {
		s->missing = f.len - (len - f.head);
		return 0;
	}
	if (!w->client)
		apply_mask(p + f.head, f.len, f.mask);
	n = take_frame(w, &f, p + f.head, s);
	return n ? n : (ssize_t)(f.head + f.len);
}

/* ------------------------------------------------------------------ the codec */

static void *new_state(const void *settings, bool client)
{
	static const struct net_ws defaults = { 0 };
	struct ws *w = calloc(1, sizeof *w);
	if (w) {
		w->o = settings ? settings : &defaults;
		w->client = client;
		w->code = NET_WS_ABNORMAL;
	}
	return w;
}

static void *server_new(const void *settings)
{
	return new_state(settings, false);
}

static void *client_new(const void *settings)
{
	return new_state(settings, true);
}

static void ws_free(void *state)
{
	struct ws *w = state;
	drop_part(w);
	free(w->reply);
	free(w->accept);
	free(w);
}

static int client_start(void *state, struct net_step *s)
{
	return ws_put_request(state, s);
}

static void ws_finish(void *state, bool stopping, struct net_step *s)
{
	struct ws *w = state;
	if (w->phase == WS_OPEN)
		reply_close(w, s, stopping ? NET_WS_GOING_AWAY : NET_WS_NORMAL);
}

static size_t ws_bound(void *state, const struct net_message *m)
{
	(void)state;
	return m->len + HEAD_MAX;
}

static ssize_t ws_encode(void *state, const struct net_message *m, char *out)
{
	struct ws *w = state;
	unsigned opcode = (unsigned)m->type & ~(unsigned)NET_WS_PART;
	bool part = m->type & NET_WS_PART;
	if (w->phase == WS_OPENING)
		return -ENOTCONN;
	if (w->phase == WS_OVER || w->sent_close)
		return -EPIPE;
	if (opcode == NET_WS_PING || opcode == NET_WS_PONG) {
		if (part)
			return -EINVAL;
		if (m->len > CONTROL_MAX)
			return -EMSGSIZE;
	} else if (opcode > NET_WS_BINARY || (opcode == NET_WS_CONTINUE) != (w->sending != 0)) {
		return -EINVAL;
	}
	ssize_t n = put_frame(w, (part ? 0 : FIN) | opcode, m->bytes, m->len, out);
	if (n > 0 && !is_control(opcode))
		w->sending = !part ? 0 : w->sending ? w->sending : (uint8_t)opcode;
	return n;
}

const struct net_codec *net_ws_server_codec(void)
{
	static const struct net_codec codec = {
		.name = "websocket", .new_state = server_new, .free_state = ws_free, .finish = ws_finish, .decode = ws_decode,
		.bound = ws_bound, .encode = ws_encode,
	};
	return &codec;
}

const struct net_codec *net_ws_client_codec(void)
{
	static const struct net_codec codec = {
		.name = "websocket client", .new_state = client_new, .free_state = ws_free, .start = client_start,
		.finish = ws_finish, .decode = ws_decode, .bound = ws_bound, .encode = ws_encode,
	};
	return &codec;
}

/* ------------------------------------------------------------------ on a connection */

static struct ws *state_of(const struct net_conn *c)
{
	const struct extra *x = c->extra;
	return x && x->codec && x->codec->decode == ws_decode ? x->codec_state : NULL;
}

int net_ws_close(struct net_conn *c, int code, const char *reason)
{
	struct ws *w = state_of(c);
	size_t len = reason ? strlen(reason) : 0;
	struct utf8 u = { 0 };
	char payload[CONTROL_MAX], out[HEAD_MAX + CONTROL_MAX];
	if (!w)
		return -ENOTSUP;
	if (!code_known(code) || len > sizeof payload - 2 || (len && (!utf8_check(&u, reason, len) || u.need)))
		return -EINVAL;
	if (w->phase == WS_OPENING) { /* nothing to say yet */
		net_close(c);
		return 0;
	}
	if (w->sent_close || w->phase == WS_OVER)
		return -EPIPE;
	payload[0] = (char)(code >> 8);
	payload[1] = (char)code;
	if (len)
		memcpy(payload + 2, reason, len);
	ssize_t n = put_frame(w, FIN | NET_WS_CLOSE, payload, 2 + len, out);
	int err = n < 0 ? (int)n : net_write(c, out, (size_t)n);
	if (err)
		return err;
	w->sent_close = true;
	drop_part(w);
	return net_set_read_deadline(c, c->loop->server->o.close_timeout_ms);
}

int net_ws_close_code(const struct net_conn *c)
{
	const struct ws *w = state_of(c);
	return w ? w->code : NET_WS_ABNORMAL;
}

const char *net_ws_protocol(const struct net_conn *c, size_t *len)
{
	const struct ws *w = state_of(c);
	*len = w ? w->protocol_len : 0;
	return w ? w->protocol : NULL;
}
