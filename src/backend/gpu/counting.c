#include "backend/gpu/counting.h"
#include "base/memory.h"
#include "kernels/shared.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* As in the kernels. */
enum {
    SELECT_BARRIERS = 3 * 7 + 1, /* of select_best: three digits, and the number of rows before a SIMD-group's */
    NORM_ROTATE_BARRIERS = 4,
    ATTEND_END_BARRIERS = 1 + 4 * 2,
    ATTEND_TILE_ROWS = ATTEND_THREADS / 32, /* of attend_8 */
    SCORE_HEADS = 32,                       /* of score, between two barriers */
    TILE_COLUMNS = 32,                      /* of matmul.metal, between two barriers */
    EXPERT_TOKENS = 2,                      /* of experts_gate_up and experts_down, for one reading of the weights */
    FLOAT = sizeof(float),
};

struct device_buffer {
    uint8_t *contents;
    bool owned;
};

/* A dispatch, and where it is counted. */
typedef struct dispatch_view {
    const device_dispatch *d;
    bool executed;
    counting_totals *totals;
} dispatch_view;

static uint64_t divide_up(uint64_t a, uint64_t b) {
    return (a + b - 1) / b;
}

static uint64_t at_most(uint64_t a, uint64_t limit) {
    return a < limit ? a : limit;
}

/* n_readers: threadgroups that read the same bytes. */
static void count_weights(dispatch_view *v, uint64_t n_bytes, uint64_t n_readers) {
    v->totals->weight_bytes += n_bytes;
    v->totals->weight_reads += n_bytes * n_readers;
}

static void count_activations(dispatch_view *v, uint64_t n_bytes) {
    v->totals->activation_bytes += n_bytes;
}

static void count_barriers(dispatch_view *v, uint64_t n_groups, uint64_t n_each) {
    v->totals->barriers += n_groups * n_each;
}

static const void *bound(const dispatch_view *v, int slot) {
    const device_binding *binding = &v->d->binding[slot];
    return binding->buffer->contents + binding->offset;
}

static uint64_t group_count(const dispatch_view *v) {
    return (uint64_t)v->d->groups[0] * v->d->groups[1];
}

static uint64_t different_tokens(const struct token_info *token, uint32_t n) {
    uint64_t n_different = 0;
    for (uint32_t t = 0; t < n; t++) {
        uint32_t i = 0;
        while (token[i].token != token[t].token) i++;
        n_different += i == t;
    }
    return n_different;
}

/* ---- hyper.metal ---- */

static void count_embed(dispatch_view *v) {
    const struct embed_params *p = v->d->parameters;
    uint64_t n_tokens = v->d->groups[0];
    count_weights(v, different_tokens(bound(v, 2), (uint32_t)n_tokens) * p->row_bytes, 1);
    count_activations(v, n_tokens * (sizeof(int32_t) + (uint64_t)STREAMS * p->width * FLOAT));
}

static void count_hyper_step(dispatch_view *v) {
    const struct hyper_params *p = v->d->parameters;
    uint64_t streams = (uint64_t)STREAMS * p->width, partial = (uint64_t)p->n_groups * (p->n_sums + 1);
    uint64_t mixed = p->has_y ? streams + p->width + MIX - STREAMS : 0;
    count_weights(v, (uint64_t)p->n_sums * p->row_bytes, p->n_tokens);
    count_activations(v, p->n_tokens * (streams + mixed + partial) * FLOAT);
    count_barriers(v, group_count(v), 1);
}

static void count_collapse(dispatch_view *v, uint64_t width, uint64_t n_sums, uint64_t n_scales, uint64_t n_groups,
                           uint64_t n_written) {
    uint64_t n_tokens = v->d->groups[0];
    count_weights(v, (n_scales + n_sums + width) * FLOAT, n_tokens);
    count_activations(v, n_tokens * (n_groups * (n_sums + 1) + STREAMS * width + n_written) * FLOAT);
    count_barriers(v, n_tokens, 2);
}

static void count_hyper_in(dispatch_view *v) {
    const struct hyper_params *p = v->d->parameters;
    count_collapse(v, p->width, p->n_sums, 3, p->n_groups, p->width + MIX);
}

static void count_head_in(dispatch_view *v) {
    const struct logits_params *p = v->d->parameters;
    count_collapse(v, p->width, STREAMS, 1, p->n_groups, p->width);
    count_activations(v, p->n_wanted * sizeof(int32_t));
}

