/*
 * proactor: what any thread may do: submissions go into an inbox under a lock that is held for a few instructions; the
 * thread that waits takes them from there (net/impl/proactor_io.c).
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "net/impl/proactor.h"

#define BACKLOG 511
#define BUFFER_MIN (64 << 10)

static void *plain_realloc(void *p, size_t size)
{
	if (size)
		return realloc(p, size);
	free(p);
	return NULL;
}

void net_proactor_options_init(struct net_proactor_options *o)
{
	*o = (struct net_proactor_options){ .size = sizeof *o, .buffer = 256 << 10, .tcp_nodelay = true };
}

static int open_all(struct net_proactor *p, int backend)
{
	int err = 0;
	p->backend = poll_choose(backend == NET_BACKEND_URING ? NET_BACKEND_AUTO : backend);
	if (!p->backend)
		return -ENOTSUP;
	p->edge = p->backend->edge;
	p->wheel = wheel_new(p->now_ms);
	p->area = p->mem(NULL, p->area_size);
	if (!p->wheel || !p->area)
		return -ENOMEM;
	p->poller = p->backend->open(&err);
	if (!p->poller)
		return err;
	err = wakefd_open(&p->wakefd, &p->wakefd_write);
	return err ? err : p->backend->add(p->poller, p->wakefd, NULL, POLL_READ);
}

struct net_proactor *net_proactor_new(const struct net_proactor_options *wanted, int *err)
{
	struct net_proactor_options o;
	net_proactor_options_init(&o);
	if (wanted)
		memcpy(&o, wanted, wanted->size < sizeof o ? wanted->size : sizeof o);
	mem_fn *mem = o.realloc ? o.realloc : plain_realloc;
	struct net_proactor *p = mem(NULL, sizeof *p);
	*err = -ENOMEM;
	if (!p)
		return NULL;
	memset(p, 0, sizeof *p);
	p->mem = mem;
	p->tcp_nodelay = o.tcp_nodelay;
	p->area_size = o.buffer < BUFFER_MIN ? BUFFER_MIN : o.buffer;
	p->now_ms = loop_clock_ms();
	p->wakefd = p->wakefd_write = -1;
	pthread_mutex_init(&p->lock, NULL);
	*err = open_all(p, (int)o.backend);
	if (!*err)
		return p;
	net_proactor_free(p);
	return NULL;
}

static void free_op(struct net_proactor *p, struct op *op)
{
	if (op->own)
		p->mem(op->own, 0);
	if (op->what != OP_RELEASE)
		p->mem(op, 0);
}

static void free_ops(struct net_proactor *p, struct op *op)
{
	while (op) {
		struct op *next = op->next;
		free_op(p, op);
		op = next;
	}
}

void net_proactor_free(struct net_proactor *p)
{
	free_ops(p, p->inbox.first);
	free_ops(p, p->got.first);
	free_ops(p, p->done.first);
	free_ops(p, p->used_ops);
	free_ops(p, p->free_ops);
	for (uint32_t i = 0; i < p->nslots; i++) {
		struct pconn *c = p->slots[i];
		free_ops(p, c->reads.first);
		free_ops(p, c->writes.first);
		if (c->fd >= 0)
			close(c->fd);
		p->mem(c, 0);
	}
	while (p->lent) {
		struct own *next = p->lent->next;
		p->mem(p->lent, 0);
		p->lent = next;
	}
	if (p->slots)
		p->mem(p->slots, 0);
	if (p->poller)
		p->backend->close(p->poller);
	wakefd_close(p->wakefd, p->wakefd_write);
	wheel_free(p->wheel);
	if (p->area)
		p->mem(p->area, 0);
	pthread_mutex_destroy(&p->lock);
	p->mem(p, 0);
}

/* ------------------------------------------------------------------ connections */

net_proactor_conn pconn_name(const struct pconn *c)
{
	return (uint64_t)c->generation << 32 | (c->slot + 1);
}

/* Under the lock. NULL: it was released. */
static struct pconn *find(const struct net_proactor *p, net_proactor_conn conn)
{
	uint32_t slot = (uint32_t)conn - 1;
	struct pconn *c = slot < p->nslots ? p->slots[slot] : NULL;
	return c && c->generation == conn >> 32 && !c->released ? c : NULL;
}

static struct pconn *new_slot(struct net_proactor *p)
{
	if (p->nslots == p->cap) {
		if (p->cap >= UINT32_MAX / 2)
			return NULL;
		uint32_t cap = p->cap ? p->cap * 2 : 64;
		struct pconn **slots = p->mem(p->slots, (size_t)cap * sizeof *slots);
		if (!slots)
			return NULL;
		p->slots = slots;
		p->cap = cap;
	}
	struct pconn *c = p->mem(NULL, sizeof *c);
	if (c) {
		*c = (struct pconn){ .proactor = p, .slot = p->nslots };
		p->slots[p->nslots++] = c;
	}
	return c;
}

struct pconn *pconn_new(struct net_proactor *p, int take_fd, bool listening)
{
	struct pconn *c = p->free_conns;
	if (c)
		p->free_conns = c->next;
	else
		c = new_slot(p);
	if (c) {
		*c = (struct pconn){ .proactor = p, .slot = c->slot, .generation = c->generation, .fd = take_fd,
			             .listening = listening, .writable = true };
		c->release = (struct op){ .conn = c, .what = OP_RELEASE };
	}
	return c;
}

