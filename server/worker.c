/* worker: see worker.h. */
#include "server/worker.h"

#include <errno.h>
#include <stdlib.h>

#include "server/clock.h"
#include "server/config.h"
#include "server/effects.h"
#include "server/hold.h"
#include "server/server.h"

static struct worker **workers;
static unsigned worker_count;

_Thread_local struct worker *worker_current;

bool worker_expiry_paused;

/* The latest wall clock any loop has used: a loop never sees an earlier one than another loop has shown. */
static int64_t latest_ms;

struct worker *worker_of(unsigned loop)
{
	return loop < worker_count ? workers[loop] : NULL;
}

static struct worker *worker_new(unsigned index)
{
	struct worker *w = calloc(1, sizeof *w);
	if (!w)
		return NULL;
	effects_init(&w->effects);
	w->index = index;
	w->stats = stats_of(index);
	w->call.loop = index;
	w->call.reply = &w->reply;
	return w;
}

int worker_init(unsigned loops)
{
	workers = calloc(loops, sizeof *workers);
	if (!workers)
		return -ENOMEM;
	worker_count = loops;
	for (unsigned i = 0; i < loops; i++) {
		workers[i] = worker_new(i);
		if (!workers[i])
			return -ENOMEM;
		workers[i]->single = loops == 1;
	}
	return 0;
}

void worker_free(void)
{
	for (unsigned i = 0; i < worker_count; i++) {
		if (!workers[i])
			continue;
		hold_free(workers[i]);
		effects_clear(&workers[i]->effects);
		reply_clear(&workers[i]->reply);
		free(workers[i]->args.v);
		free(workers[i]->items);
		free(workers[i]->inner.args.v);
		free(workers[i]->inner.items);
		free(workers[i]);
	}
	free(workers);
	workers = NULL;
	worker_count = 0;
}

void worker_refresh_clock(struct worker *w)
{
	int64_t now = clock_wall_ms(), seen = __atomic_load_n(&latest_ms, __ATOMIC_RELAXED);
	w->mono_ms = clock_mono_ms();
	if (now > seen) {
		/* A lost race only means that another loop was just as late. */
		__atomic_store_n(&latest_ms, now, __ATOMIC_RELAXED);
	} else if (seen - now < 1000) {
		now = seen; /* a small step back is hidden, a large one is the operator's will */
	} else {
		__atomic_store_n(&latest_ms, now, __ATOMIC_RELAXED);
	}
	w->now_ms = now;
	worker_op(w, w->call.op.db, &w->call.op);
}

void worker_op(const struct worker *w, unsigned db, struct store_op *op)
{
	const struct config *cfg = config();
	op->store = server_store();
	op->db = db;
	op->now_ms = w->now_ms;
	op->access = cfg->maxmemory_policy & CONFIG_POLICY_LFU ? STORE_ACCESS_LFU : STORE_ACCESS_LRU;
	op->access_clock = store_access_clock(op->access, w->now_ms);
	op->lfu_decay_min = (unsigned)cfg->lfu_decay_time;
	op->lfu_log_factor = (unsigned)cfg->lfu_log_factor;
	op->keep_expired = worker_expiry_paused;
	op->ctx = (void *)(uintptr_t)&w->call;
}
