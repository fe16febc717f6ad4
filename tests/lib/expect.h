/*
 * expect: what command tests say: send this line, this must come back. For use within tests of Check; a difference
 * fails the test, with both replies in printable form.
 *
 * A file of command tests ends with COMMAND_TESTS(name, tests...): one server for all its tests, started before the
 * first and stopped (with its checks) after the last; every test begins with FLUSHALL on a fresh connection `c`, once the
 * server has noticed that those of the test before are gone.
 */
#ifndef TESTS_LIB_EXPECT_H
#define TESTS_LIB_EXPECT_H

#include <check.h>

#include "tests/lib/proc.h"
#include "tests/lib/resp_client.h"

/* The server of this file and the connection of the running test. */
extern struct proc server;
extern struct resp_client *c;

/* The reply to the line is exactly these bytes. */
#define expect(client, line, reply) expect_(client, line, reply, sizeof(reply) - 1, __FILE__, __LINE__)
/* It is an integer; the key has so many seconds to live, less those that the test has taken; a bulk string with this text; an
 * error that begins with this; it begins with these bytes. */
#define expect_int(client, line, value) expect_int_(client, line, value, __FILE__, __LINE__)
#define expect_ttl(client, key, seconds) expect_ttl_(client, key, seconds, __FILE__, __LINE__)
#define expect_bulk(client, line, text) expect_bulk_(client, line, text, __FILE__, __LINE__)
#define expect_prefix(client, line, prefix) expect_prefix_(client, line, prefix, __FILE__, __LINE__)
/* The next reply, without sending. */
#define expect_reply(client, reply) expect_(client, NULL, reply, sizeof(reply) - 1, __FILE__, __LINE__)
/* Any reply that is no error. */
#define expect_any(client, line) expect_any_(client, line, __FILE__, __LINE__)

void expect_(struct resp_client *client, const char *line, const char *reply, size_t len, const char *file, int at);
void expect_int_(struct resp_client *client, const char *line, int64_t value, const char *file, int at);
void expect_ttl_(struct resp_client *client, const char *key, int64_t seconds, const char *file, int at);
void expect_bulk_(struct resp_client *client, const char *line, const char *text, const char *file, int at);
void expect_prefix_(struct resp_client *client, const char *line, const char *prefix, const char *file, int at);
void expect_any_(struct resp_client *client, const char *line, const char *file, int at);
/* The line's integer reply. */
int64_t ask_int(struct resp_client *client, const char *line);
/* Since the test began, before its first command. */
int64_t elapsed_ms(void);
/* Wait until this client is the only one: what the others did and left is over. */
void expect_alone(struct resp_client *client);
/* The value behind "name:" in INFO's answer, or -1; section may be "". */
int64_t info_int(struct resp_client *client, const char *section, const char *name);

/* Until the writer, whose commands count up the field `writer` of k, waits for that key's lock, which a script holds: once
 * the script ends, the writer is given it, whatever comes then. How often it has counted so far. The script may be longer than
 * usual: busy-reply-threshold 0. */
int64_t wait_for_lock(struct resp_client *script, struct resp_client *writer);

/* A server of one test's own, with these lines of configuration; fails the test if it does not start. */
void own_server(struct proc *p, const char *config);
struct resp_client *connect_to(const struct proc *p);

/* Runs all with one server; config: further lines for its configuration, or NULL. Returns main()'s result. */
int run_command_tests(const char *name, const char *config, const TTest *const *tests, size_t n);

#define COMMAND_TESTS_WITH(name, config, ...) \
	int main(void) \
	{ \
		const TTest *const tests_[] = { __VA_ARGS__ }; \
		return run_command_tests(name, config, tests_, sizeof tests_ / sizeof *tests_); \
	}
#define COMMAND_TESTS(name, ...) COMMAND_TESTS_WITH(name, NULL, __VA_ARGS__)

#endif
