// Strict mode: declarations only, for clang's "C++ for OpenCL 2021" front-end (clang -x clcpp -fsyntax-only). MSL's
// own front-end has the same ancestor: address spaces are part of the language, half is native, an unsuffixed literal
// is float. What is not declared here does not exist: unknown built-in functions are errors.
#pragma once
#pragma clang system_header
#pragma OPENCL EXTENSION cl_khr_fp16 : enable
// Names of functions as template arguments are legal in MSL; variables that hold one are refused by check_ast.
#pragma OPENCL EXTENSION __cl_clang_function_pointers : enable

#define device __global
#define constant __constant
#define threadgroup __local
#define thread __private
#define MSL_KERNEL __kernel
// OpenCL has these names as built-in types.
#define atomic_int msl_atomic_int
#define atomic_uint msl_atomic_uint
#define atomic_float msl_atomic_float

#define MSL_INDEX_OPERATORS(V)                               \
    __global V &operator[](int i) __global {                 \
        return c[i];                                         \
    }                                                        \
    const __global V &operator[](int i) const __global {     \
        return c[i];                                         \
    }                                                        \
    __local V &operator[](int i) __local {                   \
        return c[i];                                         \
    }                                                        \
    const __local V &operator[](int i) const __local {       \
        return c[i];                                         \
    }                                                        \
    const __constant V &operator[](int i) const __constant { \
        return c[i];                                         \
    }                                                        \
    __private V &operator[](int i) __private {               \
        return c[i];                                         \
    }                                                        \
    const __private V &operator[](int i) const __private {   \
        return c[i];                                         \
    }
#define MSL_ON_EVERY_SPACE(X) X(__global) X(__local) X(__constant) X(__private)
#include "msl_constants.h"
#include "msl_vectors.h"

