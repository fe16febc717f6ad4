#include "store/types/set.h"

#include <errno.h>

#include "store/entry_build.h"
#include "store/impl/intset.h"
#include "store/memory.h"

/* A member in a table: its bytes as lenbytes. */

static void *member_new(const char *str, size_t len)
{
	char *m = mem_alloc(lenbytes_size(len));
	if (m)
		lenbytes_put(m, str, len);
	return m;
}

static void member_free(void *member)
{
	size_t len;
	lenbytes_get(member, &len);
	mem_free_sized(member, lenbytes_size(len));
}

static inline struct value_item member_item(const void *member)
{
	size_t len;
	const char *str = lenbytes_get(member, &len);
	return value_item_of(str, len);
}

/* ------------------------------------------------------------------ life cycle */

static int new_table(struct value *v, size_t expected)
{
	struct hashtab *t = hashtab_new(0);
	if (!t)
		return -ENOMEM;
	hashtab_expect(t, expected < 1 << 20 ? expected : 1 << 20);
	*v = (struct value){ ENC_HASHTABLE, t };
	return 0;
}

int set_new_any(struct value *v)
{
	*v = (struct value){ ENC_INTSET, intset_new() };
	return v->ptr ? 0 : -ENOMEM;
}

int set_new(struct value *v, const struct value_limits *limits, const char *first, size_t len, size_t expected)
{
	int64_t num;
	if (expected <= (uint64_t)limits->intset && number_parse(first, len, &num))
		return set_new_any(v);
	if (expected > (uint64_t)limits->entries)
		return new_table(v, expected);
	*v = (struct value){ ENC_LISTPACK, listpack_new(0) };
	return v->ptr ? 0 : -ENOMEM;
}

int set_new_like(struct value *v, const struct value *other)
{
	if (other->encoding == ENC_INTSET)
		return set_new_any(v);
	*v = (struct value){ ENC_LISTPACK, listpack_new(0) };
	return v->ptr ? 0 : -ENOMEM;
}

static void free_value(unsigned encoding, void *ptr)
{
	if (encoding == ENC_INTSET)
		intset_free(ptr);
	else if (encoding == ENC_LISTPACK)
		listpack_free(ptr);
	else
		hashtab_free(ptr, member_free);
}

void set_free(struct value *v)
{
	free_value(v->encoding, v->ptr);
	v->ptr = NULL;
}

static size_t free_cost(unsigned encoding, const void *ptr)
{
	return encoding == ENC_HASHTABLE ? hashtab_count(ptr) : 1;
}

static void *dup_table(const struct hashtab *from)
{
	struct hashtab *to = hashtab_new(0);
	struct hashtab_iter it;
	const void *member;
	if (!to)
		return NULL;
	hashtab_expect(to, hashtab_count(from));
	for (hashtab_begin(&it, from); (member = hashtab_next(&it));) {
		size_t len;
		const char *str = lenbytes_get(member, &len);
		void *copy = member_new(str, len);
		if (!copy || hashtab_insert(to, hashtab_hash(str, len), copy)) {
			mem_free(copy);
			hashtab_free(to, member_free);
			return NULL;
		}
	}
	return to;
}

static void *dup_value(unsigned encoding, const void *ptr)
{
	if (encoding == ENC_INTSET)
		return intset_dup(ptr);
	return encoding == ENC_LISTPACK ? (void *)listpack_dup(ptr) : (void *)dup_table(ptr);
}

static size_t memory(unsigned encoding, const void *ptr, unsigned samples)
{
	struct hashtab_iter it;
	const void *member;
	size_t seen = 0, bytes = 0;
	if (encoding != ENC_HASHTABLE)
		return mem_size(ptr);
	for (hashtab_begin(&it, ptr); (!samples || seen < samples) && (member = hashtab_next(&it)); seen++)
		bytes += mem_size(member);
	return hashtab_bytes(ptr) + (seen ? (size_t)((double)bytes / (double)seen * (double)hashtab_count(ptr)) : 0);
}

static const struct hashtab *table_of(unsigned encoding, const void *ptr)
{
	return encoding == ENC_HASHTABLE ? ptr : NULL;
}

const struct store_type set_type = {
	.name = "set", .free = free_value, .free_cost = free_cost, .dup = dup_value, .memory = memory,
	.table = table_of,
};

size_t set_len(const struct value *v)
{
	if (v->encoding == ENC_INTSET)
		return intset_len(v->ptr);
	return v->encoding == ENC_LISTPACK ? listpack_count(v->ptr) : hashtab_count(v->ptr);
}

