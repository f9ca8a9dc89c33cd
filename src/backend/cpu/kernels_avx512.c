/*
 * Inner loops for AVX-512 with VNNI, VBMI and GFNI: Intel since Ice Lake, AMD since Zen 4.
 *
 * A vector has sixteen rows: lane r of it is four neighbouring weights of row r, as vpdpbusd wants them. Inputs are
 * broadcast from memory. So no sum ever has to be gathered from lanes, scales are applied to sixteen rows at once, and
 * a step of one token costs what a step of many does. Blocks get there by transposing what is stored, before it is
 * decoded: 64 bytes of sixteen rows are 80 instructions and, in two bits each, 4096 weights.
 *
 * Only Q8_0 with one token is different: its blocks take as long either way, and walking along the rows reads memory in
 * the best order.
 *
 * vpdpbusd multiplies unsigned bytes with signed ones. Signed weights are stored with a constant added; sums start at
 * minus this constant times the sum of the input's values, which comes with the input.
 */
#include "backend/cpu/kernels.h"

#if defined(__x86_64__)
#include "gguf/iq2_grid.h"

#include <assert.h>
#include <immintrin.h>

#include "backend/cpu/float_kernels.inc"

#define INLINE static inline __attribute__((always_inline))
/* Loops over arrays that are to stay in registers. */
#if defined(UNROLL) /* by a test */
#elif defined(__clang__)
#define UNROLL _Pragma("clang loop unroll(full)")
#else
#define UNROLL _Pragma("GCC unroll 16")
#endif

enum {
    ROWS = PANEL_ROWS, /* of a vector */
    PANELS = 2,        /* vectors of rows that share a broadcast input */
    TOKENS = 6,        /* PANELS * TOKENS sums, twice, fit the registers */
    VECTOR = 64,       /* bytes */
};
static_assert(ROWS == 16, "a row is a lane");

/* ---- loads ---- */

INLINE int32_t load_i32(const void *from) {
    int32_t value;
    memcpy(&value, from, sizeof value);
    return value;
}

INLINE __m128i load_128(const void *from) {
    return _mm_loadu_si128(from);
}

INLINE __m512i load_512(const void *from) {
    return _mm512_loadu_si512(from);
}

INLINE __m512 halves_to_floats(const void *halves) {
    return _mm512_cvtph_ps(_mm256_loadu_si256(halves));
}

/* Lanes of the first n rows. */
INLINE __mmask16 first_lanes(size_t n) {
    return (__mmask16)(n < ROWS ? (1u << n) - 1 : 0xffff);
}

/*
 * Rows are read in step, `n` of them at a time. Processors fetch ahead within a page only; so what comes `ahead` bytes
 * later is asked for, behind the end of these rows in the next n. Returns its place, relative to the row.
 */
INLINE size_t place_ahead(size_t at, size_t ahead, const product *p, size_t first_row, size_t n) {
    size_t next = at + ahead;
    if (next < p->row_bytes) return next;
    return first_row + n < p->n_rows ? next - p->row_bytes + n * p->row_bytes : at;
}

INLINE void prefetch(const uint8_t *from, size_t n_bytes) {
    for (size_t i = 0; i < n_bytes; i += 64) __builtin_prefetch(from + i);
}

/* Sixteen bytes of each row: out[i] is bytes 4i .. 4i + 3, a row a lane. */
INLINE void load_columns(const uint8_t *const row[ROWS], size_t at, __m512i out[4]) {
    __m512i in[4];
    UNROLL for (int i = 0; i < 4; i++) {
        in[i] = _mm512_castsi128_si512(load_128(row[i] + at));
        in[i] = _mm512_inserti32x4(in[i], load_128(row[4 + i] + at), 1);
        in[i] = _mm512_inserti32x4(in[i], load_128(row[8 + i] + at), 2);
        in[i] = _mm512_inserti32x4(in[i], load_128(row[12 + i] + at), 3);
    }
    __m512i a = _mm512_unpacklo_epi32(in[0], in[1]), b = _mm512_unpacklo_epi32(in[2], in[3]);
    __m512i c = _mm512_unpackhi_epi32(in[0], in[1]), d = _mm512_unpackhi_epi32(in[2], in[3]);
    out[0] = _mm512_unpacklo_epi64(a, b);
    out[1] = _mm512_unpackhi_epi64(a, b);
    out[2] = _mm512_unpacklo_epi64(c, d);
    out[3] = _mm512_unpackhi_epi64(c, d);
}

/* ---- quantising ---- */

INLINE __m512i magnitude_bits(__m512 x) {
    return _mm512_and_si512(_mm512_castps_si512(x), _mm512_set1_epi32(0x7fffffff));
}

/* A group of n values, sums of each n_summed. As integers, the bits of magnitudes are in order, with NaN the largest.
 */
INLINE float quantise_group(const float *x, const int n, int8_t *q, int16_t *sum, const int n_summed) {
    __m512i most = _mm512_setzero_si512();
    for (int i = 0; i < n; i += 16) most = _mm512_max_epi32(most, magnitude_bits(_mm512_loadu_ps(x + i)));
    float largest = float_from_bits((uint32_t)_mm512_reduce_max_epi32(most));
    if (!(largest >= 0x1p-100f)) {
        memset(q, 0, (size_t)n);
        memset(sum, 0, (size_t)(n / n_summed) * sizeof *sum);
        return 0;
    }
    __m512 inverse = _mm512_set1_ps(127.0f / largest);
    for (int i = 0; i < n; i += n_summed) {
        __m512i total = _mm512_setzero_si512();
        for (int j = i; j < i + n_summed; j += 16) {
            __m512i value = _mm512_cvtps_epi32(_mm512_mul_ps(_mm512_loadu_ps(x + j), inverse));
            value = _mm512_max_epi32(_mm512_min_epi32(value, _mm512_set1_epi32(127)), _mm512_set1_epi32(-127));
            _mm_storeu_si128((void *)(q + j), _mm512_cvtepi32_epi8(value));
            total = _mm512_add_epi32(total, value);
        }
        sum[i / n_summed] = (int16_t)_mm512_reduce_add_epi32(total);
    }
    return largest / 127.0f;
}

