/*
 * Inner loops for AVX2, FMA and F16C: Intel since Haswell, AMD since Zen.
 *
 * There is one multiplication of bytes, vpmaddubsw: unsigned times signed, neighbours added in 16 bits. Weights with a
 * sign are split into magnitude and sign, and the sign goes to the input: 2 * 128 * 127 fits.
 *
 * One token: rows are walked along as they are stored. Lanes are neighbours in a row, and those of eight blocks (Q8_0)
 * or four rows are added up together. Many tokens: see kernels_avx2_panel.inc.
 *
 * What the loops cost was counted on Zen 3, which does four vector instructions and two vector loads a cycle: the
 * fewer instructions, the better, and hardly any other rule.
 */
#include "backend/cpu/kernels.h"

#if defined(__x86_64__)
#include "gguf/iq2_grid.h"

#include <cpuid.h>
#include <immintrin.h>
#include <string.h>

#include "backend/cpu/float_kernels.inc"

#define KERNEL static inline __attribute__((always_inline))
/* A loop that needs all registers is compiled apart from its surroundings. */
#define ALONE static __attribute__((noinline))

/* ---- helpers ---- */

KERNEL __m256i load(const void *from) {
    return _mm256_loadu_si256(from);
}
KERNEL void store(void *to, __m256i x) {
    _mm256_storeu_si256(to, x);
}
KERNEL uint16_t load_u16(const uint8_t *from) {
    uint16_t value;
    memcpy(&value, from, sizeof value);
    return value;
}
KERNEL uint32_t load_u32(const void *from) {
    uint32_t value;
    memcpy(&value, from, sizeof value);
    return value;
}
/* Four bytes (or two words) in all lanes. */
KERNEL __m256i broadcast_32(const void *from) {
    return _mm256_set1_epi32((int)load_u32(from));
}

/* The compiler may not know what is in an array. It would take parts of a vector that was stored there out of a
 * register, which is dearer than to load them. */
#define IN_MEMORY(array) __asm__ volatile("" : : "r"(array) : "memory")

/* sum + x, now: GCC would rather keep all terms of a long sum in memory and add them up in a tree. */
KERNEL __m256i add_32(__m256i sum, __m256i x) {
    __asm__("vpaddd %1, %0, %0" : "+x"(sum) : "x"(x));
    return sum;
}
KERNEL __m256i add_16(__m256i sum, __m256i x) {
    __asm__("vpaddw %1, %0, %0" : "+x"(sum) : "x"(x));
    return sum;
}

/* Neighbours of 16 bits become sums of 32. */
KERNEL __m256i add_pairs(__m256i words) {
    return _mm256_madd_epi16(words, _mm256_set1_epi16(1));
}

/* Each half: lanes a0 + a2, b0 + b2, a1 + a3, b1 + b3 */
KERNEL __m256i fold_two(__m256i a, __m256i b) {
    return _mm256_add_epi32(_mm256_unpacklo_epi32(a, b), _mm256_unpackhi_epi32(a, b));
}
/* Each half: the sums of its four lanes of each x */
KERNEL __m256i fold_four(const __m256i x[4]) {
    __m256i a = fold_two(x[0], x[1]), b = fold_two(x[2], x[3]);
    return _mm256_add_epi32(_mm256_unpacklo_epi64(a, b), _mm256_unpackhi_epi64(a, b));
}
/* The sums of the eight lanes of each x */
KERNEL __m128i sums_of_four(const __m256i x[4]) {
    __m256i folded = fold_four(x);
    return _mm_add_epi32(_mm256_castsi256_si128(folded), _mm256_extracti128_si256(folded, 1));
}
KERNEL __m256i sums_of_eight(const __m256i x[8]) {
    __m256i a = fold_four(x), b = fold_four(x + 4);
    return _mm256_add_epi32(_mm256_blend_epi32(a, b, 0xf0), _mm256_permute2x128_si256(a, b, 0x21));
}

KERNEL __m256 eight_halves(const uint8_t *from) {
    return _mm256_cvtph_ps(_mm_loadu_si128((const void *)from));
}

