/*
 * closed: which scripts can be seen, from their text alone, never to reach a key they do not declare.
 *
 * Such scripts never need everybody else to stop in their middle, so any number of them run at once (script.h). The test
 * errs on the safe side: what it does not understand is not closed. It understands redis.call() and redis.pcall() of
 * commands written as literals, whose keys are KEYS[number] or a local variable that is KEYS[number] for its whole life.
 *
 * Threads: any.
 */
#ifndef SERVER_SCRIPT_CLOSED_H
#define SERVER_SCRIPT_CLOSED_H

#include <stdbool.h>
#include <stddef.h>

bool closed_check(const char *text, size_t len);
/* The same of a library of functions, without its first line: of all of them together. Their keys are what the first
 * parameter of each of them is called, the same name in all. */
bool closed_check_library(const char *text, size_t len);

#endif
