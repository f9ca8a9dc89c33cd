/*
 * What kernels and the host agree on: parameter blocks and tables. Included by kernels (*.metal) and by src/backend/gpu.
 * Every field has 32 bits.
 *
 * T tokens of a batch, D = width, S = 4 streams, H = n_heads, V = n_vocab, F = expert_width. Arrays are dense and row-major
 * unless a stride is given. A matrix is stored as in the model file: n_rows rows of row_bytes bytes.
 */
#ifndef KERNELS_SHARED_H
#define KERNELS_SHARED_H

#ifdef __METAL__
#include <metal_stdlib>
using namespace metal;
#else
#include <stdint.h>
#endif

/* Weight types, with the numbers of the file format. */
enum { TYPE_F32 = 0, TYPE_F16 = 1, TYPE_Q8_0 = 8, TYPE_Q2_K = 10, TYPE_Q4_K = 12, TYPE_IQ2_XXS = 16 };

enum {
    STREAMS = 4,
    MIX = 24,               /* pre, post, combination [source][destination] */
    MAX_JOBS = 7,           /* matrices that share an input */
    MAX_MATVEC_TOKENS = 16, /* larger batches take the tiles of matmul.metal */
    MATVEC_ROWS = 8,        /* of a threadgroup, two for each of its SIMD-groups */
    MATVEC_THREADS = 128,
    MAX_HEAD_DIM = 512,
    MAX_INDEX_DIM = 128,
    MAX_EXPERTS = 512,
    MAX_USED = 16, /* experts of a token */
    N_ARENAS = 8,  /* buffers that hold what timelines remember */
    PAGE_ROWS = 128,
    HYPER_COLUMNS = 256, /* columns of a threadgroup of hyper_step */
    HYPER_SUMS = 25,     /* projections (24, or 4 for the head) and, last, the sum of squares */
    HYPER_THREADS = 256, /* of a threadgroup of embed and hyper_step */
    HYPER_IN_THREADS = 1024, /* of hyper_in and head_in */
    REMEMBER_THREADS = 256, /* of remember and keep */
    TILE_TOKENS = 32,    /* pairs of an expert tile */
    MATMUL_ROWS = 64,    /* of a matrix, or 32 of gate and 32 of up, in a tile of matmul.metal */
    MATMUL_THREADS = 128,
    SORT_THREADS = 256,
    SCORE_ROWS = 64,     /* of a threadgroup of score; a page is a multiple */
    SCORE_THREADS = 128,
    BEST_THREADS = 1024,
    SELECT_BINS = 2048,
    ATTEND_THREADS = 256,
    ROWS_COMPACT = 0,    /* codes */
    ROWS_ROUNDED = 1,    /* float32 of the rounded values (tests) */
    ROWS_PLAIN = 2,      /* float32, not rounded (tests) */
};

/* ---- tables of a batch ---- */

struct token_info {
    int32_t token, position, span;
};

/* Tokens first .. first + n_tokens - 1 of the batch belong to one timeline; the first is at `position`.
 * in_rings: the new tokens' raw rows and pending values lie in the rings already, because the span is so short that they
 * overwrite nothing which it needs. Otherwise they lie in the batch's own memory (`fresh`, the projections). */
struct span_info {
    int32_t position, first, n_tokens, in_rings;
};

/* Where one span's memory for one layer lies. A reference is an arena (3 highest bits) and an offset in units of 64 bytes.
 * rows, index_rows: where in the list of page references the pages of compressed rows begin. */
struct layer_info {
    uint32_t raw, pending, index_pending;
    uint32_t rows, index_rows;
};

/* A window of ratio tokens that ends in this batch: its number, counted from the start of the timeline. */
struct window_info {
    int32_t span, window;
};

/* ---- parameter blocks: buffer 0 of each kernel ---- */

struct embed_params {
    uint32_t width, row_bytes, type;
};