/* The halves at each from + at; n is 4 or 8, a constant to the compiler. */
KERNEL __m128i gather_halves(const uint8_t *const *from, size_t at, int n) {
    __m128i halves = _mm_cvtsi32_si128(load_u16(from[0] + at));
    halves = _mm_insert_epi16(halves, load_u16(from[1] + at), 1);
    halves = _mm_insert_epi16(halves, load_u16(from[2] + at), 2);
    halves = _mm_insert_epi16(halves, load_u16(from[3] + at), 3);
    if (n == 4) return halves;
    halves = _mm_insert_epi16(halves, load_u16(from[4] + at), 4);
    halves = _mm_insert_epi16(halves, load_u16(from[5] + at), 5);
    halves = _mm_insert_epi16(halves, load_u16(from[6] + at), 6);
    return _mm_insert_epi16(halves, load_u16(from[7] + at), 7);
}

/* The n_bytes that lie ahead bytes behind at, which need not be there. */
KERNEL void prefetch(const uint8_t *at, size_t ahead, size_t n_bytes) {
    uintptr_t from = (uintptr_t)at + ahead;
    for (size_t i = 0; i < n_bytes; i += 64) _mm_prefetch((const char *)(from + i), _MM_HINT_T0);
}

/* ---- quantising ---- */

static float largest_magnitude(const float *x, size_t n) {
    __m256 largest = _mm256_setzero_ps();
    /* the second operand stays if the first is not a number */
    for (size_t i = 0; i < n; i += 8)
        largest = _mm256_max_ps(_mm256_andnot_ps(_mm256_set1_ps(-0.0f), _mm256_loadu_ps(x + i)), largest);
    __m128 four = _mm_max_ps(_mm256_castps256_ps128(largest), _mm256_extractf128_ps(largest, 1));
    four = _mm_max_ps(four, _mm_movehl_ps(four, four));
    return _mm_cvtss_f32(_mm_max_ss(four, _mm_movehdup_ps(four)));
}

KERNEL __m256i quantise_eight(const float *x, __m256 inverse) {
    __m256 value = _mm256_min_ps(_mm256_mul_ps(_mm256_loadu_ps(x), inverse), _mm256_set1_ps(127.0f));
    return _mm256_cvtps_epi32(_mm256_max_ps(value, _mm256_set1_ps(-127.0f)));
}

/* One group of n values; returns its scale. */
static float quantise_group(const float *x, size_t n, int8_t *q) {
    float largest = largest_magnitude(x, n);
    if (!(largest >= 0x1p-100f)) {
        memset(q, 0, n);
        return 0;
    }
    __m256 inverse = _mm256_set1_ps(127.0f / largest);
    for (size_t i = 0; i < n; i += 32) {
        __m256i a = _mm256_packs_epi32(quantise_eight(x + i, inverse), quantise_eight(x + i + 8, inverse));
        __m256i b = _mm256_packs_epi32(quantise_eight(x + i + 16, inverse), quantise_eight(x + i + 24, inverse));
        /* packing works within halves: groups of four are in the order 0 2 4 6 1 3 5 7 */
        __m256i order = _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7);
        store(q + i, _mm256_permutevar8x32_epi32(_mm256_packs_epi16(a, b), order));
    }
    return largest / 127.0f;
}

static void quantise(activation_kind kind, const float *x, size_t n, int8_t *out) {
    size_t group = kind == ACTIVATION_Q32 ? 32 : 256;
    float *scales = (float *)(void *)(out + n);
    int16_t *sums = (int16_t *)(void *)(scales + n / group);
    for (size_t g = 0; g < n / group; g++) scales[g] = quantise_group(x + g * group, group, out + g * group);
    for (size_t i = 0; i < n; i += 32) {
        /* sums of four, then of the four lanes of each half */
        __m256i part = add_pairs(_mm256_maddubs_epi16(_mm256_set1_epi8(1), load(out + i)));
        part = _mm256_add_epi32(part, _mm256_shuffle_epi32(part, 0x4e));
        part = _mm256_add_epi32(part, _mm256_shuffle_epi32(part, 0xb1));
        int low = _mm256_extract_epi32(part, 0), high = _mm256_extract_epi32(part, 4);
        if (kind == ACTIVATION_Q32) {
            sums[i / 32] = (int16_t)(low + high);
        } else {
            sums[i / 16] = (int16_t)low;
            sums[i / 16 + 1] = (int16_t)high;
        }
    }
}

