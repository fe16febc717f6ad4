/*
 * call: one execution of one command, as its handler sees it.
 *
 * A handler reads argv, works on the store through c->op, writes its reply to c->reply, says what it changed with
 * call_touch(), and, where its own arguments are not a faithful record of what happened, what to journal with
 * call_journal(). It never locks: the keys its row names are locked already (class keyed), or it is alone.
 *
 * Invariants: c and argv are valid until the handler returns; whatever must live longer is copied. The clock in c->op is
 * frozen for the whole command, EXEC or script.
 */
#ifndef SERVER_CALL_H
#define SERVER_CALL_H

#include <errno.h>
#include <string.h>
#include <strings.h>

#include "server/command.h"
#include "server/reply.h"
#include "store/entry.h"
#include "store/store.h"

struct client;

/* Classes of keyspace events, as the letters of notify-keyspace-events. */
enum notify_class {
	NOTIFY_KEYSPACE = 1 << 0, /* K: which channels, not which events */
	NOTIFY_KEYEVENT = 1 << 1, /* E */
	NOTIFY_GENERIC = 1 << 2,  /* g */
	NOTIFY_STRING = 1 << 3,   /* $ */
	NOTIFY_LIST = 1 << 4,     /* l */
	NOTIFY_SET = 1 << 5,      /* s */
	NOTIFY_HASH = 1 << 6,     /* h */
	NOTIFY_ZSET = 1 << 7,     /* z */
	NOTIFY_EXPIRED = 1 << 8,  /* x */
	NOTIFY_EVICTED = 1 << 9,  /* e */
	NOTIFY_STREAM = 1 << 10,  /* t */
	NOTIFY_KEY_MISS = 1 << 11, /* m */
	NOTIFY_MODULE = 1 << 13,  /* d: accepted; there are no modules */
	NOTIFY_NEW = 1 << 14,     /* n */
};

struct effects; /* what the journal will get: server/effects.h */

/* Which shards are locked while the call runs: for who else may be served with it. */
enum call_held { CALL_HOLDS_NONE, CALL_HOLDS_ONE, CALL_HOLDS_SET, CALL_HOLDS_ALL };

/* Everybody else was stopped by the handler: dispatch lets them go on when the effects are in the journal, as a key that was
 * not locked must not change before that. */
enum call_stopped { CALL_STOPPED_NOBODY, CALL_UPGRADED, CALL_TOOK_ALONE };

struct call {
	const struct arg *argv;
	unsigned argc;
	uint32_t dirty;           /* changes so far */
	const struct command *cmd;
	struct client *client;    /* never NULL; replayed journals and scripts have a client without a connection */
	struct reply *reply;
	struct store_op op;
	uint64_t first_hash;      /* hash of the first key, valid if first_hash_arg != 0 */
	unsigned first_hash_arg;  /* its index in argv */
	unsigned loop;            /* index of the executing loop */
	bool alone;               /* every other loop is parked */
	bool no_journal;          /* the handler said that its argv must not be journaled */
	bool replaying;           /* from a journal, AOF or primary: conditions were checked when it was written */
	bool nested;              /* within EXEC or a script */
	bool turned_away;         /* it waited for too long to run any more: it has read and written nothing */
	uint8_t held;             /* enum call_held: shard of held_hash; those of locks; every one */
	uint8_t stopped;          /* enum call_stopped */
	uint64_t held_hash;
	struct waiter *waiter;    /* the command waited and is being run again: server/block.h */
	struct effects *effects;
	struct store_lockset *locks; /* those of CALL_HOLDS_SET; a script may add to it */
};

/* The key at argv[i], hashed (once for the first key of a command). */
static inline struct store_key call_key(struct call *c, unsigned i)
{
	if (__builtin_expect(i == c->first_hash_arg, 1))
		return (struct store_key){ c->argv[i].ptr, c->argv[i].len, c->first_hash };
	return store_key(c->op.store, c->argv[i].ptr, c->argv[i].len);
}

/* Find for reading: counts a hit or a miss, touches the access clock, event "keymiss". */
struct entry *call_find_read(struct call *c, const struct store_key *key);
/* Find for writing. */
static inline struct entry *call_find_write(struct call *c, const struct store_key *key)
{
	return store_find(&c->op, key, STORE_WRITE);
}
/* As above, and the type must fit: otherwise WRONGTYPE is written and *wrong is true. */
struct entry *call_find_read_type(struct call *c, const struct store_key *key, enum store_type_id type, bool *wrong);
struct entry *call_find_write_type(struct call *c, const struct store_key *key, enum store_type_id type, bool *wrong);
/* As the last, but a listpack that stands in the entry stays there: target_lend() in commands/aggregate.h. */
struct entry *call_find_lent_type(struct call *c, const struct store_key *key, enum store_type_id type, bool *wrong);

