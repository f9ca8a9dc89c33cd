/*
 * The CPU backend. Weights are multiplied as kernels.h says; exact: all of them decoded, with float32 activations,
 * which is what every other path is compared with.
 */
#ifndef BACKEND_CPU_CPU_H
#define BACKEND_CPU_CPU_H

#include "backend/backend.h"
#include "backend/cpu/kernels.h"
#include "base/threads.h"

typedef struct cpu_backend {
    backend base;
    const cpu_kernels *kernels;
    bool exact;
    thread_pool *pool;
    void **thread_scratch; /* [n_threads][thread_bytes], aligned to 64 bytes */
    size_t thread_bytes;

    float *angles;  /* [T][2][n_pairs][2]: plain and compressed rotation of each token */
    uint8_t *fresh; /* [T] raw rows of this batch, in the layer at hand */
    float *low;     /* [T][n_groups * group_rank] */
    float *hyper;   /* [T][D]: wanted tokens collapsed for the output matrix */
    float *score;   /* indexer scores (ranks when select is done), or router logits [T][n_experts] */
    size_t score_floats;
    int32_t *pair_token;   /* [T * used]: (token, expert) pairs ordered by expert: the token of each */
    int32_t *pair_of;      /* [T * used]: place in that order of a token's k-th expert */
    int32_t *expert_first; /* [n_experts + 1] */
    struct matmul *jobs;   /* [n_jobs]: at most two for each expert */
    size_t n_jobs;
    struct matmul_input *inputs;    /* [n_jobs] */
    int8_t *quantised;              /* the inputs of one matmul_run */
    float *gate, *up;               /* [T * used][expert_width] */
    float *down;                    /* [T * used][D] */
    float *shared_gate, *shared_up; /* [T][expert_width] */
} cpu_backend;

static inline cpu_backend *cpu_of(const batch *b) {
    return (cpu_backend *)(void *)b->backend;
}

/* One quantised input of a run. */
typedef struct matmul_input {
    const float *x;
    size_t x_stride, n;
    activation_kind kind;
    size_t first_row; /* counted through all inputs */
    int8_t *quantised;
} matmul_input;

/* y[i][r] = sum_j w[first_row + r][j] * x[gather ? gather[i] : first_x + i][j], i < n_tokens, r < n_rows. Jobs with the
 * same x share its quantised rows. */
typedef struct matmul {
    const gguf_tensor *w;
    size_t first_row; /* counted through all slices of the tensor */
    size_t n_rows;
    const float *x;
    size_t x_stride;
    int n_x; /* rows of x; 0: n_tokens */
    int first_x;
    const int32_t *gather;
    int n_tokens;
    float *y;
    size_t y_stride;
    /* matmul_run's own */
    const matmul_input *input;
    size_t first_task, rows_per_task;
} matmul;

/* All jobs share the threads. A result does not depend on n_tokens nor on the other jobs. */
void matmul_run(cpu_backend *cpu, matmul *jobs, size_t n_jobs);
/* Room that an input of n_rows rows of n values takes in cpu->quantised, at most. */
size_t matmul_input_bytes(size_t n_rows, size_t n);
static inline matmul matmul_whole(const gguf_tensor *w, const float *x, int n_tokens, float *y) {
    return (matmul){
        .w = w, .n_rows = w->ne[1], .x = x, .x_stride = w->ne[0], .n_tokens = n_tokens, .y = y, .y_stride = w->ne[1]};
}

/* out = x / sqrt(mean(x^2) + epsilon) * gain; gain may be NULL, out may be x. */
void rms_norm(const cpu_backend *cpu, const float *x, const float *gain, size_t n, float epsilon, float *out);

static inline const float *tensor_floats(const gguf_tensor *tensor) {
    return (const float *)(const void *)tensor->data;
}

/* mix[24]: projected values in; pre, post and combination out. */
void hyper_split(const hyperparameters *hparams, const float *scale, const float *base, float mix[MODEL_MIX]);
/* prob[n_experts]: router logits in, sqrt(softplus) out. Chooses experts (or takes the fixed ones, int32
 * as in the file) and weighs them. */
void route_token(const hyperparameters *hparams, float *prob, const float *bias, const uint8_t *fixed, int32_t *expert,
                 float *weight);

void cpu_hyper_in(const batch *b, const hyper_weights *w, const gguf_tensor *norm, const float *streams, float *x,
                  float *mix);
void cpu_hyper_out(const batch *b, const float *y, const float *mix, float *streams);
void cpu_logits(const batch *b, const model_weights *w, const float *streams);
void cpu_queries(const batch *b, const layer_weights *w, const projections *low, float *q, float *index_q);
void cpu_remember(const batch *b, const layer_weights *w, const projections *low);
void cpu_select(const batch *b, const layer_weights *w, const projections *low, const float *index_q, int32_t *selected,
                int32_t *n_selected);
void cpu_attend(const batch *b, const layer_weights *w, const float *q, const int32_t *selected,
                const int32_t *n_selected, float *heads);
void cpu_attend_out(const batch *b, const layer_weights *w, const float *heads, float *y);
void cpu_route(const batch *b, const layer_weights *w, const float *x, int32_t *expert, float *weight);
void cpu_experts(const batch *b, const layer_weights *w, const float *x, const int32_t *expert, const float *weight,
                 float *y);

/* Floats a thread needs for attention, so that its scratch can be sized. */
size_t attend_scratch_floats(const hyperparameters *hparams);
/* The same for the indexer, in bytes. */
size_t select_scratch_bytes(const hyperparameters *hparams);

#endif
