/*
 * exec: the safepoint: how one loop gets to run alone while every other is parked between two commands.
 *
 * Each loop publishes one padded flag: running, or out (in the poller, or waiting with nothing of its command done).
 * Rules (server/README.md explains them):
 *   1. A waiter counts as out only if its command has read and written nothing yet.
 *   2. After every wake: running = 1, full fence, test stop; if it is set, out again before touching data.
 *   3. The one who runs alone never takes shard locks. Waiting while running is forbidden (asserted in debug builds).
 *   4. Pending alone requests share one safepoint; afterwards every loop that was parked executes at least one batch.
 *
 * Threads: functions are called by the loop named; exec_init by the thread that starts them.
 */
#ifndef SERVER_EXEC_H
#define SERVER_EXEC_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

/* One loop's part of the safepoint, a cache line of its own. */
struct exec_loop {
	_Alignas(64) atomic_uint running;
	atomic_uint owes_batch; /* was parked: to run a batch before the next safepoint */
	bool alone;             /* only its own thread */
};

extern struct exec_loop *exec_loops;
/* Nonzero: loops are to park at their next checkpoint. Read-mostly. */
extern atomic_uint exec_stop;

/* Called from time to time by a loop that waits here, first after 50 ms, then after as many as it returned. */
extern int (*exec_idle)(void);

int exec_init(unsigned loops);
void exec_free(void);

/* Count as out / as running again; exec_in() waits while a safepoint is on. true: it waited, so that everything looked
 * up earlier (clock, configuration, prefetched buckets) is stale. */
void exec_out(unsigned loop);
bool exec_in(unsigned loop);
bool exec_park(unsigned loop); /* exec_out + exec_in: the slow half of the checkpoint */
void exec_batch_done(unsigned loop); /* the slow half of exec_end_batch() */

/* Between two commands. true: it parked. */
static inline bool exec_checkpoint(unsigned loop)
{
	if (__builtin_expect(atomic_load_explicit(&exec_stop, memory_order_relaxed) == 0, 1))
		return false;
	return exec_park(loop);
}

/* After a batch of commands. */
static inline void exec_end_batch(unsigned loop)
{
	if (__builtin_expect(atomic_load_explicit(&exec_loops[loop].owes_batch, memory_order_relaxed), 0))
		exec_batch_done(loop);
}

/* Run alone; the command must have read and written nothing yet. Nothing looked up before survives. */
void exec_alone_begin(unsigned loop);
void exec_alone_end(unsigned loop);
/* Run alone from the middle of a command (a script) that stays running and has effects already, until exec_downgrade().
 * Granted before any alone request that has not begun. At most one command at a time may be in a position to ask: two
 * would wait for each other. */
void exec_upgrade(unsigned loop);
void exec_downgrade(unsigned loop);
uint64_t exec_safepoints(void); /* any thread */

#endif
