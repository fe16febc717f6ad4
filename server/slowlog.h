/*
 * slowlog: the last commands that took longer than slowlog-log-slower-than.
 *
 * Ownership: arguments are copied, shortened to 32 of at most 128 bytes each. Threads: any.
 */
#ifndef SERVER_SLOWLOG_H
#define SERVER_SLOWLOG_H

#include <stdint.h>

struct call;
struct reply;

/* Remember the command of this call, which took so long. */
void slowlog_add(struct call *c, int64_t took_us);
/* SLOWLOG GET: the newest first, at most n (negative: all). */
void slowlog_reply(struct reply *r, int64_t n);
uint64_t slowlog_len(void);
void slowlog_clear(void);

#endif
