/*
 * command_docs: the documentation of the command table as COMMAND DOCS answers it. Arguments stand in the rows in a
 * compact notation (see command_docs.c); it is parsed each time, which only COMMAND DOCS and tests do.
 */
#ifndef SERVER_COMMAND_DOCS_H
#define SERVER_COMMAND_DOCS_H

#include "server/command.h"
#include "server/reply.h"

/* Check a row's notation: 0, or -EINVAL with the place of the mistake in *at. */
int command_docs_check(const char *args, const char **at);
/* The argument array of a row, which must be sound. */
void command_docs_args(struct reply *r, const char *args);
/* The map that describes one command, with its subcommands. */
void command_docs_reply(struct reply *r, const struct command *cmd);


/* Names as COMMAND INFO shows them, by bit; each list ends with NULL. "" is not shown. */
extern const char *const command_flag_names[];
extern const char *const command_key_flag_names[];
/* As ACL CAT lists them, without "@". */
extern const char *const command_category_names[];

#endif
