/*
 * Whole models on an emulated processor, where test_golden, test_engine and test_quantised would take an hour: short
 * prompts against the golden logits, and what the kernels of the default path compute, whichever are chosen.
 */
#include "test.h"

#include "backend/cpu/kernels.h"
#include "support/golden.h"
#include "support/records.h"
#include "support/tiny_model.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void logits_match_the_reference(void **state) {
    static const char *const PROMPT[] = {"p0005"};
    golden_check(*state, PROMPT, 1);
}

static void logits_of_a_longer_prompt_match_the_reference(void **state) {
    static const char *const PROMPT[] = {"p0130"};
    golden_check(*state, PROMPT, 1);
}

/* Of a prompt: windows of four are pooled already. */
enum { N_TOKENS = 40 };

/* Logits of the first tokens, which the caller frees; computed by the kernels of that name. */
static float *evaluate(ds4_model *model, const char *kernels, int chunk, int n_threads, const d4g_record *tokens) {
    ds4_error error;
    ds4_engine *engine = NULL;
    ds4_timeline *timeline = NULL;
    assert_int_equal(setenv("DS4_CPU", kernels, 1), 0);
    ds4_engine_options options = {.chunk_tokens = chunk, .n_threads = n_threads};
    assert_ok(ds4_engine_new(model, &options, &engine, &error), &error);
    assert_ok(ds4_timeline_new(engine, N_TOKENS, &timeline, &error), &error);
    float *logits = malloc(N_TOKENS * ds4_model_n_vocab(model) * sizeof *logits);
    assert_non_null(logits);
    ds4_span span = {
        .timeline = timeline, .tokens = tokens->i, .n_tokens = N_TOKENS, .wanted = DS4_LOGITS_ALL, .logits = logits};
    assert_ok(ds4_engine_evaluate(engine, &span, 1, NULL, NULL, &error), &error);
    ds4_timeline_free(timeline);
    ds4_engine_free(engine);
    assert_int_equal(unsetenv("DS4_CPU"), 0);
    return logits;
}

static void all_kernels_compute_the_same_bits(void **state) {
    static const int CHUNK[] = {64, 2, 7, 1};
    const char *name = *state;
    ds4_error error;
    ds4_model *model = NULL;
    assert_ok(ds4_model_open(tiny_model_path(name), DS4_MODEL_FULL, &model, &error), &error);
    char path[256];
    snprintf(path, sizeof path, "tests/data/golden/%s/qat/p0130.d4g", name);
    d4g_file *golden = records_open(path);
    const d4g_record *tokens = named_record(golden, "tokens");
    float *expected = evaluate(model, "portable", 64, 1, tokens);
    for (size_t k = 0, n = 0; cpu_kernels_all[k]; k++) {
        if (!cpu_kernels_all[k]->supported()) continue;
        float *logits = evaluate(model, cpu_kernels_all[k]->name, CHUNK[n++ % 4], 2, tokens);
        assert_memory_equal(logits, expected, N_TOKENS * ds4_model_n_vocab(model) * sizeof *logits);
        free(logits);
    }
    free(expected);
    d4g_close(golden);
    ds4_model_free(model);
}

int main(void) {
    static golden_case cases[] = {{NULL, "tiny-a-f", "qat", 0},
                                  {NULL, "tiny-a-q2", "pure", 3},
                                  {NULL, "tiny-a-q4", "qat", 4},
                                  {NULL, "tiny-b-q2", "qat", 1}};
    static golden_case longer = {NULL, "tiny-b-q2", "pure", 127};
    static char names[][16] = {"tiny-a-q2", "tiny-a-q4", "tiny-b-q2"};
    enum { N_CASES = sizeof cases / sizeof *cases, N_NAMES = sizeof names / sizeof *names };
    static char title[N_CASES + N_NAMES][96];
    struct CMUnitTest tests[N_CASES + N_NAMES + 1] = {
        cmocka_unit_test_prestate(logits_of_a_longer_prompt_match_the_reference, &longer)};
    size_t n = 0;
    for (size_t i = 0; i < N_CASES; i++, n++) {
        snprintf(title[n], sizeof title[n], "%s_%s_logits_match_the_reference", cases[i].model, cases[i].mode);
        tests[n + 1] = (struct CMUnitTest){title[n], logits_match_the_reference, NULL, NULL, &cases[i]};
    }
    for (size_t i = 0; i < N_NAMES; i++, n++) {
        snprintf(title[n], sizeof title[n], "%s_all_kernels_compute_the_same_bits", names[i]);
        tests[n + 1] = (struct CMUnitTest){title[n], all_kernels_compute_the_same_bits, NULL, NULL, names[i]};
    }
    return cmocka_run_group_tests_name("models", tests, NULL, NULL);
}
