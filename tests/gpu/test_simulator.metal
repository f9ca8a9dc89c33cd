// For test_simulator.c: what a device must do, and mistakes that it must report.
#include "test_simulator.h"

constant uint FACTOR [[function_constant(0)]];
constant uint TERM [[function_constant(1)]];

[[max_total_threads_per_threadgroup(64)]] kernel void add(constant add_params &p [[buffer(0)]],
                                                          device const float *x [[buffer(1)]],
                                                          device float *y [[buffer(2)]],
                                                          uint t [[thread_position_in_grid]]) {
    if (t < p.n) y[t] = x[t] + p.value;
}

[[max_total_threads_per_threadgroup(32)]] kernel void constants(device uint *y [[buffer(1)]],
                                                                uint t [[thread_position_in_grid]]) {
    y[t] = y[t] * FACTOR + TERM;
}

// Where each thread is in the grid of threadgroups.
[[max_total_threads_per_threadgroup(32)]] kernel void places(device uint *y [[buffer(1)]],
                                                             uint3 group [[threadgroup_position_in_grid]],
                                                             uint3 groups [[threadgroups_per_grid]],
                                                             uint t [[thread_index_in_threadgroup]]) {
    y[((group.z * groups.y + group.y) * groups.x + group.x) * 32u + t] =
        group.x + 10u * group.y + 100u * group.z + 1000u * t;
}

// Every thread but the first of a threadgroup reads what another may have written already.
[[max_total_threads_per_threadgroup(64)]] kernel void race(device uint *y [[buffer(1)]],
                                                           uint t [[thread_index_in_threadgroup]]) {
    y[t] = t == 0u ? 1u : y[t - 1u] + 1u;
}
