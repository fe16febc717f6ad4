/* Keys within tables: finding, adding, replacing, removing. The caller holds the shard's lock. */
#include <errno.h>
#include <stdlib.h>

#include "store/entry_build.h"
#include "store/impl/listpack.h"
#include "store/memory.h"
#include "store/shard.h"

/* Freeing more allocations than that at once would be felt by others. */
#define REAP_COST 64
#define REAP_BLOB_BYTES (256 * 1024)

/* ------------------------------------------------------------------ bookkeeping */

void shard_note_due(struct store *s, struct shard *sh, int64_t when_ms)
{
	int64_t *due = &s->due[sh - s->shard];
	if (when_ms < TABLE_READ(*due))
		TABLE_PUBLISH(*due, when_ms);
}

void shard_note_filled(struct store *s, struct shard *sh, unsigned db, const struct table *t)
{
	size_t i = (size_t)(sh - s->shard);
	uint64_t *word = &s->filled[(size_t)db * s->filled_words + i / 64], bit = (uint64_t)1 << i % 64;
	if (t->keys)
		__atomic_fetch_or(word, bit, __ATOMIC_RELAXED);
	else
		__atomic_fetch_and(word, ~bit, __ATOMIC_RELAXED);
}

void keyspace_drop(struct store *s, struct entry *e, bool lazy)
{
	const struct store_type *type = store_types[entry_type(e)];
	if (__builtin_expect(e->flags & ENTRY_FROZEN, 0) && snapshot_orphan(s, e)) {
		entry_free_shell(e);
		return;
	}
	if (lazy && e->flags & ENTRY_BLOB) {
		struct blob *b = entry_blob(e);
		if (b->cap >= REAP_BLOB_BYTES && reaper_push_blob(s->reaper, b)) {
			entry_free_shell(e);
			return;
		}
	} else if (lazy && type->free_cost && !entry_inlined(e)) {
		void *value = entry_value(e);
		if (type->free_cost(entry_encoding(e), value) > REAP_COST &&
		    reaper_push_value(s->reaper, entry_type(e), entry_encoding(e), value)) {
			entry_free_shell(e);
			return;
		}
	}
	entry_free(e);
}

/* Take the entry out of the table; it stays whole. */
static void detach(struct store *s, struct shard *sh, unsigned db, struct table *t, const struct slot *at)
{
	table_remove(t, at);
	if (t->keys == 0)
		shard_note_filled(s, sh, db, t);
}

static inline void set_parity(struct entry *e, const struct table *t)
{
	e->flags = (uint8_t)((e->flags & ~ENTRY_PARITY) | t->parity);
}

static bool insert(struct store_op *op, struct shard *sh, struct table *t, uint64_t hash, struct entry *e)
{
	struct store *s = op->store;
	struct slot at;
	if (entry_has_expiry(e) && !due_reserve(t, table_index(t, hash)))
		return false;
	set_parity(e, t);
	if (!table_insert(t, s, hash, e, &at))
		return false;
	if (entry_has_expiry(e))
		shard_note_due(s, sh, entry_expiry(e));
	if (t->keys == 1)
		shard_note_filled(s, sh, op->db, t);
	return true;
}

bool keyspace_swap_entry(struct store *s, struct shard *sh, struct table *t, const struct slot *at,
                         const struct entry *old, struct entry *e)
{
	if (entry_has_expiry(e)) {
		if (!due_reserve(t, at->index))
			return false;
		due_note(t, at->index, entry_expiry(e));
		shard_note_due(s, sh, entry_expiry(e));
	}
	if (entry_has_expiry(e) != entry_has_expiry(old))
		TABLE_PUBLISH(t->volatile_keys, t->volatile_keys + (entry_has_expiry(e) ? 1 : (uint64_t)-1));
	set_parity(e, t);
	table_set(at, e);
	return true;
}

