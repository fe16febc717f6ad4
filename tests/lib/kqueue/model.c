/*
 * model: kqueue on top of epoll, for the tests of the kqueue backend where the system has no kqueue. Each queue is an epoll
 * descriptor that watches two more, one for each kind of filter; so filters go with their descriptor, and EV_CLEAR is
 * EPOLLET. `ident` of what comes out is not filled in.
 */
#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <sys/epoll.h>
#include <sys/event.h>
#include <unistd.h>

#define QUEUES 256

static struct queue {
	int fd, filters[2]; /* reading, writing */
} queues[QUEUES];
static int nqueues;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

int kqueue(void)
{
	struct queue q = { .fd = epoll_create1(EPOLL_CLOEXEC) };
	for (int i = 0; i < 2 && q.fd >= 0; i++) {
		struct epoll_event e = { .events = EPOLLIN };
		q.filters[i] = epoll_create1(EPOLL_CLOEXEC);
		epoll_ctl(q.fd, EPOLL_CTL_ADD, q.filters[i], &e);
	}
	pthread_mutex_lock(&lock);
	int i = 0;
	while (i < nqueues && queues[i].fd != q.fd)
		i++;
	if (i < nqueues) { /* the number was closed and is used again */
		close(queues[i].filters[0]);
		close(queues[i].filters[1]);
	}
	if (i < QUEUES)
		queues[i] = q;
	nqueues = i < nqueues ? nqueues : i + 1;
	pthread_mutex_unlock(&lock);
	return i < QUEUES ? q.fd : -1;
}

static bool find(int kq, struct queue *out)
{
	bool found = false;
	pthread_mutex_lock(&lock);
	for (int i = 0; i < nqueues && !found; i++) {
		*out = queues[i];
		found = queues[i].fd == kq;
	}
	pthread_mutex_unlock(&lock);
	return found;
}

static int apply(const struct queue *q, const struct kevent *k)
{
	bool reads = k->filter == EVFILT_READ;
	int on = q->filters[!reads];
	struct epoll_event e = { .data.ptr = k->udata };
	e.events = (reads ? EPOLLIN | EPOLLRDHUP : EPOLLOUT) | (k->flags & EV_CLEAR ? EPOLLET : 0u);
	if (k->flags & EV_DELETE)
		return epoll_ctl(on, EPOLL_CTL_DEL, (int)k->ident, NULL) ? errno : 0;
	if (epoll_ctl(on, EPOLL_CTL_ADD, (int)k->ident, &e) == 0)
		return 0;
	return errno == EEXIST && epoll_ctl(on, EPOLL_CTL_MOD, (int)k->ident, &e) == 0 ? 0 : errno;
}

static int collect(int on, short filter, struct kevent *out, int max)
{
	struct epoll_event e[64];
	int n = max > 0 ? epoll_wait(on, e, max < 64 ? max : 64, 0) : 0;
	for (int i = 0; i < n; i++) {
		bool end = e[i].events & (filter == EVFILT_READ ? EPOLLRDHUP | EPOLLHUP | EPOLLERR : EPOLLHUP | EPOLLERR);
		EV_SET(&out[i], 0, filter, end ? EV_EOF : 0, 0, 0, e[i].data.ptr);
	}
	return n < 0 ? 0 : n;
}

int kevent(int kq, const struct kevent *changes, int nchanges, struct kevent *out, int max, const struct timespec *timeout)
{
	struct epoll_event e[2];
	struct queue q;
	if (!find(kq, &q)) {
		errno = EBADF;
		return -1;
	}
	for (int i = 0; i < nchanges; i++) { /* all with EV_RECEIPT */
		int err = apply(&q, &changes[i]);
		out[i] = changes[i];
		out[i].flags = EV_ERROR;
		out[i].data = err;
	}
	if (nchanges)
		return nchanges;
	if (epoll_wait(kq, e, 2, timeout ? (int)(timeout->tv_sec * 1000 + timeout->tv_nsec / 1000000) : -1) <= 0)
		return 0;
	int n = collect(q.filters[0], EVFILT_READ, out, max);
	return n + collect(q.filters[1], EVFILT_WRITE, out + n, max - n);
}
