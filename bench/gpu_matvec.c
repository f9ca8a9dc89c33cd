/*
 * How fast the kernels are on an NVIDIA GPU, with a model of ds4 synth (make CUDA=1).
 *
 *   gpu_matvec 2|4 [POSITION]      2 or 4 bit model; the token's position, 4096 if it is not given
 *
 * The dispatches of one decoded token, and of a chunk of 512, are recorded as the backend makes them. Then those of a
 * kind are run again and again as one graph, timed by the GPU. For the kernels that read weights, each run reads other
 * copies of them, until the cache no longer helps. The share is of what a simple kernel reads per second, from as much
 * memory in one dispatch (same size) and from a lot of it.
 */
#include "backend/gpu/cuda.h"
#include "backend/gpu/gpu.h"
#include "model/synth.h"
#include "support/flash_timeline.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum {
    MAX_RECORDED = 4096,
    MAX_KERNELS = 128,
    MAX_COPIES = 160,
    N_RUNS = 9,
    N_TOKENS = 512,
    READ_BYTES = 256 * 16 * 16, /* of a threadgroup of read_memory */
};
static const size_t COLD_BYTES = 400 << 20; /* several times any cache */

static _Noreturn void give_up(const char *what, const char *why) {
    fprintf(stderr, "%s: %s\n", what, why);
    exit(1);
}

static void must(ds4_status status, const char *what, const ds4_error *error) {
    if (status != DS4_OK) give_up(what, error->message);
}

/* ---- a device that writes down what goes through it ---- */

typedef struct recorded {
    device_dispatch d;
    _Alignas(16) uint8_t parameters[512];
    const char *kernel;
    char label[64];
    uint64_t n_bytes;  /* of weights that it reads */
    double operations; /* of multiplications with weights, two each */
} recorded;

static struct {
    device base;
    device *inner;
    struct {
        const device_kernel *kernel;
        char name[48];
    } kernel[MAX_KERNELS];
    size_t n_kernels;
    recorded *recorded;
    size_t n;
} spy;

static void spy_free(device *d) {
    (void)d;
    spy.inner->op->free(spy.inner);
}
static ds4_status spy_buffer_new(device *d, size_t n, device_buffer **out, ds4_error *error) {
    (void)d;
    return spy.inner->op->buffer_new(spy.inner, n, out, error);
}
static ds4_status spy_buffer_wrap(device *d, const void *data, size_t n, device_buffer **out, ds4_error *error) {
    (void)d;
    return spy.inner->op->buffer_wrap(spy.inner, data, n, out, error);
}
static void spy_buffer_free(device *d, device_buffer *buffer) {
    (void)d;
    spy.inner->op->buffer_free(spy.inner, buffer);
}
static void *spy_buffer_contents(const device_buffer *buffer) {
    return spy.inner->op->buffer_contents(buffer);
}
static ds4_status spy_kernel_new(device *d, const char *name, const device_constants *constants, uint32_t n_threads,
                                 device_kernel **out, ds4_error *error) {
    (void)d;
    ds4_status status = spy.inner->op->kernel_new(spy.inner, name, constants, n_threads, out, error);
    if (status != DS4_OK || spy.n_kernels == MAX_KERNELS) return status;
    cuda_kernel_use use = cuda_kernel_get_use(*out);
    printf("kernel %-20s types %2u: %3d registers, %3d bytes of local memory, %5d of threadgroup memory\n", name,
           constants->value[0], use.registers, use.local_bytes, use.threadgroup_bytes);
    spy.kernel[spy.n_kernels].kernel = *out;
    snprintf(spy.kernel[spy.n_kernels++].name, sizeof spy.kernel->name, "%s", name);
    return status;
}
static void spy_kernel_free(device *d, device_kernel *kernel) {
    (void)d;
    spy.inner->op->kernel_free(spy.inner, kernel);
}
static ds4_status spy_begin(device *d, ds4_error *error) {
    (void)d;
    return spy.inner->op->begin(spy.inner, error);
}
static void spy_dispatch(device *d, const device_dispatch *dispatch) {
    (void)d;
    spy.inner->op->dispatch(spy.inner, dispatch);
    if (spy.n == MAX_RECORDED) give_up("recording", "too many dispatches");
    recorded *r = &spy.recorded[spy.n++];
    *r = (recorded){.d = *dispatch, .kernel = "?"};
    memcpy(r->parameters, dispatch->parameters, dispatch->n_parameter_bytes);
    for (size_t i = 0; i < spy.n_kernels; i++)
        if (spy.kernel[i].kernel == dispatch->kernel) r->kernel = spy.kernel[i].name;
}
static ds4_status spy_submit(device *d, ds4_error *error) {
    (void)d;
    return spy.inner->op->submit(spy.inner, error);
}
static ds4_status spy_wait(device *d, ds4_error *error) {
    (void)d;
    return spy.inner->op->wait(spy.inner, error);
}

