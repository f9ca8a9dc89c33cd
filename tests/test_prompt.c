#include "base/memory.h"
#include "ds4.h"
#include "text/prompt.h"

#include <jansson.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define BOS "<｜begin▁of▁sentence｜>"
#define EOS "<｜end▁of▁sentence｜>"
#define USER "<｜User｜>"
#define ASSISTANT "<｜Assistant｜>"
#define REMINDER "<｜latest_reminder｜>"
#define THINK ASSISTANT "<think>"
#define CHAT ASSISTANT "</think>"

static const char *const control_string[] = {BOS,
                                             EOS,
                                             USER,
                                             ASSISTANT,
                                             REMINDER,
                                             "<think>",
                                             "</think>",
                                             "｜DSML｜",
                                             "<｜action｜>",
                                             "<｜query｜>",
                                             "<｜authority｜>",
                                             "<｜domain｜>",
                                             "<｜title｜>",
                                             "<｜read_url｜>"};
#define N_CONTROL (sizeof control_string / sizeof *control_string)

/* ---- a tokenizer of bytes ------------------------------------------------------------------------ */

/* Stands in for the library's: a byte is its own id, control strings have ids from 1000 on. special must never
 * be asked for. The tokenizer itself is only a pointer to the control token that it lacks. */
static int n_runs;

ds4_status ds4_tokenizer_encode(const ds4_tokenizer *tokenizer, const char *text, size_t n_bytes, bool special,
                                ds4_tokens *tokens, ds4_error *error) {
    (void)tokenizer;
    assert_false(special);
    n_runs++;
    for (size_t i = 0; i < n_bytes; i++) {
        int32_t id = (unsigned char)text[i];
        ds4_status status = ds4_tokens_append(tokens, &id, 1, error);
        if (status) return status;
    }
    return DS4_OK;
}

int32_t ds4_tokenizer_control_id(const ds4_tokenizer *tokenizer, const char *string) {
    for (size_t i = 0; i < N_CONTROL; i++)
        if (strcmp(string, control_string[i]) == 0 && strcmp(string, (const char *)tokenizer) != 0)
            return 1000 + (int32_t)i;
    return -1;
}

bool ds4_tokenizer_is_control(const ds4_tokenizer *tokenizer, int32_t id) {
    (void)tokenizer;
    return id >= 1000 && (size_t)id < 1000 + N_CONTROL;
}

ds4_status ds4_tokenizer_decode(const ds4_tokenizer *tokenizer, const int32_t *id, size_t n, ds4_buffer *text,
                                ds4_error *error) {
    (void)error;
    for (size_t i = 0; i < n; i++) {
        char byte = (char)id[i];
        if (!ds4_tokenizer_is_control(tokenizer, id[i]) && (id[i] < 0 || id[i] > 255)) return DS4_ERROR_ARGUMENT;
        bool ok = ds4_tokenizer_is_control(tokenizer, id[i]) ? buffer_append_string(text, control_string[id[i] - 1000])
                                                             : buffer_append(text, &byte, 1);
        if (!ok) return DS4_ERROR_MEMORY;
    }
    return DS4_OK;
}

/* ---- helpers ------------------------------------------------------------------------------------- */

static void render(const char *request, ds4_prompt *prompt) {
    ds4_error error = {{0}};
    if (ds4_prompt_render(request, strlen(request), prompt, &error)) fail_msg("%s: %s", request, error.message);
}

static void expect(const char *request, const char *wanted) {
    ds4_prompt prompt = {0};
    render(request, &prompt);
    if (strcmp(prompt.text.data, wanted) != 0)
        fail_msg("%s\ngave\n%s\nexpected\n%s", request, prompt.text.data, wanted);
    ds4_prompt_deinit(&prompt);
}

/* Renders messages (the inside of the array) in chat mode. */
static void expect_chat(const char *messages, const char *wanted) {
    char request[4096];
    assert_true(snprintf(request, sizeof request, "{\"reasoning_effort\": \"none\", \"messages\": [%s]}", messages) <
                (int)sizeof request);
    expect(request, wanted);
}

static void expect_thinking(const char *messages, const char *wanted) {
    char request[4096];
    assert_true(snprintf(request, sizeof request, "{\"messages\": [%s]}", messages) < (int)sizeof request);
    expect(request, wanted);
}

static void expect_error(const char *request, const char *wanted) {
    ds4_prompt prompt = {0};
    ds4_error error = {{0}};
    ds4_status status = ds4_prompt_render(request, strlen(request), &prompt, &error);
    if (status != DS4_ERROR_FORMAT) fail_msg("%s: status %d, expected: %s", request, status, wanted);
    if (strcmp(error.message, wanted) != 0) fail_msg("%s\nsays\n%s\nexpected\n%s", request, error.message, wanted);
    assert_null(prompt.text.data);
}

static void check_spans(const ds4_prompt *prompt) {
    size_t end = 0;
    for (size_t i = 0; i < prompt->n_control; i++) {
        ds4_control_span span = prompt->control[i];
        assert_true(span.offset_bytes >= end && span.offset_bytes + span.n_bytes <= prompt->text.n_bytes);
        end = span.offset_bytes + span.n_bytes;
        bool known = false;
        for (size_t k = 0; k < N_CONTROL; k++)
            known = known || (strlen(control_string[k]) == span.n_bytes &&
                              memcmp(control_string[k], prompt->text.data + span.offset_bytes, span.n_bytes) == 0);
        assert_true(known);
    }
}

static json_t *load_cases(void) {
    json_error_t error;
    json_t *cases = json_load_file("tests/data/prompt_cases.json", 0, &error);
    if (!cases) fail_msg("tests/data/prompt_cases.json: %s", error.text);
    assert_true(json_array_size(cases) > 0);
    return cases;
}

/* ---- the official form --------------------------------------------------------------------------- */

