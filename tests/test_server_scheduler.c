/* The scheduler on the built-in model: who gets what of a step, and that nothing of that shows in the answers. */
#include "test.h"

#include "base/file.h"
#include "base/memory.h"
#include "engine/engine.h"
#include "server/api.h"
#include "server/scheduler.h"
#include "server/turns.h"
#include "text/exact_json.h"

#include <math.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define NANO "models/ds4-nano.gguf"

enum { CONTEXT = 8192, MAX_CHOICES = 4 };

/* ---- a scheduler --------------------------------------------------------------------------------- */

static ds4_model *model;

/* What happens in the engine, seen and disturbed from its operations. */
static struct {
    backend_ops ops;
    const backend_ops *real;
    atomic_size_t n_layers;  /* done, of passes with more than large tokens */
    atomic_size_t cancel_at; /* the number of layers at which to cancel to; 0: not */
    reply *to;
    atomic_int n_good_pages, n_failing_pages; /* allocations for timelines: first so many work, then so many fail */
    atomic_int n_failing_steps;               /* passes that fail */
} hook;

enum { LARGE = 64 };

static void hooked_attend_out(const batch *b, const layer_weights *w, const float *heads, float *y) {
    hook.real->attend_out(b, w, heads, y);
    if (b->n_tokens <= LARGE) return;
    size_t n = atomic_fetch_add(&hook.n_layers, 1) + 1;
    if (n == atomic_load(&hook.cancel_at)) reply_cancel(hook.to);
}

static bool takes_one(atomic_int *n) {
    int now = atomic_load(n);
    while (now > 0)
        if (atomic_compare_exchange_weak(n, &now, now - 1)) return true;
    return false;
}

static void *hooked_allocate(struct backend *b, memory_use use, size_t n_bytes) {
    bool fails = use == MEMORY_TIMELINE && !takes_one(&hook.n_good_pages) && takes_one(&hook.n_failing_pages);
    if (fails) return NULL;
    return hook.real->allocate(b, use, n_bytes);
}

static ds4_status hooked_begin(const batch *b, ds4_error *error) {
    if (takes_one(&hook.n_failing_steps)) return error_set(error, DS4_ERROR_IO, "the engine is out of order");
    return hook.real->begin(b, error);
}

typedef struct bench {
    ds4_engine *engine;
    metrics *counts;
    ids *names;
    call_memory *memory;
    script *answers;
    scheduler *scheduler;
    server_facts facts;
} bench;

static bench bench_new(const scheduler_options *options, const char *script_text) {
    bench b = {.facts = {.context_tokens = options->context_tokens,
                         .parallel = options->parallel,
                         .n_vocab = ds4_model_n_vocab(model),
                         .model_id = "ds4-nano",
                         .sampling = DS4_SAMPLING_DEFAULT}};
    const ds4_engine_options engine = {.n_threads = 2};
    const uint64_t seed = 1;
    ds4_error error;
    scheduler_options chosen = *options;
    assert_ok(ds4_engine_new(model, &engine, &b.engine, &error), &error);
    assert_ok(metrics_new(&b.counts, &error), &error);
    assert_ok(ids_new(&seed, &b.names, &error), &error);
    assert_ok(call_memory_new(CALL_MEMORY_BYTES, &b.memory, &error), &error);
    if (script_text)
        assert_ok(
            script_new(script_text, strlen(script_text), "script", ds4_model_tokenizer(model), &b.answers, &error),
            &error);
    chosen.script = b.answers;
    hook.real = b.engine->backend->op;
    hook.ops = *hook.real;
    hook.ops.attend_out = hooked_attend_out;
    hook.ops.allocate = hooked_allocate;
    hook.ops.begin = hooked_begin;
    hook.cancel_at = hook.n_layers = 0;
    hook.n_good_pages = hook.n_failing_pages = hook.n_failing_steps = 0;
    b.engine->backend->op = &hook.ops;
    assert_ok(scheduler_new(model, b.engine, b.memory, b.counts, b.names, &chosen, &b.scheduler, &error), &error);
    return b;
}

