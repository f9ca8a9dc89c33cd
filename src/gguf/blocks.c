/*
 * Block formats: what a stored weight is as a float32.
 *
 * Every product below is exact: a half has 11 significant bits, scales at most 7 and quants at most 6, and
 * their product still fits the 24 of a float. So only the one subtraction of the formats with a minimum
 * rounds, and neither the order of the multiplications nor a fused multiply-add can change a result: all
 * machines decode the same weights.
 *
 * The decoders are called for every weight of every matrix product. Their inner loops have a constant
 * number of steps without branches, which compilers turn into vector code.
 */
#include "gguf/blocks.h"
#include "base/half.h"
#include "base/simd.h"
#include "gguf/iq2_grid.h"

#include <assert.h>

static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "GGUF files are little endian, and so must be the machine");

/* Blocks are packed: numbers in them may have any address. */
static inline uint16_t load_u16(const uint8_t *bytes) {
    uint16_t value;
    memcpy(&value, bytes, sizeof value);
    return value;
}

static inline uint32_t load_u32(const uint8_t *bytes) {
    uint32_t value;
    memcpy(&value, bytes, sizeof value);
    return value;
}

static inline float load_half(const uint8_t *bytes) {
    return half_to_float(load_u16(bytes));
}

static void decode_f32(const uint8_t *restrict blocks, float *restrict out, size_t n_blocks) {
    memcpy(out, blocks, n_blocks * sizeof *out);
}

SIMD_CLONES static void decode_f16(const uint8_t *restrict blocks, float *restrict out, size_t n_blocks) {
    for (size_t i = 0; i < n_blocks; i++) out[i] = load_half(blocks + 2 * i);
}

SIMD_CLONES static void decode_bf16(const uint8_t *restrict blocks, float *restrict out, size_t n_blocks) {
    for (size_t i = 0; i < n_blocks; i++) out[i] = bfloat_to_float(load_u16(blocks + 2 * i));
}

/* f16 d; u8 q[16]: low nibbles are elements 0..15, high nibbles 16..31. w = d * (q - 8) */
SIMD_CLONES static void decode_q4_0(const uint8_t *restrict blocks, float *restrict out, size_t n_blocks) {
    for (; n_blocks; n_blocks--, blocks += 18, out += 32) {
        float d = load_half(blocks);
        const uint8_t *q = blocks + 2;
        for (int i = 0; i < 16; i++) out[i] = d * (float)((q[i] & 15) - 8);
        for (int i = 0; i < 16; i++) out[16 + i] = d * (float)((q[i] >> 4) - 8);
    }
}

/* f16 d; i8 q[32]. w = d * q */
SIMD_CLONES static void decode_q8_0(const uint8_t *restrict blocks, float *restrict out, size_t n_blocks) {
    for (; n_blocks; n_blocks--, blocks += 34, out += 32) {
        float d = load_half(blocks);
        const int8_t *q = (const int8_t *)blocks + 2;
        for (int i = 0; i < 32; i++) out[i] = d * (float)q[i];
    }
}

/* u8 scales[16]; u8 q[64]; f16 d; f16 dmin. Sub-blocks of 16: w = d * (scale & 15) * q - dmin * (scale >> 4).
 * Each half of the block has 32 bytes of q, which hold four rows of 32 elements in two bits each. */
SIMD_CLONES static void decode_q2_k(const uint8_t *restrict blocks, float *restrict out, size_t n_blocks) {
    for (; n_blocks; n_blocks--, blocks += 84, out += 256) {
        float d = load_half(blocks + 80), dmin = load_half(blocks + 82);
        for (int s = 0; s < 16; s++) {
            float scale = d * (float)(blocks[s] & 15), min = dmin * (float)(blocks[s] >> 4);
            const uint8_t *q = blocks + 16 + 32 * (s / 8) + 16 * (s % 2);
            int shift = 2 * (s % 8 / 2);
            for (int i = 0; i < 16; i++) out[16 * s + i] = scale * (float)(q[i] >> shift & 3) - min;
        }
    }
}

