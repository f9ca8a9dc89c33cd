/*
 * How fast the CPU backend's products are, with every table of kernels but the portable one that this
 * processor can run, or with those that are named.
 *
 *   cpu_products [-t THREADS] [TABLE ...]      with one thread and with THREADS (otherwise one for each processor)
 *
 * Weights in memory are read once by each pass, in pages of 4 KiB as those of a mapped file; weights in the cache are
 * the same few rows again and again. One token's products are given in GB of weights a second, beside the speed at
 * which a loop that only adds reads the same bytes; more tokens' in billions of multiplications with a weight. Always
 * the best pass.
 */
#include "backend/cpu/kernels.h"
#include "base/file.h"
#include "base/half.h"
#include "base/memory.h"
#include "base/simd.h"
#include "base/threads.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

static const size_t MEMORY_BYTES = 256 << 20; /* several times any cache of a few processors */
static const size_t CACHE_BYTES = 256 << 10;  /* of each thread */
static const double SECONDS = 0.25;           /* of passes */
enum {
    TASK_BYTES = 64 << 10,
    TASK_ROWS = 32,          /* a task has a multiple of so many */
    BLOCK_TOKENS = 128,      /* of a call */
    MANY_TOKENS = 512,       /* of a prompt's chunk */
    EXPERT_TOKENS = 12,      /* of these, at an expert */
    MANY_TOKENS_ROWS = 2048, /* of a matrix for them */
    MAX_RESULTS = 4 << 20,
};

static const struct format {
    uint32_t type;
    activation_kind kind;
    size_t n;        /* weights of a row, as at the true shape */
    size_t scale_at; /* of one or two halves in a block */
    int n_scales;
} FORMAT[] = {{BLOCK_Q8_0, ACTIVATION_Q32, 4096, 0, 1},
              {BLOCK_IQ2_XXS, ACTIVATION_Q256, 4096, 0, 1},
              {BLOCK_Q2_K, ACTIVATION_Q256, 2048, 80, 2},
              {BLOCK_Q4_K, ACTIVATION_Q256, 4096, 0, 2},
              {BLOCK_F16, ACTIVATION_F32, 4096, 0, 1}};
enum { N_FORMATS = sizeof FORMAT / sizeof *FORMAT };

static _Noreturn void give_up(const char *what, const char *why) {
    fprintf(stderr, "cpu_products: %s: %s\n", what, why);
    exit(1);
}

static void *memory_new(size_t n_bytes) {
    void *memory = mmap(NULL, n_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANON, -1, 0);
    if (memory == MAP_FAILED) give_up("memory", "there is not enough");
#ifdef MADV_NOHUGEPAGE
    (void)madvise(memory, n_bytes, MADV_NOHUGEPAGE);
#endif
    return memory;
}

static uint64_t next_random(uint64_t *state) {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return *state;
}

/* ---- what is run ---- */

typedef struct bench {
    thread_pool *pool;
    uint8_t *weights; /* [MEMORY_BYTES] */
    void **scratch;   /* [threads] */
    /* of a format */
    const struct format *format;
    size_t row_bytes;
    uint8_t *inputs; /* [MANY_TOKENS] */
    const void **x;  /* [MANY_TOKENS] */
    float *results;  /* [tokens][rows] */
    /* of a run */
    product_function *product; /* NULL: only reads */
    size_t n_rows, rows_per_task;
    bool same_rows; /* each thread reads its own few rows */
    int n_tokens;
    volatile uint64_t *sum; /* [threads][8] */
} bench;

static product_function *product_of(const cpu_kernels *kernels, uint32_t type) {
    switch (type) {
    case BLOCK_Q8_0: return kernels->q8_0;
    case BLOCK_IQ2_XXS: return kernels->iq2_xxs;
    case BLOCK_Q2_K: return kernels->q2_k;
    case BLOCK_Q4_K: return kernels->q4_k;
    default: return kernels->f16;
    }
}

/* Half a cache line. */
typedef uint64_t read_lanes __attribute__((vector_size(32), aligned(1), may_alias));

SIMD_CLONES static uint64_t read_bytes(const uint8_t *bytes, size_t n_bytes) {
    size_t stretch = n_bytes / 256 * 64;
    const uint8_t *end = bytes + stretch;
    read_lanes a = {0}, b = {0}, c = {0}, d = {0};
    for (; bytes < end; bytes += 64) {
        const read_lanes *line[4] = {(const read_lanes *)bytes, (const read_lanes *)(bytes + stretch),
                                     (const read_lanes *)(bytes + 2 * stretch),
                                     (const read_lanes *)(bytes + 3 * stretch)};
        a += line[0][0] + line[0][1];
        b += line[1][0] + line[1][1];
        c += line[2][0] + line[2][1];
        d += line[3][0] + line[3][1];
    }
    a += b + c + d;
    return a[0] + a[1] + a[2] + a[3];
}

