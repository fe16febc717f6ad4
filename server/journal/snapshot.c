/* snapshot: see snapshot.h. */
#include "server/journal/snapshot.h"

#include <errno.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "server/dispatch.h"
#include "server/exec.h"
#include "server/worker.h"

#define WRITER_NICE 5
#define STEP_US 250 /* of a loop's time, once a millisecond */

/*
 * What goes to the writer thread: a chunk of bytes, or a frozen value. Loops never wait for the writer, not even for a
 * mutex that it might hold while it has no processor: the queue is a stack that the writer takes whole, and chunks come
 * back by another one, so that the allocator's locks stay out of it, too.
 */
struct item {
	struct item *next;
	struct store_frozen *frozen; /* NULL: bytes */
	uint32_t db;
	size_t len, cap;
	char bytes[];
};

/* What one loop has gathered. The last one is of whoever is no loop. */
struct part {
	_Alignas(64) struct snapshot_buf buf;
	struct item *spare; /* chunks to be used again */
	_Atomic uint64_t keys;
	atomic_bool done;
};

static struct {
	atomic_bool running;
	struct snapshot_request request;
	struct store_snapshot *cut; /* NULL: its walk has ended; changes only alone */
	struct part *parts;
	unsigned loops;
	uint64_t total;
	atomic_int err;        /* the first one */
	atomic_bool discard;   /* nothing of it is wanted any more */
	atomic_bool finished;  /* the writer thread is at its end */
	/* the queue */
	pthread_t writer;
	struct item *_Atomic pushed, *_Atomic spare;
	atomic_bool closed;
	_Atomic size_t bytes; /* in the queue */
	sem_t filled, drained;
	pthread_mutex_t mutex; /* parts, against INFO */
} snap = { .mutex = PTHREAD_MUTEX_INITIALIZER };

static void set_error(int err)
{
	int none = 0;
	atomic_compare_exchange_strong(&snap.err, &none, err);
	atomic_store(&snap.discard, true);
}

/* ------------------------------------------------------------------ chunks */

static struct item *item_of(char *bytes)
{
	return (struct item *)(void *)(bytes - offsetof(struct item, bytes));
}

char *snapshot_buf_room(struct snapshot_buf *b, size_t n)
{
	size_t need, cap = b->cap ? b->cap : b->small ? 512 : SNAPSHOT_CHUNK + 4096;
	if (__builtin_expect(!__builtin_add_overflow(b->len, n, &need) && need <= b->cap, 1))
		return b->p + b->len;
	while (cap < need && cap <= SIZE_MAX / 4)
		cap *= 2;
	struct item *it = cap < need ? NULL : realloc(b->p ? item_of(b->p) : NULL, sizeof *it + cap);
	if (!it) {
		b->failed = true;
		return NULL;
	}
	b->p = it->bytes;
	b->cap = cap;
	return b->p + b->len;
}

void snapshot_buf_clear(struct snapshot_buf *b)
{
	if (b->p)
		free(item_of(b->p));
	*b = (struct snapshot_buf){ .db = SNAPSHOT_NO_DB };
}

static void stack_push(struct item *_Atomic *top, struct item *it)
{
	it->next = atomic_load_explicit(top, memory_order_relaxed);
	while (!atomic_compare_exchange_weak_explicit(top, &it->next, it, memory_order_release, memory_order_relaxed))
		;
}

static struct item *stack_take_all(struct item *_Atomic *top)
{
	return atomic_exchange_explicit(top, NULL, memory_order_acquire);
}

/* An empty buffer, from a chunk that came back if there is one. */
static void renew(struct part *p)
{
	p->buf = (struct snapshot_buf){ .db = SNAPSHOT_NO_DB };
	if (!p->spare)
		p->spare = stack_take_all(&snap.spare);
	struct item *it = p->spare;
	if (!it)
		return;
	p->spare = it->next;
	p->buf.p = it->bytes;
	p->buf.cap = it->cap;
}

static void free_all(struct item *it)
{
	for (struct item *next; it; it = next) {
		next = it->next;
		free(it);
	}
}

/* ------------------------------------------------------------------ queue */

/* Never waits: locks of shards may be held. */
static void push(struct item *it)
{
	atomic_fetch_add(&snap.bytes, it->len);
	stack_push(&snap.pushed, it);
	sem_post(&snap.filled);
}

/* All that is there, oldest first; NULL: the queue was closed. */
static struct item *pull(void)
{
	for (;;) {
		bool closed = atomic_load(&snap.closed);
		struct item *taken = stack_take_all(&snap.pushed), *first = NULL, *next;
		for (; taken; taken = next) {
			next = taken->next;
			taken->next = first;
			first = taken;
		}
		if (first || closed)
			return first;
		while (sem_wait(&snap.filled) && errno == EINTR)
			;
	}
}

static void close_queue(void)
{
	atomic_store(&snap.closed, true);
	sem_post(&snap.filled);
}

