/* The lightning indexer (spec: model math, section 7): which compressed rows a token attends to. */
#include "backend/cpu/cpu.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { INDEX_RATIO = 4, ROWS_PER_TASK = 512 };

/* Scores of a few tokens at a time, so that their memory stays bounded on long contexts. */
struct select_task {
    const batch *b;
    const layer_weights *w;
    const float *index_q, *weight;
    const int32_t *token; /* tokens of this group */
    size_t stride;        /* floats of score per token */
    size_t tasks_per_token;
    int32_t *selected, *n_selected;
};

static size_t visible_rows(const batch *b, int t) {
    return (size_t)((b->position[t] + 1) / INDEX_RATIO);
}

static void score_task(void *context, size_t index, int thread) {
    const struct select_task *task = context;
    cpu_backend *cpu = cpu_of(task->b);
    const hyperparameters *hparams = cpu->base.hparams;
    const row_format *format = &cpu->base.format.index;
    size_t n_heads = (size_t)hparams->n_index_heads, dim = (size_t)hparams->index_dim;
    size_t in_group = index / task->tasks_per_token;
    int t = task->token[in_group];
    size_t row = index % task->tasks_per_token * ROWS_PER_TASK, end = row + ROWS_PER_TASK;
    if (end > visible_rows(task->b, t)) end = visible_rows(task->b, t);
    const row_pages *pages = &task->b->span[task->b->span_of[t]].memory[task->w->index].index_rows;
    const float *q = task->index_q + (size_t)t * n_heads * dim, *weight = task->weight + (size_t)t * n_heads;
    float *key = cpu->thread_scratch[thread], *score = cpu->score + in_group * task->stride;
    float factor = 1.0f / sqrtf((float)(dim * n_heads));
    for (; row < end; row++) {
        row_decode(format, row_pages_at(pages, row, format->n_bytes), key);
        float sum = 0;
        for (size_t h = 0; h < n_heads; h++) sum += fmaxf(dot_product(q + h * dim, key, dim), 0) * (weight[h] * factor);
        score[row] = sum;
    }
}

/* Whether row a ranks behind row b: lower score, or the later of two equal ones. */
static bool ranks_behind(const float *score, int32_t a, int32_t b) {
    return score[a] < score[b] || (score[a] == score[b] && a > b);
}

static void sift_down(const float *score, int32_t *heap, int n, int at) {
    for (;;) {
        int child = 2 * at + 1;
        if (child >= n) return;
        if (child + 1 < n && ranks_behind(score, heap[child + 1], heap[child])) child++;
        if (!ranks_behind(score, heap[child], heap[at])) return;
        int32_t moved = heap[at];
        heap[at] = heap[child];
        heap[child] = moved;
        at = child;
    }
}

static int ascending(const void *a, const void *b) {
    int32_t x = *(const int32_t *)a, y = *(const int32_t *)b;
    return (x > y) - (x < y);
}

/* A heap with the worst of the k best at its root. */
static void best_rows(const float *score, size_t n_rows, int k, int32_t *heap) {
    for (int i = 0; i < k; i++) heap[i] = i;
    for (int i = k / 2 - 1; i >= 0; i--) sift_down(score, heap, k, i);
    for (size_t row = (size_t)k; row < n_rows; row++) {
        if (!ranks_behind(score, heap[0], (int32_t)row)) continue;
        heap[0] = (int32_t)row;
        sift_down(score, heap, k, 0);
    }
    qsort(heap, (size_t)k, sizeof *heap, ascending);
}

static void choose_task(void *context, size_t in_group, int thread) {
    (void)thread;
    const struct select_task *task = context;
    int t = task->token[in_group], top_k = task->b->backend->hparams->index_top_k;
    best_rows(cpu_of(task->b)->score + in_group * task->stride, visible_rows(task->b, t), top_k,
              task->selected + (size_t)t * (size_t)top_k);
    task->n_selected[t] = top_k;
}

static void select_group(struct select_task *task, size_t n_tokens) {
    thread_pool *pool = cpu_of(task->b)->pool;
    task->tasks_per_token = (task->stride + ROWS_PER_TASK - 1) / ROWS_PER_TASK;
    thread_pool_run(pool, n_tokens * task->tasks_per_token, score_task, task);
    thread_pool_run(pool, n_tokens, choose_task, task);
}

void cpu_select(const batch *b, const layer_weights *w, const projections *low, const float *index_q, int32_t *selected,
                int32_t *n_selected) {
    cpu_backend *cpu = cpu_of(b);
    size_t top_k = (size_t)b->backend->hparams->index_top_k, most_rows = 0;
    int32_t *token = cpu->pair_token; /* free until the layer's experts */
    int n_tokens = 0;
    for (int t = 0; t < b->n_tokens; t++) {
        n_selected[t] = -1;
        if (w->ratio != INDEX_RATIO || visible_rows(b, t) <= top_k) continue;
        token[n_tokens++] = t;
        if (visible_rows(b, t) > most_rows) most_rows = visible_rows(b, t);
    }
    if (!n_tokens) return;
    struct select_task task = {.b = b,
                               .w = w,
                               .index_q = index_q,
                               .weight = low->index_weight,
                               .stride = most_rows,
                               .selected = selected,
                               .n_selected = n_selected};
    int group = (int)(cpu->score_floats / most_rows);
    for (int first = 0; first < n_tokens; first += group) {
        task.token = token + first;
        select_group(&task, (size_t)(n_tokens - first < group ? n_tokens - first : group));
    }
}
