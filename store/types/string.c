/* Strings: embedded in the entry, an integer in it, or a counted blob from STORE_BLOB_MIN bytes on. */
#include "store/entry_build.h"
#include "store/number.h"
#include "store/shard.h"

#define EMBSTR_MAX 44
#define GROW_STEP_MAX (1024 * 1024)

/* The payload that goes into an entry: bytes that are copied. */
struct payload {
	const void *ptr;
	size_t len;
};

static inline uint8_t string_kind(enum string_encoding encoding)
{
	return (uint8_t)(STORE_STRING | encoding << 4);
}

static inline void write_payload(struct entry *e, struct payload p)
{
	if (e->flags & ENTRY_EMBEDDED) {
		e->val_len = (uint16_t)p.len;
		memmove(entry_bytes(e), p.ptr, p.len);
	} else {
		memcpy(entry_payload_(e), p.ptr, 8);
	}
}

static inline struct entry_plan plan_for(const struct store_op *op, const struct store_key *key, int64_t expire_ms,
                                         enum string_encoding encoding, unsigned flags)
{
	return (struct entry_plan){ .arena = arena_of(op->store, key->hash), .key = key->ptr, .key_len = key->len,
		                    .expire_ms = expire_ms, .kind = string_kind(encoding), .flags = (uint8_t)flags };
}

/* Overwrite a string entry of the same layout whose allocation is what the new bytes would get anyway. */
static inline bool overwrite(struct entry *e, const struct entry_plan *plan, struct payload p)
{
	const unsigned layout = ENTRY_EXPIRY | ENTRY_EMBEDDED | ENTRY_BLOB;
	unsigned wanted = plan->flags | (plan->expire_ms != STORE_NO_EXPIRY ? ENTRY_EXPIRY : 0);
	if (entry_type(e) != STORE_STRING || (e->flags & layout) != wanted || wanted & ENTRY_BLOB ||
	    entry_room(e) != slab_class(entry_plan_size(plan)))
		return false;
	e->kind = plan->kind;
	e->flags &= (uint8_t)~ENTRY_RAW;
	if (wanted & ENTRY_EXPIRY)
		memcpy(entry_var_(e), &plan->expire_ms, 8);
	write_payload(e, p);
	return true;
}

/* Put the planned entry with its payload in the key's place. NULL: out of memory, nothing changed. */
static struct entry *place(struct store_op *op, const struct store_key *key, struct entry_plan *plan, struct payload p)
{
	struct store *s = op->store;
	struct shard *sh = shard_of(s, key->hash);
	struct table *t = shard_table_make(s, sh, op->db);
	if (!t)
		return NULL;
	struct slot at;
	struct entry *old = table_find(t, key, &at);
	if (old && __builtin_expect(entry_expired(op, old), 0) && !op->keep_expired) {
		keyspace_expire(op, sh, t, &at, old, key);
		old = NULL;
	}
	if (plan->expire_ms == STORE_KEEP_EXPIRY)
		plan->expire_ms = old ? entry_expiry(old) : STORE_NO_EXPIRY;
	if (old) {
		if (plan->expire_ms != STORE_NO_EXPIRY && !due_reserve(t, at.index))
			return NULL;
		keyspace_before_drop(s, t, key, old);
		if (overwrite(old, plan, p)) {
			if (plan->expire_ms != STORE_NO_EXPIRY) {
				due_note(t, at.index, plan->expire_ms);
				shard_note_due(s, sh, plan->expire_ms);
			}
			entry_touch(op, old);
			return old;
		}
	}
	struct entry *e = entry_new(plan);
	if (!e)
		return NULL;
	write_payload(e, p);
	entry_init_access(op, e);
	if (!old) {
		if (keyspace_insert(op, sh, t, key->hash, e))
			return e;
		entry_free_shell(e);
		return NULL;
	}
	if (op->access == STORE_ACCESS_LFU) {
		memcpy(e->access, old->access, sizeof e->access);
		entry_touch(op, e);
	}
	keyspace_swap_entry(s, sh, t, &at, old, e); /* room for its expiry has been made */
	keyspace_drop(s, old, true);
	return e;
}

static struct entry *set_blob(struct store_op *op, const struct store_key *key, const void *val, size_t len,
                              int64_t expire_ms)
{
	struct blob *b = blob_new(len, len);
	if (!b)
		return NULL;
	memcpy(b->bytes, val, len);
	struct entry_plan plan = plan_for(op, key, expire_ms, STRING_RAW, ENTRY_BLOB);
	struct entry *e = place(op, key, &plan, (struct payload){ &b, 8 });
	if (!e)
		blob_unref(b);
	return e;
}

