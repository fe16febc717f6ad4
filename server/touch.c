/* touch: see touch.h. */
#include "server/touch.h"

#include <assert.h>

static touch_feed *feeds[TOUCH_FEEDS];
static unsigned feed_count;
unsigned call_feeds;

unsigned touch_register(touch_feed *feed)
{
	assert(feed_count < TOUCH_FEEDS);
	feeds[feed_count] = feed;
	return 1u << feed_count++;
}

void touch_switch(unsigned bit, bool on)
{
	if (on)
		__atomic_fetch_or(&call_feeds, bit, __ATOMIC_RELAXED);
	else
		__atomic_fetch_and(&call_feeds, ~bit, __ATOMIC_RELAXED);
}

void call_feed(struct call *c, const struct store_key *key, unsigned kinds, unsigned class, const char *event)
{
	unsigned on = __atomic_load_n(&call_feeds, __ATOMIC_RELAXED);
	for (unsigned i = 0; i < feed_count; i++) {
		if (on & (1u << i))
			feeds[i](c, key, kinds, class, event);
	}
}

void call_touch_db(struct call *c, unsigned db)
{
	unsigned current = c->op.db;
	c->op.db = db;
	if (call_observed())
		call_feed(c, NULL, TOUCH_CHANGE, 0, NULL);
	c->op.db = current;
}

void touch_removed(struct call *c, const struct store_key *key, unsigned notify_class, const char *event)
{
	if (call_observed())
		call_feed(c, key, TOUCH_CHANGE | TOUCH_EVENT, notify_class, event);
}