/* ------------------------------------------------------------------ from one form to the next */

static int insert_member(struct hashtab *t, uint64_t hash, const char *str, size_t len)
{
	if (len > UINT32_MAX)
		return -EFBIG;
	void *member = member_new(str, len);
	int err = member ? hashtab_insert(t, hash, member) : -ENOMEM;
	if (err && member)
		member_free(member);
	return err;
}

static int become_table(struct value *v, size_t expected)
{
	struct value table;
	struct set_iter it;
	struct value_item item;
	char buf[NUMBER_MAX];
	size_t len, have = set_len(v);
	if (new_table(&table, expected > have ? expected : have + 1))
		return -ENOMEM;
	for (set_begin(&it, v); set_next(&it, &item);) {
		const char *str = value_text(&item, buf, &len);
		if (insert_member(table.ptr, hashtab_hash(str, len), str, len)) {
			set_free(&table);
			return -ENOMEM;
		}
	}
	set_free(v);
	*v = table;
	return 0;
}

/* An intset gets a member that is no integer. */
static int become_listpack(struct value *v)
{
	struct set_iter it;
	struct value_item item;
	uint8_t *lp = listpack_new(LISTPACK_EMPTY_BYTES + 4 * intset_len(v->ptr));
	if (!lp)
		return -ENOMEM;
	for (set_begin(&it, v); set_next(&it, &item);) {
		if (listpack_append_int(&lp, item.num)) {
			listpack_free(lp);
			return -ENOMEM;
		}
	}
	set_free(v);
	*v = (struct value){ ENC_LISTPACK, lp };
	return 0;
}

int set_grow(struct value *v, const struct value_limits *limits, size_t expected)
{
	if ((v->encoding == ENC_LISTPACK && expected > (uint64_t)limits->entries) ||
	    (v->encoding == ENC_INTSET && expected > (uint64_t)limits->intset))
		return become_table(v, expected);
	return 0;
}

void set_settle(struct value *v, const struct value_limits *limits)
{
	struct set_iter it;
	struct value_item item;
	if (v->encoding == ENC_INTSET || set_len(v) > (uint64_t)limits->intset)
		return;
	struct intset *is = intset_new();
	set_begin(&it, v);
	while (is && set_next(&it, &item)) {
		int64_t num = item.num;
		if ((item.str && !number_parse(item.str, item.len, &num)) || intset_add(&is, num) < 0) {
			intset_free(is);
			is = NULL;
		}
	}
	if (!is)
		return;
	set_free(v);
	*v = (struct value){ ENC_INTSET, is };
}

/* ------------------------------------------------------------------ single members */

static int add_table(struct hashtab *t, const char *str, size_t len)
{
	uint64_t hash = hashtab_hash(str, len);
	if (hashtab_find(t, hash, str, len))
		return 0;
	int err = insert_member(t, hash, str, len);
	return err ? err : 1;
}

static int add_to_table(struct value *v, const char *str, size_t len)
{
	int err = v->encoding == ENC_HASHTABLE ? 0 : become_table(v, 0);
	return err ? err : add_table(v->ptr, str, len);
}

static int add_packed(struct value *v, const struct value_limits *limits, const char *str, size_t len)
{
	uint8_t *lp = v->ptr;
	if (listpack_find(lp, listpack_first(lp), str, len, 0))
		return 0;
	if (listpack_count(lp) >= (uint64_t)limits->entries || len > (uint64_t)limits->bytes || len > LISTPACK_MAX)
		return add_to_table(v, str, len);
	int err = listpack_append(&lp, str, len);
	v->ptr = lp;
	/* Full before the limits say so: as many and as large ones are for a table. */
	return err == -EFBIG ? add_to_table(v, str, len) : err ? err : 1;
}

bool set_appends(const struct value *v, const struct value_limits *limits, size_t len)
{
	return v->encoding == ENC_LISTPACK && listpack_count(v->ptr) < (uint64_t)limits->entries &&
	       len <= (uint64_t)limits->bytes;
}

static int add_int(struct value *v, const struct value_limits *limits, int64_t num)
{
	struct intset *is = v->ptr;
	char buf[NUMBER_MAX];
	int added = intset_add(&is, num);
	v->ptr = is;
	if (added == -EFBIG)
		return add_to_table(v, buf, number_print(buf, num));
	if (added > 0 && intset_len(is) > (uint64_t)limits->intset)
		become_table(v, 0); /* what cannot be done now is done by the next one */
	return added;
}

