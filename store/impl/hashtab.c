#include "store/impl/hashtab.h"

#include <errno.h>
#include <pthread.h>
#include <sys/random.h>
#ifdef __SSE2__
#include <emmintrin.h>
#endif

#include "store/impl/siphash.h"
#include "store/memory.h"

/*
 * A node is a bucket or an overflow node of 64 bytes (tags, pointers, meta), or a small overflow node of 32.
 * Meta: entries in the low 4 bits, which fill the slots from 0 on; above them the kind of the overflow node, whose pointer
 * then takes the last slot. Only the last node of a chain has free slots; an overflow node holds two entries or more.
 */
#define BIG_BYTES 64
#define BIG_SLOTS 9
#define SMALL_BYTES 32
#define SMALL_SLOTS 4
enum overflow { NO_OVERFLOW, SMALL_OVERFLOW, BIG_OVERFLOW };

/* Buckets 0 to 31 are one block that is reallocated; above, each doubling is 16 segments. */
#define FIRST_BUCKETS 32
#define PIECES 16
/* Entries per bucket, times two: split above, merge below. */
#define SPLIT_LOAD_X2 15
#define MERGE_LOAD_X2 8
#define STACK_CHAIN 64

struct hashtab {
	size_t n, buckets;
	uint8_t *first;
	uint8_t **dir;
	size_t node_bytes;    /* buckets' segments and overflow nodes */
	uint32_t longest;     /* no chain has more entries */
	uint16_t dir_len;
	uint8_t first_cap;
	uint8_t key_offset;
};

static uint64_t secret_key[2];
static pthread_once_t secret_once = PTHREAD_ONCE_INIT;

static void secret_random(void)
{
	/* It fails only where the system has no such call; an address is all the chance there is then. */
	if (getrandom(secret_key, sizeof secret_key, 0) != sizeof secret_key)
		secret_key[0] ^= (uintptr_t)&secret_key;
}

static void secret_given(void)
{
}

void hashtab_set_secret(const uint64_t secret[2])
{
	pthread_once(&secret_once, secret_given);
	memcpy(secret_key, secret, sizeof secret_key);
}

/* The last key that somebody hashed ahead of its use. */
static _Thread_local struct {
	const void *key;
	size_t len;
	uint64_t hash;
} hashed = { NULL, SIZE_MAX, 0 };

void hashtab_hashed(const void *key, size_t len, uint64_t hash)
{
	hashed.key = key;
	hashed.len = len;
	hashed.hash = hash;
}

uint64_t hashtab_hash(const void *key, size_t len)
{
	if (key == hashed.key && len == hashed.len)
		return hashed.hash;
	return siphash(secret_key, key, len);
}

/* ------------------------------------------------------------------ nodes */

static inline uint8_t tag_of(uint64_t hash)
{
	return (uint8_t)(hash >> 56);
}

static inline uint8_t *meta_at(const uint8_t *node, bool small)
{
	return (uint8_t *)node + (small ? SMALL_BYTES : BIG_BYTES) - 1;
}

static inline unsigned entries(const uint8_t *node, bool small)
{
	return *meta_at(node, small) & 15;
}

static inline enum overflow overflow_kind(const uint8_t *node, bool small)
{
	return (enum overflow)(*meta_at(node, small) >> 4);
}

static inline uint8_t *slot_at(const uint8_t *node, bool small, unsigned i)
{
	return (uint8_t *)node + (small ? SMALL_SLOTS : BIG_SLOTS) + 6 * i;
}

/* There are always two bytes of the node in front of a slot. */
static inline void *load_ptr(const uint8_t *slot)
{
	uint64_t v;
	memcpy(&v, slot - 2, 8);
	return (void *)(uintptr_t)(v >> 16);
}

static inline void store_ptr(uint8_t *slot, const void *p)
{
	uint64_t v = (uint64_t)(uintptr_t)p;
	memcpy(slot, &v, 6);
}

static inline void *entry_at(const uint8_t *node, bool small, unsigned i)
{
	return load_ptr(slot_at(node, small, i));
}

