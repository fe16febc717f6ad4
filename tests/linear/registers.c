/* registers: see history.h. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/linear/history.h"

/* A value, and by bit which clients' pending operations have taken effect. */
struct config {
	int64_t value;
	uint32_t done;
};

struct configs {
	struct config *at;
	size_t n, cap;
};

struct event {
	int64_t when;
	const struct register_op *op;
	bool answer;
};

struct search {
	struct configs now, next, seen;
	const struct register_op *pending[MAX_CLIENTS];
};

/* Can the operation, answered as it was, take effect on the value? Then *value is what it left. */
static bool take_effect(const struct register_op *op, int64_t *value)
{
	int64_t old = *value;
	switch ((enum register_kind)op->kind) {
	case REG_GET:
		return op->result == old;
	case REG_SET:
		*value = op->arg;
		return true;
	case REG_SETNX:
		*value = old == ABSENT ? op->arg : old;
		return op->result == (old == ABSENT);
	case REG_INCR:
		*value = (old == ABSENT ? 0 : old) + 1;
		return op->result == *value;
	case REG_GETSET:
		*value = op->arg;
		return op->result == old;
	case REG_GETDEL:
		*value = ABSENT;
		return op->result == old;
	case REG_DEL:
		*value = ABSENT;
		return op->result == (old != ABSENT);
	case REG_CAS:
		*value = op->arg;
		return op->expected == old;
	default:
		return true;
	}
}

static void add(struct configs *c, struct config x)
{
	for (size_t i = 0; i < c->n; i++) {
		if (c->at[i].value == x.value && c->at[i].done == x.done)
			return;
	}
	if (c->n == c->cap) {
		c->cap = c->cap * 2 + 64;
		c->at = realloc(c->at, c->cap * sizeof *c->at);
		if (!c->at)
			abort();
	}
	c->at[c->n++] = x;
}

/* The operation is answered: it took effect, and before it any of the others that are pending. */
static void answer(struct search *s, const struct register_op *op)
{
	uint32_t bit = 1u << op->client;
	s->next.n = s->seen.n = 0;
	for (size_t i = 0; i < s->now.n; i++)
		add(&s->seen, s->now.at[i]);
	for (size_t i = 0; i < s->seen.n; i++) {
		struct config x = s->seen.at[i];
		if (x.done & bit) {
			add(&s->next, (struct config){ x.value, x.done & ~bit });
			continue;
		}
		for (unsigned c = 0; c < MAX_CLIENTS; c++) {
			int64_t value = x.value;
			if (s->pending[c] && !(x.done >> c & 1) && take_effect(s->pending[c], &value))
				add(&s->seen, (struct config){ value, x.done | 1u << c });
		}
	}
	struct configs swap = s->now;
	s->now = s->next;
	s->next = swap;
	s->pending[op->client] = NULL;
}

static int by_time(const void *a, const void *b)
{
	const struct event *x = a, *y = b;
	if (x->when != y->when)
		return x->when < y->when ? -1 : 1;
	return x->answer - y->answer; /* at the same instant they overlap */
}

static bool writes(const struct register_op *op)
{
	switch ((enum register_kind)op->kind) {
	case REG_GET:
	case REG_CAS_LOST:
		return false;
	case REG_SETNX:
	case REG_DEL:
		return op->result == 1;
	case REG_GETDEL:
		return op->result != ABSENT;
	default:
		return true;
	}
}

/* EXEC said no: some other client's write overlaps the time since WATCH. */
static bool had_reason(const struct event *e, size_t n, const struct register_op *lost)
{
	for (size_t i = 0; i < n; i++) {
		const struct register_op *op = e[i].op;
		if (op->client != lost->client && writes(op) && op->from <= lost->to && op->to >= lost->from)
			return true;
	}
	return false;
}

/* What led to the refusal of e[at]. */
static void explain(const struct event *e, size_t at, const struct search *s, struct verdict *v)
{
	size_t len = 0, shown = 0, first = at;
	len += (size_t)snprintf(v->why, sizeof v->why, "register %u: nothing explains the last of these:\n", e[at].op->key);
	while (first > 0 && shown < 24)
		shown += e[--first].answer;
	for (size_t i = first; i <= at && len < sizeof v->why; i++) {
		char line[200];
		if (!e[i].answer)
			continue;
		history_print_register(e[i].op, e[0].when, line, sizeof line);
		len += (size_t)snprintf(v->why + len, sizeof v->why - len, "  %s\n", line);
	}
	for (unsigned c = 0; c < MAX_CLIENTS && len < sizeof v->why; c++) {
		char line[200];
		if (!s->pending[c])
			continue;
		history_print_register(s->pending[c], e[0].when, line, sizeof line);
		len += (size_t)snprintf(v->why + len, sizeof v->why - len, "  pending: %s\n", line);
	}
}

static int check_key(const struct event *e, size_t n, struct search *s, struct verdict *v)
{
	memset(s->pending, 0, sizeof s->pending);
	s->now.n = 0;
	add(&s->now, (struct config){ ABSENT, 0 });
	for (size_t i = 0; i < n; i++) {
		const struct register_op *op = e[i].op;
		if (op->kind == REG_CAS_LOST) {
			if (e[i].answer && !had_reason(e, n, op)) {
				explain(e, i, s, v);
				return -1;
			}
			continue;
		}
		if (!e[i].answer) {
			s->pending[op->client] = op;
			continue;
		}
		answer(s, op);
		if (!s->now.n) {
			explain(e, i, s, v);
			return -1;
		}
	}
	return 0;
}

int registers_check(const struct history *h, struct verdict *v)
{
	struct search s = { .now = { 0 } };
	struct event *e = malloc((h->ops * 2 + 1) * sizeof *e);
	int result = 0;
	if (!e)
		abort();
	for (size_t key = 0; key < h->registers && !result; key++) {
		size_t n = 0;
		for (size_t i = 0; i < h->ops; i++) {
			if (h->op[i].key != key)
				continue;
			e[n++] = (struct event){ h->op[i].from, &h->op[i], false };
			e[n++] = (struct event){ h->op[i].to, &h->op[i], true };
		}
		qsort(e, n, sizeof *e, by_time);
		result = check_key(e, n, &s, v);
	}
	free(s.now.at);
	free(s.next.at);
	free(s.seen.at);
	free(e);
	return result;
}
