/*
 * Products of matrices with many tokens: prefill.
 *
 * A threadgroup makes a tile of MATMUL_ROWS rows by TILE_TOKENS tokens. In steps of TILE_COLUMNS columns it decodes the
 * weights of its rows to threadgroup memory, once for all tokens, puts the tokens' values beside them and multiplies in
 * blocks of 8 x 8. Tiles at the edges repeat their last row and token, and columns past the end are zeros; what is
 * repeated is not stored. An output's sum runs over the columns in ascending order and involves no other token, so it
 * does not depend on which tokens share a tile.
 */
#include "blocks.h"

#include <metal_simdgroup_matrix>

/* What products are made of; sums are float32. The model's logits must be right to 1e-3, for which binary16 is too
 * coarse, and Apple's GPUs multiply float32 blocks as fast. To try half: `half` and `half4` here. Then x must be
 * in the range of half, also where it is scaled last (see tile_product). */
typedef float tile_value;
typedef float4 tile_vector;
typedef simdgroup_matrix<tile_value, 8, 8> tile_block;
typedef float4 tile_memory; /* vectors are stored there, so it must be aligned */

enum {
    TILE_COLUMNS = 32,
    TILE_STEPS = TILE_COLUMNS / 8,
    /* Values between blocks: eight more than they have, so that neighbouring blocks begin in other memory banks. */
    TILE_BLOCK = 72,
    /* Floats between rows of the result, for the same reason. Even, as pairs are stored at once. */
    TILE_RESULT_STRIDE = TILE_TOKENS + 2,
    TILE_RESULT = MATMUL_ROWS * TILE_RESULT_STRIDE,
    /* Floats for both blocks; later the result and the tokens' scales lie there. */
    TILE_MEMORY = (MATMUL_ROWS + TILE_TOKENS) / 8 * TILE_STEPS * TILE_BLOCK,
    EXPERT_ROWS = MATMUL_ROWS / 2, /* of gate, and as many of up */
    THREADS_PER_ROW = MATMUL_THREADS / MATMUL_ROWS,
    THREADS_PER_TOKEN = MATMUL_THREADS / TILE_TOKENS,
};

/* The inputs of a tile: what one thread loads. */
struct tile_input {
    uint type;
    device const uchar *row; /* of the tile, number thread / THREADS_PER_ROW */
    device const float *x;   /* of token thread / THREADS_PER_TOKEN */
    device const float *gain;
    uint n_columns;
    uint n_tokens;  /* that count */
    bool x_aligned; /* tokens begin at multiples of 16 bytes */
    bool has_gain;
    float epsilon;
};

static inline void tile_weights(thread const tile_input &in, uint column, thread float *w) {
    if (column + 16 <= in.n_columns) {
        decode_16(in.type, in.row, column, w);
        return;
    }
    /* Only rows of plain numbers end inside sixteen columns. */
#pragma clang loop unroll(full)
    for (uint i = 0; i < 16; i++) {
        w[i] = 0.0f;
        if (column + i < in.n_columns)
            w[i] = in.type == TYPE_F32 ? ((device const float *)in.row)[column + i]
                                       : float(((device const half *)in.row)[column + i]);
    }
}

static inline void tile_x(thread const tile_input &in, uint column, thread float *x) {
    if (in.x_aligned && column + 8 <= in.n_columns) {
        device const float4 *from = (device const float4 *)(in.x + column);
        for (uint i = 0; i < 2; i++) {
            float4 part = from[i];
            x[4 * i] = part.x;
            x[4 * i + 1] = part.y;
            x[4 * i + 2] = part.z;
            x[4 * i + 3] = part.w;
        }
    } else {
        for (uint i = 0; i < 8; i++) x[i] = column + i < in.n_columns ? in.x[column + i] : 0.0f;
    }
}

/* memory[row * TILE_RESULT_STRIDE + token] <- product, after a barrier.
 *
 * The RMS norm of x costs no pass of its own: each thread sums the squares of what it loads, and the result is scaled
 * with 1 / rms. Blocks of weights are [row][column], those of x [column][token]. */