struct entry *store_set_string(struct store_op *op, const struct store_key *key, const void *val, size_t len,
                               int64_t expire_ms)
{
	int64_t n;
	if (len <= NUMBER_MAX && number_parse(val, len, &n))
		return store_set_int(op, key, n, expire_ms);
	if (len >= STORE_BLOB_MIN)
		return set_blob(op, key, val, len, expire_ms);
	enum string_encoding encoding = len <= EMBSTR_MAX ? STRING_EMBSTR : STRING_RAW;
	struct entry_plan plan = plan_for(op, key, expire_ms, encoding, ENTRY_EMBEDDED);
	plan.val_len = len;
	return place(op, key, &plan, (struct payload){ val, len });
}

struct entry *store_set_int(struct store_op *op, const struct store_key *key, int64_t val, int64_t expire_ms)
{
	struct entry_plan plan = plan_for(op, key, expire_ms, STRING_INT, 0);
	return place(op, key, &plan, (struct payload){ &val, 8 });
}

/* ------------------------------------------------------------------ growing in place */

static size_t grown_room(size_t len)
{
	return len + (len < GROW_STEP_MAX ? len : GROW_STEP_MAX);
}

/* A blob that begins with these bytes and goes on in zeros. A bit set far out must not cost the time to write all before
 * it: memory that comes fresh from the system is zero already. */
static struct blob *blob_extended(const char *old, size_t keep, size_t len, size_t cap)
{
	bool far = len - keep >= GROW_STEP_MAX;
	struct blob *b = far ? blob_new_zeroed(len, cap) : blob_new(len, cap);
	if (!b)
		return NULL;
	if (keep)
		memcpy(b->bytes, old, keep);
	if (!far)
		memset(b->bytes + keep, 0, len - keep);
	return b;
}

/* The blob in e made len bytes long, alone and with room; its old reference is used up unless NULL is returned. */
static struct blob *grow_blob(struct blob *b, size_t len)
{
	size_t keep = b->len < len ? b->len : len;
	if (!blob_shared(b) && b->cap >= len) {
		memset(b->bytes + keep, 0, len - keep);
		b->len = len;
		return b;
	}
	struct blob *n = blob_extended(b->bytes, keep, len, len > b->len ? grown_room(len) : len);
	if (n)
		blob_unref(b);
	return n;
}

/* Put a raw entry for len bytes in the place of e (which may be NULL), with the first bytes of the old value. */
static struct entry *rebuild_raw(struct store_op *op, const struct store_key *key, struct entry *e, size_t len,
                                 const char *old, size_t old_len)
{
	size_t keep = old_len < len ? old_len : len;
	struct blob *b = NULL;
	struct entry_plan plan = plan_for(op, key, e ? entry_expiry(e) : STORE_NO_EXPIRY, STRING_RAW, ENTRY_BLOB);
	if (len < STORE_BLOB_MIN) {
		plan.flags = ENTRY_EMBEDDED | ENTRY_RAW;
		plan.val_len = len;
		plan.room = slab_class(entry_plan_size(&plan) + (e && len > old_len ? len : 0));
	} else if (!(b = blob_extended(old, keep, len, e && len > old_len ? grown_room(len) : len))) {
		return NULL;
	}
	struct entry *n = entry_new(&plan);
	if (!n) {
		blob_unref(b);
		return NULL;
	}
	if (b) {
		entry_put_payload(n, b);
	} else {
		if (keep)
			memcpy(entry_bytes(n), old, keep);
		memset(entry_bytes(n) + keep, 0, len - keep);
	}
	entry_init_access(op, n);
	if (e)
		memcpy(n->access, e->access, sizeof n->access);
	if (!keyspace_put(op, key, n, true)) {
		entry_free(n);
		return NULL;
	}
	return n;
}

struct entry *store_string_grow(struct store_op *op, const struct store_key *key, struct entry *e, size_t len,
                                char **bytes)
{
	struct shard *sh = shard_of(op->store, key->hash);
	char buf[24];
	size_t old_len = 0;
	const char *old = e ? entry_string(e, buf, &old_len) : NULL;
	if (e)
		keyspace_before_write(op->store, shard_table(sh, op->db), key, e);
	struct blob *b = e && len >= STORE_BLOB_MIN ? entry_blob(e) : NULL;
	if (b) {
		b = grow_blob(b, len);
		if (!b)
			return NULL;
		entry_put_payload(e, b);
		*bytes = b->bytes;
	} else {
		size_t head = e && e->flags & ENTRY_EMBEDDED ? entry_size(e) - e->val_len : 0;
		if (head && len < STORE_BLOB_MIN && head + len <= entry_room(e)) {
			e->flags |= ENTRY_RAW;
			e->kind = string_kind(STRING_RAW);
			e->val_len = (uint16_t)len;
			if (len > old_len)
				memset(entry_bytes(e) + old_len, 0, len - old_len);
		} else {
			e = rebuild_raw(op, key, e, len, old, old_len);
			if (!e)
				return NULL;
		}
		*bytes = e->flags & ENTRY_BLOB ? entry_blob(e)->bytes : entry_bytes(e);
	}
	return e;
}
