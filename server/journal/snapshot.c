/* snapshot: see snapshot.h. */
#include "server/journal/snapshot.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "server/exec.h"
#include "server/worker.h"

#define STEP_US 250 /* of a loop's time, once a millisecond */

struct item {
	struct item *next;
	struct store_frozen *frozen; /* or bytes */
	uint32_t db;
	size_t len;
	char *bytes;
};

/* What one loop has gathered. The last one is of whoever is no loop. */
struct part {
	_Alignas(64) struct snapshot_buf buf;
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
	pthread_mutex_t mutex;
	pthread_cond_t filled, drained;
	struct item *first, **last;
	bool closed;
	_Atomic size_t bytes; /* in the queue */
} snap = { .mutex = PTHREAD_MUTEX_INITIALIZER, .filled = PTHREAD_COND_INITIALIZER, .drained = PTHREAD_COND_INITIALIZER };

static void set_error(int err)
{
	int none = 0;
	atomic_compare_exchange_strong(&snap.err, &none, err);
	atomic_store(&snap.discard, true);
}

char *snapshot_buf_room(struct snapshot_buf *b, size_t n)
{
	size_t need, cap = b->cap ? b->cap : SNAPSHOT_CHUNK + 4096;
	if (__builtin_expect(!__builtin_add_overflow(b->len, n, &need) && need <= b->cap, 1))
		return b->p + b->len;
	while (cap < need && cap <= SIZE_MAX / 2)
		cap *= 2;
	char *p = cap < need ? NULL : realloc(b->p, cap);
	if (!p) {
		b->failed = true;
		return NULL;
	}
	b->p = p;
	b->cap = cap;
	return p + b->len;
}

/* ------------------------------------------------------------------ queue */

/* Never waits: locks of shards may be held. */
static void push(struct item *it)
{
	it->next = NULL;
	pthread_mutex_lock(&snap.mutex);
	*snap.last = it;
	snap.last = &it->next;
	atomic_fetch_add(&snap.bytes, it->len);
	pthread_cond_signal(&snap.filled);
	pthread_mutex_unlock(&snap.mutex);
}

static struct item *pull(void)
{
	pthread_mutex_lock(&snap.mutex);
	while (!snap.first && !snap.closed)
		pthread_cond_wait(&snap.filled, &snap.mutex);
	struct item *it = snap.first;
	if (it && !(snap.first = it->next))
		snap.last = &snap.first;
	pthread_mutex_unlock(&snap.mutex);
	return it;
}

static void close_queue(void)
{
	pthread_mutex_lock(&snap.mutex);
	snap.closed = true;
	pthread_cond_signal(&snap.filled);
	pthread_mutex_unlock(&snap.mutex);
}

static void free_item(struct item *it)
{
	if (it->frozen)
		store_frozen_release(it->frozen);
	free(it->bytes);
	free(it);
}

/* ------------------------------------------------------------------ the writer thread */

static int consume(const struct item *it)
{
	const struct snapshot_request *r = &snap.request;
	if (it->frozen)
		return r->format->large(r->ctx, it->db, store_frozen_entry(it->frozen));
	return r->format->chunk(r->ctx, it->bytes, it->len);
}

static void *write_all(void *arg)
{
	const struct snapshot_request *r = &snap.request;
	(void)arg;
	int err = r->format->begin(r->ctx);
	if (err)
		set_error(err);
	for (struct item *it; (it = pull());) {
		size_t len = it->len;
		err = atomic_load(&snap.discard) ? 0 : consume(it);
		if (err)
			set_error(err);
		free_item(it);
		pthread_mutex_lock(&snap.mutex);
		atomic_fetch_sub(&snap.bytes, len);
		pthread_cond_signal(&snap.drained);
		pthread_mutex_unlock(&snap.mutex);
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
	struct item *it = malloc(sizeof *it);
	if (!it) {
		set_error(-ENOMEM);
		return;
	}
	*it = (struct item){ .len = b->len, .bytes = b->p };
	*b = (struct snapshot_buf){ .db = SNAPSHOT_NO_DB };
	push(it);
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
		atomic_store(&snap.parts[i].keys, 0);
		atomic_store(&snap.parts[i].done, false);
	}
	return true;
}

static void end_cut(void)
{
	if (snap.cut)
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
	snap.first = NULL;
	snap.last = &snap.first;
	snap.closed = false;
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
	if (!err)
		atomic_store(&snap.running, true);
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
	for (unsigned i = 0; i <= snap.loops; i++)
		free(snap.parts[i].buf.p);
	struct snapshot_request r = snap.request;
	int err = atomic_load(&snap.err);
	atomic_store(&snap.running, false);
	if (r.done)
		r.done(r.ctx, err);
}

int snapshot_start(struct store *s, unsigned loops, const struct snapshot_request *r)
{
	return begin(s, loops, r);
}

static void wait_for_room(void)
{
	pthread_mutex_lock(&snap.mutex);
	while (atomic_load(&snap.bytes) > SNAPSHOT_QUEUE_MAX / 2)
		pthread_cond_wait(&snap.drained, &snap.mutex);
	pthread_mutex_unlock(&snap.mutex);
}

int snapshot_run(struct store *s, unsigned loops, const struct snapshot_request *r)
{
	int err = begin(s, loops, r);
	if (err)
		return err;
	for (unsigned i = 0; i < loops; i++) {
		while (!atomic_load(&snap.discard)) {
			store_snapshot_step(snap.cut, i, INT64_MAX / 2);
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
