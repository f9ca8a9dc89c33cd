// One defect a kernel; test_bad.c says which message each must produce. Two threadgroups of 128 threads.
#include <metal_stdlib>
using namespace metal;
#define ARGUMENTS                                                                                         \
    device float *x [[buffer(0)]], device float *y [[buffer(1)]], uint t [[thread_index_in_threadgroup]], \
        uint g [[thread_position_in_grid]], uint lane [[thread_index_in_simdgroup]],                      \
        uint sg [[simdgroup_index_in_threadgroup]]
constant int SCALE [[function_constant(3)]];
struct four {
    float4 v[4];
};

kernel void correct(ARGUMENTS) {
    threadgroup float s[128];
    s[t] = x[g];
    threadgroup_barrier(mem_flags::mem_threadgroup);
    y[g] = s[t ^ 1] + simd_sum(1.0f);
}

kernel void read_out_of_bounds(ARGUMENTS) {
    y[g] = x[g + 1];
}

kernel void write_out_of_bounds(ARGUMENTS) {
    y[g + (g == 255 ? 1u : 0u)] = x[g];
}

kernel void wild_read(ARGUMENTS) {
    y[g] = x[g + 100000000];
}

kernel void misaligned_read(ARGUMENTS) {
    device float4 *p = (device float4 *)(x + 1);
    y[g] = t ? x[g] : p->x;
}
#define CLEAR    \
    s[t] = 0.0f; \
    threadgroup_barrier(mem_flags::mem_threadgroup)

kernel void race_between_simdgroups(ARGUMENTS) {
    threadgroup float s[128];
    CLEAR;
    s[t] = x[g];
    y[g] = s[t ^ 32];
}

kernel void race_between_lanes(ARGUMENTS) {
    threadgroup float s[128];
    CLEAR;
    s[t] = x[g];
    y[g] = s[t ^ 1];
}

kernel void ordered_by_simdgroup_barrier(ARGUMENTS) {
    threadgroup float s[128];
    s[t] = x[g];
    simdgroup_barrier(mem_flags::mem_threadgroup);
    y[g] = s[t ^ 1];
}

kernel void all_threads_write(ARGUMENTS) {
    threadgroup float s[4];
    s[0] = x[g];
    threadgroup_barrier(mem_flags::mem_threadgroup);
    y[g] = s[0];
}

kernel void no_barrier_at_the_end_of_a_loop(ARGUMENTS) { // the classic: no barrier at the end of the loop body
    threadgroup float s[128];
    float a = 0.0f;
    for (int i = 0; i < 2; i++) {
        s[t] = x[g] + (float)i;
        threadgroup_barrier(mem_flags::mem_threadgroup);
        a += s[t ^ 64];
    }
    y[g] = a;
}

kernel void threadgroup_memory_wrong_flag(ARGUMENTS) {
    threadgroup float s[128];
    CLEAR;
    s[t] = x[g];
    threadgroup_barrier(mem_flags::mem_device);
    y[g] = s[t ^ 64];
}

kernel void device_memory_wrong_flag(ARGUMENTS) {
    y[g] = x[g];
    threadgroup_barrier(mem_flags::mem_threadgroup);
    x[g] = y[g ^ 1];
}

kernel void device_barrier(ARGUMENTS) {
    y[g] = x[g];
    threadgroup_barrier(mem_flags::mem_device);
    x[g] = y[g ^ 1];
}

kernel void half_of_it_unwritten(ARGUMENTS) {
    threadgroup float s[128];
    if (t < 64) s[t] = 1.0f;
    threadgroup_barrier(mem_flags::mem_threadgroup);
    y[g] = s[t];
}

kernel void threadgroup_out_of_bounds(ARGUMENTS) {
    threadgroup float s[64];
    s[t] = x[g];
    threadgroup_barrier(mem_flags::mem_threadgroup);
    y[g] = s[t];
}

kernel void threadgroup_memory_too_big(ARGUMENTS) {
    threadgroup float s[8193];
    s[t] = x[g];
    y[g] = s[t];
}

kernel void barrier_after_a_return(ARGUMENTS) {
    if (t == 5) return;
    threadgroup_barrier(mem_flags::mem_threadgroup);
    y[g] = x[g];
}

kernel void barriers_in_two_branches(ARGUMENTS) {
    if (t < 64)
        threadgroup_barrier(mem_flags::mem_threadgroup);
    else
        threadgroup_barrier(mem_flags::mem_threadgroup);
    y[g] = x[g];
}

kernel void simd_operations_in_two_branches(ARGUMENTS) {
    float s;
    if (lane < 16)
        s = simd_sum(1.0f);
    else
        s = simd_max(x[g]);
    y[g] = s;
}

kernel void simd_operation_after_a_return(ARGUMENTS) {
    if (lane == 3) return;
    y[g] = simd_sum(x[g]);
}

kernel void shuffle_out_of_range(ARGUMENTS) {
    y[g] = simd_shuffle(x[g], (ushort)(lane + 1));
}

kernel void device_race(ARGUMENTS) {
    y[0] = x[g];
}

kernel void device_race_between_groups(ARGUMENTS) {
    if (t == 0) y[0] = x[g];
}

kernel void unset_function_constant(ARGUMENTS) {
    y[g] = x[g] * (float)SCALE;
}

kernel void unbound_buffer(ARGUMENTS, device float *z [[buffer(7)]]) {
    y[g] = z[g];
}

kernel void buffer_too_small(constant four &f [[buffer(0)]], device float *y [[buffer(1)]],
                             uint g [[thread_position_in_grid]]) {
    y[g] = f.v[0].x;
}

[[max_total_threads_per_threadgroup(64)]] kernel void too_many_threads(ARGUMENTS) {
    y[g] = x[g];
}

kernel void atomic_counter(device atomic_uint *n [[buffer(0)]]) {
    atomic_fetch_add_explicit(n, 1u, memory_order_relaxed);
}

kernel void atomic_and_plain_access(ARGUMENTS) {
    atomic_fetch_add_explicit((device atomic_uint *)y, 1u, memory_order_relaxed);
    x[g] = y[0];
}

kernel void atomic_out_of_bounds(ARGUMENTS) {
    if (g == 0) atomic_fetch_add_explicit((device atomic_uint *)(y + 256), 1u, memory_order_relaxed);
    y[g] = x[g];
}

kernel void neighbouring_bytes(ARGUMENTS) {
    ((device uchar *)y)[g] = (uchar)x[g];
} // neighbours write neighbouring bytes

kernel void
barrier_in_an_uneven_loop(ARGUMENTS) { // lanes of one SIMD-group leave a loop with a barrier at different times
    for (uint i = 0; i <= (t & 1); i++) threadgroup_barrier(mem_flags::mem_threadgroup);
    y[g] = x[g];
}

kernel void matrix_with_half_of_the_lanes(ARGUMENTS) {
    simdgroup_float8x8 a = simdgroup_float8x8(1.0f);
    if (lane < 16) simdgroup_multiply(a, a, a);
    y[g] = x[g];
}

kernel void shuffle_without_a_lane(ARGUMENTS) {
    if (lane != 7) y[g] = simd_shuffle(x[g], (ushort)7);
}
