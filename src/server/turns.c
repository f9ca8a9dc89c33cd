/*
 * The official form has one system message in front, which shows tools and response format; user and tool messages; and
 * assistant messages with reasoning, content and calls. What APIs have besides is brought into that form: later system
 * messages are text of the user at that place (the official developer role would vanish once the conversation goes on),
 * tools that become known later are announced where that happens, so that the prompt in front stays as it was.
 */
#include "server/turns.h"
#include "base/memory.h"
#include "server/api.h"
#include "text/dsml.h"
#include "text/exact_json.h"
#include "text/prompt.h"

#include <stdlib.h>
#include <string.h>

enum { MAX_TOOLS = 1024, MAX_TOOL_NAME_BYTES = 256 };
/* Claude Code's billing line differs from conversation to conversation: with it no prefix would ever be shared. */
#define VOLATILE_PREFIX "x-anthropic-"

bool turns_init(turns *self, request *asked, const server_facts *facts, problem *why) {
    *self = (turns){.messages = json_array(), .effort = EFFORT_HIGH, .request = asked, .facts = facts, .problem = why};
    return self->messages || problem_memory(why);
}

void turns_deinit(turns *self) {
    json_decref(self->messages);
    ds4_buffer_deinit(&self->instructions);
    ds4_buffer_deinit(&self->reasoning);
    ds4_buffer_deinit(&self->content);
    ds4_buffer_deinit(&self->next_reasoning);
    json_decref(self->calls);
}

static json_t *last_message(const turns *self) {
    size_t n = json_array_size(self->messages);
    return n ? json_array_get(self->messages, n - 1) : NULL;
}

static bool is_from(const json_t *message, const char *role) {
    return text_is(json_object_get(message, "role"), role);
}

/* Adds the assistant's message that is being put together, if there is one. */
static bool end_answer(turns *self) {
    if (!self->answering) return true;
    json_t *message = json_pack("{s:s,s:o}", "role", "assistant", "content",
                                exact_json_string(self->content.data, self->content.n_bytes));
    if (self->reasoning.n_bytes)
        json_put(&message, "reasoning_content", exact_json_string(self->reasoning.data, self->reasoning.n_bytes));
    if (self->calls) json_put(&message, "tool_calls", json_incref(self->calls));
    bool ok = json_array_append_new(self->messages, message) == 0;
    json_decref(self->calls);
    self->calls = NULL;
    self->answering = false;
    buffer_clear(&self->content);
    buffer_clear(&self->reasoning);
    return ok || problem_memory(self->problem);
}

/* message is taken. */
static bool add_message(turns *self, json_t *message) {
    if (end_answer(self)) return json_array_append_new(self->messages, message) == 0 || problem_memory(self->problem);
    json_decref(message);
    return false;
}

/* ---- text of content ----------------------------------------------------------------------------- */

/* What may stand in content: text, or a word for what cannot be shown. */
typedef enum part_use { PART_TEXT, PART_MEDIA, PART_REFERENCE, PART_UNKNOWN } part_use;

static part_use use_of_part(const json_t *type, const char **member, const char **what) {
    static const struct {
        const char *type, *member, *what;
    } known[] = {
        {"text", "text", NULL},         {"input_text", "text", NULL},     {"output_text", "text", NULL},
        {"summary_text", "text", NULL}, {"reasoning_text", "text", NULL}, {"refusal", "refusal", NULL},
        {"image", NULL, "image"},       {"image_url", NULL, "image"},     {"input_image", NULL, "image"},
        {"file", NULL, "file"},         {"input_file", NULL, "file"},     {"document", NULL, "document"},
        {"audio", NULL, "audio"},       {"input_audio", NULL, "audio"},   {"video_url", NULL, "video"},
    };
    *member = "text";
    if (!type || json_is_null(type)) return PART_TEXT;
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        if (!text_is(type, known[i].type)) continue;
        *member = known[i].member;
        *what = known[i].what;
        return known[i].member ? PART_TEXT : PART_MEDIA;
    }
    return text_is(type, "tool_reference") ? PART_REFERENCE : PART_UNKNOWN;
}

