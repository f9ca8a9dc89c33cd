/* Results in the form that tests/run.sh counts. */
#ifndef METALSIM_TESTS_REPORT_H
#define METALSIM_TESTS_REPORT_H

#include <stdbool.h>
#include <stdio.h>

static int n_tests, n_failed;

/* One test; why says what was seen if it failed. */
static inline void report_test(bool ok, const char *name, const char *why) {
    n_tests++;
    n_failed += !ok;
    if (ok)
        printf("[       OK ] %s\n", name);
    else
        printf("[  FAILED  ] %s: %s\n", name, why);
    fflush(stdout);
}

static inline int report_end(const char *suite) {
    printf("[==========] %s: %d test(s) run.\n", suite, n_tests);
    return n_failed != 0 || n_tests == 0;
}

#endif
