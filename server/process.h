/*
 * process: what the operating system sees: daemon, pid file, supervision, title, signals, limits, crash report.
 *
 * In order: process_enter() after the configuration was read and before any thread; process_listening() when the
 * listeners are open; process_ready() when clients are served; process_cleanup() at the end.
 */
#ifndef SERVER_PROCESS_H
#define SERVER_PROCESS_H

#include "server/config.h"

/* Keep argv's memory for the title. First thing in main(). */
void process_init(int argc, char **argv);
/* Working directory, log, supervision, daemon, signals, limits. 0, or -1 after the reason was printed or logged. */
int process_enter(const struct config *cfg);
/* The pid file: only now is it sure that no other server has the port. */
void process_listening(void);
/* Tell the supervisor, if there is one. */
void process_ready(void);
/* Remove the pid file, tell the supervisor. May be called twice. */
void process_cleanup(void);

/* Look at the system's settings and print what is amiss; an exit status. */
int process_check_system(void);

/* ---- crash.c */
/* Report fatal signals in the log. Any time; false takes it back. */
void crash_report_on_signals(bool on);
/* Every thread, at its start: a stack for the report. */
void crash_thread_init(void);

#endif
