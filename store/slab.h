/*
 * slab: the allocator of entries. Its classes are 8 bytes apart where the general allocator's are 16, and it keeps no
 * metadata per page: 56 bytes cost 56.7 instead of 66. Internal to the store.
 *
 * A slab is a block aligned to its size with objects of one class; its header is found from the address of any of them.
 * An arena serves a group of shards. Objects are counted by memory.h like other allocations.
 *
 * Threads: any; an arena has a lock of its own, held for some nanoseconds. Entries freed in the background meet it there.
 */
#ifndef STORE_SLAB_H
#define STORE_SLAB_H

#include <stdbool.h>
#include <stddef.h>

#include "store/memory_class.h"

#define SLAB_MAX 512 /* larger objects come from the general allocator */

struct slab_arena;

/* n arenas side by side, or NULL. */
struct slab_arena *slab_arenas_new(unsigned n);
struct slab_arena *slab_arena_at(struct slab_arena *arenas, unsigned i);
/* All objects must have been freed. */
void slab_arenas_free(struct slab_arena *arenas, unsigned n);

/* n: 1 to SLAB_MAX. NULL: out of memory. */
void *slab_alloc(struct slab_arena *a, size_t n);
void slab_free(void *p);
/* Room of an object. */
size_t slab_room(const void *p);

/* Fetch what slab_free() of an object needs. A hint: p may be anything. */
void slab_prefetch(const void *p);

/* What an allocation of n bytes takes, from a slab or beyond. */
static inline size_t slab_class(size_t n)
{
#ifdef SHOAL_NO_SLABS
	return mem_class_(n);
#else
	if (n <= 16)
		return 16;
	if (n <= 128)
		return (n + 7) & ~(size_t)7;
	return n <= SLAB_MAX ? (n + 15) & ~(size_t)15 : mem_class_(n);
#endif
}

#endif
