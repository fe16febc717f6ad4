/* rdb_functions: see rdb_functions.h. */
#include "server/journal/rdb_functions.h"

#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

struct library {
	struct library *next;
	size_t len;
	char code[];
};

static struct library *first, **last = &first;
static size_t count;
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;

bool rdb_functions_add(const void *code, size_t len)
{
	struct library *l = len < SIZE_MAX - sizeof *l ? malloc(sizeof *l + len) : NULL;
	if (!l)
		return false;
	l->next = NULL;
	l->len = len;
	memcpy(l->code, code, len);
	pthread_mutex_lock(&mutex);
	*last = l;
	last = &l->next;
	count++;
	pthread_mutex_unlock(&mutex);
	return true;
}

void rdb_functions_each(void (*fn)(void *ctx, const void *code, size_t len), void *ctx)
{
	pthread_mutex_lock(&mutex);
	for (const struct library *l = first; l; l = l->next)
		fn(ctx, l->code, l->len);
	pthread_mutex_unlock(&mutex);
}

void rdb_functions_clear(void)
{
	pthread_mutex_lock(&mutex);
	for (struct library *l = first, *next; l; l = next) {
		next = l->next;
		free(l);
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
