/*
 * POST /v1/messages: the body becomes a request. Results of tools are blocks of a user's message, calls and thinking
 * blocks of the assistant's: each block is brought to turns on its own.
 */
#include "server/answer_fields.h"
#include "server/messages.h"
#include "text/exact_json.h"

#include <string.h>

static const refused_field refused[] = {
    {"mcp_servers", "[]", NULL},
    {"container", NULL, NULL},
    {NULL, NULL, NULL},
};

/* ---- tools --------------------------------------------------------------------------------------- */

static bool read_tool(json_t *tool, const char *place, turns *to) {
    field_reader fields;
    const char *type = "custom";
    bool deferred = false;
    if (!field_reader_init(&fields, tool, place, to->problem) || !field_text(&fields, "type", &type) ||
        !field_bool(&fields, "defer_loading", &deferred))
        return false;
    /* Tools that Anthropic runs itself have a type with a date and no schema; agents list them whatever the server is.
     */
    if (strcmp(type, "custom") != 0 && !field_get(&fields, "input_schema")) return true;
    return read_function(tool, "input_schema", NULL, TOOL_FUNCTION, place, deferred, to);
}

static bool read_tool_choice_object(field_reader *fields, turns *to) {
    static const char *const types[] = {"auto", "none", "any", "tool", NULL};
    json_t *choice = NULL;
    field_reader inner;
    int type = 0;
    const char *name = NULL;
    if (!field_object(fields, "tool_choice", &choice)) return false;
    if (!choice) return true;
    if (!field_reader_init(&inner, choice, "tool_choice", to->problem) || !field_choice(&inner, "type", types, &type) ||
        !field_bool(&inner, "disable_parallel_tool_use", &to->request->one_call))
        return false;
    to->request->choice = (tool_choice)type;
    if (to->request->choice != CHOICE_NAMED) return true;
    return field_need_text(&inner, "name", &name) && choose_tool(to, NULL, name, "tool_choice.name");
}

static bool read_tools(field_reader *fields, turns *to) {
    json_t *tools = NULL;
    if (!field_array(fields, "tools", &tools)) return false;
    for (size_t i = 0; i < json_array_size(tools); i++)
        if (!read_tool(json_array_get(tools, i), field_path_at("tools", i).text, to)) return false;
    return read_tool_choice_object(fields, to) && check_tool_choice(to);
}

/* ---- messages ------------------------------------------------------------------------------------ */

static bool ends_with(const char *text, const char *end) {
    size_t n = strlen(text), length = strlen(end);
    return n >= length && strcmp(text + n - length, end) == 0;
}

/* What Anthropic's own tools did, and thinking that only Anthropic can read. */
static bool is_foreign(const char *type) {
    return strcmp(type, "redacted_thinking") == 0 || strcmp(type, "server_tool_use") == 0 ||
           strcmp(type, "mcp_tool_use") == 0 || strcmp(type, "compaction") == 0 || ends_with(type, "_tool_result");
}

static bool read_thinking_block(field_reader *block, turns *to) {
    size_t n_bytes = 0;
    const char *text = exact_json_text(field_get(block, "thinking"), &n_bytes);
    if (!text) return field_wrong(block, "thinking", "a string");
    return turns_reasoning(to, text, n_bytes);
}

static bool read_tool_use(field_reader *block, turns *to) {
    const char *id = NULL, *name = NULL;
    if (!field_text(block, "id", &id) || !field_need_text(block, "name", &name)) return false;
    field_path place = field_path_of(block->place, "input");
    json_t *calls = json_array();
    bool ok = calls || problem_memory(to->problem);
    ok = ok && turns_call(to, calls, id, name, field_get(block, "input"), place.text) &&
         turns_assistant(to, NULL, calls, block->place);
    json_decref(calls);
    return ok;
}

static bool read_tool_result(field_reader *block, turns *to) {
    const char *id = NULL;
    bool is_error = false;
    return field_text(block, "tool_use_id", &id) && field_bool(block, "is_error", &is_error) &&
           turns_tool_result(to, id, field_get(block, "content"), is_error,
                             field_path_of(block->place, "content").text);
}

static bool read_block(json_t *value, const char *place, bool of_user, turns *to) {
    field_reader block;
    const char *type = NULL;
    if (json_is_string(value)) return of_user ? turns_user(to, value, place) : turns_assistant(to, value, NULL, place);
    if (!field_reader_init(&block, value, place, to->problem) || !field_need_text(&block, "type", &type)) return false;
    if (of_user && strcmp(type, "tool_result") == 0) return read_tool_result(&block, to);
    if (is_foreign(type)) return true;
    if (of_user) return turns_user(to, value, place);
    if (strcmp(type, "thinking") == 0) return read_thinking_block(&block, to);
    if (strcmp(type, "tool_use") == 0) return read_tool_use(&block, to);
    return turns_assistant(to, value, NULL, place);
}

static bool read_message(json_t *message, const char *place, turns *to) {
    static const char *const roles[] = {"user", "assistant", "system", NULL};
    field_reader fields;
    int role = -1;
    if (!field_reader_init(&fields, message, place, to->problem) || !field_choice(&fields, "role", roles, &role))
        return false;
    if (role < 0) return field_wrong(&fields, "role", "a string");
    json_t *content = field_get(&fields, "content");
    field_path path = field_path_of(place, "content");
    if (role == 2) return turns_instructions(to, content, path.text);
    if (!json_is_array(content) || !json_array_size(content))
        return role == 0 ? turns_user(to, content, path.text) : turns_assistant(to, content, NULL, path.text);
    for (size_t i = 0; i < json_array_size(content); i++)
        if (!read_block(json_array_get(content, i), field_path_at(path.text, i).text, role == 0, to)) return false;
    return true;
}

/* ---- the whole body ------------------------------------------------------------------------------ */

/* Effort says how to think, not whether. */
static bool read_output_options(field_reader *fields, turns *to) {
    json_t *config = NULL, *format = NULL;
    field_reader inner;
    bool thinks = to->effort != EFFORT_NONE;
    if (!field_object(fields, "output_config", &config) || !field_object(fields, "output_format", &format))
        return false;
    if (!read_format(format, "output_format", NULL, to->request, to->problem)) return false;
    if (!config) return true;
    if (!field_reader_init(&inner, config, "output_config", to->problem) || !read_effort(&inner, "effort", to))
        return false;
    if (!thinks) to->effort = EFFORT_NONE;
    return read_format(format ? NULL : field_get(&inner, "format"), "output_config.format", NULL, to->request,
                       to->problem);
}

static bool read_all(field_reader *fields, turns *to) {
    request *asked = to->request;
    if (!fields_refuse(fields, refused) || !read_model(fields, to->facts, asked)) return false;
    if (!asked->counts_only && !field_get(fields, "max_tokens")) return field_wrong(fields, "max_tokens", "an integer");
    if (!read_sampling(fields, to->facts, 1, asked) || !read_max_tokens(fields, "max_tokens", asked) ||
        !read_stop(fields, "stop_sequences", asked) || !read_stream(fields, asked))
        return false;
    to->effort = EFFORT_NONE;
    effort_of_model(asked->model, to);
    return read_thinking(fields, "thinking", to) && read_output_options(fields, to) && read_tools(fields, to) &&
           turns_instructions(to, field_get(fields, "system"), "system") && read_messages(fields, read_message, to) &&
           turns_finish(to);
}

bool messages_read(json_t *body, const server_facts *facts, request *asked, problem *why) {
    return read_conversation(body, facts, asked, why, read_all);
}
