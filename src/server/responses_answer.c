/*
 * Responses: an answer is a list of items (reasoning, message, calls), here the parts of the log. A stream tells of
 * each item when it begins, of every piece, and of the whole item at its end: some clients listen to the pieces, some
 * to the whole items, some only to the last event, which has all of them.
 */
#include "base/memory.h"
#include "server/base64.h"
#include "server/responses.h"

#include <stdlib.h>
#include <string.h>

/* stream.own */
typedef struct progress {
    json_int_t sequence_number;
    size_t n_opened; /* parts that were told of */
    bool open;       /* the last of them is not done */
} progress;

static const logged_choice *answer(const stream *self) {
    return &self->log.choice[0];
}

/* ---- items --------------------------------------------------------------------------------------- */

static const char *id_prefix(const stream *self, const logged_part *part) {
    if (part->kind == LOGGED_REASONING) return "rs_";
    if (part->kind == LOGGED_TEXT) return "msg_";
    switch (logged_call_kind(&self->log, &answer(self)->call[part->call])) {
    case TOOL_CUSTOM: return "ctc_";
    case TOOL_SEARCH: return "tsc_";
    case TOOL_FUNCTION: break;
    }
    return "fc_";
}

static json_t *encrypted(const stream *self, const logged_part *part) {
    ds4_buffer text = {0};
    bool ok = buffer_append_string(&text, RESPONSES_ENCRYPTED) &&
              base64_encode(answer(self)->reasoning.data + part->start, part->n_bytes, &text);
    json_t *value = ok ? json_stringn(text.data, text.n_bytes) : NULL;
    ds4_buffer_deinit(&text);
    return value;
}

/* Part of a reasoning item: {"type", "text"}. */
static json_t *reasoning_text(const stream *self, const logged_part *part) {
    const char *type = self->log.request->wants_summary ? "summary_text" : "reasoning_text";
    return json_pack("{s:s,s:o}", "type", type, "text", logged_part_text(answer(self), part));
}

static json_t *output_text(const stream *self, const logged_part *part) {
    const reply_logprob *logprob = answer(self)->logprob;
    return json_pack("{s:s,s:o,s:[],s:o}", "type", "output_text", "text", logged_part_text(answer(self), part),
                     "annotations", "logprobs",
                     openai_logprobs(self, logprob ? logprob + part->first_logprob : NULL, part->n_logprobs));
}

/* An item; whole: with all that is known of it, otherwise as it is when it begins. */
static json_t *reasoning_item(const stream *self, const logged_part *part, const char *status, bool whole) {
    const request *asked = self->log.request;
    json_t *item = json_pack("{s:s,s:s,s:s,s:[]}", "id", part->id, "type", "reasoning", "status", status, "summary");
    if (whole) {
        json_t *list = json_pack("[o]", reasoning_text(self, part));
        json_put(&item, asked->wants_summary ? "summary" : "content", list);
    }
    if (asked->wants_encrypted) json_put(&item, "encrypted_content", whole ? encrypted(self, part) : json_string(""));
    return item;
}

static json_t *message_item(const stream *self, const logged_part *part, const char *status, bool whole) {
    json_t *content = whole ? json_pack("[o]", output_text(self, part)) : json_array();
    return json_pack("{s:s,s:s,s:s,s:s,s:o}", "id", part->id, "type", "message", "status", status, "role", "assistant",
                     "content", content);
}

static json_t *call_item(const stream *self, const logged_part *part, const char *status, bool whole) {
    const answer_log *log = &self->log;
    const logged_call *call = &answer(self)->call[part->call];
    const char *name = logged_call_name(log, call), *space = logged_call_namespace(log, call);
    switch (logged_call_kind(log, call)) {
    case TOOL_CUSTOM:
        return json_pack("{s:s,s:s,s:s,s:s,s:s,s:o}", "id", part->id, "type", "custom_tool_call", "status", status,
                         "call_id", call->id, "name", name, "input", whole ? logged_call_input(call) : json_string(""));
    case TOOL_SEARCH:
        return json_pack("{s:s,s:s,s:s,s:s,s:s,s:o}", "id", part->id, "type", "tool_search_call", "status", status,
                         "call_id", call->id, "execution", "client", "arguments",
                         whole ? logged_call_object(call) : json_object());
    case TOOL_FUNCTION: break;
    }
    json_t *item =
        json_pack("{s:s,s:s,s:s,s:s}", "id", part->id, "type", "function_call", "status", status, "name", name);
    if (space) json_put(&item, "namespace", json_string(space));
    json_put(&item, "call_id", json_string(call->id));
    json_put(&item, "arguments", json_string(whole ? logged_call_arguments(call) : ""));
    return item;
}

