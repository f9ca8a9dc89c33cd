/* Queries and attention (spec: model math, section 4). */
#include "backend/cpu/cpu.h"

#include <math.h>
#include <string.h>

enum { HEADS_PER_TASK = 8, ROWS_PER_TILE = 32 };

struct query_task {
    const batch *b;
    const layer_weights *w;
    const projections *low;
    float *q, *index_q;
};

static const float *token_angles(const batch *b, size_t t, const layer_weights *w) {
    cpu_backend *cpu = cpu_of(b);
    return cpu->angles + (2 * t + (w->ratio != 0)) * 2 * (size_t)cpu->base.rope.n_pairs;
}

static void norm_q_a_task(void *context, size_t t, int thread) {
    (void)thread;
    const struct query_task *task = context;
    const hyperparameters *hparams = task->b->backend->hparams;
    float *q_a = task->low->q_a + t * (size_t)hparams->q_rank;
    rms_norm(q_a, tensor_floats(task->w->attn_q_a_norm), (size_t)hparams->q_rank, hparams->rms_epsilon, q_a);
}

static void rotate_queries_task(void *context, size_t t, int thread) {
    (void)thread;
    const struct query_task *task = context;
    const backend *base = task->b->backend;
    const hyperparameters *hparams = base->hparams;
    const float *angles = token_angles(task->b, t, task->w);
    int n_pairs = base->rope.n_pairs;
    size_t dim = (size_t)hparams->head_dim, n_heads = (size_t)hparams->n_heads;
    for (size_t h = 0; h < n_heads; h++) {
        float *head = task->q + (t * n_heads + h) * dim;
        rms_norm(head, NULL, dim, hparams->rms_epsilon, head);
        rope_rotate(head + dim - 2 * (size_t)n_pairs, angles, n_pairs, false);
    }
    if (!task->index_q) return;
    size_t index_dim = (size_t)hparams->index_dim, n_index_heads = (size_t)hparams->n_index_heads;
    for (size_t h = 0; h < n_index_heads; h++) {
        float *head = task->index_q + (t * n_index_heads + h) * index_dim;
        rope_rotate(head + index_dim - 2 * (size_t)n_pairs, angles, n_pairs, false);
        if (!base->format.index.round) continue;
        hadamard_transform(head, (int)index_dim);
        fp4_round(head, (int)index_dim);
    }
}

/* Indexer queries are only of use where a token sees more rows than it may choose. */
static bool needs_index(const batch *b, const layer_weights *w) {
    if (w->ratio != 4) return false;
    for (int t = 0; t < b->n_tokens; t++)
        if ((b->position[t] + 1) / 4 > b->backend->hparams->index_top_k) return true;
    return false;
}

void cpu_queries(const batch *b, const layer_weights *w, const projections *low, float *q, float *index_q) {
    cpu_backend *cpu = cpu_of(b);
    struct query_task task = {.b = b, .w = w, .low = low, .q = q, .index_q = needs_index(b, w) ? index_q : NULL};
    thread_pool_run(cpu->pool, (size_t)b->n_tokens, norm_q_a_task, &task);
    matmul jobs[2] = {matmul_whole(w->attn_q_b, low->q_a, b->n_tokens, q)};
    if (task.index_q) jobs[1] = matmul_whole(w->index_q_b, low->q_a, b->n_tokens, index_q);
    matmul_run(cpu, jobs, task.index_q ? 2 : 1);
    thread_pool_run(cpu->pool, (size_t)b->n_tokens, rotate_queries_task, &task);
}

struct attend_task {
    const batch *b;
    const layer_weights *w;
    const float *q;
    const int32_t *selected, *n_selected;
    float *heads;
    size_t tasks_per_token;
};

/* The rows one token attends to: first the window, oldest first, then compressed rows. */
struct visible {
    const batch *b;
    const batch_span *span;
    const layer_memory *memory;
    const int32_t *selected; /* NULL: all */
    int64_t first_raw;
    size_t n_raw, n;
};

static struct visible visible_to(const struct attend_task *task, size_t t) {
    const batch *b = task->b;
    const hyperparameters *hparams = b->backend->hparams;
    int64_t position = b->position[t];
    struct visible v = {.b = b, .span = &b->span[b->span_of[t]]};
    v.memory = &v.span->memory[task->w->index];
    v.first_raw = position >= hparams->window ? position - hparams->window + 1 : 0;
    v.n_raw = v.n = (size_t)(position - v.first_raw + 1);
    if (!task->w->ratio || b->backend->no_compressed_rows) return v;
    if (task->n_selected[t] < 0) {
        v.n += (size_t)((position + 1) / task->w->ratio);
    } else {
        v.selected = task->selected + t * (size_t)hparams->index_top_k;
        v.n += (size_t)task->n_selected[t];
    }
    return v;
}

static void decode_visible(const struct visible *v, size_t i, float *out) {
    const row_formats *format = &v->b->backend->format;
    const uint8_t *row;
    if (i >= v->n_raw) {
        size_t index = v->selected ? (size_t)v->selected[i - v->n_raw] : i - v->n_raw;
        row_decode(&format->compressed, row_pages_at(&v->memory->rows, index, format->compressed.n_bytes), out);
        return;
    }
    int64_t position = v->first_raw + (int64_t)i;
    if (position < v->span->position)
        row = v->memory->raw + (size_t)(position % v->memory->raw_slots) * format->raw.n_bytes;
    else
        row = cpu_of(v->b)->fresh + (size_t)(v->span->first + (position - v->span->position)) * format->raw.n_bytes;
    row_decode(&format->raw, row, out);
}

