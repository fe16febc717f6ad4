#include "server/clock.h"

#include <pthread.h>
#include <time.h>
#if defined(__x86_64__)
#include <cpuid.h>
#endif

bool clock_uses_tsc;
static int64_t wall_offset_us;
static double ticks_per_us = 1000.0;
static pthread_once_t calibrated = PTHREAD_ONCE_INIT;

int64_t clock_wall_us(void)
{
	struct timespec t;

	clock_gettime(CLOCK_REALTIME, &t);
	return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000 + __atomic_load_n(&wall_offset_us, __ATOMIC_RELAXED);
}

uint64_t clock_mono_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

int64_t clock_mono_us(void)
{
	return (int64_t)(clock_mono_ns() / 1000);
}

void clock_set_offset_us(int64_t us)
{
	__atomic_store_n(&wall_offset_us, us, __ATOMIC_RELAXED);
}

#if defined(__x86_64__)
/* Only a counter that keeps its rate through frequency changes and sleep states measures time: CPUID says which does.
 * Decided before main(), so that no two ticks of one measurement come from different clocks. */
__attribute__((constructor)) static void clock_detect(void)
{
	unsigned a, b, c, d;

	clock_uses_tsc = __get_cpuid(0x80000007u, &a, &b, &c, &d) && (d & (1u << 8));
}

/* One reading of both clocks, the closest of a few tries, so that being preempted in between does not count. */
static void clock_sample(uint64_t *tsc, uint64_t *ns)
{
	uint64_t best = UINT64_MAX;

	for (int i = 0; i < 8; i++) {
		uint64_t before = __builtin_ia32_rdtsc();
		uint64_t now = clock_mono_ns();
		uint64_t width = __builtin_ia32_rdtsc() - before;
		if (width < best) {
			best = width;
			*tsc = before + width / 2;
			*ns = now;
		}
	}
}
#endif

static void clock_calibrate(void)
{
#if defined(__x86_64__)
	if (clock_uses_tsc) {
		uint64_t tsc0 = 0, ns0 = 0, tsc1 = 0, ns1 = 0;
		clock_sample(&tsc0, &ns0);
		nanosleep(&(struct timespec){ .tv_nsec = 5000000 }, NULL);
		clock_sample(&tsc1, &ns1);
		if (ns1 > ns0 && tsc1 > tsc0)
			ticks_per_us = (double)(tsc1 - tsc0) * 1000.0 / (double)(ns1 - ns0);
	}
#endif
}

double clock_ticks_per_us(void)
{
	pthread_once(&calibrated, clock_calibrate);
	return ticks_per_us;
}
