/*
 * acl_user: what one user may do: the value, and the rules that make it.
 *
 * A user is built by rules (as ACL SETUSER gets them) while one thread alone has it; once acl.c has published it, it
 * never changes: whoever changes a user copies it, applies rules to the copy and publishes that. Counted references;
 * any thread may read a published user and take and drop references.
 *
 * A command is allowed if one of the user's selectors allows it with all its keys and channels; the first selector is
 * the user's own, the others stand in parentheses in the rules.
 */
#ifndef SERVER_ACL_USER_H
#define SERVER_ACL_USER_H

#include <stdatomic.h>

#include "server/command.h"

struct config_text;

enum acl_user_flag {
	ACL_USER_ON = 1 << 0,
	ACL_USER_NOPASS = 1 << 1,
	ACL_USER_SANITIZE = 1 << 2, /* payloads of RESTORE are validated: they always are, the word is kept */
};

enum acl_selector_flag {
	ACL_ALL_KEYS = 1 << 0,
	ACL_ALL_CHANNELS = 1 << 1,
	ACL_ALL_COMMANDS = 1 << 2,
	ACL_ALL_BASE = 1 << 3, /* the rules start from +@all: commands yet unknown would be allowed */
};

enum acl_access { ACL_MAY_READ = 1, ACL_MAY_WRITE = 2 };

enum acl_error {
	ACL_FINE, ACL_UNKNOWN_COMMAND, ACL_SYNTAX, ACL_KEYS_AFTER_ALL, ACL_CHANNELS_AFTER_ALL, ACL_NO_SUCH_PASSWORD,
	ACL_BAD_HASH, ACL_ARG_OF_SUBCOMMAND, ACL_UNCLOSED, ACL_NO_MEMORY,
};

struct acl_words {
	char **v;
	unsigned n;
};

struct acl_key {
	unsigned access; /* enum acl_access */
	char *pattern;
};

/* +command|word: the command is allowed with this first argument. */
struct acl_first {
	uint32_t command; /* id */
	char *word;
};

#define ACL_MAX_COMMANDS 1024

struct acl_selector {
	unsigned flags; /* enum acl_selector_flag */
	uint64_t allowed[ACL_MAX_COMMANDS / 64]; /* by command id */
	struct acl_key *keys;
	unsigned n_keys;
	struct acl_first *firsts;
	unsigned n_firsts;
	struct acl_words channels, rules; /* rules: "+get", "-@write", as they are shown */
};

struct acl_user {
	atomic_uint refs;
	unsigned flags;
	bool unrestricted;          /* some selector allows everything: no further check */
	struct acl_words passwords; /* SHA-256, 64 hexadecimal digits */
	struct acl_selector **selectors; /* [0]: the user's own */
	unsigned n_selectors;
	char *name;
};

#define ACL_HASH_LEN 64
/* hex: ACL_HASH_LEN + 1 bytes. */
void acl_hash(const void *password, size_t len, char *hex);

/* Off, nothing allowed; a name without blanks and NUL. One reference. NULL: out of memory. */
struct acl_user *acl_user_new(const char *name, size_t len);
/* The default user as it is without any configuration. */
struct acl_user *acl_user_new_default(void);
struct acl_user *acl_user_copy(const struct acl_user *u);
const struct acl_user *acl_user_ref(const struct acl_user *u); /* u may be NULL */
void acl_user_unref(const struct acl_user *u);

/* Whether a name may be a user's. */
bool acl_name_ok(const char *name, size_t len);

/* Apply one rule; a selector is one rule, "(...)". After an error the user is as before, but for ACL_NO_MEMORY. */
enum acl_error acl_user_apply(struct acl_user *u, const char *rule, size_t len);
/* The words of an error, as Redis has them. */
const char *acl_error_text(enum acl_error e);

/* Rules as they come from a command or a line: a selector with blanks is several arguments. */
struct acl_rules {
	const struct arg *v;
	size_t n, i;
	char *joined; /* the selector that was put together last */
};
/* Index of the argument that opens a selector which is never closed; -1: all are. */
long acl_rules_unclosed(const struct arg *v, size_t n);
/* The next rule, valid until the next call. false: no more, or out of memory: then i < n. */
bool acl_rules_next(struct acl_rules *r, struct arg *rule);
void acl_rules_clear(struct acl_rules *r);
/* All of them; *bad: the rule at fault (malloc'ed, may be NULL). */
enum acl_error acl_user_apply_all(struct acl_user *u, const struct arg *v, size_t n, char **bad);

/* As rules: command rules, key patterns, channel patterns of a selector; then all of a user, without its name. */
void acl_selector_commands(const struct acl_selector *s, struct config_text *out);
void acl_selector_keys(const struct acl_selector *s, struct config_text *out);
void acl_selector_channels(const struct acl_selector *s, struct config_text *out);
void acl_user_describe(const struct acl_user *u, struct config_text *out);

/* The command of that name, "config|get", whatever rename-command made of it. NULL: unknown. */
struct command *acl_command(const char *name, size_t len);
/* Category by name, without "@"; 0: unknown. "all" is none. */
uint32_t acl_category(const char *name, size_t len);

#endif
