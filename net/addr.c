/* addr: addresses as text: parsing of "tcp://host:port?option=value", opening what they name, and printing. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "net/internal.h"

static bool has_prefix(const char **s, const char *prefix)
{
	size_t n = strlen(prefix);
	if (strncmp(*s, prefix, n))
		return false;
	*s += n;
	return true;
}

static int parse_options(const char *q, struct addr *a)
{
	while (q && *q) {
		const char *end = q + strcspn(q, "&");
		if (has_prefix(&q, "reuseport="))
			a->reuseport = strncmp(q, "true", 4) == 0;
		else if (has_prefix(&q, "mode="))
			a->mode = strtol(q, NULL, 8);
		else if (has_prefix(&q, "tag="))
			a->tag = (int)strtol(q, NULL, 10);
		else
			return -EINVAL;
		q = *end ? end + 1 : end;
	}
	return 0;
}

static int parse_host(const char *s, size_t len, struct addr *a)
{
	const char *colon = memrchr(s, ':', len);
	if (!colon)
		return -EINVAL;
	size_t host = (size_t)(colon - s), port = len - host - 1;
	if (host && *s == '[') {
		if (s[host - 1] != ']')
			return -EINVAL;
		s++;
		host -= 2;
	}
	if (host >= sizeof a->host || port == 0 || port >= sizeof a->port)
		return -EINVAL;
	memcpy(a->host, s, host);
	memcpy(a->port, colon + 1, port);
	if (strspn(a->port, "0123456789") != port || strtol(a->port, NULL, 10) > UINT16_MAX)
		return -EINVAL; /* the resolver would take 99999 for 34463 */
	return 0;
}

int addr_parse(const char *url, struct addr *a)
{
	*a = (struct addr){ .mode = -1 };
	if (has_prefix(&url, "unix://"))
		a->unix_socket = true;
	else if (has_prefix(&url, "tcp4://"))
		a->family = AF_INET;
	else if (has_prefix(&url, "tcp6://"))
		a->family = AF_INET6;
	else if (has_prefix(&url, "udp://"))
		a->udp = true;
	else if (has_prefix(&url, "udp4://"))
		a->udp = true, a->family = AF_INET;
	else if (has_prefix(&url, "udp6://"))
		a->udp = true, a->family = AF_INET6;
	else if (!has_prefix(&url, "tcp://"))
		return -EINVAL;
	size_t len = strcspn(url, "?");
	int err = parse_options(url[len] ? url + len + 1 : NULL, a);
	if (err)
		return err;
	if (!a->unix_socket)
		return parse_host(url, len, a);
	if (len == 0 || len >= sizeof a->path)
		return -ENAMETOOLONG;
	memcpy(a->path, url, len);
	return 0;
}

int addr_format(const struct sockaddr_storage *a, char *buf, size_t size)
{
	char host[INET6_ADDRSTRLEN] = "?";
	if (a->ss_family == AF_INET) {
		const struct sockaddr_in *in = (const void *)a;
		inet_ntop(AF_INET, &in->sin_addr, host, sizeof host);
		return snprintf(buf, size, "%s:%d", host, ntohs(in->sin_port));
	}
	const struct sockaddr_in6 *in6 = (const void *)a;
	if (a->ss_family == AF_INET6)
		inet_ntop(AF_INET6, &in6->sin6_addr, host, sizeof host);
	return snprintf(buf, size, "[%s]:%d", host, a->ss_family == AF_INET6 ? ntohs(in6->sin6_port) : 0);
}

/* ------------------------------------------------------------------ opening */

/* Whether somebody answers at a Unix socket's path; a file nobody listens on is a leftover and may be replaced. */
static bool is_live(const struct sockaddr_un *un, socklen_t len)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	bool live = fd >= 0 && connect(fd, (const struct sockaddr *)un, len) == 0;
	if (fd >= 0)
		close(fd);
	return live;
}

/* Fill in a Unix socket's address; its length. */
socklen_t addr_unix(const struct addr *a, struct sockaddr_storage *out)
{
	struct sockaddr_un *un = (struct sockaddr_un *)out;
	size_t n = strlen(a->path);
	memset(out, 0, sizeof *out);
	un->sun_family = AF_UNIX;
	memcpy(un->sun_path, a->path, n);
	bool abstract = un->sun_path[0] == '@';
	if (abstract)
		un->sun_path[0] = 0;
	return (socklen_t)(offsetof(struct sockaddr_un, sun_path) + n + !abstract);
}

static int open_unix(const struct addr *a, int backlog)
{
	struct sockaddr_storage un;
	bool abstract = a->path[0] == '@';
	socklen_t len = addr_unix(a, &un);
	if (!abstract && access(a->path, F_OK) == 0) {
		if (is_live((struct sockaddr_un *)&un, len))
			return -EADDRINUSE;
		unlink(a->path);
	}
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	/* Permissions before listen: nobody can connect in between. */
	if (bind(fd, (struct sockaddr *)&un, len) || (a->mode >= 0 && !abstract && chmod(a->path, (mode_t)a->mode)) ||
	    listen(fd, backlog)) {
		int err = -errno;
		close(fd);
		return err;
	}
	return fd;
}

static int open_inet(const struct addrinfo *ai, bool reuseport, int backlog)
{
	int one = 1, fd = socket(ai->ai_family, ai->ai_socktype | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	bool udp = ai->ai_socktype == SOCK_DGRAM;
	if (!udp)
		setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
	if (ai->ai_family == AF_INET6)
		setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &one, sizeof one);
	if ((reuseport && setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &one, sizeof one)) ||
	    bind(fd, ai->ai_addr, ai->ai_addrlen) || (!udp && listen(fd, backlog))) {
		int err = -errno;
		close(fd);
		return err;
	}
	return fd;
}

