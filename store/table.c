/* table: see table.h. */
#include "store/table.h"

#include <emmintrin.h>
#include <stdlib.h>

#include "store/internal.h"

static inline void publish(uint64_t *counter, uint64_t v)
{
	__atomic_store_n(counter, v, __ATOMIC_RELAXED);
}

struct table *table_new(void)
{
	struct table *t = mem_calloc(sizeof *t);
	if (!t)
		return NULL;
	t->refs = 1;
	t->buckets = 1;
	t->next_due = INT64_MAX;
	t->segment[0] = mem_calloc(sizeof(struct bucket));
	if (!t->segment[0]) {
		mem_free(t);
		return NULL;
	}
	return t;
}

static uint64_t segment_size(unsigned k)
{
	return k ? 1ull << (k - 1) : 1;
}

void table_unref(struct table *t)
{
	if (!t || __atomic_sub_fetch(&t->refs, 1, __ATOMIC_ACQ_REL))
		return;
	for (uint64_t i = 0; i < t->buckets; i++) {
		struct bucket *head = table_bucket(t, i), *b = head;
		while (b) {
			struct bucket *next = bucket_next(b);
			for (unsigned k = 0; k < bucket_count(b); k++)
				entry_free(bucket_entry(b, k));
			if (b != head)
				mem_free(b);
			b = next;
		}
	}
	for (unsigned k = 0; k < TABLE_SEGMENTS; k++) {
		mem_free(t->segment[k]);
		mem_free(t->due[k]);
	}
	mem_free(t);
}

/* Bits of the slots whose tag matches. */
static inline unsigned match_tags(const struct bucket *b, uint8_t tag)
{
	__m128i v = _mm_loadu_si128((const __m128i *)(const void *)b);
	unsigned m = (unsigned)_mm_movemask_epi8(_mm_cmpeq_epi8(v, _mm_set1_epi8((char)tag)));
	return m & ((1u << bucket_count(b)) - 1);
}

static inline bool key_equals(const struct entry *e, const void *key, size_t len)
{
	return entry_key_len(e) == len && memcmp(entry_key(e), key, len) == 0;
}

bool table_find(const struct table *t, uint64_t hash, const void *key, size_t len, struct table_pos *pos)
{
	pos->index = table_index(t, hash);
	struct bucket *b = pos->head = table_bucket(t, pos->index);
	uint8_t tag = hash_tag(hash);
	do {
		for (unsigned m = match_tags(b, tag); m; m &= m - 1) {
			unsigned i = (unsigned)__builtin_ctz(m);
			if (key_equals(bucket_entry(b, i), key, len)) {
				pos->bucket = b;
				pos->slot = i;
				return true;
			}
		}
		b = bucket_next(b);
	} while (__builtin_expect(b != NULL, 0));
	return false;
}

/* Put an entry into a chain, extending it by an overflow bucket where it is full. */
static bool chain_add(struct table *t, struct bucket *b, uint8_t tag, struct entry *e)
{
	while (b->state & BUCKET_CHAINED)
		b = bucket_next(b);
	unsigned n = bucket_count(b);
	if (n == BUCKET_SLOTS) {
		struct bucket *o = mem_calloc(sizeof *o);
		if (!o)
			return false;
		o->tag[0] = b->tag[n - 1];
		bucket_set(o, 0, bucket_entry(b, n - 1));
		o->state = 1;
		bucket_set(b, n - 1, o);
		b->state = (uint8_t)((n - 1) | BUCKET_CHAINED);
		t->overflow++;
		b = o;
		n = 1;
	}
	b->tag[n] = tag;
	bucket_set(b, n, e);
	b->state++;
	return true;
}

static bool add_segment(struct table *t, unsigned k)
{
	if (!t->segment[k])
		t->segment[k] = mem_alloc(segment_size(k) * sizeof(struct bucket));
	if (t->segment[k] && t->volatiles && !t->due[k])
		t->due[k] = mem_alloc(segment_size(k) * sizeof(int64_t));
	return t->segment[k] && (!t->volatiles || t->due[k]);
}

