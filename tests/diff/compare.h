/*
 * compare: whether two replies say the same, and which differences are intended.
 */
#ifndef TESTS_DIFF_COMPARE_H
#define TESTS_DIFF_COMPARE_H

#include "tests/diff/gen.h"

bool replies_agree(enum compare how, struct resp_bytes a, struct resp_bytes b);

/* The allow-list: see tests/diff/allow.txt. 0, or -1 with a text on stderr. */
int allow_load(const char *path);
/* Whether the difference is intended; printable forms. */
bool allow_matches(const char *oracle, const char *command, const char *ours, const char *theirs);
/* How often each entry was used, on stdout. */
void allow_print(void);

#endif
