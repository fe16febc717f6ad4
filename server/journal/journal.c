/*
 * journal: descriptors in blocks, payloads in segments.
 *
 * Sequence s has its descriptor in block s / BLOCK_SLOTS, found through a directory of block pointers. Whoever first
 * needs a block puts it there by compare-and-swap, so nobody waits for anybody. A descriptor is published by storing its
 * own sequence into `ready`; sequences never repeat, so recycled blocks need no clearing.
 *
 * Each producing thread fills a segment of its own: no shared counter besides the sequence. A segment counts the records
 * in it that are not released. While a thread still fills it the count is biased by SEGMENT_OPEN; the thread trades the
 * bias for the true number when it moves on, and whoever brings the count to zero recycles the segment. Segments are
 * aligned to their size, so a payload's address leads to its segment.
 *
 * A block or segment is reused only after every reader released its records, hence after their producers published
 * them: a producer never touches a record after that, so there is no hazard to guard against.
 */
#include "server/journal/journal.h"

#include <assert.h>
#include <errno.h>
#include <limits.h>
#include <linux/futex.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define LINE 64
#define BLOCK_SLOTS ((uint64_t)4096)
#define DIRECTORY ((uint64_t)16384) /* blocks: 64 Mi records outstanding */
#define SEGMENT_SIZE ((size_t)256 * 1024)
#define SEGMENT_LARGE (SEGMENT_SIZE / 4) /* payloads from here on get a segment of their own */
#define SEGMENT_OPEN ((int64_t)1 << 40)
#define SPARE_BLOCKS 4
#define SPARE_SEGMENTS 8
#define RESERVE 2 /* spares that admission keeps filled */
#define WAIT_MS 100
#define MIN_HIGH_BYTES ((size_t)64 << 20)

struct slot {
	_Atomic uint64_t ready; /* its sequence, once published */
	const char *payload;
	uint64_t len;
	uint32_t db, commands;
};
_Static_assert(sizeof(struct slot) == 32, "two slots per cache line");

struct block {
	uint64_t number;
	struct slot slot[BLOCK_SLOTS] __attribute__((aligned(LINE)));
};

struct segment {
	_Atomic int64_t live;
	size_t size; /* of the whole allocation */
	char data[] __attribute__((aligned(16)));
};

/* What one thread fills; linked into the journal until nobody subscribes any more. */
struct producer {
	char *cur, *end;
	struct segment *segment;
	int64_t appended;
	uint64_t thread;
	struct producer *next;
} __attribute__((aligned(LINE)));

struct journal_reader {
	struct journal *journal;
	struct journal_reader *next;
	uint64_t at;       /* next sequence to read */
	uint64_t released; /* guarded by release_lock */
	struct block *block;
	_Atomic bool woken;
};

struct journal {
	/* read by every producer, written rarely */
	struct journal_front front __attribute__((aligned(LINE)));
	uint64_t serial; /* tells journals apart in thread-local caches */
	uint64_t high_records, low_records;
	_Atomic size_t high_bytes;
	void (*room)(void *ctx);
	void *room_ctx;
	_Atomic uint64_t lost;
	_Atomic(struct producer *) producers;

	_Atomic uint64_t head __attribute__((aligned(LINE))); /* last sequence claimed */

	/* written by readers, or once per turn */
	_Atomic uint64_t released __attribute__((aligned(LINE)));
	_Atomic size_t bytes;
	_Atomic bool refused;
	_Atomic int sleeping __attribute__((aligned(LINE)));
	_Atomic uint64_t patient; /* the sequence that a reader of journal_wait_for() waits for, 0: none */
	_Atomic uint32_t signal; /* futex word */

	pthread_mutex_t release_lock; /* readers only */
	struct journal_reader *readers;
	_Atomic(struct block *) spare_block[SPARE_BLOCKS];
	_Atomic(struct segment *) spare_segment[SPARE_SEGMENTS];
	_Atomic(struct block *) directory[DIRECTORY] __attribute__((aligned(LINE)));
};

static void *(*alloc_fn)(size_t align, size_t n) = aligned_alloc;
static void (*free_fn)(void *p) = free;

void journal_set_allocator(void *(*alloc)(size_t align, size_t n), void (*release)(void *p))
{
	alloc_fn = alloc ? alloc : aligned_alloc;
	free_fn = release ? release : free;
}

