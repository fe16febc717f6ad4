/* evict: see evict.h. */
#include "server/evict.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>

#include "server/client.h"
#include "server/clock.h"
#include "server/config.h"
#include "server/exec.h"
#include "server/latency.h"
#include "server/log.h"
#include "server/memstats.h"
#include "server/stats.h"
#include "server/worker.h"
#include "store/memory.h"
#include "store/store.h"

/* Below the limit that eviction goes when it has begun, so that keys go several at a time: far less than the memory that a
 * loop may use before it says so. */
#define HEADROOM_BYTES 4096
#define HEADROOM_PART 1024 /* of the limit, where that is less */

uint64_t evict_limit;

static struct {
	struct store_evict_pool **pools; /* by loop */
	unsigned loops;
	struct store_evict how;
	bool none; /* noeviction */
	int64_t budget_us;
	uint64_t overhead;
	uint64_t since_us, total_us; /* above the limit: since when (0: it is not), and in all before that */
} state;

uint64_t evict_used(void)
{
	return mem_used() + __atomic_load_n(&state.overhead, __ATOMIC_RELAXED);
}

bool evict_needed_slow(void)
{
	return evict_used() > __atomic_load_n(&evict_limit, __ATOMIC_RELAXED);
}

/* ------------------------------------------------------------------ how */

/* 50 us for each step up to 10, from there 15 percent more for each; 100: without end. */
static int64_t budget_us(int tenacity)
{
	if (tenacity <= 10)
		return 50 * tenacity;
	if (tenacity < 100)
		return (int64_t)(500 * pow(1.15, tenacity - 10));
	return INT64_MAX / 2;
}

static bool apply(const struct config *now, char **error)
{
	(void)error;
	int policy = now->maxmemory_policy;
	state.none = policy == 0;
	state.how = (struct store_evict){
		.order = policy & CONFIG_POLICY_LRU   ? STORE_EVICT_LRU
		         : policy & CONFIG_POLICY_LFU ? STORE_EVICT_LFU
		         : policy & CONFIG_POLICY_TTL ? STORE_EVICT_TTL
		                                      : STORE_EVICT_RANDOM,
		.volatile_only = policy & CONFIG_POLICY_VOLATILE,
		.lazy = now->lazyfree_lazy_eviction,
		.samples = (unsigned)now->maxmemory_samples,
	};
	state.budget_us = budget_us(now->maxmemory_eviction_tenacity);
	for (unsigned i = 0; i < state.loops; i++)
		store_evict_pool_clear(state.pools[i]);
	state.overhead = now->maxmemory ? memstats_overhead() : 0;
	evict_limit = now->maxmemory;
	return true;
}

int evict_init(unsigned loops)
{
	static const char *const names[] = { "maxmemory", "maxmemory-policy", "maxmemory-samples",
		                             "maxmemory-eviction-tenacity", "lazyfree-lazy-eviction" };
	state.pools = calloc(loops, sizeof *state.pools);
	if (!state.pools)
		return -ENOMEM;
	for (; state.loops < loops; state.loops++) {
		if (!(state.pools[state.loops] = store_evict_pool_new()))
			return -ENOMEM;
	}
	apply(config(), NULL);
	for (size_t i = 0; i < sizeof names / sizeof *names; i++)
		config_on_change(names[i], apply);
	return 0;
}

void evict_free(void)
{
	for (unsigned i = 0; i < state.loops; i++)
		store_evict_pool_free(state.pools[i]);
	free(state.pools);
	state.pools = NULL;
	state.loops = 0;
	evict_limit = 0;
}

/* ------------------------------------------------------------------ keys */

static void note_exceeded(bool exceeded)
{
	uint64_t zero = 0, since = __atomic_load_n(&state.since_us, __ATOMIC_RELAXED);
	if (exceeded && !since) {
		__atomic_compare_exchange_n(&state.since_us, &zero, (uint64_t)clock_mono_us(), false, __ATOMIC_RELAXED,
		                            __ATOMIC_RELAXED);
	} else if (!exceeded && since && __atomic_compare_exchange_n(&state.since_us, &since, 0, false, __ATOMIC_RELAXED,
	                                                             __ATOMIC_RELAXED)) {
		__atomic_fetch_add(&state.total_us, (uint64_t)clock_mono_us() - since, __ATOMIC_RELAXED);
	}
}

