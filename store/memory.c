/* memory: see memory.h. */
#include "store/memory.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#ifdef SHOAL_NO_JEMALLOC
#include <malloc.h>
#else
#include <jemalloc/jemalloc.h>
#endif

#define STEP (64 * 1024)

static atomic_llong used;
static atomic_llong peak;
static _Thread_local long long local;
static _Thread_local uint64_t fail_at;

static inline void count(long long n)
{
	local += n;
	if (__builtin_expect(local > STEP || local < -STEP, 0)) {
		long long now = atomic_fetch_add_explicit(&used, local, memory_order_relaxed) + local;
		long long top = atomic_load_explicit(&peak, memory_order_relaxed);
		local = 0;
		while (now > top && !atomic_compare_exchange_weak(&peak, &top, now))
			;
	}
}

static inline bool fails(void)
{
	return __builtin_expect(fail_at != 0, 0) && --fail_at == 0;
}

size_t mem_class(size_t n)
{
#ifdef SHOAL_NO_JEMALLOC
	return (n + 15) & ~(size_t)15;
#else
	return nallocx(n ? n : 1, 0);
#endif
}

size_t mem_size(const void *p)
{
	return p ? malloc_usable_size((void *)(uintptr_t)p) : 0;
}

void *mem_alloc(size_t n)
{
	void *p = fails() ? NULL : malloc(n);
	if (p)
		count((long long)malloc_usable_size(p));
	return p;
}

void *mem_calloc(size_t n)
{
	void *p = fails() ? NULL : calloc(1, n);
	if (p)
		count((long long)malloc_usable_size(p));
	return p;
}

void *mem_realloc(void *p, size_t n)
{
	long long before = p ? (long long)malloc_usable_size(p) : 0;
	void *q = fails() ? NULL : realloc(p, n);
	if (q)
		count((long long)malloc_usable_size(q) - before);
	return q;
}

void mem_free(void *p)
{
	if (!p)
		return;
	count(-(long long)malloc_usable_size(p));
	free(p);
}

void mem_free_sized(void *p, size_t n)
{
#ifdef SHOAL_NO_JEMALLOC
	(void)n;
	mem_free(p);
#else
	if (!p)
		return;
	count(-(long long)nallocx(n ? n : 1, 0));
	sdallocx(p, n ? n : 1, 0);
#endif
}

size_t mem_used(void)
{
	long long n = atomic_load_explicit(&used, memory_order_relaxed) + local;
	return n > 0 ? (size_t)n : 0;
}

size_t mem_peak(void)
{
	size_t now = mem_used();
	long long top = atomic_load_explicit(&peak, memory_order_relaxed);
	return top > (long long)now ? (size_t)top : now;
}

void mem_fail_after(uint64_t n)
{
	fail_at = n;
}
