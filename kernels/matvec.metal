/*
 * Matrices times few vectors: decoding and small batches, where reading the weights is all that takes time.
 *
 * A SIMD-group multiplies some rows with every token. Its lanes walk along a row in units of a few weights, neighbours
 * side by side, so that weights and inputs come from memory in whole lines; a unit is unpacked once for all tokens, and
 * an input is loaded once for all rows. The sum of a (row, token) is one chain of fma that no compiler may reorder,
 * whatever the number of tokens and rows around it: the result depends on its own row and token only.
 */
#include "blocks.h"
#include "route.h"

/* Bit k: type k of F32, F16, Q8_0, Q2_K, Q4_K, IQ2_XXS occurs. */
constant uint WEIGHT_TYPES [[function_constant(0)]];
enum { HAS_F32 = 1, HAS_F16 = 2, HAS_Q8_0 = 4, HAS_Q2_K = 8, HAS_Q4_K = 16, HAS_IQ2_XXS = 32 };

enum { SIMD_GROUPS = MATVEC_THREADS / 32, SIMD_ROWS = MATVEC_ROWS / SIMD_GROUPS, EXPERT_TOKENS = 2, DOWN_ROWS = 4 };

typedef uint4 grid_word; /* of IQ2_XXS: eight magnitudes as halves */

/* ---- units: the weights of a row that a lane takes at a time ----
 * WEIGHTS in PIECES of four neighbours. If SCALED, what unit_piece returns still lacks the factor `scale`. AHEAD units
 * of two rows are loaded before the first is used. */

struct f32_unit {
    enum { WEIGHTS = 4, PIECES = 1, SCALED = 0, AHEAD = 4 };
    float4 w;
    float scale;
};

static inline void unit_load(thread f32_unit &unit, device const uchar *row, uint u,
                             threadgroup const grid_word *grid) {
    unit.w = ((device const float4 *)row)[u];
    unit.scale = 1.0f;
}

static inline uint unit_column(thread const f32_unit &unit, uint u, uint piece) {
    return 4 * u;
}

static inline float4 unit_piece(thread const f32_unit &unit, uint piece) {
    return unit.w;
}

struct f16_unit {
    enum { WEIGHTS = 4, PIECES = 1, SCALED = 0, AHEAD = 8 };
    half4 w;
    float scale;
};

static inline void unit_load(thread f16_unit &unit, device const uchar *row, uint u,
                             threadgroup const grid_word *grid) {
    unit.w = ((device const half4 *)row)[u];
    unit.scale = 1.0f;
}

static inline uint unit_column(thread const f16_unit &unit, uint u, uint piece) {
    return 4 * u;
}

static inline float4 unit_piece(thread const f16_unit &unit, uint piece) {
    return float4(unit.w);
}

/* Four signed bytes times 2^24. Bytes are converted in the highest place: it takes fewer instructions. */
static inline float4 unit_signed(uint bytes) {
    return float4(int4(uint4(bytes << 24, bytes << 16, bytes << 8, bytes) & 0xff000000u));
}

/* scale * q - minimum for the bits `mask` of four bytes */
static inline float4 unit_unpack(uint bytes, uint mask, float scale, float minimum) {
    uint4 q = uint4(bytes) & uint4(mask, mask << 8, mask << 16, mask << 24);
    float4 place = float4(1.0f, 1.0f / 256.0f, 1.0f / 65536.0f, 1.0f / 16777216.0f);
    return fma(float4(int4(q)), place * scale, float4(-minimum));
}

struct q8_0_unit {
    enum { WEIGHTS = 4, PIECES = 1, SCALED = 1, AHEAD = 2 };
    uint q;
    float scale;
};

static inline void unit_load(thread q8_0_unit &unit, device const uchar *row, uint u,
                             threadgroup const grid_word *grid) {
    device const uchar *block = row + u / 8 * Q8_0_BYTES;
    unit.q = block_u32(block + 2 + u % 8 * 4);
    unit.scale = block_half(block) * (1.0f / 16777216.0f);
}

static inline uint unit_column(thread const q8_0_unit &unit, uint u, uint piece) {
    return 4 * u;
}

static inline float4 unit_piece(thread const q8_0_unit &unit, uint piece) {
    return unit_signed(unit.q);
}

/* Eight bytes of a half of a block: eight neighbours in each of its four rows of 32 weights. */
struct q2_k_unit {
    enum { WEIGHTS = 32, PIECES = 8, SCALED = 0, AHEAD = 1 };
    uint q[2], scales[2]; /* scales: bytes 0 and 2 belong to the unit's rows */
    float d, min, scale;
};