int addr_resolve(const struct addr *a, bool passive, struct addrinfo **out)
{
	struct addrinfo hints = { .ai_family = a->family, .ai_socktype = a->udp ? SOCK_DGRAM : SOCK_STREAM,
		                  .ai_flags = (passive ? AI_PASSIVE : 0) | AI_NUMERICSERV };
	switch (getaddrinfo(*a->host ? a->host : NULL, a->port, &hints, out)) {
	case 0:
		return 0;
	case EAI_MEMORY:
		return -ENOMEM;
	case EAI_SYSTEM:
		return -errno;
	default:
		return -EADDRNOTAVAIL;
	}
}

int addr_open(const struct addr *a, int backlog)
{
	struct addrinfo *ai = NULL;
	if (a->unix_socket)
		return open_unix(a, backlog);
	int fd = addr_resolve(a, true, &ai);
	if (fd == 0) {
		fd = open_inet(ai, a->reuseport, backlog);
		freeaddrinfo(ai);
	}
	return fd;
}

int addr_port(int fd)
{
	struct sockaddr_storage bound;
	socklen_t len = sizeof bound;
	if (getsockname(fd, (struct sockaddr *)&bound, &len))
		return -errno;
	if (bound.ss_family == AF_INET)
		return ntohs(((struct sockaddr_in *)&bound)->sin_port);
	return bound.ss_family == AF_INET6 ? ntohs(((struct sockaddr_in6 *)&bound)->sin6_port) : 0;
}

static struct net_listener *listener_new(struct net_server *s, int nfds)
{
	struct net_listener *l = calloc(1, sizeof *l + (size_t)nfds * sizeof(int));
	if (l) {
		l->server = s;
		l->nfds = nfds;
		for (int i = 0; i < nfds; i++)
			l->fds[i] = -1;
	}
	return l;
}

static int listener_name(struct net_listener *l, const struct addr *a)
{
	struct sockaddr_storage bound;
	socklen_t len = sizeof bound;
	l->tag = a->tag;
	l->unix_socket = a->unix_socket;
	l->udp = a->udp;
	if (a->unix_socket) {
		snprintf(l->addr, sizeof l->addr, "%s", a->path);
		if (a->path[0] != '@')
			memcpy(l->path, a->path, sizeof l->path);
	} else if (getsockname(l->fds[0], (struct sockaddr *)&bound, &len) == 0) {
		addr_format(&bound, l->addr, sizeof l->addr);
		l->port = ntohs(bound.ss_family == AF_INET ? ((struct sockaddr_in *)&bound)->sin_port
		                                           : ((struct sockaddr_in6 *)&bound)->sin6_port);
	} else {
		return -errno;
	}
	return 0;
}

static int open_all_inet(struct net_listener *l, const struct addr *a, bool reuseport, int backlog)
{
	struct addrinfo *ai = NULL;
	int err = addr_resolve(a, true, &ai);
	if (err)
		return err;
	for (int i = 0; i < l->nfds && !err; i++) {
		socklen_t len = ai->ai_addrlen;
		l->fds[i] = open_inet(ai, reuseport, backlog);
		err = l->fds[i] < 0 ? l->fds[i] : 0;
		if (!err && i == 0 && getsockname(l->fds[0], ai->ai_addr, &len))
			err = -errno; /* port 0: the others join the port that the first got */
	}
	freeaddrinfo(ai);
	return err;
}

int addr_listen(const char *url, struct net_server *s, struct net_listener **out)
{
	struct addr a;
	int err = addr_parse(url, &a);
	if (err)
		return err;
	bool reuseport = (a.reuseport || s->o.reuseport) && !a.unix_socket;
	struct net_listener *l = listener_new(s, reuseport ? s->o.loops : 1);
	if (!l)
		return -ENOMEM;
	if (a.unix_socket) {
		l->fds[0] = open_unix(&a, s->o.backlog);
		err = l->fds[0] < 0 ? l->fds[0] : 0;
	} else {
		err = open_all_inet(l, &a, reuseport, s->o.backlog);
	}
	if (!err)
		err = listener_name(l, &a);
	if (err) {
		for (int i = 0; i < l->nfds; i++) {
			if (l->fds[i] >= 0)
				close(l->fds[i]);
		}
		free(l);
		return err;
	}
	*out = l;
	return 0;
}

int addr_adopt(int take_fd, int tag, struct net_server *s, struct net_listener **out)
{
	int listening = 0;
	socklen_t len = sizeof listening;
	int type = 0;
	socklen_t type_len = sizeof type;
	if (getsockopt(take_fd, SOL_SOCKET, SO_ACCEPTCONN, &listening, &len) ||
	    getsockopt(take_fd, SOL_SOCKET, SO_TYPE, &type, &type_len))
		return -errno;
	if (!listening && type != SOCK_DGRAM)
		return -EINVAL;
	struct net_listener *l = listener_new(s, 1);
	if (!l)
		return -ENOMEM;
	struct sockaddr_storage bound = { 0 };
	struct addr a = { .tag = tag, .udp = type == SOCK_DGRAM };
	len = sizeof bound;
	if (getsockname(take_fd, (struct sockaddr *)&bound, &len)) {
		int err = -errno;
		free(l);
		return err;
	}
	l->adopted = true;
	a.unix_socket = bound.ss_family == AF_UNIX;
	fcntl(take_fd, F_SETFL, fcntl(take_fd, F_GETFL) | O_NONBLOCK);
	l->fds[0] = take_fd;
	int failed = listener_name(l, &a);
	if (failed)
		free(l);
	else
		*out = l;
	return failed;
}
