// One kernel a feature; test_values.c knows what each must write. 64 threads, two SIMD-groups.
#include <metal_stdlib>
using namespace metal;

#define ARGUMENTS                                                                                                      \
    device float *x [[buffer(0)]], device float *y [[buffer(1)]], uint t [[thread_position_in_grid]],                  \
        uint lane [[thread_index_in_simdgroup]]

constant float TABLE[4] = {1.0f, 10.0f, 100.0f, 1000.0f};
constant int SCALE [[function_constant(0)]];
constant bool NEGATE [[function_constant(1)]];
constant int OPTIONAL [[function_constant(2)]];

kernel void arithmetic(ARGUMENTS) {
    float4 v = float4(x[t], 2.0f, float2(3.0f, 4.0f));
    half4 h = half4(v);
    y[t] = dot(v, float4(1.0f)) + (float)h.w + clamp(x[t], 0.0f, 0.5f) + fma(x[t], 2.0f, 1.0f) + TABLE[t & 3] +
           (float)as_type<uint>(1.0f) * 0.0f + abs(-1.5f) + mix(0.0f, 4.0f, 0.25f);
}
kernel void vectors(ARGUMENTS) {
    int4 i = int4(float4(1.75f, -1.75f, 2.0f, 3.0f));
    float3 f = float3(packed_float3(float3(1.0f, 2.0f, 3.0f)));
    float4 s = select(float4(0.0f), float4(5.0f), float4(x[t]) > float4(31.5f));
    y[t] = (float)(i.x + i.y) + f.x + f.y + f.z + s.x + (any(s > float4(1.0f)) ? 0.5f : 0.0f);
}
kernel void reductions(ARGUMENTS) {
    y[t] = simd_sum(x[t]) + 1000.0f * simd_max(x[t]) + 100000.0f * simd_min(x[t]);
}
kernel void scans(ARGUMENTS) { y[t] = simd_prefix_exclusive_sum(1.0f) + 100.0f * simd_prefix_inclusive_sum(1.0f); }
kernel void shuffles(ARGUMENTS) {
    y[t] = simd_shuffle_xor(x[t], (ushort)1) + 100.0f * simd_broadcast(x[t], (ushort)5) +
           10000.0f * simd_shuffle_rotate_down(x[t], (ushort)1);
}
kernel void votes(ARGUMENTS) {
    y[t] = (float)(uint)(ulong)simd_ballot(lane < 4) + (simd_any(lane == 31) ? 0.5f : 0.0f);
}
kernel void undefined_shuffle(ARGUMENTS) { y[t] = simd_shuffle_down(x[t], (ushort)1); }
kernel void constants(ARGUMENTS) {
    float v = x[t] * (float)SCALE;
    if (NEGATE) v = -v;
    y[t] = is_function_constant_defined(OPTIONAL) ? v + (float)OPTIONAL : v;
}
kernel void atomics(device atomic_uint *counter [[buffer(0)]], device atomic_float *sum [[buffer(1)]],
                    uint t [[thread_position_in_grid]]) {
    atomic_fetch_add_explicit(counter, 1u, memory_order_relaxed);
    atomic_fetch_max_explicit(counter + 1, t, memory_order_relaxed);
    atomic_fetch_add_explicit(sum, (float)t, memory_order_relaxed);
}
kernel void threadgroup_argument(ARGUMENTS, threadgroup float *scratch [[threadgroup(0)]]) {
    scratch[t] = x[t];
    threadgroup_barrier(mem_flags::mem_threadgroup);
    y[t] = scratch[63 - t];
}

template <typename T> T doubled(T v) { return v + v; }
template <typename T>
kernel void generic(device T *x [[buffer(0)]], device T *y [[buffer(1)]], uint t [[thread_position_in_grid]]) {
    y[t] = doubled(T(x[t])) + (T)1;
}
template [[host_name("generic_float")]] kernel void generic<float>(device float *x [[buffer(0)]],
                                                                   device float *y [[buffer(1)]],
                                                                   uint t [[thread_position_in_grid]]);
typedef decltype(generic<float4>) generic_kernel_of_float4;
template [[host_name("generic_float4")]] kernel generic_kernel_of_float4 generic<float4>;

struct point {
    packed_float3 position;
    float weight;
};
kernel void structs(device point *p [[buffer(0)]], device float *y [[buffer(1)]], uint t [[thread_position_in_grid]]) {
    if (t >= 4) return;
    point copy = p[t];
    float3 at = float3(p[t].position);
    y[t] = at.x + at.y * 10.0f + p[t].position[2] * 100.0f + copy.weight * 1000.0f;
}
kernel void nonuniform(device float *y [[buffer(1)]], uint2 at [[thread_position_in_grid]],
                       uint2 size [[threads_per_grid]]) {
    y[at.y * size.x + at.x] = (float)(at.x + 100 * at.y);
}