static inline void unit_load(thread q2_k_unit &unit, device const uchar *row, uint u,
                             threadgroup const grid_word *grid) {
    device const uchar *block = row + u / 8 * Q2_K_BYTES;
    device const uint *scales = (device const uint *)(block + u % 8 / 4 * 8);
    device const uint *q = (device const uint *)(block + 16 + u % 8 * 8);
    unit.q[0] = q[0];
    unit.q[1] = q[1];
    unit.scales[0] = scales[0] >> u % 4 / 2 * 8;
    unit.scales[1] = scales[1] >> u % 4 / 2 * 8;
    unit.d = block_half(block + 80);
    unit.min = block_half(block + 82);
    unit.scale = 1.0f;
}

static inline uint unit_column(thread const q2_k_unit &unit, uint u, uint piece) {
    return u / 4 * 128 + piece / 2 * 32 + u % 4 * 8 + piece % 2 * 4;
}

static inline float4 unit_piece(thread const q2_k_unit &unit, uint piece) {
    uint scale = unit.scales[piece / 4] >> piece / 2 % 2 * 16;
    return unit_unpack(unit.q[piece % 2] >> piece / 2 * 2, 3, unit.d * float(scale & 15),
                       unit.min * float(scale >> 4 & 15));
}

/* Eight bytes of a block: eight neighbours in each of two sub-blocks. */
struct q4_k_unit {
    enum { WEIGHTS = 16, PIECES = 4, SCALED = 0, AHEAD = 2 };
    uint2 q;
    float scales[2], mins[2], scale;
};

static inline void unit_load(thread q4_k_unit &unit, device const uchar *row, uint u,
                             threadgroup const grid_word *grid) {
    device const uchar *block = row + u / 16 * Q4_K_BYTES;
    unit.q = *(device const uint2 *)(block + 16 + u % 16 * 8);
    float d = block_half(block), min = block_half(block + 2);
    for (uint i = 0; i < 2; i++) {
        uint2 scale = q4_k_scale(block, u % 16 / 4 * 2 + i);
        unit.scales[i] = d * float(scale.x);
        unit.mins[i] = min * float(scale.y);
    }
    unit.scale = 1.0f;
}

static inline uint unit_column(thread const q4_k_unit &unit, uint u, uint piece) {
    return u / 4 * 64 + piece / 2 * 32 + u % 4 * 8 + piece % 2 * 4;
}

static inline float4 unit_piece(thread const q4_k_unit &unit, uint piece) {
    uint q = piece % 2 ? unit.q.y : unit.q.x;
    return unit_unpack(q >> piece / 2 * 4, 15, unit.scales[piece / 2], unit.mins[piece / 2]);
}

struct iq2_xxs_unit {
    enum { WEIGHTS = 8, PIECES = 2, SCALED = 1, AHEAD = 2 };
    uint4 q; /* eight halves */
    float scale;
};

static inline void unit_load(thread iq2_xxs_unit &unit, device const uchar *row, uint u,
                             threadgroup const grid_word *grid) {
    device const uchar *block = row + u / 32 * IQ2_XXS_BYTES, *group = block + 2 + u % 32 / 4 * 8;
    uint a = block_u32(group + 4), signs = iq2_xxs_signs(a >> 7 * (u % 4) & 127);
    /* The product puts the lowest two of eight bits where two halves have their signs. */
    uint4 minus = uint4(signs, signs >> 2, signs >> 4, signs >> 6) * 0x40008000u & 0x80008000u;
    unit.q = grid[group[u % 4]] ^ minus;
    unit.scale = block_half(block) * (0.5f + float(a >> 28)) * 0.25f;
}

static inline uint unit_column(thread const iq2_xxs_unit &unit, uint u, uint piece) {
    return 8 * u + 4 * piece;
}

static inline float4 unit_piece(thread const iq2_xxs_unit &unit, uint piece) {
    return float4(as_type<half4>(piece ? unit.q.zw : unit.q.xy));
}

/* Four magnitudes as halves. */
static inline uint2 unit_grid_half(uint codes) {
    uint4 code = uint4(codes, codes >> 2, codes >> 4, codes >> 6) & 3;
    return as_type<uint2>(half4(8 + 17 * code + (code >> 1)));
}

