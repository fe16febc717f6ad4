/* acl_file: users in files: the configuration's lines, aclfile, ACL SAVE. */
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "server/acl.h"
#include "server/config_rows.h"
#include "server/log.h"

/* ------------------------------------------------------------------ `user` lines */

static struct arg *as_args(char **words, size_t n)
{
	struct arg *v = calloc(n + 1, sizeof *v);
	for (size_t i = 0; v && i < n; i++)
		v[i] = (struct arg){ words[i], strlen(words[i]) };
	return v;
}

/* A user as the words of a line make it; NULL: *error says why. */
static struct acl_user *user_of_words(char **words, size_t n, char **error)
{
	char *bad = NULL;
	if (!acl_name_ok(words[0], strlen(words[0]))) {
		config_error(error, "Usernames can't contain spaces or null characters");
		return NULL;
	}
	struct arg *v = as_args(words, n);
	struct acl_user *u = acl_user_new(words[0], strlen(words[0]));
	enum acl_error e = u && v ? acl_user_apply_all(u, v + 1, n - 1, &bad) : ACL_NO_MEMORY;
	if (e == ACL_UNKNOWN_COMMAND && bad) /* such a rule holds no secret */
		config_error(error, "Error in user declaration '%s': rule '%s': %s", words[0], bad, acl_error_text(e));
	else if (e)
		config_error(error, "Error in user declaration '%s': %s", words[0], acl_error_text(e));
	free(v);
	free(bad);
	if (!e)
		return u;
	acl_user_unref(u);
	return NULL;
}

bool acl_check_line(int argc, char **argv, char **error)
{
	struct acl_user *u = user_of_words(argv, (size_t)argc, error);
	acl_user_unref(u);
	return u != NULL;
}

static int load_lines(const struct config_list *lines)
{
	for (size_t i = 0; i < lines->n; i++) {
		size_t n;
		char *error = NULL, **words = config_words(lines->v[i], strlen(lines->v[i]), &n);
		struct acl_user *u = words && n ? user_of_words(words, n, &error) : NULL;
		config_words_free(words, words ? n : 0);
		if (u && !(u->flags & ACL_USER_ON))
			log_notice("The user '%s' is disabled (there is no 'on' modifier in the user description). Make sure "
			           "this is not a configuration error.", u->name);
		if (u && acl_publish(u, NULL) == 0)
			continue;
		log_warning("%s", error ? error : "Out of memory");
		log_warning("Critical error while loading ACLs. Exiting.");
		free(error);
		return -1;
	}
	return 0;
}

static void write_word(struct config_text *out, const char *word, size_t len)
{
	bool plain = true;
	for (size_t i = 0; i < len; i++)
		plain = plain && word[i] > ' ' && word[i] <= '~' && word[i] != '"' && word[i] != '\'' && word[i] != '\\';
	char *copy = plain ? NULL : strndup(word, len);
	if (copy)
		config_text_quote(out, copy);
	else
		config_text_add(out, word, len);
	out->failed = out->failed || (!plain && !copy);
	free(copy);
}

void acl_rewrite(struct config_text *out)
{
	const struct acl_user *u;
	for (unsigned i = 0; !*config()->aclfile && (u = acl_at(i)); i++) {
		struct config_text words = { 0 };
		config_text_addf(&words, "%s ", u->name);
		acl_user_describe(u, &words);
		config_text_addf(out, "user");
		for (const char *p = words.ptr; p && !words.failed; p = *p ? p + 1 : NULL) {
			size_t len = strcspn(p, " ");
			config_text_add(out, " ", 1);
			write_word(out, p, len);
			p += len;
			if (!*p)
				break;
		}
		config_text_add(out, "\n", 1);
		out->failed = out->failed || words.failed;
		config_text_clear(&words);
	}
}

/* ------------------------------------------------------------------ aclfile */

struct loading {
	const char *path;
	struct acl_user **v;
	unsigned n;
	struct config_text *errors;
};

/* A line's words: blanks separate them, and there are no quotes: what ACL SAVE writes needs none. */
static size_t split(const char *line, size_t len, struct arg *words)
{
	size_t n = 0, i = 0;
	while (i < len) {
		while (i < len && strchr(" \t\r", line[i]) && line[i])
			i++;
		size_t start = i;
		while (i < len && !(strchr(" \t\r", line[i]) && line[i]))
			i++;
		if (i > start)
			words[n++] = (struct arg){ line + start, i - start };
	}
	return n;
}

static bool is_known(const struct loading *l, const struct arg *name)
{
	for (unsigned i = 0; i < l->n; i++)
		if (strlen(l->v[i]->name) == name->len && !memcmp(l->v[i]->name, name->ptr, name->len))
			return true;
	return false;
}

/* All that is wrong with a line's rules is told, but of rules that may hold secrets only the first. */
static void apply_rules(struct loading *l, struct acl_user *u, const struct arg *v, size_t n, unsigned number)
{
	struct acl_rules r = { .v = v, .n = n };
	struct arg rule;
	bool told = false;
	if (acl_rules_unclosed(v, n) >= 0) {
		config_text_addf(l->errors, "%s:%u: Unmatched parenthesis in selector definition. ", l->path, number);
		return;
	}
	while (acl_rules_next(&r, &rule)) {
		enum acl_error e = acl_user_apply(u, rule.ptr, rule.len);
		if (e == ACL_UNKNOWN_COMMAND) {
			config_text_addf(l->errors, "%s:%u: Error in applying operation '%.*s': %s. ", l->path, number,
			                 (int)(rule.len < 256 ? rule.len : 256), rule.ptr, acl_error_text(e));
		} else if (e && !told) {
			config_text_addf(l->errors, "%s:%u: %s. ", l->path, number, acl_error_text(e));
			told = true;
		}
	}
	if (r.i < r.n)
		l->errors->failed = true;
	acl_rules_clear(&r);
}

