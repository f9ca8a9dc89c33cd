/*
 * Rows of remembered vectors, as src/backend/rows.c stores them, and the tables that say where they lie.
 *
 * Everything that rounds works on integers or on exact operations, so fast math cannot change a code, and no float32
 * subnormal occurs that matters: GPUs flush them.
 */
#ifndef KERNELS_ROWS_H
#define KERNELS_ROWS_H

#include "shared.h"

enum {
    ROW_THREADS = 256, /* of a threadgroup that encodes rows */
    ROW_FP8_BLOCK = 64,
    ROW_FP4_BLOCK = 32,
};

/* ---- where rows lie ---- */

/* The buffers that hold what timelines remember. */
struct row_arenas {
    device uchar *arena0, *arena1, *arena2, *arena3, *arena4, *arena5, *arena6, *arena7;
};

static inline row_arenas row_arenas_of(device uchar *arena0, device uchar *arena1, device uchar *arena2,
                                       device uchar *arena3, device uchar *arena4, device uchar *arena5,
                                       device uchar *arena6, device uchar *arena7) {
    row_arenas arenas;
    arenas.arena0 = arena0;
    arenas.arena1 = arena1;
    arenas.arena2 = arena2;
    arenas.arena3 = arena3;
    arenas.arena4 = arena4;
    arenas.arena5 = arena5;
    arenas.arena6 = arena6;
    arenas.arena7 = arena7;
    return arenas;
}

/* What a reference (layer_info) points to, 64-byte aligned. Selects among values that are loaded already, because
 * compilers make a dynamic index, and so memory, of a choice between fields. */
static inline device uchar *arena_at(row_arenas arenas, uint reference) {
    device uchar *a0 = arenas.arena0, *a1 = arenas.arena1, *a2 = arenas.arena2, *a3 = arenas.arena3;
    device uchar *a4 = arenas.arena4, *a5 = arenas.arena5, *a6 = arenas.arena6, *a7 = arenas.arena7;
    uint i = reference >> 29;
    device uchar *low = i < 2 ? (i == 0 ? a0 : a1) : (i == 2 ? a2 : a3);
    device uchar *high = i < 6 ? (i == 4 ? a4 : a5) : (i == 6 ? a6 : a7);
    return (i < 4 ? low : high) + (ulong(reference & 0x1fffffff) << 6);
}

/* Four bytes of aligned memory at any offset: compact rows have odd lengths. Reads whole words, but only such as hold a
 * wanted byte. */
static inline uint row_word(device const uchar *memory, uint offset) {
    device const uint *words = (device const uint *)memory;
    uint i = offset >> 2, shift = (offset & 3) << 3;
    /* shift 0: the same word twice, shifted by nothing */
    uint low = words[i], high = words[i + (shift != 0 ? 1 : 0)];
    return (low >> shift) | (high << ((32 - shift) & 31));
}

/* ---- codes ---- */

static inline float row_scale(uint byte) {
    return as_type<float>(byte << 23);
}

static inline float row_inverse_scale(uint byte) {
    return as_type<float>((254 - byte) << 23);
}

/* The smallest power of two s with largest / s <= (1 + top_fraction / 2^23) * 2^top_exponent, as a byte. */
static inline uint row_scale_byte(float largest, uint top_exponent, uint top_fraction) {
    uint bits = as_type<uint>(largest);
    return (bits >> 23) - top_exponent + ((bits & 0x7fffff) > top_fraction ? 1 : 0);
}

static inline uint fp8_scale_byte(float largest) {
    return row_scale_byte(max(largest, 1e-4f), 8, 0x600000); /* 448 = 1.75 * 2^8 */
}

static inline uint fp4_scale_byte(float largest) {
    float least = as_type<float>(0x01c00000u);                  /* 1.5 * 2^-124 */
    return row_scale_byte(max(largest, least), 2, 0x400000); /* 6 = 1.5 * 2^2 */
}

/* E4M3: sign, 4 exponent bits (bias 7), 3 fraction bits; nearest, ties to even; |x| at most 448. */
static inline uint fp8_encode(float x) {
    uint sign = as_type<uint>(x) >> 24 & 0x80;
    float magnitude = min(fabs(x), 448.0f);
    uint bits = as_type<uint>(magnitude);
    uint normal = ((bits + 0x7ffff + (bits >> 20 & 1)) >> 20) - (120u << 3);
    uint small = uint(rint(min(magnitude, 1.0f) * 512.0f));
    return sign | (magnitude < 0.015625f ? small : normal);
}

/* Read as a normal number, a magnitude g below 2^-6 lies half as far from 2^-6 as it should; above, 2 g - 2^-6 > g. */
static inline float fp8_decode(uint code) {
    float g = as_type<float>(((code & 0x7fu) << 20) + (120u << 23));
    g = min(g, fma(g, 2.0f, -0.015625f));
    return as_type<float>(as_type<uint>(g) | (code & 0x80u) << 24);
}

