/*
 * From the JSON of a request to turns. Every field that is rendered is checked on the way, so that rendering
 * can only run out of memory. Then three rules of the chat format are applied: tool results and user messages
 * that follow each other share a turn, the results stand in the order of their calls, and without tools the
 * developer messages before the last user turn disappear together with the reasoning.
 */
#include "text/prompt_request.h"
#include "base/error.h"
#include "base/memory.h"
#include "text/dsml.h"
#include "text/exact_json.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- fields -------------------------------------------------------------------------------------- */

/* Where a field is, for messages: "messages[2].tool_calls[0]". */
typedef struct field_place {
    char text[96];
} field_place;

static ds4_status wrong_type(const field_place *place, const char *field, const json_t *value, const char *expected,
                             ds4_error *error) {
    return error_set(error, DS4_ERROR_FORMAT, "%s%s: %s, expected %s", place->text, field, exact_json_type(value),
                     expected);
}

static bool is_absent(const json_t *value) {
    return !value || json_is_null(value);
}

static bool is_text(const json_t *value) {
    size_t n_bytes;
    return exact_json_text(value, &n_bytes) != NULL;
}

static bool text_equals(const json_t *value, const char *string) {
    size_t n_bytes;
    const char *text = exact_json_text(value, &n_bytes);
    return text && n_bytes == strlen(string) && memcmp(text, string, n_bytes) == 0;
}

static ds4_status check_text(const field_place *place, const json_t *object, const char *field, bool required,
                             ds4_error *error) {
    const json_t *value = json_object_get(object, field + 1); /* behind the dot */
    if (is_text(value) || (!required && is_absent(value))) return DS4_OK;
    return wrong_type(place, field, value, "a string", error);
}

/* A string that is one of n names. */
static ds4_status read_choice(const field_place *place, const char *field, const json_t *value, const char *const *name,
                              size_t n, size_t *choice, ds4_error *error) {
    for (size_t i = 0; i < n; i++) {
        if (!text_equals(value, name[i])) continue;
        *choice = i;
        return DS4_OK;
    }
    char list[256];
    size_t used = 0;
    for (size_t i = 0; i < n && used < sizeof list; i++)
        used += (size_t)snprintf(list + used, sizeof list - used, "%s%s", i ? ", " : "", name[i]);
    if (is_text(value)) {
        size_t n_bytes;
        const char *text = exact_json_text(value, &n_bytes);
        return error_set(error, DS4_ERROR_FORMAT, "%s%s: \"%.*s\" is not one of %s", place->text, field,
                         n_bytes < 64 ? (int)n_bytes : 64, text, list);
    }
    return error_set(error, DS4_ERROR_FORMAT, "%s%s: %s, expected one of %s", place->text, field,
                     exact_json_type(value), list);
}

/* Content is a string, absent, or a list of blocks; blocks that are not text are shown by their type. */
static ds4_status check_content(size_t index, json_t *content, ds4_error *error) {
    field_place place;
    snprintf(place.text, sizeof place.text, "messages[%zu].content", index);
    if (is_absent(content) || is_text(content)) return DS4_OK;
    if (!json_is_array(content)) return wrong_type(&place, "", content, "a string or an array of blocks", error);
    for (size_t i = 0; i < json_array_size(content); i++) {
        json_t *block = json_array_get(content, i);
        snprintf(place.text, sizeof place.text, "messages[%zu].content[%zu]", index, i);
        if (!json_is_object(block)) return wrong_type(&place, "", block, "an object", error);
        ds4_status status = check_text(&place, block, ".type", true, error);
        if (!status && text_equals(json_object_get(block, "type"), "text"))
            status = check_text(&place, block, ".text", true, error);
        if (status) return status;
    }
    return DS4_OK;
}

static ds4_status check_tools(const char *list, json_t *tools, ds4_error *error) {
    field_place place;
    snprintf(place.text, sizeof place.text, "%s", list);
    if (is_absent(tools)) return DS4_OK;
    if (!json_is_array(tools)) return wrong_type(&place, "", tools, "an array", error);
    for (size_t i = 0; i < json_array_size(tools); i++) {
        json_t *tool = json_array_get(tools, i);
        snprintf(place.text, sizeof place.text, "%s[%zu]", list, i);
        if (!json_is_object(tool)) return wrong_type(&place, "", tool, "an object", error);
        json_t *function = json_object_get(tool, "function");
        if (!json_is_object(function)) return wrong_type(&place, ".function", function, "an object", error);
    }
    return DS4_OK;
}

