/*
 * log: lines for the operator, at Redis's levels and in Redis's layout ("PID:ROLE dd Mon yyyy hh:mm:ss.mmm LEVEL text").
 * To a file, standard output or syslog. Any thread; a line is written whole, with one write. Control characters in a
 * line become '?', so that nothing a client says can forge a line. A file that was moved away is opened anew by its
 * name, as log rotation expects.
 */
#ifndef SERVER_LOG_H
#define SERVER_LOG_H

#include <stdbool.h>

enum log_level { LOG_LEVEL_DEBUG, LOG_LEVEL_VERBOSE, LOG_LEVEL_NOTICE, LOG_LEVEL_WARNING, LOG_LEVEL_NOTHING };

/* file "" is standard output; syslog_ident NULL: no syslog. 0 or -errno of the file that cannot be opened. May be called
 * again. Before the loops start, or alone. */
int log_open(enum log_level level, const char *file, const char *syslog_ident, int syslog_facility);
void log_set_level(enum log_level level);
/* 'M' primary, 'S' replica, 'C' before the server is up. */
void log_set_role(char role);
/* Whether a line of this level is written: skip costly arguments. */
bool log_enabled(enum log_level level);
void log_write(enum log_level level, const char *format, ...) __attribute__((format(printf, 2, 3)));
#define log_debug(...) log_write(LOG_LEVEL_DEBUG, __VA_ARGS__)
#define log_verbose(...) log_write(LOG_LEVEL_VERBOSE, __VA_ARGS__)
#define log_notice(...) log_write(LOG_LEVEL_NOTICE, __VA_ARGS__)
#define log_warning(...) log_write(LOG_LEVEL_WARNING, __VA_ARGS__)

/* Text as it is, without prefix or line end, whatever the level: crash reports. Async-signal-safe. */
void log_raw(const char *text);
/* The descriptor that log_raw() writes to. Async-signal-safe. */
int log_fd(void);
/* After a fork the prefix shows the new process. */
void log_forked(void);

#endif