/* ---------------------------------------------------------------- blocks and segments */

static struct block *block_alloc(struct journal *j)
{
	struct block *b = alloc_fn(LINE, sizeof(*b));

	if (!b)
		return NULL;
	memset(b, 0, sizeof(*b));
	atomic_fetch_add_explicit(&j->bytes, sizeof(*b), memory_order_relaxed);
	return b;
}

static void block_recycle(struct journal *j, struct block *b)
{
	for (int i = 0; i < SPARE_BLOCKS; i++) {
		struct block *none = NULL;

		if (atomic_compare_exchange_strong_explicit(&j->spare_block[i], &none, b, memory_order_acq_rel,
		                                            memory_order_relaxed))
			return;
	}
	atomic_fetch_sub_explicit(&j->bytes, sizeof(*b), memory_order_relaxed);
	free_fn(b);
}

static struct block *block_take(struct journal *j)
{
	for (int i = SPARE_BLOCKS - 1; i >= 0; i--) {
		if (!atomic_load_explicit(&j->spare_block[i], memory_order_relaxed))
			continue;
		struct block *b = atomic_exchange_explicit(&j->spare_block[i], NULL, memory_order_acq_rel);

		if (b)
			return b;
	}
	return block_alloc(j);
}

static struct segment *segment_alloc(struct journal *j, size_t size)
{
	struct segment *s = alloc_fn(SEGMENT_SIZE, size);

	if (!s)
		return NULL;
	s->size = size;
	atomic_init(&s->live, 0);
	atomic_fetch_add_explicit(&j->bytes, size, memory_order_relaxed);
	return s;
}

static void segment_recycle(struct journal *j, struct segment *s)
{
	if (s->size == SEGMENT_SIZE) {
		for (int i = 0; i < SPARE_SEGMENTS; i++) {
			struct segment *none = NULL;

			if (atomic_compare_exchange_strong_explicit(&j->spare_segment[i], &none, s, memory_order_acq_rel,
			                                            memory_order_relaxed))
				return;
		}
	}
	atomic_fetch_sub_explicit(&j->bytes, s->size, memory_order_relaxed);
	free_fn(s);
}

static struct segment *segment_take(struct journal *j)
{
	for (int i = SPARE_SEGMENTS - 1; i >= 0; i--) {
		if (!atomic_load_explicit(&j->spare_segment[i], memory_order_relaxed))
			continue;
		struct segment *s = atomic_exchange_explicit(&j->spare_segment[i], NULL, memory_order_acq_rel);

		if (s)
			return s;
	}
	return segment_alloc(j, SEGMENT_SIZE);
}

static inline struct segment *segment_of(const char *payload)
{
	return (struct segment *)((uintptr_t)payload & ~(uintptr_t)(SEGMENT_SIZE - 1));
}

static void segment_drop(struct journal *j, struct segment *s, int64_t n)
{
	if (atomic_fetch_sub_explicit(&s->live, n, memory_order_acq_rel) == n)
		segment_recycle(j, s);
}

/* Keep the reserve, so that appends which follow an admission find room even when memory runs out between the two. */
static void refill(struct journal *j)
{
	for (int i = 0; i < RESERVE; i++) {
		if (!atomic_load_explicit(&j->spare_block[i], memory_order_relaxed)) {
			struct block *b = block_alloc(j);

			if (b)
				block_recycle(j, b);
		}
		if (!atomic_load_explicit(&j->spare_segment[i], memory_order_relaxed)) {
			struct segment *s = segment_alloc(j, SEGMENT_SIZE);

			if (s)
				segment_recycle(j, s);
		}
	}
}

/* ---------------------------------------------------------------- life */

struct journal *journal_new(size_t capacity)
{
	static _Atomic uint64_t serials;
	struct journal *j;

	assert(capacity > 0 && (capacity & (capacity - 1)) == 0);
	if (capacity > DIRECTORY * BLOCK_SLOTS / 2)
		capacity = DIRECTORY * BLOCK_SLOTS / 2;
	j = aligned_alloc(LINE, sizeof(*j));
	if (!j)
		return NULL;
	memset(j, 0, sizeof(*j));
	j->serial = atomic_fetch_add(&serials, 1) + 1;
	j->high_records = capacity;
	j->low_records = capacity - capacity / 4;
	atomic_init(&j->high_bytes, (size_t)256 << 20);
	if (pthread_mutex_init(&j->release_lock, NULL) != 0) {
		free(j);
		return NULL;
	}
	return j;
}