static bool append(turns *self, ds4_buffer *text, const char *bytes, size_t n_bytes) {
    return buffer_append(text, bytes, n_bytes) || problem_memory(self->problem);
}

static bool append_string(turns *self, ds4_buffer *text, const char *string) {
    return append(self, text, string, strlen(string));
}

/* How content is read: results show what a user's message may not have, instructions lose volatile lines. */
typedef enum content_use { CONTENT_MESSAGE, CONTENT_RESULT, CONTENT_INSTRUCTIONS } content_use;

static bool append_text(turns *self, content_use use, json_t *value, const char *place, ds4_buffer *text) {
    size_t n_bytes;
    const char *bytes = exact_json_text(value, &n_bytes);
    if (!bytes)
        return problem_set(self->problem, PROBLEM_INVALID, place, "%s, expected a string", exact_json_type(value));
    bool cut = false;
    while (use == CONTENT_INSTRUCTIONS && n_bytes &&
           ((n_bytes >= strlen(VOLATILE_PREFIX) && memcmp(bytes, VOLATILE_PREFIX, strlen(VOLATILE_PREFIX)) == 0) ||
            (cut && *bytes == '\n'))) {
        const char *end = memchr(bytes, '\n', n_bytes);
        size_t line = end ? (size_t)(end - bytes) + 1 : n_bytes;
        bytes += line;
        n_bytes -= line;
        cut = true;
    }
    return append(self, text, bytes, n_bytes);
}

/* Tells the model that it may call the tool from now on; the schema is shown the first time. */
static bool announce(turns *self, size_t tool, ds4_buffer *text) {
    request_tool *known = &self->request->tool[tool];
    bool shown = !known->deferred || known->announced;
    known->announced = true;
    if (!append_string(self, text, known->name)) return false;
    if (shown) return append_string(self, text, " is available.");
    return append_string(self, text, " is available now:\n") &&
           (exact_json_write(text, known->schema) || problem_memory(self->problem));
}

static bool append_reference(turns *self, json_t *part, const char *place, ds4_buffer *text) {
    field_reader fields;
    const char *name = NULL;
    if (!field_reader_init(&fields, part, place, self->problem) || !field_need_text(&fields, "tool_name", &name))
        return false;
    size_t tool = request_find_tool(self->request, name, strlen(name));
    if (tool < self->request->n_tools) return announce(self, tool, text);
    return append_string(self, text, name) && append_string(self, text, " is not available.");
}

static bool append_unsupported(turns *self, const char *what, size_t n_bytes, ds4_buffer *text) {
    return append_string(self, text, "[Unsupported ") && append(self, text, what, n_bytes) &&
           append_string(self, text, "]");
}

static bool append_part(turns *self, content_use use, json_t *part, const char *place, ds4_buffer *text) {
    if (json_is_string(part)) return append_text(self, use, part, place, text);
    field_reader fields;
    if (!field_reader_init(&fields, part, place, self->problem)) return false;
    json_t *type = json_object_get(part, "type");
    const char *member, *what = NULL;
    switch (use_of_part(type, &member, &what)) {
    case PART_TEXT:
        return append_text(self, use, json_object_get(part, member), field_path_of(place, member).text, text);
    case PART_MEDIA:
        if (use == CONTENT_RESULT) return append_unsupported(self, what, strlen(what), text);
        return problem_set(self->problem, PROBLEM_UNSUPPORTED, place, "%s%s not supported by this model", what,
                           what[0] == 'a' || what[0] == 'v' ? " is" : "s are");
    case PART_REFERENCE:
        if (use == CONTENT_RESULT) return append_reference(self, part, place, text);
        break;
    case PART_UNKNOWN: break;
    }
    size_t n_bytes;
    const char *name = exact_json_text(type, &n_bytes);
    if (name && use == CONTENT_RESULT) return append_unsupported(self, name, n_bytes, text);
    if (name)
        return problem_set(self->problem, PROBLEM_UNSUPPORTED, field_path_of(place, "type").text,
                           "\"%.64s\" is not supported here", name);
    return field_wrong(&fields, "type", "a string");
}

