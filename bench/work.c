/*
 * work: drives a server with any commands over many connections of one core and reports one line of JSON.
 *
 *   work -p port [-c connections] [-P pipeline] [-n requests | -s seconds] [-i pid of the server]
 *        [-B connections -b command [-a]] command...
 *
 * The commands together are one request. Words are separated by spaces; inside of a word stands for a number
 *   {r:M}   a random one below M             {s:M}   the request's number, modulo M
 *   {d:M}   the request's number, over M     {p:M}   as s, but in a scattered order in which each comes once
 * in 12 digits, or in N as {r:M,N}; {x:N} are N bytes. Each connection sends -P requests, waits for all replies and
 * goes on. With -B that many more connections send the command of -b first. With -a they ask again after each reply,
 * and the run ends when they had as many replies as there were requests (blocked consumers). Without -a they are
 * subscribers: everything they get counts, and the next requests are sent when all of them had all earlier ones.
 * With -i the CPU time of the server is taken from /proc, from the first request to the last reply.
 * Any error reply ends the run.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define IN_CAP (1 << 18)
#define FIELDS_MAX 64

struct field {
	char kind;
	unsigned width;
	uint64_t below;
	size_t at;
};

/* A request as bytes, and where its numbers go. */
struct template {
	char *bytes;
	size_t len, cap;
	struct field fields[FIELDS_MAX];
	int nfields, replies;
};

struct conn {
	int fd;
	bool waiter;
	char *out;
	size_t out_len, out_sent, in_len;
	uint64_t values, skip; /* what remains of the reply being read: values, and bytes of the present one */
	long awaited;          /* replies */
	char in[IN_CAP];
};

static struct {
	int port, conns, pipeline, waiters, pid;
	uint64_t requests;
	double seconds;
	const char *waiting;
	bool again;
} opt = { .conns = 50, .pipeline = 1 };

static struct template request, waiter_request;
static struct conn **conns;
static int poller;
static uint64_t sent, done, arrived;
static int64_t end_ns;
static uint64_t seed = 88172645463325252u;

static _Noreturn void die(const char *what)
{
	fprintf(stderr, "work: %s%s%s\n", what, errno ? ": " : "", errno ? strerror(errno) : "");
	exit(1);
}

static int64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static uint64_t random_u64(void)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	return seed ^= seed << 17;
}

/* ---------------------------------------------------------------- templates */

static void put(struct template *t, const char *bytes, size_t len)
{
	if (t->len + len > t->cap) {
		t->cap = (t->len + len) * 2;
		t->bytes = realloc(t->bytes, t->cap);
		if (!t->bytes)
			die("memory");
	}
	memcpy(t->bytes + t->len, bytes, len);
	t->len += len;
}

/* Appends to `word` what stands between two braces. Returns the first byte after it. */
static const char *add_field(struct template *t, struct template *word, const char *at, int first)
{
	struct field f = { .kind = at[1], .width = 12 };
	char *end;

	if (!strchr("rsdpx", f.kind) || at[2] != ':' || t->nfields == FIELDS_MAX)
		die(at);
	f.below = strtoull(at + 3, &end, 10);
	if (*end == ',')
		f.width = (unsigned)strtoul(end + 1, &end, 10);
	if (*end != '}' || !f.below || f.width > 20)
		die(at);
	if (f.kind == 'x') {
		for (uint64_t i = 0; i < f.below; i++)
			put(word, "x", 1);
		return end + 1;
	}
	f.at = word->len;
	for (unsigned i = 0; i < f.width; i++)
		put(word, "0", 1);
	t->fields[first] = f;
	t->nfields = first + 1;
	return end + 1;
}

static void add_word(struct template *t, const char *from, const char *to)
{
	struct template word = { .len = 0 };
	char head[32];
	int before = t->nfields;

	while (from < to) {
		if (*from == '{') {
			from = add_field(t, &word, from, t->nfields);
		} else {
			put(&word, from++, 1);
		}
	}
	put(t, head, (size_t)snprintf(head, sizeof(head), "$%zu\r\n", word.len));
	for (int i = before; i < t->nfields; i++)
		t->fields[i].at += t->len;
	put(t, word.bytes, word.len);
	put(t, "\r\n", 2);
	free(word.bytes);
}

static void add_command(struct template *t, const char *command)
{
	char head[32];
	int words = 0;

	for (const char *p = command; *(p += strspn(p, " ")); p += strcspn(p, " "))
		words++;
	put(t, head, (size_t)snprintf(head, sizeof(head), "*%d\r\n", words));
	for (const char *p = command; *(p += strspn(p, " ")); p += strcspn(p, " "))
		add_word(t, p, p + strcspn(p, " "));
	t->replies++;
}

