/* server: loops and listeners, from creation to the end of the last thread. */
#include <errno.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "net/internal.h"

void net_options_init(struct net_options *o)
{
	*o = (struct net_options){
		.size = sizeof *o, .backlog = 511, .read_cap = 64 * 1024, .turn_cap = 4 << 20, .high_water = 1 << 20,
		.low_water = 256 << 10, .tcp_nodelay = true, .close_timeout_ms = 5000, .thread_name = "loop",
	};
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
	s->o = *o;
	if (s->o.loops <= 0)
		s->o.loops = (int)sysconf(_SC_NPROCESSORS_ONLN);
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

static void add_listener(struct net_server *s, struct net_listener *l)
{
	pthread_mutex_lock(&s->listeners_lock);
	l->next = s->listeners;
	s->listeners = l;
	/* The pollers take additions from any thread. */
	for (int i = 0; i < s->o.loops; i++)
		accept_watch(s->loops[i], l);
	pthread_mutex_unlock(&s->listeners_lock);
}

struct net_listener *net_listen(struct net_server *s, const char *url, int *err)
{
	struct net_listener *l = NULL;
	*err = addr_listen(url, s, &l);
	if (*err)
		return NULL;
	add_listener(s, l);
	return l;
}

struct net_listener *net_listen_fd(struct net_server *s, int take_fd, int tag, int *err)
{
	struct net_listener *l = NULL;
	*err = addr_adopt(take_fd, tag, s, &l);
	if (*err)
		return NULL;
	add_listener(s, l);
	return l;
}

static void close_listener(struct net_listener *l)
{
	for (int i = 0; i < l->nfds; i++)
		close(l->fds[i]);
	if (*l->path)
		unlink(l->path);
}

int net_unlisten(struct net_listener *l)
{
	struct net_server *s = l->server;
	pthread_mutex_lock(&s->listeners_lock);
	bool known = !l->removed;
	l->removed = true;
	for (int i = 0; known && i < s->o.loops; i++)
		accept_unwatch(s->loops[i], l);
	pthread_mutex_unlock(&s->listeners_lock);
	if (!known)
		return -ENOENT;
	/* The struct stays until the server goes: an event for it may be under way in a loop. */
	for (int i = 0; i < l->nfds; i++)
		shutdown(l->fds[i], SHUT_RDWR);
	if (*l->path)
		unlink(l->path);
	l->path[0] = 0;
	return 0;
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
	s->running = true;
	for (int i = here; i < s->o.loops; i++) {
		int err = pthread_create(&s->loops[i]->thread, NULL, loop_main, s->loops[i]);
		if (err) {
			s->o.loops = i; /* wait for those that run */
			net_server_stop(s, 0);
			net_server_wait(s);
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
	if (!s->running)
		return;
	for (int i = s->here; i < s->o.loops; i++)
		pthread_join(s->loops[i]->thread, NULL);
	s->running = false;
	if (s->ev.shutdown)
		s->ev.shutdown(s);
}

void net_server_free(struct net_server *s)
{
	while (s->listeners) {
		struct net_listener *l = s->listeners;
		s->listeners = l->next;
		close_listener(l);
		free(l);
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
