/* Conversations as clients have them, through the whole server: each turn sends everything again, and all of it that
 * the model has seen is found, whatever API it went through and however the model spelled its calls. */
#include "test.h"

#include "base/memory.h"
#include "support/http_client.h"
#include "support/served.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Not what the prompt's own spelling of this call would be. */
#define CALL                                                                                              \
    "Let me look.\n\n<｜DSML｜tool_calls>\n<｜DSML｜invoke name=\"read\">\n"                              \
    "<｜DSML｜parameter name=\"lines\" string=\"false\">[1,   2,3 ]</｜DSML｜parameter>\n"                \
    "<｜DSML｜parameter name=\"path\" string=\"true\">notes.txt</｜DSML｜parameter>\n</｜DSML｜invoke>\n" \
    "</｜DSML｜tool_calls>"
#define TURNS \
    "I must see the file.</think>" CALL "\n---\nNow I know.</think>It is 42.\n---\nEasy.</think>You are welcome."
#define PARAMETERS \
    "{\"type\":\"object\",\"properties\":{\"path\":{\"type\":\"string\"},\"lines\":{\"type\":\"array\"}}}"
#define SYSTEM "You are a careful agent that reads files and answers questions about them in few words."

static served serve(const char *script_text) {
    served_options options = served_options_default();
    options.script_text = script_text;
    return served_start(&options);
}

static json_t *parse(const char *text) {
    json_error_t where;
    json_t *value = json_loads(text, 0, &where);
    if (!value) fail_msg("%s: %s", text, where.text);
    return value;
}

/* The answer to body, which stays the caller's. */
static json_t *post(const served *s, const char *path, const json_t *body) {
    char *text = json_dumps(body, 0);
    http_response response = http_call(s->url, "POST", path, NULL, text);
    if (response.status != 200) fail_msg("%s: %d %s", path, response.status, response.body.data);
    json_t *answer = parse(response.body.data);
    http_response_deinit(&response);
    free(text);
    return answer;
}

static size_t number(const json_t *value, const char *a, const char *b, const char *c) {
    value = json_object_get(json_object_get(value, a), b);
    if (c) value = json_object_get(value, c);
    assert_true(json_is_integer(value));
    return (size_t)json_integer_value(value);
}

/* What a turn had of the prompt. */
typedef struct turn {
    size_t prompt, cached, answer;
} turn;

static void expect_all_found(const turn *now, const turn *before) {
    /* with the token that ended the answer */
    assert_int_equal(now->cached, before->prompt + before->answer + 1);
}

/* ---- chat ---------------------------------------------------------------------------------------- */

static json_t *chat_new(const char *question) {
    return json_pack("{s:[{s:s,s:s},{s:s,s:s}], s:[{s:s,s:{s:s,s:s,s:o}}]}", "messages", "role", "system", "content",
                     SYSTEM, "role", "user", "content", question, "tools", "type", "function", "function", "name",
                     "read", "description", "Reads a file.", "parameters", parse(PARAMETERS));
}

static turn chat_turn(const served *s, json_t *body, const char *next_question) {
    json_t *answer = post(s, "/v1/chat/completions", body), *messages = json_object_get(body, "messages");
    json_t *message = json_object_get(json_array_get(json_object_get(answer, "choices"), 0), "message");
    json_array_append(messages, message);
    json_t *calls = json_object_get(message, "tool_calls"), *call;
    size_t i;
    json_array_foreach(calls, i, call) {
        json_t *id = json_object_get(call, "id");
        json_array_append_new(messages,
                              json_pack("{s:s,s:O,s:s}", "role", "tool", "tool_call_id", id, "content", "42"));
    }
    if (!calls) json_array_append_new(messages, json_pack("{s:s,s:s}", "role", "user", "content", next_question));
    turn t = {number(answer, "usage", "prompt_tokens", NULL),
              number(answer, "usage", "prompt_tokens_details", "cached_tokens"),
              number(answer, "usage", "completion_tokens", NULL)};
    json_decref(answer);
    return t;
}

static void six_conversations_in_turn_are_found_whole(void **state) {
    (void)state;
    enum { N = 6, N_TURNS = 3 };
    ds4_buffer text = {0};
    static const char *const block[N_TURNS] = {"I must see the file.</think>" CALL, "Now I know.</think>It is 42.",
                                               "Easy.</think>You are welcome."};
    for (int t = 0; t < N_TURNS; t++)
        for (int i = 0; i < N; i++)
            assert_true(buffer_append_string(&text, t + i ? "\n---\n" : "") && buffer_append_string(&text, block[t]));
    served s = serve(text.data);
    json_t *body[N];
    turn last[N];
    size_t n_prompt = 0, n_cached = 0;
    for (int i = 0; i < N; i++) {
        char question[64];
        snprintf(question, sizeof question, "What is in file number %d?", i);
        body[i] = chat_new(question);
    }
    for (int t = 0; t < N_TURNS; t++)
        for (int i = 0; i < N; i++) {
            turn now = chat_turn(&s, body[i], "Thank you.");
            if (t > 0) expect_all_found(&now, &last[i]);
            if (t == 0 && i > 0) assert_true(now.cached > now.prompt / 2); /* the system part */
            last[i] = now;
            n_prompt += now.prompt;
            n_cached += now.cached;
        }
    assert_true((double)n_cached > 0.85 * (double)n_prompt); /* so short, the new parts are not nothing */
    for (int i = 0; i < N; i++) json_decref(body[i]);
    ds4_buffer_deinit(&text);
    served_stop(&s);
}

