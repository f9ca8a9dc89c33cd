/* Router and experts (spec: model math, section 9). */
#include "backend/cpu/cpu.h"

#include <math.h>
#include <string.h>

static float softplus(float x) {
    return x > 20.0f ? x : log1pf(expf(x));
}

struct route_task {
    const batch *b;
    const layer_weights *w;
    int32_t *expert;
    float *weight;
};

static float expert_score(const float *prob, const float *bias, int e) {
    return prob[e] + (bias ? bias[e] : 0);
}

/* The used experts with the largest prob + bias, best first; the lower index wins a tie. Scores that are NaN
 * choose badly, but n_used different experts they are always. */
static void choose_experts(const float *prob, const float *bias, int n_experts, int n_used, int32_t *chosen) {
    int n = 0;
    for (int e = 0; e < n_experts; e++) {
        float score = expert_score(prob, bias, e);
        if (n == n_used && !(score > expert_score(prob, bias, chosen[n - 1]))) continue;
        int at = n < n_used ? n++ : n - 1;
        for (; at > 0 && score > expert_score(prob, bias, chosen[at - 1]); at--) chosen[at] = chosen[at - 1];
        chosen[at] = e;
    }
}

static void route_task(void *context, size_t t, int thread) {
    (void)thread;
    const struct route_task *task = context;
    const hyperparameters *hparams = task->b->backend->hparams;
    int n_experts = hparams->n_experts, n_used = hparams->n_experts_used;
    float *prob = cpu_of(task->b)->score + t * (size_t)n_experts;
    int32_t *expert = task->expert + t * (size_t)n_used;
    float *weight = task->weight + t * (size_t)n_used;
    const uint8_t *fixed = NULL;
    if (task->w->expert_ids)
        fixed = task->w->expert_ids->data + (size_t)task->b->token[t] * (size_t)n_used * sizeof *expert;
    const gguf_tensor *bias = task->w->router_bias;
    route_token(hparams, prob, bias ? tensor_floats(bias) : NULL, fixed, expert, weight);
}

void route_token(const hyperparameters *hparams, float *prob, const float *bias, const uint8_t *fixed, int32_t *expert,
                 float *weight) {
    int n_experts = hparams->n_experts, n_used = hparams->n_experts_used;
    for (int e = 0; e < n_experts; e++) prob[e] = sqrtf(softplus(prob[e]));
    if (fixed)
        memcpy(expert, fixed, (size_t)n_used * sizeof *expert);
    else
        choose_experts(prob, bias, n_experts, n_used, expert);
    float sum = 0;
    for (int k = 0; k < n_used; k++) sum += prob[expert[k]];
    sum = fmaxf(sum, 0x1p-14f); /* as the known engines do; reached only if every logit is below about -23 */
    for (int k = 0; k < n_used; k++) weight[k] = hparams->expert_scale * prob[expert[k]] / sum;
}

void cpu_route(const batch *b, const layer_weights *w, const float *x, int32_t *expert, float *weight) {
    cpu_backend *cpu = cpu_of(b);
    matmul job = matmul_whole(w->router, x, b->n_tokens, cpu->score);
    matmul_run(cpu, &job, 1);
    struct route_task task = {.b = b, .w = w, .expert = expert, .weight = weight};
    thread_pool_run(cpu->pool, (size_t)b->n_tokens, route_task, &task);
}

/* Orders the (token, k) pairs by expert: a counting sort. */
static void group_by_expert(cpu_backend *cpu, const int32_t *expert, int n_tokens) {
    int n_experts = cpu->base.hparams->n_experts, n_used = cpu->base.hparams->n_experts_used;
    int32_t *first = cpu->expert_first;
    memset(first, 0, ((size_t)n_experts + 1) * sizeof *first);
    for (int i = 0; i < n_tokens * n_used; i++) first[expert[i] + 1]++;
    for (int e = 0; e < n_experts; e++) first[e + 1] += first[e];
    for (int i = 0; i < n_tokens * n_used; i++) {
        int32_t pair = first[expert[i]]++;
        cpu->pair_token[pair] = i / n_used;
        cpu->pair_of[i] = pair;
    }
    for (int e = n_experts; e > 0; e--) first[e] = first[e - 1];
    first[0] = 0;
}

