/* acl_rules: the language of rules: what each word of ACL SETUSER does to a user. */
#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "server/acl_user.h"
#include "server/acl_words.h"
#include "server/command_docs.h"
#include "server/config.h"

bool acl_has_blanks(const char *s, size_t len)
{
	for (size_t i = 0; i < len; i++)
		if (!s[i] || isspace((unsigned char)s[i]))
			return true;
	return false;
}

static bool is(const char *rule, size_t len, const char *word)
{
	return strlen(word) == len && !strncasecmp(rule, word, len);
}

struct command *acl_command(const char *name, size_t len)
{
	for (unsigned id = 0; id < command_count(); id++) {
		struct command *cmd = command_by_id(id);
		if (len && (*name | 32) == *cmd->full_name && is(name, len, cmd->full_name))
			return cmd;
	}
	return NULL;
}

uint32_t acl_category(const char *name, size_t len)
{
	for (unsigned i = 0; command_category_names[i]; i++)
		if (is(name, len, command_category_names[i]))
			return 1u << i;
	return 0;
}

const char *acl_error_text(enum acl_error e)
{
	static const char *const texts[] = {
		[ACL_FINE] = "",
		[ACL_UNKNOWN_COMMAND] = "Unknown command or category name in ACL",
		[ACL_SYNTAX] = "Syntax error",
		[ACL_KEYS_AFTER_ALL] = "Adding a pattern after the * pattern (or the 'allkeys' flag) is not valid and does not "
		                       "have any effect. Try 'resetkeys' to start with an empty list of patterns",
		[ACL_CHANNELS_AFTER_ALL] = "Adding a pattern after the * pattern (or the 'allchannels' flag) is not valid and "
		                           "does not have any effect. Try 'resetchannels' to start with an empty list of "
		                           "channels",
		[ACL_NO_SUCH_PASSWORD] = "The password you are trying to remove from the user does not exist",
		[ACL_BAD_HASH] = "The password hash must be exactly 64 characters and contain only lowercase hexadecimal "
		                 "characters",
		[ACL_ARG_OF_SUBCOMMAND] = "Allowing first-arg of a subcommand is not supported",
		[ACL_UNCLOSED] = "Wrong format",
		[ACL_NO_MEMORY] = "Out of memory",
	};
	return texts[e];
}

/* ------------------------------------------------------------------ commands */

static void permit(struct acl_selector *s, const struct command *cmd, bool allow)
{
	uint64_t bit = 1ull << (cmd->id & 63);
	if (allow) {
		s->allowed[cmd->id / 64] |= bit;
	} else {
		s->allowed[cmd->id / 64] &= ~bit;
		s->flags &= ~(unsigned)ACL_ALL_COMMANDS;
	}
	acl_selector_drop_firsts(s, cmd);
	for (const struct command *sub = cmd->subs; sub && sub->name; sub++)
		permit(s, sub, allow);
}

static void permit_category(struct acl_selector *s, uint32_t category, bool allow)
{
	for (unsigned id = 0; id < command_count(); id++) {
		const struct command *cmd = command_by_id(id);
		if (cmd->acl_all & category)
			permit(s, cmd, allow);
	}
}

static void permit_all(struct acl_selector *s, bool allow)
{
	memset(s->allowed, allow ? 0xff : 0, sizeof s->allowed);
	s->flags &= ~(unsigned)(ACL_ALL_COMMANDS | ACL_ALL_BASE);
	if (allow)
		s->flags |= ACL_ALL_COMMANDS | ACL_ALL_BASE;
	acl_selector_drop_firsts(s, NULL);
	acl_words_clear(&s->rules);
}

/* Earlier rules about the same command, category or parts of it have no effect any more: they go. */
static enum acl_error note_rule(struct acl_selector *s, const char *name, size_t len, bool allow)
{
	char word[256];
	if (len + 2 > sizeof word)
		return ACL_SYNTAX;
	word[0] = allow ? '+' : '-';
	for (size_t i = 0; i < len; i++)
		word[i + 1] = (char)tolower((unsigned char)name[i]);
	word[len + 1] = 0;
	for (unsigned i = s->rules.n; i-- > 0;) {
		const char *old = s->rules.v[i] + 1;
		if (!strncmp(old, word + 1, len) && (!old[len] || old[len] == '|'))
			acl_words_remove(&s->rules, i);
	}
	return acl_words_add(&s->rules, word, len + 1) ? ACL_FINE : ACL_NO_MEMORY;
}

