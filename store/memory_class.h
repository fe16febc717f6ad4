/*
 * memory_class: what slabs need of the allocator. Internal to the store.
 *
 * The size classes are computed inline, because an entry's room is the class of its size.
 * jemalloc with a quantum of 16 bytes: multiples of 16 up to 128, from there four classes per doubling.
 */
#ifndef STORE_MEMORY_CLASS_H
#define STORE_MEMORY_CLASS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#if defined __SANITIZE_ADDRESS__ && !defined SHOAL_NO_SLABS
#define SHOAL_NO_SLABS
#endif
#ifdef __has_feature
#if __has_feature(address_sanitizer) && !defined SHOAL_NO_SLABS
#define SHOAL_NO_SLABS
#endif
#endif

#define MEM_LINE 64

/* A block aligned to its size, a power of two; not counted. NULL: out of memory. */
void *mem_block_new(size_t n);
void mem_block_free(void *p, size_t n);
/* Count what is made of blocks. */
void mem_count(int64_t bytes);
/* Whether this allocation is the one that a test wants to fail. */
bool mem_fails(void);

static inline size_t mem_class_(size_t n)
{
#ifdef SHOAL_NO_JEMALLOC
	return n;
#else
	if (n <= 8)
		return 8;
	if (n <= 128)
		return (n + 15) & ~(size_t)15;
	size_t step = (size_t)1 << (63 - __builtin_clzl(n - 1) - 2);
	return (n + step - 1) & ~(step - 1);
#endif
}

#endif
