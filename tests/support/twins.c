#include "support/twins.h"

#include "test.h"

#include "backend/cpu/cpu.h"
#include "backend/gpu/gpu.h"
#include "base/half.h"
#include "engine/engine.h"
#include "support/records.h"
#include "support/tiny_model.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { CHUNK = 160 };
static const double LIMIT = 2e-5; /* of the rms */

/* One side: an engine and its timelines. */
struct side {
    ds4_engine *engine;
    ds4_timeline *timeline[TWINS_MAX_TIMELINES];
    batch b;
    batch_span span[TWINS_MAX_TIMELINES];
    float *logits;
};

struct twins {
    twins_setup setup;
    ds4_model *model;
    struct side cpu, gpu;
    int first_layer, end_layer; /* that batches go through */
    int32_t token[CHUNK], span_of[CHUNK];
    int64_t position[CHUNK];
    uint32_t seed;
};

static uint32_t random_bits(struct twins *twins) {
    twins->seed = twins->seed * 1664525u + 1013904223u;
    return twins->seed >> 8;
}

static void open_side(struct twins *twins, struct side *side, const char *name) {
    const twins_setup *setup = &twins->setup;
    ds4_error error;
    ds4_engine_options options = {.backend = name,
                                  .exact = true,
                                  .n_threads = setup->n_threads ? setup->n_threads : 1,
                                  .chunk_tokens = CHUNK,
                                  .float_rows = setup->rows == TWINS_ROUNDED_FLOATS,
                                  .no_qat = setup->rows == TWINS_FLOATS};
    assert_ok(ds4_engine_new(twins->model, &options, &side->engine, &error), &error);
    size_t context = setup->context ? setup->context : 1024;
    for (int i = 0; i < setup->n_timelines; i++)
        assert_ok(ds4_timeline_new(side->engine, context, &side->timeline[i], &error), &error);
    side->logits = calloc((size_t)CHUNK * ds4_model_n_vocab(twins->model), sizeof(float));
    assert_non_null(side->logits);
}

static void close_side(struct side *side) {
    for (int i = 0; i < TWINS_MAX_TIMELINES; i++) ds4_timeline_free(side->timeline[i]);
    ds4_engine_free(side->engine);
    free(side->logits);
}

struct twins *twins_open_with(const twins_setup *setup) {
    struct twins *twins = calloc(1, sizeof *twins);
    ds4_error error;
    assert_non_null(twins);
    twins->setup = *setup;
    twins->seed = 7;
    assert_ok(ds4_model_open(setup->path, DS4_MODEL_FULL, &twins->model, &error), &error);
    if (setup->n_layers) twins->model->hparams.n_layers = setup->n_layers;
    open_side(twins, &twins->cpu, "cpu");
    open_side(twins, &twins->gpu, setup->backend ? setup->backend : "sim");
    twins_use_layers(twins, 0, twins->model->hparams.n_layers);
    return twins;
}

struct twins *twins_open(const char *tiny_model, twins_rows rows, int n_timelines) {
    return twins_open_with(
        &(twins_setup){.path = tiny_model_path(tiny_model), .rows = rows, .n_timelines = n_timelines});
}

ds4_timeline *twins_timeline(const struct twins *twins, bool of_gpu, int index) {
    return (of_gpu ? &twins->gpu : &twins->cpu)->timeline[index];
}

void twins_close(struct twins *twins) {
    close_side(&twins->cpu);
    close_side(&twins->gpu);
    ds4_model_free(twins->model);
    free(twins);
}

void twins_use_layers(struct twins *twins, int first, int end) {
    twins->first_layer = first;
    twins->end_layer = end;
}

/* ---- values of both sides ---- */

static void check(const struct twins *twins, const char *what, const float *actual, const float *expected, size_t n) {
    if (!twins->setup.by_value) {
        check_close(what, actual, expected, n, LIMIT);
        return;
    }
    double rms = root_mean_square(expected, n);
    for (size_t i = 0; i < n; i++)
        if (!(fabs((double)actual[i] - (double)expected[i]) <= LIMIT * (rms + fabs((double)expected[i]))))
            fail_msg("%s: value %zu is %.9g, expected %.9g; rms %.3g", what, i, (double)actual[i], (double)expected[i],
                     rms);
}