/* Nobody reads any more: what was not released goes, and with it what the threads were filling. */
static void drain(struct journal *j)
{
	uint64_t head = atomic_load_explicit(&j->head, memory_order_acquire);
	struct producer *p, *next;

	for (uint64_t s = atomic_load(&j->released) + 1; s <= head; s++) {
		_Atomic(struct block *) *place = &j->directory[s / BLOCK_SLOTS % DIRECTORY];
		struct block *b = atomic_load_explicit(place, memory_order_acquire);
		struct slot *slot = b && b->number == s / BLOCK_SLOTS ? &b->slot[s % BLOCK_SLOTS] : NULL;

		if (slot && atomic_load_explicit(&slot->ready, memory_order_acquire) == s)
			segment_drop(j, segment_of(slot->payload), 1);
	}
	for (size_t i = 0; i < DIRECTORY; i++) {
		struct block *b = atomic_exchange(&j->directory[i], NULL);

		if (b)
			block_recycle(j, b);
	}
	for (p = atomic_exchange(&j->producers, NULL); p; p = next) {
		next = p->next;
		if (p->segment)
			segment_drop(j, p->segment, SEGMENT_OPEN - p->appended);
		free_fn(p);
	}
	for (int i = 0; i < SPARE_BLOCKS; i++) {
		struct block *b = atomic_exchange(&j->spare_block[i], NULL);

		if (b)
			atomic_fetch_sub(&j->bytes, sizeof(*b)), free_fn(b);
	}
	for (int i = 0; i < SPARE_SEGMENTS; i++) {
		struct segment *s = atomic_exchange(&j->spare_segment[i], NULL);

		if (s)
			atomic_fetch_sub(&j->bytes, s->size), free_fn(s);
	}
	atomic_store(&j->released, head);
	atomic_store(&j->lost, 0);
}

void journal_free(struct journal *j)
{
	if (!j)
		return;
	assert(!j->readers);
	pthread_mutex_destroy(&j->release_lock);
	free(j);
}

void journal_set_high_bytes(struct journal *j, size_t bytes)
{
	/* Spares and half-filled segments are never given back: below them admission would end for ever. */
	if (bytes < MIN_HIGH_BYTES)
		bytes = MIN_HIGH_BYTES;
	atomic_store_explicit(&j->high_bytes, bytes, memory_order_relaxed);
}

void journal_set_room(struct journal *j, void (*room)(void *ctx), void *ctx)
{
	j->room = room;
	j->room_ctx = ctx;
}

uint64_t journal_tail(const struct journal *j)
{
	return atomic_load_explicit(&j->head, memory_order_acquire);
}

uint64_t journal_lost(const struct journal *j)
{
	return atomic_load_explicit(&j->lost, memory_order_acquire);
}

size_t journal_memory(const struct journal *j)
{
	return atomic_load_explicit(&j->bytes, memory_order_relaxed);
}

/* ---------------------------------------------------------------- producers */

static bool below(struct journal *j, uint64_t records, size_t bytes)
{
	uint64_t out = atomic_load_explicit(&j->head, memory_order_relaxed) -
	               atomic_load_explicit(&j->released, memory_order_relaxed);

	return (int64_t)out < (int64_t)records && atomic_load_explicit(&j->bytes, memory_order_relaxed) < bytes;
}

static bool below_high(struct journal *j)
{
	return below(j, j->high_records, atomic_load_explicit(&j->high_bytes, memory_order_relaxed));
}

bool journal_admit_active(struct journal *j)
{
	if (__builtin_expect(!atomic_load_explicit(&j->spare_block[RESERVE - 1], memory_order_relaxed) ||
	                     !atomic_load_explicit(&j->spare_segment[RESERVE - 1], memory_order_relaxed), 0))
		refill(j);
	if (__builtin_expect(below_high(j), 1))
		return true;
	/* Either the reader that makes room sees the mark and calls room(), or its release is seen here. */
	atomic_exchange_explicit(&j->refused, true, memory_order_acq_rel);
	return below_high(j);
}