struct swiglu_task {
    const batch *b;
    const float *weight;
    float limit;
};

static void swiglu_task(void *context, size_t t, int thread) {
    (void)thread;
    const struct swiglu_task *task = context;
    cpu_backend *cpu = cpu_of(task->b);
    const float_kernels *f = cpu->kernels->f;
    size_t n_used = (size_t)cpu->base.hparams->n_experts_used, n = (size_t)cpu->base.hparams->expert_width;
    for (size_t k = 0; k < n_used; k++) {
        size_t at = (size_t)cpu->pair_of[t * n_used + k] * n;
        f->swiglu(cpu->gate + at, cpu->up + at, task->limit, task->weight[t * n_used + k], n);
    }
    f->swiglu(cpu->shared_gate + t * n, cpu->shared_up + t * n, task->limit, 1.0f, n);
}

/* A job for each expert that has tokens: its rows of w times x (n_x rows, gathered, or already in pair order). */
static size_t expert_jobs(cpu_backend *cpu, const gguf_tensor *w, const float *x, int n_x, bool gather, float *y,
                          matmul *jobs) {
    size_t n_jobs = 0;
    for (int e = 0; e < cpu->base.hparams->n_experts; e++) {
        int first = cpu->expert_first[e], n = cpu->expert_first[e + 1] - first;
        if (!n) continue;
        jobs[n_jobs++] = (matmul){
            .w = w,
            .first_row = (size_t)e * w->ne[1],
            .n_rows = w->ne[1],
            .x = x,
            .x_stride = w->ne[0],
            .n_x = n_x,
            .first_x = first,
            .gather = gather ? cpu->pair_token + first : NULL,
            .n_tokens = n,
            .y = y + (size_t)first * w->ne[1],
            .y_stride = w->ne[1],
        };
    }
    return n_jobs;
}

struct sum_task {
    cpu_backend *cpu;
    float *y;
};

/* In the order of the token's own choice of experts, which does not depend on the batch. */
static void sum_task(void *context, size_t t, int thread) {
    (void)thread;
    const struct sum_task *task = context;
    const hyperparameters *hparams = task->cpu->base.hparams;
    size_t n_used = (size_t)hparams->n_experts_used, width = (size_t)hparams->width;
    for (size_t k = 0; k < n_used; k++) {
        size_t pair = (size_t)task->cpu->pair_of[t * n_used + k];
        task->cpu->kernels->f->add_scaled(task->y + t * width, 1.0f, task->cpu->down + pair * width, width);
    }
}

void cpu_experts(const batch *b, const layer_weights *w, const float *x, const int32_t *expert, const float *weight,
                 float *y) {
    cpu_backend *cpu = cpu_of(b);
    int n_used = b->backend->hparams->n_experts_used;
    group_by_expert(cpu, expert, b->n_tokens);
    matmul *jobs = cpu->jobs;
    size_t n_jobs = expert_jobs(cpu, w->gate_experts, x, b->n_tokens, true, cpu->gate, jobs);
    n_jobs += expert_jobs(cpu, w->up_experts, x, b->n_tokens, true, cpu->up, jobs + n_jobs);
    jobs[n_jobs++] = matmul_whole(w->gate_shared, x, b->n_tokens, cpu->shared_gate);
    jobs[n_jobs++] = matmul_whole(w->up_shared, x, b->n_tokens, cpu->shared_up);
    matmul_run(cpu, jobs, n_jobs);

    struct swiglu_task middle = {.b = b, .weight = weight, .limit = w->swiglu_limit};
    thread_pool_run(cpu->pool, (size_t)b->n_tokens, swiglu_task, &middle);

    n_jobs = expert_jobs(cpu, w->down_experts, cpu->gate, b->n_tokens * n_used, false, cpu->down, jobs);
    jobs[n_jobs++] = matmul_whole(w->down_shared, cpu->shared_gate, b->n_tokens, y);
    matmul_run(cpu, jobs, n_jobs);
    struct sum_task sum = {.cpu = cpu, .y = y};
    thread_pool_run(cpu->pool, (size_t)b->n_tokens, sum_task, &sum);
}
