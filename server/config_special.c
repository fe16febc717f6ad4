/* config_special: directives whose values are more than one number or word. */
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

#include "server/call.h"
#include "server/config_rows.h"
#include "store/number.h"

#define MAX_BIND 16
#define MAX_PORT 65535

/* ------------------------------------------------------------------ lists of words */

void config_list_clear(struct config_list *l)
{
	for (size_t i = 0; i < l->n; i++)
		free(l->v[i]);
	free(l->v);
	*l = (struct config_list){ 0 };
}

bool config_list_add(struct config_list *l, const char *word)
{
	char *copy = strdup(word), **v = realloc(l->v, (l->n + 2) * sizeof *v);

	if (v)
		l->v = v;
	if (!copy || !v) {
		free(copy);
		return false;
	}
	v[l->n++] = copy;
	v[l->n] = NULL;
	return true;
}

bool config_list_copy(struct config_list *to, const struct config_list *from)
{
	*to = (struct config_list){ 0 };
	for (size_t i = 0; i < from->n; i++)
		if (!config_list_add(to, from->v[i])) {
			config_list_clear(to);
			return false;
		}
	return true;
}

/* The arguments of a directive as one line, in quotes. */
static bool add_line(struct config_list *l, int argc, char **argv, char **error)
{
	struct config_text t = { 0 };

	for (int i = 0; i < argc; i++) {
		if (i)
			config_text_add(&t, " ", 1);
		config_text_quote(&t, argv[i]);
	}
	bool ok = !t.failed && config_list_add(l, t.ptr ? t.ptr : "");
	config_text_clear(&t);
	return ok || config_error(error, "out of memory");
}

/* ------------------------------------------------------------------ save */

static bool save_set(struct config *c, const struct config_source *from, int argc, char **argv, char **error)
{
	size_t old = from->file && !from->first ? c->save.n : 0;
	bool none = argc == 1 && !*argv[0];
	struct config_save *v;

	if (argc < 1 || (!none && argc % 2))
		return config_error(error, "Invalid save parameters");
	if (none) {
		c->save.n = 0;
		return true;
	}
	v = calloc(old + (size_t)argc / 2, sizeof *v);
	if (!v)
		return config_error(error, "out of memory");
	if (old)
		memcpy(v, c->save.v, old * sizeof *v);
	for (int i = 0; i < argc; i += 2) {
		struct config_save *rule = &v[old + (size_t)i / 2];
		if (!number_parse(argv[i], strlen(argv[i]), &rule->seconds) || rule->seconds < 1 ||
		    !number_parse(argv[i + 1], strlen(argv[i + 1]), &rule->changes) || rule->changes < 0) {
			free(v);
			return config_error(error, "Invalid save parameters");
		}
	}
	free(c->save.v);
	c->save.v = v;
	c->save.n = old + (size_t)argc / 2;
	return true;
}

static void save_get(const struct config *c, struct config_text *out)
{
	for (size_t i = 0; i < c->save.n; i++)
		config_text_addf(out, "%s%lld %lld", i ? " " : "", (long long)c->save.v[i].seconds,
				 (long long)c->save.v[i].changes);
}

static void save_rewrite(const struct config *c, const struct config *defaults, struct config_text *out)
{
	(void)defaults;
	if (!c->save.n)
		config_text_addf(out, "save \"\"\n");
	for (size_t i = 0; i < c->save.n; i++)
		config_text_addf(out, "save %lld %lld\n", (long long)c->save.v[i].seconds,
				 (long long)c->save.v[i].changes);
}

const struct config_special config_save = { save_set, save_get, save_rewrite };

/* ------------------------------------------------------------------ client-output-buffer-limit */

static const char *const output_names[OUTPUT_CLASSES] = { "normal", "slave", "pubsub" };