static inline void tile_product(thread const tile_input &in, threadgroup float *memory, ushort t, ushort simdgroup) {
    threadgroup tile_value *w_blocks = (threadgroup tile_value *)memory; /* [row / 8][column / 8] */
    threadgroup tile_value *x_blocks = w_blocks + MATMUL_ROWS / 8 * TILE_STEPS * TILE_BLOCK; /* [token / 8][...] */

    ushort w_row = t / THREADS_PER_ROW, w_column = t % THREADS_PER_ROW * 16;
    threadgroup tile_value *w_to = w_blocks + (w_row / 8 * TILE_STEPS + w_column / 8) * TILE_BLOCK + w_row % 8 * 8;
    ushort x_token = t / THREADS_PER_TOKEN, x_column = t % THREADS_PER_TOKEN * 8;
    threadgroup tile_value *x_to = x_blocks + (x_token / 8 * TILE_STEPS + x_column / 8) * TILE_BLOCK + x_token % 8;

    /* A SIMD-group's part of the result is 32 rows by 16 tokens. */
    ushort first_row = simdgroup % 2 * 32, first_token = simdgroup / 2 * 16;
    bool has_tokens = first_token < in.n_tokens;
    threadgroup const tile_value *w_from = w_blocks + first_row / 8 * TILE_STEPS * TILE_BLOCK;
    threadgroup const tile_value *x_from = x_blocks + first_token / 8 * TILE_STEPS * TILE_BLOCK;
    simdgroup_float8x8 sum[8];
#pragma clang loop unroll(full)
    for (ushort i = 0; i < 8; i++) sum[i] = make_filled_simdgroup_matrix<float, 8>(0.0f);

    float squares = 0.0f;
    for (uint column = 0; column < in.n_columns; column += TILE_COLUMNS) {
        float w[16], x[8];
        tile_weights(in, column + w_column, w);
        tile_x(in, column + x_column, x);
        if (in.has_gain) {
            for (ushort i = 0; i < 8; i++) {
                squares += x[i] * x[i];
                uint at = column + x_column + i;
                x[i] *= at < in.n_columns ? in.gain[at] : 0.0f;
            }
        }
        threadgroup_barrier(mem_flags::mem_threadgroup); /* the blocks before these are used up */
#pragma clang loop unroll(full)
        for (ushort i = 0; i < 4; i++) {
            tile_vector part;
            part.x = tile_value(w[4 * i]);
            part.y = tile_value(w[4 * i + 1]);
            part.z = tile_value(w[4 * i + 2]);
            part.w = tile_value(w[4 * i + 3]);
            *(threadgroup tile_vector *)(w_to + i / 2 * TILE_BLOCK + i % 2 * 4) = part;
        }
        for (ushort i = 0; i < 8; i++) x_to[8 * i] = tile_value(x[i]);
        threadgroup_barrier(mem_flags::mem_threadgroup);
        if (has_tokens) { /* unrolled, so that the arrays are registers */
            for (ushort step = 0; step < TILE_STEPS; step++) {
                tile_block w_block[4], x_block[2];
#pragma clang loop unroll(full)
                for (ushort i = 0; i < 4; i++)
                    simdgroup_load(w_block[i], w_from + (i * TILE_STEPS + step) * TILE_BLOCK, 8);
#pragma clang loop unroll(full)
                for (ushort i = 0; i < 2; i++)
                    simdgroup_load(x_block[i], x_from + (i * TILE_STEPS + step) * TILE_BLOCK, 8);
#pragma clang loop unroll(full)
                for (ushort i = 0; i < 8; i++)
                    simdgroup_multiply_accumulate(sum[i], w_block[i % 4], x_block[i / 4], sum[i]);
            }
        }
    }

    threadgroup_barrier(mem_flags::mem_threadgroup);
    threadgroup float *scale = memory + TILE_RESULT;
    squares += simd_shuffle_xor(squares, 1);
    squares += simd_shuffle_xor(squares, 2);
    if (t % THREADS_PER_TOKEN == 0)
        scale[x_token] = in.has_gain ? precise::rsqrt(squares / float(in.n_columns) + in.epsilon) : 1.0f;
#pragma clang loop unroll(full)
    for (ushort i = 0; i < 8; i++)
        simdgroup_store(sum[i], memory + (first_row + i % 4 * 8) * TILE_RESULT_STRIDE + first_token + i / 4 * 8,
                        TILE_RESULT_STRIDE);
    threadgroup_barrier(mem_flags::mem_threadgroup);
}

