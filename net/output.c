/*
 * output: replies gather in the turn's arena as segments and leave with one system call per connection; what the socket
 * does not take is copied to the heap and waits for it.
 */
#include <errno.h>
#include <string.h>
#include <sys/socket.h>

#include "net/internal.h"

#define IOV_PER_SEND 64
#define CHUNK 4096 /* heap segments are at least this large, so that many small remainders share one */
#define OWN_ROOM 1024 /* of a connection to which a turn writes again and again */

void conn_wants_write(struct net_conn *c)
{
	if (!(c->flags & CONN_WRITES) && conns_add(&c->loop->writes, c))
		c->flags |= CONN_WRITES;
}

static struct seg *new_seg(struct net_conn *c, const char *p)
{
	struct seg *s = arena_alloc(&c->loop->misc, sizeof *s);
	if (!s)
		return NULL;
	*s = (struct seg){ .base = p, .p = p };
	conn_wants_write(c); /* even if it stays empty: the turn's memory must not outlive the turn */
	if (c->out)
		c->out_tail->next = s;
	else
		c->out = s;
	c->out_tail = s;
	return s;
}

/* What is being sent must not change. */
static void conn_submit_own(struct net_conn *c)
{
	if (__builtin_expect(c->flags & CONN_SENDING, 0))
		conn_submit(c->loop);
}

int net_out_begin(struct net_conn *c, size_t least, char **cur, char **end)
{
	struct arena *a = &c->loop->out;
	if (__builtin_expect(c->flags & (CONN_CLOSING | CONN_DEAD | CONN_FIN | CONN_SENDING), 0)) {
		if (!(c->flags & CONN_SENDING))
			return -EPIPE;
		conn_submit(c->loop);
		return net_out_begin(c, least, cur, end);
	}
	if (__builtin_expect((size_t)(a->end - a->pos) < least || !a->current, 0)) {
		char *p = least < SIZE_MAX / 2 ? arena_alloc(a, least) : NULL;
		if (!p)
			return -ENOMEM;
		a->pos = p;
	}
	struct seg *t = c->out_tail;
	if (!c->out || t->release || t->p + t->len != a->pos || (c->flags & CONN_DATAGRAM)) { /* not in one piece with it */
		if (!new_seg(c, a->pos))
			return -ENOMEM;
	}
	*cur = a->pos;
	*end = a->end;
	return 0;
}

void net_out_end(struct net_conn *c, char *cur)
{
	struct seg *t = c->out_tail;
	size_t n = (size_t)(cur - c->loop->out.pos);
	t->len += n;
	c->out_bytes += n;
	c->loop->out.pos = cur;
	conn_wants_write(c);
}

/*
 * A turn that writes to many connections again and again (messages to subscribers) would leave each with as many pieces as
 * there were writes, and the kernel takes longer over a piece than over its bytes: the second piece gets room of its own,
 * which the next ones fill.
 */
static bool write_to_room(struct net_conn *c, const void *buf, size_t len)
{
	struct seg *t = c->out_tail;
	const uint32_t special = CONN_CLOSING | CONN_DEAD | CONN_FIN | CONN_SENDING | CONN_DATAGRAM;
	if (!c->out || !len || t->release || len > OWN_ROOM / 4 || (c->flags & special))
		return false;
	if ((uintptr_t)(t->p + t->len) + len > (uintptr_t)t->base + t->cap) {
		if (t->p + t->len == c->loop->out.pos)
			return false; /* it goes on in one piece */
		char *room = arena_alloc(&c->loop->out, OWN_ROOM);
		t = room ? new_seg(c, room) : NULL;
		if (!t)
			return false;
		t->cap = OWN_ROOM;
	}
	memcpy((char *)(uintptr_t)(t->p + t->len), buf, len);
	t->len += len;
	c->out_bytes += len;
	conn_wants_write(c);
	return true;
}

int net_write(struct net_conn *c, const void *buf, size_t len)
{
	char *cur, *end;
	if (write_to_room(c, buf, len))
		return 0;
	int err = net_out_begin(c, len, &cur, &end);
	if (err || !len)
		return err;
	memcpy(cur, buf, len);
	net_out_end(c, cur + len);
	return 0;
}

static int add_seg(struct net_conn *c, const void *buf, size_t len, void (*release)(void *, const void *), void *ctx)
{
	conn_submit_own(c);
	if (c->flags & (CONN_CLOSING | CONN_DEAD | CONN_FIN))
		return -EPIPE;
	struct seg *s = new_seg(c, buf);
	if (!s)
		return -ENOMEM;
	s->len = len;
	s->release = release;
	s->ctx = ctx;
	c->out_bytes += len;
	conn_wants_write(c);
	return 0;
}

