/* ws_upgrade: the HTTP/1.1 request and answer that begin a WebSocket, read strictly: what two readers could understand
 * differently is refused. */
#include <errno.h>
#include <openssl/evp.h>
#include <openssl/sha.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "net/impl/ws.h"

#define MAX_HEAD (8 * 1024)
#define MAX_HEADERS 100
#define KEY_LEN 24    /* 16 bytes in base64 */
#define ACCEPT_LEN 28 /* 20 bytes */

struct slice {
	const char *p;
	size_t len;
};

struct head {
	struct slice line[3]; /* method, target, version; or version, status, reason */
	unsigned n;
	struct {
		struct slice name, value;
	} headers[MAX_HEADERS];
};

/* ------------------------------------------------------------------ reading a head */

static bool equals(struct slice s, const char *text)
{
	return s.len == strlen(text) && !strncasecmp(s.p, text, s.len);
}

static bool is_exactly(struct slice s, const char *text)
{
	return s.len == strlen(text) && !memcmp(s.p, text, s.len);
}

static bool is_token(struct slice s)
{
	static const char marks[] = "!#$%&'*+-.^_`|~";
	for (size_t i = 0; i < s.len; i++) {
		char c = s.p[i];
		bool alnum = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
		if (!alnum && (!c || !strchr(marks, c)))
			return false;
	}
	return s.len > 0;
}

static bool is_text(struct slice s)
{
	for (size_t i = 0; i < s.len; i++) {
		if (((unsigned char)s.p[i] < ' ' && s.p[i] != '\t') || s.p[i] == 0x7f)
			return false;
	}
	return true;
}

static struct slice trim(struct slice s)
{
	while (s.len && (*s.p == ' ' || *s.p == '\t')) {
		s.p++;
		s.len--;
	}
	while (s.len && (s.p[s.len - 1] == ' ' || s.p[s.len - 1] == '\t'))
		s.len--;
	return s;
}

/* Cut the part before a character off; without one, all. */
static struct slice cut(struct slice *from, char at)
{
	const char *end = from->len ? memchr(from->p, at, from->len) : NULL;
	struct slice first = { from->p, end ? (size_t)(end - from->p) : from->len };
	size_t used = first.len + (end != NULL);
	from->p += used;
	from->len -= used;
	return first;
}

/* The n bytes of a head, with the empty line at its end: 0, or the HTTP status that refuses it. */
static int parse_head(const char *p, size_t n, struct head *h)
{
	struct slice rest = { p, n - 2 }, line = cut(&rest, '\n');
	h->n = 0;
	if (!line.len || line.p[line.len - 1] != '\r')
		return 400;
	line.len--;
	h->line[0] = cut(&line, ' ');
	h->line[1] = cut(&line, ' ');
	h->line[2] = line;
	if (!is_text(h->line[0]) || !is_text(h->line[1]) || !is_text(line) || !h->line[0].len || !h->line[1].len)
		return 400;
	while (rest.len) {
		line = cut(&rest, '\n');
		if (!line.len || line.p[line.len - 1] != '\r')
			return 400;
		line.len--;
		if (h->n == MAX_HEADERS)
			return 431;
		bool colon = memchr(line.p, ':', line.len) != NULL;
		struct slice name = cut(&line, ':');
		if (!colon || !is_token(name) || !is_text(line))
			return 400;
		h->headers[h->n].name = name;
		h->headers[h->n++].value = trim(line);
	}
	return 0;
}

/* Find the end of the head, which has at most max bytes: its length, 0 more, -1 too long. */
static ssize_t head_length(const struct ws *w, const char *p, size_t len, size_t *seen)
{
	size_t max = w->o->max_head ? w->o->max_head : MAX_HEAD, from = *seen > 3 ? *seen - 3 : 0;
	const char *end = len - from >= 4 ? memmem(p + from, len - from, "\r\n\r\n", 4) : NULL;
	size_t n = end ? (size_t)(end - p) + 4 : len;
	*seen = len;
	if (n > max || (!end && n == max))
		return -1;
	return end ? (ssize_t)n : 0;
}

static unsigned count(const struct head *h, const char *name, struct slice *value)
{
	unsigned n = 0;
	*value = (struct slice){ NULL, 0 };
	for (unsigned i = 0; i < h->n; i++) {
		if (!equals(h->headers[i].name, name))
			continue;
		if (!n++)
			*value = h->headers[i].value;
	}
	return n;
}

static bool list_has(struct slice list, struct slice token, bool any_case)
{
	while (list.len) {
		struct slice t = trim(cut(&list, ','));
		if (t.len == token.len && !(any_case ? strncasecmp : strncmp)(t.p, token.p, t.len))
			return true;
	}
	return false;
}

/* Whether one of the lists in the headers of that name has the token. */
static bool has_token(const struct head *h, const char *name, struct slice token, bool any_case)
{
	for (unsigned i = 0; i < h->n; i++) {
		if (equals(h->headers[i].name, name) && list_has(h->headers[i].value, token, any_case))
			return true;
	}
	return false;
}

static struct slice text_slice(const char *text)
{
	return (struct slice){ text, text ? strlen(text) : 0 };
}