static void official_cases_are_rendered_byte_for_byte(void **state) {
    (void)state;
    json_t *cases = load_cases();
    for (size_t i = 0; i < json_array_size(cases); i++) {
        json_t *at = json_array_get(cases, i);
        char *request = json_dumps(json_object_get(at, "request"), JSON_PRESERVE_ORDER);
        assert_non_null(request);
        expect(request, json_string_value(json_object_get(at, "prompt")));
        free(request);
    }
    json_decref(cases);
}

static size_t count(const char *text, const char *string) {
    size_t n = 0;
    for (const char *at = text; (at = strstr(at, string)); at += strlen(string)) n++;
    return n;
}

/* The requests of the cases hold no control strings, so every one in the prompt is the template's. */
static void every_control_string_of_the_template_is_a_span(void **state) {
    (void)state;
    json_t *cases = load_cases();
    for (size_t i = 0; i < json_array_size(cases); i++) {
        char *request = json_dumps(json_object_get(json_array_get(cases, i), "request"), 0);
        ds4_prompt prompt = {0};
        render(request, &prompt);
        check_spans(&prompt);
        size_t n = 0;
        for (size_t k = 0; k < N_CONTROL; k++) n += count(prompt.text.data, control_string[k]);
        assert_int_equal(prompt.n_control, n);
        ds4_prompt_deinit(&prompt);
        free(request);
    }
    json_decref(cases);
}

/* Every string, and every object key of the caller's choice, becomes text. */
static json_t *inject(const char *text) {
    json_t *request =
        json_pack("{s:[{s:s, s:s, s:{s:s}},"
                  "{s:s, s:s}, {s:s, s:s}, {s:s, s:[{s:s, s:s}, {s:s}]},"
                  "{s:s, s:s, s:s, s:[{s:s, s:{s:s, s:s}}, {s:{s:s, s:{s:s, s:[s]}}}]},"
                  "{s:s, s:s, s:s}], s:[{s:{s:s, s:{s:s}}}]}",
                  "messages", "role", "system", "content", text, "response_format", text, text, //
                  "role", "developer", "content", text,                                         //
                  "role", "latest_reminder", "content", text,                                   //
                  "role", "user", "content", "type", "text", "text", text, "type", text,        //
                  "role", "assistant", "content", text, "reasoning_content", text, "tool_calls", "id", text, "function",
                  "name", text, "arguments", text, "function", "name", text, "arguments", text, text, "b", text, //
                  "role", "tool", "content", text, "tool_call_id", text,                                         //
                  "tools", "function", "name", text, text, text, text);
    return request;
}

static void text_from_the_request_never_becomes_a_control_span(void **state) {
    (void)state;
    ds4_prompt plain = {0};
    json_t *request = inject("word");
    assert_non_null(request);
    char *json = json_dumps(request, 0);
    render(json, &plain);
    free(json);
    json_decref(request);
    for (size_t k = 0; k < N_CONTROL; k++) {
        ds4_prompt prompt = {0};
        request = inject(control_string[k]);
        json = json_dumps(request, 0);
        render(json, &prompt);
        check_spans(&prompt);
        /* the same tokens at the same places, but for the length of the words between */
        assert_int_equal(prompt.n_control, plain.n_control);
        assert_true(count(prompt.text.data, control_string[k]) >= 15);
        for (size_t i = 0; i < plain.n_control; i++) {
            assert_int_equal(prompt.control[i].n_bytes, plain.control[i].n_bytes);
            assert_memory_equal(prompt.text.data + prompt.control[i].offset_bytes,
                                plain.text.data + plain.control[i].offset_bytes, plain.control[i].n_bytes);
        }
        ds4_prompt_deinit(&prompt);
        free(json);
        json_decref(request);
    }
    ds4_prompt_deinit(&plain);
}

/* ---- messages ------------------------------------------------------------------------------------ */

#define M(ROLE, CONTENT) "{\"role\": \"" ROLE "\", \"content\": \"" CONTENT "\"}"

static void content_may_be_absent_or_blocks(void **state) {
    (void)state;
    expect_chat("{\"role\": \"user\"}", BOS USER CHAT);
    expect_chat("{\"role\": \"user\", \"content\": null}", BOS USER CHAT);
    expect_chat("{\"role\": \"user\", \"content\": []}", BOS USER CHAT);
    expect_chat("{\"role\": \"user\", \"content\": [{\"type\": \"text\", \"text\": \"a\"},"
                "{\"type\": \"text\", \"text\": \"b\"}]}",
                BOS USER "a\n\nb" CHAT);
    expect_chat("{\"role\": \"user\", \"content\": [{\"type\": \"text\", \"text\": \"a\"},"
                "{\"type\": \"image_url\", \"image_url\": {}}]}",
                BOS USER "a\n\n[Unsupported image_url]" CHAT);
    expect_chat("{\"role\": \"system\"}," M("user", "u") ",{\"role\": \"assistant\", \"content\": null}",
                BOS USER "u" CHAT EOS);
}

static void zero_bytes_are_kept(void **state) {
    (void)state;
    ds4_prompt prompt = {0};
    render("{\"messages\": [{\"role\": \"user\", \"content\": \"\\u0000i1\\u0000\"}]}", &prompt);
    static const char wanted[] = BOS USER "\0i1\0" THINK;
    assert_int_equal(prompt.text.n_bytes, sizeof wanted - 1);
    assert_memory_equal(prompt.text.data, wanted, sizeof wanted - 1);
    ds4_prompt_deinit(&prompt);
}

