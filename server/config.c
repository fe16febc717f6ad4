/* config: the values in force, how they come about and how they change. See config.h. */
#include "server/config.h"

#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "server/config_rows.h"
#include "server/log.h"
#include "store/glob.h"

#define MAX_ROWS 256
#define MAX_HOOKS 64

const struct config *config_current;

static const struct config *defaults;
static unsigned char was_set[MAX_ROWS]; /* by a file or the command line */
static unsigned char wait_logged[MAX_ROWS];
static char *file_path;
static pthread_mutex_t ref_lock = PTHREAD_MUTEX_INITIALIZER;
static struct {
	const struct config_row *row;
	config_changed *fn;
} hooks[MAX_HOOKS];
static unsigned hook_count;

/* ------------------------------------------------------------------ the counted struct */

/* Strings that belong to no row of type CONFIG_STRING. */
static const size_t extra_strings[] = { offsetof(struct config, dir), offsetof(struct config, replicaof_host) };
#define EXTRA (sizeof extra_strings / sizeof extra_strings[0])

static const char **string_at(struct config *c, size_t offset)
{
	return (const char **)((char *)c + offset);
}

/* The n-th string of a configuration, or NULL behind the last. */
static const char **string_number(struct config *c, size_t *row, size_t *extra)
{
	while (config_rows[*row].name) {
		const struct config_row *r = &config_rows[(*row)++];
		if (r->type == CONFIG_STRING)
			return string_at(c, r->offset);
	}
	return *extra < EXTRA ? string_at(c, extra_strings[(*extra)++]) : NULL;
}

static void config_free(struct config *c)
{
	struct config_list bind = { c->bind, (size_t)c->bind_count };
	size_t row = 0, extra = 0;
	const char **s;

	while ((s = string_number(c, &row, &extra)))
		config_string_free(*s);
	config_list_clear(&bind);
	config_list_clear(&c->rename_command);
	config_list_clear(&c->loadmodule);
	config_list_clear(&c->user);
	free(c->latency_percentiles.v);
	free(c->save.v);
	free(c);
}

static void *copy_array(const void *v, size_t n, size_t size, bool *ok)
{
	void *copy = n ? malloc(n * size) : NULL;

	if (n && !copy)
		*ok = false;
	else if (n)
		memcpy(copy, v, n * size);
	return copy;
}

struct config *config_clone(const struct config *from)
{
	struct config *c = malloc(sizeof *c);
	const struct config_list bind_from = { from->bind, (size_t)from->bind_count };
	struct config_list bind = { 0 };
	size_t row = 0, extra = 0;
	const char **s;
	bool ok = true;

	if (!c)
		return NULL;
	*c = *from;
	c->refs = 1;
	while ((s = string_number(c, &row, &extra)))
		if (!(*s = config_string_copy(*s)))
			ok = false;
	ok = config_list_copy(&bind, &bind_from) && ok;
	c->bind = bind.v;
	c->bind_count = (int)bind.n;
	ok = config_list_copy(&c->rename_command, &from->rename_command) && ok;
	ok = config_list_copy(&c->loadmodule, &from->loadmodule) && ok;
	ok = config_list_copy(&c->user, &from->user) && ok;
	c->latency_percentiles.v =
		copy_array(from->latency_percentiles.v, from->latency_percentiles.n, sizeof(double), &ok);
	c->save.v = copy_array(from->save.v, from->save.n, sizeof *from->save.v, &ok);
	if (ok)
		return c;
	c->save.n = 0;
	config_free(c);
	return NULL;
}

const struct config *config_ref(void)
{
	pthread_mutex_lock(&ref_lock);
	struct config *c = (struct config *)config_current;
	c->refs++;
	pthread_mutex_unlock(&ref_lock);
	return c;
}

void config_unref(const struct config *c)
{
	struct config *mine = (struct config *)c;

	pthread_mutex_lock(&ref_lock);
	bool last = --mine->refs == 0;
	pthread_mutex_unlock(&ref_lock);
	if (last)
		config_free(mine);
}

