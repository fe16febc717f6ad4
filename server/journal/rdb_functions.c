/* rdb_functions: see rdb_functions.h. */
#include "server/journal/rdb_functions.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

struct source {
	struct rdb_library lib; /* what others see; first */
	struct source *next;
	atomic_uint refs;
	char code[];
};

struct rdb_functions_cut {
	size_t n;
	struct source *v[];
};

static struct source *first, **last = &first;
static size_t count;
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static const char *(*on_load)(const void *code, size_t len, bool replace);

static void unref(struct source *s)
{
	if (atomic_fetch_sub(&s->refs, 1) == 1)
		free(s);
}

struct rdb_library *rdb_library_new(const void *code, size_t len)
{
	struct source *s = len < SIZE_MAX - sizeof *s ? malloc(sizeof *s + len) : NULL;
	if (!s)
		return NULL;
	s->lib = (struct rdb_library){ len, s->code };
	atomic_init(&s->refs, 1);
	memcpy(s->code, code, len);
	return &s->lib;
}

void rdb_library_free(struct rdb_library *lib)
{
	if (lib)
		unref((struct source *)lib);
}

void rdb_functions_add(struct rdb_library *lib)
{
	struct source *s = (struct source *)lib;
	pthread_mutex_lock(&mutex);
	s->next = NULL;
	atomic_fetch_add(&s->refs, 1);
	*last = s;
	last = &s->next;
	count++;
	pthread_mutex_unlock(&mutex);
}

void rdb_functions_remove(struct rdb_library *lib)
{
	struct source *s;
	pthread_mutex_lock(&mutex);
	for (struct source **at = &first; (s = *at); at = &s->next) {
		if (&s->lib != lib)
			continue;
		*at = s->next;
		if (last == &s->next)
			last = at;
		count--;
		unref(s);
		break;
	}
	pthread_mutex_unlock(&mutex);
}

void rdb_functions_clear(void)
{
	pthread_mutex_lock(&mutex);
	for (struct source *s = first, *next; s; s = next) {
		next = s->next;
		unref(s);
	}
	first = NULL;
	last = &first;
	count = 0;
	pthread_mutex_unlock(&mutex);
}

size_t rdb_functions_count(void)
{
	pthread_mutex_lock(&mutex);
	size_t n = count;
	pthread_mutex_unlock(&mutex);
	return n;
}

struct rdb_functions_cut *rdb_functions_cut(void)
{
	pthread_mutex_lock(&mutex);
	struct rdb_functions_cut *cut = malloc(sizeof *cut + count * sizeof cut->v[0]);
	if (cut) {
		cut->n = 0;
		for (struct source *s = first; s; s = s->next) {
			atomic_fetch_add(&s->refs, 1);
			cut->v[cut->n++] = s;
		}
	}
	pthread_mutex_unlock(&mutex);
	return cut;
}

void rdb_functions_each(const struct rdb_functions_cut *cut, void (*fn)(void *ctx, const void *code, size_t len), void *ctx)
{
	for (size_t i = 0; i < cut->n; i++)
		fn(ctx, cut->v[i]->code, cut->v[i]->lib.len);
}

void rdb_functions_free(struct rdb_functions_cut *cut)
{
	if (!cut)
		return;
	for (size_t i = 0; i < cut->n; i++)
		unref(cut->v[i]);
	free(cut);
}

void rdb_functions_on_load(const char *(*fn)(const void *code, size_t len, bool replace))
{
	on_load = fn;
}

const char *rdb_functions_load(const void *code, size_t len, bool replace)
{
	if (on_load)
		return on_load(code, len, replace);
	struct rdb_library *lib = rdb_library_new(code, len);
	if (!lib)
		return "out of memory";
	rdb_functions_add(lib);
	rdb_library_free(lib);
	return NULL;
}
