/*
 * Timelines and checkpoints.
 *
 * What a layer remembers is of two kinds. Compressed rows are only ever appended; how many exist follows
 * from the position, so going back needs no undoing: rows past the position are overwritten when they are
 * made again. They live in pages that timelines and checkpoints share by counting references; a page is
 * copied before it is written if somebody else has it too.
 *
 * The rest is the frontier: the window's raw rows and the compressors' unfinished windows, kept in rings by
 * position. Each ring has DS4_FREE_REWIND_TOKENS slots more than needed, so the last few tokens can be taken
 * back at no cost (a rejected draft, a cancelled step); further back a checkpoint, which is a copy of the
 * frontier and a list of pages, is the way. A fork is a checkpoint restored into a new timeline.
 */
#include "base/memory.h"
#include "engine/engine.h"

#include <stdlib.h>
#include <string.h>

enum { ARENA_ALIGNMENT = 64, N_ROW_KINDS = 2, ANY_CONTEXT_TOKENS = 1 << 20 };

static const hyperparameters *hparams_of(const ds4_timeline *timeline) {
    return timeline->engine->backend->hparams;
}

static int layer_count(const ds4_engine *engine) {
    return engine->backend->hparams->n_layers;
}

/* ---- rings --------------------------------------------------------------------------------------- */

/* One ring of one layer, seen alike for all kinds. */
struct ring_view {
    uint8_t *slots;
    size_t slot_bytes;
    int n_slots;
    size_t first; /* oldest position that the frontier at the timeline's position needs */
};

/* Raw rows, compressor, indexer compressor. Returns how many rings the layer has. */
static int rings_of(const hyperparameters *hparams, const row_formats *format, int l, layer_memory *memory,
                    size_t position, struct ring_view view[3]) {
    size_t window = (size_t)hparams->window, ratio = (size_t)hparams->ratio[l];
    int n = 0;
    view[n++] = (struct ring_view){memory->raw, format->raw.n_bytes, memory->raw_slots,
                                   position >= window ? position - window + 1 : 0};
    if (!ratio) return n;
    size_t open = position / ratio * ratio;
    /* overlapping windows (ratio 4) also need the one before */
    size_t first = ratio == 4 && open ? open - ratio : open;
    pending_ring *ring[2] = {&memory->pending, &memory->index_pending};
    for (int i = 0; i < (ratio == 4 ? 2 : 1); i++)
        view[n++] = (struct ring_view){(uint8_t *)ring[i]->values, 2 * (size_t)ring[i]->width * sizeof(float),
                                       ring[i]->n_slots, first};
    return n;
}

static int layer_rings(const ds4_timeline *timeline, int l, struct ring_view view[3]) {
    return rings_of(hparams_of(timeline), &timeline->engine->backend->format, l, &timeline->layer[l],
                    timeline->tokens.n, view);
}

static size_t frontier_bytes(const ds4_timeline *timeline) {
    size_t n_bytes = 0;
    for (int l = 0; l < layer_count(timeline->engine); l++) {
        struct ring_view view[3];
        int n = layer_rings(timeline, l, view);
        for (int i = 0; i < n; i++) n_bytes += (timeline->tokens.n - view[i].first) * view[i].slot_bytes;
    }
    return n_bytes;
}

ds4_status timeline_save_frontier(const ds4_timeline *timeline, ds4_buffer *bytes, ds4_error *error) {
    size_t needed = bytes->n_bytes + frontier_bytes(timeline) + 1;
    if (!array_reserve((void **)&bytes->data, &bytes->capacity_bytes, needed, 1))
        return error_memory(error, "checkpoint", needed);
    for (int l = 0; l < layer_count(timeline->engine); l++) {
        struct ring_view view[3];
        int n = layer_rings(timeline, l, view);
        for (int i = 0; i < n; i++)
            for (size_t p = view[i].first; p < timeline->tokens.n; p++) {
                const uint8_t *slot = view[i].slots + p % (size_t)view[i].n_slots * view[i].slot_bytes;
                buffer_append(bytes, slot, view[i].slot_bytes); /* there is room */
            }
    }
    return DS4_OK;
}