static ds4_status check_tool_calls(size_t index, json_t *calls, ds4_error *error) {
    field_place place;
    snprintf(place.text, sizeof place.text, "messages[%zu].tool_calls", index);
    if (is_absent(calls)) return DS4_OK;
    if (!json_is_array(calls)) return wrong_type(&place, "", calls, "an array", error);
    for (size_t i = 0; i < json_array_size(calls); i++) {
        json_t *call = json_array_get(calls, i);
        snprintf(place.text, sizeof place.text, "messages[%zu].tool_calls[%zu]", index, i);
        if (!json_is_object(call)) return wrong_type(&place, "", call, "an object", error);
        ds4_status status = check_text(&place, call, ".id", false, error);
        if (status) return status;
        json_t *function = json_object_get(call, "function");
        if (!json_is_object(function)) return wrong_type(&place, ".function", function, "an object", error);
        snprintf(place.text, sizeof place.text, "messages[%zu].tool_calls[%zu].function", index, i);
        if ((status = check_text(&place, function, ".name", true, error))) return status;
        if ((status = check_text(&place, function, ".id", false, error))) return status;
        json_t *arguments = json_object_get(function, "arguments");
        if (!is_text(arguments) && !json_is_object(arguments))
            return wrong_type(&place, ".arguments", arguments, "a string or an object", error);
    }
    return DS4_OK;
}

/* ---- messages ------------------------------------------------------------------------------------ */

static const char *const role_name[] = {"system", "developer", "user", "assistant", "latest_reminder", "tool"};
#define N_ROLES (sizeof role_name / sizeof *role_name)

static const char *const task_name[] = {"action", "query", "authority", "domain", "title", "read_url"};
static const char *const task_token[] = {TOKEN_ACTION, TOKEN_QUERY, TOKEN_AUTHORITY,
                                         TOKEN_DOMAIN, TOKEN_TITLE, TOKEN_READ_URL};
#define N_TASKS (sizeof task_name / sizeof *task_name)

static ds4_status check_message(size_t index, json_t *message, message_role *role, const char **task,
                                ds4_error *error) {
    field_place place;
    snprintf(place.text, sizeof place.text, "messages[%zu]", index);
    if (!json_is_object(message)) return wrong_type(&place, "", message, "an object", error);

    size_t choice = 0;
    ds4_status status =
        read_choice(&place, ".role", json_object_get(message, "role"), role_name, N_ROLES, &choice, error);
    if (status) return status;
    *role = (message_role)choice;

    json_t *value = json_object_get(message, "task");
    *task = NULL;
    if (!is_absent(value)) {
        if ((status = read_choice(&place, ".task", value, task_name, N_TASKS, &choice, error))) return status;
        *task = task_token[choice];
    }
    value = json_object_get(message, "content");
    if ((status = check_content(index, value, error))) return status;
    if (*role == ROLE_DEVELOPER && !exact_json_is_true(value))
        return error_set(error, DS4_ERROR_FORMAT, "%s.content: empty, expected the text of the developer", place.text);
    if ((status = check_text(&place, message, ".reasoning_content", false, error))) return status;
    if ((status = check_text(&place, message, ".tool_call_id", false, error))) return status;
    value = json_object_get(message, "wo_eos");
    if (!is_absent(value) && !json_is_boolean(value)) return wrong_type(&place, ".wo_eos", value, "a boolean", error);
    if ((status = check_tool_calls(index, json_object_get(message, "tool_calls"), error))) return status;
    strcat(place.text, ".tools");
    return check_tools(place.text, json_object_get(message, "tools"), error);
}

static prompt_turn *add_turn(prompt_request *request, message_role role, json_t *message) {
    if (!array_reserve((void **)&request->turn, &request->turn_capacity, request->n_turns + 1, sizeof *request->turn))
        return NULL;
    prompt_turn *added = &request->turn[request->n_turns++];
    *added = (prompt_turn){.role = role, .message = message, .first_block = request->n_blocks};
    return added;
}

/* Adds what a user or tool message says to the user turn at the end. */
static bool add_block(prompt_request *request, json_t *message, bool is_tool_result) {
    if (!array_reserve((void **)&request->block, &request->block_capacity, request->n_blocks + 1,
                       sizeof *request->block))
        return false;
    turn_block *added = &request->block[request->n_blocks++];
    *added = (turn_block){.content = json_object_get(message, "content"), .is_tool_result = is_tool_result};
    if (is_tool_result)
        added->call_id = exact_json_text(json_object_get(message, "tool_call_id"), &added->call_id_bytes);
    request->turn[request->n_turns - 1].n_blocks++;
    return true;
}

