/*
 * loop: the turn: wait, mailbox and timers, read every ready connection, before_write, write all, close.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <fcntl.h>
#ifdef __linux__
#include <sys/eventfd.h>
#endif
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "net/internal.h"

static _Thread_local struct net_loop *current;

static int64_t clock_ns(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

int64_t loop_clock_ms(void)
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
	if (atomic_load(&l->inbox) || l->later || l->again || l->wakes.n || l->dead.n || l->writes.n || l->more.n)
		return 0;
	int64_t due = wheel_next(l->wheel);
	due = l->tick_due < due ? l->tick_due : due;
	if (l->accept_retry && l->accept_retry < due)
		due = l->accept_retry;
	if (l->stopping && l->stop_deadline < due)
		due = l->stop_deadline;
	int64_t ms = due - l->now_ms;
	return due == INT64_MAX ? -1 : ms < 0 ? 0 : ms > INT32_MAX ? INT32_MAX : (int)ms;
}

static void wait(struct net_loop *l)
{
	const struct net_events *e = &l->server->ev;
	if (l->next_event < l->nevents) { /* the last turn was too short for all of them */
		l->woke_ns = clock_ns();
		l->now_ms = l->woke_ns / 1000000;
		return;
	}
	bool poked = atomic_exchange(&l->awake, ASLEEP) == POKED;
	int ms = poked ? 0 : wait_ms(l);
	if (e->before_wait)
		ms = e->before_wait(l, ms);
	l->stats.busy_ns += (uint64_t)(clock_ns() - l->woke_ns);
	publish_stats(l);
	if (l->server->o.gather_us > 0 && ms)
		gather_wait(l);
	int n = l->backend->wait(l->poller, l->events, NET_EVENTS, ms);
	l->nevents = (unsigned)n;
	l->next_event = 0;
	l->woke_ns = clock_ns();
	if (l->server->o.gather_us > 0)
		gather_turn(l, n);
	atomic_exchange_explicit(&l->awake, AWAKE, memory_order_acquire); /* what a poke announced is seen from here on */
	if (e->after_wait)
		e->after_wait(l);
	/* Only now: until after_wait() has returned a user may let another thread look at this loop. */
	l->now_ms = l->woke_ns / 1000000;
}

static void wake_conns(struct net_loop *l)
{
	unsigned n = l->wakes.n;
	for (unsigned i = 0; i < n; i++) {
		struct net_conn *c = l->wakes.v[i];
		c->flags &= ~(uint32_t)CONN_WAKE;
		if (!(c->flags & CONN_DEAD))
			conn_data(c);
	}
	conns_drop(&l->wakes, n);
}

/* Connections to be read although the poller does not say so: edge-triggered, or their transport holds bytes. */
static void read_more(struct net_loop *l)
{
	unsigned n = l->more.n;
	for (unsigned i = 0; i < n; i++) {
		struct net_conn *c = l->more.v[i];
		c->flags &= ~(uint32_t)CONN_MORE;
		conn_read(c);
	}
	conns_drop(&l->more, n);
}

/* An error or the full end of a connection that is not being read. The poller cannot be told to keep quiet about it. */
static void hangup(struct net_conn *c, unsigned events)
{
	int err = 0;
	socklen_t len = sizeof err;
	if ((events & POLL_ERROR) && getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &err, &len) == 0 && err)
		net_close_now(c, err);
	else if (c->flags & CONN_CLOSING)
		net_close_now(c, ECONNRESET); /* nobody is there to take the rest */
	else { /* paused: what it sent before is read once reading goes on */
		c->loop->backend->remove(c->loop->poller, c->fd);
		c->flags &= ~(uint32_t)(CONN_WATCHED | CONN_ARM_READ | CONN_ARM_WRITE);
	}
}