size_t timeline_load_frontier(ds4_timeline *timeline, const ds4_buffer *bytes, size_t at) {
    for (int l = 0; l < layer_count(timeline->engine); l++) {
        struct ring_view view[3];
        int n = layer_rings(timeline, l, view);
        for (int i = 0; i < n; i++)
            for (size_t p = view[i].first; p < timeline->tokens.n; p++) {
                uint8_t *slot = view[i].slots + p % (size_t)view[i].n_slots * view[i].slot_bytes;
                memcpy(slot, bytes->data + at, view[i].slot_bytes);
                at += view[i].slot_bytes;
            }
    }
    timeline->rewind_floor = timeline->tokens.n;
    return at;
}

void timeline_note_written(ds4_timeline *timeline, size_t n_tokens) {
    size_t end = timeline->tokens.n + n_tokens;
    size_t floor = end > DS4_FREE_REWIND_TOKENS ? end - DS4_FREE_REWIND_TOKENS : 0;
    if (floor > timeline->rewind_floor) timeline->rewind_floor = floor;
}

/* ---- pages --------------------------------------------------------------------------------------- */

static const row_format *format_of(const ds4_engine *engine, int kind) {
    return kind ? &engine->backend->format.index : &engine->backend->format.compressed;
}

static row_pages *layer_pages(layer_memory *memory, int kind) {
    return kind ? &memory->index_rows : &memory->rows;
}

static bool layer_has_kind(const hyperparameters *hparams, int l, int kind) {
    return kind ? hparams->ratio[l] == 4 : hparams->ratio[l] != 0;
}

static size_t page_bytes(const ds4_engine *engine, int kind) {
    return ROWS_PER_PAGE * format_of(engine, kind)->n_bytes;
}

static row_page *page_new(ds4_engine *engine, int kind) {
    row_page *page = array_new(1, sizeof *page);
    if (!page) return NULL;
    page->references = 1;
    page->rows = engine->backend->op->allocate(engine->backend, MEMORY_TIMELINE, page_bytes(engine, kind));
    if (!page->rows) {
        free(page);
        return NULL;
    }
    engine->held_bytes += page_bytes(engine, kind);
    return page;
}

static void page_release(ds4_engine *engine, row_page *page, int kind) {
    if (--page->references > 0) return;
    engine->held_bytes -= page_bytes(engine, kind);
    engine->backend->op->release(engine->backend, page->rows);
    free(page);
}

static void pages_release(ds4_engine *engine, row_pages *pages, int kind) {
    for (size_t i = 0; i < pages->n; i++) page_release(engine, pages->page[i], kind);
    free(pages->page);
    *pages = (row_pages){0};
}

/* copy: the first n_pages pages of pages, shared. */
static bool pages_share(const row_pages *pages, size_t n_pages, row_pages *copy) {
    row_pages shared = {0};
    if (!array_reserve((void **)&shared.page, &shared.capacity, n_pages, sizeof *shared.page)) return false;
    for (size_t i = 0; i < n_pages; i++) {
        shared.page[shared.n++] = pages->page[i];
        pages->page[i]->references++;
    }
    *copy = shared;
    return true;
}

/* Makes pages [first row, end row) exist and unshared. */
static bool pages_reserve(ds4_engine *engine, row_pages *pages, int kind, size_t first_row, size_t end_row) {
    if (end_row <= first_row) return true;
    size_t needed = (end_row + ROWS_PER_PAGE - 1) / ROWS_PER_PAGE;
    if (!array_reserve((void **)&pages->page, &pages->capacity, needed, sizeof *pages->page)) return false;
    for (size_t i = first_row / ROWS_PER_PAGE; i < needed; i++) {
        if (i < pages->n && pages->page[i]->references == 1) continue;
        row_page *page = page_new(engine, kind);
        if (!page) return false;
        if (i < pages->n) {
            memcpy(page->rows, pages->page[i]->rows, page_bytes(engine, kind));
            page_release(engine, pages->page[i], kind);
        } else {
            pages->n++;
        }
        pages->page[i] = page;
    }
    return true;
}

