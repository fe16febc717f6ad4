#include <stdlib.h>
#include <string.h>
#include "server/config.h"
#include "server/process.h"
static char *binds[] = { "*" };
static struct config c = { .loops = 1, .shards = 1024, .databases = 16, .port = 6390, .tcp_backlog = 511, .maxclients = 10000, .bind = binds, .bind_count = 1, .unixsocket = "", .requirepass = "", .proto_max_bulk_len = 512 << 20, .client_query_buffer_limit = 1 << 30, .hz = 10, .enable_debug_command = 2, .logfile = "", .lfu_log_factor = 10, .lfu_decay_time = 1 , .dir=".", .pidfile="", .aclfile=""};
const struct config *config(void) { if (getenv("PORT")) c.port = atoi(getenv("PORT")); if (getenv("LOOPS")) c.loops = atoi(getenv("LOOPS")); return &c; }
void config_on_change(const char *n, config_changed *f) { (void)n, (void)f; }
void config_log_waiting(void) {}
void process_ready(void) {}
void process_cleanup(void) {}
const char *config_file(void){return "";}
int config_get(const char *n, char *b, size_t s) { (void)n; if (s) *b = 0; return -2; }