/* ---- matvec.metal, matmul.metal: matrices ---- */

static void count_matrices(dispatch_view *v, uint64_t n_readers) {
    const struct matrix_params *p = v->d->parameters;
    uint64_t n_bytes = 0, n_rows = 0, n_inputs = p->n_columns;
    for (uint32_t j = 0; j < p->n_jobs; j++) {
        n_bytes += (uint64_t)p->job[j].n_rows * p->job[j].row_bytes;
        n_rows += p->job[j].n_rows;
    }
    if (p->group_rows) n_inputs *= p->job[0].n_rows / p->group_rows;
    count_weights(v, n_bytes, n_readers);
    if (p->has_gain) count_weights(v, (uint64_t)p->n_columns * FLOAT, group_count(v));
    count_activations(v, p->n_tokens * (n_inputs + n_rows) * FLOAT);
}

static void count_matvec(dispatch_view *v) {
    count_matrices(v, 1);
    count_barriers(v, group_count(v), 1);
}

static uint64_t tile_barriers(uint64_t n_columns) {
    return 2 * divide_up(n_columns, TILE_COLUMNS) + 2;
}

static void count_matmul(dispatch_view *v) {
    const struct matrix_params *p = v->d->parameters;
    count_matrices(v, v->d->groups[1]);
    count_barriers(v, group_count(v), tile_barriers(p->n_columns));
}

/* ---- experts ---- */

typedef struct expert_use {
    uint32_t n_pairs[MAX_EXPERTS];
    uint64_t n_used;   /* experts that some token uses */
    uint64_t n_passes; /* sets of at most set_size pairs with one expert */
} expert_use;

/* ids: [n_tokens][n_used], if they are known. */
static expert_use use_of_experts(const dispatch_view *v, const struct expert_params *p, int slot_of_ids,
                                 uint32_t set_size) {
    expert_use use = {0};
    const int32_t *ids = v->executed ? bound(v, slot_of_ids) : NULL;
    for (uint32_t i = 0; i < p->n_tokens * p->n_used; i++) use.n_pairs[ids ? (uint32_t)ids[i] : i % p->n_experts]++;
    for (uint32_t e = 0; e < p->n_experts; e++) {
        use.n_used += use.n_pairs[e] > 0;
        use.n_passes += divide_up(use.n_pairs[e], set_size);
    }
    return use;
}

/* The same from the tiles that sort_pairs made. */
static expert_use use_of_tiles(const dispatch_view *v, const struct expert_params *p) {
    if (!v->executed) return use_of_experts(v, p, 0, TILE_TOKENS);
    expert_use use = {0};
    const struct expert_tile *tile = bound(v, 3);
    const uint32_t *n_tiles = bound(v, 4);
    for (uint32_t i = 0; i < *n_tiles; i++) {
        if (tile[i].expert >= p->n_experts) continue;
        use.n_used += use.n_pairs[tile[i].expert] == 0;
        use.n_pairs[tile[i].expert] += tile[i].n;
        use.n_passes++;
    }
    return use;
}

/* n_bytes: of the matrices of one expert. */
static void count_expert_weights(dispatch_view *v, const struct expert_params *p, const expert_use *use,
                                 uint64_t n_bytes, uint64_t shared_bytes, uint32_t set_size) {
    count_weights(v, use->n_used * n_bytes, 1);
    v->totals->weight_reads += (use->n_passes - use->n_used) * n_bytes;
    count_weights(v, shared_bytes, divide_up(p->n_tokens, set_size));
}

static uint64_t pair_count(const struct expert_params *p) {
    return (uint64_t)p->n_tokens * p->n_used;
}

/* The routed pairs and those of the shared expert. */
static uint64_t all_pairs(const struct expert_params *p) {
    return pair_count(p) + p->n_tokens;
}

static uint64_t in_bytes(const struct expert_params *p) {
    return (uint64_t)p->expert_width * (p->gate_row_bytes + p->up_row_bytes);
}

static uint64_t shared_in_bytes(const struct expert_params *p) {
    return (uint64_t)p->expert_width * (p->shared_gate_row_bytes + p->shared_up_row_bytes);
}

static uint64_t out_bytes(const struct expert_params *p) {
    return (uint64_t)p->width * p->down_row_bytes;
}

