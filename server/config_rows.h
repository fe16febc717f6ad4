/*
 * config_rows: what the files of config share: the rows, values as text, the parser's state. Private to config*.c.
 */
#ifndef SERVER_CONFIG_ROWS_H
#define SERVER_CONFIG_ROWS_H

#include "server/config.h"

/* Text that grows; failed: memory ran out and something is missing. */
struct config_text {
	char *ptr; /* ends with NUL once something was added */
	size_t len, cap;
	bool failed;
};
void config_text_add(struct config_text *t, const char *bytes, size_t len);
void config_text_addf(struct config_text *t, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* In quotes, so that the parser reads the same bytes again. */
void config_text_quote(struct config_text *t, const char *text);
/* A size in the largest unit that says it exactly. */
void config_text_memory(struct config_text *t, uint64_t v);
void config_text_clear(struct config_text *t);
/* The text takes the place of the file's, at once and for good. mode: of a file that was not there. 0 or -errno. */
int config_replace_file(const char *path, const struct config_text *text, unsigned mode);

/* Sets *error; always false, so that a failing check is one line. */
bool config_error(char **error, const char *format, ...) __attribute__((format(printf, 2, 3)));

enum config_type {
	CONFIG_BOOL,    /* bool */
	CONFIG_ENUM,    /* int */
	CONFIG_FLAGS,   /* int, several words of the choices */
	CONFIG_INT,     /* int */
	CONFIG_INT64,   /* int64_t */
	CONFIG_UINT64,  /* uint64_t */
	CONFIG_STRING,  /* const char * */
	CONFIG_SPECIAL, /* its own functions */
};

enum config_flag {
	CONFIG_IMMUTABLE = 1 << 0, /* not by CONFIG SET */
	CONFIG_PROTECTED = 1 << 1, /* CONFIG SET only with enable-protected-configs */
	CONFIG_HIDDEN = 1 << 2,    /* CONFIG GET shows it only by its exact name */
	CONFIG_MEMORY = 1 << 3,    /* takes units */
	CONFIG_PERCENT = 1 << 4,   /* takes a percentage too, kept as a negative number */
	CONFIG_OCTAL = 1 << 5,
	CONFIG_MULTI = 1 << 6,     /* more than one argument */
	CONFIG_FILE_ONLY = 1 << 7, /* neither CONFIG GET nor SET nor REWRITE knows it; REWRITE keeps its lines */
	CONFIG_FORCED = 1 << 8,    /* CONFIG REWRITE always writes it */
	CONFIG_VOLATILE = 1 << 9,  /* CONFIG REWRITE never writes it */
};

struct config_choice {
	const char *word;
	int value;
};

struct config_row;

/* Where a value comes from: lists in files add up over lines. */
struct config_source {
	bool file;        /* a file or the command line, not CONFIG SET or a default */
	bool first;       /* the directive's first line in this load */
	const char *dir;  /* what relative paths are relative to; NULL: the working directory */
};

struct config_special {
	bool (*set)(struct config *c, const struct config_source *from, int argc, char **argv, char **error);
	void (*get)(const struct config *c, struct config_text *out);
	/* The lines of CONFIG REWRITE, with names and line ends. NULL: one line, name and get(). */
	void (*rewrite)(const struct config *c, const struct config *defaults, struct config_text *out);
};

struct config_row {
	const char *name, *alias;
	enum config_type type;
	unsigned flags;
	size_t offset;
	const char *initial; /* default as text; words separated by blanks if CONFIG_MULTI */
	int64_t min;
	uint64_t max;
	const struct config_choice *choices;
	const struct config_special *special;
	/* A closer look at a new value; may also bring it into range. */
	bool (*check)(struct config *c, char **error);
	/* NULL: effective. Begins with '=': has nothing to do here, and why; else what must come before it has an effect. */
	const char *waits;
};

extern const struct config_row config_rows[]; /* ends with a row without a name */
/* Case-insensitive; *alias: found by the other name. NULL: unknown. */
const struct config_row *config_row_find(const char *name, bool *alias);
/* The known name that is least different, or NULL if none is near. */
const char *config_row_nearest(const char *name);

/* ---- config_value.c */
bool config_value_set(struct config *c, const struct config_row *row, const struct config_source *from, int argc,
                      char **argv, char **error);
void config_value_get(const struct config *c, const struct config_row *row, struct config_text *out);
/* The lines of CONFIG REWRITE. */
void config_value_rewrite(const struct config *c, const struct config *defaults, const struct config_row *row,
                          struct config_text *out);
bool config_value_equal(const struct config *a, const struct config *b, const struct config_row *row);

/* ---- config_special.c: rows' functions */
extern const struct config_special config_save, config_output_limits, config_oom_values, config_notify,
	config_percentiles, config_bind, config_replicaof, config_dir, config_user, config_loadmodule, config_rename,
	config_ignored;
bool config_list_add(struct config_list *l, const char *word);
void config_list_clear(struct config_list *l);
bool config_list_copy(struct config_list *to, const struct config_list *from);
/* Strings of the configuration; NULL: out of memory. */
const char *config_string_copy(const char *value);
void config_string_free(const char *value);
bool config_string_replace(const char **slot, const char *value, char **error);

/* ---- config_parse.c */
/* Split a line into words: quotes and escapes as redis.conf has them. NULL with n 0: quotes are not closed, or out of
 * memory. Free with config_words_free(). */
char **config_words(const char *line, size_t len, size_t *n);
void config_words_free(char **v, size_t n);

struct config_parser {
	struct config *c;
	unsigned char *seen;  /* by row: set in this load */
	unsigned depth;       /* of includes */
	size_t bytes;         /* read so far */
	char **error;
};
/* Apply the lines of a text. line0: number of the line before the first. */
bool config_parse_lines(struct config_parser *p, const char *text, size_t len, const char *name);
bool config_parse_file(struct config_parser *p, const char *path, int fd);
/* Read a whole file: replaced by the fuzz target, which must not read files. malloc'ed, or NULL with errno. */
extern char *(*config_read_file)(const char *path, int fd, size_t limit, size_t *len);
#define CONFIG_MAX_BYTES (64u << 20)

/* ---- config.c */
struct config *config_clone(const struct config *from); /* NULL: out of memory */
const struct config *config_defaults(void);
bool config_was_set(const struct config_row *row);

#endif
