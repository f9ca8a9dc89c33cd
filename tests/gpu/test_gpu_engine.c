/*
 * The engine on the GPU backend, in the simulator: golden logits in several cuttings, and whatever way leads to a
 * state, the CPU backend's logits.
 */
#include "test.h"

#include "support/golden.h"
#include "support/records.h"
#include "support/timelines.h"
#include "support/tiny_model.h"

#include <stdlib.h>
#include <string.h>

enum { N_VOCAB = 512, CONTEXT = 512 };

/* ---- golden logits ---- */

static void prompts_match_the_reference(void **state) {
    static const char *const prompts[] = {"p0005", "p0130", "p0200"};
    golden_check(*state, prompts, 3);
}

/* In small pieces the simulator takes its time; the greedy continuation goes on token by token in any case. */
static void short_prompts_match_the_reference(void **state) {
    static const char *const prompts[] = {"p0001", "p0005"};
    golden_check(*state, prompts, 2);
}

static void a_prompt_of_130_tokens_matches_the_reference(void **state) {
    static const char *const prompts[] = {"p0130"};
    golden_check(*state, prompts, 1);
}

static void a_prompt_of_700_tokens_matches_the_reference(void **state) {
    static const char *const prompts[] = {"p0700"};
    golden_check(*state, prompts, 1);
}

/* ---- timelines ---- */

static const char *const BACKEND[2] = {"cpu", "sim"};

/* The same engine on both backends; every check compares the GPU's logits with the CPU's for the same text. */
struct pair {
    ds4_model *model;
    ds4_engine *engine[2];
};

static int open_pair(void **state) {
    static struct pair pair;
    ds4_error error;
    assert_ok(ds4_model_open(tiny_model_path("tiny-a-q2"), DS4_MODEL_FULL, &pair.model, &error), &error);
    for (int i = 0; i < 2; i++) {
        ds4_engine_options options = {.backend = BACKEND[i], .exact = true, .chunk_tokens = 64, .no_qat = true};
        assert_ok(ds4_engine_new(pair.model, &options, &pair.engine[i], &error), &error);
    }
    *state = &pair;
    return 0;
}

static int close_pair(void **state) {
    struct pair *pair = *state;
    for (int i = 0; i < 2; i++) ds4_engine_free(pair->engine[i]);
    ds4_model_free(pair->model);
    return 0;
}

/* What the CPU backend says after n tokens. */
static void assert_logits_after(const struct pair *pair, const char *what, const int32_t *tokens, size_t n,
                                const float *logits) {
    float expected[N_VOCAB];
    ds4_timeline *timeline = new_timeline(pair->engine[0], CONTEXT);
    evaluate(pair->engine[0], timeline, tokens, n, expected);
    ds4_timeline_free(timeline);
    check_close(what, logits, expected, N_VOCAB, 3e-4);
}

