/* Hyper-connections (spec: model math, section 3) and the output head. */
#include "backend/cpu/cpu.h"

#include <math.h>
#include <string.h>

enum { S = MODEL_STREAMS };

static float sigmoid(float x) {
    return 1.0f / (1.0f + expf(-x));
}

static void divide_columns(float c[S][S], float epsilon) {
    for (int j = 0; j < S; j++) {
        float sum = epsilon;
        for (int i = 0; i < S; i++) sum += c[i][j];
        for (int i = 0; i < S; i++) c[i][j] /= sum;
    }
}

static void divide_rows(float c[S][S], float epsilon) {
    for (int i = 0; i < S; i++) {
        float sum = epsilon;
        for (int j = 0; j < S; j++) sum += c[i][j];
        for (int j = 0; j < S; j++) c[i][j] /= sum;
    }
}

static void softmax_rows(float c[S][S], float epsilon) {
    for (int i = 0; i < S; i++) {
        float top = c[i][0], sum = 0;
        for (int j = 1; j < S; j++) top = fmaxf(top, c[i][j]);
        for (int j = 0; j < S; j++) sum += c[i][j] = expf(c[i][j] - top);
        for (int j = 0; j < S; j++) c[i][j] = c[i][j] / sum + epsilon;
    }
}

void hyper_split(const hyperparameters *hparams, const float *scale, const float *base, float mix[MODEL_MIX]) {
    float epsilon = hparams->hyper_epsilon;
    for (int n = 0; n < S; n++) {
        mix[n] = sigmoid(mix[n] * scale[0] + base[n]) + epsilon;
        mix[S + n] = 2.0f * sigmoid(mix[S + n] * scale[1] + base[S + n]);
    }
    float c[S][S];
    for (int i = 0; i < S; i++)
        for (int j = 0; j < S; j++) {
            int at = 2 * S + S * i + j;
            c[i][j] = mix[at] * scale[2] + base[at];
        }
    softmax_rows(c, epsilon);
    divide_columns(c, epsilon);
    for (int iteration = 1; iteration < hparams->sinkhorn_iterations; iteration++) {
        divide_rows(c, epsilon);
        divide_columns(c, epsilon);
    }
    memcpy(mix + 2 * S, c, sizeof c);
}

/* The one RMS over all streams is a factor on the projected values: fn rms(x) = (fn x) / rms. */
static float stream_scale(const cpu_backend *cpu, const float *streams, size_t width, float epsilon) {
    size_t n = S * width;
    return 1.0f / sqrtf(cpu->kernels->f->dot(streams, streams, n) / (float)n + epsilon);
}

struct hyper_task {
    const batch *b;
    const hyper_weights *w;
    const float *norm;
    const float *in; /* streams; for hyper_out: y */
    float *x, *mix, *streams;
};

static void hyper_in_task(void *context, size_t t, int thread) {
    (void)thread;
    const struct hyper_task *task = context;
    const cpu_backend *cpu = cpu_of(task->b);
    const hyperparameters *hparams = task->b->backend->hparams;
    size_t width = (size_t)hparams->width;
    const float *streams = task->in + t * S * width;
    float *mix = task->mix + t * MODEL_MIX, *x = task->x + t * width;
    float scale = stream_scale(cpu, streams, width, hparams->rms_epsilon);
    for (int i = 0; i < MODEL_MIX; i++) mix[i] *= scale;
    hyper_split(hparams, tensor_floats(task->w->scale), tensor_floats(task->w->base), mix);
    cpu->kernels->f->collapse(streams, mix, width, x);
    rms_norm(cpu, x, task->norm, width, hparams->rms_epsilon, x);
}

void cpu_hyper_in(const batch *b, const hyper_weights *w, const gguf_tensor *norm, const float *streams, float *x,
                  float *mix) {
    cpu_backend *cpu = cpu_of(b);
    matmul job = matmul_whole(w->fn, streams, b->n_tokens, mix);
    matmul_run(cpu, &job, 1);
    struct hyper_task task = {.b = b, .w = w, .norm = tensor_floats(norm), .in = streams, .x = x, .mix = mix};
    thread_pool_run(cpu->pool, (size_t)b->n_tokens, hyper_in_task, &task);
}

/* Rows of the combination matrix are source streams, columns destinations: it is applied transposed. */
static void hyper_out_task(void *context, size_t t, int thread) {
    (void)thread;
    const struct hyper_task *task = context;
    size_t width = (size_t)task->b->backend->hparams->width;
    const float *post = task->mix + t * MODEL_MIX + S;
    cpu_of(task->b)->kernels->f->expand(task->streams + t * S * width, post, post + S, task->in + t * width, width);
}

void cpu_hyper_out(const batch *b, const float *y, const float *mix, float *streams) {
    struct hyper_task task = {.b = b, .in = y, .mix = (float *)(uintptr_t)mix, .streams = streams};
    thread_pool_run(cpu_of(b)->pool, (size_t)b->n_tokens, hyper_out_task, &task);
}

/* Collapses one token's streams with the head's own weights and norms the result. */
static void head_in(const batch *b, const model_weights *w, const float *streams, float *x) {
    cpu_backend *cpu = cpu_of(b);
    const hyperparameters *hparams = b->backend->hparams;
    const hyper_weights *head = &w->hyper_head;
    size_t width = (size_t)hparams->width;
    float weight[S];
    matmul job = matmul_whole(head->fn, streams, 1, weight);
    matmul_run(cpu, &job, 1);
    float scale = stream_scale(cpu, streams, width, hparams->rms_epsilon);
    for (int n = 0; n < S; n++)
        weight[n] = sigmoid(weight[n] * scale * tensor_floats(head->scale)[0] + tensor_floats(head->base)[n]) +
                    hparams->hyper_epsilon;
    cpu->kernels->f->collapse(streams, weight, width, x);
    rms_norm(cpu, x, tensor_floats(w->output_norm), width, hparams->rms_epsilon, x);
}

void cpu_logits(const batch *b, const model_weights *w, const float *streams) {
    cpu_backend *cpu = cpu_of(b);
    size_t width = (size_t)b->backend->hparams->width;
    for (int s = 0; s < b->n_spans; s++) {
        const batch_span *span = &b->span[s];
        if (!span->n_wanted) continue;
        for (int i = 0; i < span->n_wanted; i++) {
            size_t token = (size_t)(span->first + span->n_tokens - span->n_wanted + i);
            head_in(b, w, streams + token * S * width, cpu->hyper + (size_t)i * width);
        }
        matmul job = matmul_whole(w->output, cpu->hyper, span->n_wanted, span->logits);
        matmul_run(cpu, &job, 1);
    }
}
