// CPU mode: MSL as C++14 for the executor. A thread is one of its fibers.
#pragma once

#include <type_traits>
#include <utility>

#include "../executor/sim_kernel.h"
#define MSL_SEE_ATOMIC(pointer) sim_atomic_access(pointer, 4)
#include "msl_arithmetic.h"

// Code that the executor runs for all lanes: its accesses are not the kernel's.
#define MSL_UNSEEN __attribute__((no_sanitize("thread"))) static
// The call's line, as a default argument: it tells operations apart, and goes into messages.
#define MSL_LINE int line = __builtin_LINE()

namespace metal {
// [[function_constant(n)]]: given its value before a dispatch.
template <class T> struct msl_function_constant {
    T value;
    mutable sim_function_constant constant_;
    msl_function_constant(int index, const char *name) : value() {
        constant_ = {index, 0, sizeof(T), name, &value, nullptr};
        sim_register_function_constant(&constant_);
    }
    operator T() const {
        if (__builtin_expect(!constant_.is_set, 0))
            sim_error("function constant %s(%d) is not set", constant_.name, constant_.index);
        return value;
    }
};
#define is_function_constant_defined(x) ((x).constant_.is_set != 0)

static inline void threadgroup_barrier(mem_flags flags, MSL_LINE) {
    sim_barrier((int)flags, line);
}
static inline void simdgroup_barrier(mem_flags flags, MSL_LINE) {
    sim_simd_barrier((int)flags, line);
}

// ---- SIMD-group operations ----
template <class T> struct msl_lane {
    T in, out;
    int selector; // of shuffles
};
static inline bool msl_takes_part(uint32_t lanes, int lane) {
    return lanes >> lane & 1;
}

struct msl_sum {
    template <class T> static T of(T a, T b) { return a + b; }
};
struct msl_product {
    template <class T> static T of(T a, T b) { return a * b; }
};
struct msl_max {
    template <class T> static T of(T a, T b) { return max(a, b); }
};
struct msl_min {
    template <class T> static T of(T a, T b) { return min(a, b); }
};
struct msl_and {
    template <class T> static T of(T a, T b) { return a & b; }
};
struct msl_or {
    template <class T> static T of(T a, T b) { return a | b; }
};
struct msl_xor {
    template <class T> static T of(T a, T b) { return a ^ b; }
};

// In the order of a butterfly, which is what the hardware's sums look like most.
template <class Operation, class T> MSL_UNSEEN void msl_reduce(void **argument, uint32_t lanes) {
    T value[SIM_LANES];
    bool has[SIM_LANES];
    for (int i = 0; i < SIM_LANES; i++) {
        has[i] = msl_takes_part(lanes, i);
        if (has[i]) value[i] = ((msl_lane<T> *)argument[i])->in;
    }
    for (int step = 1; step < SIM_LANES; step *= 2)
        for (int i = 0; i < SIM_LANES; i += 2 * step) {
            if (!has[i + step]) continue;
            value[i] = has[i] ? Operation::of(value[i], value[i + step]) : value[i + step];
            has[i] = true;
        }
    for (int i = 0; i < SIM_LANES; i++)
        if (msl_takes_part(lanes, i)) ((msl_lane<T> *)argument[i])->out = value[0];
}
#define MSL_REDUCTION(name, operation)                       \
    template <class T> static inline T name(T x, MSL_LINE) { \
        msl_lane<T> me{x, T(), 0};                           \
        sim_simd(msl_reduce<operation, T>, &me, line);       \
        return me.out;                                       \
    }
MSL_REDUCTION(simd_sum, msl_sum)
MSL_REDUCTION(simd_product, msl_product)
MSL_REDUCTION(simd_max, msl_max)
MSL_REDUCTION(simd_min, msl_min)
MSL_REDUCTION(simd_and, msl_and)
MSL_REDUCTION(simd_or, msl_or)
MSL_REDUCTION(simd_xor, msl_xor)

template <bool Inclusive, class T> MSL_UNSEEN void msl_scan(void **argument, uint32_t lanes) {
    T sum = T(0);
    for (int i = 0; i < SIM_LANES; i++) {
        if (!msl_takes_part(lanes, i)) continue;
        msl_lane<T> *lane = (msl_lane<T> *)argument[i];
        T before = sum;
        sum = sum + lane->in;
        lane->out = Inclusive ? sum : before;
    }
}
template <class T> static inline T simd_prefix_inclusive_sum(T x, MSL_LINE) {
    msl_lane<T> me{x, T(), 0};
    sim_simd(msl_scan<true, T>, &me, line);
    return me.out;
}
template <class T> static inline T simd_prefix_exclusive_sum(T x, MSL_LINE) {
    msl_lane<T> me{x, T(), 0};
    sim_simd(msl_scan<false, T>, &me, line);
    return me.out;
}

// Which lane a lane reads. Down and up may leave the SIMD-group: the value is undefined then, so give noise.
enum msl_shuffle_kind { MSL_SHUFFLE, MSL_XOR, MSL_DOWN, MSL_UP, MSL_ROTATE_DOWN, MSL_ROTATE_UP };
template <msl_shuffle_kind Kind> static inline int msl_source(int lane, int selector) {
    switch (Kind) {
    case MSL_SHUFFLE: return selector;
    case MSL_XOR: return lane ^ selector;
    case MSL_DOWN: return lane + selector;
    case MSL_UP: return lane - selector;
    case MSL_ROTATE_DOWN: return (lane + selector) & 31;
    case MSL_ROTATE_UP: return (lane - selector) & 31;
    }
}
template <class T> MSL_UNSEEN void msl_make_noise(T *value) {
    for (size_t i = 0; i < sizeof *value; i++) ((unsigned char *)value)[i] = (unsigned char)sim_random();
}
template <msl_shuffle_kind Kind, class T> MSL_UNSEEN void msl_shuffle(void **argument, uint32_t lanes) {
    for (int i = 0; i < SIM_LANES; i++) {
        if (!msl_takes_part(lanes, i)) continue;
        msl_lane<T> *lane = (msl_lane<T> *)argument[i];
        int source = msl_source<Kind>(i, lane->selector);
        bool in_range = source >= 0 && source < SIM_LANES;
        if (!in_range && Kind != MSL_DOWN && Kind != MSL_UP) sim_error("SIMD shuffle: lane %d out of range", source);
        if (in_range && !msl_takes_part(lanes, source)) {
            sim_error("SIMD shuffle reads inactive lane %d", source);
            in_range = false;
        }
        if (in_range)
            lane->out = ((msl_lane<T> *)argument[source])->in;
        else
            msl_make_noise(&lane->out);
    }
}
#define MSL_SHUFFLE_FUNCTION(name, kind)                                      \
    template <class T> static inline T name(T x, ushort selector, MSL_LINE) { \
        msl_lane<T> me{x, T(), selector};                                     \
        sim_simd(msl_shuffle<kind, T>, &me, line);                            \
        return me.out;                                                        \
    }
MSL_SHUFFLE_FUNCTION(simd_shuffle, MSL_SHUFFLE)
MSL_SHUFFLE_FUNCTION(simd_broadcast, MSL_SHUFFLE)
MSL_SHUFFLE_FUNCTION(simd_shuffle_xor, MSL_XOR)
MSL_SHUFFLE_FUNCTION(simd_shuffle_down, MSL_DOWN)
MSL_SHUFFLE_FUNCTION(simd_shuffle_up, MSL_UP)
MSL_SHUFFLE_FUNCTION(simd_shuffle_rotate_down, MSL_ROTATE_DOWN)
MSL_SHUFFLE_FUNCTION(simd_shuffle_rotate_up, MSL_ROTATE_UP)
template <class T> static inline T simd_broadcast_first(T x, MSL_LINE) {
    return simd_broadcast(x, 0, line);
}
static inline bool simd_any(bool b, MSL_LINE) {
    return simd_or((uint)b, line) != 0;
}
static inline bool simd_all(bool b, MSL_LINE) {
    return simd_and((uint)b, line) != 0;
}
static inline bool simd_is_first() {
    return sim_thread_now->lane == 0;
}
struct simd_vote {
    ulong votes;
    explicit operator ulong() const { return votes; }
};
static inline simd_vote simd_ballot(bool b, MSL_LINE) {
    return {(ulong)simd_or(b ? 1u << sim_thread_now->lane : 0u, line)};
}

// ---- matrices: two elements a lane, side by side. Which lane has which is undocumented: kernels must not care. ----
static constexpr inline int msl_row(int lane) {
    return (lane / 4 & 4) + lane / 2 % 4;
}
static constexpr inline int msl_column(int lane) {
    return (lane / 4 & 2) * 2 + lane % 2 * 2;
}
static inline uint msl_matrix_row() {
    return (uint)msl_row((int)sim_thread_now->lane);
}
static inline uint msl_matrix_column() {
    return (uint)msl_column((int)sim_thread_now->lane);
}
#include "msl_matrix.h"

template <class D, class A, class B, class C> struct msl_product_operands {
    simdgroup_matrix<D, 8, 8> *d;
    const simdgroup_matrix<A, 8, 8> *a;
    const simdgroup_matrix<B, 8, 8> *b;
    const simdgroup_matrix<C, 8, 8> *c; // null for none
};
// A matrix gathered from the lanes, as rows for the CPU's vector unit.
template <class T> union msl_whole_matrix {
    typedef T row_type __attribute__((ext_vector_type(8)));
    T element[8][8];
    row_type row[8];
};
#define MSL_FOR_EACH_LANE _Pragma("clang loop unroll(full)") for (int lane = 0; lane < SIM_LANES; lane++)
template <class D, class A, class B, class C> MSL_UNSEEN void msl_multiply(void **argument, uint32_t lanes) {
    typedef float float_row __attribute__((ext_vector_type(8)));
    msl_product_operands<D, A, B, C> **operands = (msl_product_operands<D, A, B, C> **)argument;
    if (lanes != 0xffffffffu) {
        sim_error("simdgroup_matrix operation with inactive lanes");
        return;
    }
    msl_whole_matrix<A> a;
    msl_whole_matrix<B> b;
    msl_whole_matrix<C> c;
    msl_whole_matrix<D> d;
    MSL_FOR_EACH_LANE {
        __builtin_memcpy(&a.element[msl_row(lane)][msl_column(lane)], operands[lane]->a->e, 2 * sizeof(A));
        __builtin_memcpy(&b.element[msl_row(lane)][msl_column(lane)], operands[lane]->b->e, 2 * sizeof(B));
    }
    if (operands[0]->c) {
        MSL_FOR_EACH_LANE
        __builtin_memcpy(&c.element[msl_row(lane)][msl_column(lane)], operands[lane]->c->e, 2 * sizeof(C));
    } else {
        for (int row = 0; row < 8; row++) c.row[row] = (C)0;
    }
    float_row b_row[8];
    for (int k = 0; k < 8; k++) b_row[k] = __builtin_convertvector(b.row[k], float_row);
    for (int row = 0; row < 8; row++) {
        float_row a_row = __builtin_convertvector(a.row[row], float_row);
        float_row sum = __builtin_convertvector(c.row[row], float_row);
        for (int k = 0; k < 8; k++) sum += a_row[k] * b_row[k];
        d.row[row] = __builtin_convertvector(sum, typename msl_whole_matrix<D>::row_type);
    }
    MSL_FOR_EACH_LANE
    __builtin_memcpy(operands[lane]->d->e, &d.element[msl_row(lane)][msl_column(lane)], 2 * sizeof(D));
}
template <class D, class A, class B, class C>
static inline void simdgroup_multiply_accumulate(simdgroup_matrix<D, 8, 8> &d, const simdgroup_matrix<A, 8, 8> &a,
                                                 const simdgroup_matrix<B, 8, 8> &b, const simdgroup_matrix<C, 8, 8> &c,
                                                 MSL_LINE) {
    msl_product_operands<D, A, B, C> operands{&d, &a, &b, &c};
    sim_simd(msl_multiply<D, A, B, C>, &operands, line);
}
template <class D, class A, class B>
static inline void simdgroup_multiply(simdgroup_matrix<D, 8, 8> &d, const simdgroup_matrix<A, 8, 8> &a,
                                      const simdgroup_matrix<B, 8, 8> &b, MSL_LINE) {
    msl_product_operands<D, A, B, D> operands{&d, &a, &b, nullptr};
    sim_simd(msl_multiply<D, A, B, D>, &operands, line);
}
} // namespace metal

