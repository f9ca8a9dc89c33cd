/*
 * Embedding, hyper-connections and what precedes the output matrix. The truth is src/backend/cpu/hyper.c.
 *
 * hyper_step reads the streams of a token once: it mixes the block's output into them and in the same pass projects
 * them for the next hyper-connection. Its threadgroups share a token's columns, so projections and squares come out as
 * sums over columns that hyper_in and head_in add up.
 */
#include "blocks.h"
#include "shared.h"

enum {
    HYPER_VALUES = STREAMS * HYPER_COLUMNS,  /* stream values of a threadgroup of hyper_step */
    HYPER_PIECES = HYPER_VALUES / 256,       /* of 8 values a lane */
    HYPER_ROWS = MIX / (HYPER_THREADS / 32), /* rows of fn that a SIMD-group of hyper_step takes */
    HYPER_IN_SIMDS = HYPER_IN_THREADS / 32,
};

typedef float4 hyper_vector;

[[max_total_threads_per_threadgroup(HYPER_THREADS)]] kernel void
embed(constant embed_params &params [[buffer(0)]], device const uchar *table [[buffer(1)]],
      device const token_info *tokens [[buffer(2)]], device float *streams [[buffer(3)]],
      uint t [[threadgroup_position_in_grid]], uint index [[thread_index_in_threadgroup]]) {
    uint width = params.width;
    device const uchar *row = table + ulong(tokens[t].token) * params.row_bytes;
    device float *out = streams + ulong(t) * STREAMS * width;
    for (uint c = index; c < width; c += HYPER_THREADS) {
        float value = weight_at(params.type, row, c);
        for (uint j = 0; j < STREAMS; j++) out[j * width + c] = value;
    }
}

/* Eight binary16 weights times eight values. */
static inline float hyper_dot_8(uint4 weights, float4 a, float4 b) {
    float2 w0 = float2(as_type<half2>(weights.x)), w1 = float2(as_type<half2>(weights.y));
    float2 w2 = float2(as_type<half2>(weights.z)), w3 = float2(as_type<half2>(weights.w));
    return (w0.x * a.x + w0.y * a.y + w1.x * a.z + w1.y * a.w) + (w2.x * b.x + w2.y * b.y + w3.x * b.z + w3.y * b.w);
}