static int output_class(const char *name)
{
	if (!strcasecmp(name, "replica"))
		return OUTPUT_REPLICA;
	for (int i = 0; i < OUTPUT_CLASSES; i++)
		if (!strcasecmp(name, output_names[i]))
			return i;
	return -1;
}

static bool output_set(struct config *c, const struct config_source *from, int argc, char **argv, char **error)
{
	struct config_output_limit limit[OUTPUT_CLASSES];

	(void)from;
	memcpy(limit, c->output_limit, sizeof limit);
	if (argc < 1 || argc % 4)
		return config_error(error, "Wrong number of arguments in buffer limit configuration.");
	for (int i = 0; i < argc; i += 4) {
		struct config_output_limit one;
		int class = output_class(argv[i]);
		if (class < 0)
			return config_error(error, "Invalid client class specified in buffer limit configuration.");
		if (!number_parse_memory(argv[i + 1], strlen(argv[i + 1]), &one.hard_bytes) ||
		    !number_parse_memory(argv[i + 2], strlen(argv[i + 2]), &one.soft_bytes) ||
		    !number_parse(argv[i + 3], strlen(argv[i + 3]), &one.soft_seconds) || one.soft_seconds < 0 ||
		    one.soft_seconds > INT32_MAX)
			return config_error(
				error, "Error in hard, soft or soft_seconds setting in buffer limit configuration.");
		limit[class] = one;
	}
	memcpy(c->output_limit, limit, sizeof limit);
	return true;
}

static void output_get(const struct config *c, struct config_text *out)
{
	for (int i = 0; i < OUTPUT_CLASSES; i++) {
		const struct config_output_limit *l = &c->output_limit[i];
		config_text_addf(out, "%s%s %llu %llu %lld", i ? " " : "", output_names[i],
				 (unsigned long long)l->hard_bytes, (unsigned long long)l->soft_bytes,
				 (long long)l->soft_seconds);
	}
}

static void output_rewrite(const struct config *c, const struct config *defaults, struct config_text *out)
{
	(void)defaults;
	for (int i = 0; i < OUTPUT_CLASSES; i++) {
		const struct config_output_limit *l = &c->output_limit[i];
		config_text_addf(out, "client-output-buffer-limit %s ", i == OUTPUT_REPLICA ? "replica" : output_names[i]);
		config_text_memory(out, l->hard_bytes);
		config_text_add(out, " ", 1);
		config_text_memory(out, l->soft_bytes);
		config_text_addf(out, " %lld\n", (long long)l->soft_seconds);
	}
}

const struct config_special config_output_limits = { output_set, output_get, output_rewrite };

/* ------------------------------------------------------------------ oom-score-adj-values */

static bool oom_set(struct config *c, const struct config_source *from, int argc, char **argv, char **error)
{
	int64_t v[3];

	(void)from;
	if (argc != 3)
		return config_error(error, "wrong number of arguments");
	for (int i = 0; i < 3; i++)
		if (!number_parse(argv[i], strlen(argv[i]), &v[i]) || v[i] < -2000 || v[i] > 2000)
			return config_error(error,
					    "Invalid oom-score-adj-values, elements must be between -2000 and 2000.");
	for (int i = 0; i < 3; i++)
		c->oom_score_adj_values[i] = (int)v[i];
	return true;
}

static void oom_get(const struct config *c, struct config_text *out)
{
	const int *v = c->oom_score_adj_values;

	config_text_addf(out, "%d %d %d", v[0], v[1], v[2]);
}

const struct config_special config_oom_values = { oom_set, oom_get, NULL };

/* ------------------------------------------------------------------ notify-keyspace-events */

#define NOTIFY_ALL \
	(NOTIFY_GENERIC | NOTIFY_STRING | NOTIFY_LIST | NOTIFY_SET | NOTIFY_HASH | NOTIFY_ZSET | NOTIFY_EXPIRED | \
	 NOTIFY_EVICTED | NOTIFY_STREAM | NOTIFY_MODULE)

