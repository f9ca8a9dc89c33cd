/*
 * The CPU backend's inner loops, written for several instruction sets and chosen when the program starts.
 *
 * Two kinds of products. Float: weights are decoded to float32 and multiplied with float32 activations, which is what
 * --exact does with all weights. Quantised: activations are rounded to int8 once per input and multiplied with the
 * stored integers of Q8_0, IQ2_XXS, Q2_K and Q4_K weights; sums of one block are integers, hence exact.
 *
 * Every table gives the same results to the last bit, whatever the number of rows and tokens of a call: the float
 * operations of each result, written down below, come in one fixed order. So results depend neither on the machine
 * nor on what shares a batch, and tests can compare tables for equality.
 */
#ifndef BACKEND_CPU_KERNELS_H
#define BACKEND_CPU_KERNELS_H

#include "backend/cpu/float_kernels.h"
#include "gguf/blocks.h"

typedef enum activation_kind {
    ACTIVATION_F32,  /* float x[n] */
    ACTIVATION_Q32,  /* groups of 32 share a scale */
    ACTIVATION_Q256, /* groups of 256 */
    N_ACTIVATION_KINDS
} activation_kind;

/*
 * A quantised row of n values: value i is about scale[i / group] * q[i].
 *   int8_t q[n]                 -127..127
 *   float scale[n / group]
 *   int16_t sum[n / 32] (Q32) or sum[n / 16] (Q256): sums of 32 or 16 neighbours of q
 * n is a multiple of the group. Rows are aligned to 64 bytes.
 *
 * Quantising: largest = max |x| of the group. If it is below 2^-100 (or NaN), scale and q are 0. Otherwise
 * scale = largest / 127 and q = x * (127 / largest), rounded to nearest even, limited to -127..127.
 */
static inline size_t activation_bytes(activation_kind kind, size_t n) {
    size_t bytes = kind == ACTIVATION_F32   ? n * sizeof(float)
                   : kind == ACTIVATION_Q32 ? n + n / 32 * (sizeof(float) + sizeof(int16_t))
                                            : n + n / 256 * sizeof(float) + n / 16 * sizeof(int16_t);
    return (bytes + 63) / 64 * 64;
}
static inline const float *activation_scales(const int8_t *q, size_t n) {
    return (const float *)(const void *)(q + n);
}
static inline const int16_t *activation_sums(activation_kind kind, const int8_t *q, size_t n) {
    return (const int16_t *)(const void *)(q + n + n / (kind == ACTIVATION_Q32 ? 32 : 256) * sizeof(float));
}

/* y[t][r] = sum over i of w[r][i] * x[t][i] for n_rows rows of n weights and n_tokens tokens. */
typedef struct product {
    const uint8_t *w; /* rows of stored blocks, at any address */
    size_t row_bytes;
    size_t n_rows;
    size_t n;
    const void *const *x; /* [n_tokens]: rows of the kind that the format takes */
    int n_tokens;
    float *const *y; /* [n_tokens] */
    void *scratch;   /* product_scratch_bytes(n), aligned to 64 bytes */
    /* what this thread reads after these rows, so that it can be fetched meanwhile; 0 bytes: nothing or not known */
    const uint8_t *next;
    size_t next_bytes;
} product;

/* Decoded weights of a few rows: PANEL_ROWS rows of int8 or float values, with scales. */
enum { PANEL_ROWS = 16 };
static inline size_t product_scratch_bytes(size_t n) {
    return PANEL_ROWS * (n * sizeof(float) + n / 32 * 16) + 4096;
}

/*
 * The order of float operations. dw, dmin: the weight block's halves as floats; dx: the activation group's scale;
 * fma rounds once; all else is integer.
 *
 * Q8_0 with Q32: eight sums; block b adds to sum b % 8:
 *     sum = fma((float)dot, dw * dx, sum),             dot = sum over 32 of qw * qx
 *   then ((((((s0 + s1) + s2) + s3) + s4) + s5) + s6) + s7.
 * IQ2_XXS with Q256: one sum over the blocks in order:
 *     sum = fma((float)dots, (dw * 0.125f) * dx, sum),  dots = sum over groups of 32 of (2 * scale + 1) * dot
 * Q2_K, Q4_K with Q256: one sum over the blocks in order:
 *     sum = fma((float)dots, dw * dx, sum)              dots = sum over sub-blocks of scale * dot
 *     sum = fma((float)mins, -(dmin * dx), sum)         mins = sum over sub-blocks of min * (sum of its qx)
 */
typedef void product_function(const product *p);

typedef struct cpu_kernels {
    const char *name;
    bool (*supported)(void); /* by this processor and operating system */
    /* x[n] floats -> a quantised row */
    void (*quantise_32)(const float *x, size_t n, int8_t *out);
    void (*quantise_256)(const float *x, size_t n, int8_t *out);
    product_function *q8_0, *iq2_xxs, *q2_k, *q4_k;
    product_function *f16; /* with float activations: equals dot() of the decoded row, see float_kernels.h */
    const float_kernels *f;
} cpu_kernels;

/* Best first, the portable one last; ends with NULL. */
extern const cpu_kernels *const cpu_kernels_all[];

/* The best that is supported; with name (from DS4_CPU) that one, DS4_ERROR_ARGUMENT if it is not there. */
ds4_status cpu_kernels_choose(const char *name, const cpu_kernels **out, ds4_error *error);

#endif
