#include <stdlib.h>

#include "store/memory.h"
#include "store/shard.h"

#ifdef __linux__
#include <errno.h>
#include <linux/futex.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>
#else
#include <sched.h>
#endif

/* About two microseconds: longer than nearly all commands, shorter than a sleep and its wake-up. */
#define SPINS 100
#define FIRST_IDLE_MS 50

static inline void cpu_relax(void)
{
#if defined __x86_64__
	__builtin_ia32_pause();
#elif defined __aarch64__
	__asm__ volatile("isb");
#endif
}

/* false: the time is over. ms < 0: no limit. */
static bool sleep_while(uint32_t *word, uint32_t value, int ms)
{
#ifdef __linux__
	struct timespec limit = { ms / 1000, ms % 1000 * 1000000L };
	long r = syscall(SYS_futex, word, FUTEX_WAIT_PRIVATE, value, ms < 0 ? NULL : &limit, NULL, 0);
	return r == 0 || errno != ETIMEDOUT;
#else
	(void)word;
	(void)value;
	sched_yield();
	return ms < 0;
#endif
}

bool lock_spin(uint32_t *word)
{
	for (int i = 0; i < SPINS; i++) {
		cpu_relax();
		if (__atomic_load_n(word, __ATOMIC_RELAXED) == 0 && lock_try(word))
			return true;
	}
	return false;
}

void lock_sleep(uint32_t *word, int (*idle)(void *ctx), void *ctx)
{
	int ms = idle ? FIRST_IDLE_MS : -1;
	while (__atomic_exchange_n(word, 2, __ATOMIC_ACQUIRE) != 0) {
		if (!sleep_while(word, 2, ms) && idle)
			ms = idle(ctx);
	}
}

void lock_wake(uint32_t *word)
{
#ifdef __linux__
	syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
#else
	(void)word;
#endif
}

void shard_lock_slow(struct store *s, struct shard *sh)
{
	if (lock_spin(&sh->lock))
		return;
	if (s->hooks.wait_out)
		s->hooks.wait_out(s->hooks_ctx);
	lock_sleep(&sh->lock, s->hooks.wait_idle, s->hooks_ctx);
	if (s->hooks.wait_in)
		s->hooks.wait_in(s->hooks_ctx);
}

/* ------------------------------------------------------------------ one shard */

void store_lock(struct store *s, uint64_t hash)
{
	shard_lock(s, shard_of(s, hash));
}

bool store_trylock(struct store *s, uint64_t hash)
{
	return shard_trylock(s, shard_of(s, hash));
}

void store_unlock(struct store *s, uint64_t hash)
{
	shard_unlock(s, shard_of(s, hash));
}

/* ------------------------------------------------------------------ sets */

void store_lockset_init(struct store_lockset *ls)
{
	ls->n = 0;
	ls->cap = STORE_LOCKSET_INLINE;
	ls->locked = false;
	ls->shards = ls->inline_;
}

static bool lockset_grow(struct store_lockset *ls)
{
	size_t cap = (size_t)ls->cap * 2;
	bool heap = ls->shards != ls->inline_;
	uint16_t *p = mem_realloc(heap ? ls->shards : NULL, cap * sizeof *p);
	if (!p)
		return false;
	if (!heap)
		memcpy(p, ls->inline_, sizeof ls->inline_);
	ls->shards = p;
	ls->cap = (unsigned)cap;
	return true;
}

static int by_number(const void *a, const void *b)
{
	return (int)*(const uint16_t *)a - (int)*(const uint16_t *)b;
}

static void sort_unique(struct store_lockset *ls)
{
	if (ls->n > 16) {
		qsort(ls->shards, ls->n, sizeof *ls->shards, by_number);
	} else {
		for (unsigned i = 1; i < ls->n; i++) {
			uint16_t v = ls->shards[i];
			unsigned j = i;
			for (; j > 0 && ls->shards[j - 1] > v; j--)
				ls->shards[j] = ls->shards[j - 1];
			ls->shards[j] = v;
		}
	}
	unsigned n = 0;
	for (unsigned i = 0; i < ls->n; i++) {
		if (n == 0 || ls->shards[n - 1] != ls->shards[i])
			ls->shards[n++] = ls->shards[i];
	}
	ls->n = n;
}

bool store_lockset_add(struct store *s, struct store_lockset *ls, uint64_t hash)
{
	uint16_t shard = (uint16_t)store_shard_of(s, hash);
	if (ls->n == ls->cap) {
		/* Before growing see whether the set is merely full of duplicates. */
		sort_unique(ls);
		if (ls->n > ls->cap / 2 && !lockset_grow(ls))
			return false;
	}
	ls->shards[ls->n++] = shard;
	return true;
}

void store_lockset_lock(struct store *s, struct store_lockset *ls)
{
	if (!s->single) {
		sort_unique(ls);
		for (unsigned i = 0; i < ls->n; i++)
			shard_lock(s, &s->shard[ls->shards[i]]);
	}
	ls->locked = true;
}

void store_lockset_unlock(struct store *s, struct store_lockset *ls)
{
	if (!s->single) {
		for (unsigned i = 0; i < ls->n; i++)
			shard_unlock(s, &s->shard[ls->shards[i]]);
	}
	ls->locked = false;
}

void store_lockset_clear(struct store_lockset *ls)
{
	if (ls->shards != ls->inline_)
		mem_free(ls->shards);
	store_lockset_init(ls);
}