/* Q4_K and Q5_K pack eight 6-bit scales and eight 6-bit minima into 12 bytes: bytes 0..3 and 4..7 have those
 * of sub-blocks 0..3 and, on top, the two high bits of sub-blocks 4..7; bytes 8..11 have the low four bits. */
static inline void unpack_scales(const uint8_t packed[12], float scale[8], float min[8]) {
    for (int s = 0; s < 4; s++) {
        scale[s] = (float)(packed[s] & 63);
        min[s] = (float)(packed[s + 4] & 63);
        scale[s + 4] = (float)((packed[s + 8] & 15) | packed[s] >> 6 << 4);
        min[s + 4] = (float)(packed[s + 8] >> 4 | packed[s + 4] >> 6 << 4);
    }
}

/* f16 d; f16 dmin; u8 scales[12]; u8 q[128]. Sub-blocks of 32: w = d * scale * q - dmin * min.
 * Each 32 bytes of q hold sub-block 2k in the low and 2k + 1 in the high nibbles. */
SIMD_CLONES static void decode_q4_k(const uint8_t *restrict blocks, float *restrict out, size_t n_blocks) {
    for (; n_blocks; n_blocks--, blocks += 144, out += 256) {
        float d = load_half(blocks), dmin = load_half(blocks + 2), scales[8], mins[8];
        unpack_scales(blocks + 4, scales, mins);
        for (int s = 0; s < 8; s++) {
            float scale = d * scales[s], min = dmin * mins[s];
            const uint8_t *q = blocks + 16 + 32 * (s / 2);
            int shift = 4 * (s % 2);
            for (int i = 0; i < 32; i++) out[32 * s + i] = scale * (float)(q[i] >> shift & 15) - min;
        }
    }
}

/* f16 d; f16 dmin; u8 scales[12]; u8 high[32]; u8 q[128]. As Q4_K with a fifth bit: bit s of high[i] belongs to
 * element i of sub-block s. */
SIMD_CLONES static void decode_q5_k(const uint8_t *restrict blocks, float *restrict out, size_t n_blocks) {
    for (; n_blocks; n_blocks--, blocks += 176, out += 256) {
        float d = load_half(blocks), dmin = load_half(blocks + 2), scales[8], mins[8];
        unpack_scales(blocks + 4, scales, mins);
        const uint8_t *high = blocks + 16;
        for (int s = 0; s < 8; s++) {
            float scale = d * scales[s], min = dmin * mins[s];
            const uint8_t *q = blocks + 48 + 32 * (s / 2);
            int shift = 4 * (s % 2);
            for (int i = 0; i < 32; i++)
                out[32 * s + i] = scale * (float)((q[i] >> shift & 15) | (high[i] >> s & 1) << 4) - min;
        }
    }
}

/* u8 low[128]; u8 high[64]; i8 scales[16]; f16 d. Sub-blocks of 16: w = d * scale * (q - 32).
 * Each half of the block (64 bytes of low, 32 of high) has four rows of 32 elements: rows 0 and 1 are the low
 * nibbles of its two 32 bytes, rows 2 and 3 the high ones; row r has bits 2r and 2r + 1 of high on top. */
SIMD_CLONES static void decode_q6_k(const uint8_t *restrict blocks, float *restrict out, size_t n_blocks) {
    for (; n_blocks; n_blocks--, blocks += 210, out += 256) {
        float d = load_half(blocks + 208);
        const int8_t *scales = (const int8_t *)blocks + 192;
        for (int s = 0; s < 16; s++) {
            int half = s / 8, row = s % 8 / 2, side = s % 2;
            float scale = d * (float)scales[s];
            const uint8_t *low = blocks + 64 * half + 32 * (row % 2) + 16 * side;
            const uint8_t *high = blocks + 128 + 32 * half + 16 * side;
            int low_shift = 4 * (row / 2), high_shift = 2 * row;
            for (int i = 0; i < 16; i++) {
                int q = (low[i] >> low_shift & 15) | (high[i] >> high_shift & 3) << 4;
                out[16 * s + i] = scale * (float)(q - 32);
            }
        }
    }
}

/* Eight magnitudes (bytes of 1..127) with the signs of seven bits; the eighth makes the number of minus signs
 * even. Returns eight int8. */