static uint64_t shared_out_bytes(const struct expert_params *p) {
    return (uint64_t)p->width * p->shared_down_row_bytes;
}

/* route_token for all tokens, by n_readers SIMD-groups each. */
static void count_route(dispatch_view *v, const struct expert_params *p, int slot_of_tokens, uint64_t n_readers) {
    if (p->fixed)
        count_weights(v, different_tokens(bound(v, slot_of_tokens), p->n_tokens) * p->n_used * sizeof(int32_t),
                      n_readers);
    else if (p->biased)
        count_weights(v, (uint64_t)p->n_experts * FLOAT, p->n_tokens * n_readers);
    uint64_t n_logits = p->fixed ? p->n_used : p->n_experts;
    count_activations(v, p->n_tokens * (n_logits * FLOAT + sizeof(int32_t)));
    count_activations(v, pair_count(p) * (sizeof(int32_t) + FLOAT));
}

static void count_choose_experts(dispatch_view *v) {
    count_route(v, v->d->parameters, 4, 1);
}

static void count_experts_in(dispatch_view *v, uint32_t tokens_at_once) {
    const struct expert_params *p = v->d->parameters;
    expert_use use = use_of_experts(v, p, 11, tokens_at_once);
    count_expert_weights(v, p, &use, in_bytes(p), shared_in_bytes(p), tokens_at_once);
    count_activations(v, ((uint64_t)p->n_tokens * p->width + all_pairs(p) * p->expert_width) * FLOAT);
    count_barriers(v, group_count(v), 1);
}

static void count_experts_gate_up_one(dispatch_view *v) {
    count_route(v, v->d->parameters, 5, (uint64_t)v->d->groups[0] * (v->d->groups[1] - 1));
    count_experts_in(v, 1);
}

static void count_experts_gate_up(dispatch_view *v) {
    const struct expert_params *p = v->d->parameters;
    count_activations(v, pair_count(p) * (sizeof(int32_t) + FLOAT)); /* what choose_experts wrote */
    count_experts_in(v, EXPERT_TOKENS);
}

static void count_experts_down(dispatch_view *v) {
    const struct expert_params *p = v->d->parameters;
    expert_use use = use_of_experts(v, p, 2, EXPERT_TOKENS);
    count_expert_weights(v, p, &use, out_bytes(p), shared_out_bytes(p), EXPERT_TOKENS);
    count_activations(v, all_pairs(p) * (p->expert_width + p->width) * FLOAT + pair_count(p) * sizeof(int32_t));
    count_barriers(v, group_count(v), 1);
}

static void count_experts_down_one(dispatch_view *v) {
    const struct expert_params *p = v->d->parameters;
    expert_use use = use_of_experts(v, p, 2, 1);
    count_expert_weights(v, p, &use, out_bytes(p), shared_out_bytes(p), 1);
    count_activations(v, (all_pairs(p) * p->expert_width + p->width) * FLOAT + pair_count(p) * sizeof(int32_t));
    count_barriers(v, group_count(v), 2);
}

static void count_experts_sum(dispatch_view *v) {
    const struct expert_params *p = v->d->parameters;
    count_activations(v, (all_pairs(p) + p->n_tokens) * p->width * FLOAT);
}

static uint64_t all_tiles(const struct expert_params *p, const expert_use *use) {
    return use->n_passes + divide_up(p->n_tokens, TILE_TOKENS);
}

static void count_sort_pairs(dispatch_view *v) {
    const struct expert_params *p = v->d->parameters;
    expert_use use = use_of_experts(v, p, 1, TILE_TOKENS);
    count_activations(v, pair_count(p) * sizeof(int32_t) + all_pairs(p) * sizeof(uint32_t) +
                             all_tiles(p, &use) * sizeof(struct expert_tile) + sizeof(uint32_t));
    count_barriers(v, group_count(v), 3 + 3 * divide_up(pair_count(p), SORT_THREADS));
}

static void count_tile_tables(dispatch_view *v, const struct expert_params *p, const expert_use *use) {
    count_activations(v, all_pairs(p) * sizeof(uint32_t) + all_tiles(p, use) * sizeof(struct expert_tile) +
                             sizeof(uint32_t));
}