/* The codes of a word, the lowest byte's first. */
static inline float4 fp8_decode4(uint word) {
    uint4 code = uint4(word, word >> 8, word >> 16, word >> 24);
    float4 g = as_type<float4>(((code & 0x7fu) << 20) + (120u << 23));
    g = min(g, fma(g, float4(2.0f), float4(-0.015625f)));
    return as_type<float4>(as_type<uint4>(g) | (code & 0x80u) << 24);
}

/* E2M1: sign, 2 exponent bits (bias 1), 1 fraction bit; nearest, ties to even; |x| at most 6. */
static inline uint fp4_encode(float x) {
    uint sign = as_type<uint>(x) >> 28 & 8;
    float magnitude = min(fabs(x), 6.0f);
    uint bits = as_type<uint>(magnitude);
    uint normal = ((bits + 0x1fffff + (bits >> 22 & 1)) >> 22) - (126u << 1);
    uint small = uint(rint(magnitude * 2.0f));
    return sign | (magnitude < 1.0f ? small : normal);
}

/* As fp8_decode; the smallest normal number is 1. */
static inline float fp4_decode(uint code) {
    float g = as_type<float>(((code & 7u) << 22) + (126u << 23));
    g = min(g, fma(g, 2.0f, -1.0f));
    return as_type<float>(as_type<uint>(g) | (code & 8u) << 28);
}

static inline float fp8_rounded(float x, uint scale) {
    return fp8_decode(fp8_encode(x * row_inverse_scale(scale))) * row_scale(scale);
}

static inline float fp4_rounded(float x, uint scale) {
    return fp4_decode(fp4_encode(x * row_inverse_scale(scale))) * row_scale(scale);
}

/* binary16, nearest, ties to even; too large becomes infinity. */
static inline uint row_half_bits(float x) {
    uint bits = as_type<uint>(x), sign = bits >> 16 & 0x8000, magnitude = bits & 0x7fffffff;
    /* Subnormal results: adding 0.5 rounds at the half's last place, 2^-24. */
    uint small = as_type<uint>(as_type<float>(magnitude) + 0.5f) - 0x3f000000u;
    uint normal = (magnitude - 0x38000000u + 0xfffu + (magnitude >> 13 & 1)) >> 13;
    uint result = magnitude < 0x38800000u ? small : normal;
    return sign | (magnitude >= 0x477ff000u ? 0x7c00u : result);
}

/* ---- attention rows ----
 * compact: [n] E4M3 codes, [n / 64] scale bytes, [n_rotary] binary16 or float32, where n = head_dim - n_rotary;
 * else [head_dim] float32 */

/* A threadgroup of ROW_THREADS writes the row of x[head_dim], which is complete: a barrier was before. All threads must
 * call; a barrier must come before x changes. tail_bytes: of a rotary channel of a compact row, 2 or 4. */
static inline void row_encode_attention(threadgroup const float *x, uint head_dim, uint n_rotary, uint row_kind,
                                        uint tail_bytes, device uchar *row, uint thread_index) {
    uint n_rounded = head_dim - n_rotary, n_blocks = n_rounded / ROW_FP8_BLOCK;
    uint simd = thread_index / 32, lane = thread_index % 32;
    device float *floats = (device float *)row;
    for (uint block = simd; block < n_blocks; block += ROW_THREADS / 32) {
        uint i = block * ROW_FP8_BLOCK + lane;
        float a = x[i], b = x[i + 32];
        uint scale = fp8_scale_byte(simd_max(max(fabs(a), fabs(b))));
        if (row_kind == ROWS_COMPACT) {
            float inverse = row_inverse_scale(scale);
            row[i] = uchar(fp8_encode(a * inverse));
            row[i + 32] = uchar(fp8_encode(b * inverse));
            if (lane == 0) row[n_rounded + block] = uchar(scale);
        } else {
            bool plain = row_kind == ROWS_PLAIN;
            floats[i] = plain ? a : fp8_rounded(a, scale);
            floats[i + 32] = plain ? b : fp8_rounded(b, scale);
        }
    }
    device uchar *tail = row + n_rounded + n_blocks;
    for (uint i = thread_index; i < n_rotary; i += ROW_THREADS) {
        float value = x[n_rounded + i];
        if (row_kind != ROWS_COMPACT) {
            floats[n_rounded + i] = value;
            continue;
        }
        uint bits = tail_bytes == 4 ? as_type<uint>(value) : row_half_bits(value);
        for (uint k = 0; k < tail_bytes; k++) tail[i * tail_bytes + k] = uchar(bits >> (8 * k));
    }
}