static const device_ops SPY_OPS = {
    "spy",          spy_free,        spy_buffer_new, spy_buffer_wrap, spy_buffer_free, spy_buffer_contents,
    spy_kernel_new, spy_kernel_free, spy_begin,      spy_dispatch,    spy_submit,      spy_wait};

static ds4_status spy_new(device **out, ds4_error *error) {
    ds4_status status = cuda_device_new(&spy.inner, error);
    if (status != DS4_OK) return status;
    spy.base = (device){.op = &SPY_OPS, .limits = spy.inner->limits};
    spy.recorded = calloc(MAX_RECORDED, sizeof *spy.recorded);
    if (!spy.recorded) give_up("recording", "no memory");
    *out = &spy.base;
    return DS4_OK;
}

/* ---- what a dispatch is and reads ---- */

static void describe_matrices(recorded *r, const char *label) {
    const struct matrix_params *p = (const struct matrix_params *)(const void *)r->parameters;
    snprintf(r->label, sizeof r->label, "%s", label);
    for (uint32_t j = 0; j < p->n_jobs; j++) {
        r->n_bytes += (uint64_t)p->job[j].n_rows * p->job[j].row_bytes;
        r->operations += 2.0 * p->job[j].n_rows * p->n_columns * p->n_tokens;
    }
}

static void describe_experts(recorded *r) {
    const struct expert_params *p = (const struct expert_params *)(const void *)r->parameters;
    bool up = strstr(r->kernel, "gate_up") || strstr(r->kernel, "matmul_in");
    uint64_t own =
        up ? (uint64_t)p->expert_width * (p->gate_row_bytes + p->up_row_bytes) : (uint64_t)p->width * p->down_row_bytes;
    uint64_t shared = up ? (uint64_t)p->expert_width * (p->shared_gate_row_bytes + p->shared_up_row_bytes)
                         : (uint64_t)p->width * p->shared_down_row_bytes;
    uint64_t used = p->n_tokens == 1 ? p->n_used : p->n_experts;
    r->n_bytes = used * own + shared;
    r->operations = 2.0 * p->n_tokens * (p->n_used + 1) * p->expert_width * p->width * (up ? 2 : 1);
}

/* Labels by what comes before: a half of a layer begins with hyper_step. */
static void describe(const hyperparameters *h) {
    static const char *const PART[2][4] = {{"project", "q_b", "out_a", "out_b"}, {"router", "?", "?", "?"}};
    int half = -1, n_matrices = 0;
    for (size_t i = 0; i < spy.n; i++) {
        recorded *r = &spy.recorded[i];
        int layer = half / 2;
        bool has_layer = half >= 0 && layer < h->n_layers;
        snprintf(r->label, sizeof r->label, "%s", r->kernel);
        if (strcmp(r->kernel, "hyper_step") == 0) {
            const struct hyper_params *p = (const struct hyper_params *)(const void *)r->parameters;
            r->n_bytes = (uint64_t)p->n_sums * p->row_bytes;
            r->operations = 2.0 * p->n_sums * (double)STREAMS * p->width * p->n_tokens;
            if (++half / 2 == h->n_layers) snprintf(r->label, sizeof r->label, "hyper_step (head)");
            n_matrices = 0;
        } else if (strncmp(r->kernel, "matvec", 6) == 0 || strcmp(r->kernel, "matmul") == 0) {
            char label[48];
            if (!has_layer)
                snprintf(label, sizeof label, "output");
            else if (half % 2 == 0 && n_matrices == 0)
                snprintf(label, sizeof label, "project, ratio %d", h->ratio[layer]);
            else if (half % 2 == 0 && n_matrices == 1)
                snprintf(label, sizeof label, "q_b%s", r->parameters[8] > 1 ? " + index_q_b" : "");
            else
                snprintf(label, sizeof label, "%s", PART[half % 2][n_matrices & 3]);
            n_matrices++;
            describe_matrices(r, label);
        } else if (strncmp(r->kernel, "experts_", 8) == 0 && strcmp(r->kernel, "experts_sum") != 0) {
            describe_experts(r);
        } else if (has_layer && (strncmp(r->kernel, "attend", 6) == 0 || strcmp(r->kernel, "remember") == 0)) {
            snprintf(r->label, sizeof r->label, "%s, ratio %d", r->kernel, h->ratio[layer]);
        }
    }
}