static void quantise_32(const float *x, size_t n, int8_t *out) {
    float *scale = (float *)(uintptr_t)activation_scales(out, n);
    int16_t *sum = (int16_t *)(uintptr_t)activation_sums(ACTIVATION_Q32, out, n);
    for (size_t g = 0; g < n / 32; g++) scale[g] = quantise_group(x + 32 * g, 32, out + 32 * g, sum + g, 32);
}

static void quantise_256(const float *x, size_t n, int8_t *out) {
    float *scale = (float *)(uintptr_t)activation_scales(out, n);
    int16_t *sum = (int16_t *)(uintptr_t)activation_sums(ACTIVATION_Q256, out, n);
    for (size_t g = 0; g < n / 256; g++) scale[g] = quantise_group(x + 256 * g, 256, out + 256 * g, sum + 16 * g, 16);
}

/* ---- tiles: PANELS * ROWS rows and TOKENS tokens, or fewer ---- */

/* Calls tile(n_tokens, ...) with a constant. */
#define CALL_TILE(tile, n_tokens, ...)   \
    switch (n_tokens) {                  \
    case 1: tile(1, __VA_ARGS__); break; \
    case 2: tile(2, __VA_ARGS__); break; \
    case 3: tile(3, __VA_ARGS__); break; \
    case 4: tile(4, __VA_ARGS__); break; \
    case 5: tile(5, __VA_ARGS__); break; \
    case 6: tile(6, __VA_ARGS__); break; \
    }

/* Tokens of the next tile, if n are left: all tiles about alike. */
static int tile_tokens(int n) {
    int n_tiles = (n + TOKENS - 1) / TOKENS;
    return (n + n_tiles - 1) / n_tiles;
}

/* Rows of a tile; those that are missing are the last one again, and masked when results are stored. */
typedef struct tile_rows {
    const uint8_t *at[PANELS * ROWS];
    size_t first;
    __mmask16 mask[PANELS];
} tile_rows;

static tile_rows rows_from(const product *p, size_t first) {
    size_t n = p->n_rows - first;
    tile_rows rows = {.first = first};
    for (size_t i = 0; i < PANELS * ROWS; i++) rows.at[i] = p->w + (first + (i < n ? i : n - 1)) * p->row_bytes;
    for (size_t k = 0; k < PANELS; k++) rows.mask[k] = n > k * ROWS ? first_lanes(n - k * ROWS) : 0;
    return rows;
}

/* sum + products of 32 weights of a tile's rows, panels being `stride` bytes apart, with values of n_tokens. */
INLINE void add_32(__m512i sum[PANELS][TOKENS], const uint8_t *panel, size_t stride, const int8_t *const *q, size_t at,
                   const int n_tokens) {
    UNROLL for (size_t i = 0; i < 8; i++) {
        __m512i w[PANELS];
        UNROLL for (int k = 0; k < PANELS; k++) w[k] = load_512(panel + (size_t)k * stride + i * VECTOR);
        UNROLL for (int t = 0; t < n_tokens; t++) {
            __m512i x = _mm512_set1_epi32(load_i32(q[t] + at + 4 * i));
            UNROLL for (int k = 0; k < PANELS; k++) sum[k][t] = _mm512_dpbusd_epi32(sum[k][t], w[k], x);
        }
    }
}

/* ---- Q8_0, one token: along the rows ---- */

enum { CHUNK = 16, Q8_BYTES = 34, CHUNK_BYTES = CHUNK * Q8_BYTES, Q8_ROWS = 4, Q8_AHEAD = 2 * CHUNK_BYTES };

/* Sixteen blocks of the input, blocks i and i + 8 side by side. */
typedef struct chunk_input {
    int8_t q[8][VECTOR];
    int32_t start[CHUNK]; /* -128 * sum */
    float scale[CHUNK];
} chunk_input;

static void chunk_inputs(const product *p, chunk_input *out) {
    const int8_t *q = p->x[0];
    const float *scale = activation_scales(q, p->n);
    const int16_t *sum = activation_sums(ACTIVATION_Q32, q, p->n);
    for (size_t b = 0; b < p->n / 32; b++) {
        chunk_input *chunk = out + b / CHUNK;
        if (b % CHUNK == 0) memset(chunk, 0, sizeof *chunk);
        memcpy(chunk->q[b % 8] + b % CHUNK / 8 * 32, q + 32 * b, 32);
        chunk->start[b % CHUNK] = -128 * sum[b];
        chunk->scale[b % CHUNK] = scale[b];
    }
}

INLINE __m512i add_pairs_32(__m512i a, __m512i b) {
    return _mm512_add_epi32(_mm512_unpacklo_epi32(a, b), _mm512_unpackhi_epi32(a, b));
}

INLINE __m512i add_pairs_64(__m512i a, __m512i b) {
    return _mm512_add_epi32(_mm512_unpacklo_epi64(a, b), _mm512_unpackhi_epi64(a, b));
}

