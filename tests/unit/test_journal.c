/* The journal: order, integrity, release, growth, admission, waking, and what is left when memory runs out. */
#include <check.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "server/journal/journal.h"
#include "tests/lib/suite.h"

#define PRODUCERS 4
#define EACH 30000

static _Atomic long allocations_left; /* < 0: no limit */
static _Atomic long held;

static void *counted_alloc(size_t align, size_t n)
{
	long left = atomic_load(&allocations_left);

	while (left >= 0) {
		if (left == 0)
			return NULL;
		if (atomic_compare_exchange_weak(&allocations_left, &left, left - 1))
			break;
	}
	atomic_fetch_add(&held, 1);
	return aligned_alloc(align, n);
}

static void counted_free(void *p)
{
	if (p)
		atomic_fetch_sub(&held, 1);
	free(p);
}

static void setup(void)
{
	atomic_store(&allocations_left, -1);
	atomic_store(&held, 0);
	journal_set_allocator(counted_alloc, counted_free);
}

static void teardown(void)
{
	ck_assert_int_eq(atomic_load(&held), 0);
	journal_set_allocator(NULL, NULL);
}

START_TEST(test_idle)
{
	struct journal *j = journal_new(1024);

	ck_assert(!journal_active(j));
	ck_assert(journal_admit(j));
	ck_assert_uint_eq(journal_append(j, 0, 1, "x", 1), 0);
	ck_assert_uint_eq(journal_tail(j), 0);
	journal_commit(j);
	ck_assert_uint_eq(journal_memory(j), 0);
	journal_free(j);
}
END_TEST

START_TEST(test_record)
{
	struct journal *j = journal_new(1024);
	struct journal_reader *r = journal_subscribe(j), *late;
	struct journal_record rec;

	ck_assert(journal_active(j));
	ck_assert(!journal_next(r, &rec));
	ck_assert_uint_eq(journal_append(j, 3, 2, "abc", 3), 1);
	ck_assert_uint_eq(journal_append(j, 0, 1, "", 0), 2);
	late = journal_subscribe(j);
	ck_assert(!journal_next(late, &rec));
	ck_assert_uint_eq(journal_append(j, 1, 1, "defg", 4), 3);
	ck_assert_uint_eq(journal_tail(j), 3);

	ck_assert(journal_next(r, &rec));
	ck_assert_uint_eq(rec.sequence, 1);
	ck_assert_uint_eq(rec.db, 3);
	ck_assert_uint_eq(rec.commands, 2);
	ck_assert_uint_eq(rec.len, 3);
	ck_assert_mem_eq(rec.payload, "abc", 3);
	ck_assert(journal_next(r, &rec));
	ck_assert_uint_eq(rec.len, 0);
	ck_assert(journal_next(r, &rec));
	ck_assert_uint_eq(rec.sequence, 3);
	ck_assert_mem_eq(rec.payload, "defg", 4);
	ck_assert(!journal_next(r, &rec));

	/* The late subscriber gets what came after its subscription, and keeps it alive when the first let go. */
	journal_release(r, 3);
	ck_assert(journal_next(late, &rec));
	ck_assert_uint_eq(rec.sequence, 3);
	ck_assert_mem_eq(rec.payload, "defg", 4);
	ck_assert(!journal_next(late, &rec));
	journal_unsubscribe(r);
	ck_assert(journal_active(j));
	journal_unsubscribe(late);
	ck_assert(!journal_active(j));
	ck_assert_uint_eq(journal_append(j, 1, 1, "x", 1), 0);

	/* Sequences go on where they were. */
	r = journal_subscribe(j);
	ck_assert_uint_eq(journal_append(j, 1, 1, "y", 1), 4);
	ck_assert(journal_next(r, &rec));
	ck_assert_uint_eq(rec.sequence, 4);
	ck_assert_mem_eq(rec.payload, "y", 1);
	journal_unsubscribe(r);
	ck_assert_uint_eq(journal_memory(j), 0);
	journal_free(j);
}
END_TEST

/* Payload of producer p's i-th record: says who it is, then bytes that follow from it; lengths of all kinds. */
static size_t make_payload(char *to, unsigned p, unsigned i)
{
	size_t len = 8 + (i % 97 == 0 ? 5000 : i % 2999 == 0 ? 70000 : i % 120);
	uint32_t head[2] = { p, i };

	memcpy(to, head, 8);
	memset(to + 8, (int)((p * 31 + i) & 0xff), len - 8);
	return len;
}

struct producing {
	struct journal *j;
	unsigned id, n;
	bool commit;
};

