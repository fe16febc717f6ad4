/* WebSocket: the upgrade, frames of RFC 6455 and broken ones, cut at every byte; on connections of every backend. */
#include <check.h>
#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "net/impl/ws.h"
#include "net/websocket.h"
#include "tests/lib/net_fixture.h"
#include "tests/lib/suite.h"

#define KEY "dGhlIHNhbXBsZSBub25jZQ=="
#define HEADERS "Host: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: " KEY "\r\nSec-WebSocket-Version: 13\r\n"
#define REQUEST "GET /chat HTTP/1.1\r\n" HEADERS "\r\n"
#define ANSWER "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" \
	"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n"

/* ------------------------------------------------------------------ the codec alone */

/* One end: what it read, as "[type]bytes " (long ones by their length), and what it answered, unmasked. */
struct end {
	const struct net_codec *codec;
	struct ws *w;
	char text[2048], reply[2048];
	size_t pos, seen, missing, text_len, reply_len;
	bool last, ours;
	int err;
};

static void end_init(struct end *e, bool client, const struct net_ws *settings, bool open)
{
	memset(e, 0, sizeof *e);
	e->codec = client ? net_ws_client_codec() : net_ws_server_codec();
	e->w = e->codec->new_state(settings);
	ck_assert_ptr_nonnull(e->w);
	if (open)
		e->w->phase = WS_OPEN;
}

static void end_clear(struct end *e)
{
	e->codec->free_state(e->w);
}

/* A short frame of a client, as if it were a server's. */
static size_t unmask(const char *p, size_t n, char *out)
{
	ck_assert(n >= 6 && (p[1] & 0x80));
	out[0] = p[0];
	out[1] = p[1] & 0x7f;
	for (size_t i = 6; i < n; i++)
		out[i - 4] = (char)(p[i] ^ p[2 + (i - 6) % 4]);
	return n - 4;
}

static void note(struct end *e, const struct net_step *s)
{
	const struct net_message *m = &s->message;
	ck_assert_uint_lt(e->reply_len + s->reply_len, sizeof e->reply);
	if (s->reply_len && e->w->client) {
		e->reply_len += unmask(s->reply, s->reply_len, e->reply + e->reply_len);
	} else if (s->reply_len) {
		memcpy(e->reply + e->reply_len, s->reply, s->reply_len);
		e->reply_len += s->reply_len;
	}
	if (s->whole) {
		e->text_len += (size_t)snprintf(e->text + e->text_len, 64, m->len < 100 ? "[%d]" : "[%d]#%zu", m->type, m->len);
		for (size_t i = 0; i < m->len && m->len < 100; i++)
			e->text[e->text_len++] = m->bytes[i] ? m->bytes[i] : '0';
		e->text[e->text_len++] = ' ';
		ck_assert_uint_lt(e->text_len, sizeof e->text - 200);
	}
	e->last |= s->last;
	e->ours |= s->ours;
}

/* Let the end see the stream up to len. */
static void feed(struct end *e, const char *p, size_t len)
{
	bool again = false;
	while (!e->err && !e->last && (e->pos < len || again)) {
		size_t left = len - e->pos;
		char *view = malloc(left ? left : 1); /* exactly what is visible: reading beyond it is found */
		if (left)
			memcpy(view, p + e->pos, left);
		struct net_step s = { .seen = e->seen };
		ssize_t n = e->codec->decode(e->w, view, left, &s);
		ck_assert_int_le(n, (ssize_t)left);
		e->seen = n ? 0 : s.seen;
		e->missing = s.missing;
		again = n > 0 && s.whole && s.message.len && (s.message.bytes < view || s.message.bytes >= view + left);
		note(e, &s);
		free(view);
		if (n < 0) {
			e->err = (int)-n;
			ck_assert(s.error || n == -ENOMEM);
		}
		if (n <= 0)
			return;
		e->pos += (size_t)n;
	}
}

struct want {
	const char *text, *reply;
	size_t reply_len;
	int err;
	bool prefix; /* the reply only begins like this */
};

static void check_end(const struct end *e, const struct want *w, size_t cut)
{
	size_t n = w->prefix && e->reply_len > w->reply_len ? w->reply_len : e->reply_len;
	ck_assert_msg(!strcmp(e->text, w->text), "cut at %zu: \"%s\", not \"%s\"", cut, e->text, w->text);
	ck_assert_msg(e->err == w->err, "cut at %zu: error %d, not %d", cut, e->err, w->err);
	ck_assert_msg(n == w->reply_len && !memcmp(e->reply, w->reply, n), "cut at %zu: replied %zu \"%.*s\"", cut, e->reply_len,
	              (int)e->reply_len, e->reply);
}

/* The same outcome wherever the stream is cut, and byte by byte. */
static void expect(bool client, const struct net_ws *settings, bool open, const char *p, size_t len, const struct want *w)
{
	struct end e;
	for (size_t cut = 0; cut <= len; cut++) {
		end_init(&e, client, settings, open);
		feed(&e, p, cut);
		feed(&e, p, len);
		check_end(&e, w, cut);
		end_clear(&e);
	}
	end_init(&e, client, settings, open);
	for (size_t i = 0; i <= len; i++)
		feed(&e, p, i);
	check_end(&e, w, len + 1);
	end_clear(&e);
}

