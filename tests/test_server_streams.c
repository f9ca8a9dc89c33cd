/*
 * What goes over the wire, byte for byte: the same lists of events through each API, as a stream and as a body, against
 * tests/data/server/API.txt. After a change that is meant, "build/tests/test_server_streams --write" writes the files;
 * what changed in them is then read before it is kept.
 */
#include "base/memory.h"
#include "server/api.h"
#include "test.h"
#include "text/exact_json.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define VOCABULARY "tests/data/vocab.gguf"
#define CREATED 1767225600 /* 2026-01-01 */

static bool write_files;
static ds4_model *model;

/* Stand in for the library's: names that show their order. */
static int n_ids;

void ids_next(ids *names, const char *prefix, char out[ID_BYTES]) {
    (void)names;
    snprintf(out, ID_BYTES, "%.23s%d", prefix, ++n_ids);
}

/* ---- scripts ------------------------------------------------------------------------------------- */

enum { KEEP_ALIVE = REPLY_FAILED + 1, MAX_EVENTS = 16 };
enum { TOOL_F, TOOL_PATCH, TOOL_G, TOOL_FIND, N_TOOLS };

typedef struct script_event {
    int kind;
    size_t choice, call, tool;
    const char *bytes;
    finish_reason finish;
    const char *stop_sequence, *problem;
    bool broken;
    const reply_logprob *logprob;
    size_t n_logprobs;
} script_event;

typedef struct event_script {
    const char *name;
    script_event event[MAX_EVENTS];
    size_t n;          /* choices; 0: 1 */
    size_t max_tokens; /* an answer has 7 */
    bool include_usage, logprobs, summary, encrypted;
} event_script;

#define STARTED {.kind = REPLY_STARTED}
#define WAITED {.kind = KEEP_ALIVE}
#define REASONING(text) {.kind = REPLY_REASONING, .bytes = text}
#define TEXT(text) {.kind = REPLY_TEXT, .bytes = text}
#define CALL(number, which, name) {.kind = REPLY_CALL_START, .call = number, .tool = which, .bytes = name}
#define ARGUMENTS(number, text) {.kind = REPLY_ARGUMENTS, .call = number, .bytes = text}
#define CALL_END(number) {.kind = REPLY_CALL_END, .call = number}
#define BROKEN(number) {.kind = REPLY_CALL_END, .call = number, .broken = true}
#define FINISH(why) {.kind = REPLY_CHOICE_END, .finish = why}
#define END {.kind = REPLY_END}

static const reply_logprob two_tokens[] = {
    {.id = 19923, .logprob = -0.5f, .top = {{19923, -0.5f}, {5726, -1.25f}}, .n_top = 2},
    {.id = 223, .logprob = -0.0f, .top = {{223, -0.0f}, {201, -16.0f}}, .n_top = 2},
};

