/*
 * timer: a hierarchical timing wheel: setting and clearing are O(1), a timer moves down at most three times before it
 * fires. Source: Varghese and Lauck, "Hashed and Hierarchical Timing Wheels".
 */
#include <stdlib.h>

#include "net/internal.h"

#define BITS0 8 /* level 0: 256 slots of 1 ms */
#define BITS 6  /* above: 64 slots of the whole level below */
#define LEVELS 4

struct wheel {
	int64_t now;  /* everything due up to here has fired */
	uint64_t count;
	struct net_timer *near[1 << BITS0];
	struct net_timer *far[LEVELS - 1][1 << BITS];
};

struct wheel *wheel_new(int64_t now_ms)
{
	struct wheel *w = calloc(1, sizeof *w);
	if (w)
		w->now = now_ms;
	return w;
}

void wheel_free(struct wheel *w)
{
	free(w);
}

static struct net_timer **slot_of(struct wheel *w, int64_t due)
{
	int64_t delta = due - w->now;
	if (delta < 1 << BITS0)
		return &w->near[due & ((1 << BITS0) - 1)];
	int shift = BITS0;
	for (int level = 0; level < LEVELS - 1; level++, shift += BITS) {
		if (delta < (int64_t)1 << (shift + BITS) || level == LEVELS - 2)
			break;
	}
	int level = (shift - BITS0) / BITS;
	int64_t reach = ((int64_t)1 << (shift + BITS)) - 1; /* later ones wait in the last slot and are placed again */
	if (delta > reach)
		due = w->now + reach;
	return &w->far[level][(due >> shift) & ((1 << BITS) - 1)];
}

static void link_timer(struct wheel *w, struct net_timer *t)
{
	struct net_timer **slot = slot_of(w, t->due_ms);
	t->next = *slot;
	t->prev = slot;
	if (t->next)
		t->next->prev = &t->next;
	*slot = t;
}

static void unlink_timer(struct net_timer *t)
{
	*t->prev = t->next;
	if (t->next)
		t->next->prev = t->prev;
	t->next = NULL;
	t->prev = NULL;
}

void net_timer_init(struct net_timer *t, void (*fire)(struct net_loop *, struct net_timer *))
{
	*t = (struct net_timer){ .fire = fire };
}

bool net_timer_pending(const struct net_timer *t)
{
	return t->prev;
}

void wheel_set(struct wheel *w, struct net_timer *t, int64_t now_ms, int64_t delay_ms)
{
	wheel_clear(w, t);
	/* Never in the past: the slot of a time that has fired comes round only much later. */
	t->due_ms = (now_ms > w->now ? now_ms : w->now) + (delay_ms > 0 ? delay_ms : 1);
	link_timer(w, t);
	w->count++;
}

void wheel_clear(struct wheel *w, struct net_timer *t)
{
	if (!t->prev)
		return;
	unlink_timer(t);
	w->count--;
}

void net_timer_set(struct net_loop *l, struct net_timer *t, int64_t delay_ms)
{
	wheel_set(l->wheel, t, l->now_ms, delay_ms);
}

void net_timer_clear(struct net_loop *l, struct net_timer *t)
{
	wheel_clear(l->wheel, t);
}

/* Timers of a slot above move to where they belong now. */
static void cascade(struct wheel *w)
{
	int shift = BITS0;
	for (int level = 0; level < LEVELS - 1; level++, shift += BITS) {
		if (w->now & (((int64_t)1 << shift) - 1))
			return;
		struct net_timer **slot = &w->far[level][(w->now >> shift) & ((1 << BITS) - 1)], *t = *slot;
		*slot = NULL;
		while (t) {
			struct net_timer *next = t->next;
			link_timer(w, t);
			t = next;
		}
	}
}

static void fire_slot(struct wheel *w, struct net_loop *l, struct net_timer **slot)
{
	struct net_timer *t;
	while ((t = *slot) && t->due_ms <= w->now) {
		unlink_timer(t);
		w->count--;
		t->fire(l, t);
	}
}

void wheel_run(struct wheel *w, struct net_loop *l, int64_t now_ms)
{
	if (w->count == 0) {
		w->now = now_ms;
		return;
	}
	while (w->now < now_ms) {
		w->now++;
		cascade(w);
		fire_slot(w, l, &w->near[w->now & ((1 << BITS0) - 1)]);
		if (w->count == 0)
			w->now = now_ms;
	}
}

int64_t wheel_next(const struct wheel *w)
{
	if (w->count == 0)
		return INT64_MAX;
	for (int64_t t = w->now + 1; t < w->now + (1 << BITS0); t++) {
		if (w->near[t & ((1 << BITS0) - 1)])
			return t;
		if ((t & ((1 << BITS0) - 1)) == 0)
			return t; /* the level above comes down here */
	}
	return w->now + (1 << BITS0);
}
