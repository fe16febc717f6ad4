/*
 * load: a load driver for one core. Drives a server over many connections, checks the content of every reply, and
 * reports throughput and latency as one line of JSON.
 *
 *   load [-h host] -p port [-c connections] [-P pipeline] [-t get|set|fill|ping] [-k keys] [-d value bytes]
 *        [-n requests | -s seconds] [-r requests per second] [-e ttl seconds] [-o key offset]
 *
 * Without -r each connection sends -P requests, waits for all their replies, and goes on. With -r requests have a fixed
 * timetable, -P at a time, on each connection in turn, and latency counts from the moment they were due, so a server
 * that stalls is charged for everything that queued behind the stall. `fill` sets the keys 0 to keys-1 in order, once.
 * Keys are "key:" and 12 digits; a value follows from its key.
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

#define OUT_CAP (1 << 18)
#define IN_CAP (1 << 18)
#define QUEUE 4096 /* requests in flight per connection, a power of two */
#define SUB_BITS 7
#define BUCKETS ((64 - SUB_BITS) << SUB_BITS)

enum op { OP_GET, OP_SET, OP_FILL, OP_PING };

static struct {
	const char *host;
	int port, conns, pipeline;
	enum op op;
	uint64_t keys, offset, requests;
	size_t value_len;
	double seconds, rate;
	long ttl_s;
} opt = { .host = "127.0.0.1", .conns = 50, .pipeline = 1, .keys = 1000000, .value_len = 64 };

struct request {
	uint64_t key;
	int64_t from_ns;
};

struct conn {
	int fd;
	bool want_write;
	unsigned head, tail; /* of queue */
	size_t out_len, out_sent, in_len;
	struct request queue[QUEUE];
	char out[OUT_CAP], in[IN_CAP];
};

static struct conn **conns;
static int poller;
static uint64_t sent, done, histogram[BUCKETS];
static int64_t longest_ns, end_ns;
static uint64_t seed = 88172645463325252u;
static char expected[1 << 16];
static size_t expected_len, head_len; /* head: what comes before the value */

static _Noreturn void die(const char *what)
{
	fprintf(stderr, "load: %s%s%s\n", what, errno ? ": " : "", errno ? strerror(errno) : "");
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

/* ---------------------------------------------------------------- latency: 128 steps per power of two */

static unsigned bucket_of(uint64_t ns)
{
	unsigned shift;

	if (ns < 1 << SUB_BITS)
		return (unsigned)ns;
	shift = 63u - (unsigned)__builtin_clzll(ns) - SUB_BITS;
	return ((shift + 1) << SUB_BITS) + (unsigned)((ns >> shift) - (1 << SUB_BITS));
}

static double bucket_us(unsigned b)
{
	unsigned shift = b >> SUB_BITS;
	uint64_t low = b & ((1 << SUB_BITS) - 1);

	if (!shift)
		return (double)low / 1000;
	return (double)((low + (1 << SUB_BITS)) << (shift - 1)) / 1000;
}

static double percentile_us(double p)
{
	uint64_t want = (uint64_t)((double)done * p / 100), seen = 0;

	for (unsigned b = 0; b < BUCKETS; b++) {
		seen += histogram[b];
		if (seen > want)
			return bucket_us(b);
	}
	return (double)longest_ns / 1000;
}

static void count(int64_t from_ns, int64_t at_ns)
{
	int64_t ns = at_ns > from_ns ? at_ns - from_ns : 0;

	histogram[bucket_of((uint64_t)ns)]++;
	if (ns > longest_ns)
		longest_ns = ns;
	done++;
}

/* ---------------------------------------------------------------- requests */

static void put_digits(char *to, uint64_t v)
{
	for (int i = 11; i >= 0; i--, v /= 10)
		to[i] = (char)('0' + v % 10);
}

static void make_value(char *to, uint64_t key)
{
	char digits[12];

	put_digits(digits, key);
	for (size_t i = 0; i < opt.value_len; i += 12)
		memcpy(to + i, digits, opt.value_len - i < 12 ? opt.value_len - i : 12);
}

static size_t encode(char *to, uint64_t key)
{
	char *p = to;

	if (opt.op == OP_PING) {
		memcpy(p, "*1\r\n$4\r\nPING\r\n", 14);
		return 14;
	}
	if (opt.op == OP_GET) {
		memcpy(p, "*2\r\n$3\r\nGET\r\n$16\r\nkey:", 22);
		put_digits(p + 22, key);
		memcpy(p + 34, "\r\n", 2);
		return 36;
	}
	memcpy(p, opt.ttl_s ? "*5\r\n$3\r\nSET\r\n$16\r\nkey:" : "*3\r\n$3\r\nSET\r\n$16\r\nkey:", 22);
	put_digits(p + 22, key);
	p += 34;
	p += snprintf(p, 32, "\r\n$%zu\r\n", opt.value_len);
	make_value(p, key);
	p += opt.value_len;
	memcpy(p, "\r\n", 2);
	p += 2;
	if (opt.ttl_s) {
		char number[24];
		int n = snprintf(number, sizeof(number), "%ld", opt.ttl_s);

		p += snprintf(p, 64, "$2\r\nEX\r\n$%d\r\n%s\r\n", n, number);
	}
	return (size_t)(p - to);
}

static uint64_t next_key(void)
{
	return opt.op == OP_FILL ? opt.offset + sent : opt.offset + random_u64() % opt.keys;
}

static bool finished_sending(int64_t now)
{
	return opt.requests ? sent >= opt.requests : now >= end_ns;
}

/* Queue one request on c. false: it has too much in flight. */
static bool enqueue(struct conn *c, int64_t from_ns)
{
	uint64_t key;

	if (c->head - c->tail == QUEUE || c->out_len + opt.value_len + 256 > OUT_CAP)
		return false;
	key = next_key();
	c->queue[c->head++ % QUEUE] = (struct request){ key, from_ns };
	c->out_len += encode(c->out + c->out_len, key);
	sent++;
	return true;
}

static void send_out(struct conn *c)
{
	while (c->out_sent < c->out_len) {
		ssize_t n = write(c->fd, c->out + c->out_sent, c->out_len - c->out_sent);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN)
			break;
		if (n < 0)
			die("write");
		c->out_sent += (size_t)n;
	}
	if (c->out_sent == c->out_len)
		c->out_sent = c->out_len = 0;
	bool want = c->out_len > 0;

	if (want != c->want_write) {
		struct epoll_event e = { .events = EPOLLIN | (want ? EPOLLOUT : 0), .data.ptr = c };

		c->want_write = want;
		if (epoll_ctl(poller, EPOLL_CTL_MOD, c->fd, &e) < 0)
			die("epoll_ctl");
	}
}