static json_t *item_of(const stream *self, const logged_part *part, const char *status, bool whole) {
    if (part->kind == LOGGED_REASONING) return reasoning_item(self, part, status, whole);
    if (part->kind == LOGGED_TEXT) return message_item(self, part, status, whole);
    return call_item(self, part, status, whole);
}

/* Of an item that is over: the last one may be cut by a limit or a failure. */
static const char *final_status(const stream *self, const logged_part *part) {
    const logged_choice *choice = answer(self);
    bool last = part == &choice->part[choice->n_parts - 1];
    bool cut = last && (!choice->ended || choice->finish == FINISH_LENGTH);
    if (part->kind == LOGGED_CALL) cut = !choice->call[part->call].ended || choice->call[part->call].broken;
    return cut ? "incomplete" : "completed";
}

/* ---- the response -------------------------------------------------------------------------------- */

static json_t *usage_of(const reply_usage *usage) {
    return json_pack("{s:I,s:{s:I},s:I,s:{s:I},s:I}", "input_tokens", (json_int_t)usage->prompt, "input_tokens_details",
                     "cached_tokens", (json_int_t)usage->cached, "output_tokens", (json_int_t)usage->answer,
                     "output_tokens_details", "reasoning_tokens", (json_int_t)usage->reasoning, "total_tokens",
                     (json_int_t)(usage->prompt + usage->answer));
}

static void put_echo(const stream *self, json_t **response, const char *name) {
    json_t *value = json_object_get(self->log.request->echo, name);
    json_put(response, name, value ? json_incref(value) : json_null());
}

/* The whole object; before the end without output and usage. error may be NULL; it is taken. */
static json_t *response_of(stream *self, const char *status, json_t *error) {
    const request *asked = self->log.request;
    const logged_choice *choice = answer(self);
    bool ended = strcmp(status, "in_progress") != 0, incomplete = strcmp(status, "incomplete") == 0;
    json_t *output = json_array();
    for (size_t i = 0; i < choice->n_parts && ended; i++) {
        logged_part *part = &choice->part[i];
        if (!part->id[0]) ids_next(self->ids, id_prefix(self, part), part->id);
        json_push(&output, item_of(self, part, final_status(self, part), true));
    }
    json_t *response = json_pack("{s:s,s:s,s:I,s:s,s:o}", "id", self->log.id, "object", "response", "created_at",
                                 (json_int_t)self->log.created, "status", status, "error", error ? error : json_null());
    json_put(&response, "incomplete_details",
             incomplete ? json_pack("{s:s}", "reason", "max_output_tokens") : json_null());
    put_echo(self, &response, "instructions");
    put_echo(self, &response, "max_output_tokens");
    json_put(&response, "model", json_string(asked->model));
    json_put(&response, "output", output);
    json_put(&response, "parallel_tool_calls", json_boolean(!asked->one_call));
    json_put(&response, "previous_response_id", json_null());
    put_echo(self, &response, "reasoning");
    json_put(&response, "store", json_false());
    json_put(&response, "temperature", json_float(asked->sampling.temperature));
    put_echo(self, &response, "text");
    put_echo(self, &response, "tool_choice");
    put_echo(self, &response, "tools");
    json_put(&response, "top_p", json_float(asked->sampling.top_p));
    json_put(&response, "truncation", json_string("disabled"));
    json_put(&response, "usage", ended && !error ? usage_of(&self->log.usage) : json_null());
    put_echo(self, &response, "metadata");
    if (choice->problem) json_put(&response, "finish_details", finish_details(choice->problem));
    return response;
}

static const char *response_status(const stream *self) {
    return answer(self)->finish == FINISH_LENGTH ? "incomplete" : "completed";
}

/* ---- events -------------------------------------------------------------------------------------- */