static void quantise_32(const float *x, size_t n, int8_t *out) {
    quantise(ACTIVATION_Q32, x, n, out);
}
static void quantise_256(const float *x, size_t n, int8_t *out) {
    quantise(ACTIVATION_Q256, x, n, out);
}

/* ---- one token ---- */

/*
 * ROWS are walked along together, each in a quarter of the task of its own: what is read are four long streams, which
 * hardware recognises, and which can be asked for PREFETCH_BYTES ahead, wherever rows end.
 */
enum { ROWS = 4, PREFETCH_BYTES = 2048 };

/* Lanes are sums of four products. */
KERNEL __m256i dots_q8_0(const uint8_t *block, const int8_t *x) {
    __m256i w = load(block + 2);
    __asm__("" : "+x"(w)); /* a second load would cost more than the register */
    return add_pairs(_mm256_maddubs_epi16(_mm256_abs_epi8(w), _mm256_sign_epi8(load(x), w)));
}

/* The last blocks, fewer than eight. */
ALONE __m256 rest_q8_0(__m256 sum, const uint8_t *w, const int8_t *x, const float *scale, size_t n_blocks) {
    __m256i part[8] = {0};
    uint16_t half[8] = {0};
    for (size_t i = 0; i < n_blocks; i++) {
        part[i] = dots_q8_0(w + i * 34, x + i * 32);
        half[i] = load_u16(w + i * 34);
    }
    __m256i used = _mm256_cmpgt_epi32(_mm256_set1_epi32((int)n_blocks), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
    __m256 factor = _mm256_mul_ps(eight_halves((const uint8_t *)half), _mm256_maskload_ps(scale, used));
    __m256 next = _mm256_fmadd_ps(_mm256_cvtepi32_ps(sums_of_eight(part)), factor, sum);
    /* sums that get no block stay as they are, even if they are -0 */
    return _mm256_blendv_ps(sum, next, _mm256_castsi256_ps(used));
}

ALONE void rows_q8_0(const uint8_t *const w[ROWS], const void *input, size_t n, float y[ROWS]) {
    const int8_t *x = input;
    const float *scale = activation_scales(x, n);
    __m256 sum[ROWS] = {0};
    size_t n_blocks = n / 32, b = 0;
    for (; b + 8 <= n_blocks; b += 8)
        for (int r = 0; r < ROWS; r++) {
            const uint8_t *block[8];
            __m256i part[8];
            prefetch(w[r] + b * 34, PREFETCH_BYTES, 8 * 34);
#pragma GCC unroll 8
            for (size_t i = 0; i < 8; i++) {
                block[i] = w[r] + (b + i) * 34;
                part[i] = dots_q8_0(block[i], x + (b + i) * 32);
            }
            __m256 factor = _mm256_mul_ps(_mm256_cvtph_ps(gather_halves(block, 0, 8)), _mm256_loadu_ps(scale + b));
            sum[r] = _mm256_fmadd_ps(_mm256_cvtepi32_ps(sums_of_eight(part)), factor, sum[r]);
        }
    for (int r = 0; r < ROWS; r++) {
        if (b < n_blocks) sum[r] = rest_q8_0(sum[r], w[r] + b * 34, x + b * 32, scale + b, n_blocks - b);
        float lane[8];
        _mm256_storeu_ps(lane, sum[r]);
        y[r] = ((((((lane[0] + lane[1]) + lane[2]) + lane[3]) + lane[4]) + lane[5]) + lane[6]) + lane[7];
    }
}

/* IQ2_XXS: what the eight groups of a block say about signs and scales. */
struct iq2_groups {
    uint64_t signs[8];  /* per eight weights a word: the eight bits, and the same moved down by one */
    uint32_t scales[8]; /* 2 * scale + 1 in both words */
};

KERNEL void iq2_groups_load(const uint8_t *block, struct iq2_groups *groups) {
    /* groups are in the order 0 1 4 5 2 3 6 7 until they are stored */
    __m256 low = _mm256_castsi256_ps(load(block + 2)), high = _mm256_castsi256_ps(load(block + 34));
    __m256i a = _mm256_castps_si256(_mm256_shuffle_ps(low, high, 0xdd));

    __m256i scales = _mm256_srli_epi32(a, 28);
    scales = _mm256_or_si256(_mm256_add_epi32(scales, scales), _mm256_set1_epi32(1));
    scales = _mm256_or_si256(scales, _mm256_slli_epi32(scales, 16));
    store(groups->scales, _mm256_permute4x64_epi64(scales, 0xd8));

    /* four times seven bits to four bytes */
    __m256i words = _mm256_or_si256(_mm256_and_si256(a, _mm256_set1_epi32(0x3fff)),
                                    _mm256_and_si256(_mm256_slli_epi32(a, 2), _mm256_set1_epi32(0x3fff0000)));
    __m256i bits = _mm256_or_si256(_mm256_and_si256(words, _mm256_set1_epi16(0x7f)),
                                   _mm256_and_si256(_mm256_slli_epi16(words, 1), _mm256_set1_epi16(0x7f00)));
    /* the eighth makes their number even */
    const char o = -128;
    __m256i odd = _mm256_broadcastsi128_si256(_mm_setr_epi8(0, o, o, 0, o, 0, 0, o, o, 0, 0, o, 0, o, o, 0));
    __m256i nibbles = _mm256_xor_si256(bits, _mm256_srli_epi16(bits, 4));
    nibbles = _mm256_and_si256(nibbles, _mm256_set1_epi8(15));
    bits = _mm256_or_si256(bits, _mm256_shuffle_epi8(odd, nibbles));

    __m256i lowered = _mm256_srli_epi16(bits, 1);
    store(groups->signs, _mm256_unpacklo_epi8(bits, lowered));
    store(groups->signs + 4, _mm256_unpackhi_epi8(bits, lowered));
}

/* For sign_epi8: bytes are negative where the weight is, and never 0. The word of eight weights is multiplied so that a
 * pair's first bit comes to the top of the low byte and the second, which lies one lower in the high byte, to the top
 * there.
 */
KERNEL __m256i iq2_signs(const uint64_t *signs) {
    const __m256i word = _mm256_setr_epi8(0, 1, 0, 1, 0, 1, 0, 1, 2, 3, 2, 3, 2, 3, 2, 3, /* high half */
                                          4, 5, 4, 5, 4, 5, 4, 5, 6, 7, 6, 7, 6, 7, 6, 7);
    const __m256i factor = _mm256_set1_epi64x(0x0002000800200080);
    __m256i tops = _mm256_mullo_epi16(_mm256_shuffle_epi8(_mm256_set1_epi64x((long long)*signs), word), factor);
    return _mm256_or_si256(tops, _mm256_set1_epi8(1));
}

/* Indices are loaded byte by byte: taking them out of a word costs two instructions each. */
KERNEL __m256i iq2_magnitudes(const uint8_t *index) {
    __m128 low = _mm_castsi128_ps(_mm_loadl_epi64((const void *)(iq2_xxs_grid + index[0])));
    __m128 high = _mm_castsi128_ps(_mm_loadl_epi64((const void *)(iq2_xxs_grid + index[2])));
    low = _mm_loadh_pi(low, (const void *)(iq2_xxs_grid + index[1]));
    high = _mm_loadh_pi(high, (const void *)(iq2_xxs_grid + index[3]));
    return _mm256_castps_si256(_mm256_insertf128_ps(_mm256_castps128_ps256(low), high, 1));
}

ALONE void rows_iq2_xxs(const uint8_t *const w[ROWS], const void *input, size_t n, float y[ROWS]) {
    const int8_t *x = input;
    const float *scale = activation_scales(x, n);
    __m128 sum = _mm_setzero_ps();
    for (size_t b = 0; b < n / 256; b++) {
        const uint8_t *block[ROWS];
        struct iq2_groups groups[ROWS];
        __m256i dots[ROWS];
        for (int r = 0; r < ROWS; r++) {
            block[r] = w[r] + b * 66;
            prefetch(block[r], PREFETCH_BYTES, 66);
            iq2_groups_load(block[r], &groups[r]);
            dots[r] = _mm256_setzero_si256();
        }
        IN_MEMORY(groups);
#pragma GCC unroll 1
        for (int g = 0; g < 8; g++, x += 32) {
            __m256i values = load(x);
#pragma GCC unroll 4
            for (int r = 0; r < ROWS; r++) {
                __m256i with_signs = _mm256_sign_epi8(values, iq2_signs(groups[r].signs + g));
                __m256i pairs = _mm256_maddubs_epi16(iq2_magnitudes(block[r] + 2 + 8 * g), with_signs);
                dots[r] = add_32(dots[r], _mm256_madd_epi16(pairs, broadcast_32(groups[r].scales + g)));
            }
        }
        __m128 factor = _mm_mul_ps(_mm_cvtph_ps(gather_halves(block, 0, ROWS)), _mm_set1_ps(0.125f));
        factor = _mm_mul_ps(factor, _mm_set1_ps(scale[b]));
        sum = _mm_fmadd_ps(_mm_cvtepi32_ps(sums_of_four(dots)), factor, sum);
    }
    _mm_storeu_ps(y, sum);
}

/*
 * Q2_K and Q4_K. The two bits of a Q2_K weight are masked where they lie in their byte and so are 1, 4 or 16 times too
 * large. Scales make up for it: all its dots come out 16 times too large.
 */
KERNEL __m256i k_weights(uint32_t type, const uint8_t *block, int i) {
    if (type == BLOCK_Q4_K) {
        __m256i q = load(block + 16 + 32 * (i / 2));
        return _mm256_and_si256(i % 2 ? _mm256_srli_epi16(q, 4) : q, _mm256_set1_epi8(15));
    }
    __m256i q = load(block + 16 + 32 * (i / 4));
    switch (i % 4) {
    case 0: return _mm256_and_si256(q, _mm256_set1_epi8(0x03));
    case 1: return _mm256_and_si256(q, _mm256_set1_epi8(0x0c));
    case 2: return _mm256_and_si256(q, _mm256_set1_epi8(0x30));
    default: return _mm256_and_si256(_mm256_srli_epi16(q, 2), _mm256_set1_epi8(0x30));
    }
}

KERNEL __m128i low_nibbles(__m128i x) {
    return _mm_and_si128(x, _mm_set1_epi8(15));
}

/* The eight scales of Q4_K, or its eight minima, as bytes. */
KERNEL __m128i q4_k_scales(const uint8_t *block, bool minima) {
    uint32_t first = load_u32(block + (minima ? 8 : 4)), last = load_u32(block + 12) >> (minima ? 4 : 0);
    uint64_t last_four = (last & 0x0f0f0f0f) | (first >> 2 & 0x30303030);
    return _mm_cvtsi64_si128((long long)(last_four << 32 | (first & 0x3f3f3f3f)));
}

/* Word i of each half is the scale of its sixteen of the weights i. */
KERNEL __m256i k_scales(uint32_t type, const uint8_t *block) {
    if (type == BLOCK_Q4_K) return _mm256_broadcastsi128_si256(_mm_cvtepu8_epi16(q4_k_scales(block, false)));
    const __m128i even_then_odd = _mm_setr_epi8(0, 2, 4, 6, 8, 10, 12, 14, 1, 3, 5, 7, 9, 11, 13, 15);
    __m128i scales = _mm_shuffle_epi8(low_nibbles(_mm_loadu_si128((const void *)block)), even_then_odd);
    return _mm256_mullo_epi16(_mm256_cvtepu8_epi16(scales), _mm256_set1_epi64x(0x0001000100040010));
}

/* Minima of sixteen weights each, in words. */
KERNEL __m256i k_minima(uint32_t type, const uint8_t *block) {
    if (type == BLOCK_Q4_K) {
        __m128i minima = q4_k_scales(block, true);
        return _mm256_cvtepu8_epi16(_mm_unpacklo_epi8(minima, minima));
    }
    return _mm256_cvtepu8_epi16(low_nibbles(_mm_srli_epi16(_mm_loadu_si128((const void *)block), 4)));
}

/* Word i of each half, everywhere in it */
KERNEL __m256i spread_word(__m256i words, int i) {
    return _mm256_shuffle_epi8(words, _mm256_set1_epi16((short)(2 * i | (2 * i + 1) << 8)));
}

/* type is a constant to the compiler. */
KERNEL void rows_k(uint32_t type, const uint8_t *const w[ROWS], const int8_t *x, size_t n, float y[ROWS]) {
    const size_t block_bytes = type == BLOCK_Q2_K ? 84 : 144, d_at = type == BLOCK_Q2_K ? 80 : 0;
    const float *scale = activation_scales(x, n);
    const int16_t *sums = activation_sums(ACTIVATION_Q256, x, n);
    __m128 sum = _mm_setzero_ps();
    for (size_t b = 0; b < n / 256; b++, x += 256) {
        const uint8_t *block[ROWS];
        __m256i dots[ROWS], mins[ROWS], scales[ROWS];
        for (int r = 0; r < ROWS; r++) {
            block[r] = w[r] + b * block_bytes;
            prefetch(block[r], PREFETCH_BYTES, block_bytes);
            mins[r] = _mm256_madd_epi16(k_minima(type, block[r]), load(sums + 16 * b));
            scales[r] = k_scales(type, block[r]);
            dots[r] = _mm256_setzero_si256();
        }
        __m128 min_sums = _mm_cvtepi32_ps(sums_of_four(mins));
#pragma GCC unroll 8
        for (int i = 0; i < 8; i++) {
            __m256i values = load(x + 32 * i);
#pragma GCC unroll 4
            for (int r = 0; r < ROWS; r++) {
                __m256i pairs = _mm256_maddubs_epi16(k_weights(type, block[r], i), values);
                dots[r] = add_32(dots[r], _mm256_madd_epi16(pairs, spread_word(scales[r], i)));
            }
        }
        __m128 dot_sums = _mm_cvtepi32_ps(_mm_srai_epi32(sums_of_four(dots), type == BLOCK_Q2_K ? 4 : 0));
        __m128 dx = _mm_set1_ps(scale[b]);
        sum = _mm_fmadd_ps(dot_sums, _mm_mul_ps(_mm_cvtph_ps(gather_halves(block, d_at, ROWS)), dx), sum);
        sum = _mm_fnmadd_ps(min_sums, _mm_mul_ps(_mm_cvtph_ps(gather_halves(block, d_at + 2, ROWS)), dx), sum);
    }
    _mm_storeu_ps(y, sum);
}
ALONE void rows_q2_k(const uint8_t *const w[ROWS], const void *x, size_t n, float y[ROWS]) {
    rows_k(BLOCK_Q2_K, w, x, n, y);
}
ALONE void rows_q4_k(const uint8_t *const w[ROWS], const void *x, size_t n, float y[ROWS]) {
    rows_k(BLOCK_Q4_K, w, x, n, y);
}

/* Sixteen sums, added up in the order of float_kernels.h. */
KERNEL float sum_of_sixteen(__m256 low, __m256 high) {
    __m256 eight = _mm256_add_ps(low, high);
    __m128 four = _mm_add_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));
    __m128 two = _mm_add_ps(four, _mm_movehl_ps(four, four));
    return _mm_cvtss_f32(_mm_add_ss(two, _mm_movehdup_ps(two)));
}

