/* stats: see stats.h. */
#include "server/stats.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#define ERROR_CODES 128
#define RATE_SAMPLES 16

static struct {
	struct stats_loop **loop; /* loops, and one for everybody else */
	unsigned loops, commands;
	struct {
		uint64_t (*read)(void);
		uint64_t at_reset;
	} source[STAT_COUNTERS];
} stats;

/* Codes are only ever added, so that counting one that is known takes no lock. */
static struct {
	pthread_mutex_t adding;
	unsigned n;
	struct {
		char code[32];
		uint64_t count;
	} v[ERROR_CODES];
} errors = { .adding = PTHREAD_MUTEX_INITIALIZER };

static struct {
	int64_t at_ms;
	unsigned next;
	struct {
		uint64_t last;
		double per_s[RATE_SAMPLES];
	} v[RATES];
} rates;
static const enum stats_counter rate_counter[RATES] = {
	STAT_COMMANDS, STAT_NET_IN, STAT_NET_OUT, STAT_TURNS, STAT_BUSY_US,
};

/* Whole cache lines, so that two loops never write the same one. */
static void *lines(size_t n)
{
	size_t size = (n + 127) / 64 * 64;
	void *p = aligned_alloc(64, size);
	if (p)
		memset(p, 0, size);
	return p;
}

int stats_init(unsigned loops, unsigned commands)
{
	stats.loop = calloc(loops + 1, sizeof *stats.loop);
	if (!stats.loop)
		return -ENOMEM;
	stats.loops = loops;
	stats.commands = commands;
	for (unsigned i = 0; i <= loops; i++) {
		stats.loop[i] = lines(sizeof *stats.loop[i]);
		if (!stats.loop[i])
			return -ENOMEM;
		stats.loop[i]->command = lines(commands * sizeof(struct stats_command));
		if (!stats.loop[i]->command)
			return -ENOMEM;
	}
	return 0;
}

struct stats_loop *stats_of(unsigned loop)
{
	return stats.loop[loop < stats.loops ? loop : stats.loops];
}

void stats_source(enum stats_counter c, uint64_t (*read)(void))
{
	stats.source[c].read = read;
}

static uint64_t get(const uint64_t *p)
{
	return __atomic_load_n(p, __ATOMIC_RELAXED);
}

static void put(uint64_t *p, uint64_t v)
{
	__atomic_store_n(p, v, __ATOMIC_RELAXED);
}

uint64_t stats_sum(enum stats_counter c)
{
	uint64_t sum = stats.source[c].read ? stats.source[c].read() - get(&stats.source[c].at_reset) : 0;
	for (unsigned i = 0; i <= stats.loops; i++)
		sum += get(&stats.loop[i]->counter[c]);
	return sum;
}

struct stats_command stats_command_sum(unsigned id)
{
	struct stats_command sum = { 0 };
	for (unsigned i = 0; i <= stats.loops; i++) {
		const struct stats_command *s = &stats.loop[i]->command[id];
		sum.calls += get(&s->calls);
		sum.ticks += get(&s->ticks);
		sum.rejected += get(&s->rejected);
		sum.failed += get(&s->failed);
	}
	return sum;
}

/* The code's place among the first n, or n. */
static unsigned error_index(const char *code, unsigned n)
{
	unsigned i = 0;
	while (i < n && strncmp(errors.v[i].code, code, sizeof errors.v[i].code - 1) != 0)
		i++;
	return i;
}

void stats_error(const char *code)
{
	unsigned n = __atomic_load_n(&errors.n, __ATOMIC_ACQUIRE), i = error_index(code, n);
	if (i == n) {
		pthread_mutex_lock(&errors.adding);
		i = error_index(code, errors.n);
		if (i == errors.n && i < ERROR_CODES) {
			size_t len = strnlen(code, sizeof errors.v[i].code - 1);
			memcpy(errors.v[i].code, code, len);
			errors.v[i].code[len] = 0;
			__atomic_store_n(&errors.n, i + 1, __ATOMIC_RELEASE);
		}
		pthread_mutex_unlock(&errors.adding);
	}
	if (i < ERROR_CODES)
		__atomic_fetch_add(&errors.v[i].count, 1, __ATOMIC_RELAXED);
}

void stats_each_error(void (*fn)(void *ctx, const char *code, uint64_t count), void *ctx)
{
	unsigned n = __atomic_load_n(&errors.n, __ATOMIC_ACQUIRE);
	for (unsigned i = 0; i < n; i++) {
		uint64_t count = get(&errors.v[i].count);
		if (count > 0)
			fn(ctx, errors.v[i].code, count);
	}
}

void stats_reset(void)
{
	for (unsigned i = 0; i <= stats.loops; i++) {
		for (unsigned k = 0; k < STAT_COUNTERS; k++)
			if (k != STAT_DIRTY) /* no statistic: save points count it */
				put(&stats.loop[i]->counter[k], 0);
		for (unsigned k = 0; k < stats.commands; k++) {
			struct stats_command *s = &stats.loop[i]->command[k];
			put(&s->calls, 0), put(&s->ticks, 0), put(&s->rejected, 0), put(&s->failed, 0);
		}
	}
	for (unsigned k = 0; k < STAT_COUNTERS; k++)
		if (stats.source[k].read)
			put(&stats.source[k].at_reset, stats.source[k].read());
	for (unsigned i = 0; i < errors.n; i++)
		put(&errors.v[i].count, 0);
	for (unsigned r = 0; r < RATES; r++) {
		rates.v[r].last = stats_sum(rate_counter[r]);
		memset(rates.v[r].per_s, 0, sizeof rates.v[r].per_s);
	}
}

void stats_sample(int64_t mono_ms)
{
	int64_t ms = mono_ms - rates.at_ms;
	bool first = rates.at_ms == 0;
	if (ms <= 0)
		return;
	rates.at_ms = mono_ms;
	for (unsigned r = 0; r < RATES; r++) {
		uint64_t now = stats_sum(rate_counter[r]), delta = now - rates.v[r].last;
		rates.v[r].last = now;
		double per_s = first ? 0 : (double)delta * 1000 / (double)ms;
		__atomic_store(&rates.v[r].per_s[rates.next % RATE_SAMPLES], &per_s, __ATOMIC_RELAXED);
	}
	rates.next++;
}

double stats_rate(enum stats_rate r)
{
	double sum = 0;
	for (unsigned i = 0; i < RATE_SAMPLES; i++) {
		double v;
		__atomic_load(&rates.v[r].per_s[i], &v, __ATOMIC_RELAXED);
		sum += v;
	}
	return sum / RATE_SAMPLES;
}
