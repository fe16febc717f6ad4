/* loop: the turn. */
#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>
#include <netinet/in.h>
#include <netinet/tcp.h>

#include "net/internal.h"

#define ACCEPT_RETRY_MS 100

static _Thread_local struct net_loop *current;

int64_t net_clock_ms(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

struct net_loop *net_loop_current(void)
{
	return current;
}

/* ------------------------------------------------------------------ mailbox */

/* The receiver clears `awake` before its last look into the inbox; a sender pushes before it reads `awake`. Both are
 * sequentially consistent, so one of them sees the other's. */
void net_post(struct net_loop *l, struct net_msg *m)
{
	atomic_fetch_add_explicit(&l->posted, m->bytes, memory_order_relaxed);
	struct net_msg *head = atomic_load_explicit(&l->inbox, memory_order_relaxed);
	do {
		m->next = head;
	} while (!atomic_compare_exchange_weak(&l->inbox, &head, m));
	if (!head)
		net_loop_wake(l);
}

void net_loop_wake(struct net_loop *l)
{
	uint64_t one = 1;
	if (!atomic_exchange(&l->awake, 1) && write(l->wakefd, &one, sizeof one) < 0)
		return;
}

static void run_messages(struct net_loop *l)
{
	struct net_msg *m = atomic_exchange(&l->inbox, NULL), *first = NULL;
	while (m) { /* newest first: turn around */
		struct net_msg *next = m->next;
		m->next = first;
		first = m;
		m = next;
	}
	while (first) {
		m = first;
		first = m->next;
		atomic_fetch_sub_explicit(&l->posted, m->bytes, memory_order_relaxed);
		l->stats.messages++;
		m->run(l, m);
	}
}

size_t net_loop_posted_bytes(const struct net_loop *l)
{
	return atomic_load_explicit(&((struct net_loop *)(uintptr_t)l)->posted, memory_order_relaxed);
}

/* ------------------------------------------------------------------ accepting */

struct handover {
	struct net_msg msg;
	int fd, tag;
};

static void open_conn(struct net_loop *l, int fd, int tag)
{
	struct net_conn *c = conn_new(l, fd, tag);
	if (!c) {
		close(fd);
		return;
	}
	l->stats.accepted++;
	if (l->server->ev.open)
		conn_action(c, l->server->ev.open(c));
}

static void take_handover(struct net_loop *l, struct net_msg *m)
{
	struct handover *h = (struct handover *)m;
	open_conn(l, h->fd, h->tag);
	free(h);
}

static struct net_loop *choose(struct net_server *s)
{
	struct net_loop *best = s->loops[atomic_fetch_add(&s->rr, 1) % (unsigned)s->o.loops];
	for (int i = 0; s->o.balance == NET_LEAST_CONNECTIONS && i < s->o.loops; i++) {
		if (atomic_load(&s->loops[i]->conn_count) < atomic_load(&best->conn_count))
			best = s->loops[i];
	}
	return best;
}

static void give(struct net_loop *l, int fd, int tag)
{
	struct net_loop *to = choose(l->server);
	if (to == l) {
		open_conn(l, fd, tag);
		return;
	}
	struct handover *h = malloc(sizeof *h);
	if (!h) {
		close(fd);
		return;
	}
	*h = (struct handover){ .msg.run = take_handover, .fd = fd, .tag = tag };
	atomic_fetch_add_explicit(&to->conn_count, 0, memory_order_relaxed);
	net_post(to, &h->msg);
}

void loop_accept(struct net_loop *l, struct net_listener *li)
{
	const struct net_options *o = &l->server->o;
	for (int i = 0; i < 256; i++) {
		int fd = accept4(li->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC), one = 1;
		if (fd < 0) {
			if (errno == EMFILE || errno == ENFILE || errno == ENOMEM || errno == ENOBUFS) {
				struct epoll_event ev = { .data.ptr = (char *)li + 1 };
				epoll_ctl(l->epfd, EPOLL_CTL_MOD, li->fd, &ev);
				l->accept_retry = l->now_ms + ACCEPT_RETRY_MS;
				l->stats.accept_errors++;
			}
			if (errno == ECONNABORTED || errno == EINTR)
				continue;
			return;
		}
		if (!li->unix_socket && o->tcp_nodelay)
			setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
		if (!li->unix_socket && o->tcp_keepalive_s) {
			int idle = o->tcp_keepalive_s, every = idle / 3 ? idle / 3 : 1, count = 3;
			setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &one, sizeof one);
			setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &idle, sizeof idle);
			setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &every, sizeof every);
			setsockopt(fd, IPPROTO_TCP, TCP_KEEPCNT, &count, sizeof count);
		}
		give(l, fd, li->tag);
	}
}