static const event_script scripts[] = {
    {.name = "text",
     .event = {STARTED, TEXT("Hello"), TEXT(", \"wörld\"\n"), FINISH(FINISH_STOP), END},
     .include_usage = true},
    {.name = "reasoning",
     .event = {STARTED, REASONING("Let me"), REASONING(" see."), TEXT("Yes."), FINISH(FINISH_STOP), END},
     .encrypted = true},
    {.name = "a summary of reasoning",
     .event = {STARTED, REASONING("Hm."), TEXT("Yes."), FINISH(FINISH_STOP), END},
     .summary = true},
    {.name = "two calls",
     .event = {STARTED, REASONING("A call."), TEXT("I look."), CALL(0, TOOL_F, "f"), ARGUMENTS(0, "{\"x\": \"a"),
               ARGUMENTS(0, "b\"}"), CALL_END(0), CALL(1, TOOL_F, "f"), ARGUMENTS(1, "{}"), CALL_END(1),
               FINISH(FINISH_CALLS), END}},
    {.name = "a custom tool",
     .event = {STARTED, CALL(0, TOOL_PATCH, "patch"), ARGUMENTS(0, "{\"input\": \"*** Begin"), ARGUMENTS(0, "\\n\"}"),
               CALL_END(0), FINISH(FINISH_CALLS), END}},
    {.name = "a tool of a namespace, and a search for tools",
     .event = {STARTED, CALL(0, TOOL_G, "ns__g"), ARGUMENTS(0, "{\"x\": 1}"), CALL_END(0),
               CALL(1, TOOL_FIND, "tool_search"), ARGUMENTS(1, "{\"query\": \"q\"}"), CALL_END(1), FINISH(FINISH_CALLS),
               END}},
    {.name = "a tool that is not there",
     .event = {STARTED, CALL(0, N_TOOLS, "h"), ARGUMENTS(0, "{}"), CALL_END(0), FINISH(FINISH_CALLS), END}},
    {.name = "a call that is cut",
     .event = {STARTED,
               CALL(0, TOOL_F, "f"),
               ARGUMENTS(0, "{\"x\": \"a"),
               BROKEN(0),
               {.kind = REPLY_CHOICE_END, .finish = FINISH_LENGTH, .problem = "invalid_tool_call: cut by the limit"},
               END}},
    {.name = "text behind a broken call",
     .event = {STARTED,
               TEXT("a"),
               CALL(0, TOOL_F, "f"),
               BROKEN(0),
               TEXT("b"),
               {.kind = REPLY_CHOICE_END, .finish = FINISH_CALLS, .problem = "invalid_tool_call: no closing tag"},
               END}},
    {.name = "a stop sequence",
     .event = {STARTED,
               TEXT("One"),
               {.kind = REPLY_CHOICE_END, .finish = FINISH_STOP_SEQUENCE, .stop_sequence = "END"},
               END}},
    {.name = "a limit in the reasoning",
     .event = {STARTED, REASONING("Hm"), FINISH(FINISH_LENGTH), END},
     .max_tokens = 7},
    {.name = "the context is full", .event = {STARTED, TEXT("Hm"), FINISH(FINISH_LENGTH), END}, .max_tokens = 8},
    {.name = "JSON that is none",
     .event = {STARTED,
               TEXT("{"),
               {.kind = REPLY_CHOICE_END, .finish = FINISH_STOP, .problem = "invalid_json: line 1: end"},
               END}},
    {.name = "nothing", .event = {STARTED, FINISH(FINISH_STOP), END}},
    {.name = "logprobs",
     .event = {STARTED,
               {.kind = REPLY_TEXT, .bytes = "Hello ", .logprob = two_tokens, .n_logprobs = 2},
               FINISH(FINISH_STOP),
               END},
     .logprobs = true},
    {.name = "two choices",
     .event = {STARTED,
               TEXT("a"),
               {.kind = REPLY_TEXT, .choice = 1, .bytes = "b"},
               FINISH(FINISH_STOP),
               {.kind = REPLY_CHOICE_END, .choice = 1, .finish = FINISH_LENGTH},
               END},
     .n = 2},
    {.name = "waiting", .event = {WAITED, STARTED, WAITED, TEXT("a"), WAITED, FINISH(FINISH_STOP), END}},
    {.name = "a failure", .event = {STARTED, TEXT("a"), {.kind = REPLY_FAILED}}},
    {.name = "a failure before all", .event = {{.kind = REPLY_FAILED}}},
};
#define N_SCRIPTS (sizeof scripts / sizeof *scripts)

/* ---- playing ------------------------------------------------------------------------------------- */

static char *copy(const char *text) {
    char *made = malloc(strlen(text) + 1);
    assert_non_null(made);
    return strcpy(made, text);
}