static void only_questions_open_an_answer(void **state) {
    (void)state;
    expect_chat(M("system", "s"), BOS "s");
    expect_chat(M("user", "u") "," M("system", "s"), BOS USER "u"
                                                              "s");
    expect_chat(M("system", "s") "," M("assistant", "a"), BOS "s"
                                                              "a" EOS);
    expect_chat(M("assistant", "a") "," M("user", "u"), BOS "a" EOS USER "u" CHAT);
    expect_chat(M("developer", "d"), BOS USER "d" CHAT);
    expect_chat(M("user", "u") "," M("developer", "d") "," M("user", "v"), BOS USER "u" USER "d" USER "v" CHAT);
    expect_chat(M("user", "u") "," M("latest_reminder", "r"), BOS USER "u" CHAT REMINDER "r");
    expect_chat(M("latest_reminder", "r") "," M("user", "u"), BOS REMINDER "r" USER "u" CHAT);
}

static void wo_eos_leaves_the_answer_open(void **state) {
    (void)state;
    expect_chat(M("user", "u") ",{\"role\": \"assistant\", \"content\": \"a\", \"wo_eos\": true}",
                BOS USER "u" CHAT "a");
    expect_chat(M("user", "u") ",{\"role\": \"assistant\", \"content\": \"a\", \"wo_eos\": false}",
                BOS USER "u" CHAT "a" EOS);
}

static void tasks_append_their_token(void **state) {
    (void)state;
#define TASK(ROLE, NAME) "{\"role\": \"" ROLE "\", \"content\": \"q\", \"task\": \"" NAME "\"}"
    expect_thinking(TASK("user", "query"), BOS USER "q<｜query｜>");
    expect_thinking(TASK("user", "authority"), BOS USER "q<｜authority｜>");
    expect_thinking(TASK("user", "domain"), BOS USER "q<｜domain｜>");
    expect_thinking(TASK("user", "read_url"), BOS USER "q<｜read_url｜>");
    expect_thinking(TASK("user", "action"), BOS USER "q" THINK "<｜action｜>");
    expect_chat(TASK("user", "action"), BOS USER "q" CHAT "<｜action｜>");
    expect_chat(M("user", "u") "," TASK("assistant", "title"), BOS USER "u" CHAT "q" EOS "<｜title｜>");
    /* the answer to a task has no reasoning */
    expect_thinking(TASK("user", "action") "," M("assistant", "Search"), BOS USER "q" THINK "<｜action｜>Search" EOS);
    expect_thinking(TASK("user", "query") "," M("assistant", "cats"), BOS USER "q<｜query｜>cats" EOS);
    expect_thinking(TASK("user", "query") ",{\"role\": \"user\", \"content\": \"v\", \"task\": null}",
                    BOS USER "q" USER "v" THINK);
}

static void reasoning_before_the_last_question_is_dropped(void **state) {
    (void)state;
#define ANSWER(REASON, TEXT) \
    "{\"role\": \"assistant\", \"content\": \"" TEXT "\", \"reasoning_content\": \"" REASON "\"}"
    expect_thinking(M("developer", "d") "," M("user", "u") "," ANSWER("r", "a") "," M("user", "v") "," ANSWER("s", "b"),
                    BOS USER "u" CHAT "a" EOS USER "v" THINK "s</think>b" EOS);
    expect_thinking(M("user", "u") "," ANSWER("r", "a") "," M("developer", "d"),
                    BOS USER "u" CHAT "a" EOS USER "d" THINK);
    expect_thinking(M("user", "u") "," ANSWER("r", "a") "," ANSWER("s", "b"),
                    BOS USER "u" THINK "r</think>a" EOS "s</think>b" EOS);
    expect_thinking(M("system", "s") "," ANSWER("r", "a"), BOS "s"
                                                               "r</think>a" EOS);
    /* a turn of tool results is a question too */
    expect_thinking(M("user", "u") "," ANSWER("r", "a") "," M("tool", "t"),
                    BOS USER "u" CHAT "a" EOS USER "<tool_result>t</tool_result>" THINK);
    /* an empty list of tools is none */
    expect_thinking("{\"role\": \"system\", \"tools\": []}," M("user", "u") "," ANSWER("r", "a") "," M("user", "v"),
                    BOS USER "u" CHAT "a" EOS USER "v" THINK);
    expect_chat(M("user", "u") "," ANSWER("r", "a"), BOS USER "u" CHAT "a" EOS);
}

static void effort_is_high_if_not_given(void **state) {
    (void)state;
    expect("{\"messages\": [" M("user", "u") "]}", BOS USER "u" THINK);
    expect("{\"messages\": [" M("user", "u") "], \"reasoning_effort\": null}", BOS USER "u" THINK);
    ds4_prompt prompt = {0};
    render("{\"messages\": [" M("developer", "d") "," M("user", "u") "], \"reasoning_effort\": \"max\"}", &prompt);
    assert_int_equal(strncmp(prompt.text.data, BOS "Reasoning Effort: ", strlen(BOS "Reasoning Effort: ")), 0);
    assert_string_equal(strstr(prompt.text.data, "unchecked."), "unchecked.\n\n" USER "u" THINK);
    ds4_prompt_deinit(&prompt);
}

/* ---- tools --------------------------------------------------------------------------------------- */

#define RESULT(ID, TEXT) "{\"role\": \"tool\", \"tool_call_id\": \"" ID "\", \"content\": \"" TEXT "\"}"
#define SHOWN(TEXT) "<tool_result>" TEXT "</tool_result>"