static void fill_in(struct template *t, char *to, uint64_t number)
{
	memcpy(to, t->bytes, t->len);
	for (int i = 0; i < t->nfields; i++) {
		const struct field *f = &t->fields[i];
		uint64_t v = number % f->below;

		if (f->kind == 'r')
			v = random_u64() % f->below;
		else if (f->kind == 'd')
			v = number / f->below;
		else if (f->kind == 'p')
			v = (v * 2654435761u) % f->below; /* a prime: coprime to every number that is no multiple of it */
		for (unsigned d = f->width; d > 0; d--, v /= 10)
			to[f->at + d - 1] = (char)('0' + v % 10);
	}
}

/* ---------------------------------------------------------------- sending */

static void send_out(struct conn *c)
{
	struct epoll_event e = { .events = EPOLLIN, .data.ptr = c };
	bool waited = c->out_sent > 0;

	while (c->out_sent < c->out_len) {
		ssize_t n = write(c->fd, c->out + c->out_sent, c->out_len - c->out_sent);

		if (n < 0 && errno == EAGAIN) {
			e.events |= EPOLLOUT;
			if (epoll_ctl(poller, EPOLL_CTL_MOD, c->fd, &e) < 0)
				die("epoll_ctl");
			return;
		}
		if (n < 0 && errno != EINTR)
			die("write");
		if (n > 0)
			c->out_sent += (size_t)n;
	}
	c->out_sent = c->out_len = 0;
	if (waited && epoll_ctl(poller, EPOLL_CTL_MOD, c->fd, &e) < 0)
		die("epoll_ctl");
}

static bool finished_sending(int64_t now)
{
	return opt.requests ? sent >= opt.requests : now >= end_ns;
}

static bool waiters_behind(void)
{
	return opt.waiters && !opt.again && arrived < sent * (uint64_t)opt.waiters;
}

static void fill_window(struct conn *c, int64_t now)
{
	if (waiters_behind())
		return;
	for (int i = 0; i < opt.pipeline && !finished_sending(now); i++) {
		fill_in(&request, c->out + c->out_len, sent++);
		c->out_len += request.len;
		c->awaited += request.replies;
	}
	if (c->out_len)
		send_out(c);
}

static void ask_again(struct conn *c)
{
	fill_in(&waiter_request, c->out, 0);
	c->out_len = waiter_request.len;
	send_out(c);
}

/* ---------------------------------------------------------------- replies */

/* Begins with the value at p. Returns the bytes of its first line, 0 if that is not all there. */
static size_t begin_value(struct conn *c, const char *p, size_t have)
{
	const char *end = memchr(p, '\n', have);
	long n = 0;

	if (!end)
		return 0;
	if (*p == '-') {
		errno = 0;
		fprintf(stderr, "work: %.*s\n", (int)(end - p), p);
		exit(1);
	}
	if (*p == '$' || *p == '*' || *p == '>' || *p == '%') {
		n = p[1] == '-' ? -1 : 0;
		for (const char *q = p + 1; n >= 0 && *q != '\r'; q++)
			n = n * 10 + (*q - '0');
	}
	c->values--;
	if (*p == '$' && n >= 0)
		c->skip = (uint64_t)n + 2;
	else if (n > 0)
		c->values += (uint64_t)n << (*p == '%');
	return (size_t)(end - p) + 1;
}

static void replied(struct conn *c)
{
	if (c->waiter) {
		arrived++;
		if (opt.again)
			ask_again(c);
		else if (conns[opt.conns - 1] && !waiters_behind())
			for (int i = 0; i < opt.conns; i++)
				if (!conns[i]->awaited)
					fill_window(conns[i], now_ns());
		return;
	}
	if (--c->awaited % request.replies == 0)
		done++;
	if (!c->awaited)
		fill_window(c, now_ns());
}

static void on_readable(struct conn *c)
{
	ssize_t n = read(c->fd, c->in + c->in_len, IN_CAP - c->in_len);
	size_t at = 0, used;

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0)
		die(n ? "read" : "the server closed a connection");
	c->in_len += (size_t)n;
	while (at < c->in_len) {
		if (c->skip) {
			used = c->in_len - at < c->skip ? c->in_len - at : c->skip;
			c->skip -= used;
		} else {
			if (!c->values)
				c->values = 1;
			used = begin_value(c, c->in + at, c->in_len - at);
			if (!used)
				break;
		}
		at += used;
		if (!c->skip && !c->values)
			replied(c);
	}
	memmove(c->in, c->in + at, c->in_len - at);
	c->in_len -= at;
}

/* ---------------------------------------------------------------- run */

