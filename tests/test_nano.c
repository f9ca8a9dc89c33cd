/*
 * The model that is built in, models/ds4-nano.gguf: questions that it answers rightly, asked one by one and
 * all at once (tests/data/nano_cases.json, written by train/evaluate.py), and its logits against those of the
 * PyTorch model (tests/data/nano_golden.d4g, written by train/compare.py).
 */
#include "test.h"

#include "base/memory.h"
#include "support/records.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CASES "tests/data/nano_cases.json"
#define GOLDEN "tests/data/nano_golden.d4g"
enum { MAX_CASES = 100, MAX_ANSWER_TOKENS = 400, N_GOLDEN = 6 };

static ds4_model *model;
static ds4_error error;

static ds4_engine *engine_new(bool no_qat) {
    ds4_engine *engine = NULL;
    assert_ok(ds4_engine_new(model, &(ds4_engine_options){.exact = no_qat, .no_qat = no_qat}, &engine, &error), &error);
    return engine;
}

/* ---- questions ----------------------------------------------------------------------------------- */

typedef struct question {
    const json_t *json; /* the case */
    ds4_tokens prompt, answer;
    ds4_timeline *timeline;
    float *logits; /* [n_vocab] */
    bool thinking, ended;
} question;

static void question_init(question *self, const json_t *json, ds4_engine *engine) {
    *self = (question){.json = json};
    char *request = json_dumps(json_object_get(json, "request"), JSON_COMPACT);
    assert_non_null(request);
    const ds4_tokenizer *tokenizer = ds4_model_tokenizer(model);
    ds4_prompt prompt = {0};
    assert_ok(ds4_prompt_render(request, strlen(request), &prompt, &error), &error);
    assert_ok(ds4_prompt_encode(&prompt, tokenizer, &self->prompt, &error), &error);
    ds4_prompt_deinit(&prompt);
    free(request);
    self->thinking = self->prompt.id[self->prompt.n - 1] == ds4_tokenizer_control_id(tokenizer, "<think>");
    assert_ok(ds4_timeline_new(engine, self->prompt.n + MAX_ANSWER_TOKENS, &self->timeline, &error), &error);
    self->logits = malloc(ds4_model_n_vocab(model) * sizeof *self->logits);
    assert_non_null(self->logits);
}

static void question_deinit(question *self) {
    ds4_tokens_deinit(&self->prompt);
    ds4_tokens_deinit(&self->answer);
    ds4_timeline_free(self->timeline);
    free(self->logits);
}

static ds4_span question_span(const question *self, const int32_t *tokens, size_t n) {
    return (ds4_span){
        .timeline = self->timeline, .tokens = tokens, .n_tokens = n, .wanted = DS4_LOGITS_LAST, .logits = self->logits};
}

/* The most likely tokens, all questions together, until every answer has ended. */
static void answer_all(ds4_engine *engine, question *questions, size_t n) {
    ds4_sampler *sampler = NULL;
    assert_ok(ds4_sampler_new(&(ds4_sampling){0}, ds4_model_n_vocab(model), 0, &sampler, &error), &error);
    static ds4_span spans[MAX_CASES];
    size_t n_spans = n;
    for (size_t i = 0; i < n; i++)
        spans[i] = question_span(&questions[i], questions[i].prompt.id, questions[i].prompt.n);
    while (n_spans) {
        assert_ok(ds4_engine_evaluate(engine, spans, n_spans, NULL, NULL, &error), &error);
        n_spans = 0;
        for (size_t i = 0; i < n; i++) {
            question *q = &questions[i];
            if (q->ended) continue;
            int32_t id = ds4_sampler_draw(sampler, q->logits);
            q->ended = id == ds4_tokenizer_eos(ds4_model_tokenizer(model));
            if (q->ended) continue;
            if (q->answer.n == MAX_ANSWER_TOKENS)
                fail_msg("%s: no end after %d tokens", json_string_value(json_object_get(q->json, "name")),
                         MAX_ANSWER_TOKENS);
            assert_ok(ds4_tokens_append(&q->answer, &id, 1, &error), &error);
            spans[n_spans++] = question_span(q, &q->answer.id[q->answer.n - 1], 1);
        }
    }
    ds4_sampler_free(sampler);
}

