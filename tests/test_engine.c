/* Timelines: whatever the way to a state, the logits are the same to the last bit. */
#include "test.h"

#include "support/patched_file.h"
#include "support/timelines.h"
#include "support/tiny_model.h"

#include <stdlib.h>
#include <string.h>

enum { N_VOCAB = 512, N_TOKENS = 290, CONTEXT = 1024 };

struct fixture {
    ds4_model *model;
    ds4_engine *engine;
};

static int setup(void **state) {
    static struct fixture fixture;
    ds4_error error;
    assert_ok(ds4_model_open(tiny_model_path("tiny-a-q2"), DS4_MODEL_FULL, &fixture.model, &error), &error);
    assert_int_equal(ds4_model_n_vocab(fixture.model), N_VOCAB);
    ds4_engine_options options = {.chunk_tokens = 100};
    assert_ok(ds4_engine_new(fixture.model, &options, &fixture.engine, &error), &error);
    *state = &fixture;
    return 0;
}

static int teardown(void **state) {
    struct fixture *fixture = *state;
    ds4_engine_free(fixture->engine);
    ds4_model_free(fixture->model);
    return 0;
}

/* Logits after the first n tokens of a text, evaluated alone and at once. */
static void expected_logits(ds4_engine *engine, const int32_t *tokens, size_t n, float *logits) {
    ds4_timeline *timeline = new_timeline(engine, CONTEXT);
    evaluate(engine, timeline, tokens, n, logits);
    ds4_timeline_free(timeline);
}

static void assert_same(const float *a, const float *b) {
    assert_memory_equal(a, b, N_VOCAB * sizeof *a);
}

static size_t n_tokens_of(const ds4_timeline *timeline) {
    size_t n;
    ds4_timeline_tokens(timeline, &n);
    return n;
}

static void several_timelines_in_one_batch_do_not_disturb_each_other(void **state) {
    ds4_engine *engine = ((struct fixture *)*state)->engine;
    /* lengths that cross windows of both ratios, and steps of different lengths */
    const size_t length[4] = {1, 131, 257, N_TOKENS};
    static int32_t tokens[4][N_TOKENS];
    static float logits[4][N_VOCAB], expected[N_VOCAB];
    ds4_timeline *timeline[4];
    ds4_span span[4];
    ds4_error error;
    for (unsigned i = 0; i < 4; i++) {
        make_tokens(i + 1, N_VOCAB, tokens[i], N_TOKENS);
        timeline[i] = new_timeline(engine, CONTEXT);
        span[i] = (ds4_span){.timeline = timeline[i],
                             .tokens = tokens[i],
                             .n_tokens = length[i],
                             .wanted = DS4_LOGITS_LAST,
                             .logits = logits[i]};
    }
    assert_ok(ds4_engine_evaluate(engine, span, 4, NULL, NULL, &error), &error);
    for (int i = 0; i < 4; i++) {
        expected_logits(engine, tokens[i], length[i], expected);
        assert_same(logits[i], expected);
    }
    /* decoding steps together */
    for (size_t step = 0; step < 5; step++) {
        for (int i = 0; i < 3; i++) {
            span[i].tokens = &tokens[i][length[i] + step];
            span[i].n_tokens = 1;
        }
        assert_ok(ds4_engine_evaluate(engine, span, 3, NULL, NULL, &error), &error);
    }
    for (int i = 0; i < 3; i++) {
        expected_logits(engine, tokens[i], length[i] + 5, expected);
        assert_same(logits[i], expected);
    }
    for (int i = 0; i < 4; i++) ds4_timeline_free(timeline[i]);
}

static void all_logits_of_a_span_equal_the_last_logits_of_its_prefixes(void **state) {
    ds4_engine *engine = ((struct fixture *)*state)->engine;
    static int32_t tokens[N_TOKENS];
    make_tokens(9, N_VOCAB, tokens, N_TOKENS);
    float *all = malloc(N_TOKENS * N_VOCAB * sizeof *all);
    assert_non_null(all);
    ds4_timeline *timeline = new_timeline(engine, CONTEXT);
    ds4_span span = {
        .timeline = timeline, .tokens = tokens, .n_tokens = N_TOKENS, .wanted = DS4_LOGITS_ALL, .logits = all};
    ds4_error error;
    assert_ok(ds4_engine_evaluate(engine, &span, 1, NULL, NULL, &error), &error);
    const size_t prefix[] = {1, 4, 5, 99, 100, 101, 128, 129, 256, 287};
    for (size_t i = 0; i < sizeof prefix / sizeof *prefix; i++) {
        float expected[N_VOCAB];
        expected_logits(engine, tokens, prefix[i], expected);
        assert_same(all + (prefix[i] - 1) * N_VOCAB, expected);
    }
    ds4_timeline_free(timeline);
    free(all);
}

