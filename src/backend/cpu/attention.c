/* Queries and attention (spec: model math, section 4). */
#include "backend/cpu/cpu.h"

#include <math.h>
#include <string.h>

/* ---- queries ---- */

enum { HEADS_TO_ROTATE = 8 };

struct query_task {
    const batch *b;
    const layer_weights *w;
    const projections *low;
    float *q, *index_q;
    size_t tasks_per_token;
};

static const float *token_angles(const batch *b, size_t t, const layer_weights *w) {
    cpu_backend *cpu = cpu_of(b);
    return cpu->angles + (2 * t + (w->ratio != 0)) * 2 * (size_t)cpu->base.rope.n_pairs;
}

static void norm_q_a_task(void *context, size_t t, int thread) {
    (void)thread;
    const struct query_task *task = context;
    const hyperparameters *hparams = task->b->backend->hparams;
    size_t rank = (size_t)hparams->q_rank;
    float *q_a = task->low->q_a + t * rank;
    rms_norm(cpu_of(task->b), q_a, tensor_floats(task->w->attn_q_a_norm), rank, hparams->rms_epsilon, q_a);
}

static void rotate_head(const struct query_task *task, size_t t, size_t h) {
    const cpu_backend *cpu = cpu_of(task->b);
    const hyperparameters *hparams = cpu->base.hparams;
    size_t dim = (size_t)hparams->head_dim, n_pairs = (size_t)cpu->base.rope.n_pairs;
    float *head = task->q + (t * (size_t)hparams->n_heads + h) * dim;
    rms_norm(cpu, head, NULL, dim, hparams->rms_epsilon, head);
    cpu->kernels->f->rotate(head + dim - 2 * n_pairs, token_angles(task->b, t, task->w), n_pairs, false);
}

static void rotate_index_head(const struct query_task *task, size_t t, size_t h) {
    const cpu_backend *cpu = cpu_of(task->b);
    const hyperparameters *hparams = cpu->base.hparams;
    size_t dim = (size_t)hparams->index_dim, n_pairs = (size_t)cpu->base.rope.n_pairs;
    float *head = task->index_q + (t * (size_t)hparams->n_index_heads + h) * dim;
    cpu->kernels->f->rotate(head + dim - 2 * n_pairs, token_angles(task->b, t, task->w), n_pairs, false);
    if (!cpu->base.format.index.round) return;
    cpu->kernels->f->hadamard(head, dim);
    fp4_round(head, (int)dim);
}

/* Some heads of one token; the indexer's are counted behind its others. */
static void rotate_queries_task(void *context, size_t index, int thread) {
    (void)thread;
    const struct query_task *task = context;
    const hyperparameters *hparams = task->b->backend->hparams;
    size_t n_heads = (size_t)hparams->n_heads, n = n_heads + (task->index_q ? (size_t)hparams->n_index_heads : 0);
    size_t t = index / task->tasks_per_token, first = index % task->tasks_per_token * HEADS_TO_ROTATE;
    for (size_t h = first; h < n && h < first + HEADS_TO_ROTATE; h++)
        if (h < n_heads)
            rotate_head(task, t, h);
        else
            rotate_index_head(task, t, h - n_heads);
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
    const hyperparameters *hparams = cpu->base.hparams;
    size_t n_heads = (size_t)hparams->n_heads + (task.index_q ? (size_t)hparams->n_index_heads : 0);
    task.tasks_per_token = (n_heads + HEADS_TO_ROTATE - 1) / HEADS_TO_ROTATE;
    thread_pool_run(cpu->pool, (size_t)b->n_tokens * task.tasks_per_token, rotate_queries_task, &task);
}

/* ---- attention ---- */

/*
 * One key and value row serves all heads, so rows are decoded once for a group of heads. The rows that a token sees
 * are cut into parts, whatever the number of threads and tokens: each has a softmax of its own, and the parts are then
 * merged in order. So threads may share one token's work by heads and by parts, and results do not depend on that.
 */
enum { ROWS_PER_PART = 2 * ATTEND_ROWS, GROUPS_PER_TASK = 4 };

