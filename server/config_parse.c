/* config_parse: redis.conf's syntax: lines, quotes, includes. */
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "server/config_rows.h"

#define MAX_INCLUDES 16 /* within each other */
#define MAX_SHOWN 512   /* bytes of a wrong line in an error */

/* ------------------------------------------------------------------ words */

static bool is_blank(char ch)
{
	return ch == ' ' || ch == '\t' || ch == '\r' || ch == '\n' || ch == '\0';
}

static int hex(char ch)
{
	if (ch >= '0' && ch <= '9')
		return ch - '0';
	ch |= 0x20;
	return ch >= 'a' && ch <= 'f' ? ch - 'a' + 10 : -1;
}

/* The escape behind a backslash at p, within double quotes; returns what stands behind it. */
static const char *unescape(const char *p, const char *end, char *out)
{
	static const char from[] = "nrtba", to[] = "\n\r\t\b\a";
	const char *known;

	if (end - p >= 3 && *p == 'x' && hex(p[1]) >= 0 && hex(p[2]) >= 0) {
		*out = (char)(hex(p[1]) * 16 + hex(p[2]));
		return p + 3;
	}
	known = *p ? strchr(from, *p) : NULL;
	*out = known ? to[known - from] : *p;
	return p + 1;
}

/* One word into out, which has room for all that is left; NULL: quotes are not closed, or go on behind their end. */
static const char *one_word(const char *p, const char *end, char *out)
{
	char quote = 0;

	while (p < end && (quote || !is_blank(*p))) {
		if (quote == '"' && *p == '\\' && end - p > 1) {
			p = unescape(p + 1, end, out++);
		} else if (quote == '\'' && *p == '\\' && end - p > 1 && p[1] == '\'') {
			*out++ = '\'';
			p += 2;
		} else if (quote && *p == quote) {
			if (end - p > 1 && !is_blank(p[1]))
				return NULL;
			quote = 0;
			p++;
			break;
		} else if (!quote && (*p == '"' || *p == '\'')) {
			quote = *p++;
		} else {
			*out++ = *p++;
		}
	}
	*out = '\0';
	return quote ? NULL : p;
}

void config_words_free(char **v, size_t n)
{
	for (size_t i = 0; v && i < n; i++)
		free(v[i]);
	free(v);
}

char **config_words(const char *line, size_t len, size_t *n)
{
	const char *p = line, *end = line + len;
	char *word = malloc(len + 1);
	struct config_list list = { 0 };

	*n = 0;
	for (;;) {
		while (p < end && is_blank(*p))
			p++;
		if (!word || p == end)
			break;
		p = one_word(p, end, word);
		if (!p || !config_list_add(&list, word)) {
			config_list_clear(&list);
			free(word);
			return NULL;
		}
	}
	bool ok = word != NULL;
	free(word);
	if (ok && !list.v)
		list.v = calloc(1, sizeof *list.v);
	*n = list.n;
	return ok ? list.v : NULL;
}

/* ------------------------------------------------------------------ files */

static char *read_whole(const char *path, int fd, size_t limit, size_t *len)
{
	struct config_text t = { 0 };
	char buf[8192];
	ssize_t n;
	int f = fd >= 0 ? fd : open(path, O_RDONLY | O_CLOEXEC);

	if (f < 0)
		return NULL;
	config_text_add(&t, "", 0);
	while ((n = read(f, buf, sizeof buf)) != 0) {
		if (n < 0 && errno == EINTR)
			continue;
		if (n > 0 && !t.failed && t.len <= limit) {
			config_text_add(&t, buf, (size_t)n);
			continue;
		}
		int err = n < 0 ? errno : t.failed ? ENOMEM : EFBIG;
		config_text_clear(&t);
		if (fd < 0)
			close(f);
		errno = err;
		return NULL;
	}
	if (fd < 0)
		close(f);
	*len = t.len;
	return t.ptr;
}

char *(*config_read_file)(const char *path, int fd, size_t limit, size_t *len) = read_whole;

bool config_parse_file(struct config_parser *p, const char *path, int fd)
{
	size_t len = 0;
	char *text = config_read_file(path, fd, CONFIG_MAX_BYTES - p->bytes, &len);

	if (!text)
		return config_error(p->error, "Fatal error, can't open config file '%s': %s", path, strerror(errno));
	p->bytes += len;
	bool ok = config_parse_lines(p, text, len, path);
	free(text);
	return ok;
}

static bool dir_was_set(const struct config_parser *p)
{
	static const struct config_row *dir;

	if (!dir)
		dir = config_row_find("dir", NULL);
	return p->seen[dir - config_rows];
}

