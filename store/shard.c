/* shard: opening, locks, finding, setting and deleting keys. */
#include <errno.h>
#include <linux/futex.h>
#include <stdlib.h>
#include <sys/random.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "store/impl/siphash.h"
#include "store/internal.h"
#include "store/number.h"

void store_options_init(struct store_options *o)
{
	*o = (struct store_options){ .size = sizeof *o, .shards = 1024, .dbs = 16, .loops = 1 };
	if (getrandom(o->hash_secret, sizeof o->hash_secret, 0) != (ssize_t)sizeof o->hash_secret)
		memcpy(o->hash_secret, &o, sizeof(void *));
}

struct store *store_open(const struct store_options *o, int *err)
{
	*err = -EINVAL;
	if (!o->shards || o->shards > STORE_MAX_SHARDS || (o->shards & (o->shards - 1)) || !o->dbs)
		return NULL;
	*err = -ENOMEM;
	struct store *s = calloc(1, sizeof *s);
	if (!s)
		return NULL;
	s->o = *o;
	memcpy(s->secret, o->hash_secret, sizeof s->secret);
	s->mask = o->shards - 1;
	s->shards = aligned_alloc(64, o->shards * sizeof *s->shards);
	if (!s->shards)
		return NULL;
	memset(s->shards, 0, o->shards * sizeof *s->shards);
	for (unsigned i = 0; i < o->shards; i++) {
		if (o->dbs > 1 && !(s->shards[i].db = calloc(o->dbs, sizeof(struct table *))))
			return NULL;
	}
	*err = 0;
	return s;
}

void store_close(struct store *s)
{
	if (!s)
		return;
	for (unsigned i = 0; i <= s->mask; i++) {
		for (unsigned d = 0; d < s->o.dbs; d++)
			table_unref(shard_table(&s->shards[i], d));
		free(s->shards[i].db);
	}
	free(s->shards);
	free(s);
}

void store_set_single(struct store *s, bool single)
{
	s->single = single;
}

unsigned store_dbs(const struct store *s)
{
	return s->o.dbs;
}

unsigned store_shards(const struct store *s)
{
	return s->o.shards;
}

uint64_t hash_bytes(const struct store *s, const void *p, size_t n)
{
	return siphash(s->secret, p, n);
}

struct store_key store_key(const struct store *s, const void *ptr, size_t len)
{
	return (struct store_key){ ptr, len, hash_bytes(s, ptr, len) };
}

unsigned store_shard_of(const struct store *s, uint64_t hash)
{
	return (unsigned)(hash >> 52) & s->mask;
}

struct table *shard_make_table(struct shard *sh, unsigned db)
{
	struct table *t = table_new();
	if (!t)
		return NULL;
	t->parity = sh->parity;
	if (db)
		sh->db[db] = t;
	else
		sh->first = t;
	return t;
}

/* ------------------------------------------------------------------ locks */

#define SPINS 100

static void lock_slow(struct store *s, struct shard *sh)
{
	for (int i = 0; i < SPINS; i++) {
		unsigned expect = 0;
		if (atomic_load_explicit(&sh->lock, memory_order_relaxed) == 0 &&
		    atomic_compare_exchange_weak_explicit(&sh->lock, &expect, 1, memory_order_acquire, memory_order_relaxed))
			return;
		__builtin_ia32_pause();
	}
	if (s->o.hooks.wait_out)
		s->o.hooks.wait_out(s->o.hooks_ctx);
	while (atomic_exchange_explicit(&sh->lock, 2, memory_order_acquire) != 0)
		syscall(SYS_futex, &sh->lock, FUTEX_WAIT_PRIVATE, 2, NULL, NULL, 0);
	if (s->o.hooks.wait_in)
		s->o.hooks.wait_in(s->o.hooks_ctx);
}

void lock_shard(struct store *s, struct shard *sh)
{
	if (s->single)
		return;
	unsigned expect = 0;
	if (!atomic_compare_exchange_strong_explicit(&sh->lock, &expect, 1, memory_order_acquire, memory_order_relaxed))
		lock_slow(s, sh);
}

