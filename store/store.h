/*
 * store: a sharded keyspace with expiry. Knows no commands and no sockets.
 *
 * The keyspace is split into a power of two of shards; every database has one table per shard, made when first needed.
 * A key's shard is one function of the key alone. The caller brings the threads: `loops` of them own the shards
 * (shard % loops) and call store_tick(); any of them may read and write any shard while it holds that shard's lock.
 *
 * Invariants
 *   - Everything reached through an entry pointer is stable only while the shard's lock is held (or the caller is alone,
 *     see `exclusive`). Counted blobs (string values of STORE_BLOB_MIN bytes and more) alone survive an unlock.
 *   - store_op.now_ms is frozen by the caller for the length of one command; the store reads no clock.
 *   - An expired key is never returned: looking it up removes it and reports it through hooks.removed.
 *
 * Ownership: keys and values are borrowed until the call returns and copied exactly once; a transfer is spelled `take`.
 * Threads: [any] any thread; [locked] holder of the key's shard lock; [alone] every other thread is parked;
 * [owner] the owning loop of the shards concerned. Errors: 0 or -errno; questions are bool.
 */
#ifndef STORE_STORE_H
#define STORE_STORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define STORE_BLOB_MIN (32 * 1024) /* strings from here on are separate counted blobs */
#define STORE_MAX_SHARDS 4096
#define STORE_NO_EXPIRY INT64_MAX

struct store;
struct store_op;
struct entry;
struct blob;

/* ------------------------------------------------------------------ keys */

struct store_key {
	const char *ptr;
	size_t len;
	uint64_t hash; /* bits 63..52 shard, 51..44 tag, 43..0 bucket; in cluster mode the slot decides the shard */
};

/* Hash a key. The bytes stay the caller's. [any] */
struct store_key store_key(const struct store *s, const void *ptr, size_t len);
/* [any] */
unsigned store_shard_of(const struct store *s, uint64_t hash);

/* ------------------------------------------------------------------ opening */

enum store_removal { STORE_EXPIRED, STORE_EVICTED };

struct store_hooks {
	/* A key is about to be removed by expiry or eviction; key and entry are readable during the call. Runs with the
	 * shard's lock held, on the thread that found it. */
	void (*removed)(void *ctx, struct store_op *op, enum store_removal why, const struct store_key *key,
	                const struct entry *e);
	/* Around a sleep for a contended lock: out() before it, in() after it, with the lock already taken. in() may wait
	 * (for a safepoint) and refreshes the caller's clock. NULL: nothing to do. */
	void (*wait_out)(void *ctx);
	void (*wait_in)(void *ctx);
	/* From time to time within such a sleep, of as many milliseconds as it returned last (at first: 50). */
	int (*wait_idle)(void *ctx);
	/* The monotonic clock that budgets are measured by; NULL: the system's. */
	int64_t (*monotonic_us)(void *ctx);
};

enum store_access { STORE_ACCESS_LRU, STORE_ACCESS_LFU };

struct store_options {
	size_t size;         /* sizeof(struct store_options), by store_options_init() */
	unsigned shards;     /* power of two, 1 to STORE_MAX_SHARDS; 1024 */
	unsigned dbs;        /* 16 */
	unsigned loops;      /* threads that own shards; 1 */
	bool cluster;        /* shard by hash slot */
	uint8_t hash_secret[16]; /* filled with random bytes by store_options_init() */
	struct store_hooks hooks;
	void *hooks_ctx;
};

void store_options_init(struct store_options *o);
/* NULL with *err = -EINVAL or -ENOMEM. */
struct store *store_open(const struct store_options *o, int *err);
/* Frees everything. No other thread may use the store any more. */
void store_close(struct store *s);
/* Whether locks are skipped: true only while one thread alone uses the store (one loop, after loading). [alone] */
void store_set_single(struct store *s, bool single);
unsigned store_dbs(const struct store *s);
unsigned store_shards(const struct store *s);

/* ------------------------------------------------------------------ one operation's context */

struct store_op {
	struct store *store;
	unsigned db;             /* below store_dbs() */
	int64_t now_ms;          /* wall clock of this command */
	uint32_t access_clock;   /* LRU seconds or LFU minutes, 24/16 bits: store_access_clock() */
	enum store_access access;
	bool exclusive;          /* the caller is alone: per-step locks of the iterating functions are skipped */
	bool no_touch;           /* do not update access clocks (CLIENT NO-TOUCH, OBJECT, ...) */
	bool keep_expired;       /* logically expired keys are hidden but not removed (replica, paused expiry) */
	bool show_expired;       /* expired keys are visible as if alive (loading a journal) */
	unsigned lfu_decay_min;  /* lfu-decay-time */
	unsigned lfu_log_factor; /* lfu-log-factor */
	void *ctx;               /* the caller's; hooks may read it */
};

