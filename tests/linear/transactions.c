/*
 * transactions: see history.h.
 *
 * The longest state of each list that was read is the order of its versions. Every transaction is a node; a further node
 * per answer stands for its instant in real time, in a chain, so that "answered before the other began" needs two edges
 * for each transaction instead of one for each pair.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/linear/history.h"

#define NOBODY UINT32_MAX

struct edge {
	uint32_t from, to;
	const char *why;
};

struct graph {
	const struct history *h;
	struct edge *edge;
	size_t edges, cap;
	uint32_t *writer;               /* of each element: a transaction */
	const struct step **longest;    /* of each list, as read */
	struct verdict *v;
};

static void connect(struct graph *g, uint32_t from, uint32_t to, const char *why)
{
	if (from == to)
		return;
	if (g->edges == g->cap) {
		g->cap = g->cap * 2 + 4096;
		g->edge = realloc(g->edge, g->cap * sizeof *g->edge);
		if (!g->edge)
			abort();
	}
	g->edge[g->edges++] = (struct edge){ from, to, why };
}

static int refuse(struct graph *g, const struct transaction *t, const char *why)
{
	char line[1000];
	history_print_transaction(t, g->h->txn[0].from, line, sizeof line);
	snprintf(g->v->why, sizeof g->v->why, "%s:\n  %s\n", why, line);
	return -1;
}

static int find_writers(struct graph *g)
{
	for (size_t i = 0; i < g->h->txns; i++) {
		const struct transaction *t = &g->h->txn[i];
		for (unsigned k = 0; k < t->n; k++) {
			const struct step *s = &t->step[k];
			if (!s->read)
				g->writer[s->element] = (uint32_t)i;
			else if (t->committed && (!g->longest[s->key] || s->len > g->longest[s->key]->len))
				g->longest[s->key] = s;
		}
	}
	for (size_t key = 0; key < g->h->lists; key++) {
		const struct step *s = g->longest[key];
		for (uint32_t i = 0; s && i < s->len; i++) {
			uint32_t w = s->elements[i] < g->h->elements ? g->writer[s->elements[i]] : NOBODY;
			if (w == NOBODY || !g->h->txn[w].committed) {
				snprintf(g->v->why, sizeof g->v->why, "list %zu holds %u, which nobody appended\n", key,
				         s->elements[i]);
				return -1;
			}
			for (uint32_t k = 0; k < i; k++) {
				if (s->elements[k] == s->elements[i]) {
					snprintf(g->v->why, sizeof g->v->why, "list %zu holds %u twice\n", key, s->elements[i]);
					return -1;
				}
			}
			if (i)
				connect(g, g->writer[s->elements[i - 1]], w, "appended before");
		}
	}
	return 0;
}

static int check_step(struct graph *g, const struct transaction *t, const struct step *s)
{
	const struct step *all = g->longest[s->key];
	uint32_t me = (uint32_t)(t - g->h->txn);
	if (!s->read) {
		if (!all || !s->len || s->len > all->len || all->elements[s->len - 1] != s->element)
			return refuse(g, t, "an append is not where its answer said");
		return 0;
	}
	if (!all)
		return 0;
	if (s->len && memcmp(s->elements, all->elements, s->len * sizeof *s->elements) != 0)
		return refuse(g, t, "what was read is no earlier state of the list");
	if (s->len)
		connect(g, g->writer[all->elements[s->len - 1]], me, "was read by");
	if (s->len < all->len)
		connect(g, me, g->writer[all->elements[s->len]], "did not see");
	return 0;
}

struct instant {
	int64_t when;
	uint32_t txn;
	bool answer;
};

static int by_time(const void *a, const void *b)
{
	const struct instant *x = a, *y = b;
	if (x->when != y->when)
		return x->when < y->when ? -1 : 1;
	return x->answer - y->answer;
}

/* Node txns + i is the instant of transaction i's answer. */
static void connect_time(struct graph *g)
{
	size_t n = 0, txns = g->h->txns;
	struct instant *at = malloc((txns * 2 + 1) * sizeof *at);
	uint32_t last = NOBODY;
	if (!at)
		abort();
	for (size_t i = 0; i < txns; i++) {
		if (!g->h->txn[i].committed)
			continue;
		at[n++] = (struct instant){ g->h->txn[i].from, (uint32_t)i, false };
		at[n++] = (struct instant){ g->h->txn[i].to, (uint32_t)i, true };
	}
	qsort(at, n, sizeof *at, by_time);
	for (size_t i = 0; i < n; i++) {
		uint32_t node = (uint32_t)txns + at[i].txn;
		if (!at[i].answer) {
			if (last != NOBODY)
				connect(g, last, at[i].txn, "began");
			continue;
		}
		connect(g, at[i].txn, node, "was answered");
		if (last != NOBODY)
			connect(g, last, node, "then");
		last = node;
	}
	free(at);
}

