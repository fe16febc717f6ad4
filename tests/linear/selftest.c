/* selftest: see selftest.h. */
#include "tests/linear/selftest.h"

#include <stdio.h>
#include <string.h>

#include "tests/linear/history.h"

struct register_case {
	const char *name;
	bool accepted;
	struct register_op op[6];
};

#define OP(client_, from_, to_, kind_, arg_, result_) \
	{ .client = client_, .from = from_, .to = to_, .kind = kind_, .arg = arg_, .result = result_ }

static const struct register_case register_cases[] = {
	{ "one after the other", true, { OP(0, 1, 2, REG_SET, 5, 0), OP(1, 3, 4, REG_GET, 0, 5), OP(0, 5, 6, REG_DEL, 0, 1) } },
	{ "a stale read", false,
	  { OP(0, 1, 2, REG_SET, 5, 0), OP(0, 3, 4, REG_SET, 6, 0), OP(1, 5, 6, REG_GET, 0, 5) } },
	{ "reads during a write, old then new", true,
	  { OP(0, 1, 9, REG_SET, 5, 0), OP(1, 2, 3, REG_GET, 0, ABSENT), OP(1, 4, 5, REG_GET, 0, 5) } },
	{ "reads during a write, new then old", false,
	  { OP(0, 1, 9, REG_SET, 5, 0), OP(1, 2, 3, REG_GET, 0, 5), OP(1, 4, 5, REG_GET, 0, ABSENT) } },
	{ "two clients see two writes in different orders", false,
	  { OP(0, 1, 9, REG_SET, 5, 0), OP(1, 1, 9, REG_SET, 6, 0), OP(2, 2, 3, REG_GET, 0, 5), OP(3, 2, 3, REG_GET, 0, 6),
	    OP(2, 4, 5, REG_GET, 0, 6), OP(3, 4, 5, REG_GET, 0, 5) } },
	{ "a lost count", false, { OP(0, 1, 4, REG_INCR, 0, 1), OP(1, 1, 4, REG_INCR, 0, 1) } },
	{ "two counts at once", true, { OP(0, 1, 4, REG_INCR, 0, 2), OP(1, 1, 4, REG_INCR, 0, 1) } },
	{ "both are the first", false, { OP(0, 1, 4, REG_SETNX, 5, 1), OP(1, 1, 4, REG_SETNX, 6, 1) } },
	{ "both take it away", false,
	  { OP(0, 1, 2, REG_SET, 5, 0), OP(0, 3, 6, REG_GETDEL, 0, 5), OP(1, 3, 6, REG_GETDEL, 0, 5) } },
	{ "both get the same old value", false,
	  { OP(0, 1, 2, REG_SET, 5, 0), OP(0, 3, 6, REG_GETSET, 6, 5), OP(1, 3, 6, REG_GETSET, 7, 5) } },
	{ "EXEC over another's write", false,
	  { OP(0, 1, 2, REG_SET, 5, 0), OP(1, 3, 4, REG_SET, 6, 0),
	    { .client = 0, .from = 5, .to = 6, .kind = REG_CAS, .arg = 7, .expected = 5 } } },
	{ "EXEC over nobody's write", true,
	  { OP(0, 1, 2, REG_SET, 5, 0), { .client = 0, .from = 5, .to = 6, .kind = REG_CAS, .arg = 7, .expected = 5 },
	    OP(1, 7, 8, REG_GET, 0, 7) } },
	{ "EXEC refused without a reason", false,
	  { OP(1, 1, 2, REG_SET, 5, 0), { .client = 0, .from = 5, .to = 6, .kind = REG_CAS_LOST } } },
	{ "EXEC refused for a write since WATCH", true,
	  { OP(1, 1, 5, REG_SET, 5, 0), { .client = 0, .from = 4, .to = 6, .kind = REG_CAS_LOST } } },
};

struct txn_case {
	const char *name;
	bool accepted;
	struct transaction txn[5];
};

static uint32_t e1[] = { 1 }, e2[] = { 2 }, e12[] = { 1, 2 }, e21[] = { 2, 1 }, e11[] = { 1, 1 };
#define APPEND(key_, element_, len_) { .key = key_, .element = element_, .len = len_ }
#define READ(key_, list_) { .key = key_, .read = true, .elements = list_, .len = sizeof list_ / sizeof *list_ }
#define EMPTY(key_) { .key = key_, .read = true }
#define TXN(from_, to_, n_, ...) { .from = from_, .to = to_, .committed = true, .n = n_, .step = { __VA_ARGS__ } }