/* In the order in which they are printed; 'A' stands for the first ten, and 'n' is not shown behind it. */
static const struct {
	char letter;
	int bit;
} notify_letters[] = {
	{ 'g', NOTIFY_GENERIC },  { '$', NOTIFY_STRING },   { 'l', NOTIFY_LIST },    { 's', NOTIFY_SET },
	{ 'h', NOTIFY_HASH },     { 'z', NOTIFY_ZSET },     { 'x', NOTIFY_EXPIRED }, { 'e', NOTIFY_EVICTED },
	{ 't', NOTIFY_STREAM },   { 'd', NOTIFY_MODULE },   { 'n', NOTIFY_NEW },     { 'K', NOTIFY_KEYSPACE },
	{ 'E', NOTIFY_KEYEVENT }, { 'm', NOTIFY_KEY_MISS },
};
#define NOTIFY_LETTERS (sizeof notify_letters / sizeof notify_letters[0])

static bool notify_set(struct config *c, const struct config_source *from, int argc, char **argv, char **error)
{
	int flags = 0;

	(void)from;
	if (argc != 1)
		return config_error(error, "wrong number of arguments");
	for (const char *p = argv[0]; *p; p++) {
		size_t i = 0;
		while (i < NOTIFY_LETTERS && notify_letters[i].letter != *p)
			i++;
		if (*p == 'A')
			flags |= NOTIFY_ALL;
		else if (i < NOTIFY_LETTERS)
			flags |= notify_letters[i].bit;
		else
			return config_error(error, "Invalid event class character. Use 'Ag$lshzxeKEtmdn'.");
	}
	c->notify_keyspace_events = flags;
	return true;
}

static void notify_get(const struct config *c, struct config_text *out)
{
	bool all = (c->notify_keyspace_events & NOTIFY_ALL) == NOTIFY_ALL;

	if (all)
		config_text_add(out, "A", 1);
	for (size_t i = 0; i < NOTIFY_LETTERS; i++)
		if ((c->notify_keyspace_events & notify_letters[i].bit) &&
		    !(all && (notify_letters[i].bit & (NOTIFY_ALL | NOTIFY_NEW))))
			config_text_add(out, &notify_letters[i].letter, 1);
}

static void notify_rewrite(const struct config *c, const struct config *defaults, struct config_text *out)
{
	struct config_text value = { 0 };

	(void)defaults;
	notify_get(c, &value);
	config_text_addf(out, "notify-keyspace-events ");
	config_text_quote(out, value.ptr ? value.ptr : "");
	config_text_add(out, "\n", 1);
	config_text_clear(&value);
}

const struct config_special config_notify = { notify_set, notify_get, notify_rewrite };

/* ------------------------------------------------------------------ latency-tracking-info-percentiles */

static bool percentiles_set(struct config *c, const struct config_source *from, int argc, char **argv, char **error)
{
	bool none = argc == 1 && !*argv[0];
	double *v;

	(void)from;
	if (argc < 1)
		return config_error(error, "wrong number of arguments");
	v = calloc((size_t)argc, sizeof *v);
	if (!v)
		return config_error(error, "out of memory");
	for (int i = 0; i < argc && !none; i++) {
		bool number = number_parse_double(argv[i], strlen(argv[i]), &v[i]);
		if (number && v[i] >= 0.0 && v[i] <= 100.0)
			continue;
		free(v);
		return config_error(
			error, number ? "latency-tracking-info-percentiles parameters should sit between [0.0,100.0]"
				      : "Invalid latency-tracking-info-percentiles parameters");
	}
	free(c->latency_percentiles.v);
	c->latency_percentiles.v = v;
	c->latency_percentiles.n = none ? 0 : (size_t)argc;
	return true;
}

static void percentiles_get(const struct config *c, struct config_text *out)
{
	for (size_t i = 0; i < c->latency_percentiles.n; i++)
		config_text_addf(out, "%s%.10g", i ? " " : "", c->latency_percentiles.v[i]);
}

