#include "backend/gpu/gpu.h"
#include "base/memory.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

enum { SCORE_FLOATS = 16 << 20, MAX_TOP_K = 2048, TENSOR_ALIGNMENT = 16 };

static const struct {
    const char *name;
    uint32_t n_threads;
} KERNEL[N_KERNELS] = {
    [KERNEL_EMBED] = {"embed", HYPER_THREADS},
    [KERNEL_HYPER_STEP] = {"hyper_step", HYPER_THREADS},
    [KERNEL_HYPER_IN] = {"hyper_in", HYPER_IN_THREADS},
    [KERNEL_HEAD_IN] = {"head_in", HYPER_IN_THREADS},
    [KERNEL_MATVEC_1] = {"matvec_1", MATVEC_THREADS},
    [KERNEL_MATVEC_4] = {"matvec_4", MATVEC_THREADS},
    [KERNEL_MATVEC_16] = {"matvec_16", MATVEC_THREADS},
    [KERNEL_MATMUL] = {"matmul", MATMUL_THREADS},
    [KERNEL_REMEMBER] = {"remember", REMEMBER_THREADS},
    [KERNEL_KEEP] = {"keep", REMEMBER_THREADS},
    [KERNEL_SCORE] = {"score", SCORE_THREADS},
    [KERNEL_BEST_ROWS] = {"best_rows", BEST_THREADS},
    [KERNEL_ATTEND_2] = {"attend_2", ATTEND_THREADS},
    [KERNEL_ATTEND_2_CHOOSING] = {"attend_2_choosing", ATTEND_THREADS},
    [KERNEL_ATTEND_8] = {"attend_8", ATTEND_THREADS},
    [KERNEL_CHOOSE_EXPERTS] = {"choose_experts", 32},
    [KERNEL_SORT_PAIRS] = {"sort_pairs", SORT_THREADS},
    [KERNEL_EXPERTS_GATE_UP_ONE] = {"experts_gate_up_one", MATVEC_THREADS},
    [KERNEL_EXPERTS_GATE_UP] = {"experts_gate_up", MATVEC_THREADS},
    [KERNEL_EXPERTS_DOWN_ONE] = {"experts_down_one", MATVEC_THREADS},
    [KERNEL_EXPERTS_DOWN] = {"experts_down", MATVEC_THREADS},
    [KERNEL_EXPERTS_MATMUL_IN] = {"experts_matmul_in", MATMUL_THREADS},
    [KERNEL_EXPERTS_MATMUL_OUT] = {"experts_matmul_out", MATMUL_THREADS},
    [KERNEL_EXPERTS_SUM] = {"experts_sum", 256},
};

uint32_t gpu_type_bit(uint32_t type) {
    static const uint32_t TYPES[] = {TYPE_F32, TYPE_F16, TYPE_Q8_0, TYPE_Q2_K, TYPE_Q4_K, TYPE_IQ2_XXS};
    for (uint32_t i = 0; i < sizeof TYPES / sizeof *TYPES; i++)
        if (TYPES[i] == type) return 1u << i;
    return 0;
}

const device_kernel *gpu_pipeline_of(gpu_backend *gpu, gpu_kernel kernel, uint32_t weight_types) {
    for (size_t i = 0; i < gpu->n_pipelines; i++)
        if (gpu->pipeline[i].kernel == kernel && gpu->pipeline[i].weight_types == weight_types)
            return gpu->pipeline[i].pipeline;
    gpu_pipeline made = {.kernel = kernel, .weight_types = weight_types};
    device_constants constants = {.value = {weight_types}, .n = 1};
    if (gpu->status == DS4_OK &&
        !array_reserve((void **)&gpu->pipeline, &gpu->pipeline_capacity, gpu->n_pipelines + 1, sizeof *gpu->pipeline))
        gpu->status = error_memory(&gpu->error, "list of pipelines", sizeof made);
    if (gpu->status == DS4_OK)
        gpu->status = gpu->device->op->kernel_new(gpu->device, KERNEL[kernel].name, &constants,
                                                  KERNEL[kernel].n_threads, &made.pipeline, &gpu->error);
    if (gpu->status != DS4_OK) return NULL;
    gpu->pipeline[gpu->n_pipelines++] = made;
    return made.pipeline;
}

/* ---- limits of the kernels ---- */

