/*
 * POST /v1/responses: the body becomes a request. Nothing is kept between requests, so the whole conversation comes
 * each time, as a list of items in which reasoning, text and every call stand alone; turns brings them together.
 */
#include "base/memory.h"
#include "server/answer_fields.h"
#include "server/base64.h"
#include "server/responses.h"
#include "text/exact_json.h"

#include <stdlib.h>
#include <string.h>

#define SEND_ALL ": send the whole input"

static const refused_field refused[] = {
    {"previous_response_id", NULL, SEND_ALL},
    {"conversation", NULL, SEND_ALL},
    {"store", "false", ": answers are not kept"},
    {"background", "false", NULL},
    {"prompt", NULL, ": send instructions and input"},
    {"truncation", "\"disabled\"", SEND_ALL},
    {"n", "1", NULL},
    {NULL, NULL, NULL},
};

/* ---- tools --------------------------------------------------------------------------------------- */

static bool read_tool(json_t *tool, const char *place, bool deferred, turns *to);

static bool read_tool_list(json_t *tools, const char *place, bool deferred, turns *to) {
    for (size_t i = 0; i < json_array_size(tools); i++)
        if (!read_tool(json_array_get(tools, i), field_path_at(place, i).text, deferred, to)) return false;
    return true;
}

/* {"type": "namespace", "name", "tools": functions} */
static bool read_namespace(field_reader *fields, bool deferred, turns *to) {
    const char *name = NULL;
    json_t *tools = NULL;
    if (!field_need_text(fields, "name", &name) || !field_array(fields, "tools", &tools)) return false;
    field_path list = field_path_of(fields->place, "tools");
    for (size_t i = 0; i < json_array_size(tools); i++) {
        field_reader inner;
        field_path place = field_path_at(list.text, i);
        bool later = deferred;
        json_t *tool = json_array_get(tools, i), *type = json_object_get(tool, "type");
        if (!field_reader_init(&inner, tool, place.text, to->problem) || !field_bool(&inner, "defer_loading", &later))
            return false;
        if (type && !text_is(type, "function"))
            return problem_set(to->problem, PROBLEM_UNSUPPORTED, field_path_of(place.text, "type").text,
                               "only functions are supported in a namespace");
        if (!read_function(tool, "parameters", name, TOOL_FUNCTION, place.text, deferred || later, to)) return false;
    }
    return true;
}

static bool read_tool(json_t *tool, const char *place, bool deferred, turns *to) {
    field_reader fields;
    const char *type = NULL, *execution = "server";
    bool later = false;
    if (!field_reader_init(&fields, tool, place, to->problem) || !field_need_text(&fields, "type", &type) ||
        !field_bool(&fields, "defer_loading", &later))
        return false;
    deferred = deferred || later;
    if (strcmp(type, "function") == 0)
        return read_function(tool, "parameters", NULL, TOOL_FUNCTION, place, deferred, to);
    if (strcmp(type, "custom") == 0) return read_custom(tool, place, to);
    if (strcmp(type, "namespace") == 0) return read_namespace(&fields, deferred, to);
    if (strcmp(type, "tool_search") == 0) {
        if (!field_text(&fields, "execution", &execution)) return false;
        if (strcmp(execution, "client") == 0)
            return read_function(tool, "parameters", NULL, TOOL_SEARCH, place, false, to);
        return true;
    }
    /* Tools that OpenAI runs itself have no name; agents list them whatever the server is. */
    if (!field_get(&fields, "name")) return true;
    return problem_set(to->problem, PROBLEM_UNSUPPORTED, field_path_of(place, "type").text,
                       "\"%.64s\" is not supported", type);
}

/* Tools wait for a search of the client; if it has none, nobody would ever find them. */
static void show_tools_without_search(request *asked) {
    for (size_t i = 0; i < asked->n_tools; i++)
        if (asked->tool[i].kind == TOOL_SEARCH) return;
    for (size_t i = 0; i < asked->n_tools; i++)
        if (!asked->tool[i].announced) asked->tool[i].deferred = false;
}

static bool read_tools(field_reader *fields, turns *to) {
    json_t *tools = NULL;
    bool parallel = true;
    if (!field_array(fields, "tools", &tools) || !read_tool_list(tools, "tools", false, to) ||
        !field_bool(fields, "parallel_tool_calls", &parallel))
        return false;
    to->request->one_call = !parallel;
    return true;
}

