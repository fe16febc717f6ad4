/*
 * proactor_io: the thread that waits: takes what was submitted, makes the system calls, and hands out the results.
 *
 * A wait first writes what was submitted since the last one, while what was read into the library's buffer is still there
 * to be written from; then the buffer is used anew. Connections are watched edge-triggered where the system can: with the
 * first operation they are made known to the poller, and then never again while their writes fit into the socket.
 */
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <unistd.h>

#include "net/impl/proactor.h"

#define VECTORS 64
#define TURN_BYTES (1 << 20) /* of one connection, then it is another's turn */
#define READ_MAX (64 << 10)  /* into the library's buffer at once */
#define ROOM_MIN 4096        /* of it, for a read to begin */
#define SPARE_OPS 4096       /* kept for the next submissions */
#define RETRY_MS 100
#define ACCEPT_COST 4096 /* of TURN_BYTES */

/* ------------------------------------------------------------------ lists */

static void ops_add(struct ops *list, struct op *op)
{
	op->next = NULL;
	op->prev = list->last;
	*(list->last ? &list->last->next : &list->first) = op;
	list->last = op;
	list->n++;
}

static void ops_remove(struct ops *list, struct op *op)
{
	*(op->prev ? &op->prev->next : &list->first) = op->next;
	*(op->next ? &op->next->prev : &list->last) = op->prev;
	list->n--;
}

static struct ops *queue_of(struct op *op)
{
	bool in = op->what == NET_OP_READ || op->what == NET_OP_READ_FULL || op->what == NET_OP_ACCEPT;
	return in ? &op->conn->reads : &op->conn->writes;
}

static void make_ready(struct pconn *c)
{
	struct pconns *r = &c->proactor->ready;
	if (c->in_ready || !((c->readable && c->reads.first && !c->late) || (c->writable && c->writes.first)))
		return;
	c->in_ready = true;
	c->next = NULL;
	*(r->last ? &r->last->next : &r->first) = c;
	r->last = c;
}

/* ------------------------------------------------------------------ ends of operations */

static void complete_into(struct ops *list, struct op *op, int err)
{
	op->err = err;
	if (op->timer.prev)
		wheel_clear(op->conn->proactor->wheel, &op->timer);
	ops_remove(queue_of(op), op);
	ops_add(list, op);
}

static void complete(struct op *op, int err)
{
	complete_into(&op->conn->proactor->done, op, err);
}

/* It may lie in the library's buffer. */
static void complete_read(struct op *op, int err)
{
	complete_into(&op->conn->proactor->got, op, err);
}

static void complete_all(struct ops *list, int err)
{
	while (list->first)
		complete(list->first, err);
}

static void fail_reads(struct pconn *c, int err)
{
	c->read_err = err;
	complete_all(&c->reads, err);
}

static void fail_writes(struct pconn *c, int err)
{
	c->write_err = err;
	complete_all(&c->writes, err);
}

static void fire(struct net_loop *l, struct net_timer *t)
{
	(void)l;
	struct op *op = (struct op *)((char *)t - offsetof(struct op, timer));
	struct pconn *c = op->conn;
	bool torn = op->what == NET_OP_WRITE && op->n;
	op->late = queue_of(op) == &c->reads;
	c->late += op->late;
	complete(op, -ETIMEDOUT);
	if (torn)
		fail_writes(c, -EPIPE);
}

/* ------------------------------------------------------------------ the library's buffer */

static bool is_lent(const struct net_proactor *p, const char *b)
{
	uintptr_t at = (uintptr_t)b, area = (uintptr_t)p->area;
	if (at >= area && at < area + p->area_used)
		return true;
	for (const struct own *o = p->lent; o; o = o->next) {
		uintptr_t first = (uintptr_t)o->bytes;
		if (at >= first && at < first + o->size)
			return true;
	}
	return false;
}

static struct own *own_new(struct net_proactor *p, size_t size)
{
	size_t total;
	struct own *o = __builtin_add_overflow(sizeof *o, size, &total) ? NULL : p->mem(NULL, total);
	if (o)
		*o = (struct own){ .size = size };
	return o;
}

