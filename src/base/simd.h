/* How the plain C loops get the machine's vector units. */
#ifndef BASE_SIMD_H
#define BASE_SIMD_H

/* A function marked SIMD_CLONES is compiled for several levels of x86-64 and the best is chosen when the
 * program is loaded. It must be static: clang 14 gives an exported one a name that other files do not find.
 * Elsewhere (and under sanitizers, whose run time is not ready when the choice is made) it is compiled once. */
#if defined(__has_feature)
#define SIMD_HAS_FEATURE(name) __has_feature(name)
#else
#define SIMD_HAS_FEATURE(name) 0
#endif
#if defined(__SANITIZE_THREAD__) || SIMD_HAS_FEATURE(thread_sanitizer)
#define SIMD_THREAD_SANITIZED 1
#elif defined(__SANITIZE_ADDRESS__) || SIMD_HAS_FEATURE(address_sanitizer) || SIMD_HAS_FEATURE(memory_sanitizer)
#define SIMD_SANITIZED 1
#endif

/* The thread sanitizer would make these inner loops a hundred times slower. It still sees what their callers,
 * and everything else, read and write. */
#if defined(SIMD_THREAD_SANITIZED)
#define SIMD_CLONES __attribute__((no_sanitize("thread")))
#elif defined(__x86_64__) && defined(__linux__) && defined(__GNUC__) && !defined(SIMD_SANITIZED)
#if defined(__clang__)
#define SIMD_CLONES __attribute__((target_clones("arch=skylake-avx512", "arch=haswell", "default")))
#else
#define SIMD_CLONES __attribute__((target_clones("arch=x86-64-v4", "arch=x86-64-v3", "default")))
#endif
#else
#define SIMD_CLONES
#endif

/* Sixteen floats; the compiler splits them where registers are smaller. */
typedef float float16_lanes __attribute__((vector_size(64), aligned(4), may_alias));

#endif
