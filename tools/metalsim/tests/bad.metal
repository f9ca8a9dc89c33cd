// One defect a kernel; test_bad.c says which message each must produce. Two threadgroups of 128 threads.
#include <metal_stdlib>
using namespace metal;
#define ARGS device float *x [[buffer(0)]], device float *y [[buffer(1)]], uint t [[thread_index_in_threadgroup]], \
    uint g [[thread_position_in_grid]], uint lane [[thread_index_in_simdgroup]], uint sg [[simdgroup_index_in_threadgroup]]
constant int FC_N [[function_constant(3)]];
struct four { float4 v[4]; };

kernel void good(ARGS) {
    threadgroup float s[128];
    s[t] = x[g];
    threadgroup_barrier(mem_flags::mem_threadgroup);
    y[g] = s[t ^ 1] + simd_sum(1.0f);
}
kernel void oob_read(ARGS) { y[g] = x[g + 1]; }
kernel void oob_write(ARGS) { y[g + (g == 255 ? 1u : 0u)] = x[g]; }
kernel void wild(ARGS) { y[g] = x[g + 100000000]; }
kernel void misaligned(ARGS) { device float4 *p = (device float4 *)(x + 1); y[g] = t ? x[g] : p->x; }
#define CLEAR s[t] = 0.0f; threadgroup_barrier(mem_flags::mem_threadgroup);
kernel void tg_race(ARGS) { threadgroup float s[128]; CLEAR s[t] = x[g]; y[g] = s[t ^ 32]; }
kernel void tg_race_lane(ARGS) { threadgroup float s[128]; CLEAR s[t] = x[g]; y[g] = s[t ^ 1]; }
kernel void tg_ok_simd(ARGS) { threadgroup float s[128]; s[t] = x[g]; simdgroup_barrier(mem_flags::mem_threadgroup); y[g] = s[t ^ 1]; }
kernel void tg_ww(ARGS) { threadgroup float s[4]; s[0] = x[g]; threadgroup_barrier(mem_flags::mem_threadgroup); y[g] = s[0]; }
kernel void tg_war(ARGS) {      // the classic: no barrier at the end of the loop body
    threadgroup float s[128]; float a = 0.0f;
    for (int i = 0; i < 2; i++) { s[t] = x[g] + (float)i; threadgroup_barrier(mem_flags::mem_threadgroup); a += s[t ^ 64]; }
    y[g] = a;
}
kernel void tg_wrong_flag(ARGS) { threadgroup float s[128]; CLEAR s[t] = x[g]; threadgroup_barrier(mem_flags::mem_device); y[g] = s[t ^ 64]; }
kernel void dev_wrong_flag(ARGS) { y[g] = x[g]; threadgroup_barrier(mem_flags::mem_threadgroup); x[g] = y[g ^ 1]; }
kernel void dev_ok_flag(ARGS) { y[g] = x[g]; threadgroup_barrier(mem_flags::mem_device); x[g] = y[g ^ 1]; }
kernel void tg_uninit(ARGS) { threadgroup float s[128]; if (t < 64) s[t] = 1.0f; threadgroup_barrier(mem_flags::mem_threadgroup); y[g] = s[t]; }
kernel void tg_oob(ARGS) { threadgroup float s[64]; s[t] = x[g]; threadgroup_barrier(mem_flags::mem_threadgroup); y[g] = s[t]; }
kernel void tg_too_big(ARGS) { threadgroup float s[8193]; s[t] = x[g]; y[g] = s[t]; }
kernel void bar_return(ARGS) { if (t == 5) return; threadgroup_barrier(mem_flags::mem_threadgroup); y[g] = x[g]; }
kernel void bar_branch(ARGS) {
    if (t < 64)
        threadgroup_barrier(mem_flags::mem_threadgroup);
    else
        threadgroup_barrier(mem_flags::mem_threadgroup);
    y[g] = x[g];
}
kernel void simd_branch(ARGS) {
    float s;
    if (lane < 16) s = simd_sum(1.0f);
    else
        s = simd_max(x[g]);
    y[g] = s;
}
kernel void simd_return(ARGS) { if (lane == 3) return; y[g] = simd_sum(x[g]); }
kernel void shuffle_range(ARGS) { y[g] = simd_shuffle(x[g], (ushort)(lane + 1)); }
kernel void dev_race(ARGS) { y[0] = x[g]; }
kernel void dev_race_group(ARGS) { if (t == 0) y[0] = x[g]; }
kernel void fc_unset(ARGS) { y[g] = x[g] * (float)FC_N; }
kernel void unbound(ARGS, device float *z [[buffer(7)]]) { y[g] = z[g]; }
kernel void too_small(constant four &f [[buffer(0)]], device float *y [[buffer(1)]], uint g [[thread_position_in_grid]]) { y[g] = f.v[0].x; }
[[max_total_threads_per_threadgroup(64)]] kernel void too_many(ARGS) { y[g] = x[g]; }

kernel void atomic_ok(device atomic_uint *n [[buffer(0)]]) { atomic_fetch_add_explicit(n, 1u, memory_order_relaxed); }
kernel void atomic_and_plain(ARGS) {
    atomic_fetch_add_explicit((device atomic_uint *)y, 1u, memory_order_relaxed);
    x[g] = y[0];
}
kernel void atomic_out_of_bounds(ARGS) {
    if (g == 0) atomic_fetch_add_explicit((device atomic_uint *)(y + 256), 1u, memory_order_relaxed);
    y[g] = x[g];
}
kernel void bytes_ok(ARGS) { ((device uchar *)y)[g] = (uchar)x[g]; } // neighbours write neighbouring bytes
kernel void barrier_loop(ARGS) { // lanes of one SIMD-group leave a loop with a barrier at different times
    for (uint i = 0; i <= (t & 1); i++) threadgroup_barrier(mem_flags::mem_threadgroup);
    y[g] = x[g];
}
kernel void matrix_partial(ARGS) {
    simdgroup_float8x8 a = simdgroup_float8x8(1.0f);
    if (lane < 16) simdgroup_multiply(a, a, a);
    y[g] = x[g];
}
kernel void shuffle_inactive(ARGS) {
    if (lane != 7) y[g] = simd_shuffle(x[g], (ushort)7);
}
