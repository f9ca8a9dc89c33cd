/*
 * Attention (src/backend/cpu/attention.c): softmax over the window's rows, oldest first, compressed rows and the sink.
 * K = V, and all heads share the rows.
 *
 * A SIMD-group works on two heads, whose queries and sums it has in registers, 4 * lane .. 4 * lane + 3 of each 128
 * channels in a lane, and takes four rows at a time. Of the threadgroup's n rows, SIMD-group s decodes s, s + 8, ...:
 *
 *   attend_2   two heads a threadgroup; each SIMD-group attends to the rows that it decodes. For few tokens.
 *   attend_8   eight heads; the SIMD-groups share the rows through threadgroup memory. For many tokens.
 *   attend_2_choosing   attend_2 that first chooses the compressed rows by their scores itself: one dispatch less.
 *
 * SIMD-groups that share heads have softmax sums of their own over different rows; these are added in a fixed order at
 * the end, so a token's result depends on nothing but the token.
 */
#include "rows.h"
#include "select.h"

enum {
    ATTEND_SIMDS = ATTEND_THREADS / 32,
    ATTEND_CHUNKS = MAX_HEAD_DIM / 128,
    ATTEND_STEP = 4,                       /* rows at a time; with two heads, 8 scores */
    ATTEND_SUM = MAX_HEAD_DIM / 2,         /* channels of each SIMD-group that are added at a time */
    ATTEND_MAX_CHOSEN = 2048,              /* of attend_2_choosing */
    ATTEND_FRESH = 1 << 30,                /* attend_place.offset: in the batch's own rows, not in an arena */
    ATTEND_RAW = 1 << 29,                  /* raw, not compressed */
    ATTEND_OFFSET = ATTEND_RAW - 1,
};

typedef float4 attend_values;

/* The rows that a token attends to. */
struct attend_view {
    uint first_raw, n_raw, n; /* positions first_raw .. first_raw + n_raw - 1, then n - n_raw compressed rows */
    uint span_position, span_first;
    bool in_rings, chosen;
    uint raw, rows; /* of layer_info */
};

static inline attend_view attend_view_of(constant attend_params &p, device const token_info &token,
                                         device const span_info *spans, device const layer_info *layers) {
    attend_view view;
    uint position = uint(token.position), span = uint(token.span);
    view.first_raw = position >= p.window ? position - p.window + 1 : 0;
    view.n_raw = position - view.first_raw + 1;
    uint n_compressed = p.ratio != 0 ? (position + 1) / p.ratio : 0;
    view.chosen = p.ratio == 4 && n_compressed > p.top_k;
    view.n = view.n_raw + (view.chosen ? p.top_k : n_compressed);
    view.span_position = uint(spans[span].position);
    view.span_first = uint(spans[span].first);
    view.in_rings = spans[span].in_rings != 0;
    view.raw = layers[span].raw;
    view.rows = layers[span].rows;
    return view;
}

/* Where row i of the view lies: a reference, and an offset with flags. */
struct attend_place {
    uint reference, offset;
};

template <typename chosen_pointer>
static inline attend_place attend_place_of(constant attend_params &p, thread const attend_view &view, uint i,
                                           chosen_pointer chosen, device const uint *refs) {
    attend_place place;
    if (i >= view.n_raw) {
        uint row = i - view.n_raw;
        if (view.chosen) row = uint(chosen[row]);
        place.reference = refs[view.rows + row / PAGE_ROWS];
        place.offset = row % PAGE_ROWS * p.rows_bytes;
        return place;
    }
    uint position = view.first_raw + i;
    bool in_ring = view.in_rings || position < view.span_position;
    uint slot = in_ring ? position % p.raw_slots : view.span_first + (position - view.span_position);
    place.reference = view.raw;
    place.offset = slot * p.raw_bytes + ATTEND_RAW + (in_ring ? 0 : ATTEND_FRESH);
    return place;
}

/* A SIMD-group decodes a row. */
static inline void attend_decode(constant attend_params &p, attend_place place, thread const row_arenas &arenas,
                                 device const uchar *fresh, uint lane, thread float4 *row) {
    device const uchar *memory = fresh;
    if ((place.offset & ATTEND_FRESH) == 0) memory = arena_at(arenas, place.reference);
    uint tail_bytes = (place.offset & ATTEND_RAW) != 0 ? 4 : 2;
    #pragma clang loop unroll(full)
    for (uint c = 0; c < ATTEND_CHUNKS; c++) {
        uint channel = 128 * c + 4 * lane;
        row[c] = float4(0.0f);
        if (channel < p.head_dim)
            row[c] = row_decode_attention4(memory, place.offset & ATTEND_OFFSET, channel, p.head_dim, 2 * p.n_pairs,
                                           p.row_kind, tail_bytes);
    }
}