int net_write_ref(struct net_conn *c, const void *buf, size_t len, void (*release)(void *ctx, const void *buf), void *ctx)
{
	int err = add_seg(c, buf, len, release, ctx);
	if (err)
		release(ctx, buf);
	return err;
}

int net_write_view(struct net_conn *c, const void *buf, size_t len)
{
	return len < 1024 ? net_write(c, buf, len) : add_seg(c, buf, len, NULL, NULL);
}

/* ------------------------------------------------------------------ what waits for the socket */

static size_t seg_memory(const struct seg *s)
{
	return sizeof *s + (s->release ? s->len : s->cap);
}

static void free_seg(struct net_conn *c, struct seg *s)
{
	c->pend->memory -= seg_memory(s);
	c->loop->stats.memory -= seg_memory(s);
	c->loop->server->o.realloc(s, 0);
}

static struct seg *add_waiting(struct net_conn *c, size_t cap)
{
	mem_fn *mem = c->loop->server->o.realloc;
	if (!c->pend) {
		c->pend = mem(NULL, sizeof *c->pend);
		if (!c->pend)
			return NULL;
		*c->pend = (struct backlog){ 0 };
	}
	struct seg *k = mem(NULL, sizeof *k + cap);
	if (!k)
		return NULL;
	*k = (struct seg){ .base = (char *)(k + 1), .p = (char *)(k + 1), .cap = cap };
	if (c->pend->head)
		c->pend->tail->next = k;
	else
		c->pend->head = k;
	c->pend->tail = k;
	return k;
}

static void count_memory(struct net_conn *c, const struct seg *k)
{
	c->pend->memory += seg_memory(k);
	c->loop->stats.memory += seg_memory(k);
}

static bool keep_reference(struct net_conn *c, const struct seg *s)
{
	struct seg *k = add_waiting(c, 0);
	if (!k)
		return false;
	k->base = s->base;
	k->p = s->p;
	k->len = s->len;
	k->release = s->release;
	k->ctx = s->ctx;
	count_memory(c, k);
	c->pend->bytes += s->len;
	return true;
}

static bool keep_copy(struct net_conn *c, const struct seg *s)
{
	struct seg *k = c->pend ? c->pend->tail : NULL;
	if (!k || k->release || (c->flags & CONN_DATAGRAM) || (size_t)(k->base + k->cap - (k->p + k->len)) < s->len) {
		k = add_waiting(c, s->len > CHUNK ? s->len : CHUNK);
		if (!k)
			return false;
		count_memory(c, k);
	}
	memcpy((char *)(uintptr_t)(k->p + k->len), s->p, s->len);
	k->len += s->len;
	c->pend->bytes += s->len;
	return true;
}

/* Move what the socket did not take to the heap. */
static void keep_unsent(struct net_conn *c)
{
	for (struct seg *s = c->out, *next; s; s = next) {
		next = s->next;
		if (c->flags & CONN_DEAD) {
			if (s->release)
				s->release(s->ctx, s->base);
		} else if (s->release ? !keep_reference(c, s) : s->len && !keep_copy(c, s)) {
			if (s->release)
				s->release(s->ctx, s->base);
			net_close_now(c, ENOMEM);
		}
	}
	c->out = c->out_tail = NULL;
	c->out_bytes = 0;
}

/* ------------------------------------------------------------------ sending */

static ssize_t transmit(struct net_conn *c, struct iovec *iov, int n)
{
	ssize_t r;
	if (__builtin_expect(c->extra && c->extra->transport, 0))
		return c->extra->transport->writev(c->extra->state, c->fd, iov, n);
	if (n == 1) {
		r = send(c->fd, iov->iov_base, iov->iov_len, MSG_NOSIGNAL);
	} else {
		struct msghdr m = { .msg_iov = iov, .msg_iovlen = (size_t)n };
		r = sendmsg(c->fd, &m, MSG_NOSIGNAL);
	}
	return r < 0 ? -errno : r;
}

/* Take `sent` bytes and all empty segments after them off the list. */
static void advance(struct net_conn *c, struct seg **list, size_t sent, bool heap)
{
	while (*list && (*list)->len <= sent) {
		struct seg *s = *list;
		sent -= s->len;
		*list = s->next;
		if (heap)
			c->pend->bytes -= s->len;
		if (s->release)
			s->release(s->ctx, s->base);
		if (heap)
			free_seg(c, s);
	}
	if (*list) {
		(*list)->p += sent;
		(*list)->len -= sent;
		if (heap)
			c->pend->bytes -= sent;
	}
}

