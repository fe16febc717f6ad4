/* The allocator of entries: objects do not overlap, memory is counted and comes back, threads meet in one arena. */
#include <pthread.h>
#include <stdlib.h>

#include "store/memory.h"
#include "store/slab.h"
#include "tests/lib/rng.h"
#include "tests/lib/store_fixture.h"
#include "tests/lib/suite.h"

#define OBJECTS 10000

struct object {
	unsigned char *p;
	size_t n;
};

static void fill(struct object *o, unsigned char with)
{
	memset(o->p, with, slab_class(o->n));
}

static void check_and_free(struct object *o, unsigned char with)
{
	unsigned char want[SLAB_MAX];
	memset(want, with, sizeof want);
	ck_assert_mem_eq(o->p, want, slab_class(o->n));
	slab_free(o->p);
	o->p = NULL;
}

START_TEST(test_model)
{
	struct rng rng;
	rng_init(&rng, "slab");
	size_t before = mem_used(), want = 0;
	struct slab_arena *a = slab_arenas_new(4);
	size_t empty = mem_used();
	(void)empty;
	struct object *o = calloc(OBJECTS, sizeof *o);
	for (unsigned n = 0; n < 200000; n++) {
		unsigned i = (unsigned)rng_below(&rng, OBJECTS);
		if (o[i].p) {
			want -= slab_class(o[i].n);
			check_and_free(&o[i], (unsigned char)i);
		} else if (rng_below(&rng, 100) < (n / 25000 % 2 ? 40u : 100u)) {
			/* Few sizes at times, so that slabs fill; all sizes at others. */
			o[i].n = n % 3 ? 56 : 1 + rng_below(&rng, SLAB_MAX);
			o[i].p = slab_alloc(slab_arena_at(a, i % 4), o[i].n);
			ck_assert_ptr_nonnull(o[i].p);
			ck_assert_uint_eq((uintptr_t)o[i].p % 8, 0);
			ck_assert_uint_ge(slab_room(o[i].p), o[i].n);
#ifndef SHOAL_NO_JEMALLOC
			ck_assert_uint_eq(slab_room(o[i].p), slab_class(o[i].n));
			ck_assert_uint_le(slab_class(o[i].n), mem_class(o[i].n) + 8);
#endif
			fill(&o[i], (unsigned char)i);
			want += slab_class(o[i].n);
		}
#ifndef SHOAL_NO_SLABS
		if (n % 1000 == 0)
			ck_assert_uint_eq(mem_used() - empty, want);
#endif
	}
	for (unsigned i = 0; i < OBJECTS; i++) {
		if (o[i].p)
			check_and_free(&o[i], (unsigned char)i);
	}
	slab_arenas_free(a, 4);
	ck_assert_uint_eq(mem_used(), before);
	free(o);
}
END_TEST

START_TEST(test_classes)
{
	size_t last = 0;
	for (size_t n = 1; n < 2000; n++) {
		ck_assert_uint_ge(slab_class(n), n);
		ck_assert_uint_ge(slab_class(n), last);
		last = slab_class(n);
		ck_assert_uint_eq(slab_class(last), last);
#ifndef SHOAL_NO_SLABS
		ck_assert(n < 16 || n > 128 || last - n < 8);
#endif
	}
	struct slab_arena *a = slab_arenas_new(1);
	for (uint64_t n = 1; n < 4; n++) {
		void *p[4] = { NULL };
		mem_fail_after(n);
		for (uint64_t i = 1; i < 4; i++) {
			p[i] = slab_alloc(a, 40);
			ck_assert_int_eq(p[i] == NULL, i == n);
		}
		for (uint64_t i = 1; i < 4; i++) {
			if (p[i])
				slab_free(p[i]);
		}
	}
	slab_arenas_free(a, 1);
	slab_arenas_free(NULL, 0);
}
END_TEST

/* Objects are made by one thread and freed by another. */
struct relay {
	struct slab_arena *arena;
	uint64_t seed;
	unsigned number;
	unsigned char *box[64]; /* atomic */
};

static void *pass_on(void *arg)
{
	struct relay *r = arg;
	struct rng rng = { r->seed + __atomic_fetch_add(&r->number, 1, __ATOMIC_RELAXED) };
	for (int n = 0; n < 40000; n++) {
		size_t size = 16 + rng_below(&rng, 4) * 24;
		unsigned char *p = slab_alloc(r->arena, size);
		p[0] = (unsigned char)size;
		memset(p + 1, (int)size, size - 1);
		p = __atomic_exchange_n(&r->box[rng_below(&rng, 64)], p, __ATOMIC_ACQ_REL);
		unsigned char want[SLAB_MAX];
		if (p) {
			memset(want, p[0], p[0]);
			ck_assert_mem_eq(p, want, p[0]);
			slab_free(p);
		}
	}
	return NULL;
}

START_TEST(test_threads)
{
	struct rng rng;
	rng_init(&rng, "relay");
	struct relay r = { .arena = slab_arenas_new(1), .seed = rng_next(&rng) };
	pthread_t t[4];
	for (int i = 0; i < 4; i++)
		pthread_create(&t[i], NULL, pass_on, &r);
	for (int i = 0; i < 4; i++)
		pthread_join(t[i], NULL);
	for (int i = 0; i < 64; i++) {
		if (r.box[i])
			slab_free(r.box[i]);
	}
	slab_arenas_free(r.arena, 1);
	ck_assert_uint_eq(mem_used(), 0);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("store_slab");
	TCase *tc = tcase_create("slab");
	tcase_set_timeout(tc, 120);
	tcase_add_test(tc, test_model);
	tcase_add_test(tc, test_classes);
	tcase_add_test(tc, test_threads);
	suite_add_tcase(s, tc);
	return suite_run(s);
}
