/* Engines: a backend with room for one batch, and the cutting of spans into batches. */
#include "engine/engine.h"
#include "backend/gpu/gpu.h"
#include "base/memory.h"
#include "base/threads.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A chunk's tokens times the experts of each (at most 2^16) are counted in an int. */
enum { MAX_CHUNK_TOKENS = 1 << 14, MAX_THREADS = 1024 };

typedef struct activation_part {
    void **memory;
    size_t floats_per_token;
} activation_part;
enum { N_ACTIVATION_PARTS = 18 };

static void list_activations(activations *a, const hyperparameters *h, activation_part out[N_ACTIVATION_PARTS]) {
    size_t lanes = 2, width = (size_t)h->width, head_dim = (size_t)h->head_dim, index_dim = (size_t)h->index_dim;
    const activation_part part[N_ACTIVATION_PARTS] = {
        {(void **)&a->streams, MODEL_STREAMS * width},
        {(void **)&a->x, width},
        {(void **)&a->mix, MODEL_MIX},
        {(void **)&a->low.q_a, (size_t)h->q_rank},
        {(void **)&a->low.kv, head_dim},
        {(void **)&a->low.compressor_kv, lanes * head_dim},
        {(void **)&a->low.compressor_gate, lanes * head_dim},
        {(void **)&a->low.index_kv, lanes * index_dim},
        {(void **)&a->low.index_gate, lanes * index_dim},
        {(void **)&a->low.index_weight, (size_t)h->n_index_heads},
        {(void **)&a->q, (size_t)h->n_heads * head_dim},
        {(void **)&a->index_q, (size_t)h->n_index_heads * index_dim},
        {(void **)&a->selected, (size_t)h->index_top_k},
        {(void **)&a->n_selected, 1},
        {(void **)&a->heads, (size_t)h->n_heads * head_dim},
        {(void **)&a->y, width},
        {(void **)&a->expert, (size_t)h->n_experts_used},
        {(void **)&a->expert_weight, (size_t)h->n_experts_used},
    };
    memcpy(out, part, sizeof part);
}

static ds4_status allocate_activations(ds4_engine *engine, ds4_error *error) {
    activation_part part[N_ACTIVATION_PARTS];
    list_activations(&engine->act, engine->backend->hparams, part);
    for (size_t i = 0; i < N_ACTIVATION_PARTS; i++) {
        size_t n_bytes = (size_t)engine->chunk_tokens * part[i].floats_per_token * sizeof(float);
        *part[i].memory = engine->backend->op->allocate(engine->backend, MEMORY_ACTIVATIONS, n_bytes);
        if (!*part[i].memory) return error_memory(error, "activations", n_bytes);
    }
    return DS4_OK;
}

static void release_activations(ds4_engine *engine) {
    activation_part part[N_ACTIVATION_PARTS];
    list_activations(&engine->act, engine->backend->hparams, part);
    for (size_t i = 0; i < N_ACTIVATION_PARTS; i++) engine->backend->op->release(engine->backend, *part[i].memory);
}

size_t engine_n_bytes(const hyperparameters *hparams, int chunk_tokens) {
    activations none;
    activation_part part[N_ACTIVATION_PARTS];
    list_activations(&none, hparams, part);
    size_t per_token = 2 * sizeof(int32_t) + sizeof(int64_t) + sizeof(batch_span) + sizeof(ds4_timeline *);
    for (size_t i = 0; i < N_ACTIVATION_PARTS; i++) per_token += part[i].floats_per_token * sizeof(float);
    return sizeof(ds4_engine) + (size_t)chunk_tokens * per_token;
}

static ds4_status allocate_batch(ds4_engine *engine, ds4_error *error) {
    size_t n = (size_t)engine->chunk_tokens;
    engine->token = array_new(n, sizeof *engine->token);
    engine->span_of = array_new(n, sizeof *engine->span_of);
    engine->position = array_new(n, sizeof *engine->position);
    engine->span = array_new(n, sizeof *engine->span);
    engine->timeline = array_new(n, sizeof *engine->timeline);
    if (engine->token && engine->span_of && engine->position && engine->span && engine->timeline) return DS4_OK;
    return error_memory(error, "batch", n * sizeof *engine->span);
}