uint64_t evict_exceeded_us(uint64_t *current)
{
	uint64_t since = __atomic_load_n(&state.since_us, __ATOMIC_RELAXED);
	*current = since ? (uint64_t)clock_mono_us() - since : 0;
	return __atomic_load_n(&state.total_us, __ATOMIC_RELAXED) + *current;
}

bool evict_can(void)
{
	return !state.none;
}

/* Bytes to be freed; 0: none. */
static size_t excess(void)
{
	uint64_t limit = __atomic_load_n(&evict_limit, __ATOMIC_RELAXED), used = evict_used(), room = HEADROOM_BYTES;
	if (limit / HEADROOM_PART < room)
		room = limit / HEADROOM_PART;
	return limit && used > limit - room ? used - (limit - room) : 0;
}

bool evict_make_room(struct worker *w, bool alone)
{
	struct store_op op = { 0 };
	int64_t start_us = clock_mono_us();
	bool found = !state.none;
	worker_op(w, 0, &op);
	op.ctx = NULL; /* each eviction is a unit of its own in the journal */
	op.exclusive = alone;
	note_exceeded(true);
	for (size_t bytes; found && (bytes = excess()) > 0;) {
		found = store_evict(&op, &state.how, state.pools[w->index], bytes) > 0;
		if (clock_mono_us() - start_us > state.budget_us)
			break;
	}
	if (!found && evict_needed_slow() && !state.none) {
		store_reaper_drain(op.store); /* what is being freed in the background counts until it is */
		found = !evict_needed_slow();
	}
	if (!evict_needed_slow())
		note_exceeded(false);
	latency_spike("eviction-cycle", clock_mono_us() - start_us);
	return found || !evict_needed_slow();
}

/* ------------------------------------------------------------------ clients */

/* What all clients may take together; 0: no limit. */
static uint64_t clients_limit(const struct config *cfg)
{
	if (cfg->maxmemory_clients >= 0)
		return (uint64_t)cfg->maxmemory_clients;
	return cfg->maxmemory / 100 * (uint64_t)-cfg->maxmemory_clients;
}

static bool may_be_evicted(const struct client *c)
{
	return !(c->flags & (CLIENT_NO_EVICT | CLIENT_CLOSE_ASAP | CLIENT_REPLICA | CLIENT_PRIMARY));
}

/* Disconnect the largest clients until the rest is below the limit. Alone. */
static void evict_clients(struct worker *w, uint64_t limit)
{
	uint64_t sum = 0;
	for (struct client *c = client_next(NULL); c; c = client_next(c))
		sum += may_be_evicted(c) ? client_memory(c) : 0;
	while (sum > limit) {
		struct client *largest = NULL;
		size_t most = 0;
		for (struct client *c = client_next(NULL); c; c = client_next(c)) {
			if (may_be_evicted(c) && client_memory(c) > most) {
				most = client_memory(c);
				largest = c;
			}
		}
		if (!largest)
			return;
		char text[512];
		client_describe(largest, w->now_ms, text, sizeof text);
		log_notice("Evicting client: %s", text);
		client_kill(largest);
		stats_add(&w->stats->counter[STAT_EVICTED_CLIENTS], 1);
		sum -= most;
	}
}

void evict_tick(struct worker *w)
{
	uint64_t limit = clients_limit(config());
	if (w->index == 0 && evict_limit)
		__atomic_store_n(&state.overhead, memstats_overhead(), __ATOMIC_RELAXED);
	if (evict_needed() && !state.none)
		evict_make_room(w, false);
	if (w->index == 0 && limit) {
		exec_alone_begin(w->index);
		evict_clients(w, limit);
		exec_alone_end(w->index);
	}
}