static void handle_conn(struct net_conn *c, unsigned events)
{
	if (__builtin_expect(c->flags & (CONN_DEAD | CONN_DIALLING | CONN_HANDSHAKE), 0)) {
		if (!(c->flags & CONN_DEAD))
			(c->flags & CONN_DIALLING ? dial_ready : conn_handshake)(c);
		return;
	}
	if (events & POLL_QUIET) {
		conn_detach(c);
		return;
	}
	if (events & POLL_WRITE)
		conn_wants_write(c);
	if (events & POLL_EOF)
		c->flags |= CONN_EOF_SEEN;
	if ((events & (POLL_HANGUP | POLL_ERROR)) && (c->flags & (CONN_PAUSED | CONN_HIGH_PAUSE | CONN_CLOSING)))
		hangup(c, events);
	else if (events & (POLL_READ | POLL_EOF | POLL_HANGUP | POLL_ERROR))
		conn_read(c);
}

/* Who an event is for: NULL the wake-up descriptor, an odd address a listener, otherwise a connection. */
static void handle(struct net_loop *l, const struct poll_event *ev)
{
	uintptr_t tag = (uintptr_t)ev->tag;
	if (!tag) {
		uint64_t v[16];
		if (ev->events && read(l->wakefd, v, sizeof v) > 0)
			l->stats.wakeups++;
		return;
	}
	l->stats.events++;
	if (tag & 1) {
		struct net_listener *li = (struct net_listener *)(tag - 1);
		if (ev->events & POLL_ACCEPTED)
			accept_done(l, li, ev->result);
		else
			(li->udp ? udp_ready : accept_ready)(l, li);
	} else if (ev->events & POLL_BYTES) {
		conn_received(ev->tag, ev->bytes, ev->result);
	} else {
		handle_conn(ev->tag, ev->events);
	}
}

/* Stage 1. What the turn has no room for any more comes first in the next one. */
static void read_stage(struct net_loop *l)
{
	unsigned first = l->next_event;
	read_more(l);
	for (; l->next_event < l->nevents; l->next_event++) {
		const struct poll_event *ev = &l->events[l->next_event];
		if (l->next_event > first && l->turn_read >= l->server->o.turn_cap)
			return;
		if ((ev->events & POLL_BYTES) && !conn_takes(ev->tag))
			return;
		handle(l, ev);
	}
}

/* Who is named by the tag goes: what the poller said about it must not be looked at any more. */
void loop_forget(struct net_loop *l, const void *tag)
{
	for (unsigned i = l->next_event; i < l->nevents; i++) {
		struct poll_event *ev = &l->events[i];
		if (ev->tag != tag)
			continue;
		if ((ev->events & POLL_ACCEPTED) && ev->result >= 0)
			close(ev->result);
		*ev = (struct poll_event){ 0 };
	}
}

static void close_dead(struct net_loop *l)
{
	for (unsigned i = 0; i < l->dead.n; i++) {
		struct net_conn *c = l->dead.v[i];
		if (c->flags & CONN_WAKE)
			conns_remove(&l->wakes, c);
		if (c->flags & CONN_MORE)
			conns_remove(&l->more, c);
		if (c->flags & CONN_WRITES)
			conns_remove(&l->writes, c);
		if (c->flags & CONN_TOUCHED)
			conns_remove(&l->touched, c);
		conn_destroy(c);
	}
	l->dead.n = 0;
}

static void free_garbage(struct net_loop *l)
{
	while (l->garbage) {
		struct inbuf *b = l->garbage;
		l->garbage = b->garbage;
		l->server->o.realloc(b, 0);
	}
}

/* Whether sends to so many connections go into a ring, which is made by the loop that sends to many for the first time. */
static bool batches(struct net_loop *l)
{
	int least = l->server->o.batch_sends;
	if (least <= 0 || l->writes.n < (unsigned)least || l->no_ring)
		return false;
	if (!l->ring && !(l->ring = send_ring_open()))
		l->no_ring = true;
	return l->ring;
}

