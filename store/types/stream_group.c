/* stream_group: consumer groups, consumers, and what is pending with them. */
#include <errno.h>
#include <string.h>

#include "store/memory.h"
#include "store/types/stream.h"

static int name_compare(const char *a, size_t a_len, const char *b, size_t b_len)
{
	int c = memcmp(a, b, a_len < b_len ? a_len : b_len);
	return c ? c : (a_len > b_len) - (a_len < b_len);
}

/* Room for one more pointer in an array of n. */
static int array_room(void ***array, uint32_t n, uint32_t *cap)
{
	if (n < *cap)
		return 0;
	uint32_t more = *cap ? *cap * 2 : 2;
	void **moved = more > n ? mem_realloc(*array, more * sizeof *moved) : NULL;
	if (!moved)
		return -ENOMEM;
	*array = moved;
	*cap = more;
	return 0;
}

static void array_put(void **array, uint32_t *n, uint32_t at, void *p)
{
	memmove(array + at + 1, array + at, (*n - at) * sizeof *array);
	array[at] = p;
	(*n)++;
}

static void array_take(void **array, uint32_t *n, uint32_t at)
{
	(*n)--;
	memmove(array + at, array + at + 1, (*n - at) * sizeof *array);
}

/* ------------------------------------------------------------------ groups */

/* Where the group of the name is, or would be. */
static bool group_at(const struct stream *s, const void *name, size_t len, uint32_t *at)
{
	uint32_t lo = 0, n = s->group_count;
	while (n > 0) {
		uint32_t half = n / 2;
		const struct stream_group *g = s->groups[lo + half];
		bool less = name_compare(g->name, g->name_len, name, len) < 0;
		lo += less ? half + 1 : 0;
		n = less ? n - half - 1 : half;
	}
	*at = lo;
	return lo < s->group_count && !name_compare(s->groups[lo]->name, s->groups[lo]->name_len, name, len);
}

struct stream_group *stream_group_find(const struct stream *s, const void *name, size_t len)
{
	uint32_t at;
	return group_at(s, name, len, &at) ? s->groups[at] : NULL;
}

int stream_group_add(struct stream *s, const void *name, size_t len, struct stream_id last_id, int64_t entries_read,
                     struct stream_group **group)
{
	uint32_t at;
	if (group_at(s, name, len, &at))
		return -EEXIST;
	if (len > UINT32_MAX || array_room((void ***)&s->groups, s->group_count, &s->group_cap))
		return -ENOMEM;
	struct stream_group *g = mem_alloc(sizeof *g + len);
	if (!g)
		return -ENOMEM;
	*g = (struct stream_group){ .last_id = last_id, .entries_read = entries_read, .name_len = (uint32_t)len };
	memcpy(g->name, name, len);
	g->pel = idmap_new();
	if (!g->pel) {
		mem_free(g);
		return -ENOMEM;
	}
	array_put((void **)s->groups, &s->group_count, at, g);
	*group = g;
	return 0;
}

static void consumer_free(struct stream_consumer *c)
{
	idmap_free(c->pel, NULL);
	mem_free(c);
}

void stream_group_remove(struct stream *s, struct stream_group *g)
{
	uint32_t at;
	if (group_at(s, g->name, g->name_len, &at))
		array_take((void **)s->groups, &s->group_count, at);
	for (uint32_t i = 0; i < g->consumer_count; i++)
		consumer_free(g->consumers[i]);
	mem_free(g->consumers);
	idmap_free(g->pel, mem_free);
	mem_free(g);
}

/* ------------------------------------------------------------------ consumers */

static bool consumer_at(const struct stream_group *g, const void *name, size_t len, uint32_t *at)
{
	uint32_t lo = 0, n = g->consumer_count;
	while (n > 0) {
		uint32_t half = n / 2;
		const struct stream_consumer *c = g->consumers[lo + half];
		bool less = name_compare(c->name, c->name_len, name, len) < 0;
		lo += less ? half + 1 : 0;
		n = less ? n - half - 1 : half;
	}
	*at = lo;
	return lo < g->consumer_count && !name_compare(g->consumers[lo]->name, g->consumers[lo]->name_len, name, len);
}

struct stream_consumer *stream_consumer_find(const struct stream_group *g, const void *name, size_t len)
{
	uint32_t at;
	return consumer_at(g, name, len, &at) ? g->consumers[at] : NULL;
}