struct hyper_params {
    uint32_t width, n_tokens;
    uint32_t n_sums;     /* projections of fn: 24, or 4 for the head */
    uint32_t n_groups;   /* threadgroups of hyper_step for one token: ceil(width / HYPER_COLUMNS) */
    uint32_t row_bytes;  /* of fn */
    uint32_t type;       /* of fn */
    uint32_t has_y;      /* hyper_step: mix y into the streams first */
    uint32_t iterations; /* of Sinkhorn */
    float rms_epsilon, hyper_epsilon;
};

struct matrix_job {
    uint32_t type, row_bytes;
    uint32_t n_rows;
    uint32_t first_group; /* threadgroups (x) before this job's */
};

/* y_j[t][r] = sum_c w_j[r][c] * x[t][c] for each job j. */
struct matrix_params {
    uint32_t n_columns, n_tokens, n_jobs;
    uint32_t x_stride; /* floats between tokens */
    uint32_t y_stride; /* 0: the job's n_rows */
    /* Rows belong to groups of group_rows that take inputs group_columns apart: x[t][r / group_rows * group_columns + c].
     * group_rows 0: one input. (First half of the output projection.) */
    uint32_t group_rows, group_columns;
    uint32_t has_gain; /* x is RMS-normed with the weights `gain` first */
    float epsilon;
    struct matrix_job job[MAX_JOBS];
};

struct expert_params {
    uint32_t width, expert_width, n_tokens, n_experts, n_used;
    uint32_t gate_type, gate_row_bytes; /* up: the same */
    uint32_t down_type, down_row_bytes;
    uint32_t shared_gate_type, shared_gate_row_bytes;
    uint32_t shared_down_type, shared_down_row_bytes;
    uint32_t up_type, up_row_bytes, shared_up_type, shared_up_row_bytes;
    uint32_t fixed;  /* expert ids come from the table of the token's id */
    uint32_t biased; /* there is a router bias */
    float limit;     /* of SwiGLU */
    float scale;     /* of the expert weights */
};

/* Pairs order[first .. first + n - 1] of the sorted list go through `expert` (n_experts: the shared one).
 * P = n_tokens * n_used pairs make at most (P + (TILE_TOKENS - 1) * min(P, n_experts)) / TILE_TOKENS tiles, because
 * each expert that is used leaves at most one tile not full; ceil(n_tokens / TILE_TOKENS) of the shared expert follow. */
struct expert_tile {
    uint32_t expert, first, n;
};

/* remember's threadgroups, in this order: n_tokens raw rows; n_windows windows if ratio; n_windows windows of the indexer
 * if ratio is 4; n_tokens for the pending rings if ratio; n_tokens * ceil(n_heads / 8) for queries;
 * n_tokens * ceil(n_index_heads / 8) for indexer queries if queries_needed. keep has n_tokens threadgroups. */
struct remember_params {
    uint32_t n_tokens, head_dim, index_dim, n_heads, n_index_heads;
    uint32_t n_pairs; /* rotary channels / 2 */
    uint32_t ratio;   /* 0, 4, 128 */
    uint32_t n_windows;
    uint32_t row_kind;         /* ROWS_ ... */
    uint32_t raw_bytes, rows_bytes, index_bytes; /* of one row */
    uint32_t raw_slots, pending_slots, index_pending_slots;
    uint32_t ape_type, ape_row_bytes, index_ape_type, index_ape_row_bytes;
    uint32_t queries_needed; /* indexer queries are finished too */
    float epsilon;
};

struct select_params {
    uint32_t n_tokens; /* of the list of tokens that must choose */
    uint32_t index_dim, n_index_heads, top_k;
    uint32_t row_kind, index_bytes;
    uint32_t score_stride; /* floats of score for a token */
};

struct attend_params {
    uint32_t n_tokens, n_heads, head_dim, n_pairs;
    uint32_t window, ratio; /* ratio 0: no compressed rows */
    uint32_t raw_slots, raw_bytes, rows_bytes, row_kind;
    uint32_t top_k;
    uint32_t score_stride; /* attend_2_choosing: floats of score for a token of the list */
};

struct logits_params {
    uint32_t width, n_wanted, n_groups;
    float rms_epsilon, hyper_epsilon;
};

#endif
