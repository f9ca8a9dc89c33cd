/*
 * Products for arm64 processors that have integer dot products (dotprod: Apple M1, Neoverse N1), and for those that
 * have integer matrix products too (i8mm: Apple M2, Neoverse V1, Grace).
 *
 * Few tokens: DIRECT_ROWS rows at a time walk their stored blocks and share what is loaded of x. Vectors keep one sum
 * in several lanes as long as they can; the lanes of four sums are added up together.
 *
 * Many tokens: kernels_neon_panel.inc, which is compiled for either kind of processor.
 */
#include "backend/cpu/kernels.h"

#if defined(__aarch64__)

#include "base/half.h"
#include "gguf/iq2_grid.h"

#include <arm_neon.h>
#include <math.h>

#if defined(__APPLE__)
#include <sys/sysctl.h>
#else
#include <sys/auxv.h>
#endif

#include "backend/cpu/float_kernels.inc"

#define DOTPROD __attribute__((target("arch=armv8.2-a+dotprod")))
#define I8MM __attribute__((target("arch=armv8.2-a+dotprod+i8mm")))
#define ALWAYS_INLINE static inline __attribute__((always_inline))
/* Functions of one target only are inlined into each other, also where the compiler's own target has more. */
#define NEON_INLINE ALWAYS_INLINE DOTPROD

enum {
    DIRECT_ROWS = 4,
    TILE_ROWS = 8,
    TILE_TOKENS = 4,
    /* From so many tokens on a panel pays; decoding IQ2_XXS costs most. */
    PANEL_TOKENS = 4,
    PANEL_TOKENS_IQ2_XXS = 3,
};

NEON_INLINE uint16_t load_u16(const uint8_t *from) {
    uint16_t value;
    memcpy(&value, from, sizeof value);
    return value;
}

NEON_INLINE uint32_t load_u32(const uint8_t *from) {
    uint32_t value;
    memcpy(&value, from, sizeof value);
    return value;
}

NEON_INLINE uint64_t load_u64(const uint8_t *from) {
    uint64_t value;
    memcpy(&value, from, sizeof value);
    return value;
}

NEON_INLINE int8x16_t load_s8(const uint8_t *from) {
    return vreinterpretq_s8_u8(vld1q_u8(from));
}

NEON_INLINE float32x4_t four_halves(const uint8_t *a, const uint8_t *b, const uint8_t *c, const uint8_t *d) {
    uint16x4_t half = vdup_n_u16(load_u16(a));
    half = vset_lane_u16(load_u16(b), half, 1);
    half = vset_lane_u16(load_u16(c), half, 2);
    half = vset_lane_u16(load_u16(d), half, 3);
    return vcvt_f32_f16(vreinterpret_f16_u16(half));
}

/* The sum of each vector's lanes. */
NEON_INLINE int32x4_t lane_sums(const int32x4_t x[4]) {
    return vpaddq_s32(vpaddq_s32(x[0], x[1]), vpaddq_s32(x[2], x[3]));
}

NEON_INLINE void transpose(int32x4_t x[4]) {
    int32x4_t a = vtrn1q_s32(x[0], x[1]), b = vtrn2q_s32(x[0], x[1]);
    int32x4_t c = vtrn1q_s32(x[2], x[3]), d = vtrn2q_s32(x[2], x[3]);
    x[0] = vreinterpretq_s32_s64(vzip1q_s64(vreinterpretq_s64_s32(a), vreinterpretq_s64_s32(c)));
    x[1] = vreinterpretq_s32_s64(vzip1q_s64(vreinterpretq_s64_s32(b), vreinterpretq_s64_s32(d)));
    x[2] = vreinterpretq_s32_s64(vzip2q_s64(vreinterpretq_s64_s32(a), vreinterpretq_s64_s32(c)));
    x[3] = vreinterpretq_s32_s64(vzip2q_s64(vreinterpretq_s64_s32(b), vreinterpretq_s64_s32(d)));
}

