/* How fast this machine reads memory: the limit of everything that has to read its weights. */
#ifndef BASE_BANDWIDTH_H
#define BASE_BANDWIDTH_H

#include "ds4.h"

/* Unless told otherwise a gibibyte is read: more than processors have as cache. */
#define BANDWIDTH_DEFAULT_BYTES ((size_t)1 << 30)
#define BANDWIDTH_MIN_BYTES ((size_t)1 << 20)

/* The fastest of at least five passes for each of three orders in which n_threads threads together read n_bytes of
 * memory (0: the default, but not more than a quarter of what is available). Takes about a second. */
ds4_status bandwidth_measure(int n_threads, size_t n_bytes, double *bytes_per_second, ds4_error *error);

#endif
