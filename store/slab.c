#include "store/slab.h"

#include <stdint.h>
#include <string.h>

#include "store/lock.h"
#include "store/memory.h"

#define SLAB_BYTES (16 * 1024)
#define SLAB_CLASSES 40 /* 8, 16, ... 128, 144, ... 512 */

struct slab {
	struct slab *next, *prev; /* among the slabs of its class that have room */
	struct slab_arena *arena;
	uint16_t size;   /* of an object */
	uint16_t used;   /* objects */
	uint16_t free;   /* offset of the first freed object, whose first bytes lead to the next; 0: none */
	uint16_t virgin; /* offset of what was never used; only touched pages cost memory */
	uint8_t class;
} __attribute__((aligned(64)));

struct slab_arena {
	uint32_t lock;
	struct slab *spare; /* an empty one, so that a class at the border of a slab does not flutter */
	struct slab *open[SLAB_CLASSES];
} __attribute__((aligned(64)));

#ifdef SHOAL_NO_SLABS

/* Under AddressSanitizer each object is an allocation, so that it sees what is wrong with it. */
struct slab_arena *slab_arenas_new(unsigned n)
{
	return mem_alloc_aligned(n * sizeof(struct slab_arena));
}

struct slab_arena *slab_arena_at(struct slab_arena *arenas, unsigned i)
{
	return arenas + i;
}

void slab_arenas_free(struct slab_arena *arenas, unsigned n)
{
	(void)n;
	mem_free(arenas);
}

void *slab_alloc(struct slab_arena *a, size_t n)
{
	(void)a;
	return mem_alloc(n);
}

void slab_free(void *p)
{
	mem_free(p);
}

size_t slab_room(const void *p)
{
	return mem_size(p);
}

void slab_prefetch(const void *p)
{
	(void)p;
}

#else

struct slab_arena *slab_arenas_new(unsigned n)
{
	struct slab_arena *a = mem_alloc_aligned(n * sizeof *a);
	if (a)
		memset(a, 0, n * sizeof *a);
	return a;
}

struct slab_arena *slab_arena_at(struct slab_arena *arenas, unsigned i)
{
	return arenas + i;
}

void slab_arenas_free(struct slab_arena *arenas, unsigned n)
{
	for (unsigned i = 0; arenas && i < n; i++)
		mem_block_free(arenas[i].spare, SLAB_BYTES);
	mem_free(arenas);
}

static inline struct slab *slab_of(const void *p)
{
	return (struct slab *)((uintptr_t)p & ~(uintptr_t)(SLAB_BYTES - 1));
}

static inline bool slab_full(const struct slab *s)
{
	return s->free == 0 && s->virgin + s->size > SLAB_BYTES;
}

static void slab_link(struct slab_arena *a, struct slab *s)
{
	s->prev = NULL;
	s->next = a->open[s->class];
	if (s->next)
		s->next->prev = s;
	a->open[s->class] = s;
}

static void slab_unlink(struct slab_arena *a, struct slab *s)
{
	if (s->prev)
		s->prev->next = s->next;
	else
		a->open[s->class] = s->next;
	if (s->next)
		s->next->prev = s->prev;
}

static __attribute__((noinline)) struct slab *slab_new(struct slab_arena *a, unsigned class)
{
	struct slab *s = a->spare;
	a->spare = NULL;
	if (!s && !(s = mem_block_new(SLAB_BYTES)))
		return NULL;
	*s = (struct slab){ .arena = a, .class = (uint8_t)class, .virgin = sizeof *s };
	s->size = (uint16_t)(class < 16 ? (class + 1) * 8 : 128 + (class - 15) * 16);
	slab_link(a, s);
	return s;
}

void *slab_alloc(struct slab_arena *a, size_t n)
{
	size_t size = slab_class(n);
	unsigned class = (unsigned)(size <= 128 ? size / 8 - 1 : 15 + (size - 128) / 16);
	if (mem_fails())
		return NULL;
	lock_take(&a->lock);
	struct slab *s = a->open[class];
	if (__builtin_expect(!s, 0) && !(s = slab_new(a, class))) {
		lock_drop(&a->lock);
		return NULL;
	}
	char *p = (char *)s + (s->free ? s->free : s->virgin);
	if (s->free)
		memcpy(&s->free, p, sizeof s->free);
	else
		s->virgin += s->size;
	s->used++;
	if (slab_full(s))
		slab_unlink(a, s);
	lock_drop(&a->lock);
	mem_count((int64_t)size);
	return p;
}

void slab_free(void *p)
{
	struct slab *s = slab_of(p), *empty = NULL;
	struct slab_arena *a = s->arena;
	mem_count(-(int64_t)s->size);
	lock_take(&a->lock);
	if (slab_full(s))
		slab_link(a, s);
	memcpy(p, &s->free, sizeof s->free);
	s->free = (uint16_t)((char *)p - (char *)s);
	if (--s->used == 0) {
		slab_unlink(a, s);
		empty = a->spare;
		a->spare = s;
	}
	lock_drop(&a->lock);
	if (empty)
		mem_block_free(empty, SLAB_BYTES);
}

size_t slab_room(const void *p)
{
	return slab_of(p)->size;
}

void slab_prefetch(const void *p)
{
	__builtin_prefetch(slab_of(p), 1);
}

#endif
