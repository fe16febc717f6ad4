/*
 * account: what is noted of every command once it ran: statistics, its time, the slow log, monitors.
 *
 * Threads: the loop that ran it.
 */
#ifndef SERVER_ACCOUNT_H
#define SERVER_ACCOUNT_H

#include <stdbool.h>

struct call;
struct worker;

/* Thresholds from the configuration. Before the loops start. */
void account_init(void);
/* It waits now; it is accounted when it ends. */
void account_blocked(struct worker *w, struct call *c);
/* The call ended (ran), or was refused. */
void account(struct worker *w, struct call *c, bool ran);

#endif
