/*
 * monitor: MONITOR: a line for every command that any loop runs, to every client that asked.
 *
 * Each loop keeps its own monitoring clients. A command's line is posted to each loop that has some, in the order in
 * which one loop ran its commands.
 *
 * Threads: as said; monitors_on is read by everyone.
 */
#ifndef SERVER_MONITOR_H
#define SERVER_MONITOR_H

#include <stdbool.h>

struct call;
struct client;

int monitor_init(unsigned loops);
void monitor_free(void);
/* The client watches from now on. Its own loop. */
bool monitor_join(struct client *c);
/* RESET, the end of a client. Its own loop. */
void monitor_leave(struct client *c);
/* The command of this call ran. */
void monitor_feed(struct call *c);
/* Between two commands of a client, whose output is closed: if it watches, the line of its own command goes out. */
void monitor_after_command(void);
/* Whether anybody watches. */
extern unsigned monitors_on;
static inline bool monitored(void)
{
	return __builtin_expect(__atomic_load_n(&monitors_on, __ATOMIC_RELAXED) != 0, 0);
}

#endif
