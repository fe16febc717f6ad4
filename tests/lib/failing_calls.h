/*
 * failing_calls: the C library's functions for sockets and pollers, each of which fails when a test says so. Included by
 * one file of a program, where they take the place of the C library's. They fail only for the library under test: on loops'
 * threads, and where the test sets `inside`.
 */
#ifndef TESTS_LIB_FAILING_CALLS_H
#define TESTS_LIB_FAILING_CALLS_H

#include <dlfcn.h>
#include <errno.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include "net/net.h"

static const char *target; /* the call to fail; changes while no server runs */
static int target_error;
static atomic_long countdown, made; /* made: calls of the library */
static _Thread_local bool inside; /* this thread is in a function of the library */

static bool fails(const char *name)
{
	atomic_fetch_add(&made, inside || net_loop_current());
	bool ours = inside || net_loop_current() || strstr(name, "queue_init"); /* on a thread of its own */
	if (!target || !ours || strcmp(name, target) || atomic_fetch_sub(&countdown, 1) != 1)
		return false;
	errno = target_error;
	return true;
}

#ifdef __clang__ /* the C library's headers declare some of them inline */
#pragma clang diagnostic ignored "-Wstatic-in-inline"
#endif
#define REAL(name, type) ((type)(uintptr_t)dlsym(RTLD_NEXT, name))
#define FAILING(result, name, params, args) \
	result name params; \
	result name params \
	{ \
		static result(*_Atomic known) params; \
		result(*real) params = atomic_load(&known); \
		if (!real) \
			atomic_store(&known, real = REAL(#name, result(*) params)); \
		return fails(#name) ? (result)-1 : real args; \
	}
struct pollfd;
FAILING(int, socket, (int a, int b, int c), (a, b, c))
FAILING(int, bind, (int fd, const struct sockaddr *a, socklen_t n), (fd, a, n))
FAILING(int, listen, (int fd, int n), (fd, n))
FAILING(int, accept4, (int fd, struct sockaddr *a, socklen_t *n, int f), (fd, a, n, f))
FAILING(int, connect, (int fd, const struct sockaddr *a, socklen_t n), (fd, a, n))
FAILING(int, setsockopt, (int fd, int l, int o, const void *v, socklen_t n), (fd, l, o, v, n))
FAILING(int, getsockopt, (int fd, int l, int o, void *v, socklen_t *n), (fd, l, o, v, n))
FAILING(int, getsockname, (int fd, struct sockaddr *a, socklen_t *n), (fd, a, n))
FAILING(int, getpeername, (int fd, struct sockaddr *a, socklen_t *n), (fd, a, n))
FAILING(ssize_t, recv, (int fd, void *p, size_t n, int f), (fd, p, n, f))
FAILING(ssize_t, send, (int fd, const void *p, size_t n, int f), (fd, p, n, f))
FAILING(ssize_t, sendmsg, (int fd, const struct msghdr *m, int f), (fd, m, f))
FAILING(int, sendmmsg, (int fd, struct mmsghdr *m, unsigned n, int f), (fd, m, n, f))
FAILING(int, recvmmsg, (int fd, struct mmsghdr *m, unsigned n, int f, struct timespec *t), (fd, m, n, f, t))
FAILING(int, shutdown, (int fd, int how), (fd, how))
FAILING(int, epoll_create1, (int f), (f))
FAILING(int, epoll_ctl, (int p, int w, int fd, struct epoll_event *e), (p, w, fd, e))
FAILING(int, epoll_wait, (int p, struct epoll_event *e, int n, int t), (p, e, n, t))
FAILING(int, poll, (struct pollfd *p, unsigned long n, int t), (p, n, t))
FAILING(int, eventfd, (unsigned n, int f), (n, f))
FAILING(ssize_t, read, (int fd, void *p, size_t n), (fd, p, n))
FAILING(ssize_t, write, (int fd, const void *p, size_t n), (fd, p, n))

#endif
