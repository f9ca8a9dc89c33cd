// Types, arithmetic functions and atomics of the two modes that make code: CPU and CUDA. Address spaces vanish here;
// strict mode has checked them.
#pragma once

typedef _Float16 half;
#define device
#define constant const
#define threadgroup
#define thread
#define MSL_INDEX_OPERATORS(V)         \
    V &operator[](int i) {             \
        return c[i];                   \
    }                                  \
    const V &operator[](int i) const { \
        return c[i];                   \
    }
#define MSL_NO_SPACE
#define MSL_ON_EVERY_SPACE(X) X(MSL_NO_SPACE)
#include "msl_constants.h"
#include "msl_vectors.h"

#pragma clang diagnostic ignored "-Wuser-defined-literals"
static inline constexpr half operator""h(long double x) {
    return (half)x;
}
static inline constexpr half operator""h(unsigned long long x) {
    return (half)x;
}

namespace metal {
// ---- functions of one float, by the compiler's built-ins or NVIDIA's library ----
namespace scalar {
#ifdef MSL_CUDA
#define MSL_BUILTIN_1(name)             \
    static inline float name(float x) { \
        return __nv_##name##f(x);       \
    }
#define MSL_BUILTIN_2(name)                      \
    static inline float name(float x, float y) { \
        return __nv_##name##f(x, y);             \
    }
#else
#define MSL_BUILTIN_1(name)             \
    static inline float name(float x) { \
        return __builtin_##name##f(x);  \
    }
#define MSL_BUILTIN_2(name)                      \
    static inline float name(float x, float y) { \
        return __builtin_##name##f(x, y);        \
    }
#endif
MSL_BUILTIN_1(exp)
MSL_BUILTIN_1(exp2)
MSL_BUILTIN_1(log)
MSL_BUILTIN_1(log2)
MSL_BUILTIN_1(log10)
MSL_BUILTIN_1(sin)
MSL_BUILTIN_1(cos)
MSL_BUILTIN_1(tan)
MSL_BUILTIN_1(asin)
MSL_BUILTIN_1(acos)
MSL_BUILTIN_1(atan)
MSL_BUILTIN_1(sinh)
MSL_BUILTIN_1(cosh)
MSL_BUILTIN_1(tanh)
MSL_BUILTIN_1(sqrt)
MSL_BUILTIN_1(floor)
MSL_BUILTIN_1(ceil)
MSL_BUILTIN_1(round)
MSL_BUILTIN_1(rint)
MSL_BUILTIN_1(trunc)
MSL_BUILTIN_1(fabs)
MSL_BUILTIN_2(pow)
MSL_BUILTIN_2(fmin)
MSL_BUILTIN_2(fmax)
MSL_BUILTIN_2(fmod)
MSL_BUILTIN_2(atan2)
MSL_BUILTIN_2(copysign)
static inline float exp10(float x) {
    return exp2(x * 3.321928094887362f);
}
static inline float rsqrt(float x) {
    return 1.0f / sqrt(x);
}
static inline float fract(float x) {
    return x - floor(x);
}
static inline float sign(float x) {
    return x > 0 ? 1.0f : x < 0 ? -1.0f : 0.0f;
}
static inline float saturate(float x) {
    return x > 0 ? (x < 1 ? x : 1.0f) : 0.0f;
}
static inline float powr(float x, float y) {
    return pow(x, y);
}
static inline float step(float edge, float x) {
    return x < edge ? 0.0f : 1.0f;
}
} // namespace scalar

#define MSL_VECTOR_1(f, V, N)                               \
    static inline V f(V x) {                                \
        V y;                                                \
        for (int i = 0; i < N; i++) y[i] = scalar::f(x[i]); \
        return y;                                           \
    }
#define MSL_VECTOR_2(f, V, N)                                     \
    static inline V f(V a, V b) {                                 \
        V y;                                                      \
        for (int i = 0; i < N; i++) y[i] = scalar::f(a[i], b[i]); \
        return y;                                                 \
    }
#define MSL_DEFINE_1(f)                   \
    static inline float f(float x) {      \
        return scalar::f(x);              \
    }                                     \
    static inline half f(half x) {        \
        return (half)scalar::f((float)x); \
    }                                     \
    MSL_VECTOR_1(f, float2, 2)            \
    MSL_VECTOR_1(f, float3, 3)            \
    MSL_VECTOR_1(f, float4, 4)            \
    MSL_VECTOR_1(f, half2, 2)             \
    MSL_VECTOR_1(f, half3, 3)             \
    MSL_VECTOR_1(f, half4, 4)
#define MSL_DEFINE_2(f)                             \
    static inline float f(float a, float b) {       \
        return scalar::f(a, b);                     \
    }                                               \
    static inline half f(half a, half b) {          \
        return (half)scalar::f((float)a, (float)b); \
    }                                               \
    MSL_VECTOR_2(f, float2, 2)                      \
    MSL_VECTOR_2(f, float3, 3)                      \
    MSL_VECTOR_2(f, float4, 4)                      \
    MSL_VECTOR_2(f, half2, 2)                       \
    MSL_VECTOR_2(f, half3, 3)                       \
    MSL_VECTOR_2(f, half4, 4)
MSL_FUNCTIONS_1(MSL_DEFINE_1)
MSL_FUNCTIONS_2(MSL_DEFINE_2)
namespace precise {
MSL_FUNCTIONS_1(MSL_DEFINE_1)
MSL_FUNCTIONS_2(MSL_DEFINE_2)
} // namespace precise
namespace fast {
MSL_FUNCTIONS_1(MSL_DEFINE_1)
MSL_FUNCTIONS_2(MSL_DEFINE_2)
} // namespace fast

// ---- functions of any type ----
#define MSL_ORDERED_SCALAR(T)                   \
    static inline T min(T a, T b) {             \
        return b < a ? b : a;                   \
    }                                           \
    static inline T max(T a, T b) {             \
        return a < b ? b : a;                   \
    }                                           \
    static inline T clamp(T x, T low, T high) { \
        return min(max(x, low), high);          \
    }                                           \
    static inline T select(T a, T b, bool c) {  \
        return c ? b : a;                       \
    }
#define MSL_ORDERED_VECTOR(V, N)                            \
    static inline V min(V a, V b) {                         \
        V y;                                                \
        for (int i = 0; i < N; i++) y[i] = min(a[i], b[i]); \
        return y;                                           \
    }                                                       \
    static inline V max(V a, V b) {                         \
        V y;                                                \
        for (int i = 0; i < N; i++) y[i] = max(a[i], b[i]); \
        return y;                                           \
    }                                                       \
    static inline V clamp(V x, V low, V high) {             \
        return min(max(x, low), high);                      \
    }
#define MSL_ORDERED(T)          \
    MSL_ORDERED_SCALAR(T)       \
    MSL_ORDERED_VECTOR(T##2, 2) \
    MSL_ORDERED_VECTOR(T##3, 3) \
    MSL_ORDERED_VECTOR(T##4, 4)
MSL_EACH_SCALAR(MSL_ORDERED)
#define MSL_SELECT_VECTOR(V, C, N)                             \
    static inline V select(V a, V b, C c) {                    \
        V y;                                                   \
        for (int i = 0; i < N; i++) y[i] = c[i] ? b[i] : a[i]; \
        return y;                                              \
    }
#define MSL_SELECT_VECTORS(T, C) \
    MSL_SELECT_VECTOR(T##2, C##2, 2) MSL_SELECT_VECTOR(T##3, C##3, 3) MSL_SELECT_VECTOR(T##4, C##4, 4)
MSL_SELECT_VECTORS(float, int)
MSL_SELECT_VECTORS(int, int)
MSL_SELECT_VECTORS(uint, int)
MSL_SELECT_VECTORS(half, short)
template <class V> static inline bool any(V v) {
    for (int i = 0; i < msl_shape<V>::width; i++)
        if (v[i]) return true;
    return false;
}
template <class V> static inline bool all(V v) {
    for (int i = 0; i < msl_shape<V>::width; i++)
        if (!v[i]) return false;
    return true;
}

#define MSL_ABS(T)                   \
    static inline T abs(T x) {       \
        return x < 0 ? -x : x;       \
    }                                \
    static inline T##2 abs(T##2 x) { \
        return max(x, -x);           \
    }                                \
    static inline T##3 abs(T##3 x) { \
        return max(x, -x);           \
    }                                \
    static inline T##4 abs(T##4 x) { \
        return max(x, -x);           \
    }
MSL_ABS(int)
MSL_ABS(short)
MSL_ABS(long)
#define MSL_ABS_FLOATING(T)          \
    static inline T abs(T x) {       \
        return fabs(x);              \
    }                                \
    static inline T##2 abs(T##2 x) { \
        return fabs(x);              \
    }                                \
    static inline T##3 abs(T##3 x) { \
        return fabs(x);              \
    }                                \
    static inline T##4 abs(T##4 x) { \
        return fabs(x);              \
    }