/* ---- quantising ---- */

NEON_INLINE int32x4_t round_limited(const float *x, float inverse) {
    float32x4_t scaled = vmulq_n_f32(vld1q_f32(x), inverse);
    return vcvtnq_s32_f32(vmaxnmq_f32(vminnmq_f32(scaled, vdupq_n_f32(127)), vdupq_n_f32(-127)));
}

/* One group of n values; returns its scale. */
NEON_INLINE float quantise_group(const float *x, size_t n, int8_t *q) {
    float32x4_t most = vdupq_n_f32(0);
    for (size_t i = 0; i < n; i += 4) most = vmaxnmq_f32(most, vabsq_f32(vld1q_f32(x + i)));
    float largest = vmaxnmvq_f32(most);
    if (!(largest >= 0x1p-100f)) {
        memset(q, 0, n);
        return 0;
    }
    float inverse = 127.0f / largest;
    for (size_t i = 0; i < n; i += 16) {
        int16x8_t low =
            vcombine_s16(vmovn_s32(round_limited(x + i, inverse)), vmovn_s32(round_limited(x + i + 4, inverse)));
        int16x8_t high =
            vcombine_s16(vmovn_s32(round_limited(x + i + 8, inverse)), vmovn_s32(round_limited(x + i + 12, inverse)));
        vst1q_s8(q + i, vcombine_s8(vmovn_s16(low), vmovn_s16(high)));
    }
    return largest / 127.0f;
}

DOTPROD static void quantise_32(const float *x, size_t n, int8_t *out) {
    float *scale = (float *)(void *)(out + n);
    int16_t *sum = (int16_t *)(void *)(scale + n / 32);
    for (size_t g = 0; g < n / 32; g++, x += 32, out += 32) {
        scale[g] = quantise_group(x, 32, out);
        sum[g] = (int16_t)(vaddlvq_s8(vld1q_s8(out)) + vaddlvq_s8(vld1q_s8(out + 16)));
    }
}

DOTPROD static void quantise_256(const float *x, size_t n, int8_t *out) {
    float *scale = (float *)(void *)(out + n);
    int16_t *sum = (int16_t *)(void *)(scale + n / 256);
    for (size_t g = 0; g < n / 256; g++, x += 256, out += 256, sum += 16) {
        scale[g] = quantise_group(x, 256, out);
        for (int s = 0; s < 16; s++) sum[s] = vaddlvq_s8(vld1q_s8(out + 16 * s));
    }
}

/* ---- stored blocks ---- */

/* Bytes -1 where the bit is set, 1 elsewhere; bit 7 makes the number of set bits even. */
#define SIGN(bits, j) ((uint64_t)((bits) >> (j) & 1 ? 0xff : 1) << 8 * (j))
#define PARITY(b) (((b) ^ (b) >> 1 ^ (b) >> 2 ^ (b) >> 3 ^ (b) >> 4 ^ (b) >> 5 ^ (b) >> 6) & 1)
#define SIGNS_OF(b) \
    (SIGN(b, 0) | SIGN(b, 1) | SIGN(b, 2) | SIGN(b, 3) | SIGN(b, 4) | SIGN(b, 5) | SIGN(b, 6) | SIGN(PARITY(b) << 7, 7))
#define SIGNS_4(b) SIGNS_OF(b), SIGNS_OF((b) + 1), SIGNS_OF((b) + 2), SIGNS_OF((b) + 3)
#define SIGNS_16(b) SIGNS_4(b), SIGNS_4((b) + 4), SIGNS_4((b) + 8), SIGNS_4((b) + 12)
static const uint64_t SIGNS[128] = {SIGNS_16(0),  SIGNS_16(16), SIGNS_16(32), SIGNS_16(48),
                                    SIGNS_16(64), SIGNS_16(80), SIGNS_16(96), SIGNS_16(112)};