static void percentiles_rewrite(const struct config *c, const struct config *defaults, struct config_text *out)
{
	(void)defaults;
	config_text_addf(out, "latency-tracking-info-percentiles ");
	if (!c->latency_percentiles.n)
		config_text_addf(out, "\"\"");
	percentiles_get(c, out);
	config_text_add(out, "\n", 1);
}

const struct config_special config_percentiles = { percentiles_set, percentiles_get, percentiles_rewrite };

/* ------------------------------------------------------------------ bind */

/* Whatever the resolver thinks of it, a line of words must be able to hold it. */
static bool is_word(const char *word)
{
	for (const char *p = word; *p; p++)
		if ((unsigned char)*p <= ' ' || *p == 0x7f || *p == '"' || *p == '\'' || *p == '\\')
			return false;
	return *word;
}

static bool bind_set(struct config *c, const struct config_source *from, int argc, char **argv, char **error)
{
	struct config_list list = { 0 }, old = { c->bind, (size_t)c->bind_count };

	(void)from;
	if (argc < 1)
		return config_error(error, "wrong number of arguments");
	if (argc > MAX_BIND)
		return config_error(error, "Too many bind addresses specified.");
	if (argc == 1 && !*argv[0])
		argc = 0;
	for (int i = 0; i < argc; i++) {
		bool word = is_word(argv[i]);
		if (word && config_list_add(&list, argv[i]))
			continue;
		config_list_clear(&list);
		return config_error(error, word ? "out of memory" : "Invalid bind address");
	}
	config_list_clear(&old);
	c->bind = list.v;
	c->bind_count = (int)list.n;
	return true;
}

static void bind_get(const struct config *c, struct config_text *out)
{
	for (int i = 0; i < c->bind_count; i++)
		config_text_addf(out, "%s%s", i ? " " : "", c->bind[i]);
}

static void bind_rewrite(const struct config *c, const struct config *defaults, struct config_text *out)
{
	(void)defaults;
	config_text_addf(out, c->bind_count ? "bind " : "bind \"\"");
	bind_get(c, out);
	config_text_add(out, "\n", 1);
}

const struct config_special config_bind = { bind_set, bind_get, bind_rewrite };

/* ------------------------------------------------------------------ replicaof */

static bool replicaof_set(struct config *c, const struct config_source *from, int argc, char **argv, char **error)
{
	bool none = argc == 2 && !strcasecmp(argv[0], "no") && !strcasecmp(argv[1], "one");
	int64_t port;

	(void)from;
	if (argc == 1 && !*argv[0]) /* the default */
		none = true;
	else if (argc != 2)
		return config_error(error, "wrong number of arguments");
	if (none) {
		c->replicaof_port = 0;
		return config_string_replace(&c->replicaof_host, "", error);
	}
	if (!number_parse(argv[1], strlen(argv[1]), &port) || port < 0 || port > MAX_PORT)
		return config_error(error, "Invalid master port");
	c->replicaof_port = (int)port;
	return config_string_replace(&c->replicaof_host, argv[0], error);
}

static void replicaof_get(const struct config *c, struct config_text *out)
{
	if (*c->replicaof_host)
		config_text_addf(out, "%s %d", c->replicaof_host, c->replicaof_port);
}

static void replicaof_rewrite(const struct config *c, const struct config *defaults, struct config_text *out)
{
	(void)defaults;
	if (!*c->replicaof_host)
		return;
	config_text_addf(out, "replicaof ");
	config_text_quote(out, c->replicaof_host);
	config_text_addf(out, " %d\n", c->replicaof_port);
}

const struct config_special config_replicaof = { replicaof_set, replicaof_get, replicaof_rewrite };

/* ------------------------------------------------------------------ dir */

