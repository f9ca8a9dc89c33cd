/*
 * What share of the memory's bandwidth decoding reaches on the CPU, at contexts that would take hours to prefill: they
 * are filled with random rows. On a machine that others share, bandwidth moves within seconds; so it is measured before
 * and after each token, and the share is that of its token.
 *
 *   cpu_decode MODEL THREADS CONTEXT [CONTEXT ...]      a model of the published shape, as of ds4 synth q2
 *
 * Weights are those that a token reads: all but experts that are not chosen, and where all rows are visible without the
 * indexer's.
 */
#include "base/bandwidth.h"
#include "base/file.h"
#include "base/memory.h"
#include "engine/engine.h"
#include "model/sizes.h"
#include "support/flash_timeline.h"

#include <stdio.h>
#include <stdlib.h>

enum { N_TOKENS = 15, N_WARMING_TOKENS = 12 /* until most experts have been used */ };

static _Noreturn void give_up(const char *message) {
    fprintf(stderr, "cpu_decode: %s\n", message);
    exit(1);
}

static int compare(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

typedef struct figures {
    double value[N_TOKENS];
} figures;

static double quartile(figures *f, int i) {
    qsort(f->value, N_TOKENS, sizeof *f->value, compare);
    return f->value[(N_TOKENS - 1) * i / 4];
}

static double evaluate_one(ds4_engine *engine, ds4_timeline *timeline, int i, float *logits) {
    ds4_error error;
    int32_t token = (i + N_WARMING_TOKENS) * 4099 + 13; /* any */
    ds4_span span = {
        .timeline = timeline, .tokens = &token, .n_tokens = 1, .wanted = DS4_LOGITS_LAST, .logits = logits};
    double started = time_seconds();
    if (ds4_engine_evaluate(engine, &span, 1, NULL, NULL, &error) != DS4_OK) give_up(error.message);
    return time_seconds() - started;
}

static double bandwidth(int n_threads) {
    ds4_error error;
    double bytes_per_second;
    if (bandwidth_measure(n_threads, 0, &bytes_per_second, &error) != DS4_OK) give_up(error.message);
    return bytes_per_second;
}

static void measure(ds4_engine *engine, int n_threads, size_t n_context, double weight_bytes, float *logits) {
    ds4_error error;
    ds4_timeline *timeline;
    if (ds4_timeline_new(engine, n_context + N_TOKENS + N_WARMING_TOKENS, &timeline, &error) != DS4_OK ||
        flash_timeline_fill(timeline, n_context, 1, &error) != DS4_OK)
        give_up(error.message);
    for (int i = -N_WARMING_TOKENS; i < 0; i++) evaluate_one(engine, timeline, i, logits);
    figures seconds, rate, share;
    double before = bandwidth(n_threads);
    for (int i = 0; i < N_TOKENS; i++) {
        seconds.value[i] = evaluate_one(engine, timeline, i, logits);
        double after = bandwidth(n_threads);
        rate.value[i] = (before + after) / 2;
        share.value[i] = weight_bytes / seconds.value[i] / rate.value[i];
        before = after;
    }
    printf("%8zu tokens: %4.0f ms (%.0f..%.0f), %.2f GB of weights, memory %.1f GB/s, share %.0f %% (%.0f..%.0f)\n",
           n_context, 1e3 * quartile(&seconds, 2), 1e3 * quartile(&seconds, 1), 1e3 * quartile(&seconds, 3),
           weight_bytes * 1e-9, quartile(&rate, 2) * 1e-9, 100 * quartile(&share, 2), 100 * quartile(&share, 1),
           100 * quartile(&share, 3));
    fflush(stdout);
    ds4_timeline_free(timeline);
}

int main(int n_arguments, char **arguments) {
    ds4_error error;
    ds4_model *model;
    ds4_engine *engine;
    int n_threads = n_arguments > 3 ? atoi(arguments[2]) : 0;
    if (n_threads < 1) {
        fprintf(stderr, "usage: cpu_decode MODEL THREADS CONTEXT [CONTEXT ...]\n");
        return 2;
    }
    ds4_engine_options options = {.n_threads = n_threads};
    if (ds4_model_open(arguments[1], DS4_MODEL_FULL, &model, &error) != DS4_OK ||
        ds4_engine_new(model, &options, &engine, &error) != DS4_OK)
        give_up(error.message);
    float *logits = array_new(ds4_model_n_vocab(model), sizeof *logits);
    if (!logits) give_up("no memory for logits");
    for (int i = 3; i < n_arguments; i++) {
        size_t n_context = (size_t)atoll(arguments[i]);
        if (n_context < 1 || n_context > 1 << 20) give_up("CONTEXT is 1 to 1048576 tokens");
        uint64_t weight_bytes = tensor_bytes_needed(model->file, &model->hparams, n_context, 1);
        measure(engine, n_threads, n_context, (double)weight_bytes, logits);
    }
    free(logits);
    ds4_engine_free(engine);
    ds4_model_free(model);
    return 0;
}
