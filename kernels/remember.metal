/*
 * What a layer keeps of new tokens: raw rows, the compressors' finished rows and what later windows need of the
 * projections; and, because they wait for the same projections and need the same rotations, the queries' norms,
 * rotations and rounding. The truth is src/backend/cpu/remember.c and rotate_queries_task of attention.c.
 */
#include "blocks.h"
#include "rows.h"
#include "shared.h"

enum {
    REMEMBER_SIMDS = REMEMBER_THREADS / 32,
    REMEMBER_CHUNK = 4, /* candidates fetched together; the number of a window's candidates is a multiple */
};

/* One compressor's projections of the batch, and where its earlier ones lie. */
struct remember_compressor {
    device const float *kv, *gate; /* [T][width]; the gate without ape */
    device const uchar *ape;
    device float *ring; /* [n_slots][2][width]: kv, then gate + ape */
    uint ape_type, ape_row_bytes, ratio, dim, width, n_slots;
};

static inline remember_compressor remember_compressor_of(constant remember_params &params, bool is_index,
                                                         device const float *kv, device const float *gate,
                                                         device const uchar *ape, device uchar *ring) {
    remember_compressor c;
    c.kv = kv;
    c.gate = gate;
    c.ape = ape;
    c.ring = (device float *)ring;
    c.ape_type = is_index ? params.index_ape_type : params.ape_type;
    c.ape_row_bytes = is_index ? params.index_ape_row_bytes : params.ape_row_bytes;
    c.ratio = params.ratio;
    c.dim = is_index ? params.index_dim : params.head_dim;
    c.width = params.ratio == 4 ? 2 * c.dim : c.dim;
    c.n_slots = is_index ? params.index_pending_slots : params.pending_slots;
    return c;
}

static inline float remember_gate(thread const remember_compressor &c, uint t, uint position, uint channel) {
    device const uchar *ape = c.ape + position % c.ratio * c.ape_row_bytes;
    return c.gate[ulong(t) * c.width + channel] + weight_at(c.ape_type, ape, channel);
}

/* Puts what later windows need of token t into the ring. */
static inline void remember_pending(thread const remember_compressor &c, uint t, uint position, uint index) {
    device float *slot = c.ring + ulong(position % c.n_slots) * 2 * c.width;
    for (uint i = index; i < c.width; i += REMEMBER_THREADS) {
        slot[i] = c.kv[ulong(t) * c.width + i];
        slot[c.width + i] = remember_gate(c, t, position, i);
    }
}

/* Pools a window to x[dim]: per channel the mean of kv weighted by the softmax of the gate. Each thread does two
 * channels. Ratio 4 overlaps: the previous window takes part with the first half of the projections, the window's own
 * tokens with the second. The sums are kept relative to the largest gate so far. */
static inline void remember_pool(thread const remember_compressor &c, device const span_info *span, uint window,
                                 uint index, threadgroup float *x) {
    if (2 * index >= c.dim) return;
    uint start = uint(span->position), first = uint(span->first);
    bool overlaps = c.width != c.dim;
    uint own = window * c.ratio, end = own + c.ratio;
    float2 top = float2(-3.0e38f), sum = float2(0.0f), mean = float2(0.0f);
    for (uint position = overlaps && window > 0 ? own - c.ratio : own; position < end; position += REMEMBER_CHUNK) {
        float2 kv[REMEMBER_CHUNK], gate[REMEMBER_CHUNK];
        /* A chunk lies in one window. */
        uint channel = 2 * index + (overlaps && position >= own ? c.dim : 0);
        for (uint i = 0; i < REMEMBER_CHUNK; i++) {
            uint p = position + i;
            ulong row = p >= start ? ulong(first + (p - start)) * c.width : ulong(p % c.n_slots) * 2 * c.width;
            device const float *from = p >= start ? c.kv : c.ring, *by = p >= start ? c.gate : c.ring + c.width;
            kv[i] = *(device const float2 *)(from + row + channel);
            gate[i] = *(device const float2 *)(by + row + channel);
        }
        float2 chunk_top = top;
        for (uint i = 0; i < REMEMBER_CHUNK; i++) {
            uint p = position + i;
            if (p >= start) { /* in the ring the gates have it */
                device const uchar *ape = c.ape + p % c.ratio * c.ape_row_bytes;
                gate[i] += float2(weight_at(c.ape_type, ape, channel), weight_at(c.ape_type, ape, channel + 1));
            }
            chunk_top = max(chunk_top, gate[i]);
        }
        float2 shrink = precise::exp(top - chunk_top);
        sum *= shrink;
        mean *= shrink;
        top = chunk_top;
        for (uint i = 0; i < REMEMBER_CHUNK; i++) {
            float2 weight = precise::exp(gate[i] - top);
            sum += weight;
            mean += weight * kv[i];
        }
    }
    x[2 * index] = mean.x / sum.x;
    x[2 * index + 1] = mean.y / sum.y;
}