// ---- what mslgen writes ----
#define SIM_PADDED(bytes) (((bytes) + 15) / 16 * 16)
#define SIM_THREADGROUP_VARIABLE(id, name, size, ...) \
    __VA_ARGS__(&name)                                \
    size = *(__VA_ARGS__(*) size)sim_threadgroup_variable(id, sizeof(__VA_ARGS__ size), alignof(__VA_ARGS__))
#define SIM_FUNCTION_CONSTANT(index, name, ...) static metal::msl_function_constant<__VA_ARGS__> name(index, #name)
#define SIM_PARAMETERS(i) static const struct sim_parameter sim_parameters_##i[]
#define SIM_RUN(i, p, host_name, ...)                      \
    static void sim_run_##i() {                            \
        sim_call_kernel(&__VA_ARGS__, sim_parameters_##p); \
    }
#define SIM_TABLE_BEGIN extern "C" const struct sim_kernel SIM_TABLE[] = {
#define SIM_ENTRY(i, p, host_name, n_parameters, max_threads, bytes) \
    {host_name, sim_run_##i, sim_parameters_##p, n_parameters, max_threads, bytes},
#define SIM_TABLE_END                      \
    { nullptr, nullptr, nullptr, 0, 0, 0 }                                                                             \
    }                                      \
    ;