static gpu_backend *gpu_backend_of(const struct twins *twins) {
    return (gpu_backend *)(void *)twins->gpu.engine->backend;
}

enum { POISON = 0x7e }; /* of every byte: as a float 8e37, and an index beyond everything */

/* The activations that the CPU's and the GPU's values are compared in, and how many floats a token has. */
struct part {
    const float *from;
    float *to;
    size_t floats;
};

enum { N_PARTS = 14, N_PROJECTED = 7 /* the last ones: outputs of `project` */ };

static void list_parts(const struct twins *twins, struct part part[N_PARTS]) {
    const hyperparameters *h = &twins->model->hparams;
    const activations *from = &twins->cpu.engine->act, *to = &twins->gpu.engine->act;
    size_t width = (size_t)h->width, head_dim = (size_t)h->head_dim, index_dim = (size_t)h->index_dim;
    const struct part list[N_PARTS] = {
        {from->q, to->q, (size_t)h->n_heads * head_dim},
        {from->index_q, to->index_q, (size_t)h->n_index_heads * index_dim},
        {from->heads, to->heads, (size_t)h->n_heads * head_dim},
        {from->y, to->y, width},
        {from->streams, to->streams, MODEL_STREAMS * width},
        {from->x, to->x, width},
        {from->mix, to->mix, MODEL_MIX},
        {from->low.q_a, to->low.q_a, (size_t)h->q_rank},
        {from->low.kv, to->low.kv, head_dim},
        {from->low.compressor_kv, to->low.compressor_kv, 2 * head_dim},
        {from->low.compressor_gate, to->low.compressor_gate, 2 * head_dim},
        {from->low.index_kv, to->low.index_kv, 2 * index_dim},
        {from->low.index_gate, to->low.index_gate, 2 * index_dim},
        {from->low.index_weight, to->low.index_weight, (size_t)h->n_index_heads},
    };
    memcpy(part, list, sizeof list);
}

/* What `project` computes stays as it is on the GPU once `remember` has seen it: the CPU changes its own in place. */
static void copy_activations(const struct twins *twins, bool projected) {
    struct part part[N_PARTS];
    list_parts(twins, part);
    size_t n_tokens = (size_t)twins->cpu.b.n_tokens;
    for (int i = 0; i < (projected ? N_PARTS : N_PARTS - N_PROJECTED); i++)
        memcpy(part[i].to, part[i].from, n_tokens * part[i].floats * sizeof(float));
}

/* No step may use what an earlier one left in the GPU's scratch, nor tokens behind the batch's. Rows that were made in
 * the batch (`fresh`) are more than scratch. */
static void poison(const struct twins *twins) {
    struct part part[N_PARTS];
    list_parts(twins, part);
    const hyperparameters *h = &twins->model->hparams;
    gpu_backend *gpu = gpu_backend_of(twins);
    size_t n_tokens = (size_t)twins->cpu.b.n_tokens, pairs = CHUNK * ((size_t)h->n_experts_used + 1);
    const struct part scratch[] = {
        {NULL, gpu->partial, CHUNK * (((size_t)h->width + HYPER_COLUMNS - 1) / HYPER_COLUMNS) * HYPER_SUMS},
        {NULL, gpu->router, CHUNK * (size_t)h->n_experts},
        {NULL, gpu->low, CHUNK * (size_t)(h->n_groups * h->group_rank)},
        {NULL, gpu->hidden, pairs * (size_t)h->expert_width},
        {NULL, gpu->down, pairs * (size_t)h->width},
        {NULL, gpu->head, CHUNK * (size_t)h->width},
        {NULL, (float *)(void *)gpu->order, pairs},
        {NULL, (float *)(void *)gpu->tile, 3 * (pairs / TILE_TOKENS + (size_t)h->n_experts + 2)},
        {NULL, gpu->score, gpu->score_floats},
        {NULL, gpu->logits, gpu->logits_floats},
    };
    for (int i = 0; i < N_PARTS; i++)
        memset(part[i].to + n_tokens * part[i].floats, POISON, (CHUNK - n_tokens) * part[i].floats * sizeof(float));
    for (size_t i = 0; i < sizeof scratch / sizeof *scratch; i++)
        if (scratch[i].to) memset(scratch[i].to, POISON, scratch[i].floats * sizeof(float));
}