/* RMS norm of x[n] with the weights `gain`, then rotation of the last n_pairs pairs. Barriers before and after are made
 * here. */
static inline void remember_norm_rotate(threadgroup float *x, uint n, device const float *gain,
                                        device const float2 *angles, uint n_pairs, float epsilon,
                                        threadgroup float *squares, uint index) {
    threadgroup_barrier(mem_flags::mem_threadgroup);
    float square = 0.0f;
    for (uint i = index; i < n; i += REMEMBER_THREADS) square += x[i] * x[i];
    square = simd_sum(square);
    if (index % 32 == 0) squares[index / 32] = square;
    threadgroup_barrier(mem_flags::mem_threadgroup);
    float total = 0.0f;
    for (uint i = 0; i < REMEMBER_SIMDS; i++) total += squares[i];
    float scale = 1.0f / precise::sqrt(total / float(n) + epsilon);
    for (uint i = index; i < n; i += REMEMBER_THREADS) x[i] = x[i] * scale * gain[i];
    threadgroup_barrier(mem_flags::mem_threadgroup);
    threadgroup float *rotary = x + n - 2 * n_pairs;
    for (uint i = index; i < n_pairs; i += REMEMBER_THREADS) {
        float a = rotary[2 * i], b = rotary[2 * i + 1];
        float2 angle = angles[i];
        rotary[2 * i] = a * angle.x - b * angle.y;
        rotary[2 * i + 1] = a * angle.y + b * angle.x;
    }
    threadgroup_barrier(mem_flags::mem_threadgroup);
}

static inline float2 remember_rotate(float2 x, float2 angle) {
    return float2(x.x * angle.x - x.y * angle.y, x.x * angle.y + x.y * angle.x);
}

/* A SIMD-group norms and rotates a query. Lane l holds pairs l, l + 32, ... */
static inline void remember_query(device float2 *head, uint head_dim, device const float2 *angles, uint n_pairs,
                                  float epsilon, uint lane) {
    uint n = head_dim / 2, first_rotary = n - n_pairs;
    float2 x[MAX_HEAD_DIM / 64];
    float square = 0.0f;
    for (uint k = 0; k < MAX_HEAD_DIM / 64; k++) {
        uint pair = 32 * k + lane;
        x[k] = pair < n ? head[pair] : float2(0.0f);
        square += dot(x[k], x[k]);
    }
    float scale = 1.0f / precise::sqrt(simd_sum(square) / float(head_dim) + epsilon);
    for (uint k = 0; k < MAX_HEAD_DIM / 64; k++) {
        uint pair = 32 * k + lane;
        float2 value = x[k] * scale;
        if (pair >= first_rotary && pair < n) value = remember_rotate(value, angles[pair - first_rotary]);
        if (pair < n) head[pair] = value;
    }
}

/* A SIMD-group rotates and rounds an indexer query. Lane l holds channels 4 l .. 4 l + 3. */
static inline void remember_index_query(device float4 *head, uint dim, device const float2 *angles, uint n_pairs,
                                        bool rounds, uint lane) {
    uint first_rotary = dim / 2 - n_pairs, pair = 2 * lane;
    bool mine = 4 * lane < dim;
    float4 x = mine ? head[lane] : float4(0.0f);
    if (mine && pair >= first_rotary) x.xy = remember_rotate(x.xy, angles[pair - first_rotary]);
    if (mine && pair + 1 >= first_rotary) x.zw = remember_rotate(x.zw, angles[pair + 1 - first_rotary]);
    if (rounds) x = fp4_round_lanes(hadamard_lanes(x, dim, lane));
    if (mine) head[lane] = x;
}