NEON_INLINE int8x16_t two_entries(const uint64_t *table, uint64_t first, uint64_t second) {
    return vcombine_s8(vld1_s8((const int8_t *)(table + first)), vld1_s8((const int8_t *)(table + second)));
}

/* Half of a group of 32: index bytes, then seven signs for each. */
NEON_INLINE int8x16_t iq2_xxs_values(uint64_t group, int half) {
    uint64_t index = group >> 16 * half, signs = group >> (32 + 14 * half);
    return vmulq_s8(two_entries(iq2_xxs_grid, index & 255, index >> 8 & 255),
                    two_entries(SIGNS, signs & 127, signs >> 7 & 127));
}

/* 2 * scale + 1 of four groups */
NEON_INLINE int32x4_t iq2_xxs_scales(const uint8_t *groups) {
    uint32x4_t a = vreinterpretq_u32_u8(vld1q_u8(groups)), b = vreinterpretq_u32_u8(vld1q_u8(groups + 16));
    return vreinterpretq_s32_u32(vorrq_u32(vshrq_n_u32(vuzp2q_u32(a, b), 27), vdupq_n_u32(1)));
}

/* The eight 6-bit scales and minima of a Q4_K block, a byte each. */
NEON_INLINE uint64_t q4_k_scales(const uint8_t *block) {
    uint32_t a = load_u32(block + 4), c = load_u32(block + 12);
    return (a & 0x3f3f3f3f) | (uint64_t)((c & 0x0f0f0f0f) | (a >> 2 & 0x30303030)) << 32;
}

NEON_INLINE uint64_t q4_k_mins(const uint8_t *block) {
    uint32_t b = load_u32(block + 8), c = load_u32(block + 12);
    return (b & 0x3f3f3f3f) | (uint64_t)((c >> 4 & 0x0f0f0f0f) | (b >> 2 & 0x30303030)) << 32;
}

NEON_INLINE size_t block_bytes(enum block_type type) {
    return type == BLOCK_IQ2_XXS ? 66 : type == BLOCK_Q2_K ? 84 : 144;
}

/* Where a block has its scale; that of the minima follows. */
NEON_INLINE size_t scale_at(enum block_type type) {
    return type == BLOCK_Q2_K ? 80 : 0;
}

/* ---- few tokens: blocks of 256 ----
 * In halves, whose x takes eight registers. */

NEON_INLINE int32x4_t iq2_xxs_dots(const uint8_t *block, int half, const int8x16_t x[8], int32x4_t dots) {
    const uint8_t *groups = block + 2 + 32 * half;
    int32x4_t dot[4];
    for (int g = 0; g < 4; g++) {
        uint64_t group = load_u64(groups + 8 * g);
        dot[g] = vdotq_s32(vdupq_n_s32(0), iq2_xxs_values(group, 0), x[2 * g]);
        dot[g] = vdotq_s32(dot[g], iq2_xxs_values(group, 1), x[2 * g + 1]);
    }
    return vmlaq_s32(dots, lane_sums(dot), iq2_xxs_scales(groups));
}

/* Sixteen times the dots: what is masked in place is 1, 4 or 16 times too large, and its scale is made to fit. */
NEON_INLINE int32x4_t q2_k_dots(const uint8_t *block, int half, const int8x16_t x[8], int32x4_t dots) {
    int32x4_t dot[8];
    for (int side = 0; side < 2; side++) {
        uint8x16_t q = vld1q_u8(block + 16 + 32 * half + 16 * side);
        const uint8x16_t part[4] = {vandq_u8(q, vdupq_n_u8(0x03)), vandq_u8(q, vdupq_n_u8(0x0c)),
                                    vandq_u8(q, vdupq_n_u8(0x30)), vshrq_n_u8(q, 6)};
        for (int row = 0; row < 4; row++)
            dot[2 * row + side] = vdotq_s32(vdupq_n_s32(0), vreinterpretq_s8_u8(part[row]), x[2 * row + side]);
    }
    const int8x8_t shift = vcreate_s8(0x0404000002020404);
    uint8x8_t scale = vshl_u8(vand_u8(vld1_u8(block + 8 * half), vdup_n_u8(15)), shift);
    uint16x8_t wide = vmovl_u8(scale);
    dots = vmlaq_s32(dots, lane_sums(dot), vreinterpretq_s32_u32(vmovl_u16(vget_low_u16(wide))));
    return vmlaq_s32(dots, lane_sums(dot + 4), vreinterpretq_s32_u32(vmovl_high_u16(wide)));
}

