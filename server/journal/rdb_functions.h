/*
 * rdb_functions: function libraries that came with RDB files, as the bytes they were: kept and written back, until
 * scripting takes them. Changes before the loops start or alone; reads on the writer thread of a snapshot, during which
 * nothing is added.
 */
#ifndef SERVER_JOURNAL_RDB_FUNCTIONS_H
#define SERVER_JOURNAL_RDB_FUNCTIONS_H

#include <stdbool.h>
#include <stddef.h>

bool rdb_functions_add(const void *code, size_t len); /* false: out of memory */
void rdb_functions_each(void (*fn)(void *ctx, const void *code, size_t len), void *ctx);
void rdb_functions_clear(void);
size_t rdb_functions_count(void);

#endif