static void bench_free(bench *b) {
    scheduler_free(b->scheduler);
    assert_int_equal(ds4_engine_held_bytes(b->engine), 0);
    script_free(b->answers);
    call_memory_free(b->memory);
    ids_free(b->names);
    metrics_free(b->counts);
    b->engine->backend->op = hook.real;
    ds4_engine_free(b->engine);
}

static scheduler_options usual(void) {
    scheduler_options options = SCHEDULER_OPTIONS_DEFAULT;
    options.context_tokens = CONTEXT;
    return options;
}

/* ---- questions and answers ----------------------------------------------------------------------- */

static request *read_question(const bench *b, const api *of, const char *body) {
    json_t *json;
    ds4_error error;
    problem why = {0};
    assert_ok(exact_json_read(body, strlen(body), "body", &json, &error), &error);
    request *asked = request_new();
    assert_non_null(asked);
    asked->api = of;
    asked->arrived = time_seconds();
    if (!of->read(json, &b->facts, asked, &why) ||
        !request_encode(asked, ds4_model_tokenizer(model), b->memory, b->facts.context_tokens, &why))
        fail_msg("%s: %s", why.param, why.message);
    json_decref(json);
    return asked;
}

static reply *reply_for(const bench *b, request *asked) {
    reply *to;
    ds4_error error;
    assert_ok(reply_new(asked, scheduler_wake, b->scheduler, &to, &error), &error);
    return to;
}

static reply *submit(const bench *b, const char *body) {
    double retry_after;
    reply *to = reply_for(b, read_question(b, &api_chat, body));
    assert_int_equal(scheduler_submit(b->scheduler, to, &retry_after), SUBMIT_OK);
    return to;
}

/* {"messages":[{system}, {user}], more}; the system text is n_system lines long. */
static char *question(size_t n_system, const char *user, const char *more) {
    ds4_buffer body = {0};
    bool ok = buffer_append_string(
        &body, "{\"reasoning_effort\":\"none\",\"messages\":[{\"role\":\"system\",\"content\":\"Rules.");
    for (size_t i = 0; ok && i < n_system; i++) {
        char line[64];
        snprintf(line, sizeof line, " Rule %zu: a number like %zu is good.", i, i * 7919 % 1000);
        ok = buffer_append_string(&body, line);
    }
    ok = ok && buffer_append_string(&body, "\"},{\"role\":\"user\",\"content\":\"") &&
         buffer_append_string(&body, user) && buffer_append_string(&body, "\"}]") &&
         buffer_append_string(&body, more) && buffer_append_string(&body, "}");
    assert_true(ok);
    return body.data;
}

typedef struct answer {
    ds4_buffer text[MAX_CHOICES];
    finish_reason finish[MAX_CHOICES];
    size_t n_pieces;
    reply_usage usage;
    int status; /* 0: it came to its end */
} answer;

/* Waits for the end and lets go. */
static answer collect(reply *from) {
    answer all = {0};
    double until = time_seconds() + 300; /* a sanitizer on a busy machine is slow */
    for (bool is_over = false; !is_over && time_seconds() < until;) {
        const reply_event *event;
        if (!reply_take(from, 1, &event)) continue;
        assert_true(event->choice < MAX_CHOICES);
        all.n_pieces += event->kind == REPLY_TEXT || event->kind == REPLY_REASONING;
        if (event->kind == REPLY_TEXT)
            assert_true(buffer_append(&all.text[event->choice], event->bytes, event->n_bytes));
        if (event->kind == REPLY_CHOICE_END) all.finish[event->choice] = event->finish;
        if (event->kind == REPLY_STARTED || event->kind == REPLY_END) all.usage = event->usage;
        if (event->kind == REPLY_FAILED) all.status = event->error.status;
        is_over = event->kind == REPLY_END || event->kind == REPLY_FAILED;
    }
    assert_true(time_seconds() < until);
    reply_release(from);
    return all;
}

static void answer_deinit(answer *all) {
    for (size_t i = 0; i < MAX_CHOICES; i++) ds4_buffer_deinit(&all->text[i]);
}

static answer ask(const bench *b, const char *body) {
    return collect(submit(b, body));
}

static const char *text_of(const answer *all, size_t choice) {
    return all->text[choice].data ? all->text[choice].data : "";
}

