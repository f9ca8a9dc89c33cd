/*
 * Stored weights as floats: the formats of src/gguf/blocks.c, read in the file's layout.
 *
 * Rows and blocks keep the alignment that the file gives them: tensors begin at multiples of 16 bytes (the host refuses
 * others) and so do Q4_K blocks (144 bytes), Q2_K blocks (84) and F32 at multiples of 4, the others (66, 34, 2 bytes) at
 * multiples of 2. Every product here is exact, so a fused multiply-add changes no result.
 */
#ifndef KERNELS_BLOCKS_H
#define KERNELS_BLOCKS_H

#include "shared.h"

enum { Q8_0_BYTES = 34, Q2_K_BYTES = 84, Q4_K_BYTES = 144, IQ2_XXS_BYTES = 66 };

/* Eight magnitudes an entry, the first in the lowest two bits: 0, 1, 2 stand for 8, 25, 43. */
constant ushort iq2_xxs_codes[256] = {
    0x0000, 0x0002, 0x0005, 0x0008, 0x000a, 0x0011, 0x0014, 0x0020, 0x0022, 0x0028, 0x002a, 0x0041, 0x0044, 0x0050,
    0x0058, 0x0061, 0x0064, 0x0080, 0x0082, 0x008a, 0x00a2, 0x0101, 0x0104, 0x0110, 0x0115, 0x0140, 0x0184, 0x0198,
    0x0200, 0x0202, 0x0222, 0x0282, 0x0401, 0x0404, 0x0410, 0x0421, 0x0424, 0x0440, 0x0442, 0x0448, 0x0460, 0x0481,
    0x0484, 0x0490, 0x04a4, 0x0500, 0x0502, 0x0508, 0x0520, 0x0546, 0x0569, 0x0580, 0x0591, 0x0609, 0x0610, 0x0640,
    0x0684, 0x06a4, 0x0800, 0x0805, 0x0808, 0x0814, 0x0828, 0x0841, 0x0844, 0x0850, 0x0852, 0x0888, 0x0904, 0x0940,
    0x0a02, 0x0a14, 0x1001, 0x1004, 0x1010, 0x1021, 0x1040, 0x1060, 0x1084, 0x1090, 0x1095, 0x1100, 0x1108, 0x1120,
    0x1150, 0x115a, 0x1180, 0x1224, 0x1245, 0x1400, 0x1408, 0x1420, 0x1425, 0x1449, 0x1480, 0x1518, 0x1562, 0x1600,
    0x1616, 0x1801, 0x1804, 0x1810, 0x1840, 0x1881, 0x1900, 0x1905, 0x19a0, 0x1a51, 0x2000, 0x2002, 0x200a, 0x2044,
    0x2061, 0x2080, 0x2082, 0x2129, 0x2148, 0x2200, 0x2202, 0x2401, 0x2404, 0x2410, 0x2440, 0x2456, 0x2500, 0x2541,
    0x2564, 0x2690, 0x2808, 0x2820, 0x2894, 0x2a44, 0x4001, 0x4004, 0x4010, 0x4018, 0x4021, 0x4024, 0x4040, 0x4048,
    0x4056, 0x4060, 0x4081, 0x4084, 0x4090, 0x4100, 0x4120, 0x4161, 0x4180, 0x4185, 0x4201, 0x4210, 0x4248, 0x4256,
    0x4268, 0x4400, 0x4408, 0x4420, 0x4480, 0x4499, 0x4512, 0x4524, 0x4600, 0x4801, 0x4804, 0x4810, 0x4840, 0x4845,
    0x4900, 0x4958, 0x4961, 0x4982, 0x4a45, 0x4a90, 0x5000, 0x5008, 0x5011, 0x5019, 0x5020, 0x5080, 0x5088, 0x5104,
    0x5142, 0x51a4, 0x5291, 0x5490, 0x5492, 0x550a, 0x5601, 0x5654, 0x5800, 0x5811, 0x5819, 0x5864, 0x5940, 0x5a08,
    0x6004, 0x6010, 0x6040, 0x6068, 0x6100, 0x6155, 0x6218, 0x6260, 0x6400, 0x6405, 0x6510, 0x6512, 0x6584, 0x6842,
    0x8000, 0x8002, 0x800a, 0x8041, 0x8082, 0x8104, 0x8118, 0x8140, 0x8211, 0x8401, 0x8404, 0x8410, 0x8415, 0x8440,
    0x8460, 0x8500, 0x8546, 0x8594, 0x8609, 0x8640, 0x8660, 0x8802, 0x8904, 0x8a11, 0x9004, 0x9010, 0x9024, 0x9040,
    0x90a1, 0x9116, 0x9180, 0x9245, 0x9400, 0x9422, 0x9444, 0x9551, 0x9881, 0x9920, 0xa002, 0xa050, 0xa085, 0xa109,
    0xa200, 0xa418, 0xa850, 0xa904,
};

