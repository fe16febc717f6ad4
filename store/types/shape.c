#include "store/types/shape.h"

#include <pthread.h>
#include <stdatomic.h>
#include <sys/random.h>

#include "store/memory.h"

#define INDEX_SLOTS 8192 /* twice as many as there are shapes, and more */
#define SEEN_BITS 9      /* different lists of names that a thread keeps count of */
#define SEEN_COUNT 0xff  /* the bits of a sighting that count; the others are the fingerprint's */

/* Names in a row. A hash that gets one field after the other has a shape after each: these are one block, of which each
 * shape has the first few. */
struct shape_block {
	struct shape_block *next;
	unsigned used, room; /* the lock's */
	struct value_item names[];
};

static _Atomic(struct shape *) shapes[SHAPE_MAX];
static _Atomic uint16_t ids[INDEX_SLOTS]; /* by fingerprint; 0: none */
static atomic_uint count;
static atomic_size_t bytes;
static atomic_bool full;
static struct shape_block *blocks;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static _Thread_local uint64_t seen[1 << SEEN_BITS];
static _Thread_local unsigned collisions;

/* ------------------------------------------------------------------ fingerprints */

static uint64_t secret[2];
static pthread_once_t secret_once = PTHREAD_ONCE_INIT;

static void secret_random(void)
{
	if (getrandom(secret, sizeof secret, 0) != sizeof secret)
		secret[0] ^= (uintptr_t)&secret;
	secret[0] |= 1;
}

static inline uint64_t multiply(uint64_t a, uint64_t b)
{
	unsigned __int128 product = (unsigned __int128)a * b;
	return (uint64_t)product ^ (uint64_t)(product >> 64);
}

static uint64_t mix(uint64_t fp, const struct value_item *name)
{
	if (!name->str)
		return multiply(multiply(fp ^ (uint64_t)name->num, secret[0]) ^ secret[1], 0xd6e8feb86659fd93u);
	const char *p = name->str;
	size_t left = name->len;
	uint64_t word;
	fp = multiply(fp ^ (left + 1), secret[0]);
	for (; left >= 8; left -= 8, p += 8) {
		memcpy(&word, p, 8);
		fp = multiply(fp ^ word, secret[0]);
	}
	word = 0;
	if (left)
		memcpy(&word, p, left);
	return multiply(fp ^ word ^ secret[1], 0x9e3779b97f4a7c15u);
}

uint64_t shape_fingerprint(const struct shape *base, const struct value_item *names, size_t n)
{
	pthread_once(&secret_once, secret_random);
	uint64_t fp = base ? base->fingerprint : secret[1];
	for (size_t i = 0; i < n; i++)
		fp = mix(fp, &names[i]);
	return fp;
}

/* ------------------------------------------------------------------ looking up */

const struct shape *shape_of(unsigned id)
{
	return atomic_load_explicit(&shapes[id - SHAPE_ID_MIN], memory_order_acquire);
}

static inline bool same_name(const struct value_item *a, const struct value_item *b)
{
	if (!a->str || !b->str)
		return a->str == b->str && a->num == b->num;
	return a->len == b->len && memcmp(a->str, b->str, a->len) == 0;
}

static bool same_names(const struct shape *s, const struct shape *base, const struct value_item *names, size_t n)
{
	size_t first = base ? base->count : 0;
	if (s->count != first + n)
		return false;
	for (size_t i = 0; i < n; i++)
		if (!same_name(&s->names[first + i], &names[i]))
			return false;
	if (!base || s->names == base->names)
		return true;
	for (size_t i = 0; i < first; i++)
		if (!same_name(&s->names[i], &base->names[i]))
			return false;
	return true;
}

/* *slot: where it is, or would be put. */
static const struct shape *look_up(uint64_t fp, const struct shape *base, const struct value_item *names, size_t n,
                                   unsigned *slot)
{
	unsigned id;
	for (*slot = fp % INDEX_SLOTS; (id = atomic_load_explicit(&ids[*slot], memory_order_acquire));
	     *slot = (*slot + 1) % INDEX_SLOTS) {
		const struct shape *s = shape_of(id);
		if (s->fingerprint == fp && same_names(s, base, names, n))
			return s;
	}
	return NULL;
}

const struct shape *shape_known(uint64_t fp, const struct value_item *names, size_t n)
{
	unsigned slot;
	return look_up(fp, NULL, names, n, &slot);
}

bool shape_is(const struct shape *s, const struct value_item *names, size_t n)
{
	return same_names(s, NULL, names, n);
}

int shape_index(const struct shape *s, const char *name, size_t len)
{
	int64_t num;
	bool is_num = number_parse(name, len, &num);
	/* Of the names in one hash many begin alike, but few end alike. */
	char last = len ? name[len - 1] : 0;
	for (int i = 0; i < s->count; i++) {
		const struct value_item *at = &s->names[i];
		if (!at->str) {
			if (is_num && at->num == num)
				return i;
		} else if (at->len == len && (!len || (at->str[len - 1] == last && !memcmp(at->str, name, len)))) {
			return i;
		}
	}
	return -1;
}

/* ------------------------------------------------------------------ making */