static bool append_content(turns *self, content_use use, json_t *content, const char *place, ds4_buffer *text) {
    if (!content || json_is_null(content)) return true;
    if (!json_is_array(content)) {
        if (json_is_string(content)) return append_text(self, use, content, place, text);
        if (json_is_object(content)) return append_part(self, use, content, place, text);
        return problem_set(self->problem, PROBLEM_INVALID, place, "%s, expected a string or an array of parts",
                           exact_json_type(content));
    }
    bool any = false;
    ds4_buffer part = {0};
    bool ok = true;
    for (size_t i = 0; i < json_array_size(content) && ok; i++) {
        buffer_clear(&part);
        ok = append_part(self, use, json_array_get(content, i), field_path_at(place, i).text, &part);
        if (!ok || (use == CONTENT_INSTRUCTIONS && !part.n_bytes)) continue;
        if (any) ok = append(self, text, "\n\n", 2);
        any = true;
        ok = ok && append(self, text, part.data ? part.data : "", part.n_bytes);
    }
    ds4_buffer_deinit(&part);
    return ok;
}

bool turns_text(turns *self, json_t *content, const char *place, ds4_buffer *text) {
    return append_content(self, CONTENT_MESSAGE, content, place, text);
}

/* {"role": role, "content": text}; takes the text's memory. */
static json_t *message_with(const char *role, ds4_buffer *text) {
    json_t *content = exact_json_string(text->data, text->n_bytes);
    ds4_buffer_deinit(text);
    return json_pack("{s:s,s:o}", "role", role, "content", content);
}

/* ---- instructions and users ---------------------------------------------------------------------- */

bool turns_instructions(turns *self, json_t *content, const char *place) {
    ds4_buffer text = {0};
    bool ok = append_content(self, CONTENT_INSTRUCTIONS, content, place, &text);
    if (ok && text.n_bytes && (self->answering || json_array_size(self->messages)))
        return add_message(self, message_with("user", &text));
    if (ok && text.n_bytes) {
        if (self->instructions.n_bytes) ok = append(self, &self->instructions, "\n\n", 2);
        ok = ok && append(self, &self->instructions, text.data, text.n_bytes);
    }
    ds4_buffer_deinit(&text);
    return ok;
}

bool turns_user(turns *self, json_t *content, const char *place) {
    ds4_buffer text = {0};
    if (turns_text(self, content, place, &text)) {
        buffer_clear(&self->next_reasoning);
        return add_message(self, message_with("user", &text));
    }
    ds4_buffer_deinit(&text);
    return false;
}

/* ---- assistants ---------------------------------------------------------------------------------- */

/* Adds text behind a blank line. */
static bool extend(turns *self, ds4_buffer *to, const char *text, size_t n_bytes) {
    if (!n_bytes) return true;
    return (!to->n_bytes || append(self, to, "\n\n", 2)) && append(self, to, text, n_bytes);
}

bool turns_reasoning(turns *self, const char *text, size_t n_bytes) {
    return extend(self, &self->next_reasoning, text, n_bytes);
}

/* Whether reasoning, content and calls would stay in this order if the message goes on. */
static bool continues(const turns *self, bool has_content) {
    if (!self->answering) return false;
    if (self->next_reasoning.n_bytes && (self->content.n_bytes || self->calls)) return false;
    return !has_content || !self->calls;
}

