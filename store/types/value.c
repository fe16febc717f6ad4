#include "store/types/value.h"

#include "store/entry_build.h"
#include "store/memory.h"

uint64_t value_random_below(uint64_t n)
{
	return (uint64_t)((unsigned __int128)store_rng_next() * n >> 64);
}

bool value_chosen_init(struct value_chosen *c, size_t n)
{
	size_t size = 16, bytes;
	while (size < 2 * n && size <= SIZE_MAX / 4)
		size *= 2;
	c->mask = size - 1;
	c->slots = __builtin_mul_overflow(size, sizeof *c->slots, &bytes) ? NULL : mem_calloc(bytes);
	return c->slots != NULL;
}

bool value_chosen_add(struct value_chosen *c, const void *p)
{
	size_t i = (size_t)((uintptr_t)p * 0x9e3779b97f4a7c15u >> 20);
	for (;; i++) {
		const void **slot = &c->slots[i & c->mask];
		if (*slot == p)
			return false;
		if (!*slot) {
			*slot = p;
			return true;
		}
	}
}

void value_chosen_clear(struct value_chosen *c)
{
	mem_free(c->slots);
}