static inline void put_entry(uint8_t *node, bool small, unsigned i, uint8_t tag, const void *elem)
{
	node[i] = tag;
	store_ptr(slot_at(node, small, i), elem);
}

/* The next node of the chain, NULL: none. */
static inline uint8_t *next_node(const uint8_t *node, bool *small)
{
	enum overflow kind = overflow_kind(node, *small);
	if (kind == NO_OVERFLOW)
		return NULL;
	*small = kind == SMALL_OVERFLOW;
	return entry_at(node, false, BIG_SLOTS - 1);
}

static inline void link_node(uint8_t *node, enum overflow kind, const uint8_t *next)
{
	store_ptr(slot_at(node, false, BIG_SLOTS - 1), next);
	*meta_at(node, false) = (uint8_t)((BIG_SLOTS - 1) | kind << 4);
}

/* Bit i is set if tag i is equal, for the first n tags. */
static inline unsigned match_tags(const uint8_t *node, uint8_t tag, unsigned n)
{
#ifdef __SSE2__
	__m128i tags = _mm_loadu_si128((const __m128i *)(const void *)node);
	unsigned m = (unsigned)_mm_movemask_epi8(_mm_cmpeq_epi8(tags, _mm_set1_epi8((char)tag)));
	return m & ((1u << n) - 1);
#else
	unsigned m = 0;
	for (unsigned i = 0; i < n; i++)
		m |= (unsigned)(node[i] == tag) << i;
	return m;
#endif
}

static uint8_t *node_new(struct hashtab *t, bool small)
{
	size_t size = small ? SMALL_BYTES : BIG_BYTES;
	uint8_t *node = mem_alloc(size);
	if (!node)
		return NULL;
	*meta_at(node, small) = 0;
	t->node_bytes += size;
	return node;
}

static void node_free(struct hashtab *t, uint8_t *node, bool small)
{
	size_t size = small ? SMALL_BYTES : BIG_BYTES;
	t->node_bytes -= size;
	mem_free_sized(node, size);
}

/* ------------------------------------------------------------------ buckets */

static inline unsigned log2_of(size_t i)
{
	return 63 - (unsigned)__builtin_clzll(i);
}

static inline uint8_t *bucket_at(const struct hashtab *t, size_t i)
{
	if (i < FIRST_BUCKETS)
		return t->first + i * BIG_BYTES;
	unsigned k = log2_of(i), shift = k - 4;
	size_t seg = (size_t)(k - 5) * PIECES + (i >> shift & (PIECES - 1));
	return t->dir[seg] + (i & (((size_t)1 << shift) - 1)) * BIG_BYTES;
}

/* Addresses have one bit more for buckets that are split already. */
static inline size_t bucket_index(const struct hashtab *t, uint64_t hash)
{
	size_t mask = (((size_t)2 << log2_of(t->buckets)) - 1), i = hash & mask;
	return i < t->buckets ? i : i & mask >> 1;
}

static bool add_first(struct hashtab *t)
{
	if (t->buckets < t->first_cap)
		return true;
	size_t cap = t->first_cap + t->first_cap / 4u + 1;
	if (cap > FIRST_BUCKETS)
		cap = FIRST_BUCKETS;
	uint8_t *p = mem_realloc(t->first, cap * BIG_BYTES);
	if (!p)
		return false;
	t->node_bytes += (cap - t->first_cap) * BIG_BYTES;
	t->first = p;
	t->first_cap = (uint8_t)cap;
	return true;
}

/* Memory for bucket number t->buckets, which becomes an empty bucket. */
static bool add_bucket(struct hashtab *t)
{
	size_t i = t->buckets;
	if (i < FIRST_BUCKETS) {
		if (!add_first(t))
			return false;
	} else {
		unsigned k = log2_of(i), shift = k - 4;
		size_t seg = (size_t)(k - 5) * PIECES + (i >> shift & (PIECES - 1)), size = (size_t)BIG_BYTES << shift;
		if (!(i & (((size_t)1 << shift) - 1))) {
			if (seg >= t->dir_len) {
				uint8_t **dir = mem_realloc(t->dir, (seg + PIECES) * sizeof *dir);
				if (!dir)
					return false;
				t->dir = dir;
				t->dir_len = (uint16_t)(seg + PIECES);
			}
			t->dir[seg] = mem_alloc(size);
			if (!t->dir[seg])
				return false;
			t->node_bytes += size;
		}
	}
	t->buckets++;
	*meta_at(bucket_at(t, i), false) = 0;
	return true;
}

