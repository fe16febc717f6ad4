/*
 * log: lines for the operator, at Redis's levels and in Redis's layout ("PID:ROLE dd Mon yyyy hh:mm:ss.mmm LEVEL text").
 * To a file, standard output or syslog. Any thread; a line is written whole.
 */
#ifndef SERVER_LOG_H
#define SERVER_LOG_H

enum log_level { LOG_LEVEL_DEBUG, LOG_LEVEL_VERBOSE, LOG_LEVEL_NOTICE, LOG_LEVEL_WARNING, LOG_LEVEL_NOTHING };

/* file "" is standard output; syslog_ident NULL: no syslog. 0 or -errno of the file that cannot be opened. */
int log_open(enum log_level level, const char *file, const char *syslog_ident, int syslog_facility);
void log_set_level(enum log_level level);
void log_write(enum log_level level, const char *format, ...) __attribute__((format(printf, 2, 3)));
#define log_debug(...) log_write(LOG_LEVEL_DEBUG, __VA_ARGS__)
#define log_verbose(...) log_write(LOG_LEVEL_VERBOSE, __VA_ARGS__)
#define log_notice(...) log_write(LOG_LEVEL_NOTICE, __VA_ARGS__)
#define log_warning(...) log_write(LOG_LEVEL_WARNING, __VA_ARGS__)

#endif
