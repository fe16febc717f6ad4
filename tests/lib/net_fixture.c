#include "tests/lib/net_fixture.h"

#include <check.h>
#include <dirent.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define LIMIT_S 120

void latch_add(struct latch *l, long n)
{
	pthread_mutex_lock(&l->lock);
	l->n += n;
	pthread_cond_broadcast(&l->changed);
	pthread_mutex_unlock(&l->lock);
}

void latch_wait(struct latch *l, long n)
{
	struct timespec until;
	int err = 0;
	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec += LIMIT_S;
	pthread_mutex_lock(&l->lock);
	while (l->n < n && !err)
		err = pthread_cond_timedwait(&l->changed, &l->lock, &until);
	long have = l->n;
	pthread_mutex_unlock(&l->lock);
	ck_assert_msg(!err, "waited in vain: %ld of %ld", have, n);
}

long latch_get(struct latch *l)
{
	pthread_mutex_lock(&l->lock);
	long n = l->n;
	pthread_mutex_unlock(&l->lock);
	return n;
}

void fix_options(struct net_options *o, int way, int loops)
{
	net_options_init(o);
	o->loops = loops;
	switch ((enum fix_way)way) {
	case FIX_EPOLL_EDGE: o->edge_triggered = true; /* fall through */
	case FIX_EPOLL: o->backend = NET_BACKEND_EPOLL; break;
	case FIX_POLL: o->backend = NET_BACKEND_POLL; break;
	case FIX_URING: o->backend = NET_BACKEND_URING; break;
	case FIX_BATCHED:
		o->backend = NET_BACKEND_EPOLL;
		o->batch_sends = 1;
		break;
#ifdef NET_HAVE_KQUEUE
	case FIX_KQUEUE_EDGE: o->edge_triggered = true; /* fall through */
	case FIX_KQUEUE: o->backend = NET_BACKEND_KQUEUE; break;
#endif
	case FIX_WAYS: ck_abort_msg("there is no such way");
	}
}

struct net_server *fix_start(const struct net_events *e, const struct net_options *o, const char *url, int *port)
{
	int err = 0;
	struct net_server *s = net_server_new(e, o, &err);
	ck_assert_msg(s != NULL, "%s", strerror(-err));
	if (url) {
		struct net_listener *l = net_listen(s, url, &err);
		ck_assert_msg(l != NULL, "%s", strerror(-err));
		if (port)
			*port = net_listener_port(l);
	}
	ck_assert_int_eq(net_server_start(s, false), 0);
	return s;
}

void fix_stop(struct net_server *s, int deadline_ms)
{
	net_server_stop(s, deadline_ms);
	net_server_wait(s);
	net_server_free(s);
}

int fix_connect(int port)
{
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_port = htons((uint16_t)port),
		                 .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	struct timeval limit = { .tv_sec = LIMIT_S };
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(connect(fd, (struct sockaddr *)&a, sizeof a), 0);
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
	return fd;
}

/* With a time limit, a process that was stopped or frozen finds its call interrupted, though no signal has a handler. */
static ssize_t receive(int fd, void *buf, size_t len)
{
	ssize_t n;
	do {
		n = recv(fd, buf, len, 0);
	} while (n < 0 && errno == EINTR);
	return n;
}

void fix_send(int fd, const void *buf, size_t len)
{
	while (len) {
		ssize_t n = send(fd, buf, len, MSG_NOSIGNAL);
		if (n < 0 && errno == EINTR)
			continue;
		ck_assert_msg(n > 0, "send: %s", strerror(errno));
		buf = (const char *)buf + n;
		len -= (size_t)n;
	}
}

void fix_recv(int fd, void *buf, size_t len)
{
	while (len) {
		ssize_t n = receive(fd, buf, len);
		ck_assert_msg(n > 0, "recv: %s", n ? strerror(errno) : "end of stream");
		buf = (char *)buf + n;
		len -= (size_t)n;
	}
}

bool fix_ended(int fd)
{
	char byte;
	ssize_t n = receive(fd, &byte, 1);
	ck_assert_msg(n == 0 || (n < 0 && errno == ECONNRESET), "the connection goes on");
	return n < 0;
}

struct call {
	struct net_msg msg;
	void (*fn)(struct net_loop *l, void *arg);
	void *arg;
	struct latch done;
};

static void run_call(struct net_loop *l, struct net_msg *m)
{
	struct call *c = (struct call *)m;
	c->fn(l, c->arg);
	latch_add(&c->done, 1);
}

void fix_run(struct net_loop *l, void (*fn)(struct net_loop *l, void *arg), void *arg)
{
	struct call c = { .msg.run = run_call, .fn = fn, .arg = arg, .done = LATCH };
	net_post(l, &c.msg);
	latch_wait(&c.done, 1);
}

void fix_narrow(int fd)
{
	int size = 128 << 10; /* which Linux doubles */
	ck_assert_int_eq(setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof size), 0);
	ck_assert_int_eq(setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof size), 0);
}

static size_t third_of(const char *path)
{
	unsigned long long max = 64 << 20;
	FILE *f = fopen(path, "r");
	if (f) {
		ck_assert_int_eq(fscanf(f, "%*u %*u %llu", &max), 1);
		fclose(f);
	}
	return (size_t)max;
}

size_t fix_kernel_keeps(void)
{
	return third_of("/proc/sys/net/ipv4/tcp_rmem") + third_of("/proc/sys/net/ipv4/tcp_wmem") + (4 << 20);
}

atomic_long fix_blocks;

void *fix_realloc(void *p, size_t size)
{
	if (size == 0) {
		if (p)
			atomic_fetch_sub(&fix_blocks, 1);
		free(p);
		return NULL;
	}
	if (!p)
		atomic_fetch_add(&fix_blocks, 1);
	return realloc(p, size);
}

int fix_open_fds(void)
{
	int n = 0;
	DIR *d = opendir("/proc/self/fd");
	while (readdir(d))
		n++;
	closedir(d);
	return n;
}

void fix_flood_echo(int fd, size_t most)
{
	static char big[1 << 20];
	size_t sent = 0;
	while (sent < most) {
		struct pollfd p = { .fd = fd, .events = POLLOUT };
		if (poll(&p, 1, 500) == 0)
			break;
		ssize_t n = send(fd, big, sizeof big, MSG_DONTWAIT | MSG_NOSIGNAL);
		ck_assert_int_gt(n, 0);
		sent += (size_t)n;
	}
	ck_assert_uint_lt(sent, most);
	for (size_t back = 0; back < sent;) {
		ssize_t n = recv(fd, big, sizeof big, 0);
		ck_assert_int_gt(n, 0);
		back += (size_t)n;
	}
}

unsigned char fix_byte(uint64_t i)
{
	return (unsigned char)(i * 0x9e3779b97f4a7c15ull >> 56);
}