/* Nothing was written behind the batch's tokens. */
static void check_poison(const struct twins *twins) {
    struct part part[N_PARTS];
    list_parts(twins, part);
    for (int i = 0; i < N_PARTS; i++) {
        const uint8_t *byte = (const uint8_t *)part[i].to;
        size_t floats = part[i].floats * sizeof(float);
        for (size_t at = (size_t)twins->cpu.b.n_tokens * floats; at < CHUNK * floats; at++)
            if (byte[at] != POISON) fail_msg("activations %d: written behind the last token", i);
    }
}

/* What has been recorded runs, and recording goes on. */
static void run_step(const struct twins *twins) {
    gpu_backend *gpu = gpu_backend_of(twins);
    ds4_error error;
    if (gpu->status != DS4_OK) fail_msg("%s", gpu->error.message);
    poison(twins);
    assert_ok(gpu->device->op->submit(gpu->device, &error), &error);
    assert_ok(gpu->device->op->wait(gpu->device, &error), &error);
    check_poison(twins);
    assert_ok(gpu->device->op->begin(gpu->device, &error), &error);
}

static void compare(const struct twins *twins, int layer, const char *what, const float *gpu, const float *cpu,
                    size_t floats_per_token) {
    char name[96];
    snprintf(name, sizeof name, "%d tokens, layer %d: %s", twins->cpu.b.n_tokens, layer, what);
    check(twins, name, gpu, cpu, (size_t)twins->cpu.b.n_tokens * floats_per_token);
}

/* Rows that both sides made of nearly the same values: a last bit may move a value to the neighbouring code. */
static void compare_row(const row_format *format, const uint8_t *gpu, const uint8_t *cpu, size_t *n_off, size_t *n) {
    float a[512], b[512];
    row_decode(format, gpu, a);
    row_decode(format, cpu, b);
    for (int i = 0; i < format->n_channels; i++, ++*n)
        if (!(fabsf(a[i] - b[i]) <= 1e-4f * fabsf(b[i]) + 1e-6f)) {
            ++*n_off;
            if (!(fabsf(a[i] - b[i]) <= 0.51f * fabsf(b[i]) + 0.51f))
                fail_msg("row channel %d: %g, expected %g", i, (double)a[i], (double)b[i]);
        }
}

/* The new rows of a layer; then the CPU's take the place of the GPU's. */
static void check_rows(const struct twins *twins, int l) {
    const hyperparameters *h = &twins->model->hparams;
    const row_formats *format = &twins->cpu.engine->backend->format;
    const cpu_backend *cpu = (const cpu_backend *)(const void *)twins->cpu.engine->backend;
    gpu_backend *gpu = gpu_backend_of(twins);
    size_t n_off = 0, n = 0;
    for (int s = 0; s < twins->cpu.b.n_spans; s++) {
        const batch_span *span = &twins->cpu.span[s];
        layer_memory *from = &twins->cpu.span[s].memory[l], *to = &twins->gpu.span[s].memory[l];
        for (int i = 0; i < span->n_tokens; i++) {
            const uint8_t *row = cpu->fresh + (size_t)(span->first + i) * format->raw.n_bytes;
            uint8_t *other = span->n_tokens <= DS4_FREE_REWIND_TOKENS
                                 ? to->raw + (size_t)((span->position + i) % to->raw_slots) * format->raw.n_bytes
                                 : gpu->fresh + (size_t)(span->first + i) * format->raw.n_bytes;
            compare_row(&format->raw, other, row, &n_off, &n);
            memcpy(other, row, format->raw.n_bytes);
        }
        for (int kind = 0; kind < 2; kind++) {
            if (kind ? h->ratio[l] != 4 : !h->ratio[l]) continue;
            const row_format *f = kind ? &format->index : &format->compressed;
            row_pages *a = kind ? &from->index_rows : &from->rows, *b = kind ? &to->index_rows : &to->rows;
            for (int64_t r = span->position / h->ratio[l]; r < (span->position + span->n_tokens) / h->ratio[l]; r++) {
                uint8_t *row = row_pages_at(a, (size_t)r, f->n_bytes), *other = row_pages_at(b, (size_t)r, f->n_bytes);
                compare_row(f, other, row, &n_off, &n);
                memcpy(other, row, f->n_bytes);
            }
        }
    }
    if (n_off > n / 500 + 2) fail_msg("layer %d: %zu of %zu row values are off", l, n_off, n);
}

