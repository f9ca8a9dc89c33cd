/*
 * Float loops of the CPU backend. One text, float_kernels.inc, is compiled for every instruction set; results are the
 * same to the last bit, as the order of operations is fixed: what is said here, where "from 0" means a chain of fma,
 * one after the other, and sixteen sums s are added up as u[i] = s[i] + s[i + 8], then
 * ((u0 + u4) + (u2 + u6)) + ((u1 + u5) + (u3 + u7)).
 */
#ifndef BACKEND_CPU_FLOAT_KERNELS_H
#define BACKEND_CPU_FLOAT_KERNELS_H

#include "backend/rows.h"
#include "base/error.h"

/* What a compressor pools: the values and gates of one token. */
typedef struct pooled_token {
    const float *kv, *gate; /* [n] */
} pooled_token;

/* Attention is worked off in tiles of decoded rows, for groups of heads. */
enum { ATTEND_HEADS = 16, ATTEND_ROWS = 64, ATTEND_CHUNK = 64 };
/* Decoded rows and weighted sums have lengths that are multiples of 16, padded with zeros. */
static inline size_t attend_width(size_t dim) {
    return (dim + 15) / 16 * 16;
}
/* From row to row: a power of two would put one channel of all rows in the same place of a cache. */
static inline size_t attend_row_stride(size_t dim) {
    return attend_width(dim) + 16;
}

/* A softmax over rows, as far as it has come. Weights are relative to e^top. */
typedef struct attend_state {
    float top[ATTEND_HEADS], sum[ATTEND_HEADS];
    float *out; /* [ATTEND_HEADS][attend_width(dim)]: weighted sum of the rows */
} attend_state;

/* Queries and rows of the indexer, as small integers: twice the FP4 value without its scale. */
typedef struct index_query {
    size_t n_heads; /* a multiple of 16; those that are not there have weight 0 */
    size_t dim;     /* a multiple of 32 */
    int8_t *code;   /* [dim / 4][n_heads][4] */
    float *scale;   /* [dim / 32][n_heads]: of the product of two codes, without the row's scale */
    int32_t *shift; /* [dim / 32][n_heads]: what a dot product with INDEX_BIAS in all places gives */
    float *weight;  /* [n_heads] */
} index_query;
enum { INDEX_BIAS = 12 };

/* The parts of an index_query in index_query_bytes of memory, aligned to 64 bytes. */
static inline size_t index_query_bytes(size_t n_heads, size_t dim) {
    n_heads = (n_heads + 15) / 16 * 16;
    return n_heads * (dim + dim / 32 * (sizeof(float) + sizeof(int32_t)) + sizeof(float));
}
static inline index_query index_query_in(void *memory, size_t n_heads, size_t dim) {
    n_heads = (n_heads + 15) / 16 * 16;
    float *floats = (float *)(void *)((int8_t *)memory + n_heads * dim);
    return (index_query){.n_heads = n_heads,
                         .dim = dim,
                         .code = memory,
                         .scale = floats,
                         .shift = (int32_t *)(void *)(floats + n_heads * (dim / 32)),
                         .weight = floats + 2 * n_heads * (dim / 32)};
}

typedef struct float_kernels {
    /* Sixteen sums: element i goes to sum i % 16 by fma(a, b, sum). */
    float (*dot)(const float *a, const float *b, size_t n);
    /* out[t][first_row + r] = dot(a + r * a_stride, b[t]) for n_rows x n_tokens */
    void (*dot_tile)(const float *a, size_t a_stride, size_t n_rows, const float *const *b, int n_tokens, size_t n,
                     float *const *out, size_t first_row);
    /* y += factor * x, with fma */
    void (*add_scaled)(float *y, float factor, const float *x, size_t n);
    /* out = (x * scale) * gain, scale = 1 / sqrt(dot(x, x) / n + epsilon); gain may be NULL, out may be x */
    void (*rms_norm)(const float *x, const float *gain, size_t n, float epsilon, float *out);
    /* gate <- silu(min(gate, limit)) * clamp(up, -limit, limit) * weight */
    void (*swiglu)(float *gate, const float *up, float limit, float weight, size_t n);

    /* out[d] = sum of weight[i] * streams[i][d], from 0; streams [4][n] */
    void (*collapse)(const float *streams, const float weight[4], size_t n, float *out);
    /* stream j <- fma(c[3][j], stream 3, ... fma(c[0][j], stream 0, post[j] * y)), streams [4][n] */
    void (*expand)(float *streams, const float post[4], const float c[16], const float *y, size_t n);

    /* Rotates neighbours (a, b) by angles (cos, sin): fma(a, cos, -(b * sin)), fma(b, cos, a * sin) */
    void (*rotate)(float *x, const float *angles, size_t n_pairs, bool inverse);
    /* hadamard_transform of rows.h, bit for bit */
    void (*hadamard)(float *x, size_t n);
    /* Per channel the mean of kv, weighted by the softmax of gate; all sums from 0 in the order of the tokens */
    void (*pool)(const pooled_token *token, size_t n_tokens, size_t n, float *out);

    /* row_decode of a compact attention row, bit for bit */
    void (*decode_row)(const row_format *format, const uint8_t *row, float *x);
    /* q[n_heads][dim] -> q_t[dim][ATTEND_HEADS], zeros where there is no head; n_heads <= ATTEND_HEADS */
    void (*attend_queries)(const float *q, size_t n_heads, size_t dim, float *q_t);
    void (*attend_start)(attend_state *state, size_t dim);
    /* n_rows <= ATTEND_ROWS rows[n_rows][attend_row_stride(dim)], for each head:
     *   score[r] = sum of row[d] * q[d]: each ATTEND_CHUNK channels from 0, their sums added up in order
     *   new top  = max(top, max score * scale);  shrink = exp(top - new top)
     *   w[r]     = exp(fma(score[r], scale, -new top))
     *   sum      = fma(sum, shrink, w[0] + w[1] + ...);  out[d] = sum of w[r] * row[r][d] from out[d] * shrink */
    void (*attend_rows)(attend_state *state, const float *q_t, const float *rows, size_t n_rows, size_t dim,
                        float scale);
    /* The rows of part behind those of state: with top the larger of the two, a = exp(state's top - top), b likewise,
     * sum = fma(part's sum, b, state's sum * a), out alike. */
    void (*attend_merge)(attend_state *state, const attend_state *part, size_t dim);
    /* heads[n_heads][dim] = out / sum */
    void (*attend_finish)(const attend_state *state, size_t n_heads, size_t dim, float *heads);

    /* q[n_heads][dim] are FP4 values times a power of two in each 32. */
    void (*index_prepare)(index_query *query, const float *q, size_t n_heads, const float *weight, float factor);
    /* Compact indexer rows, row_bytes apart: score = sum over heads of max(dot, 0) * weight, in sixteen sums (head h to
     * h % 16) by fma. dot, from 0 over blocks of 32: fma((float)integers, row's scale * query's scale, sum). */
    void (*index_scores)(const index_query *query, const uint8_t *rows, size_t row_bytes, size_t n_rows, float *score);
} float_kernels;

#endif
