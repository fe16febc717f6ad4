/* set: what the files of the set commands share. */
#ifndef SERVER_COMMANDS_SET_H
#define SERVER_COMMANDS_SET_H

#include "server/commands/aggregate.h"
#include "store/types/set.h"

/* As the configuration has them. */
struct value_limits set_limits(void);

#endif
