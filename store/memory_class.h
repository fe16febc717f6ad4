/*
 * memory_class: the allocator's size classes, computed inline, because an entry's room is the class of its size.
 *
 * jemalloc with a quantum of 16 bytes: multiples of 16 up to 128, from there four classes per doubling.
 */
#ifndef STORE_MEMORY_CLASS_H
#define STORE_MEMORY_CLASS_H

#include <stddef.h>

#define MEM_LINE 64

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
