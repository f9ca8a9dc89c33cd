/* Messages: an answer is a list of blocks (thinking, text, tool_use), here the parts of the log. */
#include "base/memory.h"
#include "base/sha256.h"
#include "server/base64.h"
#include "server/messages.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* stream.own */
typedef struct progress {
    size_t n_opened; /* parts whose block has started */
    bool open;       /* the last of them has not stopped */
} progress;

static const logged_choice *answer(const stream *self) {
    return &self->log.choice[0];
}

/* Clients ask for more after a limit of their own, and shorten the conversation after that of the context. Call at the
 * end, when usage is known. */
static const char *stop_reason(const stream *self) {
    bool context_is_full = self->log.usage.answer < self->log.request->max_tokens;
    switch (answer(self)->finish) {
    case FINISH_LENGTH: return context_is_full ? "model_context_window_exceeded" : "max_tokens";
    case FINISH_CALLS: return "tool_use";
    case FINISH_STOP_SEQUENCE: return "stop_sequence";
    case FINISH_STOP: break;
    }
    return "end_turn";
}

/* The three kinds of input tokens add up to the prompt. */
static json_t *usage_of(const reply_usage *usage, size_t output_tokens) {
    return json_pack("{s:I,s:i,s:I,s:I}", "input_tokens", (json_int_t)(usage->prompt - usage->cached),
                     "cache_creation_input_tokens", 0, "cache_read_input_tokens", (json_int_t)usage->cached,
                     "output_tokens", (json_int_t)output_tokens);
}

/* ---- blocks -------------------------------------------------------------------------------------- */

/* Clients demand one and send it back; nobody checks it. */
static json_t *signature(const stream *self, const logged_part *part) {
    char hex[SHA256_HEX_BYTES];
    ds4_buffer text = {0};
    bool ok = sha256_hex(answer(self)->reasoning.data + part->start, part->n_bytes, hex) &&
              base64_encode(hex, SHA256_HEX_BYTES - 1, &text);
    json_t *value = ok ? json_stringn(text.data, text.n_bytes) : NULL;
    ds4_buffer_deinit(&text);
    return value;
}

static json_t *whole_block(const stream *self, const logged_part *part) {
    if (part->kind == LOGGED_TEXT)
        return json_pack("{s:s,s:o}", "type", "text", "text", logged_part_text(answer(self), part));
    if (part->kind == LOGGED_REASONING)
        return json_pack("{s:s,s:o,s:o}", "type", "thinking", "thinking", logged_part_text(answer(self), part),
                         "signature", signature(self, part));
    const logged_call *call = &answer(self)->call[part->call];
    return json_pack("{s:s,s:s,s:s,s:o}", "type", "tool_use", "id", call->id, "name",
                     logged_call_name(&self->log, call), "input", logged_call_object(call));
}

static json_t *empty_block(const stream *self, const logged_part *part) {
    if (!part || part->kind == LOGGED_TEXT) return json_pack("{s:s,s:s}", "type", "text", "text", "");
    if (part->kind == LOGGED_REASONING)
        return json_pack("{s:s,s:s,s:s}", "type", "thinking", "thinking", "", "signature", "");
    const logged_call *call = &answer(self)->call[part->call];
    return json_pack("{s:s,s:s,s:s,s:{}}", "type", "tool_use", "id", call->id, "name",
                     logged_call_name(&self->log, call), "input");
}

/* ---- events -------------------------------------------------------------------------------------- */

static bool emit_delta(stream *self, json_t *delta) {
    json_int_t index = (json_int_t)((progress *)self->own)->n_opened - 1;
    return stream_sse(self, "content_block_delta",
                      json_pack("{s:s,s:I,s:o}", "type", "content_block_delta", "index", index, "delta", delta));
}

static bool start_block(stream *self, json_int_t index, json_t *block) {
    return stream_sse(
        self, "content_block_start",
        json_pack("{s:s,s:I,s:o}", "type", "content_block_start", "index", index, "content_block", block));
}

static bool stop_block(stream *self, json_int_t index) {
    return stream_sse(self, "content_block_stop", json_pack("{s:s,s:I}", "type", "content_block_stop", "index", index));
}

static bool close_block(stream *self) {
    progress *at = self->own;
    if (!at->open) return true;
    at->open = false;
    const logged_part *part = &answer(self)->part[at->n_opened - 1];
    if (part->kind == LOGGED_REASONING &&
        !emit_delta(self, json_pack("{s:s,s:o}", "type", "signature_delta", "signature", signature(self, part))))
        return false;
    return stop_block(self, (json_int_t)at->n_opened - 1);
}

/* The event is about the last part of the log: starts its block if it is new. */
static bool at_last_block(stream *self) {
    progress *at = self->own;
    const logged_choice *choice = answer(self);
    if (at->n_opened == choice->n_parts) return true;
    if (!close_block(self)) return false;
    at->n_opened++;
    at->open = true;
    return start_block(self, (json_int_t)at->n_opened - 1, empty_block(self, &choice->part[at->n_opened - 1]));
}

static bool write_piece(stream *self, const reply_event *event, const char *type, const char *member) {
    if (!event->n_bytes) return true;
    return at_last_block(self) &&
           emit_delta(self, json_pack("{s:s,s:s%}", "type", type, member, event->bytes, event->n_bytes));
}