/* Threadgroups: see remember_params. */
[[max_total_threads_per_threadgroup(REMEMBER_THREADS)]] kernel void
remember(constant remember_params &params [[buffer(0)]], device const token_info *tokens [[buffer(1)]],
         device const span_info *spans [[buffer(2)]], device const layer_info *layers [[buffer(3)]],
         device const uint *refs [[buffer(4)]], device const window_info *windows [[buffer(5)]],
         device const float2 *angles [[buffer(6)]], device const float2 *window_angles [[buffer(7)]],
         device const float *kv [[buffer(8)]], device const float *kv_norm [[buffer(9)]],
         device const float *compressor_kv [[buffer(10)]], device const float *compressor_gate [[buffer(11)]],
         device const uchar *ape [[buffer(12)]], device const float *compressor_norm [[buffer(13)]],
         device const float *index_kv [[buffer(14)]], device const float *index_gate [[buffer(15)]],
         device const uchar *index_ape [[buffer(16)]], device const float *index_norm [[buffer(17)]],
         device float *q [[buffer(18)]], device float *index_q [[buffer(19)]], device uchar *fresh [[buffer(20)]],
         device uchar *arena0 [[buffer(21)]], device uchar *arena1 [[buffer(22)]], device uchar *arena2 [[buffer(23)]],
         device uchar *arena3 [[buffer(24)]], device uchar *arena4 [[buffer(25)]], device uchar *arena5 [[buffer(26)]],
         device uchar *arena6 [[buffer(27)]], device uchar *arena7 [[buffer(28)]],
         uint group [[threadgroup_position_in_grid]], uint index [[thread_index_in_threadgroup]],
         uint lane [[thread_index_in_simdgroup]], uint simd [[simdgroup_index_in_threadgroup]]) {
    threadgroup float x[MAX_HEAD_DIM];
    threadgroup float squares[REMEMBER_SIMDS];
    row_arenas arenas = row_arenas_of(arena0, arena1, arena2, arena3, arena4, arena5, arena6, arena7);
    uint n_tokens = params.n_tokens, head_dim = params.head_dim, index_dim = params.index_dim, ratio = params.ratio;
    uint n_pairs = params.n_pairs, row_kind = params.row_kind;
    float epsilon = params.epsilon;

    if (group < n_tokens) { /* raw rows */
        uint t = group, s = uint(tokens[t].span);
        for (uint i = index; i < head_dim; i += REMEMBER_THREADS) x[i] = kv[ulong(t) * head_dim + i];
        remember_norm_rotate(x, head_dim, kv_norm, angles + t * n_pairs, n_pairs, epsilon, squares, index);
        device uchar *row = fresh + ulong(t) * params.raw_bytes;
        if (spans[s].in_rings)
            row = arena_at(arenas, layers[s].raw) + uint(tokens[t].position) % params.raw_slots * params.raw_bytes;
        row_encode_attention(x, head_dim, 2 * n_pairs, row_kind, 4, row, index);
        return;
    }
    group -= n_tokens;

    uint n_windows = ratio != 0 ? params.n_windows : 0, n_index_windows = ratio == 4 ? n_windows : 0;
    if (group < n_windows + n_index_windows) {
        bool is_index = group >= n_windows;
        uint w = is_index ? group - n_windows : group, s = uint(windows[w].span), window = uint(windows[w].window);
        device uchar *ring = arena_at(arenas, is_index ? layers[s].index_pending : layers[s].pending);
        device uchar *page =
            arena_at(arenas, refs[(is_index ? layers[s].index_rows : layers[s].rows) + window / PAGE_ROWS]);
        remember_compressor c =
            remember_compressor_of(params, is_index, is_index ? index_kv : compressor_kv,
                                   is_index ? index_gate : compressor_gate, is_index ? index_ape : ape, ring);
        remember_pool(c, spans + s, window, index, x);
        remember_norm_rotate(x, c.dim, is_index ? index_norm : compressor_norm, window_angles + w * n_pairs, n_pairs,
                             epsilon, squares, index);
        if (!is_index) {
            device uchar *row = page + window % PAGE_ROWS * params.rows_bytes;
            row_encode_attention(x, head_dim, 2 * n_pairs, row_kind, 2, row, index);
            return;
        }
        if (row_kind != ROWS_PLAIN) hadamard_group(x, index_dim, index);
        row_encode_index(x, index_dim, row_kind, page + window % PAGE_ROWS * params.index_bytes, index);
        return;
    }
    group -= n_windows + n_index_windows;

    if (ratio != 0 && group < n_tokens) { /* pending rings */
        uint t = group, s = uint(tokens[t].span), position = uint(tokens[t].position);
        if (!spans[s].in_rings) return;
        remember_compressor own = remember_compressor_of(params, false, compressor_kv, compressor_gate, ape,
                                                         arena_at(arenas, layers[s].pending));
        remember_pending(own, t, position, index);
        if (ratio != 4) return;
        remember_compressor indexer = remember_compressor_of(params, true, index_kv, index_gate, index_ape,
                                                             arena_at(arenas, layers[s].index_pending));
        remember_pending(indexer, t, position, index);
        return;
    }
    group -= ratio != 0 ? n_tokens : 0;

    uint groups_of_token = (params.n_heads + REMEMBER_SIMDS - 1) / REMEMBER_SIMDS;
    if (group < n_tokens * groups_of_token) {
        uint t = group / groups_of_token, head = group % groups_of_token * REMEMBER_SIMDS + simd;
        if (head >= params.n_heads) return;
        device float *at = q + (ulong(t) * params.n_heads + head) * head_dim;
        remember_query((device float2 *)at, head_dim, angles + t * n_pairs, n_pairs, epsilon, lane);
        return;
    }
    group -= n_tokens * groups_of_token;

    groups_of_token = (params.n_index_heads + REMEMBER_SIMDS - 1) / REMEMBER_SIMDS;
    uint t = group / groups_of_token, head = group % groups_of_token * REMEMBER_SIMDS + simd;
    if (!params.queries_needed || t >= n_tokens || head >= params.n_index_heads) return;
    device float *at = index_q + (ulong(t) * params.n_index_heads + head) * index_dim;
    remember_index_query((device float4 *)at, index_dim, angles + t * n_pairs, n_pairs, row_kind != ROWS_PLAIN, lane);
}

