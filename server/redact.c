/* redact: see redact.h. */
#include "server/redact.h"

#include <string.h>
#include <strings.h>

#include "server/call.h"

static bool is_word(const struct arg *a, const char *word)
{
	return a->len == strlen(word) && strncasecmp(a->ptr, word, a->len) == 0;
}

/* Behind the word `auth` of HELLO and MIGRATE stand the user (if any) and the password. */
static bool behind_auth(const struct arg *argv, unsigned first, unsigned i)
{
	for (unsigned k = first; k < i; k++) {
		if ((is_word(&argv[k], "auth") && i - k <= 2) || (is_word(&argv[k], "auth2") && i - k <= 2))
			return true;
	}
	return false;
}

static bool secret_directive(const struct arg *name)
{
	static const char *const names[] = { "requirepass", "masterauth", "masteruser", "tls-key-file-pass",
		                             "tls-client-key-file-pass" };
	for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
		if (is_word(name, names[i]))
			return true;
	}
	return false;
}

static bool is_secret(const struct command *cmd, const struct arg *argv, unsigned i)
{
	const char *name = cmd->full_name;
	if (!strcmp(name, "auth"))
		return i >= 1;
	if (!strcmp(name, "hello"))
		return i >= 2 && behind_auth(argv, 2, i);
	if (!strcmp(name, "migrate"))
		return i >= 6 && behind_auth(argv, 6, i);
	if (!strcmp(name, "acl|setuser"))
		return i >= 2;
	return !strcmp(name, "config|set") && i >= 3 && i % 2 == 1 && secret_directive(&argv[i - 1]);
}

struct arg redact_arg(const struct command *cmd, const struct arg *argv, unsigned i)
{
	static const char hidden[] = "(redacted)";
	return cmd && is_secret(cmd, argv, i) ? (struct arg){ hidden, sizeof hidden - 1 } : argv[i];
}