/* The event's type and number, then fields, which is taken. */
static bool emit(stream *self, const char *type, json_t *fields) {
    progress *at = self->own;
    json_t *data = json_pack("{s:s,s:I}", "type", type, "sequence_number", at->sequence_number++);
    bool ok = fields && data && json_object_update(data, fields) == 0;
    json_decref(fields);
    if (ok) return stream_sse(self, type, data);
    json_decref(data);
    return false;
}

static bool emit_response(stream *self, const char *type, const char *status, json_t *error) {
    return emit(self, type, json_pack("{s:o}", "response", response_of(self, status, error)));
}

/* Of the item that is open: its place in the output. */
static json_int_t open_index(const stream *self) {
    return (json_int_t)((const progress *)self->own)->n_opened - 1;
}

static logged_part *open_part(const stream *self) {
    return &answer(self)->part[open_index(self)];
}

/* An event about the item. value: a member besides, which is taken; NULL for none. inner: what the text is in. */
static bool emit_piece(stream *self, const char *type, const char *inner, const char *member, json_t *value) {
    json_t *fields = json_pack("{s:s,s:I}", "item_id", open_part(self)->id, "output_index", open_index(self));
    if (inner) json_put(&fields, inner, json_integer(0));
    json_put(&fields, member, value);
    return emit(self, type, fields);
}

static bool emit_item(stream *self, const char *type, const char *status, bool whole) {
    return emit(self, type,
                json_pack("{s:I,s:o}", "output_index", open_index(self), "item",
                          item_of(self, open_part(self), status, whole)));
}

static bool open_item(stream *self) {
    progress *at = self->own;
    at->n_opened++;
    at->open = true;
    logged_part *part = open_part(self);
    ids_next(self->ids, id_prefix(self, part), part->id);
    if (!emit_item(self, "response.output_item.added", "in_progress", false)) return false;
    if (part->kind == LOGGED_TEXT)
        return emit_piece(
            self, "response.content_part.added", "content_index", "part",
            json_pack("{s:s,s:s,s:[],s:[]}", "type", "output_text", "text", "", "annotations", "logprobs"));
    if (part->kind != LOGGED_REASONING) return true;
    if (self->log.request->wants_summary)
        return emit_piece(self, "response.reasoning_summary_part.added", "summary_index", "part",
                          json_pack("{s:s,s:s}", "type", "summary_text", "text", ""));
    return emit_piece(self, "response.content_part.added", "content_index", "part",
                      json_pack("{s:s,s:s}", "type", "reasoning_text", "text", ""));
}

static bool close_text(stream *self, const logged_part *part) {
    const reply_logprob *logprob = answer(self)->logprob;
    json_t *fields = json_pack("{s:s,s:I,s:i,s:o,s:o}", "item_id", part->id, "output_index", open_index(self),
                               "content_index", 0, "text", logged_part_text(answer(self), part), "logprobs",
                               openai_logprobs(self, logprob ? logprob + part->first_logprob : NULL, part->n_logprobs));
    return emit(self, "response.output_text.done", fields) &&
           emit_piece(self, "response.content_part.done", "content_index", "part", output_text(self, part));
}

static bool close_reasoning(stream *self, const logged_part *part) {
    if (!self->log.request->wants_summary)
        return emit_piece(self, "response.reasoning_text.done", "content_index", "text",
                          logged_part_text(answer(self), part)) &&
               emit_piece(self, "response.content_part.done", "content_index", "part", reasoning_text(self, part));
    return emit_piece(self, "response.reasoning_summary_text.done", "summary_index", "text",
                      logged_part_text(answer(self), part)) &&
           emit_piece(self, "response.reasoning_summary_part.done", "summary_index", "part",
                      reasoning_text(self, part));
}

static bool close_call(stream *self, const logged_part *part) {
    const logged_call *call = &answer(self)->call[part->call];
    switch (logged_call_kind(&self->log, call)) {
    case TOOL_SEARCH: return true;
    case TOOL_CUSTOM:
        /* The text is inside the arguments: known when they are whole. */
        return emit_piece(self, "response.custom_tool_call_input.delta", NULL, "delta", logged_call_input(call)) &&
               emit_piece(self, "response.custom_tool_call_input.done", NULL, "input", logged_call_input(call));
    case TOOL_FUNCTION: break;
    }
    json_t *fields = json_pack("{s:s,s:I,s:s,s:s}", "item_id", part->id, "output_index", open_index(self), "name",
                               logged_call_name(&self->log, call), "arguments", logged_call_arguments(call));
    return emit(self, "response.function_call_arguments.done", fields);
}