/* A turn with a task is a question of its own and takes in no further text. */
static bool joins_last_turn(const prompt_request *request) {
    if (!request->n_turns) return false;
    const prompt_turn *last = &request->turn[request->n_turns - 1];
    return last->role == ROLE_USER && !last->task;
}

static ds4_status read_message(prompt_request *request, size_t index, json_t *message, ds4_error *error) {
    message_role role = ROLE_USER;
    const char *task = NULL;
    ds4_status status = check_message(index, message, &role, &task, error);
    if (status) return status;

    bool for_user_turn = role == ROLE_USER || role == ROLE_TOOL;
    if (!for_user_turn || !joins_last_turn(request)) {
        if (!add_turn(request, for_user_turn ? ROLE_USER : role, message))
            return error_memory(error, "turns", sizeof(prompt_turn));
    }
    if (for_user_turn && !add_block(request, message, role == ROLE_TOOL))
        return error_memory(error, "turns", sizeof(turn_block));
    if (task) request->turn[request->n_turns - 1].task = task;
    if (exact_json_is_true(json_object_get(message, "tools"))) request->keep_reasoning = true;
    return DS4_OK;
}

/* The request's own tools are shown by the first system or developer message, or by an empty system message
 * put in front. */
static ds4_status place_top_tools(prompt_request *request, json_t *tools, json_t *messages, ds4_error *error) {
    if (!exact_json_is_true(tools)) return DS4_OK;
    request->keep_reasoning = true;
    for (size_t i = 0; i < json_array_size(messages); i++) {
        const json_t *role = json_object_get(json_array_get(messages, i), "role");
        if (text_equals(role, "system") || text_equals(role, "developer")) return DS4_OK;
    }
    prompt_turn *front = add_turn(request, ROLE_SYSTEM, NULL);
    if (!front) return error_memory(error, "turns", sizeof(prompt_turn));
    front->top_tools = tools;
    return DS4_OK;
}

static ds4_status read_messages(prompt_request *request, ds4_error *error) {
    json_t *messages = json_object_get(request->json, "messages"), *tools = json_object_get(request->json, "tools");
    if (!json_is_array(messages)) return wrong_type(&(field_place){"messages"}, "", messages, "an array", error);
    if (!json_array_size(messages))
        return error_set(error, DS4_ERROR_FORMAT, "messages: empty, expected at least one message");
    ds4_status status = check_tools("tools", tools, error);
    if (!status) status = place_top_tools(request, tools, messages, error);
    bool placed = request->n_turns > 0 || !exact_json_is_true(tools);
    for (size_t i = 0; i < json_array_size(messages) && !status; i++) {
        status = read_message(request, i, json_array_get(messages, i), error);
        if (status || placed) continue;
        prompt_turn *last = &request->turn[request->n_turns - 1];
        if (last->role != ROLE_SYSTEM && last->role != ROLE_DEVELOPER) continue;
        last->top_tools = tools;
        placed = true;
    }
    return status;
}

/* ---- the order of tool results ------------------------------------------------------------------- */

typedef struct call_number {
    const char *id;
    size_t id_bytes;
    size_t number;
} call_number;

static int compare_ids(const char *a, size_t a_bytes, const char *b, size_t b_bytes) {
    int order = memcmp(a, b, a_bytes < b_bytes ? a_bytes : b_bytes);
    if (order) return order;
    return a_bytes < b_bytes ? -1 : a_bytes > b_bytes;
}

/* By id; of equal ids the last call comes first. */
static int compare_calls(const void *a, const void *b) {
    const call_number *x = a, *y = b;
    int order = compare_ids(x->id, x->id_bytes, y->id, y->id_bytes);
    if (order) return order;
    return x->number > y->number ? -1 : x->number < y->number;
}

static int compare_blocks(const void *a, const void *b) {
    const turn_block *x = a, *y = b;
    if (x->order != y->order) return x->order < y->order ? -1 : 1;
    return x->position < y->position ? -1 : x->position > y->position;
}

/* Results that answer no call of the last calling turn rank with its first call, as in the official encoder. */
#define UNKNOWN_CALL 0