static void settle(const bench *b) {
    assert_true(scheduler_is_idle(b->scheduler, 30));
}

/* The likeliest answer, made on an engine of its own with nothing but the prompt. */
static void answer_alone(const bench *b, const char *body, ds4_buffer *text) {
    request *asked = read_question(b, &api_chat, body);
    size_t n_vocab = ds4_model_n_vocab(model);
    ds4_sampling greedy = {.temperature = 0};
    const ds4_engine_options options = {.n_threads = 2};
    ds4_engine *engine;
    ds4_timeline *timeline;
    ds4_sampler *sampler;
    ds4_error error;
    float *logits = calloc(n_vocab, sizeof *logits);
    assert_non_null(logits);
    assert_ok(ds4_engine_new(model, &options, &engine, &error), &error);
    assert_ok(ds4_timeline_new(engine, CONTEXT, &timeline, &error), &error);
    assert_ok(ds4_sampler_new(&greedy, n_vocab, 1, &sampler, &error), &error);
    int32_t id;
    ds4_span span = {timeline, asked->tokens.id, asked->tokens.n, DS4_LOGITS_LAST, logits};
    for (size_t n = 0; n < asked->max_tokens; n++) {
        assert_ok(ds4_engine_evaluate(engine, &span, 1, NULL, NULL, &error), &error);
        id = ds4_sampler_draw(sampler, logits);
        if (id == ds4_tokenizer_eos(ds4_model_tokenizer(model))) break;
        assert_ok(ds4_tokenizer_decode(ds4_model_tokenizer(model), &id, 1, text, &error), &error);
        span = (ds4_span){timeline, &id, 1, DS4_LOGITS_LAST, logits};
    }
    ds4_sampler_free(sampler);
    ds4_timeline_free(timeline);
    ds4_engine_free(engine);
    free(logits);
    request_free(asked);
}

static void rest(double seconds) {
    struct timespec time = {.tv_sec = (time_t)seconds, .tv_nsec = (long)((seconds - floor(seconds)) * 1e9)};
    nanosleep(&time, NULL);
}

/* ---- answers ------------------------------------------------------------------------------------- */

#define GREEDY ",\"temperature\":0,\"max_tokens\":10"

static void conversations_side_by_side_have_the_answers_that_they_have_alone(void **state) {
    (void)state;
    static const char *const users[] = {"Count to ten.", "Name a colour.", "What is seven times eight?", "Say hello."};
    enum { N = 4 };
    scheduler_options options = usual();
    bench b = bench_new(&options, NULL);
    char *body[N];
    reply *to[N];
    ds4_buffer alone[N] = {{0}};
    for (size_t i = 0; i < N; i++) {
        body[i] = question(i * 6, users[i], GREEDY);
        to[i] = submit(&b, body[i]);
    }
    for (size_t i = 0; i < N; i++) {
        answer all = collect(to[i]);
        answer_alone(&b, body[i], &alone[i]);
        assert_int_equal(all.status, 0);
        assert_string_equal(text_of(&all, 0), alone[i].data ? alone[i].data : "");
        answer_deinit(&all);
    }
    /* and when they are found in memory */
    for (size_t i = 0; i < N; i++) {
        answer all = ask(&b, body[i]);
        assert_string_equal(text_of(&all, 0), alone[i].data ? alone[i].data : "");
        assert_true(i == 0 || all.usage.cached == all.usage.prompt - 1);
        ds4_buffer_deinit(&alone[i]);
        answer_deinit(&all);
        free(body[i]);
    }
    bench_free(&b);
}

#define LOOSE ",\"temperature\":2,\"min_p\":0,\"max_tokens\":20"

