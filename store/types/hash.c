#include "store/types/hash.h"

#include <errno.h>

#include "store/entry_build.h"
#include "store/memory.h"

/* An element of the table: the field and behind it the value, both as lenbytes. */

#define FIRST (LISTPACK_EMPTY_BYTES - 1)  /* where the first element begins */
#define VALUES (FIRST + SHAPE_ID_COST)    /* where the values of a hash with a shape begin */

static inline bool is_packed(const struct value *v)
{
	return encoding_is_listpack(v->encoding);
}

/* The id is an integer of 13 bits. */
static inline const struct shape *shape_in(const uint8_t *lp)
{
	return shape_of((lp[FIRST] & 31u) << 8 | lp[FIRST + 1]);
}

static inline const uint8_t *skip(const uint8_t *p)
{
	struct value_item item;
	return listpack_read(p, &item);
}

static uint8_t *shaped_value(const uint8_t *lp, int i)
{
	const uint8_t *p = lp + VALUES;
	while (i-- > 0)
		p = skip(p);
	return (uint8_t *)(uintptr_t)p;
}

/* The value of a field in a listpack, or NULL. */
static inline uint8_t *packed_value(const struct value *v, const char *field, size_t len)
{
	if (hash_is_shaped(v)) {
		int i = shape_index(shape_in(v->ptr), field, len);
		return i < 0 ? NULL : shaped_value(v->ptr, i);
	}
	uint8_t *p = listpack_find(v->ptr, listpack_first(v->ptr), field, len, 1);
	return p ? listpack_next(v->ptr, p) : NULL;
}

static inline size_t packed_len(const struct value *v)
{
	size_t n = listpack_count(v->ptr);
	return hash_is_shaped(v) ? n - 1 : n / 2;
}

static inline size_t pair_size(size_t field_len, size_t val_len)
{
	return lenbytes_size(field_len) + lenbytes_size(val_len);
}

static inline char *pair_value(const void *pair)
{
	size_t len;
	const char *field = lenbytes_get(pair, &len);
	return (char *)(uintptr_t)(field + len);
}

static inline size_t pair_bytes(const void *pair)
{
	size_t field_len, val_len;
	const char *field = lenbytes_get(pair, &field_len);
	lenbytes_get(field + field_len, &val_len);
	return pair_size(field_len, val_len);
}

static void *pair_new(const char *field, size_t field_len, const char *val, size_t val_len)
{
	char *pair = mem_alloc(pair_size(field_len, val_len));
	if (pair)
		lenbytes_put(lenbytes_put(pair, field, field_len) + field_len, val, val_len);
	return pair;
}

static void pair_free(void *pair)
{
	mem_free_sized(pair, pair_bytes(pair));
}

static inline void pair_items(const void *pair, struct value_item *field, struct value_item *val)
{
	size_t len, val_len;
	const char *bytes = lenbytes_get(pair, &len);
	*field = value_item_of(bytes, len);
	bytes = lenbytes_get(bytes + len, &val_len);
	*val = value_item_of(bytes, val_len);
}

/* ------------------------------------------------------------------ life cycle */

int hash_new(struct value *v)
{
	*v = (struct value){ ENC_LISTPACK, listpack_new(0) };
	return v->ptr ? 0 : -ENOMEM;
}

static void free_value(unsigned encoding, void *ptr)
{
	if (encoding_is_listpack(encoding))
		listpack_free(ptr);
	else
		hashtab_free(ptr, pair_free);
}

static size_t free_cost(unsigned encoding, const void *ptr)
{
	return encoding_is_listpack(encoding) ? 1 : hashtab_count(ptr);
}