/* After attention: the latest tokens of spans that are not in the rings yet. */
[[max_total_threads_per_threadgroup(REMEMBER_THREADS)]] kernel void
keep(constant remember_params &params [[buffer(0)]], device const token_info *tokens [[buffer(1)]],
     device const span_info *spans [[buffer(2)]], device const layer_info *layers [[buffer(3)]],
     device const float *compressor_kv [[buffer(10)]], device const float *compressor_gate [[buffer(11)]],
     device const uchar *ape [[buffer(12)]], device const float *index_kv [[buffer(14)]],
     device const float *index_gate [[buffer(15)]], device const uchar *index_ape [[buffer(16)]],
     device const uchar *fresh [[buffer(20)]], device uchar *arena0 [[buffer(21)]], device uchar *arena1 [[buffer(22)]],
     device uchar *arena2 [[buffer(23)]], device uchar *arena3 [[buffer(24)]], device uchar *arena4 [[buffer(25)]],
     device uchar *arena5 [[buffer(26)]], device uchar *arena6 [[buffer(27)]], device uchar *arena7 [[buffer(28)]],
     uint t [[threadgroup_position_in_grid]], uint index [[thread_index_in_threadgroup]]) {
    row_arenas arenas = row_arenas_of(arena0, arena1, arena2, arena3, arena4, arena5, arena6, arena7);
    uint s = uint(tokens[t].span), position = uint(tokens[t].position), ratio = params.ratio;
    if (spans[s].in_rings) return;
    uint n_left = uint(spans[s].n_tokens) - (t - uint(spans[s].first)); /* tokens of the span from here on */
    if (n_left <= params.raw_slots) {
        uint n = params.raw_bytes;
        device const uchar *from = fresh + ulong(t) * n;
        device uchar *to = arena_at(arenas, layers[s].raw) + position % params.raw_slots * n;
        if (n % 4 == 0) {
            for (uint i = index; i < n / 4; i += REMEMBER_THREADS)
                ((device uint *)to)[i] = ((device const uint *)from)[i];
        } else {
            for (uint i = index; i < n; i += REMEMBER_THREADS) to[i] = from[i];
        }
    }
    if (ratio != 0 && n_left <= params.pending_slots) {
        remember_compressor own = remember_compressor_of(params, false, compressor_kv, compressor_gate, ape,
                                                         arena_at(arenas, layers[s].pending));
        remember_pending(own, t, position, index);
    }
    if (ratio == 4 && n_left <= params.index_pending_slots) {
        remember_compressor indexer = remember_compressor_of(params, true, index_kv, index_gate, index_ape,
                                                             arena_at(arenas, layers[s].index_pending));
        remember_pending(indexer, t, position, index);
    }
}