static struct shape_block *block_new(const struct shape *base, size_t n)
{
	size_t first = base ? base->count : 0, room = 8;
	while (room < first + n)
		room *= 2;
	struct shape_block *b = mem_alloc(sizeof *b + room * sizeof *b->names);
	if (!b)
		return NULL;
	*b = (struct shape_block){ .next = blocks, .used = (unsigned)first, .room = (unsigned)room };
	if (first)
		memcpy(b->names, base->names, first * sizeof *b->names);
	return b;
}

/* The block to put n names into behind those of the base; *more: the bytes it takes. */
static struct shape_block *block_for(const struct shape *base, size_t n, size_t *more)
{
	*more = 0;
	if (base && base->block->used == base->count && base->count + n <= base->block->room)
		return base->block;
	struct shape_block *b = block_new(base, n);
	if (b)
		*more = sizeof *b + b->room * sizeof *b->names;
	return b;
}

static void put_names(struct shape *s, const struct value_item *names, size_t n)
{
	char *text = s->text;
	for (size_t i = 0; i < n; i++) {
		struct value_item *to = &s->block->names[s->block->used++];
		*to = names[i];
		if (!names[i].str) {
			s->cost += (uint32_t)listpack_cost_int(names[i].num);
			continue;
		}
		memcpy(text, names[i].str, names[i].len);
		to->str = text;
		text += names[i].len;
		s->cost += (uint32_t)listpack_cost(names[i].str, names[i].len);
	}
}

/* Under the lock. */
static const struct shape *make(uint64_t fp, const struct shape *base, const struct value_item *names, size_t n,
                                unsigned slot)
{
	unsigned i = atomic_load_explicit(&count, memory_order_relaxed);
	size_t block_bytes, size = sizeof(struct shape);
	for (size_t k = 0; k < n; k++)
		size += names[k].str ? names[k].len : 0;
	struct shape_block *b = block_for(base, n, &block_bytes);
	size_t sum = atomic_load_explicit(&bytes, memory_order_relaxed) + size + block_bytes;
	struct shape *s = b && sum <= SHAPE_BYTES_MAX ? mem_alloc(size) : NULL;
	if (!s) {
		if (b && sum > SHAPE_BYTES_MAX)
			atomic_store_explicit(&full, true, memory_order_relaxed);
		if (b && block_bytes)
			mem_free(b);
		return NULL;
	}
	if (block_bytes)
		blocks = b;
	*s = (struct shape){ .fingerprint = fp, .names = b->names, .id = (uint16_t)(SHAPE_ID_MIN + i), .block = b,
		             .count = (uint16_t)((base ? base->count : 0) + n), .cost = base ? base->cost : 0 };
	put_names(s, names, n);
	atomic_store_explicit(&bytes, sum, memory_order_relaxed);
	atomic_store_explicit(&count, i + 1, memory_order_relaxed);
	if (i + 1 == SHAPE_MAX)
		atomic_store_explicit(&full, true, memory_order_relaxed);
	atomic_store_explicit(&shapes[i], s, memory_order_release);
	atomic_store_explicit(&ids[slot], s->id, memory_order_release);
	return s;
}

/* Whether the list was seen often enough. One that falls on the place of another takes it in one case of a few, so that two
 * that come in turns are not both begun again and again, while what comes no more goes. */
static bool note_seen(uint64_t fp)
{
	uint64_t *at = &seen[fp >> (64 - SEEN_BITS)];
	if ((*at ^ fp) & ~(uint64_t)SEEN_COUNT) {
		if (*at && ++collisions % SHAPE_SIGHTINGS)
			return false;
		*at = fp & ~(uint64_t)SEEN_COUNT;
	}
	if ((++*at & SEEN_COUNT) < SHAPE_SIGHTINGS)
		return false;
	*at = 0;
	return true;
}

const struct shape *shape_find(uint64_t fp, const struct shape *base, const struct value_item *names, size_t n)
{
	unsigned slot;
	const struct shape *s = look_up(fp, base, names, n, &slot);
	if (s || atomic_load_explicit(&full, memory_order_relaxed) || !note_seen(fp))
		return s;
	pthread_mutex_lock(&lock);
	s = look_up(fp, base, names, n, &slot);
	if (!s && !atomic_load_explicit(&full, memory_order_relaxed))
		s = make(fp, base, names, n, slot);
	pthread_mutex_unlock(&lock);
	return s;
}

/* ------------------------------------------------------------------ all of them */

size_t shape_count(void)
{
	return atomic_load_explicit(&count, memory_order_relaxed);
}

size_t shape_bytes(void)
{
	return atomic_load_explicit(&bytes, memory_order_relaxed);
}

void shape_clear(void)
{
	for (unsigned i = 0; i < shape_count(); i++) {
		mem_free(atomic_load(&shapes[i]));
		atomic_store(&shapes[i], NULL);
	}
	for (struct shape_block *b = blocks, *next; b; b = next) {
		next = b->next;
		mem_free(b);
	}
	blocks = NULL;
	for (unsigned i = 0; i < INDEX_SLOTS; i++)
		atomic_store(&ids[i], 0);
	atomic_store(&count, 0);
	atomic_store(&bytes, 0);
	atomic_store(&full, false);
	memset(seen, 0, sizeof seen);
	collisions = 0;
}