/* Softmax in one pass: sums are relative to the largest score so far. A lane keeps head lane / 16; of the sum, rows
 * lane / 4 % 4 of each step. */
struct attend_state {
    float top, sum;
    float4 query[2 * ATTEND_CHUNKS], out[2 * ATTEND_CHUNKS]; /* [head][chunk] */
};

/* Half of the lanes keep a and get the other half's a, the others b. */
static inline float attend_exchange(float a, float b, bool upper, ushort distance) {
    return (upper ? b : a) + simd_shuffle_xor(upper ? a : b, distance);
}

/* Lanes get the sum over all lanes of value[lane / 4]. */
static inline float attend_sums(thread const float *value, uint lane) {
    bool upper = (lane & 16) != 0;
    float a = attend_exchange(value[0], value[4], upper, 16), b = attend_exchange(value[1], value[5], upper, 16);
    float c = attend_exchange(value[2], value[6], upper, 16), d = attend_exchange(value[3], value[7], upper, 16);
    upper = (lane & 8) != 0;
    a = attend_exchange(a, c, upper, 8);
    b = attend_exchange(b, d, upper, 8);
    float sum = attend_exchange(a, b, (lane & 4) != 0, 4);
    sum += simd_shuffle_xor(sum, ushort(2));
    return sum + simd_shuffle_xor(sum, ushort(1));
}

/* Rows [ATTEND_STEP][ATTEND_CHUNKS], of which the first n_rows count, into the sums of two heads. */
static inline void attend_step(thread attend_state &state, thread const float4 *row, uint n_rows, uint lane) {
    float value[2 * ATTEND_STEP];
    #pragma clang loop unroll(full)
    for (uint h = 0; h < 2; h++)
        #pragma clang loop unroll(full)
        for (uint r = 0; r < ATTEND_STEP; r++) {
            float4 product = state.query[h * ATTEND_CHUNKS] * row[r * ATTEND_CHUNKS];
            #pragma clang loop unroll(full)
            for (uint c = 1; c < ATTEND_CHUNKS; c++)
                product = fma(state.query[h * ATTEND_CHUNKS + c], row[r * ATTEND_CHUNKS + c], product);
            value[h * ATTEND_STEP + r] = product.x + product.y + (product.z + product.w);
        }
    float own = attend_sums(value, lane);
    bool counts = lane / 4 % ATTEND_STEP < n_rows;
    own = counts ? own : state.top;
    float top = max(own, simd_shuffle_xor(own, ushort(8)));
    top = max(state.top, max(top, simd_shuffle_xor(top, ushort(4))));
    float shrink = precise::exp(state.top - top);
    float weight = counts ? precise::exp(own - top) : 0.0f;
    state.sum = state.sum * shrink + weight;
    state.top = top;
    #pragma clang loop unroll(full)
    for (uint h = 0; h < 2; h++) {
        float factor = simd_shuffle(shrink, ushort(16 * h)), weights[ATTEND_STEP];
        #pragma clang loop unroll(full)
        for (uint r = 0; r < ATTEND_STEP; r++) weights[r] = simd_shuffle(weight, ushort(16 * h + 4 * r));
        #pragma clang loop unroll(full)
        for (uint c = 0; c < ATTEND_CHUNKS; c++) {
            float4 sum = state.out[h * ATTEND_CHUNKS + c] * factor;
            #pragma clang loop unroll(full)
            for (uint r = 0; r < ATTEND_STEP; r++) sum = fma(row[r * ATTEND_CHUNKS + c], float4(weights[r]), sum);
            state.out[h * ATTEND_CHUNKS + c] = sum;
        }
    }
}

/* Two heads begin; heads that are not there repeat the last. has_sink: of the SIMD-groups that share the heads, one
 * counts the sink, a score without a row. */
static inline void attend_begin(constant attend_params &p, thread attend_state &state, device const float *q,
                                device const float *sinks, uint first_head, bool has_sink, uint lane) {
    state.top = sinks[min(first_head + lane / 16, p.n_heads - 1)];
    state.sum = has_sink && lane / 4 % ATTEND_STEP == 0 ? 1.0f : 0.0f;
    float scale = precise::rsqrt(float(p.head_dim));
    #pragma clang loop unroll(full)
    for (uint h = 0; h < 2; h++) {
        device const float *head = q + min(first_head + h, p.n_heads - 1) * p.head_dim;
        #pragma clang loop unroll(full)
        for (uint c = 0; c < ATTEND_CHUNKS; c++) {
            uint channel = 128 * c + 4 * lane;
            float4 query = float4(0.0f);
            if (channel < p.head_dim) query = ((device const float4 *)(head + channel))[0];
            state.query[h * ATTEND_CHUNKS + c] = query * scale;
            state.out[h * ATTEND_CHUNKS + c] = float4(0.0f);
        }
    }
}