static void count_experts_matmul_in(dispatch_view *v) {
    const struct expert_params *p = v->d->parameters;
    expert_use use = use_of_tiles(v, p);
    count_expert_weights(v, p, &use, in_bytes(p), shared_in_bytes(p), TILE_TOKENS);
    count_tile_tables(v, p, &use);
    count_activations(v, ((uint64_t)p->n_tokens * p->width + pair_count(p) + all_pairs(p) * p->expert_width) * FLOAT);
    count_barriers(v, v->d->groups[0] * all_tiles(p, &use), tile_barriers(p->width));
}

static void count_experts_matmul_out(dispatch_view *v) {
    const struct expert_params *p = v->d->parameters;
    expert_use use = use_of_tiles(v, p);
    count_expert_weights(v, p, &use, out_bytes(p), shared_out_bytes(p), TILE_TOKENS);
    count_tile_tables(v, p, &use);
    count_activations(v, all_pairs(p) * (p->expert_width + p->width) * FLOAT);
    count_barriers(v, v->d->groups[0] * all_tiles(p, &use), tile_barriers(p->expert_width));
}

/* ---- remember.metal ---- */

enum { MAX_RATIO = 128 };

/* One compressor in remember and keep. */
typedef struct compressor_view {
    uint64_t ratio, dim, width;
    uint64_t n_slots, ape_row_bytes;
    bool ape_used[MAX_RATIO][2]; /* a position's first and last half of the channels; without overlap only [0] */
} compressor_view;

static compressor_view compressor_of(const struct remember_params *p, bool is_index) {
    compressor_view c = {.ratio = p->ratio,
                         .dim = is_index ? p->index_dim : p->head_dim,
                         .n_slots = is_index ? p->index_pending_slots : p->pending_slots,
                         .ape_row_bytes = is_index ? p->index_ape_row_bytes : p->ape_row_bytes};
    c.width = p->ratio == 4 ? 2 * c.dim : c.dim;
    return c;
}

static uint32_t compressor_count(const struct remember_params *p) {
    return p->ratio == 4 ? 2 : p->ratio ? 1 : 0;
}

/* The latest n tokens of a span go into the ring. */
static void count_pending(dispatch_view *v, compressor_view *c, const struct span_info *span, uint64_t n) {
    /* kv and gate, read and written */
    count_activations(v, n * 2 * 2 * c->width * FLOAT);
    for (uint64_t i = 0; i < n; i++) {
        uint64_t position = (uint64_t)(span->position + span->n_tokens) - 1 - i;
        c->ape_used[position % c->ratio][0] = c->ape_used[position % c->ratio][1] = true;
    }
}

/* The windows that end in a span. What lies in the batch of a span that goes to the ring is counted there. */
static void count_windows(dispatch_view *v, compressor_view *c, const struct span_info *span) {
    bool overlaps = c->width != c->dim;
    uint64_t start = (uint64_t)span->position, end = start + (uint64_t)span->n_tokens;
    for (uint64_t window = start / c->ratio; window < end / c->ratio; window++) {
        uint64_t own = window * c->ratio;
        for (uint64_t p = overlaps && window ? own - c->ratio : own; p < own + c->ratio; p++) {
            if (p < start || !span->in_rings) count_activations(v, 2 * c->dim * FLOAT);
            if (p >= start) c->ape_used[p % c->ratio][overlaps && p >= own] = true;
        }
    }
}

static void count_ape(dispatch_view *v, const compressor_view *c) {
    uint64_t halves = c->width / c->dim, n = 0;
    for (uint64_t position = 0; position < c->ratio; position++)
        for (uint64_t half = 0; half < halves; half++) n += c->ape_used[position][half];
    count_weights(v, n * c->ape_row_bytes / halves, 1);
}

static uint32_t span_count(const struct token_info *token, uint32_t n_tokens) {
    return (uint32_t)token[n_tokens - 1].span + 1;
}

static uint64_t hadamard_barriers(uint64_t n) {
    uint64_t steps = 0;
    while (1ull << steps < n) steps++;
    return steps + 2;
}

