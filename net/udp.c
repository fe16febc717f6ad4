/*
 * udp: datagrams. They come in up to 32 with one recvmmsg(), each handed to packet(); what is sent in a turn leaves with
 * one sendmmsg() per socket when the turn ends. There are no connections, so there is no open() and no close(), but for
 * sockets that were dialled.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <net/if.h>
#include <netinet/in.h>
#include <string.h>

#include "net/internal.h"

#define BATCH 32
#define PACKET_MAX 65536

/* A datagram to be sent, in the turn's memory. */
struct packet_out {
	struct packet_out *next;
	int fd;
	socklen_t to_len;
	struct sockaddr_storage to;
	size_t len;
	char bytes[];
};

struct udp_batch {
	struct packet_out *first, **last;
	unsigned queued;
};

static struct udp_batch *batch_of(struct net_loop *l)
{
	if (!l->udp) {
		l->udp = l->server->o.realloc(NULL, sizeof *l->udp);
		if (l->udp)
			*l->udp = (struct udp_batch){ .last = &l->udp->first };
	}
	return l->udp;
}

void udp_free(struct net_loop *l)
{
	if (l->udp)
		l->server->o.realloc(l->udp, 0);
	l->udp = NULL;
}

void udp_ready(struct net_loop *l, struct net_listener *li)
{
	struct sockaddr_storage from[BATCH];
	struct iovec iov[BATCH];
	struct mmsghdr m[BATCH];
	int want = 0, fd = accept_fd(l, li);
	for (; want < BATCH; want++) {
		iov[want].iov_base = arena_alloc(&l->in, PACKET_MAX);
		iov[want].iov_len = PACKET_MAX;
		if (!iov[want].iov_base)
			break;
		m[want] = (struct mmsghdr){ .msg_hdr = { .msg_name = &from[want], .msg_namelen = sizeof from[want],
			                                 .msg_iov = &iov[want], .msg_iovlen = 1 } };
	}
	int n = fd < 0 || !want ? 0 : recvmmsg(fd, m, (unsigned)want, MSG_DONTWAIT, NULL);
	for (int i = 0; i < n; i++) {
		l->stats.reads++;
		l->stats.bytes_in += m[i].msg_len;
		struct net_packet p = { .listener = li, .peer = (struct sockaddr *)&from[i],
			                .peer_len = m[i].msg_hdr.msg_namelen, .bytes = iov[i].iov_base, .len = m[i].msg_len,
			                .tag = li->tag };
		if (l->server->ev.packet)
			l->server->ev.packet(l, &p);
	}
}

int net_send_to(struct net_loop *l, struct net_listener *li, const void *buf, size_t len, const struct sockaddr *to,
                socklen_t to_len)
{
	struct udp_batch *b = batch_of(l);
	if (len > PACKET_MAX || to_len > sizeof(struct sockaddr_storage))
		return -EMSGSIZE;
	struct packet_out *p = b ? arena_alloc(&l->misc, sizeof *p + len) : NULL;
	if (!p)
		return -ENOMEM;
	*p = (struct packet_out){ .fd = li->nfds > 1 ? li->fds[l->index] : li->fds[0], .to_len = to_len, .len = len };
	memcpy(&p->to, to, to_len);
	if (len)
		memcpy(p->bytes, buf, len);
	*b->last = p;
	b->last = &p->next;
	return 0;
}

/* Send the datagrams at the head of the list that share a socket; the first one left. What the socket does not take is
 * dropped, as datagrams are. */
static struct packet_out *send_some(struct net_loop *l, struct packet_out *p)
{
	struct mmsghdr m[BATCH];
	struct iovec iov[BATCH];
	int n = 0, fd = p->fd;
	for (; p && n < BATCH && p->fd == fd; p = p->next, n++) {
		iov[n] = (struct iovec){ .iov_base = p->bytes, .iov_len = p->len };
		m[n] = (struct mmsghdr){ .msg_hdr = { .msg_name = &p->to, .msg_namelen = p->to_len, .msg_iov = &iov[n],
			                              .msg_iovlen = 1 } };
	}
	for (int sent = 0; sent < n;) {
		int r = sendmmsg(fd, m + sent, (unsigned)(n - sent), MSG_DONTWAIT | MSG_NOSIGNAL);
		l->stats.writes++;
		for (int i = 0; i < r; i++)
			l->stats.bytes_out += m[sent + i].msg_len;
		sent += r > 0 ? r : 1; /* the first one failed: the next may not */
	}
	return p;
}

