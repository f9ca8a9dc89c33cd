/* The engine's own structures. A timeline is append-only rows plus a small frontier. */
#ifndef ENGINE_ENGINE_H
#define ENGINE_ENGINE_H

#include "backend/backend.h"
#include "base/error.h"

struct ds4_engine {
    const ds4_model *model;
    backend *backend;
    activations act;
    int chunk_tokens;
    bool any_context;
    size_t held_bytes; /* as ds4_engine_held_bytes */

    /* the batch being evaluated: [chunk_tokens] */
    int32_t *token, *span_of;
    int64_t *position;
    batch_span *span;        /* [chunk_tokens]: a span has at least one token */
    ds4_timeline **timeline; /* of each batch span */
    ds4_buffer saved;        /* frontiers to go back to if the batch fails */
};

struct ds4_timeline {
    ds4_engine *engine;
    size_t max_tokens;
    ds4_tokens tokens;
    /* The rings hold what every position from here to the present one needs. */
    size_t rewind_floor;
    layer_memory *layer; /* [n_layers] */
    void *arena;         /* backend memory behind the rings */
    size_t arena_bytes;
    bool in_batch;
};

struct ds4_checkpoint {
    ds4_engine *engine;
    ds4_tokens tokens;
    ds4_buffer frontier;
    row_pages *rows;   /* [n_layers][2]: compressed rows, indexer rows; shared pages */
    size_t held_bytes; /* of tokens and frontier */
};

/* As ds4_engine_new; with new_device on a GPU of another kind than options->backend says. */
struct device;
typedef ds4_status new_device_function(struct device **out, ds4_error *error);
ds4_status engine_new_on(const ds4_model *model, const ds4_engine_options *options, new_device_function *new_device,
                         ds4_engine **out, ds4_error *error);

enum { ENGINE_CHUNK_TOKENS = 512 }; /* unless the options say otherwise */
row_formats engine_row_formats(const hyperparameters *hparams, const ds4_engine_options *options);
/* Bytes that an engine allocates: activations and lists for a batch. Its backend's scratch is not among them. */
size_t engine_n_bytes(const hyperparameters *hparams, int chunk_tokens);

/* Runs one batch through the model. progress is asked between layers; done and total as in ds4_progress. */
ds4_status forward(ds4_engine *engine, const batch *b, ds4_progress *progress, void *progress_context, size_t done,
                   size_t total, ds4_error *error);

/* What a timeline takes that holds n_tokens tokens. Kinds of rows: compressed, indexer. */
typedef struct timeline_size {
    size_t ring_bytes; /* does not depend on n_tokens */
    size_t n_pages[2], page_bytes[2];
    size_t list_bytes;     /* tokens, lists of pages */
    size_t frontier_bytes; /* what a checkpoint copies */
} timeline_size;
timeline_size timeline_measure(const hyperparameters *hparams, const row_formats *format, size_t n_tokens);

/* Pages for the rows that n_tokens more tokens complete, none of them shared. */
ds4_status timeline_reserve(ds4_timeline *timeline, size_t n_tokens, ds4_error *error);
/* Appends the timeline's frontier to bytes. */
ds4_status timeline_save_frontier(const ds4_timeline *timeline, ds4_buffer *bytes, ds4_error *error);
/* Reads a frontier of this timeline's present position back into the rings; it begins at offset at of bytes.
 * Returns the offset behind it. */
size_t timeline_load_frontier(ds4_timeline *timeline, const ds4_buffer *bytes, size_t at);
/* The rings now hold n_tokens more tokens (whether or not the timeline keeps them). */
void timeline_note_written(ds4_timeline *timeline, size_t n_tokens);

#endif