uint32_t store_access_clock(enum store_access access, int64_t now_ms);

/* ------------------------------------------------------------------ locks */

#define STORE_LOCKSET_INLINE 16

/* A set of shards locked together in ascending order. */
struct store_lockset {
	unsigned n, cap;
	bool locked;
	uint16_t *shards; /* inline_, or heap */
	uint16_t inline_[STORE_LOCKSET_INLINE];
};

void store_lockset_init(struct store_lockset *ls);
/* Add the shard of a hash. false: out of memory. Duplicates are welcome. */
bool store_lockset_add(struct store *s, struct store_lockset *ls, uint64_t hash);
/* Sort, remove duplicates, lock. */
void store_lockset_lock(struct store *s, struct store_lockset *ls);
void store_lockset_unlock(struct store *s, struct store_lockset *ls);
void store_lockset_clear(struct store_lockset *ls); /* frees; must be unlocked */
/* One shard, for commands with one key. */
void store_lock(struct store *s, uint64_t hash);
bool store_trylock(struct store *s, uint64_t hash);
void store_unlock(struct store *s, uint64_t hash);

/*
 * Prefetching ahead of store_find(), in stages of which each needs what the one before asked for: 0 shard line, 1 table and
 * bucket, 2 entry, 3 the value of an aggregate, 4 what lies behind that: the ends of a list or stream, or the table's bucket of
 * a member, 5 that member. Takes and drops locks by trylock where it must.
 */
#define STORE_PREFETCH_STAGES 6
struct store_ahead {
	uint64_t hash; /* of the key */
	unsigned db;
	unsigned last;                  /* the last stage that pays, 2 or more */
	const struct store_ahead *same; /* of the same call, for the same key and database, itself without one; or NULL */
	const void *member;             /* what will be looked up in the value; NULL: nothing */
	size_t member_len;
	uint64_t member_hash;           /* set to the member's hash where the value has a table */
	const void *seen;               /* kept from stage to stage: NULL, or what may be the key's entry */
};
/* The order of v is lost. [any] */
void store_prefetch(struct store *s, struct store_ahead **v, unsigned n);
/* What was found out about a member, so that it needs not be hashed again by this thread while it stays at its address;
 * NULL, SIZE_MAX, 0: nothing any more. */
void store_member_hashed(const void *member, size_t len, uint64_t hash);

/* ------------------------------------------------------------------ entries */

/* Type ids are those of Redis's TYPE and of the RDB format's families. */
enum store_type_id { STORE_STRING, STORE_LIST, STORE_SET, STORE_ZSET, STORE_HASH, STORE_STREAM, STORE_TYPES };

enum store_find_flags {
	STORE_READ = 0,        /* value will be read: touches the access clock */
	STORE_WRITE = 1,       /* value will be changed: a running snapshot keeps its pre-image first */
	STORE_PEEK = 2,        /* no access clock */
	STORE_LEND = 4,        /* with STORE_WRITE: a listpack that stands in its entry stays there; see store_settle() */
};

/* The live entry of a key, or NULL. Removes it when expired. Valid until the entry is resized or the unlock. [locked] */
struct entry *store_find(struct store_op *op, const struct store_key *key, unsigned flags);
bool store_exists(struct store_op *op, const struct store_key *key); /* no access clock [locked] */

/*
 * Set a string value, replacing whatever was there. expire_ms: STORE_NO_EXPIRY, a wall time, or STORE_KEEP_EXPIRY.
 * The encoding is int where the bytes are a canonical 64-bit integer, embstr up to 44 bytes, else raw; `raw` forces raw
 * for results of APPEND and the like. Returns the entry or NULL on -ENOMEM. [locked]
 */
#define STORE_KEEP_EXPIRY (-1)
struct entry *store_set_string(struct store_op *op, const struct store_key *key, const void *val, size_t len,
                               int64_t expire_ms);
