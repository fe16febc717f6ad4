/* Opening, keys, databases: what concerns the store as a whole. */
#include "store/shard.h"

#include <errno.h>
#include <sys/random.h>

#include "store/memory.h"

_Static_assert(sizeof(struct shard) == 128, "a shard is two cache lines");
_Static_assert(offsetof(struct shard, first) + offsetof(struct table, overflow) == 64, "what is hot shares the lock's line");

/* ------------------------------------------------------------------ opening */

void store_options_init(struct store_options *o)
{
	*o = (struct store_options){ .size = sizeof *o, .shards = 1024, .dbs = 16, .loops = 1 };
	size_t n = 0;
	while (n < sizeof o->hash_secret) {
		ssize_t got = getrandom(o->hash_secret + n, sizeof o->hash_secret - n, 0);
		if (got > 0)
			n += (size_t)got;
		else if (errno != EINTR)
			break;
	}
}

static bool options_sound(const struct store_options *o)
{
	return o->size == sizeof *o && o->shards >= 1 && o->shards <= STORE_MAX_SHARDS &&
	       (o->shards & (o->shards - 1)) == 0 && o->dbs >= 1 && o->dbs <= 1u << 24 && o->loops >= 1 &&
	       o->loops <= STORE_MAX_SHARDS;
}

static void store_free(struct store *s)
{
	reaper_free(s->reaper);
	mem_free(s->spare);
	slab_arenas_free(s->arenas, s->arena_mask + 1);
	mem_free(s->shard);
	mem_free(s->due);
	mem_free(s->filled);
	mem_free(s->tick_from);
	mem_free(s);
}

struct store *store_open(const struct store_options *o, int *err)
{
	*err = -EINVAL;
	if (!options_sound(o))
		return NULL;
	*err = -ENOMEM;
	struct store *s = mem_alloc_aligned(sizeof *s);
	if (!s)
		return NULL;
	memset(s, 0, sizeof *s);
	s->cluster = o->cluster;
	s->shards = o->shards;
	s->dbs = o->dbs;
	s->loops = o->loops;
	s->shard_shift = (uint8_t)(12 - __builtin_ctz(o->shards));
	s->filled_words = (o->shards + 63) / 64;
	s->hooks = o->hooks;
	s->hooks_ctx = o->hooks_ctx;
	memcpy(s->secret, o->hash_secret, sizeof s->secret);
	s->shard = mem_alloc_aligned(o->shards * sizeof *s->shard);
	s->due = mem_alloc_aligned((o->shards + 7) / 8 * 8 * sizeof *s->due);
	s->filled = mem_calloc((size_t)o->dbs * s->filled_words * sizeof *s->filled);
	s->tick_from = mem_calloc(o->loops * sizeof *s->tick_from);
	s->reaper = reaper_new();
	s->spare = mem_alloc(SLAB_MAX);
	/* One thread needs no more than one arena; several should seldom meet. */
	while (o->loops > 1 && s->arena_mask + 1 < 2 * o->loops && s->arena_mask + 1 < o->shards)
		s->arena_mask = s->arena_mask * 2 + 1;
	s->arenas = slab_arenas_new(s->arena_mask + 1);
	if (!s->shard || !s->due || !s->filled || !s->tick_from || !s->reaper || !s->spare || !s->arenas) {
		store_free(s);
		return NULL;
	}
	memset(s->shard, 0, o->shards * sizeof *s->shard);
	for (unsigned i = 0; i < o->shards; i++)
		s->due[i] = TABLE_DUE_NONE;
	*err = 0;
	return s;
}

void store_close(struct store *s)
{
	if (!s)
		return;
	snapshot_close(s);
	for (unsigned i = 0; i < s->shards; i++) {
		struct shard *sh = &s->shard[i];
		table_free_all(&sh->first);
		for (unsigned db = 1; sh->more && db < s->dbs; db++) {
			if (sh->more[db - 1])
				table_free_all(sh->more[db - 1]);
			mem_free(sh->more[db - 1]);
		}
		mem_free(sh->more);
	}
	store_free(s);
}

void store_set_single(struct store *s, bool single)
{
	s->single = single;
}

unsigned store_dbs(const struct store *s)
{
	return s->dbs;
}

unsigned store_shards(const struct store *s)
{
	return s->shards;
}

/* ------------------------------------------------------------------ keys */

struct store_key store_key(const struct store *s, const void *ptr, size_t len)
{
	uint64_t hash = hash_bytes(s->secret, ptr, len);
	/* The slot's 14 bits over 12 bits of shard: keys of one slot always meet in one shard. */
	if (__builtin_expect(s->cluster, 0))
		hash = (hash & ~((uint64_t)0xfff << 52)) | (uint64_t)(hash_slot(ptr, len) >> 2) << 52;
	return (struct store_key){ ptr, len, hash };
}

unsigned store_shard_of(const struct store *s, uint64_t hash)
{
	return (unsigned)(hash >> 52 >> s->shard_shift);
}

/* ------------------------------------------------------------------ tables */

