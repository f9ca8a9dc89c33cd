#include "support/request_cases.h"
#include "base/memory.h"
#include "test.h"
#include "text/exact_json.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define VOCABULARY "tests/data/vocab.gguf"

static ds4_model *model;
const server_facts usual_facts = {.context_tokens = 1000000,
                                  .parallel = 4,
                                  .n_vocab = 129280,
                                  .model_id = "ds4-test",
                                  .sampling = DS4_SAMPLING_DEFAULT};

int open_vocabulary(void **state) {
    (void)state;
    ds4_error error;
    return ds4_model_open(VOCABULARY, DS4_MODEL_TEXT, &model, &error) ? -1 : 0;
}

int close_vocabulary(void **state) {
    (void)state;
    ds4_model_free(model);
    return 0;
}

const ds4_tokenizer *vocabulary(void) {
    return ds4_model_tokenizer(model);
}

/* ---- reading ------------------------------------------------------------------------------------- */

json_t *json_of(const char *text) {
    json_t *value = NULL;
    ds4_error error;
    assert_ok(exact_json_read(text, strlen(text), "body", &value, &error), &error);
    return value;
}

bool read_with(const api *of, json_t *body, const server_facts *known, bool counts, call_memory *memory, request **out,
               problem *why) {
    *why = (problem){0};
    *out = request_new();
    assert_non_null(*out);
    (*out)->api = of;
    (*out)->counts_only = counts;
    return of->read(body, known, *out, why) && request_encode(*out, vocabulary(), memory, known->context_tokens, why);
}

static void say(ds4_buffer *out, const char *format, ...) PRINTF_LIKE(2, 3);
static void say(ds4_buffer *out, const char *format, ...) {
    char text[8192];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    assert_true(buffer_append_string(out, text));
}

static void say_json(ds4_buffer *out, const char *name, json_t *value) {
    if (!value) return;
    say(out, "%s=", name);
    assert_true(exact_json_write(out, value));
    say(out, "\n");
}

static void describe_tools(ds4_buffer *out, const request *asked) {
    static const char *const kind[] = {"function", "custom", "search"};
    static const char *const choice[] = {"auto", "none", "required", "named"};
    for (size_t i = 0; i < asked->n_tools; i++) {
        const request_tool *tool = &asked->tool[i];
        say(out, "%s %s", kind[tool->kind], tool->name);
        if (strcmp(tool->name, tool->api_name) != 0) say(out, " as %s", tool->api_name);
        if (tool->api_namespace) say(out, " of %s", tool->api_namespace);
        say(out, "%s\n", tool->deferred ? ", deferred" : "");
    }
    say(out, "choice=%s\n", choice[asked->choice]);
    if (asked->choice == CHOICE_NAMED) say(out, "chosen=%s\n", asked->tool[asked->chosen_tool].name);
    if (asked->one_call) say(out, "one call\n");
}

/* The request but for its prompt, a line a field. */
static void describe(ds4_buffer *out, const request *asked) {
    static const char *const format[] = {"text", "object", "schema"};
    const ds4_sampling *sampling = &asked->sampling;
    json_t *effort = json_object_get(asked->prompt_json, "reasoning_effort");
    say(out, "model=%s\n", asked->model);
    if (effort) say(out, "effort=%s\n", json_string_value(effort));
    say(out, "temperature=%g\ntop_p=%g\ntop_k=%d\nmin_p=%g\n", (double)sampling->temperature, (double)sampling->top_p,
        sampling->top_k, (double)sampling->min_p);
    say(out, "presence=%g\nfrequency=%g\n", (double)sampling->presence_penalty, (double)sampling->frequency_penalty);
    if (asked->has_seed) say(out, "seed=%lld\n", (long long)asked->seed);
    for (size_t i = 0; i < asked->n_bias; i++) say(out, "bias %d=%g\n", asked->bias[i].id, (double)asked->bias[i].bias);
    say(out, "max_tokens=%zu\n", asked->max_tokens);
    if (asked->thinking_budget) say(out, "budget=%zu\n", asked->thinking_budget);
    for (size_t i = 0; i < asked->n_stop; i++) say(out, "stop=%s\n", asked->stop[i]);
    if (asked->logprobs) say(out, "logprobs=%d\n", asked->top_logprobs);
    say(out, "n=%zu\n", asked->n);
    say(out, "format=%s\n", format[asked->format]);
    say_json(out, "schema", asked->format_schema);
    if (asked->stream) say(out, "stream\n");
    if (asked->include_usage) say(out, "usage\n");
    if (asked->wants_summary) say(out, "summary\n");
    if (asked->wants_encrypted) say(out, "encrypted\n");
    describe_tools(out, asked);
}

