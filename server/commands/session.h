/* session: what the commands of connection.c and client.c share. */
#ifndef SERVER_COMMANDS_SESSION_H
#define SERVER_COMMANDS_SESSION_H

#include "server/call.h"

/* Printable and without blanks, so that CLIENT LIST stays readable. */
bool session_word_ok(const struct arg *a);
/* Put a copy of the text (none if empty) into the field. false: out of memory. */
bool session_set_text(char **field, const struct arg *a);
/* Name the calling client; false: the reason was replied. */
bool session_set_name(struct call *c, const struct arg *name);

/* Client-side caching, whose rows stand among those of CLIENT. */
void client_tracking(struct call *c);
void client_caching(struct call *c);
void client_getredir(struct call *c);
void client_trackinginfo(struct call *c);

#endif