static ds4_status check_shape(const hyperparameters *h, const gguf_file *file, ds4_error *error) {
    const struct {
        const char *name;
        int value, limit, factor;
    } number[] = {
        {"embedding_length", h->width, INT_MAX, 32},
        {"rope.dimension_count", h->rotary_dim, INT_MAX, 4},
        {"attention.key_length", h->head_dim, MAX_HEAD_DIM, 1},
        {"attention.indexer.key_length", h->index_dim, MAX_INDEX_DIM, 1},
        {"attention.indexer.top_k", h->index_top_k, MAX_TOP_K, 1},
        {"expert_count", h->n_experts, MAX_EXPERTS, 1},
        {"expert_used_count", h->n_experts_used, MAX_USED, 1},
    };
    for (size_t i = 0; i < sizeof number / sizeof *number; i++) {
        if (number[i].value > number[i].limit)
            return error_set(error, DS4_ERROR_FORMAT, "%s: deepseek4.%s: %d; the GPU kernels take at most %d",
                             file->name, number[i].name, number[i].value, number[i].limit);
        if (number[i].value % number[i].factor)
            return error_set(error, DS4_ERROR_FORMAT, "%s: deepseek4.%s: %d; the GPU kernels take multiples of %d",
                             file->name, number[i].name, number[i].value, number[i].factor);
    }
    return DS4_OK;
}

static bool starts_with(gguf_string text, const char *start) {
    size_t n = strlen(start);
    return text.n_bytes >= n && memcmp(text.data, start, n) == 0;
}

/* A file may have more than the model's layers, such as a prediction block. */
static bool is_of_the_model(gguf_string name, int n_layers) {
    if (!starts_with(name, "blk.")) return starts_with(name, "token_embd.") || starts_with(name, "output");
    int layer = 0;
    for (size_t i = 4; i < name.n_bytes && name.data[i] >= '0' && name.data[i] <= '9' && layer < n_layers; i++)
        layer = 10 * layer + (name.data[i] - '0');
    return layer < n_layers;
}

static ds4_status check_tensors(const hyperparameters *h, const gguf_file *file, ds4_error *error) {
    for (size_t i = 0; i < file->n_tensors; i++) {
        const gguf_tensor *tensor = &file->tensors[i];
        if (!tensor->data || !is_of_the_model(tensor->name, h->n_layers)) continue;
        if (tensor->type != BLOCK_I32 && !gpu_type_bit(tensor->type))
            return error_set(error, DS4_ERROR_FORMAT,
                             "%s: %.*s: type %s; the GPU kernels know F32, F16, Q8_0, Q2_K, Q4_K and IQ2_XXS",
                             file->name, GGUF_STRING_ARGS(tensor->name), tensor->format->name);
        size_t offset = (size_t)(tensor->data - file->bytes);
        if (offset % TENSOR_ALIGNMENT)
            return error_set(error, DS4_ERROR_FORMAT,
                             "%s: %.*s: begins at byte %zu; the GPU kernels take multiples of %d", file->name,
                             GGUF_STRING_ARGS(tensor->name), offset, TENSOR_ALIGNMENT);
    }
    return DS4_OK;
}

/* Better one line now than a machine that swaps or an operating system that gives up. */
static ds4_status check_memory(const device *d, const gguf_file *file, ds4_error *error) {
    uint64_t n_bytes = 0;
    for (size_t i = 0; i < file->n_tensors; i++) n_bytes += file->tensors[i].n_bytes;
    if (n_bytes > file->n_bytes) n_bytes = file->n_bytes; /* tensors may share bytes */
    if (!d->limits.max_working_bytes || n_bytes <= d->limits.max_working_bytes) return DS4_OK;
#ifdef __APPLE__
#define MEMORY_HINT " (sudo sysctl iogpu.wired_limit_mb=N raises it)"
#else
#define MEMORY_HINT ""
#endif
    return error_set(error, DS4_ERROR_MEMORY, "%s: %.1f GB of weights, but %s can keep %.1f GB at hand" MEMORY_HINT,
                     file->name, (double)n_bytes / 1e9, d->limits.name, (double)d->limits.max_working_bytes / 1e9);
}

/* ---- life ---- */

typedef struct scratch_part {
    void **memory;
    size_t n_bytes;
} scratch_part;
enum { N_SCRATCH_PARTS = 10 };

static void list_scratch(gpu_backend *gpu, scratch_part out[N_SCRATCH_PARTS]) {
    const hyperparameters *h = gpu->base.hparams;
    size_t tokens = (size_t)gpu->base.max_tokens, pairs = tokens * ((size_t)h->n_experts_used + 1);
    size_t width = (size_t)h->width, groups = (width + HYPER_COLUMNS - 1) / HYPER_COLUMNS;
    size_t tiles = pairs / TILE_TOKENS + (size_t)h->n_experts + 2;
    const scratch_part part[N_SCRATCH_PARTS] = {
        {(void **)&gpu->partial, tokens * groups * HYPER_SUMS * sizeof(float)},
        {(void **)&gpu->router, tokens * (size_t)h->n_experts * sizeof(float)},
        {(void **)&gpu->low, tokens * (size_t)h->n_groups * (size_t)h->group_rank * sizeof(float)},
        {(void **)&gpu->hidden, pairs * (size_t)h->expert_width * sizeof(float)},
        {(void **)&gpu->down, pairs * width * sizeof(float)},
        {(void **)&gpu->head, tokens * width * sizeof(float)},
        {(void **)&gpu->fresh, tokens * gpu->base.format.raw.n_bytes},
        {(void **)&gpu->order, pairs * sizeof(uint32_t)},
        {(void **)&gpu->tile, tiles * sizeof(struct expert_tile)},
        {(void **)&gpu->n_tiles, sizeof(uint32_t)},
    };
    memcpy(out, part, sizeof part);
}