bool keyspace_put(struct store_op *op, const struct store_key *key, struct entry *e, bool lazy)
{
	struct store *s = op->store;
	struct shard *sh = shard_of(s, key->hash);
	struct table *t = shard_table_make(s, sh, op->db);
	if (!t)
		return false;
	struct slot at;
	struct entry *old = table_find(t, key, &at);
	if (!old)
		return insert(op, sh, t, key->hash, e);
	keyspace_before_drop(s, t, key, old);
	if (!keyspace_swap_entry(s, sh, t, &at, old, e))
		return false;
	keyspace_drop(s, old, lazy);
	return true;
}

bool keyspace_insert(struct store_op *op, struct shard *sh, struct table *t, uint64_t hash, struct entry *e)
{
	return insert(op, sh, t, hash, e);
}

void keyspace_remove(struct store_op *op, struct shard *sh, struct table *t, const struct slot *at, struct entry *e,
                     const struct store_key *key, enum store_removal why, bool lazy)
{
	struct store *s = op->store;
	if (s->hooks.removed)
		s->hooks.removed(s->hooks_ctx, op, why, key, e);
	keyspace_before_drop(s, t, key, e);
	detach(s, sh, op->db, t, at);
	if (why == STORE_EXPIRED)
		TABLE_PUBLISH(sh->expired, sh->expired + 1);
	keyspace_drop(s, e, lazy);
}

static __attribute__((noinline)) struct entry *expired(struct store_op *op, struct shard *sh, struct table *t,
                                                       const struct store_key *key, struct slot *at, struct entry *e)
{
	if (!op->keep_expired)
		keyspace_expire(op, sh, t, at, e, key);
	return NULL;
}

struct entry *keyspace_live(struct store_op *op, struct shard *sh, struct table *t, const struct store_key *key,
                            struct slot *at)
{
	struct entry *e = t ? table_find(t, key, at) : NULL;
	if (e && __builtin_expect(entry_expired(op, e), 0))
		return expired(op, sh, t, key, at, e);
	return e;
}

/* ------------------------------------------------------------------ listpacks within entries */

/*
 * A small listpack stands behind its key: no pointer, and nothing lost to the size classes of two allocations. Commands that
 * mostly add borrow it: they change a copy, and store_settle() puts that into the entry, which has exactly the size class
 * it needs at any time. Others that write take it out. Short lists are left apart: what begins so mostly grows, from its
 * front, too.
 */
#define INLINE_MIN 48

/* Whether the aggregate is to stand in an entry of that plan. */
static bool fits_inline(struct entry_plan *p, enum store_type_id type, unsigned encoding, const void *value)
{
	if (!encoding_is_listpack(encoding) || type == STORE_STREAM)
		return false;
	p->val_len = listpack_bytes(value);
	p->flags = ENTRY_EMBEDDED;
	if (p->val_len >= (type == STORE_LIST ? INLINE_MIN : sizeof value) && p->val_len <= SLAB_MAX &&
	    entry_plan_size(p) <= SLAB_MAX)
		return true;
	p->flags = 0;
	return false;
}

/* The lookup that wants to write cannot fail: when memory is out, there is one block in reserve. */
static uint8_t *copy_of(struct store *s, const struct entry *e)
{
	uint8_t *lp = listpack_dup(entry_value(e)), *spare = NULL;
	if (__builtin_expect(!lp, 0)) {
		lp = __atomic_exchange_n(&s->spare, NULL, __ATOMIC_ACQ_REL);
		if (!lp)
			abort();
		memcpy(lp, entry_value(e), e->val_len);
	} else if (__builtin_expect(!__atomic_load_n(&s->spare, __ATOMIC_RELAXED), 0)) {
		uint8_t *fresh = mem_alloc(SLAB_MAX);
		if (!__atomic_compare_exchange_n(&s->spare, &spare, fresh, false, __ATOMIC_ACQ_REL, __ATOMIC_RELAXED))
			mem_free(fresh);
	}
	return lp;
}

/* Another entry in the place of e, which is freed. */
static struct entry *take_place(const struct slot *at, struct entry *e, struct entry *n)
{
	memcpy(n->access, e->access, sizeof n->access);
	n->flags |= e->flags & ENTRY_PARITY;
	table_set(at, n);
	entry_free_shell(e);
	return n;
}

