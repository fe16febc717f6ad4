/*
 * glob: pattern matching as KEYS, SCAN MATCH, PSUBSCRIBE and ACL key patterns do it.
 *
 *   *      any run of bytes          ?      one byte
 *   [abc]  one of them, [a-z] a range, [^a] none of them; a class that is not closed ends with the pattern
 *   \x     x itself; at the very end a backslash
 *
 * Bytes are compared as signed char within ranges. nocase folds ASCII letters, though not those escaped within a class.
 *
 * Never recursive. A pattern whose parts between stars are plain bytes takes time linear in pattern and string; others
 * are cut off after GLOB_MAX_STEPS comparisons and then answer "no match". [any]
 */
#ifndef STORE_GLOB_H
#define STORE_GLOB_H

#include <stdbool.h>
#include <stddef.h>

#define GLOB_MAX_STEPS (1u << 22)

bool glob_match(const char *pattern, size_t plen, const char *str, size_t slen, bool nocase);
/* Whether the pattern is `*`, which needs no matching. */
static inline bool glob_is_all(const char *pattern, size_t plen)
{
	return plen == 1 && *pattern == '*';
}
/* Whether the pattern holds no special byte, so that it matches only itself. */
bool glob_is_literal(const char *pattern, size_t plen);

#endif
