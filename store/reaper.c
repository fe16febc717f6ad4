/* reaper: frees large detached values on a thread of its own, started when first needed. */
#include <pthread.h>
#include <signal.h>

#include "store/entry_build.h"
#include "store/memory.h"
#include "store/shard.h"

enum work_kind { WORK_VALUE, WORK_BLOB, WORK_TABLE };

struct work {
	struct work *next;
	enum work_kind kind;
	enum store_type_id type;
	unsigned encoding;
	void *value;
	struct table table;
};

struct reaper {
	pthread_mutex_t lock;
	pthread_cond_t wake, idle;
	pthread_t thread;
	bool started, stop;
	struct work *first, **last;
	uint64_t pending; /* objects queued or being freed; relaxed atomic */
	uint64_t freed;
};

struct reaper *reaper_new(void)
{
	struct reaper *r = mem_calloc(sizeof *r);
	if (!r)
		return NULL;
	pthread_mutex_init(&r->lock, NULL);
	pthread_cond_init(&r->wake, NULL);
	pthread_cond_init(&r->idle, NULL);
	r->last = &r->first;
	return r;
}

static uint64_t work_objects(const struct work *w)
{
	return w->kind == WORK_TABLE ? w->table.keys : 1;
}

static void work_do(struct work *w)
{
	switch (w->kind) {
	case WORK_VALUE:
		store_types[w->type]->free(w->encoding, w->value);
		break;
	case WORK_BLOB:
		blob_unref(w->value);
		break;
	case WORK_TABLE:
		table_free_all(&w->table);
		break;
	}
}

static void *reaper_run(void *arg)
{
	struct reaper *r = arg;
	pthread_mutex_lock(&r->lock);
	for (;;) {
		struct work *w = r->first;
		if (!w) {
			pthread_cond_broadcast(&r->idle);
			if (r->stop)
				break;
			pthread_cond_wait(&r->wake, &r->lock);
			continue;
		}
		pthread_mutex_unlock(&r->lock);
		uint64_t n = work_objects(w);
		work_do(w);
		pthread_mutex_lock(&r->lock);
		/* Unlinked only now, so that an empty queue means that nothing is being freed either. */
		r->first = w->next;
		if (!r->first)
			r->last = &r->first;
		TABLE_PUBLISH(r->pending, r->pending - n);
		TABLE_PUBLISH(r->freed, r->freed + n);
		mem_free(w);
	}
	pthread_mutex_unlock(&r->lock);
	return NULL;
}

/* Signals are for the embedding program's threads. */
static bool reaper_start(struct reaper *r)
{
	sigset_t all, old;
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	r->started = pthread_create(&r->thread, NULL, reaper_run, r) == 0;
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	return r->started;
}

static bool reaper_push(struct reaper *r, const struct work *what)
{
	struct work *w = mem_alloc(sizeof *w);
	if (!w)
		return false;
	*w = *what;
	w->next = NULL;
	pthread_mutex_lock(&r->lock);
	bool ok = r->started || reaper_start(r);
	if (ok) {
		*r->last = w;
		r->last = &w->next;
		TABLE_PUBLISH(r->pending, r->pending + work_objects(w));
		pthread_cond_signal(&r->wake);
	}
	pthread_mutex_unlock(&r->lock);
	if (!ok)
		mem_free(w);
	return ok;
}

bool reaper_push_value(struct reaper *r, enum store_type_id type, unsigned encoding, void *value)
{
	return reaper_push(r, &(struct work){ .kind = WORK_VALUE, .type = type, .encoding = encoding, .value = value });
}

bool reaper_push_blob(struct reaper *r, struct blob *b)
{
	return reaper_push(r, &(struct work){ .kind = WORK_BLOB, .value = b });
}

bool reaper_push_table(struct reaper *r, const struct table *t)
{
	return reaper_push(r, &(struct work){ .kind = WORK_TABLE, .table = *t });
}

void reaper_stats(struct reaper *r, uint64_t *pending, uint64_t *freed)
{
	*pending = TABLE_READ(r->pending);
	*freed = TABLE_READ(r->freed);
}

void reaper_drain(struct reaper *r)
{
	pthread_mutex_lock(&r->lock);
	while (r->first)
		pthread_cond_wait(&r->idle, &r->lock);
	pthread_mutex_unlock(&r->lock);
}

void reaper_free(struct reaper *r)
{
	if (!r)
		return;
	pthread_mutex_lock(&r->lock);
	r->stop = true;
	bool started = r->started;
	pthread_cond_signal(&r->wake);
	pthread_mutex_unlock(&r->lock);
	if (started)
		pthread_join(r->thread, NULL);
	pthread_cond_destroy(&r->idle);
	pthread_cond_destroy(&r->wake);
	pthread_mutex_destroy(&r->lock);
	mem_free(r);
}
