/*
 * clock: wall and monotonic time, with a seam for tests. Loops keep a frozen copy (see turn.c); everyone else asks here.
 */
#ifndef SERVER_CLOCK_H
#define SERVER_CLOCK_H

#include <stdbool.h>
#include <stdint.h>

int64_t clock_wall_us(void);
int64_t clock_mono_us(void);
static inline int64_t clock_wall_ms(void)
{
	return clock_wall_us() / 1000;
}
static inline int64_t clock_mono_ms(void)
{
	return clock_mono_us() / 1000;
}
/* Tests: shift the wall clock (0: real). */
void clock_set_offset_us(int64_t us);

/* Cheap ticks for measuring single commands, and their length. Any thread. The processor's time stamp counter where it
 * runs at a constant rate, else nanoseconds of the monotonic clock. */
extern bool clock_uses_tsc;
uint64_t clock_mono_ns(void);
static inline uint64_t clock_ticks(void)
{
#if defined(__x86_64__)
	if (__builtin_expect(clock_uses_tsc, 1))
		return __builtin_ia32_rdtsc();
#endif
	return clock_mono_ns();
}
/* Calibrates on its first use, which takes a few milliseconds: call it once at start. */
double clock_ticks_per_us(void);

#endif