/* Whether the intset and a string of len bytes may be a listpack. */
static bool may_be_packed(const struct intset *is, const struct value_limits *limits, size_t len)
{
	size_t n = intset_len(is), longest = len;
	if (n) {
		size_t low = number_len(intset_at(is, 0)), high = number_len(intset_at(is, n - 1));
		longest = longest > low ? longest : low;
		longest = longest > high ? longest : high;
	}
	return n < (uint64_t)limits->entries && longest <= (uint64_t)limits->bytes &&
	       len + n * 12 < LISTPACK_MAX - LISTPACK_EMPTY_BYTES;
}

int set_add(struct value *v, const struct value_limits *limits, const char *str, size_t len)
{
	int64_t num;
	int err;
	if (v->encoding == ENC_HASHTABLE)
		return add_table(v->ptr, str, len);
	if (v->encoding == ENC_LISTPACK)
		return add_packed(v, limits, str, len);
	if (number_parse(str, len, &num))
		return add_int(v, limits, num);
	if (!may_be_packed(v->ptr, limits, len))
		return add_to_table(v, str, len);
	err = become_listpack(v);
	return err ? err : add_packed(v, limits, str, len);
}

int set_add_item(struct value *v, const struct value_limits *limits, const struct value_item *item)
{
	char buf[NUMBER_MAX];
	size_t len;
	if (!item->str && v->encoding == ENC_INTSET)
		return add_int(v, limits, item->num);
	const char *str = value_text(item, buf, &len);
	return set_add(v, limits, str, len);
}

bool set_has(const struct value *v, const char *str, size_t len)
{
	int64_t num;
	if (v->encoding == ENC_HASHTABLE)
		return hashtab_find(v->ptr, hashtab_hash(str, len), str, len);
	if (v->encoding == ENC_LISTPACK)
		return listpack_find(v->ptr, listpack_first(v->ptr), str, len, 0);
	return number_parse(str, len, &num) && intset_find(v->ptr, num, NULL);
}

bool set_remove(struct value *v, const char *str, size_t len)
{
	int64_t num;
	if (v->encoding == ENC_INTSET) {
		struct intset *is = v->ptr;
		bool gone = number_parse(str, len, &num) && intset_remove(&is, num);
		v->ptr = is;
		return gone;
	}
	if (v->encoding == ENC_LISTPACK) {
		uint8_t *lp = v->ptr, *p = listpack_find(lp, listpack_first(lp), str, len, 0);
		if (!p)
			return false;
		listpack_delete(&lp, &p, 1);
		v->ptr = lp;
		return true;
	}
	void *member = hashtab_remove(v->ptr, hashtab_hash(str, len), str, len);
	if (member)
		member_free(member);
	return member;
}

/* ------------------------------------------------------------------ walking */

void set_begin(struct set_iter *it, const struct value *v)
{
	it->v = v;
	it->index = 0;
	it->p = NULL;
	if (v->encoding == ENC_LISTPACK)
		it->p = listpack_first(v->ptr);
	else if (v->encoding == ENC_HASHTABLE)
		hashtab_begin(&it->table, v->ptr);
}

bool set_next(struct set_iter *it, struct value_item *item)
{
	if (it->v->encoding == ENC_HASHTABLE) {
		const void *member = hashtab_next(&it->table);
		if (member)
			*item = member_item(member);
		return member;
	}
	if (it->v->encoding == ENC_INTSET) {
		if (it->index == intset_len(it->v->ptr))
			return false;
		*item = (struct value_item){ NULL, 0, intset_at(it->v->ptr, it->index++) };
		return true;
	}
	if (!it->p)
		return false;
	listpack_get(it->p, item);
	it->p = listpack_next(it->v->ptr, it->p);
	return true;
}

struct scan {
	set_visit *visit;
	void *ctx;
	size_t seen;
};

static void scan_member(void *ctx, void *member)
{
	struct scan *s = ctx;
	struct value_item item = member_item(member);
	s->visit(s->ctx, &item);
	s->seen++;
}

uint64_t set_scan(const struct value *v, uint64_t cursor, size_t count, set_visit *visit, void *ctx)
{
	struct set_iter it;
	struct value_item item;
	struct scan s = { visit, ctx, 0 };
	if (v->encoding != ENC_HASHTABLE) {
		for (set_begin(&it, v); set_next(&it, &item);)
			visit(ctx, &item);
		return 0;
	}
	do {
		cursor = hashtab_scan(v->ptr, cursor, scan_member, &s);
	} while (cursor && s.seen < count);
	return cursor;
}

