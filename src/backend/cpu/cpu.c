#include "backend/cpu/cpu.h"
#include "base/memory.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Scores of the indexer are worked off in groups of tokens that fit here (or one token, if it sees more). */
enum { SCORE_FLOATS = 4 << 20 };

static void *cpu_allocate(backend *base, memory_use use, size_t n_bytes) {
    (void)base;
    (void)use;
    return calloc(n_bytes ? n_bytes : 1, 1);
}

static void cpu_release(backend *base, void *memory) {
    (void)base;
    free(memory);
}

static void cpu_free(backend *base) {
    cpu_backend *cpu = (cpu_backend *)(void *)base;
    int n_threads = cpu->pool ? thread_pool_n_threads(cpu->pool) : 0;
    if (cpu->thread_scratch)
        for (int i = 0; i < n_threads; i++) free(cpu->thread_scratch[i]);
    void *owned[] = {cpu->thread_scratch, cpu->angles,  cpu->fresh, cpu->low,          cpu->hyper,    cpu->score,
                     cpu->pair_token,     cpu->pair_of, cpu->gate,  cpu->expert_first, cpu->jobs,     cpu->inputs,
                     cpu->quantised,      cpu->up,      cpu->down,  cpu->shared_gate,  cpu->shared_up};
    for (size_t i = 0; i < sizeof owned / sizeof *owned; i++) free(owned[i]);
    thread_pool_free(cpu->pool);
    free(cpu);
}

/* The most rows any token of the batch may have to choose from. */
static ds4_status cpu_begin(const batch *b, ds4_error *error) {
    cpu_backend *cpu = cpu_of(b);
    size_t needed = 0, n_pairs = (size_t)cpu->base.rope.n_pairs;
    for (int t = 0; t < b->n_tokens; t++) {
        size_t rows = (size_t)(b->position[t] / 4 + 1);
        if (rows > needed) needed = rows;
        rope_angles(cpu->base.rope.plain, (int)n_pairs, b->position[t], cpu->angles + (size_t)t * 4 * n_pairs);
        rope_angles(cpu->base.rope.compressed, (int)n_pairs, b->position[t],
                    cpu->angles + ((size_t)t * 4 + 2) * n_pairs);
    }
    if (needed > cpu->score_floats) {
        float *grown = realloc(cpu->score, needed * sizeof *grown);
        if (!grown) return error_memory(error, "indexer scores", needed * sizeof *grown);
        cpu->score = grown;
        cpu->score_floats = needed;
    }
    return DS4_OK;
}

static ds4_status cpu_finish(const batch *b, ds4_error *error) {
    (void)b;
    (void)error;
    return DS4_OK;
}

static void cpu_cancel(const batch *b) {
    (void)b;
}

struct embed_task {
    const batch *b;
    const gguf_tensor *table;
    float *streams;
};

static void embed_task(void *context, size_t t, int thread) {
    (void)thread;
    const struct embed_task *task = context;
    const gguf_tensor *table = task->table;
    size_t width = table->ne[0];
    float *stream = task->streams + t * MODEL_STREAMS * width;
    table->format->decode(table->data + (size_t)task->b->token[t] * table->row_bytes, stream,
                          width / table->format->n_elements);
    for (size_t n = 1; n < MODEL_STREAMS; n++) memcpy(stream + n * width, stream, width * sizeof *stream);
}

static void cpu_embed(const batch *b, const gguf_tensor *table, float *streams) {
    struct embed_task task = {.b = b, .table = table, .streams = streams};
    thread_pool_run(cpu_of(b)->pool, (size_t)b->n_tokens, embed_task, &task);
}

static void cpu_project(const batch *b, const layer_weights *w, const float *x, const projections *low) {
    matmul jobs[7];
    size_t n = 0;
    jobs[n++] = matmul_whole(w->attn_q_a, x, b->n_tokens, low->q_a);
    jobs[n++] = matmul_whole(w->attn_kv, x, b->n_tokens, low->kv);
    if (w->ratio) {
        jobs[n++] = matmul_whole(w->compressor.kv, x, b->n_tokens, low->compressor_kv);
        jobs[n++] = matmul_whole(w->compressor.gate, x, b->n_tokens, low->compressor_gate);
    }
    if (w->ratio == 4) {
        jobs[n++] = matmul_whole(w->index_compressor.kv, x, b->n_tokens, low->index_kv);
        jobs[n++] = matmul_whole(w->index_compressor.gate, x, b->n_tokens, low->index_gate);
        jobs[n++] = matmul_whole(w->index_proj, x, b->n_tokens, low->index_weight);
    }
    matmul_run(cpu_of(b), jobs, n);
}

