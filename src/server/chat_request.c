/* POST /v1/chat/completions: the body becomes a request. */
#include "server/answer_fields.h"
#include "server/chat.h"
#include "text/exact_json.h"

#include <string.h>

static const refused_field refused[] = {
    {"store", "false", ": answers are not kept"},
    {"audio", NULL, NULL},
    {"modalities", "[\"text\"]", ": only [\"text\"]"},
    {"functions", "[]", ": use tools"},
    {"function_call", NULL, ": use tools"},
    {"web_search_options", NULL, NULL},
    {"echo", "false", NULL},
    {"best_of", "1", NULL},
    {"suffix", "\"\"", NULL},
    {"guided_json", NULL, ": use response_format"},
    {"guided_regex", NULL, NULL},
    {"guided_choice", NULL, NULL},
    {"guided_grammar", NULL, NULL},
    {"grammar", NULL, NULL},
    {NULL, NULL, NULL},
};

/* ---- tools --------------------------------------------------------------------------------------- */

static bool read_tool(json_t *tool, const char *place, turns *to) {
    field_reader fields;
    const char *type = "function";
    json_t *inner = NULL;
    if (!field_reader_init(&fields, tool, place, to->problem) || !field_text(&fields, "type", &type)) return false;
    bool custom = strcmp(type, "custom") == 0;
    if (!custom && strcmp(type, "function") != 0)
        return problem_set(to->problem, PROBLEM_UNSUPPORTED, field_path_of(place, "type").text,
                           "\"%.64s\" is not supported, only function and custom", type);
    if (!field_object(&fields, type, &inner)) return false;
    if (!inner) return field_wrong(&fields, type, "an object");
    field_path path = field_path_of(place, type);
    return custom ? read_custom(inner, path.text, to)
                  : read_function(inner, "parameters", NULL, TOOL_FUNCTION, path.text, false, to);
}

static bool read_tools(field_reader *fields, turns *to) {
    json_t *tools = NULL;
    if (!field_array(fields, "tools", &tools)) return false;
    for (size_t i = 0; i < json_array_size(tools); i++)
        if (!read_tool(json_array_get(tools, i), field_path_at("tools", i).text, to)) return false;
    bool parallel = true;
    if (!field_bool(fields, "parallel_tool_calls", &parallel)) return false;
    to->request->one_call = !parallel;
    return read_tool_choice(fields, true, to) && check_tool_choice(to);
}

/* ---- messages ------------------------------------------------------------------------------------ */

static bool read_call(json_t *call, const char *place, turns *to, json_t *calls) {
    field_reader fields, inner;
    const char *type = "function", *id = NULL, *name = NULL;
    json_t *body = NULL;
    if (!field_reader_init(&fields, call, place, to->problem) || !field_text(&fields, "type", &type) ||
        !field_text(&fields, "id", &id))
        return false;
    bool custom = strcmp(type, "custom") == 0;
    const char *member = custom ? "custom" : "function";
    if (!field_object(&fields, member, &body)) return false;
    if (!body) return field_wrong(&fields, member, "an object");
    field_path path = field_path_of(place, member);
    if (!field_reader_init(&inner, body, path.text, to->problem) || !field_need_text(&inner, "name", &name))
        return false;
    if (custom)
        return turns_custom_call(to, calls, id, name, json_object_get(body, "input"),
                                 field_path_of(path.text, "input").text);
    return turns_call(to, calls, id, name, json_object_get(body, "arguments"),
                      field_path_of(path.text, "arguments").text);
}