/* Send from a list; frees or releases what is sent. false: the socket is full or broken. */
static bool send_list(struct net_conn *c, struct seg **list, bool heap)
{
	while (*list) {
		struct iovec iov[IOV_PER_SEND];
		int n = 0;
		size_t want = 0;
		for (struct seg *s = *list; s && n < IOV_PER_SEND; s = s->next) {
			if (!s->len)
				continue;
			iov[n].iov_base = (void *)(uintptr_t)s->p;
			iov[n++].iov_len = s->len;
			want += s->len;
		}
		ssize_t r = n ? transmit(c, iov, n) : 0;
		if (r < 0) {
			if (r != -EAGAIN && r != -EINTR)
				net_close_now(c, (int)-r);
			return false;
		}
		if (n) {
			c->loop->stats.writes++;
			c->loop->stats.bytes_out += (uint64_t)r;
			c->active_ms = (uint32_t)c->loop->now_ms;
		}
		advance(c, list, (size_t)r, heap);
		if ((size_t)r < want)
			return false;
	}
	return true;
}

static void free_backlog(struct net_conn *c)
{
	if (c->pend && !c->pend->head) {
		c->loop->server->o.realloc(c->pend, 0);
		c->pend = NULL;
	}
}

static void write_now(struct net_conn *c)
{
	bool all = !(c->flags & (CONN_HELD | CONN_DIALLING | CONN_HANDSHAKE));
	if (all && c->pend) {
		all = send_list(c, &c->pend->head, true);
		free_backlog(c);
	}
	if (all && c->out) {
		all = send_list(c, &c->out, false);
		if (all)
			c->out_bytes = 0;
	}
	if (c->out)
		keep_unsent(c);
	if (c->pend || (c->flags & CONN_ARM_WRITE))
		conn_touch(c); /* the poller is told when the turn ends */
}

/* Tell the user when the unsent output crosses a watermark. */
static void check_watermarks(struct net_conn *c)
{
	const struct net_server *s = c->loop->server;
	bool above = c->flags & CONN_ABOVE;
	size_t bytes = c->pend ? c->pend->bytes : 0;
	if (above ? bytes > s->o.low_water : bytes <= s->o.high_water)
		return;
	c->flags ^= CONN_ABOVE;
	if (s->o.pause_on_high) {
		c->flags ^= CONN_HIGH_PAUSE;
		conn_touch(c);
		if (above && ((c->extra && c->extra->transport) || (c->flags & CONN_UNSEEN)))
			conn_more(c);
		if (above)
			codec_resume(c);
	}
	if (s->ev.watermark)
		s->ev.watermark(c, !above);
}

static void send_fin(struct net_conn *c)
{
	c->flags |= CONN_SHUT;
	if (c->extra && c->extra->transport && c->extra->transport->finish)
		c->extra->transport->finish(c->extra->state);
	shutdown(c->fd, SHUT_WR);
}

/* After output was sent, or kept: watermarks, limits, and what was to follow it. */
static void written(struct net_conn *c)
{
	const struct net_server *s = c->loop->server;
	if (c->flags & CONN_DEAD)
		return;
	if (__builtin_expect(c->pend || (c->flags & (CONN_ABOVE | CONN_CLOSING | CONN_FIN)), 0)) {
		check_watermarks(c);
		if (s->o.output_limit && c->pend && c->pend->bytes > s->o.output_limit)
			net_close_now(c, NET_BY_OVERFLOW);
		else if (!c->pend && (c->flags & CONN_CLOSING))
			net_close_now(c, c->reason);
		else if (!c->pend && (c->flags & (CONN_FIN | CONN_SHUT)) == CONN_FIN)
			send_fin(c);
	}
}

/* Let the ring send the output of this turn; false: it is to be written here. */
static bool queue_send(struct net_conn *c)
{
	struct net_loop *l = c->loop;
	struct iovec one, *iov = &one;
	unsigned n = 0;
	if (!l->batch || (c->extra && c->extra->transport) || c->pend || !c->out ||
	    (c->flags & (CONN_HELD | CONN_DIALLING | CONN_CLOSING | CONN_FIN | CONN_ABOVE)))
		return false;
	for (const struct seg *s = c->out; s; s = s->next)
		n += s->len > 0;
	if (!n || n > IOV_PER_SEND)
		return false;
	if (n > 1 && !(iov = arena_alloc(&l->misc, n * sizeof *iov)))
		return false;
	n = 0;
	for (const struct seg *s = c->out; s; s = s->next) {
		if (s->len)
			iov[n++] = (struct iovec){ .iov_base = (void *)(uintptr_t)s->p, .iov_len = s->len };
	}
	if (!send_ring_queue(l->batch, c->fd, c, iov, (int)n)) {
		conn_submit(l);
		if (!send_ring_queue(l->batch, c->fd, c, iov, (int)n))
			return false;
	}
	c->flags |= CONN_SENDING;
	conns_add(&l->sending, c);
	return true;
}

