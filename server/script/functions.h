/*
 * functions: libraries of functions: FUNCTION and FCALL.
 *
 * A library is its source and what that registered when it was loaded. Sources are shared; each loop's interpreter (one of
 * its own for functions, so that they and scripts do not meet) loads a copy when it first calls a function of it. What a
 * library keeps in local variables between calls is therefore kept by each loop.
 *
 * Threads: changed alone (or by the thread that loads the data set, when nobody calls functions yet); read by loops that
 * run commands.
 */
#ifndef SERVER_SCRIPT_FUNCTIONS_H
#define SERVER_SCRIPT_FUNCTIONS_H

#include "server/script/script.h"

struct rdb_library;

struct function {
	struct function *next;  /* of its library, in the order of registration */
	struct function *chain; /* by name */
	struct library *library;
	char *name, *description; /* NULL: none */
	size_t description_len;
	unsigned flags;           /* enum script_flag */
	bool runs_alone;          /* learned; relaxed */
};

struct library {
	struct library *next; /* in the order of loading */
	char *name;
	struct rdb_library *source;
	size_t skip;          /* of the source: its first line */
	struct function *functions, **last;
	unsigned count;
	unsigned id;          /* small, of no other library */
	bool closed;          /* closed.h: its functions run beside others */
};

int functions_init(unsigned loops);
void functions_free(void);

enum functions_policy { FUNCTIONS_APPEND, FUNCTIONS_REPLACE, FUNCTIONS_FLUSH };

/* All that answer `bool` or a pointer set *error to a malloc'ed text without its code when they fail; NULL then: out of
 * memory. What belongs to another store than the server's (a replay) has libraries of its own. */
const struct library *functions_load(struct call *c, const struct arg *code, bool replace, char **error);
bool functions_delete(struct call *c, const struct arg *name);
void functions_flush(struct call *c);
/* The payload of FUNCTION DUMP. */
void functions_dump(struct reply *r);
bool functions_restore(struct call *c, const struct arg *payload, enum functions_policy policy, char **error);

/* The libraries, in the order of loading; their number and that of their functions. */
const struct library *functions_first(void);
const char *functions_code(const struct library *l, size_t *len);
unsigned functions_libraries(void);
unsigned functions_count(void);

/* FCALL: what checks go by; class and locks; the run. */
uint32_t functions_flags_for(const struct command *cmd, const struct arg *argv, unsigned argc);
enum exec_class functions_plan(struct call *c, struct store_lockset *locks);
void functions_call(struct call *c, bool read_only);

/* DEBUG RELOAD: all go before the file brings them back. Alone. */
void functions_clear(void);
/* The replay of a journal: it begins with the libraries that there are; do they equal the server's in the end? Alone. */
void functions_replay_begin(void);
bool functions_replay_same(void);

/* INFO and MEMORY STATS. */
uint64_t functions_memory(void);
uint64_t functions_vm_memory(void);

#endif