/* The entry with a pointer in place of its listpack. */
static __attribute__((noinline)) struct entry *without_listpack(struct store *s, const struct store_key *key,
                                                                const struct slot *at, struct entry *e,
                                                                unsigned encoding, void *value)
{
	struct entry_plan plan = { .arena = arena_of(s, key->hash), .key = key->ptr, .key_len = key->len,
		                   .expire_ms = entry_expiry(e), .kind = e->kind };
	struct entry *n = entry_new(&plan);
	if (n) {
		take_place(at, e, n);
	} else { /* there is room for a pointer where the listpack was */
		char *bytes = (char *)(uintptr_t)entry_key(e);
		memmove(bytes + 8, bytes, entry_key_len(e));
		e->flags = (uint8_t)((e->flags & ~ENTRY_EMBEDDED) | ENTRY_RAW);
		e->val_len = 0;
		n = e;
	}
	entry_set_value(n, encoding, value);
	return n;
}

/* ------------------------------------------------------------------ public */

struct entry *store_find(struct store_op *op, const struct store_key *key, unsigned flags)
{
	struct shard *sh = shard_of(op->store, key->hash);
	struct table *t = shard_table(sh, op->db);
	struct slot at;
	struct entry *e = t ? table_find(t, key, &at) : NULL;
	if (!e)
		return NULL;
	if (entry_has_expiry(e) && __builtin_expect(entry_expired(op, e), 0))
		return expired(op, sh, t, key, &at, e);
	if (flags & STORE_WRITE)
		keyspace_before_write(op->store, t, key, e);
	if (flags & STORE_WRITE && !(flags & STORE_LEND) && __builtin_expect(entry_inlined(e), 0))
		e = without_listpack(op->store, key, &at, e, entry_encoding(e), copy_of(op->store, e));
	if (!(flags & STORE_PEEK))
		entry_touch(op, e);
	return e;
}

struct entry *store_settle(struct store_op *op, const struct store_key *key, struct entry *e, unsigned encoding,
                           void *take_value)
{
	struct entry_plan plan = { .arena = arena_of(op->store, key->hash), .key = key->ptr, .key_len = key->len,
		                   .expire_ms = entry_expiry(e), .kind = (uint8_t)(entry_type(e) | encoding << 4) };
	bool within = fits_inline(&plan, entry_type(e), encoding, take_value);
	struct slot at;
	struct entry *n = NULL;
	if (within && !(e->flags & ENTRY_RAW) && slab_class(entry_plan_size(&plan)) == entry_room(e)) {
		e->kind = plan.kind;
		e->val_len = (uint16_t)plan.val_len;
		memcpy(entry_bytes(e), take_value, plan.val_len);
		listpack_free(take_value);
		return e;
	}
	table_locate(shard_table(shard_of(op->store, key->hash), op->db), key->hash, e, &at);
	if (within)
		n = entry_new(&plan);
	if (!n)
		return without_listpack(op->store, key, &at, e, encoding, take_value);
	memcpy(entry_bytes(n), take_value, plan.val_len);
	listpack_free(take_value);
	return take_place(&at, e, n);
}

struct entry *store_extend(struct store_op *op, const struct store_key *key, struct entry *e, size_t add)
{
	struct entry_plan plan = { .arena = arena_of(op->store, key->hash), .key = key->ptr, .key_len = key->len,
		                   .expire_ms = entry_expiry(e), .kind = e->kind, .flags = ENTRY_EMBEDDED,
		                   .val_len = e->val_len + add };
	struct slot at;
	if (add > SLAB_MAX || entry_plan_size(&plan) > SLAB_MAX || e->flags & ENTRY_RAW)
		return NULL;
	if (slab_class(entry_plan_size(&plan)) == entry_room(e)) {
		e->val_len = (uint16_t)plan.val_len;
		return e;
	}
	struct entry *n = entry_new(&plan);
	if (!n)
		return NULL;
	memcpy(entry_bytes(n), entry_bytes(e), e->val_len);
	table_locate(shard_table(shard_of(op->store, key->hash), op->db), key->hash, e, &at);
	return take_place(&at, e, n);
}

