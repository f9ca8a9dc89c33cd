#include "server/answer_fields.h"
#include "base/memory.h"
#include "text/exact_json.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

bool read_conversation(json_t *body, const server_facts *facts, request *asked, problem *why,
                       bool (*read)(field_reader *fields, turns *to)) {
    field_reader fields;
    if (!field_reader_init(&fields, body, "", why)) return false;
    turns to;
    bool ok = turns_init(&to, asked, facts, why) && read(&fields, &to);
    turns_deinit(&to);
    return ok;
}

bool read_messages(field_reader *fields, bool (*read_message)(json_t *message, const char *place, turns *to),
                   turns *to) {
    json_t *messages = NULL;
    if (!field_array(fields, "messages", &messages)) return false;
    if (!messages) return field_wrong(fields, "messages", "an array");
    if (!json_array_size(messages))
        return problem_set(to->problem, PROBLEM_INVALID, "messages", "empty, expected at least one message");
    for (size_t i = 0; i < json_array_size(messages); i++)
        if (!read_message(json_array_get(messages, i), field_path_at("messages", i).text, to)) return false;
    return true;
}

bool read_model(field_reader *fields, const server_facts *facts, request *asked) {
    const char *name = facts->model_id;
    if (!field_text(fields, "model", &name)) return false;
    free(asked->model);
    asked->model = strdup(name);
    return asked->model || problem_memory(fields->problem);
}

/* ---- drawing ------------------------------------------------------------------------------------- */

static bool read_token_id(const char *text, size_t n_vocab, int32_t *id) {
    char *end;
    errno = 0;
    long value = strtol(text, &end, 10);
    *id = (int32_t)value;
    return text[0] >= '0' && text[0] <= '9' && !*end && !errno && (size_t)value < n_vocab;
}

static bool read_bias(field_reader *fields, const server_facts *facts, request *asked) {
    json_t *bias = NULL, *value;
    if (!field_object(fields, "logit_bias", &bias)) return false;
    if (!json_object_size(bias)) return true;
    asked->bias = array_new(json_object_size(bias), sizeof *asked->bias);
    if (!asked->bias) return problem_memory(fields->problem);
    field_reader entries;
    if (!field_reader_init(&entries, bias, "logit_bias", fields->problem)) return false;
    const char *key;
    json_object_foreach(bias, key, value) {
        ds4_logit_bias *entry = &asked->bias[asked->n_bias];
        *entry = (ds4_logit_bias){0};
        if (!read_token_id(key, facts->n_vocab, &entry->id))
            return problem_set(fields->problem, PROBLEM_INVALID, "logit_bias",
                               "\"%.64s\" is no token, expected numbers from 0 to %zu", key, facts->n_vocab - 1);
        if (!field_real(&entries, key, -100, 100, &entry->bias)) return false;
        asked->n_bias++;
    }
    return true;
}

bool read_sampling(field_reader *fields, const server_facts *facts, double max_temperature, request *asked) {
    ds4_sampling *sampling = &asked->sampling;
    *sampling = facts->sampling;
    int64_t top_k = sampling->top_k, seed = 0;
    if (!field_real(fields, "temperature", 0, max_temperature, &sampling->temperature) ||
        !field_real(fields, "top_p", 0, 1, &sampling->top_p) ||
        !field_integer(fields, "top_k", -1, INT32_MAX, &top_k) ||
        !field_real(fields, "min_p", 0, 1, &sampling->min_p) ||
        !field_real(fields, "presence_penalty", -2, 2, &sampling->presence_penalty) ||
        !field_real(fields, "frequency_penalty", -2, 2, &sampling->frequency_penalty) ||
        !field_integer(fields, "seed", INT64_MIN, INT64_MAX, &seed))
        return false;
    /* top_p 0 keeps the likeliest token only; the sampler takes 0 for "not said". */
    if (sampling->top_p <= 0) top_k = 1, sampling->top_p = 1;
    sampling->top_k = top_k < 0 ? 0 : (int)top_k;
    asked->has_seed = field_get(fields, "seed") != NULL;
    asked->seed = (uint64_t)seed;
    return read_bias(fields, facts, asked);
}

/* ---- length and stops ---------------------------------------------------------------------------- */

static bool add_stop(const json_t *value, const char *place, request *asked, problem *why) {
    size_t n_bytes;
    const char *text = exact_json_text(value, &n_bytes);
    if (!text) return problem_set(why, PROBLEM_INVALID, place, "%s, expected a string", exact_json_type(value));
    if (!n_bytes || n_bytes > REQUEST_MAX_STOP_BYTES || memchr(text, '\0', n_bytes))
        return problem_set(why, PROBLEM_INVALID, place, "%zu bytes, expected 1 to %d without NUL", n_bytes,
                           REQUEST_MAX_STOP_BYTES);
    char *copy = strdup(text);
    if (!copy) return problem_memory(why);
    asked->stop[asked->n_stop++] = copy;
    return true;
}

