/* What kernels compute. test_values VALUES.so PRODUCTS.so [check] ; with "products" only the second library is used. */
#include "../executor/sim.h"
#include "report.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { N_THREADS = 64 };

/* ---- values.metal ---- */

static float *x, *y;

static void bind(struct sim_dispatch *dispatch, int index, void *memory, size_t bytes) {
    dispatch->buffer[index] = (struct sim_binding){memory, bytes, 0};
}

static int run_values(sim_library *library, const char *kernel) {
    struct sim_dispatch dispatch = {
        .library = library,
        .kernel = sim_library_kernel(library, kernel),
        .threads_per_group = {N_THREADS, 1, 1},
        .groups = {1, 1, 1},
        .threadgroup_bytes = {N_THREADS * sizeof(float)},
    };
    bind(&dispatch, 0, x, N_THREADS * sizeof *x);
    bind(&dispatch, 1, y, N_THREADS * sizeof *y);
    for (int i = 0; i < N_THREADS; i++) x[i] = (float)i;
    memset(y, 0, N_THREADS * sizeof *y);
    if (!dispatch.kernel) return -1;
    return sim_run(&dispatch);
}

/* What thread t of each kernel must write. */
static double arithmetic(int t) {
    static const double TABLE[4] = {1, 10, 100, 1000};
    return t + 9 + 4 + fmin(t, 0.5) + (2 * t + 1) + TABLE[t & 3] + 1.5 + 1;
}
static double vectors(int t) {
    return (1 - 1) + 6 + (t >= 32 ? 5.5 : 0);
}
static double reductions(int t) {
    int first = t / 32 * 32;
    return 32 * first + 31 * 32 / 2 + 1000.0 * (first + 31) + 100000.0 * first;
}
static double scans(int t) {
    return t % 32 + 100.0 * (t % 32 + 1);
}
static double shuffles(int t) {
    int first = t / 32 * 32;
    return (t ^ 1) + 100.0 * (first + 5) + 10000.0 * (first + (t + 1) % 32);
}
static double votes(int t) {
    (void)t;
    return 15.5;
}
static double threadgroup_argument(int t) {
    return 63 - t;
}
static double generic(int t) {
    return 2 * t + 1;
}

static void test_function(sim_library *library, const char *kernel, double (*expected)(int)) {
    char why[100] = "";
    int n_errors = run_values(library, kernel);
    bool ok = n_errors == 0;
    snprintf(why, sizeof why, "%d errors: %s", n_errors, sim_first_error());
    for (int t = 0; ok && t < N_THREADS; t++) {
        ok = fabs(y[t] - expected(t)) <= 1e-5 * fabs(expected(t));
        if (!ok) snprintf(why, sizeof why, "thread %d wrote %g, expected %g", t, (double)y[t], expected(t));
    }
    report_test(ok, kernel, why);
}

static void test_float4(sim_library *library) {
    struct sim_dispatch dispatch = {
        .library = library,
        .kernel = sim_library_kernel(library, "generic_float4"),
        .threads_per_group = {N_THREADS / 4, 1, 1},
        .groups = {1, 1, 1},
    };
    bind(&dispatch, 0, x, N_THREADS * sizeof *x);
    bind(&dispatch, 1, y, N_THREADS * sizeof *y);
    bool ok = dispatch.kernel && sim_run(&dispatch) == 0;
    for (int t = 0; t < N_THREADS; t++) ok &= y[t] == 2 * x[t] + 1;
    report_test(ok, "generic_float4", "wrong values");
}

static void test_undefined_shuffle(sim_library *library) {
    bool ok = run_values(library, "undefined_shuffle") == 0 && y[0] == 1 && y[30] == 31;
    float first = y[31];
    run_values(library, "undefined_shuffle");
    ok &= memcmp(&first, &y[63], sizeof first) != 0 && y[31] != x[31];
    report_test(ok, "a shuffle beyond the last lane gives noise", "it gave a value to rely on");
}

static void test_constants(const sim_library *original) {
    int scale = 3, optional = 7;
    bool yes = true;
    sim_library *library = sim_library_copy(original);
    report_test(run_values(library, "constants") > 0, "a function constant that is not set is an error", "no error");
    sim_library_set_constant(library, 0, &scale, sizeof scale);
    sim_library_set_constant(library, 1, &yes, 1);
    bool ok = run_values(library, "constants") == 0 && y[5] == -15;
    sim_library *other = sim_library_copy(original);
    sim_library_set_constant(other, 0, &scale, sizeof scale);
    sim_library_set_constant(other, 1, &yes, 1);
    sim_library_set_constant(other, 2, &optional, sizeof optional);
    ok &= run_values(other, "constants") == 0 && y[5] == -8;
    ok &= run_values(library, "constants") == 0 && y[5] == -15;
    report_test(ok, "copies of a library have function constants of their own", sim_first_error());
    sim_library_close(library);
    sim_library_close(other);
}

static void test_atomics(sim_library *library) {
    struct sim_dispatch dispatch = {
        .library = library,
        .kernel = sim_library_kernel(library, "atomics"),
        .threads_per_group = {N_THREADS, 1, 1},
        .groups = {4, 1, 1},
    };
    uint32_t counter[2] = {0};
    float sum = 0;
    bind(&dispatch, 0, counter, sizeof counter);
    bind(&dispatch, 1, &sum, sizeof sum);
    bool ok = sim_run(&dispatch) == 0 && counter[0] == 256 && counter[1] == 255 && sum == 255 * 128;
    report_test(ok, "atomics", sim_first_error());
}