/* The lines of text that before does not have, joined by "; ". */
static void only_new(const char *text, const char *before, ds4_buffer *out) {
    for (const char *line = text; *line; line = strchr(line, '\n') + 1) {
        size_t n = (size_t)(strchr(line, '\n') - line);
        char wanted[4096];
        snprintf(wanted, sizeof wanted, "\n%.*s\n", (int)n, line);
        bool first_line = strncmp(before, wanted + 1, n + 1) == 0;
        if (first_line || strstr(before, wanted)) continue;
        say(out, "%s%.*s", out->n_bytes ? "; " : "", (int)n, line);
    }
    if (!out->data) say(out, "%s", "");
}

void describe_problem(ds4_buffer *out, const api *of, const problem *why) {
    json_t *body = of->error(why, "req_1"), *inner = json_object_get(body, "error");
    assert_non_null(inner);
    say(out, "! %s", json_string_value(json_object_get(inner, "message")));
    const char *code = json_string_value(json_object_get(inner, "code"));
    if (code) say(out, " (%s)", code);
    json_decref(body);
}

void check_fields(const api *of, const char *smallest, const field_case *cases, size_t n) {
    request *asked;
    problem why;
    ds4_buffer usual = {0};
    json_t *body = json_of(smallest);
    assert_true(read_with(of, body, &usual_facts, false, NULL, &asked, &why));
    describe(&usual, asked);
    request_free(asked);
    json_decref(body);
    for (size_t i = 0; i < n; i++) {
        char text[4096];
        snprintf(text, sizeof text, "{%s}", cases[i].fields);
        body = json_of(smallest);
        json_t *fields = json_of(text);
        assert_int_equal(json_object_update(body, fields), 0);
        ds4_buffer described = {0}, result = {0};
        if (read_with(of, body, &usual_facts, false, NULL, &asked, &why)) {
            describe(&described, asked);
            only_new(described.data, usual.data, &result);
        } else {
            describe_problem(&result, of, &why);
        }
        if (strcmp(result.data, cases[i].change) != 0)
            fail_msg("%s\n  gives    %s\n  expected %s", cases[i].fields, result.data, cases[i].change);
        request_free(asked);
        ds4_buffer_deinit(&described);
        ds4_buffer_deinit(&result);
        json_decref(fields);
        json_decref(body);
    }
    ds4_buffer_deinit(&usual);
}

/* ---- prompts ------------------------------------------------------------------------------------- */

/* The part of the official text about tools that does not change is left out. */
static void shorten(ds4_buffer *text) {
    char *from = strstr(text->data, "## Tools\n"), *schemas = strstr(text->data, "### Available Tool Schemas\n\n");
    char *end = strstr(text->data, "\n\nYou MUST strictly follow the above");
    if (!from || !schemas || !end) return;
    schemas += strlen("### Available Tool Schemas\n\n");
    ds4_buffer out = {0};
    buffer_append(&out, text->data, (size_t)(from - text->data));
    say(&out, "TOOLS(");
    buffer_append(&out, schemas, (size_t)(end - schemas));
    say(&out, ")%s", strchr(end + 2, '\n') + 1);
    ds4_buffer_deinit(text);
    *text = out;
}

void short_prompt(const ds4_prompt *prompt, ds4_buffer *out) {
    static const char *const names[][2] = {
        {"<｜begin▁of▁sentence｜>", ""},  {"<｜User｜>", "[U]"}, {"<｜Assistant｜>", "[A]"},
        {"<｜end▁of▁sentence｜>", "[E]"}, {"｜DSML｜", "%"},
    };
    size_t at = 0;
    for (size_t i = 0; i < prompt->n_control; i++) {
        const ds4_control_span *span = &prompt->control[i];
        const char *token = prompt->text.data + span->offset_bytes, *name = NULL;
        assert_true(buffer_append(out, prompt->text.data + at, span->offset_bytes - at));
        for (size_t k = 0; k < sizeof names / sizeof *names; k++)
            if (strlen(names[k][0]) == span->n_bytes && memcmp(names[k][0], token, span->n_bytes) == 0)
                name = names[k][1];
        assert_true(name ? buffer_append_string(out, name) : buffer_append(out, token, span->n_bytes));
        at = span->offset_bytes + span->n_bytes;
    }
    assert_true(buffer_append(out, prompt->text.data + at, prompt->text.n_bytes - at));
    shorten(out);
}

void check_prompts(const api *of, const prompt_case *cases, size_t n) {
    for (size_t i = 0; i < n; i++) {
        json_t *body = json_of(cases[i].body);
        request *asked;
        problem why;
        ds4_buffer result = {0};
        if (read_with(of, body, &usual_facts, false, NULL, &asked, &why)) {
            short_prompt(&asked->prompt, &result);
        } else {
            describe_problem(&result, of, &why);
        }
        if (strcmp(result.data, cases[i].prompt) != 0)
            fail_msg("%s\n  gives    %s\n  expected %s", cases[i].body, result.data, cases[i].prompt);
        ds4_buffer_deinit(&result);
        request_free(asked);
        json_decref(body);
    }
}
