/*
 * aof: the append-only log as the rest of the server sees it: loading at start, switching on and off, rewriting, and what
 * INFO tells. The files are journal/aof_*.c, the thread that writes them aof_log.c, held replies hold.c.
 *
 * Threads: as the functions say; [alone]: every loop is parked, or none runs.
 */
#ifndef SERVER_AOF_H
#define SERVER_AOF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct call;
struct info_text;
struct reply;

/* Before the loops start: follow the directives. */
void aof_init(void);
/* Load the log that belongs to the configuration, on the calling thread, which is no loop, while the loops answer;
 * progress(bytes, total) returns false to stop. 0; -ECANCELED; or -errno (logged: the process is to end). */
int aof_load(bool (*progress)(uint64_t bytes, uint64_t total));
/* Begin to write, behind what was loaded. 0 or -errno (logged). [alone] */
int aof_begin(void);
/* The last loop has ended: write and sync the rest. */
void aof_end(void);
/* DEBUG LOADAOF: everything from the files again. 0 or -errno. [alone] */
int aof_reload(struct call *c);

enum aof_begun { AOF_STARTED, AOF_SCHEDULED, AOF_REWRITING, AOF_FAILED };
/* BGREWRITEAOF. [alone] */
enum aof_begun aof_rewrite(void);
/* Loop 0, every 100 ms: what was scheduled, growth, a log that must begin anew. [running, no locks] */
void aof_tick(unsigned loop);
/* Answer a write (or PING) with what is wrong with the log. [a loop] */
void aof_refuse_write(struct reply *r);

/* For WAITAOF: what is journaled by now, and what of it the log has made durable as appendfsync promises (0: no log). A
 * loop that wants to be woken at the next step says so with hold_want_wake(). [any] */
uint64_t aof_journaled(void);
uint64_t aof_durable(void);
bool aof_enabled(void);

/* The aof_ fields of INFO, in two parts as they stand there. [any] */
void aof_info_status(struct info_text *t);
void aof_info_sizes(struct info_text *t);

/* shoal-server --check-aof FILE|MANIFEST [--repair]: the report goes to stdout. An exit status. */
int aof_check(const char *path, bool repair);

#endif