static void retry_accept(struct net_loop *l)
{
	if (!l->accept_retry || l->now_ms < l->accept_retry)
		return;
	l->accept_retry = 0;
	for (struct net_listener *li = l->server->listeners; li; li = li->next) {
		struct epoll_event ev = { .events = EPOLLIN, .data.ptr = (char *)li + 1 };
		epoll_ctl(l->epfd, EPOLL_CTL_MOD, li->fd, &ev);
	}
}

/* ------------------------------------------------------------------ the turn */

static int wait_ms(struct net_loop *l)
{
	if (l->again || l->wakes.n || atomic_load(&l->inbox) || l->dead.n)
		return 0;
	int64_t due = l->tick_due;
	if (l->accept_retry && l->accept_retry < due)
		due = l->accept_retry;
	if (l->stopping && due > l->now_ms + 10)
		due = l->now_ms + 10;
	int64_t ms = due - net_clock_ms();
	return due == INT64_MAX ? -1 : ms < 0 ? 0 : ms > 1000 ? 1000 : (int)ms;
}

static int wait(struct net_loop *l, struct epoll_event *ev, int max)
{
	const struct net_events *e = &l->server->ev;
	atomic_store(&l->awake, 0);
	int ms = wait_ms(l);
	if (e->before_wait)
		ms = e->before_wait(l, ms);
	int n = epoll_wait(l->epfd, ev, max, ms);
	atomic_store_explicit(&l->awake, 1, memory_order_relaxed);
	l->now_ms = net_clock_ms();
	if (e->after_wait)
		e->after_wait(l);
	return n;
}

static void wake_conns(struct net_loop *l)
{
	unsigned n = l->wakes.n;
	for (unsigned i = 0; i < n; i++) {
		struct net_conn *c = l->wakes.v[i];
		c->flags &= ~(uint32_t)CONN_WAKE;
		if (!(c->flags & CONN_DEAD) && l->server->ev.data)
			conn_action(c, l->server->ev.data(c));
	}
	memmove(l->wakes.v, l->wakes.v + n, (l->wakes.n - n) * sizeof *l->wakes.v);
	l->wakes.n -= n;
}

static void handle(struct net_loop *l, struct epoll_event *ev)
{
	uintptr_t tag = (uintptr_t)ev->data.ptr;
	if (!tag) {
		uint64_t v;
		if (read(l->wakefd, &v, sizeof v) == sizeof v)
			l->stats.wakeups++;
		return;
	}
	if (tag & 1) {
		loop_accept(l, (struct net_listener *)(tag - 1));
		return;
	}
	struct net_conn *c = ev->data.ptr;
	if (ev->events & EPOLLOUT && !(c->flags & CONN_WRITES)) {
		c->flags |= CONN_WRITES;
		list_add(&l->writes, c);
	}
	if (ev->events & (EPOLLIN | EPOLLHUP | EPOLLERR)) {
		if ((c->flags & (CONN_PAUSED | CONN_CLOSING)) && ev->events & (EPOLLHUP | EPOLLERR))
			net_close_now(c, ECONNRESET);
		else if (!(c->flags & CONN_WAKE) || !(c->flags & CONN_VIEW))
			conn_read(c);
	}
}

static void close_idle(struct net_loop *l)
{
	for (struct net_conn *c = l->conns; c; c = c->next) {
		if (c->idle_ms && l->now_ms - c->active_ms > c->idle_ms)
			net_close_now(c, NET_BY_TIMEOUT);
		else if ((c->flags & CONN_CLOSING) && l->now_ms > c->deadline_ms)
			net_close_now(c, NET_BY_TIMEOUT);
	}
}