static inline float tile_result(threadgroup const float *memory, uint row, uint token) {
    return memory[row * TILE_RESULT_STRIDE + token] * memory[TILE_RESULT + token];
}

/*
 * Grid: (sum over jobs of their row tiles, ceil(n_tokens / TILE_TOKENS)). A job has ceil(n_rows / MATMUL_ROWS) row
 * tiles, with groups (n_rows / group_rows) * ceil(group_rows / MATMUL_ROWS): each group begins a tile. first_group
 * counts row tiles.
 *
 * x begins at a multiple of 16 bytes if x_stride and group_columns are multiples of 4.
 */
[[max_total_threads_per_threadgroup(MATMUL_THREADS)]]
kernel void matmul(constant matrix_params &p [[buffer(0)]],
                   device const float *x [[buffer(1)]],
                   device const float *gain [[buffer(2)]],
                   device const uchar *w0 [[buffer(3)]],
                   device const uchar *w1 [[buffer(4)]],
                   device const uchar *w2 [[buffer(5)]],
                   device const uchar *w3 [[buffer(6)]],
                   device const uchar *w4 [[buffer(7)]],
                   device const uchar *w5 [[buffer(8)]],
                   device const uchar *w6 [[buffer(9)]],
                   device float *y0 [[buffer(10)]],
                   device float *y1 [[buffer(11)]],
                   device float *y2 [[buffer(12)]],
                   device float *y3 [[buffer(13)]],
                   device float *y4 [[buffer(14)]],
                   device float *y5 [[buffer(15)]],
                   device float *y6 [[buffer(16)]],
                   uint2 group [[threadgroup_position_in_grid]],
                   ushort t [[thread_index_in_threadgroup]],
                   ushort simdgroup [[simdgroup_index_in_threadgroup]]) {
    threadgroup tile_memory aligned[TILE_MEMORY / 4];
    threadgroup float *memory = (threadgroup float *)aligned;
    uint j = 0;
    while (j + 1 < p.n_jobs && p.job[j + 1].first_group <= group.x) j++;
    device const uchar *w = w0;
    device float *y = y0;
    if (j == 1) {
        w = w1;
        y = y1;
    } else if (j == 2) {
        w = w2;
        y = y2;
    } else if (j == 3) {
        w = w3;
        y = y3;
    } else if (j == 4) {
        w = w4;
        y = y4;
    } else if (j == 5) {
        w = w5;
        y = y5;
    } else if (j == 6) {
        w = w6;
        y = y6;
    }

    uint n_rows = p.job[j].n_rows, tile = group.x - p.job[j].first_group;
    uint group_rows = p.group_rows != 0 ? p.group_rows : n_rows;
    uint tiles_per_group = (group_rows + MATMUL_ROWS - 1) / MATMUL_ROWS;
    uint rows_group = tile / tiles_per_group;
    uint first_row = rows_group * group_rows + tile % tiles_per_group * MATMUL_ROWS;
    uint end_row = min((rows_group + 1) * group_rows, n_rows), first_token = group.y * TILE_TOKENS;

    tile_input in;
    in.type = p.job[j].type;
    in.row = w + ulong(min(first_row + t / THREADS_PER_ROW, end_row - 1)) * p.job[j].row_bytes;
    in.x = x + ulong(min(first_token + t / THREADS_PER_TOKEN, p.n_tokens - 1)) * p.x_stride;
    if (p.group_rows != 0) in.x += rows_group * p.group_columns;
    in.gain = gain;
    in.n_columns = p.n_columns;
    in.n_tokens = min(p.n_tokens - first_token, uint(TILE_TOKENS));
    in.x_aligned = p.x_stride % 4 == 0 && p.group_columns % 4 == 0;
    in.has_gain = p.has_gain != 0;
    in.epsilon = p.epsilon;
    tile_product(in, memory, t, simdgroup);

    uint y_stride = p.y_stride != 0 ? p.y_stride : n_rows, row = first_row + t % MATMUL_ROWS;
    if (row >= end_row) return;
    for (uint token = t / MATMUL_ROWS; token < in.n_tokens; token += THREADS_PER_ROW)
        y[ulong(first_token + token) * y_stride + row] = tile_result(memory, t % MATMUL_ROWS, token);
}

