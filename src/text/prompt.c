/*
 * Turns to text. Everything written goes through one of two doors: put_template for the fixed text of the chat
 * format, in which control tokens are found and their places noted, and put_text for everything that came with
 * the request, which is never looked at. So what a user, a file or a tool says cannot become a control token.
 */
#include "text/prompt.h"
#include "base/error.h"
#include "base/memory.h"
#include "text/dsml.h"
#include "text/exact_json.h"
#include "text/prompt_request.h"

#include <stdlib.h>
#include <string.h>

static const char max_effort_text[] =
    "Reasoning Effort: Absolute maximum with no shortcuts permitted.\n"
    "You MUST be very thorough in your thinking and comprehensively decompose the problem to resolve the root cause, "
    "rigorously stress-testing your logic against all potential paths, edge cases, and adversarial scenarios.\n"
    "Explicitly write out your entire deliberation process, documenting every intermediate step, considered "
    "alternative, and rejected hypothesis to ensure absolutely no assumption is left unchecked.\n\n";

static const char tools_before_schemas[] =
    "## Tools\n\n"
    "You have access to a set of tools to help answer the user's question. You can invoke tools by writing a "
    "\"" TAG_CALLS(TOKEN_DSML) "\" block like the following:\n\n" TAG_CALLS(
        TOKEN_DSML) "\n"
                    "<" TOKEN_DSML "invoke name=\"$TOOL_NAME\">\n"
                    "<" TOKEN_DSML
                    "parameter name=\"$PARAMETER_NAME\" string=\"true|false\">$PARAMETER_VALUE" TAG_END_PARAMETER(
                        TOKEN_DSML) "\n"
                                    "...\n" TAG_END_INVOKE(
                                        TOKEN_DSML) "\n"
                                                    "<" TOKEN_DSML "invoke name=\"$TOOL_NAME2\">\n"
                                                    "...\n" TAG_END_INVOKE(TOKEN_DSML) "\n" TAG_END_CALLS(
                                                        TOKEN_DSML) "\n\n"
                                                                    "String parameters should be specified as is and "
                                                                    "set `string=\"true\"`. For all other types "
                                                                    "(numbers, booleans, "
                                                                    "arrays, objects), pass the value in JSON format "
                                                                    "and set `string=\"false\"`.\n\n"
                                                                    "If thinking_mode is enabled (triggered "
                                                                    "by " TOKEN_THINK
                                                                    "), you MUST output your complete reasoning "
                                                                    "inside " TOKEN_THINK "..." TOKEN_END_THINK
                                                                    " BEFORE any tool calls or final response.\n\n"
                                                                    "Otherwise, output directly after " TOKEN_END_THINK
                                                                    " with tool calls or final response.\n\n"
                                                                    "### Available Tool Schemas\n\n";

static const char tools_after_schemas[] = "\n\nYou MUST strictly follow the above defined tool name and parameter "
                                          "schemas to invoke tool calls.\n";

static const char response_format_text[] =
    "## Response Format:\n\nYou MUST strictly adhere to the following schema to reply:\n";

/* ---- writing ------------------------------------------------------------------------------------- */

/* failed: there was no memory. Nothing is written from then on, so that only the end has to ask. */
typedef struct renderer {
    ds4_prompt prompt;
    ds4_buffer scratch;
    const prompt_hooks *hooks; /* NULL: none */
    bool failed;
} renderer;

static void put_text(renderer *r, const char *text, size_t n_bytes) {
    if (!r->failed && !buffer_append(&r->prompt.text, text, n_bytes)) r->failed = true;
}

static void put_control(renderer *r, const char *token) {
    ds4_prompt *prompt = &r->prompt;
    size_t offset_bytes = prompt->text.n_bytes, n_bytes = strlen(token);
    put_text(r, token, n_bytes);
    if (r->failed || !array_reserve((void **)&prompt->control, &prompt->control_capacity, prompt->n_control + 1,
                                    sizeof *prompt->control)) {
        r->failed = true;
        return;
    }
    prompt->control[prompt->n_control++] = (ds4_control_span){offset_bytes, n_bytes};
}