/* What comes of frames; literals, as there may be zeros in them. */
#define FRAMES(client, settings, frames, t, r, e) \
	expect(client, settings, true, frames, sizeof frames - 1, &(struct want){ .text = t, .reply = r, .reply_len = sizeof r - 1, .err = e })
#define SERVER(frames, t, r, e) FRAMES(false, NULL, frames, t, r, e)
#define CLIENT(frames, t, r, e) FRAMES(true, NULL, frames, t, r, e)
#define M "\0\0\0\0" /* a mask that changes nothing */
#define CLOSE_1002 "\x88\2\3\xea"
#define CLOSE_1007 "\x88\2\3\xef"
#define CLOSE_1009 "\x88\2\3\xf1"

START_TEST(frames_of_the_rfc)
{
	SERVER("\x81\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58", "[1]Hello ", "", 0);
	SERVER("\x8a\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58", "[10]Hello ", "", 0);
	SERVER("\x89\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58", "", "\x8a\5Hello", 0);
	CLIENT("\x81\5Hello", "[1]Hello ", "", 0);
	CLIENT("\1\3Hel\x80\2lo", "[1]Hello ", "", 0);
	CLIENT("\x89\5Hello", "", "\x8a\5Hello", 0);
	SERVER("\x82\x80" M "\x81\x81" M "x\x82\x83" M "\0\xff\1", "[2] [1]x [2]0\xff\1 ", "", 0);
}
END_TEST

START_TEST(lengths_in_two_and_eight_bytes)
{
	static const struct net_ws small = { .max_message = 70000 };
	static char frame[80000];
	const size_t lens[] = { 126, 256, 65535, 65536, 70000 };
	for (size_t i = 0; i < sizeof lens / sizeof *lens; i++) {
		size_t len = lens[i], head = len < 65536 ? 4 : 10;
		char text[32];
		struct end e;
		memset(frame, 'z', sizeof frame);
		frame[0] = '\x82';
		frame[1] = len < 65536 ? 126 : 127;
		for (size_t k = 2; k < head; k++)
			frame[k] = (char)((uint64_t)len >> 8 * (head - 1 - k));
		for (size_t cut = 0; cut < head + 5; cut++) {
			end_init(&e, true, &small, true);
			feed(&e, frame, cut);
			ck_assert_uint_eq(e.missing, cut < head ? 0 : len - (cut - head));
			feed(&e, frame, head + len - 1);
			ck_assert_str_eq(e.text, "");
			feed(&e, frame, head + len);
			snprintf(text, sizeof text, "[2]#%zu ", len);
			ck_assert_str_eq(e.text, text);
			end_clear(&e);
		}
	}
	CLIENT("\x82\x7e\0\x7d", "", CLOSE_1002, EBADMSG);
	CLIENT("\x82\x7f\0\0\0\0\0\0\xff\xff", "", CLOSE_1002, EBADMSG);
	CLIENT("\x82\x7f\x80\0\0\0\0\0\0\0", "", CLOSE_1002, EBADMSG);
	CLIENT("\x82\x7f\x7f\xff\xff\xff\xff\xff\xff\xff", "", CLOSE_1009, EMSGSIZE);
	SERVER("\x82\xfe\0\x7d" M, "", CLOSE_1002, EBADMSG);
}
END_TEST

START_TEST(fragments_with_control_frames_between_them)
{
	SERVER("\1\x82" M "ab\x89\x82" M "hi\0\x80" M "\0\x81" M "c\x8a\x80" M "\x80\x81" M "d\x81\x81" M "e",
	       "[10] [1]abcd [1]e ", "\x8a\2hi", 0);
	SERVER("\2\x80" M "\x80\x80" M, "[2] ", "", 0);
	SERVER("\2\x81" M "a\x80\x80" M "\2\x80" M "\x80\x81" M "b", "[2]a [2]b ", "", 0);
	SERVER("\x80\x81" M "a", "", CLOSE_1002, EBADMSG);
	SERVER("\1\x81" M "a\x81\x81" M "b", "", CLOSE_1002, EBADMSG);
	SERVER("\1\x81" M "a\x82\x81" M "b", "", CLOSE_1002, EBADMSG);
	SERVER("\x81\x81" M "a\0\x81" M "b", "[1]a ", CLOSE_1002, EBADMSG);
}
END_TEST

START_TEST(limits)
{
	static const struct net_ws four = { .max_message = 4 };
	FRAMES(false, &four, "\x82\x84" M "1234\x82\x85" M "12345", "[2]1234 ", CLOSE_1009, EMSGSIZE);
	FRAMES(false, &four, "\2\x83" M "123\x80\x81" M "4\2\x83" M "123\x80\x82" M "45", "[2]1234 ", CLOSE_1009, EMSGSIZE);
	FRAMES(false, &four, "\x89\x85" M "12345", "", "\x8a\5" "12345", 0); /* not for control frames */
	SERVER("\x82\xff\0\0\0\0\0\x10\0\1" M, "", CLOSE_1009, EMSGSIZE); /* one more than the default */
}
END_TEST

