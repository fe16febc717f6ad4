/* config_check: what single directives' values must obey beyond their types. Private to config*.c. */
#ifndef SERVER_CONFIG_CHECK_H
#define SERVER_CONFIG_CHECK_H

#include "server/config.h"

#define CONFIG_MAX_LOOPS 256

/* Each: true, or false with *error. They may bring a value into range, as Redis does. */
bool config_check_loops(struct config *c, char **error);
bool config_check_shards(struct config *c, char **error);
bool config_check_proc_title(struct config *c, char **error);
bool config_check_shutdown(struct config *c, char **error);
bool config_check_defrag(struct config *c, char **error);
bool config_check_dbfilename(struct config *c, char **error);
bool config_check_appendfilename(struct config *c, char **error);
bool config_check_appenddirname(struct config *c, char **error);
bool config_check_backlog(struct config *c, char **error);
bool config_check_hostname(struct config *c, char **error);
bool config_check_hz(struct config *c, char **error);

/* The process title from a template: 0, or -1: a variable is unknown or a brace is not closed. */
int config_title(const struct config *c, const char *program, char *out, size_t size);

#endif
