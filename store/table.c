#include "store/table.h"

#include "store/entry_build.h"
#include "store/memory.h"
#include "store/shard.h"

#define DIR_FIRST 8

static inline uint32_t floor_pow2(uint32_t n)
{
	return 1u << (31 - __builtin_clz(n));
}

/* ------------------------------------------------------------------ segments */

static bool dir_grow(struct table *t, unsigned seg)
{
	unsigned cap = t->dir_cap ? t->dir_cap : DIR_FIRST;
	while (cap <= seg)
		cap *= 2;
	if (cap == t->dir_cap)
		return true;
	if (t->due) {
		struct due_segment *due = mem_realloc(t->due, cap * sizeof *due);
		if (!due)
			return false;
		memset(due + t->dir_cap, 0, (cap - t->dir_cap) * sizeof *due);
		t->due = due;
	}
	struct bucket **dir = mem_realloc(t->dir, cap * sizeof(struct bucket *));
	if (!dir)
		return false;
	memset(dir + t->dir_cap, 0, (cap - t->dir_cap) * sizeof(struct bucket *));
	t->dir = dir;
	t->dir_cap = (uint8_t)cap;
	return true;
}

/* Only what is used gets touched: the fresh pages of a large segment cost nothing yet. */
static bool segment_ensure(struct table *t, struct segment_pos p)
{
	if (p.seg >= t->dir_cap && !dir_grow(t, p.seg))
		return false;
	if (!t->dir[p.seg])
		t->dir[p.seg] = mem_alloc_aligned(p.size * sizeof(struct bucket));
	return t->dir[p.seg] != NULL;
}

static void segment_free(struct table *t, struct segment_pos p)
{
	mem_free(t->dir[p.seg]);
	t->dir[p.seg] = NULL;
	if (t->due && t->due[p.seg].at) {
		mem_free(t->due[p.seg].at);
		t->due[p.seg].at = NULL;
		t->due[p.seg].min = TABLE_DUE_NONE;
	}
}

bool table_init(struct table *t)
{
	struct segment_pos first = segment_of(0);
	if (!segment_ensure(t, first)) {
		mem_free(t->dir);
		t->dir = NULL;
		t->dir_cap = 0;
		return false;
	}
	t->dir[0]->meta = 0;
	t->next_due = TABLE_DUE_NONE;
	TABLE_PUBLISH(t->nbuckets, 1);
	return true;
}

static void overflow_free(struct table *t, struct bucket *b)
{
	mem_free(b);
	TABLE_PUBLISH(t->overflow, t->overflow - 1);
}

static struct bucket *overflow_new(struct table *t)
{
	struct bucket *b = mem_alloc_aligned(sizeof *b);
	if (b) {
		b->meta = 0;
		TABLE_PUBLISH(t->overflow, t->overflow + 1);
	}
	return b;
}

void table_clear(struct table *t)
{
	if (!t->dir)
		return;
	for (uint32_t i = 0; i < t->nbuckets; i++) {
		for (struct bucket *b = bucket_next(table_bucket(t, i)), *next; b; b = next) {
			next = bucket_next(b);
			overflow_free(t, b);
		}
	}
	for (unsigned seg = 0; seg < t->dir_cap; seg++) {
		mem_free(t->dir[seg]);
		if (t->due)
			mem_free(t->due[seg].at);
	}
	mem_free(t->due);
	mem_free(t->dir);
	uint8_t parity = t->parity;
	memset(t, 0, sizeof *t);
	t->parity = parity;
}

void table_free_all(struct table *t)
{
	for (uint32_t i = 0; i < t->nbuckets; i++) {
		for (struct bucket *b = table_bucket(t, i); b; b = bucket_next(b)) {
			for (unsigned j = 0; j < bucket_count(b); j++) {
				if (j + 1 < bucket_count(b))
					__builtin_prefetch(bucket_ptr(b, j + 1));
				entry_free(bucket_ptr(b, j));
			}
		}
	}
	table_clear(t);
}