static void *dup_table(const struct hashtab *from)
{
	struct hashtab *to = hashtab_new(0);
	struct hashtab_iter it;
	const void *pair;
	if (!to)
		return NULL;
	hashtab_expect(to, hashtab_count(from));
	for (hashtab_begin(&it, from); (pair = hashtab_next(&it));) {
		size_t bytes = pair_bytes(pair), len;
		void *copy = mem_alloc(bytes);
		const char *field = lenbytes_get(pair, &len);
		if (copy)
			memcpy(copy, pair, bytes);
		if (!copy || hashtab_insert(to, hashtab_hash(field, len), copy)) {
			mem_free(copy);
			hashtab_free(to, pair_free);
			return NULL;
		}
	}
	return to;
}

static void *dup_value(unsigned encoding, const void *ptr)
{
	return encoding_is_listpack(encoding) ? (void *)listpack_dup(ptr) : (void *)dup_table(ptr);
}

static size_t memory(unsigned encoding, const void *ptr, unsigned samples)
{
	struct hashtab_iter it;
	const void *pair;
	size_t seen = 0, bytes = 0;
	if (encoding_is_listpack(encoding))
		return mem_size(ptr);
	for (hashtab_begin(&it, ptr); (!samples || seen < samples) && (pair = hashtab_next(&it)); seen++)
		bytes += mem_class(pair_bytes(pair));
	return hashtab_bytes(ptr) + (seen ? (size_t)((double)bytes / (double)seen * (double)hashtab_count(ptr)) : 0);
}

static const struct hashtab *table_of(unsigned encoding, const void *ptr)
{
	return encoding == ENC_HASHTABLE ? ptr : NULL;
}

const struct store_type hash_type = {
	.name = "hash", .free = free_value, .free_cost = free_cost, .dup = dup_value, .memory = memory,
	.table = table_of,
};

size_t hash_len(const struct value *v)
{
	return is_packed(v) ? packed_len(v) : hashtab_count(v->ptr);
}

/* ------------------------------------------------------------------ one form and the other */

static int insert_pair(struct hashtab *t, uint64_t hash, const char *field, size_t field_len, const char *val,
                       size_t val_len)
{
	if (field_len > UINT32_MAX || val_len > UINT32_MAX)
		return -EFBIG;
	void *pair = pair_new(field, field_len, val, val_len);
	int err = pair ? hashtab_insert(t, hash, pair) : -ENOMEM;
	if (err && pair)
		pair_free(pair);
	return err;
}

/* The listpack becomes a table with room for `expected` more. */
static int unpack(struct value *v, size_t expected)
{
	struct hash_iter it;
	struct value_item field, val;
	char fbuf[NUMBER_MAX], vbuf[NUMBER_MAX];
	struct hashtab *t = hashtab_new(0);
	if (!t)
		return -ENOMEM;
	hashtab_expect(t, packed_len(v) + expected);
	for (hash_begin(&it, v); hash_next(&it, &field, &val);) {
		size_t flen, vlen;
		const char *f = value_text(&field, fbuf, &flen), *w = value_text(&val, vbuf, &vlen);
		if (insert_pair(t, hashtab_hash(f, flen), f, flen, w, vlen)) {
			hashtab_free(t, pair_free);
			return -ENOMEM;
		}
	}
	listpack_free(v->ptr);
	*v = (struct value){ ENC_HASHTABLE, t };
	return 0;
}

int hash_grow(struct value *v, const struct value_limits *limits, size_t pairs, size_t bytes, size_t longest)
{
	if (!is_packed(v))
		return 0;
	if (pairs > (uint64_t)limits->entries)
		return unpack(v, pairs < 1 << 20 ? pairs : 1 << 20);
	if (longest > (uint64_t)limits->bytes || !listpack_fits(v->ptr, bytes))
		return unpack(v, pairs);
	return 0;
}

/* ------------------------------------------------------------------ with a shape and without */

/* The shape of the first fields of a listpack and one more; `last` NULL: and no more. Names in another form than ours, as
 * other programs may write them, are left alone: what is dumped must be what was restored. */
