/* history: see history.h. */
#include "tests/linear/history.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Values are multiples of this; what INCR makes of absence stays below. */
#define VALUES 1048576

static const char *const names[REG_KINDS] = {
	"GET", "SET", "SETNX", "INCR", "GETSET", "GETDEL", "DEL", "WATCH-SET", "WATCH-SET refused",
};

int history_check(const struct history *h, struct verdict *v)
{
	return registers_check(h, v) || transactions_check(h, v) ? -1 : 0;
}

void history_clear(struct history *h)
{
	for (size_t i = 0; i < h->txns; i++) {
		for (unsigned k = 0; k < h->txn[i].n; k++)
			free(h->txn[i].step[k].elements);
	}
	free(h->op);
	free(h->txn);
	*h = (struct history){ 0 };
}

/* ------------------------------------------------------------------ printing */

static const char *value_text(int64_t value, char *out, size_t size)
{
	if (value == ABSENT)
		return "nothing";
	snprintf(out, size, "%" PRId64, value);
	return out;
}

void history_print_register(const struct register_op *op, int64_t origin, char *out, size_t size)
{
	char arg[32], result[32];
	bool before = op->kind == REG_CAS || op->kind == REG_CAS_LOST;
	snprintf(out, size, "[%9" PRId64 " %9" PRId64 " us] client %u: %s", (op->from - origin) / 1000,
	         (op->to - origin) / 1000, op->client, names[op->kind]);
	size_t n = strlen(out);
	if (op->kind == REG_SET || op->kind == REG_SETNX || op->kind == REG_GETSET || before)
		n += (size_t)snprintf(out + n, size - n, " %s", value_text(op->arg, arg, sizeof arg));
	if (before)
		snprintf(out + n, size - n, " over %s", value_text(op->expected, result, sizeof result));
	else if (op->kind != REG_SET)
		snprintf(out + n, size - n, " -> %s", value_text(op->result, result, sizeof result));
}

void history_print_transaction(const struct transaction *t, int64_t origin, char *out, size_t size)
{
	int n = snprintf(out, size, "[%9" PRId64 " %9" PRId64 " us] client %u%s:", (t->from - origin) / 1000,
	                 (t->to - origin) / 1000, t->client, t->committed ? "" : " (refused)");
	for (unsigned k = 0; k < t->n && (size_t)n < size; k++) {
		const struct step *s = &t->step[k];
		if (!s->read) {
			n += snprintf(out + n, size - (size_t)n, " list %u += %u (at %u);", s->key, s->element, s->len);
			continue;
		}
		n += snprintf(out + n, size - (size_t)n, " list %u is", s->key);
		for (uint32_t i = 0; i < s->len && (size_t)n < size; i++)
			n += snprintf(out + n, size - (size_t)n, "%c%u", i ? ',' : ' ', s->elements[i]);
		if ((size_t)n < size)
			n += snprintf(out + n, size - (size_t)n, "%s;", s->len ? "" : " empty");
	}
}

/* ------------------------------------------------------------------ spoiling */

static bool overwrites(const struct register_op *op)
{
	return op->kind == REG_SET || op->kind == REG_GETSET || op->kind == REG_CAS;
}

/* A value that was overwritten before it is read: nobody writes it again. */
static bool spoil_read(struct history *h, size_t at)
{
	struct register_op *read = &h->op[at];
	if (read->kind != REG_GET && read->kind != REG_GETSET && read->kind != REG_GETDEL)
		return false;
	for (size_t i = 0; i < h->ops; i++) {
		const struct register_op *old = &h->op[i];
		if (old->key != read->key || !overwrites(old) || old->to >= read->from)
			continue;
		for (size_t k = 0; k < h->ops; k++) {
			const struct register_op *new = &h->op[k];
			if (new->key == old->key && overwrites(new) && new->from > old->to && new->to < read->from) {
				read->result = old->arg;
				return true;
			}
		}
	}
	return false;
}

/* Two that count to the same number. */
static bool spoil_count(struct history *h, size_t at)
{
	struct register_op *op = &h->op[at];
	if (op->kind != REG_INCR || op->result < VALUES)
		return false;
	for (size_t i = 0; i < h->ops; i++) {
		if (h->op[i].key == op->key && h->op[i].kind == REG_INCR && h->op[i].result == op->result - 1) {
			op->result--;
			return true;
		}
	}
	return false;
}

/* A transaction does not see the end of a list that was answered before it began. */
static bool spoil_state(struct history *h, size_t at)
{
	struct transaction *t = &h->txn[at];
	for (unsigned k = 0; k < t->n && t->committed; k++) {
		struct step *s = &t->step[k];
		for (size_t i = 0; s->read && s->len && i < h->txns; i++) {
			const struct transaction *w = &h->txn[i];
			for (unsigned m = 0; m < w->n && w->to < t->from; m++) {
				if (!w->step[m].read && w->step[m].element == s->elements[s->len - 1]) {
					s->len--;
					return true;
				}
			}
		}
	}
	return false;
}

/* Two elements in another order than somebody else saw. */
static bool spoil_order(struct history *h, size_t at)
{
	struct transaction *t = &h->txn[at];
	for (unsigned k = 0; k < t->n && t->committed; k++) {
		struct step *s = &t->step[k];
		for (size_t i = 0; s->read && s->len >= 2 && i < h->txns; i++) {
			const struct transaction *o = &h->txn[i];
			for (unsigned m = 0; i != at && m < o->n && o->committed; m++) {
				if (o->step[m].read && o->step[m].key == s->key && o->step[m].len >= s->len) {
					uint32_t last = s->elements[s->len - 1];
					s->elements[s->len - 1] = s->elements[s->len - 2];
					s->elements[s->len - 2] = last;
					return true;
				}
			}
		}
	}
	return false;
}

bool history_spoil(struct history *h, uint64_t random)
{
	static bool (*const ways[])(struct history *, size_t) = { spoil_read, spoil_count, spoil_state, spoil_order };
	for (unsigned i = 0; i < 4; i++) {
		unsigned way = (unsigned)(random + i) % 4;
		size_t n = way < 2 ? h->ops : h->txns, start = n ? (size_t)(random >> 8) % n : 0;
		for (size_t k = 0; k < n; k++) {
			if (ways[way](h, (start + k) % n))
				return true;
		}
	}
	return false;
}