static void count_compressors(dispatch_view *v, const struct remember_params *p) {
    const struct span_info *span = bound(v, 2);
    uint32_t n_spans = span_count(bound(v, 1), p->n_tokens);
    for (uint32_t i = 0; i < compressor_count(p); i++) {
        compressor_view c = compressor_of(p, i == 1);
        for (uint32_t s = 0; s < n_spans; s++) {
            if (span[s].in_rings) count_pending(v, &c, &span[s], (uint64_t)span[s].n_tokens);
            count_windows(v, &c, &span[s]);
        }
        count_ape(v, &c);
        uint64_t row_bytes = i == 1 ? p->index_bytes : p->rows_bytes, barriers = NORM_ROTATE_BARRIERS;
        if (i == 1 && p->row_kind != ROWS_PLAIN) barriers += hadamard_barriers(c.dim);
        if (p->n_windows) count_weights(v, c.dim * FLOAT, p->n_windows);
        count_activations(v, p->n_windows * row_bytes);
        count_barriers(v, p->n_windows, barriers);
    }
    if (p->n_windows) count_activations(v, p->n_windows * (2 * p->n_pairs * FLOAT + sizeof(struct window_info)));
}

static void count_remember(dispatch_view *v) {
    const struct remember_params *p = v->d->parameters;
    uint64_t head_dim = p->head_dim, queries = p->n_heads * head_dim;
    if (p->queries_needed) queries += (uint64_t)p->n_index_heads * p->index_dim;
    count_weights(v, head_dim * FLOAT, p->n_tokens);
    count_activations(v, p->n_tokens * (sizeof(struct token_info) + p->raw_bytes +
                                        (head_dim + 2 * p->n_pairs + 2 * queries) * FLOAT));
    count_barriers(v, p->n_tokens, NORM_ROTATE_BARRIERS);
    count_compressors(v, p);
}

static void count_keep(dispatch_view *v) {
    const struct remember_params *p = v->d->parameters;
    const struct span_info *span = bound(v, 2);
    uint32_t n_spans = span_count(bound(v, 1), p->n_tokens);
    count_activations(v, p->n_tokens * sizeof(struct token_info));
    for (uint32_t s = 0; s < n_spans; s++)
        if (!span[s].in_rings)
            count_activations(v, 2 * at_most((uint64_t)span[s].n_tokens, p->raw_slots) * p->raw_bytes);
    for (uint32_t i = 0; i < compressor_count(p); i++) {
        compressor_view c = compressor_of(p, i == 1);
        for (uint32_t s = 0; s < n_spans; s++)
            if (!span[s].in_rings) count_pending(v, &c, &span[s], at_most((uint64_t)span[s].n_tokens, c.n_slots));
        count_ape(v, &c);
    }
}

/* ---- select.metal, attend.metal ---- */

static uint64_t visible_rows(const struct token_info *token, uint64_t ratio) {
    return ratio ? (uint64_t)(token->position + 1) / ratio : 0;
}

enum { LIST_ENTRY_BYTES = 2 * sizeof(int32_t) }; /* the token's number, and its position */

/* What list[i] sees is also seen by later tokens of its span. */
static bool is_last_of_span(const struct token_info *token, const int32_t *list, uint32_t n, uint32_t i) {
    return i + 1 == n || token[list[i]].span != token[list[i + 1]].span;
}

static void count_score(dispatch_view *v) {
    const struct select_params *p = v->d->parameters;
    const int32_t *list = bound(v, 1);
    const struct token_info *token = bound(v, 2);
    uint64_t heads = p->n_index_heads, barriers = p->row_kind == ROWS_PLAIN ? 0 : 2 * divide_up(heads, SCORE_HEADS);
    for (uint32_t i = 0; i < p->n_tokens; i++) {
        uint64_t rows = visible_rows(&token[list[i]], 4);
        count_activations(v, (heads * p->index_dim + heads + rows) * FLOAT + LIST_ENTRY_BYTES);
        if (is_last_of_span(token, list, p->n_tokens, i)) count_activations(v, rows * p->index_bytes);
        count_barriers(v, divide_up(rows, SCORE_ROWS), barriers);
    }
}

static void count_best_rows(dispatch_view *v) {
    const struct select_params *p = v->d->parameters;
    const int32_t *list = bound(v, 1);
    const struct token_info *token = bound(v, 2);
    for (uint32_t i = 0; i < p->n_tokens; i++)
        count_activations(v, (visible_rows(&token[list[i]], 4) + p->top_k + 1) * FLOAT + LIST_ENTRY_BYTES);
    count_barriers(v, p->n_tokens, SELECT_BARRIERS);
}

/* Rows that a token attends to, in layers of this kind. */
static bool chooses(const struct attend_params *p, const struct token_info *token) {
    return p->ratio == 4 && visible_rows(token, 4) > p->top_k;
}