static const struct shape *shape_of_pairs(const uint8_t *lp, const struct value_item *last)
{
	struct value_item names[SHAPE_NAMES_MAX + 1];
	size_t n = 0;
	for (const uint8_t *p = lp + FIRST, *val; *p != LISTPACK_END; p = skip(val)) {
		struct value_item name;
		val = listpack_read(p, &name);
		size_t cost = name.str ? name.len + 2 : listpack_cost_int(name.num);
		names[n] = name;
		if (!shape_name(&names[n]) || names[n].str != name.str || (size_t)(val - p) != cost)
			return NULL;
		n++;
	}
	if (last)
		names[n++] = *last;
	return shape_find(shape_fingerprint(NULL, names, n), NULL, names, n);
}

/* The shape that a hash with one comes to have by another field, or NULL. */
static const struct shape *shape_with(const struct value *v, const struct value_limits *limits, const char *field,
                                      size_t len)
{
	const struct shape *s = shape_in(v->ptr);
	struct value_item name = value_item_of(field, len);
	if (!limits->share || s->count == SHAPE_NAMES_MAX || len > SHAPE_NAME_MAX || !shape_name(&name))
		return NULL;
	return shape_find(shape_fingerprint(s, &name, 1), s, &name, 1);
}

void hash_share(struct value *v, const struct value_limits *limits)
{
	const uint8_t *from = v->ptr;
	if (!limits->share || v->encoding != ENC_LISTPACK || listpack_bytes(from) > HASH_SHAPED_MAX)
		return;
	size_t n = listpack_count(from) / 2;
	const struct shape *s = n < SHAPE_NAMES_MIN || n > SHAPE_NAMES_MAX ? NULL : shape_of_pairs(from, NULL);
	if (!s)
		return;
	size_t total = listpack_bytes(from) - s->cost + SHAPE_ID_COST;
	uint8_t *lp = listpack_new(total), *to = lp + VALUES;
	if (!lp)
		return;
	listpack_write_head(lp, total, n + 1);
	listpack_write_int(lp + FIRST, s->id);
	for (const uint8_t *p = from + FIRST; *p != LISTPACK_END;) {
		const uint8_t *val = skip(p);
		p = skip(val);
		memcpy(to, val, (size_t)(p - val));
		to += p - val;
	}
	*to = LISTPACK_END;
	listpack_free(v->ptr);
	*v = (struct value){ ENC_SHAPED, lp };
}

/* Where a listpack of so many bytes can be written in place of the value's; NULL: nowhere. */
static uint8_t *room_for(const struct value *v, size_t total, bool lent)
{
	if (lent)
		return listpack_bytes(v->ptr) == total ? v->ptr : NULL;
	size_t room = mem_size(v->ptr);
	return room >= total && room / 2 <= total ? v->ptr : listpack_new(total);
}

bool hash_set_record(struct value *v, const struct value_limits *limits, const struct value_item *pairs, size_t n, bool lent)
{
	struct value_item names[SHAPE_NAMES_MAX];
	size_t total = VALUES + 1;
	const struct shape *s = hash_is_shaped(v) ? shape_in(v->ptr) : NULL;
	if (!limits->share || n < SHAPE_NAMES_MIN || n > SHAPE_NAMES_MAX || n > (uint64_t)limits->entries ||
	    (s ? s->count != n : v->encoding != ENC_LISTPACK || listpack_count(v->ptr)))
		return false;
	for (size_t i = 0; i < n; i++) {
		const struct value_item *val = &pairs[2 * i + 1];
		names[i] = pairs[2 * i];
		if (!shape_name(&names[i]) || val->len > HASH_SHAPED_MAX || val->len > (uint64_t)limits->bytes ||
		    pairs[2 * i].len > (uint64_t)limits->bytes)
			return false;
		total += listpack_cost(val->str, val->len);
	}
	if (s ? !shape_is(s, names, n) : !(s = shape_known(shape_fingerprint(NULL, names, n), names, n)))
		return false;
	uint8_t *lp = total <= HASH_SHAPED_MAX ? room_for(v, total, lent) : NULL;
	if (!lp)
		return false;
	listpack_write_head(lp, total, n + 1);
	uint8_t *to = lp + FIRST + listpack_write_int(lp + FIRST, s->id);
	for (size_t i = 0; i < n; i++)
		to += listpack_write_element(to, pairs[2 * i + 1].str, pairs[2 * i + 1].len);
	*to = LISTPACK_END;
	if (lp != v->ptr)
		listpack_free(v->ptr);
	*v = (struct value){ ENC_SHAPED, lp };
	return true;
}

