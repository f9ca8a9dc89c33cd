/*
 * Inner loops for AVX-512 with VNNI, VBMI and GFNI: Intel since Ice Lake, AMD since Zen 4.
 *
 * A vector has sixteen rows: lane r of it is four neighbouring weights of row r, as vpdpbusd wants them. Inputs are
 * broadcast from memory. So no sum has to be gathered from the lanes of a vector, and scales are applied to sixteen
 * rows at once; this pays for one token already. What is stored is transposed before it is decoded: 64 bytes of sixteen
 * rows take 80 instructions, and are 4096 weights of two bits.
 *
 * Only Q8_0 with one token is different: its blocks take as long either way, and four rows are a better order to read
 * memory in than sixteen.
 *
 * vpdpbusd multiplies unsigned bytes with signed ones. Signed weights are stored with a constant added; sums start at
 * minus this constant times the sum of the input's values, which comes with the input.
 */
#include "backend/cpu/kernels.h"

#if defined(__x86_64__)
#include <assert.h>
#include <immintrin.h>

#include "backend/cpu/float_kernels.inc"

#define INLINE static inline __attribute__((always_inline))
/* A loop over arrays that are to stay in registers. */
#if defined(UNROLL) /* by a test */
#elif defined(__clang__)
#define UNROLL _Pragma("clang loop unroll(full)")
#else
#define UNROLL _Pragma("GCC unroll 16")
#endif
#define EACH(i, n) UNROLL for (size_t i = 0; i < (size_t)(n); i++)

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
 * Hardware fetches ahead well if it sees a few long streams, each in the order of its addresses. Kernels that read
 * sixteen rows in step would show it too many, and arithmetic in between keeps it waiting; so they ask for the next
 * tile's bytes while they work on this one's, a line of each stream at a time.
 */
enum { STREAMS = 4 };
typedef struct fetcher {
    const uint8_t *at;
    size_t stride; /* of streams */
    size_t n_left; /* lines of each */
} fetcher;

INLINE fetcher fetch_from(const uint8_t *at, size_t n_bytes) {
    size_t n_lines = (n_bytes + STREAMS * 64 - 1) / (STREAMS * 64);
    return (fetcher){.at = at, .stride = n_lines * 64, .n_left = n_lines};
}

/* What comes after rows first .. first + n - 1, at most as many bytes. */
INLINE fetcher fetch_after(const product *p, size_t first, size_t n) {
    size_t most = n * p->row_bytes;
    if (first + n >= p->n_rows) return fetch_from(p->next, p->next_bytes < most ? p->next_bytes : most);
    size_t n_bytes = (p->n_rows - first - n) * p->row_bytes;
    return fetch_from(p->w + (first + n) * p->row_bytes, n_bytes < most ? n_bytes : most);
}

INLINE void fetch(fetcher *f) {
    if (!f->n_left) return;
    f->n_left--;
    EACH(i, STREAMS) {
        __builtin_prefetch(f->at + i * f->stride, 0, 2);
    }
    f->at += 64;
}

#include "backend/cpu/kernels_avx512_decode.inc"

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
static size_t tile_tokens(size_t n) {
    size_t n_tiles = (n + TOKENS - 1) / TOKENS;
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
                   const size_t n_tokens) {
    EACH(i, 8) {
        __m512i w[PANELS];
        EACH(k, PANELS) {
            w[k] = load_512(panel + k * stride + i * VECTOR);
        }
        EACH(t, n_tokens) {
            __m512i x = _mm512_set1_epi32(load_i32(q[t] + at + 4 * i));
            EACH(k, PANELS) {
                sum[k][t] = _mm512_dpbusd_epi32(sum[k][t], w[k], x);
            }
        }
    }
}

/* ---- Q8_0, one token: along the rows ---- */

