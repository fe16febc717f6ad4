/* acl_user: the value: making, copying, showing. The rules are in acl_rules.c. */
#include "server/acl_user.h"

#include <openssl/sha.h>
#include <stdlib.h>
#include <string.h>

#include "server/acl_words.h"
#include "server/config.h"
#include "server/config_rows.h"

void acl_hash(const void *password, size_t len, char *hex)
{
	static const char digits[] = "0123456789abcdef";
	unsigned char sum[SHA256_DIGEST_LENGTH];
	SHA256(password, len, sum);
	for (size_t i = 0; i < sizeof sum; i++) {
		hex[2 * i] = digits[sum[i] >> 4];
		hex[2 * i + 1] = digits[sum[i] & 15];
	}
	hex[ACL_HASH_LEN] = 0;
}

/* ------------------------------------------------------------------ lists of words */

bool acl_words_add(struct acl_words *w, const char *word, size_t len)
{
	char **v = realloc(w->v, (w->n + 1) * sizeof *v);
	if (!v)
		return false;
	w->v = v;
	v[w->n] = strndup(word, len);
	if (!v[w->n])
		return false;
	w->n++;
	return true;
}

long acl_words_find(const struct acl_words *w, const char *word, size_t len)
{
	for (unsigned i = 0; i < w->n; i++)
		if (strlen(w->v[i]) == len && memcmp(w->v[i], word, len) == 0)
			return (long)i;
	return -1;
}

void acl_words_remove(struct acl_words *w, unsigned i)
{
	free(w->v[i]);
	memmove(&w->v[i], &w->v[i + 1], (w->n - i - 1) * sizeof *w->v);
	w->n--;
}

void acl_words_clear(struct acl_words *w)
{
	for (unsigned i = 0; i < w->n; i++)
		free(w->v[i]);
	free(w->v);
	*w = (struct acl_words){ 0 };
}

static bool words_copy(struct acl_words *to, const struct acl_words *from)
{
	for (unsigned i = 0; i < from->n; i++)
		if (!acl_words_add(to, from->v[i], strlen(from->v[i])))
			return false;
	return true;
}

/* ------------------------------------------------------------------ selectors */

struct acl_selector *acl_selector_new(void)
{
	struct acl_selector *s = calloc(1, sizeof *s);
	if (s && config()->acl_pubsub_default)
		s->flags = ACL_ALL_CHANNELS;
	return s;
}

bool acl_selector_add_key(struct acl_selector *s, const char *pattern, size_t len, unsigned access)
{
	for (unsigned i = 0; i < s->n_keys; i++) {
		if (strlen(s->keys[i].pattern) == len && memcmp(s->keys[i].pattern, pattern, len) == 0) {
			s->keys[i].access |= access;
			return true;
		}
	}
	struct acl_key *keys = realloc(s->keys, (s->n_keys + 1) * sizeof *keys);
	if (!keys)
		return false;
	s->keys = keys;
	char *copy = strndup(pattern, len);
	if (!copy)
		return false;
	keys[s->n_keys++] = (struct acl_key){ access, copy };
	return true;
}

void acl_selector_clear_keys(struct acl_selector *s)
{
	for (unsigned i = 0; i < s->n_keys; i++)
		free(s->keys[i].pattern);
	free(s->keys);
	s->keys = NULL;
	s->n_keys = 0;
}

bool acl_selector_add_first(struct acl_selector *s, uint32_t command, const char *word)
{
	for (unsigned i = 0; i < s->n_firsts; i++)
		if (s->firsts[i].command == command && !strcmp(s->firsts[i].word, word))
			return true;
	struct acl_first *firsts = realloc(s->firsts, (s->n_firsts + 1) * sizeof *firsts);
	if (!firsts)
		return false;
	s->firsts = firsts;
	char *copy = strdup(word);
	if (!copy)
		return false;
	firsts[s->n_firsts++] = (struct acl_first){ command, copy };
	return true;
}

void acl_selector_drop_firsts(struct acl_selector *s, const struct command *of)
{
	unsigned kept = 0;
	for (unsigned i = 0; i < s->n_firsts; i++) {
		if (of && s->firsts[i].command != of->id)
			s->firsts[kept++] = s->firsts[i];
		else
			free(s->firsts[i].word);
	}
	s->n_firsts = kept;
	if (kept == 0) {
		free(s->firsts);
		s->firsts = NULL;
	}
}

void acl_selector_free(struct acl_selector *s)
{
	if (!s)
		return;
	acl_selector_clear_keys(s);
	acl_selector_drop_firsts(s, NULL);
	acl_words_clear(&s->channels);
	acl_words_clear(&s->rules);
	free(s);
}

static struct acl_selector *selector_copy(const struct acl_selector *from)
{
	struct acl_selector *s = calloc(1, sizeof *s);
	if (!s)
		return NULL;
	s->flags = from->flags;
	memcpy(s->allowed, from->allowed, sizeof s->allowed);
	bool ok = words_copy(&s->channels, &from->channels) && words_copy(&s->rules, &from->rules);
	for (unsigned i = 0; ok && i < from->n_keys; i++)
		ok = acl_selector_add_key(s, from->keys[i].pattern, strlen(from->keys[i].pattern), from->keys[i].access);
	for (unsigned i = 0; ok && i < from->n_firsts; i++)
		ok = acl_selector_add_first(s, from->firsts[i].command, from->firsts[i].word);
	if (ok)
		return s;
	acl_selector_free(s);
	return NULL;
}

