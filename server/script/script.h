/*
 * script: Lua scripts: the cache of sources, where they run, and what they may do.
 *
 * Sources are shared by all loops and named by the SHA-1 of their text; each loop has an interpreter of its own (vm.h)
 * and compiles a source when it first runs it. A script runs with the locks of its declared keys, in parallel with other
 * commands, but one script at a time: it may have to stop everybody else in its middle, when it reaches for a key that is
 * locked by another loop or for a command that must be alone (exec_upgrade), and two such could wait for each other. A
 * script that had to do so for a command runs alone from its start the next time. Scripts that can be seen to stay within
 * their declared keys (closed.h) are not counted: any number of them run at once.
 *
 * Threads: loops. Sources are added by any loop, dropped alone.
 */
#ifndef SERVER_SCRIPT_SCRIPT_H
#define SERVER_SCRIPT_SCRIPT_H

#include "server/call.h"

enum script_flag {
	SCRIPT_NO_WRITES = 1,
	SCRIPT_ALLOW_OOM = 2,
	SCRIPT_ALLOW_STALE = 4,
	SCRIPT_NO_CLUSTER = 8,
	SCRIPT_ALLOW_CROSS_SLOT = 16,
};

#define SCRIPT_SHA 40

struct vm;
struct lua_State;

struct script {
	struct script *next; /* in the cache's chain */
	unsigned id;         /* dense, until the cache is flushed */
	char sha[SCRIPT_SHA + 1];
	bool declares;       /* begins with #!lua: flags count */
	unsigned flags;
	bool closed;         /* never needs everybody else to stop: closed.h */
	bool runs_alone;     /* learned; relaxed */
	bool checked, plain; /* only reads its globals: plain.h; known once it was compiled */
	size_t len, skip;    /* of the text; of its first line, if that is a shebang */
	char text[];
};

extern int script_look_every; /* instructions between two looks at the clock */

int script_init(unsigned loops);
void script_free(void);

/* The source of this text, compiled and added if it is new. NULL: *error is a reply (malloc'ed). Its loop. */
struct script *script_add(const char *text, size_t len, char **error);
/* By SHA-1 in hexadecimal digits; NULL: unknown. */
struct script *script_find(const char *sha, size_t len);
/* Drop all sources and interpreters. Alone. */
void script_flush(void);
void script_sha(const void *text, size_t len, char sha[static SCRIPT_SHA + 1]);

/* Class and locks of EVAL and its like; takes the right to run a script. */
enum exec_class script_plan(struct call *c, struct store_lockset *locks);
/* Run it with the keys and arguments of c->argv behind the number of keys (argv[2]). */
void script_run(struct call *c, struct script *s, bool read_only);

/* One run of something: a script, a function. */
struct script_job {
	const char *name; /* in error messages */
	unsigned flags;
	bool declares;    /* flags count */
	bool closed;      /* it has no right to stop the others */
	bool function;
	bool *runs_alone; /* learned; relaxed */
	struct vm *vm;    /* NULL: out of memory */
	/* Put what is to be called and its arguments on the stack, and say how many arguments; raise what is wrong. Runs
	 * protected. */
	int (*push)(struct lua_State *L, const struct script_job *job);
	void *what;
	const struct arg *keys, *args;
	unsigned nkeys, nargs;
};
/* The words of a script's first line, which ends with a line feed; split as an inline command is. false: quotes that are
 * not closed. Free words->v and *scratch. */
bool script_split(const char *line, size_t len, struct resp_args *words, void **scratch);

/* Command flags: what a script or function with these flags may do. */
uint32_t script_command_flags(uint32_t command, unsigned flags);
/* flags_for of EVAL and its like. */
uint32_t script_flags_for(const struct command *cmd, const struct arg *argv, unsigned argc);

/* The second halves of script_plan() and script_run(): job->keys and args are filled from c->argv. */
enum exec_class script_plan_job(struct call *c, struct store_lockset *locks, const bool *runs_alone, bool closed);
void script_run_job(struct call *c, struct script_job *job, bool read_only);
/* The number of keys, argv[2], fits; otherwise error was replied: what is no number. */
bool script_keys_ok(struct call *c, const char *error);

/* Whether this loop took the right to run a script that may have to stop the others. */
bool script_has_right(void);

/* It was planned, but cannot run: give back what script_plan() took. */
void script_give_up(struct call *c);

/* SCRIPT KILL, FUNCTION KILL: "" done, or the error reply. */
const char *script_kill(bool function);
/* Tests: commands with CMD_NOSCRIPT may be called, too, as far as they are not of the session. Alone. */
void script_allow_denied(bool on);
/* Why others are refused while a script runs for too long. */
const char *script_busy_text(void);
/* End whatever is slow, even if it has written: its effects are dropped. The process ends. */
void script_abort(void);
/* The beginning of FUNCTION STATS: a map of two, its first pair says which function runs for too long. "" done, or the
 * error reply: a script does. */
const char *script_reply_stats(struct reply *r);

/* INFO and MEMORY STATS. */
uint64_t script_count(void);
uint64_t script_memory(void);    /* of the sources */
uint64_t script_vm_memory(void); /* of the interpreters */

#endif