static const struct {
    const char *name;
    new_device_function *new_device; /* NULL: no GPU */
} BACKEND[] = {
    {"cpu", NULL},
#ifdef DS4_METAL
    {"metal", metal_device_new},
#endif
    {"sim", simulator_device_new},
#ifdef DS4_CUDA
    {"cuda", cuda_device_new}, /* measures the kernels; not for users */
#endif
};
enum { N_BACKENDS = sizeof BACKEND / sizeof *BACKEND };

/* N_BACKENDS: there is none of that name. */
static size_t find_backend(const char *name) {
    size_t i = 0;
    while (i < N_BACKENDS && strcmp(name, BACKEND[i].name) != 0) i++;
    return i;
}

ds4_status ds4_backend_check(const char *name, ds4_error *error) {
    if (find_backend(name) < N_BACKENDS) return DS4_OK;
    char known[64];
    size_t at = 0;
    for (size_t i = 0; i < N_BACKENDS && at < sizeof known; i++)
        at += (size_t)snprintf(known + at, sizeof known - at, "%s%s", i ? ", " : "", BACKEND[i].name);
    return error_set(error, DS4_ERROR_ARGUMENT, "backend '%s' is not in this build; available: %s", name, known);
}

row_formats engine_row_formats(const hyperparameters *h, const ds4_engine_options *options) {
    bool round = !options->no_qat, compact = round && !options->float_rows;
    return (row_formats){.raw = row_format_raw(h->head_dim, h->rotary_dim, round, compact),
                         .compressed = row_format_compressed(h->head_dim, h->rotary_dim, round, compact),
                         .index = row_format_index(h->index_dim, round, compact)};
}

static ds4_status new_backend(const ds4_model *model, const ds4_engine_options *options,
                              new_device_function *new_device, int chunk_tokens, backend **out, ds4_error *error) {
    const char *name = options->backend ? options->backend : "cpu";
    ds4_status status = ds4_backend_check(name, error);
    if (status != DS4_OK) return status;
    const hyperparameters *h = &model->hparams;
    row_formats format = engine_row_formats(h, options);
    if (!new_device) new_device = BACKEND[find_backend(name)].new_device;
    if (new_device) {
        device *d;
        status = new_device(&d, error);
        return status == DS4_OK ? gpu_backend_new(d, h, model->file, &format, chunk_tokens, out, error) : status;
    }
    int n_threads = options->n_threads ? options->n_threads : processor_count();
    if (!options->n_threads && n_threads > MAX_THREADS) n_threads = MAX_THREADS;
    if (n_threads < 1 || n_threads > MAX_THREADS)
        return error_set(error, DS4_ERROR_ARGUMENT, "%d threads: expected 1 to %d", n_threads, MAX_THREADS);
    const char *kernels = getenv("DS4_CPU");
    cpu_options cpu = {
        .n_threads = n_threads, .exact = options->exact, .kernels = kernels && *kernels ? kernels : NULL};
    return cpu_backend_new(h, &format, &cpu, chunk_tokens, out, error);
}

ds4_status ds4_engine_new(const ds4_model *model, const ds4_engine_options *options, ds4_engine **out,
                          ds4_error *error) {
    return engine_new_on(model, options, NULL, out, error);
}

ds4_status engine_new_on(const ds4_model *model, const ds4_engine_options *options, new_device_function *new_device,
                         ds4_engine **out, ds4_error *error) {
    static const ds4_engine_options defaults = {0};
    if (!options) options = &defaults;
    if (!model->has_weights)
        return error_set(error, DS4_ERROR_ARGUMENT, "%s: opened for its text parts only", model->file->name);
    int chunk_tokens = options->chunk_tokens ? options->chunk_tokens : ENGINE_CHUNK_TOKENS;
    if (chunk_tokens < 1)
        return error_set(error, DS4_ERROR_ARGUMENT, "chunk of %d tokens: expected 1 or more", chunk_tokens);
    if (chunk_tokens > MAX_CHUNK_TOKENS) chunk_tokens = MAX_CHUNK_TOKENS;
    ds4_engine *engine = array_new(1, sizeof *engine);
    if (!engine) return error_memory(error, "engine", sizeof *engine);
    engine->model = model;
    engine->chunk_tokens = chunk_tokens;
    engine->any_context = options->any_context;
    ds4_status status = new_backend(model, options, new_device, chunk_tokens, &engine->backend, error);
    if (status == DS4_OK) engine->backend->no_compressed_rows = options->no_compressed_rows;
    if (status == DS4_OK) status = allocate_activations(engine, error);
    if (status == DS4_OK) status = allocate_batch(engine, error);
    if (status != DS4_OK) {
        ds4_engine_free(engine);
        return status;
    }
    *out = engine;
    return DS4_OK;
}

