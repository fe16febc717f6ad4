/*
 * hold: under appendfsync always nothing leaves before the log is durable up to what it may show. What a turn emits for a
 * connection is held until the journal's tail, as seen when its output is written, is on the disk; meanwhile the
 * connection executes nothing. The log's thread wakes the loops; no loop waits.
 *
 * Also here: clients whose write waits for room in the journal (parked).
 *
 * Threads: functions about a worker or connection: its loop; hold_wake: any.
 */
#ifndef SERVER_HOLD_H
#define SERVER_HOLD_H

#include <stdbool.h>
#include <stdint.h>

#include "net/net.h"

struct client;
struct worker;

/* Whether replies are held at all. Changed alone, or by the log's thread when a log becomes complete. */
void hold_set(bool on);
bool hold_on(void);

/* Callbacks of the loop: for each connection with output, just before it is written; after each wake. */
enum net_action hold_flush(struct net_conn *conn);
void hold_after_wait(struct worker *w);
void hold_free(struct worker *w);

/* Something became durable or failed, or the journal has room: loops with waiting clients look. [any] */
void hold_wake(void);
/* The journal is full: the client's next command waits for room. false: there is room by now, or no memory. */
bool hold_park(struct worker *w, struct client *c);
/* How often clients were parked. [any] */
uint64_t hold_parked(void);
/* The client's next command waits until a snapshot has read a large value: it is tried again when the loop wakes, which
 * it does every millisecond meanwhile. false: no memory. */
bool hold_park_frozen(struct worker *w, struct client *c);
/* This loop wants to be woken at the next step of the log, for reasons of its own (WAITAOF). */
void hold_want_wake(struct worker *w);

#endif