struct entry *store_set_int(struct store_op *op, const struct store_key *key, int64_t val, int64_t expire_ms);
/*
 * Make room for a string of len bytes to be written in place: the value becomes raw, keeps its first min(old, len) bytes,
 * is zero-filled behind them, and the key is created where it is missing. *bytes is valid until the unlock.
 * NULL: out of memory, nothing changed. Grows by doubling up to 1 MiB steps. [locked]
 */
struct entry *store_string_grow(struct store_op *op, const struct store_key *key, struct entry *e, size_t len,
                                char **bytes);
/* Add a key with an aggregate value, which is taken (see types.h) and may be elsewhere then: a small listpack is copied into
 * the entry. The key must not exist. NULL: -ENOMEM, value kept by the caller. [locked] */
struct entry *store_add(struct store_op *op, const struct store_key *key, enum store_type_id type, unsigned encoding,
                        void *take_value);
/* What became of a copy of the listpack that stands in e, which STORE_LEND left there: the value is taken, and its bytes are
 * copied into the entry if they still fit. Returns the entry, which may have moved. Cannot fail. [locked] */
struct entry *store_settle(struct store_op *op, const struct store_key *key, struct entry *e, unsigned encoding,
                           void *take_value);
/* Room for `add` more bytes behind the listpack that stands in e, for the caller to fill before anything else. Returns the
 * entry, which may have moved; NULL: nothing has changed, as it would not fit or there is no memory. [locked] */
struct entry *store_extend(struct store_op *op, const struct store_key *key, struct entry *e, size_t add);
/* Replace the value of an existing key by an aggregate, keeping expiry as told. Old value freed in the background when
 * large. [locked] */
struct entry *store_replace(struct store_op *op, const struct store_key *key, enum store_type_id type,
                            unsigned encoding, void *take_value, int64_t expire_ms);

/* Delete a live key; true if it was there. lazy: free large values on the background thread. [locked] */
bool store_delete(struct store_op *op, const struct store_key *key, bool lazy);

/* Set or remove (STORE_NO_EXPIRY) the expiry; returns the entry, which may have moved; NULL: -ENOMEM. [locked] */
struct entry *store_set_expiry(struct store_op *op, const struct store_key *key, struct entry *e, int64_t expire_ms);
/* Copy a key's value and expiry to another key and database, which must not exist. 0 or -ENOMEM. Both shards locked. */
int store_copy(struct store_op *op, const struct store_key *from, const struct entry *e, unsigned to_db,
               const struct store_key *to);
/* Move: like copy, then delete, without copying an aggregate. */
int store_move(struct store_op *op, const struct store_key *from, struct entry *e, unsigned to_db,
               const struct store_key *to);

/* ------------------------------------------------------------------ whole keyspace */

/* Live and expired keys; keys with an expiry; sum over shards of published counters. [any] */
uint64_t store_count(struct store *s, unsigned db);
uint64_t store_count_volatile(struct store *s, unsigned db);
/* Mean remaining time of volatile keys in ms, estimated from a sample. [any] */
int64_t store_average_ttl_ms(struct store_op *op);

/* Visit one bucket's worth at a time under its shard's lock until `count` keys or 10 * count buckets were seen. Every key
 * present during a whole iteration is visited at least once. Cursor 0 starts and ends; cursors are below 2^53. The
 * visitor may not call back into the store except for the entry given. [any] */
typedef void store_visit(void *ctx, struct store_op *op, const struct store_key *key, struct entry *e);
uint64_t store_scan(struct store_op *op, uint64_t cursor, unsigned count, store_visit *visit, void *ctx);
/* Visit every live key, one shard at a time. [any]; consistent only [alone] */
void store_each(struct store_op *op, store_visit *visit, void *ctx);
/* A live key chosen without bias: copied into buf (grown with realloc by the caller's rules: *buf is malloc'ed).
 * false: the database is empty. [any] */
bool store_random_key(struct store_op *op, char **buf, size_t *len);

/* Drop all keys of a database (or all, db < 0); with background, freed on the background thread. Returns keys dropped. [alone] */
uint64_t store_flush(struct store *s, int db, bool background);
/* 0, -EINVAL or -ENOMEM (nothing changed). [alone] */
int store_swap(struct store *s, unsigned a, unsigned b);

/* Pre-size for about n keys (loading, DEBUG POPULATE). [alone] */
void store_expect(struct store *s, unsigned db, uint64_t n);

/* ------------------------------------------------------------------ owner's work */