void ds4_engine_free(ds4_engine *engine) {
    if (!engine) return;
    if (engine->backend) {
        release_activations(engine);
        engine->backend->op->free(engine->backend);
    }
    free(engine->token);
    free(engine->span_of);
    free(engine->position);
    free(engine->span);
    free(engine->timeline);
    ds4_buffer_deinit(&engine->saved);
    free(engine);
}

size_t ds4_engine_held_bytes(const ds4_engine *engine) {
    return engine->held_bytes;
}

/* ---- evaluation ---------------------------------------------------------------------------------- */

static ds4_status check_span(const ds4_engine *engine, const ds4_span *span, size_t index, ds4_error *error) {
    const ds4_timeline *timeline = span->timeline;
    if (timeline->engine != engine)
        return error_set(error, DS4_ERROR_ARGUMENT, "span %zu: its timeline belongs to another engine", index);
    if (span->n_tokens < 1) return error_set(error, DS4_ERROR_ARGUMENT, "span %zu: no tokens", index);
    if (span->n_tokens > timeline->max_tokens - timeline->tokens.n)
        return error_set(error, DS4_ERROR_CONTEXT,
                         "the context of %zu tokens is full: %zu are used, %zu more do not fit", timeline->max_tokens,
                         timeline->tokens.n, span->n_tokens);
    if (span->wanted != DS4_LOGITS_NONE && !span->logits)
        return error_set(error, DS4_ERROR_ARGUMENT, "span %zu: logits are wanted but there is no place for them",
                         index);
    int n_vocab = engine->model->hparams.n_vocab;
    for (size_t i = 0; i < span->n_tokens; i++)
        if (span->tokens[i] < 0 || span->tokens[i] >= n_vocab)
            return error_set(error, DS4_ERROR_ARGUMENT, "token %zu of span %zu is %d, expected 0 to %d", i, index,
                             span->tokens[i], n_vocab - 1);
    return DS4_OK;
}

/* Checks all spans and makes room for their tokens in the token lists. */
static ds4_status check_spans(ds4_engine *engine, const ds4_span *spans, size_t n_spans, ds4_error *error) {
    ds4_status status = DS4_OK;
    size_t n_marked = 0;
    for (; status == DS4_OK && n_marked < n_spans; n_marked++) {
        ds4_timeline *timeline = spans[n_marked].timeline;
        if (timeline->in_batch) {
            status = error_set(error, DS4_ERROR_ARGUMENT, "span %zu: its timeline is in the batch already", n_marked);
            break;
        }
        timeline->in_batch = true;
        status = check_span(engine, &spans[n_marked], n_marked, error);
        if (status == DS4_OK && !array_reserve((void **)&timeline->tokens.id, &timeline->tokens.capacity,
                                               timeline->tokens.n + spans[n_marked].n_tokens, sizeof(int32_t)))
            status = error_memory(error, "token list", spans[n_marked].n_tokens * sizeof(int32_t));
    }
    for (size_t i = 0; i < n_marked; i++) spans[i].timeline->in_batch = false;
    return status;
}

/* Where the next batch begins. */
struct cursor {
    size_t span, token;
};

