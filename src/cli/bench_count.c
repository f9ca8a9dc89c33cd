/* ds4 bench --count: what a published model would cost on a GPU, from counting what the kernels read and write. */
#include "cli/bench.h"
#include "engine/count.h"
#include "model/machines.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_CASES = 17 };

static const char DEFAULT_CONTEXTS[] = "2048,32768,131072";

/* One batch: a token behind `position` others, or a chunk at the beginning. */
typedef struct bench_case {
    size_t position;
    int n_tokens;
    counting_totals totals;
    uint64_t minimum;
    counting_kernel *kernel; /* [bench.n_kernels] */
} bench_case;

typedef struct bench {
    const char *model;
    counter *counter;
    uint64_t tensor_bytes;
    size_t n_kernels;
    bench_case cases[MAX_CASES]; /* decoding, then the chunk */
    size_t n_cases;
} bench;

/* ---- counting ---- */

static ds4_status read_contexts(bench *b, const char *list, ds4_error *error) {
    size_t max = counter_max_context(b->counter) - 1;
    for (const char *at = list;; at++) {
        char word[24];
        size_t n_bytes = strcspn(at, ",");
        int64_t position = -1;
        snprintf(word, sizeof word, "%.*s", n_bytes < sizeof word ? (int)n_bytes : 0, at);
        if (!parse_integer(word, 0, (int64_t)max, &position))
            return error_set(error, DS4_ERROR_ARGUMENT, "--ctx: '%s', expected numbers from 0 to %zu with commas", list,
                             max);
        if (b->n_cases + 1 == MAX_CASES)
            return error_set(error, DS4_ERROR_ARGUMENT, "--ctx: '%s', expected at most %d numbers", list,
                             MAX_CASES - 1);
        b->cases[b->n_cases++] = (bench_case){.position = (size_t)position, .n_tokens = 1};
        at += n_bytes;
        if (!*at) return DS4_OK;
    }
}

static ds4_status count_case(bench *b, bench_case *c, ds4_error *error) {
    ds4_status status = counter_run(b->counter, c->position, c->n_tokens, error);
    if (status != DS4_OK) return status;
    const counting_kernel *kernel = counting_device_kernels(counter_device(b->counter), &b->n_kernels);
    c->totals = counting_device_totals(counter_device(b->counter));
    c->minimum = counter_minimum(b->counter, c->position, c->n_tokens);
    c->kernel = malloc(b->n_kernels * sizeof *kernel);
    if (!c->kernel) return error_memory(error, "counts", b->n_kernels * sizeof *kernel);
    memcpy(c->kernel, kernel, b->n_kernels * sizeof *kernel);
    return DS4_OK;
}

static double predicted_speed(const bench_case *c, const machine *m) {
    double bytes = (double)(c->totals.weight_bytes + c->totals.activation_bytes);
    return 1 / machine_read_seconds(m, bytes, (double)c->totals.dispatches);
}

/* The largest memory that it is sold with holds the weights. */
static bool fits(const bench *b, const machine *m) {
    return (double)b->tensor_bytes < m->memory_gib[0] * 0x1p30;
}

/* ---- text ---- */

PRINTF_LIKE(1, 2) static void put(const char *format, ...) {
    char line[256];
    va_list arguments;
    va_start(arguments, format);
    int n = vsnprintf(line, sizeof line, format, arguments);
    va_end(arguments);
    if (n > 0) stdout_write(line, (size_t)n < sizeof line ? (size_t)n : sizeof line - 1);
}

static void put_counts(const bench_case *cases, size_t n, bool is_chunk) {
    put("  %8s %11s %11s %11s %8s %11s %13s %14s\n", is_chunk ? "tokens" : "context", "dispatches", "weights GB",
        "minimum GB", "ratio", "reads GB", "others MB", "barriers");
    for (const bench_case *c = cases; c < cases + n; c++) {
        const counting_totals *t = &c->totals;
        put("  %8zu %11" PRIu64 " %11.3f %11.3f %8.4f %11.3f %13.1f %14" PRIu64 "\n",
            is_chunk ? (size_t)c->n_tokens : c->position, t->dispatches, (double)t->weight_bytes / 1e9,
            (double)c->minimum / 1e9, (double)t->weight_bytes / (double)c->minimum, (double)t->weight_reads / 1e9,
            (double)t->activation_bytes / 1e6, t->barriers);
    }
}

