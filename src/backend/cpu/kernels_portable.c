/* The reference: what kernels.h says, in plain C. */
#include "backend/cpu/kernels.h"
#include "base/half.h"
#include "gguf/iq2_grid.h"

#include <math.h>

#include "backend/cpu/float_kernels.inc"

static float load_half(const uint8_t *bytes) {
    uint16_t half;
    memcpy(&half, bytes, sizeof half);
    return half_to_float(half);
}

/* ---- quantising ---- */

/* One group of n values; returns its scale. */
static float quantise_group(const float *x, size_t n, int8_t *q) {
    float largest = 0;
    for (size_t i = 0; i < n; i++) largest = fabsf(x[i]) > largest ? fabsf(x[i]) : largest;
    if (!(largest >= 0x1p-100f)) {
        memset(q, 0, n);
        return 0;
    }
    float inverse = 127.0f / largest;
    for (size_t i = 0; i < n; i++) q[i] = (int8_t)rintf(fmaxf(fminf(x[i] * inverse, 127.0f), -127.0f));
    return largest / 127.0f;
}

static void quantise(activation_kind kind, const float *x, size_t n, int8_t *out) {
    size_t group = kind == ACTIVATION_Q32 ? 32 : 256, part = kind == ACTIVATION_Q32 ? 32 : 16;
    uint8_t *scales = (uint8_t *)(out + n), *sums = scales + n / group * sizeof(float);
    for (size_t g = 0; g < n / group; g++) {
        float scale = quantise_group(x + g * group, group, out + g * group);
        memcpy(scales + g * sizeof scale, &scale, sizeof scale);
    }
    for (size_t p = 0; p < n / part; p++) {
        int16_t sum = 0;
        for (size_t i = 0; i < part; i++) sum = (int16_t)(sum + out[p * part + i]);
        memcpy(sums + p * sizeof sum, &sum, sizeof sum);
    }
}

static void quantise_32(const float *x, size_t n, int8_t *out) {
    quantise(ACTIVATION_Q32, x, n, out);
}
static void quantise_256(const float *x, size_t n, int8_t *out) {
    quantise(ACTIVATION_Q256, x, n, out);
}

/* ---- products ---- */

static float row_q8_0(const uint8_t *w, const int8_t *x, size_t n) {
    const float *scale = activation_scales(x, n);
    float sum[8] = {0};
    for (size_t b = 0; b < n / 32; b++, w += 34, x += 32) {
        int dot = 0;
        for (int i = 0; i < 32; i++) dot += (int8_t)w[2 + i] * x[i];
        sum[b % 8] = fmaf((float)dot, load_half(w) * scale[b], sum[b % 8]);
    }
    float total = sum[0];
    for (int i = 1; i < 8; i++) total += sum[i];
    return total;
}

static float row_iq2_xxs(const uint8_t *w, const int8_t *x, size_t n) {
    const float *scale = activation_scales(x, n);
    float sum = 0;
    for (size_t b = 0; b < n / 256; b++, w += 66) {
        int dots = 0;
        for (int g = 0; g < 8; g++, x += 32) {
            const uint8_t *index = w + 2 + 8 * g;
            uint32_t a;
            memcpy(&a, index + 4, sizeof a);
            int dot = 0;
            for (int i = 0; i < 32; i++) {
                uint32_t signs = a >> 7 * (i / 8) & 127;
                signs |= (uint32_t)__builtin_parity(signs) << 7;
                int magnitude = (int)(iq2_xxs_grid[index[i / 8]] >> 8 * (i % 8) & 0xff);
                dot += (signs >> i % 8 & 1 ? -magnitude : magnitude) * x[i];
            }
            dots += (int)(2 * (a >> 28) + 1) * dot;
        }
        sum = fmaf((float)dots, load_half(w) * 0.125f * scale[b], sum);
    }
    return sum;
}

static float row_q2_k(const uint8_t *w, const int8_t *x, size_t n) {
    const float *scale = activation_scales(x, n);
    const int16_t *part = activation_sums(ACTIVATION_Q256, x, n);
    float sum = 0;
    for (size_t b = 0; b < n / 256; b++, w += 84, part += 16) {
        int dots = 0, mins = 0;
        for (int s = 0; s < 16; s++, x += 16) {
            const uint8_t *q = w + 16 + 32 * (s / 8) + 16 * (s % 2);
            int dot = 0;
            for (int i = 0; i < 16; i++) dot += (q[i] >> 2 * (s % 8 / 2) & 3) * x[i];
            dots += (w[s] & 15) * dot;
            mins += (w[s] >> 4) * part[s];
        }
        sum = fmaf((float)dots, load_half(w + 80) * scale[b], sum);
        sum = fmaf((float)mins, -(load_half(w + 82) * scale[b]), sum);
    }
    return sum;
}

static float row_q4_k(const uint8_t *w, const int8_t *x, size_t n) {
    const float *scale = activation_scales(x, n);
    const int16_t *part = activation_sums(ACTIVATION_Q256, x, n);
    float sum = 0;
    for (size_t b = 0; b < n / 256; b++, w += 144, part += 16) {
        const uint8_t *packed = w + 4;
        int dots = 0, mins = 0;
        for (int s = 0; s < 8; s++, x += 32) {
            int low = s < 4 ? packed[s] & 63 : (packed[s + 4] & 15) | packed[s - 4] >> 6 << 4;
            int min = s < 4 ? packed[s + 4] & 63 : packed[s + 4] >> 4 | packed[s] >> 6 << 4;
            const uint8_t *q = w + 16 + 32 * (s / 2);
            int dot = 0;
            for (int i = 0; i < 32; i++) dot += (q[i] >> 4 * (s % 2) & 15) * x[i];
            dots += low * dot;
            mins += min * (part[2 * s] + part[2 * s + 1]);
        }
        sum = fmaf((float)dots, load_half(w) * scale[b], sum);
        sum = fmaf((float)mins, -(load_half(w + 2) * scale[b]), sum);
    }
    return sum;
}

static void run_rows(const product *p, float (*row)(const uint8_t *w, const int8_t *x, size_t n)) {
    for (size_t r = 0; r < p->n_rows; r++)
        for (int t = 0; t < p->n_tokens; t++) p->y[t][r] = row(p->w + r * p->row_bytes, p->x[t], p->n);
}

static void product_q8_0(const product *p) {
    run_rows(p, row_q8_0);
}
static void product_iq2_xxs(const product *p) {
    run_rows(p, row_iq2_xxs);
}
static void product_q2_k(const product *p) {
    run_rows(p, row_q2_k);
}
static void product_q4_k(const product *p) {
    run_rows(p, row_q4_k);
}

static void product_f16(const product *p) {
    float *row = p->scratch;
    for (size_t r = 0; r < p->n_rows; r++) {
        for (size_t i = 0; i < p->n; i++) row[i] = load_half(p->w + r * p->row_bytes + 2 * i);
        for (int t = 0; t < p->n_tokens; t++) p->y[t][r] = FLOAT_KERNELS.dot(row, p->x[t], p->n);
    }
}

static bool supported(void) {
    return true;
}

const cpu_kernels cpu_kernels_portable = {
    .name = "portable",
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