static bool read_assistant(field_reader *fields, turns *to) {
    json_t *list = NULL, *content = field_get(fields, "content");
    const char *place = fields->place;
    if (!field_array(fields, "tool_calls", &list)) return false;
    json_t *reasoning = field_get(fields, "reasoning_content");
    size_t n_bytes = 0;
    if (!reasoning) reasoning = field_get(fields, "reasoning");
    const char *text = exact_json_text(reasoning, &n_bytes);
    if (reasoning && !text) return field_wrong(fields, "reasoning_content", "a string");
    if (text && !turns_reasoning(to, text, n_bytes)) return false;
    if (!content) content = field_get(fields, "refusal");
    json_t *calls = json_array();
    field_path path = field_path_of(place, "tool_calls");
    bool ok = calls || problem_memory(to->problem);
    for (size_t i = 0; i < json_array_size(list) && ok; i++)
        ok = read_call(json_array_get(list, i), field_path_at(path.text, i).text, to, calls);
    ok = ok && turns_assistant(to, content, calls, field_path_of(place, "content").text);
    json_decref(calls);
    return ok;
}

static bool read_message(json_t *message, const char *place, turns *to) {
    static const char *const roles[] = {"system", "developer", "user", "assistant", "tool", "function", NULL};
    enum { SYSTEM, DEVELOPER, USER, ASSISTANT, TOOL, FUNCTION };
    field_reader fields;
    int role = -1;
    if (!field_reader_init(&fields, message, place, to->problem) || !field_choice(&fields, "role", roles, &role))
        return false;
    if (role < 0) return field_wrong(&fields, "role", "a string");
    json_t *content = field_get(&fields, "content");
    field_path path = field_path_of(place, "content");
    const char *id = NULL;
    switch (role) {
    case SYSTEM:
    case DEVELOPER: return turns_instructions(to, content, path.text);
    case USER: return turns_user(to, content, path.text);
    case ASSISTANT: return read_assistant(&fields, to);
    default: return field_text(&fields, "tool_call_id", &id) && turns_tool_result(to, id, content, false, path.text);
    }
}

/* ---- the whole body ------------------------------------------------------------------------------ */

/* reasoning: {effort, enabled}, as some routers say it. */
static bool read_reasoning(field_reader *fields, turns *to) {
    json_t *reasoning = NULL;
    field_reader inner;
    bool enabled = to->effort != EFFORT_NONE;
    if (!field_object(fields, "reasoning", &reasoning)) return false;
    if (!reasoning) return true;
    if (!field_reader_init(&inner, reasoning, "reasoning", to->problem) || !read_effort(&inner, "effort", to) ||
        !field_bool(&inner, "enabled", &enabled))
        return false;
    if (field_get(&inner, "enabled")) to->effort = !enabled ? EFFORT_NONE : to->effort ? to->effort : EFFORT_HIGH;
    return true;
}

static bool read_logprobs(field_reader *fields, request *asked) {
    int64_t top = -1;
    if (!field_bool(fields, "logprobs", &asked->logprobs) ||
        !field_integer(fields, "top_logprobs", 0, REQUEST_MAX_TOP_LOGPROBS, &top))
        return false;
    if (top > 0 && !asked->logprobs)
        return problem_set(fields->problem, PROBLEM_INVALID, "top_logprobs", "needs logprobs: true");
    asked->top_logprobs = top > 0 ? (int)top : 0;
    return true;
}

static bool read_all(field_reader *fields, turns *to) {
    request *asked = to->request;
    const server_facts *facts = to->facts;
    if (!fields_refuse(fields, refused) || !read_model(fields, facts, asked) ||
        !read_sampling(fields, facts, 2, asked) || !read_max_tokens(fields, "max_tokens", asked) ||
        !read_max_tokens(fields, "max_completion_tokens", asked) || !read_stop(fields, "stop", asked) ||
        !read_choices(fields, facts, asked) || !read_stream(fields, asked) || !read_logprobs(fields, asked))
        return false;
    effort_of_model(asked->model, to);
    return read_thinking(fields, "thinking", to) && read_thinking(fields, "think", to) && read_reasoning(fields, to) &&
           read_effort(fields, "reasoning_effort", to) &&
           read_format(field_get(fields, "response_format"), "response_format", "json_schema", asked, to->problem) &&
           read_tools(fields, to) && read_messages(fields, read_message, to) && turns_finish(to);
}

bool chat_read(json_t *body, const server_facts *facts, request *asked, problem *why) {
    return read_conversation(body, facts, asked, why, read_all);
}