static const backend_ops cpu_ops = {
    .name = "cpu",
    .free = cpu_free,
    .allocate = cpu_allocate,
    .release = cpu_release,
    .begin = cpu_begin,
    .finish = cpu_finish,
    .cancel = cpu_cancel,
    .embed = cpu_embed,
    .hyper_in = cpu_hyper_in,
    .project = cpu_project,
    .queries = cpu_queries,
    .remember = cpu_remember,
    .select = cpu_select,
    .attend = cpu_attend,
    .attend_out = cpu_attend_out,
    .hyper_out = cpu_hyper_out,
    .route = cpu_route,
    .experts = cpu_experts,
    .logits = cpu_logits,
};

static size_t larger(size_t a, size_t b) {
    return a > b ? a : b;
}

/* The longest input of a matrix. */
static size_t longest_input(const hyperparameters *h) {
    size_t longest = larger((size_t)h->width * MODEL_STREAMS, (size_t)h->n_groups * (size_t)h->group_rank);
    longest = larger(longest, (size_t)h->n_heads / (size_t)h->n_groups * (size_t)h->head_dim);
    return larger(longest, larger((size_t)h->q_rank, (size_t)h->expert_width));
}

/* What a product, attention or a position embedding wants. */
static size_t thread_scratch_bytes(const hyperparameters *h) {
    size_t floats = larger(attend_scratch_floats(h), 2 * larger((size_t)h->head_dim, (size_t)h->index_dim));
    size_t bytes = larger(floats * sizeof(float), select_scratch_bytes(h));
    return (larger(bytes, product_scratch_bytes(longest_input(h))) + 63) / 64 * 64;
}

/* The inputs of the run that has most. */
static size_t quantised_bytes(const hyperparameters *h, size_t tokens) {
    size_t groups = (size_t)h->n_groups, expert_width = (size_t)h->expert_width;
    size_t bytes = matmul_input_bytes(tokens, MODEL_STREAMS * (size_t)h->width);
    bytes = larger(bytes, matmul_input_bytes(tokens * groups, (size_t)h->n_heads / groups * (size_t)h->head_dim));
    bytes = larger(bytes, matmul_input_bytes(tokens, groups * (size_t)h->group_rank));
    bytes = larger(bytes, matmul_input_bytes(tokens, (size_t)h->q_rank));
    return larger(bytes, matmul_input_bytes(tokens * ((size_t)h->n_experts_used + 1), expert_width));
}

enum { MAX_PARTS = 24 };
struct part {
    void **memory;
    size_t n_bytes;
};

/* What the operations of max_tokens tokens need besides what threads have of their own. Ends with NULL. */
static void scratch_parts(cpu_backend *cpu, struct part part[MAX_PARTS]) {
    const hyperparameters *h = cpu->base.hparams;
    size_t tokens = (size_t)cpu->base.max_tokens, pairs = tokens * (size_t)h->n_experts_used;
    cpu->score_floats = larger(SCORE_FLOATS, tokens * (size_t)h->n_experts);
    cpu->n_jobs = 2 * (size_t)h->n_experts + (size_t)h->n_groups + 2;
    struct part all[] = {
        {(void **)&cpu->angles, tokens * 4 * (size_t)cpu->base.rope.n_pairs * sizeof(float)},
        {(void **)&cpu->fresh, tokens * cpu->base.format.raw.n_bytes},
        {(void **)&cpu->low, tokens * (size_t)h->n_groups * (size_t)h->group_rank * sizeof(float)},
        {(void **)&cpu->hyper, tokens * (size_t)h->width * sizeof(float)},
        {(void **)&cpu->score, cpu->score_floats * sizeof(float)},
        {(void **)&cpu->pair_token, larger(pairs, tokens) * sizeof(int32_t)},
        {(void **)&cpu->pair_of, pairs * sizeof(int32_t)},
        {(void **)&cpu->expert_first, ((size_t)h->n_experts + 1) * sizeof(int32_t)},
        {(void **)&cpu->jobs, cpu->n_jobs * sizeof(matmul)},
        {(void **)&cpu->inputs, cpu->n_jobs * sizeof(matmul_input)},
        {(void **)&cpu->quantised, cpu->exact ? 0 : quantised_bytes(h, tokens)},
        {(void **)&cpu->gate, pairs * (size_t)h->expert_width * sizeof(float)},
        {(void **)&cpu->up, pairs * (size_t)h->expert_width * sizeof(float)},
        {(void **)&cpu->down, pairs * (size_t)h->width * sizeof(float)},
        {(void **)&cpu->shared_gate, tokens * (size_t)h->expert_width * sizeof(float)},
        {(void **)&cpu->shared_up, tokens * (size_t)h->expert_width * sizeof(float)},
        {NULL, 0},
    };
    memcpy(part, all, sizeof all);
}

