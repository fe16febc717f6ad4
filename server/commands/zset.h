/* zset: what the commands on sorted sets, and those of geo, share. */
#ifndef SERVER_COMMANDS_ZSET_H
#define SERVER_COMMANDS_ZSET_H

#include "server/commands/aggregate.h"
#include "store/types/zset.h"

static inline struct value_limits zset_limits_now(void)
{
	const struct config *cf = config();
	return (struct value_limits){ .entries = cf->zset_max_listpack_entries, .bytes = cf->zset_max_listpack_value };
}

/* The sorted set of a key to be read. false: there is none, then *wrong says whether WRONGTYPE was written. */
static inline bool zset_read(struct call *c, const struct store_key *key, struct value *z, bool *wrong)
{
	const struct entry *e = call_find_read_type(c, key, STORE_ZSET, wrong);
	if (e)
		*z = value_of(e);
	return e != NULL;
}

/* n members have left: the value goes back to its entry, or the key goes when none is left, with the events. */
void zset_removed(struct call *c, const struct store_key *key, struct entry *e, const struct value *z, size_t n,
                  const char *event);

/*
 * What a STORE command leaves: the gathered members, in place of whatever the key held, with its event; or no key, where
 * there are none. Replies with their number; the builder is cleared. count: how many changes that is.
 */
void zset_store(struct call *c, const struct store_key *key, struct zset_builder *b, const char *event, size_t count);

/* ZADD from argv[from] on, where pairs of score and member stand, into argv[1]; flags as options say. */
enum zadd_flag { ZADD_NX = 1, ZADD_XX = 2, ZADD_GT = 4, ZADD_LT = 8, ZADD_CH = 16, ZADD_INCR = 32 };
struct zadd_pair {
	double score;
	const struct arg *member;
};
void zadd_pairs(struct call *c, unsigned flags, const struct zadd_pair *pairs, size_t n);

/* A pair of a reply: in an array of its own with RESP3. */
static inline void zset_reply_pair(struct reply *r, const char *member, size_t len, double score)
{
	if (r->resp == 3)
		reply_array(r, 2);
	reply_bulk(r, member, len);
	reply_double(r, score);
}

/* The head of an array of n members, or pairs. */
static inline void zset_reply_head(struct reply *r, size_t n, bool scores)
{
	reply_array(r, scores && r->resp == 2 ? 2 * n : n);
}


#endif