NEON_INLINE int32x4_t q4_k_dots(const uint8_t *block, int half, const int8x16_t x[8], int32x4_t dots) {
    int32x4_t dot[4];
    for (int pair = 0; pair < 2; pair++) {
        const uint8_t *q = block + 16 + 64 * half + 32 * pair;
        uint8x16_t a = vld1q_u8(q), b = vld1q_u8(q + 16), low = vdupq_n_u8(15);
        const int8x16_t *px = x + 4 * pair;
        int32x4_t first = vdotq_s32(vdupq_n_s32(0), vreinterpretq_s8_u8(vandq_u8(a, low)), px[0]);
        int32x4_t second = vdotq_s32(vdupq_n_s32(0), vreinterpretq_s8_u8(vshrq_n_u8(a, 4)), px[2]);
        dot[2 * pair] = vdotq_s32(first, vreinterpretq_s8_u8(vandq_u8(b, low)), px[1]);
        dot[2 * pair + 1] = vdotq_s32(second, vreinterpretq_s8_u8(vshrq_n_u8(b, 4)), px[3]);
    }
    uint16x8_t scale = vmovl_u8(vcreate_u8(q4_k_scales(block)));
    uint32x4_t wide = half ? vmovl_high_u16(scale) : vmovl_u16(vget_low_u16(scale));
    return vmlaq_s32(dots, lane_sums(dot), vreinterpretq_s32_u32(wide));
}

/* The minima times the sums of x, in four parts. */
NEON_INLINE int32x4_t q2_k_min_sums(const uint8_t *block, const int16x8_t sum[2]) {
    uint8x16_t min = vshrq_n_u8(vld1q_u8(block), 4);
    int16x8_t low = vreinterpretq_s16_u16(vmovl_u8(vget_low_u8(min)));
    int16x8_t high = vreinterpretq_s16_u16(vmovl_high_u8(min));
    int32x4_t mins = vmull_s16(vget_low_s16(low), vget_low_s16(sum[0]));
    mins = vmlal_high_s16(mins, low, sum[0]);
    mins = vmlal_s16(mins, vget_low_s16(high), vget_low_s16(sum[1]));
    return vmlal_high_s16(mins, high, sum[1]);
}

NEON_INLINE int32x4_t q4_k_min_sums(const uint8_t *block, const int16x8_t sum[2]) {
    int16x8_t min = vreinterpretq_s16_u16(vmovl_u8(vcreate_u8(q4_k_mins(block))));
    int16x8_t sums = vpaddq_s16(sum[0], sum[1]);
    return vmlal_high_s16(vmull_s16(vget_low_s16(min), vget_low_s16(sums)), min, sums);
}

NEON_INLINE int32x4_t half_dots(enum block_type type, const uint8_t *block, int half, const int8x16_t x[8],
                                int32x4_t dots) {
    return type == BLOCK_IQ2_XXS ? iq2_xxs_dots(block, half, x, dots)
           : type == BLOCK_Q2_K  ? q2_k_dots(block, half, x, dots)
                                 : q4_k_dots(block, half, x, dots);
}

NEON_INLINE void prefetch(const uint8_t *from, size_t n_bytes) {
    for (size_t i = 0; i < n_bytes; i += 64) __builtin_prefetch(from + i);
}