static void add_tool(request *asked, const char *name, const char *api_name, const char *space, tool_kind kind) {
    assert_true(request_add_tool(asked, (request_tool){.name = copy(name),
                                                       .api_name = copy(api_name),
                                                       .api_namespace = space ? copy(space) : NULL,
                                                       .kind = kind,
                                                       .schema = json_pack("{s:s}", "name", name)}));
}

/* A Responses object repeats what was asked. */
static json_t *echo_of(bool everything) {
    static const server_facts facts = {.context_tokens = 1000, .parallel = 1, .n_vocab = 10, .model_id = "ds4-test"};
    json_t *body =
        json_loads(everything ? "{\"input\":\"hi\",\"instructions\":\"Be brief.\",\"max_output_tokens\":50,"
                                "\"tools\":[{\"type\":\"function\",\"name\":\"f\"}],\"tool_choice\":\"none\","
                                "\"metadata\":{\"a\":\"b\"},\"text\":{\"format\":{\"type\":\"json_object\"}},"
                                "\"reasoning\":{\"effort\":\"low\",\"summary\":\"auto\"}}"
                              : "{\"input\":\"hi\"}",
                   0, NULL);
    request *asked = request_new();
    problem why;
    assert_true(api_responses.read(body, &facts, asked, &why));
    json_t *echo = json_incref(asked->echo);
    request_free(asked);
    json_decref(body);
    return echo;
}

static request *new_request(const api *of, const event_script *script, bool streamed) {
    request *asked = request_new();
    assert_non_null(asked);
    asked->api = of;
    asked->model = copy("ds4-test");
    asked->sampling = DS4_SAMPLING_DEFAULT;
    asked->sampling.temperature = 0.7f;
    if (script->n) asked->n = script->n;
    asked->max_tokens = script->max_tokens;
    asked->stream = streamed;
    asked->include_usage = script->include_usage;
    asked->logprobs = script->logprobs;
    asked->wants_summary = script->summary;
    asked->wants_encrypted = script->encrypted;
    if (of == &api_responses) asked->echo = echo_of(script == scripts);
    add_tool(asked, "f", "f", NULL, TOOL_FUNCTION);
    add_tool(asked, "patch", "patch", NULL, TOOL_CUSTOM);
    add_tool(asked, "ns__g", "g", "ns", TOOL_FUNCTION);
    add_tool(asked, "tool_search", "tool_search", NULL, TOOL_SEARCH);
    return asked;
}

static reply_event event_of(const script_event *from) {
    reply_event event = {.kind = (reply_event_kind)from->kind,
                         .choice = from->choice,
                         .call = from->call,
                         .bytes = from->bytes,
                         .n_bytes = from->bytes ? strlen(from->bytes) : 0,
                         .tool = from->tool,
                         .broken = from->broken,
                         .finish = from->finish,
                         .stop_sequence = from->stop_sequence,
                         .problem = from->problem,
                         .logprob = from->logprob,
                         .n_logprobs = from->n_logprobs};
    snprintf(event.id, sizeof event.id, "call_%zu", from->call);
    if (from->kind == REPLY_STARTED || from->kind == REPLY_END) event.usage = (reply_usage){.prompt = 20, .cached = 15};
    if (from->kind == REPLY_END) event.usage.answer = 7, event.usage.reasoning = 3;
    event.error.status = 500;
    strcpy(event.error.message, "the logits are not finite");
    return event;
}

/* One event of the script; false if there is no memory. *ended: nothing follows. */
static bool play_event(const api *of, const script_event *from, stream *played, bool *ended) {
    bool streamed = played->log.request->stream;
    if (from->kind == KEEP_ALIVE) return !streamed || of->keep_alive(played);
    reply_event event = event_of(from);
    if (!stream_take(played, &event)) return false;
    *ended = event.kind == REPLY_END || event.kind == REPLY_FAILED;
    if (streamed || !*ended) return true;
    problem why = {0};
    problem_of_event(&event, &why);
    return api_write_json(&played->out, event.kind == REPLY_END ? of->body(played) : of->error(&why, "req_1"));
}