int stream_consumer_add(struct stream_group *g, const void *name, size_t len, int64_t seen_ms,
                        struct stream_consumer **consumer)
{
	uint32_t at;
	if (consumer_at(g, name, len, &at))
		return -EEXIST;
	if (len > UINT32_MAX || array_room((void ***)&g->consumers, g->consumer_count, &g->consumer_cap))
		return -ENOMEM;
	struct stream_consumer *c = mem_alloc(sizeof *c + len);
	if (!c)
		return -ENOMEM;
	*c = (struct stream_consumer){ .seen_ms = seen_ms, .active_ms = -1, .name_len = (uint32_t)len };
	memcpy(c->name, name, len);
	array_put((void **)g->consumers, &g->consumer_count, at, c);
	*consumer = c;
	return 0;
}

size_t stream_consumer_remove(struct stream_group *g, struct stream_consumer *c)
{
	struct stream_pel_iter it;
	struct stream_id id;
	uint32_t at;
	size_t n = 0;
	stream_pel_iter_init(&it, c->pel, STREAM_ID_MIN);
	for (; stream_pel_iter_next(&it, &id); n++)
		mem_free(idmap_remove(g->pel, id));
	if (consumer_at(g, c->name, c->name_len, &at))
		array_take((void **)g->consumers, &g->consumer_count, at);
	consumer_free(c);
	return n;
}

/* ------------------------------------------------------------------ pending entries */

struct stream_nack *stream_pel_find(const struct idmap *pel, struct stream_id id)
{
	return pel ? idmap_find(pel, id) : NULL;
}

static int consumer_hold(struct stream_consumer *c, struct stream_id id, struct stream_nack *n)
{
	if (!c->pel && !(c->pel = idmap_new()))
		return -ENOMEM;
	int err = idmap_insert(c->pel, id, n);
	if (!err)
		n->consumer = c;
	return err;
}

struct stream_nack *stream_pel_give(struct stream_group *g, struct stream_consumer *c, struct stream_id id)
{
	struct stream_nack *n = idmap_find(g->pel, id);
	if (n) {
		struct stream_consumer *before = n->consumer;
		if (before == c)
			return n;
		if (consumer_hold(c, id, n))
			return NULL;
		idmap_remove(before->pel, id);
		return n;
	}
	n = mem_calloc(sizeof *n);
	if (!n || idmap_insert(g->pel, id, n)) {
		mem_free(n);
		return NULL;
	}
	if (consumer_hold(c, id, n)) {
		idmap_remove(g->pel, id);
		mem_free(n);
		return NULL;
	}
	return n;
}

bool stream_pel_ack(struct stream_group *g, struct stream_id id)
{
	struct stream_nack *n = idmap_remove(g->pel, id);
	if (!n)
		return false;
	idmap_remove(n->consumer->pel, id);
	mem_free(n);
	return true;
}

void stream_pel_iter_init(struct stream_pel_iter *it, const struct idmap *pel, struct stream_id from)
{
	*it = (struct stream_pel_iter){ pel, from, pel != NULL };
}

struct stream_nack *stream_pel_iter_next(struct stream_pel_iter *it, struct stream_id *id)
{
	struct idmap_pos pos;
	if (!it->more || !idmap_seek_ge(it->pel, it->next, &pos)) {
		it->more = false;
		return NULL;
	}
	*id = it->next = idmap_id(&pos);
	it->more = stream_id_next(&it->next);
	return idmap_value(&pos);
}

/* ------------------------------------------------------------------ what a group has read */

static bool is_zero(struct stream_id id)
{
	return !id.ms && !id.seq;
}

bool stream_has_gap(const struct stream *s, struct stream_id from)
{
	if (!s->length || is_zero(s->max_deleted_id))
		return false;
	return stream_id_compare(from, s->max_deleted_id) <= 0;
}

int64_t stream_entries_until(const struct stream *s, struct stream_id id)
{
	int last = stream_id_compare(id, s->last_id), first = stream_id_compare(id, s->first_id);
	if (!s->entries_added)
		return 0;
	if (!s->length && last < 1)
		return (int64_t)s->entries_added;
	if (!is_zero(id) && stream_id_compare(id, s->max_deleted_id) < 0)
		return STREAM_READ_UNKNOWN;
	if (last == 0)
		return (int64_t)s->entries_added;
	if (last > 0)
		return STREAM_READ_UNKNOWN;
	if (is_zero(s->max_deleted_id) || stream_id_compare(s->max_deleted_id, s->first_id) < 0) {
		if (first <= 0)
			return (int64_t)(s->entries_added - s->length + (first == 0));
	}
	return STREAM_READ_UNKNOWN;
}

bool stream_group_lag(const struct stream *s, const struct stream_group *g, int64_t *lag)
{
	int64_t read = g->entries_read;
	*lag = 0;
	if (!s->entries_added)
		return true;
	if (read == STREAM_READ_UNKNOWN || stream_has_gap(s, g->last_id))
		read = stream_entries_until(s, g->last_id);
	*lag = (int64_t)s->entries_added - read; /* of counters that clients set: below 0, too */
	return read != STREAM_READ_UNKNOWN;
}