/* Adds what n_sharing neighbouring SIMD-groups have, and writes the heads, rotated back. angles and heads begin at the
 * token; memory: [ATTEND_SIMDS][ATTEND_SUM]; sums: [ATTEND_SIMDS][2][2]. */
static inline void attend_end(constant attend_params &p, thread attend_state &state, uint first_head, uint n_sharing,
                              device const float *angles, device float *heads, threadgroup attend_values *memory,
                              threadgroup float *sums, uint simd, uint lane) {
    float sum = state.sum + simd_shuffle_xor(state.sum, ushort(8));
    sum += simd_shuffle_xor(sum, ushort(4));
    if (lane % 16 == 0) {
        sums[4 * simd + 2 * (lane / 16)] = state.top;
        sums[4 * simd + 2 * (lane / 16) + 1] = sum;
    }
    threadgroup_barrier(mem_flags::mem_threadgroup);
    uint first = simd / n_sharing * n_sharing;
    #pragma clang loop unroll(full)
    for (uint h = 0; h < 2; h++) {
        float top = sums[4 * first + 2 * h], total = 0.0f;
        for (uint s = first + 1; s < first + n_sharing; s++) top = max(top, sums[4 * s + 2 * h]);
        for (uint s = first; s < first + n_sharing; s++)
            total += sums[4 * s + 2 * h + 1] * precise::exp(sums[4 * s + 2 * h] - top);
        float factor = precise::exp(sums[4 * simd + 2 * h] - top) / total;
        #pragma clang loop unroll(full)
        for (uint c = 0; c < ATTEND_CHUNKS; c++) state.out[h * ATTEND_CHUNKS + c] *= factor;
    }
    /* A piece is a half of the channels of one head. */
    #pragma clang loop unroll(full)
    for (uint piece = 0; piece < 4; piece++) {
        uint h = first_head + piece / 2;
        #pragma clang loop unroll(full)
        for (uint c = 0; c < ATTEND_CHUNKS / 2; c++)
            memory[simd * (ATTEND_SUM / 4) + 32 * c + lane] = state.out[piece * (ATTEND_CHUNKS / 2) + c];
        threadgroup_barrier(mem_flags::mem_threadgroup);
        /* The SIMD-groups that share the heads divide the channels. */
        for (uint i = (simd - first) * 32 + lane; i < ATTEND_SUM / 4; i += n_sharing * 32) {
            uint channel = piece % 2 * ATTEND_SUM + 4 * i;
            if (channel >= p.head_dim || h >= p.n_heads) continue;
            float4 x = memory[first * (ATTEND_SUM / 4) + i];
            for (uint s = first + 1; s < first + n_sharing; s++) x += memory[s * (ATTEND_SUM / 4) + i];
            uint rotary = p.head_dim - 2 * p.n_pairs;
            if (channel >= rotary) {
                float4 turn = ((device const float4 *)(angles + (channel - rotary)))[0];
                x = float4(x.x * turn.x + x.y * turn.y, x.y * turn.x - x.x * turn.y, x.z * turn.z + x.w * turn.w,
                           x.w * turn.z - x.z * turn.w);
            }
            ((device float4 *)(heads + h * p.head_dim + channel))[0] = x;
        }
        threadgroup_barrier(mem_flags::mem_threadgroup);
    }
}

/* One SIMD-group's rows of attend_2. */
template <typename chosen_pointer>
static inline void attend_own_rows(constant attend_params &p, thread const attend_view &view, chosen_pointer chosen,
                                   device const uint *refs, thread const row_arenas &arenas, device const uchar *fresh,
                                   thread attend_state &state, uint simd, uint lane) {
    uint n = view.n > simd ? (view.n - simd + ATTEND_SIMDS - 1) / ATTEND_SIMDS : 0;
    attend_place places;
    places.reference = 0;
    places.offset = 0;
    for (uint first = 0; first < n; first += ATTEND_STEP) {
        /* Each lane looks up one of the next 32 rows. */
        if (first % 32 == 0)
            places = attend_place_of(p, view, simd + ATTEND_SIMDS * min(first + lane, n - 1), chosen, refs);
        float4 row[ATTEND_STEP * ATTEND_CHUNKS];
        #pragma clang loop unroll(full)
        for (uint r = 0; r < ATTEND_STEP; r++) {
            attend_place place;
            place.reference = simd_shuffle(places.reference, ushort(first % 32 + r));
            place.offset = simd_shuffle(places.offset, ushort(first % 32 + r));
            attend_decode(p, place, arenas, fresh, lane, row + r * ATTEND_CHUNKS);
        }
        attend_step(state, row, min(n - first, uint(ATTEND_STEP)), lane);
    }
}