static void write_all(struct net_loop *l)
{
	l->batch = batches(l) ? l->ring : NULL;
	for (unsigned i = 0; i < l->writes.n; i++)
		conn_write(l->writes.v[i]);
	l->writes.n = 0;
	conn_submit(l);
	l->batch = NULL;
}

/* An earlier turn's callback may be under way, but none of the loops over these lists, except that of close_dead(). */
int net_loop_inner_turn(struct net_loop *l, void (*run)(struct net_loop *l))
{
	if (l->backend->leave)
		return -ENOTSUP;
	if (l->next_event == l->nevents) {
		int n = l->backend->wait(l->poller, l->events, NET_EVENTS, 0);
		l->nevents = (unsigned)n;
		l->next_event = 0;
	}
	mailbox_run_only(l, accept_take);
	wake_conns(l);
	read_stage(l);
	run(l);
	while (l->writes.n || l->touched.n) {
		write_all(l);
		for (unsigned i = 0; i < l->touched.n; i++)
			conn_end_turn(l->touched.v[i]);
		l->touched.n = 0;
	}
	free_garbage(l);
	arena_reset(&l->in);
	arena_reset(&l->out);
	arena_reset(&l->misc);
	l->turn_read = 0;
	return 0;
}

/* Stages 2 to 4. What close() callbacks write to others still goes out in this turn: its memory ends with it. */
static void finish_turn(struct net_loop *l)
{
	if (l->server->ev.before_write)
		l->server->ev.before_write(l);
	do {
		write_all(l);
		for (unsigned i = 0; i < l->touched.n; i++)
			conn_end_turn(l->touched.v[i]);
		l->touched.n = 0;
		close_dead(l);
	} while (l->writes.n || l->touched.n || l->dead.n);
	udp_flush(l);
	free_garbage(l);
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
	l->accept_retry = 0;
	pthread_mutex_lock(&l->server->listeners_lock);
	for (struct net_listener *li = l->server->listeners; li; li = li->next)
		accept_unwatch(l, li);
	pthread_mutex_unlock(&l->server->listeners_lock);
	for (struct net_conn *c = l->conns; c; c = c->next)
		net_close(c);
	finish_turn(l);
}

/* Whether the loop is done. */
static bool stopped(struct net_loop *l)
{
	int ms = atomic_load_explicit(&l->server->stop_ms, memory_order_acquire);
	if (__builtin_expect(ms < 0, 1))
		return false;
	if (!l->stopping)
		begin_stop(l, ms);
	if (l->now_ms >= l->stop_deadline) {
		for (struct net_conn *c = l->conns; c; c = c->next)
			net_close_now(c, NET_BY_STOP);
		finish_turn(l);
	}
	return !l->conns && !atomic_load(&l->inbox) && !l->later;
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
	gather_start(l);
	if (l->server->ev.loop_start)
		l->server->ev.loop_start(l);
	l->tick_due = l->server->ev.tick ? l->now_ms : INT64_MAX;
}

/* Sends say MSG_NOSIGNAL, but a transport's library may not: SIGPIPE stays blocked while a thread runs a loop. */
static void block_sigpipe(sigset_t *before)
{
	sigset_t pipe_only;
	sigemptyset(&pipe_only);
	sigaddset(&pipe_only, SIGPIPE);
	pthread_sigmask(SIG_BLOCK, &pipe_only, before);
}

static void unblock_sigpipe(const sigset_t *before)
{
	sigset_t pipe_only, waiting;
	int sig;
	sigemptyset(&pipe_only);
	sigaddset(&pipe_only, SIGPIPE);
	if (!sigismember(before, SIGPIPE) && sigpending(&waiting) == 0 && sigismember(&waiting, SIGPIPE))
		sigwait(&pipe_only, &sig);
	pthread_sigmask(SIG_SETMASK, before, NULL);
}