/* All of it. */
static void sent(struct net_conn *c)
{
	c->loop->stats.writes++;
	c->loop->stats.bytes_out += c->out_bytes;
	c->active_ms = (uint32_t)c->loop->now_ms;
	for (struct seg *s = c->out, *next; s; s = next) {
		next = s->next;
		if (s->release)
			s->release(s->ctx, s->base);
	}
	c->out = c->out_tail = NULL;
	c->out_bytes = 0;
	if (c->flags & CONN_ARM_WRITE)
		conn_touch(c);
}

static void fell_short(void *tag, int result)
{
	struct net_conn *c = tag;
	if (result > 0) {
		c->loop->stats.writes++;
		c->loop->stats.bytes_out += (uint64_t)result;
		c->active_ms = (uint32_t)c->loop->now_ms;
		advance(c, &c->out, (size_t)result, false);
	} else if (result != -EAGAIN && result != -EINTR) {
		net_close_now(c, -result);
	}
	if (c->out)
		keep_unsent(c);
	conn_touch(c);
}

void conn_write(struct net_conn *c)
{
	const struct net_server *s = c->loop->server;
	if (s->ev.flush && !(c->flags & CONN_DEAD))
		conn_action(c, s->ev.flush(c));
	c->flags &= ~(uint32_t)CONN_WRITES;
	if (c->flags & CONN_DEAD)
		return;
	if (queue_send(c))
		return;
	write_now(c);
	written(c);
}

/* Carry out the sends that conn_write() queued. */
void conn_submit(struct net_loop *l)
{
	unsigned n = l->sending.n;
	if (!n)
		return;
	send_ring_submit(l->batch, fell_short);
	l->sending.n = 0;
	for (unsigned i = 0; i < n; i++) {
		struct net_conn *c = l->sending.v[i];
		c->flags &= ~(uint32_t)CONN_SENDING;
		if (c->out)
			sent(c);
		else
			written(c);
	}
}

int net_writev(struct net_conn *c, const struct iovec *iov, int n)
{
	char *cur, *end;
	size_t len = 0;
	for (int i = 0; i < n; i++) {
		if (__builtin_add_overflow(len, iov[i].iov_len, &len))
			return -EOVERFLOW;
	}
	int err = net_out_begin(c, len, &cur, &end); /* all or nothing */
	if (err || !len)
		return err;
	for (int i = 0; i < n; i++) {
		if (iov[i].iov_len)
			memcpy(cur, iov[i].iov_base, iov[i].iov_len);
		cur += iov[i].iov_len;
	}
	net_out_end(c, cur);
	return 0;
}

void conn_flush_now(struct net_conn *c)
{
	conn_submit_own(c);
	if (!(c->flags & CONN_DEAD))
		write_now(c);
}

int net_flush(struct net_conn *c)
{
	conn_flush_now(c); /* it stays in the list of this turn, for what else stage 3 does */
	return c->flags & CONN_DEAD ? -EPIPE : 0;
}

void net_loop_flush(struct net_loop *l)
{
	for (unsigned i = 0; i < l->writes.n; i++)
		conn_flush_now(l->writes.v[i]);
}

int net_shutdown_write(struct net_conn *c)
{
	if (c->flags & (CONN_CLOSING | CONN_DEAD))
		return -EPIPE;
	c->flags |= CONN_FIN;
	conn_wants_write(c);
	return 0;
}

static void release_list(struct seg *s)
{
	for (; s; s = s->next) {
		if (s->release)
			s->release(s->ctx, s->base);
	}
}

void conn_drop_output(struct net_conn *c)
{
	release_list(c->out);
	c->out = NULL;
	c->out_bytes = 0;
	while (c->pend && c->pend->head) {
		struct seg *s = c->pend->head;
		c->pend->head = s->next;
		if (s->release)
			s->release(s->ctx, s->base);
		free_seg(c, s);
	}
	free_backlog(c);
}

size_t net_out_pending(const struct net_conn *c)
{
	return c->out_bytes + (c->pend ? c->pend->bytes : 0);
}

size_t net_out_memory(const struct net_conn *c)
{
	return c->pend ? c->pend->memory : 0;
}

void net_hold_output(struct net_conn *c, bool hold)
{
	c->flags = hold ? c->flags | CONN_HELD : c->flags & ~(uint32_t)CONN_HELD;
	conn_wants_write(c);
}