/* ---- experts ---- */

enum {
    EXPERTS_PER_THREAD = MAX_EXPERTS / SORT_THREADS,
    SORT_SIMDGROUPS = SORT_THREADS / 32,
};

/*
 * Sorts the pairs (pair t * n_used + k is the k-th expert of token t) by expert and cuts them into tiles; pairs of an
 * expert stay in ascending order. Last come all tokens for the shared expert, as pairs n_tokens * n_used + t.
 * One threadgroup.
 */
[[max_total_threads_per_threadgroup(SORT_THREADS)]]
kernel void sort_pairs(constant expert_params &p [[buffer(0)]],
                       device const int *expert_of [[buffer(1)]],
                       device uint *order [[buffer(2)]],
                       device expert_tile *tiles [[buffer(3)]],
                       device uint *n_tiles [[buffer(4)]],
                       ushort t [[thread_index_in_threadgroup]],
                       ushort lane [[thread_index_in_simdgroup]],
                       ushort simdgroup [[simdgroup_index_in_threadgroup]]) {
    /* Counted and set by atomics between barriers, plain otherwise. */
    threadgroup uint n_pairs_of[MAX_EXPERTS];
    threadgroup uint here[MAX_EXPERTS * SORT_SIMDGROUPS]; /* a bit for each thread whose pair is the expert's */
    threadgroup uint place[MAX_EXPERTS]; /* in order, of the expert's next pair */
    threadgroup uint simd_pairs[SORT_SIMDGROUPS];
    threadgroup uint simd_tiles[SORT_SIMDGROUPS];

    for (uint e = t; e < MAX_EXPERTS; e += SORT_THREADS) n_pairs_of[e] = 0;
    for (uint i = t; i < MAX_EXPERTS * SORT_SIMDGROUPS; i += SORT_THREADS) here[i] = 0;
    threadgroup_barrier(mem_flags::mem_threadgroup);
    uint n_pairs = p.n_tokens * p.n_used;
    for (uint i = t; i < n_pairs; i += SORT_THREADS)
        atomic_fetch_add_explicit((threadgroup atomic_uint *)&n_pairs_of[expert_of[i]], 1u, memory_order_relaxed);
    threadgroup_barrier(mem_flags::mem_threadgroup);

    /* Where the experts' pairs and tiles begin: sums over the experts before. */
    uint my_pairs = 0, my_tiles = 0;
    for (uint e = t * EXPERTS_PER_THREAD; e < uint(t + 1) * EXPERTS_PER_THREAD; e++) {
        uint n = n_pairs_of[e];
        my_pairs += n;
        my_tiles += (n + TILE_TOKENS - 1) / TILE_TOKENS;
    }
    uint first_pair = simd_prefix_exclusive_sum(my_pairs), first_tile = simd_prefix_exclusive_sum(my_tiles);
    if (lane == 31) {
        simd_pairs[simdgroup] = first_pair + my_pairs;
        simd_tiles[simdgroup] = first_tile + my_tiles;
    }
    threadgroup_barrier(mem_flags::mem_threadgroup);
    uint n_expert_tiles = 0;
    for (ushort s = 0; s < SORT_SIMDGROUPS; s++) {
        if (s < simdgroup) {
            first_pair += simd_pairs[s];
            first_tile += simd_tiles[s];
        }
        n_expert_tiles += simd_tiles[s];
    }
    for (uint e = t * EXPERTS_PER_THREAD; e < uint(t + 1) * EXPERTS_PER_THREAD; e++) {
        uint n = n_pairs_of[e];
        place[e] = first_pair;
        for (uint i = 0; i < n; i += TILE_TOKENS, first_tile++) {
            tiles[first_tile].expert = e;
            tiles[first_tile].first = first_pair + i;
            tiles[first_tile].n = min(n - i, uint(TILE_TOKENS));
        }
        first_pair += n;
    }
    uint n_shared_tiles = (p.n_tokens + TILE_TOKENS - 1) / TILE_TOKENS;
    for (uint i = t; i < n_shared_tiles; i += SORT_THREADS) {
        tiles[n_expert_tiles + i].expert = p.n_experts;
        tiles[n_expert_tiles + i].first = n_pairs + i * TILE_TOKENS;
        tiles[n_expert_tiles + i].n = min(p.n_tokens - i * TILE_TOKENS, uint(TILE_TOKENS));
    }
    if (t == 0) n_tiles[0] = n_expert_tiles + n_shared_tiles;
    for (uint i = t; i < p.n_tokens; i += SORT_THREADS) order[n_pairs + i] = n_pairs + i;

    /* As many pairs at a time as there are threads, in ascending order: what atomics do first must not matter. */
    for (uint start = 0; start < n_pairs; start += SORT_THREADS) {
        uint pair = start + t, e = 0, before = 0, n = 0;
        if (pair < n_pairs) {
            e = uint(expert_of[pair]);
            threadgroup atomic_uint *bits = (threadgroup atomic_uint *)&here[e * SORT_SIMDGROUPS + simdgroup];
            atomic_fetch_or_explicit(bits, 1u << lane, memory_order_relaxed);
        }
        threadgroup_barrier(mem_flags::mem_threadgroup);
        if (pair < n_pairs) {
            for (ushort s = 0; s < SORT_SIMDGROUPS; s++) {
                uint bits = here[e * SORT_SIMDGROUPS + s];
                n += popcount(bits);
                if (s == simdgroup) bits &= (1u << lane) - 1;
                if (s <= simdgroup) before += popcount(bits);
            }
            order[place[e] + before] = pair;
        }
        threadgroup_barrier(mem_flags::mem_threadgroup);
        if (pair < n_pairs && before + 1 == n) { /* the expert's last pair here */
            place[e] += n;
            for (ushort s = 0; s < SORT_SIMDGROUPS; s++) here[e * SORT_SIMDGROUPS + s] = 0;
        }
        threadgroup_barrier(mem_flags::mem_threadgroup);
    }
}