/* What did not fit into the socket gets memory of its own. */
static void save_views(struct pconn *c)
{
	struct net_proactor *p = c->proactor;
	c->has_views = false;
	for (struct op *op = c->writes.first, *next; op; op = next) {
		next = op->next;
		if (op->what != NET_OP_WRITE || op->own || !is_lent(p, op->buf))
			continue;
		op->own = own_new(p, op->size - op->n);
		if (!op->own) { /* what comes behind would be in its place */
			complete(op, -ENOMEM);
			fail_writes(c, -EPIPE);
			return;
		}
		memcpy(op->own->bytes, op->at + op->n, op->size - op->n);
		op->at = op->own->bytes - op->n;
	}
}

static void take_back(struct net_proactor *p)
{
	p->area_used = 0;
	while (p->lent) {
		struct own *next = p->lent->next;
		p->mem(p->lent, 0);
		p->lent = next;
	}
}

/* ------------------------------------------------------------------ system calls */

static void sent(struct pconn *c, size_t n)
{
	while (n) {
		struct op *op = c->writes.first;
		size_t part = op->size - op->n < n ? op->size - op->n : n;
		op->n += part;
		n -= part;
		if (op->n == op->size)
			complete(op, 0);
	}
}

static ssize_t send_some(struct pconn *c)
{
	struct iovec iov[VECTORS];
	struct msghdr m = { .msg_iov = iov };
	size_t total = 0;
	for (struct op *op = c->writes.first; op && op->what == NET_OP_WRITE && total < TURN_BYTES; op = op->next) {
		iov[m.msg_iovlen] = (struct iovec){ .iov_base = op->at + op->n, .iov_len = op->size - op->n };
		total += iov[m.msg_iovlen].iov_len;
		if (++m.msg_iovlen == VECTORS)
			break;
	}
	if (m.msg_iovlen > 1)
		return sendmsg(c->fd, &m, MSG_NOSIGNAL | MSG_DONTWAIT);
	return send(c->fd, iov->iov_base, iov->iov_len, MSG_NOSIGNAL | MSG_DONTWAIT);
}

static void write_ops(struct pconn *c)
{
	size_t done = 0;
	while (c->writes.first && c->writable && done < TURN_BYTES) {
		if (c->writes.first->what == NET_OP_FINISH) {
			int err = shutdown(c->fd, SHUT_WR) ? -errno : 0;
			complete(c->writes.first, err);
			fail_writes(c, -EPIPE);
			break;
		}
		ssize_t n = send_some(c);
		if (n > 0) {
			done += (size_t)n;
			sent(c, (size_t)n);
		} else if (errno == EAGAIN || errno == EWOULDBLOCK) {
			c->writable = false;
		} else if (errno != EINTR) {
			fail_writes(c, -errno);
		}
	}
}

static void take_accepted(struct op *op, int fd)
{
	struct net_proactor *p = op->conn->proactor;
	int one = 1;
	if (p->tcp_nodelay)
		setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one); /* a Unix socket has none */
	pthread_mutex_lock(&p->lock);
	struct pconn *c = pconn_new(p, fd, false);
	if (c)
		op->accepted = pconn_name(c);
	pthread_mutex_unlock(&p->lock);
	if (!c)
		close(fd);
	complete_read(op, c ? 0 : -ENOMEM);
}

static void stall(struct pconn *c)
{
	struct net_proactor *p = c->proactor;
	c->stalled = true;
	c->next_stalled = p->stalled;
	p->stalled = c;
	p->retry_ms = loop_clock_ms() + RETRY_MS;
}

static void unstall(struct net_proactor *p)
{
	while (p->stalled) {
		struct pconn *c = p->stalled;
		p->stalled = c->next_stalled;
		c->stalled = false;
		c->readable = true;
		make_ready(c);
	}
}