static bool close_item(stream *self) {
    progress *at = self->own;
    if (!at->open) return true;
    const logged_part *part = open_part(self);
    bool ok = part->kind == LOGGED_TEXT        ? close_text(self, part)
              : part->kind == LOGGED_REASONING ? close_reasoning(self, part)
                                               : close_call(self, part);
    ok = ok && emit_item(self, "response.output_item.done", final_status(self, part), true);
    at->open = false;
    return ok;
}

/* The event is about the last part of the log: opens its item if it is new. */
static bool at_last_item(stream *self) {
    const progress *at = self->own;
    if (at->n_opened == answer(self)->n_parts) return true;
    return close_item(self) && open_item(self);
}

static bool write_text(stream *self, const reply_event *event) {
    if (!event->n_bytes) return true;
    if (!at_last_item(self)) return false;
    json_t *fields = json_pack("{s:s,s:I,s:i,s:s%,s:o}", "item_id", open_part(self)->id, "output_index",
                               open_index(self), "content_index", 0, "delta", event->bytes, event->n_bytes, "logprobs",
                               openai_logprobs(self, event->logprob, event->n_logprobs));
    return emit(self, "response.output_text.delta", fields);
}

static bool write_reasoning(stream *self, const reply_event *event) {
    if (!event->n_bytes) return true;
    if (!at_last_item(self)) return false;
    json_t *delta = json_stringn(event->bytes, event->n_bytes);
    if (self->log.request->wants_summary)
        return emit_piece(self, "response.reasoning_summary_text.delta", "summary_index", "delta", delta);
    return emit_piece(self, "response.reasoning_text.delta", "content_index", "delta", delta);
}

static bool write_arguments(stream *self, const reply_event *event) {
    const logged_call *call = &answer(self)->call[event->call];
    if (logged_call_kind(&self->log, call) != TOOL_FUNCTION || !event->n_bytes) return true;
    return emit_piece(self, "response.function_call_arguments.delta", NULL, "delta",
                      json_stringn(event->bytes, event->n_bytes));
}

static bool responses_begin(stream *self) {
    self->own = calloc(1, sizeof(progress));
    return self->own && emit_response(self, "response.created", "in_progress", NULL) &&
           emit_response(self, "response.in_progress", "in_progress", NULL);
}

static bool write_end(stream *self) {
    bool complete = strcmp(response_status(self), "completed") == 0;
    return emit_response(self, complete ? "response.completed" : "response.incomplete", response_status(self), NULL);
}

static bool responses_event(stream *self, const reply_event *event) {
    switch (event->kind) {
    case REPLY_REASONING: return write_reasoning(self, event);
    case REPLY_TEXT: return write_text(self, event);
    case REPLY_CALL_START: return at_last_item(self);
    case REPLY_ARGUMENTS: return write_arguments(self, event);
    case REPLY_CALL_END:
    case REPLY_CHOICE_END: return close_item(self);
    case REPLY_END: return write_end(self);
    case REPLY_STARTED:
    case REPLY_FAILED: break;
    }
    return true;
}

static bool responses_keep_alive(stream *self) {
    return emit_response(self, "response.in_progress", "in_progress", NULL);
}

static bool responses_stream_error(stream *self, const problem *why) {
    const char *code = why->kind == PROBLEM_BUSY ? "rate_limit_exceeded" : "server_error";
    json_t *error = json_pack("{s:s,s:s}", "code", code, "message", why->message);
    return error && emit_response(self, "response.failed", "failed", error);
}

static json_t *responses_body(stream *self) {
    return response_of(self, response_status(self), NULL);
}

static json_t *responses_count(const request *asked) {
    return json_pack("{s:s,s:I}", "object", "response.input_tokens", "input_tokens", (json_int_t)asked->tokens.n);
}

const api api_responses = {
    .name = "responses",
    .id_prefix = "resp_",
    .call_prefix = "call_",
    .prompt_field = "input",
    .read = responses_read,
    .begin = responses_begin,
    .event = responses_event,
    .keep_alive = responses_keep_alive,
    .body = responses_body,
    .stream_error = responses_stream_error,
    .error = openai_error,
    .count = responses_count,
};
