/*
 * Matrix times vectors. Inputs of quantised products are rounded to int8 first, each once however many matrices take
 * it. Then all rows of all jobs are shared out in tasks of about equal cost: bytes of weights to read, and for many
 * tokens multiplications. A task decodes each of its weights once for a block of tokens.
 */
#include "backend/cpu/cpu.h"

#include <math.h>

/* A task is worth handing out, and small enough for threads to end together. Few tokens cost bytes, many cost rows. */
enum { MIN_TASK_COST = 32 << 10, MAX_TASK_BYTES = 1 << 20, MAX_TASK_ROWS = 64, TASKS_PER_THREAD = 12 };
enum { FEW_TOKENS = 4 };
/* Multiplications that take as long as reading a byte of weights. */
enum { PRODUCTS_PER_BYTE = 8 };
/* Inputs of a block of tokens stay in the second level cache while a task's rows go by. */
enum { BLOCK_BYTES = 512 << 10, MAX_BLOCK_TOKENS = 256 };

/* ---- kinds of products ---- */

/* NULL: rows are decoded to floats. */
static product_function *product_of(const cpu_backend *cpu, uint32_t type) {
    const cpu_kernels *k = cpu->kernels;
    if (type == BLOCK_F16) return k->f16;
    if (cpu->exact) return NULL;
    switch (type) {
    case BLOCK_Q8_0: return k->q8_0;
    case BLOCK_IQ2_XXS: return k->iq2_xxs;
    case BLOCK_Q2_K: return k->q2_k;
    case BLOCK_Q4_K: return k->q4_k;
    default: return NULL;
    }
}

static activation_kind kind_of(const cpu_backend *cpu, const gguf_tensor *w) {
    if (cpu->exact) return ACTIVATION_F32;
    switch (w->type) {
    case BLOCK_Q8_0: return ACTIVATION_Q32;
    case BLOCK_IQ2_XXS:
    case BLOCK_Q2_K:
    case BLOCK_Q4_K: return ACTIVATION_Q256;
    default: return ACTIVATION_F32;
    }
}

/* ---- inputs ---- */

/* The inputs of one run that are quantised. */
struct inputs {
    cpu_backend *cpu;
    matmul_input *list; /* [n] in cpu->inputs */
    size_t n;
    size_t n_bytes; /* used of cpu->quantised */
    size_t n_rows;  /* of all inputs */
};

static int input_rows(const matmul *job) {
    return job->n_x ? job->n_x : job->n_tokens;
}

/* An input that several jobs share has one place. */
static void add_input(struct inputs *to, matmul *job) {
    size_t n = job->w->ne[0];
    activation_kind kind = kind_of(to->cpu, job->w);
    job->input = NULL;
    if (kind == ACTIVATION_F32) return;
    matmul_input *input = to->list, *end = to->list + to->n;
    while (input < end && (input->x != job->x || input->n != n || input->kind != kind)) input++;
    job->input = input;
    if (input < end) return;
    *input = (matmul_input){.x = job->x,
                            .x_stride = job->x_stride,
                            .n = n,
                            .kind = kind,
                            .first_row = to->n_rows,
                            .quantised = to->cpu->quantised + to->n_bytes};
    to->n++;
    to->n_rows += (size_t)input_rows(job);
    to->n_bytes += (size_t)input_rows(job) * activation_bytes(kind, n);
}

static void quantise_task(void *context, size_t row, int thread) {
    (void)thread;
    const struct inputs *inputs = context;
    const matmul_input *input = inputs->list + inputs->n - 1;
    while (input->first_row > row) input--;
    row -= input->first_row;
    const cpu_kernels *k = inputs->cpu->kernels;
    const float *x = input->x + row * input->x_stride;
    int8_t *out = input->quantised + row * activation_bytes(input->kind, input->n);
    (input->kind == ACTIVATION_Q32 ? k->quantise_32 : k->quantise_256)(x, input->n, out);
}

size_t matmul_input_bytes(size_t n_rows, size_t n) {
    /* an expert's input may be wanted in both kinds */
    return n_rows * (activation_bytes(ACTIVATION_Q32, n) + activation_bytes(ACTIVATION_Q256, n));
}

/* ---- tasks ---- */

struct run {
    cpu_backend *cpu;
    const matmul *jobs;
    size_t n_jobs, n_tasks;
};

static void decoded_product(const cpu_backend *cpu, const gguf_tensor *w, const product *p) {
    const float *const *x = (const float *const *)p->x;
    size_t step = p->n_tokens < FEW_TOKENS ? 1 : PANEL_ROWS;
    for (size_t r = 0; r < p->n_rows; r += step) {
        size_t n_rows = p->n_rows - r < step ? p->n_rows - r : step;
        const float *rows = (const float *)(const void *)(p->w + r * p->row_bytes);
        if (w->type != BLOCK_F32) {
            for (size_t i = 0; i < n_rows; i++)
                w->format->decode(p->w + (r + i) * p->row_bytes, (float *)p->scratch + i * p->n,
                                  p->n / w->format->n_elements);
            rows = p->scratch;
        }
        cpu->kernels->f->dot_tile(rows, p->n, n_rows, x, p->n_tokens, p->n, p->y, r);
    }
}