/* Threadgroup (g, t) owns columns g * HYPER_COLUMNS .. of all streams of token t. */
[[max_total_threads_per_threadgroup(HYPER_THREADS)]] kernel void
hyper_step(constant hyper_params &params [[buffer(0)]], device const float *y [[buffer(1)]],
           device const float *mix [[buffer(2)]], device float *streams [[buffer(3)]],
           device const uchar *fn [[buffer(4)]], device float *partial [[buffer(5)]],
           uint2 group [[threadgroup_position_in_grid]], uint index [[thread_index_in_threadgroup]],
           uint lane [[thread_index_in_simdgroup]], uint simd [[simdgroup_index_in_threadgroup]]) {
    threadgroup hyper_vector value[HYPER_VALUES / 4]; /* [stream][column], zeros past the last column */
    uint width = params.width, n_sums = params.n_sums, t = group.y, first = group.x * HYPER_COLUMNS;
    uint row_bytes = params.row_bytes;
    /* Width is a multiple of 32, so sixteen bytes of a binary16 row are aligned and lie in it altogether or not at
     * all. They do not depend on earlier kernels' results: fetched first, they arrive while the streams are mixed.
     * Registers have no index, so the loops over them are unrolled. */
    bool is_half = params.type == TYPE_F16;
    uint4 weights[HYPER_ROWS][HYPER_PIECES];
#pragma clang loop unroll(full)
    for (uint k = 0; k < HYPER_ROWS; k++) {
        uint r = simd + k * (HYPER_THREADS / 32);
        for (uint p = 0; p < HYPER_PIECES; p++) {
            uint at = 8 * (32 * p + lane), column = first + at % HYPER_COLUMNS;
            weights[k][p] = uint4(0);
            if (is_half && r < n_sums && column < width)
                weights[k][p] =
                    *(device const uint4 *)(fn + ulong(r) * row_bytes + 2 * (at / HYPER_COLUMNS * width + column));
        }
    }

    device float *stream = streams + ulong(t) * STREAMS * width;
    threadgroup float *flat = (threadgroup float *)value;
    for (uint c = index; c < HYPER_COLUMNS; c += HYPER_THREADS) {
        uint column = first + c;
        float4 out = float4(0.0f); /* by stream */
        if (column < width) {
            for (uint i = 0; i < STREAMS; i++) out[i] = stream[i * width + column];
            if (params.has_y) {
                /* Rows of the combination are source streams, columns destinations: it is applied transposed. */
                device const float4 *post = (device const float4 *)(mix + ulong(t) * MIX + STREAMS);
                float4 in = out;
                out = post[0] * y[ulong(t) * width + column];
                for (uint i = 0; i < STREAMS; i++) out += post[1 + i] * in[i];
                for (uint j = 0; j < STREAMS; j++) stream[j * width + column] = out[j];
            }
        }
        for (uint j = 0; j < STREAMS; j++) flat[j * HYPER_COLUMNS + c] = out[j];
    }
    threadgroup_barrier(mem_flags::mem_threadgroup);

    float4 x[2 * HYPER_PIECES];
    for (uint p = 0; p < HYPER_PIECES; p++) {
        x[2 * p] = value[2 * (32 * p + lane)];
        x[2 * p + 1] = value[2 * (32 * p + lane) + 1];
    }
    device float *sums = partial + (ulong(t) * params.n_groups + group.x) * HYPER_SUMS;
    if (is_half) {
#pragma clang loop unroll(full)
        for (uint k = 0; k < HYPER_ROWS; k++) {
            uint r = simd + k * (HYPER_THREADS / 32);
            float sum = 0.0f;
            for (uint p = 0; p < HYPER_PIECES; p++) sum += hyper_dot_8(weights[k][p], x[2 * p], x[2 * p + 1]);
            sum = simd_sum(sum);
            if (lane == 0 && r < n_sums) sums[r] = sum;
        }
    } else {
        for (uint r = simd; r < n_sums; r += HYPER_THREADS / 32) {
            device const uchar *row = fn + ulong(r) * row_bytes;
            float sum = 0.0f;
            for (uint at = lane; at < HYPER_VALUES; at += 32) {
                uint column = first + at % HYPER_COLUMNS;
                if (column < width) sum += weight_at(params.type, row, at / HYPER_COLUMNS * width + column) * flat[at];
            }
            sum = simd_sum(sum);
            if (lane == 0) sums[r] = sum;
        }
    }
    if (simd == 0) { /* each SIMD-group has all values */
        float sum = 0.0f;
        for (uint p = 0; p < 2 * HYPER_PIECES; p++) sum += dot(x[p], x[p]);
        sum = simd_sum(sum);
        if (lane == 0) sums[HYPER_SUMS - 1] = sum;
    }
}

static inline float hyper_sigmoid(float x) {
    return 1.0f / (1.0f + precise::exp(min(-x, 80.0f))); /* without infinities */
}

/* The threadgroups' sums of one token, each added up by one SIMD-group in a fixed order. After a barrier sum[0..n_sums)
 * holds projections and sum[HYPER_SUMS - 1] squares. */
static inline void hyper_add_partials(device const float *partial, uint n_groups, uint n_sums, uint lane, uint simd,
                                      threadgroup float *sum) {
    for (uint r = simd; r < HYPER_SUMS; r += HYPER_IN_SIMDS) {
        float total = 0.0f;
        if (r < n_sums || r == HYPER_SUMS - 1)
            for (uint g = lane; g < n_groups; g += 32) total += partial[g * HYPER_SUMS + r];
        total = simd_sum(total);
        if (lane == 0) sum[r] = total;
    }
}

/* The one RMS over all streams is a factor on the projected values. */
static inline float hyper_scale(threadgroup const float *sum, uint width, float epsilon) {
    return 1.0f / precise::sqrt(sum[HYPER_SUMS - 1] / float(STREAMS * width) + epsilon);
}

/* Lane n computes the weight of stream n; all lanes get the four. */
static inline float4 hyper_weights(threadgroup const float *sum, device const float *scale, device const float *base,
                                   float rms_scale, float epsilon, uint lane) {
    uint n = lane % STREAMS;
    float weight = hyper_sigmoid(sum[n] * rms_scale * scale[0] + base[n]) + epsilon;
    return float4(simd_shuffle(weight, ushort(0)), simd_shuffle(weight, ushort(1)), simd_shuffle(weight, ushort(2)),
                  simd_shuffle(weight, ushort(3)));
}

