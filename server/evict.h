/*
 * evict: maxmemory and maxmemory-clients.
 *
 * Memory in use is what the store counts plus an overhead (buffers, bookkeeping) that loop 0 measures every 100 ms while a
 * limit is set. Whoever is about to run a command above the limit evicts keys first, within a budget of time that
 * maxmemory-eviction-tenacity gives; what is left over is evicted by the next command or by the loops' ticks.
 *
 * Threads: loops; evict_init before they start.
 */
#ifndef SERVER_EVICT_H
#define SERVER_EVICT_H

#include <stdbool.h>
#include <stdint.h>

struct worker;

int evict_init(unsigned loops);
void evict_free(void);

/* Bytes at which eviction begins; 0: no limit. */
extern uint64_t evict_limit;
bool evict_needed_slow(void);
/* Whether memory is above the limit. */
static inline bool evict_needed(void)
{
	return __builtin_expect(__atomic_load_n(&evict_limit, __ATOMIC_RELAXED) != 0, 0) && evict_needed_slow();
}
/* Evict until memory is below the limit or the budget is used up. false: memory is above the limit and nothing can be
 * evicted. No lock is held, or the caller is alone. */
bool evict_make_room(struct worker *w, bool alone);
/* Whether the policy lets anything be evicted. */
bool evict_can(void);
/* What eviction counts as in use. */
uint64_t evict_used(void);

/* From time to time: the overhead (loop 0), eviction left over, clients above maxmemory-clients (loop 0). */
void evict_tick(struct worker *w);

/* INFO: microseconds above the limit since it was last crossed, and in all. */
uint64_t evict_exceeded_us(uint64_t *current);

#endif
