#include "backend/gpu/gpu.h"

#include <stdlib.h>
#include <string.h>

enum { ALIGNMENT = 64, INDEX_RATIO = 4 };

static const int WINDOW_RATIO[2] = {4, 128};

static int64_t windows_in(const batch_span *span, int ratio) {
    return (span->position + span->n_tokens) / ratio - span->position / ratio;
}

static size_t visible_rows(const batch *b, int t) {
    return (size_t)((b->position[t] + 1) / INDEX_RATIO);
}

static size_t row_count(const batch_span *span, int ratio) {
    return (size_t)((span->position + span->n_tokens) / ratio);
}

static size_t page_count(size_t n_rows) {
    return (n_rows + PAGE_ROWS - 1) / PAGE_ROWS;
}

/* Page references of all spans and layers: main rows, and indexer rows for ratio 4. */
static size_t count_references(const batch *b) {
    const hyperparameters *h = b->backend->hparams;
    size_t n = 0;
    for (int l = 0; l < h->n_layers; l++)
        for (int s = 0; h->ratio[l] && s < b->n_spans; s++)
            n += page_count(row_count(&b->span[s], h->ratio[l])) * (h->ratio[l] == INDEX_RATIO ? 2 : 1);
    return n;
}

static size_t place(size_t *at, size_t n_bytes) {
    size_t start = *at;
    *at += (n_bytes + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
    return start;
}

size_t gpu_tables_measure(const batch *b, gpu_tables *t) {
    const hyperparameters *h = b->backend->hparams;
    size_t n_tokens = (size_t)b->n_tokens, n_spans = (size_t)b->n_spans, at = 0;
    size_t angles_bytes = 2 * (size_t)b->backend->rope.n_pairs * sizeof(float);
    t->n_list = t->most_rows = t->n_wanted = 0;
    t->any_kept = false;
    for (int i = 0; i < b->n_tokens; i++) {
        size_t rows = visible_rows(b, i);
        if (rows <= (size_t)h->index_top_k) continue;
        t->n_list++;
        if (rows > t->most_rows) t->most_rows = (uint32_t)rows;
    }
    for (int s = 0; s < b->n_spans; s++) {
        t->n_wanted += (uint32_t)b->span[s].n_wanted;
        if (b->span[s].n_tokens > DS4_FREE_REWIND_TOKENS) t->any_kept = true;
    }
    t->token = place(&at, n_tokens * sizeof(struct token_info));
    t->span = place(&at, n_spans * sizeof(struct span_info));
    t->layer = place(&at, (size_t)h->n_layers * n_spans * sizeof(struct layer_info));
    t->refs = place(&at, (count_references(b) + 1) * sizeof(uint32_t));
    t->list = place(&at, (n_tokens + 1) * sizeof(int32_t));
    t->list_of = place(&at, n_tokens * sizeof(int32_t));
    t->wanted = place(&at, ((size_t)t->n_wanted + 1) * sizeof(int32_t));
    for (int i = 0; i < 2; i++) t->angles[i] = place(&at, n_tokens * angles_bytes);
    for (int i = 0; i < 2; i++) {
        t->n_windows[i] = 0;
        for (int s = 0; s < b->n_spans; s++) t->n_windows[i] += (uint32_t)windows_in(&b->span[s], WINDOW_RATIO[i]);
        t->windows[i] = place(&at, ((size_t)t->n_windows[i] + 1) * sizeof(struct window_info));
        t->window_angles[i] = place(&at, ((size_t)t->n_windows[i] + 1) * angles_bytes);
    }
    return at;
}

static ds4_status reserve(gpu_backend *gpu, gpu_tables *t, size_t n_bytes, ds4_error *error) {
    if (t->n_bytes >= n_bytes) return DS4_OK;
    size_t size = t->n_bytes * 2 > n_bytes ? t->n_bytes * 2 : n_bytes;
    device_buffer *buffer;
    ds4_status status = gpu->device->op->buffer_new(gpu->device, size, &buffer, error);
    if (status != DS4_OK) return status;
    if (t->buffer) gpu->device->op->buffer_free(gpu->device, t->buffer);
    t->buffer = buffer;
    t->n_bytes = size;
    return DS4_OK;
}

static void fill_tokens(const batch *b, const gpu_tables *t, uint8_t *table) {
    const backend *base = b->backend;
    int n_pairs = base->rope.n_pairs, n_list = 0;
    struct token_info *token = (struct token_info *)(void *)(table + t->token);
    int32_t *list = (int32_t *)(void *)(table + t->list), *list_of = (int32_t *)(void *)(table + t->list_of);
    float *plain = (float *)(void *)(table + t->angles[0]), *compressed = (float *)(void *)(table + t->angles[1]);
    for (int i = 0; i < b->n_tokens; i++) {
        token[i] = (struct token_info){b->token[i], (int32_t)b->position[i], b->span_of[i]};
        list_of[i] = -1;
        if (visible_rows(b, i) > (size_t)base->hparams->index_top_k) {
            list_of[i] = n_list;
            list[n_list++] = i;
        }
        rope_angles(base->rope.plain, n_pairs, b->position[i], plain + 2 * n_pairs * i);
        rope_angles(base->rope.compressed, n_pairs, b->position[i], compressed + 2 * n_pairs * i);
    }
}

static uint32_t fill_pages(const gpu_backend *gpu, const row_pages *pages, size_t n_rows, uint32_t *refs, uint32_t at) {
    for (size_t i = 0; i < page_count(n_rows); i++)
        refs[at++] = gpu_memory_reference(&gpu->memory, pages->page[i]->rows);
    return at;
}

static void fill_layers(const gpu_backend *gpu, const batch *b, const gpu_tables *t, uint8_t *table) {
    const hyperparameters *h = b->backend->hparams;
    struct layer_info *layer = (struct layer_info *)(void *)(table + t->layer);
    uint32_t *refs = (uint32_t *)(void *)(table + t->refs), at = 0;
    for (int l = 0; l < h->n_layers; l++)
        for (int s = 0; s < b->n_spans; s++) {
            const batch_span *span = &b->span[s];
            const layer_memory *memory = &span->memory[l];
            struct layer_info *info = &layer[l * b->n_spans + s];
            *info = (struct layer_info){.raw = gpu_memory_reference(&gpu->memory, memory->raw)};
            if (!h->ratio[l]) continue;
            info->pending = gpu_memory_reference(&gpu->memory, memory->pending.values);
            info->rows = at;
            at = fill_pages(gpu, &memory->rows, row_count(span, h->ratio[l]), refs, at);
            if (h->ratio[l] != INDEX_RATIO) continue;
            info->index_pending = gpu_memory_reference(&gpu->memory, memory->index_pending.values);
            info->index_rows = at;
            at = fill_pages(gpu, &memory->index_rows, row_count(span, INDEX_RATIO), refs, at);
        }
}

static void fill_windows(const batch *b, const gpu_tables *t, int kind, uint8_t *table) {
    struct window_info *window = (struct window_info *)(void *)(table + t->windows[kind]);
    float *angles = (float *)(void *)(table + t->window_angles[kind]);
    int ratio = WINDOW_RATIO[kind], n_pairs = b->backend->rope.n_pairs, n = 0;
    for (int s = 0; s < b->n_spans; s++) {
        int64_t first = b->span[s].position / ratio, end = first + windows_in(&b->span[s], ratio);
        for (int64_t w = first; w < end; w++, n++) {
            window[n] = (struct window_info){s, (int32_t)w};
            rope_angles(b->backend->rope.compressed, n_pairs, w * ratio, angles + 2 * n_pairs * n);
        }
    }
}

static void fill_spans(const batch *b, const gpu_tables *t, uint8_t *table) {
    struct span_info *info = (struct span_info *)(void *)(table + t->span);
    int32_t *wanted = (int32_t *)(void *)(table + t->wanted);
    int n = 0;
    for (int s = 0; s < b->n_spans; s++) {
        const batch_span *span = &b->span[s];
        info[s] = (struct span_info){.position = (int32_t)span->position,
                                     .first = span->first,
                                     .n_tokens = span->n_tokens,
                                     .in_rings = span->n_tokens <= DS4_FREE_REWIND_TOKENS};
        for (int i = 0; i < span->n_wanted; i++) wanted[n++] = span->first + span->n_tokens - span->n_wanted + i;
    }
}

ds4_status gpu_tables_fill(gpu_backend *gpu, const batch *b, gpu_tables *t, ds4_error *error) {
    ds4_status status = reserve(gpu, t, gpu_tables_measure(b, t), error);
    if (status != DS4_OK) return status;
    uint8_t *table = gpu->device->op->buffer_contents(t->buffer);
    fill_tokens(b, t, table);
    fill_spans(b, t, table);
    fill_layers(gpu, b, t, table);
    for (int kind = 0; kind < 2; kind++) fill_windows(b, t, kind, table);
    return DS4_OK;
}