static ds4_status allocate_scratch(gpu_backend *gpu, ds4_error *error) {
    scratch_part part[N_SCRATCH_PARTS];
    list_scratch(gpu, part);
    for (size_t i = 0; i < N_SCRATCH_PARTS; i++)
        if (!(*part[i].memory = gpu_memory_allocate(&gpu->memory, MEMORY_ACTIVATIONS, part[i].n_bytes)))
            return error_memory(error, "GPU scratch", part[i].n_bytes);
    return DS4_OK;
}

static void gpu_free(backend *base) {
    gpu_backend *gpu = (gpu_backend *)(void *)base;
    device *d = gpu->device;
    (void)d->op->wait(d, NULL);
    for (size_t i = 0; i < gpu->n_pipelines; i++) d->op->kernel_free(d, gpu->pipeline[i].pipeline);
    free(gpu->pipeline);
    if (gpu->tables.buffer) d->op->buffer_free(d, gpu->tables.buffer);
    gpu_weights_deinit(&gpu->weights);
    gpu_memory_deinit(&gpu->memory);
    d->op->free(d);
    free(gpu);
}

static void *gpu_allocate(backend *base, memory_use use, size_t n_bytes) {
    return gpu_memory_allocate(&((gpu_backend *)(void *)base)->memory, use, n_bytes);
}

static void gpu_release(backend *base, void *memory) {
    gpu_memory_release(&((gpu_backend *)(void *)base)->memory, memory);
}

ds4_status gpu_backend_new(device *d, const hyperparameters *hparams, const gguf_file *file, const row_formats *format,
                           int max_tokens, backend **out, ds4_error *error) {
    gpu_backend *gpu = array_new(1, sizeof *gpu);
    if (!gpu) {
        d->op->free(d);
        return error_memory(error, "GPU backend", sizeof *gpu);
    }
    gpu->base = (backend){.op = &gpu_ops, .hparams = hparams, .format = *format, .max_tokens = max_tokens};
    gpu->device = d;
    gpu->memory.device = d;
    gpu->weights.device = d;
    rope_frequencies_init(hparams, &gpu->base.rope);
    ds4_status status = check_shape(hparams, file, error);
    if (status == DS4_OK) status = check_tensors(hparams, file, error);
    if (status == DS4_OK) status = check_memory(d, file, error);
    if (status == DS4_OK) status = gpu_weights_init(&gpu->weights, d, file, error);
    if (status == DS4_OK) status = allocate_scratch(gpu, error);
    if (status != DS4_OK) {
        gpu_free(&gpu->base);
        return status;
    }
    *out = &gpu->base;
    return DS4_OK;
}

/* ---- a batch ---- */

/* Scratch whose size depends on the positions or on what is wanted. It grows by half at least, so that it does so
 * seldom. */
static ds4_status reserve_floats(gpu_backend *gpu, const char *what, float **memory, size_t *n_floats, size_t needed,
                                 ds4_error *error) {
    if (*n_floats >= needed) return DS4_OK;
    size_t generous = *n_floats + *n_floats / 2;
    float *grown = NULL;
    if (generous > needed) grown = gpu_memory_allocate(&gpu->memory, MEMORY_ACTIVATIONS, generous * sizeof *grown);
    if (grown) needed = generous;
    if (!grown) grown = gpu_memory_allocate(&gpu->memory, MEMORY_ACTIVATIONS, needed * sizeof *grown);
    if (!grown) return error_memory(error, what, needed * sizeof *grown);
    gpu_memory_release(&gpu->memory, *memory);
    *memory = grown;
    *n_floats = needed;
    return DS4_OK;
}

static size_t score_floats_for(const gpu_tables *t) {
    size_t n_scores = (size_t)t->n_list * t->most_rows, least = (size_t)t->most_rows * MAX_MATVEC_TOKENS;
    if (n_scores > SCORE_FLOATS) n_scores = SCORE_FLOATS; /* select then works in groups */
    return n_scores < least && t->n_list ? least : n_scores;
}