/* A barrier must follow. */
static inline void unit_fill_grid(threadgroup grid_word *grid, uint thread_index) {
    if (!(WEIGHT_TYPES & HAS_IQ2_XXS)) return;
    for (uint i = thread_index; i < 256; i += MATVEC_THREADS) {
        uint codes = iq2_xxs_codes[i];
        grid[i] = uint4(unit_grid_half(codes), unit_grid_half(codes >> 8));
    }
}

/* ---- dot products of R rows and up to N tokens ----
 * Always inlined, lest the task's arrays lie in memory. */

template <uint N, uint R> struct dot_task {
    device const uchar *row[R];
    device const float *x, *gain;
    uint token_at[N]; /* the input of token t begins at x[token_at[t]]; this is valid for every t < N */
    uint n_columns, n_tokens;
    float sum[R][N], squares[N];
};

/* GAIN: inputs are multiplied by gain[column], and their squares are summed, too. The loop must stay without branches
 * (but for large N), or loads would not run ahead. */
template <class UNIT, bool GAIN, uint N, uint R>
__attribute__((always_inline)) static inline void dot_units(thread dot_task<N, R> &task,
                                                            threadgroup const grid_word *grid, uint lane) {
    enum { EARLY = UNIT::WEIGHTS > 4 }; /* units that take long to unpack: the next ones are loaded meanwhile */
    uint n_units = task.n_columns / UNIT::WEIGHTS;
    UNIT next[R];
#pragma clang loop unroll(full)
    for (uint r = 0; r < R; r++)
        if (EARLY) unit_load(next[r], task.row[r], min(lane, n_units - 1), grid);
#pragma clang loop unroll_count(N > 4 ? 1 : (2 * UNIT::AHEAD + R - 1) / R)
    for (uint u = lane; u < n_units; u += 32) {
        UNIT unit[R];
        float part[R][N];
#pragma clang loop unroll(full)
        for (uint r = 0; r < R; r++) {
            if (EARLY) {
                unit[r] = next[r];
                unit_load(next[r], task.row[r], min(u + 32, n_units - 1), grid);
            } else
                unit_load(unit[r], task.row[r], u, grid);
#pragma clang loop unroll(full)
            for (uint t = 0; t < N; t++) part[r][t] = UNIT::SCALED ? 0.0f : task.sum[r][t];
        }
#pragma clang loop unroll(full)
        for (uint piece = 0; piece < UNIT::PIECES; piece++) {
            uint column = unit_column(unit[0], u, piece);
            float4 w[R], gain = float4(1.0f);
#pragma clang loop unroll(full)
            for (uint r = 0; r < R; r++) w[r] = unit_piece(unit[r], piece);
            if (GAIN) gain = *(device const float4 *)(task.gain + column);
#pragma clang loop unroll(full)
            for (uint four = 0; four < N; four += 4) {
                if (four != 0 && four >= task.n_tokens) continue;
#pragma clang loop unroll(full)
                for (uint t = four; t < min(four + 4, N); t++) {
                    float4 x = *(device const float4 *)(task.x + task.token_at[t] + column);
                    if (GAIN) {
                        task.squares[t] = fma(x.x, x.x, task.squares[t]);
                        task.squares[t] = fma(x.y, x.y, task.squares[t]);
                        task.squares[t] = fma(x.z, x.z, task.squares[t]);
                        task.squares[t] = fma(x.w, x.w, task.squares[t]);
                        x *= gain;
                    }
#pragma clang loop unroll(full)
                    for (uint r = 0; r < R; r++) {
                        part[r][t] = fma(w[r].x, x.x, part[r][t]);
                        part[r][t] = fma(w[r].y, x.y, part[r][t]);
                        part[r][t] = fma(w[r].z, x.z, part[r][t]);
                        part[r][t] = fma(w[r].w, x.w, part[r][t]);
                    }
                }
            }
        }
#pragma clang loop unroll(full)
        for (uint r = 0; r < R; r++)
#pragma clang loop unroll(full)
            for (uint t = 0; t < N; t++)
                task.sum[r][t] = UNIT::SCALED ? fma(unit[r].scale, part[r][t], task.sum[r][t]) : part[r][t];
    }
}

/* For rows that vectors of four do not fit: one weight at a time. */
template <bool GAIN, uint N, uint R>
__attribute__((always_inline)) static inline void dot_single(thread dot_task<N, R> &task, uint type, uint lane) {
    for (uint i = lane; i < task.n_columns; i += 32) {
        float w[R], gain = 1.0f;
        if (GAIN) gain = task.gain[i];
#pragma clang loop unroll(full)
        for (uint r = 0; r < R; r++) w[r] = weight_at(type, task.row[r], i);
#pragma clang loop unroll(full)
        for (uint t = 0; t < N; t++) {
            float x = task.x[task.token_at[t] + i];
            if (GAIN) task.squares[t] = fma(x, x, task.squares[t]);
#pragma clang loop unroll(full)
            for (uint r = 0; r < R; r++) task.sum[r][t] = fma(w[r], x * gain, task.sum[r][t]);
        }
    }
}