static void rewind_to_a_checkpoint_gives_the_same_logits(void **state) {
    ds4_engine *engine = ((struct fixture *)*state)->engine;
    static int32_t text[N_TOKENS], other[N_TOKENS];
    make_tokens(1, N_VOCAB, text, N_TOKENS);
    make_tokens(2, N_VOCAB, other, N_TOKENS);
    const size_t at[] = {0, 1, 3, 7, 127, 128, 130, 255, 256, 271};
    float expected[N_VOCAB], logits[N_VOCAB];
    expected_logits(engine, text, N_TOKENS, expected);
    for (size_t i = 0; i < sizeof at / sizeof *at; i++) {
        ds4_timeline *timeline = new_timeline(engine, CONTEXT);
        ds4_checkpoint *checkpoint = NULL;
        ds4_error error;
        if (at[i]) evaluate(engine, timeline, text, at[i], NULL);
        assert_ok(ds4_timeline_checkpoint(timeline, &checkpoint, &error), &error);
        assert_int_equal(ds4_checkpoint_n_tokens(checkpoint), at[i]);
        evaluate(engine, timeline, other, 150, NULL); /* overwrites rows and rings */
        for (int again = 0; again < 2; again++) {     /* a checkpoint can be used more than once */
            assert_ok(ds4_timeline_restore(timeline, checkpoint, &error), &error);
            assert_int_equal(n_tokens_of(timeline), at[i]);
            evaluate(engine, timeline, text + at[i], N_TOKENS - at[i], logits);
            assert_same(logits, expected);
        }
        ds4_checkpoint_free(checkpoint);
        ds4_timeline_free(timeline);
    }
}

static void an_older_checkpoint_survives_a_newer_one_and_a_different_continuation(void **state) {
    ds4_engine *engine = ((struct fixture *)*state)->engine;
    static int32_t text[N_TOKENS], other[N_TOKENS];
    make_tokens(3, N_VOCAB, text, N_TOKENS);
    make_tokens(4, N_VOCAB, other, N_TOKENS);
    ds4_timeline *timeline = new_timeline(engine, CONTEXT);
    ds4_checkpoint *early = NULL, *late = NULL;
    ds4_error error;
    float expected[N_VOCAB], logits[N_VOCAB];
    evaluate(engine, timeline, text, 150, NULL);
    assert_ok(ds4_timeline_checkpoint(timeline, &early, &error), &error);
    evaluate(engine, timeline, text + 150, 120, NULL);
    assert_ok(ds4_timeline_checkpoint(timeline, &late, &error), &error);
    assert_ok(ds4_timeline_restore(timeline, early, &error), &error);
    evaluate(engine, timeline, other, 200, NULL); /* rows that `late` shares are made again, differently */
    assert_ok(ds4_timeline_restore(timeline, late, &error), &error);
    evaluate(engine, timeline, text + 270, N_TOKENS - 270, logits);
    expected_logits(engine, text, N_TOKENS, expected);
    assert_same(logits, expected);
    ds4_checkpoint_free(early);
    ds4_checkpoint_free(late);
    ds4_timeline_free(timeline);
}