#if __has_feature(thread_sanitizer)
extern "C" const int SIM_HAS_CHECKS = 1;
#endif

// ---- calling a kernel with arguments from the table ----
static inline uint32_t sim_scalar(int kind) {
    switch (kind) {
    case SIM_THREAD_INDEX: return sim_thread_now->index;
    case SIM_SIMDGROUP_INDEX: return sim_thread_now->simdgroup;
    case SIM_LANE: return sim_thread_now->lane;
    case SIM_SIMDGROUPS_PER_GROUP: return sim_group_now->n_simdgroups;
    default: return SIM_LANES;
    }
}
static inline const uint32_t *sim_vector(int kind) {
    switch (kind) {
    case SIM_THREAD_IN_GRID: return sim_thread_now->in_grid;
    case SIM_THREAD_IN_GROUP: return sim_thread_now->in_group;
    case SIM_THREADS_PER_GRID: return sim_group_now->grid;
    case SIM_THREADS_PER_GROUP: return sim_group_now->threads;
    case SIM_GROUP_IN_GRID: return sim_group_now->in_grid;
    case SIM_GROUPS_PER_GRID: return sim_group_now->groups;
    default: return nullptr;
    }
}
template <class A> struct sim_argument {
    static A get(const sim_parameter &p) {
        typedef typename metal::msl_shape<A>::element element;
        const uint32_t *vector = sim_vector(p.kind);
        const uint32_t scalar = vector ? 0 : sim_scalar(p.kind);
        A value;
        element *out = (element *)&value;
        for (int i = 0; i < metal::msl_shape<A>::width; i++) out[i] = (element)(vector ? vector[i] : scalar);
        return value;
    }
};
template <class T> struct sim_argument<T *> {
    static T *get(const sim_parameter &p) {
        return (T *)(p.kind == SIM_THREADGROUP_MEMORY ? sim_threadgroup_argument(p.index)
                                                      : sim_buffer(p.index, 0, alignof(T)));
    }
};
template <class T> struct sim_argument<T &> {
    static T &get(const sim_parameter &p) { return *(T *)sim_buffer(p.index, sizeof(T), alignof(T)); }
};
template <class... A, size_t... I>
static inline void sim_call_with(void (*kernel)(A...), const sim_parameter *p, std::index_sequence<I...>) {
    kernel(sim_argument<A>::get(p[I])...);
}
template <class... A> static inline void sim_call_kernel(void (*kernel)(A...), const sim_parameter *p) {
    sim_call_with(kernel, p, std::make_index_sequence<sizeof...(A)>());
}