size_t hash_pairs_bytes(const struct value *v)
{
	return listpack_bytes(v->ptr) + (hash_is_shaped(v) ? shape_in(v->ptr)->cost - SHAPE_ID_COST : 0);
}

void hash_put_pairs(const struct value *v, uint8_t *to)
{
	const uint8_t *p = v->ptr;
	size_t total = hash_pairs_bytes(v);
	if (!hash_is_shaped(v)) {
		memcpy(to, p, total);
		return;
	}
	const struct shape *s = shape_in(p);
	listpack_write_head(to, total, 2 * (size_t)s->count);
	to += FIRST;
	p += VALUES;
	for (unsigned i = 0; i < s->count; i++) {
		const struct value_item *name = &s->names[i];
		const uint8_t *val = p;
		to += name->str ? listpack_write_element(to, name->str, name->len) : listpack_write_int(to, name->num);
		p = skip(p);
		memcpy(to, val, (size_t)(p - val));
		to += p - val;
	}
	*to = LISTPACK_END;
}

int hash_unshare(struct value *v)
{
	if (!hash_is_shaped(v))
		return 0;
	uint8_t *lp = listpack_new(hash_pairs_bytes(v));
	if (!lp)
		return -ENOMEM;
	hash_put_pairs(v, lp);
	listpack_free(v->ptr);
	*v = (struct value){ ENC_LISTPACK, lp };
	return 0;
}

/* ------------------------------------------------------------------ single fields */

/* One that has a shape: true if it has still one, with the pair. */
static bool add_shaped(struct value *v, const struct value_limits *limits, const char *field, size_t field_len,
                       const char *val, size_t val_len)
{
	const struct shape *s = shape_with(v, limits, field, field_len);
	uint8_t *lp = v->ptr;
	if (!s || listpack_append(&lp, val, val_len))
		return false;
	listpack_write_int(lp + FIRST, s->id);
	v->ptr = lp;
	return true;
}

static int set_packed(struct value *v, const struct value_limits *limits, const char *field, size_t field_len,
                      const char *val, size_t val_len)
{
	int err;
	if (hash_is_shaped(v) && listpack_bytes(v->ptr) + val_len + 16 > HASH_SHAPED_MAX && (err = hash_unshare(v)))
		return err;
	uint8_t *p = packed_value(v, field, field_len), *lp;
	if (!p && hash_is_shaped(v)) {
		if (add_shaped(v, limits, field, field_len, val, val_len))
			return 1;
		if ((err = hash_unshare(v)))
			return err;
	}
	lp = v->ptr;
	if (p) {
		err = listpack_replace(&lp, &p, val, val_len);
	} else {
		struct value_item items[2] = { value_item_of(field, field_len), value_item_of(val, val_len) };
		err = listpack_append_items(&lp, items, 2);
	}
	v->ptr = lp;
	return err ? err : !p;
}