bool turns_assistant(turns *self, json_t *content, json_t *calls, const char *place) {
    ds4_buffer text = {0};
    bool ok = turns_text(self, content, place, &text);
    if (ok && !continues(self, text.n_bytes > 0)) ok = end_answer(self);
    self->answering = true;
    ok = ok && extend(self, &self->reasoning, self->next_reasoning.data, self->next_reasoning.n_bytes) &&
         extend(self, &self->content, text.data, text.n_bytes);
    ds4_buffer_deinit(&text);
    buffer_clear(&self->next_reasoning);
    if (!ok || !json_array_size(calls)) return ok;
    if (!self->calls) self->calls = json_array();
    return json_array_extend(self->calls, calls) == 0 || problem_memory(self->problem);
}

static bool add_call(turns *self, json_t *calls, const char *id, const char *name, json_t *arguments) {
    json_t *call = json_pack("{s:s,s:{s:s,s:o}}", "type", "function", "function", "name", name, "arguments", arguments);
    if (id) json_put(&call, "id", json_string(id));
    return json_array_append_new(calls, call) == 0 || problem_memory(self->problem);
}

/* Arguments always go on as text: of an object what json.dumps writes, which is shown the same. */
static json_t *as_text(json_t *value) {
    ds4_buffer text = {0};
    json_t *string = exact_json_write(&text, value) ? exact_json_string(text.data, text.n_bytes) : NULL;
    ds4_buffer_deinit(&text);
    return string;
}

bool turns_call(turns *self, json_t *calls, const char *id, const char *name, json_t *arguments, const char *place) {
    size_t n_bytes;
    if (!arguments || json_is_null(arguments)) return add_call(self, calls, id, name, json_string("{}"));
    if (json_is_object(arguments)) return add_call(self, calls, id, name, as_text(arguments));
    if (!exact_json_text(arguments, &n_bytes))
        return problem_set(self->problem, PROBLEM_INVALID, place, "%s, expected a string or an object",
                           exact_json_type(arguments));
    /* Several clients send the arguments of a call without any as "". */
    return add_call(self, calls, id, name, n_bytes ? json_incref(arguments) : json_string("{}"));
}

bool turns_custom_call(turns *self, json_t *calls, const char *id, const char *name, json_t *input, const char *place) {
    size_t n_bytes;
    if (!exact_json_text(input, &n_bytes))
        return problem_set(self->problem, PROBLEM_INVALID, place, "%s, expected a string", exact_json_type(input));
    json_t *arguments = json_pack("{s:O}", "input", input);
    bool ok = arguments ? add_call(self, calls, id, name, as_text(arguments)) : problem_memory(self->problem);
    json_decref(arguments);
    return ok;
}

/* ---- results and tools --------------------------------------------------------------------------- */

bool turns_tool_result(turns *self, const char *call_id, json_t *content, bool is_error, const char *place) {
    static const char mark[] = "Error";
    ds4_buffer text = {0}, marked = {0};
    bool ok = append_content(self, CONTENT_RESULT, content, place, &text);
    if (ok && is_error && (text.n_bytes < strlen(mark) || memcmp(text.data, mark, strlen(mark)) != 0)) {
        ok = append_string(self, &marked, "Error: ") && append(self, &marked, text.data ? text.data : "", text.n_bytes);
        ds4_buffer_deinit(&text);
        text = marked;
    }
    if (!ok) {
        ds4_buffer_deinit(&text);
        return false;
    }
    buffer_clear(&self->next_reasoning);
    json_t *message = message_with("tool", &text);
    if (message && call_id && json_object_set_new(message, "tool_call_id", json_string(call_id)) != 0) {
        json_decref(message);
        message = NULL;
    }
    return add_message(self, message);
}

char *turns_tool_name(const char *api_namespace, const char *api_name) {
    size_t front = api_namespace ? strlen(api_namespace) : 0;
    bool joined = front >= 2 && strcmp(api_namespace + front - 2, "__") == 0;
    char *name = malloc(front + strlen(api_name) + sizeof "__");
    if (!name) return NULL;
    strcpy(name, front ? api_namespace : "");
    if (front && !joined) strcat(name, "__");
    return strcat(name, api_name);
}

