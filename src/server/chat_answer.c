/* Chat completions: chunks of a stream, and the whole body. */
#include "base/memory.h"
#include "server/chat.h"

/* Every chunk. choices is taken. With usage that of the whole answer. */
static bool write_chunk(stream *self, json_t *choices, bool usage) {
    const answer_log *log = &self->log;
    json_t *chunk = json_pack("{s:s,s:s,s:I,s:s,s:o}", "id", log->id, "object", "chat.completion.chunk", "created",
                              (json_int_t)log->created, "model", log->request->model, "choices", choices);
    if (log->request->include_usage) json_put(&chunk, "usage", usage ? openai_usage(&log->usage) : json_null());
    return stream_sse(self, NULL, chunk);
}

static json_t *logprobs_of(const stream *self, const reply_logprob *logprob, size_t n) {
    return json_pack("{s:o,s:n}", "content", openai_logprobs(self, logprob, n), "refusal");
}

/* A chunk of one choice. delta is taken. text: the event that it comes from; NULL: one without logprobs. */
static bool write_delta(stream *self, size_t choice, json_t *delta, const reply_event *text) {
    json_t *entry = json_pack("{s:I,s:o}", "index", (json_int_t)choice, "delta", delta);
    bool has_logprobs = text && text->n_logprobs;
    if (self->log.request->logprobs)
        json_put(&entry, "logprobs", has_logprobs ? logprobs_of(self, text->logprob, text->n_logprobs) : json_null());
    json_put(&entry, "finish_reason", json_null());
    return write_chunk(self, json_pack("[o]", entry), false);
}

static bool write_text(stream *self, const reply_event *event, const char *member) {
    if (!event->n_bytes && !event->n_logprobs) return true;
    const char *bytes = event->n_bytes ? event->bytes : "";
    return write_delta(self, event->choice, json_pack("{s:s%}", member, bytes, event->n_bytes), event);
}

static bool write_call_delta(stream *self, const reply_event *event, json_t *call) {
    return write_delta(self, event->choice, json_pack("{s:[o]}", "tool_calls", call), NULL);
}

static bool write_call(stream *self, const reply_event *event) {
    const logged_call *call = &self->log.choice[event->choice].call[event->call];
    bool custom = logged_call_kind(&self->log, call) == TOOL_CUSTOM;
    json_int_t index = (json_int_t)event->call;
    const char *name = logged_call_name(&self->log, call);
    if (event->kind == REPLY_CALL_START && custom)
        return write_call_delta(self, event,
                                json_pack("{s:I,s:s,s:s,s:{s:s,s:s}}", "index", index, "id", call->id, "type", "custom",
                                          "custom", "name", name, "input", ""));
    if (event->kind == REPLY_CALL_START)
        return write_call_delta(self, event,
                                json_pack("{s:I,s:s,s:s,s:{s:s,s:s}}", "index", index, "id", call->id, "type",
                                          "function", "function", "name", name, "arguments", ""));
    if (event->kind == REPLY_ARGUMENTS && !custom)
        return write_call_delta(
            self, event,
            json_pack("{s:I,s:{s:s%}}", "index", index, "function", "arguments", event->bytes, event->n_bytes));
    /* The text of a custom tool is inside the arguments: known when they are whole. */
    if (event->kind == REPLY_CALL_END && custom)
        return write_call_delta(self, event,
                                json_pack("{s:I,s:{s:o}}", "index", index, "custom", "input", logged_call_input(call)));
    return true;
}

static const char *finish_name(finish_reason finish) {
    switch (finish) {
    case FINISH_LENGTH: return "length";
    case FINISH_CALLS: return "tool_calls";
    case FINISH_STOP:
    case FINISH_STOP_SEQUENCE: break;
    }
    return "stop";
}

/* What a choice says at its end. */
static void add_finish(json_t **entry, const logged_choice *choice) {
    json_put(entry, "finish_reason", json_string(finish_name(choice->finish)));
    if (choice->stop_sequence) json_put(entry, "stop_reason", json_string(choice->stop_sequence));
    if (choice->problem) json_put(entry, "finish_details", finish_details(choice->problem));
}

