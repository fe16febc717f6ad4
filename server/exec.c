/* exec: see exec.h. The fast paths are the inline checks there; all that waits goes through one mutex, because it is
 * rare and clarity wins. */
#include "server/exec.h"

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define FIRST_IDLE_MS 50

struct exec_loop *exec_loops;
_Alignas(64) atomic_uint exec_stop;

static struct {
	unsigned loops;
	pthread_mutex_t mutex;
	pthread_cond_t resumed; /* stop was cleared */
	pthread_cond_t quiet;   /* a loop went out, or paid its batch */
	pthread_cond_t handed;  /* the safepoint is free for the next alone request */
	unsigned pending;       /* alone requests not yet granted */
	bool held;              /* somebody runs alone, or will when all are out */
	bool upgraded;          /* somebody in the middle of a command runs alone */
	_Atomic uint64_t safepoints;
} gate = {
	.mutex = PTHREAD_MUTEX_INITIALIZER,
	.resumed = PTHREAD_COND_INITIALIZER,
	.quiet = PTHREAD_COND_INITIALIZER,
	.handed = PTHREAD_COND_INITIALIZER,
};

int (*exec_idle)(void);

/* A wait of the mutex's holder, who looks afterwards whether what it waits for is there. */
static void gate_wait(pthread_cond_t *cond, int *idle_ms)
{
	if (!exec_idle) {
		pthread_cond_wait(cond, &gate.mutex);
		return;
	}
	struct timespec until;
	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_nsec += *idle_ms * 1000000L;
	until.tv_sec += until.tv_nsec / 1000000000;
	until.tv_nsec %= 1000000000;
	if (pthread_cond_timedwait(cond, &gate.mutex, &until) == ETIMEDOUT) {
		pthread_mutex_unlock(&gate.mutex);
		*idle_ms = exec_idle();
		pthread_mutex_lock(&gate.mutex);
	}
}

int exec_init(unsigned loops)
{
	gate.loops = loops;
	gate.pending = 0;
	gate.held = gate.upgraded = false;
	exec_loops = aligned_alloc(64, loops * sizeof *exec_loops);
	if (!exec_loops)
		return -ENOMEM;
	memset(exec_loops, 0, loops * sizeof *exec_loops);
	return 0;
}

void exec_free(void)
{
	free(exec_loops);
	exec_loops = NULL;
}

void exec_out(unsigned loop)
{
	struct exec_loop *me = &exec_loops[loop];
	assert(!me->alone);
	exec_end_batch(loop);
	/* The store must be seen before the test of stop: the requester stores stop and then reads the flags. */
	atomic_store_explicit(&me->running, 0, memory_order_seq_cst);
	if (atomic_load_explicit(&exec_stop, memory_order_seq_cst)) {
		pthread_mutex_lock(&gate.mutex);
		pthread_cond_broadcast(&gate.quiet);
		pthread_mutex_unlock(&gate.mutex);
	}
}

bool exec_in(unsigned loop)
{
	struct exec_loop *me = &exec_loops[loop];
	bool waited = false;
	int idle_ms = FIRST_IDLE_MS;
	for (;;) {
		atomic_store_explicit(&me->running, 1, memory_order_seq_cst);
		if (!atomic_load_explicit(&exec_stop, memory_order_seq_cst))
			return waited;
		waited = true;
		atomic_store_explicit(&me->running, 0, memory_order_seq_cst);
		pthread_mutex_lock(&gate.mutex);
		pthread_cond_broadcast(&gate.quiet);
		while (atomic_load_explicit(&exec_stop, memory_order_relaxed))
			gate_wait(&gate.resumed, &idle_ms);
		pthread_mutex_unlock(&gate.mutex);
	}
}

bool exec_park(unsigned loop)
{
	exec_out(loop);
	exec_in(loop);
	atomic_store_explicit(&exec_loops[loop].owes_batch, 1, memory_order_relaxed);
	return true;
}

void exec_batch_done(unsigned loop)
{
	pthread_mutex_lock(&gate.mutex);
	atomic_store_explicit(&exec_loops[loop].owes_batch, 0, memory_order_relaxed);
	pthread_cond_broadcast(&gate.quiet);
	pthread_mutex_unlock(&gate.mutex);
}

