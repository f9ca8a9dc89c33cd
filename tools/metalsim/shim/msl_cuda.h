// CUDA mode: the same text through clang's NVPTX back-end, for a real GPU: real SIMD-groups (warps), barriers, races.
#pragma once
#define MSL_CUDA 1

#include "../executor/sim_parameter.h"

#include <stddef.h>
#include <stdint.h>
#include <type_traits>
#include <utility>

#define MSL_GLOBAL __attribute__((__global__))
#define MSL_DEVICE __attribute__((__device__))
#define MSL_SHARED __attribute__((__shared__))

// The one argument of a compiled kernel, by value. Kernel NAME is exported as k_NAME.
struct sim_arguments {
    char *buffer[31];
    uint32_t threadgroup_offset[8]; // of threadgroup arguments in dynamic shared memory
    uint32_t grid[3];               // threads, if the grid is nonuniform; else 0
};

extern "C" {
#define MSL_NVIDIA_1(name) MSL_DEVICE float __nv_##name##f(float);
#define MSL_NVIDIA_2(name) MSL_DEVICE float __nv_##name##f(float, float);
MSL_NVIDIA_1(exp)
MSL_NVIDIA_1(exp2)
MSL_NVIDIA_1(log)
MSL_NVIDIA_1(log2)
MSL_NVIDIA_1(log10)
MSL_NVIDIA_1(sin)
MSL_NVIDIA_1(cos)
MSL_NVIDIA_1(tan)
MSL_NVIDIA_1(asin)
MSL_NVIDIA_1(acos)
MSL_NVIDIA_1(atan)
MSL_NVIDIA_1(sinh)
MSL_NVIDIA_1(cosh)
MSL_NVIDIA_1(tanh)
MSL_NVIDIA_1(floor)
MSL_NVIDIA_1(ceil)
MSL_NVIDIA_1(round)
MSL_NVIDIA_1(rint)
MSL_NVIDIA_1(trunc)
MSL_NVIDIA_1(fabs)
MSL_NVIDIA_2(pow)
MSL_NVIDIA_2(fmin)
MSL_NVIDIA_2(fmax)
MSL_NVIDIA_2(fmod)
MSL_NVIDIA_2(atan2)
MSL_NVIDIA_2(copysign)
}
// libdevice's own would become the approximate instruction.
MSL_DEVICE static inline float __nv_sqrtf(float x) {
    return __nvvm_sqrt_rn_f(x);
}
#pragma clang force_cuda_host_device begin
#include "msl_arithmetic.h"

