/*
 * The GPU backend: the twelve operations as dispatches of the kernels in kernels/, on any device.
 *
 * hyper_out and the hyper_in (or logits) that follows are one dispatch, so hyper_out only notes what is to be mixed.
 * Batches of up to MAX_MATVEC_TOKENS tokens read each weight once in matrix-vector kernels; larger ones take tiles.
 */
#ifndef BACKEND_GPU_GPU_H
#define BACKEND_GPU_GPU_H

#include "backend/backend.h"
#include "backend/gpu/device.h"
#include "kernels/shared.h"

typedef enum gpu_kernel {
    KERNEL_EMBED,
    KERNEL_HYPER_STEP,
    KERNEL_HYPER_IN,
    KERNEL_HEAD_IN,
    KERNEL_MATVEC_1,
    KERNEL_MATVEC_4,
    KERNEL_MATVEC_16,
    KERNEL_MATMUL,
    KERNEL_REMEMBER,
    KERNEL_KEEP,
    KERNEL_SCORE,
    KERNEL_BEST_ROWS,
    KERNEL_ATTEND_2,
    KERNEL_ATTEND_2_CHOOSING,
    KERNEL_ATTEND_8,
    KERNEL_CHOOSE_EXPERTS,
    KERNEL_SORT_PAIRS,
    KERNEL_EXPERTS_GATE_UP_ONE,
    KERNEL_EXPERTS_GATE_UP,
    KERNEL_EXPERTS_DOWN_ONE,
    KERNEL_EXPERTS_DOWN,
    KERNEL_EXPERTS_MATMUL_IN,
    KERNEL_EXPERTS_MATMUL_OUT,
    KERNEL_EXPERTS_SUM,
    N_KERNELS
} gpu_kernel;

/* ---- memory.c: what op->allocate hands out ---- */

/* Memory of one buffer. */
typedef struct gpu_block {
    device_buffer *buffer;
    uint8_t *base;
    size_t n_bytes;
} gpu_block;

struct free_block;
typedef struct size_class {
    size_t n_bytes;
    struct free_block *first;
} size_class;

/* Activations have a buffer each. What timelines remember, rings and pages of rows, is many pieces of a few sizes; they
 * come from arenas, so that kernels reach all of it through N_ARENAS bindings. A freed piece serves the next request of
 * its size. */
typedef struct gpu_memory {
    device *device;
    gpu_block *activation;
    size_t n_activations, activation_capacity;
    gpu_block arena[N_ARENAS];
    size_t arena_used[N_ARENAS];
    int n_arenas;
    size_class *class;
    size_t n_classes, class_capacity;
} gpu_memory;

void *gpu_memory_allocate(gpu_memory *memory, memory_use use, size_t n_bytes);
void gpu_memory_release(gpu_memory *memory, void *block);
void gpu_memory_deinit(gpu_memory *memory);
/* What a piece of n_bytes takes of an arena, and what the arenas take that hold pieces of n_piece_bytes in all. */
size_t gpu_memory_piece_bytes(size_t n_bytes);
uint64_t gpu_memory_arena_bytes(uint64_t max_buffer_bytes, uint64_t n_piece_bytes);
/* Where a pointer into a block lies; no buffer for NULL. */
device_binding gpu_memory_binding(const gpu_memory *memory, const void *pointer);
/* As layer_info wants it; pointer is the start of a timeline's block, or aligned to 64 bytes in one. */
uint32_t gpu_memory_reference(const gpu_memory *memory, const void *pointer);

/* ---- weights.c: the model file in the device's memory ---- */

typedef struct gpu_view {
    device_buffer *buffer;
    const uint8_t *start, *end; /* of the file's bytes */
} gpu_view;

typedef struct gpu_weights {
    device *device;
    gpu_view *view;
    size_t n_views, capacity;
} gpu_weights;

/* In as few buffers as the device allows, each tensor whole in one; without a copy if the file is mapped. */
ds4_status gpu_weights_init(gpu_weights *weights, device *d, const gguf_file *file, ds4_error *error);
void gpu_weights_deinit(gpu_weights *weights);
device_binding gpu_weights_binding(const gpu_weights *weights, const gguf_tensor *tensor);

/* ---- tables.c: what a batch's kernels look up ---- */

/* Offsets into the table's buffer. */
typedef struct gpu_tables {
    device_buffer *buffer;
    size_t n_bytes;
    size_t token, span, layer, refs, list, list_of, wanted;
    size_t angles[2];                    /* plain, compressed */
    size_t windows[2], window_angles[2]; /* ratio 4, ratio 128 */
    uint32_t n_windows[2];
    uint32_t n_list;    /* tokens that must choose among more than top_k rows */
    uint32_t most_rows; /* that one of them sees */
    uint32_t n_wanted;
    bool any_kept; /* some span is not in_rings */
} gpu_tables;

