// Types of all modes. Vectors are clang's ext_vector types, so swizzles, operators on elements and "no implicit
// conversion of vectors" are the compiler's own rules, as in MSL. A mode defines before it includes this:
// half, the address spaces, MSL_INDEX_OPERATORS(V) (operator[] of a struct that holds V c[]), and
// MSL_ON_EVERY_SPACE(X) (X(space) for the spaces an object may lie in; one empty space where they are erased).
#pragma once

typedef unsigned char uchar;
typedef unsigned short ushort;
typedef unsigned int uint;
typedef unsigned long ulong;
typedef signed char int8_t;
typedef unsigned char uint8_t;
typedef short int16_t;
typedef unsigned short uint16_t;
typedef int int32_t;
typedef unsigned int uint32_t;
typedef long int64_t;
typedef unsigned long uint64_t;
typedef unsigned long size_t;
typedef long ptrdiff_t;

#define MSL_EACH_SCALAR(X) X(char) X(uchar) X(short) X(ushort) X(int) X(uint) X(long) X(ulong) X(float) X(half)

#define MSL_VECTORS_OF(T)                               \
    typedef T T##2 __attribute__((ext_vector_type(2))); \
    typedef T T##3 __attribute__((ext_vector_type(3))); \
    typedef T T##4 __attribute__((ext_vector_type(4)));
MSL_EACH_SCALAR(MSL_VECTORS_OF)

namespace metal {
template <class A, class B> struct msl_same {
    static const bool value = false;
};
template <class A> struct msl_same<A, A> {
    static const bool value = true;
};

// Element type and width of a scalar or vector; a packed vector counts as the vector it holds.
template <class T> struct msl_shape {
    typedef T element;
    typedef T plain;
    static const int width = 1;
};
template <class T, int N> struct msl_vector_type;
template <class T, int N> struct msl_packed;
#define MSL_SHAPE(T, N)                        \
    template <> struct msl_shape<T##N> {       \
        typedef T element;                     \
        typedef T##N plain;                    \
        static const int width = N;            \
    };                                         \
    template <> struct msl_vector_type<T, N> { \
        typedef T##N type;                     \
    };
#define MSL_SHAPES(T)                                                                          \
    MSL_SHAPE(T, 2) MSL_SHAPE(T, 3) MSL_SHAPE(T, 4) template <> struct msl_vector_type<T, 1> { \
        typedef T type;                                                                        \
    };
MSL_EACH_SCALAR(MSL_SHAPES)
template <class T, int N> struct msl_shape<msl_packed<T, N>> {
    typedef T element;
    typedef typename msl_vector_type<T, N>::type plain;
    static const int width = N;
};
template <class T, int N> using vec = typename msl_vector_type<T, N>::type;

// A packed vector has the alignment of its elements; it converts to and from the vector.
template <class T, int N> struct msl_packed {
    typedef typename msl_vector_type<T, N>::type vector;
    T c[N];
    MSL_INDEX_OPERATORS(T)
#define MSL_UNPACK(space)                        \
    operator vector() const space {              \
        vector v;                                \
        for (int i = 0; i < N; i++) v[i] = c[i]; \
        return v;                                \
    }
    MSL_ON_EVERY_SPACE(MSL_UNPACK)
    msl_packed() = default;
    msl_packed(vector v) {
        for (int i = 0; i < N; i++) c[i] = v[i];
    }
};
typedef msl_packed<float, 2> packed_float2;
typedef msl_packed<float, 3> packed_float3;
typedef msl_packed<float, 4> packed_float4;
typedef msl_packed<half, 2> packed_half2;
typedef msl_packed<half, 3> packed_half3;
typedef msl_packed<half, 4> packed_half4;
typedef msl_packed<char, 4> packed_char4;
typedef msl_packed<uchar, 2> packed_uchar2;
typedef msl_packed<uchar, 4> packed_uchar4;
typedef msl_packed<short, 4> packed_short4;
typedef msl_packed<ushort, 2> packed_ushort2;
typedef msl_packed<ushort, 4> packed_ushort4;
typedef msl_packed<uint, 2> packed_uint2;
typedef msl_packed<uint, 4> packed_uint4;