static void add_span_piece(ds4_engine *engine, batch *b, const ds4_span *span, size_t first, size_t n) {
    batch_span *piece = &engine->span[b->n_spans];
    *piece = (batch_span){.memory = span->timeline->layer,
                          .position = (int64_t)span->timeline->tokens.n,
                          .first = b->n_tokens,
                          .n_tokens = (int)n};
    size_t n_vocab = (size_t)engine->model->hparams.n_vocab;
    if (span->wanted == DS4_LOGITS_ALL) {
        piece->n_wanted = (int)n;
        piece->logits = span->logits + first * n_vocab;
    } else if (span->wanted == DS4_LOGITS_LAST && first + n == span->n_tokens) {
        piece->n_wanted = 1;
        piece->logits = span->logits;
    }
    for (size_t i = 0; i < n; i++) {
        size_t t = (size_t)b->n_tokens + i;
        engine->token[t] = span->tokens[first + i];
        engine->position[t] = piece->position + (int64_t)i;
        engine->span_of[t] = b->n_spans;
    }
    engine->timeline[b->n_spans++] = span->timeline;
    b->n_tokens += (int)n;
}

/* As many tokens from the cursor on as fit in one batch. */
static batch next_batch(ds4_engine *engine, const ds4_span *spans, size_t n_spans, struct cursor *cursor) {
    batch b = {.backend = engine->backend,
               .token = engine->token,
               .position = engine->position,
               .span_of = engine->span_of,
               .span = engine->span};
    while (cursor->span < n_spans && b.n_tokens < engine->chunk_tokens) {
        const ds4_span *span = &spans[cursor->span];
        size_t n = span->n_tokens - cursor->token, room = (size_t)(engine->chunk_tokens - b.n_tokens);
        if (n > room) n = room;
        add_span_piece(engine, &b, span, cursor->token, n);
        cursor->token += n;
        if (cursor->token < span->n_tokens) break;
        *cursor = (struct cursor){.span = cursor->span + 1};
    }
    return b;
}

/* Up to DS4_FREE_REWIND_TOKENS tokens fit in the rings beside what the position needs; a longer piece
 * overwrites it. */
static bool overwrites_frontier(const batch_span *piece) {
    return piece->n_tokens > DS4_FREE_REWIND_TOKENS;
}

static ds4_status prepare_batch(ds4_engine *engine, const batch *b, ds4_error *error) {
    buffer_clear(&engine->saved);
    for (int s = 0; s < b->n_spans; s++) {
        ds4_status status = timeline_reserve(engine->timeline[s], (size_t)b->span[s].n_tokens, error);
        if (status == DS4_OK && overwrites_frontier(&b->span[s]))
            status = timeline_save_frontier(engine->timeline[s], &engine->saved, error);
        if (status != DS4_OK) return status;
    }
    return DS4_OK;
}

static void keep_batch(ds4_engine *engine, const batch *b) {
    for (int s = 0; s < b->n_spans; s++) {
        ds4_timeline *timeline = engine->timeline[s];
        size_t n = (size_t)b->span[s].n_tokens;
        timeline_note_written(timeline, n);
        memcpy(timeline->tokens.id + timeline->tokens.n, b->token + b->span[s].first, n * sizeof(int32_t));
        timeline->tokens.n += n;
    }
}

static void undo_batch(ds4_engine *engine, const batch *b) {
    size_t at = 0;
    for (int s = 0; s < b->n_spans; s++) {
        if (overwrites_frontier(&b->span[s]))
            at = timeline_load_frontier(engine->timeline[s], &engine->saved, at);
        else
            timeline_note_written(engine->timeline[s], (size_t)b->span[s].n_tokens);
    }
}

ds4_status ds4_engine_evaluate(ds4_engine *engine, const ds4_span *spans, size_t n_spans, ds4_progress *progress,
                               void *progress_context, ds4_error *error) {
    ds4_status status = check_spans(engine, spans, n_spans, error);
    if (status != DS4_OK) return status;
    size_t done = 0, total = 0;
    for (size_t i = 0; i < n_spans; i++) total += spans[i].n_tokens;
    for (struct cursor cursor = {0}; cursor.span < n_spans;) {
        batch b = next_batch(engine, spans, n_spans, &cursor);
        status = prepare_batch(engine, &b, error);
        if (status != DS4_OK) return status;
        status = forward(engine, &b, progress, progress_context, done, total, error);
        if (status != DS4_OK) {
            undo_batch(engine, &b);
            return status;
        }
        keep_batch(engine, &b);
        done += (size_t)b.n_tokens;
    }
    /* The work is done: a wish to stop comes too late. */
    if (progress) (void)progress(progress_context, total, total);
    return DS4_OK;
}