[[max_total_threads_per_threadgroup(ATTEND_THREADS)]]
kernel void attend_2(constant attend_params &p [[buffer(0)]], device const token_info *tokens [[buffer(1)]],
                     device const span_info *spans [[buffer(2)]], device const layer_info *layers [[buffer(3)]],
                     device const uint *refs [[buffer(4)]], device const float *angles [[buffer(5)]],
                     device const float *q [[buffer(6)]], device const float *sinks [[buffer(7)]],
                     device const uchar *fresh [[buffer(8)]], device const int *selected [[buffer(9)]],
                     device float *heads [[buffer(12)]], device uchar *arena0 [[buffer(13)]],
                     device uchar *arena1 [[buffer(14)]], device uchar *arena2 [[buffer(15)]],
                     device uchar *arena3 [[buffer(16)]], device uchar *arena4 [[buffer(17)]],
                     device uchar *arena5 [[buffer(18)]], device uchar *arena6 [[buffer(19)]],
                     device uchar *arena7 [[buffer(20)]], uint3 group [[threadgroup_position_in_grid]],
                     uint lane [[thread_index_in_simdgroup]], uint simd [[simdgroup_index_in_threadgroup]]) {
    threadgroup attend_values memory[ATTEND_SIMDS * ATTEND_SUM / 4];
    threadgroup float sums[4 * ATTEND_SIMDS];
    row_arenas arenas = row_arenas_of(arena0, arena1, arena2, arena3, arena4, arena5, arena6, arena7);
    uint t = group.y, first_head = 2 * group.x;
    ulong first_value = ulong(t) * (p.n_heads * p.head_dim);
    attend_view view = attend_view_of(p, tokens[t], spans, layers);
    attend_state state;
    attend_begin(p, state, q + first_value, sinks, first_head, simd == 0, lane);
    attend_own_rows(p, view, selected + ulong(t) * p.top_k, refs, arenas, fresh, state, simd, lane);
    attend_end(p, state, first_head, ATTEND_SIMDS, angles + ulong(t) * (2 * p.n_pairs), heads + first_value, memory,
               sums, simd, lane);
}

[[max_total_threads_per_threadgroup(ATTEND_THREADS)]]
kernel void attend_2_choosing(constant attend_params &p [[buffer(0)]], device const token_info *tokens [[buffer(1)]],
                              device const span_info *spans [[buffer(2)]],
                              device const layer_info *layers [[buffer(3)]], device const uint *refs [[buffer(4)]],
                              device const float *angles [[buffer(5)]], device const float *q [[buffer(6)]],
                              device const float *sinks [[buffer(7)]], device const uchar *fresh [[buffer(8)]],
                              device const float *score [[buffer(10)]], device const int *in_list [[buffer(11)]],
                              device float *heads [[buffer(12)]], device uchar *arena0 [[buffer(13)]],
                              device uchar *arena1 [[buffer(14)]], device uchar *arena2 [[buffer(15)]],
                              device uchar *arena3 [[buffer(16)]], device uchar *arena4 [[buffer(17)]],
                              device uchar *arena5 [[buffer(18)]], device uchar *arena6 [[buffer(19)]],
                              device uchar *arena7 [[buffer(20)]], uint3 group [[threadgroup_position_in_grid]],
                              uint lane [[thread_index_in_simdgroup]], uint simd [[simdgroup_index_in_threadgroup]]) {
    threadgroup attend_values memory[ATTEND_SIMDS * ATTEND_SUM / 4];
    threadgroup float sums[4 * ATTEND_SIMDS];
    threadgroup uint bins[SELECT_BINS];
    threadgroup uint scratch[64];
    threadgroup int chosen[ATTEND_MAX_CHOSEN];
    row_arenas arenas = row_arenas_of(arena0, arena1, arena2, arena3, arena4, arena5, arena6, arena7);
    uint t = group.y, first_head = 2 * group.x;
    ulong first_value = ulong(t) * (p.n_heads * p.head_dim);
    attend_view view = attend_view_of(p, tokens[t], spans, layers);
    if (view.chosen) {
        device const float *scores = score + ulong(in_list[t]) * p.score_stride;
        select_best(scores, uint(tokens[t].position + 1) / 4, p.top_k, bins, scratch, simd * 32 + lane,
                    uint(ATTEND_THREADS), (threadgroup int *)chosen);
        threadgroup_barrier(mem_flags::mem_threadgroup);
    }
    attend_state state;
    attend_begin(p, state, q + first_value, sinks, first_head, simd == 0, lane);
    attend_own_rows(p, view, (threadgroup const int *)chosen, refs, arenas, fresh, state, simd, lane);
    attend_end(p, state, first_head, ATTEND_SIMDS, angles + ulong(t) * (2 * p.n_pairs), heads + first_value, memory,
               sums, simd, lane);
}