ds4_status gpu_backend_n_bytes(const hyperparameters *hparams, const row_formats *format, int max_tokens,
                               size_t n_context, size_t *n_bytes, ds4_error *error) {
    gpu_backend gpu = {.base = {.op = &gpu_ops, .hparams = hparams, .format = *format, .max_tokens = max_tokens}};
    gpu.base.rope.n_pairs = hparams->rotary_dim / 2;
    scratch_part part[N_SCRATCH_PARTS];
    list_scratch(&gpu, part);
    size_t sum = 0, n_tokens = n_context < (size_t)max_tokens ? n_context : (size_t)max_tokens;
    for (size_t i = 0; i < N_SCRATCH_PARTS; i++) sum += part[i].n_bytes;

    int64_t *position = array_new(n_tokens, sizeof *position);
    if (!position) return error_memory(error, "positions", n_tokens * sizeof *position);
    for (size_t i = 0; i < n_tokens; i++) position[i] = (int64_t)(n_context - n_tokens + i);
    batch_span span = {.position = (int64_t)(n_context - n_tokens), .n_tokens = (int)n_tokens, .n_wanted = 1};
    batch b = {.backend = &gpu.base, .n_tokens = (int)n_tokens, .position = position, .span = &span, .n_spans = 1};
    gpu_tables tables;
    sum += gpu_tables_measure(&b, &tables);
    free(position);
    *n_bytes = sum + (score_floats_for(&tables) + (size_t)hparams->n_vocab) * sizeof(float);
    return DS4_OK;
}

static ds4_status gpu_begin(const batch *b, ds4_error *error) {
    gpu_backend *gpu = gpu_of(b);
    gpu->status = DS4_OK;
    gpu->pending_y = gpu->pending_mix = NULL;
    ds4_status status = gpu_tables_fill(gpu, b, &gpu->tables, error);
    if (status != DS4_OK) return status;
    const gpu_tables *t = &gpu->tables;
    size_t n_vocab = (size_t)b->backend->hparams->n_vocab;
    status = reserve_floats(gpu, "indexer scores", &gpu->score, &gpu->score_floats, score_floats_for(t), error);
    if (status == DS4_OK)
        status = reserve_floats(gpu, "logits", &gpu->logits, &gpu->logits_floats, (size_t)t->n_wanted * n_vocab, error);
    if (status == DS4_OK) status = gpu->device->op->begin(gpu->device, error);
    gpu->recording = status == DS4_OK;
    return status;
}

/* What has been recorded runs in any case: nobody else must find it in the device. */
static ds4_status run(gpu_backend *gpu, ds4_error *error) {
    gpu->recording = false;
    ds4_status submitted = gpu->device->op->submit(gpu->device, error);
    ds4_status waited = gpu->device->op->wait(gpu->device, submitted == DS4_OK ? error : NULL);
    return submitted != DS4_OK ? submitted : waited;
}

void gpu_submit(gpu_backend *gpu) {
    if (gpu->status != DS4_OK) return;
    gpu->status = gpu->device->op->submit(gpu->device, &gpu->error);
    if (gpu->status == DS4_OK) gpu->status = gpu->device->op->begin(gpu->device, &gpu->error);
    gpu->recording = gpu->status == DS4_OK;
}

static ds4_status gpu_finish(const batch *b, ds4_error *error) {
    gpu_backend *gpu = gpu_of(b);
    ds4_status status = run(gpu, error);
    if (gpu->status != DS4_OK) {
        if (error) *error = gpu->error;
        return gpu->status;
    }
    if (status != DS4_OK) return status;
    size_t n_vocab = (size_t)b->backend->hparams->n_vocab;
    const float *logits = gpu->logits;
    for (int s = 0; s < b->n_spans; s++) {
        size_t n = (size_t)b->span[s].n_wanted * n_vocab;
        if (n) memcpy(b->span[s].logits, logits, n * sizeof *logits);
        logits += n;
    }
    return DS4_OK;
}

static void gpu_cancel(const batch *b) {
    gpu_backend *gpu = gpu_of(b);
    if (gpu->recording)
        (void)run(gpu, NULL);
    else
        (void)gpu->device->op->wait(gpu->device, NULL); /* for what was submitted before it went wrong */
}

const backend_ops gpu_ops = {
    .name = "gpu",
    .free = gpu_free,
    .allocate = gpu_allocate,
    .release = gpu_release,
    .begin = gpu_begin,
    .finish = gpu_finish,
    .cancel = gpu_cancel,
    .embed = gpu_embed,
    .hyper_in = gpu_hyper_in,
    .project = gpu_project,
    .queries = gpu_queries,
    .remember = gpu_remember,
    .select = gpu_select,
    .attend = gpu_attend,
    .attend_out = gpu_attend_out,
    .hyper_out = gpu_hyper_out,
    .route = gpu_route,
    .experts = gpu_experts,
    .logits = gpu_logits,
};
