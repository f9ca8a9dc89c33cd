/*
 * "qat" has the model's FP8 and FP4 rounding, where a last-bit difference now and then flips a rounded value and from
 * there on more: short prompts are compared tightly, long ones by median and 95th percentile of the largest difference
 * per position.
 */
#include "support/golden.h"

#include "test.h"

#include "support/records.h"
#include "support/tiny_model.h"

#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { N_GREEDY = 32, WHOLE = 2048 };

static double manifest_number(const json_t *manifest, const char *prompt, const char *key) {
    const json_t *qat = json_object_get(json_object_get(json_object_get(manifest, "prompts"), prompt), "qat");
    const json_t *number = json_object_get(qat, key);
    assert_true(json_is_number(number));
    return json_number_value(number);
}

static int ascending(const void *a, const void *b) {
    float x = *(const float *)a, y = *(const float *)b;
    return (x > y) - (x < y);
}

static void check_statistics(float *difference, size_t n, const json_t *manifest, const char *prompt) {
    qsort(difference, n, sizeof *difference, ascending);
    if (strcmp(prompt, "p0001") == 0 || strcmp(prompt, "p0005") == 0) {
        assert_true(difference[n - 1] <= 1e-2f);
        return;
    }
    double median_limit = fmax(3 * manifest_number(manifest, prompt, "logits_f32_vs_f64_median"), 0.03);
    double p95_limit = fmax(3 * manifest_number(manifest, prompt, "logits_f32_vs_f64_p95"), 0.25);
    /* the ranks that the manifest's own figures are taken at */
    assert_true(difference[(n - 1) / 2] <= median_limit);
    assert_true(difference[(n - 1) * 95 / 100] <= p95_limit);
}

/* The greedy continuation: if every token of it is the most likely one after those before it, it is what the
 * model would have said. So it is evaluated like a prompt, cut in the same way (chunks of 1: as in decoding). */
static void check_greedy(ds4_engine *engine, ds4_timeline *timeline, const float *last_logits, size_t n_vocab,
                         const d4g_file *golden, bool pure) {
    const int32_t *greedy = int_record(golden, "greedy", N_GREEDY);
    const float *expected = float_record(golden, "greedy_logits", N_GREEDY * n_vocab);
    size_t n_safe = pure ? N_GREEDY : (size_t)int_record(golden, "greedy_safe", 1)[0];
    float *logits = malloc(N_GREEDY * n_vocab * sizeof *logits);
    assert_non_null(logits);
    memcpy(logits, last_logits, n_vocab * sizeof *logits);
    ds4_error error;
    ds4_span span = {.timeline = timeline,
                     .tokens = greedy,
                     .n_tokens = n_safe - 1,
                     .wanted = DS4_LOGITS_ALL,
                     .logits = logits + n_vocab};
    if (n_safe > 1) assert_ok(ds4_engine_evaluate(engine, &span, 1, NULL, NULL, &error), &error);
    ds4_sampler *sampler = NULL;
    assert_ok(ds4_sampler_new(&(ds4_sampling){0}, n_vocab, 0, &sampler, &error), &error);
    for (size_t i = 0; i < n_safe; i++) {
        assert_int_equal(ds4_sampler_draw(sampler, logits + i * n_vocab), greedy[i]);
        if (pure) assert_true(largest_difference(logits + i * n_vocab, expected + i * n_vocab, n_vocab) <= 1e-3f);
    }
    ds4_sampler_free(sampler);
    free(logits);
}

static void check_prompt(ds4_engine *engine, size_t n_vocab, const golden_case *c, const char *prompt,
                         const json_t *manifest) {
    char path[256];
    snprintf(path, sizeof path, "tests/data/golden/%s/%s/%s.d4g", c->model, c->mode, prompt);
    d4g_file *golden = records_open(path);
    const d4g_record *tokens = named_record(golden, "tokens"), *pos = named_record(golden, "pos");
    const float *expected = named_record(golden, "logits")->f;
    bool pure = strcmp(c->mode, "pure") == 0;

    ds4_error error;
    ds4_timeline *timeline = NULL;
    assert_ok(ds4_timeline_new(engine, tokens->n + N_GREEDY, &timeline, &error), &error);
    float *logits = malloc(tokens->n * n_vocab * sizeof *logits), *difference = malloc(pos->n * sizeof *difference);
    assert_non_null(logits);
    assert_non_null(difference);
    ds4_span span = {
        .timeline = timeline, .tokens = tokens->i, .n_tokens = tokens->n, .wanted = DS4_LOGITS_ALL, .logits = logits};
    assert_ok(ds4_engine_evaluate(engine, &span, 1, NULL, NULL, &error), &error);
    for (size_t i = 0; i < pos->n; i++) {
        difference[i] = largest_difference(logits + (size_t)pos->i[i] * n_vocab, expected + i * n_vocab, n_vocab);
        if (pure) assert_true(difference[i] <= 1e-3f);
    }
    if (!pure) check_statistics(difference, pos->n, manifest, prompt);
    check_greedy(engine, timeline, logits + (tokens->n - 1) * n_vocab, n_vocab, golden, pure);

    free(difference);
    free(logits);
    ds4_timeline_free(timeline);
    d4g_close(golden);
}

void golden_check(const golden_case *c, const char *const *prompts, size_t n_prompts) {
    ds4_error error;
    ds4_model *model = NULL;
    assert_ok(ds4_model_open(tiny_model_path(c->model), DS4_MODEL_FULL, &model, &error), &error);
    ds4_engine *engine = NULL;
    ds4_engine_options options = {
        .backend = c->backend, .exact = true, .chunk_tokens = c->chunk ? c->chunk : WHOLE, .no_qat = strcmp(c->mode, "pure") == 0};
    assert_ok(ds4_engine_new(model, &options, &engine, &error), &error);
    char path[256];
    snprintf(path, sizeof path, "tests/data/golden/%s/manifest.json", c->model);
    json_t *manifest = json_load_file(path, 0, NULL);
    assert_non_null(manifest);
    for (size_t p = 0; p < n_prompts; p++) check_prompt(engine, ds4_model_n_vocab(model), c, prompts[p], manifest);
    json_decref(manifest);
    ds4_engine_free(engine);
    ds4_model_free(model);
}