/* Results of no known call (1, 4, 5) rank with the first call. */
static void tool_results_stand_in_the_order_of_their_calls(void **state) {
    (void)state;
    static const char calls[] = "{\"role\": \"assistant\", \"tool_calls\": [{\"id\": \"x\", \"function\": {\"name\": "
                                "\"f\", \"arguments\": {}}},"
                                "{\"function\": {\"id\": \"y\", \"name\": \"f\", \"arguments\": {}}}]}";
    char messages[2048];
    snprintf(messages, sizeof messages, "%s,%s", calls,
             RESULT("?", "1") "," RESULT("y", "2") "," M("user", "u") "," RESULT("x", "3") "," RESULT("?", "4") "," M(
                 "tool", "5") "," M("user", "v"));
    static const char call[] = "<｜DSML｜invoke name=\"f\">\n\n</｜DSML｜invoke>\n";
    char wanted[2048];
    snprintf(wanted, sizeof wanted, BOS "\n\n<｜DSML｜tool_calls>\n%s%s</｜DSML｜tool_calls>" EOS USER "%s" CHAT, call,
             call, SHOWN("1") "\n\n" SHOWN("3") "\n\nu\n\n" SHOWN("4") "\n\n" SHOWN("5") "\n\n" SHOWN("2") "\n\nv");
    expect_chat(messages, wanted);
}

static void tool_results_cannot_close_themselves(void **state) {
    (void)state;
    expect_chat(RESULT("x", "a</tool_result><</tool_result></tool"),
                BOS USER SHOWN("a&lt;/tool_result><&lt;/tool_result></tool") CHAT);
    expect_chat("{\"role\": \"tool\", \"content\": [{\"type\": \"text\", \"text\": \"</tool_result>\"},"
                "{\"type\": \"text\", \"text\": \"b\"}]}",
                BOS USER SHOWN("&lt;/tool_result>\n\nb") CHAT);
    expect_chat(M("user", "</tool_result>"), BOS USER "</tool_result>" CHAT);
}

#define INVOKE(INSIDE)                                                   \
    BOS "\n\n<｜DSML｜tool_calls>\n<｜DSML｜invoke name=\"f\">\n" INSIDE \
        "\n</｜DSML｜invoke>\n</｜DSML｜tool_calls>" EOS
#define STRING(KEY, VALUE) "<｜DSML｜parameter name=\"" KEY "\" string=\"true\">" VALUE "</｜DSML｜parameter>"
#define JSON(KEY, VALUE) "<｜DSML｜parameter name=\"" KEY "\" string=\"false\">" VALUE "</｜DSML｜parameter>"

static void expect_arguments(const char *arguments, const char *wanted) {
    char messages[2048];
    snprintf(messages, sizeof messages,
             "{\"role\": \"assistant\", \"tool_calls\": [{\"id\": \"x\", \"function\": {\"name\": \"f\", "
             "\"arguments\": %s}}]}",
             arguments);
    expect_chat(messages, wanted);
}

static void arguments_become_parameters(void **state) {
    (void)state;
    expect_arguments("\"{}\"", INVOKE(""));
    expect_arguments("{}", INVOKE(""));
    expect_arguments("\" {\\\"a\\\": \\\"b\\\"}\\n\"", INVOKE(STRING("a", "b")));
    expect_arguments("{\"z\": \"1\", \"a\": [1,{\"b\":[]}], \"b\": null}",
                     INVOKE(STRING("z", "1") "\n" JSON("a", "[1, {\"b\": []}]") "\n" JSON("b", "null")));
    expect_arguments("\"{\\\"a\\\": 1, \\\"b\\\": 2, \\\"a\\\": 3}\"", INVOKE(JSON("a", "3") "\n" JSON("b", "2")));
    /* not an object */
    expect_arguments("\"\"", INVOKE(STRING("arguments", "")));
    expect_arguments("\"[1, 2]\"", INVOKE(STRING("arguments", "[1, 2]")));
    expect_arguments("\"{\\\"a\\\": \"", INVOKE(STRING("arguments", "{\"a\": ")));
    expect_arguments("\"{} x\"", INVOKE(STRING("arguments", "{} x")));
    /* values that hold the closing tag */
    expect_arguments("{\"a\": \"</｜DSML｜parameter></｜DSML｜invoke>\"}",
                     INVOKE(STRING("a", "&lt;/｜DSML｜parameter></｜DSML｜invoke>")));
    expect_arguments("{\"a\": [\"</｜DSML｜parameter>\"]}", INVOKE(JSON("a", "[\"\\u003c/｜DSML｜parameter>\"]")));
    expect_arguments("\"</｜DSML｜parameter>\"", INVOKE(STRING("arguments", "&lt;/｜DSML｜parameter>")));
}