static void accept_op(struct op *op)
{
	struct pconn *c = op->conn;
	int fd = accept4(c->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
	if (fd >= 0) {
		take_accepted(op, fd);
		return;
	}
	switch (errno) {
	case EAGAIN:
		c->readable = false;
		return;
	case EMFILE:
	case ENFILE:
	case ENOBUFS:
	case ENOMEM: /* asking again at once would spin */
		c->readable = false;
		stall(c);
		return;
	case EBADF:
	case EINVAL: /* shut down */
	case ENOTSOCK:
		fail_reads(c, -errno);
		return;
	default: /* reset before it was accepted, and the like: the next may be well */
		return;
	}
}

/* Where a read's bytes go, and how many there is room for; NULL: the library's buffer is used up, or (with an error)
 * there is no memory. */
static char *place_of(struct op *op, size_t *len, int *err)
{
	struct net_proactor *p = op->conn->proactor;
	*len = op->size - op->n;
	if (op->at)
		return op->at + op->n;
	if (op->what == NET_OP_READ_FULL) {
		op->own = own_new(p, op->size);
		*err = op->own ? 0 : -ENOMEM;
		op->at = op->buf = op->own ? op->own->bytes : NULL;
		return op->at;
	}
	size_t room = p->area_size - p->area_used;
	if (!op->size || op->size > READ_MAX)
		*len = READ_MAX;
	if (room < *len && room < ROOM_MIN)
		return NULL;
	*len = *len < room ? *len : room;
	return p->area + p->area_used;
}

static void received(struct op *op, char *at, size_t n, size_t len)
{
	struct pconn *c = op->conn;
	struct net_proactor *p = c->proactor;
	op->n += n;
	if (n < len && !c->hup)
		c->readable = false; /* the socket was emptied */
	if (!op->at) {
		op->buf = op->at = at;
		p->area_used += (n + 15) & ~(size_t)15;
		if (p->area_used > p->area_size)
			p->area_used = p->area_size;
	}
	if (op->what == NET_OP_READ || op->n == op->size)
		complete_read(op, 0);
}

/* Read for the first operation; whether to go on. */
static bool read_op(struct op *op, size_t *done)
{
	struct pconn *c = op->conn;
	size_t len;
	int err = 0;
	char *at = place_of(op, &len, &err);
	if (!at) {
		if (err)
			complete_read(op, err);
		return err;
	}
	ssize_t n = recv(c->fd, at, len, MSG_DONTWAIT);
	if (n > 0) {
		*done += (size_t)n;
		received(op, at, (size_t)n, len);
	} else if (n == 0) {
		op->ended = true;
		complete_read(op, 0);
	} else if (errno == EAGAIN || errno == EWOULDBLOCK) {
		c->readable = false;
	} else if (errno != EINTR) {
		fail_reads(c, -errno);
	}
	return true;
}

/* No more reads than are handed out in this wait: with the next, the library's buffer is used anew. */
static void read_ops(struct pconn *c, unsigned room)
{
	struct net_proactor *p = c->proactor;
	size_t done = 0;
	while (c->reads.first && c->readable && !c->late && p->got.n < room && done < TURN_BYTES) {
		struct op *op = c->reads.first;
		if (op->what == NET_OP_ACCEPT) {
			accept_op(op);
			done += ACCEPT_COST;
		} else if (!read_op(op, &done)) {
			break;
		}
	}
}

/* ------------------------------------------------------------------ the poller */

/* Edge-triggered: known once. Otherwise what is asked for must be what is waited for. */
static void watch(struct pconn *c)
{
	struct net_proactor *p = c->proactor;
	if (!c->writable)
		c->want_out = true;
	unsigned want = p->edge ? POLL_READ | POLL_EDGE | (c->want_out ? POLL_WRITE : 0)
	                        : (c->reads.first && !c->stalled ? POLL_READ : 0u) | (c->writes.first ? POLL_WRITE : 0u);
	if (want == c->armed || (p->edge && !c->reads.first && !c->writes.first))
		return;
	int err = 0;
	if (!want)
		p->backend->remove(p->poller, c->fd);
	else
		err = c->armed ? p->backend->change(p->poller, c->fd, c, want) : p->backend->add(p->poller, c->fd, c, want);
	if (err) {
		fail_reads(c, err);
		fail_writes(c, err);
	} else {
		c->armed = want;
	}
}

static void heard(struct net_proactor *p, const struct poll_event *e)
{
	struct pconn *c = e->tag;
	if (!c) {
		uint64_t v[16];
		while (read(p->wakefd, v, sizeof v) < 0 && errno == EINTR)
			;
		return;
	}
	if (c->gone)
		return;
	bool over = e->events & (POLL_HANGUP | POLL_ERROR | POLL_EOF);
	c->hup = c->hup || (over && p->edge);
	c->readable = !c->stalled && (c->readable || over || e->events & POLL_READ);
	c->writable = c->writable || e->events & (POLL_WRITE | POLL_HANGUP | POLL_ERROR);
	make_ready(c);
}

/* ------------------------------------------------------------------ what was submitted */

/* Nothing names it any more. */
static void free_gone(struct pconn *c)
{
	struct net_proactor *p = c->proactor;
	if (c->in_ready || c->late)
		return;
	c->next = p->used_conns;
	p->used_conns = c;
}

static void release(struct pconn *c)
{
	struct net_proactor *p = c->proactor;
	write_ops(c);
	complete_all(&c->writes, -ECANCELED);
	complete_all(&c->reads, -ECANCELED);
	if (c->armed)
		p->backend->remove(p->poller, c->fd);
	close(c->fd);
	c->fd = -1;
	c->gone = true;
	for (struct pconn **at = &p->stalled; c->stalled; at = &(*at)->next_stalled) {
		if (*at == c) {
			*at = c->next_stalled;
			c->stalled = false;
		}
	}
	unstall(p); /* a descriptor is free now */
	free_gone(c);
}

static void begin(struct op *op)
{
	struct pconn *c = op->conn;
	struct net_proactor *p = c->proactor;
	if (op->what == OP_RELEASE) {
		release(c);
		return;
	}
	struct ops *list = queue_of(op);
	int err = list == &c->reads ? c->read_err : c->write_err;
	ops_add(list, op);
	if (err) {
		complete(op, err);
		return;
	}
	if (op->timed) {
		op->timer.fire = fire;
		wheel_set(p->wheel, &op->timer, p->now_ms, op->due_ms - p->now_ms);
	}
	c->has_views = c->has_views || (op->what == NET_OP_WRITE && is_lent(p, op->buf));
	make_ready(c);
	if (!c->in_ready) {
		if (c->has_views)
			save_views(c);
		watch(c);
	}
}

/* Take the inbox, and give back what is used up. */
static void collect(struct net_proactor *p)
{
	pthread_mutex_lock(&p->lock);
	struct op *op = p->inbox.first;
	p->inbox = (struct ops){ 0 };
	struct op *spare = p->used_ops;
	while (spare && p->nfree_ops < SPARE_OPS) {
		struct op *next = spare->next;
		spare->next = p->free_ops;
		p->free_ops = spare;
		p->nfree_ops++;
		spare = next;
	}
	while (p->used_conns) {
		struct pconn *c = p->used_conns;
		p->used_conns = c->next;
		c->generation++;
		c->next = p->free_conns;
		p->free_conns = c;
	}
	pthread_mutex_unlock(&p->lock);
	p->used_ops = NULL;
	while (spare) {
		struct op *next = spare->next;
		p->mem(spare, 0);
		spare = next;
	}
	bool timed = false;
	for (struct op *o = op; o && !timed; o = o->next)
		timed = o->timed;
	if (timed)
		p->now_ms = loop_clock_ms();
	while (op) {
		struct op *next = op->next;
		begin(op);
		op = next;
	}
}

/* ------------------------------------------------------------------ waiting */

/* How many reads may be done. Other results do not keep them off for long. */
static unsigned room_for(const struct net_proactor *p, unsigned max)
{
	if (p->done.n < max)
		return max - p->done.n;
	return p->kept_off ? (max + 1) / 2 : 0;
}

/* Serve each connection that is ready once; max results are asked for, or 0: reads are not done yet. */
static void run_ready(struct net_proactor *p, unsigned max)
{
	unsigned room = max ? room_for(p, max) : 0;
	struct pconn *c = p->ready.first;
	p->ready = (struct pconns){ 0 };
	while (c) {
		struct pconn *next = c->next;
		c->in_ready = false;
		if (c->gone) {
			free_gone(c);
		} else {
			write_ops(c);
			if (c->has_views)
				save_views(c);
			read_ops(c, room);
			make_ready(c);
			if (!c->in_ready || !c->writable)
				watch(c);
		}
		c = next;
	}
}

static bool has_results(const struct net_proactor *p)
{
	return p->got.first || p->done.first;
}

static int poll_ms(const struct net_proactor *p, int64_t until)
{
	int64_t due = wheel_next(p->wheel);
	if (p->stalled && p->retry_ms < due)
		due = p->retry_ms;
	due = until < due ? until : due;
	int64_t ms = due - p->now_ms;
	return due == INT64_MAX ? -1 : ms < 0 ? 0 : ms > INT32_MAX ? INT32_MAX : (int)ms;
}

/* Ask the poller; without waiting, if there is something to do or hand out already. */
static void ask(struct net_proactor *p, int64_t until)
{
	int ms = 0;
	p->now_ms = loop_clock_ms();
	if (!has_results(p) && !p->ready.first && !atomic_load(&p->woken))
		ms = poll_ms(p, until);
	if (ms) {
		pthread_mutex_lock(&p->lock);
		if (p->inbox.first)
			ms = 0;
		else
			atomic_store(&p->sleeping, true);
		pthread_mutex_unlock(&p->lock);
	}
	int n = p->backend->wait(p->poller, p->events, PROACTOR_EVENTS, ms);
	if (ms) /* the inbox is looked at before it is set again */
		atomic_store_explicit(&p->sleeping, false, memory_order_relaxed);
	for (int i = 0; i < n; i++)
		heard(p, &p->events[i]);
	if (ms)
		p->now_ms = loop_clock_ms();
	if (p->stalled && p->now_ms >= p->retry_ms)
		unstall(p);
	wheel_run(p->wheel, NULL, p->now_ms);
}

/* A read that expired is handed out. */
static void catch_up(struct pconn *c)
{
	if (--c->late)
		return;
	if (c->gone)
		free_gone(c);
	else
		make_ready(c);
}

static int hand_out(struct net_proactor *p, struct net_result *out, int max)
{
	int n = 0;
	for (; n < max && has_results(p); n++) {
		struct ops *list = p->got.first ? &p->got : &p->done;
		struct op *op = list->first;
		ops_remove(list, op);
		out[n] = (struct net_result){ .conn = op->name, .what = (enum net_operation)op->what, .err = op->err,
			                      .ended = op->ended, .ctx = op->ctx, .buf = op->buf, .size = op->size, .n = op->n,
			                      .accepted = op->accepted };
		if (op->late)
			catch_up(op->conn);
		if (op->own) {
			op->own->next = p->lent;
			p->lent = op->own;
			op->own = NULL;
		}
		op->next = p->used_ops;
		p->used_ops = op;
	}
	return n;
}

int net_proactor_wait(struct net_proactor *p, struct net_result *out, int max, int64_t timeout_ms)
{
	if (max < 1)
		return -EINVAL;
	if (atomic_exchange(&p->waiting, true))
		return -EBUSY;
	int64_t until = timeout_ms < 0 || timeout_ms > FOREVER_MS ? INT64_MAX : timeout_ms ? loop_clock_ms() + timeout_ms : 0;
	collect(p);
	run_ready(p, 0);
	take_back(p);
	run_ready(p, (unsigned)max);
	/* The poller is asked in every other wait at least: who always has results waiting would never hear of others. */
	bool asked = false;
	while (!has_results(p) || !(asked || p->asked)) {
		asked = true;
		ask(p, until);
		run_ready(p, (unsigned)max);
		if (has_results(p) || atomic_exchange(&p->woken, false) || p->now_ms >= until)
			break;
		collect(p);
		run_ready(p, (unsigned)max);
	}
	p->asked = asked;
	int n = hand_out(p, out, max);
	p->kept_off = p->ready.first;
	atomic_store(&p->waiting, false);
	return n;
}