bool store_exists(struct store_op *op, const struct store_key *key)
{
	return store_find(op, key, STORE_PEEK) != NULL;
}

static struct entry *aggregate_entry(struct store_op *op, const struct store_key *key, enum store_type_id type,
                                     unsigned encoding, void *value, int64_t expire_ms)
{
	struct entry_plan plan = { .arena = arena_of(op->store, key->hash), .key = key->ptr, .key_len = key->len,
		                   .expire_ms = expire_ms, .kind = (uint8_t)(type | encoding << 4) };
	bool within = fits_inline(&plan, type, encoding, value);
	struct entry *e = entry_new(&plan);
	if (!e)
		return NULL;
	if (within)
		memcpy(entry_bytes(e), value, plan.val_len);
	else
		entry_put_payload(e, value);
	entry_init_access(op, e);
	return e;
}

/* The key is there: a value that was copied into it is given up. */
static struct entry *put_aggregate(struct store_op *op, const struct store_key *key, struct entry *e, void *value)
{
	if (!e)
		return NULL;
	if (!keyspace_put(op, key, e, true)) {
		entry_free_shell(e);
		return NULL;
	}
	if (entry_inlined(e))
		listpack_free(value);
	return e;
}

struct entry *store_add(struct store_op *op, const struct store_key *key, enum store_type_id type, unsigned encoding,
                        void *take_value)
{
	struct entry *e = aggregate_entry(op, key, type, encoding, take_value, STORE_NO_EXPIRY);
	return put_aggregate(op, key, e, take_value);
}

struct entry *store_replace(struct store_op *op, const struct store_key *key, enum store_type_id type,
                            unsigned encoding, void *take_value, int64_t expire_ms)
{
	struct shard *sh = shard_of(op->store, key->hash);
	struct slot at;
	const struct entry *old = keyspace_live(op, sh, shard_table(sh, op->db), key, &at);
	if (expire_ms == STORE_KEEP_EXPIRY)
		expire_ms = old ? entry_expiry(old) : STORE_NO_EXPIRY;
	struct entry *e = aggregate_entry(op, key, type, encoding, take_value, expire_ms);
	return put_aggregate(op, key, e, take_value);
}

bool store_delete(struct store_op *op, const struct store_key *key, bool lazy)
{
	struct store *s = op->store;
	struct shard *sh = shard_of(s, key->hash);
	struct table *t = shard_table(sh, op->db);
	struct slot at;
	struct entry *e = keyspace_live(op, sh, t, key, &at);
	if (!e)
		return false;
	keyspace_before_drop(s, t, key, e);
	detach(s, sh, op->db, t, &at);
	keyspace_drop(s, e, lazy);
	return true;
}

struct entry *keyspace_twin(struct slab_arena *arena, const struct entry *e, const char *key, size_t key_len,
                            int64_t expire_ms)
{
	struct entry_plan plan = { .arena = arena, .key = key, .key_len = key_len, .expire_ms = expire_ms, .kind = e->kind,
		                   .flags = e->flags & (ENTRY_EMBEDDED | ENTRY_RAW | ENTRY_BLOB), .val_len = e->val_len };
	struct entry *n = entry_new(&plan);
	if (!n)
		return NULL;
	memcpy(n->access, e->access, sizeof n->access);
	if (e->flags & ENTRY_EMBEDDED)
		memcpy(entry_bytes(n), entry_bytes(e), e->val_len);
	else
		memcpy(entry_payload_(n), entry_payload_(e), 8);
	return n;
}

