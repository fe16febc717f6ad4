/*
 * dispatch: what the rest of the server may set about the running of commands (the loops' side is in worker.h).
 */
#ifndef SERVER_DISPATCH_H
#define SERVER_DISPATCH_H

#include <stdbool.h>

struct journal;

/* Before the loops start. The journal lives as long as the server. */
void dispatch_set_journal(struct journal *j);
struct journal *dispatch_journal(void);
/* Whether CLIENT PAUSE is on: written alone. */
extern bool dispatch_paused;

#endif