static const struct txn_case txn_cases[] = {
	{ "appended, then read", true,
	  { TXN(1, 2, 2, APPEND(0, 1, 1), APPEND(1, 2, 1)), TXN(3, 4, 2, READ(0, e1), READ(1, e2)) } },
	{ "half a transaction is seen", false,
	  { TXN(1, 9, 2, APPEND(0, 1, 1), APPEND(1, 2, 1)), TXN(2, 3, 2, READ(0, e1), EMPTY(1)),
	    TXN(10, 11, 2, READ(0, e1), READ(1, e2)) } },
	{ "write skew", false,
	  { TXN(1, 9, 2, EMPTY(0), APPEND(1, 1, 1)), TXN(1, 9, 2, EMPTY(1), APPEND(0, 2, 1)),
	    TXN(10, 11, 2, READ(1, e1), READ(0, e2)) } },
	{ "two at once, one first", true,
	  { TXN(1, 9, 2, EMPTY(0), APPEND(1, 1, 1)), TXN(1, 9, 2, READ(1, e1), APPEND(0, 2, 1)),
	    TXN(10, 11, 2, READ(1, e1), READ(0, e2)) } },
	{ "two lists in different orders", false,
	  { TXN(1, 9, 2, APPEND(0, 1, 1), APPEND(1, 3, 2)), TXN(1, 9, 2, APPEND(0, 2, 2), APPEND(1, 4, 1)),
	    { .from = 10, .to = 11, .committed = true, .n = 2, .step = { READ(0, e12),
	      { .key = 1, .read = true, .elements = (uint32_t[]){ 4, 3 }, .len = 2 } } } } },
	{ "read before it was there, by the clock", false,
	  { TXN(1, 2, 1, APPEND(0, 1, 1)), TXN(3, 4, 1, EMPTY(0)), TXN(5, 6, 1, READ(0, e1)) } },
	{ "an append is lost", false,
	  { TXN(1, 2, 1, APPEND(0, 1, 1)), TXN(3, 4, 1, APPEND(0, 2, 1)), TXN(5, 6, 1, READ(0, e2)) } },
	{ "an append is doubled", false, { TXN(1, 2, 1, APPEND(0, 1, 1)), TXN(5, 6, 1, READ(0, e11)) } },
	{ "two orders of one list", false,
	  { TXN(1, 9, 1, APPEND(0, 1, 1)), TXN(1, 9, 1, APPEND(0, 2, 2)), TXN(10, 11, 1, READ(0, e12)),
	    TXN(10, 11, 1, READ(0, e21)) } },
	{ "a refused transaction is seen", false,
	  { { .from = 1, .to = 2, .n = 1, .step = { APPEND(0, 1, 0) } }, TXN(3, 4, 1, READ(0, e1)) } },
	{ "nobody's element", false, { TXN(1, 2, 1, APPEND(0, 2, 1)), TXN(3, 4, 1, READ(0, e1)) } },
};

static unsigned judge(const char *name, const struct history *h, bool accepted)
{
	struct verdict v = { "" };
	if ((history_check(h, &v) == 0) == accepted)
		return 0;
	fprintf(stderr, "selftest: \"%s\" was %s\n%s", name, accepted ? "refused" : "accepted", v.why);
	return 1;
}

unsigned selftest(unsigned *n)
{
	unsigned wrong = 0;
	*n = 0;
	for (size_t i = 0; i < sizeof register_cases / sizeof *register_cases; i++, ++*n) {
		struct register_op op[6];
		struct history h = { .op = op, .registers = 1 };
		memcpy(op, register_cases[i].op, sizeof op);
		while (h.ops < 6 && op[h.ops].to)
			h.ops++;
		wrong += judge(register_cases[i].name, &h, register_cases[i].accepted);
	}
	for (size_t i = 0; i < sizeof txn_cases / sizeof *txn_cases; i++, ++*n) {
		struct transaction txn[5];
		struct history h = { .txn = txn, .lists = 2, .elements = 5 };
		memcpy(txn, txn_cases[i].txn, sizeof txn);
		while (h.txns < 5 && txn[h.txns].to)
			h.txns++;
		wrong += judge(txn_cases[i].name, &h, txn_cases[i].accepted);
	}
	return wrong;
}
