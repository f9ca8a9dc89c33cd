/* Answers to events: cutting the answer does not change them, no byte of text or reasoning is made up, and the
 * arguments of a complete call are JSON. The first two bytes of the input choose mode and places of cutting. */
#include "base/memory.h"
#include "text/exact_json.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n_bytes);

static void require(bool condition) {
    if (!condition) abort();
}

/* All events as one text, fragments of a stretch joined. */
typedef struct recording {
    ds4_buffer text, arguments;
    int open;
    bool in_call;
    size_t n_calls, n_plain_bytes;
} recording;

static void record_event(void *context, const ds4_event *event) {
    recording *record = context;
    bool stream = event->kind <= DS4_EVENT_TEXT || event->kind == DS4_EVENT_ARGUMENTS;
    require(!stream || event->n_bytes);
    if (!stream || record->open != (int)event->kind) require(buffer_append(&record->text, &"RTCAEI"[event->kind], 1));
    record->open = stream ? (int)event->kind : -1;
    if (event->n_bytes) require(buffer_append(&record->text, event->bytes, event->n_bytes));
    switch (event->kind) {
    case DS4_EVENT_REASONING:
    case DS4_EVENT_TEXT: record->n_plain_bytes += event->n_bytes; break;
    case DS4_EVENT_CALL_START:
        require(!record->in_call && event->call == record->n_calls && event->n_bytes);
        record->in_call = true;
        buffer_clear(&record->arguments);
        break;
    case DS4_EVENT_ARGUMENTS:
        require(record->in_call && event->call == record->n_calls);
        require(buffer_append(&record->arguments, event->bytes, event->n_bytes));
        break;
    case DS4_EVENT_CALL_END: {
        require(record->in_call && event->call == record->n_calls && !event->n_bytes);
        json_t *value = NULL;
        ds4_status status =
            exact_json_read(record->arguments.data, record->arguments.n_bytes, "arguments", &value, NULL);
        require(!status && json_is_object(value));
        json_decref(value);
        record->in_call = false;
        record->n_calls++;
        break;
    }
    case DS4_EVENT_INVALID: record->in_call = false; break;
    }
}

/* seed 0: not cut */
static void record_answer(bool thinking, const char *text, size_t n_bytes, uint32_t seed, recording *record) {
    *record = (recording){.open = -1};
    ds4_parser *parser;
    require(!ds4_parser_new(thinking, record_event, record, &parser, NULL));
    for (size_t at = 0; at < n_bytes;) {
        size_t piece = n_bytes - at;
        if (seed) {
            seed = seed * 1664525u + 1013904223u;
            size_t wanted = seed >> 28;
            if (wanted < piece) piece = wanted;
        }
        char *copy = malloc(piece ? piece : 1);
        require(copy != NULL);
        memcpy(copy, text + at, piece);
        require(!ds4_parser_feed(parser, copy, piece, NULL));
        free(copy);
        at += piece;
    }
    require(!ds4_parser_finish(parser, NULL));
    require(!record->in_call);
    ds4_parser_free(parser);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n_bytes) {
    if (n_bytes < 2) return 0;
    const char *text = (const char *)data + 2;
    n_bytes -= 2;
    recording whole, cut;
    record_answer(data[0] & 1, text, n_bytes, 0, &whole);
    record_answer(data[0] & 1, text, n_bytes, 1u + data[1], &cut);
    require(whole.text.n_bytes == cut.text.n_bytes);
    require(!whole.text.n_bytes || memcmp(whole.text.data, cut.text.data, whole.text.n_bytes) == 0);
    require(whole.n_plain_bytes <= n_bytes);
    ds4_buffer_deinit(&whole.text);
    ds4_buffer_deinit(&whole.arguments);
    ds4_buffer_deinit(&cut.text);
    ds4_buffer_deinit(&cut.arguments);
    return 0;
}