/* Rows of a job. */
typedef struct task_rows {
    const matmul *job;
    const uint8_t *w;
    size_t first, n;
} task_rows;

static task_rows rows_of(const struct run *run, size_t task) {
    const matmul *job = run->jobs + run->n_jobs - 1;
    while (job->first_task > task || !job->n_tokens) job--;
    task_rows rows = {.job = job, .first = (task - job->first_task) * job->rows_per_task, .n = job->rows_per_task};
    if (rows.n > job->n_rows - rows.first) rows.n = job->n_rows - rows.first;
    rows.w = job->w->data + (job->first_row + rows.first) * job->w->row_bytes;
    return rows;
}

/* For some of their tokens; next: rows that this thread takes after these, n = 0 if there are none. */
static void multiply(const cpu_backend *cpu, const task_rows *rows, const task_rows *next, int token, int n_tokens,
                     void *scratch) {
    const matmul *job = rows->job;
    const void *x[MAX_BLOCK_TOKENS];
    float *y[MAX_BLOCK_TOKENS];
    size_t n = job->w->ne[0];
    for (int i = 0; i < n_tokens; i++) {
        size_t row = (size_t)(job->gather ? job->gather[token + i] : job->first_x + token + i);
        if (job->input)
            x[i] = job->input->quantised + row * activation_bytes(job->input->kind, n);
        else
            x[i] = job->x + row * job->x_stride;
        y[i] = job->y + (size_t)(token + i) * job->y_stride + rows->first;
    }
    product p = {.w = rows->w,
                 .row_bytes = job->w->row_bytes,
                 .n_rows = rows->n,
                 .n = n,
                 .x = x,
                 .n_tokens = n_tokens,
                 .y = y,
                 .scratch = scratch,
                 .next = next->w,
                 .next_bytes = next->n ? next->n * next->job->w->row_bytes : 0};
    product_function *function = product_of(cpu, job->w->type);
    if (function)
        function(&p);
    else
        decoded_product(cpu, job->w, &p);
}

static void run_task(void *context, size_t task, size_t next_task, int thread) {
    const struct run *run = context;
    task_rows rows = rows_of(run, task), next = {.n = 0};
    if (next_task < run->n_tasks) next = rows_of(run, next_task);
    const matmul *job = rows.job;
    size_t input_bytes = job->w->ne[0] * (job->input ? 1 : sizeof(float));
    int block = (int)(BLOCK_BYTES / input_bytes) + 1;
    if (block > MAX_BLOCK_TOKENS) block = MAX_BLOCK_TOKENS;
    for (int token = 0; token < job->n_tokens; token += block) {
        int n_tokens = job->n_tokens - token < block ? job->n_tokens - token : block;
        multiply(run->cpu, &rows, &next, token, n_tokens, run->cpu->thread_scratch[thread]);
    }
}

static size_t row_cost(const matmul *job) {
    return job->w->row_bytes + job->w->ne[0] * (size_t)job->n_tokens / PRODUCTS_PER_BYTE;
}

static size_t div_up(size_t a, size_t b) {
    return (a + b - 1) / b;
}

/* Returns the number of tasks. */
static size_t share_out(cpu_backend *cpu, matmul *jobs, size_t n_jobs) {
    size_t total = 0, n_tasks = 0;
    for (size_t i = 0; i < n_jobs; i++) total += jobs[i].n_tokens ? jobs[i].n_rows * row_cost(&jobs[i]) : 0;
    size_t cost = total / (TASKS_PER_THREAD * (size_t)thread_pool_n_threads(cpu->pool));
    if (cost < MIN_TASK_COST) cost = MIN_TASK_COST;
    for (size_t i = 0; i < n_jobs; i++) {
        matmul *job = &jobs[i];
        bool few = job->n_tokens < FEW_TOKENS;
        /* rows that a kernel takes together */
        size_t step = few && kind_of(cpu, job->w) != ACTIVATION_Q256 ? 4 : 2 * PANEL_ROWS;
        size_t rows = cost / row_cost(job), most = few ? MAX_TASK_BYTES / job->w->row_bytes : MAX_TASK_ROWS;
        if (rows > most) rows = most;
        /* equal ones: a small rest is read at the pace of a start */
        rows = div_up(job->n_rows, div_up(job->n_rows, rows ? rows : 1));
        job->rows_per_task = div_up(rows, step) * step;
        job->first_task = n_tasks;
        if (job->n_tokens) n_tasks += div_up(job->n_rows, job->rows_per_task);
    }
    return n_tasks;
}

void matmul_run(cpu_backend *cpu, matmul *jobs, size_t n_jobs) {
    struct inputs inputs = {.cpu = cpu, .list = cpu->inputs};
    for (size_t i = 0; i < n_jobs; i++)
        if (jobs[i].n_tokens) add_input(&inputs, &jobs[i]);
    thread_pool_run(cpu->pool, inputs.n_rows, quantise_task, &inputs);
    struct run run = {.cpu = cpu, .jobs = jobs, .n_jobs = n_jobs};
    run.n_tasks = share_out(cpu, jobs, n_jobs);
    thread_pool_run_ahead(cpu->pool, run.n_tasks, run_task, &run);
}