static void choices_part_behind_one_prompt(void **state) {
    (void)state;
    scheduler_options options = usual();
    bench b = bench_new(&options, NULL);
    char *all_of_them = question(3, "Write random words and letters.", LOOSE ",\"n\":4,\"seed\":5");
    answer all = ask(&b, all_of_them);
    assert_int_equal(all.status, 0);
    assert_int_equal(metrics_get(b.counts, METRIC_PROMPT_TOKENS), all.usage.prompt);
    bool differ = false;
    size_t n_tokens = 0;
    for (size_t i = 0; i < MAX_CHOICES; i++) {
        char more[96];
        snprintf(more, sizeof more, LOOSE ",\"seed\":%zu", 5 + i);
        char *one = question(3, "Write random words and letters.", more);
        answer single = ask(&b, one);
        assert_string_equal(text_of(&single, 0), text_of(&all, i));
        assert_int_equal(single.finish[0], all.finish[i]);
        differ |= strcmp(text_of(&all, 0), text_of(&all, i)) != 0;
        n_tokens += single.usage.answer;
        answer_deinit(&single);
        free(one);
    }
    assert_true(differ);
    assert_int_equal(all.usage.answer, n_tokens);
    answer_deinit(&all);
    free(all_of_them);
    bench_free(&b);
}

static void limits_end_an_answer(void **state) {
    (void)state;
    scheduler_options options = usual();
    options.context_tokens = 128;
    ds4_buffer words = {0};
    assert_true(buffer_append_string(&words, "one two three four five six seven\n---\n"));
    for (int i = 0; i < 200; i++) assert_true(buffer_append_string(&words, "word "));
    bench b = bench_new(&options, words.data);
    char *body = question(0, "Hi", ",\"max_tokens\":5");
    answer all = ask(&b, body);
    assert_int_equal(all.usage.answer, 5);
    assert_int_equal(all.finish[0], FINISH_LENGTH);
    answer_deinit(&all);
    free(body);
    body = question(0, "Hi", "");
    all = ask(&b, body);
    assert_int_equal(all.usage.prompt + all.usage.answer, 128);
    assert_int_equal(all.finish[0], FINISH_LENGTH);
    answer_deinit(&all);
    free(body);
    ds4_buffer_deinit(&words);
    bench_free(&b);
}

static void the_next_turn_finds_the_whole_conversation(void **state) {
    (void)state;
    scheduler_options options = usual();
    bench b = bench_new(&options, "Hello there, friend.\n---\nFine.\n---\nAgain.");
    char *body = question(5, "Hi", "");
    answer first = ask(&b, body);
    assert_string_equal(text_of(&first, 0), "Hello there, friend.");
    assert_int_equal(first.finish[0], FINISH_STOP);
    free(body);
    body = question(
        5,
        "Hi\"},{\"role\":\"assistant\",\"content\":\"Hello there, friend.\"},{\"role\":\"user\",\"content\":\"And now?",
        "");
    answer second = ask(&b, body);
    /* EOS included */
    assert_int_equal(second.usage.cached, first.usage.prompt + first.usage.answer + 1);
    assert_string_equal(text_of(&second, 0), "Fine.");
    answer_deinit(&second);
    free(body);
    /* the question asked anew finds the end of the system part at least */
    body = question(5, "Something else entirely", "");
    second = ask(&b, body);
    assert_true(second.usage.cached >= 60 && second.usage.cached < second.usage.prompt - 2);
    answer_deinit(&second);
    answer_deinit(&first);
    free(body);
    bench_free(&b);
}