/* What the rings hold of the latest tokens. */
static void check_rings(const struct twins *twins, int l) {
    const hyperparameters *h = &twins->model->hparams;
    size_t raw_bytes = twins->cpu.engine->backend->format.raw.n_bytes;
    for (int s = 0; s < twins->cpu.b.n_spans; s++) {
        const batch_span *span = &twins->cpu.span[s];
        layer_memory *cpu = &twins->cpu.span[s].memory[l], *gpu = &twins->gpu.span[s].memory[l];
        for (int i = span->n_tokens > cpu->raw_slots ? span->n_tokens - cpu->raw_slots : 0; i < span->n_tokens; i++) {
            size_t at = (size_t)((span->position + i) % cpu->raw_slots) * raw_bytes;
            assert_memory_equal(gpu->raw + at, cpu->raw + at, raw_bytes);
        }
        const pending_ring *rings[2][2] = {{&cpu->pending, &gpu->pending}, {&cpu->index_pending, &gpu->index_pending}};
        for (int k = 0; k < (h->ratio[l] == 4 ? 2 : h->ratio[l] != 0); k++) {
            const pending_ring *from = rings[k][0], *to = rings[k][1];
            size_t floats = 2 * (size_t)from->width;
            for (int i = span->n_tokens > from->n_slots ? span->n_tokens - from->n_slots : 0; i < span->n_tokens; i++) {
                size_t at = (size_t)((span->position + i) % from->n_slots) * floats;
                check(twins, "pending values", to->values + at, from->values + at, floats);
                memcpy(to->values + at, from->values + at, floats * sizeof(float));
            }
        }
    }
}

/* ---- batches ---- */

static void choose_tokens(struct twins *twins, int n) {
    for (int i = 0; i < n; i++)
        twins->token[i] = (int32_t)(random_bits(twins) % (uint32_t)ds4_model_n_vocab(twins->model));
}

static void copy_ring(pending_ring *to, const pending_ring *from) {
    memcpy(to->values, from->values, (size_t)from->n_slots * 2 * (size_t)from->width * sizeof *from->values);
}

/* Five indexer rows each are equal, so that scores tie and one of the fives is chosen in part: its first rows. */
static void make_ties(const row_pages *pages, size_t n_rows, size_t row_bytes) {
    for (size_t r = 0; r < n_rows; r++)
        memcpy(row_pages_at(pages, r, row_bytes), row_pages_at(pages, r / 5 * 5, row_bytes), row_bytes);
}

static void copy_rows(const row_pages *to, const row_pages *from, size_t page_bytes) {
    for (size_t i = 0; i < from->n; i++) memcpy(to->page[i]->rows, from->page[i]->rows, page_bytes);
}

static void copy_layer(const struct twins *twins, int l, layer_memory *to, const layer_memory *from) {
    const row_formats *format = &twins->cpu.engine->backend->format;
    int ratio = twins->model->hparams.ratio[l];
    memcpy(to->raw, from->raw, (size_t)from->raw_slots * format->raw.n_bytes);
    if (!ratio) return;
    copy_ring(&to->pending, &from->pending);
    copy_rows(&to->rows, &from->rows, ROWS_PER_PAGE * format->compressed.n_bytes);
    if (ratio != 4) return;
    copy_ring(&to->index_pending, &from->index_pending);
    copy_rows(&to->index_rows, &from->index_rows, ROWS_PER_PAGE * format->index.n_bytes);
}

void twins_skip(struct twins *twins, const int *lengths) {
    ds4_error error;
    const row_formats *format = &twins->cpu.engine->backend->format;
    for (int s = 0; s < twins->setup.n_timelines; s++) {
        ds4_timeline *cpu = twins->cpu.timeline[s], *gpu = twins->gpu.timeline[s];
        for (int n, left = lengths[s]; left; left -= n) {
            n = left < CHUNK ? left : CHUNK;
            choose_tokens(twins, n);
            ds4_span span = {.timeline = cpu, .tokens = twins->token, .n_tokens = (size_t)n};
            assert_ok(ds4_engine_evaluate(twins->cpu.engine, &span, 1, NULL, NULL, &error), &error);
            assert_ok(timeline_reserve(gpu, (size_t)n, &error), &error);
            assert_ok(ds4_tokens_append(&gpu->tokens, twins->token, (size_t)n, &error), &error);
        }
        for (int l = 0; l < twins->model->hparams.n_layers; l++) {
            if (twins->model->hparams.ratio[l] == 4)
                make_ties(&cpu->layer[l].index_rows, cpu->tokens.n / 4, format->index.n_bytes);
            copy_layer(twins, l, &gpu->layer[l], &cpu->layer[l]);
        }
    }
}