struct gpu_backend;
/* Where everything lies; returns the bytes it takes. Fills in all of the tables but the buffer. */
size_t gpu_tables_measure(const batch *b, gpu_tables *tables);
ds4_status gpu_tables_fill(struct gpu_backend *gpu, const batch *b, gpu_tables *tables, ds4_error *error);

/* ---- the backend ---- */

typedef struct gpu_pipeline {
    gpu_kernel kernel;
    uint32_t weight_types;
    device_kernel *pipeline;
} gpu_pipeline;

typedef struct gpu_backend {
    backend base;
    device *device;
    gpu_memory memory;
    gpu_weights weights;
    gpu_pipeline *pipeline;
    size_t n_pipelines, pipeline_capacity;
    gpu_tables tables;
    bool recording;
    ds4_status status; /* the first failure of a batch, kept until finish */
    ds4_error error;

    /* hyper_out that the next hyper_in or logits performs */
    const float *pending_y, *pending_mix;
    /* what `queries` left for `remember` to finish, and `remember` for `attend` to keep */
    float *q, *index_q;
    device_dispatch keep;
    struct remember_params keep_params;

    float *partial; /* [T][hyper groups][HYPER_SUMS] */
    float *router;  /* [T][n_experts] */
    float *low;     /* [T][n_groups * group_rank] */
    float *hidden;  /* [T * (used + 1)][expert_width] */
    float *down;    /* [T * (used + 1)][D] */
    float *head;    /* [T][D] */
    uint8_t *fresh; /* [T] raw rows */
    uint32_t *order, *n_tiles;
    struct expert_tile *tile;
    float *score; /* [score_floats] */
    size_t score_floats;
    float *logits; /* [n_wanted][V] */
    size_t logits_floats;
} gpu_backend;

static inline gpu_backend *gpu_of(const batch *b) {
    return (gpu_backend *)(void *)b->backend;
}

/* The pipeline of a kernel for a set of weight types; NULL after a failure, which gpu->status then holds. */
const device_kernel *gpu_pipeline_of(gpu_backend *gpu, gpu_kernel kernel, uint32_t weight_types);
/* The bit of a weight type in a set. 0: the kernels do not know the type. */
uint32_t gpu_type_bit(uint32_t type);

/* The device may start on what has been recorded; recording goes on. */
void gpu_submit(gpu_backend *gpu);

extern const backend_ops gpu_ops;

/* ---- ops.c ---- */

void gpu_embed(const batch *b, const gguf_tensor *table, float *streams);
void gpu_hyper_in(const batch *b, const hyper_weights *w, const gguf_tensor *norm, const float *streams, float *x,
                  float *mix);
void gpu_project(const batch *b, const layer_weights *w, const float *x, const projections *low);
void gpu_queries(const batch *b, const layer_weights *w, const projections *low, float *q, float *index_q);
void gpu_remember(const batch *b, const layer_weights *w, const projections *low);
void gpu_select(const batch *b, const layer_weights *w, const projections *low, const float *index_q, int32_t *selected,
                int32_t *n_selected);
void gpu_attend(const batch *b, const layer_weights *w, const float *q, const int32_t *selected,
                const int32_t *n_selected, float *heads);
void gpu_attend_out(const batch *b, const layer_weights *w, const float *heads, float *y);
void gpu_hyper_out(const batch *b, const float *y, const float *mix, float *streams);
void gpu_route(const batch *b, const layer_weights *w, const float *x, int32_t *expert, float *weight);
void gpu_experts(const batch *b, const layer_weights *w, const float *x, const int32_t *expert, const float *weight,
                 float *y);
void gpu_logits(const batch *b, const model_weights *w, const float *streams);

/* Takes over the device, also on failure. The file outlives the backend. */
ds4_status gpu_backend_new(device *d, const hyperparameters *hparams, const gguf_file *file, const row_formats *format,
                           int max_tokens, backend **out, ds4_error *error);

/* Bytes that the backend allocates for batches of up to max_tokens tokens in a context of n_context, one of which gets
 * logits. The weights, activations and timelines are not among them. */
ds4_status gpu_backend_n_bytes(const hyperparameters *hparams, const row_formats *format, int max_tokens,
                               size_t n_context, size_t *n_bytes, ds4_error *error);

#endif