static void stage_write_and_close(struct net_loop *l)
{
	if (l->server->ev.before_write)
		l->server->ev.before_write(l);
	for (unsigned i = 0; i < l->writes.n; i++)
		conn_write(l->writes.v[i]);
	l->writes.n = 0;
	for (unsigned i = 0; i < l->touched.n; i++)
		conn_end_turn(l->touched.v[i]);
	l->touched.n = 0;
	for (unsigned i = 0; i < l->dead.n; i++) {
		struct net_conn *c = l->dead.v[i];
		for (unsigned k = 0; k < l->wakes.n; k++) {
			if (l->wakes.v[k] == c)
				l->wakes.v[k--] = l->wakes.v[--l->wakes.n];
		}
		conn_destroy(c);
	}
	l->dead.n = 0;
	arena_reset(&l->in);
	arena_reset(&l->out);
	arena_reset(&l->misc);
}

static bool stop_now(struct net_loop *l)
{
	int ms = atomic_load(&l->server->stop_ms);
	if (ms < 0)
		return false;
	if (!l->stopping) {
		l->stopping = true;
		l->stop_deadline = l->now_ms + ms;
		for (struct net_conn *c = l->conns; c; c = c->next)
			net_close(c);
	}
	if (l->now_ms >= l->stop_deadline) {
		for (struct net_conn *c = l->conns; c; c = c->next)
			net_close_now(c, NET_BY_STOP);
		stage_write_and_close(l);
	}
	return !l->conns;
}

void *loop_main(void *arg)
{
	struct net_loop *l = arg;
	const struct net_events *e = &l->server->ev;
	struct epoll_event ev[512];
	char name[16];
	snprintf(name, sizeof name, "%.10s-%d", l->server->o.thread_name, l->index);
	if (!l->server->here)
		pthread_setname_np(pthread_self(), name);
	current = l;
	l->now_ms = net_clock_ms();
	if (e->loop_start)
		e->loop_start(l);
	l->tick_due = e->tick ? l->now_ms : INT64_MAX;
	while (!stop_now(l)) {
		int n = wait(l, ev, 512);
		l->again = false;
		l->stats.turns++;
		run_messages(l);
		wake_conns(l);
		for (int i = 0; i < n; i++)
			handle(l, &ev[i]);
		stage_write_and_close(l);
		retry_accept(l);
		if (l->now_ms >= l->tick_due && e->tick) {
			int64_t delay = e->tick(l);
			l->tick_due = delay < 0 ? INT64_MAX : l->now_ms + delay;
			close_idle(l);
			stage_write_and_close(l);
		}
	}
	if (e->loop_stop)
		e->loop_stop(l);
	return NULL;
}

/* ------------------------------------------------------------------ small things */

struct net_server *net_loop_server(const struct net_loop *l)
{
	return l->server;
}

int net_loop_index(const struct net_loop *l)
{
	return l->index;
}

void net_loop_set_ctx(struct net_loop *l, void *ctx)
{
	l->ctx = ctx;
}

void *net_loop_ctx(const struct net_loop *l)
{
	return l->ctx;
}

int64_t net_loop_now_ms(const struct net_loop *l)
{
	return l->now_ms;
}

void net_loop_again(struct net_loop *l)
{
	l->again = true;
}

void *net_turn_alloc(struct net_loop *l, size_t n)
{
	return arena_alloc(l, &l->misc, n);
}

void net_loop_get_stats(const struct net_loop *l, struct net_loop_stats *out)
{
	*out = l->stats;
	out->connections = atomic_load(&((struct net_loop *)(uintptr_t)l)->conn_count);
}

struct closing {
	struct net_msg msg;
	net_conn_id id;
};

static void close_by_id(struct net_loop *l, struct net_msg *m)
{
	struct closing *x = (struct closing *)m;
	struct net_conn *c = net_conn_find(l, x->id);
	if (c)
		net_close(c);
	free(x);
}

int net_close_id(struct net_server *s, net_conn_id id)
{
	struct closing *x = malloc(sizeof *x);
	if (!x)
		return -ENOMEM;
	*x = (struct closing){ .msg.run = close_by_id, .id = id };
	net_post(s->loops[id >> 52], &x->msg);
	return 0;
}