/* +command|word where the command has no subcommands. */
static enum acl_error permit_first(struct acl_selector *s, const char *rule, size_t len, const char *bar)
{
	char word[256];
	const struct command *cmd = acl_command(rule, (size_t)(bar - rule));
	size_t n = len - (size_t)(bar + 1 - rule);
	if (!cmd) {
		const char *last = memrchr(rule, '|', len);
		return acl_command(rule, (size_t)(last - rule)) ? ACL_ARG_OF_SUBCOMMAND : ACL_UNKNOWN_COMMAND;
	}
	if (n == 0)
		return ACL_SYNTAX;
	if (cmd->subs) {
		const char *last = memrchr(rule, '|', len);
		const struct command *sub = last > bar ? acl_command(rule, (size_t)(last - rule)) : NULL;
		return sub ? ACL_ARG_OF_SUBCOMMAND : ACL_UNKNOWN_COMMAND;
	}
	if (n >= sizeof word || len + 2 > sizeof word)
		return ACL_SYNTAX;
	memcpy(word, bar + 1, n);
	word[n] = 0;
	if (!acl_selector_add_first(s, cmd->id, word))
		return ACL_NO_MEMORY;
	return note_rule(s, rule, len, true);
}

static enum acl_error command_rule(struct acl_selector *s, const char *rule, size_t len)
{
	bool allow = *rule == '+';
	const char *name = rule + 1, *bar;
	size_t n = len - 1;
	if (is(name, n, "@all")) {
		permit_all(s, allow);
		return ACL_FINE;
	}
	if (acl_has_blanks(rule, len))
		return ACL_SYNTAX;
	if (n > 0 && *name == '@') {
		uint32_t category = acl_category(name + 1, n - 1);
		if (!category)
			return ACL_UNKNOWN_COMMAND;
		permit_category(s, category, allow);
		return note_rule(s, name, n, allow);
	}
	const struct command *cmd = acl_command(name, n);
	if (cmd) {
		permit(s, cmd, allow);
		return note_rule(s, cmd->full_name, strlen(cmd->full_name), allow);
	}
	bar = memchr(name, '|', n);
	return bar && allow ? permit_first(s, name, n, bar) : ACL_UNKNOWN_COMMAND;
}

/* ------------------------------------------------------------------ keys and channels */

static enum acl_error key_rule(struct acl_selector *s, const char *rule, size_t len)
{
	unsigned access = 0;
	size_t i = 1;
	if (s->flags & ACL_ALL_KEYS)
		return ACL_KEYS_AFTER_ALL;
	if (*rule == '~') {
		access = ACL_MAY_READ | ACL_MAY_WRITE;
	} else {
		for (; i < len && rule[i] != '~'; i++) {
			char letter = (char)toupper((unsigned char)rule[i]);
			unsigned bit = letter == 'R' ? ACL_MAY_READ : letter == 'W' ? ACL_MAY_WRITE : 0;
			if (!bit || access & bit)
				return ACL_SYNTAX;
			access |= bit;
		}
		if (i == len || !access)
			return ACL_SYNTAX;
		i++;
	}
	if (acl_has_blanks(rule + i, len - i))
		return ACL_SYNTAX;
	return acl_selector_add_key(s, rule + i, len - i, access) ? ACL_FINE : ACL_NO_MEMORY;
}

static enum acl_error channel_rule(struct acl_selector *s, const char *rule, size_t len)
{
	if (s->flags & ACL_ALL_CHANNELS)
		return ACL_CHANNELS_AFTER_ALL;
	if (acl_has_blanks(rule + 1, len - 1))
		return ACL_SYNTAX;
	if (acl_words_find(&s->channels, rule + 1, len - 1) >= 0)
		return ACL_FINE;
	return acl_words_add(&s->channels, rule + 1, len - 1) ? ACL_FINE : ACL_NO_MEMORY;
}