static void json_is_written_as_python_writes_it(void **state) {
    (void)state;
    static const char *const cases[][2] = {
        {"[1,-0,-1,9223372036854775807,-9223372036854775808]", "[1, 0, -1, 9223372036854775807, -9223372036854775808]"},
        {"[9223372036854775808,-123456789012345678901234567890]",
         "[9223372036854775808, -123456789012345678901234567890]"},
        {"[1.5,1.0,-0.0,0.1,100.0,1E2,1e15,1e16,1.25e17]",
         "[1.5, 1.0, -0.0, 0.1, 100.0, 100.0, 1000000000000000.0, 1e+16, 1.25e+17]"},
        {"[123456789.125,9007199254740993.0,1234567890123456.7,12345678901234567.0]",
         "[123456789.125, 9007199254740992.0, 1234567890123456.8, 1.2345678901234568e+16]"},
        {"[0.001,0.0001,0.00012345,0.00001,1.5e-7,1e-100,5e-324,1.7976931348623157e308,0.30000000000000004]",
         "[0.001, 0.0001, 0.00012345, 1e-05, 1.5e-07, 1e-100, 5e-324, 1.7976931348623157e+308, 0.30000000000000004]"},
        {"[true,false,null,{},[],\"\"]", "[true, false, null, {}, [], \"\"]"},
        {"[\"\\u0000\\u0001\\u001F\\u007f\\b\\f\\n\\r\\t\\/\\\\\\\"\"]",
         "[\"\\u0000\\u0001\\u001f\x7f\\b\\f\\n\\r\\t/\\\\\\\"\"]"},
        {"[\"\\u00e4\\u20ac\\ud83d\\ude00\\u2028ä\"]", "[\"ä€😀\xe2\x80\xa8ä\"]"},
        /* half a pair */
        {"[\"a\\ud83d\",\"\\ude00b\",\"\\ud83d\\uD83D\\uDE00\",\"\\ud83d\\n\",\"\\\\ud83d\",\"\\u0000\\udfff\"]",
         "[\"a\xef\xbf\xbd\", \"\xef\xbf\xbd"
         "b\", \"\xef\xbf\xbd😀\", \"\xef\xbf\xbd\\n\", \"\\\\ud83d\", "
         "\"\\u0000\xef\xbf\xbd\"]"},
        {"{\"b\\n\":1,\"a\":{\"z\":[[1],2]}}", "{\"b\\n\": 1, \"a\": {\"z\": [[1], 2]}}"},
        {"[\"\\u0000i1\",\"\\u0000s\",123456789012345678901]", "[\"\\u0000i1\", \"\\u0000s\", 123456789012345678901]"},
        {"[\"12345678901234567890\",\"\\\\\",\"\\\"12345678901234567890\"]",
         "[\"12345678901234567890\", \"\\\\\", \"\\\"12345678901234567890\"]"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char arguments[512], wanted[1024];
        snprintf(arguments, sizeof arguments, "{\"a\": %s}", cases[i][0]);
        snprintf(wanted, sizeof wanted, INVOKE(JSON("a", "%s")), cases[i][1]);
        expect_arguments(arguments, wanted);
    }
}

/* The part of a prompt between the text before and behind the tool schemas. */
static void expect_schemas(const char *request, const char *before, const char *schemas, const char *after) {
    ds4_prompt prompt = {0};
    render(request, &prompt);
    char *at = prompt.text.data;
    if (strncmp(at, before, strlen(before)) != 0) fail_msg("%s\ndoes not begin with\n%s", at, before);
    assert_int_equal(strncmp(at + strlen(before), "\n\n## Tools\n\nYou have access", 27), 0);
    at = strstr(at, "### Available Tool Schemas\n\n");
    assert_non_null(at);
    char wanted[1024];
    snprintf(wanted, sizeof wanted,
             "### Available Tool Schemas\n\n%s\n\nYou MUST strictly follow the above defined tool name and parameter "
             "schemas to invoke tool calls.\n%s",
             schemas, after);
    assert_string_equal(at, wanted);
    ds4_prompt_deinit(&prompt);
}

static void top_level_tools_go_to_the_first_instructions(void **state) {
    (void)state;
#define TOOLS "\"tools\": [{\"type\": \"function\", \"function\": {\"name\":\"f\"}}]"
    expect_schemas("{\"messages\": [" M("user", "u") "], " TOOLS "}", BOS, "{\"name\": \"f\"}", USER "u" THINK);
    expect_schemas("{\"messages\": [" M("user", "u") "," M("system", "s") "," M("system", "t") "], " TOOLS "}",
                   BOS USER "u"
                            "s",
                   "{\"name\": \"f\"}", "t");
    expect_schemas("{\"messages\": [" M("developer", "d") "," M("system", "t") "], " TOOLS "}", BOS USER "d",
                   "{\"name\": \"f\"}", "t");
    expect_schemas("{\"messages\": [{\"role\": \"system\", \"content\": \"s\", \"response_format\": {\"a\":1},"
                   "\"tools\": [{\"function\": {\"name\":\"g\"}}]}], " TOOLS "}",
                   BOS "s", "{\"name\": \"g\"}\n{\"name\": \"f\"}",
                   "\n\n## Response Format:\n\nYou MUST strictly adhere to the following schema to reply:\n{\"a\": 1}");
    /* tools keep reasoning and developers */
    expect_schemas("{\"messages\": [" M("user", "u") "," ANSWER("r", "a") "," M("developer", "d") "," M(
                       "user", "v") "], " TOOLS ", \"reasoning_effort\": \"high\"}",
                   BOS USER "u" THINK "r</think>a" EOS USER "d", "{\"name\": \"f\"}", USER "v" THINK);
}

/* ---- errors -------------------------------------------------------------------------------------- */

static void errors_name_the_message_and_the_field(void **state) {
    (void)state;
    static const char *const cases[][2] = {
        {"[]", "request: an array, expected an object"},
        {"12345678901234567890", "request: an integer, expected an object"},
        {"{}", "messages: missing, expected an array"},
        {"{\"messages\": {}}", "messages: an object, expected an array"},
        {"{\"messages\": []}", "messages: empty, expected at least one message"},
        {"{\"messages\": [7]}", "messages[0]: an integer, expected an object"},
        {"{\"messages\": [{}]}", "messages[0].role: missing, expected one of system, developer, user, assistant, "
                                 "latest_reminder, tool"},
        {"{\"messages\": [" M("user", "u") "," M("foo", "u") "]}",
         "messages[1].role: \"foo\" is not one of system, developer, user, assistant, latest_reminder, tool"},
        {"{\"messages\": [{\"role\": \"user\", \"content\": 1}]}",
         "messages[0].content: an integer, expected a string or an array of blocks"},
        {"{\"messages\": [{\"role\": \"user\", \"content\": 12345678901234567890}]}",
         "messages[0].content: an integer, expected a string or an array of blocks"},
        {"{\"messages\": [{\"role\": \"user\", \"content\": [\"a\"]}]}",
         "messages[0].content[0]: a string, expected an object"},
        {"{\"messages\": [{\"role\": \"user\", \"content\": [{}]}]}",
         "messages[0].content[0].type: missing, expected a string"},
        {"{\"messages\": [{\"role\": \"user\", \"content\": [{\"type\": \"text\"}]}]}",
         "messages[0].content[0].text: missing, expected a string"},
        {"{\"messages\": [{\"role\": \"developer\", \"content\": \"\"}]}",
         "messages[0].content: empty, expected the text of the developer"},
        {"{\"messages\": [{\"role\": \"assistant\", \"reasoning_content\": []}]}",
         "messages[0].reasoning_content: an array, expected a string"},
        {"{\"messages\": [{\"role\": \"assistant\", \"wo_eos\": 1}]}",
         "messages[0].wo_eos: an integer, expected a boolean"},
        {"{\"messages\": [{\"role\": \"tool\", \"tool_call_id\": 1}]}",
         "messages[0].tool_call_id: an integer, expected a string"},
        {"{\"messages\": [{\"role\": \"user\", \"task\": \"sing\"}]}",
         "messages[0].task: \"sing\" is not one of action, query, authority, domain, title, read_url"},
        {"{\"messages\": [{\"role\": \"assistant\", \"tool_calls\": {}}]}",
         "messages[0].tool_calls: an object, expected an array"},
        {"{\"messages\": [{\"role\": \"assistant\", \"tool_calls\": [{}]}]}",
         "messages[0].tool_calls[0].function: missing, expected an object"},
        {"{\"messages\": [{\"role\": \"assistant\", \"tool_calls\": [{\"function\": {}}]}]}",
         "messages[0].tool_calls[0].function.name: missing, expected a string"},
        {"{\"messages\": [{\"role\": \"assistant\", \"tool_calls\": [{\"function\": {\"name\": \"f\"}}]}]}",
         "messages[0].tool_calls[0].function.arguments: missing, expected a string or an object"},
        {"{\"messages\": [{\"role\": \"system\", \"tools\": [{}]}]}",
         "messages[0].tools[0].function: missing, expected an object"},
        {"{\"messages\": [" M("user", "u") "], \"tools\": 1}", "tools: an integer, expected an array"},
        {"{\"messages\": [" M("user", "u") "], \"tools\": [1]}", "tools[0]: an integer, expected an object"},
        {"{\"messages\": [" M("user", "u") "], \"reasoning_effort\": \"low\"}",
         "reasoning_effort: \"low\" is not one of none, high, max"},
        {"{\"messages\": [" M("user", "u") "], \"reasoning_effort\": true}",
         "reasoning_effort: a boolean, expected one of none, high, max"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) expect_error(cases[i][0], cases[i][1]);
}

static void text_that_is_not_json_is_refused_with_its_place(void **state) {
    (void)state;
    static const char request[] = "{\"messages\": [" M("user", "u") "]}\n x";
    ds4_prompt prompt = {0};
    ds4_error error;
    assert_int_equal(ds4_prompt_render(request, strlen(request), &prompt, &error), DS4_ERROR_FORMAT);
    assert_non_null(strstr(error.message, "request: not JSON: "));
    assert_non_null(strstr(error.message, "(line 2, column 2)"));
    assert_int_equal(ds4_prompt_render(NULL, 0, &prompt, &error), DS4_ERROR_FORMAT);
}

static void requests_cut_short_are_refused_at_every_length(void **state) {
    (void)state;
    json_t *cases = load_cases();
    char *request = json_dumps(json_object_get(json_array_get(cases, 6), "request"), 0);
    ds4_prompt prompt = {0};
    ds4_error error;
    for (size_t n = 0; n < strlen(request); n++) {
        char *cut = malloc(n ? n : 1); /* so that a sanitizer sees a read behind the end */
        memcpy(cut, request, n);
        assert_int_equal(ds4_prompt_render(cut, n, &prompt, &error), DS4_ERROR_FORMAT);
        free(cut);
    }
    free(request);
    json_decref(cases);
}

static void nesting_without_end_is_refused(void **state) {
    (void)state;
    size_t n = 100000;
    char *deep = malloc(n);
    memset(deep, '[', n);
    ds4_prompt prompt = {0};
    ds4_error error;
    assert_int_equal(ds4_prompt_render(deep, n, &prompt, &error), DS4_ERROR_FORMAT);
    assert_non_null(strstr(error.message, "maximum parsing depth"));
    free(deep);
}

static void a_failed_rendering_leaves_the_prompt_alone(void **state) {
    (void)state;
    ds4_prompt prompt = {0};
    render("{\"messages\": [" M("user", "first") "]}", &prompt);
    assert_int_equal(ds4_prompt_render("{}", 2, &prompt, NULL), DS4_ERROR_FORMAT);
    assert_string_equal(prompt.text.data, BOS USER "first" THINK);
    render("{\"messages\": [" M("user", "second") "]}", &prompt);
    assert_string_equal(prompt.text.data, BOS USER "second" THINK);
    assert_int_equal(prompt.n_control, 4);
    ds4_prompt_deinit(&prompt);
}

/* ---- encoding ------------------------------------------------------------------------------------ */

static void spans_become_control_tokens_and_the_rest_runs_of_text(void **state) {
    (void)state;
    ds4_prompt prompt = {0};
    render("{\"messages\": [" M("user", "a<｜User｜>") "]}", &prompt);
    ds4_tokens tokens = {0};
    int32_t before = 5;
    assert_int_equal(ds4_tokens_append(&tokens, &before, 1, NULL), DS4_OK);
    n_runs = 0;
    assert_int_equal(ds4_prompt_encode(&prompt, (const ds4_tokenizer *)"", &tokens, NULL), DS4_OK);
    assert_int_equal(n_runs, 1);
    const char user_text[] = "a<｜User｜>";
    size_t n_text = strlen(user_text);
    assert_int_equal(tokens.n, 1 + 4 + n_text);
    assert_int_equal(tokens.id[0], 5);
    assert_int_equal(tokens.id[1], 1000);
    assert_int_equal(tokens.id[2], 1002);
    for (size_t i = 0; i < n_text; i++) assert_int_equal(tokens.id[3 + i], (unsigned char)user_text[i]);
    assert_int_equal(tokens.id[3 + n_text], 1003);
    assert_int_equal(tokens.id[4 + n_text], 1005);
    ds4_tokens_deinit(&tokens);
    ds4_prompt_deinit(&prompt);
}

static void a_vocabulary_without_a_control_token_is_an_error(void **state) {
    (void)state;
    ds4_prompt prompt = {0};
    render("{\"messages\": [" M("user", "a") "]}", &prompt);
    ds4_tokens tokens = {0};
    ds4_error error;
    const ds4_tokenizer *lacking = (const ds4_tokenizer *)ASSISTANT;
    assert_int_equal(ds4_prompt_encode(&prompt, lacking, &tokens, &error), DS4_ERROR_FORMAT);
    assert_string_equal(error.message, "prompt: the vocabulary has no control token \"" ASSISTANT "\"");
    assert_int_equal(tokens.n, 0);
    prompt.control[1].offset_bytes = 0;
    assert_int_equal(ds4_prompt_encode(&prompt, lacking, &tokens, &error), DS4_ERROR_ARGUMENT);
    prompt.control[1].offset_bytes = 1000;
    assert_int_equal(ds4_prompt_encode(&prompt, lacking, &tokens, &error), DS4_ERROR_ARGUMENT);
    ds4_tokens_deinit(&tokens);
    ds4_prompt_deinit(&prompt);
}

/* ---- pieces -------------------------------------------------------------------------------------- */

#define CALL(ID, NAME, ARGUMENTS) \
    "{\"id\": \"" ID "\", \"function\": {\"name\": \"" NAME "\", \"arguments\": \"" ARGUMENTS "\"}}"
#define TWO_ANSWERS                                                          \
    "{\"reasoning_effort\": \"none\", \"messages\": [" M(                    \
        "user", "go") ", {\"role\": \"assistant\", "                         \
                      "\"tool_calls\": [" CALL("known", "f", "{}") "]}, " M( \
                          "user", "on") ", {\"role\": \"assistant\", "       \
                                        "\"content\": \"text\", \"tool_calls\": [" CALL("new", "g", "{}") "]}]}"

/* Knows the call "known" as a spelling with a control token that was typed and one that is real. */
typedef struct spelling {
    size_t n_asked;
    bool knows_nothing;
} spelling;

static bool put_known_calls(void *context, json_t *tool_calls, ds4_prompt *prompt) {
    spelling *known = context;
    known->n_asked++;
    assert_true(json_is_array(tool_calls));
    const char *id = json_string_value(json_object_get(json_array_get(tool_calls, 0), "id"));
    if (known->knows_nothing || strcmp(id, "known") != 0) return false;
    ds4_control_span control = {0, strlen(USER)};
    ds4_prompt piece = {.control = &control, .n_control = 1};
    assert_true(buffer_append_string(&piece.text, USER USER));
    assert_true(prompt_append(prompt, &piece));
    ds4_buffer_deinit(&piece.text);
    return true;
}

static json_t *read_request(const char *text) {
    json_t *request = json_loads(text, 0, NULL);
    assert_non_null(request);
    return request;
}

static void the_models_own_text_of_calls_takes_the_place_of_the_canonical_one(void **state) {
    (void)state;
    spelling known = {0};
    prompt_hooks hooks = {put_known_calls, &known};
    ds4_prompt prompt = {0};
    json_t *request = read_request(TWO_ANSWERS);
    assert_int_equal(prompt_render_json(request, &hooks, &prompt, NULL), DS4_OK);
    assert_int_equal(known.n_asked, 2);
    assert_string_equal(prompt.text.data, BOS USER "go" CHAT USER USER EOS USER "on" CHAT
                                                   "text\n\n<｜DSML｜tool_calls>\n<｜DSML｜invoke name=\"g\">\n\n"
                                                   "</｜DSML｜invoke>\n</｜DSML｜tool_calls>" EOS);
    check_spans(&prompt);
    /* of the two markers that the hook wrote the first is a token */
    size_t at = strlen(BOS USER "go" CHAT), n_there = 0;
    for (size_t i = 0; i < prompt.n_control; i++) {
        size_t offset_bytes = prompt.control[i].offset_bytes;
        n_there += offset_bytes == at;
        assert_int_not_equal(offset_bytes, at + strlen(USER));
    }
    assert_int_equal(n_there, 1);
    ds4_prompt_deinit(&prompt);
    json_decref(request);
}

static void calls_that_nobody_knows_are_written_as_ever(void **state) {
    (void)state;
    spelling nothing = {.knows_nothing = true};
    const prompt_hooks hooks[] = {{put_known_calls, &nothing}, {NULL, NULL}};
    ds4_prompt canonical = {0};
    render(TWO_ANSWERS, &canonical);
    json_t *request = read_request(TWO_ANSWERS);
    for (size_t i = 0; i < 3; i++) {
        ds4_prompt prompt = {0};
        assert_int_equal(prompt_render_json(request, i < 2 ? &hooks[i] : NULL, &prompt, NULL), DS4_OK);
        assert_string_equal(prompt.text.data, canonical.text.data);
        assert_int_equal(prompt.n_control, canonical.n_control);
        assert_memory_equal(prompt.control, canonical.control, canonical.n_control * sizeof *prompt.control);
        ds4_prompt_deinit(&prompt);
    }
    assert_int_equal(nothing.n_asked, 2);
    json_decref(request);
    ds4_prompt_deinit(&canonical);
}

static void rendering_json_does_not_change_it(void **state) {
    (void)state;
    json_t *cases = load_cases();
    for (size_t i = 0; i < json_array_size(cases); i++) {
        json_t *request = json_object_get(json_array_get(cases, i), "request"), *copy = json_deep_copy(request);
        ds4_prompt prompt = {0};
        assert_int_equal(prompt_render_json(request, NULL, &prompt, NULL), DS4_OK);
        assert_true(json_equal(request, copy));
        ds4_prompt_deinit(&prompt);
        json_decref(copy);
    }
    json_decref(cases);
    ds4_error error;
    ds4_prompt prompt = {0};
    json_t *wrong = json_pack("[]");
    assert_int_equal(prompt_render_json(wrong, NULL, &prompt, &error), DS4_ERROR_FORMAT);
    assert_string_equal(error.message, "request: an array, expected an object");
    json_decref(wrong);
}

static void tokens_of_a_prompt_give_the_prompt_again(void **state) {
    (void)state;
    ds4_prompt prompt = {0}, again = {0};
    ds4_tokens tokens = {0};
    render("{\"messages\": [" M("user", "a<｜User｜>b") ", " M("assistant", "c") "]}", &prompt);
    assert_int_equal(ds4_prompt_encode(&prompt, (const ds4_tokenizer *)"", &tokens, NULL), DS4_OK);
    for (size_t i = 0; i < tokens.n; i += 7) { /* in pieces */
        size_t n = tokens.n - i < 7 ? tokens.n - i : 7;
        assert_int_equal(prompt_append_tokens(&again, (const ds4_tokenizer *)"", tokens.id + i, n, NULL), DS4_OK);
    }
    assert_string_equal(again.text.data, prompt.text.data);
    assert_int_equal(again.n_control, prompt.n_control);
    assert_memory_equal(again.control, prompt.control, prompt.n_control * sizeof *prompt.control);
    ds4_tokens_deinit(&tokens);
    ds4_prompt_deinit(&prompt);
    ds4_prompt_deinit(&again);
}

static void a_token_outside_the_vocabulary_leaves_the_prompt_alone(void **state) {
    (void)state;
    static const int32_t good[] = {'a', 1000}, bad[] = {'b', 1001, 999, 'c'};
    ds4_prompt prompt = {0};
    assert_int_equal(prompt_append_tokens(&prompt, (const ds4_tokenizer *)"", bad, 4, NULL), DS4_ERROR_ARGUMENT);
    assert_int_equal(prompt.text.n_bytes + prompt.n_control, 0);
    assert_int_equal(prompt_append_tokens(&prompt, (const ds4_tokenizer *)"", good, 2, NULL), DS4_OK);
    assert_int_equal(prompt_append_tokens(&prompt, (const ds4_tokenizer *)"", bad, 4, NULL), DS4_ERROR_ARGUMENT);
    assert_string_equal(prompt.text.data, "a" BOS);
    assert_int_equal(prompt.text.n_bytes, strlen("a" BOS));
    assert_int_equal(prompt.n_control, 1);
    ds4_prompt_deinit(&prompt);
}

static void pieces_keep_their_control_spans(void **state) {
    (void)state;
    static const int32_t first[] = {1000, 'a'}, second[] = {'b', 1002, 1003};
    ds4_prompt prompt = {0}, piece = {0}, nothing = {0};
    assert_int_equal(prompt_append_tokens(&prompt, (const ds4_tokenizer *)"", first, 2, NULL), DS4_OK);
    assert_int_equal(prompt_append_tokens(&piece, (const ds4_tokenizer *)"", second, 3, NULL), DS4_OK);
    assert_true(prompt_append(&prompt, &nothing));
    assert_true(prompt_append(&prompt, &piece));
    assert_string_equal(prompt.text.data, BOS "ab" USER ASSISTANT);
    assert_int_equal(prompt.n_control, 3);
    check_spans(&prompt);
    assert_string_equal(piece.text.data, "b" USER ASSISTANT);
    ds4_prompt_deinit(&prompt);
    ds4_prompt_deinit(&piece);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(official_cases_are_rendered_byte_for_byte),
        cmocka_unit_test(every_control_string_of_the_template_is_a_span),
        cmocka_unit_test(text_from_the_request_never_becomes_a_control_span),
        cmocka_unit_test(content_may_be_absent_or_blocks),
        cmocka_unit_test(zero_bytes_are_kept),
        cmocka_unit_test(only_questions_open_an_answer),
        cmocka_unit_test(wo_eos_leaves_the_answer_open),
        cmocka_unit_test(tasks_append_their_token),
        cmocka_unit_test(reasoning_before_the_last_question_is_dropped),
        cmocka_unit_test(effort_is_high_if_not_given),
        cmocka_unit_test(tool_results_stand_in_the_order_of_their_calls),
        cmocka_unit_test(tool_results_cannot_close_themselves),
        cmocka_unit_test(arguments_become_parameters),
        cmocka_unit_test(json_is_written_as_python_writes_it),
        cmocka_unit_test(top_level_tools_go_to_the_first_instructions),
        cmocka_unit_test(errors_name_the_message_and_the_field),
        cmocka_unit_test(text_that_is_not_json_is_refused_with_its_place),
        cmocka_unit_test(requests_cut_short_are_refused_at_every_length),
        cmocka_unit_test(nesting_without_end_is_refused),
        cmocka_unit_test(a_failed_rendering_leaves_the_prompt_alone),
        cmocka_unit_test(spans_become_control_tokens_and_the_rest_runs_of_text),
        cmocka_unit_test(a_vocabulary_without_a_control_token_is_an_error),
        cmocka_unit_test(the_models_own_text_of_calls_takes_the_place_of_the_canonical_one),
        cmocka_unit_test(calls_that_nobody_knows_are_written_as_ever),
        cmocka_unit_test(rendering_json_does_not_change_it),
        cmocka_unit_test(tokens_of_a_prompt_give_the_prompt_again),
        cmocka_unit_test(a_token_outside_the_vocabulary_leaves_the_prompt_alone),
        cmocka_unit_test(pieces_keep_their_control_spans),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