/* Fixed text; the control tokens that occur inside sentences and tags are these. */
static void put_template(renderer *r, const char *text) {
    static const char *const token[] = {TOKEN_THINK, TOKEN_END_THINK, TOKEN_DSML};
    for (;;) {
        const char *next = NULL, *found = NULL;
        for (size_t i = 0; i < sizeof token / sizeof *token; i++) {
            const char *at = strstr(text, token[i]);
            if (at && (!next || at < next)) {
                next = at;
                found = token[i];
            }
        }
        if (!next) break;
        put_text(r, text, (size_t)(next - text));
        put_control(r, found);
        text = next + strlen(found);
    }
    put_text(r, text, strlen(text));
}

static const char *find(const char *text, size_t n_bytes, const char *string) {
    size_t length = strlen(string);
    while (n_bytes >= length) {
        const char *at = memchr(text, string[0], n_bytes - length + 1);
        if (!at) break;
        if (memcmp(at, string, length) == 0) return at;
        n_bytes -= (size_t)(at + 1 - text);
        text = at + 1;
    }
    return NULL;
}

/* Text in which a closing tag must not occur: the tag's "<" is written as escape. */
static void put_protected(renderer *r, const char *text, size_t n_bytes, const char *tag, const char *escape) {
    const char *end = text + n_bytes, *at;
    while ((at = find(text, (size_t)(end - text), tag))) {
        put_text(r, text, (size_t)(at - text));
        put_text(r, escape, strlen(escape));
        text = at + 1;
    }
    put_text(r, text, (size_t)(end - text));
}

static void put_json(renderer *r, json_t *value, const char *protected_tag) {
    buffer_clear(&r->scratch);
    if (!exact_json_write(&r->scratch, value)) r->failed = true;
    if (r->failed) return;
    if (protected_tag)
        put_protected(r, r->scratch.data, r->scratch.n_bytes, protected_tag, "\\u003c");
    else
        put_text(r, r->scratch.data, r->scratch.n_bytes);
}

static void put_string(renderer *r, const json_t *value, const char *protected_tag) {
    size_t n_bytes;
    const char *text = exact_json_text(value, &n_bytes);
    if (text && protected_tag)
        put_protected(r, text, n_bytes, protected_tag, "&lt;");
    else if (text)
        put_text(r, text, n_bytes);
}

/* Content: nothing, a string, or blocks joined by a blank line. */
static void put_content(renderer *r, json_t *content, const char *protected_tag) {
    put_string(r, content, protected_tag);
    if (!json_is_array(content)) return;
    for (size_t i = 0; i < json_array_size(content); i++) {
        json_t *block = json_array_get(content, i), *type = json_object_get(block, "type");
        size_t n_bytes;
        const char *name = exact_json_text(type, &n_bytes);
        if (i) put_text(r, "\n\n", 2);
        if (name && n_bytes == 4 && memcmp(name, "text", 4) == 0) {
            put_string(r, json_object_get(block, "text"), protected_tag);
        } else {
            put_text(r, "[Unsupported ", 13);
            put_string(r, type, protected_tag);
            put_text(r, "]", 1);
        }
    }
}

/* ---- tools --------------------------------------------------------------------------------------- */

static void put_schemas(renderer *r, json_t *tools, bool *first) {
    for (size_t i = 0; i < json_array_size(tools); i++) {
        if (!*first) put_text(r, "\n", 1);
        *first = false;
        put_json(r, json_object_get(json_array_get(tools, i), "function"), NULL);
    }
}

static void put_tools(renderer *r, const prompt_turn *turn) {
    json_t *own = json_object_get(turn->message, "tools");
    if (!exact_json_is_true(own) && !turn->top_tools) return;
    put_text(r, "\n\n", 2);
    put_template(r, tools_before_schemas);
    bool first = true;
    put_schemas(r, own, &first);
    put_schemas(r, turn->top_tools, &first);
    put_template(r, tools_after_schemas);
}