/* Products of sixteen blocks of a row, in order. */
INLINE __m512i chunk_dots(const uint8_t *w, const chunk_input *x) {
    __m512i sum[8];
    UNROLL for (int i = 0; i < 8; i++) {
        __m512i pair = _mm512_castsi256_si512(_mm256_loadu_si256((const void *)(w + i * Q8_BYTES + 2)));
        pair = _mm512_inserti64x4(pair, _mm256_loadu_si256((const void *)(w + (i + 8) * Q8_BYTES + 2)), 1);
        pair = _mm512_xor_si512(pair, _mm512_set1_epi8((char)0x80));
        sum[i] = _mm512_dpbusd_epi32(_mm512_setzero_si512(), pair, load_512(x->q[i]));
    }
    /* of blocks i .. i + 3, eight lanes each: two are left in each half */
    __m512i low = add_pairs_64(add_pairs_32(sum[0], sum[1]), add_pairs_32(sum[2], sum[3]));
    __m512i high = add_pairs_64(add_pairs_32(sum[4], sum[5]), add_pairs_32(sum[6], sum[7]));
    __m512i a = _mm512_permutex2var_epi64(low, _mm512_setr_epi64(0, 1, 8, 9, 4, 5, 12, 13), high);
    __m512i b = _mm512_permutex2var_epi64(low, _mm512_setr_epi64(2, 3, 10, 11, 6, 7, 14, 15), high);
    return _mm512_add_epi32(_mm512_add_epi32(a, b), load_512(x->start));
}

INLINE __m256 add_chunk(__m256 sum, const uint8_t *w, const chunk_input *x) {
    uint16_t half[CHUNK];
    UNROLL for (int i = 0; i < CHUNK; i++) memcpy(&half[i], w + i * Q8_BYTES, sizeof *half);
    __m512 dot = _mm512_cvtepi32_ps(chunk_dots(w, x));
    __m512 scale = _mm512_mul_ps(halves_to_floats(half), _mm512_loadu_ps(x->scale));
    sum = _mm256_fmadd_ps(_mm512_castps512_ps256(dot), _mm512_castps512_ps256(scale), sum);
    return _mm256_fmadd_ps(_mm512_extractf32x8_ps(dot, 1), _mm512_extractf32x8_ps(scale, 1), sum);
}

/* The n blocks behind the last whole chunk. What is added for those that are missing changes no sum: it is a zero, and
 * no sum is a negative zero. */
static __m256 add_rest(__m256 sum, const uint8_t *w, size_t n, const chunk_input *x) {
    uint8_t chunk[CHUNK_BYTES] = {0};
    memcpy(chunk, w, n * Q8_BYTES);
    return add_chunk(sum, chunk, x);
}

INLINE void q8_0_rows(const product *p, size_t r, const int n_rows, const chunk_input *x) {
    __m256 sum[Q8_ROWS];
    UNROLL for (int i = 0; i < n_rows; i++) sum[i] = _mm256_setzero_ps();
    size_t n_chunks = p->n / 32 / CHUNK, rest = p->n / 32 % CHUNK;
    const uint8_t *w = p->w + r * p->row_bytes;
    for (size_t c = 0; c < n_chunks; c++) {
        size_t at = c * CHUNK_BYTES, ahead = place_ahead(at, Q8_AHEAD, p, r, (size_t)n_rows);
        for (int i = 0; i < n_rows; i++) {
            const uint8_t *row = w + (size_t)i * p->row_bytes;
            prefetch(row + ahead, CHUNK_BYTES);
            sum[i] = add_chunk(sum[i], row + at, x + c);
        }
    }
    for (int i = 0; i < n_rows; i++) {
        const uint8_t *row = w + (size_t)i * p->row_bytes;
        if (rest) sum[i] = add_rest(sum[i], row + n_chunks * CHUNK_BYTES, rest, x + n_chunks);
        float s[8];
        _mm256_storeu_ps(s, sum[i]);
        p->y[0][r + (size_t)i] = ((((((s[0] + s[1]) + s[2]) + s[3]) + s[4]) + s[5]) + s[6]) + s[7];
    }
}

static void q8_0_one_token(const product *p) {
    chunk_input *x = p->scratch;
    chunk_inputs(p, x);
    size_t r = 0;
    for (; r + Q8_ROWS <= p->n_rows; r += Q8_ROWS) q8_0_rows(p, r, Q8_ROWS, x);
    for (; r < p->n_rows; r++) q8_0_rows(p, r, 1, x);
}

/* ---- Q8_0, more tokens ---- */

enum { Q8_PANEL = 8 * VECTOR, Q8_PANEL_AHEAD = 16 };

/* All blocks of a tile's rows, in the order in which they are added up: 0, 8, 16 ..., 1, 9 ... In scratch memory. */
typedef struct panel_q8 {
    uint8_t *w;     /* [PANELS][n_blocks][Q8_PANEL], each weight + 128 */
    float *scale;   /* [PANELS][n_blocks][ROWS] */
    int32_t *start; /* [TOKENS][n_blocks]: -128 * sums of the input */
    size_t n_blocks;
} panel_q8;

static panel_q8 panel_q8_in(void *scratch, size_t n_blocks) {
    panel_q8 panel = {.w = scratch, .n_blocks = n_blocks};
    panel.scale = (float *)(void *)(panel.w + PANELS * n_blocks * Q8_PANEL);
    panel.start = (int32_t *)(void *)(panel.scale + PANELS * n_blocks * ROWS);
    return panel;
}

