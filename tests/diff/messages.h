/* messages: several clients that hear of what the others do: client-side caching, pub/sub, events of keys. */
#ifndef TESTS_DIFF_MESSAGES_H
#define TESTS_DIFF_MESSAGES_H

#include "tests/diff/gen.h"
#include "tests/diff/sides.h"

/* One run over MAX_CONNS connections of each side, which have begun, from g's seed; as schedule_run(). */
int messages_run(struct sides *s, struct gen *g, sides_fail *fail, void *ctx);

#endif