static _Thread_local struct {
	uint64_t serial, thread;
	struct producer *producer;
} here;

/* This thread's producer of j, made at its first append. NULL: out of memory. */
static __attribute__((noinline)) struct producer *producer_find(struct journal *j)
{
	static _Atomic uint64_t threads;
	struct producer *p;

	if (!here.thread)
		here.thread = atomic_fetch_add(&threads, 1) + 1;
	for (p = atomic_load_explicit(&j->producers, memory_order_acquire); p; p = p->next)
		if (p->thread == here.thread)
			break;
	if (!p) {
		p = alloc_fn(LINE, sizeof(*p));
		if (!p)
			return NULL;
		memset(p, 0, sizeof(*p));
		p->thread = here.thread;
		p->next = atomic_load_explicit(&j->producers, memory_order_relaxed);
		while (!atomic_compare_exchange_weak_explicit(&j->producers, &p->next, p, memory_order_acq_rel,
		                                              memory_order_relaxed))
			;
	}
	here.serial = j->serial;
	here.producer = p;
	return p;
}

/* Room for len bytes when the current segment has none: a fresh one, or one of its own for a large payload. */
static __attribute__((noinline)) char *room_slow(struct journal *j, struct producer *p, size_t len)
{
	struct segment *s;
	size_t size;

	if (len >= SEGMENT_LARGE) {
		if (__builtin_add_overflow(len, sizeof(*s) + SEGMENT_SIZE - 1, &size))
			return NULL;
		s = segment_alloc(j, size & ~(SEGMENT_SIZE - 1));
		if (!s)
			return NULL;
		atomic_store_explicit(&s->live, 1, memory_order_relaxed);
		return s->data;
	}
	s = segment_take(j);
	if (!s)
		return NULL;
	if (p->segment)
		segment_drop(j, p->segment, SEGMENT_OPEN - p->appended);
	atomic_store_explicit(&s->live, SEGMENT_OPEN, memory_order_relaxed);
	p->segment = s;
	p->appended = 1;
	p->cur = s->data + ((len + 7) & ~(size_t)7);
	p->end = (char *)s + SEGMENT_SIZE;
	return s->data;
}

static __attribute__((noinline)) void lose(struct journal *j, uint64_t sequence)
{
	uint64_t lost = atomic_load_explicit(&j->lost, memory_order_relaxed);

	while ((!lost || sequence < lost) &&
	       !atomic_compare_exchange_weak_explicit(&j->lost, &lost, sequence, memory_order_acq_rel,
	                                              memory_order_relaxed))
		;
	atomic_store_explicit(&j->front.state, JOURNAL_BROKEN, memory_order_release);
}

/* The descriptor of a claimed sequence; NULL: out of memory. */
static inline struct slot *slot_of(struct journal *j, uint64_t sequence)
{
	_Atomic(struct block *) *place = &j->directory[sequence / BLOCK_SLOTS % DIRECTORY];
	struct block *b = atomic_load_explicit(place, memory_order_acquire);

	if (__builtin_expect(!b, 0)) {
		struct block *fresh = block_take(j);

		if (!fresh) {
			/* Another producer may have had more luck. */
			b = atomic_load_explicit(place, memory_order_acquire);
		} else {
			fresh->number = sequence / BLOCK_SLOTS;
			if (atomic_compare_exchange_strong_explicit(place, &b, fresh, memory_order_acq_rel, memory_order_acquire))
				b = fresh;
			else
				block_recycle(j, fresh);
		}
	}
	/* A number that differs: the directory is full of blocks nobody released. */
	return b && b->number == sequence / BLOCK_SLOTS ? &b->slot[sequence % BLOCK_SLOTS] : NULL;
}

/* Take back the room that a record which is lost had got. */
static void room_return(struct journal *j, struct producer *p, char *to)
{
	struct segment *s = segment_of(to);

	if (s == p->segment)
		p->appended--;
	else
		segment_drop(j, s, 1);
}