START_TEST(what_breaks_the_protocol)
{
	SERVER("\xc1\x80" M, "", CLOSE_1002, EBADMSG);
	SERVER("\xa1\x80" M, "", CLOSE_1002, EBADMSG);
	SERVER("\x91\x80" M, "", CLOSE_1002, EBADMSG);
	SERVER("\x83\x80" M, "", CLOSE_1002, EBADMSG);
	SERVER("\x87\x80" M, "", CLOSE_1002, EBADMSG);
	SERVER("\x8b\x80" M, "", CLOSE_1002, EBADMSG);
	SERVER("\x8f\x80" M, "", CLOSE_1002, EBADMSG);
	SERVER("\x81\1x", "", CLOSE_1002, EBADMSG);
	CLIENT("\x81\x81" M "x", "", CLOSE_1002, EBADMSG);
	SERVER("\x09\x80" M, "", CLOSE_1002, EBADMSG);
	SERVER("\x89\xfe\0\x7e" M, "", CLOSE_1002, EBADMSG);
	SERVER("\x88\xff", "", CLOSE_1002, EBADMSG);
	SERVER("\x81\x81" M "a\xff\xff more", "[1]a ", CLOSE_1002, EBADMSG);
}
END_TEST

START_TEST(text_is_utf8)
{
	static const char *good[] = { "\xc2\x80", "\xdf\xbf", "\xe0\xa0\x80", "\xed\x9f\xbf", "\xee\x80\x80", "\xef\xbf\xbf",
		                      "\xf0\x90\x80\x80", "\xf4\x8f\xbf\xbf", "plain text, longer than a word", "12345678\xe2\x82\xac" };
	static const char *bad[] = { "\x80", "\xbf", "\xc0\x80", "\xc1\xbf", "\xc2", "\xc2\xc2", "\xe0\x9f\xbf", "\xed\xa0\x80",
		                     "\xe2\x82", "\xf0\x8f\xbf\xbf", "\xf4\x90\x80\x80", "\xf5\x80\x80\x80", "\xff", "1234567\xfe",
		                     "\xe2\x28\xa1", "\xf0\x90\x80\x41" };
	for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
		size_t n = strlen(good[i]);
		for (size_t at = 0; at <= n; at++) {
			struct utf8 u = { 0 };
			ck_assert_msg(utf8_check(&u, good[i], at) && utf8_check(&u, good[i] + at, n - at) && !u.need, "good %zu", i);
		}
	}
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
		size_t n = strlen(bad[i]);
		for (size_t at = 0; at <= n; at++) {
			struct utf8 u = { 0 };
			ck_assert_msg(!utf8_check(&u, bad[i], at) || !utf8_check(&u, bad[i] + at, n - at) || u.need, "bad %zu", i);
		}
	}
	SERVER("\1\x82" M "\xe2\x82\x80\x81" M "\xac", "[1]\xe2\x82\xac ", "", 0);
	SERVER("\1\x82" M "\xe2\x82\x80\x81" M "x", "", CLOSE_1007, EILSEQ);
	SERVER("\1\x82" M "\xe2\x82\x80\x80" M, "", CLOSE_1007, EILSEQ);
	SERVER("\1\x81" M "\xff", "", CLOSE_1007, EILSEQ); /* at once */
	SERVER("\x81\x81" M "\xe2", "", CLOSE_1007, EILSEQ);
	SERVER("\x82\x81" M "\xe2\x81\x81" M "x", "[2]\xe2 [1]x ", "", 0);
}
END_TEST

START_TEST(close_frames)
{
	SERVER("\x88\x80" M, "[8] ", "\x88\0", 0);
	SERVER("\x88\x85" M "\3\xe8" "bye" "\x81\x81" M "x", "[8]bye ", "\x88\2\3\xe8", 0);
	CLIENT("\x88\2\xf\xa1", "[8] ", "\x88\2\xf\xa1", 0);
	SERVER("\x88\x82" M "\x0b\xb8", "[8] ", "\x88\2\x0b\xb8", 0); /* 3000 */
	SERVER("\x88\x82" M "\x13\x87", "[8] ", "\x88\2\x13\x87", 0); /* 4999 */
	SERVER("\x88\x81" M "\3", "", CLOSE_1002, EBADMSG);
	SERVER("\x88\x82" M "\0\0", "", CLOSE_1002, EBADMSG);
	SERVER("\x88\x82" M "\3\xe7", "", CLOSE_1002, EBADMSG); /* 999 */
	SERVER("\x88\x82" M "\3\xec", "", CLOSE_1002, EBADMSG); /* 1004 */
	SERVER("\x88\x82" M "\3\xed", "", CLOSE_1002, EBADMSG); /* 1005 */
	SERVER("\x88\x82" M "\3\xee", "", CLOSE_1002, EBADMSG); /* 1006 */
	SERVER("\x88\x82" M "\3\xf7", "", CLOSE_1002, EBADMSG); /* 1015 */
	SERVER("\x88\x82" M "\x0b\xb7", "", CLOSE_1002, EBADMSG); /* 2999 */
	SERVER("\x88\x82" M "\x13\x88", "", CLOSE_1002, EBADMSG); /* 5000 */
	SERVER("\x88\x83" M "\3\xe8\xff", "", CLOSE_1007, EILSEQ);
}
END_TEST