static enum acl_error selector_rule(struct acl_selector *s, const char *rule, size_t len)
{
	if (is(rule, len, "allkeys") || is(rule, len, "~*") || is(rule, len, "resetkeys")) {
		s->flags = *rule == 'r' || *rule == 'R' ? s->flags & ~(unsigned)ACL_ALL_KEYS : s->flags | ACL_ALL_KEYS;
		acl_selector_clear_keys(s);
	} else if (is(rule, len, "allchannels") || is(rule, len, "&*") || is(rule, len, "resetchannels")) {
		s->flags = *rule == 'r' || *rule == 'R' ? s->flags & ~(unsigned)ACL_ALL_CHANNELS
		                                        : s->flags | ACL_ALL_CHANNELS;
		acl_words_clear(&s->channels);
	} else if (is(rule, len, "allcommands") || is(rule, len, "nocommands")) {
		permit_all(s, *rule == 'a' || *rule == 'A');
	} else if (*rule == '~' || *rule == '%') {
		return key_rule(s, rule, len);
	} else if (*rule == '&') {
		return channel_rule(s, rule, len);
	} else if (*rule == '+' || *rule == '-') {
		return command_rule(s, rule, len);
	} else {
		return ACL_SYNTAX;
	}
	return ACL_FINE;
}

/* "(...)": rules of a selector of its own, between blanks. A word that ends like a selector would end this one when its
 * description is read again. */
static enum acl_error add_selector(struct acl_user *u, const char *rule, size_t len)
{
	struct acl_selector *s = acl_selector_new();
	const char *p = rule + 1, *end = rule + len - 1;
	enum acl_error e = s ? ACL_FINE : ACL_NO_MEMORY;
	while (!e) {
		while (p < end && (isspace((unsigned char)*p)))
			p++;
		const char *word = p;
		while (p < end && !isspace((unsigned char)*p))
			p++;
		if (p == word)
			break;
		e = p[-1] == ')' ? ACL_SYNTAX : selector_rule(s, word, (size_t)(p - word));
	}
	if (e)
		acl_selector_free(s);
	else if (!acl_user_add_selector(u, s))
		e = ACL_NO_MEMORY;
	return e;
}

/* ------------------------------------------------------------------ the user */

static enum acl_error password_rule(struct acl_user *u, const char *rule, size_t len)
{
	char hash[ACL_HASH_LEN + 1];
	if (*rule == '>' || *rule == '<') {
		acl_hash(rule + 1, len - 1, hash);
	} else {
		if (len != ACL_HASH_LEN + 1)
			return ACL_BAD_HASH;
		for (size_t i = 1; i < len; i++)
			if (!(rule[i] >= '0' && rule[i] <= '9') && !(rule[i] >= 'a' && rule[i] <= 'f'))
				return ACL_BAD_HASH;
		memcpy(hash, rule + 1, ACL_HASH_LEN);
		hash[ACL_HASH_LEN] = 0;
	}
	long at = acl_words_find(&u->passwords, hash, ACL_HASH_LEN);
	if (*rule == '<' || *rule == '!') {
		if (at < 0)
			return ACL_NO_SUCH_PASSWORD;
		acl_words_remove(&u->passwords, (unsigned)at);
		return ACL_FINE;
	}
	u->flags &= ~(unsigned)ACL_USER_NOPASS;
	return at >= 0 || acl_words_add(&u->passwords, hash, ACL_HASH_LEN) ? ACL_FINE : ACL_NO_MEMORY;
}

static void drop_selectors(struct acl_user *u)
{
	while (u->n_selectors > 1)
		acl_selector_free(u->selectors[--u->n_selectors]);
}

static void reset(struct acl_user *u)
{
	struct acl_selector *s = u->selectors[0];
	u->flags = ACL_USER_SANITIZE;
	acl_words_clear(&u->passwords);
	acl_selector_clear_keys(s);
	acl_words_clear(&s->channels);
	permit_all(s, false);
	s->flags = config()->acl_pubsub_default ? ACL_ALL_CHANNELS : 0;
	drop_selectors(u);
}