INLINE void decode_q8_0(const uint8_t *const row[ROWS], size_t at, uint8_t *w, float *scale) {
    uint16_t half[ROWS];
    UNROLL for (int i = 0; i < ROWS; i++) memcpy(&half[i], row[i] + at, sizeof *half);
    UNROLL for (size_t i = 0; i < 2; i++) {
        __m512i column[4];
        load_columns(row, at + 2 + 16 * i, column);
        UNROLL for (size_t j = 0; j < 4; j++)
            _mm512_store_si512(w + (4 * i + j) * VECTOR, _mm512_xor_si512(column[j], _mm512_set1_epi8((char)0x80)));
    }
    _mm512_store_ps(scale, halves_to_floats(half));
}

static void decode_rows_q8_0(const product *p, const tile_rows *rows, const panel_q8 *panel) {
    size_t n_blocks = panel->n_blocks, n_more = n_blocks % 8;
    for (size_t b = 0; b < n_blocks; b++) {
        size_t at = b * Q8_BYTES;
        size_t ahead = place_ahead(at, Q8_PANEL_AHEAD * Q8_BYTES, p, rows->first, PANELS * ROWS);
        size_t slot = b % 8 * (n_blocks / 8) + (b % 8 < n_more ? b % 8 : n_more) + b / 8;
        for (size_t k = 0; k < PANELS; k++) {
            const uint8_t *const *row = rows->at + k * ROWS;
            for (int i = 0; i < ROWS; i++) prefetch(row[i] + ahead, Q8_BYTES);
            size_t to = k * n_blocks + slot;
            decode_q8_0(row, at, panel->w + to * Q8_PANEL, panel->scale + to * ROWS);
        }
    }
}

/* Sums are added up in the results' places: no registers are left. */
INLINE void tile_q8_0(const int n_tokens, const product *p, int token, const panel_q8 *panel, const tile_rows *rows) {
    const int8_t *q[TOKENS];
    const float *scale[TOKENS];
    UNROLL for (int t = 0; t < n_tokens; t++) {
        q[t] = p->x[token + t];
        scale[t] = activation_scales(q[t], p->n);
    }
    size_t n_blocks = panel->n_blocks, stride = n_blocks * Q8_PANEL;
    const uint8_t *w = panel->w;
    const float *row_scale = panel->scale;
    for (size_t residue = 0; residue < 8; residue++) {
        __m512 sum[PANELS][TOKENS];
        UNROLL for (int t = 0; t < n_tokens; t++) UNROLL for (int k = 0; k < PANELS; k++) sum[k][t] =
            _mm512_setzero_ps();
        for (size_t b = residue; b < n_blocks; b += 8) {
            __m512i dot[PANELS][TOKENS];
            UNROLL for (int t = 0; t < n_tokens; t++) UNROLL for (int k = 0; k < PANELS; k++) dot[k][t] =
                _mm512_set1_epi32(panel->start[(size_t)t * n_blocks + b]);
            add_32(dot, w, stride, q, 32 * b, n_tokens);
            UNROLL for (int k = 0; k < PANELS; k++) {
                __m512 dw = _mm512_load_ps(row_scale + (size_t)k * n_blocks * ROWS);
                UNROLL for (int t = 0; t < n_tokens; t++) sum[k][t] = _mm512_fmadd_ps(
                    _mm512_cvtepi32_ps(dot[k][t]), _mm512_mul_ps(dw, _mm512_set1_ps(scale[t][b])), sum[k][t]);
            }
            w += Q8_PANEL;
            row_scale += ROWS;
        }
        UNROLL for (int t = 0; t < n_tokens; t++) UNROLL for (int k = 0; k < PANELS; k++) {
            float *y = p->y[token + t] + rows->first + k * ROWS;
            __m512 total = sum[k][t];
            if (residue) total = _mm512_add_ps(_mm512_maskz_loadu_ps(rows->mask[k], y), total);
            _mm512_mask_storeu_ps(y, rows->mask[k], total);
        }
    }
}

static void product_q8_0(const product *p) {
    if (p->n_tokens == 1) {
        q8_0_one_token(p);
        return;
    }
    panel_q8 panel = panel_q8_in(p->scratch, p->n / 32);
    for (size_t r = 0; r < p->n_rows; r += PANELS * ROWS) {
        tile_rows rows = rows_from(p, r);
        decode_rows_q8_0(p, &rows, &panel);
        for (int token = 0, n; token < p->n_tokens; token += n) {
            n = tile_tokens(p->n_tokens - token);
            for (int t = 0; t < n; t++) {
                const int16_t *sum = activation_sums(ACTIVATION_Q32, p->x[token + t], p->n);
                int32_t *start = panel.start + (size_t)t * panel.n_blocks;
                for (size_t b = 0; b < panel.n_blocks; b++) start[b] = -128 * sum[b];
            }
            CALL_TILE(tile_q8_0, n, p, token, &panel, &rows);
        }
    }
}

/* ---- blocks of 256 ---- */

/* A block of sixteen rows, decoded. */
typedef struct panel_256 {
    uint8_t w[8][8 * VECTOR]; /* groups of 32 */
    int32_t scale[8][ROWS];   /* of groups (Q4_K, IQ2_XXS) */
    int16_t min[8][ROWS][2];  /* of parts of 16 */
    float d[ROWS], dmin[ROWS];
} __attribute__((aligned(64))) panel_256;

/* What a format needs of it. */
typedef struct format_256 {
    size_t block_bytes;
    bool scaled;  /* groups have scales; otherwise they are multiplied in */
    bool minimum; /* there are minima */
    bool biased;  /* weights have IQ2_BIAS added, and the input is in the order of iq2_order */
} format_256;

enum { AHEAD_BLOCKS = 6, IQ2_BIAS = 64 };