static int64_t *due_of(const struct table *t, uint64_t index)
{
	unsigned k = segment_of(index);
	return t->due[k] ? &t->due[k][index - segment_base(k)] : NULL;
}

/* Collect a chain's entries and empty it, giving its overflow buckets back. */
static unsigned chain_take(struct table *t, struct bucket *head, struct entry **out, uint8_t *tags, unsigned max)
{
	unsigned n = 0;
	struct bucket *b = head;
	while (b) {
		struct bucket *next = bucket_next(b);
		for (unsigned i = 0; i < bucket_count(b) && n < max; i++) {
			tags[n] = b->tag[i];
			out[n++] = bucket_entry(b, i);
		}
		if (b != head) {
			mem_free_sized(b, sizeof *b);
			t->overflow--;
		}
		b = next;
	}
	head->state = 0;
	return n;
}

static unsigned chain_length(const struct bucket *b)
{
	unsigned n = 0;
	for (; b; b = bucket_next(b))
		n += bucket_count(b);
	return n;
}

/* Distribute the entries of a chain over two buckets (or one, when both are the same). Cannot fail: overflow buckets
 * that are needed were just freed or are taken from spare. */
static bool redistribute(struct table *t, const struct store *s, struct bucket *from, uint64_t from_i, uint64_t to_i)
{
	struct entry *small[64], **es = small;
	uint8_t small_tags[64], *tags = small_tags;
	unsigned n = chain_length(from);
	if (n > 64) {
		es = mem_alloc(n * sizeof *es);
		tags = mem_alloc(n);
		if (!es || !tags) {
			mem_free(es);
			mem_free(tags);
			return false;
		}
	}
	chain_take(t, from, es, tags, n);
	int64_t due[2] = { INT64_MAX, INT64_MAX };
	struct bucket *to = table_bucket(t, to_i);
	uint64_t bit = to_i ^ from_i;
	for (unsigned i = 0; i < n; i++) {
		bool moves = hash_bytes(s, entry_key(es[i]), entry_key_len(es[i])) & bit;
		int64_t when = entry_expiry(es[i]);
		if (when < due[moves])
			due[moves] = when;
		while (!chain_add(t, moves ? to : from, tags[i], es[i]))
			abort(); /* freed as many buckets as it needs */
	}
	if (due_of(t, from_i))
		*due_of(t, from_i) = due[0];
	if (due_of(t, to_i))
		*due_of(t, to_i) = due[1];
	if (es != small) {
		mem_free(es);
		mem_free(tags);
	}
	return true;
}

static void grow(struct table *t, const struct store *s)
{
	uint64_t to = t->buckets, from = to - (1ull << t->level);
	if (!add_segment(t, segment_of(to)))
		return; /* denser until memory is there */
	memset(table_bucket(t, to), 0, sizeof(struct bucket));
	if (!redistribute(t, s, table_bucket(t, from), from, to))
		return;
	t->buckets++;
	if (t->buckets == 2ull << t->level)
		t->level++;
}

bool table_insert(struct table *t, const struct store *s, uint64_t hash, struct entry *e)
{
	uint64_t index = table_index(t, hash);
	if (!chain_add(t, table_bucket(t, index), hash_tag(hash), e))
		return false;
	publish(&t->count, t->count + 1);
	if (entry_has_expiry(e)) {
		table_volatile_add(t, 1);
		table_note_expiry(t, index, entry_expiry(e));
	}
	if (t->count > t->buckets * BUCKET_LOAD)
		grow(t, s);
	return true;
}

void table_remove(struct table *t, const struct table_pos *pos)
{
	struct bucket *last = pos->bucket, *before = NULL;
	if (entry_has_expiry(bucket_entry(pos->bucket, pos->slot)))
		table_volatile_add(t, -1);
	for (struct bucket *b = pos->head; b != last; b = bucket_next(b))
		before = b;
	while (last->state & BUCKET_CHAINED) {
		before = last;
		last = bucket_next(last);
	}
	unsigned n = bucket_count(last) - 1;
	pos->bucket->tag[pos->slot] = last->tag[n];
	bucket_set(pos->bucket, pos->slot, bucket_entry(last, n));
	last->state = (uint8_t)n;
	if (n == 0 && before) {
		before->state &= (uint8_t)~BUCKET_CHAINED;
		mem_free_sized(last, sizeof *last);
		t->overflow--;
	}
	publish(&t->count, t->count - 1);
}