/* task.sum (and squares, if GAIN), complete in every lane. x_stride: what token_at are multiples of. */
template <bool GAIN, uint N, uint R>
__attribute__((always_inline)) static inline void dot_rows(thread dot_task<N, R> &task, uint type, uint row_bytes,
                                                           uint x_stride, threadgroup const grid_word *grid,
                                                           uint lane) {
#pragma clang loop unroll(full)
    for (uint t = 0; t < N; t++) {
        task.squares[t] = 0.0f;
#pragma clang loop unroll(full)
        for (uint r = 0; r < R; r++) task.sum[r][t] = 0.0f;
    }
    bool single = x_stride % 4 != 0;
    if (type == TYPE_F32) single = single || row_bytes % 16 != 0;
    if (type == TYPE_F16) single = single || row_bytes % 8 != 0;
    if (single)
        dot_single<GAIN>(task, type, lane);
    else if ((WEIGHT_TYPES & HAS_F32) && type == TYPE_F32)
        dot_units<f32_unit, GAIN>(task, grid, lane);
    else if ((WEIGHT_TYPES & HAS_F16) && type == TYPE_F16)
        dot_units<f16_unit, GAIN>(task, grid, lane);
    else if ((WEIGHT_TYPES & HAS_Q8_0) && type == TYPE_Q8_0)
        dot_units<q8_0_unit, GAIN>(task, grid, lane);
    else if ((WEIGHT_TYPES & HAS_Q2_K) && type == TYPE_Q2_K)
        dot_units<q2_k_unit, GAIN>(task, grid, lane);
    else if ((WEIGHT_TYPES & HAS_Q4_K) && type == TYPE_Q4_K)
        dot_units<q4_k_unit, GAIN>(task, grid, lane);
    else if ((WEIGHT_TYPES & HAS_IQ2_XXS) && type == TYPE_IQ2_XXS)
        dot_units<iq2_xxs_unit, GAIN>(task, grid, lane);
#pragma clang loop unroll(full)
    for (uint t = 0; t < N; t++) {
        if (GAIN) task.squares[t] = simd_sum(task.squares[t]);
#pragma clang loop unroll(full)
        for (uint r = 0; r < R; r++) task.sum[r][t] = simd_sum(task.sum[r][t]);
    }
}

/* sum[r][t] in lane r * N + t; R * N is at most 32. */
template <uint N, uint R> static inline float dot_spread(thread const dot_task<N, R> &task, uint first, uint lane) {
    float mine = 0.0f;
#pragma clang loop unroll(full)
    for (uint r = first; r < R; r++)
#pragma clang loop unroll(full)
        for (uint t = 0; t < N; t++) mine = lane == (r - first) * N + t ? task.sum[r][t] : mine;
    return mine;
}

/* ---- matrices that share an input ---- */

