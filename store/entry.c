/* entry: see entry.h. */
#include "store/entry.h"

#include <stdlib.h>

#include "store/internal.h"
#include "store/number.h"

struct blob {
	uint32_t refs;
	size_t len, cap;
	char bytes[];
};

struct blob *blob_new(size_t len, char **bytes)
{
	struct blob *b = mem_alloc(sizeof *b + len);
	if (!b)
		return NULL;
	b->refs = 1;
	b->len = b->cap = len;
	*bytes = b->bytes;
	return b;
}

void blob_unref(struct blob *b)
{
	if (b && __atomic_sub_fetch(&b->refs, 1, __ATOMIC_ACQ_REL) == 0)
		mem_free(b);
}

static size_t header_size(size_t key_len, unsigned flags)
{
	return sizeof(struct entry) + (flags & ENTRY_EXPIRY ? 8 : 0) + (key_len >= 255 ? 8 : 0) +
	       (flags & ENTRY_EMBEDDED ? 0 : 8);
}

size_t entry_size(const struct entry *e)
{
	size_t k = entry_key_len(e);
	return header_size(k, e->flags) + k + (e->flags & ENTRY_EMBEDDED ? e->val_len : 0);
}

struct entry *entry_new(const struct store_key *key, enum store_type_id type, unsigned encoding, unsigned flags,
                        int64_t expiry, const void *val, size_t len)
{
	flags = expiry == STORE_NO_EXPIRY ? flags & ~(unsigned)ENTRY_EXPIRY : flags | ENTRY_EXPIRY;
	size_t head = header_size(key->len, flags), emb = flags & ENTRY_EMBEDDED ? len : 0;
	struct entry *e = mem_alloc(head + key->len + emb);
	if (!e)
		return NULL;
	*e = (struct entry){ .kind = (uint8_t)(type | encoding << 4), .flags = (uint8_t)flags };
	e->key_len = key->len >= 255 ? 255 : (uint8_t)key->len;
	e->val_len = (uint16_t)emb;
	if (flags & ENTRY_EXPIRY)
		memcpy(entry_var_(e), &expiry, 8);
	if (e->key_len == 255) {
		uint64_t n = key->len;
		memcpy(entry_var_(e) + (flags & ENTRY_EXPIRY ? 8 : 0), &n, 8);
	}
	char *p = (char *)(uintptr_t)entry_key(e);
	memcpy(p, key->ptr, key->len);
	if (flags & ENTRY_EMBEDDED)
		memcpy(p + key->len, val, len);
	else
		memcpy(entry_payload_(e), val, 8);
	return e;
}

static struct blob *entry_blob(const struct entry *e)
{
	return entry_value(e);
}

void entry_free(struct entry *e)
{
	if (e->flags & ENTRY_BLOB)
		blob_unref(entry_blob(e));
	else if (entry_type(e) != STORE_STRING && store_types[entry_type(e)])
		store_types[entry_type(e)]->free(entry_encoding(e), entry_value(e));
	mem_free_sized(e, entry_size(e));
}

static void free_later(void *arg)
{
	entry_free(arg);
}

void entry_dispose(struct store *s, struct entry *e, bool lazy)
{
	const struct store_type *t = store_types[entry_type(e)];
	bool large = entry_type(e) == STORE_STRING ? false : t && t->free_cost(entry_encoding(e), entry_value(e)) > 64;
	if (large && lazy)
		reaper_give(s, free_later, e);
	else
		entry_free(e);
}

const char *entry_string(const struct entry *e, char buf[static 24], size_t *len)
{
	if (__builtin_expect(e->flags & ENTRY_EMBEDDED, 1)) {
		*len = e->val_len;
		return entry_key(e) + entry_key_len(e);
	}
	if (e->flags & ENTRY_BLOB) {
		*len = entry_blob(e)->len;
		return entry_blob(e)->bytes;
	}
	int64_t v;
	memcpy(&v, entry_payload_(e), 8);
	*len = number_print(buf, v);
	return buf;
}

size_t entry_string_len(const struct entry *e)
{
	char buf[24];
	size_t len;
	entry_string(e, buf, &len);
	return len;
}

bool entry_string_int(const struct entry *e, int64_t *val)
{
	if (entry_encoding(e) == STRING_INT) {
		memcpy(val, entry_payload_(e), 8);
		return true;
	}
	char buf[24];
	size_t len;
	const char *p = entry_string(e, buf, &len);
	return number_parse(p, len, val);
}