uint64_t journal_append(struct journal *j, unsigned db, unsigned commands, const void *payload, size_t len)
{
	int state = journal_state(j);
	struct producer *p = here.producer;
	uint64_t sequence;
	struct slot *slot;
	char *to = NULL;

	if (__builtin_expect(state == JOURNAL_IDLE, 1))
		return 0;
	if (__builtin_expect(here.serial != j->serial, 0))
		p = producer_find(j);
	if (__builtin_expect(p && payload && state == JOURNAL_ACTIVE, 1)) {
		to = p->cur;
		if (__builtin_expect(len < (size_t)(p->end - to) && len < SEGMENT_LARGE, 1)) {
			p->cur = to + ((len + 7) & ~(size_t)7);
			p->appended++;
		} else {
			to = room_slow(j, p, len);
		}
		if (__builtin_expect(to != NULL, 1))
			memcpy(to, payload, len);
	}
	/* The claim comes last, so that readers wait for a hole as short as possible. */
	sequence = atomic_fetch_add_explicit(&j->head, 1, memory_order_acq_rel) + 1;
	slot = to ? slot_of(j, sequence) : NULL;
	if (__builtin_expect(!slot, 0)) {
		if (to)
			room_return(j, p, to);
		lose(j, sequence);
		return sequence;
	}
	slot->payload = to;
	slot->len = len;
	slot->db = db;
	slot->commands = commands;
	atomic_store_explicit(&slot->ready, sequence, memory_order_release);
	return sequence;
}

static void futex_wake_all(struct journal *j)
{
	atomic_fetch_add_explicit(&j->signal, 1, memory_order_release);
	syscall(SYS_futex, &j->signal, FUTEX_WAKE_PRIVATE, INT_MAX, NULL, NULL, 0);
}

void journal_commit(struct journal *j)
{
	if (journal_state(j) == JOURNAL_IDLE)
		return;
	/* An exchange on both sides orders publishing before the test, and going to sleep before the last look. */
	if (atomic_exchange_explicit(&j->sleeping, 0, memory_order_acq_rel)) {
		futex_wake_all(j);
		return;
	}
	uint64_t patient = atomic_load(&j->patient);
	if (patient && atomic_load(&j->head) >= patient && atomic_compare_exchange_strong(&j->patient, &patient, 0))
		futex_wake_all(j);
}

/* ---------------------------------------------------------------- readers */

struct journal_reader *journal_subscribe(struct journal *j)
{
	struct journal_reader *r = calloc(1, sizeof(*r));

	if (!r)
		return NULL;
	r->journal = j;
	r->released = atomic_load(&j->head);
	r->at = r->released + 1;
	pthread_mutex_lock(&j->release_lock);
	if (!j->readers) {
		atomic_store(&j->released, r->released);
		/* Stale caches of producers that drain() freed. */
		j->serial = j->serial + ((uint64_t)1 << 32);
	}
	r->next = j->readers;
	j->readers = r;
	pthread_mutex_unlock(&j->release_lock);
	refill(j);
	if (atomic_load(&j->front.state) == JOURNAL_IDLE)
		atomic_store(&j->front.state, JOURNAL_ACTIVE);
	return r;
}

bool journal_next(struct journal_reader *r, struct journal_record *out)
{
	struct journal *j = r->journal;
	uint64_t s = r->at;
	struct slot *slot;

	if (__builtin_expect(!r->block || r->block->number != s / BLOCK_SLOTS, 0)) {
		r->block = atomic_load_explicit(&j->directory[s / BLOCK_SLOTS % DIRECTORY], memory_order_acquire);
		if (!r->block)
			return false;
		if (r->block->number != s / BLOCK_SLOTS) {
			r->block = NULL;
			return false;
		}
	}
	slot = &r->block->slot[s % BLOCK_SLOTS];
	if (atomic_load_explicit(&slot->ready, memory_order_acquire) != s)
		return false;
	*out = (struct journal_record){ .sequence = s, .db = slot->db, .commands = slot->commands,
	                                .payload = slot->payload, .len = slot->len };
	r->at = s + 1;
	if (r->at % BLOCK_SLOTS == 0)
		r->block = NULL;
	return true;
}

void journal_rewind(struct journal_reader *r)
{
	r->at = r->released + 1;
	r->block = NULL;
}