/* Takes next; drops the old value. */
static void publish(const struct config *next)
{
	pthread_mutex_lock(&ref_lock);
	const struct config *old = config_current;
	config_current = next;
	pthread_mutex_unlock(&ref_lock);
	if (old)
		config_unref(old);
}

/* ------------------------------------------------------------------ defaults */

static void bad_default(const struct config_row *row, const char *why)
{
	fprintf(stderr, "default of %s: %s\n", row->name, why);
	abort();
}

static struct config *make_defaults(void)
{
	struct config *c = calloc(1, sizeof *c);
	size_t row = 0, extra = 0;
	const char **s;

	if (!c)
		return NULL;
	c->refs = 1;
	while ((s = string_number(c, &row, &extra)))
		*s = config_string_copy("");
	for (const struct config_row *r = config_rows; r->name; r++) {
		struct config_source from = { 0 };
		char *error = NULL, *one[] = { (char *)r->initial };
		size_t n = 1;
		char **words = r->initial && *r->initial && r->flags & CONFIG_MULTI
				       ? config_words(r->initial, strlen(r->initial), &n)
				       : NULL;
		if (r->initial && !config_value_set(c, r, &from, (int)n, words ? words : one, &error))
			bad_default(r, error ? error : "out of memory");
		config_words_free(words, n);
	}
	return c;
}

/* Before main(), so that config() is never NULL. */
__attribute__((constructor)) static void config_init(void)
{
	defaults = make_defaults();
	config_current = defaults ? config_clone(defaults) : NULL;
	if (!config_current)
		abort();
}

const struct config *config_defaults(void)
{
	return defaults;
}

void config_reset(void)
{
	struct config *c = config_clone(defaults);

	if (c)
		publish(c);
	memset(was_set, 0, sizeof was_set);
	memset(wait_logged, 0, sizeof wait_logged);
}

bool config_was_set(const struct config_row *row)
{
	return was_set[row - config_rows];
}

/* ------------------------------------------------------------------ load */

/* What no single directive can tell. */
static bool fits_together(const struct config *c, char **error)
{
	const char *why = NULL;

	if (c->cluster_enabled && *c->replicaof_host)
		why = "replicaof directive not allowed in cluster mode";
	if (*c->aclfile && c->user.n)
		why = "Users are defined both in the configuration and in the file that `aclfile` names: keep one of "
		      "the two";
	return !why || config_error(error, "\n*** FATAL CONFIG FILE ERROR (Shoal %s) ***\n%s", SHOAL_VERSION, why);
}

static char *absolute(const char *path)
{
	char cwd[PATH_MAX], *out = NULL, *real = realpath(path, NULL);

	if (real)
		return real;
	if (*path == '/')
		return strdup(path);
	if (!getcwd(cwd, sizeof cwd) || asprintf(&out, "%s/%s", cwd, path) < 0)
		return NULL;
	return out;
}

static bool is_option(const char *arg)
{
	return arg[0] == '-' && arg[1] == '-';
}

/*
 * The command line as lines of a configuration, as redis-server reads it: "--name" begins a line, what follows are its
 * arguments; "--name value" in one word is allowed; the word behind a name is a value even if it begins with dashes;
 * "--save" alone means none. Returns whether standard input is to be read.
 */
static bool command_line(int argc, char **argv, struct config_text *out)
{
	bool from_stdin = false, had_value = true;

	for (int i = 0; i < argc; i++) {
		if (!strcmp(argv[i], "-") && (i == 0 || i == argc - 1)) {
			from_stdin = true;
			continue;
		}
		if (!had_value || !is_option(argv[i])) {
			config_text_quote(out, argv[i]);
			config_text_add(out, " ", 1);
			had_value = true;
			continue;
		}
		bool last = i == argc - 1, option_next = !last && is_option(argv[i + 1]);
		size_t n = 0;
		char **words = config_words(argv[i], strlen(argv[i]), &n);
		config_words_free(words, n);
		config_text_addf(out, "%s%s ", out->len ? "\n" : "", argv[i] + 2);
		had_value = n != 1;
		if (!strcasecmp(argv[i], "--save") && (last || option_next)) {
			config_text_addf(out, "\"\"");
			had_value = true;
		}
	}
	return from_stdin;
}

