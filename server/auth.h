/* auth: who may use the server. One user, "default", with requirepass as its password, until ACL users exist. */
#ifndef SERVER_AUTH_H
#define SERVER_AUTH_H

#include <stdbool.h>

#include "server/resp.h"

struct client;

/* Whether the default user has no password: any is good then. */
bool auth_open(void);
/* Check in constant time and, if right, let the client in as that user. Counts failures. Its own loop. */
bool auth_login(struct client *c, const struct arg *user, const struct arg *password);

#endif
