/*
 * aggregate: what the commands on lists, hashes and sets share: a key with its value to be changed, elements as replies,
 * the limits of the configuration, and the walk of HSCAN and SSCAN.
 */
#ifndef SERVER_COMMANDS_AGGREGATE_H
#define SERVER_COMMANDS_AGGREGATE_H

#include "server/call.h"
#include "server/config.h"
#include "store/types/value.h"

/* A value to be changed: that of an entry, or (e == NULL) a new one that has no key yet. */
struct target {
	struct store_key key;
	struct entry *e;
	struct value v;
	bool borrowed; /* v is a copy of what stands in e */
};

static inline bool target_open(struct call *c, unsigned i, enum store_type_id type, bool lend, struct target *t)
{
	bool wrong;
	t->key = call_key(c, i);
	t->borrowed = false;
	t->e = lend ? call_find_lent_type(c, &t->key, type, &wrong) : call_find_write_type(c, &t->key, type, &wrong);
	if (t->e)
		t->v = value_of(t->e);
	return !wrong;
}

/* The value of the key at argv[i]; e is NULL if there is none. false: WRONGTYPE was written. */
static inline bool target_find(struct call *c, unsigned i, enum store_type_id type, struct target *t)
{
	return target_open(c, i, type, false, t);
}

/* target_find() for commands that mostly add: target_lend() leaves the value where it stands, to be read and overwritten by
 * as many bytes only; then target_borrow() makes it a copy, and target_keep() or target_drop() must follow. */
static inline bool target_lend(struct call *c, unsigned i, enum store_type_id type, struct target *t)
{
	return target_open(c, i, type, true, t);
}
void target_borrow(struct call *c, struct target *t);
/* Put elements into a listpack that target_lend() left where it stands, without a copy. false: nothing was done. */
bool target_insert(struct call *c, struct target *t, size_t at, const struct value_item *items, size_t n);
static inline bool target_lent(const struct target *t)
{
	return t->e && t->e->flags & ENTRY_EMBEDDED && !t->borrowed;
}

/* After a change: the value goes back to its entry, or becomes a new key, with its event "new". false: no memory for that;
 * the value is freed and the reply written. */
bool target_keep(struct call *c, struct target *t, enum store_type_id type);
/* The same where nothing was changed, or nothing could be: a new value is freed. */
void target_drop(struct call *c, struct target *t, enum store_type_id type);
/* The value is empty now: its key goes, with the event "del". */
void target_delete(struct call *c, struct target *t);

/* What a STORE command leaves: the value (taken) in place of whatever the key held, with its event; or, where the value is
 * empty, no key. The reply is the number of elements. */
void store_result(struct call *c, const struct store_key *key, enum store_type_id type, struct value *take, size_t n,
                  unsigned notify_class, const char *event);

static inline void reply_item(struct reply *r, const struct value_item *item)
{
	if (item->str)
		reply_bulk(r, item->str, item->len);
	else
		reply_bulk_int(r, item->num);
}

/* Elements changed at once: the first is counted by call_touch(). */
static inline void count_more(struct call *c, uint64_t n)
{
	uint32_t room = UINT32_MAX - c->dirty;
	if (n > 1)
		c->dirty += n - 1 < room ? (uint32_t)(n - 1) : room;
}

/* The count of HRANDFIELD and SRANDMEMBER at argv[i]: its absolute value, and whether elements may come more than once. */
bool random_count(struct call *c, unsigned i, uint64_t *n, bool *repeat);
/* Whether a reply of n elements (of any length) may be begun at all; the error is written if not. */
bool random_fits(struct call *c, uint64_t n);
/* Whether a reply goes on: *spent bytes grow by the element. false: it is given up, and the connection with it. */
bool random_goes_on(struct call *c, uint64_t *spent, const struct value_item *item);

/*
 * HSCAN and SSCAN. walk() calls aggregate_scan_see() with each element (value NULL: a set's) and returns the next cursor.
 */
struct aggregate_scan {
	struct reply found;
	const struct arg *pattern;
	size_t seen, replies;
	bool pairs;
};
void aggregate_scan_see(struct aggregate_scan *s, const struct value_item *item, const struct value_item *value);
typedef uint64_t aggregate_walk(const struct value *v, uint64_t cursor, size_t count, struct aggregate_scan *s);
void aggregate_scan(struct call *c, enum store_type_id type, aggregate_walk *walk);

/* A cursor as clients write it: whatever strtoul() takes. */
bool parse_cursor(const struct arg *a, uint64_t *cursor);

#endif