bool read_stop(field_reader *fields, const char *name, request *asked) {
    if (fields->failed) return false;
    json_t *stop = field_get(fields, name);
    if (!stop) return true;
    field_path path = field_path_of(fields->place, name);
    size_t n = json_is_array(stop) ? json_array_size(stop) : 1;
    if (!json_is_array(stop) && !json_is_string(stop))
        return field_wrong(fields, name, "a string or an array of strings");
    if (n > REQUEST_MAX_STOPS)
        return problem_set(fields->problem, PROBLEM_INVALID, path.text, "%zu strings, expected at most %d", n,
                           REQUEST_MAX_STOPS);
    asked->stop = array_new(n, sizeof *asked->stop);
    if (!asked->stop) return problem_memory(fields->problem);
    if (json_is_string(stop)) return add_stop(stop, path.text, asked, fields->problem);
    for (size_t i = 0; i < n; i++)
        if (!add_stop(json_array_get(stop, i), field_path_at(path.text, i).text, asked, fields->problem)) return false;
    return true;
}

bool read_max_tokens(field_reader *fields, const char *name, request *asked) {
    int64_t n = 0;
    if (!field_integer(fields, name, 1, INT64_MAX, &n)) return false;
    if (n) asked->max_tokens = (size_t)n;
    return true;
}

bool read_choices(field_reader *fields, const server_facts *facts, request *asked) {
    int64_t n = 1;
    if (!field_integer(fields, "n", 1, (int64_t)facts->parallel, &n)) return false;
    asked->n = (size_t)n;
    return true;
}

bool read_stream(field_reader *fields, request *asked) {
    json_t *options = NULL;
    if (!field_bool(fields, "stream", &asked->stream) || !field_object(fields, "stream_options", &options))
        return false;
    if (!options) return true;
    field_reader reader;
    return field_reader_init(&reader, options, "stream_options", fields->problem) &&
           field_bool(&reader, "include_usage", &asked->include_usage);
}

/* ---- thinking ------------------------------------------------------------------------------------ */

void effort_of_model(const char *model, turns *to) {
    if (strcmp(model, "deepseek-chat") == 0) to->effort = EFFORT_NONE;
    if (strcmp(model, "deepseek-reasoner") == 0) to->effort = EFFORT_HIGH;
}

bool read_effort(field_reader *fields, const char *name, turns *to) {
    static const char *const names[] = {"none", "minimal", "low", "medium", "high", "xhigh", "max", NULL};
    static const thinking_effort effort[] = {EFFORT_NONE, EFFORT_HIGH, EFFORT_HIGH, EFFORT_HIGH,
                                             EFFORT_HIGH, EFFORT_MAX,  EFFORT_MAX};
    int which = -1;
    if (!field_choice(fields, name, names, &which)) return false;
    if (which >= 0) to->effort = effort[which];
    return true;
}

static void think(turns *to, bool on) {
    if (!on)
        to->effort = EFFORT_NONE;
    else if (to->effort == EFFORT_NONE)
        to->effort = EFFORT_HIGH;
}

bool read_thinking(field_reader *fields, const char *name, turns *to) {
    static const char *const types[] = {"disabled", "enabled", "adaptive", NULL};
    if (fields->failed) return false;
    json_t *thinking = field_get(fields, name);
    if (!thinking) return true;
    if (json_is_boolean(thinking)) {
        think(to, json_is_true(thinking));
        return true;
    }
    if (!json_is_object(thinking)) return field_wrong(fields, name, "a boolean or an object");
    field_path path = field_path_of(fields->place, name);
    field_reader reader;
    int type = -1;
    int64_t budget = -1;
    if (!field_reader_init(&reader, thinking, path.text, fields->problem) ||
        !field_choice(&reader, "type", types, &type) || !field_integer(&reader, "budget_tokens", 0, INT64_MAX, &budget))
        return false;
    if (type < 0) return field_wrong(&reader, "type", "one of disabled, enabled, adaptive");
    think(to, type > 0 && budget != 0);
    if (type > 0 && budget > 0) to->request->thinking_budget = (size_t)budget;
    return true;
}

/* ---- response format ----------------------------------------------------------------------------- */