ds4_status timeline_reserve(ds4_timeline *timeline, size_t n_tokens, ds4_error *error) {
    ds4_engine *engine = timeline->engine;
    const hyperparameters *hparams = hparams_of(timeline);
    size_t position = timeline->tokens.n;
    for (int l = 0; l < hparams->n_layers; l++)
        for (int kind = 0; kind < N_ROW_KINDS; kind++) {
            if (!layer_has_kind(hparams, l, kind)) continue;
            size_t ratio = (size_t)hparams->ratio[l];
            if (!pages_reserve(engine, layer_pages(&timeline->layer[l], kind), kind, position / ratio,
                               (position + n_tokens) / ratio))
                return error_memory(error, "compressed rows", page_bytes(engine, kind));
        }
    return DS4_OK;
}

/* ---- timelines ----------------------------------------------------------------------------------- */

static size_t aligned(size_t n_bytes) {
    return (n_bytes + ARENA_ALIGNMENT - 1) / ARENA_ALIGNMENT * ARENA_ALIGNMENT;
}

/* Lays the rings of a layer out from arena, which has *at bytes in use; with NULL only counts. */
static void lay_out_layer(const hyperparameters *hparams, const row_formats *format, int l, layer_memory *memory,
                          uint8_t *arena, size_t *at) {
    int ratio = hparams->ratio[l], lanes = ratio == 4 ? 2 : 1;
    memory->raw_slots = hparams->window - 1 + DS4_FREE_REWIND_TOKENS;
    memory->raw = arena ? arena + *at : NULL;
    *at += aligned((size_t)memory->raw_slots * format->raw.n_bytes);
    if (!ratio) return;
    pending_ring *ring[2] = {&memory->pending, &memory->index_pending};
    int dim[2] = {hparams->head_dim, hparams->index_dim};
    for (int i = 0; i < lanes; i++) {
        ring[i]->n_slots = lanes * ratio + DS4_FREE_REWIND_TOKENS;
        ring[i]->width = lanes * dim[i];
        ring[i]->values = arena ? (float *)(void *)(arena + *at) : NULL;
        *at += aligned((size_t)ring[i]->n_slots * 2 * (size_t)ring[i]->width * sizeof(float));
    }
}

/* Of all layers. Returns the bytes they take. */
static size_t lay_out_rings(ds4_timeline *timeline, uint8_t *arena) {
    size_t at = 0;
    for (int l = 0; l < layer_count(timeline->engine); l++)
        lay_out_layer(hparams_of(timeline), &timeline->engine->backend->format, l, &timeline->layer[l], arena, &at);
    return at;
}

ds4_status ds4_timeline_new(ds4_engine *engine, size_t max_tokens, ds4_timeline **out, ds4_error *error) {
    size_t limit = (size_t)engine->backend->hparams->max_context;
    if (engine->any_context && limit < ANY_CONTEXT_TOKENS) limit = ANY_CONTEXT_TOKENS;
    if (max_tokens < 1 || max_tokens > limit)
        return error_set(error, DS4_ERROR_ARGUMENT, "context of %zu tokens: the model allows 1 to %zu", max_tokens,
                         limit);
    ds4_timeline *timeline = array_new(1, sizeof *timeline);
    if (!timeline) return error_memory(error, "timeline", sizeof *timeline);
    timeline->engine = engine;
    timeline->max_tokens = max_tokens;
    timeline->layer = array_new((size_t)layer_count(engine), sizeof *timeline->layer);
    if (timeline->layer) {
        timeline->arena_bytes = lay_out_rings(timeline, NULL);
        timeline->arena = engine->backend->op->allocate(engine->backend, MEMORY_TIMELINE, timeline->arena_bytes);
    }
    if (!timeline->arena) {
        ds4_status status = error_memory(error, "timeline", timeline->arena_bytes);
        ds4_timeline_free(timeline);
        return status;
    }
    lay_out_rings(timeline, timeline->arena);
    *out = timeline;
    return DS4_OK;
}

void ds4_timeline_free(ds4_timeline *timeline) {
    if (!timeline) return;
    ds4_engine *engine = timeline->engine;
    if (timeline->layer)
        for (int l = 0; l < layer_count(engine); l++)
            for (int kind = 0; kind < N_ROW_KINDS; kind++)
                pages_release(engine, layer_pages(&timeline->layer[l], kind), kind);
    engine->backend->op->release(engine->backend, timeline->arena);
    free(timeline->layer);
    ds4_tokens_deinit(&timeline->tokens);
    free(timeline);
}