static void *aligned_new(size_t n_bytes) {
    return aligned_alloc(64, (n_bytes + 63) / 64 * 64 + 64);
}

static ds4_status allocate_scratch(cpu_backend *cpu, ds4_error *error) {
    struct part parts[MAX_PARTS];
    scratch_parts(cpu, parts);
    for (struct part *part = parts; part->memory; part++)
        if (!(*part->memory = aligned_new(part->n_bytes))) return error_memory(error, "CPU scratch", part->n_bytes);

    size_t n_threads = (size_t)thread_pool_n_threads(cpu->pool);
    cpu->thread_bytes = thread_scratch_bytes(cpu->base.hparams);
    cpu->thread_scratch = array_new(n_threads, sizeof *cpu->thread_scratch);
    for (size_t i = 0; cpu->thread_scratch && i < n_threads; i++)
        if (!(cpu->thread_scratch[i] = aligned_new(cpu->thread_bytes)))
            return error_memory(error, "CPU thread scratch", cpu->thread_bytes);
    return cpu->thread_scratch ? DS4_OK : error_memory(error, "CPU thread scratch", n_threads * sizeof(float *));
}

size_t cpu_backend_n_bytes(const hyperparameters *hparams, const row_formats *format, int n_threads, int max_tokens) {
    cpu_backend cpu = {.base = {.hparams = hparams, .format = *format, .max_tokens = max_tokens}};
    rope_frequencies_init(hparams, &cpu.base.rope);
    struct part parts[MAX_PARTS];
    scratch_parts(&cpu, parts);
    size_t n_bytes = (size_t)n_threads * thread_scratch_bytes(hparams);
    for (struct part *part = parts; part->memory; part++) n_bytes += part->n_bytes;
    return n_bytes;
}

ds4_status cpu_backend_new(const hyperparameters *hparams, const row_formats *format, const cpu_options *options,
                           int max_tokens, backend **out, ds4_error *error) {
    const cpu_kernels *kernels;
    ds4_status status = cpu_kernels_choose(options->kernels, &kernels, error);
    if (status != DS4_OK) return status;
    cpu_backend *cpu = array_new(1, sizeof *cpu);
    if (!cpu) return error_memory(error, "CPU backend", sizeof *cpu);
    cpu->base = (backend){
        .op = &cpu_ops, .hparams = hparams, .format = *format, .max_tokens = max_tokens, .detail = kernels->name};
    cpu->kernels = kernels;
    cpu->exact = options->exact;
    rope_frequencies_init(hparams, &cpu->base.rope);
    status = thread_pool_new(options->n_threads, &cpu->pool, error);
    if (status == DS4_OK) status = allocate_scratch(cpu, error);
    if (status != DS4_OK) {
        cpu_free(&cpu->base);
        return status;
    }
    *out = &cpu->base;
    return DS4_OK;
}

void rms_norm(const cpu_backend *cpu, const float *x, const float *gain, size_t n, float epsilon, float *out) {
    float scale = 1.0f / sqrtf(cpu->kernels->f->dot(x, x, n) / (float)n + epsilon);
    if (gain)
        for (size_t i = 0; i < n; i++) out[i] = x[i] * scale * gain[i];
    else
        for (size_t i = 0; i < n; i++) out[i] = x[i] * scale;
}
