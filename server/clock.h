/*
 * clock: wall and monotonic time, with a seam for tests. Loops keep a frozen copy (see turn.c); everyone else asks here.
 */
#ifndef SERVER_CLOCK_H
#define SERVER_CLOCK_H

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
/* Cheap ticks for measuring single commands, and their length. */
uint64_t clock_ticks(void);
double clock_ticks_per_us(void);

#endif