/* Add, change or remove the expiry within the allocation. */
static bool expiry_in_place(struct entry *e, int64_t expire_ms)
{
	bool had = entry_has_expiry(e), wants = expire_ms != STORE_NO_EXPIRY;
	size_t size = entry_size(e), room = entry_room(e);
	size_t new_size = size - (had ? 8 : 0) + (wants ? 8 : 0);
	if (new_size > room || (!(e->flags & ENTRY_RAW) && slab_class(new_size) != room))
		return false;
	char *v = entry_var_(e);
	if (wants && !had)
		memmove(v + 8, v, size - sizeof *e);
	else if (had && !wants)
		memmove(v, v + 8, size - sizeof *e - 8);
	if (wants)
		memcpy(v, &expire_ms, 8);
	e->flags = (uint8_t)((e->flags & ~ENTRY_EXPIRY) | (wants ? ENTRY_EXPIRY : 0));
	return true;
}

struct entry *store_set_expiry(struct store_op *op, const struct store_key *key, struct entry *e, int64_t expire_ms)
{
	struct store *s = op->store;
	struct shard *sh = shard_of(s, key->hash);
	struct table *t = shard_table(sh, op->db);
	bool had = entry_has_expiry(e), wants = expire_ms != STORE_NO_EXPIRY;
	if (!had && !wants)
		return e;
	struct slot at;
	table_locate(t, key->hash, e, &at);
	if (wants && !due_reserve(t, at.index))
		return NULL;
	keyspace_before_drop(s, t, key, e); /* the expiry of a frozen value is free to change */
	if (!expiry_in_place(e, expire_ms)) {
		struct entry *n = keyspace_twin(arena_of(s, key->hash), e, entry_key(e), entry_key_len(e), expire_ms);
		if (!n)
			return NULL;
		n->flags |= e->flags & ENTRY_FROZEN;
		keyspace_swap_entry(s, sh, t, &at, e, n);
		entry_free_shell(e);
		return n;
	}
	if (had != wants)
		TABLE_PUBLISH(t->volatile_keys, t->volatile_keys + (wants ? 1 : (uint64_t)-1));
	if (wants) {
		due_note(t, at.index, expire_ms);
		shard_note_due(s, sh, expire_ms);
	}
	return e;
}

int store_copy(struct store_op *op, const struct store_key *from, const struct entry *e, unsigned to_db,
               const struct store_key *to)
{
	(void)from;
	struct entry *n = keyspace_twin(arena_of(op->store, to->hash), e, to->ptr, to->len, entry_expiry(e));
	if (!n)
		return -ENOMEM;
	if (n->flags & ENTRY_BLOB) {
		blob_ref(entry_blob(n));
	} else if (entry_type(e) != STORE_STRING && !entry_inlined(e)) {
		void *value = store_types[entry_type(e)]->dup(entry_encoding(e), entry_value(e));
		if (!value) {
			entry_free_shell(n);
			return -ENOMEM;
		}
		entry_put_payload(n, value);
	}
	struct store_op there = *op;
	there.db = to_db;
	entry_init_access(op, n);
	if (keyspace_put(&there, to, n, true))
		return 0;
	entry_free(n);
	return -ENOMEM;
}

int store_move(struct store_op *op, const struct store_key *from, struct entry *e, unsigned to_db,
               const struct store_key *to)
{
	struct store *s = op->store;
	struct shard *sh = shard_of(s, from->hash);
	struct table *t = shard_table(sh, op->db);
	struct entry *n = keyspace_twin(arena_of(op->store, to->hash), e, to->ptr, to->len, entry_expiry(e));
	if (!n)
		return -ENOMEM;
	keyspace_before_drop(s, t, from, e);
	struct store_op there = *op;
	there.db = to_db;
	if (!keyspace_put(&there, to, n, true)) {
		entry_free_shell(n);
		return -ENOMEM;
	}
	if (__builtin_expect(e->flags & ENTRY_FROZEN, 0)) {
		n->flags |= ENTRY_FROZEN;
		snapshot_moved(s, from->hash, n, to_db, to->hash);
	}
	struct slot at;
	table_locate(t, from->hash, e, &at);
	detach(s, sh, op->db, t, &at);
	entry_free_shell(e);
	return 0;
}