/* Channels channel .. channel + 3 (a multiple of 4; n_rotary is one too) of the row at an offset of aligned memory. */
static inline float4 row_decode_attention4(device const uchar *memory, uint offset, uint channel, uint head_dim,
                                           uint n_rotary, uint row_kind, uint tail_bytes) {
    if (row_kind != ROWS_COMPACT) {
        device const float *floats = (device const float *)(memory + offset) + channel;
        return float4(floats[0], floats[1], floats[2], floats[3]);
    }
    uint n_rounded = head_dim - n_rotary;
    if (channel < n_rounded) {
        float scale = row_scale(memory[offset + n_rounded + channel / ROW_FP8_BLOCK]);
        return fp8_decode4(row_word(memory, offset + channel)) * scale;
    }
    uint tail = offset + n_rounded + n_rounded / ROW_FP8_BLOCK + (channel - n_rounded) * tail_bytes;
    if (tail_bytes == 4)
        return as_type<float4>(uint4(row_word(memory, tail), row_word(memory, tail + 4), row_word(memory, tail + 8),
                                     row_word(memory, tail + 12)));
    half2 first = as_type<half2>(row_word(memory, tail)), second = as_type<half2>(row_word(memory, tail + 4));
    return float4(float2(first), float2(second));
}

/* ---- indexer rows ----
 * compact: [n / 2] bytes of two E2M1 codes (even channel in the low half), [n / 32] scale bytes; else [n] float32 */

/* As row_encode_attention; x: [index_dim], rotated and, unless the kind is ROWS_PLAIN, Hadamard-transformed. */
static inline void row_encode_index(threadgroup const float *x, uint index_dim, uint row_kind, device uchar *row,
                                    uint thread_index) {
    uint simd = thread_index / 32, lane = thread_index % 32;
    device float *floats = (device float *)row;
    for (uint block = simd; block < index_dim / ROW_FP4_BLOCK; block += ROW_THREADS / 32) {
        uint i = block * ROW_FP4_BLOCK + lane;
        float value = x[i];
        uint scale = fp4_scale_byte(simd_max(fabs(value)));
        uint code = fp4_encode(value * row_inverse_scale(scale));
        uint neighbour = simd_shuffle_xor(code, ushort(1));
        if (row_kind != ROWS_COMPACT) {
            floats[i] = row_kind == ROWS_PLAIN ? value : fp4_rounded(value, scale);
            continue;
        }
        if (lane % 2 == 0) row[i / 2] = uchar(code | neighbour << 4);
        if (lane == 0) row[index_dim / 2 + block] = uchar(scale);
    }
}

/* FP4 values in place of a SIMD-group's vector, channels 4 * lane .. 4 * lane + 3 in each lane. */
static inline float4 fp4_round_lanes(float4 x) {
    float4 magnitude = fabs(x);
    float largest = max(max(magnitude.x, magnitude.y), max(magnitude.z, magnitude.w));
    for (ushort step = 1; step < ROW_FP4_BLOCK / 4; step *= 2) largest = max(largest, simd_shuffle_xor(largest, step));
    uint scale = fp4_scale_byte(largest);
    return float4(fp4_rounded(x.x, scale), fp4_rounded(x.y, scale), fp4_rounded(x.z, scale), fp4_rounded(x.w, scale));
}

/* 1 / sqrt(n), n a power of two: exact up to the one constant, whatever fast math makes of roots. */
static inline float hadamard_factor(uint n) {
    uint log2 = 31 - clz(n);
    float power = as_type<float>((127 - log2 / 2) << 23);
    return log2 % 2 == 0 ? power : power * 0.70710677f;
}

/* x <- H x / sqrt(n), H the Sylvester-ordered Hadamard matrix, n a power of two of at most 2 * n_threads. All threads
 * must call; barriers before and after are made here. */
static inline void hadamard_group(threadgroup float *x, uint n, uint thread_index) {
    for (uint stride = 1; stride < n; stride *= 2) {
        threadgroup_barrier(mem_flags::mem_threadgroup);
        if (thread_index < n / 2) {
            uint i = thread_index / stride * 2 * stride + thread_index % stride;
            float a = x[i], b = x[i + stride];
            x[i] = a + b;
            x[i + stride] = a - b;
        }
    }
    threadgroup_barrier(mem_flags::mem_threadgroup);
    float factor = hadamard_factor(n);
    if (thread_index < n / 2) {
        x[thread_index] *= factor;
        x[thread_index + n / 2] *= factor;
    }
    threadgroup_barrier(mem_flags::mem_threadgroup);
}

/* The same for a SIMD-group's vector of n channels (4 to 128), channels 4 * lane .. 4 * lane + 3 in each lane; lanes
 * behind the vector take part. */
static inline float4 hadamard_lanes(float4 x, uint n, uint lane) {
    x = float4(x.x + x.y, x.x - x.y, x.z + x.w, x.z - x.w);
    x = float4(x.x + x.z, x.y + x.w, x.x - x.z, x.y - x.w);
    for (uint step = 1; step < n / 4; step *= 2) {
        float4 other = simd_shuffle_xor(x, ushort(step));
        x = (lane & step) != 0 ? other - x : x + other;
    }
    return x * hadamard_factor(n);
}

#endif
