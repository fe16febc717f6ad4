/* latency: see latency.h. */
#include "server/latency.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "server/clock.h"
#include "server/config.h"

#define EVENTS 32
#define HALF 128 /* buckets per doubling */
#define NS_MAX 1000000000

struct histogram {
	uint64_t counts[LATENCY_BUCKETS];
};

static struct {
	struct histogram **v; /* by loop, then by command */
	unsigned loops, commands;
} all;

static struct {
	pthread_mutex_t lock;
	struct latency_event *v;
	unsigned n;
} spikes = { .lock = PTHREAD_MUTEX_INITIALIZER };

int latency_init(unsigned loops, unsigned commands)
{
	all.loops = loops + 1;
	all.commands = commands;
	all.v = calloc((size_t)all.loops * commands, sizeof *all.v);
	return all.v ? 0 : -ENOMEM;
}

void latency_free(void)
{
	for (size_t i = 0; all.v && i < (size_t)all.loops * all.commands; i++)
		free(all.v[i]);
	free(all.v);
	all.v = NULL;
	latency_reset(NULL);
	free(spikes.v);
	spikes.v = NULL;
}

/* Up to 255 each value has its own bucket; from there each doubling has HALF. */
unsigned latency_bucket(uint64_t ns)
{
	if (ns < 2 * HALF)
		return (unsigned)ns;
	unsigned shift = 63 - (unsigned)__builtin_clzll(ns) - 7;
	return shift * HALF + (unsigned)(ns >> shift);
}

static uint64_t bucket_highest(unsigned i)
{
	unsigned shift = i < 2 * HALF ? 0 : i / HALF - 1;
	return ((uint64_t)(i - shift * HALF) << shift) + ((uint64_t)1 << shift) - 1;
}

uint64_t latency_highest_equivalent(uint64_t ns)
{
	return bucket_highest(latency_bucket(ns));
}

void latency_record(unsigned loop, unsigned command, uint64_t ns)
{
	struct histogram **slot = &all.v[(size_t)(loop < all.loops ? loop : all.loops - 1) * all.commands + command];
	struct histogram *h = *slot;
	if (__builtin_expect(!h, 0)) {
		if (!(h = calloc(1, sizeof *h)))
			return;
		__atomic_store_n(slot, h, __ATOMIC_RELEASE);
	}
	uint64_t *count = &h->counts[latency_bucket(ns < 1 ? 1 : ns > NS_MAX ? NS_MAX : ns)];
	__atomic_store_n(count, __atomic_load_n(count, __ATOMIC_RELAXED) + 1, __ATOMIC_RELAXED);
}

uint64_t latency_histogram(unsigned command, uint64_t counts[static LATENCY_BUCKETS])
{
	uint64_t total = 0;
	bool first = true;
	for (unsigned l = 0; l < all.loops; l++) {
		const struct histogram *h = __atomic_load_n(&all.v[(size_t)l * all.commands + command], __ATOMIC_ACQUIRE);
		if (!h)
			continue;
		if (first)
			memset(counts, 0, LATENCY_BUCKETS * sizeof *counts);
		first = false;
		for (unsigned i = 0; i < LATENCY_BUCKETS; i++) {
			uint64_t n = __atomic_load_n(&h->counts[i], __ATOMIC_RELAXED);
			counts[i] += n;
			total += n;
		}
	}
	return total;
}

uint64_t latency_percentile(const uint64_t *counts, uint64_t total, double percentile)
{
	uint64_t want = (uint64_t)(percentile / 100 * (double)total + 0.5), seen = 0;
	for (unsigned i = 0; i < LATENCY_BUCKETS; i++) {
		seen += counts[i];
		if (seen && seen >= want)
			return bucket_highest(i);
	}
	return 0;
}

void latency_clear_histograms(void)
{
	for (size_t i = 0; i < (size_t)all.loops * all.commands; i++) {
		if (all.v[i])
			memset(all.v[i], 0, sizeof *all.v[i]);
	}
}

/* ------------------------------------------------------------------ spikes */

static struct latency_event *find_event(const char *name)
{
	for (unsigned i = 0; i < spikes.n; i++) {
		if (!strcasecmp(spikes.v[i].name, name))
			return &spikes.v[i];
	}
	return NULL;
}

static struct latency_event *make_event(const char *name)
{
	if (spikes.n == EVENTS || (!spikes.v && !(spikes.v = calloc(EVENTS, sizeof *spikes.v))))
		return NULL;
	struct latency_event *e = &spikes.v[spikes.n++];
	*e = (struct latency_event){ 0 };
	strncpy(e->name, name, sizeof e->name - 1);
	return e;
}

/* Spikes of one second count as one, the longest. */
static void add_sample(struct latency_event *e, int64_t at_s, uint32_t ms)
{
	struct latency_sample *last = &e->v[(e->next + LATENCY_SAMPLES - 1) % LATENCY_SAMPLES];
	if (ms > e->max_ms)
		e->max_ms = ms;
	if (last->ms && last->at_s == at_s) {
		last->ms = ms > last->ms ? ms : last->ms;
		return;
	}
	e->v[e->next] = (struct latency_sample){ at_s, ms };
	e->next = (e->next + 1) % LATENCY_SAMPLES;
}

void latency_spike(const char *event, int64_t took_us)
{
	int64_t threshold_ms = config()->latency_monitor_threshold_ms, ms = took_us / 1000;
	if (!threshold_ms || ms < threshold_ms)
		return;
	pthread_mutex_lock(&spikes.lock);
	struct latency_event *e = find_event(event);
	if (e || (e = make_event(event)))
		add_sample(e, clock_wall_ms() / 1000, ms > UINT32_MAX ? UINT32_MAX : (uint32_t)ms);
	pthread_mutex_unlock(&spikes.lock);
}

bool latency_event(const char *name, struct latency_event *out)
{
	pthread_mutex_lock(&spikes.lock);
	const struct latency_event *e = find_event(name);
	if (e)
		*out = *e;
	pthread_mutex_unlock(&spikes.lock);
	return e != NULL;
}

unsigned latency_events(struct latency_event *out, unsigned max)
{
	pthread_mutex_lock(&spikes.lock);
	unsigned n = spikes.n < max ? spikes.n : max;
	memcpy(out, spikes.v ? spikes.v : out, n * sizeof *out);
	pthread_mutex_unlock(&spikes.lock);
	return n;
}

unsigned latency_reset(const char *name)
{
	unsigned dropped = 0;
	pthread_mutex_lock(&spikes.lock);
	if (!name) {
		dropped = spikes.n;
		spikes.n = 0;
	} else {
		struct latency_event *e = find_event(name);
		if (e) {
			*e = spikes.v[--spikes.n];
			dropped = 1;
		}
	}
	pthread_mutex_unlock(&spikes.lock);
	return dropped;
}
