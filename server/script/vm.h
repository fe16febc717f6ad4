/*
 * vm: one loop's Lua interpreter: the sandbox and what Redis gives to scripts. Internal to script/.
 *
 * What a script sees of the world is an allow-list; shared tables are proxies that refuse writes, so that no script can
 * leave anything behind for another one. Sources alone are loaded, never bytecode.
 *
 * Threads: its loop, or whoever runs alone.
 */
#ifndef SERVER_SCRIPT_VM_H
#define SERVER_SCRIPT_VM_H

#include <lua5.1/lauxlib.h>
#include <lua5.1/lua.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "server/call.h"
#include "server/script/plain.h"

struct script;
struct library;
struct script_job;

enum vm_kind { VM_EVAL, VM_FUNCTIONS };

struct vm {
	lua_State *L;
	size_t memory;        /* bytes that the interpreter holds */
	enum vm_kind kind;
	int *refs;            /* compiled sources, by script->id or library->id; 0: not yet */
	unsigned nrefs;
	bool unlimited;       /* outside of protected calls: an error would end the process */
	struct client *client; /* in whose name scripts call */
	struct reply reply;    /* of the command being called */
	unsigned runs;
	size_t settled;        /* memory that the collector leaves, round for round */
	size_t last_round;     /* what was left by the last one that was helped */
	int globals, plain_globals, handler, start; /* references of what every run needs */
	struct plain_table keys, args;              /* of plain scripts */
	bool cjson_changed;    /* by a script, for itself */
};

/* What runs now on this thread; NULL: nothing. */
struct run {
	struct vm *vm;
	struct call *call;
	const struct script_job *job;
	const struct arg *argv; /* of the call, for others to read once it is slow */
	unsigned argc;
	bool read_only, wrote, oom;
	bool no_effects; /* redis.set_repl(REPL_NONE) */
	bool aborted;
	bool began; /* its own code runs: what is raised from now on gets its place */
	uint64_t start_ticks;
	int64_t start_us, served_us; /* known once the clock was looked at */
	unsigned repl;
};
extern _Thread_local struct run *run_current;

extern size_t vm_memory_max; /* of one interpreter */

struct vm *vm_new(enum vm_kind kind);
void vm_free(struct vm *vm);
/* The loop's, as far as it has one. script.c */
struct vm *script_vm(unsigned loop);
/* After a run: what the script set for itself goes back. */
void vm_tidy(struct vm *vm);
/* Put the compiled source on the stack. false: its error message is there instead. */
bool vm_load(struct vm *vm, struct script *s);
/* Room for the source with this id in vm->refs. */
bool vm_room_for(struct vm *vm, unsigned id);
/* Replace the table on the top of the stack by a proxy that refuses writes. */
void vm_protect(lua_State *L);
/* Give the table on the top of the stack a metatable that raises an error where it has no such field. */
void vm_strict(lua_State *L);

/* script.c: what runs a struct script_job, its argument, protected, and the handler of its errors. */
int script_start(lua_State *L);
int script_error_handler(lua_State *L);

/* api.c: the table `redis`, on the stack. */
void api_open(lua_State *L, enum vm_kind kind);
/* What a library sees while it is loaded, without functions: the logging and the version. */
void api_open_loading(lua_State *L);
/* Error handler of scripts: turns what was raised into a table {err, source, line}. */
int api_error_handler(lua_State *L);
/* The table of an error that a command replied. */
void api_push_error(lua_State *L, const char *text, size_t len);
/* Raise {err = "ERR text"}. */
int api_raise(lua_State *L, const char *text);

/* function_api.c: what libraries need in their interpreter; part of its building. */
void function_api_open(lua_State *L);

/* call.c: redis.call() and redis.pcall(). */
int call_command(lua_State *L, bool raise);

/* convert.c: a reply's bytes onto the stack; the value on the top of the stack as a reply (popped). */
const char *convert_to_lua(lua_State *L, const char *p, const char *end);
void convert_to_reply(lua_State *L, struct reply *r, int resp);

/* Libraries on the stack. */
int luaopen_struct(lua_State *L);
int luaopen_cmsgpack(lua_State *L);
int luaopen_bit(lua_State *L);

#endif