static uint64_t raw_rows(const struct attend_params *p, const struct token_info *token) {
    return at_most((uint64_t)token->position + 1, p->window);
}

static uint64_t compressed_rows(const struct attend_params *p, const struct token_info *token) {
    return chooses(p, token) ? p->top_k : visible_rows(token, p->ratio);
}

/* Tokens of a span share rows. How many of the chosen ones is not known: none, unless there would be too many. */
static void count_rows(dispatch_view *v, const struct attend_params *p) {
    const struct token_info *token = bound(v, 1);
    uint64_t raw = 0, compressed = 0, n_chosen = 0;
    for (uint32_t t = 0; t < p->n_tokens; t++) {
        raw = raw ? raw + 1 : raw_rows(p, &token[t]);
        if (chooses(p, &token[t]))
            n_chosen += p->top_k;
        else
            compressed = compressed_rows(p, &token[t]);
        if (t + 1 < p->n_tokens && token[t].span == token[t + 1].span) continue;
        compressed = at_most(compressed + n_chosen, visible_rows(&token[t], p->ratio));
        count_activations(v, raw * p->raw_bytes + compressed * p->rows_bytes);
        raw = compressed = n_chosen = 0;
    }
}

static void count_attention(dispatch_view *v, bool chooses_itself) {
    const struct attend_params *p = v->d->parameters;
    const struct token_info *token = bound(v, 1);
    uint64_t values = (uint64_t)p->n_heads * p->head_dim;
    count_weights(v, (uint64_t)p->n_heads * FLOAT, p->n_tokens);
    count_activations(v, p->n_tokens * (sizeof(struct token_info) + (2 * values + 2 * p->n_pairs) * FLOAT));
    count_rows(v, p);
    for (uint32_t t = 0; t < p->n_tokens; t++) {
        if (!chooses(p, &token[t])) continue;
        count_activations(v, (chooses_itself ? visible_rows(&token[t], 4) : p->top_k) * FLOAT);
        if (chooses_itself) count_barriers(v, v->d->groups[0], SELECT_BARRIERS + 1);
    }
    count_barriers(v, group_count(v), ATTEND_END_BARRIERS);
}

static void count_attend_2(dispatch_view *v) {
    count_attention(v, false);
}

static void count_attend_2_choosing(dispatch_view *v) {
    count_attention(v, true);
}

static void count_attend_8(dispatch_view *v) {
    const struct attend_params *p = v->d->parameters;
    const struct token_info *token = bound(v, 1);
    count_attention(v, false);
    for (uint32_t t = 0; t < p->n_tokens; t++) {
        uint64_t rows = raw_rows(p, &token[t]) + compressed_rows(p, &token[t]);
        count_barriers(v, v->d->groups[0], 2 * divide_up(rows, ATTEND_TILE_ROWS) + 1);
    }
}

/* ---- the device ---- */

static const struct {
    const char *name;
    void (*count)(dispatch_view *v);
} KERNEL[] = {
    {"embed", count_embed},
    {"hyper_step", count_hyper_step},
    {"hyper_in", count_hyper_in},
    {"head_in", count_head_in},
    {"matvec_1", count_matvec},
    {"matvec_4", count_matvec},
    {"matvec_16", count_matvec},
    {"matmul", count_matmul},
    {"remember", count_remember},
    {"keep", count_keep},
    {"score", count_score},
    {"best_rows", count_best_rows},
    {"attend_2", count_attend_2},
    {"attend_2_choosing", count_attend_2_choosing},
    {"attend_8", count_attend_8},
    {"choose_experts", count_choose_experts},
    {"sort_pairs", count_sort_pairs},
    {"experts_gate_up_one", count_experts_gate_up_one},
    {"experts_gate_up", count_experts_gate_up},
    {"experts_down_one", count_experts_down_one},
    {"experts_down", count_experts_down},
    {"experts_matmul_in", count_experts_matmul_in},
    {"experts_matmul_out", count_experts_matmul_out},
    {"experts_sum", count_experts_sum},
};
enum { N_KERNELS = sizeof KERNEL / sizeof *KERNEL };

struct device_kernel {
    size_t index;
};

typedef struct counting_device {
    device base;
    bool executed;
    device_kernel kernel[N_KERNELS];
    counting_kernel counted[N_KERNELS];
} counting_device;

static counting_device *counting_of(device *d) {
    return (counting_device *)(void *)d;
}

