/* set_algebra: what several sets have in common, and what the first has alone. */
#include "store/impl/intset.h"
#include "store/types/set.h"

#define AHEAD 16 /* members whose buckets are loaded together */

/* A member of the first set with what looking it up in the others takes, worked out once. */
struct probe {
	struct value_item item;
	const char *str;
	size_t len;
	uint64_t hash;
	int64_t num;
	bool is_num, parsed, hashed;
	char buf[NUMBER_MAX];
};

static inline void probe_hash(struct probe *p)
{
	if (!p->hashed)
		p->hash = hashtab_hash(p->str, p->len);
	p->hashed = true;
}

static void probe_init(struct probe *p, const struct value_item *item)
{
	p->item = *item;
	p->str = value_text(item, p->buf, &p->len);
	p->num = item->num;
	p->is_num = p->parsed = !item->str;
	p->hashed = false;
}

static bool probe_in(struct probe *p, const struct value *v)
{
	if (v->encoding == ENC_HASHTABLE) {
		probe_hash(p);
		return hashtab_find(v->ptr, p->hash, p->str, p->len);
	}
	if (v->encoding == ENC_LISTPACK)
		return listpack_find(v->ptr, listpack_first(v->ptr), p->str, p->len, 0);
	if (!p->parsed)
		p->is_num = number_parse(p->str, p->len, &p->num);
	p->parsed = true;
	return p->is_num && intset_find(v->ptr, p->num, NULL);
}

/* The next members, with what the second set will need on its way. */
static size_t gather(struct set_iter *it, struct probe probes[AHEAD], const struct value *second)
{
	struct value_item item;
	size_t n = 0;
	while (n < AHEAD && set_next(it, &item)) {
		struct probe *p = &probes[n++];
		probe_init(p, &item);
		if (second && second->encoding == ENC_HASHTABLE) {
			probe_hash(p);
			hashtab_prefetch(second->ptr, p->hash);
		}
	}
	return n;
}

/* Members of the first set that are in all (common) or in none (alone) of the others. */
static size_t select_members(const struct value *sets, size_t n, bool common, size_t limit, set_visit *visit, void *ctx)
{
	struct probe probes[AHEAD];
	struct set_iter it;
	size_t found = 0, got;
	set_begin(&it, &sets[0]);
	while ((got = gather(&it, probes, n > 1 ? &sets[1] : NULL))) {
		for (size_t i = 0; i < got; i++) {
			size_t k = 1;
			while (k < n && probe_in(&probes[i], &sets[k]) == common)
				k++;
			if (k < n)
				continue;
			if (visit && !visit(ctx, &probes[i].item))
				return found;
			if (++found == limit)
				return found;
		}
	}
	return found;
}

size_t set_intersect(const struct value *sets, size_t n, size_t limit, set_visit *visit, void *ctx)
{
	return select_members(sets, n, true, limit, visit, ctx);
}

size_t set_subtract(const struct value *sets, size_t n, set_visit *visit, void *ctx)
{
	return select_members(sets, n, false, 0, visit, ctx);
}