bool acl_user_add_selector(struct acl_user *u, struct acl_selector *take)
{
	struct acl_selector **v = take ? realloc(u->selectors, (u->n_selectors + 1) * sizeof *v) : NULL;
	if (!v) {
		acl_selector_free(take);
		return false;
	}
	u->selectors = v;
	v[u->n_selectors++] = take;
	return true;
}

/* ------------------------------------------------------------------ users */

bool acl_name_ok(const char *name, size_t len)
{
	return len > 0 && !acl_has_blanks(name, len);
}

static void user_free(struct acl_user *u)
{
	for (unsigned i = 0; i < u->n_selectors; i++)
		acl_selector_free(u->selectors[i]);
	free(u->selectors);
	acl_words_clear(&u->passwords);
	free(u->name);
	free(u);
}

static struct acl_user *bare_user(const char *name, size_t len)
{
	struct acl_user *u = calloc(1, sizeof *u);
	if (!u)
		return NULL;
	atomic_init(&u->refs, 1);
	u->flags = ACL_USER_SANITIZE;
	u->name = strndup(name, len);
	if (u->name)
		return u;
	user_free(u);
	return NULL;
}

struct acl_user *acl_user_new(const char *name, size_t len)
{
	struct acl_user *u = bare_user(name, len);
	if (!u || acl_user_add_selector(u, acl_selector_new()))
		return u;
	user_free(u);
	return NULL;
}

struct acl_user *acl_user_new_default(void)
{
	static const char *const rules[] = { "+@all", "~*", "&*", "on", "nopass" };
	struct acl_user *u = acl_user_new("default", 7);
	for (size_t i = 0; u && i < sizeof rules / sizeof *rules; i++)
		acl_user_apply(u, rules[i], strlen(rules[i]));
	return u;
}

struct acl_user *acl_user_copy(const struct acl_user *from)
{
	struct acl_user *u = bare_user(from->name, strlen(from->name));
	if (!u)
		return NULL;
	u->flags = from->flags;
	u->unrestricted = from->unrestricted;
	bool ok = words_copy(&u->passwords, &from->passwords);
	for (unsigned i = 0; ok && i < from->n_selectors; i++)
		ok = acl_user_add_selector(u, selector_copy(from->selectors[i]));
	if (ok)
		return u;
	user_free(u);
	return NULL;
}

const struct acl_user *acl_user_ref(const struct acl_user *u)
{
	if (u)
		atomic_fetch_add_explicit((atomic_uint *)&u->refs, 1, memory_order_relaxed);
	return u;
}

void acl_user_unref(const struct acl_user *u)
{
	if (u && atomic_fetch_sub_explicit((atomic_uint *)&u->refs, 1, memory_order_acq_rel) == 1)
		user_free((struct acl_user *)u);
}

/* ------------------------------------------------------------------ showing */

/* A blank between words. */
static void next_word(struct config_text *out, size_t start)
{
	if (out->len > start)
		config_text_add(out, " ", 1);
}

void acl_selector_commands(const struct acl_selector *s, struct config_text *out)
{
	config_text_addf(out, s->flags & ACL_ALL_BASE ? "+@all" : "-@all");
	for (unsigned i = 0; i < s->rules.n; i++)
		config_text_addf(out, " %s", s->rules.v[i]);
}

void acl_selector_keys(const struct acl_selector *s, struct config_text *out)
{
	static const char *const sign[] = { "~", "%R~", "%W~", "~" };
	size_t start = out->len;
	if (s->flags & ACL_ALL_KEYS)
		config_text_addf(out, "~*");
	for (unsigned i = 0; i < s->n_keys; i++) {
		/* "~*" would be allkeys, after which no pattern may follow. */
		bool all = s->keys[i].access == (ACL_MAY_READ | ACL_MAY_WRITE) && !strcmp(s->keys[i].pattern, "*");
		next_word(out, start);
		config_text_addf(out, "%s%s", all ? "%RW~" : sign[s->keys[i].access], s->keys[i].pattern);
	}
}

void acl_selector_channels(const struct acl_selector *s, struct config_text *out)
{
	size_t start = out->len;
	if (s->flags & ACL_ALL_CHANNELS)
		config_text_addf(out, "&*");
	for (unsigned i = 0; i < s->channels.n; i++) {
		next_word(out, start);
		config_text_addf(out, "&%s", s->channels.v[i]);
	}
}

static void describe_selector(const struct acl_selector *s, struct config_text *out)
{
	size_t start = out->len;
	acl_selector_keys(s, out);
	next_word(out, start);
	if (!(s->flags & ACL_ALL_CHANNELS))
		config_text_addf(out, s->channels.n ? "resetchannels " : "resetchannels");
	acl_selector_channels(s, out);
	config_text_add(out, " ", 1);
	acl_selector_commands(s, out);
}

void acl_user_describe(const struct acl_user *u, struct config_text *out)
{
	config_text_addf(out, "%s%s%s ", u->flags & ACL_USER_ON ? "on" : "off",
	                 u->flags & ACL_USER_NOPASS ? " nopass" : "",
	                 u->flags & ACL_USER_SANITIZE ? " sanitize-payload" : " skip-sanitize-payload");
	for (unsigned i = 0; i < u->passwords.n; i++)
		config_text_addf(out, "#%s ", u->passwords.v[i]);
	describe_selector(u->selectors[0], out);
	for (unsigned i = 1; i < u->n_selectors; i++) {
		config_text_addf(out, " (");
		describe_selector(u->selectors[i], out);
		config_text_addf(out, ")");
	}
}
