/*
 * number: text to numbers and back, exactly as the protocol's users see them.
 *
 * Invariants: a canonical integer is the one spelling that number_print() makes, so that a string is stored as an
 * integer only where its bytes come back unchanged. Doubles are printed in few digits that read back as the same value.
 * Ownership: buffers are the caller's; nothing printed is terminated, the length is returned.
 * Threads: all functions [any]; no state, no allocation, no locale but "C".
 */
#ifndef STORE_NUMBER_H
#define STORE_NUMBER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define NUMBER_MAX 20              /* bytes of the longest int64 or uint64 */
#define NUMBER_DOUBLE_MAX 40        /* bytes of the longest double */
#define NUMBER_LONG_DOUBLE_MAX 5120 /* room for any long double without an exponent */

/* Whether the n bytes are exactly what number_print() makes of an int64: no space, no plus, no leading zero, no "-0". */
bool number_parse(const void *bytes, size_t n, int64_t *val);
/* The same without a sign, up to 2^64 - 1. */
bool number_parse_uint(const void *bytes, size_t n, uint64_t *val);
/* Prints without a terminator; returns the length. */
size_t number_print(char buf[static NUMBER_MAX], int64_t val);
size_t number_print_uint(char buf[static NUMBER_MAX], uint64_t val);
/* Length that number_print() would return. */
size_t number_len(int64_t val);

/* The whole string as strtod() reads it: infinities and hexadecimal are welcome; NaN, spaces, overflow and underflow to
 * zero are not. */
bool number_parse_double(const char *s, size_t len, double *v);
/* Whole numbers up to 2^62 as digits; otherwise a form of 17 digits at most that reads back, with an exponent ("1e+25", "1e-7")
 * where that is shorter than zeros; "inf", "-inf", "nan". */
size_t number_print_double(char buf[static NUMBER_DOUBLE_MAX], double v);

/* The same without the rule for whole numbers: "1e+15", "-0". */
size_t number_print_shortest(char buf[static NUMBER_DOUBLE_MAX], double v);

/* As number_parse_double(); longer than NUMBER_LONG_DOUBLE_MAX - 1 bytes is refused. */
bool number_parse_long_double(const char *s, size_t len, long double *v);
/* 17 decimals, then without trailing zeros; never an exponent, never "-0". */
size_t number_print_long_double(char buf[static NUMBER_LONG_DOUBLE_MAX], long double v);

/* Bytes with a unit, without case: b k kb m mb g gb (k is 1000, kb is 1024); no sign. */
bool number_parse_memory(const char *s, size_t len, uint64_t *v);

#endif