static void two_timelines_in_a_batch_get_the_logits_that_each_gets_alone(void **state) {
    const struct pair *pair = *state;
    ds4_engine *engine = pair->engine[1];
    int32_t text[2][150];
    float logits[2][N_VOCAB], alone[N_VOCAB];
    size_t length[2] = {131, 7};
    ds4_timeline *timeline[2], *lone = new_timeline(engine, CONTEXT);
    ds4_span span[2];
    ds4_error error;
    for (unsigned i = 0; i < 2; i++) {
        make_tokens(i + 1, N_VOCAB, text[i], 150);
        timeline[i] = new_timeline(engine, CONTEXT);
        span[i] = (ds4_span){.timeline = timeline[i],
                             .tokens = text[i],
                             .n_tokens = length[i],
                             .wanted = DS4_LOGITS_LAST,
                             .logits = logits[i]};
    }
    assert_ok(ds4_engine_evaluate(engine, span, 2, NULL, NULL, &error), &error);
    for (int i = 0; i < 2; i++) assert_logits_after(pair, "prefill in a batch", text[i], length[i], logits[i]);
    /* In decode not even the last bit depends on the company. */
    evaluate(engine, lone, text[1], length[1], NULL);
    for (int step = 0; step < 3; step++) {
        for (int i = 0; i < 2; i++) {
            span[i].tokens = &text[i][length[i]++];
            span[i].n_tokens = 1;
        }
        assert_ok(ds4_engine_evaluate(engine, span, 2, NULL, NULL, &error), &error);
        evaluate(engine, lone, span[1].tokens, 1, alone);
        for (int i = 0; i < 2; i++) assert_logits_after(pair, "decode in a batch", text[i], length[i], logits[i]);
    }
    ds4_timeline *both[2] = {new_timeline(engine, CONTEXT), new_timeline(engine, CONTEXT)};
    for (int i = 0; i < 2; i++) evaluate(engine, both[i], text[i], 5, NULL);
    ds4_timeline_free(lone);
    lone = new_timeline(engine, CONTEXT);
    evaluate(engine, lone, text[1], 5, NULL);
    for (int i = 0; i < 2; i++) span[i] = (ds4_span){both[i], &text[i][5], 1, DS4_LOGITS_LAST, logits[i]};
    assert_ok(ds4_engine_evaluate(engine, span, 2, NULL, NULL, &error), &error);
    evaluate(engine, lone, &text[1][5], 1, alone);
    assert_memory_equal(alone, logits[1], sizeof alone);
    for (int i = 0; i < 2; i++) {
        ds4_timeline_free(both[i]);
        ds4_timeline_free(timeline[i]);
    }
    ds4_timeline_free(lone);
}

static void rewind_restore_and_fork_lead_back(void **state) {
    const struct pair *pair = *state;
    ds4_engine *engine = pair->engine[1];
    int32_t text[180], other[60];
    float logits[N_VOCAB];
    ds4_error error;
    make_tokens(3, N_VOCAB, text, 180);
    make_tokens(4, N_VOCAB, other, 60);
    ds4_timeline *timeline = new_timeline(engine, CONTEXT), *fork = NULL;
    ds4_checkpoint *checkpoint = NULL;
    evaluate(engine, timeline, text, 129, NULL);
    assert_ok(ds4_timeline_checkpoint(timeline, &checkpoint, &error), &error);
    assert_ok(ds4_timeline_fork(timeline, &fork, &error), &error);
    evaluate(engine, timeline, other, 60, NULL); /* overwrites rings, copies shared pages */
    assert_ok(ds4_timeline_restore(timeline, checkpoint, &error), &error);
    evaluate(engine, timeline, text + 129, 20, logits);
    assert_logits_after(pair, "after restore", text, 149, logits);
    evaluate(engine, timeline, other, 9, NULL);
    assert_ok(ds4_timeline_rewind(timeline, 9, &error), &error);
    evaluate(engine, timeline, text + 149, 31, logits);
    assert_logits_after(pair, "after rewind", text, 180, logits);
    evaluate(engine, fork, text + 129, 31, logits);
    assert_logits_after(pair, "in the fork", text, 160, logits);
    ds4_checkpoint_free(checkpoint);
    ds4_timeline_free(fork);
    ds4_timeline_free(timeline);
}

static bool stop_at_third(void *context, size_t done, size_t total) {
    (void)done;
    (void)total;
    return ++*(int *)context == 3;
}

static void a_cancelled_evaluation_leaves_the_timeline_as_it_was(void **state) {
    const struct pair *pair = *state;
    ds4_engine *engine = pair->engine[1];
    int32_t text[160], other[64];
    float logits[N_VOCAB];
    ds4_error error;
    make_tokens(5, N_VOCAB, text, 160);
    make_tokens(6, N_VOCAB, other, 64);
    ds4_timeline *timeline = new_timeline(engine, CONTEXT);
    evaluate(engine, timeline, text, 133, NULL);
    static const size_t length[] = {1, 16, 17, 64};
    for (size_t i = 0; i < 4; i++) {
        int calls = 0;
        ds4_span span = {.timeline = timeline, .tokens = other, .n_tokens = length[i]};
        assert_int_equal(ds4_engine_evaluate(engine, &span, 1, stop_at_third, &calls, &error), DS4_CANCELLED);
    }
    evaluate(engine, timeline, text + 133, 27, logits);
    assert_logits_after(pair, "after cancelling", text, 160, logits);
    ds4_timeline_free(timeline);
}