/* gate and up as src/backend/cpu/experts.c; the exponent is kept in float32's range. */
static inline float tile_swiglu(float gate, float up, float limit) {
    float g = min(gate, limit), u = clamp(up, -limit, limit);
    return g / (1.0f + precise::exp(min(-g, 80.0f))) * u;
}

/* The first half of the experts: hidden[pair] = silu(gate) * up * weight. Grid: (ceil(F / EXPERT_ROWS), bound on the
 * number of tiles). The first EXPERT_ROWS rows of a tile are of gate, the others the same rows of up. */
[[max_total_threads_per_threadgroup(MATMUL_THREADS)]]
kernel void experts_matmul_in(constant expert_params &p [[buffer(0)]],
                              device const float *x [[buffer(1)]],
                              device const uint *order [[buffer(2)]],
                              device const expert_tile *tiles [[buffer(3)]],
                              device const uint *n_tiles [[buffer(4)]],
                              device const uchar *gate_experts [[buffer(5)]],
                              device const uchar *up_experts [[buffer(6)]],
                              device const uchar *gate_shared [[buffer(7)]],
                              device const uchar *up_shared [[buffer(8)]],
                              device const float *weight [[buffer(9)]],
                              device float *hidden [[buffer(10)]],
                              uint2 group [[threadgroup_position_in_grid]],
                              ushort t [[thread_index_in_threadgroup]],
                              ushort simdgroup [[simdgroup_index_in_threadgroup]]) {
    threadgroup tile_memory aligned[TILE_MEMORY / 4];
    threadgroup float *memory = (threadgroup float *)aligned;
    if (group.y >= n_tiles[0]) return;
    uint expert = tiles[group.y].expert, first = tiles[group.y].first, n_tokens = tiles[group.y].n;
    uint n_pairs = p.n_tokens * p.n_used, first_row = group.x * EXPERT_ROWS;
    bool is_shared = expert == p.n_experts, is_gate = t / THREADS_PER_ROW < EXPERT_ROWS;

    tile_input in;
    uint row_bytes;
    if (is_shared) {
        in.type = is_gate ? p.shared_gate_type : p.shared_up_type;
        row_bytes = is_gate ? p.shared_gate_row_bytes : p.shared_up_row_bytes;
        in.row = is_gate ? gate_shared : up_shared;
    } else {
        in.type = is_gate ? p.gate_type : p.up_type;
        row_bytes = is_gate ? p.gate_row_bytes : p.up_row_bytes;
        in.row = (is_gate ? gate_experts : up_experts) + ulong(expert) * p.expert_width * row_bytes;
    }
    in.row += ulong(min(first_row + t / THREADS_PER_ROW % EXPERT_ROWS, p.expert_width - 1)) * row_bytes;
    uint my_pair = order[first + min(uint(t / THREADS_PER_TOKEN), n_tokens - 1)];
    in.x = x + ulong(is_shared ? my_pair - n_pairs : my_pair / p.n_used) * p.width;
    in.gain = x;
    in.n_columns = p.width;
    in.n_tokens = n_tokens;
    in.x_aligned = p.width % 4 == 0;
    in.has_gain = false;
    in.epsilon = 0.0f;
    tile_product(in, memory, t, simdgroup);

    uint row = t % EXPERT_ROWS;
    if (first_row + row >= p.expert_width) return;
    for (uint token = t / EXPERT_ROWS; token < n_tokens; token += MATMUL_THREADS / EXPERT_ROWS) {
        uint pair = order[first + token];
        float gate = tile_result(memory, row, token), up = tile_result(memory, EXPERT_ROWS + row, token);
        float value = tile_swiglu(gate, up, p.limit);
        hidden[ulong(pair) * p.expert_width + first_row + row] = is_shared ? value : value * weight[pair];
    }
}