static void a_fork_and_its_origin_go_separate_ways(void **state) {
    ds4_engine *engine = ((struct fixture *)*state)->engine;
    static int32_t left[N_TOKENS], right[N_TOKENS];
    make_tokens(5, N_VOCAB, left, N_TOKENS);
    make_tokens(6, N_VOCAB, right, N_TOKENS);
    const size_t common = 266;
    memcpy(right, left, common * sizeof *left);
    ds4_timeline *timeline = new_timeline(engine, CONTEXT), *fork = NULL;
    ds4_error error;
    float logits[2][N_VOCAB], expected[N_VOCAB];
    evaluate(engine, timeline, left, common, NULL);
    assert_ok(ds4_timeline_fork(timeline, &fork, &error), &error);
    ds4_span span[2] = {{.timeline = timeline,
                         .tokens = left + common,
                         .n_tokens = N_TOKENS - common,
                         .wanted = DS4_LOGITS_LAST,
                         .logits = logits[0]},
                        {.timeline = fork,
                         .tokens = right + common,
                         .n_tokens = N_TOKENS - common,
                         .wanted = DS4_LOGITS_LAST,
                         .logits = logits[1]}};
    assert_ok(ds4_engine_evaluate(engine, span, 2, NULL, NULL, &error), &error);
    expected_logits(engine, left, N_TOKENS, expected);
    assert_same(logits[0], expected);
    expected_logits(engine, right, N_TOKENS, expected);
    assert_same(logits[1], expected);
    ds4_timeline_free(timeline); /* the fork lives on */
    evaluate(engine, fork, left, 10, logits[0]);
    ds4_timeline_free(fork);
}

static void the_last_tokens_can_be_taken_back_without_a_checkpoint(void **state) {
    ds4_engine *engine = ((struct fixture *)*state)->engine;
    static int32_t text[N_TOKENS], other[N_TOKENS];
    make_tokens(7, N_VOCAB, text, N_TOKENS);
    make_tokens(8, N_VOCAB, other, N_TOKENS);
    const size_t at[] = {5, 16, 120, 128, 137, 260, 280};
    float logits[N_VOCAB], expected[N_VOCAB];
    expected_logits(engine, text, N_TOKENS, expected);
    for (size_t i = 0; i < sizeof at / sizeof *at; i++)
        for (size_t back = 1; back <= DS4_FREE_REWIND_TOKENS && back <= at[i]; back += 5) {
            ds4_timeline *timeline = new_timeline(engine, CONTEXT);
            ds4_error error;
            if (at[i] > back) evaluate(engine, timeline, text, at[i] - back, NULL);
            evaluate(engine, timeline, other, back, NULL);
            assert_ok(ds4_timeline_rewind(timeline, back, &error), &error);
            evaluate(engine, timeline, text + at[i] - back, N_TOKENS - (at[i] - back), logits);
            assert_same(logits, expected);
            ds4_timeline_free(timeline);
        }
}

static void rewinding_too_far_is_refused_and_changes_nothing(void **state) {
    ds4_engine *engine = ((struct fixture *)*state)->engine;
    static int32_t text[N_TOKENS];
    make_tokens(7, N_VOCAB, text, N_TOKENS);
    ds4_timeline *timeline = new_timeline(engine, CONTEXT);
    ds4_error error;
    evaluate(engine, timeline, text, 200, NULL);
    assert_int_equal(ds4_timeline_rewind(timeline, DS4_FREE_REWIND_TOKENS + 1, &error), DS4_ERROR_ARGUMENT);
    assert_string_equal(error.message, "cannot rewind 17 tokens without a checkpoint: at most 16 now");
    assert_int_equal(n_tokens_of(timeline), 200);
    ds4_timeline_free(timeline);
}

struct stop {
    int calls_left;
};

static bool stop_after(void *context, size_t done, size_t total) {
    assert_true(done <= total);
    return ((struct stop *)context)->calls_left-- == 0;
}

static void a_cancelled_evaluation_leaves_the_timeline_as_it_was(void **state) {
    ds4_engine *engine = ((struct fixture *)*state)->engine;
    static int32_t text[N_TOKENS], other[N_TOKENS];
    make_tokens(10, N_VOCAB, text, N_TOKENS);
    make_tokens(11, N_VOCAB, other, N_TOKENS);
    const size_t length[] = {1, DS4_FREE_REWIND_TOKENS, DS4_FREE_REWIND_TOKENS + 1, 90};
    float expected[N_VOCAB], logits[N_VOCAB];
    expected_logits(engine, text, N_TOKENS, expected);
    for (size_t i = 0; i < sizeof length / sizeof *length; i++)
        for (int calls = 0; calls < 8; calls += 3) {
            ds4_timeline *timeline = new_timeline(engine, CONTEXT);
            ds4_error error;
            evaluate(engine, timeline, text, 253, NULL);
            ds4_span span = {.timeline = timeline, .tokens = other, .n_tokens = length[i]};
            struct stop stop = {calls};
            assert_int_equal(ds4_engine_evaluate(engine, &span, 1, stop_after, &stop, &error), DS4_CANCELLED);
            assert_int_equal(n_tokens_of(timeline), 253);
            evaluate(engine, timeline, text + 253, N_TOKENS - 253, logits);
            assert_same(logits, expected);
            ds4_timeline_free(timeline);
        }
}

