/* notify: keyspace events to channels (notify-keyspace-events). */
#ifndef SERVER_NOTIFY_H
#define SERVER_NOTIFY_H

/* Registers itself; before the loops start. */
void notify_init(void);

#endif