static void a_prompt_that_is_spelled_in_other_tokens_is_found_by_its_text(void **state) {
    (void)state;
    scheduler_options options = usual();
    bench b = bench_new(&options, "x\n---\ny\n---\nz");
    const ds4_tokenizer *tokenizer = ds4_model_tokenizer(model);
    static const char letters[] =
        "the other thing that there is in this and the other place where they think that it is";
    ds4_buffer body = {0};
    char number[64];
    snprintf(number, sizeof number, "{\"max_tokens\":1,\"prompt\":[%d,%d", (int)ds4_tokenizer_bos(tokenizer),
             (int)ds4_tokenizer_control_id(tokenizer, "<｜User｜>"));
    assert_true(buffer_append_string(&body, number));
    for (size_t i = 0; letters[i]; i++) {
        ds4_tokens one = {0};
        ds4_error error;
        assert_ok(ds4_tokenizer_encode(tokenizer, letters + i, 1, false, &one, &error), &error);
        assert_int_equal(one.n, 1);
        snprintf(number, sizeof number, ",%d", (int)one.id[0]);
        assert_true(buffer_append_string(&body, number));
        ds4_tokens_deinit(&one);
    }
    snprintf(number, sizeof number, ",%d,%d]}", (int)ds4_tokenizer_control_id(tokenizer, "<｜Assistant｜>"),
             (int)ds4_tokenizer_control_id(tokenizer, "</think>"));
    assert_true(buffer_append_string(&body, number));
    double retry_after;
    reply *to = reply_for(&b, read_question(&b, &api_completions, body.data));
    assert_int_equal(scheduler_submit(b.scheduler, to, &retry_after), SUBMIT_OK);
    answer spelled = collect(to);
    assert_int_equal(spelled.usage.prompt, strlen(letters) + 4);
    answer_deinit(&spelled);
    ds4_buffer_deinit(&body);

    char text[256];
    snprintf(text, sizeof text, "{\"messages\":[{\"role\":\"user\",\"content\":\"%s\"}],\"reasoning_effort\":\"none\"}",
             letters);
    answer found = ask(&b, text);
    assert_int_equal(found.usage.prompt, strlen(letters) + 4);
    assert_int_equal(found.usage.cached, strlen(letters) + 3);
    assert_string_equal(text_of(&found, 0), "y");
    answer_deinit(&found);
    bench_free(&b);
}

/* ---- sharing ------------------------------------------------------------------------------------- */

static void a_beginning_that_two_requests_have_in_common_is_computed_once(void **state) {
    (void)state;
    scheduler_options options = usual();
    bench b = bench_new(&options, "one\n---\ntwo\n---\nthree");
    char *first = question(95, "First question", ""), *second = question(95, "Second question", ""),
         *other = question(2, "Third", "");
    reply *a = submit(&b, first), *c = submit(&b, second), *d = submit(&b, other);
    answer one = collect(a), two = collect(c), three = collect(d);
    assert_true(one.usage.prompt > 1200);
    assert_int_equal(one.usage.cached, 0);
    assert_true(two.usage.cached + 30 > two.usage.prompt);
    /* and the third did not wait for that */
    assert_string_equal(text_of(&one, 0), "one");
    assert_string_equal(text_of(&three, 0), "two");
    assert_string_equal(text_of(&two, 0), "three");
    answer_deinit(&one);
    answer_deinit(&two);
    answer_deinit(&three);
    free(first);
    free(second);
    free(other);
    bench_free(&b);
}

static void a_short_prompt_does_not_wait_for_a_long_one(void **state) {
    (void)state;
    scheduler_options options = usual();
    bench b = bench_new(&options, "long\n---\nshort");
    char *body = question(80, "Long", ""), *brief = question(0, "Short", "");
    reply *slow = submit(&b, body);
    answer quick = ask(&b, brief);
    assert_string_equal(text_of(&quick, 0), "short");
    const reply_event *event;
    assert_true(reply_take(slow, 0, &event));
    assert_int_equal(event->kind, REPLY_STARTED);
    assert_false(reply_take(slow, 0, &event));
    answer_deinit(&quick);
    answer last = collect(slow);
    assert_string_equal(text_of(&last, 0), "long");
    answer_deinit(&last);
    free(body);
    free(brief);
    bench_free(&b);
}

static void a_stream_goes_on_while_a_long_prompt_is_read(void **state) {
    (void)state;
    scheduler_options options = usual();
    options.step_seconds = 0.05;
    ds4_buffer words = {0};
    for (int i = 0; i < 400; i++) assert_true(buffer_append_string(&words, "word "));
    assert_true(buffer_append_string(&words, "\n---\nlong"));
    bench b = bench_new(&options, words.data);
    char *body = question(60, "Long", ""), *brief = question(0, "Short", "");
    reply *streamed = submit(&b, brief);
    const reply_event *event = NULL;
    for (int i = 0; i < 5; i++) assert_true(reply_take(streamed, 10, &event));
    reply *slow = submit(&b, body);
    assert_true(reply_take(slow, 10, &event));
    assert_int_equal(event->kind, REPLY_STARTED);
    while (reply_take(streamed, 0, &event)) continue;
    answer last = collect(slow);
    size_t n = 0;
    while (reply_take(streamed, 0, &event)) n++;
    assert_true(n >= 5);
    reply_cancel(streamed);
    reply_release(streamed);
    answer_deinit(&last);
    free(body);
    free(brief);
    ds4_buffer_deinit(&words);
    bench_free(&b);
}