/* Give up the last bucket, which is empty. */
static void drop_bucket(struct hashtab *t)
{
	size_t i = --t->buckets;
	if (i < FIRST_BUCKETS) {
		size_t cap = i + i / 4 + 1;
		if (t->first_cap < 8 || i > t->first_cap / 2)
			return;
		uint8_t *p = mem_realloc(t->first, cap * BIG_BYTES);
		if (!p)
			return;
		t->node_bytes -= (t->first_cap - cap) * BIG_BYTES;
		t->first = p;
		t->first_cap = (uint8_t)cap;
		return;
	}
	unsigned k = log2_of(i), shift = k - 4;
	if (i & (((size_t)1 << shift) - 1))
		return;
	size_t seg = (size_t)(k - 5) * PIECES + (i >> shift & (PIECES - 1)), size = (size_t)BIG_BYTES << shift;
	mem_free_sized(t->dir[seg], size);
	t->node_bytes -= size;
}

/* ------------------------------------------------------------------ splitting and merging */

/* The entries of one or two chains taken together, and nodes to put them into. */
struct chain {
	void **elem;
	uint8_t *tag;
	uint8_t **node;
	size_t n, nodes;
};

static size_t chain_length(const uint8_t *node)
{
	bool small = false;
	size_t n = 0;
	for (; node; node = next_node(node, &small))
		n += entries(node, small);
	return n;
}

static void chain_gather(struct chain *c, const uint8_t *node)
{
	bool small = false;
	for (; node; node = next_node(node, &small)) {
		unsigned n = entries(node, small);
		memcpy(c->tag + c->n, node, n);
		for (unsigned i = 0; i < n; i++)
			c->elem[c->n++] = entry_at(node, small, i);
	}
}

/* Kind of the overflow node for `rest` entries. */
static enum overflow kind_for(size_t rest)
{
	return rest <= SMALL_SLOTS ? SMALL_OVERFLOW : BIG_OVERFLOW;
}

static void chain_free_nodes(struct hashtab *t, struct chain *c)
{
	while (c->nodes > 0) {
		c->nodes--;
		size_t rest = c->n - (BIG_SLOTS - 1) * (c->nodes + 1);
		node_free(t, c->node[c->nodes], kind_for(rest) == SMALL_OVERFLOW);
	}
}

/* Allocate the overflow nodes that c->n entries need. */
static bool chain_alloc_nodes(struct hashtab *t, struct chain *c)
{
	c->nodes = 0;
	if (c->n <= BIG_SLOTS)
		return true;
	size_t rest = c->n;
	do {
		rest -= BIG_SLOTS - 1;
		uint8_t *node = node_new(t, kind_for(rest) == SMALL_OVERFLOW);
		if (!node) {
			chain_free_nodes(t, c);
			return false;
		}
		c->node[c->nodes++] = node;
	} while (rest > BIG_SLOTS);
	return true;
}

static void chain_write(struct hashtab *t, struct chain *c, uint8_t *node)
{
	bool small = false;
	size_t done = 0, used = 0;
	if (c->n > t->longest)
		t->longest = (uint32_t)c->n;
	for (;;) {
		size_t rest = c->n - done, here = rest <= BIG_SLOTS ? rest : BIG_SLOTS - 1;
		for (unsigned i = 0; i < here; i++, done++)
			put_entry(node, small, i, c->tag[done], c->elem[done]);
		if (here == rest) {
			*meta_at(node, small) = (uint8_t)here;
			return;
		}
		enum overflow kind = kind_for(c->n - done);
		link_node(node, kind, c->node[used]);
		node = c->node[used++];
		small = kind == SMALL_OVERFLOW;
	}
}