static void a_long_evaluation_keeps_the_chunks_that_were_complete(void **state) {
    ds4_engine *engine = ((struct fixture *)*state)->engine;
    static int32_t text[N_TOKENS];
    make_tokens(12, N_VOCAB, text, N_TOKENS);
    ds4_timeline *timeline = new_timeline(engine, CONTEXT);
    ds4_error error;
    float logits[N_VOCAB], expected[N_VOCAB];
    ds4_span span = {.timeline = timeline, .tokens = text, .n_tokens = N_TOKENS};
    struct stop stop = {8 * 2 + 3}; /* eight layers: in the third chunk of 100 */
    assert_int_equal(ds4_engine_evaluate(engine, &span, 1, stop_after, &stop, &error), DS4_CANCELLED);
    assert_int_equal(n_tokens_of(timeline), 200);
    evaluate(engine, timeline, text + 200, N_TOKENS - 200, logits);
    expected_logits(engine, text, N_TOKENS, expected);
    assert_same(logits, expected);
    ds4_timeline_free(timeline);
}

/* The model as it is patched, with or without compressed rows: logits of the last of n tokens. */
static void logits_of_patched(const patched_file *patched, bool no_compressed_rows, const int32_t *tokens, size_t n,
                              float *logits) {
    ds4_model *model = NULL;
    ds4_engine *engine = NULL;
    ds4_error error;
    assert_ok(ds4_model_open_memory(patched->content.data, patched->content.n_bytes, "patched", DS4_MODEL_FULL, &model,
                                    &error),
              &error);
    ds4_engine_options options = {.chunk_tokens = 100, .no_compressed_rows = no_compressed_rows};
    assert_ok(ds4_engine_new(model, &options, &engine, &error), &error);
    expected_logits(engine, tokens, n, logits);
    ds4_engine_free(engine);
    ds4_model_free(model);
}

static void without_compressed_rows_layers_are_like_those_without_compression(void **state) {
    (void)state;
    static const int32_t no_ratios[8];
    int32_t tokens[N_TOKENS];
    patched_file patched;
    patched_file_open(tiny_model_path("tiny-a-q2"), &patched);
    /* all layers rotate alike: one base, and what YaRN stretches begins behind the last pair */
    patch_f32(&patched, "deepseek4.rope.freq_base", 160000);
    patch_f32(&patched, "deepseek4.rope.scaling.yarn_beta_fast", 3e-3f);
    patch_f32(&patched, "deepseek4.rope.scaling.yarn_beta_slow", 1e-9f);
    make_tokens(3, N_VOCAB, tokens, N_TOKENS);
    float with[3][N_VOCAB], without[3][N_VOCAB], uncompressed[N_VOCAB];
    const size_t length[3] = {3, 4, N_TOKENS}; /* the first compressed row comes with the fourth token */
    for (size_t i = 0; i < 3; i++) {
        logits_of_patched(&patched, false, tokens, length[i], with[i]);
        logits_of_patched(&patched, true, tokens, length[i], without[i]);
    }
    assert_same(with[0], without[0]);
    assert_memory_not_equal(with[1], without[1], sizeof with[1]);
    assert_memory_not_equal(with[2], without[2], sizeof with[2]);
    patch_content(&patched, "deepseek4.attention.compress_ratios", no_ratios, sizeof no_ratios);
    for (size_t i = 0; i < 3; i++) {
        logits_of_patched(&patched, false, tokens, length[i], uncompressed);
        assert_same(without[i], uncompressed);
    }
    patched_file_close(&patched);
}

static void assert_refused(ds4_engine *engine, const ds4_span *span, size_t n, ds4_status status, const char *message) {
    ds4_error error;
    assert_int_equal(ds4_engine_evaluate(engine, span, n, NULL, NULL, &error), status);
    assert_string_equal(error.message, message);
}

