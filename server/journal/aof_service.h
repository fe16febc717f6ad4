/* aof_service: what aof.c, aof_info.c and aof_check.c share. */
#ifndef SERVER_JOURNAL_AOF_SERVICE_H
#define SERVER_JOURNAL_AOF_SERVICE_H

#include <stdbool.h>

bool aof_service_rewriting(void); /* [any] */
bool aof_service_scheduled(void);
unsigned aof_service_failures(void); /* rewrites that failed, since the last that did not */

#endif
