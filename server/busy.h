/*
 * busy: clients are answered while a script runs for too long.
 *
 * Once a script has run longer than busy-reply-threshold, everybody is answered -BUSY but for the few commands that may
 * run then. Loops that nothing keeps from it do so by themselves (GATE_BUSY). A loop that the script keeps from its turn,
 * as it runs the script or waits for it (for a lock, the safepoint, the right to run a script), makes inner turns from
 * where it stands: restricted ones, that touch neither the store nor anything else that belongs to who runs alone.
 *
 * Commands that already waited for the script when it became slow wait on; what their clients sent behind them, too.
 *
 * Threads: the loop that calls.
 */
#ifndef SERVER_BUSY_H
#define SERVER_BUSY_H

#include "server/call.h"
#include "server/worker.h"

/* An inner turn, if there is need of one; returns after how many milliseconds to call again. */
int busy_idle(void);
/* Copy the arguments of the command under way, which the next inner turn would take away. false: no memory. */
bool busy_keep(struct worker *w);
/* An inner turn from within the script that is slow. */
void busy_turn(struct worker *w);

/* With the gate shut, or in a restricted turn: true: the command was answered and must not run. */
bool busy_refuses(struct call *c);

#endif