static void *produce(void *arg)
{
	struct producing *p = arg;
	char *buf = malloc(80000);
	uint64_t last = 0;

	for (unsigned i = 0; i < p->n; i++) {
		size_t len = make_payload(buf, p->id, i);
		uint64_t s;

		while (p->commit && !journal_admit(p->j))
			sched_yield();
		s = journal_append(p->j, p->id, i, buf, len);
		if (s <= last)
			abort();
		last = s;
		if (p->commit && i % 8 == 7)
			journal_commit(p->j);
	}
	journal_commit(p->j);
	free(buf);
	return NULL;
}

struct consuming {
	struct journal_reader *r;
	uint64_t total;
	unsigned seen[PRODUCERS];
	bool bad;
};

static void *consume(void *arg)
{
	struct consuming *c = arg;
	struct journal_record rec;
	char *want = malloc(80000);
	uint64_t n = 0;

	while (n < c->total && !c->bad) {
		if (!journal_next(c->r, &rec)) {
			journal_wait(c->r);
			continue;
		}
		n++;
		c->bad |= rec.sequence != n || rec.db >= PRODUCERS;
		if (c->bad)
			break;
		c->bad |= rec.commands != c->seen[rec.db]++;
		c->bad |= rec.len != make_payload(want, rec.db, rec.commands) || memcmp(want, rec.payload, rec.len) != 0;
		if (n % 100 == 0)
			journal_release(c->r, n - 50);
	}
	journal_release(c->r, n);
	free(want);
	return NULL;
}

/* Many producers, two readers of different pace: total order without gaps, each producer's order, all bytes intact. */
static void run_many(bool commit, size_t capacity)
{
	struct journal *j = journal_new(capacity);
	struct producing p[PRODUCERS];
	struct consuming c[2] = { 0 };
	pthread_t pt[PRODUCERS], ct[2];

	for (int i = 0; i < 2; i++) {
		c[i].r = journal_subscribe(j);
		c[i].total = (uint64_t)PRODUCERS * EACH;
	}
	for (int i = 0; i < 2; i++)
		ck_assert_int_eq(pthread_create(&ct[i], NULL, consume, &c[i]), 0);
	for (unsigned i = 0; i < PRODUCERS; i++) {
		p[i] = (struct producing){ j, i, EACH, commit };
		ck_assert_int_eq(pthread_create(&pt[i], NULL, produce, &p[i]), 0);
	}
	for (int i = 0; i < PRODUCERS; i++)
		pthread_join(pt[i], NULL);
	ck_assert_uint_eq(journal_tail(j), (uint64_t)PRODUCERS * EACH);
	for (int i = 0; i < 2; i++) {
		pthread_join(ct[i], NULL);
		ck_assert(!c[i].bad);
		for (int k = 0; k < PRODUCERS; k++)
			ck_assert_uint_eq(c[i].seen[k], EACH);
	}
	for (int i = 0; i < 2; i++)
		journal_unsubscribe(c[i].r);
	ck_assert_uint_eq(journal_memory(j), 0);
	journal_free(j);
}

/* Back to the first record that is not released, over the ends of blocks, as often as one likes. */
START_TEST(test_rewind)
{
	struct journal *j = journal_new(1 << 16);
	struct journal_reader *r = journal_subscribe(j);
	struct journal_record rec;
	uint64_t released = 0;

	for (uint64_t i = 1; i <= 20000; i++)
		ck_assert_uint_eq(journal_append(j, (unsigned)i % 16, 1, &i, sizeof i), i);
	for (uint64_t upto = 3000; upto <= 20000; upto += 3400) {
		for (int again = 0; again < 2; again++) {
			journal_rewind(r);
			for (uint64_t i = released + 1; i <= upto; i++) {
				ck_assert(journal_next(r, &rec));
				ck_assert_uint_eq(rec.sequence, i);
				ck_assert(memcmp(rec.payload, &i, sizeof i) == 0);
			}
		}
		released = upto - 1000;
		journal_release(r, released);
	}
	journal_rewind(r);
	ck_assert(journal_next(r, &rec) && rec.sequence == released + 1);
	journal_unsubscribe(r);
	journal_free(j);
}
END_TEST

START_TEST(test_many_producers)
{
	run_many(true, 65536);
}
END_TEST

START_TEST(test_many_producers_admission)
{
	run_many(true, 256);
}
END_TEST

START_TEST(test_many_producers_unadmitted)
{
	run_many(false, 64);
}
END_TEST

