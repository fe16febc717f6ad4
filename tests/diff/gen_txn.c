/* Transactions, and what of pub/sub needs no second client. MULTI and WATCH within MULTI are left to the command tests: 7.0
 * and Valkey 8.1 refuse them in different words. */
#include "tests/diff/gen.h"

static const char *pick(struct gen *g, const char *const *lines, uint32_t n)
{
	return lines[gen_below(g, n)];
}

/* WATCH, perhaps a change, MULTI, some commands, perhaps a wrong one, EXEC or DISCARD. */
static void make_transaction(struct gen *g, const struct gen_row *row)
{
	static const char *const queued[] = {
		"SET txn:a 1", "INCR txn:a", "APPEND txn:a x", "GET txn:a", "DEL txn:a txn:b", "MSET txn:a 5 txn:b 6",
		"EXPIRE txn:a 1000", "PERSIST txn:a", "RENAME txn:a txn:b", "STRLEN txn:b", "PING", "DBSIZE", "EXISTS txn:b",
		"LPUSH txn:a x", "TYPE txn:a", "UNWATCH",
	};
	static const char *const wrong[] = { "GET", "NOSUCH x", "SET txn:a", "INCR txn:a 1 2", "EXPIRE txn:a", "DEL" };
	static const char *const before[] = { "SET txn:a 7", "DEL txn:b", "UNWATCH", "GET txn:a", "EXEC", "DISCARD" };
	if (gen_chance(g, 40))
		gen_line(g, "WATCH txn:a txn:b", row->compare, 1);
	if (gen_chance(g, 40))
		gen_line(g, pick(g, before, 6), row->compare, 1);
	gen_line(g, "MULTI", row->compare, 1);
	for (uint32_t n = gen_below(g, 5); n; n--)
		gen_line(g, pick(g, queued, 16), row->compare, 1);
	if (gen_chance(g, 15))
		gen_line(g, pick(g, wrong, 6), row->compare, 1);
	gen_line(g, gen_chance(g, 85) ? "EXEC" : "DISCARD", row->compare, 1);
}

/* A subscription ends at once: with RESP2 a subscriber may do little else. */
static void make_subscription(struct gen *g, const struct gen_row *row)
{
	static const char *const pairs[][2] = {
		{ "SUBSCRIBE news", "UNSUBSCRIBE news" },
		{ "PSUBSCRIBE n*", "PUNSUBSCRIBE" },
		{ "SSUBSCRIBE shard", "SUNSUBSCRIBE shard" },
		{ "SUBSCRIBE x", "UNSUBSCRIBE" },
	};
	uint32_t i = gen_below(g, 4);
	gen_line(g, pairs[i][0], row->compare, 1);
	gen_line(g, gen_chance(g, 50) ? "PING" : pairs[i][0], row->compare, 1);
	gen_line(g, pairs[i][1], row->compare, 1);
}

static void make_question(struct gen *g, const struct gen_row *row)
{
	static const char *const lines[] = {
		"PUBLISH nobody x",  "SPUBLISH nobody x", "PUBSUB CHANNELS",      "PUBSUB CHANNELS n*", "PUBSUB NUMPAT",
		"PUBSUB NUMSUB a b", "PUBSUB NUMSUB",     "PUBSUB SHARDCHANNELS", "PUBSUB SHARDNUMSUB a",
	};
	gen_line(g, pick(g, lines, 9), row->compare, 1);
}

static const struct gen_row rows[] = {
	{ "multi", make_transaction, 6, GEN_FIXED, CMP_EXACT },
	{ "exec", make_transaction, 1, GEN_FIXED, CMP_EXACT },
	{ "discard", make_transaction, 1, GEN_FIXED, CMP_EXACT },
	{ "watch", make_transaction, 1, GEN_FIXED, CMP_EXACT },
	{ "unwatch", make_transaction, 1, GEN_FIXED, CMP_EXACT },
	{ "subscribe", make_subscription, 3, GEN_FIXED, CMP_EXACT },
	{ "publish", make_question, 4, GEN_FIXED, CMP_EXACT },
	{ 0 },
};
const struct gen_group gen_group_txn = { "txn", rows };