/* c of this lane over the sum of its column or row; lane i * STREAMS + j has entry (i, j) of the combination. Lanes
 * from 16 on do the same once more. */
static inline float hyper_divide(float c, uint first, uint step, float epsilon) {
    float sum = epsilon;
    for (uint k = 0; k < STREAMS; k++) sum += simd_shuffle(c, ushort(first + k * step));
    return c / sum;
}

static inline float hyper_combination(float logit, uint lane, uint iterations, float epsilon) {
    uint column = lane % STREAMS, row = lane % (STREAMS * STREAMS) - column;
    float top = max(logit, simd_shuffle_xor(logit, ushort(1)));
    top = max(top, simd_shuffle_xor(top, ushort(2)));
    float c = hyper_divide(precise::exp(logit - top), row, 1, 0.0f) + epsilon;
    c = hyper_divide(c, column, STREAMS, epsilon);
    for (uint iteration = 1; iteration < iterations; iteration++) {
        c = hyper_divide(c, row, 1, epsilon);
        c = hyper_divide(c, column, STREAMS, epsilon);
    }
    return c;
}

/* Post weights and the combination; pre weights are at hand. All of one SIMD-group. */
static inline void hyper_write_mix(constant hyper_params &params, threadgroup const float *sum, float4 pre,
                                   device const float *scale, device const float *base, float rms_scale, uint lane,
                                   device float *mix) {
    uint n = STREAMS + lane % STREAMS, at = 2 * STREAMS + lane % (STREAMS * STREAMS);
    float post = 2.0f * hyper_sigmoid(sum[n] * rms_scale * scale[1] + base[n]);
    float logit = sum[at] * rms_scale * scale[2] + base[at];
    float c = hyper_combination(logit, lane, params.iterations, params.hyper_epsilon);
    if (lane == 0)
        for (uint i = 0; i < STREAMS; i++) mix[i] = pre[i];
    if (lane < STREAMS) mix[n] = post;
    if (lane < STREAMS * STREAMS) mix[at] = c;
}

/* Four columns of all streams. */
struct hyper_columns {
    float4 stream[STREAMS];
};

static inline hyper_columns hyper_load(device const float *streams, uint width, uint column) {
    hyper_columns in;
    for (uint n = 0; n < STREAMS; n++) in.stream[n] = *(device const float4 *)(streams + n * width + column);
    return in;
}

static inline float4 hyper_collapse(hyper_columns in, float4 weight) {
    float4 x = weight.x * in.stream[0];
    x += weight.y * in.stream[1];
    x += weight.z * in.stream[2];
    return x + weight.w * in.stream[3];
}

/* The streams' weighted sum: a thread's first four columns, and their part of the sum of squares. Columns that do not
 * fit the threadgroup at once go to x. */
static inline float hyper_collapse_all(hyper_columns ahead, device const float *streams, float4 weight, uint width,
                                       uint index, device float *x, thread float4 &first) {
    first = 4 * index < width ? hyper_collapse(ahead, weight) : float4(0.0f);
    float squares = dot(first, first);
    for (uint c = 4 * (index + HYPER_IN_THREADS); c < width; c += 4 * HYPER_IN_THREADS) {
        float4 value = hyper_collapse(hyper_load(streams, width, c), weight);
        *(device float4 *)(x + c) = value;
        squares += dot(value, value);
    }
    return squares;
}

/* Each SIMD-group adds up the threadgroup's squares, then norms its columns. `norm`: weights of the first columns. */
static inline void hyper_norm(threadgroup const float *squares, float4 first, float4 norm_ahead,
                              device const float *norm, uint width, float epsilon, uint index, uint lane,
                              device float *x) {
    float scale = 1.0f / precise::sqrt(simd_sum(squares[lane]) / float(width) + epsilon);
    if (4 * index < width) *(device float4 *)(x + 4 * index) = first * scale * norm_ahead;
    for (uint c = 4 * (index + HYPER_IN_THREADS); c < width; c += 4 * HYPER_IN_THREADS)
        *(device float4 *)(x + c) = *(device const float4 *)(x + c) * scale * *(device const float4 *)(norm + c);
}