/* Nothing is refused and nothing waits while the reader is away, far above the capacity; then everything is there. */
START_TEST(test_growth)
{
	struct journal *j = journal_new(1024);
	struct journal_reader *r = journal_subscribe(j);
	struct journal_record rec;
	char buf[64];
	size_t high;

	for (unsigned i = 0; i < 100000; i++) {
		memset(buf, (int)(i & 0xff), sizeof(buf));
		ck_assert_uint_eq(journal_append(j, 0, i, buf, sizeof(buf)), i + 1);
	}
	ck_assert(!journal_admit(j));
	ck_assert_uint_eq(journal_lost(j), 0);
	high = journal_memory(j);
	ck_assert_uint_gt(high, 100000 * 64);
	for (unsigned i = 0; i < 100000; i++) {
		memset(buf, (int)(i & 0xff), sizeof(buf));
		ck_assert(journal_next(r, &rec));
		ck_assert_uint_eq(rec.commands, i);
		ck_assert_mem_eq(rec.payload, buf, sizeof(buf));
	}
	ck_assert(!journal_next(r, &rec));
	ck_assert_uint_eq(journal_memory(j), high);
	journal_release(r, 100000);
	ck_assert_uint_lt(journal_memory(j), 4 << 20);
	ck_assert(journal_admit(j));
	journal_unsubscribe(r);
	ck_assert_uint_eq(journal_memory(j), 0);
	journal_free(j);
}
END_TEST

/* In steady state nothing is allocated: blocks and segments go round. */
START_TEST(test_steady_state)
{
	struct journal *j = journal_new(65536);
	struct journal_reader *r = journal_subscribe(j);
	struct journal_record rec;
	char buf[200] = "x";

	for (unsigned round = 0; round < 300; round++) {
		if (round == 20)
			atomic_store(&allocations_left, 0);
		for (unsigned i = 0; i < 500; i++)
			ck_assert_uint_ne(journal_append(j, 0, 1, buf, sizeof(buf)), 0);
		while (journal_next(r, &rec))
			;
		journal_release(r, journal_tail(j));
	}
	ck_assert_uint_eq(journal_lost(j), 0);
	journal_unsubscribe(r);
	journal_free(j);
}
END_TEST

START_TEST(test_large)
{
	static const size_t sizes[] = { 65535, 65536, 65537, 262000, 262144, 262145, 1000000, 50000000 };
	struct journal *j = journal_new(1024);
	struct journal_reader *r = journal_subscribe(j);
	struct journal_record rec;
	char *buf = malloc(50000000);
	size_t before = journal_memory(j);

	for (size_t i = 0; i < sizeof(sizes) / sizeof(*sizes); i++) {
		memset(buf, 'a' + (int)i, sizes[i]);
		journal_append(j, 0, 1, buf, sizes[i]);
		journal_append(j, 0, 1, "small", 5);
	}
	for (size_t i = 0; i < sizeof(sizes) / sizeof(*sizes); i++) {
		ck_assert(journal_next(r, &rec));
		ck_assert_uint_eq(rec.len, sizes[i]);
		memset(buf, 'a' + (int)i, sizes[i]);
		ck_assert(memcmp(rec.payload, buf, rec.len) == 0);
		ck_assert(journal_next(r, &rec));
		ck_assert_mem_eq(rec.payload, "small", 5);
	}
	journal_release(r, journal_tail(j));
	ck_assert_uint_lt(journal_memory(j), before + (2 << 20));
	journal_unsubscribe(r);
	journal_free(j);
	free(buf);
}
END_TEST

/* Memory bounds admission as well as the number of records; room() says when it goes on. */
static void count_room(void *ctx)
{
	++*(int *)ctx;
}

START_TEST(test_admission)
{
	struct journal *j = journal_new(1 << 20);
	struct journal_reader *r;
	struct journal_record rec;
	char *buf = calloc(1, 1 << 20);
	int room = 0, n = 0;

	journal_set_high_bytes(j, 64 << 20);
	journal_set_room(j, count_room, &room);
	r = journal_subscribe(j);
	for (; journal_admit(j); n++) {
		journal_append(j, 0, 1, buf, 1 << 20);
		ck_assert_int_lt(n, 100);
	}
	ck_assert_int_gt(n, 40);
	for (int i = 0; i < n; i++)
		ck_assert(journal_next(r, &rec));
	journal_release(r, 2);
	ck_assert_int_eq(room, 0);
	journal_release(r, (uint64_t)n);
	ck_assert_int_eq(room, 1);
	ck_assert(journal_admit(j));
	/* One notice per refusal. */
	journal_append(j, 0, 1, buf, 10);
	ck_assert(journal_next(r, &rec));
	journal_release(r, rec.sequence);
	ck_assert_int_eq(room, 1);
	/* A reader that goes away makes room too. */
	while (journal_admit(j))
		journal_append(j, 0, 1, buf, 1 << 20);
	journal_unsubscribe(r);
	ck_assert_int_eq(room, 2);
	ck_assert(journal_admit(j));
	journal_free(j);
	free(buf);
}
END_TEST