MSL_ABS_FLOATING(half)
MSL_ABS_FLOATING(float)

static inline float fma(float a, float b, float c) {
    return __builtin_fmaf(a, b, c);
}
static inline half fma(half a, half b, half c) {
    return (half)__builtin_fmaf(a, b, c);
}
#define MSL_FMA(V, N)                                             \
    static inline V fma(V a, V b, V c) {                          \
        V y;                                                      \
        for (int i = 0; i < N; i++) y[i] = fma(a[i], b[i], c[i]); \
        return y;                                                 \
    }
MSL_FMA(float2, 2)
MSL_FMA(float3, 3)
MSL_FMA(float4, 4)
MSL_FMA(half2, 2)
MSL_FMA(half3, 3)
MSL_FMA(half4, 4)
template <class T> static inline T mix(T a, T b, T t) {
    return a + (b - a) * t;
}
template <class T> static inline T smoothstep(T low, T high, T x) {
    T t = clamp((x - low) / (high - low), (T)0, (T)1);
    return t * t * ((T)3 - (T)2 * t);
}
#define MSL_GEOMETRY(T)                                       \
    static inline T dot(T##2 a, T##2 b) {                     \
        return a.x * b.x + a.y * b.y;                         \
    }                                                         \
    static inline T dot(T##3 a, T##3 b) {                     \
        return a.x * b.x + a.y * b.y + a.z * b.z;             \
    }                                                         \
    static inline T dot(T##4 a, T##4 b) {                     \
        return a.x * b.x + a.y * b.y + a.z * b.z + a.w * b.w; \
    }                                                         \
    static inline T length(T##2 v) {                          \
        return sqrt(dot(v, v));                               \
    }                                                         \
    static inline T length(T##3 v) {                          \
        return sqrt(dot(v, v));                               \
    }                                                         \
    static inline T length(T##4 v) {                          \
        return sqrt(dot(v, v));                               \
    }                                                         \
    static inline T##2 normalize(T##2 v) {                    \
        return v / length(v);                                 \
    }                                                         \
    static inline T##3 normalize(T##3 v) {                    \
        return v / length(v);                                 \
    }                                                         \
    static inline T##4 normalize(T##4 v) {                    \
        return v / length(v);                                 \
    }