/* n is a multiple of 16. */
ALONE void rows_f16(const uint8_t *const w[ROWS], const void *input, size_t n, float y[ROWS]) {
    const float *x = input;
    __m256 low[ROWS] = {0}, high[ROWS] = {0};
    for (size_t i = 0; i < n; i += 16) {
        __m256 x_low = _mm256_loadu_ps(x + i), x_high = _mm256_loadu_ps(x + i + 8);
#pragma GCC unroll 4
        for (int r = 0; r < ROWS; r++) {
            const uint8_t *at = w[r] + 2 * i;
            if (i % 32 == 0) prefetch(at, PREFETCH_BYTES, 64);
            low[r] = _mm256_fmadd_ps(eight_halves(at), x_low, low[r]);
            high[r] = _mm256_fmadd_ps(eight_halves(at + 16), x_high, high[r]);
        }
    }
    for (int r = 0; r < ROWS; r++) y[r] = sum_of_sixteen(low[r], high[r]);
}

typedef void rows_function(const uint8_t *const w[ROWS], const void *x, size_t n, float y[ROWS]);

static void walk_rows(const product *p, rows_function *rows) {
    size_t quarter = (p->n_rows + ROWS - 1) / ROWS;
    for (size_t i = 0; i < quarter; i++) {
        size_t row[ROWS];
        const uint8_t *w[ROWS];
        for (size_t k = 0; k < ROWS; k++) {
            row[k] = k * quarter + i < p->n_rows ? k * quarter + i : p->n_rows - 1;
            w[k] = p->w + row[k] * p->row_bytes;
        }
        for (int t = 0; t < p->n_tokens; t++) {
            float y[ROWS];
            rows(w, p->x[t], p->n, y);
            for (int k = 0; k < ROWS; k++) p->y[t][row[k]] = y[k];
        }
    }
}

