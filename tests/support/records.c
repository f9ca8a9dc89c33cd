#include "support/records.h"

#include "test.h"

#include <math.h>

d4g_file *records_open(const char *path) {
    d4g_file *file = d4g_open(path);
    if (!file) fail_msg("%s: no records", path);
    return file;
}

const d4g_record *named_record(const d4g_file *file, const char *name) {
    const d4g_record *record = d4g_find(file, name);
    if (!record) fail_msg("no record '%s'", name);
    return record;
}

static const d4g_record *record_of(const d4g_file *file, const char *name, size_t n, bool is_int) {
    const d4g_record *record = named_record(file, name);
    if (record->n != n || !record->is_int == is_int)
        fail_msg("record '%s': %zu %s, expected %zu %s", name, record->n, record->is_int ? "integers" : "floats", n,
                 is_int ? "integers" : "floats");
    return record;
}

const float *float_record(const d4g_file *file, const char *name, size_t n) {
    return record_of(file, name, n, false)->f;
}

const int32_t *int_record(const d4g_file *file, const char *name, size_t n) {
    return record_of(file, name, n, true)->i;
}

float largest_difference(const float *a, const float *b, size_t n) {
    float largest = 0;
    for (size_t i = 0; i < n; i++) {
        float difference = fabsf(a[i] - b[i]);
        if (isnan(difference)) return INFINITY;
        if (difference > largest) largest = difference;
    }
    return largest;
}

double root_mean_square(const float *x, size_t n) {
    double sum = 0;
    for (size_t i = 0; i < n; i++) sum += (double)x[i] * (double)x[i];
    return sqrt(sum / (double)n);
}

void check_close(const char *what, const float *actual, const float *expected, size_t n, double limit) {
    double relative = (double)largest_difference(actual, expected, n) / root_mean_square(expected, n);
    if (!(relative <= limit)) fail_msg("%s: %.3g of the rms away, at most %.3g expected", what, relative, limit);
}

void check_equal(const char *what, const float *actual, const float *expected, size_t n) {
    for (size_t i = 0; i < n; i++)
        if (!(actual[i] == expected[i]))
            fail_msg("%s: value %zu is %.9g, expected %.9g", what, i, (double)actual[i], (double)expected[i]);
}
