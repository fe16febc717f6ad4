#include "tests/lib/resp_client.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "tests/lib/proc.h"

#define LIMIT_MS (10000 * proc_time_factor())

static struct resp_client *client_of(int fd)
{
	struct resp_client *c = calloc(1, sizeof *c);
	if (!c)
		abort();
	c->fd = fd;
	return c;
}

struct resp_client *resp_connect(int port)
{
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_port = htons((uint16_t)port) };
	a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), one = 1;
	if (fd < 0)
		return NULL;
	if (connect(fd, (struct sockaddr *)&a, sizeof a)) {
		close(fd);
		return NULL;
	}
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
	return client_of(fd);
}

struct resp_client *resp_connect_unix(const char *path)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	snprintf(a.sun_path, sizeof a.sun_path, "%s", path);
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return NULL;
	if (connect(fd, (struct sockaddr *)&a, sizeof a)) {
		close(fd);
		return NULL;
	}
	return client_of(fd);
}

void resp_close(struct resp_client *c)
{
	if (!c)
		return;
	close(c->fd);
	free(c->buf);
	free(c);
}

/* Whatever has arrived; waits if told. false: end of stream, error, or nothing came. */
static bool fill(struct resp_client *c, int wait_ms)
{
	struct pollfd f = { c->fd, POLLIN, 0 };
	if (poll(&f, 1, wait_ms) <= 0) {
		if (wait_ms)
			fprintf(stderr, "resp_client: no reply within %d ms\n", wait_ms);
		return false;
	}
	if (c->start && c->end - c->start < c->start) {
		memmove(c->buf, c->buf + c->start, c->end - c->start);
		c->end -= c->start;
		c->start = 0;
	}
	if (c->cap - c->end < 65536) {
		c->cap = c->cap * 2 + 65536;
		c->buf = realloc(c->buf, c->cap);
		if (!c->buf)
			abort();
	}
	ssize_t n = recv(c->fd, c->buf + c->end, c->cap - c->end, MSG_DONTWAIT);
	if (n < 0)
		return errno == EAGAIN || errno == EINTR;
	c->end += (size_t)n;
	return n > 0;
}

bool resp_send_bytes(struct resp_client *c, const void *bytes, size_t len)
{
	const char *at = bytes;
	while (len) {
		ssize_t n = send(c->fd, at, len, MSG_DONTWAIT | MSG_NOSIGNAL);
		if (n > 0) {
			at += n;
			len -= (size_t)n;
			continue;
		}
		if (n < 0 && errno != EAGAIN && errno != EINTR)
			return false;
		/* Neither side waits for the other: replies are taken in while the way out is blocked. */
		struct pollfd f = { c->fd, POLLIN | POLLOUT, 0 };
		if (poll(&f, 1, LIMIT_MS) <= 0)
			return false;
		if ((f.revents & POLLIN) && !fill(c, 0))
			return false;
	}
	return true;
}

bool resp_send_argv(struct resp_client *c, size_t argc, const struct resp_bytes *argv)
{
	size_t size = 32, n;
	for (size_t i = 0; i < argc; i++)
		size += argv[i].len + 32;
	char *buf = malloc(size);
	if (!buf)
		abort();
	n = (size_t)snprintf(buf, 32, "*%zu\r\n", argc);
	for (size_t i = 0; i < argc; i++) {
		n += (size_t)snprintf(buf + n, 32, "$%zu\r\n", argv[i].len);
		if (argv[i].len)
			memcpy(buf + n, argv[i].ptr, argv[i].len);
		n += argv[i].len;
		memcpy(buf + n, "\r\n", 2);
		n += 2;
	}
	bool ok = resp_send_bytes(c, buf, n);
	free(buf);
	return ok;
}

static int hex(char ch)
{
	return isdigit((unsigned char)ch) ? ch - '0' : tolower((unsigned char)ch) - 'a' + 10;
}

static char unescape(const char **at)
{
	const char *s = *at + 1;
	*at += 2;
	switch (*s) {
	case 'n': return '\n';
	case 'r': return '\r';
	case 't': return '\t';
	case 'x':
		if (isxdigit((unsigned char)s[1]) && isxdigit((unsigned char)s[2])) {
			*at += 2;
			return (char)(hex(s[1]) << 4 | hex(s[2]));
		}
		return 'x';
	default: return *s;
	}
}

int resp_split(const char *line, struct resp_bytes *argv, int max)
{
	int n = 0;
	for (;;) {
		while (isspace((unsigned char)*line))
			line++;
		if (!*line)
			return n;
		if (n == max)
			return -1;
		char *word = malloc(strlen(line) + 1);
		size_t len = 0;
		if (!word)
			abort();
		if (*line == '"') {
			line++;
			while (*line && *line != '"')
				word[len++] = *line == '\\' && line[1] ? unescape(&line) : *line++;
			if (*line)
				line++;
		} else {
			while (*line && !isspace((unsigned char)*line))
				word[len++] = *line++;
		}
		argv[n++] = (struct resp_bytes){ word, len };
	}
}

bool resp_send(struct resp_client *c, const char *line)
{
	enum { MAX = 4096 };
	struct resp_bytes *argv = calloc(MAX, sizeof *argv);
	if (!argv)
		abort();
	int n = resp_split(line, argv, MAX);
	bool ok = n > 0 && resp_send_argv(c, (size_t)n, argv);
	for (int i = 0; i < n; i++)
		free((char *)(uintptr_t)argv[i].ptr);
	free(argv);
	return ok;
}