/* w: rows; those prefetched lie `ahead` bytes behind them. */
NEON_INLINE void direct_256(enum block_type type, const uint8_t *const w[DIRECT_ROWS], size_t ahead, const int8_t *x,
                            size_t n, float out[DIRECT_ROWS]) {
    const float *x_scale = activation_scales(x, n);
    const int16_t *x_sum = activation_sums(ACTIVATION_Q256, x, n);
    float32x4_t sum = vdupq_n_f32(0);
    for (size_t b = 0, at = 0; b < n / 256; b++, at += block_bytes(type)) {
        int32x4_t dots[DIRECT_ROWS] = {vdupq_n_s32(0), vdupq_n_s32(0), vdupq_n_s32(0), vdupq_n_s32(0)};
        for (int r = 0; r < DIRECT_ROWS; r++) prefetch(w[r] + at + ahead, block_bytes(type));
        for (int half = 0; half < 2; half++) {
            int8x16_t part[8];
            for (int i = 0; i < 8; i++) part[i] = vld1q_s8(x + 256 * b + (size_t)(128 * half + 16 * i));
            for (int r = 0; r < DIRECT_ROWS; r++) dots[r] = half_dots(type, w[r] + at, half, part, dots[r]);
        }
        const uint8_t *d[DIRECT_ROWS];
        for (int r = 0; r < DIRECT_ROWS; r++) d[r] = w[r] + at + scale_at(type);
        float32x4_t scale = four_halves(d[0], d[1], d[2], d[3]);
        int32x4_t all = lane_sums(dots);
        if (type == BLOCK_IQ2_XXS) scale = vmulq_n_f32(scale, 0.125f);
        if (type == BLOCK_Q2_K) all = vshrq_n_s32(all, 4);
        sum = vfmaq_f32(sum, vcvtq_f32_s32(all), vmulq_n_f32(scale, x_scale[b]));
        if (type == BLOCK_IQ2_XXS) continue;

        const int16x8_t sums[2] = {vld1q_s16(x_sum + 16 * b), vld1q_s16(x_sum + 16 * b + 8)};
        int32x4_t mins[DIRECT_ROWS];
        for (int r = 0; r < DIRECT_ROWS; r++)
            mins[r] = type == BLOCK_Q2_K ? q2_k_min_sums(w[r] + at, sums) : q4_k_min_sums(w[r] + at, sums);
        scale = four_halves(d[0] + 2, d[1] + 2, d[2] + 2, d[3] + 2);
        sum = vfmsq_f32(sum, vcvtq_f32_s32(lane_sums(mins)), vmulq_n_f32(scale, x_scale[b]));
    }
    vst1q_f32(out, sum);
}

/* ---- few tokens ---- */

typedef void direct_function(const uint8_t *const w[DIRECT_ROWS], size_t ahead, const void *x, size_t n,
                             float out[DIRECT_ROWS]);

DOTPROD static void direct_iq2_xxs(const uint8_t *const w[DIRECT_ROWS], size_t ahead, const void *x, size_t n,
                                   float out[DIRECT_ROWS]) {
    direct_256(BLOCK_IQ2_XXS, w, ahead, x, n, out);
}

DOTPROD static void direct_q2_k(const uint8_t *const w[DIRECT_ROWS], size_t ahead, const void *x, size_t n,
                                float out[DIRECT_ROWS]) {
    direct_256(BLOCK_Q2_K, w, ahead, x, n, out);
}

DOTPROD static void direct_q4_k(const uint8_t *const w[DIRECT_ROWS], size_t ahead, const void *x, size_t n,
                                float out[DIRECT_ROWS]) {
    direct_256(BLOCK_Q4_K, w, ahead, x, n, out);
}

NEON_INLINE int32x4_t q8_0_block(const uint8_t *block, int8x16_t x0, int8x16_t x1) {
    return vdotq_s32(vdotq_s32(vdupq_n_s32(0), load_s8(block + 2), x0), load_s8(block + 18), x1);
}

