/* list: what the files of the list commands share. */
#ifndef SERVER_COMMANDS_LIST_H
#define SERVER_COMMANDS_LIST_H

#include "server/commands/aggregate.h"
#include "store/types/list.h"

/* As the configuration has them. */
struct list_limits list_limits(void);
/* Reply with the element at an end and remove it. */
void list_pop_one(struct call *c, struct target *t, bool tail);
/* n elements have gone: the event, another form of the list, or no key any more. */
void list_removed(struct call *c, struct target *t, size_t n, const char *event);
/* Reply with n elements (as many as there are, at least one) as an array and remove them. false: nothing was removed. */
bool list_pop_many(struct call *c, struct target *t, bool tail, size_t n);

#endif
