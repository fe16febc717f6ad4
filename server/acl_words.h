/* acl_words: what acl_user.c and acl_rules.c share: the parts of a user that is being built. Private to those two. */
#ifndef SERVER_ACL_WORDS_H
#define SERVER_ACL_WORDS_H

#include "server/acl_user.h"

/* Blanks and NUL end words: no name and no pattern may hold one. */
bool acl_has_blanks(const char *s, size_t len);

/* false: out of memory. */
bool acl_words_add(struct acl_words *w, const char *word, size_t len);
long acl_words_find(const struct acl_words *w, const char *word, size_t len); /* -1: not there */
void acl_words_remove(struct acl_words *w, unsigned i);
void acl_words_clear(struct acl_words *w);

/* Nothing allowed, but the channels that acl-pubsub-default allows. */
struct acl_selector *acl_selector_new(void);
void acl_selector_free(struct acl_selector *s);
bool acl_selector_add_key(struct acl_selector *s, const char *pattern, size_t len, unsigned access);
void acl_selector_clear_keys(struct acl_selector *s);
bool acl_selector_add_first(struct acl_selector *s, uint32_t command, const char *word);
/* Those of one command, or (NULL) all. */
void acl_selector_drop_firsts(struct acl_selector *s, const struct command *of);
bool acl_user_add_selector(struct acl_user *u, struct acl_selector *take);

#endif