const char *net_ws_header(const struct net_ws_request *r, const char *name, size_t *len)
{
	struct slice value;
	count(r->head, name, &value);
	*len = value.len;
	return value.p;
}

/* ------------------------------------------------------------------ keys */

static void accept_of(const char *key, char out[ACCEPT_LEN + 1])
{
	unsigned char digest[SHA_DIGEST_LENGTH];
	char text[KEY_LEN + 37];
	snprintf(text, sizeof text, "%.*s%s", KEY_LEN, key, "258EAFA5-E914-47DA-95CA-C5AB0DC85B11");
	SHA1((const unsigned char *)text, strlen(text), digest);
	EVP_EncodeBlock((unsigned char *)out, digest, sizeof digest);
}

static bool is_key(struct slice s)
{
	unsigned char bytes[KEY_LEN];
	if (s.len != KEY_LEN || memcmp(s.p + KEY_LEN - 2, "==", 2) || memchr(s.p, '=', KEY_LEN - 2))
		return false;
	return EVP_DecodeBlock(bytes, (const unsigned char *)s.p, KEY_LEN) == 18; /* it counts the padding, too */
}

/* ------------------------------------------------------------------ server */

static const char *phrase(int status)
{
	switch (status) {
	case 400:
		return "Bad Request";
	case 401:
		return "Unauthorized";
	case 403:
		return "Forbidden";
	case 404:
		return "Not Found";
	case 405:
		return "Method Not Allowed";
	case 426:
		return "Upgrade Required";
	case 429:
		return "Too Many Requests";
	case 431:
		return "Request Header Fields Too Large";
	case 500:
		return "Internal Server Error";
	case 503:
		return "Service Unavailable";
	case 505:
		return "HTTP Version Not Supported";
	default:
		return "Refused";
	}
}

static ssize_t refuse(struct ws *w, struct net_step *s, int status, int err, const char *text)
{
	size_t room = 256 + strlen(text);
	char *out = ws_reply_room(w, s, room);
	w->phase = WS_OVER;
	s->error = text;
	if (out)
		s->reply_len = (size_t)snprintf(out, room,
		                                "HTTP/1.1 %d %s\r\n%s%sConnection: close\r\nContent-Type: text/plain\r\n"
		                                "Content-Length: %zu\r\n\r\n%s\n",
		                                status, phrase(status), status == 426 ? "Upgrade: websocket\r\n" : "",
		                                status == 426 ? "Sec-WebSocket-Version: 13\r\n" :
		                                status == 405 ? "Allow: GET\r\n" : "",
		                                strlen(text) + 1, text);
	return -err;
}

/* What is wrong with a request, NULL nothing; and the status to say so. */
static const char *check_request(const struct head *h, struct slice *key, int *status)
{
	struct slice v;
	*status = 400;
	if (!is_exactly(h->line[2], "HTTP/1.1")) {
		*status = 505;
		return "HTTP/1.1 is spoken here";
	}
	if (!is_exactly(h->line[0], "GET")) {
		*status = 405;
		return "the method must be GET";
	}
	if (count(h, "Host", &v) != 1)
		return "one Host is needed";
	unsigned lengths = count(h, "Content-Length", &v);
	if (lengths > 1 || (lengths && !is_exactly(v, "0")) || count(h, "Transfer-Encoding", &v))
		return "a body has no place here";
	*status = 426;
	if (!has_token(h, "Upgrade", text_slice("websocket"), true))
		return "WebSocket is spoken here";
	if (count(h, "Sec-WebSocket-Version", &v) != 1 || !is_exactly(v, "13"))
		return "Sec-WebSocket-Version must be 13";
	*status = 400;
	if (!has_token(h, "Connection", text_slice("upgrade"), true))
		return "Connection must name Upgrade";
	if (count(h, "Sec-WebSocket-Key", key) != 1 || !is_key(*key))
		return "Sec-WebSocket-Key must be 16 bytes in base64";
	return NULL;
}

/* The first of ours that the peer has, too. */
static void choose_protocol(struct ws *w, const struct head *h)
{
	struct slice ours = text_slice(w->o->protocols);
	while (ours.len) {
		struct slice t = trim(cut(&ours, ','));
		if (t.len && has_token(h, "Sec-WebSocket-Protocol", t, false)) {
			w->protocol = t.p;
			w->protocol_len = t.len;
			return;
		}
	}
}

static ssize_t accept_request(struct ws *w, struct net_step *s, const char *key)
{
	char accept[ACCEPT_LEN + 1];
	size_t room = 256 + w->protocol_len;
	char *out = ws_reply_room(w, s, room);
	if (!out)
		return -ENOMEM;
	accept_of(key, accept);
	s->reply_len = (size_t)snprintf(out, room,
	                                "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
	                                "Sec-WebSocket-Accept: %s\r\n%s%.*s%s\r\n",
	                                accept, w->protocol ? "Sec-WebSocket-Protocol: " : "", (int)w->protocol_len,
	                                w->protocol ? w->protocol : "", w->protocol ? "\r\n" : "");
	w->phase = WS_OPEN;
	s->whole = true;
	return 0;
}

