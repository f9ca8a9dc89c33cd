/*
 * Matrix times vectors. A thread decodes one row of the matrix to floats and multiplies it with every
 * token's vector, four at a time, so that a row is decoded once however long the batch is.
 */
#include "backend/cpu/cpu.h"
#include "base/simd.h"

#include <math.h>

enum { LANES = 16, TILE_TOKENS = 4, MAX_ROWS_PER_TASK = 64 };

static inline float lane_sum(const float *lane) {
    float sum[8];
    for (int i = 0; i < 8; i++) sum[i] = lane[i] + lane[i + 8];
    return ((sum[0] + sum[4]) + (sum[2] + sum[6])) + ((sum[1] + sum[5]) + (sum[3] + sum[7]));
}

SIMD_CLONES
static float dot(const float *a, const float *b, size_t n) {
    float16_lanes sum = {0};
    size_t i = 0;
    for (; i + LANES <= n; i += LANES) sum += *(const float16_lanes *)(a + i) * *(const float16_lanes *)(b + i);
    float lane[LANES], rest = 0;
    for (int j = 0; j < LANES; j++) lane[j] = sum[j];
    for (; i < n; i++) rest += a[i] * b[i];
    return lane_sum(lane) + rest;
}

float dot_product(const float *a, const float *b, size_t n) {
    return dot(a, b, n);
}

/* Four dot products with the same first vector; each is computed exactly as dot_product does. */
SIMD_CLONES
static void dot_tile(const float *a, const float *const b[TILE_TOKENS], size_t n, float out[TILE_TOKENS]) {
    float16_lanes sum0 = {0}, sum1 = {0}, sum2 = {0}, sum3 = {0};
    const float *b0 = b[0], *b1 = b[1], *b2 = b[2], *b3 = b[3];
    size_t i = 0;
    for (; i + LANES <= n; i += LANES) {
        float16_lanes row = *(const float16_lanes *)(a + i);
        sum0 += row * *(const float16_lanes *)(b0 + i);
        sum1 += row * *(const float16_lanes *)(b1 + i);
        sum2 += row * *(const float16_lanes *)(b2 + i);
        sum3 += row * *(const float16_lanes *)(b3 + i);
    }
    float lane[TILE_TOKENS][LANES], rest[TILE_TOKENS] = {0};
    for (int j = 0; j < LANES; j++) {
        lane[0][j] = sum0[j];
        lane[1][j] = sum1[j];
        lane[2][j] = sum2[j];
        lane[3][j] = sum3[j];
    }
    for (; i < n; i++)
        for (int t = 0; t < TILE_TOKENS; t++) rest[t] += a[i] * b[t][i];
    for (int t = 0; t < TILE_TOKENS; t++) out[t] = lane_sum(lane[t]) + rest[t];
}

static void multiply_row(const matmul *job, const float *row, size_t r) {
    size_t n = job->w->ne[0];
    for (int first = 0; first < job->n_tokens; first += TILE_TOKENS) {
        int n_tile = job->n_tokens - first < TILE_TOKENS ? job->n_tokens - first : TILE_TOKENS;
        const float *x[TILE_TOKENS];
        float out[TILE_TOKENS];
        for (int t = 0; t < n_tile; t++) {
            size_t token = (size_t)(job->gather ? job->gather[first + t] : first + t);
            x[t] = job->x + token * job->x_stride;
        }
        if (n_tile == TILE_TOKENS)
            dot_tile(row, x, n, out);
        else
            for (int t = 0; t < n_tile; t++) out[t] = dot_product(row, x[t], n);
        for (int t = 0; t < n_tile; t++) job->y[(size_t)(first + t) * job->y_stride + r] = out[t];
    }
}

struct run {
    cpu_backend *cpu;
    const matmul *jobs;
    size_t n_jobs;
    size_t rows_per_task;
};

static size_t task_count(const matmul *job, size_t rows_per_task) {
    return job->n_tokens ? (job->n_rows + rows_per_task - 1) / rows_per_task : 0;
}

static void run_task(void *context, size_t task, int thread) {
    const struct run *run = context;
    const matmul *job = run->jobs;
    for (size_t n; task >= (n = task_count(job, run->rows_per_task)); job++) task -= n;

    const gguf_tensor *w = job->w;
    size_t row = task * run->rows_per_task, end = row + run->rows_per_task;
    if (end > job->n_rows) end = job->n_rows;
    for (; row < end; row++) {
        const uint8_t *stored = w->data + (job->first_row + row) * w->row_bytes;
        const float *values = (const float *)(const void *)stored;
        if (w->type != BLOCK_F32) {
            float *decoded = run->cpu->thread_scratch[thread];
            w->format->decode(stored, decoded, w->ne[0] / w->format->n_elements);
            values = decoded;
        }
        multiply_row(job, values, row);
    }
}

void matmul_run(cpu_backend *cpu, const matmul *jobs, size_t n_jobs) {
    size_t n_rows = 0, n_tasks = 0;
    for (size_t i = 0; i < n_jobs; i++) n_rows += jobs[i].n_tokens ? jobs[i].n_rows : 0;
    size_t rows_per_task = n_rows / (16 * (size_t)thread_pool_n_threads(cpu->pool)) + 1;
    if (rows_per_task > MAX_ROWS_PER_TASK) rows_per_task = MAX_ROWS_PER_TASK;
    for (size_t i = 0; i < n_jobs; i++) n_tasks += task_count(&jobs[i], rows_per_task);
    struct run run = {.cpu = cpu, .jobs = jobs, .n_jobs = n_jobs, .rows_per_task = rows_per_task};
    thread_pool_run(cpu->pool, n_tasks, run_task, &run);
}

void rms_norm(const float *x, const float *gain, size_t n, float epsilon, float *out) {
    float scale = 1.0f / sqrtf(dot_product(x, x, n) / (float)n + epsilon);
    if (gain)
        for (size_t i = 0; i < n; i++) out[i] = x[i] * scale * gain[i];
    else
        for (size_t i = 0; i < n; i++) out[i] = x[i] * scale;
}

SIMD_CLONES
static void add(float *y, float factor, const float *x, size_t n) {
    for (size_t i = 0; i < n; i++) y[i] += factor * x[i];
}

void add_scaled(float *y, float factor, const float *x, size_t n) {
    add(y, factor, x, n);
}