const int32_t *ds4_timeline_tokens(const ds4_timeline *timeline, size_t *n) {
    *n = timeline->tokens.n;
    return timeline->tokens.id;
}

size_t ds4_timeline_max_tokens(const ds4_timeline *timeline) {
    return timeline->max_tokens;
}

size_t ds4_timeline_n_bytes(const ds4_timeline *timeline) {
    size_t n_bytes = timeline->arena_bytes;
    for (int l = 0; l < layer_count(timeline->engine); l++)
        for (int kind = 0; kind < N_ROW_KINDS; kind++)
            n_bytes += layer_pages(&timeline->layer[l], kind)->n * page_bytes(timeline->engine, kind);
    return n_bytes;
}

ds4_status ds4_timeline_rewind(ds4_timeline *timeline, size_t n_tokens, ds4_error *error) {
    size_t possible = timeline->tokens.n - timeline->rewind_floor;
    if (n_tokens > possible)
        return error_set(error, DS4_ERROR_ARGUMENT, "cannot rewind %zu tokens without a checkpoint: at most %zu now",
                         n_tokens, possible);
    timeline->tokens.n -= n_tokens;
    return DS4_OK;
}

/* ---- checkpoints --------------------------------------------------------------------------------- */

static size_t pages_for(const hyperparameters *hparams, int l, int kind, size_t position) {
    if (!layer_has_kind(hparams, l, kind)) return 0;
    size_t n_rows = position / (size_t)hparams->ratio[l];
    return (n_rows + ROWS_PER_PAGE - 1) / ROWS_PER_PAGE;
}

timeline_size timeline_measure(const hyperparameters *hparams, const row_formats *format, size_t n_tokens) {
    timeline_size size = {
        .page_bytes = {ROWS_PER_PAGE * format->compressed.n_bytes, ROWS_PER_PAGE * format->index.n_bytes}};
    size_t n_pages = 0;
    for (int l = 0; l < hparams->n_layers; l++) {
        layer_memory memory = {0};
        lay_out_layer(hparams, format, l, &memory, NULL, &size.ring_bytes);
        struct ring_view view[3];
        int n = rings_of(hparams, format, l, &memory, n_tokens, view);
        for (int i = 0; i < n; i++) size.frontier_bytes += (n_tokens - view[i].first) * view[i].slot_bytes;
        for (int kind = 0; kind < N_ROW_KINDS; kind++) size.n_pages[kind] += pages_for(hparams, l, kind, n_tokens);
    }
    for (int kind = 0; kind < N_ROW_KINDS; kind++) n_pages += size.n_pages[kind];
    size.list_bytes = sizeof(ds4_timeline) + (size_t)hparams->n_layers * sizeof(layer_memory) +
                      n_tokens * sizeof(int32_t) + n_pages * (sizeof(row_page) + sizeof(row_page *));
    return size;
}

static void shared_rows_free(ds4_engine *engine, row_pages *rows) {
    if (!rows) return;
    for (int i = 0; i < layer_count(engine) * N_ROW_KINDS; i++) pages_release(engine, &rows[i], i % N_ROW_KINDS);
    free(rows);
}

