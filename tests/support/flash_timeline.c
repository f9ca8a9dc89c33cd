#include "support/flash_timeline.h"

/* ---- random numbers: splitmix64 ---- */

static uint64_t next_word(uint64_t *state) {
    uint64_t z = *state += 0x9e3779b97f4a7c15u;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
}

/* Nearly normal with variance 1: the sum of four uniform numbers. */
static double next_normal(uint64_t *state) {
    uint64_t u = next_word(state);
    double sum = (double)(u & 0xffff) + (double)(u >> 16 & 0xffff) + (double)(u >> 32 & 0xffff) + (double)(u >> 48);
    return (sum - 131070.0) / 37837.22680688906;
}

/* ---- timelines ---- */

static void fill_row(const row_format *format, uint8_t *row, uint64_t *state) {
    float x[1024];
    for (int i = 0; i < format->n_channels; i++) x[i] = (float)next_normal(state);
    row_encode(format, x, row);
}

static void fill_ring(pending_ring *ring, uint64_t *state) {
    size_t n = (size_t)ring->n_slots * 2 * (size_t)ring->width;
    for (size_t i = 0; i < n; i++) ring->values[i] = (float)next_normal(state);
}

static void fill_pages(const row_format *format, const row_pages *pages, size_t n_rows, uint64_t *state) {
    for (size_t r = 0; r < n_rows; r++) fill_row(format, row_pages_at(pages, r, format->n_bytes), state);
}

ds4_status flash_timeline_fill(ds4_timeline *timeline, size_t n_tokens, uint64_t seed, ds4_error *error) {
    const backend *base = timeline->engine->backend;
    const row_formats *format = &base->format;
    ds4_status status = timeline_reserve(timeline, n_tokens, error);
    int32_t token[256];
    for (size_t i = 0; status == DS4_OK && i < n_tokens; i++) {
        token[i % 256] = (int32_t)(next_word(&seed) % (uint64_t)base->hparams->n_vocab);
        if (i % 256 == 255 || i + 1 == n_tokens)
            status = ds4_tokens_append(&timeline->tokens, token, i % 256 + 1, error);
    }
    for (int l = 0; status == DS4_OK && l < base->hparams->n_layers; l++) {
        layer_memory *memory = &timeline->layer[l];
        size_t ratio = (size_t)base->hparams->ratio[l];
        for (int i = 0; i < memory->raw_slots; i++)
            fill_row(&format->raw, memory->raw + (size_t)i * format->raw.n_bytes, &seed);
        if (!ratio) continue;
        fill_ring(&memory->pending, &seed);
        fill_pages(&format->compressed, &memory->rows, n_tokens / ratio, &seed);
        if (ratio != 4) continue;
        fill_ring(&memory->index_pending, &seed);
        fill_pages(&format->index, &memory->index_rows, n_tokens / ratio, &seed);
    }
    return status;
}
