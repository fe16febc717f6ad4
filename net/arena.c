/* arena: memory that lives for one turn, in blocks that the next turn uses again. */
#include <stdlib.h>

#include "net/internal.h"

void *arena_alloc(struct arena *a, size_t n)
{
	n = (n + 15) & ~(size_t)15;
	if ((size_t)(a->end - a->pos) < n || !a->current) {
		struct block *b = a->current ? a->current->next : a->first;
		if (!b || b->size < n) {
			size_t size = n > NET_BLOCK ? n : NET_BLOCK;
			struct block *fresh = malloc(sizeof *fresh + size);
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
		a->current = b;
		a->pos = b->bytes;
		a->end = b->bytes + b->size;
	}
	void *p = a->pos;
	a->pos += n;
	return p;
}

/* Keep the first block, give back what a busy turn added beyond a few. */
void arena_reset(struct arena *a)
{
	struct block *b = a->first;
	for (int i = 0; b && i < 16; i++, b = b->next) {
		if (b->next && (b->next->size > NET_BLOCK || i == 15)) {
			struct block *x = b->next;
			b->next = x->next;
			free(x);
		}
	}
	if (a->first && a->first->size > NET_BLOCK) {
		b = a->first;
		a->first = b->next;
		free(b);
	}
	a->current = a->first;
	a->pos = a->current ? a->current->bytes : NULL;
	a->end = a->current ? a->pos + a->current->size : NULL;
}

void arena_free(struct arena *a)
{
	while (a->first) {
		struct block *b = a->first;
		a->first = b->next;
		free(b);
	}
	a->current = NULL;
}

bool list_add(struct list *l, struct net_conn *c)
{
	if (l->n == l->cap) {
		unsigned cap = l->cap ? l->cap * 2 : 64;
		struct net_conn **v = realloc(l->v, cap * sizeof *v);
		if (!v)
			return false;
		l->v = v;
		l->cap = cap;
	}
	l->v[l->n++] = c;
	return true;
}