static bool parse_all(struct config_parser *p, const char *file, int argc, char **argv)
{
	struct config_text options = { 0 };
	bool from_stdin = command_line(argc, argv, &options);
	bool ok = (!file || config_parse_file(p, file, -1)) &&
		  (!from_stdin || config_parse_file(p, "standard input", STDIN_FILENO)) &&
		  (!options.len || config_parse_lines(p, options.ptr, options.len, NULL)) &&
		  fits_together(p->c, p->error);

	config_text_clear(&options);
	return ok;
}

static int take_parsed(struct config_parser *p, bool ok)
{
	if (!ok) {
		config_free(p->c);
		return -1;
	}
	publish(p->c);
	memcpy(was_set, p->seen, sizeof was_set);
	return 0;
}

int config_load(const char *file, int argc, char **argv, char **error)
{
	unsigned char seen[MAX_ROWS] = { 0 };
	struct config_parser p = { .c = config_clone(defaults), .seen = seen, .error = error };

	*error = NULL;
	if (!p.c)
		return -1;
	free(file_path);
	file_path = file ? absolute(file) : NULL;
	char cwd[PATH_MAX];
	if (getcwd(cwd, sizeof cwd) && !config_string_replace(&p.c->dir, cwd, error))
		return take_parsed(&p, false);
	return take_parsed(&p, parse_all(&p, file_path, argc, argv));
}

int config_parse_text(const char *text, size_t len, const char *name, char **error)
{
	unsigned char seen[MAX_ROWS] = { 0 };
	struct config_parser p = { .c = config_clone(defaults), .seen = seen, .error = error };

	*error = NULL;
	if (!p.c)
		return -1;
	return take_parsed(&p, config_parse_lines(&p, text, len, name) && fits_together(p.c, error));
}

const char *config_file(void)
{
	return file_path ? file_path : "";
}

/* ------------------------------------------------------------------ CONFIG GET */

int config_get(const char *name, char *buf, size_t size)
{
	const struct config_row *row = config_row_find(name, NULL);
	struct config_text t = { 0 };

	if (!row || row->flags & CONFIG_FILE_ONLY)
		return -ENOENT;
	config_value_get(config(), row, &t);
	int len = t.failed ? -ENOMEM : snprintf(buf, size, "%s", t.ptr);
	config_text_clear(&t);
	return len;
}

static void emit(const struct config_row *row, const char *name, size_t len, config_each_fn *fn, void *ctx)
{
	struct config_text t = { 0 };

	config_value_get(config(), row, &t);
	if (!t.failed)
		fn(ctx, name, len, t.ptr, t.len);
	config_text_clear(&t);
}

static void match_exact(const struct arg *name, unsigned char *done, config_each_fn *fn, void *ctx)
{
	char text[64];
	bool alias;

	if (name->len >= sizeof text || memchr(name->ptr, '\0', name->len))
		return;
	memcpy(text, name->ptr, name->len);
	text[name->len] = '\0';
	const struct config_row *row = config_row_find(text, &alias);
	unsigned char bit = row && alias ? 2 : 1;
	if (!row || row->flags & CONFIG_FILE_ONLY || done[row - config_rows] & bit)
		return;
	done[row - config_rows] |= bit;
	emit(row, name->ptr, name->len, fn, ctx);
}

static bool has_wildcard(const struct arg *pattern)
{
	return memchr(pattern->ptr, '*', pattern->len) || memchr(pattern->ptr, '?', pattern->len) ||
	       memchr(pattern->ptr, '[', pattern->len);
}