static struct conn *conn_open(bool waiter)
{
	struct conn *c = calloc(1, sizeof(*c));
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_port = htons((uint16_t)opt.port) };
	struct epoll_event e = { .events = EPOLLIN, .data.ptr = c };
	int one = 1;

	a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	if (!c)
		die("memory");
	c->waiter = waiter;
	c->out = malloc(waiter ? waiter_request.len : request.len * (size_t)opt.pipeline);
	c->fd = socket(AF_INET, SOCK_STREAM, 0);
	if (!c->out || c->fd < 0 || connect(c->fd, (struct sockaddr *)&a, sizeof(a)) < 0)
		die("connect");
	setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	if (fcntl(c->fd, F_SETFL, O_NONBLOCK) < 0 || epoll_ctl(poller, EPOLL_CTL_ADD, c->fd, &e) < 0)
		die("connection");
	if (waiter)
		ask_again(c);
	return c;
}

static void turn(int timeout_ms)
{
	struct epoll_event events[256];
	int n = epoll_wait(poller, events, 256, timeout_ms);

	if (n < 0 && errno != EINTR)
		die("epoll_wait");
	for (int i = 0; i < n; i++) {
		struct conn *c = events[i].data.ptr;

		if (events[i].events & EPOLLOUT)
			send_out(c);
		if (events[i].events & ~(uint32_t)EPOLLOUT)
			on_readable(c);
	}
}

static double cpu_s(void)
{
	char path[64], text[1024], *p;
	unsigned long user, system;
	FILE *f;

	if (!opt.pid)
		return 0;
	snprintf(path, sizeof(path), "/proc/%d/stat", opt.pid);
	f = fopen(path, "r");
	if (!f || !fgets(text, sizeof(text), f) || !(p = strrchr(text, ')')) ||
	    sscanf(p, ") %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu", &user, &system) != 2)
		die(path);
	fclose(f);
	return (double)(user + system) / (double)sysconf(_SC_CLK_TCK);
}

static bool finished(int64_t now)
{
	if (!finished_sending(now) || done < sent)
		return false;
	return !opt.waiters || arrived >= sent * (opt.again ? 1 : (uint64_t)opt.waiters);
}

static void parse(int argc, char **argv)
{
	int o;

	while ((o = getopt(argc, argv, "p:c:P:n:s:i:B:b:a")) != -1) {
		switch (o) {
		case 'p': opt.port = (int)strtol(optarg, NULL, 10); break;
		case 'c': opt.conns = (int)strtol(optarg, NULL, 10); break;
		case 'P': opt.pipeline = (int)strtol(optarg, NULL, 10); break;
		case 'n': opt.requests = strtoull(optarg, NULL, 10); break;
		case 's': opt.seconds = strtod(optarg, NULL); break;
		case 'i': opt.pid = (int)strtol(optarg, NULL, 10); break;
		case 'B': opt.waiters = (int)strtol(optarg, NULL, 10); break;
		case 'b': opt.waiting = optarg; break;
		case 'a': opt.again = true; break;
		default: exit(2);
		}
	}
	errno = 0;
	if (opt.port <= 0 || opt.conns < 1 || opt.pipeline < 1 || optind == argc || (!opt.requests && opt.seconds <= 0) ||
	    opt.waiters < 0 || !opt.waiters != !opt.waiting)
		die("bad arguments; see the head of work.c");
	for (; optind < argc; optind++)
		add_command(&request, argv[optind]);
	if (opt.waiting)
		add_command(&waiter_request, opt.waiting);
}

int main(int argc, char **argv)
{
	double cpu, seconds;
	int64_t start;

	parse(argc, argv);
	poller = epoll_create1(0);
	conns = calloc((size_t)opt.conns, sizeof(struct conn *));
	if (poller < 0 || !conns)
		die("start");
	for (int i = 0; i < opt.waiters; i++)
		conn_open(true);
	while (opt.waiters && !opt.again && arrived < (uint64_t)opt.waiters)
		turn(1000);
	arrived = 0;
	for (int i = 0; i < opt.conns; i++)
		conns[i] = conn_open(false);
	cpu = cpu_s();
	start = now_ns();
	end_ns = start + (int64_t)(opt.seconds * 1e9);
	for (int i = 0; i < opt.conns; i++)
		fill_window(conns[i], start);
	while (!finished(now_ns()))
		turn(100);
	seconds = (double)(now_ns() - start) / 1e9;
	printf("{\"requests\": %llu, \"arrived\": %llu, \"seconds\": %.6f, \"rps\": %.1f, \"cpu_us\": %.4f}\n",
	       (unsigned long long)done, (unsigned long long)arrived, seconds, (double)done / seconds,
	       (cpu_s() - cpu) * 1e6 / (double)(done ? done : 1));
	return 0;
}