static void free_overflow(struct hashtab *t, uint8_t *bucket)
{
	bool small = false;
	uint8_t *node = next_node(bucket, &small);
	while (node) {
		bool was_small = small;
		uint8_t *next = next_node(node, &small);
		node_free(t, node, was_small);
		node = next;
	}
}

/* Room for n entries, on the caller's stack if they are as few as they nearly always are. */
struct chain_room {
	void *elem[STACK_CHAIN];
	uint8_t *node[STACK_CHAIN / (BIG_SLOTS - 1) + 1];
	uint8_t tag[STACK_CHAIN];
	void *heap;
};

static bool chain_init(struct chain *c, struct chain_room *room, size_t n)
{
	*c = (struct chain){.elem = room->elem, .tag = room->tag, .node = room->node};
	room->heap = NULL;
	if (n <= STACK_CHAIN)
		return true;
	size_t nodes = n / (BIG_SLOTS - 1) + 1;
	uint8_t *p = room->heap = mem_alloc(n * sizeof *c->elem + nodes * sizeof *c->node + n);
	if (!p)
		return false;
	c->elem = (void **)(void *)p;
	c->node = (uint8_t **)(void *)(p + n * sizeof *c->elem);
	c->tag = p + n * sizeof *c->elem + nodes * sizeof *c->node;
	return true;
}

static uint64_t elem_hash(const struct hashtab *t, const void *elem)
{
	size_t len;
	const char *key = lenbytes_get((const char *)elem + t->key_offset, &len);
	return hashtab_hash(key, len);
}

/* Move the entries that now belong to the new bucket; both chains are written anew. */
static bool split_chain(struct hashtab *t, uint8_t *from, uint8_t *to, size_t bit)
{
	struct chain_room old_room, new_room;
	struct chain old, new;
	size_t n = chain_length(from);
	bool done = false;
	if (!chain_init(&old, &old_room, n))
		return false;
	if (!chain_init(&new, &new_room, n)) {
		mem_free(old_room.heap);
		return false;
	}
	chain_gather(&old, from);
	for (size_t i = 0; i < n; i++)
		__builtin_prefetch((char *)old.elem[i] + t->key_offset);
	size_t kept = 0;
	for (size_t i = 0; i < n; i++) {
		struct chain *c = elem_hash(t, old.elem[i]) & bit ? &new : &old;
		size_t at = c == &new ? new.n++ : kept++;
		c->elem[at] = old.elem[i];
		c->tag[at] = old.tag[i];
	}
	old.n = kept;
	if (chain_alloc_nodes(t, &old)) {
		if (chain_alloc_nodes(t, &new)) {
			free_overflow(t, from);
			chain_write(t, &old, from);
			chain_write(t, &new, to);
			done = true;
		} else {
			chain_free_nodes(t, &old);
		}
	}
	mem_free(old_room.heap);
	mem_free(new_room.heap);
	return done;
}

/* One more bucket. Out of memory: chains grow longer until a later try. */
static void split_one(struct hashtab *t)
{
	size_t bit = (size_t)1 << log2_of(t->buckets), from = t->buckets - bit;
	if (!add_bucket(t))
		return;
	if (!split_chain(t, bucket_at(t, from), bucket_at(t, from + bit), bit))
		drop_bucket(t);
}

/* One bucket less: the last goes back to the one it was split from. */
static void merge_one(struct hashtab *t)
{
	size_t last = t->buckets - 1;
	uint8_t *from = bucket_at(t, last), *to = bucket_at(t, last - ((size_t)1 << log2_of(last)));
	struct chain_room room;
	struct chain c;
	if (chain_init(&c, &room, chain_length(from) + chain_length(to))) {
		chain_gather(&c, to);
		chain_gather(&c, from);
		if (chain_alloc_nodes(t, &c)) {
			free_overflow(t, from);
			free_overflow(t, to);
			chain_write(t, &c, to);
			drop_bucket(t);
		}
	}
	mem_free(room.heap);
}

/* ------------------------------------------------------------------ life cycle */