static void encode(struct end *e, int type, const char *p, size_t len, const char *bytes, ssize_t n)
{
	const struct net_message m = { .bytes = p, .len = len, .type = type };
	size_t most = e->codec->bound(e->w, &m);
	char *out = malloc(most), plain[256];
	ssize_t r = e->codec->encode(e->w, &m, out);
	ck_assert_int_le(r, (ssize_t)most);
	if (r > 0 && e->w->client) {
		r = (ssize_t)unmask(out, (size_t)r, plain);
		memcpy(out, plain, (size_t)r);
	}
	ck_assert_int_eq(r, n);
	if (n > 0 && bytes)
		ck_assert_mem_eq(out, bytes, strlen(bytes) > 2 ? (size_t)n : 2);
	free(out);
}

START_TEST(frames_that_go_out)
{
	static char big[70000];
	for (int client = 0; client < 2; client++) {
		struct end e;
		end_init(&e, client, NULL, false);
		encode(&e, NET_WS_TEXT, "Hello", 5, NULL, -ENOTCONN);
		e.w->phase = WS_OPEN;
		encode(&e, NET_WS_TEXT, "Hello", 5, "\x81\5Hello", 7);
		encode(&e, NET_WS_TEXT | NET_WS_PART, "Hel", 3, "\1\3Hel", 5);
		encode(&e, NET_WS_TEXT, "x", 1, NULL, -EINVAL);
		encode(&e, NET_WS_PING, "p", 1, "\x89\1p", 3);
		encode(&e, NET_WS_CONTINUE | NET_WS_PART, "l", 1, NULL, 3);
		encode(&e, NET_WS_CONTINUE, "o", 1, "\x80\1o", 3);
		encode(&e, NET_WS_CONTINUE, "o", 1, NULL, -EINVAL);
		encode(&e, NET_WS_PING | NET_WS_PART, "o", 1, NULL, -EINVAL);
		encode(&e, NET_WS_PONG, big, 125, "\x8a\x7d", 127);
		encode(&e, NET_WS_PONG, big, 126, NULL, -EMSGSIZE);
		encode(&e, NET_WS_CLOSE, "x", 1, NULL, -EINVAL);
		encode(&e, NET_WS_OPEN, "x", 1, NULL, -EINVAL);
		encode(&e, 3, "x", 1, NULL, -EINVAL);
		if (!client) {
			encode(&e, NET_WS_BINARY, big, 126, "\x82\x7e", 130);
			encode(&e, NET_WS_BINARY, big, 65535, "\x82\x7e", 65539);
			encode(&e, NET_WS_BINARY, big, 65536, "\x82\x7f", 65546);
		}
		e.w->sent_close = true;
		encode(&e, NET_WS_TEXT, "Hello", 5, NULL, -EPIPE);
		end_clear(&e);
	}
}
END_TEST

/* ------------------------------------------------------------------ the upgrade */

static void upgrade(const struct net_ws *o, const char *request, const char *text, const char *reply, int err)
{
	expect(false, o, false, request, strlen(request),
	       &(struct want){ .text = text, .reply = reply, .reply_len = strlen(reply), .err = err, .prefix = err != 0 });
}

START_TEST(the_upgrade_of_the_rfc)
{
	static const struct net_ws chat = { .protocols = "superchat , chat" }, other = { .protocols = "other" };
	upgrade(NULL, REQUEST, "[16]/chat ", ANSWER, 0);
	upgrade(NULL, "GET /chat HTTP/1.1\r\n" HEADERS "Sec-WebSocket-Protocol: chat\r\n\r\n", "[16]/chat ", ANSWER, 0);
	upgrade(&other, "GET / HTTP/1.1\r\n" HEADERS "Sec-WebSocket-Protocol: chat\r\n\r\n", "[16]/ ", ANSWER, 0);
	upgrade(&chat, REQUEST, "[16]/chat ", ANSWER, 0);
	struct end e;
	end_init(&e, false, &chat, false);
	const char *request = "GET / HTTP/1.1\r\n" HEADERS "sec-websocket-protocol:chat,  x\r\nSec-WebSocket-Protocol: superchat\r\n\r\n"
			      "\x81\x81" M "x";
	feed(&e, request, strlen(request));
	feed(&e, request, strlen(request) + 5); /* the mask's zeros and the byte */
	ck_assert_ptr_nonnull(strstr(e.reply, "\r\nSec-WebSocket-Protocol: superchat\r\n\r\n"));
	ck_assert_str_eq(e.text, "[16]/ [1]x ");
	end_clear(&e);
	upgrade(NULL,
	        "GET / HTTP/1.1\r\nhost: a\r\nCONNECTION: keep-alive , upgrade\r\nupgrade: h2c, WebSocket\r\nContent-Length: 0\r\n"
	        "Sec-WebSocket-Version:\t13 \r\nSec-WebSocket-Key:" KEY "\r\nx:\r\n\r\n",
	        "[16]/ ", ANSWER, 0);
}
END_TEST

#define GET "GET / HTTP/1.1\r\n"
#define UP "Upgrade: websocket\r\n"
#define CON "Connection: Upgrade\r\n"
#define VERSION "Sec-WebSocket-Version: 13\r\n"
#define KEYS "Sec-WebSocket-Key: " KEY "\r\n"
#define HOST "Host: a\r\n"
#define BAD "HTTP/1.1 400 Bad Request\r\n"

