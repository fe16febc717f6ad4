/* set_algebra: what several sets have in common, and what the first has alone. */
#include "store/impl/intset.h"
#include "store/types/set.h"

#define AHEAD HASHTAB_BATCH /* members that are looked up together */

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

/* The next members. Those of a table are on their way before the first is looked at. */
static size_t next_members(struct set_iter *it, struct value_item items[AHEAD])
{
	const void *members[AHEAD];
	size_t n = 0, len;
	if (it->v->encoding != ENC_HASHTABLE) {
		while (n < AHEAD && set_next(it, &items[n]))
			n++;
		return n;
	}
	while (n < AHEAD && (members[n] = hashtab_next(&it->table)))
		n++;
	for (size_t i = 0; i < n; i++) {
		const char *str = lenbytes_get(members[i], &len);
		items[i] = value_item_of(str, len);
	}
	return n;
}

/* Whether the second set holds each of the members: of a table, looked up together. */
static void probe_second(struct probe probes[AHEAD], size_t n, const struct value *second, bool there[AHEAD])
{
	struct hashtab_key keys[AHEAD];
	uint64_t hashes[AHEAD];
	void *found[AHEAD];
	if (second->encoding != ENC_HASHTABLE) {
		for (size_t i = 0; i < n; i++)
			there[i] = probe_in(&probes[i], second);
		return;
	}
	for (size_t i = 0; i < n; i++)
		keys[i] = (struct hashtab_key){ probes[i].str, probes[i].len };
	hashtab_find_batch(second->ptr, n, keys, hashes, found);
	for (size_t i = 0; i < n; i++) {
		there[i] = found[i];
		probes[i].hash = hashes[i];
		probes[i].hashed = true;
	}
}

/* Members of the first set that are in all (common) or in none (alone) of the others. */
static size_t select_members(const struct value *sets, size_t n, bool common, size_t limit, set_visit *visit, void *ctx)
{
	struct value_item items[AHEAD];
	struct probe probes[AHEAD];
	bool there[AHEAD];
	struct set_iter it;
	size_t found = 0, got;
	set_begin(&it, &sets[0]);
	while ((got = next_members(&it, items))) {
		for (size_t i = 0; n > 1 && i < got; i++)
			probe_init(&probes[i], &items[i]);
		if (n > 1)
			probe_second(probes, got, &sets[1], there);
		for (size_t i = 0; i < got; i++) {
			size_t k = n > 1 && there[i] == common ? 2 : 1;
			while (k > 1 && k < n && probe_in(&probes[i], &sets[k]) == common)
				k++;
			if (k < n)
				continue;
			if (visit && !visit(ctx, &items[i]))
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