static void fill_window(struct conn *c, int64_t now)
{
	for (int i = 0; i < opt.pipeline && !finished_sending(now); i++)
		enqueue(c, now);
	if (c->out_len)
		send_out(c);
}

/* ---------------------------------------------------------------- replies */

static _Noreturn void unexpected(const struct conn *c, size_t at, uint64_t key)
{
	fprintf(stderr, "load: key %llu: unexpected reply: %.*s\n", (unsigned long long)key,
	        (int)(c->in_len - at < 80 ? c->in_len - at : 80), c->in + at);
	exit(1);
}

static void on_readable(struct conn *c)
{
	ssize_t n = read(c->fd, c->in + c->in_len, IN_CAP - c->in_len);
	size_t at = 0;
	int64_t now;

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0)
		die(n ? "read" : "the server closed a connection");
	c->in_len += (size_t)n;
	now = now_ns();
	while (c->in_len > at) {
		struct request *r = &c->queue[c->tail % QUEUE];
		size_t have = c->in_len - at;

		if (c->tail == c->head)
			die("a reply without a request");
		if (opt.op == OP_GET)
			make_value(expected + head_len, r->key);
		if (memcmp(c->in + at, expected, have < head_len ? have : head_len) != 0)
			unexpected(c, at, r->key);
		if (have < expected_len)
			break;
		if (memcmp(c->in + at, expected, expected_len) != 0)
			unexpected(c, at, r->key);
		at += expected_len;
		c->tail++;
		count(r->from_ns, now);
	}
	memmove(c->in, c->in + at, c->in_len - at);
	c->in_len -= at;
	if (opt.rate <= 0 && c->tail == c->head)
		fill_window(c, now);
}

static void prepare_expected(void)
{
	switch (opt.op) {
	case OP_PING:
		expected_len = (size_t)snprintf(expected, 64, "+PONG\r\n");
		break;
	case OP_GET:
		head_len = (size_t)snprintf(expected, 64, "$%zu\r\n", opt.value_len);
		expected_len = head_len + opt.value_len + 2;
		memcpy(expected + expected_len - 2, "\r\n", 2);
		break;
	default:
		expected_len = (size_t)snprintf(expected, 64, "+OK\r\n");
	}
	if (opt.op != OP_GET)
		head_len = expected_len;
}

/* ---------------------------------------------------------------- run */

static struct conn *conn_open(void)
{
	struct conn *c = calloc(1, sizeof(*c));
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_port = htons((uint16_t)opt.port) };
	struct epoll_event e = { .events = EPOLLIN, .data.ptr = c };
	int one = 1;

	if (!c || inet_pton(AF_INET, opt.host, &a.sin_addr) != 1)
		die("address");
	c->fd = socket(AF_INET, SOCK_STREAM, 0);
	if (c->fd < 0 || connect(c->fd, (struct sockaddr *)&a, sizeof(a)) < 0)
		die("connect");
	setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	if (fcntl(c->fd, F_SETFL, O_NONBLOCK) < 0 || epoll_ctl(poller, EPOLL_CTL_ADD, c->fd, &e) < 0)
		die("connection");
	return c;
}