/* The second half: down[pair] = W hidden[pair]. Grid: (ceil(D / MATMUL_ROWS), bound on the number of tiles). */
[[max_total_threads_per_threadgroup(MATMUL_THREADS)]]
kernel void experts_matmul_out(constant expert_params &p [[buffer(0)]],
                               device const float *hidden [[buffer(1)]],
                               device const uint *order [[buffer(2)]],
                               device const expert_tile *tiles [[buffer(3)]],
                               device const uint *n_tiles [[buffer(4)]],
                               device const uchar *down_experts [[buffer(5)]],
                               device const uchar *down_shared [[buffer(6)]],
                               device float *down [[buffer(7)]],
                               uint2 group [[threadgroup_position_in_grid]],
                               ushort t [[thread_index_in_threadgroup]],
                               ushort simdgroup [[simdgroup_index_in_threadgroup]]) {
    threadgroup tile_memory aligned[TILE_MEMORY / 4];
    threadgroup float *memory = (threadgroup float *)aligned;
    if (group.y >= n_tiles[0]) return;
    uint expert = tiles[group.y].expert, first = tiles[group.y].first, n_tokens = tiles[group.y].n;
    uint first_row = group.x * MATMUL_ROWS;
    bool is_shared = expert == p.n_experts;

    tile_input in;
    uint row_bytes = is_shared ? p.shared_down_row_bytes : p.down_row_bytes;
    in.type = is_shared ? p.shared_down_type : p.down_type;
    in.row = is_shared ? down_shared : down_experts + ulong(expert) * p.width * row_bytes;
    in.row += ulong(min(first_row + t / THREADS_PER_ROW, p.width - 1)) * row_bytes;
    in.x = hidden + ulong(order[first + min(uint(t / THREADS_PER_TOKEN), n_tokens - 1)]) * p.expert_width;
    in.gain = hidden;
    in.n_columns = p.expert_width;
    in.n_tokens = n_tokens;
    in.x_aligned = p.expert_width % 4 == 0;
    in.has_gain = false;
    in.epsilon = 0.0f;
    tile_product(in, memory, t, simdgroup);

    uint row = t % MATMUL_ROWS;
    if (first_row + row >= p.width) return;
    for (uint token = t / MATMUL_ROWS; token < n_tokens; token += THREADS_PER_ROW)
        down[ulong(order[first + token]) * p.width + first_row + row] = tile_result(memory, row, token);
}
