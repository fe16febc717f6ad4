/*
 * pubsub_deliver: messages on their way to the subscribers that a topic has on one loop.
 *
 * A message goes to a loop by its mailbox. Messages of one topic that stand there one behind the other go to each
 * subscriber together. What a client publishes to itself follows the reply of its command, or of its whole EXEC; and who
 * ends a subscription gets first what was counted for it.
 *
 * Threads: pubsub_post() any; the others the loop's own.
 */
#ifndef SERVER_PUBSUB_DELIVER_H
#define SERVER_PUBSUB_DELIVER_H

#include "server/pubsub.h"

struct topic;

/* One subscription of one client. */
struct pubsub_sub {
	struct pubsub_sub *next, **prev;       /* among its loop's subscribers of the topic */
	struct pubsub_sub *next_of, **prev_of; /* among its client's subscriptions of the kind */
	struct topic *topic;
	struct client *client;
	uint64_t seen; /* the number of the last message that it got, or that came before it */
};

/* A topic's subscribers on this loop, in a list that only the loop itself changes. pubsub.c's. */
struct pubsub_sub *pubsub_subscribers_here(enum pubsub_kind kind, const void *topic, size_t len);

/* Under the topic's lock, so that numbers rise. false: there is no memory for it. */
bool pubsub_post(unsigned loop, enum pubsub_kind kind, uint64_t number, const struct arg *topic, const struct arg *name,
                 const struct arg *text);
/* In the middle of a command of c: what has been posted to this loop goes out now. */
void pubsub_settle(struct client *c);

#endif