static void put_parameter(renderer *r, const char *key, json_t *value) {
    static const char closing_tag[] = TAG_END_PARAMETER(TOKEN_DSML);
    size_t n_bytes;
    bool is_string = exact_json_text(value, &n_bytes) != NULL;
    put_template(r, "<" TOKEN_DSML "parameter name=\"");
    put_text(r, key, strlen(key));
    put_template(r, is_string ? "\" string=\"true\">" : "\" string=\"false\">");
    if (is_string)
        put_string(r, value, closing_tag);
    else
        put_json(r, value, closing_tag);
    put_template(r, closing_tag);
}

/* Arguments that are not the JSON of an object are shown as they are, as one parameter. */
static void put_arguments(renderer *r, json_t *arguments) {
    json_t *parsed = NULL;
    size_t n_bytes;
    const char *text = exact_json_text(arguments, &n_bytes);
    if (text && exact_json_read(text, n_bytes, "arguments", &parsed, NULL) == DS4_ERROR_MEMORY) r->failed = true;
    json_t *object = text ? parsed : arguments;
    if (json_is_object(object)) {
        bool first = true;
        const char *key;
        json_t *value;
        json_object_foreach(object, key, value) {
            if (!first) put_text(r, "\n", 1);
            first = false;
            put_parameter(r, key, value);
        }
    } else {
        put_parameter(r, "arguments", arguments);
    }
    json_decref(parsed);
}

static void put_tool_calls(renderer *r, json_t *calls) {
    if (!json_array_size(calls) || r->failed) return;
    if (r->hooks && r->hooks->put_calls && r->hooks->put_calls(r->hooks->context, calls, &r->prompt)) return;
    put_template(r, "\n\n" TAG_CALLS(TOKEN_DSML) "\n");
    for (size_t i = 0; i < json_array_size(calls); i++) {
        json_t *function = json_object_get(json_array_get(calls, i), "function");
        put_template(r, "<" TOKEN_DSML "invoke name=\"");
        put_string(r, json_object_get(function, "name"), NULL);
        put_template(r, "\">\n");
        put_arguments(r, json_object_get(function, "arguments"));
        put_template(r, "\n" TAG_END_INVOKE(TOKEN_DSML) "\n");
    }
    put_template(r, TAG_END_CALLS(TOKEN_DSML));
}

/* ---- turns --------------------------------------------------------------------------------------- */

/* System and developer: text, tools, response format. */
static void put_instructions(renderer *r, const prompt_turn *turn) {
    put_content(r, json_object_get(turn->message, "content"), NULL);
    put_tools(r, turn);
    json_t *format = json_object_get(turn->message, "response_format");
    if (!exact_json_is_true(format)) return;
    put_text(r, "\n\n", 2);
    put_template(r, response_format_text);
    put_json(r, format, NULL);
}

static void put_blocks(renderer *r, const turn_block *block, size_t n) {
    for (size_t i = 0; i < n; i++) {
        if (i) put_text(r, "\n\n", 2);
        if (block[i].is_tool_result) put_template(r, "<tool_result>");
        put_content(r, block[i].content, block[i].is_tool_result ? "</tool_result>" : NULL);
        if (block[i].is_tool_result) put_template(r, "</tool_result>");
    }
}

static void put_assistant(renderer *r, const prompt_turn *turn, bool with_reasoning) {
    json_t *message = turn->message;
    if (with_reasoning) {
        put_string(r, json_object_get(message, "reasoning_content"), NULL);
        put_control(r, TOKEN_END_THINK);
    }
    put_content(r, json_object_get(message, "content"), NULL);
    put_tool_calls(r, json_object_get(message, "tool_calls"));
    if (!json_is_true(json_object_get(message, "wo_eos"))) put_control(r, TOKEN_EOS);
}

