/*
 * acl: the users of the server, who a client is, and what it may do.
 *
 * Users are published values (acl_user.h). They change only alone; whoever changes one publishes a new value, and every
 * client of that name has it at once. So loops read users without locks, until their next safepoint; who keeps one
 * longer takes a reference. A client whose user may do everything, which is the default, has no CLIENT_RESTRICTED flag:
 * that flag is all that the hot path tests.
 *
 * Keys are found by command_keys() alone. What it cannot resolve its command refuses to run.
 */
#ifndef SERVER_ACL_H
#define SERVER_ACL_H

#include "server/acl_user.h"

struct client;
struct config;
struct config_text;
struct reply;

enum acl_denied { ACL_ALLOWED, ACL_DENIED_COMMAND, ACL_DENIED_KEY, ACL_DENIED_AUTH, ACL_DENIED_CHANNEL };

/* ---- start and stop: before and after the loops */
/* The default user, then requirepass, `user` lines and aclfile; what is wrong is logged. 0 or -1. After
 * command_init(). */
int acl_start(const struct config *cfg);
void acl_stop(void);
/* For config_check_user: whether a `user` line is sound. Needs the command table. */
bool acl_check_line(int argc, char **argv, char **error);

/* ---- users; loops */
const struct acl_user *acl_find(const char *name, size_t len); /* NULL: unknown */
const struct acl_user *acl_default(void);                      /* NULL: acl_start() was not called */
/* By name, ascending. */
const struct acl_user *acl_at(unsigned i); /* NULL: behind the last */

/* ---- changes; alone, or before the loops start. self: the client that asks, which is closed only after its reply. */
/* Take the user in place of the one with its name, or as a new one; clients that listen to channels they may not any more
 * are closed. 0 or -ENOMEM (then u is dropped). */
int acl_publish(struct acl_user *take, struct client *self);
/* Its clients are closed. false: no such user. */
bool acl_remove(const char *name, size_t len, struct client *self);
/* Take these and no others, as a file says; a missing default user is made new. 0 or -ENOMEM. */
int acl_replace(struct acl_user **take, unsigned n, struct client *self);

/* ---- who a client is; its own loop, or alone */
/* Without authentication: the default user, which may do something only if it is on and needs no password. */
void acl_begin(struct client *c);
void acl_become(struct client *c, const struct acl_user *u);
/* Let it in as that user, if the password is right; failures take as long, are counted and logged. call_name: the word
 * that called, for the log. */
bool acl_login(struct client *c, const struct arg *user, const struct arg *password, const struct arg *call_name);
const char *acl_user_name(const struct client *c); /* "(superuser)" for the server's own clients */

/* ---- what it may do; loops */
/* u NULL: everything. *at: the argument at fault. */
enum acl_denied acl_check(const struct acl_user *u, const struct command *cmd, const struct arg *argv, unsigned argc,
                          unsigned *at);
/* Whether the command is allowed where every key may be read: SORT with BY or GET. */
bool acl_may_read_any(const struct acl_user *u, const struct command *cmd, const struct arg *argv, unsigned argc);
/* Check the call's command for its client; if refused, log, count and reply NOPERM. */
bool acl_allows(struct call *c);
/* The same for a command that was queued by MULTI and is executed now. */
bool acl_allows_queued(struct call *c);
/* Log and count a refusal: of a command of the client's, or of a script that it runs. */
void acl_note(struct client *c, bool script, const struct command *cmd, const struct arg *argv, enum acl_denied why,
              unsigned at);
/* What ACL DRYRUN says; without NOPERM. */
void acl_explain(const struct acl_user *u, const struct command *cmd, const struct arg *argv, enum acl_denied why,
                 unsigned at, struct config_text *out);

/* ---- acl_file.c */
/* Load aclfile: all or nothing. 0; -1 with all errors in *errors. Alone, or before the loops start. */
int acl_load(const char *path, struct client *self, struct config_text *errors);
/* Write temporary file, rename. 0 or -errno. Loops, one at a time. */
int acl_save(const char *path);
/* The `user` lines of CONFIG REWRITE. */
void acl_rewrite(struct config_text *out);

#endif