MSL_GEOMETRY(float)
MSL_GEOMETRY(half)
static inline bool isnan(float x) {
    return __builtin_isnan(x);
}
static inline bool isinf(float x) {
    return __builtin_isinf(x);
}
static inline bool isfinite(float x) {
    return __builtin_isfinite(x);
}
static inline float ldexp(float x, int exponent) {
    return __builtin_ldexpf(x, exponent);
}

static inline int popcount(int x) {
    return __builtin_popcount((uint)x);
}
static inline uint popcount(uint x) {
    return (uint)__builtin_popcount(x);
}
static inline ulong popcount(ulong x) {
    return (ulong)__builtin_popcountl(x);
}
static inline uint clz(uint x) {
    return x ? (uint)__builtin_clz(x) : 32;
}
static inline uint ctz(uint x) {
    return x ? (uint)__builtin_ctz(x) : 32;
}
static inline uint reverse_bits(uint x) {
    return __builtin_bitreverse32(x);
}
static inline uint mulhi(uint a, uint b) {
    return (uint)((ulong)a * b >> 32);
}
static inline int mulhi(int a, int b) {
    return (int)((long)a * b >> 32);
}
static inline uint extract_bits(uint x, uint offset, uint bits) {
    return bits == 0 ? 0 : x << (32 - bits - offset) >> (32 - bits);
}
static inline int extract_bits(int x, uint offset, uint bits) {
    return bits == 0 ? 0 : (int)((uint)x << (32 - bits - offset)) >> (32 - bits);
}
template <class D, class S> static inline D as_type(S s) {
    static_assert(sizeof(D) == sizeof(S), "as_type: sizes differ");
    return __builtin_bit_cast(D, s);
}
template <class A, class B> using is_same = std::is_same<A, B>;
template <class A, class B> constexpr bool is_same_v = std::is_same<A, B>::value;
template <bool B, class T, class F> using conditional = std::conditional<B, T, F>;
template <bool B, class T, class F> using conditional_t = typename std::conditional<B, T, F>::type;
template <bool B, class T = void> using enable_if = std::enable_if<B, T>;
template <bool B, class T = void> using enable_if_t = typename std::enable_if<B, T>::type;