/* The weights of a task. */
static const uint8_t *weights_of(const bench *b, size_t task, int thread, size_t *n_rows) {
    size_t first = task * b->rows_per_task;
    *n_rows = first < b->n_rows ? b->n_rows - first : 0;
    if (*n_rows > b->rows_per_task) *n_rows = b->rows_per_task;
    if (!b->same_rows) return b->weights + first * b->row_bytes;
    size_t n_places = CACHE_BYTES / (b->rows_per_task * b->row_bytes) + 1;
    return b->weights + ((size_t)thread * n_places + task % n_places) * b->rows_per_task * b->row_bytes;
}

static void run_task(void *context, size_t task, size_t next_task, int thread) {
    bench *b = context;
    size_t n_rows, n_next_rows, first = task * b->rows_per_task;
    const uint8_t *w = weights_of(b, task, thread, &n_rows);
    const uint8_t *next = weights_of(b, next_task, thread, &n_next_rows);
    if (!b->product) {
        b->sum[(size_t)thread * 8] += read_bytes(w, n_rows * b->row_bytes);
        return;
    }
    for (int token = 0; token < b->n_tokens; token += BLOCK_TOKENS) {
        float *y[BLOCK_TOKENS];
        int n = b->n_tokens - token < BLOCK_TOKENS ? b->n_tokens - token : BLOCK_TOKENS;
        for (int t = 0; t < n; t++) y[t] = b->results + (size_t)(token + t) * b->n_rows + first;
        product p = {.w = w,
                     .row_bytes = b->row_bytes,
                     .n_rows = n_rows,
                     .n = b->format->n,
                     .x = b->x + token,
                     .n_tokens = n,
                     .y = y,
                     .scratch = b->scratch[thread],
                     .next = next,
                     .next_bytes = n_next_rows * b->row_bytes};
        b->product(&p);
    }
}

/* Passes a second, the best. */
static double run(bench *b, size_t n_rows, int n_tokens, bool same_rows) {
    b->n_rows = n_rows;
    b->n_tokens = n_tokens;
    b->same_rows = same_rows;
    size_t n_tasks = (n_rows + b->rows_per_task - 1) / b->rows_per_task;
    double least = 1e9, started = time_seconds();
    for (int pass = 0; pass < 2 || time_seconds() - started < SECONDS; pass++) {
        double before = time_seconds();
        thread_pool_run_ahead(b->pool, n_tasks, run_task, b);
        double seconds = time_seconds() - before;
        if (seconds < least) least = seconds;
    }
    return 1 / least;
}

/* ---- formats ---- */

static void fill_task(void *context, size_t task, int thread) {
    (void)thread;
    bench *b = context;
    uint64_t state = task + 88172645463325252u;
    size_t first = task * b->rows_per_task, n = b->rows_per_task;
    if (n > b->n_rows - first) n = b->n_rows - first;
    uint8_t *bytes = b->weights + first * b->row_bytes;
    for (size_t i = 0; i + 8 <= n * b->row_bytes; i += 8) {
        uint64_t value = next_random(&state);
        memcpy(bytes + i, &value, sizeof value);
    }
    const block_format *format = block_format_find(b->format->type);
    for (size_t at = 0; at < n * b->row_bytes; at += format->n_bytes)
        for (int i = 0; i < b->format->n_scales; i++) {
            uint16_t half = (uint16_t)(0x2c00 | (next_random(&state) & 0x3ff)); /* about 1/16 */
            memcpy(bytes + at + b->format->scale_at + 2 * (size_t)i, &half, sizeof half);
        }
}

/* Weights and inputs of a format, for all tables. */
static void bench_set_format(bench *b, const struct format *format, const cpu_kernels *kernels) {
    const block_format *stored = block_format_find(format->type);
    b->format = format;
    b->row_bytes = format->n / stored->n_elements * stored->n_bytes;
    b->rows_per_task = (TASK_BYTES / b->row_bytes + TASK_ROWS) / TASK_ROWS * TASK_ROWS;
    b->n_rows = MEMORY_BYTES / b->row_bytes;
    thread_pool_run(b->pool, (b->n_rows + b->rows_per_task - 1) / b->rows_per_task, fill_task, b);

    uint64_t state = 7;
    float *value = array_new(format->n, sizeof *value);
    if (!value) give_up("inputs", "no memory");
    for (size_t t = 0; t < MANY_TOKENS; t++) {
        uint8_t *x = b->inputs + t * activation_bytes(format->kind, format->n);
        for (size_t i = 0; i < format->n; i++) value[i] = (float)(next_random(&state) >> 40) * 0x1p-24f - 0.5f;
        switch (format->kind) {
        case ACTIVATION_Q32: kernels->quantise_32(value, format->n, (int8_t *)x); break;
        case ACTIVATION_Q256: kernels->quantise_256(value, format->n, (int8_t *)x); break;
        default: memcpy(x, value, format->n * sizeof *value);
        }
        b->x[t] = x;
    }
    free(value);
}