/* Feeds that are on, for all that follows: what only they need to know is not found out otherwise (touch.h). */
extern unsigned call_feeds;
enum touch_kind {
	TOUCH_CHANGE = 1, /* the key's value or existence changed */
	TOUCH_EVENT = 2,  /* an event to be published; event is not NULL */
	TOUCH_OVER = 4,   /* the new value stands where another one was: no key has come that somebody may wait for */
};
void call_feed(struct call *c, const struct store_key *key, unsigned kinds, unsigned notify_class, const char *event);
static inline bool call_observed(void)
{
	return __builtin_expect(__atomic_load_n(&call_feeds, __ATOMIC_RELAXED) != 0, 0);
}

/*
 * The one place where a handler says that a key changed and which event it was. Counts one change; feeds WATCH, keyspace
 * notifications, client tracking and blocked clients. event NULL: a change without an event. Call it after the change,
 * in the order in which Redis sends its events.
 */
static inline void call_touch(struct call *c, const struct store_key *key, unsigned notify_class, const char *event)
{
	c->dirty++;
	if (call_observed())
		call_feed(c, key, TOUCH_CHANGE | (event ? TOUCH_EVENT : 0), notify_class, event);
}
/* The same for a key that was written over as a whole. */
static inline void call_touch_over(struct call *c, const struct store_key *key, unsigned notify_class, const char *event)
{
	c->dirty++;
	if (call_observed())
		call_feed(c, key, TOUCH_CHANGE | TOUCH_EVENT | TOUCH_OVER, notify_class, event);
}
/* An event without a change (e.g. "del" of a destination already counted). */
static inline void call_event(struct call *c, const struct store_key *key, unsigned notify_class, const char *event)
{
	if (call_observed())
		call_feed(c, key, TOUCH_EVENT, notify_class, event);
}
/* All keys of the database went or came (FLUSHALL, SWAPDB); counts nothing. */
void call_touch_db(struct call *c, unsigned db);

/*
 * What the journal gets instead of argv. The first use replaces argv, each further one adds a command; all of one call
 * are journaled as one unit. Bytes are copied. Without use, argv is journaled if dirty > 0.
 */
void call_journal(struct call *c, unsigned argc, const struct arg *argv);
/* The same from C strings and slices: format characters: 's' const char *, 'a' struct arg *, 'b' (const void *, size_t),
 * 'i' int64_t. Example: call_journalf(c, "sai", "PEXPIREAT", &c->argv[1], when). */
void call_journalf(struct call *c, const char *format, ...);
static inline void call_no_journal(struct call *c)
{
	c->no_journal = true;
}

/* Arguments. Each writes Redis's error and returns false when it does not fit. */
bool call_int(struct call *c, unsigned i, int64_t *v);                                    /* not an integer... */
bool call_int_range(struct call *c, unsigned i, int64_t min, int64_t max, int64_t *v, const char *error); /* NULL: default text */
bool call_double(struct call *c, unsigned i, double *v);
bool call_long_double(struct call *c, unsigned i, long double *v);
/* argv[i] equals the word, without case. */
static inline bool arg_is(const struct arg *a, const char *word)
{
	return a->len == strlen(word) && strncasecmp(a->ptr, word, a->len) == 0;
}
static inline bool arg_is_char(const struct arg *a, char c)
{
	return a->len == 1 && *a->ptr == c;
}
/* The names of most commands have 4 to 8 letters: two reads that overlap. */
static inline bool arg_equal(const struct arg *a, const struct arg *b)
{
	uint32_t head[2], tail[2];
	if (a->len != b->len)
		return false;
	if (a->len < 4 || a->len > 8)
		return memcmp(a->ptr, b->ptr, a->len) == 0;
	memcpy(&head[0], a->ptr, 4);
	memcpy(&head[1], b->ptr, 4);
	memcpy(&tail[0], a->ptr + a->len - 4, 4);
	memcpy(&tail[1], b->ptr + b->len - 4, 4);
	return ((head[0] ^ head[1]) | (tail[0] ^ tail[1])) == 0;
}
/* "ERR wrong number of arguments for 'x' command". */
void call_wrong_arity(struct call *c);
/* "ERR unknown subcommand 'x'. Try X HELP." */
void call_unknown_subcommand(struct call *c);
/* The HELP subcommand's reply: lines in our own words, ends with NULL; frame and the HELP lines are added as Redis does. */
void call_help(struct call *c, const char *const *lines);

#endif