static size_t call_order(const call_number *calls, size_t n, const turn_block *block) {
    if (!block->call_id) return UNKNOWN_CALL;
    size_t low = 0, high = n;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (compare_ids(calls[middle].id, calls[middle].id_bytes, block->call_id, block->call_id_bytes) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    if (low == n || compare_ids(calls[low].id, calls[low].id_bytes, block->call_id, block->call_id_bytes) != 0)
        return UNKNOWN_CALL;
    return calls[low].number;
}

/* Lists the calls of a message in *calls (at least as long as the message has calls), sorted by id. */
static size_t list_calls(json_t *tool_calls, call_number *calls) {
    size_t n = 0;
    for (size_t i = 0; i < json_array_size(tool_calls); i++) {
        json_t *call = json_array_get(tool_calls, i);
        call_number *listed = &calls[n];
        listed->number = i;
        listed->id = exact_json_text(json_object_get(call, "id"), &listed->id_bytes);
        if (!listed->id || !listed->id_bytes)
            listed->id = exact_json_text(json_object_get(json_object_get(call, "function"), "id"), &listed->id_bytes);
        if (listed->id && listed->id_bytes) n++;
    }
    qsort(calls, n, sizeof *calls, compare_calls);
    return n;
}

/* Sorts the results of one turn among the places that results have in it; scratch has room for its blocks. */
static void sort_turn(turn_block *block, size_t n, const call_number *calls, size_t n_calls, turn_block *scratch) {
    size_t n_results = 0;
    for (size_t i = 0; i < n; i++) {
        if (!block[i].is_tool_result) continue;
        block[i].order = call_order(calls, n_calls, &block[i]);
        block[i].position = i;
        scratch[n_results++] = block[i];
    }
    qsort(scratch, n_results, sizeof *scratch, compare_blocks);
    for (size_t i = 0, next = 0; i < n; i++)
        if (block[i].is_tool_result) block[i] = scratch[next++];
}

static ds4_status sort_tool_results(prompt_request *request, ds4_error *error) {
    size_t most_calls = 0, n_calls = 0;
    for (size_t i = 0; i < request->n_turns; i++) {
        size_t n = json_array_size(json_object_get(request->turn[i].message, "tool_calls"));
        if (request->turn[i].role == ROLE_ASSISTANT && n > most_calls) most_calls = n;
    }
    if (!most_calls || !request->n_blocks) return DS4_OK;
    call_number *calls = array_new(most_calls, sizeof *calls);
    turn_block *scratch = array_new(request->n_blocks, sizeof *scratch);
    if (!calls || !scratch) {
        free(calls);
        free(scratch);
        return error_memory(error, "tool results", request->n_blocks * sizeof *scratch);
    }
    for (size_t i = 0; i < request->n_turns; i++) {
        const prompt_turn *at = &request->turn[i];
        json_t *tool_calls = json_object_get(at->message, "tool_calls");
        if (at->role == ROLE_ASSISTANT && json_array_size(tool_calls)) n_calls = list_calls(tool_calls, calls);
        if (at->role == ROLE_USER && n_calls)
            sort_turn(request->block + at->first_block, at->n_blocks, calls, n_calls, scratch);
    }
    free(calls);
    free(scratch);
    return DS4_OK;
}

/* ---- the whole request --------------------------------------------------------------------------- */

size_t prompt_request_last_user(const prompt_request *request) {
    for (size_t i = request->n_turns; i > 0; i--)
        if (request->turn[i - 1].role == ROLE_USER || request->turn[i - 1].role == ROLE_DEVELOPER) return i - 1;
    return request->n_turns;
}

static void drop_old_developers(prompt_request *request) {
    size_t last_user = prompt_request_last_user(request), kept = 0;
    for (size_t i = 0; i < request->n_turns; i++)
        if (request->turn[i].role != ROLE_DEVELOPER || i >= last_user) request->turn[kept++] = request->turn[i];
    request->n_turns = kept;
}

static ds4_status read_effort(prompt_request *request, ds4_error *error) {
    static const char *const effort_name[] = {"none", "high", "max"};
    const json_t *effort = json_object_get(request->json, "reasoning_effort");
    size_t choice = 1;
    if (!is_absent(effort)) {
        ds4_status status = read_choice(&(field_place){""}, "reasoning_effort", effort, effort_name, 3, &choice, error);
        if (status) return status;
    }
    request->thinking = choice > 0;
    request->max_effort = choice == 2;
    return DS4_OK;
}

ds4_status prompt_request_take(json_t *json, prompt_request *request, ds4_error *error) {
    ds4_status status;
    request->json = json_incref(json);
    if (!json_is_object(request->json))
        return wrong_type(&(field_place){"request"}, "", request->json, "an object", error);
    if ((status = read_effort(request, error))) return status;
    if ((status = read_messages(request, error))) return status;
    if ((status = sort_tool_results(request, error))) return status;
    if (request->thinking && !request->keep_reasoning) drop_old_developers(request);
    return DS4_OK;
}

void prompt_request_deinit(prompt_request *request) {
    json_decref(request->json);
    free(request->turn);
    free(request->block);
    *request = (prompt_request){0};
}
