/* cron: switches of the periodic work (see cron.c). Written alone. */
#ifndef SERVER_CRON_H
#define SERVER_CRON_H

#include <stdbool.h>

extern bool cron_expiry_off; /* DEBUG SET-ACTIVE-EXPIRE 0 */
extern bool cron_paused;     /* DEBUG PAUSE-CRON 1 */

#endif