void *loop_main(void *arg)
{
	struct net_loop *l = arg;
	sigset_t before;
	block_sigpipe(&before);
	loop_begin(l);
	while (!stopped(l)) {
		wait(l);
		l->again = false;
		l->stats.turns++;
		mailbox_run(l);
		wheel_run(l->wheel, l, l->now_ms);
		wake_conns(l);
		read_stage(l);
		run_tick(l);
		finish_turn(l);
		accept_retry(l);
	}
	mailbox_run(l);
	if (l->backend->leave)
		l->backend->leave(l->poller);
	if (l->server->ev.loop_stop)
		l->server->ev.loop_stop(l);
	current = NULL;
	unblock_sigpipe(&before);
	return NULL;
}

int wakefd_open(int *read_end, int *write_end)
{
#ifdef __linux__
	*read_end = *write_end = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	return *read_end < 0 ? -errno : 0;
#else
	int fds[2];
	if (pipe(fds))
		return -errno;
	for (int i = 0; i < 2; i++) {
		fcntl(fds[i], F_SETFL, O_NONBLOCK);
		fcntl(fds[i], F_SETFD, FD_CLOEXEC);
	}
	*read_end = fds[0];
	*write_end = fds[1];
	return 0;
#endif
}

void wakefd_ring(int write_end)
{
	uint64_t one = 1;
	while (write(write_end, &one, sizeof one) < 0 && errno == EINTR)
		; /* any other error: it is full, and who waits is woken anyway */
}

void wakefd_close(int read_end, int write_end)
{
	if (read_end >= 0)
		close(read_end);
	if (write_end >= 0 && write_end != read_end)
		close(write_end);
}

/* io_uring is there or not, depending on the kernel and on what the administrator allows; epoll always is. */
static int open_poller(struct net_loop *l)
{
	struct net_server *s = l->server;
	char text[120];
	int err = 0;
	l->backend = poll_choose(s->o.backend);
	if (!l->backend)
		return -ENOTSUP;
	l->poller = l->backend->open(&err);
	if (!l->poller && s->o.backend == NET_BACKEND_URING) {
		snprintf(text, sizeof text, "io_uring cannot be used (%s): epoll takes its place", strerror(-err));
		if (s->ev.log)
			s->ev.log(s, 1, text);
		s->o.backend = NET_BACKEND_EPOLL; /* for the other loops too */
		l->backend = poll_choose(NET_BACKEND_EPOLL);
		l->poller = l->backend->open(&err);
	}
	s->o.edge_triggered = s->o.edge_triggered && l->backend->edge;
	return l->poller ? 0 : err ? err : -ENOMEM;
}

int loop_init(struct net_loop *l, struct net_server *s, int index)
{
	int err = 0;
	mem_fn *mem = s->o.realloc;
	l->server = s;
	l->index = index;
	l->wakefd = l->wakefd_write = -1;
	l->now_ms = loop_clock_ms();
	l->awake = AWAKE;
	l->in.mem = l->out.mem = l->misc.mem = mem;
	l->touched.mem = l->writes.mem = l->wakes.mem = l->dead.mem = l->more.mem = l->sending.mem = mem;
	l->wheel = wheel_new(l->now_ms);
	err = l->wheel ? open_poller(l) : -ENOMEM;
	if (!err)
		err = wakefd_open(&l->wakefd, &l->wakefd_write);
	return err ? err : l->backend->add(l->poller, l->wakefd, NULL, POLL_READ);
}

void loop_clear(struct net_loop *l)
{
	mem_fn *mem = l->server->o.realloc;
	if (l->poller)
		l->backend->close(l->poller);
	send_ring_close(l->ring);
	wakefd_close(l->wakefd, l->wakefd_write);
	wheel_free(l->wheel);
	udp_free(l);
	arena_free(&l->in);
	arena_free(&l->out);
	arena_free(&l->misc);
	conn_free_all(l);
	mem(l->slots, 0);
	mem(l->generations, 0);
	struct conns *lists[] = { &l->touched, &l->writes, &l->wakes, &l->dead, &l->more, &l->sending };
	for (size_t i = 0; i < sizeof lists / sizeof *lists; i++)
		mem(lists[i]->v, 0);
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