/* The header of a database's table, made if missing. */
static struct table *shard_header(const struct store *s, struct shard *sh, unsigned db)
{
	if (db == 0)
		return &sh->first;
	if (db >= s->dbs)
		return NULL;
	if (!sh->more) {
		struct table **more = mem_calloc((s->dbs - 1) * sizeof *more);
		if (!more)
			return NULL;
		__atomic_store_n(&sh->more, more, __ATOMIC_RELEASE);
	}
	if (!sh->more[db - 1]) {
		struct table *t = mem_calloc(sizeof *t);
		if (!t)
			return NULL;
		__atomic_store_n(&sh->more[db - 1], t, __ATOMIC_RELEASE);
	}
	return sh->more[db - 1];
}

struct table *shard_table_make(struct store *s, struct shard *sh, unsigned db)
{
	struct table *t = shard_table(sh, db);
	if (__builtin_expect(t && t->dir, 1))
		return t;
	t = shard_header(s, sh, db);
	return t && table_init(t) ? t : NULL;
}

static uint64_t flush_table(struct store *s, struct shard *sh, unsigned db, bool background)
{
	struct table *t = shard_table(sh, db);
	if (!t || !t->dir)
		return 0;
	uint64_t keys = t->keys;
	if (!snapshot_take_table(s, sh, db, t) && !(background && keys && reaper_push_table(s->reaper, t)))
		table_free_all(t);
	memset(t, 0, sizeof *t);
	shard_note_filled(s, sh, db, t);
	return keys;
}

uint64_t store_flush(struct store *s, int db, bool background)
{
	uint64_t keys = 0;
	for (unsigned i = 0; i < s->shards; i++) {
		struct shard *sh = &s->shard[i];
		unsigned dbs = sh->more ? s->dbs : 1;
		for (unsigned d = db < 0 ? 0 : (unsigned)db; d < dbs && (db < 0 || d == (unsigned)db); d++)
			keys += flush_table(s, sh, d, background);
	}
	return keys;
}

int store_swap(struct store *s, unsigned a, unsigned b)
{
	if (a >= s->dbs || b >= s->dbs)
		return -EINVAL;
	if (a == b)
		return 0;
	for (unsigned i = 0; i < s->shards; i++) {
		struct shard *sh = &s->shard[i];
		if ((shard_table(sh, a) && shard_table(sh, a)->dir) || (shard_table(sh, b) && shard_table(sh, b)->dir)) {
			if (!shard_header(s, sh, a) || !shard_header(s, sh, b))
				return -ENOMEM;
		}
	}
	for (unsigned i = 0; i < s->shards; i++) {
		struct table *ta = shard_table(&s->shard[i], a), *tb = shard_table(&s->shard[i], b);
		if (ta && tb) {
			struct table t = *ta;
			*ta = *tb;
			*tb = t;
		}
	}
	for (unsigned w = 0; w < s->filled_words; w++) {
		uint64_t *wa = &s->filled[(size_t)a * s->filled_words + w], *wb = &s->filled[(size_t)b * s->filled_words + w];
		uint64_t bits = *wa;
		*wa = *wb;
		*wb = bits;
	}
	snapshot_swapped(s, a, b);
	return 0;
}

void store_expect(struct store *s, unsigned db, uint64_t n)
{
	uint64_t per_shard = n / s->shards / TABLE_LOAD;
	for (unsigned i = 0; i < s->shards && per_shard; i++) {
		struct table *t = shard_table_make(s, &s->shard[i], db);
		while (t && t->nbuckets < per_shard && table_grow(t, s))
			;
	}
}

/* ------------------------------------------------------------------ figures */

uint64_t store_count(struct store *s, unsigned db)
{
	uint64_t n = 0;
	for (unsigned i = 0; i < s->shards; i++) {
		const struct table *t = shard_table(&s->shard[i], db);
		n += t ? TABLE_READ(t->keys) : 0;
	}
	return n;
}

uint64_t store_count_volatile(struct store *s, unsigned db)
{
	uint64_t n = 0;
	for (unsigned i = 0; i < s->shards; i++) {
		const struct table *t = shard_table(&s->shard[i], db);
		n += t ? TABLE_READ(t->volatile_keys) : 0;
	}
	return n;
}

static void add_table(struct store_stats *out, const struct table *t)
{
	uint64_t buckets = t ? TABLE_READ(t->nbuckets) : 0;
	if (!buckets)
		return;
	out->tables++;
	out->buckets += buckets;
	out->keys += TABLE_READ(t->keys);
	out->volatile_keys += TABLE_READ(t->volatile_keys);
	out->overflow_buckets += TABLE_READ(t->overflow);
}

void store_get_stats(struct store *s, struct store_stats *out)
{
	memset(out, 0, sizeof *out);
	for (unsigned i = 0; i < s->shards; i++) {
		struct shard *sh = &s->shard[i];
		out->expired += TABLE_READ(sh->expired);
		unsigned dbs = __atomic_load_n(&sh->more, __ATOMIC_ACQUIRE) ? s->dbs : 1;
		for (unsigned db = 0; db < dbs; db++)
			add_table(out, shard_table(sh, db));
	}
	out->stale_percent_x100 = TABLE_READ(s->stale_x100);
	reaper_stats(s->reaper, &out->lazyfree_pending, &out->lazyfreed);
}

void store_reaper_drain(struct store *s)
{
	reaper_drain(s->reaper);
}