static void prepare(struct twins *twins, struct side *side, const int *lengths, bool all_wanted) {
    ds4_error error;
    size_t n_vocab = ds4_model_n_vocab(twins->model), n_logits = 0;
    side->b = (batch){.backend = side->engine->backend,
                      .token = twins->token,
                      .position = twins->position,
                      .span_of = twins->span_of,
                      .span = side->span};
    for (int s = 0; s < twins->setup.n_timelines; s++) {
        if (!lengths[s]) continue;
        ds4_timeline *timeline = side->timeline[s];
        assert_ok(timeline_reserve(timeline, (size_t)lengths[s], &error), &error);
        batch_span *span = &side->span[side->b.n_spans];
        *span = (batch_span){.memory = timeline->layer,
                             .position = (int64_t)timeline->tokens.n,
                             .first = side->b.n_tokens,
                             .n_tokens = lengths[s],
                             .n_wanted = all_wanted ? lengths[s] : 1,
                             .logits = side->logits + n_logits * n_vocab};
        n_logits += (size_t)span->n_wanted;
        for (int i = 0; i < lengths[s]; i++) {
            twins->position[side->b.n_tokens + i] = span->position + i;
            twins->span_of[side->b.n_tokens + i] = side->b.n_spans;
        }
        side->b.n_tokens += lengths[s];
        side->b.n_spans++;
    }
}

static void step_hyper_in(struct twins *twins, const hyper_weights *w, const gguf_tensor *norm, bool mixes, int l) {
    const struct side *side[] = {&twins->cpu, &twins->gpu};
    copy_activations(twins, true);
    for (int i = 0; i < 2; i++) {
        const activations *a = &side[i]->engine->act;
        const backend_ops *op = side[i]->b.backend->op;
        if (mixes) op->hyper_out(&side[i]->b, a->y, a->mix, a->streams);
        op->hyper_in(&side[i]->b, w, norm, a->streams, a->x, a->mix);
    }
    run_step(twins);
    const activations *c = &twins->cpu.engine->act, *g = &twins->gpu.engine->act;
    size_t width = (size_t)twins->model->hparams.width;
    compare(twins, l, "streams", g->streams, c->streams, MODEL_STREAMS * width);
    compare(twins, l, "x", g->x, c->x, width);
    compare(twins, l, "mix", g->mix, c->mix, MODEL_MIX);
}

static void step_project(struct twins *twins, const layer_weights *w) {
    copy_activations(twins, true);
    const projections *c = &twins->cpu.engine->act.low, *g = &twins->gpu.engine->act.low;
    const hyperparameters *h = &twins->model->hparams;
    cpu_of(&twins->cpu.b)->base.op->project(&twins->cpu.b, w, twins->cpu.engine->act.x, c);
    gpu_ops.project(&twins->gpu.b, w, twins->gpu.engine->act.x, g);
    run_step(twins);
    size_t dim = (size_t)h->head_dim * (w->ratio == 4 ? 2 : 1), index = 2 * (size_t)h->index_dim;
    compare(twins, w->index, "q_a", g->q_a, c->q_a, (size_t)h->q_rank);
    compare(twins, w->index, "kv", g->kv, c->kv, (size_t)h->head_dim);
    if (!w->ratio) return;
    compare(twins, w->index, "compressor kv", g->compressor_kv, c->compressor_kv, dim);
    compare(twins, w->index, "compressor gate", g->compressor_gate, c->compressor_gate, dim);
    if (w->ratio != 4) return;
    compare(twins, w->index, "index kv", g->index_kv, c->index_kv, index);
    compare(twins, w->index, "index gate", g->index_gate, c->index_gate, index);
    compare(twins, w->index, "index weight", g->index_weight, c->index_weight, (size_t)h->n_index_heads);
}

