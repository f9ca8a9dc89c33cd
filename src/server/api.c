#include "server/api.h"
#include "base/memory.h"
#include "base/utf8.h"
#include "text/exact_json.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- streams ------------------------------------------------------------------------------------- */

bool stream_init(stream *self, const request *asked, const ds4_tokenizer *tokenizer, ids *names, int64_t created) {
    *self = (stream){.tokenizer = tokenizer, .ids = names};
    if (!answer_log_init(&self->log, asked, created)) return false;
    ids_next(names, asked->api->id_prefix, self->log.id);
    return true;
}

void stream_free(stream *self) {
    answer_log_deinit(&self->log);
    ds4_buffer_deinit(&self->out);
    free(self->own);
    *self = (stream){0};
}

void problem_of_event(const reply_event *failed, problem *why) {
    problem_kind kind = PROBLEM_ENGINE;
    if (failed->error.status == 503) kind = PROBLEM_DRAINING;
    if (failed->error.status == 429) kind = PROBLEM_BUSY;
    if (failed->error.status == 400) kind = PROBLEM_INVALID;
    problem_set(why, kind, NULL, "%s", failed->error.message);
    why->retry_after = failed->error.retry_after;
}

static bool log_and_write(stream *self, const reply_event *event) {
    if (!answer_log_add(&self->log, event)) return false;
    return !self->log.request->stream || self->log.request->api->event(self, event);
}

/* Many clients take a call without arguments for one with none. */
static bool mark_as_cut(stream *self, const reply_event *call_end) {
    const logged_choice *choice = call_end->choice < self->log.request->n ? &self->log.choice[call_end->choice] : NULL;
    if (!choice || call_end->call >= choice->n_calls || choice->call[call_end->call].arguments.n_bytes) return true;
    reply_event cut = *call_end;
    cut.kind = REPLY_ARGUMENTS;
    cut.bytes = "{";
    cut.n_bytes = 1;
    return log_and_write(self, &cut);
}

bool stream_take(stream *self, const reply_event *event) {
    if (event->kind == REPLY_CALL_END && event->broken && !mark_as_cut(self, event)) return false;
    if (event->kind != REPLY_FAILED) return log_and_write(self, event);
    if (!self->log.request->stream) return true;
    problem why = {0};
    problem_of_event(event, &why);
    return self->log.request->api->stream_error(self, &why);
}

void json_push(json_t **list, json_t *value) {
    if (json_array_append_new(*list, value) == 0) return;
    json_decref(*list);
    *list = NULL;
}

void json_put(json_t **object, const char *key, json_t *value) {
    if (json_object_set_new(*object, key, value) == 0) return;
    json_decref(*object);
    *object = NULL;
}

/* A NUL in front is the model's, and not a mark of exact_json_read. */
static bool write_text(ds4_buffer *out, const json_t *value) {
    const char *text = json_string_value(value);
    if (text[0] == PLAIN_INTEGER[0]) return buffer_append_string(out, text + 1);
    return exact_json_write_string(out, text, json_string_length(value));
}

/* Jansson writes a fixed number of digits: with 15 pi would be another number, with 17 what a client wrote as 0.1 would
 * be 0.10000000000000001. */
bool api_write_json(ds4_buffer *out, json_t *value) {
    static const json_style compact = {.comma = ",", .colon = ":", .write_string = write_text};
    bool ok = value && exact_json_write_as(out, value, &compact);
    json_decref(value);
    return ok;
}

bool stream_write(stream *self, const char *text) {
    return buffer_append_string(&self->out, text);
}

bool stream_sse(stream *self, const char *event, json_t *data) {
    bool named = !event || (stream_write(self, "event: ") && stream_write(self, event) && stream_write(self, "\n"));
    if (named && stream_write(self, "data: ")) return api_write_json(&self->out, data) && stream_write(self, "\n\n");
    json_decref(data);
    return false;
}

/* ---- errors -------------------------------------------------------------------------------------- */

int problem_status(problem_kind kind) {
    switch (kind) {
    case PROBLEM_INVALID:
    case PROBLEM_UNSUPPORTED:
    case PROBLEM_TOO_LONG: return 400;
    case PROBLEM_KEY: return 401;
    case PROBLEM_FORBIDDEN: return 403;
    case PROBLEM_NOT_FOUND: return 404;
    case PROBLEM_METHOD: return 405;
    case PROBLEM_TOO_LARGE: return 413;
    case PROBLEM_BUSY: return 429;
    case PROBLEM_DRAINING: return 503;
    case PROBLEM_ENGINE: break;
    }
    return 500;
}

static const char *openai_type(problem_kind kind) {
    if (kind == PROBLEM_BUSY) return "rate_limit_error";
    return problem_status(kind) >= 500 ? "server_error" : "invalid_request_error";
}