/* ------------------------------------------------------------------ chains */

static inline void bucket_push(struct bucket *b, uint8_t tag, const void *e)
{
	unsigned n = bucket_count(b);
	b->tag[n] = tag;
	bucket_set_ptr(b, n, e);
	b->meta++;
}

/* Put a spare bucket behind a full one; the ninth entry moves into it. */
static void bucket_chain(struct bucket *b, struct bucket *spare)
{
	spare->meta = 0;
	bucket_push(spare, b->tag[BUCKET_SLOTS - 1], bucket_ptr(b, BUCKET_SLOTS - 1));
	bucket_set_ptr(b, BUCKET_SLOTS - 1, spare);
	b->meta = (BUCKET_SLOTS - 1) | BUCKET_OVERFLOW;
}

void table_locate(const struct table *t, uint64_t hash, const struct entry *e, struct slot *at)
{
	at->index = table_index(t, hash);
	for (struct bucket *b = table_bucket(t, at->index); b; b = bucket_next(b)) {
		for (unsigned hits = bucket_match(b, hash_tag(hash)); hits; hits &= hits - 1) {
			unsigned i = (unsigned)__builtin_ctz(hits);
			if (bucket_ptr(b, i) == e) {
				at->b = b;
				at->i = i;
				return;
			}
		}
	}
	__builtin_unreachable();
}

/* Append to a chain; *len its length after that. */
static bool chain_append(struct table *t, struct bucket *b, uint8_t tag, struct entry *e, struct slot *at, unsigned *len)
{
	*len = 0;
	for (struct bucket *next; (next = bucket_next(b)); b = next)
		*len += BUCKET_SLOTS - 1;
	if (bucket_count(b) == BUCKET_SLOTS) {
		struct bucket *spare = overflow_new(t);
		if (!spare)
			return false;
		bucket_chain(b, spare);
		b = spare;
		*len += BUCKET_SLOTS - 1;
	}
	at->b = b;
	at->i = bucket_count(b);
	bucket_push(b, tag, e);
	*len += bucket_count(b);
	return true;
}

bool table_insert(struct table *t, const struct store *s, uint64_t hash, struct entry *e, struct slot *at)
{
	unsigned len;
	at->index = table_index(t, hash);
	if (!chain_append(t, table_bucket(t, at->index), hash_tag(hash), e, at, &len))
		return false;
	if (len > t->max_chain)
		t->max_chain = len;
	if (entry_has_expiry(e)) {
		TABLE_PUBLISH(t->volatile_keys, t->volatile_keys + 1);
		due_note(t, at->index, entry_expiry(e));
	}
	TABLE_PUBLISH(t->keys, t->keys + 1);
	if (s && t->keys > (uint64_t)t->nbuckets * TABLE_LOAD && !t->pinned)
		table_grow(t, s);
	return true;
}

void table_remove(struct table *t, const struct slot *at)
{
	const struct entry *e = bucket_ptr(at->b, at->i);
	if (entry_has_expiry(e))
		TABLE_PUBLISH(t->volatile_keys, t->volatile_keys - 1);
	struct bucket *prev = NULL, *tail = at->b;
	for (struct bucket *next; (next = bucket_next(tail)); tail = next)
		prev = tail;
	unsigned last = bucket_count(tail) - 1;
	at->b->tag[at->i] = tail->tag[last];
	bucket_set_ptr(at->b, at->i, bucket_ptr(tail, last));
	tail->meta--;
	if (last == 1 && !prev) {
		/* Perhaps the tail is an overflow bucket all the same: its predecessor stands before the slot. */
		for (struct bucket *b = table_bucket(t, at->index); b != tail; b = bucket_next(b))
			prev = b;
	}
	if (last == 1 && prev) {
		prev->tag[BUCKET_SLOTS - 1] = tail->tag[0];
		bucket_set_ptr(prev, BUCKET_SLOTS - 1, bucket_ptr(tail, 0));
		prev->meta = BUCKET_SLOTS;
		overflow_free(t, tail);
	}
	TABLE_PUBLISH(t->keys, t->keys - 1);
	for (int i = 0; i < 2 && t->keys < (uint64_t)t->nbuckets * TABLE_LOAD / 2 && !t->pinned; i++) {
		if (!table_shrink(t))
			break;
	}
}

