#include "cli/answer.h"

#include "base/memory.h"
#include "base/utf8.h"

#include <string.h>

static void emit(answer *self, bool is_reasoning, const char *bytes, size_t n_bytes) {
    if (!buffer_append(is_reasoning ? &self->reasoning : &self->text, bytes, n_bytes)) self->out_of_memory = true;
    self->sink(self->context, is_reasoning, bytes, n_bytes);
}

/* The parser has recognised a call; goes back to where its block begins: text and reasoning so far are, but
 * for the tag between them, all that came before it. */
static void begin_call(answer *self) {
    self->has_call = true;
    const char *start = self->raw.data ? self->raw.data : "";
    const char *thought = self->thinking ? strstr(start, "</think>") : NULL;
    size_t before = thought ? (size_t)(thought - start) + strlen("</think>") : self->reasoning.n_bytes;
    before += self->text.n_bytes;
    self->raw_shown = before < self->raw.n_bytes ? before : self->raw.n_bytes;
}

static void show_raw(answer *self) {
    size_t from = self->raw_shown;
    self->raw_shown = self->raw.n_bytes;
    if (from < self->raw.n_bytes) emit(self, false, self->raw.data + from, self->raw.n_bytes - from);
}

static void take_event(void *context, const ds4_event *event) {
    answer *self = context;
    if (self->has_call) return;
    if (event->kind == DS4_EVENT_REASONING || event->kind == DS4_EVENT_TEXT)
        emit(self, event->kind == DS4_EVENT_REASONING, event->bytes, event->n_bytes);
    else
        begin_call(self);
}

ds4_status answer_init(answer *answer_out, bool thinking, answer_sink *sink, void *context, ds4_error *error) {
    *answer_out = (answer){.sink = sink, .context = context, .thinking = thinking};
    return ds4_parser_new(thinking, take_event, answer_out, &answer_out->parser, error);
}

static ds4_status memory_status(const answer *self, ds4_error *error) {
    return self->out_of_memory ? error_memory(error, "answer", self->raw.n_bytes) : DS4_OK;
}

ds4_status answer_add(answer *self, const char *bytes, size_t n_bytes, ds4_error *error) {
    if (!buffer_append(&self->raw, bytes, n_bytes)) return error_memory(error, "answer", n_bytes);
    ds4_status status = self->has_call ? DS4_OK : ds4_parser_feed(self->parser, bytes, n_bytes, error);
    if (self->has_call) show_raw(self);
    return status != DS4_OK ? status : memory_status(self, error);
}

ds4_status answer_finish(answer *self, ds4_error *error) {
    if (self->has_call) return DS4_OK;
    ds4_status status = ds4_parser_finish(self->parser, error);
    if (self->has_call) show_raw(self);
    return status != DS4_OK ? status : memory_status(self, error);
}

/* An answer may end in the middle of a character. */
json_t *answer_json_text(const ds4_buffer *bytes) {
    ds4_buffer clean = {0};
    bool ok = buffer_append(&clean, "", 0);
    for (size_t at = 0; at < bytes->n_bytes && ok;) {
        uint32_t code_point;
        size_t n = utf8_decode(bytes->data + at, bytes->n_bytes - at, &code_point);
        ok =
            n && code_point ? buffer_append(&clean, bytes->data + at, n) : buffer_append_string(&clean, "\xef\xbf\xbd");
        at += n ? n : 1;
    }
    json_t *text = ok ? json_stringn(clean.data, clean.n_bytes) : NULL;
    ds4_buffer_deinit(&clean);
    return text;
}

json_t *answer_message(const answer *self) {
    json_t *message = json_object();
    bool ok = message && json_object_set_new(message, "role", json_string("assistant")) == 0 &&
              json_object_set_new(message, "content", answer_json_text(&self->text)) == 0;
    if (ok && self->reasoning.n_bytes)
        ok = json_object_set_new(message, "reasoning_content", answer_json_text(&self->reasoning)) == 0;
    if (ok) return message;
    json_decref(message);
    return NULL;
}

void answer_deinit(answer *self) {
    ds4_parser_free(self->parser);
    ds4_buffer_deinit(&self->raw);
    ds4_buffer_deinit(&self->reasoning);
    ds4_buffer_deinit(&self->text);
    *self = (answer){0};
}