struct store_tick_result {
	uint64_t expired;     /* keys removed by this call */
	bool more;            /* budget ended before the work did: call again soon */
	int64_t next_due_ms;  /* earliest known expiry, a lower bound; INT64_MAX none */
};
/* Active expiry, incremental shrinking and other upkeep of the shards of `loop`, within budget_us measured by the
 * injected monotonic clock. expire: whether to expire. [owner] */
struct store_tick_result store_tick(struct store_op *op, unsigned loop, int64_t budget_us, bool expire);

struct store_stats {
	uint64_t keys, volatile_keys, expired, buckets, overflow_buckets, tables;
	uint64_t stale_percent_x100;
	uint64_t lazyfree_pending, lazyfreed;
};
void store_get_stats(struct store *s, struct store_stats *out); /* [any] */

/* ------------------------------------------------------------------ eviction */

enum store_evict_order {
	STORE_EVICT_LRU,    /* the longest unused first */
	STORE_EVICT_LFU,    /* the least often used first */
	STORE_EVICT_TTL,    /* the earliest to expire first; volatile_only */
	STORE_EVICT_RANDOM,
};
struct store_evict {
	enum store_evict_order order;
	bool volatile_only; /* only keys with an expiry */
	bool lazy;          /* free large values in the background */
	unsigned samples;   /* keys looked at for each eviction */
};
/* The best candidates seen so far; one per thread. NULL: out of memory. */
struct store_evict_pool;
struct store_evict_pool *store_evict_pool_new(void);
void store_evict_pool_clear(struct store_evict_pool *p); /* after a change of order */
void store_evict_pool_free(struct store_evict_pool *p);  /* NULL is welcome */
/* Remove keys of any database, reported through hooks.removed, until about so many bytes are free, but only a few at a
 * time; at least one. Returns how many; 0: there is none to remove. Takes the locks it needs: the caller holds none, or is
 * alone. [any] */
unsigned store_evict(struct store_op *op, const struct store_evict *how, struct store_evict_pool *pool, size_t bytes);

/* ------------------------------------------------------------------ snapshots (see snapshot.c) */

struct store_snapshot;
struct store_frozen;
struct store_snapshot_sink {
	/* One entry of the cut, from a walk or as the pre-image of a write, with the shard's lock held. */
	void (*entry)(void *ctx, unsigned db, const struct store_key *key, const struct entry *e);
	void *ctx;
	/* Optional: a value of `large_bytes` or more comes here instead, also with the lock held: it stands still, without a
	 * lock, until store_frozen_release(). What is written meanwhile is written to a copy. */
	void (*frozen)(void *ctx, unsigned db, struct store_frozen *f);
	size_t large_bytes;
	/* Optional: true ends the current step early (the consumer is behind). */
	bool (*full)(void *ctx);
};
/* Any thread, until the release. The entry has key, expiry, access clock and value as they were. */
const struct entry *store_frozen_entry(const struct store_frozen *f);
/* About the bytes of its value. */
size_t store_frozen_bytes(const struct store_frozen *f);
/* [any] */
void store_frozen_release(struct store_frozen *f);
/* Begin: every entry that exists now belongs to the cut. One at a time: NULL with *err = -EBUSY. [alone] */
struct store_snapshot *store_snapshot_begin(struct store *s, const struct store_snapshot_sink *sink, int *err);
/* Walk a part of the shards of `loop`; true when they are all done and nothing is frozen any more. [owner] */
bool store_snapshot_step(struct store_snapshot *sn, unsigned loop, int64_t budget_us);
/* The same by whoever is alone: no lock is taken. [alone] */
bool store_snapshot_step_alone(struct store_snapshot *sn, unsigned loop, int64_t budget_us);
/* Whether the snapshot is reading the key's value, which is large: who changes it now in place pays with a copy of it, and
 * may rather wait. It is frozen by this if it was not taken yet. [locked] */
bool store_frozen(struct store_op *op, const struct store_key *key);
/* Whether the walk of that loop's shards is over, though frozen values may be out. [owner] */
bool store_snapshot_walked(const struct store_snapshot *sn, unsigned loop);
/* End or abort; entries not walked are released. Frozen values must all have been released by the sink. [alone] */
void store_snapshot_end(struct store_snapshot *sn);

/* ------------------------------------------------------------------ values apart from keys (lazy free, DUMP, COPY) */

/* Wait until the background thread has freed all it was given (tests, FLUSHALL SYNC). [any] */
void store_reaper_drain(struct store *s);

#ifdef __cplusplus
}
#endif
#endif