struct hashtab *hashtab_new(unsigned key_offset)
{
	pthread_once(&secret_once, secret_random);
	struct hashtab *t = mem_alloc(sizeof *t);
	if (!t)
		return NULL;
	*t = (struct hashtab){.key_offset = (uint8_t)key_offset};
	if (!add_bucket(t)) {
		mem_free(t);
		return NULL;
	}
	return t;
}

void hashtab_free(struct hashtab *t, void (*free_elem)(void *elem))
{
	if (!t)
		return;
	if (free_elem) {
		struct hashtab_iter it;
		void *elem;
		for (hashtab_begin(&it, t); (elem = hashtab_next(&it));)
			free_elem(elem);
	}
	for (size_t i = 0; i < t->buckets; i++)
		free_overflow(t, bucket_at(t, i));
	while (t->buckets > FIRST_BUCKETS)
		drop_bucket(t);
	mem_free(t->first);
	mem_free(t->dir);
	mem_free(t);
}

void hashtab_expect(struct hashtab *t, size_t n)
{
	size_t want = n / SPLIT_LOAD_X2 * 2 + 1;
	while (!t->n && t->buckets < want && add_bucket(t))
		;
}

size_t hashtab_count(const struct hashtab *t)
{
	return t->n;
}

size_t hashtab_bytes(const struct hashtab *t)
{
	return mem_size(t) + t->node_bytes + t->dir_len * sizeof *t->dir;
}

/* ------------------------------------------------------------------ single elements */

void hashtab_prefetch(const struct hashtab *t, uint64_t hash)
{
	__builtin_prefetch(bucket_at(t, bucket_index(t, hash)));
}

void hashtab_prefetch_likely(const struct hashtab *t, uint64_t hash)
{
	const uint8_t *node = bucket_at(t, bucket_index(t, hash));
	unsigned m = match_tags(node, tag_of(hash), entries(node, false));
	if (m)
		__builtin_prefetch(entry_at(node, false, (unsigned)__builtin_ctz(m)));
	else if (overflow_kind(node, false) != NO_OVERFLOW)
		__builtin_prefetch(entry_at(node, false, BIG_SLOTS - 1));
}

void *hashtab_find(const struct hashtab *t, uint64_t hash, const void *key, size_t len)
{
	uint8_t tag = tag_of(hash);
	bool small = false;
	for (const uint8_t *node = bucket_at(t, bucket_index(t, hash)); node; node = next_node(node, &small)) {
		for (unsigned m = match_tags(node, tag, entries(node, small)); m; m &= m - 1) {
			char *elem = entry_at(node, small, (unsigned)__builtin_ctz(m));
			if (lenbytes_equal(elem + t->key_offset, key, len))
				return elem;
		}
	}
	return NULL;
}

void hashtab_find_batch(const struct hashtab *t, size_t n, const struct hashtab_key keys[HASHTAB_BATCH],
                        uint64_t hashes[HASHTAB_BATCH], void *found[HASHTAB_BATCH])
{
	const uint8_t *node[HASHTAB_BATCH];
	for (size_t i = 0; i < n; i++) {
		hashes[i] = siphash(secret_key, keys[i].ptr, keys[i].len);
		node[i] = bucket_at(t, bucket_index(t, hashes[i]));
		__builtin_prefetch(node[i]);
	}
	for (size_t i = 0; i < n; i++) {
		unsigned m = match_tags(node[i], tag_of(hashes[i]), entries(node[i], false));
		/* No match here: only an overflow node can have it. */
		found[i] = m ? entry_at(node[i], false, (unsigned)__builtin_ctz(m)) : NULL;
		if (m)
			__builtin_prefetch((char *)found[i] + t->key_offset);
	}
	for (size_t i = 0; i < n; i++) {
		bool first = found[i] && lenbytes_equal((char *)found[i] + t->key_offset, keys[i].ptr, keys[i].len);
		if (!first && (found[i] || overflow_kind(node[i], false) != NO_OVERFLOW))
			found[i] = hashtab_find(t, hashes[i], keys[i].ptr, keys[i].len);
	}
}