/* x: [T][x_stride], its address a multiple of 16; gain: [n_columns]; T <= N. Groups: those of all jobs. */
template <uint N>
[[max_total_threads_per_threadgroup(MATVEC_THREADS)]] kernel void matvec(
    constant matrix_params &p [[buffer(0)]], device const float *x [[buffer(1)]],
    device const float *gain [[buffer(2)]], device const uchar *w0 [[buffer(3)]],
    device const uchar *w1 [[buffer(4)]], device const uchar *w2 [[buffer(5)]], device const uchar *w3 [[buffer(6)]],
    device const uchar *w4 [[buffer(7)]], device const uchar *w5 [[buffer(8)]], device const uchar *w6 [[buffer(9)]],
    device float *y0 [[buffer(10)]], device float *y1 [[buffer(11)]], device float *y2 [[buffer(12)]],
    device float *y3 [[buffer(13)]], device float *y4 [[buffer(14)]], device float *y5 [[buffer(15)]],
    device float *y6 [[buffer(16)]], uint group [[threadgroup_position_in_grid]],
    uint thread_index [[thread_index_in_threadgroup]], uint simd [[simdgroup_index_in_threadgroup]],
    uint lane [[thread_index_in_simdgroup]]) {
    threadgroup grid_word grid[256];
    unit_fill_grid(grid, thread_index);
    threadgroup_barrier(mem_flags::mem_threadgroup);

    uint j = 0;
    while (j + 1 < p.n_jobs && group >= p.job[j + 1].first_group) j++;
    constant matrix_job &job = p.job[j];
    device const uchar *w = j == 0 ? w0 : j == 1 ? w1 : j == 2 ? w2 : j == 3 ? w3 : j == 4 ? w4 : j == 5 ? w5 : w6;
    device float *y = j == 0 ? y0 : j == 1 ? y1 : j == 2 ? y2 : j == 3 ? y3 : j == 4 ? y4 : j == 5 ? y5 : y6;

    uint first = (group - job.first_group) * MATVEC_ROWS + simd * SIMD_ROWS, last = job.n_rows - 1;
    if (first > last) return; /* no barrier follows */
    dot_task<N, SIMD_ROWS> task;
    task.x = x;
    task.gain = gain;
    task.n_columns = p.n_columns;
    task.n_tokens = p.n_tokens;
#pragma clang loop unroll(full)
    for (uint r = 0; r < SIMD_ROWS; r++) task.row[r] = w + ulong(min(first + r, last)) * job.row_bytes;
    uint x_stride = p.x_stride, n_passes = 1;
    if (p.group_rows) {
        x_stride |= p.group_columns;
        /* Rows of different groups: all of them with the input of each, of which only its own is right. */
        if (first / p.group_rows != min(first + SIMD_ROWS - 1, last) / p.group_rows) n_passes = SIMD_ROWS;
    }
    float sum = 0.0f, squares = 0.0f; /* of row lane / N and token lane % N */
    for (uint pass = 0; pass < n_passes; pass++) {
        uint at = p.group_rows ? min(first + pass, last) / p.group_rows * p.group_columns : 0;
#pragma clang loop unroll(full)
        for (uint t = 0; t < N; t++) task.token_at[t] = min(t, p.n_tokens - 1) * p.x_stride + at;
        if (p.has_gain)
            dot_rows<true>(task, job.type, job.row_bytes, x_stride, grid, lane);
        else
            dot_rows<false>(task, job.type, job.row_bytes, x_stride, grid, lane);
        if (lane / N >= pass) {
            sum = dot_spread(task, 0, lane);
#pragma clang loop unroll(full)
            for (uint t = 0; t < N; t++) squares = lane % N == t ? task.squares[t] : squares;
        }
    }

    uint row = first + lane / N, t = lane % N;
    if (lane >= SIMD_ROWS * N || row > last || t >= p.n_tokens) return;
    if (p.has_gain) sum *= 1.0f / precise::sqrt(squares / float(p.n_columns) + p.epsilon);
    y[t * (p.y_stride ? p.y_stride : job.n_rows) + row] = sum;
}

typedef decltype(matvec<1>) matvec_kernel;
template [[host_name("matvec_1")]] kernel matvec_kernel matvec<1>;
template [[host_name("matvec_4")]] kernel matvec_kernel matvec<4>;
template [[host_name("matvec_16")]] kernel matvec_kernel matvec<MAX_MATVEC_TOKENS>;

/* ---- experts ----
 * Slot p < T * n_used is the pair (token p / n_used, its expert number p % n_used), slot T * n_used + t the shared
 * expert of token t. The pairs with one expert are worked on together, by the first one's threadgroups. */

/* The tokens that threadgroups of grid row `slot` work on: lane t < T gets the slot of token t, the other lanes -1.
 * expert: [T][n_used]. Nothing at all if an earlier token's slot does it. A token that names an expert twice (only
 * tables can) has two slots for it: the n-th goes with the n-th of the other tokens. */
static inline int expert_slot(constant expert_params &p, threadgroup const int *expert, uint slot, uint lane) {
    uint n_pairs = p.n_tokens * p.n_used;
    if (slot == n_pairs) return lane < p.n_tokens ? int(slot + lane) : -1;
    uint token = slot / p.n_used, before = 0;
    for (uint i = token * p.n_used; i < slot; i++) before += expert[i] == expert[slot] ? 1 : 0;
    int mine = -1;
    if (lane < p.n_tokens)
        for (uint i = lane * p.n_used; i < (lane + 1) * p.n_used; i++)
            if (expert[i] == expert[slot] && before-- == 0) mine = int(i);
    return simd_max(mine >= 0 && lane < token ? 1 : 0) ? -1 : mine;
}

/* The slots of the N tokens that come first, or of fewer and then the first one's again. Returns how many, and takes
 * them out. */