START_TEST(requests_that_are_refused)
{
	static const struct {
		const char *request, *reply;
	} t[] = {
		{ "POST / HTTP/1.1\r\n" HEADERS "\r\n", "HTTP/1.1 405 Method Not Allowed\r\nAllow: GET\r\n" },
		{ "get / HTTP/1.1\r\n" HEADERS "\r\n", "HTTP/1.1 405 " },
		{ "GET / HTTP/1.0\r\n" HEADERS "\r\n", "HTTP/1.1 505 " },
		{ "GET / http/1.1\r\n" HEADERS "\r\n", "HTTP/1.1 505 " },
		{ "GET / HTTP/1.1 \r\n" HEADERS "\r\n", "HTTP/1.1 505 " },
		{ "GET /\r\n" HEADERS "\r\n", "HTTP/1.1 505 " },
		{ "GET  HTTP/1.1\r\n" HEADERS "\r\n", BAD },
		{ "\r\n\r\n", BAD },
		{ "GET / HTTP/1.1\n" HEADERS "\r\n", BAD },
		{ "GET /\1 HTTP/1.1\r\n" HEADERS "\r\n", BAD },
		{ "GET / HTTP/1.1\r\n" HEADERS "no colon\r\n\r\n", BAD },
		{ "GET / HTTP/1.1\r\n" HEADERS ": x\r\n\r\n", BAD },
		{ "GET / HTTP/1.1\r\n" HEADERS "a : x\r\n\r\n", BAD },
		{ "GET / HTTP/1.1\r\n" HEADERS "a: x\r\n folded: y\r\n\r\n", BAD },
		{ "GET / HTTP/1.1\r\n" HEADERS "a: \rx\r\n\r\n", BAD },
		{ "GET / HTTP/1.1\r\n" HEADERS "a: x\nb: y\r\n\r\n", BAD },
		{ "GET / HTTP/1.1\r\n" HEADERS HOST "\r\n", BAD },
		{ "GET / HTTP/1.1\r\n" HEADERS KEYS "\r\n", BAD },
		{ "GET / HTTP/1.1\r\n" HEADERS VERSION "\r\n", "HTTP/1.1 426 " },
		{ "GET / HTTP/1.1\r\n" HEADERS "Content-Length: 3\r\n\r\n", BAD },
		{ "GET / HTTP/1.1\r\n" HEADERS "Content-Length: 0\r\nContent-Length: 3\r\n\r\n", BAD },
		{ "GET / HTTP/1.1\r\n" HEADERS "Transfer-Encoding: chunked\r\n\r\n", BAD },
		{ GET UP CON VERSION KEYS "\r\n", BAD },
		{ GET HOST CON VERSION KEYS "\r\n", "HTTP/1.1 426 Upgrade Required\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n" },
		{ GET HOST "Upgrade: websockets\r\n" CON VERSION KEYS "\r\n", "HTTP/1.1 426 " },
		{ GET HOST UP VERSION KEYS "\r\n", BAD },
		{ GET HOST UP CON KEYS "\r\n", "HTTP/1.1 426 " },
		{ GET HOST UP CON KEYS "Sec-WebSocket-Version: 8\r\n\r\n", "HTTP/1.1 426 " },
		{ GET HOST UP CON VERSION "\r\n", BAD },
		{ GET HOST UP CON VERSION "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZ===\r\n\r\n", BAD },
		{ GET HOST UP CON VERSION "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=\r\n\r\n", BAD },
		{ GET HOST UP CON VERSION "Sec-WebSocket-Key: dGhlIHNhbX.sZSBub25jZQ==\r\n\r\n", BAD },
	};
	for (size_t i = 0; i < sizeof t / sizeof *t; i++)
		upgrade(NULL, t[i].request, "", t[i].reply, EBADMSG);
}
END_TEST

START_TEST(heads_are_limited)
{
	static const struct net_ws exact = { .max_head = sizeof REQUEST - 1 }, less = { .max_head = sizeof REQUEST - 2 };
	static char many[8000] = "GET / HTTP/1.1\r\n" HEADERS, forever[9000];
	size_t n = strlen(many);
	upgrade(&exact, REQUEST, "[16]/chat ", ANSWER, 0);
	upgrade(&less, REQUEST, "", "HTTP/1.1 431 Request Header Fields Too Large\r\n", EMSGSIZE);
	for (int i = 0; i < 96; i++)
		n += (size_t)snprintf(many + n, sizeof many - n, "a%d: b\r\n", i);
	snprintf(many + n, sizeof many - n, "\r\n");
	struct end e;
	end_init(&e, false, NULL, false);
	feed(&e, many, strlen(many));
	ck_assert_int_eq(e.err, EMSGSIZE);
	ck_assert_mem_eq(e.reply, "HTTP/1.1 431 ", 13);
	end_clear(&e);
	memset(forever, 'x', sizeof forever);
	end_init(&e, false, NULL, false);
	feed(&e, forever, 8191);
	ck_assert_int_eq(e.err, 0);
	feed(&e, forever, 8192);
	ck_assert_int_eq(e.err, EMSGSIZE);
	end_clear(&e);
}
END_TEST