enum { CHUNK = 16, Q8_BYTES = 34, CHUNK_BYTES = CHUNK * Q8_BYTES, Q8_AHEAD = 4 * CHUNK_BYTES };

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
    EACH(i, 8) {
        __m512i pair = _mm512_castsi256_si512(_mm256_loadu_si256((const void *)(w + i * Q8_BYTES + 2)));
        pair = _mm512_inserti64x4(pair, _mm256_loadu_si256((const void *)(w + (i + 8) * Q8_BYTES + 2)), 1);
        pair = _mm512_xor_si512(pair, _mm512_set1_epi8((char)0x80));
        sum[i] = _mm512_dpbusd_epi32(_mm512_setzero_si512(), pair, load_512(x->q[i]));
    }
    /* Lane i of each quarter is what is left of block i (low) or 4 + i (high), or of those eight further on. */
    __m512i low = add_pairs_64(add_pairs_32(sum[0], sum[1]), add_pairs_32(sum[2], sum[3]));
    __m512i high = add_pairs_64(add_pairs_32(sum[4], sum[5]), add_pairs_32(sum[6], sum[7]));
    __m512i a = _mm512_permutex2var_epi64(low, _mm512_setr_epi64(0, 1, 8, 9, 4, 5, 12, 13), high);
    __m512i b = _mm512_permutex2var_epi64(low, _mm512_setr_epi64(2, 3, 10, 11, 6, 7, 14, 15), high);
    return _mm512_add_epi32(_mm512_add_epi32(a, b), load_512(x->start));
}

