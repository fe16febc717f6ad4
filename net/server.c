/* server: loops and listeners, from creation to the end of the last thread. */
#include <errno.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "net/internal.h"

#define MAX_LOOPS (1 << 12) /* what an id has room for */

void net_options_init(struct net_options *o)
{
	*o = (struct net_options){
		.size = sizeof *o, .backlog = 511, .read_cap = 64 * 1024, .turn_cap = 256 << 10, .high_water = 1 << 20,
		.low_water = 256 << 10, .batch_sends = 16, .tcp_nodelay = true, .close_timeout_ms = 5000, .thread_name = "loop",
	};
}

static void *plain_realloc(void *p, size_t size)
{
	if (size)
		return realloc(p, size);
	free(p);
	return NULL;
}

static int add_loop(struct net_server *s, int i)
{
	struct net_loop *l = aligned_alloc(64, (sizeof *l + 63) & ~(size_t)63);
	if (!l)
		return -ENOMEM;
	memset(l, 0, sizeof *l);
	s->loops[i] = l;
	return loop_init(l, s, i);
}

struct net_server *net_server_new(const struct net_events *events, const struct net_options *o, int *err)
{
	struct net_server *s = calloc(1, sizeof *s);
	*err = -ENOMEM;
	if (!s)
		return NULL;
	s->ev = *events;
	memcpy(&s->o, o, o->size < sizeof s->o ? o->size : sizeof s->o); /* an older program's struct is shorter */
	if (!s->o.realloc)
		s->o.realloc = plain_realloc;
	if (s->o.loops <= 0)
		s->o.loops = (int)sysconf(_SC_NPROCESSORS_ONLN);
	if (s->o.loops > MAX_LOOPS)
		s->o.loops = MAX_LOOPS;
	atomic_store(&s->stop_ms, -1);
	pthread_mutex_init(&s->listeners_lock, NULL);
	s->loops = calloc((size_t)s->o.loops, sizeof *s->loops);
	*err = s->loops ? 0 : -ENOMEM;
	for (int i = 0; i < s->o.loops && !*err; i++)
		*err = add_loop(s, i);
	if (!*err)
		return s;
	net_server_free(s);
	return NULL;
}

/* ------------------------------------------------------------------ listeners */

struct listen_msg {
	struct net_msg msg;
	struct net_listener *listener;
};

static void close_listener(struct net_listener *l)
{
	for (int i = 0; i < l->nfds; i++) {
		if (l->fds[i] >= 0)
			close(l->fds[i]);
	}
	if (*l->path)
		unlink(l->path);
	free(l);
}

static int post_listener(struct net_loop *loop, struct net_listener *l, void (*run)(struct net_loop *, struct net_msg *))
{
	struct listen_msg *m = loop->server->o.realloc(NULL, sizeof *m);
	if (!m)
		return -ENOMEM;
	*m = (struct listen_msg){ .msg.run = run, .listener = l };
	net_post(loop, &m->msg);
	return 0;
}

static void run_watch(struct net_loop *loop, struct net_msg *m)
{
	struct listen_msg *lm = (struct listen_msg *)m;
	if (!loop->stopping)
		accept_watch(loop, lm->listener);
	loop->server->o.realloc(m, 0);
}

static void run_let_go(struct net_loop *loop, struct net_msg *m)
{
	struct listen_msg *lm = (struct listen_msg *)m;
	if (atomic_fetch_sub(&lm->listener->refs, 1) == 1)
		close_listener(lm->listener);
	loop->server->o.realloc(m, 0);
}

/* Events of this turn may still name the listener: it is let go in the next one. */
static void run_unwatch(struct net_loop *loop, struct net_msg *m)
{
	struct listen_msg *lm = (struct listen_msg *)m;
	accept_unwatch(loop, lm->listener);
	m->run = run_let_go;
	net_post(loop, m);
}

static struct net_listener *add_listener(struct net_server *s, struct net_listener *l, int *err)
{
	pthread_mutex_lock(&s->listeners_lock);
	l->next = s->listeners;
	s->listeners = l;
	pthread_mutex_unlock(&s->listeners_lock);
	for (int i = 0; i < s->o.loops && !*err; i++) {
		if (atomic_load(&s->running))
			*err = post_listener(s->loops[i], l, run_watch);
		else
			accept_watch(s->loops[i], l);
	}
	if (!*err)
		return l;
	net_unlisten(l);
	return NULL;
}

struct net_listener *net_listen_transport(struct net_server *s, const char *url, const struct net_transport *t, void *ctx,
                                          int *err)
{
	struct net_listener *l = NULL;
	*err = addr_listen(url, s, &l);
	if (*err)
		return NULL;
	l->transport = t;
	l->transport_ctx = ctx;
	return add_listener(s, l, err);
}

struct net_listener *net_listen(struct net_server *s, const char *url, int *err)
{
	return net_listen_transport(s, url, NULL, NULL, err);
}

struct net_listener *net_listen_fd(struct net_server *s, int take_fd, int tag, int *err)
{
	struct net_listener *l = NULL;
	*err = addr_adopt(take_fd, tag, s, &l);
	return *err ? NULL : add_listener(s, l, err);
}