/* ---- many tokens ---- */

#include "backend/cpu/kernels_avx2_panel.inc"

/* ---- products ---- */

/* From so many tokens on, decoding into panels pays. */
enum { MANY_Q8_0 = 3, MANY_IQ2_XXS = 2, MANY_Q2_K = 3, MANY_Q4_K = 3, MANY_F16 = 2 };

static void product_q8_0(const product *p) {
    if (p->n_tokens < MANY_Q8_0)
        walk_rows(p, rows_q8_0);
    else
        run_panels(p, p->n / 32 * Q8_0_BYTES, fill_q8_0, panel_q8_0);
}

static void product_iq2_xxs(const product *p) {
    if (p->n_tokens < MANY_IQ2_XXS)
        walk_rows(p, rows_iq2_xxs);
    else
        run_panels(p, p->n / 256 * shape_bytes(IQ2_XXS_SHAPE), fill_iq2_xxs, panel_iq2_xxs);
}

static void product_q2_k(const product *p) {
    if (p->n_tokens < MANY_Q2_K)
        walk_rows(p, rows_q2_k);
    else
        run_panels(p, p->n / 256 * shape_bytes(Q2_K_SHAPE), fill_q2_k, panel_q2_k);
}

static void product_q4_k(const product *p) {
    if (p->n_tokens < MANY_Q4_K)
        walk_rows(p, rows_q4_k);
    else
        run_panels(p, p->n / 256 * shape_bytes(Q4_K_SHAPE), fill_q4_k, panel_q4_k);
}

static void product_f16(const product *p) {
    if (p->n % 16)
        odd_rows_f16(p);
    else if (p->n_tokens < MANY_F16)
        walk_rows(p, rows_f16);
    else
        tiles_f16(p);
}

static bool supported(void) {
    /* older compilers do not know the name f16c */
    unsigned a, b, c, d;
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __get_cpuid(1, &a, &b, &c, &d) &&
           (c & bit_F16C);
}

const cpu_kernels cpu_kernels_avx2 = {
    .name = "avx2",
    .supported = supported,
    .quantise_32 = quantise_32,
    .quantise_256 = quantise_256,
    .q8_0 = product_q8_0,
    .iq2_xxs = product_iq2_xxs,
    .q2_k = product_q2_k,
    .q4_k = product_q4_k,
    .f16 = product_f16,
    .f = &FLOAT_KERNELS,
};

#endif
