/*
 * rdb_functions: the sources of function libraries, for those who write files: RDB files and the base of a log. Sources
 * are immutable and counted, so that what a snapshot took at its cut stays while libraries come and go.
 *
 * Threads: added and removed alone or by the thread that loads the data set; a cut is taken by the same, and then belongs
 * to whoever writes it.
 */
#ifndef SERVER_JOURNAL_RDB_FUNCTIONS_H
#define SERVER_JOURNAL_RDB_FUNCTIONS_H

#include <stdbool.h>
#include <stddef.h>

struct rdb_library {
	size_t len;
	const char *code;
};

/* The bytes are copied; it belongs to the caller until rdb_library_free(). NULL: out of memory. Any thread. */
struct rdb_library *rdb_library_new(const void *code, size_t len);
void rdb_library_free(struct rdb_library *lib);

/* Files are to have it, until it is removed. */
void rdb_functions_add(struct rdb_library *lib);
void rdb_functions_remove(struct rdb_library *lib);
void rdb_functions_clear(void);
size_t rdb_functions_count(void);

/* What there is now, in the order in which it was added. NULL: out of memory. */
struct rdb_functions_cut *rdb_functions_cut(void);
void rdb_functions_each(const struct rdb_functions_cut *cut, void (*fn)(void *ctx, const void *code, size_t len), void *ctx);
void rdb_functions_free(struct rdb_functions_cut *cut);

/* Who gets the libraries of files that are loaded: NULL or what is wrong with one. Before the loops start; without it they
 * are only kept. */
void rdb_functions_on_load(const char *(*fn)(const void *code, size_t len, bool replace));
const char *rdb_functions_load(const void *code, size_t len, bool replace);

#endif
