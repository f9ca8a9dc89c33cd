#include "backend/rows.h"
#include "base/half.h"
#include "base/simd.h"
#include "model/model.h"

#include <math.h>
#include <string.h>

static row_format attention_format(int head_dim, int rotary_dim, int rotary_bytes, bool round, bool compact) {
    row_format format = {.n_channels = head_dim,
                         .n_rotary = rotary_dim,
                         .rotary_bytes = rotary_bytes,
                         .round = round,
                         .compact = round && compact};
    size_t n_rounded = (size_t)(head_dim - rotary_dim);
    format.n_bytes = format.compact ? n_rounded + n_rounded / FP8_BLOCK + (size_t)(rotary_dim * rotary_bytes)
                                    : (size_t)head_dim * sizeof(float);
    return format;
}

row_format row_format_raw(int head_dim, int rotary_dim, bool round, bool compact) {
    return attention_format(head_dim, rotary_dim, 4, round, compact);
}

row_format row_format_compressed(int head_dim, int rotary_dim, bool round, bool compact) {
    return attention_format(head_dim, rotary_dim, 2, round, compact);
}

row_format row_format_index(int index_dim, bool round, bool compact) {
    row_format format = {.n_channels = index_dim, .is_index = true, .round = round, .compact = round && compact};
    size_t n = (size_t)index_dim;
    format.n_bytes = format.compact ? n / 2 + n / FP4_BLOCK : n * sizeof(float);
    return format;
}

/* Codes are worked out on the bits of floats, which are ordered as magnitudes are: compilers make vectors of that. */
static inline uint32_t magnitude_bits(float x) {
    return float_to_bits(x) & 0x7fffffff;
}

static inline uint32_t smaller(uint32_t a, uint32_t b) {
    return a < b ? a : b;
}

/* a or b, both of which are computed */
static inline uint32_t choose(bool first, uint32_t a, uint32_t b) {
    uint32_t mask = 0u - (uint32_t)first;
    return (a & mask) | (b & ~mask);
}

/* What is not a number does not count. */
static inline uint32_t largest_magnitude(const float *x, int n) {
    uint32_t largest = 0;
    for (int i = 0; i < n; i++) {
        uint32_t magnitude = magnitude_bits(x[i]);
        magnitude = choose(magnitude <= 0x7f800000, magnitude, 0);
        largest = magnitude > largest ? magnitude : largest;
    }
    return largest;
}

/* Scale byte: the smallest power of two s with largest / s <= top, where top = (1 + top_fraction / 2^23) *
 * 2^top_exponent. Worked out on the bits: a logarithm in float can be off by one near a power of two. */
static inline uint8_t scale_byte(uint32_t largest, float least, int top_exponent, uint32_t top_fraction) {
    uint32_t bits = largest > float_to_bits(least) ? largest : float_to_bits(least);
    int exponent = (int)(bits >> 23 & 0xff) - top_exponent + ((bits & 0x7fffff) > top_fraction);
    return (uint8_t)exponent;
}

static inline float scale_of(uint8_t byte) {
    return float_from_bits((uint32_t)byte << 23);
}
static inline float inverse_scale_of(uint8_t byte) {
    return float_from_bits((uint32_t)(254 - byte) << 23);
}

static inline uint8_t fp8_scale(const float *x) {
    return scale_byte(largest_magnitude(x, FP8_BLOCK), 1e-4f, 8, 0x600000); /* 448 = 1.75 * 2^8 */
}

static inline uint8_t fp4_scale(uint32_t largest) {
    return scale_byte(largest, 0x1.8p-124f, 2, 0x400000); /* 6 = 1.5 * 2^2 */
}