// Constructors: float4(1, 2, v.xy) takes elements in order, int4(f4) converts, float4(x) repeats.
template <class D, class S, int N> struct msl_take {
    static void into(thread D &d, thread int &k, S s) {
        typename msl_shape<S>::plain v = s;
        for (int i = 0; i < N; i++) d[k++] = (typename msl_shape<D>::element)v[i];
    }
};
template <class D, class S> struct msl_take<D, S, 1> {
    static void into(thread D &d, thread int &k, S s) { d[k++] = (typename msl_shape<D>::element)s; }
};
template <class D> inline void msl_take_all(thread D &, thread int &) {}
template <class D, class S, class... Rest> inline void msl_take_all(thread D &d, thread int &k, S s, Rest... rest) {
    msl_take<D, S, msl_shape<S>::width>::into(d, k, s);
    msl_take_all<D>(d, k, rest...);
}
template <class... A> struct msl_count {
    static const int value = 0;
};
template <class A, class... Rest> struct msl_count<A, Rest...> {
    static const int value = msl_shape<A>::width + msl_count<Rest...>::value;
};
template <class D, class S, int N> struct msl_convert {
    static D from(S s) {
        static_assert(N == msl_shape<D>::width, "vector constructor: wrong width");
        return __builtin_convertvector((typename msl_shape<S>::plain)s, D);
    }
};
template <class D, class S> struct msl_convert<D, S, 1> {
    static D from(S s) { return (D)(typename msl_shape<D>::element)s; }
};
template <class D> inline D msl_make() {
    return (D)(typename msl_shape<D>::element)0;
}
template <class D, class S> inline D msl_make(S s) {
    return msl_convert<D, S, msl_shape<S>::width>::from(s);
}
template <class D, class S, class S2, class... Rest> inline D msl_make(S s, S2 s2, Rest... rest) {
    static_assert(msl_count<S, S2, Rest...>::value == msl_shape<D>::width,
                  "vector constructor: wrong number of elements");
    D d;
    int k = 0;
    msl_take_all<D>(d, k, s, s2, rest...);
    return d;
}

// Matrices: columns of vectors.
#define MSL_MATRIX(T, C, R)                                                           \
    struct T##C##x##R {                                                               \
        T##R c[C];                                                                    \
        MSL_INDEX_OPERATORS(T##R)                                                     \
        T##C##x##R() = default;                                                       \
        enum { is_matrix };                                                           \
        template <class M, class = decltype(M::is_matrix)> explicit T##C##x##R(M m) { \
            for (int i = 0; i < C; i++)                                               \
                for (int j = 0; j < R; j++) c[i][j] = (T)m.c[i][j];                   \
        }                                                                             \
        explicit T##C##x##R(T diagonal) {                                             \
            for (int i = 0; i < C; i++)                                               \
                for (int j = 0; j < R; j++) c[i][j] = i == j ? diagonal : (T)0;       \
        }                                                                             \
    };
#define MSL_MATRICES(T) \
    MSL_MATRIX(T, 2, 2) MSL_MATRIX(T, 2, 4) MSL_MATRIX(T, 3, 3) MSL_MATRIX(T, 4, 2) MSL_MATRIX(T, 4, 4)
MSL_MATRICES(float)
MSL_MATRICES(half)