namespace metal {
static inline uint msl_thread_index() {
    return __nvvm_read_ptx_sreg_tid_x() +
           __nvvm_read_ptx_sreg_ntid_x() *
               (__nvvm_read_ptx_sreg_tid_y() + __nvvm_read_ptx_sreg_ntid_y() * __nvvm_read_ptx_sreg_tid_z());
}
static inline uint msl_lane() {
    return msl_thread_index() & 31;
}
static inline void threadgroup_barrier(mem_flags) {
    __syncthreads();
}
static inline void simdgroup_barrier(mem_flags) {
    __nvvm_bar_warp_sync(0xffffffffu);
}

// Shuffles move 32-bit words; other types go word by word.
template <class T, class Shuffle> static inline T msl_by_words(T x, Shuffle shuffle) {
    enum { N_WORDS = (sizeof(T) + 3) / 4 };
    int word[N_WORDS] = {0};
    __builtin_memcpy(word, &x, sizeof x);
    for (int i = 0; i < N_WORDS; i++) word[i] = shuffle(word[i]);
    __builtin_memcpy(&x, word, sizeof x);
    return x;
}
#define MSL_SHUFFLE_FUNCTION(name, instruction, bound)                                      \
    template <class T> static inline T name(T x, ushort k) {                                \
        return msl_by_words(x, [=](int word) { return instruction(~0u, word, k, bound); }); \
    }
MSL_SHUFFLE_FUNCTION(simd_shuffle, __nvvm_shfl_sync_idx_i32, 31)
MSL_SHUFFLE_FUNCTION(simd_shuffle_xor, __nvvm_shfl_sync_bfly_i32, 31)
MSL_SHUFFLE_FUNCTION(simd_shuffle_down, __nvvm_shfl_sync_down_i32, 31)
MSL_SHUFFLE_FUNCTION(simd_shuffle_up, __nvvm_shfl_sync_up_i32, 0)
template <class T> static inline T simd_broadcast(T x, ushort k) {
    return simd_shuffle(x, k);
}
template <class T> static inline T simd_broadcast_first(T x) {
    return simd_shuffle(x, 0);
}
template <class T> static inline T simd_shuffle_rotate_down(T x, ushort k) {
    return simd_shuffle(x, (ushort)((msl_lane() + k) & 31));
}
template <class T> static inline T simd_shuffle_rotate_up(T x, ushort k) {
    return simd_shuffle(x, (ushort)((msl_lane() - k) & 31));
}
#define MSL_REDUCTION(name, expression)               \
    template <class T> static inline T name(T a) {    \
        for (ushort step = 1; step < 32; step *= 2) { \
            T b = simd_shuffle_xor(a, step);          \
            a = expression;                           \
        }                                             \
        return a;                                     \
    }
MSL_REDUCTION(simd_sum, a + b)
MSL_REDUCTION(simd_product, a *b)
MSL_REDUCTION(simd_max, max(a, b))
MSL_REDUCTION(simd_min, min(a, b))
MSL_REDUCTION(simd_and, a &b)
MSL_REDUCTION(simd_or, a | b)
MSL_REDUCTION(simd_xor, a ^ b)
static inline bool simd_any(bool b) {
    return simd_or((uint)b) != 0;
}
static inline bool simd_all(bool b) {
    return simd_and((uint)b) != 0;
}
static inline bool simd_is_first() {
    return msl_lane() == 0;
}
struct simd_vote {
    ulong votes;
    explicit operator ulong() const { return votes; }
};
static inline simd_vote simd_ballot(bool b) {
    return {(ulong)simd_or(b ? 1u << msl_lane() : 0u)};
}
template <class T> static inline T simd_prefix_inclusive_sum(T a) {
    for (ushort step = 1; step < 32; step *= 2) {
        T b = simd_shuffle_up(a, step);
        if (msl_lane() >= step) a = a + b;
    }
    return a;
}
template <class T> static inline T simd_prefix_exclusive_sum(T a) {
    return simd_prefix_inclusive_sum(a) - a;
}

// ---- matrices in the layout of mma.sync's fragments: row lane / 4, columns 2 * (lane % 4) and the next ----
static inline uint msl_matrix_row() {
    return msl_lane() / 4;
}
static inline uint msl_matrix_column() {
    return msl_lane() % 4 * 2;
}
#include "msl_matrix.h"
template <class D, class A, class B, class C>
static inline void simdgroup_multiply_accumulate(simdgroup_matrix<D, 8, 8> &d, simdgroup_matrix<A, 8, 8> a,
                                                 simdgroup_matrix<B, 8, 8> b, simdgroup_matrix<C, 8, 8> c) {
    float sum0 = c.e[0], sum1 = c.e[1];
    uint lane = msl_lane();
    for (uint k = 0; k < 8; k++) {
        float x = simd_shuffle((float)a.e[k & 1], (ushort)((lane & ~3u) + k / 2));
        sum0 += x * simd_shuffle((float)b.e[0], (ushort)(k * 4 + lane % 4));
        sum1 += x * simd_shuffle((float)b.e[1], (ushort)(k * 4 + lane % 4));
    }
    d.e[0] = (D)sum0;
    d.e[1] = (D)sum1;
}
// By the tensor core: the upper half of m16n8k8 products. It adds to a sum by cutting bits off, always in one direction,
// so long sums would drift: each product begins at 0, and is added to the sum by an ordinary addition.
MSL_DEVICE static inline void simdgroup_multiply_accumulate(simdgroup_float8x8 &d, simdgroup_half8x8 a,
                                                            simdgroup_half8x8 b, simdgroup_float8x8 c) {
    uint a_bits = __builtin_bit_cast(uint, a.e), b_bits = __builtin_bit_cast(uint, b.e), b_columns;
    float product0, product1, unused0, unused1;
    // its B operand is wanted by columns
    asm volatile("movmatrix.sync.aligned.m8n8.trans.b16 %0, %1;" : "=r"(b_columns) : "r"(b_bits));
    asm volatile("mma.sync.aligned.m16n8k8.row.col.f32.f16.f16.f32 {%0,%1,%2,%3}, {%4,%5}, {%6}, {%7,%7,%7,%7};"
                 : "=f"(product0), "=f"(product1), "=f"(unused0), "=f"(unused1)
                 : "r"(a_bits), "r"(0), "r"(b_columns), "f"(0.0f));
    d.e[0] = c.e[0] + product0;
    d.e[1] = c.e[1] + product1;
}
// A float as the sum of two numbers with 11 bits (TF32); what is left is below the last place of a float.
struct msl_tf32_pair {
    uint high, low;
};
MSL_DEVICE static inline msl_tf32_pair msl_tf32_split(float x) {
    msl_tf32_pair pair;
    asm("cvt.rna.tf32.f32 %0, %1;" : "=r"(pair.high) : "f"(x));
    asm("cvt.rna.tf32.f32 %0, %1;" : "=r"(pair.low) : "f"(x - __builtin_bit_cast(float, pair.high)));
    return pair;
}
MSL_DEVICE static inline void msl_tf32_multiply(float (&sum)[2], uint a0, uint a1, uint b0, uint b1) {
    float sum0, sum1, unused0, unused1;
    asm volatile("mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32 {%0,%1,%2,%3}, {%4,%6,%5,%6}, {%7,%8}, "
                 "{%9,%10,%11,%11};"
                 : "=f"(sum0), "=f"(sum1), "=f"(unused0), "=f"(unused1)
                 : "r"(a0), "r"(a1), "r"(0), "r"(b0), "r"(b1), "f"(sum[0]), "f"(sum[1]), "f"(0.0f));
    sum[0] = sum0;
    sum[1] = sum1;
}
// Floats: (high + low) * (high + low) without low * low. The order of the eight columns of A, and rows of B, does not
// matter as long as both have the same: 0 2 4 6 1 3 5 7 leaves A's elements where they are.
MSL_DEVICE static inline void simdgroup_multiply_accumulate(simdgroup_float8x8 &d, simdgroup_float8x8 a,
                                                            simdgroup_float8x8 b, simdgroup_float8x8 c) {
    ushort column = (ushort)(msl_lane() / 4), from = (ushort)(msl_lane() % 4 * 8 + column / 2);
    float even0 = simd_shuffle(b.e[0], from), even1 = simd_shuffle(b.e[1], from);
    float odd0 = simd_shuffle(b.e[0], (ushort)(from + 4)), odd1 = simd_shuffle(b.e[1], (ushort)(from + 4));
    msl_tf32_pair a0 = msl_tf32_split(a.e[0]), a1 = msl_tf32_split(a.e[1]);
    msl_tf32_pair b0 = msl_tf32_split(column & 1 ? even1 : even0), b1 = msl_tf32_split(column & 1 ? odd1 : odd0);
    float sum[2] = {0.0f, 0.0f};
    msl_tf32_multiply(sum, a0.low, a1.low, b0.high, b1.high);
    msl_tf32_multiply(sum, a0.high, a1.high, b0.low, b1.low);
    msl_tf32_multiply(sum, a0.high, a1.high, b0.high, b1.high);
    d.e[0] = c.e[0] + sum[0];
    d.e[1] = c.e[1] + sum[1];
}
template <class D, class A, class B>
static inline void simdgroup_multiply(simdgroup_matrix<D, 8, 8> &d, simdgroup_matrix<A, 8, 8> a,
                                      simdgroup_matrix<B, 8, 8> b) {
    simdgroup_multiply_accumulate(d, a, b, simdgroup_matrix<D, 8, 8>((D)0));
}
} // namespace metal

