/* acl_log: refusals, the latest first, equal ones counted together: ACL LOG. Any loop: it has a lock of its own. */
#ifndef SERVER_ACL_LOG_H
#define SERVER_ACL_LOG_H

#include "server/acl.h"

/* Count the refusal for INFO and note it: of the client itself, or of a script that it runs. The client's own loop, or
 * alone. */
void acl_log_add(struct client *c, bool script, enum acl_denied why, struct arg object, struct arg user);
void acl_log_reset(void);
/* The newest entries, at most max, as ACL LOG answers. */
void acl_log_reply(struct reply *r, uint64_t max, int64_t now_ms);

#endif