template <uint N> static inline uint expert_take(thread int &mine, thread uint *slot) {
    uint here = mine >= 0 ? 1 : 0, rank = simd_prefix_exclusive_sum(here), n = simd_sum(here);
#pragma clang loop unroll(full)
    for (uint i = 0; i < N; i++) {
        uint taken = uint(simd_max(here && rank == i ? mine : 0));
        slot[i] = i == 0 || i < n ? taken : slot[0];
    }
    if (rank < N) mine = -1;
    return min(n, N);
}

/* hidden[slot] = silu(min(gate, limit)) * clamp(up, -limit, limit) * weight, [T * n_used + T][F]; T <= 16.
 * x: [T][D], its address a multiple of 16. Unless CHOSEN, every threadgroup chooses the experts from logits, bias and
 * fixed as choose_experts does, and the first one writes expert_of and weight_of: one token needs no dispatch for that.
 * If CHOSEN, choose_experts has written them. N: tokens at a time; most experts have one token of a small batch.
 * Groups: ceil(F / MATVEC_ROWS), T * n_used + 1. */
template <uint N, bool CHOSEN>
[[max_total_threads_per_threadgroup(MATVEC_THREADS)]] kernel void expert_inputs(
    constant expert_params &p [[buffer(0)]], device const float *x [[buffer(1)]],
    device const float *logits [[buffer(2)]], device const float *bias [[buffer(3)]],
    device const int *fixed [[buffer(4)]], device const token_info *token [[buffer(5)]],
    device const uchar *gate [[buffer(6)]], device const uchar *up [[buffer(7)]],
    device const uchar *shared_gate [[buffer(8)]], device const uchar *shared_up [[buffer(9)]],
    device float *hidden [[buffer(10)]], device int *expert_of [[buffer(11)]],
    device float *weight_of [[buffer(12)]], uint2 group [[threadgroup_position_in_grid]],
    uint thread_index [[thread_index_in_threadgroup]], uint simd [[simdgroup_index_in_threadgroup]],
    uint lane [[thread_index_in_simdgroup]]) {
    threadgroup grid_word grid[256];
    threadgroup int expert[MAX_MATVEC_TOKENS * MAX_USED];
    threadgroup float weight[MAX_MATVEC_TOKENS * MAX_USED];
    uint n_pairs = p.n_tokens * p.n_used;
    bool is_shared = group.y == n_pairs;
    if (CHOSEN) {
        for (uint i = thread_index; i < n_pairs; i += MATVEC_THREADS) {
            expert[i] = expert_of[i];
            weight[i] = weight_of[i];
        }
    } else if (!is_shared) {
        for (uint t = simd; t < p.n_tokens; t += SIMD_GROUPS) {
            float lane_weight;
            uint chosen = route_token(p, logits + t * p.n_experts, bias, fixed + ulong(token[t].token) * p.n_used, lane,
                                      lane_weight);
            if (lane >= p.n_used) continue;
            expert[t * p.n_used + lane] = int(chosen);
            weight[t * p.n_used + lane] = lane_weight;
        }
    }
    unit_fill_grid(grid, thread_index);
    threadgroup_barrier(mem_flags::mem_threadgroup);
    if (!CHOSEN && group.x == 0 && group.y == 0)
        for (uint i = thread_index; i < n_pairs; i += MATVEC_THREADS) {
            expert_of[i] = expert[i];
            weight_of[i] = weight[i];
        }

    uint first = group.x * MATVEC_ROWS + simd * SIMD_ROWS, last = p.expert_width - 1;
    if (first > last) return; /* no barrier follows */
    int mine = expert_slot(p, expert, group.y, lane);
    ulong matrix = is_shared ? 0 : ulong(expert[group.y]) * p.expert_width;
    uint gate_type = is_shared ? p.shared_gate_type : p.gate_type;
    uint up_type = is_shared ? p.shared_up_type : p.up_type;
    uint gate_bytes = is_shared ? p.shared_gate_row_bytes : p.gate_row_bytes;
    uint up_bytes = is_shared ? p.shared_up_row_bytes : p.up_row_bytes;
    bool together = gate_type == up_type && gate_bytes == up_bytes;

    dot_task<N, 2 * SIMD_ROWS> task; /* rows of gate, then of up */
    task.x = x;
    task.gain = x;
    task.n_columns = p.width;
    uint slot[N];
    while ((task.n_tokens = expert_take<N>(mine, slot)) != 0) {
#pragma clang loop unroll(full)
        for (uint t = 0; t < N; t++)
            task.token_at[t] = (is_shared ? slot[t] - n_pairs : slot[t] / p.n_used) * p.width;
        float gate_sum = 0.0f, up_sum = 0.0f; /* of row lane / N and token lane % N */
        for (uint pass = 0; pass < (together ? 1u : 2u); pass++) {
            /* Of matrices of different types each gets a pass of its own, in both halves of the rows. */
            bool up_first = pass == 1, up_last = together || pass == 1;
#pragma clang loop unroll(full)
            for (uint r = 0; r < SIMD_ROWS; r++) {
                ulong row = matrix + min(first + r, last);
                device const uchar *gate_row = (is_shared ? shared_gate : gate) + row * gate_bytes;
                device const uchar *up_row = (is_shared ? shared_up : up) + row * up_bytes;
                task.row[r] = up_first ? up_row : gate_row;
                task.row[SIMD_ROWS + r] = up_last ? up_row : gate_row;
            }
            dot_rows<false>(task, up_first ? up_type : gate_type, up_first ? up_bytes : gate_bytes, p.width, grid,
                            lane);
            if (!up_first) gate_sum = dot_spread(task, 0, lane);
            if (up_last) up_sum = dot_spread(task, SIMD_ROWS, lane);
        }
        uint row = first + lane / N, t = lane % N;
        if (lane < SIMD_ROWS * N && row <= last && t < task.n_tokens) {
            uint at = slot[0];
#pragma clang loop unroll(full)
            for (uint i = 1; i < N; i++) at = t == i ? slot[i] : at;
            float g = min(gate_sum, p.limit), u = max(min(up_sum, p.limit), -p.limit);
            /* exp of at most 80: the quotient is next to 0 by then, and nothing must overflow */
            float y = g / (1.0f + precise::exp(min(-g, 80.0f))) * u * (is_shared ? 1.0f : weight[at]);
            hidden[at * p.expert_width + row] = y;
        }
    }
}