/* A full last node: make room behind it. A small one becomes big, of a big one the last entry moves on. */
static int insert_extend(struct hashtab *t, uint8_t *parent, uint8_t *node, bool small, uint8_t tag, const void *elem)
{
	uint8_t *fresh = node_new(t, !small);
	if (!fresh)
		return -ENOMEM;
	if (small) {
		for (unsigned i = 0; i < SMALL_SLOTS; i++)
			put_entry(fresh, false, i, node[i], entry_at(node, true, i));
		put_entry(fresh, false, SMALL_SLOTS, tag, elem);
		*meta_at(fresh, false) = SMALL_SLOTS + 1;
		link_node(parent, BIG_OVERFLOW, fresh);
		node_free(t, node, true);
		return 0;
	}
	put_entry(fresh, true, 0, node[BIG_SLOTS - 1], entry_at(node, false, BIG_SLOTS - 1));
	put_entry(fresh, true, 1, tag, elem);
	*meta_at(fresh, true) = 2;
	link_node(node, SMALL_OVERFLOW, fresh);
	return 0;
}

int hashtab_insert(struct hashtab *t, uint64_t hash, void *elem)
{
	uint8_t *node = bucket_at(t, bucket_index(t, hash)), *parent = NULL, *next;
	bool small = false, next_small = false;
	uint32_t length = 1;
	while ((next = next_node(node, &next_small))) {
		length += BIG_SLOTS - 1;
		parent = node;
		node = next;
		small = next_small;
	}
	unsigned n = entries(node, small);
	length += n;
	if (n < (small ? SMALL_SLOTS : BIG_SLOTS)) {
		put_entry(node, small, n, tag_of(hash), elem);
		++*meta_at(node, small);
	} else {
		int err = insert_extend(t, parent, node, small, tag_of(hash), elem);
		if (err)
			return err;
	}
	if (length > t->longest)
		t->longest = length;
	if (++t->n * 2 > t->buckets * SPLIT_LOAD_X2)
		split_one(t);
	return 0;
}

void hashtab_replace(struct hashtab *t, uint64_t hash, const void *elem, void *other)
{
	bool small = false;
	for (uint8_t *node = bucket_at(t, bucket_index(t, hash)); node; node = next_node(node, &small)) {
		for (unsigned i = 0; i < entries(node, small); i++) {
			if (entry_at(node, small, i) == elem) {
				store_ptr(slot_at(node, small, i), other);
				return;
			}
		}
	}
}

/* Fill the hole with the last entry of the chain; parent is the node before the one with the hole. */
static void close_hole(struct hashtab *t, uint8_t *parent, uint8_t *hole, bool hole_small, unsigned slot)
{
	uint8_t *node = hole, *next;
	bool small = hole_small, next_small = hole_small;
	while ((next = next_node(node, &next_small))) {
		parent = node;
		node = next;
		small = next_small;
	}
	unsigned last = entries(node, small) - 1;
	put_entry(hole, hole_small, slot, node[last], entry_at(node, small, last));
	--*meta_at(node, small);
	if (last == 1 && parent) {
		uint8_t tag = node[0];
		void *elem = entry_at(node, small, 0);
		*meta_at(parent, false) = BIG_SLOTS;
		put_entry(parent, false, BIG_SLOTS - 1, tag, elem);
		node_free(t, node, small);
	}
}

void *hashtab_remove(struct hashtab *t, uint64_t hash, const void *key, size_t len)
{
	uint8_t tag = tag_of(hash), *parent = NULL;
	bool small = false;
	for (uint8_t *node = bucket_at(t, bucket_index(t, hash)); node; parent = node, node = next_node(node, &small)) {
		for (unsigned m = match_tags(node, tag, entries(node, small)); m; m &= m - 1) {
			unsigned i = (unsigned)__builtin_ctz(m);
			char *elem = entry_at(node, small, i);
			if (!lenbytes_equal(elem + t->key_offset, key, len))
				continue;
			close_hole(t, parent, node, small, i);
			if (--t->n * 2 < t->buckets * MERGE_LOAD_X2 && t->buckets > 1)
				merge_one(t);
			if (!t->n)
				t->longest = 0;
			return elem;
		}
	}
	return NULL;
}