struct attend_task {
    const batch *b;
    const layer_weights *w;
    const float *q;
    const int32_t *selected, *n_selected;
    float *heads;
    size_t groups_per_task, tasks_per_part; /* a task has some groups of ATTEND_HEADS heads */
    size_t max_parts;                       /* of a token; 0: a task does all of them */
    attend_state *state;                    /* [token][part][group] where tasks have one part */
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

/* Row i and its format. */
static const uint8_t *visible_row(const struct visible *v, size_t i, const row_format **format) {
    const row_formats *formats = &v->b->backend->format;
    if (i >= v->n_raw) {
        size_t index = v->selected ? (size_t)v->selected[i - v->n_raw] : i - v->n_raw;
        *format = &formats->compressed;
        return row_pages_at(&v->memory->rows, index, formats->compressed.n_bytes);
    }
    *format = &formats->raw;
    int64_t position = v->first_raw + (int64_t)i;
    if (position < v->span->position)
        return v->memory->raw + (size_t)(position % v->memory->raw_slots) * formats->raw.n_bytes;
    return cpu_of(v->b)->fresh + (size_t)(v->span->first + (position - v->span->position)) * formats->raw.n_bytes;
}

/* Rows that are decoded next come from anywhere in memory. */
static void prefetch_rows(const struct visible *v, size_t first, size_t end) {
    for (size_t i = first; i < end; i++) {
        const row_format *format;
        const uint8_t *row = visible_row(v, i, &format);
        for (size_t at = 0; at < format->n_bytes; at += 64) __builtin_prefetch(row + at);
    }
}

static void decode_rows(const struct visible *v, size_t first, size_t end, float *rows, size_t stride) {
    for (size_t i = first; i < end; i++, rows += stride) {
        const row_format *format;
        const uint8_t *row = visible_row(v, i, &format);
        if (format->compact)
            cpu_of(v->b)->kernels->f->decode_row(format, row, rows);
        else
            row_decode(format, row, rows);
    }
}

/* Scratch of a thread: decoded rows, and for some groups of heads queries and two softmaxes. */
struct attend_scratch {
    float *rows; /* [ATTEND_ROWS][attend_row_stride(dim)] */
    float *q;    /* [group][dim][ATTEND_HEADS] */
    attend_state part[GROUPS_PER_TASK], whole[GROUPS_PER_TASK];
};

static size_t group_floats(size_t dim) {
    return ATTEND_HEADS * attend_width(dim);
}

size_t attend_scratch_floats(const hyperparameters *hparams) {
    size_t dim = (size_t)hparams->head_dim;
    return ATTEND_ROWS * attend_row_stride(dim) + 3 * GROUPS_PER_TASK * group_floats(dim);
}

static void scratch_init(struct attend_scratch *scratch, float *memory, size_t dim) {
    scratch->rows = memory;
    scratch->q = scratch->rows + ATTEND_ROWS * attend_row_stride(dim);
    float *out = scratch->q + GROUPS_PER_TASK * group_floats(dim);
    for (size_t g = 0; g < GROUPS_PER_TASK; g++) {
        scratch->part[g].out = out + 2 * g * group_floats(dim);
        scratch->whole[g].out = out + (2 * g + 1) * group_floats(dim);
    }
    for (size_t r = 0; r < ATTEND_ROWS; r++)
        for (size_t d = dim; d < attend_width(dim); d++) scratch->rows[r * attend_row_stride(dim) + d] = 0;
}

/* Some groups of one token's heads. */
struct head_groups {
    size_t t, first, n;
};

static size_t heads_in_group(const hyperparameters *hparams, size_t group) {
    size_t rest = (size_t)hparams->n_heads - group * ATTEND_HEADS;
    return rest < ATTEND_HEADS ? rest : ATTEND_HEADS;
}

static size_t group_count(const hyperparameters *hparams) {
    return ((size_t)hparams->n_heads + ATTEND_HEADS - 1) / ATTEND_HEADS;
}

static void transpose_queries(const struct attend_task *task, const struct head_groups *groups, float *q_t) {
    const hyperparameters *hparams = task->b->backend->hparams;
    size_t dim = (size_t)hparams->head_dim, n_heads = (size_t)hparams->n_heads;
    for (size_t g = 0; g < groups->n; g++) {
        const float *q = task->q + (groups->t * n_heads + (groups->first + g) * ATTEND_HEADS) * dim;
        cpu_of(task->b)->kernels->f->attend_queries(q, heads_in_group(hparams, groups->first + g), dim,
                                                    q_t + g * ATTEND_HEADS * dim);
    }
}

static void attend_part(const struct visible *v, size_t part, size_t n_groups, struct attend_scratch *scratch,
                        attend_state *state) {
    const float_kernels *f = cpu_of(v->b)->kernels->f;
    size_t dim = (size_t)v->b->backend->hparams->head_dim;
    size_t end = (part + 1) * ROWS_PER_PART < v->n ? (part + 1) * ROWS_PER_PART : v->n;
    prefetch_rows(v, part * ROWS_PER_PART, end);
    for (size_t g = 0; g < n_groups; g++) f->attend_start(&state[g], dim);
    for (size_t i = part * ROWS_PER_PART; i < end; i += ATTEND_ROWS) {
        size_t n_rows = end - i < ATTEND_ROWS ? end - i : ATTEND_ROWS;
        decode_rows(v, i, i + n_rows, scratch->rows, attend_row_stride(dim));
        for (size_t g = 0; g < n_groups; g++)
            f->attend_rows(&state[g], scratch->q + g * ATTEND_HEADS * dim, scratch->rows, n_rows, dim,
                           1.0f / sqrtf((float)dim));
    }
}

/* The sink is a score without a row, so it is where merging starts. */
static void start_with_sinks(const struct attend_task *task, size_t group, attend_state *state) {
    const hyperparameters *hparams = task->b->backend->hparams;
    cpu_of(task->b)->kernels->f->attend_start(state, (size_t)hparams->head_dim);
    for (size_t h = 0; h < heads_in_group(hparams, group); h++) {
        state->top[h] = tensor_floats(task->w->attn_sinks)[group * ATTEND_HEADS + h];
        state->sum[h] = 1.0f;
    }
}

static void finish_group(const struct attend_task *task, size_t t, size_t group, const attend_state *state) {
    const float_kernels *f = cpu_of(task->b)->kernels->f;
    const hyperparameters *hparams = task->b->backend->hparams;
    size_t dim = (size_t)hparams->head_dim, n_pairs = (size_t)task->b->backend->rope.n_pairs;
    size_t n = heads_in_group(hparams, group);
    float *heads = task->heads + (t * (size_t)hparams->n_heads + group * ATTEND_HEADS) * dim;
    f->attend_finish(state, n, dim, heads);
    for (size_t h = 0; h < n; h++)
        f->rotate(heads + (h + 1) * dim - 2 * n_pairs, token_angles(task->b, t, task->w), n_pairs, true);
}

static size_t part_count(const struct visible *v) {
    return (v->n + ROWS_PER_PART - 1) / ROWS_PER_PART;
}

static struct head_groups task_groups(const struct attend_task *task, size_t index) {
    struct head_groups groups = {.t = index / task->tasks_per_part,
                                 .first = index % task->tasks_per_part * task->groups_per_task};
    size_t rest = group_count(task->b->backend->hparams) - groups.first;
    groups.n = rest < task->groups_per_task ? rest : task->groups_per_task;
    return groups;
}

static void attend_whole_task(void *context, size_t index, int thread) {
    const struct attend_task *task = context;
    const float_kernels *f = cpu_of(task->b)->kernels->f;
    size_t dim = (size_t)task->b->backend->hparams->head_dim;
    struct head_groups groups = task_groups(task, index);
    struct attend_scratch scratch;
    scratch_init(&scratch, cpu_of(task->b)->thread_scratch[thread], dim);
    transpose_queries(task, &groups, scratch.q);
    struct visible v = visible_to(task, groups.t);
    for (size_t g = 0; g < groups.n; g++) start_with_sinks(task, groups.first + g, &scratch.whole[g]);
    for (size_t part = 0; part < part_count(&v); part++) {
        attend_part(&v, part, groups.n, &scratch, scratch.part);
        for (size_t g = 0; g < groups.n; g++) f->attend_merge(&scratch.whole[g], &scratch.part[g], dim);
    }
    for (size_t g = 0; g < groups.n; g++) finish_group(task, groups.t, groups.first + g, &scratch.whole[g]);
}

static attend_state *state_of(const struct attend_task *task, size_t t, size_t part, size_t group) {
    return task->state + (t * task->max_parts + part) * group_count(task->b->backend->hparams) + group;
}

static void attend_part_task(void *context, size_t index, int thread) {
    const struct attend_task *task = context;
    size_t part = index / task->tasks_per_part % task->max_parts;
    struct head_groups groups = task_groups(task, index);
    groups.t /= task->max_parts;
    struct visible v = visible_to(task, groups.t);
    if (part >= part_count(&v)) return;
    struct attend_scratch scratch;
    scratch_init(&scratch, cpu_of(task->b)->thread_scratch[thread], (size_t)task->b->backend->hparams->head_dim);
    transpose_queries(task, &groups, scratch.q);
    attend_part(&v, part, groups.n, &scratch, state_of(task, groups.t, part, groups.first));
}

static void merge_task(void *context, size_t index, int thread) {
    const struct attend_task *task = context;
    size_t n_groups = group_count(task->b->backend->hparams), t = index / n_groups, group = index % n_groups;
    size_t dim = (size_t)task->b->backend->hparams->head_dim;
    struct attend_scratch scratch;
    scratch_init(&scratch, cpu_of(task->b)->thread_scratch[thread], dim);
    attend_state *whole = &scratch.whole[0];
    start_with_sinks(task, group, whole);
    struct visible v = visible_to(task, t);
    for (size_t part = 0; part < part_count(&v); part++)
        cpu_of(task->b)->kernels->f->attend_merge(whole, state_of(task, t, part, group), dim);
    finish_group(task, t, group, whole);
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

/* Softmaxes of all parts of all tokens, in memory that the indexer has when its choice is made. False: no room. */
static bool part_states(struct attend_task *task, size_t n_tokens) {
    cpu_backend *cpu = cpu_of(task->b);
    size_t dim = (size_t)cpu->base.hparams->head_dim, n_parts = 0;
    for (size_t t = 0; t < n_tokens; t++) {
        struct visible v = visible_to(task, t);
        if (part_count(&v) > n_parts) n_parts = part_count(&v);
    }
    size_t n_states = n_tokens * n_parts * group_count(cpu->base.hparams);
    size_t state_floats = (sizeof(attend_state) + sizeof(float) - 1) / sizeof(float);
    if (n_states > cpu->score_floats / (state_floats + group_floats(dim))) return false;
    task->max_parts = n_parts;
    task->state = (attend_state *)(void *)cpu->score;
    float *out = cpu->score + n_states * state_floats;
    for (size_t i = 0; i < n_states; i++) task->state[i].out = out + i * group_floats(dim);
    return true;
}

void cpu_attend(const batch *b, const layer_weights *w, const float *q, const int32_t *selected,
                const int32_t *n_selected, float *heads) {
    cpu_backend *cpu = cpu_of(b);
    size_t n_tokens = (size_t)b->n_tokens, n_threads = (size_t)thread_pool_n_threads(cpu->pool);
    size_t n_groups = group_count(cpu->base.hparams);
    struct attend_task task = {.b = b, .w = w, .q = q, .selected = selected, .n_selected = n_selected, .heads = heads};
    /* Few tokens are shared by parts too; then two threads decode a row twice, not more. */
    bool in_parts = n_threads > 1 && n_tokens < 4 * n_threads && part_states(&task, n_tokens);
    task.groups_per_task = !in_parts ? GROUPS_PER_TASK : n_threads < 4 ? GROUPS_PER_TASK / 2 : 1;
    task.tasks_per_part = (n_groups + task.groups_per_task - 1) / task.groups_per_task;
    if (in_parts) {
        thread_pool_run(cpu->pool, n_tokens * task.max_parts * task.tasks_per_part, attend_part_task, &task);
        thread_pool_run(cpu->pool, n_tokens * n_groups, merge_task, &task);
    } else {
        thread_pool_run(cpu->pool, n_tokens * task.tasks_per_part, attend_whole_task, &task);
    }
    keep_raw_rows(b, w->index);
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