static enum acl_error user_rule(struct acl_user *u, const char *rule, size_t len)
{
	if (is(rule, len, "on") || is(rule, len, "off")) {
		u->flags = len == 2 ? u->flags | ACL_USER_ON : u->flags & ~(unsigned)ACL_USER_ON;
	} else if (is(rule, len, "nopass")) {
		u->flags |= ACL_USER_NOPASS;
		acl_words_clear(&u->passwords);
	} else if (is(rule, len, "resetpass")) {
		u->flags &= ~(unsigned)ACL_USER_NOPASS;
		acl_words_clear(&u->passwords);
	} else if (is(rule, len, "sanitize-payload")) {
		u->flags |= ACL_USER_SANITIZE;
	} else if (is(rule, len, "skip-sanitize-payload")) {
		u->flags &= ~(unsigned)ACL_USER_SANITIZE;
	} else if (is(rule, len, "clearselectors")) {
		drop_selectors(u);
	} else if (is(rule, len, "reset")) {
		reset(u);
	} else if (strchr("><#!", *rule)) {
		return password_rule(u, rule, len);
	} else if (*rule == '(' && rule[len - 1] == ')') {
		return add_selector(u, rule, len);
	} else {
		return selector_rule(u->selectors[0], rule, len);
	}
	return ACL_FINE;
}

enum acl_error acl_user_apply(struct acl_user *u, const char *rule, size_t len)
{
	const unsigned everything = ACL_ALL_KEYS | ACL_ALL_CHANNELS | ACL_ALL_COMMANDS;
	if (len == 0)
		return ACL_FINE;
	if (*rule != '>' && *rule != '<' && memchr(rule, 0, len))
		return ACL_SYNTAX;
	enum acl_error e = user_rule(u, rule, len);
	u->unrestricted = false;
	for (unsigned i = 0; i < u->n_selectors; i++)
		u->unrestricted = u->unrestricted || (u->selectors[i]->flags & everything) == everything;
	return e;
}

/* ------------------------------------------------------------------ many rules */

static bool opens(const struct arg *a)
{
	return a->len > 0 && a->ptr[0] == '(' && a->ptr[a->len - 1] != ')';
}

static bool closes(const struct arg *a)
{
	return a->len > 0 && a->ptr[a->len - 1] == ')';
}

long acl_rules_unclosed(const struct arg *v, size_t n)
{
	long open = -1;
	for (size_t i = 0; i < n; i++) {
		if (open < 0 && opens(&v[i]))
			open = (long)i;
		else if (open >= 0 && closes(&v[i]))
			open = -1;
	}
	return open;
}

bool acl_rules_next(struct acl_rules *r, struct arg *rule)
{
	free(r->joined);
	r->joined = NULL;
	if (r->i >= r->n)
		return false;
	if (!opens(&r->v[r->i])) {
		*rule = r->v[r->i++];
		return true;
	}
	size_t end = r->i, bytes = 0;
	do {
		if (__builtin_add_overflow(bytes, r->v[end].len + 1, &bytes))
			return false;
	} while (!(end > r->i && closes(&r->v[end])) && ++end < r->n);
	r->joined = malloc(bytes);
	if (!r->joined)
		return false;
	char *p = r->joined;
	for (; r->i <= end && r->i < r->n; r->i++) {
		memcpy(p, r->v[r->i].ptr, r->v[r->i].len);
		p += r->v[r->i].len;
		*p++ = ' ';
	}
	*rule = (struct arg){ r->joined, bytes - 1 };
	return true;
}

void acl_rules_clear(struct acl_rules *r)
{
	free(r->joined);
	r->joined = NULL;
}

enum acl_error acl_user_apply_all(struct acl_user *u, const struct arg *v, size_t n, char **bad)
{
	struct acl_rules r = { .v = v, .n = n };
	struct arg rule;
	enum acl_error e = acl_rules_unclosed(v, n) >= 0 ? ACL_UNCLOSED : ACL_FINE;
	*bad = NULL;
	while (!e && acl_rules_next(&r, &rule)) {
		e = acl_user_apply(u, rule.ptr, rule.len);
		if (e)
			*bad = strndup(rule.ptr, rule.len);
	}
	if (!e && r.i < n)
		e = ACL_NO_MEMORY;
	acl_rules_clear(&r);
	return e;
}
