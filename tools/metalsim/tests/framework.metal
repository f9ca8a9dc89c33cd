// Kernels for test_framework.c: y[t] = something of x[t], 64 threads.
#include <metal_stdlib>
using namespace metal;

constant int STEP [[function_constant(0)]];

kernel void add(device const float *x [[buffer(0)]], device float *y [[buffer(1)]], constant uint &n [[buffer(2)]],
                uint t [[thread_position_in_grid]]) {
    if (t < n) y[t] = x[t] + 1.0f;
}
kernel void add_step(device const float *x [[buffer(0)]], device float *y [[buffer(1)]],
                     uint t [[thread_position_in_grid]]) {
    y[t] = x[t] + (float)STEP;
}
kernel void lower_half(device float *y [[buffer(1)]], uint t [[thread_position_in_grid]]) {
    if (t < 32) y[t] = 1.0f;
}
kernel void upper_half(device float *y [[buffer(1)]], uint t [[thread_position_in_grid]]) {
    if (t >= 32) y[t] = 2.0f;
}
kernel void count(device atomic_uint *n [[buffer(0)]]) { atomic_fetch_add_explicit(n, 1u, memory_order_relaxed); }
kernel void reverse(device float *y [[buffer(1)]], threadgroup float *scratch [[threadgroup(0)]],
                    uint t [[thread_position_in_threadgroup]]) {
    scratch[t] = y[t];
    threadgroup_barrier(mem_flags::mem_threadgroup);
    y[t] = scratch[63 - t];
}
[[max_total_threads_per_threadgroup(64)]] kernel void small(device float *y [[buffer(1)]],
                                                            uint t [[thread_position_in_grid]]) {
    y[t] = 0.0f;
}
kernel void too_much_memory(device float *y [[buffer(1)]], uint t [[thread_position_in_grid]]) {
    threadgroup float s[9000];
    s[t] = y[t];
    y[t] = s[t];
}