static bool write_finish(stream *self, const reply_event *event) {
    json_t *entry = json_pack("{s:I,s:{}}", "index", (json_int_t)event->choice, "delta");
    if (self->log.request->logprobs) json_put(&entry, "logprobs", json_null());
    add_finish(&entry, &self->log.choice[event->choice]);
    return write_chunk(self, json_pack("[o]", entry), false);
}

static bool write_roles(stream *self) {
    for (size_t i = 0; i < self->log.request->n; i++)
        if (!write_delta(self, i, json_pack("{s:s,s:s}", "role", "assistant", "content", ""), NULL)) return false;
    return true;
}

static bool write_end(stream *self) {
    if (self->log.request->include_usage && !write_chunk(self, json_array(), true)) return false;
    return stream_write(self, "data: [DONE]\n\n");
}

static bool chat_begin(stream *self) {
    (void)self;
    return true;
}

static bool chat_event(stream *self, const reply_event *event) {
    switch (event->kind) {
    case REPLY_STARTED: return write_roles(self);
    case REPLY_REASONING: return write_text(self, event, "reasoning_content");
    case REPLY_TEXT: return write_text(self, event, "content");
    case REPLY_CALL_START:
    case REPLY_ARGUMENTS:
    case REPLY_CALL_END: return write_call(self, event);
    case REPLY_CHOICE_END: return write_finish(self, event);
    case REPLY_END: return write_end(self);
    case REPLY_FAILED: break;
    }
    return true;
}

static bool chat_keep_alive(stream *self) {
    return write_delta(self, 0, json_object(), NULL);
}

/* ---- the whole answer ---------------------------------------------------------------------------- */

static json_t *whole_call(const answer_log *log, const logged_call *call) {
    const char *name = logged_call_name(log, call);
    if (logged_call_kind(log, call) == TOOL_CUSTOM)
        return json_pack("{s:s,s:s,s:{s:s,s:o}}", "id", call->id, "type", "custom", "custom", "name", name, "input",
                         logged_call_input(call));
    return json_pack("{s:s,s:s,s:{s:s,s:s}}", "id", call->id, "type", "function", "function", "name", name, "arguments",
                     logged_call_arguments(call));
}

static json_t *whole_message(const answer_log *log, const logged_choice *choice) {
    json_t *content = buffer_json(&choice->text);
    if (choice->n_calls && !choice->text.n_bytes) {
        json_decref(content);
        content = json_null();
    }
    json_t *message = json_pack("{s:s,s:o,s:n}", "role", "assistant", "content", content, "refusal");
    if (choice->reasoning.n_bytes) json_put(&message, "reasoning_content", buffer_json(&choice->reasoning));
    if (!choice->n_calls) return message;
    json_t *calls = json_array();
    for (size_t i = 0; i < choice->n_calls; i++) json_push(&calls, whole_call(log, &choice->call[i]));
    json_put(&message, "tool_calls", calls);
    return message;
}

static json_t *whole_choice(const stream *self, size_t index) {
    const logged_choice *choice = &self->log.choice[index];
    json_t *logprobs =
        self->log.request->logprobs ? logprobs_of(self, choice->logprob, choice->n_logprobs) : json_null();
    json_t *entry = json_pack("{s:I,s:o,s:o}", "index", (json_int_t)index, "message", whole_message(&self->log, choice),
                              "logprobs", logprobs);
    add_finish(&entry, choice);
    return entry;
}

static json_t *chat_body(stream *self) {
    const answer_log *log = &self->log;
    json_t *choices = json_array();
    for (size_t i = 0; i < log->request->n; i++) json_push(&choices, whole_choice(self, i));
    return json_pack("{s:s,s:s,s:I,s:s,s:o,s:o,s:s}", "id", log->id, "object", "chat.completion", "created",
                     (json_int_t)log->created, "model", log->request->model, "choices", choices, "usage",
                     openai_usage(&log->usage), "system_fingerprint", "ds4-" DS4_VERSION);
}

const api api_chat = {
    .name = "chat",
    .id_prefix = "chatcmpl-",
    .call_prefix = "call_",
    .prompt_field = "messages",
    .read = chat_read,
    .begin = chat_begin,
    .event = chat_event,
    .keep_alive = chat_keep_alive,
    .body = chat_body,
    .stream_error = openai_stream_error,
    .error = openai_error,
};