/* Names stand in an attribute of a tag. */
static bool is_tool_name(const char *name) {
    size_t n_bytes = strlen(name);
    if (!n_bytes || n_bytes > MAX_TOOL_NAME_BYTES) return false;
    for (size_t i = 0; i < n_bytes; i++)
        if ((unsigned char)name[i] <= ' ' || strchr("\"<>&", name[i])) return false;
    return true;
}

static bool announce_later(turns *self, size_t tool) {
    if (!self->announcement) return true;
    return (!self->announcement->n_bytes || append(self, self->announcement, "\n\n", 2)) &&
           announce(self, tool, self->announcement);
}

bool turns_tool(turns *self, tool_kind kind, const char *api_namespace, const char *api_name, bool deferred,
                json_t *schema, const char *place) {
    request_tool tool = {.name = turns_tool_name(api_namespace, api_name),
                         .api_name = strdup(api_name),
                         .api_namespace = api_namespace ? strdup(api_namespace) : NULL,
                         .kind = kind,
                         .schema = schema,
                         .deferred = deferred};
    request *asked = self->request;
    bool ok = true;
    if (self->announcement) tool.deferred = true;
    size_t known = tool.name ? request_find_tool(asked, tool.name, strlen(tool.name)) : 0;
    if (!tool.name || !tool.schema || (api_namespace && !tool.api_namespace))
        ok = problem_memory(self->problem);
    else if (!is_tool_name(tool.name))
        ok = problem_set(self->problem, PROBLEM_INVALID, place,
                         "\"%.64s\" cannot be the name of a tool: expected 1 to %d characters without blanks, quotes, "
                         "<, > and &",
                         tool.name, MAX_TOOL_NAME_BYTES);
    else if (known < asked->n_tools && self->later_tools)
        ok = announce_later(self, known);
    else if (known < asked->n_tools)
        ok = problem_set(self->problem, PROBLEM_INVALID, place, "two tools have the name \"%.64s\"", tool.name);
    else if (asked->n_tools == MAX_TOOLS)
        ok = problem_set(self->problem, PROBLEM_INVALID, place, "more than %d tools", MAX_TOOLS);
    else
        return request_add_tool(asked, tool) ? announce_later(self, known) : problem_memory(self->problem);
    free(tool.name);
    free(tool.api_name);
    free(tool.api_namespace);
    json_decref(schema);
    return ok;
}

/* ---- the whole request --------------------------------------------------------------------------- */

/* The official list of the tools that are shown from the beginning. NULL without memory. */
static json_t *shown_tools(const request *asked) {
    json_t *tools = json_array();
    for (size_t i = 0; i < asked->n_tools && tools; i++) {
        const request_tool *tool = &asked->tool[i];
        if (tool->deferred) continue;
        if (json_array_append_new(tools, json_pack("{s:s,s:O}", "type", "function", "function", tool->schema)) == 0)
            continue;
        json_decref(tools);
        tools = NULL;
    }
    return tools;
}

/* The response format that the system message shows; new, NULL for text. */
static json_t *shown_format(const request *asked) {
    if (asked->format == FORMAT_JSON_SCHEMA) return json_incref(asked->format_schema);
    return asked->format == FORMAT_JSON_OBJECT ? json_pack("{s:s}", "type", "object") : NULL;
}

/* An answer that has not begun: some clients send the place of the next one along. */
static bool is_empty_answer(const json_t *message) {
    return is_from(message, "assistant") && text_is(json_object_get(message, "content"), "") &&
           !json_object_get(message, "reasoning_content") && !json_array_size(json_object_get(message, "tool_calls"));
}

/* The model speaks behind a user or a result, or goes on with what the assistant began. */
static bool end_with_a_question(turns *self) {
    if (is_empty_answer(last_message(self))) json_array_remove(self->messages, json_array_size(self->messages) - 1);
    json_t *last = last_message(self);
    if (is_from(last, "assistant") && !json_array_size(json_object_get(last, "tool_calls"))) {
        /* Its thinking, if there was any, is over. */
        if (!json_object_get(last, "reasoning_content")) self->effort = EFFORT_NONE;
        return json_object_set_new(last, "wo_eos", json_true()) == 0 || problem_memory(self->problem);
    }
    if (is_from(last, "user") || is_from(last, "tool")) return true;
    return turns_user(self, NULL, "");
}

