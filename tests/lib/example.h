/* example: a program of net/examples as a child process. Programs print the address that they listen on first. */
#ifndef TESTS_LIB_EXAMPLE_H
#define TESTS_LIB_EXAMPLE_H

#include <sys/types.h>

/* Start build/examples/<name>, found from argv0 of the test, with up to three arguments (NULL ends them); its pid, and the
 * port of its first address. */
pid_t example_start(const char *argv0, const char *name, const char *a, const char *b, const char *d, int *port);
void example_stop(pid_t pid);

#endif