unsigned table_chain_len(const struct table *t, uint32_t index)
{
	unsigned n = 0;
	for (const struct bucket *b = table_bucket(t, index); b; b = bucket_next(b))
		n += bucket_count(b);
	return n;
}

struct entry *table_chain_at(const struct table *t, uint32_t index, unsigned n, struct slot *at)
{
	struct bucket *b = table_bucket(t, index);
	for (; b->meta & BUCKET_OVERFLOW && n >= BUCKET_SLOTS - 1; b = bucket_next(b))
		n -= BUCKET_SLOTS - 1;
	at->index = index;
	at->b = b;
	at->i = n;
	return bucket_ptr(b, n);
}

/* From the last to the first: a removal fills its hole with the last entry, which has been visited already. */
void table_visit_bucket(struct table *t, uint32_t index, table_visit *visit, void *ctx)
{
	struct slot at;
	t->pinned++;
	for (unsigned n = table_chain_len(t, index); n-- > 0;) {
		struct entry *e = table_chain_at(t, index, n, &at);
		visit(ctx, t, &at, e);
	}
	t->pinned--;
}

/* ------------------------------------------------------------------ growing and shrinking */

/* The overflow buckets that a split or a merge may use. Splitting a chain never needs more than the chain had. */
struct spares {
	struct bucket *first;
};

static void spare_put(struct spares *sp, struct bucket *b)
{
	memcpy((void *)b, &sp->first, sizeof sp->first);
	sp->first = b;
}

static struct bucket *spare_take(struct spares *sp)
{
	struct bucket *b = sp->first;
	memcpy(&sp->first, (const void *)b, sizeof sp->first);
	return b;
}

static void spares_free(struct table *t, struct spares *sp)
{
	while (sp->first)
		overflow_free(t, spare_take(sp));
}

/* The open end of a chain that is being built. */
struct chain_end {
	struct bucket *b;
	uint32_t index;
	int64_t due;
};

static inline void chain_push(struct chain_end *c, uint8_t tag, const struct entry *e, struct spares *sp)
{
	if (bucket_count(c->b) == BUCKET_SLOTS) {
		struct bucket *spare = spare_take(sp);
		bucket_chain(c->b, spare);
		c->b = spare;
	}
	bucket_push(c->b, tag, e);
	int64_t when = entry_expiry(e);
	if (when < c->due)
		c->due = when;
}

static void prefetch_entries(const struct bucket *b)
{
	for (; b; b = bucket_next(b)) {
		for (unsigned i = 0; i < bucket_count(b); i++)
			__builtin_prefetch(bucket_ptr(b, i));
	}
}

bool table_grow(struct table *t, const struct store *s)
{
	uint32_t n = t->nbuckets, half = floor_pow2(n);
	if (n == UINT32_MAX / 2)
		return false;
	struct chain_end low = { table_bucket(t, n - half), n - half, TABLE_DUE_NONE };
	struct chain_end high = { NULL, n, TABLE_DUE_NONE };
	prefetch_entries(low.b);
	if (!segment_ensure(t, segment_of(n)))
		return false;
	if (due_get(t, low.index) != TABLE_DUE_NONE && !due_reserve(t, n))
		return false;
	high.b = table_bucket(t, n);
	high.b->meta = 0;
	struct spares sp = { NULL };
	struct bucket copy = *low.b;
	low.b->meta = 0;
	for (struct bucket *next;;) {
		for (unsigned i = 0; i < bucket_count(&copy); i++) {
			const struct entry *e = bucket_ptr(&copy, i);
			uint64_t hash = hash_bytes(s->secret, entry_key(e), entry_key_len(e));
			chain_push(hash & half ? &high : &low, copy.tag[i], e, &sp);
		}
		next = bucket_next(&copy);
		if (!next)
			break;
		copy = *next;
		spare_put(&sp, next);
	}
	spares_free(t, &sp);
	TABLE_PUBLISH(t->nbuckets, n + 1);
	due_put(t, low.index, low.due);
	due_put(t, high.index, high.due);
	return true;
}