static void give_back(struct item *it)
{
	size_t len = it->len;
	if (it->frozen)
		store_frozen_release(it->frozen);
	if (it->frozen || it->cap > 2 * SNAPSHOT_CHUNK)
		free(it);
	else
		stack_push(&snap.spare, it);
	atomic_fetch_sub(&snap.bytes, len);
}

/* ------------------------------------------------------------------ the writer thread */

static int consume(const struct item *it)
{
	const struct snapshot_request *r = &snap.request;
	if (it->frozen)
		return r->format->large(r->ctx, it->db, store_frozen_entry(it->frozen));
	return r->format->chunk(r->ctx, it->bytes, it->len, it->db);
}

static void *write_all(void *arg)
{
	const struct snapshot_request *r = &snap.request;
	(void)arg;
	/* Where processors are short the clients go first; the walk waits for this thread, never the other way round. */
	setpriority(PRIO_PROCESS, (id_t)syscall(SYS_gettid), WRITER_NICE);
	int err = r->format->begin(r->ctx);
	if (err)
		set_error(err);
	for (struct item *batch, *it; (batch = pull());) {
		while ((it = batch)) {
			batch = it->next;
			err = atomic_load(&snap.discard) ? 0 : consume(it);
			if (err)
				set_error(err);
			give_back(it);
		}
		sem_post(&snap.drained);
	}
	err = atomic_load(&snap.discard) ? 0 : r->format->end(r->ctx);
	if (err)
		set_error(err);
	if (atomic_load(&snap.err))
		r->format->drop(r->ctx);
	atomic_store(&snap.finished, true);
	return NULL;
}

/* ------------------------------------------------------------------ what the store gives */

static struct part *my_part(void)
{
	return &snap.parts[worker_current ? worker_current->index : snap.loops];
}

static void flush_part(struct part *p)
{
	struct snapshot_buf *b = &p->buf;
	if (b->failed)
		set_error(-ENOMEM);
	if (!b->len || atomic_load(&snap.discard)) {
		b->len = 0;
		b->db = SNAPSHOT_NO_DB;
		return;
	}
	struct item *it = item_of(b->p);
	it->frozen = NULL;
	it->db = b->db;
	it->len = b->len;
	it->cap = b->cap;
	push(it);
	renew(p);
}

static void count_key(struct part *p)
{
	atomic_store_explicit(&p->keys, atomic_load_explicit(&p->keys, memory_order_relaxed) + 1, memory_order_relaxed);
}

static void take_entry(void *ctx, unsigned db, const struct store_key *key, const struct entry *e)
{
	struct part *p = my_part();
	(void)ctx, (void)key;
	count_key(p);
	if (atomic_load_explicit(&snap.discard, memory_order_relaxed))
		return;
	snap.request.format->entry(snap.request.ctx, &p->buf, db, e);
	if (__builtin_expect(p->buf.len >= SNAPSHOT_CHUNK || p->buf.failed, 0))
		flush_part(p);
}

static void take_frozen(void *ctx, unsigned db, struct store_frozen *f)
{
	(void)ctx;
	count_key(my_part());
	struct item *it = atomic_load(&snap.discard) ? NULL : malloc(sizeof *it);
	if (!it) {
		if (!atomic_load(&snap.discard))
			set_error(-ENOMEM);
		store_frozen_release(f);
		return;
	}
	*it = (struct item){ .frozen = f, .db = db, .len = store_frozen_bytes(f) };
	push(it);
}

static bool is_full(void *ctx)
{
	(void)ctx;
	return atomic_load_explicit(&snap.bytes, memory_order_relaxed) > SNAPSHOT_QUEUE_MAX;
}

/* ------------------------------------------------------------------ beginning and ending */

/* Kept from one snapshot to the next: INFO may look at any time. */
static bool make_parts(unsigned loops)
{
	if (!snap.parts || snap.loops != loops) {
		struct part *parts = aligned_alloc(64, (loops + 1) * sizeof *parts);
		if (!parts)
			return false;
		pthread_mutex_lock(&snap.mutex);
		free(snap.parts);
		snap.parts = parts;
		snap.loops = loops;
		memset(parts, 0, (loops + 1) * sizeof *parts);
		pthread_mutex_unlock(&snap.mutex);
	}
	for (unsigned i = 0; i <= loops; i++) {
		snap.parts[i].buf = (struct snapshot_buf){ .db = SNAPSHOT_NO_DB };
		snap.parts[i].spare = NULL;
		atomic_store(&snap.parts[i].keys, 0);
		atomic_store(&snap.parts[i].done, false);
	}
	return true;
}

static void end_cut(void)
{
	if (!snap.cut)
		return; /* loops that are not parked may be reading it */
	store_snapshot_end(snap.cut);
	snap.cut = NULL;
}

