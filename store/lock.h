/*
 * lock: a lock of four bytes: one atomic instruction to take and to drop, a short spin, then sleep in the kernel.
 * Internal to the store.
 */
#ifndef STORE_LOCK_H
#define STORE_LOCK_H

#include <stdbool.h>
#include <stdint.h>

/* The word: 0 free, 1 held, 2 held and somebody may be asleep. */

static inline bool lock_try(uint32_t *word)
{
	uint32_t zero = 0;
	return __atomic_compare_exchange_n(word, &zero, 1, false, __ATOMIC_ACQUIRE, __ATOMIC_RELAXED);
}

/* Spin for a while. false: still held. */
bool lock_spin(uint32_t *word);
/* Sleep until it is taken; idle(ctx), if there is one, is called after so many milliseconds as it returned last. */
void lock_sleep(uint32_t *word, int (*idle)(void *ctx), void *ctx);
void lock_wake(uint32_t *word);

static inline void lock_take(uint32_t *word)
{
	if (__builtin_expect(!lock_try(word), 0) && !lock_spin(word))
		lock_sleep(word, NULL, NULL);
}

static inline void lock_drop(uint32_t *word)
{
	if (__builtin_expect(__atomic_exchange_n(word, 0, __ATOMIC_RELEASE) == 2, 0))
		lock_wake(word);
}

#endif