/* Kept as an absolute path; the process goes there when the whole configuration is known to be good. */
static bool dir_set(struct config *c, const struct config_source *from, int argc, char **argv, char **error)
{
	char path[PATH_MAX], absolute[PATH_MAX];
	struct stat st;

	if (argc != 1)
		return config_error(error, "wrong number of arguments");
	const char *base = argv[0][0] != '/' && from->dir ? from->dir : "";
	int n = snprintf(path, sizeof path, "%s%s%s", base, *base ? "/" : "", argv[0]);
	if (n < 0 || (size_t)n >= sizeof path)
		return config_error(error, "%s", strerror(ENAMETOOLONG));
	if (!realpath(path, absolute) || stat(absolute, &st) < 0)
		return config_error(error, "%s", strerror(errno));
	if (!S_ISDIR(st.st_mode))
		return config_error(error, "%s", strerror(ENOTDIR));
	if (access(absolute, X_OK) < 0)
		return config_error(error, "%s", strerror(errno));
	return config_string_replace(&c->dir, absolute, error);
}

static void dir_get(const struct config *c, struct config_text *out)
{
	config_text_addf(out, "%s", c->dir);
}

static void dir_rewrite(const struct config *c, const struct config *defaults, struct config_text *out)
{
	(void)defaults;
	config_text_addf(out, "dir ");
	config_text_quote(out, c->dir);
	config_text_add(out, "\n", 1);
}

const struct config_special config_dir = { dir_set, dir_get, dir_rewrite };

/* ------------------------------------------------------------------ user, loadmodule, rename-command */

bool (*config_check_user)(int argc, char **argv, char **error);
void (*config_rewrite_users)(struct config_text *out);

static bool user_set(struct config *c, const struct config_source *from, int argc, char **argv, char **error)
{
	struct config_text name = { 0 };
	bool known = false;

	(void)from;
	if (argc < 1)
		return config_error(error, "wrong number of arguments");
	config_text_quote(&name, argv[0]);
	for (size_t i = 0; i < c->user.n && !name.failed; i++)
		known = known || (!strncmp(c->user.v[i], name.ptr, name.len) &&
				  (c->user.v[i][name.len] == ' ' || !c->user.v[i][name.len]));
	config_text_clear(&name);
	if (known)
		return config_error(
			error,
			"Error in user declaration '%s': Duplicate user found. A user can only be defined once "
			"in config files",
			argv[0]);
	if (config_check_user && !config_check_user(argc, argv, error))
		return false;
	return add_line(&c->user, argc, argv, error);
}

static void user_rewrite(const struct config *c, const struct config *defaults, struct config_text *out)
{
	(void)c, (void)defaults;
	config_rewrite_users(out);
}

const struct config_special config_user = { user_set, NULL, user_rewrite };

static bool loadmodule_set(struct config *c, const struct config_source *from, int argc, char **argv, char **error)
{
	(void)from;
	if (argc < 1)
		return config_error(error, "wrong number of arguments");
	return add_line(&c->loadmodule, argc, argv, error);
}

const struct config_special config_loadmodule = { loadmodule_set, NULL, NULL };

static bool rename_set(struct config *c, const struct config_source *from, int argc, char **argv, char **error)
{
	(void)from;
	if (argc != 2)
		return config_error(error, "wrong number of arguments");
	if (!config_list_add(&c->rename_command, argv[0]))
		return config_error(error, "out of memory");
	if (!config_list_add(&c->rename_command, argv[1])) {
		c->rename_command.n--;
		free(c->rename_command.v[c->rename_command.n]);
		return config_error(error, "out of memory");
	}
	return true;
}

const struct config_special config_rename = { rename_set, NULL, NULL };

static bool ignored_set(struct config *c, const struct config_source *from, int argc, char **argv, char **error)
{
	(void)c, (void)from, (void)argv;
	return argc == 1 || config_error(error, "wrong number of arguments");
}

const struct config_special config_ignored = { ignored_set, NULL, NULL };