/* Free what all readers released: records (from, to]. */
static void release_range(struct journal *j, uint64_t from, uint64_t to)
{
	struct segment *s = NULL;
	int64_t n = 0;

	for (uint64_t i = from + 1; i <= to; i++) {
		_Atomic(struct block *) *place = &j->directory[i / BLOCK_SLOTS % DIRECTORY];
		struct block *b = atomic_load_explicit(place, memory_order_relaxed);
		struct segment *of = segment_of(b->slot[i % BLOCK_SLOTS].payload);

		if (of != s) {
			if (s)
				segment_drop(j, s, n);
			s = of;
			n = 0;
		}
		n++;
		if ((i + 1) % BLOCK_SLOTS == 0) {
			atomic_store_explicit(place, NULL, memory_order_release);
			block_recycle(j, b);
		}
	}
	if (s)
		segment_drop(j, s, n);
}

static void release_locked(struct journal *j)
{
	uint64_t old = atomic_load_explicit(&j->released, memory_order_relaxed), low = UINT64_MAX;

	for (struct journal_reader *r = j->readers; r; r = r->next)
		if (r->released < low)
			low = r->released;
	if (!j->readers || low <= old)
		return;
	release_range(j, old, low);
	atomic_store_explicit(&j->released, low, memory_order_release);
}

void journal_release(struct journal_reader *r, uint64_t sequence)
{
	struct journal *j = r->journal;
	size_t high_bytes = atomic_load_explicit(&j->high_bytes, memory_order_relaxed);

	assert(sequence < r->at);
	pthread_mutex_lock(&j->release_lock);
	if (sequence > r->released) {
		r->released = sequence;
		release_locked(j);
	}
	pthread_mutex_unlock(&j->release_lock);
	if (below(j, j->low_records, high_bytes - high_bytes / 4) &&
	    atomic_exchange_explicit(&j->refused, false, memory_order_acq_rel) && j->room)
		j->room(j->room_ctx);
}

void journal_unsubscribe(struct journal_reader *r)
{
	struct journal *j;
	struct journal_reader **at;

	if (!r)
		return;
	j = r->journal;
	pthread_mutex_lock(&j->release_lock);
	for (at = &j->readers; *at != r; at = &(*at)->next)
		;
	*at = r->next;
	if (j->readers)
		release_locked(j);
	pthread_mutex_unlock(&j->release_lock);
	if (!j->readers) {
		atomic_store(&j->front.state, JOURNAL_IDLE);
		drain(j);
	}
	if (atomic_exchange(&j->refused, false) && j->room)
		j->room(j->room_ctx);
	free(r);
}

static bool readable(struct journal_reader *r)
{
	struct block *b = atomic_load_explicit(&r->journal->directory[r->at / BLOCK_SLOTS % DIRECTORY],
	                                       memory_order_acquire);

	return b && atomic_load_explicit(&b->slot[r->at % BLOCK_SLOTS].ready, memory_order_acquire) == r->at;
}

void journal_wait(struct journal_reader *r)
{
	struct journal *j = r->journal;
	struct timespec limit = { .tv_nsec = (long)WAIT_MS * 1000000 };
	uint32_t signal = atomic_load_explicit(&j->signal, memory_order_acquire);

	atomic_exchange_explicit(&j->sleeping, 1, memory_order_acq_rel);
	if (!readable(r) && !atomic_exchange_explicit(&r->woken, false, memory_order_acq_rel))
		syscall(SYS_futex, &j->signal, FUTEX_WAIT_PRIVATE, signal, &limit, NULL, 0);
	atomic_store_explicit(&r->woken, false, memory_order_relaxed);
}

static int64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

void journal_wait_for(struct journal_reader *r, uint64_t sequence, int64_t limit_us)
{
	struct journal *j = r->journal;
	int64_t end = now_ns() + limit_us * 1000, left;

	atomic_store(&j->patient, sequence);
	for (;;) {
		uint32_t signal = atomic_load_explicit(&j->signal, memory_order_acquire);

		if (atomic_load(&j->head) >= sequence || atomic_exchange_explicit(&r->woken, false, memory_order_acq_rel) ||
		    (left = end - now_ns()) <= 0)
			break;
		struct timespec limit = { .tv_sec = left / 1000000000, .tv_nsec = left % 1000000000 };
		syscall(SYS_futex, &j->signal, FUTEX_WAIT_PRIVATE, signal, &limit, NULL, 0);
	}
	atomic_store(&j->patient, 0);
}

void journal_wake(struct journal_reader *r)
{
	atomic_exchange_explicit(&r->woken, true, memory_order_acq_rel);
	futex_wake_all(r->journal);
}