namespace metal {
template <bool B, class T = void> struct enable_if {};
template <class T> struct enable_if<true, T> {
    typedef T type;
};
template <bool B, class T = void> using enable_if_t = typename enable_if<B, T>::type;
template <class A, class B> struct is_same {
    static const bool value = msl_same<A, B>::value;
};
template <class A, class B> constexpr bool is_same_v = msl_same<A, B>::value;
template <bool B, class T, class F> struct conditional {
    typedef T type;
};
template <class T, class F> struct conditional<false, T, F> {
    typedef F type;
};
template <bool B, class T, class F> using conditional_t = typename conditional<B, T, F>::type;

// ---- arithmetic ----
#define MSL_DECLARE_1(f, T) \
    T f(T);                 \
    T##2 f(T##2);           \
    T##3 f(T##3);           \
    T##4 f(T##4);
#define MSL_DECLARE_2(f, T) \
    T f(T, T);              \
    T##2 f(T##2, T##2);     \
    T##3 f(T##3, T##3);     \
    T##4 f(T##4, T##4);
#define MSL_DECLARE_3(f, T)   \
    T f(T, T, T);             \
    T##2 f(T##2, T##2, T##2); \
    T##3 f(T##3, T##3, T##3); \
    T##4 f(T##4, T##4, T##4);
#define MSL_FLOAT_1(f) MSL_DECLARE_1(f, float)
#define MSL_FLOAT_2(f) MSL_DECLARE_2(f, float)
#define MSL_HALF_1(f) MSL_DECLARE_1(f, half)
#define MSL_HALF_2(f) MSL_DECLARE_2(f, half)
MSL_FUNCTIONS_1(MSL_FLOAT_1)
MSL_FUNCTIONS_2(MSL_FLOAT_2)
MSL_FUNCTIONS_1(MSL_HALF_1)
MSL_FUNCTIONS_2(MSL_HALF_2)
namespace precise { // of float only
MSL_FUNCTIONS_1(MSL_FLOAT_1)
MSL_FUNCTIONS_2(MSL_FLOAT_2)
} // namespace precise
namespace fast {
MSL_FUNCTIONS_1(MSL_FLOAT_1)
MSL_FUNCTIONS_2(MSL_FLOAT_2)
} // namespace fast
MSL_DECLARE_3(fma, float)
MSL_DECLARE_3(fma, half)
MSL_DECLARE_3(mix, float)
MSL_DECLARE_3(mix, half)
MSL_DECLARE_3(smoothstep, float)
#define MSL_ORDERED(T)    \
    MSL_DECLARE_2(min, T) \
    MSL_DECLARE_2(max, T) \
    MSL_DECLARE_3(clamp, T)
MSL_EACH_SCALAR(MSL_ORDERED)
MSL_DECLARE_1(abs, float)
MSL_DECLARE_1(abs, half)
MSL_DECLARE_1(abs, int)
MSL_DECLARE_1(abs, short)
MSL_DECLARE_1(abs, long)
#define MSL_BITS(T)            \
    MSL_DECLARE_1(popcount, T) \
    MSL_DECLARE_1(clz, T)      \
    MSL_DECLARE_1(ctz, T)      \
    MSL_DECLARE_1(reverse_bits, T)
MSL_BITS(int)
MSL_BITS(uint)
MSL_BITS(short)
MSL_BITS(ushort)
MSL_BITS(long)
MSL_BITS(ulong)
MSL_DECLARE_2(mulhi, int)
MSL_DECLARE_2(mulhi, uint)
uint extract_bits(uint, uint, uint);
int extract_bits(int, uint, uint);
// Of vectors only: dot(float, float) does not exist in MSL.
#define MSL_GEOMETRY(T)   \
    T dot(T##2, T##2);    \
    T dot(T##3, T##3);    \
    T dot(T##4, T##4);    \
    T length(T##2);       \
    T length(T##3);       \
    T length(T##4);       \
    T##2 normalize(T##2); \
    T##3 normalize(T##3); \
    T##4 normalize(T##4);
MSL_GEOMETRY(float)
MSL_GEOMETRY(half)
#define MSL_SELECT(T) T select(T, T, bool);
MSL_EACH_SCALAR(MSL_SELECT)
// A comparison of vectors gives bool4 in MSL and a vector of integers here. It may go straight into these; check_ast
// refuses to store it.
#define MSL_SELECT_VECTOR(T, I)    \
    T##2 select(T##2, T##2, I##2); \
    T##3 select(T##3, T##3, I##3); \
    T##4 select(T##4, T##4, I##4);
MSL_SELECT_VECTOR(float, int)
MSL_SELECT_VECTOR(int, int)
MSL_SELECT_VECTOR(uint, int)
MSL_SELECT_VECTOR(half, short)
#define MSL_ANY_ALL(V) \
    bool any(V);       \
    bool all(V);
MSL_ANY_ALL(int2)
MSL_ANY_ALL(int3)
MSL_ANY_ALL(int4)
MSL_ANY_ALL(short2)
MSL_ANY_ALL(short3)
MSL_ANY_ALL(short4)
#define MSL_CLASSIFY(f) \
    bool f(float);      \
    bool f(half);
MSL_CLASSIFY(isnan)
MSL_CLASSIFY(isinf)
MSL_CLASSIFY(isfinite)
float ldexp(float, int);
half ldexp(half, int);
template <class D, class S> D as_type(S s) {
    static_assert(sizeof(D) == sizeof(S), "as_type: sizes differ");
    static_assert(!msl_same<D, bool>::value && !msl_same<S, bool>::value, "as_type: not for bool");
    return __builtin_bit_cast(D, s);
}

// ---- barriers and SIMD-groups: exactly the types that the specification lists, hence templates ----
void threadgroup_barrier(mem_flags);
void simdgroup_barrier(mem_flags);
template <class T> struct msl_is_simd_type {
    typedef typename msl_shape<T>::element e;
    static const bool integer = msl_same<e, char>::value || msl_same<e, uchar>::value || msl_same<e, short>::value ||
                                msl_same<e, ushort>::value || msl_same<e, int>::value || msl_same<e, uint>::value;
    static const bool value = integer || msl_same<e, float>::value || msl_same<e, half>::value;
};
template <class T> using msl_simd = enable_if_t<msl_is_simd_type<T>::value, T>;
template <class T> using msl_simd_integer = enable_if_t<msl_is_simd_type<T>::integer, T>;
#define MSL_SIMD(name) template <class T> msl_simd<T> name(T);
#define MSL_SIMD_BITS(name) template <class T> msl_simd_integer<T> name(T);
#define MSL_SIMD_SHUFFLE(name) template <class T> msl_simd<T> name(T, ushort);
MSL_SIMD(simd_sum)
MSL_SIMD(simd_product)
MSL_SIMD(simd_max)
MSL_SIMD(simd_min)
MSL_SIMD(simd_prefix_inclusive_sum)
MSL_SIMD(simd_prefix_exclusive_sum)
MSL_SIMD(simd_broadcast_first)
MSL_SIMD_BITS(simd_and)
MSL_SIMD_BITS(simd_or)
MSL_SIMD_BITS(simd_xor)
MSL_SIMD_SHUFFLE(simd_shuffle)
MSL_SIMD_SHUFFLE(simd_shuffle_xor)
MSL_SIMD_SHUFFLE(simd_shuffle_down)
MSL_SIMD_SHUFFLE(simd_shuffle_up)
MSL_SIMD_SHUFFLE(simd_shuffle_rotate_down)
MSL_SIMD_SHUFFLE(simd_shuffle_rotate_up)
MSL_SIMD_SHUFFLE(simd_broadcast)
bool simd_all(bool);
bool simd_any(bool);
bool simd_is_first();
struct simd_vote {
    ulong votes;
    explicit operator ulong() const { return votes; }
};
simd_vote simd_ballot(bool);

// ---- matrices of a SIMD-group ----
template <class T, int C, int R = C> struct simdgroup_matrix {
    static_assert((msl_same<T, float>::value || msl_same<T, half>::value) && C == 8 && R == 8,
                  "simdgroup_matrix: 8x8 of float or half");
    simdgroup_matrix();
    explicit simdgroup_matrix(T);
    T e[2];
};
typedef simdgroup_matrix<float, 8, 8> simdgroup_float8x8;
typedef simdgroup_matrix<half, 8, 8> simdgroup_half8x8;
template <class T, int C, int R = C> simdgroup_matrix<T, C, R> make_filled_simdgroup_matrix(T);
#define MSL_MATRIX_MEMORY(space)                                                                         \
    template <class T>                                                                                   \
    void simdgroup_load(thread simdgroup_matrix<T, 8, 8> &, const space T *, ulong elements_per_row = 8, \
                        ulong2 origin = (ulong2)0ul, bool transpose = false);                            \
    template <class T>                                                                                   \
    void simdgroup_store(simdgroup_matrix<T, 8, 8>, space T *, ulong elements_per_row = 8,               \
                         ulong2 origin = (ulong2)0ul, bool transpose = false);
MSL_MATRIX_MEMORY(device)
MSL_MATRIX_MEMORY(threadgroup)
template <class D, class A, class B, class C>
void simdgroup_multiply_accumulate(thread simdgroup_matrix<D, 8, 8> &, simdgroup_matrix<A, 8, 8>,
                                   simdgroup_matrix<B, 8, 8>, simdgroup_matrix<C, 8, 8>);
template <class D, class A, class B>
void simdgroup_multiply(thread simdgroup_matrix<D, 8, 8> &, simdgroup_matrix<A, 8, 8>, simdgroup_matrix<B, 8, 8>);

// ---- atomics ----
#define MSL_ATOMIC_BASIC(space, T)                                            \
    T atomic_load_explicit(volatile const space atomic_##T *, memory_order);  \
    void atomic_store_explicit(volatile space atomic_##T *, T, memory_order); \
    T atomic_exchange_explicit(volatile space atomic_##T *, T, memory_order); \
    T atomic_fetch_add_explicit(volatile space atomic_##T *, T, memory_order);
#define MSL_ATOMIC_INTEGER(space, T)                                           \
    MSL_ATOMIC_BASIC(space, T)                                                 \
    T atomic_fetch_sub_explicit(volatile space atomic_##T *, T, memory_order); \
    T atomic_fetch_min_explicit(volatile space atomic_##T *, T, memory_order); \
    T atomic_fetch_max_explicit(volatile space atomic_##T *, T, memory_order); \
    T atomic_fetch_and_explicit(volatile space atomic_##T *, T, memory_order); \
    T atomic_fetch_or_explicit(volatile space atomic_##T *, T, memory_order);  \
    T atomic_fetch_xor_explicit(volatile space atomic_##T *, T, memory_order); \
    bool atomic_compare_exchange_weak_explicit(volatile space atomic_##T *, thread T *, T, memory_order, memory_order);
MSL_ATOMIC_INTEGER(device, int)
MSL_ATOMIC_INTEGER(device, uint)
MSL_ATOMIC_INTEGER(threadgroup, int)
MSL_ATOMIC_INTEGER(threadgroup, uint)
MSL_ATOMIC_BASIC(device, float)
} // namespace metal

// Words of OpenCL that are ordinary names in MSL.
#define local local_
#define global global_
#define generic generic_
#define pipe pipe_
#define read_only read_only_
#define write_only write_only_
#define read_write read_write_
#define uniform uniform_

// Function constants have no value at parse time.
#define is_function_constant_defined(x) ((void)(x), false)