int net_unlisten(struct net_listener *l)
{
	struct net_server *s = l->server;
	struct listen_msg *m[MAX_LOOPS];
	struct net_listener **link;
	int n = atomic_load(&s->running) ? s->o.loops : 0, got = 0;
	while (got < n && (m[got] = s->o.realloc(NULL, sizeof **m)))
		got++;
	if (got < n) {
		while (got)
			s->o.realloc(m[--got], 0);
		return -ENOMEM;
	}
	pthread_mutex_lock(&s->listeners_lock);
	for (link = &s->listeners; *link && *link != l; link = &(*link)->next)
		;
	if (*link)
		*link = l->next;
	pthread_mutex_unlock(&s->listeners_lock);
	/* Deaf at once: the address can be bound again before the last loop has let go. */
	for (int i = 0; i < l->nfds && !l->unix_socket && !l->udp && !l->adopted; i++) {
		if (l->fds[i] >= 0)
			shutdown(l->fds[i], SHUT_RDWR);
	}
	atomic_store(&l->refs, (unsigned)n);
	for (int i = 0; i < n; i++) {
		*m[i] = (struct listen_msg){ .msg.run = run_unwatch, .listener = l };
		net_post(s->loops[i], &m[i]->msg);
	}
	if (!n) {
		for (int i = 0; i < s->o.loops; i++)
			accept_unwatch(s->loops[i], l);
		close_listener(l);
	}
	return 0;
}

void net_listener_set_transport(struct net_listener *l, const struct net_transport *t, void *ctx)
{
	l->transport = t;
	l->transport_ctx = ctx;
}

const char *net_listener_addr(const struct net_listener *l)
{
	return l->addr;
}

int net_listener_port(const struct net_listener *l)
{
	return l->port;
}

/* ------------------------------------------------------------------ running */

/* Loop i on the i-th core that this process may use. */
static void pin(const struct net_server *s, int i)
{
	cpu_set_t allowed, one;
	if (!s->o.pin || sched_getaffinity(0, sizeof allowed, &allowed))
		return;
	int n = CPU_COUNT(&allowed), want = i % (n ? n : 1);
	for (int cpu = 0; cpu < CPU_SETSIZE; cpu++) {
		if (!CPU_ISSET(cpu, &allowed) || want--)
			continue;
		CPU_ZERO(&one);
		CPU_SET(cpu, &one);
		pthread_setaffinity_np(s->loops[i]->thread, sizeof one, &one);
		return;
	}
}

int net_server_start(struct net_server *s, bool here)
{
	s->here = here;
	if (s->ev.boot && s->ev.boot(s) == NET_SHUTDOWN)
		return -ECANCELED;
	atomic_store(&s->running, true);
	for (int i = here; i < s->o.loops; i++) {
		int err = pthread_create(&s->loops[i]->thread, NULL, loop_main, s->loops[i]);
		if (err) {
			net_server_stop(s, 0);
			for (int k = here; k < i; k++)
				pthread_join(s->loops[k]->thread, NULL);
			atomic_store(&s->running, false);
			return -err;
		}
		pin(s, i);
	}
	if (here)
		loop_main(s->loops[0]);
	return 0;
}

void net_server_stop(struct net_server *s, int deadline_ms)
{
	int running = -1;
	atomic_compare_exchange_strong(&s->stop_ms, &running, deadline_ms > 0 ? deadline_ms : 0);
	for (int i = 0; i < s->o.loops; i++)
		net_loop_wake(s->loops[i]);
}

void net_server_wait(struct net_server *s)
{
	if (!atomic_load(&s->running))
		return;
	for (int i = s->here; i < s->o.loops; i++)
		pthread_join(s->loops[i]->thread, NULL);
	while (atomic_load(&s->dials)) /* name resolution cannot be broken off */
		usleep(1000);
	atomic_store(&s->running, false);
	if (s->ev.shutdown)
		s->ev.shutdown(s);
}

void net_server_free(struct net_server *s)
{
	/* Messages that came too late: those who sent them get their answer, and memory and descriptors are freed. */
	for (int i = 0; s->loops && i < s->o.loops && s->loops[i]; i++) {
		s->loops[i]->stopping = true;
		while (atomic_load(&s->loops[i]->inbox))
			mailbox_run(s->loops[i]);
	}
	while (s->listeners) {
		struct net_listener *l = s->listeners;
		s->listeners = l->next;
		close_listener(l);
	}
	for (int i = 0; s->loops && i < s->o.loops && s->loops[i]; i++) {
		loop_clear(s->loops[i]);
		free(s->loops[i]);
	}
	pthread_mutex_destroy(&s->listeners_lock);
	free(s->loops);
	free(s);
}

void *net_server_user(const struct net_server *s)
{
	return s->o.user;
}

int net_server_loops(const struct net_server *s)
{
	return s->o.loops;
}

struct net_loop *net_server_loop(struct net_server *s, int i)
{
	return s->loops[i];
}

void net_server_set_keepalive(struct net_server *s, int seconds)
{
	__atomic_store_n(&s->o.tcp_keepalive_s, seconds, __ATOMIC_RELAXED);
}

void net_server_set_idle_timeout(struct net_server *s, int ms)
{
	__atomic_store_n(&s->o.idle_timeout_ms, ms, __ATOMIC_RELAXED);
}