bool read_format(json_t *format, const char *place, const char *nested, request *asked, problem *why) {
    static const char *const types[] = {"text", "json_object", "json_schema", NULL};
    if (!format) return true;
    field_reader fields, inner;
    int type = -1;
    if (!field_reader_init(&fields, format, place, why) || !field_choice(&fields, "type", types, &type)) return false;
    if (type < 0) return field_wrong(&fields, "type", "one of text, json_object, json_schema");
    asked->format = (answer_format)type;
    if (asked->format != FORMAT_JSON_SCHEMA) return true;
    json_t *holder = format, *schema = NULL;
    field_path path = field_path_of(place, nested ? nested : "");
    if (nested && !field_object(&fields, nested, &holder)) return false;
    if (nested && holder == format) return field_wrong(&fields, nested, "an object");
    if (!field_reader_init(&inner, holder, nested ? path.text : place, why) || !field_object(&inner, "schema", &schema))
        return false;
    if (!schema) return field_wrong(&inner, "schema", "an object");
    asked->format_schema = json_incref(schema);
    return true;
}

/* ---- tools --------------------------------------------------------------------------------------- */

/* The members that the model sees, in the client's order; others (strict, cache marks) would only make two forms of
 * the same tool. NULL without memory. */
static json_t *shown_function(json_t *function, const char *name, const char *parameters) {
    json_t *shown = json_object(), *value;
    const char *key;
    json_object_foreach(function, key, value) {
        int failed = 0;
        if (json_is_null(value)) continue;
        if (strcmp(key, "name") == 0) failed = json_object_set_new(shown, key, json_string(name));
        if (strcmp(key, "description") == 0) failed = json_object_set(shown, key, value);
        if (strcmp(key, parameters) == 0) failed = json_object_set(shown, "parameters", value);
        if (!failed) continue;
        json_decref(shown);
        return NULL;
    }
    return shown;
}

bool read_function(json_t *function, const char *parameters, const char *api_namespace, tool_kind kind,
                   const char *place, bool deferred, turns *to) {
    field_reader fields;
    const char *name = kind == TOOL_SEARCH ? "tool_search" : NULL, *description;
    json_t *ignored;
    if (!field_reader_init(&fields, function, place, to->problem) || !field_text(&fields, "name", &name) ||
        !field_text(&fields, "description", &description) || !field_object(&fields, parameters, &ignored))
        return false;
    if (!name) return field_wrong(&fields, "name", "a string");
    char *shown_name = turns_tool_name(api_namespace, name);
    json_t *schema = shown_name ? shown_function(function, shown_name, parameters) : NULL;
    free(shown_name);
    if (!schema) return problem_memory(to->problem);
    /* a search has its type for a name */
    if (!json_object_get(schema, "name") && json_object_set_new(schema, "name", json_string(name)) != 0)
        return json_decref(schema), problem_memory(to->problem);
    return turns_tool(to, kind, api_namespace, name, deferred, schema, field_path_of(place, "name").text);
}

/* Description, and the grammar that the input must follow behind it. The grammar's members lie in format, or one level
 * deeper. */
static json_t *custom_description(field_reader *fields, json_t *format) {
    json_t *grammar = json_object_get(format, "grammar");
    if (!json_is_object(grammar)) grammar = format;
    size_t n_bytes = 0, n_definition = 0, n_syntax = 0;
    const char *text = exact_json_text(field_get(fields, "description"), &n_bytes);
    const char *definition = exact_json_text(json_object_get(grammar, "definition"), &n_definition);
    const char *syntax = exact_json_text(json_object_get(grammar, "syntax"), &n_syntax);
    ds4_buffer all = {0};
    bool ok = !n_bytes || buffer_append(&all, text, n_bytes);
    if (ok && definition) {
        ok = (!n_bytes || buffer_append_string(&all, "\n\n")) &&
             buffer_append_string(&all, "The input follows this ") &&
             buffer_append(&all, syntax ? syntax : "", n_syntax) &&
             buffer_append_string(&all, n_syntax ? " grammar:\n" : "grammar:\n") &&
             buffer_append(&all, definition, n_definition);
    }
    json_t *description = ok ? exact_json_string(all.data, all.n_bytes) : NULL;
    ds4_buffer_deinit(&all);
    return description;
}

bool read_custom(json_t *custom, const char *place, turns *to) {
    field_reader fields;
    const char *name = NULL, *description;
    json_t *format = NULL;
    if (!field_reader_init(&fields, custom, place, to->problem) || !field_need_text(&fields, "name", &name) ||
        !field_text(&fields, "description", &description) || !field_object(&fields, "format", &format))
        return false;
    json_t *schema = json_pack("{s:s,s:o,s:{s:s,s:{s:{s:s}},s:[s]}}", "name", name, "description",
                               custom_description(&fields, format), "parameters", "type", "object", "properties",
                               "input", "type", "string", "required", "input");
    if (schema && !json_string_length(json_object_get(schema, "description"))) json_object_del(schema, "description");
    if (!schema) return problem_memory(to->problem);
    return turns_tool(to, TOOL_CUSTOM, NULL, name, false, schema, field_path_of(place, "name").text);
}

/* ---- tool choice --------------------------------------------------------------------------------- */

