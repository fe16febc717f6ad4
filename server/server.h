/*
 * server: the process: start-up, shutdown, the loops and what they share. Services keep their own state; this header
 * only says what the process as a whole can be asked.
 */
#ifndef SERVER_SERVER_H
#define SERVER_SERVER_H

#include <stdbool.h>
#include <stdint.h>

/* The version of Redis whose behaviour this is, as clients ask for it. */
#define SERVER_REDIS_VERSION "7.2.4"

struct store;
struct net_server;

/* Before signals are handled: from here on a stop can be asked for. */
void server_init(void);
/* Build everything from config() and run until the stop. Exit status. */
int server_run(void);
/* Ask for the stop: SHUTDOWN, SIGTERM. Any thread, signal-safe. */
enum shutdown_flags { SHUTDOWN_SAVE = 1, SHUTDOWN_NOSAVE = 2, SHUTDOWN_NOW = 4, SHUTDOWN_FORCE = 8,
                      SHUTDOWN_SAVED = 16 /* persist_shutdown() has run */ };
void server_shutdown(unsigned flags);
bool server_shutting_down(void);

struct store *server_store(void);
struct net_server *server_net(void);
int64_t server_start_ms(void);      /* wall clock */
const char *server_run_id(void);    /* 40 hex digits */
unsigned server_loops(void);
/* The ports in use as bound: for INFO. */
int server_port(void);

#endif
