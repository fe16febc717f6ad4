#include "server/log.h"
#include "server/server.h"
int main(void) { log_open(LOG_LEVEL_NOTICE, "", 0, 0); return server_run(); }