static void held_bytes_count_shared_pages_once_and_return_to_nothing(void **state) {
    ds4_engine *engine = ((struct fixture *)*state)->engine;
    static int32_t tokens[N_TOKENS];
    make_tokens(3, N_VOCAB, tokens, N_TOKENS);
    assert_int_equal(ds4_engine_held_bytes(engine), 0);
    ds4_timeline *timeline = new_timeline(engine, CONTEXT), *fork = NULL;
    ds4_checkpoint *checkpoint = NULL, *again = NULL;
    ds4_error error;
    assert_int_equal(ds4_engine_held_bytes(engine), 0); /* rings do not count */
    size_t empty = ds4_timeline_n_bytes(timeline);
    evaluate(engine, timeline, tokens, 200, NULL);
    size_t rows = ds4_timeline_n_bytes(timeline) - empty;
    assert_true(rows > 0);
    assert_int_equal(ds4_engine_held_bytes(engine), rows);

    assert_ok(ds4_timeline_checkpoint(timeline, &checkpoint, &error), &error);
    size_t copied = ds4_engine_held_bytes(engine) - rows; /* frontier and token list */
    assert_true(copied > 200 * sizeof(int32_t) && copied < 2 * empty);
    assert_ok(ds4_timeline_checkpoint(timeline, &again, &error), &error);
    assert_int_equal(ds4_engine_held_bytes(engine), rows + 2 * copied);
    assert_ok(ds4_timeline_fork(timeline, &fork, &error), &error);
    assert_int_equal(ds4_engine_held_bytes(engine), rows + 2 * copied);
    evaluate(engine, fork, tokens, 90, NULL); /* copies the last pages of the shared ones */
    size_t both = ds4_engine_held_bytes(engine);
    assert_true(both > rows + 2 * copied && both < 2 * rows + 2 * copied + ds4_timeline_n_bytes(fork) - empty);

    ds4_timeline_free(timeline);
    ds4_checkpoint_free(again);
    ds4_timeline_free(fork);
    assert_int_equal(ds4_engine_held_bytes(engine), rows + copied); /* the checkpoint has the pages still */
    ds4_checkpoint_free(checkpoint);
    assert_int_equal(ds4_engine_held_bytes(engine), 0);
}

static void a_context_is_as_long_as_the_model_allows_unless_any_is_asked_for(void **state) {
    (void)state;
    ds4_model *model = NULL;
    patched_file patched;
    patched_file_open(tiny_model_path("tiny-a-q2"), &patched);
    patch_u32(&patched, "deepseek4.context_length", 256);
    ds4_error error;
    assert_ok(
        ds4_model_open_memory(patched.content.data, patched.content.n_bytes, "patched", DS4_MODEL_FULL, &model, &error),
        &error);
    for (int any = 0; any < 2; any++) {
        ds4_engine_options options = {.n_threads = 1, .chunk_tokens = 8, .any_context = any};
        ds4_engine *engine = NULL;
        ds4_timeline *timeline = NULL;
        assert_ok(ds4_engine_new(model, &options, &engine, &error), &error);
        size_t limit = any ? 1 << 20 : 256;
        assert_int_equal(ds4_timeline_new(engine, limit + 1, &timeline, &error), DS4_ERROR_ARGUMENT);
        assert_string_equal(error.message, any ? "context of 1048577 tokens: the model allows 1 to 1048576"
                                               : "context of 257 tokens: the model allows 1 to 256");
        assert_ok(ds4_timeline_new(engine, limit, &timeline, &error), &error);
        ds4_timeline_free(timeline);
        ds4_engine_free(engine);
    }
    ds4_model_free(model);
    patched_file_close(&patched);
}