static bool find_tool(turns *to, const char *api_namespace, const char *name, const char *place, size_t *tool) {
    char *shown_name = turns_tool_name(api_namespace, name);
    if (!shown_name) return problem_memory(to->problem);
    *tool = request_find_tool(to->request, shown_name, strlen(shown_name));
    free(shown_name);
    return *tool < to->request->n_tools ||
           problem_set(to->problem, PROBLEM_INVALID, place, "there is no tool \"%.64s\"", name);
}

bool choose_tool(turns *to, const char *api_namespace, const char *name, const char *place) {
    request *asked = to->request;
    size_t tool = 0;
    if (!find_tool(to, api_namespace, name, place, &tool)) return false;
    asked->choice = CHOICE_NAMED;
    asked->chosen_tool = tool;
    asked->tool[tool].deferred = false;
    return true;
}

/* {"type": "function" | "custom" | "namespace" ..., "name"}, or the name one level deeper. */
static bool read_choice_name(json_t *choice, bool nested, const char *place, turns *to, const char **name) {
    field_reader fields, inner;
    const char *type = NULL;
    json_t *holder = choice;
    if (!field_reader_init(&fields, choice, place, to->problem) || !field_need_text(&fields, "type", &type))
        return false;
    if (strcmp(type, "function") != 0 && strcmp(type, "custom") != 0)
        return problem_set(to->problem, PROBLEM_UNSUPPORTED, field_path_of(place, "type").text,
                           "\"%.64s\" is not supported", type);
    if (nested && !field_object(&fields, type, &holder)) return false;
    field_path path = field_path_of(place, type);
    return field_reader_init(&inner, holder, nested && holder != choice ? path.text : place, to->problem) &&
           field_need_text(&inner, "name", name);
}

static const char *namespace_of(const json_t *choice) {
    return json_string_value(json_object_get(choice, "namespace"));
}

/* The tools that are not listed are not shown. Those of a type that is ignored as a tool are ignored here, too. */
static bool read_allowed(json_t *allowed, const char *place, bool nested, turns *to) {
    static const char *const modes[] = {"auto", "required", NULL};
    request *asked = to->request;
    field_reader fields;
    int mode = 0;
    json_t *tools = NULL;
    if (!field_reader_init(&fields, allowed, place, to->problem) || !field_choice(&fields, "mode", modes, &mode) ||
        !field_array(&fields, "tools", &tools))
        return false;
    if (!json_array_size(tools)) return field_wrong(&fields, "tools", "an array of tools");
    bool *listed = array_new(asked->n_tools, sizeof *listed);
    if (!listed) return problem_memory(to->problem);
    bool ok = true;
    field_path list = field_path_of(place, "tools");
    for (size_t i = 0; i < json_array_size(tools) && ok; i++) {
        const char *name = NULL;
        size_t tool = 0;
        json_t *entry = json_array_get(tools, i), *type = json_object_get(entry, "type");
        field_path path = field_path_at(list.text, i);
        if (json_is_string(type) && !text_is(type, "function") && !text_is(type, "custom")) continue;
        ok = read_choice_name(entry, nested, path.text, to, &name) &&
             find_tool(to, namespace_of(entry), name, path.text, &tool);
        if (ok) listed[tool] = true;
    }
    for (size_t i = 0; i < asked->n_tools && ok; i++)
        if (!listed[i]) asked->tool[i].deferred = true;
    free(listed);
    asked->choice = mode ? CHOICE_REQUIRED : CHOICE_AUTO;
    return ok;
}

bool read_tool_choice(field_reader *fields, bool nested, turns *to) {
    static const char *const names[] = {"auto", "none", "required", NULL};
    if (fields->failed) return false;
    json_t *choice = field_get(fields, "tool_choice");
    if (!choice) return true;
    int which = 0;
    if (!json_is_object(choice)) {
        if (!field_choice(fields, "tool_choice", names, &which)) return false;
        to->request->choice = (tool_choice)which;
        return true;
    }
    if (text_is(json_object_get(choice, "type"), "allowed_tools")) {
        json_t *inner = nested ? json_object_get(choice, "allowed_tools") : choice;
        return read_allowed(inner, nested ? "tool_choice.allowed_tools" : "tool_choice", nested, to);
    }
    const char *name = NULL;
    return read_choice_name(choice, nested, "tool_choice", to, &name) &&
           choose_tool(to, namespace_of(choice), name, "tool_choice");
}

bool check_tool_choice(turns *to) {
    const request *asked = to->request;
    if (asked->choice != CHOICE_REQUIRED) return true;
    for (size_t i = 0; i < asked->n_tools; i++)
        if (!asked->tool[i].deferred) return true;
    return problem_set(to->problem, PROBLEM_INVALID, "tool_choice", "a call is required, but there are no tools");
}
