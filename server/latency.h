/*
 * latency: how long commands take: a histogram for each command (LATENCY HISTOGRAM, INFO latencystats), and the spikes of
 * the latency monitor (events longer than latency-monitor-threshold).
 *
 * A histogram counts nanoseconds up to a second in two significant digits, in the layout that HDR histograms have, so
 * that percentiles come out as those of other servers. Each loop has its own for each command, made at its first use.
 *
 * Threads: recording: the loop named, or STATS_OTHER's users under no concurrency; events and questions: any.
 */
#ifndef SERVER_LATENCY_H
#define SERVER_LATENCY_H

#include <stdbool.h>
#include <stdint.h>

struct reply;

#define LATENCY_BUCKETS 3072

int latency_init(unsigned loops, unsigned commands);
void latency_free(void);
/* One call of the command took so long. */
void latency_record(unsigned loop, unsigned command, uint64_t ns);
/* Sum over all loops into counts; the calls. */
uint64_t latency_histogram(unsigned command, uint64_t counts[static LATENCY_BUCKETS]);
/* The value at the percentile (0 to 100), of a histogram with `total` calls. Nanoseconds. */
uint64_t latency_percentile(const uint64_t *counts, uint64_t total, double percentile);
/* The largest value that counts as the same as ns. */
uint64_t latency_highest_equivalent(uint64_t ns);
unsigned latency_bucket(uint64_t ns);
/* Forget all histograms (CONFIG RESETSTAT); alone. */
void latency_clear_histograms(void);

/* ------------------------------------------------------------------ spikes */

#define LATENCY_SAMPLES 160

struct latency_sample {
	int64_t at_s;
	uint32_t ms;
};
struct latency_event {
	char name[32];
	uint32_t max_ms;
	unsigned next;
	struct latency_sample v[LATENCY_SAMPLES]; /* ms 0: not used yet */
};

/* An event took so long: remembered if the monitor is on and the threshold reached. */
void latency_spike(const char *event, int64_t took_us);
/* Copies of what is known; returns whether there is such an event, or how many events there are. */
bool latency_event(const char *name, struct latency_event *out);
unsigned latency_events(struct latency_event *out, unsigned max);
/* Forget one event (NULL: all); returns how many were there. */
unsigned latency_reset(const char *name);

#endif