static void impossible_spans_are_refused_with_a_reason(void **state) {
    ds4_engine *engine = ((struct fixture *)*state)->engine;
    ds4_timeline *timeline = NULL;
    ds4_error error;
    assert_ok(ds4_timeline_new(engine, 3, &timeline, &error), &error);
    int32_t tokens[] = {1, 2, 3, 4}, bad[] = {1, N_VOCAB}, negative[] = {-1};
    ds4_span span = {.timeline = timeline, .tokens = tokens, .n_tokens = 4};
    assert_refused(engine, &span, 1, DS4_ERROR_CONTEXT,
                   "the context of 3 tokens is full: 0 are used, 4 more do not fit");
    span.n_tokens = 0;
    assert_refused(engine, &span, 1, DS4_ERROR_ARGUMENT, "span 0: no tokens");
    span = (ds4_span){.timeline = timeline, .tokens = bad, .n_tokens = 2};
    assert_refused(engine, &span, 1, DS4_ERROR_ARGUMENT, "token 1 of span 0 is 512, expected 0 to 511");
    span = (ds4_span){.timeline = timeline, .tokens = negative, .n_tokens = 1};
    assert_refused(engine, &span, 1, DS4_ERROR_ARGUMENT, "token 0 of span 0 is -1, expected 0 to 511");
    span = (ds4_span){.timeline = timeline, .tokens = tokens, .n_tokens = 1, .wanted = DS4_LOGITS_LAST};
    assert_refused(engine, &span, 1, DS4_ERROR_ARGUMENT, "span 0: logits are wanted but there is no place for them");
    ds4_span twice[2] = {{.timeline = timeline, .tokens = tokens, .n_tokens = 1},
                         {.timeline = timeline, .tokens = tokens, .n_tokens = 1}};
    assert_refused(engine, twice, 2, DS4_ERROR_ARGUMENT, "span 1: its timeline is in the batch already");
    assert_int_equal(n_tokens_of(timeline), 0);
    evaluate(engine, timeline, tokens, 3, NULL); /* and nothing is lost */
    assert_int_equal(n_tokens_of(timeline), 3);
    ds4_timeline_free(timeline);
}

static void impossible_engines_are_refused_with_a_reason(void **state) {
    ds4_model *model = ((struct fixture *)*state)->model, *text_only = NULL;
    ds4_engine *engine = NULL;
    ds4_error error;
    ds4_engine_options options = {.backend = "abacus"};
    assert_int_equal(ds4_engine_new(model, &options, &engine, &error), DS4_ERROR_ARGUMENT);
    assert_string_equal(error.message, "backend 'abacus' is not in this build; available: cpu, sim");
    options = (ds4_engine_options){.n_threads = -1};
    assert_int_equal(ds4_engine_new(model, &options, &engine, &error), DS4_ERROR_ARGUMENT);
    options = (ds4_engine_options){.chunk_tokens = -1};
    assert_int_equal(ds4_engine_new(model, &options, &engine, &error), DS4_ERROR_ARGUMENT);
    assert_ok(ds4_model_open("tests/data/vocab.gguf", DS4_MODEL_TEXT, &text_only, &error), &error);
    assert_int_equal(ds4_engine_new(text_only, NULL, &engine, &error), DS4_ERROR_ARGUMENT);
    assert_null(engine);
    ds4_model_free(text_only);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(several_timelines_in_one_batch_do_not_disturb_each_other),
        cmocka_unit_test(all_logits_of_a_span_equal_the_last_logits_of_its_prefixes),
        cmocka_unit_test(rewind_to_a_checkpoint_gives_the_same_logits),
        cmocka_unit_test(an_older_checkpoint_survives_a_newer_one_and_a_different_continuation),
        cmocka_unit_test(a_fork_and_its_origin_go_separate_ways),
        cmocka_unit_test(the_last_tokens_can_be_taken_back_without_a_checkpoint),
        cmocka_unit_test(rewinding_too_far_is_refused_and_changes_nothing),
        cmocka_unit_test(a_cancelled_evaluation_leaves_the_timeline_as_it_was),
        cmocka_unit_test(a_long_evaluation_keeps_the_chunks_that_were_complete),
        cmocka_unit_test(without_compressed_rows_layers_are_like_those_without_compression),
        cmocka_unit_test(held_bytes_count_shared_pages_once_and_return_to_nothing),
        cmocka_unit_test(a_context_is_as_long_as_the_model_allows_unless_any_is_asked_for),
        cmocka_unit_test(impossible_spans_are_refused_with_a_reason),
        cmocka_unit_test(impossible_engines_are_refused_with_a_reason),
    };
    return cmocka_run_group_tests_name("engine", tests, setup, teardown);
}