INLINE __m256 add_chunk(__m256 sum, const uint8_t *w, const chunk_input *x) {
    uint16_t half[CHUNK];
    EACH(i, CHUNK) {
        memcpy(&half[i], w + i * Q8_BYTES, sizeof *half);
    }
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

/* Row i of each stream, a quarter of the rows; the last one again where there are no more. */
INLINE void stream_rows(const product *p, size_t i, size_t row[STREAMS]) {
    size_t quarter = (p->n_rows + STREAMS - 1) / STREAMS;
    EACH(k, STREAMS) {
        row[k] = k * quarter + i < p->n_rows ? k * quarter + i : p->n_rows - 1;
    }
}

INLINE void q8_0_rows(const product *p, const size_t index[STREAMS], const chunk_input *x, fetcher *next) {
    __m256 sum[STREAMS];
    const uint8_t *row[STREAMS];
    EACH(k, STREAMS) {
        sum[k] = _mm256_setzero_ps();
        row[k] = p->w + index[k] * p->row_bytes;
    }
    size_t n_chunks = p->n / 32 / CHUNK, rest = p->n / 32 % CHUNK;
    for (size_t c = 0; c < n_chunks; c++)
        for (size_t k = 0; k < STREAMS; k++) {
            for (size_t at = 0; at < CHUNK_BYTES; at += 64) __builtin_prefetch(row[k] + Q8_AHEAD + at);
            sum[k] = add_chunk(sum[k], row[k], x + c);
            row[k] += CHUNK_BYTES;
            fetch(next);
        }
    for (size_t k = 0; k < STREAMS; k++) {
        if (rest) sum[k] = add_rest(sum[k], row[k], rest, x + n_chunks);
        float s[8];
        _mm256_storeu_ps(s, sum[k]);
        p->y[0][index[k]] = ((((((s[0] + s[1]) + s[2]) + s[3]) + s[4]) + s[5]) + s[6]) + s[7];
    }
}

static void q8_0_one_token(const product *p) {
    chunk_input *x = p->scratch;
    chunk_inputs(p, x);
    for (size_t i = 0; i * STREAMS < p->n_rows; i++) {
        size_t row[STREAMS];
        stream_rows(p, i, row);
        /* with the last rows, the heads of the next streams */
        bool last = (i + 1) * STREAMS >= p->n_rows;
        fetcher next = fetch_from(p->next, last ? p->next_bytes : 0);
        q8_0_rows(p, row, x, &next);
    }
}

/* ---- Q8_0, more tokens ---- */

enum { Q8_PANEL = 8 * VECTOR };

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

static void decode_rows_q8_0(const product *p, const tile_rows *rows, const panel_q8 *panel) {
    size_t n_blocks = panel->n_blocks, n_more = n_blocks % 8;
    fetcher next = fetch_after(p, rows->first, PANELS * ROWS);
    for (size_t b = 0; b < n_blocks; b++) {
        size_t at = b * Q8_BYTES;
        size_t slot = b % 8 * (n_blocks / 8) + (b % 8 < n_more ? b % 8 : n_more) + b / 8;
        for (size_t k = 0; k < PANELS; k++) {
            const uint8_t *const *row = rows->at + k * ROWS;
            size_t to = k * n_blocks + slot;
            decode_q8_0(row, at, &next, panel->w + to * Q8_PANEL, panel->scale + to * ROWS);
        }
    }
}

static void start_q8_0(const product *p, size_t token, size_t n_tokens, const panel_q8 *panel) {
    for (size_t t = 0; t < n_tokens; t++) {
        const int16_t *sum = activation_sums(ACTIVATION_Q32, p->x[token + t], p->n);
        int32_t *start = panel->start + t * panel->n_blocks;
        for (size_t b = 0; b < panel->n_blocks; b++) start[b] = -128 * sum[b];
    }
}

/* Sums are added up in the results' places: no registers are left. */
INLINE void tile_q8_0(const size_t n_tokens, const product *p, size_t token, const panel_q8 *panel,
                      const tile_rows *rows) {
    const int8_t *q[TOKENS];
    const float *scale[TOKENS];
    EACH(t, n_tokens) {
        q[t] = p->x[token + t];
        scale[t] = activation_scales(q[t], p->n);
    }
    size_t n_blocks = panel->n_blocks, stride = n_blocks * Q8_PANEL;
    const uint8_t *w = panel->w;
    const float *row_scale = panel->scale;
    for (size_t residue = 0; residue < 8; residue++) {
        __m512 sum[PANELS][TOKENS];
        EACH(t, n_tokens) {
            EACH(k, PANELS) {
                sum[k][t] = _mm512_setzero_ps();
            }
        }
        for (size_t b = residue; b < n_blocks; b += 8) {
            __m512i dot[PANELS][TOKENS];
            EACH(t, n_tokens) {
                EACH(k, PANELS) {
                    dot[k][t] = _mm512_set1_epi32(panel->start[t * n_blocks + b]);
                }
            }
            add_32(dot, w, stride, q, 32 * b, n_tokens);
            EACH(k, PANELS) {
                __m512 dw = _mm512_load_ps(row_scale + k * n_blocks * ROWS);
                EACH(t, n_tokens) {
                    __m512 both = _mm512_mul_ps(dw, _mm512_set1_ps(scale[t][b]));
                    sum[k][t] = _mm512_fmadd_ps(_mm512_cvtepi32_ps(dot[k][t]), both, sum[k][t]);
                }
            }
            w += Q8_PANEL;
            row_scale += ROWS;
        }
        EACH(t, n_tokens) {
            EACH(k, PANELS) {
                float *y = p->y[token + t] + rows->first + k * ROWS;
                __m512 total = sum[k][t];
                if (residue) total = _mm512_add_ps(_mm512_maskz_loadu_ps(rows->mask[k], y), total);
                _mm512_mask_storeu_ps(y, rows->mask[k], total);
            }
        }
    }
}

static void product_q8_0(const product *p) {
    if (p->n_tokens == 1) {
        q8_0_one_token(p);
        return;
    }
    size_t n_tokens = (size_t)p->n_tokens;
    panel_q8 panel = panel_q8_in(p->scratch, p->n / 32);
    for (size_t r = 0; r < p->n_rows; r += PANELS * ROWS) {
        tile_rows rows = rows_from(p, r);
        decode_rows_q8_0(p, &rows, &panel);
        for (size_t token = 0, n; token < n_tokens; token += n) {
            n = tile_tokens(n_tokens - token);
            start_q8_0(p, token, n, &panel);
            CALL_TILE(tile_q8_0, n, p, token, &panel, &rows);
        }
    }
}

/* ---- blocks of 256 ---- */

/* What a format needs of its panels, see kernels_avx512_decode.inc. */
typedef struct format_256 {
    size_t block_bytes;
    bool scaled;  /* groups have scales; otherwise they are multiplied in */
    bool minimum; /* there are minima */
    bool biased;  /* weights have IQ2_BIAS added, and the input is in the order of iq2_order */
} format_256;

/* The same block of some tokens. */
typedef struct input_256 {
    int8_t ordered[TOKENS][256]; /* IQ2_XXS: copies of q */
    const int8_t *q[TOKENS];
    const int16_t *sum[TOKENS]; /* of each 16 */
    float scale[TOKENS];
    int32_t start[TOKENS][8]; /* IQ2_XXS: -IQ2_BIAS * sums of each 32 */
} __attribute__((aligned(64))) input_256;

/* Sums of a block, weights being multiplied with their scales already. */
INLINE void plain_dots(__m512i dot[PANELS][TOKENS], const panel_256 *panel, const input_256 *x, const size_t n_tokens) {
    /* with few sums, more of each, as an addition has to wait for the one before */
    const size_t n_parts = n_tokens > 3 ? 1 : 2;
    __m512i part[2][PANELS][TOKENS];
    EACH(i, n_parts) {
        EACH(t, n_tokens) {
            EACH(k, PANELS) {
                part[i][k][t] = _mm512_setzero_si512();
            }
        }
    }
    for (size_t g = 0; g < 8; g += n_parts) {
        EACH(i, n_parts) {
            add_32(part[i], panel->w[g + i], sizeof *panel, x->q, 32 * (g + i), n_tokens);
        }
    }
    EACH(t, n_tokens) {
        EACH(k, PANELS) {
            dot[k][t] = part[0][k][t];
            EACH(i, n_parts - 1) {
                dot[k][t] = _mm512_add_epi32(dot[k][t], part[i + 1][k][t]);
            }
        }
    }
}

INLINE void scaled_dots(__m512i dot[PANELS][TOKENS], const panel_256 *panel, const input_256 *x, const size_t n_tokens,
                        const bool biased) {
    EACH(t, n_tokens) {
        EACH(k, PANELS) {
            dot[k][t] = _mm512_setzero_si512();
        }
    }
    for (size_t g = 0; g < 8; g++) {
        __m512i sum[PANELS][TOKENS];
        EACH(t, n_tokens) {
            EACH(k, PANELS) {
                sum[k][t] = biased ? _mm512_set1_epi32(x->start[t][g]) : _mm512_setzero_si512();
            }
        }
        add_32(sum, panel->w[g], sizeof *panel, x->q, 32 * g, n_tokens);
        EACH(k, PANELS) {
            __m512i scale = load_512(panel[k].scale[g]);
            EACH(t, n_tokens) {
                dot[k][t] = _mm512_add_epi32(dot[k][t], _mm512_mullo_epi32(scale, sum[k][t]));
            }
        }
    }
}

INLINE void minimum_dots(__m512i dot[PANELS][TOKENS], const panel_256 *panel, const input_256 *x,
                         const size_t n_tokens) {
    EACH(t, n_tokens) {
        EACH(k, PANELS) {
            dot[k][t] = _mm512_setzero_si512();
        }
    }
    EACH(i, 8) {
        __m512i min[PANELS];
        EACH(k, PANELS) {
            min[k] = load_512(panel[k].min[i]);
        }
        EACH(t, n_tokens) {
            __m512i sum = _mm512_set1_epi32(load_i32(x->sum[t] + 2 * i));
            EACH(k, PANELS) {
                dot[k][t] = _mm512_dpwssd_epi32(dot[k][t], min[k], sum);
            }
        }
    }
}

/* Adds a block of a tile to the results; the first one sets them. */
INLINE void tile_256(const size_t n_tokens, const product *p, size_t token, const panel_256 *panel, const input_256 *x,
                     const tile_rows *rows, bool first, const format_256 format) {
    __m512i dot[PANELS][TOKENS], min[PANELS][TOKENS];
    if (format.scaled)
        scaled_dots(dot, panel, x, n_tokens, format.biased);
    else
        plain_dots(dot, panel, x, n_tokens);
    if (format.minimum) minimum_dots(min, panel, x, n_tokens);
    EACH(t, n_tokens) {
        __m512 dx = _mm512_set1_ps(x->scale[t]);
        EACH(k, PANELS) {
            float *y = p->y[token + t] + rows->first + k * ROWS;
            __m512 sum = first ? _mm512_setzero_ps() : _mm512_maskz_loadu_ps(rows->mask[k], y);
            __m512 scale = _mm512_mul_ps(_mm512_load_ps(panel[k].d), dx);
            sum = _mm512_fmadd_ps(_mm512_cvtepi32_ps(dot[k][t]), scale, sum);
            if (format.minimum) {
                scale = _mm512_mul_ps(_mm512_load_ps(panel[k].dmin), dx);
                sum = _mm512_fnmadd_ps(_mm512_cvtepi32_ps(min[k][t]), scale, sum);
            }
            _mm512_mask_storeu_ps(y, rows->mask[k], sum);
        }
    }
}

/* Value 8e + j of 32 moves to 4j + e: four bytes are then of the four entries of a group, see decode_iq2_xxs. */
INLINE __m512i iq2_order(void) {
    return _mm512_setr_epi32(0x18100800, 0x19110901, 0x1a120a02, 0x1b130b03, 0x1c140c04, 0x1d150d05, 0x1e160e06,
                             0x1f170f07, 0x38302820, 0x39312921, 0x3a322a22, 0x3b332b23, 0x3c342c24, 0x3d352d25,
                             0x3e362e26, 0x3f372f27);
}

INLINE void take_inputs(const product *p, size_t token, size_t n_tokens, size_t b, input_256 *x,
                        const format_256 format) {
    for (size_t t = 0; t < n_tokens; t++) {
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

typedef void decode_256(const uint8_t *const row[ROWS], size_t at, fetcher *next, panel_256 *out, const void *tables);

INLINE void product_256(const product *p, const format_256 format, decode_256 *decode, const void *tables) {
    panel_256 panel[PANELS];
    input_256 x;
    size_t n_tokens = (size_t)p->n_tokens;
    for (size_t r = 0; r < p->n_rows; r += PANELS * ROWS) {
        tile_rows rows = rows_from(p, r);
        fetcher next = fetch_after(p, r, PANELS * ROWS);
        for (size_t b = 0; b < p->n / 256; b++) {
            size_t at = b * format.block_bytes;
            EACH(k, PANELS) {
                decode(rows.at + k * ROWS, at, &next, &panel[k], tables);
            }
            for (size_t token = 0, n; token < n_tokens; token += n) {
                n = tile_tokens(n_tokens - token);
                take_inputs(p, token, n, b, &x, format);
                CALL_TILE(tile_256, n, p, token, panel, &x, &rows, b == 0, format);
            }
        }
        while (next.n_left) fetch(&next); /* what load_columns did not load */
    }
}

/* ---- blocks of 256, one token: decoded in registers ---- */

/*
 * With one token, decoding takes as long as the products, but other parts of the processor: one after the other they
 * would keep each other waiting, so a group is multiplied as soon as it is decoded.
 */
typedef struct one_input {
    int8_t q[256];    /* IQ2_XXS: in the order of iq2_order */
    int32_t start[8]; /* IQ2_XXS: -IQ2_BIAS * sums of each 32 */
    int16_t sum[16];
    float scale;
} __attribute__((aligned(64))) one_input;

static void one_inputs(const product *p, bool biased, one_input *out) {
    const int8_t *q = p->x[0];
    const format_256 format = {.biased = biased};
    input_256 x;
    for (size_t b = 0; b < p->n / 256; b++) {
        take_inputs(p, 0, 1, b, &x, format);
        memcpy(out[b].q, x.q[0], sizeof out->q);
        memcpy(out[b].sum, x.sum[0], sizeof out->sum);
        if (biased) memcpy(out[b].start, x.start[0], sizeof out->start);
        out[b].scale = activation_scales(q, p->n)[b];
    }
}

/* sum + products of a vector of weights, four of each row, with four values. */
INLINE __m512i add_4(__m512i sum, __m512i w, const int8_t *q) {
    return _mm512_dpbusd_epi32(sum, w, _mm512_set1_epi32(load_i32(q)));
}

/*
 * A half of each row, or two, to memory: the vector units have enough to do. A vector that is loaded at once would have
 * to wait for the last of these stores, so they are made a block ahead.
 */
#define DEFINE_TAKE(name, type)                                                   \
    INLINE void name(const uint8_t *const row[ROWS], size_t at, type out[ROWS]) { \
        EACH(i, ROWS) {                                                           \
            type value;                                                           \
            memcpy(&value, row[i] + at, sizeof value);                            \
            __asm__("" : "+r"(value)); /* not by vector instructions */           \
            out[i] = value;                                                       \
        }                                                                         \
    }
DEFINE_TAKE(take_halves, uint16_t)
DEFINE_TAKE(take_pairs, uint32_t)

INLINE __m512i one_dots_iq2_xxs(const uint8_t *const row[ROWS], size_t at, fetcher *next, const one_input *x,
                                const iq2_tables *tables) {
    __m512i total = _mm512_setzero_si512();
    for (size_t i = 0; i < 4; i++) {
        __m512i column[4];
        load_columns(row, at + 2 + 16 * i, next, column);
        EACH(j, 2) {
            const size_t g = 2 * i + j;
            __m512i w[8], sum = _mm512_set1_epi32(x->start[g]);
            iq2_decode_group(tables, column[2 * j], column[2 * j + 1], w);
            EACH(k, 8) {
                sum = add_4(sum, w[k], x->q + 32 * g + 4 * k);
            }
            total = _mm512_add_epi32(total, _mm512_mullo_epi32(iq2_scale(column[2 * j + 1]), sum));
        }
    }
    return total;
}

static void iq2_xxs_one_token(const product *p, const iq2_tables *tables) {
    size_t n_blocks = p->n / 256;
    one_input *x = p->scratch;
    one_inputs(p, true, x);
    for (size_t r = 0; r < p->n_rows; r += ROWS) {
        tile_rows rows = rows_from(p, r);
        fetcher next = fetch_after(p, r, ROWS);
        __m512 sum = _mm512_setzero_ps();
        uint16_t half[2][ROWS];
        take_halves(rows.at, 0, half[0]);
        for (size_t b = 0; b < n_blocks; b++) {
            if (b + 1 < n_blocks) take_halves(rows.at, 66 * (b + 1), half[(b + 1) % 2]);
            __m512i dots = one_dots_iq2_xxs(rows.at, 66 * b, &next, x + b, tables);
            __m512 dw = _mm512_mul_ps(halves_to_floats(half[b % 2]), _mm512_set1_ps(0.125f));
            sum = _mm512_fmadd_ps(_mm512_cvtepi32_ps(dots), _mm512_mul_ps(dw, _mm512_set1_ps(x[b].scale)), sum);
        }
        while (next.n_left) fetch(&next);
        _mm512_mask_storeu_ps(p->y[0] + r, rows.mask[0], sum);
    }
}

/* Lanes of a as low, of b as high halves. */
INLINE __m512i pair_halves(__m512i a, __m512i b) {
    return _mm512_mask_blend_epi16(0xaaaaaaaa, a, _mm512_slli_epi32(b, 16));
}

/*
 * Weights r of a byte are bits 2r and 2r + 1. Those of odd r stay where they are, times four, which is taken off the
 * sum of all. Sums of 16 weights, 16 * 12 * 127 at most, are 16 bits; scales are multiplied with two of them at once.
 */
INLINE __m512i one_dots_q2_k(const uint8_t *const row[ROWS], size_t at, fetcher *next, const one_input *x,
                             __m512i *mins) {
    const __m512i low = _mm512_set1_epi8(15);
    __m512i packed[4], scale[8], total[2] = {_mm512_setzero_si512(), _mm512_setzero_si512()};
    *mins = _mm512_setzero_si512();
    load_columns(row, at, next, packed);
    EACH(i, 4) {
        __m512i s = _mm512_and_si512(packed[i], low), m = _mm512_and_si512(_mm512_srli_epi32(packed[i], 4), low);
        EACH(j, 2) {
            scale[2 * i + j] = widen_bytes(s, 2 * (int)j, 2 * (int)j + 1);
            __m512i sum = _mm512_set1_epi32(load_i32(x->sum + 4 * i + 2 * j));
            *mins = _mm512_dpwssd_epi32(*mins, widen_bytes(m, 2 * (int)j, 2 * (int)j + 1), sum);
        }
    }
    EACH(half, 2) {
        __m512i sum[2][4];
        EACH(side, 2) {
            __m512i column[4];
            load_columns(row, at + 16 + 32 * half + 16 * side, next, column);
            EACH(r, 4) {
                sum[side][r] = _mm512_setzero_si512();
            }
            EACH(i, 4) {
                __m512i high = _mm512_srli_epi32(column[i], 4);
                EACH(r, 4) {
                    __m512i w = _mm512_and_si512(r < 2 ? column[i] : high, _mm512_set1_epi8(r % 2 ? 12 : 3));
                    sum[side][r] = add_4(sum[side][r], w, x->q + 128 * half + 32 * r + 16 * side + 4 * i);
                }
            }
        }
        EACH(r, 4) {
            total[r % 2] = _mm512_dpwssd_epi32(total[r % 2], pair_halves(sum[0][r], sum[1][r]), scale[4 * half + r]);
        }
    }
    return _mm512_add_epi32(total[0], _mm512_srai_epi32(total[1], 2));
}

static void q2_k_one_token(const product *p) {
    size_t n_blocks = p->n / 256;
    one_input *x = p->scratch;
    one_inputs(p, false, x);
    for (size_t r = 0; r < p->n_rows; r += ROWS) {
        tile_rows rows = rows_from(p, r);
        fetcher next = fetch_after(p, r, ROWS);
        __m512 sum = _mm512_setzero_ps();
        uint32_t halves[2][ROWS];
        take_pairs(rows.at, 80, halves[0]);
        for (size_t b = 0; b < n_blocks; b++) {
            if (b + 1 < n_blocks) take_pairs(rows.at, 84 * (b + 1) + 80, halves[(b + 1) % 2]);
            __m512i mins, dots = one_dots_q2_k(rows.at, 84 * b, &next, x + b, &mins);
            __m512i both = load_512(halves[b % 2]);
            __m512 dx = _mm512_set1_ps(x[b].scale), dw = _mm512_cvtph_ps(_mm512_cvtepi32_epi16(both));
            __m512 dmin = _mm512_cvtph_ps(_mm512_cvtepi32_epi16(_mm512_srli_epi32(both, 16)));
            sum = _mm512_fmadd_ps(_mm512_cvtepi32_ps(dots), _mm512_mul_ps(dw, dx), sum);
            sum = _mm512_fnmadd_ps(_mm512_cvtepi32_ps(mins), _mm512_mul_ps(dmin, dx), sum);
        }
        while (next.n_left) fetch(&next);
        _mm512_mask_storeu_ps(p->y[0] + r, rows.mask[0], sum);
    }
}

/* ---- blocks of 256 ---- */

static void product_q2_k(const product *p) {
    if (p->n_tokens == 1)
        q2_k_one_token(p);
    else
        product_256(p, (format_256){.block_bytes = 84, .minimum = true}, decode_q2_k, NULL);
}

static void product_q4_k(const product *p) {
    product_256(p, (format_256){.block_bytes = 144, .scaled = true, .minimum = true}, decode_q4_k, NULL);
}

static void product_iq2_xxs(const product *p) {
    iq2_tables tables;
    iq2_tables_init(&tables);
    if (p->n_tokens == 1)
        iq2_xxs_one_token(p, &tables);
    else
        product_256(p, (format_256){.block_bytes = 66, .scaled = true, .biased = true}, decode_iq2_xxs, &tables);
}

/* ---- F16 ---- */

enum { F16_AHEAD = 2048 };

/* In the order of dot() in float_kernels.h. */
INLINE float sum_lanes(__m512 x) {
    __m256 eight = _mm256_add_ps(_mm512_castps512_ps256(x), _mm512_extractf32x8_ps(x, 1));
    __m128 four = _mm_add_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));
    __m128 two = _mm_add_ps(four, _mm_movehl_ps(four, four));
    return _mm_cvtss_f32(_mm_add_ss(two, _mm_movehdup_ps(two)));
}

INLINE void tile_f16(const size_t n_tokens, const product *p, const size_t index[STREAMS], size_t token) {
    __m512 sum[STREAMS][TOKENS];
    const float *x[TOKENS];
    const uint8_t *row[STREAMS];
    EACH(k, STREAMS) {
        row[k] = p->w + index[k] * p->row_bytes;
        EACH(t, n_tokens) {
            x[t] = p->x[token + t];
            sum[k][t] = _mm512_setzero_ps();
        }
    }
    size_t i = 0;
    for (; i + 16 <= p->n; i += 16) {
        __m512 w[STREAMS];
        EACH(k, STREAMS) {
            __builtin_prefetch(row[k] + 2 * i + F16_AHEAD);
            w[k] = halves_to_floats(row[k] + 2 * i);
        }
        EACH(t, n_tokens) {
            __m512 value = _mm512_loadu_ps(x[t] + i);
            EACH(k, STREAMS) {
                sum[k][t] = _mm512_fmadd_ps(w[k], value, sum[k][t]);
            }
        }
    }
    __mmask16 rest = (__mmask16)((1u << (p->n - i)) - 1);
    EACH(t, n_tokens) {
        EACH(k, STREAMS) {
            if (rest) {
                __m512 w = _mm512_cvtph_ps(_mm256_maskz_loadu_epi16(rest, row[k] + 2 * i));
                sum[k][t] = _mm512_mask3_fmadd_ps(w, _mm512_maskz_loadu_ps(rest, x[t] + i), sum[k][t], rest);
            }
            p->y[token + t][index[k]] = sum_lanes(sum[k][t]);
        }
    }
}

static void product_f16(const product *p) {
    size_t n_tokens = (size_t)p->n_tokens;
    for (size_t i = 0; i * STREAMS < p->n_rows; i++) {
        size_t row[STREAMS];
        stream_rows(p, i, row);
        for (size_t token = 0, n; token < n_tokens; token += n) {
            n = tile_tokens(n_tokens - token);
            CALL_TILE(tile_f16, n, p, row, token);
        }
    }
}

/* ---- the table ---- */

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