/* The signs of eight weights are seven bits; the eighth makes the number of minus signs even. */
static inline uint iq2_xxs_signs(uint seven_bits) {
    return seven_bits | (popcount(seven_bits) & 1) << 7;
}

static inline float block_half(device const uchar *bytes) {
    return float(*(device const half *)bytes);
}

static inline uint block_u32(device const uchar *bytes) {
    device const ushort *halves = (device const ushort *)bytes;
    return halves[0] | uint(halves[1]) << 16;
}

/* Byte k of a word, signed; k is 0..3. */
static inline int signed_byte(uint word, uint k) {
    return int(word << (24 - 8 * k)) >> 24;
}

/* Scale and minimum of sub-block s of a Q4_K block, 6 bits each: see unpack_scales in src/gguf/blocks.c. */
static inline uint2 q4_k_scale(device const uchar *block, uint s) {
    device const uint *packed = (device const uint *)(block + 4);
    uint shift = 8 * (s & 3), a = packed[0] >> shift, b = packed[1] >> shift, c = packed[2] >> shift;
    if (s < 4) return uint2(a & 63, b & 63);
    return uint2((c & 15) | (a >> 2 & 0x30), (c >> 4 & 15) | (b >> 2 & 0x30));
}

/* Weight i of a row: for single weights and for matrices too small to matter. */
static inline float weight_at(uint type, device const uchar *row, uint i) {
    if (type == TYPE_F32) return ((device const float *)row)[i];
    if (type == TYPE_F16) return float(((device const half *)row)[i]);
    if (type == TYPE_Q8_0) {
        device const uchar *block = row + i / 32 * Q8_0_BYTES;
        return block_half(block) * float(signed_byte(block[2 + i % 32], 0));
    }
    uint at = i % 256; /* the others have blocks of 256 */
    if (type == TYPE_Q2_K) {
        device const uchar *block = row + i / 256 * Q2_K_BYTES;
        uint scales = block[at / 16], q = block[16 + at / 128 * 32 + at % 32] >> at % 128 / 32 * 2 & 3;
        return block_half(block + 80) * float((scales & 15) * q) - block_half(block + 82) * float(scales >> 4);
    }
    if (type == TYPE_Q4_K) {
        device const uchar *block = row + i / 256 * Q4_K_BYTES;
        uint2 scale = q4_k_scale(block, at / 32);
        uint q = block[16 + at / 64 * 32 + at % 32] >> at % 64 / 32 * 4 & 15;
        return block_half(block) * float(scale.x * q) - block_half(block + 2) * float(scale.y);
    }
    device const uchar *block = row + i / 256 * IQ2_XXS_BYTES, *group = block + 2 + at / 32 * 8;
    uint k = at % 32 / 8, a = block_u32(group + 4);
    uint code = uint(iq2_xxs_codes[group[k]]) >> 2 * (at % 8) & 3;
    float w = block_half(block) * (0.5f + float(a >> 28)) * 0.25f * float(8 + 17 * code + (code >> 1));
    return (iq2_xxs_signs(a >> 7 * k & 127) >> at % 8 & 1) ? -w : w;
}

