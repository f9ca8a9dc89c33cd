#include "server/answer_log.h"
#include "base/memory.h"
#include "server/fields.h"
#include "text/exact_json.h"

#include <stdlib.h>
#include <string.h>

bool answer_log_init(answer_log *log, const request *asked, int64_t created) {
    *log = (answer_log){.request = asked, .created = created};
    log->choice = array_new(asked->n, sizeof *log->choice);
    return log->choice != NULL;
}

static void choice_deinit(logged_choice *choice) {
    ds4_buffer_deinit(&choice->reasoning);
    ds4_buffer_deinit(&choice->text);
    for (size_t i = 0; i < choice->n_calls; i++) {
        free(choice->call[i].name);
        ds4_buffer_deinit(&choice->call[i].arguments);
    }
    free(choice->call);
    free(choice->part);
    free(choice->logprob);
    free(choice->problem);
}

void answer_log_deinit(answer_log *log) {
    for (size_t i = 0; log->choice && i < log->request->n; i++) choice_deinit(&log->choice[i]);
    free(log->choice);
    log->choice = NULL;
}

static char *copy_bytes(const char *bytes, size_t n_bytes) {
    char *copy = malloc(n_bytes + 1);
    if (!copy) return NULL;
    if (n_bytes) memcpy(copy, bytes, n_bytes);
    copy[n_bytes] = '\0';
    return copy;
}

/* The part that the next bytes of that kind belong to. */
static logged_part *open_part(logged_choice *choice, logged_kind kind, size_t start) {
    logged_part *last = choice->n_parts ? &choice->part[choice->n_parts - 1] : NULL;
    if (last && last->kind == kind && kind != LOGGED_CALL) return last;
    if (!array_reserve((void **)&choice->part, &choice->part_capacity, choice->n_parts + 1, sizeof *choice->part))
        return NULL;
    last = &choice->part[choice->n_parts++];
    *last = (logged_part){.kind = kind, .start = start, .first_logprob = choice->n_logprobs};
    return last;
}

static bool add_bytes(logged_choice *choice, logged_kind kind, ds4_buffer *to, const reply_event *event) {
    if (!event->n_bytes) return true;
    logged_part *part = open_part(choice, kind, to->n_bytes);
    if (!part || !buffer_append(to, event->bytes, event->n_bytes)) return false;
    part->n_bytes += event->n_bytes;
    return true;
}

static bool add_logprobs(logged_choice *choice, const reply_event *event) {
    if (!event->n_logprobs) return true;
    if (!array_reserve((void **)&choice->logprob, &choice->logprob_capacity, choice->n_logprobs + event->n_logprobs,
                       sizeof *choice->logprob))
        return false;
    memcpy(choice->logprob + choice->n_logprobs, event->logprob, event->n_logprobs * sizeof *choice->logprob);
    choice->n_logprobs += event->n_logprobs;
    if (choice->n_parts) choice->part[choice->n_parts - 1].n_logprobs += event->n_logprobs;
    return true;
}

static bool add_call(logged_choice *choice, const reply_event *event) {
    if (event->call != choice->n_calls) return false;
    if (!array_reserve((void **)&choice->call, &choice->call_capacity, choice->n_calls + 1, sizeof *choice->call))
        return false;
    logged_part *part = open_part(choice, LOGGED_CALL, 0);
    char *name = copy_bytes(event->bytes, event->n_bytes);
    if (!part || !name) {
        free(name);
        return false;
    }
    part->call = choice->n_calls;
    logged_call *call = &choice->call[choice->n_calls++];
    *call = (logged_call){.tool = event->tool, .name = name};
    memcpy(call->id, event->id, sizeof call->id);
    return true;
}

static bool end_choice(logged_choice *choice, const reply_event *event) {
    choice->ended = true;
    choice->finish = event->finish;
    choice->stop_sequence = event->stop_sequence;
    if (!event->problem) return true;
    free(choice->problem);
    choice->problem = copy_bytes(event->problem, strlen(event->problem));
    return choice->problem != NULL;
}

bool answer_log_add(answer_log *log, const reply_event *event) {
    if (event->kind == REPLY_STARTED || event->kind == REPLY_END) log->usage = event->usage;
    if (event->kind == REPLY_STARTED || event->kind == REPLY_END || event->kind == REPLY_FAILED) return true;
    if (event->choice >= log->request->n) return false;
    logged_choice *choice = &log->choice[event->choice];
    bool of_call = event->kind == REPLY_ARGUMENTS || event->kind == REPLY_CALL_END;
    if (of_call && event->call >= choice->n_calls) return false;
    switch (event->kind) {
    case REPLY_REASONING: return add_bytes(choice, LOGGED_REASONING, &choice->reasoning, event);
    case REPLY_TEXT: return add_bytes(choice, LOGGED_TEXT, &choice->text, event) && add_logprobs(choice, event);
    case REPLY_CALL_START: return add_call(choice, event);
    case REPLY_ARGUMENTS: return buffer_append(&choice->call[event->call].arguments, event->bytes, event->n_bytes);
    case REPLY_CALL_END:
        choice->call[event->call].ended = true;
        choice->call[event->call].broken = event->broken;
        return true;
    case REPLY_CHOICE_END: return end_choice(choice, event);
    case REPLY_STARTED:
    case REPLY_END:
    case REPLY_FAILED: break;
    }
    return true;
}

/* ---- calls --------------------------------------------------------------------------------------- */

static const request_tool *called_tool(const answer_log *log, const logged_call *call) {
    return call->tool < log->request->n_tools ? &log->request->tool[call->tool] : NULL;
}

json_t *logged_part_text(const logged_choice *choice, const logged_part *part) {
    const ds4_buffer *text = part->kind == LOGGED_TEXT ? &choice->text : &choice->reasoning;
    return json_stringn(text->data + part->start, part->n_bytes);
}

const char *logged_call_name(const answer_log *log, const logged_call *call) {
    const request_tool *tool = called_tool(log, call);
    return tool ? tool->api_name : call->name;
}

const char *logged_call_namespace(const answer_log *log, const logged_call *call) {
    const request_tool *tool = called_tool(log, call);
    return tool ? tool->api_namespace : NULL;
}

tool_kind logged_call_kind(const answer_log *log, const logged_call *call) {
    const request_tool *tool = called_tool(log, call);
    return tool ? tool->kind : TOOL_FUNCTION;
}

const char *logged_call_arguments(const logged_call *call) {
    return call->arguments.n_bytes ? call->arguments.data : "{}";
}

json_t *logged_call_object(const logged_call *call) {
    json_t *arguments = NULL;
    const char *text = logged_call_arguments(call);
    ds4_status status = exact_json_read(text, strlen(text), "arguments", &arguments, NULL);
    if (status == DS4_ERROR_MEMORY) return NULL;
    json_t *object = json_is_object(arguments) ? fields_plain(arguments) : json_pack("{s:s}", "arguments", text);
    json_decref(arguments);
    return object;
}

json_t *logged_call_input(const logged_call *call) {
    json_t *arguments = NULL;
    const char *all = logged_call_arguments(call);
    if (exact_json_read(all, strlen(all), "arguments", &arguments, NULL) == DS4_ERROR_MEMORY) return NULL;
    size_t n_bytes;
    const char *input = exact_json_text(json_object_get(arguments, "input"), &n_bytes);
    json_t *text = input ? json_stringn(input, n_bytes) : json_string(all);
    json_decref(arguments);
    return text;
}
