#include "store/entry_build.h"

#include <sys/random.h>

#include "store/memory.h"
#include "store/memory_class.h"
#include "store/number.h"

/* ------------------------------------------------------------------ building */

struct entry *entry_new(const struct entry_plan *p)
{
	if (p->key_len > UINT32_MAX)
		return NULL;
	size_t size = entry_plan_size(p);
	if (p->room > size)
		size = p->room;
	struct entry *e = size <= SLAB_MAX ? slab_alloc(p->arena, size) : mem_alloc(mem_class_(size));
	if (!e)
		return NULL;
	e->kind = p->kind;
	e->flags = (uint8_t)(p->flags | (size <= SLAB_MAX ? ENTRY_SLAB : 0));
	entry_put_access(e, 0);
	e->key_len = (uint8_t)(p->key_len < 255 ? p->key_len : 255);
	e->val_len = (uint16_t)(p->flags & ENTRY_EMBEDDED ? p->val_len : 0);
	char *at = entry_var_(e);
	if (p->expire_ms != STORE_NO_EXPIRY) {
		e->flags |= ENTRY_EXPIRY;
		memcpy(at, &p->expire_ms, 8);
		at += 8;
	}
	if (p->key_len >= 255) {
		uint64_t len = p->key_len;
		memcpy(at, &len, 8);
		at += 8;
	}
	if (!(p->flags & ENTRY_EMBEDDED))
		at += 8;
	memcpy(at, p->key, p->key_len);
	return e;
}

size_t entry_size(const struct entry *e)
{
	return (size_t)(entry_key(e) - (const char *)e) + entry_key_len(e) + (e->flags & ENTRY_EMBEDDED ? e->val_len : 0);
}

size_t entry_room(const struct entry *e)
{
	if (!(e->flags & ENTRY_RAW))
		return slab_class(entry_size(e));
	return e->flags & ENTRY_SLAB ? slab_room(e) : mem_size(e);
}

void entry_free_shell(struct entry *e)
{
	if (e->flags & ENTRY_SLAB)
		slab_free(e);
	else if (e->flags & ENTRY_RAW)
		mem_free(e);
	else
		mem_free_sized(e, mem_class_(entry_size(e)));
}

void entry_free(struct entry *e)
{
	if (e->flags & ENTRY_BLOB)
		blob_unref(entry_value(e));
	else if (entry_type(e) != STORE_STRING && !entry_inlined(e) && store_types[entry_type(e)]->free)
		store_types[entry_type(e)]->free(entry_encoding(e), entry_value(e));
	entry_free_shell(e);
}

/* ------------------------------------------------------------------ blobs */

static struct blob *blob_made(void *(*alloc)(size_t n), size_t len, size_t cap)
{
	size_t size;
	if (__builtin_add_overflow(cap, sizeof(struct blob), &size))
		return NULL;
	struct blob *b = alloc(size);
	if (b) {
		b->refs = 1;
		b->len = len;
		b->cap = cap;
	}
	return b;
}

struct blob *blob_new(size_t len, size_t cap)
{
	return blob_made(mem_alloc, len, cap);
}

struct blob *blob_new_zeroed(size_t len, size_t cap)
{
	return blob_made(mem_calloc, len, cap);
}

void blob_unref(struct blob *b)
{
	if (b && __atomic_fetch_sub(&b->refs, 1, __ATOMIC_ACQ_REL) == 1)
		mem_free(b);
}

struct blob *entry_blob_ref(const struct entry *e, const char **bytes, size_t *len)
{
	struct blob *b = entry_blob(e);
	if (!b)
		return NULL;
	blob_ref(b);
	*bytes = b->bytes;
	*len = b->len;
	return b;
}

/* ------------------------------------------------------------------ strings as they are read */

static inline int64_t int_payload(const struct entry *e)
{
	int64_t v;
	memcpy(&v, entry_payload_(e), sizeof v);
	return v;
}

const char *entry_string(const struct entry *e, char buf[static 24], size_t *len)
{
	if (e->flags & ENTRY_EMBEDDED) {
		*len = e->val_len;
		return entry_bytes(e);
	}
	struct blob *b = entry_blob(e);
	if (b) {
		*len = b->len;
		return b->bytes;
	}
	*len = number_print(buf, int_payload(e));
	return buf;
}

size_t entry_string_len(const struct entry *e)
{
	if (e->flags & ENTRY_EMBEDDED)
		return e->val_len;
	const struct blob *b = entry_blob(e);
	return b ? b->len : number_len(int_payload(e));
}

