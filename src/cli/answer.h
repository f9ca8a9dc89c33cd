/* The model's answer while it is generated: told apart into reasoning and text, and kept as a message. */
#ifndef CLI_ANSWER_H
#define CLI_ANSWER_H

#include "base/error.h"

#include <jansson.h>

typedef void answer_sink(void *context, bool is_reasoning, const char *bytes, size_t n_bytes);

/* The chat has no tools to run: a tool call is shown and kept as the text that it is. */
typedef struct answer {
    ds4_parser *parser;
    answer_sink *sink;
    void *context;
    bool thinking;
    bool has_call; /* the rest is text, whatever the parser says */
    bool out_of_memory;
    ds4_buffer raw, reasoning, text;
    size_t raw_shown; /* bytes of raw that are in text already, once there is a call */
} answer;

/* thinking: the prompt ended with <think>. Deinit in every case. */
ds4_status answer_init(answer *answer_out, bool thinking, answer_sink *sink, void *context, ds4_error *error);
ds4_status answer_add(answer *self, const char *bytes, size_t n_bytes, ds4_error *error);
ds4_status answer_finish(answer *self, ds4_error *error);
/* The assistant's message for a request; NULL if there is no memory. */
json_t *answer_message(const answer *self);
/* A JSON string of the bytes; what is no character, which JSON cannot hold, and NUL become U+FFFD. NULL if there is no
 * memory. */
json_t *answer_json_text(const ds4_buffer *bytes);
void answer_deinit(answer *self);

#endif