static int by_from(const void *a, const void *b)
{
	const struct edge *x = a, *y = b;
	return x->from < y->from ? -1 : x->from > y->from;
}

/* A cycle, from any node that is still there: every one of them has a successor that is. */
static void explain(struct graph *g, const uint32_t *first, const uint32_t *indegree, uint32_t node)
{
	size_t nodes = g->h->txns * 2, len = 0;
	uint8_t *seen = calloc(nodes + 1, 1);
	if (!seen)
		abort();
	len += (size_t)snprintf(g->v->why, sizeof g->v->why, "a cycle of transactions:\n");
	for (bool shown = false; len < sizeof g->v->why; shown |= seen[node] == 1) {
		const struct edge *e = g->edge + first[node];
		while (!indegree[e->to])
			e++;
		seen[node]++;
		if (seen[node] > 2)
			break;
		if (seen[node] == 2) { /* the second time round */
			char line[600] = "(time)";
			if (node < g->h->txns)
				history_print_transaction(&g->h->txn[node], g->h->txn[0].from, line, sizeof line);
			len += (size_t)snprintf(g->v->why + len, sizeof g->v->why - len, "  %s\n    %s\n", line, e->why);
		}
		node = e->to;
	}
	free(seen);
}

/* Take away what nothing stands before, again and again; what is left goes round in circles. indegree is counted backwards
 * (by successors), so that whatever is left has a successor that is left. */
static int find_cycle(struct graph *g)
{
	size_t nodes = g->h->txns * 2, top = 0, gone = 0;
	uint32_t *first = calloc(nodes + 2, sizeof *first), *left = calloc(nodes + 1, sizeof *left);
	uint32_t *stack = calloc(nodes + 1, sizeof *stack), *back = calloc(g->edges + 1, sizeof *back);
	uint32_t *back_first = calloc(nodes + 2, sizeof *back_first);
	if (!first || !left || !stack || !back || !back_first)
		abort();
	if (g->edges)
		qsort(g->edge, g->edges, sizeof *g->edge, by_from);
	for (size_t i = 0; i < g->edges; i++) {
		first[g->edge[i].from + 1]++;
		back_first[g->edge[i].to + 1]++;
		left[g->edge[i].from]++;
	}
	for (size_t i = 1; i <= nodes; i++) {
		first[i] += first[i - 1];
		back_first[i] += back_first[i - 1];
	}
	uint32_t *fill = stack; /* borrowed */
	for (size_t i = 0; i < g->edges; i++)
		back[back_first[g->edge[i].to] + fill[g->edge[i].to]++] = g->edge[i].from;
	for (uint32_t i = 0; i < nodes; i++) {
		if (!left[i])
			stack[top++] = i;
	}
	while (top) {
		uint32_t node = stack[--top];
		gone++;
		for (uint32_t i = back_first[node]; i < back_first[node + 1]; i++) {
			if (!--left[back[i]])
				stack[top++] = back[i];
		}
	}
	for (uint32_t i = 0; i < nodes && gone < nodes; i++) {
		if (left[i]) {
			explain(g, first, left, i);
			break;
		}
	}
	free(first);
	free(left);
	free(stack);
	free(back);
	free(back_first);
	return gone < nodes ? -1 : 0;
}

int transactions_check(const struct history *h, struct verdict *v)
{
	struct graph g = { .h = h, .v = v };
	g.writer = malloc((h->elements + 1) * sizeof *g.writer);
	g.longest = calloc(h->lists + 1, sizeof *g.longest);
	if (!g.writer || !g.longest)
		abort();
	memset(g.writer, 0xff, (h->elements + 1) * sizeof *g.writer);
	int result = find_writers(&g);
	for (size_t i = 0; i < h->txns && !result; i++) {
		for (unsigned k = 0; k < h->txn[i].n && h->txn[i].committed && !result; k++)
			result = check_step(&g, &h->txn[i], &h->txn[i].step[k]);
	}
	if (!result) {
		connect_time(&g);
		result = find_cycle(&g);
	}
	free(g.edge);
	free(g.writer);
	free(g.longest);
	return result;
}