/* ------------------------------------------------------------------ at random */

void set_random(const struct value *v, struct value_item *item)
{
	if (v->encoding == ENC_HASHTABLE) {
		uint64_t rng = store_rng_next();
		*item = member_item(hashtab_random(v->ptr, &rng));
		return;
	}
	size_t i = (size_t)value_random_below(set_len(v));
	if (v->encoding == ENC_INTSET)
		*item = (struct value_item){ NULL, 0, intset_at(v->ptr, i) };
	else
		listpack_get(listpack_at(v->ptr, (int64_t)i), item);
}

/* Where the iterator's last member is: an element, or a position in a listpack or (plus one) in an intset. */
static const void *choose_position(const struct set_iter *it, const uint8_t *before)
{
	return it->v->encoding == ENC_INTSET ? (const void *)(uintptr_t)it->index : (const void *)before;
}

/* One pass in which each of the rest has the same chance; with take, what is not chosen goes into `rest`. */
static int choose_in_order(struct set_choice *c, bool take)
{
	struct set_iter it;
	struct value_item item;
	size_t left = set_len(c->v), wanted = c->n, got = 0;
	struct intset *is = c->rest.ptr;
	uint8_t *lp = c->rest.ptr;
	bool ints = c->v->encoding == ENC_INTSET;
	int err = 0;
	set_begin(&it, c->v);
	for (; err >= 0 && left; left--) {
		const uint8_t *before = it.p;
		set_next(&it, &item);
		if (value_random_below(left) < wanted - got)
			c->chosen[got++] = choose_position(&it, before);
		else if (take && ints)
			err = intset_add(&is, item.num);
		else if (take)
			err = item.str ? listpack_append(&lp, item.str, item.len) : listpack_append_int(&lp, item.num);
	}
	if (take)
		c->rest.ptr = ints ? (void *)is : (void *)lp;
	return err < 0 ? err : 0;
}

static int choose_members(struct set_choice *c)
{
	const struct hashtab *t = c->v->ptr;
	size_t left = hashtab_count(t), got = 0;
	if (c->n > left / 3) {
		struct hashtab_iter it;
		hashtab_begin(&it, t);
		for (; got < c->n; left--) {
			const void *member = hashtab_next(&it);
			if (value_random_below(left) < c->n - got)
				c->chosen[got++] = member;
		}
		return 0;
	}
	struct value_chosen seen;
	uint64_t rng = store_rng_next();
	if (!value_chosen_init(&seen, c->n))
		return -ENOMEM;
	while (got < c->n) {
		const void *member = hashtab_random(t, &rng);
		if (value_chosen_add(&seen, member))
			c->chosen[got++] = member;
	}
	value_chosen_clear(&seen);
	return 0;
}

int set_choice_init(struct set_choice *c, struct value *v, size_t n, bool take)
{
	*c = (struct set_choice){ .v = v, .n = n, .rest = { v->encoding, NULL } };
	c->chosen = mem_alloc((n ? n : 1) * sizeof *c->chosen);
	if (!c->chosen)
		return -ENOMEM;
	if (v->encoding == ENC_HASHTABLE)
		return choose_members(c);
	if (take) {
		c->rest.ptr = v->encoding == ENC_INTSET ? (void *)intset_new() : (void *)listpack_new(0);
		if (!c->rest.ptr)
			return -ENOMEM;
	}
	return choose_in_order(c, take);
}

bool set_choice_next(struct set_choice *c, struct value_item *item)
{
	if (c->read == c->n)
		return false;
	const void *at = c->chosen[c->read++];
	if (c->v->encoding == ENC_HASHTABLE)
		*item = member_item(at);
	else if (c->v->encoding == ENC_LISTPACK)
		listpack_get(at, item);
	else
		*item = (struct value_item){ NULL, 0, intset_at(c->v->ptr, (uintptr_t)at - 1) };
	return true;
}

void set_choice_commit(struct set_choice *c)
{
	if (c->v->encoding != ENC_HASHTABLE) {
		set_free(c->v);
		*c->v = c->rest;
		c->rest.ptr = NULL;
		return;
	}
	for (size_t i = 0; i < c->n; i++) {
		struct value_item item = member_item(c->chosen[i]);
		set_remove(c->v, item.str, item.len);
	}
}

void set_choice_clear(struct set_choice *c)
{
	if (c->rest.ptr)
		set_free(&c->rest);
	mem_free(c->chosen);
}