/* experts_gate_up_one: a batch of one token. */
typedef decltype(expert_inputs<1, false>) expert_inputs_kernel;
template [[host_name("experts_gate_up_one")]] kernel expert_inputs_kernel expert_inputs<1, false>;
template [[host_name("experts_gate_up")]] kernel expert_inputs_kernel expert_inputs<EXPERT_TOKENS, true>;

/* T = 1: y[D] = shared + d_0 + d_1 ... hidden: [n_used + 1][F], its address a multiple of 16; expert: [n_used].
 * Groups: ceil(D / MATVEC_ROWS). The SIMD-groups share the matrices, not the rows: more is read at a time. */
[[max_total_threads_per_threadgroup(MATVEC_THREADS)]] kernel void experts_down_one(
    constant expert_params &p [[buffer(0)]], device const float *hidden [[buffer(1)]],
    device const int *expert [[buffer(2)]], device const uchar *down [[buffer(3)]],
    device const uchar *shared_down [[buffer(4)]], device float *y [[buffer(5)]],
    uint group [[threadgroup_position_in_grid]], uint thread_index [[thread_index_in_threadgroup]],
    uint simd [[simdgroup_index_in_threadgroup]], uint lane [[thread_index_in_simdgroup]]) {
    threadgroup grid_word grid[256];
    threadgroup float part[MAX_USED + 1][MATVEC_ROWS];
    unit_fill_grid(grid, thread_index);
    threadgroup_barrier(mem_flags::mem_threadgroup);

    uint first = group * MATVEC_ROWS, last = p.width - 1;
    for (uint i = simd; i < (p.n_used + 1) * (MATVEC_ROWS / DOWN_ROWS); i += SIMD_GROUPS) {
        uint slot = i / (MATVEC_ROWS / DOWN_ROWS), row = i % (MATVEC_ROWS / DOWN_ROWS) * DOWN_ROWS;
        bool is_shared = slot == p.n_used;
        ulong matrix = is_shared ? 0 : ulong(expert[slot]) * p.width;
        uint row_bytes = is_shared ? p.shared_down_row_bytes : p.down_row_bytes;
        dot_task<1, DOWN_ROWS> task;
        task.x = task.gain = hidden;
        task.n_columns = p.expert_width;
        task.n_tokens = 1;
        task.token_at[0] = slot * p.expert_width;
#pragma clang loop unroll(full)
        for (uint r = 0; r < DOWN_ROWS; r++) {
            task.row[r] = (is_shared ? shared_down : down) + (matrix + min(first + row + r, last)) * row_bytes;
        }
        dot_rows<false>(task, is_shared ? p.shared_down_type : p.down_type, row_bytes, p.expert_width, grid, lane);
        float sum = dot_spread(task, 0, lane);
        if (lane < DOWN_ROWS) part[slot][row + lane] = sum;
    }
    threadgroup_barrier(mem_flags::mem_threadgroup);
    if (thread_index >= MATVEC_ROWS || first + thread_index > last) return;
    float sum = part[p.n_used][thread_index];
    for (uint k = 0; k < p.n_used; k++) sum += part[k][thread_index];
    y[first + thread_index] = sum;
}

