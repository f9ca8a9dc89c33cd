/* Every defect of bad.metal must be reported, by the right message, in three orders of threads; the kernels without a
 * defect must not be. test_bad BAD.so */
#include "../executor/sim.h"
#include "report.h"

#include <string.h>

static const struct {
    const char *kernel;
    const char *message; /* "": none */
} EXPECTED[] = {
    {"correct", ""},
    {"ordered_by_simdgroup_barrier", ""},
    {"device_barrier", ""},
    {"neighbouring_bytes", ""},
    {"atomic_counter", ""},
    {"threadgroup_memory_wrong_flag", "data race"},
    {"device_memory_wrong_flag", "on a device buffer"},
    {"read_out_of_bounds", "out of bounds: 4-byte read"},
    {"write_out_of_bounds", "out of bounds: 4-byte write"},
    {"wild_read", "wild 4-byte read"},
    {"misaligned_read", "misaligned"},
    {"race_between_simdgroups", "on threadgroup memory"},
    {"race_between_lanes", "data race"},
    {"all_threads_write", "data race (write/write) on threadgroup"},
    {"no_barrier_at_the_end_of_a_loop", "data race"},
    {"half_of_it_unwritten", "uninitialised threadgroup"},
    {"threadgroup_out_of_bounds", "out of bounds: threadgroup"},
    {"threadgroup_memory_too_big", "threadgroup memory: 32784 bytes"},
    {"barrier_after_a_return", "barrier divergence"},
    {"barriers_in_two_branches", "barrier divergence"},
    {"barrier_in_an_uneven_loop", "barrier divergence"},
    {"simd_operations_in_two_branches", "diverged"},
    {"simd_operation_after_a_return", "after 1 lane"},
    {"shuffle_out_of_range", "lane 32 out of range"},
    {"shuffle_without_a_lane", "SIMD operation"},
    {"matrix_with_half_of_the_lanes", "SIMD operation"},
    {"device_race", "on a device buffer"},
    {"device_race_between_groups", "on a device buffer"},
    {"atomic_and_plain_access", "on a device buffer"},
    {"atomic_out_of_bounds", "out of bounds: 4-byte atomic access"},
    {"unset_function_constant", "function constant SCALE(3) is not set"},
    {"unbound_buffer", "buffer 7 is not bound"},
    {"buffer_too_small", "argument needs 64"},
    {"too_many_threads", "the limit is 64"},
};

enum { N_FLOATS = 256 };

static int run(sim_library *library, const char *kernel, float *x, float *y) {
    memset(x, 0, N_FLOATS * sizeof *x);
    memset(y, 0, N_FLOATS * sizeof *y);
    struct sim_dispatch dispatch = {
        .library = library,
        .kernel = sim_library_kernel(library, kernel),
        .threads_per_group = {128, 1, 1},
        .groups = {2, 1, 1},
    };
    dispatch.buffer[0] = (struct sim_binding){(char *)x, N_FLOATS * sizeof *x, 0};
    dispatch.buffer[1] = (struct sim_binding){(char *)y, N_FLOATS * sizeof *y, 0};
    if (strcmp(kernel, "buffer_too_small") == 0) dispatch.buffer[0].bytes = 16;
    return sim_run(&dispatch);
}

int main(int argc, char **argv) {
    const char *why = "";
    sim_library *library = argc == 2 ? sim_library_open(argv[1], &why) : NULL;
    if (!library) {
        fprintf(stderr, "usage: test_bad BAD.so %s\n", why);
        return 2;
    }
    float *x = sim_memory_new(N_FLOATS * sizeof *x), *y = sim_memory_new(N_FLOATS * sizeof *y);
    sim_options.check = true;
    sim_options.max_printed = 0;
    report_test(sim_library_is_checked(library), "the library says that it has checks", "it does not");
    for (size_t i = 0; i < sizeof EXPECTED / sizeof *EXPECTED; i++)
        for (int order = 0; order < 3; order++) {
            char name[100];
            sim_options.order = order;
            int n_errors = run(library, EXPECTED[i].kernel, x, y);
            bool wanted = EXPECTED[i].message[0] != '\0';
            bool ok = wanted ? n_errors > 0 && strstr(sim_first_error(), EXPECTED[i].message) : n_errors == 0;
            snprintf(name, sizeof name, "%s, order %d", EXPECTED[i].kernel, order);
            report_test(ok, name, sim_first_error());
        }
    return report_end("bad kernels");
}
