/* acl: see acl.h. The registry of users, clients and their users, checks. */
#include "server/acl.h"

#include <openssl/crypto.h>
#include <stdlib.h>
#include <string.h>

#include "server/acl_log.h"
#include "server/call.h"
#include "server/block.h"
#include "server/client.h"
#include "server/config_rows.h"
#include "server/pubsub.h"
#include "server/server.h"
#include "server/txn.h"
#include "store/glob.h"

/* Sorted by name; written alone. */
static struct {
	const struct acl_user **v;
	unsigned n;
	const struct acl_user *def; /* one of v */
} users;

/* ------------------------------------------------------------------ the registry */

static int compare(const char *a, const char *b, size_t b_len)
{
	size_t a_len = strlen(a);
	int order = memcmp(a, b, a_len < b_len ? a_len : b_len);
	return order ? order : a_len < b_len ? -1 : a_len > b_len;
}

/* Where the name is (*found) or would be. */
static unsigned place_of(const char *name, size_t len, bool *found)
{
	unsigned low = 0, high = users.n;
	*found = false;
	while (low < high) {
		unsigned mid = (low + high) / 2;
		int order = compare(users.v[mid]->name, name, len);
		if (order == 0) {
			*found = true;
			return mid;
		}
		if (order < 0)
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}

const struct acl_user *acl_find(const char *name, size_t len)
{
	bool found;
	unsigned i = place_of(name, len, &found);
	return found ? users.v[i] : NULL;
}

const struct acl_user *acl_default(void)
{
	return users.def;
}

const struct acl_user *acl_at(unsigned i)
{
	return i < users.n ? users.v[i] : NULL;
}

/* Take u into the table; the one it replaces is handed out. */
static int put(struct acl_user *u, const struct acl_user **old)
{
	bool found;
	unsigned i = place_of(u->name, strlen(u->name), &found);
	*old = found ? users.v[i] : NULL;
	if (!found) {
		const struct acl_user **v = realloc(users.v, (users.n + 1) * sizeof *v);
		if (!v)
			return -ENOMEM;
		users.v = v;
		memmove(&v[i + 1], &v[i], (users.n - i) * sizeof *v);
		users.n++;
	}
	users.v[i] = u;
	if (!strcmp(u->name, "default"))
		users.def = u;
	return 0;
}

/* ------------------------------------------------------------------ clients and their users */

static bool open_to_all(const struct acl_user *u)
{
	return !u || (u->flags & (ACL_USER_NOPASS | ACL_USER_ON)) == (ACL_USER_NOPASS | ACL_USER_ON);
}

void acl_become(struct client *c, const struct acl_user *u)
{
	const struct acl_user *old = c->user;
	c->user = acl_user_ref(u);
	acl_user_unref(old);
	if (u && !u->unrestricted)
		c->flags |= CLIENT_RESTRICTED;
	else
		c->flags &= ~(uint32_t)CLIENT_RESTRICTED;
}

void acl_begin(struct client *c)
{
	acl_become(c, users.def);
	if (open_to_all(users.def))
		c->flags |= CLIENT_AUTHENTICATED;
	else
		c->flags &= ~(uint32_t)CLIENT_AUTHENTICATED;
}

const char *acl_user_name(const struct client *c)
{
	return c->user ? c->user->name : "(superuser)";
}

static bool password_fits(const struct acl_user *u, const char *hash)
{
	bool fits = false;
	for (unsigned i = 0; u && i < u->passwords.n; i++)
		fits |= CRYPTO_memcmp(u->passwords.v[i], hash, ACL_HASH_LEN) == 0;
	return fits;
}

/* Digests are compared, all of them, and also if there is no such user: time tells nothing. */
bool acl_login(struct client *c, const struct arg *user, const struct arg *password, const struct arg *call_name)
{
	const struct acl_user *u = acl_find(user->ptr, user->len);
	char hash[ACL_HASH_LEN + 1];
	acl_hash(password->ptr, password->len, hash);
	bool right = password_fits(u, hash);
	if (u && (u->flags & ACL_USER_ON) && (right || (u->flags & ACL_USER_NOPASS))) {
		acl_become(c, u);
		c->flags |= CLIENT_AUTHENTICATED;
		return true;
	}
	acl_log_add(c, false, ACL_DENIED_AUTH, *call_name, *user);
	return false;
}

static void send_away(struct client *c, struct client *self)
{
	acl_become(c, users.def);
	c->flags &= ~(uint32_t)CLIENT_AUTHENTICATED;
	if (c == self)
		c->flags |= CLIENT_CLOSE_AFTER_REPLY;
	else
		client_kill(c);
}

/* ------------------------------------------------------------------ channels */

static bool channel_fits(const struct acl_selector *s, const void *name, size_t len, bool pattern)
{
	if (s->flags & ACL_ALL_CHANNELS)
		return true;
	for (unsigned i = 0; i < s->channels.n; i++) {
		const char *allowed = s->channels.v[i];
		size_t n = strlen(allowed);
		if (pattern ? n == len && memcmp(allowed, name, len) == 0 : glob_match(allowed, n, name, len, false))
			return true;
	}
	return false;
}

struct listening {
	const struct acl_user *user;
	bool pattern, forbidden;
};

static void look_at_channel(void *ctx, const void *name, size_t len)
{
	struct listening *l = ctx;
	bool fits = false;
	for (unsigned i = 0; i < l->user->n_selectors && !fits; i++)
		fits = channel_fits(l->user->selectors[i], name, len, l->pattern);
	l->forbidden = l->forbidden || !fits;
}

/* Whether it listens to something that its user may not listen to. */
static bool overhears(struct client *c, const struct acl_user *u)
{
	struct listening l = { .user = u };
	if (!(c->flags & CLIENT_PUBSUB) || u->unrestricted)
		return false;
	for (enum pubsub_kind kind = PUBSUB_CHANNEL; kind < PUBSUB_KINDS; kind++) {
		l.pattern = kind == PUBSUB_PATTERN;
		pubsub_each_of(c, kind, look_at_channel, &l);
	}
	return l.forbidden;
}

/* ------------------------------------------------------------------ changes */

/* Clients get their users' new values, by name. */
static void tell_clients(struct client *self)
{
	if (!server_net())
		return;
	bool open = open_to_all(users.def);
	for (struct client *c = client_next(NULL), *next; c; c = next) {
		next = client_next(c);
		const struct acl_user *u = c->user ? acl_find(c->user->name, strlen(c->user->name)) : NULL;
		if (c->user && (!u || (u != c->user && overhears(c, u)))) {
			send_away(c, self);
			continue;
		}
		if (u != c->user) {
			acl_become(c, u);
			block_become(c, u);
		}
		if (open && u == users.def)
			c->flags |= CLIENT_AUTHENTICATED;
	}
}

int acl_publish(struct acl_user *u, struct client *self)
{
	const struct acl_user *old;
	int err = put(u, &old);
	if (err) {
		acl_user_unref(u);
		return err;
	}
	tell_clients(self);
	acl_user_unref(old);
	return 0;
}

bool acl_remove(const char *name, size_t len, struct client *self)
{
	bool found;
	unsigned i = place_of(name, len, &found);
	if (!found || users.v[i] == users.def)
		return false;
	const struct acl_user *old = users.v[i];
	memmove(&users.v[i], &users.v[i + 1], (users.n - i - 1) * sizeof *users.v);
	users.n--;
	tell_clients(self);
	acl_user_unref(old);
	return true;
}

int acl_replace(struct acl_user **take, unsigned n, struct client *self)
{
	const struct acl_user **old = users.v, **v = calloc(n + 1, sizeof *v), *same;
	unsigned old_n = users.n;
	bool has_default = false;
	for (unsigned i = 0; i < n; i++)
		has_default = has_default || !strcmp(take[i]->name, "default");
	struct acl_user *def = has_default ? NULL : acl_user_new_default();
	if (!v || (!def && !has_default)) {
		free(v);
		acl_user_unref(def);
		for (unsigned i = 0; i < n; i++)
			acl_user_unref(take[i]);
		return -ENOMEM;
	}
	users.v = v; /* has room for all: put() only moves */
	users.n = 0;
	for (unsigned i = 0; i < n; i++)
		put(take[i], &same);
	if (def)
		put(def, &same);
	tell_clients(self);
	for (unsigned i = 0; i < old_n; i++)
		acl_user_unref(old[i]);
	free(old);
	return 0;
}

/* ------------------------------------------------------------------ checks */

static bool command_fits(const struct acl_selector *s, const struct command *cmd, const struct arg *argv, unsigned argc)
{
	unsigned word = cmd->parent ? 2 : 1;
	if (s->flags & ACL_ALL_COMMANDS || cmd->flags & CMD_NO_AUTH || s->allowed[cmd->id / 64] >> (cmd->id & 63) & 1)
		return true;
	for (unsigned i = 0; i < s->n_firsts && word < argc; i++)
		if (s->firsts[i].command == cmd->id && arg_is(&argv[word], s->firsts[i].word))
			return true;
	return false;
}

static bool key_fits(const struct acl_selector *s, const struct arg *key, uint32_t flags)
{
	unsigned need = flags & KEY_ACCESS ? ACL_MAY_READ : 0;
	if (flags & (KEY_INSERT | KEY_DELETE | KEY_UPDATE))
		need |= ACL_MAY_WRITE;
	for (unsigned i = 0; i < s->n_keys; i++) {
		const struct acl_key *k = &s->keys[i];
		if ((k->access & need) == need && glob_match(k->pattern, strlen(k->pattern), key->ptr, key->len, false))
			return true;
	}
	return false;
}

/* One command that is checked: its keys are looked for once. */
struct question {
	const struct command *cmd;
	const struct arg *argv;
	unsigned argc;
	bool has_keys, found_keys;
	struct key_refs keys;
};

static enum acl_denied check_keys(const struct acl_selector *s, struct question *q, unsigned *at)
{
	if (s->flags & ACL_ALL_KEYS || !q->has_keys)
		return ACL_ALLOWED;
	if (!q->found_keys) {
		if (command_keys(q->cmd, q->argv, q->argc, &q->keys) == -ENOMEM) {
			*at = 0;
			return ACL_DENIED_KEY;
		}
		q->found_keys = true;
	}
	for (unsigned i = 0; i < q->keys.n; i++) {
		*at = q->keys.v[i].arg;
		if (!key_fits(s, &q->argv[*at], q->keys.v[i].flags))
			return ACL_DENIED_KEY;
	}
	return ACL_ALLOWED;
}

static enum acl_denied check_channels(const struct acl_selector *s, const struct question *q, unsigned *at)
{
	if (s->flags & ACL_ALL_CHANNELS || q->cmd->channels == CHANNELS_NONE)
		return ACL_ALLOWED;
	unsigned end = q->cmd->channels == CHANNELS_FIRST ? 2 : q->argc;
	for (unsigned i = 1; i < end && i < q->argc; i++) {
		*at = i;
		if (!channel_fits(s, q->argv[i].ptr, q->argv[i].len, q->cmd->channels == CHANNELS_PATTERNS))
			return ACL_DENIED_CHANNEL;
	}
	return ACL_ALLOWED;
}

static enum acl_denied check_selector(const struct acl_selector *s, struct question *q, unsigned *at)
{
	if (!command_fits(s, q->cmd, q->argv, q->argc))
		return ACL_DENIED_COMMAND;
	enum acl_denied why = check_keys(s, q, at);
	return why ? why : check_channels(s, q, at);
}

/* Of all selectors' refusals the one that came farthest is told. */
enum acl_denied acl_check(const struct acl_user *u, const struct command *cmd, const struct arg *argv, unsigned argc,
                          unsigned *at)
{
	struct question q = { .cmd = cmd, .argv = argv, .argc = argc };
	enum acl_denied worst = ACL_DENIED_COMMAND;
	*at = 0;
	if (!u || u->unrestricted)
		return ACL_ALLOWED;
	q.has_keys = cmd->find_keys || cmd->keys[0].flags;
	for (unsigned i = 0; i < u->n_selectors && worst; i++) {
		unsigned place = 0;
		enum acl_denied why = check_selector(u->selectors[i], &q, &place);
		if (!why || why > worst || (why == worst && place > *at)) {
			worst = why;
			*at = place;
		}
	}
	if (q.found_keys)
		key_refs_clear(&q.keys);
	return worst;
}

static bool reads_all(const struct acl_selector *s)
{
	bool all = s->flags & ACL_ALL_KEYS;
	for (unsigned i = 0; i < s->n_keys && !all; i++)
		all = (s->keys[i].access & ACL_MAY_READ) && !strcmp(s->keys[i].pattern, "*");
	return all;
}

bool acl_may_read_any(const struct acl_user *u, const struct command *cmd, const struct arg *argv, unsigned argc)
{
	struct question q = { .cmd = cmd, .argv = argv, .argc = argc, .has_keys = cmd->find_keys || cmd->keys[0].flags };
	bool may = !u || u->unrestricted;
	unsigned at;
	for (unsigned i = 0; !may && i < u->n_selectors; i++)
		may = reads_all(u->selectors[i]) && !check_selector(u->selectors[i], &q, &at);
	if (q.found_keys)
		key_refs_clear(&q.keys);
	return may;
}

void acl_note(struct client *c, bool script, const struct command *cmd, const struct arg *argv, enum acl_denied why,
              unsigned at)
{
	const char *user = acl_user_name(c);
	struct arg name = { cmd->full_name, strlen(cmd->full_name) };
	acl_log_add(c, script, why, why == ACL_DENIED_COMMAND ? name : argv[at], (struct arg){ user, strlen(user) });
}

static enum acl_denied ask(struct call *c)
{
	unsigned at;
	enum acl_denied why = acl_check(c->client->user, c->cmd, c->argv, c->argc, &at);
	c->client->last_command = c->cmd; /* the log's client-info tells it */
	if (why)
		acl_note(c->client, false, c->cmd, c->argv, why, at);
	return why;
}

/* A refused EXEC ends its transaction. */
static void refuse(struct call *c, const char *why)
{
	if (c->cmd->run == txn_exec) {
		txn_discard(c->client);
		reply_errorf(c->reply, "EXECABORT Transaction discarded because of: %s", why);
	} else {
		reply_error(c->reply, why);
	}
}

bool acl_allows(struct call *c)
{
	struct config_text text = { 0 };
	switch (ask(c)) {
	case ACL_ALLOWED:
	case ACL_DENIED_AUTH:
		return true;
	case ACL_DENIED_COMMAND:
		config_text_addf(&text, "NOPERM User %s has no permissions to run the '%s' command", acl_user_name(c->client),
		                 c->cmd->full_name);
		refuse(c, text.failed ? "NOPERM" : text.ptr);
		config_text_clear(&text);
		break;
	case ACL_DENIED_KEY:
		refuse(c, "NOPERM No permissions to access a key");
		break;
	case ACL_DENIED_CHANNEL:
		refuse(c, "NOPERM No permissions to access a channel");
		break;
	}
	return false;
}

bool acl_allows_queued(struct call *c)
{
	static const char *const reason[] = {
		[ACL_DENIED_COMMAND] = "no permission to execute the command or subcommand",
		[ACL_DENIED_KEY] = "no permission to touch the specified keys",
		[ACL_DENIED_AUTH] = "no permission",
		[ACL_DENIED_CHANNEL] = "no permission to access one of the channels used as arguments to the command",
	};
	enum acl_denied why = ask(c);
	if (!why)
		return true;
	reply_errorf(c->reply,
	             "NOPERM ACLs rules changed between the moment the transaction was accumulated and the EXEC call. This "
	             "command is no longer allowed for the following reason: %s",
	             reason[why]);
	return false;
}

void acl_explain(const struct acl_user *u, const struct command *cmd, const struct arg *argv, enum acl_denied why,
                 unsigned at, struct config_text *out)
{
	config_text_addf(out, "User %s has no permissions to ", u->name);
	if (why == ACL_DENIED_COMMAND) {
		config_text_addf(out, "run the '%s' command", cmd->full_name);
		return;
	}
	config_text_addf(out, "access the '");
	config_text_add(out, argv[at].ptr, argv[at].len);
	config_text_addf(out, why == ACL_DENIED_KEY ? "' key" : "' channel");
}

void acl_stop(void)
{
	for (unsigned i = 0; i < users.n; i++)
		acl_user_unref(users.v[i]);
	free(users.v);
	users.v = NULL;
	users.n = 0;
	users.def = NULL;
	acl_log_reset();
}