void udp_flush(struct net_loop *l)
{
	if (!l->udp || !l->udp->first)
		return;
	for (struct packet_out *p = l->udp->first; p;)
		p = send_some(l, p);
	l->udp->first = NULL;
	l->udp->last = &l->udp->first;
}

/* ------------------------------------------------------------------ dialled sockets */

/* A connection with one peer, below which lies a transport of datagrams: each read takes one, and each piece of output is
 * one. What the socket does not take is dropped; only that nobody is there is an error. */
struct udp_state {
	struct net_server *server;
	bool drained;
};

static void *new_state(void *ctx, int fd, bool client, const char *host)
{
	struct net_server *s = ctx;
	(void)fd;
	(void)client;
	(void)host;
	struct udp_state *u = s->o.realloc(NULL, sizeof *u);
	if (u)
		*u = (struct udp_state){ .server = s, .drained = true };
	return u;
}

static void free_state(void *state)
{
	struct udp_state *u = state;
	u->server->o.realloc(u, 0);
}

/* An empty datagram is not an end. */
static ssize_t read_one(void *state, int fd, void *buf, size_t len)
{
	struct udp_state *u = state;
	ssize_t n;
	do
		n = recv(fd, buf, len, MSG_DONTWAIT);
	while (n == 0);
	u->drained = n < 0 && errno != EINTR;
	return n < 0 ? -errno : n;
}

/* Edge-triggered pollers say no more about the datagrams behind the first. */
static bool has_more(const void *state)
{
	const struct udp_state *u = state;
	return u->server->o.edge_triggered && !u->drained;
}

static ssize_t write_each(void *state, int fd, const struct iovec *iov, int n)
{
	struct mmsghdr m[BATCH];
	size_t total = 0;
	(void)state;
	for (int i = 0; i < n; i++)
		total += iov[i].iov_len;
	for (int done = 0; done < n;) {
		int batch = n - done < BATCH ? n - done : BATCH;
		for (int i = 0; i < batch; i++)
			m[i].msg_hdr = (struct msghdr){ .msg_iov = (struct iovec *)(uintptr_t)&iov[done + i], .msg_iovlen = 1 };
		int r = sendmmsg(fd, m, (unsigned)batch, MSG_DONTWAIT | MSG_NOSIGNAL);
		if (r < 0 && errno == ECONNREFUSED)
			return -errno;
		done += r > 0 ? r : 1;
	}
	return (ssize_t)total;
}

const struct net_transport udp_transport = {
	.name = "udp", .new_state = new_state, .read = read_one, .writev = write_each, .pending = has_more,
	.free_state = free_state,
};

int net_multicast(struct net_listener *li, const char *group, const char *interface, bool join)
{
	struct in_addr v4;
	struct ipv6_mreq six = { .ipv6mr_interface = *interface ? if_nametoindex(interface) : 0 };
	if (*interface && !six.ipv6mr_interface)
		return -ENODEV;
	for (int i = 0; i < li->nfds; i++) {
		int r;
		if (inet_pton(AF_INET, group, &v4) == 1) {
			struct ip_mreqn four = { .imr_multiaddr = v4, .imr_ifindex = (int)six.ipv6mr_interface };
			r = setsockopt(li->fds[i], IPPROTO_IP, join ? IP_ADD_MEMBERSHIP : IP_DROP_MEMBERSHIP, &four, sizeof four);
		} else if (inet_pton(AF_INET6, group, &six.ipv6mr_multiaddr) == 1) {
			r = setsockopt(li->fds[i], IPPROTO_IPV6, join ? IPV6_JOIN_GROUP : IPV6_LEAVE_GROUP, &six, sizeof six);
		} else {
			return -EINVAL;
		}
		if (r)
			return -errno;
	}
	return 0;
}