static void put_kernels(const bench *b, const bench_case *c) {
    put("  %-20s %11s %11s %11s %13s %14s\n", "kernel", "dispatches", "weights GB", "reads GB", "others MB",
        "barriers");
    for (size_t i = 0; i < b->n_kernels; i++) {
        const counting_totals *t = &c->kernel[i].totals;
        if (!t->dispatches) continue;
        put("  %-20s %11" PRIu64 " %11.3f %11.3f %13.1f %14" PRIu64 "\n", c->kernel[i].name, t->dispatches,
            (double)t->weight_bytes / 1e9, (double)t->weight_reads / 1e9, (double)t->activation_bytes / 1e6,
            t->barriers);
    }
}

/* Counting is that of Metal's kernels: predictions are for machines that run them. */
static bool is_predicted(const machine *m) {
    return m->kind == MACHINE_APPLE;
}

static void put_predictions(const bench *b) {
    put("\nPredicted, not measured: decoded tokens a second, from\n"
        "seconds = (weights + others) / (%g * bandwidth) + dispatches * %g us\n",
        machine_bandwidth_part(MACHINE_APPLE), machine_dispatch_seconds(MACHINE_APPLE) * 1e6);
    put("  %-14s %6s %10s", "", "GB/s", "memory GiB");
    for (size_t i = 0; i + 1 < b->n_cases; i++) put("  %8zu", b->cases[i].position);
    put("\n");
    for (const machine *m = machines; m->name; m++) {
        if (!is_predicted(m) || !fits(b, m)) continue;
        put("  %-14s %6g %10d", m->name, m->bandwidth_gb, m->memory_gib[0]);
        for (size_t i = 0; i + 1 < b->n_cases; i++) put("  %8.1f", predicted_speed(&b->cases[i], m));
        put("\n");
    }
    put("  Machines whose largest memory cannot hold the weights are left out. Prefill depends on arithmetic and is "
        "not\n"
        "  predicted.\n");
}

static void print_text(const bench *b) {
    const bench_case *chunk = &b->cases[b->n_cases - 1], *last = chunk - 1;
    put("%s: %.3f GB of tensors. Counted from the dispatches; nothing was run.\n", b->model,
        (double)b->tensor_bytes / 1e9);
    put("weights: bytes of weights read at least once; minimum: what a token cannot do without; reads: counted for "
        "each\n"
        "threadgroup that reads the same; others: activations, rows and tables, read and written\n");
    put("\nOne token behind a context\n");
    put_counts(b->cases, b->n_cases - 1, false);
    put("\nA chunk at the beginning, its experts used evenly\n");
    put_counts(chunk, 1, true);
    put("\nOne token behind %zu, by kernel\n", last->position);
    put_kernels(b, last);
    put("\nThe chunk, by kernel\n");
    put_kernels(b, chunk);
    put_predictions(b);
}

/* ---- JSON ---- */

/* A part that could not be made is left out by the function that takes it, which then fails too. */
static json_t *json_totals(const counting_totals *t) {
    return json_pack("{s:I, s:I, s:I, s:I, s:I}", "dispatches", (json_int_t)t->dispatches, "weight_bytes",
                     (json_int_t)t->weight_bytes, "weight_reads", (json_int_t)t->weight_reads, "activation_bytes",
                     (json_int_t)t->activation_bytes, "barriers", (json_int_t)t->barriers);
}

static json_t *json_case(const bench *b, const bench_case *c) {
    json_t *kernels = json_object();
    for (size_t i = 0; i < b->n_kernels; i++)
        if (c->kernel[i].totals.dispatches &&
            json_object_set_new(kernels, c->kernel[i].name, json_totals(&c->kernel[i].totals)) != 0)
            goto failed;
    json_t *object =
        json_pack("{s:I, s:i, s:I, s:o, s:O}", "context", (json_int_t)c->position, "tokens", c->n_tokens,
                  "weight_minimum", (json_int_t)c->minimum, "total", json_totals(&c->totals), "kernels", kernels);
    json_decref(kernels);
    return object;
failed:
    json_decref(kernels);
    return NULL;
}

