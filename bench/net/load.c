/*
 * load: drives an echo server and checks every byte that comes back.
 *
 *   load PORT CONNECTIONS SIZE DEPTH SECONDS PID
 *
 * Each connection sends DEPTH messages of SIZE bytes at once, waits for all of them, and goes on. One line of JSON tells
 * messages per second, latency of a round, and the CPU time that process PID used in the measured time, per message.
 */
#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define PATTERNS 64 /* a round sends the pattern from another place than the round before */
#define BUCKETS 4096

struct client {
	int fd;
	uint32_t round;
	size_t sent, got;
	int64_t since_ns;
};

static size_t total; /* bytes of a round */
static unsigned char *pattern, *buffer;
static uint64_t latency[BUCKETS]; /* of 1/64 octaves of a microsecond */
static uint64_t rounds;
static int epfd;

static int64_t now_ns(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static _Noreturn void die(const char *what)
{
	fprintf(stderr, "load: %s: %s\n", what, strerror(errno));
	exit(1);
}

/* Nanoseconds on a CPU, over all threads. */
static uint64_t cpu_ns(int pid)
{
	char path[300];
	uint64_t sum = 0, ns;
	snprintf(path, sizeof path, "/proc/%d/task", pid);
	DIR *d = opendir(path);
	for (struct dirent *e; d && (e = readdir(d));) {
		snprintf(path, sizeof path, "/proc/%d/task/%s/schedstat", pid, e->d_name);
		FILE *f = e->d_name[0] == '.' ? NULL : fopen(path, "r");
		if (f && fscanf(f, "%lu", &ns) == 1)
			sum += ns;
		if (f)
			fclose(f);
	}
	if (d)
		closedir(d);
	return sum;
}

static uint64_t resident(int pid)
{
	char path[64];
	unsigned long size = 0, pages = 0;
	snprintf(path, sizeof path, "/proc/%d/statm", pid);
	FILE *f = fopen(path, "r");
	if (!f || fscanf(f, "%lu %lu", &size, &pages) != 2)
		pages = 0;
	if (f)
		fclose(f);
	return (uint64_t)pages * 4096;
}

static void note(int64_t ns)
{
	uint64_t v = (uint64_t)ns / 16 + 64;
	int top = 63 - __builtin_clzll(v);
	unsigned b = (unsigned)(top - 6) * 64 + (unsigned)(v >> (top - 6) & 63);
	latency[b < BUCKETS ? b : BUCKETS - 1]++;
}

static double percentile(double p)
{
	uint64_t n = 0, seen = 0;
	for (int i = 0; i < BUCKETS; i++)
		n += latency[i];
	for (int i = 0; i < BUCKETS; i++) {
		seen += latency[i];
		if ((double)seen >= p * (double)n)
			return (double)((((uint64_t)(i % 64) | 64) << (i / 64)) - 64) * 16 / 1000;
	}
	return 0;
}

static void push(struct client *c)
{
	const unsigned char *from = pattern + c->round % PATTERNS;
	while (c->sent < total) {
		ssize_t n = send(c->fd, from + c->sent, total - c->sent, MSG_NOSIGNAL | MSG_DONTWAIT);
		if (n < 0 && errno != EAGAIN)
			die("send");
		if (n < 0) {
			struct epoll_event ev = { .events = EPOLLIN | EPOLLOUT, .data.ptr = c };
			epoll_ctl(epfd, EPOLL_CTL_MOD, c->fd, &ev);
			return;
		}
		c->sent += (size_t)n;
	}
}

static void begin(struct client *c)
{
	c->sent = c->got = 0;
	c->round++;
	c->since_ns = now_ns();
	push(c);
}

static void pull(struct client *c)
{
	size_t left = total - c->got;
	ssize_t n = recv(c->fd, buffer, left, MSG_DONTWAIT);
	if (n == 0 || (n < 0 && errno != EAGAIN))
		die("recv");
	if (n < 0)
		return;
	if (memcmp(buffer, pattern + c->round % PATTERNS + c->got, (size_t)n)) {
		fprintf(stderr, "load: wrong bytes came back\n");
		exit(2);
	}
	c->got += (size_t)n;
	if (c->got < total)
		return;
	note(now_ns() - c->since_ns);
	rounds++;
	begin(c);
}

static void run_until(int64_t end)
{
	struct epoll_event ev[512];
	while (now_ns() < end) {
		int n = epoll_wait(epfd, ev, 512, 1000);
		for (int i = 0; i < n; i++) {
			struct client *c = ev[i].data.ptr;
			if (ev[i].events & EPOLLOUT) {
				push(c);
				if (c->sent == total) {
					struct epoll_event in = { .events = EPOLLIN, .data.ptr = c };
					epoll_ctl(epfd, EPOLL_CTL_MOD, c->fd, &in);
				}
			}
			if (ev[i].events & ~(unsigned)EPOLLOUT)
				pull(c);
		}
	}
}

static void connect_all(struct client *c, int n, int port)
{
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_port = htons((uint16_t)port) };
	int one = 1;
	for (int i = 0; i < n; i++) {
		a.sin_addr.s_addr = htonl(INADDR_LOOPBACK + (uint32_t)(i / 20000));
		c[i].fd = socket(AF_INET, SOCK_STREAM, 0);
		if (c[i].fd < 0 || connect(c[i].fd, (struct sockaddr *)&a, sizeof a))
			die("connect");
		setsockopt(c[i].fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
		fcntl(c[i].fd, F_SETFL, O_NONBLOCK);
		c[i].round = (uint32_t)i;
		struct epoll_event ev = { .events = EPOLLIN, .data.ptr = &c[i] };
		epoll_ctl(epfd, EPOLL_CTL_ADD, c[i].fd, &ev);
	}
}

/* Memory of idle connections, before and after each echoed once. */
static void idle(struct client *c, int n, int port, int pid)
{
	connect_all(c, 100, port); /* what the first connections cost once */
	usleep(300000);
	uint64_t before = resident(pid);
	connect_all(c + 100, n, port);
	usleep(500000);
	uint64_t open = resident(pid);
	for (int i = 100; i < n + 100; i++)
		begin(&c[i]);
	uint64_t want = (uint64_t)n;
	while (rounds < want) {
		struct epoll_event ev[512];
		int k = epoll_wait(epfd, ev, 512, 5000);
		if (k <= 0)
			die("idle: no answer");
		for (int i = 0; i < k; i++) {
			struct client *x = ev[i].data.ptr;
			ssize_t r = recv(x->fd, buffer, total, MSG_DONTWAIT);
			x->got += r > 0 ? (size_t)r : 0;
			rounds += x->got == total;
		}
	}
	usleep(500000);
	printf("{\"bytes_idle\": %.1f, \"bytes_after\": %.1f}\n", (double)(open - before) / n,
	       (double)(resident(pid) - before) / n);
}

int main(int argc, char **argv)
{
	if (argc < 7)
		return 2;
	int port = (int)strtol(argv[1], NULL, 10), n = (int)strtol(argv[2], NULL, 10), pid = (int)strtol(argv[6], NULL, 10);
	size_t size = strtoul(argv[3], NULL, 10), depth = strtoul(argv[4], NULL, 10);
	double seconds = strtod(argv[5], NULL);
	total = size * depth;
	pattern = malloc(total + PATTERNS);
	buffer = malloc(total);
	struct client *c = calloc((size_t)n + 100, sizeof *c);
	epfd = epoll_create1(0);
	if (!pattern || !buffer || !c || epfd < 0)
		die("start");
	for (size_t i = 0; i < total + PATTERNS; i++)
		pattern[i] = (unsigned char)(i * 0x9e3779b97f4a7c15ull >> 56);
	if (seconds == 0) {
		idle(c, n, port, pid);
		return 0;
	}
	connect_all(c, n, port);
	for (int i = 0; i < n; i++)
		begin(&c[i]);
	run_until(now_ns() + (int64_t)(seconds * 0.25e9));
	memset(latency, 0, sizeof latency);
	uint64_t rounds0 = rounds, cpu0 = cpu_ns(pid);
	int64_t t0 = now_ns();
	run_until(t0 + (int64_t)(seconds * 1e9));
	double took = (double)(now_ns() - t0) / 1e9, messages = (double)(rounds - rounds0) * (double)depth;
	printf("{\"per_s\": %.0f, \"cpu_us\": %.4f, \"p50_us\": %.1f, \"p99_us\": %.1f, \"p999_us\": %.1f}\n", messages / took,
	       (double)(cpu_ns(pid) - cpu0) / 1000 / messages, percentile(0.5), percentile(0.99), percentile(0.999));
	return 0;
}
