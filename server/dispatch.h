/*
 * dispatch: what the rest of the server may set about the running of commands (the loops' side is in worker.h).
 */
#ifndef SERVER_DISPATCH_H
#define SERVER_DISPATCH_H

#include <stdbool.h>

struct call;
struct journal;

/* Before the loops start. The journal lives as long as the server. */
void dispatch_set_journal(struct journal *j);
struct journal *dispatch_journal(void);
/* Whether CLIENT PAUSE is on: written alone. */
extern bool dispatch_paused;

/* Whether the data was saved for the last time, or CLIENT PAUSE began, while the command waited for its locks or to be alone:
 * it does not run now. */
bool dispatch_too_late(const struct call *c);

/* Reasons why commands do not run as usual, tested once per command. */
enum dispatch_gate {
	GATE_SNAPSHOT = 16, /* a snapshot runs: changes of large values in place wait until it has read them */
	GATE_LOADING = 1, /* the data set is being loaded */
	GATE_DISK = 2,    /* saving failed: writes are refused */
	GATE_AOF = 8,     /* the append-only log cannot be written: writes are refused */
	GATE_BUSY = 32,   /* a script runs for too long */
	GATE_CLOSED = 4,  /* the data was saved for the last time: nothing runs any more */
};
extern unsigned dispatch_gates; /* read it by the function */
static inline unsigned dispatch_gates_now(void)
{
	return __atomic_load_n(&dispatch_gates, __ATOMIC_RELAXED);
}
/* Any thread; what must hold for every command after it is set while alone. */
void dispatch_set_gate(enum dispatch_gate gate, bool on);

#endif