static void push_all(struct chain_end *end, const struct bucket *from, struct spares *sp)
{
	for (unsigned i = 0; i < bucket_count(from); i++)
		chain_push(end, from->tag[i], bucket_ptr(from, i), sp);
}

static unsigned overflow_needed(unsigned len)
{
	return len <= BUCKET_SLOTS ? 0 : (len - BUCKET_SLOTS + BUCKET_SLOTS - 2) / (BUCKET_SLOTS - 1);
}

bool table_shrink(struct table *t)
{
	if (t->nbuckets <= 1)
		return false;
	uint32_t n = t->nbuckets - 1, into = n - floor_pow2(n);
	unsigned a = table_chain_len(t, into), b = table_chain_len(t, n);
	unsigned need = overflow_needed(a + b) - overflow_needed(a) - overflow_needed(b);
	struct spares sp = { NULL };
	if (due_get(t, n) != TABLE_DUE_NONE && !due_reserve(t, into))
		return false;
	for (; need; need--) {
		struct bucket *spare = overflow_new(t);
		if (!spare) {
			spares_free(t, &sp);
			return false;
		}
		spare_put(&sp, spare);
	}
	struct chain_end end = { table_bucket(t, into), into, TABLE_DUE_NONE };
	for (struct bucket *next; (next = bucket_next(end.b)); end.b = next)
		;
	/* The first bucket comes last: overflow buckets must be free before as many are needed. */
	struct bucket first = *table_bucket(t, n);
	for (struct bucket *o = bucket_next(&first), *next; o; o = next) {
		struct bucket copy = *o;
		next = bucket_next(&copy);
		spare_put(&sp, o);
		push_all(&end, &copy, &sp);
	}
	push_all(&end, &first, &sp);
	spares_free(t, &sp);
	due_note(t, into, due_get(t, n));
	due_put(t, n, TABLE_DUE_NONE);
	TABLE_PUBLISH(t->nbuckets, n);
	if (a + b > t->max_chain)
		t->max_chain = a + b;
	struct segment_pos p = segment_of(n);
	if (p.off == 0)
		segment_free(t, p);
	return true;
}

/* ------------------------------------------------------------------ positions */

static inline uint32_t reverse32(uint32_t x)
{
	x = __builtin_bswap32(x);
	x = (x >> 4 & 0x0f0f0f0f) | (x & 0x0f0f0f0f) << 4;
	x = (x >> 2 & 0x33333333) | (x & 0x33333333) << 2;
	return (x >> 1 & 0x55555555) | (x & 0x55555555) << 1;
}

uint32_t table_position_index(const struct table *t, uint64_t position)
{
	return table_index(t, reverse32((uint32_t)position));
}

uint64_t table_position_next(const struct table *t, uint64_t position)
{
	if (t->nbuckets == 1)
		return TABLE_POSITIONS;
	uint32_t i = table_position_index(t, position), half = floor_pow2(t->nbuckets);
	unsigned bits = 31 - (unsigned)__builtin_clz(t->nbuckets);
	/* A bucket that has been split, or came from a split, is told apart by one more bit. */
	if (i >= half || i + half < t->nbuckets)
		bits++;
	uint64_t size = TABLE_POSITIONS >> bits;
	return (position | (size - 1)) + 1;
}