/* Eight rows at a time: each SIMD-group decodes one and attends to four of them, the first or the last, with its two
 * heads. */
[[max_total_threads_per_threadgroup(ATTEND_THREADS)]]
kernel void attend_8(constant attend_params &p [[buffer(0)]], device const token_info *tokens [[buffer(1)]],
                     device const span_info *spans [[buffer(2)]], device const layer_info *layers [[buffer(3)]],
                     device const uint *refs [[buffer(4)]], device const float *angles [[buffer(5)]],
                     device const float *q [[buffer(6)]], device const float *sinks [[buffer(7)]],
                     device const uchar *fresh [[buffer(8)]], device const int *selected [[buffer(9)]],
                     device float *heads [[buffer(12)]], device uchar *arena0 [[buffer(13)]],
                     device uchar *arena1 [[buffer(14)]], device uchar *arena2 [[buffer(15)]],
                     device uchar *arena3 [[buffer(16)]], device uchar *arena4 [[buffer(17)]],
                     device uchar *arena5 [[buffer(18)]], device uchar *arena6 [[buffer(19)]],
                     device uchar *arena7 [[buffer(20)]], uint3 group [[threadgroup_position_in_grid]],
                     uint lane [[thread_index_in_simdgroup]], uint simd [[simdgroup_index_in_threadgroup]]) {
    threadgroup attend_values tile[ATTEND_SIMDS * MAX_HEAD_DIM / 4];
    threadgroup float sums[4 * ATTEND_SIMDS];
    row_arenas arenas = row_arenas_of(arena0, arena1, arena2, arena3, arena4, arena5, arena6, arena7);
    uint t = group.y, first_head = 8 * group.x + simd / 2 * 2, first_row = simd % 2 * ATTEND_STEP;
    ulong first_value = ulong(t) * (p.n_heads * p.head_dim);
    attend_view view = attend_view_of(p, tokens[t], spans, layers);
    attend_state state;
    attend_begin(p, state, q + first_value, sinks, first_head, simd % 2 == 0, lane);
    attend_place places;
    places.reference = 0;
    places.offset = 0;
    device const int *chosen = selected + ulong(t) * p.top_k;
    for (uint first = 0; first < view.n; first += ATTEND_SIMDS) {
        uint at = first / ATTEND_SIMDS % 32;
        /* Each lane looks up the row of one of the next 32 tiles. */
        if (at == 0) {
            uint i = first + simd + ATTEND_SIMDS * lane;
            places = attend_place_of(p, view, min(i, view.n - 1), chosen, refs);
        }
        attend_place place;
        place.reference = simd_shuffle(places.reference, ushort(at));
        place.offset = simd_shuffle(places.offset, ushort(at));
        float4 row[ATTEND_STEP * ATTEND_CHUNKS];
        attend_decode(p, place, arenas, fresh, lane, row);
        threadgroup_barrier(mem_flags::mem_threadgroup); /* the last tile is done with */
        #pragma clang loop unroll(full)
        for (uint c = 0; c < ATTEND_CHUNKS; c++) tile[simd * (MAX_HEAD_DIM / 4) + 32 * c + lane] = row[c];
        threadgroup_barrier(mem_flags::mem_threadgroup);
        uint n_rows = view.n - first;
        n_rows = n_rows > first_row ? min(n_rows - first_row, uint(ATTEND_STEP)) : 0;
        if (n_rows == 0) continue;
        #pragma clang loop unroll(full)
        for (uint r = 0; r < ATTEND_STEP; r++)
            #pragma clang loop unroll(full)
            for (uint c = 0; c < ATTEND_CHUNKS; c++)
                row[r * ATTEND_CHUNKS + c] = tile[(first_row + r) * (MAX_HEAD_DIM / 4) + 32 * c + lane];
        attend_step(state, row, n_rows, lane);
    }
    threadgroup_barrier(mem_flags::mem_threadgroup);
    attend_end(p, state, first_head, 2, angles + ulong(t) * (2 * p.n_pairs), heads + first_value, tile, sums, simd,
               lane);
}
