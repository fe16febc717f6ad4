/* selftest: small histories whose verdict is known. */
#ifndef TESTS_LINEAR_SELFTEST_H
#define TESTS_LINEAR_SELFTEST_H

/* How many went wrong, each told on stderr; *n: of how many. */
unsigned selftest(unsigned *n);

#endif