/* The same block of some tokens. */
typedef struct input_256 {
    int8_t ordered[TOKENS][256]; /* IQ2_XXS: copies of q */
    const int8_t *q[TOKENS];
    const int16_t *sum[TOKENS]; /* of each 16 */
    float scale[TOKENS];
    int32_t start[TOKENS][8]; /* IQ2_XXS: -IQ2_BIAS * sums of each 32 */
} __attribute__((aligned(64))) input_256;

INLINE void tile_256(const int n_tokens, const product *p, int token, const panel_256 *panel, const input_256 *x,
                     const tile_rows *rows, bool first, const format_256 format) {
    /* with few sums, more of each, as an addition has to wait for the one before */
    const int n_parts = format.scaled || n_tokens > 3 ? 1 : n_tokens > 1 ? 2 : 4;
    __m512i dots[PANELS][TOKENS], part[4][PANELS][TOKENS];
    UNROLL for (int t = 0; t < n_tokens; t++) UNROLL for (int k = 0; k < PANELS; k++) {
        dots[k][t] = _mm512_setzero_si512();
        UNROLL for (int i = 0; i < n_parts; i++) part[i][k][t] = _mm512_setzero_si512();
    }
    for (size_t g = 0; g < 8; g += (size_t)n_parts) {
        UNROLL for (size_t i = 0; i < (size_t)n_parts; i++) {
            if (format.scaled)
                UNROLL for (int t = 0; t < n_tokens; t++) UNROLL for (int k = 0; k < PANELS; k++) part[i][k][t] =
                    format.biased ? _mm512_set1_epi32(x->start[t][g]) : _mm512_setzero_si512();
            add_32(part[i], panel->w[g + i], sizeof *panel, x->q, 32 * (g + i), n_tokens);
        }
        if (format.scaled) UNROLL for (int k = 0; k < PANELS; k++) {
                __m512i scale = load_512(panel[k].scale[g]);
                UNROLL for (int t = 0; t < n_tokens; t++) dots[k][t] =
                    _mm512_add_epi32(dots[k][t], _mm512_mullo_epi32(scale, part[0][k][t]));
            }
    }
    if (!format.scaled)
        UNROLL for (int t = 0; t < n_tokens; t++) UNROLL for (int k = 0; k < PANELS; k++)
            UNROLL for (int i = 0; i < n_parts; i++) dots[k][t] = _mm512_add_epi32(dots[k][t], part[i][k][t]);

    __m512i mins[PANELS][TOKENS];
    UNROLL for (int t = 0; t < n_tokens; t++) UNROLL for (int k = 0; k < PANELS; k++) mins[k][t] =
        _mm512_setzero_si512();
    if (format.minimum) UNROLL for (int i = 0; i < 8; i++) {
            __m512i min[PANELS];
            UNROLL for (int k = 0; k < PANELS; k++) min[k] = load_512(panel[k].min[i]);
            UNROLL for (int t = 0; t < n_tokens; t++) {
                __m512i sum = _mm512_set1_epi32(load_i32(x->sum[t] + 2 * i));
                UNROLL for (int k = 0; k < PANELS; k++) mins[k][t] = _mm512_dpwssd_epi32(mins[k][t], min[k], sum);
            }
        }

    UNROLL for (int t = 0; t < n_tokens; t++) UNROLL for (int k = 0; k < PANELS; k++) {
        __m512 dx = _mm512_set1_ps(x->scale[t]);
        float *y = p->y[token + t] + rows->first + k * ROWS;
        __m512 sum = first ? _mm512_setzero_ps() : _mm512_maskz_loadu_ps(rows->mask[k], y);
        sum = _mm512_fmadd_ps(_mm512_cvtepi32_ps(dots[k][t]), _mm512_mul_ps(_mm512_load_ps(panel[k].d), dx), sum);
        if (format.minimum)
            sum =
                _mm512_fnmadd_ps(_mm512_cvtepi32_ps(mins[k][t]), _mm512_mul_ps(_mm512_load_ps(panel[k].dmin), dx), sum);
        _mm512_mask_storeu_ps(y, rows->mask[k], sum);
    }
}

/* Value 8e + j of 32 moves to 4j + e: four bytes are then of the four entries of a group, see decode_iq2_xxs. */
INLINE __m512i iq2_order(void) {
    const __m512i first = _mm512_setr_epi32(0x18100800, 0x19110901, 0x1a120a02, 0x1b130b03, 0x1c140c04, 0x1d150d05,
                                            0x1e160e06, 0x1f170f07, 0x38302820, 0x39312921, 0x3a322a22, 0x3b332b23,
                                            0x3c342c24, 0x3d352d25, 0x3e362e26, 0x3f372f27);
    return first;
}

INLINE void take_inputs(const product *p, int token, int n_tokens, size_t b, input_256 *x, const format_256 format) {
    for (int t = 0; t < n_tokens; t++) {
        const int8_t *q = p->x[token + t];
        x->q[t] = q + 256 * b;
        x->scale[t] = activation_scales(q, p->n)[b];
        x->sum[t] = activation_sums(ACTIVATION_Q256, q, p->n) + 16 * b;
        if (!format.biased) continue;
        __m256i sum = _mm256_loadu_si256((const void *)x->sum[t]);
        _mm256_storeu_si256((void *)x->start[t], _mm256_madd_epi16(sum, _mm256_set1_epi16(-IQ2_BIAS)));
        for (size_t i = 0; i < 256; i += VECTOR)
            _mm512_store_si512(x->ordered[t] + i, _mm512_permutexvar_epi8(iq2_order(), load_512(x->q[t] + i)));
        x->q[t] = x->ordered[t];
    }
}