static json_t *json_machine(const bench *b, const machine *m) {
    json_t *speeds = json_array();
    bool ok = speeds != NULL;
    for (size_t i = 0; i + 1 < b->n_cases; i++) {
        json_t *speed = fits(b, m) ? json_real(predicted_speed(&b->cases[i], m)) : json_null();
        ok = ok && json_array_append_new(speeds, speed) == 0;
    }
    json_t *object = ok ? json_pack("{s:s, s:f, s:i, s:O}", "machine", m->name, "bandwidth_gb", m->bandwidth_gb,
                                    "memory_gib", m->memory_gib[0], "tokens_per_second", speeds)
                        : NULL;
    json_decref(speeds);
    return object;
}

static json_t *json_bench(const bench *b) {
    json_t *cases = json_array(), *predictions = json_array();
    bool ok = cases && predictions;
    for (size_t i = 0; i < b->n_cases; i++) ok = ok && json_array_append_new(cases, json_case(b, &b->cases[i])) == 0;
    for (const machine *m = machines; m->name; m++)
        if (is_predicted(m)) ok = ok && json_array_append_new(predictions, json_machine(b, m)) == 0;
    json_t *object = ok ? json_pack("{s:s, s:I, s:O, s:{s:f, s:f, s:O}}", "model", b->model, "tensor_bytes",
                                    (json_int_t)b->tensor_bytes, "cases", cases, "prediction", "bandwidth_part",
                                    machine_bandwidth_part(MACHINE_APPLE), "dispatch_seconds",
                                    machine_dispatch_seconds(MACHINE_APPLE), "decode", predictions)
                        : NULL;
    json_decref(cases);
    json_decref(predictions);
    return object;
}

static ds4_status print_json(const bench *b, ds4_error *error) {
    json_t *object = json_bench(b);
    char *text = object ? json_dumps(object, JSON_INDENT(2) | JSON_REAL_PRECISION(6)) : NULL;
    if (text) {
        stdout_write(text, strlen(text));
        stdout_write("\n", 1);
    }
    ds4_status status = text ? DS4_OK : error_memory(error, "JSON", sizeof *b);
    free(text);
    json_decref(object);
    return status;
}

/* ---- the command ---- */

static ds4_status run_bench(bench *b, const cli_options *options, ds4_error *error) {
    int chunk = options->chunk ? (int)options->chunk : BENCH_DEFAULT_CHUNK;
    const layout_recipe *recipe = layout_recipe_find(options->count);
    if (!recipe) return error_set(error, DS4_ERROR_ARGUMENT, "--count: '%s', expected " BENCH_RECIPES, options->count);
    b->model = recipe->name;
    ds4_status status = counter_new(recipe, chunk, &b->counter, error);
    if (status != DS4_OK) return status;
    b->tensor_bytes = counter_tensor_bytes(b->counter);
    status = read_contexts(b, options->contexts ? options->contexts : DEFAULT_CONTEXTS, error);
    b->cases[b->n_cases++] = (bench_case){.n_tokens = chunk};
    for (size_t i = 0; status == DS4_OK && i < b->n_cases; i++) status = count_case(b, &b->cases[i], error);
    if (status != DS4_OK) return status;
    if (options->json) return print_json(b, error);
    print_text(b);
    return DS4_OK;
}

int bench_count(const cli_options *options) {
    bench b = {0};
    ds4_error error;
    ds4_status status = run_bench(&b, options, &error);
    for (size_t i = 0; i < b.n_cases; i++) free(b.cases[i].kernel);
    counter_free(b.counter);
    if (status == DS4_ERROR_ARGUMENT) return cli_usage("%s (see: ds4 bench --help)", error.message);
    return status == DS4_OK ? EXIT_OK : cli_fail(&error);
}
