/*
 * history: what clients did at the same time, and the two checks of it.
 *
 * Registers: every operation on one key takes effect at one instant between its invocation and its answer. The search is
 * Wing and Gong's in the form of Lowe's just-in-time linearization, one key at a time: a configuration is a value and the
 * set of pending operations that have taken effect; when an operation is answered, it must have.
 *
 * Transactions append unique elements to lists and read lists. A list shows the order of its versions, so the
 * dependencies of transactions are known (who wrote before whom, who read whose, who read what another then changed);
 * with the order of real time they must have no cycle (strict serializability, as Elle checks it).
 *
 * Times are of one monotonic clock. A history belongs to who filled it; history_clear().
 */
#ifndef TESTS_LINEAR_HISTORY_H
#define TESTS_LINEAR_HISTORY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { MAX_CLIENTS = 16, MAX_STEPS = 8 };
#define ABSENT INT64_MIN

enum register_kind {
	REG_GET,
	REG_SET,
	REG_SETNX,
	REG_INCR,
	REG_GETSET,
	REG_GETDEL,
	REG_DEL,
	REG_CAS,      /* WATCH, GET, MULTI, SET, EXEC: the value was `expected` and became arg */
	REG_CAS_LOST, /* EXEC refused: somebody else wrote since WATCH */
	REG_KINDS
};

struct register_op {
	int64_t from, to;      /* invoked, answered */
	int64_t arg, expected;
	int64_t result;        /* a value, ABSENT, or 0 and 1 */
	uint16_t key;
	uint8_t kind, client;
};

/* One command of a transaction. */
struct step {
	uint16_t key;
	bool read;
	uint32_t element;      /* appended: 1 and up, never twice in a history */
	uint32_t len;          /* the list's length: as read, or as the append said */
	uint32_t *elements;    /* as read */
};

struct transaction {
	int64_t from, to;
	bool committed;        /* else nothing of it may ever be seen */
	uint8_t client, n;
	struct step step[MAX_STEPS];
};

struct history {
	struct register_op *op;
	size_t ops;
	struct transaction *txn;
	size_t txns;
	size_t registers, lists;  /* keys of each are 0 to this - 1 */
	uint32_t elements;        /* all are below */
};

/* Why a history was refused. */
struct verdict {
	char why[4096];
};

/* 0: accepted; -1: refused. */
int registers_check(const struct history *h, struct verdict *v);
int transactions_check(const struct history *h, struct verdict *v);
int history_check(const struct history *h, struct verdict *v);

/* Change what somebody read into what nobody can have read, in one of a few ways; false: this history offers none. */
bool history_spoil(struct history *h, uint64_t random);
void history_clear(struct history *h);
void history_print_register(const struct register_op *op, int64_t origin, char *out, size_t size);
void history_print_transaction(const struct transaction *t, int64_t origin, char *out, size_t size);

#endif