/* E4M3: sign, 4 exponent bits (bias 7), 3 fraction bits; nearest, ties to even; |x| at most 448. */
static inline uint8_t fp8_encode(float x) {
    uint32_t sign = float_to_bits(x) >> 24 & 0x80, bits = smaller(magnitude_bits(x), 0x43e00000);
    /* Subnormal codes: adding 2^14 makes the float unit round at their last place, 2^-9. */
    uint32_t small = float_to_bits(float_from_bits(bits) + 0x1p14f) - 0x46800000;
    uint32_t normal = ((bits + 0x7ffff + (bits >> 20 & 1)) >> 20) - (120u << 3);
    return (uint8_t)(sign | choose(bits < 0x3c800000, small, normal));
}

static inline float fp8_decode(uint8_t code) {
    /* The code's exponent and fraction in a float's place are 2^120 too small; this covers subnormals. */
    float magnitude = float_from_bits((uint32_t)(code & 0x7f) << 20) * 0x1p120f;
    return float_from_bits(float_to_bits(magnitude) | (uint32_t)(code & 0x80) << 24);
}

/* E2M1: sign, 2 exponent bits (bias 1), 1 fraction bit; nearest, ties to even; |x| at most 6. */
static inline uint8_t fp4_encode(float x) {
    uint32_t sign = float_to_bits(x) >> 28 & 8, bits = smaller(magnitude_bits(x), 0x40c00000);
    uint32_t small = float_to_bits(float_from_bits(bits) + 0x1p22f) - 0x4a800000; /* last place 2^-1 */
    uint32_t normal = ((bits + 0x1fffff + (bits >> 22 & 1)) >> 22) - (126u << 1);
    return (uint8_t)(sign | choose(bits < 0x3f800000, small, normal));
}

/* The value that fp4_encode's code has: below 2 a multiple of 1/2, below 4 of 1, then of 2. */
static inline float fp4_nearest(float x) {
    uint32_t sign = float_to_bits(x) & 0x80000000, bits = smaller(magnitude_bits(x), 0x40c00000);
    uint32_t exponent = (bits < 0x3f800000 ? 0x3f800000 : bits) & 0xff800000;
    float shift = float_from_bits(exponent + (22u << 23)); /* floats of its size have that last place */
    return float_from_bits(float_to_bits(float_from_bits(bits) + shift - shift) | sign);
}

static const float fp4_value[16] = {0, .5f, 1, 1.5f, 2, 3, 4, 6, -0.f, -.5f, -1, -1.5f, -2, -3, -4, -6};

SIMD_CLONES
static void encode_attention(const row_format *format, const float *x, uint8_t *row) {
    int n_rounded = format->n_channels - format->n_rotary;
    uint8_t *scale = row + n_rounded, *tail = scale + n_rounded / FP8_BLOCK;
    for (int block = 0; block < n_rounded / FP8_BLOCK; block++) {
        const float *in = x + block * FP8_BLOCK;
        scale[block] = fp8_scale(in);
        float inverse = inverse_scale_of(scale[block]);
        for (int i = 0; i < FP8_BLOCK; i++) row[block * FP8_BLOCK + i] = fp8_encode(in[i] * inverse);
    }
    if (format->rotary_bytes == 4) {
        memcpy(tail, x + n_rounded, (size_t)format->n_rotary * sizeof *x);
        return;
    }
    for (int i = 0; i < format->n_rotary; i++) {
        uint16_t half = half_from_float(x[n_rounded + i]);
        memcpy(tail + 2 * i, &half, 2);
    }
}

SIMD_CLONES
static void decode_attention(const row_format *format, const uint8_t *row, float *x) {
    int n_rounded = format->n_channels - format->n_rotary;
    const uint8_t *scale = row + n_rounded, *tail = scale + n_rounded / FP8_BLOCK;
    for (int block = 0; block < n_rounded / FP8_BLOCK; block++) {
        float factor = scale_of(scale[block]);
        const uint8_t *code = row + block * FP8_BLOCK;
        float *out = x + block * FP8_BLOCK;
        for (int i = 0; i < FP8_BLOCK; i++) out[i] = fp8_decode(code[i]) * factor;
    }
    if (format->rotary_bytes == 4) {
        memcpy(x + n_rounded, tail, (size_t)format->n_rotary * sizeof *x);
        return;
    }
    for (int i = 0; i < format->n_rotary; i++) {
        uint16_t half;
        memcpy(&half, tail + 2 * i, 2);
        x[n_rounded + i] = half_to_float(half);
    }
}