/* Lets in who has the right cookie. */
static int only_with_cookie(void *user, const struct net_ws_request *r)
{
	size_t len;
	const char *cookie = net_ws_header(r, "COOKIE", &len);
	ck_assert_str_eq(user, "user");
	ck_assert_uint_eq(r->target_len, 5);
	if (!cookie)
		return 401;
	return len == 1 && *cookie == 'y' ? 0 : 99;
}

START_TEST(the_program_may_refuse)
{
	static char user[] = "user";
	const struct net_ws o = { .accept = only_with_cookie, .user = user };
	upgrade(&o, REQUEST, "", "HTTP/1.1 401 Unauthorized\r\n", EACCES);
	upgrade(&o, "GET /chat HTTP/1.1\r\n" HEADERS "Cookie: n\r\n\r\n", "", "HTTP/1.1 500 ", EACCES);
	upgrade(&o, "GET /chat HTTP/1.1\r\n" HEADERS "Cookie: y\r\n\r\n", "[16]/chat ", ANSWER, 0);
}
END_TEST

/* The answer of a server to a client, with `from` replaced by `to`. */
static void meet(const struct net_ws *client, const struct net_ws *server, const char *from, const char *to, int err)
{
	struct end s, c;
	struct net_step step = { 0 };
	char answer[2048];
	end_init(&s, false, server, false);
	end_init(&c, true, client, false);
	ck_assert_int_eq(c.codec->start(c.w, &step), 0);
	feed(&s, step.reply, step.reply_len);
	ck_assert_msg(!s.err, "%s", s.reply);
	char *at = strstr(s.reply, from);
	ck_assert_msg(at != NULL, "%s", s.reply);
	int n = snprintf(answer, sizeof answer, "%.*s%s%s", (int)(at - s.reply), s.reply, to, at + strlen(from));
	for (int i = 0; i <= n; i++)
		feed(&c, answer, (size_t)i);
	ck_assert_int_eq(c.err, err);
	ck_assert_str_eq(c.text, err ? "" : "[16] ");
	if (!err && client->protocols && server) {
		ck_assert_uint_eq(c.w->protocol_len, s.w->protocol_len);
		ck_assert(!s.w->protocol_len || !memcmp(c.w->protocol, s.w->protocol, s.w->protocol_len));
	}
	end_clear(&s);
	end_clear(&c);
}

START_TEST(a_client_meets_a_server)
{
	static const struct net_ws plain = { .host = "a:80" }, server = { .protocols = "b,c" };
	static const struct net_ws full = { .host = "a:80", .target = "/x?y=z", .headers = "Origin: b\r\nCookie: c\r\n", .protocols = "c, b" };
	static const struct net_ws tiny = { .host = "a:80", .max_head = 100 };
	meet(&plain, NULL, "", "", 0);
	meet(&full, &server, "", "", 0);
	meet(&full, NULL, "", "", 0);
	meet(&plain, NULL, "101", "200", EBADMSG);
	meet(&plain, NULL, "HTTP/1.1", "HTTP/1.0", EBADMSG);
	meet(&plain, NULL, "Upgrade: websocket", "Upgrade: other", EBADMSG);
	meet(&plain, NULL, "Connection: Upgrade", "Connection: close", EBADMSG);
	meet(&plain, NULL, "Sec-WebSocket-Accept: ", "Sec-WebSocket-Accept: x", EBADMSG);
	meet(&plain, NULL, "Sec-WebSocket-Accept", "Sec-WebSocket-Except", EBADMSG);
	meet(&plain, NULL, "Connection", "Sec-WebSocket-Extensions: x\r\nConnection", EBADMSG);
	meet(&plain, NULL, "Connection", "Sec-WebSocket-Protocol: c\r\nConnection", EBADMSG);
	meet(&full, &server, "Protocol: b", "Protocol: d", EBADMSG);
	meet(&full, &server, "Protocol: b", "Protocol: ", EBADMSG);
	meet(&tiny, NULL, "", "", EMSGSIZE);
}
END_TEST

START_TEST(settings_cannot_smuggle_lines)
{
	static const struct net_ws bad[] = {
		{ .host = NULL }, { .host = "" }, { .host = "a\r\nb: c" }, { .host = "a b" }, { .host = "a", .target = "x" },
		{ .host = "a", .target = "/ x" }, { .host = "a", .target = "/\n" }, { .host = "a", .protocols = "a\r\n" },
		{ .host = "a", .headers = "x: y" }, { .host = "a", .headers = "x: y\r\n\r\n" }, { .host = "a", .headers = "\r\n" },
	};
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
		struct end e;
		struct net_step s = { 0 };
		end_init(&e, true, &bad[i], false);
		ck_assert_msg(e.codec->start(e.w, &s) == -EINVAL, "%zu", i);
		end_clear(&e);
	}
}
END_TEST

/* ------------------------------------------------------------------ on connections */

static struct latch opened, closed, told;
static atomic_int last_reason, last_code;
static _Atomic(net_conn_id) last_id;
static struct net_server *server;

static void on_close(struct net_conn *c, int reason)
{
	if (net_conn_tag(c) == 9) /* the client's end */
		return;
	atomic_store(&last_reason, reason);
	atomic_store(&last_code, net_ws_close_code(c));
	latch_add(&closed, 1);
}

