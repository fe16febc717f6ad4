/*
 * Asking for the memory that many keys will need, stage by stage, so that their cache misses overlap. Whoever has nothing more
 * to ask for drops out.
 */
#include "store/impl/hashtab.h"
#include "store/shard.h"
#include "store/types.h"

/* The bucket of a key, if there is a table. */
static inline const struct bucket *bucket_of(struct shard *sh, const struct store_ahead *a)
{
	const struct table *t = shard_table(sh, a->db);
	return t && t->dir ? table_bucket(t, table_index(t, a->hash)) : NULL;
}

/* The first entry that may be the key's. */
static inline const struct entry *likely_entry(const struct bucket *b, uint64_t hash)
{
	unsigned hits = b ? bucket_match(b, hash_tag(hash)) : 0;
	return hits ? bucket_ptr(b, (unsigned)__builtin_ctz(hits)) : NULL;
}

/* What was seen may be gone where others use the store. */
static inline const struct entry *seen_entry(const struct store *s, struct shard *sh, const struct store_ahead *a)
{
	if (!s->single)
		return likely_entry(bucket_of(sh, a), a->hash);
	return a->same ? a->same->seen : a->seen;
}

static inline bool ask_bucket(struct shard *sh, struct store_ahead *a)
{
	const struct bucket *b = bucket_of(sh, a);
	a->seen = b;
	__builtin_prefetch(b);
	return b;
}

static inline bool ask_entry(const struct store *s, struct shard *sh, struct store_ahead *a)
{
	const struct entry *e = likely_entry(s->single ? a->seen : bucket_of(sh, a), a->hash);
	a->seen = e;
	__builtin_prefetch(e);
	__builtin_prefetch((const char *)e + 64);
	return e;
}

/* The further lines of an entry, or a value with an allocation of its own. */
static bool ask_value(const struct entry *e)
{
	const struct store_type *type = store_types[entry_type(e)];
	if (entry_type(e) == STORE_STRING)
		return false;
	const char *value = entry_value(e);
	if (e->flags & ENTRY_EMBEDDED) {
		for (const char *p = (const char *)e + 128; p < value + e->val_len; p += 64)
			__builtin_prefetch(p, 1);
		slab_prefetch(e); /* it moves when it grows */
		return false;
	}
	__builtin_prefetch(value, 1);
	__builtin_prefetch(value + 64, 1);
	if (encoding_is_listpack(entry_encoding(e)) || entry_encoding(e) == ENC_INTSET)
		__builtin_prefetch(value + 128, 1);
	return type->prefetch || type->table;
}

/* What lies behind a value: the ends of a list or stream, or the bucket of a member. */
static bool ask_behind(const struct entry *e, struct store_ahead *a)
{
	const struct store_type *type = store_types[entry_type(e)];
	if (entry_type(e) == STORE_STRING || e->flags & ENTRY_EMBEDDED)
		return false;
	if (type->prefetch)
		type->prefetch(entry_encoding(e), entry_value(e));
	const struct hashtab *table = a->member && type->table ? type->table(entry_encoding(e), entry_value(e)) : NULL;
	if (!table)
		return false;
	a->member_hash = hashtab_hash(a->member, a->member_len);
	hashtab_prefetch(table, a->member_hash);
	return true;
}

static bool ask_member(const struct entry *e, const struct store_ahead *a)
{
	const struct hashtab *table = NULL;
	if (entry_type(e) != STORE_STRING && !(e->flags & ENTRY_EMBEDDED) && store_types[entry_type(e)]->table)
		table = store_types[entry_type(e)]->table(entry_encoding(e), entry_value(e));
	if (table)
		hashtab_prefetch_likely(table, a->member_hash);
	return false;
}

/* false: further stages are in vain. */
static inline __attribute__((always_inline)) bool ask(struct store *s, struct store_ahead *a, unsigned stage)
{
	if (stage > a->last)
		return false;
	if (a->same && stage < 4)
		return true; /* asked for by the other one */
	struct shard *sh = shard_of(s, a->hash);
	if (!shard_trylock(s, sh))
		return false;
	bool more;
	if (stage <= 2) {
		more = stage == 1 ? ask_bucket(sh, a) : ask_entry(s, sh, a);
	} else {
		const struct entry *e = seen_entry(s, sh, a);
		more = e && (stage == 3 ? ask_value(e) : stage == 4 ? ask_behind(e, a) : ask_member(e, a));
	}
	shard_unlock(s, sh);
	return more;
}

static inline __attribute__((always_inline)) unsigned ask_all(struct store *s, struct store_ahead **v, unsigned n,
                                                              unsigned stage)
{
	unsigned left = 0;
	for (unsigned i = 0; i < n; i++) {
		if (ask(s, v[i], stage))
			v[left++] = v[i];
	}
	return left;
}

void store_prefetch(struct store *s, struct store_ahead **v, unsigned n)
{
	for (unsigned i = 0; i < n; i++) {
		struct shard *sh = shard_of(s, v[i]->hash);
#ifdef __x86_64__
		__asm__ volatile("prefetchw %0" : : "m"(*sh));
#else
		__builtin_prefetch(sh, 1);
#endif
	}
	n = ask_all(s, v, n, 1);
	n = ask_all(s, v, n, 2);
	n = ask_all(s, v, n, 3);
	n = ask_all(s, v, n, 4);
	ask_all(s, v, n, 5);
}

void store_member_hashed(const void *member, size_t len, uint64_t hash)
{
	hashtab_hashed(member, len, hash);
}