static int set_table(struct hashtab *t, const char *field, size_t field_len, const char *val, size_t val_len)
{
	uint64_t hash = hashtab_hash(field, field_len);
	void *pair = hashtab_find(t, hash, field, field_len), *other;
	if (!pair) {
		int err = insert_pair(t, hash, field, field_len, val, val_len);
		return err ? err : 1;
	}
	if (val_len > UINT32_MAX)
		return -EFBIG;
	if (mem_class(pair_bytes(pair)) == mem_class(pair_size(field_len, val_len))) {
		lenbytes_put(pair_value(pair), val, val_len);
		return 0;
	}
	other = pair_new(field, field_len, val, val_len);
	if (!other)
		return -ENOMEM;
	hashtab_replace(t, hash, pair, other);
	pair_free(pair);
	return 0;
}

int hash_set(struct value *v, const struct value_limits *limits, const char *field, size_t field_len, const char *val,
             size_t val_len)
{
	size_t longest = field_len > val_len ? field_len : val_len;
	int err;
	if (is_packed(v) && (longest > (uint64_t)limits->bytes || longest > LISTPACK_MAX) && (err = unpack(v, 1)))
		return err;
	if (is_packed(v)) {
		int added = set_packed(v, limits, field, field_len, val, val_len);
		if (added >= 0 && packed_len(v) > (uint64_t)limits->entries)
			unpack(v, 1); /* what cannot be done now is done by the next one */
		if (added != -EFBIG)
			return added;
		/* Beyond what a listpack holds whatever the limits say. */
		if ((err = unpack(v, 1)))
			return err;
	}
	return set_table(v->ptr, field, field_len, val, val_len);
}

bool hash_replace_same(const struct value *v, const struct value_limits *limits, const char *field, size_t field_len,
                       const char *val, size_t val_len)
{
	size_t longest = field_len > val_len ? field_len : val_len;
	if (!is_packed(v) || longest > (uint64_t)limits->bytes || packed_len(v) > (uint64_t)limits->entries)
		return false;
	uint8_t *p = packed_value(v, field, field_len);
	if (!p || listpack_element_bytes(p) != listpack_cost(val, val_len))
		return false;
	listpack_write_element(p, val, val_len);
	return true;
}

bool hash_appends(const struct value *v, const struct value_limits *limits, struct value_item field,
                  struct value_item val, struct hash_append *how)
{
	size_t longest = field.len > val.len ? field.len : val.len;
	if (!is_packed(v) || longest > (uint64_t)limits->bytes || packed_len(v) >= (uint64_t)limits->entries ||
	    packed_value(v, field.str, field.len))
		return false;
	if (hash_is_shaped(v)) {
		const struct shape *s = listpack_bytes(v->ptr) + val.len + 16 > HASH_SHAPED_MAX
		                                ? NULL
		                                : shape_with(v, limits, field.str, field.len);
		*how = (struct hash_append){ { val }, 1, s ? s->id : 0 };
		return s;
	}
	*how = (struct hash_append){ { field, val }, 2, 0 };
	/* By the last name that it needs it may get a shape: that is not done where it stands. */
	return !(limits->share && packed_len(v) == SHAPE_NAMES_MIN - 1 && shape_name(&field) &&
	         shape_of_pairs(v->ptr, &field));
}

void hash_appended(const struct value *v, const struct hash_append *how)
{
	if (how->id)
		listpack_write_int((uint8_t *)v->ptr + FIRST, how->id);
}

bool hash_get(const struct value *v, const char *field, size_t len, struct value_item *val)
{
	struct value_item name;
	if (is_packed(v)) {
		const uint8_t *p = packed_value(v, field, len);
		if (p)
			listpack_get(p, val);
		return p;
	}
	const void *pair = hashtab_find(v->ptr, hashtab_hash(field, len), field, len);
	if (pair)
		pair_items(pair, &name, val);
	return pair;
}

int hash_delete(struct value *v, const char *field, size_t len)
{
	if (hash_is_shaped(v)) {
		int err = shape_index(shape_in(v->ptr), field, len) < 0 ? 0 : hash_unshare(v);
		if (err || hash_is_shaped(v))
			return err;
	}
	if (is_packed(v)) {
		uint8_t *lp = v->ptr, *p = listpack_find(lp, listpack_first(lp), field, len, 1);
		if (!p)
			return 0;
		listpack_delete(&lp, &p, 2);
		v->ptr = lp;
		return 1;
	}
	void *pair = hashtab_remove(v->ptr, hashtab_hash(field, len), field, len);
	if (pair)
		pair_free(pair);
	return pair != NULL;
}