[[max_total_threads_per_threadgroup(HYPER_IN_THREADS)]] kernel void
hyper_in(constant hyper_params &params [[buffer(0)]], device const float *partial [[buffer(1)]],
         device const float *streams [[buffer(2)]], device const float *scale [[buffer(3)]],
         device const float *base [[buffer(4)]], device const float *norm [[buffer(5)]], device float *x [[buffer(6)]],
         device float *mix [[buffer(7)]], uint t [[threadgroup_position_in_grid]],
         uint index [[thread_index_in_threadgroup]], uint lane [[thread_index_in_simdgroup]],
         uint simd [[simdgroup_index_in_threadgroup]]) {
    threadgroup float sum[HYPER_SUMS];
    threadgroup float squares[HYPER_IN_SIMDS];
    uint width = params.width, n_groups = params.n_groups;
    device const float *stream = streams + ulong(t) * STREAMS * width;
    /* on their way while the projections are added up */
    uint column = 4 * index < width ? 4 * index : 0;
    hyper_columns ahead = hyper_load(stream, width, column);
    float4 norm_ahead = *(device const float4 *)(norm + column);

    hyper_add_partials(partial + ulong(t) * n_groups * HYPER_SUMS, n_groups, params.n_sums, lane, simd, sum);
    threadgroup_barrier(mem_flags::mem_threadgroup);
    float rms_scale = hyper_scale(sum, width, params.rms_epsilon);
    float4 pre = hyper_weights(sum, scale, base, rms_scale, params.hyper_epsilon, lane);
    device float *out = x + ulong(t) * width;
    float4 first;
    float square = simd_sum(hyper_collapse_all(ahead, stream, pre, width, index, out, first));
    if (lane == 0) squares[simd] = square;
    if (simd == HYPER_IN_SIMDS - 1)
        hyper_write_mix(params, sum, pre, scale, base, rms_scale, lane, mix + ulong(t) * MIX);
    threadgroup_barrier(mem_flags::mem_threadgroup);
    hyper_norm(squares, first, norm_ahead, norm, width, params.rms_epsilon, index, lane, out);
}

/* The output head's input: streams of the wanted tokens collapsed with the head's own weights. */
[[max_total_threads_per_threadgroup(HYPER_IN_THREADS)]] kernel void
head_in(constant logits_params &params [[buffer(0)]], device const float *partial [[buffer(1)]],
        device const float *streams [[buffer(2)]], device const float *scale [[buffer(3)]],
        device const float *base [[buffer(4)]], device const float *norm [[buffer(5)]],
        device const int *wanted [[buffer(6)]], device float *x [[buffer(7)]], uint i [[threadgroup_position_in_grid]],
        uint index [[thread_index_in_threadgroup]], uint lane [[thread_index_in_simdgroup]],
        uint simd [[simdgroup_index_in_threadgroup]]) {
    threadgroup float sum[HYPER_SUMS];
    threadgroup float squares[HYPER_IN_SIMDS];
    uint width = params.width, n_groups = params.n_groups;
    ulong t = ulong(wanted[i]);
    device const float *stream = streams + t * STREAMS * width;
    uint column = 4 * index < width ? 4 * index : 0;
    hyper_columns ahead = hyper_load(stream, width, column);
    float4 norm_ahead = *(device const float4 *)(norm + column);

    hyper_add_partials(partial + t * n_groups * HYPER_SUMS, n_groups, STREAMS, lane, simd, sum);
    threadgroup_barrier(mem_flags::mem_threadgroup);
    float rms_scale = hyper_scale(sum, width, params.rms_epsilon);
    float4 weight = hyper_weights(sum, scale, base, rms_scale, params.hyper_epsilon, lane);
    device float *out = x + ulong(i) * width;
    float4 first;
    float square = simd_sum(hyper_collapse_all(ahead, stream, weight, width, index, out, first));
    if (lane == 0) squares[simd] = square;
    threadgroup_barrier(mem_flags::mem_threadgroup);
    hyper_norm(squares, first, norm_ahead, norm, width, params.rms_epsilon, index, lane, out);
}