static enum net_action echo(struct net_conn *c, const struct net_message *m)
{
	if (m->type == NET_WS_OPEN) {
		atomic_store(&last_id, net_conn_id_of(c));
		latch_add(&opened, 1);
	} else if (m->type == NET_WS_TEXT || m->type == NET_WS_BINARY) {
		if (m->len == 4 && !memcmp(m->bytes, "quit", 4))
			return NET_CLOSE;
		if (m->len == 3 && !memcmp(m->bytes, "end", 3)) {
			ck_assert_int_eq(net_ws_close(c, 999, NULL), -EINVAL);
			ck_assert_int_eq(net_ws_close(c, 4000, "the end"), 0);
			ck_assert_int_eq(net_ws_close(c, 4000, NULL), -EPIPE);
		} else {
			ck_assert_int_eq(net_write_message(c, m->bytes, m->len, m->type), 0);
		}
	}
	return NET_NONE;
}

static int patience_ms = 100000; /* with peers that do not take part in closing */

static int start(int way, const struct net_events *e, const struct net_ws *settings)
{
	struct net_options o;
	int err;
	opened = closed = told = (struct latch)LATCH;
	fix_options(&o, way, 1);
	o.close_timeout_ms = patience_ms;
	server = net_server_new(e, &o, &err);
	struct net_listener *l = net_listen(server, "tcp4://127.0.0.1:0", &err);
	ck_assert_ptr_nonnull(l);
	net_listener_set_codec(l, net_ws_server_codec(), settings);
	ck_assert_int_eq(net_server_start(server, false), 0);
	return net_listener_port(l);
}

static const struct net_events echo_events = { .message = echo, .close = on_close };

static void expect_bytes(int fd, const char *bytes, size_t len)
{
	char got[512];
	fix_recv(fd, got, len);
	ck_assert_mem_eq(got, bytes, len);
}
#define EXPECT(fd, literal) expect_bytes(fd, literal, sizeof literal - 1)
#define SEND(fd, literal) fix_send(fd, literal, sizeof literal - 1)

static int join(int port)
{
	int fd = fix_connect(port);
	SEND(fd, REQUEST);
	EXPECT(fd, ANSWER);
	return fd;
}

static void expect_closed(int fd, long n, int reason, int code)
{
	fix_ended(fd);
	close(fd);
	latch_wait(&closed, n);
	ck_assert_int_eq(atomic_load(&last_reason), reason);
	ck_assert_int_eq(atomic_load(&last_code), code);
}

START_TEST(an_echo_server)
{
	int port = start(_i, &echo_events, NULL), fd = join(port);
	SEND(fd, "\x81\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58\1\x82" M "ab\x89\x80" M "\x80\x81" M "c");
	EXPECT(fd, "\x81\5Hello\x8a\0\x81\3abc");
	const char bytes[] = "\x82\x82" M "xy";
	for (size_t i = 0; i < sizeof bytes - 1; i++)
		fix_send(fd, bytes + i, 1);
	EXPECT(fd, "\x82\2xy");
	SEND(fd, "\x88\x85" M "\x0f\xa1" "bye");
	EXPECT(fd, "\x88\2\x0f\xa1");
	expect_closed(fd, 1, NET_BY_PEER, 4001);
	fd = join(port);
	close(fd);
	latch_wait(&closed, 2);
	ck_assert_int_eq(atomic_load(&last_code), NET_WS_ABNORMAL);
	fix_stop(server, 1000);
}
END_TEST

START_TEST(errors_are_answered)
{
	int port = start(_i, &echo_events, NULL), fd = join(port);
	SEND(fd, "\x81\x81" M "x\x81\1x and more");
	EXPECT(fd, "\x81\1x" CLOSE_1002);
	expect_closed(fd, 1, EBADMSG, NET_WS_ABNORMAL);
	fd = fix_connect(port);
	SEND(fd, "GET / HTTP/1.1\r\n\r\n");
	EXPECT(fd, "HTTP/1.1 400 Bad Request\r\n");
	char byte;
	while (recv(fd, &byte, 1, 0) > 0)
		;
	expect_closed(fd, 2, EBADMSG, NET_WS_ABNORMAL);
	fix_stop(server, 1000);
}
END_TEST

START_TEST(the_server_ends_it)
{
	int port = start(_i, &echo_events, NULL), fd = join(port);
	SEND(fd, "\x81\x84" M "quit\x81\x81" M "x");
	EXPECT(fd, "\x88\2\3\xe8");
	expect_closed(fd, 1, NET_BY_US, NET_WS_ABNORMAL);
	fd = join(port); /* with the handshake */
	SEND(fd, "\x81\x83" M "end\x81\x81" M "x\x89\x80" M);
	EXPECT(fd, "\x88\x09\x0f\xa0the end");
	SEND(fd, "\x81\x81" M "x\x88\x82" M "\x0f\xa0");
	expect_closed(fd, 2, NET_BY_US, 4000);
	fd = join(port);
	net_server_stop(server, patience_ms);
	EXPECT(fd, "\x88\2\3\xe9"); /* going away */
	expect_closed(fd, 3, NET_BY_US, NET_WS_ABNORMAL);
	fix_stop(server, 1000);
}
END_TEST