static void a_call_that_the_client_changed_is_not_taken_for_the_models(void **state) {
    (void)state;
    served s = serve(TURNS);
    json_t *body = chat_new("What is in the file?");
    turn first = chat_turn(&s, body, "");
    json_t *message = json_array_get(json_object_get(body, "messages"), 2);
    json_t *call = json_object_get(json_array_get(json_object_get(message, "tool_calls"), 0), "function");
    json_object_set_new(call, "arguments", json_string("{\"lines\":[1,2,3],\"path\":\"other.txt\"}"));
    turn second = chat_turn(&s, body, "");
    assert_true(second.cached >= first.prompt - 1 && second.cached < first.prompt + first.answer);
    json_decref(body);
    served_stop(&s);
}

/* ---- the other APIs ------------------------------------------------------------------------------ */

static void messages_are_found_whole(void **state) {
    (void)state;
    served s = serve(TURNS);
    json_t *body = json_pack("{s:i,s:s,s:{s:s,s:i},s:[{s:s,s:s}],s:[{s:s,s:s,s:o}]}", "max_tokens", 1000, "system",
                             SYSTEM, "thinking", "type", "enabled", "budget_tokens", 500, "messages", "role", "user",
                             "content", "What is in the file?", "tools", "name", "read", "description", "Reads a file.",
                             "input_schema", parse(PARAMETERS));
    json_t *messages = json_object_get(body, "messages");
    turn last = {0};
    for (int t = 0; t < 3; t++) {
        json_t *answer = post(&s, "/v1/messages", body), *content = json_object_get(answer, "content"), *block;
        json_t *next = json_array();
        size_t i;
        json_array_append_new(messages, json_pack("{s:s,s:O}", "role", "assistant", "content", content));
        json_array_foreach(content, i,
                           block) if (strcmp(json_string_value(json_object_get(block, "type")), "tool_use") == 0)
            json_array_append_new(next, json_pack("{s:s,s:O,s:s}", "type", "tool_result", "tool_use_id",
                                                  json_object_get(block, "id"), "content", "42"));
        if (!json_array_size(next))
            json_array_append_new(next, json_pack("{s:s,s:s}", "type", "text", "text", "Thank you."));
        json_array_append_new(messages, json_pack("{s:s,s:o}", "role", "user", "content", next));
        size_t cached = number(answer, "usage", "cache_read_input_tokens", NULL);
        turn now = {number(answer, "usage", "input_tokens", NULL) + cached, cached,
                    number(answer, "usage", "output_tokens", NULL)};
        if (t > 0) expect_all_found(&now, &last);
        last = now;
        json_decref(answer);
    }
    json_decref(body);
    served_stop(&s);
}

static void responses_are_found_whole(void **state) {
    (void)state;
    served s = serve(TURNS);
    json_t *body = json_pack("{s:s,s:[{s:s,s:s}],s:[{s:s,s:s,s:s,s:o}]}", "instructions", SYSTEM, "input", "role",
                             "user", "content", "What is in the file?", "tools", "type", "function", "name", "read",
                             "description", "Reads a file.", "parameters", parse(PARAMETERS));
    json_t *input = json_object_get(body, "input");
    turn last = {0};
    for (int t = 0; t < 3; t++) {
        json_t *answer = post(&s, "/v1/responses", body), *output = json_object_get(answer, "output"), *item;
        size_t i, n_calls = 0;
        json_array_extend(input, output);
        json_array_foreach(output, i,
                           item) if (strcmp(json_string_value(json_object_get(item, "type")), "function_call") == 0) {
            json_array_append_new(input, json_pack("{s:s,s:O,s:s}", "type", "function_call_output", "call_id",
                                                   json_object_get(item, "call_id"), "output", "42"));
            n_calls++;
        }
        if (!n_calls) json_array_append_new(input, json_pack("{s:s,s:s}", "role", "user", "content", "Thank you."));
        turn now = {number(answer, "usage", "input_tokens", NULL),
                    number(answer, "usage", "input_tokens_details", "cached_tokens"),
                    number(answer, "usage", "output_tokens", NULL)};
        if (t > 0) expect_all_found(&now, &last);
        last = now;
        json_decref(answer);
    }
    json_decref(body);
    served_stop(&s);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(six_conversations_in_turn_are_found_whole),
        cmocka_unit_test(a_call_that_the_client_changed_is_not_taken_for_the_models),
        cmocka_unit_test(messages_are_found_whole),
        cmocka_unit_test(responses_are_found_whole),
    };
    return cmocka_run_group_tests_name("server_replay", tests, NULL, NULL);
}