ssize_t ws_take_request(struct ws *w, const char *p, size_t len, struct net_step *s)
{
	struct head h;
	struct slice key;
	int status;
	ssize_t n = head_length(w, p, len, &s->seen);
	if (n == 0)
		return 0;
	if (n < 0)
		return refuse(w, s, 431, EMSGSIZE, "request too long");
	status = parse_head(p, (size_t)n, &h);
	if (status)
		return status == 431 ? refuse(w, s, status, EMSGSIZE, "too many headers") :
		                       refuse(w, s, status, EBADMSG, "malformed request");
	const char *wrong = check_request(&h, &key, &status);
	if (wrong)
		return refuse(w, s, status, EBADMSG, wrong);
	const struct net_ws_request r = { .target = h.line[1].p, .target_len = h.line[1].len, .head = &h };
	status = w->o->accept ? w->o->accept(w->o->user, &r) : 0;
	if (status)
		return refuse(w, s, status >= 400 && status <= 599 ? status : 500, EACCES, "refused");
	choose_protocol(w, &h);
	int err = (int)accept_request(w, s, key.p);
	s->message = (struct net_message){ .bytes = r.target, .len = r.target_len, .type = NET_WS_OPEN };
	return err ? err : n;
}

/* ------------------------------------------------------------------ client */

/* Nothing of the settings can begin a line of its own. */
static bool settings_good(const struct net_ws *o)
{
	struct slice host = text_slice(o->host), target = text_slice(o->target), protocols = text_slice(o->protocols);
	if (!host.len || !is_text(host) || !is_text(target) || !is_text(protocols))
		return false;
	if (memchr(host.p, ' ', host.len) || (target.len && (*target.p != '/' || memchr(target.p, ' ', target.len))))
		return false;
	size_t n = o->headers ? strlen(o->headers) : 0;
	return !n || (n > 2 && !strcmp(o->headers + n - 2, "\r\n") && !strstr(o->headers, "\r\n\r\n"));
}

int ws_put_request(struct ws *w, struct net_step *s)
{
	const struct net_ws *o = w->o;
	unsigned char nonce[16];
	char key[KEY_LEN + 1];
	if (!settings_good(o))
		return -EINVAL;
	const char *target = o->target && *o->target ? o->target : "/", *headers = o->headers ? o->headers : "";
	const char *protocols = o->protocols ? o->protocols : "";
	size_t room = 256 + strlen(o->host) + strlen(target) + strlen(headers) + strlen(protocols);
	int err = ws_random(nonce, sizeof nonce);
	if (err)
		return err;
	char *out = ws_reply_room(w, s, room);
	w->accept = malloc(ACCEPT_LEN + 1);
	if (!out || !w->accept)
		return -ENOMEM;
	EVP_EncodeBlock((unsigned char *)key, nonce, sizeof nonce);
	accept_of(key, w->accept);
	s->reply_len = (size_t)snprintf(out, room,
	                                "GET %s HTTP/1.1\r\nHost: %s\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
	                                "Sec-WebSocket-Key: %s\r\nSec-WebSocket-Version: 13\r\n%s%s%s%s\r\n",
	                                target, o->host, key, *protocols ? "Sec-WebSocket-Protocol: " : "", protocols,
	                                *protocols ? "\r\n" : "", headers);
	return 0;
}

/* What is wrong with an answer. */
static const char *check_answer(struct ws *w, const struct head *h)
{
	struct slice v;
	if (!is_exactly(h->line[0], "HTTP/1.1") || !is_exactly(h->line[1], "101"))
		return "the server does not upgrade";
	if (!has_token(h, "Upgrade", text_slice("websocket"), true) || !has_token(h, "Connection", text_slice("upgrade"), true))
		return "the server upgrades to something else";
	if (count(h, "Sec-WebSocket-Accept", &v) != 1 || v.len != ACCEPT_LEN || memcmp(v.p, w->accept, ACCEPT_LEN))
		return "Sec-WebSocket-Accept does not belong to the key";
	if (count(h, "Sec-WebSocket-Extensions", &v))
		return "the server uses an extension that was not offered";
	unsigned n = count(h, "Sec-WebSocket-Protocol", &v);
	if (n > 1 || (n && (!v.len || !list_has(text_slice(w->o->protocols), v, false))))
		return "the server chose a protocol that was not offered";
	if (n)
		choose_protocol(w, h);
	return NULL;
}

ssize_t ws_take_answer(struct ws *w, const char *p, size_t len, struct net_step *s)
{
	struct head h;
	ssize_t n = head_length(w, p, len, &s->seen);
	if (n == 0)
		return 0;
	const char *wrong = n < 0 ? "answer too long" : parse_head(p, (size_t)n, &h) ? "malformed answer" : check_answer(w, &h);
	if (wrong) {
		w->phase = WS_OVER;
		s->error = wrong;
		return n < 0 ? -EMSGSIZE : -EBADMSG;
	}
	free(w->accept);
	w->accept = NULL;
	w->phase = WS_OPEN;
	s->whole = true;
	s->message = (struct net_message){ .bytes = p, .type = NET_WS_OPEN };
	return n;
}
