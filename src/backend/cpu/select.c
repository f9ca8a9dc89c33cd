/* The lightning indexer (spec: model math, section 7): which compressed rows a token attends to. */
#include "backend/cpu/cpu.h"
#include "base/half.h"
#include "base/simd.h"

#include <math.h>
#include <string.h>

enum { INDEX_RATIO = 4, TASKS_PER_THREAD = 2 };

/* Scores of a few tokens at a time, so that their memory stays bounded on long contexts. */
struct select_task {
    const batch *b;
    const layer_weights *w;
    const float *index_q, *weight;
    const int32_t *token; /* tokens of this group */
    size_t stride;        /* floats of score per token */
    size_t pages_per_task, tasks_per_token;
    int32_t *selected, *n_selected;
};

static size_t visible_rows(const batch *b, int t) {
    return (size_t)((b->position[t] + 1) / INDEX_RATIO);
}

/* ---- scores ---- */

static float score_factor(const hyperparameters *hparams) {
    return 1.0f / sqrtf((float)hparams->index_dim * (float)hparams->n_index_heads);
}

/* Rows as the model stores them: their codes and the query's are small integers. */
static void score_codes(const struct select_task *task, int t, size_t row, size_t end, float *score, void *scratch) {
    const cpu_backend *cpu = cpu_of(task->b);
    const hyperparameters *hparams = cpu->base.hparams;
    size_t n_heads = (size_t)hparams->n_index_heads, dim = (size_t)hparams->index_dim;
    size_t row_bytes = cpu->base.format.index.n_bytes;
    const row_pages *pages = &task->b->span[task->b->span_of[t]].memory[task->w->index].index_rows;
    index_query query = index_query_in(scratch, n_heads, dim);
    cpu->kernels->f->index_prepare(&query, task->index_q + (size_t)t * n_heads * dim, n_heads,
                                   task->weight + (size_t)t * n_heads, score_factor(hparams));
    for (size_t n; row < end; row += n) {
        n = ROWS_PER_PAGE - row % ROWS_PER_PAGE;
        if (n > end - row) n = end - row;
        cpu->kernels->f->index_scores(&query, row_pages_at(pages, row, row_bytes), row_bytes, n, score + row);
    }
}

/* Float rows of the test formats. */
static void score_floats(const struct select_task *task, int t, size_t row, size_t end, float *score, float *key) {
    const cpu_backend *cpu = cpu_of(task->b);
    const hyperparameters *hparams = cpu->base.hparams;
    const row_format *format = &cpu->base.format.index;
    size_t n_heads = (size_t)hparams->n_index_heads, dim = (size_t)hparams->index_dim;
    const row_pages *pages = &task->b->span[task->b->span_of[t]].memory[task->w->index].index_rows;
    const float *q = task->index_q + (size_t)t * n_heads * dim, *weight = task->weight + (size_t)t * n_heads;
    for (; row < end; row++) {
        row_decode(format, row_pages_at(pages, row, format->n_bytes), key);
        float sum = 0;
        for (size_t h = 0; h < n_heads; h++) {
            float dot = cpu->kernels->f->dot(q + h * dim, key, dim);
            sum = fmaf(fmaxf(dot, 0), weight[h] * score_factor(hparams), sum);
        }
        score[row] = sum;
    }
}

size_t select_scratch_bytes(const hyperparameters *hparams) {
    if (!hparams->index_dim) return 0;
    size_t n_heads = (size_t)hparams->n_index_heads, dim = (size_t)hparams->index_dim;
    return index_query_bytes(n_heads, dim) + dim * sizeof(float);
}

static void score_task(void *context, size_t index, int thread) {
    const struct select_task *task = context;
    cpu_backend *cpu = cpu_of(task->b);
    size_t in_group = index / task->tasks_per_token, rows = task->pages_per_task * ROWS_PER_PAGE;
    int t = task->token[in_group];
    size_t row = index % task->tasks_per_token * rows, end = row + rows;
    if (end > visible_rows(task->b, t)) end = visible_rows(task->b, t);
    if (row >= end) return;
    float *score = cpu->score + in_group * task->stride;
    if (cpu->base.format.index.compact)
        score_codes(task, t, row, end, score, cpu->thread_scratch[thread]);
    else
        score_floats(task, t, row, end, score, cpu->thread_scratch[thread]);
}

/* ---- choice ---- */

/* Scores become ranks: integers in the opposite order. Both zeros are the same. */
SIMD_CLONES
static void rank_scores(const float *score, size_t n, int32_t *rank) {
    for (size_t i = 0; i < n; i++) {
        int32_t bits = (int32_t)float_to_bits(score[i] + 0.0f);
        rank[i] = bits ^ ~(bits >> 31 & INT32_MAX);
    }
}

SIMD_CLONES
static size_t count_up_to(const int32_t *rank, size_t n, int32_t limit) {
    int32_t count = 0;
    for (size_t i = 0; i < n; i++) count += rank[i] <= limit;
    return (size_t)count;
}

/* The largest rank among the k best of n > k rows; n_equal: how many of that rank are among them, or more than there
 * are. Counting goes through memory a few times, but in step with it. */
static int32_t kth_rank(const int32_t *rank, size_t n, size_t k, size_t *n_equal) {
    int64_t low = INT32_MIN, high = INT32_MAX;
    *n_equal = k;
    while (low < high) {
        int64_t middle = low + (high - low) / 2;
        size_t count = count_up_to(rank, n, (int32_t)middle);
        if (count == k) {
            *n_equal = k;
            return (int32_t)middle;
        }
        if (count < k) {
            low = middle + 1;
            *n_equal = k - count;
        } else {
            high = middle;
        }
    }
    return (int32_t)low;
}

/* The k best of n > k rows, ascending; of rows with equal scores the first ones. */
static void best_rows(float *score, size_t n, size_t k, int32_t *chosen) {
    int32_t *rank = (int32_t *)(void *)score;
    rank_scores(score, n, rank);
    size_t n_equal, n_chosen = 0;
    int32_t last = kth_rank(rank, n, k, &n_equal);
    for (size_t i = 0; n_chosen < k; i++) {
        bool equal = rank[i] == last && n_equal > 0;
        chosen[n_chosen] = (int32_t)i;
        n_chosen += equal || rank[i] < last;
        n_equal -= equal;
    }
}

static void choose_task(void *context, size_t in_group, int thread) {
    (void)thread;
    const struct select_task *task = context;
    int t = task->token[in_group], top_k = task->b->backend->hparams->index_top_k;
    best_rows(cpu_of(task->b)->score + in_group * task->stride, visible_rows(task->b, t), (size_t)top_k,
              task->selected + (size_t)t * (size_t)top_k);
    task->n_selected[t] = top_k;
}

static void select_group(struct select_task *task, size_t n_tokens) {
    thread_pool *pool = cpu_of(task->b)->pool;
    size_t n_tasks = TASKS_PER_THREAD * (size_t)thread_pool_n_threads(pool);
    size_t n_pages = (task->stride + ROWS_PER_PAGE - 1) / ROWS_PER_PAGE;
    task->pages_per_task = n_tokens * n_pages / n_tasks + 1;
    if (task->pages_per_task > n_pages) task->pages_per_task = n_pages;
    task->tasks_per_token = (n_pages + task->pages_per_task - 1) / task->pages_per_task;
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