SIMD_CLONES
static void encode_index(const row_format *format, const float *x, uint8_t *row) {
    uint8_t *scale = row + format->n_channels / 2;
    for (int block = 0; block < format->n_channels / FP4_BLOCK; block++) {
        const float *in = x + block * FP4_BLOCK;
        uint8_t *code = row + block * FP4_BLOCK / 2;
        scale[block] = fp4_scale(largest_magnitude(in, FP4_BLOCK));
        float inverse = inverse_scale_of(scale[block]);
        for (int i = 0; i < FP4_BLOCK / 2; i++)
            code[i] = (uint8_t)(fp4_encode(in[2 * i] * inverse) | fp4_encode(in[2 * i + 1] * inverse) << 4);
    }
}

static void decode_index(const row_format *format, const uint8_t *row, float *x) {
    const uint8_t *scale = row + format->n_channels / 2;
    for (int i = 0; i < format->n_channels / 2; i++) {
        float factor = scale_of(scale[2 * i / FP4_BLOCK]);
        x[2 * i] = fp4_value[row[i] & 15] * factor;
        x[2 * i + 1] = fp4_value[row[i] >> 4] * factor;
    }
}

static void fp8_round(float *x, int n) {
    for (int block = 0; block < n; block += FP8_BLOCK) {
        uint8_t scale = fp8_scale(x + block);
        for (int i = block; i < block + FP8_BLOCK; i++)
            x[i] = fp8_decode(fp8_encode(x[i] * inverse_scale_of(scale))) * scale_of(scale);
    }
}

SIMD_CLONES
static void round_to_fp4(float *x, int n) {
    for (int block = 0; block < n; block += FP4_BLOCK) {
        uint8_t byte = fp4_scale(largest_magnitude(x + block, FP4_BLOCK));
        float scale = scale_of(byte), inverse = inverse_scale_of(byte);
        for (int i = block; i < block + FP4_BLOCK; i++) x[i] = fp4_nearest(x[i] * inverse) * scale;
    }
}

void fp4_round(float *x, int n) {
    round_to_fp4(x, n);
}

uint8_t fp4_scale_byte(uint32_t largest) {
    return fp4_scale(largest);
}

void row_encode(const row_format *format, const float *x, uint8_t *row) {
    if (format->compact) {
        (format->is_index ? encode_index : encode_attention)(format, x, row);
        return;
    }
    memcpy(row, x, format->n_bytes);
    if (!format->round) return;
    /* float rows come from aligned memory of their own, so they can be rounded in place */
    float *stored = (float *)(void *)row;
    if (format->is_index)
        fp4_round(stored, format->n_channels);
    else
        fp8_round(stored, format->n_channels - format->n_rotary);
}

void row_decode(const row_format *format, const uint8_t *row, float *x) {
    if (!format->compact)
        memcpy(x, row, format->n_bytes);
    else if (format->is_index)
        decode_index(format, row, x);
    else
        decode_attention(format, row, x);
}

SIMD_CLONES
static void hadamard(float *x, int n) {
    for (int stride = 1; stride < n; stride *= 2)
        for (int start = 0; start < n; start += 2 * stride)
            for (int i = start; i < start + stride; i++) {
                float a = x[i], b = x[i + stride];
                x[i] = a + b;
                x[i + stride] = a - b;
            }
    float factor = 1.0f / sqrtf((float)n);
    for (int i = 0; i < n; i++) x[i] *= factor;
}

void hadamard_transform(float *x, int n) {
    hadamard(x, n);
}