/* ---- measuring ---- */

static int compare_seconds(const void *a, const void *b) {
    const double *x = a, *y = b;
    return (*x > *y) - (*x < *y);
}

/* Of all of them, one after the other. */
static double median_seconds(const device_dispatch *d, size_t n, int n_runs) {
    ds4_error error;
    double seconds[N_RUNS];
    must(spy.inner->op->begin(spy.inner, &error), "begin", &error);
    for (size_t i = 0; i < n; i++) spy.inner->op->dispatch(spy.inner, &d[i]);
    must(cuda_device_measure(spy.inner, n_runs, seconds, &error), "measuring", &error);
    must(spy.inner->op->wait(spy.inner, &error), "wait", &error);
    qsort(seconds, (size_t)n_runs, sizeof *seconds, compare_seconds);
    return seconds[n_runs / 2];
}

static device_kernel *read_kernel;
static device_buffer *read_from, *read_out;
static size_t read_available;

/* Seconds for one dispatch that reads n_bytes, in a row of them that reads different memory each time. */
static double read_seconds(uint64_t n_bytes) {
    static const uint32_t unlikely = 0x5eed1234;
    device_dispatch d[MAX_COPIES];
    size_t n_groups = n_bytes / READ_BYTES ? n_bytes / READ_BYTES : 1, size = n_groups * READ_BYTES, n = 0;
    for (size_t at = 0; n < MAX_COPIES && n * size < 8 * COLD_BYTES && (n == 0 || n * size < 2 * COLD_BYTES || n < 8);
         at += size) {
        if (at + size > read_available) at = 0;
        d[n++] = (device_dispatch){.kernel = read_kernel,
                                   .parameters = &unlikely,
                                   .n_parameter_bytes = sizeof unlikely,
                                   .binding = {[1] = {read_from, at}, [2] = {read_out, 0}},
                                   .groups = {(uint32_t)n_groups, 1, 1}};
    }
    return median_seconds(d, n, N_RUNS) / (double)n;
}

static device_buffer *wrap(const void *data, size_t n_bytes) {
    ds4_error error;
    device_buffer *buffer = NULL;
    must(spy.inner->op->buffer_wrap(spy.inner, data, n_bytes, &buffer, &error), "a copy of weights", &error);
    return buffer;
}

/* A copy of the n_bytes of weights that a binding shows, as the file aligns them. */
static device_binding copy_of(device_binding binding, size_t n_bytes) {
    const uint8_t *data = (const uint8_t *)spy.inner->op->buffer_contents(binding.buffer) + binding.offset;
    size_t before = (uintptr_t)data % 256;
    return (device_binding){wrap(data - before, n_bytes + before), before};
}