/* ---- answers ------------------------------------------------------------------------------------- */

typedef struct reply {
    ds4_buffer content, arguments;
    json_t *calls; /* [{name, arguments}], arguments as JSON */
} reply;

static void take_event(void *context, const ds4_event *event) {
    reply *to = context;
    switch (event->kind) {
    case DS4_EVENT_REASONING: break;
    case DS4_EVENT_TEXT: assert_true(buffer_append(&to->content, event->bytes, event->n_bytes)); break;
    case DS4_EVENT_CALL_START:
        buffer_clear(&to->arguments);
        json_array_append_new(to->calls, json_pack("{s:s%}", "name", event->bytes, event->n_bytes));
        break;
    case DS4_EVENT_ARGUMENTS: assert_true(buffer_append(&to->arguments, event->bytes, event->n_bytes)); break;
    case DS4_EVENT_CALL_END:
        json_object_set_new(json_array_get(to->calls, json_array_size(to->calls) - 1), "arguments",
                            json_loadb(to->arguments.data, to->arguments.n_bytes, 0, NULL));
        break;
    case DS4_EVENT_INVALID: fail_msg("%.*s", (int)event->n_bytes, event->bytes);
    }
}

static json_t *expected_calls(const json_t *json) {
    json_t *calls = json_array(), *call;
    size_t i;
    json_array_foreach(json_object_get(json, "tool_calls"), i, call) {
        json_t *arguments = json_loads(json_string_value(json_object_get(call, "arguments")), 0, NULL);
        json_array_append_new(calls,
                              json_pack("{s:O, s:o}", "name", json_object_get(call, "name"), "arguments", arguments));
    }
    return calls;
}

static void check_answer(const question *q) {
    reply got = {.calls = json_array()};
    ds4_parser *parser = NULL;
    assert_ok(ds4_parser_new(q->thinking, take_event, &got, &parser, &error), &error);
    for (size_t i = 0; i < q->answer.n; i++) {
        size_t n_bytes;
        const char *bytes = ds4_tokenizer_token_bytes(ds4_model_tokenizer(model), q->answer.id[i], &n_bytes);
        assert_ok(ds4_parser_feed(parser, bytes, n_bytes, &error), &error);
    }
    assert_ok(ds4_parser_finish(parser, &error), &error);
    ds4_parser_free(parser);
    const char *content = json_string_value(json_object_get(q->json, "content"));
    assert_string_equal(got.content.data ? got.content.data : "", content ? content : "");
    json_t *calls = expected_calls(q->json);
    if (!json_equal(got.calls, calls)) {
        char *text = json_dumps(got.calls, JSON_COMPACT);
        fail_msg("other calls than expected: %s", text);
    }
    json_decref(calls);
    json_decref(got.calls);
    ds4_buffer_deinit(&got.content);
    ds4_buffer_deinit(&got.arguments);
}

/* ---- tests --------------------------------------------------------------------------------------- */

static json_t *cases;
static ds4_tokens alone[MAX_CASES]; /* what was answered when there was one question at a time */

static void answers_rightly(void **state) {
    size_t i = *(const size_t *)*state;
    ds4_engine *engine = engine_new(false);
    question q;
    question_init(&q, json_array_get(cases, i), engine);
    answer_all(engine, &q, 1);
    check_answer(&q);
    assert_ok(ds4_tokens_append(&alone[i], q.answer.id, q.answer.n, &error), &error);
    question_deinit(&q);
    ds4_engine_free(engine);
}

static void answers_are_the_same_in_a_batch(void **state) {
    (void)state;
    size_t n = json_array_size(cases);
    ds4_engine *engine = engine_new(false);
    static question questions[MAX_CASES];
    for (size_t i = 0; i < n; i++) question_init(&questions[i], json_array_get(cases, i), engine);
    answer_all(engine, questions, n);
    for (size_t i = 0; i < n; i++) {
        assert_int_equal(questions[i].answer.n, alone[i].n);
        assert_memory_equal(questions[i].answer.id, alone[i].id, alone[i].n * sizeof *alone[i].id);
        question_deinit(&questions[i]);
        ds4_tokens_deinit(&alone[i]);
    }
    ds4_engine_free(engine);
}