typedef void decode_256(const uint8_t *const row[ROWS], size_t at, panel_256 *out, const void *tables);

INLINE void product_256(const product *p, const format_256 format, decode_256 *decode, const void *tables) {
    panel_256 panel[PANELS];
    input_256 x;
    for (size_t r = 0; r < p->n_rows; r += PANELS * ROWS) {
        tile_rows rows = rows_from(p, r);
        for (size_t b = 0; b < p->n / 256; b++) {
            size_t at = b * format.block_bytes;
            size_t ahead = place_ahead(at, AHEAD_BLOCKS * format.block_bytes, p, r, PANELS * ROWS);
            for (int k = 0; k < PANELS; k++) {
                const uint8_t *const *row = rows.at + k * ROWS;
                for (int i = 0; i < ROWS; i++) prefetch(row[i] + ahead, format.block_bytes);
                decode(row, at, &panel[k], tables);
            }
            for (int token = 0, n; token < p->n_tokens; token += n) {
                n = tile_tokens(p->n_tokens - token);
                take_inputs(p, token, n, b, &x, format);
                CALL_TILE(tile_256, n, p, token, panel, &x, &rows, b == 0, format);
            }
        }
    }
}

/* Two halves next to each other, of each row. */
INLINE void store_scales(__m512i halves, panel_256 *out) {
    _mm512_store_ps(out->d, _mm512_cvtph_ps(_mm512_cvtepi32_epi16(halves)));
    _mm512_store_ps(out->dmin, _mm512_cvtph_ps(_mm512_cvtepi32_epi16(_mm512_srli_epi32(halves, 16))));
}

/* Bytes a and b of each lane, as 16 bits. */
INLINE __m512i widen_bytes(__m512i x, int a, int b) {
    const __m512i lane = _mm512_broadcast_i32x4(_mm_setr_epi32(0, 0x00040004, 0x00080008, 0x000c000c));
    __m512i choice = _mm512_add_epi32(lane, _mm512_set1_epi32(a | b << 16 | (int)0x80008000u));
    return _mm512_shuffle_epi8(x, choice);
}

/* ---- Q2_K ---- */

INLINE void decode_q2_k(const uint8_t *const row[ROWS], size_t at, panel_256 *out, const void *tables) {
    (void)tables;
    uint32_t halves[ROWS];
    UNROLL for (int i = 0; i < ROWS; i++) memcpy(&halves[i], row[i] + at + 80, sizeof *halves);
    const __m512i low = _mm512_set1_epi8(15);
    __m512i packed[4], scale[16];
    load_columns(row, at, packed);
    UNROLL for (int i = 0; i < 4; i++) {
        __m512i s = _mm512_and_si512(packed[i], low), m = _mm512_and_si512(_mm512_srli_epi32(packed[i], 4), low);
        UNROLL for (int j = 0; j < 4; j++) scale[4 * i + j] = widen_bytes(s, j, j);
        _mm512_store_si512(out->min[2 * i], widen_bytes(m, 0, 1));
        _mm512_store_si512(out->min[2 * i + 1], widen_bytes(m, 2, 3));
    }
    /* A weight times its scale is 45 at most: a 16-bit multiplication is two of bytes. */
    UNROLL for (size_t half = 0; half < 2; half++) UNROLL for (size_t side = 0; side < 2; side++) {
        __m512i column[4];
        load_columns(row, at + 16 + 32 * half + 16 * side, column);
        UNROLL for (size_t i = 0; i < 4; i++) UNROLL for (unsigned r = 0; r < 4; r++) {
            __m512i w = _mm512_and_si512(_mm512_srli_epi32(column[i], 2 * r), _mm512_set1_epi8(3));
            w = _mm512_mullo_epi16(w, scale[8 * half + 2 * r + side]);
            _mm512_store_si512(out->w[4 * half + r] + (4 * side + i) * VECTOR, w);
        }
    }
    store_scales(load_512(halves), out);
}

static void product_q2_k(const product *p) {
    product_256(p, (format_256){.block_bytes = 84, .minimum = true}, decode_q2_k, NULL);
}

/* ---- Q4_K ---- */

INLINE void decode_q4_k(const uint8_t *const row[ROWS], size_t at, panel_256 *out, const void *tables) {
    (void)tables;
    const __m512i low = _mm512_set1_epi8(15), high = _mm512_set1_epi8(0x30), six = _mm512_set1_epi8(63);
    __m512i head[4], scale[2], min[2];
    load_columns(row, at, head);
    store_scales(head[0], out);
    scale[0] = _mm512_and_si512(head[1], six);
    min[0] = _mm512_and_si512(head[2], six);
    scale[1] = _mm512_or_si512(_mm512_and_si512(head[3], low), _mm512_and_si512(_mm512_srli_epi32(head[1], 2), high));
    min[1] = _mm512_or_si512(_mm512_and_si512(_mm512_srli_epi32(head[3], 4), low),
                             _mm512_and_si512(_mm512_srli_epi32(head[2], 2), high));
    UNROLL for (int g = 0; g < 8; g++) {
        const int word = g / 4, byte = g % 4;
        _mm512_store_si512(out->scale[g],
                           _mm512_and_si512(widen_bytes(scale[word], byte, byte), _mm512_set1_epi32(0xffff)));
        _mm512_store_si512(out->min[g], widen_bytes(min[word], byte, byte));
    }
    UNROLL for (size_t i = 0; i < 8; i++) {
        __m512i column[4];
        load_columns(row, at + 16 + 16 * i, column);
        UNROLL for (size_t j = 0; j < 4; j++) {
            size_t to = (i % 2 * 4 + j) * VECTOR;
            _mm512_store_si512(out->w[i / 2 * 2] + to, _mm512_and_si512(column[j], low));
            _mm512_store_si512(out->w[i / 2 * 2 + 1] + to, _mm512_and_si512(_mm512_srli_epi32(column[j], 4), low));
        }
    }
}

