/*
 * gen: command streams made from a seed. Everything generated depends on the seed alone, never on a reply, so that a
 * stream can be replayed.
 *
 * A group of commands is one file: an array of rows and a gen_group with its name; gen_groups[] in gen.c lists them.
 * A row's make() builds one command (or several) with the functions below.
 */
#ifndef TESTS_DIFF_GEN_H
#define TESTS_DIFF_GEN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "tests/lib/resp_client.h"

/* How the replies of the two servers are held against each other. Errors are always compared byte by byte. */
enum compare {
	CMP_EXACT,
	CMP_UNORDERED, /* aggregates as sets, at every level */
	CMP_PAIRS,     /* a map (or array of pairs) whose pairs have no order */
	CMP_TIME_MS,   /* integers that may differ by seconds, as the servers are not asked at the same time */
	CMP_TIME_S,
	CMP_AGES,      /* times and ages within, of XINFO and XPENDING, may differ by seconds */
	CMP_KIND,      /* same type, and null or not */
	CMP_HELLO,     /* pairs, without name, version and id of the server */
	CMP_ANY,       /* not at all */
	CMP_SCAN,      /* not one command: whole iterations, whose keys are compared as sets */
};

#define GEN_MAX_ARGS 512

struct gen_command {
	size_t argc;
	struct resp_bytes argv[GEN_MAX_ARGS];
	enum compare compare;
	unsigned replies; /* 0 while CLIENT REPLY OFF */
	bool unpipelined; /* sent alone, when all before it is answered */
	bool idle;        /* and when no server saves in the background */
};

struct gen {
	uint64_t rng[2];
	int resp;       /* protocol of the stream */
	bool types;     /* lists, sets, ... can be made, to have wrong types */
	struct gen_command cmd;
	char *arena;    /* arguments of the command in the making */
	size_t used;
	/* Finished commands go here. */
	void (*emit)(void *ctx, const struct gen_command *cmd);
	void *ctx;
};

enum gen_row_flag {
	GEN_TIMED = 1,  /* a changed integer could make a short time to live: only the number of arguments is mutated */
	GEN_FIXED = 2,  /* never mutated */
};

struct gen_row {
	const char *name; /* as INFO commandstats names it: "get", "object|encoding" */
	void (*make)(struct gen *g, const struct gen_row *row);
	unsigned weight;
	unsigned flags;
	enum compare compare;
};

struct gen_group {
	const char *name;
	const struct gen_row *rows; /* ends with a row without a name */
};
extern const struct gen_group *const gen_groups[];

void gen_init(struct gen *g, uint64_t seed, int resp);
void gen_free(struct gen *g);
/* One row's command(s), chosen by weight among the groups (names separated by commas; NULL: all). */
void gen_next(struct gen *g, const char *groups);

/* For make(). */
uint32_t gen_below(struct gen *g, uint32_t n);
static inline bool gen_chance(struct gen *g, uint32_t percent)
{
	return gen_below(g, 100) < percent;
}
/* Begin the row's command, with its name(s) in any case; end emits it; begin_line() is for fixed words. */
void gen_begin(struct gen *g, const struct gen_row *row);
void gen_begin_line(struct gen *g, const char *line, enum compare compare);
void gen_end(struct gen *g, const struct gen_row *row);
/* A whole command from a line of plain words, not mutated. */
void gen_line(struct gen *g, const char *line, enum compare compare, unsigned replies);
/* Arguments. */
void gen_bytes(struct gen *g, const void *bytes, size_t len);
void gen_text(struct gen *g, const char *text);
void gen_word(struct gen *g, const char *word); /* an option: in any case of letters */
void gen_int(struct gen *g, int64_t v);
void gen_key(struct gen *g);
void gen_value(struct gen *g);
void gen_small_value(struct gen *g);
void gen_any_int(struct gen *g);     /* often at a limit */
void gen_small_int(struct gen *g);   /* -20 to 20, most often */
void gen_float(struct gen *g);
void gen_pattern(struct gen *g);
/* The cursor and options of a scan of one key's elements, all at once. */
void gen_scan_all(struct gen *g, const char *const *patterns);
/* Times to live that end long after the stream, never within it, or are refused. unit: 1 s, 1000 ms. */
void gen_ttl(struct gen *g, int unit);
void gen_time(struct gen *g, int unit); /* absolute: past, or the year 2100 */
void gen_db(struct gen *g);
const char *gen_pick(struct gen *g, const char *const *list); /* ends with NULL */
/* A make() of commands without arguments, and of those of one key of any type. */
void gen_alone(struct gen *g, const struct gen_row *row);
void gen_one_key(struct gen *g, const struct gen_row *row);

#endif