bool table_shrink(struct table *t, const struct store *s)
{
	if (t->buckets <= 1 || t->count >= (t->buckets - 1) * (BUCKET_LOAD - 2))
		return false;
	uint64_t last = t->buckets - 1;
	uint32_t level = last < (1ull << t->level) ? t->level - 1 : t->level;
	uint64_t to = last - (1ull << level);
	struct bucket *b = table_bucket(t, last), *into = table_bucket(t, to);
	int64_t *d = due_of(t, last), *di = due_of(t, to);
	(void)s;
	for (struct bucket *c = b; c; c = bucket_next(c)) {
		for (unsigned i = 0; i < bucket_count(c); i++) {
			if (!chain_add(t, into, c->tag[i], bucket_entry(c, i)))
				abort();
		}
	}
	struct entry *es[1];
	uint8_t tags[1];
	chain_take(t, b, es, tags, 0);
	if (d && di && *d < *di)
		*di = *d;
	t->buckets--;
	t->level = level;
	unsigned k = segment_of(last);
	if (last == segment_base(k) && k) {
		mem_free(t->segment[k]);
		mem_free(t->due[k]);
		t->segment[k] = NULL;
		t->due[k] = NULL;
	}
	return true;
}

bool table_note_expiry(struct table *t, uint64_t index, int64_t when)
{
	unsigned k = segment_of(index);
	if (!t->due[k]) {
		for (unsigned i = 0; i < TABLE_SEGMENTS; i++) {
			if (!t->segment[i] || t->due[i])
				continue;
			t->due[i] = mem_alloc(segment_size(i) * sizeof(int64_t));
			if (!t->due[i])
				return false;
			uint64_t base = segment_base(i), n = segment_size(i);
			for (uint64_t j = 0; j < n && base + j < t->buckets; j++)
				t->due[i][j] = INT64_MAX;
		}
	}
	int64_t *d = due_of(t, index);
	if (when < *d)
		*d = when;
	if (when < t->next_due)
		t->next_due = when;
	return true;
}

void table_volatile_add(struct table *t, int n)
{
	publish(&t->volatiles, t->volatiles + (uint64_t)(int64_t)n);
}

size_t table_memory(const struct table *t)
{
	return sizeof *t + (t->buckets + t->overflow) * sizeof(struct bucket);
}

/* ------------------------------------------------------------------ scanning */

#define SCAN_BITS 43

static uint64_t reverse_bits(uint64_t v)
{
	v = (v >> 1 & 0x5555555555555555ull) | (v & 0x5555555555555555ull) << 1;
	v = (v >> 2 & 0x3333333333333333ull) | (v & 0x3333333333333333ull) << 2;
	v = (v >> 4 & 0x0f0f0f0f0f0f0f0full) | (v & 0x0f0f0f0f0f0f0f0full) << 4;
	return __builtin_bswap64(v);
}

/*
 * Positions are low hash bits, ordered by their reversal. A bucket of depth d holds one aligned interval of 2^(64-d) of
 * that order, whatever splits and merges happen elsewhere; the next position is the interval's end.
 */
uint64_t table_scan_next(const struct table *t, uint64_t v)
{
	uint64_t index = table_index(t, v);
	uint32_t depth = t->level;
	/* A bucket that was split, or is the image of a split, is one bit deeper. */
	if ((index & ((1ull << t->level) - 1)) < t->buckets - (1ull << t->level))
		depth++;
	if (depth == 0)
		return 0;
	uint64_t step = 1ull << (64 - depth);
	uint64_t r = reverse_bits(index & ((1ull << depth) - 1));
	return reverse_bits(r + step); /* wraps to 0 at the end */
}