static inline uint64_t apply_signs(uint64_t magnitudes, uint32_t seven_bits) {
    const uint64_t ones = 0x0101010101010101u;
    uint64_t signs = seven_bits | (uint32_t)__builtin_parity(seven_bits) << 7;
    uint64_t bit_of_byte = signs * ones & 0x8040201008040201u; /* byte j keeps bit j only */
    uint64_t minus = (bit_of_byte + 0x7f * ones) >> 7 & ones;  /* byte j is 1 if bit j was set */
    return (magnitudes ^ minus * 0xff) + minus;                /* two's complement; no byte carries into the next */
}

/* f16 d; 8 times { u8 index[4]; u32 a }. Groups of 32: element 8k + j has magnitude grid[index[k]][j], its sign
 * from the seven bits of a at 7k, and the scale d * (0.5 + (a >> 28)) / 4. */
SIMD_CLONES static void decode_iq2_xxs(const uint8_t *restrict blocks, float *restrict out, size_t n_blocks) {
    for (; n_blocks; n_blocks--, blocks += 66, out += 256) {
        float d = load_half(blocks), scales[8];
        int8_t q[256];
        for (int g = 0; g < 8; g++) {
            const uint8_t *index = blocks + 2 + 8 * g;
            uint32_t a = load_u32(index + 4);
            scales[g] = d * (0.5f + (float)(a >> 28)) * 0.25f;
            for (int k = 0; k < 4; k++) {
                uint64_t packed = apply_signs(iq2_xxs_grid[index[k]], a >> 7 * k & 127);
                memcpy(q + 32 * g + 8 * k, &packed, sizeof packed);
            }
        }
        for (int g = 0; g < 8; g++)
            for (int i = 0; i < 32; i++) out[32 * g + i] = scales[g] * (float)q[32 * g + i];
    }
}

/* u8 exponent; u8 q[16]: low nibbles are elements 0..15, high nibbles 16..31; a nibble is a sign and one of 0, 0.5,
 * 1, 1.5, 2, 3, 4, 6. w = 2^(exponent - 127) * q, computed with twice q and half the scale, which stays finite for
 * exponent 255. */
SIMD_CLONES static void decode_mxfp4(const uint8_t *restrict blocks, float *restrict out, size_t n_blocks) {
    static const float doubled[16] = {0, 1, 2, 3, 4, 6, 8, 12, -0.0f, -1, -2, -3, -4, -6, -8, -12};
    for (; n_blocks; n_blocks--, blocks += 17, out += 32) {
        uint32_t exponent = blocks[0];
        float scale = float_from_bits(exponent < 2 ? 0x200000u << exponent : (exponent - 1) << 23);
        const uint8_t *q = blocks + 1;
        for (int i = 0; i < 16; i++) out[i] = scale * doubled[q[i] & 15];
        for (int i = 0; i < 16; i++) out[16 + i] = scale * doubled[q[i] >> 4];
    }
}

static const block_format formats[] = {
    {BLOCK_F32, "F32", 1, 4, decode_f32},
    {BLOCK_F16, "F16", 1, 2, decode_f16},
    {BLOCK_Q4_0, "Q4_0", 32, 18, decode_q4_0},
    {BLOCK_Q8_0, "Q8_0", 32, 34, decode_q8_0},
    {BLOCK_Q2_K, "Q2_K", 256, 84, decode_q2_k},
    {BLOCK_Q4_K, "Q4_K", 256, 144, decode_q4_k},
    {BLOCK_Q5_K, "Q5_K", 256, 176, decode_q5_k},
    {BLOCK_Q6_K, "Q6_K", 256, 210, decode_q6_k},
    {BLOCK_IQ2_XXS, "IQ2_XXS", 256, 66, decode_iq2_xxs},
    {BLOCK_I32, "I32", 1, 4, NULL},
    {BLOCK_BF16, "BF16", 1, 2, decode_bf16},
    {BLOCK_MXFP4, "MXFP4", 32, 17, decode_mxfp4},
};

const block_format *block_format_find(uint32_t type) {
    for (size_t i = 0; i < sizeof formats / sizeof *formats; i++)
        if (formats[i].type == type) return &formats[i];
    return NULL;
}
