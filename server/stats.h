/*
 * stats: counters. Each loop counts for itself in its own cache lines; readers add up. Background threads use slot
 * STATS_OTHER.
 */
#ifndef SERVER_STATS_H
#define SERVER_STATS_H

#include <stdbool.h>
#include <stdint.h>

enum stats_counter {
	STAT_COMMANDS, STAT_CONNECTIONS, STAT_REJECTED_CONNECTIONS, STAT_KEY_HITS, STAT_KEY_MISSES, STAT_EXPIRED,
	STAT_EVICTED, STAT_NET_IN, STAT_NET_OUT, STAT_ERRORS, STAT_PROTOCOL_ERRORS, STAT_OUTPUT_LIMIT_CLOSES,
	STAT_QUERY_LIMIT_CLOSES, STAT_SAFEPOINTS, STAT_LOCK_WAITS, STAT_EXPIRE_CYCLES, STAT_AUTH_FAILURES, STAT_DIRTY,
	STAT_TURNS, STAT_BUSY_US, STAT_EXPIRE_US, STAT_EVICTED_CLIENTS,
	STAT_DENIED_COMMAND, STAT_DENIED_KEY, STAT_DENIED_CHANNEL,
	STAT_COUNTERS
};

struct stats_command {
	uint64_t calls, ticks, rejected, failed;
};

/* One loop's counters: written by its loop alone, with relaxed stores that others may read. */
struct stats_loop {
	uint64_t counter[STAT_COUNTERS];
	struct stats_command *command; /* by command id */
};

int stats_init(unsigned loops, unsigned commands);
struct stats_loop *stats_of(unsigned loop); /* loop == server_loops(): everyone who is not a loop */

static inline void stats_add(uint64_t *counter, uint64_t n)
{
	__atomic_store_n(counter, __atomic_load_n(counter, __ATOMIC_RELAXED) + n, __ATOMIC_RELAXED);
}

/* A counter that someone else keeps (bytes of the network library): read() is added. Before the loops start. */
void stats_source(enum stats_counter c, uint64_t (*read)(void));
uint64_t stats_sum(enum stats_counter c);
struct stats_command stats_command_sum(unsigned id);
/* Error statistics by code ("ERR", "WRONGTYPE"); at most 128 codes, as Redis; further ones are not counted. Any thread. */
void stats_error(const char *code);
void stats_each_error(void (*fn)(void *ctx, const char *code, uint64_t count), void *ctx);
/* CONFIG RESETSTAT; alone. */
void stats_reset(void);
/* Instantaneous rates, sampled every 100 ms by loop 0. */
enum stats_rate { RATE_COMMANDS, RATE_NET_IN, RATE_NET_OUT, RATE_TURNS, RATE_BUSY_US, RATES };
void stats_sample(int64_t mono_ms);
double stats_rate(enum stats_rate r);

#endif