/* ---- clients that go, or do not read -------------------------------------------------------------- */

static void a_hang_up_stops_a_prompt_between_two_layers_and_keeps_what_is_computed(void **state) {
    (void)state;
    scheduler_options options = usual();
    bench b = bench_new(&options, NULL);
    char *body = question(60, "Long", GREEDY);
    size_t n_layers = (size_t)b.engine->backend->hparams->n_layers;
    reply *to = reply_for(&b, read_question(&b, &api_chat, body));
    hook.to = to;
    atomic_store(&hook.cancel_at, n_layers + 2); /* in the second pass */
    double retry_after;
    assert_int_equal(scheduler_submit(b.scheduler, to, &retry_after), SUBMIT_OK);
    settle(&b);
    assert_int_equal(atomic_load(&hook.n_layers), n_layers + 2);
    assert_int_equal(metrics_get(b.counts, METRIC_CANCELLED), 1);
    reply_release(to);
    answer all = ask(&b, body);
    assert_int_equal(all.usage.cached, 512);
    ds4_buffer alone = {0};
    answer_alone(&b, body, &alone);
    assert_string_equal(text_of(&all, 0), alone.data);
    ds4_buffer_deinit(&alone);
    answer_deinit(&all);
    free(body);
    bench_free(&b);
}

static void a_hang_up_in_an_answer_frees_its_place(void **state) {
    (void)state;
    scheduler_options options = usual();
    options.parallel = 1;
    ds4_buffer words = {0};
    for (int i = 0; i < 2000; i++) assert_true(buffer_append_string(&words, "word "));
    bench b = bench_new(&options, words.data);
    char *body = question(5, "Hi", "");
    reply *to = submit(&b, body), *waiting = submit(&b, body), *gone = submit(&b, body);
    const reply_event *event;
    for (int i = 0; i < 5; i++) assert_true(reply_take(to, 10, &event));
    reply_cancel(gone); /* in the queue */
    reply_release(gone);
    reply_cancel(to);
    reply_release(to);
    answer all = collect(waiting);
    assert_string_equal(text_of(&all, 0), SCRIPT_END_TEXT);
    settle(&b);
    assert_int_equal(metrics_get(b.counts, METRIC_CANCELLED), 2);
    assert_int_equal(metrics_get(b.counts, METRIC_RUNNING), 0);
    assert_int_equal(metrics_get(b.counts, METRIC_WAITING), 0);
    answer_deinit(&all);
    free(body);
    ds4_buffer_deinit(&words);
    bench_free(&b);
}

/* Whose client has not read what is there. */
static reply *submit_unread(const bench *b, const char *body) {
    static char much[REPLY_LIMIT_BYTES];
    double retry_after;
    reply *to = reply_for(b, read_question(b, &api_chat, body));
    const reply_event event = {.kind = REPLY_REASONING, .bytes = much, .n_bytes = sizeof much};
    assert_true(reply_put(to, &event));
    assert_true(reply_is_full(to));
    assert_int_equal(scheduler_submit(b->scheduler, to, &retry_after), SUBMIT_OK);
    return to;
}

static void an_answer_that_nobody_reads_waits_and_others_go_on(void **state) {
    (void)state;
    scheduler_options options = usual();
    bench b = bench_new(&options, "unread\n---\nread");
    char *body = question(5, "Hi", ""), *other = question(0, "Hello", "");
    reply *to = submit_unread(&b, body);
    rest(0.5); /* it could be done by then */
    answer quick = ask(&b, other);
    assert_string_equal(text_of(&quick, 0), "read");
    assert_int_equal(metrics_get(b.counts, METRIC_ANSWER_TOKENS), quick.usage.answer);
    answer_deinit(&quick);
    answer late = collect(to);
    assert_string_equal(text_of(&late, 0), "unread");
    answer_deinit(&late);
    free(body);
    free(other);
    bench_free(&b);
}

