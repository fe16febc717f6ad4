/*
 * grisu: decimal digits of a double that read back as the same double, by the algorithm Grisu2 (F. Loitsch, "Printing
 * Floating-Point Numbers Quickly and Accurately with Integers", 2010). 99.9 % of its results are the shortest possible.
 *
 * Servers of version 7.2 print with the same algorithm and the same choice of powers, so that the few results with a
 * digit too many, and the ties, are theirs, too. [any]
 */
#ifndef STORE_IMPL_GRISU_H
#define STORE_IMPL_GRISU_H

#define GRISU_DIGITS 20

/* v is finite and above 0. Fills digits, returns their number; the value is digits * 10^*exp. */
int grisu_digits(double v, char digits[static GRISU_DIGITS], int *exp);

#endif