/* ------------------------------------------------------------------ many fields */

void hash_begin(struct hash_iter *it, const struct value *v)
{
	it->lp = is_packed(v) ? v->ptr : NULL;
	it->names = NULL;
	if (!it->lp) {
		hashtab_begin(&it->table, v->ptr);
	} else if (hash_is_shaped(v)) {
		it->p = it->lp + VALUES;
		it->names = shape_in(it->lp)->names;
	} else {
		it->p = it->lp + FIRST;
	}
}

bool hash_next(struct hash_iter *it, struct value_item *field, struct value_item *val)
{
	if (!it->lp) {
		const void *pair = hashtab_next(&it->table);
		if (pair)
			pair_items(pair, field, val);
		return pair;
	}
	if (*it->p == LISTPACK_END)
		return false;
	if (it->names)
		*field = *it->names++;
	else
		it->p = listpack_read(it->p, field);
	it->p = listpack_read(it->p, val);
	return true;
}

struct scan {
	hash_visit *visit;
	void *ctx;
	size_t seen;
};

static void scan_pair(void *ctx, void *pair)
{
	struct scan *s = ctx;
	struct value_item field, val;
	pair_items(pair, &field, &val);
	s->visit(s->ctx, &field, &val);
	s->seen++;
}

uint64_t hash_scan(const struct value *v, uint64_t cursor, size_t count, hash_visit *visit, void *ctx)
{
	struct hash_iter it;
	struct value_item field, val;
	struct scan s = { visit, ctx, 0 };
	if (is_packed(v)) {
		for (hash_begin(&it, v); hash_next(&it, &field, &val);)
			visit(ctx, &field, &val);
		return 0;
	}
	do {
		cursor = hashtab_scan(v->ptr, cursor, scan_pair, &s);
	} while (cursor && s.seen < count);
	return cursor;
}

void hash_random(const struct value *v, struct value_item *field, struct value_item *val)
{
	if (hash_is_shaped(v)) {
		const struct shape *s = shape_in(v->ptr);
		int i = (int)value_random_below(s->count);
		*field = s->names[i];
		listpack_get(shaped_value(v->ptr, i), val);
	} else if (is_packed(v)) {
		uint64_t i = value_random_below(packed_len(v));
		const uint8_t *p = listpack_at(v->ptr, (int64_t)i * 2);
		listpack_get(p, field);
		listpack_get(listpack_next(v->ptr, p), val);
	} else {
		uint64_t rng = store_rng_next();
		pair_items(hashtab_random(v->ptr, &rng), field, val);
	}
}

/* Few of a table: at random until they are different ones. Else one pass, in which each of the rest has the same chance. */
int hash_sample(const struct value *v, size_t n, hash_visit *visit, void *ctx)
{
	struct hash_iter it;
	struct value_item field, val;
	size_t left = hash_len(v);
	if (is_packed(v) || n > left / 3) {
		for (hash_begin(&it, v); n && hash_next(&it, &field, &val); left--) {
			if (value_random_below(left) >= n)
				continue;
			visit(ctx, &field, &val);
			n--;
		}
		return 0;
	}
	struct value_chosen chosen;
	uint64_t rng = store_rng_next();
	if (!value_chosen_init(&chosen, n))
		return -ENOMEM;
	while (n) {
		const void *pair = hashtab_random(v->ptr, &rng);
		if (!value_chosen_add(&chosen, pair))
			continue;
		pair_items(pair, &field, &val);
		visit(ctx, &field, &val);
		n--;
	}
	value_chosen_clear(&chosen);
	return 0;
}