/* The first line: its length with CRLF, 0 incomplete. */
static size_t line_len(const char *buf, size_t len)
{
	const char *lf = memchr(buf, '\n', len);
	return lf ? (size_t)(lf - buf) + 1 : 0;
}

ssize_t resp_reply_len(const char *buf, size_t len)
{
	size_t at = 0;
	/* An explicit count instead of recursion: aggregates only add to what is still to come. */
	for (uint64_t todo = 1; todo; todo--) {
		size_t n = line_len(buf + at, len - at);
		if (!n)
			return 0;
		if (n < 3 || buf[at + n - 2] != '\r')
			return -1;
		char type = buf[at];
		int64_t count = strchr("$=!*%~>|", type) ? strtoll(buf + at + 1, NULL, 10) : -1;
		at += n;
		if (!strchr("+-:_#,($=!*%~>|", type))
			return -1;
		if (count < 0)
			continue;
		if (strchr("$=!", type)) {
			if (len - at < (size_t)count + 2)
				return 0;
			if (memcmp(buf + at + count, "\r\n", 2))
				return -1;
			at += (size_t)count + 2;
		} else {
			todo += (uint64_t)count * (type == '%' || type == '|' ? 2 : 1) + (type == '|');
		}
	}
	return (ssize_t)at;
}

bool resp_read(struct resp_client *c, struct resp_bytes *out)
{
	*out = (struct resp_bytes){ "", 0 };
	for (;;) {
		ssize_t n = c->end > c->start ? resp_reply_len(c->buf + c->start, c->end - c->start) : 0;
		if (n < 0) {
			char *text = resp_printable(c->buf + c->start, c->end - c->start);
			fprintf(stderr, "resp_client: not RESP: %.200s\n", text);
			free(text);
			c->closed = true;
			return false;
		}
		if (n > 0) {
			*out = (struct resp_bytes){ c->buf + c->start, (size_t)n };
			c->start += (size_t)n;
			return true;
		}
		if (!fill(c, LIMIT_MS)) {
			c->closed = true;
			return false;
		}
	}
}

bool resp_read_eof(struct resp_client *c)
{
	for (;;) {
		c->start = c->end = 0;
		struct pollfd f = { c->fd, POLLIN, 0 };
		if (poll(&f, 1, LIMIT_MS) <= 0)
			return false;
		if (!fill(c, 0))
			return true;
	}
}

static size_t parse_value(const char *buf, size_t len, struct resp_value *v)
{
	size_t at = line_len(buf, len), line = at - 3;
	memset(v, 0, sizeof *v);
	v->type = *buf;
	if (strchr("$=!*%~>|", *buf)) {
		int64_t count = strtoll(buf + 1, NULL, 10);
		v->null = count < 0;
		if (v->null)
			return at;
		if (strchr("$=!", *buf)) {
			v->len = (size_t)count;
			v->text = strndup("", 0);
			v->text = realloc(v->text, v->len + 1);
			memcpy(v->text, buf + at, v->len);
			v->text[v->len] = 0;
			return at + v->len + 2;
		}
		v->n = (size_t)count * (*buf == '%' || *buf == '|' ? 2 : 1);
		v->elements = calloc(v->n ? v->n : 1, sizeof *v->elements);
		for (size_t i = 0; i < v->n; i++)
			at += parse_value(buf + at, len - at, &v->elements[i]);
		return at;
	}
	v->null = *buf == '_';
	v->len = line;
	v->text = strndup(buf + 1, line);
	v->integer = *buf == ':' ? strtoll(v->text, NULL, 10) : 0;
	return at;
}

struct resp_value *resp_parse_value(const char *buf, size_t len)
{
	struct resp_value *v = calloc(1, sizeof *v);
	if (!v)
		abort();
	parse_value(buf, len, v);
	return v;
}

struct resp_value *resp_read_value(struct resp_client *c)
{
	struct resp_bytes b;
	return resp_read(c, &b) ? resp_parse_value(b.ptr, b.len) : NULL;
}

struct resp_value *resp_ask(struct resp_client *c, const char *line)
{
	return resp_send(c, line) ? resp_read_value(c) : NULL;
}

static void value_clear(struct resp_value *v)
{
	for (size_t i = 0; i < v->n; i++)
		value_clear(&v->elements[i]);
	free(v->elements);
	free(v->text);
}

void resp_value_free(struct resp_value *v)
{
	if (v)
		value_clear(v);
	free(v);
}

char *resp_printable(const char *buf, size_t len)
{
	char *out = malloc(len * 4 + 1), *at = out;
	if (!out)
		abort();
	for (size_t i = 0; i < len; i++) {
		unsigned char ch = (unsigned char)buf[i];
		if (ch == '\r' || ch == '\n' || ch == '\\' || ch == '"') {
			*at++ = '\\';
			*at++ = (char)(ch == '\r' ? 'r' : ch == '\n' ? 'n' : ch);
		} else if (ch >= 32 && ch < 127) {
			*at++ = (char)ch;
		} else {
			at += snprintf(at, 5, "\\x%02x", ch);
		}
	}
	*at = 0;
	return out;
}