/* An eighth of the channels becomes so small that many codes are subnormal. */
static void shrink_channels(float *values, size_t width, int n_tokens) {
    for (size_t i = 3; i < (size_t)n_tokens * width; i += 8) values[i] *= 0x1p-13f;
}

static void step_remember(struct twins *twins, const layer_weights *w) {
    const projections *low = &twins->cpu.engine->act.low;
    size_t head_dim = (size_t)twins->model->hparams.head_dim;
    shrink_channels(low->kv, head_dim, twins->cpu.b.n_tokens);
    if (w->ratio) shrink_channels(low->compressor_kv, w->ratio == 4 ? 2 * head_dim : head_dim, twins->cpu.b.n_tokens);
    copy_activations(twins, true);
    const struct side *side[] = {&twins->cpu, &twins->gpu};
    for (int i = 0; i < 2; i++) {
        const activations *a = &side[i]->engine->act;
        side[i]->b.backend->op->queries(&side[i]->b, w, &a->low, a->q, a->index_q);
        side[i]->b.backend->op->remember(&side[i]->b, w, &a->low);
    }
    run_step(twins);
    const activations *c = &twins->cpu.engine->act, *g = &twins->gpu.engine->act;
    const hyperparameters *h = &twins->model->hparams;
    compare(twins, w->index, "q", g->q, c->q, (size_t)(h->n_heads * h->head_dim));
    if (w->ratio == 4 && gpu_backend_of(twins)->tables.n_list) {
        const row_format *format = &twins->cpu.engine->backend->format.index;
        size_t n_off = 0, n = 0, floats = (size_t)twins->cpu.b.n_tokens * (size_t)(h->n_index_heads * h->index_dim);
        row_format plain = row_format_index(h->index_dim, false, false);
        (void)format;
        for (size_t i = 0; i < floats; i += (size_t)h->index_dim)
            compare_row(&plain, (const uint8_t *)(g->index_q + i), (const uint8_t *)(c->index_q + i), &n_off, &n);
        if (n_off > n / 500 + 2) fail_msg("layer %d: %zu of %zu indexer query values are off", w->index, n_off, n);
    }
    check_rows(twins, w->index);
}

/* cpu_select leaves ranks where the scores were: rank_scores undone. */
static float score_of_rank(float stored) {
    int32_t rank = (int32_t)float_to_bits(stored);
    return float_from_bits((uint32_t)(rank < 0 ? ~rank : rank ^ INT32_MIN));
}

/* What the indexer says of each row that a token sees, of tokens that must choose. */
static void check_scores(const struct twins *twins) {
    const batch *b = &twins->cpu.b;
    float *cpu = cpu_of(b)->score;
    const float *gpu = gpu_backend_of(twins)->score;
    size_t stride = gpu_backend_of(twins)->tables.most_rows, n = 0;
    for (int t = 0; t < b->n_tokens; t++) {
        size_t n_rows = (size_t)(b->position[t] + 1) / 4;
        if (n_rows <= (size_t)twins->model->hparams.index_top_k) continue;
        for (size_t i = n * stride; i < n * stride + n_rows; i++) cpu[i] = score_of_rank(cpu[i]);
        check(twins, "scores", gpu + n * stride, cpu + n * stride, n_rows);
        n++;
    }
}

static void step_attend(struct twins *twins, const layer_weights *w) {
    copy_activations(twins, false);
    const struct side *side[] = {&twins->cpu, &twins->gpu};
    for (int i = 0; i < 2; i++) {
        const activations *a = &side[i]->engine->act;
        side[i]->b.backend->op->select(&side[i]->b, w, &a->low, a->index_q, a->selected, a->n_selected);
        side[i]->b.backend->op->attend(&side[i]->b, w, a->q, a->selected, a->n_selected, a->heads);
    }
    run_step(twins);
    const activations *c = &twins->cpu.engine->act, *g = &twins->gpu.engine->act;
    const hyperparameters *h = &twins->model->hparams;
    size_t top_k = (size_t)h->index_top_k;
    if (w->ratio == 4) check_scores(twins);
    for (int t = 0; t < twins->cpu.b.n_tokens && twins->cpu.b.n_tokens > MAX_MATVEC_TOKENS; t++)
        if (c->n_selected[t] >= 0)
            assert_memory_equal(g->selected + (size_t)t * top_k, c->selected + (size_t)t * top_k,
                                top_k * sizeof *c->selected);
    compare(twins, w->index, "heads", g->heads, c->heads, (size_t)(h->n_heads * h->head_dim));
    check_rings(twins, w->index);
}