/* ------------------------------------------------------------------ many elements */

static uint64_t random_next(uint64_t *rng)
{
	uint64_t z = *rng += 0x9e3779b97f4a7c15u;
	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
	z = (z ^ z >> 27) * 0x94d049bb133111ebu;
	return z ^ z >> 31;
}

static size_t random_below(uint64_t *rng, size_t n)
{
	return (size_t)((unsigned __int128)random_next(rng) * n >> 64);
}

/* A bucket and a place in the longest chain, until there is an entry at that place: each has the same chance. Several tries
 * at once, since each is a cache miss. */
void *hashtab_random(const struct hashtab *t, uint64_t *rng)
{
	enum { TRIES = 8 };
	const uint8_t *bucket[TRIES];
	if (!t->n)
		return NULL;
	for (;;) {
		for (int i = 0; i < TRIES; i++) {
			bucket[i] = bucket_at(t, random_below(rng, t->buckets));
			__builtin_prefetch(bucket[i]);
		}
		for (int i = 0; i < TRIES; i++) {
			size_t at = random_below(rng, t->longest);
			bool small = false;
			const uint8_t *node = bucket[i];
			while (node && at >= entries(node, small)) {
				at -= entries(node, small);
				node = next_node(node, &small);
			}
			if (node)
				return entry_at(node, small, (unsigned)at);
		}
	}
}

static void iter_enter(struct hashtab_iter *it, const uint8_t *node, bool small)
{
	it->node = node;
	it->small = small;
	it->slot = 0;
	for (unsigned i = 0; i < entries(node, small); i++)
		__builtin_prefetch((char *)entry_at(node, small, i) + it->t->key_offset);
}

void hashtab_begin(struct hashtab_iter *it, const struct hashtab *t)
{
	it->t = t;
	it->bucket = 0;
	iter_enter(it, bucket_at(t, 0), false);
}

void *hashtab_next(struct hashtab_iter *it)
{
	while (it->slot == entries(it->node, it->small)) {
		bool small = it->small;
		const uint8_t *next = next_node(it->node, &small);
		if (!next) {
			if (it->bucket + 1 == it->t->buckets)
				return NULL;
			next = bucket_at(it->t, ++it->bucket);
			small = false;
			if (it->bucket + 1 < it->t->buckets)
				__builtin_prefetch(bucket_at(it->t, it->bucket + 1));
		}
		iter_enter(it, next, small);
	}
	return entry_at(it->node, it->small, it->slot++);
}

static void visit_bucket(const uint8_t *node, void (*visit)(void *ctx, void *elem), void *ctx)
{
	bool small = false;
	for (; node; node = next_node(node, &small))
		for (unsigned i = 0; i < entries(node, small); i++)
			visit(ctx, entry_at(node, small, i));
}

static uint64_t reverse_bits(uint64_t v)
{
	v = __builtin_bswap64(v);
	v = (v >> 4 & 0x0f0f0f0f0f0f0f0fu) | (v & 0x0f0f0f0f0f0f0f0fu) << 4;
	v = (v >> 2 & 0x3333333333333333u) | (v & 0x3333333333333333u) << 2;
	return (v >> 1 & 0x5555555555555555u) | (v & 0x5555555555555555u) << 1;
}

/* The cursor counts in reversed bits over the buckets before the current round of splits. What a bucket is split into later
 * differs from it only in upper bits, which count least, so it is behind the cursor if and only if the bucket was. */
uint64_t hashtab_scan(const struct hashtab *t, uint64_t cursor, void (*visit)(void *ctx, void *elem), void *ctx)
{
	size_t round = (size_t)1 << log2_of(t->buckets), i = cursor & (round - 1);
	visit_bucket(bucket_at(t, i), visit, ctx);
	if (i + round < t->buckets)
		visit_bucket(bucket_at(t, i + round), visit, ctx);
	return reverse_bits(reverse_bits(cursor | ~(uint64_t)(round - 1)) + 1);
}