static const d4g_record *numbered_record(const d4g_file *file, const char *name, int number) {
    char numbered[32];
    snprintf(numbered, sizeof numbered, "%s%d", name, number);
    return named_record(file, numbered);
}

/* Float arithmetic. Of a position the file has the largest logits, in descending order. */
static void check_position(const float *logits, size_t n_vocab, const int32_t *id, const float *expected, size_t n) {
    bool *listed = calloc(n_vocab, sizeof *listed);
    assert_non_null(listed);
    for (size_t k = 0; k < n; k++) {
        listed[id[k]] = true;
        float difference = largest_difference(&logits[id[k]], &expected[k], 1);
        if (!(difference <= 1e-3f)) fail_msg("token %d: a logit is %g off", (int)id[k], (double)difference);
    }
    for (size_t v = 0; v < n_vocab; v++) assert_true(listed[v] || logits[v] <= expected[n - 1] + 1e-3f);
    free(listed);
}

static void logits_match_the_training_code(void **state) {
    (void)state;
    d4g_file *golden = records_open(GOLDEN);
    size_t n_vocab = ds4_model_n_vocab(model);
    ds4_engine *engine = engine_new(true);
    for (int i = 0; i < N_GOLDEN; i++) {
        const d4g_record *tokens = numbered_record(golden, "tokens", i), *pos = numbered_record(golden, "pos", i);
        const d4g_record *id = numbered_record(golden, "id", i), *logit = numbered_record(golden, "logit", i);
        size_t top = id->n / pos->n;
        float *logits = malloc(tokens->n * n_vocab * sizeof *logits);
        assert_non_null(logits);
        ds4_timeline *timeline = NULL;
        assert_ok(ds4_timeline_new(engine, tokens->n, &timeline, &error), &error);
        ds4_span span = {.timeline = timeline,
                         .tokens = tokens->i,
                         .n_tokens = tokens->n,
                         .wanted = DS4_LOGITS_ALL,
                         .logits = logits};
        assert_ok(ds4_engine_evaluate(engine, &span, 1, NULL, NULL, &error), &error);
        for (size_t p = 0; p < pos->n; p++)
            check_position(logits + (size_t)pos->i[p] * n_vocab, n_vocab, id->i + p * top, logit->f + p * top, top);
        ds4_timeline_free(timeline);
        free(logits);
    }
    ds4_engine_free(engine);
    d4g_close(golden);
}

static int open_model(void **state) {
    (void)state;
    assert_ok(ds4_model_open(NANO_FILE, DS4_MODEL_FULL, &model, &error), &error);
    return 0;
}

static int close_model(void **state) {
    (void)state;
    ds4_model_free(model);
    return 0;
}

int main(void) {
    json_error_t what;
    cases = json_load_file(CASES, 0, &what);
    size_t n = json_array_size(cases);
    if (n == 0 || n > MAX_CASES) {
        fprintf(stderr, "%s: %zu cases %s\n", CASES, n, cases ? "" : what.text);
        return 1;
    }
    static struct CMUnitTest tests[MAX_CASES + 2];
    static size_t number[MAX_CASES];
    for (size_t i = 0; i < n; i++) {
        number[i] = i;
        const char *name = json_string_value(json_object_get(json_array_get(cases, i), "name"));
        tests[i] = (struct CMUnitTest){.name = name, .test_func = answers_rightly, .initial_state = &number[i]};
    }
    tests[n] = (struct CMUnitTest)cmocka_unit_test(answers_are_the_same_in_a_batch);
    tests[n + 1] = (struct CMUnitTest)cmocka_unit_test(logits_match_the_training_code);
    /* The places behind the last test stay empty, and cmocka leaves such places out. */
    int failed = cmocka_run_group_tests_name("nano", tests, open_model, close_model);
    json_decref(cases);
    return failed;
}
