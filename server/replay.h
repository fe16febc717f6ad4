/*
 * replay: the journal's memory subscriber, which proves the journal: it keeps every record since its start and, when
 * asked, replays them into a second store and compares the two, key by key. DEBUG JOURNAL START and CHECK; tests only.
 *
 * Threads: all functions alone.
 */
#ifndef SERVER_REPLAY_H
#define SERVER_REPLAY_H

#include <stdbool.h>
#include <stddef.h>

struct call;

/* Begin to keep records; the keyspace must be empty. 0, -ENOTEMPTY, -EALREADY or -ENOMEM. */
int replay_start(struct call *c);
/* Compare. 0, or -EINVAL with the first difference in text; -ENOENT: not started. */
int replay_check(struct call *c, char *text, size_t size);
/* Stop keeping records. */
void replay_stop(void);

#endif
