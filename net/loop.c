/*
 * loop: the turn: wait, mailbox and timers, read every ready connection, before_write, write all, close.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "net/internal.h"

#define EVENTS_PER_TURN 512

static _Thread_local struct net_loop *current;

static int64_t clock_ns(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

int64_t net_clock_ms(void)
{
	return clock_ns() / 1000000;
}

static inline void publish(uint64_t *to, uint64_t v)
{
	__atomic_store_n(to, v, __ATOMIC_RELAXED);
}

/* Other threads read the copy. */
static void publish_stats(struct net_loop *l)
{
	const uint64_t *from = (const uint64_t *)&l->stats;
	uint64_t *to = (uint64_t *)&l->published;
	for (size_t i = 0; i < sizeof l->stats / sizeof *from; i++)
		publish(&to[i], from[i]);
}

struct net_loop *net_loop_current(void)
{
	return current;
}

/* ------------------------------------------------------------------ the turn */

/* How long the poller may wait. Reads the inbox after `awake` was cleared: see net_post(). */
static int wait_ms(struct net_loop *l)
{
	if (atomic_load(&l->inbox) || l->again || l->wakes.n || l->dead.n || l->writes.n)
		return 0;
	int64_t due = wheel_next(l->wheel);
	due = l->tick_due < due ? l->tick_due : due;
	due = l->idle_check < due ? l->idle_check : due;
	if (l->accept_retry && l->accept_retry < due)
		due = l->accept_retry;
	if (l->stopping && l->stop_deadline < due)
		due = l->stop_deadline;
	int64_t ms = due - l->now_ms;
	return due == INT64_MAX ? -1 : ms < 0 ? 0 : ms > INT32_MAX ? INT32_MAX : (int)ms;
}

static int wait(struct net_loop *l, struct poll_event *ev, int max)
{
	const struct net_events *e = &l->server->ev;
	atomic_store(&l->awake, 0);
	int ms = wait_ms(l);
	if (e->before_wait)
		ms = e->before_wait(l, ms);
	l->stats.busy_ns += (uint64_t)(clock_ns() - l->woke_ns);
	publish_stats(l);
	int n = l->backend->wait(l->poller, ev, max, ms);
	l->woke_ns = clock_ns();
	atomic_store_explicit(&l->awake, 1, memory_order_relaxed);
	l->now_ms = l->woke_ns / 1000000;
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
	if (n)
		memmove(l->wakes.v, l->wakes.v + n, (l->wakes.n - n) * sizeof *l->wakes.v);
	l->wakes.n -= n;
}

/* Who an event is for: NULL the wake-up descriptor, an odd address a listener, otherwise a connection. */
static void handle(struct net_loop *l, const struct poll_event *ev)
{
	uintptr_t tag = (uintptr_t)ev->tag;
	if (!tag) {
		uint64_t v;
		if (read(l->wakefd, &v, sizeof v) == sizeof v)
			l->stats.wakeups++;
		return;
	}
	l->stats.events++;
	if (tag & 1) {
		accept_ready(l, (struct net_listener *)(tag - 1));
		return;
	}
	struct net_conn *c = ev->tag;
	if ((ev->events & POLL_WRITE) && !(c->flags & (CONN_WRITES | CONN_DEAD))) {
		c->flags |= CONN_WRITES;
		list_add(&l->writes, c);
	}
	if ((ev->events & POLL_HANGUP) && (c->flags & (CONN_PAUSED | CONN_CLOSING)))
		net_close_now(c, ECONNRESET); /* nobody reads there any more, and we do not ask */
	else if ((ev->events & (POLL_READ | POLL_HANGUP)) && l->turn_read < l->server->o.turn_cap &&
	         !(c->flags & CONN_VIEW))
		conn_read(c); /* what is not read now (cap, view in use) the poller reports again, behind the others */
}

#define IDLE_CHECK_MS 500

/* Idle connections and those whose last output does not go out. */
static void close_overdue(struct net_loop *l)
{
	if (l->now_ms < l->idle_check)
		return;
	l->idle_check = l->now_ms + IDLE_CHECK_MS;
	for (struct net_conn *c = l->conns; c; c = c->next) {
		if (c->idle_ms && l->now_ms - c->active_ms > c->idle_ms)
			net_close_now(c, NET_BY_TIMEOUT);
		else if ((c->flags & CONN_CLOSING) && l->now_ms > c->deadline_ms)
			net_close_now(c, NET_BY_TIMEOUT);
	}
}

static void close_dead(struct net_loop *l)
{
	for (unsigned i = 0; i < l->dead.n; i++) {
		struct net_conn *c = l->dead.v[i];
		for (unsigned k = 0; (c->flags & CONN_WAKE) && k < l->wakes.n; k++) {
			if (l->wakes.v[k] == c)
				l->wakes.v[k--] = l->wakes.v[--l->wakes.n];
		}
		conn_destroy(c);
	}
	l->dead.n = 0;
}