// ---- what mslgen writes ----
#define SIM_PADDED(bytes) (bytes)
#define SIM_THREADGROUP_VARIABLE(id, name, size, ...) \
    static MSL_SHARED __attribute__((aligned(16))) __VA_ARGS__ name size
// The symbol is sim_constant_INDEX. A host sets it, or writes its value instead of the loads into the text of the PTX.
#define SIM_FUNCTION_CONSTANT(index, name, ...) \
    extern "C" __attribute__((__constant__)) __VA_ARGS__ name __asm__("sim_constant_" #index)
#define is_function_constant_defined(x) true // a host sets all
#define SIM_PARAMETERS(i) static constexpr struct sim_parameter sim_parameters_##i[]
#define SIM_RUN(i, p, host_name, ...)                                         \
    extern "C" MSL_GLOBAL void k_##host_name(const sim_arguments arguments) { \
        sim_call_kernel(&__VA_ARGS__, sim_parameters_##p, arguments);         \
    }
#define SIM_TABLE_BEGIN
#define SIM_ENTRY(i, p, host_name, n_parameters, max_threads, bytes)
#define SIM_TABLE_END

extern MSL_SHARED char sim_dynamic_memory[];
#define MSL_INLINE MSL_DEVICE static inline __attribute__((always_inline))

MSL_INLINE uint sim_axis(int kind, int axis, const sim_arguments &arguments) {
    const uint position[3] = {__nvvm_read_ptx_sreg_tid_x(), __nvvm_read_ptx_sreg_tid_y(), __nvvm_read_ptx_sreg_tid_z()};
    const uint n_threads[3] = {__nvvm_read_ptx_sreg_ntid_x(), __nvvm_read_ptx_sreg_ntid_y(),
                               __nvvm_read_ptx_sreg_ntid_z()};
    const uint group[3] = {__nvvm_read_ptx_sreg_ctaid_x(), __nvvm_read_ptx_sreg_ctaid_y(),
                           __nvvm_read_ptx_sreg_ctaid_z()};
    const uint groups[3] = {__nvvm_read_ptx_sreg_nctaid_x(), __nvvm_read_ptx_sreg_nctaid_y(),
                            __nvvm_read_ptx_sreg_nctaid_z()};
    switch (kind) {
    case SIM_THREAD_IN_GRID: return group[axis] * n_threads[axis] + position[axis];
    case SIM_THREAD_IN_GROUP: return position[axis];
    case SIM_THREADS_PER_GRID: return arguments.grid[axis] ? arguments.grid[axis] : n_threads[axis] * groups[axis];
    case SIM_THREADS_PER_GROUP: return n_threads[axis];
    case SIM_GROUP_IN_GRID: return group[axis];
    case SIM_GROUPS_PER_GRID: return groups[axis];
    case SIM_THREAD_INDEX: return metal::msl_thread_index();
    case SIM_SIMDGROUP_INDEX: return metal::msl_thread_index() / 32;
    case SIM_LANE: return metal::msl_lane();
    case SIM_SIMDGROUPS_PER_GROUP: return (n_threads[0] * n_threads[1] * n_threads[2] + 31) / 32;
    default: return 32;
    }
}
template <class A> struct sim_argument {
    MSL_DEVICE static A get(sim_parameter p, const sim_arguments &arguments) {
        typedef typename metal::msl_shape<A>::element element;
        A value;
        element *out = (element *)&value;
        for (int i = 0; i < metal::msl_shape<A>::width; i++) out[i] = (element)sim_axis(p.kind, i, arguments);
        return value;
    }
};
template <class T> struct sim_argument<T *> {
    MSL_DEVICE static T *get(sim_parameter p, const sim_arguments &arguments) {
        return (T *)(p.kind == SIM_THREADGROUP_MEMORY ? sim_dynamic_memory + arguments.threadgroup_offset[p.index]
                                                      : arguments.buffer[p.index]);
    }
};
template <class T> struct sim_argument<T &> {
    MSL_DEVICE static T &get(sim_parameter p, const sim_arguments &arguments) {
        return *(T *)arguments.buffer[p.index];
    }
};
template <class... A, size_t... I>
MSL_INLINE void sim_call_with(void (*kernel)(A...), const sim_parameter *p, const sim_arguments &arguments,
                              std::index_sequence<I...>) {
    kernel(sim_argument<A>::get(p[I], arguments)...);
}
template <class... A>
MSL_INLINE void sim_call_kernel(void (*kernel)(A...), const sim_parameter *p, const sim_arguments &arguments) {
    sim_call_with(kernel, p, arguments, std::make_index_sequence<sizeof...(A)>());
}
