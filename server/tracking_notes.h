/*
 * tracking_notes: from a changed key to the messages that clients get: notes posted to the clients' loops. Internal to
 * tracking.
 *
 * Threads: tracking_note_*: any loop, with locks held; join and leave: the client's own loop, or alone.
 */
#ifndef SERVER_TRACKING_NOTES_H
#define SERVER_TRACKING_NOTES_H

#include <stddef.h>
#include <stdint.h>

#include "net/net.h"
#include "server/resp.h"

/* A client's part. */
struct tracking {
	struct tracking *next, **prev; /* among those of its loop */
	struct client *client;
	unsigned flags;
	uint64_t redirect; /* client that gets the messages instead, 0 none */
	net_conn_id redirect_conn;
	unsigned redirect_loop;
	struct arg *prefixes;
	size_t n;
};

int tracking_notes_init(unsigned loops);
void tracking_notes_free(void);
void tracking_notes_join(struct tracking *t);
void tracking_notes_leave(struct tracking *t);

/* To one client: the key changed, by a command of sender (0: nobody's). */
void tracking_note_key(unsigned loop, net_conn_id conn, uint64_t client, uint64_t sender, const char *key, size_t len);
/* To the loop's broadcasting clients with a prefix of the key. */
void tracking_note_prefix(unsigned loop, uint64_t sender, const char *key, size_t len);
/* To all tracking clients of the loop: every key may have changed. */
void tracking_note_all(unsigned loop);

#endif