static void device_free(device *d) {
    free(d);
}

static ds4_status new_buffer(void *contents, bool owned, device_buffer **out, ds4_error *error) {
    device_buffer *buffer = contents ? array_new(1, sizeof *buffer) : NULL;
    if (!buffer) {
        if (owned) free(contents);
        return error_memory(error, "counting device: a buffer", sizeof *buffer);
    }
    *buffer = (device_buffer){.contents = contents, .owned = owned};
    *out = buffer;
    return DS4_OK;
}

static ds4_status buffer_new(device *d, size_t n_bytes, device_buffer **out, ds4_error *error) {
    (void)d;
    return new_buffer(array_new(n_bytes, 1), true, out, error); /* large ones take no memory before they are written */
}

static ds4_status buffer_wrap(device *d, const void *data, size_t n_bytes, device_buffer **out, ds4_error *error) {
    (void)d;
    (void)n_bytes;
    return new_buffer((void *)(uintptr_t)data, false, out, error);
}

static void buffer_free(device *d, device_buffer *buffer) {
    (void)d;
    if (buffer->owned) free(buffer->contents);
    free(buffer);
}

static void *buffer_contents(const device_buffer *buffer) {
    return buffer->contents;
}

static ds4_status kernel_new(device *d, const char *name, const device_constants *constants, uint32_t n_threads,
                             device_kernel **out, ds4_error *error) {
    (void)constants;
    (void)n_threads;
    for (size_t i = 0; i < N_KERNELS; i++) {
        if (strcmp(KERNEL[i].name, name) != 0) continue;
        *out = &counting_of(d)->kernel[i];
        return DS4_OK;
    }
    return error_set(error, DS4_ERROR_ARGUMENT, "counting device: kernel %s is not known", name);
}

static void kernel_free(device *d, device_kernel *kernel) {
    (void)d;
    (void)kernel;
}

static ds4_status succeed(device *d, ds4_error *error) {
    (void)d;
    (void)error;
    return DS4_OK;
}

static void dispatch(device *d, const device_dispatch *item) {
    counting_device *counting = counting_of(d);
    size_t i = item->kernel->index;
    dispatch_view v = {.d = item, .executed = counting->executed, .totals = &counting->counted[i].totals};
    v.totals->dispatches++;
    KERNEL[i].count(&v);
}

static const device_ops OPS = {
    .name = "counting",
    .free = device_free,
    .buffer_new = buffer_new,
    .buffer_wrap = buffer_wrap,
    .buffer_free = buffer_free,
    .buffer_contents = buffer_contents,
    .kernel_new = kernel_new,
    .kernel_free = kernel_free,
    .begin = succeed,
    .dispatch = dispatch,
    .submit = succeed,
    .wait = succeed,
};

ds4_status counting_device_new(bool executed, device **out, ds4_error *error) {
    counting_device *counting = array_new(1, sizeof *counting);
    if (!counting) return error_memory(error, "counting device", sizeof *counting);
    counting->base = (device){.op = &OPS,
                              .limits = {.name = "counting device",
                                         .max_buffer_bytes = UINT64_MAX / 2,
                                         .wrap_alignment = (uint32_t)sysconf(_SC_PAGESIZE)}};
    counting->executed = executed;
    for (size_t i = 0; i < N_KERNELS; i++) {
        counting->kernel[i].index = i;
        counting->counted[i].name = KERNEL[i].name;
    }
    *out = &counting->base;
    return DS4_OK;
}

counting_totals counting_device_totals(const device *d) {
    const counting_device *counting = (const counting_device *)(const void *)d;
    counting_totals sum = {0};
    for (size_t i = 0; i < N_KERNELS; i++) {
        const counting_totals *totals = &counting->counted[i].totals;
        sum.dispatches += totals->dispatches;
        sum.weight_bytes += totals->weight_bytes;
        sum.weight_reads += totals->weight_reads;
        sum.activation_bytes += totals->activation_bytes;
        sum.barriers += totals->barriers;
    }
    return sum;
}

const counting_kernel *counting_device_kernels(const device *d, size_t *n) {
    *n = N_KERNELS;
    return ((const counting_device *)(const void *)d)->counted;
}

void counting_device_reset(device *d) {
    counting_device *counting = counting_of(d);
    for (size_t i = 0; i < N_KERNELS; i++) counting->counted[i].totals = (counting_totals){0};
}
