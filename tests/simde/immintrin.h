/*
 * AVX-512 in plain C, for tests of src/backend/cpu/kernels_avx512.c on processors that do not have it. Found before the
 * compiler's header of this name; most of it is SIMDe (libsimde-dev), which does without any vector extension here.
 * What SIMDe 0.7 lacks is below, and multiplications that add: its own round twice.
 */
#ifndef SIMDE_IMMINTRIN_H
#define SIMDE_IMMINTRIN_H

#define SIMDE_NO_NATIVE
#define SIMDE_NO_INLINE /* compiles in seconds */
#define UNROLL
#define SIMDE_ENABLE_NATIVE_ALIASES
#define __builtin_cpu_supports(feature) 1

#pragma GCC diagnostic ignored "-Wpsabi" /* vectors are returned in memory here, everywhere */
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wconversion"
#pragma GCC diagnostic ignored "-Wshadow"
#pragma GCC diagnostic ignored "-Wunused-function"
#include <simde/x86/avx512.h>
#include <simde/x86/f16c.h>
#include <simde/x86/fma.h>
#include <simde/x86/gfni.h>
#pragma GCC diagnostic pop

typedef uint16_t __mmask16;
typedef uint64_t __mmask64;

#include "base/half.h"

#include <math.h>
#include <string.h>

#define SIMDE_RETURN(result_type)      \
    result_type result;                \
    memcpy(&result, r, sizeof result); \
    return result

static inline __m512 simde_fma_512(__m512 x, __m512 y, __m512 z, float sign, __mmask16 mask) {
    float a[16], b[16], r[16];
    memcpy(a, &x, sizeof a);
    memcpy(b, &y, sizeof b);
    memcpy(r, &z, sizeof r);
    for (int i = 0; i < 16; i++) r[i] = mask >> i & 1 ? fmaf(sign * a[i], b[i], r[i]) : r[i];
    SIMDE_RETURN(__m512);
}

static inline __m256 simde_fma_256(__m256 x, __m256 y, __m256 z) {
    float a[8], b[8], r[8];
    memcpy(a, &x, sizeof a);
    memcpy(b, &y, sizeof b);
    memcpy(r, &z, sizeof r);
    for (int i = 0; i < 8; i++) r[i] = fmaf(a[i], b[i], r[i]);
    SIMDE_RETURN(__m256);
}

#undef _mm512_madd_epi16 /* has too many parameters */
#define _mm512_madd_epi16(a, b) simde_mm512_madd_epi16(a, b)

#undef _mm512_fmadd_ps
#undef _mm512_fnmadd_ps
#undef _mm256_fmadd_ps
#define _mm512_fmadd_ps(a, b, c) simde_fma_512(a, b, c, 1, 0xffff)
#define _mm512_fnmadd_ps(a, b, c) simde_fma_512(a, b, c, -1, 0xffff)
#define _mm512_mask3_fmadd_ps(a, b, c, mask) simde_fma_512(a, b, c, 1, mask)
#define _mm256_fmadd_ps(a, b, c) simde_fma_256(a, b, c)

static inline __m512 _mm512_cvtph_ps(__m256i x) {
    uint16_t a[16];
    float r[16];
    memcpy(a, &x, sizeof a);
    for (int i = 0; i < 16; i++) r[i] = half_to_float(a[i]);
    SIMDE_RETURN(__m512);
}

static inline __m512 _mm512_cvtepi32_ps(__m512i x) {
    int32_t a[16];
    float r[16];
    memcpy(a, &x, sizeof a);
    for (int i = 0; i < 16; i++) r[i] = (float)a[i];
    SIMDE_RETURN(__m512);
}

static inline __m512i _mm512_cvtps_epi32(__m512 x) {
    float a[16];
    int32_t r[16];
    memcpy(a, &x, sizeof a);
    for (int i = 0; i < 16; i++) r[i] = fabsf(a[i]) < 0x1p31f ? (int32_t)rintf(a[i]) : INT32_MIN;
    SIMDE_RETURN(__m512i);
}

static inline __m128i _mm512_cvtepi32_epi8(__m512i x) {
    int32_t a[16];
    int8_t r[16];
    memcpy(a, &x, sizeof a);
    for (int i = 0; i < 16; i++) r[i] = (int8_t)a[i];
    SIMDE_RETURN(__m128i);
}

static inline __m256i _mm512_cvtepi32_epi16(__m512i x) {
    int32_t a[16];
    int16_t r[16];
    memcpy(a, &x, sizeof a);
    for (int i = 0; i < 16; i++) r[i] = (int16_t)a[i];
    SIMDE_RETURN(__m256i);
}

static inline __m512i _mm512_srai_epi32(__m512i x, unsigned n) {
    int32_t a[16], r[16];
    memcpy(a, &x, sizeof a);
    for (int i = 0; i < 16; i++) r[i] = a[i] >> n;
    SIMDE_RETURN(__m512i);
}

static inline int _mm512_reduce_add_epi32(__m512i x) {
    int32_t a[16], r = 0;
    memcpy(a, &x, sizeof a);
    for (int i = 0; i < 16; i++) r += a[i];
    return r;
}

static inline int _mm512_reduce_max_epi32(__m512i x) {
    int32_t a[16], r = INT32_MIN;
    memcpy(a, &x, sizeof a);
    for (int i = 0; i < 16; i++) r = a[i] > r ? a[i] : r;
    return r;
}

static inline __m256 simde_half_512(__m512 x, int half) {
    __m256 r;
    memcpy(&r, (const char *)&x + 32 * half, sizeof r);
    return r;
}
#define _mm512_extractf32x8_ps(x, half) simde_half_512(x, half)

/* What is masked out is not touched. */
static inline __m512 _mm512_maskz_loadu_ps(__mmask16 mask, const void *from) {
    float r[16] = {0};
    for (int i = 0; i < 16; i++)
        if (mask >> i & 1) memcpy(&r[i], (const char *)from + 4 * i, sizeof *r);
    SIMDE_RETURN(__m512);
}

static inline __m256i _mm256_maskz_loadu_epi16(__mmask16 mask, const void *from) {
    uint16_t r[16] = {0};
    for (int i = 0; i < 16; i++)
        if (mask >> i & 1) memcpy(&r[i], (const char *)from + 2 * i, sizeof *r);
    SIMDE_RETURN(__m256i);
}

static inline void _mm512_mask_storeu_ps(void *to, __mmask16 mask, __m512 x) {
    for (int i = 0; i < 16; i++)
        if (mask >> i & 1) memcpy((char *)to + 4 * i, (const char *)&x + 4 * i, 4);
}

#endif
