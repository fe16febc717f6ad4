/*
 * mailbox: messages to a loop from any thread: a lock-free stack that the loop takes whole and turns around, so that
 * messages of one sender keep their order.
 */
#include <errno.h>
#include <string.h>

#include "net/internal.h"

#define HELD_LOOPS 64

/* Wake-ups held back by this thread. */
static _Thread_local struct {
	unsigned depth, n;
	struct net_loop *loops[HELD_LOOPS];
} held;

/*
 * No wake-up is lost: the sender pushes and then reads `awake`; the loop sets it to ASLEEP and then reads the inbox (see
 * wait() in loop.c). All four are sequentially consistent, so at least one sees the other's write. A sender that finds
 * messages already queued leaves the wake-up to who queued the first. Who changes ASLEEP to AWAKE writes to the
 * descriptor, so that a burst costs one write.
 */
static void wake_for_message(struct net_loop *l)
{
	int state = atomic_load(&l->awake);
	if (state == ASLEEP && atomic_compare_exchange_strong(&l->awake, &state, AWAKE))
		wakefd_ring(l->wakefd_write);
}

void net_post(struct net_loop *l, struct net_msg *m)
{
	atomic_fetch_add_explicit(&l->posted, m->bytes, memory_order_relaxed);
	struct net_msg *head = atomic_load_explicit(&l->inbox, memory_order_relaxed);
	do {
		m->next = head;
	} while (!atomic_compare_exchange_weak(&l->inbox, &head, m));
	if (head || net_loop_current() == l)
		return;
	if (held.depth && held.n < HELD_LOOPS)
		held.loops[held.n++] = l;
	else
		wake_for_message(l);
}

/* The loop may be awake, but past the place where it looks for what the caller changed: POKED makes it go round again. */
void net_loop_wake(struct net_loop *l)
{
	if (atomic_exchange(&l->awake, POKED) == ASLEEP)
		wakefd_ring(l->wakefd_write);
}

void net_post_hold(void)
{
	held.depth++;
}

void net_post_flush(void)
{
	for (unsigned i = 0; i < held.n; i++)
		wake_for_message(held.loops[i]);
	held.n = 0;
}

void net_post_release(void)
{
	if (--held.depth == 0)
		net_post_flush();
}

/* All that has come, oldest first. */
static struct net_msg *take_all(struct net_loop *l)
{
	struct net_msg *m = atomic_exchange(&l->inbox, NULL), *first = NULL;
	while (m) { /* newest first: turn around */
		struct net_msg *next = m->next;
		m->next = first;
		first = m;
		m = next;
	}
	return first;
}

static void run_one(struct net_loop *l, struct net_msg *m)
{
	atomic_fetch_sub_explicit(&l->posted, m->bytes, memory_order_relaxed);
	l->stats.messages++;
	m->run(l, m);
}

static void run_all(struct net_loop *l, struct net_msg *first)
{
	while (first) {
		struct net_msg *m = first;
		first = m->next;
		run_one(l, m);
	}
}

void mailbox_run(struct net_loop *l)
{
	while (__builtin_expect(l->later != NULL, 0)) {
		struct net_msg *later = l->later;
		l->later = NULL;
		run_all(l, later);
	}
	if (atomic_load_explicit(&l->inbox, memory_order_relaxed))
		run_all(l, take_all(l));
}

/* Of the messages from m on, those with this run() are run, the others put behind l->later. */
static void run_those(struct net_loop *l, struct net_msg *m, void (*run)(struct net_loop *l, struct net_msg *m))
{
	struct net_msg *first = NULL, **end = &first;
	for (; m; m = m->next) {
		struct net_msg ***list = m->run == run ? &end : &l->later_end;
		**list = m;
		*list = &m->next;
	}
	*end = NULL;
	*l->later_end = NULL;
	run_all(l, first);
}

void mailbox_run_only(struct net_loop *l, void (*run)(struct net_loop *l, struct net_msg *m))
{
	if (!atomic_load_explicit(&l->inbox, memory_order_relaxed))
		return;
	if (!l->later)
		l->later_end = &l->later;
	run_those(l, take_all(l), run);
}

void net_loop_run_posted(struct net_loop *l, void (*run)(struct net_loop *l, struct net_msg *m))
{
	struct net_msg *later = l->later;
	if (later) {
		l->later = NULL;
		l->later_end = &l->later;
		run_those(l, later, run);
	}
	mailbox_run_only(l, run);
}

size_t net_loop_posted_bytes(const struct net_loop *l)
{
	return atomic_load_explicit(&((struct net_loop *)(uintptr_t)l)->posted, memory_order_relaxed);
}

/* ------------------------------------------------------------------ to a connection */

struct parcel {
	struct net_msg msg;
	net_conn_id id;
	mailbox_write *write;
	int type;
	void (*done)(void *ctx, int err);
	void *ctx;
	size_t len;
	char bytes[];
};

static void deliver(struct net_loop *l, struct net_msg *m)
{
	struct parcel *p = (struct parcel *)m;
	struct net_conn *c = net_conn_find(l, p->id);
	int err = c ? p->write(c, p->bytes, p->len, p->type) : -ENOTCONN;
	if (p->done)
		p->done(p->ctx, err);
	l->server->o.realloc(p, 0);
}

int mailbox_send(struct net_server *s, net_conn_id id, mailbox_write *write, const void *buf, size_t len, int type,
                 void (*done)(void *ctx, int err), void *ctx)
{
	struct parcel *p;
	size_t size;
	if (id >> ID_LOOP_SHIFT >= (uint64_t)s->o.loops || __builtin_add_overflow(sizeof *p, len, &size))
		return -EINVAL;
	p = s->o.realloc(NULL, size);
	if (!p)
		return -ENOMEM;
	*p = (struct parcel){ .msg = { .run = deliver, .bytes = len }, .id = id, .write = write, .type = type, .done = done,
		              .ctx = ctx, .len = len };
	if (len)
		memcpy(p->bytes, buf, len);
	net_post(s->loops[id >> ID_LOOP_SHIFT], &p->msg);
	return 0;
}

static int write_bytes(struct net_conn *c, const void *buf, size_t len, int type)
{
	(void)type;
	return net_write(c, buf, len);
}

int net_send(struct net_server *s, net_conn_id id, const void *buf, size_t len, void (*done)(void *ctx, int err), void *ctx)
{
	return mailbox_send(s, id, write_bytes, buf, len, 0, done, ctx);
}

static void close_by_id(struct net_loop *l, struct net_msg *m)
{
	struct parcel *p = (struct parcel *)m;
	struct net_conn *c = net_conn_find(l, p->id);
	if (c)
		net_close(c);
	l->server->o.realloc(p, 0);
}

int net_close_id(struct net_server *s, net_conn_id id)
{
	struct parcel *p;
	if (id >> ID_LOOP_SHIFT >= (uint64_t)s->o.loops)
		return -EINVAL;
	p = s->o.realloc(NULL, sizeof *p);
	if (!p)
		return -ENOMEM;
	*p = (struct parcel){ .msg = { .run = close_by_id }, .id = id };
	net_post(s->loops[id >> ID_LOOP_SHIFT], &p->msg);
	return 0;
}