/* The same dispatch n times, with other copies of its weights or other experts. */
static size_t cold_copies(const recorded *r, device_dispatch *out) {
    size_t n = COLD_BYTES / r->n_bytes + 1;
    if (n > MAX_COPIES) n = MAX_COPIES;
    if (n < 4) n = 4;
    for (size_t i = 0; i < n; i++) out[i] = r->d;
    if (strncmp(r->kernel, "matvec", 6) == 0) {
        const struct matrix_params *p = (const struct matrix_params *)(const void *)r->parameters;
        for (size_t i = 0; i < n; i++)
            for (uint32_t j = 0; j < p->n_jobs; j++)
                out[i].binding[3 + j] = copy_of(r->d.binding[3 + j], (size_t)p->job[j].n_rows * p->job[j].row_bytes);
        return n;
    }
    if (strcmp(r->kernel, "hyper_step") == 0) {
        for (size_t i = 0; i < n; i++) out[i].binding[4] = copy_of(r->d.binding[4], r->n_bytes);
        return n;
    }
    const struct expert_params *p = (const struct expert_params *)(const void *)r->parameters;
    bool up = strstr(r->kernel, "gate_up") != NULL;
    float *logits = calloc(n * p->n_experts, sizeof *logits);
    int32_t *expert = calloc(n * 64, sizeof *expert);
    if (!logits || !expert) give_up("experts", "no memory");
    for (size_t i = 0; i < n * p->n_experts; i++) logits[i] = (float)(rand() % 1000000) * 1e-5f;
    for (size_t i = 0; i < n; i++)
        for (uint32_t k = 0; k < p->n_used; k++)
            expert[i * 64 + k] = (int32_t)((i * p->n_used + k) * 37 % p->n_experts);
    device_buffer *logits_buffer = wrap(logits, n * p->n_experts * sizeof *logits);
    device_buffer *expert_buffer = wrap(expert, n * 64 * sizeof *expert);
    size_t shared_rows = up ? p->expert_width : p->width;
    for (size_t i = 0; i < n; i++) {
        if (up) {
            out[i].binding[2] = (device_binding){logits_buffer, i * p->n_experts * sizeof *logits};
            out[i].binding[8] = copy_of(r->d.binding[8], shared_rows * p->shared_gate_row_bytes);
            out[i].binding[9] = copy_of(r->d.binding[9], shared_rows * p->shared_up_row_bytes);
        } else {
            out[i].binding[2] = (device_binding){expert_buffer, i * 64 * sizeof *expert};
            out[i].binding[4] = copy_of(r->d.binding[4], shared_rows * p->shared_down_row_bytes);
        }
    }
    free(logits);
    free(expert);
    return n;
}

static void free_copies(const recorded *r, const device_dispatch *d, size_t n) {
    device_buffer *last[DEVICE_MAX_BINDINGS] = {NULL};
    for (size_t i = 0; i < n; i++)
        for (int slot = 1; slot < DEVICE_MAX_BINDINGS; slot++) {
            device_buffer *buffer = d[i].binding[slot].buffer;
            if (!buffer || buffer == r->d.binding[slot].buffer || buffer == last[slot]) continue;
            last[slot] = buffer;
            spy.inner->op->buffer_free(spy.inner, buffer);
        }
}

/* Prints a line for each kind of dispatch; decoding: with bandwidths, else with rates. Returns the sum of all. */
static double report(bool decoding, double peak) {
    static device_dispatch list[MAX_RECORDED];
    double total = 0;
    for (size_t i = 0; i < spy.n; i++) spy.recorded[i].d.parameters = spy.recorded[i].parameters;
    for (size_t i = 0; i < spy.n; i++) {
        recorded *r = &spy.recorded[i];
        size_t n = 0, first = i;
        for (size_t k = 0; k < spy.n; k++)
            if (strcmp(spy.recorded[k].label, r->label) == 0) {
                if (k < first) first = k;
                list[n++] = spy.recorded[k].d;
            }
        if (first < i) continue;
        double each = median_seconds(list, n, decoding ? N_RUNS : 3) / (double)n;
        printf("%-28s %4zu x %9.2f us", r->label, n, each * 1e6);
        if (!decoding && r->operations > 0) {
            printf("  %7.2f TFLOP/s", r->operations / each * 1e-12);
        } else if (decoding && r->n_bytes) {
            size_t n_copies = cold_copies(r, list);
            double cold = median_seconds(list, n_copies, N_RUNS) / (double)n_copies, same = read_seconds(r->n_bytes);
            free_copies(r, list, n_copies);
            printf("  cold %8.2f us  %7.2f MB  %5.0f GB/s  %3.0f %% of peak  %3.0f %% of same size (%.2f us)",
                   cold * 1e6, (double)r->n_bytes * 1e-6, (double)r->n_bytes / cold * 1e-9,
                   100 * (double)r->n_bytes / cold / peak, 100 * same / cold, same * 1e6);
            each = cold;
        }
        total += each * (double)n;
        printf("\n");
        fflush(stdout);
    }
    return total;
}

