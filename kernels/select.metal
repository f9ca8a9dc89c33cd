/*
 * The lightning indexer (src/backend/cpu/select.c): which compressed rows a token attends to.
 *
 * Tokens that see more than top_k rows are in a list. `score` gives each of their visible rows a score, the weighted
 * sum over the indexer heads of max(q . k, 0); `best_rows` takes the top_k largest.
 */
#include "rows.h"
#include "select.h"

#include <metal_simdgroup_matrix>

enum {
    SCORE_STEPS = MAX_INDEX_DIM / 8, /* shorter vectors are filled up with zeros */
    SCORE_SIMDS = SCORE_THREADS / 32,
    SCORE_SIMD_ROWS = SCORE_ROWS / SCORE_SIMDS, /* two blocks of 8 */
    SCORE_HEADS = 32,                           /* queries in threadgroup memory at a time */
    /* Halves between vectors: 8 more than they have, so that the 8 vectors of a block meet in no memory bank. */
    SCORE_VECTOR = MAX_INDEX_DIM + 8,
};

/* Four channels, in the threadgroup memory of which blocks of 8 x 8 halves are loaded. */
typedef half4 score_values;

/* Indexer queries and rows are FP4 codes times a power of two for each 32 channels. Divided by the power of two of
 * their largest channel they are exact in half, unless one block is 2^22 times smaller than another. */
struct score_vector {
    score_values value; /* of channels 4 * lane .. 4 * lane + 3 */
    float scale;
};

static inline score_vector score_vector_of(float4 x) {
    float4 magnitude = fabs(x);
    float largest = simd_max(max(max(magnitude.x, magnitude.y), max(magnitude.z, magnitude.w)));
    uint exponent = min(as_type<uint>(largest) >> 23, 253u);
    score_vector v;
    v.value = half4(x * row_inverse_scale(exponent));
    v.scale = row_scale(exponent);
    return v;
}

/* Channels 4 * lane .. 4 * lane + 3 of a row of the index cache. */
static inline float4 score_row(device const uchar *row, uint dim, uint row_kind, uint lane) {
    if (4 * lane >= dim) return float4(0.0f);
    if (row_kind != ROWS_COMPACT) {
        device const float *x = (device const float *)row + 4 * lane;
        return float4(x[0], x[1], x[2], x[3]);
    }
    uint low = row[2 * lane], high = row[2 * lane + 1];
    float scale = row_scale(row[dim / 2 + 4 * lane / ROW_FP4_BLOCK]);
    return float4(fp4_decode(low), fp4_decode(low >> 4), fp4_decode(high), fp4_decode(high >> 4)) * scale;
}

static inline float4 score_query(device const float *q, uint dim, uint lane) {
    if (4 * lane >= dim) return float4(0.0f);
    return float4(q[4 * lane], q[4 * lane + 1], q[4 * lane + 2], q[4 * lane + 3]);
}

/* Rows that are not rounded (tests) need float32. */
static inline void score_plain(constant select_params &p, device const uchar *page, uint first, uint n, uint lane,
                               device const float *q, device const float *weight, float factor, device float *out) {
    for (uint r = 0; r < n; r++) {
        float4 key = score_row(page + (first + r) * p.index_bytes, p.index_dim, p.row_kind, lane);
        float sum = 0.0f;
        for (uint h = 0; h < p.n_index_heads; h++) {
            float product = simd_sum(dot(score_query(q + h * p.index_dim, p.index_dim, lane), key));
            sum += max(product, 0.0f) * (weight[h] * factor);
        }
        if (lane == 0) out[r] = sum;
    }
}

/* SCORE_ROWS rows of one token: a SIMD-group has two blocks of 8 rows in registers, in which all heads' queries are
 * multiplied. */