bool turns_finish(turns *self) {
    request *asked = self->request;
    if (!end_answer(self) || !end_with_a_question(self)) return false;
    if (self->instructions.n_bytes || asked->format != FORMAT_TEXT) {
        json_t *front = message_with("system", &self->instructions);
        json_t *format = shown_format(asked);
        if (asked->format != FORMAT_TEXT && json_object_set_new(front, "response_format", format) != 0)
            return json_decref(front), problem_memory(self->problem);
        if (json_array_insert_new(self->messages, 0, front) != 0) return problem_memory(self->problem);
    }
    bool has_room = self->facts->context_tokens >= DS4_MAX_EFFORT_CONTEXT;
    const char *effort = self->effort == EFFORT_NONE ? "none" : self->effort == EFFORT_MAX && has_room ? "max" : "high";
    json_t *tools = shown_tools(asked);
    asked->has_tools = json_array_size(tools) > 0;
    json_decref(asked->prompt_json);
    asked->prompt_json =
        json_pack("{s:O,s:o,s:s}", "messages", self->messages, "tools", tools, "reasoning_effort", effort);
    return asked->prompt_json || problem_memory(self->problem);
}

/* ---- prompt and tokens --------------------------------------------------------------------------- */

static ds4_status append_raw(request *asked, const ds4_tokenizer *tokenizer, ds4_error *error) {
    int32_t bos = ds4_tokenizer_bos(tokenizer);
    const ds4_tokens *given = &asked->raw_tokens;
    ds4_status status = DS4_OK;
    if (!given->n || given->id[0] != bos) status = prompt_append_tokens(&asked->prompt, tokenizer, &bos, 1, error);
    if (!status) status = prompt_append_tokens(&asked->prompt, tokenizer, given->id, given->n, error);
    if (!status && !buffer_append(&asked->prompt.text, asked->raw_prompt.data, asked->raw_prompt.n_bytes))
        status = error_memory(error, "prompt", asked->raw_prompt.n_bytes);
    if (status || !given->n) return status;
    /* Tokens stay what they are: the text of two may also be that of one. */
    if (given->id[0] != bos) status = ds4_tokens_append(&asked->tokens, &bos, 1, error);
    return status ? status : ds4_tokens_append(&asked->tokens, given->id, given->n, error);
}

bool request_encode(request *asked, const ds4_tokenizer *tokenizer, call_memory *memory, size_t context_tokens,
                    problem *why) {
    ds4_error error;
    call_lookup lookup = {.memory = memory, .request = asked};
    prompt_hooks hooks = {.put_calls = memory ? call_memory_put : NULL, .context = &lookup};
    ds4_status status = asked->prompt_json ? prompt_render_json(asked->prompt_json, &hooks, &asked->prompt, &error)
                                           : append_raw(asked, tokenizer, &error);
    ds4_tokens *tokens = &asked->tokens;
    if (!status && !tokens->n) status = ds4_prompt_encode(&asked->prompt, tokenizer, tokens, &error);
    if (status == DS4_ERROR_MEMORY) return problem_memory(why);
    if (status) return problem_set(why, PROBLEM_INVALID, NULL, "%s", error.message);
    int32_t think = ds4_tokenizer_control_id(tokenizer, TOKEN_THINK);
    asked->starts_in_reasoning = !asked->raw && tokens->n && tokens->id[tokens->n - 1] == think;
    if (asked->counts_only || tokens->n < context_tokens) return true;
    why->n_tokens = tokens->n;
    why->limit = context_tokens;
    return problem_set(why, PROBLEM_TOO_LONG, asked->api ? asked->api->prompt_field : NULL,
                       "%zu tokens, but the context has room for %zu", tokens->n, context_tokens);
}
