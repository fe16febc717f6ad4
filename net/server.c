/* server: loops and listeners. */
#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "net/internal.h"

void net_options_init(struct net_options *o)
{
	*o = (struct net_options){ .size = sizeof *o, .backlog = 511, .read_cap = 64 * 1024, .turn_cap = 4 << 20,
		.high_water = 1 << 20, .low_water = 256 << 10, .tcp_nodelay = true, .close_timeout_ms = 5000, .thread_name = "loop" };
}

struct net_server *net_server_new(const struct net_events *events, const struct net_options *o, int *err)
{
	struct net_server *s = calloc(1, sizeof *s);
	s->ev = *events;
	s->o = *o;
	if (s->o.loops <= 0)
		s->o.loops = (int)sysconf(_SC_NPROCESSORS_ONLN);
	s->stop_ms = -1;
	s->loops = calloc((size_t)s->o.loops, sizeof *s->loops);
	for (int i = 0; i < s->o.loops; i++) {
		struct net_loop *l = aligned_alloc(64, (sizeof *l + 63) & ~63ul);
		memset(l, 0, sizeof *l);
		l->server = s;
		l->index = i;
		l->epfd = epoll_create1(EPOLL_CLOEXEC);
		l->wakefd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
		struct epoll_event ev = { .events = EPOLLIN, .data.ptr = NULL };
		epoll_ctl(l->epfd, EPOLL_CTL_ADD, l->wakefd, &ev);
		s->loops[i] = l;
	}
	*err = 0;
	return s;
}

static int open_socket(const char *url, struct net_listener *l)
{
	char host[128];
	int one = 1, fd, err = 0;
	if (!strncmp(url, "unix://", 7)) {
		struct sockaddr_un un = { .sun_family = AF_UNIX };
		const char *q = strchr(url, '?');
		size_t n = q ? (size_t)(q - url - 7) : strlen(url + 7);
		if (n >= sizeof un.sun_path)
			return -ENAMETOOLONG;
		memcpy(un.sun_path, url + 7, n);
		unlink(un.sun_path);
		fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
		const char *mode = q ? strstr(q, "mode=") : NULL;
		if (bind(fd, (struct sockaddr *)&un, sizeof un) ||
		    (mode && chmod(un.sun_path, (mode_t)strtoul(mode + 5, NULL, 8))) || listen(fd, l->server->o.backlog)) {
			err = -errno;
			close(fd);
			return err;
		}
		l->unix_socket = true;
		snprintf(l->addr, sizeof l->addr, "%s", un.sun_path);
		return fd;
	}
	const char *p = strstr(url, "://") + 3, *colon = strrchr(p, ':');
	snprintf(host, sizeof host, "%.*s", (int)(colon - p), p);
	char *h = host;
	if (*h == '[') {
		h++;
		h[strlen(h) - 1] = 0;
	}
	struct addrinfo hints = { .ai_family = url[3] == '6' ? AF_INET6 : AF_INET, .ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE }, *ai;
	if (getaddrinfo(*h ? h : NULL, colon + 1, &hints, &ai))
		return -EADDRNOTAVAIL;
	fd = socket(ai->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0) {
		err = -errno;
		freeaddrinfo(ai);
		return err;
	}
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
	if (ai->ai_family == AF_INET6)
		setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &one, sizeof one);
	if (bind(fd, ai->ai_addr, ai->ai_addrlen) || listen(fd, l->server->o.backlog))
		err = -errno;
	freeaddrinfo(ai);
	struct sockaddr_in6 a;
	socklen_t len = sizeof a;
	if (!err && !getsockname(fd, (struct sockaddr *)&a, &len))
		l->port = ntohs(a.sin6_port);
	if (err)
		close(fd);
	return err ? err : fd;
}

struct net_listener *net_listen(struct net_server *s, const char *url, int *err)
{
	struct net_listener *l = calloc(1, sizeof *l);
	l->server = s;
	l->fd = open_socket(url, l);
	if (l->fd < 0) {
		*err = l->fd;
		free(l);
		return NULL;
	}
	l->next = s->listeners;
	s->listeners = l;
	struct epoll_event ev = { .events = EPOLLIN, .data.ptr = (char *)l + 1 };
	epoll_ctl(s->loops[0]->epfd, EPOLL_CTL_ADD, l->fd, &ev);
	return l;
}

int net_listener_port(const struct net_listener *l)
{
	return l->port;
}

int net_server_start(struct net_server *s, bool here)
{
	s->here = here;
	for (int i = here; i < s->o.loops; i++) {
		int err = pthread_create(&s->loops[i]->thread, NULL, loop_main, s->loops[i]);
		if (err)
			return -err;
	}
	if (here)
		loop_main(s->loops[0]);
	return 0;
}

void net_server_stop(struct net_server *s, int deadline_ms)
{
	atomic_store(&s->stop_ms, deadline_ms);
	for (int i = 0; i < s->o.loops; i++)
		net_loop_wake(s->loops[i]);
}

void net_server_wait(struct net_server *s)
{
	for (int i = s->here; i < s->o.loops; i++)
		pthread_join(s->loops[i]->thread, NULL);
}

void net_server_free(struct net_server *s)
{
	while (s->listeners) {
		struct net_listener *l = s->listeners;
		s->listeners = l->next;
		close(l->fd);
		free(l);
	}
	for (int i = 0; i < s->o.loops; i++) {
		struct net_loop *l = s->loops[i];
		close(l->epfd);
		close(l->wakefd);
		arena_free(&l->in);
		arena_free(&l->out);
		arena_free(&l->misc);
		free(l->slots);
		free(l->generations);
		free(l->ready.v);
		free(l->touched.v);
		free(l->writes.v);
		free(l->wakes.v);
		free(l->dead.v);
		free(l);
	}
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
	s->o.tcp_keepalive_s = seconds;
}

void net_server_set_idle_timeout(struct net_server *s, int ms)
{
	s->o.idle_timeout_ms = ms;
}