static double now_s(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

struct ping {
	struct journal *j;
	struct journal_reader *r;
	_Atomic uint64_t seen;
};

static void *sleeper(void *arg)
{
	struct ping *p = arg;
	struct journal_record rec;

	for (;;) {
		while (journal_next(p->r, &rec)) {
			journal_release(p->r, rec.sequence);
			atomic_store(&p->seen, rec.sequence);
			if (rec.len == 4)
				return NULL;
		}
		journal_wait(p->r);
	}
}

/* A sleeping reader is woken by journal_commit(): were wake-ups lost, each would cost 100 ms, 200 s in all. */
START_TEST(test_wake_up)
{
	struct ping p = { .j = journal_new(1024) };
	pthread_t t;
	double begin;

	p.r = journal_subscribe(p.j);
	ck_assert_int_eq(pthread_create(&t, NULL, sleeper, &p), 0);
	begin = now_s();
	for (int i = 0; i < 2000; i++) {
		uint64_t s = journal_append(p.j, 0, 1, "x", 1);

		journal_commit(p.j);
		while (atomic_load(&p.seen) < s)
			sched_yield();
	}
	journal_append(p.j, 0, 1, "stop", 4);
	journal_commit(p.j);
	pthread_join(t, NULL);
	ck_assert_double_lt(now_s() - begin, 100);
	journal_unsubscribe(p.r);
	journal_free(p.j);
}
END_TEST

struct waiting {
	struct journal_reader *r;
	_Atomic bool stop;
};

static void *wait_for_stop(void *arg)
{
	struct waiting *w = arg;

	while (!atomic_load(&w->stop))
		journal_wait(w->r);
	return NULL;
}

START_TEST(test_wake)
{
	struct journal *j = journal_new(1024);
	struct waiting w = { .r = journal_subscribe(j) };
	double begin = now_s();

	for (int i = 0; i < 500; i++) {
		pthread_t t;

		atomic_store(&w.stop, false);
		ck_assert_int_eq(pthread_create(&t, NULL, wait_for_stop, &w), 0);
		atomic_store(&w.stop, true);
		journal_wake(w.r);
		pthread_join(t, NULL);
	}
	ck_assert_double_lt(now_s() - begin, 40);
	journal_unsubscribe(w.r);
	journal_free(j);
}
END_TEST

#define GROUP 10

struct gathering {
	struct journal *j;
	struct journal_reader *r;
	_Atomic uint64_t target, early;
};

static void *gather_group(void *arg)
{
	struct gathering *g = arg;

	journal_wait_for(g->r, atomic_load(&g->target), 60000000);
	if (journal_tail(g->j) < atomic_load(&g->target))
		atomic_fetch_add(&g->early, 1);
	return NULL;
}

/* Who gathers sleeps until the whole group is there, and is woken by the commit that completes it: were that lost, the
 * minute would pass. */
START_TEST(test_wait_for)
{
	struct gathering g = { .j = journal_new(1024) };
	double begin = now_s();

	g.r = journal_subscribe(g.j);
	for (int i = 0; i < 300; i++) {
		pthread_t t;
		struct journal_record rec;

		atomic_store(&g.target, journal_tail(g.j) + GROUP);
		ck_assert_int_eq(pthread_create(&t, NULL, gather_group, &g), 0);
		for (int k = 0; k < GROUP; k++) {
			journal_append(g.j, 0, 1, "x", 1);
			journal_commit(g.j);
			if (i % 2)
				sched_yield();
		}
		pthread_join(t, NULL);
		for (int k = 0; k < GROUP; k++)
			ck_assert(journal_next(g.r, &rec));
		journal_release(g.r, rec.sequence);
	}
	ck_assert_uint_eq(atomic_load(&g.early), 0);
	ck_assert_double_lt(now_s() - begin, 50);
	journal_unsubscribe(g.r);
	journal_free(g.j);
}
END_TEST

/* A group that never comes: the limit ends the wait, not before its time; so does journal_wake(), at once. */
START_TEST(test_wait_for_nothing)
{
	struct gathering g = { .j = journal_new(1024), .target = GROUP };
	double begin = now_s();
	pthread_t t;

	g.r = journal_subscribe(g.j);
	journal_wait_for(g.r, GROUP, 20000);
	ck_assert_double_ge(now_s() - begin, 0.02);
	ck_assert_int_eq(pthread_create(&t, NULL, gather_group, &g), 0);
	journal_wake(g.r);
	pthread_join(t, NULL);
	ck_assert_uint_eq(atomic_load(&g.early), 1);
	ck_assert_double_lt(now_s() - begin, 50);
	journal_unsubscribe(g.r);
	journal_free(g.j);
}
END_TEST

/* Memory fails at the n-th allocation: what readers get is a true prefix, the first record after it is named. */
START_TEST(test_out_of_memory)
{
	struct journal *j = journal_new(1024);
	struct journal_reader *r;
	struct journal_record rec;
	char buf[1000];
	uint64_t n = 0;

	r = journal_subscribe(j);
	ck_assert_ptr_nonnull(r);
	ck_assert(journal_admit(j));
	atomic_store(&allocations_left, _i);
	for (unsigned i = 0; i < 20000; i++) {
		memset(buf, (int)(i & 0xff), sizeof(buf));
		ck_assert_uint_eq(journal_append(j, 0, i, buf, i == 10 ? 1000 : sizeof(buf)), i + 1);
		if (i == 50 && _i > 0)
			ck_assert_uint_eq(journal_lost(j), 0); /* the reserve holds */
	}
	while (journal_next(r, &rec)) {
		ck_assert_uint_eq(rec.sequence, ++n);
		ck_assert_int_eq(rec.payload[999], (char)((n - 1) & 0xff));
	}
	ck_assert_uint_eq(journal_lost(j), n + 1);
	ck_assert(n < 20000);
	ck_assert(journal_admit(j)); /* nobody is parked for it */
	ck_assert(journal_active(j));
	journal_release(r, n);
	journal_unsubscribe(r);
	ck_assert_uint_eq(journal_memory(j), 0);

	/* Beginning anew heals it. */
	atomic_store(&allocations_left, -1);
	r = journal_subscribe(j);
	ck_assert_uint_eq(journal_lost(j), 0);
	ck_assert_uint_eq(journal_append(j, 0, 1, "again", 5), 20001);
	ck_assert(journal_next(r, &rec));
	ck_assert_mem_eq(rec.payload, "again", 5);
	journal_unsubscribe(r);
	journal_free(j);
}
END_TEST

START_TEST(test_not_gathered)
{
	struct journal *j = journal_new(1024);
	struct journal_reader *r = journal_subscribe(j);
	struct journal_record rec;

	journal_append(j, 0, 1, "one", 3);
	journal_append(j, 0, 1, NULL, 0);
	journal_append(j, 0, 1, "three", 5);
	ck_assert_uint_eq(journal_lost(j), 2);
	ck_assert(journal_next(r, &rec));
	ck_assert(!journal_next(r, &rec));
	journal_unsubscribe(r);
	journal_free(j);
}
END_TEST

/* A large payload that finds no memory is lost without harm to the small ones before it. */
START_TEST(test_large_out_of_memory)
{
	struct journal *j = journal_new(1024);
	struct journal_reader *r = journal_subscribe(j);
	struct journal_record rec;
	char *buf = calloc(1, 1 << 20);

	journal_append(j, 0, 1, "one", 3);
	atomic_store(&allocations_left, 0);
	journal_append(j, 0, 1, buf, 1 << 20);
	ck_assert_uint_eq(journal_lost(j), 2);
	ck_assert(journal_next(r, &rec));
	ck_assert_mem_eq(rec.payload, "one", 3);
	ck_assert(!journal_next(r, &rec));
	journal_unsubscribe(r);
	journal_free(j);
	free(buf);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("journal");
	TCase *t = tcase_create("journal");

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_set_timeout(t, 60);
	tcase_add_test(t, test_idle);
	tcase_add_test(t, test_record);
	tcase_add_test(t, test_rewind);
	tcase_add_test(t, test_many_producers);
	tcase_add_test(t, test_many_producers_admission);
	tcase_add_test(t, test_many_producers_unadmitted);
	tcase_add_test(t, test_growth);
	tcase_add_test(t, test_steady_state);
	tcase_add_test(t, test_large);
	tcase_add_test(t, test_admission);
	tcase_add_test(t, test_wake_up);
	tcase_add_test(t, test_wake);
	tcase_add_test(t, test_wait_for);
	tcase_add_test(t, test_wait_for_nothing);
	tcase_add_loop_test(t, test_out_of_memory, 0, 12);
	tcase_add_test(t, test_not_gathered);
	tcase_add_test(t, test_large_out_of_memory);
	suite_add_tcase(s, t);
	return suite_run(s);
}
