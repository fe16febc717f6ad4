/*
 * pubsub: channels, patterns and shard channels, over all loops.
 *
 * A topic is a channel, pattern or shard channel with subscribers. Topics live in a striped table; a stripe's lock guards
 * its topics and their counts. A topic keeps one list of subscribers per loop, which only that loop walks and changes
 * (changes under the lock too). Publishing counts and posts under the channel's lock: one message for each loop with
 * subscribers, so that all subscribers of a channel see one order.
 *
 * Lock order: shards, then channels, then the list of patterns. Nobody waits while holding one of these.
 */
#ifndef SERVER_PUBSUB_H
#define SERVER_PUBSUB_H

#include "server/call.h"

struct client;
struct reply;

enum pubsub_kind { PUBSUB_CHANNEL, PUBSUB_PATTERN, PUBSUB_SHARD, PUBSUB_KINDS };

int pubsub_init(unsigned loops);
void pubsub_free(void);

/* Its own loop. 1: new; 0: it was subscribed (or was not); -ENOMEM. */
int pubsub_subscribe(struct client *c, enum pubsub_kind kind, const void *name, size_t len);
int pubsub_unsubscribe(struct client *c, enum pubsub_kind kind, const void *name, size_t len);
/* The end of a client, RESET. */
void pubsub_leave(struct client *c);
/* Names a client is subscribed to: each(ctx, name, len); the visitor may unsubscribe the one it is given. */
void pubsub_each_of(struct client *c, enum pubsub_kind kind, void (*each)(void *ctx, const void *name, size_t len),
                    void *ctx);
unsigned pubsub_count_of(const struct client *c, enum pubsub_kind kind);

/* Returns the number of receivers. Any loop. */
uint64_t pubsub_publish(enum pubsub_kind kind, const void *name, size_t len, const void *text, size_t text_len);

/* Before EXEC answers: what is on its way goes out, as a queued command may end the subscription. */
void pubsub_before_exec(struct client *c);
/* Between two commands of c, whose output is closed: what it published to itself goes out. */
void pubsub_after_command(struct client *c);

/* PUBSUB's questions. */
void pubsub_each_topic(enum pubsub_kind kind, void (*each)(void *ctx, const void *name, size_t len), void *ctx);
uint64_t pubsub_subscribers(enum pubsub_kind kind, const void *name, size_t len);
uint64_t pubsub_topics(enum pubsub_kind kind);

/* Bytes a client's subscriptions take. */
size_t pubsub_memory(const struct client *c);

#endif