void config_match(const struct arg *patterns, size_t n, config_each_fn *fn, void *ctx)
{
	unsigned char done[MAX_ROWS] = { 0 }; /* bits: 1 the name, 2 the alias */

	for (size_t i = 0; i < n; i++) {
		if (!has_wildcard(&patterns[i])) {
			match_exact(&patterns[i], done, fn, ctx);
			continue;
		}
		for (const struct config_row *row = config_rows; row->name; row++) {
			const char *names[] = { row->name, row->alias };
			if (row->flags & (CONFIG_FILE_ONLY | CONFIG_HIDDEN))
				continue;
			for (unsigned j = 0; j < 2 && names[j]; j++) {
				size_t len = strlen(names[j]);
				if (done[row - config_rows] & (j + 1) ||
				    !glob_match(patterns[i].ptr, patterns[i].len, names[j], len, true))
					continue;
				done[row - config_rows] |= (unsigned char)(j + 1);
				emit(row, names[j], len, fn, ctx);
			}
		}
	}
}

/* ------------------------------------------------------------------ CONFIG SET */

void config_on_change(const char *name, config_changed *fn)
{
	const struct config_row *row = config_row_find(name, NULL);

	if (!row || hook_count == MAX_HOOKS)
		abort();
	hooks[hook_count].row = row;
	hooks[hook_count++].fn = fn;
}

struct change {
	const struct config_row *row;
	bool alias;
	const struct arg *name;
};

static int set_failed(const struct arg *name, char *why, char **error)
{
	config_error(error, "CONFIG SET failed (possibly related to argument '%.*s')%s%s", (int)name->len, name->ptr,
		     why ? " - " : "", why ? why : "");
	free(why);
	return -1;
}

/* Which row a name means, and whether it may be set at all. */
static int admit(struct change *changes, size_t i, bool local, char **error)
{
	struct change *ch = &changes[i];
	const struct arg *name = ch->name;
	char text[64];
	const char *why = NULL;
	int allow = config()->enable_protected_configs;

	if (name->len < sizeof text && !memchr(name->ptr, '\0', name->len)) {
		memcpy(text, name->ptr, name->len);
		text[name->len] = '\0';
		ch->row = config_row_find(text, &ch->alias);
	}
	if (!ch->row || ch->row->flags & CONFIG_FILE_ONLY) {
		config_error(error, "Unknown option or number of arguments for CONFIG SET - '%.*s'", (int)name->len,
			     name->ptr);
		return -1;
	}
	if (ch->row->flags & CONFIG_IMMUTABLE)
		why = "can't set immutable config";
	else if (ch->row->flags & CONFIG_PROTECTED && !(allow == ALLOW_YES || (allow == ALLOW_LOCAL && local)))
		why = "can't set protected config";
	for (size_t j = 0; j < i && !why; j++)
		if (changes[j].row == ch->row && changes[j].alias == ch->alias)
			why = "duplicate parameter";
	return why ? set_failed(name, strdup(why), error) : 0;
}

/* The value's words: one, or for lists those between single blanks, empty ones included. */
static char **value_words(const struct config_row *row, char *value, size_t *n)
{
	size_t blanks = 0;
	char **v;

	for (const char *p = value; *p && row->flags & CONFIG_MULTI; p++)
		blanks += *p == ' ';
	v = calloc(blanks + 1, sizeof *v);
	if (!v)
		return NULL;
	*n = blanks + 1;
	for (size_t i = 0; i < *n; i++) {
		v[i] = value;
		value = i < blanks ? strchr(value, ' ') : NULL;
		if (value)
			*value++ = '\0';
	}
	return v;
}

static int set_one(struct config *c, const struct change *ch, const struct arg *value, char **error)
{
	const struct config_source from = { .dir = c->dir };
	char *copy = NULL, *why = NULL, **words = NULL;
	size_t n = 0;

	if (memchr(value->ptr, '\0', value->len))
		return set_failed(ch->name, strdup("argument must not contain a NUL byte"), error);
	copy = strndup(value->ptr, value->len);
	words = copy ? value_words(ch->row, copy, &n) : NULL;
	bool ok = words && n <= INT_MAX && config_value_set(c, ch->row, &from, (int)n, words, &why);
	free(words);
	free(copy);
	return ok ? 0 : set_failed(ch->name, why, error);
}

static void log_waiting(const struct config_row *row)
{
	unsigned char *logged = &wait_logged[row - config_rows];

	if (!row->waits || *logged)
		return;
	*logged = 1;
	if (*row->waits == '=')
		log_notice("Directive '%s' is accepted but has nothing to do: %s", row->name, row->waits + 1);
	else
		log_warning("Directive '%s' is accepted and kept, but has no effect yet: it waits for %s", row->name,
			    row->waits);
}

