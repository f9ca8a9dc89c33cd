/*
 * The default CPU path, which rounds activations to int8, end to end. How far its logits are from the golden ones is a
 * property of that rounding and of these models, whose weights are random: measured, and bounded here at about twice
 * what was measured (docs/performance.md has the figures and what they mean). That the result does not depend on how a
 * prompt is cut, nor on threads, holds to the last bit.
 */
#include "test.h"

#include "support/records.h"
#include "support/tiny_model.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const PROMPTS[] = {"p0001", "p0005", "p0127", "p0128", "p0129", "p0130", "p0200", "p0700", "p1500"};
enum { N_PROMPTS = sizeof PROMPTS / sizeof *PROMPTS, WHOLE = 2048 };

struct quantised_case {
    const char *model, *mode;
    double mean_divergence, agreement; /* limits */
};

static ds4_engine *open_engine(const char *model_name, bool no_qat, int chunk, int n_threads, ds4_model **model) {
    ds4_error error;
    ds4_engine *engine = NULL;
    assert_ok(ds4_model_open(tiny_model_path(model_name), DS4_MODEL_FULL, model, &error), &error);
    ds4_engine_options options = {.chunk_tokens = chunk, .n_threads = n_threads, .no_qat = no_qat};
    assert_ok(ds4_engine_new(*model, &options, &engine, &error), &error);
    return engine;
}

/* Logits of all positions; the caller frees them. */
static float *evaluate(ds4_engine *engine, size_t n_vocab, const int32_t *tokens, size_t n_tokens) {
    ds4_error error;
    ds4_timeline *timeline = NULL;
    float *logits = malloc(n_tokens * n_vocab * sizeof *logits);
    assert_non_null(logits);
    assert_ok(ds4_timeline_new(engine, n_tokens, &timeline, &error), &error);
    ds4_span span = {
        .timeline = timeline, .tokens = tokens, .n_tokens = n_tokens, .wanted = DS4_LOGITS_ALL, .logits = logits};
    assert_ok(ds4_engine_evaluate(engine, &span, 1, NULL, NULL, &error), &error);
    ds4_timeline_free(timeline);
    return logits;
}

static double log_sum(const float *logits, size_t n) {
    double top = logits[0], sum = 0;
    for (size_t i = 1; i < n; i++) top = fmax(top, logits[i]);
    for (size_t i = 0; i < n; i++) sum += exp(logits[i] - top);
    return top + log(sum);
}

/* Kullback-Leibler divergence of the distributions that the logits stand for. */
static double divergence(const float *expected, const float *logits, size_t n) {
    double expected_log = log_sum(expected, n), log_of = log_sum(logits, n), sum = 0;
    for (size_t i = 0; i < n; i++)
        sum += exp(expected[i] - expected_log) * ((expected[i] - expected_log) - (logits[i] - log_of));
    return sum;
}

static size_t most_likely(const float *logits, size_t n) {
    size_t best = 0;
    for (size_t i = 1; i < n; i++)
        if (logits[i] > logits[best]) best = i;
    return best;
}

static void logits_stay_near_the_golden_ones(void **state) {
    const struct quantised_case *c = *state;
    ds4_model *model;
    ds4_engine *engine = open_engine(c->model, strcmp(c->mode, "pure") == 0, 512, 0, &model);
    size_t n_vocab = ds4_model_n_vocab(model), n = 0, n_same = 0;
    double sum = 0, largest = 0;
    for (size_t p = 0; p < N_PROMPTS; p++) {
        char path[256];
        snprintf(path, sizeof path, "tests/data/golden/%s/%s/%s.d4g", c->model, c->mode, PROMPTS[p]);
        d4g_file *golden = records_open(path);
        const d4g_record *tokens = named_record(golden, "tokens"), *pos = named_record(golden, "pos");
        const float *expected = named_record(golden, "logits")->f;
        float *logits = evaluate(engine, n_vocab, tokens->i, tokens->n);
        for (size_t i = 0; i < pos->n; i++, n++) {
            const float *of_position = logits + (size_t)pos->i[i] * n_vocab;
            double d = divergence(expected + i * n_vocab, of_position, n_vocab);
            sum += d;
            largest = fmax(largest, d);
            n_same += most_likely(expected + i * n_vocab, n_vocab) == most_likely(of_position, n_vocab);
        }
        free(logits);
        d4g_close(golden);
    }
    double mean = sum / (double)n, agreement = (double)n_same / (double)n;
    print_message("%s %s: %zu positions, divergence %.2e in the mean and %.2e at most, the same token %.2f %%\n",
                  c->model, c->mode, n, mean, largest, 100 * agreement);
    assert_true(mean <= c->mean_divergence);
    assert_true(agreement >= c->agreement);
    ds4_engine_free(engine);
    ds4_model_free(model);
}

static void logits_do_not_depend_on_cuts_and_threads(void **state) {
    const struct quantised_case *c = *state;
    static const int CHUNK[] = {1, 3, 4, 127, 128, 129, 512}, THREADS[] = {1, 2, 3, 2, 1, 2, 5};
    char path[256];
    snprintf(path, sizeof path, "tests/data/golden/%s/%s/p0200.d4g", c->model, c->mode);
    d4g_file *golden = records_open(path);
    const d4g_record *tokens = named_record(golden, "tokens");
    ds4_model *model;
    ds4_engine *engine = open_engine(c->model, false, WHOLE, 2, &model);
    size_t n_vocab = ds4_model_n_vocab(model);
    float *whole = evaluate(engine, n_vocab, tokens->i, tokens->n);
    ds4_engine_free(engine);
    ds4_model_free(model);
    for (size_t i = 0; i < sizeof CHUNK / sizeof *CHUNK; i++) {
        engine = open_engine(c->model, false, CHUNK[i], THREADS[i], &model);
        float *cut = evaluate(engine, n_vocab, tokens->i, tokens->n);
        assert_memory_equal(whole, cut, tokens->n * n_vocab * sizeof *cut);
        free(cut);
        ds4_engine_free(engine);
        ds4_model_free(model);
    }
    free(whole);
    d4g_close(golden);
}

int main(void) {
    static struct quantised_case cases[] = {
        {"tiny-a-q2", "pure", 2.5e-3, 0.97}, {"tiny-a-q2", "qat", 6e-3, 0.95},  {"tiny-a-q4", "pure", 2.5e-3, 0.95},
        {"tiny-a-q4", "qat", 6e-3, 0.95},    {"tiny-b-q2", "pure", 1e-2, 0.94}, {"tiny-b-q2", "qat", 2.2e-2, 0.88},
        {"tiny-a-f", "pure", 1e-9, 1}, /* F32 and F16 weights: nothing is rounded */
    };
    enum { N = sizeof cases / sizeof *cases };
    static char name[2 * N][96];
    struct CMUnitTest tests[2 * N];
    for (size_t i = 0; i < N; i++) {
        snprintf(name[2 * i], sizeof name[0], "%s_%s_logits_stay_near_the_golden_ones", cases[i].model, cases[i].mode);
        snprintf(name[2 * i + 1], sizeof name[0], "%s_%s_prompts_give_the_same_bits_however_cut", cases[i].model,
                 cases[i].mode);
        tests[2 * i] = (struct CMUnitTest){name[2 * i], logits_stay_near_the_golden_ones, NULL, NULL, &cases[i]};
        tests[2 * i + 1] =
            (struct CMUnitTest){name[2 * i + 1], logits_do_not_depend_on_cuts_and_threads, NULL, NULL, &cases[i]};
    }
    return cmocka_run_group_tests_name("quantised activations", tests, NULL, NULL);
}