/* Tools that are part of the input. text: is told of them; NULL: they are like the others. */
static bool read_later_tools(json_t *tools, const char *place, turns *to, ds4_buffer *text) {
    to->later_tools = true;
    to->announcement = text;
    bool ok = read_tool_list(tools, place, false, to);
    to->later_tools = false;
    to->announcement = NULL;
    return ok;
}

/* ---- items --------------------------------------------------------------------------------------- */

static bool read_message(field_reader *item, turns *to) {
    static const char *const roles[] = {"user", "assistant", "system", "developer", NULL};
    int role = 0;
    if (!field_choice(item, "role", roles, &role)) return false;
    json_t *content = field_get(item, "content");
    field_path place = field_path_of(item->place, "content");
    if (role == 0) return turns_user(to, content, place.text);
    if (role == 1) return turns_assistant(to, content, NULL, place.text);
    return turns_instructions(to, content, place.text);
}

/* An assistant message that is one call. input: of a custom tool. */
static bool read_call(field_reader *item, const char *name, json_t *arguments, bool custom, turns *to) {
    const char *id = NULL, *space = NULL;
    if (!field_text(item, "call_id", &id) || !field_text(item, "namespace", &space)) return false;
    if (!name && !field_need_text(item, "name", &name)) return false;
    field_path place = field_path_of(item->place, custom ? "input" : "arguments");
    char *shown = turns_tool_name(space, name);
    json_t *calls = json_array();
    bool ok = (shown && calls) || problem_memory(to->problem);
    ok = ok && (custom ? turns_custom_call(to, calls, id, shown, arguments, place.text)
                       : turns_call(to, calls, id, shown, arguments, place.text));
    ok = ok && turns_assistant(to, NULL, calls, place.text);
    json_decref(calls);
    free(shown);
    return ok;
}

static bool read_output(field_reader *item, const char *field, turns *to) {
    const char *id = NULL;
    return field_text(item, "call_id", &id) &&
           turns_tool_result(to, id, field_get(item, field), false, field_path_of(item->place, field).text);
}

/* What is added before anything was said is shown with the other tools; later it would change what was in front. */
static bool read_additional_tools(field_reader *item, turns *to) {
    json_t *tools = NULL;
    if (!field_array(item, "tools", &tools)) return false;
    field_path place = field_path_of(item->place, "tools");
    if (!to->answering && !json_array_size(to->messages)) return read_later_tools(tools, place.text, to, NULL);
    ds4_buffer text = {0};
    bool ok = read_later_tools(tools, place.text, to, &text);
    json_t *content = ok ? exact_json_string(text.data, text.n_bytes) : NULL;
    if (ok && text.n_bytes) ok = content ? turns_user(to, content, place.text) : problem_memory(to->problem);
    json_decref(content);
    ds4_buffer_deinit(&text);
    return ok;
}

static bool read_found_tools(field_reader *item, turns *to) {
    const char *id = NULL;
    json_t *tools = NULL;
    ds4_buffer text = {0};
    if (!field_text(item, "call_id", &id) || !field_array(item, "tools", &tools)) return false;
    bool ok = read_later_tools(tools, field_path_of(item->place, "tools").text, to, &text);
    json_t *content = ok ? exact_json_string(text.data, text.n_bytes) : NULL;
    ds4_buffer_deinit(&text);
    if (ok && !content) return problem_memory(to->problem);
    ok = ok && turns_tool_result(to, id, content, false, item->place);
    json_decref(content);
    return ok;
}

/* What we called encrypted is the text itself; what others encrypted nobody here can read. */
static bool decrypt(const char *encrypted, size_t n_bytes, ds4_buffer *text) {
    size_t mark = strlen(RESPONSES_ENCRYPTED);
    return n_bytes >= mark && memcmp(encrypted, RESPONSES_ENCRYPTED, mark) == 0 &&
           base64_decode(encrypted + mark, n_bytes - mark, text);
}

