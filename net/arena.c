/* arena: memory that lives for one turn, in blocks that the next turn uses again. */
#include <string.h>

#include "net/internal.h"

#define LOOK_EVERY 64 /* turns after which blocks that none of them used are given back */

void *arena_alloc(struct arena *a, size_t n)
{
	n = (n + 15) & ~(size_t)15;
	if ((size_t)(a->end - a->pos) < n || !a->current) {
		struct block *b = a->current ? a->current->next : a->first;
		if (!b || b->size < n) {
			size_t size = n > NET_BLOCK ? n : NET_BLOCK;
			struct block *fresh = a->mem(NULL, sizeof *fresh + size);
			if (!fresh)
				return NULL;
			fresh->size = size;
			fresh->next = b;
			if (a->current)
				a->current->next = fresh;
			else
				a->first = fresh;
			b = fresh;
		}
		a->used++;
		a->current = b;
		a->pos = b->bytes;
		a->end = b->bytes + b->size;
	}
	void *p = a->pos;
	a->pos += n;
	return p;
}

/* Large blocks go at once; others stay while turns use them, so that a steady load allocates nothing. */
static void trim(struct arena *a)
{
	struct block **link = &a->first;
	for (unsigned i = 0; *link;) {
		struct block *b = *link;
		if (b->size > NET_BLOCK || i >= a->peak) {
			*link = b->next;
			a->mem(b, 0);
		} else {
			link = &b->next;
			i++;
		}
	}
}

void arena_reset(struct arena *a)
{
	bool large = a->first && a->first->size > NET_BLOCK;
	for (struct block *b = a->first; b && !large && a->used > 1; b = b->next)
		large = b->size > NET_BLOCK;
	a->peak = a->used > a->peak ? a->used : a->peak;
	if (large || ++a->turns == LOOK_EVERY) {
		trim(a);
		a->peak = a->turns = 0;
	}
	a->current = a->first;
	a->pos = a->current ? a->current->bytes : NULL;
	a->end = a->current ? a->pos + a->current->size : NULL;
	a->used = a->current != NULL;
}

void arena_free(struct arena *a)
{
	while (a->first) {
		struct block *b = a->first;
		a->first = b->next;
		a->mem(b, 0);
	}
	a->current = NULL;
}

bool conns_add(struct conns *l, struct net_conn *c)
{
	if (l->n == l->cap) {
		unsigned cap = l->cap ? l->cap * 2 : 64;
		struct net_conn **v = l->mem(l->v, cap * sizeof *v);
		if (!v)
			return false;
		l->v = v;
		l->cap = cap;
	}
	l->v[l->n++] = c;
	return true;
}

void conns_remove(struct conns *l, const struct net_conn *c)
{
	for (unsigned i = 0; i < l->n; i++) {
		if (l->v[i] == c) {
			memmove(l->v + i, l->v + i + 1, (l->n - i - 1) * sizeof *l->v);
			l->n--;
			return;
		}
	}
}

/* Take the first n off. */
void conns_drop(struct conns *l, unsigned n)
{
	if (n)
		memmove(l->v, l->v + n, (l->n - n) * sizeof *l->v);
	l->n -= n;
}

/* Room for cap entries, so that adding cannot fail. Only what is in use is copied: memory not touched costs nothing. */
bool conns_reserve(struct conns *l, unsigned cap)
{
	if (cap <= l->cap)
		return true;
	struct net_conn **v = l->mem(NULL, cap * sizeof *v);
	if (!v)
		return false;
	if (l->n)
		memcpy(v, l->v, l->n * sizeof *v);
	l->mem(l->v, 0);
	l->v = v;
	l->cap = cap;
	return true;
}