/* Stages 2 to 4. */
static void finish_turn(struct net_loop *l)
{
	if (l->server->ev.before_write)
		l->server->ev.before_write(l);
	for (unsigned i = 0; i < l->writes.n; i++)
		conn_write(l->writes.v[i]);
	l->writes.n = 0;
	for (unsigned i = 0; i < l->touched.n; i++)
		conn_end_turn(l->touched.v[i]);
	l->touched.n = 0;
	close_dead(l);
	arena_reset(&l->in);
	arena_reset(&l->out);
	arena_reset(&l->misc);
	l->turn_read = 0;
}

static void run_tick(struct net_loop *l)
{
	if (l->now_ms < l->tick_due)
		return;
	int64_t delay = l->server->ev.tick(l);
	l->tick_due = delay < 0 ? INT64_MAX : l->now_ms + delay;
}

static void begin_stop(struct net_loop *l, int deadline_ms)
{
	l->stopping = true;
	l->stop_deadline = l->now_ms + deadline_ms;
	pthread_mutex_lock(&l->server->listeners_lock);
	for (struct net_listener *li = l->server->listeners; li; li = li->next)
		accept_unwatch(l, li);
	pthread_mutex_unlock(&l->server->listeners_lock);
	for (struct net_conn *c = l->conns; c; c = c->next)
		net_close(c);
	close_dead(l);
}

/* Whether the loop is done. */
static bool stopped(struct net_loop *l)
{
	int ms = atomic_load_explicit(&l->server->stop_ms, memory_order_relaxed);
	if (__builtin_expect(ms < 0, 1))
		return false;
	if (!l->stopping)
		begin_stop(l, ms);
	if (l->now_ms >= l->stop_deadline) {
		for (struct net_conn *c = l->conns; c; c = c->next)
			net_close_now(c, NET_BY_STOP);
		finish_turn(l);
	}
	return !l->conns && !atomic_load(&l->inbox);
}

static void loop_begin(struct net_loop *l)
{
	char name[16];
	snprintf(name, sizeof name, "%.10s-%d", l->server->o.thread_name, l->index);
	if (!l->server->here || l->index)
		pthread_setname_np(pthread_self(), name);
	current = l;
	l->woke_ns = clock_ns();
	l->now_ms = l->woke_ns / 1000000;
	if (l->server->ev.loop_start)
		l->server->ev.loop_start(l);
	l->tick_due = l->server->ev.tick ? l->now_ms : INT64_MAX;
}

void *loop_main(void *arg)
{
	struct net_loop *l = arg;
	struct poll_event ev[EVENTS_PER_TURN];
	loop_begin(l);
	while (!stopped(l)) {
		int n = wait(l, ev, EVENTS_PER_TURN);
		l->again = false;
		l->stats.turns++;
		mailbox_run(l);
		wheel_run(l);
		wake_conns(l);
		for (int i = 0; i < n; i++)
			handle(l, &ev[i]);
		run_tick(l);
		close_overdue(l);
		finish_turn(l);
		accept_retry(l);
	}
	mailbox_run(l);
	if (l->server->ev.loop_stop)
		l->server->ev.loop_stop(l);
	current = NULL;
	return NULL;
}

int loop_init(struct net_loop *l, struct net_server *s, int index)
{
	int err = 0;
	l->server = s;
	l->index = index;
	l->backend = &poll_epoll;
	l->wakefd = -1;
	l->now_ms = net_clock_ms();
	l->wheel = wheel_new(l->now_ms);
	l->poller = l->backend->open(&err);
	if (!l->wheel || !l->poller)
		return err ? err : -ENOMEM;
	l->wakefd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	if (l->wakefd < 0)
		return -errno;
	return l->backend->add(l->poller, l->wakefd, NULL, POLL_READ);
}

void loop_clear(struct net_loop *l)
{
	if (l->poller)
		l->backend->close(l->poller);
	if (l->wakefd >= 0)
		close(l->wakefd);
	wheel_free(l->wheel);
	arena_free(&l->in);
	arena_free(&l->out);
	arena_free(&l->misc);
	conn_free_all(l);
	free(l->slots);
	free(l->generations);
	free(l->touched.v);
	free(l->writes.v);
	free(l->wakes.v);
	free(l->dead.v);
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
	return arena_alloc(&l->misc, n);
}

void net_loop_get_stats(const struct net_loop *l, struct net_loop_stats *out)
{
	const uint64_t *from = (const uint64_t *)&l->published;
	uint64_t *to = (uint64_t *)out;
	for (size_t i = 0; i < sizeof *out / sizeof *to; i++)
		to[i] = __atomic_load_n(&from[i], __ATOMIC_RELAXED);
	out->connections = atomic_load_explicit(&((struct net_loop *)(uintptr_t)l)->conn_count, memory_order_relaxed);
}