static bool write_start(stream *self) {
    json_t *message = json_pack("{s:s,s:s,s:s,s:s,s:[],s:n,s:n,s:o}", "id", self->log.id, "type", "message", "role",
                                "assistant", "model", self->log.request->model, "content", "stop_reason",
                                "stop_sequence", "usage", usage_of(&self->log.usage, 1));
    return stream_sse(self, "message_start", json_pack("{s:s,s:o}", "type", "message_start", "message", message));
}

/* An answer has at least one block. */
static bool write_choice_end(stream *self) {
    if (answer(self)->n_parts) return close_block(self);
    return start_block(self, 0, empty_block(self, NULL)) && stop_block(self, 0);
}

static bool write_end(stream *self) {
    const logged_choice *choice = answer(self);
    json_t *delta = json_pack("{s:s,s:s?}", "stop_reason", stop_reason(self), "stop_sequence", choice->stop_sequence);
    if (choice->problem) json_put(&delta, "finish_details", finish_details(choice->problem));
    return stream_sse(self, "message_delta",
                      json_pack("{s:s,s:o,s:o}", "type", "message_delta", "delta", delta, "usage",
                                usage_of(&self->log.usage, self->log.usage.answer))) &&
           stream_sse(self, "message_stop", json_pack("{s:s}", "type", "message_stop"));
}

static bool messages_begin(stream *self) {
    self->own = calloc(1, sizeof(progress));
    return self->own != NULL;
}

static bool messages_event(stream *self, const reply_event *event) {
    switch (event->kind) {
    case REPLY_STARTED: return write_start(self);
    case REPLY_REASONING: return write_piece(self, event, "thinking_delta", "thinking");
    case REPLY_TEXT: return write_piece(self, event, "text_delta", "text");
    case REPLY_CALL_START: return at_last_block(self);
    case REPLY_ARGUMENTS: return write_piece(self, event, "input_json_delta", "partial_json");
    case REPLY_CALL_END: return close_block(self);
    case REPLY_CHOICE_END: return write_choice_end(self);
    case REPLY_END: return write_end(self);
    case REPLY_FAILED: break;
    }
    return true;
}

static bool messages_keep_alive(stream *self) {
    return stream_sse(self, "ping", json_pack("{s:s}", "type", "ping"));
}

/* ---- the whole answer, errors -------------------------------------------------------------------- */

static json_t *messages_body(stream *self) {
    const logged_choice *choice = answer(self);
    json_t *content = json_array();
    for (size_t i = 0; i < choice->n_parts; i++) json_push(&content, whole_block(self, &choice->part[i]));
    if (!choice->n_parts) json_push(&content, empty_block(self, NULL));
    json_t *body =
        json_pack("{s:s,s:s,s:s,s:s,s:o,s:s,s:s?,s:o}", "id", self->log.id, "type", "message", "role", "assistant",
                  "model", self->log.request->model, "content", content, "stop_reason", stop_reason(self),
                  "stop_sequence", choice->stop_sequence, "usage", usage_of(&self->log.usage, self->log.usage.answer));
    if (choice->problem) json_put(&body, "finish_details", finish_details(choice->problem));
    return body;
}

static const char *error_type(problem_kind kind) {
    switch (kind) {
    case PROBLEM_KEY: return "authentication_error";
    case PROBLEM_FORBIDDEN: return "permission_error";
    case PROBLEM_NOT_FOUND: return "not_found_error";
    case PROBLEM_TOO_LARGE: return "request_too_large";
    case PROBLEM_BUSY: return "rate_limit_error";
    case PROBLEM_DRAINING: return "overloaded_error";
    case PROBLEM_ENGINE: return "api_error";
    case PROBLEM_INVALID:
    case PROBLEM_UNSUPPORTED:
    case PROBLEM_TOO_LONG:
    case PROBLEM_METHOD: break;
    }
    return "invalid_request_error";
}

/* messages[2].content[0] is messages.2.content.0 here. */
static void dotted(const char *param, char *out) {
    for (; *param; param++) {
        if (*param == ']') continue;
        *out++ = *param == '[' ? '.' : *param;
    }
    *out = '\0';
}

static json_t *messages_error(const problem *why, const char *request_id) {
    char place[sizeof why->param], message[sizeof why->param + sizeof why->message + 2];
    dotted(why->param, place);
    if (why->kind == PROBLEM_TOO_LONG) /* Claude Code looks for these words to shorten the conversation. */
        snprintf(message, sizeof message, "prompt is too long: %zu tokens > %zu maximum", why->n_tokens, why->limit);
    else
        snprintf(message, sizeof message, "%s%s%s", place, place[0] ? ": " : "", why->message);
    json_t *error =
        json_pack("{s:s,s:{s:s,s:s}}", "type", "error", "error", "type", error_type(why->kind), "message", message);
    if (request_id) json_put(&error, "request_id", json_string(request_id));
    return error;
}

static bool messages_stream_error(stream *self, const problem *why) {
    return stream_sse(self, "error", messages_error(why, NULL));
}

static json_t *messages_count(const request *asked) {
    return json_pack("{s:I}", "input_tokens", (json_int_t)asked->tokens.n);
}

const api api_messages = {
    .name = "messages",
    .id_prefix = "msg_",
    .call_prefix = "toolu_",
    .prompt_field = "messages",
    .read = messages_read,
    .begin = messages_begin,
    .event = messages_event,
    .keep_alive = messages_keep_alive,
    .body = messages_body,
    .stream_error = messages_stream_error,
    .error = messages_error,
    .count = messages_count,
};