/* Softmax in one pass over the rows: sums are kept relative to the largest score so far. The sink is a
 * score without a row, so it is where the sums start. */
struct running_softmax {
    float top, sum;
};

static void attend_tile(struct running_softmax *state, const float *q, const float *tile, size_t n_rows, size_t dim,
                        float *out) {
    float score[ROWS_PER_TILE], top = state->top, scale = 1.0f / sqrtf((float)dim);
    for (size_t r = 0; r < n_rows; r++) {
        score[r] = dot_product(q, tile + r * dim, dim) * scale;
        top = fmaxf(top, score[r]);
    }
    float shrink = expf(state->top - top);
    if (shrink != 1.0f)
        for (size_t d = 0; d < dim; d++) out[d] *= shrink;
    state->sum *= shrink;
    state->top = top;
    for (size_t r = 0; r < n_rows; r++) {
        float weight = expf(score[r] - top);
        state->sum += weight;
        add_scaled(out, weight, tile + r * dim, dim);
    }
}

/* Some heads of one token; they share the decoded rows (K = V, one row for all heads). */
static void attend_task(void *context, size_t index, int thread) {
    const struct attend_task *task = context;
    const backend *base = task->b->backend;
    size_t dim = (size_t)base->hparams->head_dim, n_heads = (size_t)base->hparams->n_heads;
    size_t t = index / task->tasks_per_token, first = index % task->tasks_per_token * HEADS_PER_TASK;
    size_t n = n_heads - first < HEADS_PER_TASK ? n_heads - first : HEADS_PER_TASK;
    const float *q = task->q + (t * n_heads + first) * dim;
    float *out = task->heads + (t * n_heads + first) * dim, *tile = cpu_of(task->b)->thread_scratch[thread];
    struct running_softmax state[HEADS_PER_TASK];
    for (size_t h = 0; h < n; h++)
        state[h] = (struct running_softmax){.top = tensor_floats(task->w->attn_sinks)[first + h], .sum = 1.0f};
    memset(out, 0, n * dim * sizeof *out);

    struct visible v = visible_to(task, t);
    for (size_t i = 0; i < v.n; i += ROWS_PER_TILE) {
        size_t n_rows = v.n - i < ROWS_PER_TILE ? v.n - i : ROWS_PER_TILE;
        for (size_t r = 0; r < n_rows; r++) decode_visible(&v, i + r, tile + r * dim);
        for (size_t h = 0; h < n; h++) attend_tile(&state[h], q + h * dim, tile, n_rows, dim, out + h * dim);
    }
    const float *angles = token_angles(task->b, t, task->w);
    for (size_t h = 0; h < n; h++) {
        for (size_t d = 0; d < dim; d++) out[h * dim + d] /= state[h].sum;
        rope_rotate(out + (h + 1) * dim - 2 * (size_t)base->rope.n_pairs, angles, base->rope.n_pairs, true);
    }
}

/* The window moves on: the span's latest raw rows replace the oldest of the ring. */
static void keep_raw_rows(const batch *b, int layer) {
    size_t row_bytes = b->backend->format.raw.n_bytes;
    for (int s = 0; s < b->n_spans; s++) {
        const batch_span *span = &b->span[s];
        layer_memory *memory = &span->memory[layer];
        int skip = span->n_tokens > memory->raw_slots ? span->n_tokens - memory->raw_slots : 0;
        for (int i = skip; i < span->n_tokens; i++)
            memcpy(memory->raw + (size_t)((span->position + i) % memory->raw_slots) * row_bytes,
                   cpu_of(b)->fresh + (size_t)(span->first + i) * row_bytes, row_bytes);
    }
}

void cpu_attend(const batch *b, const layer_weights *w, const float *q, const int32_t *selected,
                const int32_t *n_selected, float *heads) {
    struct attend_task task = {.b = b, .w = w, .q = q, .selected = selected, .n_selected = n_selected, .heads = heads};
    task.tasks_per_token = ((size_t)b->backend->hparams->n_heads + HEADS_PER_TASK - 1) / HEADS_PER_TASK;
    thread_pool_run(cpu_of(b)->pool, (size_t)b->n_tokens * task.tasks_per_token, attend_task, &task);
    keep_raw_rows(b, w->index);
}

size_t attend_scratch_floats(const hyperparameters *hparams) {
    return (size_t)ROWS_PER_TILE * (size_t)hparams->head_dim;
}

void cpu_attend_out(const batch *b, const layer_weights *w, const float *heads, float *y) {
    cpu_backend *cpu = cpu_of(b);
    const hyperparameters *hparams = b->backend->hparams;
    size_t n_groups = (size_t)hparams->n_groups, rank = (size_t)hparams->group_rank;
    size_t group_width = w->attn_output_a->ne[0];
    for (size_t g = 0; g < n_groups; g++)
        cpu->jobs[g] = (matmul){.w = w->attn_output_a,
                                .first_row = g * rank,
                                .n_rows = rank,
                                .x = heads + g * group_width,
                                .x_stride = n_groups * group_width,
                                .n_tokens = b->n_tokens,
                                .y = cpu->low + g * rank,
                                .y_stride = n_groups * rank};
    matmul_run(cpu, cpu->jobs, n_groups);
    matmul out = matmul_whole(w->attn_output_b, cpu->low, b->n_tokens, y);
    matmul_run(cpu, &out, 1);
}