static const char *openai_code(const problem *why) {
    switch (why->kind) {
    /* an element of a list is a value, what stands outside is a parameter */
    case PROBLEM_UNSUPPORTED: return strchr(why->param, '[') ? "unsupported_value" : "unsupported_parameter";
    case PROBLEM_TOO_LONG: return "context_length_exceeded";
    case PROBLEM_KEY: return "invalid_api_key";
    case PROBLEM_FORBIDDEN: return "forbidden";
    case PROBLEM_NOT_FOUND: return "not_found";
    case PROBLEM_METHOD: return "method_not_allowed";
    case PROBLEM_TOO_LARGE: return "request_too_large";
    case PROBLEM_BUSY: return "rate_limit_exceeded";
    case PROBLEM_DRAINING: return "service_unavailable";
    case PROBLEM_INVALID:
    case PROBLEM_ENGINE: break;
    }
    return NULL;
}

json_t *openai_error(const problem *why, const char *request_id) {
    (void)request_id;
    char message[sizeof why->message + sizeof why->param + 2];
    if (why->kind == PROBLEM_TOO_LONG) /* clients look for these words to shorten the conversation */
        snprintf(message, sizeof message,
                 "This model's maximum context length is %zu tokens. However, your %s resulted in %zu tokens.",
                 why->limit, why->param[0] ? why->param : "messages", why->n_tokens);
    else
        snprintf(message, sizeof message, "%s%s%s", why->param, why->param[0] ? ": " : "", why->message);
    return json_pack("{s:{s:s,s:s,s:s?,s:s?}}", "error", "message", message, "type", openai_type(why->kind), "param",
                     why->param[0] ? why->param : NULL, "code", openai_code(why));
}

bool openai_stream_error(stream *self, const problem *why) {
    return stream_sse(self, NULL, openai_error(why, NULL));
}

json_t *openai_usage(const reply_usage *usage) {
    return json_pack("{s:I,s:I,s:I,s:{s:I},s:{s:I}}", "prompt_tokens", (json_int_t)usage->prompt, "completion_tokens",
                     (json_int_t)usage->answer, "total_tokens", (json_int_t)(usage->prompt + usage->answer),
                     "prompt_tokens_details", "cached_tokens", (json_int_t)usage->cached, "completion_tokens_details",
                     "reasoning_tokens", (json_int_t)usage->reasoning);
}

json_t *buffer_json(const ds4_buffer *text) {
    return json_stringn(text->n_bytes ? text->data : "", text->n_bytes);
}

json_t *finish_details(const char *problem_text) {
    size_t n_type = strcspn(problem_text, ":");
    const char *message = problem_text + n_type;
    message += strspn(message, ": ");
    return json_pack("{s:s%,s:s}", "type", problem_text, n_type, "message", message);
}

/* ---- logprobs ------------------------------------------------------------------------------------ */

/* The bytes of a token may be part of a character. */
static json_t *token_text(const char *bytes, size_t n_bytes) {
    ds4_buffer text = {0};
    bool ok = true;
    for (size_t at = 0; at < n_bytes && ok;) {
        uint32_t code_point;
        size_t length = utf8_decode(bytes + at, n_bytes - at, &code_point);
        ok = length ? buffer_append(&text, bytes + at, length) : buffer_append_string(&text, "\xef\xbf\xbd");
        at += length ? length : 1;
    }
    json_t *string = ok ? json_stringn(text.n_bytes ? text.data : "", text.n_bytes) : NULL;
    ds4_buffer_deinit(&text);
    return string;
}

json_t *logged_token(const stream *self, int32_t id) {
    size_t n_bytes = 0;
    const char *bytes = self->tokenizer ? ds4_tokenizer_token_bytes(self->tokenizer, id, &n_bytes) : NULL;
    return token_text(bytes ? bytes : "", bytes ? n_bytes : 0);
}

/* As many digits as the float has, and no -0; JSON has no infinities, and clients know this value. */
json_t *json_float(float value) {
    char digits[32];
    snprintf(digits, sizeof digits, "%.7g", isfinite(value) ? (double)value + 0.0 : -9999.0);
    return json_real(strtod(digits, NULL));
}

static json_t *logprob_entry(const stream *self, int32_t id, float logprob) {
    size_t n_bytes = 0;
    const char *bytes = self->tokenizer ? ds4_tokenizer_token_bytes(self->tokenizer, id, &n_bytes) : NULL;
    json_t *list = json_array();
    for (size_t i = 0; bytes && i < n_bytes; i++) json_push(&list, json_integer((unsigned char)bytes[i]));
    return json_pack("{s:o,s:o,s:o}", "token", logged_token(self, id), "logprob", json_float(logprob), "bytes", list);
}

json_t *openai_logprobs(const stream *self, const reply_logprob *logprob, size_t n) {
    json_t *list = json_array();
    for (size_t i = 0; i < n && list; i++) {
        json_t *top = json_array(), *entry = logprob_entry(self, logprob[i].id, logprob[i].logprob);
        for (int k = 0; k < logprob[i].n_top; k++)
            json_push(&top, logprob_entry(self, logprob[i].top[k].id, logprob[i].top[k].logprob));
        json_put(&entry, "top_logprobs", top);
        json_push(&list, entry);
    }
    return list;
}