// (half4)x converts in MSL, and reinterprets or fails in clang: mslgen writes  msl_cast_to<half4>() ->* x .
// T(x), T a template's parameter that may be a vector:  msl_construct<T>(x) .
template <class D> struct msl_cast_to {};
template <class D> struct msl_cast {
    template <class S> static D from(S s) { return D(s); }
};
#define MSL_CAST(T)                                \
    template <> struct msl_cast<T> {               \
        template <class S> static T from(S s) {    \
            return (T)s;                           \
        }                                          \
    };                                             \
    template <> struct msl_cast<T##2> {            \
        template <class S> static T##2 from(S s) { \
            return msl_make<T##2>(s);              \
        }                                          \
    };                                             \
    template <> struct msl_cast<T##3> {            \
        template <class S> static T##3 from(S s) { \
            return msl_make<T##3>(s);              \
        }                                          \
    };                                             \
    template <> struct msl_cast<T##4> {            \
        template <class S> static T##4 from(S s) { \
            return msl_make<T##4>(s);              \
        }                                          \
    };
MSL_EACH_SCALAR(MSL_CAST)
template <class D, class S> inline D operator->*(msl_cast_to<D>, S s) {
    return msl_cast<D>::from(s);
}
template <class D> inline D msl_construct() {
    return D();
}
template <class D, class S> inline D msl_construct(S s) {
    return msl_cast<D>::from(s);
}
template <class D, class S, class S2, class... Rest> inline D msl_construct(S s, S2 s2, Rest... rest) {
    return msl_make<D>(s, s2, rest...);
}

enum class mem_flags { mem_none = 0, mem_device = 1, mem_threadgroup = 2, mem_texture = 4 };
inline mem_flags operator|(mem_flags a, mem_flags b) {
    return (mem_flags)((int)a | (int)b);
}
enum memory_order { memory_order_relaxed }; // the only one before Metal 3.2

#define MSL_ATOMIC(T)   \
    struct atomic_##T { \
        T value;        \
    };
MSL_ATOMIC(int)
MSL_ATOMIC(uint)
MSL_ATOMIC(float)
} // namespace metal

// Last, because the names are types until here.
#define char2(...) metal::msl_make<char2>(__VA_ARGS__)
#define char3(...) metal::msl_make<char3>(__VA_ARGS__)
#define char4(...) metal::msl_make<char4>(__VA_ARGS__)
#define uchar2(...) metal::msl_make<uchar2>(__VA_ARGS__)
#define uchar3(...) metal::msl_make<uchar3>(__VA_ARGS__)
#define uchar4(...) metal::msl_make<uchar4>(__VA_ARGS__)
#define short2(...) metal::msl_make<short2>(__VA_ARGS__)
#define short3(...) metal::msl_make<short3>(__VA_ARGS__)
#define short4(...) metal::msl_make<short4>(__VA_ARGS__)
#define ushort2(...) metal::msl_make<ushort2>(__VA_ARGS__)
#define ushort3(...) metal::msl_make<ushort3>(__VA_ARGS__)
#define ushort4(...) metal::msl_make<ushort4>(__VA_ARGS__)
#define int2(...) metal::msl_make<int2>(__VA_ARGS__)
#define int3(...) metal::msl_make<int3>(__VA_ARGS__)
#define int4(...) metal::msl_make<int4>(__VA_ARGS__)
#define uint2(...) metal::msl_make<uint2>(__VA_ARGS__)
#define uint3(...) metal::msl_make<uint3>(__VA_ARGS__)
#define uint4(...) metal::msl_make<uint4>(__VA_ARGS__)
#define long2(...) metal::msl_make<long2>(__VA_ARGS__)
#define long4(...) metal::msl_make<long4>(__VA_ARGS__)
#define ulong2(...) metal::msl_make<ulong2>(__VA_ARGS__)
#define ulong4(...) metal::msl_make<ulong4>(__VA_ARGS__)
#define float2(...) metal::msl_make<float2>(__VA_ARGS__)
#define float3(...) metal::msl_make<float3>(__VA_ARGS__)
#define float4(...) metal::msl_make<float4>(__VA_ARGS__)
#define half2(...) metal::msl_make<half2>(__VA_ARGS__)
#define half3(...) metal::msl_make<half3>(__VA_ARGS__)
#define half4(...) metal::msl_make<half4>(__VA_ARGS__)