static bool read_reasoning_item(field_reader *item, turns *to) {
    ds4_buffer text = {0};
    size_t n_bytes = 0;
    const char *encrypted = exact_json_text(field_get(item, "encrypted_content"), &n_bytes);
    bool ok = true;
    if (!encrypted || !decrypt(encrypted, n_bytes, &text)) {
        const char *field = json_array_size(field_get(item, "content")) ? "content" : "summary";
        ok = turns_text(to, field_get(item, field), field_path_of(item->place, field).text, &text);
    }
    ok = ok && turns_reasoning(to, text.data, text.n_bytes);
    ds4_buffer_deinit(&text);
    return ok;
}

typedef enum item_kind {
    ITEM_MESSAGE,
    ITEM_CALL,
    ITEM_CUSTOM_CALL,
    ITEM_SHELL_CALL,
    ITEM_SEARCH_CALL,
    ITEM_OUTPUT,
    ITEM_FOUND_TOOLS,
    ITEM_TOOLS,
    ITEM_REASONING,
    ITEM_IGNORED,
    ITEM_REFERENCE,
    ITEM_UNKNOWN,
} item_kind;

static item_kind kind_of_item(const char *type) {
    static const struct {
        const char *type;
        item_kind kind;
    } known[] = {
        {"message", ITEM_MESSAGE},
        {"function_call", ITEM_CALL},
        {"custom_tool_call", ITEM_CUSTOM_CALL},
        {"local_shell_call", ITEM_SHELL_CALL},
        {"tool_search_call", ITEM_SEARCH_CALL},
        {"function_call_output", ITEM_OUTPUT},
        {"custom_tool_call_output", ITEM_OUTPUT},
        {"local_shell_call_output", ITEM_OUTPUT},
        {"tool_search_output", ITEM_FOUND_TOOLS},
        {"additional_tools", ITEM_TOOLS},
        {"reasoning", ITEM_REASONING},
        {"item_reference", ITEM_REFERENCE},
        /* what OpenAI's own tools did, and summaries that only OpenAI can read */
        {"web_search_call", ITEM_IGNORED},
        {"file_search_call", ITEM_IGNORED},
        {"code_interpreter_call", ITEM_IGNORED},
        {"image_generation_call", ITEM_IGNORED},
        {"compaction", ITEM_IGNORED},
        {"context_compaction", ITEM_IGNORED},
        {"compaction_summary", ITEM_IGNORED},
    };
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (strcmp(type, known[i].type) == 0) return known[i].kind;
    return ITEM_UNKNOWN;
}

static bool read_item(json_t *value, const char *place, turns *to) {
    field_reader item;
    const char *type = "message";
    if (!field_reader_init(&item, value, place, to->problem) || !field_text(&item, "type", &type)) return false;
    switch (kind_of_item(type)) {
    case ITEM_MESSAGE: return read_message(&item, to);
    case ITEM_CALL: return read_call(&item, NULL, field_get(&item, "arguments"), false, to);
    case ITEM_CUSTOM_CALL: return read_call(&item, NULL, field_get(&item, "input"), true, to);
    case ITEM_SHELL_CALL: return read_call(&item, "local_shell", field_get(&item, "action"), false, to);
    case ITEM_SEARCH_CALL: return read_call(&item, "tool_search", field_get(&item, "arguments"), false, to);
    case ITEM_OUTPUT: return read_output(&item, "output", to);
    case ITEM_FOUND_TOOLS: return read_found_tools(&item, to);
    case ITEM_TOOLS: return read_additional_tools(&item, to);
    case ITEM_REASONING: return read_reasoning_item(&item, to);
    case ITEM_IGNORED: return true;
    case ITEM_REFERENCE:
        return problem_set(
            to->problem, PROBLEM_UNSUPPORTED, field_path_of(place, "type").text,
            "\"item_reference\" is not supported: answers are not stored, send \"store\": false and the whole "
            "input");
    case ITEM_UNKNOWN: break;
    }
    return problem_set(to->problem, PROBLEM_UNSUPPORTED, field_path_of(place, "type").text,
                       "\"%.64s\" is not supported", type);
}

static bool read_input(field_reader *fields, turns *to) {
    json_t *input = field_get(fields, "input");
    if (json_is_string(input)) return turns_user(to, input, "input");
    if (!json_is_array(input)) return field_wrong(fields, "input", "a string or an array of items");
    for (size_t i = 0; i < json_array_size(input); i++)
        if (!read_item(json_array_get(input, i), field_path_at("input", i).text, to)) return false;
    return true;
}