/* Every file that the pattern names; a pattern that matches nothing is no error, a plain name that is missing is. */
static bool include(struct config_parser *p, const char *pattern)
{
	char path[PATH_MAX];
	bool base = pattern[0] != '/' && dir_was_set(p), wild = strpbrk(pattern, "*?[") != NULL, ok = true;
	int n = snprintf(path, sizeof path, "%s%s%s", base ? p->c->dir : "", base ? "/" : "", pattern);
	glob_t found;

	if (n < 0 || (size_t)n >= sizeof path)
		return config_error(p->error, "Fatal error, can't open config file '%s': %s", pattern,
				    strerror(ENAMETOOLONG));
	if (p->depth >= MAX_INCLUDES)
		return config_error(p->error, "Fatal error, config files include each other too deeply at '%s'", path);
	p->depth++;
	if (!wild || config_read_file != read_whole) {
		ok = config_parse_file(p, path, -1);
	} else if (glob(path, 0, NULL, &found) == 0) {
		for (size_t i = 0; i < found.gl_pathc && ok; i++)
			ok = config_parse_file(p, found.gl_pathv[i], -1);
		globfree(&found);
	}
	p->depth--;
	return ok;
}

/* ------------------------------------------------------------------ lines */

/* A directive with its arguments. *fatal: the error is about a file and has its own words. */
static bool directive(struct config_parser *p, int argc, char **argv, bool *fatal)
{
	const struct config_row *row = config_row_find(argv[0], NULL);
	struct config_source from = { .file = true };

	if (!strcasecmp(argv[0], "include")) {
		if (argc != 2)
			return config_error(p->error, "wrong number of arguments");
		*fatal = true;
		return include(p, argv[1]);
	}
	if (!strcasecmp(argv[0], "sentinel"))
		return config_error(p->error, "sentinel directive while not in sentinel mode");
	if (!row) {
		const char *near = config_row_nearest(argv[0]);
		return config_error(p->error, "Bad directive or wrong number of arguments%s%s%s",
				    near ? "\nDid you mean '" : "", near ? near : "", near ? "'?" : "");
	}
	unsigned char *seen = &p->seen[row - config_rows];
	from.first = !*seen;
	from.dir = dir_was_set(p) ? p->c->dir : NULL;
	*seen = 1;
	/* "60 1000" in quotes, as command lines have it, is two arguments. */
	if ((row->flags & CONFIG_MULTI) && !(row->flags & CONFIG_FILE_ONLY) && argc == 2 && *argv[1]) {
		size_t n;
		char **words = config_words(argv[1], strlen(argv[1]), &n);
		if (!words || n > INT_MAX) {
			config_words_free(words, words ? n : 0);
			return config_error(p->error, "Unbalanced quotes in configuration line");
		}
		bool ok = config_value_set(p->c, row, &from, (int)n, words, p->error);
		config_words_free(words, n);
		return ok;
	}
	return config_value_set(p->c, row, &from, argc - 1, argv + 1, p->error);
}

static bool say_where(struct config_parser *p, const char *name, size_t number, const char *line, size_t len)
{
	char *what = *p->error;
	char where[PATH_MAX + 80];

	if (name)
		snprintf(where, sizeof where, "Reading the configuration file, at line %zu of %s", number, name);
	else
		snprintf(where, sizeof where, "Reading the command line");
	config_error(p->error, "\n*** FATAL CONFIG FILE ERROR (Shoal %s) ***\n%s\n>>> '%.*s'\n%s", SHOAL_VERSION, where,
		     (int)(len < MAX_SHOWN ? len : MAX_SHOWN), line, what ? what : "out of memory");
	free(what);
	return false;
}

static bool parse_line(struct config_parser *p, const char *line, size_t len, const char *name, size_t number)
{
	bool fatal = false, ok;
	size_t argc;

	while (len && is_blank(line[len - 1]))
		len--;
	while (len && is_blank(*line)) {
		line++;
		len--;
	}
	if (!len || *line == '#')
		return true;
	char **argv = config_words(line, len, &argc);
	if (!argv)
		ok = config_error(p->error, "Unbalanced quotes in configuration line");
	else if (argc > INT_MAX)
		ok = config_error(p->error, "wrong number of arguments");
	else
		ok = !argc || directive(p, (int)argc, argv, &fatal);
	config_words_free(argv, argv ? argc : 0);
	return ok || fatal ? ok : say_where(p, name, number, line, len);
}

bool config_parse_lines(struct config_parser *p, const char *text, size_t len, const char *name)
{
	const char *end = text + len;
	size_t number = 0;

	while (text < end) {
		const char *stop = memchr(text, '\n', (size_t)(end - text));
		if (!stop)
			stop = end;
		if (!parse_line(p, text, (size_t)(stop - text), name, ++number))
			return false;
		text = stop < end ? stop + 1 : end;
	}
	return true;
}
