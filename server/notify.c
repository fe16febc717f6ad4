/* notify: keyspace events, published to the channels that notify-keyspace-events asks for: a feed of touch.h. */
#include "server/notify.h"

#include <stdio.h>
#include <stdlib.h>

#include "server/config.h"
#include "server/pubsub.h"
#include "server/touch.h"

static unsigned feed;

/* "__keyspace@<db>__:<key>" or "__keyevent@<db>__:<event>" and what happened. */
static void publish(const char *what, unsigned db, const void *name, size_t len, const void *text, size_t text_len)
{
	char small[256], *channel = small;
	int head = snprintf(small, sizeof small, "__%s@%u__:", what, db);
	if ((size_t)head + len > sizeof small) {
		channel = malloc((size_t)head + len);
		if (!channel)
			return;
		memcpy(channel, small, (size_t)head);
	}
	memcpy(channel + head, name, len);
	pubsub_publish(PUBSUB_CHANNEL, channel, (size_t)head + len, text, text_len);
	if (channel != small)
		free(channel);
}

static void notify(struct call *c, const struct store_key *key, unsigned kinds, unsigned class, const char *event)
{
	unsigned wanted = (unsigned)config()->notify_keyspace_events;
	if (!(kinds & TOUCH_EVENT) || !(wanted & class) || !key)
		return;
	size_t len = strlen(event);
	if (wanted & NOTIFY_KEYSPACE)
		publish("keyspace", c->op.db, key->ptr, key->len, event, len);
	if (wanted & NOTIFY_KEYEVENT)
		publish("keyevent", c->op.db, event, len, key->ptr, key->len);
}

static bool changed(const struct config *now, char **error)
{
	(void)error;
	touch_switch(feed, now->notify_keyspace_events != 0);
	return true;
}

void notify_init(void)
{
	feed = touch_register(notify);
	touch_switch(feed, config()->notify_keyspace_events != 0);
	config_on_change("notify-keyspace-events", changed);
}
