/*
 * push: bytes to a client that did not ask for them just now: messages, invalidations, lines of MONITOR; and
 * confirmations of subscriptions.
 *
 * Threads: the client's own loop.
 */
#ifndef SERVER_PUSH_H
#define SERVER_PUSH_H

#include <stddef.h>

struct call;
struct client;
struct reply;

/* Queue whole replies; a client that does not read them is closed at the output limit of subscribers. While the client's
 * own command is half answered they are kept until its end. */
void push_to(struct client *c, const char *bytes, size_t len);
/* Behind a command of c, whose output is closed: what was kept goes out. */
void push_after_command(struct client *c);
/* Where a command writes what its client gets even if that wants no replies. */
struct reply *push_reply(struct call *c);

#endif
