/* Half precision numbers (IEEE binary16 and bfloat16) as bits, without branches so that loops vectorise. */
#ifndef BASE_HALF_H
#define BASE_HALF_H

#include <stdint.h>
#include <string.h>

static inline float float_from_bits(uint32_t bits) {
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

static inline uint32_t float_to_bits(float value) {
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits;
}

static inline float half_to_float(uint16_t half) {
    uint32_t magnitude = (uint32_t)(half & 0x7fff) << 13;
    /* Read as a float the exponent is 112 too small; the product is exact for subnormals too. */
    uint32_t bits = float_to_bits(float_from_bits(magnitude) * 0x1p112f);
    bits |= (half & 0x7c00) == 0x7c00 ? 0x7f800000u : 0;
    return float_from_bits(bits | (uint32_t)(half & 0x8000) << 16);
}

/* Round to nearest, ties to even; too large becomes infinity. */
static inline uint16_t half_from_float(float value) {
    uint32_t bits = float_to_bits(value);
    uint32_t sign = bits >> 16 & 0x8000, magnitude = bits & 0x7fffffff;
    /* Subnormal results: adding 0.5 makes the float unit round at the half's last place, 2^-24. */
    uint32_t small = float_to_bits(float_from_bits(magnitude) + 0.5f) - 0x3f000000u;
    uint32_t normal = (magnitude - 0x38000000u + 0xfffu + (magnitude >> 13 & 1)) >> 13;
    uint32_t half = magnitude < 0x38800000u ? small : normal;
    half = magnitude >= 0x477ff000u ? 0x7c00u : half;
    half = magnitude > 0x7f800000u ? 0x7e00u : half;
    return (uint16_t)(sign | half);
}

static inline float bfloat_to_float(uint16_t bfloat) {
    return float_from_bits((uint32_t)bfloat << 16);
}

#endif