int net_proactor_add(struct net_proactor *p, int take_fd, net_proactor_conn *conn)
{
	int type = 0, listening = 0, flags = fcntl(take_fd, F_GETFL);
	socklen_t len = sizeof type, other_len = sizeof listening;
	if (flags < 0 || getsockopt(take_fd, SOL_SOCKET, SO_TYPE, &type, &len) ||
	    getsockopt(take_fd, SOL_SOCKET, SO_ACCEPTCONN, &listening, &other_len))
		return -errno;
	if (type != SOCK_STREAM)
		return -EOPNOTSUPP;
	if (!(flags & O_NONBLOCK) && fcntl(take_fd, F_SETFL, flags | O_NONBLOCK))
		return -errno;
	pthread_mutex_lock(&p->lock);
	struct pconn *c = pconn_new(p, take_fd, listening);
	if (c)
		*conn = pconn_name(c);
	pthread_mutex_unlock(&p->lock);
	return c ? 0 : -ENOMEM;
}

int net_proactor_listen(struct net_proactor *p, const char *url, net_proactor_conn *conn, int *port)
{
	struct addr a;
	int err = addr_parse(url, &a);
	if (err || a.udp)
		return err ? err : -EOPNOTSUPP;
	int fd = addr_open(&a, BACKLOG);
	if (fd < 0)
		return fd;
	int bound = addr_port(fd);
	err = bound < 0 ? bound : net_proactor_add(p, fd, conn);
	if (err)
		close(fd);
	else if (port)
		*port = bound;
	return err;
}

int net_proactor_fd(struct net_proactor *p, net_proactor_conn conn)
{
	pthread_mutex_lock(&p->lock);
	const struct pconn *c = find(p, conn);
	int fd = c ? c->fd : -1;
	pthread_mutex_unlock(&p->lock);
	return fd;
}

/* ------------------------------------------------------------------ submitting */

/* Under the lock, which it gives up. */
static void put(struct net_proactor *p, struct op *op)
{
	op->next = NULL;
	op->prev = p->inbox.last;
	*(p->inbox.last ? &p->inbox.last->next : &p->inbox.first) = op;
	p->inbox.last = op;
	bool wake = atomic_load_explicit(&p->sleeping, memory_order_relaxed);
	if (wake)
		atomic_store_explicit(&p->sleeping, false, memory_order_relaxed);
	pthread_mutex_unlock(&p->lock);
	if (wake)
		wakefd_ring(p->wakefd_write);
}

static struct op *new_op(struct net_proactor *p)
{
	struct op *op = p->free_ops;
	if (!op)
		return p->mem(NULL, sizeof *op);
	p->free_ops = op->next;
	p->nfree_ops--;
	return op;
}

static int submit(struct net_proactor *p, net_proactor_conn conn, const struct op *wanted, int64_t timeout_ms)
{
	if (timeout_ms > FOREVER_MS)
		timeout_ms = -1;
	int64_t due = timeout_ms < 0 ? 0 : loop_clock_ms() + timeout_ms;
	pthread_mutex_lock(&p->lock);
	struct pconn *c = find(p, conn);
	int err = !c ? -EBADF : c->listening != (wanted->what == NET_OP_ACCEPT) ? -EINVAL : 0;
	struct op *op = err ? NULL : new_op(p);
	if (!op) {
		pthread_mutex_unlock(&p->lock);
		return err ? err : -ENOMEM;
	}
	*op = *wanted;
	op->conn = c;
	op->name = conn;
	op->timed = timeout_ms >= 0;
	op->due_ms = due;
	put(p, op);
	return 0;
}

int net_proactor_read(struct net_proactor *p, net_proactor_conn conn, void *buf, size_t size, int64_t timeout_ms, void *ctx)
{
	if (buf && !size)
		return -EINVAL;
	struct op op = { .what = NET_OP_READ, .buf = buf, .at = buf, .size = size, .ctx = ctx };
	return submit(p, conn, &op, timeout_ms);
}

int net_proactor_read_full(struct net_proactor *p, net_proactor_conn conn, void *buf, size_t size, int64_t timeout_ms,
                           void *ctx)
{
	if (!size)
		return -EINVAL;
	struct op op = { .what = NET_OP_READ_FULL, .buf = buf, .at = buf, .size = size, .ctx = ctx };
	return submit(p, conn, &op, timeout_ms);
}

int net_proactor_write(struct net_proactor *p, net_proactor_conn conn, const void *buf, size_t size, int64_t timeout_ms,
                       void *ctx)
{
	if (!size)
		return -EINVAL;
	char *bytes = (char *)(uintptr_t)buf; /* never written to */
	struct op op = { .what = NET_OP_WRITE, .buf = bytes, .at = bytes, .size = size, .ctx = ctx };
	return submit(p, conn, &op, timeout_ms);
}

int net_proactor_finish(struct net_proactor *p, net_proactor_conn conn, int64_t timeout_ms, void *ctx)
{
	struct op op = { .what = NET_OP_FINISH, .ctx = ctx };
	return submit(p, conn, &op, timeout_ms);
}

int net_proactor_accept(struct net_proactor *p, net_proactor_conn listener, int64_t timeout_ms, void *ctx)
{
	struct op op = { .what = NET_OP_ACCEPT, .ctx = ctx };
	return submit(p, listener, &op, timeout_ms);
}

int net_proactor_release(struct net_proactor *p, net_proactor_conn conn)
{
	pthread_mutex_lock(&p->lock);
	struct pconn *c = find(p, conn);
	if (!c) {
		pthread_mutex_unlock(&p->lock);
		return -EBADF;
	}
	c->released = true;
	put(p, &c->release);
	return 0;
}

void net_proactor_wake(struct net_proactor *p)
{
	int saved = errno;
	atomic_store(&p->woken, true);
	wakefd_ring(p->wakefd_write);
	errno = saved;
}