/* Four blocks of a row: block i adds to lane i. */
NEON_INLINE float32x4_t q8_0_add(float32x4_t sum, const uint8_t *w, const int8x16_t x[8], float32x4_t x_scale) {
    int32x4_t dot[4];
    for (int i = 0; i < 4; i++) dot[i] = q8_0_block(w + 34 * i, x[2 * i], x[2 * i + 1]);
    float32x4_t scale = vmulq_f32(four_halves(w, w + 34, w + 68, w + 102), x_scale);
    return vfmaq_f32(sum, vcvtq_f32_s32(lane_sums(dot)), scale);
}

DOTPROD static void direct_q8_0(const uint8_t *const w[DIRECT_ROWS], size_t ahead, const void *x, size_t n,
                                float out[DIRECT_ROWS]) {
    const int8_t *q = x;
    const float *x_scale = activation_scales(q, n);
    float32x4_t sum[2][DIRECT_ROWS];
    for (int i = 0; i < 2 * DIRECT_ROWS; i++) sum[i / DIRECT_ROWS][i % DIRECT_ROWS] = vdupq_n_f32(0);
    size_t b = 0;
    for (; b + 8 <= n / 32; b += 8)
        for (size_t half = 0; half < 2; half++) {
            size_t first = b + 4 * half;
            int8x16_t part[8];
            for (size_t i = 0; i < 8; i++) part[i] = vld1q_s8(q + 32 * first + 16 * i);
            for (int r = 0; r < DIRECT_ROWS; r++) {
                const uint8_t *at = w[r] + 34 * first;
                prefetch(at + ahead, 2 * 64);
                sum[half][r] = q8_0_add(sum[half][r], at, part, vld1q_f32(x_scale + first));
            }
        }
    for (; b < n / 32; b++)
        for (int r = 0; r < DIRECT_ROWS; r++) {
            float lane[4];
            const uint8_t *at = w[r] + 34 * b;
            float32x4_t *s = &sum[b % 8 / 4][r];
            int dot = vaddvq_s32(q8_0_block(at, vld1q_s8(q + 32 * b), vld1q_s8(q + 32 * b + 16)));
            vst1q_f32(lane, *s);
            lane[b % 4] = fmaf((float)dot, half_to_float(load_u16(at)) * x_scale[b], lane[b % 4]);
            *s = vld1q_f32(lane);
        }
    float32x4_t total = vdupq_n_f32(0);
    for (int half = 0; half < 2; half++) {
        int32x4_t lane[4];
        for (int r = 0; r < DIRECT_ROWS; r++) lane[r] = vreinterpretq_s32_f32(sum[half][r]);
        transpose(lane);
        for (int i = 0; i < 4; i++) {
            float32x4_t rows = vreinterpretq_f32_s32(lane[i]);
            total = half == 0 && i == 0 ? rows : vaddq_f32(total, rows);
        }
    }
    vst1q_f32(out, total);
}

/* n is a multiple of 16. */
DOTPROD static void direct_f16(const uint8_t *const w[DIRECT_ROWS], size_t ahead, const void *x, size_t n,
                               float out[DIRECT_ROWS]) {
    const float *value = x;
    float32x4_t sum[DIRECT_ROWS][4];
    for (int r = 0; r < DIRECT_ROWS; r++)
        for (int i = 0; i < 4; i++) sum[r][i] = vdupq_n_f32(0);
    for (size_t k = 0; k < n; k += 16) {
        float32x4_t part[4];
        for (int i = 0; i < 4; i++) part[i] = vld1q_f32(value + k + (size_t)(4 * i));
        for (int r = 0; r < DIRECT_ROWS; r++) {
            const uint8_t *at = w[r] + 2 * k;
            if (k % 32 == 0) __builtin_prefetch(at + ahead);
            for (int i = 0; i < 2; i++) {
                float16x8_t half = vreinterpretq_f16_u8(vld1q_u8(at + 16 * i));
                sum[r][2 * i] = vfmaq_f32(sum[r][2 * i], vcvt_f32_f16(vget_low_f16(half)), part[2 * i]);
                sum[r][2 * i + 1] = vfmaq_f32(sum[r][2 * i + 1], vcvt_high_f32_f16(half), part[2 * i + 1]);
            }
        }
    }
    for (int r = 0; r < DIRECT_ROWS; r++) {
        float32x4_t low = vaddq_f32(sum[r][0], sum[r][2]), high = vaddq_f32(sum[r][1], sum[r][3]);
        float32x4_t four = vaddq_f32(low, high); /* s0 + s4, s1 + s5, s2 + s6, s3 + s7 */
        out[r] =
            (vgetq_lane_f32(four, 0) + vgetq_lane_f32(four, 2)) + (vgetq_lane_f32(four, 1) + vgetq_lane_f32(four, 3));
    }
}

