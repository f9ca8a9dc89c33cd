/* Prompts inside the library: a request that is JSON already, and prompts put together from pieces. */
#ifndef TEXT_PROMPT_H
#define TEXT_PROMPT_H

#include "ds4.h"

#include <jansson.h>

typedef struct prompt_hooks {
    /* Appends the model's own text of these calls of one assistant message (tool_calls of the official form), the white
     * space before the block included. False: it is not known, and prompt is as it was; the canonical text is written.
     * NULL: never known. */
    bool (*put_calls)(void *context, json_t *tool_calls, ds4_prompt *prompt);
    void *context;
} prompt_hooks;

/* As ds4_prompt_render, which is exact_json_read and this. request is borrowed and not changed; hooks may be NULL. */
ds4_status prompt_render_json(json_t *request, const prompt_hooks *hooks, ds4_prompt *prompt, ds4_error *error);

/* Appends the text of n tokens; control tokens become control spans, so encoding gives them again. On failure the
 * prompt is as it was. An id outside the vocabulary is DS4_ERROR_ARGUMENT. */
ds4_status prompt_append_tokens(ds4_prompt *prompt, const ds4_tokenizer *tokenizer, const int32_t *id, size_t n,
                                ds4_error *error);
/* Appends piece; false if there is no memory, prompt is then as it was. */
bool prompt_append(ds4_prompt *prompt, const ds4_prompt *piece);

#endif