[[max_total_threads_per_threadgroup(SCORE_THREADS)]]
kernel void score(constant select_params &p [[buffer(0)]], device const int *list [[buffer(1)]],
                  device const token_info *tokens [[buffer(2)]], device const layer_info *layers [[buffer(3)]],
                  device const uint *refs [[buffer(4)]], device const float *index_q [[buffer(5)]],
                  device const float *index_weight [[buffer(6)]], device float *out [[buffer(7)]],
                  device uchar *arena0 [[buffer(8)]], device uchar *arena1 [[buffer(9)]],
                  device uchar *arena2 [[buffer(10)]], device uchar *arena3 [[buffer(11)]],
                  device uchar *arena4 [[buffer(12)]], device uchar *arena5 [[buffer(13)]],
                  device uchar *arena6 [[buffer(14)]], device uchar *arena7 [[buffer(15)]],
                  uint3 group [[threadgroup_position_in_grid]], uint lane [[thread_index_in_simdgroup]],
                  uint simd [[simdgroup_index_in_threadgroup]]) {
    threadgroup score_values keys[SCORE_SIMDS * 8 * SCORE_VECTOR / 4];
    threadgroup score_values queries[SCORE_HEADS * SCORE_VECTOR / 4];
    threadgroup float head_weight[SCORE_HEADS];
    threadgroup float products[SCORE_SIMDS * 128]; /* a SIMD-group's: [8 heads][16 rows] */
    threadgroup float row_factor[SCORE_ROWS];

    uint t = uint(list[group.y]), first = group.x * SCORE_ROWS;
    uint n_rows = uint(tokens[t].position + 1) / 4;
    if (first >= n_rows) return; /* the whole threadgroup */
    row_arenas arenas = row_arenas_of(arena0, arena1, arena2, arena3, arena4, arena5, arena6, arena7);
    device const uchar *page = arena_at(arenas, refs[layers[tokens[t].span].index_rows + first / PAGE_ROWS]);
    device const float *q = index_q + ulong(t) * (p.n_index_heads * p.index_dim);
    device const float *weight = index_weight + ulong(t) * p.n_index_heads;
    float factor = precise::rsqrt(float(p.index_dim * p.n_index_heads));

    first += simd * SCORE_SIMD_ROWS; /* the SIMD-group's rows */
    uint n = first < n_rows ? min(n_rows - first, uint(SCORE_SIMD_ROWS)) : 0;
    out += ulong(group.y) * p.score_stride + first;
    if (p.row_kind == ROWS_PLAIN) {
        score_plain(p, page, first % PAGE_ROWS, n, lane, q, weight, factor, out);
        return;
    }

    threadgroup score_values *my_keys = keys + simd * 8 * SCORE_VECTOR / 4;
    threadgroup float *my_products = products + simd * 128;
    simdgroup_half8x8 key[2][SCORE_STEPS];
    #pragma clang loop unroll(full)
    for (uint tile = 0; tile < 2; tile++) {
        for (uint r = 0; r < 8; r++) {
            uint row = tile * 8 + r;
            float4 x = float4(0.0f);
            if (row < n)
                x = score_row(page + (first % PAGE_ROWS + row) * p.index_bytes, p.index_dim, p.row_kind, lane);
            score_vector v = score_vector_of(x);
            my_keys[r * (SCORE_VECTOR / 4) + lane] = v.value;
            if (lane == 0) row_factor[simd * SCORE_SIMD_ROWS + row] = v.scale;
        }
        simdgroup_barrier(mem_flags::mem_threadgroup);
        #pragma clang loop unroll(full)
        for (uint k = 0; k < SCORE_STEPS; k++)
            simdgroup_load(key[tile][k], (threadgroup half *)my_keys + 8 * k, SCORE_VECTOR, ulong2(0), true);
        simdgroup_barrier(mem_flags::mem_threadgroup);
    }

    /* Lanes sum for row lane % 16, half of a block's heads each. */
    float sum = 0.0f;
    for (uint first_head = 0; first_head < p.n_index_heads; first_head += SCORE_HEADS) {
        threadgroup_barrier(mem_flags::mem_threadgroup);
        for (uint i = simd; i < SCORE_HEADS; i += SCORE_SIMDS) {
            uint h = first_head + i;
            bool there = h < p.n_index_heads;
            float4 x = float4(0.0f);
            if (there) x = score_query(q + h * p.index_dim, p.index_dim, lane);
            score_vector v = score_vector_of(x);
            queries[i * (SCORE_VECTOR / 4) + lane] = v.value;
            if (lane == 0) head_weight[i] = there ? v.scale * (weight[h] * factor) : 0.0f;
        }
        threadgroup_barrier(mem_flags::mem_threadgroup);
        uint n_heads = min(p.n_index_heads - first_head, uint(SCORE_HEADS));
        for (uint block = 0; block < n_heads; block += 8) {
            simdgroup_float8x8 product0 = make_filled_simdgroup_matrix<float, 8>(0.0f);
            simdgroup_float8x8 product1 = make_filled_simdgroup_matrix<float, 8>(0.0f);
            #pragma clang loop unroll(full)
            for (uint k = 0; k < SCORE_STEPS; k++) {
                simdgroup_half8x8 query;
                simdgroup_load(query, (threadgroup half *)queries + block * SCORE_VECTOR + 8 * k, SCORE_VECTOR);
                simdgroup_multiply_accumulate(product0, query, key[0][k], product0);
                simdgroup_multiply_accumulate(product1, query, key[1][k], product1);
            }
            simdgroup_store(product0, my_products, 16);
            simdgroup_store(product1, my_products + 8, 16);
            simdgroup_barrier(mem_flags::mem_threadgroup);
            for (uint i = 0; i < 4; i++) {
                uint h = lane / 16 * 4 + i;
                sum += max(my_products[h * 16 + lane % 16], 0.0f) * head_weight[block + h];
            }
            simdgroup_barrier(mem_flags::mem_threadgroup);
        }
    }
    sum += simd_shuffle_xor(sum, ushort(16));
    if (lane < n) out[lane] = sum * row_factor[simd * SCORE_SIMD_ROWS + lane];
}

[[max_total_threads_per_threadgroup(BEST_THREADS)]]
kernel void best_rows(constant select_params &p [[buffer(0)]], device const int *list [[buffer(1)]],
                      device const token_info *tokens [[buffer(2)]], device const float *score [[buffer(3)]],
                      device int *selected [[buffer(4)]], device int *n_selected [[buffer(5)]],
                      uint3 group [[threadgroup_position_in_grid]], uint thread_index [[thread_index_in_threadgroup]]) {
    threadgroup uint bins[SELECT_BINS];
    threadgroup uint scratch[64];
    uint t = uint(list[group.x]), n_rows = uint(tokens[t].position + 1) / 4;
    select_best(score + ulong(group.x) * p.score_stride, n_rows, p.top_k, bins, scratch, thread_index, BEST_THREADS,
                selected + ulong(t) * p.top_k);
    if (thread_index == 0) n_selected[t] = int(p.top_k);
}