/* Send what the timetable says is due, -P requests at a time on one connection. */
static void send_due(int64_t start, int64_t now)
{
	static unsigned turn;
	uint64_t due = (uint64_t)((double)(now - start) * opt.rate / 1e9);

	for (int touched = 0; sent + (uint64_t)opt.pipeline <= due && !finished_sending(now) && touched < opt.conns;
	     touched++) {
		struct conn *c = conns[turn++ % (unsigned)opt.conns];
		int64_t from_ns = start + (int64_t)((double)(sent + (uint64_t)opt.pipeline) * 1e9 / opt.rate);

		for (int i = 0; i < opt.pipeline && enqueue(c, from_ns); i++)
			;
		if (!c->want_write)
			send_out(c);
	}
}

static double run(void)
{
	struct epoll_event events[256];
	int64_t start = now_ns(), now = start;

	end_ns = start + (int64_t)(opt.seconds * 1e9);
	if (opt.rate <= 0)
		for (int i = 0; i < opt.conns; i++)
			fill_window(conns[i], now);
	for (;;) {
		if (opt.rate > 0)
			send_due(start, now);
		if (finished_sending(now) && done == sent)
			break;
		int n = epoll_wait(poller, events, 256, opt.rate > 0 ? 0 : 1000);

		if (n < 0 && errno != EINTR)
			die("epoll_wait");
		for (int i = 0; i < n; i++) {
			struct conn *c = events[i].data.ptr;

			if (events[i].events & EPOLLOUT)
				send_out(c);
			if (events[i].events & ~(uint32_t)EPOLLOUT)
				on_readable(c);
		}
		now = now_ns();
		if (now > end_ns + 60000000000 && opt.seconds > 0)
			die("the server fell behind by a minute");
	}
	return (double)(now_ns() - start) / 1e9;
}

static void parse(int argc, char **argv)
{
	static const char *const names[] = { "get", "set", "fill", "ping" };
	int o;

	while ((o = getopt(argc, argv, "h:p:c:P:t:k:d:n:s:r:e:o:")) != -1) {
		switch (o) {
		case 'h': opt.host = optarg; break;
		case 'p': opt.port = (int)strtol(optarg, NULL, 10); break;
		case 'c': opt.conns = (int)strtol(optarg, NULL, 10); break;
		case 'P': opt.pipeline = (int)strtol(optarg, NULL, 10); break;
		case 'k': opt.keys = strtoull(optarg, NULL, 10); break;
		case 'o': opt.offset = strtoull(optarg, NULL, 10); break;
		case 'd': opt.value_len = strtoul(optarg, NULL, 10); break;
		case 'n': opt.requests = strtoull(optarg, NULL, 10); break;
		case 's': opt.seconds = strtod(optarg, NULL); break;
		case 'r': opt.rate = strtod(optarg, NULL); break;
		case 'e': opt.ttl_s = strtol(optarg, NULL, 10); break;
		case 't':
			for (opt.op = OP_GET; opt.op <= OP_PING && strcmp(optarg, names[opt.op]) != 0;)
				opt.op++;
			break;
		default: exit(2);
		}
	}
	if (opt.op == OP_FILL)
		opt.requests = opt.keys;
	errno = 0;
	if (opt.port <= 0 || opt.conns < 1 || opt.pipeline < 1 || opt.pipeline > QUEUE || opt.keys < 1 ||
	    opt.op > OP_PING || opt.value_len + 512 > sizeof(expected) || (!opt.requests && opt.seconds <= 0))
		die("bad arguments; see the head of load.c");
}

int main(int argc, char **argv)
{
	double seconds;

	parse(argc, argv);
	prepare_expected();
	poller = epoll_create1(0);
	conns = calloc((size_t)opt.conns, sizeof(*conns));
	if (poller < 0 || !conns)
		die("start");
	for (int i = 0; i < opt.conns; i++)
		conns[i] = conn_open();
	seconds = run();
	printf("{\"requests\": %llu, \"seconds\": %.6f, \"rps\": %.1f, \"p50\": %.1f, \"p99\": %.1f, \"p99.9\": %.1f, "
	       "\"max\": %.1f}\n", (unsigned long long)done, seconds, (double)done / seconds, percentile_us(50),
	       percentile_us(99), percentile_us(99.9), (double)longest_ns / 1000);
	for (int i = 0; i < opt.conns; i++) {
		close(conns[i]->fd);
		free(conns[i]);
	}
	free(conns);
	return 0;
}
