/* Golden records as tests use them: what fails in here fails the test. */
#ifndef SUPPORT_RECORDS_H
#define SUPPORT_RECORDS_H

#include "support/d4g.h"

#include <stdbool.h>

d4g_file *records_open(const char *path);
const d4g_record *named_record(const d4g_file *file, const char *name);
/* The values of the record of that name, which has n of them: floats or integers. */
const float *float_record(const d4g_file *file, const char *name, size_t n);
const int32_t *int_record(const d4g_file *file, const char *name, size_t n);

/* NaN counts as infinitely far. */
float largest_difference(const float *a, const float *b, size_t n);
double root_mean_square(const float *x, size_t n);
/* The largest difference is at most limit times the expected values' root mean square. */
void check_close(const char *what, const float *actual, const float *expected, size_t n, double limit);
/* Equal as numbers: -0 is 0. */
void check_equal(const char *what, const float *actual, const float *expected, size_t n);

#endif
