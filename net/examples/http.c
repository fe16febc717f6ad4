/* http: an HTTP/1.1 server; with a certificate and its key over TLS. http URL [CERT KEY], for instance: http tcp://:8080;
 * then: curl -i localhost:8080/; curl -i -d text localhost:8080/echo
 *
 * Connections are kept alive, and requests may follow one another without waiting: all answers of a turn go out with one
 * system call. */
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "net/tls.h"

#define HEAD_MAX (8 << 10)
#define BODY_MAX (1 << 20)

struct request {
	const char *method, *target, *body;
	size_t method_len, target_len, body_len;
	bool keep, host, sized;
};

static bool is(const char *p, size_t len, const char *word)
{
	return len == strlen(word) && !memcmp(p, word, len);
}

static bool is_any_case(const char *p, size_t len, const char *word)
{
	return len == strlen(word) && !strncasecmp(p, word, len);
}

/* One line of the head. 0, or the status that refuses the request. */
static int take_header(struct request *r, const char *p, const char *end)
{
	const char *colon = memchr(p, ':', (size_t)(end - p)), *v = colon + 1;
	if (!colon || colon == p || *p == ' ' || *p == '\t' || colon[-1] == ' ')
		return 400;
	for (; v < end && (*v == ' ' || *v == '\t'); v++)
		;
	for (; end > v && (end[-1] == ' ' || end[-1] == '\t'); end--)
		;
	size_t name_len = (size_t)(colon - p), len = (size_t)(end - v);
	if (is_any_case(p, name_len, "host"))
		r->host = true;
	else if (is_any_case(p, name_len, "connection"))
		r->keep = is_any_case(v, len, "keep-alive") || (r->keep && !is_any_case(v, len, "close"));
	else if (is_any_case(p, name_len, "transfer-encoding"))
		return 501;
	if (!is_any_case(p, name_len, "content-length"))
		return 0;
	if (len == 0 || r->sized)
		return 400;
	for (r->sized = true; v < end; v++) {
		if (*v < '0' || *v > '9')
			return 400;
		r->body_len = r->body_len * 10 + (size_t)(*v - '0');
		if (r->body_len > BODY_MAX)
			return 413;
	}
	return 0;
}

/* Bytes of the request; 0: more are needed, *missing at least; negative: the status that refuses it. */
static long parse(const char *p, size_t len, struct request *r, size_t *missing)
{
	const char *end = memmem(p, len < HEAD_MAX ? len : HEAD_MAX, "\r\n\r\n", 4), *next;
	*missing = 1;
	if (!end)
		return len < HEAD_MAX ? 0 : -431;
	const char *line = memmem(p, (size_t)(end + 2 - p), "\r\n", 2), *space = memchr(p, ' ', (size_t)(line - p));
	const char *last = space ? memrchr(space + 1, ' ', (size_t)(line - space - 1)) : NULL;
	if (!last || (!is(last, (size_t)(line - last), " HTTP/1.1") && !is(last, (size_t)(line - last), " HTTP/1.0")))
		return -400;
	*r = (struct request){ .method = p, .method_len = (size_t)(space - p), .target = space + 1,
		                   .target_len = (size_t)(last - space - 1), .body = end + 4, .keep = line[-1] == '1' };
	bool newer = r->keep;
	for (line += 2; line < end; line = next + 2) {
		next = memmem(line, (size_t)(end + 2 - line), "\r\n", 2);
		int status = take_header(r, line, next);
		if (status)
			return -status;
	}
	if (newer && !r->host)
		return -400;
	size_t whole = (size_t)(r->body - p) + r->body_len;
	*missing = whole > len ? whole - len : 0;
	return *missing ? 0 : (long)whole;
}

static void answer(struct net_conn *c, const char *status, const struct request *r, const char *body, size_t len)
{
	char head[160];
	int n = snprintf(head, sizeof head, "HTTP/1.1 %s\r\nContent-Type: text/plain\r\nContent-Length: %zu\r\n%s\r\n", status,
	                 len, r && r->keep ? "" : "Connection: close\r\n");
	net_write(c, head, (size_t)n);
	if (!r || !is(r->method, r->method_len, "HEAD"))
		net_write(c, body, len);
}

static void serve(struct net_conn *c, const struct request *r)
{
	bool reads = is(r->method, r->method_len, "GET") || is(r->method, r->method_len, "HEAD");
	if (reads && is(r->target, r->target_len, "/"))
		answer(c, "200 OK", r, "hello\n", 6);
	else if (is(r->method, r->method_len, "POST") && is(r->target, r->target_len, "/echo"))
		answer(c, "200 OK", r, r->body, r->body_len);
	else
		answer(c, reads ? "404 Not Found" : "405 Method Not Allowed", r, "", 0);
}

static enum net_action on_data(struct net_conn *c)
{
	struct request r;
	size_t len, missing;
	long n;
	const char *p = net_peek(c, &len);
	while (len && (n = parse(p, len, &r, &missing)) > 0) {
		serve(c, &r);
		net_discard(c, (size_t)n);
		if (!r.keep)
			return NET_CLOSE;
		p = net_peek(c, &len);
	}
	if (len && n == 0)
		net_expect(c, missing);
	if (len && n < 0)
		answer(c, n == -413 ? "413 Content Too Large" : n == -431 ? "431 Request Header Fields Too Large" :
		       n == -501 ? "501 Not Implemented" : "400 Bad Request", NULL, "", 0);
	return len && n < 0 ? NET_CLOSE : NET_NONE;
}

int main(int argc, char **argv)
{
	const struct net_events events = { .data = on_data };
	struct net_options o;
	int err = 0;
	net_options_init(&o);
	o.pause_on_high = true;
	o.idle_timeout_ms = 60 * 1000;
	struct net_tls *tls = argc > 3 ? net_tls_server(argv[2], argv[3], &err) : NULL;
	struct net_server *s = err ? NULL : net_server_new(&events, &o, &err);
	struct net_listener *l = s ? net_listen(s, argc > 1 ? argv[1] : "tcp://:8080", &err) : NULL;
	if (!l)
		return fprintf(stderr, "http: %s\n", strerror(-err)), 1;
	if (tls)
		net_listener_set_transport(l, net_tls_transport(), tls);
	printf("%s\n", net_listener_addr(l));
	fflush(stdout);
	return net_server_start(s, true) ? 1 : 0;
}
