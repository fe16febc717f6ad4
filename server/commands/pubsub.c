/* pubsub: SUBSCRIBE and its kin, PUBLISH, PUBSUB. */
#include <stdlib.h>

#include "server/client.h"
#include "server/commands/groups.h"
#include "server/pubsub.h"
#include "server/push.h"
#include "store/glob.h"

/* What a confirmation counts: shard channels for themselves, channels and patterns together. */
static unsigned counted(const struct client *cl, enum pubsub_kind kind)
{
	if (kind == PUBSUB_SHARD)
		return pubsub_count_of(cl, PUBSUB_SHARD);
	return pubsub_count_of(cl, PUBSUB_CHANNEL) + pubsub_count_of(cl, PUBSUB_PATTERN);
}

static void confirm(struct call *c, const char *word, enum pubsub_kind kind, const void *name, size_t len)
{
	struct reply *r = push_reply(c);
	reply_push(r, 3);
	reply_cstr(r, word);
	if (name)
		reply_bulk(r, name, len);
	else
		reply_null(r);
	reply_int(r, counted(c->client, kind));
}

static void subscribe(struct call *c, const char *word, enum pubsub_kind kind)
{
	for (unsigned i = 1; i < c->argc; i++) {
		if (pubsub_subscribe(c->client, kind, c->argv[i].ptr, c->argv[i].len) < 0) {
			reply_oom(c->reply);
			return;
		}
		confirm(c, word, kind, c->argv[i].ptr, c->argv[i].len);
	}
}

struct leaving {
	struct call *c;
	const char *word;
	enum pubsub_kind kind;
};

static void leave_one(void *ctx, const void *name, size_t len)
{
	struct leaving *l = ctx;
	pubsub_unsubscribe(l->c->client, l->kind, name, len);
	confirm(l->c, l->word, l->kind, name, len);
}

static void unsubscribe(struct call *c, const char *word, enum pubsub_kind kind)
{
	struct leaving l = { c, word, kind };
	for (unsigned i = 1; i < c->argc; i++)
		leave_one(&l, c->argv[i].ptr, c->argv[i].len);
	if (c->argc > 1)
		return;
	if (pubsub_count_of(c->client, kind) == 0)
		confirm(c, word, kind, NULL, 0);
	else
		pubsub_each_of(c->client, kind, leave_one, &l);
}

static void run_subscribe(struct call *c)
{
	subscribe(c, "subscribe", PUBSUB_CHANNEL);
}

static void run_psubscribe(struct call *c)
{
	subscribe(c, "psubscribe", PUBSUB_PATTERN);
}

static void run_ssubscribe(struct call *c)
{
	if (c->nested)
		reply_error(c->reply, "ERR SSUBSCRIBE isn't allowed for a DENY BLOCKING client");
	else
		subscribe(c, "ssubscribe", PUBSUB_SHARD);
}

static void run_unsubscribe(struct call *c)
{
	unsubscribe(c, "unsubscribe", PUBSUB_CHANNEL);
}

static void run_punsubscribe(struct call *c)
{
	unsubscribe(c, "punsubscribe", PUBSUB_PATTERN);
}

static void run_sunsubscribe(struct call *c)
{
	unsubscribe(c, "sunsubscribe", PUBSUB_SHARD);
}

static void run_publish(struct call *c)
{
	const struct arg *a = c->argv;
	reply_int(c->reply, (int64_t)pubsub_publish(PUBSUB_CHANNEL, a[1].ptr, a[1].len, a[2].ptr, a[2].len));
}

static void run_spublish(struct call *c)
{
	const struct arg *a = c->argv;
	reply_int(c->reply, (int64_t)pubsub_publish(PUBSUB_SHARD, a[1].ptr, a[1].len, a[2].ptr, a[2].len));
}

/* ------------------------------------------------------------------ PUBSUB */

struct listing {
	struct call *c;
	const struct arg *pattern;
	size_t n;
};

static void list_topic(void *ctx, const void *name, size_t len)
{
	struct listing *l = ctx;
	if (l->pattern && !glob_match(l->pattern->ptr, l->pattern->len, name, len, false))
		return;
	reply_bulk(l->c->reply, name, len);
	l->n++;
}

static void channels(struct call *c, enum pubsub_kind kind)
{
	if (c->argc > 3) {
		call_unknown_subcommand(c);
		return;
	}
	struct listing l = { c, c->argc > 2 ? &c->argv[2] : NULL, 0 };
	size_t mark = reply_defer(c->reply);
	pubsub_each_topic(kind, list_topic, &l);
	reply_defer_end(c->reply, mark, '*', l.n);
}

static void numsub(struct call *c, enum pubsub_kind kind)
{
	reply_array(c->reply, 2 * (size_t)(c->argc - 2));
	for (unsigned i = 2; i < c->argc; i++) {
		reply_bulk(c->reply, c->argv[i].ptr, c->argv[i].len);
		reply_int(c->reply, (int64_t)pubsub_subscribers(kind, c->argv[i].ptr, c->argv[i].len));
	}
}

static void pubsub_channels(struct call *c)
{
	channels(c, PUBSUB_CHANNEL);
}

static void pubsub_shardchannels(struct call *c)
{
	channels(c, PUBSUB_SHARD);
}

static void pubsub_numsub(struct call *c)
{
	numsub(c, PUBSUB_CHANNEL);
}

static void pubsub_shardnumsub(struct call *c)
{
	numsub(c, PUBSUB_SHARD);
}

static void pubsub_numpat(struct call *c)
{
	reply_int(c->reply, (int64_t)pubsub_topics(PUBSUB_PATTERN));
}