static void product_q4_k(const product *p) {
    product_256(p, (format_256){.block_bytes = 144, .scaled = true, .minimum = true}, decode_q4_k, NULL);
}

/* ---- IQ2_XXS ---- */

/*
 * The grid has three magnitudes, whose low two bits differ: 8, 25 and 43 have 0, 1 and 3. Eight of them are two bytes,
 * and these are looked up for 64 entries at once in tables of 256 bytes, which are four registers. In a byte, value
 * 0 has bits 0-1, value 1 bits 3-4, value 2 bits 6-7 and value 3 bits 2 and 5.
 */
typedef struct iq2_tables {
    __m512i low[4], high[4]; /* values 0-3, 4-7 */
} iq2_tables;

/* A matrix for vgf2p8affineqb: row i says of which bits of a byte bit i of the result is the parity. */
#define BITS(row0, row1, row2, row3, row4, row5)                                                             \
    _mm512_set1_epi64((long long)((uint64_t)(row0) << 56 | (uint64_t)(row1) << 48 | (uint64_t)(row2) << 40 | \
                                  (uint64_t)(row3) << 32 | (uint64_t)(row4) << 24 | (uint64_t)(row5) << 16))

/* Sixteen entries a step: values of two bits, packed to two bytes an entry. */
static void iq2_tables_init(iq2_tables *tables) {
    uint8_t low[256], high[256];
    const __m512i even = _mm512_setr_epi32(0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30);
    for (int i = 0; i < 256; i += 16) {
        __m512i packed[2];
        for (int j = 0; j < 2; j++) {
            __m512i code = _mm512_and_si512(load_512(iq2_xxs_grid + i + 8 * j), _mm512_set1_epi8(3));
            code = _mm512_maddubs_epi16(code, _mm512_set1_epi16(4 << 8 | 1));
            packed[j] = _mm512_madd_epi16(code, _mm512_set1_epi32(16 << 16 | 1));
        }
        __m512i odd = _mm512_or_si512(even, _mm512_set1_epi32(1));
        __m512i a = _mm512_permutex2var_epi32(packed[0], even, packed[1]);
        __m512i b = _mm512_permutex2var_epi32(packed[0], odd, packed[1]);
        _mm_storeu_si128((void *)(low + i), _mm512_cvtepi32_epi8(a));
        _mm_storeu_si128((void *)(high + i), _mm512_cvtepi32_epi8(b));
    }
    const __m512i spread = _mm512_or_si512(BITS(0x01, 0x02, 0x40, 0x04, 0x08, 0x80), _mm512_set1_epi64(0x1020));
    for (int i = 0; i < 4; i++) {
        tables->low[i] = _mm512_gf2p8affine_epi64_epi8(load_512(low + i * VECTOR), spread, 0);
        tables->high[i] = _mm512_gf2p8affine_epi64_epi8(load_512(high + i * VECTOR), spread, 0);
    }
}

/* The magnitudes and signs of all entries' values a and b, as bits 0-1 and 2, and 3-4 and 5 of `code`. */
INLINE void iq2_store(__m512i code, uint8_t *a, uint8_t *b) {
    const __m512i table_a = _mm512_set1_epi64(0x154027386b405948); /* 64 + 8, 25, -, 43, then minus */
    const __m512i table_b = _mm512_setr_epi64(0x4848484848484848, 0x5959595959595959, 0, 0x6b6b6b6b6b6b6b6b,
                                              0x3838383838383838, 0x2727272727272727, 0, 0x1515151515151515);
    _mm512_store_si512(a, _mm512_permutexvar_epi8(code, table_a));
    _mm512_store_si512(b, _mm512_permutexvar_epi8(code, table_b));
}

INLINE __m512i iq2_look_up(__m512i index, const __mmask64 above[3], const __m512i table[4]) {
    __m512i found = _mm512_permutexvar_epi8(index, table[0]);
    UNROLL for (int i = 0; i < 3; i++) found = _mm512_mask_permutexvar_epi8(found, above[i], index, table[i + 1]);
    return found;
}

/* A group of sixteen rows: the four indices of a row in a lane, and its signs and scale. Values j of the four entries
 * become vector j of w. */
INLINE void iq2_decode_group(const iq2_tables *tables, __m512i index, __m512i a, uint8_t *w) {
    const __m512i signs_at = _mm512_set1_epi64(0x352e2720150e0700);
    const __m512i sign_bits = _mm512_set1_epi8(0x24), rest = BITS(0x40, 0x80, 0, 0x04, 0x20, 0);
    __m512i signs = _mm512_multishift_epi64_epi8(signs_at, a);
    const __mmask64 above[3] = {_mm512_cmpge_epu8_mask(index, _mm512_set1_epi8(64)), _mm512_movepi8_mask(index),
                                _mm512_cmpge_epu8_mask(index, _mm512_set1_epi8((char)192))};
    __m512i low = iq2_look_up(index, above, tables->low), high = iq2_look_up(index, above, tables->high);
    __m512i minus01 = _mm512_gf2p8affine_epi64_epi8(signs, BITS(0, 0, 0x01, 0, 0, 0x02), 0);
    __m512i minus23 = _mm512_gf2p8affine_epi64_epi8(signs, BITS(0, 0, 0x04, 0, 0, 0x08), 0);
    __m512i minus45 = _mm512_gf2p8affine_epi64_epi8(signs, BITS(0, 0, 0x10, 0, 0, 0x20), 0);
    /* the eighth sign makes the number of minus signs even */
    __m512i minus67 = _mm512_gf2p8affine_epi64_epi8(signs, BITS(0, 0, 0x40, 0, 0, 0x7f), 0);
    iq2_store(_mm512_ternarylogic_epi32(sign_bits, minus01, low, 0xca), w, w + VECTOR);
    iq2_store(_mm512_or_si512(minus23, _mm512_gf2p8affine_epi64_epi8(low, rest, 0)), w + 2 * VECTOR, w + 3 * VECTOR);
    iq2_store(_mm512_ternarylogic_epi32(sign_bits, minus45, high, 0xca), w + 4 * VECTOR, w + 5 * VECTOR);
    iq2_store(_mm512_or_si512(minus67, _mm512_gf2p8affine_epi64_epi8(high, rest, 0)), w + 6 * VECTOR, w + 7 * VECTOR);
}