// ---- atomics: MSL_SEE_ATOMIC tells the executor of the access ----
#ifndef MSL_SEE_ATOMIC
#define MSL_SEE_ATOMIC(pointer)
#endif
#define MSL_ATOMIC_EXCHANGE(name, T, new_value)                                                                    \
    static inline T name(volatile atomic_##T *p, T x, memory_order) {                                              \
        MSL_SEE_ATOMIC(p);                                                                                         \
        T old = __atomic_load_n(&p->value, __ATOMIC_RELAXED);                                                      \
        while (!__atomic_compare_exchange_n(&p->value, &old, new_value, true, __ATOMIC_RELAXED, __ATOMIC_RELAXED)) \
            continue;                                                                                              \
        return old;                                                                                                \
    }
#define MSL_ATOMIC_FETCH(name, T, builtin)                            \
    static inline T name(volatile atomic_##T *p, T x, memory_order) { \
        MSL_SEE_ATOMIC(p);                                            \
        return builtin(&p->value, x, __ATOMIC_RELAXED);               \
    }
#define MSL_ATOMIC_MEMORY(T)                                                              \
    static inline T atomic_load_explicit(const volatile atomic_##T *p, memory_order) {    \
        MSL_SEE_ATOMIC(p);                                                                \
        return __atomic_load_n(&p->value, __ATOMIC_RELAXED);                              \
    }                                                                                     \
    static inline void atomic_store_explicit(volatile atomic_##T *p, T x, memory_order) { \
        MSL_SEE_ATOMIC(p);                                                                \
        __atomic_store_n(&p->value, x, __ATOMIC_RELAXED);                                 \
    }
#define MSL_ATOMIC_INTEGER(T)                                                                                        \
    MSL_ATOMIC_MEMORY(T)                                                                                             \
    MSL_ATOMIC_FETCH(atomic_exchange_explicit, T, __atomic_exchange_n)                                               \
    MSL_ATOMIC_FETCH(atomic_fetch_add_explicit, T, __atomic_fetch_add)                                               \
    MSL_ATOMIC_FETCH(atomic_fetch_sub_explicit, T, __atomic_fetch_sub)                                               \
    MSL_ATOMIC_FETCH(atomic_fetch_and_explicit, T, __atomic_fetch_and)                                               \
    MSL_ATOMIC_FETCH(atomic_fetch_or_explicit, T, __atomic_fetch_or)                                                 \
    MSL_ATOMIC_FETCH(atomic_fetch_xor_explicit, T, __atomic_fetch_xor)                                               \
    MSL_ATOMIC_EXCHANGE(atomic_fetch_min_explicit, T, min(old, x))                                                   \
    MSL_ATOMIC_EXCHANGE(atomic_fetch_max_explicit, T, max(old, x))                                                   \
    static inline bool atomic_compare_exchange_weak_explicit(volatile atomic_##T *p, T *expected, T x, memory_order, \
                                                             memory_order) {                                         \
        MSL_SEE_ATOMIC(p);                                                                                           \
        return __atomic_compare_exchange_n(&p->value, expected, x, true, __ATOMIC_RELAXED, __ATOMIC_RELAXED);        \
    }
MSL_ATOMIC_INTEGER(int)
MSL_ATOMIC_INTEGER(uint)

// clang has no read-modify-write of float for every target: go through the bits
static inline float atomic_load_explicit(const volatile atomic_float *p, memory_order) {
    MSL_SEE_ATOMIC(p);
    return as_type<float>(__atomic_load_n((const volatile uint *)&p->value, __ATOMIC_RELAXED));
}
static inline void atomic_store_explicit(volatile atomic_float *p, float x, memory_order) {
    MSL_SEE_ATOMIC(p);
    __atomic_store_n((volatile uint *)&p->value, as_type<uint>(x), __ATOMIC_RELAXED);
}
static inline float atomic_exchange_explicit(volatile atomic_float *p, float x, memory_order) {
    MSL_SEE_ATOMIC(p);
    return as_type<float>(__atomic_exchange_n((volatile uint *)&p->value, as_type<uint>(x), __ATOMIC_RELAXED));
}
static inline float atomic_fetch_add_explicit(volatile atomic_float *p, float x, memory_order) {
    MSL_SEE_ATOMIC(p);
    volatile uint *bits = (volatile uint *)&p->value;
    uint old = __atomic_load_n(bits, __ATOMIC_RELAXED);
    while (!__atomic_compare_exchange_n(bits, &old, as_type<uint>(as_type<float>(old) + x), true, __ATOMIC_RELAXED,
                                        __ATOMIC_RELAXED))
        continue;
    return as_type<float>(old);
}
} // namespace metal