static void all_logits_of_a_span_are_those_of_its_prefixes(void **state) {
    const struct pair *pair = *state;
    int32_t text[70];
    float *all = malloc(70 * N_VOCAB * sizeof *all);
    ds4_error error;
    assert_non_null(all);
    make_tokens(7, N_VOCAB, text, 70);
    ds4_timeline *timeline = new_timeline(pair->engine[1], CONTEXT);
    ds4_span span = {.timeline = timeline, .tokens = text, .n_tokens = 70, .wanted = DS4_LOGITS_ALL, .logits = all};
    assert_ok(ds4_engine_evaluate(pair->engine[1], &span, 1, NULL, NULL, &error), &error);
    for (size_t n = 1; n <= 70; n += 23) assert_logits_after(pair, "one of many", text, n, all + (n - 1) * N_VOCAB);
    ds4_timeline_free(timeline);
    free(all);
}

int main(void) {
    static golden_case whole_f = {"sim", "tiny-a-f", "pure", 0}, threes_f = {"sim", "tiny-a-f", "pure", 3},
                       ones_q2 = {"sim", "tiny-a-q2", "pure", 1}, rounded_q2 = {"sim", "tiny-a-q2", "qat", 127},
                       fours_q2 = {"sim", "tiny-a-q2", "qat", 4}, cut_q4 = {"sim", "tiny-a-q4", "pure", 129},
                       ones_q4 = {"sim", "tiny-a-q4", "qat", 1}, whole_b = {"sim", "tiny-b-q2", "pure", 0},
                       rounded_b = {"sim", "tiny-b-q2", "qat", 128}, long_q2 = {"sim", "tiny-a-q2", "pure", 512};
    const struct CMUnitTest golden_tests[] = {
        {"golden_tiny_a_f_whole", prompts_match_the_reference, NULL, NULL, &whole_f},
        {"golden_tiny_a_f_in_chunks_of_3", short_prompts_match_the_reference, NULL, NULL, &threes_f},
        {"golden_tiny_a_q2_token_by_token", a_prompt_of_130_tokens_matches_the_reference, NULL, NULL, &ones_q2},
        {"golden_tiny_a_q2_rounded_in_chunks_of_127", prompts_match_the_reference, NULL, NULL, &rounded_q2},
        {"golden_tiny_a_q2_rounded_in_chunks_of_4", short_prompts_match_the_reference, NULL, NULL, &fours_q2},
        {"golden_tiny_a_q4_in_chunks_of_129", prompts_match_the_reference, NULL, NULL, &cut_q4},
        {"golden_tiny_a_q4_rounded_token_by_token", short_prompts_match_the_reference, NULL, NULL, &ones_q4},
        {"golden_tiny_b_q2_whole", prompts_match_the_reference, NULL, NULL, &whole_b},
        {"golden_tiny_b_q2_rounded_in_chunks_of_128", prompts_match_the_reference, NULL, NULL, &rounded_b},
        {"golden_tiny_a_q2_700_tokens_in_chunks_of_512", a_prompt_of_700_tokens_matches_the_reference, NULL, NULL,
         &long_q2},
    };
    const struct CMUnitTest timeline_tests[] = {
        cmocka_unit_test(two_timelines_in_a_batch_get_the_logits_that_each_gets_alone),
        cmocka_unit_test(rewind_restore_and_fork_lead_back),
        cmocka_unit_test(a_cancelled_evaluation_leaves_the_timeline_as_it_was),
        cmocka_unit_test(all_logits_of_a_span_are_those_of_its_prefixes),
    };
    int failed = cmocka_run_group_tests_name("gpu golden", golden_tests, NULL, NULL);
    return failed + cmocka_run_group_tests_name("gpu timelines", timeline_tests, open_pair, close_pair);
}
