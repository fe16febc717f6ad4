/*
 * touch: who wants to know that a key changed. call_touch() and call_event() are the only sources; WATCH, keyspace
 * notifications, client tracking and blocked clients are feeds. With no feed switched on, a touch costs one branch.
 *
 * Threads: feeds are registered before the loops start; switched on and off by anyone: a
 * change of a key sees a feed that was switched on under that key's lock. Feeds are called with the key's lock held.
 */
#ifndef SERVER_TOUCH_H
#define SERVER_TOUCH_H

#include "server/call.h"

/* key NULL: every key of c->op.db (FLUSHDB, SWAPDB). */
typedef void touch_feed(struct call *c, const struct store_key *key, unsigned kinds, unsigned notify_class,
                        const char *event);

#define TOUCH_FEEDS 8
/* Returns the feed's bit, for touch_switch(). */
unsigned touch_register(touch_feed *feed);
void touch_switch(unsigned bit, bool on);
/* Changes that no command made: expiry and eviction. */
void touch_removed(struct call *c, const struct store_key *key, unsigned notify_class, const char *event);

#endif
