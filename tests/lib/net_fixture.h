/* net_fixture: a libshoalnet server in this process, blocking clients for it, and counters that tests wait for. */
#ifndef TESTS_NET_FIXTURE_H
#define TESTS_NET_FIXTURE_H

#include <pthread.h>
#include <stdatomic.h>

#include "net/net.h"

/* Ways to run the same test: every backend, level- and edge-triggered, sends in batches. For tcase_add_loop_test(). The
 * library for the tests of kqueue is built for it, on a model where the system has none. */
enum fix_way {
	FIX_EPOLL,
	FIX_EPOLL_EDGE,
	FIX_POLL,
	FIX_URING,
	FIX_BATCHED,
#ifdef NET_HAVE_KQUEUE
	FIX_KQUEUE,
	FIX_KQUEUE_EDGE,
#endif
	FIX_WAYS
};

/* A counter that other threads raise and a test waits for (at most two minutes, then the test fails). */
struct latch {
	pthread_mutex_t lock;
	pthread_cond_t changed;
	long n;
};
#define LATCH { PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, 0 }
void latch_add(struct latch *l, long n);
void latch_wait(struct latch *l, long n);
long latch_get(struct latch *l);

void fix_options(struct net_options *o, int way, int loops);
/* Start a server with one address; its port. */
struct net_server *fix_start(const struct net_events *e, const struct net_options *o, const char *url, int *port);
void fix_stop(struct net_server *s, int deadline_ms);
/* A blocking client with a time limit of two minutes per call. */
int fix_connect(int port);
void fix_send(int fd, const void *buf, size_t len);
/* Read exactly len bytes. */
void fix_recv(int fd, void *buf, size_t len);
/* The connection ends: without further bytes; true: by a reset. */
bool fix_ended(int fd);
/* Run a function on a loop and wait for it. */
void fix_run(struct net_loop *l, void (*fn)(struct net_loop *l, void *arg), void *arg);
/* From now on the kernel keeps little of what goes over this socket, less than half a megabyte in each direction of a
 * connection whose ends are both narrow: more piles up for certain while nobody reads, whatever its settings are. */
void fix_narrow(int fd);
/* What the kernel may keep at most in one direction of a connection whose ends are as it makes them. */
size_t fix_kernel_keeps(void);
/* For net_options.realloc: counts the blocks that live. */
extern atomic_long fix_blocks;
void *fix_realloc(void *p, size_t size);
int fix_open_fds(void);
/* Send to who echoes, and read nothing until no more is taken: which must be so before `most` bytes. Then all comes back. */
void fix_flood_echo(int fd, size_t most);
/* Deterministic bytes of a stream: the i-th. */
unsigned char fix_byte(uint64_t i);

#endif