START_TEST(a_peer_that_does_not_take_part_in_the_end)
{
	patience_ms = 300;
	int fd = join(start(_i, &echo_events, NULL));
	SEND(fd, "\x81\x83" M "end");
	EXPECT(fd, "\x88\x09\x0f\xa0the end");
	expect_closed(fd, 1, NET_BY_TIMEOUT, NET_WS_ABNORMAL);
	fix_stop(server, 1000);
	patience_ms = 100000;
}
END_TEST

#define BIG 300000

static char *big;

static void fill(char *p, uint64_t from, size_t n)
{
	for (size_t i = 0; i < n; i++)
		p[i] = (char)fix_byte(from + i);
}

static enum net_action both_ends(struct net_conn *c, const struct net_message *m)
{
	size_t len;
	if (net_conn_tag(c) != 9)
		return echo(c, m);
	if (m->type == NET_WS_OPEN) { /* one in one piece, one in fragments */
		const char *p = net_ws_protocol(c, &len);
		ck_assert(len == 2 && !memcmp(p, "v2", 2));
		ck_assert_int_eq(net_write_message(c, big, BIG, NET_WS_BINARY), 0);
		ck_assert_int_eq(net_write_message(c, big, 1000, NET_WS_BINARY | NET_WS_PART), 0);
		ck_assert_int_eq(net_write_message(c, "ping", 4, NET_WS_PING), 0);
		ck_assert_int_eq(net_write_message(c, big + 1000, BIG - 1000, NET_WS_CONTINUE), 0);
	} else if (m->type == NET_WS_BINARY) {
		ck_assert_uint_eq(m->len, BIG);
		ck_assert(!memcmp(m->bytes, big, BIG));
		latch_add(&told, 1);
		if (latch_get(&told) == 3)
			ck_assert_int_eq(net_ws_close(c, NET_WS_NORMAL, "enough"), 0);
	} else if (m->type == NET_WS_PONG) {
		ck_assert(m->len == 4 && !memcmp(m->bytes, "ping", 4));
		latch_add(&told, 1);
	} else {
		ck_assert_int_eq(m->type, NET_WS_CLOSE);
		latch_add(&told, 1);
	}
	return NET_NONE;
}

static void on_dialled(void *ctx, struct net_conn *c, int err)
{
	static const struct net_ws bad = { .host = "" };
	ck_assert_msg(c != NULL, "%s", strerror(-err));
	ck_assert_int_eq(net_set_codec(c, net_ws_client_codec(), &bad), -EINVAL);
	ck_assert_int_eq(net_set_codec(c, net_ws_client_codec(), ctx), 0);
	ck_assert_int_eq(net_write_message(c, "x", 1, NET_WS_TEXT), -ENOTCONN);
}

START_TEST(both_ends_with_large_messages)
{
	static const struct net_ws settings = { .protocols = "v2, v1" };
	struct net_ws client = { .host = "here", .protocols = "v2" };
	const struct net_events e = { .message = both_ends, .close = on_close };
	char url[64];
	big = malloc(BIG);
	fill(big, 0, BIG);
	snprintf(url, sizeof url, "tcp4://127.0.0.1:%d", start(_i, &e, &settings));
	const struct net_dial d = { .url = url, .tag = 9, .done = on_dialled, .ctx = &client };
	ck_assert_int_eq(net_dial(net_server_loop(server, 0), &d), 0);
	latch_wait(&told, 4);
	latch_wait(&closed, 1);
	ck_assert_int_eq(atomic_load(&last_reason), NET_BY_PEER);
	ck_assert_int_eq(atomic_load(&last_code), NET_WS_NORMAL);
	fix_stop(server, 1000);
	free(big);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("net_websocket");
	TCase *t = tcase_create("alone"), *w = tcase_create("connections");
	tcase_set_timeout(t, 60);
	tcase_add_test(t, frames_of_the_rfc);
	tcase_add_test(t, lengths_in_two_and_eight_bytes);
	tcase_add_test(t, fragments_with_control_frames_between_them);
	tcase_add_test(t, limits);
	tcase_add_test(t, what_breaks_the_protocol);
	tcase_add_test(t, text_is_utf8);
	tcase_add_test(t, close_frames);
	tcase_add_test(t, frames_that_go_out);
	tcase_add_test(t, the_upgrade_of_the_rfc);
	tcase_add_test(t, requests_that_are_refused);
	tcase_add_test(t, heads_are_limited);
	tcase_add_test(t, the_program_may_refuse);
	tcase_add_test(t, a_client_meets_a_server);
	tcase_add_test(t, settings_cannot_smuggle_lines);
	tcase_set_timeout(w, 60);
	tcase_add_loop_test(w, an_echo_server, 0, FIX_WAYS);
	tcase_add_loop_test(w, errors_are_answered, 0, FIX_WAYS);
	tcase_add_loop_test(w, the_server_ends_it, 0, FIX_WAYS);
	tcase_add_loop_test(w, a_peer_that_does_not_take_part_in_the_end, 0, FIX_WAYS);
	tcase_add_loop_test(w, both_ends_with_large_messages, 0, FIX_WAYS);
	suite_add_tcase(s, t);
	suite_add_tcase(s, w);
	return suite_run(s);
}