static void a_full_queue_turns_requests_away(void **state) {
    (void)state;
    scheduler_options options = usual();
    options.parallel = 1;
    options.queue = 1;
    bench b = bench_new(&options, "one\n---\ntwo");
    char *body = question(0, "Hi", "");
    reply *running = submit_unread(&b, body);
    reply *waiting = submit(&b, body);
    reply *refused = reply_for(&b, read_question(&b, &api_chat, body));
    double retry_after = 0;
    assert_int_equal(scheduler_submit(b.scheduler, refused, &retry_after), SUBMIT_FULL);
    assert_true(retry_after >= 1 && retry_after <= 60);
    reply_release(refused);
    reply_release(refused);
    answer one = collect(running), two = collect(waiting);
    assert_string_equal(text_of(&two, 0), "two");
    answer_deinit(&one);
    answer_deinit(&two);
    free(body);
    bench_free(&b);
}

/* ---- memory and failures ------------------------------------------------------------------------- */

static void nothing_is_kept_beyond_the_budget(void **state) {
    (void)state;
    scheduler_options options = usual();
    options.kv_ram_bytes = 0;
    bench b = bench_new(&options, "one\n---\ntwo\n---\nthree");
    char *body = question(20, "Hi", "");
    for (int i = 0; i < 2; i++) {
        answer all = ask(&b, body);
        assert_int_equal(all.usage.cached, 0);
        answer_deinit(&all);
    }
    settle(&b);
    assert_int_equal(metrics_get(b.counts, METRIC_CHECKPOINTS), 0);
    assert_int_equal(ds4_engine_held_bytes(b.engine), 0);
    free(body);
    bench_free(&b);
}

static void without_memory_old_conversations_go_and_then_the_largest_request(void **state) {
    (void)state;
    scheduler_options options = usual();
    bench b = bench_new(&options, "one\n---\ntwo\n---\nthree\n---\nfour");
    char *body = question(20, "Hi", ""), *other = question(40, "Hello", "");
    answer all = ask(&b, body);
    answer_deinit(&all);
    settle(&b);
    double n_before = metrics_get(b.counts, METRIC_CHECKPOINTS);
    assert_true(n_before >= 2);
    atomic_store(&hook.n_failing_pages, 1); /* the timeline's rings */
    all = ask(&b, other);
    assert_int_equal(all.status, 0);
    assert_string_equal(text_of(&all, 0), "two");
    answer_deinit(&all);
    settle(&b);
    atomic_store(&hook.n_good_pages, 1); /* the rings are there, a step's rows are not */
    atomic_store(&hook.n_failing_pages, 1);
    all = ask(&b, body);
    assert_int_equal(all.status, 0);
    assert_string_equal(text_of(&all, 0), "three");
    answer_deinit(&all);
    settle(&b);
    assert_int_equal(atomic_load(&hook.n_failing_pages), 0);
    atomic_store(&hook.n_failing_pages, 1000000);
    all = ask(&b, other);
    assert_int_equal(all.status, 503);
    answer_deinit(&all);
    atomic_store(&hook.n_failing_pages, 0);
    all = ask(&b, other);
    assert_int_equal(all.status, 0);
    assert_string_equal(text_of(&all, 0), "four"); /* no block was lost */
    answer_deinit(&all);
    free(body);
    free(other);
    bench_free(&b);
}

static void a_failure_of_the_engine_fails_the_step_and_not_the_server(void **state) {
    (void)state;
    scheduler_options options = usual();
    ds4_buffer words = {0};
    assert_true(buffer_append_string(&words, "one\n---\ntwo\n---\n"));
    for (int i = 0; i < 2000; i++) assert_true(buffer_append_string(&words, "word "));
    bench b = bench_new(&options, words.data);
    char *body = question(2, "Hi", "");
    atomic_store(&hook.n_failing_steps, 1);
    answer all = ask(&b, body);
    assert_int_equal(all.status, 500);
    answer_deinit(&all);
    all = ask(&b, body);
    assert_int_equal(all.status, 0);
    answer_deinit(&all);
    /* what was said until then is counted */
    settle(&b);
    double before = metrics_get(b.counts, METRIC_ANSWER_TOKENS);
    reply *to = submit(&b, body);
    const reply_event *event;
    for (int i = 0; i < 5; i++) assert_true(reply_take(to, 10, &event)); /* its beginning and four pieces */
    atomic_store(&hook.n_failing_steps, 1);
    all = collect(to);
    assert_int_equal(all.status, 500);
    answer_deinit(&all);
    settle(&b);
    assert_true(metrics_get(b.counts, METRIC_ANSWER_TOKENS) >= before + 4);
    free(body);
    ds4_buffer_deinit(&words);
    bench_free(&b);
}

