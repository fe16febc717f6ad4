/* fields: names, not values, of what INFO and CLIENT LIST tell: whatever the oracle has, Shoal has. */
#ifndef TESTS_DIFF_FIELDS_H
#define TESTS_DIFF_FIELDS_H

#include "tests/diff/sides.h"

/* Begun. What is missing is reported through fail(). */
void fields_compare(struct sides *s, sides_fail *fail, void *ctx);

#endif