/* down[slot] = the slot's expert's matrix * hidden[slot], [T * n_used + T][D]; T <= 16. hidden, expert: as written by
 * experts_gate_up. Groups: ceil(D / MATVEC_ROWS), T * n_used + 1. */
[[max_total_threads_per_threadgroup(MATVEC_THREADS)]] kernel void experts_down(
    constant expert_params &p [[buffer(0)]], device const float *hidden [[buffer(1)]],
    device const int *expert [[buffer(2)]], device const uchar *w [[buffer(3)]],
    device const uchar *shared_w [[buffer(4)]], device float *down [[buffer(5)]],
    uint2 group [[threadgroup_position_in_grid]], uint thread_index [[thread_index_in_threadgroup]],
    uint simd [[simdgroup_index_in_threadgroup]], uint lane [[thread_index_in_simdgroup]]) {
    threadgroup grid_word grid[256];
    threadgroup int chosen[MAX_MATVEC_TOKENS * MAX_USED];
    uint n_pairs = p.n_tokens * p.n_used;
    for (uint i = thread_index; i < n_pairs; i += MATVEC_THREADS) chosen[i] = expert[i];
    unit_fill_grid(grid, thread_index);
    threadgroup_barrier(mem_flags::mem_threadgroup);

    uint first = group.x * MATVEC_ROWS + simd * SIMD_ROWS, last = p.width - 1;
    if (first > last) return; /* no barrier follows */
    bool is_shared = group.y == n_pairs;
    int mine = expert_slot(p, chosen, group.y, lane);
    ulong matrix = is_shared ? 0 : ulong(chosen[group.y]) * p.width;
    uint row_bytes = is_shared ? p.shared_down_row_bytes : p.down_row_bytes;
    dot_task<EXPERT_TOKENS, SIMD_ROWS> task;
    task.x = task.gain = hidden;
    task.n_columns = p.expert_width;
#pragma clang loop unroll(full)
    for (uint r = 0; r < SIMD_ROWS; r++) {
        task.row[r] = (is_shared ? shared_w : w) + (matrix + min(first + r, last)) * row_bytes;
    }
    uint slot[EXPERT_TOKENS];
    while ((task.n_tokens = expert_take<EXPERT_TOKENS>(mine, slot)) != 0) {
#pragma clang loop unroll(full)
        for (uint t = 0; t < EXPERT_TOKENS; t++) task.token_at[t] = slot[t] * p.expert_width;
        dot_rows<false>(task, is_shared ? p.shared_down_type : p.down_type, row_bytes, p.expert_width, grid, lane);
        float sum = dot_spread(task, 0, lane);
        uint row = first + lane / EXPERT_TOKENS, t = lane % EXPERT_TOKENS, at = slot[0];
#pragma clang loop unroll(full)
        for (uint i = 1; i < EXPERT_TOKENS; i++) at = t == i ? slot[i] : at;
        if (lane < SIMD_ROWS * EXPERT_TOKENS && row <= last && t < task.n_tokens) down[at * p.width + row] = sum;
    }
}

/* y[T][D] = shared + d_0 + d_1 ..., as experts_down_one adds them. Groups: ceil(D / 256), T. */
[[max_total_threads_per_threadgroup(256)]] kernel void experts_sum(
    constant expert_params &p [[buffer(0)]], device const float *down [[buffer(1)]], device float *y [[buffer(2)]],
    uint2 group [[threadgroup_position_in_grid]], uint thread_index [[thread_index_in_threadgroup]]) {
    uint i = group.x * 256 + thread_index, t = group.y;
    if (i >= p.width) return;
    float sum = down[ulong(p.n_tokens * p.n_used + t) * p.width + i];
    for (uint k = 0; k < p.n_used; k++) sum += down[ulong(t * p.n_used + k) * p.width + i];
    y[ulong(t) * p.width + i] = sum;
}