static void step_attend_out(struct twins *twins, const layer_weights *w) {
    copy_activations(twins, true);
    const activations *c = &twins->cpu.engine->act, *g = &twins->gpu.engine->act;
    twins->cpu.b.backend->op->attend_out(&twins->cpu.b, w, c->heads, c->y);
    gpu_ops.attend_out(&twins->gpu.b, w, g->heads, g->y);
    run_step(twins);
    compare(twins, w->index, "attention's y", g->y, c->y, (size_t)twins->model->hparams.width);
}

static void step_experts(struct twins *twins, const layer_weights *w) {
    copy_activations(twins, true);
    const struct side *side[] = {&twins->cpu, &twins->gpu};
    for (int i = 0; i < 2; i++) {
        const activations *a = &side[i]->engine->act;
        side[i]->b.backend->op->route(&side[i]->b, w, a->x, a->expert, a->expert_weight);
        side[i]->b.backend->op->experts(&side[i]->b, w, a->x, a->expert, a->expert_weight, a->y);
    }
    run_step(twins);
    const activations *c = &twins->cpu.engine->act, *g = &twins->gpu.engine->act;
    size_t n_used = (size_t)twins->model->hparams.n_experts_used;
    assert_memory_equal(g->expert, c->expert, (size_t)twins->cpu.b.n_tokens * n_used * sizeof *c->expert);
    compare(twins, w->index, "expert weights", g->expert_weight, c->expert_weight, n_used);
    compare(twins, w->index, "experts' y", g->y, c->y, (size_t)twins->model->hparams.width);
}

void twins_check_batch(struct twins *twins, const int *lengths, bool all_wanted) {
    ds4_error error;
    const model_weights *w = &twins->model->weights;
    prepare(twins, &twins->cpu, lengths, all_wanted);
    prepare(twins, &twins->gpu, lengths, all_wanted);
    choose_tokens(twins, twins->cpu.b.n_tokens);
    struct side *side[] = {&twins->cpu, &twins->gpu};
    for (int i = 0; i < 2; i++) {
        assert_ok(side[i]->b.backend->op->begin(&side[i]->b, &error), &error);
        side[i]->b.backend->op->embed(&side[i]->b, w->token_embedding, side[i]->engine->act.streams);
    }
    run_step(twins);
    compare(twins, 0, "embedding", twins->gpu.engine->act.streams, twins->cpu.engine->act.streams,
            MODEL_STREAMS * (size_t)twins->model->hparams.width);
    for (int l = twins->first_layer; l < twins->end_layer; l++) {
        const layer_weights *layer = &w->layer[l];
        step_hyper_in(twins, &layer->hyper_attn, layer->attn_norm, l > twins->first_layer, l);
        step_project(twins, layer);
        step_remember(twins, layer);
        step_attend(twins, layer);
        step_attend_out(twins, layer);
        step_hyper_in(twins, &layer->hyper_ffn, layer->ffn_norm, true, l);
        step_experts(twins, layer);
    }
    copy_activations(twins, true);
    for (int i = 0; i < 2; i++) {
        const activations *a = &side[i]->engine->act;
        const backend_ops *op = side[i]->b.backend->op;
        op->hyper_out(&side[i]->b, a->y, a->mix, a->streams);
        op->logits(&side[i]->b, w, a->streams);
        assert_ok(op->finish(&side[i]->b, &error), &error);
        for (int s = 0, n = 0; s < twins->setup.n_timelines; s++) {
            if (!lengths[s]) continue;
            const batch_span *span = &side[i]->span[n++];
            assert_ok(ds4_tokens_append(&side[i]->timeline[s]->tokens, twins->token + span->first,
                                        (size_t)span->n_tokens, &error),
                      &error);
        }
    }
    size_t n_wanted = all_wanted ? (size_t)twins->cpu.b.n_tokens : (size_t)twins->cpu.b.n_spans;
    check(twins, "logits", twins->gpu.logits, twins->cpu.logits, n_wanted * ds4_model_n_vocab(twins->model));
}