static void load_line(struct loading *l, const struct arg *words, size_t n, unsigned number)
{
	if (n == 0 || words[0].ptr[0] == '#')
		return;
	if (n < 2 || words[0].len != 4 || memcmp(words[0].ptr, "user", 4) != 0) {
		config_text_addf(l->errors, "%s:%u should start with user keyword followed by the username. ", l->path, number);
		return;
	}
	const struct arg *name = &words[1];
	if (!acl_name_ok(name->ptr, name->len)) {
		config_text_addf(l->errors, "'%s:%u: username contains invalid characters. ", l->path, number);
		return;
	}
	if (is_known(l, name)) {
		config_text_addf(l->errors, "WARNING: Duplicate user '%.*s' found on line %u. ", (int)name->len, name->ptr,
		                 number);
		return;
	}
	struct acl_user *u = acl_user_new(name->ptr, name->len);
	struct acl_user **v = u ? realloc(l->v, (l->n + 1) * sizeof *v) : NULL;
	if (!v) {
		acl_user_unref(u);
		l->errors->failed = true;
		return;
	}
	l->v = v;
	v[l->n++] = u;
	apply_rules(l, u, words + 2, n - 2, number);
}

static void load_text(struct loading *l, const char *text, size_t len)
{
	const char *end = text + len;
	for (unsigned number = 1; text < end; number++) {
		const char *stop = memchr(text, '\n', (size_t)(end - text));
		size_t n = (size_t)((stop ? stop : end) - text);
		struct arg *words = calloc(n / 2 + 1, sizeof *words);
		if (words)
			load_line(l, words, split(text, n, words), number);
		else
			l->errors->failed = true;
		free(words);
		text = stop ? stop + 1 : end;
	}
}

int acl_load(const char *path, struct client *self, struct config_text *errors)
{
	struct loading l = { .path = path, .errors = errors };
	size_t len = 0;
	char *text = config_read_file(path, -1, CONFIG_MAX_BYTES, &len);
	if (!text) {
		config_text_addf(errors, "Error loading ACLs, opening file '%s': %s", path, strerror(errno));
		return -1;
	}
	load_text(&l, text, len);
	free(text);
	int err = -1;
	if (errors->failed || errors->len) {
		for (unsigned i = 0; i < l.n; i++)
			acl_user_unref(l.v[i]);
	} else {
		err = acl_replace(l.v, l.n, self);
		if (err)
			config_text_addf(errors, "Out of memory. ");
	}
	free(l.v);
	if (err)
		config_text_addf(errors, "WARNING: ACL errors detected, no change to the previously active ACL rules was "
		                         "performed");
	return err ? -1 : 0;
}

int acl_save(const char *path)
{
	static pthread_mutex_t saving = PTHREAD_MUTEX_INITIALIZER;
	struct config_text out = { 0 };
	const struct acl_user *u;
	for (unsigned i = 0; (u = acl_at(i)); i++) {
		config_text_addf(&out, "user %s ", u->name);
		acl_user_describe(u, &out);
		config_text_add(&out, "\n", 1);
	}
	pthread_mutex_lock(&saving);
	int err = config_replace_file(path, &out, 0600); /* hashes of passwords are for the owner alone */
	pthread_mutex_unlock(&saving);
	config_text_clear(&out);
	if (err)
		log_warning("Saving the ACL file '%s': %s", path, strerror(-err));
	return err;
}

/* ------------------------------------------------------------------ start */

/* CONFIG SET requirepass is the default user's only password. */
static bool use_requirepass(const struct config *now, char **error)
{
	const char *password = now->requirepass;
	const struct acl_user *def = acl_default();
	struct acl_user *u = def ? acl_user_copy(def) : acl_user_new_default();
	struct config_text rule = { 0 };
	config_text_addf(&rule, ">%s", password);
	bool ok = u && !rule.failed;
	if (ok)
		ok = !acl_user_apply(u, "resetpass", 9) &&
		     !(*password ? acl_user_apply(u, rule.ptr, rule.len) : acl_user_apply(u, "nopass", 6));
	config_text_clear(&rule);
	if (ok)
		return acl_publish(u, NULL) == 0 || config_error(error, "out of memory");
	acl_user_unref(u);
	return config_error(error, "out of memory");
}

int acl_start(const struct config *cfg)
{
	char *error = NULL;
	struct config_text errors = { 0 };
	int err = 0;
	if (command_count() > ACL_MAX_COMMANDS || !use_requirepass(cfg, &error)) {
		free(error);
		return -1;
	}
	config_on_change("requirepass", use_requirepass);
	if (load_lines(&cfg->user))
		return -1;
	if (*cfg->aclfile && acl_load(cfg->aclfile, NULL, &errors)) {
		log_warning("Aborting startup because of ACL errors: %s", errors.ptr ? errors.ptr : "Out of memory");
		err = -1;
	}
	config_text_clear(&errors);
	return err;
}