static void pubsub_help(struct call *c)
{
	static const char *const lines[] = {
		"CHANNELS [<pattern>]",
		"    Channels with subscribers, all or those that match.",
		"NUMPAT",
		"    How many different patterns have subscribers.",
		"NUMSUB [<channel> ...]",
		"    Each channel with the number of its subscribers, patterns not counted.",
		"SHARDCHANNELS [<pattern>]",
		"    Shard channels with subscribers, all or those that match.",
		"SHARDNUMSUB [<shardchannel> ...]",
		"    Each shard channel with the number of its subscribers.",
		NULL,
	};
	call_help(c, lines);
}

#define LISTEN .class = EXEC_SERVICE, .flags = CMD_PUBSUB | CMD_NOSCRIPT | CMD_LOADING | CMD_STALE, .group = "pubsub"
#define PUBLISH                                                                                                        \
	.class = EXEC_SERVICE, .flags = CMD_PUBSUB | CMD_LOADING | CMD_STALE | CMD_FAST | CMD_MAY_REPLICATE, .group = "pubsub"
#define ASK .class = EXEC_SERVICE, .flags = CMD_PUBSUB | CMD_LOADING | CMD_STALE, .group = "pubsub"

static struct command pubsub_subs[] = {
	{ .name = "channels", .run = pubsub_channels, ASK, .arity = -2, .since = "2.8.0",
	  .summary = "Lists the channels with subscribers.", .complexity = "O(N) in the channels",
	  .args = "[pattern:pattern]" },
	{ .name = "help", .run = pubsub_help, .class = EXEC_LOCAL, .flags = CMD_LOADING | CMD_STALE, .group = "pubsub",
	  .arity = 2, .since = "6.2.0", .summary = "Lists the subcommands of PUBSUB.", .complexity = "O(1)" },
	{ .name = "numpat", .run = pubsub_numpat, ASK, .arity = 2, .since = "2.8.0",
	  .summary = "Counts the patterns with subscribers.", .complexity = "O(1)" },
	{ .name = "numsub", .run = pubsub_numsub, ASK, .arity = -2, .since = "2.8.0",
	  .summary = "Counts the subscribers of channels.", .complexity = "O(N) in the channels asked for",
	  .args = "[channel:string...]" },
	{ .name = "shardchannels", .run = pubsub_shardchannels, ASK, .arity = -2, .since = "7.0.0",
	  .summary = "Lists the shard channels with subscribers.", .complexity = "O(N) in the shard channels",
	  .args = "[pattern:pattern]" },
	{ .name = "shardnumsub", .run = pubsub_shardnumsub, ASK, .arity = -2, .since = "7.0.0",
	  .summary = "Counts the subscribers of shard channels.", .complexity = "O(N) in the shard channels asked for",
	  .args = "[shardchannel:string...]" },
	{ 0 },
};

struct command pubsub_commands[] = {
	{ .name = "subscribe", .run = run_subscribe, LISTEN, .channels = CHANNELS_ALL, .arity = -2, .since = "2.0.0",
	  .summary = "Receives what is published to channels.", .complexity = "O(N) in the channels",
	  .args = "channel:string..." },
	{ .name = "unsubscribe", .run = run_unsubscribe, LISTEN, .arity = -1, .since = "2.0.0",
	  .summary = "Leaves channels, or all of them.", .complexity = "O(N) in the channels",
	  .args = "[channel:string...]" },
	{ .name = "psubscribe", .run = run_psubscribe, LISTEN, .channels = CHANNELS_PATTERNS, .arity = -2, .since = "2.0.0",
	  .summary = "Receives what is published to channels that match patterns.", .complexity = "O(N) in the patterns",
	  .args = "pattern:pattern..." },
	{ .name = "punsubscribe", .run = run_punsubscribe, LISTEN, .arity = -1, .since = "2.0.0",
	  .summary = "Leaves patterns, or all of them.", .complexity = "O(N) in the patterns",
	  .args = "[pattern:pattern...]" },
	{ .name = "ssubscribe", .run = run_ssubscribe, LISTEN, .channels = CHANNELS_ALL, .arity = -2, .since = "7.0.0",
	  .keys = { { .flags = KEY_NOT_KEY, .begin = 1, .last = -1, .step = 1 } },
	  .summary = "Receives what is published to shard channels.", .complexity = "O(N) in the shard channels",
	  .args = "shardchannel:string..." },
	{ .name = "sunsubscribe", .run = run_sunsubscribe, LISTEN, .arity = -1, .since = "7.0.0",
	  .keys = { { .flags = KEY_NOT_KEY, .begin = 1, .last = -1, .step = 1 } },
	  .summary = "Leaves shard channels, or all of them.", .complexity = "O(N) in the shard channels",
	  .args = "[shardchannel:string...]" },
	{ .name = "publish", .run = run_publish, PUBLISH, .channels = CHANNELS_FIRST, .arity = 3, .since = "2.0.0",
	  .summary = "Sends a message to all who listen to a channel.",
	  .complexity = "O(N + M) in the subscribers of the channel and in all patterns",
	  .args = "channel:string message:string" },
	{ .name = "spublish", .run = run_spublish, PUBLISH, .channels = CHANNELS_FIRST, .arity = 3, .since = "7.0.0",
	  .keys = { { .flags = KEY_NOT_KEY, .begin = 1, .last = 0, .step = 1 } },
	  .summary = "Sends a message to all who listen to a shard channel.", .complexity = "O(N) in its subscribers",
	  .args = "shardchannel:string message:string" },
	{ .name = "pubsub", .arity = -2, .flags = CMD_CONTAINER, .subs = pubsub_subs, .group = "pubsub", .since = "2.8.0",
	  .summary = "Asks about channels and patterns.", .complexity = "Depends on subcommand." },
	{ 0 },
};