static int begin(struct store *s, unsigned loops, const struct snapshot_request *r)
{
	struct store_snapshot_sink sink = { .entry = take_entry, .frozen = take_frozen, .large_bytes = SNAPSHOT_LARGE,
		                            .full = is_full };
	int err = 0;
	if (atomic_load(&snap.running))
		return -EBUSY;
	if (!make_parts(loops))
		return -ENOMEM;
	snap.request = *r;
	atomic_store(&snap.closed, false);
	sem_init(&snap.filled, 0, 0);
	sem_init(&snap.drained, 0, 0);
	atomic_store(&snap.bytes, 0);
	snap.total = 0;
	for (unsigned db = 0; db < store_dbs(s); db++)
		snap.total += store_count(s, db);
	atomic_store(&snap.err, 0);
	atomic_store(&snap.discard, false);
	atomic_store(&snap.finished, false);
	snap.cut = store_snapshot_begin(s, &sink, &err);
	if (!err && pthread_create(&snap.writer, NULL, write_all, NULL)) {
		end_cut();
		err = -EAGAIN;
	}
	if (!err) {
		atomic_store(&snap.running, true);
		dispatch_set_gate(GATE_SNAPSHOT, true);
	}
	return err;
}

/* Everything was walked, or is given up: the writer gets the rest and goes to its end. [alone] */
static void close_cut(void)
{
	for (unsigned i = 0; i <= snap.loops; i++)
		flush_part(&snap.parts[i]);
	close_queue();
}

/* Wait for the writer thread, which is at its end or goes there. Alone unless the cut has ended already. */
static void conclude(void)
{
	pthread_join(snap.writer, NULL);
	end_cut(); /* all that was frozen has come back by now */
	for (unsigned i = 0; i <= snap.loops; i++) {
		snapshot_buf_clear(&snap.parts[i].buf);
		free_all(snap.parts[i].spare);
	}
	free_all(stack_take_all(&snap.spare));
	sem_destroy(&snap.filled);
	sem_destroy(&snap.drained);
	struct snapshot_request r = snap.request;
	int err = atomic_load(&snap.err);
	atomic_store(&snap.running, false);
	dispatch_set_gate(GATE_SNAPSHOT, false);
	if (r.done)
		r.done(r.ctx, err);
}

int snapshot_start(struct store *s, unsigned loops, const struct snapshot_request *r)
{
	return begin(s, loops, r);
}

static void wait_for_room(void)
{
	while (atomic_load(&snap.bytes) > SNAPSHOT_QUEUE_MAX / 2)
		sem_wait(&snap.drained); /* an interrupted wait looks again */
}

int snapshot_run(struct store *s, unsigned loops, const struct snapshot_request *r)
{
	int err = begin(s, loops, r);
	if (err)
		return err;
	for (unsigned i = 0; i < loops; i++) {
		while (!atomic_load(&snap.discard)) {
			store_snapshot_step_alone(snap.cut, i, INT64_MAX / 2);
			if (store_snapshot_walked(snap.cut, i))
				break;
			wait_for_room();
		}
	}
	close_cut();
	conclude();
	return 0;
}

void snapshot_abort(void)
{
	if (!atomic_load(&snap.running))
		return;
	set_error(-ECANCELED);
	if (snap.cut)
		close_cut();
	conclude();
}

bool snapshot_running(void)
{
	return atomic_load(&snap.running);
}

bool snapshot_aborting(void)
{
	return atomic_load(&snap.discard);
}

void snapshot_progress(uint64_t *total, uint64_t *done)
{
	*total = *done = 0;
	pthread_mutex_lock(&snap.mutex);
	if (snap.parts && atomic_load(&snap.running)) {
		*total = snap.total;
		for (unsigned i = 0; i <= snap.loops; i++)
			*done += atomic_load_explicit(&snap.parts[i].keys, memory_order_relaxed);
	}
	pthread_mutex_unlock(&snap.mutex);
}

/* ------------------------------------------------------------------ the loops' part */

static bool all_done(void)
{
	for (unsigned i = 0; i < snap.loops; i++)
		if (!atomic_load(&snap.parts[i].done))
			return false;
	return true;
}

/* Loop 0 sees to the end of a walk and to the end of the writer. */
static void tend(void)
{
	if (atomic_load(&snap.discard) || (snap.cut && all_done())) {
		exec_alone_begin(0);
		/* Somebody else may have aborted it while we waited for the others to park. */
		if (atomic_load(&snap.running) && snap.cut) {
			close_cut();
			if (atomic_load(&snap.discard))
				conclude();
			else
				end_cut();
		}
		exec_alone_end(0);
	}
	if (atomic_load(&snap.running) && !snap.cut && atomic_load(&snap.finished))
		conclude();
}

bool snapshot_tick(unsigned loop)
{
	if (!atomic_load_explicit(&snap.running, memory_order_acquire))
		return false;
	/* The cut begins and ends only while all loops are parked, so it stays what it is during this step. */
	if (snap.cut && !atomic_load(&snap.discard) && !atomic_load(&snap.parts[loop].done) &&
	    store_snapshot_step(snap.cut, loop, STEP_US))
		atomic_store(&snap.parts[loop].done, true);
	if (loop == 0)
		tend();
	return true;
}