/* Whether every loop but `loop` is out. */
static bool all_out(unsigned loop)
{
	for (unsigned i = 0; i < gate.loops; i++) {
		if (i != loop && atomic_load_explicit(&exec_loops[i].running, memory_order_seq_cst))
			return false;
	}
	return true;
}

/* Whether a loop that was parked by the last safepoint has not run its batch yet. */
static bool batch_owed(void)
{
	for (unsigned i = 0; i < gate.loops; i++) {
		if (atomic_load_explicit(&exec_loops[i].owes_batch, memory_order_relaxed))
			return true;
	}
	return false;
}

void exec_alone_begin(unsigned loop)
{
	struct exec_loop *me = &exec_loops[loop];
	int idle_ms = FIRST_IDLE_MS;
	if (gate.loops == 1) {
		me->alone = true;
		return;
	}
	pthread_mutex_lock(&gate.mutex);
	atomic_store_explicit(&me->owes_batch, 0, memory_order_relaxed);
	atomic_store_explicit(&me->running, 0, memory_order_seq_cst);
	pthread_cond_broadcast(&gate.quiet); /* whoever waits for us may go on */
	gate.pending++;
	/* With a safepoint on, wait to be handed it; otherwise let the loops that the last one parked run first. */
	while (gate.held || (!atomic_load(&exec_stop) && batch_owed()))
		gate_wait(gate.held ? &gate.handed : &gate.quiet, &idle_ms);
	gate.held = true;
	gate.pending--;
	atomic_store_explicit(&exec_stop, 1, memory_order_seq_cst);
	while (gate.upgraded || !all_out(loop))
		gate_wait(&gate.quiet, &idle_ms);
	atomic_fetch_add_explicit(&gate.safepoints, 1, memory_order_relaxed);
	pthread_mutex_unlock(&gate.mutex);
	me->alone = true;
	atomic_store_explicit(&me->running, 1, memory_order_seq_cst);
}

void exec_upgrade(unsigned loop)
{
	struct exec_loop *me = &exec_loops[loop];
	int idle_ms = FIRST_IDLE_MS;
	me->alone = true;
	if (gate.loops == 1)
		return;
	pthread_mutex_lock(&gate.mutex);
	assert(!gate.upgraded);
	gate.upgraded = true;
	atomic_store_explicit(&exec_stop, 1, memory_order_seq_cst);
	/* An alone request that waits for us is out: it begins when we are done. */
	while (!all_out(loop))
		gate_wait(&gate.quiet, &idle_ms);
	atomic_fetch_add_explicit(&gate.safepoints, 1, memory_order_relaxed);
	pthread_mutex_unlock(&gate.mutex);
}

void exec_downgrade(unsigned loop)
{
	exec_loops[loop].alone = false;
	if (gate.loops == 1)
		return;
	pthread_mutex_lock(&gate.mutex);
	gate.upgraded = false;
	if (gate.held) {
		pthread_cond_broadcast(&gate.quiet); /* it goes on when we are out */
	} else {
		atomic_store_explicit(&exec_stop, 0, memory_order_seq_cst);
		pthread_cond_broadcast(&gate.resumed);
	}
	pthread_mutex_unlock(&gate.mutex);
}

void exec_alone_end(unsigned loop)
{
	exec_loops[loop].alone = false;
	if (gate.loops == 1)
		return;
	pthread_mutex_lock(&gate.mutex);
	gate.held = false;
	if (gate.pending) {
		/* Hand the safepoint over; we go on when it ends. */
		atomic_store_explicit(&exec_loops[loop].running, 0, memory_order_seq_cst);
		pthread_cond_broadcast(&gate.handed);
		pthread_cond_broadcast(&gate.quiet);
		pthread_mutex_unlock(&gate.mutex);
		exec_in(loop);
		return;
	}
	atomic_store_explicit(&exec_stop, 0, memory_order_seq_cst);
	pthread_cond_broadcast(&gate.resumed);
	pthread_mutex_unlock(&gate.mutex);
}

uint64_t exec_safepoints(void)
{
	return atomic_load_explicit(&gate.safepoints, memory_order_relaxed);
}