ds4_status ds4_timeline_checkpoint(const ds4_timeline *timeline, ds4_checkpoint **out, ds4_error *error) {
    ds4_engine *engine = timeline->engine;
    const hyperparameters *hparams = hparams_of(timeline);
    ds4_checkpoint *checkpoint = array_new(1, sizeof *checkpoint);
    if (!checkpoint) return error_memory(error, "checkpoint", sizeof *checkpoint);
    checkpoint->engine = engine;
    size_t n_lists = (size_t)hparams->n_layers * N_ROW_KINDS;
    checkpoint->rows = array_new(n_lists, sizeof *checkpoint->rows);
    ds4_status status = checkpoint->rows
                            ? ds4_tokens_append(&checkpoint->tokens, timeline->tokens.id, timeline->tokens.n, error)
                            : error_memory(error, "checkpoint", n_lists * sizeof *checkpoint->rows);
    if (status == DS4_OK) status = timeline_save_frontier(timeline, &checkpoint->frontier, error);
    for (int i = 0; status == DS4_OK && i < (int)n_lists; i++) {
        int l = i / N_ROW_KINDS, kind = i % N_ROW_KINDS;
        size_t n_pages = pages_for(hparams, l, kind, timeline->tokens.n);
        if (!pages_share(layer_pages(&timeline->layer[l], kind), n_pages, &checkpoint->rows[i]))
            status = error_memory(error, "checkpoint", n_pages * sizeof(row_page *));
    }
    checkpoint->held_bytes = checkpoint->frontier.capacity_bytes + checkpoint->tokens.capacity * sizeof(int32_t);
    engine->held_bytes += checkpoint->held_bytes;
    if (status != DS4_OK) {
        ds4_checkpoint_free(checkpoint);
        return status;
    }
    *out = checkpoint;
    return DS4_OK;
}

ds4_status ds4_timeline_restore(ds4_timeline *timeline, const ds4_checkpoint *checkpoint, ds4_error *error) {
    ds4_engine *engine = timeline->engine;
    if (checkpoint->engine != engine)
        return error_set(error, DS4_ERROR_ARGUMENT, "the checkpoint belongs to another engine");
    if (checkpoint->tokens.n > timeline->max_tokens)
        return error_set(error, DS4_ERROR_CONTEXT, "a checkpoint of %zu tokens does not fit a context of %zu",
                         checkpoint->tokens.n, timeline->max_tokens);
    /* Everything that can fail comes before the first change. */
    size_t n_lists = (size_t)layer_count(engine) * N_ROW_KINDS;
    row_pages *rows = array_new(n_lists, sizeof *rows);
    bool ok = rows && array_reserve((void **)&timeline->tokens.id, &timeline->tokens.capacity, checkpoint->tokens.n,
                                    sizeof(int32_t));
    for (size_t i = 0; ok && i < n_lists; i++) ok = pages_share(&checkpoint->rows[i], checkpoint->rows[i].n, &rows[i]);
    if (!ok) {
        shared_rows_free(engine, rows);
        return error_memory(error, "restoring a checkpoint", checkpoint->frontier.n_bytes);
    }
    for (size_t i = 0; i < n_lists; i++) {
        row_pages *mine = layer_pages(&timeline->layer[i / N_ROW_KINDS], (int)(i % N_ROW_KINDS));
        row_pages before = *mine;
        *mine = rows[i];
        rows[i] = before;
    }
    shared_rows_free(engine, rows);
    timeline->tokens.n = checkpoint->tokens.n;
    if (checkpoint->tokens.n)
        memcpy(timeline->tokens.id, checkpoint->tokens.id, checkpoint->tokens.n * sizeof(int32_t));
    timeline_load_frontier(timeline, &checkpoint->frontier, 0);
    return DS4_OK;
}

ds4_status ds4_timeline_fork(const ds4_timeline *timeline, ds4_timeline **out, ds4_error *error) {
    ds4_checkpoint *checkpoint = NULL;
    ds4_timeline *fork = NULL;
    ds4_status status = ds4_timeline_checkpoint(timeline, &checkpoint, error);
    if (status == DS4_OK) status = ds4_timeline_new(timeline->engine, timeline->max_tokens, &fork, error);
    if (status == DS4_OK) status = ds4_timeline_restore(fork, checkpoint, error);
    ds4_checkpoint_free(checkpoint);
    if (status != DS4_OK) {
        ds4_timeline_free(fork);
        return status;
    }
    *out = fork;
    return DS4_OK;
}

size_t ds4_checkpoint_n_tokens(const ds4_checkpoint *checkpoint) {
    return checkpoint->tokens.n;
}

void ds4_checkpoint_free(ds4_checkpoint *checkpoint) {
    if (!checkpoint) return;
    shared_rows_free(checkpoint->engine, checkpoint->rows);
    checkpoint->engine->held_bytes -= checkpoint->held_bytes;
    ds4_tokens_deinit(&checkpoint->tokens);
    ds4_buffer_deinit(&checkpoint->frontier);
    free(checkpoint);
}
