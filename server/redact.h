/* redact: what nobody may read in SLOWLOG and MONITOR: passwords. Pure functions. */
#ifndef SERVER_REDACT_H
#define SERVER_REDACT_H

#include "server/resp.h"

struct command;

/* argv[i], or "(redacted)" where it is or may be a secret. */
struct arg redact_arg(const struct command *cmd, const struct arg *argv, unsigned i);

#endif