/* The last rows are repeated where fewer are left. */
static void run_direct(const product *p, direct_function *function) {
    for (size_t row = 0; row < p->n_rows; row += DIRECT_ROWS) {
        size_t left = p->n_rows - row, n = left < DIRECT_ROWS ? left : DIRECT_ROWS;
        const uint8_t *w[DIRECT_ROWS];
        for (size_t r = 0; r < DIRECT_ROWS; r++) w[r] = p->w + (row + (r < n ? r : n - 1)) * p->row_bytes;
        size_t ahead = left >= 2 * DIRECT_ROWS ? DIRECT_ROWS * p->row_bytes : 0;
        for (int t = 0; t < p->n_tokens; t++) {
            float out[DIRECT_ROWS];
            function(w, ahead, p->x[t], p->n, out);
            memcpy(p->y[t] + row, out, n * sizeof *out);
        }
    }
}

/* ---- many tokens ---- */

/* Eight rows of a Q8_0 block, or of one of 256. q has 16 weights of all rows after each other; in which order they, and
 * the values of each row, are wanted depends on the instructions. */
typedef struct panel_32 {
    int8_t q[2][TILE_ROWS * 16];
    float scale[2 * TILE_ROWS];
} panel_32;

typedef struct panel_256 {
    int8_t q[16][TILE_ROWS * 16];
    int8_t mins[TILE_ROWS * 16];     /* of 16 sub-blocks */
    int32_t group[8][2 * TILE_ROWS]; /* scales of groups of 32; for Q2_K they are in q */
    float scale[2 * TILE_ROWS], min_scale[2 * TILE_ROWS];
} panel_256;

/* Values 16 * step to 16 * step + 15 of a block. */
NEON_INLINE int8x16_t block_values(enum block_type type, const uint8_t *block, int step) {
    if (type == BLOCK_Q8_0) return load_s8(block + 2 + 16 * step);
    if (type == BLOCK_IQ2_XXS) return iq2_xxs_values(load_u64(block + 2 + 8 * (step / 2)), step % 2);
    if (type == BLOCK_Q2_K) {
        uint8x16_t q = vld1q_u8(block + 16 + 32 * (step / 8) + 16 * (step % 2));
        q = vandq_u8(vshlq_u8(q, vdupq_n_s8((int8_t)(-2 * (step % 8 / 2)))), vdupq_n_u8(3));
        return vreinterpretq_s8_u8(vmulq_u8(q, vdupq_n_u8(block[step] & 15)));
    }
    uint8x16_t q = vld1q_u8(block + 16 + 32 * (step / 4) + 16 * (step % 2));
    return vreinterpretq_s8_u8(step / 2 % 2 ? vshrq_n_u8(q, 4) : vandq_u8(q, vdupq_n_u8(15)));
}

/* The scales of a block's eight groups of 32. */
NEON_INLINE uint8x8_t group_scales(enum block_type type, const uint8_t *block) {
    if (type == BLOCK_Q4_K) return vcreate_u8(q4_k_scales(block));
    const uint8_t *groups = block + 2;
    uint16x8_t scale =
        vuzp1q_u16(vreinterpretq_u16_s32(iq2_xxs_scales(groups)), vreinterpretq_u16_s32(iq2_xxs_scales(groups + 32)));
    return vmovn_u16(scale);
}

