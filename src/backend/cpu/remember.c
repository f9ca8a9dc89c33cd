/*
 * What a layer keeps of new tokens (spec: model math, sections 4, 6 and 8): raw rows for the window, and the
 * compressors' finished rows. Tokens of the span are read from the batch, earlier ones from the rings.
 */
#include "backend/cpu/cpu.h"

#include <string.h>

/* One compressor at work: the layer's own or its indexer's. */
struct compression {
    const batch *b;
    const compressor_weights *w;
    const row_format *format;
    const float *kv;
    float *gate;
    int ratio, dim, width;
    bool is_index;
};

static pending_ring *ring_of(const struct compression *c, layer_memory *memory) {
    return c->is_index ? &memory->index_pending : &memory->pending;
}

static void add_ape_task(void *context, size_t t, int thread) {
    const struct compression *c = context;
    const gguf_tensor *ape = c->w->ape;
    float *values = cpu_of(c->b)->thread_scratch[thread];
    size_t slot = (size_t)(c->b->position[t] % c->ratio);
    ape->format->decode(ape->data + slot * ape->row_bytes, values, ape->ne[0] / ape->format->n_elements);
    cpu_of(c->b)->kernels->f->add_scaled(c->gate + t * (size_t)c->width, 1.0f, values, (size_t)c->width);
}

static pooled_token token_at(const struct compression *c, const batch_span *span, layer_memory *memory,
                             int64_t position, int lane) {
    size_t width = (size_t)c->width, offset = (size_t)(lane * c->dim);
    if (position >= span->position) {
        size_t t = (size_t)(span->first + (position - span->position));
        return (pooled_token){c->kv + t * width + offset, c->gate + t * width + offset};
    }
    const pending_ring *ring = ring_of(c, memory);
    const float *slot = ring->values + (size_t)(position % ring->n_slots) * 2 * width;
    return (pooled_token){slot + offset, slot + width + offset};
}

/* The tokens that window w pools. Ratio 4 overlaps: the previous window takes part with its first lane, the
 * window's own tokens with the second. */
static size_t window_tokens(const struct compression *c, const batch_span *span, layer_memory *memory, int64_t w,
                            pooled_token *tokens) {
    size_t n = 0;
    bool overlapping = c->width != c->dim;
    if (overlapping && w > 0)
        for (int i = 0; i < c->ratio; i++) tokens[n++] = token_at(c, span, memory, (w - 1) * c->ratio + i, 0);
    for (int i = 0; i < c->ratio; i++) tokens[n++] = token_at(c, span, memory, w * c->ratio + i, overlapping);
    return n;
}

struct window_task {
    const struct compression *c;
    const batch_span *span;
    layer_memory *memory;
    int64_t first_window;
};

static void window_task(void *context, size_t task_index, int thread) {
    const struct window_task *task = context;
    const struct compression *c = task->c;
    const backend *base = c->b->backend;
    const float_kernels *f = cpu_of(c->b)->kernels->f;
    int64_t window = task->first_window + (int64_t)task_index;
    pooled_token tokens[128];
    size_t n = window_tokens(c, task->span, task->memory, window, tokens);
    float *row = cpu_of(c->b)->thread_scratch[thread];
    f->pool(tokens, n, (size_t)c->dim, row);
    rms_norm(cpu_of(c->b), row, tensor_floats(c->w->norm), (size_t)c->dim, base->hparams->rms_epsilon, row);
    float angles[2 * ROPE_MAX_PAIRS];
    rope_angles(base->rope.compressed, base->rope.n_pairs, window * c->ratio, angles);
    f->rotate(row + c->dim - 2 * base->rope.n_pairs, angles, (size_t)base->rope.n_pairs, false);
    if (c->is_index && c->format->round) f->hadamard(row, (size_t)c->dim);
    row_pages *pages = c->is_index ? &task->memory->index_rows : &task->memory->rows;
    row_encode(c->format, row, row_pages_at(pages, (size_t)window, c->format->n_bytes));
}

/* The span's latest tokens, which later windows may need. */
static void keep_pending(const struct compression *c, const batch_span *span, layer_memory *memory) {
    pending_ring *ring = ring_of(c, memory);
    int skip = span->n_tokens > ring->n_slots ? span->n_tokens - ring->n_slots : 0;
    size_t row_bytes = (size_t)c->width * sizeof(float);
    for (int i = skip; i < span->n_tokens; i++) {
        size_t t = (size_t)(span->first + i) * (size_t)c->width;
        float *slot = ring->values + (size_t)((span->position + i) % ring->n_slots) * 2 * (size_t)c->width;
        memcpy(slot, c->kv + t, row_bytes);
        memcpy(slot + c->width, c->gate + t, row_bytes);
    }
}

static void compress(const struct compression *c, int layer) {
    thread_pool *pool = cpu_of(c->b)->pool;
    thread_pool_run(pool, (size_t)c->b->n_tokens, add_ape_task, (void *)(uintptr_t)c);
    for (int s = 0; s < c->b->n_spans; s++) {
        const batch_span *span = &c->b->span[s];
        struct window_task task = {
            .c = c, .span = span, .memory = &span->memory[layer], .first_window = span->position / c->ratio};
        int64_t n_windows = (span->position + span->n_tokens) / c->ratio - task.first_window;
        thread_pool_run(pool, (size_t)n_windows, window_task, &task);
        keep_pending(c, span, task.memory);
    }
}

struct raw_task {
    const batch *b;
    const layer_weights *w;
    float *kv;
};

static void raw_row_task(void *context, size_t t, int thread) {
    (void)thread;
    const struct raw_task *task = context;
    cpu_backend *cpu = cpu_of(task->b);
    const backend *base = &cpu->base;
    size_t dim = (size_t)base->hparams->head_dim, n_pairs = (size_t)base->rope.n_pairs;
    float *kv = task->kv + t * dim;
    rms_norm(cpu, kv, tensor_floats(task->w->attn_kv_norm), dim, base->hparams->rms_epsilon, kv);
    const float *angles = cpu->angles + (2 * t + (task->w->ratio != 0)) * 2 * n_pairs;
    cpu->kernels->f->rotate(kv + dim - 2 * n_pairs, angles, n_pairs, false);
    row_encode(&base->format.raw, kv, cpu->fresh + t * base->format.raw.n_bytes);
}

void cpu_remember(const batch *b, const layer_weights *w, const projections *low) {
    const backend *base = b->backend;
    struct raw_task raw = {.b = b, .w = w, .kv = low->kv};
    thread_pool_run(cpu_of(b)->pool, (size_t)b->n_tokens, raw_row_task, &raw);
    if (!w->ratio) return;
    int lanes = w->ratio == 4 ? 2 : 1;
    struct compression own = {.b = b,
                              .w = &w->compressor,
                              .format = &base->format.compressed,
                              .kv = low->compressor_kv,
                              .gate = low->compressor_gate,
                              .ratio = w->ratio,
                              .dim = base->hparams->head_dim,
                              .width = lanes * base->hparams->head_dim};
    compress(&own, w->index);
    if (w->ratio != 4) return;
    struct compression index = {.b = b,
                                .w = &w->index_compressor,
                                .format = &base->format.index,
                                .kv = low->index_kv,
                                .gate = low->index_gate,
                                .ratio = 4,
                                .dim = base->hparams->index_dim,
                                .width = 2 * base->hparams->index_dim,
                                .is_index = true};
    compress(&index, w->index);
}