/* Sixteen bytes as words; they begin at a multiple of two. */
static inline uint4 block_16_bytes(device const uchar *bytes) {
    device const packed_ushort4 *halves = (device const packed_ushort4 *)bytes;
    uint4 a = uint4(ushort4(halves[0])), b = uint4(ushort4(halves[1]));
    return uint4(a.x | a.y << 16, a.z | a.w << 16, b.x | b.y << 16, b.z | b.w << 16);
}

/* out[j] = scale * (byte j >> shift & mask) - minimum */
static inline void unpack_16(uint4 bytes, uint shift, uint mask, float scale, float minimum, thread float *out) {
    for (uint j = 0; j < 4; j++) {
        uint4 q = bytes >> (8 * j + shift) & mask;
        out[j] = scale * float(q.x) - minimum;
        out[4 + j] = scale * float(q.y) - minimum;
        out[8 + j] = scale * float(q.z) - minimum;
        out[12 + j] = scale * float(q.w) - minimum;
    }
}

/* Weights i .. i + 15 of a row, all of which exist; i is a multiple of 16. */
static inline void decode_16(uint type, device const uchar *row, uint i, thread float *out) {
    uint at = i % 256;
    if (type == TYPE_F32) {
        device const float *w = (device const float *)row + i;
        for (uint j = 0; j < 16; j++) out[j] = w[j];
    } else if (type == TYPE_F16) {
        device const half *w = (device const half *)row + i;
        for (uint j = 0; j < 16; j++) out[j] = float(w[j]);
    } else if (type == TYPE_Q8_0) {
        device const uchar *block = row + i / 32 * Q8_0_BYTES;
        float d = block_half(block);
        uint4 q = block_16_bytes(block + 2 + i % 32);
        for (uint j = 0; j < 4; j++) {
            out[j] = d * float(signed_byte(q.x, j));
            out[4 + j] = d * float(signed_byte(q.y, j));
            out[8 + j] = d * float(signed_byte(q.z, j));
            out[12 + j] = d * float(signed_byte(q.w, j));
        }
    } else if (type == TYPE_Q2_K) {
        device const uchar *block = row + i / 256 * Q2_K_BYTES;
        uint scales = block[at / 16];
        unpack_16(block_16_bytes(block + 16 + at / 128 * 32 + at % 32), at % 128 / 32 * 2, 3,
                  block_half(block + 80) * float(scales & 15), block_half(block + 82) * float(scales >> 4), out);
    } else if (type == TYPE_Q4_K) {
        device const uchar *block = row + i / 256 * Q4_K_BYTES;
        uint2 scale = q4_k_scale(block, at / 32);
        unpack_16(block_16_bytes(block + 16 + at / 64 * 32 + at % 32), at % 64 / 32 * 4, 15,
                  block_half(block) * float(scale.x), block_half(block + 2) * float(scale.y), out);
    } else {
        device const uchar *block = row + i / 256 * IQ2_XXS_BYTES, *group = block + 2 + at / 32 * 8;
        uint a = block_u32(group + 4), k = at % 32 / 8; /* 0 or 2 */
        float scale = block_half(block) * (0.5f + float(a >> 28)) * 0.25f;
        for (uint part = 0; part < 2; part++) {
            uint codes = iq2_xxs_codes[group[k + part]], signs = iq2_xxs_signs(a >> 7 * (k + part) & 127);
            for (uint j = 0; j < 8; j++) {
                uint code = codes >> 2 * j & 3;
                float w = scale * float(8 + 17 * code + (code >> 1));
                out[8 * part + j] = (signs >> j & 1) ? -w : w;
            }
        }
    }
}

#endif