/* The minima of 16 sub-blocks, 0..63. */
NEON_INLINE int8x16_t block_mins(enum block_type type, const uint8_t *block) {
    if (type == BLOCK_Q2_K) return vreinterpretq_s8_u8(vshrq_n_u8(vld1q_u8(block), 4));
    int8x8_t min = vcreate_s8(q4_k_mins(block));
    return vcombine_s8(vzip1_s8(min, min), vzip2_s8(min, min));
}

#define PANEL_NAME(name) name##_dotprod
#define PANEL_TARGET DOTPROD
#define PANEL_MATRIX 0
#include "backend/cpu/kernels_neon_panel.inc"
#define PANEL_NAME(name) name##_i8mm
#define PANEL_TARGET I8MM
#define PANEL_MATRIX 1
#include "backend/cpu/kernels_neon_panel.inc"

DOTPROD static void product_f16(const product *p) {
    if (p->n % 16 == 0 && p->n_tokens < PANEL_TOKENS) {
        run_direct(p, direct_f16);
        return;
    }
    float *panel = p->scratch;
    for (size_t row = 0; row < p->n_rows; row += PANEL_ROWS) {
        size_t n_rows = p->n_rows - row < PANEL_ROWS ? p->n_rows - row : PANEL_ROWS;
        for (size_t r = 0; r < n_rows; r++) {
            const uint8_t *from = p->w + (row + r) * p->row_bytes;
            float *to = panel + r * p->n;
            size_t i = 0;
            for (; i + 4 <= p->n; i += 4) vst1q_f32(to + i, vcvt_f32_f16(vreinterpret_f16_u8(vld1_u8(from + 2 * i))));
            for (; i < p->n; i++) to[i] = half_to_float(load_u16(from + 2 * i));
        }
        FLOAT_KERNELS.dot_tile(panel, p->n, n_rows, (const float *const *)p->x, p->n_tokens, p->n, p->y, row);
    }
}

/* ---- tables ---- */

#if defined(__APPLE__)
static bool has_feature(const char *name) {
    int value = 0;
    size_t size = sizeof value;
    return sysctlbyname(name, &value, &size, NULL, 0) == 0 && value != 0;
}

static bool has_dotprod(void) {
    return has_feature("hw.optional.arm.FEAT_DotProd");
}

static bool has_i8mm(void) {
    return has_dotprod() && has_feature("hw.optional.arm.FEAT_I8MM");
}
#else
static bool has_dotprod(void) {
    return getauxval(AT_HWCAP) & HWCAP_ASIMDDP;
}

static bool has_i8mm(void) {
    return has_dotprod() && (getauxval(AT_HWCAP2) & HWCAP2_I8MM);
}
#endif

const cpu_kernels cpu_kernels_neon_dotprod = {
    .name = "neon_dotprod",
    .supported = has_dotprod,
    .quantise_32 = quantise_32,
    .quantise_256 = quantise_256,
    .q8_0 = product_q8_0_dotprod,
    .iq2_xxs = product_iq2_xxs_dotprod,
    .q2_k = product_q2_k_dotprod,
    .q4_k = product_q4_k_dotprod,
    .f16 = product_f16,
    .f = &FLOAT_KERNELS,
};

const cpu_kernels cpu_kernels_neon_i8mm = {
    .name = "neon_i8mm",
    .supported = has_i8mm,
    .quantise_32 = quantise_32,
    .quantise_256 = quantise_256,
    .q8_0 = product_q8_0_i8mm,
    .iq2_xxs = product_iq2_xxs_i8mm,
    .q2_k = product_q2_k_i8mm,
    .q4_k = product_q4_k_i8mm,
    .f16 = product_f16,
    .f = &FLOAT_KERNELS,
};

#endif