void unlock_shard(struct store *s, struct shard *sh)
{
	if (s->single)
		return;
	if (atomic_exchange_explicit(&sh->lock, 0, memory_order_release) == 2)
		syscall(SYS_futex, &sh->lock, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
}

void store_lock(struct store *s, uint64_t hash)
{
	lock_shard(s, shard_at(s, hash));
}

bool store_trylock(struct store *s, uint64_t hash)
{
	unsigned expect = 0;
	return s->single || atomic_compare_exchange_strong_explicit(&shard_at(s, hash)->lock, &expect, 1,
	                                                            memory_order_acquire, memory_order_relaxed);
}

void store_unlock(struct store *s, uint64_t hash)
{
	unlock_shard(s, shard_at(s, hash));
}

void store_lockset_init(struct store_lockset *ls)
{
	ls->n = 0;
	ls->cap = STORE_LOCKSET_INLINE;
	ls->locked = false;
	ls->shards = ls->inline_;
}

bool store_lockset_add(struct store *s, struct store_lockset *ls, uint64_t hash)
{
	if (ls->n == ls->cap) {
		unsigned cap = ls->cap * 2;
		uint16_t *v = mem_alloc(cap * sizeof *v);
		if (!v)
			return false;
		memcpy(v, ls->shards, ls->n * sizeof *v);
		if (ls->shards != ls->inline_)
			mem_free(ls->shards);
		ls->shards = v;
		ls->cap = cap;
	}
	ls->shards[ls->n++] = (uint16_t)store_shard_of(s, hash);
	return true;
}

static int by_number(const void *a, const void *b)
{
	return *(const uint16_t *)a - *(const uint16_t *)b;
}

void store_lockset_lock(struct store *s, struct store_lockset *ls)
{
	qsort(ls->shards, ls->n, sizeof *ls->shards, by_number);
	unsigned n = 0;
	for (unsigned i = 0; i < ls->n; i++) {
		if (i == 0 || ls->shards[i] != ls->shards[i - 1])
			ls->shards[n++] = ls->shards[i];
	}
	ls->n = n;
	for (unsigned i = 0; i < n; i++)
		lock_shard(s, &s->shards[ls->shards[i]]);
	ls->locked = true;
}

void store_lockset_unlock(struct store *s, struct store_lockset *ls)
{
	for (unsigned i = ls->n; i-- > 0;)
		unlock_shard(s, &s->shards[ls->shards[i]]);
	ls->locked = false;
}

void store_lockset_clear(struct store_lockset *ls)
{
	if (ls->shards != ls->inline_)
		mem_free(ls->shards);
}

void store_prefetch(struct store *s, unsigned db, uint64_t hash, int stage)
{
	struct shard *sh = shard_at(s, hash);
	if (stage == 0) {
		__builtin_prefetch(sh, 1);
		return;
	}
	if (!store_trylock(s, hash))
		return;
	struct table *t = shard_table(sh, db);
	if (t) {
		struct bucket *b = table_bucket(t, table_index(t, hash));
		if (stage == 1) {
			__builtin_prefetch(b, 1);
		} else {
			for (unsigned i = 0; i < bucket_count(b); i++) {
				if (b->tag[i] != hash_tag(hash))
					continue;
				__builtin_prefetch(bucket_entry(b, i), 1);
				__builtin_prefetch((char *)bucket_entry(b, i) + 64, 1);
			}
		}
	}
	store_unlock(s, hash);
}

/* ------------------------------------------------------------------ keys */

void remove_pos(struct store_op *op, struct table *t, struct table_pos *pos, struct entry *e, bool lazy)
{
	before_change(op, t, e);
	table_remove(t, pos);
	entry_dispose(op->store, e, lazy);
}

static bool expired(const struct store_op *op, const struct entry *e)
{
	return entry_has_expiry(e) && entry_expiry(e) <= op->now_ms && !op->show_expired;
}

struct entry *find_pos(struct store_op *op, const struct store_key *key, unsigned flags, struct table **tp,
                       struct table_pos *pos)
{
	struct table *t = *tp = shard_table(shard_at(op->store, key->hash), op->db);
	if (!t || !table_find(t, key->hash, key->ptr, key->len, pos))
		return NULL;
	struct entry *e = bucket_entry(pos->bucket, pos->slot);
	if (__builtin_expect(expired(op, e), 0)) {
		if (op->keep_expired)
			return NULL;
		if (op->store->o.hooks.removed)
			op->store->o.hooks.removed(op->store->o.hooks_ctx, op, STORE_EXPIRED, key, e);
		remove_pos(op, t, pos, e, true);
		atomic_fetch_add_explicit(&op->store->expired, 1, memory_order_relaxed);
		return NULL;
	}
	if (flags & STORE_WRITE)
		before_change(op, t, e);
	return e;
}

struct entry *store_find(struct store_op *op, const struct store_key *key, unsigned flags)
{
	struct table *t;
	struct table_pos pos;
	struct entry *e = find_pos(op, key, flags, &t, &pos);
	if (e && !(flags & STORE_PEEK) && !op->no_touch)
		entry_touch(op, e);
	return e;
}

bool store_exists(struct store_op *op, const struct store_key *key)
{
	return store_find(op, key, STORE_PEEK) != NULL;
}

/* Put e where the key is (old, freed) or belongs (old NULL). */
static struct entry *place(struct store_op *op, const struct store_key *key, struct table *t, struct table_pos *pos,
                           struct entry *old, struct entry *e)
{
	if (!e)
		return NULL;
	if (!t && !(t = shard_make_table(shard_at(op->store, key->hash), op->db))) {
		mem_free(e);
		return NULL;
	}
	e->flags = (uint8_t)((e->flags & ~ENTRY_PARITY) | (t->parity ? ENTRY_PARITY : 0));
	entry_touch_new(op, e);
	if (!old) {
		if (table_insert(t, op->store, key->hash, e))
			return e;
		mem_free(e);
		return NULL;
	}
	table_volatile_add(t, entry_has_expiry(e) - entry_has_expiry(old));
	if (entry_has_expiry(e))
		table_note_expiry(t, pos->index, entry_expiry(e));
	table_replace(pos, e);
	return e;
}

static bool parse_int(const void *val, size_t len, int64_t *v)
{
	return len <= 20 && number_parse(val, len, v);
}

/* A string entry of any encoding. */
static struct entry *string_entry(const struct store_key *key, const void *val, size_t len, int64_t expiry)
{
	int64_t v;
	if (parse_int(val, len, &v))
		return entry_new(key, STORE_STRING, STRING_INT, 0, expiry, &v, 8);
	if (len < STORE_BLOB_MIN)
		return entry_new(key, STORE_STRING, len <= 44 ? STRING_EMBSTR : STRING_RAW, ENTRY_EMBEDDED, expiry, val, len);
	char *bytes;
	struct blob *b = blob_new(len, &bytes);
	if (!b)
		return NULL;
	memcpy(bytes, val, len);
	struct entry *e = entry_new(key, STORE_STRING, STRING_RAW, ENTRY_BLOB, expiry, &b, 8);
	if (!e)
		blob_unref(b);
	return e;
}

/* Overwrite in place: same allocation, same expiry state. */
static bool overwrite(struct entry *e, const void *val, size_t len, int64_t expiry)
{
	int64_t v;
	if (!(e->flags & ENTRY_EMBEDDED) || entry_has_expiry(e) != (expiry != STORE_NO_EXPIRY) || len >= STORE_BLOB_MIN ||
	    parse_int(val, len, &v))
		return false;
	size_t base = entry_size(e) - e->val_len;
	if (mem_class(base + len) != mem_class(base + e->val_len))
		return false;
	memcpy((char *)(uintptr_t)entry_key(e) + entry_key_len(e), val, len);
	e->val_len = (uint16_t)len;
	e->kind = (uint8_t)(STORE_STRING | (len <= 44 ? STRING_EMBSTR : STRING_RAW) << 4);
	e->flags &= (uint8_t)~ENTRY_RAW;
	if (expiry != STORE_NO_EXPIRY)
		memcpy(entry_var_(e), &expiry, 8);
	return true;
}

struct entry *store_set_string(struct store_op *op, const struct store_key *key, const void *val, size_t len,
                               int64_t expire_ms)
{
	struct table *t;
	struct table_pos pos;
	struct entry *old = find_pos(op, key, STORE_WRITE, &t, &pos);
	if (expire_ms == STORE_KEEP_EXPIRY)
		expire_ms = old ? entry_expiry(old) : STORE_NO_EXPIRY;
	if (old && entry_type(old) == STORE_STRING && overwrite(old, val, len, expire_ms)) {
		if (expire_ms != STORE_NO_EXPIRY)
			table_note_expiry(t, pos.index, expire_ms);
		entry_touch(op, old);
		return old;
	}
	struct entry *e = place(op, key, t, &pos, old, string_entry(key, val, len, expire_ms));
	if (e && old)
		entry_dispose(op->store, old, true);
	return e;
}

struct entry *store_set_int(struct store_op *op, const struct store_key *key, int64_t val, int64_t expire_ms)
{
	struct table *t;
	struct table_pos pos;
	struct entry *old = find_pos(op, key, STORE_WRITE, &t, &pos);
	if (expire_ms == STORE_KEEP_EXPIRY)
		expire_ms = old ? entry_expiry(old) : STORE_NO_EXPIRY;
	if (old && entry_type(old) == STORE_STRING && entry_encoding(old) == STRING_INT && entry_expiry(old) == expire_ms) {
		memcpy(entry_payload_(old), &val, 8);
		entry_touch(op, old);
		return old;
	}
	struct entry *e = place(op, key, t, &pos, old, entry_new(key, STORE_STRING, STRING_INT, 0, expire_ms, &val, 8));
	if (e && old)
		entry_dispose(op->store, old, true);
	return e;
}

struct entry *store_string_grow(struct store_op *op, const struct store_key *key, struct entry *e, size_t len,
                                char **bytes)
{
	struct table *t;
	struct table_pos pos;
	struct entry *old = find_pos(op, key, STORE_WRITE, &t, &pos), *fresh;
	char buf[24];
	size_t n = 0;
	(void)e;
	const char *p = old ? entry_string(old, buf, &n) : "";
	int64_t expiry = old ? entry_expiry(old) : STORE_NO_EXPIRY;
	if (old && (old->flags & ENTRY_EMBEDDED) && len < STORE_BLOB_MIN &&
	    mem_class(entry_size(old) - old->val_len + len) == mem_class(entry_size(old))) {
		char *v = (char *)(uintptr_t)p;
		if (len > n)
			memset(v + n, 0, len - n);
		old->val_len = (uint16_t)len;
		old->kind = STORE_STRING | STRING_RAW << 4;
		*bytes = v;
		entry_touch(op, old);
		return old;
	}
	char *mem = NULL;
	struct blob *b = NULL;
	if (len < STORE_BLOB_MIN) {
		mem = mem_calloc(len + 1);
		if (!mem)
			return NULL;
		memcpy(mem, p, n < len ? n : len);
		fresh = entry_new(key, STORE_STRING, STRING_RAW, ENTRY_EMBEDDED | ENTRY_RAW, expiry, mem, len);
		mem_free(mem);
	} else {
		b = blob_new(len, &mem);
		if (!b)
			return NULL;
		memcpy(mem, p, n < len ? n : len);
		if (len > n)
			memset(mem + n, 0, len - n);
		fresh = entry_new(key, STORE_STRING, STRING_RAW, ENTRY_BLOB | ENTRY_RAW, expiry, &b, 8);
	}
	fresh = place(op, key, t, &pos, old, fresh);
	if (!fresh) {
		blob_unref(b);
		return NULL;
	}
	if (old)
		entry_dispose(op->store, old, true);
	*bytes = (char *)(uintptr_t)entry_string(fresh, buf, &n);
	return fresh;
}

struct entry *store_add(struct store_op *op, const struct store_key *key, enum store_type_id type, unsigned encoding,
                        void *take_value)
{
	struct table *t = shard_table(shard_at(op->store, key->hash), op->db);
	return place(op, key, t, NULL, NULL, entry_new(key, type, encoding, 0, STORE_NO_EXPIRY, &take_value, 8));
}

struct entry *store_replace(struct store_op *op, const struct store_key *key, enum store_type_id type,
                            unsigned encoding, void *take_value, int64_t expire_ms)
{
	struct table *t;
	struct table_pos pos;
	struct entry *old = find_pos(op, key, STORE_WRITE, &t, &pos);
	if (expire_ms == STORE_KEEP_EXPIRY)
		expire_ms = old ? entry_expiry(old) : STORE_NO_EXPIRY;
	struct entry *e = place(op, key, t, &pos, old, entry_new(key, type, encoding, 0, expire_ms, &take_value, 8));
	if (e && old)
		entry_dispose(op->store, old, true);
	return e;
}

bool store_delete(struct store_op *op, const struct store_key *key, bool lazy)
{
	struct table *t;
	struct table_pos pos;
	struct entry *e = find_pos(op, key, STORE_PEEK, &t, &pos);
	if (e)
		remove_pos(op, t, &pos, e, lazy);
	return e;
}

/* The same key and value in another allocation; the old one is freed without its value. */
static struct entry *reshape(const struct store_key *key, struct entry *e, int64_t expiry)
{
	unsigned keep = e->flags & (ENTRY_EMBEDDED | ENTRY_RAW | ENTRY_BLOB | ENTRY_PARITY);
	const void *val = e->flags & ENTRY_EMBEDDED ? (const void *)(entry_key(e) + entry_key_len(e)) : entry_payload_(e);
	struct entry *n = entry_new(key, entry_type(e), entry_encoding(e), keep, expiry, val, e->val_len);
	if (n)
		memcpy(n->access, e->access, sizeof n->access);
	return n;
}

struct entry *store_set_expiry(struct store_op *op, const struct store_key *key, struct entry *e, int64_t expire_ms)
{
	struct table *t;
	struct table_pos pos;
	e = find_pos(op, key, STORE_WRITE, &t, &pos);
	if (!e)
		return NULL;
	if (entry_has_expiry(e) == (expire_ms != STORE_NO_EXPIRY)) {
		if (entry_has_expiry(e))
			memcpy(entry_var_(e), &expire_ms, 8);
	} else {
		struct entry *n = reshape(key, e, expire_ms);
		if (!n)
			return NULL;
		table_volatile_add(t, entry_has_expiry(n) - entry_has_expiry(e));
		table_replace(&pos, n);
		mem_free_sized(e, entry_size(e));
		e = n;
	}
	if (expire_ms != STORE_NO_EXPIRY)
		table_note_expiry(t, pos.index, expire_ms);
	return e;
}

int store_copy(struct store_op *op, const struct store_key *from, const struct entry *e, unsigned to_db,
               const struct store_key *to)
{
	struct store_op dst = *op;
	struct entry *n;
	(void)from;
	dst.db = to_db;
	struct table *t = shard_table(shard_at(op->store, to->hash), to_db);
	const char *bytes;
	size_t len;
	entry_blob_ref(e, &bytes, &len); /* the copy's reference */
	if (entry_type(e) != STORE_STRING) {
		void *v = store_types[entry_type(e)]->dup(entry_encoding(e), entry_value(e));
		n = v ? entry_new(to, entry_type(e), entry_encoding(e), 0, entry_expiry(e), &v, 8) : NULL;
	} else {
		n = reshape(to, (struct entry *)(uintptr_t)e, entry_expiry(e));
	}
	return place(&dst, to, t, NULL, NULL, n) ? 0 : -ENOMEM;
}

int store_move(struct store_op *op, const struct store_key *from, struct entry *e, unsigned to_db,
               const struct store_key *to)
{
	struct store_op dst = *op;
	struct table *t;
	struct table_pos pos;
	e = find_pos(op, from, STORE_WRITE, &t, &pos);
	if (!e)
		return -ENOENT;
	dst.db = to_db;
	struct entry *n = reshape(to, e, entry_expiry(e));
	if (!n || !place(&dst, to, shard_table(shard_at(op->store, to->hash), to_db), NULL, NULL, n))
		return -ENOMEM;
	memcpy(n->access, e->access, sizeof n->access);
	/* The table may be the same and have split: look again. */
	if (table_find(t, from->hash, from->ptr, from->len, &pos)) {
		table_remove(t, &pos);
		mem_free_sized(e, entry_size(e));
	}
	return 0;
}