/* Plays the script; the bytes that the client gets are appended. False if there is no memory. */
static bool play(const api *of, const event_script *script, const request *asked, ds4_buffer *out) {
    stream played;
    n_ids = 0;
    bool ok = stream_init(&played, asked, ds4_model_tokenizer(model), NULL, CREATED), ended = false;
    ok = ok && (!asked->stream || of->begin(&played));
    for (size_t i = 0; i < MAX_EVENTS && ok && !ended; i++) ok = play_event(of, &script->event[i], &played, &ended);
    if (ok) assert_true(buffer_append(out, played.out.data, played.out.n_bytes));
    stream_free(&played);
    return ok;
}

/* Completions have only text; the newer APIs have one choice. */
static bool can_play(const api *of, const event_script *script) {
    if (script->n > 1 && (of == &api_responses || of == &api_messages)) return false;
    for (size_t i = 0; i < MAX_EVENTS; i++) {
        int kind = script->event[i].kind;
        if (of == &api_completions && (kind == REPLY_REASONING || kind == REPLY_CALL_START)) return false;
    }
    return true;
}

static void play_all(const api *of, ds4_buffer *out) {
    for (size_t i = 0; i < N_SCRIPTS; i++) {
        if (!can_play(of, &scripts[i])) continue;
        for (int streamed = 1; streamed >= 0; streamed--) {
            char title[100];
            snprintf(title, sizeof title, "### %s, %s\n", scripts[i].name, streamed ? "stream" : "body");
            assert_true(buffer_append_string(out, title));
            request *asked = new_request(of, &scripts[i], streamed);
            assert_true(play(of, &scripts[i], asked, out));
            request_free(asked);
            assert_true(buffer_append_string(out, streamed ? "" : "\n\n"));
        }
    }
}

/* Fails with the first line that differs. */
static void compare(const char *path, const ds4_buffer *got, const char *expected) {
    size_t same = 0;
    while (got->data[same] && got->data[same] == expected[same]) same++;
    if (got->data[same] == expected[same]) return;
    while (same && got->data[same - 1] != '\n') same--;
    size_t line = 1;
    for (size_t i = 0; i < same; i++) line += got->data[i] == '\n';
    fail_msg("%s:%zu\n  is       %.*s\n  expected %.*s", path, line, (int)strcspn(got->data + same, "\n"),
             got->data + same, (int)strcspn(expected + same, "\n"), expected + same);
}

static void check_api(const api *of) {
    char path[100];
    snprintf(path, sizeof path, "tests/data/server/%s.txt", of->name);
    ds4_buffer got = {0};
    play_all(of, &got);
    FILE *file = fopen(path, write_files ? "wb" : "rb");
    assert_non_null(file);
    if (write_files) {
        assert_int_equal(fwrite(got.data, 1, got.n_bytes, file), got.n_bytes);
    } else {
        char *expected = calloc(1, 1 << 20);
        assert_non_null(expected);
        assert_true(fread(expected, 1, (1 << 20) - 1, file) > 0);
        compare(path, &got, expected);
        free(expected);
    }
    assert_int_equal(fclose(file), 0);
    ds4_buffer_deinit(&got);
}

static void chat_completions_are_written_as_documented(void **state) {
    (void)state;
    check_api(&api_chat);
}

static void completions_are_written_as_documented(void **state) {
    (void)state;
    check_api(&api_completions);
}

static void responses_are_written_as_documented(void **state) {
    (void)state;
    check_api(&api_responses);
}

static void messages_are_written_as_documented(void **state) {
    (void)state;
    check_api(&api_messages);
}

