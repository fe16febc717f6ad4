/* schedule: several clients that wait for each other, on all sides alike. */
#ifndef TESTS_DIFF_SCHEDULE_H
#define TESTS_DIFF_SCHEDULE_H

#include "tests/diff/gen.h"
#include "tests/diff/sides.h"

/* One schedule over MAX_CONNS connections of each side, which have begun, from g's seed. `what` of a difference is all
 * that was sent. 0; -1: a difference was reported, or a server is gone. */
int schedule_run(struct sides *s, struct gen *g, sides_fail *fail, void *ctx);

#endif
