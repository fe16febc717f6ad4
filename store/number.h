/*
 * number: canonical decimal integers, the ones that may be stored as integers and printed back unchanged. [any]
 */
#ifndef STORE_NUMBER_H
#define STORE_NUMBER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define NUMBER_MAX 20 /* bytes of the longest int64 */

/* Whether the n bytes are exactly what number_print() makes of an int64: no space, no plus, no leading zero, no "-0". */
bool number_parse(const void *bytes, size_t n, int64_t *val);
/* Prints without a terminator; returns the length. */
size_t number_print(char buf[static NUMBER_MAX], int64_t val);
/* Length that number_print() would return. */
size_t number_len(int64_t val);

#endif