static double all_recorded(void) {
    static device_dispatch list[MAX_RECORDED];
    for (size_t i = 0; i < spy.n; i++) {
        list[i] = spy.recorded[i].d;
        list[i].parameters = spy.recorded[i].parameters;
    }
    return median_seconds(list, spy.n, N_RUNS);
}

static void evaluate(ds4_engine *engine, ds4_timeline *timeline, size_t n_tokens) {
    static float logits[1 << 18];
    int32_t token[N_TOKENS];
    ds4_error error;
    for (size_t i = 0; i < n_tokens; i++) token[i] = (int32_t)(1000 + 37 * i);
    ds4_span span = {timeline, token, n_tokens, DS4_LOGITS_LAST, logits};
    spy.n = 0;
    must(ds4_engine_evaluate(engine, &span, 1, NULL, NULL, &error), "evaluation", &error);
    float largest = 0;
    for (size_t i = 0; i < (size_t)engine->model->hparams.n_vocab; i++)
        if (!(logits[i] <= largest)) largest = logits[i];
    printf("%zu tokens: largest logit %g\n", n_tokens, (double)largest);
}

int main(int n_arguments, char **arguments) {
    bool two_bits = n_arguments < 2 || arguments[1][0] == '2';
    size_t position = n_arguments > 2 ? (size_t)atol(arguments[2]) : 4096;
    const char *folder = getenv("DS4_FLASH_FOLDER");
    char path[512];
    ds4_error error;
    ds4_model *model;
    ds4_engine *engine;
    ds4_timeline *timeline;
    const synth_options synth = {.recipe = layout_recipe_find(two_bits ? "q2" : "q4")};
    snprintf(path, sizeof path, "%s/synth-%s.gguf", folder ? folder : "/tmp", synth.recipe->name);
    if (access(path, R_OK) != 0) must(synth_write(&synth, path, NULL, NULL, &error), path, &error);
    must(ds4_model_open(path, DS4_MODEL_FULL, &model, &error), path, &error);
    ds4_engine_options options = {.chunk_tokens = N_TOKENS};
    must(engine_new_on(model, &options, spy_new, &engine, &error), "engine", &error);
    must(ds4_timeline_new(engine, position + 2 * N_TOKENS, &timeline, &error), "timeline", &error);
    must(flash_timeline_fill(timeline, position, 1, &error), "timeline", &error);

    const device_constants none = {.n = 0};
    must(spy.inner->op->kernel_new(spy.inner, "read_memory", &none, 256, &read_kernel, &error), "read_memory", &error);
    gpu_weights *weights = &((gpu_backend *)(void *)engine->backend)->weights;
    read_from = weights->view[0].buffer;
    read_available = (size_t)(weights->view[0].end - weights->view[0].start);
    must(spy.inner->op->buffer_new(spy.inner, 4096, &read_out, &error), "read_memory", &error);
    uint64_t lot = (uint64_t)1 << 30;
    if (lot > read_available) lot = read_available;
    double peak = (double)lot / read_seconds(lot);
    time_t now = time(NULL);
    printf("%s, %s, position %zu, %.24s; reading %.2f GB: %.0f GB/s\n", spy.base.limits.name, path, position,
           ctime(&now), (double)lot * 1e-9, peak * 1e-9);

    evaluate(engine, timeline, 1);
    evaluate(engine, timeline, 1);
    describe(&model->hparams);
    double whole = all_recorded(), sum = report(true, peak);
    printf("one token, %zu dispatches: %.3f ms in one graph; sum of the above %.3f ms\n", spy.n, whole * 1e3,
           sum * 1e3);

    evaluate(engine, timeline, N_TOKENS);
    describe(&model->hparams);
    whole = all_recorded();
    sum = report(false, peak);
    printf("%d tokens, %zu dispatches: %.1f ms in one graph (%.0f tokens/s); sum of the above %.1f ms\n", N_TOKENS,
           spy.n, whole * 1e3, (double)N_TOKENS / whole, sum * 1e3);

    spy.inner->op->buffer_free(spy.inner, read_out);
    spy.inner->op->kernel_free(spy.inner, read_kernel);
    ds4_timeline_free(timeline);
    ds4_engine_free(engine);
    ds4_model_free(model);
    return 0;
}