/* ---- the end ------------------------------------------------------------------------------------- */

static void draining_takes_no_more_and_ends_what_runs(void **state) {
    (void)state;
    scheduler_options options = usual();
    bench b = bench_new(&options, "one\n---\ntwo");
    char *body = question(5, "Hi", "");
    reply *to = submit(&b, body), *refused = reply_for(&b, read_question(&b, &api_chat, body));
    double retry_after;
    scheduler_drain(b.scheduler);
    assert_int_equal(scheduler_submit(b.scheduler, refused, &retry_after), SUBMIT_DRAINING);
    reply_release(refused);
    reply_release(refused);
    answer all = collect(to);
    assert_string_equal(text_of(&all, 0), "one");
    answer_deinit(&all);
    settle(&b);
    free(body);
    bench_free(&b);
}

static void what_still_runs_at_the_end_is_told_so(void **state) {
    (void)state;
    scheduler_options options = usual();
    options.parallel = 1;
    ds4_buffer words = {0};
    for (int i = 0; i < 2000; i++) assert_true(buffer_append_string(&words, "word "));
    bench b = bench_new(&options, words.data);
    char *body = question(5, "Hi", "");
    reply *running = submit(&b, body), *waiting = submit(&b, body);
    const reply_event *event;
    for (int i = 0; i < 3; i++) assert_true(reply_take(running, 10, &event));
    bench_free(&b);
    answer one = collect(running), two = collect(waiting);
    assert_int_equal(one.status, 503);
    assert_int_equal(two.status, 503);
    answer_deinit(&one);
    answer_deinit(&two);
    free(body);
    ds4_buffer_deinit(&words);
}

static int open_model(void **state) {
    (void)state;
    ds4_error error;
    json_object_seed(0);
    return ds4_model_open(NANO, DS4_MODEL_FULL, &model, &error) == DS4_OK ? 0 : -1;
}

static int close_model(void **state) {
    (void)state;
    ds4_model_free(model);
    return 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(conversations_side_by_side_have_the_answers_that_they_have_alone),
        cmocka_unit_test(choices_part_behind_one_prompt),
        cmocka_unit_test(limits_end_an_answer),
        cmocka_unit_test(the_next_turn_finds_the_whole_conversation),
        cmocka_unit_test(a_prompt_that_is_spelled_in_other_tokens_is_found_by_its_text),
        cmocka_unit_test(a_beginning_that_two_requests_have_in_common_is_computed_once),
        cmocka_unit_test(a_short_prompt_does_not_wait_for_a_long_one),
        cmocka_unit_test(a_stream_goes_on_while_a_long_prompt_is_read),
        cmocka_unit_test(a_hang_up_stops_a_prompt_between_two_layers_and_keeps_what_is_computed),
        cmocka_unit_test(a_hang_up_in_an_answer_frees_its_place),
        cmocka_unit_test(an_answer_that_nobody_reads_waits_and_others_go_on),
        cmocka_unit_test(a_full_queue_turns_requests_away),
        cmocka_unit_test(nothing_is_kept_beyond_the_budget),
        cmocka_unit_test(without_memory_old_conversations_go_and_then_the_largest_request),
        cmocka_unit_test(a_failure_of_the_engine_fails_the_step_and_not_the_server),
        cmocka_unit_test(draining_takes_no_more_and_ends_what_runs),
        cmocka_unit_test(what_still_runs_at_the_end_is_told_so),
    };
    return cmocka_run_group_tests_name("server_scheduler", tests, open_model, close_model);
}