static void put_turn(renderer *r, const prompt_request *request, size_t index, bool with_reasoning) {
    const prompt_turn *turn = &request->turn[index];
    switch (turn->role) {
    case ROLE_SYSTEM: put_instructions(r, turn); break;
    case ROLE_DEVELOPER:
        put_control(r, TOKEN_USER);
        put_instructions(r, turn);
        break;
    case ROLE_USER:
    case ROLE_TOOL:
        put_control(r, TOKEN_USER);
        put_blocks(r, request->block + turn->first_block, turn->n_blocks);
        break;
    case ROLE_LATEST_REMINDER:
        put_control(r, TOKEN_LATEST_REMINDER);
        put_content(r, json_object_get(turn->message, "content"), NULL);
        break;
    case ROLE_ASSISTANT: {
        /* An answer to a task is a bare label: the model was not asked to think. */
        bool answers_task = index && request->turn[index - 1].task;
        put_assistant(r, turn, with_reasoning && !answers_task);
        break;
    }
    }
}

/* What makes the model speak after a turn: the assistant marker, the token of a task, or both. */
static void put_transition(renderer *r, const prompt_turn *turn, bool thinking, bool open) {
    bool is_action = turn->task && strcmp(turn->task, TOKEN_ACTION) == 0;
    bool is_question = turn->role == ROLE_USER || turn->role == ROLE_DEVELOPER;
    if (is_action || (!turn->task && is_question)) {
        put_control(r, TOKEN_ASSISTANT);
        put_control(r, thinking && (open || is_action) ? TOKEN_THINK : TOKEN_END_THINK);
    }
    if (turn->task) put_control(r, turn->task);
}

static void put_request(renderer *r, const prompt_request *request) {
    put_control(r, TOKEN_BOS);
    if (request->max_effort) put_template(r, max_effort_text);
    size_t last_user = prompt_request_last_user(request);
    bool has_user = last_user < request->n_turns;
    for (size_t i = 0; i < request->n_turns && !r->failed; i++) {
        /* Without tools the reasoning that led to earlier answers is left out. */
        bool open = request->keep_reasoning || !has_user || i >= last_user;
        put_turn(r, request, i, request->thinking && open);
        bool last = i + 1 == request->n_turns;
        message_role next = last ? ROLE_ASSISTANT : request->turn[i + 1].role;
        if (next == ROLE_ASSISTANT || next == ROLE_LATEST_REMINDER)
            put_transition(r, &request->turn[i], request->thinking, open);
    }
}

/* ---- the interface ------------------------------------------------------------------------------- */

ds4_status prompt_render_json(json_t *json, const prompt_hooks *hooks, ds4_prompt *prompt, ds4_error *error) {
    prompt_request request = {0};
    renderer r = {.hooks = hooks};
    ds4_status status = prompt_request_take(json, &request, error);
    if (!status) {
        put_request(&r, &request);
        if (r.failed) status = error_memory(error, "prompt", r.prompt.text.n_bytes);
    }
    if (!status) {
        ds4_prompt_deinit(prompt);
        *prompt = r.prompt;
        r.prompt = (ds4_prompt){0};
    }
    ds4_prompt_deinit(&r.prompt);
    ds4_buffer_deinit(&r.scratch);
    prompt_request_deinit(&request);
    return status;
}

ds4_status ds4_prompt_render(const char *request_json, size_t n_bytes, ds4_prompt *prompt, ds4_error *error) {
    json_t *request = NULL;
    ds4_status status = exact_json_read(request_json, n_bytes, "request", &request, error);
    if (!status) status = prompt_render_json(request, NULL, prompt, error);
    json_decref(request);
    return status;
}

/* ---- pieces -------------------------------------------------------------------------------------- */

static void cut_back(ds4_prompt *prompt, size_t n_bytes, size_t n_control) {
    prompt->text.n_bytes = n_bytes;
    if (prompt->text.data) prompt->text.data[n_bytes] = '\0';
    prompt->n_control = n_control;
}

