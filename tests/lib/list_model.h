/*
 * list_model: an array of texts, in which tests do what a list is to do.
 */
#ifndef TESTS_LIB_LIST_MODEL_H
#define TESTS_LIB_LIST_MODEL_H

#include <stdlib.h>
#include <string.h>

struct text {
	char *s;
	size_t len;
};

struct model {
	struct text *t;
	size_t n, cap;
};

static inline void model_insert(struct model *m, size_t at, const char *s, size_t len)
{
	if (m->n == m->cap)
		m->t = realloc(m->t, (m->cap = m->cap ? m->cap * 2 : 64) * sizeof *m->t);
	memmove(m->t + at + 1, m->t + at, (m->n++ - at) * sizeof *m->t);
	m->t[at].s = malloc(len + 1);
	memcpy(m->t[at].s, s, len);
	m->t[at].len = len;
}

static inline void model_delete(struct model *m, size_t at, size_t n)
{
	if (!n)
		return;
	for (size_t i = 0; i < n; i++)
		free(m->t[at + i].s);
	memmove(m->t + at, m->t + at + n, (m->n - at - n) * sizeof *m->t);
	m->n -= n;
}

static inline void model_clear(struct model *m)
{
	model_delete(m, 0, m->n);
	free(m->t);
}

#endif