bool entry_string_int(const struct entry *e, int64_t *val)
{
	if (e->flags & ENTRY_EMBEDDED)
		return number_parse(entry_bytes(e), e->val_len, val);
	if (e->flags & ENTRY_BLOB)
		return false;
	*val = int_payload(e);
	return true;
}

/* ------------------------------------------------------------------ names */

const char *entry_type_name(const struct entry *e)
{
	return store_types[entry_type(e)]->name;
}

const char *entry_encoding_name(const struct entry *e)
{
	static const char *const strings[] = { "raw", "embstr", "int" };
	static const char *const aggregates[] = { "listpack", "quicklist", "hashtable", "intset",
		                                          "skiplist", "stream", "listpack" };
	const struct store_type *type = store_types[entry_type(e)];
	if (entry_type(e) == STORE_STRING)
		return strings[entry_encoding(e)];
	return type->encoding_name ? type->encoding_name(entry_encoding(e), entry_value(e)) : aggregates[entry_encoding(e)];
}

/* ------------------------------------------------------------------ access clocks */

uint64_t store_rng_next(void)
{
	static _Thread_local uint64_t state;
	if (state == 0 && getrandom(&state, sizeof state, GRND_NONBLOCK) != (ssize_t)sizeof state)
		state = (uintptr_t)&state;
	uint64_t z = state += 0x9e3779b97f4a7c15u;
	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
	z = (z ^ z >> 27) * 0x94d049bb133111ebu;
	return z ^ z >> 31;
}

uint32_t store_access_clock(enum store_access access, int64_t now_ms)
{
	return access == STORE_ACCESS_LFU ? (uint32_t)(now_ms / 60000) & 0xffff : (uint32_t)(now_ms / 1000) & 0xffffff;
}

/* The counter loses one for every decay period that passed since its minute. */
static unsigned lfu_decayed(const struct store_op *op, const struct entry *e)
{
	uint32_t v = entry_access(e);
	unsigned counter = v & 255;
	if (op->lfu_decay_min == 0)
		return counter;
	uint32_t minutes = (store_access_clock(STORE_ACCESS_LFU, op->now_ms) - (v >> 8)) & 0xffff;
	uint32_t periods = minutes / op->lfu_decay_min;
	return periods >= counter ? 0 : counter - periods;
}

void entry_touch_lfu(const struct store_op *op, struct entry *e)
{
	unsigned counter = lfu_decayed(op, e);
	if (counter < 255) {
		/* The chance of a step falls with the counter: 8 bits hold about a million accesses. */
		uint64_t steps = counter > LFU_INIT ? counter - LFU_INIT : 0;
		uint64_t odds = steps * op->lfu_log_factor + 1;
		if (odds == 1 || store_rng_next() % odds == 0)
			counter++;
	}
	uint32_t v = store_access_clock(STORE_ACCESS_LFU, op->now_ms) << 8 | counter;
	if (v != entry_access(e))
		entry_put_access(e, v);
}

void entry_init_access(const struct store_op *op, struct entry *e)
{
	if (op->access == STORE_ACCESS_LFU)
		entry_put_access(e, store_access_clock(STORE_ACCESS_LFU, op->now_ms) << 8 | LFU_INIT);
	else
		entry_put_access(e, op->access_clock);
}

int64_t entry_idle_ms(const struct store_op *op, const struct entry *e)
{
	uint32_t now = store_access_clock(STORE_ACCESS_LRU, op->now_ms);
	return (int64_t)((now - entry_access(e)) & 0xffffff) * 1000;
}

unsigned entry_freq(const struct store_op *op, const struct entry *e)
{
	return lfu_decayed(op, e);
}

void entry_set_idle(const struct store_op *op, struct entry *e, int64_t idle_ms)
{
	int64_t s = op->now_ms / 1000 - idle_ms / 1000;
	entry_put_access(e, (uint32_t)(s > 0 ? s : 0) & 0xffffff);
}

void entry_set_freq(const struct store_op *op, struct entry *e, unsigned freq)
{
	entry_put_access(e, store_access_clock(STORE_ACCESS_LFU, op->now_ms) << 8 | (freq < 255 ? freq : 255));
}

/* ------------------------------------------------------------------ memory */

size_t entry_memory(const struct entry *e, unsigned samples)
{
	const struct store_type *type = store_types[entry_type(e)];
	size_t n = entry_room(e) + 11; /* a key's share of the buckets */
	if (e->flags & ENTRY_BLOB)
		n += mem_size(entry_value(e));
	else if (type->memory && !entry_inlined(e))
		n += type->memory(entry_encoding(e), entry_value(e), samples);
	return n;
}
