/*
 * persist: what is kept on disk, as the rest of the server sees it: saving, loading at start, save points, and what
 * happens to writes when saving fails. The files themselves are journal/'s.
 *
 * While the data set loads, commands that are not meant for it are answered -LOADING; when saving has failed, writes are
 * answered -MISCONF if the configuration says so; once the data was saved for the last time, nothing runs any more. All
 * three are bits of dispatch_gates (dispatch.h).
 *
 * Threads: as the functions say; [alone]: every loop is parked, or none runs.
 */
#ifndef SERVER_PERSIST_H
#define SERVER_PERSIST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct info_text;
struct reply;
struct store;
struct store_op;

/* Before the loops start. Says whether there is something to load: then the loading gate is closed. */
bool persist_init(void);
/* Load what persist_init() found, on the calling thread, while the loops answer. 0 or -errno (logged: the process is to
 * end). -ECANCELED: a shutdown came. Then persist_loaded() [alone] opens the gate. */
int persist_load(void);
void persist_loaded(void);

/* ------------------------------------------------------------------ commands */

enum persist_begun { PERSIST_STARTED, PERSIST_SCHEDULED, PERSIST_SAVING, PERSIST_BUSY, PERSIST_FAILED };
/* SAVE: 0, -EBUSY, or what went wrong. [alone] */
int persist_save(void);
/* BGSAVE; schedule: begin later if it cannot now. [alone] */
enum persist_begun persist_bgsave(bool schedule);
/* LASTSAVE. [any] */
int64_t persist_last_save_s(void);
/* FLUSHALL has happened: a running save is given up, and the file follows if there are save points. [alone] */
void persist_flushed(const struct store *s); /* nothing if it is not the server's own */
enum persist_reload_flags { RELOAD_NOSAVE = 1, RELOAD_NOFLUSH = 2, RELOAD_MERGE = 4 };
/* DEBUG RELOAD: -EIO the save failed, else what the load said. [alone] */
int persist_reload(unsigned flags);
/* The last save, if the configuration or the flags (enum shutdown_flags) want one; of both, NOSAVE counts. On success no
 * command runs after it. 0, or -errno: the server is to go on. [alone] */
int persist_shutdown(unsigned flags);

/* ------------------------------------------------------------------ the loops */

/* Loop 0, every 100 ms: save points, what was scheduled. [running, no locks] */
void persist_tick(unsigned loop, int64_t now_ms);
/* Answer a write command (or PING) with what is wrong. [a loop] */
void persist_refuse_write(struct reply *r);
/* Section "persistence" of INFO, as far as it concerns RDB files and loading. [any] */
void persist_info_loading(struct info_text *t);
void persist_info_rdb(struct info_text *t);
void persist_info_progress(struct info_text *t);

/* DEBUG IO-FAULT <call> <skip> <times> <errno>: false: no such call. */
bool persist_io_fault(const char *call, size_t len, unsigned skip, unsigned times, int err);

#endif