INLINE void decode_iq2_xxs(const uint8_t *const row[ROWS], size_t at, panel_256 *out, const void *tables) {
    uint16_t half[ROWS];
    UNROLL for (int i = 0; i < ROWS; i++) memcpy(&half[i], row[i] + at, sizeof *half);
    for (size_t i = 0; i < 4; i++) {
        __m512i column[4];
        load_columns(row, at + 2 + 16 * i, column);
        UNROLL for (size_t j = 0; j < 2; j++) {
            size_t g = 2 * i + j;
            __m512i a = column[2 * j + 1];
            /* 2 * (a >> 28) + 1: bit 27 is a sign */
            _mm512_store_si512(out->scale[g], _mm512_or_si512(_mm512_srli_epi32(a, 27), _mm512_set1_epi32(1)));
            iq2_decode_group(tables, column[2 * j], a, out->w[g]);
        }
    }
    _mm512_store_ps(out->d, _mm512_mul_ps(halves_to_floats(half), _mm512_set1_ps(0.125f)));
}

static void product_iq2_xxs(const product *p) {
    iq2_tables tables;
    iq2_tables_init(&tables);
    product_256(p, (format_256){.block_bytes = 66, .scaled = true, .biased = true}, decode_iq2_xxs, &tables);
}

/* ---- F16 ---- */

enum { F16_ROWS = 4, F16_AHEAD = 512 };

/* In the order of dot() in float_kernels.h. */
INLINE float sum_lanes(__m512 x) {
    __m256 eight = _mm256_add_ps(_mm512_castps512_ps256(x), _mm512_extractf32x8_ps(x, 1));
    __m128 four = _mm_add_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));
    __m128 two = _mm_add_ps(four, _mm_movehl_ps(four, four));
    return _mm_cvtss_f32(_mm_add_ss(two, _mm_movehdup_ps(two)));
}

INLINE void tile_f16(const int n_tokens, const int n_rows, const product *p, size_t r, int token) {
    __m512 sum[F16_ROWS][TOKENS];
    const float *x[TOKENS];
    UNROLL for (int t = 0; t < n_tokens; t++) {
        x[t] = p->x[token + t];
        UNROLL for (int k = 0; k < n_rows; k++) sum[k][t] = _mm512_setzero_ps();
    }
    const uint8_t *w = p->w + r * p->row_bytes;
    size_t i = 0;
    for (; i + 16 <= p->n; i += 16) {
        size_t ahead = place_ahead(2 * i, F16_AHEAD, p, r, (size_t)n_rows);
        __m512 row[F16_ROWS];
        UNROLL for (int k = 0; k < n_rows; k++) {
            __builtin_prefetch(w + (size_t)k * p->row_bytes + ahead);
            row[k] = halves_to_floats(w + (size_t)k * p->row_bytes + 2 * i);
        }
        UNROLL for (int t = 0; t < n_tokens; t++) {
            __m512 value = _mm512_loadu_ps(x[t] + i);
            UNROLL for (int k = 0; k < n_rows; k++) sum[k][t] = _mm512_fmadd_ps(row[k], value, sum[k][t]);
        }
    }
    __mmask16 rest = (__mmask16)((1u << (p->n - i)) - 1);
    UNROLL for (int t = 0; t < n_tokens; t++) UNROLL for (int k = 0; k < n_rows; k++) {
        if (rest) {
            __m256i half = _mm256_maskz_loadu_epi16(rest, w + (size_t)k * p->row_bytes + 2 * i);
            __m512 value = _mm512_maskz_loadu_ps(rest, x[t] + i);
            sum[k][t] = _mm512_mask3_fmadd_ps(_mm512_cvtph_ps(half), value, sum[k][t], rest);
        }
        p->y[token + t][r + (size_t)k] = sum_lanes(sum[k][t]);
    }
}

static void product_f16(const product *p) {
    size_t r = 0;
    for (; r + F16_ROWS <= p->n_rows; r += F16_ROWS)
        for (int token = 0, n; token < p->n_tokens; token += n) {
            n = tile_tokens(p->n_tokens - token);
            CALL_TILE(tile_f16, n, F16_ROWS, p, r, token);
        }
    for (; r < p->n_rows; r++)
        for (int token = 0; token < p->n_tokens; token++) tile_f16(1, 1, p, r, token);
}

/* ---- */

static bool supported(void) {
    return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
           __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq") &&
           __builtin_cpu_supports("avx512vnni") && __builtin_cpu_supports("avx512vbmi") &&
           __builtin_cpu_supports("gfni") && __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
}

const cpu_kernels cpu_kernels_avx512 = {
    .name = "avx512",
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

#endif
