#include "store/memory.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>

#include "store/memory_class.h"

#ifdef SHOAL_NO_JEMALLOC
#include <malloc.h>
#else
#include <jemalloc/jemalloc.h>
#endif

#define PUBLISH_STEP (64 * 1024)

struct thread_count {
	int64_t delta;       /* bytes not yet published */
	uint64_t fail_after; /* 0: never */
	bool registered;     /* the rest is published when the thread ends */
};

static _Thread_local struct thread_count mine;

/* Totals live on a line of their own: they are written by all threads, though rarely. */
static struct {
	_Alignas(64) int64_t used;
	int64_t peak;
	_Alignas(64) pthread_once_t once;
	pthread_key_t at_exit;
} total = { .once = PTHREAD_ONCE_INIT };

static void thread_ends(void *arg)
{
	struct thread_count *c = arg;
	__atomic_fetch_add(&total.used, c->delta, __ATOMIC_RELAXED);
	c->delta = 0;
	c->registered = false;
}

static void make_key(void)
{
	pthread_key_create(&total.at_exit, thread_ends);
}

static __attribute__((noinline)) void publish(struct thread_count *c)
{
	if (!c->registered) {
		c->registered = true;
		pthread_once(&total.once, make_key);
		pthread_setspecific(total.at_exit, c);
	}
	int64_t used = __atomic_add_fetch(&total.used, c->delta, __ATOMIC_RELAXED);
	c->delta = 0;
	int64_t peak = __atomic_load_n(&total.peak, __ATOMIC_RELAXED);
	while (used > peak &&
	       !__atomic_compare_exchange_n(&total.peak, &peak, used, true, __ATOMIC_RELAXED, __ATOMIC_RELAXED))
		;
}

static inline void count(int64_t bytes)
{
	struct thread_count *c = &mine;
	c->delta += bytes;
	if (__builtin_expect(c->delta >= PUBLISH_STEP || c->delta <= -PUBLISH_STEP || !c->registered, 0))
		publish(c);
}

static inline bool fails(void)
{
	return __builtin_expect(mine.fail_after != 0, 0) && --mine.fail_after == 0;
}

void mem_count(int64_t bytes)
{
	count(bytes);
}

bool mem_fails(void)
{
	return fails();
}

void mem_fail_after(uint64_t n)
{
	mine.fail_after = n;
}

#ifdef SHOAL_NO_JEMALLOC

/* Under sanitizers every allocation has exactly its size, so that they see each byte out of bounds. */
static inline int64_t counted(void *p, size_t n)
{
	(void)n;
	return (int64_t)malloc_usable_size(p);
}

void *mem_alloc(size_t n)
{
	void *p = fails() ? NULL : malloc(n ? n : 1);
	if (p)
		count(counted(p, n));
	return p;
}

void *mem_alloc_aligned(size_t n)
{
	void *p = NULL;
	if (fails() || posix_memalign(&p, MEM_LINE, n ? n : 1) != 0)
		return NULL;
	count(counted(p, n));
	return p;
}

void *mem_block_new(size_t n)
{
	void *p = NULL;
	return posix_memalign(&p, n, n) == 0 ? p : NULL;
}

void mem_block_free(void *p, size_t n)
{
	(void)n;
	free(p);
}

void *mem_calloc(size_t n)
{
	void *p = fails() ? NULL : calloc(1, n ? n : 1);
	if (p)
		count(counted(p, n));
	return p;
}

void *mem_realloc(void *p, size_t n)
{
	if (!p)
		return mem_alloc(n);
	int64_t old = counted(p, 0);
	void *q = fails() ? NULL : realloc(p, n ? n : 1);
	if (q)
		count(counted(q, n) - old);
	return q;
}

void mem_free(void *p)
{
	if (!p)
		return;
	count(-counted(p, 0));
	free(p);
}

void mem_free_sized(void *p, size_t n)
{
	(void)n;
	mem_free(p);
}

size_t mem_class(size_t n)
{
	return n;
}

size_t mem_size(const void *p)
{
	return p ? malloc_usable_size((void *)(uintptr_t)p) : 0;
}

#else

void *mem_alloc(size_t n)
{
	void *p = fails() ? NULL : mallocx(n ? n : 1, 0);
	if (p)
		count((int64_t)mem_class_(n));
	return p;
}

void *mem_alloc_aligned(size_t n)
{
	/* Size classes that are multiples of a line are not all aligned to one; the powers of two used here are. */
	void *p = fails() ? NULL : mallocx(n ? n : 1, MALLOCX_ALIGN(MEM_LINE));
	if (p)
		count((int64_t)sallocx(p, 0));
	return p;
}

void *mem_block_new(size_t n)
{
	return mallocx(n, MALLOCX_ALIGN(n) | MALLOCX_TCACHE_NONE);
}

void mem_block_free(void *p, size_t n)
{
	if (p)
		sdallocx(p, n, MALLOCX_ALIGN(n) | MALLOCX_TCACHE_NONE);
}

void *mem_calloc(size_t n)
{
	void *p = fails() ? NULL : mallocx(n ? n : 1, MALLOCX_ZERO);
	if (p)
		count((int64_t)mem_class_(n));
	return p;
}

void *mem_realloc(void *p, size_t n)
{
	if (!p)
		return mem_alloc(n);
	int64_t old = (int64_t)sallocx(p, 0);
	void *q = fails() ? NULL : rallocx(p, n ? n : 1, 0);
	if (q)
		count((int64_t)mem_class_(n) - old);
	return q;
}

void mem_free(void *p)
{
	if (!p)
		return;
	count(-(int64_t)sallocx(p, 0));
	dallocx(p, 0);
}

void mem_free_sized(void *p, size_t n)
{
	if (!p)
		return;
	count(-(int64_t)mem_class_(n));
	sdallocx(p, n ? n : 1, 0);
}

size_t mem_class(size_t n)
{
	return mem_class_(n);
}

size_t mem_size(const void *p)
{
	return p ? sallocx(p, 0) : 0;
}

#endif

size_t mem_used(void)
{
	int64_t used = __atomic_load_n(&total.used, __ATOMIC_RELAXED) + mine.delta;
	return used > 0 ? (size_t)used : 0;
}

size_t mem_peak(void)
{
	int64_t peak = __atomic_load_n(&total.peak, __ATOMIC_RELAXED);
	size_t used = mem_used();
	return (size_t)peak > used ? (size_t)peak : used;
}
