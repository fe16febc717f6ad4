/*
 * plain: scripts that only read their globals, which is most of them, and what that saves: a plain script needs no proxies
 * between it and the libraries, and its tables KEYS and ARGV serve the next one again, as it neither changes nor keeps
 * them.
 *
 * A script is plain if its bytecode sets no global, names none that leads to others (_G, load), and reads of those that are
 * tables nothing but a field, at once, into the register where the table was.
 *
 * Threads: those of the interpreter.
 */
#ifndef SERVER_SCRIPT_PLAIN_H
#define SERVER_SCRIPT_PLAIN_H

#include <lua5.1/lua.h>
#include <stdbool.h>

#include "server/call.h"

#define PLAIN_KEPT 16 /* a longer KEYS or ARGV is made anew */

/* KEYS or ARGV. */
struct plain_table {
	int ref;
	unsigned n;                     /* fields that may be set */
	struct arg strings[PLAIN_KEPT]; /* Lua's own, which the table holds */
};

/* Whether the compiled function on the top of the stack is plain. */
bool plain_check(lua_State *L);
/* The globals of plain scripts, on the stack: those of the table on the top of the stack, without the proxies. The real
 * table of a proxy is its metatable's __index. */
void plain_open(lua_State *L, struct plain_table *keys, struct plain_table *args);
/* Fill KEYS or ARGV of the globals with this reference. Raises. */
void plain_fill(lua_State *L, int globals, const char *name, struct plain_table *t, const struct arg *v, unsigned n);

#endif