/* What the model or a client wrote comes back as that number, and in as few digits. */
static void numbers_keep_their_value(void **state) {
    (void)state;
    static const char text[] = "{\"a\":[0.1,3.141592653589793,0.30000000000000004,1.7976931348623157e+308,1e-05,1.0,"
                               "9007199254740993,-7,true,null,\"\\u0000i7\"]}";
    ds4_buffer out = {0};
    assert_true(api_write_json(&out, json_loads(text, JSON_ALLOW_NUL, NULL)));
    assert_string_equal(out.data, text);
    static const char long_integer[] = "{\"a\":[12345678901234567890,-9223372036854775809,\"12345678901234567890\"]}";
    json_t *read = NULL;
    ds4_error error;
    buffer_clear(&out);
    assert_ok(exact_json_read(long_integer, strlen(long_integer), "text", &read, &error), &error);
    assert_true(api_write_json(&out, fields_plain(read)));
    assert_string_equal(out.data, long_integer);
    json_decref(read);
    ds4_buffer_deinit(&out);
}

/* ---- without memory ------------------------------------------------------------------------------ */

static long until_failure = -1; /* allocations; < 0: none fails */
static bool for_ever;           /* all behind it fail, too */

static long n_held; /* allocations that were not freed */

static void *failing_malloc(size_t n_bytes) {
    if (until_failure != 0) {
        if (until_failure > 0) until_failure--;
        n_held++;
        return malloc(n_bytes);
    }
    if (!for_ever) until_failure = -1;
    return NULL;
}

static void counting_free(void *memory) {
    if (memory) n_held--;
    free(memory);
}

static bool has_calls(const event_script *script) {
    for (size_t i = 0; i < MAX_EVENTS; i++)
        if (script->event[i].kind == REPLY_CALL_START) return true;
    return false;
}

/* Whichever allocation of JSON fails, the answer is either right or none. */
static void check_without_memory(const api *of, const event_script *script, bool streamed) {
    request *asked = new_request(of, script, streamed);
    ds4_buffer whole = {0}, got = {0};
    assert_true(play(of, script, asked, &whole));
    for (long n = 0;; n++) {
        buffer_clear(&got);
        until_failure = n;
        /* Jansson cannot tell text without memory from text that is no JSON: arguments would stay text */
        for_ever = has_calls(script);
        long before = n_held;
        bool ok = play(of, script, asked, &got), failed = until_failure <= 0;
        until_failure = -1;
        if (n_held != before)
            fail_msg("%s of %s after %ld allocations: %ld are lost", script->name, of->name, n, n_held - before);
        if (ok && (got.n_bytes != whole.n_bytes || memcmp(got.data, whole.data, whole.n_bytes) != 0))
            fail_msg("%s of %s after %ld allocations: %s", script->name, of->name, n, got.data);
        if (!failed) break;
    }
    ds4_buffer_deinit(&whole);
    ds4_buffer_deinit(&got);
    request_free(asked);
}

static void an_answer_without_memory_is_none(void **state) {
    (void)state;
    static const api *const all[] = {&api_chat, &api_completions, &api_responses, &api_messages};
    json_set_alloc_funcs(failing_malloc, counting_free);
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        for (size_t k = 0; k < N_SCRIPTS; k++)
            for (int streamed = 0; streamed < 2 && can_play(all[i], &scripts[k]); streamed++)
                check_without_memory(all[i], &scripts[k], streamed);
    json_set_alloc_funcs(malloc, free);
}

int main(int argc, char **argv) {
    write_files = argc == 2 && strcmp(argv[1], "--write") == 0;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(chat_completions_are_written_as_documented),
        cmocka_unit_test(completions_are_written_as_documented),
        cmocka_unit_test(responses_are_written_as_documented),
        cmocka_unit_test(messages_are_written_as_documented),
        cmocka_unit_test(numbers_keep_their_value),
        cmocka_unit_test(an_answer_without_memory_is_none),
    };
    ds4_error error;
    if (ds4_model_open(VOCABULARY, DS4_MODEL_TEXT, &model, &error)) return 1;
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    ds4_model_free(model);
    return failed;
}