struct blob *entry_blob_ref(const struct entry *e, const char **bytes, size_t *len)
{
	if (!(e->flags & ENTRY_BLOB))
		return NULL;
	struct blob *b = entry_blob(e);
	__atomic_add_fetch(&b->refs, 1, __ATOMIC_RELAXED);
	*bytes = b->bytes;
	*len = b->len;
	return b;
}

const char *entry_encoding_name(const struct entry *e)
{
	if (entry_type(e) == STORE_STRING)
		return entry_encoding(e) == STRING_INT ? "int" : entry_encoding(e) == STRING_EMBSTR ? "embstr" : "raw";
	return store_types[entry_type(e)]->encoding_name(entry_encoding(e), entry_value(e));
}

const char *entry_type_name(const struct entry *e)
{
	static const char *const names[] = { "string", "list", "set", "zset", "hash", "stream" };
	return names[entry_type(e)];
}

/* ------------------------------------------------------------------ access clocks */

uint32_t store_access_clock(enum store_access access, int64_t now_ms)
{
	return access == STORE_ACCESS_LFU ? (uint32_t)(now_ms / 60000) & 0xffff : (uint32_t)(now_ms / 1000) & 0xffffff;
}

static uint32_t get_access(const struct entry *e)
{
	return e->access[0] | (uint32_t)e->access[1] << 8 | (uint32_t)e->access[2] << 16;
}

static void set_access(struct entry *e, uint32_t v)
{
	e->access[0] = (uint8_t)v;
	e->access[1] = (uint8_t)(v >> 8);
	e->access[2] = (uint8_t)(v >> 16);
}

unsigned entry_freq(const struct store_op *op, const struct entry *e)
{
	uint32_t a = get_access(e), counter = a & 255, then = a >> 8;
	uint32_t now = store_access_clock(STORE_ACCESS_LFU, op->now_ms);
	uint32_t minutes = (now - then) & 0xffff, periods = op->lfu_decay_min ? minutes / op->lfu_decay_min : 0;
	return periods > counter ? 0 : counter - periods;
}

static unsigned log_increment(const struct store_op *op, unsigned counter)
{
	if (counter == 255)
		return 255;
	static _Thread_local uint64_t state = 88172645463325252ull;
	state ^= state << 13;
	state ^= state >> 7;
	state ^= state << 17;
	double base = counter > 5 ? counter - 5 : 0;
	double r = (double)(state >> 11) / (double)(1ull << 53);
	return counter + (r < 1.0 / (base * op->lfu_log_factor + 1));
}

void entry_touch(const struct store_op *op, struct entry *e)
{
	uint32_t v = op->access_clock;
	if (op->access == STORE_ACCESS_LFU)
		v = op->access_clock << 8 | log_increment(op, entry_freq(op, e));
	if (get_access(e) != v)
		set_access(e, v);
}

void entry_touch_new(const struct store_op *op, struct entry *e)
{
	set_access(e, op->access == STORE_ACCESS_LFU ? op->access_clock << 8 | 5 : op->access_clock);
}

int64_t entry_idle_ms(const struct store_op *op, const struct entry *e)
{
	uint32_t now = store_access_clock(STORE_ACCESS_LRU, op->now_ms);
	return (int64_t)((now - get_access(e)) & 0xffffff) * 1000;
}

void entry_set_idle(const struct store_op *op, struct entry *e, int64_t idle_ms)
{
	set_access(e, (store_access_clock(STORE_ACCESS_LRU, op->now_ms) - (uint32_t)(idle_ms / 1000)) & 0xffffff);
}

void entry_set_freq(const struct store_op *op, struct entry *e, unsigned freq)
{
	set_access(e, store_access_clock(STORE_ACCESS_LFU, op->now_ms) << 8 | freq);
}

size_t entry_memory(const struct entry *e, unsigned samples)
{
	size_t n = mem_class(entry_size(e)) + 9;
	if (e->flags & ENTRY_BLOB)
		n += mem_size(entry_blob(e));
	else if (entry_type(e) != STORE_STRING)
		n += store_types[entry_type(e)]->memory(entry_encoding(e), entry_value(e), samples);
	return n;
}