static bool reserve_control(ds4_prompt *prompt, size_t n_more) {
    return array_reserve((void **)&prompt->control, &prompt->control_capacity, prompt->n_control + n_more,
                         sizeof *prompt->control);
}

ds4_status prompt_append_tokens(ds4_prompt *prompt, const ds4_tokenizer *tokenizer, const int32_t *id, size_t n,
                                ds4_error *error) {
    size_t n_bytes_before = prompt->text.n_bytes, n_control_before = prompt->n_control;
    for (size_t i = 0; i < n; i++) {
        bool is_control = ds4_tokenizer_is_control(tokenizer, id[i]);
        size_t offset_bytes = prompt->text.n_bytes;
        ds4_status status = ds4_tokenizer_decode(tokenizer, &id[i], 1, &prompt->text, error);
        if (!status && is_control && !reserve_control(prompt, 1))
            status = error_memory(error, "prompt", prompt->n_control * sizeof *prompt->control);
        if (status) {
            cut_back(prompt, n_bytes_before, n_control_before);
            return status;
        }
        if (is_control)
            prompt->control[prompt->n_control++] =
                (ds4_control_span){offset_bytes, prompt->text.n_bytes - offset_bytes};
    }
    return DS4_OK;
}

bool prompt_append(ds4_prompt *prompt, const ds4_prompt *piece) {
    size_t offset_bytes = prompt->text.n_bytes;
    if (!reserve_control(prompt, piece->n_control) ||
        !buffer_append(&prompt->text, piece->text.data, piece->text.n_bytes))
        return false;
    for (size_t i = 0; i < piece->n_control; i++)
        prompt->control[prompt->n_control++] =
            (ds4_control_span){offset_bytes + piece->control[i].offset_bytes, piece->control[i].n_bytes};
    return true;
}

/* ---- encoding ------------------------------------------------------------------------------------ */

static ds4_status encode_control(const char *token, size_t n_bytes, const ds4_tokenizer *tokenizer, ds4_tokens *tokens,
                                 ds4_error *error) {
    char string[64];
    int32_t id = -1;
    if (n_bytes < sizeof string) {
        memcpy(string, token, n_bytes);
        string[n_bytes] = '\0';
        id = ds4_tokenizer_control_id(tokenizer, string);
    }
    if (id < 0)
        return error_set(error, DS4_ERROR_FORMAT, "prompt: the vocabulary has no control token \"%.*s\"",
                         n_bytes < sizeof string ? (int)n_bytes : (int)sizeof string, token);
    return ds4_tokens_append(tokens, &id, 1, error);
}

ds4_status ds4_prompt_encode(const ds4_prompt *prompt, const ds4_tokenizer *tokenizer, ds4_tokens *tokens,
                             ds4_error *error) {
    const char *text = prompt->text.data;
    size_t at = 0, n_bytes = prompt->text.n_bytes, n_before = tokens->n;
    ds4_status status = DS4_OK;
    for (size_t i = 0; i < prompt->n_control && !status; i++) {
        ds4_control_span span = prompt->control[i];
        if (span.offset_bytes < at || span.offset_bytes > n_bytes || span.n_bytes > n_bytes - span.offset_bytes) {
            status = error_set(error, DS4_ERROR_ARGUMENT, "prompt: control span %zu is not behind the one before", i);
            break;
        }
        if (span.offset_bytes > at)
            status = ds4_tokenizer_encode(tokenizer, text + at, span.offset_bytes - at, false, tokens, error);
        if (!status) status = encode_control(text + span.offset_bytes, span.n_bytes, tokenizer, tokens, error);
        at = span.offset_bytes + span.n_bytes;
    }
    if (!status && at < n_bytes)
        status = ds4_tokenizer_encode(tokenizer, text + at, n_bytes - at, false, tokens, error);
    if (status) tokens->n = n_before;
    return status;
}

void ds4_prompt_deinit(ds4_prompt *prompt) {
    ds4_buffer_deinit(&prompt->text);
    free(prompt->control);
    *prompt = (ds4_prompt){0};
}