/* Tell those who must act, each once; the number of the one that refused, or hook_count. */
static unsigned tell(const struct config *before, unsigned count, char **why)
{
	for (unsigned i = 0; i < count; i++) {
		bool told = config_value_equal(before, config(), hooks[i].row);
		for (unsigned j = 0; j < i && !told; j++)
			told = hooks[j].fn == hooks[i].fn && !config_value_equal(before, config(), hooks[j].row);
		if (!told && !hooks[i].fn(config(), why))
			return i;
	}
	return hook_count;
}

/* Publish and let those act who must; if one refuses, everything is as before. Takes next. */
static int apply(struct config *next, const struct change *changes, size_t n, char **error)
{
	const struct config *before = config_ref();
	char *why = NULL;

	publish(next);
	unsigned refused = tell(before, hook_count, &why);
	if (refused == hook_count) {
		config_unref(before);
		return 0;
	}
	const struct arg *name = changes[0].name;
	for (size_t i = 0; i < n; i++)
		if (changes[i].row == hooks[refused].row)
			name = changes[i].name;
	log_warning(
		"Failed applying new configuration. Possibly related to new %s setting. Restoring previous settings.",
		hooks[refused].row->name);
	const struct config *tried = config_ref();
	publish(before); /* takes the reference */
	char *ignored = NULL;
	tell(tried, refused, &ignored);
	free(ignored);
	config_unref(tried);
	return set_failed(name, why, error);
}

int config_set(const struct arg *pairs, size_t n, bool local, char **error)
{
	size_t count = n / 2;
	int result = 0;

	*error = NULL;
	if (n % 2 || !n) {
		config_error(error, "syntax error");
		return -1;
	}
	struct change *changes = calloc(count, sizeof *changes);
	struct config *next = changes ? config_clone(config()) : NULL;
	if (!next) {
		free(changes);
		return -1;
	}
	for (size_t i = 0; i < count && !result; i++) {
		changes[i].name = &pairs[2 * i];
		result = admit(changes, i, local, error);
	}
	for (size_t i = 0; i < count && !result; i++)
		result = set_one(next, &changes[i], &pairs[2 * i + 1], error);
	if (result)
		config_free(next);
	else
		result = apply(next, changes, count, error);
	for (size_t i = 0; i < count && !result; i++)
		log_waiting(changes[i].row);
	free(changes);
	return result;
}

int config_override(const char *name, const char *value)
{
	const struct config_row *row = config_row_find(name, NULL);
	const struct config_source from = { 0 };
	struct config *next = row ? config_clone(config()) : NULL;
	char *why = NULL, *copy = strdup(value);

	bool ok = next && copy && config_value_set(next, row, &from, 1, &copy, &why);
	free(copy);
	free(why);
	if (ok)
		publish(next);
	else if (next)
		config_free(next);
	return ok ? 0 : -EINVAL;
}

/* ------------------------------------------------------------------ what waits */

/* One line for all that wait for the same. */
static void log_group(const struct config_row *first)
{
	struct config_text names = { 0 };

	for (const struct config_row *row = first; row->name; row++) {
		if (!row->waits || strcmp(row->waits, first->waits) || !config_was_set(row) ||
		    wait_logged[row - config_rows])
			continue;
		wait_logged[row - config_rows] = 1;
		config_text_addf(&names, "%s%s", names.len ? ", " : "", row->name);
	}
	if (!names.ptr)
		return;
	if (*first->waits == '=')
		log_notice("Accepted, but with nothing to do here (%s): %s", first->waits + 1, names.ptr);
	else
		log_warning("Accepted and kept, but without effect until Shoal has %s: %s", first->waits, names.ptr);
	config_text_clear(&names);
}

void config_log_waiting(void)
{
	for (const struct config_row *row = config_rows; row->name; row++)
		if (row->waits && config_was_set(row) && !wait_logged[row - config_rows])
			log_group(row);
}