/* ---- the whole body ------------------------------------------------------------------------------ */

static bool read_reasoning(field_reader *fields, turns *to) {
    json_t *reasoning = NULL;
    field_reader inner;
    const char *summary = NULL;
    if (!field_object(fields, "reasoning", &reasoning)) return false;
    if (!reasoning) return true;
    if (!field_reader_init(&inner, reasoning, "reasoning", to->problem) || !read_effort(&inner, "effort", to) ||
        !field_text(&inner, "summary", &summary))
        return false;
    to->request->wants_summary = summary && strcmp(summary, "none") != 0;
    return true;
}

static bool read_text_options(field_reader *fields, request *asked) {
    json_t *text = NULL;
    field_reader inner;
    if (!field_object(fields, "text", &text)) return false;
    if (!text) return true;
    return field_reader_init(&inner, text, "text", fields->problem) &&
           read_format(field_get(&inner, "format"), "text.format", NULL, asked, fields->problem);
}

/* What else concerns tools of OpenAI's. */
static bool read_include(field_reader *fields, request *asked) {
    json_t *include = NULL;
    int64_t top = 0;
    if (!field_array(fields, "include", &include) ||
        !field_integer(fields, "top_logprobs", 0, REQUEST_MAX_TOP_LOGPROBS, &top))
        return false;
    for (size_t i = 0; i < json_array_size(include); i++) {
        json_t *what = json_array_get(include, i);
        if (text_is(what, "reasoning.encrypted_content")) asked->wants_encrypted = true;
        if (text_is(what, "message.output_text.logprobs")) asked->logprobs = true;
    }
    asked->top_logprobs = (int)top;
    return true;
}

/* What the answer repeats, with the values that hold if a field is absent. */
static bool keep_echo(field_reader *fields, turns *to) {
    static const struct {
        const char *name, *otherwise;
    } kept[] = {
        {"instructions", "null"},
        {"max_output_tokens", "null"},
        {"text", "{\"format\":{\"type\":\"text\"}}"},
        {"tool_choice", "\"auto\""},
        {"tools", "[]"},
        {"metadata", "{}"},
    };
    request *asked = to->request;
    asked->echo = json_object();
    for (size_t i = 0; i < sizeof kept / sizeof *kept; i++) {
        json_t *field = field_get(fields, kept[i].name);
        json_t *value = field ? fields_plain(field) : json_loads(kept[i].otherwise, JSON_DECODE_ANY, NULL);
        if (json_object_set_new(asked->echo, kept[i].name, value) != 0) return problem_memory(fields->problem);
    }
    json_t *reasoning = field_get(fields, "reasoning");
    json_t *effort = json_object_get(reasoning, "effort"), *summary = json_object_get(reasoning, "summary");
    json_t *value = json_pack("{s:o,s:o}", "effort",
                              json_is_string(effort) ? json_incref(effort)
                                                     : json_string(to->effort == EFFORT_NONE ? "none" : "high"),
                              "summary", json_is_string(summary) ? json_incref(summary) : json_null());
    return json_object_set_new(asked->echo, "reasoning", value) == 0 || problem_memory(fields->problem);
}

static bool read_all(field_reader *fields, turns *to) {
    request *asked = to->request;
    if (!fields_refuse(fields, refused) || !read_model(fields, to->facts, asked) ||
        !read_sampling(fields, to->facts, 2, asked) || !read_max_tokens(fields, "max_output_tokens", asked) ||
        !read_stop(fields, "stop", asked) || !read_stream(fields, asked) || !read_include(fields, asked) ||
        !read_text_options(fields, asked))
        return false;
    effort_of_model(asked->model, to);
    if (!read_reasoning(fields, to) || !keep_echo(fields, to) || !read_tools(fields, to) ||
        !turns_instructions(to, field_get(fields, "instructions"), "instructions") || !read_input(fields, to))
        return false;
    show_tools_without_search(asked);
    return read_tool_choice(fields, false, to) && check_tool_choice(to) && turns_finish(to);
}

bool responses_read(json_t *body, const server_facts *facts, request *asked, problem *why) {
    return read_conversation(body, facts, asked, why, read_all);
}