static void bench_format(bench *b, const cpu_kernels *kernels) {
    size_t n_rows = MEMORY_BYTES / b->row_bytes, cached = 64 * b->rows_per_task * 8;
    if (cached > n_rows) cached = n_rows;
    double GB = (double)b->row_bytes * 1e-9, products = (double)b->format->n * 1e-9;
    b->product = NULL;
    double read_memory = run(b, n_rows, 1, false) * (double)n_rows * GB;
    double read_cache = run(b, cached, 1, true) * (double)cached * GB;
    b->product = product_of(kernels, b->format->type);
    double memory = run(b, n_rows, 1, false) * (double)n_rows * GB;
    double cache = run(b, cached, 1, true) * (double)cached * GB;
    printf("  %-8s %6.1f %6.1f %3.0f %%   %6.1f %6.1f %6.1f", block_format_find(b->format->type)->name, read_memory,
           memory, 100 * memory / read_memory, read_cache, cache, cache / GB * products);
    static const int FEW[] = {2, 4, EXPERT_TOKENS};
    for (size_t i = 0; i < sizeof FEW / sizeof *FEW; i++)
        printf(" %6.1f", run(b, n_rows / 4, FEW[i], false) * (double)(n_rows / 4) * products * FEW[i]);
    double many = (double)(MANY_TOKENS_ROWS * MANY_TOKENS) * products;
    printf(" %6.1f\n", run(b, MANY_TOKENS_ROWS, MANY_TOKENS, false) * many);
    fflush(stdout);
}

static void bench_threads(bench *b, int n_threads, const cpu_kernels *const *tables, size_t n_tables) {
    ds4_error error;
    if (thread_pool_new(n_threads, &b->pool, &error) != DS4_OK) give_up("threads", error.message);
    for (size_t k = 0; k < n_tables; k++) {
        printf("\n%s, %d thread%s\n", tables[k]->name, n_threads, n_threads > 1 ? "s" : "");
        printf("  %-8s %-20s   %-20s %s\n", "", "memory, GB/s", "cache, GB/s", "  10^9 multiplications a second");
        printf("  %-8s %6s %6s         %6s %6s %6s %6s %6s %6s %6s\n", "", "read", "1 tok.", "read", "1 tok.", "1", "2",
               "4", "12", "512 tokens");
        for (size_t f = 0; f < N_FORMATS; f++) {
            bench_set_format(b, &FORMAT[f], tables[k]);
            bench_format(b, tables[k]);
        }
    }
    thread_pool_free(b->pool);
}

/* Tables that are named, or all but the portable one, the last. */
static size_t choose_tables(char **names, int n_names, const cpu_kernels **tables, size_t most) {
    size_t n = 0;
    for (int i = 0; i < n_names && n < most; i++) {
        ds4_error error;
        if (cpu_kernels_choose(names[i], &tables[n++], &error) != DS4_OK) give_up(names[i], error.message);
    }
    for (size_t k = 0; !n_names && cpu_kernels_all[k + 1] && n < most; k++)
        if (cpu_kernels_all[k]->supported()) tables[n++] = cpu_kernels_all[k];
    if (!n) give_up("tables", "this processor can run the portable one only; to measure it, name it");
    return n;
}

int main(int n_arguments, char **arguments) {
    int n_threads = processor_count(), at = 1;
    if (at + 1 < n_arguments && strcmp(arguments[at], "-t") == 0) {
        n_threads = atoi(arguments[at + 1]);
        at += 2;
    }
    if (n_threads < 1 || n_threads > 256 || (at < n_arguments && arguments[at][0] == '-')) {
        fprintf(stderr, "usage: cpu_products [-t THREADS] [TABLE ...]\n");
        return 2;
    }
    const cpu_kernels *tables[8];
    size_t n_tables = choose_tables(arguments + at, n_arguments - at, tables, sizeof tables / sizeof *tables);

    enum { MAX_N = 4096 };
    static const void *x[MANY_TOKENS];
    bench b = {.weights = memory_new(MEMORY_BYTES),
               .inputs = memory_new(MANY_TOKENS * activation_bytes(ACTIVATION_F32, MAX_N)),
               .x = x,
               .results = memory_new(MAX_RESULTS * sizeof(float)),
               .scratch = array_new((size_t)n_threads, sizeof *b.scratch),
               .sum = memory_new((size_t)n_threads * 64)};
    if (!b.scratch) give_up("scratch", "no memory");
    for (int i = 0; i < n_threads; i++) b.scratch[i] = memory_new(product_scratch_bytes(MAX_N));
    bench_threads(&b, 1, tables, n_tables);
    if (n_threads > 1) bench_threads(&b, n_threads, tables, n_tables);
    return 0;
}