static void test_structs(sim_library *library) {
    struct {
        float position[3], weight;
    } point[4];
    for (int i = 0; i < 4; i++) {
        for (int k = 0; k < 3; k++) point[i].position[k] = (float)(i + k);
        point[i].weight = (float)i;
    }
    struct sim_dispatch dispatch = {
        .library = library,
        .kernel = sim_library_kernel(library, "structs"),
        .threads_per_group = {32, 1, 1},
        .groups = {1, 1, 1},
    };
    bind(&dispatch, 0, point, sizeof point);
    bind(&dispatch, 1, y, N_THREADS * sizeof *y);
    bool ok = sim_run(&dispatch) == 0;
    for (int i = 0; i < 4; i++) ok &= y[i] == (float)(i + 10 * (i + 1) + 100 * (i + 2) + 1000 * i);
    report_test(ok, "structs with packed members", sim_first_error());
}

static void test_nonuniform(sim_library *library) {
    struct sim_dispatch dispatch = {
        .library = library,
        .kernel = sim_library_kernel(library, "nonuniform"),
        .threads_per_group = {4, 4, 1},
        .grid = {7, 5, 1},
    };
    bind(&dispatch, 1, y, 35 * sizeof *y);
    bool ok = sim_run(&dispatch) == 0;
    for (int i = 0; i < 35; i++) ok &= y[i] == (float)(i % 7 + 100 * (i / 7));
    report_test(ok, "a grid that is no multiple of the threadgroup", sim_first_error());
}

static void test_values(sim_library *library) {
    x = sim_memory_new(N_THREADS * sizeof *x);
    y = sim_memory_new(N_THREADS * sizeof *y);
    test_function(library, "arithmetic", arithmetic);
    test_function(library, "vectors", vectors);
    test_function(library, "reductions", reductions);
    test_function(library, "scans", scans);
    test_function(library, "shuffles", shuffles);
    test_function(library, "votes", votes);
    test_function(library, "threadgroup_argument", threadgroup_argument);
    test_function(library, "generic_float", generic);
    test_float4(library);
    test_undefined_shuffle(library);
    test_constants(library);
    test_atomics(library);
    test_structs(library);
    test_nonuniform(library);
}

/* ---- products.metal ---- */

struct block_q8_0 {
    _Float16 d;
    int8_t qs[32];
};

static double random_number(void) {
    return rand() / (double)RAND_MAX * 2 - 1;
}

static void test_product(sim_library *library, bool matrix, int n, int rows, int cols) {
    int n_blocks = n / 32, n_weights = rows * n_blocks;
    struct block_q8_0 *w = sim_memory_new((size_t)n_weights * sizeof *w);
    float *input = sim_memory_new((size_t)(cols * n) * sizeof *input);
    float *output = sim_memory_new((size_t)(cols * rows) * sizeof *output);
    for (int i = 0; i < n_weights; i++) {
        w[i].d = (_Float16)(0.01 * (1 + rand() % 8));
        for (int k = 0; k < 32; k++) w[i].qs[k] = (int8_t)(rand() % 255 - 127);
    }
    for (int i = 0; i < cols * n; i++) input[i] = (float)random_number();

    uint32_t arguments[3] = {(uint32_t)n, (uint32_t)rows, (uint32_t)cols};
    struct sim_dispatch dispatch = {
        .library = library,
        .kernel = sim_library_kernel(library, matrix ? "matrix_q8_0" : "vector_q8_0"),
        .threads_per_group = {128, 1, 1},
        .groups = {(uint32_t)(matrix ? rows / 64 : (rows + 15) / 16), (uint32_t)(matrix ? cols / 32 : 1), 1},
    };
    bind(&dispatch, 0, arguments, matrix ? 12 : 8);
    bind(&dispatch, 1, w, (size_t)n_weights * sizeof *w);
    bind(&dispatch, 2, input, (size_t)(cols * n) * sizeof *input);
    bind(&dispatch, 3, output, (size_t)(cols * rows) * sizeof *output);
    int n_errors = sim_run(&dispatch);

    double largest = 0, difference = 0;
    for (int c = 0; c < cols; c++)
        for (int r = 0; r < rows; r++) {
            double sum = 0;
            for (int k = 0; k < n; k++) {
                const struct block_q8_0 *b = &w[r * n_blocks + k / 32];
                sum += (double)b->d * b->qs[k % 32] * (double)input[c * n + k];
            }
            largest = fmax(largest, fabs(sum));
            difference = fmax(difference, fabs(sum - (double)output[c * rows + r]));
        }
    char why[200];
    snprintf(why, sizeof why, "%d errors (%s), difference %g of %g", n_errors, sim_first_error(), difference, largest);
    report_test(n_errors == 0 && difference < (matrix ? 2e-3 : 1e-5) * largest, dispatch.kernel->name, why);
    sim_memory_free(w, (size_t)n_weights * sizeof *w);
    sim_memory_free(input, (size_t)(cols * n) * sizeof *input);
    sim_memory_free(output, (size_t)(cols * rows) * sizeof *output);
}

int main(int argc, char **argv) {
    const char *why = "";
    if (argc < 3) return 2;
    bool only_products = strcmp(argv[1], "-") == 0;
    sim_library *values = only_products ? NULL : sim_library_open(argv[1], &why);
    sim_library *products = sim_library_open(argv[2], &why);
    if ((!values && !only_products) || !products) {
        fprintf(stderr, "test_values: %s\n", why);
        return 2;
    }
    sim_options.check = argc > 3;
    sim_options.max_printed = 0;
    for (sim_options.order = 0; sim_options.order < 3; sim_options.order++) {
        if (values) test_values(values);
        test_product(products, false, 128, 70, 1);
        test_product(products, true, 64, 64, 32);
    }
    return report_end(sim_options.check ? "values, checked" : "values");
}
